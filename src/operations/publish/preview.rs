//! Shows what a build and a push would do. The decisions are those that they carry out, but nothing is done.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use super::look_up::{answers, look_up};
use crate::{
    adapters::{destination::ImageDaemon, layout::ImageLayout},
    error::Error,
    image::{Digest, ImageInfo, Platform},
    operations::{
        build::Run,
        manifests::{self, Manifests},
    },
    plan::{
        PlatformStage,
        decision::{self, Asked, Decision, PlatformDecisions},
    },
    project::Builders,
};

/// What a build and a push would do.
pub(crate) struct Preview {
    /// The decision of a build for each image that it would look at.
    pub(crate) build: BTreeMap<String, PlatformDecisions>,
    /// The decision of a push for each image that it would look at; `None` if the registry was not asked.
    pub(crate) push: Option<BTreeMap<String, PushPreview>>,
    /// Why the daemon did not answer; `None` if it did.
    pub(crate) daemon: Option<Error>,
    /// The platforms whose images have no place in the daemon.
    pub(crate) not_in_daemon: Vec<Platform>,
    /// The `BuildKit`s that build Dockerfiles, if they do.
    pub(crate) builders: Option<Builders>,
    /// Whether the OCI layout was asked in place of the daemon.
    pub(crate) is_layout: bool,
    /// The images that cannot be made without a daemon and that, as far as is known, have to be made, if none answered.
    pub(crate) without_daemon: BTreeMap<String, DaemonNeeds>,
}

/// Why an image cannot be made without a daemon, for each platform for which that is so.
pub(crate) type DaemonNeeds = BTreeMap<Platform, DaemonNeed>;

/// Why an image cannot be made without a daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum DaemonNeed {
    /// Only a builder can make it.
    Builder,
    /// What it stands on is in a daemon, and not in the cache.
    Parent,
}

/// What a push would do for one image.
pub(crate) struct PushPreview {
    pub(crate) decisions: PlatformDecisions,
    /// The digest that the registry has under the image's tag.
    pub(crate) digest: Option<Digest>,
}

impl PushPreview {
    /// The decision for the whole.
    pub(crate) fn decision(&self) -> &Decision {
        match self.decisions.whole() {
            // The image of each platform is there, and the index over them is not.
            Decision::Adopt if self.digest.is_none() => &Decision::Push,
            whole => whole,
        }
    }
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
    if let Some(store) = run.services.images_of_builders() {
        return of_builders(run, targets, &store, is_remote);
    }
    let (daemon, known) = match run.services.local_daemon() {
        Ok(daemon) => (Some(daemon), in_daemon(run, targets, daemon)),
        Err(error) => (None, Err(error)),
    };
    let mut not_in_daemon = Vec::new();
    let layout = run.session.dist().layout();
    let is_layout = known.is_err() && layout.is_there();
    let (build, failure) = match known {
        Ok((decisions, others)) => {
            not_in_daemon = others;
            (decisions, None)
        }
        Err(error) if is_layout => (in_layout(run, targets, &layout)?, Some(error)),
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
        not_in_daemon,
        builders: None,
        is_layout,
        without_daemon,
    })
}

/// The same where `BuildKit`s build, whose images get into the layout. None of them is asked.
fn of_builders(
    run: &Run<'_>,
    targets: &[String],
    store: &dyn ImageDaemon,
    is_remote: bool,
) -> Result<Preview, Error> {
    let mut collected = Collected::default();
    for (platform, targets) in run.by_platform(targets) {
        let answers = run.ask_for_needed(&targets, &platform, store)?;
        let asked = run.asked(&targets, &platform);
        collected.add(&asked, asked.for_layout(&answers));
    }
    let push = is_remote.then(|| of_push(run, targets, Some(store)));
    Ok(Preview {
        build: collected.0,
        push: push.transpose()?,
        daemon: None,
        not_in_daemon: Vec::new(),
        builders: run.services.builders().cloned(),
        is_layout: true,
        without_daemon: BTreeMap::new(),
    })
}

/// Decisions by the names of images, on one platform after the other.
#[derive(Default)]
struct Collected(BTreeMap<String, PlatformDecisions>);

impl Collected {
    fn add(&mut self, asked: &Asked<'_>, decisions: impl IntoIterator<Item = (String, Decision)>) {
        for (name, decision) in decisions {
            let platform = asked.on(&asked.plan.stages[&name]).platform.clone();
            match self.0.entry(name) {
                Entry::Occupied(mut known) => known.get_mut().add(platform, decision),
                Entry::Vacant(entry) => {
                    entry.insert(PlatformDecisions::of(platform, decision));
                }
            }
        }
    }
}

/// The decisions of a build into the daemon, and the platforms that have no place there.
fn in_daemon(
    run: &Run<'_>,
    targets: &[String],
    daemon: &dyn ImageDaemon,
) -> Result<(BTreeMap<String, PlatformDecisions>, Vec<Platform>), Error> {
    let mut collected = Collected::default();
    let by_platform = run.by_platform_of(daemon, targets)?;
    let others = run.other_platforms(targets, &by_platform);
    for (platform, targets) in by_platform {
        let answers = run.ask_for_needed(&targets, &platform, daemon)?;
        let asked = run.asked(&targets, &platform);
        collected.add(&asked, asked.for_daemon(&answers));
    }
    Ok((collected.0, others))
}

