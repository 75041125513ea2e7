//! The tests that need more registries than Debian's, Python's and Rust's. Run by `scripts/test-more`.
//!
//! - `buildkit`: a chain is built by a `BuildKit` at an address, where no Docker daemon is
//! - `ci_files`: actionlint and shellcheck find nothing in the CI files that `new` writes
//! - `connectors`: a connector's jar comes from Maven, is checked, and Spark in the job image finds its classes; a job writes into a
//!   bucket of fake-gcs-server; a load into `BigQuery` that its connector refuses is told in a line
//! - `crane`: crane validates what was pushed
//! - `hooks`: pre-commit compiles sparkpack from a clone of this repository, and runs it
//! - `imports`: what is said of the imports in the modules of well-known wheels is so, as the chain's Python sees it
//! - `layers`: Go's gzip and tar read a layer of several members whole
//! - `operator`: the real Spark operator, built from its Go module, runs in the operator image
//! - `packages`: the best-known packages are locked, built and imported, each alone in a job
//! - `wheels`: nothing in the wheels of forty well-known packages is taken for a credential

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise, and runs programs"
)]

#[path = "../suite/support/mod.rs"]
#[expect(
    dead_code,
    unused_imports,
    reason = "it serves the first suite as well, which needs more of it"
)]
mod support;

mod buildkit;
mod buildkitd;
mod ci_files;
mod connectors;
mod crane;
mod example;
mod golang;
mod hooks;
mod imports;
mod layers;
mod operator;
mod packages;
mod wheels;
