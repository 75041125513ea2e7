//! Every form of a place that names an image, in both pin modes, through the real binary.

use std::fmt::Write as _;

use serde_json::Value;

use crate::support::{OLD, Offline, SPARK};

const TAG_AND_DIGEST: &str = "pin = \"tag+digest\"\n";

fn digest(letter: char) -> String {
    format!("sha256:{}", letter.to_string().repeat(64))
}

/// A text before and after a pin. `‹old|new›` has both sides, `«job»` is the job's tag in the new text, and `R` the
/// registry with its prefix.
fn sides(case: &Offline, text: &str) -> (String, String) {
    let (mut before, mut after) = (String::new(), String::new());
    let mut pieces = text.split('‹');
    let first = pieces.next().unwrap();
    before += first;
    after += first;
    for piece in pieces {
        let (change, rest) = piece.split_once('›').unwrap();
        let (old, new) = change.split_once('|').unwrap();
        before += old;
        after += new;
        before += rest;
        after += rest;
    }
    for image in ["base", "ds", "side", "job"] {
        let mark = format!("«{image}»");
        if text.contains(&mark) {
            let tag = case.tag(image);
            (before, after) = (before.replace(&mark, &tag), after.replace(&mark, &tag));
        }
    }
    let whole = |text: String| text.replace("R/", "registry.example/small/");
    (whole(before), whole(after))
}

/// Pins a manifest: the diff and the exit codes have to agree, and a second run changes nothing.
fn pins(case: &Offline, file: &str, text: &str) {
    let (before, after) = sides(case, text);
    case.project.write(file, &before);
    let is_current = before == after;
    let check = case.say_only(&["check"]);
    assert_eq!(check.contains("\n--- a/"), !is_current, "{check}");
    assert!(
        check.ends_with(if is_current { "exit 0\n" } else { "exit 1\n" }),
        "{check}"
    );
    let pin = case.say(&["pin"]);
    assert!(pin.ends_with("exit 0\n"), "{pin}");
    assert_eq!(case.project.read(file), after, "{pin}");
    case.say_only(&["pin"]);
    case.project.succeed(&["check"]);
}

/// The message for a manifest that cannot be pinned.
fn refused(case: &Offline, name: &str, file: &str, text: &str) -> String {
    let (text, _) = sides(case, text);
    case.project.write(file, &text);
    case.refuse(name)
}

/// The output of a check of a manifest, and its exit code.
fn checked(case: &Offline, name: &str, file: &str, text: &str) -> String {
    let (text, _) = sides(case, text);
    case.project.write(file, &text);
    format!("# {name}\n{}", case.say_only(&["check"]))
}

fn case() -> Offline {
    Offline::new(&[])
}

/// A project whose pins say that its job was pushed to `main` with the digest `aaa…`.
fn pushed() -> Offline {
    let case = case().with(TAG_AND_DIGEST, "");
    let tags = case.project.succeed(&["tags", "--format", "json"]).stdout;
    let document: Value = serde_json::from_str(&tags).unwrap();
    let mut pins = "# by hand\n".to_owned();
    let images = document["images"].as_array().unwrap();
    for image in images.iter().filter(|image| image["name"] == "job") {
        let text = |key: &str| image[key].as_str().unwrap();
        let (repository, fingerprint) = (text("repository"), text("fingerprint"));
        let _ = writeln!(
            pins,
            "main {repository} linux/amd64 {fingerprint} {}",
            digest('a')
        );
    }
    case.project.write("sparkpack.pins", &pins);
    case
}

const KUSTOMIZATION: &str = "kubernetes/overlays/prod/kustomization.yaml";
const VALUES: &str = "kubernetes/chart/values.yaml";

#[test]
fn entries_of_kustomize() {
    let text = "images:
- name: R/job
  newTag: ‹unbuilt|«job»›
- {name: job, newName: R/job, newTag: '‹1|«job»›'} # a short name
- name: old.example/job
  newName: ‹old.example/job|R/job›
  newTag: ‹1.10|«job»›
- name: other.example/job
  newTag: latest
- name: job
  newName: other.example/small/job
  digest: sha256:0
- newTag: no-name
";
    let formerly = || case().with("formerly = [\"old.example\"]\n", "");
    pins(&formerly(), KUSTOMIZATION, text);
    let head = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n";
    let component = format!("{head}{text}");
    pins(&formerly(), "kubernetes/component.yml", &component);
}

