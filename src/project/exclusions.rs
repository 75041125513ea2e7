//! The rules that decide which files of an image's folders are no input. Two callers use them: one chooses the inputs,
//! the other lists the files that are left out.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fmt,
    ops::Bound,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use walkdir::WalkDir;

use super::{
    CodeTree, Image, Package, Project, SecretOrigin,
    ignore::{DefaultExcludes, DockerIgnore, DockerIgnoreRule, Excluded},
    lock, pins,
    place::{Defect, Place},
    requirements::RequirementsFile,
    tree::folders_above,
};
use crate::code::Code;

/// Whether a name can stand in an `import`.
#[must_use]
pub fn is_identifier(name: &str) -> bool {
    let mut characters = name.chars();
    let first = characters.next();
    first.is_some_and(|first| first.is_alphabetic() || first == '_')
        && characters.all(|character| character.is_alphanumeric() || character == '_')
}

/// Why a path is no input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// Excluded by a built-in rule or by the project's `exclude`.
    Excluded(Excluded),
    /// `dist`, which sparkpack writes itself.
    Output,
    /// A manifest, a lock or the configuration: such files hold tags, so no tag can depend on them. Or the file of a secret.
    NeverContext,
    /// A rule of a `.dockerignore`.
    DockerIgnore {
        /// The file's name, below the project.
        file: String,
        /// 1 is the first.
        line: usize,
        /// The pattern, as Docker cleans it.
        pattern: String,
    },
    /// At the top of the project, and nothing that a job imports.
    NoCode,
    /// No `COPY` or `ADD` of this Dockerfile can match it.
    NoCopy(String),
}

impl fmt::Display for LeftOut {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Excluded(excluded) => write!(formatter, "{excluded}"),
            Self::Output => formatter.write_str("built-in `/dist/` (what sparkpack makes)"),
            Self::NeverContext => formatter.write_str(
                "built-in: manifests, locks, secrets, layouts and sparkpack.toml are never context",
            ),
            Self::DockerIgnore {
                file,
                line,
                pattern,
            } => write!(formatter, "{file}:{line}: {pattern}"),
            Self::NoCode => formatter.write_str(
                "built-in: at the top of the project, only modules and folders with modules are a job's code",
            ),
            Self::NoCopy(file) => write!(formatter, "no COPY of {file} can match it"),
        }
    }
}

/// The image's `<Dockerfile>.dockerignore`, or else the `.dockerignore` of its context, if either exists.
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

/// Files that hold secrets, by their names.
const SECRET_FILES: [&str; 6] = [".env", ".netrc", ".pypirc", ".npmrc", ".pgpass", "id_rsa"];

/// Warnings about rules of the image's ignore file that take a file with secrets back into the context `folder`.
///
/// # Errors
/// The rules cannot be read.
pub fn taken_back_secrets(
    project: &Project,
    image: &Image,
    folder: &str,
) -> Result<Vec<Defect>, Defect> {
    let (file, _, rules) = docker_ignore(project, &project.root.join(folder), image)?;
    let takes_back = rules.rules().iter().filter(|rule| {
        let name = rule.pattern.rsplit('/').next().unwrap_or_default();
        rule.includes && SECRET_FILES.contains(&name)
    });
    let warning = |rule: &DockerIgnoreRule| {
        let message = format!(
            "`!{}` takes a file with secrets into the context",
            rule.pattern
        );
        let place = Place::of_line(&file, rule.line);
        Defect::new(Code::W133, place, message).hint(
            "remove the rule, and mount the file: `secrets.ID = { file = \"…\" }` for the image",
        )
    };
    Ok(takes_back.map(warning).collect())
}

/// Why a path of the context `folder` of an image, or a folder that it lies in, is no input; `None` if no rule says so.
///
/// # Errors
/// The rules cannot be read.
pub fn why_left_out(
    project: &Project,
    image: &Image,
    folder: &str,
    path: &str,
) -> Result<Option<LeftOut>, Defect> {
    let rules = ContextRules::of(project, image, folder, &NeverContext::of(project))?;
    let is_folder = project.root.join(folder).join(path).is_dir();
    let above = folders_above(path).find_map(|folder| rules.left_out(folder, true));
    // A folder stays for what a `!` may take back in it; what is in it shows the rule.
    let inside = || is_folder.then(|| rules.left_out(&format!("{path}/x"), false))?;
    let itself = above.or_else(|| rules.left_out(path, is_folder));
    Ok(itself.or_else(inside))
}

