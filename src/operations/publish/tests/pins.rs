//! What a push writes into `sparkpack.pins`.

use super::{MANIFEST, Pushing, actions};
use crate::{
    code::Code,
    image::{Digest, Platform},
    operations::{
        dist::{Action, ImageResult, Size},
        manifests::Manifests,
        publish::pins::NewPins,
        resolution::prepare,
        workspace::{LockPolicy, Services},
    },
};

impl Pushing {
    /// The lines of the pins, without comments.
    fn lines(&self) -> Vec<String> {
        let text = self.project.read("sparkpack.pins");
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(str::to_owned).collect()
    }

    fn line(&self, name: &str, digest: &Digest) -> String {
        let repository = self.reference(name).repository;
        let fingerprint = &self.stage(name).fingerprint;
        format!(
            "main {repository} {} {fingerprint} {digest}",
            Platform::default()
        )
    }
}

#[test]
fn what_arrived_is_pinned_and_named_with_its_digest() {
    let pushing = Pushing::with_pins();
    let finished = pushing.push(&["job"]).unwrap();
    let digests = finished
        .images
        .iter()
        .map(|image| image.digest.clone().unwrap());
    let digests: Vec<Digest> = digests.collect();
    let lines = [
        pushing.line("base", &digests[0]),
        pushing.line("job", &digests[1]),
    ];
    assert_eq!(pushing.lines(), lines);
    let job = pushing.reference("job");
    let named = pushing.project.read("a.yml");
    assert!(
        named.contains(&format!("image: {job}@{}\n", digests[1])),
        "{named}"
    );
    assert_eq!(pushing.events.told().last().unwrap(), "wrote the pins");
    let (manifest, pins) = (named, pushing.project.read("sparkpack.pins"));
    // A second push writes nothing.
    assert!(pushing.push(&["job"]).unwrap().was_current);
    assert_eq!(pushing.events.told(), [format!("job: registry has {job}")]);
    assert_eq!(pushing.project.read("a.yml"), manifest);
    assert_eq!(pushing.project.read("sparkpack.pins"), pins);
}

#[test]
fn a_digest_that_moved_is_told_with_the_manifests_that_name_the_old_one() {
    let pushing = Pushing::with_pins();
    let finished = pushing.push(&["job"]).unwrap();
    let old = finished.images[1].digest.clone().unwrap();
    let base = pushing.line("base", finished.images[0].digest.as_ref().unwrap());
    pushing.events.told();
    // A second manifest names the image by a digest that is not pinned.
    let other = Digest::of(b"other");
    let job = pushing.reference("job");
    let text = MANIFEST.replace(":unbuilt", &format!(":1@{other}"));
    pushing.project.write("b.yml", &text);
    let theirs = pushing.put("job", pushing.of_others("job"));
    let new = &theirs.digest;
    let finished = pushing.push(&["job"]).unwrap();
    assert!(!finished.was_current);
    assert_eq!(actions(&finished), [("job", Action::Adopted)]);
    assert_eq!(pushing.lines(), [base, pushing.line("job", new)]);
    assert_eq!(
        pushing.events.told(),
        [
            format!("job: registry has {job}"),
            format!("job: {old} is now {new}"),
            "a.yml:5:10: old digest of job".to_owned(),
            format!("a.yml:5:10: now {job}@{new}"),
            format!("b.yml:5:10: now {job}@{new}"),
            "wrote the pins".to_owned(),
        ]
    );
}

#[test]
fn only_lines_of_this_registry_that_nothing_stands_for_go() {
    let pushing = Pushing::with_pins();
    let (fingerprint, digest) = (Digest::of(b"old inputs"), Digest::of(b"old"));
    let line = |registry: &str, repository: &str| {
        format!("{registry} {repository} linux/amd64 {fingerprint} {digest}")
    };
    let gone = line("main", "registry.example/small/job");
    let kept = [
        // The same registry with another prefix, from somebody else's environment.
        line("main", "elsewhere.example/small/job"),
        line("test", "registry.example/small/job"),
    ];
    let text = format!("{gone}\n{}\n", kept.join("\n"));
    pushing.project.write("sparkpack.pins", &text);
    pushing.push(&["job"]).unwrap();
    let lines = pushing.lines();
    assert!(!lines.contains(&gone), "{lines:?}");
    for kept in kept {
        assert!(lines.contains(&kept), "{lines:?}");
    }
    assert_eq!(lines.len(), 4);
}

#[test]
fn with_tags_alone_nothing_is_pinned() {
    let pushing = Pushing::new();
    pushing
        .project
        .write("sparkpack.pins", "not even looked at\n");
    pushing.push(&["job"]).unwrap();
    assert_eq!(
        pushing.project.read("sparkpack.pins"),
        "not even looked at\n"
    );
    assert!(!pushing.project.read("a.yml").contains("@sha256:"));
}

#[test]
fn pins_that_change_meanwhile_are_not_overwritten() {
    let pushing = Pushing::with_pins();
    pushing.project.write("sparkpack.pins", "# mine\n");
    let session = pushing.project.session(&pushing.events);
    let services = Services::new(&session, LockPolicy::ReadOnly);
    let prepared = prepare(&session, &services).unwrap();
    let manifests = Manifests::of(&session, None).unwrap();
    let registry = session.registry(None).unwrap();
    let arrived = [ImageResult {
        name: "job".to_owned(),
        reference: pushing.reference("job"),
        digest: Some(Digest::of(b"new")),
        id: Digest::of(b"id"),
        size: Size::default(),
        action: Action::Built,
    }];
    let pins = NewPins::of_push(&session, &prepared, registry, &arrived, &manifests).unwrap();
    let file = pins.file(&session).unwrap();
    pushing
        .project
        .write("sparkpack.pins", "# somebody else's\n");
    let error = session
        .replace_together(std::slice::from_ref(&file))
        .unwrap_err();
    assert_eq!(error.code(), Code::E102);
    assert_eq!(
        pushing.project.read("sparkpack.pins"),
        "# somebody else's\n"
    );
    // A file that has not changed since the push read it is replaced.
    pushing.project.write("sparkpack.pins", "# mine\n");
    session.replace_together(&[file]).unwrap();
    assert_eq!(pushing.lines(), [pushing.line("job", &Digest::of(b"new"))]);
}
