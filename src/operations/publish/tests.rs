//! Whole pushes, from a checkout to a daemon and a registry in memory.

mod pins;
mod preview;
mod verify;

use std::{
    collections::BTreeMap,
    ops::{Deref, DerefMut},
};

use super::{PushRequest, push};
use crate::{
    adapters::{
        builder::BuildError,
        cache::CacheKind,
        docker::DockerError,
        fakes::{DaemonInMemory, RegistryInMemory, denied, image, refused, registry_image},
        git::Compared,
        registry::RegistryImage,
    },
    code::Code,
    error::Error,
    image::{Digest, ImageInfo, LABEL_FINGERPRINT, LABEL_RECORD_DIGEST, Reference},
    operations::{
        build::Finished,
        dist::Action,
        resolution::Strictness,
        testing::{MISTAKES, Mistake, Project, Recorder, TestRun, actions},
        workspace::LockPolicy,
    },
    plan::Stage,
};

const MANIFEST: &str = "apiVersion: sparkoperator.k8s.io/v1beta2\nkind: SparkApplication\n\
                        metadata: {name: a}\nspec:\n  image: registry.example/small/job:unbuilt\n";

/// A run that pushes.
pub(super) struct Pushing {
    run: TestRun,
    pub(super) strictness: Strictness,
    pub(super) keeps_going: bool,
    /// The stages of the plan, by their names.
    stages: BTreeMap<String, Stage>,
}

impl Deref for Pushing {
    type Target = TestRun;

    fn deref(&self) -> &TestRun {
        &self.run
    }
}

impl DerefMut for Pushing {
    fn deref_mut(&mut self) -> &mut TestRun {
        &mut self.run
    }
}

impl Pushing {
    /// `job` with the parent `base`, and a manifest that names `job`. No image is built yet.
    pub(super) fn new() -> Self {
        Self::of(Project::with_manifests(&[("a.yml", MANIFEST)]))
    }

    /// The same project, but digests are written into the manifest.
    pub(super) fn with_pins() -> Self {
        let pushing = Self::new();
        let name = "project = \"small\"\n";
        let pinned = format!("{name}pin = \"tag+digest\"\n");
        pushing.project.edit("sparkpack.toml", name, &pinned);
        pushing
    }

    fn of(project: Project) -> Self {
        let mut pushing = Self {
            run: TestRun::with_root(project),
            strictness: Strictness::OFF,
            keeps_going: false,
            stages: BTreeMap::new(),
        };
        pushing.plan();
        pushing
    }

    /// Makes the plan again, after a change of the project.
    pub(super) fn plan(&mut self) {
        let stages = self.project.planned(|_, prepared| prepared.plan.stages);
        self.stages = stages;
    }

    pub(super) fn push(&self, targets: &[&str]) -> Result<Finished, Error> {
        let targets: Vec<String> = targets.iter().map(|&name| name.to_owned()).collect();
        self.run(|session, services| {
            let registry = session.registry(None).unwrap();
            let request = PushRequest {
                registry,
                targets: &targets,
                strictness: self.strictness,
                keeps_going: self.keeps_going,
            };
            push(session, services, request)
        })
    }

    pub(super) fn refused(&self, targets: &[&str]) -> Error {
        self.push(targets).err().unwrap()
    }

    pub(super) fn stage(&self, name: &str) -> &Stage {
        &self.stages[name]
    }

    /// The reference of this checkout's image.
    pub(super) fn reference(&self, name: &str) -> Reference {
        let events = Recorder::default();
        let session = self.project.session(&events);
        let registry = session.registry(None).unwrap();
        self.stage(name).reference(registry).clone()
    }

    /// An image of the stage with the same inputs but other content, as somebody else would build it.
    pub(super) fn of_others(&self, name: &str) -> ImageInfo {
        let mut info = image(&format!("{name} of others"));
        let fingerprint = self.stage(name).fingerprint.hex().to_owned();
        info.labels
            .insert(LABEL_FINGERPRINT.to_owned(), fingerprint);
        info
    }

