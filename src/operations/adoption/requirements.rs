//! What a project says of the packages that it needs, in files of every kind.

use super::tree::{ProjectTree, folder_of, is_aside, is_kind, joined, name_of};
use crate::project::{
    place::{Defect, Place},
    requirements::{Requirement, Requirements, SPARKS_OWN},
};

/// How many of these files are read.
const FILES: usize = 200;

/// A file that says what is needed.
#[derive(Debug)]
pub(super) struct FoundRequirements {
    pub(super) path: String,
    pub(super) read: Result<Requirements, Vec<Defect>>,
}

/// The files of a project that say what is needed.
#[derive(Debug, Default)]
pub(super) struct RequirementsFiles {
    pub(super) found: Vec<FoundRequirements>,
    /// Files that no tool of sparkpack reads, and that say what is needed.
    pub(super) unreadable: Vec<(String, &'static str)>,
}

/// What is preferred where a folder has several, and what each is.
const KINDS: [&str; 5] = [
    "uv.lock",
    "poetry.lock",
    "Pipfile.lock",
    "pylock.toml",
    "pyproject.toml",
];

impl RequirementsFiles {
    pub(super) fn of(tree: &ProjectTree, named: &[String]) -> Self {
        let is_wanted = |path: &&str| {
            is_list(path) && !is_aside(path)
                || KINDS.contains(&name_of(path)) && !is_aside(path)
                || named.iter().any(|name| name == path)
        };
        let mut found = Self::default();
        for path in tree.files().filter(is_wanted).take(FILES) {
            found.found.push(FoundRequirements {
                path: path.to_owned(),
                read: Requirements::read(&tree.root, path.as_ref()),
            });
        }
        for path in tree.files() {
            let what = match name_of(path) {
                "setup.py" => "its dependencies are only known when it runs",
                "setup.cfg" => "its dependencies are setuptools' own",
                "environment.yml" | "environment.yaml" => "it is conda's",
                "pdm.lock" => "it is PDM's own",
                "Pipfile" if !tree.has(&joined(folder_of(path), "Pipfile.lock")) => {
                    "it has no Pipfile.lock beside it"
                }
                _ => continue,
            };
            if folder_of(path) == "." {
                found.unreadable.push((path.to_owned(), what));
            }
        }
        found
    }

    /// The file of a path.
    pub(super) fn get(&self, path: &str) -> Option<&FoundRequirements> {
        self.found.iter().find(|found| found.path == path)
    }

    /// The file of a folder that says best what is needed.
    pub(super) fn of_folder(&self, folder: &str) -> Option<&FoundRequirements> {
        let of_folder = self.found.iter().filter(|found| {
            let own = folder_of(&found.path);
            own == folder || name_of(own) == "requirements" && folder_of(own) == folder
        });
        let best = of_folder.filter(|found| found.is_for_jobs()).map(|found| {
            let name = name_of(&found.path);
            let kind = KINDS[..4].iter().position(|kind| *kind == name);
            let rank = match (kind, name) {
                (Some(kind), _) => kind,
                (None, "requirements.txt") => 4,
                (None, "pyproject.toml") => 6,
                _ => 5,
            };
            (rank, found)
        });
        best.min_by_key(|(rank, found)| (*rank, found.path.clone()))
            .map(|(_, found)| found)
    }

    /// The first that requires PySpark, the exact versions first, and the requirement.
    pub(super) fn spark(&self) -> Option<(&FoundRequirements, &Requirement)> {
        let all = self.found.iter().filter_map(|found| {
            let read = found.read.as_ref().ok()?;
            let spark = read
                .wanted
                .iter()
                .find(|wanted| wanted.name == SPARKS_OWN[0])?;
            Some((found, spark))
        });
        let exact = |pair: &(&FoundRequirements, &Requirement)| pair.1.pinned().is_none();
        all.min_by_key(|pair| {
            (
                exact(pair),
                pair.0.path.matches('/').count(),
                pair.0.path.clone(),
            )
        })
    }
}

impl FoundRequirements {
    /// Whether its name does not say that it is for people who work on the project.
    fn is_for_jobs(&self) -> bool {
        let name = name_of(&self.path).to_ascii_lowercase();
        let words = [
            "dev", "test", "lint", "doc", "ci", "airflow", "build", "notebook", "local",
        ];
        let mut parts = name.split(|of: char| !of.is_ascii_alphanumeric());
        let is_other = parts.any(|part| {
            words
                .iter()
                .any(|word| part == *word || part == format!("{word}s"))
        });
        let has_any = self.read.as_ref().map_or(true, |read| {
            read.is_complete || !read.wanted.is_empty() || name_of(&self.path) != "pyproject.toml"
        });
        !is_other && has_any
    }

    /// The packages besides Spark's own.
    pub(super) fn packages(&self) -> Vec<&Requirement> {
        let wanted = self.read.as_ref().map(|read| read.wanted.as_slice());
        let wanted = wanted.unwrap_or_default().iter();
        wanted
            .filter(|wanted| !SPARKS_OWN.contains(&wanted.name.as_str()))
            .collect()
    }

    /// The packages without an exact version, where no lock has chosen one.
    pub(super) fn unpinned(&self) -> Vec<&Requirement> {
        let is_complete = self.read.as_ref().is_ok_and(|read| read.is_complete);
        let packages = self.packages().into_iter();
        let open = packages.filter(|wanted| wanted.pinned().is_none() && wanted.direct.is_none());
        open.filter(|_| !is_complete).collect()
    }

    pub(super) fn place(&self) -> Place {
        Place::of_line(&self.path, 1)
    }
}

/// `requirements.txt` and the like.
fn is_list(path: &str) -> bool {
    let name = name_of(path);
    let in_folder = name_of(folder_of(path)) == "requirements";
    is_kind(name, "txt") && (name.contains("requirements") || in_folder)
}
