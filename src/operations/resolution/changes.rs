//! The changes between two states of the locks, one line for each entry.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::{
    lock_files::{LockFiles, shown},
    wheels::wheels_of,
};
use crate::{
    image::{Digest, Platform},
    project::{
        lock::{Lock, LockedChain, LockedImage, LockedWheels, Revision},
        requirements::{self, LockedWheel},
    },
};

/// Stands for the old value of an entry that is new.
const NEW: &str = "not locked before";

/// One line for each entry that differs. The order of the entries does not matter.
pub(crate) fn lock_changes(old: &LockFiles, new: &LockFiles) -> Vec<String> {
    let (left, right) = (&old.lock, &new.lock);
    let mut lines = entries(("chain ", NEW), &left.chains, &right.chains, Chain);
    lines.extend(entries(
        ("recipe ", NEW),
        &left.recipes,
        &right.recipes,
        Short,
    ));
    lines.extend(entries(("", NEW), &left.images, &right.images, External));
    lines.extend(new_platforms(&left.images, &right.images));
    lines.extend(looked_into(left, right));
    let sources = |lock: &Lock| {
        let sources = lock.sources.iter();
        sources
            .map(|(origin, source)| (origin.clone(), source.sha256.clone()))
            .collect::<BTreeMap<_, _>>()
    };
    lines.extend(entries(("", NEW), &sources(left), &sources(right), Short));
    lines.extend(entries(
        ("revision of ", "none"),
        &left.revisions,
        &right.revisions,
        Numbered,
    ));
    for name in keys(&left.wheels, &right.wheels) {
        let label = format!("{name}, built-in requirements");
        let of = |wheels: Option<&BTreeMap<Platform, LockedWheels>>| wheels.map(Wheels::built_in);
        let (left, right) = (of(left.wheels.get(name)), of(right.wheels.get(name)));
        lines.extend(wheels(&label, left.as_ref(), right.as_ref()));
    }
    for file in keys(&old.beside, &new.beside) {
        let of = |files: &LockFiles| files.beside.get(file).map(Wheels::beside);
        lines.extend(wheels(&shown(file), of(old).as_ref(), of(new).as_ref()));
    }
    lines
}

fn keys<'a, K: Ord, V>(left: &'a BTreeMap<K, V>, right: &'a BTreeMap<K, V>) -> BTreeSet<&'a K> {
    left.keys().chain(right.keys()).collect()
}

/// One line for each entry whose text from `show` differs.
fn entries<'a, V, S: fmt::Display + PartialEq>(
    (kind, none): (&str, &str),
    left: &'a BTreeMap<String, V>,
    right: &'a BTreeMap<String, V>,
    show: impl Fn(&'a V) -> S,
) -> Vec<String> {
    let mut lines = Vec::new();
    for name in keys(left, right) {
        match (left.get(name).map(&show), right.get(name).map(&show)) {
            (Some(old), Some(new)) if old != new => {
                lines.push(format!("{kind}{name}: {old} -> {new}"));
            }
            (None, Some(new)) => lines.push(format!("{kind}{name}: {none} -> {new}")),
            (Some(_), None) => lines.push(format!("{kind}{name}: dropped, nothing uses it")),
            _ => {}
        }
    }
    lines
}

#[derive(PartialEq)]
struct Short<'a>(&'a Digest);

impl fmt::Display for Short<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "sha256:{}", self.0.short(12))
    }
}

struct External<'a>(&'a LockedImage);

impl PartialEq for External<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.0.digest() == other.0.digest() && self.to_string() == other.to_string()
    }
}

impl fmt::Display for External<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            LockedImage::Registry { digest, .. } => Short(digest).fmt(formatter),
            LockedImage::LocalDaemon { local_id } => {
                write!(formatter, "the local daemon's {}", Short(local_id))
            }
        }
    }
}

#[derive(PartialEq)]
struct Chain<'a>(&'a LockedChain);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LockedChain {
            spark,
            scala,
            java,
            python,
        } = self.0;
        write!(
            formatter,
            "Spark {spark}, Scala {scala}, Java {java}, Python {python}"
        )
    }
}

#[derive(PartialEq)]
struct Numbered<'a>(&'a Revision);

impl fmt::Display for Numbered<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Revision { number, reason } = self.0;
        write!(formatter, "{number} ({reason})")
    }
}

