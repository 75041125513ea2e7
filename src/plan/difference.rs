//! The differences between two records, in words.
//!
//! Rows that only one of the records has are paired in several passes, the most certain first: rows about the same
//! thing (a path, a package, a role), then rows with the same content elsewhere (a rename), then rows with the same
//! role. Every row that only one record has is in exactly one change: no difference is missed or invented.

mod words;

use std::collections::{BTreeMap, BTreeSet};

use super::{Input, Record};
use crate::{image::Digest, project::wheel::WheelName};

/// One difference between two records.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// A row that only the older record has.
    Removed(RecordRow),
    /// A row that only the newer record has.
    Added(RecordRow),
    /// Two rows about the same thing.
    Changed {
        /// The row of the older record.
        old: RecordRow,
        /// The row of the newer record.
        new: RecordRow,
    },
}

/// A row of a record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecordRow {
    /// An input that this version knows.
    Known(Input),
    /// An input of a newer format.
    Unknown(Vec<String>),
}

/// A parent whose fingerprint changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangedParent<'a> {
    /// The stage's name.
    pub stage: &'a str,
    /// Its old fingerprint.
    pub old: &'a Digest,
    /// Its new fingerprint.
    pub new: &'a Digest,
}

/// The differences from `old` to `new`, the most important first; empty if the records are equal.
#[must_use]
pub fn between(old: &Record, new: &Record) -> Vec<Change> {
    let rows = |record: &Record| {
        record
            .rows()
            .map(<[String]>::to_vec)
            .collect::<BTreeSet<_>>()
    };
    let (left, right) = (rows(old), rows(new));
    let mut removed: Vec<RecordRow> = left
        .difference(&right)
        .map(|row| RecordRow::of(row))
        .collect();
    let mut added: Vec<RecordRow> = right
        .difference(&left)
        .map(|row| RecordRow::of(row))
        .collect();
    let mut changes = Vec::new();
    for key in PASSES {
        changes.extend(paired(&mut removed, &mut added, key));
    }
    changes.extend(removed.into_iter().map(Change::Removed));
    changes.extend(added.into_iter().map(Change::Added));
    changes.sort_by_cached_key(|change| (change.row().rank(), change.row().clone()));
    changes
}

/// Rows with equal keys are paired; rows without a key wait for the next pass.
type Key = Vec<String>;

const PASSES: [fn(&RecordRow) -> Option<Key>; 4] =
    [same_place, same_content_and_name, same_content, same_role];

