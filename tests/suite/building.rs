//! A chain of kilobyte layers through a real daemon, with both builders.

use std::collections::BTreeMap;

use crate::support::{Chain, Root, TestProject, docker, image_id, make_other_bytes, run};

impl Chain {
    /// The image IDs that the daemon has under this checkout's references, by image.
    fn ids(&self) -> BTreeMap<String, Option<String>> {
        let references = self.project.succeed(&["tags"]).stdout;
        references
            .lines()
            .map(|reference| (reference.to_owned(), image_id(reference)))
            .collect()
    }
}

/// The images that were built, according to the lines on stderr.
fn built(stderr: &str) -> Vec<&str> {
    let mut names: Vec<&str> = stderr
        .lines()
        .filter(|line| line.contains(": built "))
        .map(|line| line.split(':').next().unwrap())
        .collect();
    names.sort_unstable();
    names
}

#[test]
fn what_is_missing_is_built_and_what_is_there_is_told_why() {
    let chain = Chain::new("build-missing");
    let first = chain.project.succeed(&["build"]);
    assert_eq!(built(&first.stderr), ["base", "ds", "job", "side"]);
    assert_eq!(first.stdout, chain.project.succeed(&["tags"]).stdout);

    let second = chain.project.succeed(&["build"]);
    assert!(
        second
            .stderr
            .contains("nothing to do: all 4 images and the manifests are current"),
        "{}",
        second.stderr
    );
    for image in ["base", "ds", "job", "side"] {
        let why = format!(
            "{image}: current: {} is there, with the fingerprint of this checkout",
            chain.project.reference(image)
        );
        assert!(second.stderr.contains(&why), "{}", second.stderr);
    }
    assert_eq!(second.stdout, first.stdout);

    docker(&["rmi", &chain.project.reference("side")]);
    let third = chain.project.succeed(&["build"]);
    assert_eq!(built(&third.stderr), ["side"]);
    assert!(
        third.stderr.contains("since the daemon does not have it"),
        "{}",
        third.stderr
    );
}

#[test]
fn a_changed_line_makes_a_new_job_image_and_touches_no_other() {
    let chain = Chain::new("build-line");
    chain.project.succeed(&["build"]);
    let before = chain.ids();
    chain.project.edit("src/jobs/one.py", "1", "2");
    let run = chain.project.succeed(&["build"]);
    assert_eq!(built(&run.stderr), ["job"]);
    let after = chain.ids();
    let kept = before
        .iter()
        .filter(|(reference, id)| after.get(*reference) == Some(id))
        .count();
    assert_eq!(kept, 3, "{before:?}\n{after:?}");
}

#[test]
fn the_image_is_what_the_record_says_and_nothing_else() {
    let chain = Chain::new("build-content");
    chain.project.write("docker/ds/notes.md", "not copied");
    chain.project.succeed(&["build"]);
    let job = chain.project.reference("job");
    let container = docker(&["create", &job, "true"]).trim().to_owned();
    let folder = tempfile::tempdir().unwrap();
    docker(&[
        "export",
        "--output",
        folder.path().join("job.tar").to_str().unwrap(),
        &container,
    ]);
    docker(&["rm", &container]);
    let listed = crate::support::program(
        "tar",
        &[
            "-tvf",
            folder.path().join("job.tar").to_str().unwrap(),
            "--numeric-owner",
        ],
    );
    for wanted in [
        "opt/base.txt",
        "opt/ds/ds.txt",
        "opt/job/jobs.zip",
        "opt/job/main.py",
        "root.txt",
    ] {
        let line = listed
            .lines()
            .find(|line| line.ends_with(wanted))
            .unwrap_or_else(|| panic!("{wanted}\n{listed}"));
        assert!(
            wanted == "root.txt" || line.starts_with("-rw-r--r-- 0/0"),
            "{line}"
        );
    }
    assert!(
        !listed.contains("notes.md") && !listed.contains("sparkpack"),
        "{listed}"
    );
    let labels = docker(&["inspect", "--format", "{{json .Config.Labels}}", &job]);
    let (_, tag) = job.rsplit_once(':').unwrap();
    assert!(
        labels.contains(&format!("\"dev.sparkpack.fingerprint\":\"{tag}")),
        "{labels}"
    );
    assert!(
        labels.contains("\"dev.sparkpack.stage\":\"job\"")
            && labels.contains("\"dev.sparkpack.format\":\"1\""),
        "{labels}"
    );
    let environment = docker(&["inspect", "--format", "{{json .Config.Env}}", &job]);
    assert!(environment.contains("GREETING=hello"), "{environment}");
}

