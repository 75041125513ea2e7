//! The bytes of a journal: a line that names the format, a line of JSON, and a line with the digest of both.

use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

use super::names::{BEGUN, COMMITTED};
use crate::{adapters::store::TEMPORARY, image::Digest};

const MAGIC: &str = "sparkpack journal 1\n";

/// A journal's entry for one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JournalEntry {
    /// Relative to the project's root, with symbolic links unresolved, so that a project may be moved.
    pub(super) path: String,
    /// The name of the new content, beside the file.
    pub(super) temporary: String,
    /// The digest of the old content; `None` if there was no file.
    pub(super) old: Option<Digest>,
}

/// Why bytes are not a valid journal.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// It was not written completely.
    Torn,
    /// It is complete, but no run would write it.
    Untrue(String),
}

pub(super) fn to_bytes(entries: &[&JournalEntry]) -> Vec<u8> {
    // Serialising text, digests and lists cannot fail.
    let json = serde_json::to_string(entries).unwrap_or_default();
    let text = format!("{MAGIC}{json}\n");
    let digest = Digest::of(text.as_bytes());
    format!("{text}{digest}\n").into_bytes()
}

/// Parses a journal. A file may lie outside of the project only if `outside` accepts its path.
pub(super) fn parse(
    bytes: &[u8],
    outside: &dyn Fn(&str) -> bool,
) -> Result<Vec<JournalEntry>, Flaw> {
    let json = checked(bytes).ok_or(Flaw::Torn)?;
    let json = json
        .strip_prefix(MAGIC)
        .ok_or_else(|| Flaw::Untrue("another version of sparkpack wrote it".to_owned()))?;
    let entries: Vec<JournalEntry> =
        serde_json::from_str(json).map_err(|error| Flaw::Untrue(error.to_string()))?;
    for entry in &entries {
        entry.check(outside).map_err(Flaw::Untrue)?;
    }
    Ok(entries)
}

/// The text before the digest, if the digest is right.
fn checked(bytes: &[u8]) -> Option<&str> {
    let text = str::from_utf8(bytes).ok()?.strip_suffix('\n')?;
    let end = text.rfind('\n')? + 1;
    let (text, digest) = text.split_at(end);
    (Digest::of(text.as_bytes()).as_str() == digest).then_some(text)
}

impl JournalEntry {
    fn check(&self, outside: &dyn Fn(&str) -> bool) -> Result<(), String> {
        let path = Path::new(&self.path);
        let is_below = path
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        let ends_in_name = path.file_name().is_some() && !self.path.contains('\0');
        if !ends_in_name || path.is_absolute() || !(is_below || outside(&self.path)) {
            return Err(format!("`{}` is no file of the project", self.path));
        }
        let rest = self.temporary.strip_prefix(TEMPORARY).unwrap_or_default();
        let is_name = !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric());
        // The names of the journals themselves would pass the test of the characters.
        if !is_name || [BEGUN, COMMITTED].contains(&self.temporary.as_str()) {
            return Err(format!("`{}` is not what it would write", self.temporary));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, temporary: &str) -> JournalEntry {
        JournalEntry {
            path: path.to_owned(),
            temporary: temporary.to_owned(),
            old: None,
        }
    }

    fn nowhere(_: &str) -> bool {
        false
    }

    #[test]
    fn what_is_written_is_read_and_every_shorter_or_other_journal_is_torn() {
        let mut entries = vec![entry("k/a\n\"ü.yml", ".sparkpack-0a")];
        entries[0].old = Some(Digest::of(b""));
        entries.push(entry("b", ".sparkpack-0b"));
        let bytes = to_bytes(&entries.iter().collect::<Vec<_>>());
        assert_eq!(parse(&bytes, &nowhere).unwrap(), entries);
        for end in 0..bytes.len() {
            assert_eq!(parse(&bytes[..end], &nowhere), Err(Flaw::Torn), "{end}");
            let mut other = bytes.clone();
            other[end] ^= 1;
            assert_eq!(parse(&other, &nowhere), Err(Flaw::Torn), "{end}");
        }
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        let wrong = [
            ("", ".sparkpack-0"),
            ("/etc/passwd", ".sparkpack-0"),
            ("../a", ".sparkpack-0"),
            ("a/../../b", ".sparkpack-0"),
            ("a/..", ".sparkpack-0"),
            ("a\0", ".sparkpack-0"),
            ("a", "a.yml"),
            ("a", ".sparkpack-"),
            ("a", ".sparkpack-/../b"),
            ("a", ".sparkpack-.."),
            ("a", "../.sparkpack-0"),
            ("a", ".sparkpack-journal"),
            ("a", ".sparkpack-committed"),
        ];
        for (path, temporary) in wrong {
            let bytes = to_bytes(&[&entry(path, temporary)]);
            let flaw = parse(&bytes, &nowhere).unwrap_err();
            assert!(matches!(flaw, Flaw::Untrue(_)), "{path:?} {temporary:?}");
        }
        let bytes = to_bytes(&[&entry("../k/a.yml", ".sparkpack-0")]);
        assert!(parse(&bytes, &|path| path == "../k/a.yml").is_ok());
        let version = "sparkpack journal 2\n[]\n";
        let bytes = format!("{version}{}\n", Digest::of(version.as_bytes()));
        let flaw = parse(bytes.as_bytes(), &nowhere).unwrap_err();
        assert!(matches!(flaw, Flaw::Untrue(_)));
    }
}
