//! Finds what belongs to an image of the project and cannot be rewritten: digests that win over a tag that an expression
//! fills in, and parts of names that stand in several values.

use std::collections::BTreeSet;

use super::{expected::ExpectedReferences, unmanaged_reference::UnmanagedReference};
use crate::{
    code::Code,
    image::Reference,
    project::{
        Project,
        place::{Defect, Place},
    },
    yaml::{ImagePlace, LeftAlone, Located, Stray, StrayKind},
};

/// All that is told of them, except where a mark says `ignore` or names the image.
pub(super) fn strays(
    project: &Project,
    expected: &ExpectedReferences,
    located: &Located,
) -> Vec<UnmanagedReference> {
    let is_template = |place: &&ImagePlace| place.left_alone == Some(LeftAlone::Template);
    let templates = located.places.iter().filter(is_template);
    let filled_in = templates.flat_map(ImagePlace::fixed_versions);
    let strays = filled_in.chain(located.strays.iter().cloned());
    let mut seen = BTreeSet::new();
    strays
        .filter(|stray| {
            let is_marked = |place: &ImagePlace| {
                place.left_alone != Some(LeftAlone::Template)
                    && (place.mark.is_some() || place.reference().is_some())
                    && place.parts.scalars().any(|part| part.place == stray.place)
            };
            // A mapping that others merge is read with each of them.
            !located.is_ignored(stray.span.start)
                && !located.places.iter().any(is_marked)
                && seen.insert((stray.place.line, stray.place.column))
        })
        .filter_map(|stray| told(project, expected, &stray))
        .collect()
}

fn told(
    project: &Project,
    expected: &ExpectedReferences,
    stray: &Stray,
) -> Option<UnmanagedReference> {
    let is_tag = matches!(stray.kind, StrayKind::Tag | StrayKind::Version);
    let reference = Reference {
        repository: stray.repository.clone(),
        tag: is_tag.then(|| stray.value.clone()),
        digest: None,
    };
    let image = project.image_matcher.named(&reference)?.to_owned();
    let mut found = UnmanagedReference {
        is_whole: stray.kind != StrayKind::Version,
        stale: None,
        warning: None,
        image,
    };
    if !expected.is_meant(&found.image) {
        return Some(found);
    }
    let (is_stale, defect) = said(expected, stray, &found.image)?;
    if is_stale {
        found.stale = Some(defect);
    } else {
        found.warning = Some(defect);
    }
    Some(found)
}

/// What to say of a value that belongs to `image`, and whether it is out of date.
fn said(expected: &ExpectedReferences, stray: &Stray, image: &str) -> Option<(bool, Defect)> {
    let Stray {
        repository: name,
        value,
        path,
        ..
    } = stray;
    let is_current = expected.is_current_version(image, name, value);
    let why = "stands where sparkpack does not rewrite";
    let (is_stale, message) = match stray.kind {
        StrayKind::Digest if is_current => return None,
        StrayKind::Digest => {
            return Some((true, fixed_by_digest(image, stray.place.clone(), path)));
        }
        StrayKind::Tag if is_current => (
            false,
            format!("`{path}` has the current tag of `{name}`, and {why}"),
        ),
        StrayKind::Tag => (
            true,
            format!("`{value}` seems to be the tag of `{name}`, is not current, and {why}"),
        ),
        StrayKind::Repository => (false, format!("`{name}` has no tag, and {why}")),
        StrayKind::Version if expected.is_current_tag(value) => return None,
        StrayKind::Version => (
            true,
            format!(
                "`{path}` holds `{value}`, which looks like a tag of `{name}` and is not the current one; a key with this name is never rewritten"
            ),
        ),
    };
    let part = match stray.kind {
        StrayKind::Repository => "",
        _ => " tag",
    };
    let code = if is_stale { Code::W105 } else { Code::W120 };
    let defect = Defect::new(code, stray.place.clone(), message);
    let hint = format!("put `# sparkpack: {image}{part}` behind it, or `# sparkpack: ignore`");
    Some((is_stale, defect.hint(hint)))
}

/// What to say of a digest that wins over the tag of an image.
pub(super) fn fixed_by_digest(image: &str, place: Place, path: &str) -> Defect {
    let message = format!(
        "the digest at `{path}` is not known to be that of the current `{image}`: it wins over the tag, and stands where sparkpack does not rewrite"
    );
    Defect::new(Code::W105, place, message).hint(format!(
        "remove it, or put `# sparkpack: {image} digest` behind it where it is a value of its own"
    ))
}
