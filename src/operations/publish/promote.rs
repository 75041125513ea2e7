//! Copies the images of this checkout from one registry into another, byte for byte; nothing is built.
//!
//! All look-ups come first. Then blobs and manifests are copied by digest, parents first, and after all of them the tags are
//! set. What the other registry has under a tag, made from the same inputs, stays and is taken, as a push does.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    begin::{Begun, begin},
    claim::{Claim, StageTags},
    conclude::conclude,
    confirm::confirm,
    look_up::{InRegistry, image_of, look_up, refuse_conflicts},
    platforms::{PushedStage, set_index},
    push::{PushedImage, Sent},
};
use crate::{
    adapters::{
        docker::staging_tag,
        layout::ImageLayout,
        registry::{Blob, BlobSource, OutgoingImage, RegistryImage},
    },
    error::{Error, ImageProblem, UsageError},
    image::{Descriptor, ImageManifest, Platform, Reference, Repository},
    operations::{
        build::{Finished, Run, run_on_as_many},
        events::{Note, Outcome, Step},
        provenance,
        workspace::{Services, Session, both},
    },
    plan::{PlatformStage, Stage},
    project::Registry,
};

/// Copies images and what they stand on from the registry `from` to the registry `to`, and writes the references into the
/// manifests of `to` and the digests into the pins.
///
/// # Errors
/// An image is not in `from`, or has other inputs in either registry: then nothing is written. Or whatever stopped the copy:
/// then no tag is set that was not set before it.
pub(crate) fn promote(
    session: &Session<'_>,
    services: &Services<'_>,
    (from, to): (&Registry, &Registry),
    targets: &[String],
) -> Result<Finished, Error> {
    if from.name == to.name {
        return Err(UsageError::SameRegistry(to.name.clone()).into());
    }
    let Begun {
        scope,
        manifests,
        prepared,
        commit,
        ..
    } = begin(session, services, to, targets)?;
    let run = |registry| Run {
        session,
        services,
        prepared: &prepared,
        registry,
    };
    let (source, target) = (run(from), run(to));
    let names = prepared.plan.with_parents(targets);
    let (found, there) = both(
        || look_up(&source, names.clone()),
        || look_up(&target, names.clone()),
    )?;
    refuse_conflicts(&source, &found)?;
    refuse_conflicts(&target, &there)?;
    let is_missing =
        |name: &&String| there[*name].digest.is_none() && found[*name].digest.is_none();
    let missing = names.iter().filter(is_missing).map(|name| {
        let reference = prepared.plan.stages[name].reference(from);
        let problem = ImageProblem::NotInRegistry(from.name.clone());
        Err::<(), _>(Error::unexpected(reference, problem))
    });
    Error::collect(missing)?;
    let promotion = Promotion {
        source: &source,
        target: &target,
        found: &found,
        there: &there,
    };
    promotion.refuse_others(&names)?;
    let (promoted, is_current) = promotion.copy_all(&names)?;
    confirm(&target, &promoted)?;
    let mut finished = conclude(&target, (&manifests, scope), commit, &promoted)?;
    finished.was_current &= is_current;
    Ok(finished)
}

struct Promotion<'a> {
    source: &'a Run<'a>,
    target: &'a Run<'a>,
    /// What the registry has that is copied from.
    found: &'a InRegistry,
    /// What the other registry had before.
    there: &'a InRegistry,
}

