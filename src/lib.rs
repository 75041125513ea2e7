//! Turns a `PySpark` project into immutable container images and Kubernetes manifests that name them.
//!
//! The story of one build: `sparkpack.toml` becomes a [`project::Project`]; the sources are listed with their digests;
//! the requirements are resolved for the image's Python and platform, from the locks; the stages are planned parents
//! first, each with its fingerprint, which makes its tag; every stage is looked up, what is missing is made; the
//! references are spliced into the manifests; `dist/images.json` tells the next program what was made.
//!
//! The layers, each of which uses only those to its left:
//!
//! ```text
//! code ← image ← project ← package ← plan ← yaml ← adapters ← error ← operations ← ui ← commands ← main
//! ```

pub mod adapters;
pub mod cli;
pub mod code;
pub mod commands;
pub mod error;
pub mod image;
pub mod operations;
pub mod package;
pub mod plan;
pub mod project;
pub mod ui;
pub mod yaml;
