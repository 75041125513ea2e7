//! Provides the images of stages in the daemon.

use std::collections::BTreeMap;

use super::{run::Run, schedule::run_on_stages, stage::StageBuilder};
use crate::{
    error::Error,
    operations::{
        dist::{BuiltImage, Packer},
        resolution,
    },
};

/// The daemon's images of `targets` and of what they stand on: what it lacks is built.
pub(super) fn in_daemon(
    run: &Run<'_>,
    packer: &Packer<'_>,
    targets: &[String],
) -> Result<BTreeMap<String, BuiltImage>, Error> {
    let answers = run.ask_for_needed(targets, run.services.daemon()?)?;
    let names = run.asked(targets).needed(&answers);
    let builder = StageBuilder::new(run, packer, answers);
    builder.refuse_hopeless(&names)?;
    let plan = &run.prepared.plan;
    run_on_stages(run.session.events, plan, &names, &|stage, below| {
        builder.make(resolution::only_platform(stage)?, below)
    })
}