impl Promotion<'_> {
    /// Copies what is not there, and returns all images, and whether all of them were there.
    fn copy_all(
        &self,
        names: &BTreeSet<String>,
    ) -> Result<(BTreeMap<String, PushedStage>, bool), Error> {
        let (events, plan) = (self.target.session.events, &self.target.prepared.plan);
        let is_there = |name: &&String| self.there[*name].digest.is_some();
        let (present, lacking): (BTreeSet<&String>, BTreeSet<&String>) =
            names.iter().partition(is_there);
        for name in &present {
            let stage = &plan.stages[*name];
            let reference = stage.reference(self.target.registry);
            let stage = &stage.title;
            events.note(Note::InRegistry { stage, reference });
        }
        let lacking = lacking.into_iter().cloned().collect();
        let (copied, failed) = run_on_as_many(events, plan, &lacking, &|stage, _| {
            self.copy(stage).map(|()| stage.name.clone())
        });
        if let Some(failed) = failed {
            events.note(Note::PartlyPushed {
                there: present.len(),
                of: names.len(),
                are_named: false,
            });
            return Err(failed);
        }
        let (mut all, mut moved) = (BTreeMap::new(), BTreeSet::new());
        for stage in plan.parents_first() {
            if !names.contains(&stage.name) {
                continue;
            }
            // Somebody may have pushed another parent meanwhile.
            if copied.contains_key(&stage.name) {
                self.refuse_other(stage, |parent| moved.contains(parent))?;
            }
            let mut images = BTreeMap::new();
            for on in &stage.platforms {
                images.insert(on.platform.clone(), self.name(on, stage)?);
            }
            let is_same = |(platform, named): (&Platform, &PushedImage)| {
                let found = image_of(self.found, &stage.name, platform);
                found.is_none_or(|found| found.digest == named.image.digest)
            };
            if !images.iter().all(is_same) {
                moved.insert(stage.name.clone());
            }
            let promoted = self.whole(stage, images, copied.contains_key(&stage.name))?;
            all.insert(stage.name.clone(), promoted);
        }
        Ok((all, copied.is_empty()))
    }

    /// Refuses images of which a parent is in the other registry as another image: together they would be no set.
    fn refuse_others(&self, names: &BTreeSet<String>) -> Result<(), Error> {
        let stages = &self.target.prepared.plan.stages;
        let is_other = |parent: &str| {
            let stage = &stages[parent];
            stage.platforms.iter().any(|on| {
                let [found, there] = [self.found, self.there]
                    .map(|known| image_of(known, &stage.name, &on.platform));
                let both = found.zip(there);
                both.is_some_and(|(found, there)| found.digest != there.digest)
            })
        };
        let lacking = names
            .iter()
            .filter(|name| self.there[*name].digest.is_none());
        let refused = lacking.map(|name| self.refuse_other(&stages[name], is_other));
        Error::collect(refused).map(drop)
    }

    fn refuse_other(&self, stage: &Stage, is_other: impl Fn(&str) -> bool) -> Result<(), Error> {
        let mut parents = stage.parents.iter();
        let Some(parent) = parents.find(|parent| is_other(parent)) else {
            return Ok(());
        };
        let problem = ImageProblem::OtherParent {
            parent: parent.clone(),
            registry: self.target.registry.name.clone(),
        };
        Err(Error::unexpected(
            stage.reference(self.source.registry),
            problem,
        ))
    }

    /// Copies the images of a stage, by digest.
    fn copy(&self, stage: &Stage) -> Result<(), Error> {
        for on in &stage.platforms {
            if image_of(self.there, &stage.name, &on.platform).is_none() {
                self.copy_image(stage, on)?;
            }
        }
        Ok(())
    }

    fn copy_image(&self, stage: &Stage, on: &PlatformStage) -> Result<(), Error> {
        let mut progress = self.target.session.events.begin(&on.title);
        let (from, to) = (self.source.registry, self.target.registry);
        let (source, target) = (&on.reference(from).repository, on.reference(to));
        let gone = || {
            let problem = ImageProblem::NotInRegistry(from.name.clone());
            Error::unexpected(on.reference(from), problem)
        };
        let image = image_of(self.found, &stage.name, &on.platform);
        let image = image.ok_or_else(gone)?;
        progress.step(Step::Push(target));
        let registry = self.target.services.registry()?;
        let pinned = source.with_digest(&image.digest);
        let documents = registry.documents(&pinned, &on.platform)?;
        let documents = documents.ok_or_else(gone)?;
        let manifest = ImageManifest::parse(&documents.manifest).map_err(|error| {
            Error::unexpected(&pinned, ImageProblem::NoParent(error.to_string()))
        })?;
        let layers: Vec<Blob> = manifest
            .layers
            .into_iter()
            .map(|layer| self.blob(layer, source, stage))
            .collect();
        let outgoing = OutgoingImage {
            manifest: &documents.manifest,
            media_type: &image.media_type,
            config: &documents.config,
            layers: &layers,
        };
        let by_digest = target.repository.with_digest(&image.digest);
        let mut sent = Sent::default();
        registry.push_image(outgoing, &by_digest, &mut |event| {
            sent.tell(&event, progress.as_mut());
        })?;
        // Its tag is set when all of the set is there.
        progress.end(Outcome::Copied(&by_digest));
        Ok(())
    }

    /// A layer that is taken from the repository `source`, if the stage's parents do not have it already.
    fn blob(&self, layer: Descriptor, source: &Repository, stage: &Stage) -> Blob {
        let registry = self.target.registry;
        let stages = &self.target.prepared.plan.stages;
        let parents = stage.parents.iter().map(|parent| &stages[parent]);
        let parents = parents.map(|parent| parent.reference(registry).repository.clone());
        let layout = &self.source.registry.layout;
        let layout = layout
            .as_ref()
            .map(|_| self.source.session.project.layout());
        let source = match layout.flatten().map(ImageLayout::new) {
            Some(layout) => BlobSource::File(layout.blob(&layer.digest)),
            None => BlobSource::Registry(source.clone()),
        };
        Blob {
            descriptor: layer,
            source,
            mounts: parents.collect(),
            is_new: false,
        }
    }

    /// Gives the copied image of a platform its tag, unless somebody else was faster.
    fn name(&self, on: &PlatformStage, stage: &Stage) -> Result<PushedImage, Error> {
        let reference = on.reference(self.target.registry);
        let there = image_of(self.there, &stage.name, &on.platform);
        let image = match (there, image_of(self.found, &stage.name, &on.platform)) {
            (Some(there), _) => there.clone(),
            (None, Some(found)) => self.claim(on, found, reference)?,
            (None, None) => {
                return Err(Error::unexpected(reference, ImageProblem::NotKept));
            }
        };
        Ok(PushedImage {
            reference: reference.clone(),
            image,
            made: None,
        })
    }

    fn claim(
        &self,
        on: &PlatformStage,
        found: &RegistryImage,
        reference: &Reference,
    ) -> Result<RegistryImage, Error> {
        let services = self.target.services;
        provenance::push_beside(services, on, found, reference)?;
        let tags = StageTags::of(self.target, on)?;
        // A push may set the tag at the same moment, to an image that a daemon has made with other bytes.
        let is_layout = self.target.registry.layout.is_some();
        let agrees = on.inputs.recipe.needs_builder() && !is_layout;
        let staged = agrees.then_some(&found.info.id);
        if let Some(id) = staged {
            tags.registry.tag(found, &staging_tag(reference, id))?;
        }
        Ok(match tags.claim(found, staged)? {
            Claim::Ours => found.clone(),
            Claim::Theirs(theirs) => *theirs,
        })
    }

    /// The stage in the other registry, with an index over its images if there are several.
    fn whole(
        &self,
        stage: &Stage,
        images: BTreeMap<Platform, PushedImage>,
        is_copied: bool,
    ) -> Result<PushedStage, Error> {
        let there = self.there[&stage.name].digest.clone();
        let digest = match (there, &*stage.platforms) {
            (Some(digest), _) => digest,
            (None, [only]) => images[&only.platform].image.digest.clone(),
            (None, _) => set_index(self.target, stage, &images)?.0,
        };
        Ok(PushedStage {
            reference: stage.reference(self.target.registry).clone(),
            digest,
            images,
            is_copied,
        })
    }
}
