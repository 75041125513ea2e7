//! Which images of the daemon this machine has made. An image that somebody builds on one of them inherits its labels and,
//! if it gets its tag as well, would pass for it.

use std::{collections::BTreeSet, path::PathBuf};

use super::run::Run;
use crate::{
    adapters::{cache::CacheKind, digest_cache, store},
    image::{Digest, ImageInfo, LABEL_FINGERPRINT},
    plan::PlatformStage,
};

impl Run<'_> {
    /// What the daemon has under the tag of a stage. Its label with the fingerprint is left out if this machine has made
    /// other images from the same inputs, but not this one, and no registry is known to have given it.
    pub(super) fn as_made(&self, stage: &PlatformStage, found: ImageInfo) -> ImageInfo {
        if found.fingerprint() != Some(stage.fingerprint.hex()) {
            return found;
        }
        let made = self.made(stage);
        if made.contains(&found.id) {
            return found;
        }
        if made.is_empty() {
            self.remember_made(stage, &found);
            return found;
        }
        let repository = &stage.reference(self.registry).repository;
        // The containerd store names each image so, by its ID, wherever it came from.
        let pulled = |name: &String| {
            name.split_once('@').is_some_and(|(name, digest)| {
                name == repository.to_string() && digest != found.id.as_str()
            })
        };
        if found.repo_digests.iter().any(pulled) {
            return found;
        }
        let mut labels = found.labels;
        labels.remove(LABEL_FINGERPRINT);
        ImageInfo { labels, ..found }
    }

    /// Notes that an image was made of a stage. If that fails, the image is made once more.
    pub(crate) fn remember_made(&self, stage: &PlatformStage, image: &ImageInfo) {
        let mut made = self.made(stage);
        if made.insert(image.id.clone()) {
            let lines: Vec<&str> = made.iter().map(Digest::as_str).collect();
            let file = self.file_of_made(stage);
            drop(store::replace_unsynced(&file, lines.join("\n").as_bytes()));
        }
    }

    fn file_of_made(&self, stage: &PlatformStage) -> PathBuf {
        let cache = &self.session.cache;
        cache.entry(CacheKind::Made, stage.fingerprint.hex())
    }

    fn made(&self, stage: &PlatformStage) -> BTreeSet<Digest> {
        let file = self.file_of_made(stage);
        let bytes = digest_cache::own_bytes(&file).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }
}
