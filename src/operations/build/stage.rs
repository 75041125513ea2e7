//! Looks up a stage in the daemon, and builds it if it is missing or was made from other inputs.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    cache_bust::CacheBust,
    context::{BuildContext, ContextWriter, is_of_built_in, operator_of},
    failure::{cut, located, of_operator_path},
    files::{Assembled, FilesAssembler},
    inside::Inside,
    run::Run,
};
use crate::{
    adapters::{
        builder::{BuildEvent, BuildRequest, Builder},
        cache::CacheKind,
        destination::{DestinationError, Programs},
        docker::{DockerError, LoadParent, LoadRequest},
        secrets::BuildSecrets,
    },
    code::Code,
    error::{Error, ImageProblem},
    image::{
        ExpectedBase, ImageDocuments, ImageInfo, LABEL_FINGERPRINT, LABEL_FORMAT, LABEL_LAYERS,
        LABEL_RECORD, LABEL_RECORD_DIGEST, LABEL_STAGE, LayerFile, Reference,
    },
    operations::{
        dist::{Action, BuiltImage, Packer},
        events::{Note, Outcome, Progress, Step, Transfer},
    },
    plan::{
        PlatformStage, Recipe,
        decision::{self, Answers, Reason},
    },
    project::{
        Kind,
        inputs::{DockerfileInputs, FilesInputs},
        lock::{self, LockedImage},
        place::{Defect, Place},
    },
};

/// Provides the images of stages in the daemon: reuses what the daemon has, builds the rest.
pub(crate) struct StageBuilder<'a> {
    run: &'a Run<'a>,
    contexts: ContextWriter<'a>,
    /// What the daemon answered when the decisions were made.
    answers: Answers,
}

impl<'a> StageBuilder<'a> {
    /// `answers` are what the daemon answered about stages just before. Stages without an answer are looked up.
    pub(crate) fn new(run: &'a Run<'a>, packer: &'a Packer<'a>, answers: Answers) -> Self {
        Self {
            run,
            contexts: ContextWriter { run, packer },
            answers,
        }
    }

    /// Reuses or builds `stage`; `below` has the results for its parents in this run.
    pub(crate) fn make(
        &self,
        stage: &PlatformStage,
        below: &BTreeMap<String, BuiltImage>,
    ) -> Result<BuiltImage, Error> {
        let daemon = self.run.services.daemon()?;
        let builder = || daemon.builder(&stage.platform);
        self.make_with(daemon, &builder, stage, below)
    }

