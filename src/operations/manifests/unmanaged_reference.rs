//! What is told of an image that stands where nothing is rewritten.

use crate::project::place::Defect;

/// A reference to an image of the project at a place that sparkpack does not rewrite.
pub(crate) struct UnmanagedReference {
    pub(crate) image: String,
    /// Whether it is a whole value, which a program may use, and not only part of a text.
    pub(crate) is_whole: bool,
    /// The warning, if the reference is out of date and its image is part of this run.
    pub(crate) stale: Option<Defect>,
    /// What to say of it otherwise: it will be out of date after the next change.
    pub(crate) warning: Option<Defect>,
}
