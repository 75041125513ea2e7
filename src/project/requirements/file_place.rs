//! Where packages lie that are no files of an index.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use super::pieces::file_name_of;
use crate::{code::Code, image::Digest, project::place::Place};

/// Where a package lies that is no file of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilePlace {
    /// A file of the project. As long as it was not looked for, the path is as it is written; then it is absolute.
    File(PathBuf),
    /// A URL without its fragment, as it is written: variables are not expanded.
    Url(String),
    /// A repository.
    Git(GitPlace),
}

impl FilePlace {
    /// Whether it is no wheel, but what one is built from.
    #[must_use]
    pub fn is_source(&self) -> bool {
        matches!(self, Self::Git(_)) || !is_wheel(&self.file_name())
    }

    /// The name of the file; that of a repository is what it ends with.
    #[must_use]
    pub fn file_name(&self) -> String {
        match self {
            Self::Git(git) => file_name_of(&git.repository),
            Self::File(path) => {
                let path = path.to_string_lossy();
                path.rsplit('/').next().unwrap_or_default().to_owned()
            }
            Self::Url(url) => file_name_of(url),
        }
    }
}

/// A wheel or source that requirements name by its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectFile {
    /// The name of the file.
    pub file_name: String,
    /// The digests that it may have.
    pub hashes: Vec<Digest>,
    /// Where it lies.
    pub place: FilePlace,
    /// Where that is written.
    pub written: Place,
}

/// A part of a repository.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GitPlace {
    /// The URL as git takes it, as it is written: variables are not expanded.
    pub repository: String,
    /// A branch, a tag or a commit; none is the default branch.
    pub revision: Option<String>,
    /// The folder of the package in the repository.
    pub subdirectory: Option<String>,
}

impl GitPlace {
    /// Whether the revision is the full ID of a commit.
    #[must_use]
    pub fn names_commit(&self) -> bool {
        self.revision.as_deref().is_some_and(is_commit)
    }
}

/// Whether a text is the full ID of a commit.
pub(super) fn is_commit(text: &str) -> bool {
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    [40, 64].contains(&text.len()) && text.bytes().all(is_hex)
}

impl fmt::Display for GitPlace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "git+{}", self.repository)?;
        if let Some(revision) = &self.revision {
            write!(formatter, "@{revision}")?;
        }
        match &self.subdirectory {
            Some(folder) => write!(formatter, "#subdirectory={folder}"),
            None => Ok(()),
        }
    }
}

/// What is wrong with a reference for which the file system has to be asked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WrongPlace {
    pub(super) code: Code,
    pub(super) message: String,
    pub(super) hint: String,
}

/// Whether a file name is that of a wheel.
pub(super) fn is_wheel(file_name: &str) -> bool {
    Path::new(file_name)
        .extension()
        .is_some_and(|end| end == "whl")
}