/// Removes rows with equal keys from both lists, and returns them as pairs.
fn paired(
    removed: &mut Vec<RecordRow>,
    added: &mut Vec<RecordRow>,
    key: fn(&RecordRow) -> Option<Key>,
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

fn by_key(
    rows: Vec<RecordRow>,
    key: fn(&RecordRow) -> Option<Key>,
) -> (BTreeMap<Key, Vec<RecordRow>>, Vec<RecordRow>) {
    let (mut keyed, mut rest) = (BTreeMap::<Key, Vec<RecordRow>>::new(), Vec::new());
    for row in rows {
        match key(&row) {
            Some(key) => keyed.entry(key).or_default().push(row),
            None => rest.push(row),
        }
    }
    (keyed, rest)
}

fn key(parts: &[&str]) -> Key {
    parts.iter().map(|part| (*part).to_owned()).collect()
}

fn same_place(row: &RecordRow) -> Option<Key> {
    let RecordRow::Known(input) = row else {
        return None;
    };
    let wheel: Option<WheelName>;
    let parts: &[&str] = match input {
        Input::Format(_) => &["format"],
        Input::Stage(_) => &["stage"],
        Input::Platform(_) => &["platform"],
        Input::Dockerfile(_) => &["dockerfile"],
        Input::Target(_) => &["target"],
        Input::PackageContext => &["package context"],
        Input::SparkHome(_) => &["spark-home"],
        Input::Revision { .. } => &["revision"],
        Input::Main { .. } => &["main"],
        Input::Place { what, .. } => &["place", what],
        Input::Environment { name, .. } => &["environment", name],
        Input::BuildArgument { name, .. } => &["build-argument", name],
        // A file and a symbolic link cannot have the same path, so one has replaced the other.
        Input::File { path, .. } | Input::Symlink { path, .. } => &["context", path],
        Input::Module { path, .. } => &["module", path],
        Input::CodeFolder => &["code"],
        Input::BuildPackage(name) => &["build-package", name],
        Input::JobFile { path, .. } => &["job-file", path],
        Input::Parent { role, stage, .. } => &["parent", role, stage],
        Input::External { role, .. } => &["external", role],
        Input::Source { role, .. } => &["source", role],
        Input::Wheel { file_name, .. } => {
            wheel = file_name.parse().ok();
            &[
                "wheel",
                wheel.as_ref().map_or(file_name, |wheel| &wheel.name),
            ]
        }
    };
    Some(key(parts))
}

/// Pairs files by content and name. Only this pass pairs empty files: equal content alone says nothing about them.
fn same_content_and_name(row: &RecordRow) -> Option<Key> {
    let RecordRow::Known(input) = row else {
        return None;
    };
    let named = |kind: &str, content: &str, path: &str| {
        let name = path.rsplit('/').next().unwrap_or(path);
        Some(key(&[kind, content, name]))
    };
    match input {
        Input::File { path, digest, .. } => named("file", digest.as_str(), path),
        Input::Module { path, digest, .. } => named("module", digest.as_str(), path),
        Input::JobFile { path, digest, .. } => named("job-file", digest.as_str(), path),
        Input::Symlink { path, target } => named("symlink", target, path),
        _ => None,
    }
}

fn same_content(row: &RecordRow) -> Option<Key> {
    let RecordRow::Known(input) = row else {
        return None;
    };
    let of = |kind: &str, digest: &Digest| {
        let is_empty = *digest == Digest::of(b"");
        (!is_empty).then(|| vec![kind.to_owned(), digest.to_string()])
    };
    match input {
        Input::File { digest, .. } => of("file", digest),
        Input::Module { digest, .. } => of("module", digest),
        Input::JobFile { digest, .. } => of("job-file", digest),
        Input::Symlink { target, .. } => Some(key(&["symlink", target])),
        // A parent's role is no part of its key: roles are numbered, and another image that is named earlier shifts the
        // numbers.
        Input::Parent { stage, .. } => Some(key(&["parent", stage])),
        Input::External { digest, .. } => of("external", digest),
        Input::Source { unpack, sha256, .. } => Some(key(&["source", unpack, sha256.as_str()])),
        _ => None,
    }
}

fn same_role(row: &RecordRow) -> Option<Key> {
    match row {
        RecordRow::Known(
            Input::Parent { role, .. } | Input::External { role, .. } | Input::Source { role, .. },
        ) => Some(key(&[role])),
        _ => None,
    }
}

impl RecordRow {
    fn of(fields: &[String]) -> Self {
        known(fields)
            // An input counts as known only if it is written back exactly as it was read.
            .filter(|input| input.fields() == fields)
            .map_or_else(|| Self::Unknown(fields.to_vec()), Self::Known)
    }

    /// The most important rows first: what a person asked for, then the base images, then the content.
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
                Input::Target(_) | Input::PackageContext => 8,
                Input::BuildArgument { .. }
                | Input::Environment { .. }
                | Input::Place { .. }
                | Input::SparkHome(_) => 9,
                Input::Wheel { .. } | Input::BuildPackage(_) => 10,
                Input::Main { .. } => 11,
                Input::Module { .. } | Input::CodeFolder | Input::JobFile { .. } => 12,
                Input::File { .. } | Input::Symlink { .. } => 13,
            },
            Self::Unknown(_) => 14,
        }
    }
}

