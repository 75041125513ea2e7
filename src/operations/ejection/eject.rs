//! Puts the written-out recipe of an image into the project.

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Component, Path, PathBuf},
};

use super::written::{DOCKERFILE, REQUIREMENTS, StandsOn, WrittenFile, lock_of, written};
use crate::{
    adapters::journal::Replacement,
    error::{EjectError, Error},
    operations::{
        resolution,
        workspace::{Session, read_lock},
    },
    plan::{Inputs, StageInputs},
    project::{Context, Image, Kind, Project, lock::Lock, place::Place},
};

/// What was written, and what has to be said in `sparkpack.toml`.
pub(crate) struct Ejected {
    /// The files, relative to the project's folder.
    pub(crate) files: Vec<PathBuf>,
    /// The place of the image's table, if it has one.
    pub(crate) table: Option<Place>,
    /// The keys of the image's table with their values.
    pub(crate) settings: Vec<(&'static str, String)>,
    /// Whether its tag moves although nothing has been changed yet.
    pub(crate) moves: bool,
    /// The images that stand on it.
    pub(crate) above: Vec<String>,
    /// Whether the locks have to be completed for it.
    pub(crate) needs_lock: bool,
}

/// Writes the recipe of an image into a folder, by default `docker/IMAGE`. All files are written, or none.
///
/// # Errors
/// There is no such image, or it has nothing to write out; a file is there already.
pub(crate) fn eject(
    session: &Session<'_>,
    name: &str,
    folder: Option<&Path>,
) -> Result<Ejected, Error> {
    let project = &session.project;
    let image = find(session, name)?;
    let folder = match folder {
        Some(folder) => own_folder(folder)?,
        None => Path::new("docker").join(name),
    };
    let lock = read_lock(&project.root)?;
    let inputs = resolution::read_inputs(session, &lock)?;
    let read = inputs.get(name);
    let below = below(project, &lock, image)?;
    let files = read.and_then(|read| written(image, read, below));
    let mut files = files.unwrap_or_default();
    let has_requirements = files.iter().any(|file| file.name == REQUIREMENTS);
    let beside = lock_of(&lock, name).filter(|_| has_requirements);
    let needs_lock = has_requirements && beside.is_none();
    files.extend(beside);
    put(session, name, &folder, &files)?;
    Ok(Ejected {
        files: files.iter().map(|file| folder.join(file.name)).collect(),
        table: table_of(project, image),
        settings: settings(image, &folder, has_requirements),
        moves: read.is_some_and(|read| moves(read, &files)),
        above: above(&inputs, name),
        needs_lock,
    })
}

/// What an image stands on, as far as its files depend on that.
fn below<'l>(project: &Project, lock: &'l Lock, image: &Image) -> Result<StandsOn<'l>, EjectError> {
    let chain = project.chain_of(image);
    let Some((chain, elsewhere)) = chain.and_then(|chain| Some((chain, chain.elsewhere()?))) else {
        return Ok(StandsOn::Made);
    };
    let contents = lock.contents.get(&chain.name);
    let mut platforms = contents.into_iter().flat_map(|contents| contents.values());
    let spark = platforms.find_map(|contents| contents.spark.as_ref());
    match (spark, &image.elsewhere) {
        (None, _) => Err(EjectError::NotLookedInto {
            image: image.name.clone(),
            elsewhere: elsewhere.image.clone(),
        }),
        (Some(spark), Some(_)) => Ok(StandsOn::Elsewhere(spark)),
        (Some(spark), None) => Ok(StandsOn::AboveElsewhere(spark)),
    }
}

/// Whether what was written is another input than the recipe: a Dockerfile counts by its text alone, whoever wrote it.
fn moves(inputs: &StageInputs, files: &[WrittenFile]) -> bool {
    let built_in = inputs.recipe.built_in();
    let text = built_in.and_then(|built_in| built_in.dockerfile);
    let mut files = files.iter();
    !files.any(|file| file.name == DOCKERFILE && Some(file.text.as_str()) == text)
}

/// The images that stand on an image, parents first.
fn above(inputs: &Inputs, name: &str) -> Vec<String> {
    let mut above: Vec<String> = Vec::new();
    for other in inputs.order() {
        let parents = inputs.get(other).map(|stage| stage.recipe.parents());
        let stands_on = |parent: &String| parent == name || above.contains(parent);
        if parents.is_some_and(|parents| parents.iter().any(stands_on)) {
            above.push(other.clone());
        }
    }
    above
}

/// The image, if it is made here by a recipe that is built in.
fn find<'s>(session: &'s Session<'_>, name: &str) -> Result<&'s Image, Error> {
    let project = &session.project;
    if let (Some(elsewhere), false) = (
        project.elsewhere_by_name(name),
        project.images.contains_key(name),
    ) {
        return Err(EjectError::Elsewhere {
            image: name.to_owned(),
            elsewhere: elsewhere.to_owned(),
        }
        .into());
    }
    session.targets(&[name.to_owned()])?;
    let image = &project.images[name];
    match &image.dockerfile {
        None => Ok(image),
        Some(dockerfile) => Err(EjectError::OwnDockerfile {
            image: name.to_owned(),
            dockerfile: dockerfile.clone(),
        }
        .into()),
    }
}

/// A folder of the project whose files may be inputs.
fn own_folder(folder: &Path) -> Result<PathBuf, EjectError> {
    let mut own = PathBuf::new();
    for component in folder.components() {
        match component {
            Component::Normal(name) => own.push(name),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                own.clear();
                break;
            }
        }
    }
    if own.as_os_str().is_empty() || own.starts_with("dist") || own.to_str().is_none() {
        let folder = folder.to_owned();
        return Err(EjectError::Folder { folder });
    }
    Ok(own)
}

/// Writes the files, all or none, where nothing is.
fn put(
    session: &Session<'_>,
    image: &str,
    folder: &Path,
    files: &[WrittenFile],
) -> Result<(), Error> {
    let root = &session.project.root;
    let paths = files.iter().map(|file| folder.join(file.name));
    let there: Vec<PathBuf> = paths
        .filter(|path| root.join(path).symlink_metadata().is_ok())
        .collect();
    if !there.is_empty() {
        let image = image.to_owned();
        return Err(EjectError::Overwrites { image, there }.into());
    }
    fs_err::create_dir_all(root.join(folder))?;
    let new = files.iter().map(|file| Replacement {
        path: root.join(folder).join(file.name),
        old: None,
        bytes: file.text.clone().into_bytes(),
    });
    session.replace_together(&new.collect::<Vec<_>>())?;
    for file in files.iter().filter(|file| file.is_executable) {
        let path = root.join(folder).join(file.name);
        fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

/// Where the configuration has a table for the image; a chain's image need not have one.
fn table_of(project: &Project, image: &Image) -> Option<Place> {
    let of_chain = project.chain_of(image).map(|chain| &chain.place);
    (of_chain != Some(&image.place)).then(|| image.place.clone())
}

/// What the image's table has to say, so that the Dockerfile finds what it copies.
fn settings(image: &Image, folder: &Path, has_requirements: bool) -> Vec<(&'static str, String)> {
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let mut settings = vec![("dockerfile", path(DOCKERFILE))];
    let is_default = image.context == Context::Folder(".".to_owned());
    // A job's package is in any context; the project's folder is the one from which most is copied besides.
    if is_default && image.kind != Kind::Job {
        settings.push(("context", folder.to_string_lossy().into_owned()));
    }
    if has_requirements {
        settings.push(("requirements", path(REQUIREMENTS)));
    }
    settings
}
