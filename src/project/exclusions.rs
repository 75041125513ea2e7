//! The rules by which files of an image's folders are no input: asked by who chooses the inputs, and by who lists the rest.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fmt,
    ops::Bound,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    Image, Package, Project,
    ignore::{DefaultExcludes, DockerIgnore, Excluded},
    lock, pins,
    place::Defect,
    requirements,
};
use crate::code::Code;

/// Why a path is no input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// What is never an input, or what the project excludes.
    Excluded(Excluded),
    /// `dist`, which sparkpack makes itself.
    Output,
    /// A manifest, a lock or the configuration: it names images, so that it can be in none.
    NeverContext,
    /// A rule of a `.dockerignore`.
    DockerIgnore {
        /// The file's name, below the project.
        file: String,
        /// 1 is the first.
        line: usize,
        /// The pattern, as Docker tidies it.
        pattern: String,
    },
    /// No `COPY` or `ADD` of this Dockerfile can match it.
    NoCopy(String),
}

impl fmt::Display for LeftOut {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Excluded(excluded) => write!(formatter, "{excluded}"),
            Self::Output => formatter.write_str("built-in `/dist/` (what sparkpack makes)"),
            Self::NeverContext => formatter
                .write_str("built-in: manifests, locks and sparkpack.toml are never context"),
            Self::DockerIgnore {
                file,
                line,
                pattern,
            } => write!(formatter, "{file}:{line}: {pattern}"),
            Self::NoCopy(file) => write!(formatter, "no COPY of {file} can match it"),
        }
    }
}

/// The `<Dockerfile>.dockerignore` of an image, or else the `.dockerignore` of its context, where one of them is there.
#[must_use]
pub fn ignore_file(project_root: &Path, context: &Path, image: &Image) -> Option<PathBuf> {
    let of_dockerfile = image
        .dockerfile
        .as_ref()
        .map(|file| project_root.join(format!("{file}.dockerignore")));
    let mut candidates = of_dockerfile
        .into_iter()
        .chain([context.join(".dockerignore")]);
    candidates.find(|file| file.is_file())
}

/// The name, the text and the rules of an image's ignore file.
fn docker_ignore(
    project: &Project,
    root: &Path,
    image: &Image,
) -> Result<(String, String, DockerIgnore), Defect> {
    let Some(file) = ignore_file(&project.root, root, image) else {
        return Ok(<(String, String, DockerIgnore)>::default());
    };
    let text = fs_err::read_to_string(&file)
        .map_err(|error| Defect::new(Code::E089, image.place.clone(), error.to_string()))?;
    let name = file.strip_prefix(&project.root).unwrap_or(&file);
    let rules = DockerIgnore::parse(name, &text)?;
    Ok((name.to_string_lossy().into_owned(), text, rules))
}

/// What keeps files of a folder out of an image's context, before any `COPY` is looked at.
pub(super) struct ContextRules {
    /// For the same folder, other rules have another.
    pub(super) name: String,
    /// The name of the `.dockerignore`, below the project where it lies there.
    ignore_file: String,
    ignored: DockerIgnore,
    never: Arc<HashSet<String>>,
    excludes: DefaultExcludes,
    has_dist: bool,
}

impl ContextRules {
    /// The rules for the context `folder` of `image`.
    pub(super) fn of(
        project: &Project,
        image: &Image,
        folder: &str,
        never: &NeverContext,
    ) -> Result<Self, Defect> {
        let root = project.root.join(folder);
        let (ignore_file, text, ignored) = docker_ignore(project, &root, image)?;
        Ok(Self {
            name: format!("context {ignore_file}\n{text}"),
            ignore_file,
            ignored,
            never: never.below(&root),
            excludes: DefaultExcludes::anywhere(),
            has_dist: folder == ".",
        })
    }

    /// Why a file, or a folder with all that it holds, is no input; asked in a walk, for what lies in kept folders.
    pub(super) fn left_out(&self, path: &str, is_folder: bool) -> Option<LeftOut> {
        if let Some(excluded) = self.excludes.excluded_itself(path, is_folder) {
            return Some(LeftOut::Excluded(excluded));
        }
        if self.has_dist && (path == "dist" || path.starts_with("dist/")) {
            return Some(LeftOut::Output);
        }
        if self.never.contains(path) {
            return Some(LeftOut::NeverContext);
        }
        let is_ignored = if is_folder {
            self.ignored.excludes_all_below(path)
        } else {
            self.ignored.excluded(path)
        };
        if !is_ignored {
            return None;
        }
        let rule = self.ignored.deciding(path)?;
        Some(LeftOut::DockerIgnore {
            file: self.ignore_file.clone(),
            line: rule.line,
            pattern: rule.pattern.clone(),
        })
    }
}

