//! Manifests that are written to mislead: nothing but the images changes, and a wrong manifest is never called right.

use crate::support::TestProject;

const CONFIGURATION: &str = r#"format = 1
project = "attacked"
registries.main = "registry.example:5000/team"
formerly = ["old.example/team"]

[chains.main]
spark = "4.1.4"
python = "3.11"
root = "registry.example/root:1"

[images.side]
dockerfile = "docker/side/Dockerfile"

[images.job]
parent = "side"
dockerfile = "docker/job/Dockerfile"
src = "src"

[manifests]
main = ["kubernetes/**"]
"#;

/// A project with one right manifest, and the values of the placeholders in its texts.
struct Attacked {
    project: TestProject,
    tag: String,
}

impl Attacked {
    fn new() -> Self {
        Self::with(CONFIGURATION)
    }

    fn with(configuration: &str) -> Self {
        let on_parent = "ARG PARENT\nFROM ${PARENT}\n";
        let project = TestProject::new(&[
            ("sparkpack.toml", configuration),
            (
                "docker/side/Dockerfile",
                "ARG ROOT\nFROM ${ROOT}\nCOPY docker/side/side.txt /opt/\n",
            ),
            ("docker/side/side.txt", "side\n"),
            (
                "docker/job/Dockerfile",
                &format!("{on_parent}COPY dist/jobs.zip dist/main.py /opt/job/\n"),
            ),
            ("src/main.py", "print('main')\n"),
            ("src/jobs/__init__.py", ""),
            (
                "sparkpack.lock",
                &crate::support::small::lock("registry.example/root:1"),
            ),
            (
                "kubernetes/right.yml",
                "apiVersion: sparkoperator.k8s.io/v1beta2\nkind: SparkApplication\nspec:\n  image: registry.example:5000/team/job:unbuilt\n  driver: {image: registry.example:5000/team/side:unbuilt}\n",
            ),
        ]);
        project.succeed(&["pin"]);
        let reference = project.reference("job");
        let tag = reference.rsplit_once(':').unwrap().1.to_owned();
        Self { project, tag }
    }

    /// Fills the placeholders: `JOB` and `SIDE` are repositories, `TAG` is the job's tag, and `ZERO` a digest.
    fn filled(&self, text: &str) -> String {
        text.replace("JOB", "registry.example:5000/team/job")
            .replace("SIDE", "registry.example:5000/team/side")
            .replace("TAG", &self.tag)
            .replace("ZERO", &format!("sha256:{}", "0".repeat(64)))
    }

    /// Pins `text`, in which each `«old|new»` marks a change; nothing else may change.
    fn assert_pins(&self, name: &str, text: &str) {
        let file = &format!("kubernetes/{name}");
        let (mut old, mut new) = (String::new(), String::new());
        let mut rest = text;
        while let Some((before, found)) = rest.split_once('«') {
            let (inside, behind) = found.split_once('»').unwrap();
            let (left, right) = inside.split_once('|').unwrap();
            old.extend([before, left]);
            new.extend([before, right]);
            rest = behind;
        }
        let (old, new) = (self.filled(&(old + rest)), self.filled(&(new + rest)));
        self.project.write(file, &old);
        let before = self.project.run(&["check"]);
        let pin = self.project.succeed(&["pin"]);
        assert_eq!(self.project.read(file), new, "{text}\n{}", pin.stderr);
        let code = i32::from(old != new);
        assert_eq!(before.code, code, "{text}\n{}", before.stderr);
        let after = self.project.succeed(&["check"]);
        assert_eq!(after.stderr, "", "{text}");
        self.project.succeed(&["pin"]);
        assert_eq!(self.project.read(file), new, "twice: {text}");
        fs_err::remove_file(self.project.root().join(file)).unwrap();
    }

