//! Folders that are all alike: one image of each, by `each`.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    entries::EntryPoint,
    naming::{Naming, as_name},
    survey::ProjectSurvey,
    tree::{folder_of, joined, name_of},
    units::{UnitContext, Units},
};

/// Folders of which each is an image.
#[derive(Clone, Debug)]
pub(super) struct EachFolder {
    /// The folder that they lie in.
    pub(super) folder: String,
    /// Their names, which are those of their images.
    pub(super) names: BTreeSet<String>,
}

impl EachFolder {
    /// `jobs/*`.
    pub(super) fn glob(&self) -> String {
        joined(&self.folder, "*")
    }

    /// What is at one path in each folder: `{dir}/src` where each has it.
    pub(super) fn all_have(&self, path: &str, is_there: impl Fn(&str) -> bool) -> bool {
        let mut folders = self.names.iter().map(|name| joined(&self.folder, name));
        folders.all(|folder| is_there(&joined(&folder, path)))
    }
}

/// The jobs without a Dockerfile, where each lies with its requirements in a folder of its own.
pub(super) fn of_jobs(survey: &ProjectSurvey, entries: &[EntryPoint]) -> Option<EachFolder> {
    let mut by_folder: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for entry in entries {
        let (above, name) = job_folder(survey, &entry.path)?;
        by_folder.entry(above).or_default().insert(name);
    }
    let mut folders = by_folder.into_iter();
    let (folder, names) = folders.next().filter(|(_, names)| names.len() > 1)?;
    if folders.next().is_some() {
        return None;
    }
    alike(survey, EachFolder { folder, names })
}

/// The folder of a job with requirements of its own: what it lies in, and its name.
fn job_folder(survey: &ProjectSurvey, main: &str) -> Option<(String, String)> {
    let mut folder = folder_of(main);
    while folder != "." {
        let has_own = survey.requirements.of_folder(folder).is_some();
        if has_own {
            return Some((folder_of(folder).to_owned(), name_of(folder).to_owned()));
        }
        folder = folder_of(folder);
    }
    None
}

/// Dockerfiles at the same path in each folder, whose images have the folders' names.
pub(super) fn of_units(
    survey: &ProjectSurvey,
    units: &Units<'_>,
    naming: &Naming,
) -> Option<(EachFolder, Vec<usize>)> {
    let mut by_folder: BTreeMap<String, Vec<(usize, String)>> = BTreeMap::new();
    for image in &naming.images {
        let Some(index) = image.unit else { continue };
        let unit = &units.all[index];
        let own = folder_of(&unit.dockerfile.path);
        let is_plain = name_of(&unit.dockerfile.path) == "Dockerfile"
            && unit
                .build
                .is_none_or(|build| build.arguments.is_empty() && build.target.is_none())
            && !units.all.iter().any(|other| other.parent == Some(index));
        let is_own_context = unit.context == UnitContext::Folder(own.to_owned());
        let is_named = image.key == name_of(own) && as_name(&image.key) == image.key;
        if own != "." && is_plain && is_own_context && is_named {
            let above = folder_of(own).to_owned();
            by_folder
                .entry(above)
                .or_default()
                .push((index, name_of(own).to_owned()));
        }
    }
    let (folder, found) = by_folder.into_iter().find(|(_, found)| found.len() > 1)?;
    let parents: BTreeSet<Option<usize>> = found
        .iter()
        .map(|(index, _)| units.all[*index].parent)
        .collect();
    let copies: BTreeSet<bool> = found
        .iter()
        .map(|(index, _)| units.all[*index].resolved.copies_dist())
        .collect();
    if parents.len() > 1 || copies.len() > 1 {
        return None;
    }
    let names = found.iter().map(|(_, name)| name.clone()).collect();
    let each = alike(survey, EachFolder { folder, names })?;
    Some((each, found.into_iter().map(|(index, _)| index).collect()))
}

/// The folders, if no other lies beside them, which a glob would match too.
fn alike(survey: &ProjectSurvey, each: EachFolder) -> Option<EachFolder> {
    let beside = survey
        .tree
        .folders()
        .filter(|folder| folder_of(folder) == each.folder);
    let mut names = beside.map(name_of).filter(|name| !name.starts_with('.'));
    names.all(|name| each.names.contains(name)).then_some(each)
}
