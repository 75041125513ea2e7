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
    // What the outer repository is told not to look at, and the inner one, counts all the same.
    let assume = ["update-index", "--assume-unchanged", "lib.py"];
    project.git(&[&["-C", "src/lib"][..], &assume].concat());
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
    project.write(".gitignore", "local.cfg\ndist/\n/generated/\n*.log\n");
    project.write("src/local.cfg", "place=here\n");
    project.write("src/jobs/__pycache__/one.cpython-311.pyc", "no input\n");
    project.write("docker/base/a.log", "no COPY matches it\n");
    project.git(&["add", ".gitignore"]);
    pin(&project);
    let runs = [&["check"][..], &["pin"], &["plan"], &["package"], &["tags"]];
    for arguments in runs {
        // Twice: what is remembered is that there is nothing to name.
        for _ in 0..2 {
            let run = project.succeed(arguments);
            let line = format!("warning[W121]: src/local.cfg:1:1: {IGNORED}");
            assert!(run.stderr.contains(&line), "{arguments:?}: {}", run.stderr);
            assert!(
                run.stderr.contains("`untracked = [\"src/local.cfg\"]`"),
                "{}",
                run.stderr
            );
            assert!(!run.stderr.contains("place="), "{}", run.stderr);
        }
    }
    assert_eq!(refused(&project), ["src/local.cfg (ignored by git)"]);
    project.write("docker/ds/debug.txt", "");
    project.write(".git/info/exclude", "debug.txt\n");
    let both = project.run(&["plan"]).stderr;
    assert!(
        both.contains("git ignores 2 files that go into images"),
        "{both}"
    );
    assert!(
        both.contains("docker/ds/debug.txt, src/local.cfg"),
        "{both}"
    );
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

/// A source may be a folder or a file, and may lie outside the project, in the same repository.
#[test]
fn a_source_of_the_repository_counts() {
    let project = project();
    let p = project.root().join("p");
    fs_err::create_dir(&p).unwrap();
    for name in [
        "sparkpack.toml",
        "sparkpack.lock",
        "docker/",
        "src",
        "kubernetes",
    ] {
        fs_err::rename(project.root().join(name), p.join(name)).unwrap();
    }
    let toml = project.read("p/sparkpack.toml");
    let sources = "[sources.common]\npath = \"../common\"\n\n[sources.one]\npath = \"../one.sh\"\n\n[images.base]";
    project.write("p/sparkpack.toml", &toml.replace("[images.base]", sources));
    project.write(
        "p/docker/side/Dockerfile",
        "FROM base\nCOPY --from=source:common / /opt/common/\nCOPY --from=source:one / /opt/\n",
    );
    for file in [
        "common/a",
        "common/b",
        "common/deep/c",
        "common/x.pyc",
        "other",
        "one.sh",
    ] {
        project.write(file, file);
    }
    let here = |arguments: &[&str]| run(project.command(arguments).current_dir(&p));
    assert_eq!(here(&["pin", "--no-strict"]).code, 0);
    commit(&project);
    let clean = here(&["check", "--strict"]);
    assert_eq!(clean.code, 0, "{}", clean.stderr);
    project.write("common/a", "other");
    project.write("common/new", "");
    project.write("one.sh", "other");
    for gone in ["common/b", "common/deep/c", "common/x.pyc", "other"] {
        fs_err::remove_file(project.root().join(gone)).unwrap();
    }
    let failure = here(&["check", "--strict"]);
    assert_eq!(failure.code, 2);
    let named: Vec<&str> = failure
        .stderr
        .lines()
        .filter(|line| line.contains("../"))
        .map(|line| line.trim().trim_start_matches("because: "))
        .collect();
    assert_eq!(
        named,
        [
            "../common/a (changed)",
            "../common/b (deleted)",
            "../common/deep/c (deleted)",
            "../common/new (untracked)",
            "../one.sh (changed)"
        ],
        "{}",
        failure.stderr
    );
}

