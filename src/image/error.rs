use oci_spec::image::MediaType;

use super::{Digest, DigestError, Platform};

/// Why a manifest, an index or a config is not what it has to be.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The bytes are not JSON, or not that of such a document.
    #[error("the {what} is none: {because}")]
    Json {
        /// `manifest`, `index` or `config`.
        what: &'static str,
        /// The reader's words; also the source's, which is therefore not shown a second time.
        because: serde_json::Error,
    },
    /// A text in the place of a digest is none.
    #[error("the {what} is none: {because}")]
    Digest {
        /// The document that has it.
        what: &'static str,
        /// What was read.
        because: DigestError,
    },
    /// A digest that the OCI types do not take.
    #[error("the digest {digest} cannot be written: {because}")]
    Unwritable {
        /// The digest.
        digest: Digest,
        /// The reason of the OCI types.
        because: String,
    },
    /// A manifest of Docker's first schema, or of one that does not exist yet.
    #[error("the manifest is of schema {0}, long out of use")]
    Schema(u32),
    /// Neither of what a reference stands for, or both at once.
    #[error("the manifest is neither that of an image nor an index")]
    NeitherManifestNorIndex,
    /// The bytes have another size than the descriptor says.
    #[error("the {what} has {actual} bytes, its descriptor says {expected}")]
    Size {
        /// What the bytes are.
        what: &'static str,
        /// What the descriptor says.
        expected: u64,
        /// What was counted.
        actual: u64,
    },
    /// The bytes have another digest than is said of them.
    #[error("the {what} has the digest {actual}, not {expected}")]
    OtherDigest {
        /// What the bytes are.
        what: &'static str,
        /// What is said of them.
        expected: Digest,
        /// What was computed.
        actual: Digest,
    },
    /// The manifest and the config count the layers differently.
    #[error("the manifest has {layers} layers, its config {diff_ids}")]
    LayerCount {
        /// Layers in the manifest.
        layers: usize,
        /// Diff IDs in the config.
        diff_ids: usize,
    },
    /// The history tells of more or fewer layers than there are.
    #[error("the config has {diff_ids} layers, its history {history}")]
    HistoryCount {
        /// Diff IDs in the config.
        diff_ids: usize,
        /// Entries of the history that are said to have made a layer.
        history: usize,
    },
    /// A media type that this place in an image does not have.
    #[error("`{media_type}` is not the media type of a {what} in the {family} format")]
    MediaType {
        /// The place.
        what: &'static str,
        /// What stands there.
        media_type: String,
        /// `OCI` or `Docker`; `OCI or Docker` where either would do.
        family: &'static str,
    },
    /// The config does not say what the image runs on.
    #[error("the config names no platform")]
    NoPlatform,
    /// The index has no image for the platform.
    #[error("there is no image for `{wanted}`; the platforms are {}", listed(.platforms))]
    PlatformMissing {
        /// What was looked for.
        wanted: Platform,
        /// What there is.
        platforms: Vec<Platform>,
    },
    /// An index is to be made of an entry without a platform, which nobody could choose.
    #[error("the manifest {0} is for no platform")]
    EntryWithoutPlatform(Digest),
    /// An index is to be made of two entries of which only one could be chosen.
    #[error("two manifests are for `{0}`")]
    PlatformTwice(Platform),
    /// An index names a manifest that is not there.
    #[error("the index names the manifest {0}, which is not there")]
    ManifestMissing(Digest),
    /// A manifest that belongs to an index is not named by it.
    #[error("the manifest {0} is not in the index")]
    EntryMissing(Digest),
    /// The layer could not be read.
    #[error("the layer cannot be unpacked")]
    Unpack(#[source] std::io::Error),
    /// The layer is compressed in a way that this program does not read.
    #[error("a layer of media type `{0}` cannot be unpacked")]
    Compression(String),
    /// What is wrong is wrong with the image that was to be built on.
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