#[test]
fn the_manifests_differ_in_tags_and_nothing_else() {
    let chain = Chain::new("build-manifests");
    let before = chain.project.read("kubernetes/nightly.yml");
    chain.project.succeed(&["build"]);
    let after = chain.project.read("kubernetes/nightly.yml");
    let tag = |image: &str| {
        chain
            .project
            .reference(image)
            .rsplit_once(':')
            .unwrap()
            .1
            .to_owned()
    };
    let wanted = before
        .replace("/small/job:unbuilt", &format!("/small/job:{}", tag("job")))
        .replace(
            "/small/side:unbuilt",
            &format!("/small/side:{}", tag("side")),
        );
    assert_eq!(
        after, wanted,
        "byte by byte: comments, quotes, anchors, CRLF, other images"
    );
    assert_ne!(after, before);
}

#[test]
fn both_builders_make_the_same_layers_from_the_same_record() {
    let diff_ids =
        |reference: &str| docker(&["inspect", "--format", "{{json .RootFS.Layers}}", reference]);
    let buildkit = Chain::new("build-both");
    buildkit.project.succeed(&["build"]);
    let reference = buildkit.project.reference("job");
    let with_buildkit = diff_ids(&reference);
    docker(&["rmi", "--force", &reference]);
    let mut classic = buildkit.project.command(&["build", "job"]);
    let run = crate::support::run(classic.env("DOCKER_BUILDKIT", "0"));
    assert_eq!(run.code, 0, "{}", run.stderr);
    let with_classic = diff_ids(&reference);
    assert_eq!(
        with_buildkit.matches("sha256:").count(),
        with_classic.matches("sha256:").count()
    );
    assert_eq!(
        buildkit
            .project
            .succeed(&["build"])
            .stderr
            .matches(": current: ")
            .count(),
        4
    );
}

#[test]
fn an_image_with_the_tag_but_another_origin_is_built_again() {
    let chain = Chain::new("build-foreign");
    chain.project.succeed(&["build"]);
    let side = chain.project.reference("side");
    docker(&["tag", &chain.root.name, &side]);
    let run = chain.project.succeed(&["build"]);
    assert_eq!(built(&run.stderr), ["side"]);
    assert!(
        run.stderr.contains("was not made by sparkpack"),
        "{}",
        run.stderr
    );
}

#[test]
fn images_are_chosen_by_name_and_bring_what_they_stand_on() {
    let chain = Chain::new("build-some");
    let run = chain.project.succeed(&["build", "ds"]);
    assert_eq!(built(&run.stderr), ["base", "ds"]);
    let again = chain.project.succeed(&["build", "job"]);
    assert_eq!(built(&again.stderr), ["job"]);
}

#[test]
fn a_failure_stops_only_what_stands_on_it() {
    let chain = Chain::new("build-failure");
    chain.project.edit(
        "docker/ds/Dockerfile",
        "ENV",
        "COPY --chown=nobody-such docker/ds/ds.txt /x\nENV",
    );
    let run = chain.project.run(&["build"]);
    assert_eq!(run.code, 6, "{}", run.stderr);
    assert_eq!(built(&run.stderr), ["base", "side"]);
    assert!(
        run.stderr
            .contains("job: skipped, since an image that it stands on failed"),
        "{}",
        run.stderr
    );
    assert!(
        run.stderr.contains(
            "docker/ds/Dockerfile:4:1: building `ds` failed at `COPY --chown=nobody-such docker/ds/ds.txt /x`"
        ),
        "{}",
        run.stderr
    );
}

