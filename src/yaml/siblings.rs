//! Which keys of a mapping belong to the image that one of them names (pure).
//!
//! A reference is never written half: where a value is a repository without a tag, the rest of the reference may stand
//! beside it, under a name that nobody could list.

use std::collections::HashMap;

use super::key_name::{KeyName, Role, has_word};
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
    /// One of these may hold the tag, by no word that it shares with the key of the image.
    OtherTags(Vec<usize>),
    /// Each of these may hold the digest.
    Digests(Vec<usize>),
    /// It holds a digest, and its name does not say that it is the image's.
    OtherDigest(usize),
    /// By its name it holds the tag or the digest, and it is a list or a mapping.
    Collection(usize),
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
    let Candidates {
        mut registries,
        tags,
        mut digests,
        strange,
        collections,
        doubtful,
    } = Candidates::of(siblings, &names, image, is_own_tag);
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
    let in_collection = collections
        .into_iter()
        .find(|index| match names[*index].role {
            Role::Tag => tags.is_empty(),
            Role::Digest => digests.is_empty(),
            _ => false,
        });
    let doubt = if tags.len() > 1 || is_shared {
        Some(Doubt::Tags(tags))
    } else if digests.len() > 1 {
        Some(Doubt::Digests(digests))
    } else if let Some(other) = strange.first() {
        Some(Doubt::OtherDigest(*other))
    } else if !doubtful.is_empty() && digests.is_empty() {
        Some(Doubt::OtherTags(doubtful))
    } else {
        in_collection.map(Doubt::Collection)
    };
    (chosen, doubt)
}

/// The indices of the keys that may belong to an image, by what they may be.
#[derive(Default)]
struct Candidates {
    registries: Vec<usize>,
    tags: Vec<usize>,
    digests: Vec<usize>,
    /// Digests under other names.
    strange: Vec<usize>,
    /// Lists and mappings.
    collections: Vec<usize>,
    /// Tags of something that the image's key does not name, where nothing else is its tag.
    doubtful: Vec<usize>,
}

