//! Why an image differs: every class of change, down to the root cause, wherever the record is found.

use std::os::unix::fs::{PermissionsExt, symlink};

use sparkpack::{
    image::Digest,
    plan::{Input, Record},
};

use crate::support::{Chain, PASSWORD, Run, TestProject, USER, docker, program, run, small};

/// A chain with a script, a link and a source.
fn with_all_inputs(chain: Chain) -> Chain {
    let project = &chain.project;
    project.edit(
        "sparkpack.toml",
        "[images.job]",
        "[sources.tool]\npath = \"vendor\"\n\n[images.job]",
    );
    project.write("vendor/tool.txt", "tool\n");
    let dockerfile =
        "FROM base\nCOPY docker/side/side.txt /opt/\nCOPY --from=source:tool tool.txt /opt/\n";
    project.write("docker/side/Dockerfile", dockerfile);
    project.write("docker/ds/run.txt", "#!/bin/sh\n");
    project.write("docker/ds/two.txt", "two\n");
    symlink("ds.txt", project.root().join("docker/ds/link.txt")).unwrap();
    chain
}

impl Chain {
    /// The project on another machine: the committed files, without images and caches.
    fn elsewhere(&self) -> TestProject {
        let other = TestProject::new(&[]);
        self.project.check_out(&other.root());
        other.sign_in(&self.host, USER, PASSWORD);
        self.forget_images();
        other
    }
}

/// A run without a daemon or anything that answers in its place.
fn offline(project: &TestProject, arguments: &[&str]) -> Run {
    let mut command = project.command(arguments);
    run(command.env("DOCKER_HOST", "unix:///nonexistent/docker.sock"))
}

/// Replaces what differs between machines by names: the root image's ID is in every fingerprint.
fn filtered(text: &str, check: impl FnOnce(&str)) {
    insta::with_settings!({filters => vec![
        (r"\b[0-9a-f]{64}\b", "FINGERPRINT"),
        (r"\b[0-9a-f]{16}\b", "TAG"),
        (r"sha256:[0-9a-f]{12}\b", "sha256:DIGEST"),
        (r"127\.0\.0\.1:\d+", "REGISTRY"),
    ]}, { check(text) });
}

/// The record of an image that a build has stored.
fn kept(project: &TestProject, image: &str) -> Record {
    let tag = project.reference(image);
    let tag = tag.rsplit_once(':').unwrap().1;
    let folder = fs_err::read_dir(project.root().join("dist/records")).unwrap();
    let mut files = folder.map(|entry| entry.unwrap().path());
    let file = files
        .find(|file| file.file_name().unwrap().to_str().unwrap().starts_with(tag))
        .unwrap();
    Record::parse(&fs_err::read(file).unwrap()).unwrap()
}

