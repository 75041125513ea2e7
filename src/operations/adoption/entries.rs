//! The files that are started: by a manifest, by `spark-submit`, by a console script, or by themselves.

use std::collections::BTreeSet;

use super::{
    modules::Modules,
    tree::{folder_of, joined, name_of},
};
use crate::project::place::Place;

/// Why a file is one that is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Evidence {
    /// It begins a session at its top.
    Session,
    /// `if __name__ == "__main__":`.
    Guard,
    /// A console script of the project.
    Script,
    /// A `spark-submit`, in a script or in a Dockerfile.
    Submitted,
    /// The main file of a manifest.
    Manifest,
}

/// A file that is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EntryPoint {
    /// Below the project's folder.
    pub(super) path: String,
    pub(super) evidence: Evidence,
    pub(super) place: Place,
}

/// What says which files are started, besides the files themselves.
pub(super) struct EntryHints<'a> {
    /// Main files of manifests, as they are written, without the scheme.
    pub(super) manifests: &'a [(Place, String)],
    /// Those of `spark-submit`.
    pub(super) submitted: &'a [(Place, String)],
    /// `NAME = "package.module:function"`.
    pub(super) scripts: &'a [(Place, String)],
}

/// The files that are started: those with the best evidence for each, the main ones first.
pub(super) fn entry_points(modules: &Modules, hints: &EntryHints<'_>) -> Vec<EntryPoint> {
    let mut found: Vec<EntryPoint> = Vec::new();
    let mut add = |path: String, evidence, place: Place| match found
        .iter_mut()
        .find(|entry| entry.path == path)
    {
        Some(entry) if entry.evidence >= evidence => {}
        Some(entry) => (entry.evidence, entry.place) = (evidence, place),
        None => found.push(EntryPoint {
            path,
            evidence,
            place,
        }),
    };
    for (place, written) in hints.manifests {
        if let Some(path) = file_of(modules, written) {
            add(path, Evidence::Manifest, place.clone());
        }
    }
    for (place, written) in hints.submitted {
        if let Some(path) = file_of(modules, written) {
            add(path, Evidence::Submitted, place.clone());
        }
    }
    for (place, script) in hints.scripts {
        let module = script.split(':').next().unwrap_or(script);
        let file = format!("{}.py", module.replace('.', "/"));
        let is_it = |path: &&String| ends_with(path, &file);
        if let Some(path) = modules.found.keys().find(is_it) {
            add(path.clone(), Evidence::Script, place.clone());
        }
    }
    for (path, module) in &modules.found {
        let of_guard = module.guard.map(|line| (line, Evidence::Guard));
        let of_session = module.session.map(|line| (line, Evidence::Session));
        if let Some((line, evidence)) = of_guard.or(of_session) {
            add(path.clone(), evidence, Place::of_line(path, line));
        }
    }
    best(modules, found)
}

/// Of what was found, what the best evidence speaks for.
fn best(modules: &Modules, found: Vec<EntryPoint>) -> Vec<EntryPoint> {
    let leading = modules.leading_to_spark();
    let is_spark = |entry: &EntryPoint| {
        let is_dag = modules.imports_any(&BTreeSet::from([entry.path.clone()]), &["airflow"]);
        let is_script = ["main.py", "__main__.py", "job.py"].contains(&name_of(&entry.path));
        !is_dag && (leading.contains(entry.path.as_str()) || is_script && !leading.is_empty())
    };
    let is_told = |entry: &EntryPoint| entry.evidence >= Evidence::Submitted;
    let (told, others): (Vec<EntryPoint>, Vec<EntryPoint>) = found.into_iter().partition(is_told);
    if !told.is_empty() {
        return sorted(told);
    }
    let others: Vec<EntryPoint> = others.into_iter().filter(is_spark).collect();
    let started: Vec<EntryPoint> = others
        .iter()
        .filter(|entry| entry.evidence >= Evidence::Guard)
        .cloned()
        .collect();
    let others = if started.is_empty() { others } else { started };
    // A library may be started too, to try it: it is none where another one imports it.
    let imported = modules.imported();
    let roots: Vec<EntryPoint> = others
        .iter()
        .filter(|entry| !imported.contains(entry.path.as_str()))
        .cloned()
        .collect();
    sorted(if roots.is_empty() { others } else { roots })
}

/// `main.py` first, then by their paths.
fn sorted(mut entries: Vec<EntryPoint>) -> Vec<EntryPoint> {
    entries.sort_by_key(|entry| {
        let rank = match name_of(&entry.path) {
            "main.py" => 0,
            "__main__.py" => 1,
            _ => 2,
        };
        (rank, entry.path.clone())
    });
    entries
}

/// The file of the project that a path in an image, or below another folder, means: the one with the longest common end.
pub(super) fn file_of(modules: &Modules, written: &str) -> Option<String> {
    let written = written
        .rsplit("://")
        .next()
        .unwrap_or(written)
        .trim_start_matches("./");
    if let Some((path, _)) = modules.found.get_key_value(written.trim_start_matches('/')) {
        return Some(path.clone());
    }
    let common = |path: &str| {
        let of_written = written.rsplit('/');
        let of_path = path.rsplit('/');
        of_written
            .zip(of_path)
            .take_while(|(one, other)| one == other)
            .count()
    };
    let name = name_of(written);
    let found = modules.found.keys().filter(|path| name_of(path) == name);
    let best = found.map(|path| {
        (
            common(path),
            std::cmp::Reverse(path.matches('/').count()),
            path,
        )
    });
    let mut best: Vec<_> = best.collect();
    best.sort();
    let (parts, depth, path) = best.pop()?;
    let is_clear = best
        .last()
        .is_none_or(|next| (next.0, next.1) != (parts, depth));
    is_clear.then(|| path.clone())
}

fn ends_with(path: &str, end: &str) -> bool {
    path == end || path.ends_with(&format!("/{end}"))
}

/// Whether a file lies in a folder, which may be the project's own.
pub(super) fn is_in(path: &str, folder: &str) -> bool {
    folder == "." || path.starts_with(&joined(folder, "")) || folder_of(path) == folder
}
