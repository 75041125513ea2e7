//! Looks a stage up in the daemon, and builds it where it is not there as it should be.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{
    contexts::{Contexts, shape},
    locks::Prepared,
    outside::Outside,
    packing::Packer,
    refreshed::Refreshed,
    session::Session,
    stages::{only_platform, reference},
};
use crate::{
    adapters::docker::{BuildEvent, BuildRequest, Builder, Daemon, DockerError},
    error::Error,
    image::{
        ImageInfo, LABEL_FINGERPRINT, LABEL_FORMAT, LABEL_RECORD, LABEL_RECORD_DIGEST, LABEL_STAGE,
        Reference,
    },
    plan::{PlatformStage, Stage, reasons},
    project::{
        Image,
        dockerfile::{
            Dockerfile,
            isolate::{INSERTED_LINES, as_written},
        },
        inputs::ImageInputs,
        lock,
        place::{Defect, Place},
    },
    ui::{StageLine, bytes},
};

/// What became of a stage.
#[derive(Clone, Debug)]
pub(super) struct Made {
    pub(super) reference: Reference,
    pub(super) facts: ImageInfo,
    pub(super) action: Action,
}

/// How a stage came to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// It was there.
    Reused,
    /// It was built in this run.
    Built,
}

/// Makes stages through the daemon.
pub(super) struct Maker<'a> {
    session: &'a Session<'a>,
    outside: &'a Outside<'a>,
    prepared: &'a Prepared,
    prefix: &'a str,
    contexts: Contexts<'a>,
    /// What the daemon had when it was asked which stages are needed.
    seen: Mutex<BTreeMap<String, Option<ImageInfo>>>,
}

impl<'a> Maker<'a> {
    pub(super) fn new(
        session: &'a Session<'a>,
        outside: &'a Outside<'a>,
        prepared: &'a Prepared,
        packer: &'a Packer<'a>,
        prefix: &'a str,
    ) -> Self {
        let contexts = Contexts {
            session,
            outside,
            prepared,
            packer,
            prefix,
        };
        Self {
            session,
            outside,
            prepared,
            prefix,
            contexts,
            seen: Mutex::default(),
        }
    }

    /// Makes `stage`; `below` has what its parents have become in this run.
    pub(super) fn make(
        &self,
        stage: &Stage,
        below: &BTreeMap<String, Made>,
    ) -> Result<Made, Error> {
        let reference = reference(self.session, stage, self.prefix)?;
        let daemon = self.outside.daemon()?;
        // What was seen a moment ago holds as long as nothing was built in between.
        let seen = self.seen().remove(&stage.name);
        let is_fresh = below.values().all(|made| made.action == Action::Reused);
        let found = match seen.filter(|_| is_fresh) {
            Some(found) => found,
            None => daemon.inspect(&reference.to_string())?,
        };
        let (image, inputs) = self.of(stage)?;
        let parent = inputs.foundation.as_ref();
        let parent = parent.and_then(|parent| below.get(parent));
        let standing = parent.map(|parent| (&parent.reference, &parent.facts));
        let Some(reason) = reasons::to_build(stage, found.as_ref(), standing) else {
            let facts = found.ok_or_else(|| untrue(&reference, "it has gone"))?;
            self.session.ui.say(format!(
                "{}: current: {reference} is there, with the fingerprint of this checkout",
                stage.name
            ));
            return Ok(Made {
                reference,
                facts,
                action: Action::Reused,
            });
        };
        let mut line = self.session.ui.stage(&stage.name);
        line.step(&format!("building, since {reason}"));
        let facts = self.build(daemon, stage, image, inputs, &reference, &mut line)?;
        check(stage, &reference, &facts, parent)?;
        let took = line.elapsed();
        line.finish(&format!(
            "built {reference} in {took} ({})",
            bytes(facts.size)
        ));
        Ok(Made {
            reference,
            facts,
            action: Action::Built,
        })
    }

