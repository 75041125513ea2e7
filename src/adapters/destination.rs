//! Where images are looked for and named, a daemon or a registry, and what else operations want of the two.

use std::collections::BTreeMap;

use super::{
    builder::Builder,
    docker::{Daemon, TransferEvent, error::DockerError},
    registry::{Attachment, Listing, Presence, RegistryClient, RegistryError, RegistryImage},
};
use crate::{
    image::{Digest, ImageInfo, Platform, Reference},
    project::tree::Entry,
};

/// A place that has images by name.
pub trait Destination: Send + Sync {
    /// What the place has of an image.
    type Stored: AsRef<ImageInfo>;

    /// The image of a reference; where the place has an index under it, the image of the platform.
    ///
    /// An image that stands alone is given whatever its platform is, which [`ImageInfo`] says.
    ///
    /// # Errors
    /// Of any answer but the image and "there is none".
    fn find(
        &self,
        reference: &Reference,
        platform: &Platform,
    ) -> Result<Option<Self::Stored>, DestinationError>;

    /// Gives an image that is there the reference's tag; whether the tag is the image's afterwards.
    ///
    /// It is another's where somebody else set the tag at the same moment.
    ///
    /// # Errors
    /// The tag could not be set.
    fn tag(&self, image: &Self::Stored, reference: &Reference) -> Result<bool, DestinationError>;
}

/// A destination that makes images, and moves them to registries and from there.
pub trait ImageDaemon: Destination<Stored = ImageInfo> {
    /// The builder in use.
    fn builder(&self) -> Box<dyn Builder + '_>;

    /// The image `name`, a reference or an image ID; nothing where there is none.
    ///
    /// # Errors
    /// Of any answer but the image and "there is none".
    fn inspect(&self, name: &str) -> Result<Option<ImageInfo>, DockerError>;

    /// Makes an image of one layer that holds `entries`, without running anything.
    ///
    /// # Errors
    /// An entry cannot be read, or the image is of another platform.
    fn import(
        &self,
        entries: &[Entry],
        labels: &BTreeMap<String, String>,
        platform: &Platform,
        reference: &Reference,
    ) -> Result<ImageInfo, DockerError>;

    /// Pushes the image that has the tag of `reference`; `registry_auth` is what it is signed in with, or empty.
    ///
    /// # Errors
    /// It has not arrived.
    fn push(
        &self,
        reference: &Reference,
        registry_auth: &str,
        events: &mut dyn FnMut(TransferEvent),
    ) -> Result<(), DockerError>;

    /// Pulls `reference` for `platform`, by its digest where it has one.
    ///
    /// # Errors
    /// It has not arrived, or is of another platform.
    fn pull(
        &self,
        reference: &Reference,
        platform: &Platform,
        registry_auth: &str,
        events: &mut dyn FnMut(TransferEvent),
    ) -> Result<(), DockerError>;

    /// Takes the tag of `reference` away, if it is there.
    ///
    /// # Errors
    /// The daemon refuses, or is gone.
    fn untag(&self, reference: &Reference) -> Result<(), DockerError>;
}

/// A destination that is asked for digests, and keeps documents beside images.
pub trait ImageRegistry: Destination<Stored = RegistryImage> {
    /// The digest that a tag has, with those of all its platforms.
    ///
    /// # Errors
    /// Of any answer but the manifests and "there is none".
    fn listing(&self, reference: &Reference) -> Result<Option<Listing>, RegistryError>;

    /// Whether a reference is there, as cheaply as that can be asked.
    ///
    /// # Errors
    /// Of any answer but "it is there" and "there is none".
    fn presence(&self, reference: &Reference) -> Result<Presence, RegistryError>;

    /// The digest of a reference; of an index, the index's.
    ///
    /// # Errors
    /// Of any answer but the digest and "there is none".
    fn digest(&self, reference: &Reference) -> Result<Option<Digest>, RegistryError>;

    /// Puts a document beside an image, under the tag of `reference`.
    ///
    /// # Errors
    /// The tag has something else, or the registry does not take documents.
    fn attach(
        &self,
        attachment: Attachment<'_>,
        reference: &Reference,
    ) -> Result<(), RegistryError>;

    /// The digest of the document of this media type that has the tag of `reference`; nothing where there is none.
    ///
    /// # Errors
    /// Of any answer but the document and "there is none".
    fn attached(
        &self,
        reference: &Reference,
        media_type: &str,
    ) -> Result<Option<Digest>, RegistryError>;