/// Parses a row into an input.
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
        "context" => Input::PackageContext,
        "spark-home" => Input::SparkHome(next()?),
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
        "wheel" => Input::Wheel {
            file_name: next()?,
            sha256: digest(next())?,
        },
        "build-package" => Input::BuildPackage(next()?),
        "code" => Input::CodeFolder,
        "main" => Input::Main {
            name: next()?,
            digest: digest(next())?,
        },
        kind @ ("module" | "job-file") => {
            return of_job(kind, next()?, executable(next())?, digest(next())?);
        }
        kind => return pair(kind, next()?, next()?),
    })
}

/// Parses a row of a job's file.
fn of_job(kind: &str, path: String, executable: bool, digest: Digest) -> Option<Input> {
    match kind {
        "module" => Some(Input::Module {
            path,
            executable,
            digest,
        }),
        "job-file" => Some(Input::JobFile {
            path,
            executable,
            digest,
        }),
        _ => None,
    }
}

/// Parses a row of two texts about an image that only gets files.
fn pair(kind: &str, first: String, second: String) -> Option<Input> {
    match kind {
        "place" => Some(Input::Place {
            what: first,
            folder: second,
        }),
        "environment" => Some(Input::Environment {
            name: first,
            value: second,
        }),
        _ => None,
    }
}

