//! A connection to a daemon, and the requests that a daemon answers at once.
//!
//! The methods block. They run their futures on a runtime of their own.

use std::{future::Future, sync::OnceLock, thread, time::Duration};

use bollard::{
    API_DEFAULT_VERSION, BollardRequest, ClientVersion, Docker,
    models::ImageInspect,
    query_parameters::{RemoveImageOptionsBuilder, TagImageOptionsBuilder},
};
use tokio::time::timeout;

use super::{
    address::Address,
    blobs::Blobs,
    error::{self, DockerError, Unreachable},
    host::{DockerEnvironment, Host},
    ping::Ping,
};
use crate::{
    adapters::{
        ending::{self, OnEnd},
        runtime::{AwaitedTask, NetworkRuntime},
    },
    image::{Digest, ImageInfo, Platform, Reference},
};

/// The time limit for an answer that needs no work, so that a hanging daemon does not block sparkpack.
const QUESTION: Duration = Duration::from_mins(1);

/// The time limit for the answer of a daemon that is not required.
const LOCAL_QUESTION: Duration = Duration::from_secs(2);

/// How long a build, a push or a pull may send nothing.
pub(super) const WORK: Duration = Duration::from_hours(12);

/// How often a tag is set that other requests set at the same moment.
const TAG_ATTEMPTS: u32 = 10;

/// How much longer the pause after each attempt becomes.
const TAG_PAUSE: Duration = Duration::from_millis(5);

/// The version of the API with which daemons of two kinds of stores came (Docker 24).
const MAY_HAVE_CONTAINERD: (usize, usize) = (1, 43);

/// The version of the API from which on an inspection shows the kind of the store (Docker 28).
const DESCRIBES_STORE: (usize, usize) = (1, 48);

/// A daemon that has answered.
pub struct Daemon {
    /// What is removed beside other work. The first field: it needs the runtime until it ends.
    pub(super) removing: OnceLock<AwaitedTask>,
    pub(super) runtime: NetworkRuntime,
    pub(super) client: Docker,
    pub(super) host: Host,
    pub(super) builder: BuilderKind,
    pub(super) podman: bool,
    /// Whether images are in the containerd store, which holds compressed layers; empty until it is known.
    is_containerd: OnceLock<bool>,
    /// The blobs of that store.
    blobs: OnceLock<Blobs>,
    /// The time limit for an answer that needs no work.
    pub(super) patience: Duration,
}

/// The two ways in which daemons build Dockerfiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BuilderKind {
    /// Steps side by side, with mounts and heredocs.
    BuildKit,
    /// One step after the other: old daemons, and Podman.
    Classic,
}

impl Daemon {
    /// Connects to the daemon that `DOCKER_HOST`, the Docker context or the default socket names.
    ///
    /// A TCP address without TLS is accepted only on this machine, or if `SPARKPACK_PLAIN_DOCKER=1` allows it.
    ///
    /// # Errors
    /// [`DockerError::Unreachable`], with what to do about it.
    pub fn connect() -> Result<Self, DockerError> {
        Self::connect_in(&DockerEnvironment::of_process())
    }

    /// [`Self::connect`], but only to a daemon on this machine, and only if it answers within two seconds.
    ///
    /// # Errors
    /// [`DockerError::Unreachable`]; also if the daemon is reached by TCP.
    pub fn try_connect_local() -> Result<Self, DockerError> {
        let environment = DockerEnvironment::of_process();
        let host = environment.host()?;
        match &host.address {
            Address::Unix(_) => Self::connect_to(&environment, host, LOCAL_QUESTION),
            Address::Plain(_) | Address::Tls { .. } => Err(host.unreachable(Unreachable::Network)),
        }
    }

    pub(super) fn connect_in(environment: &DockerEnvironment) -> Result<Self, DockerError> {
        Self::connect_to(environment, environment.host()?, QUESTION)
    }

