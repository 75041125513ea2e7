//! `sparkpack check`: says whether the manifests name the images of this checkout; changes nothing.

mod formats;
mod reviews;

use std::path::Path;

use crate::{
    adapters::git::Compared,
    cli::{CheckArguments, CheckFormat},
    error::Error,
    operations::{
        manifests::{Drift, Scope},
        publish::{self, CheckRequest, Checked},
        resolution::Strictness,
        workspace::{LockPolicy, Services, Session},
    },
    project::place::Defect,
    ui::Ui,
};

pub(super) fn run(session: &Session<'_>, ui: &Ui, arguments: &CheckArguments) -> Result<(), Error> {
    match check(session, ui, arguments) {
        Ok(checked) => show(session, ui, arguments.format, checked),
        Err(error) => {
            tell(ui, &session.project.root, arguments.format, &error)?;
            Err(error)
        }
    }
}

/// Reports an error that prevented the check of the project in `root`. The formats for reviews show it as a comment at
/// the error's place; the others rely on the error message of the run.
pub(super) fn tell(ui: &Ui, root: &Path, format: CheckFormat, error: &Error) -> Result<(), Error> {
    let errors: Vec<Drift> = error.each().into_iter().map(Drift::of_error).collect();
    match format {
        CheckFormat::Text | CheckFormat::Json => Ok(()),
        CheckFormat::Github => reviews::github(ui, root, &errors),
        CheckFormat::Gitlab => reviews::gitlab(ui, root, &errors),
    }
}

fn check(session: &Session<'_>, ui: &Ui, arguments: &CheckArguments) -> Result<Checked, Error> {
    let targets = session.targets(&arguments.images.images)?;
    let request = CheckRequest {
        scope: Scope {
            registry: arguments.images.registry.registry.as_deref(),
            images: &targets,
        },
        strictness: Strictness::of(arguments.strict.asked(), Compared::Index),
        is_remote: arguments.remote,
        is_full: arguments.format == CheckFormat::Json || ui.verbosity() > 0,
    };
    let services = Services::new(session, LockPolicy::ReadOnly);
    publish::check(session, &services, request)
}

fn show(
    session: &Session<'_>,
    ui: &Ui,
    format: CheckFormat,
    checked: Checked,
) -> Result<(), Error> {
    let (root, drift) = (&session.project.root, &checked.drift);
    match format {
        CheckFormat::Text => formats::diff(ui, &checked.examined)?,
        CheckFormat::Json => formats::json(session, ui, &checked.examined, drift)?,
        CheckFormat::Github => reviews::github(ui, root, drift)?,
        CheckFormat::Gitlab => reviews::gitlab(ui, root, drift)?,
    }
    checked.result()
}

/// The warnings of this run that `drift` does not already report.
fn untold(ui: &Ui, drift: &[Drift]) -> impl Iterator<Item = Defect> {
    let is_told = |warning: &Defect| {
        drift
            .iter()
            .any(|drift| drift.place == warning.place && drift.message == warning.message)
    };
    ui.warnings()
        .into_iter()
        .filter(move |warning| !is_told(warning))
}
