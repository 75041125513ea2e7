//! Provides the images of stages in the daemon.

use std::collections::{BTreeMap, BTreeSet};

use super::{run::Run, schedule::run_on_stages, stage::StageBuilder};
use crate::{
    error::Error,
    image::Platform,
    operations::dist::{BuiltImage, Packer},
    plan::Stage,
};

/// The daemon's images of the targets, each on one platform, and of what they stand on: what it lacks is built. A daemon
/// has one image under a name, so the one for its platform gets the tag of an image for several.
pub(super) fn in_daemon(
    run: &Run<'_>,
    packer: &Packer<'_>,
    by_platform: &BTreeMap<Platform, Vec<String>>,
) -> Result<BTreeMap<String, BuiltImage>, Error> {
    let targets: BTreeSet<&String> = by_platform.values().flatten().collect();
    let mut made = BTreeMap::new();
    for (platform, on_it) in by_platform {
        let images = on_platform(run, packer, on_it, platform)?;
        // What another target stands on may be a target itself, for its own platform.
        made.extend(
            images
                .into_iter()
                .filter(|(name, _)| on_it.contains(name) || !targets.contains(name)),
        );
    }
    for (name, image) in &mut made {
        let stage = &run.prepared.plan.stages[name];
        if stage.has_several_platforms() {
            run.tag_in_daemon(stage, image)?;
        }
    }
    Ok(made)
}

/// The daemon's images of `targets` and of what they stand on, for a platform.
pub(super) fn on_platform(
    run: &Run<'_>,
    packer: &Packer<'_>,
    targets: &[String],
    platform: &Platform,
) -> Result<BTreeMap<String, BuiltImage>, Error> {
    let answers = run.ask_for_needed(targets, platform, run.services.daemon()?)?;
    let names = run.asked(targets, platform).needed(&answers);
    // If more is to be made, it may take long.
    if answers.values().filter(|found| found.is_none()).count() > 1 {
        packer.will_replace(Vec::new());
    }
    let builder = StageBuilder::new(run, packer, answers);
    let plan = &run.prepared.plan;
    let on = |name: &String| plan.stages[name].on_or_first(platform);
    builder.refuse_hopeless(names.iter().map(on))?;
    run_on_stages(run.session.events, plan, &names, &|stage, below| {
        builder.make(stage.on_or_first(platform), below)
    })
}

impl Run<'_> {
    /// Gives the daemon's image for one of a stage's platforms the tag of the stage.
    fn tag_in_daemon(&self, stage: &Stage, image: &mut BuiltImage) -> Result<(), Error> {
        let (daemon, reference) = (self.services.daemon()?, stage.reference(self.registry));
        let there = daemon.inspect(&reference.to_string())?;
        if there.is_none_or(|there| there.id != image.info.id) {
            daemon.tag(&image.info, reference)?;
        }
        image.reference = reference.clone();
        Ok(())
    }
}
