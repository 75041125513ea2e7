//! Images that only the daemon of this machine has, in a project for several platforms.

use serde_json::Value;

use super::{built::without_daemon, for_both};
use crate::{
    added_files::{layers, manifest},
    support::{Chain, Index, StandIn, docker, program, remove_images},
};

/// An image for both platforms, and for each a job on an image that is in the daemon and in no registry.
struct OnlyInDaemon {
    chain: Chain,
    _index: Index,
    images: [String; 2],
}

const JOBS: [&str; 2] = ["job", "other"];
const ARCHITECTURES: [&str; 2] = ["amd64", "arm64"];

impl OnlyInDaemon {
    fn new(name: &str) -> Self {
        let index = Index::new();
        let chain = for_both(name, &index);
        let images = ARCHITECTURES.map(|of| format!("sparkpack-test/{name}-{of}:local"));
        StandIn::new().build(&images[0]);
        StandIn::for_arm64().build(&images[1]);
        let project = &chain.project;
        let on = |at: usize| {
            let (image, of) = (&images[at], ARCHITECTURES[at]);
            format!("parent = \"{image}\"\nplatforms = [\"linux/{of}\"]\nsrc = \"src\"\n")
        };
        project.edit(
            "sparkpack.toml",
            "parent = \"small\"\nsrc = \"src\"\nrequirements = \"requirements.txt\"\n",
            &format!("{}\n[images.other]\n{}", on(0), on(1)),
        );
        project.succeed(&["lock"]);
        let lock = project.read("sparkpack.lock");
        assert_eq!(lock.matches("local_id").count(), 2, "{lock}");
        Self {
            chain,
            _index: index,
            images,
        }
    }

    /// The diff IDs of an image in the daemon.
    fn lower(&self, at: usize) -> Vec<Value> {
        let layers = ["inspect", "--format", "{{json .RootFS.Layers}}"];
        let lower = docker(&[&layers[..], &[&self.images[at]]].concat());
        serde_json::from_str(&lower).unwrap()
    }
}

impl Drop for OnlyInDaemon {
    fn drop(&mut self) {
        for image in &self.images {
            remove_images(image);
        }
    }
}

/// The config of an image that skopeo finds.
fn config(from: &str, architecture: &str) -> Value {
    let credentials = Chain::credentials();
    let mut inspect = vec!["inspect", "--config", "--override-arch", architecture];
    if from.starts_with("docker:") {
        inspect.extend(["--tls-verify=false", "--creds", &credentials]);
    }
    serde_json::from_str(&program("skopeo", &[&inspect[..], &[from]].concat())).unwrap()
}

#[test]
fn what_stands_on_them_has_their_layers_wherever_it_goes() {
    let only = OnlyInDaemon::new("platforms-only");
    let project = &only.chain.project;
    let has_own = |from: &dyn Fn(&str) -> String| {
        for (at, job) in JOBS.into_iter().enumerate() {
            let architecture = ARCHITECTURES[at];
            let config = config(&from(&project.reference(job)), architecture);
            assert_eq!(config["architecture"], architecture);
            let lower = only.lower(at);
            let layers = config["rootfs"]["diff_ids"].as_array().unwrap();
            assert!(layers.starts_with(&lower), "{job}");
            assert!(layers.len() > lower.len(), "{job}");
        }
    };
    let pushed = project.succeed(&["push"]);
    let exports = pushed.stderr.matches("taking it out of the daemon").count();
    assert_eq!(exports, 2, "{}", pushed.stderr);
    has_own(&|reference| format!("docker://{reference}"));
    let small = manifest(&project.reference("small"));
    assert_eq!(small["manifests"].as_array().map(Vec::len), Some(2));
    // The cache has the layers for the layout, and what neither has is made: nothing else needs a daemon.
    project.edit("src/jobs/one.py", "1", "2");
    let built = without_daemon(project, &["build", "--output", "oci:images"]);
    assert_eq!(built.code, 0, "{}", built.stderr);
    let layout = project.root().join("images");
    has_own(&|reference| format!("oci:{}:{reference}", layout.display()));
    let changed = without_daemon(project, &["push"]);
    assert_eq!(changed.code, 0, "{}", changed.stderr);
    for (at, job) in JOBS.into_iter().enumerate() {
        let layers = layers(&manifest(&project.reference(job)));
        assert!(layers.len() > only.lower(at).len(), "{job}");
    }
}

#[test]
fn a_machine_without_them_is_told_of_all_before_anything_is_made() {
    let only = OnlyInDaemon::new("platforms-nowhere");
    let project = &only.chain.project;
    let planned = without_daemon(project, &["plan", "--remote"]).stdout;
    let alone = "what it stands on is in a Docker daemon alone, and none answers";
    assert_eq!(planned.matches(alone).count(), 2, "{planned}");
    let builder = "its Dockerfile needs a Docker daemon, and none answers";
    assert_eq!(planned.matches(builder).count(), 1, "{planned}");
    for arguments in [
        &["build", "job", "other", "--output", "oci:images"][..],
        &["push", "job", "other"],
    ] {
        let run = without_daemon(project, arguments);
        assert_eq!(run.code, 6, "{}", run.stderr);
        for image in &only.images {
            let error = format!("error[E606]: `{image}`: the lock wants the image ID ");
            assert_eq!(run.stderr.matches(&error).count(), 1, "{}", run.stderr);
        }
        assert!(!project.root().join("images").exists());
        let requests = only.chain.registry().requests();
        let mut sent = requests
            .iter()
            .filter(|request| !request.starts_with("GET ") && !request.starts_with("HEAD "));
        assert_eq!(sent.next(), None, "{}", run.stderr);
    }
}
