//! Asks the registry for every tag of a set once more, when all of it is there.
//!
//! Each tag was read back when it was set. But a set takes as long as its slowest image, and nothing keeps others from
//! setting a tag meanwhile. No manifest is to name what a pull does not give.

use std::collections::BTreeMap;

use super::platforms::PushedStage;
use crate::{
    adapters::{
        destination::ImageRegistry,
        registry::{Presence, RegistryError},
    },
    error::{Error, ImageProblem},
    image::{Digest, Reference},
    operations::{build::Run, workspace::side_by_side},
};

/// Refuses a set of images of which a tag has another image by now, or none.
///
/// # Errors
/// All such tags together, or a registry that does not answer.
pub(super) fn confirm(run: &Run<'_>, pushed: &BTreeMap<String, PushedStage>) -> Result<(), Error> {
    let stages: Vec<&PushedStage> = pushed.values().collect();
    // The tag of a lone image that was pushed was read back just now.
    let is_known = matches!(&*stages, [] | [_]) && stages.iter().all(|stage| stage.is_made());
    if is_known || run.registry.layout.is_some() {
        return Ok(());
    }
    let registry = run.services.registry()?;
    let confirmed = side_by_side(&stages, &|stage: &&PushedStage| {
        let (reference, digest) = (&stage.reference, &stage.digest);
        match digest_of(registry, reference)? {
            Some(there) if there == *digest => Ok(()),
            Some(_) if is_among(registry, stage)? => Ok(()),
            Some(there) => {
                let pushed = digest.clone();
                let problem = ImageProblem::TagMoved { pushed, there };
                Err(Error::unexpected(reference, problem))
            }
            None => Err(Error::unexpected(reference, ImageProblem::NotKept)),
        }
    });
    Error::collect(confirmed).map(drop)
}

/// Whether a tag of an image for one platform has an index with that image, as tools that copy images make it.
fn is_among(registry: &dyn ImageRegistry, stage: &PushedStage) -> Result<bool, Error> {
    let mut images = stage.images.iter();
    let (Some((platform, image)), None) = (images.next(), images.next()) else {
        return Ok(false);
    };
    let found = registry.find(&stage.reference, platform)?;
    Ok(found.is_some_and(|found| found.digest == image.image.digest))
}

/// The digest of a reference, by the cheapest request that gives it; `None` if the registry does not have it.
pub(super) fn digest_of(
    registry: &dyn ImageRegistry,
    reference: &Reference,
) -> Result<Option<Digest>, RegistryError> {
    match registry.presence(reference) {
        Ok(Presence::Absent) => Ok(None),
        Ok(Presence::There(Some(digest))) => Ok(Some(digest)),
        // Some registries send no digest in the answer to HEAD, others refuse HEAD.
        Ok(Presence::There(None))
        | Err(RegistryError::Denied { .. } | RegistryError::Refused { .. }) => {
            registry.digest(reference)
        }
        Err(error) => Err(error),
    }
}
