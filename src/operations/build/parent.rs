//! The documents and the layers of images in a registry, each fetched once: what has a digest never changes.

use super::run::Run;
use crate::{
    adapters::{cache::CacheKind, digest_cache, registry::RegistryImage},
    error::Error,
    image::{Descriptor, Digest, ImageDocuments, ImageManifest, Platform, Reference, Repository},
    operations::events::{Progress, Transfer},
};

use std::path::PathBuf;

impl Run<'_> {
    /// The documents of a registry's image with the name `pinned`. The manifest is known since the registry was asked,
    /// and the config is in the cache since then, unless the cache cannot be written.
    pub(crate) fn documents(
        &self,
        image: &RegistryImage,
        pinned: &Reference,
        platform: &Platform,
    ) -> Result<Option<ImageDocuments>, Error> {
        let manifest = image.manifest.clone();
        let known = ImageManifest::parse(&manifest).ok().and_then(|parsed| {
            let digest = parsed.config.digest;
            let file = self.session.cache.entry(CacheKind::Blobs, digest.hex());
            let config = digest_cache::own_bytes(&file)?;
            (Digest::of(&config) == digest).then_some(config)
        });
        if let Some(config) = known {
            return Ok(Some(ImageDocuments { manifest, config }));
        }
        Ok(self.services.registry()?.documents(pinned, platform)?)
    }

    /// The file of a layer of an image in a registry, from the cache or fetched into it. Whoever uses it compares its
    /// bytes with the digest.
    pub(super) fn layer(
        &self,
        repository: &Repository,
        layer: &Descriptor,
        progress: &mut dyn Progress,
    ) -> Result<PathBuf, Error> {
        let cache = &self.session.cache;
        let file = cache.entry(CacheKind::Blobs, layer.digest.hex());
        let there = fs_err::symlink_metadata(&file);
        if there.is_ok_and(|there| there.is_file() && there.len() == layer.size) {
            return Ok(file);
        }
        let temporary = cache.unfinished(CacheKind::Blobs)?;
        let unfinished = temporary.path().join("layer");
        let registry = self.services.registry()?;
        registry.save_blob(repository, layer, &unfinished, &mut |done| {
            progress.moved(Transfer::Fetched, done, Some(layer.size));
        })?;
        fs_err::rename(&unfinished, &file)?;
        Ok(file)
    }
}
