//! Where a job's code is: the roots of import by who imports whom, the files that are run, and what lies beside them.

use std::collections::BTreeSet;

use super::{
    entries::EntryPoint,
    modules::{Modules, TopModule},
    survey::ProjectSurvey,
    tree::{folder_of, is_aside, joined, name_of},
};

/// The most main files that are listed.
const MAINS: usize = 40;

/// Endings of data that lies beside code.
const DATA: [&str; 12] = [
    "json",
    "yaml",
    "yml",
    "conf",
    "ini",
    "cfg",
    "properties",
    "sql",
    "csv",
    "toml",
    "txt",
    "avsc",
];

/// `src` of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CodePlaces {
    /// One root of import.
    Root(String),
    /// Packages, modules and roots of import.
    Several(Vec<String>),
}

/// The code of a job.
#[derive(Clone, Debug)]
pub(super) struct JobCode {
    pub(super) src: CodePlaces,
    /// The files that are run, below the project's folder.
    pub(super) mains: Vec<String>,
    /// Globs of files beside the code.
    pub(super) files: Vec<String>,
    /// All files that the main files lead to.
    pub(super) reached: BTreeSet<String>,
    /// The roots of import.
    pub(super) roots: Vec<String>,
    /// Main files that are not listed.
    pub(super) unlisted: usize,
}

impl JobCode {
    pub(super) fn of(survey: &ProjectSurvey, entries: &[&EntryPoint]) -> Self {
        let modules = &survey.modules;
        let mut reached = BTreeSet::new();
        let mut tops: BTreeSet<TopModule> = BTreeSet::new();
        let mut mains: Vec<String> = entries.iter().map(|entry| entry.path.clone()).collect();
        for main in &mains {
            let (files, imported) = modules.reached(main);
            reached.extend(files);
            tops.extend(imported);
            // A main file in a package is a module of it, and so is one in a folder that others are imported from.
            if modules.is_package(folder_of(main)) {
                tops.insert(modules.top_of(main));
            }
        }
        let unlisted = mains.len().saturating_sub(MAINS);
        mains.truncate(MAINS);
        if tops.is_empty() {
            tops.extend(mains.first().map(|main| modules.top_of(main)));
        }
        let (src, roots) = places(modules, &mains, &tops);
        Self {
            files: beside(survey, &roots, &reached),
            mains,
            reached,
            roots,
            src,
            unlisted,
        }
    }

    /// `main`, where it is not the usual `main.py` below `src`.
    pub(super) fn main(&self) -> Option<&[String]> {
        let usual = match &self.src {
            CodePlaces::Root(root) => joined(root, "main.py"),
            CodePlaces::Several(_) => "main.py".to_owned(),
        };
        let is_usual = self.mains.len() == 1 && self.mains.first() == Some(&usual);
        (!is_usual).then_some(&self.mains)
    }
}

/// `src`, and the roots of import: the only one as it is, of several what is used of them.
fn places(
    modules: &Modules,
    mains: &[String],
    tops: &BTreeSet<TopModule>,
) -> (CodePlaces, Vec<String>) {
    let roots: BTreeSet<&str> = tops.iter().map(|top| top.root.as_str()).collect();
    let roots: Vec<String> = roots.into_iter().map(str::to_owned).collect();
    if let [root] = roots.as_slice()
        && root != "."
    {
        return (CodePlaces::Root(root.clone()), roots);
    }
    let at_top: Vec<&TopModule> = tops.iter().filter(|top| top.root == ".").collect();
    let is_module = |top: &TopModule| modules.found.contains_key(&format!("{}.py", top.name));
    if roots.len() == 1 && at_top.iter().all(|top| is_module(top)) {
        // Modules at the top of the project: further ones are found as well.
        return (CodePlaces::Root(".".to_owned()), roots);
    }
    let first = mains
        .first()
        .map(|main| main.split('/').next().unwrap_or(main).to_owned());
    let mut listed: Vec<String> = Vec::new();
    for root in roots.iter().filter(|root| *root != ".") {
        listed.push(format!("{root}/"));
    }
    for top in at_top {
        listed.push(if is_module(top) {
            format!("{}.py", top.name)
        } else {
            top.name.clone()
        });
    }
    let is_first = |place: &String| first.as_deref() == Some(place.trim_end_matches('/'));
    listed.sort_by_key(|place| (!is_first(place), place.clone()));
    (CodePlaces::Several(listed), roots)
}

/// Globs of the data that lies beside packages, and that the code names.
fn beside(survey: &ProjectSurvey, roots: &[String], reached: &BTreeSet<String>) -> Vec<String> {
    let modules = &survey.modules;
    let codes = reached.iter().filter_map(|path| modules.found.get(path));
    let texts: BTreeSet<&str> = codes
        .flat_map(|module| module.texts.iter().map(String::as_str))
        .collect();
    let submitted = survey
        .commands
        .files
        .iter()
        .map(|(_, file)| file.trim_start_matches("./"));
    let submitted: BTreeSet<&str> = submitted.collect();
    let mut globs = BTreeSet::new();
    for path in survey.tree.files() {
        let Some((_, end)) = name_of(path).rsplit_once('.') else {
            continue;
        };
        if !DATA.contains(&end) || is_aside(path) || is_of_tools(path) {
            continue;
        }
        let root = roots.iter().find(|root| is_below(path, root));
        let below = match root.map(String::as_str) {
            None | Some(".") => path,
            Some(root) => &path[root.len() + 1..],
        };
        // What lies in a package is in its folder in the image.
        let top = below.split('/').next().unwrap_or(below);
        let folder = folder_of(below);
        let top = root.map_or_else(|| top.to_owned(), |root| joined(root, top));
        let is_packed = below.contains('/') && survey.modules.has_code_in(&top);
        let is_named = texts.iter().any(|text| {
            let text = text.trim_start_matches("./");
            text == below
                || text == name_of(below)
                || text.trim_end_matches('/') == folder && folder != "."
        });
        if !is_packed && (is_named || submitted.contains(path)) {
            globs.insert(match folder {
                "." => below.to_owned(),
                folder => format!("{folder}/*.{end}"),
            });
        }
    }
    globs.into_iter().collect()
}

/// Files of tools, which no job opens.
fn is_of_tools(path: &str) -> bool {
    let name = name_of(path);
    let known = [
        "pyproject.toml",
        "setup.cfg",
        "tox.ini",
        "pytest.ini",
        "mypy.ini",
        "package.json",
        "sparkpack.toml",
    ];
    known.contains(&name)
        || name.contains("requirements")
        || name.to_ascii_lowercase().starts_with("license")
        || super::manifests::may_be_manifest(path) && path.starts_with("deploy")
}

fn is_below(path: &str, root: &str) -> bool {
    root == "."
        || path
            .strip_prefix(root)
            .is_some_and(|rest| rest.starts_with('/'))
}
