//! The way through a document to all the images that it names.

use std::{collections::HashSet, ops::Range};

use super::{
    document::{Body, Entry, NodeId},
    image_place::{ImagePlace, LeftAlone, Parts, Scalar},
    keys::{ITEMS, VALUES},
    located::{Findings, Object},
    places::{Form, Kind, Step},
    rules::{Looked, Rules, is_list},
    shared::{Shared, SharedRanges},
    view::{Trail, View},
};
use crate::project::place::Defect;

/// How deep lists of objects may lie in each other.
const DEPTH_LIMIT: usize = 8;

/// Finds the images of one document.
pub(super) struct Walk<'d, 't> {
    view: View<'d, 't>,
    rules: &'d Rules<'t>,
    found: &'d mut Findings,
    /// The number of the object that is being read.
    object: Option<usize>,
    /// The number of the document's first place.
    first: usize,
}
impl<'d, 't> Walk<'d, 't> {
    pub(super) fn new(view: View<'d, 't>, rules: &'d Rules<'t>, found: &'d mut Findings) -> Self {
        let first = found.located.places.len();
        Self {
            view,
            rules,
            found,
            object: None,
            first,
        }
    }

    /// Finds the images of the document; those in texts within it are `nested`.
    pub(super) fn document(&mut self, nested: Findings) {
        let Some(root) = self.view.document.root() else {
            return;
        };
        let read = self.object(root, &Trail::default(), 0);
        self.found.defects.extend(read.err());
        let is_mapping = matches!(self.view.document.node(root).body, Body::Mapping(_));
        if is_mapping && !self.view.document.is_of_known_kind(root, self.rules) {
            self.candidates(root);
        }
        self.finish(nested);
    }

