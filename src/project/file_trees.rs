//! The file trees of a project: each folder is walked once in a run for the same paths, and each file is read at most once.

use std::{
    collections::{BTreeMap, HashMap},
    fs::Metadata,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    digest_cache::DigestCache,
    folded::Spelling,
    ignore::{Digests, Follow, Keep, Listing, TreeError, list_spelled},
    tree::{Content, Entry, Location},
};
use crate::image::Digest;

/// The bits by which a program runs as the owner or the group of its file.
const PRIVILEGES: u32 = 0o6000;

/// By what a program may do more than who starts it, and what no image gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privilege {
    /// The setuid or setgid bit.
    Bit,
    /// Linux's capabilities, in an extended attribute.
    Capabilities,
}

impl Privilege {
    /// That of a file. Only a file that can be run is asked for its capabilities, which takes another system call.
    fn of(file: &Path, metadata: &Metadata) -> Option<Self> {
        let mode = metadata.permissions().mode();
        if mode & PRIVILEGES != 0 {
            return Some(Self::Bit);
        }
        (mode & 0o111 != 0 && has_capabilities(file)).then_some(Self::Capabilities)
    }
}

/// A disk without such attributes has none.
#[cfg(target_os = "linux")]
fn has_capabilities(file: &Path) -> bool {
    // As long as the longest form that the kernel knows.
    let mut value = [0; 24];
    rustix::fs::getxattr(file, "security.capability", &mut value[..]).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn has_capabilities(_: &Path) -> bool {
    false
}

/// Identifies a listing: the folder, the name of the rules, whether links are followed, and the paths near which it was
/// walked.
type Key = (PathBuf, String, bool, Vec<String>);

/// Walks folders and caches their listings.
#[derive(Debug)]
pub struct FileTrees {
    digests: DigestCache,
    executable: Option<ExecutableBits>,
    spelling: Option<Spelling>,
    /// The files that give those who start them more rights: see [`Self::privileged`].
    privileged: Mutex<BTreeMap<PathBuf, Privilege>>,
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
    pub follow: Option<Follow<'a>>,
}

impl FileTrees {
    /// Trees that take the digests of unchanged files from the cache.
    #[must_use]
    pub fn new(digests: DigestCache) -> Self {
        Self {
            digests,
            executable: None,
            spelling: None,
            privileged: Mutex::default(),
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

    /// The same on a disk that does not tell names apart which git's index does: its names count.
    #[must_use]
    pub fn with_spelling(self, spelling: Spelling) -> Self {
        Self {
            spelling: Some(spelling),
            ..self
        }
    }

    /// The path of a file below `root`, a folder without symbolic links, as listings have it.
    #[must_use]
    pub fn spelled(&self, root: &Path, below: &str) -> String {
        match &self.spelling {
            None => below.to_owned(),
            Some(spelling) => spelling.path(root, below),
        }
    }

    /// The spelling of git's index, if the disk's may be another one.
    #[must_use]
    pub fn spelling(&self) -> Option<&Spelling> {
        self.spelling.as_ref()
    }

    /// The executable bits that do not come from the disk, if none do.
    #[must_use]
    pub fn executable_bits(&self) -> Option<&ExecutableBits> {
        self.executable.as_ref()
    }

    /// The listed files with a privilege that no image gets.
    #[must_use]
    pub fn privileged(&self) -> Vec<(PathBuf, Privilege)> {
        // A poisoned lock is safe: every change is a single insertion.
        let privileged = self
            .privileged
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let pairs = privileged.iter();
        pairs.map(|(file, kind)| (file.clone(), *kind)).collect()
    }

    /// The cache with the digests of this run.
    #[must_use]
    pub fn digests(&self) -> &DigestCache {
        &self.digests
    }

    /// The files and links below `root` that the rules keep and `wanted` accepts, at or near some paths: see
    /// [`Listing::choose`]. What is not near them is not looked at: a context may hold far more than an image takes of it.
    ///
    /// # Errors
    /// Those of [`list_spelled`] and [`Listing::choose`].
    pub fn choose(
        &self,
        root: &Path,
        rules: &Rules<'_>,
        near: &[&str],
        wanted: &dyn Fn(&str) -> bool,
    ) -> Result<Vec<Entry>, TreeError> {
        let listing = self.listing(root, rules, near)?;
        Ok(self.with_known_bits(listing.choose(near, wanted, self)?))
    }

    fn listing(
        &self,
        root: &Path,
        rules: &Rules<'_>,
        near: &[&str],
    ) -> Result<Arc<Listing>, TreeError> {
        let mut listings = self.listings.lock().unwrap_or_else(PoisonError::into_inner);
        let paths: Vec<String> = if near.contains(&"") {
            Vec::new()
        } else {
            near.iter().map(|path| (*path).to_owned()).collect()
        };
        let key = (
            root.to_owned(),
            rules.name.clone(),
            rules.follow.is_some(),
            paths,
        );
        if let Some(listing) = listings.get(&key) {
            return Ok(Arc::clone(listing));
        }
        let keep = |path: &str, is_folder: bool| {
            near.iter().any(|near| is_near(path, near)) && (rules.keep)(path, is_folder)
        };
        let listing = Arc::new(list_spelled(root, &keep, rules.follow, self.spelling())?);
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

impl Digests for FileTrees {
    /// Every file that is wanted is asked for, with its metadata.
    fn known(&self, file: &Path, metadata: &Metadata) -> Option<Digest> {
        if let Some(privilege) = Privilege::of(file, metadata) {
            let mut privileged = self
                .privileged
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            privileged.insert(file.to_owned(), privilege);
        }
        self.digests.known(file, metadata)
    }

    fn learn(&self, file: &Path, metadata: &Metadata, digest: &Digest) {
        self.digests.learn(file, metadata, digest);
    }
}

/// Whether a path is at another one, below it, or on the way to it.
fn is_near(path: &str, near: &str) -> bool {
    let is_below = |inner: &str, outer: &str| {
        let rest = inner.strip_prefix(outer);
        rest.is_some_and(|rest| outer.is_empty() || rest.is_empty() || rest.starts_with('/'))
    };
    is_below(path, near) || is_below(near, path)
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
                follow: None,
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

    #[test]
    fn only_what_is_near_is_walked() {
        let folder = tempfile::tempdir().unwrap();
        for file in ["a/b/c", "a/b-d/e", "a/f", "g/h", "ab"] {
            let file = folder.path().join(file);
            fs_err::create_dir_all(file.parent().unwrap()).unwrap();
            fs_err::write(file, "").unwrap();
        }
        let trees = FileTrees::new(DigestCache::read(b"", Duration::ZERO));
        for (near, wanted) in [
            (&["a/b"][..], &["a", "a/b", "a/b/c"][..]),
            (&["a/f", "g"], &["a", "a/f", "g", "g/h"]),
            (&["nothing/there"], &[]),
            (
                &["", "a/f"],
                &[
                    "a", "a/b", "a/b-d", "a/b-d/e", "a/b/c", "a/f", "ab", "g", "g/h",
                ],
            ),
        ] {
            let asked = Mutex::new(Vec::new());
            let keep = |path: &str, _: bool| {
                asked.lock().unwrap().push(path.to_owned());
                true
            };
            let rules = Rules {
                name: String::new(),
                keep: &keep,
                follow: None,
            };
            let chosen = || {
                trees
                    .choose(folder.path(), &rules, near, &|_| true)
                    .unwrap()
            };
            let first = chosen();
            let mut seen = asked.lock().unwrap().clone();
            seen.sort();
            assert_eq!(seen, wanted, "{near:?}");
            assert_eq!(chosen(), first);
            assert_eq!(asked.lock().unwrap().len(), wanted.len(), "one walk");
        }
    }
}
