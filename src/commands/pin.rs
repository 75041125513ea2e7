//! `sparkpack pin`: rewrites the references in the manifests, offline.

use super::{
    locks,
    manifests::{self, Digests, Manifests, Scope, Wants},
    outside::{Missing, Outside},
    pins,
    session::Session,
    untracked::Strictness,
};
use crate::{cli::PinArguments, error::Error};

pub(super) fn run(session: &Session<'_>, arguments: &PinArguments) -> Result<(), Error> {
    let targets = session.targets(&arguments.images.images)?;
    let scope = Scope {
        registry: arguments.images.registry.registry.as_deref(),
        images: &targets,
    };
    let manifests = Manifests::of(session, scope.registry)?;
    let outside = Outside::new(session);
    let prepared = locks::prepare(session, &outside, Missing::Refuse)?;
    let pins = pins::read(session)?;
    let wants = Wants::of_plan(session, &prepared, scope, Digests::Pinned(&pins))?;
    let examined = manifests.examine(&wants)?;
    manifests::say_skipped(session, &examined);
    manifests::refuse_nothing_named(session, scope, &examined)?;
    Strictness::if_asked(arguments.strict).check(session, &prepared, &targets)?;
    manifests::warn(session, &prepared, scope, &examined);
    let changed = manifests::write(session, &examined, None)?;
    if changed && arguments.exit_code {
        return Err(Error::Changed);
    }
    Ok(())
}
