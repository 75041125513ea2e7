//! Follows every import.

use std::collections::{BTreeMap, HashSet};

use rayon::prelude::*;

use super::{
    Finding, Imported, Job, JobFile, PartNeed, Problem, is_ignored,
    tree::{Module, ModuleKind, ModuleTree},
};
use crate::project::{
    place::nearest,
    python_code::{
        Import, Need, Position, PythonCode, SearchPlace,
        standard_library::{self, InLibrary},
    },
};

/// Modules that every image has, whatever else is in it. What is in them is Spark's or Python's own matter.
const EVERYWHERE: [&str; 4] = ["pyspark", "py4j", "__main__", "main"];

/// The number of a file that is no Python text.
const NO_TEXT: u32 = u32::MAX;

pub(super) fn of(job: &Job<'_>) -> Imported {
    let follower = Follower::new(job);
    let of_files: Vec<(Vec<Finding>, BTreeMap<u32, PartNeed>)> = job
        .files
        .par_iter()
        .map(|(file, code)| follower.findings_and_needs(file, code))
        .collect();
    let mut imported = Imported::default();
    let mut needs: BTreeMap<u32, PartNeed> = BTreeMap::new();
    for (findings, of_file) in of_files {
        imported.findings.extend(findings);
        // The first file that needs a part is the one that is told.
        for (part, need) in of_file {
            needs.entry(part).or_insert(need);
        }
    }
    imported.needs = needs.into_values().collect();
    imported
}

/// Where an import leads.
enum Leads {
    /// To a module of the job.
    Own(Module),
    /// To a module of a package.
    Package(Module),
    /// To something of which nothing else is known.
    There,
    /// Nowhere.
    Wrong(Problem),
}

struct Follower<'a> {
    job: &'a Job<'a>,
    /// The job's own modules, by the numbers of their files.
    own: ModuleTree,
    /// The folders that the job adds to Python's path, as the beginnings of dotted names.
    roots: HashSet<String>,
    /// The names that some file gives to a module of others.
    given: HashSet<&'a str>,
    has_unknown: bool,
}

impl<'a> Follower<'a> {
    fn new(job: &'a Job<'a>) -> Self {
        let mut own = ModuleTree::default();
        for (number, (file, _)) in job.files.iter().enumerate() {
            own.add(&file.path, u32::try_from(number).unwrap_or(NO_TEXT));
        }
        for path in job.data {
            own.add(path, NO_TEXT);
        }
        let mut follower = Self {
            job,
            own,
            roots: HashSet::new(),
            given: HashSet::new(),
            has_unknown: job.has_unknown,
        };
        for (file, code) in job.files {
            follower.given.extend(code.given.iter().map(String::as_str));
            for place in &code.search {
                follower.search(file, place);
            }
        }
        follower
    }

    /// Looks where the job adds to Python's path.
    fn search(&mut self, file: &JobFile, place: &SearchPlace) {
        match place {
            SearchPlace::Anywhere => self.has_unknown = true,
            SearchPlace::NearFile => {
                let folders = file.path.match_indices('/');
                let folders = folders.map(|(end, _)| file.path[..end].replace('/', "."));
                self.roots.extend(folders);
            }
            SearchPlace::Path(path) => {
                let path = path.strip_prefix("/opt/job/").unwrap_or(path);
                let path = path.trim_start_matches("./").trim_end_matches('/');
                let is_archive = [".zip", ".egg", ".whl"]
                    .iter()
                    .any(|end| path.ends_with(end));
                let folder = path.replace('/', ".");
                if self.own.has(&folder) {
                    self.roots.insert(folder);
                } else if !is_archive && !matches!(path, "" | "." | "site-packages" | "jobs") {
                    self.has_unknown = true;
                }
            }
        }
    }

    fn findings_and_needs(
        &self,
        file: &JobFile,
        code: &PythonCode,
    ) -> (Vec<Finding>, BTreeMap<u32, PartNeed>) {
        let (mut findings, mut needs) = (Vec::new(), BTreeMap::new());
        if let Some(error) = &code.error {
            findings.push(Finding {
                file: file.shown.clone(),
                at: error.at,
                problem: Problem::Syntax {
                    message: error.message.clone(),
                    hint: error.hint.clone(),
                },
            });
        }
        self.file(file, code, &mut findings, &mut needs);
        (findings, needs)
    }

