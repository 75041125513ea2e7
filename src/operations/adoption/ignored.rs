//! What `.dockerignore` has kept out of the code of a job whose image needs no Dockerfile any more.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use super::{
    code::{CodePlaces, JobCode},
    document::ConfigTable,
    draft::{Draft, TableMaker},
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
            (_, []) => {}
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
    let mut line: Option<usize> = None;
    for root in &code.roots {
        let below = format!("{root}/");
        let packed: Vec<&str> = survey
            .tree
            .files()
            .filter_map(|file| file.strip_prefix(&below))
            .filter(|file| usual.excluded(file, false).is_none())
            .collect();
        let is_out = |file: &&str| rules.excluded(&format!("{below}{file}"));
        let out: Vec<&str> = packed.iter().copied().filter(is_out).collect();
        let (all, gone) = (by_folder(&packed), by_folder(&out));
        for file in out {
            // The whole folder, where nothing in it is kept.
            let whole = folders_above(file).find(|folder| all.get(folder) == gone.get(folder));
            patterns.insert(whole.map_or_else(
                || format!("/{}", literal(file)),
                |folder| format!("/{}/", literal(folder)),
            ));
            let rule = rules.deciding(&format!("{below}{file}"));
            line = line.into_iter().chain(rule.map(|rule| rule.line)).min();
        }
    }
    let place = Place::of_line(Path::new(FILE), line?);
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

/// A path as a pattern that is it alone.
fn literal(path: &str) -> String {
    let mut text = String::new();
    for character in path.chars() {
        if matches!(character, '*' | '?' | '[' | '\\') {
            text.push('\\');
        }
        text.push(character);
    }
    text
}
