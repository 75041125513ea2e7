//! The words of a text that may be references, and what stands around them.

use std::{borrow::Cow, ops::Range};

/// A word of a text.
pub(super) struct Word<'t> {
    /// Its bytes in the text.
    pub(super) range: Range<usize>,
    /// As it is read: without backslashes before its slashes.
    pub(super) name: Cow<'t, str>,
}

/// The words of a text that may be references: those with a slash. A word begins behind an escape: `\\nHOST/PATH`.
pub(super) fn words(text: &str) -> impl Iterator<Item = Word<'_>> {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-/:@".contains(byte);
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < bytes.len() {
            let begun = at + bytes[at..].iter().position(is_part)?;
            let mut end = begun;
            loop {
                let length = bytes[end..].iter().position(|byte| !is_part(byte));
                end = length.map_or(bytes.len(), |length| end + length);
                if !bytes[end..].starts_with(b"\\/") {
                    break;
                }
                end += 2;
            }
            at = end + 1;
            if !bytes[begun..end].contains(&b'/') {
                continue;
            }
            let start = (begun + escape(&bytes[..begun], &bytes[begun..end])).min(end);
            let start = start + default(&bytes[..begun], &bytes[start..end]);
            let word = &text[start..end];
            if word.contains('/') {
                let name = if word.contains('\\') {
                    Cow::Owned(word.replace("\\/", "/"))
                } else {
                    Cow::Borrowed(word)
                };
                return Some(Word {
                    range: start..end,
                    name,
                });
            }
        }
        None
    })
}

/// How many bytes at the beginning of a word belong to an escape that begins before it.
fn escape(before: &[u8], word: &[u8]) -> usize {
    if before.last() != Some(&b'\\') {
        return 0;
    }
    match word.first() {
        Some(b'n' | b't' | b'r' | b'0' | b'a' | b'b' | b'e' | b'f' | b'v' | b'N' | b'L' | b'P') => {
            1
        }
        Some(b'x') => 3,
        Some(b'u') => 5,
        Some(b'U') => 9,
        _ => 0,
    }
}

/// How many bytes at the beginning of a word belong to the variable whose default follows: `${IMAGE:-HOST/PATH}`. Or to
/// an option.
fn default(before: &[u8], word: &[u8]) -> usize {
    let is_name = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'_';
    let is_operator = |byte: &&u8| b":-".contains(byte);
    let name = if before.ends_with(b"${") {
        word.iter().take_while(is_name).count()
    } else {
        0
    };
    name + word[name..].iter().take_while(is_operator).count()
}

/// Whether a word is a whole YAML value, judging by its line alone.
pub(super) fn is_whole(text: &str, word: &Range<usize>) -> bool {
    let is_quote = |character: char| "'\"".contains(character);
    let before = &text[line_start(text, word.start)..word.start];
    // In quotes, a line may begin behind an escape.
    let before = before.rsplit("\\n").next().unwrap_or_default();
    let before = before.trim_end_matches(is_quote).trim_end();
    let before = without_properties(before);
    let behind = &text[word.end..];
    let line_end = behind.find(['\n', '\r']).unwrap_or(behind.len());
    let behind = behind[..line_end].split("\\n").next().unwrap_or_default();
    let behind = behind.trim_start_matches(is_quote);
    // A command may go on in the next line.
    let ends = matches!(behind.trim(), "" | "\\")
        || behind.trim_start().starts_with([',', ']', '}'])
        || behind.trim_start().starts_with('#') && behind.starts_with([' ', '\t']);
    // A key, with a colon behind it, is a value of its own, too.
    let is_key = if text[word.clone()].ends_with(':') {
        behind.is_empty() || behind.starts_with(char::is_whitespace)
    } else {
        behind.starts_with(": ") || behind.trim_end() == ":"
    };
    (ends || is_key) && (before.is_empty() || before.ends_with([':', '-', '[', '{', ',', '=', '?']))
}

/// Keys whose values are sentences for people.
const SENTENCES: &[&str] = &[
    "annotation",
    "changelog",
    "comment",
    "comments",
    "description",
    "doc",
    "docs",
    "documentation",
    "help",
    "info",
    "message",
    "note",
    "notes",
    "reason",
    "summary",
    "title",
];

