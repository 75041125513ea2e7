//! `sparkpack push`: builds the images that the registry lacks, pushes them parents first, pins their digests, and
//! rewrites the manifests.

use super::policy::policy_of;
use crate::{
    adapters::git::Compared,
    cli::PushArguments,
    error::Error,
    operations::{
        build::{self, Finished},
        publish::{self, PushRequest},
        resolution::Strictness,
        workspace::{LockPolicy, Services, Session},
    },
    ui::Ui,
};

pub(super) fn run(session: &Session<'_>, ui: &Ui, arguments: &PushArguments) -> Result<(), Error> {
    let images = &arguments.images;
    let targets = session.targets(&images.images)?;
    let request = PushRequest {
        registry: session.registry(images.registry.registry.as_deref())?,
        targets: &targets,
        strictness: Strictness::of(arguments.strict.asked(), Compared::Commit),
        keeps_going: arguments.keep_going,
    };
    let policy = match policy_of(images.locks) {
        LockPolicy::Update if arguments.dry_run => LockPolicy::ReadOnly,
        policy => policy,
    };
    let services = Services::new(session, policy).building_wheels(&build::InContainers);
    if arguments.dry_run {
        let writes = publish::dry_run(session, &services, request)?;
        if writes.is_empty() {
            say_nothing_to_do(ui);
        }
        for write in &writes {
            ui.data(write)?;
        }
        return Ok(());
    }
    let finished = publish::push(session, &services, request)?;
    if finished.was_current {
        say_nothing_to_do(ui);
    }
    print_pushed(ui, &finished)?;
    finished.failed.map_or(Ok(()), Err)
}

fn say_nothing_to_do(ui: &Ui) {
    ui.say("nothing to do: the registry has every image of this checkout, and the manifests are current");
}

/// Prints the references of pushed images.
pub(super) fn print_pushed(ui: &Ui, finished: &Finished) -> Result<(), Error> {
    for image in &finished.images {
        match &image.digest {
            Some(digest) => ui.data(format!("{}@{digest}", image.reference))?,
            None => ui.data(&image.reference)?,
        }
    }
    Ok(())
}
