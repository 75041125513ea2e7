//! Images of the project whose names or versions stand in more values than can be rewritten.

use super::{
    document::{Group, GroupForm, NodeId},
    groups::{OurImage, is_for_all},
    image_place::Scalar,
    key_name::{KeyName, Role},
    located::ApartImage,
    path::key_path,
    siblings::{Chosen, Doubt, SiblingValue, choose, is_digest, own_tags_of_others},
    stray::{Stray, StrayKind},
    view::{FollowedEntry, Trail},
    walk::Walk,
};
use crate::{
    image::Repository,
    project::{Mention, Tail},
};

/// What stands before the end of a repository.
struct Head {
    repository: Repository,
    /// The one value that it stands in; `None` if there are several.
    registry: Option<Scalar>,
}

impl<'d, 't> Walk<'d, 't> {
    /// Adds the image that a value names behind a scheme: `oci://HOST/PATH`. It is no reference of a container, so that
    /// nothing is rewritten, and its tag or digest is told. Returns whether it names one.
    pub(super) fn with_scheme(&mut self, image: &OurImage<'_, 'd, 't>, text: &str) -> bool {
        let Some((_, name)) = text.split_once("://") else {
            return false;
        };
        let (repository, is_bare) = match self.rules.matcher.mention(name) {
            Some(Mention::Bare(repository)) => (repository, true),
            Some(Mention::Whole(reference)) => (reference.repository, false),
            Some(Mention::Path(_)) | None => return false,
        };
        let chosen = self.choose(image, &repository);
        let parts = [chosen.0.tag.filter(|_| is_bare), chosen.0.digest];
        if !is_bare {
            self.stray_digests(image, &repository, &chosen);
            return true;
        }
        let parts = parts.into_iter().filter_map(|index| image.written(index));
        let parts = parts.map(|index| self.scalar_of(image, index));
        let mut tags: Vec<_> = parts
            .filter(|scalar| !scalar.is_template)
            .map(|scalar| (scalar.place, scalar.value))
            .collect();
        let name = self.scalar_of(image, image.index);
        if tags.is_empty() {
            tags = self.far_tags(&name);
        }
        let span = name.span;
        self.found.located.apart.push(ApartImage { span, tags });
        true
    }

    /// Adds the image whose name stands in several values: its path, or the end of it, and elsewhere what comes before
    /// that. Returns whether there is one.
    pub(super) fn named_in_parts(&mut self, image: &OurImage<'_, 'd, 't>, text: &str) -> bool {
        let matcher = self.rules.matcher;
        let Some(tail) = matcher.tail(text) else {
            return false;
        };
        let is_path = matches!(matcher.mention(tail.path), Some(Mention::Path(_)));
        let is_image = image.name(image.index).role == Role::Image;
        let Some(head) = self.head(image, tail.path, is_path || is_image) else {
            return self.without_registry(image, &tail);
        };
        let repository = &head.repository;
        self.stray_versions(image, repository);
        let chosen = self.choose(image, repository);
        let is_clear = is_path || is_image;
        let registry = head.registry.filter(|_| is_clear);
        let has_version = chosen.0.tag.is_some() || chosen.0.digest.is_some() || chosen.1.is_some();
        match registry {
            // A tag within a repository is one too many.
            Some(registry) if !tail.version.is_empty() && !image.is_repository() => {
                self.whole(image, repository, chosen, Some(registry));
            }
            Some(registry) if is_path || has_version || !tail.version.is_empty() => {
                self.bare(image, chosen, Some(registry));
            }
            _ => self.stray_parts(image, repository, tail, &chosen),
        }
        true
    }

    /// Tells the tags and the digests of the images that the keys of a group name: `HOST/PATH: TAG`.
    pub(super) fn named_by_keys(&mut self, group: &Group<'t>, entries: &[FollowedEntry<'d, 't>]) {
        if group.form != GroupForm::Mapping {
            return;
        }
        let is_about_tags = matches!(
            KeyName::of(&group.path).role,
            Role::Tag | Role::Version | Role::Digest | Role::Image
        );
        for entry in entries {
            let key = &entry.entry.key;
            let mention = key.contains('/').then(|| self.rules.matcher.mention(key));
            let Some(Mention::Bare(repository)) = mention.flatten() else {
                continue;
            };
            let below = format!("{}.", key_path(&group.path, key));
            let tags = self.view.document.tags_behind(entry.node);
            let tags = tags.take_while(|(path, _)| path.starts_with(&below));
            let tags = tags.filter(|(path, _)| !KeyName::of(&path[below.len()..]).is_of_other);
            let mut versions: Vec<Scalar> = tags
                .map(|(path, node)| self.view.scalar(*node, Trail::at(path)))
                .collect();
            let own = self.view.scalar(entry.node, entry.trail.clone());
            let is_own = self.rules.matcher.is_own_tag(&repository, &own.value);
            if own.other_type.is_none() && (is_own || is_digest(&own.value) || is_about_tags) {
                versions.push(own);
            }
            let versions = versions.into_iter().filter(|scalar| !scalar.is_template);
            self.found.located.apart.push(ApartImage {
                span: entry.entry.key_spot.range(),
                tags: versions
                    .map(|scalar| (scalar.place, scalar.value))
                    .collect(),
            });
        }
    }

