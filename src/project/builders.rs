//! Where Dockerfiles are built, if not by the Docker daemon. Nothing of it gets into a fingerprint.

use std::{collections::BTreeMap, path::PathBuf};

use super::loopback::is_loopback;
use crate::image::{Platform, Repository};

/// The `BuildKit`s of a project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Builders {
    /// For the platforms without one of their own.
    pub default: Option<BuilderAddress>,
    /// Those of single platforms.
    pub platforms: BTreeMap<Platform, BuilderAddress>,
    /// The repository in which build caches are kept.
    pub cache: Option<Repository>,
}

/// Where a `BuildKit` is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuilderAddress {
    /// As it is written, with the values of variables.
    pub text: String,
    /// Where requests go.
    pub endpoint: BuilderEndpoint,
    /// The files of an encrypted connection; `None` for one that is not.
    pub tls: Option<BuilderTls>,
}

/// Where requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuilderEndpoint {
    /// A socket of this machine.
    Unix(PathBuf),
    /// `HOST:PORT`.
    Tcp(String),
}

/// The files of an encrypted connection, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuilderTls {
    /// The authorities that are trusted; `None` for those of this machine.
    pub ca: Option<PathBuf>,
    /// The client's certificate and its key.
    pub own: Option<(PathBuf, PathBuf)>,
}

impl BuilderEndpoint {
    /// Whether it is on this machine.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Unix(_) => true,
            Self::Tcp(host) => is_loopback(host),
        }
    }
}

impl Builders {
    /// The `BuildKit` for a platform.
    #[must_use]
    pub fn of(&self, platform: &Platform) -> Option<&BuilderAddress> {
        self.platforms.get(platform).or(self.default.as_ref())
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &BuilderAddress> {
        self.platforms.values().chain(&self.default)
    }
}
