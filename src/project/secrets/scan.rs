//! Reads a file piece by piece, and looks for credentials in it.

use std::io::{self, Read};

use super::{
    NamedKind, SecretFinding, anchors, finding::join, hit::Hit, names, stores, value::is_text, wide,
};

/// The bytes that are read at once.
pub(super) const PIECE: usize = 1 << 20;

/// How far a credential reaches behind its anchor.
const AHEAD: usize = 64 << 10;

/// How far before an anchor its context may begin.
const BEHIND: usize = 8 << 10;

/// More of one rule in one file say nothing more.
const MOST: usize = 20;

/// The beginning of a file, by which its encoding is told.
const SAMPLE: usize = 4 << 10;

/// How the bytes of a file become text, if they are not the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TextEncoding {
    Utf16Little,
    Utf16Big,
}

impl TextEncoding {
    /// That of a file which begins with these bytes: by its mark, or because nearly every other byte is zero.
    fn of(sample: &[u8]) -> Option<Self> {
        if sample.starts_with(&[0xff, 0xfe]) {
            return Some(Self::Utf16Little);
        }
        if sample.starts_with(&[0xfe, 0xff]) {
            return Some(Self::Utf16Big);
        }
        let pairs = sample.as_chunks::<2>().0;
        let most = |found: usize| pairs.len() >= 4 && found * 10 >= pairs.len() * 7;
        let count = |is: &dyn Fn(&[u8; 2]) -> bool| pairs.iter().filter(|pair| is(pair)).count();
        if most(count(&|pair| pair[1] == 0 && is_text(pair[0]))) {
            Some(Self::Utf16Little)
        } else if most(count(&|pair| pair[0] == 0 && is_text(pair[1]))) {
            Some(Self::Utf16Big)
        } else {
            None
        }
    }

    /// Adds the text of these bytes. The bytes of half a character are returned.
    fn decode<'b>(self, bytes: &'b [u8], text: &mut Vec<u8>) -> &'b [u8] {
        let unit: fn([u8; 2]) -> u16 = match self {
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

/// A scan that is under way: it is given a file piece by piece.
pub(super) struct Scanner {
    /// What the bytes are as they stand.
    bytes: Window,
    /// What they are as UTF-16, if they begin as such a text; and the half of a character that was left.
    decoded: Option<(TextEncoding, Window)>,
    rest: Vec<u8>,
}

impl Scanner {
    /// For bytes that are no file of their own.
    pub(super) fn new() -> Self {
        Self {
            bytes: Window::default(),
            decoded: None,
            rest: Vec::new(),
        }
    }

    /// For a file that begins with these bytes, and has a name of this kind.
    pub(super) fn of_file(beginning: &[u8], kind: NamedKind) -> Self {
        let mut scanner = Self::new();
        let sample = &beginning[..beginning.len().min(SAMPLE)];
        let window = &mut scanner.bytes;
        window.text.extend_from_slice(beginning);
        window.keep(stores::hit(beginning).into_iter().collect(), 1);
        if let Some(encoding) = TextEncoding::of(sample) {
            let mut decoded = Window::default();
            scanner.rest = encoding.decode(beginning, &mut decoded.text).to_vec();
            decoded.keep(names::hits(kind, &decoded.text), 1);
            decoded.look(false);
            scanner.decoded = Some((encoding, decoded));
        } else {
            window.keep(names::hits(kind, &window.text), 1);
        }
        scanner.bytes.look(false);
        scanner
    }

    /// Looks at what follows.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.text.extend_from_slice(bytes);
        self.bytes.look(false);
        if let Some((encoding, window)) = &mut self.decoded {
            self.rest.extend_from_slice(bytes);
            let rest = encoding.decode(&self.rest, &mut window.text).to_vec();
            self.rest = rest;
            window.look(false);
        }
    }

    /// Pushes all that a reader gives.
    pub(super) fn push_all(&mut self, reader: &mut dyn Read) -> io::Result<()> {
        let mut piece = Vec::new();
        loop {
            piece.clear();
            reader.take(PIECE as u64).read_to_end(&mut piece)?;
            if piece.is_empty() {
                return Ok(());
            }
            self.push(&piece);
        }
    }

    /// Everything that was found.
    pub(super) fn finished(mut self) -> Vec<SecretFinding> {
        self.bytes.look(true);
        let Some((_, mut decoded)) = self.decoded else {
            return self.bytes.finished();
        };
        decoded.look(true);
        // Both are of the same bytes; the text knows the places better.
        join(&mut decoded.found, self.bytes.finished());
        decoded.finished()
    }
}

/// Looks for credentials in what a reader gives, which has a name of this kind.
///
/// # Errors
/// What the reader tells.
pub fn scan(reader: &mut dyn Read, kind: NamedKind) -> io::Result<Vec<SecretFinding>> {
    let mut beginning = Vec::new();
    reader.take(PIECE as u64).read_to_end(&mut beginning)?;
    let mut scanner = Scanner::of_file(&beginning, kind);
    if beginning.len() == PIECE {
        drop(beginning);
        scanner.push_all(reader)?;
    }
    Ok(scanner.finished())
}

/// A text of which a part was looked at.
#[derive(Default)]
struct Window {
    text: Vec<u8>,
    /// Where the part begins that was not looked at.
    fresh: usize,
    /// The lines before the text, and the characters of its first line before it.
    lines: usize,
    columns: usize,
    found: Vec<SecretFinding>,
}

impl Window {
    /// Looks at what is fresh; of what is not the last, only at what is followed by enough.
    fn look(&mut self, is_last: bool) {
        let ahead = if is_last { 0 } else { AHEAD };
        let end = self.text.len().saturating_sub(ahead);
        if end <= self.fresh {
            return;
        }
        let part = self.fresh..end;
        let hits = anchors::hits(&self.text, part.clone());
        self.keep(hits, 1);
        let hits = wide::hits(&self.text, part);
        self.keep(hits, 2);
        self.fresh = end;
        let gone = end.saturating_sub(BEHIND);
        self.pass_over(gone);
    }

    /// Keeps what was found in a text, of whose bytes each, or every other one, is a character.
    fn keep(&mut self, hits: Vec<Hit>, step: usize) {
        for hit in hits {
            let finding = self.finding(&hit, step);
            let same = self
                .found
                .iter()
                .filter(|other| other.is_same_rule(&finding));
            if same.count() < MOST && !self.found.contains(&finding) {
                self.found.push(finding);
            }
        }
    }

    fn finding(&self, hit: &Hit, step: usize) -> SecretFinding {
        let end = hit.value.end.min(self.text.len());
        let (lines, columns) = self.counted(hit.value.start);
        let value = self.text[hit.value.start..end].iter().step_by(step);
        let value: Vec<u8> = value.copied().collect();
        let place = (lines + 1, columns / step + 1);
        SecretFinding::of_value(hit.rule, place, &String::from_utf8_lossy(&value))
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
            .map(|found| {
                (
                    found.rule().unwrap().name().to_owned(),
                    found.line,
                    found.column,
                )
            })
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
