//! Which keys of a mapping belong to the image that one of them names (pure).
//!
//! A reference is never written half: where a value is a repository without a tag, the rest of the reference may stand
//! beside it, under a name that nobody could list.

use std::collections::HashSet;

use super::key_name::{KeyName, Role};
use crate::image::{Digest, Repository};

/// A key of a mapping, and what is known of its value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sibling<'a> {
    pub(super) key: &'a str,
    pub(super) value: SiblingValue<'a>,
}

/// The value of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SiblingValue<'a> {
    /// Empty if it is null.
    Text(&'a str),
    /// Something else fills it in.
    Template,
    /// A list or a mapping.
    Collection,
}

/// The indices of the keys that belong to an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) registry: Option<usize>,
    pub(super) tag: Option<usize>,
    pub(super) digest: Option<usize>,
}

/// Why the keys that belong to an image cannot be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// Each of these may hold the tag.
    Tags(Vec<usize>),
    /// Each of these may hold the digest.
    Digests(Vec<usize>),
    /// It holds a digest, and its name does not say that it is the image's.
    OtherDigest(usize),
}

/// The keys that belong to the image at the index `image`, and what is in doubt. `is_own_tag` knows the tags of that image
/// by their form.
pub(super) fn choose(
    siblings: &[Sibling<'_>],
    image: usize,
    is_own_tag: &dyn Fn(&str) -> bool,
) -> (Chosen, Option<Doubt>) {
    let names: Vec<KeyName> = siblings.iter().map(|of| KeyName::of(of.key)).collect();
    let stem = names[image].stem.as_str();
    // `sideTag` beside `sideImage` is not the tag of `jobImage`.
    let images = names.iter().filter(|name| name.role == Role::Image);
    let image_stems: HashSet<&str> = images.map(|name| name.stem.as_str()).collect();
    let is_of_other_image =
        |other: &KeyName| other.stem != stem && image_stems.contains(other.stem.as_str());
    let (mut registries, mut tags, mut digests, mut strange) = (vec![], vec![], vec![], vec![]);
    for (index, (sibling, name)) in siblings.iter().zip(&names).enumerate() {
        let text = match sibling.value {
            SiblingValue::Text(text) => text,
            SiblingValue::Template => "",
            SiblingValue::Collection => continue,
        };
        if index == image || name.is_of_other || is_of_other_image(name) {
            continue;
        }
        let is_named = (name.stem == stem || name.stem.is_empty()) && !name.is_plural;
        let is_digest = is_digest(text);
        match name.role {
            Role::Registry if is_named => registries.push(index),
            Role::Tag | Role::Version if is_named && !is_digest => tags.push(index),
            // `sha` is the digest in some charts and the commit, as the tag, in others.
            Role::Digest if is_named && (text.is_empty() || is_digest) => digests.push(index),
            _ if is_strange_digest(name, text) => strange.push(index),
            Role::Digest if is_named => tags.push(index),
            Role::Tag | Role::Version if is_named => digests.push(index),
            _ if is_own_tag(text) => tags.push(index),
            _ => {}
        }
    }
    prefer_exact(&mut registries, &names, stem);
    if digests.len() > 1 {
        let is_filled = |index: &usize| siblings[*index].value != SiblingValue::Text("");
        digests.retain(is_filled);
    }
    let only = |indices: &[usize]| match indices {
        [only] => Some(*only),
        _ => None,
    };
    let chosen = Chosen {
        registry: registries.first().copied(),
        tag: only(&tags),
        digest: only(&digests),
    };
    let is_shared = tags.iter().any(|tag| names[*tag].stem != stem)
        && (0..names.len()).any(|other| {
            other != image && needs_tag(siblings, &names, other) && names[other].stem != stem
        });
    let doubt = if tags.len() > 1 || is_shared {
        Some(Doubt::Tags(tags))
    } else if digests.len() > 1 {
        Some(Doubt::Digests(digests))
    } else {
        strange.first().map(|other| Doubt::OtherDigest(*other))
    };
    (chosen, doubt)
}

/// Whether a key names another image without a tag, and has none of its own beside it.
fn needs_tag(siblings: &[Sibling<'_>], names: &[KeyName], other: usize) -> bool {
    let SiblingValue::Text(text) = siblings[other].value else {
        return false;
    };
    let name = &names[other];
    let has_own = || {
        let mut tags = names.iter();
        tags.any(|tag| matches!(tag.role, Role::Tag | Role::Version) && tag.stem == name.stem)
    };
    name.role == Role::Image
        && text.contains('/')
        && text.parse::<Repository>().is_ok()
        && !has_own()
}

/// Whether a value is a digest in a form, or under a key, of which nothing is known.
fn is_strange_digest(name: &KeyName, text: &str) -> bool {
    let text = text.trim_start_matches('@').to_ascii_lowercase();
    let is_hash = name.stem.contains("checksum") || name.stem.contains("hash");
    let has_algorithm = text.split_once(':').is_some_and(|(algorithm, hex)| {
        matches!(algorithm, "sha256" | "sha384" | "sha512")
            && hex.len() >= 64
            && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
    });
    has_algorithm || is_hash && is_bare_digest(&text)
}

/// Leaves only the keys with the image's own stem, if there are any.
fn prefer_exact(indices: &mut Vec<usize>, names: &[KeyName], stem: &str) {
    if indices.iter().any(|index| names[*index].stem == stem) {
        indices.retain(|index| names[*index].stem == stem);
    }
}

/// Whether a value is a digest, with its algorithm or without.
pub(super) fn is_digest(text: &str) -> bool {
    text.parse::<Digest>().is_ok() || is_bare_digest(text)
}

/// Whether a value is a digest without its algorithm, as some charts want it.
pub(super) fn is_bare_digest(text: &str) -> bool {
    text.len() == 64 && format!("sha256:{text}").parse::<Digest>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA: &str = "sha256:5555555555555555555555555555555555555555555555555555555555555555";

    /// The tag and the digest of the first key.
    fn chosen<'a>(keys: &[(&'a str, &'a str)]) -> Result<(&'a str, &'a str), Vec<&'a str>> {
        let siblings: Vec<Sibling<'_>> = keys
            .iter()
            .map(|(key, value)| Sibling {
                key,
                value: SiblingValue::Text(value),
            })
            .collect();
        let is_own_tag = |text: &str| text == "0123456789abcdef";
        let key = |index: Option<usize>| index.map_or("", |index| keys[index].0);
        match choose(&siblings, 0, &is_own_tag) {
            (chosen, None) => Ok((key(chosen.tag), key(chosen.digest))),
            (_, Some(Doubt::Tags(indices) | Doubt::Digests(indices))) => {
                Err(indices.into_iter().map(|index| keys[index].0).collect())
            }
            (_, Some(Doubt::OtherDigest(index))) => Err(vec![keys[index].0]),
        }
    }

    #[test]
    fn a_tag_belongs_to_an_image_by_its_name_or_its_value() {
        let tag = "0123456789abcdef";
        for (keys, expected) in [
            (vec![("image", ""), ("imageTag", "1")], Ok(("imageTag", ""))),
            (vec![("image", ""), ("version", "1")], Ok(("version", ""))),
            (vec![("jobImage", ""), ("tag", "1")], Ok(("tag", ""))),
            (vec![("jobImage", ""), ("jobTag", "1")], Ok(("jobTag", ""))),
            (vec![("image", ""), ("build", tag)], Ok(("build", ""))),
            (vec![("image", ""), ("build", "17")], Ok(("", ""))),
            (vec![("image", ""), ("sparkVersion", tag)], Ok(("", ""))),
            (vec![("image", ""), ("sha", "4c1d9e0")], Ok(("sha", ""))),
            (vec![("images", ""), ("tags", "type=sha")], Ok(("", ""))),
            (vec![("image", ""), ("tags", tag)], Ok(("tags", ""))),
            (vec![("image", ""), ("dockerVersion", "24")], Ok(("", ""))),
            (
                vec![
                    ("jobImage", ""),
                    ("hookImage", "quay.io/x/y"),
                    ("imageTag", "1"),
                ],
                Err(vec!["imageTag"]),
            ),
            (
                vec![
                    ("jobImage", ""),
                    ("hookImage", "quay.io/x/y:1"),
                    ("imageTag", "1"),
                ],
                Ok(("imageTag", "")),
            ),
            (
                vec![("image", ""), ("tag", "1"), ("imageTag", "")],
                Err(vec!["tag", "imageTag"]),
            ),
            (
                vec![("image", ""), ("tag", "1"), ("version", "1")],
                Err(vec!["tag", "version"]),
            ),
            (
                vec![("image", ""), ("tag", "1"), ("build", tag)],
                Err(vec!["tag", "build"]),
            ),
        ] {
            assert_eq!(chosen(&keys), expected, "{keys:?}");
        }
    }

    #[test]
    fn what_belongs_to_another_image_is_left_to_it() {
        let others = [
            ("sideImage", "x"),
            ("sideTag", "0123456789abcdef"),
            ("sideDigest", SHA),
        ];
        let job = [("jobImage", "")];
        let keys = [job.as_slice(), &others].concat();
        assert_eq!(chosen(&keys), Ok(("", "")));
        let keys = [job.as_slice(), &others, &[("jobTag", "1")]].concat();
        assert_eq!(chosen(&keys), Ok(("jobTag", "")));
    }

    #[test]
    fn a_digest_is_found_under_whatever_key() {
        let image = [("image", ""), ("tag", "1")];
        let (at, upper) = (format!("@{SHA}"), SHA.to_uppercase());
        for (digests, expected) in [
            (vec![("sha", &SHA[7..])], Ok(("tag", "sha"))),
            (vec![("sha", "")], Ok(("tag", "sha"))),
            (vec![("checksum", SHA)], Err(vec!["checksum"])),
            (vec![("checksum", &SHA[7..])], Err(vec!["checksum"])),
            (vec![("release", &SHA[7..])], Ok(("tag", ""))),
            (vec![("hash", at.as_str())], Err(vec!["hash"])),
            (vec![("digest", upper.as_str())], Err(vec!["digest"])),
            (vec![("digest", ""), ("sha", SHA)], Ok(("tag", "sha"))),
            (
                vec![("digest", SHA), ("sha", SHA)],
                Err(vec!["digest", "sha"]),
            ),
        ] {
            let keys = [image.as_slice(), &digests].concat();
            assert_eq!(chosen(&keys), expected, "{keys:?}");
        }
    }

    #[test]
    fn collections_are_no_parts() {
        let siblings = ["image", "tag"].map(|key| Sibling {
            key,
            value: SiblingValue::Collection,
        });
        assert_eq!(choose(&siblings, 0, &|_| true), (Chosen::default(), None));
    }
}
