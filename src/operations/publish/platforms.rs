//! Images for several platforms: each platform's image has its own tag, and an index over them the tag of the whole.

use std::collections::BTreeMap;

use super::{
    look_up::{StageInRegistry, look_up_one},
    push::{PushedImage, Pusher},
};
use crate::{
    adapters::registry::RegistryImage,
    error::{Error, ImageProblem},
    image::{
        Descriptor, Digest, Family, ImageError, ImageIndex, ImageManifest, Platform, Reference,
    },
    operations::{
        build::Run,
        dist::{Action, ImageResult, Size},
        events::{Note, Outcome, Step},
    },
    plan::Stage,
};

/// A stage in the registry after a push.
#[derive(Clone)]
pub(crate) struct PushedStage {
    pub(super) reference: Reference,
    pub(super) digest: Digest,
    pub(super) images: BTreeMap<Platform, PushedImage>,
    /// Whether it was copied out of another registry.
    pub(super) is_copied: bool,
}

impl PushedStage {
    /// Whether this run has made all of it.
    pub(super) fn is_made(&self) -> bool {
        let mut images = self.images.values();
        images.all(|image| image.made.is_some())
    }

    pub(crate) fn result(&self, name: &str) -> Option<ImageResult> {
        let images = self.images.values();
        let made: Vec<_> = images
            .clone()
            .filter_map(|image| image.made.as_ref())
            .collect();
        let unpacked = match &*made {
            [] => None,
            made => Some(made.iter().map(|made| made.info.size).sum()),
        };
        Some(ImageResult {
            name: name.to_owned(),
            reference: self.reference.clone(),
            digest: Some(self.digest.clone()),
            id: self.images.values().next()?.image.info.id.clone(),
            size: Size {
                unpacked,
                compressed: Some(images.map(|image| image.image.info.size).sum()),
            },
            action: match made.first() {
                Some(made) => made.action,
                None if self.is_copied => Action::Copied,
                None => Action::Adopted,
            },
        })
    }
}

impl Pusher<'_> {
    /// Adopts or makes and pushes the image of each platform, and the index over them if there are several. `below` has
    /// the results for the stage's parents.
    pub(crate) fn push_stage(
        &self,
        stage: &Stage,
        there: Option<&StageInRegistry>,
        below: &BTreeMap<String, PushedStage>,
    ) -> Result<PushedStage, Error> {
        let digest = there.and_then(|there| there.digest.clone());
        // With several platforms, all of them are there where the index is.
        let is_whole = digest.is_some();
        let mut images = BTreeMap::new();
        for on in &stage.platforms {
            let parents = below.iter().filter_map(|(name, parent)| {
                let image = parent.images.get(&on.platform)?;
                Some((name.clone(), image.clone()))
            });
            let there = there.and_then(|there| there.images.get(&on.platform));
            let pushed = self.push(on, there, &parents.collect())?;
            if there.is_some() && !is_whole {
                self.is_there(&on.title, on.reference(self.run.registry));
            }
            images.insert(on.platform.clone(), pushed);
        }
        if is_whole {
            self.is_there(&stage.title, stage.reference(self.run.registry));
        }
        let digest = match (digest, &*stage.platforms) {
            (Some(digest), _) => digest,
            (None, [only]) => images[&only.platform].image.digest.clone(),
            (None, _) => self.push_index(stage, &images)?,
        };
        Ok(PushedStage {
            reference: stage.reference(self.run.registry).clone(),
            digest,
            images,
            is_copied: false,
        })
    }

    fn is_there(&self, stage: &str, reference: &Reference) {
        let events = self.run.session.events;
        events.note(Note::InRegistry { stage, reference });
    }

    /// Gives an index over the images its tag, and returns the digest that has it afterwards.
    fn push_index(
        &self,
        stage: &Stage,
        images: &BTreeMap<Platform, PushedImage>,
    ) -> Result<Digest, Error> {
        let reference = stage.reference(self.run.registry);
        let mut progress = self.run.session.events.begin(&stage.title);
        progress.step(Step::Push(reference));
        // Somebody else may have been faster meanwhile.
        let there = look_up_one(self.run, stage)?;
        let (digest, is_ours) = match there.digest {
            Some(digest) => (digest, false),
            None => set_index(self.run, stage, images)?,
        };
        progress.end(if is_ours {
            Outcome::Pushed {
                reference,
                digest: &digest,
            }
        } else {
            Outcome::Adopted(reference)
        });
        Ok(digest)
    }
}

/// Sets the tag to the index of these images. The digest is another one than theirs if somebody else was faster.
pub(super) fn set_index(
    run: &Run<'_>,
    stage: &Stage,
    images: &BTreeMap<Platform, PushedImage>,
) -> Result<(Digest, bool), Error> {
    let reference = stage.reference(run.registry);
    let not_valid =
        |error: ImageError| Error::unexpected(reference, ImageProblem::NoParent(error.to_string()));
    let index = index_of(images).map_err(not_valid)?;
    if run.services.registry()?.tag(&index, reference)? {
        return Ok((index.digest, true));
    }
    let theirs = look_up_one(run, stage)?.digest;
    let gone = || Error::unexpected(reference, ImageProblem::NotKept);
    Ok((theirs.ok_or_else(gone)?, false))
}

/// The index over images, in the form of a registry's image.
fn index_of(images: &BTreeMap<Platform, PushedImage>) -> Result<RegistryImage, ImageError> {
    let mut entries = Vec::new();
    let mut all = None;
    for (platform, PushedImage { image, .. }) in images {
        let family = ImageManifest::parse(&image.manifest)?.family();
        let family = family.unwrap_or(Family::Oci);
        entries.push(Descriptor {
            platform: Some(platform.clone()),
            ..Descriptor::of(family.manifest(), &image.manifest)
        });
        // An index of OCI may name manifests of either family.
        let is_same = all.as_ref().is_none_or(|(all, _)| *all == family);
        all = Some((
            if is_same { family } else { Family::Oci },
            image.info.clone(),
        ));
    }
    let (family, info) = all.ok_or(ImageError::NoPlatform)?;
    let manifest = ImageIndex::assemble(family, &entries)?;
    Ok(RegistryImage {
        digest: Digest::of(&manifest),
        media_type: family.index().to_string(),
        manifest,
        info,
    })
}
