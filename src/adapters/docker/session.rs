//! A `BuildKit` session that gives a build its secrets and the SSH agent. bollard opens a session too, but it offers
//! neither.

use bollard::ClientVersion;
use tokio::sync::oneshot;

use super::{error::DockerError, host::Host, upgrade};
use crate::adapters::{secrets::BuildSecrets, session_services};

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
        for method in session_services::METHODS {
            headers.extend(["X-Docker-Expose-Session-Grpc-Method: ", method, "\r\n"]);
        }
        let mut stream = upgrade::connect(host).await?;
        let upgraded = upgrade::upgrade(&mut stream, version, "session", &headers).await;
        upgraded.map_err(|message| DockerError::Answer {
            doing: "open a session for the build's secrets".to_owned(),
            message,
        })?;
        let services = session_services::of_build(secrets);
        let end = session_services::serve(services, stream);
        Ok(Self { _end: end })
    }
}
