//! Provides the images of stages in an OCI image layout: what only gets files is put together, and what has a Dockerfile is
//! taken from the registry, or else from a daemon.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    parent::LayersBelow,
    run::{Run, refuse_conflict},
    stage::StageBuilder,
};
use crate::{
    adapters::{
        layout::{ImageLayout, LayoutError},
        registry::RegistryImage,
    },
    error::{Error, ImageProblem},
    image::{
        AssembledImage, Descriptor, Digest, ImageDocuments, ImageManifest, Layer, LayerFile,
        Platform, Reference, Repository, as_oci,
    },
    operations::{
        dist::{Action, BuiltImage},
        events::{Outcome, Progress, Step},
    },
    plan::{
        PlatformStage, Recipe,
        decision::{self, Answers, Reason},
    },
    project::inputs::FilesInputs,
};

/// Provides the images of stages in a layout, for one platform.
pub(super) struct LayoutBuilder<'a> {
    run: &'a Run<'a>,
    pub(super) builder: &'a StageBuilder<'a>,
    layout: &'a ImageLayout,
    pub(super) platform: &'a Platform,
    /// What the layout has.
    answers: Answers,
    /// What the registry has of the images that only a builder could make.
    in_registry: BTreeMap<String, Option<RegistryImage>>,
    /// Why the registry could not be asked.
    pub(super) no_registry: Option<Box<Error>>,
    /// Those that the registry lacks.
    pub(super) missing: Vec<String>,
    /// The same as a daemon has them.
    pub(super) in_daemon: BTreeMap<String, BuiltImage>,
}

impl<'a> LayoutBuilder<'a> {
    /// Looks up what there is for `targets` on a platform, before anything is put together.
    ///
    /// # Errors
    /// The layout cannot be read.
    pub(super) fn new(
        run: &'a Run<'a>,
        builder: &'a StageBuilder<'a>,
        layout: &'a ImageLayout,
        (targets, platform): (&[String], &'a Platform),
    ) -> Result<Self, Error> {
        let answers = run.ask_layout(targets, platform, layout)?;
        let of_builder = lacking(run, &answers, platform)
            .filter(|stage| stage.inputs.recipe.needs_builder())
            .map(|stage| stage.name.clone());
        let of_builder: BTreeSet<String> = of_builder.collect();
        let asked = if of_builder.is_empty() {
            Ok(BTreeMap::new())
        } else {
            let registry = run.services.registry();
            registry.and_then(|registry| run.ask(of_builder.clone(), platform, registry))
        };
        let (in_registry, no_registry) = match asked {
            Ok(found) => (found, None),
            Err(error) => (BTreeMap::new(), Some(Box::new(error))),
        };
        let is_missing = |name: &String| in_registry.get(name).is_none_or(Option::is_none);
        let missing: Vec<String> = of_builder.into_iter().filter(is_missing).collect();
        Ok(Self {
            run,
            builder,
            layout,
            platform,
            answers,
            in_registry,
            no_registry,
            missing,
            in_daemon: BTreeMap::new(),
        })
    }

    /// The stages to look at: the targets, and the parents of what is to be put together.
    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.answers.keys()
    }