#[test]
fn an_image_that_stands_on_other_layers_than_its_parent_is_built_again() {
    let chain = Chain::new("build-moved");
    chain.project.succeed(&["build"]);
    let base = chain.project.reference("base");
    make_other_bytes(&base, &chain.fingerprint("base"));
    chain.forget_made();
    let run = chain.project.succeed(&["build"]);
    assert_eq!(
        built(&run.stderr),
        ["ds", "job", "side"],
        "all that stands on base\n{}",
        run.stderr
    );
    assert!(
        run.stderr.contains("it does not stand on"),
        "{}",
        run.stderr
    );
}

#[test]
fn images_json_tells_what_was_made() {
    let chain = Chain::new("build-report");
    chain.project.succeed(&["build"]);
    let document: serde_json::Value =
        serde_json::from_str(&chain.project.read("dist/images.json")).unwrap();
    assert_eq!(document["version"], 2);
    let images = document["images"].as_array().unwrap();
    let job = images.iter().find(|image| image["name"] == "job").unwrap();
    assert_eq!(job["reference"], chain.project.reference("job"));
    assert_eq!(
        job["id"],
        image_id(&chain.project.reference("job")).unwrap()
    );
    assert_eq!(
        (&job["parent"], &job["action"]),
        (&"ds".into(), &"built".into())
    );
    assert_eq!(images.len(), 4);
}

#[test]
fn a_second_checkout_finds_everything_built() {
    let chain = Chain::new("build-twice");
    chain.project.succeed(&["build"]);
    let folder = tempfile::Builder::new()
        .prefix("other ü ")
        .tempdir()
        .unwrap();
    let copy = folder.path().join("checkout");
    crate::support::program(
        "cp",
        &[
            "-R",
            chain.project.root().to_str().unwrap(),
            copy.to_str().unwrap(),
        ],
    );
    crate::support::program("chmod", &["-R", "g+w", copy.to_str().unwrap()]);
    let mut command = chain.project.command(&["build"]);
    let run = crate::support::run(command.current_dir(&copy).env("TZ", "Asia/Kathmandu"));
    assert_eq!(
        (run.code, built(&run.stderr).len()),
        (0, 0),
        "{}",
        run.stderr
    );
}

/// In a shared repository, image `a` must not take tags `a-b-…` for its own.
#[test]
fn a_shared_repository_tells_images_apart_by_their_whole_tag() {
    let chain = Chain::new("build-shared");
    let configuration = chain.project.read("sparkpack.toml");
    let reference = "project = \"small\"\nreference = \"{registry}/spark:{image}-{fingerprint}\"";
    let configuration = configuration.replace("project = \"small\"", reference);
    chain.project.write("sparkpack.toml", &configuration);
    let host = &chain.host;
    let others = [
        "job-b-63b85971aa439878",
        "job-v2-legacy",
        "jobs-63b85971aa439878",
    ];
    let manifest = |job: &str| {
        let images = others.map(|tag| format!("{host}/small/spark:{tag}"));
        let all = [format!("{host}/small/spark:{job}")]
            .into_iter()
            .chain(images);
        let containers: Vec<String> = all.map(|image| format!("  - image: {image}\n")).collect();
        format!(
            "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n{}",
            containers.concat()
        )
    };
    chain
        .project
        .write("kubernetes/nightly.yml", &manifest("job-unbuilt"));
    chain.project.succeed(&["build"]);
    let references = chain.project.succeed(&["tags"]).stdout;
    let job = references
        .lines()
        .find(|line| line.contains("spark:job-"))
        .unwrap();
    let (_, tag) = job.rsplit_once(':').unwrap();
    assert_eq!(chain.project.read("kubernetes/nightly.yml"), manifest(tag));
}

