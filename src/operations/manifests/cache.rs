//! Skips manifests that had no findings in an earlier run and have not changed since: they are not read again.
//!
//! As in the stat cache, a result is kept only if the file was clearly older than the run that read it, and used only
//! if the file's metadata is unchanged.

use std::path::Path;

use super::examined::{Examined, Objects};
use crate::{
    image::Digest,
    operations::workspace::{CachedManifest, ManifestCache, Session},
    project::digest_cache::FileIdentity,
    yaml::Rewritten,
};

/// The key of a manifest's result: an earlier result counts only if it has the same key.
pub(crate) struct CacheKey {
    file: String,
    /// The file's identity now; `None` if its metadata cannot be read.
    identity: Option<FileIdentity>,
    pub(super) digest: Digest,
}

impl CacheKey {
    /// The key of a file. `digest` covers everything that the result depends on besides the file.
    pub(crate) fn new(session: &Session<'_>, file: &str, digest: &Digest) -> Self {
        Self {
            file: file.to_owned(),
            identity: identity_of(&session.project.root.join(file)),
            digest: digest.clone(),
        }
    }
}

fn identity_of(path: &Path) -> Option<FileIdentity> {
    let metadata = fs_err::metadata(path).ok()?;
    Some(FileIdentity::of(&metadata))
}

fn hex(identity: &FileIdentity) -> String {
    hex::encode(identity.bytes())
}

/// Whether a manifest is unchanged since a run without findings, even if that run expected other references. It is then
/// known that the manifest can be read.
pub(crate) fn has(session: &Session<'_>, file: &str) -> bool {
    let Some(cached) = session.manifest_cache().get(file) else {
        return false;
    };
    let identity = identity_of(&session.project.root.join(file));
    identity.is_some_and(|identity| hex(&identity) == cached.identity)
}

/// The result of an earlier run for a manifest without findings.
pub(crate) fn find(cache: &ManifestCache, key: &CacheKey) -> Option<Examined> {
    let cached = cache.get(&key.file)?;
    let is_same = key.digest == cached.key
        && key.identity.as_ref().map(hex).as_ref() == Some(&cached.identity);
    is_same.then(|| Examined {
        file: key.file.clone(),
        text: String::new(),
        rewritten: Rewritten {
            text: None,
            changes: Vec::new(),
            pending: Vec::new(),
        },
        named: cached.named.iter().cloned().collect(),
        skipped: Vec::new(),
        stale: Vec::new(),
        warnings: Vec::new(),
        objects: Objects {
            has_spark: cached.has_spark,
            without_image: None,
        },
        places: cached.places.iter().copied().collect(),
    })
}

/// Keeps the result for the next run, if the manifest has no findings.
pub(crate) fn learn(cache: &ManifestCache, key: &CacheKey, examined: &Examined) {
    let is_in_order = examined.rewritten.text.is_none()
        && examined.rewritten.pending.is_empty()
        && examined.stale.is_empty()
        && examined.warnings.is_empty()
        && examined.objects.without_image.is_none();
    let Some(identity) = key
        .identity
        .as_ref()
        .filter(|identity| is_in_order && identity.is_older_than(cache.now()))
    else {
        return;
    };
    let cached = CachedManifest {
        identity: hex(identity),
        key: key.digest.clone(),
        named: examined.named.iter().cloned().collect(),
        has_spark: examined.objects.has_spark,
        places: examined.places.iter().copied().collect(),
    };
    cache.insert(key.file.clone(), cached);
}
