//! The places of a text that name images.

use std::{collections::HashSet, ops::Range, path::Path};

use granit_parser::ScalarStyle;

use super::{
    document::{
        Body, Candidate, Document, Entry, Node, NodeId, PART_KEYS, Spot, for_each_document,
        item_path, key_path,
    },
    image_place::{ImagePlace, LeftAlone, Parts, Scalar, Twice},
    literal::Literal,
    marked,
    part::{LEAST, Part, on_all_cores, parts},
    places::{Form, Kind, Step},
    rules::{ITEMS, KUSTOMIZE_KEYS, Looked, MERGE, Rules, is_list},
    scalar,
    shared::{Shared, SharedRanges},
};
use crate::{
    image::Repository,
    project::place::{Defect, Place},
};

/// How many mappings may be merged by `<<` on the way to one key.
const MERGE_LIMIT: usize = 64;

/// The parts of Helm's values, in the order of a reference.
const VALUES: [&str; 4] = ["registry", "repository", "tag", "digest"];

/// How deep lists of objects, and texts in texts, may lie in each other.
const DEPTH_LIMIT: usize = 8;

/// What a text holds for us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Located {
    /// The places that name images, in the order of the text.
    pub places: Vec<ImagePlace>,
    /// The objects of the kinds that are looked at, in the order of the text.
    pub objects: Vec<Object>,
    /// The text is no YAML before something has rendered it, so that only its marks count.
    pub is_template: bool,
    /// Where it stops being YAML, if its name does not say that it is none.
    pub not_yaml: Option<Place>,
    /// The bytes of lines that a mark takes out, in the order of the text.
    pub(super) ignored: Vec<Range<usize>>,
    /// The bytes of what is used again by an alias.
    pub(super) shared: Vec<(Range<usize>, Shared)>,
}

/// An object of a kind that is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Of its `kind`.
    pub place: Place,
    /// Its `kind`.
    pub kind: String,
    /// Its API group.
    pub group: String,
    /// The Spark that it says it is for.
    pub spark_version: Option<(Place, String)>,
    /// Whether it names any image.
    pub has_images: bool,
}

/// Finds the places of a text that name images, in the order of the text; other kinds of documents are passed over.
///
/// # Errors
/// All that is wrong, in the order of the text: it is not YAML, a key on the way is there twice, an image is no string,
/// or a mark is none: `E060`, `E061`, `E062`, `E066`, `E202`, `E203`.
pub fn locate(file: &Path, text: &str, rules: &Rules<'_>) -> Result<Located, Vec<Defect>> {
    let (located, defects) = if may_be_yaml(file) {
        located(file, text, rules, 0)
    } else {
        (Located::template(), Vec::new())
    };
    let (located, mut defects) = marked::add(file, text, rules, located, defects);
    defects.sort_by_key(|defect| (defect.place.line, defect.place.column, defect.code));
    // What is wrong before several ways part is found on each of them.
    defects.dedup_by(|second, first| (second.code, &second.place) == (first.code, &first.place));
    if defects.is_empty() {
        Ok(located)
    } else {
        Err(defects)
    }
}

/// Whether a file's name says that it may be YAML; a template says in its name that it is none, and so does code.
fn may_be_yaml(file: &Path) -> bool {
    let name = file.file_name().and_then(|name| name.to_str());
    // `.env` is all extension.
    let extension = file.extension().and_then(|extension| extension.to_str());
    let extension = extension.or_else(|| name?.strip_prefix('.'));
    extension.is_none_or(|extension| {
        let extension = extension.to_ascii_lowercase();
        matches!(extension.as_str(), "yml" | "yaml" | "json")
    })
}

impl Located {
    /// Whether a mark says that the byte at `offset` is nobody's business.
    #[must_use]
    pub fn is_ignored(&self, offset: usize) -> bool {
        let line = self.ignored.partition_point(|line| line.end <= offset);
        let line = self.ignored.get(line);
        line.is_some_and(|line| line.contains(&offset))
    }

    /// The bytes of all values of those places that `is_meant` says, in the order of the text.
    #[must_use]
    pub fn spans(&self, is_meant: &dyn Fn(&ImagePlace) -> bool) -> Vec<Range<usize>> {
        let places = self.places.iter().filter(|place| is_meant(place));
        let scalars = places.flat_map(|place| place.parts.scalars());
        let mut spans: Vec<_> = scalars.map(|scalar| scalar.span.clone()).collect();
        spans.sort_by_key(|span| span.start);
        spans
    }

    pub(super) fn template() -> Self {
        Self {
            is_template: true,
            ..Self::default()
        }
    }
}

/// What was found, and what is wrong.
pub(super) type Found = (Located, Vec<Defect>);

/// The same without marks, for a text at some depth of texts in texts.
fn located(file: &Path, text: &str, rules: &Rules<'_>, depth: usize) -> Found {
    located_in(file, text, &parts(text, LEAST), rules, depth)
}

/// The same for a text in parts.
pub(super) fn located_in(
    file: &Path,
    text: &str,
    parts: &[Part<'_>],
    rules: &Rules<'_>,
    depth: usize,
) -> Found {
    let results = on_all_cores(parts, |part| {
        let mut found = Located::default();
        let mut defects = Vec::new();
        let read = for_each_document(file, *part, rules, |document| {
            let mut walk = Walk {
                file,
                text,
                document,
                rules,
                depth,
                found: &mut found,
                object: None,
                defects: Vec::new(),
                first: 0,
                inner: Vec::new(),
            };
            walk.document();
            defects.append(&mut walk.defects);
        });
        defects.extend(read.err());
        (found, defects)
    });
    let mut all = Found::default();
    for (found, defects) in results {
        add(&mut all.0, found);
        all.1.extend(defects);
    }
    all.0.places.sort_by_key(ImagePlace::start);
    all
}

/// Puts what was found in one piece of a text behind what was found before.
fn add(all: &mut Located, found: Located) {
    let before = all.objects.len();
    all.places
        .extend(found.places.into_iter().map(|place| ImagePlace {
            object: place.object.map(|object| object + before),
            ..place
        }));
    all.objects.extend(found.objects);
    all.shared.extend(found.shared);
}

struct Walk<'d, 't> {
    file: &'d Path,
    text: &'t str,
    document: &'d Document<'t>,
    rules: &'d Rules<'t>,
    depth: usize,
    found: &'d mut Located,
    /// The number of the object that is being read.
    object: Option<usize>,
    defects: Vec<Defect>,
    /// The number of the document's first place.
    first: usize,
    /// What texts within the document use again by an alias.
    inner: Vec<(Range<usize>, Shared)>,
}

/// How a node was reached.
#[derive(Clone, Debug, Default)]
struct Trail {
    path: String,
    /// The first alias on the way.
    via: Option<Spot>,
    /// The innermost anchor on the way that has aliases.
    shared: Option<(usize, Spot)>,
}

impl Trail {
    fn key(self, key: &str) -> Self {
        let path = key_path(&self.path, key);
        Self { path, ..self }
    }

    fn item(self, index: usize) -> Self {
        let path = item_path(&self.path, index);
        Self { path, ..self }
    }

    fn at(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            ..Self::default()
        }
    }
}

