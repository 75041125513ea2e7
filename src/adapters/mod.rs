//! The outside world: the Docker daemon, git, registries, Python's installers, downloads, files. Nothing here prints.
//!
//! Operations see traits where they build, look for and move images: [`builder::Builder`], which the daemon's two builders
//! implement, and [`destination::Destination`], which the daemon and the registry client implement, each with what only it
//! can do ([`destination::ImageDaemon`], [`destination::ImageRegistry`]). Another builder or another destination is one
//! more implementation. Tests have all in memory (`fakes`).

pub mod builder;
pub mod cache;
pub mod credentials;
pub mod destination;
pub mod digest_cache;
pub mod docker;
#[cfg(test)]
pub(crate) mod fakes;
pub mod git;
pub mod journal;
pub mod python;
pub mod registry;
pub mod sources;
pub mod store;
