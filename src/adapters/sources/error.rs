use std::{io, path::Path};

use crate::{
    code::Code,
    image::Digest,
    project::ignore::{TreeError, escaped},
};

/// Why a source cannot be fetched.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The bytes are not those that were pinned.
    #[error(
        "the source `{name}` is not what was pinned: {from} has {actual}, wanted is {expected}"
    )]
    Checksum {
        /// The source's name in the configuration.
        name: String,
        /// Where the bytes came from.
        from: String,
        /// The pinned checksum.
        expected: Digest,
        /// The actual checksum.
        actual: Digest,
    },
    /// A download is needed, but not allowed.
    #[error("{from} is not in the cache, and `--offline` forbids to fetch it")]
    Offline {
        /// What had to be downloaded.
        from: String,
    },
    /// The server does not answer, or not completely.
    #[error("cannot fetch {from}: {reason}")]
    Unreachable {
        /// What was asked for.
        from: String,
        /// The system's message.
        reason: String,
    },
    /// The server denies access.
    #[error("cannot fetch {from}: {reason}")]
    Denied {
        /// What was asked for.
        from: String,
        /// The server's answer.
        reason: String,
    },
    /// The source does not exist.
    #[error("{from} does not exist{}", at.as_ref().map(|at| format!(" at {at}")).unwrap_or_default())]
    NotFound {
        /// What was asked for.
        from: String,
        /// Where it was looked for, if that is known.
        at: Option<String>,
    },
    /// A member of an archive would be written outside of the folder, or is neither a file nor a link.
    #[error("{archive} is not safe to unpack: `{member}` {reason}")]
    UnsafeMember {
        /// The archive's origin.
        archive: String,
        /// The member's name, without control characters.
        member: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The file is no archive, is damaged, or lacks the expected content.
    #[error("{archive} cannot be unpacked: {reason}")]
    BadArchive {
        /// The archive's origin.
        archive: String,
        /// Why.
        reason: String,
    },
    /// The disk is full.
    #[error("the disk is full: {reason}")]
    DiskFull {
        /// The system's message, with the file.
        reason: String,
    },
    /// A program that is needed for the download is not installed.
    #[error("{what} needs {tool}, which is not on the PATH")]
    MissingTool {
        /// What had to be downloaded.
        what: String,
        /// The programs, one of which is enough.
        tool: &'static str,
        /// The setting that makes the program unnecessary.
        instead: &'static str,
    },
    /// A program failed.
    #[error("`{command}` failed: {output}")]
    Tool {
        /// The program's name and what it was doing.
        command: String,
        /// The last lines of its output.
        output: String,
    },
    /// A folder cannot be a source.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A file operation failed.
    #[error(transparent)]
    Io(io::Error),
}

impl From<io::Error> for SourceError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull {
                reason: error.to_string(),
            },
            _ => Self::Io(error),
        }
    }
}

impl SourceError {
    /// The error for a path in the configuration that cannot be read.
    pub(super) fn reading(path: &Path, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::NotFound {
                from: format!("`{}`", escaped(path)),
                at: None,
            },
            _ => error.into(),
        }
    }

    /// The error code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Offline { .. } => Code::E035,
            Self::Checksum { .. } => Code::E620,
            Self::Unreachable { .. } => Code::E621,
            Self::Denied { .. } => Code::E622,
            Self::NotFound { .. } => Code::E623,
            Self::UnsafeMember { .. } => Code::E624,
            Self::BadArchive { .. } => Code::E625,
            Self::DiskFull { .. } => Code::E626,
            Self::MissingTool { .. } => Code::E627,
            Self::Tool { .. } => Code::E628,
            Self::Tree(error) => error.code(),
            Self::Io(_) => Code::E629,
        }
    }

    /// What to type.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Checksum { name, .. } => format!(
                "if the change is meant, correct `sha256` of `{name}`, or delete its entry in sparkpack.lock; if not, do not build with it"
            ),
            Self::Offline { .. } => "run it once without `--offline`".to_owned(),
            Self::Unreachable { .. } => {
                "check the network, `HTTPS_PROXY` and `ca`; in a closed network set `[mirrors]`"
                    .to_owned()
            }
            Self::Denied { .. } => {
                "a source is fetched without credentials: use a mirror that allows it, or `path`"
                    .to_owned()
            }
            Self::NotFound { .. } => "check the version and the spelling".to_owned(),
            Self::UnsafeMember { .. } => {
                "ask whoever made the archive for a sound one, or unpack and mend it yourself, and name the folder by `path`".to_owned()
            }
            Self::BadArchive { .. } => {
                "name a tar, tar.gz or zip, or set `unpack = false`".to_owned()
            }
            Self::DiskFull { .. } => {
                "make room, or let `SPARKPACK_CACHE` name a folder on another disk".to_owned()
            }
            Self::MissingTool { tool, instead, .. } => format!("install {tool}, or {instead}"),
            Self::Tool { .. } => "mend what it says, then run this again".to_owned(),
            Self::Tree(error) => return error.hint(),
            Self::Io(_) => return None,
        })
    }
}
