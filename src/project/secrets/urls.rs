//! Passwords in URLs: before the host, or in what follows it.

use std::ops::Range;

use super::{
    SecretRule,
    hit::Hit,
    placeholders::{is_no_host, is_no_password, is_placeholder},
    value::{before, run},
};

/// What ends the user, the password and the host of a URL.
fn is_part(byte: u8) -> bool {
    !byte.is_ascii_whitespace()
        && !byte.is_ascii_control()
        && !b"/?#\"'`<>\\,;|^[]()".contains(&byte)
}

/// The user, password and host of a URL.
pub(super) fn url_password(text: &[u8], start: usize, end: usize) -> Option<Hit> {
    let scheme = before(text, start, 1).first()?;
    let named = run(text, end, 600, is_part);
    let authority = &text[end..address_end(text, named.end)];
    let at = memchr::memrchr(b'@', authority)?;
    let (user, host) = (&authority[..at], &authority[at + 1..]);
    let colon = memchr::memchr(b':', user)?;
    let (name, password) = (&user[..colon], &user[colon + 1..]);
    let is_secret = scheme.is_ascii_alphanumeric()
        && !is_no_password(password)
        && !name.eq_ignore_ascii_case(password)
        && (name.is_empty() || !is_placeholder(name))
        && !is_no_host(host);
    let from = end + colon + 1;
    is_secret.then_some(url_hit(from..from + password.len()))
}

fn url_hit(value: Range<usize>) -> Hit {
    Hit {
        rule: SecretRule::UrlPassword,
        value,
    }
}

/// Where a host ends that is an address in brackets (`@[2001:db8::7]:8443`), with its port; `at` if there is none.
fn address_end(text: &[u8], at: usize) -> usize {
    if before(text, at, 1) != b"@" || text.get(at) != Some(&b'[') {
        return at;
    }
    let address = run(text, at + 1, 80, |byte| {
        byte.is_ascii_alphanumeric() || b":.%_-".contains(&byte)
    });
    if text.get(address.end) != Some(&b']') {
        return at;
    }
    let port = run(text, address.end + 1, 6, |byte| {
        byte == b':' || byte.is_ascii_digit()
    });
    port.end
}

/// The password of a URL of JDBC: `jdbc:postgresql://host/db?password=…`, `jdbc:oracle:thin:user/…@host:1521:db`. One that
/// stands before the host as in other URLs is theirs.
pub(super) fn jdbc(text: &[u8], _: usize, end: usize) -> Option<Hit> {
    let is_jdbc = text.get(end..end + 2)?.eq_ignore_ascii_case(b"c:");
    let url = run(text, end, 2000, |byte| {
        !byte.is_ascii_whitespace() && !byte.is_ascii_control() && !b"\"'`<>\\".contains(&byte)
    });
    let (start, url) = (url.start, &text[url]);
    let found = parameter(url).or_else(|| oracle(url)).filter(|_| is_jdbc)?;
    let host = memchr::memchr(b'@', url).map(|at| at + 1);
    let host = memchr::memmem::find(url, b"//").map(|at| at + 2).or(host)?;
    let host = run(url, host, 255, |byte| !b"/:;?&,()[]{}@".contains(&byte));
    let is_secret = !is_no_password(&url[found.clone()]) && !is_no_host(&url[host]);
    is_secret.then(|| url_hit(start + found.start..start + found.end))
}

/// The value of `password` or `pwd` in what follows the host.
fn parameter(url: &[u8]) -> Option<Range<usize>> {
    let lower = url.to_ascii_lowercase();
    let names = [&b"password="[..], b"pwd="];
    let mut places = names.iter().flat_map(|name| {
        let found = memchr::memmem::find_iter(&lower, *name);
        found.map(|at| (at, at + name.len())).collect::<Vec<_>>()
    });
    let (_, from) = places.find(|(at, _)| {
        before(url, *at, 1)
            .first()
            .is_some_and(|byte| b"?&;:,({".contains(byte))
    })?;
    Some(run(url, from, 200, |byte| !b"&;,(){}".contains(&byte)))
}

/// What stands between `/` and `@`.
fn oracle(url: &[u8]) -> Option<Range<usize>> {
    let kind = [&b"c:oracle:thin:"[..], b"c:oracle:oci:", b"c:oracle:oci8:"];
    let kind = kind.iter().find(|kind| {
        url.get(..kind.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(kind))
    })?;
    let at = memchr::memchr(b'@', url)?;
    let slash = memchr::memchr(b'/', &url[..at])?;
    (slash >= kind.len()).then_some(slash + 1..at)
}
