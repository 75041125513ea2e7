//! Registries, by the OCI distribution API.
