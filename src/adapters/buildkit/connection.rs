//! Connections to a `BuildKit`, and what its workers can build for.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use bollard_buildkit_proto::moby::buildkit::v1::{
    ListWorkersRequest, control_client::ControlClient,
};
use tokio::{
    io::DuplexStream,
    net::{TcpStream, UnixStream, lookup_host},
    time::{sleep, timeout},
};
use tonic::transport::Channel;

use super::error::{BuildKitError, BuildKitUnreachable};
use crate::{
    adapters::{
        channel::{self, piped},
        registry::tls,
        runtime::NetworkRuntime,
        tls::{TlsFiles, encrypted},
    },
    image::Platform,
    project::{BuilderAddress, BuilderEndpoint},
};

/// How long a connection may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The pauses before further attempts where somebody may be about to listen.
const PAUSES: [Duration; 2] = [Duration::from_millis(300), Duration::from_secs(1)];

/// The largest message that is taken.
pub(super) const MESSAGE_LIMIT: usize = 64 << 20;

/// The threads that wait for a `BuildKit`.
const THREADS: usize = 4;

/// A `BuildKit` that has answered.
#[derive(Clone)]
pub(super) struct Connection {
    /// The address as it is written.
    pub(super) address: String,
    /// Whether it is on this machine.
    pub(super) is_local: bool,
    pub(super) channel: Channel,
    /// On which everything of the connection runs.
    pub(super) runtime: Arc<NetworkRuntime>,
    /// The platforms whose programs its workers run.
    pub(super) platforms: Vec<Platform>,
}

impl Connection {
    /// Connects, and asks for the workers.
    ///
    /// # Errors
    /// It does not answer.
    pub(super) fn open(at: &BuilderAddress) -> Result<Self, BuildKitError> {
        let opened = match NetworkRuntime::new(THREADS) {
            Ok(runtime) => {
                let runtime = Arc::new(runtime);
                runtime.block_on(Self::open_on(&runtime, at))
            }
            Err(error) => Err(BuildKitUnreachable::Lost(error.to_string())),
        };
        opened.map_err(|reason| BuildKitError::Unreachable {
            address: at.text.clone(),
            reason,
        })
    }

    async fn open_on(
        runtime: &Arc<NetworkRuntime>,
        at: &BuilderAddress,
    ) -> Result<Self, BuildKitUnreachable> {
        let mut pauses = PAUSES.into_iter();
        loop {
            let opened = timeout(PATIENCE, Self::try_open(runtime, at)).await;
            let reason = match opened.unwrap_or(Err(BuildKitUnreachable::Silent)) {
                Ok(connection) => return Ok(connection),
                Err(reason) => reason,
            };
            let may_begin = matches!(
                reason,
                BuildKitUnreachable::Refused
                    | BuildKitUnreachable::NoSocket
                    | BuildKitUnreachable::Lost(_)
            );
            match pauses.next().filter(|_| may_begin) {
                Some(pause) => sleep(pause).await,
                None => return Err(reason),
            }
        }
    }

    async fn try_open(
        runtime: &Arc<NetworkRuntime>,
        at: &BuilderAddress,
    ) -> Result<Self, BuildKitUnreachable> {
        let stream = stream(at).await?;
        let channel = channel::over(stream).await;
        let channel = channel.map_err(|error| not_understood(at, causes(&error)))?;
        let mut control = ControlClient::new(channel.clone());
        let workers = control.list_workers(ListWorkersRequest::default()).await;
        let workers = workers.map_err(|status| match status.code() {
            tonic::Code::Unimplemented => BuildKitUnreachable::Other(causes(&status)),
            _ => not_understood(at, causes(&status)),
        })?;
        let records = workers.into_inner().record.into_iter();
        let platforms = records.flat_map(|worker| worker.platforms);
        let platforms =
            platforms.map(|one| Platform::normal(one.os, one.architecture, Some(one.variant)));
        Ok(Self {
            address: at.text.clone(),
            is_local: at.endpoint.is_local(),
            channel,
            runtime: Arc::clone(runtime),
            platforms: platforms.collect(),
        })
    }

    /// Fails unless its workers run programs of a platform.
    pub(super) fn require(&self, platform: &Platform) -> Result<(), BuildKitError> {
        if self.platforms.is_empty() || self.platforms.contains(platform) {
            return Ok(());
        }
        let mut workers: Vec<String> = self.platforms.iter().map(ToString::to_string).collect();
        workers.dedup();
        Err(BuildKitError::Platform {
            address: self.address.clone(),
            platform: platform.clone(),
            workers: workers.join(", "),
        })
    }
}

