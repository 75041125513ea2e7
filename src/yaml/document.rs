//! One YAML document at a time, as a tree that keeps only what can lead to an image.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    ops::Range,
    path::{Path, PathBuf},
};

use granit_parser::{Event, Parser, ScalarStyle, Span, StrInput, Tag};

use super::{
    chunks::Chunk,
    keys::{MERGE, PART_KEYS},
    local_paths,
    no_comment::Block,
    not_yaml::not_yaml,
    path::{item_path, key_path},
    rules::PlaceRules,
};
use crate::project::place::{Defect, Place};

/// Where a token is; lines and columns count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) line: usize,
    pub(super) column: usize,
}

impl Spot {
    pub(super) fn new(chunk: Chunk<'_>, span: Span) -> Self {
        let bytes = span.byte_range().unwrap_or_default();
        Self {
            start: chunk.offset + bytes.start,
            end: chunk.offset + bytes.end,
            line: chunk.line + span.start.line(),
            column: span.start.col() + 1,
        }
    }

    pub(super) fn range(self) -> Range<usize> {
        self.start..self.end
    }

    pub(super) fn place(self, file: &Path) -> Place {
        Place {
            file: PathBuf::from(file),
            line: self.line,
            column: self.column,
        }
    }
}

/// A node's index in its document.
pub(super) type NodeId = usize;

#[derive(Debug)]
pub(super) struct Node<'t> {
    pub(super) spot: Spot,
    /// 0 without an anchor.
    pub(super) anchor: usize,
    pub(super) body: NodeBody<'t>,
}

#[derive(Debug)]
pub(super) enum NodeBody<'t> {
    Scalar {
        value: Cow<'t, str>,
        style: ScalarStyle,
        tag: Option<Cow<'t, Tag>>,
    },
    /// The ID of the anchor that the alias refers to.
    Alias(usize),
    /// The items that are kept, each with its index.
    Sequence(Vec<(usize, NodeId)>),
    /// The entries whose key can lead to an image.
    Mapping(Vec<MappingEntry<'t>>),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct MappingEntry<'t> {
    pub(super) key: &'t str,
    pub(super) key_spot: Spot,
    pub(super) value: NodeId,
}

/// Where an anchor is written, and the node that it names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Anchored {
    pub(super) node: NodeId,
    pub(super) spot: Spot,
    /// The first byte after the node, or after the white space that follows it.
    end: usize,
}

/// How many aliases of an anchor are kept; messages list no more.
const ALIASES: usize = 4;

/// The content of a document; aliases are never expanded.
#[derive(Debug, Default)]
pub(super) struct Document<'t> {
    nodes: Vec<Node<'t>>,
    root: Option<NodeId>,
    anchors: HashMap<usize, Anchored>,
    /// The first aliases of each anchor that has any.
    aliases: HashMap<usize, Vec<Spot>>,
    /// Block scalars of several lines, each with its key.
    pub(super) blocks: Vec<Block>,
    /// Values that may be tags or digests by their keys, wherever they stand, each with its path.
    pub(super) tags: Vec<(String, NodeId)>,
    /// Values that are the host of a registry of the project, alone or with folders behind it; each with its path.
    pub(super) hosts: Vec<(String, NodeId)>,
    /// Mappings, wherever they stand, that may name an image by several keys.
    pub(super) groups: Vec<Group<'t>>,
    /// The entries of the mappings that others can merge.
    anchored_entries: HashMap<NodeId, Vec<GroupEntry<'t>>>,
    /// Those of them that may name an image of the project.
    may_be_ours: HashSet<NodeId>,
    /// Block scalars, wherever they stand, whose text may be YAML with images; each with its path.
    pub(super) texts: Vec<(String, NodeId)>,
    /// The keys on the way to an image that are there twice.
    pub(super) twice: Vec<TwiceKey<'t>>,
}

/// A key that a mapping has twice.
#[derive(Clone, Debug)]
pub(super) struct TwiceKey<'t> {
    pub(super) key: Cow<'t, str>,
    pub(super) first: Spot,
    pub(super) second: Spot,
    /// The bytes for which that matters: those of one of its entries.
    pub(super) span: Range<usize>,
}

