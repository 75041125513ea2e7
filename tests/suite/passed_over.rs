//! References that stand in other shapes than places have: each is written where it is clear, and told otherwise.
//!
//! The manifests of a test are many files of one project, so that one run looks at all of them.

use std::collections::BTreeSet;

use crate::support::{Offline, SPARK};

const POD: &str = "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n";
const FLUX: &str = "apiVersion: source.toolkit.fluxcd.io/v1beta2\nkind: OCIRepository\nspec:\n";
/// A tag in the form of the project's own, of no present image.
const OWN: &str = "0123456789abcdef";
const DIGEST: &str = "sha256:5555555555555555555555555555555555555555555555555555555555555555";

/// A text with the job's repository in the place of `J`, of its host in that of `H`, an old digest in that of `D`, the
/// job's tag in that of `T` and the old one in that of `OLD`; each is a word of its own.
fn filled(case: &Offline, text: &str) -> String {
    let tag = case.tag("job");
    let is_part = |part: char| part.is_ascii_alphanumeric() || part == '_';
    let mut filled = String::new();
    for piece in text.split_inclusive(|part: char| !is_part(part)) {
        let word = piece.trim_end_matches(|part: char| !is_part(part));
        filled += match word {
            "J" => "registry.example/small/job",
            "H" => "registry.example",
            "D" => DIGEST,
            "T" => &tag,
            "OLD" => "old",
            // Behind an escape.
            "nJ" => "nregistry.example/small/job",
            "tJ" => "tregistry.example/small/job",
            "u0020J" => "u0020registry.example/small/job",
            other => other,
        };
        filled += &piece[word.len()..];
    }
    filled
}

/// What a run of `check` says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Nothing,
    /// A warning, and the exit code is 0.
    Warning,
    /// Drift that somebody has to change.
    Drift,
    /// Drift that `pin` changes.
    Change,
}

/// Checks texts, each as a manifest of its own, and says of each what `check` says.
fn assert_said(texts: &[impl AsRef<str>], expected: Said) {
    let case = Offline::new(&[]);
    case.project.write(
        "kubernetes/named.yml",
        &filled(&case, "a: J:T # sparkpack: job\n"),
    );
    let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
    for (number, text) in texts.iter().enumerate() {
        let file = format!("kubernetes/{number:02}.yml");
        case.project.write(&file, &filled(&case, text));
    }
    let run = case.project.run(&["check", "--format", "json"]);
    assert!(run.code < 2, "{}", run.stderr);
    let document: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    let files = |key: &str| -> BTreeSet<String> {
        let found = document[key].as_array().unwrap().iter();
        found
            .map(|found| found["file"].as_str().unwrap().to_owned())
            .collect()
    };
    let (changes, drift) = (files("changes"), files("drift"));
    for (number, text) in texts.iter().enumerate() {
        let file = format!("kubernetes/{number:02}.yml");
        let said = if changes.contains(&file) {
            Said::Change
        } else if drift.contains(&file) {
            Said::Drift
        } else if run.stderr.contains(&format!(": {file}:")) {
            Said::Warning
        } else {
            Said::Nothing
        };
        assert_eq!(said, expected, "{text}\n{}", run.stderr);
    }
}

/// Pins a text. `‹old|new›` has both sides.
fn assert_pins(texts: &[&str]) {
    for text in texts {
        let case = Offline::new(&[]);
        let (mut before, mut after) = (String::new(), String::new());
        for (number, piece) in text.split('‹').enumerate() {
            let (change, rest) = if number == 0 {
                ("|", piece)
            } else {
                piece.split_once('›').unwrap()
            };
            let (old, new) = change.split_once('|').unwrap();
            before.extend([old, rest]);
            after.extend([new, rest]);
        }
        let file = "kubernetes/values.yml";
        case.project.write(file, &filled(&case, &before));
        let pin = case.say(&["pin"]);
        assert!(pin.ends_with("exit 0\n"), "{text}\n{pin}");
        let after = filled(&case, &after);
        assert_eq!(case.project.read(file), after, "{pin}");
        case.project.succeed(&["check"]);
    }
}

