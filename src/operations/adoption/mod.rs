//! Adopts a project that is there already: reads its files, decides a configuration, checks it as a run would read it,
//! and says what was found, what is assumed, what cannot be told and what to watch.
//!
//! Nothing is asked, nothing is sent, and nothing but the configuration is written.

mod actions;
mod below;
mod build_line;
mod chain;
mod check;
mod code;
mod commands;
mod dockerfile_traps;
mod dockerfiles;
mod document;
mod draft;
mod each;
mod each_table;
mod entries;
mod globs;
mod ignored;
mod image_name;
mod job_table;
mod manifests;
mod metadata;
mod modules;
mod naming;
mod pip_installs;
mod proposal;
mod remark;
mod requirements;
mod survey;
mod told;
mod traps;
mod tree;
mod unit_table;
mod units;
mod variables;

use std::path::{Path, PathBuf};

use proposal::Proposal;
pub(crate) use remark::{Fact, Remark};
use survey::ProjectSurvey;

use crate::{
    adapters::store,
    error::{Error, UsageError},
    project::{FILE_NAME, place::Defect},
};

/// A configuration for a project, and what is to be said of it.
#[derive(Debug)]
pub(crate) struct Adopted {
    /// The folder that it is for.
    pub(crate) root: PathBuf,
    /// The configuration's text.
    pub(crate) text: String,
    /// What it follows from.
    pub(crate) facts: Vec<Fact>,
    /// What nothing in the project says.
    pub(crate) assumed: Vec<Remark>,
    /// What cannot be told, or not be done.
    pub(crate) untold: Vec<Remark>,
    /// What goes wrong sooner or later.
    pub(crate) traps: Vec<Remark>,
}

/// What has changed since a configuration was written.
#[derive(Debug)]
pub(crate) struct SinceThen {
    /// Facts that are there now and were not.
    pub(crate) new: Vec<Fact>,
    /// Facts that were there.
    pub(crate) gone: Vec<Fact>,
    /// The configuration as it is.
    pub(crate) old: String,
    /// What would be proposed now.
    pub(crate) text: String,
}

/// Proposes a configuration for the project in `directory`, by default the current folder.
///
/// # Errors
/// There is a configuration already, here or above; the project cannot be understood.
pub(crate) fn adopt(directory: Option<&Path>) -> Result<Adopted, Error> {
    let root = folder(directory)?;
    let above = root
        .ancestors()
        .find(|folder| folder.join(FILE_NAME).exists());
    if let Some(above) = above {
        return Err(UsageError::AlreadyAdopted {
            folder: above.to_owned(),
            is_above: above != root,
        }
        .into());
    }
    proposed(root)
}

/// Writes the configuration: all of it or nothing.
///
/// # Errors
/// The disk's.
pub(crate) fn write(adopted: &Adopted) -> Result<PathBuf, Error> {
    let file = adopted.root.join(FILE_NAME);
    store::replace(&file, adopted.text.as_bytes())?;
    Ok(file)
}

/// Compares the facts that a configuration holds with the project as it is now.
///
/// # Errors
/// There is no configuration, or it has no facts; the project cannot be understood.
pub(crate) fn since_then(directory: Option<&Path>) -> Result<SinceThen, Error> {
    let root = folder(directory)?;
    let file = root.join(FILE_NAME);
    if !file.is_file() {
        return Err(UsageError::NoProject {
            folder: root,
            with_parents: false,
        }
        .into());
    }
    let old = fs_err::read_to_string(&file)?;
    let before = document::facts(&old);
    if before.is_empty() {
        return Err(UsageError::NoFacts { file }.into());
    }
    let now = proposed(root)?;
    let missing = |of: &[Fact], from: &[Fact]| -> Vec<Fact> {
        let lost = of
            .iter()
            .filter(|fact| !from.iter().any(|other| other.is_same(fact)));
        lost.cloned().collect()
    };
    Ok(SinceThen {
        new: missing(&now.facts, &before),
        gone: missing(&before, &now.facts),
        text: now.text,
        old,
    })
}

fn proposed(root: PathBuf) -> Result<Adopted, Error> {
    let survey = ProjectSurvey::of(&root)?;
    let mut proposal = Proposal::of(&survey).map_err(|nothing| UsageError::NotUnderstood {
        folder: root.clone(),
        looked: nothing.looked,
    })?;
    let text = check::checked(&survey, &mut proposal).map_err(|defect| unfit(&proposal, defect))?;
    Ok(Adopted {
        root,
        text,
        facts: proposal.facts,
        assumed: proposal.assumed,
        untold: proposal.untold,
        traps: proposal.traps,
    })
}

/// The proposal would be refused: what it has there, and why.
fn unfit(proposal: &Proposal, defect: Defect) -> Error {
    let text = proposal.text();
    let line = text.lines().nth(defect.place.line - 1).unwrap_or_default();
    UsageError::UnfitProposal {
        line: line.to_owned(),
        defect: Box::new(defect),
    }
    .into()
}

fn folder(directory: Option<&Path>) -> Result<PathBuf, Error> {
    let folder = match directory {
        Some(directory) => directory.to_owned(),
        None => store::current_folder()?,
    };
    if !folder.is_dir() {
        let looked = vec!["there is no such folder".to_owned()];
        return Err(UsageError::NotUnderstood { folder, looked }.into());
    }
    Ok(fs_err::canonicalize(folder)?)
}
