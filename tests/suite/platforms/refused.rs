//! What cannot be made for a platform is one error that names it, and nothing is left behind.

use serde_json::{Value, json};

use super::for_both;
use crate::support::{Chain, Index, Run, StandIn, remove_images};

const LAYOUT: [&str; 3] = ["build", "--output", "oci:images"];

/// Checks that a run ends in one error with these words, and that neither the layout nor the registry has anything.
fn refused(chain: &Chain, run: &Run, words: &[&str]) {
    assert_ne!(run.code, 0, "{}", run.stderr);
    assert_eq!(run.stderr.matches("error[").count(), 1, "{}", run.stderr);
    let error = &run.stderr[run.stderr.find("error[").unwrap()..];
    for words in words {
        assert!(error.contains(words), "{words}: {}", run.stderr);
    }
    let project = &chain.project;
    assert!(!project.root().join("images").exists(), "{}", run.stderr);
    assert!(project.read("k/pod.yml").contains("/job:old"));
    let requests = chain.registry().requests();
    let mut of_project = requests.iter().filter(|request| request.contains("/both/"));
    let sent =
        of_project.find(|request| !request.starts_with("GET ") && !request.starts_with("HEAD "));
    assert_eq!(sent, None, "{}", run.stderr);
}

#[test]
fn a_package_without_a_wheel_for_one_platform() {
    let index = Index::new();
    let chain = for_both("platforms-no-wheel", &index);
    let project = &chain.project;
    index.add("spk_half-1.0-cp311-cp311-manylinux_2_17_x86_64", &[]);
    project.write("requirements.txt", "spk-fast\nspk-half\n");
    for arguments in [&["lock"][..], &LAYOUT, &["build"], &["push"]] {
        let run = project.run(arguments);
        let words = ["error[E705]: requirements.txt:2:1", "on linux/arm64"];
        refused(&chain, &run, &words);
        assert!(!project.root().join("requirements.lock").exists());
    }
}

#[test]
fn a_parent_in_the_project_without_one_platform() {
    let index = Index::new();
    let chain = for_both("platforms-no-parent", &index);
    let project = &chain.project;
    project.succeed(&["lock"]);
    let dockerfile = "dockerfile = \"small.Dockerfile\"";
    let one = format!("{dockerfile}\nplatforms = [\"linux/amd64\"]");
    project.edit("sparkpack.toml", dockerfile, &one);
    for arguments in [&["plan"][..], &["tags"], &LAYOUT, &["build"], &["push"]] {
        let run = project.run(arguments);
        let words = ["error[E092]", "`job` is made for linux/arm64, but `small`"];
        refused(&chain, &run, &words);
    }
}

#[test]
fn a_root_that_only_a_daemon_has_for_one_platform() {
    let index = Index::new();
    let chain = for_both("platforms-no-root", &index);
    let project = &chain.project;
    let root = &chain.root.name;
    project.write(
        "small.Dockerfile",
        &format!("FROM {root}\nCOPY src/main.py /\n"),
    );
    project.succeed(&["lock"]);
    for arguments in [&LAYOUT[..], &["push"]] {
        let run = project.run(arguments);
        let words = [
            "error[E606]",
            "it is for linux/amd64, and an image for linux/arm64 is to stand on it",
        ];
        refused(&chain, &run, &words);
        assert!(!run.stderr.contains(": building, "), "{}", run.stderr);
    }
    // The daemon's own platform can be made.
    project.succeed(&["build"]);
}

#[test]
fn an_image_below_a_job_that_only_a_daemon_has_for_one_platform() {
    let index = Index::new();
    let chain = for_both("platforms-no-image", &index);
    let project = &chain.project;
    let image = "sparkpack-test/platforms-no-image:local";
    StandIn::new().build(image);
    let configuration = project.read("sparkpack.toml");
    let on_image = configuration.replace("parent = \"small\"", &format!("parent = \"{image}\""));
    project.write("sparkpack.toml", &on_image);
    project.write("requirements.txt", "");
    let error =
        format!("error[E606]: `{image}`: it is for linux/amd64, and an image for linux/arm64");
    for arguments in [&["lock"][..], &LAYOUT, &["push"]] {
        refused(&chain, &project.run(arguments), &[&error]);
    }
    // Locked when there was one platform.
    let both = "\"linux/amd64\", \"linux/arm64\"";
    project.edit("sparkpack.toml", both, "\"linux/amd64\"");
    project.succeed(&["lock"]);
    project.edit("sparkpack.toml", "\"linux/amd64\"", both);
    refused(&chain, &project.run(&["push", "job"]), &[&error]);
    // Locked for the other platform on a machine whose daemon has that one, as it may be with an index.
    let lock = project.read("sparkpack.lock");
    let contents = lock
        .split("\n\n")
        .filter(|table| table.trim_start().starts_with("[contents"));
    let contents: Vec<&str> = contents.map(str::trim).collect();
    let other = contents.join("\n\n").replace("linux/amd64", "linux/arm64");
    project.write(
        "sparkpack.lock",
        &format!("{}\n\n{other}\n", lock.trim_end()),
    );
    let layout = ["build", "job", "--output", "oci:images"];
    for arguments in [&layout[..], &["push", "job"]] {
        refused(&chain, &project.run(arguments), &[&error]);
    }
    remove_images(image);
}

