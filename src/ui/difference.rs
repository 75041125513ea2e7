//! Unified diffs of two texts.

use std::io::{self, IsTerminal};

use super::{Paint, Style, report::visible};

/// The number of unchanged lines around a change.
const CONTEXT: usize = 2;

/// How many lines are searched for the end of a change.
const REACH: usize = 200;

/// The marker after a last line without a line end.
const NO_NEWLINE: &str = "\\ No newline at end of file";

/// The reader of a diff.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// A person at a terminal, to whom no control character may be sent.
    Person,
    /// A program such as `git apply`, which needs every byte of every line.
    Program,
}

impl Reader {
    /// The reader of standard output.
    #[must_use]
    pub fn of_stdout() -> Self {
        if io::stdout().is_terminal() {
            Self::Person
        } else {
            Self::Program
        }
    }

    /// A line as the reader gets it.
    fn line(self, line: &str) -> String {
        let text = line.strip_suffix('\n').unwrap_or(line);
        match self {
            Self::Person => visible(text.strip_suffix('\r').unwrap_or(text)),
            Self::Program => text.to_owned(),
        }
    }

    /// A file's name after `a/` or `b/`.
    fn name(self, prefix: &str, file: &str) -> String {
        let is_odd = |character: char| character.is_control() || "\"\\".contains(character);
        match self {
            Self::Person => format!("{prefix}{}", visible(file)),
            Self::Program if file.contains(is_odd) => quoted(&format!("{prefix}{file}")),
            // Readers take what follows a tab for a timestamp, so a tab marks the end of a name with spaces.
            Self::Program if file.contains(' ') => format!("{prefix}{file}\t"),
            Self::Program => format!("{prefix}{file}"),
        }
    }
}

/// A name as git quotes it: in double quotes, with the escapes of C.
fn quoted(name: &str) -> String {
    let mut quoted = String::from("\"");
    for byte in name.bytes() {
        match byte {
            b'"' | b'\\' => quoted.extend(['\\', char::from(byte)]),
            b' '..=b'~' => quoted.push(char::from(byte)),
            _ => {
                quoted.push('\\');
                for shift in [6, 3, 0] {
                    quoted.push(char::from(b'0' + (byte >> shift & 7)));
                }
            }
        }
    }
    quoted.push('"');
    quoted
}

/// A range of old lines and the new lines that replace it; line numbers from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    old: (usize, usize),
    new: (usize, usize),
}

/// The lines of a file's unified diff; none if the texts are equal.
#[must_use]
pub fn unified(file: &str, old: &str, new: &str, paint: Paint, reader: Reader) -> Vec<String> {
    let (old, new): (Vec<&str>, Vec<&str>) = (lines(old), lines(new));
    let pieces = pieces(&old, &new);
    let mut shown = Vec::new();
    if pieces.is_empty() {
        return shown;
    }
    for (mark, prefix) in [("---", "a/"), ("+++", "b/")] {
        let name = reader.name(prefix, file);
        shown.push(paint.paint(Style::Bold, &format!("{mark} {name}")));
    }
    for hunk in hunks(&pieces) {
        show(hunk, &old, &new, (paint, reader), &mut shown);
    }
    shown
}

/// The lines of a text, with their line ends.
fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

/// The changes, found line by line: after a difference, both texts continue at the nearest equal line.
fn pieces(old: &[&str], new: &[&str]) -> Vec<Piece> {
    let (mut at_old, mut at_new) = (0, 0);
    let mut pieces = Vec::new();
    while at_old < old.len() || at_new < new.len() {
        if at_old < old.len() && old.get(at_old) == new.get(at_new) {
            (at_old, at_new) = (at_old + 1, at_new + 1);
            continue;
        }
        let (skipped, added) = meeting(&old[at_old..], &new[at_new..]);
        pieces.push(Piece {
            old: (at_old, at_old + skipped),
            new: (at_new, at_new + added),
        });
        (at_old, at_new) = (at_old + skipped, at_new + added);
    }
    pieces
}

/// The number of lines to skip in each text until the next lines are equal.
fn meeting(old: &[&str], new: &[&str]) -> (usize, usize) {
    let meets = |skipped: usize, added: usize| match (old.get(skipped), new.get(added)) {
        (None, None) => skipped == old.len() && added == new.len(),
        (left, right) => left == right,
    };
    // A line replaced by one line is the usual result of a rewrite.
    if meets(1, 1) {
        return (1, 1);
    }
    for distance in 1..=REACH {
        for skipped in 0..=distance {
            if meets(skipped, distance - skipped) {
                return (skipped, distance - skipped);
            }
        }
    }
    (old.len(), new.len())
}

/// Groups changes that share context lines into hunks.
fn hunks(pieces: &[Piece]) -> impl Iterator<Item = &[Piece]> {
    pieces.chunk_by(|left, right| right.old.0 - left.old.1 <= 2 * CONTEXT)
}

