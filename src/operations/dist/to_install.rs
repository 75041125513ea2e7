//! What is to be installed for an image.

use crate::{
    image::Digest,
    plan::PlatformStage,
    project::{
        Image,
        inputs::ImageRequirements,
        requirements::{LockedWheel, PackageOrigins},
        wheel::Target,
    },
};

/// What is to be installed.
#[derive(Clone, Copy)]
pub(super) struct ToInstall<'a> {
    pub(super) wheels: &'a [LockedWheel],
    pub(super) target: Option<&'a Target>,
    /// The image that they are for.
    pub(super) image: &'a Image,
    /// Where the requirements say that packages come from.
    pub(super) origins: Option<&'a PackageOrigins>,
}

impl<'a> ToInstall<'a> {
    pub(super) fn new(
        image: &'a Image,
        requirements: Option<&'a ImageRequirements>,
        wheels: &'a [LockedWheel],
        target: Option<&'a Target>,
    ) -> Self {
        Self {
            wheels,
            target,
            image,
            origins: requirements.map(|known| &known.requirements.origins),
        }
    }

    pub(super) fn of(stage: &'a PlatformStage) -> Self {
        let requirements = stage.inputs.requirements.as_ref();
        Self::new(
            &stage.image,
            requirements,
            &stage.wheels,
            stage.target.as_ref(),
        )
    }

    /// A digest of everything that decides what is installed.
    pub(super) fn key(&self) -> Option<Digest> {
        let target = self.target.filter(|_| !self.wheels.is_empty())?;
        let mut rows: Vec<String> = self.wheels.iter().map(row).collect();
        rows.sort();
        Some(digest_of("packages 2", target, &rows.concat()))
    }
}

pub(super) fn row(locked: &LockedWheel) -> String {
    format!("{} {}\n", locked.wheel.file_name, locked.sha256)
}

pub(super) fn digest_of(format: &str, target: &Target, rows: &str) -> Digest {
    let (major, minor) = target.python;
    let platform = &target.platform;
    // What a wheel needs of glibc was looked at when it was installed.
    let (glibc_major, glibc_minor) = target.glibc;
    let glibc = format!("glibc {glibc_major}.{glibc_minor}");
    let key = format!("{format}\npython {major}.{minor}\nplatform {platform}\n{glibc}\n{rows}");
    Digest::of(key.as_bytes())
}
