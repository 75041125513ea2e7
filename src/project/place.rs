//! Places in files that people write, and defects found there.

use std::{fmt, path::PathBuf};

use crate::code::Code;

/// A place in a file; lines and columns count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The path as messages show it: relative to the project's folder if it lies there.
    pub file: PathBuf,
    /// 1 is the first line.
    pub line: usize,
    /// 1 is the first character of the line.
    pub column: usize,
}

impl Place {
    /// The place of the byte `offset` of `text`.
    #[must_use]
    pub fn of_offset(file: impl Into<PathBuf>, text: &str, offset: usize) -> Self {
        let mut end = offset.min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let before = &text[..end];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            file: file.into(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..]
                .trim_start_matches('\u{feff}')
                .chars()
                .count()
                + 1,
        }
    }

    /// The first character of a line.
    #[must_use]
    pub fn of_line(file: impl Into<PathBuf>, line: usize) -> Self {
        Self {
            file: file.into(),
            line,
            column: 1,
        }
    }
}

/// Finds places in a text for ascending offsets, so that no line is counted twice.
#[derive(Debug)]
pub struct Places<'t> {
    text: &'t str,
    line: usize,
    /// The offset at which the current line begins.
    start: usize,
}

impl<'t> Places<'t> {
    /// The places of `text`.
    #[must_use]
    pub fn of(text: &'t str) -> Self {
        Self {
            text,
            line: 1,
            start: 0,
        }
    }

    /// The place of the byte at `offset`.
    pub fn at(&mut self, file: impl Into<PathBuf>, offset: usize) -> Place {
        if let Some(between) = self.text.get(self.start..offset)
            && let Some(newline) = between.rfind('\n')
        {
            self.line += between.matches('\n').count();
            self.start += newline + 1;
        }
        let Some(rest) = self.text.get(self.start..).filter(|_| self.start <= offset) else {
            return Place::of_offset(file, self.text, offset);
        };
        let place = Place::of_offset(file, rest, offset - self.start);
        Place {
            line: self.line + place.line - 1,
            ..place
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}:{}:{}",
            self.file.display(),
            self.line,
            self.column
        )
    }
}

/// A mistake in a file that a person wrote: what it is, where it is, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct Defect {
    /// `E021` and the like.
    pub code: Code,
    /// Where it is.
    pub place: Place,
    /// What it is, quoting the offending text.
    pub message: String,
    /// What to write or type, if that is known.
    pub hint: Option<String>,
}

impl Defect {
    /// A defect without a hint.
    #[must_use]
    pub fn new(code: Code, place: Place, message: impl Into<String>) -> Self {
        Self {
            code,
            place,
            message: message.into(),
            hint: None,
        }
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }
}

/// As much of a text as a message has room for.
#[must_use]
pub fn shortened(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// No name that somebody could have mistyped is longer, in bytes.
const LONGEST_NAME: usize = 256;

/// The candidate that `written` was most likely meant to be, if one is close enough.
#[must_use]
pub fn nearest<'a>(
    written: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // What is much longer is not near, and to find out how far would take long.
    if written.len() > LONGEST_NAME {
        return None;
    }
    let distance = |candidate: &str| strsim::damerau_levenshtein(candidate, written);
    let near = |candidate: &&str| distance(candidate) <= 1 + written.len().max(candidate.len()) / 3;
    candidates
        .into_iter()
        .filter(near)
        .min_by_key(|candidate| distance(candidate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_the_order_of_a_text_are_those_of_its_bytes() {
        let text = "\u{feff}a\r\n\nü = x\n\u{feff}b\n";
        let mut places = Places::of(text);
        for offset in (0..text.len() + 3).chain([4, 0, 9]) {
            let place = Place::of_offset("f", text, offset);
            assert_eq!(places.at("f", offset), place, "{offset}");
        }
    }

    #[test]
    fn places_count_characters_and_ignore_a_byte_order_mark() {
        let text = "\u{feff}a = 1\r\nü = x";
        assert_eq!(Place::of_offset("f", text, 3).to_string(), "f:1:1");
        assert_eq!(
            Place::of_offset("f", text, text.len() - 1).to_string(),
            "f:2:5"
        );
    }

    #[test]
    fn nearest_is_near_or_nothing() {
        assert_eq!(nearest("bsae", ["base", "ds"]), Some("base"));
        assert_eq!(
            nearest("regsitry", ["registries", "reference"]),
            Some("registries")
        );
        assert_eq!(nearest("zzz", ["base", "ds"]), None);
    }

    #[test]
    fn a_long_text_is_near_nothing_and_takes_no_long_time() {
        let long = "x".repeat(10_000_000);
        assert_eq!(nearest(&long, ["base", "ds", &long]), None);
    }
}
