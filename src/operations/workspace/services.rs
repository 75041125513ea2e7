//! Access to the daemon, the registries and other external services; each is connected to when it is first needed.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use super::{policy::LockPolicy, session::Session, turns::Turns, wheel_order::WheelOrder};
use crate::{
    adapters::{
        buildkit::{BuildKitStore, StoreSettings},
        credentials::{Credentials, registry_auth},
        destination::{ImageDaemon, ImageRegistry},
        docker::Daemon,
        layout::{ImageLayout, WithLayout},
        python::{Fetching, Installer, Tool},
        registry::{RegistryClient, RegistrySettings, certificate_folders},
        sources::Fetcher,
    },
    error::{Error, OnlineWork, UsageError},
    image::Repository,
    operations::events::Progress,
    project::{Builders, Project},
};

/// The external services of one run.
pub(crate) struct Services<'a> {
    session: &'a Session<'a>,
    policy: LockPolicy,
    daemon: Lazy<Box<dyn ImageDaemon>>,
    local_daemon: Lazy<Box<dyn ImageDaemon>>,
    registry: Lazy<Arc<dyn ImageRegistry>>,
    credentials: Lazy<Arc<Credentials>>,
    /// What moves between the daemon, a registry and the cache is moved once, whoever wants it.
    moves: Turns<()>,
    /// Whether the Docker daemon builds, whatever else is configured.
    is_in_docker: bool,
    /// What builds wheels from their sources, if the command may make anything.
    pub(super) wheel_builder: Option<&'a dyn WheelBuilder>,
}

impl<'a> Services<'a> {
    /// The services that the policy allows. With `--offline` these are the daemon and the cache.
    pub(crate) fn new(session: &'a Session<'a>, policy: LockPolicy) -> Self {
        Self {
            session,
            policy,
            daemon: Lazy::default(),
            local_daemon: Lazy::default(),
            registry: Lazy::default(),
            credentials: Lazy::default(),
            moves: Turns::default(),
            is_in_docker: false,
            wheel_builder: None,
        }
    }

    /// The same, for what only a Docker daemon can do: it also builds then.
    pub(crate) fn in_docker(self) -> Self {
        let is_in_docker = true;
        Self {
            is_in_docker,
            ..self
        }
    }

    /// Services for another session, by the same rules.
    pub(crate) fn for_session<'s>(&self, session: &'s Session<'s>) -> Services<'s> {
        Services {
            is_in_docker: self.is_in_docker,
            ..Services::new(session, self.policy)
        }
    }

    /// The same, with what builds wheels from their sources.
    pub(crate) fn building_wheels(self, wheel_builder: &'a dyn WheelBuilder) -> Self {
        Self {
            wheel_builder: Some(wheel_builder),
            ..self
        }
    }

    /// The policy for entries that are missing from the locks.
    pub(crate) fn policy(&self) -> LockPolicy {
        self.policy
    }

    /// Does `work`, which moves `what` unless it is there already, while no other thread moves the same.
    pub(crate) fn moving<R>(&self, what: &str, work: impl FnOnce() -> R) -> R {
        self.moves.take(what, |()| work())
    }

    fn is_offline(&self) -> bool {
        self.policy == LockPolicy::Offline
    }

    /// With `--offline`, refuses work that needs the network.
    pub(crate) fn refuse_offline(&self, what: impl FnOnce() -> OnlineWork) -> Result<(), Error> {
        if !self.is_offline() {
            return Ok(());
        }
        Err(UsageError::Offline(what()).into())
    }