/// A manifest that is a symbolic link, in a context that is copied whole: rewriting it must not change the tag that it
/// names.
#[test]
fn rewritten_manifests_never_move_a_tag() {
    let chain = Chain::new("build-linked");
    chain
        .project
        .edit("docker/side/Dockerfile", "docker/side/side.txt", ".");
    chain.project.write(
        "deploy/linked.yml",
        &chain.project.read("kubernetes/nightly.yml"),
    );
    let link = chain.project.root().join("kubernetes/linked.yml");
    std::os::unix::fs::symlink("../deploy/linked.yml", link).unwrap();
    let first = chain.project.succeed(&["build"]).stdout;
    assert!(
        chain
            .project
            .read("deploy/linked.yml")
            .contains(&chain.project.reference("side"))
    );
    chain
        .project
        .write(".sparkpack-abc", "left by a run that was killed");
    assert_eq!(chain.project.succeed(&["build"]).stdout, first);
}

#[test]
fn what_is_wrong_in_a_manifest_is_told_before_anything_is_built() {
    let chain = Chain::new("build-broken");
    chain.project.write("kubernetes/broken.yml", "a: [\n");
    let failure = chain.project.failure(&["build"]);
    assert!(
        failure.starts_with("exit 2\nerror[E060]: kubernetes/broken.yml:"),
        "{failure}"
    );
    assert_eq!(image_id(&format!("{}/small/base", chain.host)), None);
}

#[test]
fn images_that_no_manifest_rewrites_are_told() {
    let chain = Chain::new("build-told");
    let text = chain.project.read("kubernetes/nightly.yml");
    let host = &chain.host;
    let left = format!(
        "---\nkind: List\nitems: [{{image: \"{host}/small/side:old\"}}] # {host}/small/side:fine\n"
    );
    chain
        .project
        .write("kubernetes/nightly.yml", &format!("{text}{left}"));
    let line = text.matches('\n').count() + 3;
    let told = chain.project.succeed(&["build"]).stderr;
    let wanted = format!(
        "warning[W105]: kubernetes/nightly.yml:{line}:18: `{host}/small/side:old` is not current"
    );
    assert!(told.contains(&wanted), "{told}");
    chain
        .project
        .write("kubernetes/nightly.yml", &text.replace("/small/", "/smal/"));
    let told = chain.project.succeed(&["build"]).stderr;
    assert!(
        told.contains("warning[W104]: kubernetes/nightly.yml:1:1: no manifest names an image"),
        "{told}"
    );
}

#[test]
fn a_copy_that_matches_nothing_is_told_with_the_reason() {
    let chain = Chain::new("build-copy");
    chain.project.write("dist/wheel.whl", "");
    fs_err::create_dir_all(chain.project.root().join("empty")).unwrap();
    let reasons = ["no-such", "dist/wheel.whl", "empty"].map(|source| {
        let dockerfile = format!("FROM base\nCOPY {source} /opt/\n");
        chain.project.write("docker/side/Dockerfile", &dockerfile);
        let failure = chain.project.failure(&["build", "side"]);
        failure[failure.find("error[").unwrap()..].to_owned()
    });
    insta::assert_snapshot!(reasons.join("\n"));
}

/// Optional files: both builders take what is there. If no source matches, both would fail or copy nothing, so it is
/// refused.
#[test]
fn a_wildcard_beside_a_file_may_match_nothing() {
    let chain = Chain::new("build-optional");
    chain.project.write("requirements.txt", "");
    let dockerfile = "FROM base\nCOPY requirements.txt constraints.txt* /x/\nCOPY [\"none?\", \"requirements.*\", \"/y/\"]\n";
    chain.project.write("docker/side/Dockerfile", dockerfile);
    for buildkit in ["1", "0"] {
        chain.forget_images();
        let mut command = chain.project.command(&["build", "side"]);
        let run = crate::support::run(command.env("DOCKER_BUILDKIT", buildkit));
        assert_eq!(run.code, 0, "{}", run.stderr);
    }
    let dockerfile = "FROM base\nCOPY constraints.txt* other* /x/\n";
    chain.project.write("docker/side/Dockerfile", dockerfile);
    let failure = chain.project.failure(&["build", "side"]);
    assert!(
        failure.contains(":2:1: `constraints.txt*` matches nothing"),
        "{failure}"
    );
}

