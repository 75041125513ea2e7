//! Makes plans from a checkout and its locks, without a network.

use super::{
    Prepared, Strictness, lock_files::LockFiles, prepare, prepare::read_inputs, prepare_for,
    untracked_inputs, upgrade::upgrade,
};
use crate::{
    adapters::git::Compared,
    code::Code,
    error::Error,
    operations::{
        testing::{CONFIGURATION, Project, Recorder},
        workspace::{LockPolicy, Services, Session, read_lock},
    },
    plan::Recipe,
};

mod arguments;
mod mixed;

const ALL: [LockPolicy; 4] = [
    LockPolicy::Update,
    LockPolicy::ReadOnly,
    LockPolicy::Locked,
    LockPolicy::Offline,
];

fn prepared(session: &Session<'_>, policy: LockPolicy) -> Result<Prepared, Error> {
    prepare(session, &Services::new(session, policy))
}

/// The error of a plan of `project`.
fn refused(project: &Project, policy: LockPolicy) -> Error {
    let events = Recorder::default();
    prepared(&project.session(&events), policy).err().unwrap()
}

#[test]
fn a_plan_has_all_stages_parents_first_and_writes_nothing_where_it_may_not() {
    let (project, events) = (Project::small(), Recorder::default());
    let lock = project.read("sparkpack.lock");
    let session = project.session(&events);
    let prepared = prepared(&session, LockPolicy::ReadOnly).unwrap();
    assert_eq!(prepared.plan.order, ["base", "job"]);
    assert!(prepared.plan.stages["job"].parents.contains("base"));
    let registry = session.registry(None).unwrap();
    let reference = prepared.plan.stages["job"].reference(registry).to_string();
    assert!(
        reference.starts_with("registry.example/small/job:"),
        "{reference}"
    );
    assert_eq!(project.read("sparkpack.lock"), lock);
}

#[test]
fn what_the_checkout_knows_by_itself_is_written_into_the_lock() {
    let (project, events) = (Project::small(), Recorder::default());
    let before = project.read("sparkpack.lock");
    prepared(&project.session(&events), LockPolicy::Offline).unwrap();
    let after = project.read("sparkpack.lock");
    assert_ne!(before, after);
    assert!(after.contains("[chains.main]"), "{after}");
    assert_eq!(events.told(), ["wrote sparkpack.lock"]);
    // A complete lock is not written again.
    prepared(&project.session(&events), LockPolicy::Offline).unwrap();
    assert_eq!(events.told(), [""; 0]);
    prepared(&project.session(&events), LockPolicy::Locked).unwrap();
}

#[test]
fn locked_refuses_a_lock_that_is_not_up_to_date() {
    let project = Project::small();
    let before = project.read("sparkpack.lock");
    let error = refused(&project, LockPolicy::Locked);
    assert_eq!(error.code(), Code::E034);
    assert_eq!(error.exit_code(), 2);
    assert_eq!(project.read("sparkpack.lock"), before);
}

#[test]
fn what_the_lock_lacks_is_told_with_the_option_that_forbids_to_look_it_up() {
    let said = [
        (LockPolicy::ReadOnly, "does not have"),
        (
            LockPolicy::Locked,
            "does not have, and `--locked` forbids to add it",
        ),
        (
            LockPolicy::Offline,
            "does not have, and `--offline` forbids to look it up",
        ),
    ];
    for (policy, end) in said {
        let project = Project::small();
        project.write("sparkpack.lock", "format = 1\n");
        let error = refused(&project, policy);
        assert_eq!(error.code(), Code::E033, "{policy:?}");
        assert!(error.headline().ends_with(end), "{}", error.headline());
        assert_eq!(project.read("sparkpack.lock"), "format = 1\n");
    }
}

