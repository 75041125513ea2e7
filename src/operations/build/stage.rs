//! Looks a stage up in the daemon, and builds it where it is not there as it should be.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{
    cache_bust::CacheBust,
    context::{BuildContext, ContextWriter},
    failure::{cut, located},
};
use crate::{
    adapters::{
        builder::{BuildEvent, BuildRequest, Builder},
        destination::Destination,
    },
    error::Error,
    image::{
        ExpectedBase, ImageInfo, LABEL_FINGERPRINT, LABEL_FORMAT, LABEL_RECORD,
        LABEL_RECORD_DIGEST, LABEL_STAGE, Reference,
    },
    operations::{
        dist::{Action, BuiltImage, Packer},
        events::{Note, Outcome, Progress, Step, Transfer},
        resolution::{Prepared, only_platform, reference},
        workspace::{Services, Session},
    },
    plan::{PlatformStage, Stage, reasons},
    project::{
        Image,
        inputs::ImageInputs,
        lock,
        place::{Defect, Place},
    },
};

/// Makes stages through the daemon.
pub(crate) struct StageBuilder<'a> {
    session: &'a Session<'a>,
    services: &'a Services<'a>,
    prepared: &'a Prepared,
    prefix: &'a str,
    contexts: ContextWriter<'a>,
    /// What the daemon had when it was asked which stages are needed.
    seen: Mutex<BTreeMap<String, Option<ImageInfo>>>,
}

impl<'a> StageBuilder<'a> {
    pub(crate) fn new(
        session: &'a Session<'a>,
        services: &'a Services<'a>,
        prepared: &'a Prepared,
        packer: &'a Packer<'a>,
        prefix: &'a str,
    ) -> Self {
        let contexts = ContextWriter {
            session,
            services,
            prepared,
            packer,
            prefix,
        };
        Self {
            session,
            services,
            prepared,
            prefix,
            contexts,
            seen: Mutex::default(),
        }
    }

    /// Makes `stage`; `below` has what its parents have become in this run.
    pub(crate) fn make(
        &self,
        stage: &Stage,
        below: &BTreeMap<String, BuiltImage>,
    ) -> Result<BuiltImage, Error> {
        let daemon = self.services.daemon()?;
        self.make_with(daemon, &*daemon.builder(), stage, below)
    }

    /// [`Self::make`] by `builder`, which puts its images into `daemon`.
    fn make_with(
        &self,
        daemon: &dyn Destination<Image = ImageInfo>,
        builder: &dyn Builder,
        stage: &Stage,
        below: &BTreeMap<String, BuiltImage>,
    ) -> Result<BuiltImage, Error> {
        let reference = reference(self.session, stage, self.prefix)?;
        // What was seen a moment ago holds as long as nothing was built in between.
        let seen = self.seen().remove(&stage.name);
        let is_fresh = below.values().all(|made| made.action == Action::Reused);
        let found = match seen.filter(|_| is_fresh) {
            Some(found) => found,
            None => daemon.find(&reference, &only_platform(stage)?.platform)?,
        };
        let (image, inputs) = self.of(stage)?;
        let parent = inputs.base.as_ref();
        let parent = parent.and_then(|parent| below.get(parent));
        let standing = parent.map(|parent| (&parent.reference, &parent.facts));
        let Some(reason) = reasons::to_build(stage, found.as_ref(), standing) else {
            let facts = found.ok_or_else(|| untrue(&reference, "it has gone"))?;
            self.session.events.note(Note::InDaemon {
                stage: &stage.name,
                reference: &reference,
            });
            return Ok(BuiltImage {
                reference,
                facts,
                action: Action::Reused,
            });
        };
        let mut progress = self.session.events.begin(&stage.name);
        progress.step(Step::Build(&reason));
        let request = |context| self.request(stage, (image, inputs), &reference, parent, context);
        let of_image = (image, inputs);
        let facts = self.build(builder, stage, of_image, &request, progress.as_mut())?;
        progress.end(Outcome::Built {
            reference: &reference,
            size: facts.size,
        });
        Ok(BuiltImage {
            reference,
            facts,
            action: Action::Built,
        })
    }

    /// The targets, and of what they stand on that which is needed because something above is missing.
    pub(crate) fn needed(&self, targets: &[String]) -> Result<BTreeSet<String>, Error> {
        self.needed_in(self.services.daemon()?, targets)
    }

    /// [`Self::needed`] where `daemon` has the images.
    fn needed_in(
        &self,
        daemon: &dyn Destination<Image = ImageInfo>,
        targets: &[String],
    ) -> Result<BTreeSet<String>, Error> {
        self.prepared.plan.needed(targets, |stage| {
            let reference = reference(self.session, stage, self.prefix)?;
            let found = daemon.find(&reference, &only_platform(stage)?.platform)?;
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
        builder: &dyn Builder,
        stage: &Stage,
        (image, inputs): (&Image, &ImageInputs),
        request: &dyn Fn(BuildContext) -> Result<BuildRequest, Error>,
        progress: &mut dyn Progress,
    ) -> Result<ImageInfo, Error> {
        refuse_what_the_builder_lacks(builder, inputs)?;
        let features = builder.features();
        let context = self.contexts.of(stage, image, inputs, features, progress)?;
        let cache_bust = CacheBust::of(self.session, builder, &self.prepared.lock, &stage.name)?;
        let request = BuildRequest {
            no_cache: cache_bust.is_needed(),
            ..request(context)?
        };
        let built = builder.build(&request, &mut |event| show(progress, &event));
        let built = built.map_err(|error| located(image, inputs, features, error))?;
        cache_bust.done()?;
        Ok(built)
    }

    fn request(
        &self,
        stage: &Stage,
        (image, inputs): (&Image, &ImageInputs),
        reference: &Reference,
        parent: Option<&BuiltImage>,
        context: BuildContext,
    ) -> Result<BuildRequest, Error> {
        let platform = only_platform(stage)?;
        Ok(BuildRequest {
            entries: context.entries,
            folders: context.folders,
            dockerfile: context.dockerfile,
            reference: reference.clone(),
            labels: self.labels(stage, platform)?,
            build_arguments: inputs.build_arguments.clone(),
            target: image.target.clone(),
            platform: platform.platform.clone(),
            base: parent.map(|parent| ExpectedBase {
                reference: parent.reference.clone(),
                diff_ids: parent.facts.diff_ids.clone(),
            }),
            no_cache: false,
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

fn untrue(reference: &Reference, reason: &str) -> Error {
    Error::Untrue {
        reference: reference.to_string(),
        reason: reason.to_owned(),
        hint: "run it again; if it stays so, the daemon is at fault: `docker image inspect` shows what it has".to_owned(),
    }
}

/// What only BuildKit knows is refused before the first step, not after the tenth.
fn refuse_what_the_builder_lacks(builder: &dyn Builder, inputs: &ImageInputs) -> Result<(), Error> {
    if builder.features().extended_syntax {
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
                    "{} needs BuildKit, and {} is in use",
                    feature.name,
                    builder.name()
                ),
            );
            Err(defect.hint("use a daemon with BuildKit, without `DOCKER_BUILDKIT=0`, or write it the old way").into())
        }
    }
}

fn show(progress: &mut dyn Progress, event: &BuildEvent) {
    match event {
        BuildEvent::Step {
            number,
            total,
            instruction,
            cached,
        } => {
            progress.step(Step::Instruction {
                number: *number,
                total: *total,
                text: &cut(instruction),
                cached: *cached,
            });
        }
        BuildEvent::Log(text) => progress.output(text),
        BuildEvent::Sent(count) => progress.moved(Transfer::Sent, *count, None),
    }
}
