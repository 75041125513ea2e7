//! The hooks for users without an installed sparkpack: pre-commit compiles it from a clone of this repository.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::{Run, TestProject, program, run, small};

const ROOT: &str = "registry.example/root:1";
const MANIFEST: &str = "kubernetes/nightly.yml";

/// Settings for cargo, which pre-commit runs in the release profile. The test is about the hooks, and optimised
/// dependencies that are thrown away would cost minutes.
const QUICK: [(&str, &str); 5] = [
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0"),
    ("CARGO_PROFILE_RELEASE_DEBUG", "0"),
    ("CARGO_PROFILE_RELEASE_LTO", "off"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "256"),
    ("CARGO_PROFILE_RELEASE_STRIP", "none"),
];

/// A commit of this repository's present state: its folder and the commit.
fn this_repository(folder: &Path) -> (PathBuf, String) {
    let copy = folder.join("sparkpack");
    let script = "git ls-files -z --cached --others --exclude-standard | tar --null -cf - -T - | tar -xf - -C \"$1\" && \
                  cd \"$1\" && git init --quiet && git add --all && git commit --quiet --message clone";
    fs_err::create_dir_all(&copy).unwrap();
    let arguments = ["-ec", script, "sh", copy.to_str().unwrap()];
    let mut command = Command::new("sh");
    command
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    let made = run(as_ada(&mut command));
    assert_eq!(made.code, 0, "{}", made.stderr);
    let commit = program("git", &["-C", copy.to_str().unwrap(), "rev-parse", "HEAD"]);
    (copy, commit.trim().to_owned())
}

fn as_ada(command: &mut Command) -> &mut Command {
    for role in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{role}_NAME"), "ada");
        command.env(format!("GIT_{role}_EMAIL"), "ada@localhost");
    }
    command
}

/// Runs `pre-commit run --all-files` without an installed sparkpack, but with this machine's cargo and its home.
fn pre_commit(project: &TestProject, home: &Path) -> Run {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("hooks");
    let mut command = Command::new("pre-commit");
    command
        .args(["run", "--all-files"])
        .current_dir(project.root())
        .env("PRE_COMMIT_HOME", home)
        .env("PRE_COMMIT_COLOR", "never")
        .env("SPARKPACK_CACHE", home.join("cache"))
        .env("CARGO_TARGET_DIR", target)
        .env("DOCKER_HOST", "unix:///nonexistent/docker.sock")
        .envs(QUICK);
    run(&mut command)
}

#[test]
fn who_has_no_sparkpack_gets_one_compiled() {
    let folder = tempfile::tempdir().unwrap();
    let (address, commit) = this_repository(folder.path());
    let project = small::project(ROOT, "registry.example");
    project.write("sparkpack.lock", &small::lock(ROOT));
    project.succeed(&["pin"]);
    let hooks = "  - id: sparkpack-pin-from-source\n  - id: sparkpack-check-from-source\n";
    let address = address.display();
    let configuration = format!("repos:\n- repo: '{address}'\n  rev: {commit}\n  hooks:\n{hooks}");
    project.write(".pre-commit-config.yaml", &configuration);
    project.begin_git();

    let home = folder.path().join("pre-commit");
    let right = pre_commit(&project, &home);
    assert_eq!(right.code, 0, "{}{}", right.stdout, right.stderr);
    assert_eq!(
        right.stdout.matches("Passed").count(),
        2,
        "{}",
        right.stdout
    );
    let listed = program(
        "find",
        &[
            home.as_os_str(),
            "-path".as_ref(),
            "*/bin/sparkpack".as_ref(),
        ],
    );
    assert_eq!(
        listed.lines().count(),
        1,
        "both hooks have one binary: {listed}"
    );

    let old = project.read(MANIFEST);
    project.write("src/jobs/one.py", "VALUE = 2\n");
    let root = project.root();
    let add = ["-C", root.to_str().unwrap(), "add", "src/jobs/one.py"];
    program("git", &add);
    let fixed = pre_commit(&project, &home);
    assert_eq!(fixed.code, 1, "{}{}", fixed.stdout, fixed.stderr);
    assert!(
        fixed.stdout.contains("- files were modified by this hook"),
        "{}",
        fixed.stdout
    );
    assert_ne!(project.read(MANIFEST), old);
    assert_eq!(pre_commit(&project, &home).code, 0);
    assert_eq!(project.succeed(&["check"]).stdout, "");
}
