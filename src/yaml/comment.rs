//! Finds the comment of a line without parsing the text around it.

/// The byte at which the comment of a line begins: a `#` after white space or at the line's start, outside of quotes.
#[must_use]
pub fn comment_start(line: &str) -> Option<usize> {
    let mut quote = None;
    let mut before = ' ';
    let mut is_skipped = false;
    let mut characters = line.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        if std::mem::take(&mut is_skipped) {
            continue;
        }
        match (quote, character) {
            (Some('"'), '\\') => is_skipped = true,
            (Some('\''), '\'') if characters.peek().is_some_and(|(_, next)| *next == '\'') => {
                is_skipped = true;
            }
            (Some(open), close) if open == close => quote = None,
            (None, '#') if before.is_whitespace() || before == '\u{feff}' => return Some(at),
            // A quote inside a word does not open a string: `it's`.
            (None, '"' | '\'') if before.is_whitespace() || "[{(,:=".contains(before) => {
                quote = Some(character);
            }
            _ => {}
        }
        before = character;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::comment_start;

    #[test]
    fn comments_begin_behind_white_space_and_outside_of_quotes() {
        for (line, start) in [
            ("# a", Some(0)),
            ("a: b # c # d", Some(5)),
            ("a: b\t# c", Some(5)),
            ("a: b#c", None),
            ("a: \"b # c\"", None),
            ("a: \"b\\\" # c\" # d", Some(13)),
            ("a: 'it''s # c' # d", Some(15)),
            ("a: it's # c", Some(8)),
            ("'a # b': c", None),
            ("\u{feff}# a", Some(3)),
            ("x=\"#\" # y", Some(6)),
        ] {
            assert_eq!(comment_start(line), start, "{line}");
        }
    }
}
