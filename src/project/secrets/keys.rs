//! Private keys, and files that are nothing but credentials.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    SecretRule,
    hit::Hit,
    placeholders::{is_no_password, is_random},
    value::{after, base64, before, has, literal, run, value_after},
};

/// How far the file of a service account reaches around its key.
const AROUND: usize = 6 * 1024;

/// Fewer characters are no key: the shortest is that of an elliptic curve.
const SHORTEST: usize = 40;

/// The shortest first line of a key.
const FIRST_LINE: usize = 24;

/// `PRIVATE KEY` in the first line of a key in PEM, also in a text with `\n` in the place of line ends.
pub(super) fn pem(text: &[u8], start: usize, end: usize) -> Option<Hit> {
    let head = before(text, start, 24);
    let begin = start - head.len() + memchr::memmem::rfind(head, b"-----BEGIN ")?;
    let title = after(text, end, 11);
    let tail = [&b"-----"[..], b" BLOCK-----"]
        .into_iter()
        .find(|tail| title.starts_with(tail))?;
    let body = body(text, end + tail.len())?;
    let rule = if is_service_account(text, begin) {
        SecretRule::GcpServiceAccount
    } else {
        SecretRule::PrivateKey
    };
    Some(Hit { rule, value: body })
}

fn is_service_account(text: &[u8], begin: usize) -> bool {
    has(before(text, begin, 24), b"private_key")
        && (has(before(text, begin, AROUND), b"service_account")
            || has(after(text, begin, AROUND), b"service_account"))
}

/// The base64 of a key: over line ends, quotes, and headers such as `Proc-Type: 4,ENCRYPTED`.
fn body(text: &[u8], start: usize) -> Option<std::ops::Range<usize>> {
    let mut at = start;
    let (mut first, mut count, mut sample) = (None, 0, Vec::new());
    while at < text.len() && at < start + 60_000 {
        let next = run(text, at, 4096, |byte| base64(byte) || byte == b'=');
        if next.is_empty() {
            let skipped = gap(&text[at..])?;
            if skipped == 0 {
                break;
            }
            at += skipped;
            continue;
        }
        // A header: its name is followed by a colon.
        let ends = run(text, next.end, 40, |byte| {
            byte.is_ascii_alphanumeric() || byte == b'-'
        });
        if count < 64 && text.get(ends.end) == Some(&b':') {
            at = header_end(text, ends.end);
            continue;
        }
        // The words of code or prose behind a title are shorter than the first line of a key.
        if first.is_none() && next.len() < FIRST_LINE {
            return None;
        }
        first.get_or_insert(at);
        count += next.len();
        sample.extend_from_slice(&text[next.clone()][..next.len().min(64)]);
        at = next.end;
    }
    sample.truncate(64);
    let is_key = count >= SHORTEST && is_random(&sample[..sample.len().min(48)]);
    (is_key && !sample.starts_with(b"EXAMPLE")).then(|| first.unwrap_or(start)..at)
}

/// The length of what may part two lines of a key: blanks, quotes, commas, `\n` as it is written in code. 0 at the end of
/// the key; none where an ellipsis says that it is only shown in part.
fn gap(rest: &[u8]) -> Option<usize> {
    match rest {
        [b'\\', b'n' | b'r' | b't', ..] => Some(2),
        [b'\\', ..] => Some(1),
        [b'.', b'.', ..] | [0xe2, 0x80, 0xa6, ..] => None,
        [byte, ..] if byte.is_ascii_whitespace() || b"\"',#|>+".contains(byte) => Some(1),
        _ => Some(0),
    }
}

/// Where the line of a header ends, also where that is written as `\n`.
fn header_end(text: &[u8], at: usize) -> usize {
    let rest = after(text, at, 512);
    let line = memchr::memchr(b'\n', rest);
    let written = memchr::memmem::find(rest, b"\\n").map(|end| end + 1);
    let end = [line, written].into_iter().flatten().min();
    at + end.map_or(rest.len(), |end| end + 1)
}

/// A key of `PuTTY`.
pub(super) fn putty(text: &[u8], _: usize, end: usize) -> Option<Hit> {
    let rest = after(text, end, 16 * 1024);
    let at = end + memchr::memmem::find(rest, b"Private-Lines:")?;
    let line = header_end(text, at);
    let value = body(text, line)?;
    Some(Hit {
        rule: SecretRule::PrivateKey,
        value,
    })
}

/// PEM that is in base64 itself: of a kubeconfig or of a secret of Kubernetes.
pub(super) fn encoded_pem(text: &[u8], start: usize, _: usize) -> Option<Hit> {
    let value = run(text, start, 32 * 1024, base64);
    let whole = value.len() / 4 * 4;
    let decoded = STANDARD.decode(&text[start..start + whole]).ok()?;
    let marker = memchr::memmem::find(&decoded, b"PRIVATE KEY")?;
    pem(&decoded, marker, marker + b"PRIVATE KEY".len())?;
    let is_kube = has(before(text, start, 40), b"client-key-data");
    let rule = if is_kube {
        SecretRule::Kubeconfig
    } else {
        SecretRule::PrivateKey
    };
    Some(Hit { rule, value })
}

/// `"auth": "…"` below `"auths"`.
pub(super) fn docker_auth(text: &[u8], start: usize, end: usize) -> Option<Hit> {
    let is_named = |byte: Option<&u8>| byte.is_none_or(|byte| b"\"'\\ \t\n:".contains(byte));
    let is_key =
        is_named(start.checked_sub(1).and_then(|at| text.get(at))) && is_named(text.get(end));
    if !is_key {
        return None;
    }
    let value = literal(text, value_after(text, end)?);
    let found = &text[value.clone()];
    let decoded = STANDARD.decode(found).ok()?;
    let colon = memchr::memchr(b':', &decoded)?;
    let is_text = decoded.iter().all(|byte| !byte.is_ascii_control());
    let is_password = is_text && !is_no_password(&decoded[colon + 1..]);
    (is_password && has(before(text, start, 8 * 1024), b"auths")).then_some(Hit {
        rule: SecretRule::DockerConfig,
        value,
    })
}

/// A token or a password of a user of a kubeconfig.
pub(super) fn kubeconfig(text: &[u8], start: usize, _: usize) -> Option<Hit> {
    let near = after(text, start.saturating_sub(8 * 1024), 40 * 1024);
    let offset = start.saturating_sub(8 * 1024);
    if !has(near, b"users") || !has(near, b"clusters") {
        return None;
    }
    for name in [&b"token"[..], b"password"] {
        for at in memchr::memmem::find_iter(near, name) {
            let at = offset + at;
            let Some(from) = value_after(text, at + name.len()) else {
                continue;
            };
            let value = literal(text, from);
            let found = &text[value.clone()];
            let is_name = before(text, at, 1)
                .first()
                .is_some_and(|byte| base64(*byte) || *byte == b'-');
            if !is_name && found.len() >= 8 && !is_no_password(found) && !found.contains(&b':') {
                return Some(Hit {
                    rule: SecretRule::Kubeconfig,
                    value,
                });
            }
        }
    }
    None
}
