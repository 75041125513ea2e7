//! A `BuildKit` session that gives a build its secrets and the SSH agent. bollard opens a session too, but it offers
//! neither.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
};

use bollard::ClientVersion;
use bollard_buildkit_proto::{
    health::{
        HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse,
        health_check_response::ServingStatus,
        health_server::{Health, HealthServer},
    },
    moby::{
        buildkit::secrets::v1::{
            GetSecretRequest, GetSecretResponse,
            secrets_server::{Secrets, SecretsServer},
        },
        sshforward::v1::{
            BytesMessage, CheckAgentRequest, CheckAgentResponse,
            ssh_server::{Ssh, SshServer},
        },
    },
};
use futures_util::{Stream, StreamExt, stream};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream},
    net::{TcpStream, UnixStream},
    sync::oneshot,
};
use tokio_rustls::TlsConnector;
use tonic::{Request, Response, Status, Streaming, transport::server::Connected};

use super::{
    address::Address,
    error::{DockerError, Unreachable},
    host::Host,
};
use crate::adapters::secrets::{BuildSecrets, SecretValue};

/// The longest answer to the request that opens a session, in bytes.
const HEAD_LIMIT: usize = 16 * 1024;

/// How many bytes wait between a session and its encryption.
const BUFFER: usize = 64 * 1024;

/// The methods that a session offers.
const METHODS: [&str; 3] = [
    "/moby.buildkit.secrets.v1.Secrets/GetSecret",
    "/moby.sshforward.v1.SSH/CheckAgent",
    "/moby.sshforward.v1.SSH/ForwardAgent",
];

/// The ID of the agent that a Dockerfile means if it names none.
const DEFAULT_AGENT: &str = "default";

/// An open session. It ends when it is dropped.
pub(super) struct Session {
    _end: oneshot::Sender<()>,
}

impl Session {
    /// Opens a session of the ID `id` at a daemon. Needs a tokio runtime.
    pub(super) async fn open(
        host: &Host,
        version: &ClientVersion,
        id: &str,
        secrets: &BuildSecrets,
    ) -> Result<Self, DockerError> {
        let lost = |error: std::io::Error| host.unreachable(Unreachable::Lost(error.to_string()));
        match &host.address {
            Address::Unix(socket) => {
                let stream = UnixStream::connect(socket).await.map_err(lost)?;
                Self::begin(stream, version, id, secrets).await
            }
            Address::Plain(address) => {
                let stream = TcpStream::connect(address).await.map_err(lost)?;
                Self::begin(stream, version, id, secrets).await
            }
            Address::Tls {
                address,
                certificates,
            } => {
                let stream = TcpStream::connect(address).await.map_err(lost)?;
                let stream = encrypted(stream, address, certificates).await;
                let stream = stream
                    .map_err(|error| host.unreachable(Unreachable::Tls(error.to_string())))?;
                Self::begin(stream, version, id, secrets).await
            }
        }
    }

    async fn begin<S>(
        mut stream: S,
        version: &ClientVersion,
        id: &str,
        secrets: &BuildSecrets,
    ) -> Result<Self, DockerError>
    where
        S: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
    {
        let mut request = format!(
            "POST /v{version}/session HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\
             Connection: Upgrade\r\nUpgrade: h2c\r\nX-Docker-Expose-Session-Uuid: {id}\r\n"
        );
        for method in METHODS {
            request.extend(["X-Docker-Expose-Session-Grpc-Method: ", method, "\r\n"]);
        }
        request.push_str("\r\n");
        let opened = async {
            stream.write_all(request.as_bytes()).await?;
            head(&mut stream).await
        };
        let head = opened.await.map_err(|error| answer(error.to_string()))?;
        if head.split(' ').nth(1) != Some("101") {
            let line = head.lines().next().unwrap_or_default();
            return Err(answer(format!("it said `{line}`")));
        }
        let (end, ended) = oneshot::channel::<()>();
        let serving = tonic::transport::Server::builder()
            .add_service(HealthServer::new(Alive))
            .add_service(SecretsServer::new(Values(secrets.values.clone())))
            .add_service(SshServer::new(Agent(secrets.ssh_agent.clone())));
        let incoming = stream::iter([Ok::<_, std::io::Error>(stream)]).chain(stream::pending());
        tokio::spawn(serving.serve_with_incoming_shutdown(incoming, async {
            // The sender is dropped without a word.
            let _ = ended.await;
        }));
        Ok(Self { _end: end })
    }
}

