//! Modules of a job whose name is one of the standard library or of Spark: whoever imports that gets the job's.

use super::{Finding, Job, Problem, is_ignored};
use crate::project::python_code::{
    Position,
    standard_library::{self, InLibrary},
};

/// What only Spark may be called.
const OF_SPARK: [&str; 2] = ["pyspark", "py4j"];

/// Modules of the standard library that no other module imports.
const HARMLESS: [&str; 6] = [
    "test",
    "this",
    "antigravity",
    "idlelib",
    "turtledemo",
    "__hello__",
];

pub(super) fn of<'a>(job: &'a Job<'a>) -> impl Iterator<Item = Finding> + 'a {
    job.files.iter().filter_map(|(file, _)| {
        let name = top_level(&file.path).filter(|_| !file.is_main)?;
        let is_spark = OF_SPARK.contains(&name);
        let is_library = || {
            standard_library::find(name, job.python) == InLibrary::Here && !HARMLESS.contains(&name)
        };
        if is_ignored(job.ignored, name) || !(is_spark || is_library()) {
            return None;
        }
        Some(Finding {
            file: file.shown.clone(),
            at: Position(1, 1),
            problem: Problem::Shadows {
                module: name.to_owned(),
                is_spark,
            },
        })
    })
}

/// The name of a module that is in no package, by its file. A folder without `__init__.py` comes after all others.
fn top_level(path: &str) -> Option<&str> {
    match path.split_once('/') {
        None => path.strip_suffix(".py"),
        Some((package, "__init__.py")) => Some(package),
        Some(_) => None,
    }
}
