//! Images of a registry that can be pulled: a manifest alone is none.

use crate::{
    adapters::{
        destination::{DestinationError, ImageRegistry},
        registry::{RegistryError, RegistryImage},
    },
    error::Error,
    image::{Digest, Platform, Reference},
    operations::build::refuse_conflict,
};

/// What a registry has under a reference.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// All of an image.
    Whole(Box<RegistryImage>),
    /// The manifest of one, and no longer this number of the blobs that it names.
    Lost(usize),
    /// Nothing.
    Nothing,
}

/// Looks for an image with all that it consists of.
///
/// # Errors
/// The registry does not answer. [`Error::Conflict`] if it has lost a part of an image that was made from other inputs, or not
/// by sparkpack.
pub(super) fn find_whole(
    registry: &dyn ImageRegistry,
    (reference, platform): (&Reference, &Platform),
    fingerprint: &Digest,
) -> Result<Kept, Error> {
    let image = match registry.find(reference, platform) {
        Ok(Some(image)) => image,
        Ok(None) => return Ok(Kept::Nothing),
        // Whose it was is in its config, and nobody can tell any more.
        Err(DestinationError::Registry(RegistryError::LostBlobs { .. })) => {
            return Ok(Kept::Lost(1));
        }
        Err(error) => return Err(error.into()),
    };
    let lost = registry.lost_blobs(&image, &reference.repository)?;
    if lost == 0 {
        return Ok(Kept::Whole(Box::new(image)));
    }
    refuse_conflict(fingerprint, reference, &image.info)?;
    Ok(Kept::Lost(lost))
}
