//! The documents and the layers of the images that stages stand on, each fetched once: what has a digest never changes.

use super::{exported::DaemonImage, run::Run};
use crate::{
    adapters::{cache::CacheKind, digest_cache, layers, registry::RegistryImage, store},
    error::{Error, ImageProblem},
    image::{
        Descriptor, Digest, ImageDocuments, ImageManifest, LayerFile, Platform, Reference,
        Repository,
    },
    operations::events::{Progress, Transfer},
    plan::PlatformStage,
};

use std::path::PathBuf;

/// An image that the files of a stage are put on.
pub(crate) struct ParentOfFiles {
    /// Its name: by the digest of its manifest, if it is in a registry.
    pub(crate) reference: Reference,
    pub(crate) documents: ImageDocuments,
    pub(crate) layers: LayersBelow,
}

/// Where the layers of a parent come from.
pub(crate) enum LayersBelow {
    /// A repository of a registry has them.
    Repository(Repository),
    /// They were taken out of a daemon, as far as the cache has not lost them.
    Daemon {
        image: DaemonImage,
        files: Vec<LayerFile>,
    },
}

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

    /// The image from elsewhere that a stage stands on.
    ///
    /// # Errors
    /// Its registry has it no longer; or only a daemon has it, which is not this machine's, and neither has the cache.
    pub(crate) fn external_parent(
        &self,
        stage: &PlatformStage,
        text: &str,
        progress: &mut dyn Progress,
    ) -> Result<ParentOfFiles, Error> {
        let unexpected = |problem: ImageProblem| Error::unexpected(&text, problem);
        let reference: Reference = text
            .parse()
            .map_err(|error| unexpected(ImageProblem::CannotBeLookedUp(error)))?;
        if let Some(image) = self.locked_in_daemon(text, &stage.platform) {
            // Which of its layers are needed is known when the destination was asked for them.
            let exported = self.exported(&image, &|_| false, progress)?;
            let files = exported.layers;
            return Ok(ParentOfFiles {
                reference,
                documents: exported.image.documents(),
                layers: LayersBelow::Daemon { image, files },
            });
        }
        let contents = stage.elsewhere.as_ref();
        let digest = contents.and_then(|found| found.manifest.as_ref());
        let digest = digest.ok_or_else(|| unexpected(ImageProblem::NotLocked))?;
        let pinned = reference.repository.with_digest(digest);
        let manifest = self.cached(digest);
        let cached = manifest.and_then(|manifest| self.with_config(manifest));
        let documents = if let Some(documents) = cached {
            documents
        } else {
            let registry = self.services.registry()?;
            let documents = registry.documents(&pinned, &stage.platform)?;
            let documents = documents.ok_or_else(|| unexpected(ImageProblem::Gone))?;
            self.keep_documents(&documents)?;
            documents
        };
        Ok(ParentOfFiles {
            layers: LayersBelow::Repository(pinned.repository.clone()),
            reference: pinned,
            documents,
        })
    }

    /// Keeps the documents of an image in the cache, by their digests.
    pub(super) fn keep_documents(&self, documents: &ImageDocuments) -> Result<(), Error> {
        let cache = &self.session.cache;
        fs_err::create_dir_all(cache.folder(CacheKind::Blobs))?;
        for document in [&documents.manifest, &documents.config] {
            let file = cache.entry(CacheKind::Blobs, Digest::of(document).hex());
            store::replace_unsynced(&file, document)?;
        }
        Ok(())
    }

    /// The documents with a manifest, if the cache has its config.
    pub(super) fn with_config(&self, manifest: Vec<u8>) -> Option<ImageDocuments> {
        let parsed = ImageManifest::parse(&manifest).ok()?;
        let config = self.cached(&parsed.config.digest)?;
        Some(ImageDocuments { manifest, config })
    }

    /// A document in the cache, by its digest.
    pub(super) fn cached(&self, digest: &Digest) -> Option<Vec<u8>> {
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
        self.services.moving(layer.digest.as_str(), || {
            self.fetched(repository, layer, progress)
        })
    }

    fn fetched(
        &self,
        repository: &Repository,
        layer: &Descriptor,
        progress: &mut dyn Progress,
    ) -> Result<PathBuf, Error> {
        let cache = &self.session.cache;
        let file = cache.entry(CacheKind::Blobs, layer.digest.hex());
        if layers::is_whole(&file, layer.size) {
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
