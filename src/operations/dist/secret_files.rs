//! The files that get into images, as far as people put them there.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use super::{
    installed::Installations,
    secret_verdicts::{SecretVerdicts, VerdictKey, key_of},
    world::Layer,
};
use crate::{
    error::Error,
    image::Digest,
    operations::workspace::Session,
    plan::Recipe,
    project::{
        Image,
        exclusions::SourceRules,
        file_trees::Rules,
        requirements::{FilePlace, LockedWheel},
        secrets::SecretFinding,
        source::Origin,
        tree::{Content, Entry, Location},
    },
};

/// A file or an installed wheel that may hold credentials.
pub(super) struct Suspect {
    /// The path as messages show it.
    pub(super) path: PathBuf,
    pub(super) key: VerdictKey,
    /// Where its bytes are: one file, or the files of a wheel by their paths in it.
    pub(super) parts: Vec<(String, Location)>,
    /// Whether it is a wheel from somewhere else, whose tests may have keys of their own.
    pub(super) is_published: bool,
    /// Whether the bytes are compared with the digest once they were read. Those of installed wheels were already.
    pub(super) is_checked: bool,
}

impl Suspect {
    /// The path of what was found in it.
    pub(super) fn place_of(&self, finding: &SecretFinding) -> PathBuf {
        let mut path = self.path.clone();
        path.extend(finding.member.as_deref());
        path
    }
}

/// Collects the files of images.
pub(super) struct SecretFiles<'a> {
    session: &'a Session<'a>,
    installations: &'a Installations<'a>,
    /// The project's folder without symbolic links.
    root: PathBuf,
    pub(super) suspects: Vec<Suspect>,
    /// The names of files, with folders, and of symbolic links with what they lead to.
    pub(super) names: BTreeSet<String>,
    seen: BTreeSet<(VerdictKey, PathBuf)>,
    /// Whether each wheel is installed, so that it is known what is in it.
    pub(super) are_all_known: bool,
}

impl<'a> SecretFiles<'a> {
    pub(super) fn new(session: &'a Session<'a>, installations: &'a Installations<'a>) -> Self {
        let root = &session.project.root;
        Self {
            session,
            installations,
            root: fs_err::canonicalize(root).unwrap_or_else(|_| root.clone()),
            suspects: Vec::new(),
            names: BTreeSet::new(),
            seen: BTreeSet::new(),
            are_all_known: true,
        }
    }

