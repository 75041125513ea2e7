//! Installing: the wheel brings the binary into an environment that has nothing else, by pip and by uv, and is what the hooks
//! of a new project are installed from, without a Rust toolchain.

use std::{path::Path, process::Command};

use crate::support::{
    Run, TestProject, VERSION, image_id, path_without_rust, program, run, wheels,
};

/// Runs a program in a folder, without a Rust toolchain.
fn without_rust(place: &TestProject, first: &Path, command: &[&str]) -> Run {
    let mut program = Command::new(command[0]);
    program
        .args(&command[1..])
        .current_dir(place.root())
        .env("PATH", path_without_rust(first))
        .env("HOME", place.home())
        .env("PIP_FIND_LINKS", wheels())
        .env("UV_FIND_LINKS", wheels());
    run(&mut program)
}

#[test]
fn a_wheel_brings_the_binary_into_a_bare_environment() {
    let place = TestProject::new(&[]);
    let venv = place.home().join("venv");
    let (at, bin) = (venv.to_str().unwrap(), venv.join("bin"));
    program("python3", &["-m", "venv", at]);
    let pip = bin.join("pip");
    let install = [
        pip.to_str().unwrap(),
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-index",
        &format!("sparkpack=={VERSION}"),
    ];
    let installed = without_rust(&place, &bin, &install);
    assert_eq!(installed.code, 0, "{}", installed.stderr);
    let own = bin.join("sparkpack");
    let said = without_rust(&place, &bin, &[own.to_str().unwrap(), "--version"]);
    assert_eq!(said.stdout, format!("sparkpack {VERSION}\n"));
    let made = without_rust(&place, &bin, &["sparkpack", "new", "orders"]);
    assert_eq!(made.code, 0, "{}", made.stderr);
    assert!(
        place
            .read("orders/sparkpack.toml")
            .contains("project = \"orders\"")
    );
    // What pip shows of it is Cargo.toml's.
    let shown = without_rust(&place, &bin, &[pip.to_str().unwrap(), "show", "sparkpack"]);
    for line in [
        format!("Version: {VERSION}"),
        format!("Summary: {}", env!("CARGO_PKG_DESCRIPTION")),
    ] {
        assert!(shown.stdout.contains(&line), "{}", shown.stdout);
    }
}

#[test]
fn uv_installs_it_as_a_tool_and_runs_it_without() {
    let place = TestProject::new(&[]);
    let none = place.home().join("none");
    let version = format!("sparkpack=={VERSION}");
    let run_at_once = [
        "uvx",
        "--offline",
        "--no-index",
        "--from",
        &version,
        "sparkpack",
        "--version",
    ];
    let said = without_rust(&place, &none, &run_at_once);
    assert_eq!(
        said.stdout,
        format!("sparkpack {VERSION}\n"),
        "{}",
        said.stderr
    );
    let install = ["uv", "tool", "install", "--offline", "--no-index", &version];
    let installed = without_rust(&place, &none, &install);
    assert_eq!(installed.code, 0, "{}", installed.stderr);
    let own = place.home().join(".local/bin/sparkpack");
    let said = without_rust(&place, &none, &[own.to_str().unwrap(), "--version"]);
    assert_eq!(said.stdout, format!("sparkpack {VERSION}\n"));
}

/// A new project's commits go through the hooks that its own configuration names.
#[test]
fn the_hooks_of_a_new_project_need_no_rust() {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
    let place = TestProject::new(&[]).with_cache(&cache);
    place.succeed(&["new", "orders"]);
    let project = place.within("orders");
    assert!(
        image_id("debian:bookworm-slim").is_some(),
        "scripts/test makes it"
    );
    project.succeed(&["lock"]);
    project.begin_git();
    let none = place.home().join("none");
    let there = |command: &[&str]| {
        let mut program = Command::new(command[0]);
        program
            .args(&command[1..])
            .current_dir(project.root())
            .env("PATH", path_without_rust(&none))
            .env("HOME", project.home())
            .env("SPARKPACK_CACHE", project.cache())
            .env("PIP_FIND_LINKS", wheels());
        run(&mut program)
    };
    let commit = [
        "git",
        "-c",
        "user.name=ada",
        "-c",
        "user.email=ada@localhost",
        "commit",
        "--quiet",
        "--message",
        "orders",
    ];
    let install = [
        "pre-commit",
        "install",
        "--hook-type",
        "pre-commit",
        "--hook-type",
        "pre-push",
    ];
    let installed = there(&install);
    assert_eq!(installed.code, 0, "{}", installed.stderr);
    let stopped = there(&commit);
    assert_eq!(stopped.code, 1, "{}", stopped.stderr);
    assert!(
        stopped
            .stderr
            .contains("error[E101]: manifests were changed"),
        "{}",
        stopped.stderr
    );
    let job = project.reference("job");
    assert!(
        project
            .read("kubernetes/revenue.yml")
            .contains(&format!("image: {job}\n"))
    );
    project.git(&["add", "--all"]);
    let done = there(&commit);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let pushed = there(&[
        "pre-commit",
        "run",
        "--hook-stage",
        "pre-push",
        "--all-files",
    ]);
    assert_eq!(pushed.code, 0, "{}", pushed.stdout);
    assert!(
        pushed.stdout.contains("sparkpack check"),
        "{}",
        pushed.stdout
    );
    project.edit(
        "src/jobs/revenue.py",
        "a row for each country",
        "a row a country",
    );
    project.git(&["add", "--all"]);
    assert_eq!(there(&commit).code, 1);
    project.git(&["add", "--all"]);
    assert_eq!(there(&commit).code, 0);
    assert_ne!(project.reference("job"), job);
}
