//! Inputs that no commit has: refused by strict runs, which is CI's default; what git ignores is named always.

use crate::support::{Run, TestProject, run, small};

const ROOT: &str = "registry.example/root:1";

/// The small project with its lock, pinned and committed.
fn project() -> TestProject {
    let project = small::project(ROOT, "registry.example");
    project.write("sparkpack.lock", &small::lock(ROOT));
    project.succeed(&["pin"]);
    project.begin_git();
    commit(&project);
    project
}

fn commit(project: &TestProject) {
    project.git(&["add", "--all"]);
    project.git(&["commit", "--quiet", "--allow-empty", "--message", "x"]);
}

fn in_ci(project: &TestProject, arguments: &[&str]) -> Run {
    run(project.command(arguments).env("CI", "true"))
}

/// What a strict `check` and `pin` name, which must be the same, and whether asked for or in CI.
fn refused(project: &TestProject) -> Vec<String> {
    let runs = [
        project.run(&["check", "--strict"]),
        project.run(&["pin", "--strict"]),
        in_ci(project, &["check"]),
        in_ci(project, &["pin"]),
    ];
    let named = runs.map(|run| {
        let mut lines = run
            .stderr
            .lines()
            .skip_while(|line| !line.starts_with("error[E098]"));
        let is_refused = lines.next().is_some();
        assert_eq!(run.code == 2, is_refused, "{}", run.stderr);
        let names = lines.take_while(|line| !line.starts_with("hint: "));
        names
            .map(|line| line.trim().trim_start_matches("because: ").to_owned())
            .collect::<Vec<_>>()
    });
    assert!(named.iter().all(|names| *names == named[0]), "{named:#?}");
    named[0].clone()
}

fn pin(project: &TestProject) {
    project.succeed(&["pin", "--no-strict"]);
}

#[test]
fn what_differs_from_the_index_is_refused_by_name() {
    let project = project();
    assert_eq!(refused(&project), [""; 0]);
    let no_strict = in_ci(&project, &["check", "--no-strict"]);
    assert_eq!(no_strict.code, 0, "{}", no_strict.stderr);
    project.write("src/jobs/one.py", "VALUE = 2\n");
    project.write("src/jobs/new.py", "");
    project.write(
        "docker/base/unused.txt",
        "no COPY matches it, so it may change\n",
    );
    project.write("docker/ds/other.txt", "a COPY matches it\n");
    project.write(
        "docker/side/Dockerfile",
        "FROM base\nCOPY docker/side/side.txt /srv/\n",
    );
    pin(&project);
    assert_eq!(
        refused(&project),
        [
            "docker/ds/other.txt (untracked)",
            "docker/side/Dockerfile (changed)",
            "src/jobs/new.py (untracked)",
            "src/jobs/one.py (changed)"
        ]
    );
    project.git(&["add", "--all"]);
    assert_eq!(
        refused(&project),
        [""; 0],
        "what is staged will be committed"
    );
    project.write(
        "kubernetes/nightly.yml",
        &format!("{}# more\n", project.read("kubernetes/nightly.yml")),
    );
    assert_eq!(refused(&project), [""; 0], "manifests are no inputs");
    project.edit("sparkpack.lock", "0000", "1111");
    pin(&project);
    assert_eq!(refused(&project), ["sparkpack.lock (changed)"]);
}

#[test]
fn what_decides_without_going_into_an_image_counts_too() {
    let project = project();
    project.write("docker/side/Dockerfile.dockerignore", "*.md\n");
    let toml = project.read("sparkpack.toml");
    project.write("sparkpack.toml", &format!("{toml}# more\n"));
    pin(&project);
    assert_eq!(
        refused(&project),
        [
            "docker/side/Dockerfile.dockerignore (untracked)",
            "sparkpack.toml (changed)"
        ]
    );
    commit(&project);
    assert_eq!(refused(&project), [""; 0]);
    project.write("docker/side/Dockerfile.dockerignore", "*.txt.md\n");
    pin(&project);
    assert_eq!(
        refused(&project),
        ["docker/side/Dockerfile.dockerignore (changed)"]
    );
}