    /// The `BuildKit`s that build Dockerfiles in the place of the Docker daemon, if there are any.
    pub(crate) fn builders(&self) -> Option<&'a Builders> {
        let builders = self.session.project.builders.as_ref();
        builders.filter(|_| !self.is_in_docker)
    }

    /// What there is of the images that `BuildKit`s build, if they do; nobody is asked.
    pub(crate) fn images_of_builders(&self) -> Option<BuildKitStore> {
        let builders = self.builders()?;
        Some(self.buildkit_store(builders, None, &Arc::default()))
    }

    fn buildkit_store(
        &self,
        builders: &Builders,
        registry: Option<&Arc<dyn ImageRegistry>>,
        credentials: &Arc<Credentials>,
    ) -> BuildKitStore {
        let project = &self.session.project;
        BuildKitStore::new(StoreSettings {
            builders: builders.clone(),
            layout: self.session.dist().layout(),
            registry: registry.cloned(),
            credentials: Arc::clone(credentials),
            insecure: project.insecure.iter().cloned().collect(),
            mirrored: mirrors_of_others(project).into_keys().collect(),
            has_own_authorities: project.ca.is_some(),
        })
    }

    /// The daemon, or what takes its place where `BuildKit`s build. `--offline` allows it, because it is the user's own
    /// builder.
    pub(crate) fn daemon(&self) -> Result<&dyn ImageDaemon, Error> {
        let connect = || {
            if let Some(builders) = self.builders() {
                let registry = if self.is_offline() {
                    None
                } else {
                    Some(self.shared_registry()?)
                };
                let store = self.buildkit_store(builders, registry, self.credentials()?);
                return Ok(Box::new(store) as Box<dyn ImageDaemon>);
            }
            let daemon = Daemon::connect()?;
            daemon.begin_removing_left_containers();
            if self.session.locks.is_after_kill() {
                daemon.remove_left_images();
                self.session.locks.is_cleaned_up();
            }
            Ok(Box::new(daemon) as Box<dyn ImageDaemon>)
        };
        Ok(&**self.daemon.get(connect)?)
    }

    /// The daemon, if it runs on this machine and answers at once. For commands that can do without it and need not
    /// wait for it.
    pub(crate) fn local_daemon(&self) -> Result<&dyn ImageDaemon, Error> {
        let connect = || Ok(Box::new(Daemon::try_connect_local()?) as Box<dyn ImageDaemon>);
        Ok(&**self.local_daemon.get(connect)?)
    }

    /// The user's credentials, loaded once. A credential helper is run only when a credential for its registry is first
    /// needed.
    fn credentials(&self) -> Result<&Arc<Credentials>, Error> {
        self.credentials.get(|| Ok(Arc::new(Credentials::load()?)))
    }

    /// The credential for a repository's registry, encoded as the daemon's API expects it.
    pub(crate) fn registry_auth(&self, repository: &Repository) -> Result<String, Error> {
        let credential = self.credentials()?.of(repository)?;
        Ok(registry_auth(&credential, &repository.registry))
    }

    pub(crate) fn registry(&self) -> Result<&dyn ImageRegistry, Error> {
        Ok(&**self.shared_registry()?)
    }

    fn shared_registry(&self) -> Result<&Arc<dyn ImageRegistry>, Error> {
        self.refuse_offline(|| OnlineWork::AskRegistry)?;
        let project = &self.session.project;
        let connect = || {
            let settings = RegistrySettings {
                ca: project.ca.clone(),
                certificates: certificate_folders(),
                insecure: project.insecure.clone(),
                mirrors: mirrors_of_others(project),
                cache: Some(self.session.cache.clone()),
            };
            let registry = RegistryClient::new(settings, Arc::clone(self.credentials()?))?;
            let registries: Box<dyn ImageRegistry> = Box::new(registry);
            Ok(match project.layout() {
                None => Arc::from(registries),
                Some(folder) => Arc::new(WithLayout {
                    registries,
                    layout: ImageLayout::new(folder),
                }) as Arc<dyn ImageRegistry>,
            })
        };
        self.registry.get(connect)
    }

    pub(crate) fn fetcher(&self) -> Fetcher {
        let project = &self.session.project;
        Fetcher {
            cache: self.session.cache.clone(),
            ca: project.ca.clone(),
            maven: project.mirrors.maven.clone(),
            python_index: project.mirrors.python.clone(),
            offline: self.is_offline(),
            executable: self.session.trees.executable_bits().cloned(),
            spelling: self.session.trees.spelling().cloned(),
            project_files: self.session.project_files().cloned(),
        }
    }

    pub(crate) fn installer(&self) -> Result<Installer, Error> {
        let project = &self.session.project;
        let fetching = Fetching {
            mirror: project.mirrors.python.clone(),
            certificates: project.ca.clone(),
            offline: self.is_offline(),
            indexes: project.python.indexes.clone(),
            limit: Duration::from_secs(60 * project.python.minutes),
        };
        let preferred = project.python.installer.as_deref();
        let preferred = preferred.map(|name| if name == "uv" { Tool::Uv } else { Tool::Pip });
        Ok(Installer::find(preferred, &fetching)?)
    }
}

/// The mirrors of registries that the project does not push to: what those have, only they can say.
fn mirrors_of_others(project: &Project) -> BTreeMap<String, String> {
    let own: BTreeSet<&str> = project
        .registries
        .values()
        .filter_map(|registry| registry.prefix.split('/').next())
        .collect();
    let mut mirrors = project.mirrors.registries.clone();
    mirrors.retain(|host, _| !own.contains(host.as_str()));
    mirrors
}

