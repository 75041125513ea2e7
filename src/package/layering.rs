//! Which installed packages share a layer, so that a changed package moves little else.

use std::{cmp::Reverse, collections::BTreeMap};

use crate::project::{
    tree::{Content, Entry},
    wheel::normalise,
};

/// The bytes from which on a package has a layer of its own: a constant of the format, because another one makes other
/// layers of the same files. What is smaller costs more as a request of its own than in a shared layer.
pub const LARGE: u64 = 1 << 20;

/// How many packages have a layer of their own at most: a constant of the format, like [`LARGE`]. An image has at most
/// 127 layers, and a parent may have forty.
pub const BUDGET: usize = 24;

/// Packages that share a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageGroup {
    /// The name of the only package; `None` for those that share a layer.
    pub name: Option<String>,
    /// Their files, sorted by path.
    pub entries: Vec<Entry>,
}

/// The layers of installed packages, the shared one first. A package is what lies below one folder, with the folders
/// that belong to it by their names: `numpy`, `numpy.libs` and `numpy-1.26.4.dist-info`.
#[must_use]
pub fn by_package(entries: Vec<Entry>) -> Vec<PackageGroup> {
    let mut packages: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
    for entry in entries {
        packages
            .entry(package_of(&entry.path))
            .or_default()
            .push(entry);
    }
    let mut sizes: Vec<(u64, &String)> = packages
        .iter()
        .map(|(name, entries)| (entries.iter().map(size).sum(), name))
        .filter(|(size, _)| *size >= LARGE)
        .collect();
    sizes.sort_by_key(|(size, name)| (Reverse(*size), *name));
    let large: Vec<String> = sizes
        .into_iter()
        .take(BUDGET)
        .map(|(_, name)| name.clone())
        .collect();
    let mut own: Vec<PackageGroup> = large
        .into_iter()
        .filter_map(|name| {
            let entries = packages.remove(&name)?;
            Some(PackageGroup {
                name: Some(name),
                entries,
            })
        })
        .collect();
    own.sort_by(|left, right| left.name.cmp(&right.name));
    let shared: Vec<Entry> = packages.into_values().flatten().collect();
    let shared = (!shared.is_empty()).then_some(PackageGroup {
        name: None,
        entries: shared,
    });
    let mut groups: Vec<PackageGroup> = shared.into_iter().chain(own).collect();
    for group in &mut groups {
        group
            .entries
            .sort_by(|left, right| left.path.cmp(&right.path));
    }
    groups
}

/// The package that a path belongs to, by its first folder.
fn package_of(path: &str) -> String {
    let first = path.split('/').next().unwrap_or(path);
    let name = first.strip_suffix(".libs").unwrap_or(first);
    let distribution = name
        .strip_suffix(".dist-info")
        .or_else(|| name.strip_suffix(".data"));
    match distribution.and_then(|name| name.rsplit_once('-')) {
        Some((name, _)) => normalise(name),
        None => normalise(name.strip_suffix(".py").unwrap_or(name)),
    }
}

fn size(entry: &Entry) -> u64 {
    match &entry.content {
        Content::File { size, .. } => *size,
        Content::Symlink { .. } => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, size: usize) -> Entry {
        Entry::in_memory(path, vec![b'x'; size], false)
    }

    /// The names of the groups, with the paths of each.
    fn shown(entries: &[Entry]) -> Vec<(String, Vec<String>)> {
        by_package(entries.to_vec())
            .into_iter()
            .map(|group| {
                let paths = group.entries.into_iter().map(|entry| entry.path);
                (group.name.unwrap_or_default(), paths.collect())
            })
            .collect()
    }

    const MIB: usize = 1 << 20;

    fn installed() -> Vec<Entry> {
        vec![
            entry("numpy/core.so", MIB),
            entry("numpy.libs/blas.so", 10),
            entry("numpy-1.26.4.dist-info/METADATA", 10),
            entry("six.py", 10),
            entry("six-1.17.0.dist-info/METADATA", 10),
            entry("pandas/a.so", 2 * MIB),
            entry("yaml/__init__.py", MIB - 1),
        ]
    }

    #[test]
    fn large_packages_have_layers_of_their_own() {
        let expected = [
            (
                "",
                vec![
                    "six-1.17.0.dist-info/METADATA",
                    "six.py",
                    "yaml/__init__.py",
                ],
            ),
            (
                "numpy",
                vec![
                    "numpy-1.26.4.dist-info/METADATA",
                    "numpy.libs/blas.so",
                    "numpy/core.so",
                ],
            ),
            ("pandas", vec!["pandas/a.so"]),
        ];
        let expected = expected.map(|(name, paths)| {
            let paths = paths.into_iter().map(str::to_owned).collect::<Vec<_>>();
            (name.to_owned(), paths)
        });
        assert_eq!(shown(&installed()), expected);
        let mut reversed = installed();
        reversed.reverse();
        assert_eq!(shown(&reversed), expected, "the order does not matter");
        assert!(shown(&[]).is_empty());
    }

    #[test]
    fn one_more_package_moves_one_layer() {
        let before = shown(&installed());
        for (path, size, moved) in [
            ("pytz/a.py", 10, ""),
            ("scipy/a.so", MIB, "scipy"),
            ("numpy/new.py", 1, "numpy"),
        ] {
            let mut more = installed();
            more.push(entry(path, size));
            let after = shown(&more);
            let changed: Vec<&str> = after
                .iter()
                .filter(|group| !before.contains(group))
                .map(|(name, _)| name.as_str())
                .collect();
            assert_eq!(changed, [moved], "{path}");
        }
    }

    #[test]
    fn beyond_the_budget_the_smallest_share_a_layer() {
        let all: Vec<Entry> = (0..BUDGET + 3)
            .map(|number| entry(&format!("p{number:02}/a.so"), MIB + number))
            .collect();
        let groups = shown(&all);
        assert_eq!(groups.len(), BUDGET + 1);
        assert_eq!(groups[0].1, ["p00/a.so", "p01/a.so", "p02/a.so"]);
    }
}