/// The children of an image with `ONBUILD` copy files that their own Dockerfiles do not name.
#[test]
fn triggers_of_a_parent_find_their_files() {
    let chain = Chain::new("build-trigger");
    let text = chain.project.read("docker/base/Dockerfile");
    chain.project.write(
        "docker/base/Dockerfile",
        &format!("{text}ONBUILD COPY docker /all\nONBUILD COPY *.of-children /all\n"),
    );
    // The parent's own build does not need what only its children copy.
    chain.project.succeed(&["build", "base"]);
    chain.project.write("a.of-children", "");
    chain.project.succeed(&["build", "side"]);
    let container = docker(&["create", &chain.project.reference("side"), "true"]);
    let copied = tempfile::tempdir().unwrap();
    let from = format!("{}:/all/ds/ds.txt", container.trim());
    docker(&["cp", &from, copied.path().to_str().unwrap()]);
    docker(&["rm", container.trim()]);
    assert_eq!(
        fs_err::read_to_string(copied.path().join("ds.txt")).unwrap(),
        "ds\n"
    );
}

/// What variables of a parent, arguments and triggers choose is the same for both builders, and is what the tag says.
#[test]
fn what_is_chosen_by_variables_is_the_same_for_both_builders() {
    let chain = Chain::new("build-chosen");
    let project = &chain.project;
    let extend = |file: &str, line: &str| {
        let text = project.read(file);
        project.write(file, &format!("{text}{line}\n"));
    };
    extend("docker/base/Dockerfile", "ENV VARIANT=b");
    extend("docker/ds/Dockerfile", "ONBUILD COPY docker/side /three");
    for name in ["a", "b", "common"] {
        project.write(&format!("docker/side/{name}.conf"), name);
    }
    let dockerfile = "ARG STAGE=one\nFROM base AS one\n\
        COPY docker/side/common.conf docker/side/${VARIANT:-a}*.conf /one/\n\
        FROM one AS two\nARG VARIANT=a\nCOPY docker/side/${VARIANT}.conf /two/\n\
        FROM ds AS triggered\nFROM ${STAGE}\nCOPY --from=triggered /three /three\n";
    project.write("docker/side/Dockerfile", dockerfile);
    project.succeed(&["lock"]);
    let one = chain.tag("side");
    let table = "[images.side]\n";
    project.edit(
        "sparkpack.toml",
        table,
        &format!("{table}build-args.STAGE = \"two\"\n"),
    );
    assert_ne!(chain.tag("side"), one);
    by_both_builders(&chain, "side", |run| {
        assert_eq!(run.code, 0, "{}", run.stderr);
        let container = docker(&["create", &project.reference("side"), "true"]);
        let script = "docker export \"$1\" | tar -t | grep -E '^(one|two|three)/.' | sort";
        let files = crate::support::program("sh", &["-c", script, "sh", container.trim()]);
        docker(&["rm", container.trim()]);
        let files: Vec<&str> = files.lines().collect();
        let wanted = [
            "one/b.conf",
            "one/common.conf",
            "three/Dockerfile",
            "three/a.conf",
            "three/b.conf",
            "three/common.conf",
            "three/side.txt",
            "two/a.conf",
        ];
        assert_eq!(files, wanted);
    });
}