    /// A blob of the repository of `reference`, of at most `limit` bytes; nothing where there is none.
    ///
    /// # Errors
    /// Of any answer but the blob and "there is none".
    fn blob(
        &self,
        reference: &Reference,
        digest: &Digest,
        limit: usize,
    ) -> Result<Option<Vec<u8>>, RegistryError>;
}

/// Why a place could not say what it has, or not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum DestinationError {
    /// The Docker daemon.
    #[error(transparent)]
    Docker(#[from] DockerError),
    /// A registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

impl AsRef<ImageInfo> for ImageInfo {
    fn as_ref(&self) -> &ImageInfo {
        self
    }
}

impl AsRef<ImageInfo> for RegistryImage {
    fn as_ref(&self) -> &ImageInfo {
        &self.info
    }
}

impl Destination for Daemon {
    type Stored = ImageInfo;

    /// A daemon has one image under a name: of which platform, the answer says.
    fn find(
        &self,
        reference: &Reference,
        _platform: &Platform,
    ) -> Result<Option<ImageInfo>, DestinationError> {
        Ok(self.inspect(&reference.to_string())?)
    }

    /// The last one to set a tag has it: nobody reads it back, since a daemon belongs to one machine.
    fn tag(&self, image: &ImageInfo, reference: &Reference) -> Result<bool, DestinationError> {
        Daemon::tag(self, &image.id, reference)?;
        Ok(true)
    }
}

impl Destination for RegistryClient {
    type Stored = RegistryImage;

    fn find(
        &self,
        reference: &Reference,
        platform: &Platform,
    ) -> Result<Option<RegistryImage>, DestinationError> {
        Ok(RegistryClient::find(self, reference, platform)?)
    }

    fn tag(&self, image: &RegistryImage, reference: &Reference) -> Result<bool, DestinationError> {
        let digest = RegistryClient::tag(self, image, reference)?;
        Ok(digest == image.digest)
    }
}

impl ImageDaemon for Daemon {
    fn builder(&self) -> Box<dyn Builder + '_> {
        Daemon::builder(self)
    }

    fn inspect(&self, name: &str) -> Result<Option<ImageInfo>, DockerError> {
        Daemon::inspect(self, name)
    }

    fn import(
        &self,
        entries: &[Entry],
        labels: &BTreeMap<String, String>,
        platform: &Platform,
        reference: &Reference,
    ) -> Result<ImageInfo, DockerError> {
        Daemon::import(self, entries, labels, platform, reference)
    }

    fn push(
        &self,
        reference: &Reference,
        registry_auth: &str,
        events: &mut dyn FnMut(TransferEvent),
    ) -> Result<(), DockerError> {
        Daemon::push(self, reference, registry_auth, events)
    }

    fn pull(
        &self,
        reference: &Reference,
        platform: &Platform,
        registry_auth: &str,
        events: &mut dyn FnMut(TransferEvent),
    ) -> Result<(), DockerError> {
        Daemon::pull(self, reference, platform, registry_auth, events)
    }

    fn untag(&self, reference: &Reference) -> Result<(), DockerError> {
        Daemon::untag(self, reference)
    }
}

impl ImageRegistry for RegistryClient {
    fn listing(&self, reference: &Reference) -> Result<Option<Listing>, RegistryError> {
        RegistryClient::listing(self, reference)
    }

    fn presence(&self, reference: &Reference) -> Result<Presence, RegistryError> {
        RegistryClient::presence(self, reference)
    }

    fn digest(&self, reference: &Reference) -> Result<Option<Digest>, RegistryError> {
        RegistryClient::digest(self, reference)
    }

    fn attach(
        &self,
        attachment: Attachment<'_>,
        reference: &Reference,
    ) -> Result<(), RegistryError> {
        RegistryClient::attach(self, attachment, reference)
    }

    fn attached(
        &self,
        reference: &Reference,
        media_type: &str,
    ) -> Result<Option<Digest>, RegistryError> {
        RegistryClient::attached(self, reference, media_type)
    }

    fn blob(
        &self,
        reference: &Reference,
        digest: &Digest,
        limit: usize,
    ) -> Result<Option<Vec<u8>>, RegistryError> {
        RegistryClient::blob(self, reference, digest, limit)
    }
}
