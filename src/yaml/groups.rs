//! Images that a mapping names by several keys, or a list by several pairs, wherever they stand.

use std::borrow::Cow;

use super::{
    document::{EntryPath, Group, GroupForm, NodeBody, NodeId},
    image_place::{ImagePlace, ReferenceParts, Scalar, Unclear, UnclearPart},
    key_name::{KeyName, Role, has_word},
    keys::{CHART_VALUES, KUSTOMIZE_KEYS, PART_KEYS, TAG_SUFFIX, VALUES},
    located::ApartImage,
    places::ObjectKind,
    scalar,
    siblings::{Chosen, Doubt, Sibling, SiblingValue, affixes, choose},
    view::{FollowedEntry, Trail},
    walk::Walk,
};
use crate::{
    image::Repository,
    project::{Mention, place::Place},
};

/// The kind of a place that is found by its keys alone.
pub(super) const VALUES_KIND: &str = "values";

impl<'d, 't> Walk<'d, 't> {
    /// Adds the images that the groups of the document name and no rule of a kind has found.
    ///
    /// Images of others count only in documents of unknown kinds; the caller decides whose images they are.
    pub(super) fn groups(&mut self, root: NodeId) {
        let document = self.view.document;
        let mut entries = ["kind", "apiVersion"].into_iter();
        let is_mapping = matches!(document.node(root).body, NodeBody::Mapping(_));
        let is_object =
            !is_mapping || entries.any(|key| document.entries(root, key).next().is_some());
        let kind = self.known_kinds(root);
        let containers_below = kind.iter().find_map(|kind| kind.containers_below);
        for group in &document.groups {
            let is_chart = is_in_chart_values(&group.path);
            let is_known = !kind.is_empty() && !is_chart;
            let is_container =
                containers_below.is_some_and(|below| is_container_below(below, &group.path));
            let is_object = is_object && !is_chart && !is_container;
            let is_ours = group.may_be_ours && self.ours(group, is_object, is_known);
            if !is_ours && !is_known && group.form == GroupForm::Mapping {
                self.of_others(group, is_object);
            }
        }
        self.far_versions();
    }

