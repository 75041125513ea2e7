//! `--locked` and `--offline`, as operations know them.

use crate::{cli::Locks, operations::workspace::LockPolicy};

/// What the command line allows if an entry is missing from the locks.
pub(super) fn policy_of(locks: Locks) -> LockPolicy {
    match locks {
        Locks { locked: true, .. } => LockPolicy::Locked,
        Locks { offline: true, .. } => LockPolicy::Offline,
        Locks { .. } => LockPolicy::Update,
    }
}
