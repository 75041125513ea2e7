//! What comes before a registry is asked: whatever in the project would stop the run later is told now.

use std::sync::Arc;

use crate::{
    error::Error,
    operations::{
        dist::CommitLookup,
        manifests::{Digests, Examined, ExpectedReferences, Manifests, Scope},
        resolution::{self, Prepared},
        workspace::{Services, Session},
    },
    project::Registry,
};

/// A run that will name images of a registry in its manifests.
pub(super) struct Begun<'a> {
    /// The manifests of other registries stay as they are: the images do not come to those registries.
    pub(super) scope: Scope<'a>,
    pub(super) manifests: Manifests<'a>,
    pub(super) prepared: Prepared,
    pub(super) commit: CommitLookup,
    pub(super) examined: Vec<Arc<Examined>>,
}

/// Reads manifests and pins, and makes the plan.
///
/// # Errors
/// One of them cannot be read, or the plan cannot be made.
pub(super) fn begin<'a>(
    session: &'a Session<'a>,
    services: &Services<'_>,
    registry: &'a Registry,
    targets: &'a [String],
) -> Result<Begun<'a>, Error> {
    let scope = Scope {
        registry: Some(&registry.name),
        images: targets,
    };
    let manifests = Manifests::of(session, scope.registry)?;
    manifests.check()?;
    // Pins that cannot be read are reported before anything is made.
    session.pins()?;
    let prepared = resolution::prepare_for(session, services, targets)?;
    let commit = CommitLookup::begin(session);
    let expected = ExpectedReferences::of_plan(session, &prepared, scope, Digests::Assumed);
    let examined = manifests.examine(&expected)?;
    Ok(Begun {
        scope,
        manifests,
        prepared,
        commit,
        examined,
    })
}
