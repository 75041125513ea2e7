//! The modules of Python's standard library, by version.

use std::{collections::HashMap, ops::RangeInclusive, sync::LazyLock};

const TABLE: &str = include_str!("standard_library.txt");

/// The minor versions of Python 3 in the table.
pub const KNOWN: RangeInclusive<u8> = 8..=14;

/// The packages whose modules are not in the table.
const NOT_LISTED: [&str; 8] = [
    "distutils.command",
    "encodings",
    "ensurepip",
    "idlelib",
    "lib2to3",
    "pydoc_data",
    "test",
    "turtledemo",
];

/// How the names of modules begin that only Python's own tests need. They differ from build to build.
const OF_ITS_TESTS: [&str; 4] = ["_test", "_ctypes_test", "_xxtest", "xxlimited"];

/// The versions that have each module.
static MODULES: LazyLock<HashMap<&str, RangeInclusive<u8>>> = LazyLock::new(|| {
    let lines = TABLE.lines().filter(|line| !line.starts_with('#'));
    lines.flat_map(str::split_whitespace).map(entry).collect()
});

fn entry(word: &str) -> (&str, RangeInclusive<u8>) {
    let number = |text: &str, otherwise| text.parse().unwrap_or(otherwise);
    let (rest, last) = word
        .split_once('-')
        .map_or((word, *KNOWN.end()), |(rest, last)| {
            (rest, number(last, *KNOWN.end()))
        });
    let (name, first) = rest
        .split_once('+')
        .map_or((rest, *KNOWN.start()), |(name, first)| {
            (name, number(first, *KNOWN.start()))
        });
    (name, first..=last)
}

/// What the standard library of a Python has under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InLibrary {
    /// The module.
    Here,
    /// The module that it would be in, but not the module itself.
    Lacking,
    /// Nothing, but other versions have it: the first and the last one.
    Elsewhere(u8, u8),
    /// Nothing.
    Unknown,
}

/// What the standard library of this Python has under the dotted name of a module. Versions that are not known have what
/// the nearest known one has.
#[must_use]
pub fn find(module: &str, python: (u8, u8)) -> InLibrary {
    let minor = python.1.clamp(*KNOWN.start(), *KNOWN.end());
    let has = |name: &str| MODULES.get(name).is_some_and(|of| of.contains(&minor));
    if has(module) {
        return InLibrary::Here;
    }
    let top = module.split('.').next().unwrap_or(module);
    if OF_ITS_TESTS.iter().any(|begin| top.starts_with(begin)) {
        return InLibrary::Here;
    }
    if !has(top) {
        return match MODULES.get(module).or_else(|| MODULES.get(top)) {
            Some(of) => InLibrary::Elsewhere(*of.start(), *of.end()),
            None => InLibrary::Unknown,
        };
    }
    let is_listed = NOT_LISTED.iter().all(|package| {
        module
            .strip_prefix(package)
            .is_none_or(|rest| !rest.starts_with('.'))
    });
    let is_private = module.split('.').skip(1).any(|name| name.starts_with('_'));
    match MODULES.get(module) {
        Some(of) => InLibrary::Elsewhere(*of.start(), *of.end()),
        None if is_listed && !is_private && python.1 <= *KNOWN.end() => InLibrary::Lacking,
        None => InLibrary::Here,
    }
}

/// The names of the modules that no other module holds, for this Python.
pub fn top_level(python: (u8, u8)) -> impl Iterator<Item = &'static str> {
    let minor = python.1.clamp(*KNOWN.start(), *KNOWN.end());
    let modules = MODULES.iter();
    modules
        .filter_map(move |(name, of)| (of.contains(&minor) && !name.contains('.')).then_some(*name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_come_and_go() {
        use InLibrary::{Elsewhere, Here, Lacking, Unknown};
        for (module, minor, wanted) in [
            ("os", 8, Here),
            ("os.path", 14, Here),
            ("os.pathx", 11, Lacking),
            ("json.decoder", 11, Here),
            ("json.decode", 11, Lacking),
            ("collections.abc", 12, Here),
            ("tomllib", 10, Elsewhere(11, 14)),
            ("tomllib", 11, Here),
            ("distutils.core", 11, Here),
            ("distutils.command.build_py", 11, Here),
            ("distutils.core", 12, Elsewhere(8, 11)),
            ("distutils", 12, Elsewhere(8, 11)),
            ("asyncio.taskgroups", 10, Elsewhere(11, 14)),
            ("telnetlib", 13, Elsewhere(8, 12)),
            ("compression.zstd", 13, Elsewhere(14, 14)),
            ("compression.zstd", 14, Here),
            ("graphlib", 8, Elsewhere(9, 14)),
            ("graphlib", 7, Elsewhere(9, 14)),
            ("json", 6, Here),
            ("encodings.utf_8", 11, Here),
            ("importlib._bootstrap", 11, Here),
            ("winreg", 9, Here),
            ("numpy", 11, Unknown),
            ("osx", 11, Unknown),
            ("sys.x", 15, Here),
            ("_testbuffer", 11, Here),
            ("test_buffer", 11, Unknown),
        ] {
            assert_eq!(find(module, (3, minor)), wanted, "{module} in 3.{minor}");
        }
        assert!(top_level((3, 11)).any(|name| name == "distutils"));
        assert!(!top_level((3, 12)).any(|name| name == "distutils"));
    }

    #[test]
    fn every_word_of_the_table_is_a_module() {
        let words: Vec<&str> = TABLE
            .lines()
            .filter(|line| !line.starts_with('#'))
            .flat_map(str::split_whitespace)
            .collect();
        assert_eq!(MODULES.len(), words.len(), "a word stands twice");
        for (name, of) in MODULES.iter() {
            let is_name = |one: char| one.is_ascii_alphanumeric() || "._".contains(one);
            assert!(name.chars().all(is_name), "{name}");
            assert!(
                KNOWN.contains(of.start()) && KNOWN.contains(of.end()) && !of.is_empty(),
                "{name}"
            );
        }
    }
}
