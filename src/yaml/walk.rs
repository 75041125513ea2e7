//! Walks through a document to all the images that it names.

use std::{collections::HashSet, ops::Range};

use super::{
    document::{MappingEntry, NodeBody, NodeId},
    image_place::{ImagePlace, LeftAlone, ReferenceParts, Scalar},
    keys::{ITEMS, VALUES},
    local_files::local_files,
    located::{Findings, Object},
    places::{Form, ObjectKind, Step},
    rules::{KindRule, PlaceRules, is_list},
    shared::{NestedRanges, SharedAnchor},
    view::{Trail, View},
};
use crate::{code::Code, project::place::Defect};

/// How deep lists of objects may lie in each other.
const DEPTH_LIMIT: usize = 8;

/// Finds the images of one document.
pub(super) struct Walk<'d, 't> {
    pub(super) view: View<'d, 't>,
    pub(super) rules: &'d PlaceRules<'t>,
    pub(super) found: &'d mut Findings,
    /// The index of the object that is being read.
    object: Option<usize>,
    /// The index of the document's first place.
    pub(super) first: usize,
    /// The starts of the values that a kind's rule says to be whole references, or to be parts of one.
    pub(super) ruled: HashSet<usize>,
    /// The starts of the values that the project's configuration calls images.
    pub(super) configured: HashSet<usize>,
}

impl<'d, 't> Walk<'d, 't> {
    pub(super) fn new(
        view: View<'d, 't>,
        rules: &'d PlaceRules<'t>,
        found: &'d mut Findings,
    ) -> Self {
        let first = found.located.places.len();
        Self {
            view,
            rules,
            found,
            object: None,
            first,
            ruled: HashSet::new(),
            configured: HashSet::new(),
        }
    }

    /// Finds the images of the document; `nested` was found in the texts of its block scalars.
    pub(super) fn document(&mut self, nested: Findings) {
        let Some(root) = self.view.document.root() else {
            return;
        };
        let read = self.object(root, &Trail::default(), 0);
        self.found.defects.extend(read.err());
        self.groups(root);
        self.finish(nested);
        self.tell_duplicates();
    }

    /// Sets the key that is there twice on the way to each image, within which readers of YAML take another value.
    fn tell_duplicates(&mut self) {
        let view = self.view;
        let twice = view.document.twice.iter();
        let ranges = NestedRanges::of(twice.map(|twice| (twice.span.clone(), twice)).collect());
        let places = self.found.located.places[self.first..].iter_mut();
        for place in places.filter(|place| place.duplicate_key.is_none()) {
            // An alias stands elsewhere than its value, and a key matters on the way to either.
            let mut scalars = place.parts.scalars();
            let twice = scalars.find_map(|scalar| {
                let own = ranges.around(&(scalar.offset..scalar.offset));
                own.or_else(|| ranges.around(&scalar.span))
            });
            place.duplicate_key = twice.map(|twice| view.twice(twice));
        }
    }

