//! The hash that Poetry and pipenv keep of what a lock was made from: that of the values as Python's `json` writes them,
//! with sorted keys.

use std::{collections::BTreeMap, fmt::Write as _};

use toml::de::{DeTable, DeValue};

use super::tree::TomlValue;
use crate::image::Digest;

/// A value as Python's `json.dumps(…, sort_keys=True)` sees it.
pub(super) enum Hashed<'a> {
    Null,
    Toml(&'a DeValue<'a>),
    Table(BTreeMap<String, Self>),
}

impl<'a> Hashed<'a> {
    pub(super) fn of(node: Option<TomlValue<'a>>) -> Self {
        node.map_or(Self::Null, |node| Self::Toml(node.value))
    }

    /// The hash of the text with these marks between members and behind keys, in hex.
    pub(super) fn hash(&self, between: &str, behind: &str) -> String {
        let mut text = String::new();
        write(&mut text, self, between, behind);
        Digest::of(text.as_bytes()).hex().to_owned()
    }
}

fn write(text: &mut String, value: &Hashed<'_>, between: &str, behind: &str) {
    match value {
        Hashed::Null => text.push_str("null"),
        Hashed::Toml(value) => write_toml(text, value, between, behind),
        Hashed::Table(table) => {
            write_table(text, table.iter(), (between, behind), |text, value| {
                write(text, value, between, behind);
            });
        }
    }
}

fn write_toml(text: &mut String, value: &DeValue<'_>, between: &str, behind: &str) {
    match value {
        DeValue::String(value) => write_text(text, value),
        DeValue::Integer(value) => text.push_str(value.as_str()),
        DeValue::Float(value) => text.push_str(value.as_str()),
        DeValue::Boolean(value) => text.push_str(if *value { "true" } else { "false" }),
        DeValue::Datetime(value) => write_text(text, &value.to_string()),
        DeValue::Array(list) => {
            let values = list.iter().map(serde_spanned::Spanned::get_ref);
            write_list(text, values, between, |text, value| {
                write_toml(text, value, between, behind);
            });
        }
        DeValue::Table(table) => {
            let sorted = sorted(table);
            write_table(text, sorted.iter(), (between, behind), |text, value| {
                write_toml(text, value, between, behind);
            });
        }
    }
}

fn sorted<'a>(table: &'a DeTable<'a>) -> BTreeMap<String, &'a DeValue<'a>> {
    let entries = table.iter();
    entries
        .map(|(key, value)| (key.get_ref().to_string(), value.get_ref()))
        .collect()
}

fn write_list<T>(
    text: &mut String,
    list: impl Iterator<Item = T>,
    between: &str,
    write_one: impl Fn(&mut String, T),
) {
    text.push('[');
    for (index, value) in list.enumerate() {
        text.push_str(if index == 0 { "" } else { between });
        write_one(text, value);
    }
    text.push(']');
}

fn write_table<'t, T: 't>(
    text: &mut String,
    table: impl Iterator<Item = (&'t String, &'t T)>,
    (between, behind): (&str, &str),
    write_one: impl Fn(&mut String, &'t T),
) {
    text.push('{');
    for (index, (key, value)) in table.enumerate() {
        text.push_str(if index == 0 { "" } else { between });
        write_text(text, key);
        text.push_str(behind);
        write_one(text, value);
    }
    text.push('}');
}

/// A text in ASCII, as Python writes it.
fn write_text(text: &mut String, value: &str) {
    text.push('"');
    for character in value.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            ' '..='~' => text.push(character),
            other => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    let _ = write!(text, "\\u{unit:04x}");
                }
            }
        }
    }
    text.push('"');
}