/// The images with the same digest but other platforms than before.
fn new_platforms(
    left: &BTreeMap<String, LockedImage>,
    right: &BTreeMap<String, LockedImage>,
) -> Vec<String> {
    let mut lines = Vec::new();
    for (text, new) in right {
        let (
            Some(LockedImage::Registry {
                digest: old,
                platforms: before,
            }),
            LockedImage::Registry { digest, platforms },
        ) = (left.get(text), new)
        else {
            continue;
        };
        if old == digest && before != platforms {
            let platforms: Vec<String> = platforms.keys().map(ToString::to_string).collect();
            lines.push(format!("{text}: the same, for {}", platforms.join(", ")));
        }
    }
    lines
}

/// One line for each image of which something else is known than before, although it is the same.
fn looked_into(left: &Lock, right: &Lock) -> Vec<String> {
    let all = right.contents.iter().flat_map(|(name, platforms)| {
        let platforms = platforms.iter();
        platforms.map(move |(platform, found)| (name, platform, found))
    });
    let lines = all.filter_map(|(name, platform, new)| {
        let old = left
            .contents
            .get(name)
            .and_then(|platforms| platforms.get(platform));
        let described = new.described();
        match old {
            Some(old) if old == new || old.digest != new.digest => None,
            Some(_) => Some(format!(
                "the image of chain {name}, looked into again: {described}"
            )),
            None => Some(format!("the image of chain {name} has {described}")),
        }
    });
    lines.collect()
}

/// The wheels of one lock.
struct Wheels {
    /// The requirements, Python and glibc that the wheels were chosen for.
    asked: String,
    /// For each package the version, file name and SHA-256 of its wheels.
    packages: BTreeMap<String, BTreeSet<(String, String, Digest)>>,
}

impl Wheels {
    fn of<'a>(asked: String, wheels: impl Iterator<Item = &'a LockedWheel>) -> Self {
        let mut packages: BTreeMap<String, BTreeSet<_>> = BTreeMap::new();
        for LockedWheel { wheel, sha256, .. } in wheels {
            let file = (
                wheel.version.clone(),
                wheel.file_name.clone(),
                sha256.clone(),
            );
            packages.entry(wheel.name.clone()).or_default().insert(file);
        }
        Self { asked, packages }
    }

    fn beside(lock: &requirements::Lock) -> Self {
        let platforms: Vec<String> = lock.wheels.keys().map(ToString::to_string).collect();
        let (python, glibc) = (lock.python, lock.glibc);
        let asked = format!(
            "{} {python:?} {glibc:?} {platforms:?}",
            lock.requirements_digest
        );
        Self::of(asked, lock.wheels.values().flatten())
    }

    fn built_in(platforms: &BTreeMap<Platform, LockedWheels>) -> Self {
        let asked = platforms.iter().map(|(platform, locked)| {
            let LockedWheels {
                requirements,
                python,
                glibc,
                ..
            } = locked;
            format!("{platform} {requirements} {python} {glibc} ")
        });
        let wheels: Vec<LockedWheel> = platforms.values().filter_map(wheels_of).flatten().collect();
        Self::of(asked.collect(), wheels.iter())
    }
}

