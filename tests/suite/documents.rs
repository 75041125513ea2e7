//! `dist/images.json` agrees with `docs/images.schema.json`, according to a validator of JSON Schema.

use serde_json::{Value, json};

use crate::support::{Chain, Schema, image_id, program, spoiled};

const SCHEMA: &str = "images.schema.json";

impl Chain {
    /// The document that a run with these arguments writes; it must be valid.
    fn document(&self, arguments: &[&str]) -> Value {
        self.project.succeed(arguments);
        let document: Value = serde_json::from_str(&self.project.read("dist/images.json")).unwrap();
        let errors = Schema(SCHEMA)
            .mistakes(std::slice::from_ref(&document))
            .remove(0);
        assert_eq!(errors, Vec::<String>::new(), "{document:#}");
        document
    }
}

/// The name of each image, and what was done with it.
fn actions(document: &Value) -> Vec<(&str, &str)> {
    let images = document["images"].as_array().unwrap().iter();
    let mut actions: Vec<_> = images
        .map(|image| {
            let text = |key: &str| image[key].as_str().unwrap();
            (text("name"), text("action"))
        })
        .collect();
    actions.sort_unstable();
    actions
}

fn image<'a>(document: &'a Value, name: &str) -> &'a Value {
    let images = document["images"].as_array().unwrap();
    images.iter().find(|image| image["name"] == name).unwrap()
}

#[test]
fn a_build_tells_what_the_daemon_has() {
    let chain = Chain::with_registry("documents-build");
    let part = chain.document(&["build", "ds"]);
    assert_eq!(part["source"], Value::Null, "outside of git");
    assert_eq!(
        actions(&part),
        [
            ("base", "built"),
            ("ds", "built"),
            ("job", "skipped"),
            ("side", "skipped")
        ]
    );
    let job = image(&part, "job");
    assert_eq!(job["reference"], chain.project.reference("job"));
    assert_eq!(
        (&job["digest"], &job["id"], &job["size"]),
        (
            &Value::Null,
            &Value::Null,
            &json!({"unpacked": null, "compressed": null})
        )
    );

    let whole = chain.document(&["build"]);
    assert_eq!(
        actions(&whole),
        [
            ("base", "reused"),
            ("ds", "reused"),
            ("job", "built"),
            ("side", "built")
        ]
    );
    let job = image(&whole, "job");
    let reference = chain.project.reference("job");
    assert_eq!(job["id"], image_id(&reference).unwrap());
    let size = program("docker", &["inspect", "--format", "{{.Size}}", &reference]);
    let size: u64 = size.trim().parse().unwrap();
    assert_eq!(job["size"], json!({"unpacked": size, "compressed": null}));
    let again = chain.document(&["build"]);
    assert_eq!(
        actions(&again),
        [
            ("base", "reused"),
            ("ds", "reused"),
            ("job", "reused"),
            ("side", "reused")
        ]
    );
}

#[test]
fn a_push_tells_what_the_registry_has() {
    let chain = Chain::with_registry("documents-push");
    chain.project.succeed(&["build", "base"]);
    let first = chain.document(&["push"]);
    assert_eq!(
        actions(&first),
        [
            ("base", "reused"),
            ("ds", "built"),
            ("job", "built"),
            ("side", "built")
        ]
    );
    let second = chain.document(&["push"]);
    assert_eq!(
        actions(&second),
        [
            ("base", "adopted"),
            ("ds", "adopted"),
            ("job", "adopted"),
            ("side", "adopted")
        ]
    );
    for name in ["base", "job"] {
        let (first, second) = (image(&first, name), image(&second, name));
        for key in ["digest", "id", "reference", "fingerprint"] {
            assert_eq!(first[key], second[key], "{name}");
        }
        assert!(first["size"]["unpacked"].is_u64(), "{first}");
        assert_eq!(second["size"]["unpacked"], Value::Null, "nobody asked");
        assert_eq!(
            first["size"]["compressed"], second["size"]["compressed"],
            "{name}"
        );
    }
    chain.project.edit("docker/side/side.txt", "side", "other");
    let third = chain.document(&["push", "side"]);
    assert_eq!(
        actions(&third),
        [
            ("base", "adopted"),
            ("ds", "skipped"),
            ("job", "skipped"),
            ("side", "built")
        ]
    );
}

/// The commit stays the same although sparkpack itself rewrites files.
#[test]
fn the_source_is_the_commit_and_its_time() {
    let chain = Chain::with_registry("documents-git");
    let project = &chain.project;
    project.begin_git();
    assert_eq!(
        chain.document(&["build", "base"])["source"],
        Value::Null,
        "no commit yet"
    );
    project.git(&["add", "--all"]);
    project.git(&["commit", "--quiet", "--message", "all"]);
    let commit = project.git(&["rev-parse", "HEAD"]).trim().to_owned();
    let clean = chain.document(&["build"])["source"].clone();
    assert_eq!(
        (&clean["commit"], &clean["modified"]),
        (&commit.clone().into(), &false.into())
    );
    let time = project.git(&["log", "-1", "--date=format:%s", "--format=%cd"]);
    let wanted = program(
        "date",
        &[
            "-u",
            "-d",
            &format!("@{}", time.trim()),
            "+%Y-%m-%dT%H:%M:%SZ",
        ],
    );
    assert_eq!(clean["time"], wanted.trim());
    assert_ne!(
        project.git(&["status", "--porcelain"]),
        "",
        "the manifest was rewritten"
    );

    project.write("src/jobs/new.py", "");
    assert_eq!(chain.document(&["build"])["source"]["modified"], true);
    project.git(&["add", "--all"]);
    assert_eq!(chain.document(&["build"])["source"]["modified"], true);
    project.git(&["commit", "--quiet", "--message", "new"]);
    let next = chain.document(&["push"])["source"].clone();
    assert_eq!(next["modified"], false);
    assert_ne!(next["commit"], commit);
}

#[test]
fn the_schema_refuses_what_is_wrong() {
    let chain = Chain::with_registry("documents-wrong");
    chain.project.begin_git();
    chain
        .project
        .git(&["commit", "--quiet", "--message", "all"]);
    let good = chain.document(&["push", "ds"]);
    let mut wrong = spoiled(&good);
    for (pointer, value) in [
        ("/version", json!(1)),
        ("/source/time", json!("2024-02-29T23:30:00+05:30")),
        ("/source/commit", json!("1bdc4a7")),
        ("/images/1/action", json!("pushed")),
        ("/images/1/action", json!("adopted")),
        ("/images/1/action", json!("skipped")),
        ("/images/3/action", json!("built")),
        ("/images/1/digest", json!("sha256:1f2e")),
        ("/images/1/id", Value::Null),
        ("/images/1/size/unpacked", Value::Null),
        ("/images/1/size/compressed", json!(-1)),
        ("/images/1/platforms", json!([])),
        ("/images/1/reference", json!("registry.example/job")),
        ("/images", json!([])),
    ] {
        let mut copy = good.clone();
        *copy.pointer_mut(pointer).unwrap() = value.clone();
        wrong.push((format!("{pointer} = {value}"), copy));
    }
    assert!(wrong.len() > 80, "{}", wrong.len());
    assert_eq!(
        Schema(SCHEMA).taken(&wrong),
        Vec::<&str>::new(),
        "taken as valid"
    );
}

/// A reader of the schema alone must find every key explained.
#[test]
fn every_key_is_described() {
    assert_eq!(Schema(SCHEMA).silent_keys(), Vec::<String>::new());
}