/// A source may hold the project: what sparkpack writes and what never is in an image is not in the source either, so
/// that a tag does not depend on the manifest that it is written into.
#[test]
fn a_source_that_holds_the_project_converges() {
    let project = project();
    let toml = project.read("sparkpack.toml");
    let text = toml.replace(
        "[images.base]",
        "[sources.all]\npath = \".\"\n\n[images.base]",
    );
    let secret = "[images.side]\nsecrets.KEY = { file = \"key.txt\" }";
    project.write("sparkpack.toml", &text.replace("[images.side]", secret));
    project.write("key.txt", "hunter22\n");
    project.write(".gitignore", "dist/\nkey.txt\n");
    let dockerfile =
        "FROM base\nRUN --mount=type=secret,id=KEY true\nCOPY --from=source:all / /opt/all/\n";
    project.write("docker/side/Dockerfile", dockerfile);
    pin(&project);
    let tag = project.succeed(&["tags", "side"]).stdout;
    let manifest = project.read("kubernetes/nightly.yml");
    for (file, text) in [
        ("dist/images.json", "{}"),
        ("key.txt", "other"),
        ("kubernetes/nightly.yml", &format!("{manifest}# more\n")),
    ] {
        project.write(file, text);
        assert_eq!(project.succeed(&["tags", "side"]).stdout, tag, "{file}");
    }
    project.succeed(&["pin", "--no-strict"]);
    project.succeed(&["check", "--no-strict"]);
    commit(&project);
    assert_eq!(refused(&project), [""; 0]);
    project.write(
        "kubernetes/nightly.yml",
        &format!("{}# more\n", project.read("kubernetes/nightly.yml")),
    );
    assert_eq!(refused(&project), [""; 0], "manifests are no inputs");
    project.write("src/jobs/data.txt", "new");
    assert_ne!(project.succeed(&["tags", "side"]).stdout, tag);
}

/// What cannot converge is refused: a source of what sparkpack writes.
#[test]
fn a_source_of_what_sparkpack_writes_is_refused() {
    let project = project();
    let toml = project.read("sparkpack.toml");
    fs_err::create_dir_all(project.root().join("dist/x")).unwrap();
    std::os::unix::fs::symlink("dist", project.root().join("out")).unwrap();
    std::os::unix::fs::symlink("kubernetes/nightly.yml", project.root().join("n.yml")).unwrap();
    for (path, why) in [
        ("dist", "`dist` is what sparkpack makes"),
        ("./dist/x", "`dist` is what sparkpack makes"),
        ("out/x", "`dist` is what sparkpack makes"),
        ("kubernetes/nightly.yml", "a manifest, a lock"),
        ("n.yml", "a manifest, a lock"),
        ("sparkpack.lock", "a manifest, a lock"),
    ] {
        let source = format!("[sources.all]\npath = \"{path}\"\n\n[images.base]");
        project.write("sparkpack.toml", &toml.replace("[images.base]", &source));
        let failure = project.failure(&["tags"]);
        let wanted = format!("`path = \"{path}\"`: {why}");
        assert!(
            failure.contains("error[E090]: sparkpack.toml:"),
            "{failure}"
        );
        assert!(failure.contains(&wanted), "{failure}");
    }
}

/// What is deleted behind a symbolic link is missed by whatever leads there: a job's code, a context, a `COPY`.
#[test]
fn what_is_deleted_behind_links_is_missed() {
    use std::os::unix::fs::symlink;
    let project = project();
    let root = project.root();
    fs_err::rename(root.join("src"), root.join("code")).unwrap();
    symlink("code", root.join("src")).unwrap();
    for file in [
        "code/tests/deep/a.py",
        "code/tests/deep/b.py",
        "code/tests/c.py",
        "ctx/x",
        "ctx/y",
        "far/z1",
        "far/z2",
        "far/unused",
    ] {
        project.write(file, "A = 1\n");
    }
    symlink("tests/deep", root.join("code/linked")).unwrap();
    symlink("one.py", root.join("code/jobs/alias.py")).unwrap();
    project.write("code/jobs/two.py", "");
    symlink("ctx", root.join("lctx")).unwrap();
    symlink("../../far", root.join("docker/ds/far")).unwrap();
    project.write(
        "docker/ds/Dockerfile",
        "FROM base\nCOPY docker/ds/far/z* /srv/\n",
    );
    let toml = project.read("sparkpack.toml");
    let own =
        "[images.own]\ndockerfile = \"docker/own/Dockerfile\"\ncontext = \"lctx\"\n\n[images.base]";
    project.write("sparkpack.toml", &toml.replace("[images.base]", own));
    project.write("docker/own/Dockerfile", "FROM base\nCOPY . /srv/\n");
    pin(&project);
    commit(&project);
    assert_eq!(refused(&project), [""; 0]);
    for gone in [
        "code/jobs/two.py",
        "code/tests/deep/a.py",
        "code/tests/c.py",
        "ctx/y",
        "far/z2",
        "far/unused",
    ] {
        fs_err::remove_file(root.join(gone)).unwrap();
    }
    fs_err::remove_file(root.join("code/jobs/alias.py")).unwrap();
    pin(&project);
    assert_eq!(
        refused(&project),
        [
            "code/jobs/alias.py (deleted)",
            "code/jobs/two.py (deleted)",
            "code/tests/deep/a.py (deleted)",
            "ctx/y (deleted)",
            "far/z2 (deleted)"
        ]
    );
}

