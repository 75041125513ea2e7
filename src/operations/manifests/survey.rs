//! The manifests compared with this checkout: the common part of `sparkpack check` and `sparkpack pin`.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    examine::{Manifests, refuse_nothing_named, say_skipped, warn, warn_of},
    examined::{Examined, Scope},
    expected::ExpectedReferences,
};
use crate::{
    code::Code,
    error::Error,
    operations::{
        events::{ManifestNote, Note},
        resolution::{self, Prepared},
        workspace::{Services, Session},
    },
    project::{
        FILE_NAME,
        place::{Defect, Place},
    },
};

/// The manifests, the plan, and how they compare.
pub(crate) struct Survey<'s> {
    pub(crate) manifests: Manifests<'s>,
    pub(crate) prepared: Prepared,
    pub(crate) examined: Vec<Arc<Examined>>,
    /// The errors of the manifests that are no YAML. They are left out of all else.
    pub(crate) unreadable: Vec<Error>,
}

impl Survey<'_> {
    /// Reports the warnings. That no manifest names an image is known only if all of them could be read.
    pub(crate) fn warn(&self, session: &Session<'_>, scope: Scope<'_>) {
        if self.unreadable.is_empty() {
            warn(session, &self.prepared, scope, &self.examined);
        } else {
            warn_of(session, &self.examined);
        }
    }

    /// Says how many manifests were left out.
    pub(crate) fn say_left_out(&self, session: &Session<'_>) {
        let left_out = self.unreadable.len();
        if left_out > 0 {
            session
                .events
                .note(Note::Manifest(ManifestNote::Unreadable {
                    left_out,
                    all: self.examined.len() + left_out,
                }));
        }
    }
}

/// Warns of the sources that neither the configuration nor a Dockerfile uses.
fn warn_of_unused_sources(session: &Session<'_>, prepared: &Prepared) {
    let stages = prepared.plan.stages.values();
    let used: BTreeSet<String> = stages
        .flat_map(|stage| stage.inputs.recipe.sources())
        .collect();
    let sources = session.project.unnamed_sources.iter();
    let unused = sources.filter(|(name, _)| !used.contains(*name));
    unused.for_each(|(_, defect)| session.events.warn(defect));
}

/// Compares the manifests with the plan of this checkout, and reports the places that are left alone; all of these if
/// `is_full`.
///
/// # Errors
/// Anything that prevents the comparison, but for manifests that are no YAML. None of the manifests names an image of the
/// project.
pub(crate) fn survey<'s>(
    session: &'s Session<'s>,
    services: &Services<'_>,
    scope: Scope<'_>,
    is_full: bool,
) -> Result<Survey<'s>, Error> {
    if session.project.manifests.is_empty() && !session.project.images.is_empty() {
        let message =
            "there is no `[manifests]`: nothing that names the images is rewritten or checked";
        let defect = Defect::new(Code::W123, Place::of_line(FILE_NAME, 1), message);
        let hint = "write `[manifests]` with a line like `REGISTRY = [\"kubernetes/**\"]`";
        session.events.warn(&defect.hint(hint));
    }
    for defect in &session.project.ineffective {
        session.events.warn(defect);
    }
    let mut manifests = Manifests::of(session, scope.registry)?.in_full(is_full);
    let prepared = resolution::prepare_for(session, services, scope.images)?;
    if prepared.is_whole(session) {
        warn_of_unused_sources(session, &prepared);
    }
    let expected = ExpectedReferences::pinned(session, &prepared, scope)?;
    let (examined, unreadable) = manifests.examine_readable(&expected)?;
    if examined.is_empty() && !unreadable.is_empty() {
        return Err(Error::of_all(unreadable));
    }
    say_skipped(session, &examined);
    if unreadable.is_empty() {
        refuse_nothing_named(session, scope, &examined)?;
    }
    Ok(Survey {
        manifests,
        prepared,
        examined,
        unreadable,
    })
}
