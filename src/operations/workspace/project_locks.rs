//! The locks of a project: which run waits for which, and for how long.
//!
//! | lock | who takes it | what only its holder changes | how long |
//! |---|---|---|---|
//! | the project's | `package`, `lock`, `build`, `push`; `run` until its image is made | `dist/`, images, what is locked | the whole run |
//! | its files' | `pin` and `eject`: the whole run, which waits for nothing outside; the others: while they replace files, and while they recover what a killed run had begun | manifests, pins, locks, the journal | milliseconds |
//! | an entry's in the cache | whoever makes it | a wheel as it is installed, a repository | while it is made |
//!
//! `plan`, `tags`, `why`, `diff`, `check`, `doctor`, `init` and `new` take none: a file is replaced whole, and a run reads
//! it before or after. The locks are taken in the order of the table, so that no two runs wait for each other. They lie in
//! the cache, so that two users with a cache each share none; what they replace then is compared with what was read.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{
    adapters::{
        cache::{Cache, CacheKind},
        file_lock::{FileLock, FileLockError, HeldBy, LockWait},
    },
    error::Error,
    image::Digest,
};

/// The locks of one project, and how this run waits for them. Clones are of the same run.
#[derive(Clone)]
pub(crate) struct ProjectLocks {
    pub(crate) wait: LockWait,
    cache: Cache,
    /// The digest of the project's folder.
    project: String,
    /// The lock of the files, while this run has it.
    files: Arc<Mutex<Weak<FileLock>>>,
    /// Whether the last holder of the project's lock was killed, once this run has that.
    after_kill: Arc<OnceLock<Arc<AtomicBool>>>,
}

impl ProjectLocks {
    /// Those of the project in `root`.
    pub(crate) fn of(root: &Path, cache: &Cache, wait: LockWait) -> Result<Self, Error> {
        let root = fs_err::canonicalize(root)?;
        Ok(Self {
            wait,
            cache: cache.clone(),
            project: Digest::of(root.as_os_str().as_encoded_bytes())
                .hex()
                .to_owned(),
            files: Arc::default(),
            after_kill: Arc::default(),
        })
    }

    /// The project's lock.
    pub(crate) fn project(
        &self,
        waiting: &mut dyn FnMut(&HeldBy),
    ) -> Result<FileLock, FileLockError> {
        let file = self.cache.entry(CacheKind::Locks, &self.project[..32]);
        let taken = FileLock::take(&file, &self.wait, waiting)?;
        // A run takes it once.
        self.after_kill.get_or_init(|| taken.after_kill());
        Ok(taken)
    }

    /// Whether a killed run may have left something outside of the project that nobody has looked for yet.
    pub(crate) fn is_after_kill(&self) -> bool {
        let after_kill = self.after_kill.get();
        after_kill.is_some_and(|after_kill| after_kill.load(Ordering::Relaxed))
    }

    /// Says that nothing of it is left.
    pub(crate) fn is_cleaned_up(&self) {
        if let Some(after_kill) = self.after_kill.get() {
            after_kill.store(false, Ordering::Relaxed);
        }
    }

    /// The lock of the project's files, for as long as any part of this run holds it.
    pub(crate) fn files(
        &self,
        waiting: &mut dyn FnMut(&HeldBy),
    ) -> Result<Arc<FileLock>, FileLockError> {
        // A poisoned lock is safe: every change is a single assignment.
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = files.upgrade() {
            return Ok(held);
        }
        let name = format!("files {}", self.project);
        let name = Digest::of(name.as_bytes());
        let file = self.cache.entry(CacheKind::Locks, name.short(32));
        let taken = Arc::new(FileLock::take(&file, &self.wait, waiting)?);
        *files = Arc::downgrade(&taken);
        Ok(taken)
    }

    /// The same locks for a part of the run that can be left out: it waits for nobody.
    pub(crate) fn at_once(&self) -> Self {
        let mut locks = self.clone();
        locks.wait.limit = std::time::Duration::ZERO;
        locks
    }
}
