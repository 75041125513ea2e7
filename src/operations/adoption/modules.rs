//! The Python files of a project: what each imports, which of them are started, and which folders are roots of import.

use std::collections::{BTreeMap, BTreeSet};

use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};

use super::tree::{ProjectTree, folder_of, is_aside, is_kind, joined, name_of};
use crate::project::{
    ignore::DefaultExcludes,
    place::Place,
    python_code::{self, Form, PythonCode, standard_library},
    tree::folders_above,
};

/// How many Python files are read.
const FILES: usize = 20_000;

/// The Python whose grammar files are read with; its standard library is nobody's own code.
const PYTHON: (u8, u8) = (3, 13);

/// A Python file.
#[derive(Debug)]
pub(super) struct FoundModule {
    pub(super) code: PythonCode,
    /// The line of `if __name__ == "__main__":`.
    pub(super) guard: Option<usize>,
    /// The line at its top that begins a Spark session.
    pub(super) session: Option<usize>,
    /// The texts in it that may be names of files.
    pub(super) texts: BTreeSet<String>,
}

/// The Python files of a project, by their paths.
#[derive(Debug, Default)]
pub(super) struct Modules {
    pub(super) found: BTreeMap<String, FoundModule>,
    /// All Python files, and the folders that they lie in.
    files: BTreeSet<String>,
    folders: BTreeSet<String>,
    /// The folders in which something of each name lies.
    by_name: BTreeMap<String, BTreeSet<String>>,
    /// Where the imports of each file lead: tops, with files.
    edges: BTreeMap<String, Vec<(TopModule, Vec<String>)>>,
    /// Whether there are more files than are read.
    pub(super) is_cut: bool,
}

/// A package or a module at the top of a root of import.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TopModule {
    /// The root of import.
    pub(super) root: String,
    /// Its name.
    pub(super) name: String,
}

impl Modules {
    pub(super) fn of(tree: &ProjectTree) -> std::io::Result<Self> {
        let excludes = DefaultExcludes::of_job_sources();
        let is_own = |path: &&str| {
            is_kind(path, "py") && !is_aside(path) && excludes.excluded(path, false).is_none()
        };
        let mut paths: Vec<&str> = tree.files().filter(is_own).collect();
        let is_cut = paths.len() > FILES;
        paths.truncate(FILES);
        let read = |path: &&str| Some(((*path).to_owned(), FoundModule::of(&tree.bytes(path)?)));
        let pool = rayon::ThreadPoolBuilder::new().stack_size(python_code::STACK);
        let pool = pool.build().map_err(std::io::Error::other)?;
        let found: BTreeMap<String, FoundModule> =
            pool.install(|| paths.par_iter().filter_map(read).collect());
        let files: BTreeSet<String> = found.keys().cloned().collect();
        let mut folders = BTreeSet::new();
        for file in &files {
            folders.extend(folders_above(file).map(str::to_owned));
        }
        let mut by_name: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for path in folders.iter().chain(&files) {
            let name = name_of(path).trim_end_matches(".py").to_owned();
            by_name
                .entry(name)
                .or_default()
                .insert(folder_of(path).to_owned());
        }
        let mut modules = Self {
            found,
            files,
            folders,
            by_name,
            is_cut,
            edges: BTreeMap::new(),
        };
        let edges = modules
            .found
            .keys()
            .map(|path| (path.clone(), modules.led_from(path)));
        modules.edges = edges.collect();
        Ok(modules)
    }

    /// Whether a folder is a package with `__init__.py`.
    pub(super) fn is_package(&self, folder: &str) -> bool {
        self.files.contains(&joined(folder, "__init__.py"))
    }

    /// The folder that a file's outermost package lies in, and the package; the file itself where it is in none.
    pub(super) fn top_of(&self, file: &str) -> TopModule {
        let mut folder = folder_of(file);
        let mut top = file;
        while folder != "." && self.is_package(folder) {
            top = folder;
            folder = folder_of(folder);
        }
        TopModule {
            root: folder.to_owned(),
            name: name_of(top).trim_end_matches(".py").to_owned(),
        }
    }

