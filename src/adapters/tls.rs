//! Connections to daemons and builders, which are encrypted by files that their users name.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// The files of a TLS connection, in PEM.
#[derive(Clone, Debug)]
pub(super) struct TlsFiles {
    /// The authorities that are trusted; `None` for those of this machine.
    pub(super) authorities: Option<PathBuf>,
    /// The client's certificate and its key.
    pub(super) own: Option<(PathBuf, PathBuf)>,
}

impl TlsFiles {
    /// Those in a folder, as the `docker` command names them.
    pub(super) fn of_docker(folder: &Path) -> Self {
        Self {
            authorities: Some(folder.join("ca.pem")),
            own: Some((folder.join("cert.pem"), folder.join("key.pem"))),
        }
    }

    fn roots(&self) -> Result<RootCertStore, Box<dyn std::error::Error + Send + Sync>> {
        let mut roots = RootCertStore::empty();
        let Some(file) = &self.authorities else {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
            return Ok(roots);
        };
        for authority in CertificateDer::pem_file_iter(file).map_err(|error| named(file, &error))? {
            roots.add(authority.map_err(|error| named(file, &error))?)?;
        }
        Ok(roots)
    }
}

/// A connection through TLS to `address`, a host and a port. `protocols` are those that are offered (ALPN).
pub(super) async fn encrypted(
    stream: TcpStream,
    address: &str,
    files: &TlsFiles,
    protocols: &[&[u8]],
) -> Result<TlsStream<TcpStream>, Box<dyn std::error::Error + Send + Sync>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let configuration = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(files.roots()?);
    let mut configuration = match &files.own {
        None => configuration.with_no_client_auth(),
        Some((certificate, key)) => {
            let own = CertificateDer::pem_file_iter(certificate);
            let own = own.and_then(Iterator::collect::<Result<Vec<_>, _>>);
            let own = own.map_err(|error| named(certificate, &error))?;
            let key = PrivateKeyDer::from_pem_file(key).map_err(|error| named(key, &error))?;
            configuration.with_client_auth_cert(own, key)?
        }
    };
    configuration.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    let name = address.rsplit_once(':').map_or(address, |(name, _)| name);
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(name.to_owned())?;
    let connector = TlsConnector::from(Arc::new(configuration));
    Ok(connector.connect(name, stream).await?)
}

/// An error about a file, with its name.
fn named(file: &Path, error: &rustls::pki_types::pem::Error) -> String {
    format!("{}: {error}", file.display())
}
