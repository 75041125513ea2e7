//! Pushes to a real registry: parents first, adopted images, conflicts, a password.

use crate::support::{
    Chain, PASSWORD, Root, USER, docker, image_id, make_other_bytes, program, remove_images,
};

impl Chain {
    /// A second client's description of a reference in the registry.
    fn inspect(reference: &str) -> serde_json::Value {
        let credentials = Chain::credentials();
        let arguments = [
            "inspect",
            "--tls-verify=false",
            "--creds",
            &credentials,
            &format!("docker://{reference}"),
        ];
        serde_json::from_str(&program("skopeo", &arguments)).unwrap()
    }

    fn digest(&self, image: &str) -> String {
        Self::inspect(&self.project.reference(image))["Digest"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// The reference, after a first build has completed the lock.
    fn reference_after_lock(&self, image: &str) -> String {
        self.project.succeed(&["build", "base"]);
        self.project.reference(image)
    }

    /// The diff IDs in the registry's config of an image, as docker prints them.
    fn layers(&self, image: &str) -> String {
        let credentials = Chain::credentials();
        let reference = format!("docker://{}", self.project.reference(image));
        let arguments = [
            "inspect",
            "--config",
            "--tls-verify=false",
            "--creds",
            &credentials,
            &reference,
        ];
        let config: serde_json::Value =
            serde_json::from_str(&program("skopeo", &arguments)).unwrap();
        config["rootfs"]["diff_ids"].to_string()
    }
}

#[test]
fn everything_arrives_under_its_tag_and_a_second_push_has_nothing_to_do() {
    let chain = Chain::with_registry("push-all");
    let run = chain.project.succeed(&["push"]);
    for image in ["base", "ds", "side", "job"] {
        let reference = chain.project.reference(image);
        let digest = chain.digest(image);
        assert!(
            run.stdout
                .lines()
                .any(|line| line == format!("{reference}@{digest}")),
            "{}",
            run.stdout
        );
        let labels = &Chain::inspect(&reference)["Labels"];
        assert_eq!(labels["dev.sparkpack.stage"], image);
    }
    let order: Vec<usize> = ["base", "ds", "job"]
        .iter()
        .map(|image| run.stderr.find(&format!("{image}: pushed ")).unwrap())
        .collect();
    assert!(order.is_sorted(), "parents first\n{}", run.stderr);
    assert!(
        chain
            .project
            .read("kubernetes/nightly.yml")
            .contains(&chain.project.reference("job"))
    );

    chain.forget_images();
    let again = chain.project.succeed(&["push"]);
    assert!(
        again
            .stderr
            .contains("nothing to do: the registry has every image"),
        "{}",
        again.stderr
    );
    assert_eq!(again.stdout, run.stdout);
    assert_eq!(
        image_id(&chain.project.reference("job")),
        None,
        "nothing was built or pulled"
    );
}

#[test]
fn a_tag_with_another_fingerprint_is_a_conflict_and_stays() {
    let chain = Chain::with_registry("push-conflict");
    chain.project.succeed(&["push"]);
    let old = chain.project.reference("side");
    chain.project.edit("docker/side/side.txt", "side", "other");
    let new = chain.project.reference("side");
    let credentials = Chain::credentials();
    let from = format!("docker://{old}");
    let to = format!("docker://{new}");
    program(
        "skopeo",
        &[
            "copy",
            "--src-tls-verify=false",
            "--dest-tls-verify=false",
            "--src-creds",
            &credentials,
            "--dest-creds",
            &credentials,
            &from,
            &to,
        ],
    );
    let before = chain.digest("side");
    let manifest = chain.project.read("kubernetes/nightly.yml");
    let failure = chain.project.failure(&["push"]);
    assert!(failure.starts_with("exit 3\n"), "{failure}");
    assert!(
        failure.contains(&format!(
            "error[E301]: `{new}` is in the registry with another fingerprint"
        )),
        "{failure}"
    );
    assert_eq!(chain.digest("side"), before, "nothing was overwritten");
    assert_eq!(chain.project.read("kubernetes/nightly.yml"), manifest);
}

#[test]
fn a_tag_without_a_label_is_a_conflict() {
    let chain = Chain::with_registry("push-unlabelled");
    let reference = chain.reference_after_lock("side");
    let root = Root::new("push-unlabelled-foreign", "foreign");
    docker(&["tag", &root.name, &reference]);
    let credentials = Chain::credentials();
    program(
        "skopeo",
        &[
            "copy",
            "--dest-tls-verify=false",
            "--dest-creds",
            &credentials,
            &format!("docker-daemon:{reference}"),
            &format!("docker://{reference}"),
        ],
    );
    let failure = chain.project.failure(&["push"]);
    assert!(
        failure.starts_with("exit 3\n") && failure.contains("it was not made by sparkpack"),
        "{failure}"
    );
}

#[test]
fn the_same_fingerprint_with_other_bytes_is_adopted_and_children_stand_on_it() {
    let chain = Chain::with_registry("push-adopt");
    // Another machine builds and pushes the parents. Its layers differ from those of a later build here.
    chain.project.succeed(&["push", "base"]);
    let theirs = chain.digest("base");
    chain.forget_images();
    let (base, registry_layers) = (chain.project.reference("base"), chain.layers("base"));
    let labels = Chain::inspect(&base)["Labels"].clone();
    make_other_bytes(&base, labels["dev.sparkpack.fingerprint"].as_str().unwrap());
    chain.forget_made();
    let other_layers = docker(&["inspect", "--format", "{{json .RootFS.Layers}}", &base]);
    assert_ne!(
        other_layers.trim(),
        registry_layers,
        "the daemon's base must differ for this test to mean anything"
    );

    let run = chain.project.succeed(&["push"]);
    assert!(
        run.stderr
            .contains("base: pulling it, since the registry's has other layers")
            || run.stderr.contains("base: pulled"),
        "{}",
        run.stderr
    );
    assert_eq!(
        chain.digest("base"),
        theirs,
        "the tag still has their bytes"
    );
    assert!(
        chain
            .layers("job")
            .starts_with(registry_layers.trim_end_matches(']')),
        "job stands on the registry's base"
    );
}

#[test]
fn an_image_on_another_parent_than_the_registrys_keeps_its_tag_and_is_told() {
    let chain = Chain::with_registry("push-other-parent");
    let project = &chain.project;
    project.succeed(&["push"]);
    let [base, ds] = ["base", "ds"].map(|name| (chain.digest(name), project.reference(name)));
    // The tag of the parent is removed, and another machine makes the parent with other bytes.
    let fingerprint = chain.fingerprint("base");
    let manifest = format!("/v2/small/base/manifests/{}", base.0);
    assert_eq!(chain.registry().ask("DELETE", &manifest).status, 202);
    make_other_bytes(&base.1, &fingerprint);
    chain.forget_made();
    let run = project.succeed(&["push"]);
    assert_ne!(chain.digest("base"), base.0);
    assert_eq!(chain.digest("ds"), ds.0);
    let told = format!(
        "ds: {} stays on the image of `base` that it was made on",
        ds.1
    );
    assert!(run.stderr.contains(&told), "{}", run.stderr);
    // With its tag removed as told, it is made on the one that is there.
    for image in ["ds", "side", "job"] {
        let manifest = format!("/v2/small/{image}/manifests/{}", chain.digest(image));
        assert_eq!(chain.registry().ask("DELETE", &manifest).status, 202);
    }
    let run = project.succeed(&["push"]);
    assert!(!run.stderr.contains("stays on"), "{}", run.stderr);
    let below = chain.layers("base");
    let above = chain.layers("ds");
    assert!(above.starts_with(below.trim_end_matches(']')), "{above}");
}

/// Whoever writes `FROM ds` inherits the labels of that image, and may give its tag to what comes of it.
#[test]
fn what_was_built_on_an_image_and_has_its_tag_is_not_pushed_in_its_place() {
    let chain = Chain::with_registry("push-inherited");
    let project = &chain.project;
    let user = |image: &str| {
        let reference = format!("docker://{}", project.reference(image));
        let credentials = Chain::credentials();
        let sign_in = ["--tls-verify=false", "--creds", &credentials];
        let printed = program(
            "skopeo",
            &[&["inspect", "--config"][..], &sign_in, &[&reference]].concat(),
        );
        let config: serde_json::Value = serde_json::from_str(&printed).unwrap();
        config["config"]["User"].clone()
    };
    let overwrite = |image: &str, line: &str| {
        let reference = project.reference(image);
        let folder = tempfile::tempdir().unwrap();
        let dockerfile = format!("FROM {reference}\n{line}\n");
        fs_err::write(folder.path().join("Dockerfile"), dockerfile).unwrap();
        fs_err::write(folder.path().join("more.txt"), "more\n").unwrap();
        let folder = folder.path().to_str().unwrap();
        docker(&["build", "--quiet", "--tag", &reference, folder]);
    };
    project.succeed(&["build"]);
    let own = image_id(&project.reference("ds"));
    for line in ["USER nobody", "COPY more.txt /\nUSER nobody"] {
        overwrite("ds", line);
        assert_ne!(image_id(&project.reference("ds")), own);
        let plan = project.succeed(&["plan"]).stdout;
        let words = "what has its tag in the daemon was not made by sparkpack";
        assert!(plan.contains(words), "{plan}");
        overwrite("base", line);
        project.succeed(&["push", "ds"]);
        for image in ["base", "ds"] {
            assert!(user(image).is_null(), "{line}: {image}");
        }
        // The registry has the right parent, and the daemon has not.
        overwrite("ds", line);
        project.write("docker/job/job.txt", line);
        project.succeed(&["push", "job"]);
        assert!(user("job").is_null(), "{line}");
        project.write("docker/ds/ds.txt", line);
        project.succeed(&["build"]);
    }
}

#[test]
fn two_first_pushes_at_once_both_end_well() {
    let chain = Chain::with_registry("push-race");
    chain.project.succeed(&["build"]);
    let runs = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..2)
            .map(|_| scope.spawn(|| chain.project.run(&["push"])))
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .collect::<Vec<_>>()
    });
    for run in &runs {
        assert_eq!(run.code, 0, "{}", run.stderr);
        for line in run.stdout.lines() {
            let (reference, digest) = line.split_once('@').unwrap();
            let repository = reference.rsplit_once(':').unwrap().0;
            assert_eq!(
                Chain::inspect(&format!("{repository}@{digest}"))["Digest"],
                digest,
                "every printed digest can be pulled"
            );
        }
    }
    assert_eq!(
        runs[0].stdout, runs[1].stdout,
        "one daemon, one image: both agree"
    );
}