/// A mapping that may name an image, with all its entries; or a list of pairs that stands for one, as
/// `[{name: image.tag, value: x}]` does.
#[derive(Debug)]
pub(super) struct Group<'t> {
    pub(super) path: String,
    pub(super) entries: Vec<GroupEntry<'t>>,
    pub(super) form: GroupForm,
    /// One of its values may be an image of the project.
    pub(super) may_be_ours: bool,
    /// Its anchor, 0 without one.
    pub(super) anchor: usize,
}

/// How a group is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GroupForm {
    Mapping,
    /// A list of parameters or variables, each with a name and a value.
    Pairs,
    /// A list of JSON patches, each with a path and a value.
    Patches,
}

/// A key of a group, and its value.
#[derive(Clone, Debug)]
pub(super) struct GroupEntry<'t> {
    pub(super) key: Cow<'t, str>,
    pub(super) key_spot: Spot,
    pub(super) value: NodeId,
    /// From the group to the value: the key, or `[2].value` in a list of pairs.
    pub(super) path: EntryPath,
}

/// The way from a group to the value of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EntryPath {
    /// The entry's own key.
    Key,
    /// An item of the list, and the key of its value.
    Item(usize, &'static str),
    /// The entry's own key, and [`WRAPPED`] below it: `tag: {value: x}`.
    Wrapped,
}

/// The key of a value that has a mapping of its own, with its description beside it.
pub(super) const WRAPPED: &str = "value";

/// The keys beside a wrapped value that only describe it.
const DESCRIPTIONS: &[&str] = &["description", "name", "required", "title", "type"];

const ANNOTATIONS: &str = "metadata.annotations";

/// An entry of a mapping that is being read. Its value becomes a node only if the mapping turns out to name an image.
#[derive(Debug)]
struct OpenEntry<'t> {
    key: Cow<'t, str>,
    key_spot: Spot,
    value: OpenValue<'t>,
    path: EntryPath,
    /// It is an image, or one lies within it.
    leads_to_image: bool,
}

#[derive(Clone, Debug)]
enum OpenValue<'t> {
    Kept(NodeId),
    Scalar(Spot, Cow<'t, str>, ScalarStyle, Option<Cow<'t, Tag>>),
    Alias(Spot, usize),
    /// A list or a mapping of which nothing is kept; `{{ … }}` without quotes parses as one, too.
    Collection(Spot),
}

impl<'t> Document<'t> {
    pub(super) fn root(&self) -> Option<NodeId> {
        self.root
    }

    pub(super) fn node(&self, id: NodeId) -> &Node<'t> {
        &self.nodes[id]
    }

    pub(super) fn anchored(&self, anchor: usize) -> Option<Anchored> {
        self.anchors.get(&anchor).copied()
    }

    pub(super) fn aliases(&self, anchor: usize) -> &[Spot] {
        self.aliases.get(&anchor).map_or(&[], Vec::as_slice)
    }

    /// The anchors that have aliases, each with the bytes of the node that it names.
    pub(super) fn shared(&self) -> impl Iterator<Item = (Range<usize>, usize)> {
        let anchors = self.aliases.keys();
        anchors.filter_map(|anchor| {
            let anchored = self.anchors.get(anchor)?;
            let start = self.nodes[anchored.node].spot.start;
            Some((start..anchored.end.max(start), *anchor))
        })
    }

    /// The entries with this key: at most two, since more are not kept.
    pub(super) fn entries(
        &self,
        mapping: NodeId,
        key: &str,
    ) -> impl Iterator<Item = MappingEntry<'t>> {
        let entries = match &self.nodes[mapping].body {
            NodeBody::Mapping(entries) => entries.as_slice(),
            _ => &[],
        };
        entries
            .iter()
            .copied()
            .filter(move |entry| entry.key == key)
    }

    /// The values that may be tags or digests from the beginning of a node on, each with its path.
    pub(super) fn tags_behind(&self, node: NodeId) -> impl Iterator<Item = &(String, NodeId)> {
        let start = self.node(node).spot.start;
        let is_before = |(_, node): &(String, NodeId)| self.node(*node).spot.start < start;
        self.tags[self.tags.partition_point(is_before)..].iter()
    }

    /// The entries of a mapping with an anchor.
    pub(super) fn entries_of_anchored(&self, mapping: NodeId) -> &[GroupEntry<'t>] {
        self.anchored_entries
            .get(&mapping)
            .map_or(&[], Vec::as_slice)
    }

    /// Whether the object at `root` is of a kind that the rules know.
    pub(super) fn is_of_known_kind(&self, root: NodeId, rules: &PlaceRules<'_>) -> bool {
        let text = |key: &str| {
            let value = self.entries(root, key).next()?.value;
            match &self.node(value).body {
                NodeBody::Scalar { value, .. } => Some(value.as_ref()),
                _ => None,
            }
        };
        let Some(kind) = text("kind") else {
            return false;
        };
        text("apiVersion").is_some_and(|version| rules.kind(version, kind).is_some())
    }

    fn clear(&mut self) {
        self.nodes.clear();
        self.root = None;
        self.anchors.clear();
        self.aliases.clear();
        self.blocks.clear();
        self.tags.clear();
        self.hosts.clear();
        self.groups.clear();
        self.anchored_entries.clear();
        self.may_be_ours.clear();
        self.texts.clear();
        self.twice.clear();
    }
}

