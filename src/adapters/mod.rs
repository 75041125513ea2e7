//! The outside world: the Docker daemon, git, registries, Python's installers, downloads, files. Nothing here prints.

pub mod builder;
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
