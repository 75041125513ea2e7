//! The distribution that a job's code is by its `pyproject.toml`: what an installer would write of it, so that
//! `importlib.metadata` finds its version and its entry points in an image too.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read as _,
    path::Path,
};

use toml::{Table, Value};

use super::{
    Package,
    ignore::DefaultExcludes,
    place::{Defect, Place},
    tree::{Content, Entry},
};
use crate::code::Code;

/// The name of the file.
const FILE_NAME: &str = "pyproject.toml";

/// The version where none is known.
const UNKNOWN: &str = "0+unknown";

/// The largest module that is searched for a version, in bytes.
const SEARCHED: u64 = 1 << 20;

/// What is written of a distribution.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// The files, by their paths among the code, each with the `pyproject.toml` that it is made from.
    pub(super) files: Vec<(Entry, String)>,
    /// What is not known.
    pub(super) warnings: Vec<Defect>,
}

/// The files that tell of the distributions whose code a job has; `modules` is that code.
pub(super) fn of_job(root: &Path, package: &Package, modules: &[Entry]) -> Written {
    let mut written = Written::default();
    for file in files(root, package) {
        let Some(distribution) = OwnDistribution::read(root, &file) else {
            continue;
        };
        let version = distribution.version(root, modules);
        if version.is_none() {
            written.warnings.push(distribution.unknown_version());
        }
        let version = version.unwrap_or_else(|| UNKNOWN.to_owned());
        let entries = distribution.entries(&version);
        let excludes = package.exclude.iter().map(String::as_str);
        let Ok(excludes) = DefaultExcludes::anywhere().excluding(excludes) else {
            continue;
        };
        let kept = entries.filter(|entry| excludes.excluded(&entry.path, false).is_none());
        written
            .files
            .extend(kept.map(|entry| (entry, file.clone())));
    }
    if written.files.is_empty() {
        written.warnings.clear();
    }
    written
}

/// The nearest `pyproject.toml` of each of a job's trees, relative to the project's folder.
fn files(root: &Path, package: &Package) -> BTreeSet<String> {
    let nearest = |path: &str| {
        let folders = Path::new(path).ancestors().map(|folder| folder.to_str());
        let files = folders.flatten().map(|folder| match folder {
            "" | "." => FILE_NAME.to_owned(),
            folder => format!("{folder}/{FILE_NAME}"),
        });
        let mut there = files.filter(|file| root.join(file).is_file());
        there.next()
    };
    let trees = package.trees.iter();
    trees.filter_map(|tree| nearest(tree.folder())).collect()
}

/// A project of `pyproject.toml`.
struct OwnDistribution {
    file: String,
    name: String,
    whole: Table,
    /// Its `[project]`, or `[tool.poetry]`.
    project: Table,
}

