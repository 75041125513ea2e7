//! What becomes of what the locks lack.

/// What becomes of what the locks lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LockPolicy {
    /// It is looked up and written into the locks.
    Update,
    /// It is an error: nothing is sent anywhere, nothing is written.
    ReadOnly,
    /// The same, and so is everything else that would change the locks: `--locked`.
    Locked,
    /// What this checkout knows by itself is written, the rest is an error: `--offline`.
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
