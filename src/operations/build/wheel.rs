//! Builds wheels from their sources, each in a container of the image that has the job's Python: in stages that are thrown
//! away. Nothing of a source is run on this machine.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde::{Deserialize, Serialize};

use super::{context::ContextWriter, in_daemon::on_platform, run::Run};
use crate::{
    adapters::{
        builder::{BuildError, BuildEvent, BuildRequest},
        destination::ImageDaemon,
        docker::{self, DockerError},
        git,
        python::PythonError,
        secrets::BuildSecrets,
        sources::{self, SourceError},
        store::{self, TemporaryFolder},
    },
    error::{Error, ImageProblem, WheelBuildError},
    image::{Digest, Repository},
    operations::{
        dist::Packer,
        events::{Progress, Step, Transfer},
        resolution,
        workspace::{OnIndex, Services, Session, WheelBuilder, WheelOrder},
    },
    project::{
        Chain, Image, Kind, Project,
        digest_cache::DigestCache,
        ignore,
        requirements::{BuiltFrom, DirectFile, FilePlace, GitPlace, Pin, Requirements, expand},
        source::{Origin, Source, Unpack},
        tree::{Content, Entry},
    },
};

/// The program that runs in the container.
const PROGRAM: &str = include_str!("wheel.py");

/// What is run for what a backend needs besides what is written down, before a build is given up.
const ROUNDS: usize = 4;

/// The backend of a source that names none, and what it needs.
const LEGACY: (&str, [&str; 2]) = (
    "setuptools.build_meta:__legacy__",
    ["setuptools>=40.8.0", "wheel"],
);

/// Builds wheels in containers.
pub(crate) struct InContainers;

/// What the program is told.
#[derive(Debug, Serialize)]
struct HooksToCall {
    /// The folder of the package in its source.
    folder: String,
    backend: String,
    backend_path: Vec<String>,
    requires: Vec<String>,
}

/// The part of a `pyproject.toml` that says how it is built.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ProjectFile {
    #[serde(default)]
    build_system: Option<BuildSystem>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct BuildSystem {
    #[serde(default)]
    requires: Vec<String>,
    build_backend: Option<String>,
    #[serde(default)]
    backend_path: Vec<String>,
}

impl WheelBuilder for InContainers {
    fn build(
        &self,
        (session, services): (&Session<'_>, &Services<'_>),
        order: &WheelOrder<'_>,
        folder: &Path,
        progress: &mut dyn Progress,
    ) -> Result<(), Error> {
        let daemon = daemon(services, order)?;
        let temporary = TemporaryFolder::new()?;
        let making = Making {
            session,
            services,
            order,
            folder: temporary.path(),
        };
        let source = making.source(progress)?;
        let mut told = told(order, &source)?;
        let from = making.standing_on(progress)?;
        for round in 0..ROUNDS {
            let round = temporary.path().join(round.to_string());
            let mut entries = making.tools(&told.requires, &round)?;
            entries.extend(source.iter().map(|entry| entry.clone().prefixed("source")));
            making.run(daemon, (&from, &told, entries), &round, folder, progress)?;
            let more = folder.join("requires.json");
            if !more.exists() {
                return Ok(());
            }
            let more = fs_err::read(more)?;
            let more: Vec<String> = serde_json::from_slice(&more).map_err(std::io::Error::other)?;
            told.requires.extend(more);
            fs_err::remove_dir_all(folder)?;
            fs_err::create_dir(folder)?;
        }
        Err(order.failed(
            Vec::new(),
            "its backend asks for more packages again and again",
        ))
    }
}

/// The daemon, or why nothing can be built.
fn daemon<'s>(
    services: &'s Services<'_>,
    order: &WheelOrder<'_>,
) -> Result<&'s dyn ImageDaemon, Error> {
    match services.daemon() {
        Err(Error::Docker(why @ DockerError::Unreachable { .. })) => {
            Err(WheelBuildError::NoBuilder {
                package: order.package.to_owned(),
                image: order.image.name.clone(),
                why: why.to_string(),
                start: why.hint().unwrap_or_else(|| "start Docker".to_owned()),
            }
            .into())
        }
        daemon => daemon,
    }
}

