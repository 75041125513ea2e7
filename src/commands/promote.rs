//! `sparkpack promote`: copies the images of this checkout from one registry into another, and rewrites the manifests.

use super::push::print_pushed;
use crate::{
    cli::PromoteArguments,
    error::Error,
    operations::{
        publish,
        workspace::{LockPolicy, Services, Session},
    },
    ui::Ui,
};

pub(super) fn run(
    session: &Session<'_>,
    ui: &Ui,
    arguments: &PromoteArguments,
) -> Result<(), Error> {
    let images = &arguments.images;
    let from = session.registry(images.registry.registry.as_deref())?;
    let to = session.registry(Some(&arguments.to))?;
    let targets = session.targets(&images.images)?;
    let services = Services::new(session, LockPolicy::ReadOnly);
    let finished = publish::promote(session, &services, (from, to), &targets)?;
    if finished.was_current {
        ui.say("nothing to do: the registry has every image of this checkout, and the manifests are current");
    }
    print_pushed(ui, &finished)
}