/// Whether a word stands in a text in double quotes that is more than a sentence: one with line ends or quotes of its
/// own, as a script or JSON has them.
pub(super) fn is_escaped(text: &str, word: &Range<usize>) -> bool {
    let start = line_start(text, word.start);
    let (before, behind) = (&text[start..word.start], &text[word.end..]);
    let line_end = behind.find(['\n', '\r']).unwrap_or(behind.len());
    let behind = &behind[..line_end];
    let is_opening = |(at, _): &(usize, &str)| {
        let slashes = before[..*at]
            .bytes()
            .rev()
            .take_while(|byte| *byte == b'\\');
        slashes.count() % 2 == 0
    };
    let is_closing = |(at, _): &(usize, &str)| !behind[..*at].ends_with('\\');
    let opening = before.match_indices('"').rev().find(is_opening);
    let closing = behind.match_indices('"').find(is_closing);
    // Either quote may stand on another line.
    if opening.is_none() && closing.is_none() && !before.contains("\\n") && !behind.contains("\\n")
    {
        return false;
    }
    let inside = &before[opening.map_or(0, |(at, _)| at + 1)..];
    let rest = &behind[..closing.map_or(behind.len(), |(at, _)| at)];
    let has_escapes = |text: &str| {
        let behind = text.split('\\').skip(1);
        let mut behind = behind.filter_map(|behind| behind.chars().next());
        behind.any(|escape| "nrtxuU".contains(escape)) || text.contains("\\\"")
    };
    if !has_escapes(inside) && !has_escapes(rest) {
        return false;
    }
    let key = before[..opening.map_or(0, |(at, _)| at)].trim_end();
    let key = key.trim_end_matches(':').trim_end_matches(['"', '\'']);
    let name = key
        .rsplit(|part: char| !part.is_ascii_alphanumeric())
        .next();
    !is_for_people(name.unwrap_or_default())
}

/// Whether the value of a key is text for people, judging by its name.
pub(super) fn is_for_people(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let is_document = [".md", ".txt", ".rst", ".html"]
        .iter()
        .any(|ending| key.ends_with(ending));
    is_document || SENTENCES.contains(&key.as_str())
}

/// A line's beginning without the anchor and the tag of the value that follows: `a: &x !!str`.
fn without_properties(before: &str) -> &str {
    let mut before = before;
    while let Some((rest, last)) = before.rsplit_once(char::is_whitespace)
        && last.starts_with(['&', '!'])
    {
        before = rest.trim_end();
    }
    before
}

pub(super) fn line_start(text: &str, offset: usize) -> usize {
    text[..offset].rfind(['\n', '\r']).map_or(0, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        words(text).map(|word| word.name.into_owned()).collect()
    }

    #[test]
    fn words_begin_behind_escapes() {
        for (text, expected) in [
            (r#""run\nh/a:1\nexit""#, "h/a:1"),
            (r#""run\th/a:1\t""#, "h/a:1"),
            (r#""\"h/a:1\"""#, "h/a:1"),
            (r#""{\\"a\\": \\"b\\nh/a:1\\n\\"}""#, "h/a:1"),
            (r#""\x20h/a:1""#, "h/a:1"),
            (r#""\u0020h/a:1""#, "h/a:1"),
            (r#""h\/a:1""#, "h/a:1"),
            (r#""h\/b\/a:1" c"#, "h/b/a:1"),
            ("n/a:1", "n/a:1"),
            ("${A:-h/a:1}", "h/a:1"),
            ("${A_B-h/a:1}", "h/a:1"),
            ("$A-h/a:1", "A-h/a:1"),
            ("\"-h/a:1\"", "h/a:1"),
            ("--/a", "/a"),
        ] {
            assert_eq!(found(text), [expected], "{text}");
        }
        assert_eq!(found(r"\x/ \u1/"), [""; 0]);
    }

    #[test]
    fn a_whole_value_is_known_by_its_line() {
        for (text, expected) in [
            ("a: h/a", true),
            ("- 'h/a'", true),
            ("h/a: b", true),
            ("\"h/a\": b", true),
            ("a: {h/a: b}", true),
            ("? h/a", true),
            ("h/a:", true),
            ("\"h/a\":", true),
            ("see h/a: it", false),
            ("a: see h/a", false),
            ("a: h/a is", false),
        ] {
            let word = words(text).next().unwrap();
            assert_eq!(is_whole(text, &word.range), expected, "{text}");
        }
    }

    #[test]
    fn a_text_with_escapes_is_more_than_a_sentence() {
        for (text, expected) in [
            (r#"x: "run WORD\nexit""#, true),
            (r#"x: "run\nWORD""#, true),
            (r#"x: "echo \"WORD\" now""#, true),
            (r#"{"x": "a\tb WORD"}"#, true),
            ("  run WORD now\\n\\", true),
            (r#"description: "see WORD\nthere""#, false),
            (r#"{"message": "see WORD\nthere"}"#, false),
            (r#"x: "see WORD there""#, false),
            (r#"x: see WORD there # "\n""#, false),
            (r#"a: "b\nc", x: "see WORD there""#, false),
            (r#"x: "see WORD there", a: "b\nc""#, false),
            ("x: see WORD there", false),
        ] {
            let start = text.find("WORD").unwrap();
            assert_eq!(is_escaped(text, &(start..start + 4)), expected, "{text}");
        }
    }
}
