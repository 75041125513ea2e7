//! The files of wheels that are built from their sources: those that the project keeps, or those in the cache, which are
//! built again where they are missing.

use super::to_install::ToInstall;
use crate::{
    adapters::store,
    error::{Error, WheelBuildError},
    image::Digest,
    operations::{
        events::Progress,
        workspace::{self, OnIndex, Services, Session, WheelOrder},
    },
    project::{
        place::Place,
        requirements::{BuiltFrom, DirectFile, FilePlace, LockedWheel, PackageOrigins},
        wheel::Target,
    },
};

/// Finds the files of wheels for an image.
pub(super) struct Files<'a> {
    pub(super) session: &'a Session<'a>,
    pub(super) services: &'a Services<'a>,
    pub(super) wanted: ToInstall<'a>,
    pub(super) target: &'a Target,
}

impl Files<'_> {
    /// The wheels as an installer takes them: each that was built with the digest of its file, and the places of these
    /// files among the origins, if there are any.
    pub(super) fn of<'w>(
        &self,
        wheels: impl Iterator<Item = &'w LockedWheel>,
        progress: &mut dyn Progress,
    ) -> Result<(Vec<LockedWheel>, Option<PackageOrigins>), Error> {
        let mut origins = None;
        let wheels = wheels.map(|wheel| {
            let Some(source) = &wheel.built_from else {
                return Ok(wheel.clone());
            };
            let (path, sha256) = self.file(wheel, source, progress)?;
            let known = || self.wanted.origins.cloned().unwrap_or_default();
            let origins: &mut PackageOrigins = origins.get_or_insert_with(known);
            origins.direct.push(DirectFile {
                file_name: wheel.wheel.file_name.clone(),
                hashes: vec![sha256.clone()],
                place: FilePlace::File(path),
                written: Place::of_line("", 1),
            });
            Ok(LockedWheel {
                sha256,
                ..wheel.clone()
            })
        });
        let wheels = wheels.collect::<Result<_, Error>>()?;
        Ok((wheels, origins))
    }

    fn file(
        &self,
        wheel: &LockedWheel,
        source: &BuiltFrom,
        progress: &mut dyn Progress,
    ) -> Result<(std::path::PathBuf, Digest), Error> {
        let root = &self.session.project.root;
        let kept = self.wanted.image.wheel_builds.kept(&wheel.wheel);
        let kept = kept.filter(|_| wheel.built_anew().is_none());
        if let Some(kept) = &kept
            && workspace::digest_of(&root.join(kept))?.as_ref() == Some(&wheel.sha256)
        {
            return Ok((root.join(kept), wheel.sha256.clone()));
        }
        let lock = workspace::read_lock(root)?;
        let order = WheelOrder {
            image: self.wanted.image,
            package: &wheel.wheel.name,
            source,
            on_index: Some(OnIndex::Version(&wheel.wheel.version)),
            target: self.target,
            lock: &lock,
            origins: self.wanted.origins,
        };
        let built = self.services.built_wheel(self.session, &order, progress)?;
        if built.wheel.file_name != wheel.wheel.file_name {
            let message = format!(
                "the lock has `{}`, and what comes out of it is `{}`",
                wheel.wheel.file_name, built.wheel.file_name
            );
            return Err(order.failed(Vec::new(), message));
        }
        let Some(kept) = kept else {
            return Ok((built.file, built.sha256));
        };
        if built.sha256 != wheel.sha256 {
            return Err(WheelBuildError::NotKept {
                file: kept,
                from: source.to_string(),
                package: wheel.wheel.name.clone(),
            }
            .into());
        }
        let path = root.join(kept);
        fs_err::create_dir_all(path.parent().unwrap_or(root))?;
        store::replace(&path, &fs_err::read(&built.file)?)?;
        Ok((path, built.sha256))
    }
}
