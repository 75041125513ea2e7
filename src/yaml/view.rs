//! Looks things up in a document: follows aliases and merges, and reads the scalars of a place.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    ops::Range,
    path::Path,
};

use granit_parser::ScalarStyle;

use super::{
    document::{
        Document, EntryPath, Group, GroupEntry, GroupForm, MappingEntry, Node, NodeBody, NodeId,
        Spot, TwiceKey, WRAPPED,
    },
    image_place::{DuplicateKey, ReferenceParts, Scalar},
    keys::{KUSTOMIZE_KEYS, MERGE, TAG_SUFFIX},
    path::{item_path, key_path},
    places::Step,
    scalar::{self, Plain},
    shared::SharedAnchor,
};
use crate::{
    code::Code,
    image::Repository,
    project::place::{Defect, Place},
};

/// How many mappings may be merged by `<<` on the way to one key.
const MERGE_LIMIT: usize = 64;

/// How a node was reached.
#[derive(Clone, Debug, Default)]
pub(super) struct Trail {
    pub(super) path: String,
    /// The first alias on the way.
    pub(super) via: Option<Spot>,
    /// The innermost anchor on the way that has aliases, and one of these.
    pub(super) shared: Option<(usize, Spot)>,
}

impl Trail {
    pub(super) fn key(self, key: &str) -> Self {
        let path = key_path(&self.path, key);
        Self { path, ..self }
    }

    pub(super) fn item(self, index: usize) -> Self {
        let path = item_path(&self.path, index);
        Self { path, ..self }
    }

    pub(super) fn at(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            ..Self::default()
        }
    }
}

/// An entry of a group, with the node that its value leads to.
#[derive(Clone, Debug)]
pub(super) struct FollowedEntry<'d, 't> {
    pub(super) entry: &'d GroupEntry<'t>,
    pub(super) node: NodeId,
    pub(super) trail: Trail,
}

/// A document with the text that it was read from.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'d, 't> {
    pub(super) file: &'d Path,
    pub(super) text: &'t str,
    pub(super) document: &'d Document<'t>,
    /// The text is JSON, in which every string has quotes.
    pub(super) is_json: bool,
}

impl<'d, 't> View<'d, 't> {
    /// The scalar at the end of a path of keys, if there is one.
    pub(super) fn plain_value(&self, node: NodeId, steps: &[Step<'_>]) -> Option<(Place, String)> {
        let mut at = node;
        for step in steps {
            let Step::Key(key) = step else {
                return None;
            };
            let (node, _) = self.follow(at, Trail::default());
            at = self.document.entries(node, key).next()?.value;
        }
        let (node, _) = self.follow(at, Trail::default());
        match &self.document.node(node).body {
            NodeBody::Scalar { value, .. } => {
                let place = self.place(self.document.node(node).spot);
                Some((place, value.clone().into_owned()))
            }
            _ => None,
        }
    }

    pub(super) fn string(&self, id: NodeId) -> Option<&'d str> {
        let (node, _) = self.follow(id, Trail::default());
        match &self.document.node(node).body {
            NodeBody::Scalar { value, .. } => Some(value),
            _ => None,
        }
    }

