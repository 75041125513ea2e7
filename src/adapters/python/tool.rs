//! The kinds of Python installers.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use super::index::Index;

/// A program that installs Python packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// `uv`.
    Uv,
    /// `python3 -m pip`.
    Pip,
}

impl fmt::Display for Tool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Uv => "uv",
            Self::Pip => "pip",
        })
    }
}

/// An installer that was found.
#[derive(Clone, Debug)]
pub struct Installer {
    pub(super) tool: Tool,
    pub(super) program: PathBuf,
    pub(super) index: Index,
    pub(super) offline: bool,
    /// The indexes that single packages come from.
    pub(super) indexes: BTreeMap<String, String>,
    pub(super) limit: Duration,
}
