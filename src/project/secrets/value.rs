//! Values in a text: how far they reach, and what is between a name and its value.

use std::ops::Range;

/// Whether a byte is that of a character of ASCII in a text.
pub(super) fn is_text(byte: u8) -> bool {
    byte.is_ascii_graphic() || byte.is_ascii_whitespace()
}

/// Letters and digits.
pub(super) fn base62(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

/// What tokens are made of.
pub(super) fn base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

pub(super) fn base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/'
}

pub(super) fn hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

/// The bytes from `start` on that `is_part` accepts, at most `most`.
pub(super) fn run(text: &[u8], start: usize, most: usize, is_part: fn(u8) -> bool) -> Range<usize> {
    let rest = text.get(start..).unwrap_or_default();
    let length = rest
        .iter()
        .take(most)
        .take_while(|byte| is_part(**byte))
        .count();
    start..start + length
}

/// A run with a length of this range, which nothing of its kind goes on.
pub(super) fn whole_run(
    text: &[u8],
    start: usize,
    length: std::ops::RangeInclusive<usize>,
    is_part: fn(u8) -> bool,
) -> Option<Range<usize>> {
    let found = run(text, start, length.end() + 1, is_part);
    length.contains(&found.len()).then_some(found)
}

/// Whether what begins at `start` is the rest of a longer word.
pub(super) fn is_within(text: &[u8], start: usize, is_part: fn(u8) -> bool) -> bool {
    let before = start.checked_sub(1).and_then(|at| text.get(at));
    // `\n` and the like, as they are written in JSON and in code.
    let is_escaped = || start >= 2 && text[start - 2] == b'\\' && b"nrt".contains(&text[start - 1]);
    before.is_some_and(|byte| is_part(*byte)) && !is_escaped()
}

/// Where a value begins whose name ends at `end`: behind quotes, colons, equals signs and blanks on the same line. None if
/// nothing parts them.
pub(super) fn value_after(text: &[u8], end: usize) -> Option<usize> {
    let rest = text.get(end..)?;
    let between = rest
        .iter()
        .take(24)
        .take_while(|byte| b" \t\"'\\:=,>()[]".contains(byte));
    let length = between.count();
    (length > 0).then_some(end + length)
}

/// A value up to a blank, a quote, or what else ends one.
pub(super) fn literal(text: &[u8], start: usize) -> Range<usize> {
    run(text, start, 4096, |byte| {
        !byte.is_ascii_whitespace() && !b"\"'`\\,;".contains(&byte)
    })
}

/// The bytes before `start`, at most `most`.
pub(super) fn before(text: &[u8], start: usize, most: usize) -> &[u8] {
    &text[start.saturating_sub(most)..start.min(text.len())]
}

/// The bytes from `start` on, at most `most`.
pub(super) fn after(text: &[u8], start: usize, most: usize) -> &[u8] {
    let start = start.min(text.len());
    &text[start..text.len().min(start + most)]
}

/// Whether a part lies in a text, whatever its case.
pub(super) fn has(text: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(&text.to_ascii_lowercase(), part).is_some()
}
