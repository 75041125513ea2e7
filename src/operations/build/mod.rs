//! Builds the images of a plan that the daemon does not have.

mod cache_bust;
mod context;
mod exported;
mod failure;
mod files;
mod import_test;
mod in_daemon;
mod in_layout;
mod inside;
mod layout;
mod made;
mod output;
mod parent;
mod run;
mod schedule;
mod stage;
mod wheel;

#[cfg(test)]
mod tests;

pub(crate) use exported::remove_if_there;
pub(crate) use files::Assembled;
pub(crate) use inside::Inside;
pub(crate) use output::BuildOutput;
pub(crate) use parent::{LayersBelow, ParentOfFiles};
pub(crate) use run::{Run, refuse_conflict};
pub(crate) use schedule::run_on_as_many;
pub(crate) use stage::StageBuilder;
pub(crate) use wheel::InContainers;

use std::collections::BTreeMap;

use import_test::test_imports;
use in_daemon::in_daemon;
use in_layout::in_layout;

use crate::{
    error::{Error, ImageProblem},
    image::{ImageInfo, Platform, Reference},
    operations::{
        dist::{self, Action, CommitLookup, ImageResult, Packer},
        manifests::{self, ExpectedReferences, Manifests, Scope},
        provenance,
        resolution::{self, Strictness},
        workspace::{Services, Session, both},
    },
};

/// What is asked of a build.
#[derive(Clone, Copy)]
pub(crate) struct BuildImages<'a> {
    /// Where the images go.
    pub(crate) output: &'a BuildOutput,
    /// The registry of the manifests that are rewritten; `None` for those of all.
    pub(crate) registry: Option<&'a str>,
    /// The images.
    pub(crate) targets: &'a [String],
    /// Whether what is in them is imported before the manifests name them.
    pub(crate) tests_imports: bool,
    /// Whether imports that lead nowhere are refused.
    pub(crate) strictness: Strictness,
}

/// The result of a build or a push.
pub(crate) struct Finished {
    /// The images that were looked at, parents first.
    pub(crate) images: Vec<ImageResult>,
    /// Whether there was nothing to do: no image had to be built or pushed, and no manifest or pin had to be rewritten.
    pub(crate) was_current: bool,
    /// What kept the other images from being there, if the run was to go on without them.
    pub(crate) failed: Option<Error>,
}

/// Packs jobs, makes the images that are missing, and rewrites the manifests.
///
/// # Errors
/// Whatever stopped the build. The manifests are rewritten only when all images are there.
pub(crate) fn build(
    session: &Session<'_>,
    services: &Services<'_>,
    BuildImages {
        output,
        registry,
        targets,
        tests_imports,
        strictness,
    }: BuildImages<'_>,
) -> Result<Finished, Error> {
    let scope = Scope {
        registry,
        images: targets,
    };
    let chosen = session.registry(registry)?;
    let manifests = Manifests::of(session, registry)?;
    manifests.check()?;
    // An unreachable daemon is reported before anything is looked up or packed.
    if let BuildOutput::Daemon = output {
        services.daemon()?;
    }
    let prepared = resolution::prepare_for(session, services, targets)?;
    let commit = CommitLookup::begin(session);
    let expected = ExpectedReferences::pinned(session, &prepared, scope)?;
    let examined = manifests.examine(&expected)?;
    let run = Run {
        session,
        services,
        prepared: &prepared,
        registry: chosen,
    };
    let by_platform = output.platforms_of(&run, targets)?;
    output.tell(&run, targets, &by_platform);
    prepared.warn_of_left_out(session, targets);
    let wanted = (&prepared, targets);
    let packer = Packer::checked(session, services, wanted, strictness.refuses())?;
    packer.will_replace(manifests::replacements(session, &examined));
    let mut made = packer.writing_beside(|| {
        packer.pack_images(targets, &prepared)?;
        make(&run, &packer, output, &by_platform)
    })?;
    if tests_imports {
        test_imports(&run, &packer, &by_platform)?;
    }
    let order = prepared.plan.order.iter();
    let images: Vec<ImageResult> = order.filter_map(|name| made.remove(name)).collect();
    let all_there = images.iter().all(|image| image.action == Action::Reused);
    let list = || {
        provenance::keep_records(session, &prepared, targets)?;
        dist::write_images_json(session, commit, &prepared, chosen, &images)
    };
    let rewrite = || manifests::rewrite(&manifests, &prepared, scope, &expected, None);
    let changed = rewrite_and_list(all_there, rewrite, list)?;
    packer.remember();
    Ok(Finished {
        was_current: !changed && all_there,
        images,
        failed: None,
    })
}

