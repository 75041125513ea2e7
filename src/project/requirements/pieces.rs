//! The pieces of which requirements are made: names, extras, markers and URLs, and what is wrong with one.

use super::variables::has_credentials;
use crate::{
    code::Code,
    project::{place::nearest, wheel::normalise},
};

/// What is wrong with a line, and the offset at which it is wrong.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) code: Code,
    pub(super) offset: usize,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl Wrong {
    pub(super) fn new(code: Code, offset: usize, message: impl Into<String>) -> Self {
        Self {
            code,
            offset,
            message: message.into(),
            hint: None,
        }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }
}

/// Refuses a URL with a user or a password that is written out.
pub(super) fn refuse_credentials(url: &str, offset: usize) -> Result<(), Wrong> {
    if !has_credentials(url) {
        return Ok(());
    }
    let message = format!("`{}` holds a user or a password", masked(url));
    Err(Wrong::new(Code::E042, offset, message).hint(
        "take it out of the file: write a variable, `https://${INDEX_USER}:${INDEX_PASSWORD}@…`, or put the password into ~/.netrc",
    ))
}

pub(super) fn unpinnable(shown: &str, offset: usize) -> Wrong {
    Wrong::new(
        Code::E041,
        offset,
        format!("`{shown}` names no version on an index, so it cannot be locked"),
    )
    .hint(
        "build a wheel of it, `pip wheel --no-deps --wheel-dir wheels …`, and write the wheel's path, `./wheels/NAME.whl`; or put \
         the source into `src`",
    )
}

pub(super) fn name_length(text: &str) -> usize {
    let of_name = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
    text.find(|character| !of_name(character))
        .unwrap_or(text.len())
}

pub(super) fn extras(head: &str, from: usize) -> Result<(Vec<String>, usize), Wrong> {
    let rest = head[from..].trim_start();
    let open = head.len() - rest.len();
    let Some(inner) = rest.strip_prefix('[') else {
        return Ok((Vec::new(), from));
    };
    let Some(close) = inner.find(']') else {
        return Err(Wrong::new(
            Code::E047,
            open,
            "the `[` of the extras is not closed",
        ));
    };
    let mut extras = Vec::new();
    for extra in inner[..close]
        .split(',')
        .map(str::trim)
        .filter(|extra| !extra.is_empty())
    {
        if name_length(extra) != extra.len() {
            return Err(Wrong::new(
                Code::E047,
                open,
                format!("`{extra}` is not the name of an extra"),
            ));
        }
        extras.push(normalise(extra));
    }
    extras.sort();
    extras.dedup();
    Ok((extras, open + 1 + close + 1))
}

const MARKER_WORDS: [&str; 16] = [
    "and",
    "or",
    "in",
    "not",
    "python_version",
    "python_full_version",
    "os_name",
    "sys_platform",
    "platform_release",
    "platform_system",
    "platform_version",
    "platform_machine",
    "platform_python_implementation",
    "implementation_name",
    "implementation_version",
    "extra",
];

/// A marker in one notation: single spaces, double quotes.
pub(super) fn marker(text: &str, offset: usize) -> Result<String, Wrong> {
    let words = marker_words(text, offset, &[])?;
    if words.is_empty() {
        return Err(Wrong::new(Code::E047, offset, "nothing follows the `;`"));
    }
    Ok(words.join(" "))
}

