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
    /// Mappings, wherever they stand, that may name an image as Helm's values do.
    pub(super) candidates: Vec<Candidate>,
    /// Block scalars, wherever they stand, whose text may be YAML with images; each with its path.
    pub(super) texts: Vec<(String, NodeId)>,
}

/// A mapping with the keys by which Helm's values name an image, wherever it stands.
#[derive(Debug, Default)]
pub(super) struct Candidate {
    pub(super) path: String,
    pub(super) parts: [Option<NodeId>; PART_KEYS.len()],
    /// The value of the mapping's merge key `<<`.
    pub(super) merge: Option<NodeId>,
    /// A key that the mapping has twice, and where the two stand.
    pub(super) duplicate_key: Option<(&'static str, Spot, Spot)>,
    key_spots: [Option<Spot>; PART_KEYS.len()],
}

const ANNOTATIONS: &str = "metadata.annotations";

/// The index in [`PART_KEYS`] of the key whose value is a whole reference.
const IMAGE: usize = 0;

/// The index after the last of [`PART_KEYS`] stands for the merge key.
const MERGED: usize = PART_KEYS.len();

impl Candidate {
    /// Whether the mapping may name an image: it has the name, or merges another mapping that may have it.
    fn may_name(&self) -> bool {
        let [image, _, repository, others @ ..] = self.parts;
        let has_others = self.merge.is_some() && others.iter().any(Option::is_some);
        image.is_some() || repository.is_some() || has_others
    }
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
        self.candidates.clear();
        self.texts.clear();
    }
}

/// A collection whose end has not been read; it has no `node` if nothing of it is kept.
#[derive(Debug)]
struct OpenCollection<'t> {
    node: Option<NodeId>,
    at: Position<'t>,
    candidate: Option<Box<Candidate>>,
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
    /// Its index in [`PART_KEYS`].
    part: Option<(usize, Spot)>,
}

#[derive(Debug)]
struct TreeBuilder<'t> {
    rules: &'t PlaceRules<'t>,
    document: Document<'t>,
    open: Vec<OpenCollection<'t>>,
    /// The object is of a known kind, so mappings like Helm's values are not looked for in it.
    is_known: bool,
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
        let (is_item, part) = match self.open.last().map(|open| &open.at) {
            Some(Position::Item(_)) => (true, None),
            Some(Position::Value(key)) => (false, key.part),
            _ => (false, None),
        };
        let is_text = style == ScalarStyle::Literal && may_hold_objects(&value);
        let is_in_tree = !is_item && self.may_lead_to_image();
        let is_kept = is_in_tree || anchor != 0 || part.is_some() || is_text;
        let id = is_kept.then(|| self.keep(spot, anchor, NodeBody::Scalar { value, style, tag }));
        if let (Some(id), true) = (id, is_text) {
            let path = self.path();
            // kubectl keeps a copy of the object in an annotation; that copy is never applied.
            if !path.contains(ANNOTATIONS) {
                self.document.texts.push((path, id));
            }
        }
        if let (Some(id), Some((part, key))) = (id, part) {
            self.add_part(part, key, id);
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
        let part = match self.open.last().map(|open| &open.at) {
            Some(Position::Value(key)) => key.part,
            _ => None,
        };
        let is_in_tree = self.may_lead_to_image();
        let id =
            (is_in_tree || part.is_some()).then(|| self.keep(spot, 0, NodeBody::Alias(anchor)));
        if let (Some(id), Some((part, key))) = (id, part) {
            self.add_part(part, key, id);
        }
        self.attach(id.filter(|_| is_in_tree));
    }

    fn start(&mut self, spot: Spot, anchor: usize, body: NodeBody<'t>) {
        let at = match body {
            NodeBody::Sequence(_) => Position::Item(0),
            _ => Position::Key,
        };
        let is_key = self.is_at_key();
        let is_in_tree = !is_key && self.may_lead_to_image();
        // `{{ … }}` without quotes parses as a mapping, so a part of a reference may be one.
        let part = match self.open.last().map(|open| &open.at) {
            Some(Position::Value(key)) => key.part.filter(|(part, _)| *part != IMAGE),
            _ => None,
        };
        let is_kept = is_in_tree || anchor != 0 || part.is_some();
        let node = is_kept.then(|| self.keep(spot, anchor, body));
        if let (Some(id), Some((part, key))) = (node, part) {
            self.add_part(part, key, id);
        }
        if !is_key {
            self.attach_open(node.filter(|_| is_in_tree));
        }
        self.open.push(OpenCollection {
            node,
            at,
            candidate: None,
        });
    }

    fn end(&mut self, spot: Spot) {
        let Some(open) = self.open.pop() else {
            return;
        };
        let anchor = open.node.map(|node| self.document.nodes[node].anchor);
        if let Some(anchored) = anchor.and_then(|anchor| self.document.anchors.get_mut(&anchor)) {
            anchored.end = spot.start;
        }
        if let Some(mut candidate) = open.candidate
            && candidate.may_name()
        {
            candidate.path = self.path();
            self.document.candidates.push(*candidate);
        }
        if self.is_at_key() {
            // No path leads through a key that is a collection.
            self.unknown_key();
        } else {
            self.move_on();
        }
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
        let is_known = self.is_known;
        let rules = self.rules;
        if let Some(open) = self.open.last_mut() {
            // Quotes make the merge key an ordinary one.
            let is_ordinary = |key: &&str| *key != MERGE || style == ScalarStyle::Plain;
            let known = open
                .node
                .and_then(|_| rules.known_key(&value).filter(is_ordinary));
            let part = match value.len() {
                2 if !is_known && value == MERGE && style == ScalarStyle::Plain => Some(MERGED),
                3..=10 if !is_known => PART_KEYS.iter().position(|key| *key == value),
                _ => None,
            };
            open.at = Position::Value(PendingKey {
                text: value,
                known: known.map(|key| (key, spot)),
                part: part.map(|part| (part, spot)),
            });
        }
    }

    fn unknown_key(&mut self) {
        if let Some(open) = self.open.last_mut() {
            open.at = Position::Value(PendingKey::default());
        }
    }

    /// Records a part of a reference for the mapping that is being read.
    fn add_part(&mut self, part: usize, key: Spot, id: NodeId) {
        if let Some(open) = self.open.last_mut() {
            let candidate = open.candidate.get_or_insert_default();
            if part == MERGED {
                candidate.merge = candidate.merge.or(Some(id));
                return;
            }
            if let Some(first) = candidate.key_spots[part] {
                candidate.duplicate_key = Some((PART_KEYS[part], first, key));
            }
            candidate.key_spots[part] = Some(key);
            candidate.parts[part] = Some(id);
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

/// Whether a text may contain Kubernetes objects or Helm's values.
fn may_hold_objects(value: &str) -> bool {
    value.contains("apiVersion") || value.contains("repository")
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
