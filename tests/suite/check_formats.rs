//! The output of `check` for reviews and programs: a diff that git applies, GitHub's commands, GitLab's report, JSON.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use crate::support::{OLD, Offline, Run, SPARK, Schema, TestProject, program, run, spoiled};

const SCHEMA: Schema = Schema("check.schema.json");

/// Manifests with every kind of finding that an offline check can have.
fn all_kinds() -> Offline {
    let case = Offline::new(&[
        (
            "kubernetes/job.yml",
            &format!(
                "{SPARK}spec:\n  sparkVersion: 3.5.1\n  image: {OLD}\n  driver:\n    image: &x {OLD}\n    sidecars:\n    - {{name: a, image: other.example/x:1}}\n    - {{name: b, image: '${{IMAGE}}'}}\n  executor: {{image: *x}}\n  arguments: [--image={OLD}, {OLD}]\n"
            ),
        ),
        (
            "kubernetes/chart/templates/pod.yaml",
            "image: {{ registry }}/job:{{ tag }}\nother: old # sparkpack: job tag\n",
        ),
        (
            "kubernetes/kustomization.yaml",
            "images:\n- name: registry.example/small/side\n  digest: sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\n",
        ),
        (
            "kubernetes/values.yaml",
            "image:\n  repository: registry.example/small/job\n  tag: old\n  digest: sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\n",
        ),
    ]);
    case.with(
        "pin = \"tag+digest\"\nanchors = [\"kubernetes/*.yml\"]\n",
        "",
    )
}

fn stdout(case: &Offline, format: &str) -> (i32, String) {
    let run = case.project.run(&["check", "--format", format]);
    (run.code, run.stdout)
}

