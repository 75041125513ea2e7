//! Why files were not replaced.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::names::COMMITTED;
use crate::code::Code;

/// Why files were not replaced, or not all of them yet.
#[derive(Debug, thiserror::Error)]
pub enum ReplaceError {
    /// A file operation failed.
    #[error("{} cannot be {what}: {error}{}", path.display(), free.map(room).unwrap_or_default())]
    Disk {
        /// What could not be done, as a participle: `written` and the like.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
        /// The free bytes of a full disk.
        free: Option<u64>,
    },
    /// The change was committed, but not all files are replaced yet.
    #[error("{0}\nsome files are already new; the next run completes the others")]
    Unfinished(Box<ReplaceError>),
    /// Another program changed a file in the meantime.
    #[error("{} was changed while sparkpack ran\nno file was written", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// Two paths lead to the same file, but have different new contents.
    #[error("{} and {} are one file, and would have to differ", first.display(), second.display())]
    Twice {
        /// One path.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// A living process has a journal here.
    #[error("another sparkpack is changing files in this project")]
    Busy,
    /// A journal that sparkpack cannot have written.
    #[error("{} is not to be trusted: {reason}", path.display())]
    Journal {
        /// The journal.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// An error of the disk at `path`, which could not be `what`.
pub(super) fn cannot(
    what: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> ReplaceError + use<> {
    let path = path.to_owned();
    move |error| {
        let is_full = error.kind() == io::ErrorKind::StorageFull;
        let free = is_full.then(|| free(&path)).flatten();
        ReplaceError::Disk {
            what,
            path,
            error,
            free,
        }
    }
}

/// The free bytes on the disk of `path`.
fn free(path: &Path) -> Option<u64> {
    let folder = crate::adapters::store::folder_of(path);
    let found = rustix::fs::statvfs(folder).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

fn room(free: u64) -> String {
    format!("\n{free} bytes are free on that disk")
}

impl ReplaceError {
    /// The code, by which documentation and scripts refer to the error.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Disk { .. } => Code::E610,
            Self::Unfinished(error) => error.code(),
            Self::Changed { .. } => Code::E102,
            Self::Twice { .. } => Code::E069,
            Self::Busy => Code::E612,
            Self::Journal { .. } => Code::E613,
        }
    }

    /// The system's error, if a file operation failed.
    #[must_use]
    pub fn disk(&self) -> Option<&io::Error> {
        match self {
            Self::Disk { error, .. } => Some(error),
            _ => None,
        }
    }

    /// What to do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Disk { .. } => None,
            Self::Unfinished(_) => Some(
                "mend the disk, then run it again, and do not edit those files before".to_owned(),
            ),
            Self::Changed { .. } => Some("run it again".to_owned()),
            Self::Twice { .. } => Some("name the file once under `[manifests]`".to_owned()),
            Self::Busy => Some("run it again when the other has ended".to_owned()),
            Self::Journal { path, .. } if path.ends_with(COMMITTED) => Some(format!(
                "look at `git diff`, for a change may be half done, then delete it: `rm {}`",
                path.display()
            )),
            Self::Journal { path, .. } => Some(format!("delete it: `rm {}`", path.display())),
        }
    }
}