/// A digest wins over the tag, so that the old image runs whatever the expression is.
#[test]
fn an_old_digest_beside_an_expression_is_drift() {
    let pod = format!("{POD}  - image: \"J:{{{{ x }}}}@D\"\n");
    let beside = format!("{POD}  - {{image: 'J:${{TAG}}', digest: D}}\n");
    let hex = format!(
        "image: {{sha: {}, repository: J, tag: $TAG}}\n",
        &DIGEST[7..]
    );
    let texts = [
        "image:\n  repository: J\n  tag: \"{{ .Values.x }}\"\n  digest: D\n",
        "image:\n  digest: D\n  repository: J\n  tag: {{ .Values.x }}\n",
        "image: {repository: J, tag: '${TAG}', digest: 'D'}\n",
        "a: 1\n---\njobImage: J\njobTag: ${TAG}\njobDigest: D\n",
        "image: {registry: H, repository: small/job, tag: \"{{ x }}\", digest: D}\n",
        "image: \"J:{{ x }}@D\"\n",
        "image: J:v${TAG}@D\n",
        "image: \"J:{{ x }}\"\ndigest: D\n",
        "images:\n- name: J\n  newTag: ${TAG}\n  digest: D\n",
        "parameters:\n- {name: image.repository, value: J}\n- {name: image.tag, value: \"{{ x }}\"}\n- {name: image.digest, value: D}\n",
        "image: {repository: J, tag: \"{{ x }}\", imageChecksum: D}\n",
        "image: {repository: J@D, tag: \"{{ x }}\"}\n",
        "x: &d D\ny: [{repository: J, tag: $(TAG), digest: *d}]\n",
        "data:\n  values.yaml: |\n    image:\n      repository: J\n      tag: \"{{ t }}\"\n      digest: D\n",
        "{\"image\": {\"repository\": \"J\", \"tag\": \"${TAG}\", \"digest\": \"D\"}}\n",
        &pod,
        &beside,
        &hex,
    ];
    assert_said(&texts, Said::Drift);
}

#[test]
fn an_expression_without_a_digest_is_left_alone() {
    assert_said(
        &[
            "image: {repository: J, tag: \"{{ x }}\", digest: \"\"}\n",
            "image: {repository: J, tag: \"{{ x }}\"}\n",
            "image: {repository: J, tag: \"{{ x }}\", digest: \"{{ d }}\"}\n",
            "image: \"J:{{ x }}\"\n",
            "image: J:${TAG}@${DIGEST}\n",
            "image: {repository: J, tag: \"{{ x }}\"}\nother: {digest: D}\n",
            "image:\n  repository: J\n  tag: \"{{ x }}\"\n  digest: D # sparkpack: ignore\n",
            "image: {repository: registry.example/other/job, tag: \"{{ x }}\", digest: D}\n",
            "image: J:T\ndigest: \"{{ d }}\"\n",
        ],
        Said::Nothing,
    );
}

#[test]
fn an_old_tag_beside_a_digest_that_is_filled_in_is_told() {
    assert_said(
        &[
            "image: {repository: J, tag: OLD, digest: \"{{ d }}\"}\n",
            "image:\n  digest: {{ d }}\n  repository: J\n  tag: OLD\n",
            "jobImage: J\njobTag: OLD\njobDigest: ${DIGEST}\n",
        ],
        Said::Drift,
    );
    assert_pins(&[
        "image: J:‹OLD|T›\ndigest: \"{{ d }}\"\n",
        "image:\n  repository: J\n  tag: ‹OLD|T› # sparkpack: job tag\n  digest: \"{{ d }}\"\n",
    ]);
}

#[test]
fn a_mark_for_the_digest_leaves_the_expression() {
    assert_pins(&[
        "image:\n  repository: J\n  tag: \"{{ .Values.x }}\"\n  digest: ‹D|\"\"› # sparkpack: job digest\n",
    ]);
}

#[test]
fn a_name_in_two_values_is_written() {
    assert_pins(&[
        "registry: H\nimage: small/job:‹OLD|T›\n",
        "image: \"small/job:‹OLD|T›\"\nregistry: 'H'\n",
        "repository: H/small\nimage: job\nversion: ‹OLD|T›\n",
        "imageRegistry: H/small\nimageName: job\nimageTag: ‹OLD|T›\n",
        "image: {tag: ‹OLD|T›, repository: job, registry: H/small}\n",
        "imagePrefix: H/small/\njobImage: job\njobTag: ‹OLD|T›\nsideTag: old\n",
        "global: {imageRegistry: H/small}\na: 1\nb:\n- image: {repository: job, tag: ‹OLD|T›}\n",
        "global: {imageRegistry: H}\nimage: small/job:‹OLD|T›\n",
        "reg: &r H/small\na: {registry: *r, image: job, tag: ‹OLD|T›}\n",
        "parameters:\n- {name: image.registry, value: H/small}\n- {name: image.repository, value: job}\n- {name: image.tag, value: ‹OLD|T›}\n",
        "registry: H\nimage: small/job:T\ndigest: ‹D|\"\"›\n",
        "registry: H\nimage: ‹small/job@D|small/job:T›\n",
        "a: 1\n---\nspec: {registry: H/small, image: 'job:‹OLD|T›'}\n",
    ]);
}

#[test]
fn a_name_from_before_is_split_where_it_was() {
    let case = Offline::new(&[]).with(
        "formerly = [\"old.example/team\", \"old.example/a/b\"]\n",
        "",
    );
    let text = "a: {registry: old.example/team, image: 'job:OLD'}\nb: {registry: old.example/a, image: b/job, tag: OLD}\nc: {registry: old.example/, image: /team/job:OLD}\n";
    case.project
        .write("kubernetes/values.yml", &filled(&case, text));
    case.project.succeed(&["pin"]);
    let wanted = "a: {registry: H/small, image: 'job:T'}\nb: {registry: H, image: small/job, tag: T}\nc: {registry: H/, image: /small/job:T}\n";
    let wanted = filled(&case, wanted);
    assert_eq!(case.project.read("kubernetes/values.yml"), wanted);
}

