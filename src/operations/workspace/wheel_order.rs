//! A wheel that is to be built from its source.

use crate::{
    error::{Error, WheelBuildError},
    image::Digest,
    project::{
        Image,
        lock::Lock,
        requirements::{BuiltFrom, PackageOrigins},
        wheel::Target,
    },
};

/// The number must change with the way in which wheels are built.
const BUILT: &str = "built wheel 1";

/// A source distribution on an index.
#[derive(Clone, Copy)]
pub(crate) enum OnIndex<'a> {
    /// Its URL.
    At(&'a str),
    /// The version that it is of.
    Version(&'a str),
}

/// A wheel that is wanted.
#[derive(Clone, Copy)]
pub(crate) struct WheelOrder<'a> {
    /// The image that needs it.
    pub(crate) image: &'a Image,
    /// The package's normalised name.
    pub(crate) package: &'a str,
    pub(crate) source: &'a BuiltFrom,
    /// By what an index has the source distribution, if one has it.
    pub(crate) on_index: Option<OnIndex<'a>>,
    pub(crate) target: &'a Target,
    /// What images are made from.
    pub(crate) lock: &'a Lock,
    /// Where the requirements say that packages come from.
    pub(crate) origins: Option<&'a PackageOrigins>,
}

impl WheelOrder<'_> {
    /// A digest of everything that decides which wheel it is, as far as that can be known.
    pub(super) fn key(&self) -> Digest {
        let Target {
            python: (major, minor),
            platform,
            glibc,
        } = self.target;
        let packages = &self.image.wheel_builds.packages;
        Digest::of_fields([
            BUILT,
            self.package,
            &self.source.to_string(),
            &format!("{major}.{minor} {platform} {}.{}", glibc.0, glibc.1),
            &packages.join(" "),
        ])
    }

    /// The error of a build that did not succeed.
    pub(crate) fn failed(&self, output: Vec<String>, message: impl Into<String>) -> Error {
        WheelBuildError::Failed {
            package: self.package.to_owned(),
            from: self.source.to_string(),
            output,
            message: message.into(),
        }
        .into()
    }
}