/// How the source in `entries` is built.
fn told(order: &WheelOrder<'_>, entries: &[Entry]) -> Result<HooksToCall, Error> {
    let folder = match order.source {
        BuiltFrom::Commit { place, .. } => place.subdirectory.clone().unwrap_or_default(),
        BuiltFrom::Archive { .. } => String::new(),
    };
    let path = |name: &str| match folder.as_str() {
        "" => name.to_owned(),
        folder => format!("{folder}/{name}"),
    };
    let find = |name: &str| entries.iter().find(|entry| entry.path == path(name));
    let project = find("pyproject.toml").map(text_of).transpose()?;
    if project.is_none() && find("setup.py").is_none() {
        let message = format!("it has neither `{}` nor `setup.py`", path("pyproject.toml"));
        return Err(order.failed(Vec::new(), message));
    }
    let project: ProjectFile = match &project {
        None => ProjectFile::default(),
        Some(text) => toml::from_str(text)
            .map_err(|error| order.failed(Vec::new(), format!("pyproject.toml: {error}")))?,
    };
    let system = project.build_system.unwrap_or_else(|| BuildSystem {
        requires: LEGACY.1.map(str::to_owned).to_vec(),
        ..BuildSystem::default()
    });
    Ok(HooksToCall {
        folder,
        backend: system.build_backend.unwrap_or_else(|| LEGACY.0.to_owned()),
        backend_path: system.backend_path,
        requires: system.requires,
    })
}

fn text_of(entry: &Entry) -> Result<String, Error> {
    let mut text = String::new();
    if let Content::File { location, .. } = &entry.content {
        std::io::Read::read_to_string(&mut location.open()?, &mut text)?;
    }
    Ok(text)
}

/// One wheel in the making.
struct Making<'a> {
    session: &'a Session<'a>,
    services: &'a Services<'a>,
    order: &'a WheelOrder<'a>,
    /// For everything that is not kept.
    folder: &'a Path,
}

