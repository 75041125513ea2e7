//! Says what is wrong with an import, and what to do about it.

use std::{fmt, path::PathBuf};

use super::{Finding, Problem, distribution_of};
use crate::{
    code::Code,
    project::place::{Defect, Place},
};

/// What is known of a module that a job lacks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Whereabouts {
    /// The file or folder of the project that has it, and why it is not in the job.
    pub in_project: Option<(String, NotInJob)>,
    /// The job's requirements file, if it has one.
    pub requirements: Option<String>,
    /// The configuration's key for the job: `images.job`.
    pub image: String,
    /// The entries of the job's `src`.
    pub src: Vec<String>,
}

/// Why what lies in the project is not in a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotInJob {
    /// It lies in none of the job's folders.
    Elsewhere,
    /// It is left out: the path that it would be packed under.
    LeftOut(String),
}

impl Finding {
    /// The module of which [`Self::defect`] has to know where it is.
    #[must_use]
    pub fn missing(&self) -> Option<&str> {
        match &self.problem {
            Problem::Nowhere { missing, .. } => Some(missing),
            Problem::NotInPackage {
                package,
                is_library: false,
                ..
            } => Some(package),
            _ => None,
        }
    }

    /// The name in [`Self::missing`] that is looked for.
    #[must_use]
    pub fn missing_in(&self) -> Option<&str> {
        match &self.problem {
            Problem::NotInPackage {
                name,
                is_library: false,
                ..
            } => Some(name),
            _ => None,
        }
    }

    /// What is told; with `is_strict` an import that leads nowhere is an error.
    #[must_use]
    pub fn defect(&self, whereabouts: &Whereabouts, is_strict: bool) -> Told {
        let place = Place {
            file: PathBuf::from(&self.file),
            line: self.at.0 as usize,
            column: self.at.1 as usize,
        };
        let code = match &self.problem {
            Problem::Syntax { .. } => Code::E208,
            Problem::Shadows { .. } => Code::W141,
            _ if is_strict => Code::E209,
            _ => Code::W140,
        };
        let (message, hint) = said(&self.problem, whereabouts);
        let defect = Defect::new(code, place, message).hint(hint);
        match &self.problem {
            Problem::Shadows { .. } => Told::Warning(defect),
            Problem::Syntax { .. } => Told::Error(defect),
            _ if is_strict => Told::Error(defect),
            _ => Told::Warning(defect),
        }
    }
}

/// How something is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// As an error.
    Error(Defect),
    /// As a warning.
    Warning(Defect),
}

impl Told {
    /// What is told.
    #[must_use]
    pub fn defect(&self) -> &Defect {
        match self {
            Self::Error(defect) | Self::Warning(defect) => defect,
        }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let defect = self.defect();
        write!(formatter, "[{}] {defect}", defect.code)
    }
}

fn said(problem: &Problem, at: &Whereabouts) -> (String, String) {
    match problem {
        Problem::Syntax { message, hint } => {
            let hint = hint.clone().unwrap_or_else(|| {
                "correct it; if it is no module of the job, leave it out by `exclude`".to_owned()
            });
            (message.clone(), hint)
        }
        Problem::Shadows { module, is_spark } => shadows(module, *is_spark),
        Problem::Nowhere {
            module,
            missing,
            nearest,
        } => nowhere(module, missing, nearest.as_deref(), at),
        Problem::NotInPackage {
            package,
            name,
            nearest,
            is_library,
        } => not_in_package((package, name), nearest.as_deref(), *is_library, at),
        Problem::NoSuchName {
            module,
            name,
            nearest,
            is_folder,
        } => no_such_name(module, name, nearest.as_deref(), *is_folder),
        other => of_names(other, at),
    }
}

/// What is wrong with the way in which a module is named.
fn of_names(problem: &Problem, at: &Whereabouts) -> (String, String) {
    match problem {
        Problem::OtherCase { written, there } => (
            format!(
                "`{written}` is not there, but `{there}`: the names of modules count upper and lower case"
            ),
            format!("write `{there}`"),
        ),
        Problem::NotAPackage { module, file, name } => (
            format!("`{module}` is a file, {file}, and no package: `{name}` cannot be in it"),
            format!("make `{module}` a folder with `__init__.py`, or correct the name"),
        ),
        Problem::TooFar { level, package } => (
            format!("the {level} dots lead out of all packages: the file is in `{package}`"),
            "take dots away, or write the full name".to_owned(),
        ),
        Problem::NoPackage { is_main, module } => (
            if *is_main {
                "a file that is started is in no package, so that dots lead nowhere".to_owned()
            } else {
                "the file is in no package, so that dots lead nowhere".to_owned()
            },
            if module.is_empty() {
                "write the full name of the module".to_owned()
            } else {
                format!("write the full name of the module, without dots before it: `{module}`")
            },
        ),
        Problem::Hidden {
            module,
            folder,
            is_library,
        } => hidden(module, folder, *is_library),
        Problem::Hides { module, package } => (
            format!(
                "Python does not find `{module}` of a distribution: the job has a package `{package}` of its own"
            ),
            format!(
                "remove `{package}/__init__.py`, so that they share the name, or rename the package"
            ),
        ),
        Problem::OtherPython {
            module,
            versions,
            python,
        } => other_python(module, *versions, *python, at),
        Problem::Syntax { .. }
        | Problem::Shadows { .. }
        | Problem::Nowhere { .. }
        | Problem::NotInPackage { .. }
        | Problem::NoSuchName { .. } => (String::new(), String::new()),
    }
}

