//! The places of a text that name images.

use std::{collections::HashSet, ops::Range, path::Path};

use granit_parser::ScalarStyle;

use super::{
    document::{Body, Document, Entry, Node, NodeId, Spot, for_each_document},
    part::{LEAST, Part, on_all_cores, parts},
    places::{ITEMS, Kind, MERGE, Step, is_list, kind_of},
    reading::Reading,
    scalar,
};
use crate::project::place::{Defect, Place};

/// How many mappings may be merged by `<<` on the way to one key.
const MERGE_LIMIT: usize = 64;

/// How deep lists of objects may lie in each other.
const LIST_LIMIT: usize = 8;

/// One place that names an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImagePlace {
    /// Of the scalar; of the alias (`*x`) where the image is reached by one.
    pub place: Place,
    /// From the document's root: `spec.driver.image`, `spec.containers[0].image`.
    pub path: String,
    /// The `kind` of the object.
    pub kind: &'static str,
    /// What the scalar says, without the final line break of a block scalar; as written where it is a template.
    pub value: String,
    /// The bytes of the scalar, with its quotes.
    pub span: Range<usize>,
    /// It holds `{{` or `${`: something else writes the image, so it is left alone.
    pub is_template: bool,
    pub(super) style: ScalarStyle,
    /// The number of the scalar's event in the part of the text.
    pub(super) event: usize,
    pub(super) shared: Option<Shared>,
}

/// An anchor on the scalar or around it that is used again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shared {
    /// As written: `&x`.
    pub(super) anchor: String,
    pub(super) anchor_place: Place,
    /// The alias by which the image is reached, else the first one elsewhere.
    pub(super) alias_place: Place,
    /// The image is reached by the alias, and not where the anchor is.
    pub(super) is_alias: bool,
}

/// Finds the places of a text that name images, in the order of the text; other kinds of documents are passed over.
///
/// # Errors
/// The text is not YAML, a key on the way is there twice, or an image is no string: `E060`, `E061`, `E062`, `E066`.
pub fn locate(file: &Path, text: &str) -> Result<Vec<ImagePlace>, Defect> {
    let located = located(file, text, &parts(text, LEAST))?;
    Ok(located
        .into_iter()
        .flat_map(|located| located.places)
        .collect())
}

/// What was found in one part of a text.
pub(super) struct Located {
    pub(super) places: Vec<ImagePlace>,
    pub(super) reading: Reading,
}

/// The same for a text in parts, each with what it says as a whole.
pub(super) fn located(file: &Path, text: &str, parts: &[Part<'_>]) -> Result<Vec<Located>, Defect> {
    let results = on_all_cores(parts, |part| {
        let mut places = Vec::new();
        let reading = for_each_document(file, *part, |document| {
            places.extend(images(file, text, document)?);
            Ok(())
        })?;
        Ok(Located { places, reading })
    });
    results.into_iter().collect()
}

/// The images of one document, in the order of the text.
fn images<'t>(
    file: &Path,
    text: &'t str,
    document: &Document<'t>,
) -> Result<impl Iterator<Item = ImagePlace>, Defect> {
    let mut walk = Walk {
        file,
        text,
        document,
        found: Vec::new(),
    };
    if let Some(root) = document.root() {
        walk.object(root, &Trail::default(), 0)?;
    }
    let mut found = walk.found;
    found.sort_by_key(|(start, _)| *start);
    Ok(found.into_iter().map(|(_, place)| place))
}

struct Walk<'d, 't> {
    file: &'d Path,
    text: &'t str,
    document: &'d Document<'t>,
    /// Each with the byte at which its place starts.
    found: Vec<(usize, ImagePlace)>,
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
        let path = match self.path.as_str() {
            "" => key.to_owned(),
            path if key.contains('.') => format!("{path}[\"{key}\"]"),
            path => format!("{path}.{key}"),
        };
        Self { path, ..self }
    }

    fn item(self, index: usize) -> Self {
        let path = format!("{}[{index}]", self.path);
        Self { path, ..self }
    }
}

