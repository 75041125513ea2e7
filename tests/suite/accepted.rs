//! What was pushed is taken by the programs of others: copied, unpacked, pulled and run.

use std::{fmt::Write as _, os::unix::fs::MetadataExt, path::Path};

use serde_json::Value;

use crate::{
    added_files::{layers, manifest},
    support::{Chain, PodmanService, copy_image, docker_at, program, run},
};

/// A job, pushed.
fn pushed(name: &str) -> (Chain, String) {
    let chain = Chain::with_shell(name).with_job_of_files();
    chain.project.succeed(&["push"]);
    let job = chain.project.reference("job");
    (chain, job)
}

/// The files below `opt` of an unpacked image, with their modes and owners, and the bytes of those of the job.
fn files(root: &Path) -> String {
    let mut told = String::new();
    for entry in walkdir::WalkDir::new(root.join("opt")).sort_by_file_name() {
        let entry = entry.unwrap();
        let path = entry.path().strip_prefix(root).unwrap().display();
        let facts = entry.metadata().unwrap();
        let (mode, user, group) = (facts.mode(), facts.uid(), facts.gid());
        writeln!(told, "{mode:o} {user}:{group} {path}").unwrap();
    }
    told
}

/// The same of an image in the daemon.
fn files_in_daemon(reference: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let script = r#"
set -eu
container=$(docker create "$1" none)
docker export "$container" | tar -x --numeric-owner -p -C "$2"
docker rm "$container" >/dev/null
"#;
    let path = folder.path().to_str().unwrap();
    program("sh", &["-c", script, "sh", reference, path]);
    files(folder.path())
}

#[test]
fn skopeo_copies_and_umoci_unpacks_what_was_pushed() {
    let (chain, job) = pushed("accepted-skopeo");
    let folder = tempfile::tempdir().unwrap();
    let layout = folder.path().join("layout");
    let source = format!("docker://{job}");
    // Twice: as it is, and as a layout of OCI, for which skopeo checks every digest and rewrites the manifest.
    for (flags, target) in [
        (
            &["--preserve-digests"][..],
            format!("dir:{}", folder.path().join("dir").display()),
        ),
        (&[], format!("oci:{}:job", layout.display())),
    ] {
        let copy = ["copy", "--src-tls-verify=false", "--src-creds"];
        let credentials = Chain::credentials();
        let places = [&*credentials, &source, &target];
        program("skopeo", &[&copy[..1], flags, &copy[1..], &places].concat());
    }
    let copied: Value =
        serde_json::from_slice(&fs_err::read(folder.path().join("dir/manifest.json")).unwrap())
            .unwrap();
    assert_eq!(copied, manifest(&job));

    chain.project.succeed(&["build"]);
    let there = files_in_daemon(&job);
    assert!(there.contains("100644 0:0 opt/job/main.py\n"), "{there}");
    let image = format!("{}:job", layout.display());
    for flags in [&[][..], &["--rootless"]] {
        let bundle = tempfile::tempdir_in(folder.path()).unwrap();
        let bundle = bundle.path().join("bundle");
        let unpack = ["unpack", "--image", &image, bundle.to_str().unwrap()];
        program("umoci", &[&unpack[..1], flags, &unpack[1..]].concat());
        assert_eq!(files(&bundle.join("rootfs")), there, "{flags:?}");
        let main = fs_err::read_to_string(bundle.join("rootfs/opt/job/main.py")).unwrap();
        assert!(!main.is_empty());
        let config = fs_err::read_to_string(bundle.join("config.json")).unwrap();
        let config: Value = serde_json::from_str(&config).unwrap();
        let env = config["process"]["env"].as_array().unwrap().iter();
        let path = "PYTHONPATH=/opt/job/site-packages:/opt/job/libs.zip:/opt/job/jobs.zip";
        let mut env = env.map(|one| one.as_str().unwrap());
        assert!(env.any(|one| one.starts_with(path)), "{config}");
        assert_eq!(config["process"]["cwd"], "/opt/spark/work-dir");
    }
}

#[test]
fn podman_pulls_and_runs_what_was_pushed() {
    let (_chain, job) = pushed("accepted-podman");
    let script = r#"
set -eu
store=$1 credentials=$2 reference=$3
podman() { command podman --root "$store/root" --runroot "$store/run" "$@"; }
podman pull --quiet --tls-verify=false --creds "$credentials" "$reference" >/dev/null
podman image inspect --format '{{.Digest}} {{.RootFS.Layers}}' "$reference"
podman run --rm --network=none --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 --entrypoint /bin/sh "$reference" \
    -c 'id -u; pwd; cat /opt/job/main.py; ls /opt/job'
"#;
    let folder = tempfile::tempdir().unwrap();
    let credentials = Chain::credentials();
    // What it mounts is gone with its namespace.
    let arguments = ["--mount", "sh", "-c", script, "sh"];
    let store = folder.path().to_str().unwrap();
    let told = program(
        "unshare",
        &[&arguments[..], &[store, &credentials, &job]].concat(),
    );
    let manifest = manifest(&job);
    let lines: Vec<&str> = told.lines().collect();
    assert!(lines[0].starts_with("sha256:"), "{told}");
    let layers = layers(&manifest).len();
    assert_eq!(lines[0].matches("sha256:").count(), 1 + layers, "{told}");
    assert_eq!(&lines[1..3], ["185", "/opt/spark/work-dir"], "{told}");
    assert!(told.ends_with("\njobs.zip\nlibs.zip\nmain.py\n"), "{told}");
}

/// Podman loads no image in parts, so that it is the one that gets all layers.
#[test]
fn podman_gets_a_job_image_with_all_layers() {
    let chain = Chain::with_shell("accepted-whole").with_job_of_files();
    let podman = PodmanService::start();
    copy_image(&chain.root.name, &podman.host());
    let there = |arguments: &[&str]| docker_at(&podman.host(), arguments);
    let mut command = chain.project.command(&["build", "job"]);
    let built = run(command.env("DOCKER_HOST", podman.host()));
    assert_eq!(built.code, 0, "{}", built.stderr);
    let loads = built
        .stderr
        .matches("job: loading it into the daemon")
        .count();
    assert_eq!(loads, 2, "in parts, then whole: {}", built.stderr);
    let job = chain.project.reference("job");
    let all: Value = serde_json::from_str(&there(&["inspect", &job])).unwrap();
    let layers = |image: &Value| image["RootFS"]["Layers"].as_array().unwrap().clone();
    let ds = chain.project.reference("ds");
    let parent: Value = serde_json::from_str(&there(&["inspect", &ds])).unwrap();
    assert!(layers(&all[0]).starts_with(&layers(&parent[0])));
    assert!(layers(&all[0]).len() > layers(&parent[0]).len());
    assert_eq!(all[0]["Config"]["User"], "185");
    let mut command = chain.project.command(&["build", "job"]);
    let again = run(command.env("DOCKER_HOST", podman.host()));
    assert!(again.stderr.contains("nothing to do"), "{}", again.stderr);
}