#[test]
fn entries_of_kustomize_that_lack_a_part() {
    let digest = digest('b');
    let entry = |rest: &str| format!("images:\n- name: R/job\n{rest}");
    let said = [
        refused(
            &case(),
            "tag: only a digest",
            KUSTOMIZATION,
            &entry(&format!("  digest: {digest}\n")),
        ),
        refused(
            &case(),
            "tag: both",
            KUSTOMIZATION,
            &entry(&format!("  newTag: x\n  digest: {digest}\n")),
        ),
        refused(&case(), "tag: none", KUSTOMIZATION, &entry("")),
        refused(
            &case().with("formerly = [\"old.example\"]\n", ""),
            "a name from before",
            KUSTOMIZATION,
            "images:\n- {name: old.example/job, newTag: x}\n",
        ),
        refused(
            &pushed(),
            "tag+digest: only a tag",
            KUSTOMIZATION,
            &entry("  newTag: x\n"),
        ),
        refused(
            &pushed(),
            "tag+digest: both",
            KUSTOMIZATION,
            &entry("  newTag: x\n  digest: ''\n"),
        ),
        refused(&pushed(), "tag+digest: none", KUSTOMIZATION, &entry("")),
    ];
    insta::assert_snapshot!(said.join("\n"));
}

/// A digest is known only after a push. Until then nothing can be written, and the manifest counts as outdated.
#[test]
fn a_digest_that_is_not_known_yet_is_drift() {
    let side = format!("images:\n- {{name: R/side, digest: {}}}\n", digest('b'));
    let case = pushed();
    let said = checked(&case, "before the push", KUSTOMIZATION, &side);
    let pin = case.say_only(&["pin"]);
    assert!(
        pin.ends_with("exit 0\n") && pin.contains("warning[W108]"),
        "{pin}"
    );
    insta::assert_snapshot!(said);
    let job = format!(
        "images:\n- {{name: R/job, digest: '‹{}|{}›'}}\n",
        digest('b'),
        digest('a')
    );
    pins(&pushed(), KUSTOMIZATION, &job);
    pins(
        &pushed(),
        KUSTOMIZATION,
        &format!(
            "images:\n- {{name: R/job, digest: ‹''|'{}'›}}\n",
            digest('a')
        ),
    );
    // With tags alone, no push is needed.
    pins(
        &pushed(),
        KUSTOMIZATION,
        "images:\n- {name: R/side, newTag: ‹x|«side»›}\n",
    );
}

