//! Python requirements: the files that people write, what they mean, and the lock beside them.
//!
//! Defects: E040 unreadable, E041 not a package name (editable, URL, path), E042 a password in an index's URL, E043 an
//! option that a lock cannot honour, E044 an included file that is missing or outside the project, E045 files that
//! include each other, E046 two versions of one package, E047 malformed, E048 a wrong `--hash`, E049 a broken lock, E160 a
//! file of another kind, E161 a lock of another tool that no longer fits its project, E162 a file of another tool that
//! cannot be read, E163 an extra or group that is not there, E164 no dependencies declared.

mod compiled;
mod content_hash;
mod direct;
mod file_place;
mod foreign;
mod found;
mod from_source;
mod graph;
mod kind;
mod load;
mod lock;
mod marker;
mod origins;
mod parse;
mod pieces;
mod pipfile;
mod poetry;
mod poetry_lock;
mod project_indexes;
mod pylock;
mod pyproject;
mod read;
mod tree;
mod uv_lock;
mod variables;
mod versions;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
};

pub use file_place::{DirectFile, FilePlace, GitPlace};
pub use from_source::BuiltFrom;
pub use lock::{Lock, LockedWheel, ResolveRequest, lock_file_beside};
pub use origins::{PackageIndex, PackageOrigins, is_same_index};
pub use pieces::{file_name_of, masked};
pub use read::same_version;
pub use variables::{expand, variables};

use super::place::{Defect, Place};
use crate::image::Digest;

/// The packages that Spark's own image contains. A second copy would shadow the one that fits Spark's jars.
pub const SPARKS_OWN: [&str; 2] = ["pyspark", "py4j"];

/// What an image's requirements are read from: a file, and what is chosen in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequirementsFile {
    /// The file, relative to the project's folder.
    pub path: String,
    /// The extras that are wanted besides what the file always requires.
    pub extras: Vec<Choice>,
    /// The groups that are wanted.
    pub groups: Vec<Choice>,
    /// The packages that may be built from their source where there is no wheel.
    pub from_source: Vec<Choice>,
    /// Whether the wheels that are built so are kept in the project.
    pub keeps_wheels: bool,
}

/// An extra, a group or a package that `sparkpack.toml` chooses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// As it is written.
    pub name: String,
    /// Where it is written.
    pub place: Place,
}

impl RequirementsFile {
    /// A file with no extra and no group.
    #[must_use]
    pub fn of(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            extras: Vec::new(),
            groups: Vec::new(),
            from_source: Vec::new(),
            keeps_wheels: false,
        }
    }

    /// The file of the lock: that of a list of requirements has its name, that of another tool's file is
    /// `requirements.lock`, with the extras and groups in its name.
    #[must_use]
    pub fn lock_file(&self) -> PathBuf {
        let path = Path::new(&self.path);
        if kind::of_name(path) == Ok(kind::FileKind::Lines) {
            return lock_file_beside(path);
        }
        let chosen = self.extras.iter().chain(&self.groups);
        let names: BTreeSet<String> = chosen
            .map(|chosen| super::wheel::normalise(&chosen.name))
            .collect();
        let mut name = "requirements".to_owned();
        for chosen in names {
            name.push('-');
            name.push_str(&chosen);
        }
        path.with_file_name(name + ".lock")
    }
}

/// The Pythons that a project is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PythonRange {
    /// As it is written.
    pub text: String,
    /// The ranges of which a version may be in one, each as conditions such as `>=3.9`.
    alternatives: Vec<Vec<String>>,
    /// Where it is written.
    pub place: Place,
}

impl PythonRange {
    /// Whether some release of this Python is in it.
    #[must_use]
    pub fn allows(&self, python: (u8, u8)) -> bool {
        let mut alternatives = self.alternatives.iter();
        alternatives.any(|conditions| versions::allows_python(python, conditions))
    }
}

