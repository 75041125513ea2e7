use std::collections::{BTreeMap, BTreeSet};

use super::{
    runtime::two_numbers,
    scan::name_of,
    tree::{Resolved, Tree, folder_of},
};

/// The Python of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PythonFacts {
    /// The program that Spark starts, at the end of all links.
    pub program: String,
    /// Its major and minor version, if something tells it.
    pub version: Option<(u8, u8)>,
    /// The folders with its packages, the first that it searches first.
    pub site_packages: Vec<String>,
}

/// An installed package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    /// Its name, as it is written.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Whether somebody asked for it, as the installer has noted.
    pub is_requested: bool,
    /// The names of the packages that it needs, without those of extras.
    pub requires: BTreeSet<String>,
}

/// A virtual environment.
struct Environment {
    prefix: String,
    version: Option<(u8, u8)>,
    /// The folder of the Python that it was made with.
    home: Option<String>,
    /// Whether it has the packages of that Python too.
    inherits: bool,
}

impl PythonFacts {
    /// The Python that Spark starts.
    ///
    /// # Errors
    /// There is none: what was looked for.
    pub(super) fn of(
        tree: &Tree,
        variables: &BTreeMap<String, String>,
        search: &str,
        user: u64,
    ) -> Result<Self, String> {
        let named = variables
            .get("PYSPARK_PYTHON")
            .filter(|name| !name.is_empty());
        let command = named.map_or("python3", String::as_str);
        let program = tree.program(command, search).ok_or_else(|| match named {
            Some(named) => format!("`PYSPARK_PYTHON` names `{named}`, which is not there"),
            None => format!("`python3` is in no folder of its `PATH` ({search})"),
        })?;
        if let Some(folder) = tree.locked(&program.path, user).filter(|_| user != 0) {
            return Err(format!(
                "`/{}` is its `{command}`, and its user may not enter `{folder}`",
                program.path
            ));
        }
        let environment = program
            .way
            .iter()
            .find_map(|path| Environment::of(tree, path));
        if let Some(home) = environment.as_ref().and_then(|found| found.home.as_ref())
            && !tree.is_folder(home)
        {
            return Err(format!(
                "`{command}` is of a virtual environment whose Python was in `{home}`, which is not there"
            ));
        }
        let version = version_of(tree, &program, environment.as_ref());
        let own = folder_of(folder_of(&program.path)).to_owned();
        let prefixes = match &environment {
            Some(found) if found.inherits => vec![found.prefix.clone(), own],
            Some(found) => vec![found.prefix.clone()],
            None => vec![own],
        };
        let folders = prefixes
            .iter()
            .filter_map(|prefix| version.map(|version| site_packages(tree, prefix, version)))
            .flatten();
        let mut site_packages: Vec<String> = Vec::new();
        for folder in folders {
            if !site_packages.contains(&folder) {
                site_packages.push(folder);
            }
        }
        Ok(Self {
            program: format!("/{}", program.path),
            version,
            site_packages,
        })
    }
}

impl Environment {
    /// The environment of a program, if it is of one.
    fn of(tree: &Tree, program: &str) -> Option<Self> {
        let prefix = folder_of(folder_of(program)).to_owned();
        let text = tree.text(&format!("{prefix}/pyvenv.cfg"))?;
        let value = |key: &str| {
            let mut pairs = text.lines().filter_map(|line| line.split_once('='));
            let (_, value) = pairs.find(|(name, _)| name.trim() == key)?;
            Some(value.trim().to_owned())
        };
        let version = value("version").or_else(|| value("version_info"));
        Some(Self {
            version: version.as_deref().and_then(two_numbers),
            home: value("home"),
            inherits: value("include-system-site-packages").as_deref() == Some("true"),
            prefix,
        })
    }
}

/// The version of a program: by its name, the environment that it is of, conda's notes, or the folder of its library.
fn version_of(
    tree: &Tree,
    program: &Resolved,
    environment: Option<&Environment>,
) -> Option<(u8, u8)> {
    let by_name = |path: &str| two_numbers(name_of(path).strip_prefix("python")?);
    let prefix = folder_of(folder_of(&program.path));
    let of_names = |folder: &str, begin: &str| {
        let names = tree.names_in(&format!("{prefix}/{folder}"));
        let found = names.iter();
        let found = found.filter_map(|name| two_numbers(name.strip_prefix(begin)?));
        let found: BTreeSet<(u8, u8)> = found.collect();
        // Several tell nothing.
        found.first().copied().filter(|_| found.len() == 1)
    };
    by_name(&program.path)
        .or_else(|| environment.and_then(|found| found.version))
        .or_else(|| of_names("conda-meta", "python-"))
        .or_else(|| of_names("lib", "python"))
}

