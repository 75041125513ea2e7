//! Plans: for people, for programs, with and without a daemon; tags for scripts; inputs that git does not track.

use std::{collections::BTreeSet, os::unix::fs::PermissionsExt, process::Command};

use serde_json::Value;

use crate::support::{Chain, TestProject, program, remove_images, run, small};

const ROOT: &str = "registry.example/root:1";
const NO_DAEMON: &str = "unix:///nonexistent/docker.sock";

/// The small project with its lock, in git, without a daemon.
fn project() -> TestProject {
    let project = small::project(ROOT, "registry.example").with_variable("DOCKER_HOST", NO_DAEMON);
    project.write("sparkpack.lock", &small::lock(ROOT));
    project.begin_git();
    project
}

fn json(project: &TestProject, arguments: &[&str]) -> Value {
    let arguments = [arguments, &["--format", "json"]].concat();
    serde_json::from_str(&project.succeed(&arguments).stdout).unwrap()
}

/// An image in a plan's document.
fn image<'a>(document: &'a Value, name: &str) -> &'a Value {
    let images = document["images"].as_array().unwrap();
    images.iter().find(|image| image["name"] == name).unwrap()
}

/// The names of the images with a given decision.
fn decided(document: &Value, decision: &str) -> BTreeSet<String> {
    let images = document["images"].as_array().unwrap().iter();
    let wanted = images.filter(|image| image["decision"] == decision);
    wanted
        .map(|image| image["name"].as_str().unwrap().to_owned())
        .collect()
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn a_plan_for_people_without_a_daemon() {
    let project = project();
    let [base, ds, side, job] = ["base", "ds", "side", "job"].map(|name| project.reference(name));
    let plan = project.succeed(&["plan"]);
    assert_eq!(plan.stderr, "");
    let wanted = format!(
        "\
base  unknown   {base}
      no manifest names it, and nobody else could be asked
ds    unknown   {ds}
      no manifest names it, and nobody else could be asked
side  to build  {side}
      the manifests name registry.example/small/side:unbuilt
      its Dockerfile needs a Docker daemon, and none answers, unless the registry has the image
job   to build  {job}
      the manifests name registry.example/small/job:unbuilt
      its Dockerfile needs a Docker daemon, and none answers, unless the registry has the image
daemon not asked: {NO_DAEMON}: there is no such socket; the states are what the manifests say

--- a/kubernetes/nightly.yml
+++ b/kubernetes/nightly.yml
@@ -4,7 +4,7 @@
 metadata: {{name: nightly}}
 spec:
-  image: &image \"registry.example/small/job:unbuilt\"   # rewritten by sparkpack
+  image: &image \"{job}\"   # rewritten by sparkpack
   driver:
-    image:   'registry.example/small/job:unbuilt'
+    image:   '{job}'
     labels: {{app: nightly}}
 ---
@@ -16,4 +16,4 @@
       containers:
       - name: side
-        image: registry.example/small/side:unbuilt # keep this
+        image: {side} # keep this
       - {{name: other, image: registry.example/other/job:1}}

4 images: 2 to build, 2 unknown; 3 references to change in the manifests
"
    );
    assert_eq!(plan.stdout, wanted);

    // A single image is planned as `build job` would build it.
    for reference in [&job, &side] {
        let tag = reference.rsplit(':').next().unwrap();
        let name = reference
            .rsplit('/')
            .next()
            .unwrap()
            .split(':')
            .next()
            .unwrap();
        let old = format!("small/{name}:unbuilt");
        project.edit(
            "kubernetes/nightly.yml",
            &old,
            &format!("small/{name}:{tag}"),
        );
    }
    let alone = project.succeed(&["plan", "job"]).stdout;
    assert!(
        alone.starts_with(&format!("job  current  {job}\n")),
        "{alone}"
    );
    assert!(
        alone.ends_with("1 image: all current; the manifests are current\n"),
        "{alone}"
    );
    let all = project.succeed(&["plan"]).stdout;
    assert!(
        all.contains("4 images: all current; the manifests are current"),
        "{all}"
    );
}

#[test]
fn the_document_says_what_the_text_says() {
    let project = project();
    project.edit("docker/ds/Dockerfile", "COPY", "RUN pip install six\nCOPY");
    project.edit("sparkpack.toml", "GREETING", "GRETING");
    project.write("src/new.py", "");
    let before = project.files();
    let text = project.succeed(&["plan"]);
    let document = json(&project, &["plan"]);
    assert_eq!(project.files(), before, "a plan writes nothing");
    assert_eq!(document["version"], 2);
    assert_eq!(document["project"], "small");
    assert_eq!(document["registry"], "main");
    assert_eq!(document["daemon"]["asked"], false);
    let reason = document["daemon"]["reason"].as_str().unwrap();
    assert!(reason.contains("there is no such socket"), "{reason}");

    let images = document["images"].as_array().unwrap();
    assert_eq!(images.len(), 4);
    for image in images {
        let state = match image["decision"].as_str().unwrap() {
            "build" => "to build",
            "reuse" => "current",
            other => other,
        };
        let row = format!(
            "{:<6}{state:<10}{}\n",
            image["name"].as_str().unwrap(),
            image["reference"].as_str().unwrap()
        );
        assert!(text.stdout.contains(&row), "{row}\n{}", text.stdout);
        for reason in image["reasons"].as_array().unwrap() {
            assert!(text.stdout.contains(reason.as_str().unwrap()));
        }
        assert_eq!(image["push"], Value::Null);
        assert_eq!(image["platforms"], serde_json::json!(["linux/amd64"]));
        let tag = image["tag"].as_str().unwrap();
        assert!(image["fingerprint"].as_str().unwrap().contains(tag));
        assert_eq!(image["reproducible"], image["name"] != "ds");
    }
    assert_eq!(
        image(&document, "job")["parents"],
        serde_json::json!(["ds"])
    );
    let network = serde_json::json!({"file": "docker/ds/Dockerfile", "line": 5, "built_in": false});
    assert_eq!(image(&document, "ds")["network"], network);
    assert!(
        text.stdout
            .contains("      not reproducible: docker/ds/Dockerfile:5 may use the network"),
        "{}",
        text.stdout
    );

    let changes = document["manifests"].as_array().unwrap();
    let places: Vec<String> = changes
        .iter()
        .map(|change| {
            for (key, mark) in [("old", '-'), ("new", '+')] {
                let value = change[key].as_str().unwrap();
                let mut lines = text.stdout.lines();
                assert!(
                    lines.any(|line| line.starts_with(mark) && line.contains(value)),
                    "{value}"
                );
            }
            let file = change["file"].as_str().unwrap();
            format!(
                "{file}:{}:{} {}",
                change["line"], change["column"], change["path"]
            )
        })
        .collect();
    assert_eq!(
        places,
        [
            "kubernetes/nightly.yml:6:17 \"spec.image\"",
            "kubernetes/nightly.yml:8:14 \"spec.driver.image\"",
            "kubernetes/nightly.yml:18:16 \"spec.template.spec.containers[0].image\""
        ]
    );
    assert_eq!(document["git"]["asked"], true);
    assert_eq!(document["untracked"], serde_json::json!(["src/new.py"]));
    assert!(
        text.stdout.contains("(1):\n  src/new.py\n"),
        "{}",
        text.stdout
    );
    let warning = &document["warnings"][0];
    assert_eq!(warning["code"], "W103");
    assert!(text.stderr.contains(warning["message"].as_str().unwrap()));
}

/// Runs a shell command in a terminal.
fn on_a_terminal(project: &TestProject, arguments: &str, variables: &[(&str, &str)]) -> String {
    let line = format!("{} {arguments}", env!("CARGO_BIN_EXE_sparkpack"));
    let mut command = Command::new("script");
    command
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .current_dir(project.root())
        .env("HOME", project.home())
        .env("DOCKER_HOST", NO_DAEMON)
        .env("TERM", "xterm")
        .env_remove("NO_COLOR");
    for (name, value) in variables {
        command.env(name, value);
    }
    let run = run(&mut command);
    assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    run.stdout.replace("\r\n", "\n")
}

/// A text without the terminal's colours.
fn without_colours(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |plain, part| plain + part.split_once('m').unwrap().1)
}

