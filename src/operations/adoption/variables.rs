//! Variables of Makefiles, shell scripts, CI files and `.env` files, as far as their values stand there.

use std::collections::BTreeMap;

/// Stands for what only a run knows: the value of a variable that is set nowhere, or the output of a program.
pub(super) const UNKNOWN: char = '\u{1}';

/// How often a value may name another variable.
const DEPTH: usize = 8;

/// The variables of one file.
#[derive(Debug, Default)]
pub(super) struct Variables(BTreeMap<String, String>);

impl Variables {
    /// Reads the assignments of a text; the first one of a name counts, except that `NAME ?= x` gives way.
    pub(super) fn of(text: &str) -> Self {
        let mut found = Self::default();
        for line in text.lines() {
            if let Some((name, value)) = assignment(line) {
                found.0.entry(name).or_insert(value);
            }
        }
        found
    }

    /// The same with those of another file, which give way.
    pub(super) fn or(mut self, others: &Self) -> Self {
        for (name, value) in &others.0 {
            self.0.entry(name.clone()).or_insert_with(|| value.clone());
        }
        self
    }

    /// The value of a variable.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        self.0.get(name).map(|value| self.expand(value))
    }

    /// A text with its variables replaced.
    pub(super) fn expand(&self, text: &str) -> String {
        self.expanded(text, DEPTH)
    }

    fn expanded(&self, text: &str, depth: usize) -> String {
        let mut done = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['$', '`']) {
            done.push_str(&rest[..at]);
            let behind = &rest[at + 1..];
            if rest[at..].starts_with('`') {
                done.push(UNKNOWN);
                rest = behind.split_once('`').map_or("", |(_, after)| after);
                continue;
            }
            let (value, after) = self.reference(behind, depth);
            done.push_str(&value);
            rest = after;
        }
        done + rest
    }

    /// The value of what stands behind a `$`, and what follows it.
    fn reference<'t>(&self, text: &'t str, depth: usize) -> (String, &'t str) {
        let unknown = || UNKNOWN.to_string();
        let Some(first) = text.chars().next() else {
            return ("$".to_owned(), "");
        };
        let close = match first {
            '(' => ')',
            '{' => '}',
            '$' => return self.reference(&text[1..], depth),
            _ => {
                let end = text.find(|of: char| !of.is_ascii_alphanumeric() && of != '_');
                let (name, after) = text.split_at(end.unwrap_or(text.len()));
                return match name {
                    "" => ("$".to_owned(), text),
                    name => (self.value(name, None, depth), after),
                };
            }
        };
        let Some(end) = closing(text, first, close) else {
            return (unknown(), "");
        };
        let (inside, after) = (&text[1..end], &text[end + 1..]);
        // `${{ env.NAME }}` of GitHub's workflows.
        let inside = inside.trim_matches(['{', '}', ' ']);
        let inside = inside.strip_prefix("env.").unwrap_or(inside);
        let (name, default) = match inside.split_once(":-").or_else(|| inside.split_once('-')) {
            Some((name, default)) if is_name(name) => (name, Some(default)),
            _ => (inside, None),
        };
        if !is_name(name) {
            return (unknown(), after);
        }
        (self.value(name, default, depth), after)
    }

    fn value(&self, name: &str, default: Option<&str>, depth: usize) -> String {
        match self.0.get(name).map(String::as_str).or(default) {
            Some(value) if depth > 0 => self.expanded(value, depth - 1),
            _ => UNKNOWN.to_string(),
        }
    }
}

/// Where the bracket that `text` begins with is closed.
fn closing(text: &str, open: char, close: char) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, character) in text.char_indices() {
        if character == open {
            depth += 1;
        } else if character == close {
            depth -= 1;
            if depth == 0 {
                return Some(at);
            }
        }
    }
    None
}

pub(super) fn is_name(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !text.is_empty() && text.bytes().all(is_word) && !text.as_bytes()[0].is_ascii_digit()
}

/// `NAME = value` of make, `NAME=value` of a shell, `NAME: value` of a CI's variables.
fn assignment(line: &str) -> Option<(String, String)> {
    let text = line.trim().trim_start_matches("export ").trim();
    let end = text.find(|of: char| !of.is_ascii_alphanumeric() && of != '_')?;
    let (name, rest) = text.split_at(end);
    let spaced = rest.trim_start();
    let signs = ["::=", ":=", "?=", "="];
    let of_make = signs.iter().find_map(|sign| spaced.strip_prefix(sign));
    let is_upper = |name: &str| name.bytes().all(|byte| !byte.is_ascii_lowercase());
    let value = match of_make {
        Some(value) => value,
        None => spaced.strip_prefix(": ").filter(|_| is_upper(name))?,
    };
    if !is_name(name) || value.starts_with('=') {
        return None;
    }
    let value = value.trim();
    let value = match value.find(" #") {
        Some(at) => value[..at].trim_end(),
        None => value,
    };
    let quoted = ['"', '\''].iter().find_map(|quote| {
        let inner = value.strip_prefix(*quote)?;
        inner.split_once(*quote).map(|(inner, _)| inner)
    });
    let value = quoted.unwrap_or(value);
    // `NAME=${NAME:-value}`: the value that it has unless a run says another.
    let own = value
        .strip_prefix("${")
        .and_then(|rest| rest.strip_prefix(name));
    let own = own.and_then(|rest| rest.strip_prefix(":-").or_else(|| rest.strip_prefix('-')));
    let own = own.and_then(|rest| rest.strip_suffix('}'));
    Some((name.to_owned(), own.unwrap_or(value).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_stand_in_a_file_are_known_and_others_are_not() {
        let variables = Variables::of(
            "REGISTRY ?= registry.example/acme\nIMAGE := $(REGISTRY)/orders\nTAG=$(shell git describe)\n\
             SELF=${SELF:-h.example/x:$(cat V)}\nexport NAME=\"${OTHER:-fallback}\" # why\n  HOST: ci.example\nlower: no\n",
        );
        for (text, wanted) in [
            ("$(IMAGE):1", "registry.example/acme/orders:1"),
            ("${IMAGE}:${TAG}", "registry.example/acme/orders:\u{1}"),
            ("$NAME-$$HOST", "fallback-ci.example"),
            ("$SELF", "h.example/x:\u{1}"),
            ("$(NOWHERE)/a", "\u{1}/a"),
            ("$lower `date`", "\u{1} \u{1}"),
            ("costs 5$", "costs 5$"),
        ] {
            assert_eq!(variables.expand(text), wanted, "{text}");
        }
    }
}