/// `COPY . .` takes the project's files unchanged, and nothing else that sparkpack sends with the context.
#[test]
fn a_context_that_is_copied_whole_holds_nothing_else() {
    let chain = Chain::new("build-whole");
    chain
        .project
        .write("docker/side/Dockerfile", "FROM base\nCOPY . /all/\n");
    let listings = ["1", "0"].map(|buildkit| {
        chain.forget_images();
        let mut command = chain.project.command(&["build", "side"]);
        let run = crate::support::run(command.env("DOCKER_BUILDKIT", buildkit));
        assert_eq!(run.code, 0, "{}", run.stderr);
        let container = docker(&["create", &chain.project.reference("side"), "true"]);
        let folder = tempfile::tempdir().unwrap();
        let copied = format!("{}:/all", container.trim());
        docker(&["cp", &copied, folder.path().to_str().unwrap()]);
        docker(&["rm", container.trim()]);
        let script = "cd \"$1/all\" && find . -type f -exec sha256sum {} + | sort -k 2";
        crate::support::program("sh", &["-c", script, "sh", folder.path().to_str().unwrap()])
    });
    let inputs = "cd \"$1\" && find . -type f ! -path './dist/*' ! -path './kubernetes/*' ! -name 'sparkpack.*' -exec sha256sum {} + | sort -k 2";
    let root = chain.project.root();
    let wanted = crate::support::program("sh", &["-c", inputs, "sh", root.to_str().unwrap()]);
    assert_eq!(listings, [wanted.clone(), wanted]);
    chain.project.write(
        "docker/side/Dockerfile",
        "FROM base\nCOPY . /all/\nCOPY --chown=nobody-such docker /x\n",
    );
    for buildkit in ["1", "0"] {
        let mut command = chain.project.command(&["build", "side"]);
        let run = crate::support::run(command.env("DOCKER_BUILDKIT", buildkit));
        let wanted = "docker/side/Dockerfile:3:1: building `side` failed at `COPY --chown=nobody-such docker /x`";
        assert!(run.stderr.contains(wanted), "{}", run.stderr);
    }
}

/// The Dockerfile that is sent, with a registry's name in it, reaches no image: not where stages are copied from by
/// number, and not by a variable.
#[test]
fn the_dockerfile_that_is_sent_is_in_no_image() {
    let chain = Chain::new("build-sent");
    let project = &chain.project;
    let dockerfile = "FROM base\nCOPY docker/side/side.txt /opt/\nFROM base\nARG D=docker/side\nCOPY --from=0 /opt/side.txt /two/\nADD $D/side.txt /three/\nCOPY . /all/\nFROM base\nCOPY --from=1 / /copied/\n";
    project.write("docker/side/Dockerfile", dockerfile);
    for (target, prefix) in [("", "./copied"), ("target = \"1\"\n", ".")] {
        let parent = "[images.side]\nparent = \"base\"\n";
        project.edit("sparkpack.toml", parent, &format!("{parent}{target}"));
        by_both_builders(&chain, "side", |run| {
            assert_eq!(run.code, 0, "{}", run.stderr);
            let container = docker(&["create", &project.reference("side"), "true"]);
            let script = "docker export \"$1\" | tar -t";
            let list = crate::support::program("sh", &["-c", script, "sh", container.trim()]);
            docker(&["rm", container.trim()]);
            for file in ["two/side.txt", "three/side.txt", "all/docker/side/side.txt"] {
                let path = format!("{prefix}/{file}");
                let path = path.trim_start_matches("./");
                assert!(list.lines().any(|line| line == path), "{path}: {list}");
            }
            assert!(!list.contains(".sparkpack"), "{list}");
        });
    }
    project.edit("sparkpack.toml", "target = \"1\"\n", "");
    project.write(
        "docker/side/Dockerfile",
        "FROM base\nADD --exclude=*.md . /x\n",
    );
    let failure = project.failure(&["tags"]);
    assert!(
        failure.contains("error[E113]: docker/side/Dockerfile:2:1: "),
        "{failure}"
    );
    project.write("docker/side/Dockerfile", "FROM ds AS one\nFROM base\n");
    let text = project.read("docker/ds/Dockerfile");
    let trigger = format!("{text}ONBUILD COPY --chown=1 . /all\n");
    project.write("docker/ds/Dockerfile", &trigger);
    project.write("docker/job/Dockerfile", "FROM ds\n");
    let failure = project.failure(&["tags"]);
    assert!(
        failure.contains(
            "error[E113]: docker/job/Dockerfile:1:1: `ds` has `ONBUILD COPY --chown=1 . /all`"
        ),
        "{failure}"
    );
}