    /// Adds what was found in block scalars, and sets the anchor around each scalar that was not reached by a path from
    /// the root: a change of such a scalar would change the aliases, too.
    fn finish(&mut self, mut nested: Findings) {
        let blocks = self.view.document.blocks.iter().cloned();
        self.found.located.blocks.extend(blocks);
        let mut inner = std::mem::take(&mut nested.located.shared);
        self.found.append(nested);
        let anchors = self.view.document.shared();
        let ranges = anchors.filter_map(|(span, anchor)| {
            let alias = *self.view.document.aliases(anchor).first()?;
            Some((span, self.view.shared((anchor, alias), None)?))
        });
        let mut ranges: Vec<(Range<usize>, SharedAnchor)> = ranges.collect();
        ranges.append(&mut inner);
        if ranges.is_empty() {
            return;
        }
        let around = NestedRanges::of(ranges.clone());
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
        if let Some(rules) = self.kinds(node)? {
            let before = self.found.located.places.len();
            self.object = self.describe(node, rules).map(|object| {
                self.found.located.objects.push(object);
                self.found.located.objects.len() - 1
            });
            for rule in rules {
                for path in &rule.paths {
                    let walked = self.walk(rule, node, path, trail.clone());
                    self.found.defects.extend(walked.err());
                }
            }
            let has_images = self.found.located.places.len() > before;
            if let Some(object) = self.object.take() {
                self.found.located.objects[object].has_images = has_images;
            }
            return Ok(());
        }
        let names: Vec<MappingEntry<'_>> = self.view.document.entries(node, "kind").collect();
        let mut names = names.iter().filter_map(|name| self.view.string(name.value));
        if depth >= DEPTH_LIMIT || !names.any(is_list) {
            return Ok(());
        }
        let Some((list, trail)) = self.view.lookup(node, ITEMS, trail)? else {
            return Ok(());
        };
        let (list, trail) = self.view.follow(list, trail.key(ITEMS));
        let NodeBody::Sequence(items) = &self.view.document.node(list).body else {
            return Ok(());
        };
        let mut seen = HashSet::new();
        for (index, item) in items {
            if let NodeBody::Alias(anchor) = self.view.document.node(*item).body
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

    /// The rules for the object, by its kind or by its file's name.
    fn kinds(&self, root: NodeId) -> Result<Option<&'d [KindRule<'t>]>, Defect> {
        let versions: Vec<MappingEntry<'_>> =
            self.view.document.entries(root, "apiVersion").collect();
        let names: Vec<MappingEntry<'_>> = self.view.document.entries(root, "kind").collect();
        let pairs = versions
            .iter()
            .flat_map(|version| names.iter().map(move |name| (version, name)));
        let known = pairs.filter_map(|(version, name)| {
            let rules: &'d PlaceRules<'t> = self.rules;
            rules.kind(
                self.view.string(version.value)?,
                self.view.string(name.value)?,
            )
        });
        let rules = known.into_iter().next();
        match (rules, versions.as_slice(), names.as_slice()) {
            (Some(_), [first, second], _) | (Some(_), _, [first, second]) => {
                Err(self.view.duplicate(*first, *second))
            }
            (None, _, []) => Ok(self.rules.kustomization(self.view.file)),
            _ => Ok(rules),
        }
    }

    /// Describes an object of a kind in the table; `None` for a configured kind.
    fn describe(&self, node: NodeId, rules: &[KindRule<'t>]) -> Option<Object> {
        let known: &ObjectKind = rules.iter().find_map(|rule| rule.entry)?;
        let name = self.view.document.entries(node, "kind").next();
        let spot = name.map_or(self.view.document.node(node).spot, |name| {
            self.view.document.node(name.value).spot
        });
        Some(Object {
            place: self.view.place(spot),
            kind: known.name.to_owned(),
            group: known.group.to_owned(),
            is_spark: known.spark_version.is_some(),
            spark_version: known
                .spark_version
                .and_then(|steps| self.view.plain_value(node, steps)),
            local: local_files(&self.view, node, known),
            has_images: false,
        })
    }

    /// Follows the steps of a path to the images at its end.
    fn walk(
        &mut self,
        rule: &KindRule<'t>,
        node: NodeId,
        steps: &[Step<'t>],
        trail: Trail,
    ) -> Result<(), Defect> {
        let (node, trail) = self.view.follow(node, trail);
        let document = self.view.document;
        match (steps, &document.node(node).body) {
            ([], _) => self.image(rule, node, trail),
            ([Step::Key(key), rest @ ..], NodeBody::Mapping(_)) => {
                match self.view.lookup(node, key, &trail)? {
                    Some((value, trail)) => self.walk(rule, value, rest, trail.key(key)),
                    None => Ok(()),
                }
            }
            ([Step::Each, rest @ ..], NodeBody::Sequence(items)) => {
                let mut seen = HashSet::new();
                for (index, item) in items {
                    // The same alias is the same image: a list with a million of them would only cost memory.
                    if let NodeBody::Alias(anchor) = document.node(*item).body
                        && !seen.insert(anchor)
                    {
                        continue;
                    }
                    let walked = self.walk(rule, *item, rest, trail.clone().item(*index));
                    self.found.defects.extend(walked.err());
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Adds the image at the end of a path.
    fn image(&mut self, rule: &KindRule<'t>, node: NodeId, trail: Trail) -> Result<(), Defect> {
        self.found.located.configured.extend(rule.configured);
        let is_mapping = matches!(self.view.document.node(node).body, NodeBody::Mapping(_));
        let is_template = self.view.template(self.view.document.node(node)).is_some();
        let parts = match rule.form {
            Form::Kustomize => self.view.kustomize(node, &trail)?,
            Form::Either if is_mapping && !is_template => self.configured_mapping(node, &trail)?,
            Form::Reference | Form::Either => {
                let scalar = self.view.scalar(node, trail.clone());
                self.refuse_other_types(rule, node, &scalar)?;
                let is_ours = self.rules.matcher.mention(&scalar.value).is_some();
                if rule.form == Form::Either && is_ours {
                    // What stands beside it may belong to it.
                    self.configured.insert(scalar.span.start);
                    return Ok(());
                }
                Some(ReferenceParts::Reference(scalar))
            }
        };
        self.ruled.extend(
            parts
                .iter()
                .flat_map(ReferenceParts::scalars)
                .map(|scalar| scalar.span.start),
        );
        let is_refused = rule.entry.is_some_and(|kind| kind.refuses_properties)
            && trail.path.contains(".sparkConf[");
        if let Some(parts) = parts {
            let affix = match rule.form {
                Form::Kustomize => self.view.tag_suffix(node, &trail)?,
                Form::Reference | Form::Either => None,
            };
            self.add_place(rule.kind, trail.path, parts);
            if let Some(place) = self.found.located.places.last_mut() {
                place.is_refused = is_refused;
                place.affixes.extend(affix);
            }
        }
        Ok(())
    }

    /// The parts of an image at a configured place: as kustomize writes them, or as Helm's values do. An image of the
    /// project in other shapes is found with its siblings.
    fn configured_mapping(
        &mut self,
        node: NodeId,
        trail: &Trail,
    ) -> Result<Option<ReferenceParts>, Defect> {
        let mut parts = [const { None }; 4];
        for (part, key) in parts.iter_mut().zip(VALUES) {
            *part = self.view.lookup(node, key, trail)?;
        }
        if let Some(parts) = self.view.values(parts, VALUES) {
            let is_ours = parts
                .scalars()
                .any(|scalar| self.rules.matcher.mention(&scalar.value).is_some());
            return Ok((!is_ours).then_some(parts));
        }
        Ok(None)
    }

    /// Adds a place; it stands where its first scalar does.
    pub(super) fn add_place(&mut self, kind: &str, path: String, parts: ReferenceParts) {
        let first = parts.scalars().min_by_key(|scalar| scalar.span.start);
        let Some(first) = first.map(|first| first.place.clone()) else {
            return;
        };
        let path = match (path.as_str(), parts.scalars().next()) {
            ("", Some(scalar)) => scalar.path.clone(),
            _ => path,
        };
        let is_template = parts.scalars().any(|scalar| scalar.is_template);
        let place = ImagePlace {
            place: first,
            path,
            kind: kind.to_owned(),
            object: self.object,
            mark: None,
            image: None,
            left_alone: is_template.then_some(LeftAlone::Template),
            keeps_repository: false,
            is_refused: false,
            duplicate_key: None,
            unclear: None,
            affixes: Vec::new(),
            others: Vec::new(),
            parts,
        };
        self.found.located.places.push(place);
    }

    /// Refuses an image that is not a string: in a known kind that is wrong for anybody's image.
    fn refuse_other_types(
        &self,
        rule: &KindRule<'_>,
        node: NodeId,
        scalar: &Scalar,
    ) -> Result<(), Defect> {
        let Some(other) = scalar.other_type.as_ref() else {
            return Ok(());
        };
        let node = self.view.document.node(node);
        let written = match node.body {
            NodeBody::Scalar { .. } => &self.view.text[node.spot.range()],
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
            scalar.path, rule.kind
        );
        Err(Defect::new(Code::E062, scalar.place.clone(), message).hint(hint))
    }
}
