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
    // The tag of a lone image was read back just now.
    if pushed.len() < 2 || run.registry.layout.is_some() {
        return Ok(());
    }
    let registry = run.services.registry()?;
    let stages: Vec<&PushedStage> = pushed.values().collect();
    let confirmed = side_by_side(&stages, &|stage: &&PushedStage| {
        let (reference, digest) = (&stage.reference, &stage.digest);
        match digest_of(registry, reference)? {
            Some(there) if there == *digest => Ok(()),
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
