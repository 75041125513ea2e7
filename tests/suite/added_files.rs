//! Images that only get files: put together without a builder, and pushed without a daemon.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::{Chain, docker, program, remove_images, run};

/// A job without a Dockerfile.
fn of_files(name: &str) -> Chain {
    Chain::with_registry(name).with_job_of_files()
}

/// The files of an image, by their paths, each with its mode, its owner and the digest of its bytes.
fn tree(reference: &str) -> BTreeMap<String, String> {
    let script = r#"
set -eu
container=$(docker create "$1" none)
docker export --output "$2" "$container"
docker rm "$container" >/dev/null
python3 -c '
import hashlib, sys, tarfile
with tarfile.open(sys.argv[1]) as tar:
    for member in tar:
        content = hashlib.sha256(tar.extractfile(member).read()).hexdigest() if member.isfile() else member.type.decode()
        print(member.name, oct(member.mode), member.uid, member.gid, content, sep="\t")
' "$2"
"#;
    let folder = tempfile::tempdir().unwrap();
    let tar = folder.path().join("image.tar");
    let tar = tar.to_str().unwrap();
    let printed = program("sh", &["-c", script, "sh", reference, tar]);
    let lines = printed.lines().filter_map(|line| line.split_once('\t'));
    lines
        .filter(|(path, _)| path.starts_with("opt/"))
        .map(|(path, what)| (path.trim_end_matches('/').to_owned(), what.to_owned()))
        .collect()
}

/// What docker tells of an image.
fn inspected(reference: &str) -> Value {
    let all: Value = serde_json::from_str(&docker(&["inspect", reference])).unwrap();
    all[0].clone()
}

/// The manifest of an image in the registry.
pub(crate) fn manifest(reference: &str) -> Value {
    let credentials = Chain::credentials();
    let from = format!("docker://{reference}");
    let arguments = [
        "inspect",
        "--raw",
        "--tls-verify=false",
        "--creds",
        &credentials,
        &from,
    ];
    serde_json::from_str(&program("skopeo", &arguments)).unwrap()
}

pub(crate) fn layers(manifest: &Value) -> Vec<String> {
    let layers = manifest["layers"].as_array().unwrap().iter();
    layers
        .map(|layer| layer["digest"].as_str().unwrap().to_owned())
        .collect()
}

/// `dockerfiles/job/Dockerfile` is the written-out form of what is put together.
#[test]
fn it_is_what_its_dockerfile_would_make() {
    let chain = of_files("files-same");
    let project = &chain.project;
    let built = project.succeed(&["build"]);
    assert!(
        built.stderr.contains("job: loading it into the daemon"),
        "{}",
        built.stderr
    );
    let job = project.reference("job");
    let (made, info) = (tree(&job), inspected(&job));
    let dockerfile = include_str!("../../dockerfiles/job/Dockerfile");
    project.write("written.Dockerfile", dockerfile);
    project.edit(
        "sparkpack.toml",
        "parent = \"ds\"\nsrc",
        "parent = \"ds\"\ndockerfile = \"written.Dockerfile\"\nsrc",
    );
    for builder in ["0", "1"] {
        let mut command = project.command(&["build", "job"]);
        let built = run(command.env("DOCKER_BUILDKIT", builder));
        assert_eq!(built.code, 0, "{}", built.stderr);
        let written = project.reference("job");
        assert_ne!(written, job);
        let mut of_dockerfile = tree(&written);
        // A `COPY` of a folder makes the folder even if nothing is in it.
        of_dockerfile.remove("opt/job/site-packages");
        assert_eq!(made, of_dockerfile);
        let other = inspected(&written);
        for key in ["User", "WorkingDir", "Entrypoint", "Cmd", "ExposedPorts"] {
            assert_eq!(info["Config"][key], other["Config"][key], "{key}");
        }
        docker(&["rmi", &written]);
    }
    let env: Vec<&str> = info["Config"]["Env"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry.as_str().unwrap())
        .collect();
    assert!(env.contains(&"GREETING=hello"), "{env:?}");
    let paths = "PYTHONPATH=/opt/job/site-packages:/opt/job/libs.zip:/opt/job/jobs.zip:/opt/ds/site-packages:/opt/spark/python";
    assert!(env.contains(&paths), "{env:?}");
    assert_eq!(info["Config"]["Labels"]["dev.sparkpack.stage"], "job");
}

#[test]
fn a_changed_line_is_pushed_without_a_daemon_and_moves_one_layer() {
    let chain = of_files("files-push");
    let project = &chain.project;
    project.succeed(&["push"]);
    let before = manifest(&project.reference("job"));
    project.edit("src/jobs/one.py", "1", "2");
    let mut command = project.command(&["push", "job"]);
    let pushed = run(command.env("DOCKER_HOST", "unix:///nowhere/docker.sock"));
    assert_eq!(pushed.code, 0, "{}", pushed.stderr);
    let job = project.reference("job");
    let after = manifest(&job);
    let (old, new) = (layers(&before), layers(&after));
    assert_eq!(old.len(), new.len());
    assert_eq!(old[..old.len() - 1], new[..new.len() - 1]);
    assert_ne!(old.last(), new.last(), "the code");
    let parent = layers(&manifest(&project.reference("ds")));
    assert!(
        new.starts_with(&parent),
        "it stands on the registry's parent"
    );
    assert!(project.read("kubernetes/nightly.yml").contains(&job));

    // A daemon that never saw it takes it from the registry.
    chain.forget_images();
    chain.docker(&["pull", &job]);
    let there = tree(&job);
    for file in ["main.py", "jobs.zip", "libs.zip"] {
        assert!(there.contains_key(&format!("opt/job/{file}")), "{there:?}");
    }
    remove_images(&job);

    let again = run(project
        .command(&["push", "job"])
        .env("DOCKER_HOST", "unix:///nowhere/docker.sock"));
    assert!(again.stderr.contains("nothing to do"), "{}", again.stderr);
}