#[test]
fn every_class_of_change_is_told_down_to_the_root_cause() {
    let chain = with_all_inputs(Chain::new("why-classes"));
    let project = &chain.project;
    project.succeed(&["build"]);
    let nothing = project.succeed(&["why", "job"]);
    assert_eq!(
        nothing.stdout,
        "job: nothing changed: the manifests name the tag of this checkout\n"
    );
    let root = project.root();
    let path = |path: &str| root.join(path);
    let original = project.files();
    let mut all = Vec::new();
    let mut told = |title: &str, image: &str, edit: &dyn Fn()| {
        edit();
        // The old images may have been removed, but their records are stored here.
        let run = offline(project, &["why", image]);
        assert_eq!(run.code, 0, "{title}\n{}", run.stderr);
        all.push(format!("# {title}\n{}", run.stdout));
        for folder in ["docker", "src", "vendor"] {
            fs_err::remove_dir_all(path(folder)).unwrap();
        }
        for (file, bytes) in &original {
            fs_err::create_dir_all(path(file).parent().unwrap()).unwrap();
            fs_err::write(path(file), bytes).unwrap();
        }
        symlink("ds.txt", path("docker/ds/link.txt")).unwrap();
        let run = offline(project, &["why", image]);
        assert!(
            run.stdout.contains("nothing changed"),
            "{title}\n{}",
            run.stdout
        );
    };

    told("a file changed", "job", &|| {
        project.edit("docker/base/base.txt", "base", "new");
    });
    told("a file added", "job", &|| {
        project.write("docker/ds/new.txt", "new\n")
    });
    told("a file removed", "job", &|| {
        fs_err::remove_file(path("docker/ds/two.txt")).unwrap();
    });
    told("a file that can be executed", "job", &|| {
        let mode = std::fs::Permissions::from_mode(0o755);
        fs_err::set_permissions(path("docker/ds/run.txt"), mode).unwrap();
    });
    told("a file renamed", "job", &|| {
        fs_err::rename(path("docker/ds/two.txt"), path("docker/ds/Two.txt")).unwrap();
    });
    told("a link to another file", "job", &|| {
        fs_err::remove_file(path("docker/ds/link.txt")).unwrap();
        symlink("two.txt", path("docker/ds/link.txt")).unwrap();
    });
    told("a file instead of a link", "job", &|| {
        fs_err::remove_file(path("docker/ds/link.txt")).unwrap();
        project.write("docker/ds/link.txt", "a file\n");
    });
    told("a file that no COPY matches", "job", &|| {
        project.write("docker/base/unused.txt", "other\n");
    });
    told("the code", "job", &|| {
        project.edit("src/main.py", "main", "other");
        project.edit("src/jobs/one.py", "1", "2");
        project.write("src/jobs/two.py", "");
    });
    told("a comment in a Dockerfile", "job", &|| {
        project.edit("docker/base/Dockerfile", "ARG ROOT", "# the root\nARG ROOT");
    });
    told("a build argument", "job", &|| {
        project.edit("sparkpack.toml", "\"hello\"", "\"good day\"");
    });
    told("a revision", "job", &|| {
        let lock = project.read("sparkpack.lock");
        let revision = "\n[revisions.base]\nnumber = 1\nreason = \"CVE-2026-1234 in zlib\"\n";
        project.write("sparkpack.lock", &(lock + revision));
    });
    told("an external image", "job", &|| {
        let lock = project.read("sparkpack.lock");
        let at = lock.find("local_id = \"sha256:").unwrap() + "local_id = \"sha256:".len();
        let lock = format!("{}{}{}", &lock[..at], "0".repeat(64), &lock[at + 64..]);
        project.write("sparkpack.lock", &lock);
    });
    told("a source", "side", &|| {
        project.write("vendor/tool.txt", "newer\n")
    });
    told("another parent", "side", &|| {
        project.edit("docker/side/Dockerfile", "FROM base", "FROM ds");
        let (base, ds) = (
            "[images.side]\nparent = \"base\"",
            "[images.side]\nparent = \"ds\"",
        );
        project.edit("sparkpack.toml", base, ds);
    });
    told("several, the most telling first", "job", &|| {
        project.edit("src/jobs/one.py", "1", "2");
        project.edit(
            "docker/ds/Dockerfile",
            "ARG GREETING",
            "ARG GREETING\nARG MORE",
        );
        project.edit(
            "sparkpack.toml",
            "\"hello\"",
            "\"hello\"\nbuild-args.MORE = \"1\"",
        );
        project.write("docker/ds/two.txt", "2\n");
        project.edit("docker/base/base.txt", "base", "new");
    });
    filtered(&all.join("\n"), |text| insta::assert_snapshot!(text));
}

/// If two stages share a parent, its reasons are printed once.
#[test]
fn a_parent_on_two_ways_is_told_once() {
    let chain = with_all_inputs(Chain::new("why-diamond"));
    let project = &chain.project;
    project.edit(
        "sparkpack.toml",
        "parent = \"ds\"",
        "parent = \"ds\"\nbuild-args.X = \"1\"",
    );
    let dockerfile =
        project.read("docker/job/Dockerfile") + "COPY --from=side /opt/side.txt /opt/\n";
    project.write("docker/job/Dockerfile", &dockerfile);
    project.succeed(&["build"]);
    project.edit("docker/base/base.txt", "base", "new");
    let run = offline(project, &["why", "job"]);
    filtered(&run.stdout, |text| insta::assert_snapshot!(text));
}

