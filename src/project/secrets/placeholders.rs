//! What stands where a credential would stand, and is none: examples, placeholders, variables.

/// Words in what is only an example.
const WORDS: [&str; 16] = [
    "example",
    "xxxx",
    "placeholder",
    "changeme",
    "change_me",
    "change-me",
    "redacted",
    "dummy",
    "your",
    "replace",
    "insert",
    "abcdefgh",
    "12345678",
    "87654321",
    "deadbeef",
    "00000000",
];

/// Passwords of documentation and of databases that only one machine reaches.
const PASSWORDS: [&str; 26] = [
    "password",
    "passwd",
    "passw0rd",
    "pass",
    "pwd",
    "pw",
    "secret",
    "token",
    "user",
    "username",
    "root",
    "admin",
    "test",
    "testing",
    "guest",
    "foo",
    "bar",
    "baz",
    "postgres",
    "mysql",
    "tiger",
    "minio",
    "mypassword",
    "mypass",
    "none",
    "null",
];

/// What stands before those words: `my-token`, `SuperSecret`.
const BEFORE: [&str; 6] = ["my", "super", "some", "the", "db", "new"];

/// A word of so many small letters is taken for the name of a thing, not for a password.
const LONGEST_WORD: usize = 8;

/// Hosts that are nobody's.
const HOSTS: [&str; 17] = [
    "localhost",
    "host",
    "hostname",
    "server",
    "myhost",
    "myserver",
    "domain",
    "0.0.0.0",
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "db",
    "database",
    "address",
    "ip",
    "url",
];

/// Whether a value is filled in elsewhere, or only an example.
pub(super) fn is_placeholder(value: &[u8]) -> bool {
    let lower = value.to_ascii_lowercase();
    let has = |part: &[u8]| memchr::memmem::find(&lower, part).is_some();
    lower.is_empty()
        || lower.iter().any(|byte| b"<>{}$*".contains(byte))
        || has_format(&lower)
        || has(b"...")
        || has("…".as_bytes())
        || WORDS.iter().any(|word| has(word.as_bytes()))
}

/// Whether a `%` is one of a format (`%s`, `%(name)s`, `%NAME%`), and not of a character that a URL writes as `%40`.
fn has_format(value: &[u8]) -> bool {
    let is_hex = |index: usize| value.get(index).is_some_and(u8::is_ascii_hexdigit);
    let mut places = memchr::memchr_iter(b'%', value);
    places.any(|place| !(is_hex(place + 1) && is_hex(place + 2)))
}

/// Whether a password is none that anybody would use: a word that stands for one.
pub(super) fn is_no_password(value: &[u8]) -> bool {
    // Examples show how a character is encoded in a word: `my-pa%2Fssword`.
    let bare = without_encoded(value);
    if bare.len() < value.len() && is_no_password(&bare) {
        return true;
    }
    let lower = value.to_ascii_lowercase();
    let first = lower.first();
    let is_word = lower.len() <= LONGEST_WORD && value.iter().all(u8::is_ascii_lowercase);
    is_placeholder(value)
        || is_word
        || words(value).all(|word| is_filler(&word))
        || lower.iter().all(|byte| Some(byte) == first)
        || lower.len() < 3
}

/// A value without the characters that it has as `%40`.
fn without_encoded(value: &[u8]) -> Vec<u8> {
    let (mut bare, mut rest) = (Vec::new(), value);
    while let [first, after @ ..] = rest {
        rest = match after {
            [high, low, after @ ..]
                if *first == b'%' && high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                after
            }
            _ => {
                bare.push(*first);
                after
            }
        };
    }
    bare
}

/// The words of `my-token`, `my_token` and `MyToken`.
fn words(value: &[u8]) -> impl Iterator<Item = String> {
    let text = String::from_utf8_lossy(value).into_owned();
    let mut parted = String::new();
    let mut was_small = false;
    for character in text.chars() {
        if was_small && character.is_uppercase() {
            parted.push('-');
        }
        was_small = character.is_lowercase();
        parted.extend(character.to_lowercase());
    }
    let words = parted.split(['-', '_', '.', ':']).map(str::to_owned);
    words.collect::<Vec<_>>().into_iter()
}

