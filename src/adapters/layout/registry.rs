//! A layout as a registry, for projects that have no other: it answers for the references without a host.

use std::{collections::BTreeSet, io, path::Path};

use super::{ImageLayout, LayoutError, copied};
use crate::{
    adapters::{
        destination::{Destination, DestinationError, ImageRegistry},
        registry::{
            Attachment, Blob, BlobProgress, BlobSource, BlobState, Cause, Listing, OutgoingImage,
            Presence, PushAhead, RegistryError, RegistryImage,
        },
        store::TemporaryFolder,
    },
    image::{
        AssembledImage, Descriptor, Digest, ImageConfig, ImageDocuments, ImageManifest, Layer,
        LayerContents, LayerFile, LayerScanner, MediaType, Platform, Reference, Repository,
    },
};

/// Registries, and a layout in the place of one.
pub struct WithLayout {
    /// The registries of the references that have a host.
    pub registries: Box<dyn ImageRegistry>,
    /// What answers for the others.
    pub layout: ImageLayout,
}

impl WithLayout {
    fn image(
        &self,
        reference: &Reference,
        platform: &Platform,
    ) -> Result<Option<AssembledImage>, LayoutError> {
        match &reference.digest {
            Some(digest) => self.layout.find_digest(digest, platform),
            None => self.layout.find(&reference.to_string(), platform),
        }
    }

    /// The digest of a reference.
    fn digest_of(&self, reference: &Reference) -> Result<Option<Digest>, LayoutError> {
        if let Some(digest) = &reference.digest {
            let is_there = self.layout.blob(digest).is_file();
            return Ok(is_there.then(|| digest.clone()));
        }
        let descriptor = self.layout.descriptor(&reference.to_string())?;
        Ok(descriptor.map(|descriptor| descriptor.digest))
    }