impl Making<'_> {
    /// The files of the source.
    fn source(&self, progress: &mut dyn Progress) -> Result<Vec<Entry>, Error> {
        match self.order.source {
            BuiltFrom::Commit { place, commit } => self.commit(place, commit),
            BuiltFrom::Archive { file_name, sha256 } => {
                let origin = self.origin(file_name, sha256)?;
                let source = Source {
                    name: file_name.clone(),
                    origin,
                    sha256: Some(sha256.clone()),
                    unpack: Unpack::Archive { strip: 1 },
                };
                progress.step(Step::FetchSource(file_name));
                let fetched = self
                    .services
                    .fetcher()
                    .fetch(&source, sha256, &mut |done, total| {
                        progress.moved(Transfer::Fetched, done, total);
                    });
                fetched.map_err(|error| match error {
                    // Nobody can correct the checksum of what an index has.
                    SourceError::Checksum {
                        expected, actual, ..
                    } => PythonError::HashMismatch {
                        wheel: file_name.clone(),
                        expected: expected.to_string(),
                        got: actual.to_string(),
                    }
                    .into(),
                    other => other.into(),
                })
            }
        }
    }

    /// Where a source distribution is: as the requirements say, as it was found, or as the index says now.
    fn origin(&self, file_name: &str, sha256: &Digest) -> Result<Origin, Error> {
        let order = self.order;
        let direct = order.origins.iter().flat_map(|origins| &origins.direct);
        let is_it =
            |file: &&DirectFile| file.file_name == file_name && file.hashes.contains(sha256);
        match direct.into_iter().find(is_it).map(|file| &file.place) {
            Some(FilePlace::File(path)) => return Ok(Origin::Path(path.clone())),
            Some(FilePlace::Url(url)) => return Ok(Origin::Url(self.filled(url)?)),
            Some(FilePlace::Git(_)) | None => {}
        }
        let version = match order.on_index {
            Some(OnIndex::At(url)) => return Ok(Origin::Url(url.to_owned())),
            Some(OnIndex::Version(version)) => version,
            None => return Err(order.failed(Vec::new(), "nothing tells where it is")),
        };
        let pin = Pin::new(order.package, version);
        let installer = self.services.installer()?;
        let found = installer.same_source_on_index(&pin, sha256, order.target, order.origins)?;
        Ok(Origin::Url(found.url))
    }

    /// A URL with the values of its variables.
    fn filled(&self, url: &str) -> Result<String, Error> {
        expand(url, store::environment).map_err(|name| {
            let message = format!("the variable `{name}` is not set, which its URL needs");
            self.order.failed(Vec::new(), message)
        })
    }

    fn commit(&self, place: &GitPlace, commit: &str) -> Result<Vec<Entry>, Error> {
        let wanted = GitPlace {
            revision: Some(commit.to_owned()),
            ..place.clone()
        };
        let url = self.filled(&place.repository)?;
        let package = self.order.package;
        let folder =
            resolution::fetch_repository(self.session, self.services, package, (&wanted, &url))?;
        let into = self.folder.join("source");
        git::check_out(&folder, &url, commit, &into).map_err(|error| {
            Error::from(WheelBuildError::Repository {
                package: package.to_owned(),
                repository: place.repository.clone(),
                reason: error.to_string().replace(&url, &place.repository),
            })
        })?;
        listed(&into)
    }

    /// The packages that the backend needs, installed in `folder`.
    fn tools(&self, requires: &[String], folder: &Path) -> Result<Vec<Entry>, Error> {
        let order = self.order;
        let file = Path::new("pyproject.toml");
        let requirements =
            Requirements::of_text(file, &requires.join("\n")).map_err(|defects| {
                let defects = defects.iter().map(ToString::to_string);
                order.failed(defects.collect(), "what its backend needs cannot be chosen")
            })?;
        let installer = self.services.installer()?;
        let chosen = installer.lock(&requirements, order.target, &[])?;
        installer.install(&chosen.wheels, order.target, None, folder)?;
        let mut entries = Vec::new();
        for wheel in &chosen.wheels {
            let tree = listed(&folder.join(&wheel.wheel.file_name))?;
            entries.extend(tree.into_iter().map(|entry| entry.prefixed("tools")));
        }
        // Packages may share a harmless file.
        entries.sort_by(|left, right| left.path.cmp(&right.path));
        entries.dedup_by(|left, right| left.path == right.path);
        Ok(entries)
    }

    /// The name of an image with the Python of the order, which the daemon has.
    fn standing_on(&self, progress: &mut dyn Progress) -> Result<String, Error> {
        let (session, order) = (self.session, self.order);
        let stage = match base_of(&session.project, order.image) {
            Some(Base::Stage(name)) => name,
            Some(Base::External(text)) => return self.external(&text, progress),
            None => return Err(order.failed(Vec::new(), "no image of its chain has Python")),
        };
        let inputs = resolution::read_inputs(session, order.lock)?;
        let mut names = vec![stage.clone()];
        let mut next = 0;
        while let Some(read) = names.get(next).and_then(|name| inputs.get(name)) {
            let parents = read.recipe.parents().into_iter();
            names.extend(
                parents
                    .filter(|name| !names.contains(name))
                    .collect::<Vec<_>>(),
            );
            next += 1;
        }
        let platform = &order.target.platform;
        self.with_images(&names, |run, packer| {
            let mut made = on_platform(run, packer, std::slice::from_ref(&stage), platform)?;
            let image = made.remove(&stage);
            image
                .map(|image| image.reference.to_string())
                .ok_or_else(|| order.failed(Vec::new(), format!("`{stage}` was not made")))
        })
    }

    fn external(&self, text: &str, progress: &mut dyn Progress) -> Result<String, Error> {
        self.with_images(&[], |run, packer| {
            let contexts = ContextWriter { run, packer };
            contexts.external(text, &self.order.target.platform, progress)
        })
    }

    /// Does `work` in a run on these images of the project alone: what else is in it need not be locked.
    fn with_images<T>(
        &self,
        names: &[String],
        work: impl FnOnce(&Run<'_>, &Packer<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let session = self.session.of_images(names)?;
        let services = self.services.for_session(&session);
        let prepared = resolution::prepare_in_memory(&session, &services, self.order.lock)?;
        let first = session.project.registries.values().next();
        let registry = match (session.registry(None), first) {
            (Ok(registry), _) | (Err(_), Some(registry)) => registry,
            (Err(error), None) => return Err(error),
        };
        let run = Run {
            session: &session,
            services: &services,
            prepared: &prepared,
            registry,
        };
        work(&run, &Packer::new(&session, &services))
    }

    /// Runs the build in a container of the image `from`, and puts what it makes into `into`.
    fn run(
        &self,
        daemon: &dyn ImageDaemon,
        (from, told, mut entries): (&str, &HooksToCall, Vec<Entry>),
        folder: &Path,
        into: &Path,
        progress: &mut dyn Progress,
    ) -> Result<(), Error> {
        let order = self.order;
        let told = serde_json::to_vec(told).map_err(std::io::Error::other)?;
        let dockerfile = dockerfile(from, &order.image.wheel_builds.packages);
        for (path, bytes) in [
            ("wheel.py", PROGRAM.as_bytes().to_vec()),
            ("order.json", told),
            ("Dockerfile", dockerfile.into_bytes()),
        ] {
            entries.push(Entry::in_memory(path, bytes, false));
        }
        let repository = Repository {
            registry: "sparkpack.wheel".to_owned(),
            path: order.package.to_owned(),
        };
        let key = Digest::of_fields([order.source.to_string(), folder.display().to_string()]);
        let reference = repository.with_tag(key.short(16));
        let request = BuildRequest {
            entries,
            folders: vec!["source".to_owned(), "tools".to_owned()],
            dockerfile: "Dockerfile".to_owned(),
            images: BTreeSet::from([from.to_owned()]),
            reference: reference.clone(),
            labels: docker::this_run(),
            build_arguments: BTreeMap::new(),
            target: None,
            platform: order.target.platform.clone(),
            base: None,
            looks_inside: false,
            no_cache: false,
            secrets: BuildSecrets::default(),
        };
        let _on_end = daemon.untag_on_end(&reference);
        let built = daemon
            .builder(&order.target.platform)?
            .build(&request, &mut |event| {
                if let BuildEvent::Log(line) = event {
                    progress.output(&line);
                }
            });
        let built = built.map_err(|error| match error {
            BuildError::Failed {
                last_lines,
                message,
                ..
            } => order.failed(last_lines, message),
            other => other.into_error(order),
        })?;
        let layers = tempfile::tempdir_in(self.folder)?;
        let exported = daemon.export(built.id.as_str(), &|_, _| true, layers.path())?;
        let gone = || Error::unexpected(&reference, ImageProblem::Gone);
        for layer in exported.ok_or_else(gone)?.layers {
            sources::unpack_into(&layer.file, order.package, into)?;
        }
        daemon.untag(&reference)?;
        Ok(())
    }
}