/// Stores a record where builds do, and returns the tag of its image.
fn plant(project: &TestProject, record: &Record) -> String {
    let fingerprint = record.fingerprint();
    let file = format!("dist/records/{}", fingerprint.hex());
    fs_err::write(project.root().join(file), record.bytes()).unwrap();
    fingerprint.short(16).to_owned()
}

#[test]
fn wheels_are_told_by_their_packages() {
    let chain = with_all_inputs(Chain::new("why-wheels"));
    let project = &chain.project;
    project.succeed(&["build"]);
    // As if the job had been built with these wheels.
    let with = |wheels: &[(&str, &str)]| {
        let mut record = kept(project, "job");
        for (file_name, bytes) in wheels {
            record.add(&Input::Wheel {
                file_name: (*file_name).to_owned(),
                sha256: Digest::of(bytes.as_bytes()),
            });
        }
        plant(project, &record)
    };
    let old = with(&[
        ("six-1.16.0-py2.py3-none-any.whl", "six"),
        ("Gone-1.0-py3-none-any.whl", "gone"),
        ("same-2.0-py3-none-any.whl", "same"),
        ("rebuilt-3.0-py3-none-any.whl", "rebuilt"),
    ]);
    let new = with(&[
        ("six-1.17.0-py2.py3-none-any.whl", "six 1.17"),
        (
            "same-2.0-cp311-cp311-manylinux_2_17_x86_64.whl",
            "same for linux",
        ),
        ("rebuilt-3.0-py3-none-any.whl", "rebuilt again"),
        ("new-4.0-py3-none-any.whl", "new"),
    ]);
    let told = offline(project, &["diff", &old, &new]);
    let lost = offline(project, &["why", "job", "--against", &new]);
    filtered(&(told.stdout + &lost.stdout), |text| {
        insta::assert_snapshot!(text)
    });
}

/// Another machine, with an empty cache and no image, gets the record from the registry.
#[test]
fn a_tag_that_another_machine_pushed_is_explained() {
    let chain = with_all_inputs(Chain::with_registry("why-pushed"));
    chain.project.succeed(&["push"]);
    let other = chain.elsewhere();
    other.edit("docker/base/base.txt", "base", "new");
    other.edit("src/jobs/one.py", "1", "2");
    let told = other.succeed(&["why", "job"]);
    filtered(&told.stdout, |text| insta::assert_snapshot!(text));
    assert!(
        told.stderr.contains("by the record in the registry"),
        "{}",
        told.stderr
    );
    // It works without a daemon, and for a stage that no manifest names.
    let again = offline(&other, &["why", "job"]);
    assert_eq!(
        (again.code, &again.stdout),
        (0, &told.stdout),
        "{}",
        again.stderr
    );
    let base = offline(&other, &["why", "base"]);
    assert!(
        base.stdout
            .contains("\n  file docker/base/base.txt changed\n"),
        "{}{}",
        base.stdout,
        base.stderr
    );
    assert!(!other.root().join("dist").exists(), "nothing was written");
}

