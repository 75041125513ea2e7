//! The modules of a set of files.

use std::{
    collections::{BTreeSet, HashMap},
    sync::OnceLock,
};

/// The modules of a set of files, by their dotted names.
#[derive(Debug, Default)]
pub struct ModuleTree {
    modules: HashMap<String, Module>,
    /// For each package the names in it; the empty name has those of all packages that are in no other.
    names: OnceLock<HashMap<String, BTreeSet<String>>>,
}

/// A module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Module {
    /// What it is.
    pub kind: ModuleKind,
    /// The number that came with its file.
    pub number: u32,
}

/// What a module is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ModuleKind {
    /// A folder without `__init__.py`, which any other folder of the name can add to.
    Folder,
    /// A file.
    File,
    /// A folder with `__init__.py`.
    Package,
}

/// The endings of the files that Python imports.
const ENDINGS: [&str; 3] = ["py", "so", "pyc"];

impl ModuleTree {
    /// Adds a file by its path below what Python searches; `number` is the caller's. A file that is no module makes its
    /// folders importable all the same.
    pub fn add(&mut self, path: &str, number: u32) {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        // Metadata of distributions lie in folders that nobody can import: `six-1.17.0.dist-info`. A folder like
        // `my-skill` can be: by `import_module`, and the modules in it import each other by dots.
        if folder.contains('.') {
            return;
        }
        let folder = folder.replace('/', ".");
        let (stem, ending) = name.split_once('.').unwrap_or((name, ""));
        let ending = ending.rsplit('.').next().unwrap_or(ending);
        if ENDINGS.contains(&ending) && !(stem == "__init__" && folder.is_empty()) {
            let (dotted, kind) = match (stem, folder.is_empty()) {
                ("__init__", _) => (folder.clone(), ModuleKind::Package),
                (stem, true) => (stem.to_owned(), ModuleKind::File),
                (stem, false) => (format!("{folder}.{stem}"), ModuleKind::File),
            };
            self.put(dotted, Module { kind, number });
        }
        let mut above = folder.as_str();
        while !above.is_empty() {
            let module = Module {
                kind: ModuleKind::Folder,
                number,
            };
            // What lies above a known folder is known, unless it was made known just now by its `__init__.py`.
            if self.modules.contains_key(above) {
                if above != folder {
                    break;
                }
            } else {
                self.put(above.to_owned(), module);
            }
            above = above.rsplit_once('.').map_or("", |(above, _)| above);
        }
    }

    /// A package comes before a file of the same name, and both before a folder.
    fn put(&mut self, name: String, module: Module) {
        self.names.take();
        let known = self.modules.entry(name).or_insert(module);
        if known.kind < module.kind {
            *known = module;
        }
    }

    /// The module of this name.
    #[must_use]
    pub fn get(&self, module: &str) -> Option<Module> {
        self.modules.get(module).copied()
    }

    /// Whether the module is there.
    #[must_use]
    pub fn has(&self, module: &str) -> bool {
        self.modules.contains_key(module)
    }

    /// Whether there is no module.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.modules.is_empty()
    }

    /// The names of the modules in a package; of the empty name those that are in no package. Those that cannot be
    /// written behind `import` are not among them.
    pub fn names_in(&self, package: &str) -> impl Iterator<Item = &str> {
        let names = self.names.get_or_init(|| {
            let mut names: HashMap<String, BTreeSet<String>> = HashMap::new();
            for module in self.modules.keys() {
                let (package, name) = module.rsplit_once('.').unwrap_or(("", module));
                if name.contains(['-', ' ']) {
                    continue;
                }
                names
                    .entry(package.to_owned())
                    .or_default()
                    .insert(name.to_owned());
            }
            names
        });
        names.get(package).into_iter().flatten().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_make_modules_packages_and_folders() {
        let mut tree = ModuleTree::default();
        for (number, path) in (1..).zip([
            "a/b/c.py",
            "a/__init__.py",
            "one.py",
            "fast.cpython-311-x86_64-linux-gnu.so",
            "x/fast.abi3.so",
            "x.py",
            "data/q.sql",
            "six-1.17.0.dist-info/x.py",
            "__init__.py",
            "README",
            "stub.pyi",
            "p/q/__init__.py",
            "a/my-skill/run.py",
        ]) {
            tree.add(path, number);
        }
        let kind = |module: &str| tree.get(module).map(|module| module.kind);
        for (module, wanted) in [
            ("a", Some(ModuleKind::Package)),
            ("a.b", Some(ModuleKind::Folder)),
            ("a.b.c", Some(ModuleKind::File)),
            ("one", Some(ModuleKind::File)),
            ("fast", Some(ModuleKind::File)),
            ("x.fast", Some(ModuleKind::File)),
            // Python takes the file where the folder has no `__init__.py`.
            ("x", Some(ModuleKind::File)),
            ("data", Some(ModuleKind::Folder)),
            ("data.q", None),
            ("six-1", None),
            ("six-1.17", None),
            ("a.my-skill", Some(ModuleKind::Folder)),
            ("a.my-skill.run", Some(ModuleKind::File)),
            ("stub", None),
            ("p", Some(ModuleKind::Folder)),
            ("p.q", Some(ModuleKind::Package)),
            ("", None),
        ] {
            assert_eq!(kind(module), wanted, "{module}");
        }
        assert_eq!(tree.get("a").unwrap().number, 2);
        assert_eq!(
            tree.names_in("").collect::<Vec<_>>(),
            ["a", "data", "fast", "one", "p", "x"]
        );
        assert_eq!(tree.names_in("a").collect::<Vec<_>>(), ["b"]);
        assert_eq!(tree.names_in("none").count(), 0);
    }
}
