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
    /// The fingerprint in the image's label.
    #[must_use]
    pub fn fingerprint(&self) -> Option<&str> {
        self.labels.get(LABEL_FINGERPRINT).map(String::as_str)
    }

    /// Whether the image's lowest layers are those of `parent`.
    #[must_use]
    pub fn stands_on(&self, parent: &Self) -> bool {
        self.diff_ids.starts_with(&parent.diff_ids)
    }
}
