//! Translates `--locked` and `--offline` into a [`LockPolicy`].

use crate::{cli::Locks, operations::workspace::LockPolicy};

/// The policy for entries that are missing from the locks.
pub(super) fn policy_of(locks: Locks) -> LockPolicy {
    match locks {
        Locks { locked: true, .. } => LockPolicy::Locked,
        Locks { offline: true, .. } => LockPolicy::Offline,
        Locks { .. } => LockPolicy::Update,
    }
}