    /// The message of both verbs for `text`, which stays unchanged.
    fn refusal(&self, name: &str, text: &str) -> String {
        let file = &format!("kubernetes/{name}");
        let text = self.filled(text);
        self.project.write(file, &text);
        let check = self.project.run(&["check"]);
        let pin = self.project.run(&["pin"]);
        assert_eq!(
            (check.code, pin.code),
            (2, 2),
            "{text}\n{}{}",
            check.stderr,
            pin.stderr
        );
        assert_eq!(self.project.read(file), text);
        fs_err::remove_file(self.project.root().join(file)).unwrap();
        pin.stderr
    }
}

/// A rewrite of a text that is not YAML cannot be verified by parsing, so a mark's value must be found exactly, or not
/// at all.
#[test]
fn a_mark_changes_its_value_and_nothing_around_it() {
    let attacked = Attacked::new();
    for text in [
        "args:\n- --image=«JOB:old|JOB:TAG» # sparkpack: job\n",
        "args:\n- \"--image=«JOB:old|JOB:TAG»\" # sparkpack: job\n",
        "args: ['--a', '--image=«JOB:old|JOB:TAG»'] # sparkpack: job\n",
        "args: [--tag=«old|TAG»] # sparkpack: job tag\n",
        "x: \"a: «JOB:old|JOB:TAG»\" # sparkpack: job\n",
        "x: {a: b, c: «JOB:old|JOB:TAG»} # sparkpack: job\n",
        "x: [a, [«JOB:old|JOB:TAG»]] # sparkpack: job\n",
        "x: &a !!str «JOB:old|JOB:TAG» # sparkpack: job\n",
        "x: |\n  a\n  «JOB:old|JOB:TAG»\n",
        "image: «old|TAG» # sparkpack: job tag\n",
        "# x: JOB:old # sparkpack: job\n  # - JOB:old # sparkpack: nobody\n",
        "x: 'JOB:old' # sparkpack: ignore\n",
        "a: 1\rx: «JOB:old|JOB:TAG» # sparkpack: job\rb: JOB:old # sparkpack: ignore\r",
    ] {
        // As plain YAML, and in a template.
        let body = text.replace(
            "  «JOB:old|JOB:TAG»\n",
            "  v=«JOB:old|JOB:TAG» # sparkpack: job\n",
        );
        attacked.assert_pins("a.yaml", &body);
        attacked.assert_pins("a.yaml", &format!("{{{{- if .x }}}}\n{body}"));
    }
    for text in [
        "op = Op(image=\"«JOB:old|JOB:TAG»\")  # sparkpack: job\n",
        "IMAGE=«JOB:old|JOB:TAG» # sparkpack: job\nexport TAG_OF=«old|TAG» # sparkpack: job tag\n",
        "image = \"«JOB:old|JOB:TAG»\"  # sparkpack: job\n",
        "x = [\"--image=«JOB:old|JOB:TAG»\"],  # sparkpack: job\n",
    ] {
        attacked.assert_pins("a.py", text);
    }
}

#[test]
fn a_mark_behind_what_is_no_value_is_refused() {
    let attacked = Attacked::new();
    for text in [
        "a: \"x \\\"JOB:old\\\"\" # sparkpack: job\n",
        "a: | # sparkpack: job\n  JOB:old\n",
        "a: $TAG # sparkpack: job tag\n",
        "a: 'x' # sparkpack: job # sparkpack: side\n",
        "a: {{ .x }} # sparkpack: job\n",
        "a: {{ .x }}/job:old # sparkpack: job\n",
        "a: 'some words' # sparkpack: job\n",
        "a: &old/b # sparkpack: job\n  JOB:old # sparkpack: job\n",
        "op = Op(image=IMAGE)  # sparkpack: job\n",
        "op = {'image': IMAGE}  # sparkpack: job\n",
        "op = Op(image=f'{REG}/job:old')  # sparkpack: job\n",
        "image = var.image # sparkpack: job\n",
        "a: JOB:old # sparkpack: job tag\n",
        "a: JOB@ZERO # sparkpack: job digest\n",
        "a: # sparkpack: ignore\n  JOB:old\n",
        "a: >- # sparkpack: ignore\n  JOB:old\n",
        "- # sparkpack: ignore\n  JOB:old\n",
    ] {
        let said = attacked.refusal("a.tpl", text);
        let is_refused = said.contains("error[E202]") || said.contains("error[E203]");
        assert!(is_refused, "{text}\n{said}");
    }
    let said = attacked.refusal("a.tpl", "a: '--x=${A}' # sparkpack: job\n");
    assert!(said.contains("error[E203]"), "{said}");
    let digest = "x = ['--digest=ZERO']  # sparkpack: job digest\n";
    let said = attacked.refusal("a.py", digest);
    assert!(said.contains("error[E065]"), "{said}");
}

