//! A real registry on the loopback interface, with a password.

use std::{
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sparkpack::image::Digest;
use tempfile::TempDir;

use super::{HttpAnswer, PASSWORD, USER, fault_proxy, program};

/// The documents that a tag may name.
const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json";

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Digest::of(bytes).to_string()
}

/// A registry with its own storage; stopped when dropped.
pub(crate) struct Registry {
    child: Child,
    folder: TempDir,
    pub(crate) port: u16,
}

impl Registry {
    pub(crate) fn with_password(user: &str, password: &str) -> Self {
        Self::start(user, password)
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The folder with all its content.
    pub(crate) fn storage(&self) -> PathBuf {
        self.folder.path().join("storage")
    }

    /// The file with which another one serves the same content at the same port, where that is free.
    pub(crate) fn configuration(&self) -> PathBuf {
        self.folder.path().join("registry.yml")
    }

    /// The requests so far, as `HEAD /v2/…`.
    pub(crate) fn requests(&self) -> Vec<String> {
        let log = fs_err::read_to_string(self.folder.path().join("access.log")).unwrap();
        let quoted = log.lines().filter_map(|line| line.split('"').nth(1));
        let requests = quoted.filter_map(|request| request.strip_suffix(" HTTP/1.1"));
        requests.map(str::to_owned).collect()
    }

    /// Its answer to a request that is signed in.
    pub(crate) fn ask(&self, method: &str, path: &str) -> HttpAnswer {
        let accepted = ("accept", MANIFESTS.to_owned());
        self.send((method, path), accepted, &[])
    }

    /// Sets a tag to a manifest.
    pub(crate) fn put_manifest(&self, path: &str, manifest: &[u8]) {
        let parsed: serde_json::Value = serde_json::from_slice(manifest).unwrap();
        let media_type = parsed["mediaType"].as_str().unwrap().to_owned();
        let answer = self.send(("PUT", path), ("content-type", media_type), manifest);
        let shown = String::from_utf8_lossy(&answer.body);
        assert_eq!(answer.status, 201, "{shown}");
    }

    /// Stores a blob in a repository.
    pub(crate) fn put_blob(&self, repository: &str, bytes: &[u8]) {
        let nothing = ("accept", "*/*".to_owned());
        let path = format!("/v2/{repository}/blobs/uploads/");
        let begun = self.send(("POST", &path), nothing.clone(), &[]);
        let location = begun.headers.iter().find(|(name, _)| name == "location");
        let (_, rest) = location.unwrap().1.split_once("/v2/").unwrap();
        let path = format!("/v2/{rest}&digest={}", sha256(bytes));
        let answer = self.send(("PUT", &path), nothing, bytes);
        assert_eq!(answer.status, 201);
    }

    fn send(
        &self,
        request: (&str, &str),
        header: (&'static str, String),
        body: &[u8],
    ) -> HttpAnswer {
        let sign_in = STANDARD.encode(format!("{USER}:{PASSWORD}"));
        let headers = [
            ("authorization", format!("Basic {sign_in}")),
            ("host", self.host()),
            header,
        ];
        fault_proxy::ask(&self.host(), request, &headers, body)
    }

    /// The digest of a reference whose image is whole: its config and each of its layers are there, with the bytes that its
    /// manifest says. `None` if there is no such reference.
    pub(crate) fn whole_image(&self, repository: &str, reference: &str) -> Option<String> {
        let answer = self.ask("GET", &format!("/v2/{repository}/manifests/{reference}"));
        if answer.status == 404 {
            return None;
        }
        let shown = || String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, 200, "{}", shown());
        let manifest: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        let layers = manifest["layers"].as_array().unwrap();
        for blob in layers.iter().chain([&manifest["config"]]) {
            let digest = blob["digest"].as_str().unwrap();
            let found = self.ask("GET", &format!("/v2/{repository}/blobs/{digest}"));
            assert_eq!(
                found.status,
                200,
                "{repository} lacks {digest}: {}",
                shown()
            );
            assert_eq!(found.body.len() as u64, blob["size"], "{digest}");
            assert_eq!(sha256(&found.body), digest);
        }
        Some(sha256(&answer.body))
    }

    fn start(user: &str, password: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = super::free_port();
        let auth = htpasswd(folder.path(), user, password);
        let configuration = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\nhttp:\n  addr: 127.0.0.1:{port}\n{auth}",
            folder.path().join("storage").display()
        );
        let file = folder.path().join("registry.yml");
        fs_err::write(&file, configuration).unwrap();
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .stdout(
                fs_err::File::create(folder.path().join("access.log"))
                    .unwrap()
                    .into_parts()
                    .0,
            )
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry: scripts/test installs it");
        let registry = Self {
            child,
            folder,
            port,
        };
        registry.wait();
        registry
    }

    fn wait(&self) {
        for _ in 0..200 {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!(
            "the registry in {} does not answer",
            self.folder.path().display()
        );
    }
}

fn htpasswd(folder: &Path, user: &str, password: &str) -> String {
    let line = program("htpasswd", &["-Bbn", user, password]);
    let file = folder.join("htpasswd");
    fs_err::write(&file, line).unwrap();
    format!(
        "auth:\n  htpasswd:\n    realm: test\n    path: {}\n",
        file.display()
    )
}

impl Drop for Registry {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
