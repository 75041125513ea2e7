//! What goes wrong sooner or later in Dockerfiles such as these.

use super::{
    pip_installs,
    remark::{Remark, listed},
    survey::ProjectSurvey,
    units::{Unit, Units},
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
    let line = pip_installs::of_spark(survey, unit.dockerfile, unit.folder())?;
    let text = "pip installs pyspark, which brings Spark";
    let has_spark = base.last.contains("spark") || unit.parent.is_some();
    has_spark.then(|| {
        Remark::at(&unit.dockerfile.at(line), text).cure("the image below has Spark already")
    })
}

/// Lists without exact versions that a `RUN` installs.
fn unpinned(survey: &ProjectSurvey, unit: &Unit<'_>) -> Option<Remark> {
    let lists = pip_installs::lists(survey, unit.dockerfile, unit.folder());
    lists.into_iter().find_map(|(line, file)| {
        let open: Vec<String> = file.unpinned().iter().map(|wanted| wanted.name.clone()).collect();
        let text = format!("pip installs what `{}` leaves open: {}", file.path, listed(&open));
        let cure = "what a RUN fetches is no part of the tag: give exact versions, or have sparkpack ship them";
        (!open.is_empty()).then(|| Remark::at(&unit.dockerfile.at(line), text).cure(cure))
    })
}
