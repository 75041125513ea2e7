//! Whether a registry still has what the manifest of an image names. A manifest that is there says nothing of its blobs: a
//! clean-up or a failed disk may have taken them.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    time::{Duration, UNIX_EPOCH},
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::{
    StatusCode,
    header::{CONTENT_LENGTH, HeaderMap},
};

use super::{
    client::{RegistryClient, RegistryImage, look_up},
    error::RegistryError,
    push::LOOK_UPS,
    session::{RegistrySession, Request, not_understood},
    upload::head_of_blob,
};
use crate::{
    adapters::{cache::CacheKind, digest_cache, store},
    image::{Digest, ImageError, ImageManifest, Reference, Repository},
};

/// How long a repository that had all blobs of an image is believed to have them.
const BELIEVED: Duration = Duration::from_hours(24);

impl RegistryClient {
    /// How many blobs a repository has lost of an image whose manifest it has. It is asked once a day.
    ///
    /// # Errors
    /// It does not answer.
    pub fn lost_blobs(
        &self,
        image: &RegistryImage,
        repository: &Repository,
    ) -> Result<usize, RegistryError> {
        if self.session.is_known_whole(repository, &image.digest) {
            return Ok(0);
        }
        let pinned: Reference = repository.with_digest(&image.digest);
        let action = format!("look up the blobs of `{pinned}`");
        let readable = self.readable(repository);
        let request = look_up(&action, &readable, &pinned);
        let lost = self.session.lost_blobs(&request, &image.manifest);
        let lost = self.runtime.block_on(lost)?;
        if lost == 0 {
            self.session.remember_whole(repository, &image.digest);
        }
        Ok(lost)
    }
}

impl RegistrySession {
    async fn lost_blobs(
        &self,
        request: &Request<'_>,
        manifest: &[u8],
    ) -> Result<usize, RegistryError> {
        let odd = |error: ImageError| not_understood(request, error.to_string());
        let manifest = ImageManifest::parse(manifest).map_err(odd)?;
        let blobs = [&manifest.config].into_iter().chain(&manifest.layers);
        let blobs: BTreeSet<(&Digest, u64)> = blobs.map(|blob| (&blob.digest, blob.size)).collect();
        let asked = blobs
            .into_iter()
            .map(|(digest, size)| self.has_lost(request, digest, size));
        let asked = stream::iter(asked).buffer_unordered(LOOK_UPS);
        asked
            .try_fold(0, async |lost, is_lost| Ok(lost + usize::from(is_lost)))
            .await
    }

    async fn has_lost(
        &self,
        request: &Request<'_>,
        digest: &Digest,
        size: u64,
    ) -> Result<bool, RegistryError> {
        let answer = match self.exchange(&head_of_blob(request, digest)).await {
            Ok(answer) => answer,
            // Some registries let nobody ask for blobs by HEAD.
            Err(RegistryError::Denied { .. } | RegistryError::Refused { .. }) => return Ok(false),
            Err(error) => return Err(error),
        };
        let other_size = || length(&answer.headers).is_some_and(|length| length != size);
        Ok(match answer.status {
            StatusCode::NOT_FOUND => true,
            StatusCode::OK => other_size(),
            _ => false,
        })
    }

    /// The file that says, by its age, when a repository had all of an image.
    fn file_of_whole(&self, repository: &Repository, digest: &Digest) -> Option<PathBuf> {
        let key = Digest::of(repository.with_digest(digest).to_string().as_bytes());
        let cache = self.cache.as_ref()?;
        Some(cache.entry(CacheKind::Whole, key.hex()))
    }

    fn is_known_whole(&self, repository: &Repository, digest: &Digest) -> bool {
        let file = self.file_of_whole(repository, digest);
        let written = file.and_then(|file| fs_err::symlink_metadata(file).ok()?.modified().ok());
        let written = written.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let age = written.and_then(|written| digest_cache::now().checked_sub(written));
        age.is_some_and(|age| age < BELIEVED)
    }

    /// If that fails, it is asked for again the next time.
    pub(super) fn remember_whole(&self, repository: &Repository, digest: &Digest) {
        if let Some(file) = self.file_of_whole(repository, digest) {
            drop(store::replace_unsynced(&file, b""));
        }
    }
}

/// The size that the answer to a HEAD request names.
fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
