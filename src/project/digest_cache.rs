//! The stat cache: digests of files that earlier runs read, found again by the files' metadata.
//!
//! An entry is used only if size, times, inode and device are unchanged, and only if the file was clearly older than
//! the moment at which it was read: a file that is changed twice within one tick of its file system's clock looks the
//! same after the second change (git calls such an entry racy). A file in doubt is read again. The cache therefore only
//! saves time and never changes a result; a damaged cache file counts as an empty one.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs::Metadata,
    hash::{BuildHasher as _, RandomState},
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::ignore::Digests;
use crate::image::Digest;

/// The first line of the file; the number is the version of its layout.
const MAGIC: &[u8] = b"sparkpack-stats 1\n";

/// The tick of a file system that stores no fractions of a second: FAT's clock ticks every two seconds.
const SLOW_TICK: Duration = Duration::from_secs(3);

/// The tick of any other file system: ten milliseconds at most, with a margin.
const TICK: Duration = Duration::from_millis(100);

/// The length of an identity, in bytes.
pub const IDENTITY: usize = 7 * size_of::<u64>();

/// The length of a digest in hex.
const HEX: usize = 64;

/// The metadata by which a file is known to be unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileIdentity {
    size: u64,
    /// The time of the last change of the content, since the epoch.
    modified: (i64, i64),
    /// The time of the inode's last change, which no program can set.
    changed: (i64, i64),
    inode: u64,
    device: u64,
}

impl FileIdentity {
    /// The identity of a file or folder.
    #[must_use]
    pub fn of(metadata: &Metadata) -> Self {
        Self {
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
            device: metadata.dev(),
        }
    }

    /// Whether the file was clearly older than `moment` (since the epoch). If it was, content read at `moment` cannot
    /// have changed without a change of this identity.
    #[must_use]
    pub fn is_older_than(&self, moment: Duration) -> bool {
        let (seconds, nanoseconds) = self.modified.max(self.changed);
        let (Ok(seconds), Ok(nanoseconds)) = (seconds.try_into(), nanoseconds.try_into()) else {
            return false;
        };
        let has_fractions = self.modified.1 != 0 && self.changed.1 != 0;
        let tick = if has_fractions { TICK } else { SLOW_TICK };
        Duration::new(seconds, nanoseconds) + tick < moment
    }

    /// The same without the time of the inode's last change.
    fn but_for_changed(&self) -> Self {
        Self {
            changed: self.modified,
            ..*self
        }
    }

    /// The whole identity, as it is stored.
    #[must_use]
    pub fn bytes(&self) -> [u8; IDENTITY] {
        let numbers = [
            self.size.to_le_bytes(),
            self.modified.0.to_le_bytes(),
            self.modified.1.to_le_bytes(),
            self.changed.0.to_le_bytes(),
            self.changed.1.to_le_bytes(),
            self.inode.to_le_bytes(),
            self.device.to_le_bytes(),
        ];
        let mut bytes = [0; IDENTITY];
        bytes.copy_from_slice(numbers.as_flattened());
        bytes
    }
}

/// The entries of earlier runs, kept as the bytes of the cache file: an entry is decoded only when it is looked up.
#[derive(Debug, Default)]
struct EarlierRuns {
    /// For each entry: the length of its path, the path, the identity, the digest in hex.
    body: Vec<u8>,
    entries: Vec<CachedDigest>,
    /// An index in `entries` for the hash of each path.
    by_path: HashMap<u64, u32>,
    hashing: RandomState,
}

/// Where in `body` an entry lies.
#[derive(Debug)]
struct CachedDigest {
    /// The path's first byte.
    start: usize,
    /// The byte after the path.
    end: usize,
    is_used: AtomicBool,
}

/// A file that this run read.
#[derive(Clone, Debug)]
struct Learnt {
    identity: FileIdentity,
    digest: Digest,
    /// Whether the next run may use it.
    is_certain: bool,
}

/// The digests of one project's files.
#[derive(Debug)]
pub struct DigestCache {
    earlier: EarlierRuns,
    learnt: Mutex<HashMap<PathBuf, Learnt>>,
    /// Whether links to the files are made and removed at any time.
    is_linked: bool,
    /// The beginning of the run, since the epoch.
    now: Duration,
}

