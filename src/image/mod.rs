//! What an image is: digests, references and platforms; descriptors, manifests, indexes and configs; what is known of
//! one image, wherever it lies; and how an image is put together of a parent and layers.
//!
//! Pure: nothing here reads a file, a daemon or a registry. The documents are read and written by the types of
//! `oci-spec`, but what others wrote in them is kept as it was written, also where those types do not know it.

mod assemble;
mod config;
mod descriptor;
mod digest;
mod error;
mod fields;
mod index;
mod info;
mod layer;
mod manifest;
mod manifest_or_index;
mod media_type;
mod mismatch;
mod platform;
mod reference;

pub use assemble::{AssembledImage, ParentImage, assemble, validate};
pub use config::{ConfigChanges, ImageConfig};
pub use descriptor::Descriptor;
pub use digest::{Digest, DigestError, HashedReader, Hasher};
pub use error::ImageError;
pub use index::{ImageIndex, validate_index};
pub use info::{
    ImageInfo, LABEL_FINGERPRINT, LABEL_FORMAT, LABEL_RECORD, LABEL_RECORD_DIGEST, LABEL_STAGE,
};
pub use layer::Layer;
pub use manifest::ImageManifest;
pub use manifest_or_index::ManifestOrIndex;
pub use media_type::{Compression, Family};
pub use mismatch::{ExpectedBase, ImageMismatch};
pub use oci_spec::image::{History, MediaType};
pub use platform::{Platform, PlatformError};
pub use reference::{Reference, ReferenceError, Repository, is_tag};