fn wheels(label: &str, old: Option<&Wheels>, new: Option<&Wheels>) -> Vec<String> {
    let (old, new) = match (old, new) {
        (Some(old), Some(new)) => (old, new),
        (None, Some(new)) => {
            let count = new.packages.len();
            return vec![format!("{label}: not locked before -> {count} packages")];
        }
        (Some(_), None) => return vec![format!("{label}: dropped, nothing uses it")],
        (None, None) => return Vec::new(),
    };
    let versions = |files: &BTreeSet<(String, String, Digest)>| {
        let versions: BTreeSet<&str> = files.iter().map(|(version, ..)| version.as_str()).collect();
        versions.into_iter().collect::<Vec<_>>().join(" and ")
    };
    let mut lines = Vec::new();
    for name in keys(&old.packages, &new.packages) {
        let line = match (old.packages.get(name), new.packages.get(name)) {
            (Some(old), Some(new)) if old == new => continue,
            (Some(old), Some(new)) if versions(old) == versions(new) => {
                format!("{name} {}: other wheels", versions(new))
            }
            (Some(old), Some(new)) => format!("{name} {} -> {}", versions(old), versions(new)),
            (None, Some(new)) => format!("{name} {} added", versions(new)),
            (Some(old), None) => format!("{name} {} removed", versions(old)),
            (None, None) => continue,
        };
        lines.push(format!("{line} ({label})"));
    }
    if lines.is_empty() && old.asked != new.asked {
        lines.push(format!(
            "{label}: the same packages, for requirements, a Python or platforms that changed"
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::lock::LockedSource;

    fn files(packages: &[&str]) -> LockFiles {
        let wheels = packages.iter().map(|stem| {
            let wheel = format!("{stem}-py3-none-any.whl").parse().unwrap();
            LockedWheel::of_file(wheel, Digest::of(stem.as_bytes()))
        });
        let lock = requirements::Lock {
            requirements_digest: Digest::of(b"m"),
            python: (3, 11),
            glibc: (2, 28),
            wheels: [(Platform::default(), wheels.collect())].into(),
            left_out: BTreeSet::new(),
        };
        LockFiles {
            lock: Lock::default(),
            beside: [("jobs/a/requirements.lock".into(), lock)].into(),
            kept_wheels: BTreeMap::new(),
        }
    }

    #[test]
    fn packages_are_told_by_their_versions() {
        let old = files(&["pandas-2.2.1", "six-1.16.0", "attrs-1.0"]);
        let new = files(&["pandas-2.2.2", "numpy-2.0", "attrs-1.0"]);
        assert_eq!(
            lock_changes(&old, &new),
            [
                "numpy 2.0 added (jobs/a/requirements.lock)",
                "pandas 2.2.1 -> 2.2.2 (jobs/a/requirements.lock)",
                "six 1.16.0 removed (jobs/a/requirements.lock)",
            ]
        );
        let mut other = old.clone();
        let lock = other.beside.values_mut().next().unwrap();
        lock.requirements_digest = Digest::of(b"other");
        let lines = lock_changes(&old, &other);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].starts_with("jobs/a/requirements.lock: the same packages"));
        let lock = other.beside.values_mut().next().unwrap();
        lock.wheels.values_mut().next().unwrap()[0].sha256 = Digest::of(b"other");
        let lines = lock_changes(&old, &other);
        assert_eq!(
            lines,
            ["pandas 2.2.1: other wheels (jobs/a/requirements.lock)"]
        );
        let mut none = old.clone();
        none.beside.clear();
        assert_eq!(
            lock_changes(&none, &old),
            ["jobs/a/requirements.lock: not locked before -> 3 packages"]
        );
        assert_eq!(lock_changes(&old, &old), Vec::<String>::new());
    }

    #[test]
    fn every_other_entry_has_its_line() {
        let digest = |text: &str| Digest::of(text.as_bytes());
        let none = LockFiles {
            lock: Lock::default(),
            beside: BTreeMap::new(),
            kept_wheels: BTreeMap::new(),
        };
        let mut old = none.clone();
        let registry = |text: &str| LockedImage::Registry {
            digest: digest(text),
            platforms: BTreeMap::new(),
        };
        let lock = &mut old.lock;
        lock.images.insert("debian:x".to_owned(), registry("a"));
        lock.images.insert("gone:1".to_owned(), registry("a"));
        lock.sources.insert(
            "https://h.example/x".to_owned(),
            LockedSource {
                sha256: digest("a"),
            },
        );
        lock.recipes.insert("base".to_owned(), digest("a"));
        let mut new = old.clone();
        let lock = &mut new.lock;
        lock.images.insert("debian:x".to_owned(), registry("b"));
        lock.images.remove("gone:1");
        lock.images.insert(
            "mine:1".to_owned(),
            LockedImage::LocalDaemon {
                local_id: digest("c"),
            },
        );
        lock.sources.clear();
        lock.recipes.insert("base".to_owned(), digest("b"));
        lock.revisions.insert(
            "base".to_owned(),
            Revision {
                number: 2,
                reason: "openssl".to_owned(),
            },
        );
        let short = |text: &str| format!("sha256:{}", digest(text).short(12));
        let (a, b, c) = (short("a"), short("b"), short("c"));
        assert_eq!(
            lock_changes(&old, &new),
            [
                format!("recipe base: {a} -> {b}"),
                format!("debian:x: {a} -> {b}"),
                "gone:1: dropped, nothing uses it".to_owned(),
                format!("mine:1: not locked before -> the local daemon's {c}"),
                "https://h.example/x: dropped, nothing uses it".to_owned(),
                "revision of base: none -> 2 (openssl)".to_owned(),
            ]
        );
    }
}