    pub(super) fn connect_to(
        environment: &DockerEnvironment,
        host: Host,
        patience: Duration,
    ) -> Result<Self, DockerError> {
        let runtime = NetworkRuntime::new(2)
            .map_err(|error| host.unreachable(Unreachable::Lost(error.to_string())))?;
        let by_ping = match &host.address {
            Address::Unix(socket) => Ping::by_ping(socket),
            Address::Plain(_) | Address::Tls { .. } => None,
        };
        let ping = async {
            let ping = if let Some(ping) = by_ping {
                ping
            } else {
                let version = client(&host, API_DEFAULT_VERSION)?.version().await?;
                Ping::of_version(&version)?
            };
            Ok((client(&host, &ping.api_version)?, ping))
        };
        let answer = runtime.block_on(async { timeout(patience, ping).await });
        let (client, ping) = answer
            .unwrap_or(Err(bollard::errors::Error::RequestTimeoutError))
            .map_err(|error| host.unreachable(Unreachable::of(&error, &host.address)))?;
        let builder = match environment.buildkit {
            Some(true) => BuilderKind::BuildKit,
            Some(false) => BuilderKind::Classic,
            None => natural_builder(ping),
        };
        let client = asking(&client, None);
        Ok(Self {
            runtime,
            client,
            host,
            builder,
            podman: ping.is_podman,
            is_containerd: OnceLock::new(),
            blobs: OnceLock::new(),
            patience,
            removing: OnceLock::new(),
        })
    }