#[test]
fn a_wrong_password_and_a_registry_that_is_down_are_told_apart() {
    let chain = Chain::with_registry("push-refused");
    chain.project.succeed(&["build"]);
    let host = &chain.host;
    chain.project.sign_in(host, USER, "wrong");
    let wrong = chain.project.failure(&["push"]).replace(host, "REGISTRY");
    assert!(!wrong.contains(&PASSWORD[1..]), "{wrong}");

    chain.project.edit("sparkpack.toml", host, "127.0.0.1:1");
    let down = chain.project.failure(&["push"]);
    remove_images("127.0.0.1:1/");
    insta::with_settings!({filters => vec![(r":[0-9a-f]{16}\b", ":TAG")]}, {
        insta::assert_snapshot!(format!("# wrong password\n{wrong}\n# nobody there\n{down}"));
    });
}

#[test]
fn nothing_but_the_tag_and_the_marks_of_its_image_stay_in_the_repository() {
    let chain = Chain::with_registry("push-tags");
    chain.project.succeed(&["push", "base"]);
    let reference = chain.project.reference("base");
    let (repository, tag) = reference.rsplit_once(':').unwrap();
    let credentials = Chain::credentials();
    let listed = program(
        "skopeo",
        &[
            "list-tags",
            "--tls-verify=false",
            "--creds",
            &credentials,
            &format!("docker://{repository}"),
        ],
    );
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let id = image_id(&reference).unwrap();
    let own = format!("{tag}-{}", &id["sha256:".len().."sha256:".len() + 12]);
    let mut tags: Vec<&str> = listed["Tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| tag.as_str().unwrap())
        .collect();
    tags.sort_unstable();
    // By its digest, that no other push has proposed another image.
    let alone = format!(
        "{tag}-{}-r1-alone",
        &chain.digest("base")["sha256:".len()..][..12]
    );
    let mut wanted = [tag, &alone, &own];
    wanted.sort_unstable();
    assert_eq!(tags, wanted);
    let local = docker(&["images", "--format", "{{.Tag}}", repository]);
    assert_eq!(
        local.lines().collect::<Vec<_>>(),
        [tag],
        "the daemon keeps only the tag"
    );
}

/// Manifests of a registry must not name images that were not pushed to it.
#[test]
fn a_push_leaves_the_manifests_of_other_registries() {
    let chain = Chain::with_registry("push-scope");
    let configuration = chain.project.read("sparkpack.toml");
    let prod = "[manifests]\nprod = [\"prod/*.yml\"]\n";
    let configuration = configuration.replace("[manifests]\n", prod);
    let registry = "\nregistries.prod = \"prod.example/small\"\n\n[chains";
    let configuration = configuration.replacen("\n\n[chains", registry, 1);
    chain.project.write("sparkpack.toml", &configuration);
    let manifest =
        "apiVersion: v1\nkind: Pod\nspec: {containers: [{image: prod.example/small/job:old}]}\n";
    chain.project.write("prod/job.yml", manifest);
    chain.project.succeed(&["push"]);
    assert_eq!(chain.project.read("prod/job.yml"), manifest);
    assert!(
        chain
            .project
            .read("kubernetes/nightly.yml")
            .contains(&chain.project.reference("job"))
    );
}