impl DigestCache {
    /// The cache from the bytes of its file; `now` is the time since the epoch.
    #[must_use]
    pub fn read(bytes: impl Into<Vec<u8>>, now: Duration) -> Self {
        Self {
            earlier: EarlierRuns::parse(bytes.into()).unwrap_or_default(),
            learnt: Mutex::default(),
            is_linked: false,
            now,
        }
    }

    /// The same, of files to which links are made and removed at any time: that moves the time of the inode's last change,
    /// which therefore does not count. It is for files whose bytes are compared once more where an image is made of them.
    #[must_use]
    pub fn of_linked(self) -> Self {
        Self {
            is_linked: true,
            ..self
        }
    }

    fn identity(&self, metadata: &Metadata) -> FileIdentity {
        let identity = FileIdentity::of(metadata);
        if self.is_linked {
            identity.but_for_changed()
        } else {
            identity
        }
    }

    /// Whether earlier runs recorded entries, all of them under this digest, and none of the files and folders has
    /// changed.
    #[must_use]
    pub fn confirm(&self, digest: &Digest) -> bool {
        let is_same = |entry: &CachedDigest| {
            self.earlier.hex(entry) == digest.hex().as_bytes()
                && Path::new(OsStr::from_bytes(self.earlier.path(entry)))
                    .symlink_metadata()
                    .is_ok_and(|metadata| self.earlier.is_of(entry, &self.identity(&metadata)))
        };
        !self.earlier.entries.is_empty() && self.earlier.entries.iter().all(is_same)
    }

    /// Whether this run read something that the next run must read again.
    #[must_use]
    pub fn has_doubts(&self) -> bool {
        self.learnt().values().any(|learnt| !learnt.is_certain)
    }

    /// The bytes to be written, if they differ from the file's.
    #[must_use]
    pub fn to_bytes(&self) -> Option<Vec<u8>> {
        let learnt = self.learnt();
        let is_news = |(path, learnt): (&PathBuf, &Learnt)| {
            learnt.is_certain || self.earlier.find(path).is_some()
        };
        if !learnt.iter().any(is_news) {
            return None;
        }
        let used = |entry: &CachedDigest| entry.is_used.load(Ordering::Relaxed);
        let entries = &self.earlier.entries;
        let count = entries.iter().filter(|entry| used(entry)).count() + learnt.len();
        // Entries that this run did not use may serve another command. They are dropped once they outnumber the others.
        let keep_all = entries.len() <= 2 * count;
        let is_old = |entry: &&CachedDigest| {
            let path = Path::new(OsStr::from_bytes(self.earlier.path(entry)));
            !learnt.contains_key(path) && (keep_all || used(entry))
        };
        let mut body = Vec::new();
        for entry in entries.iter().filter(is_old) {
            body.extend_from_slice(self.earlier.whole(entry));
        }
        for (path, learnt) in learnt.iter().filter(|(_, learnt)| learnt.is_certain) {
            let path = path.as_os_str().as_bytes();
            body.extend((path.len() as u64).to_le_bytes());
            body.extend_from_slice(path);
            body.extend_from_slice(&learnt.identity.bytes());
            body.extend_from_slice(learnt.digest.hex().as_bytes());
        }
        let mut bytes = MAGIC.to_vec();
        bytes.extend(Digest::of(&body).hex().as_bytes());
        bytes.push(b'\n');
        bytes.extend(body);
        Some(bytes)
    }

