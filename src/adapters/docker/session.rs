//! A `BuildKit` session that gives a build its secrets and the SSH agent. bollard opens a session too, but it offers
//! neither.

use std::{collections::BTreeMap, path::PathBuf, pin::Pin};

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
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    sync::oneshot,
};
use tonic::{Request, Response, Status, Streaming};

use super::{error::DockerError, host::Host, upgrade};
use crate::adapters::secrets::{BuildSecrets, SecretValue};

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
        let mut headers = format!("X-Docker-Expose-Session-Uuid: {id}\r\n");
        for method in METHODS {
            headers.extend(["X-Docker-Expose-Session-Grpc-Method: ", method, "\r\n"]);
        }
        let mut stream = upgrade::connect(host).await?;
        let upgraded = upgrade::upgrade(&mut stream, version, "session", &headers).await;
        upgraded.map_err(|message| DockerError::Answer {
            doing: "open a session for the build's secrets".to_owned(),
            message,
        })?;
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