#[test]
fn a_terminal_has_colours_unless_it_or_somebody_does_not_want_them() {
    let project = project();
    let plain = project.succeed(&["plan"]).stdout;
    assert!(!plain.contains('\u{1b}'));
    let coloured = on_a_terminal(&project, "plan", &[]);
    assert!(
        coloured.contains("\u{1b}[33mto build\u{1b}[0m  registry.example/small/job:"),
        "{coloured:?}"
    );
    assert!(coloured.contains("\u{1b}[31m-  image:"), "{coloured:?}");
    assert_eq!(
        without_colours(&coloured),
        plain,
        "nothing is said by colour alone"
    );
    for variable in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        assert_eq!(
            on_a_terminal(&project, "plan", &[variable]),
            plain,
            "{variable:?}"
        );
    }
    let json = on_a_terminal(&project, "plan --format json", &[]);
    assert!(serde_json::from_str::<Value>(&json).is_ok(), "{json:?}");
    let mut forced = project.command(&["plan"]);
    assert_eq!(run(forced.env("CLICOLOR_FORCE", "1")).stdout, coloured);
}

impl Chain {
    /// Plans, builds, and compares: exactly the images that had to be built were built.
    fn plan_and_build(&self, arguments: &[&str]) -> Value {
        let document = json(&self.project, &[&["plan"], arguments].concat());
        assert_eq!(document["daemon"]["asked"], true);
        let build = self.project.succeed(&[&["build"], arguments].concat());
        let built: BTreeSet<String> = build
            .stderr
            .lines()
            .filter_map(|line| line.split_once(": built ").map(|(name, _)| name.to_owned()))
            .collect();
        let must = decided(&document, "build");
        let may = &must | &decided(&document, "undecided");
        assert!(
            built.is_superset(&must) && built.is_subset(&may),
            "{document:#}\n{}",
            build.stderr
        );
        document
    }
}

