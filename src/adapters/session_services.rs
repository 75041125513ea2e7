//! What every build session offers a `BuildKit`: that it is alive, the secrets of the build, and the SSH agent.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, Hasher, RandomState},
    path::PathBuf,
    pin::Pin,
};

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
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    net::UnixStream,
    sync::oneshot,
};
use tonic::{Request, Response, Status, Streaming, transport::server::Router};

use super::secrets::{BuildSecrets, SecretValue};

/// The methods of secrets and agents, which a session announces.
pub(super) const METHODS: [&str; 3] = [
    "/moby.buildkit.secrets.v1.Secrets/GetSecret",
    "/moby.sshforward.v1.SSH/CheckAgent",
    "/moby.sshforward.v1.SSH/ForwardAgent",
];

/// The ID of the agent that a Dockerfile means if it names none.
const DEFAULT_AGENT: &str = "default";

/// The answers to a request that has several.
pub(super) type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// An ID that no other session has.
pub(super) fn new_id() -> String {
    let random = || RandomState::new().build_hasher().finish();
    format!("sparkpack-{:016x}{:016x}", random(), random())
}

/// The services of every session.
pub(super) fn of_build(secrets: &BuildSecrets) -> Router {
    tonic::transport::Server::builder()
        .add_service(HealthServer::new(Alive))
        .add_service(SecretsServer::new(Values(secrets.values.clone())))
        .add_service(SshServer::new(Agent(secrets.ssh_agent.clone())))
}

/// Offers services on the stream of a session. That ends when the returned value is dropped. Needs a tokio runtime.
pub(super) fn serve(services: Router, stream: DuplexStream) -> oneshot::Sender<()> {
    let (end, ended) = oneshot::channel::<()>();
    let incoming = stream::iter([Ok::<_, std::io::Error>(stream)]).chain(stream::pending());
    tokio::spawn(services.serve_with_incoming_shutdown(incoming, async {
        // The sender is dropped without a word.
        let _ = ended.await;
    }));
    end
}

/// Tells `BuildKit` that the session is alive.
struct Alive;

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
