//! What moves a tag, and what does not: every class of input and of non-input, on a chain three deep, offline.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::fs::{PermissionsExt, symlink},
    time::{Duration, SystemTime},
};

use crate::support::{TestProject, lock_requirements, program, run, small};

const ROOT: &str = "registry.example/root:1";
const SIX_16: &str = "six-1.16.0-py2.py3-none-any.whl";
const SIX_17: &str = "six-1.17.0-py2.py3-none-any.whl";

fn project() -> TestProject {
    let project = small::project(ROOT, "registry.example");
    project.write("sparkpack.lock", &small::lock(ROOT));
    project
}

/// The tags of the checkout by image.
fn tags(project: &TestProject) -> BTreeMap<String, String> {
    parse(&project.succeed(&["tags"]).stdout)
}

fn parse(references: &str) -> BTreeMap<String, String> {
    let pairs = references.lines().map(|reference| {
        let (repository, tag) = reference.rsplit_once(':').unwrap();
        (
            repository.rsplit('/').next().unwrap().to_owned(),
            tag.to_owned(),
        )
    });
    pairs.collect()
}

/// Applies a change to a fresh project and says which images got another tag.
fn moved(change: impl Fn(&TestProject)) -> String {
    let project = project();
    let before = tags(&project);
    change(&project);
    let after = tags(&project);
    assert_eq!(
        before.keys().collect::<Vec<_>>(),
        after.keys().collect::<Vec<_>>()
    );
    let moved: Vec<&str> = before
        .iter()
        .filter(|(name, tag)| after[*name] != **tag)
        .map(|(name, _)| name.as_str())
        .collect();
    moved.join(" ")
}

#[test]
fn every_input_moves_what_depends_on_it_and_nothing_else() {
    type Change = (&'static str, &'static str, fn(&TestProject));
    let changes: [Change; 19] = [
        ("a line of a job", "job", |p| {
            p.edit("src/jobs/one.py", "1", "2")
        }),
        ("a new module", "job", |p| p.write("src/jobs/two.py", "")),
        ("a module renamed", "job", |p| {
            fs_err::rename(
                p.root().join("src/jobs/one.py"),
                p.root().join("src/jobs/uno.py"),
            )
            .unwrap()
        }),
        ("the case of a name", "job", |p| {
            fs_err::rename(
                p.root().join("src/jobs/one.py"),
                p.root().join("src/jobs/One.py"),
            )
            .unwrap()
        }),
        ("the main file", "job", |p| {
            p.edit("src/main.py", "main", "other")
        }),
        ("the exec bit of a module", "job", |p| {
            mode(p, "src/jobs/one.py", 0o755)
        }),
        ("a line of the job's Dockerfile", "job", |p| {
            p.edit("docker/job/Dockerfile", "/opt/job/", "/opt/jobs/")
        }),
        ("a Dockerfile's comment", "base ds job side", |p| {
            p.edit("docker/base/Dockerfile", "COPY", "# a comment\nCOPY")
        }),
        ("a file that base copies", "base ds job side", |p| {
            p.edit("docker/base/base.txt", "base", "other")
        }),
        ("the exec bit of a copied file", "base ds job side", |p| {
            mode(p, "docker/base/base.txt", 0o755)
        }),
        ("a file that ds copies by a glob", "ds job", |p| {
            p.write("docker/ds/more.txt", "")
        }),
        ("bytes moved between two files", "ds job", |p| {
            p.write("docker/ds/ds.txt", "d");
            p.write("docker/ds/ds2.txt", "s\n");
        }),
        ("a build argument that ds declares", "ds job", |p| {
            p.edit("sparkpack.toml", "hello", "good day")
        }),
        ("a file of a side image", "side", |p| {
            p.edit("docker/side/side.txt", "side", "other")
        }),
        ("a side image's parent", "side", |p| {
            p.edit(
                "sparkpack.toml",
                "[images.side]\nparent = \"base\"",
                "[images.side]\nparent = \"ds\"",
            );
            p.edit("docker/side/Dockerfile", "FROM base", "FROM ds");
        }),
        ("the root image's digest", "base ds job side", |p| {
            p.edit("sparkpack.lock", "sha256:0", "sha256:1")
        }),
        ("the platform", "base ds job side", |p| {
            p.edit(
                "sparkpack.toml",
                "project = \"small\"",
                "project = \"small\"\nplatforms = [\"linux/arm64\"]",
            )
        }),
        ("a second platform", "base ds job side", |p| {
            p.edit(
                "sparkpack.toml",
                "project = \"small\"",
                "project = \"small\"\nplatforms = [\"linux/amd64\", \"linux/arm64\"]",
            );
        }),
        ("a rebuild that was asked for", "ds job", |p| {
            let lock = p.read("sparkpack.lock");
            p.write(
                "sparkpack.lock",
                &format!("{lock}\n[revisions.ds]\nnumber = 1\nreason = \"CVE\"\n"),
            );
        }),
    ];
    for (what, wanted, change) in changes {
        assert_eq!(moved(change), wanted, "{what}");
    }
}