/// A collection whose end has not been read; it has no `node` if nothing of it is kept.
#[derive(Debug)]
struct OpenCollection<'t> {
    node: Option<NodeId>,
    at: Position<'t>,
    /// The entries of a mapping; the pairs of a list.
    entries: Vec<OpenEntry<'t>>,
    /// A value of an entry may be an image of the project.
    may_be_ours: bool,
    /// The items of a list are JSON patches.
    has_patches: bool,
    /// An image lies somewhere within it.
    leads_to_image: bool,
}

#[derive(Debug)]
enum Position<'t> {
    /// The index of the next item.
    Item(usize),
    Key,
    Value(PendingKey<'t>),
}

/// The key whose value comes next.
#[derive(Debug, Default)]
struct PendingKey<'t> {
    text: Cow<'t, str>,
    /// The rules' own copy of the key, if it can lead to an image.
    known: Option<(&'t str, Spot)>,
    /// Where it stands; `None` for a key that is a collection.
    spot: Option<Spot>,
    /// The merge key `<<`.
    is_merge: bool,
}

#[derive(Debug)]
struct TreeBuilder<'t> {
    rules: &'t PlaceRules<'t>,
    document: Document<'t>,
    open: Vec<OpenCollection<'t>>,
    /// The object is of a known kind, so mappings like Helm's values are not looked for in it.
    is_known: bool,
    /// Empty lists of entries, to be used again.
    spare: Vec<Vec<OpenEntry<'t>>>,
}