fn show(
    hunk: &[Piece],
    old: &[&str],
    new: &[&str],
    (paint, reader): (Paint, Reader),
    shown: &mut Vec<String>,
) {
    let (Some(first), Some(last)) = (hunk.first(), hunk.last()) else {
        return;
    };
    let before = first.old.0.min(CONTEXT);
    let start = (first.old.0 - before, first.new.0 - before);
    let after = (old.len() - last.old.1).min(CONTEXT);
    let counts = (last.old.1 + after - start.0, last.new.1 + after - start.1);
    let head = format!(
        "@@ -{} +{} @@",
        range(start.0, counts.0),
        range(start.1, counts.1)
    );
    shown.push(paint.paint(Style::Place, &head));
    let mut line = |mark: char, style, text: &str| {
        shown.push(paint.paint(style, &format!("{mark}{}", reader.line(text))));
        if !text.ends_with('\n') {
            shown.push(NO_NEWLINE.to_owned());
        }
    };
    let mut at = start.0;
    for piece in hunk {
        for text in &old[at..piece.old.0] {
            line(' ', Style::Plain, text);
        }
        for text in &old[piece.old.0..piece.old.1] {
            line('-', Style::Bad, text);
        }
        for text in &new[piece.new.0..piece.new.1] {
            line('+', Style::Good, text);
        }
        at = piece.old.1;
    }
    for text in &old[at..at + after] {
        line(' ', Style::Plain, text);
    }
}

fn range(start: usize, count: usize) -> String {
    match count {
        0 => format!("{start},0"),
        1 => format!("{}", start + 1),
        _ => format!("{},{count}", start + 1),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plain(old: &str, new: &str) -> Vec<String> {
        let paint = Paint::of(false, &|_| None);
        unified("f.yml", old, new, paint, Reader::Person)
    }

    #[test]
    fn changes_stand_in_hunks_with_their_context() {
        let old = "1\n2\n3\n4\nold\n6\n7\n8\n9\n10\n11\nold\n13\n";
        assert_eq!(
            plain(old, &old.replace("old", "new")),
            [
                "--- a/f.yml",
                "+++ b/f.yml",
                "@@ -3,5 +3,5 @@",
                " 3",
                " 4",
                "-old",
                "+new",
                " 6",
                " 7",
                "@@ -10,4 +10,4 @@",
                " 10",
                " 11",
                "-old",
                "+new",
                " 13"
            ]
        );
        assert_eq!(plain(old, old), [""; 0]);
    }

    #[test]
    fn a_value_that_went_over_two_lines_becomes_one() {
        assert_eq!(
            plain("a\n\"x\\\n y\"\r\nb\u{1b}\n", "a\n\"z\"\r\nb\u{1b}\n"),
            [
                "--- a/f.yml",
                "+++ b/f.yml",
                "@@ -1,4 +1,3 @@",
                " a",
                "-\"x\\",
                "- y\"",
                "+\"z\"",
                " b\\u{1b}"
            ]
        );
    }

    #[test]
    fn programs_get_every_byte() {
        let paint = Paint::of(false, &|_| None);
        let shown = |file: &str, old: &str, new: &str| {
            unified(file, old, new, paint, Reader::Program).join("\n")
        };
        assert_eq!(
            shown(
                "f.yml",
                "a\u{1b}\r\nold\r\nb\r\nc",
                "a\u{1b}\r\nnew\r\nb\r\nc"
            ),
            "--- a/f.yml\n+++ b/f.yml\n@@ -1,4 +1,4 @@\n a\u{1b}\r\n-old\r\n+new\r\n b\r\n c\n\\ No newline at end of file"
        );
        assert_eq!(
            shown("f.yml", "old", "old\n"),
            "--- a/f.yml\n+++ b/f.yml\n@@ -1 +1 @@\n-old\n\\ No newline at end of file\n+old"
        );
        let names = |file| {
            let shown = shown(file, "a\n", "b\n");
            shown.split("\n+++").next().unwrap().to_owned()
        };
        assert_eq!(names("ü.yml"), "--- a/ü.yml");
        assert_eq!(names("x y.yml"), "--- a/x y.yml\t");
        assert_eq!(
            names("\"é\\\t.yml"),
            "--- \"a/\\\"\\303\\251\\\\\\011.yml\""
        );
    }

    /// The new text, made from the old one and the diff alone.
    fn applied(old: &[&str], shown: &[String]) -> Vec<String> {
        let mut made = Vec::new();
        let mut at = 0;
        for line in &shown[2.min(shown.len())..] {
            let (mark, text) = line.split_at(1);
            match mark {
                "@" => {
                    let range = text.split('-').nth(1).unwrap().split(' ').next().unwrap();
                    let (start, count) = range.split_once(',').unwrap_or((range, "1"));
                    let start: usize = start.parse().unwrap();
                    let start = if count == "0" { start } else { start - 1 };
                    made.extend(old[at..start].iter().map(|&text| text.to_owned()));
                    at = start;
                }
                "+" => made.push(text.to_owned()),
                _ => {
                    assert_eq!(old[at], text, "{shown:?}");
                    at += 1;
                    if mark == " " {
                        made.push(text.to_owned());
                    }
                }
            }
        }
        made.extend(old[at..].iter().map(|&text| text.to_owned()));
        made
    }

    proptest! {
        #[test]
        fn a_diff_leads_from_the_old_text_to_the_new(
            old in proptest::collection::vec("[abc]", 0..30),
            new in proptest::collection::vec("[abc]", 0..30),
        ) {
            let text = |lines: &[String]| lines.join("\n") + if lines.is_empty() { "" } else { "\n" };
            let shown = plain(&text(&old), &text(&new));
            let lines: Vec<&str> = old.iter().map(String::as_str).collect();
            prop_assert_eq!(applied(&lines, &shown), new);
        }
    }
}
