use super::{
    ImageError, ImageIndex, ImageManifest,
    fields::{Fields, json},
    manifest::check_schema,
};

const WHAT: &str = "manifest";

/// What a reference can resolve to: the manifest of one image, or an index of several.
#[derive(Clone, Debug)]
pub enum ManifestOrIndex {
    /// The manifest of one image.
    Manifest(ImageManifest),
    /// An index: manifests by platform.
    Index(ImageIndex),
}

impl ManifestOrIndex {
    /// Parses either. The fields decide which it is, whatever its media type.
    ///
    /// # Errors
    /// It is neither, or both, or of an unknown schema.
    pub fn parse(document: &[u8]) -> Result<Self, ImageError> {
        let fields: Fields = json(document, WHAT)?;
        check_schema(&fields, WHAT)?;
        match ["config", "layers", "manifests"].map(|key| fields.has(key)) {
            [true, true, false] => ImageManifest::of(&fields).map(Self::Manifest),
            [false, false, true] => ImageIndex::of(&fields).map(Self::Index),
            // Programs disagree on a document that has the fields of both.
            _ => Err(ImageError::NeitherManifestNorIndex),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::image::Digest;

    #[test]
    fn what_is_no_image_is_refused() {
        let descriptor = json!({"digest": Digest::of(b"c"), "size": 1});
        let both = json!({"schemaVersion": 2, "config": descriptor, "layers": [], "manifests": []})
            .to_string();
        let twice = format!(
            "{{\"schemaVersion\": 2, \"layers\": [], \"config\": {descriptor}, \"config\": {descriptor}}}"
        );
        for (text, expected) in [
            ("<html>log in</html>", "the manifest is none"),
            ("{\"schemaVersion\": 1, \"fsLayers\": []}", "of schema 1"),
            ("{\"schemaVersion\": 2}", "neither"),
            (both.as_str(), "neither"),
            (twice.as_str(), "duplicate field `config`"),
            (
                "{\"schemaVersion\": 2, \"manifests\": [{\"digest\": \"x\", \"size\": 1}]}",
                "is not a digest",
            ),
        ] {
            let error = ManifestOrIndex::parse(text.as_bytes()).unwrap_err();
            let error = error.to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
