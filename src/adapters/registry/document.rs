//! Manifests, indexes and configs, in OCI's and Docker's media types.

use std::collections::BTreeMap;

use serde::{Deserialize, de::DeserializeOwned};

use crate::image::{Digest, ImageInfo, Platform};

/// The media types that are asked for.
pub(super) const ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, \
     application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json";

pub(super) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A manifest of one image, or an index of several.
#[derive(Debug)]
pub(super) enum ManifestOrIndex {
    Manifest(Manifest),
    Index(Vec<Descriptor>),
}

#[derive(Debug)]
pub(super) struct Manifest {
    pub(super) media_type: String,
    pub(super) config: Descriptor,
    pub(super) layers: Vec<Descriptor>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Descriptor {
    pub(super) digest: Digest,
    pub(super) size: u64,
    #[serde(rename = "mediaType", default)]
    pub(super) media_type: String,
    platform: Option<RawPlatform>,
}

#[derive(Clone, Debug, Deserialize)]
struct RawPlatform {
    os: String,
    architecture: String,
    variant: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDocument {
    schema_version: u32,
    media_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
}

#[derive(Deserialize)]
struct RawConfig {
    #[serde(flatten)]
    platform: RawPlatform,
    config: Option<RunConfig>,
    rootfs: RootFilesystem,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RunConfig {
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct RootFilesystem {
    diff_ids: Vec<Digest>,
}

impl RawPlatform {
    /// OCI's normal form: v8 is the only variant of arm64, and left out.
    fn normal(self) -> Platform {
        let redundant = if self.architecture == "arm64" {
            "v8"
        } else {
            ""
        };
        let variant = self
            .variant
            .filter(|variant| !variant.is_empty() && variant != redundant);
        Platform {
            os: self.os,
            architecture: self.architecture,
            variant,
        }
    }
}

fn json<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|error| format!("the {what} is none: {error}"))
}

impl ManifestOrIndex {
    /// Reads a body that was served as `content_type`.
    pub(super) fn parse(bytes: &[u8], content_type: &str) -> Result<Self, String> {
        let raw: RawDocument = json(bytes, "manifest")?;
        if raw.schema_version != 2 {
            return Err(format!(
                "the manifest is of schema {}, long out of use",
                raw.schema_version
            ));
        }
        match raw {
            RawDocument {
                config: Some(config),
                layers: Some(layers),
                manifests: None,
                media_type,
                ..
            } => {
                let served = content_type.split(';').next().unwrap_or_default().trim();
                let served =
                    Some(served).filter(|served| ACCEPT.split(", ").any(|known| known == *served));
                let media_type = media_type.or(served.map(str::to_owned));
                let media_type = media_type.unwrap_or_else(|| OCI_MANIFEST.to_owned());
                Ok(Self::Manifest(Manifest {
                    media_type,
                    config,
                    layers,
                }))
            }
            RawDocument {
                config: None,
                layers: None,
                manifests: Some(manifests),
                ..
            } => Ok(Self::Index(manifests)),
            // One that is both means different images to different programs.
            _ => Err("the manifest is neither that of an image nor an index".to_owned()),
        }
    }
}

/// The entry of an index for a platform, or the platforms that there are.
pub(super) fn choose(index: &[Descriptor], platform: &Platform) -> Result<Descriptor, String> {
    let of = |entry: &Descriptor| entry.platform.clone().map(RawPlatform::normal);
    if let Some(entry) = index
        .iter()
        .find(|entry| of(entry).as_ref() == Some(platform))
    {
        return Ok(entry.clone());
    }
    let platforms = index
        .iter()
        .filter_map(of)
        .filter(|platform| platform.os != "unknown");
    let listed: Vec<String> = platforms.map(|platform| format!("`{platform}`")).collect();
    let listed = if listed.is_empty() {
        "none".to_owned()
    } else {
        listed.join(", ")
    };
    Err(format!(
        "there is no image for `{platform}`; the platforms are {listed}"
    ))
}

/// The digests of an index by their platforms; what is for none, such as attestations, is not among them.
pub(super) fn by_platform(index: Vec<Descriptor>) -> BTreeMap<Platform, Digest> {
    let mut found = BTreeMap::new();
    for entry in index {
        let platform = entry.platform.map(RawPlatform::normal);
        if let Some(platform) = platform.filter(|platform| platform.os != "unknown") {
            // The first is the one that is chosen.
            found.entry(platform).or_insert(entry.digest);
        }
    }
    found
}

/// The facts of the image that a manifest and its config describe.
pub(super) fn facts(manifest: &Manifest, config: &[u8]) -> Result<ImageInfo, String> {
    let raw: RawConfig = json(config, "config")?;
    let diff_ids = raw.rootfs.diff_ids;
    if diff_ids.len() != manifest.layers.len() {
        let (layers, named) = (manifest.layers.len(), diff_ids.len());
        return Err(format!(
            "the manifest has {layers} layers, its config {named}"
        ));
    }
    Ok(ImageInfo {
        id: manifest.config.digest.clone(),
        platform: raw.platform.normal(),
        diff_ids,
        labels: raw
            .config
            .and_then(|config| config.labels)
            .unwrap_or_default(),
        repo_digests: Vec::new(),
        size: manifest
            .layers
            .iter()
            .map(|layer| layer.size)
            .fold(0, u64::saturating_add),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn digest(text: &str) -> String {
        Digest::of(text.as_bytes()).to_string()
    }

    fn index(platforms: &[(&str, &str, Option<&str>)]) -> Vec<Descriptor> {
        let entry = |(os, architecture, variant): &(&str, &str, Option<&str>)| {
            let name = format!("{os}/{architecture}/{}", variant.unwrap_or(""));
            json!({"digest": digest(&name), "size": 1,
                "platform": {"os": os, "architecture": architecture, "variant": variant}})
        };
        let entries: Vec<_> = platforms.iter().map(entry).collect();
        let text = json!({"schemaVersion": 2, "manifests": entries}).to_string();
        match ManifestOrIndex::parse(text.as_bytes(), "").unwrap() {
            ManifestOrIndex::Index(entries) => entries,
            ManifestOrIndex::Manifest(_) => panic!("an index"),
        }
    }

    #[test]
    fn the_platforms_entry_is_chosen_and_attestations_are_not() {
        let entries = index(&[
            ("unknown", "unknown", None),
            ("linux", "amd64", Some("v3")),
            ("linux", "amd64", None),
            ("linux", "arm64", Some("v8")),
        ]);
        let chosen = |platform: &str| {
            choose(&entries, &platform.parse().unwrap()).map(|entry| entry.digest.to_string())
        };
        assert_eq!(chosen("linux/amd64"), Ok(digest("linux/amd64/")));
        assert_eq!(chosen("linux/arm64"), Ok(digest("linux/arm64/v8")));
        let error = chosen("linux/s390x").unwrap_err();
        assert_eq!(
            error,
            "there is no image for `linux/s390x`; the platforms are `linux/amd64/v3`, `linux/amd64`, `linux/arm64`"
        );
        assert!(
            choose(&index(&[]), &Platform::default())
                .unwrap_err()
                .ends_with("are none")
        );
    }

    #[test]
    fn media_types_come_from_the_body_then_from_the_header() {
        let descriptor = json!({"digest": digest("c"), "size": 1});
        let of = |media_type: Option<&str>, content_type: &str| {
            let text = json!({"schemaVersion": 2, "mediaType": media_type, "config": descriptor, "layers": []});
            match ManifestOrIndex::parse(text.to_string().as_bytes(), content_type).unwrap() {
                ManifestOrIndex::Manifest(manifest) => manifest.media_type,
                ManifestOrIndex::Index(_) => panic!("a manifest"),
            }
        };
        let docker = "application/vnd.docker.distribution.manifest.v2+json";
        assert_eq!(of(Some(docker), OCI_MANIFEST), docker);
        assert_eq!(of(None, &format!("{docker}; charset=utf-8")), docker);
        assert_eq!(of(None, "application/json"), OCI_MANIFEST);
    }

    #[test]
    fn what_is_no_image_is_refused() {
        let descriptor = json!({"digest": digest("c"), "size": 1});
        let both = json!({"schemaVersion": 2, "config": descriptor, "layers": [], "manifests": []})
            .to_string();
        for (text, expected) in [
            ("<html>log in</html>", "the manifest is none"),
            ("{\"schemaVersion\": 1, \"fsLayers\": []}", "of schema 1"),
            ("{\"schemaVersion\": 2}", "neither"),
            (both.as_str(), "neither"),
            (
                "{\"schemaVersion\": 2, \"manifests\": [{\"digest\": \"x\", \"size\": 1}]}",
                "is not a digest",
            ),
        ] {
            let error = ManifestOrIndex::parse(text.as_bytes(), "").unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
