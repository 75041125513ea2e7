//! Which image of the project a reference names.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::template::{Names, ReferenceTemplate, TAG_DIGITS, TagPattern, UNBUILT, is_fingerprint};
use crate::image::{Reference, Repository};

/// The repositories of a project's images, under all its registries and its former prefixes.
#[derive(Clone, Debug, Default)]
pub struct ImageMatcher {
    by_repository: HashMap<Repository, RepositoryImages>,
    /// The repositories by their paths, without their registries.
    by_path: HashMap<String, Repository>,
    /// The last components of the paths.
    last_components: HashSet<String>,
    /// The ends of the paths, from a slash on: `team/job` and `job`.
    tails: HashSet<String>,
    /// The registries' hosts.
    hosts: BTreeSet<String>,
    /// What may stand before such an end: a host, alone or with the beginning of a path.
    heads: HashSet<String>,
}

/// The end of the path of one of the project's repositories: the rest may stand elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail<'t> {
    /// Without the slash before it.
    pub path: &'t str,
    /// The tag or the digest behind it, with what separates them.
    pub version: &'t str,
}

/// A text that names a repository of the project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mention {
    /// With a tag.
    Whole(Reference),
    /// Without a tag, perhaps with a digest.
    Bare(Repository),
    /// Only a repository's path: the registry may stand elsewhere.
    Path(String),
}

/// The longest text that is looked at: a reference with a tag and a digest is shorter.
const MENTION_LENGTH: usize = 512;

/// The images that lie in one repository. Only the tag tells them apart.
///
/// A repository may hold a thousand images, so a tag is looked up by its prefix and suffix instead of being compared
/// with each.
#[derive(Clone, Debug, Default)]
struct RepositoryImages {
    names: Vec<String>,
    /// The index in `names` of the image whose tags are nothing but the fingerprint.
    only: Option<usize>,
    /// The index in `names`, by the text before the fingerprint in the image's tags, then by the text after it.
    by_ends: HashMap<String, HashMap<String, usize>>,
}

impl RepositoryImages {
    fn add(&mut self, image: &str, pattern: TagPattern) {
        if self.names.last().is_some_and(|last| last == image) {
            return;
        }
        if pattern.tag_prefix.is_empty() && pattern.tag_suffix.is_empty() {
            self.only = self.only.or(Some(self.names.len()));
        }
        let behind = self.by_ends.entry(pattern.tag_prefix).or_default();
        behind.entry(pattern.tag_suffix).or_insert(self.names.len());
        self.names.push(image.to_owned());
    }

    fn name(&self, before: &str, behind: &str) -> Option<&str> {
        let index = self.by_ends.get(before)?.get(behind)?;
        Some(&self.names[*index])
    }

    /// The image whose tag this can be.
    ///
    /// An image with a repository of its own owns every tag in it. In a shared repository, `job-…` and `job-b-…` are
    /// told apart only because the fingerprint's place must hold 16 hex digits, or [`UNBUILT`] in a manifest that was
    /// never rewritten.
    fn of_tag(&self, tag: &str) -> Option<&str> {
        if let Some(only) = self.only {
            return Some(&self.names[only]);
        }
        [TAG_DIGITS, UNBUILT.len()].into_iter().find_map(|length| {
            (0..=tag.len().checked_sub(length)?).find_map(|start| {
                let (before, rest) = tag.split_at_checked(start)?;
                let (middle, behind) = rest.split_at_checked(length)?;
                is_fingerprint(middle).then(|| self.name(before, behind))?
            })
        })
    }

    /// The image whose tags have the prefix and suffix of this one. The longest prefix and suffix win: `job-b` over
    /// `job`.
    fn resembling(&self, tag: &str) -> Option<&str> {
        let mut nearest = None;
        for (start, _) in tag.char_indices() {
            let (before, rest) = tag.split_at(start);
            let Some(by_behind) = self.by_ends.get(before) else {
                continue;
            };
            let ends = rest.char_indices().map(|(at, _)| &rest[at..]);
            let longest = ends.chain([""]).find_map(|behind| {
                let index = by_behind.get(behind)?;
                Some((before.len() + behind.len(), *index))
            });
            nearest = nearest.max(longest);
        }
        nearest.map(|(_, index)| self.names[index].as_str())
    }
}

