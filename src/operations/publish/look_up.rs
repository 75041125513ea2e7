//! What a registry has of the images of a plan.

use std::collections::{BTreeMap, BTreeSet};

use super::whole::{Kept, find_whole};
use crate::{
    adapters::registry::{Listing, RegistryImage},
    error::{Error, ImageProblem},
    image::{Digest, Platform, Reference},
    operations::{
        build::{Run, refuse_conflict},
        events::{ImageNote, Note},
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
    let reference = stage.reference(run.registry);
    if let [only] = &*stage.platforms {
        let image = whole(run, only, reference)?;
        let digest = image.as_ref().map(|image| image.digest.clone());
        let images = image.map(|image| (only.platform.clone(), image));
        return Ok(StageInRegistry {
            images: images.into_iter().collect(),
            digest,
        });
    }
    let listing = run.services.registry()?.listing(reference)?;
    if let Some(listing) = &listing {
        refuse_other_platforms(stage, reference, listing)?;
    }
    let mut images = BTreeMap::new();
    for on in &stage.platforms {
        let among = listing.as_ref().map(|listing| {
            let digest = &listing.platforms[&on.platform];
            reference.repository.with_digest(digest)
        });
        let named = among.as_ref().unwrap_or(on.reference(run.registry));
        if let Some(image) = whole(run, on, named)? {
            refuse_conflict(&on.fingerprint, named, &image.info)?;
            images.insert(on.platform.clone(), image);
        }
    }
    // An index is worth as much as the images that it names.
    let digest = listing.map(|listing| listing.digest);
    let digest = digest.filter(|_| images.len() == stage.platforms.len());
    Ok(StageInRegistry { images, digest })
}

/// The image of a reference, unless the registry has lost blobs of it, which is told.
fn whole(
    run: &Run<'_>,
    stage: &PlatformStage,
    reference: &Reference,
) -> Result<Option<RegistryImage>, Error> {
    let named = (reference, &stage.platform);
    let blobs = match find_whole(run.services.registry()?, named, &stage.fingerprint)? {
        Kept::Whole(image) => return Ok(Some(*image)),
        Kept::Nothing => return Ok(None),
        Kept::Lost(blobs) => blobs,
    };
    run.session.events.note(Note::Image(ImageNote::Lost {
        stage: &stage.title,
        reference,
        blobs,
    }));
    Ok(None)
}

/// Refuses what has the tag of an image for several platforms and is for others, or for one alone.
fn refuse_other_platforms(
    stage: &Stage,
    reference: &Reference,
    there: &Listing,
) -> Result<(), Error> {
    let mut platforms = stage.platforms.iter().map(|on| &on.platform);
    let is_same = there.is_index()
        && there.platforms.len() == stage.platforms.len()
        && platforms.all(|platform| there.platforms.contains_key(platform));
    if is_same {
        return Ok(());
    }
    let names = |platforms: &mut dyn Iterator<Item = &Platform>| {
        let names: Vec<String> = platforms.map(ToString::to_string).collect();
        names.join(", ")
    };
    let problem = ImageProblem::OtherPlatforms {
        is_index: there.is_index(),
        wanted: names(&mut stage.platforms.iter().map(|on| &on.platform)),
        there: names(&mut there.platforms.keys()),
    };
    Err(Error::unexpected(reference, problem))
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
