//! What `.dockerignore` has kept out of the code of a job whose image needs no Dockerfile any more.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use super::{
    code::{CodePlaces, JobCode},
    document::ConfigTable,
    draft::{Draft, TableMaker},
    globs::escaped,
    remark::Remark,
    survey::ProjectSurvey,
};
use crate::project::{
    ignore::{DefaultExcludes, DockerIgnore},
    place::Place,
    tree::folders_above,
};

const FILE: &str = ".dockerignore";

/// More lines are no longer read by anybody.
const PATTERNS: usize = 12;

impl TableMaker<'_> {
    /// `exclude`, for files that would come with the code now.
    pub(super) fn exclude(&self, table: &mut ConfigTable, draft: &mut Draft) {
        let Some(code) = draft.codes.last() else {
            return;
        };
        let Some((left_out, place)) = left_out(self.survey, code) else {
            return;
        };
        match (&code.src, left_out.as_slice()) {
            (CodePlaces::Root(_), patterns) if patterns.len() <= PATTERNS => {
                table.list("exclude", patterns).from("as in", &place);
            }
            (_, patterns) => {
                let text = format!("{} paths of the code are kept out here", patterns.len());
                let cure = "name them in `exclude` of the job, whose package has them else";
                draft.untold.push(Remark::at(&place, text).cure(cure));
            }
        }
    }
}

/// The patterns for what is kept out below the roots of the code, and the first rule that does. `None` where it keeps
/// the job's own code out: then the images have got that in another way.
fn left_out(survey: &ProjectSurvey, code: &JobCode) -> Option<(Vec<String>, Place)> {
    let text = survey.tree.text(FILE)?;
    let rules = DockerIgnore::parse(Path::new(FILE), &text).ok()?;
    if code
        .mains
        .iter()
        .chain(&code.reached)
        .any(|file| rules.excluded(file))
    {
        return None;
    }
    let usual = DefaultExcludes::of_job_sources();
    let mut patterns = BTreeSet::new();
    let mut lines = BTreeSet::new();
    for root in &code.roots {
        let below = format!("{root}/");
        let packed = survey.tree.files();
        let packed = packed.filter_map(|file| file.strip_prefix(&below));
        let packed: Vec<&str> = packed
            .filter(|file| usual.excluded(file, false).is_none())
            .collect();
        let mut out = Vec::new();
        for file in &packed {
            let rule = rules.deciding(&format!("{below}{file}"));
            if let Some(rule) = rule.filter(|rule| !rule.includes) {
                out.push(*file);
                lines.insert(rule.line);
            }
        }
        let (all, gone) = (by_folder(&packed), by_folder(&out));
        for file in out {
            // The whole folder, where nothing in it is kept.
            let whole = folders_above(file).find(|folder| all.get(folder) == gone.get(folder));
            patterns.insert(match whole {
                Some(folder) => format!("/{}/", escaped(folder)),
                None => format!("/{}", escaped(file)),
            });
        }
    }
    let place = Place::of_line(Path::new(FILE), lines.pop_first()?);
    Some((patterns.into_iter().collect(), place))
}

/// How many of the files each folder has.
fn by_folder<'p>(files: &[&'p str]) -> BTreeMap<&'p str, usize> {
    let mut counts = BTreeMap::new();
    for folder in files.iter().flat_map(|file| folders_above(file)) {
        *counts.entry(folder).or_default() += 1;
    }
    counts
}
