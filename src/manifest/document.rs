//! One YAML document at a time, as a tree that keeps only what can lead to an image.

use std::{
    borrow::Cow,
    collections::HashMap,
    ops::Range,
    path::{Path, PathBuf},
};

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use super::{
    part::Part,
    places::{MERGE, known_key},
    reading::Reading,
};
use crate::project::place::{Defect, Place};

/// Where a token is; lines and columns count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) start: usize,
    pub(super) end: usize,
    line: usize,
    column: usize,
}

impl Spot {
    fn new(part: Part<'_>, span: Span) -> Self {
        let bytes = span.byte_range().unwrap_or_default();
        Self {
            start: part.offset + bytes.start,
            end: part.offset + bytes.end,
            line: part.line + span.start.line(),
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
    /// The number of the event that began it.
    pub(super) event: usize,
    /// 0 without an anchor.
    pub(super) anchor: usize,
    pub(super) body: Body<'t>,
}

#[derive(Debug)]
pub(super) enum Body<'t> {
    Scalar {
        value: Cow<'t, str>,
        style: ScalarStyle,
        tag: Option<Cow<'t, Tag>>,
    },
    /// The anchor that it stands for.
    Alias(usize),
    /// The items that are no scalars, each with its index.
    Sequence(Vec<(usize, NodeId)>),
    /// The known keys.
    Mapping(Vec<Entry>),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) key: &'static str,
    pub(super) key_spot: Spot,
    pub(super) value: NodeId,
}

/// Where an anchor is written, and the node that it names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Anchored {
    pub(super) node: NodeId,
    pub(super) spot: Spot,
}

/// What a document holds; aliases are never expanded.
#[derive(Debug, Default)]
pub(super) struct Document<'t> {
    nodes: Vec<Node<'t>>,
    root: Option<NodeId>,
    anchors: HashMap<usize, Anchored>,
    /// The first alias of each anchor that has one.
    aliases: HashMap<usize, Spot>,
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

    pub(super) fn first_alias(&self, anchor: usize) -> Option<Spot> {
        self.aliases.get(&anchor).copied()
    }

    /// The entries with this key, two at most: a mapping keeps no more.
    pub(super) fn entries(&self, mapping: NodeId, key: &str) -> impl Iterator<Item = Entry> {
        let entries = match &self.nodes[mapping].body {
            Body::Mapping(entries) => entries.as_slice(),
            _ => &[],
        };
        entries
            .iter()
            .copied()
            .filter(move |entry| entry.key == key)
    }

    fn clear(&mut self) {
        self.nodes.clear();
        self.root = None;
        self.anchors.clear();
        self.aliases.clear();
    }
}

/// A collection that is still open; `node` is missing where nothing of it is kept.
#[derive(Debug)]
struct Open {
    node: Option<NodeId>,
    at: At,
}

#[derive(Debug)]
enum At {
    /// The index of the next item.
    Item(usize),
    Key,
    /// The value of a known key, or of one that leads nowhere.
    Value(Option<(&'static str, Spot)>),
}

#[derive(Debug, Default)]
struct Builder<'t> {
    /// The number of the present event.
    event: usize,
    document: Document<'t>,
    open: Vec<Open>,
}

impl<'t> Builder<'t> {
    fn scalar(
        &mut self,
        spot: Spot,
        anchor: usize,
        value: Cow<'t, str>,
        style: ScalarStyle,
        tag: Option<Cow<'t, Tag>>,
    ) {
        if let Some(open) = self
            .open
            .last_mut()
            .filter(|open| matches!(open.at, At::Key))
        {
            open.at = At::Value(open.node.and_then(|_| key(&value, style, spot)));
            if anchor == 0 {
                return;
            }
            // Kept for the aliases that may stand for it, but in no place of the tree.
            let body = Body::Scalar { value, style, tag };
            self.keep(spot, anchor, body);
            return;
        }
        let in_sequence = matches!(
            self.open.last(),
            Some(Open {
                at: At::Item(_),
                ..
            })
        );
        let wanted = !in_sequence && self.is_wanted();
        let id = (wanted || anchor != 0)
            .then(|| self.keep(spot, anchor, Body::Scalar { value, style, tag }));
        self.attach(id.filter(|_| wanted));
    }

    fn alias(&mut self, spot: Spot, anchor: usize) {
        self.document.aliases.entry(anchor).or_insert(spot);
        if let Some(open) = self
            .open
            .last_mut()
            .filter(|open| matches!(open.at, At::Key))
        {
            let target = self.document.anchors.get(&anchor);
            let known = match target.map(|anchored| &self.document.nodes[anchored.node].body) {
                Some(Body::Scalar { value, style, .. }) => key(value, *style, spot),
                _ => None,
            };
            open.at = At::Value(open.node.and(known));
            return;
        }
        let id = self
            .is_wanted()
            .then(|| self.keep(spot, 0, Body::Alias(anchor)));
        self.attach(id);
    }