    /// What stands before the end of a repository: beside it, or elsewhere in the document, as `global.imageRegistry`
    /// does.
    fn head(&self, image: &OurImage<'_, 'd, 't>, path: &str, is_image: bool) -> Option<Head> {
        // A name that is no image's counts only where nothing else is one.
        let is_meant = |heads: &[usize]| {
            let mut others = (0..image.siblings.len()).filter(|index| *index != image.index);
            is_image
                || others
                    .all(|index| heads.contains(&index) || image.name(index).role != Role::Image)
        };
        // The registry does not depend on what the tags look like.
        let (chosen, _) = choose(image.siblings, image.index, &|_| false);
        let named = chosen.registry.map(|index| self.scalar_of(image, index));
        let is_empty = |registry: &Scalar| registry.value.is_empty() || registry.value == "~";
        let is_unnamed = named.as_ref().is_none_or(is_empty);
        if let Some(head) = named.and_then(|registry| self.head_in(registry, path)) {
            let heads: Vec<usize> = chosen.registry.into_iter().collect();
            return is_meant(&heads).then_some(head);
        }
        let heads: Vec<usize> = texts(image)
            .filter(|(_, text)| self.joined(text, path).is_some())
            .map(|(index, _)| index)
            .collect();
        if let [index, rest @ ..] = heads.as_slice() {
            let head = self.head_in(self.scalar_of(image, *index), path)?;
            let registry = head.registry.filter(|_| rest.is_empty());
            return is_meant(&heads).then_some(Head { registry, ..head });
        }
        if image.name(image.index).role == Role::Image {
            // Bitnami's `global.imageRegistry` comes before what each image says.
            let is_before = |path: &str| path.ends_with("global.imageRegistry");
            let hosts = self.hosts();
            let hosts = hosts.filter(|(path, _)| is_unnamed || is_before(path));
            let mut hosts = hosts.map(|(path, node)| self.view.scalar(node, Trail::at(path)));
            if let Some(head) = hosts.find_map(|registry| self.head_in(registry, path)) {
                return Some(head);
            }
        }
        let (repository, heads) = self.head_of_two(image, path)?;
        is_meant(&heads).then_some(Head {
            repository,
            registry: None,
        })
    }

    /// Tells the tag of an image whose registry is a value beside it that an expression fills in, or is none.
    fn without_registry(&mut self, image: &OurImage<'_, 'd, 't>, tail: &Tail<'_>) -> bool {
        let (chosen, _) = choose(image.siblings, image.index, &|_| false);
        let registry = chosen.registry.map(|index| image.siblings[index].value);
        let is_filled_in = registry.is_some_and(|registry| match registry {
            SiblingValue::Text(text) => text.is_empty() || text.contains("://"),
            SiblingValue::Template => true,
            SiblingValue::Collection => false,
        });
        is_filled_in && self.with_path(image, *tail)
    }

    /// Tells the tag of an image behind whose registry, an expression, stands this.
    pub(super) fn with_registry_filled_in(&mut self, image: &OurImage<'_, 'd, 't>, path: &str) {
        if let Some(tail) = self.rules.matcher.tail(path) {
            self.with_path(image, tail);
        }
    }

    /// Tells the tag of an image of which only the path is known, if it has the form of the project's own, and the digest.
    fn with_path(&mut self, image: &OurImage<'_, 'd, 't>, tail: Tail<'_>) -> bool {
        let Some(repository) = self.rules.matcher.with_path(tail.path) else {
            return false;
        };
        let chosen = self.choose(image, repository);
        let is_own = |tag: &str| self.rules.matcher.is_own_tag(repository, tag);
        let beside = chosen.0.tag.map(|tag| image.siblings[tag].value);
        let is_ours = is_own(tail.version.trim_start_matches(':'))
            || matches!(beside, Some(SiblingValue::Text(tag)) if is_own(tag))
            || tail.version.starts_with('@');
        if is_ours {
            self.stray_parts(image, repository, tail, &chosen);
        }
        is_ours
    }

    /// The hosts in the document that are those of all images.
    fn hosts(&self) -> impl Iterator<Item = (&'d str, NodeId)> {
        let hosts = self.view.document.hosts.iter();
        let hosts = hosts.filter(|(path, _)| is_for_all(path));
        hosts.map(|(path, node)| (path.as_str(), *node))
    }

    /// The repository of the project that a beginning and an end are together.
    fn joined(&self, head: &str, path: &str) -> Option<Repository> {
        let head = head.trim_end_matches('/');
        let repository = format!("{head}/{path}").parse::<Repository>().ok();
        repository.filter(|repository| self.rules.matcher.has(repository))
    }