    /// What the layout lacks.
    pub(super) fn lacking(&self) -> impl Iterator<Item = &'a PlatformStage> {
        lacking(self.run, &self.answers, self.platform)
    }

    /// Whether a stage is to be looked at.
    pub(super) fn has(&self, name: &str) -> bool {
        self.answers.contains_key(name)
    }

    /// Lets those that are to be built stand on the registry's images of their parents, if it has them: the builder pulls
    /// them, and they are not built again. A daemon builds what it lacks.
    ///
    /// # Errors
    /// The registry, or whoever builds, cannot be asked.
    pub(super) fn adopt_below(&self) -> Result<(), Error> {
        let services = self.run.services;
        if services.builders().is_none() || self.missing.is_empty() || self.no_registry.is_some() {
            return Ok(());
        }
        let (daemon, plan) = (services.daemon()?, &self.run.prepared.plan);
        let mut next = self.missing.clone();
        while !next.is_empty() {
            let parents = next.iter().flat_map(|name| &plan.stages[name].parents);
            let on = |name: &String| plan.stages[name].on_or_first(self.platform);
            let is_asked = |name: &&String| !self.missing.contains(name);
            let parents: BTreeSet<String> = parents.filter(is_asked).cloned().collect();
            let mut lacking = BTreeSet::new();
            for name in parents {
                let there = self.run.find_in_daemon(on(&name), daemon)?;
                if decision::to_build(on(&name), there.as_ref(), None).is_some() {
                    lacking.insert(name);
                }
            }
            let found = self.run.ask(lacking, self.platform, services.registry()?)?;
            next.clear();
            for (name, found) in found {
                let stage = on(&name);
                let reference = stage.reference(self.run.registry);
                let Some(image) = found else {
                    next.push(name);
                    continue;
                };
                refuse_conflict(&stage.fingerprint, reference, &image.info)?;
                self.run.pulled_as(reference, &image, &mut |_| ())?;
            }
        }
        Ok(())
    }

    /// Reuses, copies or puts together `stage`; `below` has the results for its parents in this run.
    pub(super) fn make(
        &self,
        stage: &PlatformStage,
        below: &BTreeMap<String, BuiltImage>,
    ) -> Result<BuiltImage, Error> {
        let reference = stage.reference(self.run.registry);
        let found = self.answers.get(&stage.name).cloned().flatten();
        let parent = stage.base().and_then(|parent| below.get(parent));
        let parent = parent.filter(|_| !stage.inputs.recipe.needs_builder());
        let standing = parent.map(|parent| (&parent.reference, &parent.info));
        let reason = match (decision::to_build(stage, found.as_ref(), standing), found) {
            (None, Some(info)) => {
                return Ok(BuiltImage {
                    reference: reference.clone(),
                    info,
                    action: Action::Reused,
                });
            }
            (reason, _) => reason.unwrap_or(Reason::Missing).of_layout(),
        };
        let mut progress = self.run.session.events.begin(&stage.title);
        let (image, action) = match &stage.inputs.recipe {
            Recipe::Dockerfile(_) => {
                let (image, action) = match self.in_daemon.get(&stage.name) {
                    Some(made) => (self.exported(made, progress.as_mut())?, Action::Built),
                    None => (self.copied(stage, progress.as_mut())?, Action::Adopted),
                };
                progress.end(Outcome::Copied(reference));
                (image, action)
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
        refuse_conflict(&stage.fingerprint, reference, &image.info)?;
        Error::check_platform(reference, &stage.platform, &image.info.platform)?;
        let pinned = reference.repository.with_digest(&image.digest);
        progress.step(Step::Copy(&pinned));
        let documents = self.run.documents(image, &pinned, &stage.platform)?;
        let documents = documents.ok_or_else(|| gone(&pinned))?;
        let refused =
            |error| Error::unexpected(&pinned, ImageProblem::NoLayout(format!("{error}")));
        let image = as_oci(&documents).map_err(refused)?;
        let manifest = ImageManifest::parse(&image.manifest).map_err(refused)?;
        let made = |progress: &mut dyn Progress| {
            let layers = self.layers(&reference.repository, &manifest, &image, progress)?;
            Ok((image.clone(), layers))
        };
        self.add(reference, made, progress)
    }

    /// Copies the daemon's image of a stage into the layout.
    fn exported(
        &self,
        made: &BuiltImage,
        progress: &mut dyn Progress,
    ) -> Result<AssembledImage, Error> {
        let exported = |progress: &mut dyn Progress| {
            let is_needed = |layer: &Descriptor| !self.layout.has(layer);
            let exported = self.run.exported(&made.into(), &is_needed, progress)?;
            Ok((exported.image, exported.layers))
        };
        self.add(&made.reference, exported, progress)
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
                let file = self.run.layer(repository, descriptor, progress)?;
                let layer = Layer::of_another(descriptor.clone(), diff_id.clone());
                Ok(LayerFile::there(layer, file))
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
        let parent = (&*name, &there.documents());
        // The layout has what is below.
        let below = |_: &mut dyn Progress| Ok(Vec::new());
        self.put_on((stage, inputs), parent, below, progress)
    }

    /// Puts the files of a stage on an image from elsewhere, whose layers are copied into the layout.
    fn put_on_elsewhere(
        &self,
        (stage, inputs): (&PlatformStage, &FilesInputs),
        text: &str,
        progress: &mut dyn Progress,
    ) -> Result<AssembledImage, Error> {
        let found = self.run.external_parent(stage, text, progress)?;
        let name = &found.reference;
        let refused = |error| Error::unexpected(name, ImageProblem::NoLayout(format!("{error}")));
        let parent = as_oci(&found.documents).map_err(refused)?;
        let manifest = ImageManifest::parse(&parent.manifest).map_err(refused)?;
        progress.step(Step::PutTogether(name));
        let below = |progress: &mut dyn Progress| match &found.layers {
            LayersBelow::Repository(repository) => {
                self.layers(repository, &manifest, &parent, progress)
            }
            LayersBelow::Daemon { image, .. } => {
                let is_needed = |layer: &Descriptor| !self.layout.has(layer);
                Ok(self.run.exported(image, &is_needed, progress)?.layers)
            }
        };
        let named = (&*name.to_string(), &parent.documents());
        self.put_on((stage, inputs), named, below, progress)
    }

    /// Puts the files of a stage on a parent, of which the layout gets the layers `below`.
    fn put_on(
        &self,
        (stage, inputs): (&PlatformStage, &FilesInputs),
        parent: (&str, &ImageDocuments),
        below: impl Fn(&mut dyn Progress) -> Result<Vec<LayerFile>, Error>,
        progress: &mut dyn Progress,
    ) -> Result<AssembledImage, Error> {
        let made = |progress: &mut dyn Progress| {
            let own = self.builder.assemble((stage, inputs), parent, progress)?;
            let mut layers = below(progress)?;
            layers.extend(own.layers);
            Ok((own.image, layers))
        };
        self.add(stage.reference(self.run.registry), made, progress)
    }

    /// Adds an image to the layout, and gives it its name. A layer that is damaged in the cache is made or fetched again.
    fn add(
        &self,
        reference: &Reference,
        made: impl Fn(&mut dyn Progress) -> Result<(AssembledImage, Vec<LayerFile>), Error>,
        progress: &mut dyn Progress,
    ) -> Result<AssembledImage, Error> {
        let (mut image, mut layers) = made(progress)?;
        let mut added = self.layout.add(&image, &layers);
        if let Err(LayoutError::Layer { file, digest }) = &added {
            self.run.remove_damaged(file, digest)?;
            (image, layers) = made(progress)?;
            added = self.layout.add(&image, &layers);
        }
        self.layout.tag(&reference.to_string(), &added?)?;
        Ok(image)
    }
}

/// The stages that a layout lacks on a platform, by its answers.
fn lacking<'a>(
    run: &'a Run<'a>,
    answers: &Answers,
    platform: &Platform,
) -> impl Iterator<Item = &'a PlatformStage> {
    answers.iter().filter_map(move |(name, found)| {
        let stage = run.prepared.plan.stages[name].on_or_first(platform);
        decision::to_build(stage, found.as_ref(), None).map(|_| stage)
    })
}

impl Run<'_> {
    /// Looks up the targets on a platform in a layout, then the parents of what it lacks and only gets files. Several
    /// look-ups run at once.
    ///
    /// # Errors
    /// The layout cannot be read.
    pub(crate) fn ask_layout(
        &self,
        targets: &[String],
        platform: &Platform,
        layout: &ImageLayout,
    ) -> Result<Answers, Error> {
        let mut answers = Answers::new();
        loop {
            let needed = self.prepared.plan.needed(targets, |stage| {
                let answer = answers.get(&stage.name);
                let stage = stage.on_or_first(platform);
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
            let found = self.ask(unknown, platform, layout)?.into_iter();
            answers.extend(found.map(|(name, image)| (name, image.map(|image| image.info))));
        }
    }
}

fn gone(reference: &Reference) -> Error {
    Error::unexpected(reference, ImageProblem::Gone)
}