/// The folders with the packages of a Python that was installed below `prefix`.
fn site_packages(tree: &Tree, prefix: &str, (major, minor): (u8, u8)) -> Vec<String> {
    let python = format!("python{major}.{minor}");
    let existing = |folders: Vec<String>| {
        let there = folders.into_iter().filter(|folder| tree.is_folder(folder));
        there.collect::<Vec<_>>()
    };
    if prefix == "usr" {
        let of_debian = existing(vec![
            format!("/usr/local/lib/{python}/dist-packages"),
            "/usr/lib/python3/dist-packages".to_owned(),
            format!("/usr/lib/{python}/dist-packages"),
        ]);
        if !of_debian.is_empty() {
            return of_debian;
        }
    }
    let own = format!("/{prefix}");
    let prefixes = if prefix == "usr" {
        vec!["/usr/local", "/usr"]
    } else {
        vec![own.as_str()]
    };
    let folders = prefixes.iter().flat_map(|prefix| {
        ["lib64", "lib"].map(|lib| format!("{prefix}/{lib}/{python}/site-packages"))
    });
    existing(folders.collect())
}

/// The packages in the folders of a Python. Of two with the same name, the first is found.
pub(super) fn distributions(tree: &Tree, folders: &[String]) -> Vec<Distribution> {
    let mut found: Vec<Distribution> = Vec::new();
    let mut seen = BTreeSet::new();
    for folder in folders {
        for name in tree.names_in(folder) {
            let read = read(tree, folder, &name);
            found.extend(read.filter(|read| seen.insert(normalise(&read.name))));
        }
    }
    found
}

/// The package that is described by `name` in a folder, if that describes one.
fn read(tree: &Tree, folder: &str, name: &str) -> Option<Distribution> {
    let described = format!("{folder}/{name}");
    let (stem, text) = if let Some(stem) = name.strip_suffix(".dist-info") {
        (stem, tree.text(&format!("{described}/METADATA")))
    } else {
        let stem = name.strip_suffix(".egg-info")?;
        let text = tree.text(&format!("{described}/PKG-INFO"));
        (stem, text.or_else(|| tree.text(&described)))
    };
    // Its name tells the most important.
    let text = text.unwrap_or_default();
    let values = |key: &str| {
        let key = format!("{}:", key.to_lowercase());
        let lines = text.lines().filter_map(move |line| {
            let has_key = line.get(..key.len())?.to_lowercase() == key;
            has_key.then(|| line[key.len()..].trim().to_owned())
        });
        lines.collect::<Vec<String>>()
    };
    let first = |key: &str| values(key).into_iter().next();
    let mut by_stem = stem.split('-');
    let (by_name, by_version) = (by_stem.next(), by_stem.next());
    let is_of_extra = |text: &str| {
        let marker = text.split_once(';').map_or("", |(_, marker)| marker);
        marker.contains("extra")
    };
    let requires = values("Requires-Dist").into_iter();
    let requires = requires.filter(|text| !is_of_extra(text)).map(|text| {
        let is_name =
            |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
        let end = text
            .find(|character| !is_name(character))
            .unwrap_or(text.len());
        text[..end].to_owned()
    });
    Some(Distribution {
        name: first("Name").or_else(|| by_name.map(str::to_owned))?,
        version: first("Version").or_else(|| by_version.map(str::to_owned))?,
        is_requested: tree.file(&format!("{described}/REQUESTED")).is_some(),
        requires: requires.filter(|name| !name.is_empty()).collect(),
    })
}

/// The normalised name of a package: lower case, runs of `-`, `_` and `.` as one `-`.
#[must_use]
pub fn normalise(name: &str) -> String {
    let mut normal = String::with_capacity(name.len());
    for character in name.chars() {
        match character {
            '-' | '_' | '.' if normal.ends_with('-') => {}
            '-' | '_' | '.' => normal.push('-'),
            other => normal.push(other.to_ascii_lowercase()),
        }
    }
    normal
}
