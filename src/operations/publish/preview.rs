//! Shows what a build and a push would do. The decisions are those that they carry out, but nothing is done.

use std::collections::{BTreeMap, BTreeSet};

use super::look_up::{answers, look_up};
use crate::{
    adapters::destination::ImageDaemon,
    error::Error,
    image::{Digest, ImageInfo},
    operations::{
        build::Run,
        manifests::{self, Manifests},
    },
    plan::decision::{self, Decision},
};

/// What a build and a push would do.
pub(crate) struct Preview {
    /// The decision of a build for each image that it would look at.
    pub(crate) build: BTreeMap<String, Decision>,
    /// The decision of a push for each image that it would look at; `None` if the registry was not asked.
    pub(crate) push: Option<BTreeMap<String, PushPreview>>,
    /// Why the daemon did not answer; `None` if it did.
    pub(crate) daemon: Option<Error>,
    /// Whether the OCI layout was asked in place of the daemon.
    pub(crate) is_layout: bool,
    /// The images that cannot be made without a daemon and that, as far as is known, have to be made, if none answered.
    pub(crate) without_daemon: BTreeMap<String, DaemonNeed>,
}

/// Why an image cannot be made without a daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DaemonNeed {
    /// Only a builder can make it.
    Builder,
    /// What it stands on is in a daemon, and not in the cache.
    Parent,
}

/// What a push would do for one image.
pub(crate) struct PushPreview {
    pub(crate) decision: Decision,
    /// The digest that the registry has under the image's tag.
    pub(crate) digest: Option<Digest>,
}

/// What a build of `targets` would do and, with `is_remote`, what a push would do. If the daemon does not answer, the
/// layout that a build writes then is asked. If there is none yet, the images that the manifests name are taken to exist.
///
/// # Errors
/// A manifest cannot be read, or the registry cannot be asked.
pub(crate) fn preview(
    run: &Run<'_>,
    targets: &[String],
    manifests: &Manifests<'_>,
    is_remote: bool,
) -> Result<Preview, Error> {
    let asked = run.asked(targets);
    let (daemon, known) = match run.services.local_daemon() {
        Ok(daemon) => (Some(daemon), run.ask_for_needed(targets, daemon)),
        Err(error) => (None, Err(error)),
    };
    let layout = run.session.dist().layout();
    let is_layout = known.is_err() && layout.is_there();
    let (build, failure) = match known {
        Ok(answers) => (asked.for_daemon(&answers), None),
        Err(error) if is_layout => {
            let answers = run.ask_layout(targets, &layout)?;
            (asked.for_layout(&answers), Some(error))
        }
        Err(error) => (by_manifests(run, targets, manifests)?, Some(error)),
    };
    let push = is_remote.then(|| of_push(run, targets, daemon));
    let push = push.transpose()?;
    let without_daemon = match &failure {
        Some(_) => without_daemon(run, &build, push.as_ref()),
        None => BTreeMap::new(),
    };
    Ok(Preview {
        build,
        push,
        daemon: failure,
        is_layout,
        without_daemon,
    })
}

/// The images that only a machine with a daemon can make: of those that the registry lacks or, if it was not asked, of
/// which the manifests name another tag.
fn without_daemon(
    run: &Run<'_>,
    build: &BTreeMap<String, Decision>,
    push: Option<&BTreeMap<String, PushPreview>>,
) -> BTreeMap<String, DaemonNeed> {
    let is_to_make = |name: &String| match push {
        Some(push) => push.get(name).is_some_and(|push| push.digest.is_none()),
        None => matches!(build.get(name), Some(Decision::Build(_))),
    };
    let stages = run.prepared.plan.stages.values();
    let stages = stages.filter(|stage| is_to_make(&stage.name));
    let needs = stages.filter_map(|stage| {
        let need = if stage.inputs.recipe.needs_builder() {
            DaemonNeed::Builder
        } else if run.lacks_exports(stage) {
            DaemonNeed::Parent
        } else {
            return None;
        };
        Some((stage.name.clone(), need))
    });
    needs.collect()
}

fn of_push(
    run: &Run<'_>,
    targets: &[String],
    daemon: Option<&dyn ImageDaemon>,
) -> Result<BTreeMap<String, PushPreview>, Error> {
    let asked = run.asked(targets);
    let names = run.prepared.plan.with_parents(targets);
    let there = look_up(run, names)?;
    let in_registry = answers(&there);
    let missing = there.iter().filter(|(_, there)| there.digest.is_none());
    let missing: BTreeSet<String> = missing.map(|(name, _)| name.clone()).collect();
    let in_daemon = daemon.map(|daemon| run.ask::<ImageInfo>(missing, daemon));
    // If the daemon stops answering, the state of its images stays unknown.
    let in_daemon = in_daemon.and_then(Result::ok).unwrap_or_default();
    let needed = asked.needed(&in_registry);
    let decisions = asked.for_registry(&in_registry, &in_daemon).into_iter();
    let is_looked_at = |name: &String, decision: &Decision| {
        needed.contains(name) || matches!(decision, Decision::Conflict(_))
    };
    Ok(decisions
        .filter(|(name, decision)| is_looked_at(name, decision))
        .map(|(name, decision)| {
            let digest = there.get(&name).and_then(|there| there.digest.clone());
            (name, PushPreview { decision, digest })
        })
        .collect())
}

/// The decisions of a build, if the daemon had every image that the manifests name.
fn by_manifests(
    run: &Run<'_>,
    targets: &[String],
    manifests: &Manifests<'_>,
) -> Result<BTreeMap<String, Decision>, Error> {
    let plan = &run.prepared.plan;
    let named = manifests::references(manifests.named()?);
    let decisions = decision::by_manifests(plan, &named);
    let is_to_build = |name: &str| decisions.get(name) != Some(&Decision::Reuse);
    let needed: BTreeSet<String> = plan.needed(targets, |stage| is_to_build(&stage.name));
    let decisions = decisions.into_iter();
    Ok(decisions
        .filter(|(name, _)| needed.contains(name))
        .collect())
}