    /// Adds what an image gets besides its parents.
    pub(super) fn layer(&mut self, layer: &Layer, verdicts: &SecretVerdicts) -> Result<(), Error> {
        if let Some(package) = &layer.inputs.package {
            let entries = package.modules.iter().chain(&package.beside);
            let entries = entries.chain([&package.main]);
            entries.for_each(|entry| self.entry(entry));
        }
        let is_own = match &layer.inputs.recipe {
            Recipe::Dockerfile(inputs) => inputs.built_in.is_none(),
            Recipe::Files(_) => false,
        };
        if is_own {
            let entries = layer.inputs.recipe.files().iter();
            entries.for_each(|entry| self.entry(entry));
        }
        for source in layer.inputs.recipe.sources() {
            self.source(&source)?;
        }
        for wheel in &layer.wheels {
            self.wheel(layer, wheel, verdicts);
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Entry) {
        match &entry.content {
            Content::File {
                digest, location, ..
            } => self.file(digest, location),
            Content::Symlink { target } => {
                self.names.insert(format!("{} → {target}", entry.path));
            }
        }
    }

    fn file(&mut self, digest: &Digest, location: &Location) {
        // What is in memory was made by sparkpack.
        let Location::Disk(file) = location else {
            return;
        };
        let path = self.shown(file);
        let name = path.to_string_lossy().into_owned();
        self.names.insert(name.clone());
        self.add(Suspect {
            key: key_of(digest, &name),
            path,
            parts: vec![(name, location.clone())],
            is_published: false,
            is_checked: true,
        });
    }

    /// The files of a source that is a file or a folder of this machine. One with a checksum is somebody else's.
    fn source(&mut self, name: &str) -> Result<(), Error> {
        let Some(source) = self.session.project.sources.get(name) else {
            return Ok(());
        };
        let Origin::Path(path) = &source.origin else {
            return Ok(());
        };
        if source.sha256.is_some() {
            return Ok(());
        }
        let folder = if path.is_dir() {
            path.as_path()
        } else {
            path.parent().unwrap_or(path)
        };
        let near = match path.file_name().filter(|_| folder != path) {
            Some(name) => name.to_string_lossy().into_owned(),
            None => String::new(),
        };
        let source_rules = SourceRules::of(self.session.project_files(), folder);
        let rules = Rules {
            name: format!("secrets of {name}"),
            keep: &|path, is_folder| source_rules.keep(path, is_folder),
            follow: None,
        };
        let entries = self
            .session
            .trees
            .choose(folder, &rules, &[&near], &|_| true);
        entries?.iter().for_each(|entry| self.entry(entry));
        Ok(())
    }

    /// A wheel that lies in the project is a file of it; of another one the files are looked at once it is installed.
    fn wheel(&mut self, layer: &Layer, wheel: &LockedWheel, verdicts: &SecretVerdicts) {
        if let Some(file) = self.own_file(layer, wheel) {
            self.file(&wheel.sha256, &Location::Disk(file));
            return;
        }
        let key = key_of(&wheel.sha256, &wheel.wheel.file_name);
        // Of one that was looked into nobody needs the files again.
        let parts = match verdicts.of(&key) {
            Some(_) => Some(Vec::new()),
            None => self.installed(layer, wheel),
        };
        let Some(parts) = parts else {
            self.are_all_known = false;
            return;
        };
        self.add(Suspect {
            path: PathBuf::from(&wheel.wheel.file_name),
            key,
            parts,
            is_published: true,
            is_checked: false,
        });
    }

    /// The files of a wheel, if it is installed.
    fn installed(&self, layer: &Layer, wheel: &LockedWheel) -> Option<Vec<(String, Location)>> {
        let target = layer.target.as_ref()?;
        let installed = self.installations.known_wheel(wheel, target)?.into_iter();
        let parts = installed.filter_map(|entry| match entry.content {
            Content::File { location, .. } => Some((entry.path, location)),
            Content::Symlink { .. } => None,
        });
        Some(parts.collect())
    }

    /// The file of a wheel that the project has: one that is named by its path, or that was built and is kept.
    fn own_file(&self, layer: &Layer, wheel: &LockedWheel) -> Option<PathBuf> {
        let image: &Image = &layer.image;
        let root = &self.session.project.root;
        let kept = wheel
            .built_from
            .as_ref()
            .and_then(|_| image.wheel_builds.kept(&wheel.wheel));
        let kept = kept
            .filter(|_| wheel.built_anew().is_none())
            .map(|kept| root.join(kept));
        let direct = || {
            let mut direct = layer.to_install().origins?.direct.iter();
            direct.find_map(|direct| match &direct.place {
                FilePlace::File(path) if direct.file_name == wheel.wheel.file_name => {
                    Some(path.clone())
                }
                FilePlace::File(_) | FilePlace::Url(_) | FilePlace::Git(_) => None,
            })
        };
        kept.or_else(direct).filter(|file| file.is_file())
    }

    fn add(&mut self, suspect: Suspect) {
        if self
            .seen
            .insert((suspect.key.clone(), suspect.path.clone()))
        {
            self.suspects.push(suspect);
        }
    }

    /// The path as it is written in the configuration: relative to the project's folder if it lies there.
    fn shown(&self, file: &Path) -> PathBuf {
        let below = file.strip_prefix(&self.session.project.root);
        let below = below
            .or_else(|_| file.strip_prefix(&self.root))
            .unwrap_or(file);
        below.strip_prefix(".").unwrap_or(below).to_owned()
    }
}
