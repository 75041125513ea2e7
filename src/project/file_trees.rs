//! The file trees of a project: each folder is walked once in a run, and each file is read at most once.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    digest_cache::DigestCache,
    ignore::{Keep, Listing, TreeError, list},
    tree::{Content, Entry, Location},
};

/// Identifies a listing: the folder, the name of the rules, and whether links are followed.
type Key = (PathBuf, String, bool);

/// Walks folders and caches their listings.
#[derive(Debug)]
pub struct FileTrees {
    digests: DigestCache,
    executable: Option<ExecutableBits>,
    listings: Mutex<HashMap<Key, Arc<Listing>>>,
}

/// Executable bits that do not come from the disk, by absolute paths without symbolic links.
#[derive(Clone, Debug, Default)]
pub struct ExecutableBits(Arc<BTreeMap<PathBuf, bool>>);

impl ExecutableBits {
    /// The bit of a file; `None` if nothing is known of the file.
    #[must_use]
    pub fn of(&self, file: &Path) -> Option<bool> {
        let real = || self.0.get(&fs_err::canonicalize(file).ok()?).copied();
        self.0.get(file).copied().or_else(real)
    }

    /// Corrects the bits of files on the disk. `unknown` gets the disk's bit of a file of which nothing is known.
    pub fn correct(&self, entries: &mut [Entry], unknown: impl Fn(bool) -> bool) {
        for entry in entries {
            if let Content::File {
                executable,
                location: Location::Disk(file),
                ..
            } = &mut entry.content
            {
                *executable = self.of(file).unwrap_or_else(|| unknown(*executable));
            }
        }
    }
}

impl From<BTreeMap<PathBuf, bool>> for ExecutableBits {
    fn from(bits: BTreeMap<PathBuf, bool>) -> Self {
        Self(Arc::new(bits))
    }
}

/// The rules that decide what of a folder is listed.
pub struct Rules<'a> {
    /// Identifies the rules: a folder is walked again only for rules with another name.
    pub name: String,
    /// Gets a path and whether it is a folder, and returns whether to keep it.
    pub keep: &'a Keep<'a>,
    /// Whether symbolic links are followed.
    pub follow: bool,
}

impl FileTrees {
    /// Trees that take the digests of unchanged files from the cache.
    #[must_use]
    pub fn new(digests: DigestCache) -> Self {
        Self {
            digests,
            executable: None,
            listings: Mutex::default(),
        }
    }

    /// The same, with executable bits that do not come from the disk. A file of which nothing is known is not executable.
    #[must_use]
    pub fn with_executable_bits(self, bits: ExecutableBits) -> Self {
        Self {
            executable: Some(bits),
            ..self
        }
    }

    /// The executable bits that do not come from the disk, if none do.
    #[must_use]
    pub fn executable_bits(&self) -> Option<&ExecutableBits> {
        self.executable.as_ref()
    }

    /// The cache with the digests of this run.
    #[must_use]
    pub fn digests(&self) -> &DigestCache {
        &self.digests
    }

    /// The files and links below `root` that the rules keep and `wanted` accepts, at or near some paths: see
    /// [`Listing::choose`].
    ///
    /// # Errors
    /// Those of [`list`] and [`Listing::choose`].
    pub fn choose(
        &self,
        root: &Path,
        rules: &Rules<'_>,
        near: &[&str],
        wanted: &dyn Fn(&str) -> bool,
    ) -> Result<Vec<Entry>, TreeError> {
        let listing = self.listing(root, rules)?;
        Ok(self.with_known_bits(listing.choose(near, wanted, &self.digests)?))
    }

    fn listing(&self, root: &Path, rules: &Rules<'_>) -> Result<Arc<Listing>, TreeError> {
        let mut listings = self.listings.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (root.to_owned(), rules.name.clone(), rules.follow);
        if let Some(listing) = listings.get(&key) {
            return Ok(Arc::clone(listing));
        }
        let listing = Arc::new(list(root, rules.keep, rules.follow)?);
        listings.insert(key, Arc::clone(&listing));
        Ok(listing)
    }

    fn with_known_bits(&self, mut entries: Vec<Entry>) -> Vec<Entry> {
        if let Some(bits) = &self.executable {
            bits.correct(&mut entries, |_| false);
        }
        entries
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use super::*;

    #[test]
    fn a_folder_is_walked_once_for_the_same_rules() {
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join("a"), "").unwrap();
        fs_err::write(folder.path().join("b"), "").unwrap();
        let trees = FileTrees::new(DigestCache::read(b"", Duration::ZERO));
        let asked = AtomicUsize::new(0);
        let keep = |_: &str, _: bool| {
            asked.fetch_add(1, Ordering::Relaxed);
            true
        };
        let chosen = |name: &str, wanted: &str| {
            let rules = Rules {
                name: name.to_owned(),
                keep: &keep,
                follow: false,
            };
            let entries = trees.choose(folder.path(), &rules, &[""], &|path| path == wanted);
            entries.unwrap().len()
        };
        assert_eq!((chosen("x", "a"), chosen("x", "b")), (1, 1));
        assert_eq!(asked.load(Ordering::Relaxed), 2, "one walk over two files");
        assert_eq!(chosen("y", "c"), 0);
        assert_eq!(
            asked.load(Ordering::Relaxed),
            4,
            "other rules, another walk"
        );
    }
}
