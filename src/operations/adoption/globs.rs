//! `[manifests]`: globs of the files that name images of the project.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    image_name::ImageName,
    manifests::{Manifest, may_be_manifest},
    naming::Naming,
    survey::ProjectSurvey,
    tree::{folder_of, name_of},
};

/// The globs of each registry.
pub(super) fn globs(survey: &ProjectSurvey, naming: &Naming) -> BTreeMap<String, Vec<String>> {
    let mut by_registry: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for manifest in &survey.manifests {
        if let Some(registry) = registry_of(manifest, naming) {
            by_registry
                .entry(registry)
                .or_default()
                .insert(&manifest.path);
        }
    }
    for path in &survey.others {
        if let Some(registry) = registry_within(survey, path, naming) {
            by_registry.entry(registry).or_default().insert(path);
        }
    }
    let all = by_registry.clone();
    let mut globs = BTreeMap::new();
    for (registry, files) in by_registry {
        let others = all.iter().filter(|(name, _)| **name != registry);
        let others: BTreeSet<&str> = others
            .flat_map(|(_, files)| files.iter().copied())
            .collect();
        globs.insert(registry, of_files(survey, &files, &others));
    }
    globs
}

/// The registry that a manifest is of; `None` if it names nothing of the project.
fn registry_of(manifest: &Manifest, naming: &Naming) -> Option<String> {
    let prefixes: BTreeSet<String> = manifest
        .names()
        .filter_map(|(_, name)| name.prefix())
        .collect();
    let mut registries = naming.registries.iter();
    let named = registries.find(|(_, prefix)| prefixes.contains(prefix));
    if let Some((name, _)) = named {
        return Some(name.clone());
    }
    let is_own = |name: &ImageName| {
        let mut called = naming
            .images
            .iter()
            .filter_map(|image| image.called.as_ref());
        called.any(|(own, _)| super::naming::is_same_image(own, name))
    };
    let names_own = manifest.names().any(|(_, name)| is_own(&name));
    // In a text that is filled in, the name of an image may stand beside what is not known.
    let is_filled_in = manifest.filled_in.iter().any(|(_, text)| {
        let mut called = naming
            .images
            .iter()
            .filter_map(|image| image.called.as_ref());
        called.any(|(own, _)| {
            own.repository
                .as_ref()
                .is_some_and(|own| text.contains(&own.to_string()))
        })
    });
    (names_own || is_filled_in).then(|| naming.registries.first().map(|(name, _)| name.clone()))?
}

/// The registry of a file that has an image of the project under a key of its own.
fn registry_within(survey: &ProjectSurvey, path: &str, naming: &Naming) -> Option<String> {
    let text = survey.tree.text(path)?;
    let has_image = |prefix: &str| {
        let mut called = naming
            .images
            .iter()
            .filter_map(|image| image.called.as_ref());
        called.any(|(own, _)| text.contains(&format!("{prefix}/{}", own.last)))
    };
    let mut registries = naming.registries.iter();
    let found = registries.find(|(_, prefix)| has_image(prefix));
    found.map(|(name, _)| name.clone())
}

/// A glob for each folder in which all manifests may be meant, else the files themselves.
fn of_files(
    survey: &ProjectSurvey,
    files: &BTreeSet<&str>,
    others: &BTreeSet<&str>,
) -> Vec<String> {
    let mut by_top: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for file in files {
        let top = file.split_once('/').map_or(".", |(top, _)| top);
        by_top.entry(top).or_default().insert(file);
    }
    let mut globs = Vec::new();
    for (top, files) in by_top {
        let folder = common_folder(&files);
        let below: Vec<&str> = survey
            .tree
            .files()
            .filter(|file| is_below(file, &folder))
            .collect();
        let is_clear = top != "."
            && below.iter().all(|file| !others.contains(file))
            && !others_below(survey, &folder);
        if is_clear {
            let ends: BTreeSet<&str> = files.iter().map(|file| ending(file)).collect();
            let ends: Vec<String> = ends
                .into_iter()
                .map(|end| format!("{folder}/**/*{end}"))
                .collect();
            let matches = |file: &&str| {
                may_be_manifest(file) && ends.iter().any(|end| file.ends_with(ending(end)))
            };
            if below.iter().filter(|file| matches(file)).count() <= files.len() * 8 {
                globs.extend(ends);
                continue;
            }
        }
        globs.extend(files.iter().map(|file| escaped(file)));
    }
    globs
}

/// Whether a folder has files that would be manifests and are none, or that name nothing of the project.
fn others_below(survey: &ProjectSurvey, folder: &str) -> bool {
    let mut broken = survey.broken.iter();
    broken.any(|file| is_below(file, folder))
}

/// The folder that all files lie in.
fn common_folder(files: &BTreeSet<&str>) -> String {
    let mut files = files.iter();
    let mut folder = files.next().map_or(".", |file| folder_of(file));
    for file in files {
        while folder != "." && !is_below(file, folder) {
            folder = folder_of(folder);
        }
    }
    folder.to_owned()
}

fn is_below(file: &str, folder: &str) -> bool {
    folder == "."
        || file
            .strip_prefix(folder)
            .is_some_and(|rest| rest.starts_with('/'))
}

/// `.yaml`, with what templates have behind it.
fn ending(file: &str) -> &str {
    let name = name_of(file);
    let at = name.find(".y").or_else(|| name.rfind('.'));
    at.map_or(name, |at| &name[at..])
}

/// A file's path as a glob that matches only it.
pub(super) fn escaped(file: &str) -> String {
    let mut glob = String::new();
    for character in file.chars() {
        if "*?[]{}\\".contains(character) {
            glob.push('\\');
        }
        glob.push(character);
    }
    glob
}
