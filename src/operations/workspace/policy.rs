//! What a run may do about entries that are missing from the locks.

/// What a run may do about entries that are missing from the locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LockPolicy {
    /// Missing entries are looked up and written into the lock files.
    Update,
    /// A missing entry is an error. It is not looked up, and the lock files stay as they are.
    ReadOnly,
    /// `--locked`: a missing entry is an error, and so is any other change that the lock files would need.
    Locked,
    /// `--offline`: entries that follow from the checkout alone are written; any other missing entry is an error.
    Offline,
}

impl LockPolicy {
    /// Why a missing entry was not looked up: text to be appended to a message that names the entry.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Update | Self::ReadOnly => "",
            Self::Locked => ", and `--locked` forbids to add it",
            Self::Offline => ", and `--offline` forbids to look it up",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_flag_is_a_reason() {
        for (policy, flag) in [
            (LockPolicy::Locked, "`--locked`"),
            (LockPolicy::Offline, "`--offline`"),
        ] {
            assert!(policy.reason().contains(flag));
        }
        assert_eq!(LockPolicy::Update.reason(), "");
        assert_eq!(LockPolicy::ReadOnly.reason(), "");
    }
}
