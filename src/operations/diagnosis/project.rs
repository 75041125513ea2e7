//! The project's files: its configuration, its locks, and what of it needs a builder.

use std::collections::BTreeSet;

use super::finding::Finding;
use crate::{
    error::{Error, UsageError},
    image::Platform,
    operations::{
        resolution::{self, Prepared},
        workspace::Session,
    },
    plan::{Inputs, Recipe},
    project::FILE_NAME,
};

/// What of a project decides what it needs of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ProjectNeeds {
    /// The images that only a builder can make.
    pub(super) built: Vec<String>,
    /// The images that are put together without one.
    pub(super) assembled: Vec<String>,
    /// What only `BuildKit` can do, each with the Dockerfile and the line.
    pub(super) buildkit: Vec<String>,
    /// The platforms of the images that only a builder can make.
    pub(super) platforms: BTreeSet<Platform>,
    /// Whether packages are chosen or installed for an image.
    pub(super) packages: bool,
    /// The Pythons of the chains, as `3.11`.
    pub(super) pythons: BTreeSet<String>,
    /// The number of chains whose base and `py` are made here.
    pub(super) made_chains: u64,
}

impl ProjectNeeds {
    pub(super) fn of(session: &Session<'_>, inputs: Option<&Inputs>) -> Self {
        let project = &session.project;
        let mut needs = Self {
            pythons: project
                .chains
                .values()
                .filter_map(|chain| chain.made())
                .map(|made| format!("{}.{}", made.python.0, made.python.1))
                .collect(),
            made_chains: project
                .chains
                .values()
                .filter(|chain| chain.made().is_some())
                .count() as u64,
            ..Self::default()
        };
        for (name, read) in inputs.iter().flat_map(|inputs| inputs.iter()) {
            let Some(image) = project.images.get(name) else {
                continue;
            };
            needs.packages |= read.requirements.is_some();
            match &read.recipe {
                Recipe::Files(_) => needs.assembled.push(name.clone()),
                Recipe::Dockerfile(inputs) => {
                    needs.built.push(name.clone());
                    needs.platforms.extend(image.platforms.iter().cloned());
                    let file = inputs.dockerfile.file().display().to_string();
                    let features = inputs.dockerfile.features().iter();
                    let told = features
                        .map(|feature| format!("{file}:{}: {}", feature.line, feature.name));
                    needs.buildkit.extend(told);
                }
            }
        }
        needs
    }
}

/// The configuration.
pub(super) fn of_project(opened: &Result<Session<'_>, Error>, warnings: usize) -> Finding {
    const CHECK: &str = "project";
    match opened {
        Ok(session) => {
            let project = &session.project;
            let count = project.images.len();
            let images = counted(count, "image");
            let text = format!("{} in {}: {images}", project.name, project.root.display());
            match warnings {
                0 => Finding::good(CHECK, text),
                1 => Finding::note(CHECK, format!("{text}; 1 warning")).run("sparkpack plan"),
                several => Finding::note(CHECK, format!("{text}; {several} warnings"))
                    .run("sparkpack plan"),
            }
        }
        Err(Error::Usage(error @ UsageError::NoProject { .. })) => {
            let text = format!(
                "{error}: `sparkpack init` in a project's folder reads one that is there, `sparkpack new NAME` begins one"
            );
            Finding::note(CHECK, text).run("sparkpack init")
        }
        Err(error) => Finding::of_error(CHECK, error),
    }
}

/// The locks.
pub(super) fn of_locks(prepared: &Result<Prepared, Error>) -> Finding {
    const CHECK: &str = "locks";
    match prepared {
        Ok(prepared) => {
            let wheels = prepared
                .plan
                .parents_first()
                .flat_map(|stage| &stage.platforms);
            let wheels: BTreeSet<_> = wheels
                .flat_map(|on| &on.wheels)
                .map(|wheel| &wheel.sha256)
                .collect();
            Finding::good(
                CHECK,
                format!(
                    "complete: {}, {} from elsewhere",
                    counted(wheels.len(), "wheel"),
                    counted(prepared.lock.images.len(), "image")
                ),
            )
        }
        Err(error @ Error::Unlocked(_)) => Finding::of_error(CHECK, error).run("sparkpack lock"),
        Err(error) => Finding::of_error(CHECK, error),
    }
}

/// The inputs that git does not track.
pub(super) fn untracked(session: &Session<'_>, prepared: &Prepared) -> Vec<String> {
    let targets: Vec<String> = session.project.images.keys().cloned().collect();
    resolution::untracked_inputs(session, prepared, &targets).unwrap_or_default()
}

/// A check that has nothing to say, because there is no project or its configuration cannot be read.
pub(super) fn without_project<T>(check: &str, opened: &Result<T, Error>) -> Finding {
    let why = match opened {
        Err(Error::Usage(UsageError::NoProject { .. })) => format!("there is no {FILE_NAME}"),
        _ => format!("{FILE_NAME} cannot be read"),
    };
    Finding::not_asked(check, why)
}

fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        several => format!("{several} {what}s"),
    }
}