    /// Adds what texts within the document hold, and tells each value of the anchors around it: a value that was not
    /// reached from the root does not know them yet, and a change of it would change other places too.
    fn finish(&mut self, mut nested: Findings) {
        let mut inner = std::mem::take(&mut nested.located.shared);
        self.found.append(nested);
        let anchors = self.view.document.shared();
        let ranges = anchors.filter_map(|(span, anchor)| {
            let alias = *self.view.document.aliases(anchor).first()?;
            Some((span, self.view.shared((anchor, alias), None)?))
        });
        let mut ranges: Vec<(Range<usize>, Shared)> = ranges.collect();
        ranges.append(&mut inner);
        if ranges.is_empty() {
            return;
        }
        let around = SharedRanges::of(ranges.clone());
        self.found.located.shared.extend(ranges);
        for scalar in self.found.located.places[self.first..]
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
            let before = self.found.located.places.len();
            self.object = self.described(node, kinds).map(|object| {
                self.found.located.objects.push(object);
                self.found.located.objects.len() - 1
            });
            for looked in kinds {
                for way in &looked.ways {
                    let walked = self.walk(looked, node, way, trail.clone());
                    self.found.defects.extend(walked.err());
                }
            }
            let has_images = self.found.located.places.len() > before;
            if let Some(object) = self.object.take() {
                self.found.located.objects[object].has_images = has_images;
            }
            return Ok(());
        }
        let names: Vec<Entry<'_>> = self.view.document.entries(node, "kind").collect();
        let mut names = names.iter().filter_map(|name| self.view.string(name.value));
        if depth >= DEPTH_LIMIT || !names.any(is_list) {
            return Ok(());
        }
        let Some((list, trail)) = self.view.lookup(node, ITEMS, trail)? else {
            return Ok(());
        };
        let (list, trail) = self.view.follow(list, trail.key(ITEMS));
        let Body::Sequence(items) = &self.view.document.node(list).body else {
            return Ok(());
        };
        let mut seen = HashSet::new();
        for (index, item) in items {
            if let Body::Alias(anchor) = self.view.document.node(*item).body
                && !seen.insert(anchor)
            {
                continue;
            }
            let (item, trail) = self.view.follow(*item, trail.clone().item(*index));
            let read = self.object(item, &trail, depth + 1);
            self.found.defects.extend(read.err());
        }
        Ok(())
    }

    /// What is looked at in the object, by its kind or by its file's name.
    fn kinds(&self, root: NodeId) -> Result<Option<&'d [Looked<'t>]>, Defect> {
        let versions: Vec<Entry<'_>> = self.view.document.entries(root, "apiVersion").collect();
        let names: Vec<Entry<'_>> = self.view.document.entries(root, "kind").collect();
        let pairs = versions
            .iter()
            .flat_map(|version| names.iter().map(move |name| (version, name)));
        let known = pairs.filter_map(|(version, name)| {
            let rules: &'d Rules<'t> = self.rules;
            rules.kind(
                self.view.string(version.value)?,
                self.view.string(name.value)?,
            )
        });
        let kinds = known.into_iter().next();
        match (kinds, versions.as_slice(), names.as_slice()) {
            (Some(_), [first, second], _) | (Some(_), _, [first, second]) => {
                Err(self.view.twice(*first, *second))
            }
            (None, _, []) => Ok(self.rules.kustomization(self.view.file)),
            _ => Ok(kinds),
        }
    }

    /// An object of the table, as others have to know it.
    fn described(&self, node: NodeId, kinds: &[Looked<'t>]) -> Option<Object> {
        let known: &Kind = kinds.iter().find_map(|looked| looked.known)?;
        let name = self.view.document.entries(node, "kind").next();
        let spot = name.map_or(self.view.document.node(node).spot, |name| {
            self.view.document.node(name.value).spot
        });
        Some(Object {
            place: self.view.place(spot),
            kind: known.name.to_owned(),
            group: known.group.to_owned(),
            spark_version: known
                .spark_version
                .and_then(|steps| self.view.plain_value(node, steps)),
            has_images: false,
        })
    }

    /// Along the steps to the images.
    fn walk(
        &mut self,
        looked: &Looked<'t>,
        node: NodeId,
        steps: &[Step<'t>],
        trail: Trail,
    ) -> Result<(), Defect> {
        let (node, trail) = self.view.follow(node, trail);
        let document = self.view.document;
        match (steps, &document.node(node).body) {
            ([], _) => self.image(looked, node, trail),
            ([Step::Key(key), rest @ ..], Body::Mapping(_)) => {
                match self.view.lookup(node, key, &trail)? {
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
                    self.found.defects.extend(walked.err());
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Notes the image at the end of a way.
    fn image(&mut self, looked: &Looked<'t>, node: NodeId, trail: Trail) -> Result<(), Defect> {
        let is_mapping = matches!(self.view.document.node(node).body, Body::Mapping(_));
        let is_template = self.view.template(self.view.document.node(node)).is_some();
        let parts = match looked.form {
            Form::Kustomize => self.view.kustomize(node, &trail)?,
            Form::Either if is_mapping && !is_template => {
                let mut parts = [const { None }; 4];
                for (part, key) in parts.iter_mut().zip(VALUES) {
                    *part = self.view.lookup(node, key, &trail)?;
                }
                self.view.values(parts, VALUES)
            }
            Form::Reference | Form::Either => {
                let scalar = self.view.scalar(node, trail.clone());
                self.refuse_other_types(looked, node, &scalar)?;
                Some(Parts::Reference(scalar))
            }
        };
        let is_refused = looked.known.is_some_and(|kind| kind.refuses_properties)
            && trail.path.contains(".sparkConf[");
        if let Some(parts) = parts {
            self.note(looked.kind, trail.path, parts);
            if let Some(place) = self.found.located.places.last_mut() {
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
        self.found.located.places.push(place);
    }

    /// Helm's values anywhere in an object of no known kind: whether they name our images, the reader has to say.
    fn candidates(&mut self, root: NodeId) {
        let mut entries = ["kind", "apiVersion"].into_iter();
        let is_object = entries.any(|key| self.view.document.entries(root, key).next().is_some());
        for candidate in &self.view.document.candidates {
            let trail = Trail::at(&candidate.path);
            let [image, registry, repository, tag, digest] = self.view.parts(candidate, &trail);
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
            if let Some(parts) = parts {
                self.note("values", candidate.path.clone(), parts);
                if let Some(place) = self.found.located.places.last_mut() {
                    place.twice = self.view.candidate_twice(candidate);
                }
            }
            let image = image.filter(|_| !is_object && name.is_none());
            let image = image.map(|(image, trail)| {
                let (image, trail) = self.view.follow(image, trail.key("image"));
                (self.view.scalar(image, trail.clone()), trail.path)
            });
            if let Some((scalar, path)) =
                image.filter(|(scalar, _)| scalar.other_type.is_none() && !scalar.is_template)
            {
                self.note("values", path, Parts::Reference(scalar));
                if let Some(place) = self.found.located.places.last_mut() {
                    place.twice = self.view.candidate_twice(candidate);
                }
            }
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
        let node = self.view.document.node(node);
        let written = match node.body {
            Body::Scalar { .. } => &self.view.text[node.spot.range()],
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
}
