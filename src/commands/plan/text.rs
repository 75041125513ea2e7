//! A plan as text.

use super::{Planner, words};
use crate::{
    adapters::docker::DockerError,
    commands::plan::Known,
    error::{self, Error},
    operations::{publish::PushPreview, workspace::DistFolder},
    plan::decision::{Decision, PlatformDecisions, Reason},
    project::left_out::Folder,
    ui::{Cell, Paint, Reader, Style, table, unified},
};

pub(super) fn print(planner: &Planner<'_>, known: &Known<'_>) -> Result<(), Error> {
    let paint = planner.ui.data_paint();
    let sections = [
        images(planner, known, paint),
        differences(known, paint),
        untracked_inputs(planner, known, paint),
        left_out(planner, known, paint),
        vec![summary(known)],
    ];
    let mut is_first = true;
    for section in sections.iter().filter(|section| !section.is_empty()) {
        if !is_first {
            planner.ui.data("")?;
        }
        is_first = false;
        for line in section {
            planner.ui.data(line)?;
        }
    }
    Ok(())
}

/// One row for each image, and below it the reasons for its state.
fn images(planner: &Planner<'_>, known: &Known<'_>, paint: Paint) -> Vec<String> {
    let stages = planner.run.prepared.plan.parents_first();
    let (mut rows, mut notes) = (Vec::new(), Vec::new());
    for stage in stages.filter(|stage| known.has(&stage.name)) {
        let name = &stage.name;
        let build = known.preview.build.get(name);
        let reference = stage.reference(planner.run.registry);
        let mut row = vec![
            (name.clone(), Style::Bold),
            build_cell(build.map(PlatformDecisions::whole)),
            (reference.to_string(), Style::Plain),
        ];
        row.extend(known.push(name).map(push_cell));
        rows.push(row);
        notes.push(words::notes_of(known, planner.run.prepared, stage));
    }
    let indent = rows
        .iter()
        .map(|row| row[0].0.chars().count())
        .max()
        .unwrap_or(0)
        + 2;
    let mut lines = Vec::new();
    for (line, notes) in table(&rows, paint).into_iter().zip(notes) {
        lines.push(line);
        let notes = notes.iter().map(|note| paint.paint(Style::Dim, note));
        lines.extend(notes.map(|note| format!("{}{note}", " ".repeat(indent))));
    }
    if !known.preview.not_in_daemon.is_empty() {
        let others: Vec<String> = known
            .preview
            .not_in_daemon
            .iter()
            .map(ToString::to_string)
            .collect();
        let line = format!(
            "the states are those of the daemon's platform; `push` and `build --output oci:PATH` make {} too",
            others.join(", ")
        );
        lines.push(paint.paint(Style::Dim, &line));
    }
    lines.extend(known.preview.daemon.as_ref().map(|error| {
        let reason = match error {
            Error::Docker(DockerError::Unreachable { host, reason, .. }) => {
                format!("{host}: {reason}")
            }
            other => other.to_string(),
        };
        let source = if known.preview.is_layout {
            format!("those of {}", DistFolder::LAYOUT)
        } else {
            "what the manifests say".to_owned()
        };
        let line = format!("daemon not asked: {reason}; the states are {source}");
        paint.paint(Style::Notable, &line)
    }));
    lines
}

fn build_cell(decision: Option<&Decision>) -> Cell {
    let (text, style) = match decision {
        None => ("not needed", Style::Dim),
        Some(Decision::Reuse | Decision::Adopt | Decision::Push) => ("current", Style::Good),
        Some(Decision::Build(_)) => ("to build", Style::Notable),
        Some(Decision::Undecided(_)) => ("undecided", Style::Notable),
        Some(Decision::Unknown) => ("unknown", Style::Dim),
        Some(Decision::Conflict(_)) => ("conflict", Style::Notable),
    };
    (text.to_owned(), style)
}

