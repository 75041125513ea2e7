//! Manifests that an earlier run has found in order: what has not changed since is not read again.
//!
//! As in the stat cache, a verdict counts only if the file was clearly older than the run that read it, and looks the
//! same now; a damaged cache, or another user's, is an empty one.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Mutex,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::examined::{Examined, Objects};
use crate::{
    adapters::{
        cache::{Cache, CacheKind},
        digest_cache, store,
    },
    image::Digest,
    operations::workspace::Session,
    project::digest_cache::FileIdentity,
    yaml::Rewritten,
};

/// Changes when a text may be read in another way than before.
const READER: u32 = 1;

/// What is known of manifests.
#[derive(Debug)]
pub(crate) struct ManifestCache {
    kept: BTreeMap<String, CachedManifest>,
    learnt: Mutex<BTreeMap<String, CachedManifest>>,
    /// The beginning of the run, since the epoch.
    now: Duration,
}

/// A manifest that is in order: all that it names is right, nothing is to be said of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct CachedManifest {
    /// What the file system said of the file, in hex.
    signature: String,
    key: Digest,
    named: Vec<String>,
    has_spark: bool,
}

#[derive(Deserialize, Serialize)]
struct CacheFile {
    reader: u32,
    version: String,
    manifest_cache: BTreeMap<String, CachedManifest>,
}

/// Whether a manifest is in order.
pub(crate) struct CacheKey {
    file: String,
    /// As the file is now; nothing where that cannot be said.
    signature: Option<FileIdentity>,
    digest: Digest,
}

impl CacheKey {
    /// Of a file of the project, with all else that the answer depends on.
    pub(crate) fn new(session: &Session<'_>, file: &str, digest: &Digest) -> Self {
        Self {
            file: file.to_owned(),
            signature: signature(&session.project.root.join(file)),
            digest: digest.clone(),
        }
    }
}

fn signature(path: &Path) -> Option<FileIdentity> {
    let metadata = fs_err::metadata(path).ok()?;
    Some(FileIdentity::of(&metadata))
}

fn hex(signature: &FileIdentity) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
    let bytes = signature.bytes().into_iter();
    bytes
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
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
            kept: document.map_or_else(BTreeMap::new, |document| document.manifest_cache),
            learnt: Mutex::default(),
            now: digest_cache::now(),
        }
    }

    /// Keeps what is new; a failure only costs the next run its time.
    pub(crate) fn keep(&self, cache: &Cache, root: &Path) {
        let learnt = self.learnt();
        let is_news =
            |(file, verdict): (&String, &CachedManifest)| self.kept.get(file) != Some(verdict);
        if !learnt.iter().any(is_news) {
            return;
        }
        let mut manifest_cache = self.kept.clone();
        manifest_cache.extend(learnt.clone());
        manifest_cache.retain(|file, _| root.join(file).exists());
        let document = CacheFile {
            reader: READER,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            manifest_cache,
        };
        if let Ok(text) = serde_json::to_string(&document) {
            let bytes = format!("{}\n{text}", Digest::of(text.as_bytes()).hex());
            drop(store::replace_unsynced(
                &file_for(cache, root),
                bytes.as_bytes(),
            ));
        }
    }

    /// Whether a manifest has been in order once and is as it was then, whatever it had to name.
    pub(crate) fn has(&self, session: &Session<'_>, file: &str) -> bool {
        let Some(verdict) = self.kept.get(file) else {
            return false;
        };
        let signature = signature(&session.project.root.join(file));
        signature.is_some_and(|signature| hex(&signature) == verdict.signature)
    }

    /// What an earlier run said of a manifest that is in order.
    pub(crate) fn find(&self, key: &CacheKey) -> Option<Examined> {
        let verdict = self.kept.get(&key.file)?;
        let is_same = key.digest == verdict.key
            && key.signature.as_ref().map(hex).as_ref() == Some(&verdict.signature);
        is_same.then(|| Examined {
            file: key.file.clone(),
            text: String::new(),
            rewritten: Rewritten {
                text: None,
                changes: Vec::new(),
                pending: Vec::new(),
            },
            named: verdict.named.iter().cloned().collect(),
            skipped: Vec::new(),
            stale: Vec::new(),
            warnings: Vec::new(),
            objects: Objects {
                has_spark: verdict.has_spark,
                without_image: None,
            },
        })
    }

    /// Notes what the next run need not read, if the manifest is in order.
    pub(crate) fn learn(&self, key: CacheKey, examined: &Examined) {
        let is_in_order = examined.rewritten.text.is_none()
            && examined.rewritten.pending.is_empty()
            && examined.stale.is_empty()
            && examined.warnings.is_empty()
            && examined.objects.without_image.is_none();
        let Some(signature) = key
            .signature
            .filter(|signature| is_in_order && signature.is_older_than(self.now))
        else {
            return;
        };
        let verdict = CachedManifest {
            signature: hex(&signature),
            key: key.digest,
            named: examined.named.iter().cloned().collect(),
            has_spark: examined.objects.has_spark,
        };
        self.learnt().insert(key.file, verdict);
    }

    fn learnt(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, CachedManifest>> {
        self.learnt
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
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
