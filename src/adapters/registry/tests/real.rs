//! Against Debian's `docker-registry`.

use std::{
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
};

use super::*;

/// A registry for a single test, which stops with it.
pub(super) struct RunningRegistry {
    child: Child,
    pub(super) host: String,
    folder: tempfile::TempDir,
}

#[expect(clippy::disallowed_methods, reason = "tests start a registry")]
pub(super) fn command(program: &str) -> Command {
    Command::new(program)
}

pub(super) fn output(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

impl RunningRegistry {
    /// Starts a registry; `settings` returns YAML for a given folder.
    pub(super) fn start(settings: impl Fn(&Path) -> (String, String)) -> Self {
        // Another process may take a free port before it is used.
        let tried = (0..5).find_map(|_| Self::try_start(&settings));
        tried.expect("docker-registry starts")
    }

    fn try_start(settings: impl Fn(&Path) -> (String, String)) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let host = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .to_string();
        let (http, more) = settings(folder.path());
        let storage = folder.path().join("storage");
        let text = format!(
            "version: 0.1\nlog:\n  level: error\n  accesslog:\n    disabled: true\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {host}\n{http}\n{more}\n",
            storage.display()
        );
        let file = folder.path().join("registry.yml");
        fs_err::write(&file, text).unwrap();
        let child = command("docker-registry")
            .arg("serve")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let mut registry = Self {
            child: child.expect("docker-registry is installed"),
            host,
            folder,
        };
        for _ in 0..500 {
            if registry.child.try_wait().unwrap().is_some() {
                return None;
            }
            if TcpStream::connect(&registry.host).is_ok() {
                return Some(registry);
            }
            thread::sleep(Duration::from_millis(10));
        }
        None
    }

    /// A registry that requires the password `right!` of the user `ann`.
    pub(super) fn with_password() -> Self {
        let line = output(command("htpasswd").args(["-Bbn", "ann", "right!"]));
        Self::start(move |folder| {
            let file = folder.join("htpasswd");
            fs_err::write(&file, &line).unwrap();
            (
                String::new(),
                format!(
                    "auth:\n  htpasswd:\n    realm: test\n    path: {}",
                    file.display()
                ),
            )
        })
    }

    /// The number of uploads to a repository that were begun and not ended.
    pub(super) fn unfinished_uploads(&self, path: &str) -> usize {
        let uploads = format!("storage/docker/registry/v2/repositories/{path}/_uploads");
        fs_err::read_dir(self.folder.path().join(uploads)).map_or(0, Iterator::count)
    }

    pub(super) fn reference(&self, rest: &str) -> Reference {
        reference(&format!("{}/{rest}", self.host))
    }
}