    /// Puts an image into the registry, under the reference of a stage.
    pub(super) fn put(&self, name: &str, info: ImageInfo) -> RegistryImage {
        let pushed = registry_image(info);
        let reference = self.reference(name).to_string();
        self.registry.images.put(&reference, pushed.clone());
        pushed
    }

    /// The names of the images that were built, in order.
    fn built(&self) -> Vec<String> {
        let requests = self.daemon.builder.requests();
        let repositories = requests.iter().map(|request| &request.reference.repository);
        let paths = repositories.map(|repository| repository.path.clone());
        paths.map(|path| path.replace("small/", "")).collect()
    }

    /// Asserts that nothing was built or transferred, and no file was written.
    fn assert_untouched(&self, what: &str) {
        assert_eq!(self.built(), [""; 0], "{what}");
        assert_eq!(self.daemon.moved(), [""; 0], "{what}");
        self.assert_not_named(what);
    }

    /// Asserts that a push fails with this error before the registry is asked or anything is built or written.
    fn assert_sends_nothing(&self, what: &str, code: Code) {
        let error = self.refused(&["job"]);
        assert_eq!(error.code(), code, "{what}: {error}");
        assert_eq!(self.registry.images.looked_up(), [""; 0], "{what}");
        assert_eq!(self.built(), [""; 0], "{what}");
        assert!(self.project.read("a.yml").contains("job:unbuilt"), "{what}");
    }

    fn assert_not_named(&self, what: &str) {
        let named = self.project.read("a.yml");
        assert!(named.contains("job:unbuilt"), "{what}: {named}");
        assert!(!self.project.path("sparkpack.pins").exists(), "{what}");
        assert!(!self.project.path("dist/images.json").exists(), "{what}");
    }
}

/// The staging tag of an image.
fn staging(reference: &Reference, image: &ImageInfo) -> String {
    format!("{reference}-{}", image.id.short(12))
}

fn answer(message: &str) -> DockerError {
    DockerError::Answer {
        doing: "answer".to_owned(),
        message: message.to_owned(),
    }
}

fn push_error() -> DockerError {
    DockerError::Push {
        reference: Box::new("registry.example/x:1".parse().unwrap()),
        message: "broken pipe".to_owned(),
    }
}

fn pull_error() -> DockerError {
    DockerError::Pull {
        reference: Box::new("registry.example/x:1".parse().unwrap()),
        message: "broken pipe".to_owned(),
    }
}

fn unauthorized() -> DockerError {
    DockerError::Unauthorized {
        verb: "push",
        reference: Box::new("registry.example/x:1".parse().unwrap()),
        message: "who are you".to_owned(),
    }
}

#[test]
fn what_the_registry_lacks_is_built_sent_and_named() {
    let pushing = Pushing::new();
    let finished = pushing.push(&["job"]).unwrap();
    assert!(!finished.was_current);
    assert_eq!(
        actions(&finished),
        [("base", Action::Built), ("job", Action::Built)]
    );
    let [base, job] = ["base", "job"].map(|name| pushing.reference(name));
    let images = [&base, &job].map(|of| pushing.daemon.images.get(&of.to_string()).unwrap());
    let [base_staging, job_staging] = [staging(&base, &images[0]), staging(&job, &images[1])];
    assert_eq!(
        pushing.daemon.moved(),
        [
            format!("push {base_staging}"),
            format!("untag {base_staging}"),
            format!("push {job_staging}"),
            format!("untag {job_staging}"),
        ]
    );
    for (reference, image) in [&base, &job].into_iter().zip(&images) {
        let pushed = pushing.registry.images.get(&reference.to_string());
        assert_eq!(&pushed.unwrap().info, image);
    }
    assert_eq!(
        finished.images[1].digest.as_ref().unwrap(),
        &registry_image(images[1].clone()).digest
    );
    let named = pushing.project.read("a.yml");
    assert!(named.contains(&format!("image: {job}\n")), "{named}");
    let listed = pushing.project.read("dist/images.json");
    assert!(listed.contains(&job.to_string()), "{listed}");
    let told = pushing.events.told();
    let at = |line: &str| told.iter().position(|told| told == line).expect(line);
    let lines = [
        format!("base: push {base}"),
        "base: | Pushed".to_owned(),
        format!("base: pushed {base}"),
        format!("job: push {job}"),
        format!("job: pushed {job}"),
        format!("a.yml:5:10: now {job}"),
    ];
    assert!(lines.map(|line| at(&line)).is_sorted(), "{told:?}");
}