/// The words of a marker, with double quotes where that can be; `more` are words that have a meaning, too.
pub(super) fn marker_words(text: &str, offset: usize, more: &[&str]) -> Result<Vec<String>, Wrong> {
    let mut words: Vec<String> = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let at = offset + text.len() - rest.len();
        let operator = |character: char| "<>=!~".contains(character);
        let of_word =
            |character: char| character.is_ascii_alphanumeric() || "_.".contains(character);
        let length = match first {
            '"' | '\'' => match rest[1..].find(first) {
                Some(end) => end + 2,
                None => {
                    return Err(Wrong::new(
                        Code::E047,
                        at,
                        "a quote in the marker is not closed",
                    ));
                }
            },
            '(' | ')' => 1,
            _ if operator(first) => rest.find(|next| !operator(next)).unwrap_or(rest.len()),
            _ if of_word(first) => rest.find(|next| !of_word(next)).unwrap_or(rest.len()),
            other => {
                return Err(Wrong::new(
                    Code::E047,
                    at,
                    format!("`{other}` has no meaning in a marker"),
                ));
            }
        };
        let word = &rest[..length];
        if of_word(first) && !MARKER_WORDS.contains(&word) && !more.contains(&word) {
            let wrong = Wrong::new(
                Code::E047,
                at,
                format!("`{word}` has no meaning in a marker"),
            );
            let near = nearest(word, MARKER_WORDS);
            return Err(match near {
                Some(near) => wrong.hint(format!("did you mean `{near}`?")),
                None => wrong.hint("a marker is written like `python_version >= \"3.10\"`"),
            });
        }
        let inner = word.trim_matches('\'');
        let single = first == '\'' && !inner.contains('"');
        words.push(if single {
            format!("\"{inner}\"")
        } else {
            word.to_owned()
        });
        rest = rest[length..].trim_start();
    }
    Ok(words)
}

/// The text with possible secrets of a URL replaced by `***`: everything before its last `@`, and its query.
#[must_use]
pub fn masked(text: &str) -> String {
    let Some((before, url)) = text.split_once("://") else {
        return text.to_owned();
    };
    let end = url.find(char::is_whitespace).unwrap_or(url.len());
    let (url, after) = url.split_at(end);
    let shown = match url.rfind('@') {
        Some(at) if !(before.contains('+') && is_revision(url, at)) => {
            format!("***{}", &url[at..])
        }
        _ => url.to_owned(),
    };
    let shown = match shown.split_once('?') {
        Some((path, _)) => format!("{path}?***"),
        None => shown,
    };
    format!("{before}://{shown}{}", masked(after))
}

/// Whether the `@` at a position of a repository's URL is before a revision: a host without a user is at the head of the URL,
/// and no path is behind the `@`.
fn is_revision(url: &str, at: usize) -> bool {
    let (repository, revision) = url.split_at(at);
    let host = repository.split_once('/').map_or("", |(host, _)| host);
    let of_host = |next: char| next.is_ascii_alphanumeric() || ".-".contains(next);
    host.contains('.') && host.chars().all(of_host) && !revision.contains(['/', ':'])
}

/// The last component of a URL or a path, decoded.
#[must_use]
pub fn file_name_of(url: &str) -> String {
    let path = url.split(['#', '?']).next().unwrap_or_default();
    decoded(path.rsplit('/').next().unwrap_or_default())
}

/// A part of a URL with its `%` sequences decoded.
pub(super) fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let byte = after.get(..2).and_then(|digits| hex::decode(digits).ok());
        match byte.as_deref() {
            Some([byte]) if first == b'%' => {
                bytes.push(*byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_is_shown_and_what_may_be_a_secret_is_not() {
        for (url, shown) in [
            (
                "git+https://h.example/x.git@v1#egg=x",
                "git+https://h.example/x.git@v1#egg=x",
            ),
            ("git+ssh://git@h.example/x.git@v1", "git+ssh://***@v1"),
            (
                "git+https://u:p@h.example/x.git",
                "git+https://***@h.example/x.git",
            ),
            ("git+https://u:p/w@h.example", "git+https://***@h.example"),
            (
                "git+https://to.ken/w@h.example/x",
                "git+https://***@h.example/x",
            ),
            ("https://h.example/x@v1", "https://***@v1"),
            ("https://h.example/x?token=t", "https://h.example/x?***"),
        ] {
            assert_eq!(masked(url), shown);
        }
    }
}
