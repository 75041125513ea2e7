//! Pushes the images of a plan to a registry, never overwriting a tag, and verifies what the registry has.

mod agreement;
mod begin;
mod check;
mod claim;
mod conclude;
mod confirm;
mod look_up;
mod pins;
mod platforms;
mod preview;
mod promote;
mod push;
mod reproduce;
mod verify;
mod whole;
mod writes;

#[cfg(test)]
mod tests;

pub(crate) use check::{CheckRequest, Checked, check};
pub(crate) use preview::{DaemonNeed, Preview, PushPreview, preview};
pub(crate) use promote::promote;
pub(crate) use reproduce::{ImageTag, Reproduced, reproduce};
pub(crate) use writes::Write;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

use begin::{Begun, begin};
use conclude::conclude;
use confirm::confirm;
use look_up::{lacking, look_up, refuse_conflicts};
use platforms::PushedStage;
use push::Pusher;
use writes::writes;

use crate::{
    error::Error,
    operations::{
        build::{Finished, Run, StageBuilder, run_on_as_many},
        dist::{CommitLookup, JobImage, Packer},
        events::Note,
        manifests::{self, Examined, Manifests, Scope},
        resolution::Strictness,
        workspace::{Services, Session, Turns},
    },
    plan::decision::Answers,
    project::{PinMode, Registry},
};

/// What is asked of a push.
#[derive(Clone, Copy)]
pub(crate) struct PushRequest<'a> {
    pub(crate) registry: &'a Registry,
    /// The images.
    pub(crate) targets: &'a [String],
    /// Whether inputs that no commit has are refused.
    pub(crate) strictness: Strictness,
    /// Whether manifests and pins name the images that arrived, also if others did not.
    pub(crate) keeps_going: bool,
}

/// Builds the images that the registry lacks, pushes them parents first, and writes their references into the manifests
/// and their digests into the pins.
///
/// # Errors
/// Whatever stopped the push. The manifests and the pins are rewritten only when all images are in the registry, or those
/// that arrived are to be named all the same.
pub(crate) fn push(
    session: &Session<'_>,
    services: &Services<'_>,
    request: PushRequest<'_>,
) -> Result<Finished, Error> {
    when_ready(session, services, request, |ready| ready.push(request))
}

/// What [`push`] would write, after all that it checks before.
///
/// # Errors
/// Whatever would stop the push before anything is sent.
pub(crate) fn dry_run(
    session: &Session<'_>,
    services: &Services<'_>,
    request: PushRequest<'_>,
) -> Result<Vec<Write>, Error> {
    when_ready(session, services, request, |ready| Ok(ready.writes()))
}

/// Checks everything that can be checked before anything is sent, then does `work`.
fn when_ready<R>(
    session: &Session<'_>,
    services: &Services<'_>,
    request: PushRequest<'_>,
    work: impl FnOnce(ReadyPush<'_>) -> Result<R, Error>,
) -> Result<R, Error> {
    let PushRequest {
        registry,
        targets,
        strictness,
        ..
    } = request;
    let Begun {
        scope,
        manifests,
        prepared,
        commit,
        examined,
    } = begin(session, services, registry, targets)?;
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
    pusher.refuse_impossible(&lacking(&run, &names, &there))?;
    work(ReadyPush {
        pusher: &pusher,
        packer: &packer,
        manifests: (&manifests, scope),
        examined: &examined,
        names,
        all: all.len(),
        commit,
    })
}

/// A push that may begin.
struct ReadyPush<'a> {
    pusher: &'a Pusher<'a>,
    packer: &'a Packer<'a>,
    manifests: (&'a Manifests<'a>, Scope<'a>),
    examined: &'a [Arc<Examined>],
    /// The images that it has to look at.
    names: BTreeSet<String>,
    /// How many images there are with those that the registry has and nothing more is asked of.
    all: usize,
    commit: CommitLookup,
}

impl ReadyPush<'_> {
    fn push(self, request: PushRequest<'_>) -> Result<Finished, Error> {
        let (run, packer) = (self.pusher.run, self.packer);
        let to_send = lacking(run, &self.names, self.pusher.there);
        // With pins, what the manifests will be is known only after the push. So it is if not all arrive.
        let is_known = run.session.project.pin == PinMode::Tag && !request.keeps_going;
        if to_send.len() == 1 && is_known {
            packer.will_replace(manifests::replacements(run.session, self.examined));
        }
        let (pushed, failed) = packer.writing_beside(|| self.push_all(request.keeps_going))?;
        let (manifests, scope) = self.manifests;
        let arrived: Vec<String> = scope
            .images
            .iter()
            .filter(|name| !self.names.contains(*name) || pushed.contains_key(*name))
            .cloned()
            .collect();
        let scope = Scope {
            images: &arrived,
            ..scope
        };
        let mut finished = conclude(run, (manifests, scope), self.commit, &pushed)?;
        finished.failed = failed;
        packer.remember();
        Ok(finished)
    }

    /// Pushes the stages that a push has to look at. If not all arrive, it says how many images are there; what failed is
    /// returned beside them if the push keeps going.
    fn push_all(
        &self,
        keeps_going: bool,
    ) -> Result<(BTreeMap<String, PushedStage>, Option<Error>), Error> {
        let pusher = self.pusher;
        let (events, plan) = (pusher.run.session.events, &pusher.run.prepared.plan);
        let (pushed, failed) = run_on_as_many(events, plan, &self.names, &|stage, below| {
            pusher.push_stage(stage, pusher.there.get(&stage.name), below)
        });
        let confirmed = confirm(pusher.run, &pushed);
        let Some(failed) = failed else {
            return confirmed.map(|()| (pushed, None));
        };
        let are_named = keeps_going && confirmed.is_ok();
        events.note(Note::PartlyPushed {
            there: self.all - self.names.len() + pushed.len(),
            of: self.all,
            are_named,
        });
        match confirmed {
            Ok(()) if keeps_going => Ok((pushed, Some(failed))),
            Ok(()) => Err(failed),
            Err(moved) => Err(Error::of_all([failed, moved])),
        }
    }

    fn writes(self) -> Vec<Write> {
        let (run, there) = (self.pusher.run, self.pusher.there);
        let files = manifests::replacements(run.session, self.examined);
        writes(run, &self.names, there, files)
    }
}
