//! Packages of which no index has a wheel: which source of them is taken, and what is built from it.

use std::collections::BTreeSet;

use super::wanted::Wanted;
use crate::{
    adapters::{
        cache::CacheKind,
        git,
        python::{BuiltPackage, Installer, Provided, PythonError, SourceOnIndex, metadata_of},
        store,
    },
    code::Code,
    error::{Error, OnlineWork, WheelBuildError},
    image::Digest,
    operations::{
        events::{Progress, Step},
        workspace::{self, BuiltWheel, OnIndex, Services, Session, WheelOrder},
    },
    project::{
        lock::Lock,
        place::Defect,
        requirements::{
            BuiltFrom, FilePlace, GitPlace, LockedWheel, Pin, Requirement, expand, masked,
        },
        wheel::choose,
    },
};

/// A wheel that is to be kept in the project: its path below the project's folder, and the file that it is copied from.
pub(super) type KeptWheel = (std::path::PathBuf, std::path::PathBuf);

/// Builds what is needed of sources to choose the wheels of an image.
pub(super) struct FromSource<'a> {
    pub(super) session: &'a Session<'a>,
    pub(super) services: &'a Services<'a>,
    pub(super) lock: &'a Lock,
    pub(super) wanted: &'a Wanted<'a>,
    /// The wheels that were locked before, and the packages that are to be chosen anew.
    pub(super) before: (Vec<LockedWheel>, &'a BTreeSet<String>),
    pub(super) kept: Vec<KeptWheel>,
}

impl FromSource<'_> {
    /// The wheels of the requirements that name a source.
    pub(super) fn of_places(
        &mut self,
        progress: &mut dyn Progress,
    ) -> Result<Vec<BuiltPackage>, Error> {
        let requirements = &self.wanted.requirements.requirements;
        let mut built = Vec::new();
        let mut seen = BTreeSet::new();
        for wanted in &requirements.wanted {
            let place = wanted.direct.as_ref().filter(|place| place.is_source());
            let Some(place) = place.filter(|_| seen.insert(&wanted.name)) else {
                continue;
            };
            let source = match place {
                FilePlace::Git(git) => self.commit(wanted, git, progress)?,
                FilePlace::File(_) | FilePlace::Url(_) => {
                    let file_name = place.file_name();
                    let sha256 = wanted.hashes.first().cloned().ok_or_else(|| {
                        let message = format!("`{file_name}` has no hash");
                        Defect::new(Code::E168, wanted.place.clone(), message)
                    })?;
                    BuiltFrom::Archive { file_name, sha256 }
                }
            };
            built.push(self.build(&wanted.name, source, None, progress)?);
        }
        Ok(built)
    }

    /// The wheel of a package for whose lack an index cannot answer, if it may be built.
    pub(super) fn instead_of(
        &mut self,
        error: &PythonError,
        installer: &Installer,
        provided: &Provided,
        progress: &mut dyn Progress,
    ) -> Result<Option<BuiltPackage>, Error> {
        let requirements = &self.wanted.requirements.requirements;
        let Some(name) = error.without_wheel() else {
            return Ok(None);
        };
        let is_built = provided
            .built
            .iter()
            .any(|built| built.locked.wheel.name == name);
        if is_built || !requirements.from_source.contains(&name) {
            return Ok(None);
        }
        let (before, upgraded) = &self.before;
        let pins = before.iter().map(LockedWheel::pin);
        let pins: Vec<Pin> = pins
            .filter(|pin| pin.name == name && !upgraded.contains(&pin.name))
            .collect();
        let ask = |pins: &[Pin]| {
            installer.source_on_index(&name, (requirements, pins), self.wanted.target, provided)
        };
        let found = match ask(&pins) {
            Err(_) if !pins.is_empty() => ask(&[])?,
            found => found?,
        };
        let SourceOnIndex {
            file_name,
            sha256,
            url,
            ..
        } = found;
        let source = BuiltFrom::Archive { file_name, sha256 };
        self.build(&name, source, Some(&url), progress).map(Some)
    }

    fn build(
        &mut self,
        package: &str,
        source: BuiltFrom,
        url: Option<&str>,
        progress: &mut dyn Progress,
    ) -> Result<BuiltPackage, Error> {
        let image = self.wanted.image;
        if let Some(kept) = self.kept_before(package, &source)? {
            return Ok(kept);
        }
        let order = WheelOrder {
            image,
            package,
            source: &source,
            on_index: url.map(OnIndex::At),
            target: self.wanted.target,
            lock: self.lock,
            origins: Some(&self.wanted.requirements.requirements.origins),
        };
        let BuiltWheel {
            file,
            wheel,
            sha256,
            needs,
        } = self.services.built_wheel(self.session, &order, progress)?;
        let sha256 = match image.wheel_builds.kept(&wheel) {
            Some(kept) => {
                self.kept.push((kept.into(), file));
                sha256
            }
            None => source.digest(),
        };
        Ok(BuiltPackage {
            locked: LockedWheel {
                wheel,
                sha256,
                built_from: Some(source),
            },
            needs,
        })
    }

    /// The wheel of the same source that the project keeps already: built anew it could have other bytes.
    fn kept_before(
        &self,
        package: &str,
        source: &BuiltFrom,
    ) -> Result<Option<BuiltPackage>, Error> {
        let image = self.wanted.image;
        let (before, upgraded) = &self.before;
        let is_it = |wheel: &&LockedWheel| {
            wheel.wheel.name == package
                && wheel.built_from.as_ref() == Some(source)
                && wheel.built_anew().is_none()
                && choose([&wheel.wheel], self.wanted.target).is_ok()
        };
        let locked = before.iter().find(is_it);
        let locked = locked.filter(|_| !upgraded.contains(package));
        let kept = |locked: &LockedWheel| image.wheel_builds.kept(&locked.wheel);
        let Some((locked, kept)) = locked.and_then(|locked| Some((locked, kept(locked)?))) else {
            return Ok(None);
        };
        let file = self.session.project.root.join(kept);
        if workspace::digest_of(&file)?.as_ref() != Some(&locked.sha256) {
            return Ok(None);
        }
        Ok(metadata_of(&file).ok().map(|metadata| BuiltPackage {
            locked: locked.clone(),
            needs: metadata.needs,
        }))
    }

    /// The commit that a requirement leads to: the locked one, as long as the requirement says the same.
    fn commit(
        &self,
        wanted: &Requirement,
        place: &GitPlace,
        progress: &mut dyn Progress,
    ) -> Result<BuiltFrom, Error> {
        let (before, upgraded) = &self.before;
        let mut locked = before
            .iter()
            .filter(|wheel| wheel.wheel.name == wanted.name);
        let known = locked.find_map(|wheel| match &wheel.built_from {
            Some(same @ BuiltFrom::Commit { place: was, .. }) if was == place => Some(same.clone()),
            _ => None,
        });
        if let Some(known) = known.filter(|_| !upgraded.contains(&wanted.name)) {
            return Ok(known);
        }
        let shown = masked(&place.repository);
        progress.step(Step::FetchSource(&shown));
        let folder = fetched(self.session, self.services, (&wanted.name, wanted), place)?;
        let commit = git::commit(&folder, place.revision.as_deref());
        let commit = commit.ok_or_else(|| {
            Error::from(WheelBuildError::Repository {
                package: wanted.name.clone(),
                repository: shown,
                reason: format!(
                    "it has no branch, tag or commit `{}`",
                    place.revision.as_deref().unwrap_or("HEAD")
                ),
            })
        })?;
        Ok(BuiltFrom::Commit {
            place: place.clone(),
            commit,
        })
    }
}

