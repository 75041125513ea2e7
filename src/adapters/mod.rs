//! The outside world: the Docker daemon, git, registries, Python's installers, downloads, files. Nothing here prints.

pub mod credentials;
pub mod digest_cache;
pub mod docker;
pub mod git;
pub mod journal;
pub mod python;
pub mod registry;
pub mod sources;
pub mod store;
