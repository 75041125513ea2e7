//! Where a key of the configuration stands for the first time, if it is there twice.

use std::path::Path;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::place::Place;

/// The key that the parser found to be there already at `offset`, and the place of the first one. `None` where that
/// cannot be said, as in a table that is written on one line.
pub(super) fn first(file: &Path, text: &str, offset: usize) -> Option<(String, Place)> {
    let before = text.get(..offset)?;
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let before = &text[..start];
    let line = text[start..].lines().next()?.trim();
    let path = if let Some(header) = line.strip_prefix('[') {
        path(header.split_once(']')?.0)?
    } else {
        let mut headers = before.lines().rev().filter_map(|line| {
            let header = line.trim_start().strip_prefix('[')?;
            path(header.split_once(']')?.0)
        });
        let mut whole = headers.next().unwrap_or_default();
        whole.extend(path(line.split_once('=')?.0)?);
        whole
    };
    let parsed = DeTable::parse(before).ok()?;
    let found = key_at(parsed.get_ref(), &path)?;
    let place = Place::of_offset(file, text, found);
    Some((path.last()?.clone(), place))
}

/// The parts of a dotted key.
fn path(dotted: &str) -> Option<Vec<String>> {
    let text = format!("{dotted} = 0");
    let parsed = DeTable::parse(&text).ok()?;
    let mut table = parsed.get_ref();
    let mut parts = Vec::new();
    loop {
        let (key, value) = table.iter().next()?;
        parts.push(key.get_ref().to_string());
        match value.get_ref() {
            DeValue::Table(inner) => table = inner,
            _ => return Some(parts),
        }
    }
}

/// The offset of the key at a path.
fn key_at(table: &DeTable<'_>, path: &[String]) -> Option<usize> {
    let (first, rest) = path.split_first()?;
    let mut entries = table.iter();
    let (key, value): (&Spanned<_>, &Spanned<_>) =
        entries.find(|(key, _)| **key.get_ref() == **first)?;
    match (rest, value.get_ref()) {
        ([], _) => Some(key.span().start),
        (rest, DeValue::Table(inner)) => key_at(inner, rest),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_two_is_found_in_its_table() {
        let told = |text: &str| {
            let error = toml::from_str::<toml::Table>(text).unwrap_err();
            let found = first(Path::new("x.toml"), text, error.span().unwrap().start);
            found.map(|(key, place)| format!("{key} {place}"))
        };
        for (text, wanted) in [
            ("a = 1\nb = 2\na = 3\n", Some("a x.toml:1:1")),
            ("[t]\nb = 1\n[u]\nb = 1\n  b = 2\n", Some("b x.toml:4:1")),
            ("[t.u]\na = 1\n\n[t.u]\n", Some("u x.toml:1:4")),
            ("[t]\nx.y = 1\nx.y = 2\n", Some("y x.toml:2:3")),
            ("[\"a b\"]\n'c' = 1\nc = 2\n", Some("c x.toml:2:1")),
            ("t = {a = 1, a = 2}\n", None),
        ] {
            assert_eq!(told(text).as_deref(), wanted, "{text}");
        }
    }
}
