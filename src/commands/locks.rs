//! Reads the inputs, completes the locks where that is allowed, and makes the plan.

use std::collections::BTreeMap;

use super::{
    outside::{Missing, Outside},
    session::Session,
};
use crate::{
    error::Error,
    image::{Digest, Reference},
    plan::{self, Facts, Plan, late_sources, parents_first},
    project::{
        inputs::{self, BaseImage, ImageInputs},
        lock::{Lock, LockedImage, LockedSource},
        source::Origin,
    },
};

/// The plan, and all that it was made from.
pub(super) struct Prepared {
    pub(super) plan: Plan,
    pub(super) order: Vec<String>,
    pub(super) inputs: BTreeMap<String, ImageInputs>,
    pub(super) lock: Lock,
    pub(super) local_sources: BTreeMap<String, Digest>,
}

/// Makes the plan of the whole project.
pub(super) fn prepare(
    session: &Session<'_>,
    outside: &Outside<'_>,
    missing: Missing,
) -> Result<Prepared, Error> {
    let project = &session.project;
    let mut lock = session.lock.clone();
    let mut inputs = BTreeMap::new();
    for (name, image) in &project.images {
        let read = inputs::read(project, &lock, image, &session.trees)?;
        for warning in &read.warnings {
            session.ui.warn(warning);
        }
        inputs.insert(name.clone(), read);
    }
    let order = parents_first(project, &inputs)?;
    let local_sources = local_sources(session, outside, &inputs)?;
    if missing == Missing::Complete {
        lock_recipes(&mut lock, &inputs);
        lock_images(session, outside, &mut lock, &inputs)?;
        lock_sources(session, outside, &mut lock, &inputs)?;
    }
    let wheels = super::wheels::of_all(session, outside, missing, &mut lock, &inputs)?;
    if lock != session.lock {
        session.keep_lock(&lock)?;
    }
    let facts = Facts {
        project,
        lock: &lock,
        inputs: &inputs,
        wheels: &wheels,
        local_sources: &local_sources,
    };
    let plan = plan::make(facts)?;
    Ok(Prepared {
        plan,
        order,
        inputs,
        lock,
        local_sources,
    })
}

/// The names of the sources that the images need.
fn used_sources(session: &Session<'_>, inputs: &BTreeMap<String, ImageInputs>) -> Vec<String> {
    let mut used = Vec::new();
    for (name, inputs) in inputs {
        used.extend(inputs.bases.iter().filter_map(|base| match &base.image {
            BaseImage::Source(source) => Some(source.clone()),
            BaseImage::Stage(_) | BaseImage::External(_) | BaseImage::Scratch => None,
        }));
        let image = session.project.images.get(name);
        used.extend(
            image
                .into_iter()
                .flat_map(|image| late_sources(&session.project, image))
                .map(|late| late.source.to_owned()),
        );
    }
    used.sort();
    used.dedup();
    used
}

fn local_sources(
    session: &Session<'_>,
    outside: &Outside<'_>,
    inputs: &BTreeMap<String, ImageInputs>,
) -> Result<BTreeMap<String, Digest>, Error> {
    let mut digests = BTreeMap::new();
    for name in used_sources(session, inputs) {
        let Some(source) = session.project.sources.get(&name) else {
            continue;
        };
        if let Origin::Path(_) = source.origin {
            digests.insert(name, outside.fetcher().checksum(source, &mut |_, _| ())?);
        }
    }
    Ok(digests)
}

fn lock_recipes(lock: &mut Lock, inputs: &BTreeMap<String, ImageInputs>) {
    let used = inputs.values().filter_map(|inputs| inputs.built_in);
    let used: BTreeMap<String, Digest> = used
        .map(|recipe| (recipe.name.to_owned(), recipe.digest()))
        .collect();
    lock.recipes = used;
}

fn lock_images(
    session: &Session<'_>,
    outside: &Outside<'_>,
    lock: &mut Lock,
    inputs: &BTreeMap<String, ImageInputs>,
) -> Result<(), Error> {
    for inputs in inputs.values() {
        for base in &inputs.bases {
            let BaseImage::External(text) = &base.image else {
                continue;
            };
            if !lock.images.contains_key(text) {
                let locked = find_image(session, outside, text)?;
                lock.images.insert(text.clone(), locked);
            }
        }
    }
    Ok(())
}

/// The registry's digest of an image; where the registry does not have it or cannot be reached, the daemon's image ID.
fn find_image(
    session: &Session<'_>,
    outside: &Outside<'_>,
    text: &str,
) -> Result<LockedImage, Error> {
    let reference: Reference = text.parse().map_err(|error| Error::Untrue {
        reference: text.to_owned(),
        reason: format!("{error}"),
        hint: "name the image as `docker pull` would".to_owned(),
    })?;
    if let Some(digest) = &reference.digest {
        return Ok(LockedImage::Registry {
            digest: digest.clone(),
        });
    }
    let refused = match outside.registry()?.digest(&reference) {
        Ok(Some(digest)) => {
            session.ui.say(format!(
                "{text}: locked by the registry's digest {}",
                digest.short(12)
            ));
            return Ok(LockedImage::Registry { digest });
        }
        Ok(None) => None,
        Err(error) => Some(error),
    };
    if let Some(facts) = outside.daemon()?.inspect(text)? {
        let why = match &refused {
            Some(_) => "its registry does not answer",
            None => "its registry does not have it",
        };
        let id = facts.id.short(12);
        session.ui.say(format!(
            "{text}: locked by the image ID {id} of the local daemon, since {why}; other machines cannot build on it \
             (to lock it again, delete its entry in sparkpack.lock)"
        ));
        if let Some(error) = refused {
            session.ui.detail(format!("{text}: {error}"));
        }
        return Ok(LockedImage::LocalDaemon { local_id: facts.id });
    }
    match refused {
        Some(error) => Err(error.into()),
        None => Err(Error::Untrue {
            reference: text.to_owned(),
            reason: "neither its registry nor the local daemon has this image".to_owned(),
            hint: "look for a typing error; `docker pull` shows what the registry says".to_owned(),
        }),
    }
}

fn lock_sources(
    session: &Session<'_>,
    outside: &Outside<'_>,
    lock: &mut Lock,
    inputs: &BTreeMap<String, ImageInputs>,
) -> Result<(), Error> {
    for name in used_sources(session, inputs) {
        let Some(source) = session.project.sources.get(&name) else {
            continue;
        };
        let key = source.origin.to_string();
        let is_known = source.sha256.is_some() || lock.sources.contains_key(&key);
        if is_known || matches!(source.origin, Origin::Path(_)) {
            continue;
        }
        let mut line = session.ui.stage(&name);
        line.step(&format!("fetching {key}"));
        let sha256 = outside.fetcher().checksum(source, &mut |done, total| {
            line.moved("fetched", done, total);
        })?;
        line.finish(&format!("fetched {key} in {}", line.elapsed()));
        lock.sources.insert(key, LockedSource { sha256 });
    }
    Ok(())
}
