//! Connections to a daemon that its API turns into others: a session of a build, and the services of its `BuildKit`.

use std::{path::Path, sync::Arc};

use bollard::ClientVersion;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    address::Address,
    error::{DockerError, Unreachable},
    host::Host,
};

/// The longest head of an answer, in bytes.
const HEAD_LIMIT: usize = 16 * 1024;

/// How many bytes wait between the connection and its user.
const BUFFER: usize = 64 * 1024;

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
            let stream = encrypted(stream, address, certificates).await;
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

/// The other end of a connection.
fn piped(mut stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> DuplexStream {
    let (near, mut far) = tokio::io::duplex(BUFFER);
    tokio::spawn(async move {
        // A connection that breaks ends what runs on it, which then tells it.
        let _ = tokio::io::copy_bidirectional(&mut far, &mut stream).await;
    });
    near
}

/// A connection through TLS, with the client's certificate in the folder `certificates`.
async fn encrypted(
    stream: TcpStream,
    address: &str,
    certificates: &Path,
) -> Result<TlsStream<TcpStream>, Box<dyn std::error::Error + Send + Sync>> {
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
    Ok(connector.connect(name, stream).await?)
}

/// Reads the head of an answer, and not a byte of what follows it.
async fn head(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < HEAD_LIMIT {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}
