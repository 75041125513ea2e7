//! Looks up and builds stages without a daemon.

mod contexts;
mod whole;

use std::{collections::BTreeMap, fmt::Write as _, path::Path, sync::Mutex};

use super::{Run, StageBuilder};
use crate::{
    adapters::{
        builder::{BuildError, BuildRequest},
        cache::{Cache, CacheKind},
        docker::DockerError,
        fakes::{InMemory, RecordingBuilder, image},
    },
    error::Error,
    image::{Digest, ImageInfo, LABEL_FINGERPRINT, LABEL_STAGE, Platform},
    operations::{
        dist::{Action, BuiltImage, Packer},
        events::{Events, Note, Outcome, Progress, Step, Transfer},
        resolution::{Prepared, prepare},
        workspace::{LockPolicy, Services, Session},
    },
    plan::decision::Answers,
    project::{place::Defect, tree::Content},
};

const CONFIGURATION: &str = r#"format = 1
project = "small"
registries.main = "reg.example/team"

[images.base]
dockerfile = "base.Dockerfile"

[images.job]
parent = "base"
dockerfile = "job.Dockerfile"
"#;

/// Records events, one line each.
#[derive(Default)]
struct ToldLines(Mutex<String>);

impl ToldLines {
    fn line(&self, line: &str) {
        writeln!(self.0.lock().unwrap(), "{line}").unwrap();
    }
}

impl Events for ToldLines {
    fn note(&self, note: Note<'_>) {
        if let Note::InDaemon { stage, .. } = note {
            self.line(&format!("{stage} is there"));
        }
    }

    fn warn(&self, warning: &Defect) {
        self.line(warning.code.as_str());
    }

    fn begin(&self, name: &str) -> Box<dyn Progress + '_> {
        Box::new(ToldWork(self, name.to_owned()))
    }
}

/// The work on one image.
struct ToldWork<'a>(&'a ToldLines, String);

impl Progress for ToldWork<'_> {
    fn step(&mut self, step: Step<'_>) {
        match step {
            Step::Build(reason) => self.0.line(&format!("{}: {reason}", self.1)),
            Step::Instruction { text, .. } => self.0.line(&format!("{}: {text}", self.1)),
            _ => {}
        }
    }

    fn output(&mut self, _line: &str) {}

    fn moved(&mut self, _transfer: Transfer, _done: u64, _total: Option<u64>) {}

    fn end(&mut self, outcome: Outcome<'_>) {
        if let Outcome::Built { reference, .. } = outcome {
            let repository = &reference.repository;
            self.0.line(&format!("{}: built {repository}", self.1));
        }
    }
}

/// A run on a project of two images, `job` on `base`.
struct BuildRun<'a> {
    run: &'a Run<'a>,
    packer: &'a Packer<'a>,
    prepared: &'a Prepared,
    daemon: InMemory<ImageInfo>,
    told: &'a ToldLines,
}

impl BuildRun<'_> {
    /// Reuses or builds `base`, then `job`.
    fn make(&self, builder: &RecordingBuilder) -> Result<BTreeMap<String, BuiltImage>, Error> {
        let stages = self.stages();
        let mut made = BTreeMap::new();
        for name in &self.prepared.plan.order {
            let stage = &self.prepared.plan.stages[name];
            let image = stages.make_with(
                &self.daemon,
                &|| Ok(Box::new(builder.clone())),
                stage.first(),
                &made,
            )?;
            made.insert(name.clone(), image);
        }
        Ok(made)
    }

    /// A [`StageBuilder`] without earlier answers of the daemon.
    fn stages(&self) -> StageBuilder<'_> {
        StageBuilder::new(self.run, self.packer, Answers::new())
    }

    fn needed(&self, target: &str) -> Result<Vec<String>, Error> {
        let targets = [target.to_owned()];
        let answers = self
            .run
            .ask_for_needed(&targets, &Platform::default(), &self.daemon)?;
        let needed = self
            .run
            .asked(&targets, &Platform::default())
            .needed(&answers);
        Ok(needed.into_iter().collect())
    }

    /// The events since the last call.
    fn told(&self) -> String {
        std::mem::take(&mut self.told.0.lock().unwrap())
    }
}