    /// The file or folder of a module below a root of import, as far as its name leads: how many parts are there.
    fn leads(&self, root: &str, module: &str) -> (usize, Option<String>) {
        let mut at = root.to_owned();
        let mut parts = 0;
        let mut file = None;
        for part in module.split('.') {
            at = joined(&at, part);
            let module_file = format!("{at}.py");
            if self.folders.contains(&at) {
                parts += 1;
                file = Some(joined(&at, "__init__.py")).filter(|init| self.files.contains(init));
            } else if self.files.contains(&module_file) {
                return (parts + 1, Some(module_file));
            } else {
                break;
            }
        }
        (parts, file)
    }

    /// The roots of import that may have a module of this name at their top.
    fn roots_of(&self, name: &str) -> Vec<String> {
        let all = self.by_name.get(name).into_iter().flatten();
        let outside = all.filter(|root| *root == "." || !self.is_package(root));
        outside.cloned().collect()
    }

    /// Where an import of a file leads in the project: its top, and the file if it is one.
    fn led(&self, from: &str, module: &str, names: &[&str]) -> Option<(TopModule, Vec<String>)> {
        let top = module.split('.').next().unwrap_or(module);
        let is_library = standard_library::top_level(PYTHON).any(|known| known == top);
        if is_library || top.is_empty() || python_spark(top) {
            return None;
        }
        let wanted = module.split('.').count();
        let own = folder_of(from);
        let best = self.roots_of(top).into_iter().filter_map(|root| {
            let (parts, file) = self.leads(&root, module);
            let submodules: Vec<String> = names
                .iter()
                .filter_map(|name| {
                    let (all, file) = self.leads(&root, &format!("{module}.{name}"));
                    file.filter(|_| all > wanted)
                })
                .collect();
            // A folder that only has the name of a package from elsewhere leads nowhere.
            let is_there =
                file.is_some() || !submodules.is_empty() || parts == wanted && names.is_empty();
            let is_above = own == root || root == "." || own.starts_with(&format!("{root}/"));
            let is_usual = ["src", ".", "python", "lib"].contains(&root.as_str());
            let rank = (
                parts + submodules.len(),
                is_above,
                is_usual,
                std::cmp::Reverse(root.len()),
            );
            let files: Vec<String> = file.into_iter().chain(submodules).collect();
            is_there.then_some((rank, root, files))
        });
        let (_, root, files) = best.max_by(|one, other| one.0.cmp(&other.0))?;
        let top = TopModule {
            root,
            name: top.to_owned(),
        };
        Some((top, files))
    }

    /// What the code of a file imports of the project: tops with the files that the imports lead to.
    fn led_from(&self, path: &str) -> Vec<(TopModule, Vec<String>)> {
        let Some(module) = self.found.get(path) else {
            return Vec::new();
        };
        let mut led = Vec::new();
        for import in &module.code.imports {
            let names: Vec<&str> = match import.form {
                Form::From => import.names.iter().map(|(_, name)| name.as_str()).collect(),
                _ => Vec::new(),
            };
            if import.level > 0 {
                led.push(self.relative(path, import.level, &import.module, &names));
            } else {
                led.extend(self.led(path, &import.module, &names));
            }
        }
        led
    }

    /// A relative import stays in the file's own package.
    fn relative(
        &self,
        path: &str,
        level: u32,
        module: &str,
        names: &[&str],
    ) -> (TopModule, Vec<String>) {
        let mut folder = folder_of(path);
        for _ in 1..level {
            folder = folder_of(folder);
        }
        let mut files = Vec::new();
        for name in names.iter().copied().chain([""]) {
            let dotted = [module, name].map(|part| part.trim_matches('.')).join(".");
            let dotted = dotted.trim_matches('.');
            if !dotted.is_empty() {
                files.extend(self.leads(folder, dotted).1);
            }
        }
        (self.top_of(path), files)
    }

    /// All files that a file leads to, itself among them, and the tops that they are imported from.
    pub(super) fn reached(&self, from: &str) -> (BTreeSet<String>, BTreeSet<TopModule>) {
        let mut files: BTreeSet<String> = BTreeSet::new();
        let mut tops = BTreeSet::new();
        let mut queue = vec![from.to_owned()];
        while let Some(file) = queue.pop() {
            if !files.insert(file.clone()) {
                continue;
            }
            for (top, led) in self.edges.get(&file).into_iter().flatten() {
                tops.insert(top.clone());
                queue.extend(led.iter().cloned());
            }
        }
        (files, tops)
    }

