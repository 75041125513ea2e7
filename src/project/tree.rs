//! Trees of input files: what a fingerprint covers, and all that a build may see.

use std::path::PathBuf;

use crate::image::Digest;

/// One file or symbolic link of a tree.
///
/// Folders have no entry: git has no empty ones, so a tag must not depend on them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The path in the tree, with `/` on every host; no leading `/`, no `.` or `..`.
    pub path: String,
    /// What is there.
    pub content: Content,
}

/// What lies at a path of a tree.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Content {
    /// A regular file.
    File {
        /// Of its bytes.
        digest: Digest,
        /// Whether its owner may execute it: 0755 in an image, else 0644.
        executable: bool,
        /// Bytes.
        size: u64,
        /// Where its bytes can be read on this machine; never part of a fingerprint.
        location: PathBuf,
    },
    /// A symbolic link with its target, as it is.
    Symlink {
        /// The target's text.
        target: String,
    },
}
