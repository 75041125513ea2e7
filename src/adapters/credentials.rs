//! Credentials of registries, as docker and podman keep them.
