//! The outside world, reached when it is first needed.

use crate::code::Code;
use std::sync::{Arc, OnceLock};

use super::{policy::LockPolicy, session::Session};
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

/// The daemon, the registry and what else is services, for one run.
pub(crate) struct Services<'a> {
    session: &'a Session<'a>,
    policy: LockPolicy,
    daemon: OnceLock<Daemon>,
    registry: OnceLock<RegistryClient>,
    credentials: OnceLock<Arc<Credentials>>,
}

impl<'a> Services<'a> {
    /// The outside as far as it is allowed: `--offline` leaves the daemon and the cache.
    pub(crate) fn new(session: &'a Session<'a>, policy: LockPolicy) -> Self {
        Self {
            session,
            policy,
            daemon: OnceLock::new(),
            registry: OnceLock::new(),
            credentials: OnceLock::new(),
        }
    }

    /// What becomes of what the locks lack.
    pub(crate) fn policy(&self) -> LockPolicy {
        self.policy
    }

    fn is_offline(&self) -> bool {
        self.policy == LockPolicy::Offline
    }

    /// An error where `--offline` forbids `what`: `pulling X` and the like.
    pub(crate) fn refuse_offline(&self, what: impl FnOnce() -> String) -> Result<(), Error> {
        if !self.is_offline() {
            return Ok(());
        }
        Err(Error::Usage {
            code: Code::E035,
            message: format!("{} is needed, and `--offline` forbids it", what()),
            hint: "run it once without `--offline`".to_owned(),
        })
    }

    /// The daemon, which is asked also with `--offline`: it is the user's own builder.
    pub(crate) fn daemon(&self) -> Result<&Daemon, Error> {
        if let Some(daemon) = self.daemon.get() {
            return Ok(daemon);
        }
        let daemon = Daemon::connect()?;
        Ok(self.daemon.get_or_init(|| daemon))
    }

    /// Read once: programs that keep credentials are asked for one only the first time that anybody needs it.
    fn credentials(&self) -> Result<&Arc<Credentials>, Error> {
        if let Some(credentials) = self.credentials.get() {
            return Ok(credentials);
        }
        let credentials = Arc::new(Credentials::load()?);
        Ok(self.credentials.get_or_init(|| credentials))
    }

    /// What the daemon is handed to sign in with at a repository's registry.
    pub(crate) fn registry_auth(&self, repository: &Repository) -> Result<String, Error> {
        let credential = self.credentials()?.of(repository)?;
        Ok(registry_auth(&credential, &repository.registry))
    }

    pub(crate) fn registry(&self) -> Result<&RegistryClient, Error> {
        if let Some(registry) = self.registry.get() {
            return Ok(registry);
        }
        self.refuse_offline(|| "asking a registry".to_owned())?;
        let project = &self.session.project;
        let settings = RegistrySettings {
            ca: project.ca.clone(),
            insecure: project.insecure.clone(),
            mirrors: project.mirrors.registries.clone(),
        };
        let registry = RegistryClient::new(settings, Arc::clone(self.credentials()?))?;
        Ok(self.registry.get_or_init(|| registry))
    }

    pub(crate) fn fetcher(&self) -> Fetcher {
        let project = &self.session.project;
        Fetcher {
            cache: self.session.cache.clone(),
            ca: project.ca.clone(),
            maven: project.mirrors.maven.clone(),
            python_index: project.mirrors.python.clone(),
            offline: self.is_offline(),
        }
    }

    pub(crate) fn installer(&self) -> Result<Installer, Error> {
        let project = &self.session.project;
        let fetching = Fetching {
            mirror: project.mirrors.python.clone(),
            certificates: project.ca.clone(),
            offline: self.is_offline(),
        };
        let preferred = project.python.installer.as_deref();
        let preferred = preferred.map(|name| if name == "uv" { Tool::Uv } else { Tool::Pip });
        Ok(Installer::find(preferred, &fetching)?)
    }
}
