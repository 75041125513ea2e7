//! The result of a check as review comments: GitHub's workflow commands or GitLab's Code Quality report.

use std::{
    collections::HashMap,
    path::{Component, Path, PathBuf},
};

use serde::Serialize;

use super::untold;
use crate::{adapters::git, error::Error, image::Digest, operations::manifests::Drift, ui::Ui};

/// Prints workflow commands. GitHub shows them as annotations in a pull request.
pub(super) fn github(ui: &Ui, root: &Path, drift: &[Drift]) -> Result<(), Error> {
    let folder = git::folder(root);
    for drift in drift {
        ui.data(github_command("error", &folder, drift))?;
    }
    for warning in untold(ui, drift) {
        ui.data(github_command(
            "warning",
            &folder,
            &Drift::of_defect(&warning),
        ))?;
    }
    Ok(())
}

fn github_command(level: &str, folder: &Path, drift: &Drift) -> String {
    // GitHub requires `%` and line ends to be escaped in a command; in its properties also `:` and `,`.
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

/// The path of a project's file relative to the root of the repository; `folder` is the project's folder in the
/// repository.
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

/// Prints a Code Quality report, which GitLab shows in a merge request.
pub(super) fn gitlab(ui: &Ui, root: &Path, drift: &[Drift]) -> Result<(), Error> {
    let folder = git::folder(root);
    let mut seen = HashMap::new();
    let issues = drift
        .iter()
        .map(|drift| issue("major", &folder, drift, &mut seen));
    let mut issues: Vec<Issue> = issues.collect();
    let warnings: Vec<Drift> = untold(ui, drift)
        .map(|warning| Drift::of_defect(&warning))
        .collect();
    issues.extend(
        warnings
            .iter()
            .map(|warning| issue("minor", &folder, warning, &mut seen)),
    );
    Ok(ui.document(&issues)?)
}

/// The issue for one finding. GitLab recognises a finding by its fingerprint, which therefore contains neither the line
/// nor the tags: both change while the finding stays the same. `seen` counts findings that are alike, because no two
/// findings of one report may share a fingerprint.
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