impl<'t> TreeBuilder<'t> {
    fn scalar(
        &mut self,
        spot: Spot,
        anchor: usize,
        value: Cow<'t, str>,
        style: ScalarStyle,
        tag: Option<Cow<'t, Tag>>,
    ) {
        if self.is_at_key() {
            if anchor != 0 {
                // An alias may refer to the key later, so it is kept, though not as a part of the tree.
                let body = NodeBody::Scalar {
                    value: value.clone(),
                    style,
                    tag,
                };
                self.keep(spot, anchor, body);
            }
            self.key(value, style, spot);
            return;
        }
        let is_item = matches!(
            self.open.last().map(|open| &open.at),
            Some(Position::Item(_))
        );
        let is_text = may_hold_objects(&value, style);
        if matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
            self.add_block(spot);
        }
        let is_in_tree = (!is_item || local_paths::is_local(&value)) && self.may_lead_to_image();
        let may_be_ours = self.rules.matcher.may_name(&value);
        let is_host = self.rules.matcher.is_head(&value);
        let is_kept = is_in_tree || anchor != 0 || is_text || is_host;
        let id = if is_kept {
            let id = self.keep(spot, anchor, NodeBody::Scalar { value, style, tag });
            self.add_entry(OpenValue::Kept(id), may_be_ours);
            Some(id)
        } else {
            self.add_entry(OpenValue::Scalar(spot, value, style, tag), may_be_ours);
            None
        };
        if let Some(id) = id.filter(|_| is_host) {
            let path = self.path();
            self.document.hosts.push((path, id));
        }
        if let (Some(id), true) = (id, is_text) {
            let path = self.path();
            // kubectl keeps a copy of the object in an annotation; that copy is never applied.
            if !path.contains(ANNOTATIONS) {
                self.document.texts.push((path, id));
                self.tell_way();
            }
        }
        self.attach(id.filter(|_| is_in_tree));
    }

    fn alias(&mut self, spot: Spot, anchor: usize) {
        let aliases = self.document.aliases.entry(anchor).or_default();
        if aliases.len() < ALIASES {
            aliases.push(spot);
        }
        if self.is_at_key() {
            let target = self.document.anchors.get(&anchor);
            let text = match target.map(|anchored| &self.document.nodes[anchored.node].body) {
                Some(NodeBody::Scalar { value, style, .. }) => Some((value.clone(), *style)),
                _ => None,
            };
            match text {
                Some((value, style)) => self.key(value, style, spot),
                None => self.unknown_key(),
            }
            return;
        }
        let is_in_tree = self.may_lead_to_image();
        let id = is_in_tree.then(|| self.keep(spot, 0, NodeBody::Alias(anchor)));
        let may_be_ours = self.may_be_ours(anchor);
        let value = id.map_or(OpenValue::Alias(spot, anchor), OpenValue::Kept);
        self.add_entry(value, may_be_ours);
        if may_be_ours {
            self.tell_merging();
        }
        self.attach(id);
    }

    /// Whether the value of an anchor may be an image of the project, or merge one.
    fn may_be_ours(&self, anchor: usize) -> bool {
        let Some(anchored) = self.document.anchored(anchor) else {
            return false;
        };
        match &self.document.node(anchored.node).body {
            NodeBody::Scalar { value, .. } => self.rules.matcher.may_name(value),
            // A mapping counts only for those that merge it.
            _ => self.merging().is_some() && self.document.may_be_ours.contains(&anchored.node),
        }
    }

    /// Tells the mapping that merges what is read now, if one does, that it may name an image of the project.
    fn tell_merging(&mut self) {
        if let Some(merging) = self.merging() {
            self.open[merging].may_be_ours = true;
        }
    }

    fn start(&mut self, spot: Spot, anchor: usize, body: NodeBody<'t>) {
        let at = match body {
            NodeBody::Sequence(_) => Position::Item(0),
            _ => Position::Key,
        };
        let is_key = self.is_at_key();
        let is_in_tree = !is_key && self.may_lead_to_image();
        let is_merge = matches!(self.open.last(), Some(OpenCollection { at: Position::Value(key), .. }) if key.is_merge);
        let is_kept = is_in_tree || anchor != 0 || is_merge;
        let node = is_kept.then(|| self.keep(spot, anchor, body));
        if !is_key {
            let value = node.map_or(OpenValue::Collection(spot), OpenValue::Kept);
            self.add_entry(value, false);
            self.attach_open(node.filter(|_| is_in_tree));
        }
        self.open.push(OpenCollection {
            node,
            at,
            entries: self.spare.pop().unwrap_or_default(),
            may_be_ours: false,
            has_patches: false,
            leads_to_image: false,
        });
    }

    fn end(&mut self, spot: Spot) {
        let Some(mut open) = self.open.pop() else {
            return;
        };
        let anchor = open.node.map(|node| self.document.nodes[node].anchor);
        if let Some(anchored) = anchor.and_then(|anchor| self.document.anchors.get_mut(&anchor)) {
            anchored.end = spot.start;
        }
        let is_mapping = !matches!(open.at, Position::Item(_));
        if is_mapping {
            self.add_pair(&open, spot.start);
        }
        let is_wrapped = is_mapping && self.unwrap(&open, spot.start);
        let can_be_merged = anchor.is_some_and(|anchor| anchor != 0) || self.merging().is_some();
        if is_mapping && open.may_be_ours {
            self.document.may_be_ours.extend(open.node);
            self.tell_merging();
        }
        let is_group = !is_wrapped && open.may_be_ours
            || is_mapping && !self.is_known && may_name(&open.entries);
        if is_group || open.may_be_ours || open.leads_to_image {
            if is_mapping {
                self.add_twice(&open.entries, spot.start);
            }
            self.tell_way();
        }
        if is_group || can_be_merged && is_mapping {
            let entries = std::mem::take(&mut open.entries);
            let entries: Vec<GroupEntry<'t>> = entries
                .into_iter()
                .map(|entry| self.group_entry(entry))
                .collect();
            if let Some(node) = open.node.filter(|_| can_be_merged && is_mapping) {
                self.document.anchored_entries.insert(node, entries.clone());
            }
            if is_group {
                let form = match (is_mapping, open.has_patches) {
                    (true, _) => GroupForm::Mapping,
                    (false, true) => GroupForm::Patches,
                    (false, false) => GroupForm::Pairs,
                };
                let path = self.path();
                self.document.groups.push(Group {
                    path,
                    entries,
                    form,
                    may_be_ours: open.may_be_ours,
                    anchor: anchor.unwrap_or(0),
                });
            }
        } else {
            open.entries.clear();
            self.spare.push(open.entries);
        }
        if self.is_at_key() {
            // No path leads through a key that is a collection.
            self.unknown_key();
        } else {
            self.move_on();
        }
    }

    /// Tells the collection that is open, and its entry that is read now, that an image lies within.
    fn tell_way(&mut self) {
        let Some(open) = self.open.last_mut() else {
            return;
        };
        open.leads_to_image = true;
        let is_entry = matches!(&open.at, Position::Value(key) if key.spot.is_some());
        if let Some(entry) = open.entries.last_mut().filter(|_| is_entry) {
            entry.leads_to_image = true;
        }
    }

    /// Adds the keys of a mapping that are there twice and lead to an image. The mapping ends at the byte `end`.
    fn add_twice(&mut self, entries: &[OpenEntry<'t>], end: usize) {
        let mut spots: HashMap<&str, (Spot, Option<Spot>)> = HashMap::with_capacity(entries.len());
        for entry in entries {
            let known = spots.entry(&entry.key);
            known
                .and_modify(|(_, second)| *second = second.or(Some(entry.key_spot)))
                .or_insert((entry.key_spot, None));
        }
        if spots.len() == entries.len() {
            return;
        }
        for (index, entry) in entries.iter().enumerate() {
            let is_on_way = entry.leads_to_image;
            let known = spots.get(entry.key.as_ref()).filter(|_| is_on_way);
            if let Some((first, Some(second))) = known {
                let behind = entries.get(index + 1);
                let end = behind.map_or(end, |behind| behind.key_spot.start);
                self.document.twice.push(TwiceKey {
                    key: entry.key.clone(),
                    first: *first,
                    second: *second,
                    span: entry.key_spot.start..end,
                });
            }
        }
    }

    /// Adds a key that matters for the whole of a small mapping, if it is there twice.
    fn add_twice_in_whole(&mut self, entries: &[OpenEntry<'t>], key: &str, end: usize) {
        let mut same = entries.iter().filter(|entry| entry.key == key);
        if let (Some(first), Some(second)) = (same.next(), same.next()) {
            let start = entries.first().map_or(end, |entry| entry.key_spot.start);
            self.document.twice.push(TwiceKey {
                key: first.key.clone(),
                first: first.key_spot,
                second: second.key_spot,
                span: start..end,
            });
        }
    }

    /// Lets the mapping around one that only wraps a value have that value itself: `tag: {value: x}`. Returns whether
    /// the value may be an image of the project.
    fn unwrap(&mut self, wrapping: &OpenCollection<'t>, end: usize) -> bool {
        let mut entries = wrapping.entries.iter();
        let Some(value) = entries.find(|entry| entry.key == WRAPPED) else {
            return false;
        };
        let is_about_it = |entry: &OpenEntry<'_>| {
            entry.key == WRAPPED || DESCRIPTIONS.contains(&entry.key.as_ref())
        };
        let is_scalar = match &value.value {
            OpenValue::Scalar(..) => true,
            OpenValue::Kept(id) => {
                matches!(self.document.nodes[*id].body, NodeBody::Scalar { .. })
            }
            OpenValue::Alias(..) | OpenValue::Collection(_) => false,
        };
        if !is_scalar || !wrapping.entries.iter().all(is_about_it) {
            return false;
        }
        let Some(around) = self.open.last_mut() else {
            return false;
        };
        let is_value =
            matches!(&around.at, Position::Value(key) if key.spot.is_some() && !key.is_merge);
        let Some(entry) = around.entries.last_mut().filter(|_| is_value) else {
            return false;
        };
        entry.value = value.value.clone();
        entry.path = EntryPath::Wrapped;
        around.may_be_ours |= wrapping.may_be_ours;
        self.add_twice_in_whole(&wrapping.entries, WRAPPED, end);
        wrapping.may_be_ours
    }

    /// The index of the open mapping that merges what is read now by `<<`, as its value or as an item of that.
    fn merging(&self) -> Option<usize> {
        let last = self.open.len().checked_sub(1)?;
        let merging = match self.open[last].at {
            Position::Item(_) => last.checked_sub(1)?,
            Position::Key | Position::Value(_) => last,
        };
        matches!(&self.open[merging].at, Position::Value(key) if key.is_merge).then_some(merging)
    }

    /// Adds the value that is read now to the entries of the mapping that is open.
    fn add_entry(&mut self, value: OpenValue<'t>, may_be_ours: bool) {
        if self.may_be_tag() {
            self.add_tag(&value);
        }
        let Some(open) = self.open.last_mut() else {
            return;
        };
        if let Position::Value(PendingKey {
            text,
            spot: Some(key_spot),
            ..
        }) = &open.at
        {
            open.entries.push(OpenEntry {
                key: text.clone(),
                key_spot: *key_spot,
                value,
                path: EntryPath::Key,
                leads_to_image: may_be_ours,
            });
            open.may_be_ours |= may_be_ours;
        }
    }

    fn add_block(&mut self, spot: Spot) {
        let key = match self.open.last().map(|open| &open.at) {
            Some(Position::Value(key)) => key.text.to_string(),
            _ => String::new(),
        };
        self.document.blocks.push(Block {
            span: spot.range(),
            key,
        });
    }

    /// Whether the value that is read now may be a tag or a digest by its key, or by that of the mapping it lies in.
    fn may_be_tag(&self) -> bool {
        const PARTS: &[&str] = &["tag", "version", "digest", "sha", "sha256"];
        let is_like = |open: &OpenCollection<'_>, endings: &[&str]| match &open.at {
            Position::Value(key) => {
                let key = key.text.as_bytes();
                endings.iter().any(|ending| {
                    let start = key.len().checked_sub(ending.len());
                    start.is_some_and(|start| key[start..].eq_ignore_ascii_case(ending.as_bytes()))
                }) && key != b"apiVersion"
            }
            _ => false,
        };
        match self.open.as_slice() {
            [.., around, own] => {
                is_like(own, PARTS)
                    || is_like(around, &["tags", "versions"])
                    || is_like(own, &[WRAPPED, "default"]) && is_like(around, PARTS)
            }
            [own] => is_like(own, PARTS),
            [] => false,
        }
    }

    fn add_tag(&mut self, value: &OpenValue<'t>) {
        let is_at_value = matches!(
            self.open.last().map(|open| &open.at),
            Some(Position::Value(PendingKey { spot: Some(_), .. }))
        );
        if is_at_value && matches!(value, OpenValue::Kept(_) | OpenValue::Scalar(..)) {
            let node = self.node_of(value.clone());
            self.document.tags.push((self.path(), node));
        }
    }

    /// Adds a mapping that was read to the list that it is an item of, if it is a pair of a name and a value.
    fn add_pair(&mut self, pair: &OpenCollection<'t>, end: usize) {
        let Some(Position::Item(index)) = self.open.last().map(|list| &list.at) else {
            return;
        };
        let index = *index;
        if !(2..=8).contains(&pair.entries.len()) {
            return;
        }
        let entry = |key: &str| pair.entries.iter().find(|entry| entry.key == key);
        let is_patch = entry("op").is_some();
        let name_key = if is_patch { "path" } else { "name" };
        let name = entry(name_key);
        let Some(name) = name.and_then(|name| self.entry_text(name)) else {
            return;
        };
        for key in ["value", "default"] {
            let Some(value) = entry(key) else {
                continue;
            };
            if matches!(value.value, OpenValue::Collection(_)) {
                continue;
            }
            let (key_spot, value) = (value.key_spot, value.value.clone());
            if let Some(list) = self.open.last_mut() {
                list.entries.push(OpenEntry {
                    key: name.clone(),
                    key_spot,
                    value,
                    path: EntryPath::Item(index, key),
                    leads_to_image: false,
                });
                list.may_be_ours |= pair.may_be_ours;
                list.has_patches |= is_patch;
            }
            for key in [name_key, key] {
                self.add_twice_in_whole(&pair.entries, key, end);
            }
        }
    }

    fn entry_text(&self, entry: &OpenEntry<'t>) -> Option<Cow<'t, str>> {
        match &entry.value {
            OpenValue::Scalar(_, value, ..) => Some(value.clone()),
            OpenValue::Kept(id) => match &self.document.node(*id).body {
                NodeBody::Scalar { value, .. } => Some(value.clone()),
                _ => None,
            },
            OpenValue::Alias(..) | OpenValue::Collection(_) => None,
        }
    }

    fn group_entry(&mut self, entry: OpenEntry<'t>) -> GroupEntry<'t> {
        GroupEntry {
            value: self.node_of(entry.value),
            key: entry.key,
            key_spot: entry.key_spot,
            path: entry.path,
        }
    }

    /// The node of a value, which is kept from now on.
    fn node_of(&mut self, value: OpenValue<'t>) -> NodeId {
        let (spot, body) = match value {
            OpenValue::Kept(id) => return id,
            OpenValue::Scalar(spot, value, style, tag) => {
                (spot, NodeBody::Scalar { value, style, tag })
            }
            OpenValue::Alias(spot, anchor) => (spot, NodeBody::Alias(anchor)),
            OpenValue::Collection(spot) => (spot, NodeBody::Mapping(Vec::new())),
        };
        self.keep(spot, 0, body)
    }

    fn is_at_key(&self) -> bool {
        matches!(
            self.open.last(),
            Some(OpenCollection {
                at: Position::Key,
                ..
            })
        )
    }

    fn key(&mut self, value: Cow<'t, str>, style: ScalarStyle, spot: Spot) {
        let rules = self.rules;
        if let Some(open) = self.open.last_mut() {
            open.may_be_ours |= value.contains('/') && rules.matcher.may_name(&value);
            // Quotes make the merge key an ordinary one.
            let is_ordinary = |key: &&str| *key != MERGE || style == ScalarStyle::Plain;
            let known = open
                .node
                .and_then(|_| rules.known_key(&value).filter(is_ordinary));
            open.at = Position::Value(PendingKey {
                is_merge: value == MERGE && style == ScalarStyle::Plain,
                text: value,
                known: known.map(|key| (key, spot)),
                spot: Some(spot),
            });
        }
    }

    fn unknown_key(&mut self) {
        if let Some(open) = self.open.last_mut() {
            open.at = Position::Value(PendingKey::default());
        }
    }

    /// The path from the document's root to the next value.
    fn path(&self) -> String {
        let mut path = String::new();
        for open in &self.open {
            match &open.at {
                Position::Item(index) => path = item_path(&path, *index),
                Position::Value(key) => path = key_path(&path, &key.text),
                Position::Key => {}
            }
        }
        path
    }

    /// Whether the next node can lie on the path to an image.
    fn may_lead_to_image(&self) -> bool {
        match self.open.last() {
            None => true,
            Some(open) => {
                let is_known = match &open.at {
                    Position::Value(key) => key.known.is_some(),
                    _ => true,
                };
                open.node.is_some() && is_known
            }
        }
    }

    fn keep(&mut self, spot: Spot, anchor: usize, body: NodeBody<'t>) -> NodeId {
        let node = self.document.nodes.len();
        let end = spot.end;
        self.document.nodes.push(Node { spot, anchor, body });
        if anchor != 0 {
            self.document
                .anchors
                .insert(anchor, Anchored { node, spot, end });
        }
        node
    }

    /// Adds a node to the collection that is being read, if the node is kept, and moves to the next position.
    fn attach(&mut self, id: Option<NodeId>) {
        self.attach_open(id);
        self.move_on();
    }

    /// Adds a node to the collection that is being read, if the node is kept.
    fn attach_open(&mut self, id: Option<NodeId>) {
        let Some(open) = self.open.last_mut() else {
            self.document.root = id;
            return;
        };
        let parent = open.node.map(|node| &mut self.document.nodes[node].body);
        match (&open.at, parent, id) {
            (Position::Item(index), Some(NodeBody::Sequence(items)), Some(id)) => items.push((*index, id)),
            (Position::Value(PendingKey { known: Some((key, key_spot)), .. }), Some(NodeBody::Mapping(entries)), Some(value))
                // Two entries are enough to see that a key is there twice.
                if entries.iter().filter(|entry| entry.key == *key).count() < 2 =>
            {
                entries.push(MappingEntry {
                    key,
                    key_spot: *key_spot,
                    value,
                });
            }
            _ => {}
        }
    }

    fn move_on(&mut self) {
        if let Some(open) = self.open.last_mut() {
            match &mut open.at {
                Position::Item(index) => *index += 1,
                Position::Value(_) => open.at = Position::Key,
                Position::Key => {}
            }
        }
        if self.open.len() == 1 && !self.is_known {
            let root = self.document.root;
            self.is_known =
                root.is_some_and(|root| self.document.is_of_known_kind(root, self.rules));
        }
    }
}

/// Whether a scalar's text may contain Kubernetes objects, Helm's values or patches.
fn may_hold_objects(value: &str, style: ScalarStyle) -> bool {
    let begins_like_json = || value.trim_start().starts_with(['{', '[']);
    (style == ScalarStyle::Literal || begins_like_json())
        && ["apiVersion", "repository", "image", "Image", "op:", "op\""]
            .iter()
            .any(|word| value.contains(word))
}

/// Whether a mapping has the keys by which Helm's values name an image, or merges another that may have them.
fn may_name(entries: &[OpenEntry<'_>]) -> bool {
    let has = |key: &str| entries.iter().any(|entry| entry.key == key);
    has("image") || has("repository") || has(MERGE) && PART_KEYS.iter().any(|key| has(key))
}

/// The events of a text, with its comments or without. [`for_each_document`] and the proof of a rewrite are the only
/// callers, and the parser is started nowhere else.
pub(super) fn events(text: &str, emit_comments: bool) -> Parser<'_, StrInput<'_>> {
    #[cfg(test)]
    super::parses::count(text);
    let options =
        granit_parser::options! { emit_comments: emit_comments, emit_anchor_events: true };
    Parser::new_from_str_with_options(text, options)
}

/// Calls `each` with every document of a chunk, one after another, and adds to `comments`, if they are wanted, the bytes
/// at which comments begin.
///
/// # Errors
/// The text is not YAML: `E060`.
pub(super) fn for_each_document<'t>(
    file: &Path,
    chunk: Chunk<'t>,
    rules: &'t PlaceRules<'t>,
    mut comments: Option<&mut HashSet<usize>>,
    mut each: impl FnMut(&Document<'t>),
) -> Result<(), Defect> {
    let mut builder = TreeBuilder {
        rules,
        document: Document::default(),
        open: Vec::new(),
        is_known: false,
        spare: Vec::new(),
    };
    for event in events(chunk.text, comments.is_some()) {
        let (event, span) = event.map_err(|error| not_yaml(file, chunk, &error))?;
        let spot = Spot::new(chunk, span);
        match event {
            Event::DocumentStart(..) => {
                builder.document.clear();
                builder.open.clear();
                builder.is_known = false;
            }
            Event::DocumentEnd => each(&builder.document),
            Event::Alias(anchor) => builder.alias(spot, anchor),
            Event::Anchor(anchor, _) => {
                if let Some(anchored) = builder.document.anchors.get_mut(&anchor) {
                    anchored.spot = spot;
                }
            }
            Event::Scalar(value, style, anchor, tag) => {
                builder.scalar(spot, anchor, value, style, tag);
            }
            Event::SequenceStart(_, anchor, _) => {
                builder.start(spot, anchor, NodeBody::Sequence(Vec::new()));
            }
            Event::MappingStart(_, anchor, _) => {
                builder.start(spot, anchor, NodeBody::Mapping(Vec::new()));
            }
            Event::SequenceEnd | Event::MappingEnd => builder.end(spot),
            Event::Comment(..) => {
                if let Some(comments) = &mut comments {
                    comments.insert(spot.start);
                }
            }
            _ => {}
        }
    }
    Ok(())
}
