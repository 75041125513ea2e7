//! `context = "dist"`: the job's own package by its inputs, never what lies in `dist`.

use crate::support::{Chain, TestProject, docker, run, small};

const ROOT: &str = "registry.example/root:1";

/// A Dockerfile that copies the package from a context that is nothing else.
const DOCKERFILE: &str = "ARG PARENT\nFROM ${PARENT}\nCOPY main.py jobs.zip /opt/job/\n\
                          COPY site-packages/ /opt/site-packages/\n";

fn with_context(project: &TestProject, image: &str, context: &str) {
    let head = format!("[images.{image}]\n");
    project.edit(
        "sparkpack.toml",
        &head,
        &format!("{head}context = \"{context}\"\n"),
    );
}

fn project(context: &str) -> TestProject {
    let project = small::project(ROOT, "registry.example");
    project.write("sparkpack.lock", &small::lock(ROOT));
    project.write("docker/job/Dockerfile", DOCKERFILE);
    with_context(&project, "job", context);
    project
}

/// Adds a second job, so that each has a folder of its own in `dist`.
fn with_other_job(project: &TestProject) {
    project.write("other/main.py", "print('other')\n");
    let toml = project.read("sparkpack.toml");
    let other = "[images.other]\nparent = \"ds\"\ndockerfile = \"docker/job/Dockerfile\"\nsrc = \"other\"\n\n[manifests]";
    project.write("sparkpack.toml", &toml.replace("[manifests]", other));
}

#[test]
fn the_package_counts_by_its_inputs_in_a_fresh_clone_and_beside_an_old_one() {
    for (context, has_other) in [
        ("dist", false),
        ("./dist", false),
        ("dist/", false),
        ("src/../dist//.", false),
        ("dist", true),
        ("dist/job", true),
    ] {
        let project = project(context);
        if has_other {
            with_other_job(&project);
        }
        let fresh = project.reference("job");
        for folder in ["dist", "dist/job"] {
            for file in ["main.py", "jobs.zip", "more.txt", "site-packages/old.py"] {
                project.write(&format!("{folder}/{file}"), "old\n");
            }
        }
        assert_eq!(project.reference("job"), fresh, "{context}");
        project.write("src/jobs/one.py", "VALUE = 2\n");
        assert_ne!(project.reference("job"), fresh, "{context}");
        let named = project.succeed(&["plan", "-vv", "job"]).stdout;
        assert!(!named.contains("more.txt"), "{named}");
    }
    let tags = ["dist", "./dist", "dist/"].map(|context| project(context).reference("job"));
    assert!(tags.iter().all(|tag| *tag == tags[0]), "{tags:?}");
}

/// With nothing else in it, `.` holds `dist/main.py` and the package `main.py`: `COPY .` makes other images.
#[test]
fn another_context_of_the_same_files_has_another_tag() {
    let whole = project("dist");
    whole.write(
        "docker/job/Dockerfile",
        "ARG PARENT\nFROM ${PARENT}\nCOPY . /opt/job/\n",
    );
    whole.write("docker/job/Dockerfile.dockerignore", "*\n");
    let package = whole.reference("job");
    whole.edit("sparkpack.toml", "context = \"dist\"", "context = \".\"");
    assert_ne!(whole.reference("job"), package);
}

#[test]
fn dist_is_no_context_of_what_is_not_its_job() {
    let mut failures = Vec::new();
    for (image, context, has_other) in [
        ("side", "dist", false),
        ("side", "./dist/site-packages", false),
        ("job", "dist/site-packages", false),
        ("job", "dist/other", true),
    ] {
        let project = project("src");
        project.edit("sparkpack.toml", "context = \"src\"\n", "");
        with_context(&project, image, context);
        if has_other {
            with_other_job(&project);
        }
        // Whether it is there or not, the answer is the same.
        let failure = project.failure(&["tags"]);
        project.write("dist/site-packages/a.py", "");
        project.write("dist/other/a.py", "");
        assert_eq!(project.failure(&["plan"]), failure);
        failures.push(failure);
    }
    insta::assert_snapshot!(failures.join("\n"));
}