/// Images built here are explained from `dist` if they were removed, and from the daemon without a registry.
#[test]
fn dist_answers_first_then_the_daemon() {
    let chain = with_all_inputs(Chain::with_registry("why-local"));
    let project = &chain.project;
    project.succeed(&["build"]);
    project.edit("docker/base/base.txt", "base", "new");
    let by_dist = offline(project, &["why", "job"]);
    assert!(
        by_dist
            .stderr
            .contains("by the record in dist or the cache"),
        "{}",
        by_dist.stderr
    );

    // A damaged record is not used.
    for entry in fs_err::read_dir(project.root().join("dist/records")).unwrap() {
        let mut bytes = fs_err::read(entry.as_ref().unwrap().path()).unwrap();
        let last = bytes.len() - 2;
        bytes[last] ^= 1;
        fs_err::write(entry.unwrap().path(), bytes).unwrap();
    }
    let by_daemon = project.succeed(&["why", "job"]);
    assert!(
        by_daemon
            .stderr
            .contains("by the record in the daemon's image"),
        "{}",
        by_daemon.stderr
    );
    assert_eq!(by_daemon.stdout, by_dist.stdout);

    // A parent without a record is reported plainly, and the other parts are explained.
    project.edit("src/jobs/one.py", "1", "2");
    let listed = docker(&["images", "--format", "{{.Repository}}:{{.Tag}}"]);
    let beginning = format!("{}/small/base:", chain.host);
    let base = listed.lines().find(|name| name.starts_with(&beginning));
    docker(&["rmi", "--no-prune", base.unwrap()]);
    let partly = project.succeed(&["why", "job"]);
    filtered(&partly.stdout, |text| insta::assert_snapshot!(text));
}

#[test]
fn what_cannot_be_compared_is_told_with_what_to_do() {
    let chain = with_all_inputs(Chain::with_registry("why-nothing"));
    let project = &chain.project;
    let mut all = Vec::new();
    let mut fails = |title: &str, arguments: &[&str]| {
        all.push(format!("# {title}\n{}", project.failure(arguments)));
    };
    fs_err::write(
        project.root().join("sparkpack.lock"),
        small::lock(&chain.root.name),
    )
    .unwrap();
    fails("never built", &["why", "job"]);
    fs_err::remove_file(project.root().join("sparkpack.lock")).unwrap();
    project.succeed(&["push"]);
    fails(
        "a tag that is gone",
        &["why", "job", "--against", "0123456789abcdef"],
    );
    fails("no tag", &["why", "job", "--against", "a:b"]);
    fails(
        "no reference",
        &["why", "job", "--against-image", "http://a/b"],
    );
    fails("no image of the project", &["why", "jbo"]);
    fails(
        "a tag of no image",
        &["diff", "0123456789abcdef", "0123456789abcdef"],
    );

    // Images built with docker, from `scratch` and on one of sparkpack's.
    let folder = tempfile::tempdir().unwrap();
    let by_hand = |from: &str, labels: &str, tag: &str| {
        fs_err::write(folder.path().join("f"), "f").unwrap();
        let dockerfile = format!("FROM {from}\nCOPY f /\n{labels}");
        fs_err::write(folder.path().join("Dockerfile"), dockerfile).unwrap();
        let name = format!("{}/small/job:{tag}", chain.host);
        docker(&[
            "build",
            "--quiet",
            "--no-cache",
            "--tag",
            &name,
            folder.path().to_str().unwrap(),
        ]);
    };
    by_hand("scratch", "", "by-hand");
    fails("by hand", &["why", "job", "--against", "by-hand"]);
    by_hand(&project.reference("ds"), "", "on-ours");
    fails("by hand on ours", &["why", "job", "--against", "on-ours"]);

    // Labels that contradict each other: the job's fingerprint with another record.
    let job = kept(project, "job").fingerprint();
    let ds = kept(project, "ds").label().unwrap();
    let labels = format!(
        "LABEL dev.sparkpack.fingerprint={} dev.sparkpack.record={ds}\n",
        job.hex()
    );
    by_hand("scratch", &labels, "lies");
    fails(
        "a record of something else",
        &["why", "job", "--against", "lies"],
    );

    // Neither the registry nor the daemon can be reached.
    let mut command = project.command(&["why", "job", "--against", "v0"]);
    fs_err::remove_dir_all(project.home().join(".docker")).unwrap();
    let nobody = run(command.env("DOCKER_HOST", "unix:///nonexistent/docker.sock"));
    all.push(format!(
        "# nobody can be asked\nexit {}\n{}",
        nobody.code, nobody.stderr
    ));
    filtered(&all.join("\n"), |text| insta::assert_snapshot!(text));
}