#[test]
fn what_git_tracks_and_a_built_in_rule_leaves_out_is_said() {
    let chain = Chain::new("build-left-out");
    chain.project.write("src/jobs/test_connection.py", "");
    chain.project.begin_git();
    for _ in 0..2 {
        let run = chain.project.succeed(&["build"]);
        let wanted = "left out of `job` by built-in rules: src/jobs/test_connection.py";
        assert!(run.stderr.contains(wanted), "{}", run.stderr);
    }
}

/// A project for arm64 on a root image for `platform` with these programs.
fn chain_on(name: &str, platform: &str, programs: Programs<'_>) -> Chain {
    let folder = tempfile::tempdir().unwrap();
    for (path, bytes) in programs {
        let file = folder.path().join(path);
        fs_err::create_dir_all(file.parent().unwrap()).unwrap();
        fs_err::write(file, bytes).unwrap();
    }
    let root = Root::for_platform(&format!("{name}-programs"), folder.path(), platform);
    let mut chain = Chain::new(name);
    let project = &chain.project;
    project.edit("sparkpack.toml", &chain.root.name, &root.name);
    let arm64 = "format = 1\nplatforms = [\"linux/arm64\"]";
    project.edit("sparkpack.toml", "format = 1", arm64);
    let id = image_id(&root.name).unwrap();
    let lock = format!(
        "format = 1\n\n[images.\"{}\"]\nlocal_id = \"{id}\"\n",
        root.name
    );
    project.write("sparkpack.lock", &lock);
    chain.root = root;
    chain
}

/// The beginning of a program for a machine.
fn program_for(machine: u8) -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0".to_vec();
    bytes.extend([machine, 0]);
    bytes.resize(900, 0);
    bytes
}

/// Builds an image by both builders, one after the other, from nothing.
fn by_both_builders(chain: &Chain, image: &str, check: impl Fn(&crate::support::Run)) {
    for buildkit in ["1", "0"] {
        chain.forget_images();
        let mut build = chain.project.command(&["build", image]);
        check(&crate::support::run(build.env("DOCKER_BUILDKIT", buildkit)));
    }
}

type Programs<'a> = &'a [(&'a str, &'a [u8])];