#[test]
fn a_name_in_more_values_is_told() {
    let old = [
        "image: {registry: H, repository: small, name: job, tag: OLD}\n",
        "registry: H/small\napp: job\ntag: OLD\n",
        "job: {registry: H/small, name: 'job:OLD'}\n",
        "a: 1\n---\nhost: H\nproject: small\nimage: job\nversion: OLD\n",
        "global: {imageRegistry: H}\nimage: {repository: small, name: job, digest: D}\n",
        "- image:\n    tag: \"OLD\"\n    name: job\n    repository: small\n    registry: \"H\"\n",
    ];
    assert_said(&old, Said::Drift);
    let current = old.map(|text| text.replace("OLD", "T"));
    let with_tag: Vec<String> = current
        .into_iter()
        .filter(|text| !text.contains("D}"))
        .collect();
    assert_said(&with_tag, Said::Warning);
    assert_said(&["registry: H/small\nimage: job\n"], Said::Warning);
    assert_said(
        &[
            "registry: H/small\nname: job\n",
            "registry: H\nname: job\nversion: 1.0\n",
            "image: job\ntag: OLD\n",
            "image: {registry: H/other, repository: job, tag: OLD}\n",
            "image: {registry: H/small, repository: side2, tag: OLD, name: job}\n",
            "dependencies:\n- {name: job, repository: 'oci://H/small', version: 1.0}\n",
            "registry: H\nproject: small\napp: job\ntag: OLD # sparkpack: ignore\n",
        ],
        Said::Nothing,
    );
}

#[test]
fn what_stands_in_a_text_with_escapes_is_drift() {
    let old = [
        r#"x: "docker run J:OLD\nexit""#,
        r#"x: "set -e\nJ:OLD\nexit""#,
        r#"x: "echo \"J:OLD\" now""#,
        r#"x: ["sh", "-c", "run\tJ:OLD\texit"]"#,
        r#"{"x": {"y": "docker run J:OLD ls\n"}}"#,
        r#"x: "a\u0020J:OLD b""#,
        r#"x: "H\/small\/job:OLD""#,
        r#"a: &a "run J:OLD\n""#,
        "x: \"set -e\\n\n  docker run J:OLD ls\\n\n  exit\"",
        "x: |\n  set -e\n  docker run J:OLD ls\n",
        r#"x: "{\n  \"name\": \"J\", \"tag\": \"OLD\"\n}""#,
    ];
    assert_said(&old, Said::Drift);
    assert_said(
        &[
            r#"x: "set -e\nJ:T\nexit""#,
            r#"x: "docker run J:T\nexit""#,
            r#"description: "Runs nightly.\nSee J:OLD for why.""#,
            "description: |\n  See J:OLD for why.\n",
            "README.md: |\n  See J:OLD for why.\n",
            "x: see J:OLD for why",
        ],
        Said::Warning,
    );
    assert_said(
        &[
            "x: \"docker run J:OLD\\nexit\" # sparkpack: ignore\n",
            "x: |\n  docker run J:OLD ls # sparkpack: ignore\n",
            "x: |\n  # docker run J:OLD ls\n",
        ],
        Said::Nothing,
    );
}

