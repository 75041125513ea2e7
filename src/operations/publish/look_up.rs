//! What a registry has of the images of a plan.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    adapters::registry::RegistryImage,
    error::Error,
    image::{Digest, Platform},
    operations::{
        build::{Run, refuse_conflict},
        workspace::side_by_side,
    },
    plan::{PlatformStage, Stage, decision::Answers},
};

/// What the registry has of a stage.
#[derive(Default)]
pub(crate) struct StageInRegistry {
    /// The image of each platform.
    pub(crate) images: BTreeMap<Platform, RegistryImage>,
    /// The digest under the stage's tag: that of its image or, with several platforms, of its index. `None` if the
    /// registry does not have it.
    pub(crate) digest: Option<Digest>,
}

/// What the registry has of stages, by their names.
pub(crate) type InRegistry = BTreeMap<String, StageInRegistry>;

/// The image of a stage for a platform, if a registry has it.
pub(super) fn image_of<'i>(
    there: &'i InRegistry,
    stage: &str,
    platform: &Platform,
) -> Option<&'i RegistryImage> {
    there.get(stage)?.images.get(platform)
}

/// The registry's answers about `names` on a platform, in the form that decisions are made from.
pub(super) fn answers(
    run: &Run<'_>,
    names: &BTreeSet<String>,
    platform: &Platform,
    there: &InRegistry,
) -> Answers {
    let info = |name: &String| {
        let stage = run.prepared.plan.stages[name].on_or_first(platform);
        let image = image_of(there, name, &stage.platform)?;
        Some(image.info.clone())
    };
    let names = names.iter();
    names.map(|name| (name.clone(), info(name))).collect()
}

/// Refuses a push whose tags belong to other images in the registry.
///
/// # Errors
/// All conflicts together.
pub(super) fn refuse_conflicts(run: &Run<'_>, there: &InRegistry) -> Result<(), Error> {
    let stages = run.prepared.plan.parents_first();
    let stages = stages.flat_map(|stage| &stage.platforms);
    let refused = stages.map(
        |stage| match image_of(there, &stage.name, &stage.platform) {
            Some(image) => refuse_conflict(
                &stage.fingerprint,
                stage.reference(run.registry),
                &image.info,
            ),
            None => Ok(()),
        },
    );
    Error::collect(refused).map(drop)
}

/// Looks up stages in the registry, side by side.
///
/// # Errors
/// The registry cannot be asked. Of an image for several platforms, a tag that belongs to another image.
pub(crate) fn look_up(run: &Run<'_>, names: BTreeSet<String>) -> Result<InRegistry, Error> {
    let names: Vec<String> = names.into_iter().collect();
    let found = side_by_side(&names, &|name: &String| {
        look_up_one(run, &run.prepared.plan.stages[name])
    });
    // A registry that fails for one stage usually fails for all, so only the first error is reported.
    let found: Vec<StageInRegistry> = found.into_iter().collect::<Result<_, Error>>()?;
    Ok(names.into_iter().zip(found).collect())
}

pub(super) fn look_up_one(run: &Run<'_>, stage: &Stage) -> Result<StageInRegistry, Error> {
    let registry = run.services.registry()?;
    let reference = stage.reference(run.registry);
    if let [only] = &*stage.platforms {
        let image = registry.find(reference, &only.platform)?;
        let digest = image.as_ref().map(|image| image.digest.clone());
        let images = image.map(|image| (only.platform.clone(), image));
        return Ok(StageInRegistry {
            images: images.into_iter().collect(),
            digest,
        });
    }
    let digest = registry.digest(reference)?;
    let mut images = BTreeMap::new();
    for on in &stage.platforms {
        let reference = match &digest {
            Some(_) => reference,
            None => on.reference(run.registry),
        };
        if let Some(image) = registry.find(reference, &on.platform)? {
            refuse_conflict(&on.fingerprint, reference, &image.info)?;
            images.insert(on.platform.clone(), image);
        }
    }
    Ok(StageInRegistry { images, digest })
}

/// Those of the stages `names`, on each platform, that the registry lacks.
pub(super) fn lacking<'a>(
    run: &Run<'a>,
    names: &BTreeSet<String>,
    there: &InRegistry,
) -> Vec<&'a PlatformStage> {
    let stages = names.iter().map(|name| &run.prepared.plan.stages[name]);
    let stages = stages.flat_map(|stage| &stage.platforms);
    let is_lacking =
        |stage: &&PlatformStage| image_of(there, &stage.name, &stage.platform).is_none();
    stages.filter(is_lacking).collect()
}
