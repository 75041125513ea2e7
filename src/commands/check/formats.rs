//! The result of a check as text for people, or as JSON for programs.

use std::sync::Arc;

use serde::Serialize;

use super::untold;
use crate::{
    code::Code,
    error::Error,
    operations::{
        manifests::{Drift, Examined},
        workspace::Session,
    },
    project::place::Defect,
    ui::{Reader, Ui, unified},
};

/// The version of the JSON document.
const VERSION: u32 = 1;

/// Prints the changes that `sparkpack pin` would make as a unified diff that `git apply` accepts.
pub(super) fn diff(ui: &Ui, examined: &[Arc<Examined>]) -> Result<(), Error> {
    let (paint, reader) = (ui.data_paint(), Reader::of_stdout());
    for file in examined {
        if let Some(text) = &file.rewritten.text {
            for line in unified(&file.file, &file.text, text, paint, reader) {
                ui.data(line)?;
            }
        }
    }
    Ok(())
}

#[derive(Serialize)]
struct CheckDocument<'a> {
    version: u32,
    project: &'a str,
    /// Whether the manifests name the images of this checkout.
    current: bool,
    changes: Vec<CheckedChange<'a>>,
    /// All references that are out of date, whether or not `sparkpack pin` can fix them.
    drift: Vec<CheckedPlace<'a>>,
    skipped: Vec<Skipped<'a>>,
    /// The warnings that are not drift.
    warnings: Vec<Warning>,
}

#[derive(Serialize)]
struct CheckedChange<'a> {
    file: &'a str,
    line: usize,
    column: usize,
    path: &'a str,
    image: &'a str,
    old: &'a str,
    new: &'a str,
}

#[derive(Serialize)]
struct CheckedPlace<'a> {
    code: Code,
    file: String,
    line: usize,
    column: usize,
    message: &'a str,
    hint: Option<&'a str>,
    fixable: bool,
}

#[derive(Serialize)]
struct Skipped<'a> {
    file: String,
    line: usize,
    column: usize,
    path: &'a str,
    value: &'a str,
    reason: &'a str,
}

#[derive(Serialize)]
struct Warning {
    code: Code,
    file: String,
    line: usize,
    column: usize,
    message: String,
    hint: Option<String>,
}

pub(super) fn json(
    session: &Session<'_>,
    ui: &Ui,
    examined: &[Arc<Examined>],
    drift: &[Drift],
) -> Result<(), Error> {
    let changes = examined.iter().flat_map(|file| {
        file.rewritten.changes.iter().map(|change| CheckedChange {
            file: &file.file,
            line: change.place.line,
            column: change.place.column,
            path: &change.path,
            image: &change.image,
            old: &change.old,
            new: &change.new,
        })
    });
    let skipped = examined.iter().flat_map(|file| &file.skipped);
    let document = CheckDocument {
        version: VERSION,
        project: &session.project.name,
        current: drift.is_empty(),
        changes: changes.collect(),
        drift: drift.iter().map(row).collect(),
        skipped: skipped
            .map(|skipped| Skipped {
                file: skipped.place.file.display().to_string(),
                line: skipped.place.line,
                column: skipped.place.column,
                path: &skipped.path,
                value: &skipped.value,
                reason: skipped.why,
            })
            .collect(),
        warnings: untold(ui, drift).map(warning).collect(),
    };
    Ok(ui.document(&document)?)
}

fn row(drift: &Drift) -> CheckedPlace<'_> {
    CheckedPlace {
        code: drift.code,
        file: drift.place.file.display().to_string(),
        line: drift.place.line,
        column: drift.place.column,
        message: &drift.message,
        hint: drift.hint.as_deref(),
        fixable: drift.is_fixable,
    }
}

fn warning(defect: Defect) -> Warning {
    Warning {
        code: defect.code,
        file: defect.place.file.display().to_string(),
        line: defect.place.line,
        column: defect.place.column,
        message: defect.message,
        hint: defect.hint,
    }
}