/// The repository may be a pull-through cache, be filled in by a template, or be kustomize's placeholder.
#[test]
fn a_mark_for_the_tag_leaves_the_repository_alone() {
    let attacked = Attacked::new();
    for text in [
        "image:\n  repository: mirror.example/job\n  tag: «old|TAG» # sparkpack: job tag\n",
        "image:\n  repository: old.example/team/job\n  tag: «old|TAG» # sparkpack: job tag\n",
        "image:\n  repository: '{{ .x }}/job'\n  tag: «old|TAG» # sparkpack: job tag\n",
        "image:\n  repository: mirror.example/job\n  digest: «ZERO|\"\"»\n  tag: «old|TAG» # sparkpack: job tag\n",
        "image:\n  repository: mirror.example/job\n  digest: «ZERO|\"\"» # sparkpack: job digest\n",
        "image:\n  repository: mirror.example/job\n  tag: TAG # sparkpack: job tag\n",
        "image:\n  repository: «mirror.example/job|JOB»\n  tag: «old|TAG» # sparkpack: job\n",
        "kind: Kustomization\napiVersion: kustomize.config.k8s.io/v1beta1\nimages:\n- name: job\n  newTag: «old|TAG» # sparkpack: job tag\n",
        "kind: Kustomization\napiVersion: kustomize.config.k8s.io/v1beta1\nimages:\n- newTag: «old|TAG» # sparkpack: job tag\n  newName: mirror.example/job\n  name: x\n",
    ] {
        attacked.assert_pins("a.yaml", text);
    }
    let template =
        "image:\n  repository: JOB\n  tag: '{{ .x }}'\n  digest: '' # sparkpack: job digest\n";
    attacked.assert_pins("a.yaml", template);
}

/// Helm's values, texts in block scalars and marks are found without a path from the root, on which anchors would be
/// seen.
#[test]
fn what_an_alias_uses_again_needs_consent_wherever_it_stands() {
    let pod = |indent: &str| {
        format!(
            "{indent}apiVersion: v1\n{indent}kind: Pod\n{indent}spec: {{containers: [{{image: «JOB:old|JOB:TAG»}}]}}\n"
        )
    };
    let texts = [
        "a: &x\n  repository: JOB\n  tag: «old|TAG»\nb: *x\n".to_owned(),
        "a: &x {c: [{repository: JOB, tag: «old|TAG»}], d: &y {e: f}}\nb: *x\ng: *y\n".to_owned(),
        "x:\n- &x {repository: JOB, tag: «old|TAG»}\n- *x\n".to_owned(),
        "a: &x '«JOB:old|JOB:TAG»' # sparkpack: job\nb: *x\n".to_owned(),
        "a: &x\n  c: '«JOB:old|JOB:TAG»' # sparkpack: job\nb: *x\n".to_owned(),
        format!("a: &x |\n{}b: *x\n", pod("  ")),
        format!("a: &x\n  t: |\n{}b: {{<<: *x}}\n", pod("    ")),
        "t: |\n  a: &x\n    c: «JOB:old|JOB:TAG» # sparkpack: job\n  repository: y\n  b: *x\n"
            .to_owned(),
    ];
    let attacked = Attacked::new();
    for text in &texts {
        let old = text.replace(['«', '»'], "");
        let old = old.replace("|JOB:TAG", "").replace("|TAG", "");
        let said = attacked.refusal("a.yaml", &old);
        assert!(said.contains("error[E063]"), "{text}\n{said}");
        assert!(said.contains("`&x`"), "{text}\n{said}");
    }
    let consent = format!("anchors = [\"kubernetes/a.yaml\"]\n{CONFIGURATION}");
    let attacked = Attacked::with(&consent);
    for text in &texts {
        attacked.assert_pins("a.yaml", text);
    }
    // Places beside the anchored value, and anchors without an alias.
    let attacked = Attacked::new();
    for text in [
        "a: &x {b: c}\nd: {<<: *x, repository: JOB, tag: «old|TAG»}\n",
        "a: &x {b: c}\nd: *x\ne: «JOB:old|JOB:TAG» # sparkpack: job\n",
        "a: &x {repository: JOB, tag: «old|TAG»}\n",
    ] {
        attacked.assert_pins("a.yaml", text);
    }
}

