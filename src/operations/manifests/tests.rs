//! The findings in manifests, and what is written into them.

use std::sync::Arc;

use super::{Digests, Examined, ExpectedReferences, Manifests, Scope};
use crate::{
    adapters::journal::Replacement,
    code::Code,
    error::Error,
    image::Digest,
    operations::{
        resolution::{Prepared, prepare},
        testing::{Project, Recorder, pods},
        workspace::{LockPolicy, Services, Session},
    },
    project::{ManifestGlob, place::Place},
};

const JOB: &str = "registry.example/small/job";

/// A `SparkApplication` with these lines in its `spec`.
fn application(spec: &str) -> String {
    format!(
        "apiVersion: sparkoperator.k8s.io/v1beta2\nkind: SparkApplication\nmetadata: {{name: a}}\nspec:\n{spec}"
    )
}

/// The results of a run for the manifests.
struct Looked<'a> {
    session: &'a Session<'a>,
    prepared: &'a Prepared,
    scope: Scope<'a>,
    expected: ExpectedReferences,
    examined: Vec<Arc<Examined>>,
}

/// Examines the manifests in a run that covers `images`, and calls `work` with the results.
fn look<T>(
    project: &Project,
    events: &Recorder,
    images: &[&str],
    work: impl FnOnce(&Looked<'_>) -> T,
) -> T {
    let session = project.session(events);
    let services = Services::new(&session, LockPolicy::ReadOnly);
    let prepared = prepare(&session, &services).unwrap();
    let images: Vec<String> = images.iter().map(|&name| name.to_owned()).collect();
    let scope = Scope {
        registry: None,
        images: &images,
    };
    let expected = ExpectedReferences::of_plan(&session, &prepared, scope, Digests::Assumed);
    let manifests = Manifests::of(&session, None).unwrap().in_full(true);
    let examined = manifests.examine(&expected).unwrap();
    work(&Looked {
        session: &session,
        prepared: &prepared,
        scope,
        expected,
        examined,
    })
}

const ALL: [&str; 2] = ["base", "job"];

/// The warnings that a run reports, each with its code.
fn warned(manifests: &[(&str, &str)], images: &[&str]) -> Vec<String> {
    let (project, events) = (Project::with_manifests(manifests), Recorder::default());
    look(&project, &events, images, |looked| {
        super::warn(
            looked.session,
            looked.prepared,
            looked.scope,
            &looked.examined,
        );
    });
    events.told()
}

/// The error for manifests that name no image of the project.
fn refused(manifests: &[(&str, &str)], images: &[&str]) -> Option<Error> {
    let (project, events) = (Project::with_manifests(manifests), Recorder::default());
    look(&project, &events, images, |looked| {
        super::examine::refuse_nothing_named(looked.session, looked.scope, &looked.examined).err()
    })
}

/// A Dockerfile uses a source, wherever the configuration does not name it.
#[test]
fn only_a_source_that_nothing_uses_is_told() {
    for (dockerfile, told) in [
        (
            "ARG PARENT\nFROM ${PARENT}\nCOPY --from=source:vend / /v\n",
            false,
        ),
        (
            "ARG V\nFROM ${V:-source:vend} AS v\nFROM base\nCOPY --from=v / /v\n",
            false,
        ),
        (
            "FROM base\nRUN --mount=from=source:vend,target=/v true\n",
            false,
        ),
        ("FROM base\n# COPY --from=source:vend / /v\n", true),
        (
            "FROM base AS unused\nCOPY --from=source:vend / /v\nFROM base\n",
            true,
        ),
    ] {
        let project =
            Project::with_manifests(&[("a.yml", &pods(&["registry.example/small/job:unbuilt"]))]);
        let chain = "[chains.main]";
        let source = format!("[sources.vend]\npath = \"vend\"\n\n{chain}");
        project.edit("sparkpack.toml", chain, &source);
        project.write("vend/a", "a");
        project.write("job.Dockerfile", dockerfile);
        let events = Recorder::default();
        let session = project.session(&events);
        let services = Services::new(&session, LockPolicy::ReadOnly);
        let scope = Scope {
            registry: None,
            images: &[],
        };
        super::survey(&session, &services, scope, true)
            .map(drop)
            .unwrap();
        let lines = events.told();
        let is_told = lines
            .iter()
            .any(|line| line.contains("nothing uses the source `vend`"));
        assert_eq!(is_told, told, "{dockerfile}: {lines:?}");
    }
}

#[test]
fn a_manifest_of_two_registries_is_refused() {
    let (project, events) = (
        Project::with_manifests(&[("a.yml", "a: 1\n")]),
        Recorder::default(),
    );
    project.edit(
        "sparkpack.toml",
        "registries.main = \"registry.example/small\"\n",
        "registries.main = \"registry.example/small\"\nregistries.test = \"test.example/small\"\n",
    );
    let both = "main = [\"*.yml\"]\ntest = [\"a.*\"]\n";
    project.edit("sparkpack.toml", "main = [\"*.yml\"]\n", both);
    let session = project.session(&events);
    let error = Manifests::of(&session, None).err().unwrap();
    assert_eq!(error.code(), Code::E022);
    assert!(
        error
            .to_string()
            .contains("`a.yml` is one of the manifests of"),
        "{error}"
    );
    Manifests::of(&session, Some("main")).unwrap();
    let unknown = Manifests::of(&session, Some("nowhere")).err().unwrap();
    assert_eq!(unknown.code(), Code::E087);
}

#[test]
fn a_glob_of_anchors_that_is_none_is_told_at_its_place() {
    let (project, events) = (Project::with_manifests(&[]), Recorder::default());
    let mut session = project.session(&events);
    session.project.anchors.push(ManifestGlob {
        place: Place::of_line("sparkpack.toml", 7),
        pattern: "[".to_owned(),
        files: Vec::new(),
    });
    let error = Manifests::of(&session, None).err().unwrap();
    assert_eq!(error.code(), Code::E022);
    assert!(error.to_string().starts_with("sparkpack.toml:7"), "{error}");
}

#[test]
fn an_object_without_an_image_is_the_reason_why_nothing_is_named() {
    let error = refused(&[("a.yml", &application("  mode: cluster\n"))], &ALL).unwrap();
    assert_eq!(error.code(), Code::E204);
    assert!(error.to_string().starts_with("a.yml:2:7"), "{error}");
    let because = error.because().unwrap();
    assert!(because.contains("`spec.image`"), "{because}");
    let hint = error.hint().unwrap();
    assert!(
        hint.contains(&format!("write `{JOB}:unbuilt` at `spec.image`")),
        "{hint}"
    );
}

#[test]
fn manifests_that_name_only_others_are_told_by_their_names() {
    let others = application("  image: registry.example/elsewhere:1\n");
    let pod = "apiVersion: v1\nkind: Pod\nspec:\n  containers: [{name: a, image: nginx:1}]\n";
    let four = [
        ("a.yml", pod),
        ("b.yml", pod),
        ("c.yml", pod),
        ("d.yml", pod),
    ];
    let cases: [(&[(&str, &str)], &str); 3] = [
        (
            &[("a.yml", &others)],
            "nothing in `a.yml` names an image of this project",
        ),
        (
            &[("a.yml", pod)],
            "no SparkApplication in `a.yml`, and nothing there names",
        ),
        (
            &four,
            "no SparkApplication in `a.yml`, `b.yml`, `c.yml` and 1 more, and nothing",
        ),
    ];
    for (manifests, message) in cases {
        let error = refused(manifests, &ALL).unwrap();
        assert_eq!(error.code(), Code::E205);
        assert!(error.to_string().contains(message), "{error}");
        let hint = error.hint().unwrap();
        assert!(
            hint.contains(&format!("write `image: {JOB}:unbuilt`")),
            "{hint}"
        );
        // A run that does not cover all images cannot know that nothing is named.
        assert!(refused(manifests, &["job"]).is_none());
    }
    assert!(refused(&[], &ALL).is_none(), "no manifests are no mistake");
    let ours = application(&format!("  image: {JOB}:1\n"));
    assert!(refused(&[("a.yml", &ours), ("b.yml", pod)], &ALL).is_none());
}

#[test]
fn what_is_odd_is_warned_of_before_manifests_are_refused() {
    let text = application("  sparkConf:\n    spark.kubernetes.container.image: nginx:1\n");
    let (project, events) = (
        Project::with_manifests(&[("a.yml", &text)]),
        Recorder::default(),
    );
    look(&project, &events, &ALL, |looked| {
        super::examine::refuse_nothing_named(looked.session, looked.scope, &looked.examined)
            .unwrap_err();
    });
    let told = events.told();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("W106: "), "{told:?}");
}

