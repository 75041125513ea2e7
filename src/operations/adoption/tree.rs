//! The files of a project that is to be adopted: what git tracks or, outside of git, what the built-in rules leave.

use std::{
    collections::BTreeSet,
    io::Read as _,
    path::{Path, PathBuf},
};

use walkdir::WalkDir;

use crate::{
    adapters::git,
    project::{
        ignore::{DefaultExcludes, escaped},
        tree::folders_above,
    },
};

/// How many files are looked at: a home folder or a data lake is no project.
const FILES: usize = 100_000;

/// The bytes of the largest file that is read.
const BYTES: u64 = 2 << 20;

/// The files of a project.
pub(super) struct ProjectTree {
    /// The project's folder, without symbolic links.
    pub(super) root: PathBuf,
    /// The files by their paths below it.
    files: BTreeSet<String>,
    /// The folders that hold them.
    folders: BTreeSet<String>,
    /// What was not looked at, in words.
    pub(super) passed_over: Vec<String>,
    /// Whether git says which files there are.
    pub(super) is_tracked: bool,
}

impl ProjectTree {
    /// Lists the files below `root`. What cannot be read is no error: it is told.
    pub(super) fn of(root: &Path) -> std::io::Result<Self> {
        let root = fs_err::canonicalize(root)?;
        let mut tree = Self {
            files: BTreeSet::new(),
            folders: BTreeSet::new(),
            passed_over: Vec::new(),
            is_tracked: false,
            root,
        };
        match tree.tracked() {
            Some(names) => {
                tree.is_tracked = true;
                names.iter().take(FILES).for_each(|name| tree.add(name));
                if names.len() > FILES {
                    tree.pass_over(format!("more than {FILES} files: the others"));
                }
            }
            None => tree.walk(),
        }
        for file in &tree.files {
            tree.folders.extend(folders_above(file).map(str::to_owned));
        }
        Ok(tree)
    }

    /// What git tracks; `None` where git knows nothing of the folder.
    fn tracked(&self) -> Option<Vec<PathBuf>> {
        git::top_folder(&self.root)?;
        let files = git::tracked_below(&self.root, &self.root).ok()?;
        (!files.is_empty()).then_some(files)
    }

    fn walk(&mut self) {
        let excludes = DefaultExcludes::anywhere();
        let root = self.root.clone();
        let walk = WalkDir::new(&root).sort_by_file_name().into_iter();
        let walk = walk.filter_entry(|entry| {
            let name = entry.file_name().to_string_lossy();
            let is_folder = entry.file_type().is_dir();
            entry.depth() == 0 || excludes.excluded_itself(&name, is_folder).is_none()
        });
        for (seen, entry) in walk.enumerate() {
            if seen > FILES {
                self.pass_over(format!("more than {FILES} files and folders: the others"));
                break;
            }
            match entry {
                Ok(entry) if !entry.file_type().is_dir() => self.add(entry.path()),
                Ok(_) => {}
                Err(error) => {
                    let path = error.path().unwrap_or(&root);
                    let path = escaped(path.strip_prefix(&root).unwrap_or(path));
                    self.pass_over(format!("`{path}`, which cannot be read"));
                }
            }
        }
    }

    fn add(&mut self, path: &Path) {
        let Ok(below) = path.strip_prefix(&self.root) else {
            return;
        };
        let Some(name) = below
            .to_str()
            .filter(|name| !name.contains(char::is_control))
        else {
            let name = escaped(below);
            return self.pass_over(format!("`{name}`, whose name cannot be written"));
        };
        let is_excluded = DefaultExcludes::anywhere().excluded(name, false).is_some();
        if !is_excluded && self.is_file(path) {
            self.files.insert(name.to_owned());
        }
    }

    /// Whether it is a file, or a link to one within the project.
    fn is_file(&self, path: &Path) -> bool {
        let Ok(metadata) = fs_err::symlink_metadata(path) else {
            return false;
        };
        if !metadata.is_symlink() {
            return metadata.is_file();
        }
        let real = fs_err::canonicalize(path);
        real.is_ok_and(|real| real.starts_with(&self.root) && real.is_file())
    }

    fn pass_over(&mut self, what: String) {
        self.passed_over.push(what);
    }

    /// All files, sorted.
    pub(super) fn files(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(String::as_str)
    }

    /// Whether there is a file.
    pub(super) fn has(&self, path: &str) -> bool {
        self.files.contains(path)
    }

    /// Whether there is a folder with files; the project's own is `.`.
    pub(super) fn has_folder(&self, path: &str) -> bool {
        path == "." || self.folders.contains(path)
    }

    /// The folders, sorted.
    pub(super) fn folders(&self) -> impl Iterator<Item = &str> {
        self.folders.iter().map(String::as_str)
    }

    /// The bytes of a file; `None` where it is too large or cannot be read.
    pub(super) fn bytes(&self, path: &str) -> Option<Vec<u8>> {
        let file = fs_err::File::open(self.root.join(path)).ok()?;
        let mut bytes = Vec::new();
        file.take(BYTES + 1).read_to_end(&mut bytes).ok()?;
        (bytes.len() as u64 <= BYTES).then_some(bytes)
    }

    /// The text of a file; what is not UTF-8 in it is replaced.
    pub(super) fn text(&self, path: &str) -> Option<String> {
        let bytes = self.bytes(path)?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// The folder of a path, `.` at the top.
pub(super) fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or(".", |(folder, _)| folder)
}

/// Whether a file's name ends with a dot and this.
pub(super) fn is_kind(path: &str, ending: &str) -> bool {
    Path::new(path)
        .extension()
        .is_some_and(|found| found == ending)
}

/// The last part of a path.
pub(super) fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// A path below a folder, which may be `.`.
pub(super) fn joined(folder: &str, path: &str) -> String {
    match folder {
        "." | "" => path.to_owned(),
        folder => format!("{folder}/{path}"),
    }
}

/// Without `.` and `..`: a path that leaves the project begins with `..`.
pub(super) fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match (part, parts.last()) {
            ("" | ".", _) => {}
            ("..", Some(last)) if *last != ".." => drop(parts.pop()),
            (part, _) => parts.push(part),
        }
    }
    let rest = parts.join("/");
    match (path.starts_with('/'), rest.is_empty()) {
        (true, _) => format!("/{rest}"),
        (false, true) => ".".to_owned(),
        (false, false) => rest,
    }
}

/// Folders and files that are beside a project: tests, documentation, examples, and what builds and installs it.
pub(super) fn is_aside(path: &str) -> bool {
    const FOLDERS: [&str; 12] = [
        "test",
        "tests",
        "testing",
        "doc",
        "docs",
        "example",
        "examples",
        "sample",
        "samples",
        "notebooks",
        "benchmarks",
        "node_modules",
    ];
    const FILES: [&str; 6] = [
        "setup.py",
        "conftest.py",
        "noxfile.py",
        "tasks.py",
        "fabfile.py",
        "versioneer.py",
    ];
    let mut parts: Vec<&str> = path.split('/').collect();
    let name = parts.pop().unwrap_or_default();
    let is_hidden = |part: &&str| part.starts_with('.') && part.len() > 1;
    parts.iter().any(|part| FOLDERS.contains(part))
        || parts.iter().any(is_hidden)
        || FILES.contains(&name)
        || name.starts_with("test_")
        || name.ends_with("_test.py")
}
