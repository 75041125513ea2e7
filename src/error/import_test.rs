//! What an import test found: messages and hints.

use std::fmt;

use crate::code::Code;

/// How many lines of one exception's message are shown: the rest of a long one is advice for other cases.
const MESSAGE_LINES: usize = 12;

/// How many modules with one reason are named.
const SHOWN_MODULES: usize = 6;

/// Why an import test did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportTestError {
    /// Some imports fail.
    #[error(
        "`{image}`: {failed} of {all} imports fail in the image\n{}",
        listed(failures)
    )]
    Failed {
        /// The image, as messages call it.
        image: String,
        /// Its reference.
        reference: String,
        /// How many imports fail.
        failed: usize,
        /// Of how many.
        all: usize,
        /// The reasons, each with its modules.
        failures: Vec<ImportFailure>,
    },
    /// Spark does not start in the image.
    #[error("`{image}`: Spark does not start in the image, so that no import was tried\n{why}")]
    NoSpark {
        /// The image, as messages call it.
        image: String,
        /// Why not.
        why: ImportReason,
    },
    /// The test ended by itself, without a result.
    #[error("`{image}`: the import test ended{}{}{}", during(at.as_deref()), with_code(*code), following(output))]
    Died {
        /// The image, as messages call it.
        image: String,
        /// What was imported then.
        at: Option<String>,
        /// The exit code, if it is known.
        code: Option<i64>,
        /// The last lines that it printed.
        output: Vec<String>,
    },
    /// The test took too long.
    #[error("`{image}`: the import test was stopped after {minutes} minutes{}", during(at.as_deref()))]
    OutOfTime {
        /// The image, as messages call it.
        image: String,
        /// The limit.
        minutes: u64,
        /// What was imported then.
        at: Option<String>,
    },
    /// The images go into a layout, in which none can be run.
    #[error("`--test-imports` runs the images, and images in an OCI layout cannot be run")]
    NoDaemon,
}

/// Modules that cannot be imported for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportFailure {
    /// The modules, by name.
    pub modules: Vec<String>,
    /// Where.
    pub on: ImportPlace,
    /// Why.
    pub reason: ImportReason,
}

/// Where modules are imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ImportPlace {
    /// On the driver only.
    Driver,
    /// In the executors' Python workers only.
    Workers,
    /// On both.
    Both,
}

/// An exception, and where it was raised.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImportReason {
    /// Its type.
    pub kind: String,
    /// Its message.
    pub message: String,
    /// The file in the image, and the line.
    pub place: Option<(String, u64)>,
}

impl fmt::Display for ImportPlace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Driver => "on the driver",
            Self::Workers => "in the workers",
            Self::Both => "on the driver and in the workers",
        })
    }
}

impl fmt::Display for ImportReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = self.message.trim().lines();
        formatter.write_str(&self.kind)?;
        if let Some(first) = lines.next() {
            write!(formatter, ": {first}")?;
        }
        if let Some((file, line)) = &self.place {
            write!(formatter, " ({file}, line {line})")?;
        }
        let lines = lines.filter(|line| !line.trim().is_empty());
        for line in lines.take(MESSAGE_LINES) {
            write!(formatter, "\n  {line}")?;
        }
        Ok(())
    }
}

impl fmt::Display for ImportFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.modules.iter().take(SHOWN_MODULES);
        let shown: Vec<&str> = shown.map(String::as_str).collect();
        formatter.write_str(&shown.join(", "))?;
        let more = self.modules.len() - shown.len();
        if more > 0 {
            write!(formatter, " and {more} more")?;
        }
        write!(formatter, ", {}: {}", self.on, self.reason)
    }
}

fn listed(failures: &[ImportFailure]) -> String {
    let failures = failures.iter().map(ToString::to_string);
    failures.collect::<Vec<_>>().join("\n")
}

fn during(at: Option<&str>) -> String {
    at.map_or_else(String::new, |at| format!(" while it imported {at}"))
}

fn with_code(code: Option<i64>) -> String {
    code.map_or_else(String::new, |code| format!(", with exit code {code}"))
}

fn following(output: &[String]) -> String {
    let lines = output.iter().map(|line| format!("\n{line}"));
    lines.collect()
}

impl ImportTestError {
    pub(super) fn code(&self) -> Code {
        match self {
            Self::Failed { .. } => Code::E210,
            Self::NoSpark { .. } | Self::Died { .. } | Self::OutOfTime { .. } => Code::E211,
            Self::NoDaemon => Code::E212,
        }
    }

    pub(super) fn hint(&self) -> String {
        match self {
            Self::Failed {
                reference,
                failures,
                ..
            } => failures.first().map_or_else(
                || Code::E210.cure().to_owned(),
                |failure| failure.hint(reference),
            ),
            Self::Died {
                code: Some(137), ..
            } => "the system ended it, most often for lack of memory: it needs 3 GB".to_owned(),
            Self::NoSpark { .. } | Self::Died { .. } => {
                "with -v all that it prints is shown".to_owned()
            }
            Self::OutOfTime { at: Some(_), .. } => {
                "a module must not do a job's work, or wait, when it is imported".to_owned()
            }
            Self::OutOfTime { at: None, .. } => Code::E211.cure().to_owned(),
            Self::NoDaemon => Code::E212.cure().to_owned(),
        }
    }
}

