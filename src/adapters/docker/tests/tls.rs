//! This machine's daemon behind TLS: a step gets its secrets there too.

use std::{path::Path, process::Command, sync::Arc};

use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use tokio::net::{TcpListener, UnixStream};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::adapters::docker::address::Address;

/// One self-signed certificate, which serves as that of the authority, of the client and of the daemon.
#[expect(clippy::disallowed_methods, reason = "a test makes certificates")]
fn write_certificates(folder: &Path) {
    let made = Command::new("openssl")
        .args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=test".split(' '))
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(folder.join("key.pem"))
        .arg("-out")
        .arg(folder.join("ca.pem"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    fs_err::copy(folder.join("ca.pem"), folder.join("cert.pem")).unwrap();
}

/// Passes on what comes through TLS at a port of this machine to the daemon at `socket`; only for clients whose
/// certificate is in the folder.
struct Front {
    _runtime: tokio::runtime::Runtime,
    address: String,
}

impl Front {
    fn before(socket: &Path, folder: &Path) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let certificate = CertificateDer::from_pem_file(folder.join("ca.pem")).unwrap();
        let mut clients = RootCertStore::empty();
        clients.add(certificate.clone()).unwrap();
        let verifier =
            WebPkiClientVerifier::builder_with_provider(clients.into(), Arc::clone(&provider));
        let configuration = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(
                vec![certificate],
                PrivateKeyDer::from_pem_file(folder.join("key.pem")).unwrap(),
            )
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(configuration));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let socket = socket.to_owned();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, socket) = (acceptor.clone(), socket.clone());
                tokio::spawn(async move {
                    let mut outside = acceptor.accept(stream).await?;
                    let mut daemon = UnixStream::connect(socket).await?;
                    tokio::io::copy_bidirectional(&mut outside, &mut daemon).await
                });
            }
        });
        Self {
            _runtime: runtime,
            address,
        }
    }
}

#[test]
fn a_step_mounts_a_secret_at_a_daemon_behind_tls() {
    let mut fixture = DaemonFixture::new(Some(BuilderKind::BuildKit));
    let shell = fixture.shell("tls");
    let name = fixture.name("tls");
    let folder = tempfile::tempdir().unwrap();
    write_certificates(folder.path());
    let Address::Unix(socket) = fixture.daemon.host.address.clone() else {
        panic!(
            "{:?}: this test needs the daemon's socket",
            fixture.daemon.host
        );
    };
    let front = Front::before(&socket, folder.path());
    let environment = DockerEnvironment {
        host: Some(format!("tcp://{}", front.address)),
        tls: true,
        certificates: Some(folder.path().to_owned()),
        buildkit: Some(true),
        ..DockerEnvironment::of_process()
    };
    fixture.daemon = Daemon::connect_in(&environment).unwrap();
    let value = format!("s3cret-{}", std::process::id());
    let dockerfile = format!(
        "FROM {shell}\nRUN --mount=type=secret,id=token,required=true \
         /bin/busybox cat /run/secrets/token && /bin/busybox echo ,\n"
    );
    let mut request = request(&name, &dockerfile, Vec::new());
    request.secrets = BuildSecrets::of("token", value.as_bytes());
    request.no_cache = true;
    let (result, events) = fixture.build(&request);
    assert!(result.is_ok(), "{result:?}");
    assert_eq!(lines(&events), ["***,"]);

    // The session is refused as every other request is.
    let other = tempfile::tempdir().unwrap();
    write_certificates(other.path());
    fixture.daemon.host.address = Address::Tls {
        address: front.address.clone(),
        certificates: other.path().to_owned(),
    };
    let (result, _) = fixture.build(&request);
    let error = result.unwrap_err();
    assert_eq!(code(&error), "E601");
    let wanted = format!(
        "cannot reach the Docker daemon at `tcp://{}`: no TLS connection",
        front.address
    );
    assert!(error.to_string().starts_with(&wanted), "{error}");
}
