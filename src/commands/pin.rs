//! `sparkpack pin`: rewrites the references in the manifests, offline.

use crate::{
    cli::PinArguments,
    error::Error,
    operations::{
        manifests::{self, ExpectedReferences, Manifests, Scope},
        resolution::{self, Strictness},
        workspace::{LockPolicy, Services, Session},
    },
    ui::Ui,
};

pub(super) fn run(session: &Session<'_>, ui: &Ui, arguments: &PinArguments) -> Result<(), Error> {
    let targets = session.targets(&arguments.images.images)?;
    let scope = Scope {
        registry: arguments.images.registry.registry.as_deref(),
        images: &targets,
    };
    let manifests = Manifests::of(session, scope.registry)?.in_full(ui.verbosity() > 0);
    let services = Services::new(session, LockPolicy::ReadOnly);
    let prepared = resolution::prepare(session, &services)?;
    let expected = ExpectedReferences::pinned(session, &prepared, scope)?;
    let examined = manifests.examine(&expected)?;
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