/// Helm's values have no `kind`: only their keys tell how a chart joins them.
#[test]
fn values_are_found_however_they_are_put_together() {
    let attacked = Attacked::new();
    for text in [
        // An `image` beside a `tag` is not a whole reference.
        "image: JOB\ntag: «old|TAG»\n",
        "a: {image: «old.example/team/job|JOB», tag: «old|TAG»}\n",
        "a: {registry: registry.example:5000, image: team/job, tag: «old|TAG»}\n",
        "a: {image: «JOB:old|JOB:TAG», tag: other}\n",
        "a: {image: «JOB|JOB:TAG», repository: https://example.com}\n",
        // A tag beside a merged repository.
        "a: &x {repository: JOB, tag: TAG}\nb: {<<: *x, tag: «old|TAG»}\n",
        "a: &x {repository: JOB, tag: TAG}\nb: &y {tag: none}\nc: {<<: [*y, *x], tag: «old|TAG»}\n",
        "a: &x {registry: other.example, repository: team/job, tag: x}\nb: {<<: *x, registry: registry.example:5000, tag: «old|TAG»}\n",
        "a: {<<: {repository: JOB, tag: TAG}, tag: «old|TAG»}\n",
        // A tag that a template fills in.
        "a: {repository: JOB, tag: {{ .Values.tag }} }\n",
        "a:\n  repository: JOB\n  tag: {{ .Values.tag }}\n",
        "a: {repository: JOB, tag: $TAG_OF_IT}\n",
        "a: {repository: JOB, tag: $(params.tag)}\n",
        "a: {repository: JOB, tag: '<% tag %>'}\n",
        "a: {repository: JOB, tag: '[[ tag ]]'}\n",
        // A part that contains more than itself.
        "a: {repository: '«JOB:old|JOB»', tag: «x|TAG»}\n",
        "a: {repository: «JOB@ZERO|JOB», tag: TAG}\n",
        "a: {registry: registry.example:5000, repository: «team/job:old|team/job», tag: «x|TAG»}\n",
        "a: {registry: registry.example:5000/, repository: team/job, tag: «x|TAG»}\n",
        "a: {registry: «old.example/|registry.example:5000/», repository: /team/job, tag: «x|TAG»}\n",
        "kind: Kustomization\napiVersion: kustomize.config.k8s.io/v1beta1\nimages:\n- {name: x, newName: «JOB:x|JOB», newTag: «y|TAG»}\n",
        // In lists with objects of unknown kinds, and in objects that only look like lists.
        "apiVersion: v1\nkind: List\nitems:\n- apiVersion: helm.toolkit.fluxcd.io/v2\n  kind: HelmRelease\n  spec: {values: {image: {repository: JOB, tag: «old|TAG»}}}\n",
        "apiVersion: example.com/v1\nkind: AllowList\nspec: {image: {repository: JOB, tag: «old|TAG»}}\n",
        "apiVersion: example.com/v1\nkind: Thing\nspec: {image: JOB, tag: «old|TAG»}\n",
        "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n  spec: {containers: [{image: «JOB:old|JOB:TAG», tag: x}]}\n",
    ] {
        attacked.assert_pins("a.yaml", text);
    }
    let shared = "a: &x {repository: SIDE, tag: x}\nb: {<<: *x, repository: JOB}\n";
    let said = attacked.refusal("a.yaml", shared);
    assert!(
        said.contains("error[E063]") && !said.contains("E200"),
        "{said}"
    );
}

