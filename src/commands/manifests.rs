//! Rewrites the references in the manifests: all files, or none.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    path::Path,
};

use super::{locks::Prepared, session::Session, stages};
use crate::{
    adapters::journal::Replacement,
    error::Error,
    image::{Digest, Reference},
    manifest::{self, Rewritten},
    project::{
        glob,
        inputs::stage_of,
        place::{Defect, Place},
    },
};

/// Which manifests, and whose references in them.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    /// The manifests of one registry, or of all.
    pub(super) registry: Option<&'a str>,
    /// The images whose references are brought up to date.
    pub(super) images: &'a [String],
}

/// Reads every manifest, so that a broken one is told before anything is sent anywhere.
pub(super) fn check(session: &Session<'_>, scope: Scope<'_>) -> Result<(), Error> {
    let mut defects = Vec::new();
    for (_, files) in files(session, scope)? {
        for file in files {
            let text = read(session, &file)?;
            defects.extend(manifest::locate(Path::new(&file), &text).err());
        }
    }
    Error::of_defects(defects)
}

/// What a rewrite would come to; nothing is written.
pub(super) fn changes(
    session: &Session<'_>,
    prepared: &Prepared,
    scope: Scope<'_>,
) -> Result<BTreeMap<String, Rewritten>, Error> {
    let mut rewritten = BTreeMap::new();
    let mut defects = Vec::new();
    for (prefix, files) in files(session, scope)? {
        for file in files {
            let current = |value: &str| current(session, prepared, prefix, scope, value);
            let text = read(session, &file)?;
            match manifest::rewrite(Path::new(&file), &text, &current) {
                Ok(result) => drop(rewritten.insert(file, result)),
                Err(defect) => defects.push(defect),
            }
        }
    }
    Error::of_defects(defects)?;
    Ok(rewritten)
}

/// Rewrites the manifests as they are now. Says whether any has changed.
pub(super) fn rewrite(
    session: &Session<'_>,
    prepared: &Prepared,
    scope: Scope<'_>,
) -> Result<bool, Error> {
    let all = changes(session, prepared, scope)?;
    let changed = || all.iter().filter(|(_, result)| !result.changes.is_empty());
    let files: Vec<_> = changed()
        .map(|(file, result)| {
            let path = session.project.root.join(file);
            (path, result.text.clone().into_bytes())
        })
        .map(|(path, bytes)| {
            // The text that was rewritten is not kept: what is there now stands for it.
            let old = Some(Digest::of(&fs_err::read(&path)?));
            Ok(Replacement { path, old, bytes })
        })
        .collect::<Result<_, Error>>()?;
    session.replace_together(&files)?;
    for change in changed().flat_map(|(_, result)| &result.changes) {
        session.ui.say(format!(
            "{}: {} is now {}",
            change.place, change.path, change.new
        ));
    }
    warn(session, prepared, scope, &all);
    Ok(!files.is_empty())
}

/// What the manifests name of the project's images, by image.
pub(super) fn named_references(
    session: &Session<'_>,
    all: &BTreeMap<String, Rewritten>,
) -> BTreeMap<String, Vec<Reference>> {
    let mut references: BTreeMap<String, Vec<Reference>> = BTreeMap::new();
    for place in all.values().flat_map(|result| &result.places) {
        if let Some((name, written)) = named(session, &place.value) {
            references.entry(name.to_owned()).or_default().push(written);
        }
    }
    references
}

/// The manifests by the prefix of their registry.
fn files<'a>(
    session: &'a Session<'_>,
    scope: Scope<'_>,
) -> Result<Vec<(&'a str, BTreeSet<String>)>, Error> {
    let project = &session.project;
    let mut listed = Vec::new();
    for (name, globs) in &project.manifests {
        let Some(prefix) = project.registries.get(name) else {
            continue;
        };
        if scope.registry.is_some_and(|registry| registry != name) {
            continue;
        }
        let mut files = BTreeSet::new();
        for glob in globs {
            let found = glob::matching(&project.root, &glob.pattern, glob::Wanted::Files);
            files.extend(found.map_err(|reason| Defect::new("E022", glob.place.clone(), reason))?);
        }
        listed.push((prefix.as_str(), files));
    }
    Ok(listed)
}

/// An image of the project that a manifest names.
pub(super) struct Named {
    pub(super) image: String,
    pub(super) reference: Reference,
    pub(super) place: Place,
}

