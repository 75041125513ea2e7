//! Debian's registry behind TLS, with certificates that openssl makes: whose are trusted, and what is told otherwise.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    path::{Path, PathBuf},
    thread,
};

use super::{
    real::{BROKEN_CERTIFICATE, RunningRegistry, command, output, push},
    *,
};
use crate::adapters::registry::BlobState;

/// Dates as openssl takes them.
type Dates = [&'static str; 2];

const NOW: Dates = ["20200101000000Z", "20700101000000Z"];
const OVER: Dates = ["20200101000000Z", "20210203040506Z"];
const TO_COME: Dates = ["20690203040506Z", "20700101000000Z"];

const HERE: &str = "subjectAltName=IP:127.0.0.1";

/// A folder with an authority, `ca.pem`, and certificates that it signs.
struct Authority {
    folder: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let authority = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let settings = "[ca]\ndefault_ca = d\n[d]\ndatabase = index\nnew_certs_dir = .\nserial = serial\ndefault_md = sha256\npolicy = p\n[p]\ncommonName = supplied\n[req]\ndistinguished_name = n\n[n]\n";
        for (name, text) in [("openssl.cnf", settings), ("index", ""), ("serial", "01")] {
            fs_err::write(authority.file(name), text).unwrap();
        }
        authority.request("ca", "-x509 -subj /CN=authority -days 2 -addext basicConstraints=critical,CA:TRUE -out ca.pem");
        authority
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn openssl(&self, arguments: &str) {
        let mut openssl = command("openssl");
        openssl.current_dir(self.folder.path());
        output(openssl.args(arguments.split(' ')));
    }

    fn request(&self, name: &str, more: &str) {
        self.openssl(&format!(
            "req -config openssl.cnf -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout {name}.key {more}"
        ));
    }

    /// Makes `NAME.pem` and `NAME.key`.
    fn sign(&self, name: &str, dates: Dates, extensions: &str) {
        self.made(name, dates, extensions, "-cert ca.pem -keyfile ca.key");
    }

    /// The same, with a certificate that signs itself.
    fn sign_itself(&self, name: &str, dates: Dates, extensions: &str) {
        let own = format!("-selfsign -keyfile {name}.key");
        self.made(name, dates, extensions, &own);
    }

    fn made(&self, name: &str, [from, to]: Dates, extensions: &str, signer: &str) {
        self.request(name, &format!("-subj /CN={name} -out {name}.csr"));
        let text = extensions.replace(' ', "\n");
        fs_err::write(self.file("extensions"), text).unwrap();
        self.openssl(&format!(
            "ca -config openssl.cnf -batch -notext -in {name}.csr -out {name}.pem -startdate {from} -enddate {to} -extfile extensions {signer}"
        ));
    }

    /// A registry that shows a certificate of this name.
    fn registry(&self, name: &str) -> RunningRegistry {
        self.registry_with(name, "")
    }

    fn registry_with(&self, name: &str, more: &str) -> RunningRegistry {
        let file = |ending: &str| self.file(&format!("{name}.{ending}")).display().to_string();
        let text = format!(
            "  tls:\n    certificate: {}\n    key: {}\n{more}",
            file("pem"),
            file("key")
        );
        RunningRegistry::start(|_| (text.clone(), String::new()))
    }

    /// A registry that wants a certificate which this authority has signed.
    fn registry_for_the_known(&self, name: &str) -> RunningRegistry {
        let ca = self.file("ca.pem").display().to_string();
        self.registry_with(name, &format!("    clientcas:\n      - {ca}"))
    }
}

/// A client that trusts the certificates of a file.
fn trusting(file: PathBuf) -> RegistryClient {
    let settings = RegistrySettings {
        ca: Some(file),
        ..RegistrySettings::default()
    };
    client_with(settings, Credentials::default())
}

/// A client for which `folder` is a folder `certs.d`.
fn with_folder(folder: &Path) -> RegistryClient {
    let settings = RegistrySettings {
        certificates: vec![folder.join("not-there"), folder.to_owned()],
        ..RegistrySettings::default()
    };
    client_with(settings, Credentials::default())
}

/// The kind of a failure that is final at the first attempt, and the error as it is shown.
fn failure(client: &RegistryClient, registry: &str) -> (FailureKind, String) {
    let found = client.digest(&reference(&format!("{registry}/a/b:t")));
    let error = found.unwrap_err();
    let text = format!("{}\n{}", shown(&error), error.hint().unwrap());
    match error {
        RegistryError::Unreachable {
            attempts: 1, kind, ..
        } => (kind, text),
        error => panic!("{}", shown(&error)),
    }
}

#[test]
fn what_a_named_authority_has_signed_is_trusted() {
    let authority = Authority::new();
    authority.sign("server", NOW, HERE);
    let registry = authority.registry("server");
    let client = trusting(authority.file("ca.pem"));
    let sample = Sample::new("amd64");
    let target = registry.reference("a/b:t");
    assert_eq!(client.digest(&target).unwrap(), None);
    push(&client, &target, &sample);
    assert_eq!(
        client.find(&target, &Platform::default()).unwrap(),
        Some(sample.image())
    );
    let image = push::Outgoing::new(&[3_000_000, 1]);
    let states = image.push(&client, &registry.reference("a/c:t")).unwrap();
    assert_eq!(states, [Some(BlobState::Sent); 2]);

    let (kind, text) = failure(&anonymous(), &registry.host);
    assert_eq!(kind, FailureKind::Certificate);
    assert!(
        text.contains("signed by nobody whom this machine trusts"),
        "{text}"
    );
    let file = format!("/etc/docker/certs.d/{}/ca.crt", registry.host);
    assert!(text.contains(&file), "{text}");
}

#[test]
fn a_certificate_that_is_not_right_is_refused_with_the_reason() {
    const AUTHORITY: &str = "basicConstraints=critical,CA:TRUE subjectAltName=IP:127.0.0.1";
    let authority = Authority::new();
    authority.sign("over", OVER, HERE);
    authority.sign("to-come", TO_COME, HERE);
    authority.sign(
        "elsewhere",
        NOW,
        "subjectAltName=DNS:other.example,IP:10.0.0.7",
    );
    authority.sign("nowhere", NOW, "basicConstraints=CA:FALSE");
    authority.sign_itself("own-over", OVER, AUTHORITY);
    let elsewhere = AUTHORITY.replace("127.0.0.1", "10.0.0.7");
    authority.sign_itself("own-elsewhere", NOW, &elsewhere);
    authority.sign_itself("own", NOW, AUTHORITY);
    let rows = [
        (
            "over",
            "ca",
            FailureKind::CertificateDates,
            "valid until Wed, 03 Feb 2021 04:05:06 GMT",
        ),
        (
            "to-come",
            "ca",
            FailureKind::CertificateDates,
            "valid only from Sun, 03 Feb 2069 04:05:06 GMT",
        ),
        (
            "elsewhere",
            "ca",
            FailureKind::CertificateName,
            "only for `other.example`, `10.0.0.7`",
        ),
        (
            "nowhere",
            "ca",
            FailureKind::CertificateName,
            "no name that counts",
        ),
        (
            "own-over",
            "own-over",
            FailureKind::CertificateDates,
            "valid until",
        ),
        (
            "own-elsewhere",
            "own-elsewhere",
            FailureKind::CertificateName,
            "only for `10.0.0.7`",
        ),
        ("own", "ca", FailureKind::Certificate, "an authority's own"),
    ];
    for (server, named, wanted, words) in rows {
        let registry = authority.registry(server);
        let client = trusting(authority.file(&format!("{named}.pem")));
        let (kind, text) = failure(&client, &registry.host);
        assert_eq!(kind, wanted, "{server}: {text}");
        assert!(text.contains(words), "{server}: {text}");
    }
}

#[test]
fn a_certificate_that_signed_itself_is_trusted_where_it_is_named() {
    let authority = Authority::new();
    for (name, extensions) in [
        (
            "authority",
            "basicConstraints=critical,CA:TRUE subjectAltName=IP:127.0.0.1",
        ),
        (
            "server",
            "basicConstraints=critical,CA:FALSE subjectAltName=IP:127.0.0.1",
        ),
        ("plain", HERE),
    ] {
        authority.sign_itself(name, NOW, extensions);
        let registry = authority.registry(name);
        let client = trusting(authority.file(&format!("{name}.pem")));
        assert_eq!(
            client.digest(&registry.reference("a/b:t")).unwrap(),
            None,
            "{name}"
        );
        let (kind, text) = failure(&anonymous(), &registry.host);
        assert_eq!(kind, FailureKind::Certificate, "{name}: {text}");
    }
}

#[test]
fn a_folder_of_certificates_counts_for_its_registry_alone() {
    let authority = Authority::new();
    authority.sign("server", NOW, HERE);
    let [registry, other] = [(); 2].map(|()| authority.registry("server"));
    let folders = tempfile::tempdir().unwrap();
    let folder = folders.path().join(&registry.host);
    fs_err::create_dir_all(&folder).unwrap();
    fs_err::copy(authority.file("ca.pem"), folder.join("any.crt")).unwrap();
    fs_err::write(folder.join("README"), "ours").unwrap();
    let client = with_folder(folders.path());
    assert_eq!(client.digest(&registry.reference("a/b:t")).unwrap(), None);
    let (kind, text) = failure(&client, &other.host);
    assert_eq!(kind, FailureKind::Certificate, "{text}");
}

#[test]
fn a_registry_that_wants_a_certificate_gets_that_of_its_folder() {
    let authority = Authority::new();
    authority.sign("server", NOW, HERE);
    authority.sign("client", NOW, "extendedKeyUsage=clientAuth");
    let registry = authority.registry_for_the_known("server");
    let target = registry.reference("a/b:t");
    let folders = tempfile::tempdir().unwrap();
    let folder = folders.path().join(&registry.host);
    fs_err::create_dir_all(&folder).unwrap();
    fs_err::copy(authority.file("ca.pem"), folder.join("ca.crt")).unwrap();
    let (kind, text) = failure(&with_folder(folders.path()), &registry.host);
    assert_eq!(kind, FailureKind::ClientCertificate, "{text}");
    let file = format!("/etc/docker/certs.d/{}/client.cert", registry.host);
    assert!(text.contains(&file), "{text}");

    fs_err::copy(authority.file("client.pem"), folder.join("client.cert")).unwrap();
    let without_key = with_folder(folders.path()).digest(&target).unwrap_err();
    assert_eq!(without_key.code(), "E504");
    assert!(
        shown(&without_key).contains("client.key"),
        "{}",
        shown(&without_key)
    );

    fs_err::copy(authority.file("client.key"), folder.join("client.key")).unwrap();
    assert_eq!(with_folder(folders.path()).digest(&target).unwrap(), None);

    // A host that another registry redirects to gets that registry's trust, and not its certificate.
    let other = redirecting(format!("https://{}", registry.host));
    fs_err::rename(&folder, folders.path().join(&other)).unwrap();
    let (kind, text) = failure(&with_folder(folders.path()), &other);
    assert_eq!(kind, FailureKind::ClientCertificate, "{text}");
}

/// A registry without TLS that redirects everything to another one.
fn redirecting(to: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    // The thread ends with the test's process.
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut head = [0; 4096];
            let count = stream.read(&mut head).unwrap_or_default();
            let head = String::from_utf8_lossy(&head[..count]);
            let path = head.split(' ').nth(1).unwrap_or_default();
            let answer = format!(
                "HTTP/1.1 307 X\r\nLocation: {to}{path}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    host
}

/// The form of a key around what is none.
const BROKEN_KEY: &str = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";

#[test]
fn a_file_of_a_folder_that_cannot_be_used_is_named() {
    let authority = Authority::new();
    authority.sign("server", NOW, HERE);
    let registry = authority.registry("server");
    let folders = tempfile::tempdir().unwrap();
    let folder = folders.path().join(&registry.host);
    fs_err::create_dir_all(&folder).unwrap();
    let pem = fs_err::read_to_string(authority.file("server.pem")).unwrap();
    let key = fs_err::read_to_string(authority.file("server.key")).unwrap();
    let another = fs_err::read_to_string(authority.file("ca.key")).unwrap();
    for (named, files) in [
        ("ca.crt", vec![("ca.crt", "")]),
        ("ca.crt", vec![("ca.crt", "no certificate")]),
        (
            "b.crt",
            vec![("a.crt", pem.as_str()), ("b.crt", key.as_str())],
        ),
        ("client.key", vec![("client.cert", pem.as_str())]),
        (
            "client.key",
            vec![("client.cert", pem.as_str()), ("client.key", pem.as_str())],
        ),
        (
            "client.cert",
            vec![("client.cert", ""), ("client.key", key.as_str())],
        ),
        (
            "b.crt",
            vec![("a.crt", pem.as_str()), ("b.crt", BROKEN_CERTIFICATE)],
        ),
        (
            "client.cert",
            vec![
                ("client.cert", BROKEN_CERTIFICATE),
                ("client.key", key.as_str()),
            ],
        ),
        (
            "client.key",
            vec![("client.cert", pem.as_str()), ("client.key", BROKEN_KEY)],
        ),
        (
            "client.key",
            vec![
                ("client.cert", pem.as_str()),
                ("client.key", another.as_str()),
            ],
        ),
    ] {
        fs_err::remove_dir_all(&folder).unwrap();
        fs_err::create_dir_all(&folder).unwrap();
        for (file, text) in files {
            fs_err::write(folder.join(file), text).unwrap();
        }
        let client = with_folder(folders.path());
        let error = client.digest(&registry.reference("a/b:t")).unwrap_err();
        assert_eq!(error.code(), "E504");
        let file = folder.join(named).display().to_string();
        assert!(shown(&error).contains(&file), "{}", shown(&error));
        assert!(error.hint().unwrap().contains("NAME.key"));
    }
}