#[test]
fn what_the_registry_has_is_adopted_without_a_daemon() {
    let pushing = Pushing::new();
    pushing.push(&["job"]).unwrap();
    pushing.events.told();
    pushing.daemon.moved();
    let (built, looked_up) = (pushing.built(), pushing.daemon.images.looked_up());
    let finished = pushing.push(&["job"]).unwrap();
    assert!(finished.was_current);
    // The parent was looked up, but is not part of the result: nothing needs it.
    assert_eq!(actions(&finished), [("job", Action::Adopted)]);
    assert_eq!(pushing.daemon.moved(), [""; 0]);
    assert_eq!(pushing.built(), built);
    assert_eq!(pushing.daemon.images.looked_up(), looked_up);
    let job = pushing.reference("job");
    assert_eq!(pushing.events.told(), [format!("job: registry has {job}")]);
}

#[test]
fn a_registry_with_other_images_is_a_conflict_and_nothing_is_made() {
    let mut others = image("others");
    let fingerprint = Digest::of(b"other inputs").hex().to_owned();
    others
        .labels
        .insert(LABEL_FINGERPRINT.to_owned(), fingerprint);
    for other in [others, image("stranger")] {
        let pushing = Pushing::new();
        for name in ["base", "job"] {
            pushing.put(name, other.clone());
        }
        let error = pushing.refused(&["job"]);
        let conflicts = error.each();
        assert_eq!(conflicts.len(), 2, "all are told: {error}");
        for conflict in conflicts {
            assert_eq!(conflict.code(), Code::E301);
        }
        pushing.assert_untouched("a conflict");
        let base = pushing.reference("base").to_string();
        assert_eq!(pushing.registry.images.get(&base).unwrap().info, other);
    }
}

#[test]
fn who_is_beaten_to_a_tag_takes_the_image_that_has_it() {
    let pushing = Pushing::new();
    let theirs = registry_image(pushing.of_others("base"));
    let base = pushing.reference("base").to_string();
    pushing.registry.images.be_beaten_by(&base, theirs.clone());
    let finished = pushing.push(&["base"]).unwrap();
    assert_eq!(actions(&finished), [("base", Action::Adopted)]);
    assert_eq!(finished.images[0].digest.as_ref(), Some(&theirs.digest));
    let told = pushing.events.told();
    let base = pushing.reference("base");
    assert!(told.contains(&format!("base: adopted {base}")), "{told:?}");
}

#[test]
fn who_is_beaten_to_a_tag_by_other_inputs_overwrites_nothing() {
    let pushing = Pushing::new();
    let theirs = registry_image(image("stranger"));
    let base = pushing.reference("base").to_string();
    pushing.registry.images.be_beaten_by(&base, theirs.clone());
    assert_eq!(pushing.refused(&["base"]).code(), Code::E301);
    assert_eq!(pushing.registry.images.get(&base), Some(theirs));
    pushing.assert_not_named("a conflict");
}

