//! Anchors that have aliases: a change of the bytes of their values changes other places, too.

use std::{cmp::Reverse, ops::Range};

use crate::project::place::Place;

/// An anchor with aliases, on a scalar or on a collection around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SharedAnchor {
    /// As written: `&x`.
    pub(super) anchor: String,
    pub(super) anchor_place: Place,
    /// The alias that leads to the image; else the anchor's first alias.
    pub(super) alias_place: Place,
    /// The image is found through the alias, not where the anchor stands.
    pub(super) is_alias: bool,
    /// The first aliases of the anchor.
    pub(super) aliases: Vec<Place>,
}

impl SharedAnchor {
    /// Moves all places, from a text within a text to the one around it.
    pub(super) fn move_by(&mut self, place: &dyn Fn(Place) -> Place) {
        self.anchor_place = place(self.anchor_place.clone());
        self.alias_place = place(self.alias_place.clone());
        for alias in &mut self.aliases {
            *alias = place(alias.clone());
        }
    }
}

/// Byte ranges of a text with what is known of each, as of those whose anchors have aliases; they may be nested.
#[derive(Debug)]
pub(super) struct NestedRanges<T> {
    sorted: Vec<NestedRange<T>>,
}

#[derive(Debug)]
struct NestedRange<T> {
    span: Range<usize>,
    what: T,
    /// The index of the next larger range around it.
    around: Option<usize>,
}

impl<T> NestedRanges<T> {
    pub(super) fn of(mut ranges: Vec<(Range<usize>, T)>) -> Self {
        ranges.sort_by_key(|(span, _)| (span.start, Reverse(span.end)));
        let mut sorted: Vec<NestedRange<T>> = Vec::with_capacity(ranges.len());
        let mut around: Option<usize> = None;
        for (span, what) in ranges {
            while let Some(outer) = around.filter(|outer| sorted[*outer].span.end < span.end) {
                around = sorted[outer].around;
            }
            sorted.push(NestedRange { span, what, around });
            around = Some(sorted.len() - 1);
        }
        Self { sorted }
    }

    /// What is known of the innermost range around some bytes.
    pub(super) fn around(&self, span: &Range<usize>) -> Option<&T> {
        let behind = self
            .sorted
            .partition_point(|range| range.span.start <= span.start);
        let mut number = behind.checked_sub(1)?;
        while self.sorted[number].span.end < span.end {
            number = self.sorted[number].around?;
        }
        Some(&self.sorted[number].what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_anchor_around_some_bytes_is_found() {
        let shared = |anchor: &str| SharedAnchor {
            anchor: anchor.to_owned(),
            anchor_place: Place::of_line("f", 1),
            alias_place: Place::of_line("f", 2),
            is_alias: false,
            aliases: Vec::new(),
        };
        let spans = [(20, 30), (0, 10), (2, 8), (2, 4), (5, 8), (20, 22)];
        let ranges = spans.map(|(start, end)| (start..end, shared(&format!("{start}-{end}"))));
        let ranges = NestedRanges::of(ranges.to_vec());
        let table = [
            (0..1, "0-10"),
            (2..3, "2-4"),
            (4..5, "2-8"),
            (5..8, "5-8"),
            (8..10, "0-10"),
            (9..11, ""),
            (12..13, ""),
            (21..22, "20-22"),
            (21..25, "20-30"),
            (30..31, ""),
        ];
        for (span, anchor) in table {
            let found = ranges.around(&span).map(|shared| shared.anchor.as_str());
            assert_eq!(found.unwrap_or_default(), anchor, "{span:?}");
        }
    }
}