    fn learnt(&self) -> MutexGuard<'_, HashMap<PathBuf, Learnt>> {
        // A poisoned lock is safe: every change is a single insertion.
        self.learnt.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Digests for DigestCache {
    fn known(&self, file: &Path, metadata: &Metadata) -> Option<Digest> {
        let identity = self.identity(metadata);
        if let Some(entry) = self.earlier.find(file)
            && self.earlier.is_of(entry, &identity)
            && let Some(digest) = digest_of(self.earlier.hex(entry))
        {
            entry.is_used.store(true, Ordering::Relaxed);
            return Some(digest);
        }
        let learnt = self.learnt();
        let found = learnt.get(file)?;
        (found.identity == identity).then(|| found.digest.clone())
    }

    fn learn(&self, file: &Path, metadata: &Metadata, digest: &Digest) {
        let identity = self.identity(metadata);
        let after = fs_err::metadata(file).ok();
        let is_steady = after.is_some_and(|after| self.identity(&after) == identity);
        let learnt = Learnt {
            identity,
            digest: digest.clone(),
            is_certain: is_steady && identity.is_older_than(self.now),
        };
        self.learnt().insert(file.to_owned(), learnt);
    }
}

fn digest_of(hex: &[u8]) -> Option<Digest> {
    format!("sha256:{}", std::str::from_utf8(hex).ok()?)
        .parse()
        .ok()
}

impl EarlierRuns {
    fn parse(mut bytes: Vec<u8>) -> Option<Self> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let (digest, body) = rest.split_at_checked(65)?;
        if Digest::of(body).hex().as_bytes() != digest.strip_suffix(b"\n")? {
            return None;
        }
        let head = bytes.len() - body.len();
        bytes.drain(..head);
        let mut earlier = Self {
            body: bytes,
            ..Self::default()
        };
        let mut at = 0;
        while at < earlier.body.len() {
            let (length, _) = earlier.body.get(at..)?.split_first_chunk()?;
            let start = at + size_of::<u64>();
            let end = start.checked_add(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
            let path = earlier.body.get(start..end)?;
            let hash = earlier.hashing.hash_one(path);
            let index = u32::try_from(earlier.entries.len()).ok()?;
            earlier.by_path.insert(hash, index);
            earlier.entries.push(CachedDigest {
                start,
                end,
                is_used: AtomicBool::new(false),
            });
            at = end.checked_add(IDENTITY + HEX)?;
            earlier.body.get(..at)?;
        }
        Some(earlier)
    }

    fn find(&self, path: &Path) -> Option<&CachedDigest> {
        let path = path.as_os_str().as_bytes();
        let index = *self.by_path.get(&self.hashing.hash_one(path))?;
        let entry = self.entries.get(usize::try_from(index).ok()?)?;
        (self.path(entry) == path).then_some(entry)
    }

    fn path(&self, entry: &CachedDigest) -> &[u8] {
        &self.body[entry.start..entry.end]
    }

    fn is_of(&self, entry: &CachedDigest, identity: &FileIdentity) -> bool {
        self.body[entry.end..][..IDENTITY] == identity.bytes()
    }

    fn hex(&self, entry: &CachedDigest) -> &[u8] {
        &self.body[entry.end + IDENTITY..][..HEX]
    }

    /// The bytes of the entry, with its length.
    fn whole(&self, entry: &CachedDigest) -> &[u8] {
        &self.body[entry.start - size_of::<u64>()..entry.end + IDENTITY + HEX]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Long after every file was written.
    const LATER: Duration = Duration::from_secs(1 << 40);

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ü");
        fs_err::write(&file, text).unwrap();
        (folder, file)
    }

    #[test]
    fn what_was_learnt_is_known_the_next_time_and_written_once() {
        let (_folder, file) = file("a");
        let metadata = fs_err::metadata(&file).unwrap();
        let digests = DigestCache::read(b"", LATER);
        assert_eq!(digests.known(&file, &metadata), None);
        assert_eq!(digests.to_bytes(), None);
        digests.learn(&file, &metadata, &Digest::of(b"a"));
        let bytes = digests.to_bytes().unwrap();
        let again = DigestCache::read(bytes, LATER);
        assert_eq!(again.known(&file, &metadata), Some(Digest::of(b"a")));
        assert_eq!(again.to_bytes(), None, "nothing new");
    }

    #[test]
    fn a_file_as_young_as_the_run_is_not_believed_the_next_time() {
        let (_folder, file) = file("a");
        let metadata = fs_err::metadata(&file).unwrap();
        let latest = (metadata.ctime(), metadata.ctime_nsec())
            .max((metadata.mtime(), metadata.mtime_nsec()));
        let (seconds, nanoseconds) = latest;
        let latest = Duration::new(seconds.try_into().unwrap(), nanoseconds.try_into().unwrap());
        for (age, is_kept) in [(0, false), (50, false), (100, false), (101, true)] {
            let digests = DigestCache::read(b"", latest + Duration::from_millis(age));
            digests.learn(&file, &metadata, &Digest::of(b"a"));
            assert_eq!(digests.to_bytes().is_some(), is_kept, "{age} ms old");
            assert!(digests.known(&file, &metadata).is_some(), "within the run");
        }
    }

