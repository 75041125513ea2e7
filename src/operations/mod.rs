//! What sparkpack does, without command line and output: the subcommands call these operations.
//!
//! The rooms, each of which uses only those to its left:
//!
//! ```text
//! events ← { adoption, workspace } ← resolution ← { diagnosis, dist, ejection, provenance, manifests } ← { build, compare } ← { publish, running }
//! ```

pub mod events;

pub(crate) mod adoption;
pub(crate) mod build;
pub(crate) mod compare;
pub(crate) mod diagnosis;
pub(crate) mod dist;
pub(crate) mod ejection;
pub(crate) mod manifests;
pub(crate) mod provenance;
pub(crate) mod publish;
pub(crate) mod resolution;
pub(crate) mod running;
pub(crate) mod scaffold;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod workspace;