impl ImageMatcher {
    /// The matcher for the images of a project under all of `prefixes`.
    #[must_use]
    pub fn of<'a>(
        project: &str,
        prefixes: impl IntoIterator<Item = &'a String, IntoIter: Clone>,
        images: impl IntoIterator<Item = &'a String>,
        template: &ReferenceTemplate,
    ) -> Self {
        let prefixes = prefixes.into_iter();
        let mut by_repository: HashMap<Repository, RepositoryImages> = HashMap::new();
        for image in images {
            for registry in prefixes.clone() {
                let names = Names {
                    registry,
                    project,
                    image,
                };
                let Ok(pattern) = template.tag_pattern(names) else {
                    continue;
                };
                let images = by_repository.entry(pattern.repository.clone());
                images.or_default().add(image, pattern);
            }
        }
        // Those of one path differ in their registries alone.
        let mut sorted: Vec<&Repository> = by_repository.keys().collect();
        sorted.sort_by_key(ToString::to_string);
        let by_path: HashMap<String, Repository> = sorted
            .into_iter()
            .map(|repository| (repository.path.clone(), repository.clone()))
            .collect();
        let last = |path: &String| path.rsplit('/').next().map(str::to_owned);
        let names: Vec<String> = by_repository.keys().map(ToString::to_string).collect();
        let slashes = names
            .iter()
            .flat_map(|name| name.match_indices('/').map(move |(at, _)| (name, at)));
        let (heads, tails) = slashes
            .map(|(name, at)| (name[..at].to_owned(), name[at + 1..].to_owned()))
            .unzip();
        Self {
            heads,
            tails,
            last_components: by_path.keys().filter_map(last).collect(),
            hosts: by_repository
                .keys()
                .map(|repository| repository.registry.clone())
                .collect(),
            by_path,
            by_repository,
        }
    }

    /// Whether a text may be a [`Mention`]: a quick test, which most texts fail.
    #[must_use]
    pub fn may_name(&self, text: &str) -> bool {
        if text.len() > MENTION_LENGTH || self.last_components.is_empty() {
            return false;
        }
        let last = text.split('@').next().unwrap_or_default();
        let last = last.rsplit('/').next().unwrap_or_default();
        let last = last.split(':').next().unwrap_or_default().trim_end();
        self.last_components.contains(last)
    }

    /// Whether a text is the beginning of one of the project's repositories: a host, alone or with folders behind it.
    #[must_use]
    pub fn is_head(&self, text: &str) -> bool {
        self.hosts
            .iter()
            .any(|host| text.starts_with(host.as_str()))
            && self.heads.contains(text.trim_end_matches('/'))
    }

    /// The end of a repository's path that a text is, perhaps with a tag or a digest.
    #[must_use]
    pub fn tail<'t>(&self, text: &'t str) -> Option<Tail<'t>> {
        if !self.may_name(text) {
            return None;
        }
        let text = text.trim_start_matches('/');
        let (path, version) = text.split_at(text.find([':', '@']).unwrap_or(text.len()));
        self.tails.contains(path).then_some(Tail { path, version })
    }

    /// The repository of the project that a text names, with a tag or without.
    #[must_use]
    pub fn mention(&self, text: &str) -> Option<Mention> {
        if !self.may_name(text) {
            return None;
        }
        if let Some(reference) = self.reference(text) {
            return Some(match reference.tag {
                Some(_) => Mention::Whole(reference),
                None => Mention::Bare(reference.repository),
            });
        }
        let path = text.trim_start_matches('/');
        self.by_path
            .contains_key(path)
            .then(|| Mention::Path(path.to_owned()))
    }

    /// The repository whose path a text is, under one of the registries.
    #[must_use]
    pub fn with_path(&self, path: &str) -> Option<&Repository> {
        self.by_path.get(path)
    }

    /// The image that a text means although it is no reference: behind a repository of the project stands something
    /// that is neither a tag nor a digest.
    #[must_use]
    pub fn broken(&self, text: &str) -> Option<&str> {
        if !self.may_name(text) || self.reference(text).is_some() {
            return None;
        }
        let last = text.rfind('/')? + 1;
        let end = last + text[last..].find([':', '@'])?;
        self.image(&text[..end].parse().ok()?, None)
    }

    /// A text as a reference, if its repository is one of the project.
    fn reference(&self, text: &str) -> Option<Reference> {
        let in_lower_case = || {
            let (name, digest) = text.split_once('@')?;
            format!("{name}@{}", digest.to_ascii_lowercase())
                .parse()
                .ok()
        };
        let parsed = text.parse::<Reference>().ok().or_else(in_lower_case);
        parsed.filter(|reference| self.has(&reference.repository))
    }

    /// Whether a tag has the form of the project's own tags in `repository`: a fingerprint, with what the project's
    /// references have around it.
    #[must_use]
    pub fn is_own_tag(&self, repository: &Repository, tag: &str) -> bool {
        let Some(images) = self.by_repository.get(repository) else {
            return false;
        };
        images.by_ends.iter().any(|(before, behind)| {
            let rest = tag.strip_prefix(before.as_str());
            rest.is_some_and(|rest| {
                behind.keys().any(|behind| {
                    let middle = rest.strip_suffix(behind.as_str());
                    middle.is_some_and(is_fingerprint)
                })
            })
        })
    }

    /// Whether an image of the project lies in `repository`.
    #[must_use]
    pub fn has(&self, repository: &Repository) -> bool {
        self.by_repository.contains_key(repository)
    }

    /// The image that lies in `repository`; if images share the repository, the one that `tag` belongs to.
    #[must_use]
    pub fn image(&self, repository: &Repository, tag: Option<&str>) -> Option<&str> {
        let images = self.by_repository.get(repository)?;
        match (tag, images.names.as_slice()) {
            (Some(tag), _) => images.of_tag(tag),
            (None, [only]) => Some(only),
            // In a shared repository nothing but the tag tells the images apart.
            (None, _) => None,
        }
    }

    /// The image that a reference names.
    #[must_use]
    pub fn named(&self, reference: &Reference) -> Option<&str> {
        self.image(&reference.repository, reference.tag.as_deref())
    }

    /// The image that a reference to a shared repository seems to mean, although its tag cannot be one of that image's
    /// tags.
    #[must_use]
    pub fn near_miss(&self, reference: &Reference) -> Option<&str> {
        if self.named(reference).is_some() {
            return None;
        }
        let images = self.by_repository.get(&reference.repository)?;
        images.resembling(reference.tag.as_deref()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The images of a project whose references are made by this template.
    fn matcher(template: &str, images: &[&str]) -> ImageMatcher {
        let images: Vec<String> = images.iter().map(ToString::to_string).collect();
        let prefixes = ["reg.example/now", "reg.example/before"].map(str::to_owned);
        let template = ReferenceTemplate::parse(template).unwrap();
        ImageMatcher::of("orders", &prefixes, &images, &template)
    }

    fn reference(text: &str) -> Reference {
        text.parse().unwrap()
    }

    #[test]
    fn a_repository_of_its_own_makes_every_tag_the_images() {
        let matcher = matcher("{registry}/{image}:{fingerprint}", &["base", "job"]);
        for (text, image) in [
            ("reg.example/now/job:e3b0c44298fc1c14", Some("job")),
            ("reg.example/before/base:v1", Some("base")),
            ("reg.example/now/job", Some("job")),
            ("reg.example/now/other:v1", None),
            ("reg.example/job:v1", None),
        ] {
            assert_eq!(matcher.named(&reference(text)), image, "{text}");
            assert_eq!(matcher.has(&reference(text).repository), image.is_some());
            assert_eq!(matcher.near_miss(&reference(text)), None, "{text}");
        }
    }

    #[test]
    fn a_repository_with_no_tag_behind_it_tells_whose_image_it_is() {
        let matcher = matcher("{registry}/{image}:{fingerprint}", &["base", "job"]);
        for (text, image) in [
            ("reg.example/now/job:v1@sha256:12", Some("job")),
            ("reg.example/now/job@sha256:12", Some("job")),
            ("reg.example/now/job@v1", Some("job")),
            ("reg.example/before/base::v1", Some("base")),
            ("reg.example/now/base:-v1", Some("base")),
            ("reg.example/now/base:a:b", Some("base")),
            ("reg.example/now/job:v1", None),
            ("reg.example/now/job", None),
            ("reg.example/now/other::v1", None),
            ("reg.example/now/job/x::v1", None),
            ("job::v1", None),
        ] {
            assert_eq!(matcher.broken(text), image, "{text}");
        }
    }

    #[test]
    fn images_of_one_repository_are_told_apart_by_their_tags() {
        let images = ["b-job", "job", "job-b"];
        for (template, tags) in [
            (
                "{registry}/spark:{image}-{fingerprint}",
                [
                    ("job-e3b0c44298fc1c14", Some("job"), None),
                    ("job-unbuilt", Some("job"), None),
                    ("job-b-e3b0c44298fc1c14", Some("job-b"), None),
                    ("job-b-v2", None, Some("job-b")),
                    ("job-v2", None, Some("job")),
                    ("job-E3B0C44298FC1C14", None, Some("job")),
                    ("e3b0c44298fc1c14", None, None),
                    ("job", None, None),
                ],
            ),
            (
                "reg.example/spark:v1.{fingerprint}-{image}",
                [
                    ("v1.e3b0c44298fc1c14-job", Some("job"), None),
                    ("v1.unbuilt-job", Some("job"), None),
                    ("v1.e3b0c44298fc1c14-b-job", Some("b-job"), None),
                    ("v1.2-b-job", None, Some("b-job")),
                    ("v1.-job", None, Some("job")),
                    ("v1.e3b0c44298fc1c1-job-b", None, Some("job-b")),
                    ("e3b0c44298fc1c14-job", None, None),
                    ("v1.", None, None),
                ],
            ),
        ] {
            let matcher = matcher(template, &images);
            let repository = template.split_once(':').unwrap().0;
            let repository = repository.replace("{registry}", "reg.example/before");
            for (tag, named, near) in tags {
                let reference = reference(&format!("{repository}:{tag}"));
                assert_eq!(matcher.named(&reference), named, "{reference}");
                assert_eq!(matcher.near_miss(&reference), near, "{reference}");
            }
            assert_eq!(matcher.named(&reference(&repository)), None);
        }
    }

    #[test]
    fn repositories_are_known_by_their_beginnings_and_ends() {
        let matcher = matcher("{registry}/{image}:{fingerprint}", &["job", "a/b"]);
        for (text, is_head) in [
            ("reg.example", true),
            ("reg.example/now", true),
            ("reg.example/now/", true),
            ("reg.example/now/a", true),
            ("reg.example/now/job", false),
            ("reg.example/no", false),
            ("now", false),
            ("", false),
        ] {
            assert_eq!(matcher.is_head(text), is_head, "{text}");
        }
        for (text, tail) in [
            ("job", Some(("job", ""))),
            ("/now/job:old", Some(("now/job", ":old"))),
            ("b@sha256:0", Some(("b", "@sha256:0"))),
            ("a/b", Some(("a/b", ""))),
            ("a", None),
            ("ow/job", None),
            ("job/", None),
        ] {
            let found = matcher.tail(text).map(|tail| (tail.path, tail.version));
            assert_eq!(found, tail, "{text}");
        }
    }

    #[test]
    fn an_image_alone_in_a_shared_repository_needs_no_tag() {
        let matcher = matcher("reg.example/spark:{image}-{fingerprint}", &["job"]);
        assert_eq!(matcher.named(&reference("reg.example/spark")), Some("job"));
        assert_eq!(matcher.named(&reference("reg.example/spark:v1")), None);
    }
}
