//! `sparkpack push`: builds the images that the registry lacks, pushes them parents first, pins their digests, and
//! rewrites the manifests.

use super::policy::policy_of;
use crate::{
    adapters::git::Compared,
    cli::PushArguments,
    error::Error,
    operations::{
        build, publish,
        resolution::Strictness,
        workspace::{Services, Session},
    },
    ui::Ui,
};

pub(super) fn run(session: &Session<'_>, ui: &Ui, arguments: &PushArguments) -> Result<(), Error> {
    let images = &arguments.images;
    let registry = session.registry(images.registry.registry.as_deref())?;
    let targets = session.targets(&images.images)?;
    let services =
        Services::new(session, policy_of(images.locks)).building_wheels(&build::InContainers);
    let strictness = Strictness::of(arguments.strict.asked(), Compared::Commit);
    let finished = publish::push(session, &services, strictness, registry, &targets)?;
    if finished.was_current {
        ui.say("nothing to do: the registry has every image of this checkout, and the manifests are current");
    }
    for image in &finished.images {
        match &image.digest {
            Some(digest) => ui.data(format!("{}@{digest}", image.reference))?,
            None => ui.data(&image.reference)?,
        }
    }
    Ok(())
}
