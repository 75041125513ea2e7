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
//!
//! - `code`: the codes of errors and warnings, with exit code, meaning and cure
//! - `image`: what an image is: reference, digest, descriptor, config, manifest, index, layer, and its assembly
//! - `project`: what the user has: configuration, locks, sources, requirements, Dockerfiles
//! - `package`: archives and the layout of Python packages, the same bytes everywhere
//! - `plan`: stages, their recipes, fingerprints and references, decisions, differences: nothing in it asks or writes
//! - `yaml`: the places of images in manifests, found by parsing and changed by splicing
//! - `adapters`: the outside world: daemon, registry, sources, installers, git, the disk
//! - `error`: one enum over the layers' errors
//! - `operations`: what a run does; it prints nothing and tells events
//! - `ui`: all printing
//! - `commands`: the verbs: flags, one operation, its result
//!
//! The rooms of `operations`, each of which uses only those to its left:
//!
//! ```text
//! events ← workspace ← resolution ← { dist, provenance, manifests } ← { build, compare } ← publish
//! ```
//!
//! Where to begin with a new operator kind, error, destination, builder, recipe, input, format or event is a table in the
//! README's "Working on sparkpack".

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
