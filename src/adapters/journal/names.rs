//! The names of a journal, before and after its change is committed.

/// The journal of a change that can still be undone.
pub(super) const BEGUN: &str = ".sparkpack-journal";

/// The journal of a change that has to be completed.
pub(super) const COMMITTED: &str = ".sparkpack-committed";