/// A record that is too large for a label is stored beside the image. Any machine finds it there, even if the image was
/// deleted.
#[test]
fn a_large_record_travels_as_an_artifact() {
    let chain = with_all_inputs(Chain::with_registry("why-large"));
    for number in 0..1500 {
        let text = format!("{number}\n");
        chain
            .project
            .write(&format!("docker/ds/many-{number}.txt"), &text);
    }
    chain.project.succeed(&["push"]);
    let reference = chain.project.reference("ds");
    let credentials = ["--tls-verify=false", "--creds", &Chain::credentials()].map(str::to_owned);
    let skopeo = |verb: &[&str], reference: &str| {
        let mut arguments: Vec<String> = verb.iter().map(|word| (*word).to_owned()).collect();
        arguments.extend(credentials.clone());
        arguments.push(format!("docker://{reference}"));
        program("skopeo", &arguments)
    };
    let beside = format!("{reference}.record");
    let raw = |reference: &str| -> serde_json::Value {
        serde_json::from_str(&skopeo(&["inspect", "--raw"], reference)).unwrap()
    };
    let manifest = raw(&beside);
    assert_eq!(
        manifest["artifactType"],
        "application/vnd.sparkpack.record.v1"
    );
    let fingerprint = kept(&chain.project, "ds").fingerprint();
    assert_eq!(manifest["layers"][0]["digest"], fingerprint.as_str());
    let image = skopeo(&["inspect", "--raw"], &reference);
    assert_eq!(
        manifest["subject"]["digest"],
        Digest::of(image.as_bytes()).as_str()
    );
    assert_eq!(
        skopeo(&["inspect", "--config"], &reference)
            .matches(fingerprint.as_str())
            .count(),
        1,
        "the image says where its record is"
    );

    let other = chain.elsewhere();
    other.edit("docker/ds/many-7.txt", "7", "seven");
    let told = offline(&other, &["why", "job"]);
    filtered(&told.stdout, |text| insta::assert_snapshot!(text));
    assert_eq!(told.code, 0, "{}", told.stderr);

    // A push that finds the image restores a deleted record.
    skopeo(&["delete"], &beside);
    let again = chain.project.succeed(&["push"]);
    assert!(again.stderr.contains("nothing to do"), "{}", again.stderr);
    assert_eq!(raw(&beside)["layers"], manifest["layers"]);

    // The record survives the deletion of the image.
    skopeo(&["delete"], &reference);
    let gone = offline(&other, &["why", "job"]);
    assert_eq!(gone.stdout, told.stdout);
}

#[test]
fn two_images_are_compared_however_they_are_named() {
    let chain = with_all_inputs(Chain::with_registry("why-diff"));
    let project = &chain.project;
    project.succeed(&["push"]);
    let (old, old_side) = (chain.tag("job"), chain.tag("side"));
    project.edit("docker/base/base.txt", "base", "new");
    project.edit("src/jobs/one.py", "1", "2");
    project.succeed(&["push"]);
    let (new, reference) = (chain.tag("job"), project.reference("job"));
    let other = chain.elsewhere();

    let plain = offline(&other, &["diff", &old, &new]);
    assert_eq!(plain.code, 0, "{}", plain.stderr);
    filtered(&plain.stdout, |text| insta::assert_snapshot!(text));
    assert!(
        plain
            .stdout
            .starts_with(&format!("job changed ({old} -> {new}), because\n"))
    );
    let named = offline(&other, &["diff", &format!("job:{old}"), &reference]);
    assert_eq!(named.stdout, plain.stdout);
    let digest = Digest::of(
        program(
            "skopeo",
            &[
                "inspect",
                "--raw",
                "--tls-verify=false",
                "--creds",
                &Chain::credentials(),
                &format!("docker://{reference}"),
            ],
        )
        .as_bytes(),
    );
    let pinned = format!("{}/small/job@{digest}", chain.host);
    let by_digest = offline(&other, &["diff", &old, &pinned]);
    assert_eq!(by_digest.stdout, plain.stdout, "{}", by_digest.stderr);

    let back = offline(&other, &["diff", &new, &old]).stdout;
    assert_eq!(back.lines().count(), plain.stdout.lines().count());
    let same = offline(&other, &["diff", &old, &old]).stdout;
    assert_eq!(
        same,
        "job: nothing differs: both were made from the same inputs\n"
    );
    let unlike = offline(&other, &["diff", &old_side, &new]).stdout;
    assert!(
        unlike.starts_with(&format!(
            "side {old_side} -> job {new}, because\n  image name side -> job\n"
        )),
        "{unlike}"
    );
    // The same for a checkout, whose own tag nobody needs to have.
    let why = offline(&other, &["why", "job", "--against", &old]);
    assert_eq!(why.stdout, plain.stdout);
    let reference = format!("{}/small/job:{old}", chain.host);
    let why = offline(&other, &["why", "job", "--against-image", &reference]);
    assert_eq!(why.stdout, plain.stdout);
}

