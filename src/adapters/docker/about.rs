//! What a daemon says of itself.

use std::{path::PathBuf, time::Duration};

use bollard::models::SystemInfo;

use super::{
    daemon::{BuilderKind, Daemon},
    error::DockerError,
    host::DockerEnvironment,
};
use crate::image::Platform;

/// What a daemon says of itself, and how it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AboutDaemon {
    /// Its address, as it is written.
    pub address: String,
    /// `DOCKER_HOST` or a context; `None` for the default socket.
    pub named_by: Option<String>,
    /// Who answers.
    pub kind: DaemonKind,
    /// Its version.
    pub version: String,
    /// Whether it runs without root.
    pub is_rootless: bool,
    /// Its builder in use.
    pub builder: BuilderInUse,
    /// Whether it is reached by a socket of this machine.
    pub is_local: bool,
    /// Where it keeps its data.
    pub data: Option<PathBuf>,
    /// The platform that it runs on.
    pub platform: Option<Platform>,
}

/// Who answers at a daemon's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DaemonKind {
    /// Docker.
    Docker,
    /// Podman, by Docker's API.
    Podman,
}

/// The builder that is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuilderInUse {
    /// `BuildKit`.
    BuildKit,
    /// The classic one: the daemon has no other.
    Classic,
    /// The classic one, because `DOCKER_BUILDKIT` asks for it.
    ClassicByChoice,
}

impl Daemon {
    /// [`Self::connect`] to a daemon that answers each question within the limit.
    ///
    /// # Errors
    /// Those of [`Self::connect`].
    pub fn connect_within(limit: Duration) -> Result<Self, DockerError> {
        let environment = DockerEnvironment::of_process();
        Self::connect_to(&environment, environment.host()?, limit)
    }

    /// What the daemon says of itself.
    ///
    /// # Errors
    /// It does not answer.
    pub fn about(&self) -> Result<AboutDaemon, DockerError> {
        let answer = self.ask(self.client.info());
        let answer = answer.map_err(|error| self.failed(&error, || "say what it is".to_owned()))?;
        Ok(AboutDaemon {
            address: self.host.text.clone(),
            named_by: self.host.named_by.clone(),
            kind: if self.podman {
                DaemonKind::Podman
            } else {
                DaemonKind::Docker
            },
            is_rootless: is_rootless(&answer),
            version: answer.server_version.unwrap_or_default(),
            builder: match (self.builder, DockerEnvironment::of_process().buildkit) {
                (BuilderKind::BuildKit, _) => BuilderInUse::BuildKit,
                (BuilderKind::Classic, Some(false)) => BuilderInUse::ClassicByChoice,
                (BuilderKind::Classic, _) => BuilderInUse::Classic,
            },
            is_local: self.is_local(),
            data: answer.docker_root_dir.map(PathBuf::from),
            platform: self.platform().ok(),
        })
    }
}

/// Whether a daemon that says this runs without root.
pub(super) fn is_rootless(info: &SystemInfo) -> bool {
    let mut options = info.security_options.iter().flatten();
    options.any(|option| option.starts_with("name=rootless"))
}
