//! The stat cache: the digests of files that were read before, by what the file system says of them.
//!
//! An entry is believed only while size, times, inode and device are what they were, and only if the file was clearly
//! older than the moment at which it was read: a file that is changed twice within one tick of its file system's clock
//! looks the same after the second change (git calls such an entry racy). What is in doubt is read again. So the cache
//! makes things faster and never decides anything; whatever is wrong with its file, it is empty.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs::Metadata,
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

/// The first line of the file; the number is that of the layout.
const MAGIC: &[u8] = b"sparkpack-stats 1\n";

/// The clock of a file system that keeps no fractions of a second may tick every two.
const SLOW_TICK: Duration = Duration::from_secs(3);

/// That of any other ticks every ten milliseconds at least.
const TICK: Duration = Duration::from_millis(100);

/// What the file system says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature {
    size: u64,
    /// Since the epoch.
    modified: (i64, i64),
    /// The last change of the inode, which no program can set.
    changed: (i64, i64),
    inode: u64,
    device: u64,
}

impl Signature {
    /// Of a file or folder.
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

    /// Whether the file was clearly older than `moment`, since the epoch: what was read then cannot look the same and
    /// be something else.
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

    fn numbers(&self) -> [[u8; 8]; 7] {
        [
            self.size.to_le_bytes(),
            self.modified.0.to_le_bytes(),
            self.modified.1.to_le_bytes(),
            self.changed.0.to_le_bytes(),
            self.changed.1.to_le_bytes(),
            self.inode.to_le_bytes(),
            self.device.to_le_bytes(),
        ]
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let mut number = || Some(i64::from_le_bytes(reader.take(8)?.try_into().ok()?));
        Some(Self {
            size: number()?.cast_unsigned(),
            modified: (number()?, number()?),
            changed: (number()?, number()?),
            inode: number()?.cast_unsigned(),
            device: number()?.cast_unsigned(),
        })
    }
}

/// A file that an earlier run read.
#[derive(Debug)]
struct Entry {
    signature: Signature,
    digest: Digest,
    is_used: AtomicBool,
}

/// A file that this run read.
#[derive(Clone, Debug)]
struct Learnt {
    signature: Signature,
    digest: Digest,
    /// Whether the next run may believe it.
    is_certain: bool,
}

/// The digests of one project's files.
#[derive(Debug)]
pub struct Stats {
    entries: HashMap<PathBuf, Entry>,
    learnt: Mutex<HashMap<PathBuf, Learnt>>,
    /// The beginning of the run, since the epoch.
    now: Duration,
}

impl Stats {
    /// From the bytes of the cache's file; `now` is the time since the epoch.
    #[must_use]
    pub fn read(bytes: &[u8], now: Duration) -> Self {
        Self {
            entries: parse(bytes).unwrap_or_default(),
            learnt: Mutex::default(),
            now,
        }
    }

    /// Whether files and folders were learnt under this digest in an earlier run, and all of them are as they were.
    #[must_use]
    pub fn confirm(&self, digest: &Digest) -> bool {
        let is_same = |(path, entry): (&PathBuf, &Entry)| {
            entry.digest == *digest
                && path
                    .symlink_metadata()
                    .is_ok_and(|metadata| Signature::of(&metadata) == entry.signature)
        };
        !self.entries.is_empty() && self.entries.iter().all(is_same)
    }

    /// Whether something was learnt that the next run must not believe.
    #[must_use]
    pub fn has_doubts(&self) -> bool {
        self.learnt().values().any(|learnt| !learnt.is_certain)
    }

    /// The bytes to be kept, where they say something that the file did not.
    #[must_use]
    pub fn to_bytes(&self) -> Option<Vec<u8>> {
        let learnt = self.learnt();
        let is_news = |(path, learnt): (&PathBuf, &Learnt)| {
            learnt.is_certain || self.entries.contains_key(path)
        };
        if !learnt.iter().any(is_news) {
            return None;
        }
        let used = |entry: &Entry| entry.is_used.load(Ordering::Relaxed);
        let count = self.entries.values().filter(|entry| used(entry)).count() + learnt.len();
        // Other verbs may need what this one did not; what nobody needs any more is not kept for ever.
        let keep_all = self.entries.len() <= 2 * count;
        let old = self
            .entries
            .iter()
            .filter(|(path, entry)| !learnt.contains_key(*path) && (keep_all || used(entry)))
            .map(|(path, entry)| (path, &entry.signature, &entry.digest));
        let new = learnt
            .iter()
            .filter(|(_, learnt)| learnt.is_certain)
            .map(|(path, learnt)| (path, &learnt.signature, &learnt.digest));
        let mut body = Vec::new();
        for (path, signature, digest) in old.chain(new) {
            let path = path.as_os_str().as_bytes();
            body.extend((path.len() as u64).to_le_bytes());
            body.extend(path);
            body.extend(signature.numbers().concat());
            body.extend(digest.hex().as_bytes());
        }
        let mut bytes = MAGIC.to_vec();
        bytes.extend(Digest::of(&body).hex().as_bytes());
        bytes.push(b'\n');
        bytes.extend(body);
        Some(bytes)
    }

