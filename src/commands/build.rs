//! `sparkpack build`: packs jobs, builds the images that the daemon lacks, rewrites the manifests, and lists the
//! images.

use super::policy::policy_of;
use crate::{
    cli::Images,
    error::Error,
    operations::{
        build,
        workspace::{Services, Session},
    },
    ui::Ui,
};

pub(super) fn run(session: &Session<'_>, ui: &Ui, images: &Images) -> Result<(), Error> {
    let registry = images.registry.registry.as_deref();
    session.registry(registry)?;
    let targets = session.targets(&images.images)?;
    let services = Services::new(session, policy_of(images.locks));
    let finished = build::build(session, &services, registry, &targets)?;
    if finished.was_current {
        let what = match finished.images.len() {
            1 => "the image".to_owned(),
            several => format!("all {several} images"),
        };
        ui.say(format!(
            "nothing to do: {what} and the manifests are current"
        ));
    }
    for image in &finished.images {
        ui.data(&image.reference)?;
    }
    Ok(())
}
