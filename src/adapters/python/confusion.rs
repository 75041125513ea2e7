//! A name that two indexes have: whoever owns it on one of them could replace the other's package.

use super::{
    Candidates, Question, SourceOnIndex,
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
    let Some(indexes) = Indexes::of(installer) else {
        return Ok(());
    };
    // What is built was looked at before its source was.
    let of_index = wheels.iter().filter(|locked| locked.built_from.is_none());
    for locked in of_index.filter(|locked| !is_told(requirements, &locked.wheel.name)) {
        let pin = locked.pin();
        if let Some(of) = installer.indexes.get(&pin.name) {
            let there = ask(
                installer,
                Some(indexes.with_password(of)),
                pin.to_string(),
                target,
            )?;
            let mut there = there.iter().flat_map(|there| there.values().flatten());
            if there.any(|file| file.sha256 == locked.sha256) {
                continue;
            }
            return Err(PythonError::OtherIndex {
                wheel: locked.wheel.file_name.clone(),
                index: masked(of),
            });
        }
        indexes.refuse_two(installer, &pin.name, target)?;
    }
    Ok(())
}

/// The same for a source distribution, before anything of it is run.
pub(super) fn refuse_source(
    installer: &Installer,
    package: &str,
    source: &SourceOnIndex,
    target: &Target,
    requirements: &Requirements,
) -> Result<(), PythonError> {
    let indexes = Indexes::of(installer).filter(|_| !is_told(requirements, package));
    let Some(indexes) = indexes else {
        return Ok(());
    };
    let Some(of) = installer.indexes.get(package) else {
        return indexes.refuse_two(installer, package, target);
    };
    let alone = alone(installer, Some(indexes.with_password(of)));
    let run = ToolRun::new(&alone)?;
    let question = Question::about(format!("{package}=={}", source.version));
    match uv::source(&run, &question, package, target) {
        Ok(there) if there.sha256 == source.sha256 => Ok(()),
        Ok(_) | Err(PythonError::NotFound { .. }) => Err(PythonError::OtherIndex {
            wheel: source.file_name.clone(),
            index: masked(of),
        }),
        Err(error) => Err(error),
    }
}

/// Whether it is said which package of this name is meant: who names the index, or the digests of the files, has said so.
fn is_told(requirements: &Requirements, package: &str) -> bool {
    let mut wanted = requirements.wanted.iter();
    wanted.any(|wanted| {
        wanted.name == package && (wanted.index.is_some() || !wanted.hashes.is_empty())
    })
}

/// The main index, if it is not the installer's own, and the extra ones.
struct Indexes {
    main: Option<String>,
    extra: Vec<String>,
}

impl Indexes {
    /// Those of an installer; `None` if there is no extra one, or none may be asked.
    fn of(installer: &Installer) -> Option<Self> {
        let extra = installer.index.extra(installer.tool == Tool::Uv);
        if extra.is_empty() || installer.offline {
            return None;
        }
        let main = installer.index.main(installer.tool == Tool::Uv);
        let is_other = |url: &String| main.as_ref() != Some(url);
        Some(Self {
            extra: extra.into_iter().filter(is_other).collect(),
            main,
        })
    }

    /// The URL of one of them that is this one but for a user and a password.
    fn with_password<'a>(&'a self, url: &'a str) -> &'a str {
        let all = self.extra.iter().chain(&self.main).map(String::as_str);
        with_password(url, all)
    }

    /// Refuses a package that the main index and an extra one both have.
    fn refuse_two(
        &self,
        installer: &Installer,
        package: &str,
        target: &Target,
    ) -> Result<(), PythonError> {
        let mut having = Vec::new();
        for url in &self.extra {
            if ask(installer, Some(url), package.to_owned(), target)?.is_some() {
                having.push(masked(url));
            }
        }
        // What no extra index has, only the main one can have.
        let main = self.main.as_deref();
        if !having.is_empty() && ask(installer, main, package.to_owned(), target)?.is_some() {
            let own = || format!("the own index of {}", installer.tool);
            having.push(main.map_or_else(own, masked));
        }
        if having.len() > 1 {
            return Err(PythonError::TwoIndexes {
                package: package.to_owned(),
                indexes: having,
            });
        }
        Ok(())
    }
}

/// The URL of one of the indexes that is this one but for a user and a password.
fn with_password<'a>(url: &'a str, indexes: impl IntoIterator<Item = &'a str>) -> &'a str {
    let mut indexes = indexes.into_iter();
    indexes
        .find(|index| is_same_index(index, url))
        .unwrap_or(url)
}

/// An installer that asks this index alone.
fn alone(installer: &Installer, index: Option<&str>) -> Installer {
    Installer {
        index: installer.index.alone(index),
        ..installer.clone()
    }
}

/// The wheels that an index has of a package; `None` if it does not have the package at all.
fn ask(
    installer: &Installer,
    index: Option<&str>,
    wanted: String,
    target: &Target,
) -> Result<Option<Candidates>, PythonError> {
    let alone = alone(installer, index);
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