#[test]
fn links_and_code_in_dist_are_refused_too() {
    let linked = project("src");
    linked.write("dist/main.py", "");
    std::os::unix::fs::symlink("dist", linked.root().join("out")).unwrap();
    linked.edit("sparkpack.toml", "context = \"src\"\n", "");
    with_context(&linked, "side", "out");
    let context = linked.failure(&["tags"]);
    assert!(context.starts_with("exit 2\nerror[E090]"), "{context}");

    let code = project("dist");
    code.write("dist/generated/main.py", "");
    code.edit(
        "sparkpack.toml",
        "src = \"src\"",
        "src = \"dist/generated\"",
    );
    let failure = code.failure(&["tags"]);
    assert!(failure.starts_with("exit 2\nerror[E090]"), "{failure}");
}

/// The project's own folder may be a job's code: `dist` is no part of it, by whatever name the folder is called.
#[test]
fn dist_is_no_code_of_a_job_at_the_top_of_the_project() {
    let mut tags = Vec::new();
    for src in ["\".\"", "[\"./\"]", "\"here\""] {
        let whole = project("dist");
        std::os::unix::fs::symlink(".", whole.root().join("here")).unwrap();
        whole.write("main.py", "");
        whole.write("jobs/one.py", "");
        let lines = format!("src = {src}\nexclude = [\"/here\"]");
        whole.edit("sparkpack.toml", "src = \"src\"", &lines);
        let fresh = whole.reference("job");
        whole.write("dist/jobs/old.py", "");
        whole.write("dist/main.py", "old\n");
        assert_eq!(whole.reference("job"), fresh, "{src}");
        whole.write("jobs/one.py", "VALUE = 2\n");
        assert_ne!(whole.reference("job"), fresh, "{src}");
        tags.push(fresh);
    }
    assert!(tags.iter().all(|tag| *tag == tags[0]), "{tags:?}");
}

/// `dist` stays left out of a wider context, also where a link leads to it.
#[test]
fn a_wider_context_never_holds_dist() {
    for context in [".", "here"] {
        let project = project("dist");
        std::os::unix::fs::symlink(".", project.root().join("here")).unwrap();
        with_context(&project, "side", context);
        project.write("docker/side/Dockerfile", "FROM base\nCOPY src dist* /x/\n");
        project.write("docker/side/Dockerfile.dockerignore", "here\n");
        let fresh = project.reference("side");
        project.write("dist/main.py", "old\n");
        assert_eq!(project.reference("side"), fresh, "{context}");
        project.write("src/main.py", "print('new')\n");
        assert_ne!(project.reference("side"), fresh, "{context}");
    }
}

/// Both builders put the package of this checkout into the image, whatever lay in `dist`.
#[test]
fn both_builders_copy_what_the_tag_says() {
    let chain = Chain::new("own-package");
    let project = &chain.project;
    project.write("docker/job/Dockerfile", DOCKERFILE);
    with_context(project, "job", "dist");
    project.succeed(&["lock"]);
    for buildkit in ["1", "0"] {
        chain.forget_images();
        let text = format!("print('builder {buildkit}')\n");
        project.write("dist/main.py", "print('old')\n");
        project.write("dist/jobs.zip", "old\n");
        project.write("src/main.py", &text);
        project.succeed(&["pin"]);
        let pinned = project.reference("job");
        let built = run(project.command(&["build"]).env("DOCKER_BUILDKIT", buildkit));
        assert_eq!(built.code, 0, "{}", built.stderr);
        assert_eq!(project.reference("job"), pinned);
        project.succeed(&["check"]);
        let container = docker(&["create", &pinned, "true"]);
        let copied = tempfile::tempdir().unwrap();
        let from = format!("{}:/opt/job", container.trim());
        docker(&["cp", &from, copied.path().to_str().unwrap()]);
        docker(&["rm", container.trim()]);
        let main = fs_err::read_to_string(copied.path().join("job/main.py")).unwrap();
        assert_eq!(main, text);
        let archive = fs_err::read(copied.path().join("job/jobs.zip")).unwrap();
        assert!(archive.starts_with(b"PK"));
    }
    project.write(
        "docker/job/Dockerfile",
        "ARG PARENT\nFROM ${PARENT}\nCOPY dist/main.py /opt/job/\n",
    );
    let failure = project.failure(&["build", "job"]);
    assert!(failure.contains("without `dist/`"), "{failure}");
}
