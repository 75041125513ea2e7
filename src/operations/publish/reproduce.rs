//! Makes the image of a tag again, from its checkout and in an empty cache, and compares it with the registry's.

use std::{
    collections::BTreeMap,
    io::{self, BufReader},
    path::Path,
    time::Instant,
};

use serde_json::{Map, Value};

use super::{
    look_up::{image_of, look_up, refuse_conflicts},
    push::{PushedImage, Pusher},
};
use crate::{
    adapters::{cache::Cache, git, registry::RegistryImage, store::TemporaryFolder},
    error::{Error, ImageProblem, UsageError},
    image::{Descriptor, Digest, ImageError, ImageManifest, LayerFile, Reference},
    operations::{
        build::{Assembled, Run, StageBuilder},
        dist::Packer,
        events::{Progress, Step, Transfer},
        resolution,
        workspace::{LockPolicy, Services, Session, Turns},
    },
    package::layer_difference::first_difference,
    plan::{PlatformStage, Recipe, decision::Answers},
    project::Registry,
};

/// How many commits are looked at for a tag.
const COMMITS: usize = 20;

/// An image, and its tag if that is not the one of this checkout.
#[derive(Clone, Copy)]
pub(crate) struct ImageTag<'a> {
    pub(crate) image: &'a str,
    pub(crate) tag: Option<&'a str>,
}

/// What came of an image for one platform.
pub(crate) enum Reproduced {
    /// It was made again, with the same digest.
    Same {
        title: String,
        /// The image by its digest.
        reference: Reference,
    },
    /// It is built from a Dockerfile.
    FromDockerfile { title: String },
}

/// Makes the image of a tag again for each of its platforms.
///
/// # Errors
/// [`Error::NotReproduced`] if the registry has another image. No commit has the tag, the registry does not have it, or the
/// image cannot be made.
pub(crate) fn reproduce(
    session: &Session<'_>,
    registry: &Registry,
    wanted: ImageTag<'_>,
) -> Result<Vec<Reproduced>, Error> {
    let folder = TemporaryFolder::new()?;
    let cache = Cache::new(folder.path().join("cache"));
    let here = session.in_cache(cache.clone())?;
    let here = match of_checkout(&here, registry, wanted)? {
        OfCheckout::Verified(reproduced) => return Ok(reproduced),
        OfCheckout::OtherTag(here) => here,
    };
    let tag = wanted.tag.unwrap_or_default();
    let root = &session.project.root;
    let (commits, why) = match git::commits_that_name(root, tag) {
        Ok(commits) => (commits, None),
        Err(why) => (Vec::new(), Some(why)),
    };
    for (number, commit) in commits.iter().take(COMMITS).enumerate() {
        let copy = folder.path().join(number.to_string());
        let Ok(project) = git::copy_at(root, commit, &copy) else {
            continue;
        };
        // A commit may be from before the project was one, or hold it half done.
        let there = Session::open_with(Some(&project), cache.clone(), session.events);
        let Ok(there) = there else {
            continue;
        };
        let Ok(registry) = there.registry(Some(&registry.name)) else {
            continue;
        };
        if let OfCheckout::Verified(reproduced) = of_checkout(&there, registry, wanted)? {
            return Ok(reproduced);
        }
    }
    Err(UsageError::NoCheckout {
        image: wanted.image.to_owned(),
        tag: tag.to_owned(),
        here,
        why,
    }
    .into())
}

/// What came of a checkout.
enum OfCheckout {
    Verified(Vec<Reproduced>),
    /// The image has this tag in it.
    OtherTag(String),
}