#[test]
fn what_is_deleted_is_missed_where_it_was_an_input() {
    let project = project();
    project.write("src/jobs/two.py", "");
    project.write("src/jobs/test_two.py", "");
    project.write("docker/ds/two.txt", "");
    project.write("docker/side/Dockerfile.dockerignore", "*.md\n");
    commit(&project);
    for path in [
        "src/jobs/two.py",
        "src/jobs/test_two.py",
        "docker/ds/two.txt",
        "docker/base/unused.txt",
        "docker/side/Dockerfile.dockerignore",
    ] {
        fs_err::remove_file(project.root().join(path)).unwrap();
    }
    pin(&project);
    assert_eq!(
        refused(&project),
        [
            "docker/ds/two.txt (deleted)",
            "docker/side/Dockerfile.dockerignore (deleted)",
            "src/jobs/two.py (deleted)"
        ]
    );
    project.git(&["add", "--all"]);
    assert_eq!(refused(&project), [""; 0]);
}

#[test]
fn what_git_is_told_not_to_look_at_and_modes_and_links_count() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let project = project();
    let root = project.root();
    project.write("src/shared/common.py", "A = 1\n");
    symlink("../shared/common.py", root.join("src/jobs/common.py")).unwrap();
    symlink("shared", root.join("src/linked")).unwrap();
    commit(&project);
    pin(&project);
    project.git(&["update-index", "--assume-unchanged", "src/main.py"]);
    project.git(&["update-index", "--skip-worktree", "docker/ds/ds.txt"]);
    assert_eq!(refused(&project), [""; 0]);
    project.write("src/main.py", "print('other')\n");
    project.write("docker/ds/ds.txt", "other\n");
    project.write("src/shared/common.py", "A = 2\n");
    let mode = std::fs::Permissions::from_mode(0o755);
    fs_err::set_permissions(root.join("src/jobs/one.py"), mode).unwrap();
    pin(&project);
    assert_eq!(
        refused(&project),
        [
            "docker/ds/ds.txt (changed)",
            "src/jobs/common.py (changed)",
            "src/jobs/one.py (changed)",
            "src/linked/common.py (changed)",
            "src/main.py (changed)",
            "src/shared/common.py (changed)"
        ]
    );
}

/// `git commit FILE` makes an index of its own for the hook: the other changes are not in that commit.
#[test]
fn the_index_of_a_hook_is_the_one_that_counts() {
    let project = project();
    project.write("src/jobs/one.py", "VALUE = 2\n");
    project.write("src/main.py", "print('two')\n");
    pin(&project);
    project.git(&["add", "--all"]);
    let hook = project.root().join(".git/hooks/pre-commit");
    let text = format!(
        "#!/bin/sh\nexec {} check --strict\n",
        env!("CARGO_BIN_EXE_sparkpack")
    );
    fs_err::write(&hook, text).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs_err::set_permissions(&hook, mode).unwrap();
    let commits = |arguments: &[&str]| {
        let mut git = std::process::Command::new("git");
        let who = ["-c", "user.name=ada", "-c", "user.email=ada@localhost"];
        let message = ["commit", "--quiet", "--message", "x"];
        git.args(who).args(message).args(arguments);
        run(git.current_dir(project.root()).env_remove("CI"))
    };
    let part = commits(&["src/main.py"]);
    assert_ne!(part.code, 0);
    assert!(
        part.stderr.contains("src/jobs/one.py (changed)"),
        "{}",
        part.stderr
    );
    assert!(!part.stderr.contains("src/main.py"), "{}", part.stderr);
    let whole = commits(&[]);
    assert_eq!(whole.code, 0, "{}", whole.stderr);
}

