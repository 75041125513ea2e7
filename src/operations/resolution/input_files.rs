//! The files of the checkout that images are made from.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use walkdir::WalkDir;

use crate::{
    adapters::git,
    operations::workspace::Session,
    plan::StageInputs,
    project::{
        Context, Image, Project,
        exclusions::{ProjectFiles, SourceRules, ignore_file},
        requirements::LockedWheel,
        source::Origin,
        tree::{Content, Entry, Location},
    },
};

/// What a file is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Use {
    /// Whether it is a symbolic link that counts by its target's name, so that the target need not be there.
    pub(crate) is_link: bool,
    /// Whether it goes into an image; others, such as a Dockerfile, only decide what does.
    pub(crate) is_content: bool,
}

/// The files that images are made from, by their paths: absolute, and without symbolic links above the project.
///
/// Sources from outside the checkout are not among them, nor are those with a checksum in the configuration.
pub(crate) struct InputFiles<'a> {
    project: &'a Project,
    /// The top folder of the checkout, or the project's folder without git.
    pub(crate) top: PathBuf,
    /// The project's folder without symbolic links.
    pub(crate) root: PathBuf,
    pub(crate) files: BTreeMap<PathBuf, Use>,
    project_files: Option<&'a Arc<ProjectFiles>>,
}

impl<'a> InputFiles<'a> {
    pub(crate) fn new(session: &'a Session<'_>) -> Self {
        let project = &session.project;
        let root = &project.root;
        let root = fs_err::canonicalize(root).unwrap_or_else(|_| root.clone());
        Self {
            project,
            top: git::top_folder(&root).unwrap_or_else(|| root.clone()),
            root,
            files: BTreeMap::new(),
            project_files: session.project_files(),
        }
    }

    /// Adds a file that decides what goes into images. One that does not exist is passed over: a lock may not have
    /// been written yet.
    pub(crate) fn decisive(&mut self, below: impl AsRef<Path>) {
        let path = self.project.root.join(below);
        if path.exists() {
            self.add(&path, Use::default());
        }
    }

    /// Adds the files of an image, without those of its parents.
    pub(crate) fn image(&mut self, image: &Image, inputs: &StageInputs) {
        let root = &self.project.root;
        if let Some(dockerfile) = &image.dockerfile {
            self.decisive(dockerfile);
        }
        if let (Some(_), Context::Folder(folder)) = (&image.dockerfile, &image.context) {
            let context = root.join(folder);
            if let Some(file) = ignore_file(root, &context, image) {
                self.decisive(file);
            }
            for entry in inputs.recipe.files() {
                self.entry(&context, entry);
            }
        }
        if let Some((package, settings)) = inputs.package.as_ref().zip(image.package.as_ref()) {
            self.content(&root.join(&settings.main.path), false);
            let beside = settings.beside.values().map(|file| &file.path);
            for path in package.module_paths.iter().chain(beside) {
                self.content(&root.join(path), false);
            }
        }
        if let Some(requirements) = inputs.requirements.as_ref().filter(|own| !own.built_in) {
            for file in &requirements.requirements.files {
                self.decisive(file);
            }
            self.decisive(&requirements.requirements.lock_file);
        }
        for source in inputs.recipe.sources() {
            self.source(&source);
        }
    }

    /// Adds those of an image's wheels that the project keeps.
    pub(crate) fn kept_wheels<'w>(
        &mut self,
        image: &Image,
        wheels: impl Iterator<Item = &'w LockedWheel>,
    ) {
        let built = wheels.filter(|wheel| wheel.built_from.is_some());
        let kept = built.filter_map(|wheel| image.wheel_builds.kept(&wheel.wheel));
        kept.for_each(|file| self.decisive(file));
    }

    /// The path is the one by way of the folder, so that a link that leads to the folder counts, too.
    fn entry(&mut self, folder: &Path, entry: &Entry) {
        let path = folder.join(&entry.path);
        match &entry.content {
            Content::File {
                location: Location::Disk(_),
                ..
            } => self.content(&path, false),
            Content::File { .. } => {}
            Content::Symlink { .. } => self.content(&path, true),
        }
    }

    /// The file or folder of a source that a commit has to have.
    pub(crate) fn local_source(&self, name: &str) -> Option<&'a Path> {
        let source = self.project.sources.get(name)?;
        let Origin::Path(path) = &source.origin else {
            return None;
        };
        let is_inside = fs_err::canonicalize(path).is_ok_and(|real| real.starts_with(&self.top));
        (source.sha256.is_none() && is_inside).then_some(path)
    }

    /// What is part of a source that is a folder.
    pub(crate) fn source_rules(&self, folder: &Path) -> SourceRules {
        SourceRules::of(self.project_files, folder)
    }

    fn source(&mut self, name: &str) {
        let Some(path) = self.local_source(name) else {
            return;
        };
        let rules = self.source_rules(path);
        let is_kept = |entry: &walkdir::DirEntry| {
            let name = entry.path().strip_prefix(path).unwrap_or(entry.path());
            entry.depth() == 0 || rules.keep(&name.to_string_lossy(), entry.file_type().is_dir())
        };
        let walk = WalkDir::new(path).into_iter().filter_entry(is_kept);
        for entry in walk.filter_map(Result::ok) {
            if !entry.file_type().is_dir() {
                self.content(entry.path(), entry.path_is_symlink() && entry.depth() > 0);
            }
        }
    }

    fn content(&mut self, path: &Path, is_link: bool) {
        let is_content = true;
        self.add(
            path,
            Use {
                is_link,
                is_content,
            },
        );
    }

    fn add(&mut self, path: &Path, used: Use) {
        let path = self.absolute(path);
        let known = self.files.entry(path).or_insert(used);
        known.is_content |= used.is_content;
    }

    /// The path without symbolic links above the project and without `..`; the project may be named by a relative path.
    pub(crate) fn absolute(&self, path: &Path) -> PathBuf {
        match path.strip_prefix(&self.project.root) {
            Ok(below) => without_dots(&self.root.join(below)),
            Err(_) => without_dots(path),
        }
    }

    /// The path as it is written in the configuration: relative to the project's folder.
    pub(crate) fn name<'p>(&self, path: &'p Path) -> Cow<'p, Path> {
        let mut up = PathBuf::new();
        for folder in self.root.ancestors() {
            if let Ok(below) = path.strip_prefix(folder) {
                if folder == self.root {
                    return Cow::Borrowed(below);
                }
                return Cow::Owned(up.join(below));
            }
            up.push("..");
        }
        Cow::Borrowed(path)
    }
}

/// The path without `..`: git refuses it in a path.
fn without_dots(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        if part == Component::ParentDir {
            clean = fs_err::canonicalize(&clean).unwrap_or(clean);
            clean.pop();
        } else {
            clean.push(part);
        }
    }
    clean
}