    fn file(
        &self,
        file: &JobFile,
        code: &PythonCode,
        findings: &mut Vec<Finding>,
        needs: &mut BTreeMap<u32, PartNeed>,
    ) {
        let mut told: HashSet<Position> = HashSet::new();
        for import in &code.imports {
            let leads = self.import(file, import);
            if let Leads::Package(module) = &leads {
                needs.entry(module.number).or_insert_with(|| PartNeed {
                    part: module.number,
                    file: file.shown.clone(),
                    at: import.at,
                    module: import.module.clone(),
                });
            }
            if !self.is_needed(file, code, import) {
                continue;
            }
            let mut tell = |at: Position, problem: Problem| {
                if told.insert(at) && !is_ignored(self.job.ignored, &subject(&problem)) {
                    findings.push(Finding {
                        file: file.shown.clone(),
                        at,
                        problem,
                    });
                }
            };
            let module = full_name(file, import);
            match leads {
                Leads::Wrong(problem) => tell(import.at, problem),
                Leads::There => {
                    for (at, name) in &import.names {
                        if let Some(problem) = self.hidden_name(&module, name) {
                            tell(*at, problem);
                        }
                    }
                }
                Leads::Own(found) => {
                    for (at, name) in &import.names {
                        if let Some(problem) = self.name_of_own(&module, found, name) {
                            tell(*at, problem);
                        }
                    }
                }
                Leads::Package(found) => {
                    for (at, name) in &import.names {
                        if let Some(problem) = self.name_of_package(&module, found, name) {
                            tell(*at, problem);
                        }
                    }
                }
            }
        }
    }

    /// Whether the program cannot do without what is imported.
    fn is_needed(&self, file: &JobFile, code: &PythonCode, import: &Import) -> bool {
        let is_needed = match import.need {
            Need::Needed => true,
            Need::Optional => false,
            Need::Unless(first, end) => {
                let tried = code.imports.get(first as usize..end as usize);
                let mut tried = tried.unwrap_or_default().iter();
                tried.any(|import| !self.is_there(file, import))
            }
        };
        // Who tries to import a package, and goes on without it, knows what it does elsewhere in the file.
        let top = top_of(&import.module);
        let is_tried = || {
            code.imports.iter().any(|other| {
                other.need == Need::Optional && other.level == 0 && top_of(&other.module) == top
            })
        };
        let is_own = || import.level > 0 || self.own.has(top);
        is_needed && (is_own() || import.need != Need::Needed || !is_tried())
    }

    fn is_there(&self, file: &JobFile, import: &Import) -> bool {
        let module = full_name(file, import);
        match self.import(file, import) {
            Leads::Wrong(_) => false,
            Leads::There => true,
            Leads::Own(found) => import
                .names
                .iter()
                .all(|(_, name)| self.name_of_own(&module, found, name).is_none()),
            Leads::Package(found) => import
                .names
                .iter()
                .all(|(_, name)| self.name_of_package(&module, found, name).is_none()),
        }
    }

    fn import(&self, file: &JobFile, import: &Import) -> Leads {
        if import.level == 0 {
            return self.absolute(&import.module);
        }
        let package = folder_of(&file.path);
        if file.is_main || package.is_empty() {
            return Leads::Wrong(Problem::NoPackage {
                is_main: file.is_main,
                module: import.module.clone(),
            });
        }
        let Some(base) = base_of(file, import.level) else {
            return Leads::Wrong(Problem::TooFar {
                level: import.level,
                package,
            });
        };
        let module = joined(&base, &import.module);
        match self.own.get(&module) {
            Some(found) => Leads::Own(found),
            None if self.job.packages.has(&module) => Leads::There,
            None => self
                .lacking_in_own(&module)
                .map_or(Leads::There, Leads::Wrong),
        }
    }