impl<'d, 't> Walk<'d, 't> {
    /// The images of an object, or of those that a list holds.
    fn object(&mut self, node: NodeId, trail: &Trail, depth: usize) -> Result<(), Defect> {
        if let Some(kind) = self.kind(node)? {
            for way in kind.ways() {
                let segments: Vec<&[Step]> = way;
                self.walk(kind, node, &segments, trail.clone())?;
            }
            return Ok(());
        }
        let names: Vec<Entry> = self.document.entries(node, "kind").collect();
        let mut names = names.iter().filter_map(|name| self.string(name.value));
        if depth >= LIST_LIMIT || !names.any(is_list) {
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
            self.object(item, &trail, depth + 1)?;
        }
        Ok(())
    }

    /// The kind in the table that the object has.
    fn kind(&self, root: NodeId) -> Result<Option<&'static Kind>, Defect> {
        let versions: Vec<Entry> = self.document.entries(root, "apiVersion").collect();
        let names: Vec<Entry> = self.document.entries(root, "kind").collect();
        let pairs = versions
            .iter()
            .flat_map(|version| names.iter().map(move |name| (version, name)));
        let known = pairs.filter_map(|(version, name)| {
            kind_of(self.string(version.value)?, self.string(name.value)?)
        });
        let kind = known.into_iter().next();
        match (kind, versions.as_slice(), names.as_slice()) {
            (Some(_), [first, second], _) | (Some(_), _, [first, second]) => {
                Err(self.twice(*first, *second))
            }
            _ => Ok(kind),
        }
    }

    fn string(&self, id: NodeId) -> Option<&'d str> {
        let (node, _) = self.follow(id, Trail::default());
        match &self.document.node(node).body {
            Body::Scalar { value, .. } => Some(value),
            _ => None,
        }
    }

    /// Along the segments, one after the other, to the images.
    fn walk(
        &mut self,
        kind: &'static Kind,
        node: NodeId,
        segments: &[&'static [Step]],
        trail: Trail,
    ) -> Result<(), Defect> {
        let (steps, more) = match segments {
            [] => (&[][..], segments),
            [[], more @ ..] => return self.walk(kind, node, more, trail),
            [steps, more @ ..] => (*steps, more),
        };
        let (node, trail) = self.follow(node, trail);
        let document = self.document;
        match (steps, &document.node(node).body) {
            ([], _) => self.image(kind, document.node(node), trail),
            ([Step::Key(key), rest @ ..], Body::Mapping(_)) => {
                match self.lookup(node, key, &trail)? {
                    Some((value, trail)) => {
                        let left: Vec<&[Step]> =
                            [rest].into_iter().chain(more.iter().copied()).collect();
                        self.walk(kind, value, &left, trail.key(key))
                    }
                    None => Ok(()),
                }
            }
            ([Step::Each, rest @ ..], Body::Sequence(items)) => {
                let left: Vec<&[Step]> = [rest].into_iter().chain(more.iter().copied()).collect();
                let mut seen = HashSet::new();
                for (index, item) in items {
                    // The same alias again is the same image again: a list of a million would only cost memory.
                    if let Body::Alias(anchor) = document.node(*item).body
                        && !seen.insert(anchor)
                    {
                        continue;
                    }
                    self.walk(kind, *item, &left, trail.clone().item(*index))?;
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
        let alias = self.document.first_alias(node.anchor);
        let shared = alias.map(|alias| (node.anchor, alias)).or(trail.shared);
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
                let message = format!("more than {MERGE_LIMIT} mappings are merged here");
                return Err(Defect::new("E066", self.place(merge.key_spot), message)
                    .hint(format!("write `{key}` out")));
            }
        }
        Ok(None)
    }

    fn own(&self, mapping: NodeId, key: &str) -> Result<Option<Entry>, Defect> {
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

    fn image(&mut self, kind: &Kind, node: &Node<'t>, trail: Trail) -> Result<(), Defect> {
        let spot = trail.via.unwrap_or(node.spot);
        let mut place = ImagePlace {
            place: self.place(spot),
            path: trail.path,
            kind: kind.name,
            value: String::new(),
            span: node.spot.range(),
            is_template: true,
            style: ScalarStyle::Plain,
            event: node.event,
            shared: trail
                .shared
                .and_then(|shared| self.shared(shared, trail.via)),
        };
        if let Some(span) = self.template(node) {
            self.text[span.clone()].clone_into(&mut place.value);
            place.span = span;
        } else {
            let (value, style) = self.value(node, &place)?;
            value.clone_into(&mut place.value);
            place.style = style;
            place.is_template = false;
        }
        self.found.push((spot.start, place));
        Ok(())
    }

    /// The bytes of a value that a template engine writes; a bare `{{ … }}` reads as mappings in each other.
    fn template(&self, node: &Node<'_>) -> Option<Range<usize>> {
        match &node.body {
            Body::Scalar { .. } => {
                let raw = self.text.get(node.spot.range())?;
                (raw.contains("{{") || raw.contains("${")).then(|| node.spot.range())
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

    /// A string, without the final line break of a block scalar.
    fn value<'n>(
        &self,
        node: &'n Node<'t>,
        place: &ImagePlace,
    ) -> Result<(&'n str, ScalarStyle), Defect> {
        let (other, value) = match &node.body {
            Body::Scalar { value, style, tag } => {
                match scalar::other_type(value, *style, tag.as_deref()) {
                    None => return Ok((scalar::trimmed(value, *style), *style)),
                    Some(other) => (other, &self.text[node.spot.range()]),
                }
            }
            Body::Sequence(_) => ("a list".to_owned(), ""),
            Body::Mapping(_) | Body::Alias(_) => ("a mapping".to_owned(), ""),
        };
        let quoted = match value {
            "" => String::new(),
            value => format!(" (`{value}`)"),
        };
        let message = format!(
            "`{}` of this {} is {other}{quoted}, not a string",
            place.path, place.kind
        );
        let hint = match value {
            "" => "write the image's reference".to_owned(),
            value => format!("write an image's reference, in quotes if it is `{value}`"),
        };
        Err(Defect::new("E062", place.place.clone(), message).hint(hint))
    }

    fn shared(&self, (anchor, alias): (usize, Spot), via: Option<Spot>) -> Option<Shared> {
        let spot = self.document.anchored(anchor)?.spot;
        Some(Shared {
            anchor: self.text.get(spot.range())?.to_owned(),
            anchor_place: self.place(spot),
            alias_place: self.place(via.unwrap_or(alias)),
            is_alias: via.is_some(),
        })
    }

    fn twice(&self, first: Entry, second: Entry) -> Defect {
        let message = format!(
            "the key `{}` is there twice: first at {}",
            first.key,
            self.place(first.key_spot)
        );
        Defect::new("E061", self.place(second.key_spot), message).hint("remove one of the two")
    }

    fn place(&self, spot: Spot) -> Place {
        spot.place(self.file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(text: &str) -> Vec<(String, String, String)> {
        let found = locate(Path::new("f.yml"), text).unwrap();
        found
            .into_iter()
            .map(|found| (found.path, found.value, found.place.to_string()))
            .collect()
    }

    fn paths(text: &str) -> Vec<String> {
        places(text).into_iter().map(|(path, ..)| path).collect()
    }

    fn defect(text: &str) -> Defect {
        locate(Path::new("f.yml"), text).unwrap_err()
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
            "spec: {image: a}\n",
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
        let found = locate(Path::new("f.yml"), &text).unwrap();
        let [image] = found.as_slice() else {
            panic!("{found:?}")
        };
        assert_eq!(image.place.to_string(), "f.yml:4:22");
        assert_eq!(&text[image.span.clone()], "'ä:1'");
        assert_eq!(
            (image.value.as_str(), image.kind, image.is_template),
            ("ä:1", "SparkApplication", false)
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
            let found = locate(Path::new("f.yml"), &text).unwrap();
            assert!(found[0].is_template, "{value}");
            assert_eq!(found[0].value, shown);
            assert_eq!(&text[found[0].span.clone()], shown);
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
            (
                format!("{POD}a: {{{{ x }}}}-{{{{ y }}}}\n"),
                "f.yml:3:",
                "rendering",
            ),
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