#[test]
fn every_oddity_has_its_code() {
    let ours = format!("  image: {JOB}:unbuilt\n");
    let prose = format!("  note: see {JOB}:0123456789abcdef for more\n");
    let value = format!("  note: {JOB}:0123456789abcdef\n");
    let conf = "  sparkConf:\n    spark.kubernetes.container.image: IMAGE\n";
    let cases = [
        (
            application(&format!("{ours}  sparkVersion: \"3.5.0\"\n")),
            "W107: this object is for Spark 3.5.0",
        ),
        (application(&format!("{ours}{prose}")), "W105: "),
        (application(&format!("{ours}{value}")), "W105: "),
        (
            application(&conf.replace("IMAGE", &format!("{JOB}:1"))),
            "W106: ",
        ),
        (
            application("  image: nginx:1\n"),
            "W104: no manifest names an image of this project",
        ),
        (
            application("  image: registry.example/small/base:1\n"),
            "W104: no manifest names `job`",
        ),
    ];
    for (text, wanted) in cases {
        let told = warned(&[("a.yml", &text)], &ALL);
        assert!(
            told.iter().any(|line| line.starts_with(wanted)),
            "{wanted}: {told:?}"
        );
    }
    assert_eq!(warned(&[("a.yml", &application(&ours))], &ALL), [""; 0]);
    let unnamed = application("  image: nginx:1\n");
    assert_eq!(
        warned(&[("a.yml", &unnamed)], &["job"]),
        [""; 0],
        "not all is meant"
    );
}