impl Drop for RunningRegistry {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn push_blob(client: &RegistryClient, target: &Reference, bytes: &[u8]) {
    let request = Request {
        actions: Actions::PullPush,
        ..look_up("push", &target.repository, target)
    };
    let uploaded = client.session.upload(&request, bytes);
    client.runtime.block_on(uploaded).unwrap();
}

fn push_manifest(
    client: &RegistryClient,
    target: &Reference,
    media_type: &'static str,
    bytes: &[u8],
) {
    let content = Some((
        HeaderValue::from_static(media_type),
        Body::Bytes(Bytes::from(bytes.to_vec())),
    ));
    let actions = Actions::PullPush;
    let put = Request {
        method: Method::PUT,
        content,
        actions,
        ..look_up("push", &target.repository, target)
    };
    let answer = client
        .runtime
        .block_on(client.session.exchange(&put))
        .unwrap();
    assert_eq!(answer.status, StatusCode::CREATED, "{}", describe(&answer));
}

pub(super) fn push(client: &RegistryClient, target: &Reference, sample: &Sample) {
    push_blob(client, target, &sample.config);
    push_blob(client, target, &sample.layer);
    push_manifest(client, target, DOCKER_MANIFEST, &sample.manifest);
}

#[test]
fn an_image_is_found_and_tagged_with_the_password() {
    let registry = RunningRegistry::with_password();
    let client = client(password(&registry.host, "ann", "right!"));
    let sample = Sample::new("amd64");
    push(&client, &registry.reference("team/job:one"), &sample);

    let found = client
        .find(&registry.reference("team/job:one"), &Platform::default())
        .unwrap()
        .unwrap();
    assert_eq!(found, sample.image());
    assert_eq!(found.info.fingerprint(), Some("f1"));
    assert_eq!(found.info.size, sample.layer.len() as u64);
    let two = registry.reference("team/job:two");
    assert_eq!(client.digest(&two).unwrap(), None);
    assert_eq!(client.find(&two, &Platform::default()).unwrap(), None);
    assert_eq!(client.tag(&found, &two).unwrap(), sample.digest());
    assert_eq!(client.digest(&two).unwrap(), Some(sample.digest()));
    let pinned = two.repository.with_digest(&sample.digest());
    assert_eq!(
        client.find(&pinned, &Platform::default()).unwrap(),
        Some(sample.image())
    );
    assert_eq!(
        client
            .digest(&registry.reference("team/other:one"))
            .unwrap(),
        None
    );
}

#[test]
fn a_document_lies_beside_its_image_under_a_tag_of_its_own() {
    const MEDIA_TYPE: &str = "application/vnd.example.record.v1";
    let registry = RunningRegistry::with_password();
    let client = client(password(&registry.host, "ann", "right!"));
    let sample = Sample::new("amd64");
    let target = registry.reference("team/job:one");
    push(&client, &target, &sample);
    let beside = registry.reference("team/job:one.record");
    assert_eq!(client.attached(&beside, MEDIA_TYPE).unwrap(), None);

    let bytes = b"what it was made of".repeat(5000);
    let image = sample.image();
    let attachment = |bytes| Attachment {
        media_type: MEDIA_TYPE,
        bytes,
        subject: &image,
    };
    client.attach(attachment(&bytes), &beside).unwrap();
    let digest = Digest::of(&bytes);
    assert_eq!(
        client.attached(&beside, MEDIA_TYPE).unwrap(),
        Some(digest.clone())
    );
    let fetched = |limit| client.blob(&target, &digest, limit);
    assert_eq!(fetched(bytes.len()).unwrap(), Some(bytes.clone()));
    assert!(shown(&fetched(bytes.len() - 1).unwrap_err()).contains("longer than"));
    let nothing = Digest::of(b"another");
    assert_eq!(client.blob(&target, &nothing, 1000).unwrap(), None);

    // The image is unchanged, and storing the same document again changes nothing.
    assert_eq!(client.digest(&target).unwrap(), Some(sample.digest()));
    let tag = client.digest(&beside).unwrap();
    client.attach(attachment(&bytes), &beside).unwrap();
    assert_eq!(client.digest(&beside).unwrap(), tag);

    // A document of somebody else is kept.
    let error = client.attach(attachment(b"other"), &beside).unwrap_err();
    assert!(
        shown(&error).ends_with("the tag has another document, which is not overwritten"),
        "{}",
        shown(&error)
    );
    let error = client.attach(attachment(&bytes), &target).unwrap_err();
    assert!(
        shown(&error).ends_with(&format!("what has the tag is no `{MEDIA_TYPE}`")),
        "{}",
        shown(&error)
    );
    assert_eq!(client.digest(&target).unwrap(), Some(sample.digest()));
}

#[test]
fn a_wrong_password_and_none_are_told_apart() {
    let registry = RunningRegistry::with_password();
    let target = registry.reference("team/job:one");
    for (credentials, expected) in [
        (
            password(&registry.host, "ann", "wrong"),
            format!("`{}` does not accept the password of `ann`", registry.host),
        ),
        (
            Credentials::default(),
            format!("not signed in to `{}`", registry.host),
        ),
    ] {
        let client = client(credentials);
        for error in [
            client.digest(&target).unwrap_err(),
            client.find(&target, &Platform::default()).unwrap_err(),
            client
                .tag(&Sample::new("amd64").image(), &target)
                .unwrap_err(),
        ] {
            assert_eq!(error.code(), "E401");
            assert!(error.to_string().contains(&expected), "{error}");
            assert!(
                error
                    .hint()
                    .unwrap()
                    .contains(&format!("docker login {}", registry.host))
            );
        }
    }
}

#[test]
fn an_index_gives_the_platforms_image() {
    let registry = RunningRegistry::start(|_| (String::new(), String::new()));
    let client = anonymous();
    let samples = ["amd64", "arm64"].map(|architecture| (architecture, Sample::new(architecture)));
    let entries = samples
        .each_ref()
        .map(|(architecture, sample)| sample.descriptor(architecture));
    for (architecture, sample) in &samples {
        push(
            &client,
            &registry.reference(&format!("root:{architecture}")),
            sample,
        );
    }
    let all = registry.reference("root:all");
    let bytes = index(&entries);
    push_manifest(
        &client,
        &all,
        "application/vnd.oci.image.index.v1+json",
        &bytes,
    );
    assert_eq!(client.digest(&all).unwrap(), Some(Digest::of(&bytes)));
    for (architecture, sample) in &samples {
        let platform = format!("linux/{architecture}").parse().unwrap();
        assert_eq!(client.find(&all, &platform).unwrap(), Some(sample.image()));
        let documents = client.documents(&all, &platform).unwrap().unwrap();
        assert_eq!(Digest::of(&documents.manifest), sample.digest());
        assert_eq!(
            (documents.manifest, documents.config),
            (sample.manifest.clone(), sample.config.clone())
        );
    }
    let error = client
        .find(&all, &"linux/s390x".parse().unwrap())
        .unwrap_err();
    assert!(
        shown(&error).ends_with("the platforms are `linux/amd64`, `linux/arm64`"),
        "{}",
        shown(&error)
    );
}

/// The form of a certificate around what is none.
pub(super) const BROKEN_CERTIFICATE: &str =
    "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

#[test]
fn a_file_without_certificates_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    for text in [
        None,
        Some(""),
        Some("no certificate"),
        Some(BROKEN_CERTIFICATE),
    ] {
        if let Some(text) = text {
            fs_err::write(&file, text).unwrap();
        }
        let settings = RegistrySettings {
            ca: Some(file.clone()),
            ..RegistrySettings::default()
        };
        let error = RegistryClient::new(settings, Credentials::default())
            .err()
            .unwrap();
        assert_eq!(error.code(), "E504");
        assert!(
            shown(&error).contains(&file.display().to_string()),
            "{}",
            shown(&error)
        );
    }
}