    /// The entries of the table for the document's kind.
    fn known_kinds(&self, root: NodeId) -> Vec<&'static ObjectKind> {
        let text = |key: &str| {
            let entry = self.view.document.entries(root, key).next()?;
            self.view.string(entry.value)
        };
        let rules = text("apiVersion")
            .zip(text("kind"))
            .and_then(|(version, kind)| self.rules.kind(version, kind));
        rules
            .unwrap_or_default()
            .iter()
            .filter_map(|rule| rule.entry)
            .collect()
    }

    /// Adds the images of the project that a group names. Returns whether it names any.
    fn ours(&mut self, group: &'d Group<'t>, is_object: bool, is_known: bool) -> bool {
        let entries = self.view.entries(group);
        let texts: Vec<Option<Cow<'d, str>>> = entries
            .iter()
            .map(|entry| self.view.text_of(entry.node))
            .collect();
        let siblings: Vec<Sibling<'_>> = entries
            .iter()
            .zip(&texts)
            .map(|(entry, text)| Sibling {
                key: entry.key(group),
                value: match text {
                    // A chart's own version.
                    Some(_) if entry.entry.key == "version" && self.is_chart(group) => {
                        SiblingValue::Collection
                    }
                    Some(text) if scalar::holds_expression(text) => SiblingValue::Template,
                    Some(text) => SiblingValue::Text(text),
                    None if self.is_template(entry) => SiblingValue::Template,
                    None => SiblingValue::Collection,
                },
            })
            .collect();
        if let Some(parts) = self.kustomize_shape(&entries) {
            self.add_values(group, group.path.clone(), parts, &KUSTOMIZE_KEYS);
            let mut suffixes = entries.iter().zip(&texts);
            let suffix = suffixes
                .find(|(entry, text)| entry.entry.key == TAG_SUFFIX && text.as_deref() != Some(""));
            let suffix = suffix.map(|(entry, _)| self.view.scalar(entry.node, entry.trail.clone()));
            if let Some(place) = self.found.located.places.last_mut() {
                place.affixes.extend(suffix);
            }
            return true;
        }
        let mut is_ours = false;
        for (index, text) in texts.iter().enumerate() {
            let may_name = |text: &&str| self.rules.matcher.may_name(text);
            let Some(text) = text.as_deref().filter(may_name) else {
                continue;
            };
            let start = self.view.document.node(entries[index].node).spot.start;
            let image = OurImage {
                group,
                entries: &entries,
                siblings: &siblings,
                index,
                is_configured: self.configured.contains(&start),
                is_object,
                is_known,
            };
            is_ours |= self.named_by(&image, text);
        }
        self.named_by_keys(group, &entries);
        is_ours
    }

    /// Adds the image that a value names. Returns whether it names one of the project.
    fn named_by(&mut self, image: &OurImage<'_, 'd, 't>, text: &str) -> bool {
        let mention = self.rules.matcher.mention(text);
        let start = self.view.document.node(image.entries[image.index].node);
        if self.ruled.contains(&start.spot.start) {
            let repository = match &mention {
                Some(Mention::Whole(reference)) => Some(reference.repository.clone()),
                Some(Mention::Bare(repository)) => Some(repository.clone()),
                Some(Mention::Path(_)) | None => self.before_expression(text),
            };
            if let Some(repository) = repository {
                self.beside_ruled(image, &repository);
            }
            return mention.is_some();
        }
        match mention {
            Some(Mention::Whole(reference)) => {
                self.image_of_group(image, &reference.repository, true);
            }
            Some(Mention::Bare(repository)) => self.image_of_group(image, &repository, false),
            _ if scalar::holds_expression(text) => {
                if let Some(repository) = self.before_expression(text) {
                    let chosen = self.choose(image, &repository);
                    self.stray_digests(image, &repository, &chosen);
                } else if let Some(path) = scalar::behind_expression(text) {
                    self.with_registry_filled_in(image, path);
                }
                return false;
            }
            _ => return self.with_scheme(image, text) || self.named_in_parts(image, text),
        }
        true
    }

    /// The repository of the project at the beginning of a value that an expression ends.
    fn before_expression(&self, text: &str) -> Option<Repository> {
        let name = scalar::before_expression(text).trim_end_matches([':', '@']);
        match self.rules.matcher.mention(name)? {
            Mention::Bare(repository) => Some(repository),
            Mention::Whole(_) | Mention::Path(_) => None,
        }
    }

    pub(super) fn choose(
        &self,
        image: &OurImage<'_, 'd, 't>,
        repository: &Repository,
    ) -> (Chosen, Option<Doubt>) {
        choose(image.siblings, image.index, &|tag| {
            self.rules.matcher.is_own_tag(repository, tag)
        })
    }

    fn image_of_group(
        &mut self,
        image: &OurImage<'_, 'd, 't>,
        repository: &Repository,
        is_whole: bool,
    ) {
        self.stray_versions(image, repository);
        let chosen = self.choose(image, repository);
        // A tag within a repository is one too many.
        if is_whole && !image.is_repository() {
            self.whole(image, repository, chosen, None);
        } else {
            self.bare(image, chosen, None);
        }
    }

    /// Adds what stands beside an image at a place of its kind, where nothing but the image is read.
    fn beside_ruled(&mut self, image: &OurImage<'_, 'd, 't>, repository: &Repository) {
        self.stray_versions(image, repository);
        if !image.siblings.iter().any(|other| may_be_digest(other.key)) {
            return;
        }
        let (chosen, doubt) = self.choose(image, repository);
        let doubt = doubt.filter(|doubt| image.is_about_digest(doubt));
        let digest = image.literal(chosen.digest);
        if doubt.is_none() && digest.is_none() {
            return;
        }
        let entry = &image.entries[image.index];
        let start = self.view.document.node(entry.node).spot.start;
        let is_it = |place: &ImagePlace| {
            matches!(&place.parts, ReferenceParts::Reference(scalar) if scalar.span.start == start)
                && place.path == entry.trail.path
        };
        let first = self.first;
        let mut places = self.found.located.places[first..].iter();
        let Some(found) = places.position(is_it).map(|found| found + first) else {
            return;
        };
        let unclear = doubt.map(|doubt| self.unclear(image, &doubt));
        let digest = digest.map(|digest| self.scalar_of(image, digest));
        let twice = image.literal(chosen.digest).and_then(|digest| {
            let key = image.entries[digest].entry.key.as_ref();
            self.view.duplicate_of(image.group, &[key])
        });
        let place = &mut self.found.located.places[found];
        place.unclear = unclear;
        place.duplicate_key = twice;
        if let (Some(digest), ReferenceParts::Reference(reference)) = (digest, &place.parts) {
            place.parts = ReferenceParts::Beside {
                registry: None,
                reference: reference.clone(),
                digest: Some(digest),
            };
        }
    }

    /// Adds a whole reference, where it is known to be an image's place.
    pub(super) fn whole(
        &mut self,
        image: &OurImage<'_, 'd, 't>,
        repository: &Repository,
        (chosen, doubt): (Chosen, Option<Doubt>),
        registry: Option<Scalar>,
    ) {
        if registry.is_none() && !image.is_place_of_whole() {
            self.stray_digests(image, repository, &(chosen, doubt));
            return;
        }
        let reference = self.scalar_of(image, image.index);
        let digest = image.literal(chosen.digest);
        let digest = digest.map(|digest| self.scalar_of(image, digest));
        let parts = if registry.is_none() && digest.is_none() {
            ReferenceParts::Reference(reference)
        } else {
            ReferenceParts::Beside {
                registry,
                reference,
                digest,
            }
        };
        // Its tag is its own, whatever else looks like one.
        let is_of_tag = |doubt: &Doubt| match doubt {
            Doubt::Tags(_) | Doubt::OtherTags(_) => true,
            Doubt::Collection(index) => image.name(*index).role == Role::Tag,
            Doubt::Digests(_) | Doubt::OtherDigest(_) => false,
        };
        let doubt = doubt.filter(|doubt| !is_of_tag(doubt));
        let unclear = doubt.map(|doubt| self.unclear(image, &doubt));
        self.add_of_group(image, parts, unclear);
    }

    /// Adds a repository that has no tag, with what stands beside it.
    pub(super) fn bare(
        &mut self,
        image: &OurImage<'_, 'd, 't>,
        (chosen, doubt): (Chosen, Option<Doubt>),
        registry: Option<Scalar>,
    ) {
        let repository = self.scalar_of(image, image.index);
        let unclear = doubt.map(|doubt| self.unclear(image, &doubt));
        let Chosen { tag, digest, .. } = chosen;
        let key = image.siblings[image.index].key;
        let is_alone = tag.is_none() && digest.is_none() && unclear.is_none();
        let is_image = image.is_place_of_whole();
        let is_repository = key == "repository" && !image.is_known;
        // What others merge may get the rest of its reference there.
        let is_merged = !self.view.document.aliases(image.group.anchor).is_empty();
        if is_alone && is_image && !is_merged && registry.is_none() {
            self.add_of_group(image, ReferenceParts::Reference(repository), None);
            self.remember_others(image);
            self.remember_affixes(image, None);
            return;
        }
        let far_tags = if is_alone && !is_image {
            self.far_tags(&repository)
        } else {
            Vec::new()
        };
        if is_alone && !is_image && (is_merged || !is_repository || !far_tags.is_empty()) {
            self.found.located.apart.push(ApartImage {
                span: repository.span,
                tags: far_tags,
            });
            return;
        }
        let parts = ReferenceParts::Values {
            registry,
            repository,
            tag: tag.map(|tag| self.scalar_of(image, tag)),
            digest: digest.map(|digest| self.scalar_of(image, digest)),
        };
        self.add_of_group(image, parts, unclear);
        self.remember_affixes(image, tag);
        if tag.is_none() {
            self.remember_others(image);
        }
    }

    /// Keeps what is added to the tag of the image that was added last.
    fn remember_affixes(&mut self, image: &OurImage<'_, 'd, 't>, tag: Option<usize>) {
        let affixes = affixes(image.siblings, image.index, tag).into_iter();
        let affixes: Vec<Scalar> = affixes.map(|index| self.scalar_of(image, index)).collect();
        if let Some(place) = self.found.located.places.last_mut() {
            place.affixes = affixes;
        }
    }

    /// The values elsewhere in the document that may be the tag of an image, since their keys say the same on their way
    /// from the root: `images.job` and `tags.job`, `image.name` and `version`.
    pub(super) fn far_tags(&self, repository: &Scalar) -> Vec<(Place, String)> {
        let stem = KeyName::of(&repository.path).stem;
        let tags = self.view.document.tags.iter();
        let tags = tags.filter(|(path, _)| {
            let name = KeyName::of(path);
            name.stem == stem && !name.is_of_other && name.role != Role::Image
        });
        tags.filter_map(|(_, node)| {
            let text = self.view.text_of(*node)?;
            let spot = self.view.document.node(*node).spot;
            let is_told = !scalar::holds_expression(&text);
            is_told.then(|| (self.view.place(spot), text.into_owned()))
        })
        .collect()
    }

    /// Keeps what stands beside an image without a tag, since a mark may say that it is the tag.
    fn remember_others(&mut self, image: &OurImage<'_, 'd, 't>) {
        let others = (0..image.siblings.len()).filter(|index| {
            *index != image.index && matches!(image.siblings[*index].value, SiblingValue::Text(_))
        });
        let others: Vec<Scalar> = others.map(|index| self.scalar_of(image, index)).collect();
        if let Some(place) = self.found.located.places.last_mut() {
            place.others = others;
        }
    }

    fn add_of_group(
        &mut self,
        image: &OurImage<'_, 'd, 't>,
        parts: ReferenceParts,
        unclear: Option<Unclear>,
    ) {
        let is_reference = matches!(
            parts,
            ReferenceParts::Reference(_) | ReferenceParts::Beside { .. }
        );
        let path = if is_reference || image.group.form != GroupForm::Mapping {
            image.entries[image.index].trail.path.clone()
        } else {
            image.group.path.clone()
        };
        let starts: Vec<usize> = parts.scalars().map(|scalar| scalar.span.start).collect();
        let used = image
            .entries
            .iter()
            .filter(|entry| starts.contains(&self.view.document.node(entry.node).spot.start));
        let used: Vec<&str> = used.map(|entry| entry.entry.key.as_ref()).collect();
        self.add_values(image.group, path, parts, &used);
        if let Some(place) = self.found.located.places.last_mut() {
            place.unclear = unclear;
        }
    }

    fn add_values(
        &mut self,
        group: &Group<'t>,
        path: String,
        parts: ReferenceParts,
        used: &[&str],
    ) {
        self.add_place(VALUES_KIND, path, parts);
        if group.form == GroupForm::Mapping
            && let Some(place) = self.found.located.places.last_mut()
        {
            place.duplicate_key = self.view.duplicate_of(group, used);
        }
    }

    fn unclear(&self, image: &OurImage<'_, 'd, 't>, doubt: &Doubt) -> Unclear {
        let (what, indices) = match doubt {
            Doubt::Tags(indices) | Doubt::OtherTags(indices) => {
                (UnclearPart::Tag, indices.as_slice())
            }
            Doubt::Digests(indices) => (UnclearPart::Digest, indices.as_slice()),
            Doubt::OtherDigest(index) => (UnclearPart::OtherDigest, std::slice::from_ref(index)),
            Doubt::Collection(index) => (UnclearPart::Collection, std::slice::from_ref(index)),
        };
        let candidates = indices.iter().map(|index| self.scalar_of(image, *index));
        Unclear {
            what,
            candidates: candidates.collect(),
        }
    }

    pub(super) fn scalar_of(&self, image: &OurImage<'_, 'd, 't>, index: usize) -> Scalar {
        let entry = &image.entries[index];
        self.view.scalar(entry.node, entry.trail.clone())
    }

    /// Whether a group is what `Chart.yaml` says of a chart.
    fn is_chart(&self, group: &Group<'t>) -> bool {
        let name = self.view.file.file_name().and_then(|name| name.to_str());
        group.path.is_empty() && name.is_some_and(|name| name.eq_ignore_ascii_case("chart.yaml"))
    }

    fn is_template(&self, entry: &FollowedEntry<'d, 't>) -> bool {
        self.view
            .template(self.view.document.node(entry.node))
            .is_some()
    }

    /// An entry like those of kustomize's `images`, in an object of any kind, with an image of the project.
    fn kustomize_shape(&self, entries: &[FollowedEntry<'d, 't>]) -> Option<ReferenceParts> {
        let find = |key: &str| entries.iter().find(|entry| entry.entry.key == key);
        let scalar = |key: &str| {
            let entry = find(key)?;
            let is_scalar = matches!(
                self.view.document.node(entry.node).body,
                NodeBody::Scalar { .. }
            );
            is_scalar.then(|| self.view.scalar(entry.node, entry.trail.clone()))
        };
        let name = scalar("name")?;
        let (new_name, new_tag) = (scalar("newName"), scalar("newTag"));
        if new_name.is_none() && new_tag.is_none() || self.ruled.contains(&name.span.start) {
            return None;
        }
        let meant = new_name.as_ref().unwrap_or(&name);
        self.rules.matcher.mention(&meant.value)?;
        Some(ReferenceParts::Kustomize {
            name,
            new_name,
            new_tag,
            digest: scalar("digest"),
        })
    }

    /// Adds the image of others that a mapping names as Helm's values do.
    fn of_others(&mut self, group: &'d Group<'t>, is_object: bool) {
        let entries = self.view.entries(group);
        let is_wrapped = |entry: &FollowedEntry<'_, '_>| {
            entry.entry.path == EntryPath::Wrapped && PART_KEYS.contains(&entry.entry.key.as_ref())
        };
        if entries.iter().any(is_wrapped) {
            return;
        }
        let part = |key: &str| -> Option<(NodeId, Trail)> {
            let entry = entries.iter().find(|entry| entry.entry.key == key)?;
            Some((entry.node, entry.trail.clone()))
        };
        let base = Trail::at(&group.path);
        let at_base = |part: Option<(NodeId, Trail)>| {
            part.map(|(node, trail)| {
                (
                    node,
                    Trail {
                        path: base.path.clone(),
                        ..trail
                    },
                )
            })
        };
        let [image, registry, repository, tag, digest] = PART_KEYS.map(|key| at_base(part(key)));
        let is_name = tag.is_some() || digest.is_some();
        let name = image
            .clone()
            .filter(|image| is_name && self.view.is_name(image));
        let parts = if repository.is_none() && name.is_some() {
            let keys = ["registry", "image", "tag", "digest"];
            self.view
                .values([registry, name.clone(), tag, digest], keys)
        } else {
            self.view
                .values([registry, repository, tag, digest], VALUES)
        };
        let parts = parts.filter(|parts| !self.is_ruled(parts));
        if let Some(parts) = parts {
            self.add_values(group, group.path.clone(), parts, &PART_KEYS);
        }
        let image = image.filter(|_| !is_object && name.is_none());
        let image = image.map(|(image, trail)| {
            let (image, trail) = self.view.follow(image, trail.key("image"));
            (self.view.scalar(image, trail.clone()), trail.path)
        });
        if let Some((scalar, path)) =
            image.filter(|(scalar, _)| scalar.other_type.is_none() && !scalar.is_template)
        {
            self.add_values(group, path, ReferenceParts::Reference(scalar), &["image"]);
        }
    }

    fn is_ruled(&self, parts: &ReferenceParts) -> bool {
        parts
            .scalars()
            .any(|scalar| self.ruled.contains(&scalar.span.start))
    }
}

