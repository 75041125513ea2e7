//! The modules that packed and installed files make importable, by their names.

use std::collections::BTreeSet;

use crate::project::exclusions::is_identifier;

/// The ends of the names of extension modules: `_x.cpython-311-x86_64-linux-gnu.so`, `_x.abi3.so`, `_x.so`.
const NATIVE: &str = ".so";

/// Top-level names of what belongs to a package's development: some wheels ship it by accident, and it imports what
/// only developers have.
const OF_DEVELOPERS: [&str; 10] = [
    "benchmarks",
    "conftest",
    "doc",
    "docs",
    "examples",
    "noxfile",
    "scripts",
    "setup",
    "test",
    "tests",
];

/// The modules to import for installed packages to be loaded: those at the top. Of a namespace package, such as
/// `google`, these are the topmost regular packages below it, and folders that hold modules. What its name calls private
/// there is for the others, which import it if they need it: of some it is what an extra brings.
#[must_use]
pub fn top_level<'p>(paths: impl IntoIterator<Item = &'p str>) -> BTreeSet<String> {
    let modules: Vec<Module<'p>> = paths.into_iter().filter_map(Module::of).collect();
    let regular: BTreeSet<&[&str]> = modules.iter().filter_map(Module::package).collect();
    let top = |module: &Module<'p>| {
        let folder = &module.folder[..];
        let depth = (1..=folder.len()).find(|depth| regular.contains(&folder[..*depth]));
        match depth {
            Some(depth) => folder[..depth].join("."),
            None if folder.is_empty() => module.name.to_owned(),
            None => folder.join("."),
        }
    };
    let is_public = |name: &String| !name.contains("._");
    let is_of_users = |module: &&Module<'p>| {
        let first = module.folder.first().unwrap_or(&module.name);
        !first.starts_with("__") && !OF_DEVELOPERS.contains(first)
    };
    let tops = modules.iter().filter(is_of_users).map(top);
    tops.filter(is_public).collect()
}

/// All modules of a job's own code, each by its whole name; a package by its own. `__main__` and what tools run
/// (`setup.py`, `conftest.py`) are programs.
#[must_use]
pub fn all<'p>(paths: impl IntoIterator<Item = &'p str>) -> BTreeSet<String> {
    let modules = paths.into_iter().filter_map(Module::of);
    let is_tools = |module: &Module<'p>| {
        module.folder.is_empty() && matches!(module.name, "__init__" | "conftest" | "setup")
    };
    let named = modules
        .filter(|module| module.name != "__main__" && !is_tools(module))
        .map(|module| match module.package() {
            Some(package) => package.join("."),
            None => [&module.folder[..], &[module.name]].concat().join("."),
        });
    named.collect()
}

/// A file that Python imports.
struct Module<'p> {
    /// The folders that it lies in.
    folder: Vec<&'p str>,
    name: &'p str,
}

impl<'p> Module<'p> {
    /// The module in the file at `path`; `None` if the file is none, or its name cannot stand in an import.
    fn of(path: &'p str) -> Option<Self> {
        let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
        let name = match file.strip_suffix(".py") {
            Some(name) => name,
            None => file.strip_suffix(NATIVE)?.split('.').next()?,
        };
        let folder: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
        let names = folder.iter().chain([&name]);
        let is_importable = names.into_iter().all(|name| is_identifier(name));
        is_importable.then_some(Self { folder, name })
    }

    /// The regular package that it makes of its folder.
    fn package(&self) -> Option<&[&'p str]> {
        (self.name == "__init__" && !self.folder.is_empty()).then_some(&self.folder[..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_imported_by_what_is_at_its_top() {
        for (paths, wanted) in [
            (
                &["six.py", "six-1.17.0.dist-info/METADATA"][..],
                &["six"][..],
            ),
            (
                &[
                    "yaml/__init__.py",
                    "yaml/cyaml.py",
                    "_yaml/__init__.py",
                    "yaml/_yaml.cpython-311-x86_64-linux-gnu.so",
                ],
                &["_yaml", "yaml"],
            ),
            (
                &[
                    "_cffi_backend.cpython-311-x86_64-linux-gnu.so",
                    "rpds/__init__.abi3.so",
                    "numpy.libs/libx-1.so",
                ],
                &["_cffi_backend", "rpds"],
            ),
            // A namespace package has no module of its own.
            (
                &[
                    "google/cloud/storage/__init__.py",
                    "google/cloud/storage/blob.py",
                    "google/api/http_pb2.py",
                    "google/_upb/_message.abi3.so",
                    "google/cloud/_storage_v2/__init__.py",
                ],
                &["google.api", "google.cloud.storage"],
            ),
            (
                &[
                    "tests/__init__.py",
                    "tests/test_x.py",
                    "docs/conf.py",
                    "setup.py",
                    "ok/__init__.py",
                ],
                &["ok"],
            ),
            (
                &[
                    "x/data.json",
                    "x-stubs/__init__.pyi",
                    "bin/a-b.py",
                    "1x.py",
                    "lib.so.1",
                ],
                &[],
            ),
            (&["_hack/__init__.py", "hack.pth"], &["_hack"]),
            (&["__editable__.py"], &[]),
        ] {
            let found: Vec<String> = top_level(paths.iter().copied()).into_iter().collect();
            assert_eq!(found, wanted, "{paths:?}");
        }
    }

    #[test]
    fn every_module_of_a_job_is_imported_by_its_whole_name() {
        let paths = [
            "jobs/__init__.py",
            "jobs/one.py",
            "jobs/__main__.py",
            "jobs/deep/inner.py",
            "jobs/data.csv",
            "jobs/not-a-module.py",
            "tests/test_one.py",
            "conftest.py",
            "setup.py",
            "fast.abi3.so",
            "__init__.py",
            "maße.py",
        ];
        let wanted = [
            "fast",
            "jobs",
            "jobs.deep.inner",
            "jobs.one",
            "maße",
            "tests.test_one",
        ];
        let found: Vec<String> = all(paths).into_iter().collect();
        assert_eq!(found, wanted);
    }
}
