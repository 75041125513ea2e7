//! Registries, by the OCI distribution API.
//!
//! Answers are verified where that is possible: all bytes that are pulled are compared with their digest, and a tag is
//! read back after it was set. All bytes of layers that are pushed are compared with their digest before the last of
//! them are sent. Requests are repeated if the failure may be temporary, and only then.
//!
//! The client is our own instead of `oci-client`. That crate does not repeat requests, ignores a registry's request to
//! wait (429), takes a mount that becomes an upload (202) for an error, and does not support identity tokens.

mod address;
mod ahead;
mod asked;
mod attach;
mod blob;
mod certificates;
mod challenge;
mod client;
mod document;
mod download;
mod error;
mod file;
mod listing;
mod probe;
mod proxies;
mod push;
mod scan;
mod session;
mod settings;
mod tags;
pub(super) mod tls;
mod transport;
mod trials;
mod trust;
mod upload;
mod whole;

pub use ahead::PushAhead;
pub use attach::Attachment;
pub use blob::{Blob, BlobProgress, BlobSource, BlobState};
pub use certificates::{certificate_folders, trusted_by_name};
pub use client::{Presence, RegistryClient, RegistryImage};
pub use error::{Cause, FailureKind, RegistryError};
pub use listing::Listing;
pub use probe::RegistryProbe;
pub use proxies::{ProxyProblem, ProxyVariable, proxy_variables};
pub use push::OutgoingImage;
pub use settings::RegistrySettings;