/// What keeps files of a job's folder out of its archive.
pub(super) struct JobRules {
    excludes: DefaultExcludes,
    /// A lock that `build` writes or a manifest that it rewrites would move the tag that it has just made.
    never: Arc<HashSet<String>>,
    main: String,
}

impl JobRules {
    pub(super) fn of(
        project: &Project,
        package: &Package,
        never: &NeverContext,
    ) -> Result<Self, Defect> {
        let patterns = package.exclude.iter().map(String::as_str);
        let excludes = DefaultExcludes::of_job_sources().excluding(patterns);
        let excludes = excludes
            .map_err(|error| Defect::new(Code::E022, package.place.clone(), error.to_string()))?;
        Ok(Self {
            excludes,
            never: never.below(&project.root.join(&package.src)),
            main: package.main.clone(),
        })
    }

    /// Why a file, or a folder with all that it holds, is not packed; asked in a walk, for what lies in kept folders. The
    /// main file lies beside the archive.
    pub(super) fn left_out(&self, path: &str, is_folder: bool) -> Option<LeftOut> {
        if path == self.main {
            return None;
        }
        let excluded = self
            .excludes
            .excluded_itself(path, is_folder)
            .map(LeftOut::Excluded);
        let is_never = || self.never.contains(path);
        excluded.or_else(|| is_never().then_some(LeftOut::NeverContext))
    }
}

/// The files that name images: were they context, a rewritten tag would change the tag that it is.
///
/// They are found once for all images: looked for again below the folder of each, the time would grow with the product
/// of images and manifests.
pub struct NeverContext {
    /// As the configuration names them.
    named: BTreeSet<PathBuf>,
    /// Without links: what is rewritten is the file that a link leads to.
    real: BTreeSet<PathBuf>,
    /// Below the folders that were asked for: many images may have one context.
    below: Mutex<HashMap<PathBuf, Arc<HashSet<String>>>>,
}

impl NeverContext {
    /// The files of a project that name images.
    #[must_use]
    pub fn of(project: &Project) -> Self {
        let mut files = vec![
            super::FILE_NAME.to_owned(),
            lock::FILE_NAME.to_owned(),
            pins::FILE_NAME.to_owned(),
        ];
        for glob in project.manifests.values().flatten() {
            files.extend(glob.files.iter().cloned());
        }
        let requirements = project
            .images
            .values()
            .filter_map(|image| image.requirements.as_ref());
        let locks = requirements.map(|file| requirements::lock_file_beside(Path::new(file)));
        files.extend(locks.filter_map(|file| Some(file.to_str()?.to_owned())));
        let named: BTreeSet<PathBuf> = files.iter().map(|file| project.root.join(file)).collect();
        let mut folders = HashMap::new();
        let real = named
            .iter()
            .filter_map(|path| real(path, &mut folders))
            .collect();
        Self {
            named,
            real,
            below: Mutex::default(),
        }
    }

    /// Those below `root`, as paths below it.
    fn below(&self, root: &Path) -> Arc<HashSet<String>> {
        // What a thread that panicked has left is whole.
        let mut known = self.below.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(below) = known.get(root) {
            return Arc::clone(below);
        }
        let real_root = fs_err::canonicalize(root).unwrap_or_else(|_| root.to_owned());
        let named = paths_below(&self.named, root);
        let below: HashSet<String> = named.chain(paths_below(&self.real, &real_root)).collect();
        let below = Arc::new(below);
        known.insert(root.to_owned(), Arc::clone(&below));
        below
    }
}

/// The members of `files` below `root`: paths are sorted by their parts, so that they lie beside each other.
fn paths_below(files: &BTreeSet<PathBuf>, root: &Path) -> impl Iterator<Item = String> {
    files
        .range::<Path, _>((Bound::Included(root), Bound::Unbounded))
        .map_while(move |file| file.strip_prefix(root).ok())
        .filter_map(|path| Some(path.to_str()?.to_owned()))
}

/// The path without links, of which there may be thousands in one folder.
fn real(path: &Path, folders: &mut HashMap<PathBuf, Option<PathBuf>>) -> Option<PathBuf> {
    if fs_err::read_link(path).is_ok() {
        return fs_err::canonicalize(path).ok();
    }
    let (folder, name) = (path.parent()?, path.file_name()?);
    if !folders.contains_key(folder) {
        folders.insert(folder.to_owned(), fs_err::canonicalize(folder).ok());
    }
    let folder = folders.get(folder)?.as_ref()?;
    Some(folder.join(name))
}
