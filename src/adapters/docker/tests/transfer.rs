//! Pushes to a registry that is started for them, and pulls from it.

use std::{
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::Duration,
};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE},
};

use super::*;

/// In the alphabet that daemons do not decode, each of the odd characters makes a `+` or a `/`.
const PASSWORD: &str = "a>b?c~d>e?f~";

/// `tester` with [`PASSWORD`], as `htpasswd -Bbn` writes it.
const HTPASSWD: &str = "tester:$2y$05$aadIqh5VG1mbcqCtYtxZd.v7pHNFIzW15Byq6ZhPjsS8sCW15ZqBi\n";

struct PasswordRegistry {
    address: String,
    process: Child,
    _folder: tempfile::TempDir,
}

impl PasswordRegistry {
    #[expect(clippy::disallowed_methods, reason = "the test's own registry")]
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        fs_err::write(path("htpasswd"), HTPASSWD).unwrap();
        let configuration = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {address}\nauth:\n  htpasswd:\n    realm: test\n    path: {}\n",
            path("data"),
            path("htpasswd"),
        );
        fs_err::write(path("config.yml"), configuration).unwrap();
        let process = Command::new("docker-registry")
            .args(["serve", &path("config.yml")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let registry = Self {
            address,
            process,
            _folder: folder,
        };
        for _ in 0..200 {
            if TcpStream::connect(&registry.address).is_ok() {
                return registry;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the registry does not start")
    }
}

impl Drop for PasswordRegistry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn credentials(password: &str) -> String {
    format!(r#"{{"username": "tester", "password": "{password}"}}"#)
}

#[test]
fn an_odd_password_pushes_and_pulls_and_a_wrong_one_does_not() {
    let mut fixture = DaemonFixture::new(None);
    let registry = PasswordRegistry::start();
    let plain = STANDARD.encode(credentials(PASSWORD));
    assert!(plain.contains(['+', '/']), "the password tests nothing");
    let right = URL_SAFE.encode(credentials(PASSWORD));
    let wrong = URL_SAFE.encode(credentials("wrong"));

    let name = format!("{}/dockertest/pushed:v1", registry.address);
    fixture.images.push(name.clone());
    let name: Reference = name.parse().unwrap();
    // Bytes that no compression makes fewer: the daemon tells of their transfer only if it takes a while.
    let mut state = 1_u32;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    let noise: Vec<u8> = noise.take(3 << 20).collect();
    let entries = [Entry::in_memory("a", noise, false)];
    let platform = Platform::default();
    let daemon = &fixture.daemon;
    let id = daemon
        .import(&entries, &BTreeMap::new(), &platform, &name)
        .unwrap()
        .id;

    for registry_auth in ["", &wrong, &plain] {
        let error = daemon.push(&name, registry_auth, &mut |_| ()).unwrap_err();
        assert_eq!(error.code(), "E401", "{registry_auth}: {error}");
        let hint = format!("run `docker login {}`", registry.address);
        assert_eq!(error.hint(), Some(hint));
    }
    let mut events = Vec::new();
    daemon
        .push(&name, &right, &mut |event| events.push(event))
        .unwrap();
    let end = matches!(events.last(), Some(TransferEvent::Status(text)) if text.starts_with("v1: digest: sha256:"));
    assert!(end, "{events:?}");
    daemon.push(&name, &right, &mut |_| ()).unwrap();

    let info = daemon.inspect(id.as_str()).unwrap().unwrap();
    let pinned = info
        .repo_digests
        .iter()
        .find(|text| text.starts_with(&registry.address));
    let pinned: Reference = pinned.unwrap().parse().unwrap();
    fixture.remove(&name.to_string());
    assert_eq!(fixture.daemon.inspect(id.as_str()).unwrap(), None);
    pulls(&mut fixture, &name, &pinned, &id, &right, &wrong);
}

fn pulls(
    fixture: &mut DaemonFixture,
    name: &Reference,
    pinned: &Reference,
    id: &Digest,
    right: &str,
    wrong: &str,
) {
    let platform = Platform::default();
    fixture.images.push(pinned.to_string());
    let daemon = &fixture.daemon;
    let error = daemon
        .pull(pinned, &platform, wrong, &mut |_| ())
        .unwrap_err();
    assert_eq!(error.code(), "E401", "{error}");
    // A daemon that is quick may leave out every event between the first and the last of a layer.
    let tells_bytes = (0..20).any(|_| {
        fixture.remove(&pinned.to_string());
        let mut events = Vec::new();
        daemon
            .pull(pinned, &platform, right, &mut |event| events.push(event))
            .unwrap();
        assert_eq!(
            daemon.inspect(&pinned.to_string()).unwrap().unwrap().id,
            *id
        );
        assert_eq!(daemon.inspect(&name.to_string()).unwrap(), None);
        let mut bytes = events.iter().filter_map(|event| match event {
            TransferEvent::Bytes { done, total } => Some((done, total)),
            TransferEvent::Status(_) => None,
        });
        let first = bytes.next();
        assert!(
            first
                .into_iter()
                .chain(bytes)
                .all(|(done, total)| done <= total)
        );
        first.is_some()
    });
    assert!(tells_bytes, "twenty pulls told of no bytes");
    daemon.pull(name, &platform, right, &mut |_| ()).unwrap();
    assert_eq!(daemon.inspect(&name.to_string()).unwrap().unwrap().id, *id);

    let foreign = "linux/s390x".parse().unwrap();
    let error = daemon.pull(name, &foreign, right, &mut |_| ()).unwrap_err();
    assert!(
        matches!(error.code().as_str(), "E604" | "E606"),
        "{error:?}"
    );
    let absent = name.repository.with_tag("absent");
    let error = daemon
        .pull(&absent, &platform, right, &mut |_| ())
        .unwrap_err();
    assert_eq!(error.code().as_str(), "E604", "{error:?}");
    assert!(error.hint().unwrap().contains("is there such an image"));
    let error = daemon.push(&absent, right, &mut |_| ()).unwrap_err();
    assert_eq!(error.code().as_str(), "E603", "{error:?}");
}

#[test]
fn a_registry_that_is_not_there_is_told() {
    let mut fixture = DaemonFixture::new(None);
    let name = "127.0.0.1:1/dockertest/nowhere:v1".to_owned();
    fixture.images.push(name.clone());
    let name: Reference = name.parse().unwrap();
    let platform = Platform::default();
    let entries = [Entry::in_memory("a", "a", false)];
    let daemon = &fixture.daemon;
    daemon
        .import(&entries, &BTreeMap::new(), &platform, &name)
        .unwrap();
    let error = daemon.push(&name, "", &mut |_| ()).unwrap_err();
    assert_eq!(error.code(), "E507", "{error}");
    assert!(
        error.hint().unwrap().contains("must reach `127.0.0.1:1`"),
        "{error}"
    );
    let absent = name.repository.with_tag("v2");
    let error = daemon
        .pull(&absent, &platform, "", &mut |_| ())
        .unwrap_err();
    assert_eq!(error.code(), "E507", "{error}");
    for reference in [
        name.repository.with_digest(&Digest::of(b"")),
        Reference {
            tag: None,
            ..name.clone()
        },
    ] {
        assert_eq!(
            daemon.push(&reference, "", &mut |_| ()).unwrap_err().code(),
            "E603"
        );
    }
    let bare = Reference { tag: None, ..name };
    assert_eq!(
        daemon
            .pull(&bare, &platform, "", &mut |_| ())
            .unwrap_err()
            .code(),
        "E604"
    );
}