fn push_cell(push: &PushPreview) -> Cell {
    match (push.decision(), &push.digest) {
        (Decision::Conflict(_), _) => ("conflict in the registry".to_owned(), Style::Notable),
        (_, Some(digest)) => (format!("in the registry: {digest}"), Style::Good),
        (Decision::Build(Reason::NotInRegistry), None) => (
            "not in the registry: a push puts it together".to_owned(),
            Style::Notable,
        ),
        (_, None) => ("not in the registry".to_owned(), Style::Notable),
    }
}

fn differences(known: &Known<'_>, paint: Paint) -> Vec<String> {
    let changed = known
        .examined
        .iter()
        .filter_map(|examined| Some((examined, examined.rewritten.text.as_ref()?)));
    changed
        .flat_map(|(examined, text)| {
            unified(&examined.file, &examined.text, text, paint, Reader::Person)
        })
        .collect()
}

fn untracked_inputs(planner: &Planner<'_>, known: &Known<'_>, paint: Paint) -> Vec<String> {
    let paths = match &known.untracked {
        Ok(paths) if paths.is_empty() => return Vec::new(),
        Ok(paths) => paths,
        Err(reason) => {
            let line = format!("untracked inputs: not checked, since {reason}");
            return vec![paint.paint(Style::Dim, &line)];
        }
    };
    let head = format!(
        "untracked inputs, which no other checkout has ({}):",
        paths.len()
    );
    let limit = match planner.ui.verbosity() {
        0 => error::SHOWN_PATHS,
        _ => usize::MAX,
    };
    let mut lines = vec![paint.paint(Style::Notable, &head)];
    lines.extend(
        error::shown_paths(paths, limit)
            .iter()
            .map(|path| format!("  {path}")),
    );
    lines
}

fn left_out(planner: &Planner<'_>, known: &Known<'_>, paint: Paint) -> Vec<String> {
    let order = planner.run.prepared.plan.order.iter();
    let folders = order.filter_map(|name| Some((name, known.left_out.get(name)?)));
    let mut lines = Vec::new();
    for (name, folder) in
        folders.flat_map(|(name, folders)| folders.iter().map(move |folder| (name, folder)))
    {
        lines.extend(left_out_of(name, folder, paint));
    }
    lines
}

fn left_out_of(name: &str, folder: &Folder, paint: Paint) -> Vec<String> {
    if folder.paths.is_empty() {
        return Vec::new();
    }
    let head = format!("left out of {name} ({} `{}`):", folder.role, folder.folder);
    let rows: Vec<Vec<Cell>> = folder
        .paths
        .iter()
        .map(|(path, rule)| {
            vec![
                (format!("  {path}"), Style::Plain),
                (rule.to_string(), Style::Dim),
            ]
        })
        .collect();
    let mut lines = vec![paint.paint(Style::Bold, &head)];
    lines.extend(table(&rows, paint));
    lines
}

/// The last line: how many images to build and references to change there are.
fn summary(known: &Known<'_>) -> String {
    let build = &known.preview.build;
    let count = |wanted: &dyn Fn(&Decision) -> bool| {
        let wholes = build.values().map(PlatformDecisions::whole);
        wholes.filter(|decision| wanted(decision)).count()
    };
    let push = known.preview.push.iter().flat_map(|push| push.values());
    let conflicts = push
        .filter(|push| matches!(push.decision(), Decision::Conflict(_)))
        .count();
    let parts = [
        (
            count(&|decision| matches!(decision, Decision::Build(_))),
            "to build",
        ),
        (
            count(&|decision| matches!(decision, Decision::Undecided(_))),
            "undecided",
        ),
        (count(&|decision| *decision == Decision::Unknown), "unknown"),
        (conflicts, "in conflict with the registry"),
    ];
    let mut told: Vec<String> = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    if told.is_empty() {
        told.push("all current".to_owned());
    }
    let images = match build.len() {
        1 => "1 image".to_owned(),
        several => format!("{several} images"),
    };
    let changes: usize = known
        .examined
        .iter()
        .map(|examined| examined.rewritten.changes.len())
        .sum();
    let manifests = match changes {
        0 => "the manifests are current".to_owned(),
        1 => "1 reference to change in the manifests".to_owned(),
        several => format!("{several} references to change in the manifests"),
    };
    format!("{images}: {}; {manifests}", told.join(", "))
}