/// Runs `work` on the project, whose `job` has this Dockerfile.
fn with_job<T>(dockerfile: &str, work: impl FnOnce(&BuildRun<'_>) -> T) -> T {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs_err::write(folder.path().join(name), text).unwrap();
    write("sparkpack.toml", CONFIGURATION);
    write("base.Dockerfile", "FROM scratch\nCOPY text /text\n");
    write("job.Dockerfile", dockerfile);
    write("text", "text\n");
    work_in(folder.path(), work)
}

fn work_in<T>(root: &Path, work: impl FnOnce(&BuildRun<'_>) -> T) -> T {
    let told = ToldLines::default();
    let mut session = Session::open(Some(root), &told).unwrap();
    session.cache = Cache::new(root.join("cache"));
    let services = Services::new(&session, LockPolicy::ReadOnly);
    let prepared = prepare(&session, &services).unwrap();
    let packer = Packer::new(&session, &services);
    let run = Run {
        session: &session,
        services: &services,
        prepared: &prepared,
        registry: session.registry(None).unwrap(),
    };
    work(&BuildRun {
        run: &run,
        packer: &packer,
        prepared: &prepared,
        daemon: InMemory::default(),
        told: &told,
    })
}

const JOB: &str = "FROM base\nCOPY text /job\n";

fn names(requests: &[BuildRequest]) -> Vec<&str> {
    let labels = requests.iter().map(|request| &request.labels);
    labels.map(|labels| labels[LABEL_STAGE].as_str()).collect()
}

#[test]
fn what_is_missing_is_built_and_then_found() {
    with_job(JOB, |run| {
        assert_eq!(run.needed("job").unwrap(), ["base", "job"]);
        let builder = RecordingBuilder::new(&run.daemon);
        let first = run.make(&builder).unwrap();
        assert!(first.values().all(|made| made.action == Action::Built));
        assert_eq!(names(&builder.requests()), ["base", "job"]);
        let told = run.told();
        assert!(told.contains("base: built reg.example/team/"), "{told}");
        assert!(told.contains("job: FROM scratch"), "{told}");

        assert_eq!(run.needed("job").unwrap(), ["job"]);
        let second = run.make(&builder).unwrap();
        assert!(second.values().all(|made| made.action == Action::Reused));
        assert_eq!(second["job"].info, first["job"].info);
        assert_eq!(builder.requests().len(), 2);
        assert_eq!(run.told(), "base is there\njob is there\n");
    });
}

#[test]
fn the_builder_is_handed_the_context_the_labels_and_the_base() {
    with_job(JOB, |run| {
        let builder = RecordingBuilder::new(&run.daemon);
        let made = run.make(&builder).unwrap();
        let requests = builder.requests();
        let [base, job] = &requests[..] else {
            panic!("{requests:?}")
        };
        let paths = job.entries.iter().map(|entry| entry.path.as_str());
        assert_eq!(paths.collect::<Vec<_>>(), ["text", &job.dockerfile]);
        let stage = &run.prepared.plan.stages["job"];
        assert_eq!(job.labels[LABEL_FINGERPRINT], stage.fingerprint.hex());
        assert_eq!(base.base, None);
        let expected = job.base.as_ref().unwrap();
        assert_eq!(expected.reference, base.reference);
        assert_eq!(expected.diff_ids, made["base"].info.diff_ids);
        assert!(!job.no_cache);
    });
}

#[test]
fn a_stage_on_another_parent_is_built_again() {
    with_job(JOB, |run| {
        let builder = RecordingBuilder::new(&run.daemon);
        let first = run.make(&builder).unwrap();
        let mut other = image("another base");
        other.labels = first["base"].info.labels.clone();
        let base = &first["base"].reference;
        // Another machine has made and pushed it.
        let pinned = base.repository.with_digest(&Digest::of(b"pulled"));
        other.repo_digests = vec![pinned.to_string()];
        run.daemon.put(&base.to_string(), other.clone());
        let second = run.make(&builder).unwrap();
        assert_eq!(second["base"].action, Action::Reused);
        assert_eq!(second["job"].action, Action::Built);
        assert!(second["job"].info.stands_on(&other));
    });
}

/// Whoever writes `FROM job` inherits the labels of that image, and may give the tag to what comes of it.
#[test]
fn what_was_built_on_an_image_and_has_its_tag_is_built_again() {
    with_job(JOB, |run| {
        let builder = RecordingBuilder::new(&run.daemon);
        let first = run.make(&builder).unwrap();
        let job = &first["job"];
        let other_config = ImageInfo {
            id: Digest::of(b"USER nobody"),
            ..job.info.clone()
        };
        let mut other_layers = other_config.clone();
        other_layers.diff_ids.push(Digest::of(b"RUN true"));
        let elsewhere = "elsewhere.example/job@sha256:1".to_owned();
        let mut from_elsewhere = other_config.clone();
        from_elsewhere.repo_digests.push(elsewhere);
        for other in [other_config, other_layers, from_elsewhere] {
            run.daemon.put(&job.reference.to_string(), other);
            assert_eq!(run.make(&builder).unwrap()["job"].action, Action::Built);
            assert_eq!(run.make(&builder).unwrap()["job"].action, Action::Reused);
        }
    });
}

#[test]
fn a_strangers_image_under_the_tag_is_built_again() {
    with_job(JOB, |run| {
        let builder = RecordingBuilder::new(&run.daemon);
        let first = run.make(&builder).unwrap();
        let job = first["job"].reference.to_string();
        run.daemon.put(&job, image("stranger"));
        assert_eq!(run.make(&builder).unwrap()["job"].action, Action::Built);
        assert_eq!(names(&builder.requests()), ["base", "job", "job"]);
    });
}

fn failed(step: (usize, usize), instruction: &str, hint: Option<&str>) -> BuildError {
    BuildError::Failed {
        instruction: Some(instruction.to_owned()),
        step: Some(step),
        last_lines: vec!["no".to_owned()],
        message: "exit code: 1".to_owned(),
        hint: hint.map(str::to_owned),
    }
}

#[test]
fn a_failed_step_is_told_with_its_line_and_nothing_is_made_of_it() {
    with_job("FROM base\n\n# why\nCOPY text /job\n", |run| {
        for (builder, step) in [
            (RecordingBuilder::new(&run.daemon), (2, 2)),
            (RecordingBuilder::classic(&run.daemon), (2, 2)),
        ] {
            run.make(&builder).unwrap();
            let job = &run.prepared.plan.stages["job"];
            builder.fail_next(failed(step, "COPY text /job", None));
            let base = "reg.example/team/none:1";
            let below = BTreeMap::from([("base".to_owned(), rebuilt(base))]);
            let made = run.stages().make_with(
                &run.daemon,
                &|| Ok(Box::new(builder.clone())),
                job.first(),
                &below,
            );
            let error = made.unwrap_err();
            let Error::Build { place, output, .. } = &error else {
                panic!("{error}")
            };
            assert_eq!((place.line, output.len()), (4, 1), "{error}");
            assert_eq!(error.code(), "E602");
            let hint = error.hint().unwrap();
            assert!(hint.starts_with("mend line 4 of job.Dockerfile"), "{hint}");
        }
    });
}

/// A parent that was just built.
fn rebuilt(reference: &str) -> BuiltImage {
    BuiltImage {
        reference: reference.parse().unwrap(),
        info: image(reference),
        action: Action::Built,
    }
}

#[test]
fn the_builders_own_hint_outdoes_that_on_the_line() {
    with_job(JOB, |run| {
        let builder = RecordingBuilder::new(&run.daemon);
        builder.fail_next(failed((2, 2), "COPY text /text", Some("make room")));
        let error = run.make(&builder).unwrap_err();
        assert_eq!(error.hint().as_deref(), Some("make room"));
        assert!(!run.told().contains("built"));
    });
}

#[test]
fn errors_of_the_builder_and_of_the_daemon_stay_what_they_are() {
    let refusal = || DockerError::Answer {
        doing: "answer".to_owned(),
        message: "busy".to_owned(),
    };
    with_job(JOB, |run| {
        let builder = RecordingBuilder::new(&run.daemon);
        builder.fail_next(refusal());
        let error = run.make(&builder).unwrap_err();
        assert!(matches!(error, Error::Docker(_)), "{error}");
        run.daemon.fail_next(refusal());
        let error = run.make(&builder).unwrap_err();
        assert!(matches!(error, Error::Docker(_)), "{error}");
        run.daemon.fail_next(refusal());
        let error = run.needed("job").unwrap_err();
        assert!(matches!(error, Error::Docker(_)), "{error}");
    });
}

#[test]
fn what_only_buildkit_knows_is_refused_before_anything_is_sent() {
    with_job("FROM base\nCOPY --link text /job\n", |run| {
        let builder = RecordingBuilder::classic(&run.daemon);
        let error = run.make(&builder).unwrap_err();
        assert_eq!(error.code(), "E095");
        let text = error.to_string();
        assert!(
            text.contains("needs BuildKit, and the builder in memory is in use"),
            "{text}"
        );
        assert_eq!(names(&builder.requests()), ["base"]);
        run.make(&RecordingBuilder::new(&run.daemon)).unwrap();
    });
}

#[test]
fn stages_that_the_target_does_not_need_are_left_to_a_builder_that_skips_them() {
    let dockerfile = "FROM scratch AS unneeded\nCOPY nowhere /\nFROM base\nCOPY text /job\n";
    with_job(dockerfile, |run| {
        let sent = |builder: &RecordingBuilder| {
            run.make(builder).unwrap();
            let requests = builder.requests();
            let job = requests.last().unwrap();
            let mut entries = job.entries.iter();
            let file = entries.find(|entry| entry.path == job.dockerfile).unwrap();
            let Content::File { location, .. } = &file.content else {
                panic!("{file:?}")
            };
            std::io::read_to_string(location.open().unwrap()).unwrap()
        };
        assert!(sent(&RecordingBuilder::new(&run.daemon)).contains("COPY nowhere /"));
        let job = run.make(&RecordingBuilder::new(&run.daemon)).unwrap();
        let reference = job["job"].reference.to_string();
        run.daemon.put(&reference, image("stranger"));
        let sent = sent(&RecordingBuilder::classic(&run.daemon));
        assert!(!sent.contains("COPY nowhere /"), "{sent}");
    });
}

/// The machine of programs for amd64, the platform of the images in these tests.
const AMD64: u16 = 62;
const ARM64: u16 = 183;

#[test]
fn an_image_is_looked_into_unless_what_it_stands_on_was() {
    with_job(JOB, |run| {
        let builder = RecordingBuilder::new(&run.daemon);
        let looks = || {
            let requests = builder.requests().into_iter();
            requests
                .map(|request| request.looks_inside)
                .collect::<Vec<_>>()
        };
        let made = run.make(&builder).unwrap();
        assert_eq!(
            looks(),
            [true, true],
            "a parent without programs says nothing"
        );
        let base = made["base"].info.id.clone();
        assert_eq!(run.daemon.looked_into(), [base]);

        run.make(&builder).unwrap();
        assert_eq!(run.daemon.looked_into(), [], "nothing was built");

        let forget = || run.daemon.remove(&made["job"].reference.to_string());
        forget();
        run.make(&builder).unwrap();
        assert_eq!(looks(), [true, true, true]);
        assert_eq!(run.daemon.looked_into(), [], "the cache knows the parent");

        fs_err::remove_dir_all(run.run.session.cache.folder(CacheKind::Programs)).unwrap();
        run.daemon.put_program(&made["base"].info.id, AMD64);
        forget();
        run.make(&builder).unwrap();
        assert_eq!(looks(), [true, true, true, false]);
    });
}

#[test]
fn nothing_is_built_on_a_parent_of_another_platform() {
    let refused = |change: &dyn Fn(&BuildRun<'_>, &BuiltImage)| {
        with_job(JOB, |run| {
            let builder = RecordingBuilder::new(&run.daemon);
            let made = run.make(&builder).unwrap();
            run.daemon.remove(&made["job"].reference.to_string());
            let cache = run.run.session.cache.folder(CacheKind::Programs);
            fs_err::remove_dir_all(cache).unwrap();
            change(run, &made["base"]);
            let error = run.make(&builder).unwrap_err();
            assert_eq!(error.code(), "E606");
            assert!(
                error
                    .hint()
                    .unwrap()
                    .contains("docker pull --platform linux/amd64")
            );
            assert_eq!(builder.requests().len(), 2, "nothing more was built");
            error.to_string()
        })
    };
    let message = refused(&|run, base| run.daemon.put_program(&base.info.id, ARM64));
    let wanted = "it says that it is for linux/amd64, but its `/bin/sh` is a program for arm64";
    assert!(message.ends_with(wanted), "{message}");
    let message = refused(&|run, base| {
        let mut info = base.info.clone();
        info.platform = "linux/arm64".parse().unwrap();
        run.daemon.put(&base.reference.to_string(), info);
    });
    let wanted = "it is for linux/arm64, and an image for linux/amd64 is to stand on it";
    assert!(message.ends_with(wanted), "{message}");
}

#[test]
fn a_damaged_note_of_what_is_in_an_image_is_a_miss() {
    with_job(JOB, |run| {
        let builder = RecordingBuilder::new(&run.daemon);
        let made = run.make(&builder).unwrap();
        let base = made["base"].info.id.clone();
        let note = run.run.session.cache.entry(CacheKind::Programs, base.hex());
        run.daemon.looked_into();
        for damaged in ["", "62", "x /bin/sh", "183"] {
            fs_err::write(&note, damaged).unwrap();
            run.daemon.remove(&made["job"].reference.to_string());
            run.make(&builder).unwrap();
            assert_eq!(
                run.daemon.looked_into(),
                std::slice::from_ref(&base),
                "{damaged:?}"
            );
        }
    });
}
