//! Asks everything outside, side by side, and waits a few seconds for each answer.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use super::{
    bounded::{Pending, begin},
    builders::AskedBuilder,
    daemon::DaemonAnswer,
    machine::{Disk, WorkFolder},
    network::CertificateFacts,
    project::ProjectNeeds,
    registry::{self, AskedRegistry, RegistryAnswer, RegistryFacts},
    tools::{GitAnswer, InstallerAnswer},
};
use crate::{
    adapters::{
        buildkit,
        docker::{AboutDaemon, Daemon, DockerError},
        git::{self, AboutCheckout, NoGit},
        machine,
        python::{Fetching, Installer, PythonError, Tool},
        registry::{RegistrySettings, certificate_folders, trusted_by_name},
        store,
    },
    error::Error,
    image::Platform,
    operations::events::{Events, Note, Outcome, Progress, Step, Transfer},
    project::{BuilderAddress, Builders, Project, Registry, place::Defect},
};

/// How long the daemon may take for each of its answers.
const DAEMON: Duration = Duration::from_secs(3);

/// How long anything may take on the whole.
const LIMIT: Duration = Duration::from_secs(10);

/// What is to be looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DiagnosisRequest<'a> {
    /// The project's folder; without one, the current folder or one above it.
    pub(crate) directory: Option<&'a Path>,
    /// The only registry to ask.
    pub(crate) registry: Option<&'a str>,
    /// Whether no registry is asked.
    pub(crate) is_offline: bool,
}

/// A request to a registry; `None` where none is sent.
type PendingRegistry = Option<Pending<Result<RegistryFacts, Error>>>;

/// A question to a `BuildKit`.
type PendingBuilder = Pending<Result<Vec<Platform>, Error>>;

/// Everything that was asked and has not answered yet.
pub(super) struct OpenQuestions {
    daemon: Pending<Result<AboutDaemon, DockerError>>,
    builders: Vec<(BuilderAddress, PendingBuilder)>,
    installer: Pending<Result<(String, Option<String>), PythonError>>,
    git: Pending<Result<AboutCheckout, NoGit>>,
    registries: Vec<(AskedRegistry, PendingRegistry)>,
}

/// The answers.
pub(super) struct GatheredFacts {
    pub(super) daemon: DaemonAnswer,
    pub(super) builders: Vec<AskedBuilder>,
    pub(super) installer: InstallerAnswer,
    pub(super) git: GitAnswer,
    pub(super) registries: Vec<AskedRegistry>,
}

impl OpenQuestions {
    /// Begins to ask for a project, or without one.
    pub(super) fn begin(
        project: Option<&Project>,
        registries: &[&Registry],
        request: DiagnosisRequest<'_>,
    ) -> Self {
        let root = project.map(|project| project.root.clone());
        let root = root.or_else(|| request.directory.map(Path::to_owned));
        let root = root.unwrap_or_else(|| PathBuf::from("."));
        let fetching = Fetching {
            offline: true,
            ..Fetching::default()
        };
        let preferred = project.and_then(|project| project.python.installer.clone());
        let preferred = preferred.map(|name| if name == "uv" { Tool::Uv } else { Tool::Pip });
        let ask = |registry: &&Registry| {
            project.map(|project| ask(project, registry, request.is_offline))
        };
        Self {
            daemon: begin(LIMIT, || Daemon::connect_within(DAEMON)?.about()),
            installer: begin(LIMIT, move || {
                let found = Installer::find(preferred, &fetching)?;
                Ok((found.tool().to_string(), found.version(DAEMON)))
            }),
            git: begin(LIMIT, move || git::about(&root)),
            registries: registries.iter().filter_map(ask).collect(),
            builders: project.map_or_else(Vec::new, |project| {
                ask_builders(project, request.is_offline)
            }),
        }
    }

    /// Waits for the answers.
    pub(super) fn wait(self) -> GatheredFacts {
        let registries = self.registries.into_iter().map(|(registry, pending)| {
            let answer = match pending {
                None => RegistryAnswer::NotAsked,
                Some(pending) => pending
                    .wait()
                    .map_or(RegistryAnswer::Silent, RegistryAnswer::from),
            };
            AskedRegistry { answer, ..registry }
        });
        let builders = self.builders.into_iter().map(|(at, pending)| AskedBuilder {
            at,
            answer: pending.wait(),
        });
        GatheredFacts {
            registries: registries.collect(),
            daemon: self.daemon.wait(),
            builders: builders.collect(),
            installer: self.installer.wait(),
            git: self.git.wait(),
        }
    }
}

