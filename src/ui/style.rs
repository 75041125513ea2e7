//! Colours for terminals. No meaning is carried by colour alone.

/// The style of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Unchanged.
    Plain,
    /// Names.
    Bold,
    /// Less important text.
    Dim,
    /// A good state.
    Good,
    /// Something to do or to look at.
    Notable,
    /// An error, or a removal.
    Bad,
    /// A place in a file.
    Place,
}

/// How states are marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Symbols {
    /// By characters such as `✔`.
    Unicode,
    /// By words, where the locale has no such characters.
    Words,
}

impl Symbols {
    /// The locale's: the first of its three variables that is set decides.
    pub(super) fn of(environment: &dyn Fn(&str) -> Option<String>) -> Self {
        let set = |name: &&str| environment(name).filter(|value| !value.is_empty());
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(set);
        let locale = locale.unwrap_or_default().to_ascii_lowercase();
        if locale.contains("utf-8") || locale.contains("utf8") {
            Self::Unicode
        } else {
            Self::Words
        }
    }
}

/// Whether to write colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paint {
    is_on: bool,
}

impl Paint {
    /// The usual rules: `NO_COLOR` disables colours and `CLICOLOR_FORCE` enables them; otherwise they are on for a
    /// terminal that is not dumb.
    pub(super) fn of(is_terminal: bool, environment: &dyn Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| environment(name).filter(|value| !value.is_empty());
        let is_forced = set("CLICOLOR_FORCE").is_some_and(|value| value != "0");
        let is_capable = set("TERM").is_some_and(|terminal| terminal != "dumb");
        Self {
            is_on: set("NO_COLOR").is_none() && (is_forced || (is_terminal && is_capable)),
        }
    }

    /// `text` in a style.
    #[must_use]
    pub fn paint(self, style: Style, text: &str) -> String {
        let code = match style {
            Style::Plain => return text.to_owned(),
            Style::Bold => "1",
            Style::Dim => "2",
            Style::Good => "32",
            Style::Notable => "33",
            Style::Bad => "31",
            Style::Place => "36",
        };
        if self.is_on && !text.is_empty() {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    /// An error or a warning, with its code and its hint highlighted.
    #[must_use]
    pub fn message(self, text: &str) -> String {
        let line = |line: &str| {
            for (beginning, end, style) in [
                ("error[", "]:", Style::Bad),
                ("warning[", "]:", Style::Notable),
                ("hint:", ":", Style::Place),
            ] {
                let is_such = line.starts_with(beginning);
                if let Some(at) = line.find(end).filter(|_| is_such) {
                    let (head, rest) = line.split_at(at + end.len());
                    return self.paint(style, head) + rest;
                }
            }
            line.to_owned()
        };
        let lines: Vec<String> = text.split('\n').map(line).collect();
        lines.join("\n")
    }
}

/// A cell of a table: its text and style.
pub type Cell = (String, Style);

/// Rows with aligned columns, two spaces apart.
#[must_use]
pub fn table(rows: &[Vec<Cell>], paint: Paint) -> Vec<String> {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        for (column, (text, _)) in row.iter().enumerate() {
            let width = text.chars().count();
            match widths.get_mut(column) {
                Some(widest) => *widest = width.max(*widest),
                None => widths.push(width),
            }
        }
    }
    let line = |row: &Vec<Cell>| {
        let mut line = String::new();
        for (column, (text, style)) in row.iter().enumerate() {
            line.push_str(&paint.paint(*style, text));
            if row[column + 1..].iter().any(|(text, _)| !text.is_empty()) {
                let missing = widths[column] - text.chars().count();
                line.push_str(&" ".repeat(missing + 2));
            }
        }
        line
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_on(is_terminal: bool, variables: &[(&str, &str)]) -> bool {
        let environment = |name: &str| {
            let mut found = variables.iter().filter(|(known, _)| *known == name);
            found.next().map(|(_, value)| (*value).to_owned())
        };
        Paint::of(is_terminal, &environment).is_on
    }

    #[test]
    fn colours_follow_the_usual_variables() {
        let terminal = ("TERM", "xterm");
        assert!(is_on(true, &[terminal]));
        assert!(is_on(true, &[terminal, ("NO_COLOR", "")]));
        assert!(!is_on(true, &[terminal, ("NO_COLOR", "1")]));
        assert!(!is_on(true, &[("TERM", "dumb")]));
        assert!(!is_on(true, &[]));
        assert!(!is_on(false, &[terminal]));
        assert!(is_on(false, &[("CLICOLOR_FORCE", "1")]));
        assert!(!is_on(false, &[("CLICOLOR_FORCE", "0")]));
        assert!(!is_on(true, &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
    }

    #[test]
    fn symbols_are_for_locales_that_have_them() {
        let of = |variables: &[(&str, &str)]| {
            let environment = |name: &str| {
                let mut found = variables.iter().filter(|(known, _)| *known == name);
                found.next().map(|(_, value)| (*value).to_owned())
            };
            Symbols::of(&environment)
        };
        assert_eq!(of(&[("LANG", "de_DE.UTF-8")]), Symbols::Unicode);
        assert_eq!(
            of(&[("LC_ALL", ""), ("LC_CTYPE", "C.utf8")]),
            Symbols::Unicode
        );
        assert_eq!(of(&[("LC_ALL", "C"), ("LANG", "C.UTF-8")]), Symbols::Words);
        assert_eq!(of(&[]), Symbols::Words);
    }

    #[test]
    fn tables_are_aligned_with_and_without_colours() {
        let cell = |text: &str, style| (text.to_owned(), style);
        let rows = [
            vec![
                cell("é", Style::Bold),
                cell("to build", Style::Notable),
                cell("x", Style::Plain),
            ],
            vec![
                cell("base", Style::Bold),
                cell("current", Style::Good),
                cell("", Style::Plain),
            ],
        ];
        let plain = Paint { is_on: false };
        assert_eq!(table(&rows, plain), ["é     to build  x", "base  current"]);
        let coloured = table(&rows, Paint { is_on: true });
        assert_eq!(
            coloured[0],
            "\u{1b}[1mé\u{1b}[0m     \u{1b}[33mto build\u{1b}[0m  x"
        );
    }

    #[test]
    fn messages_show_their_code_and_cure() {
        let text = "error[E1]: a: b\n  because: c\nhint: d";
        assert_eq!(Paint { is_on: false }.message(text), text);
        assert_eq!(
            Paint { is_on: true }.message(text),
            "\u{1b}[31merror[E1]:\u{1b}[0m a: b\n  because: c\n\u{1b}[36mhint:\u{1b}[0m d"
        );
    }
}
