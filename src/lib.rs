//! Turns a `PySpark` project into immutable container images and Kubernetes manifests that name them.

pub mod adapters;
pub mod image;
pub mod manifest;
pub mod package;
pub mod project;
