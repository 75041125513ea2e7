//! Tests against Debian's registry, and against a fake one that misbehaves on request.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::adapters::credentials::Credentials;
use crate::adapters::registry::{Attachment, FailureKind, Listing};
use crate::image::ImageManifest;

mod ahead;
mod attach;
mod fake;
mod faults;
mod push;
mod push_faults;
mod real;
mod sign_in;
mod slow;
mod tls;
mod truth;
mod unanswered;

/// An image with one layer, as a registry stores it.
#[derive(Clone)]
struct Sample {
    manifest: Vec<u8>,
    config: Vec<u8>,
    layer: Vec<u8>,
}

const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

impl Sample {
    fn new(architecture: &str) -> Self {
        let layer = format!("a layer for {architecture}").into_bytes();
        let config = json!({
            "os": "linux",
            "architecture": architecture,
            "config": {"Labels": {"dev.sparkpack.fingerprint": "f1"}, "Env": ["A=b"]},
            "rootfs": {"type": "layers", "diff_ids": [Digest::of(&layer)]},
        });
        let config = config.to_string().into_bytes();
        let descriptor = |media_type: &str, bytes: &[u8]| {
            let media_type = format!("application/vnd.docker.{media_type}");
            json!({"mediaType": media_type, "digest": Digest::of(bytes), "size": bytes.len()})
        };
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": DOCKER_MANIFEST,
            "config": descriptor("container.image.v1+json", &config),
            "layers": [descriptor("image.rootfs.diff.tar.gzip", &layer)],
        });
        Self {
            manifest: manifest.to_string().into_bytes(),
            config,
            layer,
        }
    }

    fn digest(&self) -> Digest {
        Digest::of(&self.manifest)
    }

    fn image(&self) -> RegistryImage {
        let manifest = ImageManifest::parse(&self.manifest).unwrap();
        let config = ImageConfig::parse(&self.config).unwrap();
        RegistryImage {
            digest: self.digest(),
            media_type: document::media_type(&manifest, ""),
            manifest: self.manifest.clone(),
            info: config.info(&manifest).unwrap(),
        }
    }

    fn descriptor(&self, architecture: &str) -> Value {
        json!({"mediaType": DOCKER_MANIFEST, "digest": self.digest(), "size": self.manifest.len(),
            "platform": {"os": "linux", "architecture": architecture}})
    }
}

/// An index of samples, in OCI's media type.
fn index(entries: &[Value]) -> Vec<u8> {
    let media_type = "application/vnd.oci.image.index.v1+json";
    json!({"schemaVersion": 2, "mediaType": media_type, "manifests": entries})
        .to_string()
        .into_bytes()
}

/// Almost no delay between attempts.
fn hasty() -> Patience {
    Patience {
        first_delay: Duration::from_millis(1),
        longest_delay: Duration::from_millis(20),
        stall: Duration::from_millis(400),
        ..Patience::default()
    }
}

fn client(credentials: Credentials) -> RegistryClient {
    client_with(RegistrySettings::default(), credentials)
}

fn client_with(settings: RegistrySettings, credentials: Credentials) -> RegistryClient {
    RegistryClient::with_patience(settings, credentials, hasty()).unwrap()
}

fn anonymous() -> RegistryClient {
    client(Credentials::default())
}

fn password(host: &str, username: &str, password: &str) -> Credentials {
    let auths = json!({"auths": {host: {"username": username, "password": password}}});
    Credentials::of_text(&auths.to_string())
}

fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

/// The error with its cause, as it is shown.
fn shown(error: &RegistryError) -> String {
    let because = std::error::Error::source(error)
        .map(ToString::to_string)
        .unwrap_or_default();
    format!("{}: {error}: {because}", error.code())
}