/// A stream whose bytes go through TLS on `stream`, with the client's certificate in the folder `certificates`.
///
/// What serves the session needs a stream of its own types, so it gets the other end of one in memory.
async fn encrypted(
    stream: TcpStream,
    address: &str,
    certificates: &Path,
) -> Result<DuplexStream, Box<dyn std::error::Error + Send + Sync>> {
    let mut authorities = RootCertStore::empty();
    for authority in CertificateDer::pem_file_iter(certificates.join("ca.pem"))? {
        authorities.add(authority?)?;
    }
    let own = CertificateDer::pem_file_iter(certificates.join("cert.pem"))?;
    let own = own.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(certificates.join("key.pem"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let configuration = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(authorities)
        .with_client_auth_cert(own, key)?;
    let name = address.rsplit_once(':').map_or(address, |(name, _)| name);
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(name.to_owned())?;
    let connector = TlsConnector::from(Arc::new(configuration));
    let mut outside = connector.connect(name, stream).await?;
    let (near, mut far) = tokio::io::duplex(BUFFER);
    tokio::spawn(async move {
        // A connection that breaks ends the session, which the build then tells.
        let _ = tokio::io::copy_bidirectional(&mut far, &mut outside).await;
    });
    Ok(near)
}

fn answer(message: String) -> DockerError {
    DockerError::Answer {
        doing: "open a session for the build's secrets".to_owned(),
        message,
    }
}

/// Reads the head of an answer, and not a byte of what follows it.
async fn head(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < HEAD_LIMIT {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// Tells `BuildKit` that the session is alive.
struct Alive;

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Health for Alive {
    type WatchStream = Answers<HealthCheckResponse>;

    async fn check(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let status = ServingStatus::Serving.into();
        Ok(Response::new(HealthCheckResponse { status }))
    }

    async fn list(
        &self,
        _: Request<HealthListRequest>,
    ) -> Result<Response<HealthListResponse>, Status> {
        Err(Status::unimplemented("only Check"))
    }

    async fn watch(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("only Check"))
    }
}

/// The secrets by their IDs.
struct Values(BTreeMap<String, SecretValue>);

#[tonic::async_trait]
impl Secrets for Values {
    async fn get_secret(
        &self,
        request: Request<GetSecretRequest>,
    ) -> Result<Response<GetSecretResponse>, Status> {
        let value = self.0.get(&request.get_ref().id);
        let value = value.ok_or_else(|| Status::not_found("no secret of this ID is configured"))?;
        let data = value.bytes().to_vec();
        Ok(Response::new(GetSecretResponse { data }))
    }
}

/// The socket of the SSH agent, if the image may use it.
struct Agent(Option<PathBuf>);

#[tonic::async_trait]
impl Ssh for Agent {
    type ForwardAgentStream = Answers<BytesMessage>;

    async fn check_agent(
        &self,
        request: Request<CheckAgentRequest>,
    ) -> Result<Response<CheckAgentResponse>, Status> {
        let id = &request.get_ref().id;
        if self.0.is_some() && (id.is_empty() || id == DEFAULT_AGENT) {
            return Ok(Response::new(CheckAgentResponse {}));
        }
        Err(Status::not_found("no agent of this ID is configured"))
    }

    async fn forward_agent(
        &self,
        request: Request<Streaming<BytesMessage>>,
    ) -> Result<Response<Self::ForwardAgentStream>, Status> {
        let Some(socket) = &self.0 else {
            return Err(Status::not_found("no agent is configured"));
        };
        let (read, mut write) = UnixStream::connect(socket).await?.into_split();
        let mut questions = request.into_inner();
        tokio::spawn(async move {
            while let Some(Ok(message)) = questions.next().await {
                if write.write_all(&message.data).await.is_err() {
                    break;
                }
            }
        });
        let answers = stream::try_unfold(read, |mut read| async move {
            let mut data = vec![0; 16 * 1024];
            let count = read.read(&mut data).await?;
            data.truncate(count);
            Ok((count > 0).then_some((BytesMessage { data }, read)))
        });
        Ok(Response::new(Box::pin(answers)))
    }
}
