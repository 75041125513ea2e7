//! What makes two records differ, in words.

use std::{collections::BTreeSet, fmt};

use super::Record;

/// One difference between two records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A row that only the older has.
    Removed(Vec<String>),
    /// A row that only the newer has.
    Added(Vec<String>),
}

impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Removed(row) => write!(formatter, "{} removed", row.join(" ")),
            Self::Added(row) => write!(formatter, "{} added", row.join(" ")),
        }
    }
}

/// The differences from `old` to `new`; none where they are the same.
#[must_use]
pub fn between(old: &Record, new: &Record) -> Vec<Change> {
    let rows = |record: &Record| {
        record
            .rows()
            .map(<[String]>::to_vec)
            .collect::<BTreeSet<_>>()
    };
    let (left, right) = (rows(old), rows(new));
    let removed = left.difference(&right).cloned().map(Change::Removed);
    removed
        .chain(right.difference(&left).cloned().map(Change::Added))
        .collect()
}