    /// The targets, and of what they stand on that which is needed because something above is missing.
    pub(super) fn needed(&self, targets: &[String]) -> Result<BTreeSet<String>, Error> {
        self.prepared.plan.needed(targets, |stage| {
            let reference = reference(self.session, stage, self.prefix)?;
            let found = self.outside.daemon()?.inspect(&reference.to_string())?;
            let is_to_build = reasons::to_build(stage, found.as_ref(), None).is_some();
            self.seen().insert(stage.name.clone(), found);
            Ok(is_to_build)
        })
    }

    fn seen(&self) -> MutexGuard<'_, BTreeMap<String, Option<ImageInfo>>> {
        // Every change is one insertion: what a thread that panicked has left is whole.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(&self, stage: &Stage) -> Result<(&'a Image, &'a ImageInputs), Error> {
        let image = self.session.project.images.get(&stage.name);
        image
            .zip(self.prepared.inputs.get(&stage.name))
            .ok_or_else(|| {
                Defect::new(
                    "E084",
                    Place::of_line(crate::project::FILE_NAME, 1),
                    format!("there is no image `{}`", stage.name),
                )
                .into()
            })
    }

    fn build(
        &self,
        daemon: &Daemon,
        stage: &Stage,
        image: &Image,
        inputs: &ImageInputs,
        reference: &Reference,
        line: &mut StageLine<'_>,
    ) -> Result<ImageInfo, Error> {
        let platform = only_platform(stage)?;
        refuse_what_the_builder_lacks(daemon, inputs)?;
        let context = self.contexts.of(stage, image, inputs, line)?;
        let refreshed = Refreshed::of(self.session, daemon, &self.prepared.lock, &stage.name)?;
        let request = BuildRequest {
            entries: context.entries,
            folders: context.folders,
            dockerfile: context.dockerfile,
            reference: reference.clone(),
            labels: self.labels(stage, platform)?,
            build_arguments: inputs.build_arguments.clone(),
            target: image.target.clone(),
            platform: platform.platform.clone(),
            no_cache: refreshed.is_due(),
        };
        let built = daemon.build(&request, &mut |event| show(line, &event));
        built.map_err(|error| located(image, inputs, daemon.builder(), error))?;
        refreshed.done()?;
        daemon.inspect(&reference.to_string())?.ok_or_else(|| {
            untrue(
                reference,
                "the daemon says that it built it, and does not have it",
            )
        })
    }

    fn labels(
        &self,
        stage: &Stage,
        platform: &PlatformStage,
    ) -> Result<BTreeMap<String, String>, Error> {
        let mut labels = BTreeMap::from([
            (LABEL_STAGE.to_owned(), stage.name.clone()),
            (LABEL_FORMAT.to_owned(), lock::FORMAT.to_string()),
            (
                LABEL_FINGERPRINT.to_owned(),
                stage.fingerprint.hex().to_owned(),
            ),
        ]);
        // An empty label hides one that the parent may have.
        let (record, digest) = match platform.record.label() {
            Some(record) => (record, String::new()),
            None => (
                String::new(),
                self.contexts.keep_record(&platform.record)?.to_string(),
            ),
        };
        labels.insert(LABEL_RECORD.to_owned(), record);
        labels.insert(LABEL_RECORD_DIGEST.to_owned(), digest);
        Ok(labels)
    }
}

/// A failed build with its line in the Dockerfile.
fn located(image: &Image, inputs: &ImageInputs, builder: Builder, error: DockerError) -> Error {
    let DockerError::BuildFailed {
        instruction,
        step,
        last_lines,
        message,
    } = error
    else {
        return error.into();
    };
    let instruction = instruction.unwrap_or_default();
    let line = line_of(image, inputs, builder, step, &instruction).or_else(|| told_line(&message));
    let shown = line.and_then(|line| text_of_line(inputs, line));
    Error::Build {
        stage: image.name.clone(),
        place: Place::of_line(inputs.dockerfile.file(), line.unwrap_or(1)),
        instruction: shown.unwrap_or(instruction),
        output: last_lines,
        message,
        built_in: inputs.built_in.is_some(),
    }
}