    fn start(&mut self, spot: Spot, anchor: usize, body: Body<'t>) {
        let at = match body {
            Body::Sequence(_) => At::Item(0),
            _ => At::Key,
        };
        let is_key = matches!(self.open.last(), Some(Open { at: At::Key, .. }));
        let wanted = !is_key && self.is_wanted();
        let node = (wanted || anchor != 0).then(|| self.keep(spot, anchor, body));
        if is_key {
            // A collection as a key leads nowhere.
            if let Some(open) = self.open.last_mut() {
                open.at = At::Value(None);
            }
        } else {
            self.attach(node.filter(|_| wanted));
        }
        self.open.push(Open { node, at });
    }

    /// Whether the node that comes next can lead to an image from here.
    fn is_wanted(&self) -> bool {
        match self.open.last() {
            None => true,
            Some(open) => open.node.is_some() && !matches!(open.at, At::Value(None)),
        }
    }

    fn keep(&mut self, spot: Spot, anchor: usize, body: Body<'t>) -> NodeId {
        let node = self.document.nodes.len();
        self.document.nodes.push(Node {
            spot,
            event: self.event,
            anchor,
            body,
        });
        if anchor != 0 {
            self.document
                .anchors
                .insert(anchor, Anchored { node, spot });
        }
        node
    }

    /// Moves on past a node, which is noted in the open collection if it is kept there.
    fn attach(&mut self, id: Option<NodeId>) {
        let Some(open) = self.open.last_mut() else {
            self.document.root = id;
            return;
        };
        let mut parent = open.node.map(|node| &mut self.document.nodes[node].body);
        match &mut open.at {
            At::Item(index) => {
                if let (Some(Body::Sequence(items)), Some(id)) = (&mut parent, id) {
                    items.push((*index, id));
                }
                *index += 1;
            }
            At::Value(known) => {
                if let (Some(Body::Mapping(entries)), Some(value), Some((key, key_spot))) =
                    (&mut parent, id, *known)
                    // Two of a key are enough to tell that it is there twice.
                    && entries.iter().filter(|entry| entry.key == key).count() < 2
                {
                    entries.push(Entry {
                        key,
                        key_spot,
                        value,
                    });
                }
                open.at = At::Key;
            }
            At::Key => {}
        }
    }
}

/// The known key that a scalar is; quotes make the merge key an ordinary one.
fn key(value: &str, style: ScalarStyle, spot: Spot) -> Option<(&'static str, Spot)> {
    known_key(value)
        .filter(|key| *key != MERGE || style == ScalarStyle::Plain)
        .map(|key| (key, spot))
}

/// The events of a text.
pub(super) fn events(text: &str) -> Parser<'_, StrInput<'_>> {
    let options = granit_parser::options! { emit_comments: false, emit_anchor_events: true };
    Parser::new_from_str_with_options(text, options)
}

/// Calls `each` with every document of a part, one after another.
///
/// # Errors
/// The text is not YAML (`E060`); what `each` says.
pub(super) fn for_each_document<'t>(
    file: &Path,
    part: Part<'t>,
    mut each: impl FnMut(&Document<'t>) -> Result<(), Defect>,
) -> Result<Reading, Defect> {
    let mut builder = Builder::default();
    let mut reading = Reading::default();
    for event in events(part.text) {
        let (event, span) = event.map_err(|error| not_yaml(file, part, &error))?;
        builder.event = reading.add(&event);
        let spot = Spot::new(part, span);
        match event {
            Event::DocumentStart(..) => {
                builder.document.clear();
                builder.open.clear();
            }
            Event::DocumentEnd => each(&builder.document)?,
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
                builder.start(spot, anchor, Body::Sequence(Vec::new()));
            }
            Event::MappingStart(_, anchor, _) => {
                builder.start(spot, anchor, Body::Mapping(Vec::new()));
            }
            Event::SequenceEnd | Event::MappingEnd => {
                builder.open.pop();
            }
            _ => {}
        }
    }
    Ok(reading)
}

fn not_yaml(file: &Path, part: Part<'_>, error: &ScanError) -> Defect {
    let line = error.marker().line();
    let place = Place {
        file: PathBuf::from(file),
        line: part.line + line,
        column: error.marker().col() + 1,
    };
    let text = part
        .text
        .lines()
        .nth(line.saturating_sub(1))
        .unwrap_or_default();
    let defect = Defect::new("E060", place, format!("not YAML: {}", error.info()));
    if text.contains("{{") || text.contains("{%") {
        return defect
            .hint("a template is YAML only after rendering, or with its expressions in quotes");
    }
    if text.trim_start_matches(' ').starts_with('\t') {
        return defect.hint("indent with spaces: YAML allows no tabs there");
    }
    defect
}
