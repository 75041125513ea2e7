//! Provides the images of stages in an OCI image layout, without a daemon: what only gets files is put together, and
//! what has a Dockerfile is taken from the registry.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{run::Run, stage::StageBuilder};
use crate::{
    adapters::{
        docker::DockerError,
        layout::{ImageLayout, LayoutError},
        registry::RegistryImage,
    },
    error::{Error, ImageProblem},
    image::{
        AssembledImage, Digest, History, ImageDocuments, ImageManifest, Layer, LayerFile,
        Reference, Repository, as_oci,
    },
    operations::{
        dist::{Action, BuiltImage},
        events::{Note, Outcome, Progress, Step},
    },
    plan::{
        PlatformStage, Recipe,
        decision::{self, Answers, Reason},
    },
    project::inputs::FilesInputs,
};

/// Provides the images of stages in a layout.
pub(crate) struct LayoutBuilder<'a> {
    run: &'a Run<'a>,
    builder: &'a StageBuilder<'a>,
    layout: &'a ImageLayout,
    /// What the layout has.
    answers: Answers,
    /// What the registry has of the images that only a builder could make.
    in_registry: BTreeMap<String, Option<RegistryImage>>,
}

impl<'a> LayoutBuilder<'a> {
    /// Looks up what there is for `targets`, before anything is made. `no_daemon` is why there is no daemon, if one was
    /// asked.
    ///
    /// # Errors
    /// The layout cannot be read, or neither it nor the registry has an image that only a builder can make.
    pub(crate) fn new(
        run: &'a Run<'a>,
        builder: &'a StageBuilder<'a>,
        layout: &'a ImageLayout,
        targets: &[String],
        no_daemon: Option<&Arc<DockerError>>,
    ) -> Result<Self, Error> {
        let answers = run.ask_layout(targets, layout)?;
        let plan = &run.prepared.plan;
        let from_registry = answers.iter().filter(|(name, found)| {
            let stage = plan.stages[*name].first();
            stage.inputs.recipe.needs_builder()
                && decision::to_build(stage, found.as_ref(), None).is_some()
        });
        let from_registry: BTreeSet<String> = from_registry.map(|(name, _)| name.clone()).collect();
        let images: Vec<String> = from_registry.iter().cloned().collect();
        let no_builder = |images: Vec<String>, registry: Option<Error>| Error::NoBuilder {
            images,
            why: no_daemon.cloned(),
            registry: registry.map(Box::new),
        };
        let in_registry = if images.is_empty() {
            BTreeMap::new()
        } else {
            let asked = run
                .services
                .registry()
                .and_then(|registry| run.ask(from_registry, registry));
            asked.map_err(|error| no_builder(images, Some(error)))?
        };
        let missing = in_registry.iter().filter(|(_, found)| found.is_none());
        let missing: Vec<String> = missing.map(|(name, _)| name.clone()).collect();
        if !missing.is_empty() {
            return Err(no_builder(missing, None));
        }
        Ok(Self {
            run,
            builder,
            layout,
            answers,
            in_registry,
        })
    }