#[test]
fn an_image_of_a_registry_for_one_platform() {
    let index = Index::new();
    let chain = for_both("platforms-no-index", &index);
    let project = &chain.project;
    let root = format!("{}/team/root:1", chain.host);
    StandIn::new().push(&root);
    project.write(
        "small.Dockerfile",
        &format!("FROM {root}\nCOPY src/main.py /\n"),
    );
    let lacks =
        format!("`{root}` is wanted for linux/arm64, which it does not have; it has linux/amd64");
    let words = ["error[E092]: sparkpack.toml:", &lacks];
    for arguments in [&["lock"][..], &LAYOUT, &["push"]] {
        refused(&chain, &project.run(arguments), &words);
    }
    // As the image below a chain.
    project.write("small.Dockerfile", "FROM scratch\nCOPY src/main.py /\n");
    project.write("requirements.txt", "");
    project.edit(
        "sparkpack.toml",
        "[chains.main]\nspark = \"4.1.4\"\npython = \"3.11\"",
        &format!("[chains.main]\nimage = \"{root}\""),
    );
    project.edit("sparkpack.toml", "parent = \"small\"", "parent = \"py\"");
    for arguments in [
        &["lock"][..],
        &["build", "job", "--output", "oci:images"],
        &["push", "job"],
    ] {
        refused(&chain, &project.run(arguments), &words);
    }
    // Locked when there was one platform.
    let both = "\"linux/amd64\", \"linux/arm64\"";
    project.edit("sparkpack.toml", both, "\"linux/amd64\"");
    project.succeed(&["lock"]);
    project.edit("sparkpack.toml", "\"linux/amd64\"", both);
    refused(&chain, &project.run(&["push", "job"]), &words);
}

#[test]
fn an_index_that_somebody_else_has_put_under_the_tag() {
    let index = Index::new();
    let chain = for_both("platforms-other-index", &index);
    let project = &chain.project;
    project.succeed(&["push"]);
    let (registry, reference) = (chain.registry(), project.reference("job"));
    let (path, own) = index_of_job(&chain);
    let entries = own["manifests"].as_array().unwrap();
    let mut foreign = entries[0].clone();
    foreign["platform"] = json!({ "os": "linux", "architecture": "s390x" });
    let more = [&entries[..], &[foreign]].concat();
    let digest = entries[1]["digest"].as_str().unwrap();
    let alone = registry.ask("GET", &format!("/v2/both/job/manifests/{digest}"));
    for (there, manifest) in [
        ("linux/amd64", with_entries(&own, &entries[..1])),
        (
            "linux/amd64, linux/arm64, linux/s390x",
            with_entries(&own, &more),
        ),
        ("linux/arm64", alone.body),
    ] {
        registry.put_manifest(&path, &manifest);
        let run = project.run(&["push"]);
        assert_eq!(run.code, 6, "{there}: {}", run.stderr);
        let words = format!(
            "error[E606]: `{reference}`: the registry has an index for {there} under this tag, and the image is for linux/amd64, linux/arm64"
        );
        let words = if there == "linux/arm64" {
            words.replace("an index", "an image")
        } else {
            words
        };
        assert!(run.stderr.contains(&words), "{there}: {}", run.stderr);
        assert!(run.stderr.contains("hint: somebody else has set it"));
        assert_eq!(registry.ask("GET", &path).body, manifest, "{there}");
    }
    // An attestation is for no platform, and no other image.
    let mut attestation = entries[1].clone();
    attestation["platform"] = json!({ "os": "unknown", "architecture": "unknown" });
    let attested = with_entries(&own, &[&entries[..], &[attestation]].concat());
    registry.put_manifest(&path, &attested);
    let run = project.succeed(&["push"]);
    assert!(run.stderr.contains("nothing to do"), "{}", run.stderr);
}

/// The index that the tag of the job has, and its path.
fn index_of_job(chain: &Chain) -> (String, Value) {
    let path = format!("/v2/both/job/manifests/{}", chain.tag("job"));
    let answer = chain.registry().ask("GET", &path);
    (path, serde_json::from_slice(&answer.body).unwrap())
}

fn with_entries(index: &Value, entries: &[Value]) -> Vec<u8> {
    let mut index = index.clone();
    index["manifests"] = json!(entries);
    index.to_string().into_bytes()
}
