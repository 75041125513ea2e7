//! What goes wrong sooner or later in Dockerfiles such as these.

use super::{
    remark::{Remark, listed},
    requirements::FoundRequirements,
    survey::ProjectSurvey,
    tree::{joined, name_of},
    units::{Unit, UnitContext, Units},
};
use crate::project::dockerfile::Pattern;

/// How many places of one kind are told.
const SHOWN: usize = 4;

/// What `sparkpack package` makes in `dist`.
const PACKAGE: [&str; 6] = [
    "",
    "main.py",
    "jobs.zip",
    "libs.zip",
    "site-packages",
    "jobs",
];

pub(super) fn traps(survey: &ProjectSurvey, units: &Units<'_>) -> Vec<Remark> {
    let mut told = copies_before_pip(units);
    for unit in &units.all {
        told.extend(foreign_dist(unit));
        told.extend(spark_again(survey, unit));
        told.extend(unpinned(survey, unit));
    }
    told
}

fn copies_before_pip(units: &Units<'_>) -> Vec<Remark> {
    let mut told = Vec::new();
    for unit in &units.all {
        let copies = unit.resolved.sources().filter(|(path, _)| *path == ".");
        let first = copies.map(|(_, line)| line).min();
        let runs = unit.dockerfile.instructions("RUN");
        let mut pips = runs
            .filter(|(_, text)| text.contains("pip install") || text.contains("pip3 install"))
            .map(|(line, _)| line);
        if let Some(copy) = first
            && pips.any(|pip| pip > copy)
            && told.len() < SHOWN
        {
            let text =
                "all files are copied before pip runs: each change installs everything again";
            told.push(
                Remark::at(&unit.dockerfile.at(copy), text)
                    .cure("copy the requirements alone before"),
            );
        }
    }
    told
}

/// `dist` is what sparkpack makes: nothing else in it reaches a build.
fn foreign_dist(unit: &Unit<'_>) -> Option<Remark> {
    let sources = unit.resolved.resolution.sources().iter();
    let mut foreign = sources.filter(|source| {
        let (Pattern::Path(path) | Pattern::Glob(path)) = &source.pattern else {
            return false;
        };
        let inside = path.strip_prefix("dist/");
        inside.is_some_and(|inside| {
            let first = inside.split('/').next().unwrap_or(inside);
            !PACKAGE.contains(&first)
        })
    });
    let source = foreign.next()?;
    let text = format!(
        "`{}` is not there in a build: in `dist` is only what sparkpack makes",
        source.text
    );
    let cure = "have it made into another folder, and copy it from there";
    Some(Remark::at(&unit.dockerfile.at(source.line), text).cure(cure))
}

/// PySpark that pip installs brings Spark once more.
fn spark_again(survey: &ProjectSurvey, unit: &Unit<'_>) -> Option<Remark> {
    let base = unit.resolved.base_name()?;
    let (line, _) = pip_lines(unit).find(|(_, words)| {
        let mut named = words.iter().map(|word| word.trim_matches(['"', '\'']));
        let is_spark = |word: &str| {
            ["pyspark==", "pyspark["]
                .iter()
                .any(|start| word.starts_with(start))
        };
        let list = list_of(survey, unit, words);
        let in_list = list.and_then(|found| found.read.as_ref().ok()?.place_of("pyspark"));
        in_list.is_some() || named.any(|word| word == "pyspark" || is_spark(word))
    })?;
    let text = "pip installs pyspark, which brings Spark";
    let has_spark = base.last.contains("spark") || unit.parent.is_some();
    has_spark.then(|| {
        Remark::at(&unit.dockerfile.at(line), text).cure("the image below has Spark already")
    })
}

/// The list of requirements that a `RUN` installs.
fn list_of<'s>(
    survey: &'s ProjectSurvey,
    unit: &Unit<'_>,
    words: &[&str],
) -> Option<&'s FoundRequirements> {
    let folder = match &unit.context {
        UnitContext::Folder(folder) => folder.as_str(),
        _ => ".",
    };
    let list = words
        .windows(2)
        .find(|pair| pair[0] == "-r")
        .map(|pair| name_of(pair[1]))?;
    let beside = survey.requirements.get(&joined(folder, list));
    beside.or_else(|| survey.requirements.get(list))
}

/// Lists without exact versions that a `RUN` installs.
fn unpinned(survey: &ProjectSurvey, unit: &Unit<'_>) -> Option<Remark> {
    pip_lines(unit).find_map(|(line, words)| {
        let file = list_of(survey, unit, &words)?;
        let open: Vec<String> = file.unpinned().iter().map(|wanted| wanted.name.clone()).collect();
        let text = format!("pip installs what `{}` leaves open: {}", file.path, listed(&open));
        let cure = "what a RUN fetches is no part of the tag: give exact versions, or have sparkpack ship them";
        (!open.is_empty()).then(|| Remark::at(&unit.dockerfile.at(line), text).cure(cure))
    })
}

/// The words of each `RUN` that installs with pip.
fn pip_lines<'u>(unit: &'u Unit<'_>) -> impl Iterator<Item = (usize, Vec<&'u str>)> {
    let runs = unit
        .dockerfile
        .instructions("RUN")
        .filter(|(_, text)| text.contains("pip install") || text.contains("pip3 install"));
    runs.map(|(line, text)| (line, text.split_whitespace().collect()))
}