#[test]
fn a_child_is_built_on_the_parent_that_the_registry_has() {
    let pushing = Pushing::new();
    let theirs = pushing.put("base", pushing.of_others("base"));
    // The daemon has a parent with the same inputs but other layers.
    let mut own = pushing.of_others("base");
    own.diff_ids = image("own base").diff_ids;
    let reference = pushing.reference("base").to_string();
    pushing.daemon.images.put(&reference, own);
    let finished = pushing.push(&["job"]).unwrap();
    assert_eq!(
        actions(&finished),
        [("base", Action::Adopted), ("job", Action::Built)]
    );
    let base = pushing.reference("base");
    let pinned = base.repository.with_digest(&theirs.digest);
    let moved = pushing.daemon.moved();
    assert_eq!(moved[0], format!("pull {pinned}"));
    let in_daemon = pushing.daemon.images.get(&base.to_string()).unwrap();
    assert_eq!(in_daemon.diff_ids, theirs.info.diff_ids);
    let requests = pushing.daemon.builder.requests();
    let below = requests[0].base.as_ref().unwrap();
    assert_eq!(below.diff_ids, theirs.info.diff_ids);
    let told = pushing.events.told();
    let base_told: Vec<&String> = told
        .iter()
        .filter(|line| line.starts_with("base"))
        .collect();
    assert_eq!(
        base_told,
        [
            &format!("base: registry has {base}"),
            &"base: pull the parent".to_owned(),
            &format!("base: pulled {pinned}"),
        ]
    );
}

#[test]
fn the_children_of_a_parent_have_it_pulled_once() {
    let mut pushing = Pushing::new();
    let image = "parent = \"base\"\ndockerfile = \"job.Dockerfile\"\nsrc = \"src\"\n";
    let more = ["b", "c", "d"].map(|name| format!("[images.{name}]\n{image}\n"));
    let job = "[images.job]";
    let with_more = format!("{}{job}", more.concat());
    pushing.project.edit("sparkpack.toml", job, &with_more);
    pushing.plan();
    pushing.put("base", pushing.of_others("base"));
    pushing.push(&["b", "c", "d", "job"]).unwrap();
    let moved = pushing.daemon.moved();
    let pulls = moved.iter().filter(|line| line.starts_with("pull "));
    assert_eq!(pulls.count(), 1, "{moved:?}");
    assert_eq!(pushing.built().len(), 4);
}

#[test]
fn a_parent_that_the_daemon_has_as_the_registry_is_not_pulled() {
    let pushing = Pushing::new();
    let base = pushing.of_others("base");
    let reference = pushing.reference("base").to_string();
    pushing.daemon.images.put(&reference, base.clone());
    pushing.put("base", base);
    pushing.push(&["job"]).unwrap();
    let moved = pushing.daemon.moved();
    assert!(moved[0].starts_with("push "), "{moved:?}");
    assert_eq!(pushing.built(), ["job"]);
}

/// Makes something go wrong after a push has begun.
type Fault = fn(&Pushing);

