//! The outside world, reached when it is first needed.

use std::sync::OnceLock;

use super::session::Session;
use crate::{
    adapters::{
        credentials::{Credentials, registry_auth},
        docker::Daemon,
        python::{Fetching, Installer, Tool},
        registry::{RegistryClient, RegistrySettings},
        sources::Fetcher,
    },
    error::Error,
    image::Repository,
};

/// Whether what the locks lack may be found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// It is looked up and written into the locks.
    Complete,
    /// It is an error: nothing is sent anywhere.
    Refuse,
}

/// The daemon, the registry and what else is outside, for one run.
pub(super) struct Outside<'a> {
    session: &'a Session<'a>,
    daemon: OnceLock<Daemon>,
    registry: OnceLock<RegistryClient>,
    credentials: OnceLock<Credentials>,
}

impl<'a> Outside<'a> {
    pub(super) fn new(session: &'a Session<'a>) -> Self {
        Self {
            session,
            daemon: OnceLock::new(),
            registry: OnceLock::new(),
            credentials: OnceLock::new(),
        }
    }

    pub(super) fn daemon(&self) -> Result<&Daemon, Error> {
        if let Some(daemon) = self.daemon.get() {
            return Ok(daemon);
        }
        let daemon = Daemon::connect()?;
        Ok(self.daemon.get_or_init(|| daemon))
    }

    fn credentials(&self) -> Result<&Credentials, Error> {
        if let Some(credentials) = self.credentials.get() {
            return Ok(credentials);
        }
        let credentials = Credentials::load()?;
        Ok(self.credentials.get_or_init(|| credentials))
    }

    /// What the daemon is handed to sign in with at a repository's registry.
    pub(super) fn registry_auth(&self, repository: &Repository) -> Result<String, Error> {
        let credential = self.credentials()?.of(repository)?;
        Ok(registry_auth(&credential, &repository.registry))
    }

    pub(super) fn registry(&self) -> Result<&RegistryClient, Error> {
        if let Some(registry) = self.registry.get() {
            return Ok(registry);
        }
        let project = &self.session.project;
        let settings = RegistrySettings {
            ca: project.ca.clone(),
            insecure: project.insecure.clone(),
            mirrors: project.mirrors.registries.clone(),
        };
        let registry = RegistryClient::new(settings, Credentials::load()?)?;
        Ok(self.registry.get_or_init(|| registry))
    }

    pub(super) fn fetcher(&self) -> Fetcher {
        let project = &self.session.project;
        Fetcher {
            cache: self.session.cache.clone(),
            ca: project.ca.clone(),
            maven: project.mirrors.maven.clone(),
            python_index: project.mirrors.python.clone(),
        }
    }

    pub(super) fn installer(&self) -> Result<Installer, Error> {
        let project = &self.session.project;
        let fetching = Fetching {
            mirror: project.mirrors.python.clone(),
            certificates: project.ca.clone(),
        };
        let preferred = project.python.installer.as_deref();
        let preferred = preferred.map(|name| if name == "uv" { Tool::Uv } else { Tool::Pip });
        Ok(Installer::find(preferred, &fetching)?)
    }
}