/// An image that a daemon has.
pub(crate) struct Provided {
    pub(crate) reference: Reference,
    pub(crate) info: ImageInfo,
    /// Whether its entrypoint knows `driver` and `executor`, as far as that is known.
    pub(crate) knows_roles: bool,
}

/// Makes an image in the daemon if it is missing. No manifest changes.
///
/// # Errors
/// Whatever stopped the build.
pub(crate) fn provide(
    session: &Session<'_>,
    services: &Services<'_>,
    (registry, image): (Option<&str>, &str),
    strictness: Strictness,
) -> Result<Provided, Error> {
    let targets = [image.to_owned()];
    let prepared = resolution::prepare_for(session, services, &targets)?;
    let run = Run {
        session,
        services,
        prepared: &prepared,
        registry: session.registry(registry)?,
    };
    let output = BuildOutput::Daemon;
    let by_platform = output.platforms_of(&run, &targets)?;
    prepared.warn_of_left_out(session, &targets);
    let wanted = (&prepared, targets.as_slice());
    let packer = Packer::checked(session, services, wanted, strictness.refuses())?;
    let mut made = packer.writing_beside(|| {
        packer.pack_images(&targets, &prepared)?;
        in_daemon(&run, &packer, &by_platform)
    })?;
    packer.remember();
    let stage = &prepared.plan.stages[image];
    let reference = stage.reference(run.registry);
    let nowhere = || Error::unexpected(reference, ImageProblem::Nowhere);
    let built = made.remove(image).ok_or_else(nowhere)?;
    let elsewhere = by_platform
        .keys()
        .filter_map(|platform| stage.on_or_first(platform).elsewhere.as_ref());
    Ok(Provided {
        knows_roles: elsewhere.into_iter().all(|found| found.knows_roles),
        reference: built.reference,
        info: built.info,
    })
}

/// Makes the images that `output` lacks.
fn make(
    run: &Run<'_>,
    packer: &Packer<'_>,
    output: &BuildOutput,
    by_platform: &BTreeMap<Platform, Vec<String>>,
) -> Result<BTreeMap<String, ImageResult>, Error> {
    match output {
        BuildOutput::Daemon => {
            let made = in_daemon(run, packer, by_platform)?.into_iter();
            let results = made.map(|(name, made)| {
                let result = ImageResult::of_made(&name, &made);
                (name, result)
            });
            Ok(results.collect())
        }
        BuildOutput::Layout {
            layout, no_daemon, ..
        } => in_layout(run, packer, (layout, no_daemon.as_ref()), by_platform),
    }
}

/// Rewrites the manifests, and writes the records and the list of images: at once, unless all images are there and
/// little is to be done.
///
/// # Errors
/// Those of both.
pub(crate) fn rewrite_and_list(
    all_there: bool,
    rewrite: impl FnOnce() -> Result<bool, Error>,
    list: impl FnOnce() -> Result<(), Error> + Send,
) -> Result<bool, Error> {
    if all_there {
        // To start a thread takes longer than to find that nothing has changed.
        list()?;
        return rewrite();
    }
    Ok(both(rewrite, list)?.0)
}
