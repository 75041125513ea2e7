//! UTF-16 in the middle of other bytes: after each character stands a zero byte, and it may begin at any byte.

use std::{ops::Range, sync::OnceLock};

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind, packed};

use super::{anchors, hit::Hit, value::is_text};

/// How many characters before an anchor belong to its text.
const BEHIND: usize = 4 << 10;

/// What finds the anchors with a zero byte between two characters each.
enum Finder {
    Packed(packed::Searcher),
    /// For a processor on which there is no such one. What would look for a rare byte first would look for zero, which is
    /// not rare at all where this is used.
    States(AhoCorasick),
}

impl Finder {
    fn new() -> Option<Self> {
        let spread = |anchor: &str| {
            let spread = anchor.bytes().flat_map(|byte| [0, byte]);
            spread.skip(1).collect::<Vec<u8>>()
        };
        let anchors: Vec<Vec<u8>> = anchors::anchors().map(spread).collect();
        let mut config = packed::Config::new();
        let config = config.match_kind(packed::MatchKind::LeftmostFirst);
        if let Some(packed) = config.builder().extend(&anchors).build() {
            return Some(Self::Packed(packed));
        }
        let mut builder = AhoCorasick::builder();
        let builder = builder.match_kind(MatchKind::LeftmostFirst);
        let builder = builder.kind(Some(AhoCorasickKind::DFA)).prefilter(false);
        builder.build(&anchors).ok().map(Self::States)
    }

    /// Where the next anchor from a place on begins and ends.
    fn next(&self, bytes: &[u8], from: usize) -> Option<Range<usize>> {
        let rest = bytes.get(from..)?;
        let found = match self {
            Self::Packed(packed) => packed.find(rest),
            Self::States(states) => states.find(rest),
        }?;
        Some(from + found.start()..from + found.end())
    }
}

fn finder() -> Option<&'static Finder> {
    static FINDER: OnceLock<Option<Finder>> = OnceLock::new();
    FINDER.get_or_init(Finder::new).as_ref()
}

/// Every credential in UTF-16 whose anchor begins in `part` of these bytes. Of the bytes of its value, every other one is
/// a character: the first one is, and the last one that counts.
pub(super) fn hits(bytes: &[u8], part: Range<usize>) -> Vec<Hit> {
    let (Some(zero), Some(finder)) = (memchr::memchr(0, &bytes[part.clone()]), finder()) else {
        return Vec::new();
    };
    let mut from = (part.start + zero).saturating_sub(1).max(part.start);
    // Where the text ends that was looked at: of those that begin at even bytes, and at odd ones.
    let mut seen = [0; 2];
    let mut hits = Vec::new();
    while let Some(found) = finder
        .next(bytes, from)
        .filter(|found| found.start < part.end)
    {
        from = found.end;
        let at = found.start;
        if at < seen[at % 2] {
            continue;
        }
        let (first, text) = text_around(bytes, at);
        seen[at % 2] = first + 2 * text.len();
        let index = |byte: usize| byte.saturating_sub(first).div_ceil(2).min(text.len());
        let looked = index(part.start)..index(part.end);
        hits.extend(anchors::hits(&text, looked).into_iter().map(|hit| Hit {
            value: first + 2 * hit.value.start..first + 2 * hit.value.end,
            ..hit
        }));
    }
    hits
}

/// The text in UTF-16 with a character at `at`, and where it begins.
fn text_around(bytes: &[u8], at: usize) -> (usize, Vec<u8>) {
    let mut first = at;
    while first >= 2
        && at - first < 2 * BEHIND
        && bytes[first - 1] == 0
        && is_text(bytes[first - 2])
    {
        first -= 2;
    }
    let mut last = at;
    while bytes.get(last + 1) == Some(&0) && bytes.get(last + 2).is_some_and(|byte| is_text(*byte))
    {
        last += 2;
    }
    let text = bytes[first..=last].iter().step_by(2).copied();
    (first, text.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_found_at_any_byte_in_both_orders_and_once() {
        let token = format!("AK{}Q7RT2MZPXLXVB4KC", "IA");
        for unit in [u16::to_le_bytes, u16::to_be_bytes] {
            for shift in 0..4 {
                let mut bytes = vec![0x90; 100 + shift];
                bytes.extend(
                    format!("id = {token}\r\nid = {token}\r\n")
                        .encode_utf16()
                        .flat_map(unit),
                );
                bytes.extend([0xff; 60]);
                let found = hits(&bytes, 0..bytes.len());
                assert_eq!(found.len(), 2, "{shift}");
                let value = bytes[found[1].value.clone()].iter().step_by(2).copied();
                assert_eq!(value.collect::<Vec<u8>>(), token.as_bytes());
                let middle = found[1].value.start;
                let halves = [0..middle, middle..bytes.len()].map(|part| hits(&bytes, part).len());
                assert_eq!(halves, [1, 1], "{shift}");
            }
        }
    }
}