/// Fetches the repository of a requirement into the cache, and returns its folder there.
fn fetched(
    session: &Session<'_>,
    services: &Services<'_>,
    (package, wanted): (&str, &Requirement),
    place: &GitPlace,
) -> Result<std::path::PathBuf, Error> {
    let url = expand(&place.repository, store::environment);
    let url = url.map_err(|name| {
        let message = format!("the variable `{name}` is not set, which the URL needs");
        Defect::new(Code::E166, wanted.place.clone(), message).hint(format!("set `{name}`"))
    })?;
    fetch_repository(session, services, package, (place, &url))
}

/// Fetches a repository into the cache, and returns its folder there. `url` is its URL with the values of variables.
pub(crate) fn fetch_repository(
    session: &Session<'_>,
    services: &Services<'_>,
    package: &str,
    (place, url): (&GitPlace, &str),
) -> Result<std::path::PathBuf, Error> {
    let shown = masked(&place.repository);
    let key = Digest::of(place.repository.as_bytes());
    let folder = session.cache.entry(CacheKind::Repositories, key.short(32));
    // A commit never changes.
    if place.names_commit() && git::commit(&folder, place.revision.as_deref()).is_some() {
        return Ok(folder);
    }
    services.refuse_offline(|| OnlineWork::Repository(shown.clone()))?;
    let lock = folder.with_extension("lock");
    let _alone = session.alone_with_entry(&lock, "fetches the same repository")?;
    git::fetch(url, &folder, place.revision.as_deref()).map_err(|error| {
        let reason = error.to_string().replace(url, &shown);
        Error::from(WheelBuildError::Repository {
            package: package.to_owned(),
            repository: shown.clone(),
            reason,
        })
    })?;
    Ok(folder)
}
