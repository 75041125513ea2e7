use std::collections::BTreeMap;

use super::{Digest, Platform};

/// Label: the name of the stage that the image was made from.
pub const LABEL_STAGE: &str = "dev.sparkpack.stage";
/// Label: the version of the fingerprint's format.
pub const LABEL_FORMAT: &str = "dev.sparkpack.format";
/// Label: the fingerprint, 64 hex digits.
pub const LABEL_FINGERPRINT: &str = "dev.sparkpack.fingerprint";
/// Label: the fingerprint's record, deflated and in URL-safe base64.
pub const LABEL_RECORD: &str = "dev.sparkpack.record";
/// Label: the digest of a record that is too large for a label.
pub const LABEL_RECORD_DIGEST: &str = "dev.sparkpack.record-digest";

/// Label: a digest of the layers of an image that was put together without a builder; empty for others.
pub const LABEL_LAYERS: &str = "dev.sparkpack.layers";

/// The value of [`LABEL_LAYERS`] for an image with these diff IDs.
#[must_use]
pub fn layers_label(diff_ids: &[Digest]) -> String {
    let ids: Vec<&str> = diff_ids.iter().map(Digest::as_str).collect();
    Digest::of(ids.join("\n").as_bytes()).hex().to_owned()
}

/// The properties of one image, in a daemon or in a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageInfo {
    /// The digest of the image's config, which a daemon calls the image ID.
    pub id: Digest,
    /// The platform in the config.
    pub platform: Platform,
    /// The digests of the uncompressed layers, lowest first.
    pub diff_ids: Vec<Digest>,
    /// The labels in the config.
    pub labels: BTreeMap<String, String>,
    /// The names `repository@digest` under which a daemon knows the image; empty for a registry's image.
    pub repo_digests: Vec<String>,
    /// The size in bytes: unpacked in a daemon, compressed in a registry.
    pub size: u64,
}

impl ImageInfo {
    /// The fingerprint in the image's label. An image that was made on one that was put together has inherited that one's
    /// labels, and none of its own: its layers are others than a label says.
    #[must_use]
    pub fn fingerprint(&self) -> Option<&str> {
        let layers = self.labels.get(LABEL_LAYERS);
        let is_inherited =
            layers.is_some_and(|label| !label.is_empty() && *label != layers_label(&self.diff_ids));
        let label = self.labels.get(LABEL_FINGERPRINT).map(String::as_str);
        label.filter(|_| !is_inherited)
    }

    /// Whether the image's lowest layers are those of `parent`.
    #[must_use]
    pub fn stands_on(&self, parent: &Self) -> bool {
        self.diff_ids.starts_with(&parent.diff_ids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inherited_labels_tell_no_fingerprint() {
        let digest = |text: &str| Digest::of(text.as_bytes());
        let own = vec![digest("a"), digest("b")];
        let more = [own.clone(), vec![digest("c")]].concat();
        for (label, diff_ids, expected) in [
            (None, &own, Some("f")),
            (Some(String::new()), &more, Some("f")),
            (Some(layers_label(&own)), &own, Some("f")),
            (Some(layers_label(&own)), &more, None),
        ] {
            let mut labels = BTreeMap::from([(LABEL_FINGERPRINT.to_owned(), "f".to_owned())]);
            labels.extend(label.map(|label| (LABEL_LAYERS.to_owned(), label)));
            let info = ImageInfo {
                id: digest("id"),
                platform: Platform::default(),
                diff_ids: diff_ids.clone(),
                labels,
                repo_digests: Vec::new(),
                size: 1,
            };
            assert_eq!(info.fingerprint(), expected);
        }
    }
}