impl ImportFailure {
    /// What to do about it in the image `reference`.
    fn hint(&self, reference: &str) -> String {
        let message = &self.reason.message;
        if message.contains("cannot open shared object file") {
            let library = message.split(':').next().unwrap_or_default();
            return format!(
                "the image lacks the system's library {library}: install its Debian package in a Dockerfile of the image, or of the one that it stands on"
            );
        }
        let module = self.modules.first().map_or("", String::as_str);
        let is_missing = self.reason.kind == "ModuleNotFoundError";
        let is_name = |c: char| c.is_alphanumeric() || "_.".contains(c);
        match self.on {
            ImportPlace::Workers if is_missing => "executors have what is on PYTHONPATH in the image: a driver also finds what lies beside the main file".to_owned(),
            _ if is_missing => "add what is missing to the job's requirements, or to its `src`".to_owned(),
            _ if module.rsplit('.').next() == Some("py") || !module.chars().all(is_name) => {
                Code::E210.cure().to_owned()
            }
            _ => format!("`docker run --rm --network none {reference} python3 -c \"import {module}\"` shows the whole traceback"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    fn reason(kind: &str, message: &str, place: Option<(&str, u64)>) -> ImportReason {
        ImportReason {
            kind: kind.to_owned(),
            message: message.to_owned(),
            place: place.map(|(file, line)| (file.to_owned(), line)),
        }
    }

    fn failure(modules: &[&str], on: ImportPlace, reason: ImportReason) -> ImportFailure {
        let modules = modules.iter().map(|&module| module.to_owned()).collect();
        ImportFailure {
            modules,
            on,
            reason,
        }
    }

    fn failed(failures: Vec<ImportFailure>) -> Error {
        Error::ImportTest(ImportTestError::Failed {
            image: "job".to_owned(),
            reference: "r.example/job:1".to_owned(),
            failed: 9,
            all: 20,
            failures,
        })
    }

    #[test]
    fn failures_are_told_by_their_reasons() {
        let error = failed(vec![
            failure(
                &["a", "b", "c", "d", "e", "f", "g"],
                ImportPlace::Both,
                reason(
                    "ModuleNotFoundError",
                    "No module named 'x'",
                    Some(("/opt/job/jobs.zip/a.py", 3)),
                ),
            ),
            failure(&["h"], ImportPlace::Workers, reason("SystemExit", "", None)),
            failure(
                &["i"],
                ImportPlace::Driver,
                reason("ValueError", "one\n\n two\n", None),
            ),
        ]);
        assert_eq!(error.headline(), "`job`: 9 of 20 imports fail in the image");
        assert_eq!(
            error.because().unwrap(),
            "a, b, c, d, e, f and 1 more, on the driver and in the workers: ModuleNotFoundError: No module named 'x' (/opt/job/jobs.zip/a.py, line 3)\n\
             h, in the workers: SystemExit\n\
             i, on the driver: ValueError: one\n   two"
        );
        assert_eq!((error.code(), error.exit_code()), (Code::E210, 6));
    }

    #[test]
    fn the_hint_is_for_the_first_reason() {
        let both = ImportPlace::Both;
        for (first, wanted) in [
            (
                failure(
                    &["x"],
                    both,
                    reason(
                        "ImportError",
                        "libxml2.so.2: cannot open shared object file: No such file or directory",
                        None,
                    ),
                ),
                "the image lacks the system's library libxml2.so.2: install its Debian package in a Dockerfile of the image, or of the one that it stands on",
            ),
            (
                failure(
                    &["x"],
                    ImportPlace::Workers,
                    reason("ModuleNotFoundError", "No module named 'x'", None),
                ),
                "executors have what is on PYTHONPATH in the image: a driver also finds what lies beside the main file",
            ),
            (
                failure(
                    &["x"],
                    both,
                    reason("ModuleNotFoundError", "No module named 'x'", None),
                ),
                "add what is missing to the job's requirements, or to its `src`",
            ),
            (
                failure(&["main.py"], both, reason("ValueError", "no", None)),
                Code::E210.cure(),
            ),
            (
                failure(&["x.y"], both, reason("ValueError", "no", None)),
                "`docker run --rm --network none r.example/job:1 python3 -c \"import x.y\"` shows the whole traceback",
            ),
        ] {
            assert_eq!(failed(vec![first]).hint().unwrap(), wanted);
        }
    }

    #[test]
    fn an_end_without_a_result_is_told_with_what_it_was_at() {
        let image = || "job".to_owned();
        let at = || Some("numpy on the driver".to_owned());
        let died = |code, output: &[&str]| {
            let output = output.iter().map(|&line| line.to_owned()).collect();
            Error::ImportTest(ImportTestError::Died {
                image: image(),
                at: at(),
                code,
                output,
            })
        };
        assert_eq!(
            died(Some(139), &["Fatal Python error", "rest"]).to_string(),
            "`job`: the import test ended while it imported numpy on the driver, with exit code 139\nFatal Python error\nrest"
        );
        assert!(died(Some(137), &[]).hint().unwrap().contains("memory"));
        let slow = ImportTestError::OutOfTime {
            image: image(),
            minutes: 10,
            at: at(),
        };
        assert_eq!(
            slow.to_string(),
            "`job`: the import test was stopped after 10 minutes while it imported numpy on the driver"
        );
        assert_eq!(Error::from(slow).exit_code(), 6);
        assert_eq!(Error::from(ImportTestError::NoDaemon).exit_code(), 2);
    }
}