/// Makes the image again from the checkout of a session, if it has the tag.
fn of_checkout(
    session: &Session<'_>,
    registry: &Registry,
    wanted: ImageTag<'_>,
) -> Result<OfCheckout, Error> {
    let services = Services::new(session, LockPolicy::ReadOnly);
    let targets = [wanted.image.to_owned()];
    let prepared = resolution::prepare_for(session, &services, &targets)?;
    let Some(stage) = prepared.plan.stages.get(wanted.image) else {
        return Ok(OfCheckout::OtherTag(String::new()));
    };
    if wanted.tag.is_some_and(|tag| tag != stage.tag()) {
        return Ok(OfCheckout::OtherTag(stage.tag().to_owned()));
    }
    let run = Run {
        session,
        services: &services,
        prepared: &prepared,
        registry,
    };
    let there = look_up(&run, prepared.plan.with_parents(&targets))?;
    refuse_conflicts(&run, &there)?;
    let packer = Packer::new(session, &services);
    let pusher = Pusher {
        run: &run,
        asked: Instant::now(),
        builder: StageBuilder::new(&run, &packer, Answers::new()),
        there: &there,
        holders: Turns::default(),
    };
    let reproduced = packer.writing_beside(|| {
        let platforms = stage.platforms.iter();
        platforms.map(|on| of_platform(&pusher, on)).collect()
    })?;
    Ok(OfCheckout::Verified(reproduced))
}

fn of_platform(pusher: &Pusher<'_>, stage: &PlatformStage) -> Result<Reproduced, Error> {
    let Run {
        registry, session, ..
    } = *pusher.run;
    let reference = stage.reference(registry);
    let title = stage.title.clone();
    let Some(image) = image_of(pusher.there, &stage.name, &stage.platform) else {
        let problem = ImageProblem::NotInRegistry(registry.name.clone());
        return Err(Error::unexpected(reference, problem));
    };
    let Recipe::Files(inputs) = &stage.inputs.recipe else {
        return Ok(Reproduced::FromDockerfile { title });
    };
    let mut below = BTreeMap::new();
    for name in &stage.parents {
        if let Some(parent) = image_of(pusher.there, name, &stage.platform) {
            let stages = &pusher.run.prepared.plan.stages;
            let parent = PushedImage {
                reference: stages[name].reference(registry).clone(),
                image: parent.clone(),
                made: None,
            };
            below.insert(name.clone(), parent);
        }
    }
    let mut progress = session.events.begin(&stage.title);
    let parent = pusher.parent(stage, &below, progress.as_mut())?;
    progress.step(Step::PutTogether(&parent.reference));
    let name = parent.reference.to_string();
    let parent = (&*name, &parent.documents);
    let made = pusher
        .builder
        .assemble((stage, inputs), parent, progress.as_mut())?;
    let pinned = reference.repository.with_digest(&image.digest);
    if made.image.digest == image.digest {
        read_whole(pusher.run, &pinned, &made, progress.as_mut())?;
        return Ok(Reproduced::Same {
            title,
            reference: pinned,
        });
    }
    let difference = difference(pusher.run, (&pinned, image), &made, progress.as_mut())?;
    Err(Error::NotReproduced {
        reference: pinned.to_string(),
        made: made.image.digest.clone(),
        difference,
    })
}

/// Reads the layers that were made again out of the registry, too: a manifest only names them. Whatever reads a blob compares
/// it with its digest.
fn read_whole(
    run: &Run<'_>,
    pinned: &Reference,
    made: &Assembled,
    progress: &mut dyn Progress,
) -> Result<(), Error> {
    let folder = TemporaryFolder::new()?;
    let registry = run.services.registry()?;
    for file in &made.layers {
        let layer = &file.layer.descriptor;
        let there = folder.path().join(layer.digest.hex());
        registry.save_blob(&pinned.repository, layer, &there, &mut |done| {
            progress.moved(Transfer::Fetched, done, Some(layer.size));
        })?;
        fs_err::remove_file(&there)?;
    }
    let config = &made.image.config;
    let there = registry.blob(pinned, &Digest::of(config), config.len())?;
    if there.as_ref() != Some(config) {
        return Err(Error::unexpected(pinned, ImageProblem::Gone));
    }
    Ok(())
}

