//! The Docker daemon, or a program with its API such as Podman: builds, imports, pushes, pulls, tags, inspects.
//!
//! `host` finds the daemon's address, `daemon` connects and inspects, `ping` asks for the daemon's version, and `about`
//! for all that a diagnosis tells of it.
//! `buildkit` and `classic` are its two builders, and `session` gives a build its secrets.
//! `load` puts assembled images into the daemon, `parent` describes those that they stand on, `export` gets all of
//! their layers, `blobs` reads what the containerd store has, `transfer` pushes and pulls, `program` looks into
//! images, and `container` runs a program in one, which `running` knows. `job` runs one as a cluster would, and
//! `terminal` connects its streams to this process'.
//!
//! `upgrade` makes the connections of `session` and `blobs`.

mod about;
mod address;
mod blobs;
mod build;
mod builders;
mod buildkit;
mod classic;
mod container;
mod daemon;
pub(super) mod error;
mod export;
mod host;
mod import;
mod job;
mod left;
mod load;
mod parent;
mod ping;
mod program;
mod running;
mod session;
mod terminal;
mod transfer;
mod upgrade;

#[cfg(test)]
mod tests;

pub use about::{AboutDaemon, BuilderInUse, DaemonKind};
pub use container::{PrintedLine, ProgramEnd, ProgramInImage};
pub use daemon::Daemon;
pub use error::{DockerError, Unreachable};
pub use export::{ExportedImage, WantedLayers};
pub use job::{JobContainer, JobEnd, JobStreams, PrintedBytes, Volume};
pub use left::{STAGING_DIGITS, staging_tag, this_run};
pub use load::{LoadParent, LoadRequest};
pub use transfer::TransferEvent;