impl OwnDistribution {
    /// The distribution of a file; `None` if it describes none, or cannot be read.
    fn read(root: &Path, file: &str) -> Option<Self> {
        let text = fs_err::read_to_string(root.join(file)).ok()?;
        let whole: Table = text.parse().ok()?;
        let tool = |keys: &[&str]| at(&whole, &[&["tool"], keys].concat());
        let is_no_package = [&["uv", "package"][..], &["poetry", "package-mode"]];
        if is_no_package
            .iter()
            .any(|keys| tool(keys).and_then(Value::as_bool) == Some(false))
        {
            return None;
        }
        let project = whole.get("project").or_else(|| tool(&["poetry"]))?;
        let project = project.as_table()?.clone();
        let name = project.get("name")?.as_str()?.to_owned();
        let is_name = name
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter));
        (is_name && !name.is_empty()).then_some(Self {
            file: file.to_owned(),
            name,
            whole,
            project,
        })
    }

    /// The name as it begins the names of files.
    fn file_name(&self) -> String {
        let mut name = String::new();
        for letter in self.name.to_ascii_lowercase().chars() {
            match letter {
                '-' | '_' | '.' if name.ends_with('_') => {}
                '-' | '_' | '.' => name.push('_'),
                letter => name.push(letter),
            }
        }
        name
    }

    /// The version: as it is written, or else as a literal in the code says.
    fn version(&self, root: &Path, modules: &[Entry]) -> Option<String> {
        let written = self.project.get("version").and_then(Value::as_str);
        let of_poetry = at(&self.whole, &["tool", "poetry", "version"]);
        let written = written.or_else(|| of_poetry.and_then(Value::as_str));
        let version = written
            .map(str::to_owned)
            .or_else(|| self.dynamic_version(root, modules))?;
        let version = version.trim();
        let is_version = version.starts_with(|first: char| first.is_ascii_alphanumeric())
            && version
                .chars()
                .all(|letter| letter.is_ascii_alphanumeric() || ".!+_-".contains(letter));
        is_version.then(|| version.to_owned())
    }

    fn dynamic_version(&self, root: &Path, modules: &[Entry]) -> Option<String> {
        let folder = Path::new(&self.file).parent()?;
        let text_of = |path: &str| fs_err::read_to_string(root.join(folder).join(path)).ok();
        let tool = |keys: &[&str]| {
            let keys = [&["tool"], keys].concat();
            Some(at(&self.whole, &keys)?.as_str()?.to_owned())
        };
        if let Some(attribute) = tool(&["setuptools", "dynamic", "version", "attr"]) {
            let (module, variable) = attribute.rsplit_once('.')?;
            let path = module.replace('.', "/");
            return literal(&module_text(modules, &path)?, variable);
        }
        if let Some(file) = tool(&["setuptools", "dynamic", "version", "file"]) {
            return text_of(&file);
        }
        if let Some(path) = tool(&["hatch", "version", "path"]) {
            return literal(&text_of(&path)?, "__version__");
        }
        let package = self.file_name();
        let inside = ["", "/_version", "/__about__", "/version"];
        inside.iter().find_map(|name| {
            let text = module_text(modules, &format!("{package}{name}"))?;
            literal(&text, "__version__")
        })
    }

    fn unknown_version(&self) -> Defect {
        let message = format!(
            "the version of `{}` is not known before a build of it, and no `__version__ = \"…\"` in its code says it: in an image it is `{UNKNOWN}`",
            self.name
        );
        Defect::new(Code::W150, Place::of_line(&self.file, 1), message)
            .hint("write `version = \"…\"` into `[project]`, or `exclude = [\"*.dist-info\"]` to have none")
    }

    fn entries(&self, version: &str) -> impl Iterator<Item = Entry> + use<> {
        let folder = format!(
            "{}-{}.dist-info",
            self.file_name(),
            version.replace('-', "_")
        );
        let metadata = format!(
            "Metadata-Version: 2.1\nName: {}\nVersion: {version}\n",
            self.name
        );
        let metadata = Entry::in_memory(format!("{folder}/METADATA"), metadata, false);
        let points = self.entry_points();
        let points = (!points.is_empty())
            .then(|| Entry::in_memory(format!("{folder}/entry_points.txt"), points, false));
        [metadata].into_iter().chain(points)
    }

    /// The entry points by their groups, in the form that installers write.
    fn entry_points(&self) -> String {
        let scripts = [
            ("console_scripts", "scripts"),
            ("gui_scripts", "gui-scripts"),
        ];
        let scripts = scripts.map(|(group, key)| (group, self.project.get(key)));
        let others = ["entry-points", "plugins"].into_iter().flat_map(|key| {
            let tables = self.project.get(key).and_then(Value::as_table);
            tables.into_iter().flatten()
        });
        let others = others.map(|(group, points)| (group.as_str(), Some(points)));
        let mut groups: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
        for (group, points) in scripts.into_iter().chain(others) {
            let points = points.and_then(Value::as_table).into_iter().flatten();
            for (name, object) in points {
                // Poetry's may be tables too, which name no object.
                if let Some(object) = object.as_str() {
                    groups.entry(group).or_default().insert(name, object);
                }
            }
        }
        let mut texts = Vec::new();
        for (group, points) in groups {
            let rows = points
                .iter()
                .map(|(name, object)| format!("{name} = {object}\n"));
            texts.push(format!("[{group}]\n{}", rows.collect::<String>()));
        }
        texts.join("\n")
    }
}

/// The value at the end of some keys.
fn at<'t>(table: &'t Table, keys: &[&str]) -> Option<&'t Value> {
    let (first, rest) = keys.split_first()?;
    rest.iter()
        .try_fold(table.get(*first)?, |value, key| value.get(key))
}

/// The text of the module or package at a path without its ending; it may be below `src`.
fn module_text(modules: &[Entry], path: &str) -> Option<String> {
    let path = path.strip_prefix("src/").unwrap_or(path);
    let paths = [format!("{path}.py"), format!("{path}/__init__.py")];
    let module = modules.iter().find(|module| paths.contains(&module.path))?;
    let Content::File { location, size, .. } = &module.content else {
        return None;
    };
    let mut text = String::new();
    let reader = (*size <= SEARCHED).then(|| location.open().ok())??;
    reader.take(SEARCHED).read_to_string(&mut text).ok()?;
    Some(text)
}

