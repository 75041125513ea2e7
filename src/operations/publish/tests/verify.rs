//! Pinned and named images that a registry lacks.

use super::Pushing;
use crate::{
    adapters::{
        fakes::{denied, image, refused, unreachable},
        registry::Listing,
    },
    code::Code,
    error::Error,
    image::Digest,
    operations::{
        manifests::{Manifests, Scope},
        publish::{CheckRequest, check, verify},
        resolution::{Strictness, prepare},
        workspace::{LockPolicy, Services},
    },
    project::place::Defect,
    yaml::parses,
};

impl Pushing {
    /// The warnings about these images.
    fn verified(&self, images: &[&str]) -> Result<Vec<Defect>, Error> {
        self.verified_in(None, images)
    }

    fn verified_in(&self, only: Option<&str>, images: &[&str]) -> Result<Vec<Defect>, Error> {
        let images: Vec<String> = images.iter().map(|&name| name.to_owned()).collect();
        let scope = Scope {
            registry: only,
            images: &images,
        };
        self.run(|session, services| {
            let prepared = prepare(session, &Services::new(session, LockPolicy::ReadOnly))?;
            let manifests = Manifests::of(session, None)?;
            verify::verify(session, services, &prepared, scope, &manifests)
        })
    }

    /// The message and hint of each warning; all must be `W109`.
    fn lacks(&self, images: &[&str]) -> Vec<(String, String)> {
        let defects = self.verified(images).unwrap().into_iter();
        let texts = defects.map(|defect| {
            assert_eq!(defect.code, Code::W109);
            (defect.message, defect.hint.unwrap())
        });
        texts.collect()
    }
}

/// A project with pins, whose images were pushed.
fn pushed() -> Pushing {
    let pushing = Pushing::with_pins();
    pushing.push(&["base", "job"]).unwrap();
    // The push itself asks too.
    pushing.registry.asked();
    pushing
}

const ALL: [&str; 2] = ["base", "job"];

#[test]
fn what_was_pushed_is_there_and_asked_for_once() {
    let pushing = pushed();
    let job = pushing.reference("job");
    let manifest = pushing.project.read("a.yml");
    pushing.project.write("b.yml", &manifest);
    assert_eq!(pushing.lacks(&ALL), []);
    let asked = pushing.registry.asked();
    let tag = format!("HEAD {job}");
    let tags: Vec<&String> = asked.iter().filter(|line| **line == tag).collect();
    assert_eq!(tags.len(), 1, "two manifests name it: {asked:?}");
    assert!(
        asked.iter().all(|line| line.starts_with("HEAD ")),
        "{asked:?}"
    );
    assert_eq!(asked.len(), 3, "two pins and a tag: {asked:?}");
}

#[test]
fn a_remote_check_parses_a_manifest_once() {
    let pushing = pushed();
    let manifest = pushing.project.read("a.yml") + "# checked remotely\n";
    pushing.project.write("a.yml", &manifest);
    let images = ALL.map(str::to_owned);
    let request = CheckRequest {
        scope: Scope {
            registry: None,
            images: &images,
        },
        strictness: Strictness::OFF,
        is_remote: true,
        is_full: false,
    };
    let drift = pushing.run(|session, services| check(session, services, request).unwrap().drift);
    assert!(drift.is_empty());
    assert!(!pushing.registry.asked().is_empty());
    assert_eq!(parses::of(&manifest), 1);
}

#[test]
fn what_is_gone_is_told_with_the_push_that_makes_it_again() {
    let pushing = pushed();
    let job = pushing.reference("job");
    let gone = pushing.registry.images.get(&job.to_string()).unwrap();
    let staging = super::staging(&job, &gone.info);
    // The registry still has the image by its digest, because the staging tag still names it.
    pushing.registry.images.remove(&job.to_string());
    let no_tag = (
        format!("`{job}` is not in the registry `main`"),
        "run `sparkpack push job`".to_owned(),
    );
    assert_eq!(
        pushing.lacks(&ALL).as_slice(),
        std::slice::from_ref(&no_tag)
    );
    pushing.registry.images.remove(&staging);
    let mark = format!("{job}-{}-r1-alone", gone.digest.short(12));
    pushing.registry.images.remove(&mark);
    let pinned = job.repository.with_digest(&gone.digest);
    let no_digest = (
        format!("`{pinned}` is no longer in the registry `main`"),
        "`sparkpack push job` makes it again, and pins the digest that it has then".to_owned(),
    );
    assert_eq!(pushing.lacks(&ALL), [no_digest, no_tag]);
    let defects = pushing.verified(&ALL).unwrap();
    let files = defects
        .iter()
        .map(|defect| defect.place.file.to_str().unwrap());
    assert_eq!(files.collect::<Vec<_>>(), ["sparkpack.pins", "a.yml"]);
}