    /// The stages to look at: the targets, and the parents of what is to be put together.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        self.answers.keys().cloned().collect()
    }

    /// Reuses, copies or puts together `stage`; `below` has the results for its parents in this run.
    pub(crate) fn make(
        &self,
        stage: &PlatformStage,
        below: &BTreeMap<String, BuiltImage>,
    ) -> Result<BuiltImage, Error> {
        let reference = stage.reference(self.run.registry);
        let found = self.answers.get(&stage.name).cloned().flatten();
        let parent = stage.base().and_then(|parent| below.get(parent));
        let parent = parent.filter(|_| !stage.inputs.recipe.needs_builder());
        let standing = parent.map(|parent| (&parent.reference, &parent.info));
        let events = self.run.session.events;
        let reason = match (decision::to_build(stage, found.as_ref(), standing), found) {
            (None, Some(info)) => {
                events.note(Note::InDaemon {
                    stage: &stage.name,
                    reference,
                });
                return Ok(BuiltImage {
                    reference: reference.clone(),
                    info,
                    action: Action::Reused,
                });
            }
            (reason, _) => reason.unwrap_or(Reason::Missing).of_layout(),
        };
        let mut progress = events.begin(&stage.name);
        let (image, action) = match &stage.inputs.recipe {
            Recipe::Dockerfile(_) => {
                let image = self.copied(stage, progress.as_mut())?;
                progress.end(Outcome::Copied(reference));
                (image, Action::Adopted)
            }
            Recipe::Files(inputs) => {
                progress.step(Step::Build(&reason));
                let image = self.put_together(stage, inputs, parent, progress.as_mut())?;
                let size = image.info.size;
                progress.end(Outcome::Built { reference, size });
                (image, Action::Built)
            }
        };
        Ok(BuiltImage {
            reference: reference.clone(),
            info: image.info,
            action,
        })
    }

    /// Copies the registry's image of a stage into the layout.
    fn copied(
        &self,
        stage: &PlatformStage,
        progress: &mut dyn Progress,
    ) -> Result<AssembledImage, Error> {
        let reference = stage.reference(self.run.registry);
        let image = self.in_registry.get(&stage.name).and_then(Option::as_ref);
        let image = image.ok_or_else(|| gone(reference))?;
        if let Some(found) = decision::conflict(&stage.fingerprint, &image.info) {
            let reference = reference.clone();
            return Err(Error::Conflict { reference, found });
        }
        if image.info.platform != stage.platform {
            return Err(unexpected(
                reference,
                ImageProblem::OtherPlatform {
                    wanted: stage.platform.clone(),
                    there: image.info.platform.clone(),
                },
            ));
        }
        let pinned = reference.repository.with_digest(&image.digest);
        progress.step(Step::Copy(&pinned));
        let documents = self.run.documents(image, &pinned, &stage.platform)?;
        let documents = documents.ok_or_else(|| gone(&pinned))?;
        let refused = |error| unexpected(&pinned, ImageProblem::NoLayout(format!("{error}")));
        let image = as_oci(&documents).map_err(refused)?;
        let manifest = ImageManifest::parse(&image.manifest).map_err(refused)?;
        let layers = |progress: &mut dyn Progress| {
            self.layers(&reference.repository, &manifest, &image, progress)
        };
        self.add(&image, reference, layers, progress)?;
        Ok(image)
    }

    /// The files of the layers that the layout lacks.
    fn layers(
        &self,
        repository: &Repository,
        manifest: &ImageManifest,
        image: &AssembledImage,
        progress: &mut dyn Progress,
    ) -> Result<Vec<LayerFile>, Error> {
        let both = manifest.layers.iter().zip(&image.info.diff_ids);
        let missing = both.filter(|(layer, _)| !self.layout.has(layer));
        missing
            .map(|(descriptor, diff_id): (_, &Digest)| {
                Ok(LayerFile {
                    file: self.run.layer(repository, descriptor, progress)?,
                    is_new: false,
                    layer: Layer {
                        descriptor: descriptor.clone(),
                        diff_id: diff_id.clone(),
                        history: History::default(),
                    },
                })
            })
            .collect()
    }

    /// Puts the files of a stage on the layout's image of its parent.
    fn put_together(
        &self,
        stage: &PlatformStage,
        inputs: &FilesInputs,
        parent: Option<&BuiltImage>,
        progress: &mut dyn Progress,
    ) -> Result<AssembledImage, Error> {
        let reference = stage.reference(self.run.registry);
        if let Some(text) = stage.inputs.recipe.external_base() {
            return self.put_on_elsewhere((stage, inputs), text, progress);
        }
        let parent = parent.ok_or_else(|| gone(reference))?;
        let name = parent.reference.to_string();
        let there = self.layout.find(&name, &stage.platform)?;
        let there = there.ok_or_else(|| gone(&parent.reference))?;
        progress.step(Step::PutTogether(&parent.reference));
        let documents = there.documents();
        let assemble = |progress: &mut dyn Progress| {
            let labels = self.builder.labels(stage)?;
            let assembler = self.builder.assembler();
            assembler.assemble((stage, inputs), (&name, &documents), labels, progress)
        };
        let image = assemble(progress)?.image;
        let layers = |progress: &mut dyn Progress| Ok(assemble(progress)?.layers);
        self.add(&image, reference, layers, progress)?;
        Ok(image)
    }

    /// Puts the files of a stage on an image from elsewhere, whose layers are copied into the layout.
    fn put_on_elsewhere(
        &self,
        (stage, inputs): (&PlatformStage, &FilesInputs),
        text: &str,
        progress: &mut dyn Progress,
    ) -> Result<AssembledImage, Error> {
        let reference = stage.reference(self.run.registry);
        let (pinned, documents) = self.run.external_parent(stage, text)?;
        let refused = |error| unexpected(&pinned, ImageProblem::NoLayout(format!("{error}")));
        let parent = as_oci(&documents).map_err(refused)?;
        let below = ImageManifest::parse(&parent.manifest).map_err(refused)?;
        let documents = ImageDocuments {
            manifest: parent.manifest.clone(),
            config: parent.config.clone(),
        };
        progress.step(Step::PutTogether(&pinned));
        let name = pinned.to_string();
        let assemble = |progress: &mut dyn Progress| {
            let labels = self.builder.labels(stage)?;
            let assembler = self.builder.assembler();
            assembler.assemble((stage, inputs), (&name, &documents), labels, progress)
        };
        let image = assemble(progress)?.image;
        let layers = |progress: &mut dyn Progress| {
            let mut layers = self.layers(&pinned.repository, &below, &parent, progress)?;
            layers.extend(assemble(progress)?.layers);
            Ok(layers)
        };
        self.add(&image, reference, layers, progress)?;
        Ok(image)
    }

    /// Adds an image to the layout, and gives it its name. A layer that is damaged in the cache is made or fetched again.
    fn add(
        &self,
        image: &AssembledImage,
        reference: &Reference,
        layers: impl Fn(&mut dyn Progress) -> Result<Vec<LayerFile>, Error>,
        progress: &mut dyn Progress,
    ) -> Result<(), Error> {
        let mut added = self.layout.add(image, &layers(progress)?);
        if let Err(LayoutError::Layer { file, .. }) = &added {
            fs_err::remove_file(file)?;
            added = self.layout.add(image, &layers(progress)?);
        }
        Ok(self.layout.tag(&reference.to_string(), &added?)?)
    }
}