/// An image of the project among the entries of a group.
pub(super) struct OurImage<'a, 'd, 't> {
    pub(super) group: &'d Group<'t>,
    pub(super) entries: &'a [FollowedEntry<'d, 't>],
    pub(super) siblings: &'a [Sibling<'a>],
    /// The entry that names it.
    pub(super) index: usize,
    /// The project's configuration says that an image stands here.
    is_configured: bool,
    /// The group is a part of an object, and not of a chart's values.
    is_object: bool,
    is_known: bool,
}

impl OurImage<'_, '_, '_> {
    /// Whether a whole reference here is an image that runs: by its key, or by the list that it stands in.
    fn is_place_of_whole(&self) -> bool {
        let last_key = self.group.path.rsplit('.').next().unwrap_or_default();
        let is_wrapped = self.entries[self.index].entry.path == EntryPath::Wrapped;
        let is_image = self.siblings[self.index].key == "image";
        self.is_configured
            || match self.group.form {
                GroupForm::Mapping => !self.is_object && is_image && !is_wrapped,
                GroupForm::Pairs => matches!(last_key, "parameters" | "params"),
                GroupForm::Patches => true,
            }
    }

    /// Whether its key says that the tag stands elsewhere.
    pub(super) fn is_repository(&self) -> bool {
        let key = self.siblings[self.index].key.to_ascii_lowercase();
        key.ends_with("repository") || key.ends_with("repo")
    }

    pub(super) fn name(&self, index: usize) -> KeyName {
        KeyName::of(self.siblings[index].key)
    }

    /// The index of a sibling that holds something.
    pub(super) fn written(&self, index: Option<usize>) -> Option<usize> {
        index.filter(|index| self.siblings[*index].value != SiblingValue::Text(""))
    }

    /// The index of a sibling that holds something, and no expression.
    pub(super) fn literal(&self, index: Option<usize>) -> Option<usize> {
        let written = self.written(index)?;
        (self.siblings[written].value != SiblingValue::Template).then_some(written)
    }

    /// Whether the keys in doubt say that they hold digests.
    pub(super) fn is_about_digest(&self, doubt: &Doubt) -> bool {
        match doubt {
            Doubt::Digests(_) => true,
            Doubt::Tags(_) | Doubt::OtherTags(_) => false,
            Doubt::OtherDigest(index) | Doubt::Collection(index) => {
                self.name(*index).role == Role::Digest
            }
        }
    }
}