#[test]
fn a_plan_is_what_a_build_then_does() {
    let chain = Chain::new("plan-build");
    let project = &chain.project;
    project.run(&["build"]);
    project.edit("docker/ds/ds.txt", "ds", "other");
    let moved = chain.plan_and_build(&[]);
    assert_eq!(decided(&moved, "build"), names(&["ds", "job"]));
    assert_eq!(decided(&moved, "reuse"), names(&["base", "side"]));
    let reasons = &image(&moved, "ds")["reasons"];
    assert_eq!(*reasons, serde_json::json!(["the daemon does not have it"]));

    let done = chain.plan_and_build(&[]);
    assert_eq!(
        decided(&done, "reuse"),
        names(&["base", "ds", "side", "job"])
    );
    assert_eq!(done["manifests"], serde_json::json!([]));

    // No existing image needs base, unless it is asked for.
    remove_images(&format!("{}/small/base", chain.host));
    let alone = chain.plan_and_build(&["job"]);
    assert_eq!(decided(&alone, "reuse"), names(&["job"]));
    let all = chain.plan_and_build(&[]);
    assert_eq!(decided(&all, "build"), names(&["base"]));
    assert_eq!(decided(&all, "undecided"), names(&["ds", "side", "job"]));
    let text = project.succeed(&["plan"]).stdout;
    assert!(!text.contains("daemon not asked"), "{text}");
}

#[test]
fn a_daemon_that_does_not_answer_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let silent = format!("unix://{}", socket.display());
    let project = project();
    for (host, reason) in [
        (&*silent, "no answer in time"),
        ("tcp://127.0.0.1:1", "it is asked over the network"),
    ] {
        let begun = std::time::Instant::now();
        let mut command = project.command(&["plan"]);
        let plan = run(command.env("DOCKER_HOST", host));
        assert_eq!(plan.code, 0, "{}", plan.stderr);
        let line = format!("daemon not asked: {host}: {reason}; ");
        assert!(plan.stdout.contains(&line), "{}", plan.stdout);
        assert!(begun.elapsed().as_secs() < 20);
    }
}

