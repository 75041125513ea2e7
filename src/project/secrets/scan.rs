//! Reads a file piece by piece, and looks for credentials in it.

use std::{
    io::{self, Read},
    ops::Range,
    path::Path,
};

use serde::{Deserialize, Serialize};

use super::{NamedKind, SecretRule, anchors, hit::Hit, names, stores};

/// The bytes that are read at once.
const PIECE: usize = 1 << 20;

/// How far a credential reaches behind its anchor.
const AHEAD: usize = 64 << 10;

/// How far before an anchor its context may begin.
const BEHIND: usize = 8 << 10;

/// More of one rule in one file say nothing more.
const MOST: usize = 20;

/// The beginning of a file, by which its encoding is told.
const SAMPLE: usize = 4 << 10;

/// Something that looks like a credential.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct SecretFinding {
    /// The name of its rule.
    rule: String,
    /// 1 is the first line.
    pub line: usize,
    /// 1 is the first character of the line.
    pub column: usize,
    /// The first characters of the value, four at most.
    pub beginning: String,
    /// The length of the value, in characters.
    pub length: usize,
    /// The path in the archive that the file is, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
}

impl SecretFinding {
    /// Its rule; `None` if it was kept by another version.
    #[must_use]
    pub fn rule(&self) -> Option<SecretRule> {
        SecretRule::named(&self.rule)
    }

    /// Whether it is what anybody can make for a test, in the folder of a package's tests.
    #[must_use]
    pub fn is_key_of_tests(&self) -> bool {
        let member = Path::new(self.member.as_deref().unwrap_or_default());
        let folders = member.parent().into_iter().flatten();
        let mut names = folders.filter_map(|name| name.to_str());
        self.rule().is_some_and(SecretRule::is_self_made)
            && names.any(|name| ["test", "tests", "testing", "testdata"].contains(&name))
    }

    /// The same in a member of an archive.
    #[must_use]
    pub fn within(self, member: &str) -> Self {
        let member = match self.member {
            Some(inner) => format!("{member}/{inner}"),
            None => member.to_owned(),
        };
        Self {
            member: Some(member),
            ..self
        }
    }

    /// The value as messages show it.
    #[must_use]
    pub fn masked(&self) -> String {
        format!("{}… ({} characters)", self.beginning, self.length)
    }
}

/// How the bytes of a file become text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TextEncoding {
    /// They are the text.
    Bytes,
    Utf16Little,
    Utf16Big,
}

impl TextEncoding {
    /// That of a file which begins with these bytes: by its mark, or because nearly every other byte is zero.
    fn of(sample: &[u8]) -> Self {
        if sample.starts_with(&[0xff, 0xfe]) {
            return Self::Utf16Little;
        }
        if sample.starts_with(&[0xfe, 0xff]) {
            return Self::Utf16Big;
        }
        let pairs = sample.as_chunks::<2>().0;
        let is_text = |byte: u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
        let most = |found: usize| pairs.len() >= 4 && found * 10 >= pairs.len() * 7;
        let count = |is: &dyn Fn(&[u8; 2]) -> bool| pairs.iter().filter(|pair| is(pair)).count();
        if most(count(&|pair| pair[1] == 0 && is_text(pair[0]))) {
            Self::Utf16Little
        } else if most(count(&|pair| pair[0] == 0 && is_text(pair[1]))) {
            Self::Utf16Big
        } else {
            Self::Bytes
        }
    }

    /// Adds the text of these bytes. The bytes of half a character are returned.
    fn decode<'b>(self, bytes: &'b [u8], text: &mut Vec<u8>) -> &'b [u8] {
        let unit: fn([u8; 2]) -> u16 = match self {
            Self::Bytes => {
                text.extend_from_slice(bytes);
                return &[];
            }
            Self::Utf16Little => u16::from_le_bytes,
            Self::Utf16Big => u16::from_be_bytes,
        };
        let (pairs, rest) = bytes.as_chunks::<2>();
        let units = pairs.iter().map(|pair| unit(*pair));
        for character in char::decode_utf16(units) {
            let character = character.unwrap_or(char::REPLACEMENT_CHARACTER);
            text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
        rest
    }
}

/// A scan that is under way.
struct Window {
    text: Vec<u8>,
    /// Where the part begins that was not looked at.
    fresh: usize,
    /// The lines before the text, and the characters of its first line before it.
    lines: usize,
    columns: usize,
    found: Vec<SecretFinding>,
}

/// Looks for credentials in what a reader gives, which has a name of this kind.
///
/// # Errors
/// What the reader tells.
pub fn scan(reader: &mut dyn Read, kind: NamedKind) -> io::Result<Vec<SecretFinding>> {
    let mut bytes = Vec::new();
    let mut window = Window {
        text: Vec::new(),
        fresh: 0,
        lines: 0,
        columns: 0,
        found: Vec::new(),
    };
    let mut encoding = None;
    loop {
        let held = bytes.len();
        reader.take(PIECE as u64).read_to_end(&mut bytes)?;
        let is_last = bytes.len() == held;
        let is_first = encoding.is_none();
        let known =
            *encoding.get_or_insert_with(|| TextEncoding::of(&bytes[..bytes.len().min(SAMPLE)]));
        let rest = known.decode(&bytes, &mut window.text).to_vec();
        if is_first {
            window.keep(stores::hit(&bytes).into_iter().collect());
            window.keep(names::hits(kind, &window.text));
        }
        bytes = rest;
        window.look(is_last);
        if is_last {
            return Ok(window.finished());
        }
    }
}