/// The images of the project that the manifests of a registry name, in the order of the files.
pub(super) fn named_images(session: &Session<'_>, registry: &str) -> Result<Vec<Named>, Error> {
    let scope = Scope {
        registry: Some(registry),
        images: &[],
    };
    let mut images = Vec::new();
    for (_, files) in files(session, scope)? {
        for file in files {
            let text = read(session, &file)?;
            for place in manifest::locate(Path::new(&file), &text)? {
                images.extend(
                    named(session, &place.value).map(|(image, reference)| Named {
                        image: image.to_owned(),
                        reference,
                        place: place.place.clone(),
                    }),
                );
            }
        }
    }
    Ok(images)
}

/// The image of the project that a reference names.
fn named<'a>(session: &'a Session<'_>, value: &str) -> Option<(&'a str, Reference)> {
    let written: Reference = value.parse().ok()?;
    let tag = written.tag.as_deref();
    let name = stage_of(&session.project, &written.repository, tag)?;
    Some((name, written))
}

/// What a reference in a manifest must be; nothing where it is right, or not one of the images.
fn current(
    session: &Session<'_>,
    prepared: &Prepared,
    prefix: &str,
    scope: Scope<'_>,
    value: &str,
) -> Option<String> {
    let (name, written) = named(session, value)?;
    let stage = prepared.plan.stages.get(name)?;
    let wanted = stages::reference(session, stage, prefix).ok()?;
    let is_meant = scope.images.iter().any(|image| image == name);
    (is_meant && wanted != written).then(|| wanted.to_string())
}

/// Warns where the cluster would go on with an old image: no manifest names the project's, or one does where
/// sparkpack does not look. Only where all images are meant.
pub(super) fn warn(
    session: &Session<'_>,
    prepared: &Prepared,
    scope: Scope<'_>,
    all: &BTreeMap<String, Rewritten>,
) {
    if scope.images.len() != session.project.images.len() {
        return;
    }
    let mut is_named = false;
    for (file, result) in all {
        let places = &result.places;
        is_named |= places
            .iter()
            .any(|place| named(session, &place.value).is_some());
        for (offset, value) in elsewhere(session, prepared, &result.text) {
            let place = Place::of_offset(file, &result.text, offset);
            let message =
                format!("`{value}` is not current, and stands where sparkpack does not rewrite");
            let hint = "change it by hand; the README lists the places that are rewritten";
            session
                .ui
                .warn(&Defect::new("W105", place, message).hint(hint));
        }
    }
    if let (false, Some((file, _))) = (is_named, all.first_key_value()) {
        let message = "no manifest names an image of this project";
        let hint = "name one by its repository, or list the prefix that they name under `formerly`";
        let defect = Defect::new("W104", Place::of_line(file, 1), message);
        session.ui.warn(&defect.hint(hint));
    }
}

/// References of the project's images in a rewritten text that are not current: their offsets and texts.
fn elsewhere(session: &Session<'_>, prepared: &Prepared, text: &str) -> Vec<(usize, String)> {
    let is_part = |character: char| character.is_alphanumeric() || "._-/:@".contains(character);
    let is_current = |name: &str, written: &Reference| {
        let stage = prepared.plan.stages.get(name);
        let mut prefixes = session.project.registries.values();
        stage.is_some_and(|stage| {
            prefixes.any(|prefix| {
                stages::reference(session, stage, prefix).is_ok_and(|wanted| wanted == *written)
            })
        })
    };
    let words = words(text, &is_part).into_iter().filter_map(|range| {
        let word = Some(&text[range.clone()]).filter(|word| word.contains('/'))?;
        let (name, written) = named(session, word)?;
        let is_old = written.tag.is_some() && !is_current(name, &written);
        (is_old && !is_comment(text, range.start)).then(|| (range.start, word.to_owned()))
    });
    words.collect()
}

fn words(text: &str, is_part: &dyn Fn(char) -> bool) -> Vec<Range<usize>> {
    let mut words = Vec::new();
    let mut start = None;
    for (offset, character) in text.char_indices().chain([(text.len(), ' ')]) {
        match (is_part(character), start) {
            (true, None) => start = Some(offset),
            (false, Some(begun)) => {
                words.push(begun..offset);
                start = None;
            }
            _ => {}
        }
    }
    words
}

fn is_comment(text: &str, offset: usize) -> bool {
    let line_start = text[..offset].rfind('\n').map_or(0, |newline| newline + 1);
    let before = &text[line_start..offset];
    before.trim_start().starts_with('#') || before.contains(" #")
}

/// The text of a manifest.
pub(super) fn read(session: &Session<'_>, file: &str) -> Result<String, Error> {
    let bytes = fs_err::read(session.project.root.join(file))?;
    String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        let valid = String::from_utf8_lossy(&error.as_bytes()[..offset]);
        let place = Place::of_line(file, valid.matches('\n').count() + 1);
        let defect = Defect::new("E011", place, "the file is not UTF-8");
        defect.hint("save it as UTF-8").into()
    })
}
