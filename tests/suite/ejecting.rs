//! `eject`: the recipe of an image as files of the project, the lines that it needs, and that nothing is overwritten.

use std::{os::unix::fs::PermissionsExt as _, path::Path};

use sparkpack::project::requirements::{Pin, Requirements};

use crate::support::{TestProject, tree};

const CONFIGURATION: &str = r#"format = 1
project = "own"
registries.main = "registry.example/own"

[chains.main]
spark = "4.1.4"
python = "3.11"
root = "registry.example/root:1"
spark-source = "spark"
operator.source = "operator"

[chains.other]
image = "registry.example/spark:3.5"
python = "3.10"
spark = "3.5.8"

[sources.spark]
path = "vendor/spark"

[sources.operator]
path = "vendor/spark-operator"

[images.job]
parent = "py"
src = "src"

[images.own]
parent = "base"
dockerfile = "own.Dockerfile"
"#;

fn project() -> TestProject {
    let zeros = "0".repeat(64);
    TestProject::new(&[
        ("sparkpack.toml", CONFIGURATION),
        (
            "sparkpack.lock",
            &format!(
                "format = 1\n\n[images.\"registry.example/root:1\"]\ndigest = \"sha256:{zeros}\"\n"
            ),
        ),
        ("vendor/spark/bin/spark-submit", "#!/bin/sh\n"),
        ("vendor/spark-operator", "a program\n"),
        ("own.Dockerfile", "FROM base\n"),
        ("src/main.py", "print('main')\n"),
    ])
}

/// The tags, by image.
fn tags(project: &TestProject) -> Vec<String> {
    let printed = project.succeed(&["tags"]).stdout;
    printed.lines().map(str::to_owned).collect()
}

#[test]
fn what_is_pasted_as_it_is_printed_can_be_planned() {
    let project = project();
    let mut before = tags(&project);
    let mut told = Vec::new();
    for image in ["base", "py", "operator", "job"] {
        let ejected = project.succeed(&["eject", image]);
        told.push(format!("# {image}\n{}{}", ejected.stdout, ejected.stderr));
        if ejected.stdout.starts_with('[') {
            let text = project.read("sparkpack.toml");
            project.write("sparkpack.toml", &format!("{text}\n{}", ejected.stdout));
        } else {
            let table = format!("[images.{image}]\n");
            project.edit(
                "sparkpack.toml",
                &table,
                &format!("{table}{}", ejected.stdout),
            );
        }
        let now = tags(&project);
        assert_eq!(now.len(), before.len());
        let moved: Vec<&String> = now.iter().filter(|tag| !before.contains(tag)).collect();
        let is_moved = moved.iter().any(|tag| tag.contains(&format!("/{image}:")));
        let is_told = ejected.stderr.contains(" moves with that");
        assert_eq!(is_moved, is_told, "{image}: {moved:?}\n{}", ejected.stderr);
        before = now;
    }
    insta::assert_snapshot!(told.concat());
    let planned = project.succeed(&["plan"]);
    assert!(!planned.stderr.contains("warning"), "{}", planned.stderr);
    let mode = |file: &str| {
        let file = project.root().join("docker/base").join(file);
        fs_err::metadata(file).unwrap().permissions().mode() & 0o777
    };
    assert_eq!(["Dockerfile", "entrypoint.sh"].map(mode), [0o644, 0o755]);
    // A change in it is a change of the image.
    project.edit("docker/base/entrypoint.sh", "#!", "#! ");
    assert_ne!(tags(&project)[0], before[0]);
}

#[test]
fn what_cannot_be_written_out_is_told_and_nothing_is_written() {
    let project = project();
    project.write("docker/base/entrypoint.sh", "mine\n");
    fs_err::create_dir_all(project.root().join("taken")).unwrap();
    std::os::unix::fs::symlink("nowhere", project.root().join("taken/Dockerfile")).unwrap();
    let before = tree(&project.root());
    let told = [
        &["eject", "bsae"][..],
        &["eject", "own"],
        &["eject", "other-base"],
        &["eject", "base"],
        &["eject", "py", "--to", "taken"],
        &["eject", "py", "--to", "../elsewhere"],
        &["eject", "py", "--to", "/tmp/elsewhere"],
        &["eject", "py", "--to", "dist/py"],
        &["eject", "py", "--to", "."],
    ]
    .map(|arguments| format!("# {}\n{}", arguments.join(" "), project.failure(arguments)));
    insta::assert_snapshot!(told.join("\n"));
    assert!(tree(&project.root()) == before, "something was written");
    project.succeed(&["eject", "py", "--to", "./docker/./own"]);
    assert!(project.read("docker/own/Dockerfile").contains("ARG PYTHON"));
}

/// The wheels of the built-in ds are in `sparkpack.lock`; those of a requirements file beside it.
#[test]
fn the_locked_wheels_go_along() {
    let project = project();
    project.edit("sparkpack.toml", "parent = \"py\"", "parent = \"ds\"");
    let text = include_str!("../../dockerfiles/ds/requirements.txt");
    let requirements = Requirements::of_text(Path::new("requirements.txt"), text).unwrap();
    let digest = requirements.digest(&[Pin::new("pyspark", "4.1.4")]);
    let wheel = format!(
        "six-1.17.0-py2.py3-none-any.whl\" = \"sha256:{}",
        "4".repeat(64)
    );
    let lock = project.read("sparkpack.lock");
    project.write(
        "sparkpack.lock",
        &format!(
            "{lock}\n[wheels.ds.\"linux/amd64\"]\nrequirements = \"{digest}\"\npython = \"3.11\"\nglibc = \"2.28\"\n\n\
             [wheels.ds.\"linux/amd64\".files]\n\"{wheel}\"\n"
        ),
    );
    let before = tags(&project);
    let ejected = project.succeed(&["eject", "ds"]);
    assert!(
        !ejected.stderr.contains("sparkpack lock"),
        "{}",
        ejected.stderr
    );
    assert!(
        project
            .read("docker/ds/requirements.lock")
            .contains(&"4".repeat(64))
    );
    let text = project.read("sparkpack.toml");
    project.write("sparkpack.toml", &format!("{text}\n{}", ejected.stdout));
    let now = tags(&project);
    let stays = |image: &str| {
        let of = |tags: &[String]| tags.iter().find(|tag| tag.contains(image)).cloned();
        of(&before) == of(&now)
    };
    assert_eq!(["/py:", "/ds:", "/job:"].map(stays), [true, false, false]);
}
