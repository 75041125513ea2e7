//! The settings for registries.

use std::{collections::BTreeMap, path::PathBuf};

use crate::adapters::cache::Cache;

/// How registries are reached.
#[derive(Clone, Debug, Default)]
pub struct RegistrySettings {
    /// A PEM file of certificates to trust besides the system's.
    pub ca: Option<PathBuf>,
    /// Folders `certs.d` with the certificates of single registries.
    pub certificates: Vec<PathBuf>,
    /// Registries that may be used without TLS: `HOST` or `HOST:PORT`, as in references.
    pub insecure: Vec<String>,
    /// Mirrors for reading: from a registry to another one, or to a path in it. Tags are still set in the registry
    /// itself.
    pub mirrors: BTreeMap<String, String>,
    /// Where configs are kept, which never change under their digests; without it they are fetched each time.
    pub cache: Option<Cache>,
}
