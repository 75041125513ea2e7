//! Container images: digests, references and platforms; descriptors, manifests, indexes and configs; the properties of
//! an image; and the assembly of an image from a parent and layers.
//!
//! This module is pure: it uses no file, daemon or registry. Documents are parsed and written with the types of
//! `oci-spec`, but fields that those types do not know are kept byte for byte.

mod assemble;
mod config;
mod contents;
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
mod program;
mod python;
mod reference;
mod zstd;

pub use assemble::{
    AssembledImage, ImageDocuments, ParentImage, as_oci, assemble, oci_image, validate,
};
pub use config::{ConfigChanges, ImageConfig};
pub use contents::{
    ContentFacts, Distribution, JavaFacts, LayerContents, LayerScanner, Libc, PythonFacts,
    SparkFacts, Tree, normalise,
};
pub use descriptor::Descriptor;
pub use digest::{Digest, DigestError, HashedReader, Hasher};
pub use error::ImageError;
pub use index::{ImageIndex, validate_index};
pub use info::{
    ImageInfo, LABEL_FINGERPRINT, LABEL_FORMAT, LABEL_LAYERS, LABEL_RECORD, LABEL_RECORD_DIGEST,
    LABEL_STAGE, layers_label,
};
pub use layer::{Layer, LayerFile};
pub use manifest::ImageManifest;
pub use manifest_or_index::ManifestOrIndex;
pub use media_type::{Compression, Family};
pub use mismatch::{ExpectedBase, ImageMismatch};
pub use oci_spec::image::{History, MediaType};
pub use platform::{Platform, PlatformError};
pub use program::Program;
pub use python::ImagePython;
pub use reference::{Reference, ReferenceError, Repository, is_tag};
pub use zstd::Frames;
