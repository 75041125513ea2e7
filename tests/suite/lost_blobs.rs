//! What a registry has lost of an image that it still has a manifest of is noticed, and sent again.

use serde_json::Value;

use crate::support::{Chain, Run, run};

/// The repository and the tag of an image, as the registry's paths have them.
fn named(chain: &Chain, image: &str) -> (String, String) {
    let reference = chain.project.reference(image);
    let path = reference.strip_prefix(&format!("{}/", chain.host)).unwrap();
    let (repository, tag) = path.rsplit_once(':').unwrap();
    (repository.to_owned(), tag.to_owned())
}

/// Has the registry lose a blob that the manifest of an image names: its highest layer, or its config.
fn lose(chain: &Chain, image: &str, what: &str) {
    let (repository, tag) = named(chain, image);
    let registry = chain.registry();
    let manifest = registry.ask("GET", &format!("/v2/{repository}/manifests/{tag}"));
    let manifest: Value = serde_json::from_slice(&manifest.body).unwrap();
    let blob = match what {
        "config" => &manifest["config"],
        _ => manifest["layers"].as_array().unwrap().last().unwrap(),
    };
    let blob = blob["digest"].as_str().unwrap();
    let answer = registry.ask("DELETE", &format!("/v2/{repository}/blobs/{blob}"));
    assert_eq!(answer.status, 202);
}

/// A push of another machine, which remembers nothing of the registry.
fn push(chain: &Chain, arguments: &[&str]) -> Run {
    let cache = tempfile::tempdir().unwrap();
    let arguments = [&["push"][..], arguments].concat();
    let mut command = chain.project.command(&arguments);
    run(command.env("SPARKPACK_CACHE", cache.path()))
}

#[test]
fn what_a_registry_has_lost_counts_as_absent_and_is_sent_again() {
    let chain = Chain::with_registry("lost-blobs").with_job_of_files();
    let project = &chain.project;
    project.succeed(&["lock"]);
    project.succeed(&["push"]);
    let (repository, tag) = named(&chain, "job");
    let job = chain.registry().whole_image(&repository, &tag);
    for (image, what, is_in_daemon) in [
        ("job", "layer", true),
        ("job", "config", true),
        ("ds", "layer", true),
        ("ds", "config", true),
        ("ds", "layer", false),
        ("base", "config", false),
    ] {
        let case = format!("the {what} of {image}, in the daemon: {is_in_daemon}");
        lose(&chain, image, what);
        if !is_in_daemon {
            chain.forget_images();
        }
        let told = push(&chain, &[]);
        assert_eq!(told.code, 0, "{case}: {}", told.stderr);
        let (repository, tag) = named(&chain, image);
        let words = format!(
            "{image}: {}/{repository}:{tag} counts as absent: the registry has its manifest, but has lost 1 of its blobs",
            chain.host
        );
        assert!(told.stderr.contains(&words), "{case}: {}", told.stderr);
        let whole = chain.registry().whole_image(&repository, &tag).unwrap();
        let says = format!("{}@{whole}", project.reference(image));
        assert!(told.stdout.contains(&says), "{case}: {}", told.stdout);
        if image == "job" {
            assert_eq!(Some(whole), job, "{case}");
        }
    }
    assert!(push(&chain, &[]).stderr.contains("nothing to do"));
}

#[test]
fn a_dry_run_names_what_was_lost_and_a_machine_asks_once_a_day() {
    let chain = Chain::with_registry("lost-dry").with_job_of_files();
    let project = &chain.project;
    project.succeed(&["lock"]);
    for _ in 0..2 {
        project.succeed(&["push"]);
    }
    lose(&chain, "job", "layer");
    let told = push(&chain, &["--dry-run"]);
    let (repository, tag) = named(&chain, "job");
    let writes = format!("PUT {}/v2/{repository}/manifests/{tag}", chain.host);
    assert!(told.stdout.contains(&writes), "{}", told.stdout);
    // This machine has seen all of it a moment ago, and asks once a day.
    let before = chain.registry().requests().len();
    let again = project.succeed(&["push"]);
    assert!(again.stderr.contains("nothing to do"), "{}", again.stderr);
    let requests = chain.registry().requests();
    let asked = requests[before..].iter();
    let asked: Vec<_> = asked
        .filter(|request| request.contains("/blobs/"))
        .collect();
    assert_eq!(asked, [""; 0]);
}
