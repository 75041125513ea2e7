//! A registry in memory.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    path::Path,
    sync::{Arc, Mutex, MutexGuard},
};

use super::{InMemory, documents_of};
use crate::{
    adapters::{
        destination::{Destination, DestinationError, ImageRegistry},
        registry::{
            Attachment, BlobProgress, BlobState, Cause, FailureKind, Listing, OutgoingImage,
            Presence, RegistryError, RegistryImage,
        },
    },
    image::{
        Descriptor, Digest, ImageDocuments, LayerContents, LayerScanner, Platform, Reference,
        Repository, validate,
    },
};

/// A registry with images, documents beside them, and indexes that have only a listing.
#[derive(Clone, Default)]
pub(crate) struct RegistryInMemory {
    pub(crate) images: InMemory<RegistryImage>,
    state: Arc<Mutex<RegistryState>>,
}

#[derive(Default)]
struct RegistryState {
    listings: BTreeMap<String, Listing>,
    documents: BTreeMap<String, Vec<u8>>,
    /// The configs of the images that were pushed, by the digest of the manifest.
    configs: BTreeMap<Digest, Vec<u8>>,
    /// The bytes of layers that can be looked into.
    layers: BTreeMap<Digest, Vec<u8>>,
    /// The digests of the blobs that were pushed.
    blobs: BTreeSet<Digest>,
    /// The references whose digests were asked for, by HEAD or GET, in sequence.
    asked: Vec<String>,
    /// The errors of the next requests for digests and of the next documents.
    errors: VecDeque<RegistryError>,
    names_no_digest: bool,
}

/// The error of a registry that denies access.
pub(crate) fn denied() -> RegistryError {
    RegistryError::Denied {
        action: "do it".to_owned(),
        registry: "registry.example".to_owned(),
        because: Cause("not yours".to_owned()),
    }
}

/// The error of a registry that does not answer.
pub(crate) fn unreachable() -> RegistryError {
    RegistryError::Unreachable {
        action: "do it".to_owned(),
        registry: "registry.example".to_owned(),
        attempts: 3,
        kind: FailureKind::Network,
        because: Cause("connection reset".to_owned()),
    }
}

/// The error of a registry that refuses content.
pub(crate) fn refused() -> RegistryError {
    RegistryError::Refused {
        action: "do it".to_owned(),
        registry: "registry.example".to_owned(),
        because: Cause("no".to_owned()),
    }
}

/// The error of a registry that looks into what is pushed.
fn not_taken(error: &dyn std::error::Error) -> RegistryError {
    RegistryError::Refused {
        action: "push it".to_owned(),
        registry: "registry.example".to_owned(),
        because: Cause(error.to_string()),
    }
}

impl RegistryInMemory {
    fn state(&self) -> MutexGuard<'_, RegistryState> {
        self.state.lock().unwrap()
    }

    /// Sets the listing of a reference: an index or a single manifest.
    pub(crate) fn list(&self, reference: &str, listing: Listing) {
        self.state().listings.insert(reference.to_owned(), listing);
    }

    /// Stores the bytes of a layer, by the digest that a manifest gives it.
    pub(crate) fn put_layer(&self, digest: &Digest, tar: Vec<u8>) {
        self.state().layers.insert(digest.clone(), tar);
    }

    /// Makes the next request for a digest, or the next document, fail.
    pub(crate) fn fail_next(&self, error: RegistryError) {
        self.state().errors.push_back(error);
    }

    /// Makes the answers to HEAD requests name no digest.
    pub(crate) fn name_no_digest(&self) {
        self.state().names_no_digest = true;
    }

    /// The references whose digests were asked for since the last call.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.state().asked)
    }

    /// The references of the documents.
    pub(crate) fn documents(&self) -> Vec<String> {
        self.state().documents.keys().cloned().collect()
    }

    fn next_error(&self) -> Result<(), RegistryError> {
        self.state().errors.pop_front().map_or(Ok(()), Err)
    }

    fn digest_of(&self, reference: &Reference) -> Option<Digest> {
        if let Some(digest) = &reference.digest {
            return Some(self.images.with_digest(digest)?.digest);
        }
        let name = reference.to_string();
        let listed = self.state().listings.get(&name).cloned();
        listed
            .map(|listing| listing.digest)
            .or_else(|| Some(self.images.get(&name)?.digest))
    }
}

impl Destination for RegistryInMemory {
    type Stored = RegistryImage;

    fn find(
        &self,
        reference: &Reference,
        platform: &Platform,
    ) -> Result<Option<RegistryImage>, DestinationError> {
        self.images.find(reference, platform)
    }

    fn tag(&self, image: &RegistryImage, reference: &Reference) -> Result<bool, DestinationError> {
        self.images.tag(image, reference)
    }
}