    fn head_in(&self, registry: Scalar, path: &str) -> Option<Head> {
        let repository = self.joined(&registry.value, path)?;
        Some(Head {
            repository,
            registry: Some(registry),
        })
    }

    /// The repository whose beginning stands in two values, and the indices of those that stand beside its end.
    fn head_of_two(
        &self,
        image: &OurImage<'_, 'd, 't>,
        path: &str,
    ) -> Option<(Repository, Vec<usize>)> {
        let firsts = texts(image).filter(|(_, text)| self.rules.matcher.is_head(text));
        let firsts = firsts.map(|(index, text)| (Some(index), text));
        let far = self.hosts().find_map(|(_, node)| self.view.string(node));
        let mut firsts = firsts.chain(far.map(|text| (None, text)));
        firsts.find_map(|(first, host)| {
            let host = host.trim_end_matches('/');
            texts(image).find_map(|(second, text)| {
                let repository = self.joined(&format!("{host}/{text}"), path)?;
                Some((repository, first.into_iter().chain([second]).collect()))
            })
        })
    }

    /// Tells the tag and the digest of an image whose name cannot be rewritten.
    fn stray_parts(
        &mut self,
        image: &OurImage<'_, 'd, 't>,
        repository: &Repository,
        tail: Tail<'_>,
        chosen: &(Chosen, Option<Doubt>),
    ) {
        let name = self.scalar_of(image, image.index);
        let (tag, digest) = tail.version.split_once('@').unwrap_or((tail.version, ""));
        let own = [
            (StrayKind::Tag, tag.trim_start_matches(':')),
            (StrayKind::Digest, digest),
        ];
        let mut strays: Vec<(StrayKind, Scalar)> = own
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(kind, value)| {
                let value = value.to_owned();
                (
                    kind,
                    Scalar {
                        value,
                        ..name.clone()
                    },
                )
            })
            .collect();
        let tags = match &chosen.1 {
            Some(Doubt::Tags(tags)) => tags.clone(),
            _ => chosen.0.tag.into_iter().collect(),
        };
        if strays.is_empty() {
            let tags = tags.into_iter().filter_map(|tag| image.written(Some(tag)));
            strays.extend(tags.map(|tag| (StrayKind::Tag, self.scalar_of(image, tag))));
        }
        let is_alone = strays.is_empty() && image.written(chosen.0.digest).is_none();
        if is_alone && image.name(image.index).role == Role::Image {
            let value = repository.to_string();
            strays.push((StrayKind::Repository, Scalar { value, ..name }));
        }
        for (kind, scalar) in strays {
            self.add_stray(kind, repository, scalar);
        }
        self.stray_digests(image, repository, chosen);
    }

    /// Tells the digests beside an image that is not rewritten: they win over its tag.
    pub(super) fn stray_digests(
        &mut self,
        image: &OurImage<'_, 'd, 't>,
        repository: &Repository,
        (chosen, doubt): &(Chosen, Option<Doubt>),
    ) {
        let digests = match doubt {
            Some(Doubt::Digests(digests)) => digests.clone(),
            Some(doubt @ Doubt::OtherDigest(digest)) if image.is_about_digest(doubt) => {
                vec![*digest]
            }
            _ => chosen.digest.into_iter().collect(),
        };
        for digest in digests {
            if image.written(Some(digest)).is_some() {
                let scalar = self.scalar_of(image, digest);
                self.add_stray(StrayKind::Digest, repository, scalar);
            }
        }
    }

    /// Tells the versions of other things beside an image that look like its tags.
    pub(super) fn stray_versions(&mut self, image: &OurImage<'_, 'd, 't>, repository: &Repository) {
        let is_own_tag = |tag: &str| self.rules.matcher.is_own_tag(repository, tag);
        for version in own_tags_of_others(image.siblings, image.index, &is_own_tag) {
            let scalar = self.scalar_of(image, version);
            self.add_stray(StrayKind::Version, repository, scalar);
        }
    }

    pub(super) fn add_stray(&mut self, kind: StrayKind, repository: &Repository, scalar: Scalar) {
        if scalar.is_template {
            return;
        }
        self.found.located.strays.push(Stray {
            kind,
            repository: repository.clone(),
            place: scalar.place,
            span: scalar.span,
            path: scalar.path,
            value: scalar.value,
        });
    }
}

/// The values beside an image that hold something, each with its index.
fn texts<'a>(image: &OurImage<'a, '_, '_>) -> impl Iterator<Item = (usize, &'a str)> {
    let at = image.index;
    let siblings = image.siblings.iter().enumerate();
    siblings.filter_map(move |(index, sibling)| match sibling.value {
        SiblingValue::Text(text) if index != at && !text.is_empty() => Some((index, text)),
        _ => None,
    })
}
