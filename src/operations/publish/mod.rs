//! Pushes the images of a plan to a registry, never overwriting a tag, and verifies what the registry has.

mod agreement;
mod check;
mod claim;
mod look_up;
mod pins;
mod platforms;
mod preview;
mod push;
mod verify;

#[cfg(test)]
mod tests;

pub(crate) use check::{CheckRequest, Checked, check};
pub(crate) use preview::{DaemonNeed, Preview, PushPreview, preview};

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use look_up::{lacking, look_up, refuse_conflicts};
use pins::NewPins;
use platforms::PushedStage;
use push::Pusher;

use crate::{
    error::Error,
    operations::{
        build::{Finished, Run, StageBuilder, rewrite_and_list, run_on_as_many},
        dist::{self, Action, CommitLookup, ImageResult, JobImage, Packer},
        events::Note,
        manifests::{self, Digests, ExpectedReferences, Manifests, Scope},
        provenance,
        resolution::{self, Strictness},
        workspace::{Services, Session, Turns},
    },
    plan::decision::Answers,
    project::{PinMode, Registry},
};

/// Builds the images that the registry lacks, pushes them parents first, and writes their references into the manifests
/// and their digests into the pins.
///
/// # Errors
/// Whatever stopped the push. The manifests and the pins are rewritten only when all images are in the registry.
pub(crate) fn push(
    session: &Session<'_>,
    services: &Services<'_>,
    strictness: Strictness,
    registry: &Registry,
    targets: &[String],
) -> Result<Finished, Error> {
    // The manifests of other registries stay as they are: the images are not pushed to those registries.
    let scope = Scope {
        registry: Some(&registry.name),
        images: targets,
    };
    let manifests = Manifests::of(session, scope.registry)?;
    manifests.check()?;
    // Pins that cannot be read are reported before anything is built.
    session.pins()?;
    let prepared = resolution::prepare_for(session, services, targets)?;
    let commit = CommitLookup::begin(session);
    let expected = ExpectedReferences::of_plan(session, &prepared, scope, Digests::Assumed);
    let examined = manifests.examine(&expected)?;
    prepared.warn_of_left_out(session, targets);
    strictness.check(session, &prepared, targets)?;
    let run = Run {
        session,
        services,
        prepared: &prepared,
        registry,
    };
    let packer = Packer::new(session, services);
    let are_secrets_known = packer.refuse_secrets(&prepared, targets)?;
    let looked_up = Instant::now();
    let there = look_up(&run, prepared.plan.with_parents(targets))?;
    refuse_conflicts(&run, &there)?;
    let names = prepared.plan.needed(targets, |stage| {
        let there = there.get(&stage.name);
        there.is_none_or(|there| there.digest.is_none())
    });
    let all = prepared.plan.with_parents(targets);
    let jobs = JobImage::of_plan(&prepared, &all, &|name| names.contains(name));
    packer.check_imports(&jobs, strictness.refuses())?;
    if !are_secrets_known {
        packer.refuse_secrets(&prepared, targets)?;
    }
    let pusher = Pusher {
        run: &run,
        asked: looked_up,
        builder: StageBuilder::new(&run, &packer, Answers::new()),
        there: &there,
        holders: Turns::default(),
    };
    let to_send = lacking(&run, &names, &there);
    // With pins, what the manifests will be is known only after the push.
    if to_send.len() == 1 && session.project.pin == PinMode::Tag {
        packer.will_replace(manifests::replacements(session, &examined));
    }
    pusher.refuse_impossible(&to_send)?;
    let pushed = packer.writing_beside(|| push_all(&pusher, &names, all.len()))?;
    let finished = conclude(&run, (&manifests, scope), commit, &pushed)?;
    packer.remember();
    Ok(finished)
}

/// Pushes the stages that a push has to look at. If not all arrive, it says how many of `all` images are there.
fn push_all(
    pusher: &Pusher<'_>,
    names: &BTreeSet<String>,
    all: usize,
) -> Result<BTreeMap<String, PushedStage>, Error> {
    let (events, plan) = (pusher.run.session.events, &pusher.run.prepared.plan);
    let (pushed, failed) = run_on_as_many(events, plan, names, &|stage, below| {
        pusher.push_stage(stage, pusher.there.get(&stage.name), below)
    });
    let Some(failed) = failed else {
        return Ok(pushed);
    };
    let there = all - names.len() + pushed.len();
    events.note(Note::PartlyPushed { there, of: all });
    Err(failed)
}

/// Writes what follows from a push: manifests and pins, records, and the list of images.
fn conclude(
    run: &Run<'_>,
    (manifests, scope): (&Manifests<'_>, Scope<'_>),
    commit: CommitLookup,
    pushed: &BTreeMap<String, PushedStage>,
) -> Result<Finished, Error> {
    let Run {
        session,
        prepared,
        registry,
        ..
    } = *run;
    let order = prepared.plan.order.iter();
    let images: Vec<ImageResult> = order
        .filter_map(|name| pushed.get(name)?.result(name))
        .collect();
    let pins = NewPins::of_push(session, prepared, registry, &images, manifests)?;
    pins.tell(session);
    let expected =
        ExpectedReferences::of_plan(session, prepared, scope, Digests::Pinned(&pins.pins));
    let all_there = images.iter().all(|image| image.action == Action::Adopted);
    let list = || {
        provenance::keep_records(session, prepared, scope.images)?;
        dist::write_images_json(session, commit, prepared, registry, &images)
    };
    let pins = pins.file(session);
    let rewrite = || manifests::rewrite(manifests, prepared, scope, &expected, pins);
    let changed = rewrite_and_list(all_there, rewrite, list)?;
    Ok(Finished {
        was_current: !changed && all_there,
        images,
    })
}
