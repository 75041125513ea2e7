//! What would make an image that is not what it says is refused by name, before anything is built.

use std::os::unix::fs::symlink;

use crate::support::{TestProject, small};

const ROOT: &str = "registry.example/root:1";

fn project() -> TestProject {
    let project = small::project(ROOT, "registry.example");
    project.write("sparkpack.lock", &small::lock(ROOT));
    project.with_variable("DOCKER_HOST", "unix:///nonexistent/docker.sock")
}

#[test]
fn a_name_that_would_delete_files_of_the_parent_is_refused_by_every_command_that_lists_it() {
    type Change = fn(&TestProject);
    let cases: [(Change, &str); 6] = [
        (
            |project| project.write("docker/ds/.wh.old.txt", ""),
            "`docker/ds/.wh.old.txt`",
        ),
        (
            |project| {
                project.edit("docker/ds/Dockerfile", "*.txt", ".");
                project.write("docker/ds/.wh..wh..opq", "");
            },
            "`docker/ds/.wh..wh..opq`",
        ),
        (
            |project| {
                project.edit("docker/side/Dockerfile", "side.txt", "a");
                project.write("docker/side/a/.wh.b/c", "");
            },
            "`docker/side/a/.wh.b/c`",
        ),
        (
            |project| project.write("src/jobs/.wh.one.py", "X = 1\n"),
            "`jobs/.wh.one.py`",
        ),
        (
            |project| symlink("one.py", project.root().join("src/jobs/.wh.link.py")).unwrap(),
            "`jobs/.wh.link.py`",
        ),
        (
            |project| {
                project.write("src/.wh.main.py", "");
                project.edit(
                    "sparkpack.toml",
                    "src = \"src\"",
                    "src = \"src\"\nmain = \".wh.main.py\"",
                );
            },
            "`.wh.main.py`",
        ),
    ];
    for (change, named) in cases {
        let project = project();
        change(&project);
        let before = project.files();
        for command in [["plan"], ["tags"], ["package"], ["check"]] {
            let failure = project.failure(&command);
            assert!(failure.contains("error[E068]"), "{failure}");
            assert!(failure.contains(named), "{failure}");
            assert!(failure.contains("hint: rename it"), "{failure}");
            assert_eq!(project.files(), before, "{command:?}");
        }
    }
}

#[test]
fn such_a_name_is_refused_in_a_source_of_this_disk() {
    for (file, table) in [
        ("files/a/.wh.b", "path = \"files\""),
        ("files/.wh.b", "path = \"files/.wh.b\""),
    ] {
        let project = project();
        project.write(file, "");
        let toml = project.read("sparkpack.toml");
        let sources = format!("[sources.files]\n{table}\n\n[manifests]");
        project.write("sparkpack.toml", &toml.replace("[manifests]", &sources));
        project.edit(
            "docker/side/Dockerfile",
            "FROM base\n",
            "FROM base\nCOPY --from=source:files . /opt/files/\n",
        );
        for command in [["plan"], ["tags"]] {
            let failure = project.failure(&command);
            assert!(failure.contains("error[E068]"), "{failure}");
            assert!(failure.contains(".wh.b"), "{failure}");
        }
    }
}

#[test]
fn such_a_name_that_is_left_out_is_no_error() {
    let project = project();
    let tags = project.succeed(&["tags"]).stdout;
    project.write("docker/side/.wh.not-copied", "");
    project.write("docker/ds/.wh.ignored.txt", "");
    project.write(".dockerignore", "**/.wh.*\n");
    project.write("src/jobs/.wh.excluded.py", "");
    project.write("src/.venv/.wh.built-in", "");
    project.edit(
        "sparkpack.toml",
        "src = \"src\"",
        "src = \"src\"\nexclude = [\".wh.*\"]",
    );
    assert_eq!(project.succeed(&["tags"]).stdout, tags);
}