/// The requirements of an image: a file with all files that it includes, or one of another tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirements {
    /// The file, relative to the project's folder.
    pub file: PathBuf,
    /// The file of the lock.
    pub lock_file: PathBuf,
    /// The file and all files that it includes, in the order of reading.
    pub files: Vec<PathBuf>,
    /// The required packages, in the order of the lines.
    pub wanted: Vec<Requirement>,
    /// Constraints: they limit versions, but require nothing.
    pub constraints: Vec<Requirement>,
    /// Where the packages come from, as the file says it; never with a password.
    pub origins: PackageOrigins,
    /// The Pythons that the file says it is for.
    pub python: Option<PythonRange>,
    /// Whether another tool has chosen every version: nothing is required but what is wanted.
    pub is_complete: bool,
    /// The wanted packages that nobody asked for: they are listed because others bring them.
    pub along: BTreeSet<String>,
    /// The packages that may be built from their source, by their normalised names.
    pub from_source: BTreeSet<String>,
    /// Whether the wheels that are built so are kept in the project.
    pub keeps_wheels: bool,
}

/// One line that names a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The normalised name.
    pub name: String,
    /// Normalised and sorted.
    pub extras: Vec<String>,
    /// `==1.0` and the like, sorted.
    pub specifiers: Vec<String>,
    /// The environment marker after the `;`, in one notation.
    pub marker: Option<String>,
    /// The digests that its wheel may have; an empty list allows any.
    pub hashes: Vec<Digest>,
    /// The name of the only index that it may come from.
    pub index: Option<String>,
    /// The place of its wheel or its source, if it comes from no index.
    pub direct: Option<FilePlace>,
    /// Where the name stands.
    pub place: Place,
}

/// A package at one version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pin {
    /// The normalised name.
    pub name: String,
    /// The version, as it is written.
    pub version: String,
}

impl Pin {
    /// A pin of `name`, which need not be normalised.
    #[must_use]
    pub fn new(name: &str, version: &str) -> Self {
        Self {
            name: super::wheel::normalise(name),
            version: version.to_owned(),
        }
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}=={}", self.name, self.version)
    }
}

impl Requirements {
    /// Reads `file`, a path relative to the project's folder `root`, and what it includes.
    ///
    /// # Errors
    /// Everything that is wrong in the files.
    pub fn read(root: &Path, file: &Path) -> Result<Self, Vec<Defect>> {
        Self::choose(root, &RequirementsFile::of(file.to_string_lossy()))
    }

    /// The same, with what is chosen in the file.
    ///
    /// # Errors
    /// Everything that is wrong in the files.
    pub fn choose(root: &Path, file: &RequirementsFile) -> Result<Self, Vec<Defect>> {
        match kind::of_name(Path::new(&file.path)) {
            Ok(kind::FileKind::Lines) => read::read(root, file),
            Ok(kind) => foreign::read(root, file, kind),
            Err(wrong) => Err(vec![wrong.defect(Path::new(&file.path))]),
        }
    }

    /// Nothing of a file yet.
    fn empty(file: &RequirementsFile) -> Self {
        Self {
            file: PathBuf::from(&file.path),
            lock_file: file.lock_file(),
            files: Vec::new(),
            wanted: Vec::new(),
            constraints: Vec::new(),
            origins: PackageOrigins::default(),
            python: None,
            is_complete: false,
            along: BTreeSet::new(),
            from_source: file
                .from_source
                .iter()
                .map(|allowed| super::wheel::normalise(&allowed.name))
                .collect(),
            keeps_wheels: file.keeps_wheels,
        }
    }

    /// Reads the text of a built-in file, which includes no other.
    ///
    /// # Errors
    /// Everything that is wrong in it.
    pub fn of_text(file: &Path, text: &str) -> Result<Self, Vec<Defect>> {
        read::read_text(file, text)
    }

    /// Looks for the file of a requirement that names its place; what is wrong with it is a defect.
    fn look_for_file(
        &mut self,
        root: &Path,
        file: &Path,
        requirement: &mut Requirement,
        defects: &mut Vec<Defect>,
    ) {
        let found = from_source::refuse_unless_allowed(requirement, &self.from_source)
            .and_then(|()| direct::look(root, file, requirement));
        match found {
            Ok(found) => {
                self.files
                    .extend(found.filter(|found| !self.files.contains(found)));
                let Some(place) = requirement.direct.clone() else {
                    return;
                };
                self.origins.direct.push(DirectFile {
                    file_name: place.file_name(),
                    hashes: requirement.hashes.clone(),
                    place,
                    written: requirement.place.clone(),
                });
            }
            Err(wrong) => {
                let defect = Defect::new(wrong.code, requirement.place.clone(), wrong.message);
                defects.push(defect.hint(wrong.hint));
            }
        }
    }