/// Whether rules leave out neither a file nor a folder that it lies in.
pub(super) fn is_kept(file: &str, left_out: impl Fn(&str, bool) -> Option<LeftOut>) -> bool {
    folders_above(file).all(|folder| left_out(folder, true).is_none())
        && left_out(file, false).is_none()
}

/// The rules that keep files out of an image's context, before `COPY` instructions are considered.
pub(super) struct ContextRules {
    /// Identifies the rules: two sets of rules for one folder have different names.
    pub(super) name: String,
    /// The name of the `.dockerignore`, relative to the project if it lies there.
    ignore_file: String,
    ignored: DockerIgnore,
    never: Arc<HashSet<String>>,
    excludes: DefaultExcludes,
    /// The path of `dist` in the context, if it lies there.
    dist: Option<String>,
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
            dist: dist_below(&project.root, folder),
        })
    }

    /// Why a file, or a folder with everything in it, is no input. For use in a walk: the folders above the path are
    /// not checked again.
    pub(super) fn left_out(&self, path: &str, is_folder: bool) -> Option<LeftOut> {
        if let Some(excluded) = self.excludes.excluded_itself(path, is_folder) {
            return Some(LeftOut::Excluded(excluded));
        }
        if is_output(self.dist.as_deref(), path) {
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

/// The path of the project's `dist` below a context, which may be a symbolic link to a folder above it.
fn dist_below(project_root: &Path, context: &str) -> Option<String> {
    if !has_link(project_root, Path::new(context)) {
        return (context == ".").then(|| "dist".to_owned());
    }
    let dist = fs_err::canonicalize(project_root).ok()?.join("dist");
    let context = fs_err::canonicalize(project_root.join(context)).ok()?;
    Some(dist.strip_prefix(context).ok()?.to_str()?.to_owned())
}

/// Whether a part of a path below the project is a symbolic link: only then must the real path be looked up.
pub(super) fn has_link(project_root: &Path, below: &Path) -> bool {
    let mut paths = below
        .ancestors()
        .filter(|path| !path.as_os_str().is_empty());
    paths.any(|path| project_root.join(path).is_symlink())
}

/// The rules that keep files of a job's code out of its archive.
pub(super) struct JobRules<'a> {
    tree: &'a CodeTree,
    excludes: DefaultExcludes,
    /// Locks and manifests: `build` writes them, which would change the tag that it has just built.
    never: Arc<HashSet<String>>,
    /// The path of `dist` in the tree, if it lies there.
    dist: Option<String>,
    /// The main file's path in the archive, if it lies among the code.
    main: Option<&'a str>,
    /// The folder of the tree on the disk.
    root: PathBuf,
    /// Whether there is a module in each folder at the top of the project.
    has_modules: Mutex<HashMap<String, bool>>,
}

/// Modules at the top of a project that no job imports.
const TOOLS: [&str; 2] = ["noxfile.py", "setup.py"];

/// Folders at the top of a project that no job imports from: documentation, and what setuptools leaves behind.
const NO_CODE: [&str; 2] = ["build", "docs"];

impl<'a> JobRules<'a> {
    /// The rules for one tree of a job's code.
    pub(super) fn of(
        project: &Project,
        package: &'a Package,
        tree: &'a CodeTree,
        never: &NeverContext,
    ) -> Result<Self, Defect> {
        let patterns = package.exclude.iter().map(String::as_str);
        let root = project.root.join(tree.folder());
        let is_root_of_import = tree.packed.is_empty();
        let excludes = DefaultExcludes::of_job_sources()
            .with_libs(is_root_of_import && holds_installed_packages(&root.join("libs")))
            .excluding(patterns);
        let excludes = excludes
            .map_err(|error| Defect::new(Code::E022, package.place.clone(), error.to_string()))?;
        Ok(Self {
            tree,
            excludes,
            never: never.below(&root),
            dist: dist_below(&project.root, tree.folder()),
            main: package.main.packed.as_deref(),
            root,
            has_modules: Mutex::default(),
        })
    }

    /// Why a file, or a folder with everything in it, is not packed; the main file is always packed, beside the
    /// archive. For use in a walk: the folders above the path are not checked again.
    pub(super) fn left_out(&self, path: &str, is_folder: bool) -> Option<LeftOut> {
        if self.tree.is_module && self.tree.project_path(path) != self.tree.path {
            return Some(LeftOut::NoCode);
        }
        let packed = self.tree.packed_path(path);
        if self.main == Some(&packed) {
            return None;
        }
        if is_output(self.dist.as_deref(), path) {
            return Some(LeftOut::Output);
        }
        if let Some(excluded) = self.excludes.excluded_itself(&packed, is_folder) {
            return Some(LeftOut::Excluded(excluded));
        }
        if self.never.contains(path) {
            return Some(LeftOut::NeverContext);
        }
        let is_no_code = || match path.split_once('/') {
            None => !self.is_code(path, is_folder),
            Some((top, _)) => !self.is_code(top, true),
        };
        let is_left_out =
            self.tree.is_project() && is_no_code() && !self.excludes.takes(path, is_folder);
        is_left_out.then_some(LeftOut::NoCode)
    }

    /// Whether a file or folder at the top of the project is a job's code: most of what lies there is not.
    fn is_code(&self, name: &str, is_folder: bool) -> bool {
        if !is_folder {
            let module = name.strip_suffix(".py").filter(|_| !TOOLS.contains(&name));
            return module.is_some_and(is_identifier);
        }
        is_identifier(name) && !NO_CODE.contains(&name) && self.has_module(name)
    }

    /// Whether there is a module somewhere in a folder of the tree, which is no virtual environment.
    fn has_module(&self, folder: &str) -> bool {
        // A poisoned lock is safe: every change is a single insertion.
        let known = || {
            self.has_modules
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        if let Some(has_module) = known().get(folder) {
            return *has_module;
        }
        let path = self.root.join(folder);
        let has_module = !path.join("pyvenv.cfg").exists() && self.holds_module(&path);
        known().insert(folder.to_owned(), has_module);
        has_module
    }

    fn holds_module(&self, folder: &Path) -> bool {
        let name = |entry: &walkdir::DirEntry| {
            let below = entry.path().strip_prefix(&self.root).ok();
            below.and_then(Path::to_str).map(str::to_owned)
        };
        let is_kept = |entry: &walkdir::DirEntry| {
            let is_folder = entry.file_type().is_dir();
            let path = name(entry);
            path.is_some_and(|path| self.excludes.excluded_itself(&path, is_folder).is_none())
        };
        let walk = WalkDir::new(folder).follow_links(true).into_iter();
        let mut found = walk.filter_entry(is_kept).filter_map(Result::ok);
        found.any(|entry| entry.file_type().is_file() && is_module(entry.path()))
    }
}

/// Whether a file is a Python module by its name.
fn is_module(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "py")
}

/// The manifests among a job's files, which are no part of it: paths relative to the project's folder, sorted, each with
/// the path that it would have in the archive.
///
/// # Errors
/// The rules cannot be read.
pub fn manifests_of_job(
    project: &Project,
    package: &Package,
) -> Result<Vec<(String, String)>, Defect> {
    let globs = project.manifests.values().flatten();
    let files: BTreeSet<&String> = globs.flat_map(|glob| &glob.files).collect();
    let never = NeverContext::of(project);
    let mut found = Vec::new();
    for tree in &package.trees {
        // A job at the project's top has all manifests below it.
        if tree.is_project() || tree.is_module {
            continue;
        }
        let mut below = files.iter().filter_map(|file| {
            let path = Path::new(file).strip_prefix(&tree.path).ok()?;
            Some((file, path.to_str()?))
        });
        let mut below = below.by_ref().peekable();
        if below.peek().is_none() {
            continue;
        }
        let rules = JobRules::of(project, package, tree, &never)?;
        found.extend(below.filter_map(|(file, path)| {
            let is_kept = folders_above(path).all(|folder| rules.left_out(folder, true).is_none());
            let is_manifest = is_kept && rules.left_out(path, false) == Some(LeftOut::NeverContext);
            is_manifest.then(|| ((*file).clone(), tree.packed_path(path)))
        }));
    }
    found.sort();
    Ok(found)
}

/// The files of a project that are never part of an image, for sources that hold some of them.
#[derive(Debug)]
pub struct ProjectFiles {
    root: PathBuf,
    never: NeverContext,
}

impl ProjectFiles {
    /// Those of a project.
    #[must_use]
    pub fn of(project: &Project) -> Self {
        Self {
            root: project.root.clone(),
            never: NeverContext::of(project),
        }
    }

    /// The rules that keep files out of a source that is a folder of this machine.
    fn source_rules(&self, folder: &Path) -> SourceRules {
        let real = |path: &Path| fs_err::canonicalize(path).ok();
        let dist = real(&self.root).zip(real(folder)).and_then(|(root, real)| {
            let dist = root.join("dist");
            Some(dist.strip_prefix(real).ok()?.to_str()?.to_owned())
        });
        SourceRules {
            excludes: DefaultExcludes::anywhere(),
            never: self.never.below(folder),
            dist,
        }
    }
}

/// The rules that keep files out of a source that is a folder of this machine: it may hold the project, or a part of it.
#[derive(Debug)]
pub struct SourceRules {
    excludes: DefaultExcludes,
    never: Arc<HashSet<String>>,
    dist: Option<String>,
}

impl SourceRules {
    /// The rules for a folder, which holds nothing of the project if no files of that are given.
    #[must_use]
    pub fn of(files: Option<&Arc<ProjectFiles>>, folder: &Path) -> Self {
        match files {
            Some(files) => files.source_rules(folder),
            None => Self {
                excludes: DefaultExcludes::anywhere(),
                never: Arc::default(),
                dist: None,
            },
        }
    }

    /// Whether a file, or a folder with what is in it, is part of the source.
    #[must_use]
    pub fn keep(&self, path: &str, is_folder: bool) -> bool {
        let is_dist = |dist: &String| Path::new(path).starts_with(dist);
        !self.dist.as_ref().is_some_and(is_dist)
            && !self.never.contains(path)
            && self.excludes.excluded(path, is_folder).is_none()
    }
}

/// Whether a path is `dist`, or lies in it.
fn is_output(dist: Option<&str>, path: &str) -> bool {
    let rest = dist.and_then(|dist| path.strip_prefix(dist));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether packages were installed into a folder: an installer leaves a `.dist-info` or `.egg-info` beside them.
fn holds_installed_packages(folder: &Path) -> bool {
    let Ok(entries) = fs_err::read_dir(folder) else {
        return false;
    };
    let names = entries
        .filter_map(Result::ok)
        .map(|entry| entry.file_name());
    let mut names = names.filter_map(|name| name.into_string().ok());
    names.any(|name| name.ends_with(".dist-info") || name.ends_with(".egg-info"))
}

/// The files that hold tags: locks, manifests and the configuration. If an image's context held one of them, writing
/// the image's tag into it would change that tag.
///
/// They are collected once for all images: a search below each image's folder would take time in proportion to images
/// times manifests.
#[derive(Debug)]
pub struct NeverContext {
    /// The paths as the configuration names them.
    named: BTreeSet<PathBuf>,
    /// The paths with symbolic links resolved: rewriting a link changes the file that it points to.
    real: BTreeSet<PathBuf>,
    /// The results of [`Self::below`] by folder, because many images may share a context.
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
        let locks = requirements.map(RequirementsFile::lock_file);
        files.extend(locks.filter_map(|file| Some(file.to_str()?.to_owned())));
        let secrets = project
            .images
            .values()
            .flat_map(|image| image.secrets.values());
        files.extend(secrets.filter_map(|origin| match origin {
            SecretOrigin::File(file) => Some(file.clone()),
            SecretOrigin::Variable(_) => None,
        }));
        let named = files.iter().map(|file| project.root.join(file));
        // In it there are images of the project.
        let layout = project.layout().map(Path::to_owned);
        let named: BTreeSet<PathBuf> = named.chain(layout).collect();
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

    /// Whether the file is one of them, also by another name.
    #[must_use]
    pub fn has(&self, file: &Path) -> bool {
        let real = || fs_err::canonicalize(file).ok();
        self.named.contains(file) || real().is_some_and(|real| self.real.contains(&real))
    }

    /// Whether a job may have the file or folder at this path without symbolic links, where `root` is the project's folder.
    #[must_use]
    pub(super) fn allows(&self, root: &Path, real: &Path) -> bool {
        let below = real.strip_prefix(root).unwrap_or(real);
        let mut names = below.iter().filter_map(|name| name.to_str());
        !below.starts_with("dist")
            && !self.real.contains(real)
            && !names.any(DefaultExcludes::is_version_control)
    }

    /// The files below `root`, relative to it.
    fn below(&self, root: &Path) -> Arc<HashSet<String>> {
        // A poisoned lock is safe: every change is a single insertion.
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

/// The members of `files` below `root`. Paths are sorted by component, so these lie side by side.
fn paths_below(files: &BTreeSet<PathBuf>, root: &Path) -> impl Iterator<Item = String> {
    files
        .range::<Path, _>((Bound::Included(root), Bound::Unbounded))
        .map_while(move |file| file.strip_prefix(root).ok())
        .filter_map(|path| Some(path.to_str()?.to_owned()))
}

/// The path with symbolic links resolved. `folders` caches the resolved folders, since one folder may hold thousands of
/// manifests.
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
