//! The lock files of a project: read together, changed in memory, and written together or not at all.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use super::elsewhere::drop_unused_contents;
use crate::{
    adapters::journal::{ReplaceError, Replacement},
    error::Error,
    image::{Digest, Platform},
    operations::{events::Note, workspace::Session},
    plan::Inputs,
    project::{
        Project,
        inputs::ImageRequirements,
        lock::{self, Lock},
        requirements,
        source::Origin,
    },
};

/// The content of all lock files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LockFiles {
    /// `sparkpack.lock`.
    pub(crate) lock: Lock,
    /// The locks beside requirements files, by their paths below the project's folder.
    pub(crate) beside: BTreeMap<PathBuf, requirements::Lock>,
    /// Wheels that were built and are kept in the project, by their paths below its folder: the files that they are copied
    /// from.
    pub(crate) kept_wheels: BTreeMap<PathBuf, PathBuf>,
}

/// The path of the lock beside a requirements file, relative to the project's folder. `None` for the requirements of a
/// built-in Dockerfile, whose wheels are locked in `sparkpack.lock`.
pub(crate) fn beside(requirements: &ImageRequirements) -> Option<PathBuf> {
    let file = &requirements.requirements.lock_file;
    (!requirements.built_in).then(|| file.clone())
}

impl LockFiles {
    /// `lock`, and the locks beside requirements files that exist.
    pub(crate) fn read(session: &Session<'_>, lock: Lock, inputs: &Inputs) -> Result<Self, Error> {
        let root = &session.project.root;
        let mut files = BTreeMap::new();
        let requirements = inputs
            .iter()
            .filter_map(|(_, inputs)| inputs.requirements.as_ref());
        for file in requirements.filter_map(beside) {
            match fs_err::read_to_string(root.join(&file)) {
                Ok(text) => {
                    let lock = requirements::Lock::parse(&file, &text)?;
                    files.insert(file, lock);
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Self {
            lock,
            beside: files,
            kept_wheels: BTreeMap::new(),
        })
    }

    /// Writes the files that differ from `old`. If one cannot be written, none is.
    pub(crate) fn write(&self, session: &Session<'_>, old: &Self) -> Result<(), Error> {
        let root = &session.project.root;
        let mut changed = Vec::new();
        if self.lock != old.lock {
            let file = Path::new(lock::FILE_NAME);
            let is_old = |now: Option<&str>| {
                let read = now.map(|text| Lock::parse(file, text).ok());
                read.unwrap_or_else(|| Some(Lock::default())) == Some(old.lock.clone())
            };
            changed.push(replacement(root, file, self.lock.to_text(), is_old)?);
        }
        for (file, lock) in &self.beside {
            let was = old.beside.get(file);
            let is_old = |now: Option<&str>| {
                let read = now.map(|text| requirements::Lock::parse(file, text).ok());
                read == was.map(|lock| Some(lock.clone()))
            };
            if was != Some(lock) {
                changed.push(replacement(root, file, lock.to_text(), is_old)?);
            }
        }
        for (file, from) in &self.kept_wheels {
            let bytes = fs_err::read(from)?;
            let there = match fs_err::read(root.join(file)) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
                read => Some(read?),
            };
            if there.as_ref() != Some(&bytes) {
                let path = root.join(file);
                fs_err::create_dir_all(path.parent().unwrap_or(root))?;
                let old = there.map(|there| Digest::of(&there));
                changed.push(Replacement { path, old, bytes });
            }
        }
        session.replace_together(&changed)?;
        for Replacement { path, .. } in &changed {
            let file = path.strip_prefix(root).unwrap_or(path);
            session.events.note(Note::LockWritten(file));
        }
        Ok(())
    }

    /// Drops the entries that nothing in the project uses any more.
    pub(crate) fn drop_unused(&mut self, project: &Project, inputs: &Inputs) {
        let used = Used::of(project, inputs);
        let lock = &mut self.lock;
        lock.images.retain(|text, image| {
            if let lock::LockedImage::Registry { platforms, .. } = image {
                let wanted = used.images.get(text.as_str());
                platforms.retain(|platform, _| wanted.is_some_and(|used| used.contains(platform)));
            }
            used.images.contains_key(text.as_str())
        });
        lock.sources
            .retain(|origin, _| used.sources.contains(origin));
        lock.wheels.retain(|name, platforms| {
            let wanted = used.wheels.get(name.as_str());
            platforms.retain(|platform, _| wanted.is_some_and(|used| used.contains(platform)));
            !platforms.is_empty()
        });
        lock.revisions
            .retain(|name, _| project.images.contains_key(name));
        drop_unused_contents(project, lock);
        for (file, lock) in &mut self.beside {
            let wanted = used.beside.get(file);
            lock.wheels
                .retain(|platform, _| wanted.is_some_and(|used| used.contains(platform)));
        }
    }
}

/// The replacement of a lock file by a new text. An error if the file no longer has the entries that were read.
fn replacement(
    root: &Path,
    file: &Path,
    text: String,
    is_old: impl Fn(Option<&str>) -> bool,
) -> Result<Replacement, Error> {
    let path = root.join(file);
    let now = match fs_err::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        read => Some(read?),
    };
    if !is_old(now.as_deref()) {
        let path = file.to_owned();
        return Err(ReplaceError::Changed { path }.into());
    }
    Ok(Replacement {
        path,
        old: now.map(|now| Digest::of(now.as_bytes())),
        bytes: text.into_bytes(),
    })
}

/// The lock entries that a project uses.
pub(crate) struct Used<'a> {
    /// The external images, as the Dockerfiles name them, with the platforms that they are used on.
    pub(crate) images: BTreeMap<&'a str, BTreeSet<&'a Platform>>,
    /// The origins of sources that the configuration does not pin.
    sources: BTreeSet<String>,
    /// The images whose wheels are locked in `sparkpack.lock`.
    wheels: BTreeMap<&'a str, BTreeSet<&'a Platform>>,
    beside: BTreeMap<PathBuf, BTreeSet<&'a Platform>>,
}

impl<'a> Used<'a> {
    pub(crate) fn of(project: &'a Project, inputs: &'a Inputs) -> Self {
        let sources = used_sources(inputs)
            .into_iter()
            .filter_map(|name| project.sources.get(&name))
            .filter(|source| source.sha256.is_none() && !matches!(source.origin, Origin::Path(_)))
            .map(|source| source.origin.to_string());
        let mut used = Self {
            images: BTreeMap::new(),
            sources: sources.collect(),
            wheels: BTreeMap::new(),
            beside: BTreeMap::new(),
        };
        for (name, inputs) in inputs.iter() {
            let Some(image) = project.images.get(name) else {
                continue;
            };
            for text in inputs.recipe.external_images() {
                used.images
                    .entry(text)
                    .or_default()
                    .extend(&image.platforms);
            }
            match inputs.requirements.as_ref().map(beside) {
                Some(Some(file)) => used.beside.entry(file).or_default(),
                Some(None) => used.wheels.entry(name).or_default(),
                None => continue,
            }
            .extend(&image.platforms);
        }
        used
    }
}

/// The path of a lock file, for messages.
pub(crate) fn shown(file: &Path) -> String {
    file.display().to_string()
}

/// The names of the `[sources]` that the images use.
pub(crate) fn used_sources(inputs: &Inputs) -> BTreeSet<String> {
    inputs
        .iter()
        .flat_map(|(_, inputs)| inputs.recipe.sources())
        .collect()
}