#[test]
fn a_digest_beside_the_image_of_a_container_is_written() {
    let spark = format!("{SPARK}spec:\n  imageDigest: ‹'D'|''›\n  image: J:T\n");
    let pod = format!("{POD}  - name: a\n    image: J:‹OLD|T›\n    digest: ‹D|\"\"›\n");
    let flow = format!("{POD}  - {{digest: ‹D|\"\"›, image: J:T, name: a}}\n");
    let list = format!(
        "apiVersion: v1\nkind: List\nitems:\n- {}",
        pod.replace('\n', "\n  ")
    );
    let argo = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nspec:\n  templates:\n  - container: {image: J:T, imageSha: ‹D|\"\"›}\n";
    let several =
        format!("{POD}  - {{image: J:T, name: a}}\n  - {{image: J:T, image_digest: ‹D|\"\"›}}\n");
    assert_pins(&[&spark, &pod, &flow, list.trim_end(), argo, &several]);
}

#[test]
fn values_with_a_mapping_of_their_own_are_written() {
    assert_pins(&[
        "image: {repository: {value: J}, tag: {value: ‹OLD|T›}, digest: {value: ‹D|\"\"›}}\n",
        "image:\n  tag:\n    value: ‹OLD|T›\n    type: string\n  name:\n    description: x\n    value: J\n",
        "image: J\ntag: {value: ‹OLD|T›}\n",
        "image: {value: J}\ntag: {value: ‹OLD|T›}\n",
        "image: J:T\ndigest: {value: '‹D|›'}\n",
        "{\"image\": {\"repository\": {\"value\": \"J\"}, \"tag\": {\"value\": \"‹OLD|T›\"}}}\n",
        "a: 1\n---\nimage: J\ntag: &y {value: ‹OLD|T›}\n",
        "registry: {value: H}\nimage: {value: small/job}\ntag: {value: ‹OLD|T›}\n",
    ]);
    assert_said(
        &[
            "image: {value: 'J:OLD'}\n",
            "image: {value: J:T}\ndigest: {value: D}\n",
            "jobImage: J:T\njobDigest: D\n",
            "properties:\n  image: {type: string, default: J}\n  tag: {type: string, default: OLD}\n",
        ],
        Said::Drift,
    );
}

#[test]
fn a_part_within_a_list_or_a_mapping_is_an_error() {
    for text in [
        "image: J\ntag: [OLD]\n",
        "image: {repository: J, tag: {a: OLD}}\n",
        "image: J:T\ndigest: {sha256: x}\n",
        "jobImage: J\njobTag:\n  a: OLD\n",
    ] {
        let case = Offline::new(&[]);
        case.project
            .write("kubernetes/values.yml", &filled(&case, text));
        let said = case.refuse(text);
        assert!(
            said.contains("error[E206]: kubernetes/values.yml:"),
            "{said}"
        );
    }
    assert_pins(&["image: J‹|:T›\ntag:\n  a: b # sparkpack: ignore\n"]);
}

/// Readers of YAML take the last of two keys.
#[test]
fn a_key_around_an_image_that_is_there_twice_is_an_error() {
    for text in [
        "{\"image\": {\"repository\": \"J\", \"tag\": \"OLD\"}, \"image\": {\"tag\": \"OLD\"}}\n",
        "image: {repository: J, tag: OLD}\nx: 1\nimage: {tag: OLD}\n",
        "a: {image: {repository: J, tag: OLD}}\na: {b: 1}\n",
        "a: {b: 1}\na: {image: {repository: J, tag: T}}\n",
        "image: J\ntag: {value: T, value: OLD}\n",
    ] {
        let case = Offline::new(&[]);
        case.project
            .write("kubernetes/values.yml", &filled(&case, text));
        let said = case.refuse(text);
        assert!(
            said.contains("error[E061]: kubernetes/values.yml:"),
            "{said}"
        );
    }
}

/// The tag that is written would not be the one that runs.
#[test]
fn what_is_added_to_a_tag_is_an_error() {
    let kind = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nimages:\n";
    for text in [
        format!("{kind}- name: J\n  newTag: OLD\n  tagSuffix: -slim\n"),
        format!("{kind}- name: J\n  newTag: T\n  tagSuffix: -slim\n"),
        "image:\n  repository: J\n  tag: T\n\n\n  tagSuffix: -slim\n".to_owned(),
        "image:\n  repository: J\n  tag: OLD\n\n\n  tagPrefix: v\n".to_owned(),
    ] {
        let case = Offline::new(&[]);
        case.project
            .write("kubernetes/values.yml", &filled(&case, &text));
        let said = case.refuse(&text);
        assert!(
            said.contains("error[E206]: kubernetes/values.yml:6:"),
            "{said}"
        );
    }
    assert_pins(&[
        &format!("{kind}- name: J\n  newTag: ‹OLD|T›\n  tagSuffix: ''\n"),
        "repository: J\ntag: ‹OLD|T›\ntagSuffix: -slim # sparkpack: ignore\n",
    ]);
}

#[test]
fn a_tag_among_arguments_and_beside_a_scheme_is_drift() {
    let flux = |rest: &str| format!("{FLUX}  url: oci://J\n  {rest}\n");
    let [tag, flow, digest] = [
        "ref:\n    tag: OLD",
        "ref: {tag: 'OLD'}",
        "ref: {digest: D}",
    ];
    let [tag, flow, digest] = [tag, flow, digest].map(flux);
    let old = [
        "args: [--image=J, --tag=OLD]\n",
        "args: [\"--tag\", \"OLD\", \"--image\", \"J\"]\n",
        "args:\n- --image=J\n- --tag=OLD\nx: y\n",
        "spec: [{args: [\n  '--job-image=J', # why\n  '--job-tag=OLD']}]\n",
        "command: run --image J --tag OLD\n",
        "x: |\n  IMAGE=J\n  TAG=OLD\n  docker run $IMAGE:$TAG\n",
        "x: helm upgrade --set image.repository=J,image.tag=OLD\n",
        "a: 1\n---\nrepository: oci://J\ntag: OLD\n",
        &tag,
        &flow,
    ];
    assert_said(&old, Said::Drift);
    let current: Vec<String> = old[..3]
        .iter()
        .map(|text| text.replace("OLD", "T"))
        .collect();
    assert_said(&current, Said::Warning);
    assert_said(&[&digest], Said::Drift);
    assert_said(
        &[&tag.replace("OLD", "T"), &flux("ref: {semver: '>=1'}")],
        Said::Warning,
    );
    assert_said(
        &[
            "args: [--image=J, --spark-version=4.1]\n",
            "args: [--image=J]\nmore: [--tag=OLD]\n",
            "args: [--image=J, --tag=$TAG]\n",
        ],
        Said::Warning,
    );
    assert_pins(&["args:\n- --image=J\n- --tag=‹OLD|T› # sparkpack: job tag\n"]);
}

/// The versions of other things are never written, and one that looks like a tag of ours is told.
#[test]
fn a_version_that_looks_like_a_tag_is_told() {
    let own = "0123456789abcdef";
    let keys = [
        "appVersion",
        "chartVersion",
        "spark_version",
        "apiVersion",
        "\"pythonVersion\"",
    ];
    let texts: Vec<String> = keys
        .iter()
        .flat_map(|key| {
            [
                format!("image: J\ntag: T\n{key}: {own}\n"),
                format!("a: [{{{key}: '{own}', image: 'J:T'}}]\n"),
            ]
        })
        .chain([
            format!("{SPARK}spec:\n  sparkVersion: unbuilt\n  image: J:T\n"),
            format!("a: 1\n---\nregistry: H/small\nimage: job\ntag: T\nappVersion: {own}\n"),
            format!("env:\n- {{name: IMAGE, value: J}}\n- {{name: TAG, value: T}}\n- {{name: APP_VERSION, value: {own}}}\n"),
        ])
        .collect();
    assert_said(&texts, Said::Warning);
    assert_said(
        &[
            "image: J\ntag: T\nappVersion: T\n",
            "image: J\ntag: T\nappVersion: 1.2.3\n",
            "image: J\ntag: T\nappVersion: 0123456789abcdef # sparkpack: ignore\n",
            "a: {appVersion: 0123456789abcdef}\nimage: J:T\n",
        ],
        Said::Nothing,
    );
}

/// Where images share a repository, one without a tag is nobody's, however its name is split.
#[test]
fn a_shared_repository_without_a_tag_is_nobodys() {
    let case = Offline::new(&[]).with(
        "reference = \"{registry}/spark:{image}-{fingerprint}\"\n",
        "",
    );
    let text = format!(
        "a: {{registry: registry.example/small, image: spark}}\nb: {{repository: registry.example/small/spark, tag: '{{{{ x }}}}', digest: {DIGEST}}}\nc: {{args: [--image=registry.example/small/spark, --tag=latest]}}\n"
    );
    case.project.write("kubernetes/values.yml", &text);
    let named = "a: registry.example/small/spark:job-unbuilt\n";
    case.project.write("kubernetes/named.yml", named);
    let said = case.say_only(&["check"]);
    assert!(!said.contains("values.yml"), "{said}");
    assert!(said.contains("kubernetes/named.yml:1:4"), "{said}");
}

/// The default of a variable, and what stands behind a scheme without slashes, are references.
#[test]
fn a_reference_behind_a_colon_or_a_dash_is_one() {
    assert_said(
        &[
            "x: |\n  IMAGE=\"${IMAGE:-J:OLD}\"\n  docker run $IMAGE\n",
            "image: ${IMAGE:-J:OLD}\n",
            "image: \"${IMAGE-J:OLD}\"\n",
            "x: {y: '${A_1:-J:OLD}', z: 1}\n",
            "x: docker-daemon:J:OLD\n",
            "x:\n- containers-storage:J:OLD\n",
            "x: |\n  spark.kubernetes.container.image:J:OLD\n",
        ],
        Said::Drift,
    );
    let current = ["image: ${IMAGE:-J:T}\n", "x: docker-daemon:J:T\n"];
    assert_said(&current, Said::Warning);
    assert_said(&["x: ${IMAGE:-H/small/other:OLD}\n"], Said::Nothing);
}

/// A hash under a key that does not say of what it is stays, beside an image that is whole without it.
#[test]
fn a_checksum_beside_a_whole_reference_is_not_emptied() {
    let case = Offline::new(&[]);
    let hash = DIGEST.trim_start_matches("sha256:");
    for (key, value) in [("sha256", hash), ("sha", DIGEST), ("SHA256", hash)] {
        let text = format!("image: J:OLD\nurl: https://h.example/x.jar\n{key}: {value}\n");
        case.project
            .write("kubernetes/a.yml", &filled(&case, &text));
        let failure = case.project.failure(&["pin"]);
        assert!(
            failure.contains("error[E207]: kubernetes/a.yml:"),
            "{failure}"
        );
        assert_eq!(case.project.read("kubernetes/a.yml"), filled(&case, &text));
    }
}

/// Bitnami's `global.imageRegistry` wins over an image's own registry, in a subchart too.
#[test]
fn the_registry_of_all_images_wins_over_that_of_one() {
    for global in ["", "spark:\n  "] {
        let text = format!(
            "{global}global: {{imageRegistry: H}}\n{}image: {{registry: docker.io, repository: small/job, tag: ‹OLD|T›}}\n",
            if global.is_empty() { "" } else { "  " }
        );
        assert_pins(&[&text]);
    }
    assert_said(
        &[
            "registry: H\nimage: {registry: docker.io, repository: small/job, tag: OLD}\n",
            "global: {imageRegistry: other.example}\nimage: {registry: docker.io, repository: small/job, tag: OLD}\n",
        ],
        Said::Nothing,
    );
}

/// `sparkVersion` is Spark's, and `sparkImageVersion` an image's.
#[test]
fn the_version_of_an_image_is_its_tag() {
    assert_pins(&[
        "sparkImage: J\nsparkImageVersion: ‹OLD|T›\n",
        "dockerImage: J\ndockerImageVersion: ‹OLD|T›\nsparkVersion: 4.1.4\n",
    ]);
}

/// An old tag in the form of the project's own, which an expression fills in behind the repository.
#[test]
fn an_old_tag_that_an_expression_fills_in_is_drift() {
    let argo = "apiVersion: argoproj.io/v1alpha1\nkind: WorkflowTemplate\nspec:\n  templates:\n  - inputs: {parameters: [{name: tag, default: \"OWN\"}]}\n    container: {image: \"J:{{inputs.parameters.tag}}\"}\n";
    let flow = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nspec:\n  arguments:\n    parameters:\n    - name: image-tag\n      value: OWN\n  templates:\n  - container: {image: \"J:{{workflow.parameters.image-tag}}\"}\n";
    let pod = format!("{POD}  - env: [{{name: TAG, value: OWN}}]\n    image: J:$(TAG)\n");
    let texts = [
        argo,
        flow,
        &pod,
        "variables: {IMAGE_TAG: OWN}\njob:\n  image: J:$IMAGE_TAG\n",
        "variables:\n  IMAGE_TAG:\n    value: \"OWN\"\n    description: x\njob: {image: 'J:${IMAGE_TAG}'}\n",
        "tag: OWN\nimage: \"J:{{ .Values.tag }}\"\n",
        "args: [\"--image=J:{{tag}}\", \"--tag=OWN\"]\n",
        "services: {job: {image: 'J:${TAG:-OWN}'}}\n",
        "image: \"J:{{ .Values.tag | default \\\"OWN\\\" }}\"\n",
        "a: {image: {repository: J, tag: \"{{ .Values.build }}\"}}\nbuild: OWN\n",
        "{\"tag\": \"OWN\", \"image\": \"J:${tag}\"}\n",
        "run: |\n  TAG=OWN\n  docker run J:$TAG ls\n",
        "image: J:$TAG\nbuild: OWN\n",
        // The current tag is that of another name.
        "tag: OWN\nimage: \"J:{{ tag }}\"\nother: {image: J:T}\nnext: T\n",
        "a: [{image: J:$JOB_TAG}, {image: registry.example/small/side:$SIDE_TAG}]\nb: {jobTag: OWN, other: T}\n",
        "a: 1\n---\ntag: OWN\nimage: \"J:[[ tag ]]\"\n---\nb: 1\n",
    ]
    .map(|text| text.replace("OWN", OWN));
    assert_said(&texts, Said::Drift);
    let current: Vec<String> = texts.iter().map(|text| text.replace(OWN, "T")).collect();
    for text in current {
        let case = Offline::new(&[]);
        case.project
            .write("kubernetes/values.yml", &filled(&case, &text));
        let said = case.say_only(&["check"]);
        assert!(!said.contains("W105"), "{text}\n{said}");
    }
}

#[test]
fn what_no_expression_fills_in_is_left_alone() {
    let texts = [
        "image: \"J:{{ tag }}\"\n---\ntag: OWN\n",
        "image: \"J:{{ tag }}\"\ntag: v1.2.3\n",
        "image: \"J:{{ tag }}\"\ntag: OWN # sparkpack: ignore\n",
        "image: \"J:{{ tag }}\" # sparkpack: ignore\ntag: OWN\n",
        "image: \"J:{{ tag }}\"\n# tag: OWN\n",
        "image: \"J:{{ tag }}\"\ncommit: OWN0000\nx: quay.io/a/b:OWN\n",
        "image: \"J:{{ tag }}\"\ntag: T\nprevious: OWN\n",
        "image: \"registry.example/other/job:{{ tag }}\"\ntag: OWN\n",
        "image: \"J:{{ tag }}\"\nother: {repository: quay.io/a/b, tag: OWN}\n",
        "parameters:\n- name: tag\n  value: T\n- name: previous\n  value: OWN\nimage: \"J:{{tag}}\"\n",
        "parameters: [{name: tag, value: T}, {name: previous, value: OWN}]\nx: {image: \"J:{{tag}}\"}\n",
    ]
    .map(|text| text.replace("OWN", OWN));
    assert_said(&texts, Said::Nothing);
    let pinned = format!(
        "tag: ‹{OWN}|T› # sparkpack: job tag\nprevious: {OWN}\nimage: \"J:{{{{ .Values.tag }}}}\"\n"
    );
    assert_pins(&[&pinned]);
}

/// What belongs to an image by the names of the keys, and stands neither beside it nor in it.
#[test]
fn a_digest_or_an_old_tag_elsewhere_is_drift() {
    let whole = "image: {repository: J, tag: T}";
    let texts = [
        format!("job:\n  {whole}\n  imageDigest: D\n"),
        format!("job: {{{whole}}}\njobDigest: D\n"),
        format!("global: {{image: {{digest: D}}}}\njob: {{{whole}}}\n"),
        format!("global: {{imageSha: {}}}\njob: {{{whole}}}\n", &DIGEST[7..]),
        format!("digest: D\njob: {{{whole}}}\n"),
        "image:\n  repository: J\n  tag: T\n  source:\n    digest: D\n".to_owned(),
        "job:\n  digest: D\n  image: {repository: J, tag: \"{{ x }}\"}\n".to_owned(),
        format!("global: {{tag: {OWN}}}\njob: {{{whole}}}\n"),
        format!("a: {{imageTag: {OWN}, {whole}}}\n"),
        format!("global: {{images: {{tags: {{job: {OWN}}}}}}}\njob: {{{whole}}}\n"),
        format!(
            "defaultAirflowRepository: J\ndefaultAirflowTag: T\nimages: {{airflow: {{tag: {OWN}}}}}\n"
        ),
        "defaultAirflowRepository: J\ndefaultAirflowTag: T\nimages: {airflow: {digest: D}}\n"
            .to_owned(),
        "defaultAirflowRepository: J\ndefaultAirflowTag: T\nimages: {airflow: {repository: ~, tag: ~, digest: D}}\n".to_owned(),
        format!("image: '{{{{ .Values.repo | default \"J\" }}}}:{{{{ .Values.tag | default \"{OWN}\" }}}}'\n"),
        format!("image: {{repository: \"${{REG}}/small/job\", tag: {OWN}}}\n"),
        "image:\n  repository: '{{ .Values.r }}/small/job'\n  tag: T\n  digest: D\n".to_owned(),
        "J:OLD: {a: b}\n".to_owned(),
        "x: {\"J:OLD\": 1}\n".to_owned(),
        format!("image: {{registry: https://H, repository: small/job, tag: {OWN}}}\n"),
        format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: Application\nspec: {{source: {{helm: {{valuesObject: {{global: {{tag: {OWN}}}, {whole}}}}}}}}}\n"
        ),
    ];
    assert_said(&texts, Said::Drift);
    let aside = [
        format!("{whole}\nside: {{image: quay.io/x/y, digest: D}}\n"),
        format!("{whole}\nside: {{repository: quay.io/x/y, tag: {OWN}}}\n"),
        format!("{whole}\nchart: {{digest: D, version: {OWN}}}\n"),
        format!("job: {{{whole}}}\nsideDigest: D\nside: {{tag: {OWN}}}\n"),
        format!("{whole}\nglobal: {{tag: v1, image: {{digest: ''}}}}\n"),
        format!("job: {{{whole}}}\nglobal: {{tag: {OWN}}} # sparkpack: ignore\n"),
        format!("job: {{{whole}}}\nglobal: {{sparkVersion: {OWN}}}\n"),
        format!("job: {{{whole}}}\n---\nglobal: {{tag: {OWN}, digest: D}}\n"),
    ];
    assert_said(&aside, Said::Nothing);
}

/// The project's repository as the name of a key, or behind a registry that an expression fills in.
#[test]
fn a_repository_as_a_key_or_behind_an_expression_is_told() {
    let texts = [
        format!("\"J\": \"{OWN}\"\n"),
        format!("versions: {{J: {OWN}}}\n"),
        "tags:\n  J: v1\n".to_owned(),
        "x: {J: D}\n".to_owned(),
        format!("x:\n  J:\n    tag: {OWN}\n    pull: Always\n"),
        "x: {J: {digest: D}}\n".to_owned(),
        format!("{{\"x\": {{\"J\": \"{OWN}\"}}}}\n"),
        format!("image: ${{REG}}/small/job:{OWN}\n"),
        format!("image: \"{{{{ .Values.registry }}}}/small/job:{OWN}\"\n"),
        format!("run: |\n  docker run $REG/small/job:{OWN} ls\n"),
        "image: '${REG}/small/job@D'\n".to_owned(),
        format!("image: {{registry: '{{{{ r }}}}', repository: small/job, tag: {OWN}}}\n"),
        format!("image: {{registry: \"${{R}}\", repository: \"small/job:{OWN}\"}}\n"),
        format!("image: {{registry: '', repository: small/job, tag: {OWN}}}\n"),
    ];
    assert_said(&texts, Said::Drift);
    let current = [
        "\"J\": \"T\"\n",
        "x: {J: {tag: T}}\n",
        "image: ${REG}/small/job:T\n",
        "image: {registry: '{{ r }}', repository: small/job, tag: T}\n",
    ];
    assert_said(&current, Said::Warning);
    assert_said(
        &[
            "image: ${REG}/other/job:OLD\n",
            "image: ${REG}/small/job:{{ tag }}\n",
            "image: {registry: '{{ r }}', repository: small/job, tag: v1.2}\n",
            "x: {H/small/other: OLD}\n",
        ],
        Said::Nothing,
    );
}

/// A repository alone whose tag stands where nothing says that it belongs to it.
#[test]
fn an_old_tag_somewhere_near_a_repository_alone_is_drift() {
    let texts = [
        format!("sparkImage: J\nimageTags: {{job: {OWN}}}\n"),
        format!("- sparkImage: J\n- tag: {OWN}\n"),
        format!("x: [J, \"{OWN}\"]\n"),
        format!("x: {{repository: \"J:\", tag: {OWN}}}\n"),
        format!("x:\n  sparkImage: J\ny:\n- {OWN}\n"),
        format!("x: {{sparkImage: J}}\n# c\nz: [{{name: a, what: {OWN}}}]\n"),
    ];
    assert_said(&texts, Said::Drift);
    let aside = [
        format!("sparkImage: J\ntags: [T, {OWN}]\n"),
        format!("sparkImage: J\nx: {{repository: quay.io/x/y, tag: {OWN}}}\n"),
        format!("sparkImage: J\n---\ntag: {OWN}\n"),
    ];
    assert_said(&aside, Said::Warning);
}

/// What nothing runs: kubectl's copy of an object, and the cache of a builder.
#[test]
fn copies_and_caches_are_left_alone() {
    let head = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  annotations:\n    kubectl.kubernetes.io/last-applied-configuration:";
    let block = format!("{head} |\n      {{\"image\": \"J:OLD\", \"x\": \"J\"}}\n");
    let quoted = format!("{head} \"{{\\\"image\\\": \\\"J:OLD\\\"}}\"\n");
    assert_said(
        &[
            &block,
            &quoted,
            "cache-from: type=registry,ref=J:buildcache\n",
            "x: [\"type=registry,ref=J:cache,mode=max\"]\n",
        ],
        Said::Nothing,
    );
    assert_said(&["x: type=image,ref=J:OLD\n"], Said::Drift);
}

/// A tag that no name ties to the image, and nothing else that may be its tag: only a person knows whether it is.
#[test]
fn a_tag_of_something_else_beside_a_repository_is_an_error() {
    for text in [
        "image: J\nreleaseTag: v1\n",
        "job: {repository: J, releaseTag: v1}\n",
        "image: J\ntag: OLD\ntagOverride: '1.2'\n",
        "jobImage: J\njobTag: OLD\njobTagOverride: v3\n",
    ] {
        let case = Offline::new(&[]);
        let text = filled(&case, text);
        case.project.write("kubernetes/a.yml", &text);
        let failure = case.project.failure(&["pin"]);
        let place = "error[E206]: kubernetes/a.yml:";
        assert!(failure.contains(place), "{failure}");
        assert_eq!(case.project.read("kubernetes/a.yml"), text);
    }
    assert_pins(&[
        "image: ‹J|J:T›\nreleaseTag: v1 # sparkpack: ignore\n",
        "image: J\nreleaseTag: ‹v1|T› # sparkpack: job tag\n",
        "image: J\ntag: ‹OLD|T›\ntagOverride: ''\n",
        "image: ‹J:OLD|J:T›\nreleaseTag: v1\n",
        "image: J\ntag: ‹OLD|T›\nreleaseTag: v1\n",
        "image: ‹J|J:T›\nsideImage: quay.io/x/y\nsideTag: v1\n",
    ]);
}

/// Kubernetes takes no image whose name ends with a line break.
#[test]
fn a_line_break_behind_a_reference_is_told() {
    let pod = |value: &str| format!("{POD}  - name: a\n    image: {value}\n");
    let texts = [
        pod("|\n      J:T"),
        pod(">\n      J:T"),
        pod("\"J:T\\n\""),
        "image:\n  repository: J\n  tag: |\n    T\n".to_owned(),
        "image:\n  repository: |+\n    J\n  tag: T\n".to_owned(),
    ];
    assert_said(&texts, Said::Warning);
    let stripped = [pod("|-\n      J:T"), pod(">-\n      J:T")];
    assert_said(&stripped, Said::Nothing);
}

/// Manifests whose tags are all filled in name images nevertheless.
#[test]
fn a_project_whose_tags_are_all_filled_in_names_its_images() {
    for text in [
        "image: J:$TAG\n",
        "image: {repository: J, tag: '{{ x }}'}\n",
    ] {
        let case = Offline::new(&[]);
        case.project.write("kubernetes/a.yml", &filled(&case, text));
        case.project.succeed(&["check"]);
    }
}