fn hidden(module: &str, folder: &str, is_library: bool) -> (String, String) {
    let (other, hint) = if is_library {
        (
            format!("`{folder}` of the standard library"),
            "rename the folder".to_owned(),
        )
    } else {
        (
            format!("the package `{folder}` of a distribution"),
            format!("rename the folder, or give it an `{folder}/__init__.py`"),
        )
    };
    let message = format!(
        "Python does not find `{module}`: the folder `{folder}` has no `__init__.py`, and {other} comes before it"
    );
    (message, hint)
}

fn shadows(module: &str, is_spark: bool) -> (String, String) {
    let whose = if is_spark {
        "Spark"
    } else {
        "Python's standard library"
    };
    let message = format!("the module `{module}` of the job takes the place of that of {whose}");
    let hint = format!("rename it; if that is meant, write `ignore-imports = [\"{module}\"]`");
    (message, hint)
}

fn nowhere(
    module: &str,
    missing: &str,
    nearest: Option<&str>,
    at: &Whereabouts,
) -> (String, String) {
    let Whereabouts { image, src, .. } = at;
    if let Some((path, why)) = &at.in_project {
        return match why {
            NotInJob::Elsewhere => (
                format!("`{missing}` is in this repository ({path}), but not in the job"),
                format!(
                    "add it to `src` of [{image}]: `src = [{}]`",
                    listed(src, path)
                ),
            ),
            NotInJob::LeftOut(below) => (
                format!("`{missing}` is in this repository ({path}), but left out of the job"),
                format!("take it by `include = [\"/{below}\"]`, or correct `exclude`"),
            ),
        };
    }
    let message = format!(
        "no module `{missing}`: neither the job, nor its requirements, nor what its image stands on have it"
    );
    let file = at.requirements.as_deref();
    let add = |what: &str| match file {
        Some(file) => format!("add {what} to {file}"),
        None => format!("give [{image}] `requirements`, with {what}"),
    };
    let hint = match (distribution_of(module), nearest) {
        (Some(distribution), _) if distribution == missing => add(&format!("`{distribution}`")),
        (Some(distribution), _) => format!(
            "`{missing}` is in {distribution}: {}",
            add(&format!("`{distribution}`"))
        ),
        (None, Some(nearest)) => format!("did you mean `{nearest}`?"),
        (None, None) => format!(
            "{}; if it is there at run time, write `ignore-imports = [\"{missing}\"]`",
            add("the package that has it")
        ),
    };
    (message, hint)
}

/// A list for `src` with one more entry.
fn listed(src: &[String], path: &str) -> String {
    let all = src.iter().map(String::as_str).chain([path]);
    let all: Vec<String> = all.map(|entry| format!("\"{entry}\"")).collect();
    all.join(", ")
}

fn not_in_package(
    (package, name): (&str, &str),
    nearest: Option<&str>,
    is_library: bool,
    at: &Whereabouts,
) -> (String, String) {
    if is_library {
        return (
            format!("no module `{package}.{name}`: Python's `{package}` has none of this name"),
            "correct the name".to_owned(),
        );
    }
    if let Some((path, NotInJob::LeftOut(below))) = &at.in_project {
        return (
            format!("`{package}.{name}` is in this repository ({path}), but left out of the job"),
            format!("take it by `include = [\"/{below}\"]`, or correct `exclude`"),
        );
    }
    let hint = match nearest {
        Some(nearest) => format!("did you mean `{package}.{nearest}`?"),
        None => "correct the name, or add the file".to_owned(),
    };
    (
        format!("no module `{package}.{name}`: `{package}` of the job has none of this name"),
        hint,
    )
}

fn no_such_name(
    module: &str,
    name: &str,
    nearest: Option<&str>,
    is_folder: bool,
) -> (String, String) {
    let message = if is_folder {
        format!(
            "`{module}` has no `{name}`: it is a folder without `__init__.py`, which has only its modules"
        )
    } else {
        format!("`{module}` has no `{name}`: neither a module nor a name in its file")
    };
    let hint = match nearest {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None if is_folder => {
            format!("write `{name}` into an `__init__.py` of `{module}`, or correct the name")
        }
        None => "correct the name".to_owned(),
    };
    (message, hint)
}

fn other_python(
    module: &str,
    (first, last): (u8, u8),
    (major, minor): (u8, u8),
    at: &Whereabouts,
) -> (String, String) {
    let when = if minor < first {
        format!("it came with {major}.{first}")
    } else {
        format!("{major}.{last} was the last to have it")
    };
    let replacement = match module.split('.').next().unwrap_or(module) {
        "tomllib" => Some("tomli"),
        "zoneinfo" => Some("backports.zoneinfo"),
        "distutils" => Some("setuptools"),
        _ => None,
    };
    let hint = match (replacement, at.requirements.as_deref()) {
        (Some(replacement), Some(file)) => {
            format!("add `{replacement}` to {file}, or do without `{module}`")
        }
        (Some(replacement), None) => format!("require `{replacement}`, or do without `{module}`"),
        (None, _) => "use what took its place, or another `python` for the chain".to_owned(),
    };
    (
        format!("no module `{module}` in Python {major}.{minor}: {when}"),
        hint,
    )
}
