//! `sparkpack pin`: rewrites the references in the manifests, offline.

use crate::{
    adapters::git::Compared,
    cli::PinArguments,
    error::Error,
    operations::{
        manifests::{self, Scope},
        resolution::Strictness,
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
    let services = Services::new(session, LockPolicy::ReadOnly);
    let is_full = ui.verbosity() > 0;
    let survey = manifests::survey(session, &services, scope, is_full)?;
    Strictness::of(arguments.strict.asked(), Compared::Index).check(
        session,
        &survey.prepared,
        &targets,
    )?;
    survey.warn(session, scope);
    let changed = manifests::write(session, &survey.examined, None)?;
    survey.say_left_out(session);
    if !survey.unreadable.is_empty() {
        return Err(Error::of_all(survey.unreadable));
    }
    if changed && arguments.exit_code {
        return Err(Error::Changed);
    }
    Ok(())
}