#[test]
fn the_registry_is_only_read_and_only_for_remote() {
    let chain = Chain::with_registry("plan-remote");
    let (project, registry) = (&chain.project, chain.registry());
    project.succeed(&["push", "side"]);
    let pushed = registry.requests().len();
    assert!(pushed > 0, "the registry writes no log of requests");
    project.succeed(&["plan"]);
    project.succeed(&["tags"]);
    assert_eq!(registry.requests().len(), pushed, "nothing is sent offline");

    let document = json(project, &["plan", "--remote"]);
    let text = project.succeed(&["plan", "--remote"]).stdout;
    let requests = registry.requests().split_off(pushed);
    assert!(requests.len() >= 8, "{requests:?}");
    assert!(
        requests
            .iter()
            .all(|request| request.starts_with("GET /v2/")),
        "{requests:?}"
    );
    for name in ["base", "side"] {
        let push = &image(&document, name)["push"];
        assert_eq!(push["decision"], "adopt");
        let row = format!("  in the registry: {}\n", push["digest"].as_str().unwrap());
        assert!(text.contains(&row), "{text}");
    }
    for name in ["ds", "job"] {
        let push = &image(&document, name)["push"];
        assert_eq!(push["decision"], "build", "{push}");
        assert_eq!(push["digest"], Value::Null);
    }
    assert_eq!(text.matches("  not in the registry\n").count(), 2, "{text}");
}

#[test]
fn untracked_inputs_are_named() {
    let project = project();
    let untracked = |project: &TestProject| json(project, &["plan"])["untracked"].clone();
    assert_eq!(untracked(&project), serde_json::json!([]));
    project.write("docker/base/new.txt", "no COPY matches it");
    project.write("notes.md", "");
    project.write("src/__pycache__/one.pyc", "");
    assert_eq!(
        untracked(&project),
        serde_json::json!([]),
        "these are no inputs"
    );
    project.write("src/jobs/ignored by git.py", "");
    project.write(".gitignore", "*git.py\n");
    project.write("docker/ds/new.txt", "");
    project.git(&[
        "rm",
        "--quiet",
        "--cached",
        "docker/side/Dockerfile",
        "sparkpack.lock",
    ]);
    assert_eq!(
        untracked(&project),
        serde_json::json!([
            "docker/ds/new.txt",
            "docker/side/Dockerfile",
            "sparkpack.lock",
            "src/jobs/ignored by git.py"
        ])
    );
    // A Dockerfile's ignore file lies beside it, wherever its context is.
    project.write("docker/side/Dockerfile.dockerignore", "*.md\n");
    let toml = project.read("sparkpack.toml");
    project.edit(
        "sparkpack.toml",
        "[images.side]\n",
        "[images.side]\ncontext = \"src\"\n",
    );
    let named = untracked(&project);
    let named = named.as_array().unwrap();
    assert!(
        named.contains(&"docker/side/Dockerfile.dockerignore".into()),
        "{named:?}"
    );
    project.write("sparkpack.toml", &toml);
    fs_err::remove_file(project.root().join("docker/side/Dockerfile.dockerignore")).unwrap();
    for number in 0..30 {
        project.write(&format!("src/jobs/many{number:02}.py"), "");
    }
    let text = project.succeed(&["plan"]).stdout;
    assert!(text.contains("(34):\n  docker/ds/new.txt\n"), "{text}");
    assert!(
        text.contains("  src/jobs/many15.py\n  … and 14 more\n"),
        "{text}"
    );
    let all = project.succeed(&["plan", "-v"]).stdout;
    assert!(
        all.contains("  src/jobs/many29.py\n") && !all.contains(" more\n"),
        "{all}"
    );

    // In an unpacked tarball, git does not know which files are tracked.
    fs_err::remove_dir_all(project.root().join(".git")).unwrap();
    let text = project.succeed(&["plan"]).stdout;
    let wanted = "untracked inputs: not checked, since the project is not in a git work tree\n";
    assert!(text.contains(wanted), "{text}");
    let document = json(&project, &["plan"]);
    assert_eq!(
        (&document["untracked"], &document["git"]["asked"]),
        (&Value::Null, &Value::Bool(false))
    );
}

