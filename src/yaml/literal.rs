//! The text in a scalar, with a map from its bytes to those of the text around it.

use std::ops::Range;

use super::document::Spot;
use crate::project::place::Place;

/// The text of a literal block scalar, or of a quoted one in one line; offsets and places in it can be mapped to the
/// outer text.
#[derive(Debug)]
pub(super) struct Literal {
    pub(super) text: String,
    /// For each line, or each piece between escapes: where it starts in `text`, and where its content starts in the
    /// outer text.
    lines: Vec<(usize, usize)>,
    first_line: usize,
    indent: usize,
    /// It stands in quotes, so that what is written into it gets none of its own.
    pub(super) is_quoted: bool,
    /// In double quotes.
    has_escapes: bool,
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
            is_quoted: false,
            has_escapes: false,
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

    /// The text between the quotes at `spot`, if it is one line with no escapes but those of quotes and backslashes.
    pub(super) fn quoted(outer: &str, spot: Spot, value: &str) -> Option<Self> {
        let raw = outer.get(spot.range())?;
        let quote = raw.chars().next().filter(|quote| "'\"".contains(*quote))?;
        let inner = raw.get(1..raw.len().checked_sub(1)?)?;
        let mut literal = Self {
            text: String::with_capacity(inner.len()),
            lines: vec![(0, spot.start + 1)],
            first_line: spot.line,
            indent: spot.column,
            is_quoted: true,
            has_escapes: quote == '"',
        };
        let mut characters = inner.char_indices();
        while let Some((_, character)) = characters.next() {
            let is_escape = character == '\\' && quote == '"' || character == '\'' && quote == '\'';
            if !is_escape {
                literal.text.push(character);
                continue;
            }
            let (at, escaped) = characters.next()?;
            literal
                .lines
                .push((literal.text.len(), spot.start + 1 + at));
            literal.text.push(escaped);
        }
        let is_one_line = !literal.text.contains(['\n', '\r']);
        (is_one_line && literal.text == value).then_some(literal)
    }

    /// How a double quote is written in it.
    pub(super) fn quotes(&self) -> &'static str {
        if self.has_escapes { "\\\"" } else { "\"" }
    }

    /// The text with other bytes for some of its spans, which are given as spans of the outer text, in its order.
    pub(super) fn spliced<'e>(
        &self,
        edits: impl IntoIterator<Item = (Range<usize>, &'e str)>,
    ) -> Option<String> {
        let mut spliced = String::with_capacity(self.text.len());
        let mut copied = 0;
        for (span, new) in edits {
            let (start, end) = (self.inner(span.start)?, self.inner(span.end)?);
            spliced.push_str(self.text.get(copied..start)?);
            spliced.push_str(new);
            copied = end;
        }
        spliced.push_str(self.text.get(copied..)?);
        Some(spliced)
    }

    /// Maps an offset of the outer text to the text.
    fn inner(&self, outer: usize) -> Option<usize> {
        let piece = self.lines.partition_point(|(_, start)| *start <= outer);
        let (start, begun) = *self.lines.get(piece.checked_sub(1)?)?;
        Some(start + (outer - begun))
    }

    /// Maps a range of bytes to the outer text.
    pub(super) fn span(&self, span: Range<usize>) -> Range<usize> {
        if self.is_quoted && !span.is_empty() {
            // A piece that ends before an escape does not reach to what is escaped.
            return self.offset(span.start)..self.offset(span.end - 1) + 1;
        }
        self.offset(span.start)..self.offset(span.end)
    }

    fn offset(&self, offset: usize) -> usize {
        let line = self.lines.partition_point(|(start, _)| *start <= offset);
        let (start, outer) = self.lines[line.saturating_sub(1)];
        outer + (offset - start)
    }

    /// The column in the outer text of a character between quotes.
    fn quoted_column(&self, column: usize) -> usize {
        let at = self.text.char_indices().nth(column - 1);
        let at = at.map_or(self.text.len(), |(at, _)| at);
        let escapes = self.lines.partition_point(|(start, _)| *start <= at) - 1;
        column + escapes + self.indent
    }

    /// Maps a place to the outer text.
    pub(super) fn place(&self, place: Place) -> Place {
        let column = if self.is_quoted {
            self.quoted_column(place.column)
        } else {
            place.column + self.indent
        };
        Place {
            line: self.first_line + place.line - 1,
            column,
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

    #[test]
    fn escapes_in_quotes_are_stepped_over() {
        for (outer, value) in [
            (r#"a: "x \"b\": \\ c" # d"#, r#"x "b": \ c"#),
            ("a: 'x ''b'': c'", "x 'b': c"),
            ("a: 'b c'", "b c"),
        ] {
            let quote = outer.find(['"', '\'']).unwrap();
            let end = outer.rfind(['"', '\'']).unwrap() + 1;
            let spot = Spot {
                start: quote,
                end,
                line: 1,
                column: quote + 1,
            };
            let literal = Literal::quoted(outer, spot, value).unwrap();
            assert_eq!(literal.text, value);
            for word in ["b", "c"] {
                let at = value.find(word).unwrap();
                let span = literal.span(at..at + 1);
                assert_eq!(&outer[span.clone()], word);
                let place = Place {
                    file: "f".into(),
                    line: 1,
                    column: at + 1,
                };
                assert_eq!(literal.place(place).column, span.start + 1);
                let spliced = literal.spliced([(span, "new")]).unwrap();
                assert_eq!(spliced, value.replace(word, "new"));
            }
        }
        let spot = Spot {
            start: 0,
            end: 6,
            line: 1,
            column: 1,
        };
        assert!(Literal::quoted(r#""a\nb""#, spot, "a\nb").is_none());
        assert!(Literal::quoted("plain!", spot, "plain!").is_none());
    }
}