#[test]
fn submodules_and_linked_work_trees_are_looked_into() {
    let project = project();
    let inner = TestProject::new(&[("lib.py", "A = 1\n")]);
    inner.begin_git();
    commit(&inner);
    let from = inner.root();
    let add = [
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "--quiet",
        "add",
    ];
    project.git(&[&add[..], &[from.to_str().unwrap(), "src/lib"]].concat());
    commit(&project);
    pin(&project);
    commit(&project);
    assert_eq!(refused(&project), [""; 0]);
    project.write("src/lib/lib.py", "A = 2\n");
    project.write("src/lib/new.py", "");
    pin(&project);
    assert_eq!(
        refused(&project),
        ["src/lib/lib.py (changed)", "src/lib/new.py (untracked)"]
    );
    let tree = project.home().join("tree");
    project.git(&["worktree", "add", "--quiet", tree.to_str().unwrap()]);
    let there = |arguments: &[&str]| run(project.command(arguments).current_dir(&tree));
    // The submodule is not checked out there, so that its file is missing.
    let missing = there(&["check", "--strict"]);
    assert_ne!(missing.code, 0);
    fs_err::write(tree.join("src/main.py"), "print('tree')\n").unwrap();
    let changed = there(&["check", "--strict"]);
    assert!(
        changed.stderr.contains("src/main.py (changed)"),
        "{}",
        changed.stderr
    );
}

const IGNORED: &str = "git ignores it, and it goes into an image";

#[test]
fn what_git_ignores_is_named_always_and_refused_by_who_is_strict() {
    let project = project();
    project.write(".gitignore", ".env\ndist/\n/generated/\n*.log\n");
    project.write("src/.env", "PASSWORD=x\n");
    project.write("src/jobs/__pycache__/one.cpython-311.pyc", "no input\n");
    project.write("docker/base/a.log", "no COPY matches it\n");
    project.git(&["add", ".gitignore"]);
    pin(&project);
    let runs = [&["check"][..], &["pin"], &["plan"], &["package"], &["tags"]];
    for arguments in runs {
        // Twice: what is remembered is that there is nothing to name.
        for _ in 0..2 {
            let run = project.succeed(arguments);
            let line = format!("warning[W121]: src/.env:1:1: {IGNORED}");
            assert!(run.stderr.contains(&line), "{arguments:?}: {}", run.stderr);
            assert!(
                run.stderr.contains("`untracked = [\"src/.env\"]`"),
                "{}",
                run.stderr
            );
            assert!(!run.stderr.contains("PASSWORD"), "{}", run.stderr);
        }
    }
    assert_eq!(refused(&project), ["src/.env (ignored by git)"]);
    project.write("docker/ds/debug.txt", "");
    project.write(".git/info/exclude", "debug.txt\n");
    let both = project.run(&["plan"]).stderr;
    assert!(
        both.contains("git ignores 2 files that go into images"),
        "{both}"
    );
    assert!(both.contains("docker/ds/debug.txt, src/.env"), "{both}");
}

#[test]
fn untracked_files_are_allowed_by_globs() {
    for allowed in [
        "src/generated/**",
        "src/generated",
        "./src/generated/",
        "**/*_pb2.py",
    ] {
        let project = project();
        project.write(".gitignore", "generated/\n");
        project.write("src/generated/a_pb2.py", "A = 1\n");
        let line = format!("untracked = [\"{allowed}\"]\nregistries.main");
        project.edit("sparkpack.toml", "registries.main", &line);
        pin(&project);
        project.git(&["add", "--all"]);
        assert_eq!(refused(&project), [""; 0], "{allowed}");
        let plan = project.succeed(&["plan"]);
        assert!(!plan.stderr.contains("W121"), "{}", plan.stderr);
        assert!(!plan.stdout.contains("a_pb2.py"), "{}", plan.stdout);
        project.write("src/jobs/late.py", "");
        pin(&project);
        assert_eq!(
            refused(&project),
            ["src/jobs/late.py (untracked)"],
            "{allowed}"
        );
    }
    let project = project();
    project.edit(
        "sparkpack.toml",
        "registries.main",
        "untracked = [\"[a-\"]\nregistries.main",
    );
    let failure = project.failure(&["tags"]);
    assert!(
        failure.contains("error[E022]: sparkpack.toml:3:14: `[a-` is no glob"),
        "{failure}"
    );
}

