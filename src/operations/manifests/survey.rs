//! The manifests compared with this checkout: the common part of `sparkpack check` and `sparkpack pin`.

use std::sync::Arc;

use super::{
    examine::{Manifests, refuse_nothing_named, say_skipped},
    examined::{Examined, Scope},
    expected::ExpectedReferences,
};
use crate::{
    error::Error,
    operations::{
        resolution::{self, Prepared},
        workspace::{Services, Session},
    },
};

/// The manifests, the plan, and how they compare.
pub(crate) struct Survey<'s> {
    pub(crate) manifests: Manifests<'s>,
    pub(crate) prepared: Prepared,
    pub(crate) examined: Vec<Arc<Examined>>,
}

/// Compares the manifests with the plan of this checkout, and reports the places that are left alone; all of these if
/// `is_full`.
///
/// # Errors
/// Anything that prevents the comparison. None of the manifests names an image of the project.
pub(crate) fn survey<'s>(
    session: &'s Session<'s>,
    services: &Services<'_>,
    scope: Scope<'_>,
    is_full: bool,
) -> Result<Survey<'s>, Error> {
    let manifests = Manifests::of(session, scope.registry)?.in_full(is_full);
    let prepared = resolution::prepare(session, services)?;
    let expected = ExpectedReferences::pinned(session, &prepared, scope)?;
    let examined = manifests.examine(&expected)?;
    say_skipped(session, &examined);
    refuse_nothing_named(session, scope, &examined)?;
    Ok(Survey {
        manifests,
        prepared,
        examined,
    })
}
