//! What makes two records differ, in words.
//!
//! Rows that only one of the records has are paired in several passes, the surest first: what stands in the same place
//! (a path, a package, a role), then what has the same content elsewhere (a rename), then what took another's role.
//! Every row that only one has is in exactly one change: no difference is passed over, and none is made up.

mod words;

use std::collections::{BTreeMap, BTreeSet};

use super::{Input, Record};
use crate::{image::Digest, project::wheel::WheelName};

/// One difference between two records.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// A row that only the older has.
    Removed(Row),
    /// A row that only the newer has.
    Added(Row),
    /// Two rows about the same thing.
    Changed {
        /// The older's.
        old: Row,
        /// The newer's.
        new: Row,
    },
}

/// A row of a record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Row {
    /// An input that this version knows.
    Known(Input),
    /// One of a newer format.
    Unknown(Vec<String>),
}

/// A parent that is the same stage with another fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangedParent<'a> {
    /// The stage's name.
    pub stage: &'a str,
    /// What it was.
    pub old: &'a Digest,
    /// What it is.
    pub new: &'a Digest,
}

/// The differences from `old` to `new`, the most telling first; none where they are the same.
#[must_use]
pub fn between(old: &Record, new: &Record) -> Vec<Change> {
    let rows = |record: &Record| {
        record
            .rows()
            .map(<[String]>::to_vec)
            .collect::<BTreeSet<_>>()
    };
    let (left, right) = (rows(old), rows(new));
    let mut removed: Vec<Row> = left.difference(&right).map(|row| Row::of(row)).collect();
    let mut added: Vec<Row> = right.difference(&left).map(|row| Row::of(row)).collect();
    let mut changes = Vec::new();
    for key in PASSES {
        changes.extend(paired(&mut removed, &mut added, key));
    }
    changes.extend(removed.into_iter().map(Change::Removed));
    changes.extend(added.into_iter().map(Change::Added));
    changes.sort_by_cached_key(|change| (change.row().rank(), change.row().clone()));
    changes
}

/// What rows are paired by; rows without a key wait for the next pass.
type Key = Vec<String>;

const PASSES: [fn(&Row) -> Option<Key>; 4] =
    [same_place, same_content_and_name, same_content, same_role];

/// Takes out of both what has the same key.
fn paired(
    removed: &mut Vec<Row>,
    added: &mut Vec<Row>,
    key: fn(&Row) -> Option<Key>,
) -> Vec<Change> {
    let (old, old_rest) = by_key(std::mem::take(removed), key);
    let (mut new, new_rest) = by_key(std::mem::take(added), key);
    *removed = old_rest;
    *added = new_rest;
    let mut changes = Vec::new();
    for (key, rows) in old {
        let mut rows = rows.into_iter();
        let mut others = new.remove(&key).unwrap_or_default().into_iter();
        while rows.len() > 0 && others.len() > 0 {
            if let (Some(old), Some(new)) = (rows.next(), others.next()) {
                changes.push(Change::Changed { old, new });
            }
        }
        removed.extend(rows);
        added.extend(others);
    }
    added.extend(new.into_values().flatten());
    removed.sort();
    added.sort();
    changes
}

fn by_key(rows: Vec<Row>, key: fn(&Row) -> Option<Key>) -> (BTreeMap<Key, Vec<Row>>, Vec<Row>) {
    let (mut keyed, mut rest) = (BTreeMap::<Key, Vec<Row>>::new(), Vec::new());
    for row in rows {
        match key(&row) {
            Some(key) => keyed.entry(key).or_default().push(row),
            None => rest.push(row),
        }
    }
    (keyed, rest)
}

fn key(parts: &[&str]) -> Option<Key> {
    Some(parts.iter().map(|part| (*part).to_owned()).collect())
}

fn same_place(row: &Row) -> Option<Key> {
    let Row::Known(input) = row else {
        return None;
    };
    match input {
        Input::Format(_) => key(&["format"]),
        Input::Stage(_) => key(&["stage"]),
        Input::Platform(_) => key(&["platform"]),
        Input::Dockerfile(_) => key(&["dockerfile"]),
        Input::Target(_) => key(&["target"]),
        Input::Revision { .. } => key(&["revision"]),
        Input::Main { .. } => key(&["main"]),
        Input::BuildArgument { name, .. } => key(&["build-argument", name]),
        // A file and a symbolic link cannot both have a path: one has become the other.
        Input::File { path, .. } | Input::Symlink { path, .. } => key(&["context", path]),
        Input::Module { path, .. } => key(&["module", path]),
        Input::Parent { role, stage, .. } => key(&["parent", role, stage]),
        Input::External { role, .. } => key(&["external", role]),
        Input::Source { role, .. } => key(&["source", role]),
        Input::Wheel { file_name, .. } => {
            let name: Option<WheelName> = file_name.parse().ok();
            key(&[
                "wheel",
                name.as_ref().map_or(file_name, |wheel| &wheel.name),
            ])
        }
    }
}

