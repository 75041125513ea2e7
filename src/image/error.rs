use oci_spec::image::MediaType;

use super::{Digest, DigestError, Platform};

/// Why a manifest, an index or a config is not valid.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The bytes are not JSON, or not that of the expected document.
    #[error("the {what} is none: {because}")]
    Json {
        /// `manifest`, `index` or `config`.
        what: &'static str,
        /// The parser's message. It is part of this error's own text, so it is not exposed as the source.
        because: serde_json::Error,
    },
    /// A field that should hold a digest does not.
    #[error("the {what} is none: {because}")]
    Digest {
        /// The document that has it.
        what: &'static str,
        /// The text of the field.
        because: DigestError,
    },
    /// OCI's types do not accept a digest.
    #[error("the digest {digest} cannot be written: {because}")]
    Unwritable {
        /// The digest.
        digest: Digest,
        /// The message of OCI's types.
        because: String,
    },
    /// A manifest of Docker's schema 1, or of a later schema than this program knows.
    #[error("the manifest is of schema {0}, long out of use")]
    Schema(u32),
    /// The document is neither a manifest nor an index, or has the fields of both.
    #[error("the manifest is neither that of an image nor an index")]
    NeitherManifestNorIndex,
    /// Content has another size than its descriptor says.
    #[error("the {what} has {actual} bytes, its descriptor says {expected}")]
    Size {
        /// What the content is.
        what: &'static str,
        /// The size in the descriptor.
        expected: u64,
        /// The actual size.
        actual: u64,
    },
    /// Content has another digest than expected.
    #[error("the {what} has the digest {actual}, not {expected}")]
    OtherDigest {
        /// What the content is.
        what: &'static str,
        /// The expected digest.
        expected: Digest,
        /// The actual digest.
        actual: Digest,
    },
    /// The manifest and the config differ in the number of layers.
    #[error("the manifest has {layers} layers, its config {diff_ids}")]
    LayerCount {
        /// Layers in the manifest.
        layers: usize,
        /// Diff IDs in the config.
        diff_ids: usize,
    },
    /// The history covers another number of layers than there are.
    #[error("the config has {diff_ids} layers, its history {history}")]
    HistoryCount {
        /// Diff IDs in the config.
        diff_ids: usize,
        /// Entries of the history that stand for a layer.
        history: usize,
    },
    /// A media type that is not allowed where it is used.
    #[error("`{media_type}` is not the media type of a {what} in the {family} format")]
    MediaType {
        /// Where it is used.
        what: &'static str,
        /// The media type.
        media_type: String,
        /// The allowed family: `OCI` or `Docker`; `OCI or Docker` if both are.
        family: &'static str,
    },
    /// The config names no platform.
    #[error("the config names no platform")]
    NoPlatform,
    /// The index has no image for the platform.
    #[error("there is no image for `{wanted}`; the platforms are {}", listed(.platforms))]
    PlatformMissing {
        /// The platform that was wanted.
        wanted: Platform,
        /// The platforms that the index has.
        platforms: Vec<Platform>,
    },
    /// An index must not have an entry without a platform, since nothing could choose it.
    #[error("the manifest {0} is for no platform")]
    EntryWithoutPlatform(Digest),
    /// An index must not have two entries for one platform, since only one of them could be chosen.
    #[error("two manifests are for `{0}`")]
    PlatformTwice(Platform),
    /// An index names a manifest that was not given.
    #[error("the index names the manifest {0}, which is not there")]
    ManifestMissing(Digest),
    /// A given manifest is not named by the index.
    #[error("the manifest {0} is not in the index")]
    EntryMissing(Digest),
    /// A layer could not be read or decompressed.
    #[error("the layer cannot be unpacked")]
    Unpack(#[source] std::io::Error),
    /// A layer has a compression that this program does not support.
    #[error("a layer of media type `{0}` cannot be unpacked")]
    Compression(String),
    /// The error is in the image that was to be built on.
    #[error("the parent is no image to build on: {0}")]
    Parent(Box<ImageError>),
}

impl ImageError {
    pub(super) fn media_type(
        what: &'static str,
        media_type: &MediaType,
        family: &'static str,
    ) -> Self {
        Self::MediaType {
            what,
            media_type: media_type.to_string(),
            family,
        }
    }
}

fn listed(platforms: &[Platform]) -> String {
    if platforms.is_empty() {
        return "none".to_owned();
    }
    let listed = platforms.iter().map(|platform| format!("`{platform}`"));
    listed.collect::<Vec<_>>().join(", ")
}
