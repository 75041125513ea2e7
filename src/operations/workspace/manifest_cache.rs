//! The results of earlier runs for manifests without findings, kept in the cache folder: one file for each project.
//!
//! A cache file that is damaged or belongs to another user counts as empty.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    adapters::{
        cache::{Cache, CacheKind},
        digest_cache, store,
    },
    image::Digest,
};

/// The version of the code that examines manifests. Must change whenever an unchanged manifest may give another result.
const READER: u32 = 4;

/// The results for one project's manifests, by file.
#[derive(Debug)]
pub(crate) struct ManifestCache {
    kept: BTreeMap<String, CachedManifest>,
    learnt: Mutex<BTreeMap<String, CachedManifest>>,
    /// The beginning of the run, since the epoch.
    now: Duration,
}

/// A manifest without findings: all its references are current, and there are no warnings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CachedManifest {
    /// The file's identity (size, times, inode and device) in hex.
    pub(crate) identity: String,
    /// The digest of everything else that the result depends on.
    pub(crate) key: Digest,
    /// The images of the project that it names.
    pub(crate) named: Vec<String>,
    /// Whether it has an object of a Spark operator's kind.
    pub(crate) has_spark: bool,
    /// The numbers of the configured places that it has.
    pub(crate) places: Vec<usize>,
}

#[derive(Deserialize, Serialize)]
struct CacheFile {
    reader: u32,
    version: String,
    manifests: BTreeMap<String, CachedManifest>,
}

impl ManifestCache {
    /// The cached results for the project in `root`.
    pub(crate) fn open(cache: &Cache, root: &Path) -> Self {
        let document = digest_cache::own_bytes(&cache.entry_of_path(CacheKind::Manifests, root))
            .and_then(|bytes| serde_json::from_slice::<CacheFile>(undamaged(&bytes)?).ok())
            .filter(|document| {
                document.reader == READER && document.version == env!("CARGO_PKG_VERSION")
            });
        Self {
            kept: document.map_or_else(BTreeMap::new, |document| document.manifests),
            learnt: Mutex::default(),
            now: digest_cache::now(),
        }
    }

    /// Writes new results to the cache file. A failure is ignored: the next run then reads the manifests again.
    pub(crate) fn keep(&self, cache: &Cache, root: &Path) {
        let learnt = self.learnt();
        let is_news =
            |(file, manifest): (&String, &CachedManifest)| self.kept.get(file) != Some(manifest);
        if !learnt.iter().any(is_news) {
            return;
        }
        let mut manifests = self.kept.clone();
        manifests.extend(learnt.clone());
        manifests.retain(|file, _| root.join(file).exists());
        let document = CacheFile {
            reader: READER,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            manifests,
        };
        if let Ok(text) = serde_json::to_string(&document) {
            let bytes = format!("{}\n{text}", Digest::of(text.as_bytes()).hex());
            drop(store::replace_unsynced(
                &cache.entry_of_path(CacheKind::Manifests, root),
                bytes.as_bytes(),
            ));
        }
    }

    /// The result of an earlier run for a file of the project.
    pub(crate) fn get(&self, file: &str) -> Option<&CachedManifest> {
        self.kept.get(file)
    }

    /// When the run began, since the epoch.
    pub(crate) fn now(&self) -> Duration {
        self.now
    }

    /// Adds a result, so that the next run need not read the manifest.
    pub(crate) fn insert(&self, file: String, manifest: CachedManifest) {
        self.learnt().insert(file, manifest);
    }

    fn learnt(&self) -> MutexGuard<'_, BTreeMap<String, CachedManifest>> {
        self.learnt.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The content of a cache file, without the digest at its beginning; `None` if the digest does not match.
fn undamaged(bytes: &[u8]) -> Option<&[u8]> {
    let newline = bytes.iter().position(|byte| *byte == b'\n')?;
    let (digest, text) = (&bytes[..newline], &bytes[newline + 1..]);
    (Digest::of(text).hex().as_bytes() == digest).then_some(text)
}
