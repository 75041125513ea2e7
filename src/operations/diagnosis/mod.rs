//! What this machine has and lacks for a project: each check gets its facts from an adapter, and judges them purely.
//!
//! `gather` asks everything outside side by side and waits a few seconds for each; `judge` makes a finding of each fact.

mod bounded;
mod builders;
mod cure;
mod daemon;
mod finding;
mod gather;
mod judge;
mod machine;
mod network;
mod project;
mod registry;
#[cfg(test)]
mod tests;
mod tools;

pub(crate) use finding::{Cure, Diagnosis, Finding, Health};
pub(crate) use gather::DiagnosisRequest;
pub(crate) use judge::diagnose;