/// A link that leads to a context counts, and not only what is behind it.
#[test]
fn the_link_to_a_context_counts() {
    use std::os::unix::fs::symlink;
    let project = project();
    let root = project.root();
    project.write("one/x", "one");
    project.write("two/x", "two");
    symlink("one", root.join("ctx")).unwrap();
    let toml = project.read("sparkpack.toml");
    let own =
        "[images.own]\ndockerfile = \"docker/own/Dockerfile\"\ncontext = \"ctx\"\n\n[images.base]";
    project.write("sparkpack.toml", &toml.replace("[images.base]", own));
    project.write("docker/own/Dockerfile", "FROM base\nCOPY . /srv/\n");
    pin(&project);
    commit(&project);
    assert_eq!(refused(&project), [""; 0]);
    fs_err::remove_file(root.join("ctx")).unwrap();
    symlink("two", root.join("ctx")).unwrap();
    pin(&project);
    assert_eq!(refused(&project), ["ctx/x (changed)"]);
    project.git(&["rm", "--quiet", "--cached", "ctx"]);
    assert_eq!(refused(&project), ["ctx/x (untracked)"]);
}

/// A link that leads on through another: all of them must be in git.
#[test]
fn every_link_on_the_way_to_an_input_counts() {
    use std::os::unix::fs::symlink;
    let project = project();
    let root = project.root();
    project.write("src/shared/a.py", "A = 1\n");
    symlink("first", root.join("src/linked")).unwrap();
    symlink("shared", root.join("src/first")).unwrap();
    commit(&project);
    pin(&project);
    assert_eq!(refused(&project), [""; 0]);
    project.git(&["rm", "--quiet", "--cached", "src/first"]);
    assert_eq!(
        refused(&project),
        ["src/first/a.py (untracked)", "src/linked/a.py (untracked)"]
    );
    project.git(&["add", "src/first"]);
    fs_err::remove_file(root.join("src/first")).unwrap();
    symlink("./shared", root.join("src/first")).unwrap();
    assert_eq!(
        refused(&project),
        ["src/first/a.py (changed)", "src/linked/a.py (changed)"]
    );
}

/// A link to an absolute path leads back to this checkout, wherever the clone is.
#[test]
fn an_absolute_link_is_no_way_to_an_input() {
    use std::os::unix::fs::symlink;
    let project = project();
    let root = project.root();
    fs_err::rename(root.join("src"), root.join("code")).unwrap();
    symlink(root.join("code"), root.join("src")).unwrap();
    pin(&project);
    commit(&project);
    let why = "a link on the way to it names an absolute path";
    assert_eq!(
        refused(&project),
        ["src/jobs/__init__.py", "src/jobs/one.py", "src/main.py"]
            .map(|file| format!("{file} ({why})"))
    );
    fs_err::remove_file(root.join("src")).unwrap();
    symlink("code", root.join("src")).unwrap();
    project.git(&["add", "src"]);
    assert_eq!(refused(&project), [""; 0]);
}

/// The project may be named by a relative path, or by one that goes through a link.
#[test]
fn the_project_may_be_named_by_any_path() {
    let project = project();
    let toml = project.read("sparkpack.toml");
    let source = "[sources.tool]\npath = \"vendor\"\n\n[images.base]";
    project.write("sparkpack.toml", &toml.replace("[images.base]", source));
    project.write(
        "docker/side/Dockerfile",
        "FROM base\nCOPY --from=source:tool / /opt/tool/\n",
    );
    project.write("vendor/a", "");
    project.write("vendor/b", "");
    pin(&project);
    commit(&project);
    fs_err::remove_file(project.root().join("vendor/b")).unwrap();
    project.write("vendor/a", "other");
    project.write("vendor/new", "");
    project.write("src/main.py", "print('other')\n");
    let link = project.home().join("link");
    std::os::unix::fs::symlink(project.root(), &link).unwrap();
    for (folder, directory) in [
        (project.root().join("src"), ".."),
        (link.clone(), "."),
        (project.home().clone(), "link"),
    ] {
        let arguments = ["check", "--strict", "--directory", directory];
        let failure = run(project.command(&arguments).current_dir(folder)).stderr;
        for named in [
            "src/main.py (changed)",
            " vendor/a (changed)",
            "vendor/b (deleted)",
            "vendor/new (untracked)",
        ] {
            assert!(failure.contains(named), "{directory}: {failure}");
        }
    }
}