#[test]
fn values_of_helm() {
    let old = digest('b');
    let text = format!(
        "image:
  repository: R/job
  tag: ‹unbuilt|«job»›
  digest: ‹{old}|\"\"›
  pullPolicy: IfNotPresent
spark:
  deep:
  - image: {{registry: registry.example, repository: small/side, tag: ‹1.0|«side»›, digest: \"‹{old}|›\"}}
  none: {{repository: R/job, tag: ‹~|«job»›}}
  quoted: {{repository: 'R/job', tag: '‹1|«job»›'}}
  empty: {{repository: R/job, tag: \"‹|«job»›\"}}
  before:
    registry: ‹old.example|registry.example›
    repository: ‹team/job|small/job›
    tag: ‹x|«job»›
  other: {{repository: other.example/small/job, tag: x}}
  source: {{repository: 'https://git.example/small/job', tag: x}}
whole:
  image: \"‹{OLD}|R/job:«job»›\"
  sidecar: {{image: ‹R/side|R/side:«side»›}}
"
    );
    let case = case().with("formerly = [\"old.example/team\"]\n", "");
    pins(&case, VALUES, &text);
}

#[test]
fn values_of_helm_that_lack_a_part() {
    let said = [
        refused(&case(), "no tag", VALUES, "image:\n  repository: R/job\n"),
        refused(
            &case(),
            "a tag without a value",
            VALUES,
            "image:\n  repository: R/job\n  tag:\n",
        ),
        refused(
            &case(),
            "a tag twice",
            VALUES,
            "image:\n  repository: R/job\n  tag: a\n  tag: b\n",
        ),
        refused(
            &pushed(),
            "no digest",
            VALUES,
            "image: {repository: R/job, tag: x}\n",
        ),
    ];
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn digests_beside_tags() {
    let (known, other) = (digest('a'), digest('b'));
    let job = format!(
        "{SPARK}spec:
  image: R/job:‹old|«job»@{known}›
  driver: {{image: 'R/job:«job»@‹{other}|{known}›'}}
  executor:
    image: R/job‹|:«job»@{known}›
    sidecars: [{{image: R/job‹@{other}|:«job»@{known}›}}]
"
    );
    pins(&pushed(), "kubernetes/job.yml", &job);
    // The digest of `side` is not known: one beside the right tag may be right, one beside a wrong tag cannot be.
    let side = format!(
        "{SPARK}spec:
  image: R/side:‹old|«side»›
  driver: {{image: 'R/side:«side»@{other}'}}
  executor: {{image: R/side:‹old@{other}|«side»›}}
"
    );
    pins(&pushed(), "kubernetes/side.yml", &side);
    let values = format!(
        "a: {{repository: R/job, tag: ‹old|«job»›, digest: ‹{other}|{known}›}}
b: {{repository: R/job, tag: «job», digest: \"‹|{known}›\"}}
c: {{repository: R/side, tag: ‹old|«side»›, digest: ‹{other}|\"\"›}}
d: {{repository: R/side, tag: «side», digest: {other}}}
e: {{repository: R/side, tag: «side», digest: ''}}
f: ‹old|«job»› # sparkpack: job tag
"
    );
    pins(&pushed(), VALUES, &values);
    let marked = format!(
        "a: ‹old|«job»› # sparkpack: job tag\nb: ‹{other}|{known}› # sparkpack: job digest\n"
    );
    pins(&pushed(), VALUES, &marked);
    // With tags alone, every digest is removed.
    let bare = format!("{SPARK}spec:\n  image: R/job:«job»‹@{other}|›\n");
    pins(&case(), "kubernetes/job.yml", &bare);
}

#[test]
fn marks_in_yaml() {
    let text = format!(
        "a: ‹nginx:1|R/job:«job»› # sparkpack: job
b: '‹old|«side»›'   # sparkpack: side tag
c: ‹{}|\"\"› # sparkpack: job digest
d: R/job:old # sparkpack: ignore
e:
- ‹x|R/job:«job»›\t# sparkpack: job
",
        digest('b')
    );
    pins(&case(), "kubernetes/any.yml", &text);
    // A mark overrides what a place names.
    let known = format!(
        "{SPARK}spec:\n  image: ‹R/job:old|R/side:«side»› # sparkpack: side\n  driver: {{image: {OLD}}} # sparkpack: ignore\n"
    );
    pins(&case(), "kubernetes/job.yml", &known);
}

#[test]
fn marks_in_files_that_are_no_yaml() {
    let templates = "{{- if .Values.job }}
apiVersion: v1
kind: Pod
spec:
  containers:
  {{- range .Values.jobs }}
  - image: ‹R/job:old|R/job:«job»› # sparkpack: job
    name: {{ . }}
    env: [{name: TAG, value: {{ $.Values.tag }}}]
    tag: \"‹old|«job»›\" # sparkpack: job tag
  {{- end }}
{{- end }}
";
    pins(&case(), "kubernetes/chart/templates/pod.yaml", templates);
    pins(&case(), "kubernetes/chart/templates/pod.tpl", templates);
    let flow = "{{ if x }}\n- {name: x, image: '‹R/job:old|R/job:«job»›'} # sparkpack: job\n- [{tag: \"‹old|«job»›\"} ] # sparkpack: job tag\n{{ end }}\n";
    pins(&case(), "kubernetes/flow.yml", flow);
    let jinja = "{% for job in jobs %}
image: '‹R/job:old|R/job:«job»›'  # sparkpack: job
{% endfor %}
";
    pins(&case(), "kubernetes/jobs.yml.j2", jinja);
    pins(&case(), "kubernetes/jobs.yml", jinja);
    let python = "IMAGE = \"‹R/job:old|R/job:«job»›\"  # sparkpack: job
run(image='‹R/side:old|R/side:«side»›',  # sparkpack: side
    tags=[\"a\", '‹old|«job»›'])  # sparkpack: job tag
COMMENT = 'sparkpack: job'
pod = {\"image\": \"‹R/job:old|R/job:«job»›\"}  # sparkpack: job
os.environ[\"IMAGE\"] = '‹R/job:old|R/job:«job»›';  # sparkpack: job
# sparkpack: a sentence that begins like a mark
";
    pins(&case(), "kubernetes/dags/nightly.py", python);
    let variables = "IMAGE=‹R/job:old|R/job:«job»› # sparkpack: job\nTAG=‹old|«job»› # sparkpack: job tag\nQUOTED=\"‹R/job|R/job:«job»›\" # sparkpack: job\r\n";
    for file in [
        "kubernetes/.env",
        "kubernetes/prod.env",
        "kubernetes/.env.prod",
    ] {
        pins(&case(), file, variables);
    }
}

#[test]
fn marks_that_mean_nothing() {
    let file = "kubernetes/any.yml";
    let said = [
        refused(
            &case(),
            "unknown image",
            file,
            "a: R/job:old # sparkpack: jbo\n",
        ),
        refused(
            &case(),
            "unknown part",
            file,
            "a: old # sparkpack: job tga\n",
        ),
        refused(
            &case(),
            "no value",
            file,
            "# sparkpack: job\na: b # sparkpack: job\nc: # sparkpack: job\n",
        ),
        refused(
            &case(),
            "several values",
            file,
            "c: {image: 'R/job:old', name: \"web\"} # sparkpack: job\nd: {image: R/job:old, path: a/b} # sparkpack: job\n",
        ),
        refused(
            &case(),
            "a template",
            file,
            "a: '{{ x }}' # sparkpack: job\nb: R/job:${TAG} # sparkpack: job\nc: {{ d }}:{{ e }} # sparkpack: job\n",
        ),
    ];
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn objects_as_text() {
    let argo = "apiVersion: argoproj.io/v1alpha1
kind: Workflow
spec:
  templates:
  - name: one
    resource:
      action: create
      manifest: |
        # made by {{workflow.name}}
        apiVersion: sparkoperator.k8s.io/v1beta2
        kind: SparkApplication
        metadata: {generateName: 'x-{{workflow.uid}}'}
        spec:
          image: \"‹R/job:old|R/job:«job»›\"
          driver: {image: ‹R/job|R/job:«job»›}
  - name: two
    container: {image: ‹R/side:old|R/side:«side»›}
  - name: three
    script: {image: '{{inputs.parameters.image}}'}
";
    pins(&case(), "kubernetes/workflow.yml", argo);
    let map = "apiVersion: v1
kind: ConfigMap
data:
  template.yaml: |-
    apiVersion: v1
    kind: Pod
    spec:
      containers:
      - name: executor

        image: ‹R/job:old|R/job:«job»›
      - {name: other, image: other.example/x:1}
  values.yaml: |
    image:
      repository: R/side
      tag: \"‹old|«side»›\"
  other: x
";
    pins(&case(), "kubernetes/map.yml", map);
    pins(&case(), "kubernetes/map.yml", &map.replace('\n', "\r\n"));
    pins(
        &case(),
        "kubernetes/map.yml",
        map.strip_suffix("  other: x\n").unwrap().trim_end(),
    );
}

const PLACES: &str = "
[[places]]
group = \"example.com\"
kind = \"SparkJob\"
path = \"spec.steps[][\\\"spark.image\\\"]\"
";

#[test]
fn configured_places() {
    let text = "apiVersion: example.com/v1alpha1
kind: SparkJob
spec:
  steps:
  - spark.image: ‹R/job:old|R/job:«job»›
  - spark.image: {registry: registry.example, repository: small/side, tag: ‹x|«side»›}
  - spark.image: other.example/x:1
  - {}
";
    pins(&case().with("", PLACES), "kubernetes/steps.yml", text);
    let case = case().with("", PLACES);
    let said = [
        refused(
            &case,
            "no string",
            "kubernetes/steps.yml",
            "apiVersion: example.com/v1\nkind: SparkJob\nspec: {steps: [{spark.image: 7}]}\n",
        ),
        refused(
            &case,
            "no tag",
            "kubernetes/steps.yml",
            "apiVersion: example.com/v1\nkind: SparkJob\nspec: {steps: [{spark.image: {repository: R/job}}]}\n",
        ),
    ];
    let paths = [
        "",
        "spec.",
        "spec..image",
        "spec.steps[0].image",
        "spec.steps[",
        "[].image",
        "spec.a['b']",
    ];
    let wrong = paths.map(|path| {
        let tables = PLACES.replace("spec.steps[][\\\"spark.image\\\"]", path);
        let case = self::case().with("", &tables);
        refused(
            &case,
            &format!("`{path}`"),
            "kubernetes/x.yml",
            "a: R/job:old # sparkpack: job\n",
        )
    });
    insta::assert_snapshot!([said.join("\n"), wrong.join("\n")].join("\n"));
}

#[test]
fn names_from_before() {
    let keys = "formerly = [\"old.example/team\", \"127.0.0.1:5000\"]\n";
    let text = format!(
        "{SPARK}spec:
  image: ‹old.example/team/job:1|R/job:«job»›
  driver: {{image: '‹127.0.0.1:5000/job|R/job:«job»›'}}
  executor:
    image: ‹old.example/team/job@{}|R/job:«job»›
    sidecars: [{{image: old.example/job:1}}, {{image: old.example/team/x/job:1}}, {{image: 127.0.0.1/job:1}}]
",
        digest('b')
    );
    pins(&case().with(keys, ""), "kubernetes/job.yml", &text);
}

fn two_registries() -> Offline {
    let case = case();
    case.project.edit(
        "sparkpack.toml",
        "registries.main = \"registry.example/small\"",
        "registries.main = \"registry.example/small\"\nregistries.prod = \"prod.example:5000/team\"",
    );
    case.project.edit(
        "sparkpack.toml",
        "main = [\"kubernetes/**\"]",
        "main = [\"kubernetes/main/**\"]\nprod = [\"kubernetes/prod/**\"]",
    );
    case
}

#[test]
fn each_registry_has_its_manifests() {
    let case = two_registries();
    let manifest = |reference: &str| format!("{SPARK}spec:\n  image: {reference}\n");
    let tag = case.tag("job");
    let main = format!("registry.example/small/job:{tag}");
    let prod = format!("prod.example:5000/team/job:{tag}");
    case.project.write("kubernetes/main/a.yml", &manifest(OLD));
    case.project.write(
        "kubernetes/prod/b.yml",
        &manifest("prod.example:5000/team/job:old"),
    );
    // The image is promoted to the other registry: the file decides which one is meant.
    case.project
        .write("kubernetes/prod/c.yml", &manifest(&main));
    let check = case.say_only(&["check", "--registry", "prod"]);
    assert!(
        !check.contains("main/a.yml") && check.contains("error[E100]: 2 places"),
        "{check}"
    );
    case.say(&["pin", "--registry", "prod"]);
    assert_eq!(case.project.read("kubernetes/main/a.yml"), manifest(OLD));
    for file in ["kubernetes/prod/b.yml", "kubernetes/prod/c.yml"] {
        assert_eq!(case.project.read(file), manifest(&prod), "{file}");
    }
    case.project.succeed(&["check", "--registry", "prod"]);
    let check = case.say_only(&["check"]);
    assert!(
        check.contains("error[E100]: 1 place") && check.contains("main/a.yml"),
        "{check}"
    );
    case.say(&["pin"]);
    assert_eq!(case.project.read("kubernetes/main/a.yml"), manifest(&main));
    let unknown = ["check", "pin"].map(|verb| case.say_only(&[verb, "--registry", "prdo"]));
    case.project.edit(
        "sparkpack.toml",
        "kubernetes/prod/**",
        "kubernetes/*/c.yml\", \"kubernetes/main/*",
    );
    insta::assert_snapshot!([unknown.concat(), case.refuse("one file of both")].join("\n"));
}

/// The pins of one registry do not apply to another.
#[test]
fn pins_are_per_registry() {
    let case = two_registries().with(TAG_AND_DIGEST, "");
    let tags = case.project.succeed(&["tags", "--format", "json"]).stdout;
    let document: Value = serde_json::from_str(&tags).unwrap();
    let images = document["images"].as_array().unwrap();
    let job = images.iter().find(|image| image["name"] == "job").unwrap();
    let fingerprint = job["fingerprint"].as_str().unwrap();
    let known = digest('a');
    case.project.write(
        "sparkpack.pins",
        &format!("prod prod.example:5000/team/job linux/amd64 {fingerprint} {known}\n"),
    );
    let manifest = |reference: &str| format!("{SPARK}spec:\n  image: {reference}\n");
    case.project.write("kubernetes/main/a.yml", &manifest(OLD));
    case.project.write("kubernetes/prod/b.yml", &manifest(OLD));
    case.project.succeed(&["pin"]);
    let tag = case.tag("job");
    let main = format!("registry.example/small/job:{tag}");
    let prod = format!("prod.example:5000/team/job:{tag}@{known}");
    assert_eq!(case.project.read("kubernetes/main/a.yml"), manifest(&main));
    assert_eq!(case.project.read("kubernetes/prod/b.yml"), manifest(&prod));
}

#[test]
fn one_repository_for_all_images() {
    let near = "\n[images.job-b]\nparent = \"base\"\ndockerfile = \"docker/side/Dockerfile\"\n";
    let keys = "reference = \"{registry}/spark:{image}-{fingerprint}\"\n";
    let case = case().with(keys, near);
    let job = case.project.succeed(&["tags", "job"]).stdout;
    let near = case.project.succeed(&["tags", "job-b"]).stdout;
    let of = |reference: &str, image: &str| {
        let reference = reference.trim();
        assert!(reference.starts_with(&format!("registry.example/small/spark:{image}-")));
        reference.to_owned()
    };
    let (job, near) = (of(&job, "job"), of(&near, "job-b"));
    let text = format!(
        "{SPARK}spec:
  image: ‹R/spark:job-unbuilt|{job}›
  driver: {{image: ‹R/spark:job-b-unbuilt|{near}›}}
  executor:
    image: ‹R/spark:job-0123456789abcdef|{job}›
    sidecars:
    - {{image: ‹R/spark:job-b-0123456789abcdef|{near}›}}
    - {{image: R/spark:job-0123456789abcdeg}}
    - {{image: R/spark:job}}
    - {{image: R/spark:latest}}
    - {{image: R/spark}}
"
    );
    pins(&case, "kubernetes/job.yml", &text);
    insta::assert_snapshot!(case.say_only(&["check", "-v"]));
}

#[test]
fn images_in_properties_are_rewritten_and_told() {
    let properties = |group: &str, kind: &str| {
        format!(
            "apiVersion: {group}\nkind: {kind}\nspec:\n  sparkConf:\n    spark.kubernetes.container.image: ‹R/job:old|R/job:«job»›\n    spark.kubernetes.driver.container.image: ‹R/job|R/job:«job»›\n"
        )
    };
    let refused = properties("sparkoperator.k8s.io/v1beta2", "SparkApplication");
    let case = case();
    pins(&case, "kubernetes/job.yml", &refused);
    let said = case.say_only(&["check"]);
    insta::assert_snapshot!(said);
    let taken = properties("spark.apache.org/v1", "SparkApplication");
    pins(&case, "kubernetes/job.yml", &taken);
    assert!(!case.say_only(&["check"]).contains("W106"));
}

#[test]
fn another_spark_than_the_images() {
    let objects = [
        (
            "sparkoperator.k8s.io/v1beta2",
            "SparkApplication",
            "spec:\n  sparkVersion: VERSION\n  image: R/job:«job»\n  driver: {image: R/job:«job»}\n",
        ),
        (
            "sparkoperator.k8s.io/v1beta2",
            "ScheduledSparkApplication",
            "spec:\n  template:\n    sparkVersion: 'VERSION'\n    image: R/job:«job»\n",
        ),
        (
            "spark.apache.org/v1",
            "SparkApplication",
            "spec:\n  runtimeVersions: {sparkVersion: VERSION}\n  sparkConf: {spark.kubernetes.container.image: R/job:«job»}\n",
        ),
    ];
    let text = |version: &str| {
        let objects = objects.map(|(group, kind, spec)| {
            format!(
                "apiVersion: {group}\nkind: {kind}\n{}",
                spec.replace("VERSION", version)
            )
        });
        objects.join("---\n")
    };
    let case = case();
    let other = checked(&case, "another", "kubernetes/job.yml", &text("3.5.1"));
    assert!(other.ends_with("exit 0\n"), "odd, but no drift\n{other}");
    insta::assert_snapshot!(other);
    let same = checked(&case, "the same", "kubernetes/job.yml", &text("4.1.4"));
    assert!(!same.contains("W107"), "{same}");
    let foreign = text("3.5.1").replace("R/job:«job»", "other.example/x:1");
    let foreign = checked(
        &case,
        "foreign",
        "kubernetes/job.yml",
        &(foreign + "---\na: R/job:«job» # sparkpack: job\n"),
    );
    assert!(!foreign.contains("W107"), "{foreign}");
}

/// A parent image need not be named in manifests, since only its children run.
#[test]
fn images_that_no_manifest_names() {
    let case = case();
    let job = checked(
        &case,
        "only the job",
        "kubernetes/job.yml",
        &format!("{SPARK}spec:\n  image: R/job:«job»\n"),
    );
    let all = "a: R/job:«job» # sparkpack: job\nb: R/side:«side» # sparkpack: side\n";
    let both = checked(&case, "both", "kubernetes/job.yml", all);
    let some = case.say_only(&["check", "side"]);
    insta::assert_snapshot!([job, both].join("\n"));
    assert!(
        some.ends_with("exit 0\n") && !some.contains("W104"),
        "{some}"
    );
    // In texts that are not rewritten, an image counts as named if it is a whole value.
    let elsewhere = "{% if x %}\na: R/side:«side»\n{% endif %}\nb: R/job:«job» # sparkpack: job\n";
    let elsewhere = checked(&case, "elsewhere", "kubernetes/job.yml", elsewhere);
    assert!(!elsewhere.contains("W104"), "{elsewhere}");
    let comment = "# R/side:«side»\nb: R/job:«job» # sparkpack: job\nc: as in R/side:«side» too\n";
    let comment = checked(&case, "a comment", "kubernetes/job.yml", comment);
    assert!(comment.contains("no manifest names `side`"), "{comment}");
}

#[test]
fn references_where_nothing_is_rewritten() {
    let text = |rest: &str| format!("{SPARK}spec:\n  image: R/job:«job»\n{rest}");
    let case = case();
    let whole = text(
        "  mainApplicationFile: R/job:old
  arguments: [--image, 'R/job:old', \"--image=R/job:old\", x=R/job:old]
  env:
  - {name: A, value: R/side:old@sha256:0} # too short for a digest
  - {name: B, value: \"R/job:old\"} # sparkpack: ignore
  command: run R/job:old now
  # R/job:old
  current: R/job:«job»
  untagged: R/job
  other: other.example/small/job:old
",
    );
    let prose = text("  description: as R/job:old does, and (R/side:old)\n");
    let whole = checked(&case, "whole values", "kubernetes/job.yml", &whole);
    let prose = checked(&case, "in prose", "kubernetes/job.yml", &prose);
    assert!(whole.ends_with("exit 1\n") && prose.ends_with("exit 0\n"));
    insta::assert_snapshot!([whole, prose].join("\n"));
    let pin = case.say_only(&["pin", "--exit-code"]);
    assert!(pin.contains("W105") && pin.ends_with("exit 0\n"), "{pin}");
}

#[test]
fn a_configured_place_that_is_nowhere_is_told() {
    let place = "\n[[places]]\ngroup = \"example.com\"\nkind = \"Task\"\npath = \"spec.PATH\"\n";
    let text = "apiVersion: example.com/v1\nkind: Task\nspec: {image: R/job:«job»}\n";
    for (path, is_told) in [("image", false), ("images[].x", true)] {
        let case = self::case().with("", &place.replace("PATH", path));
        let said = checked(&case, path, "kubernetes/task.yml", text);
        assert_eq!(
            said.contains("warning[W125]: sparkpack.toml:"),
            is_told,
            "{said}"
        );
        // What is in order is not read again.
        let again = case.say_only(&["check"]);
        assert_eq!(again.contains("W125"), is_told, "{again}");
    }
}
