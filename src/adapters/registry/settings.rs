//! What the configuration says of registries.

use std::{collections::BTreeMap, path::PathBuf};

/// How registries are reached.
#[derive(Clone, Debug, Default)]
pub struct RegistrySettings {
    /// A file of PEM certificates to trust beside the system's.
    pub ca: Option<PathBuf>,
    /// Registries, `HOST` or `HOST:PORT` as references have them, that are allowed to go without TLS.
    pub insecure: Vec<String>,
    /// Where to read instead: a registry to a registry, or to a path in one; tags are still set in the registry itself.
    pub mirrors: BTreeMap<String, String>,
}