    /// The files that another one imports.
    pub(super) fn imported(&self) -> BTreeSet<&str> {
        let edges = self.edges.iter();
        let led = edges
            .flat_map(|(from, led)| led.iter().flat_map(|(_, to)| to).map(move |to| (from, to)));
        led.filter(|(from, to)| from != to)
            .map(|(_, to)| to.as_str())
            .collect()
    }

    /// The files that lead to Spark.
    pub(super) fn leading_to_spark(&self) -> BTreeSet<&str> {
        let mut from: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (file, led) in &self.edges {
            for to in led.iter().flat_map(|(_, to)| to) {
                from.entry(to).or_default().push(file);
            }
        }
        let mut queue: Vec<&str> = self.found.keys().map(String::as_str).collect();
        queue.retain(|file| self.names_spark(file));
        let mut leading = BTreeSet::new();
        while let Some(file) = queue.pop() {
            if leading.insert(file) {
                queue.extend(from.get(file).into_iter().flatten());
            }
        }
        leading
    }

    /// Whether there is code in a folder.
    pub(super) fn has_code_in(&self, folder: &str) -> bool {
        self.folders.contains(folder)
    }

    /// Whether a file imports PySpark or anything of Spark's.
    pub(super) fn names_spark(&self, path: &str) -> bool {
        self.found.get(path).is_some_and(|module| {
            let mut imports = module.code.imports.iter();
            imports.any(|import| {
                let top = import.module.split('.').next().unwrap_or_default();
                import.level == 0 && python_spark(top)
            })
        })
    }

    /// Whether a file, or one that it leads to, imports a module.
    pub(super) fn imports_any(&self, files: &BTreeSet<String>, wanted: &[&str]) -> bool {
        let codes = files.iter().filter_map(|path| self.found.get(path));
        let mut imports = codes.flat_map(|module| &module.code.imports);
        imports.any(|import| {
            let is_in = |name: &&str| {
                let rest = import.module.strip_prefix(*name);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            import.level == 0 && wanted.iter().any(is_in)
        })
    }

    /// The files that Python cannot read, each with the place.
    pub(super) fn unreadable(&self) -> impl Iterator<Item = (Place, &str)> {
        self.found.iter().filter_map(|(path, module)| {
            let error = module.code.error.as_ref()?;
            let place = Place::of_line(path, error.at.0 as usize);
            Some((place, error.hint.as_deref().unwrap_or(&error.message)))
        })
    }
}

/// Whether a module is Spark's own.
fn python_spark(top: &str) -> bool {
    ["pyspark", "py4j"].contains(&top)
}

impl FoundModule {
    fn of(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let line_of = |is_wanted: &dyn Fn(&str) -> bool| {
            let at = text.lines().position(is_wanted);
            at.map(|index| index + 1)
        };
        let guard = line_of(&|line| line.starts_with("if __name__") && line.contains("__main__"));
        let begins = ["SparkSession", "SparkContext(", "SparkConf("];
        let session = line_of(&|line| {
            let is_top = line.starts_with(|first: char| first.is_ascii_alphabetic());
            let is_import = line.starts_with("from ") || line.starts_with("import ");
            let is_definition = line.starts_with("def ") || line.starts_with("class ");
            is_top && !is_import && !is_definition && begins.iter().any(|word| line.contains(word))
        });
        Self {
            code: python_code::read(bytes, PYTHON),
            guard,
            session,
            texts: file_names(&text),
        }
    }
}

/// The quoted texts of a file that may be paths or names of files and folders.
fn file_names(text: &str) -> BTreeSet<String> {
    const LONGEST: usize = 120;
    let is_part = |of: char| of.is_ascii_alphanumeric() || "._-/".contains(of);
    let pieces = text.split(['"', '\'']);
    let names = pieces
        .filter(|piece| !piece.is_empty() && piece.len() <= LONGEST && piece.chars().all(is_part));
    names.map(str::to_owned).collect()
}