#[test]
fn a_text_is_read_whatever_lines_stand_around_it() {
    let attacked = Attacked::new();
    let values = "    image:\n      repository: JOB\n      tag: «old|TAG»\n";
    let pod = "    apiVersion: v1\n    kind: Pod\n    spec: {containers: [{image: '«JOB:old|JOB:TAG»'}]}\n";
    for text in [values, pod] {
        let mut documents = String::new();
        for head in ["|", "|2", "|-", "|+2"] {
            for before in ["", "\n", "\n\n", "  \n", "    \n\n", "    # c\n\n"] {
                for behind in ["", "\n", "      \n", "# c\n", "\n  # c\n"] {
                    let document = format!("---\nx: {head}\n{before}{text}{behind}y: 1\n");
                    documents.push_str(&document);
                }
            }
        }
        attacked.assert_pins("a.yaml", &documents);
        let text = format!("x: |\n{text}y: |\n\n{text}");
        attacked.assert_pins("a.yaml", &text.replace('\n', "\r\n"));
        attacked.assert_pins("a.yaml", &text.replace('\n', "\r"));
        attacked.assert_pins("a.yaml", text.trim_end());
    }
}

/// Nothing of ours is passed over: what is old is drift, and the rest a warning, each with its place and with what to
/// write.
#[test]
fn what_stands_at_no_place_is_told() {
    let attacked = Attacked::new();
    let stale = 1;
    let current = 0;
    for (name, text, code, told) in [
        (
            "a.yaml",
            "x: JOB@ZERO\n",
            stale,
            "W105]: kubernetes/a.yaml:1:4: ",
        ),
        (
            "a.yaml",
            "x: &a !!str JOB:old\n",
            stale,
            "W105]: kubernetes/a.yaml:1:13: ",
        ),
        (
            "a.yaml",
            "x: docker://JOB:old\n",
            stale,
            "W105]: kubernetes/a.yaml:1:13: ",
        ),
        (
            "a.yaml",
            "kind: Pod\napiVersion: v1\nspec: {containers: [{image: JOB:old@sha256:12}]}\n",
            stale,
            "W105]: kubernetes/a.yaml:3:29: `JOB:old@sha256:12` is no image reference",
        ),
        (
            "a.yaml",
            "image: {repository: JOB:old@sha256:12, tag: old}\n",
            stale,
            "W105]: kubernetes/a.yaml:1:21: ",
        ),
        (
            "a.yaml",
            "image: JOB::old\n",
            stale,
            "what stands behind the repository of `job` is no tag and no digest",
        ),
        (
            "a.yaml",
            "x: [JOB@old]\n",
            stale,
            "W105]: kubernetes/a.yaml:1:5: ",
        ),
        (
            "a.yaml",
            "images: {job: JOB}\ntags: {job: old}\n",
            stale,
            "`old` seems to be the tag of `JOB`",
        ),
        (
            "a.yaml",
            "spark:\n  image: {repository: JOB}\n  tag: old\n",
            stale,
            "behind it, or `# sparkpack: ignore` behind `JOB`",
        ),
        (
            "a.json",
            "{\"x\": \"JOB:old\"}\n",
            stale,
            "hint: JSON has no comments for a mark",
        ),
        (
            "a.sh",
            "run --image=JOB:old \\\n  now\n",
            stale,
            "`IMAGE=JOB:old  # sparkpack: job`",
        ),
        (
            "a.yaml",
            "a.conf: |\n  spark.x=JOB:old\n",
            stale,
            "hint: in properties a mark would be a part",
        ),
        (
            "a.yaml",
            "x: JOB:TAG\n",
            current,
            "W120]: kubernetes/a.yaml:1:4: ",
        ),
        (
            "a.yaml",
            "x: JOB\n",
            current,
            "put `# sparkpack: job` behind it if it is a whole reference",
        ),
        (
            "a.yaml",
            "images: {job: JOB}\ntags: {job: TAG}\n",
            current,
            "seems to have its tag at kubernetes/a.yaml:2:13",
        ),
        (
            "a.yaml",
            "x:\n  JOB:\n    tag: old\n",
            stale,
            "W105]: kubernetes/a.yaml:3:10: ",
        ),
        (
            "a.yaml",
            "- JOB\n- old\n",
            current,
            "W120]: kubernetes/a.yaml:1:3: ",
        ),
    ] {
        let file = &format!("kubernetes/{name}");
        let text = attacked.filled(text);
        attacked.project.write(file, &text);
        let check = attacked.project.run(&["check"]);
        assert_eq!(check.code, code, "{text}\n{}", check.stderr);
        let told = attacked.filled(told);
        assert!(check.stderr.contains(&told), "{text}\n{}", check.stderr);
        attacked.project.run(&["pin"]);
        assert_eq!(attacked.project.read(file), text);
        fs_err::remove_file(attacked.project.root().join(file)).unwrap();
    }
}