    fn learnt(&self) -> MutexGuard<'_, HashMap<PathBuf, Learnt>> {
        // Every change is one insertion: what a thread that panicked has left is whole.
        self.learnt.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Digests for Stats {
    fn known(&self, file: &Path, metadata: &Metadata) -> Option<Digest> {
        let signature = Signature::of(metadata);
        if let Some(entry) = self.entries.get(file)
            && entry.signature == signature
        {
            entry.is_used.store(true, Ordering::Relaxed);
            return Some(entry.digest.clone());
        }
        let learnt = self.learnt();
        let found = learnt.get(file)?;
        (found.signature == signature).then(|| found.digest.clone())
    }

    fn learn(&self, file: &Path, metadata: &Metadata, digest: &Digest) {
        let signature = Signature::of(metadata);
        let after = fs_err::metadata(file).ok();
        let is_steady = after.is_some_and(|after| Signature::of(&after) == signature);
        let learnt = Learnt {
            signature,
            digest: digest.clone(),
            is_certain: is_steady && signature.is_older_than(self.now),
        };
        self.learnt().insert(file.to_owned(), learnt);
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

fn parse(bytes: &[u8]) -> Option<HashMap<PathBuf, Entry>> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (digest, body) = rest.split_at_checked(65)?;
    if Digest::of(body).hex().as_bytes() != digest.strip_suffix(b"\n")? {
        return None;
    }
    let mut reader = Reader(body);
    let mut entries = HashMap::with_capacity(body.len() / 200);
    while !reader.0.is_empty() {
        let length = u64::from_le_bytes(reader.take(8)?.try_into().ok()?);
        let path = reader.take(usize::try_from(length).ok()?)?;
        let signature = Signature::read(&mut reader)?;
        let hex = std::str::from_utf8(reader.take(64)?).ok()?;
        let entry = Entry {
            signature,
            digest: format!("sha256:{hex}").parse().ok()?,
            is_used: AtomicBool::new(false),
        };
        entries.insert(PathBuf::from(OsStr::from_bytes(path)), entry);
    }
    Some(entries)
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
        let stats = Stats::read(b"", LATER);
        assert_eq!(stats.known(&file, &metadata), None);
        assert_eq!(stats.to_bytes(), None);
        stats.learn(&file, &metadata, &Digest::of(b"a"));
        let bytes = stats.to_bytes().unwrap();
        let again = Stats::read(&bytes, LATER);
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
            let stats = Stats::read(b"", latest + Duration::from_millis(age));
            stats.learn(&file, &metadata, &Digest::of(b"a"));
            assert_eq!(stats.to_bytes().is_some(), is_kept, "{age} ms old");
            assert!(stats.known(&file, &metadata).is_some(), "within the run");
        }
    }

    #[test]
    fn a_clock_without_fractions_is_taken_for_slow() {
        let (_folder, file) = file("a");
        let whole = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 33);
        let handle = fs_err::File::options().write(true).open(&file).unwrap();
        handle.set_modified(whole).unwrap();
        let signature = Signature::of(&fs_err::metadata(&file).unwrap());
        let after = |millis| Duration::from_secs(1 << 33) + Duration::from_millis(millis);
        assert!(!signature.is_older_than(after(2_999)));
        assert!(signature.is_older_than(after(3_001)));
        assert!(!signature.is_older_than(Duration::ZERO), "of the future");
    }

    #[test]
    fn a_file_that_changed_while_it_was_read_is_not_kept() {
        let (_folder, file) = file("a");
        let before = fs_err::metadata(&file).unwrap();
        fs_err::write(&file, "bb").unwrap();
        let stats = Stats::read(b"", LATER);
        stats.learn(&file, &before, &Digest::of(b"a"));
        assert_eq!(stats.to_bytes(), None);
    }

    #[test]
    fn no_damage_is_believed() {
        let (_folder, file) = file("a");
        let metadata = fs_err::metadata(&file).unwrap();
        let stats = Stats::read(b"", LATER);
        stats.learn(&file, &metadata, &Digest::of(b"a"));
        let bytes = stats.to_bytes().unwrap();
        for index in 0..bytes.len() {
            for bit in [1, 0x20, 0x80] {
                let mut damaged = bytes.clone();
                damaged[index] ^= bit;
                assert_eq!(
                    Stats::read(&damaged, LATER).known(&file, &metadata),
                    None,
                    "bit {bit} of byte {index}"
                );
            }
            let cut = Stats::read(&bytes[..index], LATER);
            assert_eq!(cut.known(&file, &metadata), None, "cut at {index}");
        }
    }
}