/// Builds wheels.
pub(crate) trait WheelBuilder: Sync {
    /// Builds the wheel of a source, and puts it into `folder`.
    fn build(
        &self,
        run: (&Session<'_>, &Services<'_>),
        order: &WheelOrder<'_>,
        folder: &Path,
        progress: &mut dyn Progress,
    ) -> Result<(), Error>;
}

/// A value that is made when it is first needed, by one thread, while others wait for it. An error is not kept.
struct Lazy<T> {
    cell: OnceLock<T>,
    making: Mutex<()>,
}

impl<T> Default for Lazy<T> {
    fn default() -> Self {
        Self {
            cell: OnceLock::new(),
            making: Mutex::default(),
        }
    }
}

impl<T> Lazy<T> {
    fn get(&self, make: impl FnOnce() -> Result<T, Error>) -> Result<&T, Error> {
        if let Some(value) = self.cell.get() {
            return Ok(value);
        }
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = self.cell.get() {
            return Ok(value);
        }
        let value = make()?;
        Ok(self.cell.get_or_init(|| value))
    }
}

#[cfg(test)]
impl<T> From<T> for Lazy<T> {
    fn from(value: T) -> Self {
        Self {
            cell: OnceLock::from(value),
            making: Mutex::default(),
        }
    }
}

#[cfg(test)]
impl<'a> Services<'a> {
    /// Services with a daemon and a registry in memory, and without credentials.
    pub(crate) fn in_memory(
        session: &'a Session<'a>,
        policy: LockPolicy,
        daemon: impl ImageDaemon + Clone + 'static,
        registry: impl ImageRegistry + 'static,
    ) -> Self {
        Self {
            daemon: Lazy::from(Box::new(daemon.clone()) as Box<dyn ImageDaemon>),
            local_daemon: Lazy::from(Box::new(daemon) as Box<dyn ImageDaemon>),
            registry: Lazy::from(Arc::new(registry) as Arc<dyn ImageRegistry>),
            credentials: Lazy::from(Arc::new(Credentials::default())),
            ..Self::new(session, policy)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        code::Code,
        operations::testing::{Project, Recorder},
    };

    #[test]
    fn offline_forbids_registries_and_downloads() {
        let (project, events) = (Project::small(), Recorder::default());
        let session = project.session(&events);
        let services = Services::new(&session, LockPolicy::Offline);
        assert_eq!(services.policy(), LockPolicy::Offline);
        let error = services.registry().err().unwrap();
        assert_eq!(error.code(), Code::E035);
        let pull = OnlineWork::Pull("registry.example/x:1".parse().unwrap());
        let error = services.refuse_offline(|| pull).unwrap_err();
        let headline = error.headline();
        assert!(
            headline.starts_with("pulling registry.example/x:1 is needed"),
            "{headline}"
        );
        assert!(services.fetcher().offline);
        assert_eq!(services.fetcher().cache, project.cache());
    }

    #[test]
    fn whatever_else_the_locks_allow_registries_may_be_asked() {
        let (project, events) = (Project::small(), Recorder::default());
        let session = project.session(&events);
        for policy in [LockPolicy::Update, LockPolicy::ReadOnly, LockPolicy::Locked] {
            let services = Services::new(&session, policy);
            services
                .refuse_offline(|| panic!("nothing is forbidden"))
                .unwrap();
            assert!(!services.fetcher().offline);
        }
    }

    #[test]
    fn what_several_threads_need_is_made_once() {
        let lazy = Lazy::default();
        let count = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let make = || {
                        std::thread::sleep(std::time::Duration::from_millis(20));
                        Ok(count.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
                    };
                    assert_eq!(*lazy.get(make).unwrap(), 0);
                });
            }
        });
        assert_eq!(count.into_inner(), 1);
    }

    #[test]
    fn a_registry_client_and_its_credentials_are_made_once() {
        let (project, events) = (Project::small(), Recorder::default());
        let session = project.session(&events);
        let services = Services::new(&session, LockPolicy::ReadOnly);
        let first: *const dyn ImageRegistry = services.registry().unwrap();
        assert!(std::ptr::addr_eq(first, services.registry().unwrap()));
        let credentials = services.credentials().unwrap();
        assert_eq!(Arc::strong_count(credentials), 2, "the client's and ours");
    }

    #[test]
    fn certificates_that_are_not_there_are_an_error() {
        let (project, events) = (Project::small(), Recorder::default());
        let mut session = project.session(&events);
        session.project.ca = Some(project.path("nowhere.pem"));
        let services = Services::new(&session, LockPolicy::ReadOnly);
        assert!(matches!(services.registry(), Err(Error::Registry(_))));
    }
}