/// Where a comment would be a part of the value, a mark would break the text.
#[test]
fn a_mark_where_no_comment_can_stand_is_refused() {
    let attacked = Attacked::new();
    for (name, text) in [
        ("a.json", "{\"x\": \"JOB:old\" # sparkpack: job\n}\n"),
        (
            "a.yaml",
            "a.json: |\n  {\"x\": \"JOB:old\" # sparkpack: job\n  }\n",
        ),
        (
            "a.yaml",
            "spark-defaults.conf: |\n  spark.x JOB:old # sparkpack: job\n",
        ),
        (
            "a.yaml",
            "x: |\n  # c\n  spark.a=b\n  spark.x=JOB:old # sparkpack: job\n",
        ),
        ("spark.properties", "spark.x=JOB:old # sparkpack: job\n"),
        ("a.sh", "run --image=JOB:old \\ # sparkpack: job\n  now\n"),
    ] {
        let said = attacked.refusal(name, text);
        assert!(
            said.contains("error[E202]") && said.contains("hint: "),
            "{said}"
        );
    }
    attacked.assert_pins(
        "a.yaml",
        "a.sh: |\n  run --image=«JOB:old|JOB:TAG» # sparkpack: job\n",
    );
}

/// A white space that is none of ASCII's, as text that was pasted has it, is a character like any other.
#[test]
fn other_white_space_breaks_nothing() {
    let attacked = Attacked::new();
    for text in [
        "a: |\n  run\u{a0}image: JOB:old\n",
        "a: |\n  run\u{3000}&x JOB:old\n",
        "a: \"b\u{2028}image: JOB:old\"\n",
    ] {
        let text = attacked.filled(text);
        attacked.project.write("kubernetes/a.yaml", &text);
        let check = attacked.project.run(&["check"]);
        assert!(check.stderr.contains("W105"), "{text}: {}", check.stderr);
    }
}

/// What is read as JSON stays JSON, and a chart's own version is not that of an image.
#[test]
fn what_a_file_is_stays_as_it_is() {
    let attacked = Attacked::new();
    attacked.assert_pins(
        "a.json",
        "{\"image\": {\"repository\": \"JOB\", \"tag\": «null|\"TAG\"»}}\n",
    );
    attacked.assert_pins(
        "a.yaml",
        "x: '{\"image\": {\"repository\": \"JOB\", \"tag\": «1.10|\"TAG\"»}}'\n",
    );
    let chart = attacked.filled("apiVersion: v2\nversion: 0.1.0\nimage: JOB\ntag: TAG\n");
    attacked.project.write("kubernetes/Chart.yaml", &chart);
    attacked.project.succeed(&["pin"]);
    assert_eq!(attacked.project.read("kubernetes/Chart.yaml"), chart);
}

/// Quotes make the merge key an ordinary one, so that the tag is not that of the image.
#[test]
fn what_nothing_merges_is_told() {
    let attacked = Attacked::new();
    let text = attacked.filled("a: {'<<': {x: JOB}, other: old}\n");
    attacked.project.write("kubernetes/a.yaml", &text);
    let pin = attacked.project.succeed(&["pin"]);
    assert!(
        pin.stderr.contains("W120") && pin.stderr.contains("a.yaml:1:15"),
        "{}",
        pin.stderr
    );
    assert_eq!(attacked.project.read("kubernetes/a.yaml"), text);
}