/// The platforms whose programs the workers of a `BuildKit` run.
///
/// # Errors
/// It does not answer.
pub fn ask(at: &BuilderAddress) -> Result<Vec<Platform>, BuildKitError> {
    Ok(Connection::open(at)?.platforms)
}

async fn stream(at: &BuilderAddress) -> Result<DuplexStream, BuildKitUnreachable> {
    match &at.endpoint {
        BuilderEndpoint::Unix(path) => {
            let connected = UnixStream::connect(path).await;
            Ok(piped(connected.map_err(|error| of_io(&error))?))
        }
        BuilderEndpoint::Tcp(address) => {
            let found = lookup_host(address).await;
            let found = found.map_err(|error| BuildKitUnreachable::NoHost(error.to_string()))?;
            let found: Vec<SocketAddr> = found.collect();
            let stream = TcpStream::connect(&*found).await;
            let stream = stream.map_err(|error| of_io(&error))?;
            // Small requests follow each other.
            drop(stream.set_nodelay(true));
            let Some(tls) = &at.tls else {
                return Ok(piped(stream));
            };
            let files = TlsFiles {
                authorities: tls.ca.clone(),
                own: tls.own.clone(),
            };
            let encrypted = encrypted(stream, address, &files, &[b"h2"]).await;
            Ok(piped(encrypted.map_err(|error| not_encrypted(&*error))?))
        }
    }
}

/// Why there is no encrypted connection, in words.
fn not_encrypted(error: &(dyn std::error::Error + Send + Sync + 'static)) -> BuildKitUnreachable {
    let of_connection = error.downcast_ref::<io::Error>();
    let of_tls = of_connection.and_then(|error| error.get_ref()?.downcast_ref::<rustls::Error>());
    let of_tls = of_tls.or_else(|| error.downcast_ref::<rustls::Error>());
    BuildKitUnreachable::Tls(of_tls.map_or_else(|| error.to_string(), tls::in_words))
}

fn of_io(error: &io::Error) -> BuildKitUnreachable {
    match error.kind() {
        io::ErrorKind::NotFound => BuildKitUnreachable::NoSocket,
        io::ErrorKind::PermissionDenied => BuildKitUnreachable::Denied,
        io::ErrorKind::ConnectionRefused => BuildKitUnreachable::Refused,
        io::ErrorKind::TimedOut => BuildKitUnreachable::Silent,
        _ => BuildKitUnreachable::Lost(error.to_string()),
    }
}

/// Why a connection ended before anything was answered. A server that wants another certificate of a client ends it after
/// the client has accepted the server's.
fn not_understood(at: &BuilderAddress, message: String) -> BuildKitUnreachable {
    match &at.tls {
        Some(_) => BuildKitUnreachable::Tls(format!(
            "it ended the connection, most often since it wants a client's certificate, or another one: {message}"
        )),
        None => BuildKitUnreachable::Other(message),
    }
}

/// An error with its causes, each of which says something that the one before does not.
pub(super) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use tonic::transport::Endpoint;

    use super::*;

    #[test]
    fn why_nobody_answers_is_told_apart() {
        for (kind, wanted) in [
            (io::ErrorKind::NotFound, BuildKitUnreachable::NoSocket),
            (io::ErrorKind::PermissionDenied, BuildKitUnreachable::Denied),
            (
                io::ErrorKind::ConnectionRefused,
                BuildKitUnreachable::Refused,
            ),
            (io::ErrorKind::TimedOut, BuildKitUnreachable::Silent),
        ] {
            assert_eq!(of_io(&kind.into()), wanted);
        }
    }

    #[test]
    fn an_error_is_told_with_causes_that_say_more() {
        let inner = io::Error::other("no route");
        let outer = io::Error::other(inner);
        assert_eq!(causes(&outer), "no route");
    }

    #[test]
    fn a_platform_without_a_worker_is_refused_with_those_that_there_are() {
        let runtime = Arc::new(NetworkRuntime::new(1).unwrap());
        let handle = runtime.handle();
        let _entered = handle.enter();
        let connection = |platforms: &[&str]| Connection {
            address: "tcp://builder.example:1234".to_owned(),
            is_local: false,
            runtime: Arc::clone(&runtime),
            channel: Endpoint::from_static("http://localhost").connect_lazy(),
            platforms: platforms.iter().map(|one| one.parse().unwrap()).collect(),
        };
        let (amd64, arm64) = ("linux/amd64", "linux/arm64");
        let wanted: Platform = arm64.parse().unwrap();
        assert!(connection(&[amd64, arm64]).require(&wanted).is_ok());
        let refused = connection(&[amd64]).require(&wanted).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the BuildKit at `tcp://builder.example:1234` cannot run programs for linux/arm64: its workers are for linux/amd64"
        );
    }
}