    #[test]
    fn a_clock_without_fractions_is_taken_for_slow() {
        let (_folder, file) = file("a");
        let whole = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 33);
        let handle = fs_err::File::options().write(true).open(&file).unwrap();
        handle.set_modified(whole).unwrap();
        let identity = FileIdentity::of(&fs_err::metadata(&file).unwrap());
        let after = |millis| Duration::from_secs(1 << 33) + Duration::from_millis(millis);
        assert!(!identity.is_older_than(after(2_999)));
        assert!(identity.is_older_than(after(3_001)));
        assert!(!identity.is_older_than(Duration::ZERO), "of the future");
    }

    #[test]
    fn a_file_that_changed_while_it_was_read_is_not_kept() {
        let (_folder, file) = file("a");
        let before = fs_err::metadata(&file).unwrap();
        fs_err::write(&file, "bb").unwrap();
        let digests = DigestCache::read(b"", LATER);
        digests.learn(&file, &before, &Digest::of(b"a"));
        assert_eq!(digests.to_bytes(), None);
    }

    #[test]
    fn links_to_a_file_may_come_and_go_where_that_is_usual() {
        let (folder, file) = file("a");
        let link = folder.path().join("link");
        let of_linked = |bytes: &[u8], now| DigestCache::read(bytes, now).of_linked();
        let of_others = |bytes: &[u8], now| DigestCache::read(bytes, now);
        let metadata = || fs_err::metadata(&file).unwrap();
        let kept = |digests: DigestCache| {
            digests.learn(&file, &metadata(), &Digest::of(b"a"));
            digests.to_bytes()
        };
        let (linked, others) = (kept(of_linked(b"", LATER)), kept(of_others(b"", LATER)));
        let found = || {
            [
                of_linked(linked.as_deref().unwrap(), LATER),
                of_others(others.as_deref().unwrap(), LATER),
            ]
            .map(|digests| digests.known(&file, &metadata()).is_some())
        };
        assert_eq!(found(), [true, true]);
        // A clock's tick later.
        std::thread::sleep(Duration::from_millis(20));
        fs_err::hard_link(&file, &link).unwrap();
        assert_eq!(found(), [true, false], "linked");
        fs_err::remove_file(&link).unwrap();
        assert_eq!(found(), [true, false], "no longer linked");
        fs_err::write(&file, "b").unwrap();
        assert_eq!(found(), [false, false], "changed");
    }

    #[test]
    fn of_files_that_are_linked_only_a_young_content_is_in_doubt() {
        let (folder, file) = file("a");
        let then = Duration::new(1_000_000_000, 1);
        let handle = fs_err::File::options().write(true).open(&file).unwrap();
        handle
            .set_modified(std::time::SystemTime::UNIX_EPOCH + then)
            .unwrap();
        fs_err::hard_link(&file, folder.path().join("link")).unwrap();
        let metadata = fs_err::metadata(&file).unwrap();
        let is_kept = |digests: DigestCache| {
            digests.learn(&file, &metadata, &Digest::of(b"a"));
            digests.to_bytes().is_some()
        };
        for (after, is_kept_of_linked) in [(101, true), (100, false)] {
            let now = then + Duration::from_millis(after);
            let kept = is_kept(DigestCache::read(b"", now).of_linked());
            assert_eq!(kept, is_kept_of_linked, "{after} ms");
            assert!(!is_kept(DigestCache::read(b"", now)));
        }
    }

    #[test]
    fn no_damage_is_believed() {
        let (_folder, file) = file("a");
        let metadata = fs_err::metadata(&file).unwrap();
        let digests = DigestCache::read(b"", LATER);
        digests.learn(&file, &metadata, &Digest::of(b"a"));
        let bytes = digests.to_bytes().unwrap();
        for index in 0..bytes.len() {
            for bit in [1, 0x20, 0x80] {
                let mut damaged = bytes.clone();
                damaged[index] ^= bit;
                assert_eq!(
                    DigestCache::read(damaged, LATER).known(&file, &metadata),
                    None,
                    "bit {bit} of byte {index}"
                );
            }
            let cut = DigestCache::read(&bytes[..index], LATER);
            assert_eq!(cut.known(&file, &metadata), None, "cut at {index}");
        }
    }
}