#[test]
fn an_anchor_that_may_be_changed_is_warned_of() {
    let text = application(&format!("  image: &a {JOB}:1\n  driver: {{image: *a}}\n"));
    let (project, events) = (
        Project::with_manifests(&[("a.yml", &text)]),
        Recorder::default(),
    );
    let allowed = "format = 1\nanchors = [\"*.yml\"]\n";
    project.edit("sparkpack.toml", "format = 1\n", allowed);
    look(&project, &events, &ALL, |looked| {
        super::warn(
            looked.session,
            looked.prepared,
            looked.scope,
            &looked.examined,
        );
    });
    let told = events.told();
    let wanted =
        "W110: `spec.image` belongs to an anchor: with it changes what stands at a.yml:6:19";
    assert_eq!(told, [wanted]);
}

#[test]
fn what_is_rewritten_is_told_and_what_is_left_alone_where_somebody_asks() {
    let text = application(&format!("  image: {JOB}:unbuilt\n"));
    let other = application("  image: nginx:1\n");
    let (project, events) = (
        Project::with_manifests(&[("a.yml", &text), ("b.yml", &other)]),
        Recorder::default(),
    );
    look(&project, &events, &ALL, |looked| {
        let wanted = looked.expected.of("main", "job").unwrap();
        let new = format!("{JOB}:{}", wanted.tag);
        super::examine::say_skipped(looked.session, &looked.examined);
        assert_eq!(events.told(), ["b.yml:5:10: left nginx:1"]);
        assert!(super::write(looked.session, &looked.examined, None).unwrap());
        assert_eq!(events.told(), [format!("a.yml:5:10: now {new}")]);
        assert_eq!(
            project.read("a.yml"),
            text.replace(&format!("{JOB}:unbuilt"), &new)
        );
        assert_eq!(project.read("b.yml"), other);
    });
    look(&project, &events, &ALL, |looked| {
        assert!(!super::write(looked.session, &looked.examined, None).unwrap());
        assert_eq!(events.told(), [""; 0]);
    });
}

#[test]
fn what_changes_meanwhile_leaves_all_files_as_they_were() {
    let text = application(&format!("  image: {JOB}:unbuilt\n"));
    let (project, events) = (
        Project::with_manifests(&[("a.yml", &text), ("b.yml", &text)]),
        Recorder::default(),
    );
    look(&project, &events, &ALL, |looked| {
        let edited = format!("{text}  mode: cluster\n");
        project.write("b.yml", &edited);
        let beside = Replacement {
            path: project.path("sparkpack.pins"),
            old: None,
            bytes: b"pins\n".to_vec(),
        };
        let error = super::write(looked.session, &looked.examined, Some(beside)).unwrap_err();
        assert_eq!(error.code(), Code::E102);
        assert_eq!(project.read("a.yml"), text);
        assert_eq!(project.read("b.yml"), edited);
        assert!(!project.path("sparkpack.pins").exists());
        assert_eq!(events.told(), [""; 0], "nothing was written");
    });
}

#[test]
fn pins_that_cannot_be_read_leave_no_references_to_expect() {
    let (project, events) = (Project::with_manifests(&[]), Recorder::default());
    let name = "project = \"small\"\n";
    project.edit(
        "sparkpack.toml",
        name,
        &format!("{name}pin = \"tag+digest\"\n"),
    );
    project.write("sparkpack.pins", "nonsense\n");
    look(&project, &events, &ALL, |looked| {
        let pinned = ExpectedReferences::pinned(looked.session, looked.prepared, looked.scope);
        assert_eq!(pinned.err().unwrap().code(), Code::E069);
        // Before a push every image has a made-up digest, so that places that cannot hold a digest are found.
        let digest = &looked.expected.of("main", "job").unwrap().digest;
        let some = Digest::of(b"");
        assert!(matches!(digest, crate::yaml::ExpectedDigest::Known(known) if *known == some));
    });
}
