//! Pushes the stages that a registry does not have, parents first.
//!
//! A registry lets any push overwrite a tag. An image is therefore pushed under a staging tag first, `TAG-IMAGE ID`,
//! and gets its tag only if no other image has it. Afterwards the tag is read back. A push that was too late uses the
//! other image, and both stay pullable. A record that is too large for a label is pushed before the image gets its tag,
//! so that whoever finds the tag finds the record too.

use std::{collections::BTreeMap, path::Path, time::Instant};

use super::{
    claim::{Claim, StageTags},
    look_up::InRegistry,
};
use crate::{
    adapters::{
        destination::{StoredImage, StoredLayer},
        docker::{LoadRequest, staging_tag},
        layout::ImageLayout,
        registry::{
            Blob, BlobProgress, BlobSource, BlobState, OutgoingImage, PushAhead, RegistryError,
            RegistryImage,
        },
    },
    error::{Error, ImageProblem},
    image::{
        Descriptor, Digest, ImageError, ImageInfo, ImageManifest, Layer, LayerFile, Reference,
        Repository, as_oci,
    },
    operations::{
        build::{
            Assembled, Inside, LayersBelow, ParentOfFiles, Run, StageBuilder, remove_if_there,
        },
        dist::{Action, BuiltImage},
        events::{ImageNote, Note, Outcome, Progress, Step, Transfer, transferred},
        provenance,
        workspace::Turns,
    },
    plan::{PlatformStage, Recipe},
    project::inputs::FilesInputs,
};

/// How often a push is attempted, if other pushes keep removing its staging tag from the daemon.
const PUSH_ATTEMPTS: u32 = 5;

/// The blobs of an image that are usually new: its config, and the layer with the code.
const NEW_BLOBS: usize = 2;

/// The image of one platform in the registry after a push.
#[derive(Clone)]
pub(crate) struct PushedImage {
    pub(super) reference: Reference,
    pub(crate) image: RegistryImage,
    /// The daemon's image; `None` if the registry's image was adopted.
    pub(crate) made: Option<BuiltImage>,
}

/// Pushes stages to the registry.
pub(crate) struct Pusher<'a> {
    pub(crate) run: &'a Run<'a>,
    /// When the registry was asked which images it has.
    pub(crate) asked: Instant,
    pub(crate) builder: StageBuilder<'a>,
    /// What the registry had before.
    pub(crate) there: &'a InRegistry,
    /// The repositories that have the layers of images that were taken out of a daemon, by the image ID.
    pub(crate) holders: Turns<Option<Repository>>,
}

