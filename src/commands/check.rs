//! `sparkpack check`: says whether the manifests name the images of this checkout; changes nothing.

mod formats;
mod reviews;

use std::{collections::BTreeMap, path::Path, sync::Arc};

use crate::{
    cli::{CheckArguments, CheckFormat},
    code::Code,
    error::Error,
    operations::{
        manifests::{self, Examined, ExpectedReferences, Manifests, Scope},
        publish,
        resolution::{self, Prepared, Strictness},
        workspace::{LockPolicy, Services, Session},
    },
    project::{
        FILE_NAME,
        place::{Defect, Place},
    },
    ui::Ui,
};

pub(super) fn run(session: &Session<'_>, ui: &Ui, arguments: &CheckArguments) -> Result<(), Error> {
    let result = check(session, ui, arguments);
    match &result {
        Ok(()) | Err(Error::Drift { .. }) => {}
        Err(error) => tell(ui, &session.project.root, arguments.format, error)?,
    }
    result
}

/// Tells a review, at its place, of what kept the project in `root` from being checked.
pub(super) fn tell(ui: &Ui, root: &Path, format: CheckFormat, error: &Error) -> Result<(), Error> {
    let errors: Vec<Drift> = error.each().into_iter().map(of_error).collect();
    match format {
        CheckFormat::Text | CheckFormat::Json => Ok(()),
        CheckFormat::Github => reviews::github(ui, root, &errors),
        CheckFormat::Gitlab => reviews::gitlab(ui, root, &errors),
    }
}

fn check(session: &Session<'_>, ui: &Ui, arguments: &CheckArguments) -> Result<(), Error> {
    let targets = session.targets(&arguments.images.images)?;
    let scope = Scope {
        registry: arguments.images.registry.registry.as_deref(),
        images: &targets,
    };
    let services = Services::new(session, LockPolicy::ReadOnly);
    let manifests = Manifests::of(session, scope.registry)?;
    let manifests = manifests.in_full(arguments.format == CheckFormat::Json || ui.verbosity() > 0);
    let (examined, prepared) = examine(session, &manifests, &services, scope)?;
    Strictness::if_asked(arguments.strict).check(session, &prepared, &targets)?;
    let mut drift = drift(&examined);
    if arguments.remote {
        let gone = publish::verify(session, &services, &prepared, scope)?;
        for defect in &gone {
            ui.warn(defect);
        }
        drift.extend(gone.iter().map(of_defect));
    }
    let root = &session.project.root;
    match arguments.format {
        CheckFormat::Text => formats::diff(ui, &examined)?,
        CheckFormat::Json => formats::json(session, ui, &examined, &drift)?,
        CheckFormat::Github => reviews::github(ui, root, &drift)?,
        CheckFormat::Gitlab => reviews::gitlab(ui, root, &drift)?,
    }
    match drift.len() {
        0 => Ok(()),
        places => {
            let fixable = drift.iter().filter(|drift| drift.is_fixable);
            Err(Error::Drift {
                places,
                fixable: fixable.count(),
            })
        }
    }
}

fn examine(
    session: &Session<'_>,
    manifests: &Manifests<'_>,
    services: &Services<'_>,
    scope: Scope<'_>,
) -> Result<(Vec<Arc<Examined>>, Prepared), Error> {
    let prepared = resolution::prepare(session, services)?;
    let expected = ExpectedReferences::pinned(session, &prepared, scope)?;
    let examined = manifests.examine(&expected)?;
    manifests::say_skipped(session, &examined);
    manifests::refuse_nothing_named(session, scope, &examined)?;
    manifests::warn(session, &prepared, scope, &examined);
    Ok((examined, prepared))
}

/// One place that names what this checkout does not stand for, or what keeps it from being known.
struct Drift {
    code: Code,
    place: Place,
    message: String,
    hint: Option<String>,
    /// What it is about, whatever the tags are.
    about: String,
    /// `sparkpack pin` mends it.
    is_fixable: bool,
}

/// All drift, in the order of the files and of their text.
fn drift(examined: &[Arc<Examined>]) -> Vec<Drift> {
    let mut all = Vec::new();
    for file in examined {
        let mut drift: BTreeMap<(usize, usize), Drift> = BTreeMap::new();
        for change in &file.rewritten.changes {
            let drifted = Drift {
                code: Code::E100,
                place: change.place.clone(),
                about: change.path.clone(),
                message: format!(
                    "{} is {}, and has to be {}",
                    change.path,
                    value(&change.old),
                    value(&change.new)
                ),
                hint: Some("run `sparkpack pin`".to_owned()),
                is_fixable: true,
            };
            drift.insert((change.place.line, change.place.column), drifted);
        }
        for defect in file.stale.iter().chain(&file.rewritten.pending) {
            let place = (defect.place.line, defect.place.column);
            drift.entry(place).or_insert_with(|| of_defect(defect));
        }
        all.extend(drift.into_values());
    }
    all
}

fn value(text: &str) -> String {
    match text {
        "" => "empty".to_owned(),
        text => format!("`{text}`"),
    }
}

fn of_defect(defect: &Defect) -> Drift {
    Drift {
        code: defect.code,
        place: defect.place.clone(),
        about: defect.message.clone(),
        message: defect.message.clone(),
        hint: defect.hint.clone(),
        is_fixable: false,
    }
}

/// What has no place of its own is told at the beginning of the configuration.
fn of_error(error: &Error) -> Drift {
    match error {
        Error::Defect(defect) => of_defect(defect),
        error => Drift {
            code: error.code(),
            place: Place::of_line(FILE_NAME, 1),
            about: error.to_string(),
            message: error.to_string(),
            hint: error.hint(),
            is_fixable: false,
        },
    }
}

/// What this run has warned of that is no drift.
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
