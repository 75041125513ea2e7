//! Which references the project's manifests have and should have; all of them are rewritten, or none.

mod cache;
mod drift;
mod examine;
mod examined;
mod expected;
mod unmanaged;
mod warnings;

#[cfg(test)]
mod tests;

pub(crate) use drift::Drift;
pub(crate) use examine::{
    Manifests, references, refuse_nothing_named, rewrite, say_skipped, warn, write,
};
pub(crate) use examined::{Examined, Named, Scope};
pub(crate) use expected::{Digests, ExpectedReferences};
