//! The documents and the layers of images in a registry, each fetched once: what has a digest never changes.

use super::run::Run;
use crate::{
    adapters::{cache::CacheKind, digest_cache, registry::RegistryImage, store},
    error::{Error, ImageProblem},
    image::{Descriptor, Digest, ImageDocuments, ImageManifest, Platform, Reference, Repository},
    operations::events::{Progress, Transfer},
    plan::PlatformStage,
    project::lock::LockedImage,
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
        match self.with_config(image.manifest.clone()) {
            Some(documents) => Ok(Some(documents)),
            None => Ok(self.services.registry()?.documents(pinned, platform)?),
        }
    }

    /// The image from elsewhere that a stage stands on: its name, by the digest of its manifest for the stage's platform,
    /// and its documents.
    ///
    /// # Errors
    /// Its registry has it no longer, or only a daemon has it.
    pub(crate) fn external_parent(
        &self,
        stage: &PlatformStage,
        text: &str,
    ) -> Result<(Reference, ImageDocuments), Error> {
        let unexpected = |problem: ImageProblem| Error::unexpected(&text, problem);
        if let Some(LockedImage::LocalDaemon { .. }) = self.prepared.lock.images.get(text) {
            return Err(unexpected(ImageProblem::OnlyInDaemon));
        }
        let contents = stage.elsewhere.as_ref();
        let digest = contents.and_then(|found| found.manifest.as_ref());
        let digest = digest.ok_or_else(|| unexpected(ImageProblem::NotLocked))?;
        let reference: Reference = text
            .parse()
            .map_err(|error| unexpected(ImageProblem::CannotBeLookedUp(error)))?;
        let pinned = reference.repository.with_digest(digest);
        let manifest = self.cached(digest);
        if let Some(documents) = manifest.and_then(|manifest| self.with_config(manifest)) {
            return Ok((pinned, documents));
        }
        let documents = self.services.registry()?;
        let documents = documents.documents(&pinned, &stage.platform)?;
        let documents = documents.ok_or_else(|| unexpected(ImageProblem::Gone))?;
        let cache = &self.session.cache;
        fs_err::create_dir_all(cache.folder(CacheKind::Blobs))?;
        for document in [&documents.manifest, &documents.config] {
            let file = cache.entry(CacheKind::Blobs, Digest::of(document).hex());
            store::replace_unsynced(&file, document)?;
        }
        Ok((pinned, documents))
    }

    /// The documents with a manifest, if the cache has its config.
    fn with_config(&self, manifest: Vec<u8>) -> Option<ImageDocuments> {
        let parsed = ImageManifest::parse(&manifest).ok()?;
        let config = self.cached(&parsed.config.digest)?;
        Some(ImageDocuments { manifest, config })
    }

    /// A document in the cache, by its digest.
    fn cached(&self, digest: &Digest) -> Option<Vec<u8>> {
        let file = self.session.cache.entry(CacheKind::Blobs, digest.hex());
        let document = digest_cache::own_bytes(&file)?;
        (Digest::of(&document) == *digest).then_some(document)
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
