//! What actionlint, and shellcheck by it, say of the CI files that `new` writes.

use std::{path::Path, process::Command};

use crate::{
    golang::installed,
    support::{GITHUB, GITLAB, PROJECTS, Run, TestProject, ci_file, gitlab_jobs, program, run},
};

/// Has actionlint look at a workflow, and shellcheck at its steps.
fn lint_workflow(folder: &Path) -> Run {
    let actionlint = installed("github.com/rhysd/actionlint/cmd/actionlint", "1.7.12");
    let mut command = Command::new(actionlint);
    command
        .args(["-no-color", "-shellcheck", "shellcheck", GITHUB])
        .current_dir(folder);
    run(&mut command)
}

/// Has shellcheck look at what GitLab's jobs execute.
fn check_shells(folder: &Path) -> Run {
    let jobs = gitlab_jobs(&fs_err::read_to_string(folder.join(GITLAB)).unwrap());
    assert_eq!(jobs.len(), 3, "{jobs:?}");
    let scripts: Vec<&str> = jobs.values().map(|step| step.script.as_str()).collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs_err::write(file.path(), scripts.concat()).unwrap();
    let mut shellcheck = Command::new("shellcheck");
    run(shellcheck.args(["--shell", "bash"]).arg(file.path()))
}

/// What is changed in a CI file, and what a linter says of it then.
type Mistake = [&'static str; 3];

const OF_GITHUB: [Mistake; 3] = [
    ["needs: check", "needs: chek", "[job-needs]"],
    ["vars.REGISTRY }}", "var.REGISTRY }}", "[expression]"],
    ["login \"$REGISTRY\"", "login $REGISTRY", "SC2086"],
];
const OF_GITLAB: [Mistake; 1] = [["\"$REGISTRY_USER\"", "$REGISTRY_USER", "SC2086"]];

#[test]
fn linters_find_nothing_in_the_ci_files_and_see_what_is_wrong() {
    program("shellcheck", &["--version"]);
    let place = TestProject::new(&[]);
    for (name, flags) in PROJECTS {
        place.succeed(&[&["new", name], flags].concat());
        let project = place.within(name);
        match ci_file(flags) {
            GITHUB => assert_linted(&project, GITHUB, lint_workflow, &OF_GITHUB),
            file => assert_linted(&project, file, check_shells, &OF_GITLAB),
        }
    }
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("example-project");
    for linter in [lint_workflow, check_shells] {
        let found = linter(&example);
        assert_eq!(found.code, 0, "{}{}", found.stdout, found.stderr);
    }
}

/// The linter finds nothing in the file as it is, and each of the mistakes.
fn assert_linted(project: &TestProject, file: &str, linter: fn(&Path) -> Run, wrong: &[Mistake]) {
    let found = linter(&project.root());
    assert_eq!(found.code, 0, "{file}: {}{}", found.stdout, found.stderr);
    let right = project.read(file);
    for [old, new, words] in wrong {
        project.edit(file, old, new);
        let found = linter(&project.root());
        project.write(file, &right);
        assert_eq!(found.code, 1, "{new}: {}", found.stderr);
        assert!(found.stdout.contains(words), "{new}: {}", found.stdout);
    }
}