impl ImageRegistry for RegistryInMemory {
    fn push_image(
        &self,
        image: OutgoingImage<'_>,
        reference: &Reference,
        progress: &mut dyn FnMut(BlobProgress<'_>),
    ) -> Result<Digest, RegistryError> {
        self.next_error()?;
        let digest = Digest::of(image.manifest);
        let info = validate(image.manifest, image.config).map_err(|error| not_taken(&error))?;
        for layer in image.layers {
            let is_new = self.state().blobs.insert(layer.descriptor.digest.clone());
            progress(BlobProgress {
                descriptor: &layer.descriptor,
                state: if is_new {
                    BlobState::Sent
                } else {
                    BlobState::There
                },
            });
        }
        let config = image.config.to_vec();
        self.state().configs.insert(digest.clone(), config);
        let stored = RegistryImage {
            digest: digest.clone(),
            media_type: image.media_type.to_owned(),
            manifest: image.manifest.to_vec(),
            info,
        };
        if reference.tag.is_none() {
            let pinned = reference.repository.with_digest(&digest);
            self.images.put(&pinned.to_string(), stored);
            return Ok(digest);
        }
        let name = reference.to_string();
        if self.images.get(&name).is_none() {
            // Another push may be faster.
            let tagged = self.images.tag(&stored, reference);
            tagged.map_err(|error| not_taken(&error))?;
        }
        let there = self.images.get(&name);
        Ok(there.map_or(digest, |image| image.digest))
    }

    fn documents(
        &self,
        reference: &Reference,
        _platform: &Platform,
    ) -> Result<Option<ImageDocuments>, RegistryError> {
        self.next_error()?;
        let image = match &reference.digest {
            Some(digest) => self.images.with_digest(digest),
            None => self.images.get(&reference.to_string()),
        };
        let state = self.state();
        Ok(image.map(|image| match state.configs.get(&image.digest) {
            Some(config) => ImageDocuments {
                manifest: image.manifest,
                config: config.clone(),
            },
            // What came from a daemon in memory has no documents.
            None => documents_of(&image.info),
        }))
    }

    fn scan_layer(
        &self,
        _repository: &Repository,
        layer: &Descriptor,
        scanner: &LayerScanner,
    ) -> Result<LayerContents, RegistryError> {
        self.next_error()?;
        let tar = self.state().layers.get(&layer.digest).cloned();
        let tar = tar.unwrap_or_default();
        scanner.scan(&*tar).map_err(|_| refused())
    }

    fn listing(&self, reference: &Reference) -> Result<Option<Listing>, RegistryError> {
        self.next_error()?;
        Ok(self.state().listings.get(&reference.to_string()).cloned())
    }

    fn presence(&self, reference: &Reference) -> Result<Presence, RegistryError> {
        self.state().asked.push(format!("HEAD {reference}"));
        self.next_error()?;
        let names_digest = !self.state().names_no_digest;
        Ok(match self.digest_of(reference) {
            None => Presence::Absent,
            Some(digest) => Presence::There(Some(digest).filter(|_| names_digest)),
        })
    }

    fn digest(&self, reference: &Reference) -> Result<Option<Digest>, RegistryError> {
        self.state().asked.push(format!("GET {reference}"));
        self.next_error()?;
        Ok(self.digest_of(reference))
    }

    fn tags(
        &self,
        repository: &Repository,
        prefix: &str,
    ) -> Result<BTreeSet<String>, RegistryError> {
        self.images.tags(repository, prefix)
    }

    fn attach(
        &self,
        attachment: Attachment<'_>,
        reference: &Reference,
    ) -> Result<(), RegistryError> {
        self.next_error()?;
        let (name, bytes) = (reference.to_string(), attachment.bytes.to_vec());
        self.state().documents.insert(name, bytes);
        Ok(())
    }

    fn attached(
        &self,
        reference: &Reference,
        _media_type: &str,
    ) -> Result<Option<Digest>, RegistryError> {
        let state = self.state();
        let document = state.documents.get(&reference.to_string());
        Ok(document.map(|bytes| Digest::of(bytes)))
    }

    fn blob(
        &self,
        _reference: &Reference,
        digest: &Digest,
        _limit: usize,
    ) -> Result<Option<Vec<u8>>, RegistryError> {
        self.next_error()?;
        let state = self.state();
        let mut documents = state.documents.values();
        Ok(documents
            .find(|bytes| Digest::of(bytes) == *digest)
            .cloned())
    }

    /// It has no bytes of layers.
    fn save_blob(
        &self,
        _repository: &Repository,
        _blob: &Descriptor,
        _file: &Path,
        _progress: &mut dyn FnMut(u64),
    ) -> Result<(), RegistryError> {
        Err(refused())
    }
}
