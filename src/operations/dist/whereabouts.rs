//! Where in the project a module lies that a job does not have.

use std::{collections::HashMap, path::Path, sync::OnceLock};

use walkdir::WalkDir;

use crate::{
    package::imports::{Finding, NotInJob, Whereabouts},
    project::{CodeTree, Image, Package, Project, ignore::escaped},
};

/// How deep a folder may lie that somebody forgot to name in `src`.
const DEEPEST: usize = 4;

/// The most files and folders that are looked at.
const MOST: usize = 50_000;

/// Folders whose code is nobody's own.
const FOREIGN: [&str; 8] = [
    "dist",
    "build",
    "target",
    "node_modules",
    "site-packages",
    "venv",
    "env",
    "__pycache__",
];

/// The modules in a project's folder, looked for once.
#[derive(Default)]
pub(super) struct ModulesOfProject {
    by_name: OnceLock<HashMap<String, String>>,
}

impl ModulesOfProject {
    /// What is known of the module that a finding is about.
    pub(super) fn of(&self, project: &Project, image: &Image, finding: &Finding) -> Whereabouts {
        let Some(package) = &image.package else {
            return Whereabouts::default();
        };
        let root = &project.root;
        let in_project = finding
            .missing()
            .and_then(|missing| match finding.missing_in() {
                Some(name) => left_out(
                    root,
                    package,
                    &format!("{}/{name}", missing.replace('.', "/")),
                ),
                None if missing.contains('.') => None,
                None => left_out(root, package, missing).or_else(|| self.find(root, missing)),
            });
        Whereabouts {
            in_project,
            requirements: image.requirements.as_ref().map(|file| file.path.clone()),
            image: format!("images.{}", image.name),
            src: package.trees.iter().map(as_written).collect(),
        }
    }

    fn find(&self, root: &Path, name: &str) -> Option<(String, NotInJob)> {
        let known = self.by_name.get_or_init(|| modules_below(root));
        let path = known.get(name)?;
        Some((path.clone(), NotInJob::Elsewhere))
    }
}

/// A tree of a job as an entry of the list `src`.
fn as_written(tree: &CodeTree) -> String {
    match (tree.packed.as_str(), tree.path.as_str()) {
        ("", ".") => "./".to_owned(),
        ("", path) => format!("{path}/"),
        (_, path) => path.to_owned(),
    }
}

/// A module in a job's folders that is no part of the job. `packed` is the path that it would be packed under, without its
/// ending.
fn left_out(root: &Path, package: &Package, packed: &str) -> Option<(String, NotInJob)> {
    package
        .trees
        .iter()
        .filter(|tree| !tree.is_module)
        .find_map(|tree| {
            let below = match tree.packed.as_str() {
                "" => packed,
                folder => packed.strip_prefix(folder)?.strip_prefix('/')?,
            };
            let path = tree.project_path(below);
            let file = format!("{path}.py");
            if has_module(&root.join(&path)) {
                return Some((path, NotInJob::LeftOut(format!("{packed}/"))));
            }
            let is_file = root.join(&file).is_file();
            is_file.then(|| (file, NotInJob::LeftOut(format!("{packed}.py"))))
        })
}

fn has_module(folder: &Path) -> bool {
    let Ok(entries) = fs_err::read_dir(folder) else {
        return false;
    };
    let mut names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.any(|name| Path::new(&name).extension().is_some_and(|end| end == "py"))
}

/// The modules in the folders below `root`, each by the place that is nearest to it.
fn modules_below(root: &Path) -> HashMap<String, String> {
    let walk = WalkDir::new(root)
        .min_depth(1)
        .max_depth(DEEPEST)
        .sort_by_file_name();
    let is_own = |entry: &walkdir::DirEntry| {
        let name = entry.file_name().to_string_lossy();
        let is_environment =
            || entry.file_type().is_dir() && entry.path().join("pyvenv.cfg").exists();
        !name.starts_with('.') && !FOREIGN.contains(&&*name) && !is_environment()
    };
    let mut found: HashMap<String, (usize, String)> = HashMap::new();
    let entries = walk.into_iter().filter_entry(is_own).filter_map(Result::ok);
    for entry in entries.take(MOST) {
        let path = entry.path();
        let name = match path.extension() {
            Some(end) if end == "py" && entry.file_type().is_file() => path.file_stem(),
            None if entry.file_type().is_dir() && has_module(path) => path.file_name(),
            _ => None,
        };
        let Some(name) = name.and_then(|name| name.to_str()) else {
            continue;
        };
        let shown = escaped(path.strip_prefix(root).unwrap_or(path).as_os_str());
        let known = found
            .entry(name.to_owned())
            .or_insert_with(|| (entry.depth(), shown.clone()));
        if entry.depth() < known.0 {
            *known = (entry.depth(), shown);
        }
    }
    found
        .into_iter()
        .map(|(name, (_, path))| (name, path))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::{MainFile, place::Place};

    #[test]
    fn the_nearest_module_is_found_and_what_is_foreign_is_not() {
        let folder = tempfile::tempdir().unwrap();
        for path in [
            "datajob/__init__.py",
            "deep/in/datajob/__init__.py",
            "tools/helper.py",
            "a/b/c/d/e/far.py",
            "dist/packed.py",
            ".venv/lib/x.py",
            "mine/pyvenv.cfg",
            "mine/lib/y.py",
            "data/q.sql",
        ] {
            let file = folder.path().join(path);
            fs_err::create_dir_all(file.parent().unwrap()).unwrap();
            fs_err::write(file, "").unwrap();
        }
        let found = modules_below(folder.path());
        let of = |name: &str| found.get(name).map(String::as_str);
        assert_eq!(of("datajob"), Some("datajob"));
        assert_eq!(of("helper"), Some("tools/helper.py"));
        for name in ["far", "packed", "x", "y", "data", "deep"] {
            assert_eq!(of(name), None, "{name}");
        }
        let tree = |path: &str, packed: &str| CodeTree {
            path: path.to_owned(),
            packed: packed.to_owned(),
            is_module: false,
        };
        let package = Package {
            place: Place::of_line("sparkpack.toml", 1),
            trees: vec![tree("deep", ""), tree("a/b", "b")],
            main: MainFile {
                path: "main.py".to_owned(),
                packed: None,
            },
            beside: std::collections::BTreeMap::new(),
            form: None,
            exclude: Vec::new(),
            ignored_imports: Vec::new(),
            dist: "dist".to_owned(),
        };
        let left = |packed: &str| left_out(folder.path(), &package, packed);
        let out = |path: &str, packed: &str| {
            Some((path.to_owned(), NotInJob::LeftOut(packed.to_owned())))
        };
        assert_eq!(left("in/datajob"), out("deep/in/datajob", "in/datajob/"));
        assert_eq!(
            left("b/c/d/e/far"),
            out("a/b/c/d/e/far.py", "b/c/d/e/far.py")
        );
        assert_eq!(left("in"), None);
        assert_eq!(left("c/d/e/far"), None);
        let src: Vec<String> = package.trees.iter().map(as_written).collect();
        assert_eq!(src, ["deep/", "a/b"]);
    }
}
