//! Connections to a daemon that its API turns into others: a session of a build, and the services of its `BuildKit`.

use bollard::ClientVersion;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream},
    net::{TcpStream, UnixStream},
};

use super::{
    address::Address,
    error::{DockerError, Unreachable},
    host::Host,
};
use crate::adapters::{
    channel::piped,
    tls::{TlsFiles, encrypted},
};

/// The longest head of an answer, in bytes.
const HEAD_LIMIT: usize = 16 * 1024;

/// A connection to a daemon, of the same type for every kind of address. Needs a tokio runtime.
pub(super) async fn connect(host: &Host) -> Result<DuplexStream, DockerError> {
    let lost = |error: std::io::Error| host.unreachable(Unreachable::Lost(error.to_string()));
    Ok(match &host.address {
        Address::Unix(socket) => piped(UnixStream::connect(socket).await.map_err(lost)?),
        Address::Plain(address) => piped(TcpStream::connect(address).await.map_err(lost)?),
        Address::Tls {
            address,
            certificates,
        } => {
            let stream = TcpStream::connect(address).await.map_err(lost)?;
            let files = TlsFiles::of_docker(certificates);
            let stream = encrypted(stream, address, &files, &[]).await;
            piped(stream.map_err(|error| host.unreachable(Unreachable::Tls(error.to_string())))?)
        }
    })
}

/// Asks the daemon to speak HTTP/2 for `endpoint` from now on; the error says what it answered instead.
pub(super) async fn upgrade(
    stream: &mut DuplexStream,
    version: &ClientVersion,
    endpoint: &str,
    headers: &str,
) -> Result<(), String> {
    let request = format!(
        "POST /v{version}/{endpoint} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\
         Connection: Upgrade\r\nUpgrade: h2c\r\n{headers}\r\n"
    );
    let answered = async {
        stream.write_all(request.as_bytes()).await?;
        head(stream).await
    };
    let head = answered.await.map_err(|error| error.to_string())?;
    if head.split(' ').nth(1) == Some("101") {
        return Ok(());
    }
    let line = head.lines().next().unwrap_or_default();
    Err(format!("it said `{line}`"))
}

/// Reads the head of an answer, and not a byte of what follows it.
async fn head(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < HEAD_LIMIT {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}
