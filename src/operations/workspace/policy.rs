//! What becomes of what the locks lack.

/// What becomes of what the locks lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LockPolicy {
    /// Missing entries are looked up and written into the locks.
    Update,
    /// A missing entry is an error: nothing is sent anywhere, nothing is written.
    ReadOnly,
    /// The same, and so is any other change of the locks: `--locked`.
    Locked,
    /// Entries that this checkout knows by itself are written, other missing entries are an error: `--offline`.
    Offline,
}

impl LockPolicy {
    /// Why a missing entry was not looked up, to be appended to what is missing.
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
