//! The places of a text that name images.

use std::{collections::HashSet, path::Path};

use granit_parser::ScalarStyle;

use super::{
    chunks::{Chunk, MIN_BYTES, chunks, on_all_cores},
    document::{NodeBody, for_each_document},
    image_place::ImagePlace,
    literal::Literal,
    located::{Findings, Located, Object, Unlocated},
    marked, marks,
    no_comment::Block,
    rules::PlaceRules,
    view::View,
    walk::Walk,
};
use crate::project::place::Defect;

/// How many block scalars that are YAML may be nested in each other.
const DEPTH_LIMIT: usize = 8;

/// Finds the places of a text that name images, in the order of the text; documents of other kinds are ignored.
///
/// The text is parsed once.
///
/// # Errors
/// All that is wrong, in the order of the text: it is not YAML, a key on the way is there twice, an image is no string,
/// or a mark is none: `E060`, `E061`, `E062`, `E066`, `E202`, `E203`.
pub fn locate(file: &Path, text: &str, rules: &PlaceRules<'_>) -> Result<Located, Unlocated> {
    let found = if may_be_yaml(file) {
        find(file, text, rules, 0)
    } else {
        Findings::template()
    };
    let Findings {
        mut located,
        mut defects,
        not_yaml,
        ..
    } = marked::add(file, text, rules, found);
    for place in &mut located.places {
        place.image = place.mark.clone().or_else(|| {
            let image = rules.matcher.named(&place.reference()?)?;
            Some(image.to_owned())
        });
    }
    defects.sort_by_key(|defect| (defect.place.line, defect.place.column, defect.code));
    // Several paths can share a beginning: a defect there is found once for each of them.
    defects.dedup_by(|second, first| (second.code, &second.place) == (first.code, &first.place));
    if defects.is_empty() {
        Ok(located)
    } else {
        Err(Unlocated {
            defects,
            is_yaml: not_yaml.is_none(),
        })
    }
}

/// Whether a file may be YAML by its name: templates and code have other extensions.
fn may_be_yaml(file: &Path) -> bool {
    let name = file.file_name().and_then(|name| name.to_str());
    // `Path` sees no extension in `.env`.
    let extension = file.extension().and_then(|extension| extension.to_str());
    let extension = extension.or_else(|| name?.strip_prefix('.'));
    extension.is_none_or(|extension| {
        let extension = extension.to_ascii_lowercase();
        matches!(extension.as_str(), "yml" | "yaml" | "json")
    })
}

/// Finds what a text holds, without its marks; `depth` counts the block scalars around the text.
fn find(file: &Path, text: &str, rules: &PlaceRules<'_>, depth: usize) -> Findings {
    find_in_chunks(file, text, &chunks(text, MIN_BYTES), rules, depth)
}