#[test]
fn a_key_that_is_twice_in_a_text_is_told_with_both_its_places() {
    let attacked = Attacked::new();
    let text = "a: 1\nx: |\n  repository: JOB\n  tag: a\n  tag: b\n";
    let said = attacked.refusal("a.yaml", text);
    let first = "the key `tag` is there twice: first at kubernetes/a.yaml:4:3";
    assert!(
        said.contains("kubernetes/a.yaml:5:3: ") && said.contains(first),
        "{said}"
    );
}

#[test]
fn git_applies_what_a_check_prints() {
    let attacked = Attacked::new();
    let text = "# a\nimage:\n  repository: JOB\n  tag: old\n# b\n# c\n# d\n";
    let many: String = ["a", "b", "c"]
        .map(|key| text.replace("image", key))
        .concat();
    for text in [
        text,
        text.trim_end(),
        "image: {repository: JOB, tag: old}",
        &many,
    ] {
        for end in ["\n", "\r\n"] {
            let old = attacked.filled(text).replace('\n', end);
            attacked.project.write("kubernetes/a.yaml", &old);
            let check = attacked.project.run(&["check"]);
            attacked.project.write("diff.patch", &check.stdout);
            let mut apply = std::process::Command::new("git");
            apply.args(["apply", "diff.patch"]);
            apply.current_dir(attacked.project.root());
            let applied = apply.output().unwrap();
            assert!(applied.status.success(), "{applied:?}\n{}", check.stdout);
            let new = old.replace("old", &attacked.tag);
            assert_eq!(attacked.project.read("kubernetes/a.yaml"), new);
        }
    }
}

#[test]
fn the_manifests_of_no_registry_are_not_right() {
    let attacked = Attacked::new();
    for verb in ["check", "pin", "plan"] {
        let run = attacked.project.run(&[verb, "--registry", "prod"]);
        assert_eq!(run.code, 2, "{verb}: {}", run.stderr);
        let said = "error[E087]: there is no registry `prod`; configured: `main`";
        assert!(run.stderr.starts_with(said), "{verb}: {}", run.stderr);
    }
}

/// By the fixed part of `reference` alone, a foreign tag `job-b-…` would be the job's.
#[test]
fn a_tag_in_a_shared_repository_that_is_nearly_one_of_ours_is_not_passed_over_in_silence() {
    let attacked = Attacked::new();
    attacked.project.edit(
        "sparkpack.toml",
        "project =",
        "reference = \"{registry}/spark:{image}-{fingerprint}\"\nproject =",
    );
    attacked.project.write(
        "kubernetes/right.yml",
        "a: {repository: registry.example:5000/team/spark, tag: job-unbuilt}\nb: {image: registry.example:5000/team/spark:side-unbuilt}\n",
    );
    attacked.project.succeed(&["pin"]);
    let text = "a: {image: registry.example:5000/team/spark:TAGS}\n";
    for (tag, image) in [
        ("job-latest", "job"),
        ("side-v1", "side"),
        ("job-b-0123456789abcdef", "job"),
    ] {
        attacked
            .project
            .write("kubernetes/a.yaml", &text.replace("TAGS", tag));
        let run = attacked.project.succeed(&["check"]);
        let said = format!(
            "warning[W112]: kubernetes/a.yaml:1:12: `registry.example:5000/team/spark:{tag}` is left alone: its tag begins like one of `{image}`, and is none\n"
        );
        assert!(run.stderr.starts_with(&said), "{}", run.stderr);
        // The second run, with a cache, warns as well.
        assert!(
            attacked
                .project
                .succeed(&["check"])
                .stderr
                .starts_with(&said)
        );
    }
    for other in ["latest", "other-0123456789abcdef", "jobs-1"] {
        attacked
            .project
            .write("kubernetes/a.yaml", &text.replace("TAGS", other));
        assert_eq!(attacked.project.succeed(&["check"]).stderr, "");
    }
}