/// A git that does not answer has not said that nothing is ignored.
#[test]
fn what_git_could_not_say_is_asked_again() {
    let project = project();
    project.write(".gitignore", "*.env\n");
    project.write("src/jobs/secret.env", "A=1\n");
    std::thread::sleep(crate::support::SETTLED);
    let without_git = run(project.command(&["tags"]).env("PATH", project.home()));
    assert_eq!(without_git.code, 0, "{}", without_git.stderr);
    assert!(!without_git.stderr.contains("W121"));
    assert!(project.succeed(&["tags"]).stderr.contains("W121"));
}

/// That nothing is ignored is remembered, and forgotten when a rule, the index or the inputs change.
#[test]
fn what_is_remembered_of_ignored_files_is_never_stale() {
    let project = project();
    std::thread::sleep(crate::support::SETTLED);
    let is_told = || project.succeed(&["tags"]).stderr.contains("W121");
    for _ in 0..3 {
        assert!(!is_told());
    }
    project.write(".gitignore", "one.py\n");
    assert!(!is_told(), "it is tracked");
    project.git(&["rm", "--quiet", "--cached", "src/jobs/one.py"]);
    assert!(is_told());
    project.write(".gitignore", "");
    assert!(!is_told());
    std::thread::sleep(crate::support::SETTLED);
    for _ in 0..3 {
        assert!(!is_told());
    }
    project.write("src/jobs/.gitignore", "*.py\n");
    assert!(is_told());
    fs_err::remove_file(project.root().join("src/jobs/.gitignore")).unwrap();
    let home = project.home();
    fs_err::write(
        home.join(".gitconfig"),
        "[core]\n\texcludesFile = ~/rules\n",
    )
    .unwrap();
    assert!(!is_told());
    fs_err::write(home.join("rules"), "one.py\n").unwrap();
    assert!(is_told());
    fs_err::remove_file(home.join("rules")).unwrap();
    assert!(!is_told());
    project.write(".git/info/exclude", "late.py\n");
    assert!(!is_told());
    project.write("src/jobs/late.py", "");
    assert!(is_told());
}

/// A source of the project's own folder is an input like any other; one with a checksum is committed by that.
#[test]
fn a_source_in_the_project_counts() {
    let project = project();
    project.write("vendor/tool/run.sh", "#!/bin/sh\n");
    let toml = project.read("sparkpack.toml");
    let source = "[sources.tool]\npath = \"vendor/tool\"\n\n[images.base]";
    project.write("sparkpack.toml", &toml.replace("[images.base]", source));
    project.write(
        "docker/side/Dockerfile",
        "FROM base\nCOPY --from=source:tool / /opt/tool/\n",
    );
    commit(&project);
    pin(&project);
    assert_eq!(refused(&project), [""; 0]);
    project.write("vendor/tool/more.sh", "#!/bin/sh\n");
    pin(&project);
    assert_eq!(refused(&project), ["vendor/tool/more.sh (untracked)"]);
}

/// Git is asked what is ignored only where one of its rules may name an input, with a cache or without.
#[test]
fn git_is_not_started_in_vain() {
    let project = project();
    project.write(".gitignore", "/dist/\n*.py[cod]\n*.env\n");
    let bin = project.home().join("bin");
    fs_err::create_dir_all(&bin).unwrap();
    let git = bin.join("git");
    fs_err::write(&git, "#!/bin/sh\necho \"$@\" >> \"$HOME/calls\"\nexit 1\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs_err::set_permissions(&git, mode).unwrap();
    for arguments in [["tags"], ["check"], ["pin"]] {
        let run = run(project.command(&arguments).env("PATH", &bin));
        assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    }
    assert!(!project.home().join("calls").exists());
    project.write("src/jobs/new.env", "");
    run(project.command(&["tags"]).env("PATH", &bin));
    assert!(
        project.home().join("calls").exists(),
        "what a rule names is asked about"
    );
}