    /// The daemon's address, as it is written.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.host.text
    }

    /// Whether it is reached by a socket of this machine.
    pub(super) fn is_local(&self) -> bool {
        matches!(self.host.address, Address::Unix(_))
    }

    /// Inspects the image `name`, a reference or an image ID; `None` if the daemon has none of that name.
    ///
    /// # Errors
    /// The daemon does not answer, or not with an image.
    pub fn inspect(&self, name: &str) -> Result<Option<ImageInfo>, DockerError> {
        self.inspected(name, info)
    }

    /// What `read` makes of the daemon's answer about the image `name`; `None` if it has none of that name.
    pub(super) fn inspected<T>(
        &self,
        name: &str,
        read: impl FnOnce(ImageInspect) -> Result<T, String>,
    ) -> Result<Option<T>, DockerError> {
        let doing = || format!("inspect `{name}`");
        let answer = match self.ask(self.client.inspect_image(name)) {
            Ok(answer) => answer,
            Err(error) if error::is_absence(&error) => return Ok(None),
            Err(error) => return Err(self.failed(&error, doing)),
        };
        if self.api_version() >= DESCRIBES_STORE {
            self.is_containerd
                .get_or_init(|| answer.descriptor.is_some());
        }
        read(answer)
            .map(Some)
            .map_err(|message| DockerError::Answer {
                doing: doing(),
                message,
            })
    }

    /// The blobs of the containerd store, which holds compressed layers; `None` if the daemon has another store.
    pub(super) fn blobs(&self) -> Result<Option<&Blobs>, DockerError> {
        if !self.is_containerd()? {
            return Ok(None);
        }
        if let Some(blobs) = self.blobs.get() {
            return Ok(Some(blobs));
        }
        let version = self.client.client_version();
        let opened = async { timeout(self.patience, Blobs::open(&self.host, &version)).await };
        let opened = self.runtime.block_on(opened);
        let opened = opened.unwrap_or_else(|_| Err(self.host.unreachable(Unreachable::Silent)))?;
        Ok(Some(self.blobs.get_or_init(|| opened)))
    }

    fn is_containerd(&self) -> Result<bool, DockerError> {
        if let Some(known) = self.is_containerd.get() {
            return Ok(*known);
        }
        if self.podman || self.api_version() < MAY_HAVE_CONTAINERD {
            return Ok(false);
        }
        let answer = self.ask(self.client.info());
        let answer = answer
            .map_err(|error| self.failed(&error, || "tell how it stores images".to_owned()))?;
        let mut facts = answer.driver_status.into_iter().flatten().flatten();
        let is_containerd = facts.any(|fact| fact.starts_with("io.containerd.snapshotter"));
        Ok(*self.is_containerd.get_or_init(|| is_containerd))
    }

    /// The platform that the daemon runs on.
    ///
    /// # Errors
    /// It does not answer, or does not say it.
    pub fn platform(&self) -> Result<Platform, DockerError> {
        let doing = || "tell its platform".to_owned();
        let answer = self.ask(self.client.version());
        let answer = answer.map_err(|error| self.failed(&error, doing))?;
        let (Some(system), Some(architecture)) = (answer.os, answer.arch) else {
            return Err(DockerError::Answer {
                doing: doing(),
                message: "it names no operating system or no architecture".to_owned(),
            });
        };
        Ok(Platform::normal(system, architecture, None))
    }

    fn api_version(&self) -> (usize, usize) {
        let version = self.client.client_version();
        (version.major_version, version.minor_version)
    }

    /// Gives the image `id` the tag of `reference`. An image that had the tag loses it.
    ///
    /// # Errors
    /// `reference` has no tag, the daemon has no such image, or it does not answer.
    pub fn tag(&self, id: &Digest, reference: &Reference) -> Result<(), DockerError> {
        let doing = || format!("tag `{id}` as `{reference}`");
        let Some(tag) = &reference.tag else {
            return Err(DockerError::Answer {
                doing: doing(),
                message: "the reference has no tag".to_owned(),
            });
        };
        let options = TagImageOptionsBuilder::default()
            .repo(&reference.repository.to_string())
            .tag(tag)
            .build();
        let mut attempt = 1;
        loop {
            let tagged = self.ask(self.client.tag_image(id.as_str(), Some(options.clone())));
            match tagged {
                Ok(()) => return Ok(()),
                // The containerd store removes a tag before it sets it again, and fails if another request sets it
                // in between.
                Err(error) if error::is_taken(&error) && attempt < TAG_ATTEMPTS => {
                    thread::sleep(TAG_PAUSE * attempt);
                    attempt += 1;
                }
                Err(error) => return Err(self.failed(&error, doing)),
            }
        }
    }

    /// Removes the tag of `reference`, if it exists. The image is kept as long as it has another tag.
    ///
    /// # Errors
    /// The daemon refuses, or does not answer.
    pub fn untag(&self, reference: &Reference) -> Result<(), DockerError> {
        let options = RemoveImageOptionsBuilder::default().noprune(true).build();
        let name = reference.to_string();
        match self.ask(self.client.remove_image(&name, Some(options), None)) {
            Ok(_) => Ok(()),
            Err(error) if error::is_absence(&error) => Ok(()),
            Err(error) => Err(self.failed(&error, || format!("untag `{reference}`"))),
        }
    }

    /// Has a tag removed if a signal ends the process while the returned value is there.
    pub fn untag_on_end(&self, reference: &Reference) -> OnEnd {
        let (handle, client) = (self.runtime.handle(), self.client.clone());
        let name = reference.to_string();
        ending::on_end(move || {
            let options = RemoveImageOptionsBuilder::default().noprune(true).build();
            // There is nobody left to tell about an error.
            drop(handle.block_on(client.remove_image(&name, Some(options), None)));
        })
    }

    /// Waits for an answer that needs no work.
    pub(super) fn ask<T>(
        &self,
        question: impl Future<Output = Result<T, bollard::errors::Error>>,
    ) -> Result<T, bollard::errors::Error> {
        self.runtime.block_on(self.in_time(question))
    }

    /// The answer to a request, unless the daemon is silent for too long.
    pub(super) async fn in_time<T>(
        &self,
        question: impl Future<Output = Result<T, bollard::errors::Error>>,
    ) -> Result<T, bollard::errors::Error> {
        let answer = timeout(self.patience, question).await;
        answer.unwrap_or(Err(bollard::errors::Error::RequestTimeoutError))
    }

    /// The error of a request: the daemon's own message, or why it cannot be reached.
    pub(super) fn failed(
        &self,
        error: &bollard::errors::Error,
        doing: impl FnOnce() -> String,
    ) -> DockerError {
        match error::said(error) {
            Some(message) => DockerError::Answer {
                doing: doing(),
                message,
            },
            None => self
                .host
                .unreachable(Unreachable::of(error, &self.host.address)),
        }
    }

    /// The image `id`, which the daemon reports to have made for `reference`.
    pub(super) fn inspect_made(
        &self,
        id: &Digest,
        reference: &Reference,
    ) -> Result<ImageInfo, DockerError> {
        self.inspect(id.as_str())?
            .ok_or_else(|| DockerError::Answer {
                doing: format!("look at the image made for `{reference}`"),
                message: format!("it named the image `{id}`, and has none of that name"),
            })
    }
}