    /// The file of a layer that the layout lacks; what another registry has is fetched into `folder`.
    fn layer(
        &self,
        blob: &Blob,
        folder: &TemporaryFolder,
        progress: &mut dyn FnMut(BlobProgress<'_>),
    ) -> Result<LayerFile, RegistryError> {
        let descriptor = &blob.descriptor;
        let file = folder.path().join(descriptor.digest.hex());
        let file = match &blob.source {
            BlobSource::File(file) => file.clone(),
            BlobSource::Bytes(bytes) => {
                let written = fs_err::write(&file, bytes);
                written.map_err(|error| self.layout.disk("written", error))?;
                file
            }
            BlobSource::Registry(from) => {
                self.registries
                    .save_blob(from, descriptor, &file, &mut |done| {
                        let state = BlobState::Sending(done);
                        progress(BlobProgress { descriptor, state });
                    })?;
                file
            }
        };
        Ok(LayerFile {
            // A layout does not ask for the diff ID.
            layer: Layer::of_another(descriptor.clone(), descriptor.digest.clone()),
            file,
            is_new: blob.is_new,
        })
    }

    fn put(
        &self,
        image: OutgoingImage<'_>,
        reference: &Reference,
        progress: &mut dyn FnMut(BlobProgress<'_>),
    ) -> Result<Digest, RegistryError> {
        let digest = Digest::of(image.manifest);
        if reference.digest.is_none()
            && let Some(there) = self.digest_of(reference)?
        {
            return Ok(there);
        }
        self.layout.create()?;
        let folder = TemporaryFolder::within(self.layout.folder());
        let folder = folder.map_err(|error| self.layout.disk("written", error))?;
        let mut layers = Vec::new();
        for blob in image.layers {
            let descriptor = &blob.descriptor;
            if self.layout.has(descriptor) {
                let state = BlobState::There;
                progress(BlobProgress { descriptor, state });
            } else {
                layers.push(self.layer(blob, &folder, progress)?);
            }
        }
        let wrong = |error| self.layout.broken(format!("`{reference}`: {error}"));
        let manifest = ImageManifest::parse(image.manifest).map_err(wrong)?;
        let info = ImageConfig::parse(image.config).and_then(|config| config.info(&manifest));
        let image = AssembledImage {
            digest: digest.clone(),
            media_type: MediaType::from(image.media_type),
            manifest: image.manifest.to_vec(),
            config: image.config.to_vec(),
            info: info.map_err(wrong)?,
        };
        let descriptor = self
            .layout
            .add(&image, &layers)
            .map_err(|error| match error {
                LayoutError::Layer { file, digest } => {
                    damaged(&file, format!("it does not have the digest {digest}"))
                }
                error => error.into(),
            })?;
        if reference.digest.is_none() {
            self.layout.tag(&reference.to_string(), &descriptor)?;
        }
        Ok(digest)
    }

    fn no_documents(&self, reference: &Reference) -> RegistryError {
        RegistryError::Refused {
            action: format!("put a document beside `{reference}`"),
            registry: self.layout.folder().display().to_string(),
            because: Cause("a layout holds images only".to_owned()),
        }
    }
}

/// The error about a layer's file, which can be made again.
fn damaged(file: &Path, because: String) -> RegistryError {
    RegistryError::Damaged {
        action: "put an image into the OCI layout".to_owned(),
        file: file.to_owned(),
        because: Cause(because),
    }
}

fn is_local(repository: &Repository) -> bool {
    repository.registry.is_empty()
}

impl Destination for WithLayout {
    type Stored = RegistryImage;

    fn find(
        &self,
        reference: &Reference,
        platform: &Platform,
    ) -> Result<Option<RegistryImage>, DestinationError> {
        if !is_local(&reference.repository) {
            return self.registries.find(reference, platform);
        }
        Ok(self.image(reference, platform)?.map(RegistryImage::from))
    }

    fn tag(&self, image: &RegistryImage, reference: &Reference) -> Result<bool, DestinationError> {
        if !is_local(&reference.repository) {
            return self.registries.tag(image, reference);
        }
        let media_type = MediaType::from(&*image.media_type);
        let is_image = ImageManifest::parse(&image.manifest).is_ok();
        let descriptor = Descriptor {
            platform: is_image.then(|| image.info.platform.clone()),
            ..Descriptor::of(media_type, &image.manifest)
        };
        // An index is not there before it gets its tag.
        self.layout.create()?;
        self.layout.document(&descriptor, &image.manifest)?;
        self.layout.tag(&reference.to_string(), &descriptor)?;
        Ok(true)
    }
}

impl ImageRegistry for WithLayout {
    fn begin_push_ahead(&self, ahead: PushAhead) {
        if !is_local(&ahead.reference.repository) {
            self.registries.begin_push_ahead(ahead);
        }
    }

    fn push_image(
        &self,
        image: OutgoingImage<'_>,
        reference: &Reference,
        progress: &mut dyn FnMut(BlobProgress<'_>),
    ) -> Result<Digest, RegistryError> {
        if !is_local(&reference.repository) {
            return self.registries.push_image(image, reference, progress);
        }
        self.put(image, reference, progress)
    }

    /// A layout has all of an image that it has: else it cannot be read.
    fn lost_blobs(
        &self,
        image: &RegistryImage,
        repository: &Repository,
    ) -> Result<usize, RegistryError> {
        if !is_local(repository) {
            return self.registries.lost_blobs(image, repository);
        }
        Ok(0)
    }

    fn documents(
        &self,
        reference: &Reference,
        platform: &Platform,
    ) -> Result<Option<ImageDocuments>, RegistryError> {
        if !is_local(&reference.repository) {
            return self.registries.documents(reference, platform);
        }
        let image = self.image(reference, platform)?;
        Ok(image.map(|image| image.documents()))
    }

    fn scan_layer(
        &self,
        repository: &Repository,
        layer: &Descriptor,
        scanner: &LayerScanner,
    ) -> Result<LayerContents, RegistryError> {
        if !is_local(repository) {
            return self.registries.scan_layer(repository, layer, scanner);
        }
        let unreadable = |error| self.layout.disk("read", error);
        let blob = fs_err::File::open(self.layout.blob(&layer.digest)).map_err(unreadable)?;
        let scanned = scanner.scan(blob);
        Ok(scanned.map_err(|error| unreadable(io::Error::other(error)))?)
    }

    fn listing(&self, reference: &Reference) -> Result<Option<Listing>, RegistryError> {
        if !is_local(&reference.repository) {
            return self.registries.listing(reference);
        }
        let Some(digest) = self.digest_of(reference)? else {
            return Ok(None);
        };
        let platforms = self.layout.platforms(&digest)?;
        Ok(Some(Listing { digest, platforms }))
    }

    fn presence(&self, reference: &Reference) -> Result<Presence, RegistryError> {
        if !is_local(&reference.repository) {
            return self.registries.presence(reference);
        }
        let digest = self.digest_of(reference)?;
        Ok(digest.map_or(Presence::Absent, |digest| Presence::There(Some(digest))))
    }

    fn digest(&self, reference: &Reference) -> Result<Option<Digest>, RegistryError> {
        if !is_local(&reference.repository) {
            return self.registries.digest(reference);
        }
        Ok(self.digest_of(reference)?)
    }

    fn tags(
        &self,
        repository: &Repository,
        prefix: &str,
    ) -> Result<BTreeSet<String>, RegistryError> {
        if !is_local(repository) {
            return self.registries.tags(repository, prefix);
        }
        // A layout belongs to one machine, and nobody has to agree with another.
        Ok(BTreeSet::new())
    }

    fn attach(
        &self,
        attachment: Attachment<'_>,
        reference: &Reference,
    ) -> Result<(), RegistryError> {
        if !is_local(&reference.repository) {
            return self.registries.attach(attachment, reference);
        }
        Err(self.no_documents(reference))
    }

    fn attached(
        &self,
        reference: &Reference,
        media_type: &str,
    ) -> Result<Option<Digest>, RegistryError> {
        if !is_local(&reference.repository) {
            return self.registries.attached(reference, media_type);
        }
        Ok(None)
    }

    fn blob(
        &self,
        reference: &Reference,
        digest: &Digest,
        limit: usize,
    ) -> Result<Option<Vec<u8>>, RegistryError> {
        if !is_local(&reference.repository) {
            return self.registries.blob(reference, digest, limit);
        }
        Ok(None)
    }

    fn save_blob(
        &self,
        repository: &Repository,
        blob: &Descriptor,
        file: &Path,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), RegistryError> {
        if !is_local(repository) {
            return self.registries.save_blob(repository, blob, file, progress);
        }
        let from = self.layout.blob(&blob.digest);
        let copied = fs_err::File::open(&from).and_then(|read| copied(blob, read, file));
        let is_same = copied.map_err(|error| self.layout.disk("read", error))?;
        if !is_same {
            let because = format!("it does not have the digest {}", blob.digest);
            return Err(damaged(&from, because));
        }
        progress(blob.size);
        Ok(())
    }
}