/// A plan of `base` alone, in a project whose `job` lacks something in the locks.
fn assert_planned_without_job(project: &Project, code: Code) {
    let targets = ["base".to_owned()];
    // The last one compares with what the one before has written.
    for policy in [
        LockPolicy::ReadOnly,
        LockPolicy::Update,
        LockPolicy::Locked,
        LockPolicy::Offline,
    ] {
        let events = Recorder::default();
        let session = project.session(&events);
        let services = Services::new(&session, policy);
        let planned = prepare_for(&session, &services, &targets).unwrap();
        assert_eq!(planned.plan.order, ["base"], "{policy:?}");
        assert_eq!(planned.plan.stages.len(), 1);
        let whole = prepared(&session, LockPolicy::Locked).err().unwrap();
        assert_eq!(whole.code(), code, "{policy:?}");
    }
}

#[test]
fn what_chosen_images_do_not_stand_on_need_not_be_locked() {
    let project = Project::small();
    let copy = "ARG PARENT\nFROM ${PARENT}\nCOPY --from=127.0.0.1:1/nobody:1 /a /b\n";
    project.write("job.Dockerfile", copy);
    assert_planned_without_job(&project, Code::E033);

    let project = Project::small();
    project.edit(
        "sparkpack.toml",
        "src = \"src\"",
        "src = \"src\"\nrequirements = \"requirements.txt\"",
    );
    project.write("requirements.txt", "six==1.16.0\n");
    assert_planned_without_job(&project, Code::E033);
    assert!(!project.path("requirements.lock").exists());
}

#[test]
fn an_image_that_is_pinned_by_digest_is_locked_without_asking_anybody() {
    let (project, events) = (Project::small(), Recorder::default());
    let pinned = format!("registry.example/root@sha256:{}", "1".repeat(64));
    project.edit("sparkpack.toml", "registry.example/root:1", &pinned);
    project.write("sparkpack.lock", "format = 1\n");
    prepared(&project.session(&events), LockPolicy::Offline).unwrap();
    assert!(project.read("sparkpack.lock").contains(&pinned));
}

#[test]
fn a_lock_that_cannot_be_read_stops_whoever_plans() {
    for policy in ALL {
        let project = Project::small();
        project.write("sparkpack.lock", "format = [");
        assert_eq!(refused(&project, policy).code(), Code::E030);
        project.write("sparkpack.lock", "format = 99\n");
        assert_eq!(refused(&project, policy).code(), Code::E031);
    }
}

#[test]
fn images_that_stand_on_each_other_are_told_before_anything_is_looked_up() {
    let project = Project::small();
    project.write(
        "base.Dockerfile",
        "ARG ROOT\nFROM ${ROOT}\nCOPY --from=job /opt /opt\n",
    );
    assert_eq!(refused(&project, LockPolicy::Update).code(), Code::E085);
}

#[test]
fn several_platforms_are_planned_and_named_in_messages() {
    let (project, events) = (Project::small(), Recorder::default());
    let platforms = "format = 1\nplatforms = [\"linux/amd64\", \"linux/arm64\"]";
    project.edit("sparkpack.toml", "format = 1", platforms);
    let prepared = prepared(&project.session(&events), LockPolicy::ReadOnly).unwrap();
    let stage = &prepared.plan.stages["job"];
    let titles = stage.platforms.iter().map(|on| on.title.as_str());
    assert_eq!(
        titles.collect::<Vec<_>>(),
        ["job (linux/amd64)", "job (linux/arm64)"]
    );
    assert_eq!(stage.title, "job (linux/amd64, linux/arm64)");
    let whole = stage.whole_record();
    assert_eq!(whole.fingerprint(), stage.fingerprint);
    let fingerprints = whole.platforms().unwrap();
    for on in &stage.platforms {
        assert_eq!(fingerprints[&on.platform], on.fingerprint);
        assert_eq!(on.record.platform().as_ref(), Some(&on.platform));
        assert_eq!(on.record.platforms(), None);
    }
}

