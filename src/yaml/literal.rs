//! The text in a literal block scalar, with a map from its bytes to those of the text around it.

use std::ops::Range;

use super::document::Spot;
use crate::project::place::Place;

/// The text of a literal block scalar; offsets and places in it can be mapped to the outer text.
#[derive(Debug)]
pub(super) struct Literal {
    pub(super) text: String,
    /// For each line: where it starts in `text`, and where its content starts in the outer text.
    lines: Vec<(usize, usize)>,
    first_line: usize,
    indent: usize,
}

impl Literal {
    /// The lines at `spot` without their indentation, if they make up the scalar's `value`.
    pub(super) fn new(outer: &str, spot: Spot, value: &str) -> Option<Self> {
        let raw = outer.get(spot.range())?;
        let indent = spot.column.checked_sub(1)?;
        let mut literal = Self {
            text: String::with_capacity(raw.len()),
            lines: Vec::new(),
            first_line: spot.line,
            indent,
        };
        let mut offset = spot.start;
        for (number, line) in raw.split_inclusive(['\n', '\r']).enumerate() {
            let spaces = line.len() - line.trim_start_matches(' ').len();
            let skipped = if number == 0 { 0 } else { spaces.min(indent) };
            literal.lines.push((literal.text.len(), offset + skipped));
            literal.text.push_str(&line[skipped..]);
            offset += line.len();
        }
        let read = literal.text.replace("\r\n", "\n").replace('\r', "\n");
        // Empty lines before the text belong to the value, but the parser leaves them out of its bytes.
        let core = |text: &str| {
            let text = text.trim_start_matches('\n');
            text.trim_end_matches(['\n', ' ']).to_owned()
        };
        (core(&read) == core(value)).then_some(literal)
    }

    /// Maps a range of bytes to the outer text.
    pub(super) fn span(&self, span: Range<usize>) -> Range<usize> {
        self.offset(span.start)..self.offset(span.end)
    }

    fn offset(&self, offset: usize) -> usize {
        let line = self.lines.partition_point(|(start, _)| *start <= offset);
        let (start, outer) = self.lines[line.saturating_sub(1)];
        outer + (offset - start)
    }

    /// Maps a place to the outer text.
    pub(super) fn place(&self, place: Place) -> Place {
        Place {
            line: self.first_line + place.line - 1,
            column: place.column + self.indent,
            ..place
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_lead_back_to_where_they_stand() {
        let outer = "a: |\r\n   b: c\r\n\r\n     d: e\r\n   f: g\r\nh: i\n";
        let start = outer.find("b: c").unwrap();
        let end = outer.find("h: i").unwrap();
        let spot = Spot {
            start,
            end,
            line: 2,
            column: 4,
        };
        let literal = Literal::new(outer, spot, "b: c\n\n  d: e\nf: g\n").unwrap();
        assert_eq!(literal.text, "b: c\r\n\r\n  d: e\r\nf: g\r\n");
        for word in ["b", "c", "d", "e\r\n   f", "g"] {
            let inner = word.replace("\n   ", "\n");
            let at = literal.text.find(&inner).unwrap();
            assert_eq!(&outer[literal.span(at..at + inner.len())], word);
        }
        let place = |line, column| Place {
            file: "f".into(),
            line,
            column,
        };
        assert_eq!(literal.place(place(3, 3)), place(4, 6));
        assert!(Literal::new(outer, spot, "b: c\n").is_none());
    }
}
