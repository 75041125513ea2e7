//! Trees of input files: everything that a fingerprint covers, and everything that a build may read.

use std::{
    collections::BTreeSet,
    io::{self, Read},
    path::{Path, PathBuf},
};

use crate::image::Digest;

/// A file or symbolic link of a tree.
///
/// Folders have no entries: git does not track empty folders, so a tag must not depend on them.
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
        /// The digest of its bytes.
        digest: Digest,
        /// Whether its owner may execute it: its mode in an image is 0755, else 0644.
        executable: bool,
        /// Its size in bytes.
        size: u64,
        /// Where its bytes can be read on this machine; never part of a fingerprint.
        location: Location,
    },
    /// A symbolic link; its target is never resolved.
    Symlink {
        /// The target's text.
        target: String,
    },
}

/// Where a file's bytes are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Location {
    /// In a file of this machine.
    Disk(PathBuf),
    /// In memory: a built-in file, or a Dockerfile rewritten for a build.
    Memory(Vec<u8>),
}

impl Entry {
    /// A regular file whose bytes are held in memory.
    #[must_use]
    pub fn in_memory(path: impl Into<String>, bytes: impl Into<Vec<u8>>, executable: bool) -> Self {
        let bytes = bytes.into();
        let content = Content::File {
            digest: Digest::of(&bytes),
            executable,
            size: bytes.len() as u64,
            location: Location::Memory(bytes),
        };
        Self {
            path: path.into(),
            content,
        }
    }

    /// An entry for `file`, which is read once for its digest.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn of_file(path: impl Into<String>, file: &Path, executable: bool) -> io::Result<Self> {
        let (size, digest) = Digest::with_size(&mut fs_err::File::open(file)?)?;
        let content = Content::File {
            digest,
            executable,
            size,
            location: Location::Disk(file.to_owned()),
        };
        Ok(Self {
            path: path.into(),
            content,
        })
    }

    /// The entry moved into `folder`.
    #[must_use]
    pub fn prefixed(self, folder: &str) -> Self {
        let path = match folder {
            "" => self.path,
            _ => format!("{folder}/{}", self.path),
        };
        Self { path, ..self }
    }

    /// The entry's line in a listing: everything that decides what is written for it, in a form that must not change.
    #[must_use]
    pub fn row(&self) -> String {
        match &self.content {
            Content::File {
                digest, executable, ..
            } => format!("{digest} {executable} {}\n", self.path),
            Content::Symlink { target } => format!("link {target} {}\n", self.path),
        }
    }
}

/// The folders that a path lies in, from the outermost on.
pub fn folders_above(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(end, _)| &path[..end])
}

/// The folders in which the entries lie.
#[must_use]
pub fn folders_of(entries: &[Entry]) -> BTreeSet<&str> {
    let folders = entries.iter().flat_map(|entry| folders_above(&entry.path));
    folders.collect()
}

/// The mode that a file gets wherever it is written.
#[must_use]
pub fn mode(executable: bool) -> u32 {
    if executable { 0o755 } else { 0o644 }
}

impl Location {
    /// A reader of the bytes.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        Ok(match self {
            Self::Disk(path) => Box::new(fs_err::File::open(path)?),
            Self::Memory(bytes) => Box::new(bytes.as_slice()),
        })
    }
}