/// Like [`find`], for a text that is already split into chunks.
pub(super) fn find_in_chunks(
    file: &Path,
    text: &str,
    chunks: &[Chunk<'_>],
    rules: &PlaceRules<'_>,
    depth: usize,
) -> Findings {
    // A mark in a block scalar is a word of that text.
    let is_json = is_json(file, text);
    let has_marks = depth == 0 && marks::may_contain(text);
    let findings = on_all_cores(chunks, |chunk| {
        let mut found = Findings::default();
        let mut comments = has_marks.then(HashSet::new);
        let read = for_each_document(file, *chunk, rules, comments.as_mut(), |document| {
            let view = View {
                file,
                text,
                document,
                is_json,
            };
            let nested = find_in_block_scalars(view, rules, depth);
            Walk::new(view, rules, &mut found).document(nested);
        });
        found.comments = comments;
        if let Err(defect) = read {
            found.not_yaml = Some(defect.place.clone());
            found.defects.push(defect);
        }
        found
    });
    let mut all = Findings::default();
    for found in findings {
        all.append(found);
    }
    all.located.places.sort_by_key(ImagePlace::start);
    all
}

/// Whether a text is JSON: by the file's name, or since it reads as that.
fn is_json(file: &Path, text: &str) -> bool {
    let is_named = file
        .extension()
        .is_some_and(|extension| extension == "json");
    is_named
        || text.trim_start().starts_with(['{', '['])
            && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// Finds the objects and values in the texts of a document's block scalars.
fn find_in_block_scalars(view: View<'_, '_>, rules: &PlaceRules<'_>, depth: usize) -> Findings {
    let mut all = Findings::default();
    if depth >= DEPTH_LIMIT {
        return all;
    }
    for (path, node) in &view.document.texts {
        let node = view.document.node(*node);
        let NodeBody::Scalar { value, style, .. } = &node.body else {
            continue;
        };
        let literal = match style {
            ScalarStyle::Literal => Literal::new(view.text, node.spot, value),
            _ => Literal::quoted(view.text, node.spot, value),
        };
        let Some(literal) = literal else {
            continue;
        };
        let inner = find(view.file, &literal.text, rules, depth + 1);
        // A text that is not YAML is meant for another program.
        if inner.not_yaml.is_none() {
            all.append(moved(inner, &literal, path));
        }
    }
    all
}

/// Maps what was found in the block scalar at `path` to places and bytes of the text around it.
fn moved(inner: Findings, literal: &Literal, path: &str) -> Findings {
    let place = |place| literal.place(place);
    let span = |span| literal.span(span);
    let Located {
        mut places,
        objects,
        shared,
        apart,
        strays,
        blocks,
        configured,
        ..
    } = inner.located;
    if literal.is_quoted {
        let scalars = places.iter_mut().flat_map(ImagePlace::scalars_mut);
        scalars.for_each(|scalar| scalar.without_quotes(literal.quotes()));
    }
    let places = places.into_iter();
    let objects = objects.into_iter().map(|object| Object {
        place: place(object.place),
        ..object
    });
    let shared = shared.into_iter().map(|(range, mut shared)| {
        shared.move_by(&place);
        (span(range), shared)
    });
    let apart = apart.into_iter();
    let apart = apart.map(|image| image.moved(&place, &span));
    let strays = strays.into_iter();
    let strays = strays.map(|stray| stray.moved(&place, &span, path));
    let blocks = blocks.into_iter().map(|block| Block {
        span: span(block.span),
        ..block
    });
    let defects = inner.defects.into_iter().map(|defect| Defect {
        place: place(defect.place),
        ..defect
    });
    Findings {
        located: Located {
            places: places
                .map(|found| found.moved(&place, &span, path))
                .collect(),
            objects: objects.collect(),
            shared: shared.collect(),
            apart: apart.collect(),
            strays: strays.collect(),
            blocks: blocks.collect(),
            configured,
            ..Located::default()
        },
        defects: defects.collect(),
        ..Findings::default()
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{image_place::LeftAlone, rules::test_matcher},
        *,
    };
    use crate::project::{ConfiguredPlace, PathStep, place::Place};

    fn rules() -> PlaceRules<'static> {
        PlaceRules::new(&[], ["job", "side"], test_matcher())
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
        let mut defects = locate(Path::new("f.yml"), text, &rules())
            .unwrap_err()
            .defects;
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
                (defect.code.as_str(), defect.place.to_string().as_str()),
                (code, place)
            );
            assert!(defect.hint.unwrap().contains(hint), "{text}");
        }
    }

    #[test]
    fn marks_are_found_behind_the_first_chunk() {
        let long = format!("{SPARK}metadata: {{name: \"{}\"}}\n", "y".repeat(MIN_BYTES));
        let text = format!(
            "{long}---\ntext: |\n  key: r/job:1 # sparkpack: nosuch\nkey: r/job:1 # sparkpack: job\n"
        );
        assert_eq!(chunks(&text, MIN_BYTES).len(), 2);
        assert_eq!(places(&text).len(), 1);
        assert_eq!(found(&text)[0].mark.as_deref(), Some("job"));
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
            place: Place::of_line("sparkpack.toml", 1),
        }];
        let rules = PlaceRules::new(&places, ["job"], test_matcher());
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
        let defects = locate(Path::new("f.yml"), &text, &rules())
            .unwrap_err()
            .defects;
        let shown: Vec<(&str, String)> = defects
            .iter()
            .map(|defect| (defect.code.as_str(), defect.place.to_string()))
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