#[test]
fn nothing_else_moves_a_tag() {
    type Change = (&'static str, fn(&TestProject));
    let changes: [Change; 15] = [
        ("touch", |p| touch(p, "src/jobs/one.py", 1_000_000)),
        ("a time before 1980", |p| touch(p, "src/main.py", 1)),
        ("chmod g+w", |p| mode(p, "src/jobs/one.py", 0o664)),
        ("chmod o-r", |p| mode(p, "docker/base/base.txt", 0o600)),
        ("a file that no COPY matches", |p| {
            p.edit("docker/base/unused.txt", "matches", "wants")
        }),
        ("a build argument that nothing declares", |p| {
            p.edit(
                "sparkpack.toml",
                "build-args.GREETING",
                "build-args.OTHER = \"x\"\nbuild-args.GREETING",
            )
        }),
        ("caches", |p| {
            p.write("src/jobs/__pycache__/one.cpython-311.pyc", "x")
        }),
        ("version control", |p| p.write("src/.git/config", "x")),
        ("tests", |p| p.write("src/tests/test_one.py", "x")),
        ("an editor's litter", |p| {
            p.write("src/jobs/.one.py.swp", "x")
        }),
        ("libs that a Makefile left", |p| {
            p.write("src/libs/six.py", "x")
        }),
        ("a manifest", |p| {
            p.edit("kubernetes/nightly.yml", "unbuilt", "0123456789abcdef")
        }),
        ("what is in dist", |p| p.write("dist/jobs.zip", "x")),
        ("a comment in the configuration", |p| {
            p.edit("sparkpack.toml", "format = 1", "# why\nformat = 1")
        }),
        ("CRLF in a Dockerfile", |p| {
            let text = p.read("docker/ds/Dockerfile");
            p.write("docker/ds/Dockerfile", &text.replace('\n', "\r\n"));
        }),
    ];
    for (what, change) in changes {
        assert_eq!(moved(change), "", "{what}");
    }
}

#[test]
fn the_registry_moves_the_reference_but_not_the_tag() {
    let project = project();
    let before = tags(&project);
    project.edit(
        "sparkpack.toml",
        "registry.example/small",
        "other.example:5000/team",
    );
    assert_eq!(tags(&project), before);
    assert!(
        project
            .succeed(&["tags"])
            .stdout
            .contains("other.example:5000/team/job:")
    );
}

#[test]
fn empty_folders_and_symlinks_count_as_documented() {
    let project = project();
    let before = tags(&project);
    fs_err::create_dir_all(project.root().join("src/jobs/empty")).unwrap();
    assert_eq!(tags(&project), before, "git has no empty folders");
    symlink("ds.txt", project.root().join("docker/ds/link.txt")).unwrap();
    let linked = tags(&project);
    assert_ne!(linked["ds"], before["ds"]);
    fs_err::remove_file(project.root().join("docker/ds/link.txt")).unwrap();
    project.write("docker/ds/other.txt", "ds\n");
    symlink("other.txt", project.root().join("docker/ds/link.txt")).unwrap();
    let other_target = tags(&project);
    assert_ne!(other_target["ds"], linked["ds"]);
}

/// The same checkout, by another user, elsewhere, in another time zone and locale, with another umask, without a home.
#[test]
fn another_checkout_on_another_machine_has_the_same_tags() {
    let project = project();
    let wanted = project.succeed(&["tags"]).stdout;
    let folder = tempfile::Builder::new()
        .prefix("with spaces and ü ")
        .tempdir()
        .unwrap();
    let copy = folder.path().join("a/b c/checkout");
    project.check_out(&copy);
    program(
        "chmod",
        &["-R", "u+rwX,g=,o=", folder.path().to_str().unwrap()],
    );
    for (zone, locale) in [
        ("Pacific/Kiritimati", "C"),
        ("America/St_Johns", "tr_TR.UTF-8"),
    ] {
        let mut command = project.command(&["tags"]);
        command
            .current_dir(&copy)
            .env("TZ", zone)
            .env("LANG", locale)
            .env("LC_ALL", locale)
            .env_remove("HOME");
        assert_eq!(run(&mut command).stdout, wanted);
    }
    program(
        "chown",
        &["-R", "65534:65534", folder.path().to_str().unwrap()],
    );
    let binary = folder.path().join("sparkpack");
    fs_err::copy(env!("CARGO_BIN_EXE_sparkpack"), &binary).unwrap();
    let quoted = [
        binary.to_str().unwrap(),
        "-C",
        copy.to_str().unwrap(),
        "tags",
    ];
    let as_nobody = [
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "env",
        "-i",
    ];
    let printed = program(
        "setpriv",
        &as_nobody.iter().chain(&quoted).collect::<Vec<_>>(),
    );
    assert_eq!(printed, wanted, "as nobody, with an empty environment");
}

#[test]
fn a_plan_needs_no_network_and_no_daemon() {
    let project = project().with_variable("DOCKER_HOST", "unix:///nonexistent/docker.sock");
    let wanted = tags(&project);
    let binary = env!("CARGO_BIN_EXE_sparkpack");
    let printed = program(
        "unshare",
        &[
            "--net",
            binary,
            "-C",
            project.root().to_str().unwrap(),
            "tags",
        ],
    );
    assert_eq!(parse(&printed), wanted);
}

/// Changing Spark, Python, Java or the ds pins of the built-in recipes moves what depends on them.
#[test]
fn the_chain_of_built_in_recipes_moves_from_where_it_changed() {
    let files = [
        (
            "sparkpack.toml",
            "format = 1\nproject = \"chain\"\nregistries.main = \"registry.example/chain\"\n\n[chains.main]\nspark = \"4.1.4\"\npython = \"3.11\"\n\n[chains.main.operator]\nsource = \"operator\"\n\n[sources.operator]\npath = \"operator\"\n\n[images.job]\nsrc = \"src\"\n\n[images.ds]\nrequirements = \"ds.txt\"\n",
        ),
        ("src/main.py", ""),
        ("operator", "#!/bin/sh\n"),
        ("ds.txt", "six==1.16.0\n"),
        ("wheels.sh", ""),
    ];
    let zeros = "0".repeat(64);
    let locked = |spark: &[&str]| {
        let sources = spark.iter().map(|spark| {
            format!("\n[sources.\"pyspark=={spark}\"]\nsha256 = \"sha256:{zeros}\"\n")
        });
        format!(
            "format = 1\n\n[images.\"debian:bookworm-slim\"]\ndigest = \"sha256:{zeros}\"\n{}",
            sources.collect::<String>()
        )
    };
    let fresh = || {
        let project = TestProject::new(&files);
        project.write("sparkpack.lock", &locked(&["4.1.4", "3.5.9"]));
        lock_requirements(&project, "ds.txt", "4.1.4", &[(SIX_16, &zeros)]);
        project
    };
    let before = tags(&fresh());
    assert_eq!(
        before.keys().collect::<Vec<_>>(),
        ["base", "ds", "job", "operator", "py"]
    );
    let moved = |change: &dyn Fn(&TestProject)| {
        let project = fresh();
        change(&project);
        let after = tags(&project);
        before
            .keys()
            .filter(|name| after[*name] != before[*name])
            .cloned()
            .collect::<BTreeSet<_>>()
    };
    let all: BTreeSet<String> = before.keys().cloned().collect();
    let set = |names: &[&str]| {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<BTreeSet<_>>()
    };
    let other_spark = |p: &TestProject| {
        p.edit("sparkpack.toml", "4.1.4", "3.5.9");
        lock_requirements(p, "ds.txt", "3.5.9", &[(SIX_16, &zeros)]);
    };
    assert_eq!(moved(&other_spark), all);
    assert_eq!(
        moved(&|p| p.edit(
            "sparkpack.toml",
            "python = \"3.11\"",
            "python = \"3.11\"\njava = \"21\""
        )),
        all
    );
    assert_eq!(
        moved(&|p| p.edit("operator", "sh", "bash")),
        set(&["operator"])
    );
    assert_eq!(
        moved(&|p| p.edit("src/main.py", "", "x = 1\n")),
        set(&["job"])
    );
    let other_wheel = |p: &TestProject| {
        p.write("ds.txt", "six==1.17.0\n");
        lock_requirements(p, "ds.txt", "4.1.4", &[(SIX_17, &zeros)]);
    };
    assert_eq!(moved(&other_wheel), set(&["ds", "job"]));
    let comment = |p: &TestProject| p.write("ds.txt", "# pinned\r\nsix==1.16.0\r\n");
    assert_eq!(moved(&comment), set(&[]));
}

fn mode(project: &TestProject, path: &str, mode: u32) {
    fs_err::set_permissions(
        project.root().join(path),
        std::fs::Permissions::from_mode(mode),
    )
    .unwrap();
}

fn touch(project: &TestProject, path: &str, seconds: u64) {
    let file = std::fs::File::options()
        .write(true)
        .open(project.root().join(path))
        .unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
        .unwrap();
}