/// The locks after an upgrade of `name`, or why there is nothing to upgrade.
fn upgraded(project: &Project, name: Option<&str>) -> Result<LockFiles, Error> {
    let events = Recorder::default();
    let session = project.session(&events);
    let lock = read_lock(&session.project.root).unwrap();
    let inputs = read_inputs(&session, &lock).unwrap();
    let files = LockFiles::read(&session, lock, &inputs).unwrap();
    Ok(upgrade(name, &session, &inputs, &files)?.files)
}

#[test]
fn an_upgrade_forgets_what_is_looked_up_again_and_nothing_else() {
    let project = Project::small();
    let images = |name| upgraded(&project, name).unwrap().lock.images.len();
    assert_eq!(images(None), 1, "nothing is asked for");
    assert_eq!(images(Some("registry.example/root:1")), 0);
    assert_eq!(images(Some("base")), 0, "what an image stands on");
    assert_eq!(images(Some("job")), 1, "job stands on base alone");
    assert_eq!(images(Some("")), 0, "everything");
}

#[test]
fn an_upgrade_of_nothing_that_is_locked_is_refused_with_what_is_near() {
    let error = upgraded(&Project::small(), Some("bse")).err().unwrap();
    assert_eq!(error.code(), Code::E036);
    assert_eq!(error.hint().as_deref(), Some("did you mean `base`?"));
    let error = upgraded(&Project::small(), Some("zzzzzz")).err().unwrap();
    assert!(error.hint().unwrap().contains("base, job"), "{error}");
}

#[test]
fn untracked_inputs_are_listed_and_refused_by_who_is_strict() {
    let (project, events) = (Project::small(), Recorder::default());
    let session = project.session(&events);
    let prepared = prepared(&session, LockPolicy::ReadOnly).unwrap();
    let targets = ["job".to_owned()];
    let both = [Compared::Index, Compared::Commit];
    // Without git, `--strict` is an error, a run in CI reports it, and other runs ignore it.
    let check = |strictness: Strictness| strictness.check(&session, &prepared, &targets);
    assert!(untracked_inputs(&session, &prepared, &targets).is_err());
    for compared in both {
        let error = check(Strictness::of(Some(true), compared)).unwrap_err();
        assert_eq!(error.code(), Code::E097);
    }
    check(Strictness::OFF).unwrap();
    assert_eq!(events.told(), [""; 0]);
    check(Strictness::of_ci(Compared::Commit)).unwrap();
    assert!(events.told()[0].starts_with("untracked not checked"));

    project.git(&["init", "-q"]);
    project.git(&["add", "."]);
    check(Strictness::of_ci(Compared::Index)).unwrap();
    check(Strictness::of_ci(Compared::Commit)).unwrap_err();
    project.git(&["commit", "-qm", "all"]);
    assert_eq!(
        untracked_inputs(&session, &prepared, &targets).unwrap(),
        [""; 0]
    );
    for compared in both {
        check(Strictness::of_ci(compared)).unwrap();
    }
    project.git(&["rm", "-q", "--cached", "src/jobs/one.py"]);
    let untracked = untracked_inputs(&session, &prepared, &targets).unwrap();
    assert_eq!(untracked, ["src/jobs/one.py"]);
    for compared in both {
        for strictness in [
            Strictness::of(Some(true), compared),
            Strictness::of_ci(compared),
        ] {
            let error = check(strictness).unwrap_err();
            assert_eq!(error.code(), Code::E098);
            let because = error.because().unwrap();
            assert!(because.contains("src/jobs/one.py (untracked)"), "{because}");
        }
    }
    check(Strictness::OFF).unwrap();
}

#[test]
fn the_wheels_of_requirements_need_a_lock_and_a_chain() {
    let project = Project::small();
    project.write("requirements.txt", "six==1.16.0\n");
    let with = |toml: &str| {
        toml.replace(
            "src = \"src\"\n",
            "src = \"src\"\nrequirements = \"requirements.txt\"\n",
        )
    };
    project.write("sparkpack.toml", &with(CONFIGURATION));
    let error = refused(&project, LockPolicy::ReadOnly);
    assert_eq!(error.code(), Code::E033);
    assert!(error.headline().contains("requirements.txt"), "{error}");
}