/// The text that a line assigns to a variable: `NAME = "…"`, with an annotation or without.
fn literal(text: &str, variable: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let rest = line.strip_prefix(variable)?.trim_start();
        let (before, value) = rest.split_once('=')?;
        if !before.is_empty() && !before.starts_with(':') {
            return None;
        }
        let value = value.trim_start();
        let quote = value
            .chars()
            .next()
            .filter(|first| "\"'".contains(*first))?;
        let (value, _) = value[1..].split_once(quote)?;
        (!value.is_empty()).then(|| value.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distribution(text: &str) -> Option<OwnDistribution> {
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join(FILE_NAME), text).unwrap();
        OwnDistribution::read(folder.path(), FILE_NAME)
    }

    #[test]
    fn a_literal_is_found_and_nothing_else() {
        for (text, wanted) in [
            ("__version__ = \"1.2\"\n", Some("1.2")),
            ("import x\n__version__='1.2'  # now\n", Some("1.2")),
            ("__version__: str = \"1.2\"", Some("1.2")),
            ("__version__ = version(\"x\")", None),
            ("__version__ = VERSION", None),
            ("__version__ += \"1\"", None),
            ("__version_info__ = \"1\"", None),
            ("    __version__ = \"1\"", None),
            ("__version__ = \"\"", None),
        ] {
            assert_eq!(literal(text, "__version__").as_deref(), wanted, "{text}");
        }
    }

    #[test]
    fn versions_are_read_from_where_the_build_reads_them() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs_err::create_dir_all(root.join("src/my_jobs")).unwrap();
        fs_err::write(root.join("src/my_jobs/about.py"), "__version__ = '4'\n").unwrap();
        fs_err::write(root.join("VERSION"), "5.0\n").unwrap();
        let module = |path: &str, text: &str| Entry::in_memory(path, text, false);
        let modules = [
            module("my_jobs/__init__.py", "__version__ = '2'\n"),
            module("my_jobs/meta.py", "NUMBER = '3'\n"),
        ];
        let head = "[project]\nname = \"My.-jobs\"\n";
        for (text, modules, wanted) in [
            ("version = \"1\"", &modules[..], Some("1")),
            ("dynamic = [\"version\"]", &modules, Some("2")),
            (
                "[tool.setuptools.dynamic]\nversion = {attr = \"my_jobs.meta.NUMBER\"}",
                &modules,
                Some("3"),
            ),
            (
                "[tool.hatch.version]\npath = \"src/my_jobs/about.py\"",
                &modules,
                Some("4"),
            ),
            (
                "[tool.setuptools.dynamic]\nversion = {file = \"VERSION\"}",
                &modules,
                Some("5.0"),
            ),
            ("dynamic = [\"version\"]", &[], None),
            ("version = \"../x\"", &[], None),
            ("[tool.setuptools_scm]", &[], None),
        ] {
            let found = distribution(&format!("{head}{text}\n")).unwrap();
            assert_eq!(found.version(root, modules).as_deref(), wanted, "{text}");
            assert_eq!(found.file_name(), "my_jobs");
        }
    }

    #[test]
    fn what_is_no_package_is_no_distribution() {
        for text in [
            "",
            "[tool.ruff]\n",
            "[project]\nversion = \"1\"\n",
            "[project]\nname = \"a/b\"\n",
            "[project]\nname = \"a\"\n[tool.uv]\npackage = false\n",
            "[tool.poetry]\nname = \"a\"\npackage-mode = false\n",
            "[project\n",
        ] {
            assert!(distribution(text).is_none(), "{text}");
        }
    }

    #[test]
    fn entry_points_are_written_by_group() {
        for (text, wanted) in [
            ("[project]\nname = \"a\"\n", ""),
            (
                "[project]\nname = \"a\"\n[project.scripts]\nb = \"a.cli:b\"\na = \"a.cli:main\"\n[project.entry-points.\"a.jobs\"]\nx = \"a.x\"\n",
                "[a.jobs]\nx = a.x\n\n[console_scripts]\na = a.cli:main\nb = a.cli:b\n",
            ),
            (
                "[tool.poetry]\nname = \"a\"\n[tool.poetry.scripts]\nb = \"a.cli:b\"\nc = {reference = \"x\"}\n",
                "[console_scripts]\nb = a.cli:b\n",
            ),
        ] {
            assert_eq!(distribution(text).unwrap().entry_points(), wanted);
        }
    }
}