    fn absolute(&self, module: &str) -> Leads {
        let top = top_of(module);
        let (own, package) = (self.own.get(top), self.job.packages.get(top));
        if let Some(found) = self.own.get(module) {
            let is_folder = own.is_some_and(|own| own.kind == ModuleKind::Folder);
            if is_folder && let Some(leads) = self.before_folder(module, top) {
                return leads;
            }
            return Leads::Own(found);
        }
        if let Some(found) = self.job.packages.get(module) {
            if let Some(own) = own
                && own.kind == ModuleKind::Package
                && package.is_some_and(|package| package.kind == ModuleKind::Folder)
                && self.has_files_only(own)
            {
                return Leads::Wrong(Problem::Hides {
                    module: module.to_owned(),
                    package: top.to_owned(),
                });
            }
            return Leads::Package(found);
        }
        let in_library = standard_library::find(module, self.job.python);
        let is_known = in_library == InLibrary::Here
            || EVERYWHERE.contains(&top)
            || self
                .job
                .others
                .iter()
                .any(|other| is_in(module, other) || is_in(other, module))
            || self
                .roots
                .iter()
                .any(|root| self.own.has(&joined(root, module)));
        if is_known {
            return Leads::There;
        }
        let wrong = match own {
            Some(_) => self.lacking_in_own(module),
            None => self.lacking(module, package, in_library),
        };
        wrong.map_or(Leads::There, Leads::Wrong)
    }

    /// What comes before a folder of the job that has no `__init__.py`.
    fn before_folder(&self, module: &str, top: &str) -> Option<Leads> {
        let hidden = |is_library| {
            // The folder itself is not what is wanted from it.
            Some(Leads::Wrong(Problem::Hidden {
                module: module.to_owned(),
                folder: top.to_owned(),
                is_library,
            }))
        };
        if self
            .roots
            .iter()
            .any(|root| self.own.has(&joined(root, module)))
        {
            return None;
        }
        if let Some(package) = self
            .job
            .packages
            .get(top)
            .filter(|of| of.kind != ModuleKind::Folder)
        {
            let is_known = package.kind == ModuleKind::File || !self.has_unknown;
            return match self.job.packages.get(module) {
                Some(found) => Some(Leads::Package(found)),
                None if is_known => hidden(false),
                None => Some(Leads::There),
            };
        }
        if self.job.others.contains(&top) || EVERYWHERE.contains(&top) {
            return Some(Leads::There);
        }
        match standard_library::find(module, self.job.python) {
            InLibrary::Here => Some(Leads::There),
            InLibrary::Lacking => hidden(true),
            InLibrary::Elsewhere(..) | InLibrary::Unknown => {
                let in_library = standard_library::find(top, self.job.python);
                (in_library == InLibrary::Here).then(|| hidden(true))?
            }
        }
    }

    /// What is wrong with a module whose first name the job has; nothing if that cannot be told.
    fn lacking_in_own(&self, module: &str) -> Option<Problem> {
        let (mut package, mut found) = ("", None);
        for (end, _) in module.match_indices('.').chain([(module.len(), "")]) {
            match self.own.get(&module[..end]) {
                Some(there) => (package, found) = (&module[..end], Some(there)),
                None => break,
            }
        }
        let rest = module[package.len()..].trim_start_matches('.');
        let name = rest.split('.').next().unwrap_or(rest);
        let found = found?;
        match found.kind {
            ModuleKind::File | ModuleKind::Package if !self.has_files_only(found) => None,
            ModuleKind::File => Some(Problem::NotAPackage {
                module: package.to_owned(),
                file: self.shown(found),
                name: name.to_owned(),
            }),
            ModuleKind::Folder if self.job.packages.has(package) || self.is_other(package) => None,
            ModuleKind::Package | ModuleKind::Folder => Some(not_in(package, name, &self.own)),
        }
    }

    /// Whether a module of the job has no modules in it but files.
    fn has_files_only(&self, module: Module) -> bool {
        let code = self.code_of(module);
        code.is_some_and(|code| code.error.is_none() && !code.has_hidden_modules)
    }

    fn is_other(&self, package: &str) -> bool {
        self.job.others.iter().any(|other| is_in(other, package))
    }