/// Another machine, with a cache of its own, makes the same bytes.
#[test]
fn the_same_files_are_the_same_image_on_the_same_parent() {
    let chain = of_files("files-bytes");
    let project = &chain.project;
    project.succeed(&["push"]);
    let before = manifest(&project.reference("job"));
    let cache = tempfile::tempdir().unwrap();
    project.edit("src/jobs/one.py", "1", "2");
    project.succeed(&["push", "job"]);
    project.edit("src/jobs/one.py", "2", "1");
    // Under another repository, so that nothing is there to be adopted.
    project.edit(
        "sparkpack.toml",
        "project = \"small\"\n",
        "project = \"small\"\nreference = \"{registry}/again/{image}:{fingerprint}\"\n",
    );
    let mut command = project.command(&["push"]);
    let pushed = run(command.env("SPARKPACK_CACHE", cache.path()));
    assert_eq!(pushed.code, 0, "{}", pushed.stderr);
    let after = manifest(&project.reference("job"));
    assert_eq!(
        layers(&before).last(),
        layers(&after).last(),
        "the code, from another cache"
    );
}

#[test]
fn a_damaged_layer_in_the_cache_is_made_again() {
    let chain = of_files("files-damage");
    let project = &chain.project;
    let cache = tempfile::tempdir().unwrap();
    let push = || {
        let mut command = project.command(&["push"]);
        run(command.env("SPARKPACK_CACHE", cache.path()))
    };
    assert_eq!(push().code, 0);
    let code = layers(&manifest(&project.reference("job"))).pop().unwrap();
    let file = cache
        .path()
        .join("blobs/sha256")
        .join(&code["sha256:".len()..]);
    let damage = || {
        let mut bytes = fs_err::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs_err::write(&file, bytes).unwrap();
    };
    damage();
    let mut command = project.command(&["build"]);
    let built = run(command.env("SPARKPACK_CACHE", cache.path()));
    assert_eq!(built.code, 0, "{}", built.stderr);
    assert!(built.stderr.contains("job: built "), "{}", built.stderr);
    damage();
    project.edit(
        "sparkpack.toml",
        "project = \"small\"\n",
        "project = \"small\"\nreference = \"{registry}/again/{image}:{fingerprint}\"\n",
    );
    let again = push();
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert_eq!(
        layers(&manifest(&project.reference("job"))).pop().unwrap(),
        code
    );
}

/// An image that somebody made on the job's has its labels, and is not the job's.
#[test]
fn an_image_with_inherited_labels_is_a_conflict() {
    let chain = of_files("files-inherited");
    let project = &chain.project;
    project.succeed(&["push"]);
    project.succeed(&["build"]);
    let job = project.reference("job");
    let container = docker(&["create", &job, "none"]);
    let container = container.trim();
    let file = project.home().join("more.txt");
    fs_err::write(&file, "more\n").unwrap();
    docker(&[
        "cp",
        file.to_str().unwrap(),
        &format!("{container}:/opt/more.txt"),
    ]);
    docker(&["commit", container, &job]);
    docker(&["rm", container]);
    chain.docker(&["push", &job]);
    let pushed = project.run(&["push", "job"]);
    assert_eq!(pushed.code, 3, "{}", pushed.stderr);
    assert!(
        pushed.stderr.contains("it was not made by sparkpack"),
        "{}",
        pushed.stderr
    );
    let built = project.succeed(&["build", "job"]);
    assert!(built.stderr.contains("job: built "), "{}", built.stderr);
}

#[test]
fn what_only_a_dockerfile_can_use_is_refused_at_an_image_without_one() {
    let chain = Chain::new("files-settings");
    let project = &chain.project;
    for (settings, key) in [
        ("build-args.X = \"1\"", "build-args"),
        ("target = \"final\"", "target"),
        ("ssh = true", "ssh"),
    ] {
        let configuration = project.read("sparkpack.toml");
        project.edit(
            "sparkpack.toml",
            "dockerfile = \"docker/job/Dockerfile\"\n",
            &format!("{settings}\n"),
        );
        let failure = project.failure(&["tags"]);
        let told = format!("`job` has `{key}`, and no Dockerfile that could use it");
        assert!(failure.contains(&told), "{failure}");
        assert!(
            failure.contains("error[E022]: sparkpack.toml:"),
            "{failure}"
        );
        project.write("sparkpack.toml", &configuration);
    }
}

#[test]
fn a_lock_with_a_recipe_that_is_no_more_names_the_way_out() {
    let chain = Chain::new("files-recipe");
    let project = &chain.project;
    let digest = "053a726d71e2b958821b92bee43551212abd3152a37c2deb425fd85577ab305d";
    let lock = format!("format = 1\n\n[recipes]\njob = \"sha256:{digest}\"\n");
    project.write("sparkpack.lock", &lock);
    let run = project.run(&["tags"]);
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert!(
        run.stderr.starts_with("error[E032]: sparkpack.lock:1:1: "),
        "{}",
        run.stderr
    );
    assert!(
        run.stderr.contains("`sparkpack lock --upgrade`"),
        "{}",
        run.stderr
    );
}