#[test]
fn a_strict_push_sends_nothing_that_no_commit_stands_for() {
    let chain = Chain::with_registry("plan-strict");
    let (project, registry) = (&chain.project, chain.registry());
    project.succeed(&["build"]);
    let outside = project.failure(&["push", "--strict"]);
    assert_eq!(
        outside,
        "exit 2\nerror[E097]: `--strict` refuses inputs that no commit has, but the project is not in a git work tree\n\
         hint: run it in a clone, or begin one: `git init`\n"
    );
    project.begin_git();
    project.git(&["commit", "--quiet", "--message", "all"]);
    project.write("src/jobs/new.py", "");
    let in_ci = |arguments: &[&str], ci: &str| run(project.command(arguments).env("CI", ci));
    let refused = project.failure(&["push", "--no-strict", "--strict"]);
    assert_eq!(
        refused,
        "exit 2\nerror[E098]: an input is not as the commit has it, so that no commit stands for the tags\n  \
         because: src/jobs/new.py (untracked)\n\
         hint: commit them, or leave them out by `.dockerignore` or `exclude`; what every checkout makes is allowed by \
         `untracked` in sparkpack.toml; `--no-strict` pushes them all the same\n"
    );
    let ci = in_ci(&["push"], "true");
    assert_eq!((ci.code, ci.stdout.as_str()), (2, ""), "{}", ci.stderr);
    assert_eq!(registry.requests(), [""; 0], "nothing is sent");
    assert_eq!(
        in_ci(&["push", "side"], "true").code,
        0,
        "side has nothing to do with it"
    );
    assert_eq!(in_ci(&["push"], "false").code, 0);
    assert_eq!(in_ci(&["push", "--strict", "--no-strict"], "1").code, 0);
    project.git(&["add", "src/jobs/new.py"]);
    let staged = in_ci(&["push"], "true");
    assert!(
        staged.stderr.contains("src/jobs/new.py (changed)"),
        "{}",
        staged.stderr
    );
    project.git(&["commit", "--quiet", "--message", "new"]);
    assert_eq!(in_ci(&["push"], "true").code, 0);
    fs_err::remove_dir_all(project.root().join(".git")).unwrap();
    let tarball = in_ci(&["push"], "true");
    assert_eq!(tarball.code, 0, "{}", tarball.stderr);
    let line =
        "untracked inputs: not checked (CI is set), since the project is not in a git work tree\n";
    assert!(tarball.stderr.contains(line), "{}", tarball.stderr);
}

#[test]
fn executable_bits_come_from_the_index_where_git_does_not_trust_the_disk() {
    let project = project();
    let tags = || project.succeed(&["tags"]).stdout;
    let mode = |path: &str, mode| {
        let mode = std::fs::Permissions::from_mode(mode);
        fs_err::set_permissions(project.root().join(path), mode).unwrap();
    };
    let wanted = tags();
    project.git(&["config", "core.fileMode", "false"]);
    let all = [
        "docker/base/base.txt",
        "docker/ds/ds.txt",
        "src/jobs/one.py",
        "src/main.py",
    ];
    for path in all {
        mode(path, 0o777);
        assert_eq!(tags(), wanted, "{path}");
    }
    for path in ["docker/ds/ds.txt", "src/jobs/one.py"] {
        let before = tags();
        project.git(&["update-index", "--chmod=+x", path]);
        assert_ne!(tags(), before, "{path}");
    }
    project.write("src/jobs/new.py", "");
    let untracked = tags();
    mode("src/jobs/new.py", 0o755);
    assert_eq!(
        tags(),
        untracked,
        "a file that git does not know has no bit either"
    );
    fs_err::remove_file(project.root().join("src/jobs/new.py")).unwrap();
    // A machine with reliable executable bits, whose files agree with the index, has the same tags.
    let committed = tags();
    project.git(&["config", "core.fileMode", "true"]);
    assert_ne!(tags(), committed, "the disk says that all may be executed");
    for path in all {
        mode(path, 0o644);
    }
    for path in ["docker/ds/ds.txt", "src/jobs/one.py"] {
        mode(path, 0o755);
    }
    assert_eq!(tags(), committed);

    // Without git the executable bits are not known, and a guessed tag would be wrong.
    project.git(&["config", "core.fileMode", "false"]);
    let mut without_git = project.command(&["tags"]);
    let failed = run(without_git.env("PATH", "/nonexistent"));
    assert_eq!(failed.code, 2, "{}{}", failed.stdout, failed.stderr);
    assert_eq!(
        failed.stderr,
        "error[E097]: `core.fileMode` is off, so executable bits come from git's index, but git is not installed\n\
         hint: install git\n"
    );
}

