//! The way back from a `BuildKit` to this process: it asks for what a build needs through a session, which is a stream
//! within the connection to it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bollard_buildkit_proto::moby::{
    buildkit::v1::{BytesMessage, control_client::ControlClient},
    filesync::v1::auth_server::{Auth, AuthServer},
    upload::v1::upload_server::{Upload, UploadServer},
};
use futures_util::{StreamExt, stream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, split},
    sync::oneshot,
};
use tonic::{Request, Status, metadata::MetadataValue};

use super::{auth, connection::Connection, content, content::ContentServer, context};
use crate::adapters::{secrets::BuildSecrets, session_services};

/// How many bytes wait in each direction.
const BUFFER: usize = 256 * 1024;

/// The size of the pieces that are sent.
const PIECE: usize = 64 * 1024;

/// What a session offers.
pub(super) struct SessionServices<'a, U: Upload, A: Auth> {
    pub(super) secrets: &'a BuildSecrets,
    pub(super) context: UploadServer<U>,
    pub(super) auth: AuthServer<A>,
    pub(super) content: ContentServer,
}

/// When the other side was heard last.
#[derive(Debug)]
pub(super) struct LastHeard {
    begin: Instant,
    milliseconds: AtomicU64,
}

impl LastHeard {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            begin: Instant::now(),
            milliseconds: AtomicU64::new(0),
        })
    }

    /// Notes that it was heard now.
    pub(super) fn now(&self) {
        let since = self.begin.elapsed().as_millis();
        let since = u64::try_from(since).unwrap_or(u64::MAX);
        self.milliseconds.store(since, Ordering::Relaxed);
    }

    /// How long it has been silent.
    pub(super) fn silence(&self) -> Duration {
        let last = Duration::from_millis(self.milliseconds.load(Ordering::Relaxed));
        self.begin.elapsed().saturating_sub(last)
    }
}

/// An open session. It ends when it is dropped.
pub(super) struct BuildSession {
    /// `BuildKit` asks every few seconds whether the session is alive, so that a silent one is gone.
    pub(super) heard: Arc<LastHeard>,
    _end: oneshot::Sender<()>,
}

impl BuildSession {
    /// Opens a session of the ID `id`. Needs a tokio runtime.
    pub(super) async fn open<U: Upload, A: Auth>(
        connection: &Connection,
        id: &str,
        services: SessionServices<'_, U, A>,
    ) -> Result<Self, Status> {
        let (near, far) = tokio::io::duplex(BUFFER);
        let (from_here, mut to_here) = split(far);
        let outgoing = stream::unfold(from_here, |mut from_here| async move {
            let mut data = vec![0; PIECE];
            let count = from_here.read(&mut data).await.ok()?;
            data.truncate(count);
            (count > 0).then_some((BytesMessage { data }, from_here))
        });
        let mut request = Request::new(outgoing);
        let malformed = |_| Status::internal("a header of the session is malformed");
        let headers = request.metadata_mut();
        headers.insert(
            "x-docker-expose-session-uuid",
            MetadataValue::try_from(id).map_err(malformed)?,
        );
        headers.insert(
            "x-docker-expose-session-name",
            MetadataValue::from_static("sparkpack"),
        );
        let methods = session_services::METHODS
            .into_iter()
            .chain([context::METHOD, auth::METHOD])
            .chain(content::METHODS);
        for method in methods {
            headers.append(
                "x-docker-expose-session-grpc-method",
                MetadataValue::try_from(method).map_err(malformed)?,
            );
        }
        let all = session_services::of_build(services.secrets)
            .add_service(services.context)
            .add_service(services.auth)
            .add_service(services.content);
        let end = session_services::serve(all, near);
        let mut control = ControlClient::new(connection.channel.clone());
        let mut incoming = control.session(request).await?.into_inner();
        let heard = LastHeard::new();
        let hearing = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Some(Ok(message)) = incoming.next().await {
                hearing.now();
                if to_here.write_all(&message.data).await.is_err() {
                    break;
                }
            }
            drop(to_here.shutdown().await);
        });
        Ok(Self { heard, _end: end })
    }
}
