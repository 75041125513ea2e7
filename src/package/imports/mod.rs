//! Decides where each import of a job leads: into the job itself, to its packages, to what its image stands on, or into
//! Python's standard library. What leads nowhere is a finding.
//!
//! A finding is made only where it is certain. Where something may have modules that nobody here knows (a Dockerfile
//! that installs, an image from elsewhere, a path that the program adds), what is not found may be there.

mod distributions;
mod resolve;
mod shadows;
#[cfg(test)]
mod tests;
mod tree;
mod words;

pub use distributions::{distribution_of, modules_of};
pub use tree::ModuleTree;
pub use words::{NotInJob, Told, Whereabouts};

use serde::{Deserialize, Serialize};

use crate::project::python_code::{Position, PythonCode};

/// A Python file of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobFile {
    /// Its path below what Python searches: `jobs/one.py`.
    pub path: String,
    /// Its path as messages show it: `src/jobs/one.py`.
    pub shown: String,
    /// Whether it is a file that is started, and no module of a package.
    pub is_main: bool,
}

/// Everything that decides where the imports of a job lead.
pub struct Job<'a> {
    /// Python's version in the image.
    pub python: (u8, u8),
    /// Its Python files with what each says.
    pub files: &'a [(JobFile, &'a PythonCode)],
    /// Its other files, by their paths below what Python searches: extension modules, and data in folders.
    pub data: &'a [&'a str],
    /// The modules of the packages that the image has, by their files.
    pub packages: &'a ModuleTree,
    /// Further modules that the image has: what is in these is not known.
    pub others: &'a [&'a str],
    /// Whether the image may have modules that nobody here knows.
    pub has_unknown: bool,
    /// Modules whose imports are not looked at, with all modules in them.
    pub ignored: &'a [String],
}

/// Something that is wrong with a file of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The file, as messages show it.
    pub file: String,
    /// Where in the file.
    pub at: Position,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Problem {
    /// The image's Python cannot read the file.
    Syntax {
        /// Why.
        message: String,
        /// What to write.
        hint: Option<String>,
    },
    /// Nothing has the module or a part of a package.
    Nowhere {
        /// Its full name.
        module: String,
        /// The first name, or that of a part of a package that several distributions share.
        missing: String,
        /// One that is there and has nearly this name.
        nearest: Option<String>,
    },
    /// A module of the job or of the standard library has no such module in it.
    NotInPackage {
        /// The package.
        package: String,
        /// What is not in it.
        name: String,
        /// One that is in it and has nearly this name.
        nearest: Option<String>,
        /// Whether it is a package of the standard library.
        is_library: bool,
    },
    /// A module of the job has neither a module nor anything else of this name.
    NoSuchName {
        /// The module.
        module: String,
        /// The name.
        name: String,
        /// One that is there and is nearly this.
        nearest: Option<String>,
        /// Whether the module is a folder without `__init__.py`.
        is_folder: bool,
    },
    /// A module is there in another case.
    OtherCase {
        /// As it is written.
        written: String,
        /// As it is.
        there: String,
    },
    /// What is taken for a package is a file.
    NotAPackage {
        /// The module.
        module: String,
        /// Its file.
        file: String,
        /// What would be in it.
        name: String,
    },
    /// The dots lead out of all packages.
    TooFar {
        /// The dots.
        level: u32,
        /// The package that the file is in.
        package: String,
    },
    /// There are dots in a file that is in no package.
    NoPackage {
        /// Whether it is one that is started.
        is_main: bool,
        /// What stands behind the dots.
        module: String,
    },
    /// A folder of the job has no `__init__.py`, and a package of the same name comes before it.
    Hidden {
        /// The module.
        module: String,
        /// The folder.
        folder: String,
        /// Whether the standard library has the other one.
        is_library: bool,
    },
    /// A package of the job hides those of distributions, which share its name.
    Hides {
        /// The module.
        module: String,
        /// The package's name.
        package: String,
    },
    /// The standard library of another Python has the module.
    OtherPython {
        /// The module.
        module: String,
        /// The first and the last minor version that have it.
        versions: (u8, u8),
        /// The image's.
        python: (u8, u8),
    },
    /// A module of the job has a name of the standard library, or of Spark.
    Shadows {
        /// The name.
        module: String,
        /// Whether it is one of Spark's.
        is_spark: bool,
    },
}

/// What was found in a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// What is wrong, by file and place.
    pub findings: Vec<Finding>,
    /// The first import that needs each part of the packages, by the part's number in the [`ModuleTree`].
    pub needs: Vec<PartNeed>,
}

/// The first import that needs a part of the packages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartNeed {
    /// The part.
    pub part: u32,
    /// The file, as messages show it.
    pub file: String,
    /// Where in the file.
    pub at: Position,
    /// The module.
    pub module: String,
}

/// Where the imports of a job lead.
#[must_use]
pub fn check(job: &Job<'_>) -> Imported {
    let mut imported = resolve::of(job);
    imported.findings.extend(shadows::of(job));
    imported
        .findings
        .sort_by(|one, other| (&one.file, one.at).cmp(&(&other.file, other.at)));
    imported
}

/// Whether one of these names is that of the module or of a package that it is in; `*` is all of them.
fn is_ignored(ignored: &[String], module: &str) -> bool {
    ignored.iter().any(|name| {
        let name = name.strip_suffix(".*").unwrap_or(name);
        let rest = module.strip_prefix(name);
        name == "*" || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}
