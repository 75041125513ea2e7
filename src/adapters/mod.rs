//! The outside world: the Docker daemon, git, registries, Python's installers, downloads, files. Nothing here prints.
//!
//! Operations use traits to build, look up and move images. The daemon's two builders implement [`builder::Builder`].
//! The daemon and the registry client implement [`destination::Destination`], and a trait each for what only one of
//! them can do ([`destination::ImageDaemon`], [`destination::ImageRegistry`]). Tests use implementations in memory
//! (`fakes`).

mod build_output;
pub mod builder;
pub mod buildkit;
pub mod cache;
mod channel;
mod chunks;
mod content_service;
pub mod credentials;
pub mod destination;
pub mod digest_cache;
pub mod docker;
pub mod ending;
#[cfg(test)]
pub(crate) mod fakes;
pub mod file_lock;
pub mod git;
pub mod journal;
pub mod layers;
pub mod layout;
pub mod machine;
mod pause;
pub mod python;
pub mod registry;
mod runtime;
pub mod secrets;
mod session_services;
pub mod sources;
pub mod spark;
pub mod store;
mod tar_body;
mod tls;