    /// The value of a scalar as far as it is read as one of a place: empty if it is null, without the final line break of
    /// a block scalar.
    pub(super) fn text_of(&self, node: NodeId) -> Option<Cow<'d, str>> {
        match &self.document.node(node).body {
            NodeBody::Scalar { value, style, tag } => {
                let other = scalar::other_type(value, *style, tag.as_deref());
                Some(match other.as_deref() {
                    Some("null") => Cow::Borrowed(""),
                    _ => Cow::Borrowed(scalar::trimmed(value, *style)),
                })
            }
            _ => None,
        }
    }

    /// Follows an alias to its node, and records in the trail any anchor that has aliases.
    pub(super) fn follow(&self, id: NodeId, trail: Trail) -> (NodeId, Trail) {
        let node = self.document.node(id);
        if let NodeBody::Alias(anchor) = node.body {
            let target = self.document.anchored(anchor).map(|anchored| anchored.node);
            let trail = Trail {
                via: trail.via.or(Some(node.spot)),
                shared: Some((anchor, node.spot)),
                ..trail
            };
            return (target.unwrap_or(id), trail);
        }
        let alias = self.document.aliases(node.anchor).first();
        let shared = alias.map(|alias| (node.anchor, *alias)).or(trail.shared);
        (id, Trail { shared, ..trail })
    }

    /// The value of a key: the mapping's own, else the first among those that it merges.
    pub(super) fn lookup(
        &self,
        mapping: NodeId,
        key: &str,
        trail: &Trail,
    ) -> Result<Option<(NodeId, Trail)>, Defect> {
        let mut left = vec![(mapping, trail.clone())];
        let mut seen = HashSet::new();
        while let Some((mapping, trail)) = left.pop() {
            if !seen.insert(mapping) {
                continue;
            }
            if let Some(own) = self.own_entry(mapping, key)? {
                return Ok(Some((own.value, trail)));
            }
            let Some(merge) = self.own_entry(mapping, MERGE)? else {
                continue;
            };
            // The first mapping of a list wins, so it has to be popped next.
            let sources = self.merge_sources(merge.value);
            left.extend(
                sources
                    .into_iter()
                    .rev()
                    .map(|source| self.follow(source, trail.clone())),
            );
            if left.len() + seen.len() > MERGE_LIMIT {
                let message = format!(
                    "more than {MERGE_LIMIT} mappings are merged (`<<`) on the way to `{key}`"
                );
                return Err(Defect::new(Code::E066, self.place(merge.key_spot), message)
                    .hint(format!("write `{key}: ...` out where it is meant")));
            }
        }
        Ok(None)
    }

    fn own_entry(&self, mapping: NodeId, key: &str) -> Result<Option<MappingEntry<'t>>, Defect> {
        let mut entries = self.document.entries(mapping, key);
        match (entries.next(), entries.next()) {
            (Some(first), Some(second)) => Err(self.duplicate(first, second)),
            (first, _) => Ok(first),
        }
    }

    /// The mappings that a merge key names, cut off just above the limit.
    fn merge_sources(&self, value: NodeId) -> Vec<NodeId> {
        let (node, _) = self.follow(value, Trail::default());
        match &self.document.node(node).body {
            NodeBody::Sequence(items) => {
                let items = items.iter().take(MERGE_LIMIT + 1);
                items.map(|(_, item)| *item).collect()
            }
            _ => vec![value],
        }
    }

    /// The entries of a group, its own and those that it merges; the first of a name wins.
    pub(super) fn entries(&self, group: &'d Group<'t>) -> Vec<FollowedEntry<'d, 't>> {
        let mut entries = Vec::new();
        let mut known = HashSet::new();
        let mut left = vec![(group.entries.as_slice(), Trail::at(&group.path))];
        let mut count = 0;
        while let Some((some, trail)) = left.pop() {
            count += 1;
            for entry in some {
                if entry.key == MERGE && count <= MERGE_LIMIT {
                    let sources = self.merge_sources(entry.value).into_iter().rev();
                    left.extend(sources.map(|source| {
                        let (mapping, trail) = self.follow(source, trail.clone());
                        (self.document.entries_of_anchored(mapping), trail)
                    }));
                }
                if group.form != GroupForm::Mapping || known.insert(&*entry.key) {
                    let trail = match entry.path {
                        EntryPath::Key => trail.clone().key(&entry.key),
                        EntryPath::Item(index, key) => trail.clone().item(index).key(key),
                        EntryPath::Wrapped => trail.clone().key(&entry.key).key(WRAPPED),
                    };
                    let (node, trail) = self.follow(entry.value, trail);
                    entries.push(FollowedEntry { entry, node, trail });
                }
            }
        }
        entries
    }

    /// Whether an image is named without a tag, so that a `tag` beside it can belong to it.
    pub(super) fn is_name(&self, (image, trail): &(NodeId, Trail)) -> bool {
        let (image, _) = self.follow(*image, trail.clone());
        match &self.document.node(image).body {
            NodeBody::Scalar { value, style, .. } => {
                scalar::trimmed(value, *style).parse::<Repository>().is_ok()
            }
            _ => false,
        }
    }

    /// Registry, repository, tag and digest as Helm's values have them, where there is a repository at least.
    pub(super) fn values(
        &self,
        parts: [Option<(NodeId, Trail)>; 4],
        keys: [&str; 4],
    ) -> Option<ReferenceParts> {
        let mut scalars = [const { None }; 4];
        for ((slot, part), key) in scalars.iter_mut().zip(parts).zip(keys) {
            let Some((node, trail)) = part else {
                continue;
            };
            let (node, trail) = self.follow(node, trail.key(key));
            let node_of = self.document.node(node);
            let is_scalar = matches!(node_of.body, NodeBody::Scalar { .. });
            if !is_scalar && self.template(node_of).is_none() {
                return None;
            }
            *slot = Some(self.scalar(node, trail));
        }
        let [registry, repository, tag, digest] = scalars;
        Some(ReferenceParts::Values {
            registry,
            repository: repository?,
            tag,
            digest,
        })
    }

    /// An entry of kustomize's `images`.
    pub(super) fn kustomize(
        &self,
        node: NodeId,
        trail: &Trail,
    ) -> Result<Option<ReferenceParts>, Defect> {
        if !matches!(self.document.node(node).body, NodeBody::Mapping(_)) {
            return Ok(None);
        }
        let mut scalars = [const { None }; 4];
        for (slot, key) in scalars.iter_mut().zip(KUSTOMIZE_KEYS) {
            if let Some((value, trail)) = self.lookup(node, key, trail)? {
                let (value, trail) = self.follow(value, trail.key(key));
                if !matches!(self.document.node(value).body, NodeBody::Scalar { .. }) {
                    return Ok(None);
                }
                *slot = Some(self.scalar(value, trail));
            }
        }
        let [name, new_name, new_tag, digest] = scalars;
        Ok(name.map(|name| ReferenceParts::Kustomize {
            name,
            new_name,
            new_tag,
            digest,
        }))
    }

    /// What an entry of kustomize's `images` adds to the tag, if that is something.
    pub(super) fn tag_suffix(&self, node: NodeId, trail: &Trail) -> Result<Option<Scalar>, Defect> {
        let found = self.lookup(node, TAG_SUFFIX, trail)?;
        let suffix = found.map(|(value, trail)| self.follow(value, trail.key(TAG_SUFFIX)));
        let suffix = suffix.filter(|(value, _)| self.text_of(*value).as_deref() != Some(""));
        Ok(suffix.map(|(value, trail)| self.scalar(value, trail)))
    }

    /// Describes a node as a scalar of a place; a collection gets its raw bytes and type.
    pub(super) fn scalar(&self, id: NodeId, trail: Trail) -> Scalar {
        let node = self.document.node(id);
        let spot = trail.via.unwrap_or(node.spot);
        let template = self.template(node);
        let mut scalar = Scalar {
            place: self.place(spot),
            path: trail.path,
            offset: spot.start,
            value: String::new(),
            is_template: template.is_some(),
            span: node.spot.range(),
            style: ScalarStyle::Plain,
            is_suffix: false,
            line_ends: 0,
            needs_reflow: false,
            other_type: None,
            quotes: "\"",
            plain: if self.is_json {
                Plain::Never
            } else {
                Plain::IfSafe
            },
            shared: trail
                .shared
                .and_then(|shared| self.shared(shared, trail.via))
                .map(Box::new),
        };
        if let Some(span) = template {
            self.text[span.clone()].clone_into(&mut scalar.value);
            scalar.span = span;
            return scalar;
        }
        match &node.body {
            NodeBody::Scalar { value, style, tag } => {
                scalar::trimmed(value, *style).clone_into(&mut scalar.value);
                scalar.style = *style;
                scalar.line_ends = value.len() - value.trim_end_matches('\n').len();
                scalar.other_type = scalar::other_type(value, *style, tag.as_deref());
                let (span, needs_reflow) =
                    scalar::editable(self.text, &scalar.span, &scalar.value, *style);
                (scalar.span, scalar.needs_reflow) = (span, needs_reflow);
            }
            NodeBody::Sequence(_) => scalar.other_type = Some("a list".to_owned()),
            NodeBody::Mapping(_) | NodeBody::Alias(_) => {
                scalar.other_type = Some("a mapping".to_owned());
            }
        }
        scalar
    }

    /// The bytes of a value that a template engine fills in; `{{ … }}` without quotes parses as nested mappings.
    pub(super) fn template(&self, node: &Node<'_>) -> Option<Range<usize>> {
        match &node.body {
            NodeBody::Scalar { .. } => {
                let raw = self.text.get(node.spot.range())?;
                scalar::holds_expression(raw).then(|| node.spot.range())
            }
            NodeBody::Mapping(_) => {
                let rest = self.text.get(node.spot.start..)?;
                let line = rest.lines().next().unwrap_or_default();
                let end = line.rfind("}}").map_or(line.len(), |end| end + 2);
                line.starts_with("{{")
                    .then_some(node.spot.start..node.spot.start + end)
            }
            _ => None,
        }
    }

    pub(super) fn shared(
        &self,
        (anchor, alias): (usize, Spot),
        via: Option<Spot>,
    ) -> Option<SharedAnchor> {
        let spot = self.document.anchored(anchor)?.spot;
        let aliases = self.document.aliases(anchor).iter();
        Some(SharedAnchor {
            anchor: self.text.get(spot.range())?.to_owned(),
            anchor_place: self.place(spot),
            alias_place: self.place(via.unwrap_or(alias)),
            is_alias: via.is_some(),
            aliases: aliases.map(|alias| self.place(*alias)).collect(),
        })
    }

    pub(super) fn duplicate(&self, first: MappingEntry<'_>, second: MappingEntry<'_>) -> Defect {
        duplicate_key(self.file, first.key, first.key_spot, second.key_spot).defect()
    }

    /// The key of a group that is there twice and has to do with one of `used`.
    pub(super) fn duplicate_of(&self, group: &Group<'t>, used: &[&str]) -> Option<DuplicateKey> {
        let mut seen: HashMap<&str, Spot> = HashMap::new();
        group.entries.iter().find_map(|entry| {
            let key = entry.key.as_ref();
            let first = seen.insert(key, entry.key_spot)?;
            used.contains(&key)
                .then(|| duplicate_key(self.file, key, first, entry.key_spot))
        })
    }

    /// A key that is there twice on the way to an image.
    pub(super) fn twice(&self, twice: &TwiceKey<'_>) -> DuplicateKey {
        duplicate_key(self.file, &twice.key, twice.first, twice.second)
    }

    pub(super) fn place(&self, spot: Spot) -> Place {
        spot.place(self.file)
    }
}

fn duplicate_key(file: &Path, key: &str, first: Spot, second: Spot) -> DuplicateKey {
    DuplicateKey {
        key: key.to_owned(),
        first: first.place(file),
        second: second.place(file),
    }
}
