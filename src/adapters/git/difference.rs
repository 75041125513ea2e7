//! How a file of a checkout differs from what git has.

/// How a file differs from what a new checkout would write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// Somebody changed it.
    Changed,
    /// Git calls it unchanged, and would write it with other line ends.
    LineEnds,
    /// Git calls it unchanged, and would write it otherwise: a filter or `ident` is at work.
    Filtered,
}
