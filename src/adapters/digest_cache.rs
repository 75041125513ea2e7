//! The files of stat caches: one for each project and each source, in the cache folder.

use std::{
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{
    cache::{Cache, CacheKind},
    store,
};
use crate::project::digest_cache::DigestCache;

/// The size limit in bytes: a larger file was not written by sparkpack.
const LIMIT: u64 = 1 << 30;

/// The file of the stat cache for everything below `path`.
#[must_use]
pub fn file_for(cache: &Cache, path: &Path) -> PathBuf {
    cache.entry_of_path(CacheKind::Digests, path)
}

/// The stat cache in `file`; empty if the file is missing, damaged, or another user's.
#[must_use]
pub fn open(file: &Path) -> DigestCache {
    DigestCache::read(own_bytes(file).unwrap_or_default(), now())
}

/// The bytes of a cache file, if it is a regular file of this user.
#[must_use]
pub fn own_bytes(file: &Path) -> Option<Vec<u8>> {
    // Opening a FIFO would block.
    let metadata = fs_err::symlink_metadata(file).ok()?;
    if !metadata.is_file() || metadata.uid() != rustix::process::geteuid().as_raw() {
        return None;
    }
    let mut bytes = Vec::new();
    let handle = fs_err::File::open(file).ok()?;
    handle.take(LIMIT).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Writes new entries; if that fails, the next run only takes longer.
pub fn keep(file: &Path, digests: &DigestCache) {
    if let Some(bytes) = digests.to_bytes() {
        drop(store::replace_unsynced(file, &bytes));
    }
}

/// The time since the epoch.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "tells whether a file may still change within the clock's tick; no tag depends on it"
)]
pub fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}