fn faults() -> [(&'static str, Fault, Code); 9] {
    [
        (
            "the registry allows no look-up",
            |to| to.registry.images.fail_next(denied()),
            Code::E402,
        ),
        (
            "the registry refuses a look-up",
            |to| to.registry.images.fail_next(refused()),
            Code::E502,
        ),
        (
            "the daemon is lost",
            |to| to.daemon.images.fail_next(answer("gone")),
            Code::E605,
        ),
        (
            "the builder fails",
            |to| to.daemon.builder.fail_next(answer("busy")),
            Code::E605,
        ),
        (
            "a step fails",
            |to| to.daemon.builder.fail_next(failed_step()),
            Code::E602,
        ),
        (
            "the push breaks",
            |to| to.daemon.fail_next_move(push_error()),
            Code::E603,
        ),
        (
            "nobody is signed in",
            |to| to.daemon.fail_next_move(unauthorized()),
            Code::E401,
        ),
        (
            "the parent is not pulled",
            |to| {
                to.put("base", to.of_others("base"));
                to.daemon.fail_next_move(pull_error());
            },
            Code::E604,
        ),
        (
            "the image on which it stands is not there",
            |to| {
                to.daemon.images.remove("registry.example/root:1");
            },
            Code::E606,
        ),
    ]
}

#[test]
fn every_fault_of_a_push_has_its_code_and_names_nothing() {
    for (what, fault, code) in faults() {
        let pushing = Pushing::with_pins();
        fault(&pushing);
        let error = pushing.refused(&["job"]);
        assert_eq!(error.code(), code, "{what}: {error}");
        pushing.assert_not_named(what);
        let job = pushing.reference("job").to_string();
        assert_eq!(pushing.registry.images.get(&job), None, "{what}");
        let told = pushing.events.told();
        assert!(
            !told.iter().any(|line| line.contains(": pushed ")),
            "{what}: {told:?}"
        );
    }
}

fn failed_step() -> BuildError {
    BuildError::Failed {
        instruction: Some("COPY base.txt /opt/".to_owned()),
        step: Some((2, 2)),
        last_lines: Vec::new(),
        message: "exit code: 1".to_owned(),
        hint: None,
    }
}

#[test]
fn what_stands_on_a_failed_push_is_skipped() {
    let pushing = Pushing::new();
    pushing.daemon.fail_next_move(push_error());
    assert_eq!(pushing.refused(&["job"]).code(), Code::E603);
    assert_eq!(pushing.built(), ["base"]);
    let told = pushing.events.told();
    let end = ["job: skipped", "pushed 0 of 2"];
    assert_eq!(told[told.len() - 2..], end, "{told:?}");
    // The staging tag is removed from the daemon all the same.
    let moved = pushing.daemon.moved();
    assert!(moved.last().unwrap().starts_with("untag "), "{moved:?}");
}

#[test]
fn a_registry_that_does_not_have_what_it_took_is_told() {
    let mut pushing = Pushing::new();
    let elsewhere = RegistryInMemory::default();
    let root = pushing
        .daemon
        .images
        .get("registry.example/root:1")
        .unwrap();
    pushing.daemon = DaemonInMemory::beside(&elsewhere.images);
    pushing.daemon.images.put("registry.example/root:1", root);
    let error = pushing.refused(&["base"]);
    assert_eq!(error.code(), Code::E606);
    assert!(
        error.to_string().ends_with("took it and does not have it"),
        "{error}"
    );
    pushing.assert_not_named("it is not there");
}

#[test]
fn a_tag_that_another_push_takes_away_is_set_again_a_few_times() {
    let pushing = Pushing::new();
    for _ in 0..4 {
        pushing.daemon.lose_next_tag();
    }
    pushing.push(&["base"]).unwrap();
    let moved = pushing.daemon.moved();
    let pushes = moved.iter().filter(|line| line.starts_with("push "));
    assert_eq!(pushes.count(), 5, "{moved:?}");

    let pushing = Pushing::new();
    for _ in 0..5 {
        pushing.daemon.lose_next_tag();
    }
    assert_eq!(pushing.refused(&["base"]).code(), Code::E605);
}

/// A push of `base`, whose record is too large for a label.
fn with_large_record() -> Pushing {
    let mut pushing = Pushing::new();
    for number in 0..1000 {
        let path = format!("many/{number}.txt");
        pushing.project.write(&path, &number.to_string());
    }
    let copy = "COPY base.txt /opt/\n";
    let more = format!("{copy}COPY many /opt/many\n");
    pushing.project.edit("base.Dockerfile", copy, &more);
    pushing.plan();
    let record = &pushing.stage("base").first().record;
    assert!(record.label().is_none(), "it is too large");
    pushing
}

#[test]
fn a_record_too_large_for_a_label_is_there_before_the_tag() {
    let pushing = with_large_record();
    pushing.push(&["base"]).unwrap();
    let base = pushing.reference("base");
    assert_eq!(pushing.registry.documents(), [format!("{base}.record")]);

    // If the registry refuses the record, the image is pushed without it.
    let pushing = with_large_record();
    pushing.registry.fail_next(refused());
    pushing.push(&["base"]).unwrap();
    let told = pushing.events.told();
    let without = format!("{base}: without record: ");
    assert!(
        told.iter().any(|line| line.starts_with(&without)),
        "{told:?}"
    );
    assert_eq!(pushing.registry.documents(), [""; 0]);

    // Any other error stops the push, and the image gets no tag.
    let pushing = with_large_record();
    pushing.registry.fail_next(denied());
    assert_eq!(pushing.refused(&["base"]).code(), Code::E402);
    assert_eq!(pushing.registry.images.get(&base.to_string()), None);
}

#[test]
fn who_may_not_write_a_record_can_still_adopt_the_image() {
    let pushing = Pushing::new();
    let mut info = pushing.of_others("base");
    let fingerprint = pushing.stage("base").fingerprint.to_string();
    info.labels
        .insert(LABEL_RECORD_DIGEST.to_owned(), fingerprint);
    pushing.put("base", info);
    pushing.registry.fail_next(denied());
    let finished = pushing.push(&["base"]).unwrap();
    assert_eq!(actions(&finished), [("base", Action::Adopted)]);
    let base = pushing.reference("base");
    let told = pushing.events.told();
    assert!(
        told[0].starts_with(&format!("{base}: without record: ")),
        "{told:?}"
    );
    // The next user who may push adds the missing record.
    pushing.push(&["base"]).unwrap();
    assert_eq!(pushing.registry.documents(), [format!("{base}.record")]);
}

#[test]
fn what_is_wrong_with_the_project_is_told_before_anything_is_sent() {
    let of_push: [(&str, Mistake, Code); 2] = [
        (
            "pins that cannot be read",
            |to| {
                let name = "project = \"small\"\n";
                let pinned = format!("{name}pin = \"tag+digest\"\n");
                to.project.edit("sparkpack.toml", name, &pinned);
                to.project.write("sparkpack.pins", "nonsense\n");
            },
            Code::E069,
        ),
        (
            "no network",
            |to| to.policy = LockPolicy::Offline,
            Code::E035,
        ),
    ];
    for (what, mistake, code) in MISTAKES.into_iter().chain(of_push) {
        let mut pushing = Pushing::new();
        mistake(&mut pushing);
        pushing.assert_sends_nothing(what, code);
    }
    let mut pushing = Pushing::new();
    pushing.strictness = Strictness::of(Some(true), Compared::Commit);
    pushing.assert_sends_nothing("no git to ask what is tracked", Code::E097);
}

#[test]
fn untracked_inputs_are_not_pushed_by_who_is_strict() {
    let mut pushing = Pushing::new();
    pushing.strictness = Strictness::of_ci(Compared::Commit);
    pushing.project.git(&["init", "-q"]);
    pushing.project.git(&["add", "."]);
    assert_eq!(pushing.refused(&["job"]).code(), Code::E098, "no commit");
    pushing.project.git(&["commit", "-qm", "all"]);
    pushing.project.git(&["rm", "-q", "--cached", "base.txt"]);
    assert_eq!(pushing.refused(&["job"]).code(), Code::E098);
    assert_eq!(pushing.registry.images.looked_up(), [""; 0]);
    pushing.project.git(&["add", "base.txt"]);
    pushing.push(&["job"]).unwrap();
}

#[test]
fn an_image_that_holds_programs_of_another_platform_is_not_pushed() {
    let pushing = Pushing::new();
    pushing.push(&["base"]).unwrap();
    let reference = pushing.reference("base").to_string();
    let base = pushing.daemon.images.get(&reference).unwrap();
    pushing.registry.images.remove(&reference);
    pushing.daemon.moved();
    pushing.daemon.images.put_program(&base.id, 183);
    let error = pushing.refused(&["base"]);
    assert_eq!(error.code(), Code::E606);
    let wanted = "its `/bin/sh` is a program for arm64";
    assert!(error.to_string().ends_with(wanted), "{error}");
    assert_eq!(pushing.daemon.moved(), [""; 0]);
    assert_eq!(pushing.registry.images.get(&reference), None);

    pushing.daemon.images.put_program(&base.id, 62);
    let cache = pushing.project.cache().folder(CacheKind::Programs);
    fs_err::remove_dir_all(cache).unwrap();
    pushing.push(&["base"]).unwrap();
    assert!(pushing.registry.images.get(&reference).is_some());
}