impl BuildError {
    fn into_error(self, order: &WheelOrder<'_>) -> Error {
        match self {
            Self::Docker(error) => error.into(),
            Self::BuildKit(error) => error.into(),
            Self::Registry(error) => error.into(),
            Self::Layout(error) => error.into(),
            other => order.failed(Vec::new(), other.to_string()),
        }
    }
}

/// What has the Python of an image.
enum Base {
    /// An image of the project.
    Stage(String),
    /// An image from elsewhere.
    External(String),
}

fn base_of(project: &Project, image: &Image) -> Option<Base> {
    let chain = project.chain_of(image);
    if let Some(elsewhere) = chain.and_then(Chain::elsewhere) {
        return Some(Base::External(elsewhere.image.clone()));
    }
    let py = chain.map(|chain| chain.image_name(Kind::Py));
    let py = py.filter(|name| project.images.contains_key(name));
    let parent = py.or_else(|| image.parent.clone()).map(Base::Stage);
    parent.or_else(|| image.elsewhere.clone().map(Base::External))
}

/// All files below a folder.
fn listed(folder: &Path) -> Result<Vec<Entry>, Error> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let known = DigestCache::read(b"", crate::adapters::digest_cache::now());
    let found = ignore::list(folder, &|_, _| true, None)?;
    Ok(found.choose(&[""], &|_| true, &known)?)
}

/// The stages that are thrown away.
fn dockerfile(from: &str, packages: &[String]) -> String {
    let installed = match packages {
        [] => String::new(),
        packages => format!(
            "RUN set -eu; export DEBIAN_FRONTEND=noninteractive; \\\n    \
             command -v apt-get >/dev/null || {{ echo 'there is no apt-get, which installs the packages of build-packages' >&2; exit 1; }}; \\\n    \
             apt-get -q -o Acquire::Retries=3 update; \\\n    \
             apt-get -q -o Acquire::Retries=3 install -y --no-install-recommends {}\n",
            packages.join(" ")
        ),
    };
    format!(
        "FROM {from} AS build\nUSER root\n{installed}\
         COPY wheel.py order.json /sparkpack/\nCOPY tools/ /sparkpack/tools/\nCOPY source/ /sparkpack/source/\n\
         RUN \"${{PYSPARK_PYTHON:-python3}}\" /sparkpack/wheel.py\n\
         FROM scratch\nCOPY --from=build /sparkpack/wheels/ /\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_stands_on_the_image_and_leaves_only_wheels() {
        let text = dockerfile(
            "registry.example/py:1",
            &["gcc".to_owned(), "libpq-dev".to_owned()],
        );
        assert!(text.starts_with("FROM registry.example/py:1 AS build\nUSER root\nRUN "));
        assert!(text.contains("--no-install-recommends gcc libpq-dev\nCOPY wheel.py"));
        assert!(text.ends_with("FROM scratch\nCOPY --from=build /sparkpack/wheels/ /\n"));
        assert!(!dockerfile("x", &[]).contains("apt-get"));
    }
}