fn document(case: &Offline, format: &str) -> Value {
    let (_, text) = stdout(case, format);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn each_format_tells_everything() {
    let case = all_kinds();
    let said = ["text", "json", "github", "gitlab"].map(|format| {
        let (code, text) = stdout(&case, format);
        assert_eq!(code, 1, "{text}");
        format!("# {format}\n{text}")
    });
    assert!(!case.was_asked());
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn the_document_is_what_its_schema_says() {
    let drifted = document(&all_kinds(), "json");
    let current = Offline::spark(&format!("spec:\n  image: {OLD}\n"));
    current.project.succeed(&["pin"]);
    let current = document(&current, "json");
    assert_eq!(
        (&current["current"], &current["drift"], &drifted["current"]),
        (&json!(true), &json!([]), &json!(false))
    );
    let documents = [drifted.clone(), current.clone()];
    assert_eq!(SCHEMA.mistakes(&documents), [vec![], Vec::<String>::new()]);

    let mut wrong = spoiled(&drifted);
    for (document, pointer, value) in [
        (&drifted, "/version", json!(2)),
        (&drifted, "/current", json!(true)),
        (&current, "/current", json!(false)),
        (&drifted, "/drift", json!([])),
        (&drifted, "/drift/0/code", json!("E1")),
        (&drifted, "/drift/0/line", json!(0)),
        (&drifted, "/changes/0/image", json!("")),
        (&drifted, "/warnings/0/code", json!("E100")),
        (&drifted, "/skipped/0/reason", json!("")),
    ] {
        let mut copy = document.clone();
        *copy.pointer_mut(pointer).unwrap() = value.clone();
        wrong.push((format!("{pointer} = {value}"), copy));
    }
    assert!(wrong.len() > 100, "{}", wrong.len());
    assert_eq!(SCHEMA.taken(&wrong), Vec::<&str>::new(), "taken as valid");
    assert_eq!(SCHEMA.silent_keys(), Vec::<String>::new());
}

/// Every format says so if nothing is found, so that a review agrees with the exit code.
#[test]
fn what_is_current_is_told_in_every_format() {
    let case = Offline::new(&[(
        "kubernetes/all.yml",
        "a: unbuilt # sparkpack: job tag\nb: unbuilt # sparkpack: side tag\n",
    )]);
    case.project.succeed(&["pin"]);
    assert_eq!(stdout(&case, "text"), (0, String::new()));
    assert_eq!(stdout(&case, "github"), (0, String::new()));
    assert_eq!(stdout(&case, "gitlab"), (0, "[]\n".to_owned()));
    assert_eq!(document(&case, "json")["current"], true);
}

/// Errors that stop a check are reported in the place where a review looks.
#[test]
fn errors_are_told_to_reviews_too() {
    let good = format!("spec:\n  image: {OLD}\n");
    let broken = Offline::spark("spec:\n  image: ~\n  driver: {image: 7}\n");
    let not_yaml = Offline::spark("spec: [\n");
    let unknown = Offline::spark(&good);
    unknown
        .project
        .edit("sparkpack.toml", "parent = \"ds\"", "parent = \"sd\"");
    let syntax = Offline::spark(&good);
    syntax
        .project
        .edit("sparkpack.toml", "format = 1", "format = \"");
    let unlocked = Offline::spark(&good);
    fs_err::remove_file(unlocked.project.root().join("sparkpack.lock")).unwrap();
    let nothing = Offline::spark("spec:\n  image: other.example/x:1\n");
    let pins = Offline::spark(&good).with("pin = \"tag+digest\"\n", "");
    pins.project.write("sparkpack.pins", "# x\nmain\n");
    let source = Offline::spark(&good);
    source.project.edit("docker/ds/Dockerfile", "COPY", "COPPY");
    let cases = [
        ("two values", broken),
        ("not YAML", not_yaml),
        ("configuration", unknown),
        ("its syntax", syntax),
        ("no lock", unlocked),
        ("no image", nothing),
        ("pins", pins),
        ("a Dockerfile", source),
    ];
    let said = cases.map(|(name, case)| {
        let (code, github) = stdout(&case, "github");
        assert_eq!(code, 2, "{name}: {github}");
        let issues = document(&case, "gitlab");
        let issues = issues.as_array().unwrap();
        assert_eq!(issues.len(), github.lines().count(), "{name}");
        assert!(!issues.is_empty() && github.lines().all(|line| line.starts_with("::error file=")));
        assert_eq!(stdout(&case, "json").1, "", "{name}");
        format!("# {name}\n{github}")
    });
    let case = Offline::spark(&good);
    let arguments = ["check", "--format", "github", "--registry", "prdo"];
    let registry = case.project.run(&arguments).stdout;
    insta::assert_snapshot!(format!("{}\n# a registry\n{registry}", said.join("\n")));
}

/// A repository with the project in a subfolder.
struct Repository {
    project: TestProject,
    top: PathBuf,
}

impl Repository {
    fn new(project: TestProject) -> Self {
        let top = project.root().parent().unwrap().to_owned();
        let repository = Self { project, top };
        fs_err::write(repository.top.join(".gitignore"), "/home\n/cache\n").unwrap();
        repository.git(&["init", "--quiet"]);
        repository.git(&["config", "core.autocrlf", "false"]);
        repository.commit();
        repository
    }

    fn git(&self, arguments: &[&str]) -> String {
        let place = ["-C", self.top.to_str().unwrap()];
        let who = ["-c", "user.name=ada", "-c", "user.email=ada@localhost"];
        program("git", &[&place[..], &who[..], arguments].concat())
    }

    fn commit(&self) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", "all"]);
    }

    /// Runs sparkpack from the repository's top.
    fn at_top(&self, arguments: &[&str]) -> Run {
        let arguments = [&["-C", "project"][..], arguments].concat();
        run(self.project.command(&arguments).current_dir(&self.top))
    }
}

#[test]
fn paths_are_those_of_the_repository() {
    let manifest = format!("{SPARK}spec:\n  image: {OLD}\n");
    let case = Offline::new(&[
        ("kubernetes/a,b:c%d.yml", &manifest),
        ("kubernetes/größe ü.yml", &manifest),
        ("kubernetes/two\nlines.yml", &manifest),
        ("kubernetes/deep/er/job.yml", &manifest),
        ("../beside/job.yml", &manifest),
    ]);
    case.project.edit(
        "sparkpack.toml",
        "\"kubernetes/**\"",
        "\"kubernetes/**\", \"../beside/*\"",
    );
    let repository = Repository::new(case.project);
    let github = ["check", "--format", "github"];
    let gitlab = ["check", "--format", "gitlab"];
    let from_top = repository.at_top(&github).stdout;
    assert_eq!(repository.project.run(&github).stdout, from_top);
    let issues: Value = serde_json::from_str(&repository.at_top(&gitlab).stdout).unwrap();
    let paths: BTreeSet<&str> = issues
        .as_array()
        .unwrap()
        .iter()
        .map(|issue| issue["location"]["path"].as_str().unwrap())
        .collect();
    let wanted = [
        "beside/job.yml",
        "project/kubernetes/a,b:c%d.yml",
        "project/kubernetes/deep/er/job.yml",
        "project/kubernetes/größe ü.yml",
        "project/kubernetes/two\nlines.yml",
        "project/sparkpack.toml",
    ];
    assert_eq!(paths, wanted.into());
    for path in &wanted {
        assert!(repository.top.join(path).is_file(), "{path}");
    }
    // Decoded as GitHub's runner does: `%0A` in a property is a line end, and so on.
    let unescaped = |text: &str| {
        let text = text.replace("%2C", ",").replace("%3A", ":");
        text.replace("%0A", "\n")
            .replace("%0D", "\r")
            .replace("%25", "%")
    };
    let read: BTreeSet<String> = from_top
        .lines()
        .map(|line| {
            let (properties, message) = line.strip_prefix("::").unwrap().split_once("::").unwrap();
            assert!(!message.is_empty());
            let (level, properties) = properties.split_once(' ').unwrap();
            assert!(["error", "warning"].contains(&level));
            let keys: Vec<(&str, &str)> = properties
                .split(',')
                .map(|property| property.split_once('=').unwrap())
                .collect();
            let names: Vec<&str> = keys.iter().map(|(name, _)| *name).collect();
            assert_eq!(names, ["file", "line", "col", "title"], "{line}");
            unescaped(keys[0].1)
        })
        .collect();
    assert_eq!(read, wanted.map(str::to_owned).into());
    insta::assert_snapshot!(from_top);
}

/// Outside of git, paths can only be relative to the project.
#[test]
fn paths_outside_of_git_are_the_projects() {
    let case = Offline::spark(&format!("spec:\n  image: {OLD}\n"));
    let (_, github) = stdout(&case, "github");
    assert!(
        github.starts_with("::error file=kubernetes/job.yml,line=4,col=10,title=sparkpack E100::"),
        "{github}"
    );
}

fn fingerprints(case: &Offline) -> Vec<(String, String)> {
    let issues = document(case, "gitlab");
    let text = |issue: &Value, key: &str| issue[key].as_str().unwrap().to_owned();
    let issues = issues.as_array().unwrap().iter();
    issues
        .map(|issue| (text(issue, "fingerprint"), text(issue, "description")))
        .collect()
}

/// GitLab compares fingerprints to tell which findings a merge request adds and which it fixes.
#[test]
fn findings_are_known_again_and_apart() {
    let case = Offline::spark(&format!(
        "spec:\n  image: {OLD}\n  driver: {{sidecars: [{{image: {OLD}}}, {{image: {OLD}}}]}}\n  arguments: [{OLD}, {OLD}]\n---\n{SPARK}spec:\n  image: {OLD}\n"
    ));
    let only = |found: &[(String, String)]| -> Vec<String> {
        found
            .iter()
            .map(|(fingerprint, _)| fingerprint.clone())
            .collect()
    };
    let first = fingerprints(&case);
    assert_eq!(first.len(), 7, "{first:?}");
    let unique: BTreeSet<String> = only(&first).into_iter().collect();
    assert_eq!(unique.len(), first.len(), "{first:?}");
    assert!(unique.iter().all(|one| one.len() == 64));

    // Another commit, with another tag, and with new lines above.
    case.project.edit("src/main.py", "main", "other");
    case.project
        .edit("kubernetes/job.yml", "spec:\n", "# one\n# two\nspec:\n");
    let second = fingerprints(&case);
    assert_eq!(only(&second), only(&first));
    assert_ne!(second[0].1, first[0].1, "it is about another tag");

    // One is fixed, the others keep their fingerprints.
    let tag = case.tag("job");
    let text = case.project.read("kubernetes/job.yml");
    let text = text.replacen(
        "image: registry.example/small/job:old",
        &format!("image: registry.example/small/job:{tag}"),
        1,
    );
    case.project.write("kubernetes/job.yml", &text);
    let third: BTreeSet<String> = only(&fingerprints(&case)).into_iter().collect();
    assert_eq!(third.len(), 6);
    assert!(third.is_subset(&unique));
}

/// The files below a folder that are in git.
fn texts(root: &Path) -> Vec<(String, Vec<u8>)> {
    let walk = walkdir::WalkDir::new(root.join("kubernetes"))
        .sort_by_file_name()
        .into_iter()
        .map(Result::unwrap);
    walk.filter(|entry| entry.file_type().is_file())
        .map(|entry| {
            let path = entry.path().strip_prefix(root).unwrap();
            (
                path.to_str().unwrap().to_owned(),
                fs_err::read(entry.path()).unwrap(),
            )
        })
        .collect()
}

/// Checks that the diff, applied by git in the project's folder, gives the result of `pin`.
fn applies(repository: &Repository) -> usize {
    let project = &repository.project;
    let before = texts(&project.root());
    let check = project.run(&["check"]);
    assert_eq!(check.code, 1, "{}", check.stderr);
    let patch = project.home().join("fix.patch");
    fs_err::write(&patch, &check.stdout).unwrap();
    project.succeed(&["pin"]);
    let pinned = texts(&project.root());
    repository.git(&["checkout", "--quiet", "--", "."]);
    assert_eq!(texts(&project.root()), before);
    let mut apply = Command::new("git");
    apply.args(["apply", "--whitespace=nowarn"]).arg(&patch);
    let apply = run(apply.current_dir(project.root()));
    assert_eq!(
        (apply.code, apply.stderr.as_str()),
        (0, ""),
        "{}",
        check.stdout
    );
    let applied = texts(&project.root());
    for ((file, applied), (_, pinned)) in applied.iter().zip(&pinned) {
        assert_eq!(
            String::from_utf8_lossy(applied),
            String::from_utf8_lossy(pinned),
            "{file}"
        );
    }
    assert_eq!(applied.len(), pinned.len());
    assert_eq!(project.run(&["check"]).stdout, "");
    let pairs = before.iter().zip(&pinned);
    pairs.filter(|(old, new)| old.1 != new.1).count()
}

#[test]
fn git_applies_the_diff() {
    let manifest = format!("# a\n\n{SPARK}spec:\n  image: {OLD}\n\n  driver:\n    image: {OLD}");
    let crlf = manifest.replace('\n', "\r\n");
    let case = Offline::new(&[
        ("kubernetes/unix.yml", &format!("{manifest}\n")),
        ("kubernetes/end.yml", &manifest),
        ("kubernetes/crlf.yml", &format!("{crlf}\r\n")),
        ("kubernetes/crlf-end.yml", &crlf),
        (
            "kubernetes/mixed.yml",
            &format!("{crlf}\r\n---\n{}\n# é\t\r\n", manifest.replace('\n', "\r")),
        ),
        ("kubernetes/bom.yml", &format!("\u{feff}{manifest}\n")),
        (
            "kubernetes/far.yml",
            &format!("{manifest}\n{}---\n{manifest}\n# last", "# x\n".repeat(30)),
        ),
        ("kubernetes/größe, two words.yml", &crlf),
        ("kubernetes/tab\tand \"quotes\" \\.yml", &manifest),
        (
            "kubernetes/lines.yml",
            &format!(
                "{SPARK}spec:\n  image: \"registry.example/small/\\\n    job:old\"\n  driver: {{image: '{OLD}'}}"
            ),
        ),
    ]);
    assert_eq!(applies(&Repository::new(case.project)), 10);
}

#[test]
fn git_applies_the_diff_of_the_corpus() {
    let keys = "formerly = [\"old.example/team\", \"127.0.0.1:5000/deep/er\"]\n";
    let case = Offline::new(&[]).with(keys, "");
    case.project.edit(
        "sparkpack.toml",
        "\"registry.example/small\"",
        "\"registry.example:5000/team\"",
    );
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/manifests/in");
    for entry in walkdir::WalkDir::new(&corpus)
        .into_iter()
        .map(Result::unwrap)
    {
        let path = entry.path().strip_prefix(&corpus).unwrap();
        let is_later = path.starts_with("later");
        if entry.file_type().is_file() && !is_later {
            let file = case.project.root().join("kubernetes").join(path);
            fs_err::create_dir_all(file.parent().unwrap()).unwrap();
            fs_err::copy(entry.path(), file).unwrap();
        }
    }
    assert!(applies(&Repository::new(case.project)) > 60);
}
