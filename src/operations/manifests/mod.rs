//! Compares the references in the project's manifests with the expected ones, and rewrites all manifests or none.

mod applications;
mod cache;
mod contents;
mod drift;
mod examine;
mod examined;
mod expected;
mod filled_in;
mod strays;
mod survey;
mod unmanaged;
mod unmanaged_reference;
mod warnings;
mod words;

#[cfg(test)]
mod tests;

pub(crate) use applications::{DescribedApplication, applications};
pub(crate) use drift::Drift;
pub(crate) use examine::{Manifests, references, replacements, rewrite, warn, write};
pub(crate) use examined::{Examined, Named, Scope};
pub(crate) use expected::{Digests, ExpectedReferences};
pub(crate) use survey::{Survey, survey};