impl<'d, 't> Walk<'d, 't> {
    fn document(&mut self) {
        let Some(root) = self.document.root() else {
            return;
        };
        self.first = self.found.places.len();
        let read = self.object(root, &Trail::default(), 0);
        self.defects.extend(read.err());
        let is_mapping = matches!(self.document.node(root).body, Body::Mapping(_));
        if is_mapping && !self.rules.is_known(self.document, root) {
            self.candidates(root);
        }
        self.texts();
        self.share();
    }

    /// Notes the anchors around values that were not reached from the root: a change there changes elsewhere too.
    fn share(&mut self) {
        let anchors = self.document.shared();
        let ranges = anchors.filter_map(|(span, anchor)| {
            let alias = *self.document.aliases(anchor).first()?;
            Some((span, self.shared((anchor, alias), None)?))
        });
        let mut ranges: Vec<(Range<usize>, Shared)> = ranges.collect();
        ranges.append(&mut self.inner);
        if ranges.is_empty() {
            return;
        }
        let around = SharedRanges::of(ranges.clone());
        self.found.shared.extend(ranges);
        for scalar in self.found.places[self.first..]
            .iter_mut()
            .flat_map(|place| place.parts.scalars_mut())
            .filter(|scalar| scalar.shared.is_none())
        {
            scalar.shared = around.around(&scalar.span).cloned().map(Box::new);
        }
    }

    /// The images of an object, or of those that a list holds.
    fn object(&mut self, node: NodeId, trail: &Trail, depth: usize) -> Result<(), Defect> {
        if let Some(kinds) = self.kinds(node)? {
            let before = self.found.places.len();
            self.object = self.described(node, kinds).map(|object| {
                self.found.objects.push(object);
                self.found.objects.len() - 1
            });
            for looked in kinds {
                for way in &looked.ways {
                    let walked = self.walk(looked, node, way, trail.clone());
                    self.defects.extend(walked.err());
                }
            }
            let has_images = self.found.places.len() > before;
            if let Some(object) = self.object.take() {
                self.found.objects[object].has_images = has_images;
            }
            return Ok(());
        }
        let names: Vec<Entry<'_>> = self.document.entries(node, "kind").collect();
        let mut names = names.iter().filter_map(|name| self.string(name.value));
        if depth >= DEPTH_LIMIT || !names.any(is_list) {
            return Ok(());
        }
        let Some((list, trail)) = self.lookup(node, ITEMS, trail)? else {
            return Ok(());
        };
        let (list, trail) = self.follow(list, trail.key(ITEMS));
        let Body::Sequence(items) = &self.document.node(list).body else {
            return Ok(());
        };
        let mut seen = HashSet::new();
        for (index, item) in items {
            if let Body::Alias(anchor) = self.document.node(*item).body
                && !seen.insert(anchor)
            {
                continue;
            }
            let (item, trail) = self.follow(*item, trail.clone().item(*index));
            let read = self.object(item, &trail, depth + 1);
            self.defects.extend(read.err());
        }
        Ok(())
    }

