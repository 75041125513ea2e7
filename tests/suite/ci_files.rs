//! The CI files and hooks that `new` writes are what linters accept, in every variant. What actionlint says of them is in
//! `tests/more`, since Go builds it.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::{GITHUB, GITLAB, PROJECTS, Run, TestProject, ci_file, run};

/// The schemas that check-jsonschema brings, by the file that is checked.
const SCHEMAS: [(&str, &str); 2] = [
    (GITHUB, "vendor.github-workflows"),
    (GITLAB, "vendor.gitlab-ci"),
];

/// Holds a CI file against the schema of its CI.
fn check_jsonschema(folder: &Path, file: &str) -> Run {
    let (_, schema) = SCHEMAS.iter().find(|(name, _)| *name == file).unwrap();
    let mut command = Command::new("check-jsonschema");
    command
        .args(["--color", "never", "--builtin-schema", schema, file])
        .current_dir(folder);
    run(&mut command)
}

/// Has zizmor look at the workflows and the hooks of a folder, at everything that it can find without a network.
fn zizmor(folder: &Path) -> Run {
    let mut command = Command::new("zizmor");
    command
        .args(["--offline", "--no-config", "--no-progress", "--color=never"])
        .args(["--persona=auditor", "--collect=all", "--strict-collection"])
        .arg(".")
        .current_dir(folder);
    run(&mut command)
}

/// A project of every kind, and the example, each with its CI files.
fn projects(place: &TestProject) -> Vec<(PathBuf, Vec<&'static str>)> {
    let mut projects = Vec::new();
    for (name, flags) in PROJECTS {
        place.succeed(&[&["new", name], flags].concat());
        projects.push((place.root().join(name), vec![ci_file(flags)]));
    }
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("example-project");
    projects.push((example, vec![GITHUB, GITLAB]));
    projects
}

#[test]
fn linters_find_nothing_in_the_ci_files_of_any_project() {
    let place = TestProject::new(&[]);
    for (folder, files) in projects(&place) {
        for file in files {
            let checked = check_jsonschema(&folder, file);
            let shown = format!("{}: {}{}", folder.display(), checked.stdout, checked.stderr);
            assert_eq!(checked.code, 0, "{shown}");
        }
        let audited = zizmor(&folder);
        let shown = format!("{}: {}{}", folder.display(), audited.stdout, audited.stderr);
        assert_eq!(audited.code, 0, "{shown}");
        assert!(audited.stdout.starts_with("No findings"), "{shown}");
    }
}

/// The linters see what is wrong in these very files.
#[test]
fn linters_find_what_is_wrong_in_them() {
    let place = TestProject::new(&[]);
    place.succeed(&["new", "hub"]);
    place.succeed(&["new", "lab", "--ci", "gitlab"]);
    let (hub, lab) = (place.within("hub"), place.within("lab"));
    let schema = |project: &TestProject, file: &str| check_jsonschema(&project.root(), file);
    let audit = |project: &TestProject, _: &str| zizmor(&project.root());
    let cases: [(&TestProject, &str, [&str; 2], Linter<'_>, &str); 6] = [
        (
            &hub,
            GITHUB,
            ["timeout-minutes: 20", "timeout-minutes: soon"],
            &schema,
            "$.jobs.check['timeout-minutes']: 'soon'",
        ),
        (
            &lab,
            GITLAB,
            ["resource_group: push-images", "resource_group: [push]"],
            &schema,
            "$.push.resource_group",
        ),
        (
            &lab,
            GITLAB,
            ["    when: always", "    when: sometimes"],
            &schema,
            "$.check.artifacts.when",
        ),
        (
            &hub,
            GITHUB,
            [
                "checkout@11bd71901bbe5b1630ceea73d27597364c9af683 # v4.2.2",
                "checkout@v4",
            ],
            &audit,
            "error[unpinned-uses]",
        ),
        (
            &hub,
            GITHUB,
            ["run: pytest", "run: echo ${{ github.head_ref }}"],
            &audit,
            "error[template-injection]",
        ),
        (
            &hub,
            GITHUB,
            ["persist-credentials: false", "persist-credentials: true"],
            &audit,
            "[artipacked]",
        ),
    ];
    for (project, file, [old, new], linter, words) in cases {
        let right = project.read(file);
        project.edit(file, old, new);
        let found = linter(project, file);
        project.write(file, &right);
        assert_ne!(found.code, 0, "{new}");
        assert!(
            found.stdout.contains(words),
            "{new}: {}{}",
            found.stdout,
            found.stderr
        );
    }
}

type Linter<'a> = &'a dyn Fn(&TestProject, &str) -> Run;
