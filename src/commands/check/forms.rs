//! What a check found, for people, programs and reviews.

use std::path::Path;

use serde::Serialize;

use super::Drift;
use crate::{
    adapters::git,
    cli::CheckFormat,
    commands::{manifests::Examined, session::Session},
    error::Error,
    image::Digest,
    project::place::Defect,
    ui::{Paint, unified},
};

/// The version of the JSON document.
const VERSION: u32 = 1;

/// A unified diff, which `git apply` takes.
pub(super) fn diff(session: &Session<'_>, examined: &[Examined]) -> Result<(), Error> {
    let paint = Paint::of_stdout();
    for file in examined {
        if let Some(text) = &file.rewritten.text {
            for line in unified(&file.file, &file.text, text, paint) {
                session.ui.data(line)?;
            }
        }
    }
    Ok(())
}

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    project: &'a str,
    /// Whether the manifests name what this checkout stands for.
    current: bool,
    changes: Vec<Change<'a>>,
    /// Everything that is not current, whether or not `pin` can change it.
    drift: Vec<Row<'a>>,
    skipped: Vec<Skipped<'a>>,
    warnings: Vec<Warning>,
}

#[derive(Serialize)]
struct Change<'a> {
    file: &'a str,
    line: usize,
    column: usize,
    path: &'a str,
    image: &'a str,
    old: &'a str,
    new: &'a str,
}

#[derive(Serialize)]
struct Row<'a> {
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
    code: &'static str,
    place: String,
    message: String,
    hint: Option<String>,
}

pub(super) fn json(
    session: &Session<'_>,
    examined: &[Examined],
    drift: &[Drift],
) -> Result<(), Error> {
    let changes = examined.iter().flat_map(|file| {
        file.rewritten.changes.iter().map(|change| Change {
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
    let document = Document {
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
        warnings: session.ui.warnings().into_iter().map(warning).collect(),
    };
    Ok(session.ui.document(&document)?)
}

fn row(drift: &Drift) -> Row<'_> {
    Row {
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
        place: defect.place.to_string(),
        message: defect.message,
        hint: defect.hint,
    }
}

/// Workflow commands, which GitHub shows beside the lines of a pull request.
pub(super) fn github(session: &Session<'_>, drift: &[Drift]) -> Result<(), Error> {
    let folder = git::folder(&session.project.root);
    for drift in drift {
        session.ui.data(github_command("error", &folder, drift))?;
    }
    for warning in session.ui.warnings() {
        let is_told = drift.iter().any(|drift| drift.place == warning.place);
        if !is_told {
            session.ui.data(github_command(
                "warning",
                &folder,
                &super::of_defect(&warning),
            ))?;
        }
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
    let hint = drift
        .hint
        .as_deref()
        .map_or_else(String::new, |hint| format!("; {hint}"));
    format!(
        "::{level} file={},line={},col={},title=sparkpack::{}{}",
        property(&folder.join(&place.file).display().to_string()),
        place.line,
        place.column,
        escaped(&drift.message),
        escaped(&hint)
    )
}

/// An issue of GitLab's Code Quality report.
#[derive(Serialize)]
struct Issue<'a> {
    description: String,
    check_name: &'a str,
    fingerprint: String,
    severity: &'a str,
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
pub(super) fn gitlab(session: &Session<'_>, drift: &[Drift]) -> Result<(), Error> {
    let folder = git::folder(&session.project.root);
    let issues = drift.iter().map(|drift| issue("major", &folder, drift));
    let mut issues: Vec<Issue<'_>> = issues.collect();
    for warning in session.ui.warnings() {
        let is_told = drift.iter().any(|drift| drift.place == warning.place);
        if !is_told {
            issues.push(issue("minor", &folder, &super::of_defect(&warning)));
        }
    }
    Ok(session.ui.document(&issues)?)
}

fn issue(severity: &'static str, folder: &Path, drift: &Drift) -> Issue<'static> {
    let path = folder.join(&drift.place.file).display().to_string();
    let hint = drift
        .hint
        .as_deref()
        .map_or_else(String::new, |hint| format!("; {hint}"));
    let description = format!("{}{hint}", drift.message);
    // The same finding has to be the same in the next report.
    let identity = format!("{path}\n{}\n{}", drift.place.line, drift.message);
    Issue {
        description,
        check_name: "sparkpack",
        fingerprint: Digest::of(identity.as_bytes()).hex().to_owned(),
        severity,
        location: Location {
            path,
            lines: Lines {
                begin: drift.place.line,
            },
        },
    }
}

/// What stopped the check, for a review; people read it on stderr.
pub(super) fn print_errors(
    session: &Session<'_>,
    format: CheckFormat,
    error: &Error,
) -> Result<(), Error> {
    let defects = error.each().into_iter().filter_map(|error| match error {
        Error::Defect(defect) => Some(super::of_defect(defect)),
        _ => None,
    });
    let drift: Vec<Drift> = defects.collect();
    match format {
        CheckFormat::Text | CheckFormat::Json => Ok(()),
        CheckFormat::Github => github(session, &drift),
        CheckFormat::Gitlab => gitlab(session, &drift),
    }
}
