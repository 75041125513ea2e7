//! `sparkpack check`: says whether the manifests name the images of this checkout; changes nothing.

mod forms;

use std::collections::BTreeMap;

use super::{
    locks::{self, Prepared},
    manifests::{self, Digests, Examined, Manifests, Scope, Wants},
    outside::{Missing, Outside},
    pins, remote,
    session::Session,
    untracked::Strictness,
};
use crate::{
    cli::{CheckArguments, CheckFormat},
    error::Error,
    project::place::{Defect, Place},
};

pub(super) fn run(session: &Session<'_>, arguments: &CheckArguments) -> Result<(), Error> {
    let targets = session.targets(&arguments.images.images)?;
    let scope = Scope {
        registry: arguments.images.registry.registry.as_deref(),
        images: &targets,
    };
    let outside = Outside::new(session);
    let (examined, prepared) = match examine(session, &outside, scope, arguments.format) {
        Ok(examined) => examined,
        Err(error) => {
            // A review shows what is wrong at its place as well.
            forms::print_errors(session, arguments.format, &error)?;
            return Err(error);
        }
    };
    Strictness::if_asked(arguments.strict).check(session, &prepared, &targets)?;
    let mut drift = drift(&examined);
    if arguments.remote {
        let gone = remote::verify(session, &outside, &prepared, scope)?;
        for defect in &gone {
            session.ui.warn(defect);
        }
        drift.extend(gone.iter().map(of_defect));
    }
    match arguments.format {
        CheckFormat::Text => forms::diff(session, &examined)?,
        CheckFormat::Json => forms::json(session, &examined, &drift)?,
        CheckFormat::Github => forms::github(session, &drift)?,
        CheckFormat::Gitlab => forms::gitlab(session, &drift)?,
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
    outside: &Outside<'_>,
    scope: Scope<'_>,
    format: CheckFormat,
) -> Result<(Vec<Examined>, Prepared), Error> {
    let mut manifests = Manifests::of(session, scope.registry)?;
    if matches!(format, CheckFormat::Json) {
        manifests = manifests.in_full();
    }
    let prepared = locks::prepare(session, outside, Missing::Refuse)?;
    let pins = pins::read(session)?;
    let wants = Wants::of_plan(session, &prepared, scope, Digests::Pinned(&pins))?;
    let examined = manifests.examine(&wants)?;
    manifests::say_skipped(session, &examined);
    if let Some(defect) = manifests::nothing_named(session, scope, &examined) {
        return Err(defect.into());
    }
    manifests::warn(session, &prepared, scope, &examined);
    Ok((examined, prepared))
}

/// One place that names what this checkout does not stand for.
struct Drift {
    place: Place,
    message: String,
    hint: Option<String>,
    /// `sparkpack pin` mends it.
    is_fixable: bool,
}

/// All drift, in the order of the files and of their text.
fn drift(examined: &[Examined]) -> Vec<Drift> {
    let mut all = Vec::new();
    for file in examined {
        let mut drift: BTreeMap<(usize, usize), Drift> = BTreeMap::new();
        for change in &file.rewritten.changes {
            let drifted = Drift {
                place: change.place.clone(),
                message: format!(
                    "{} is `{}`, and has to be `{}`",
                    change.path, change.old, change.new
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

fn of_defect(defect: &Defect) -> Drift {
    Drift {
        place: defect.place.clone(),
        message: defect.message.clone(),
        hint: defect.hint.clone(),
        is_fixable: false,
    }
}