#[test]
fn the_rule_that_leaves_a_path_out_is_named() {
    let project = project();
    let base = "docker/base/Dockerfile";
    project.edit(base, "COPY docker/base/base.txt /opt/", "COPY docker /opt/");
    project.write(
        ".dockerignore",
        "# what no image needs\n\n*.log\ndocs\n!docs/kept.log\n",
    );
    project.edit(
        "sparkpack.toml",
        "src = \"src\"\n",
        "src = \"src\"\nexclude = [\"*.csv\"]\n",
    );
    for path in [
        ".venv/bin/python",
        "a.log",
        "docs/a.md",
        "docs/kept.log",
        "docker/x.pyc",
        "notes/deep/a.md",
        "src/tests/test_a.py",
        "src/test_b.py",
        "src/libs/six.py",
        "src/libs/six-1.17.0.dist-info/RECORD",
        "src/data/a.csv",
        "src/data/b.csv",
    ] {
        project.write(path, "");
    }
    let silent = project.succeed(&["plan", "-v"]).stdout;
    assert!(!silent.contains("left out of"), "{silent}");
    let text = project.succeed(&["plan", "-vv"]).stdout;
    let section = |head: &str| {
        let (_, rest) = text.split_once(head).unwrap();
        let lines = rest
            .lines()
            .skip(1)
            .take_while(|line| line.starts_with("  "));
        let words = lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        words.collect::<Vec<_>>()
    };
    let no_copy = format!("no COPY of {base} can match it");
    let never = "built-in: manifests, locks, secrets, layouts and sparkpack.toml are never context";
    assert_eq!(
        section("left out of base (context `.`):"),
        [
            format!(".dockerignore {no_copy}"),
            ".git/ built-in `.git` (version control)".to_owned(),
            ".venv/ built-in `.venv` (virtual environments and packages)".to_owned(),
            "a.log .dockerignore:3: *.log".to_owned(),
            "docker/x.pyc built-in `*.pyc` (caches)".to_owned(),
            "docs/a.md .dockerignore:4: docs".to_owned(),
            format!("docs/kept.log {no_copy}"),
            format!("kubernetes/ {never}"),
            format!("notes/ {no_copy}"),
            format!("sparkpack.lock {never}"),
            format!("sparkpack.toml {never}"),
            format!("src/ {no_copy}"),
        ]
    );
    assert_eq!(
        section("left out of job (src `src`):"),
        [
            "data/ configuration `exclude = [\"*.csv\"]`",
            "libs/ built-in `/libs/` (packages that the requirements name)",
            "test_b.py built-in `test_*.py` (a job's tests)",
            "tests/ built-in `tests/` (a job's tests)",
        ]
    );
    let document = json(&project, &["plan", "-vv"]);
    let rows = image(&document, "job")["left_out"].as_array().unwrap();
    assert!(rows.contains(&serde_json::json!({
        "role": "src", "folder": "src", "path": "libs/",
        "rule": "built-in `/libs/` (packages that the requirements name)"
    })));
    // Files that are reported as left out are no inputs: removing them changes no tag.
    let tags = project.succeed(&["tags"]).stdout;
    for path in [
        "a.log",
        "docs",
        "notes",
        "src/libs",
        "src/tests",
        "src/data",
        "docker/x.pyc",
        ".venv",
    ] {
        program("rm", &["-r", project.root().join(path).to_str().unwrap()]);
    }
    assert_eq!(project.succeed(&["tags"]).stdout, tags);
}