/// The first difference between the registry's image and the one that was made.
fn difference(
    run: &Run<'_>,
    (pinned, image): (&Reference, &RegistryImage),
    made: &Assembled,
    progress: &mut dyn Progress,
) -> Result<String, Error> {
    let unreadable =
        |error: ImageError| Error::unexpected(pinned, ImageProblem::NoParent(error.to_string()));
    let there = ImageManifest::parse(&image.manifest).map_err(unreadable)?;
    let below = made.below.iter();
    let own = made.layers.iter().map(|file| &file.layer.descriptor);
    let ours: Vec<&Descriptor> = below.chain(own).collect();
    let mut pairs = there.layers.iter().zip(&ours);
    let Some(index) = pairs.position(|(there, made)| there.digest != made.digest) else {
        if there.layers.len() == ours.len() {
            return of_configs(run, pinned, &there.config, &made.image.config);
        }
        let (there, made) = (there.layers.len(), ours.len());
        return Ok(format!("it has {there} layers, and {made} were made"));
    };
    let number = index + 1;
    let Some(own) = index.checked_sub(made.below.len()) else {
        return Ok(format!(
            "layer {number} is not that of the image that its parent's tag has"
        ));
    };
    let file = &made.layers[own];
    let what = of_layers(run, pinned, &there.layers[index], file, progress)?;
    Ok(format!("layer {number}: {what}"))
}

/// What differs in a layer.
fn of_layers(
    run: &Run<'_>,
    pinned: &Reference,
    there: &Descriptor,
    made: &LayerFile,
    progress: &mut dyn Progress,
) -> Result<String, Error> {
    let folder = TemporaryFolder::new()?;
    let file = folder.path().join("layer");
    let registry = run.services.registry()?;
    registry.save_blob(&pinned.repository, there, &file, &mut |done| {
        progress.moved(Transfer::Fetched, done, Some(there.size));
    })?;
    let open = |file: &Path| fs_err::File::open(file).map(BufReader::new);
    Ok(match first_difference(open(&file)?, open(&made.file)?) {
        Ok(Some(difference)) => difference,
        Ok(None) => "it has the same files, in other bytes".to_owned(),
        Err(error) => format!("it cannot be unpacked: {error}"),
    })
}

/// What differs in the config.
fn of_configs(
    run: &Run<'_>,
    pinned: &Reference,
    there: &Descriptor,
    made: &[u8],
) -> Result<String, Error> {
    let registry = run.services.registry()?;
    let limit = usize::try_from(there.size).unwrap_or(usize::MAX);
    let config = registry.blob(pinned, &there.digest, limit)?;
    let config = config.ok_or_else(|| Error::unexpected(pinned, ImageProblem::Gone))?;
    // Both were read as configs before.
    let parsed = |bytes: &[u8]| serde_json::from_slice(bytes).map_err(io::Error::other);
    let key = first_key(&parsed(&config)?, &parsed(made)?, String::new());
    Ok(key.map_or_else(
        || "its manifest is written in another form".to_owned(),
        |key| format!("`{key}` of its config has another value"),
    ))
}

/// The path of the first value that differs, in the form of JSON pointers.
fn first_key(left: &Value, right: &Value, path: String) -> Option<String> {
    if left == right {
        return None;
    }
    let below = |key: &str| format!("{path}/{key}");
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => {
            let of = |object: &Map<String, Value>, key: &str| {
                object.get(key).cloned().unwrap_or_default()
            };
            let mut keys = left.keys().chain(right.keys());
            keys.find_map(|key| first_key(&of(left, key), &of(right, key), below(key)))
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            let mut pairs = left.iter().zip(right).enumerate();
            pairs.find_map(|(index, (left, right))| {
                first_key(left, right, below(&index.to_string()))
            })
        }
        _ => Some(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_that_differs_is_named_by_its_path() {
        let key = |left: &str, right: &str| {
            let [left, right] = [left, right].map(|text| serde_json::from_str(text).unwrap());
            first_key(&left, &right, String::new())
        };
        let same = r#"{"config":{"Env":["A=1"]}}"#;
        assert_eq!(key(same, same), None);
        let other = r#"{"config":{"Env":["A=2"]}}"#;
        assert_eq!(key(same, other).unwrap(), "/config/Env/0");
        let more = r#"{"config":{"Env":["A=1","B=2"]}}"#;
        assert_eq!(key(same, more).unwrap(), "/config/Env");
        let user = r#"{"config":{"Env":["A=1"],"User":"0"}}"#;
        assert_eq!(key(same, user).unwrap(), "/config/User");
        assert_eq!(key(user, same).unwrap(), "/config/User");
    }
}
