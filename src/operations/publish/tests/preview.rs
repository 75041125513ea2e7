//! What a build and a push would do, before anything is done.

use std::collections::BTreeMap;

use super::{Pushing, answer};
use crate::{
    adapters::{fakes::denied, fakes::image},
    code::Code,
    error::Error,
    image::Digest,
    operations::{
        build::{self, BuildImages, BuildOutput, Run},
        manifests::Manifests,
        publish::{Preview, preview},
        resolution::{Strictness, prepare},
        workspace::{LockPolicy, Services},
    },
    plan::decision::{Conflict, Decision, PlatformDecisions, Reason},
};

impl Pushing {
    fn preview(&self, is_remote: bool) -> Result<Preview, Error> {
        self.run(|session, services| {
            let prepared = prepare(session, &Services::new(session, LockPolicy::ReadOnly))?;
            let run = Run {
                session,
                services,
                prepared: &prepared,
                registry: session.registry(None)?,
            };
            let manifests = Manifests::of(session, None)?;
            preview(&run, &["job".to_owned()], &manifests, is_remote)
        })
    }

    /// The decisions of a push, with the registry's digests.
    fn push_preview(&self) -> BTreeMap<String, (Decision, Option<Digest>)> {
        let preview = self.preview(true).unwrap();
        let push = preview.push.unwrap().into_iter();
        push.map(|(name, of)| (name, (of.decision().clone(), of.digest)))
            .collect()
    }

    fn build(&self) {
        let targets = ["job".to_owned()];
        let request = BuildImages {
            output: &BuildOutput::Daemon,
            registry: None,
            targets: &targets,
            tests_imports: false,
            strictness: Strictness::OFF,
        };
        let built = self.run(|session, services| build::build(session, services, request));
        built.unwrap();
    }
}

fn wholes(build: &BTreeMap<String, PlatformDecisions>) -> BTreeMap<String, Decision> {
    let build = build.iter();
    build
        .map(|(name, of)| (name.clone(), of.whole().clone()))
        .collect()
}

/// Decisions on `base` and `job`.
fn both<T>(base: T, job: T) -> BTreeMap<String, T> {
    BTreeMap::from([("base".to_owned(), base), ("job".to_owned(), job)])
}

fn only_job<T>(job: T) -> BTreeMap<String, T> {
    BTreeMap::from([("job".to_owned(), job)])
}

#[test]
fn what_nobody_has_is_to_be_built_and_what_the_daemon_has_is_to_be_pushed() {
    let pushing = Pushing::new();
    let missing = || Decision::Build(Reason::Missing);
    let seen = pushing.preview(false).unwrap();
    assert_eq!(wholes(&seen.build), both(missing(), missing()));
    assert!(seen.push.is_none() && seen.daemon.is_none());
    assert_eq!(
        pushing.registry.images.looked_up(),
        [""; 0],
        "nobody asked for it"
    );
    let to_build = both((missing(), None), (missing(), None));
    assert_eq!(pushing.push_preview(), to_build);

    pushing.build();
    let seen = pushing.preview(false).unwrap();
    assert_eq!(wholes(&seen.build), only_job(Decision::Reuse));
    let to_push = both((Decision::Push, None), (Decision::Push, None));
    assert_eq!(pushing.push_preview(), to_push);

    let pushed = pushing.push(&["job"]).unwrap();
    let digest = pushed.images[1].digest.clone();
    assert_eq!(pushing.push_preview(), only_job((Decision::Adopt, digest)));
    let moved = pushing.daemon.moved();
    pushing.preview(true).unwrap();
    assert!(
        !moved.is_empty() && pushing.daemon.moved().is_empty(),
        "a preview moves nothing"
    );
}

#[test]
fn a_conflict_is_shown_even_where_nothing_needs_the_image() {
    let pushing = Pushing::new();
    let base = pushing.put("base", image("stranger"));
    let job = pushing.put("job", pushing.of_others("job"));
    assert_eq!(
        pushing.push_preview(),
        both(
            (Decision::Conflict(Conflict::NotOurs), Some(base.digest)),
            (Decision::Adopt, Some(job.digest)),
        )
    );
}

#[test]
fn a_daemon_that_does_not_answer_leaves_what_the_manifests_say() {
    let pushing = Pushing::new();
    pushing.daemon.images.fail_next(answer("gone"));
    let seen = pushing.preview(false).unwrap();
    assert_eq!(seen.daemon.unwrap().code(), Code::E605);
    let named = "registry.example/small/job:unbuilt".parse().unwrap();
    let other = Decision::Build(Reason::OtherInManifests(named));
    assert_eq!(wholes(&seen.build), both(Decision::Unknown, other));

    pushing.build();
    pushing.daemon.images.fail_next(answer("gone"));
    let seen = pushing.preview(false).unwrap();
    assert_eq!(
        wholes(&seen.build),
        only_job(Decision::Reuse),
        "the manifest names it"
    );

    // If the daemon stops answering, it is unknown what a push would do.
    let pushing = Pushing::new();
    pushing.daemon.images.pass_next(2);
    pushing.daemon.images.fail_next(answer("gone"));
    let unknown = || (Decision::Unknown, None);
    assert_eq!(pushing.push_preview(), both(unknown(), unknown()));
}

#[test]
fn manifests_and_registries_that_do_not_answer_are_errors() {
    let mut pushing = Pushing::new();
    pushing.registry.images.fail_next(denied());
    assert_eq!(pushing.preview(true).err().unwrap().code(), Code::E402);
    pushing.project.write("a.yml", "a: [");
    pushing.preview(false).unwrap();
    pushing.daemon.images.fail_next(answer("gone"));
    assert_eq!(pushing.preview(false).err().unwrap().code(), Code::E060);
    pushing.policy = LockPolicy::Offline;
    assert_eq!(pushing.preview(true).err().unwrap().code(), Code::E035);
    pushing.preview(false).unwrap();
}