/// Git calls a file unchanged whose line ends it converts, or that goes through a filter. A new clone gets other bytes.
#[test]
fn what_a_new_clone_gets_otherwise_is_refused() {
    let project = project();
    project.write(
        ".gitattributes",
        "*.py text=auto\n*.txt ident\n*.ipynb filter=strip\nDockerfile text\n",
    );
    project.git(&["config", "filter.strip.clean", "sed s/OUT//"]);
    project.write("src/jobs/one.py", "VALUE = 1\r\n");
    project.write("src/jobs/note.ipynb", "OUT\n");
    project.write("docker/ds/ds.txt", "$Id$\n");
    // A Dockerfile means the same with any line ends, and so does the configuration.
    let dockerfile = project.read("docker/side/Dockerfile");
    project.write("docker/side/Dockerfile", &dockerfile.replace('\n', "\r\n"));
    pin(&project);
    commit(&project);
    assert_eq!(
        refused(&project),
        [
            "docker/ds/ds.txt (git checks it out with other content: a filter or `ident` in .gitattributes)",
            "src/jobs/note.ipynb (git checks it out with other content: a filter or `ident` in .gitattributes)",
            "src/jobs/one.py (git checks it out with other line ends)"
        ]
    );
    let hint = project.run(&["check", "--strict"]).stderr;
    assert!(
        hint.contains("hint: to have a file as a new checkout has it"),
        "{hint}"
    );
    // What the hint says helps.
    for file in ["docker/ds/ds.txt", "src/jobs/note.ipynb", "src/jobs/one.py"] {
        fs_err::remove_file(project.root().join(file)).unwrap();
        project.git(&["-c", "core.autocrlf=false", "checkout", "--", file]);
    }
    pin(&project);
    assert_eq!(refused(&project), [""; 0]);
    project.write("src/jobs/one.py", "VALUE = 1\r\n");
    project.write(
        ".gitattributes",
        "Dockerfile text\n*.txt ident\nsrc/jobs/one.py -text -filter -ident\n",
    );
    project.git(&["add", ".gitattributes"]);
    project.git(&["add", "--renormalize", "src/jobs/one.py"]);
    pin(&project);
    assert_eq!(refused(&project), [""; 0]);
}

/// With `core.fileMode = false` the disk's executable bits say nothing, in a source as elsewhere.
#[test]
fn executable_bits_of_a_source_come_from_git_where_the_disk_has_none() {
    use std::os::unix::fs::PermissionsExt as _;
    let project = project();
    let toml = project.read("sparkpack.toml");
    let sources =
        "[sources.tool]\npath = \"tool\"\n\n[sources.one]\npath = \"one.sh\"\n\n[images.base]";
    project.write("sparkpack.toml", &toml.replace("[images.base]", sources));
    project.write(
        "docker/side/Dockerfile",
        "FROM base\nCOPY --from=source:tool / /opt/\nCOPY --from=source:one / /opt/\n",
    );
    project.write("tool/run.sh", "");
    project.write("one.sh", "");
    commit(&project);
    let tag = || project.succeed(&["tags", "side"]).stdout;
    let plain = tag();
    project.git(&["config", "core.fileMode", "false"]);
    let mut seen = vec![plain.clone()];
    for file in ["tool/run.sh", "one.sh"] {
        let mode = |mode| {
            let permissions = std::fs::Permissions::from_mode(mode);
            fs_err::set_permissions(project.root().join(file), permissions).unwrap();
        };
        mode(0o755);
        assert_eq!(
            tag(),
            *seen.last().unwrap(),
            "{file}: only the disk says so"
        );
        project.git(&["update-index", "--chmod=+x", file]);
        mode(0o644);
        assert!(!seen.contains(&tag()), "{file}: git says so");
        seen.push(tag());
    }
    pin(&project);
    assert_eq!(refused(&project), [""; 0]);
    commit(&project);
    let clone = project.home().join("clone");
    project.git(&["clone", "--quiet", ".", clone.to_str().unwrap()]);
    let there = run(project.command(&["tags", "side"]).current_dir(&clone));
    assert_eq!(there.stdout, tag(), "{}", there.stderr);
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
