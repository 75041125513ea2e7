//! `new`: a project of every kind builds, runs, tests and checks as it is made, and nothing is ever overwritten.

use std::{fmt::Write as _, path::Path};

use crate::support::{PROJECTS, Pytest, Run, TestProject, docker, remove_images, run};

/// Below it are the images of all of them.
const PREFIX: &str = "127.0.0.1:5000/";

/// The image that Stackable's operator runs jobs on.
const STACKABLE: &str = "oci.stackable.tech/sdp/spark-k8s:4.0.1-stackable25.11.0";

/// A folder in which projects are made.
fn place() -> TestProject {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
    TestProject::new(&[]).with_cache(&cache)
}

/// A new project, and what was printed.
fn made(place: &TestProject, name: &str, flags: &[&str]) -> Run {
    place.succeed(&[&["new", name], flags].concat())
}

#[test]
fn a_new_project_has_all_that_its_flags_ask_for_and_no_blank_is_left() {
    let place = place();
    let mut shown = String::new();
    for (name, flags) in PROJECTS {
        let made = made(&place, name, flags);
        write!(shown, "$ new {name} {}\n{}", flags.join(" "), made.stdout).unwrap();
        let listed: Vec<&str> = made.stdout.lines().collect();
        let mut there = Vec::new();
        for entry in walkdir::WalkDir::new(place.root().join(name)) {
            let entry = entry.unwrap();
            if entry.file_type().is_file() {
                let path = entry.path().strip_prefix(place.root()).unwrap();
                there.push(path.to_str().unwrap().to_owned());
                let text = fs_err::read_to_string(entry.path()).unwrap();
                let is_blank =
                    |word: &str| word.len() > 2 && word.starts_with('@') && word[1..].contains('@');
                let blank = text.split_whitespace().find(|word| is_blank(word));
                assert_eq!(blank, None, "{}", entry.path().display());
            }
        }
        there.sort();
        let mut sorted = listed.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, there);
        let readme = place.read(&format!("{name}/README.md"));
        let configuration = place.read(&format!("{name}/sparkpack.toml"));
        writeln!(shown, "{configuration}\n{readme}").unwrap();
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn what_cannot_be_made_is_said_and_nothing_is_written() {
    let place = place();
    fs_err::create_dir(place.root().join("empty")).unwrap();
    made(&place, "empty", &[]);
    place.write("full/notes.txt", "mine\n");
    place.write("file", "mine\n");
    let before = place.files();
    let mut shown = String::new();
    for arguments in [
        &["new", "full"][..],
        &["new", "empty"],
        &["new", "file"],
        &["new", "."],
        &["new", "My_Project"],
        &["new", "2nd"],
        &["new", "import"],
        &["new", "-"],
        &["new", "a/b/Päckchen"],
        &["new", "orders", "--operator", "apache", "--with-operator"],
        &["new", "orders", "--operator", "spark"],
        &["new"],
    ] {
        let command = arguments.join(" ");
        writeln!(shown, "$ {command}\n{}", place.failure(arguments)).unwrap();
    }
    assert_eq!(place.files(), before);
    insta::assert_snapshot!(shown);
    let deep = made(&place, "a/b/orders", &[]);
    assert!(deep.stdout.contains("a/b/orders/sparkpack.toml\n"));
}

/// The example has the hooks and the CI that a new project of its name has, of either kind.
#[test]
fn the_example_has_its_hooks_and_its_ci_from_the_templates() {
    let place = place();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("example-project");
    for (folder, ci, file) in [
        ("a", "github", ".github/workflows/images.yml"),
        ("b", "gitlab", ".gitlab-ci.yml"),
    ] {
        made(&place, &format!("{folder}/penguins"), &["--ci", ci]);
        for file in [file, ".pre-commit-config.yaml"] {
            let text = fs_err::read_to_string(example.join(file)).unwrap();
            assert_eq!(
                text,
                place.read(&format!("{folder}/penguins/{file}")),
                "{file}"
            );
        }
    }
}

/// From nothing to a job's result, the project's own tests, and manifests that name what was built.
#[test]
fn a_new_project_builds_runs_tests_and_checks_as_it_is() {
    let place = place();
    let pytest = Pytest::of_pip();
    let mut lock: Option<String> = None;
    for (name, flags) in PROJECTS {
        made(&place, name, flags);
        let project = place.within(name);
        if flags.contains(&"stackable") {
            // A stand-in: it is found in the daemon, where its registry does not answer.
            let py = place.within(PROJECTS[0].0).reference("py");
            docker(&["tag", &py, STACKABLE]);
        } else if flags.contains(&"--with-operator") {
            project.write("stand-in/usr/bin/spark-operator", "");
            let operator = "image = \"ghcr.io/kubeflow/spark-operator/controller:2.5.2\"";
            project.edit("sparkpack.toml", operator, "source = \"operator\"");
            let text = project.read("sparkpack.toml");
            let source = "\n[sources.operator]\npath = \"stand-in\"\n";
            project.write("sparkpack.toml", &format!("{text}{source}"));
        } else if let Some(lock) = &lock {
            // What is locked of the chain is the same for all.
            project.write("sparkpack.lock", lock);
        }
        project.begin_git();
        let ran = project.succeed(&["run", "revenue", "--", "revenue", "--year", "2024"]);
        assert_eq!(
            ran.stdout,
            "RESULT {\"country\": \"Italia\", \"orders\": 1, \"revenue\": 80.0}\n\
             RESULT {\"country\": \"Slovenija\", \"orders\": 1, \"revenue\": 210.0}\n\
             RESULT {\"country\": \"Österreich\", \"orders\": 2, \"revenue\": 160.4}\n",
            "{name}"
        );
        if lock.is_none() {
            lock = Some(project.read("sparkpack.lock"));
        }
        // The code of all others is that of these.
        if [PROJECTS[0].0, PROJECTS[1].0].contains(&name) {
            let shares = project.succeed(&["run", "shares"]);
            assert_eq!(shares.stdout.matches("RESULT ").count(), 12, "{name}");
            let printed = pytest.own_tests(&project);
            let summary = printed.lines().last().unwrap();
            assert!(summary.starts_with("6 passed"), "{printed}");
        }
        let built = project.succeed(&["build"]);
        assert_eq!(warnings(&built, flags), [""; 0], "{name}");
        project.git(&["add", "--all"]);
        let checked = project.succeed(&["check", "--strict"]);
        assert_eq!(checked.stdout, "", "{name}");
        assert_eq!(warnings(&checked, flags), [""; 0], "{name}");
    }
    for (name, _) in PROJECTS {
        remove_images(&format!("{PREFIX}{name}/"));
    }
    docker(&["rmi", STACKABLE]);
}

/// The warnings of a run. The stand-in for Stackable's image has another Spark than it says, and that alone is told.
fn warnings<'r>(run: &'r Run, flags: &[&str]) -> Vec<&'r str> {
    let is_stackable = flags.contains(&"stackable");
    let lines = run.stderr.lines();
    let warnings = lines.filter(|line| {
        line.starts_with("warning[") && !(is_stackable && line.starts_with("warning[W107]"))
    });
    warnings.collect()
}

/// Where a project is, the README's first commands are those that `new` prints.
#[test]
fn what_is_printed_at_the_end_can_be_typed() {
    let place = place();
    let made = made(&place, "orders", &[]);
    let lines: Vec<&str> = made.stderr.lines().map(str::trim).collect();
    let start = lines
        .iter()
        .position(|line| line.starts_with("cd "))
        .unwrap();
    let script = lines[start..start + 2].join(" && ");
    let mut shell = std::process::Command::new("sh");
    let typed = run(shell.args(["-c", &script]).current_dir(place.root()));
    assert_eq!(typed.code, 0, "{}", typed.stderr);
    assert_eq!(lines[start + 2], "sparkpack run revenue");
    let staged = place.within("orders").git(&["ls-files"]);
    assert_eq!(staged.lines().count(), made.stdout.lines().count());
}
