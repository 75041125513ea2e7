//! What an image is: digests, references, platforms and the facts of one image, wherever it lies.
//!
//! Pure: nothing here reads a file, a daemon or a registry.

mod digest;
mod info;
mod platform;
mod reference;

pub use digest::{Digest, DigestError, Hasher};
pub use info::{
    ImageInfo, LABEL_FINGERPRINT, LABEL_FORMAT, LABEL_RECORD, LABEL_RECORD_DIGEST, LABEL_STAGE,
};
pub use platform::{Platform, PlatformError};
pub use reference::{Reference, ReferenceError, Repository, is_tag};
