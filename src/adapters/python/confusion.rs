//! A name that two indexes have: whoever owns it on one of them could replace the other's package.

use super::{
    Candidates, Question,
    error::PythonError,
    pip,
    run::ToolRun,
    tool::{Installer, Tool},
    uv,
};
use crate::project::{
    requirements::{LockedWheel, Requirements, is_same_index, masked},
    wheel::Target,
};

/// Refuses wheels of packages that the main index and an extra one both have, unless the configuration names the index that
/// they come from; and those that do not come from there. Without extra indexes nobody is asked.
pub(super) fn refuse(
    installer: &Installer,
    wheels: &[LockedWheel],
    target: &Target,
    requirements: &Requirements,
) -> Result<(), PythonError> {
    let extra = installer.index.extra(installer.tool == Tool::Uv);
    if extra.is_empty() || installer.offline {
        return Ok(());
    }
    let main = installer.index.main(installer.tool == Tool::Uv);
    let main = main.as_deref();
    let extra: Vec<&str> = extra.iter().map(String::as_str).collect();
    let extra: Vec<&str> = extra.into_iter().filter(|url| main != Some(*url)).collect();
    // Who names the index of a package, or the digests of its files, has said which one is meant.
    let is_told = |locked: &&LockedWheel| {
        let mut wanted = requirements.wanted.iter();
        wanted.any(|wanted| {
            wanted.name == locked.wheel.name
                && (wanted.index.is_some() || !wanted.hashes.is_empty())
        })
    };
    for locked in wheels.iter().filter(|locked| !is_told(locked)) {
        let pin = locked.pin();
        if let Some(of) = installer.indexes.get(&pin.name) {
            let url = with_password(of, extra.iter().copied().chain(main));
            let there = ask(installer, Some(url), pin.to_string(), target)?;
            let mut there = there.iter().flat_map(|there| there.values().flatten());
            if there.any(|file| file.sha256 == locked.sha256) {
                continue;
            }
            return Err(PythonError::OtherIndex {
                wheel: locked.wheel.file_name.clone(),
                index: masked(of),
            });
        }
        let mut having = Vec::new();
        for &url in &extra {
            if ask(installer, Some(url), pin.name.clone(), target)?.is_some() {
                having.push(masked(url));
            }
        }
        // What no extra index has, only the main one can have.
        if !having.is_empty() && ask(installer, main, pin.name.clone(), target)?.is_some() {
            let own = || format!("the own index of {}", installer.tool);
            having.push(main.map_or_else(own, masked));
        }
        if having.len() > 1 {
            return Err(PythonError::TwoIndexes {
                package: pin.name,
                indexes: having,
            });
        }
    }
    Ok(())
}

/// The URL of one of the indexes that is this one but for a user and a password.
fn with_password<'a>(url: &'a str, indexes: impl IntoIterator<Item = &'a str>) -> &'a str {
    let mut indexes = indexes.into_iter();
    indexes
        .find(|index| is_same_index(index, url))
        .unwrap_or(url)
}

/// The wheels that an index has of a package; `None` if it does not have the package at all.
fn ask(
    installer: &Installer,
    index: Option<&str>,
    wanted: String,
    target: &Target,
) -> Result<Option<Candidates>, PythonError> {
    let alone = Installer {
        index: installer.index.alone(index),
        ..installer.clone()
    };
    let run = ToolRun::new(&alone)?;
    let question = Question::about(wanted);
    let answer = match installer.tool {
        Tool::Uv => uv::resolve(&run, &question, target),
        Tool::Pip => pip::resolve(&run, &question, target),
    };
    match answer {
        Ok(candidates) => Ok(Some(candidates)),
        Err(PythonError::NotFound { versions, .. }) if versions.is_empty() => Ok(None),
        Err(error) if error.is_about_versions() => Ok(Some(Candidates::new())),
        Err(error) => Err(error),
    }
}
