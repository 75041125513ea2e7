//! gRPC over connections that are there already, of whatever kind they are.

use std::io;

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tonic::transport::{Channel, Endpoint, Error};
use tower::service_fn;

/// How many bytes wait between the connection and its user.
const BUFFER: usize = 64 * 1024;

/// The other end of a connection, of the same type for every kind. Needs a tokio runtime.
pub(super) fn piped(
    mut stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> DuplexStream {
    let (near, mut far) = tokio::io::duplex(BUFFER);
    tokio::spawn(async move {
        // A connection that breaks ends what runs on it, which then tells it.
        let _ = tokio::io::copy_bidirectional(&mut far, &mut stream).await;
    });
    near
}

/// A channel over a connection. It ends with it.
pub(super) async fn over(stream: DuplexStream) -> Result<Channel, Error> {
    let mut stream = Some(TokioIo::new(stream));
    let connected = || io::Error::other("the connection broke");
    // The address is only a name in the requests: the connection is there.
    let endpoint = Endpoint::from_static("http://localhost");
    let connector = service_fn(move |_| {
        let stream = stream.take().ok_or_else(connected);
        async { stream }
    });
    endpoint.connect_with_connector(connector).await
}