#[test]
fn a_pin_of_no_image_of_this_checkout_is_told_where_all_are_meant() {
    let pushing = pushed();
    let pins = pushing.project.read("sparkpack.pins");
    let fingerprint = Digest::of(b"old inputs");
    let digest = Digest::of(b"old image");
    let old = format!("main registry.example/small/job linux/amd64 {fingerprint} {digest}\n");
    pushing
        .project
        .write("sparkpack.pins", &format!("{pins}{old}"));
    let [(message, hint)] = &pushing.lacks(&ALL)[..] else {
        panic!("one line is wrong")
    };
    assert!(message.contains(digest.as_str()), "{message}");
    assert!(
        hint.starts_with("no image of this checkout has that fingerprint"),
        "{hint}"
    );
    assert_eq!(pushing.lacks(&["job"]), [], "it may be of another image");
}

#[test]
fn only_what_is_meant_is_asked_for() {
    let pushing = pushed();
    pushing.registry.asked();
    assert_eq!(pushing.verified_in(None, &["base"]).unwrap().len(), 0);
    let asked = pushing.registry.asked();
    assert_eq!(asked.len(), 1, "the pin of `base`: {asked:?}");
    assert!(asked[0].contains("/base@sha256:"), "{asked:?}");
    pushing.verified_in(Some("main"), &ALL).unwrap();
    assert_eq!(pushing.registry.asked().len(), 3);
    pushing.verified_in(Some("other"), &ALL).unwrap();
    assert_eq!(pushing.registry.asked(), [""; 0]);
}

#[test]
fn a_tag_that_was_set_again_is_told_unless_it_is_an_index_of_the_same_image() {
    let pushing = pushed();
    let job = pushing.reference("job");
    let index = Listing {
        digest: Digest::of(b"index"),
        platforms: [].into(),
    };
    // The index contains the pinned image.
    pushing.registry.list(&job.to_string(), index);
    assert_eq!(pushing.lacks(&ALL), []);
    // The index has another image, or none for this platform.
    pushing.registry.images.fail_next(refused());
    let [(message, hint)] = &pushing.lacks(&ALL)[..] else {
        panic!("one tag is wrong")
    };
    let found = Digest::of(b"index");
    assert!(
        message.contains(&format!("has the digest {found} in the registry")),
        "{message}"
    );
    assert!(
        hint.contains("`sparkpack push job` pins what it has now"),
        "{hint}"
    );
    pushing.put("job", image("job of others"));
    assert_eq!(pushing.lacks(&ALL), [(message.clone(), hint.clone())]);
    // A registry that does not answer is an error, and no warning.
    pushing.registry.images.fail_next(unreachable());
    assert_eq!(pushing.verified(&ALL).unwrap_err().code(), Code::E501);
}

#[test]
fn a_registry_whose_heads_say_nothing_is_asked_by_a_get() {
    let pushing = pushed();
    pushing.registry.name_no_digest();
    assert_eq!(pushing.lacks(&ALL), []);
    let gets = |asked: Vec<String>| asked.iter().filter(|line| line.starts_with("GET ")).count();
    assert_eq!(gets(pushing.registry.asked()), 3);
    for error in [denied(), refused()] {
        let pushing = pushed();
        pushing.registry.fail_next(error);
        assert_eq!(pushing.lacks(&ALL), []);
        assert_eq!(gets(pushing.registry.asked()), 1);
    }
}

#[test]
fn a_registry_that_cannot_be_asked_is_an_error() {
    let pushing = pushed();
    pushing.registry.fail_next(unreachable());
    assert_eq!(pushing.verified(&ALL).unwrap_err().code(), Code::E501);
    assert_eq!(pushing.registry.asked().len(), 1, "it is not asked again");
    pushing.registry.fail_next(denied());
    pushing.registry.fail_next(denied());
    assert_eq!(pushing.verified(&ALL).unwrap_err().code(), Code::E402);
    let mut pushing = pushed();
    pushing.policy = LockPolicy::Offline;
    assert_eq!(pushing.verified(&ALL).unwrap_err().code(), Code::E035);
}

#[test]
fn pins_and_manifests_that_cannot_be_read_are_errors() {
    let pushing = pushed();
    pushing.project.write("a.yml", "a: [");
    assert_eq!(pushing.verified(&ALL).unwrap_err().code(), Code::E060);
    pushing.project.write("sparkpack.pins", "nonsense\n");
    assert_eq!(pushing.verified(&ALL).unwrap_err().code(), Code::E069);
}
