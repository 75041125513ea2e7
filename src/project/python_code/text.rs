//! The text of a Python file, and places in it.

use std::borrow::Cow;

use super::code::{Position, SyntaxError};

/// The largest file in bytes that is read.
const LARGEST: usize = 1 << 20;

/// The most brackets in each other, also in texts and comments. Python allows 200.
const DEEPEST: usize = 1000;

/// The most operators in one statement. Python allows some thousands.
const LONGEST: usize = 100_000;

/// Encodings whose every byte is a character, or that are a part of UTF-8: all that is wanted of them are the names of
/// modules, which are ASCII nearly always.
const BYTE_WISE: [&str; 9] = [
    "latin-1",
    "latin1",
    "iso-8859-1",
    "iso8859-1",
    "iso-8859-15",
    "iso8859-15",
    "cp1252",
    "windows-1252",
    "cp1250",
];

const UTF8: [&str; 6] = ["utf-8", "utf8", "u8", "utf-8-sig", "ascii", "us-ascii"];

/// The text of a file; `None` if it is in an encoding that is not known here.
///
/// # Errors
/// Python cannot decode it.
pub(super) fn decoded(bytes: &[u8]) -> Result<Option<Cow<'_, str>>, SyntaxError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if let Some(zero) = memchr::memchr(0, bytes) {
        let before = String::from_utf8_lossy(&bytes[..zero]);
        return Err(SyntaxError {
            at: LineBegins::of(&before).position(&before, before.len()),
            message: "the file has a zero byte".to_owned(),
            hint: Some("save it as UTF-8".to_owned()),
        });
    }
    let encoding = declared(bytes);
    match encoding.as_deref() {
        Some(name) if BYTE_WISE.contains(&name) => {
            Ok(Some(bytes.iter().map(|byte| char::from(*byte)).collect()))
        }
        Some(name) if !UTF8.contains(&name) => Ok(None),
        _ => match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Some(text.into())),
            Err(error) => {
                let valid = &bytes[..error.valid_up_to()];
                let before = String::from_utf8_lossy(valid);
                Err(SyntaxError {
                    at: LineBegins::of(&before).position(&before, before.len()),
                    message: format!(
                        "byte 0x{:02x} is not UTF-8",
                        bytes.get(valid.len()).copied().unwrap_or_default()
                    ),
                    hint: Some(
                        "save it as UTF-8, or declare what it is in its first line: `# -*- coding: latin-1 -*-`"
                            .to_owned(),
                    ),
                })
            }
        },
    }
}

/// Whether a text may be nested more deeply than Python itself could read.
pub(super) fn is_monstrous(text: &str) -> bool {
    if text.len() > LARGEST {
        return true;
    }
    let opens = |byte: &&u8| matches!(byte, b'(' | b'[' | b'{');
    // What has too few of both in all need not be followed; that is every file that people write.
    let is_small = text.len() <= LONGEST && text.as_bytes().iter().filter(opens).count() <= DEEPEST;
    !is_small && is_nested_too_deeply(text)
}

fn is_nested_too_deeply(text: &str) -> bool {
    let (mut depth, mut operators) = (0_usize, 0_usize);
    let is_too_deep = |byte: u8| {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b'\n' if depth == 0 => operators = 0,
            b'+' | b'-' | b'*' | b'/' | b'%' | b'@' | b'&' | b'|' | b'^' | b'~' | b'.' | b':'
            | b'<' | b'>' => operators += 1,
            _ => {}
        }
        depth > DEEPEST || operators > LONGEST
    };
    text.bytes().any(is_too_deep)
}

/// The encoding that a comment in one of the first two lines declares.
fn declared(bytes: &[u8]) -> Option<String> {
    let mut lines = bytes.split(|byte| *byte == b'\n').take(2);
    lines.find_map(|line| {
        let comment = line.trim_ascii_start().strip_prefix(b"#")?;
        let comment = String::from_utf8_lossy(comment);
        let (_, after) = comment.split_once("coding")?;
        let after = after.strip_prefix([':', '='])?.trim_start();
        let is_name =
            |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
        let end = after
            .find(|character| !is_name(character))
            .unwrap_or(after.len());
        let name = after[..end].to_ascii_lowercase().replace('_', "-");
        (!name.is_empty()).then_some(name)
    })
}

/// Where the lines of a text begin, in bytes.
pub(super) struct LineBegins {
    begins: Vec<usize>,
}

impl LineBegins {
    pub(super) fn of(text: &str) -> Self {
        let bytes = text.as_bytes();
        let ends = memchr::memchr2_iter(b'\n', b'\r', bytes)
            .filter(|at| bytes[*at] == b'\n' || bytes.get(at + 1) != Some(&b'\n'));
        let begins = std::iter::once(0).chain(ends.map(|at| at + 1));
        Self {
            begins: begins.collect(),
        }
    }

    fn line(&self, offset: usize) -> usize {
        self.begins.partition_point(|begin| *begin <= offset) - 1
    }

    /// The position of a byte.
    pub(super) fn position(&self, text: &str, offset: usize) -> Position {
        let line = self.line(offset);
        let before = text.get(self.begins[line]..offset).unwrap_or_default();
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Position(number(line + 1), number(before.chars().count() + 1))
    }

    /// What stands before a byte in its line.
    pub(super) fn before<'t>(&self, text: &'t str, offset: usize) -> &'t str {
        text.get(self.begins[self.line(offset)]..offset)
            .unwrap_or_default()
    }
}
