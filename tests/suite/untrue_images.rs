//! What would make an image that is not what it says is refused by name, before anything is built.

use std::{os::unix::fs::symlink, path::Path, process::Command};

use crate::support::{TestProject, pythons, run, small};

const ROOT: &str = "registry.example/root:1";

fn project() -> TestProject {
    let project = small::project(ROOT, "registry.example");
    project.write("sparkpack.lock", &small::lock(ROOT));
    project.with_variable("DOCKER_HOST", "unix:///nonexistent/docker.sock")
}

#[test]
fn a_name_that_would_delete_files_of_the_parent_is_refused_by_every_command_that_lists_it() {
    type Change = fn(&TestProject);
    let cases: [(Change, &str); 5] = [
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
fn such_a_name_is_refused_for_a_main_file() {
    let project = project();
    project.write("src/.wh.main.py", "");
    project.edit(
        "sparkpack.toml",
        "src = \"src\"",
        "src = \"src\"\nmain = \".wh.main.py\"",
    );
    let failure = project.failure(&["package"]);
    assert!(
        failure.contains("error[E152]: sparkpack.toml:"),
        "{failure}"
    );
    assert!(failure.contains("`src/.wh.main.py`"), "{failure}");
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

/// Whether a Python imports the module `zz_last` from an archive.
fn imports_the_last(python: &str, archive: &Path) -> bool {
    let script = "import sys; sys.path.insert(0, sys.argv[1]); import zz_last; print(zz_last.X)";
    let mut command = Command::new(python);
    let run = run(command.args(["-c", script, archive.to_str().unwrap()]));
    assert_eq!(run.code == 0, run.stdout == "7\n", "{}", run.stderr);
    run.code == 0
}

#[test]
fn an_archive_is_refused_exactly_where_python_would_not_find_its_last_module() {
    const MOST: usize = 65_535;
    let project = project();
    project.write("src/zz_last.py", "X = 7\n");
    // With `jobs/`, `jobs/__init__.py`, `jobs/one.py`, `many/` and `zz_last.py`.
    for number in 0..MOST - 4 {
        fs_err::create_dir_all(project.root().join("src/many")).unwrap();
        fs_err::write(project.root().join(format!("src/many/{number}")), "").unwrap();
    }
    let archive = project.root().join("dist/jobs.zip");
    let chain = |python: &str| {
        let toml = project.read("sparkpack.toml");
        let line = toml
            .lines()
            .find(|line| line.starts_with("python ="))
            .unwrap();
        project.edit("sparkpack.toml", line, &format!("python = \"{python}\""));
    };
    chain("3.12");
    for command in [["plan"], ["tags"], ["package"]] {
        let failure = project.failure(&command);
        assert!(
            failure.contains("error[E120]: sparkpack.toml:"),
            "{failure}"
        );
        let wanted = "`jobs.zip` would have 65536 files and folders, and Python 3.12 finds only the first 65535";
        assert!(failure.contains(wanted), "{failure}");
        assert!(failure.contains("`python = \"3.13\"`"), "{failure}");
        assert!(!archive.exists());
    }
    let pythons = pythons();
    chain("3.13");
    project.succeed(&["package"]);
    for (python, version) in &pythons {
        assert_eq!(
            imports_the_last(python, &archive),
            *version >= (3, 13),
            "{version:?}"
        );
    }
    fs_err::remove_file(project.root().join("src/many/0")).unwrap();
    chain("3.12");
    project.succeed(&["package"]);
    for (python, version) in &pythons {
        assert!(imports_the_last(python, &archive), "{version:?}");
    }
}

#[test]
fn a_job_without_a_module_is_refused_where_one_is_expected() {
    let project = project();
    let failure = |wanted: &str| {
        for command in [["plan"], ["tags"], ["package"]] {
            let failure = project.failure(&command);
            assert!(
                failure.contains("error[E121]: sparkpack.toml:"),
                "{failure}"
            );
            assert!(failure.contains(wanted), "{failure}");
            assert!(failure.contains("hint: "), "{failure}");
        }
    };
    let excluding = |pattern: &str| {
        let toml = project.read("sparkpack.toml");
        let lines = toml.lines().filter(|line| !line.starts_with("exclude"));
        let lines: Vec<&str> = lines.collect();
        let src = format!("src = \"src\"\nexclude = [{pattern:?}]");
        let toml = lines.join("\n").replace("src = \"src\"", &src);
        project.write("sparkpack.toml", &format!("{toml}\n"));
    };
    project.write("src/main.py", "from jobs import one\n");
    excluding("jobs/");
    failure(
        "`src/main.py` imports `jobs`, but `jobs/` in `src` is left out by configuration `exclude = [\"jobs/\"]`",
    );
    excluding("*.py");
    failure("`src/main.py` imports `jobs`, but `jobs/` in `src` is left out by");
    project.write("src/jobs/query.sql", "select 1\n");
    project.write("src/main.py", "print('main')\n");
    failure("beside `src/main.py`, `src` has only files such as `jobs/query.sql`");
    excluding("jobs/");
    project.succeed(&["package"]);
    fs_err::remove_dir_all(project.root().join("src/jobs")).unwrap();
    project.succeed(&["package"]);
}
