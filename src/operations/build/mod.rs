//! Makes the images that a plan lacks.

mod cache_bust;
mod context;
mod failure;
mod run;
mod schedule;
mod stage;

#[cfg(test)]
mod tests;

pub(crate) use run::Run;
pub(crate) use schedule::run_on_stages;
pub(crate) use stage::StageBuilder;

use crate::{
    error::Error,
    operations::{
        dist::{self, Action, ImageResult, Packer},
        manifests::{self, ExpectedReferences, Manifests, Scope},
        provenance, resolution,
        workspace::{Services, Session},
    },
};

/// What a build or a push came to.
pub(crate) struct Finished {
    /// The images that were looked at, parents first.
    pub(crate) images: Vec<ImageResult>,
    /// Whether everything was as it should be before.
    pub(crate) was_current: bool,
}

/// Packs, makes what the daemon does not have, and rewrites the manifests of `registry`, or of all.
///
/// # Errors
/// Whatever stopped it; the manifests are then as they were.
pub(crate) fn build(
    session: &Session<'_>,
    services: &Services<'_>,
    registry: Option<&str>,
    targets: &[String],
) -> Result<Finished, Error> {
    let scope = Scope {
        registry,
        images: targets,
    };
    let chosen = session.registry(registry)?;
    let manifests = Manifests::of(session, registry)?;
    manifests.check()?;
    // What cannot be built is told before anything is looked up or packed.
    services.daemon()?;
    let prepared = resolution::prepare(session, services)?;
    let expected = ExpectedReferences::pinned(session, &prepared, scope)?;
    manifests.examine(&expected)?;
    let packer = Packer::new(session, services);
    packer.pack_images(targets, &prepared)?;
    let run = Run {
        session,
        services,
        prepared: &prepared,
        registry: chosen,
    };
    let answers = run.ask_for_needed(targets, services.daemon()?)?;
    let names = run.asked(targets).needed(&answers);
    let builder = StageBuilder::new(&run, &packer, answers);
    let made = run_on_stages(session.events, &prepared.plan, &names, &|stage, below| {
        builder.make(stage, below)
    })?;
    let order = prepared.plan.order.iter();
    let images: Vec<ImageResult> = order
        .filter_map(|name| made.get(name).map(|made| ImageResult::of_made(name, made)))
        .collect();
    provenance::keep_records(session, &prepared, targets)?;
    let changed = manifests::rewrite(&manifests, &prepared, scope, &expected, None)?;
    dist::write_images_json(session, &prepared, chosen, &images)?;
    packer.remember();
    Ok(Finished {
        was_current: !changed && images.iter().all(|image| image.action == Action::Reused),
        images,
    })
}