impl Pusher<'_> {
    /// Refuses images that cannot be made on this machine, before anything is sent.
    ///
    /// # Errors
    /// No daemon can build them or has what they stand on, or their Dockerfiles ask for what is not there.
    pub(crate) fn refuse_impossible(&self, stages: &[&PlatformStage]) -> Result<(), Error> {
        self.builder.require_builder(stages)?;
        self.run.require_exports(stages.iter().copied())?;
        self.builder.refuse_hopeless(stages.iter().copied())
    }

    fn without_record(&self, reference: &Reference, error: &Error) {
        let events = self.run.session.events;
        events.note(Note::WithoutRecord { reference, error });
    }

    /// Adopts the registry's image of a stage (`there`), or else builds and pushes one. `below` has the results for the
    /// stage's parents.
    pub(crate) fn push(
        &self,
        stage: &PlatformStage,
        there: Option<&RegistryImage>,
        below: &BTreeMap<String, PushedImage>,
    ) -> Result<PushedImage, Error> {
        if let Some(image) = there {
            self.tell_other_parent(stage, image, below);
            return Ok(self.adopt(stage, image));
        }
        if let Recipe::Files(inputs) = &stage.inputs.recipe {
            return self.push_files(stage, inputs, below);
        }
        let mut parents = BTreeMap::new();
        for parent in &stage.parents {
            if let Some(pushed) = below.get(parent) {
                parents.insert(parent.clone(), self.align(parent, pushed)?);
            }
        }
        let made = self.builder.make(stage, &parents)?;
        if made.action == Action::Reused {
            self.refuse_foreign(stage, &made, &parents)?;
        }
        self.send(stage, &made)
    }

    /// Tells of an image that stands on another one of its parent than the parent's tag has by now. It keeps its own tag: who
    /// has pulled it by that tag would get another image.
    fn tell_other_parent(
        &self,
        stage: &PlatformStage,
        image: &RegistryImage,
        below: &BTreeMap<String, PushedImage>,
    ) {
        let parent = stage.base().and_then(|base| Some((base, below.get(base)?)));
        if let Some((base, parent)) = parent
            && !image.info.stands_on(&parent.image.info)
        {
            let note = ImageNote::OnOtherParent {
                stage: &stage.title,
                reference: stage.reference(self.run.registry),
                parent: base,
            };
            self.run.session.events.note(Note::Image(note));
        }
    }

    fn adopt(&self, stage: &PlatformStage, image: &RegistryImage) -> PushedImage {
        let reference = stage.reference(self.run.registry).clone();
        // A user without the right to push can still adopt the image, so a failure is only reported.
        if let Err(error) = provenance::push_beside(self.run.services, stage, image, &reference) {
            self.without_record(&reference, &error);
        }
        PushedImage {
            reference,
            image: image.clone(),
            made: None,
        }
    }

    /// Refuses to push an image that is not for the platform that it names. What this run has built was looked into
    /// before it got its tag.
    fn refuse_foreign(
        &self,
        stage: &PlatformStage,
        made: &BuiltImage,
        parents: &BTreeMap<String, BuiltImage>,
    ) -> Result<(), Error> {
        let (session, daemon) = (self.run.session, self.run.services.daemon()?);
        let inside = Inside { session, daemon };
        if let Some(parent) = stage.base().and_then(|base| parents.get(base)) {
            let name = parent.reference.to_string();
            if inside.refuse_foreign(&name, &parent.info, &stage.platform)? {
                return Ok(());
            }
        }
        let name = made.reference.to_string();
        inside.refuse_foreign(&name, &made.info, &stage.platform)?;
        Ok(())
    }

    /// Makes sure that the daemon's image of a parent has the registry's layers, so that its children are built on
    /// them.
    fn align(&self, name: &str, pushed: &PushedImage) -> Result<BuiltImage, Error> {
        // Its other children wait for it as well.
        let pull = format!("pull {}", pushed.reference);
        let services = self.run.services;
        services.moving(&pull, || self.pull_other(name, pushed))
    }

    fn pull_other(&self, name: &str, pushed: &PushedImage) -> Result<BuiltImage, Error> {
        let daemon = self.run.services.daemon()?;
        let local = daemon.inspect(&pushed.reference.to_string())?;
        let made = |info: ImageInfo| BuiltImage {
            reference: pushed.reference.clone(),
            info,
            action: Action::Reused,
        };
        if let Some(info) = local.filter(|info| is_same(info, &pushed.image)) {
            return Ok(made(info));
        }
        let mut progress = self.run.session.events.begin(name);
        progress.step(Step::PullParent);
        if self.run.registry.layout.is_some() {
            let info = self.loaded(pushed)?;
            self.remember(name, &info);
            progress.end(Outcome::Pulled(&pushed.reference));
            return Ok(made(info));
        }
        let pinned = pushed
            .reference
            .repository
            .with_digest(&pushed.image.digest);
        let info = self
            .run
            .pulled_as(&pushed.reference, &pushed.image, &mut |event| {
                transferred(progress.as_mut(), Transfer::Pulled, &event);
            })?;
        self.remember(name, &info);
        progress.end(Outcome::Pulled(&pinned));
        Ok(made(info))
    }

    /// Notes that the daemon's image of a stage is the one that its registry has.
    fn remember(&self, name: &str, info: &ImageInfo) {
        let stage = &self.run.prepared.plan.stages[name];
        self.run
            .remember_made(stage.on_or_first(&info.platform), info);
    }

    /// Loads the layout's image of a parent into the daemon.
    fn loaded(&self, pushed: &PushedImage) -> Result<ImageInfo, Error> {
        let (reference, services) = (&pushed.reference, self.run.services);
        let platform = &pushed.image.info.platform;
        let documents = services.registry()?.documents(reference, platform)?;
        let unexpected = |problem: ImageProblem| Error::unexpected(reference, problem);
        let documents = documents.ok_or_else(|| unexpected(ImageProblem::Gone))?;
        let refused = |error: ImageError| unexpected(ImageProblem::NoParent(error.to_string()));
        let image = as_oci(&documents).map_err(refused)?;
        let manifest = ImageManifest::parse(&image.manifest).map_err(refused)?;
        let layout = self.run.session.project.layout().map(ImageLayout::new);
        let layout = layout.ok_or_else(|| unexpected(ImageProblem::Gone))?;
        let layers = manifest.layers.into_iter().zip(&image.info.diff_ids);
        let layers = layers.map(|(descriptor, diff_id)| {
            let file = layout.blob(&descriptor.digest);
            LayerFile::there(Layer::of_another(descriptor, diff_id.clone()), file)
        });
        Ok(services.daemon()?.load(&LoadRequest {
            image: &image,
            layers: &layers.collect::<Vec<_>>(),
            parent: None,
            reference,
        })?)
    }

    /// Pushes an image under the staging tag `own`, which the daemon has only during the push.
    ///
    /// The daemon does it, since only it knows which layers it has pushed before: a new layer on 500 MB takes it 0.1 s,
    /// while it exports all of them, and nothing less, in 3 to 5 s (20.10).
    fn send_as(
        &self,
        made: &BuiltImage,
        own: &Reference,
        progress: &mut dyn Progress,
    ) -> Result<(), Error> {
        let daemon = self.run.services.daemon()?;
        let registry_auth = self.run.services.registry_auth(&own.repository)?;
        let _on_end = daemon.untag_on_end(own);
        for attempt in 1.. {
            daemon.tag(&made.info, own)?;
            let sent = daemon.push(own, &registry_auth, &mut |event| {
                transferred(progress, Transfer::Pushed, &event);
            });
            // Another push of the same image through this daemon uses the same staging tag, and may have removed it.
            let is_gone = sent.is_err() && daemon.inspect(&own.to_string())?.is_none();
            if is_gone && attempt < PUSH_ATTEMPTS {
                continue;
            }
            let untagged = daemon.untag(own);
            sent?;
            untagged?;
            break;
        }
        Ok(())
    }

    /// Pushes an image under a staging tag, then gives it its own tag unless another push was faster.
    fn send(&self, stage: &PlatformStage, made: &BuiltImage) -> Result<PushedImage, Error> {
        if self.run.registry.layout.is_some() {
            return self.send_exported(stage, made);
        }
        let tags = StageTags::of(self.run, stage)?;
        let stored = self.run.services.daemon()?.stored(&made.info.id)?;
        let mut progress = self.run.session.events.begin(&stage.title);
        progress.step(Step::Push(&made.reference));
        let own = staging_tag(&made.reference, &made.info.id);
        let sent = match &stored {
            Some(stored) => self.send_stored(stored, &own, progress.as_mut()),
            None => self.send_as(made, &own, progress.as_mut()),
        };
        let image = match sent {
            Ok(()) => tags.read_back(&own)?,
            // A registry that sets no tag twice refuses what has arrived before, if that answer was lost, or its run killed.
            Err(error) => match tags.find(&own) {
                Ok(Some(there)) => there,
                _ => return Err(error),
            },
        };
        refuse_other(&own, made, &image)?;
        let staged = Some(&made.info.id);
        self.claim(stage, (image, made.clone()), staged, progress.as_mut())
    }

    /// Pushes an image under the staging tag `own`. No daemon has it, so that it is sent layer by layer; those of its parent
    /// are in the registry.
    fn send_stored(
        &self,
        stored: &StoredImage,
        own: &Reference,
        progress: &mut dyn Progress,
    ) -> Result<(), Error> {
        let layers = stored.layers.iter().map(|layer| match layer {
            StoredLayer::File(file) => Blob::from(file.clone()),
            StoredLayer::Repository(layer, repository) => Blob {
                descriptor: layer.descriptor.clone(),
                source: BlobSource::Registry(repository.clone()),
                mounts: Vec::new(),
                is_new: false,
            },
        });
        let (image, mut sent) = (&stored.image, Sent::default());
        let pushed = self.run.services.registry()?.push_image(
            OutgoingImage {
                manifest: &image.manifest,
                media_type: image.media_type.as_ref(),
                config: &image.config,
                layers: &layers.collect::<Vec<_>>(),
            },
            own,
            &mut |event| sent.tell(&event, progress),
        );
        if let Err(RegistryError::Damaged { file, .. }) = &pushed {
            // Without it the image counts as not there, and the next run makes it again.
            remove_if_there(file)?;
        }
        pushed?;
        Ok(())
    }

    /// Puts an image of the daemon into the layout that stands in the place of a registry.
    fn send_exported(
        &self,
        stage: &PlatformStage,
        made: &BuiltImage,
    ) -> Result<PushedImage, Error> {
        let mut progress = self.run.session.events.begin(&stage.title);
        let layout = self.run.session.project.layout().map(ImageLayout::new);
        let is_needed =
            |layer: &Descriptor| layout.as_ref().is_none_or(|layout| !layout.has(layer));
        let run = self.run;
        let exported = run.exported(&made.into(), &is_needed, progress.as_mut())?;
        progress.step(Step::Push(&made.reference));
        let config = exported.image.config.clone();
        let there = RegistryImage::from(exported.image);
        let layers: Vec<Blob> = exported.layers.into_iter().map(Blob::from).collect();
        let mut sent = Sent::default();
        let pinned = made.reference.repository.with_digest(&there.digest);
        self.run.services.registry()?.push_image(
            OutgoingImage {
                manifest: &there.manifest,
                media_type: &there.media_type,
                config: &config,
                layers: &layers,
            },
            &pinned,
            &mut |event| sent.tell(&event, progress.as_mut()),
        )?;
        self.claim(stage, (there, made.clone()), None, progress.as_mut())
    }

    /// Puts the files of a stage on the registry's parent, and pushes the image. No daemon has a part in it, and of the
    /// parent nothing but its documents is fetched.
    fn push_files(
        &self,
        stage: &PlatformStage,
        inputs: &FilesInputs,
        below: &BTreeMap<String, PushedImage>,
    ) -> Result<PushedImage, Error> {
        let reference = stage.reference(self.run.registry);
        let mut progress = self.run.session.events.begin(&stage.title);
        let below = self.parent(stage, below, progress.as_mut())?;
        let holder = self.holder(&below.layers);
        self.begin_ahead(reference, &below, holder.as_ref())?;
        progress.step(Step::PutTogether(&below.reference));
        let name = below.reference.to_string();
        let assemble = |progress: &mut dyn Progress| {
            let parent = (&*name, &below.documents);
            self.builder.assemble((stage, inputs), parent, progress)
        };
        let mut assembled = assemble(progress.as_mut())?;
        progress.step(Step::Push(reference));
        // Else the layers of the parent are sent too, which may take long.
        if holder.is_some_and(|holder| holder.registry == reference.repository.registry) {
            self.builder.prepare_replacements(&assembled)?;
        }
        self.push_record(stage, &assembled.in_registry(), reference)?;
        let below = &below.layers;
        let mut sent = self.send_assembled(reference, &assembled, below, progress.as_mut());
        if let Err(Error::Registry(RegistryError::Damaged { file, .. })) = &sent {
            // What is damaged in the cache is made again.
            self.remove_damaged(file, below, progress.as_mut())?;
            assembled = assemble(progress.as_mut())?;
            progress.step(Step::Push(reference));
            sent = self.send_assembled(reference, &assembled, below, progress.as_mut());
        }
        let image = assembled.in_registry();
        let made = BuiltImage {
            reference: reference.clone(),
            info: image.info.clone(),
            action: Action::Built,
        };
        let claim = if sent? == image.digest {
            Claim::Ours
        } else {
            Claim::Theirs(Box::new(
                StageTags::of(self.run, stage)?.read_back(reference)?,
            ))
        };
        Ok(settled(claim, (image, made), progress.as_mut()))
    }

    /// Removes the file of a layer from the cache. What was taken out of a daemon is taken out again.
    fn remove_damaged(
        &self,
        file: &Path,
        below: &LayersBelow,
        progress: &mut dyn Progress,
    ) -> Result<(), Error> {
        match below {
            LayersBelow::Daemon { image, files }
                if files.iter().any(|below| below.file == file) =>
            {
                self.run.mend_export(image, files, progress)
            }
            _ => Ok(remove_if_there(file)?),
        }
    }

    /// The image that the files of a stage are put on.
    pub(super) fn parent(
        &self,
        stage: &PlatformStage,
        below: &BTreeMap<String, PushedImage>,
        progress: &mut dyn Progress,
    ) -> Result<ParentOfFiles, Error> {
        if let Some(text) = stage.inputs.recipe.external_base() {
            let mut found = self.run.external_parent(stage, text, progress)?;
            if self.run.registry.layout.is_some() {
                let image = as_oci(&found.documents).map_err(|error| {
                    Error::unexpected(&found.reference, ImageProblem::NoLayout(error.to_string()))
                })?;
                found.documents = image.documents();
            }
            return Ok(found);
        }
        let gone = |reference: &Reference| Error::unexpected(reference, ImageProblem::Gone);
        let parent = stage.base().and_then(|base| below.get(base));
        let parent = parent.ok_or_else(|| gone(stage.reference(self.run.registry)))?;
        let repository = &parent.reference.repository;
        let pinned = repository.with_digest(&parent.image.digest);
        let found = self
            .run
            .documents(&parent.image, &pinned, &stage.platform)?;
        let documents = found.ok_or_else(|| gone(&pinned))?;
        Ok(ParentOfFiles {
            layers: LayersBelow::Repository(repository.clone()),
            reference: pinned,
            documents,
        })
    }

    /// Lets the registry begin what the push of an image needs, while the image is put together. `holder` has the layers of
    /// its parent.
    fn begin_ahead(
        &self,
        reference: &Reference,
        below: &ParentOfFiles,
        holder: Option<&Repository>,
    ) -> Result<(), Error> {
        // A manifest that cannot be read is an error of the image, which is told when it is put together.
        let manifest = ImageManifest::parse(&below.documents.manifest);
        let layers = manifest.map_or(Vec::new(), |manifest| manifest.layers);
        let ahead = PushAhead {
            reference: reference.clone(),
            asked: self.asked,
            below: layers.into_iter().map(|layer| layer.digest).collect(),
            parent: holder.unwrap_or(&reference.repository).clone(),
            uploads: NEW_BLOBS,
        };
        self.run.services.registry()?.begin_push_ahead(ahead);
        Ok(())
    }

    /// Sends an image that was put together, and returns the digest that has its tag afterwards.
    ///
    /// Of the images on one that was taken out of a daemon, the first brings its layers along. The others wait for that, and
    /// have the layers mounted.
    fn send_assembled(
        &self,
        reference: &Reference,
        assembled: &Assembled,
        below: &LayersBelow,
        progress: &mut dyn Progress,
    ) -> Result<Digest, Error> {
        let LayersBelow::Daemon { image, files } = below else {
            let layers = assembled.blobs(below, &[]);
            return self.send_blobs(reference, assembled, &layers, progress);
        };
        let mut send = |mounts: &[Repository]| {
            let layers = assembled.blobs(below, mounts);
            self.send_blobs(reference, assembled, &layers, progress)
        };
        let first = self.holders.take(image.id.as_str(), |holder| {
            if let Some(holder) = holder.clone().or_else(|| self.holder_of(files)) {
                return Err(holder);
            }
            let sent = send(&[]);
            if sent.is_ok() {
                *holder = Some(reference.repository.clone());
            }
            Ok(sent)
        });
        match first {
            Ok(sent) => sent,
            Err(holder) => send(&[holder]),
        }
    }

    /// The repository that has the layers of a parent, if there was one before this push.
    fn holder(&self, below: &LayersBelow) -> Option<Repository> {
        match below {
            LayersBelow::Repository(repository) => Some(repository.clone()),
            LayersBelow::Daemon { files, .. } => self.holder_of(files),
        }
    }

    /// The repository of an image that was in the registry before, and has all of these layers.
    fn holder_of(&self, files: &[LayerFile]) -> Option<Repository> {
        let has_all = |image: &RegistryImage| {
            ImageManifest::parse(&image.manifest).is_ok_and(|manifest| {
                let mut digests = files.iter().map(|file| &file.layer.descriptor.digest);
                digests.all(|digest| manifest.layers.iter().any(|layer| layer.digest == *digest))
            })
        };
        let mut there = self.there.iter();
        let (name, _) = there.find(|(_, there)| there.images.values().any(has_all))?;
        let stage = &self.run.prepared.plan.stages[name];
        Some(stage.reference(self.run.registry).repository.clone())
    }

    fn send_blobs(
        &self,
        reference: &Reference,
        assembled: &Assembled,
        layers: &[Blob],
        progress: &mut dyn Progress,
    ) -> Result<Digest, Error> {
        let image = &assembled.image;
        let mut sent = Sent::default();
        let digest = self.run.services.registry()?.push_image(
            OutgoingImage {
                manifest: &image.manifest,
                media_type: image.media_type.as_ref(),
                config: &image.config,
                layers,
            },
            reference,
            &mut |event| sent.tell(&event, progress),
        )?;
        Ok(digest)
    }

    /// Gives a pushed image its tag, unless another push was faster.
    fn claim(
        &self,
        stage: &PlatformStage,
        (image, made): (RegistryImage, BuiltImage),
        staged: Option<&Digest>,
        progress: &mut dyn Progress,
    ) -> Result<PushedImage, Error> {
        self.push_record(stage, &image, &made.reference)?;
        let claim = StageTags::of(self.run, stage)?.claim(&image, staged)?;
        Ok(settled(claim, (image, made), progress))
    }

    /// Puts the record of a stage beside its image, if it is too large for a label.
    fn push_record(
        &self,
        stage: &PlatformStage,
        image: &RegistryImage,
        reference: &Reference,
    ) -> Result<(), Error> {
        match provenance::push_beside(self.run.services, stage, image, reference) {
            // A registry that refuses artifacts still gets the image.
            Err(error @ Error::Registry(RegistryError::Refused { .. })) => {
                self.without_record(reference, &error);
                Ok(())
            }
            pushed => pushed,
        }
    }
}