/// Empty files are alike without one having become the other, unless the name stayed.
fn same_content_and_name(row: &Row) -> Option<Key> {
    let Row::Known(input) = row else {
        return None;
    };
    let named = |kind: &str, content: &str, path: &str| {
        let name = path.rsplit('/').next().unwrap_or(path);
        key(&[kind, content, name])
    };
    match input {
        Input::File { path, digest, .. } => named("file", digest.as_str(), path),
        Input::Module { path, digest, .. } => named("module", digest.as_str(), path),
        Input::Symlink { path, target } => named("symlink", target, path),
        _ => None,
    }
}

fn same_content(row: &Row) -> Option<Key> {
    let Row::Known(input) = row else {
        return None;
    };
    let of = |kind: &str, digest: &Digest| {
        let is_empty = *digest == Digest::of(b"");
        (!is_empty).then(|| vec![kind.to_owned(), digest.to_string()])
    };
    match input {
        Input::File { digest, .. } => of("file", digest),
        Input::Module { digest, .. } => of("module", digest),
        Input::Symlink { target, .. } => key(&["symlink", target]),
        // Their roles are numbered: an image that is named before them moves them.
        Input::Parent { stage, .. } => key(&["parent", stage]),
        Input::External { digest, .. } => of("external", digest),
        Input::Source { unpack, sha256, .. } => key(&["source", unpack, sha256.as_str()]),
        _ => None,
    }
}

fn same_role(row: &Row) -> Option<Key> {
    match row {
        Row::Known(
            Input::Parent { role, .. } | Input::External { role, .. } | Input::Source { role, .. },
        ) => key(&[role]),
        _ => None,
    }
}

impl Row {
    fn of(fields: &[String]) -> Self {
        known(fields)
            // Only what is written back as it was has been understood.
            .filter(|input| input.fields() == fields)
            .map_or_else(|| Self::Unknown(fields.to_vec()), Self::Known)
    }

    /// The most telling first: what a person asked for, then what the image stands on, then what is in it.
    fn rank(&self) -> usize {
        match self {
            Self::Known(input) => match input {
                Input::Format(_) => 0,
                Input::Stage(_) => 1,
                Input::Platform(_) => 2,
                Input::Revision { .. } => 3,
                Input::Parent { .. } => 4,
                Input::External { .. } => 5,
                Input::Source { .. } => 6,
                Input::Dockerfile(_) => 7,
                Input::Target(_) => 8,
                Input::BuildArgument { .. } => 9,
                Input::Wheel { .. } => 10,
                Input::Main { .. } => 11,
                Input::Module { .. } => 12,
                Input::File { .. } | Input::Symlink { .. } => 13,
            },
            Self::Unknown(_) => 14,
        }
    }
}

/// The input that a row is.
fn known(fields: &[String]) -> Option<Input> {
    let mut fields = fields.iter().cloned();
    let mut next = || fields.next();
    let digest = |text: Option<String>| text?.parse::<Digest>().ok();
    let executable = |mode: Option<String>| Some(mode? == "0755");
    Some(match next()?.as_str() {
        "format" => Input::Format(next()?.parse().ok()?),
        "stage" => Input::Stage(next()?),
        "platform" => Input::Platform(next()?.parse().ok()?),
        "dockerfile" => Input::Dockerfile(digest(next())?),
        "target" => Input::Target(next()?),
        "build-argument" => Input::BuildArgument {
            name: next()?,
            value: next()?,
        },
        "revision" => Input::Revision {
            number: next()?.parse().ok()?,
            reason: next()?,
        },
        "file" => Input::File {
            path: next()?,
            executable: executable(next())?,
            digest: digest(next())?,
        },
        "symlink" => Input::Symlink {
            path: next()?,
            target: next()?,
        },
        "parent" => Input::Parent {
            role: next()?,
            stage: next()?,
            fingerprint: digest(next())?,
        },
        "external" => Input::External {
            role: next()?,
            digest: digest(next())?,
        },
        "source" => Input::Source {
            role: next()?,
            unpack: next()?,
            sha256: digest(next())?,
        },
        "main" => Input::Main {
            name: next()?,
            digest: digest(next())?,
        },
        "module" => Input::Module {
            path: next()?,
            executable: executable(next())?,
            digest: digest(next())?,
        },
        "wheel" => Input::Wheel {
            file_name: next()?,
            sha256: digest(next())?,
        },
        _ => return None,
    })
}

impl Change {
    /// The parent that changed, where that is what changed.
    #[must_use]
    pub fn parent(&self) -> Option<ChangedParent<'_>> {
        let Self::Changed {
            old:
                Row::Known(Input::Parent {
                    stage: old_stage,
                    fingerprint: old,
                    ..
                }),
            new:
                Row::Known(Input::Parent {
                    stage,
                    fingerprint: new,
                    ..
                }),
        } = self
        else {
            return None;
        };
        (stage == old_stage && old != new).then_some(ChangedParent { stage, old, new })
    }

    /// The same, seen from the newer record.
    #[must_use]
    pub fn reversed(self) -> Self {
        match self {
            Self::Removed(row) => Self::Added(row),
            Self::Added(row) => Self::Removed(row),
            Self::Changed { old, new } => Self::Changed { old: new, new: old },
        }
    }

    fn row(&self) -> &Row {
        match self {
            Self::Removed(row) | Self::Added(row) | Self::Changed { new: row, .. } => row,
        }
    }
}