    /// The names of the wanted packages, normalised, with their lines.
    pub fn names(&self) -> impl Iterator<Item = (&str, &Place)> {
        self.wanted
            .iter()
            .map(|wanted| (wanted.name.as_str(), &wanted.place))
    }

    /// The first line that names a package.
    #[must_use]
    pub fn place_of(&self, name: &str) -> Option<&Place> {
        self.names()
            .find_map(|(known, place)| (known == name).then_some(place))
    }

    /// The wanted packages that somebody asked for, by their normalised names: each with the first line that names it.
    #[must_use]
    pub fn asked_for(&self) -> BTreeMap<&str, &Requirement> {
        let mut asked = BTreeMap::new();
        for wanted in &self.wanted {
            if !self.along.contains(&wanted.name) {
                asked.entry(wanted.name.as_str()).or_insert(wanted);
            }
        }
        asked
    }

    /// The wanted packages in the notation of pip and uv, without hashes: sorted, each line once.
    #[must_use]
    pub fn wanted_lines(&self) -> Vec<String> {
        lines(&self.wanted)
    }

    /// The constraints in the notation of pip and uv: sorted, each line once.
    #[must_use]
    pub fn constraint_lines(&self) -> Vec<String> {
        lines(&self.constraints)
    }

    /// The digest of what the files mean, given the packages that the parent image already has.
    ///
    /// Comments, line ends, the order of lines and the split into files do not change it.
    #[must_use]
    pub fn digest(&self, provided: &[Pin]) -> Digest {
        let mut rows = BTreeSet::new();
        let mut add = |kind: &str, requirements: &[Requirement]| {
            for requirement in requirements {
                let mut hashes: Vec<&str> = requirement.hashes.iter().map(Digest::as_str).collect();
                hashes.sort_unstable();
                let from = requirement.index.as_ref();
                let from = from.map_or_else(String::new, |index| format!(" from {index}"));
                rows.insert(format!("{kind} {requirement} {}{from}", hashes.join(" ")));
            }
        };
        add("wanted", &self.wanted);
        add("constraint", &self.constraints);
        rows.extend(self.origins.rows());
        rows.extend(self.is_complete.then(|| "complete".to_owned()));
        let allowed = self.from_source.iter();
        rows.extend(allowed.map(|name| format!("from source {name}")));
        rows.extend(self.keeps_wheels.then(|| "keeps wheels".to_owned()));
        rows.extend(provided.iter().map(|pin| format!("provided {pin}")));
        let lines: Vec<String> = rows.into_iter().collect();
        Digest::of(format!("requirements 1\n{}\n", lines.join("\n")).as_bytes())
    }
}

fn lines(requirements: &[Requirement]) -> Vec<String> {
    let lines: BTreeSet<String> = requirements.iter().map(ToString::to_string).collect();
    lines.into_iter().collect()
}

impl Requirement {
    /// The version that it pins by `==`, if any.
    #[must_use]
    pub fn pinned(&self) -> Option<&str> {
        let exact = |specifier: &str| {
            specifier
                .starts_with("==")
                .then(|| specifier.trim_start_matches('=').len())
        };
        self.specifiers.iter().find_map(|specifier| {
            let version = &specifier[specifier.len() - exact(specifier)?..];
            (!version.ends_with('*')).then_some(version)
        })
    }

    /// Whether it allows a version.
    #[must_use]
    pub fn allows(&self, version: &str) -> bool {
        versions::meets(version, &self.specifiers)
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)?;
        if !self.extras.is_empty() {
            write!(formatter, "[{}]", self.extras.join(","))?;
        }
        formatter.write_str(&self.specifiers.join(","))?;
        self.marker
            .iter()
            .try_for_each(|marker| write!(formatter, " ; {marker}"))
    }
}