impl Candidates {
    fn of(
        siblings: &[Sibling<'_>],
        names: &[KeyName],
        image: usize,
        is_own_tag: &dyn Fn(&str) -> bool,
    ) -> Self {
        let stem = names[image].stem.as_str();
        // `sideTag` beside `sideImage` is not the tag of `jobImage`.
        let mut images: HashMap<&str, usize> = HashMap::new();
        for (index, name) in names.iter().enumerate() {
            if name.role == Role::Image && index != image {
                *images.entry(name.stem.as_str()).or_default() += 1;
            }
        }
        let is_of_other_image = |index: usize| {
            let name = &names[index];
            let own = usize::from(name.role == Role::Image);
            let count = images.get(name.stem.as_str()).copied().unwrap_or_default();
            name.stem != stem && count > own
        };
        let is_whole = has_tag(siblings[image].value);
        // `sha256` beside a whole reference may be the checksum of a file that lies beside it.
        let is_checksum = |index: usize, text: &str| {
            is_whole && !text.is_empty() && is_bare_hash(siblings[index].key)
        };
        let mut found = Self::default();
        let mut other_tags = Vec::new();
        for (index, (sibling, name)) in siblings.iter().zip(names).enumerate() {
            if index == image || name.is_of_other || is_of_other_image(index) {
                continue;
            }
            let is_named = (name.stem == stem || name.stem.is_empty()) && !name.is_plural;
            let text = match sibling.value {
                SiblingValue::Text(text) => text,
                SiblingValue::Template => "",
                SiblingValue::Collection => {
                    found.collections.extend(is_named.then_some(index));
                    continue;
                }
            };
            let is_digest = is_digest(text);
            match name.role {
                Role::Registry if is_named => found.registries.push(index),
                Role::Tag | Role::Version if is_named && !is_digest => found.tags.push(index),
                // `sha` is the digest in some charts and the commit, as the tag, in others.
                Role::Digest if is_named && is_digest && is_checksum(index, text) => {
                    found.strange.push(index);
                }
                Role::Digest if is_named && (text.is_empty() || is_digest) => {
                    found.digests.push(index);
                }
                // What overrides the tag is one, too.
                Role::Tag if is_override(name, stem) && !text.is_empty() => found.tags.push(index),
                _ if is_strange_digest(name, text) => found.strange.push(index),
                Role::Digest if is_named => found.tags.push(index),
                Role::Tag | Role::Version if is_named => found.digests.push(index),
                _ if is_own_tag(text) => found.tags.push(index),
                Role::Tag if !name.is_plural && !text.is_empty() => other_tags.push(index),
                _ => {}
            }
        }
        // A whole reference has its own.
        if found.tags.is_empty() && !is_whole {
            found.doubtful = other_tags;
        }
        found
    }
}

/// The versions of other things beside an image that look like tags of that image: they are not its tag, by their names.
pub(super) fn own_tags_of_others(
    siblings: &[Sibling<'_>],
    image: usize,
    is_own_tag: &dyn Fn(&str) -> bool,
) -> Vec<usize> {
    let is_one = |index: &usize| match siblings[*index].value {
        SiblingValue::Text(text) if *index != image => {
            let key = siblings[*index].key;
            has_word(key, "version") && is_own_tag(text) && KeyName::of(key).is_of_other
        }
        _ => false,
    };
    (0..siblings.len()).filter(is_one).collect()
}

/// The keys that say what is added to the tag of an image, and hold something: `tagSuffix`, `jobTagPrefix`. `tag` is what
/// holds the tag itself.
pub(super) fn affixes(siblings: &[Sibling<'_>], image: usize, tag: Option<usize>) -> Vec<usize> {
    const ENDINGS: &[&str] = &["suffix", "prefix", "postfix"];
    let added_to = |key: &str| {
        let key = key.to_ascii_lowercase();
        let ending = ENDINGS.iter().find(|ending| key.ends_with(**ending))?;
        Some(key.len() - ending.len())
    };
    let is_one = |index: &usize| {
        let sibling = &siblings[*index];
        let Some(end) = added_to(sibling.key).filter(|_| sibling.value != SiblingValue::Text(""))
        else {
            return false;
        };
        let name = KeyName::of(&sibling.key[..end]);
        let of_tag = match name.role {
            Role::Tag => true,
            // A version of its own may have one, too.
            Role::Version => {
                let tag = tag.map(|tag| KeyName::of(siblings[tag].key).role);
                tag == Some(Role::Version) && !name.is_of_other
            }
            _ => false,
        };
        let is_own = || name.stem.is_empty() || name.stem == KeyName::of(siblings[image].key).stem;
        of_tag && !name.is_plural && is_own()
    };
    (0..siblings.len()).filter(is_one).collect()
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

/// Whether a value is a reference with a tag.
fn has_tag(value: SiblingValue<'_>) -> bool {
    let last = match value {
        SiblingValue::Text(text) => text.rsplit('/').next(),
        SiblingValue::Template | SiblingValue::Collection => None,
    };
    last.is_some_and(|last| last.contains(':'))
}

/// Whether a key says that it overrides the tag of the image with this stem: `tagOverride`.
fn is_override(name: &KeyName, stem: &str) -> bool {
    let of = name.stem.strip_suffix("override");
    of.is_some_and(|of| of.is_empty() || of.trim_end_matches('_') == stem)
}

/// Whether a key says that it holds a hash, and not of what.
fn is_bare_hash(key: &str) -> bool {
    matches!(
        key.to_ascii_lowercase().as_str(),
        "sha" | "sha256" | "sha512"
    )
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
            (
                _,
                Some(Doubt::Tags(indices) | Doubt::OtherTags(indices) | Doubt::Digests(indices)),
            ) => Err(indices.into_iter().map(|index| keys[index].0).collect()),
            (_, Some(Doubt::OtherDigest(index) | Doubt::Collection(index))) => {
                Err(vec![keys[index].0])
            }
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
            (vec![("imageChecksum", SHA)], Err(vec!["imageChecksum"])),
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
    fn a_collection_that_may_hold_a_part_is_told() {
        let text = |key| Sibling {
            key,
            value: SiblingValue::Text("1"),
        };
        let collection = |key| Sibling {
            key,
            value: SiblingValue::Collection,
        };
        for (siblings, doubt) in [
            (vec![text("image"), collection("tag")], Some(1)),
            (vec![text("jobImage"), collection("jobDigest")], Some(1)),
            (
                vec![text("image"), collection("tag"), text("imageTag")],
                None,
            ),
            (vec![text("image"), collection("tags")], None),
            (vec![text("image"), collection("version")], None),
            (vec![text("image"), collection("sideTag")], None),
            (vec![text("image"), collection("labels")], None),
        ] {
            let (_, found) = choose(&siblings, 0, &|_| false);
            assert_eq!(found, doubt.map(Doubt::Collection), "{siblings:?}");
        }
    }

    #[test]
    fn what_is_added_to_a_tag_is_known_by_its_key() {
        let text = |key, text| (key, SiblingValue::Text(text));
        for (siblings, expected) in [
            (vec![text("tag", "1"), text("tagSuffix", "-slim")], vec![2]),
            (vec![text("tag", "1"), text("tagSuffix", "")], vec![]),
            (
                vec![text("jobTag", "1"), text("JOB_TAG_PREFIX", "v")],
                vec![2],
            ),
            (
                vec![text("tag", "1"), text("imagetagpostfix", "v")],
                vec![2],
            ),
            (
                vec![text("tag", "1"), ("tag-suffix", SiblingValue::Template)],
                vec![2],
            ),
            (
                vec![text("version", "1"), text("versionSuffix", "v")],
                vec![2],
            ),
            (vec![text("tag", "1"), text("versionSuffix", "v")], vec![]),
            (vec![text("tag", "1"), text("sideTagSuffix", "v")], vec![]),
            (vec![text("tag", "1"), text("tagsPrefix", "v")], vec![]),
            (vec![text("tag", "1"), text("nameSuffix", "v")], vec![]),
            (vec![text("tag", "1"), text("suffix", "v")], vec![]),
        ] {
            let mut all = vec![Sibling {
                key: "jobImage",
                value: SiblingValue::Text("own"),
            }];
            all.extend(
                siblings
                    .iter()
                    .map(|(key, value)| Sibling { key, value: *value }),
            );
            assert_eq!(affixes(&all, 0, Some(1)), expected, "{siblings:?}");
        }
    }

    #[test]
    fn versions_of_others_are_known_by_the_form_of_their_values() {
        let siblings = [
            ("image", "own"),
            ("appVersion", "own"),
            ("sparkVersion", "4.1"),
            ("tag", "own"),
            ("build", "own"),
        ];
        let siblings = siblings.map(|(key, value)| Sibling {
            key,
            value: SiblingValue::Text(value),
        });
        assert_eq!(own_tags_of_others(&siblings, 0, &|tag| tag == "own"), [1]);
    }
}