    /// What is looked at in the object, by its kind or by its file's name.
    fn kinds(&self, root: NodeId) -> Result<Option<&'d [Looked<'t>]>, Defect> {
        let versions: Vec<Entry<'_>> = self.document.entries(root, "apiVersion").collect();
        let names: Vec<Entry<'_>> = self.document.entries(root, "kind").collect();
        let pairs = versions
            .iter()
            .flat_map(|version| names.iter().map(move |name| (version, name)));
        let known = pairs.filter_map(|(version, name)| {
            let rules: &'d Rules<'t> = self.rules;
            rules.kind(self.string(version.value)?, self.string(name.value)?)
        });
        let kinds = known.into_iter().next();
        match (kinds, versions.as_slice(), names.as_slice()) {
            (Some(_), [first, second], _) | (Some(_), _, [first, second]) => {
                Err(self.twice(*first, *second))
            }
            (None, _, []) => Ok(self.rules.kustomization(self.file)),
            _ => Ok(kinds),
        }
    }

    /// An object of the table, as others have to know it.
    fn described(&self, node: NodeId, kinds: &[Looked<'t>]) -> Option<Object> {
        let known: &Kind = kinds.iter().find_map(|looked| looked.known)?;
        let name = self.document.entries(node, "kind").next();
        let spot = name.map_or(self.document.node(node).spot, |name| {
            self.document.node(name.value).spot
        });
        Some(Object {
            place: self.place(spot),
            kind: known.name.to_owned(),
            group: known.group.to_owned(),
            spark_version: known
                .spark_version
                .and_then(|steps| self.plain_value(node, steps)),
            has_images: false,
        })
    }

    /// A scalar at the end of keys, where there is one.
    fn plain_value(&self, node: NodeId, steps: &[Step<'_>]) -> Option<(Place, String)> {
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
            Body::Scalar { value, .. } => {
                let place = self.place(self.document.node(node).spot);
                Some((place, value.clone().into_owned()))
            }
            _ => None,
        }
    }

    fn string(&self, id: NodeId) -> Option<&'d str> {
        let (node, _) = self.follow(id, Trail::default());
        match &self.document.node(node).body {
            Body::Scalar { value, .. } => Some(value),
            _ => None,
        }
    }

    /// Along the steps to the images.
    fn walk(
        &mut self,
        looked: &Looked<'t>,
        node: NodeId,
        steps: &[Step<'t>],
        trail: Trail,
    ) -> Result<(), Defect> {
        let (node, trail) = self.follow(node, trail);
        let document = self.document;
        match (steps, &document.node(node).body) {
            ([], _) => self.image(looked, node, trail),
            ([Step::Key(key), rest @ ..], Body::Mapping(_)) => {
                match self.lookup(node, key, &trail)? {
                    Some((value, trail)) => self.walk(looked, value, rest, trail.key(key)),
                    None => Ok(()),
                }
            }
            ([Step::Each, rest @ ..], Body::Sequence(items)) => {
                let mut seen = HashSet::new();
                for (index, item) in items {
                    // The same alias again is the same image again: a list of a million would only cost memory.
                    if let Body::Alias(anchor) = document.node(*item).body
                        && !seen.insert(anchor)
                    {
                        continue;
                    }
                    let walked = self.walk(looked, *item, rest, trail.clone().item(*index));
                    self.defects.extend(walked.err());
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Through an alias to what it stands for, noting anchors that have aliases.
    fn follow(&self, id: NodeId, trail: Trail) -> (NodeId, Trail) {
        let node = self.document.node(id);
        if let Body::Alias(anchor) = node.body {
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
    fn lookup(
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
            if let Some(own) = self.own(mapping, key)? {
                return Ok(Some((own.value, trail)));
            }
            let Some(merge) = self.own(mapping, MERGE)? else {
                continue;
            };
            // The first of a list is the strongest, so it has to be the next that is popped.
            let sources = self.sources(merge.value);
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
                return Err(Defect::new("E066", self.place(merge.key_spot), message)
                    .hint(format!("write `{key}: ...` out where it is meant")));
            }
        }
        Ok(None)
    }

    fn own(&self, mapping: NodeId, key: &str) -> Result<Option<Entry<'t>>, Defect> {
        let mut entries = self.document.entries(mapping, key);
        match (entries.next(), entries.next()) {
            (Some(first), Some(second)) => Err(self.twice(first, second)),
            (first, _) => Ok(first),
        }
    }

    /// The mappings that a merge key names, a few more than are allowed at most.
    fn sources(&self, value: NodeId) -> Vec<NodeId> {
        let (node, _) = self.follow(value, Trail::default());
        match &self.document.node(node).body {
            Body::Sequence(items) => {
                let items = items.iter().take(MERGE_LIMIT + 1);
                items.map(|(_, item)| *item).collect()
            }
            _ => vec![value],
        }
    }

    /// Notes the image at the end of a way.
    fn image(&mut self, looked: &Looked<'t>, node: NodeId, trail: Trail) -> Result<(), Defect> {
        let is_mapping = matches!(self.document.node(node).body, Body::Mapping(_));
        let is_template = self.template(self.document.node(node)).is_some();
        let parts = match looked.form {
            Form::Kustomize => self.kustomize(node, &trail)?,
            Form::Either if is_mapping && !is_template => {
                let mut parts = [const { None }; 4];
                for (part, key) in parts.iter_mut().zip(VALUES) {
                    *part = self.lookup(node, key, &trail)?;
                }
                self.values(parts, VALUES)
            }
            Form::Reference | Form::Either => {
                let scalar = self.scalar(node, trail.clone());
                self.refuse_other_types(looked, node, &scalar)?;
                Some(Parts::Reference(scalar))
            }
        };
        let is_refused = looked.known.is_some_and(|kind| kind.refuses_properties)
            && trail.path.contains(".sparkConf[");
        if let Some(parts) = parts {
            self.note(looked.kind, trail.path, parts);
            if let Some(place) = self.found.places.last_mut() {
                place.is_refused = is_refused;
            }
        }
        Ok(())
    }

    /// Notes a place, by the first of its scalars that stands in the text.
    fn note(&mut self, kind: &str, path: String, parts: Parts) {
        let first = parts.scalars().min_by_key(|scalar| scalar.span.start);
        let Some(first) = first.map(|first| first.place.clone()) else {
            return;
        };
        let is_template = parts.scalars().any(|scalar| scalar.is_template);
        let place = ImagePlace {
            place: first,
            path,
            kind: kind.to_owned(),
            object: self.object,
            mark: None,
            left_alone: is_template.then_some(LeftAlone::Template),
            keeps_repository: false,
            is_refused: false,
            twice: None,
            parts,
        };
        self.found.places.push(place);
    }

    /// Helm's values anywhere in an object of no known kind: whether they name our images, the reader has to say.
    fn candidates(&mut self, root: NodeId) {
        let mut entries = ["kind", "apiVersion"].into_iter();
        let is_object = entries.any(|key| self.document.entries(root, key).next().is_some());
        for candidate in &self.document.candidates {
            let trail = Trail::at(&candidate.path);
            let [image, registry, repository, tag, digest] = self.parts(candidate, &trail);
            let is_name = tag.is_some() || digest.is_some();
            let name = image.clone().filter(|image| is_name && self.is_name(image));
            let parts = if repository.is_none() && name.is_some() {
                let keys = ["registry", "image", "tag", "digest"];
                self.values([registry, name.clone(), tag, digest], keys)
            } else {
                self.values([registry, repository, tag, digest], VALUES)
            };
            if let Some(parts) = parts {
                self.note("values", candidate.path.clone(), parts);
                if let Some(place) = self.found.places.last_mut() {
                    place.twice = candidate_twice(self.file, candidate);
                }
            }
            let image = image.filter(|_| !is_object && name.is_none());
            let image = image.map(|(image, trail)| {
                let (image, trail) = self.follow(image, trail.key("image"));
                (self.scalar(image, trail.clone()), trail.path)
            });
            if let Some((scalar, path)) =
                image.filter(|(scalar, _)| scalar.other_type.is_none() && !scalar.is_template)
            {
                self.note("values", path, Parts::Reference(scalar));
                if let Some(place) = self.found.places.last_mut() {
                    place.twice = candidate_twice(self.file, candidate);
                }
            }
        }
    }

    /// The parts of a candidate in the order of their keys, its own or those that it merges.
    fn parts(
        &self,
        candidate: &Candidate,
        trail: &Trail,
    ) -> [Option<(NodeId, Trail)>; PART_KEYS.len()] {
        let mut parts = candidate
            .parts
            .map(|part| part.map(|node| (node, trail.clone())));
        let Some(merge) = candidate.merge else {
            return parts;
        };
        for (part, key) in parts.iter_mut().zip(PART_KEYS) {
            let mut sources = self.sources(merge).into_iter();
            let merged = || {
                sources.find_map(|source| {
                    let (mapping, trail) = self.follow(source, trail.clone());
                    // What is wrong with it is told where it stands.
                    self.lookup(mapping, key, &trail).ok().flatten()
                })
            };
            *part = part.take().or_else(merged);
        }
        parts
    }

    /// Whether an image is named without a tag, so that one that stands beside it may be its own.
    fn is_name(&self, (image, trail): &(NodeId, Trail)) -> bool {
        let (image, _) = self.follow(*image, trail.clone());
        match &self.document.node(image).body {
            Body::Scalar { value, style, .. } => {
                scalar::trimmed(value, *style).parse::<Repository>().is_ok()
            }
            _ => false,
        }
    }

    /// Registry, repository, tag and digest as Helm's values have them, where there is a repository at least.
    fn values(&self, parts: [Option<(NodeId, Trail)>; 4], keys: [&str; 4]) -> Option<Parts> {
        let mut scalars = [const { None }; 4];
        for ((slot, part), key) in scalars.iter_mut().zip(parts).zip(keys) {
            let Some((node, trail)) = part else {
                continue;
            };
            let (node, trail) = self.follow(node, trail.key(key));
            let node_of = self.document.node(node);
            let is_scalar = matches!(node_of.body, Body::Scalar { .. });
            if !is_scalar && self.template(node_of).is_none() {
                return None;
            }
            *slot = Some(self.scalar(node, trail));
        }
        let [registry, repository, tag, digest] = scalars;
        Some(Parts::Values {
            registry,
            repository: repository?,
            tag,
            digest,
        })
    }

    /// An entry of kustomize's `images`.
    fn kustomize(&self, node: NodeId, trail: &Trail) -> Result<Option<Parts>, Defect> {
        if !matches!(self.document.node(node).body, Body::Mapping(_)) {
            return Ok(None);
        }
        let mut scalars = [const { None }; 4];
        for (slot, key) in scalars.iter_mut().zip(KUSTOMIZE_KEYS) {
            if let Some((value, trail)) = self.lookup(node, key, trail)? {
                let (value, trail) = self.follow(value, trail.key(key));
                if !matches!(self.document.node(value).body, Body::Scalar { .. }) {
                    return Ok(None);
                }
                *slot = Some(self.scalar(value, trail));
            }
        }
        let [name, new_name, new_tag, digest] = scalars;
        Ok(name.map(|name| Parts::Kustomize {
            name,
            new_name,
            new_tag,
            digest,
        }))
    }

    /// The objects and values that stand as text in block scalars.
    fn texts(&mut self) {
        if self.depth >= DEPTH_LIMIT {
            return;
        }
        for (path, node) in &self.document.texts {
            let node = self.document.node(*node);
            let Body::Scalar { value, .. } = &node.body else {
                continue;
            };
            let Some(literal) = Literal::new(self.text, node.spot, value) else {
                continue;
            };
            let (inner, defects) = located(self.file, &literal.text, self.rules, self.depth + 1);
            // What is no YAML in there is somebody else's text.
            if defects.iter().any(|defect| defect.code == "E060") {
                continue;
            }
            self.defects
                .extend(defects.into_iter().map(|defect| Defect {
                    place: literal.place(defect.place),
                    ..defect
                }));
            let place = |place| literal.place(place);
            let span = |span| literal.span(span);
            let objects = inner.objects.into_iter().map(|object| Object {
                place: literal.place(object.place),
                ..object
            });
            let places = inner.places.into_iter();
            let places = places.map(|found| found.moved(&place, &span, path));
            let shared = inner.shared.into_iter().map(|(range, mut shared)| {
                shared.move_by(&place);
                (span(range), shared)
            });
            self.inner.extend(shared);
            let inner = Located {
                places: places.collect(),
                objects: objects.collect(),
                ..Located::default()
            };
            add(self.found, inner);
        }
    }

    /// A node as a scalar of a place; of what is none, its bytes.
    fn scalar(&self, id: NodeId, trail: Trail) -> Scalar {
        let node = self.document.node(id);
        let spot = trail.via.unwrap_or(node.spot);
        let template = self.template(node);
        let mut scalar = Scalar {
            place: self.place(spot),
            path: trail.path,
            at: spot.start,
            value: String::new(),
            is_template: template.is_some(),
            span: node.spot.range(),
            style: ScalarStyle::Plain,
            is_part: false,
            is_fixed: false,
            other_type: None,
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
            Body::Scalar { value, style, tag } => {
                scalar::trimmed(value, *style).clone_into(&mut scalar.value);
                scalar.style = *style;
                scalar.other_type = scalar::other_type(value, *style, tag.as_deref());
                let (span, is_fixed) =
                    scalar::editable(self.text, &scalar.span, &scalar.value, *style);
                (scalar.span, scalar.is_fixed) = (span, is_fixed);
            }
            Body::Sequence(_) => scalar.other_type = Some("a list".to_owned()),
            Body::Mapping(_) | Body::Alias(_) => {
                scalar.other_type = Some("a mapping".to_owned());
            }
        }
        scalar
    }

    /// The bytes of a value that a template engine writes; a bare `{{ … }}` reads as mappings in each other.
    fn template(&self, node: &Node<'_>) -> Option<Range<usize>> {
        match &node.body {
            Body::Scalar { .. } => {
                let raw = self.text.get(node.spot.range())?;
                scalar::holds_expression(raw).then(|| node.spot.range())
            }
            Body::Mapping(_) => {
                let rest = self.text.get(node.spot.start..)?;
                let line = rest.lines().next().unwrap_or_default();
                let end = line.rfind("}}").map_or(line.len(), |end| end + 2);
                line.starts_with("{{")
                    .then_some(node.spot.start..node.spot.start + end)
            }
            _ => None,
        }
    }

    /// In an object of a known kind an image is a string, whoever's it is.
    fn refuse_other_types(
        &self,
        looked: &Looked<'_>,
        node: NodeId,
        scalar: &Scalar,
    ) -> Result<(), Defect> {
        let Some(other) = scalar.other_type.as_ref() else {
            return Ok(());
        };
        let node = self.document.node(node);
        let written = match node.body {
            Body::Scalar { .. } => &self.text[node.spot.range()],
            _ => "",
        };
        let quoted = match written {
            "" => String::new(),
            value => format!(" (`{value}`)"),
        };
        let hint = match (other.as_str(), written) {
            ("null", _) => "write the image's reference there, or remove the key".to_owned(),
            ("a list" | "a mapping", _) => "write one reference, HOST/PATH:TAG".to_owned(),
            (other, _) if other.contains('!') => {
                "remove the tag, and write the image's reference, HOST/PATH:TAG".to_owned()
            }
            (_, value) => format!(
                "write the image's reference, HOST/PATH:TAG; if its name is no more than that, put it in quotes: `\"{value}\"`"
            ),
        };
        let message = format!(
            "`{}` of this {} is {other}{quoted}, not a string",
            scalar.path, looked.kind
        );
        Err(Defect::new("E062", scalar.place.clone(), message).hint(hint))
    }

    fn shared(&self, (anchor, alias): (usize, Spot), via: Option<Spot>) -> Option<Shared> {
        let spot = self.document.anchored(anchor)?.spot;
        let aliases = self.document.aliases(anchor).iter();
        Some(Shared {
            anchor: self.text.get(spot.range())?.to_owned(),
            anchor_place: self.place(spot),
            alias_place: self.place(via.unwrap_or(alias)),
            is_alias: via.is_some(),
            aliases: aliases.map(|alias| self.place(*alias)).collect(),
        })
    }

    fn twice(&self, first: Entry<'_>, second: Entry<'_>) -> Defect {
        twice(self.file, first.key, first.key_spot, second.key_spot).defect()
    }

    fn place(&self, spot: Spot) -> Place {
        spot.place(self.file)
    }
}

fn candidate_twice(file: &Path, candidate: &Candidate) -> Option<Twice> {
    let (key, first, second) = candidate.twice?;
    Some(twice(file, key, first, second))
}

fn twice(file: &Path, key: &str, first: Spot, second: Spot) -> Twice {
    Twice {
        key: key.to_owned(),
        first: first.place(file),
        second: second.place(file),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::{ConfiguredPlace, PathStep};

    fn rules() -> Rules<'static> {
        Rules::new(&[], ["job", "side"])
    }

    fn found(text: &str) -> Vec<ImagePlace> {
        let located = locate(Path::new("f.yml"), text, &rules());
        located.unwrap().places
    }

    fn places(text: &str) -> Vec<(String, String, String)> {
        let places = found(text).into_iter();
        places
            .map(|found| (found.path.clone(), found.written(), found.place.to_string()))
            .collect()
    }

    /// The bytes of a place's first scalar.
    fn bytes<'t>(text: &'t str, place: &ImagePlace) -> &'t str {
        &text[place.parts.scalars().next().unwrap().span.clone()]
    }

    fn paths(text: &str) -> Vec<String> {
        places(text).into_iter().map(|(path, ..)| path).collect()
    }

    /// The only one.
    fn defect(text: &str) -> Defect {
        let mut defects = locate(Path::new("f.yml"), text, &rules()).unwrap_err();
        assert_eq!(defects.len(), 1, "{defects:?}");
        defects.remove(0)
    }

    const SPARK: &str = "apiVersion: sparkoperator.k8s.io/v1beta2\nkind: SparkApplication\n";
    const POD: &str = "apiVersion: v1\nkind: Pod\n";

    #[test]
    fn every_kind_names_its_images_at_its_paths() {
        let spark = "image: a\n    driver: {image: b, cores: 1}\n    executor:\n      image: c";
        let pod = "initContainers: [{image: b}]\n    containers:\n    - name: x\n    - name: y\n      image: a";
        let table = [
            (
                "sparkoperator.k8s.io/v1beta2",
                "SparkApplication",
                "spec",
                spark,
            ),
            (
                "sparkoperator.k8s.io/v1beta2",
                "ScheduledSparkApplication",
                "spec.template",
                spark,
            ),
            ("v1", "Pod", "spec", pod),
            ("apps/v1", "Deployment", "spec.template.spec", pod),
            ("apps/v1", "StatefulSet", "spec.template.spec", pod),
            ("apps/v1", "DaemonSet", "spec.template.spec", pod),
            ("apps/v1", "ReplicaSet", "spec.template.spec", pod),
            ("batch/v1", "Job", "spec.template.spec", pod),
            (
                "batch/v1",
                "CronJob",
                "spec.jobTemplate.spec.template.spec",
                pod,
            ),
        ];
        for (version, kind, prefix, body) in table {
            let keys: Vec<&str> = prefix.split('.').collect();
            let indent = |depth: usize| "  ".repeat(depth);
            let open: Vec<String> = (0..)
                .zip(&keys)
                .map(|(depth, key)| format!("{}{key}:\n", indent(depth)))
                .collect();
            let body_indent = indent(keys.len());
            let nested = body.replace("\n    ", &format!("\n{body_indent}"));
            let text = format!(
                "{}{body_indent}{nested}\nkind: {kind}\napiVersion: {version}\n",
                open.concat()
            );
            let tails: &[&str] = if body == spark {
                &["image", "driver.image", "executor.image"]
            } else {
                &["initContainers[0].image", "containers[1].image"]
            };
            let expected: Vec<String> = tails
                .iter()
                .map(|tail| format!("{prefix}.{tail}"))
                .collect();
            assert_eq!(paths(&text), expected, "{text}");
        }
    }

    /// The paths of an object whose `spec` is in flow style.
    fn paths_of(version: &str, kind: &str, spec: &str) -> Vec<String> {
        paths(&format!(
            "apiVersion: {version}\nkind: {kind}\nspec: {spec}\n"
        ))
    }

    const POD_SPEC: &str = "{containers: [{image: a}], initContainers: [{image: b}], ephemeralContainers: [{image: c}], volumes: [{rbd: {image: x}}, {image: {reference: d}}]}";
    const POD_TAILS: [&str; 4] = [
        "containers[0].image",
        "initContainers[0].image",
        "ephemeralContainers[0].image",
        "volumes[1].image.reference",
    ];

    fn pod_at(prefix: &str) -> Vec<String> {
        POD_TAILS.map(|tail| format!("{prefix}.{tail}")).to_vec()
    }

    #[test]
    fn the_kubeflow_operators_kinds_have_their_pods_sidecars_and_properties() {
        let side = "{image: b, initContainers: [{image: c}], sidecars: [{image: d}], template: {spec: POD}}";
        let spec = format!(
            "{{image: a, driver: {side}, executor: {side}, sparkConf: {{spark.kubernetes.container.image: e, spark.executor.cores: '1'}}, volumes: [{{image: {{reference: f}}}}]}}"
        )
        .replace("POD", POD_SPEC);
        let wanted = |prefix: &str| {
            let mut wanted = vec![format!("{prefix}.image")];
            for side in ["driver", "executor"] {
                let tails = ["image", "initContainers[0].image", "sidecars[0].image"];
                wanted.extend(tails.map(|tail| format!("{prefix}.{side}.{tail}")));
                wanted.extend(pod_at(&format!("{prefix}.{side}.template.spec")));
            }
            wanted.push(format!(
                "{prefix}.sparkConf[\"spark.kubernetes.container.image\"]"
            ));
            wanted.push(format!("{prefix}.volumes[0].image.reference"));
            wanted
        };
        let version = "sparkoperator.k8s.io/v1beta2";
        assert_eq!(paths_of(version, "SparkApplication", &spec), wanted("spec"));
        let scheduled = format!("{{template: {spec}}}");
        assert_eq!(
            paths_of(version, "ScheduledSparkApplication", &scheduled),
            wanted("spec.template")
        );
        let connect = format!("{{image: a, server: {{template: {{spec: {POD_SPEC}}}}}}}");
        let mut wanted = vec!["spec.image".to_owned()];
        wanted.extend(pod_at("spec.server.template.spec"));
        assert_eq!(
            paths_of("sparkoperator.k8s.io/v1alpha1", "SparkConnect", &connect),
            wanted
        );
    }

    #[test]
    fn apaches_and_stackables_kinds_have_their_own_places() {
        let conf = "sparkConf: {spark.kubernetes.container.image: a, spark.kubernetes.driver.container.image: 'x:{{SPARK_VERSION}}', spark.kubernetes.executor.container.image: c}";
        let spec = format!(
            "{{image: none, {conf}, driverSpec: {{podTemplateSpec: {{spec: {POD_SPEC}}}}}, executorSpec: {{podTemplateSpec: {{spec: {POD_SPEC}}}}}}}"
        );
        let properties = ["container", "driver.container", "executor.container"]
            .map(|name| format!("spec.sparkConf[\"spark.kubernetes.{name}.image\"]"));
        let mut wanted = properties.to_vec();
        wanted.extend(pod_at("spec.driverSpec.podTemplateSpec.spec"));
        wanted.extend(pod_at("spec.executorSpec.podTemplateSpec.spec"));
        let version = "spark.apache.org/v1";
        assert_eq!(paths_of(version, "SparkApplication", &spec), wanted);

        let pod = format!("{{statefulSetSpec: {{template: {{spec: {POD_SPEC}}}}}}}");
        let spec = format!("{{masterSpec: {pod}, workerSpec: {pod}}}");
        let mut wanted = pod_at("spec.masterSpec.statefulSetSpec.template.spec");
        wanted.extend(pod_at("spec.workerSpec.statefulSetSpec.template.spec"));
        assert_eq!(paths_of(version, "SparkCluster", &spec), wanted);

        let spec = "{image: a, sparkImage: {custom: b, productVersion: 3.5.6, pullPolicy: Always}}";
        assert_eq!(
            paths_of("spark.stackable.tech/v1alpha1", "SparkApplication", spec),
            ["spec.image", "spec.sparkImage.custom"]
        );
    }

    #[test]
    fn argos_workflows_have_their_templates() {
        let templates = "templates: [{container: {image: a}}, {script: {image: b}, initContainers: [{image: c}], sidecars: [{image: d}]}, {containerSet: {containers: [{image: e}]}}]";
        let tails = [
            "templates[0].container.image",
            "templates[1].script.image",
            "templates[1].initContainers[0].image",
            "templates[1].sidecars[0].image",
            "templates[2].containerSet.containers[0].image",
        ];
        let version = "argoproj.io/v1alpha1";
        for kind in ["Workflow", "WorkflowTemplate", "ClusterWorkflowTemplate"] {
            assert_eq!(
                paths_of(version, kind, &format!("{{{templates}}}")),
                tails.map(|tail| format!("spec.{tail}"))
            );
        }
        assert_eq!(
            paths_of(
                version,
                "CronWorkflow",
                &format!("{{workflowSpec: {{{templates}}}}}")
            ),
            tails.map(|tail| format!("spec.workflowSpec.{tail}"))
        );
    }

    #[test]
    fn the_objects_of_a_list_are_found() {
        let pod = "{apiVersion: v1, kind: Pod, spec: {containers: [{image: a}]}}";
        let text = format!(
            "apiVersion: v1\nkind: List\nitems:\n- {pod}\n- {{kind: Secret}}\n- {{apiVersion: v1, kind: PodList, items: [{pod}]}}\n"
        );
        assert_eq!(
            paths(&text),
            [
                "items[0].spec.containers[0].image",
                "items[2].items[0].spec.containers[0].image"
            ]
        );
        let aside = format!("apiVersion: v1\nkind: ConfigMap\nitems: [{pod}]\n");
        assert_eq!(paths(&aside), Vec::<String>::new());
        let cycle = "apiVersion: v1\nkind: List\nitems: &x\n- {kind: List, items: *x}\n";
        assert_eq!(paths(cycle), Vec::<String>::new());
    }

    #[test]
    fn other_groups_kinds_and_shapes_are_passed_over() {
        for text in [
            "",
            "# nothing\n",
            "- a\n- b\n",
            "just text\n",
            "---\n---\n",
            "apiVersion: spark.apache.org/v1\nkind: SparkApplication\nspec: {image: a}\n",
            "apiVersion: v1\nkind: ConfigMap\nspec: {image: a, image: b}\n",
            "apiVersion: v1\nkind: [Pod]\nspec: {containers: [{image: a}]}\n",
            "apiVersion: v1\nkind: Pod\nspec: none\n",
            "apiVersion: v1\nkind: Pod\nspec: {containers: {image: a}}\n",
            "apiVersion: v1\nkind: Pod\nspec: {containers: [image, a], volumes: [{rbd: {image: b}}]}\n",
            "apiVersion: v1\nkind: Pod\nmetadata: {spec: {containers: [{image: a}]}}\n",
            "apiVersion: v1\nkind: Pod\n? [spec]\n: {containers: [{image: a}]}\n",
        ] {
            assert_eq!(paths(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn places_and_spans_are_those_of_the_scalar() {
        let text = format!("\u{feff}{SPARK}spec:\r\n  \"image\": !!str &x  'ä:1'  # c\r\n");
        let found = found(&text);
        let [image] = found.as_slice() else {
            panic!("{found:?}")
        };
        assert_eq!(image.place.to_string(), "f.yml:4:22");
        assert_eq!(bytes(&text, image), "'ä:1'");
        assert_eq!(
            (
                image.written().as_str(),
                image.kind.as_str(),
                &image.left_alone
            ),
            ("ä:1", "SparkApplication", &None)
        );
    }

    #[test]
    fn several_documents_are_read_in_order() {
        let text = format!(
            "# first\n{SPARK}spec: {{image: a}}\n...\n--- # second\n{{\"spec\":{{\"containers\":[{{\"image\":\"b\"}}]}},\"kind\":\"Pod\",\"apiVersion\":\"v1\"}}\n---\nkind: Secret\n---\n{SPARK}spec: {{image: c}}"
        );
        let values: Vec<String> = places(&text)
            .into_iter()
            .map(|(_, value, _)| value)
            .collect();
        assert_eq!(values, ["a", "b", "c"]);
    }

    #[test]
    fn aliases_and_merges_are_followed() {
        let text = format!(
            "x: &base\n  image: a\n  y: &name b\n{SPARK}spec:\n  image: *name\n  driver: *base\n  executor:\n    <<: [*base, {{image: d}}]\n"
        );
        let expected = [
            ("spec.image", "b", "f.yml:7:10"),
            ("spec.driver.image", "a", "f.yml:8:11"),
            ("spec.executor.image", "a", "f.yml:10:10"),
        ]
        .map(|(path, value, place)| (path.to_owned(), value.to_owned(), place.to_owned()));
        assert_eq!(places(&text), expected);

        let own = format!(
            "x: &base {{image: a}}\n{SPARK}spec:\n  driver: {{<<: *base, image: own}}\n  executor: {{'<<': *base}}\n  <<: {{image: inline}}\n"
        );
        let values: Vec<String> = places(&own)
            .into_iter()
            .map(|(_, value, _)| value)
            .collect();
        assert_eq!(values, ["own", "inline"]);

        let keys = "- &v apiVersion\n- &k kind\n";
        let text = format!("? &s spec\n: {{? *s : 1, image: a}}\nx: {keys}").replace("x: ", "x:\n");
        let text = format!("{text}*v : sparkoperator.k8s.io/v1beta2\n*k : SparkApplication\n");
        assert_eq!(paths(&text), ["spec.image"]);
    }

    #[test]
    fn templates_are_told_apart() {
        for (value, shown) in [
            ("{{ .Values.image }} # c", "{{ .Values.image }}"),
            ("'{{ image }}:1'", "'{{ image }}:1'"),
            ("\"${REGISTRY}/job\"", "\"${REGISTRY}/job\""),
            ("${REGISTRY}/job:${TAG}", "${REGISTRY}/job:${TAG}"),
        ] {
            let text = format!("{SPARK}spec:\n  image: {value}\n");
            let found = found(&text);
            assert_eq!(found[0].left_alone, Some(LeftAlone::Template), "{value}");
            assert_eq!(found[0].written(), shown);
            assert_eq!(bytes(&text, &found[0]), shown);
        }
    }

    #[test]
    fn what_is_not_yaml_is_told_with_its_place() {
        let table = [
            (
                format!("{POD}spec:\n\tcontainers: []\n"),
                "f.yml:4:",
                "spaces",
            ),
            (format!("{POD}a: \"b\n"), "f.yml:3:4", ""),
            (format!("{POD}a: *nope\n"), "f.yml:3:4", ""),
            (format!("{POD}a: [\n"), "f.yml:3:4", ""),
        ];
        for (text, place, hint) in table {
            let defect = defect(&text);
            assert_eq!(defect.code, "E060", "{defect}");
            assert!(defect.place.to_string().starts_with(place), "{defect}");
            assert!(defect.hint.unwrap_or_default().contains(hint), "{text}");
        }
    }

    #[test]
    fn what_is_no_yaml_before_it_is_rendered_has_only_its_marks() {
        let text = format!(
            "{POD}a: {{{{ x }}}}-{{{{ y }}}}\nb: 'x/job:1' # sparkpack: job\nc: 1 # sparkpack: ignore\n"
        );
        let located = locate(Path::new("f.yml"), &text, &rules()).unwrap();
        assert!(located.is_template);
        let [place] = located.places.as_slice() else {
            panic!("{located:?}")
        };
        assert_eq!(place.mark.as_deref(), Some("job"));
        assert_eq!(
            (bytes(&text, place), place.place.to_string()),
            ("'x/job:1'", "f.yml:4:4".to_owned())
        );
        assert!(located.is_ignored(text.find("c: 1").unwrap()));
        let quoted = format!("{POD}a: \"{{{{ x }}}}\"\nb: [\n");
        assert_eq!(defect(&quoted).code, "E060");
        let code = "image = \"x/job:1\",  # sparkpack: job\n";
        let located = locate(Path::new("f.py"), code, &rules()).unwrap();
        assert_eq!(bytes(code, &located.places[0]), "\"x/job:1\"");
    }

    #[test]
    fn marks_that_mean_nothing_are_told() {
        let table = [
            (
                "a: x # sparkpack: jobb\n",
                "E202",
                "f.yml:1:6",
                "did you mean `job`?",
            ),
            (
                "a: x # sparkpack: job image\n",
                "E202",
                "f.yml:1:6",
                "write `# sparkpack: IMAGE`",
            ),
            ("# sparkpack: job\na: x\n", "E202", "f.yml:1:1", "same line"),
            (
                "a: [x, y z] # sparkpack: job\n",
                "E202",
                "f.yml:1:13",
                "a line of its own",
            ),
            (
                "a: '{{ x }}' # sparkpack: job\n",
                "E203",
                "f.yml:1:4",
                "remove the mark",
            ),
            (
                "a: {b: x, c: y} # sparkpack: job\n",
                "E202",
                "f.yml:1:17",
                "a line of its own",
            ),
            (
                "a: hello # sparkpack: job digest\n",
                "E202",
                "f.yml:1:4",
                "write a digest",
            ),
            (
                "a: 'a b' # sparkpack: job tag\n",
                "E202",
                "f.yml:1:10",
                "a line of its own",
            ),
        ];
        for (text, code, place, hint) in table {
            let defect = defect(text);
            assert_eq!(
                (defect.code, defect.place.to_string().as_str()),
                (code, place)
            );
            assert!(defect.hint.unwrap().contains(hint), "{text}");
        }
    }

    #[test]
    fn words_like_a_mark_in_a_text_are_words() {
        for prose in [
            "# sparkpack: see the README\n",
            "note: \"see # sparkpack: jobb\"\n",
            "note: |\n  a: x # sparkpack: IMAGE\n",
            "note: \"b\n  a: x # sparkpack: IMAGE\n  c\"\n",
        ] {
            assert!(found(prose).is_empty(), "{prose}");
        }
        let second = found("a: x # c # sparkpack: job\n");
        assert_eq!(second[0].mark.as_deref(), Some("job"));
        let within = found("a: |\n  b: x # sparkpack: job\n");
        assert_eq!(within[0].mark.as_deref(), Some("job"));
    }

    #[test]
    fn helms_values_have_parts_at_any_depth() {
        let text = "a:\n  b:\n  - image:\n      registry: r:5000\n      repository: team/job\n      tag: &t '1'\n      digest: ''\n  c: {image: 'r:5000/team/job:1', repository: [x]}\nd: {repository: team/x, tag: *t}\n";
        let found: Vec<(String, String)> = found(text)
            .into_iter()
            .map(|place| (place.path.clone(), place.written()))
            .collect();
        let expected = [
            ("a.b[0].image", "r:5000/team/job:1"),
            ("a.c.image", "r:5000/team/job:1"),
            ("d", "team/x:1"),
        ];
        assert_eq!(
            found,
            expected.map(|(path, value)| (path.to_owned(), value.to_owned()))
        );
        let shared = |text: &str| {
            let places = self::found(text);
            places
                .iter()
                .all(|place| place.parts.scalars().all(|scalar| scalar.shared.is_some()))
        };
        assert!(shared(
            "image: &i\n  repository: r/job\n  tag: x\nother: *i\n"
        ));
        assert!(shared(
            "a: &i\n- image: {repository: r/job, tag: x}\nother: *i\n"
        ));
        let object = format!("{POD}x: {{repository: a/b, tag: c}}\n");
        assert_eq!(paths(&object), Vec::<String>::new());
    }

    #[test]
    fn kustomizations_have_their_entries() {
        let entries = "images:\n- {name: job, newName: r/job, newTag: '1'}\n- name: r/side\n  digest: sha256:0\n- newTag: x\n";
        for (file, head) in [
            ("kustomization.yaml", ""),
            (
                "k.yml",
                "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n",
            ),
            (
                "c.yml",
                "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n",
            ),
        ] {
            let text = format!("{head}{entries}");
            let located = locate(Path::new(file), &text, &rules()).unwrap();
            let written: Vec<String> = located.places.iter().map(ImagePlace::written).collect();
            assert_eq!(written, ["r/job:1", "r/side@sha256:0"], "{file}");
        }
        assert_eq!(paths(entries), Vec::<String>::new());
    }

    #[test]
    fn objects_as_text_in_a_block_scalar_are_read_where_they_stand() {
        let text = format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nspec:\n  templates:\n  - resource:\n      manifest: |\n        # {{{{x}}}}\n        {}        spec:\n          image: 'a'\n          driver: {{image: b}}\n    container: {{image: c}}\n",
            SPARK.replace('\n', "\n        ").trim_end_matches(' ')
        );
        for text in [text.clone(), text.replace('\n', "\r\n")] {
            let found = found(&text);
            let shown: Vec<(&str, &str, usize)> = found
                .iter()
                .map(|place| (place.path.as_str(), bytes(&text, place), place.place.line))
                .collect();
            assert_eq!(
                shown,
                [
                    ("spec.templates[0].resource.manifest: spec.image", "'a'", 11),
                    (
                        "spec.templates[0].resource.manifest: spec.driver.image",
                        "b",
                        12
                    ),
                    ("spec.templates[0].container.image", "c", 13),
                ]
            );
        }
    }

    #[test]
    fn configured_places_are_looked_at() {
        let steps = |keys: &[&str]| {
            let steps = keys.iter().map(|key| match *key {
                "[]" => PathStep::Each,
                key => PathStep::Key(key.to_owned()),
            });
            steps.collect()
        };
        let places = [ConfiguredPlace {
            group: "example.com".to_owned(),
            kind: "SparkJob".to_owned(),
            path: steps(&["spec", "steps", "[]", "my.image"]),
        }];
        let rules = Rules::new(&places, ["job"]);
        let text = "apiVersion: example.com/v1\nkind: SparkJob\nspec: {steps: [{my.image: a/b}, {my.image: {repository: c/d, tag: e}}]}\n";
        let located = locate(Path::new("f.yml"), text, &rules).unwrap();
        let written: Vec<String> = located.places.iter().map(ImagePlace::written).collect();
        assert_eq!(written, ["a/b", "c/d:e"]);
        assert_eq!(located.places[1].path, "spec.steps[1][\"my.image\"]");
    }

    #[test]
    fn a_key_that_is_there_twice_on_the_way_is_not_guessed() {
        let table = [
            (
                format!("{SPARK}spec:\n  image: a\n  image: b\n"),
                "image",
                "f.yml:4:3",
                "f.yml:5:3",
            ),
            (
                format!("{SPARK}spec: {{image: a}}\n\"spec\": {{}}\n"),
                "spec",
                "f.yml:3:1",
                "f.yml:4:1",
            ),
            (
                format!("{SPARK}kind: ConfigMap\n"),
                "kind",
                "f.yml:2:1",
                "f.yml:3:1",
            ),
            (
                format!("apiVersion: v2\n{SPARK}"),
                "apiVersion",
                "f.yml:1:1",
                "f.yml:2:1",
            ),
            (
                format!("{POD}spec:\n  containers:\n  - {{image: a,\n     image: a, image: a}}\n"),
                "image",
                "f.yml:5:6",
                "f.yml:6:6",
            ),
        ];
        for (text, key, first, second) in table {
            let defect = defect(&text);
            assert_eq!(defect.code, "E061");
            assert_eq!(defect.place.to_string(), second, "{text}");
            assert_eq!(
                defect.message,
                format!("the key `{key}` is there twice: first at {first}")
            );
        }
        let aside = format!(
            "{SPARK}spec:\n  image: a\n  labels: 1\n  labels: 2\n  template: 1\n  template: 2\n"
        );
        assert_eq!(paths(&aside), ["spec.image"]);
    }

    #[test]
    fn all_that_is_wrong_in_a_text_is_told_at_once() {
        let text = format!(
            "{POD}spec:\n  containers: [{{image: ~}}, {{image: 1}}]\n---\n{SPARK}spec: {{}}\nspec: {{}}\nx: y # sparkpack: jbo\n---\n{POD}data:\n  x: |\n    {}    spec: {{image: [a]}}\n---\na: *x\n",
            SPARK.replace('\n', "\n    ").trim_end_matches(' ')
        );
        let defects = locate(Path::new("f.yml"), &text, &rules()).unwrap_err();
        let shown: Vec<(&str, String)> = defects
            .iter()
            .map(|defect| (defect.code, defect.place.to_string()))
            .collect();
        let expected = [
            ("E062", "f.yml:4:24"),
            ("E062", "f.yml:4:36"),
            ("E061", "f.yml:9:1"),
            ("E202", "f.yml:10:6"),
            ("E062", "f.yml:18:19"),
            ("E060", "f.yml:20:4"),
        ];
        assert_eq!(
            shown,
            expected.map(|(code, place)| (code, place.to_owned()))
        );
    }

    #[test]
    fn an_image_that_is_no_string_is_told_with_its_type() {
        let table = [
            ("", "null"),
            ("~", "null"),
            ("1.10", "a number"),
            ("on", "a boolean"),
            ("[a]", "a list"),
            ("{repository: a, tag: b}", "a mapping"),
            ("!!binary YQ==", "a value with the tag `!!binary`"),
            ("!Ref a", "a value with the tag `!Ref`"),
            ("2001-12-14", "a date"),
        ];
        for (value, expected) in table {
            let defect = defect(&format!("{SPARK}spec:\n  driver:\n    image: {value}\n"));
            assert_eq!(defect.code, "E062", "{value}");
            assert_eq!(defect.place.line, 5, "{value}");
            assert!(
                defect.message.starts_with(&format!(
                    "`spec.driver.image` of this SparkApplication is {expected}"
                )),
                "{defect}"
            );
        }
        for value in ["!!str 1.10", "'1.10'", "! 12", "|\n      1.10", "a:1.10"] {
            let text = format!("{SPARK}spec:\n  driver:\n    image: {value}\n");
            assert_eq!(paths(&text), ["spec.driver.image"], "{value}");
        }
    }

    #[test]
    fn alias_and_merge_bombs_cost_nothing() {
        let mut text = format!("{SPARK}a0: &a0 {{x: 1}}\n");
        for level in 1..400 {
            let below = format!("*a{}", level - 1);
            let list = [below.as_str(); 9].join(", ");
            text.extend([format!(
                "a{level}: &a{level} {{<<: [{list}], b: [{list}]}}\n"
            )]);
        }
        let cycle =
            format!("{text}spec: &spec\n  image: a\n  driver: {{<<: *spec}}\n  <<: *spec\n");
        let begun = std::time::Instant::now();
        assert_eq!(paths(&cycle), ["spec.image", "spec.driver.image"]);
        let deep = defect(&format!("{text}spec: *a399\n"));
        assert_eq!(deep.code, "E066", "{deep}");

        let aliases = vec!["*c"; 20_000].join(",");
        let list = format!("{POD}x: &c {{image: a}}\nspec: {{containers: [{aliases}]}}\n");
        assert_eq!(paths(&list), ["spec.containers[0].image"]);
        assert!(begun.elapsed().as_secs() < 1, "{:?}", begun.elapsed());
    }
}
