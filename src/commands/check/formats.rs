//! What a check found, for people, programs and reviews.

use std::{
    collections::HashMap,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use serde::Serialize;

use super::{Drift, of_defect};
use crate::{
    adapters::git,
    code::Code,
    error::Error,
    image::Digest,
    operations::{manifests::Examined, workspace::Session},
    project::place::Defect,
    ui::{Reader, Ui, unified},
};

/// The version of the JSON document.
const VERSION: u32 = 1;

/// A unified diff, which `git apply` takes.
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
    /// Whether the manifests name what this checkout stands for.
    current: bool,
    changes: Vec<CheckedChange<'a>>,
    /// Everything that is not current, whether or not `pin` can change it.
    drift: Vec<CheckedPlace<'a>>,
    skipped: Vec<Skipped<'a>>,
    /// What is odd, but no drift.
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

/// Workflow commands, which GitHub shows beside the lines of a pull request.
pub(super) fn github(ui: &Ui, root: &Path, drift: &[Drift]) -> Result<(), Error> {
    let folder = git::folder(root);
    for drift in drift {
        ui.data(github_command("error", &folder, drift))?;
    }
    for warning in untold(ui, drift) {
        ui.data(github_command("warning", &folder, &of_defect(&warning)))?;
    }
    Ok(())
}

fn github_command(level: &str, folder: &Path, drift: &Drift) -> String {
    // `%`, line ends, and in properties also `:` and `,` would end them.
    let escaped = |text: &str| {
        text.replace('%', "%25")
            .replace('\r', "%0D")
            .replace('\n', "%0A")
    };
    let property = |text: &str| escaped(text).replace(':', "%3A").replace(',', "%2C");
    let place = &drift.place;
    format!(
        "::{level} file={},line={},col={},title=sparkpack {}::{}",
        property(&below(folder, &place.file).display().to_string()),
        place.line,
        place.column,
        drift.code,
        escaped(&with_hint(drift))
    )
}

/// A file of the project as its repository knows it, whose folder the project lies in.
fn below(folder: &Path, file: &Path) -> PathBuf {
    let mut path = PathBuf::new();
    for component in folder.join(file).components() {
        let is_up = component == Component::ParentDir;
        let is_below = path
            .components()
            .next_back()
            .is_some_and(|last| last != Component::ParentDir);
        if is_up && is_below {
            path.pop();
        } else {
            path.push(component);
        }
    }
    path
}

fn with_hint(drift: &Drift) -> String {
    let hint = drift.hint.as_ref();
    let hint = hint.map_or_else(String::new, |hint| format!("; {hint}"));
    format!("{}{hint}", drift.message)
}

/// An issue of GitLab's Code Quality report.
#[derive(Serialize)]
struct Issue {
    description: String,
    check_name: String,
    fingerprint: String,
    severity: &'static str,
    location: Location,
}

#[derive(Serialize)]
struct Location {
    path: String,
    lines: Lines,
}

#[derive(Serialize)]
struct Lines {
    begin: usize,
}

/// A Code Quality report, which GitLab shows in a merge request.
pub(super) fn gitlab(ui: &Ui, root: &Path, drift: &[Drift]) -> Result<(), Error> {
    let folder = git::folder(root);
    let mut seen = HashMap::new();
    let issues = drift
        .iter()
        .map(|drift| issue("major", &folder, drift, &mut seen));
    let mut issues: Vec<Issue> = issues.collect();
    let warnings: Vec<Drift> = untold(ui, drift)
        .map(|warning| of_defect(&warning))
        .collect();
    issues.extend(
        warnings
            .iter()
            .map(|warning| issue("minor", &folder, warning, &mut seen)),
    );
    Ok(ui.document(&issues)?)
}

/// The same finding has to be the same in the next report, wherever its line is then and whatever the tags are; and no
/// two in one report may be: those that are alike are counted in `seen`.
fn issue(
    severity: &'static str,
    folder: &Path,
    drift: &Drift,
    seen: &mut HashMap<String, usize>,
) -> Issue {
    let path = below(folder, &drift.place.file).display().to_string();
    let identity = format!("{path}\n{}\n{}", drift.code, drift.about);
    let count = seen.entry(identity.clone()).or_default();
    *count += 1;
    let fingerprint = Digest::of(format!("{identity}\n{count}").as_bytes());
    Issue {
        description: with_hint(drift),
        check_name: format!("sparkpack {}", drift.code),
        fingerprint: fingerprint.hex().to_owned(),
        severity,
        location: Location {
            path,
            lines: Lines {
                begin: drift.place.line,
            },
        },
    }
}