/// Begins to ask the `BuildKit`s of a project; offline only those of this machine.
fn ask_builders(project: &Project, is_offline: bool) -> Vec<(BuilderAddress, PendingBuilder)> {
    let all = project.builders.iter().flat_map(Builders::all).cloned();
    let asked = all.filter(|at| !is_offline || at.endpoint.is_local());
    let begun = asked.map(|at| {
        let asked = at.clone();
        (at, begin(LIMIT, move || Ok(buildkit::ask(&asked)?)))
    });
    begun.collect()
}

fn ask(
    project: &Project,
    registry: &Registry,
    is_offline: bool,
) -> (AskedRegistry, PendingRegistry) {
    let folder = registry
        .layout
        .as_ref()
        .map(|folder| folder.display().to_string());
    let repository = match folder {
        Some(_) => None,
        None => registry::first_repository(project, registry),
    };
    let mirror = repository
        .as_ref()
        .and_then(|repository| project.mirrors.registries.get(&repository.registry));
    let pending = repository
        .clone()
        .filter(|_| !is_offline)
        .map(|repository| {
            let settings = RegistrySettings {
                ca: project.ca.clone(),
                certificates: certificate_folders(),
                insecure: project.insecure.clone(),
                ..RegistrySettings::default()
            };
            begin(LIMIT, move || registry::ask(settings, &repository))
        });
    let asked = AskedRegistry {
        name: registry.name.clone(),
        mirror: mirror.cloned(),
        repository,
        folder,
        answer: RegistryAnswer::NotAsked,
    };
    (asked, pending)
}

/// What the kernel emulates of the platforms that a project needs.
pub(super) fn emulated(needs: &ProjectNeeds) -> BTreeMap<String, Option<bool>> {
    let architectures = needs
        .platforms
        .iter()
        .map(|platform| &platform.architecture);
    architectures
        .map(|name| (name.clone(), machine::emulates(name)))
        .collect()
}

/// The disks that a build writes to.
pub(super) fn disks(daemon: Option<&AboutDaemon>, root: Option<&Path>) -> Vec<Disk> {
    let disk = |what, path: PathBuf, has_images| Disk {
        what,
        free: machine::free_bytes(&path),
        path,
        has_images,
    };
    let data = daemon
        .filter(|about| about.is_local)
        .and_then(|about| about.data.clone());
    // A socket that leads to another machine names a folder that is not here.
    let data = data.filter(|data| data.symlink_metadata().is_ok());
    let mut disks: Vec<Disk> = data
        .into_iter()
        .map(|data| disk("daemon", data, true))
        .collect();
    disks.push(disk("cache", store::cache_folder(), false));
    disks.extend(root.map(|root| disk("dist", root.join("dist"), false)));
    disks
}

/// The folders that a run writes into.
pub(super) fn folders() -> Vec<WorkFolder> {
    let folder = |what, path, variable, checked: std::io::Result<()>| WorkFolder {
        what,
        path,
        problem: checked.err().map(|error| error.to_string()),
        variable,
    };
    let (cache, temporary) = (store::cache_folder(), machine::temporary_folder());
    let checked = machine::check_writable(&cache);
    let there = machine::check_writable_there(&temporary);
    vec![
        folder("the cache", cache, "SPARKPACK_CACHE", checked),
        folder("temporary files in", temporary, "TMPDIR", there),
    ]
}

/// The certificates that are trusted.
pub(super) fn certificates(
    project: Option<&Project>,
    registries: &[AskedRegistry],
) -> CertificateFacts {
    let hosts: Vec<String> = registries
        .iter()
        .filter_map(|registry| Some(registry.repository.as_ref()?.registry.clone()))
        .collect();
    let ca = project.and_then(|project| project.ca.as_deref());
    let system = store::environment("SSL_CERT_FILE").filter(|file| !file.is_empty());
    CertificateFacts {
        named: trusted_by_name(ca, &hosts),
        system: system.map(|file| {
            let is_there = Path::new(&file).is_file();
            (file, is_there)
        }),
    }
}

/// Counts warnings, and tells nobody anything.
#[derive(Default)]
pub(super) struct CountedWarnings(AtomicUsize);

impl CountedWarnings {
    pub(super) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Events for CountedWarnings {
    fn note(&self, _: Note<'_>) {}

    fn warn(&self, _: &Defect) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn begin(&self, _: &str) -> Box<dyn Progress + '_> {
        Box::new(Untold)
    }
}

/// Progress that nobody sees.
struct Untold;

impl Progress for Untold {
    fn step(&mut self, _: Step<'_>) {}
    fn output(&mut self, _: &str) {}
    fn moved(&mut self, _: Transfer, _: u64, _: Option<u64>) {}
    fn end(&mut self, _: Outcome<'_>) {}
}
