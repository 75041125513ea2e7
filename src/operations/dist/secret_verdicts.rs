//! What was found in files, by their digests: a file that did not change is not read again.

use std::{
    collections::{BTreeSet, HashMap},
    fmt::Write as _,
    io,
    path::PathBuf,
};

use crate::{
    adapters::{cache::CacheKind, digest_cache, store},
    image::Digest,
    operations::workspace::Session,
    project::secrets::{NamedKind, RULES, SecretFinding, scan},
};

/// How many more verdicts are kept than a run uses.
const SPARE: usize = 8;

/// Everything that decides what is found: the bytes, and the kind that the name tells.
pub(super) type VerdictKey = (Digest, u8);

/// The key of a file with this digest and path.
pub(super) fn key_of(digest: &Digest, path: &str) -> VerdictKey {
    (digest.clone(), NamedKind::of(path).number())
}

/// What earlier runs and this one have found.
#[derive(Debug, Default)]
pub(super) struct SecretVerdicts {
    known: HashMap<VerdictKey, Vec<SecretFinding>>,
    /// Those of texts that this run has asked for.
    texts: BTreeSet<VerdictKey>,
    has_news: bool,
}

impl SecretVerdicts {
    /// Those of a project; none if the file is damaged, or of other rules.
    pub(super) fn open(session: &Session<'_>) -> Self {
        let known = digest_cache::own_bytes(&file_for(session)).and_then(|bytes| parse(&bytes));
        Self {
            known: known.unwrap_or_default(),
            texts: BTreeSet::new(),
            has_news: false,
        }
    }

    pub(super) fn of(&self, key: &VerdictKey) -> Option<&[SecretFinding]> {
        self.known.get(key).map(Vec::as_slice)
    }

    pub(super) fn learn(&mut self, key: VerdictKey, found: Vec<SecretFinding>) {
        self.known.insert(key, found);
        self.has_news = true;
    }

    /// What is in a text that is no file of its own; it is looked at unless it was before.
    pub(super) fn of_text(&mut self, text: &str) -> io::Result<&[SecretFinding]> {
        let key = (Digest::of(text.as_bytes()), NamedKind::Other.number());
        if !self.known.contains_key(&key) {
            let found = scan(&mut text.as_bytes(), NamedKind::Other)?;
            self.learn(key.clone(), found);
        }
        let found = self.known.get(&key).map(Vec::as_slice);
        self.texts.insert(key);
        Ok(found.unwrap_or_default())
    }

    /// Keeps them for the next run; a failure only costs time. What this run did not use may serve another command. It is
    /// dropped once it outnumbers the rest by far.
    pub(super) fn keep(&mut self, session: &Session<'_>, used: &BTreeSet<&VerdictKey>) {
        if self.has_news {
            if self.known.len() > SPARE * (used.len() + self.texts.len() + 1) {
                let texts = &self.texts;
                self.known
                    .retain(|key, _| used.contains(key) || texts.contains(key));
            }
            drop(store::replace_unsynced(
                &file_for(session),
                text(&self.known).as_bytes(),
            ));
        }
    }
}

fn file_for(session: &Session<'_>) -> PathBuf {
    let root = &session.project.root;
    session.cache.entry_of_path(CacheKind::Secrets, root)
}

/// A head with the digest of what follows, and a line for each file.
fn text(known: &HashMap<VerdictKey, Vec<SecretFinding>>) -> String {
    let mut rows: Vec<String> = Vec::new();
    for ((digest, kind), found) in known {
        let mut row = format!("{} {kind}", digest.hex());
        if !found.is_empty() {
            let Ok(found) = serde_json::to_string(found) else {
                continue;
            };
            // Writing to a string does not fail.
            let _ = write!(row, " {found}");
        }
        rows.push(row);
    }
    rows.sort();
    let rows = rows.join("\n");
    format!("{RULES} {}\n{rows}", Digest::of(rows.as_bytes()))
}

fn parse(bytes: &[u8]) -> Option<HashMap<VerdictKey, Vec<SecretFinding>>> {
    let (head, rows) = std::str::from_utf8(bytes).ok()?.split_once('\n')?;
    if head != format!("{RULES} {}", Digest::of(rows.as_bytes())) {
        return None;
    }
    rows.lines().map(parse_row).collect()
}

fn parse_row(row: &str) -> Option<(VerdictKey, Vec<SecretFinding>)> {
    let mut words = row.splitn(3, ' ');
    let digest: Digest = format!("sha256:{}", words.next()?).parse().ok()?;
    let kind = words.next()?.parse().ok()?;
    let found = words
        .next()
        .map_or(Some(Vec::new()), |found| serde_json::from_str(found).ok())?;
    Some(((digest, kind), found))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> HashMap<VerdictKey, Vec<SecretFinding>> {
        let env = scan(&mut &b"A=1\nB=22222222\n"[..], NamedKind::Env).unwrap();
        assert_eq!(env.len(), 1);
        HashMap::from([
            (key_of(&Digest::of(b"a"), "a.py"), Vec::new()),
            (key_of(&Digest::of(b"b"), ".env"), env),
        ])
    }

    #[test]
    fn what_was_found_is_known_again() {
        let known = known();
        assert_eq!(parse(text(&known).as_bytes()), Some(known));
        assert_eq!(
            parse(text(&HashMap::new()).as_bytes()),
            Some(HashMap::new())
        );
    }

    #[test]
    fn no_damage_is_believed() {
        let text = text(&known());
        for at in 0..text.len() {
            let mut damaged = text.clone().into_bytes();
            damaged[at] ^= 1;
            assert_eq!(parse(&damaged), None, "{at}");
            assert_eq!(parse(&text.as_bytes()[..at]), None, "cut at {at}");
        }
    }
}