fn in_layout(
    run: &Run<'_>,
    targets: &[String],
    layout: &ImageLayout,
) -> Result<BTreeMap<String, PlatformDecisions>, Error> {
    let mut collected = Collected::default();
    for (platform, targets) in run.by_platform(targets) {
        let answers = run.ask_layout(&targets, &platform, layout)?;
        let asked = run.asked(&targets, &platform);
        collected.add(&asked, asked.for_layout(&answers));
    }
    Ok(collected.0)
}

/// The images that only a machine with a daemon can make: of those that the registry lacks or, if it was not asked, of
/// which the manifests name another tag.
fn without_daemon(
    run: &Run<'_>,
    build: &BTreeMap<String, PlatformDecisions>,
    push: Option<&BTreeMap<String, PushPreview>>,
) -> BTreeMap<String, DaemonNeeds> {
    let stages = run.prepared.plan.stages.values();
    let needs = stages.map(|stage| {
        let of_push = push.and_then(|push| push.get(&stage.name));
        let decisions = match push {
            Some(_) => of_push.map(|push| &push.decisions),
            None => build.get(&stage.name),
        };
        let is_whole = of_push.is_some_and(|push| push.digest.is_some());
        let decisions = decisions.filter(|_| !is_whole);
        let to_make = decisions.into_iter().flat_map(PlatformDecisions::each);
        let to_make = to_make.filter(|(_, decision)| match push {
            Some(_) => **decision != Decision::Adopt,
            None => matches!(decision, Decision::Build(_)),
        });
        let needs = to_make.filter_map(|(platform, _)| {
            let need = daemon_need(run, stage.on(platform)?)?;
            Some((platform.clone(), need))
        });
        (stage.name.clone(), needs.collect())
    });
    needs
        .filter(|(_, needs): &(_, DaemonNeeds)| !needs.is_empty())
        .collect()
}

fn daemon_need(run: &Run<'_>, stage: &PlatformStage) -> Option<DaemonNeed> {
    if stage.inputs.recipe.needs_builder() {
        return Some(DaemonNeed::Builder);
    }
    run.lacks_export(stage).then_some(DaemonNeed::Parent)
}

fn of_push(
    run: &Run<'_>,
    targets: &[String],
    daemon: Option<&dyn ImageDaemon>,
) -> Result<BTreeMap<String, PushPreview>, Error> {
    let there = look_up(run, run.prepared.plan.with_parents(targets))?;
    let mut collected = Collected::default();
    for (platform, targets) in run.by_platform(targets) {
        let asked = run.asked(&targets, &platform);
        let names = run.prepared.plan.with_parents(&targets);
        let in_registry = answers(run, &names, &platform, &there);
        let missing = in_registry.iter().filter(|(_, found)| found.is_none());
        let missing: BTreeSet<String> = missing.map(|(name, _)| name.clone()).collect();
        let in_daemon = daemon.map(|daemon| run.ask::<ImageInfo>(missing, &platform, daemon));
        // If the daemon stops answering, the state of its images stays unknown.
        let in_daemon = in_daemon.and_then(Result::ok).unwrap_or_default();
        let needed = asked.needed(&in_registry);
        let mut decisions = asked.for_registry(&in_registry, &in_daemon);
        decisions.retain(|name, decision| {
            needed.contains(name) || matches!(decision, Decision::Conflict(_))
        });
        collected.add(&asked, decisions);
    }
    let collected = collected.0.into_iter();
    Ok(collected
        .map(|(name, decisions)| {
            let digest = there.get(&name).and_then(|there| there.digest.clone());
            (name, PushPreview { decisions, digest })
        })
        .collect())
}

/// The decisions of a build, if the daemon had every image that the manifests name.
fn by_manifests(
    run: &Run<'_>,
    targets: &[String],
    manifests: &Manifests<'_>,
) -> Result<BTreeMap<String, PlatformDecisions>, Error> {
    let plan = &run.prepared.plan;
    let named = manifests::references(manifests.named()?);
    let decisions = decision::by_manifests(plan, &named);
    let is_to_build = |name: &str| decisions.get(name) != Some(&Decision::Reuse);
    let needed: BTreeSet<String> = plan.needed(targets, |stage| is_to_build(&stage.name));
    let mut collected = Collected::default();
    // A manifest names the whole.
    for (platform, targets) in run.by_platform(targets) {
        let asked = run.asked(&targets, &platform);
        let names = plan.with_parents(&targets);
        let decisions = decisions.iter();
        let decisions =
            decisions.filter(|(name, _)| needed.contains(*name) && names.contains(*name));
        collected.add(
            &asked,
            decisions.map(|(name, decision)| (name.clone(), decision.clone())),
        );
    }
    Ok(collected.0)
}