/// The line that a builder's own parser names: `parse error line 3`.
fn told_line(message: &str) -> Option<usize> {
    let (_, rest) = message.split_once("parse error line ")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// The line, as it was written, of the step that a builder names; the classic one counts the steps of what it was sent.
fn line_of(
    image: &Image,
    inputs: &ImageInputs,
    builder: Builder,
    step: Option<(usize, usize)>,
    instruction: &str,
) -> Option<usize> {
    let dockerfile = &inputs.dockerfile;
    if builder == Builder::BuildKit {
        return dockerfile.line_of(step, &as_written(instruction), true);
    }
    let shape = shape(image, inputs, builder);
    let sent = dockerfile.substitute(&shape.replacements);
    let sent = Dockerfile::parse(dockerfile.file(), &sent).ok()?;
    let line = sent.line_of(step, instruction, false)?;
    let is_below = shape.is_isolated && line >= dockerfile.first_from_line() + INSERTED_LINES;
    Some(if is_below {
        line - INSERTED_LINES
    } else {
        line
    })
}

/// The instruction that begins on a line, cut to what a message can hold.
fn text_of_line(inputs: &ImageInputs, line: usize) -> Option<String> {
    let instruction = inputs
        .dockerfile
        .instructions()
        .iter()
        .find(|instruction| instruction.line == line)?;
    Some(cut(&format!(
        "{} {}",
        instruction.keyword, instruction.arguments
    )))
}

/// A text on one line, at most 100 characters long.
fn cut(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let text = words.join(" ");
    if text.chars().count() > 100 {
        text.chars().take(99).chain(['…']).collect()
    } else {
        text
    }
}

fn untrue(reference: &Reference, reason: &str) -> Error {
    Error::Untrue {
        reference: reference.to_string(),
        reason: reason.to_owned(),
        hint: "run it again; if it stays so, the daemon is at fault: `docker image inspect` shows what it has".to_owned(),
    }
}

/// An image counts as built only if it is what was asked for.
fn check(
    stage: &Stage,
    reference: &Reference,
    facts: &ImageInfo,
    parent: Option<&Made>,
) -> Result<(), Error> {
    let wanted = &only_platform(stage)?.platform;
    if facts.platform != *wanted {
        return Err(untrue(
            reference,
            &format!("it was built for {} instead of {wanted}", facts.platform),
        ));
    }
    if facts.fingerprint() != Some(stage.fingerprint.hex()) {
        return Err(untrue(
            reference,
            "the daemon did not label it with its fingerprint",
        ));
    }
    match parent {
        Some(parent) if !facts.stands_on(&parent.facts) => Err(untrue(
            reference,
            &format!("its layers do not begin with those of {}", parent.reference),
        )),
        _ => Ok(()),
    }
}

/// What only BuildKit knows is refused before the first step, not after the tenth.
fn refuse_what_the_builder_lacks(daemon: &Daemon, inputs: &ImageInputs) -> Result<(), Error> {
    if daemon.builder() == Builder::BuildKit {
        return Ok(());
    }
    match inputs.dockerfile.features().first() {
        None => Ok(()),
        Some(feature) => {
            let place = Place::of_line(inputs.dockerfile.file(), feature.line);
            let defect = Defect::new(
                "E095",
                place,
                format!(
                    "{} needs BuildKit, and the classic builder is in use",
                    feature.name
                ),
            );
            Err(defect.hint("use a daemon with BuildKit, without `DOCKER_BUILDKIT=0`, or write it the old way").into())
        }
    }
}

fn show(line: &mut StageLine<'_>, event: &BuildEvent) {
    match event {
        BuildEvent::Step {
            number,
            total,
            instruction,
            cached,
        } => {
            let cached = if *cached { " (cached)" } else { "" };
            line.step(&format!("[{number}/{total}] {}{cached}", cut(instruction)));
        }
        BuildEvent::Log(text) => line.output(text),
        BuildEvent::Sent(count) => line.moved("sent", *count, None),
    }
}
