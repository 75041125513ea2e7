//! The results of earlier runs for manifests without findings: one file for each project, in the cache's folder.
//!
//! A damaged file, or one of another user, counts as empty.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
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

/// Must change when manifests are read in another way than before.
const READER: u32 = 1;

/// What is known of manifests.
#[derive(Debug)]
pub(crate) struct ManifestCache {
    kept: BTreeMap<String, CachedManifest>,
    learnt: Mutex<BTreeMap<String, CachedManifest>>,
    /// The beginning of the run, since the epoch.
    now: Duration,
}

/// A manifest without findings: all its references are right, and there are no warnings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CachedManifest {
    /// What the file system said of the file, in hex.
    pub(crate) identity: String,
    /// Of all else that the answer depends on.
    pub(crate) key: Digest,
    /// The images that it names.
    pub(crate) named: Vec<String>,
    /// Whether it has an object of the Spark operator.
    pub(crate) has_spark: bool,
}

#[derive(Deserialize, Serialize)]
struct CacheFile {
    reader: u32,
    version: String,
    manifests: BTreeMap<String, CachedManifest>,
}

impl ManifestCache {
    /// Those of the project in `root`.
    pub(crate) fn open(cache: &Cache, root: &Path) -> Self {
        let document = digest_cache::own_bytes(&file_for(cache, root))
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

    /// Keeps what is new; a failure only costs the next run its time.
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
                &file_for(cache, root),
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

    /// Notes what the next run need not read.
    pub(crate) fn insert(&self, file: String, manifest: CachedManifest) {
        self.learnt().insert(file, manifest);
    }

    fn learnt(&self) -> MutexGuard<'_, BTreeMap<String, CachedManifest>> {
        self.learnt.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The text behind its own digest.
fn undamaged(bytes: &[u8]) -> Option<&[u8]> {
    let newline = bytes.iter().position(|byte| *byte == b'\n')?;
    let (digest, text) = (&bytes[..newline], &bytes[newline + 1..]);
    (Digest::of(text).hex().as_bytes() == digest).then_some(text)
}

fn file_for(cache: &Cache, root: &Path) -> PathBuf {
    let real = fs_err::canonicalize(root).unwrap_or_else(|_| root.to_owned());
    let name = Digest::of(real.as_os_str().as_encoded_bytes());
    cache.entry(CacheKind::Manifests, name.hex())
}