#[test]
fn tags_have_a_form_for_everybody() {
    let project = project();
    let lines = project.succeed(&["tags"]).stdout;
    let references: Vec<&str> = lines.lines().collect();
    assert_eq!(references.len(), 4);
    let repositories = references
        .iter()
        .map(|line| line.rsplit_once(':').unwrap().0);
    assert_eq!(
        repositories.collect::<Vec<_>>(),
        ["base", "ds", "side", "job"].map(|name| format!("registry.example/small/{name}")),
        "parents first"
    );
    let document = json(&project, &["tags"]);
    assert_eq!(
        (&document["version"], &document["project"]),
        (&Value::from(1), &Value::from("small"))
    );
    for (image, reference) in document["images"]
        .as_array()
        .unwrap()
        .iter()
        .zip(&references)
    {
        let (repository, tag) = reference.rsplit_once(':').unwrap();
        let name = repository.rsplit('/').next().unwrap();
        let fingerprint = image["fingerprint"].as_str().unwrap();
        assert!(fingerprint.starts_with(&format!("sha256:{tag}")) && fingerprint.len() == 71);
        let wanted = serde_json::json!({
            "name": name, "reference": reference, "repository": repository, "tag": tag,
            "fingerprint": fingerprint, "platforms": ["linux/amd64"]
        });
        assert_eq!(*image, wanted);
    }
    let file = project
        .succeed(&["tags", "--format", "env", "job", "base"])
        .stdout;
    project.write("ci.env", &file);
    let root = project.root();
    let read = program(
        "sh",
        &[
            "-c",
            ". \"$1\"/ci.env; echo \"$BASE_IMAGE $JOB_IMAGE\"",
            "sh",
            root.to_str().unwrap(),
        ],
    );
    assert_eq!(
        read,
        format!(
            "{} {}\n",
            project.reference("base"),
            project.reference("job")
        )
    );
    assert_eq!(file.lines().count(), 2);

    let unknown = project.failure(&["tags", "jbo"]);
    assert!(
        unknown.starts_with("exit 2\nerror[E084]: there is no image `jbo`\n"),
        "{unknown}"
    );
    project.edit(
        "sparkpack.toml",
        "[images.side]",
        "[images.\"j-ob\"]\ndockerfile = \"docker/side/Dockerfile\"\n\n[images.\"j.ob\"]",
    );
    let clash = project.failure(&["tags", "--format", "env"]);
    assert_eq!(
        clash,
        "exit 2\nerror[E079]: `j-ob` and `j.ob` would both be the variable `J_OB_IMAGE`\n\
         hint: print one of them: `sparkpack tags --format env j.ob`, or rename an image\n"
    );
    project.succeed(&["tags", "--format", "env", "j.ob"]);
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let project = project();
    let binary = env!("CARGO_BIN_EXE_sparkpack");
    for verb in ["plan -vv", "plan --format json", "tags"] {
        let line = format!(
            "{binary} {verb} | head -1 >/dev/null; echo ${{PIPESTATUS[0]}}; {binary} {verb} >&-; echo $?"
        );
        let mut command = Command::new("bash");
        command
            .args(["-c", &line])
            .current_dir(project.root())
            .env("HOME", project.home())
            .env("DOCKER_HOST", NO_DAEMON);
        let run = run(&mut command);
        assert_eq!(
            (run.stdout.as_str(), run.stderr.as_str()),
            ("0\n0\n", ""),
            "{verb}"
        );
        let line = format!("{binary} {verb} >/dev/full");
        command = Command::new("bash");
        command
            .args(["-c", &line])
            .current_dir(project.root())
            .env("HOME", project.home())
            .env("DOCKER_HOST", NO_DAEMON);
        let full = crate::support::run(&mut command);
        assert_eq!(full.code, 6, "{}", full.stderr);
        assert!(
            full.stderr
                .starts_with("error[E610]: the standard output: "),
            "{}",
            full.stderr
        );
    }
}

#[test]
fn a_plan_names_what_git_tracks_and_built_in_rules_leave_out() {
    let project = project();
    project.write("src/jobs/test_connection.py", "");
    assert_eq!(project.succeed(&["plan"]).stderr, "");
    project.git(&["add", "--all"]);
    let told = project.succeed(&["plan"]).stderr;
    let wanted = "a file that git tracks is left out of `job` by built-in rules: src/jobs/test_connection.py";
    assert!(told.contains(wanted), "{told}");
    assert_eq!(
        project.succeed(&["plan", "side"]).stderr,
        "",
        "it is not about this image"
    );
}