impl Change {
    /// The parent, if this is a change of a parent's fingerprint.
    #[must_use]
    pub fn parent(&self) -> Option<ChangedParent<'_>> {
        let Self::Changed {
            old:
                RecordRow::Known(Input::Parent {
                    stage: old_stage,
                    fingerprint: old,
                    ..
                }),
            new:
                RecordRow::Known(Input::Parent {
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

    fn row(&self) -> &RecordRow {
        match self {
            Self::Removed(row) | Self::Added(row) | Self::Changed { new: row, .. } => row,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The change from the newer record to the older.
    fn reversed(change: Change) -> Change {
        match change {
            Change::Removed(row) => Change::Added(row),
            Change::Added(row) => Change::Removed(row),
            Change::Changed { old, new } => Change::Changed { old: new, new: old },
        }
    }

    fn file(path: &str, mode: &str, bytes: &str) -> Input {
        Input::File {
            path: path.to_owned(),
            executable: mode == "0755",
            digest: Digest::of(bytes.as_bytes()),
        }
    }

    fn link(path: &str, target: &str) -> Input {
        Input::Symlink {
            path: path.to_owned(),
            target: target.to_owned(),
        }
    }

    fn module(path: &str, bytes: &str) -> Input {
        Input::Module {
            path: path.to_owned(),
            executable: false,
            digest: Digest::of(bytes.as_bytes()),
        }
    }

    fn wheel(file_name: &str, bytes: &str) -> Input {
        Input::Wheel {
            file_name: file_name.to_owned(),
            sha256: Digest::of(bytes.as_bytes()),
        }
    }

    fn argument(name: &str, value: &str) -> Input {
        Input::BuildArgument {
            name: name.to_owned(),
            value: value.to_owned(),
        }
    }

    fn revision(number: u32, reason: &str) -> Input {
        Input::Revision {
            number,
            reason: reason.to_owned(),
        }
    }

    fn parent(role: &str, stage: &str, inputs: &str) -> Input {
        Input::Parent {
            role: role.to_owned(),
            stage: stage.to_owned(),
            fingerprint: Digest::of(inputs.as_bytes()),
        }
    }

    fn external(role: &str, bytes: &str) -> Input {
        Input::External {
            role: role.to_owned(),
            digest: Digest::of(bytes.as_bytes()),
        }
    }

    fn source(role: &str, unpack: &str, bytes: &str) -> Input {
        Input::Source {
            role: role.to_owned(),
            unpack: unpack.to_owned(),
            sha256: Digest::of(bytes.as_bytes()),
        }
    }

    fn main_file(name: &str, bytes: &str) -> Input {
        Input::Main {
            name: name.to_owned(),
            digest: Digest::of(bytes.as_bytes()),
        }
    }

    fn told(old: &[Input], new: &[Input]) -> Vec<String> {
        let changes = between(&Record::of(old), &Record::of(new));
        changes.iter().map(ToString::to_string).collect()
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "it is a table")]
    fn every_class_of_change_has_its_words() {
        let dockerfile = |text: &str| Input::Dockerfile(Digest::of(text.as_bytes()));
        let text = str::to_owned;
        let platform = |text: &str| Input::Platform(text.parse().unwrap());
        let table = [
            (
                Some(file("a", "0644", "1")),
                Some(file("a", "0644", "2")),
                "file a changed",
            ),
            (None, Some(file("a b", "0644", "1")), "file a b added"),
            (Some(file("a", "0644", "1")), None, "file a removed"),
            (
                Some(file("a", "0644", "1")),
                Some(file("a", "0755", "1")),
                "file a mode 0644 -> 0755",
            ),
            (
                Some(file("a", "0755", "1")),
                Some(file("a", "0644", "2")),
                "file a changed, mode 0755 -> 0644",
            ),
            (
                Some(file("a/x", "0644", "1")),
                Some(file("b/y", "0755", "1")),
                "file renamed a/x -> b/y, mode 0644 -> 0755",
            ),
            (
                Some(file("A.txt", "0644", "1")),
                Some(file("a.txt", "0644", "1")),
                "file renamed A.txt -> a.txt",
            ),
            (
                Some(file("a", "0644", "1")),
                Some(link("a", "b")),
                "file a -> symbolic link to b",
            ),
            (
                Some(link("a", "b")),
                Some(file("a", "0644", "1")),
                "symbolic link a to b -> file",
            ),
            (
                Some(link("a", "b")),
                Some(link("a", "c")),
                "symbolic link a to b -> c",
            ),
            (
                Some(link("a", "b")),
                Some(link("c", "b")),
                "symbolic link to b renamed a -> c",
            ),
            (None, Some(link("a", "b")), "symbolic link a to b added"),
            (
                Some(module("jobs/a.py", "1")),
                Some(module("jobs/a.py", "2")),
                "module jobs/a.py changed",
            ),
            (
                Some(module("jobs/a.py", "1")),
                Some(module("jobs/b.py", "1")),
                "module renamed jobs/a.py -> jobs/b.py",
            ),
            (
                Some(wheel("pandas-2.2.1-cp311-cp311-linux_x86_64.whl", "1")),
                Some(wheel("Pandas-2.2.2-cp311-cp311-linux_x86_64.whl", "2")),
                "pandas 2.2.1 -> 2.2.2",
            ),
            (
                Some(wheel("six-1-py3-none-any.whl", "1")),
                Some(wheel("six-1-py2.py3-none-any.whl", "1")),
                "six 1: another wheel, six-1-py3-none-any.whl -> six-1-py2.py3-none-any.whl",
            ),
            (
                Some(wheel("six-1-py3-none-any.whl", "1")),
                Some(wheel("six-1-py3-none-any.whl", "2")),
                "six 1: another file of the same name, six-1-py3-none-any.whl: sha256:6b86b273ff34 -> sha256:d4735e3a265e",
            ),
            (
                None,
                Some(wheel("six-1-py3-none-any.whl", "1")),
                "six 1 added",
            ),
            (Some(wheel("odd", "1")), None, "wheel odd removed"),
            (
                Some(argument("A", "1")),
                Some(argument("A", "2")),
                "build argument A=1 -> A=2",
            ),
            (None, Some(argument("A", "1")), "build argument A=1 added"),
            (None, Some(revision(1, "CVE-1")), "revision 1: CVE-1"),
            (
                Some(revision(1, "CVE-1")),
                Some(revision(2, "CVE-2")),
                "revision 1 -> 2: CVE-2",
            ),
            (
                Some(revision(1, "CVE-1")),
                None,
                "revision 1 taken back: CVE-1",
            ),
            (
                Some(dockerfile("1")),
                Some(dockerfile("2")),
                "Dockerfile changed",
            ),
            (
                Some(Input::Target(text("a"))),
                Some(Input::Target(text("b"))),
                "target a -> b",
            ),
            (None, Some(Input::Target(text("b"))), "target b added"),
            (
                None,
                Some(Input::PackageContext),
                "context dist (the job's package) added",
            ),
            (
                Some(platform("linux/amd64")),
                Some(platform("linux/arm64")),
                "platform linux/amd64 -> linux/arm64",
            ),
            (
                Some(Input::Format(1)),
                Some(Input::Format(2)),
                "fingerprint format 1 -> 2",
            ),
            (
                Some(Input::Stage(text("a"))),
                Some(Input::Stage(text("b"))),
                "image name a -> b",
            ),
            (
                Some(parent("FROM 1", "py", "1")),
                Some(parent("FROM 1", "py", "2")),
                "parent py changed (6b86b273ff34fce1 -> d4735e3a265e16ee)",
            ),
            (
                Some(parent("COPY --from 2", "py", "1")),
                Some(parent("COPY --from 3", "py", "1")),
                "parent py COPY --from 2 -> COPY --from 3",
            ),
            (
                Some(parent("FROM 1", "py", "1")),
                Some(parent("FROM 1", "ds", "2")),
                "FROM 1: parent py 6b86b273ff34fce1 -> parent ds d4735e3a265e16ee",
            ),
            (
                Some(parent("FROM 1", "py", "1")),
                Some(external("FROM 1", "2")),
                "FROM 1: parent py 6b86b273ff34fce1 -> external image sha256:d4735e3a265e",
            ),
            (
                Some(external("FROM 1", "1")),
                Some(external("FROM 1", "2")),
                "external image (FROM 1) sha256:6b86b273ff34 -> sha256:d4735e3a265e",
            ),
            (
                None,
                Some(external("FROM 2", "2")),
                "external image sha256:d4735e3a265e (FROM 2) added",
            ),
            (
                Some(source("jars/x.jar", "no", "1")),
                Some(source("jars/x.jar", "no", "2")),
                "source (jars/x.jar) sha256:6b86b273ff34 -> sha256:d4735e3a265e",
            ),
            (
                Some(source("context", "no", "1")),
                Some(source("context", "archive 1", "1")),
                "source (context) unpacked no -> archive 1",
            ),
            (
                Some(main_file("main.py", "1")),
                Some(main_file("main.py", "2")),
                "main file main.py changed",
            ),
            (
                Some(main_file("main.py", "1")),
                Some(main_file("run.py", "1")),
                "main file main.py -> run.py",
            ),
            (
                None,
                Some(file("a\nb\u{202e}", "0644", "1")),
                "file a\\nb\\u{202e} added",
            ),
        ];
        for (old, new, words) in table {
            let (old, new) = (Vec::from_iter(old), Vec::from_iter(new));
            assert_eq!(told(&old, &new), [words]);
        }
    }

    #[test]
    fn the_most_telling_comes_first() {
        let old = [
            file("z", "0644", "1"),
            module("m", "1"),
            wheel("six-1-py3-none-any.whl", "1"),
            argument("A", "1"),
            parent("FROM 1", "py", "1"),
        ];
        let new = [
            file("z", "0644", "2"),
            module("m", "2"),
            wheel("six-2-py3-none-any.whl", "1"),
            argument("A", "2"),
            parent("FROM 1", "py", "2"),
            revision(1, "CVE"),
        ];
        assert_eq!(
            told(&old, &new),
            [
                "revision 1: CVE",
                "parent py changed (6b86b273ff34fce1 -> d4735e3a265e16ee)",
                "build argument A=1 -> A=2",
                "six 1 -> 2",
                "module m changed",
                "file z changed",
            ]
        );
    }

    #[test]
    fn a_moved_folder_is_renamed_file_by_file_and_empty_files_are_not_each_other() {
        let old = [
            module("a/__init__.py", ""),
            module("a/x.py", "x"),
            module("a/y.py", "x"),
            module("gone.py", ""),
        ];
        let new = [
            module("b/__init__.py", ""),
            module("b/x.py", "x"),
            module("b/y.py", "x"),
            module("other.py", ""),
        ];
        assert_eq!(
            told(&old, &new),
            [
                "module renamed a/__init__.py -> b/__init__.py",
                "module renamed a/x.py -> b/x.py",
                "module renamed a/y.py -> b/y.py",
                "module gone.py removed",
                "module other.py added",
            ]
        );
    }

    #[test]
    fn of_two_with_one_content_that_of_the_same_name_is_the_same() {
        let at = |x: &str, y: &str| {
            [
                file(&format!("{x}/x"), "0644", "1"),
                file(&format!("{y}/y"), "0644", "1"),
                link(&format!("{x}/link-x"), "1"),
                link(&format!("{y}/link-y"), "1"),
                module(&format!("{x}/x.py"), "1"),
                module(&format!("{y}/y.py"), "1"),
            ]
        };
        // In the order of their paths, `y` comes first now.
        let mut renamed = told(&at("a", "a"), &at("c", "b"));
        renamed.sort();
        assert_eq!(
            renamed,
            [
                "file renamed a/x -> c/x",
                "file renamed a/y -> b/y",
                "module renamed a/x.py -> c/x.py",
                "module renamed a/y.py -> b/y.py",
                "symbolic link to 1 renamed a/link-x -> c/link-x",
                "symbolic link to 1 renamed a/link-y -> b/link-y",
            ]
        );
    }

    #[test]
    fn what_an_image_named_before_it_moves_is_the_same() {
        let old = [
            parent("FROM 1", "base", "b"),
            external("COPY --from 2", "e"),
            source("RUN --mount 3", "no", "s"),
        ];
        let new = [
            external("FROM 1", "new"),
            parent("FROM 2", "base", "b"),
            external("COPY --from 3", "e"),
            source("RUN --mount 4", "no", "s"),
        ];
        let short = Digest::of(b"new").short(12).to_owned();
        assert_eq!(
            told(&old, &new),
            [
                "parent base FROM 1 -> FROM 2".to_owned(),
                "external image COPY --from 2 -> COPY --from 3".to_owned(),
                format!("external image sha256:{short} (FROM 1) added"),
                "source RUN --mount 3 -> RUN --mount 4".to_owned(),
            ]
        );
    }

    #[test]
    fn rows_of_a_newer_format_are_shown_as_they_are() {
        let with = |row: &str| {
            let bytes = Record::of(&[Input::Format(1)]).bytes();
            let text = String::from_utf8(bytes).unwrap();
            Record::parse(format!("{text}{row}").as_bytes()).unwrap()
        };
        let (old, new) = (with(""), with("2;6:secret,5:TOKEN,"));
        assert_eq!(
            between(&old, &new),
            [Change::Added(RecordRow::Unknown(vec![
                "secret".to_owned(),
                "TOKEN".to_owned()
            ]))]
        );
        assert_eq!(
            between(&old, &new)[0].to_string(),
            "secret TOKEN (of a newer format) added"
        );
        // A known kind with a value that this version would write differently counts as unknown.
        let odd = with("4;6:module,1:a,4:0600,1:x,");
        assert_eq!(
            between(&odd, &old)[0].to_string(),
            "module a 0600 x (of a newer format) removed"
        );
    }

    #[test]
    fn only_the_same_stage_with_another_fingerprint_is_a_changed_parent() {
        let changes = between(
            &Record::of(&[
                parent("FROM 1", "py", "1"),
                parent("COPY --from 2", "a", "1"),
            ]),
            &Record::of(&[
                parent("FROM 1", "py", "2"),
                parent("COPY --from 2", "b", "1"),
            ]),
        );
        let parents: Vec<_> = changes.iter().filter_map(Change::parent).collect();
        assert_eq!(
            parents,
            [ChangedParent {
                stage: "py",
                old: &Digest::of(b"1"),
                new: &Digest::of(b"2"),
            }]
        );
    }

    fn any_input() -> impl Strategy<Value = Input> {
        let word = || prop::sample::select(vec!["a", "b", "a/x", "b/x", ""]);
        let bytes = || prop::sample::select(vec!["", "1", "2"]);
        let role = || prop::sample::select(vec!["FROM 1", "COPY --from 2"]);
        prop_oneof![
            (word(), any::<bool>(), bytes()).prop_map(|(path, executable, bytes)| Input::File {
                path: path.to_owned(),
                executable,
                digest: Digest::of(bytes.as_bytes()),
            }),
            (word(), word()).prop_map(|(path, target)| link(path, target)),
            (word(), bytes()).prop_map(|(path, bytes)| module(path, bytes)),
            (word(), word()).prop_map(|(name, value)| argument(name, value)),
            (0..3u32, word()).prop_map(|(number, reason)| revision(number, reason)),
            (role(), word(), bytes()).prop_map(|(role, stage, bytes)| parent(role, stage, bytes)),
            (role(), bytes()).prop_map(|(role, bytes)| external(role, bytes)),
            (role(), word(), bytes()).prop_map(|(role, how, bytes)| source(role, how, bytes)),
            (word(), bytes()).prop_map(|(name, bytes)| main_file(name, bytes)),
            bytes().prop_map(|bytes| Input::Dockerfile(Digest::of(bytes.as_bytes()))),
            (
                prop::sample::select(vec![
                    "six-1-py3-none-any.whl",
                    "six-2-py3-none-any.whl",
                    "six-2-1-py3-none-any.whl",
                    "odd"
                ]),
                bytes()
            )
                .prop_map(|(name, bytes)| wheel(name, bytes)),
        ]
    }

    fn any_record() -> impl Strategy<Value = Record> {
        prop::collection::vec(any_input(), 0..12).prop_map(|inputs| Record::of(&inputs))
    }

    /// The rows in changes: those of the older record, and those of the newer.
    fn rows(changes: &[Change]) -> (Vec<RecordRow>, Vec<RecordRow>) {
        let (mut old, mut new) = (Vec::new(), Vec::new());
        for change in changes.iter().cloned() {
            match change {
                Change::Removed(row) => old.push(row),
                Change::Added(row) => new.push(row),
                Change::Changed {
                    old: left,
                    new: right,
                } => {
                    old.push(left);
                    new.push(right);
                }
            }
        }
        old.sort();
        new.sort();
        (old, new)
    }

    proptest! {
        #[test]
        fn nothing_is_passed_over_and_nothing_made_up(old in any_record(), new in any_record()) {
            prop_assert!(between(&old, &old).is_empty());
            let changes = between(&old, &new);
            prop_assert_eq!(changes.is_empty(), old == new);
            let only = |one: &Record, other: &Record| {
                let others: Vec<_> = other.rows().collect();
                let mut rows: Vec<_> =
                    one.rows().filter(|row| !others.contains(row)).map(RecordRow::of).collect();
                rows.sort();
                rows
            };
            prop_assert_eq!(rows(&changes), (only(&old, &new), only(&new, &old)));
            for change in &changes {
                let line = change.to_string();
                prop_assert!(!line.contains('\n') && !line.is_empty(), "{:?}", line);
            }
        }

        #[test]
        fn the_other_way_round_is_the_mirror(old in any_record(), new in any_record()) {
            let mut forth = between(&old, &new);
            let mut back: Vec<_> =
                between(&new, &old).into_iter().map(reversed).collect();
            forth.sort();
            back.sort();
            prop_assert_eq!(forth, back);
        }
    }
}