#[test]
fn an_image_is_built_only_on_a_root_that_really_is_of_its_platform() {
    let (amd64, arm64) = (program_for(62), program_for(183));
    let cases: [(&str, &str, Programs<'_>, Option<&str>); 6] = [
        ("true", "linux/arm64", &[("bin/sh", &arm64)], None),
        (
            "both",
            "linux/arm64",
            &[("bin/a", &amd64), ("bin/b", &arm64)],
            None,
        ),
        (
            "text",
            "linux/arm64",
            &[("bin/sh", b"#!/bin/other\n")],
            None,
        ),
        (
            "label",
            "linux/arm64",
            &[("bin/sh", &amd64)],
            Some("it says that it is for linux/arm64, but its `/bin/sh` is a program for amd64"),
        ),
        (
            "library",
            "linux/arm64",
            &[("usr/lib/libx.so.1", &amd64)],
            Some("its `/usr/lib/libx.so.1` is a program for amd64"),
        ),
        (
            "other",
            "linux/amd64",
            &[("bin/sh", &amd64)],
            Some("it is for linux/amd64, and an image for linux/arm64 is to stand on it"),
        ),
    ];
    for (name, platform, programs, refusal) in cases {
        let chain = chain_on(&format!("build-platform-{name}"), platform, programs);
        by_both_builders(&chain, "base", |run| {
            let Some(refusal) = refusal else {
                assert_eq!(run.code, 0, "{name}: {}", run.stderr);
                return;
            };
            assert_eq!(run.code, 6, "{name}: {}", run.stderr);
            assert!(run.stderr.contains(refusal), "{name}: {}", run.stderr);
            let pull = format!("docker pull --platform linux/arm64 {}", chain.root.name);
            assert!(run.stderr.contains(&pull), "{}", run.stderr);
            assert_eq!(built(&run.stderr), [""; 0]);
            assert!(chain.ids().values().all(Option::is_none), "{name}");
        });
    }
}

#[test]
fn an_image_that_holds_programs_of_another_platform_gets_no_tag() {
    let chain = chain_on("build-programs", "linux/arm64", &[]);
    let program = String::from_utf8(program_for(62)).unwrap();
    chain.project.write("docker/ds/tool.txt", &program);
    by_both_builders(&chain, "job", |run| {
        assert_eq!(run.code, 6, "{}", run.stderr);
        let wanted = "wanted programs for linux/arm64, found `/opt/ds/tool.txt` for amd64";
        assert!(run.stderr.contains(wanted), "{}", run.stderr);
        assert_eq!(built(&run.stderr), ["base"]);
        assert_eq!(image_id(&chain.project.reference("ds")), None);
        assert_eq!(image_id(&chain.project.reference("job")), None);
    });
    // The images that were looked into stand on the root.
    let of_root = format!("ancestor={}", chain.root.name);
    let left = docker(&["ps", "--all", "--quiet", "--filter", &of_root]);
    assert_eq!(left, "", "no container is left");
}

#[test]
fn a_root_with_another_python_is_refused_before_the_first_step() {
    let folder = tempfile::tempdir().unwrap();
    fs_err::create_dir(folder.path().join("etc")).unwrap();
    let os_release = "NAME=\"Ubuntu\"\nVERSION_ID=\"22.04\"\nID=ubuntu\nID_LIKE=debian\n";
    fs_err::write(folder.path().join("etc/os-release"), os_release).unwrap();
    let root = Root::for_platform("build-python", folder.path(), "linux/amd64");
    let name = &root.name;
    let toml = format!(
        "format = 1\nproject = \"small\"\nregistries.main = \"build-python.example/small\"\n\n[chains.main]\n\
         spark = \"4.1.4\"\npython = \"3.12\"\nroot = \"{name}\"\nspark-source = \"spark\"\n\n\
         [sources.spark]\npath = \"../spark\"\n\n[images.job]\nparent = \"py\"\nsrc = \"src\"\n"
    );
    let project = TestProject::new(&[
        ("sparkpack.toml", &toml),
        ("src/main.py", ""),
        ("../spark/jars/a.jar", ""),
    ]);
    let build = |buildkit: &str| {
        let mut command = project.command(&["build"]);
        run(command.env("DOCKER_BUILDKIT", buildkit))
    };
    for buildkit in ["1", "0"] {
        let refused = build(buildkit);
        assert_eq!(refused.code, 2, "{}", refused.stderr);
        let wanted = format!(
            "error[E039]: sparkpack.toml:7:10: `{name}` is Ubuntu 22.04 by its `os-release`, which has Python 3.10, not Python 3.12\n"
        );
        assert!(refused.stderr.contains(&wanted), "{}", refused.stderr);
        let hint = "hint: write `python = \"3.10\"`, with a `root` that has it, or give `py` a Dockerfile of its own";
        assert!(refused.stderr.contains(hint), "{}", refused.stderr);
        assert!(!refused.stderr.contains("base"), "{}", refused.stderr);
    }
    project.edit("sparkpack.toml", "3.12", "3.10");
    for buildkit in ["1", "0"] {
        let failed = build(buildkit);
        let is_at_the_step = failed.stderr.contains("building `base` failed");
        assert!(is_at_the_step, "it has no shell: {}", failed.stderr);
    }
}
