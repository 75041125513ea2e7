//! Registries, by the OCI distribution API.
//!
//! Nothing that a registry says is believed unless it can be checked: every pulled byte is compared with its digest,
//! and a tag is read back after it was set. What may go better the next time is tried again; what will not is not.
//!
//! The client is our own, and not `oci-client`: that one repeats no request, does not obey a registry that asks for
//! patience (429), takes a mount that becomes an upload (202) for an error, and knows no identity tokens.

mod address;
mod attach;
mod challenge;
mod client;
mod document;
mod error;
mod listing;
mod session;
mod settings;
mod transport;
mod trials;
mod upload;

pub use attach::Attachment;
pub use client::{Presence, RegistryClient, RegistryImage};
pub use error::{Cause, FailureKind, RegistryError};
pub use listing::Listing;
pub use settings::RegistrySettings;
