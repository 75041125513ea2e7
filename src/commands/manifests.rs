//! Rewrites the references in the manifests: all files, or none.

use std::{collections::BTreeSet, path::Path};

use super::{locks::Prepared, making, session::Session};
use crate::{
    adapters::store,
    error::Error,
    image::Reference,
    manifest,
    project::{glob, inputs::stage_of, place::Defect},
};

/// Rewrites the manifests of one registry, or of all; only references of `images`. Says whether any has changed.
pub(super) fn rewrite(
    session: &Session<'_>,
    prepared: &Prepared,
    registry: Option<&str>,
    images: &[String],
) -> Result<bool, Error> {
    let images: BTreeSet<&str> = images.iter().map(String::as_str).collect();
    let mut rewritten = Vec::new();
    for (name, globs) in &session.project.manifests {
        if registry.is_some_and(|registry| registry != name) {
            continue;
        }
        let Some(prefix) = session.project.registries.get(name) else {
            continue;
        };
        let mut files = BTreeSet::new();
        for glob in globs {
            let found = glob::matching(&session.project.root, &glob.pattern, glob::Wanted::Files);
            files.extend(found.map_err(|reason| Defect::new("E022", glob.place.clone(), reason))?);
        }
        for file in files {
            let current = |value: &str| current(session, prepared, prefix, &images, value);
            let text = read(&session.project.root.join(&file), &file)?;
            let result = manifest::rewrite(Path::new(&file), &text, &current)?;
            if !result.changes.is_empty() {
                rewritten.push((file, result));
            }
        }
    }
    for (file, result) in &rewritten {
        store::replace(&session.project.root.join(file), result.text.as_bytes())?;
        for change in &result.changes {
            session.ui.say(format!(
                "{}: {} is now {}",
                change.place, change.path, change.new
            ));
        }
    }
    Ok(!rewritten.is_empty())
}

/// What a reference in a manifest must be; nothing where it is right, or not one of `images`.
fn current(
    session: &Session<'_>,
    prepared: &Prepared,
    prefix: &str,
    images: &BTreeSet<&str>,
    value: &str,
) -> Option<String> {
    let written: Reference = value.parse().ok()?;
    let name = stage_of(
        &session.project,
        &written.repository,
        written.tag.as_deref(),
    )?;
    let stage = prepared
        .plan
        .stages
        .get(name)
        .filter(|_| images.contains(name))?;
    let wanted = making::reference(session, stage, prefix).ok()?;
    (wanted != written).then(|| wanted.to_string())
}

fn read(path: &Path, shown: &str) -> Result<String, Error> {
    let bytes = fs_err::read(path)?;
    String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        let valid = String::from_utf8_lossy(&error.as_bytes()[..offset]);
        let line = valid.matches('\n').count() + 1;
        let place = crate::project::place::Place::of_line(shown, line);
        Defect::new("E011", place, "the file is not UTF-8")
            .hint("save it as UTF-8")
            .into()
    })
}