/// Whether the daemon's image is that of the registry: the same layers under the same config. Its ID is the digest of the
/// config or, in the containerd store, of the manifest or of an index over it.
fn is_same(local: &ImageInfo, there: &RegistryImage) -> bool {
    let is_named = |name: &String| name.ends_with(there.digest.as_str());
    local.diff_ids == there.info.diff_ids
        && (local.id == there.info.id
            || local.id == there.digest
            || local.repo_digests.iter().any(is_named))
}

/// Refuses an image in the registry that is not the one that the daemon has pushed. Its digest is not known before, as the
/// daemon compresses the layers while it sends them; but what they are, and what is said of them, is.
fn refuse_other(own: &Reference, made: &BuiltImage, stored: &RegistryImage) -> Result<(), Error> {
    let (sent, there) = (&made.info, &stored.info);
    let other = if there.diff_ids != sent.diff_ids {
        "it has other layers"
    } else if there.labels != sent.labels {
        "it has other labels"
    } else if there.platform != sent.platform {
        "it is for another platform"
    } else {
        return Ok(());
    };
    Err(Error::unexpected(own, ImageProblem::NotWhatWasSent(other)))
}

/// The result for a pushed image, whose tag may be another push's.
fn settled(
    claim: Claim,
    (image, made): (RegistryImage, BuiltImage),
    progress: &mut dyn Progress,
) -> PushedImage {
    let reference = made.reference.clone();
    let (image, made) = match claim {
        Claim::Ours => {
            progress.end(Outcome::Pushed {
                reference: &reference,
                digest: &image.digest,
            });
            (image, Some(made))
        }
        Claim::Theirs(theirs) => {
            progress.end(Outcome::Adopted(&reference));
            (*theirs, None)
        }
    };
    PushedImage {
        reference,
        image,
        made,
    }
}

/// What a push has sent so far.
#[derive(Default)]
pub(super) struct Sent {
    /// The bytes of each blob.
    of_blobs: BTreeMap<Digest, u64>,
}

impl Sent {
    pub(super) fn tell(&mut self, event: &BlobProgress<'_>, progress: &mut dyn Progress) {
        if let BlobState::Sending(bytes) = event.state {
            self.of_blobs.insert(event.descriptor.digest.clone(), bytes);
            let sent = self.of_blobs.values().sum();
            progress.moved(Transfer::Pushed, sent, None);
        }
    }
}
