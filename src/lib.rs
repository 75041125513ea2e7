//! Turns a `PySpark` project into immutable container images and Kubernetes manifests that name them.
//!
//! The story of one build: `sparkpack.toml` becomes a [`project::Project`]; the source files are listed with their
//! digests; the requirements are resolved for the image's Python and platform, from the locks; the stages are planned
//! parents first, each with its fingerprint, from which its tag is made; every stage is looked up, and missing ones are
//! built; the references are spliced into the manifests; `dist/images.json` tells the next program what was built.
//!
//! The layers, each of which uses only those to its left:
//!
//! ```text
//! code ← image ← project ← package ← plan ← yaml ← adapters ← error ← operations ← ui ← cli ← commands ← main
//! ```
//!
//! - `code`: the codes of errors and warnings, each with exit code, meaning and cure
//! - `image`: container images: reference, digest, descriptor, config, manifest, index, layer, and assembly
//! - `project`: the user's files: configuration, locks, sources, requirements, Dockerfiles
//! - `package`: archives and the layout of Python packages, with the same bytes on every machine
//! - `plan`: stages, their recipes, fingerprints and references, decisions, differences: all of it pure
//! - `yaml`: the places in manifests that name images, found by parsing and changed by splicing
//! - `adapters`: the outside world: daemon, registry, sources, installers, git, the disk
//! - `error`: one error type over the layers' errors
//! - `operations`: the steps of a run; they print nothing and report events
//! - `ui`: all printing
//! - `cli`: the command line, which only `commands` knows
//! - `commands`: the verbs: each translates its flags, calls operations and prints the result
//!
//! The folders of `operations`, called rooms, each of which uses only those to its left:
//!
//! ```text
//! events ← { adoption, workspace } ← resolution ← { diagnosis, dist, ejection, provenance, manifests } ← { build, compare } ← { publish, running }
//! ```
//!
//! `scaffold`, which makes new projects, uses none of them.
//!
//! The README's "Working on sparkpack" has a table of where to begin with a new operator kind, error, destination,
//! builder, recipe, input, verb, format or event.

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