impl Run<'_> {
    /// Looks up the targets in a layout, then the parents of what it lacks and only gets files. Several look-ups run at
    /// once.
    ///
    /// # Errors
    /// The layout cannot be read.
    pub(crate) fn ask_layout(
        &self,
        targets: &[String],
        layout: &ImageLayout,
    ) -> Result<Answers, Error> {
        let mut answers = Answers::new();
        loop {
            let needed = self.prepared.plan.needed(targets, |stage| {
                let answer = answers.get(&stage.name);
                let stage = stage.first();
                let is_missing = answer
                    .is_some_and(|found| decision::to_build(stage, found.as_ref(), None).is_some());
                is_missing && !stage.inputs.recipe.needs_builder()
            });
            let unknown: BTreeSet<String> = needed
                .into_iter()
                .filter(|name| !answers.contains_key(name))
                .collect();
            if unknown.is_empty() {
                return Ok(answers);
            }
            let found = self.ask(unknown, layout)?.into_iter();
            answers.extend(found.map(|(name, image)| (name, image.map(|image| image.info))));
        }
    }
}

fn gone(reference: &Reference) -> Error {
    unexpected(reference, ImageProblem::Gone)
}

fn unexpected(reference: &Reference, problem: ImageProblem) -> Error {
    Error::UnexpectedImage {
        reference: reference.to_string(),
        problem,
    }
}