fn is_filler(word: &str) -> bool {
    PASSWORDS.contains(&word) || BEFORE.contains(&word) || word.is_empty()
}

/// Whether a host is only an example, or this machine.
pub(super) fn is_no_host(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else {
        return true;
    };
    let host = host.to_ascii_lowercase();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some((name, _)) if !host.starts_with('[') => name,
        _ => &host,
    };
    let name = name.trim_end_matches('.');
    let last = name.rsplit('.').next().unwrap_or_default();
    name.is_empty()
        || HOSTS.contains(&name)
        || name.starts_with("127.")
        || name.starts_with("my")
            && !name.contains(|letter: char| letter.is_ascii_digit() || letter == '-')
        || name.split('.').any(|label| label.starts_with("example"))
        || ["example", "test", "invalid", "localhost"].contains(&last)
}

/// Whether the value looks as if it was drawn by lot: many different characters, and no long run in the order of the
/// alphabet.
pub(super) fn is_random(value: &[u8]) -> bool {
    let mut seen = [false; 256];
    let mut different = 0;
    for byte in value {
        different += usize::from(!std::mem::replace(&mut seen[usize::from(*byte)], true));
    }
    let in_order = |run: &[u8]| run.windows(2).all(|two| two[1] == two[0].wrapping_add(1));
    let repeats = |run: &[u8]| run.windows(2).all(|two| two[1] == two[0]);
    different >= (value.len() / 3).min(8)
        && !value.windows(6).any(|run| in_order(run) || repeats(run))
        && !is_placeholder(value)
}

/// Whether it has upper case, lower case and digits, as a long value in base 62 or 64 has.
pub(super) fn is_mixed(value: &[u8]) -> bool {
    value.iter().any(u8::is_ascii_uppercase)
        && value.iter().any(u8::is_ascii_lowercase)
        && value.iter().any(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_no_secrets() {
        for value in [
            "AKIAIOSFODNN7EXAMPLE",
            "xxxxXXXX",
            "<token>",
            "${TOKEN}",
            "changeme",
            "{token}",
            "%s",
            "$TOKEN",
            "abc...",
            "your-token",
        ] {
            assert!(is_placeholder(value.as_bytes()), "{value}");
        }
        for value in [
            "tiger",
            "aaaaaa",
            "pw",
            "PASSWORD",
            "a",
            "my-token",
            "SuperSecret",
            "airflow",
        ] {
            assert!(is_no_password(value.as_bytes()), "{value}");
        }
        for value in ["hunter2", "s3cr3t-Pa55", "correcthorse"] {
            assert!(!is_no_password(value.as_bytes()), "{value}");
        }
    }

    #[test]
    fn hosts_of_examples_and_of_this_machine_are_none() {
        for host in [
            "localhost",
            "localhost:5432",
            "127.0.0.1:80",
            "[::1]",
            "[::1]:8080",
            "example.com",
            "db.example.org:1",
            "a.test",
            "host:port",
        ] {
            assert!(is_no_host(host.as_bytes()), "{host}");
        }
        for host in [
            "db.acme.io:5432",
            "10.0.0.7",
            "[2001:db8::7]",
            "[fd00::7]:5432",
            "github.com",
            "warehouse:5439",
        ] {
            assert!(!is_no_host(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn what_was_drawn_by_lot_is_told_from_runs_and_words() {
        assert!(is_random(b"q7Rt2mZp9LxVb4Kc8NwYs3Hd"));
        for value in [
            &b"aaaaaaaaaaaaaaaaaaaaaaaa"[..],
            b"q7Rtabcdef9LxVb4Kc8NwYs",
            b"0000000000000000",
        ] {
            assert!(!is_random(value));
        }
    }
}
