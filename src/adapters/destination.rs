//! Where images are looked for and named: a daemon, a registry.

use super::{
    docker::{Daemon, error::DockerError},
    registry::{RegistryClient, RegistryError, RegistryImage},
};
use crate::image::{ImageInfo, Platform, Reference};

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
        &self.facts
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
