use std::collections::BTreeMap;

use super::{
    scan::name_of,
    tree::{Tree, folder_of},
};

/// The Java of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JavaFacts {
    /// Its folder.
    pub home: String,
    /// Its major version: `17`; `None` if nothing tells it.
    pub version: Option<String>,
}

/// The C library of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Libc {
    /// The GNU C library, with its version if something tells it.
    Glibc(Option<(u8, u8)>),
    /// musl, for which there are other wheels.
    Musl,
    /// None that is known.
    Unknown,
}

/// The usual folders of shared libraries.
const LIBRARIES: [&str; 4] = ["lib", "lib64", "usr/lib", "usr/lib64"];

impl JavaFacts {
    /// The Java that Spark's scripts start; `None` if there is none.
    pub(super) fn of(
        tree: &Tree,
        variables: &BTreeMap<String, String>,
        search: &str,
    ) -> Option<Self> {
        let named = variables
            .get("JAVA_HOME")
            .map(|home| home.trim_end_matches('/'));
        let named = named.filter(|home| tree.file(&format!("{home}/bin/java")).is_some());
        let home = if let Some(home) = named {
            home.to_owned()
        } else {
            let program = tree.program("java", search)?;
            format!("/{}", folder_of(folder_of(&program.path)))
        };
        let told = |folder: &str| {
            let text = tree.text(&format!("{folder}/release"))?;
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix("JAVA_VERSION="))?;
            major(line.trim().trim_matches('"'))
        };
        let variable = || major(variables.get("JAVA_VERSION")?);
        let real = tree.resolve(&home).map(|resolved| resolved.path);
        let by_name = || real.as_deref().and_then(|path| major(name_of(path)));
        // A JRE of Java 8 lies in the folder of its JDK, which has the file.
        let version = told(&home)
            .or_else(|| told(folder_of(&home)))
            .or_else(variable)
            .or_else(by_name);
        Some(Self { home, version })
    }
}

/// The major version in `17.0.12`, `jdk-17.0.12+7`, `1.8.0_392`, `java-17-openjdk-amd64`.
fn major(text: &str) -> Option<String> {
    let start = text.find(|character: char| character.is_ascii_digit())?;
    let numbers: Vec<&str> = text[start..]
        .split(|character: char| !character.is_ascii_digit())
        .collect();
    match numbers.as_slice() {
        ["1", minor, ..] if !minor.is_empty() => Some((*minor).to_owned()),
        [major, ..] => Some((*major).to_owned()),
        [] => None,
    }
}

impl Libc {
    /// The C library that `program` uses, of whose file `begins` is the beginning.
    pub(super) fn of(tree: &Tree, begins: Option<&[u8]>) -> Self {
        const MUSL: &[u8] = b"/ld-musl-";
        let names_musl =
            begins.is_some_and(|bytes| bytes.windows(MUSL.len()).any(|part| part == MUSL));
        let names: Vec<(String, String)> = LIBRARIES
            .iter()
            .flat_map(|folder| all_below(tree, folder))
            .collect();
        let has = |begin: &str| names.iter().any(|(_, name)| name.starts_with(begin));
        if names_musl || has("ld-musl-") && !has("ld-linux") {
            return Self::Musl;
        }
        let version = names.iter().find_map(|(folder, name)| {
            let old = name
                .strip_prefix("libc-")
                .and_then(|rest| rest.strip_suffix(".so"));
            let is_library = name == "libc.so.6" || old.is_some();
            let text = is_library.then(|| tree.text(&format!("{folder}/{name}")))?;
            text.as_deref()
                .and_then(two_numbers)
                .or_else(|| two_numbers(old?))
        });
        let version = version.or_else(|| two_numbers(&tree.text("var/lib/dpkg/status")?));
        match version {
            None if !has("ld-linux") && !has("libc.so.6") && !has("ld64.so") => Self::Unknown,
            version => Self::Glibc(version),
        }
    }
}

/// The names in a folder of libraries and in the folders for one machine in it.
fn all_below(tree: &Tree, folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for name in tree.names_in(folder) {
        if name.ends_with("-linux-gnu") || name.ends_with("-linux-gnueabihf") {
            let below = format!("{folder}/{name}");
            let names = tree.names_in(&below).into_iter();
            found.extend(names.map(|name| (below.clone(), name)));
        }
        found.push((folder.to_owned(), name));
    }
    found
}

/// The first two numbers of `2.31-13+deb11u11`.
pub(super) fn two_numbers(text: &str) -> Option<(u8, u8)> {
    let mut numbers = text.split(|character: char| !character.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}