    /// What is wrong with a module that the job does not have; nothing if it may be there all the same.
    fn lacking(
        &self,
        module: &str,
        package: Option<Module>,
        in_library: InLibrary,
    ) -> Option<Problem> {
        let top = top_of(module);
        match in_library {
            InLibrary::Lacking => {
                let (package, name) = module.rsplit_once('.').unwrap_or(("", module));
                return Some(Problem::NotInPackage {
                    package: package.to_owned(),
                    name: name.to_owned(),
                    nearest: None,
                    is_library: true,
                });
            }
            InLibrary::Elsewhere(first, last) if !self.has_unknown && package.is_none() => {
                // setuptools brings its own `distutils`.
                let has_setuptools = self.job.packages.has("setuptools");
                return (top != "distutils" || !has_setuptools).then(|| Problem::OtherPython {
                    module: module.to_owned(),
                    versions: (first, last),
                    python: self.job.python,
                });
            }
            InLibrary::Here | InLibrary::Elsewhere(..) | InLibrary::Unknown => {}
        }
        let is_new = self.job.python.1 >= *standard_library::KNOWN.end() && top.starts_with('_');
        if self.has_unknown || is_new {
            return None;
        }
        let missing = match package {
            None => top.to_owned(),
            Some(_) => self.missing_part(module)?,
        };
        let other_case = |tree: &ModuleTree| {
            let mut names = tree.names_in("");
            let there = names.find(|there| there.eq_ignore_ascii_case(&missing))?;
            Some(Problem::OtherCase {
                written: missing.clone(),
                there: there.to_owned(),
            })
        };
        if let Some(problem) = other_case(&self.own).or_else(|| other_case(self.job.packages)) {
            return Some(problem);
        }
        let mut names: Vec<&str> = self.own.names_in("").collect();
        names.extend(self.job.packages.names_in(""));
        names.extend(self.job.others);
        standard_library::top_level(self.job.python).for_each(|name| names.push(name));
        Some(Problem::Nowhere {
            module: module.to_owned(),
            nearest: near(
                &missing,
                names.into_iter().filter(|name| !name.starts_with('_')),
            ),
            missing,
        })
    }

    /// What is missing of a module whose first name is a folder that distributions share; nothing if it is a package, which
    /// may have more than its files say.
    fn missing_part(&self, module: &str) -> Option<String> {
        let mut ends = module
            .match_indices('.')
            .map(|(end, _)| end)
            .chain([module.len()]);
        let end = ends.find(|end| match self.job.packages.get(&module[..*end]) {
            Some(there) => there.kind != ModuleKind::Folder,
            None => true,
        })?;
        (!self.job.packages.has(&module[..end])).then(|| module[..end].to_owned())
    }

    /// What is wrong with a name that is taken from a module of the job.
    fn name_of_own(&self, module: &str, found: Module, name: &str) -> Option<Problem> {
        let full = joined(module, name);
        let is_dunder = name.starts_with("__") && name.ends_with("__");
        let is_given = || self.given.contains(name);
        if is_dunder
            || is_given()
            || self.own.has(&full)
            || self.job.packages.has(&full)
            || self.is_other(module)
        {
            return None;
        }
        if found.kind == ModuleKind::Folder {
            if self.job.packages.has(module) {
                return None;
            }
            return Some(match not_in(module, name, &self.own) {
                Problem::NotInPackage { nearest, .. } => Problem::NoSuchName {
                    module: module.to_owned(),
                    name: name.to_owned(),
                    nearest,
                    is_folder: true,
                },
                other => other,
            });
        }
        let names = self.code_of(found)?.names.as_ref()?;
        if names
            .binary_search_by(|there| there.as_str().cmp(name))
            .is_ok()
        {
            return None;
        }
        let children = self.own.names_in(module);
        let mut all = names.iter().map(String::as_str).chain(children);
        Some(
            match all.find(|there| {
                there.eq_ignore_ascii_case(name) && self.own.has(&joined(module, there))
            }) {
                Some(there) => Problem::OtherCase {
                    written: full,
                    there: joined(module, there),
                },
                None => Problem::NoSuchName {
                    module: module.to_owned(),
                    name: name.to_owned(),
                    nearest: near(
                        name,
                        names
                            .iter()
                            .map(String::as_str)
                            .chain(self.own.names_in(module)),
                    ),
                    is_folder: false,
                },
            },
        )
    }

    /// What is wrong with a name that is taken from a module of a package: only a folder that distributions share has
    /// nothing but what its files say.
    fn name_of_package(&self, module: &str, found: Module, name: &str) -> Option<Problem> {
        if found.kind != ModuleKind::Folder {
            return self.hidden_name(module, name);
        }
        let full = joined(module, name);
        let is_there = self.has_unknown
            || name.starts_with("__")
            || self.job.packages.has(&full)
            || self.own.has(&full)
            || self
                .job
                .others
                .iter()
                .any(|other| is_in(other, &full) || is_in(&full, other));
        (!is_there).then(|| Problem::Nowhere {
            module: full.clone(),
            nearest: near(name, self.job.packages.names_in(module))
                .map(|name| joined(module, &name)),
            missing: full,
        })
    }

