//! What belongs to an image of the project and cannot be rewritten.

use std::ops::Range;

use crate::{image::Repository, project::place::Place};

/// A value that belongs to an image of the project and is not rewritten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stray {
    /// What it is of the image.
    pub kind: StrayKind,
    /// The image's repository.
    pub repository: Repository,
    /// Where it stands.
    pub place: Place,
    /// Its bytes, with quotes.
    pub span: Range<usize>,
    /// From the document's root.
    pub path: String,
    /// The tag, the digest or the repository.
    pub value: String,
}

/// What a value is of an image that is not rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StrayKind {
    /// The tag of an image whose name stands in several values.
    Tag,
    /// The digest, which wins over any tag.
    Digest,
    /// The repository, in several values and without a tag.
    Repository,
    /// The version of something else, in the form of the image's tags.
    Version,
}