fn client(host: &Host, api_version: &ClientVersion) -> Result<Docker, bollard::errors::Error> {
    let seconds = QUESTION.as_secs();
    match &host.address {
        Address::Unix(path) => {
            Docker::connect_with_unix(&path.to_string_lossy(), seconds, api_version)
        }
        Address::Plain(address) => Docker::connect_with_http(address, seconds, api_version),
        Address::Tls {
            address,
            certificates,
        } => {
            // This fails if a provider is already installed, which is fine.
            let _ = rustls::crypto::ring::default_provider().install_default();
            Docker::connect_with_ssl(
                address,
                &certificates.join("key.pem"),
                &certificates.join("cert.pem"),
                &certificates.join("ca.pem"),
                seconds,
                api_version,
            )
        }
    }
}

/// The same client with `registry_auth` as its `X-Registry-Auth` and the negotiated API version in its paths.
///
/// bollard gets both wrong. It encodes credentials in a base64 alphabet that daemons do not decode, so that they
/// continue without credentials. And it leaves the version out of the path, which means the daemon's newest version.
pub(super) fn asking(client: &Docker, registry_auth: Option<&str>) -> Docker {
    let version = client.client_version();
    let registry_auth = registry_auth.map(str::to_owned);
    let modify = move |mut request: BollardRequest| {
        let mut parts = request.uri().clone().into_parts();
        let versioned = parts
            .path_and_query
            .as_ref()
            .and_then(|path| format!("/v{version}{path}").parse().ok());
        if versioned.is_some() {
            parts.path_and_query = versioned;
            if let Ok(uri) = parts.try_into() {
                *request.uri_mut() = uri;
            }
        }
        if let Some(Ok(value)) = registry_auth.as_ref().map(|value| value.parse()) {
            request.headers_mut().insert("X-Registry-Auth", value);
        }
        request
    };
    client.clone().with_request_modifier(modify)
}

/// The same client, whose builds are those of `BuildKit` in a session that was opened before.
///
/// bollard opens a session of its own for every build that it knows to be one of `BuildKit`, so the request is made
/// without that and the builder's number is changed in it.
pub(super) fn building_in_session(client: &Docker) -> Docker {
    let version = client.client_version();
    let modify = move |mut request: BollardRequest| {
        let mut parts = request.uri().clone().into_parts();
        let path = parts.path_and_query.as_ref().map(|path| {
            let query = path.query().unwrap_or_default().split('&');
            let query: Vec<&str> = query
                .map(|pair| {
                    if pair == "version=1" {
                        "version=2"
                    } else {
                        pair
                    }
                })
                .collect();
            format!("/v{version}{}?{}", path.path(), query.join("&"))
        });
        if let Some(path) = path.and_then(|path| path.parse().ok()) {
            parts.path_and_query = Some(path);
            if let Ok(uri) = parts.try_into() {
                *request.uri_mut() = uri;
            }
        }
        request
    };
    client.clone().with_request_modifier(modify)
}

fn natural_builder(ping: Ping) -> BuilderKind {
    let api = ping.api_version;
    let is_recent = (api.major_version, api.minor_version) >= (1, 39);
    if is_recent && ping.is_linux && !ping.is_podman {
        BuilderKind::BuildKit
    } else {
        BuilderKind::Classic
    }
}

/// The image in the answer to an inspection; the error says what is missing in it.
pub(super) fn info(answer: ImageInspect) -> Result<ImageInfo, String> {
    let id = answer.id.ok_or("the answer has no image ID")?;
    let layers = answer.root_fs.and_then(|root| root.layers);
    let diff_ids = layers
        .unwrap_or_default()
        .iter()
        .map(|layer| layer.parse().map_err(|error| format!("a layer: {error}")))
        .collect::<Result<_, _>>()?;
    Ok(ImageInfo {
        id: image_id(&id).ok_or_else(|| format!("`{id}` is not an image ID"))?,
        // Not parsed: a daemon may have images of platforms that sparkpack cannot build for.
        platform: Platform::normal(
            answer.os.unwrap_or_default(),
            answer.architecture.unwrap_or_default(),
            answer.variant,
        ),
        diff_ids,
        labels: answer
            .config
            .and_then(|config| config.labels)
            .unwrap_or_default()
            .into_iter()
            .collect(),
        repo_digests: answer.repo_digests.unwrap_or_default(),
        size: u64::try_from(answer.size.unwrap_or_default()).unwrap_or_default(),
    })
}

/// An image ID, which Podman writes without `sha256:`.
pub(super) fn image_id(text: &str) -> Option<Digest> {
    let text = text.trim();
    text.parse()
        .or_else(|_| format!("sha256:{text}").parse())
        .ok()
}