impl Window {
    /// Looks at what is fresh; of what is not the last, only at what is followed by enough.
    fn look(&mut self, is_last: bool) {
        let ahead = if is_last { 0 } else { AHEAD };
        let end = self.text.len().saturating_sub(ahead);
        if end <= self.fresh {
            return;
        }
        let hits = anchors::hits(&self.text, self.fresh..end);
        self.keep(hits);
        self.fresh = end;
        let gone = end.saturating_sub(BEHIND);
        self.pass_over(gone);
    }

    fn keep(&mut self, hits: Vec<Hit>) {
        for hit in hits {
            let finding = self.finding(&hit);
            let same = self.found.iter().filter(|other| other.rule == finding.rule);
            if same.count() < MOST && !self.found.contains(&finding) {
                self.found.push(finding);
            }
        }
    }

    fn finding(&self, hit: &Hit) -> SecretFinding {
        let Range { start, end } = hit.value.clone();
        let end = end.min(self.text.len());
        let (lines, columns) = self.counted(start);
        let value = String::from_utf8_lossy(&self.text[start..end]);
        let value = value.trim();
        let length = value.chars().count();
        // Of a short one the first characters would tell too much, and of a binary one nothing.
        let shown = (length / 4).min(4);
        let beginning: String = value.chars().take(shown).collect();
        let is_plain = beginning.bytes().all(|byte| byte.is_ascii_graphic());
        SecretFinding {
            rule: hit.rule.name().to_owned(),
            line: lines + 1,
            column: columns + 1,
            beginning: if is_plain { beginning } else { String::new() },
            length,
            member: None,
        }
    }

    /// The lines before `at`, and the characters of its line before it.
    fn counted(&self, at: usize) -> (usize, usize) {
        let before = &self.text[..at];
        let is_start = |byte: &u8| byte & 0xc0 != 0x80;
        let characters = |line: &[u8]| {
            let line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line);
            line.iter().filter(|byte| is_start(byte)).count()
        };
        match memchr::memrchr(b'\n', before) {
            None => (self.lines, self.columns + characters(before)),
            Some(last) => {
                let lines = memchr::memchr_iter(b'\n', before).count();
                (self.lines + lines, characters(&before[last + 1..]))
            }
        }
    }

    /// Drops the first `gone` bytes.
    fn pass_over(&mut self, gone: usize) {
        (self.lines, self.columns) = self.counted(gone);
        self.text.drain(..gone);
        self.fresh -= gone;
    }

    /// Of one place, the more telling finding is kept: the first.
    fn finished(mut self) -> Vec<SecretFinding> {
        self.found
            .sort_by_key(|finding| (finding.line, finding.column));
        self.found
            .dedup_by_key(|finding| (finding.line, finding.column));
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Put together here, so that no scanner takes this file for a leak.
    fn token() -> String {
        format!("AK{}Q7RT2MZPXLXVB4KC", "IA")
    }

    fn found(bytes: &[u8]) -> Vec<(String, usize, usize)> {
        let found = scan(&mut &bytes[..], NamedKind::Other).unwrap();
        let found = found.into_iter();
        found
            .map(|found| (found.rule, found.line, found.column))
            .collect()
    }

    #[test]
    fn wherever_it_lies_between_two_pieces_it_is_found_once_at_its_place() {
        for near in [
            PIECE,
            2 * PIECE,
            PIECE - AHEAD,
            PIECE - BEHIND,
            PIECE - AHEAD - BEHIND,
        ] {
            for shift in [0, 1, 10, 19, 20, 21, 40] {
                let before = near - shift;
                let mut bytes = b"0123456789 abcdefg\n".repeat(before / 19);
                let column = before - bytes.len() + 2;
                let line = before / 19 + 1;
                bytes.resize(before, b'.');
                bytes.push(b' ');
                bytes.extend(token().bytes());
                bytes.extend(b"\n".repeat(3 * PIECE - bytes.len()));
                let wanted = ("aws-access-key".to_owned(), line, column);
                assert_eq!(found(&bytes), [wanted], "{near} - {shift}");
            }
        }
    }

    #[test]
    fn utf_16_is_read_to_its_end_and_counted_in_characters() {
        let text = format!("{}\u{1f600}\u{e9} {}", "no line\n".repeat(400_000), token());
        for unit in [u16::to_le_bytes, u16::to_be_bytes] {
            let bytes: Vec<u8> = text.encode_utf16().flat_map(unit).collect();
            let wanted = ("aws-access-key".to_owned(), 400_001, 4);
            assert_eq!(found(&bytes), [wanted]);
        }
    }

    #[test]
    fn many_of_one_rule_hide_none_of_another() {
        let many = "https://me:s3cr3t99@git.acme.io\n".repeat(200);
        let text = format!("{many}{}\n", token());
        let found = found(text.as_bytes());
        assert_eq!(found.len(), MOST + 1);
        assert_eq!(
            found.last().unwrap(),
            &("aws-access-key".to_owned(), 201, 1)
        );
    }

    #[test]
    fn of_a_value_four_characters_are_shown_at_most_and_of_a_short_one_fewer() {
        let masked = |text: &str| {
            let found = scan(&mut text.as_bytes(), NamedKind::Other).unwrap();
            found[0].masked()
        };
        assert_eq!(masked(&token()), "AKIA… (20 characters)");
        assert_eq!(
            masked("https://me:s3cr3t99@git.acme.io"),
            "s3… (8 characters)"
        );
        assert_eq!(
            masked("https://me:\u{fc}berg4ng@git.acme.io"),
            "… (8 characters)"
        );
    }
}