    /// [`Self::make`] with the given builder, which puts its images into `daemon`.
    pub(super) fn make_with<'b>(
        &self,
        daemon: &dyn Programs,
        builder: &dyn Fn() -> Result<Box<dyn Builder + 'b>, DestinationError>,
        stage: &PlatformStage,
        below: &BTreeMap<String, BuiltImage>,
    ) -> Result<BuiltImage, Error> {
        let reference = stage.reference(self.run.registry);
        // The earlier answer is valid only if no parent was built since.
        let is_fresh = below.values().all(|made| made.action == Action::Reused);
        let found = match self.answers.get(&stage.name).filter(|_| is_fresh) {
            Some(found) => found.clone(),
            None => self.run.find_in_daemon(stage, daemon)?,
        };
        let parent = stage.base().and_then(|parent| below.get(parent));
        let standing = parent.map(|parent| (&parent.reference, &parent.info));
        let reason = decision::to_build(stage, found.as_ref(), standing);
        let (info, action) = match (reason, found) {
            (None, Some(info)) => {
                self.run.session.events.note(Note::InDaemon {
                    stage: &stage.title,
                    reference,
                });
                (info, Action::Reused)
            }
            (reason, _) => {
                let session = self.run.session;
                let inside = Inside { session, daemon };
                let stands_on_checked = match parent {
                    Some(parent) => {
                        let name = parent.reference.to_string();
                        inside.refuse_foreign(&name, &parent.info, &stage.platform)?
                    }
                    None => false,
                };
                let mut progress = session.events.begin(&stage.title);
                let reason = reason.unwrap_or(Reason::Missing);
                progress.step(Step::Build(&match self.run.services.builders() {
                    Some(_) => reason.of_layout(),
                    None => reason,
                }));
                let info = match &stage.inputs.recipe {
                    Recipe::Dockerfile(inputs) => {
                        let request = |context: BuildContext| {
                            let looks_inside = !stands_on_checked && !context.stands_on_checked;
                            Ok(BuildRequest {
                                looks_inside,
                                ..self.request(stage, inputs, parent, context)?
                            })
                        };
                        let builder = builder()?;
                        self.build(&*builder, stage, inputs, &request, progress.as_mut())?
                    }
                    Recipe::Files(inputs) => {
                        self.put_together(stage, inputs, parent, progress.as_mut())?
                    }
                };
                self.run.remember_made(stage, &info);
                let size = info.size;
                progress.end(Outcome::Built { reference, size });
                (info, Action::Built)
            }
        };
        Ok(BuiltImage {
            reference: reference.clone(),
            info,
            action,
        })
    }

    fn build(
        &self,
        builder: &dyn Builder,
        stage: &PlatformStage,
        inputs: &DockerfileInputs,
        request: &dyn Fn(BuildContext) -> Result<BuildRequest, Error>,
        progress: &mut dyn Progress,
    ) -> Result<ImageInfo, Error> {
        refuse_what_the_builder_lacks(builder, inputs)?;
        // The secrets are read before anything is fetched.
        let secrets = self.secrets(stage, inputs)?;
        let features = builder.features();
        let context = self.contexts.of(stage, inputs, features, progress)?;
        let run = self.run;
        let cache_bust = CacheBust::of(run.session, builder, &run.prepared.lock, &stage.name)?;
        let request = BuildRequest {
            no_cache: cache_bust.is_needed(),
            secrets,
            ..request(context)?
        };
        let built = builder.build(&request, &mut |event| show(progress, &event));
        let built = built.map_err(|error| {
            let project = &run.session.project;
            match operator_of(project, &stage.image).and_then(|one| of_operator_path(one, &error)) {
                Some(defect) => defect.into(),
                None => located(&stage.title, inputs, features, error),
            }
        })?;
        cache_bust.done()?;
        Ok(built)
    }

    /// Refuses images that only a builder can make, before the first image of the run is made, if no daemon answers.
    ///
    /// # Errors
    /// [`Error::NoBuilder`], which names all of them.
    pub(crate) fn require_builder(&self, stages: &[&PlatformStage]) -> Result<(), Error> {
        let stages = stages.iter();
        let images = stages.filter(|stage| stage.inputs.recipe.needs_builder());
        let images: Vec<(&str, &str)> = images.map(|stage| (&*stage.title, &*stage.name)).collect();
        if images.is_empty() {
            return Ok(());
        }
        match self.run.services.daemon() {
            Err(Error::Docker(why @ DockerError::Unreachable { .. })) => {
                Err(Error::no_builder(images, Arc::new(why), None))
            }
            answer => answer.map(drop),
        }
    }

    /// Refuses what cannot be built whatever its steps do, before the first image of the run is built: what the builder
    /// lacks or whether it answers, secrets that are not there, and a Python that the root image does not have.
    ///
    /// # Errors
    /// The first such stage that the daemon lacks.
    pub(crate) fn refuse_hopeless<'b>(
        &self,
        stages: impl IntoIterator<Item = &'b PlatformStage>,
    ) -> Result<(), Error> {
        for stage in stages {
            let Recipe::Dockerfile(inputs) = &stage.inputs.recipe else {
                continue;
            };
            let has_secrets = inputs.resolution.secret_mounts().next().is_some();
            let is_py = is_of_built_in(&stage.image, Kind::Py);
            let root = self.root_of_daemon(inputs);
            let is_elsewhere = self.run.services.builders().is_some();
            let has_features = !inputs.dockerfile.features().is_empty();
            if !is_elsewhere && !has_secrets && !is_py && root.is_none() && !has_features {
                continue;
            }
            let daemon = self.run.services.daemon()?;
            if decision::to_build(stage, self.found(stage)?.as_ref(), None).is_some() {
                if is_elsewhere {
                    self.refuse_images_of_daemon(stage)?;
                }
                daemon.require_platform(&stage.platform, inputs.resolution.has_run())?;
                refuse_what_the_builder_lacks(&*daemon.builder(&stage.platform)?, inputs)?;
                self.secrets(stage, inputs)?;
                self.refuse_other_python(stage)?;
                if let Some(root) = root {
                    self.refuse_other_root(root, stage)?;
                }
            }
        }
        Ok(())
    }

    /// The daemon's image of a stage.
    fn found(&self, stage: &PlatformStage) -> Result<Option<ImageInfo>, Error> {
        if let Some(found) = self.answers.get(&stage.name) {
            return Ok(found.clone());
        }
        let daemon = self.run.services.daemon()?;
        self.run.find_in_daemon(stage, daemon)
    }

    /// The root image of a Dockerfile, if only the daemon has it.
    fn root_of_daemon<'b>(&self, inputs: &'b DockerfileInputs) -> Option<&'b str> {
        let root = inputs.external_base.as_deref()?;
        let locked = self.run.prepared.lock.images.get(root);
        matches!(locked, Some(LockedImage::LocalDaemon { .. })).then_some(root)
    }

    /// Refuses a stage that stands on an image which only a daemon can have.
    fn refuse_images_of_daemon(&self, stage: &PlatformStage) -> Result<(), Error> {
        for text in stage.inputs.recipe.external_images() {
            if let Some(image) = self.run.locked_in_daemon(text, &stage.platform) {
                let problem = ImageProblem::NotForBuildKit(image.id);
                return Err(Error::unexpected(&text, problem));
            }
        }
        Ok(())
    }

    /// Refuses a stage whose root image is only in the daemon, and there for another platform.
    fn refuse_other_root(&self, root: &str, stage: &PlatformStage) -> Result<(), Error> {
        let (session, daemon) = (self.run.session, self.run.services.daemon()?);
        if let Some(there) = self.contexts.locked_there(root, &stage.platform)? {
            Inside { session, daemon }.refuse_foreign(root, &there, &stage.platform)?;
        }
        Ok(())
    }

    /// Refuses a built-in `py` whose root image has another Python, if the daemon has that image or the `base` that was
    /// made from it. Otherwise the root is looked into when it has been pulled.
    fn refuse_other_python(&self, py: &PlatformStage) -> Result<(), Error> {
        let stages = &self.run.prepared.plan.stages;
        let Some(base) = py.base().and_then(|base| stages[base].on(&py.platform)) else {
            return Ok(());
        };
        let Recipe::Dockerfile(inputs) = &base.inputs.recipe else {
            return Ok(());
        };
        let Some(root) = &inputs.external_base else {
            return Ok(());
        };
        let there = match self.contexts.locked_there(root, &base.platform)? {
            Some(there) => Some(there),
            None => self
                .found(base)?
                .filter(|made| decision::to_build(base, Some(made), None).is_none()),
        };
        match there {
            Some(there) => {
                self.contexts
                    .refuse_other_python(&py.image, (&base.image, inputs), &there)
            }
            None => Ok(()),
        }
    }

    /// The secrets that the Dockerfile of `stage` mounts.
    fn secrets(
        &self,
        stage: &PlatformStage,
        inputs: &DockerfileInputs,
    ) -> Result<BuildSecrets, Error> {
        if inputs.resolution.secret_mounts().next().is_none() {
            return Ok(BuildSecrets::default());
        }
        let root = &self.run.session.project.root;
        let read = BuildSecrets::read(&stage.image, root);
        let read = read.map_err(|error| {
            let place = stage.image.place.clone();
            Defect::new(Code::E111, place, error.to_string()).hint(error.hint())
        });
        Ok(read?)
    }

    fn request(
        &self,
        stage: &PlatformStage,
        inputs: &DockerfileInputs,
        parent: Option<&BuiltImage>,
        context: BuildContext,
    ) -> Result<BuildRequest, Error> {
        Ok(BuildRequest {
            entries: context.entries,
            folders: context.folders,
            dockerfile: context.dockerfile,
            images: context.images,
            reference: stage.reference(self.run.registry).clone(),
            labels: self.labels(stage)?,
            build_arguments: inputs.build_arguments.clone(),
            target: context.target,
            platform: stage.platform.clone(),
            base: parent.map(|parent| ExpectedBase {
                reference: parent.reference.clone(),
                diff_ids: parent.info.diff_ids.clone(),
            }),
            looks_inside: true,
            no_cache: false,
            secrets: BuildSecrets::default(),
        })
    }

    /// Puts the files of a stage on the image with the documents `parent`, which is called `name`.
    pub(crate) fn assemble(
        &self,
        (stage, inputs): (&PlatformStage, &FilesInputs),
        (name, parent): (&str, &ImageDocuments),
        progress: &mut dyn Progress,
    ) -> Result<Assembled, Error> {
        let assembler = FilesAssembler {
            run: self.run,
            contexts: &self.contexts,
        };
        let labels = self.labels(stage)?;
        assembler.assemble((stage, inputs), (name, parent), labels, progress)
    }

    /// Puts the files of a stage on the daemon's image of its parent. Only the new layers are sent, if the daemon takes
    /// an image in parts.
    fn put_together(
        &self,
        stage: &PlatformStage,
        inputs: &FilesInputs,
        parent: Option<&BuiltImage>,
        progress: &mut dyn Progress,
    ) -> Result<ImageInfo, Error> {
        let daemon = self.run.services.daemon()?;
        let gone = |name: String| Error::unexpected(&name, ImageProblem::Gone);
        let reference = stage.reference(self.run.registry);
        let from_elsewhere = match stage.inputs.recipe.external_base() {
            Some(text) => Some(self.external_parent(stage, text, progress)?),
            None => None,
        };
        let parent = from_elsewhere.as_ref().or(parent);
        let parent = parent.ok_or_else(|| gone(reference.to_string()))?;
        let id = parent.info.id.as_str();
        let documents = daemon.parent(id)?;
        let documents = documents.ok_or_else(|| gone(parent.reference.to_string()))?;
        let in_parts = |progress: &mut dyn Progress| {
            self.load((stage, inputs), (parent, &documents), &[], progress)
        };
        let refused = match in_parts(progress)? {
            Err(DestinationError::Docker(DockerError::Archive { .. })) => in_parts(progress)?,
            loaded => loaded,
        };
        let Err(error @ DestinationError::Docker(DockerError::Parent { .. })) = refused else {
            return Ok(refused?);
        };
        let temporary = self.run.session.cache.unfinished(CacheKind::Blobs)?;
        let Some(whole) = daemon.export(id, &|_, _| true, temporary.path())? else {
            return Err(error.into());
        };
        let parent = (parent, &whole.documents);
        Ok(self.load((stage, inputs), parent, &whole.layers, progress)??)
    }

    /// Prepares the files of the project that will be replaced, beside the sending or loading of this image.
    pub(crate) fn prepare_replacements(&self, assembled: &Assembled) -> Result<(), Error> {
        self.contexts.packer.prepare_replacements(&assembled.layers)
    }

    /// Loads the image of a stage with its own layers and those `below` it that are to be sent as well.
    fn load(
        &self,
        stage: (&PlatformStage, &FilesInputs),
        (parent, documents): (&BuiltImage, &ImageDocuments),
        below: &[LayerFile],
        progress: &mut dyn Progress,
    ) -> Result<Result<ImageInfo, DestinationError>, Error> {
        let name = parent.reference.to_string();
        let assembled = self.assemble(stage, (&name, documents), progress)?;
        progress.step(Step::Load);
        self.prepare_replacements(&assembled)?;
        let loaded = self.run.services.daemon()?.load(&LoadRequest {
            image: &assembled.image,
            layers: &[below, &assembled.layers].concat(),
            parent: Some(LoadParent {
                name: &name,
                ids: std::slice::from_ref(&parent.info.id),
            }),
            reference: stage.0.reference(self.run.registry),
        });
        if let Err(DestinationError::Docker(DockerError::Archive { .. })) = &loaded {
            // What is damaged in the cache is made again.
            for layer in &assembled.layers {
                fs_err::remove_file(&layer.file)?;
            }
        }
        Ok(loaded)
    }

    /// The daemon's image from elsewhere that a stage stands on; it is pulled if the daemon does not have it.
    fn external_parent(
        &self,
        stage: &PlatformStage,
        text: &str,
        progress: &mut dyn Progress,
    ) -> Result<BuiltImage, Error> {
        let unexpected = |problem: ImageProblem| Error::unexpected(&text, problem);
        let name = self.contexts.external(text, &stage.platform, progress)?;
        let (session, daemon) = (self.run.session, self.run.services.daemon()?);
        let info = daemon.inspect(&name)?;
        let info = info.ok_or_else(|| unexpected(ImageProblem::Gone))?;
        Inside { session, daemon }.refuse_foreign(text, &info, &stage.platform)?;
        let reference: Reference = name
            .parse()
            .map_err(|error| unexpected(ImageProblem::CannotBePulled(error)))?;
        Ok(BuiltImage {
            reference,
            info,
            action: Action::Reused,
        })
    }

    /// The labels of a stage's image.
    pub(crate) fn labels(&self, stage: &PlatformStage) -> Result<BTreeMap<String, String>, Error> {
        let mut labels = BTreeMap::from([
            (LABEL_STAGE.to_owned(), stage.name.clone()),
            (LABEL_FORMAT.to_owned(), lock::FORMAT.to_string()),
            (
                LABEL_FINGERPRINT.to_owned(),
                stage.fingerprint.hex().to_owned(),
            ),
        ]);
        // An image inherits its parent's labels: an empty label overrides the one that does not apply.
        let (record, digest) = match stage.record.label() {
            Some(record) => (record, String::new()),
            None => (
                String::new(),
                self.contexts.keep_record(&stage.record)?.to_string(),
            ),
        };
        labels.insert(LABEL_RECORD.to_owned(), record);
        labels.insert(LABEL_RECORD_DIGEST.to_owned(), digest);
        labels.insert(LABEL_LAYERS.to_owned(), String::new());
        Ok(labels)
    }
}

/// Refuses instructions that the builder does not support before the build begins, rather than in the middle of it.
fn refuse_what_the_builder_lacks(
    builder: &dyn Builder,
    inputs: &DockerfileInputs,
) -> Result<(), Error> {
    if builder.features().extended_syntax {
        return Ok(());
    }
    match inputs.dockerfile.features().first() {
        None => Ok(()),
        Some(feature) => {
            let place = Place::of_line(inputs.dockerfile.file(), feature.line);
            let defect = Defect::new(
                Code::E095,
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