impl FollowedEntry<'_, '_> {
    /// The key that tells what the value is: of a JSON patch the last of its path.
    fn key(&self, group: &Group<'_>) -> &str {
        match group.form {
            GroupForm::Patches => self.entry.key.rsplit('/').next().unwrap_or_default(),
            GroupForm::Mapping | GroupForm::Pairs => &self.entry.key,
        }
    }
}

/// Whether a registry at this path is one for all images: below `global`, that of a subchart too, or at the document's
/// root.
pub(super) fn is_for_all(path: &str) -> bool {
    let path = path.to_ascii_lowercase();
    !path.contains(['.', '[']) || path.starts_with("global") || path.contains(".global.")
}

/// Whether a key may say that its value is a digest: a quick test, which most keys fail.
fn may_be_digest(key: &str) -> bool {
    has_word(key, "digest") || has_word(key, "sha")
}

/// Whether a path leads to a container somewhere below another path.
fn is_container_below(below: &str, path: &str) -> bool {
    let Some(rest) = path
        .strip_prefix(below)
        .and_then(|rest| rest.strip_prefix('.'))
    else {
        return false;
    };
    let mut keys = rest.split(['.', '[']).filter(|key| !key.ends_with(']'));
    let is_plugin = keys.clone().any(|key| key == "plugin");
    is_plugin
        || keys
            .next_back()
            .is_some_and(|last| CONTAINERS.contains(&last))
}

/// The keys whose values are containers, or lists of them.
const CONTAINERS: &[&str] = &[
    "container",
    "containers",
    "ephemeralContainers",
    "initContainers",
    "script",
    "sidecars",
];

/// Whether a path leads into the values of a chart.
fn is_in_chart_values(path: &str) -> bool {
    path.split(['.', '['])
        .any(|key| CHART_VALUES.contains(&key))
}