#[test]
fn the_record_itself_is_shown_to_who_asks_for_more() {
    let chain = with_all_inputs(Chain::new("why-verbose"));
    let project = &chain.project;
    project.succeed(&["build"]);
    let shown = offline(project, &["why", "side", "-v"]);
    filtered(&shown.stdout, |text| insta::assert_snapshot!(text));
    project.edit("docker/side/side.txt", "side", "new");
    let both = offline(project, &["why", "side", "-v"]).stdout;
    assert_eq!(both.matches("\nrecord ").count(), 2, "{both}");
}

#[test]
fn manifests_that_name_several_are_compared_by_the_first() {
    let chain = with_all_inputs(Chain::new("why-several"));
    let project = &chain.project;
    project.succeed(&["build"]);
    let job = project.reference("job");
    let other = format!("{}f", &job[..job.len() - 1]);
    let other = if other == job {
        format!("{}0", &job[..job.len() - 1])
    } else {
        other
    };
    let manifest = project.read("kubernetes/nightly.yml");
    let manifest = manifest.replace(&format!("'{job}'"), &format!("'{other}'"));
    project.write("kubernetes/nightly.yml", &manifest);
    let run = offline(project, &["why", "job"]);
    let wanted = format!(
        "job: the manifests name 2 images: {job} (kubernetes/nightly.yml:6:17), {other} (kubernetes/nightly.yml:8:14); the first is taken\n"
    );
    assert!(run.stderr.contains(&wanted), "{}", run.stderr);
    assert!(run.stdout.contains("nothing changed"), "{}", run.stdout);
}

/// `dist/records` keeps the records of the last runs, writes nothing twice, and does not grow without limit.
#[test]
fn records_are_kept_once_and_not_for_ever() {
    let chain = with_all_inputs(Chain::new("why-kept"));
    let project = &chain.project;
    let folder = project.root().join("dist/records");
    fs_err::create_dir_all(&folder).unwrap();
    for number in 0..250 {
        let name = Digest::of(format!("{number}").as_bytes());
        fs_err::write(folder.join(name.hex()), "").unwrap();
    }
    fs_err::write(folder.join("notes.txt"), "not a record").unwrap();
    project.succeed(&["build"]);
    let listed = || {
        let entries = fs_err::read_dir(&folder).unwrap().map(Result::unwrap);
        let mut files: Vec<_> = entries
            .map(|entry| (entry.path(), entry.metadata().unwrap().modified().unwrap()))
            .collect();
        files.sort();
        files
    };
    let first = listed();
    assert_eq!(first.len(), 201, "200 records and what is none");
    for image in ["base", "ds", "side", "job"] {
        assert_eq!(
            kept(project, image).fingerprint().short(16),
            chain.tag(image)
        );
    }
    assert!(project.root().join("dist/.gitignore").exists());
    project.succeed(&["build"]);
    assert_eq!(listed(), first, "nothing is written twice");
}