    /// What is wrong with a module that is taken from a package, where it lies in a folder of the job which the package
    /// hides.
    fn hidden_name(&self, module: &str, name: &str) -> Option<Problem> {
        let (full, top) = (joined(module, name), top_of(module));
        let folder = self
            .own
            .get(top)
            .filter(|own| own.kind == ModuleKind::Folder);
        folder.filter(|_| self.own.has(&full))?;
        match self.before_folder(&full, top) {
            Some(Leads::Wrong(problem)) => Some(problem),
            _ => None,
        }
    }

    fn code_of(&self, module: Module) -> Option<&'a PythonCode> {
        self.job
            .files
            .get(module.number as usize)
            .map(|(_, code)| *code)
    }

    fn shown(&self, module: Module) -> String {
        let file = self.job.files.get(module.number as usize);
        file.map_or_else(String::new, |(file, _)| file.shown.clone())
    }
}

/// The problem that a package has no module of this name.
fn not_in(package: &str, name: &str, tree: &ModuleTree) -> Problem {
    let other_case = tree
        .names_in(package)
        .find(|there| there.eq_ignore_ascii_case(name));
    if let Some(there) = other_case {
        return Problem::OtherCase {
            written: joined(package, name),
            there: joined(package, there),
        };
    }
    Problem::NotInPackage {
        package: package.to_owned(),
        name: name.to_owned(),
        nearest: near(name, tree.names_in(package)),
        is_library: false,
    }
}

/// The name that was most likely meant, if it is very near: nobody is helped by a guess.
fn near<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> Option<String> {
    let close = names.filter(|there| there.len().abs_diff(name.len()) <= 2 && *there != name);
    let found = nearest(name, close)?;
    let most = if name.len() < 6 { 1 } else { 2 };
    let is_near = name.len() > 2 && strsim::damerau_levenshtein(found, name) <= most;
    is_near.then(|| found.to_owned())
}

/// The module that a problem is about.
fn subject(problem: &Problem) -> String {
    match problem {
        Problem::Nowhere { module, .. }
        | Problem::Hidden { module, .. }
        | Problem::Hides { module, .. }
        | Problem::OtherPython { module, .. }
        | Problem::Shadows { module, .. }
        | Problem::NoPackage { module, .. } => module.clone(),
        Problem::NotInPackage { package, name, .. } => joined(package, name),
        Problem::NoSuchName { module, name, .. } | Problem::NotAPackage { module, name, .. } => {
            joined(module, name)
        }
        Problem::OtherCase { written, .. } => written.clone(),
        Problem::TooFar { package, .. } => package.clone(),
        Problem::Syntax { .. } => String::new(),
    }
}

fn joined(package: &str, name: &str) -> String {
    match (package, name) {
        ("", name) => name.to_owned(),
        (package, "") => package.to_owned(),
        (package, name) => format!("{package}.{name}"),
    }
}

fn top_of(module: &str) -> &str {
    module.split('.').next().unwrap_or(module)
}

/// Whether the module is `package`, or in it.
fn is_in(module: &str, package: &str) -> bool {
    let rest = module.strip_prefix(package);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The full name of an import's module; what dots stand for that lead too far is left out.
fn full_name(file: &JobFile, import: &Import) -> String {
    let base = base_of(file, import.level).unwrap_or_default();
    joined(&base, &import.module)
}

/// The package that a file is in.
fn folder_of(path: &str) -> String {
    path.rsplit_once('/')
        .map_or_else(String::new, |(folder, _)| folder.replace('/', "."))
}

/// The package that so many dots stand for in a file; nothing if there is none.
fn base_of(file: &JobFile, level: u32) -> Option<String> {
    if level == 0 {
        return Some(String::new());
    }
    let package = folder_of(&file.path);
    let mut base = package.as_str();
    for _ in 1..level {
        base = base.rsplit_once('.')?.0;
    }
    (!base.is_empty()).then(|| base.to_owned())
}
