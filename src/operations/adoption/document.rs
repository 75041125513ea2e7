//! The text of a configuration: lines with the sources of their values behind them, and at its end what was found.

use std::fmt::Write as _;

use super::remark::{Fact, shown};
use crate::project::place::Place;

/// What stands before a fact in the text.
const FOUND: &str = "# found: ";

/// One `key = value`.
#[derive(Clone, Debug)]
pub(super) struct ConfigLine {
    key: String,
    value: String,
    comment: Option<String>,
}

/// A table, or the lines before the first one.
#[derive(Clone, Debug, Default)]
pub(super) struct ConfigTable {
    /// `images.job`; empty for the lines before the first table.
    pub(super) header: String,
    pub(super) comment: Option<String>,
    pub(super) lines: Vec<ConfigLine>,
}

impl ConfigTable {
    pub(super) fn new(header: impl Into<String>) -> Self {
        Self {
            header: header.into(),
            ..Self::default()
        }
    }

    /// Adds a line with a text.
    pub(super) fn text(&mut self, key: &str, value: &str) -> &mut ConfigLine {
        self.raw(key, &quoted(value))
    }

    /// Adds a line with a list, or with a text where there is only one.
    pub(super) fn list(&mut self, key: &str, values: &[String]) -> &mut ConfigLine {
        let quoted: Vec<String> = values.iter().map(|value| quoted(value)).collect();
        self.raw(key, &format!("[{}]", quoted.join(", ")))
    }

    /// Adds a line with a value as it is.
    pub(super) fn raw(&mut self, key: &str, value: &str) -> &mut ConfigLine {
        let line = ConfigLine {
            key: key.to_owned(),
            value: value.to_owned(),
            comment: None,
        };
        self.lines.push(line);
        let last = self.lines.len() - 1;
        &mut self.lines[last]
    }
}

impl ConfigLine {
    /// Where the value is from.
    pub(super) fn from(&mut self, what: &str, place: &Place) {
        self.comment = Some(format!("{what} {}", shown(place)));
    }

    /// Nothing in the project says the value.
    pub(super) fn assumed(&mut self, why: &str) {
        self.comment = Some(format!("assumed: {why}"));
    }

    pub(super) fn why(&mut self, why: &str) {
        self.comment = Some(why.to_owned());
    }
}

/// The text of a configuration.
pub(super) fn text(tables: &[ConfigTable], facts: &[Fact]) -> String {
    let mut text = String::new();
    for table in tables {
        if !table.header.is_empty() {
            let comment = comment(table.comment.as_ref());
            let _ = writeln!(text, "\n[{}]{comment}", table.header);
        }
        for line in &table.lines {
            let comment = comment(line.comment.as_ref());
            let _ = writeln!(text, "{} = {}{comment}", line.key, line.value);
        }
    }
    if !facts.is_empty() {
        text.push_str("\n# `sparkpack init --diff` compares these lines with the project.\n");
    }
    for fact in facts {
        let _ = writeln!(text, "{FOUND}{fact}");
    }
    text
}

fn comment(comment: Option<&String>) -> String {
    comment.map_or_else(String::new, |comment| format!("  # {comment}"))
}

/// A text of TOML.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// The facts that stand in a configuration.
pub(super) fn facts(text: &str) -> Vec<Fact> {
    let lines = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix(FOUND));
    lines
        .filter_map(|line| {
            let (key, rest) = line.split_once(" = ")?;
            let (value, at) = rest.strip_suffix(')')?.rsplit_once(" (")?;
            let (file, line) = at.rsplit_once(':')?;
            Some(Fact {
                key: key.to_owned(),
                value: value.to_owned(),
                at: (file.to_owned(), line.parse().ok()?),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_read_as_they_were_written() {
        let place = Place::of_line("deploy/a b.yaml", 7);
        let written = vec![
            Fact::new("spark", "3.5.1", &place),
            Fact::new("entry point", "jobs/a = (b).py", &place),
        ];
        let mut table = ConfigTable::default();
        table.text("project", "a\"b\\c").from("name in", &place);
        let text = text(&[table], &written);
        assert_eq!(facts(&text), written);
        let injected = Fact::new("python", ">=3.9\n[images.other]", &place);
        assert_eq!(
            injected.to_string(),
            "python = >=3.9 [images.other] (deploy/a b.yaml:7)"
        );
        let read: toml::Table = text.parse().unwrap();
        assert_eq!(read["project"].as_str(), Some("a\"b\\c"));
    }
}
