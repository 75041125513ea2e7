use oci_spec::image::MediaType;

use super::{
    Descriptor, Family, ImageError,
    fields::{Fields, bytes, json},
};

const WHAT: &str = "manifest";

/// The manifest of one image: its config and its layers, lowest first.
#[derive(Clone, Debug)]
pub struct ImageManifest {
    /// Its own media type, which OCI allows to be missing.
    pub media_type: Option<MediaType>,
    /// The config.
    pub config: Descriptor,
    /// The layers.
    pub layers: Vec<Descriptor>,
    /// The layers' descriptors with every field of the original document.
    written: Vec<Fields>,
}

/// Checks `schemaVersion`, which manifests and indexes share.
pub(super) fn check_schema(fields: &Fields, what: &'static str) -> Result<(), ImageError> {
    match fields.get("schemaVersion", what)? {
        Some(oci_spec::image::SCHEMA_VERSION) => Ok(()),
        Some(other) => Err(ImageError::Schema(other)),
        None => Err(missing("schemaVersion", what)),
    }
}

pub(super) fn missing(key: &'static str, what: &'static str) -> ImageError {
    let because = serde::de::Error::missing_field(key);
    ImageError::Json { what, because }
}

impl ImageManifest {
    /// Parses the manifest of an image.
    ///
    /// # Errors
    /// It is another kind of document, or of an unknown schema.
    pub fn parse(manifest: &[u8]) -> Result<Self, ImageError> {
        let fields: Fields = json(manifest, WHAT)?;
        check_schema(&fields, WHAT)?;
        Self::of(&fields)
    }

    pub(super) fn of(fields: &Fields) -> Result<Self, ImageError> {
        Ok(Self {
            media_type: fields.get("mediaType", WHAT)?,
            config: fields
                .get("config", WHAT)?
                .ok_or_else(|| missing("config", WHAT))?,
            layers: fields
                .get("layers", WHAT)?
                .ok_or_else(|| missing("layers", WHAT))?,
            written: fields.get("layers", WHAT)?.unwrap_or_default(),
        })
    }

    /// The family of its media type, or else of its config's; `None` if it is not an image's manifest.
    #[must_use]
    pub fn family(&self) -> Option<Family> {
        let own = self.media_type.as_ref().unwrap_or(&self.config.media_type);
        Family::of(own.as_ref())
    }

    /// The manifest of an image with these layers, `added` above them, and another config.
    ///
    /// The parent's annotations and subject are left out, since they are about the parent only.
    pub(super) fn with_layers(
        &self,
        family: Family,
        config: &Descriptor,
        added: &[&Descriptor],
    ) -> Result<Vec<u8>, ImageError> {
        let mut layers = Vec::with_capacity(self.written.len() + added.len());
        for (layer, written) in self.layers.iter().zip(&self.written) {
            let mut written = written.clone();
            written.set("mediaType", &family.layer(&layer.media_type)?, WHAT)?;
            layers.push(written);
        }
        for layer in added {
            let mut written = Fields::default();
            written.set("mediaType", &family.layer(&layer.media_type)?, WHAT)?;
            written.set("digest", &layer.digest, WHAT)?;
            written.set("size", &layer.size, WHAT)?;
            layers.push(written);
        }
        let mut manifest = Fields::default();
        let schema = oci_spec::image::SCHEMA_VERSION;
        manifest.set("schemaVersion", &schema, WHAT)?;
        manifest.set("mediaType", &family.manifest(), WHAT)?;
        manifest.set("config", config, WHAT)?;
        manifest.set("layers", &layers, WHAT)?;
        bytes(&manifest, WHAT)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn other_documents_are_no_manifests() {
        let descriptor = json!({"digest": crate::image::Digest::of(b"c"), "size": 1});
        let said = |document: Value| {
            ImageManifest::parse(document.to_string().as_bytes())
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            said(json!({"schemaVersion": 1, "fsLayers": []})),
            "the manifest is of schema 1, long out of use"
        );
        for (document, missing) in [
            (json!({}), "schemaVersion"),
            (json!({"schemaVersion": 2, "layers": []}), "config"),
            (json!({"schemaVersion": 2, "config": descriptor}), "layers"),
        ] {
            let said = said(document);
            assert_eq!(
                said,
                format!("the manifest is none: missing field `{missing}`")
            );
        }
        assert!(said(json!([])).starts_with("the manifest is none: "));
    }

    #[test]
    fn the_family_is_said_by_the_manifest_or_its_config() {
        let of = |media_type: Option<&str>, config: &str| {
            let config =
                json!({"mediaType": config, "digest": crate::image::Digest::of(b"c"), "size": 1});
            let document = json!({"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": []});
            ImageManifest::parse(document.to_string().as_bytes())
                .unwrap()
                .family()
        };
        let (oci, docker) = (Family::Oci, Family::Docker);
        assert_eq!(of(None, oci.config().as_ref()), Some(oci));
        assert_eq!(of(None, docker.config().as_ref()), Some(docker));
        let manifest = docker.manifest();
        assert_eq!(
            of(Some(manifest.as_ref()), oci.config().as_ref()),
            Some(docker)
        );
        assert_eq!(of(None, "application/vnd.oci.empty.v1+json"), None);
    }
}
