//! The images from elsewhere that images of the project stand on, and what the lock has of them.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    error::Error,
    image::Platform,
    operations::workspace::Session,
    project::{Chain, Image, Kind, Project, elsewhere::ElsewhereChain, lock::Lock},
};

/// An image from elsewhere of which the lock needs to know what is in it.
pub(super) struct ElsewhereUse<'a> {
    pub(super) chain: &'a Chain,
    pub(super) elsewhere: &'a ElsewhereChain,
    pub(super) platform: &'a Platform,
}

/// The images from elsewhere that images of the project stand on, by chain and platform.
pub(super) fn elsewhere_uses(project: &Project) -> Vec<ElsewhereUse<'_>> {
    uses_of(project, |_| true)
}

/// Those on which these images stand.
pub(super) fn uses_of(
    project: &Project,
    is_meant: impl Fn(&Image) -> bool,
) -> Vec<ElsewhereUse<'_>> {
    let mut seen = BTreeSet::new();
    let mut used = Vec::new();
    for image in project.images.values().filter(|image| is_meant(image)) {
        // A Dockerfile can put anything on any image, and whether that fits is its own matter.
        let only_runs_commands = image.dockerfile.is_some() || image.kind == Kind::Operator;
        if only_runs_commands && image.package.is_none() && image.requirements.is_none() {
            continue;
        }
        let Some(chain) = project.chain_of(image) else {
            continue;
        };
        let Some(elsewhere) = chain.elsewhere() else {
            continue;
        };
        for platform in &image.platforms {
            if seen.insert((&chain.name, platform)) {
                used.push(ElsewhereUse {
                    chain,
                    elsewhere,
                    platform,
                });
            }
        }
    }
    used
}

/// Refuses images from elsewhere on which nothing can be put, and warns of odd ones, as far as the lock knows them.
///
/// # Errors
/// The first such image.
pub(super) fn check_contents(session: &Session<'_>, lock: &Lock) -> Result<(), Error> {
    let mut told = Vec::new();
    for wanted in elsewhere_uses(&session.project) {
        let Some(contents) = lock.contents_of(wanted.chain, wanted.platform) else {
            continue;
        };
        contents.check(wanted.elsewhere).map_err(|mut defect| {
            let mut others = elsewhere_uses(&session.project).into_iter();
            let is_other = |other: &ElsewhereUse<'_>| {
                other.chain.name == wanted.chain.name && other.platform != wanted.platform
            };
            if others.any(|other| is_other(&other)) {
                defect.message = format!("for {}, {}", wanted.platform, defect.message);
            }
            defect
        })?;
        for warning in contents.warnings(wanted.elsewhere) {
            if !told.contains(&warning) {
                session.events.warn(&warning);
                told.push(warning);
            }
        }
    }
    Ok(())
}

/// Removes what the lock has of images that nothing stands on any more, or that it now names by another digest.
pub(super) fn drop_unused_contents(project: &Project, lock: &mut Lock) {
    let used = elsewhere_uses(project);
    let is_used = |lock: &Lock, name: &str, platform: &Platform| {
        used.iter().any(|wanted| {
            wanted.chain.name == name
                && wanted.platform == platform
                && lock.contents_of(wanted.chain, platform).is_some()
        })
    };
    let kept = lock.contents.iter().map(|(name, platforms)| {
        let kept = platforms
            .iter()
            .filter(|(platform, _)| is_used(lock, name, platform));
        let kept = kept.map(|(platform, found)| (platform.clone(), found.clone()));
        (name.clone(), kept.collect())
    });
    let kept: BTreeMap<String, BTreeMap<_, _>> = kept.collect();
    let kept = kept
        .into_iter()
        .filter(|(_, platforms)| !platforms.is_empty());
    lock.contents = kept.collect();
}
