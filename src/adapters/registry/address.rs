//! Hosts of registries.

/// The host of a registry's API, which differs from the host in references for Docker Hub.
pub(super) fn api_host(registry: &str) -> &str {
    if registry == "docker.io" {
        "registry-1.docker.io"
    } else {
        registry
    }
}
