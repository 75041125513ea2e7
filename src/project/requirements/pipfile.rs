//! `Pipfile.lock`: the packages of each category, chosen for one Python.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json};
use toml::de::DeTable;

use super::{
    GitPlace, PackageIndex, Requirement,
    content_hash::Hashed,
    found::{Foreign, digests},
    marker::Marker,
    masked,
    origins::is_public,
    parse::package,
    pieces::{refuse_credentials, unpinnable},
    poetry::constraint,
    pyproject::{EXTRA, GROUP, unknown},
    tree::{FileText, TomlValue},
    versions::meets,
};
use crate::project::{place::Defect, wheel::normalise};

/// The name of the file that the lock is made from.
pub(super) const FILE_NAME: &str = "Pipfile";

/// The command that makes the lock again.
const COMMAND: &str = "pipenv lock";

/// The categories that are always there: their names in the lock and in the Pipfile.
const DEFAULT: (&str, &str) = ("default", "packages");
const DEVELOP: (&str, &str) = ("develop", "dev-packages");

/// The parts of a Pipfile that are no categories.
const NO_CATEGORIES: [&str; 7] = [
    "source",
    "packages",
    "dev-packages",
    "requires",
    "scripts",
    "pipfile",
    "pipenv",
];

type Pipfile<'a> = (FileText<'a>, &'a DeTable<'a>);

pub(super) fn read(foreign: &mut Foreign<'_>, pipfile: Option<Pipfile<'_>>) -> Result<(), Defect> {
    let read: Result<Json, _> = serde_json::from_str(foreign.text.text);
    let document = read.map_err(|error| {
        let line = error.line().max(1);
        let mut defect = foreign.malformed(0, format!("the file is no JSON: {error}"));
        defect.place.line = line;
        defect.place.column = error.column().max(1);
        defect.hint("take the committed file back, or write it again with `pipenv lock`")
    })?;
    let Some(default) = document.get(DEFAULT.0).and_then(Json::as_object) else {
        return Err(foreign
            .malformed(0, "a lock of pipenv has an object `default`")
            .hint("write it again with `pipenv lock`"));
    };
    foreign.found.python = python(foreign, &document);
    add_sources(foreign, &document);
    let known: Vec<String> = document
        .as_object()
        .into_iter()
        .flat_map(Map::keys)
        .filter(|key| !["_meta", DEFAULT.0].contains(&key.as_str()))
        .map(|key| normalise(key))
        .collect();
    let is_fresh = is_fresh(&document, pipfile);
    foreign.asked = pipfile.map(|_| BTreeSet::new());
    let file = foreign.text.file;
    let chosen = foreign.chosen;
    for extra in &chosen.extras {
        let defect = unknown(extra, EXTRA, &[], file);
        foreign.defects.extend(defect);
    }
    note_asked(foreign, DEFAULT.1, pipfile);
    add_category(foreign, DEFAULT, default, pipfile.filter(|_| !is_fresh));
    for group in &chosen.groups {
        let name = match group.name.as_str() {
            "dev" | "dev-packages" => DEVELOP.0,
            name => name,
        };
        let mut categories = document.as_object().into_iter().flatten();
        let found =
            categories.find(|(key, _)| *key != "_meta" && normalise(key) == normalise(name));
        match found.and_then(|(name, packages)| Some((name.as_str(), packages.as_object()?))) {
            Some((name, packages)) => {
                let in_file = if name == DEVELOP.0 { DEVELOP.1 } else { name };
                note_asked(foreign, in_file, pipfile);
                add_category(
                    foreign,
                    (name, in_file),
                    packages,
                    pipfile.filter(|_| !is_fresh),
                );
            }
            None => foreign.defects.extend(unknown(group, GROUP, &known, file)),
        }
    }
    Ok(())
}

/// Notes what a category of the Pipfile asks for.
fn note_asked(foreign: &mut Foreign<'_>, category: &str, pipfile: Option<Pipfile<'_>>) {
    if let (Some(asked), Some((_, table))) = (&mut foreign.asked, pipfile) {
        let entries = TomlValue::of(table, category);
        let entries = entries.into_iter().flat_map(|category| category.entries());
        asked.extend(entries.map(|(name, ..)| normalise(name)));
    }
}

/// Adds the indexes: the first one is for packages that name none.
fn add_sources(foreign: &mut Foreign<'_>, document: &Json) {
    let sources = document.pointer("/_meta/sources").and_then(Json::as_array);
    for (number, source) in sources.into_iter().flatten().enumerate() {
        let text = |key: &str| source.get(key).and_then(Json::as_str);
        let url = text("url").unwrap_or_default();
        let found = foreign.text.text.find(&format!("\"{url}\""));
        let offset = found.map_or(0, |found| found + 1);
        if let Err(wrong) = refuse_credentials(url, 0) {
            foreign.wrong(wrong, offset);
            continue;
        }
        let index = PackageIndex {
            name: text("name").map_or_else(|| format!("index-{number}"), str::to_owned),
            url: url.to_owned(),
            is_explicit: number > 0,
            place: foreign.text.place(offset),
        };
        let origins = &mut foreign.found.origins;
        match (number, is_public(url)) {
            (0, true) => {}
            (0, false) => origins.main = Some(index),
            _ => origins.others.push(index),
        }
    }
}

/// The Python that the packages were chosen for.
fn python(foreign: &Foreign<'_>, document: &Json) -> Option<super::PythonRange> {
    let requires = document.get("_meta")?.get("requires")?;
    let version = requires
        .get("python_full_version")
        .or_else(|| requires.get("python_version"));
    let version = version?.as_str()?;
    let offset = foreign.text.text.find("\"python_").unwrap_or(0);
    let minor: Vec<&str> = version.split('.').take(2).collect();
    Some(super::PythonRange {
        text: version.to_owned(),
        alternatives: constraint(&format!("{}.*", minor.join(".")))?,
        place: foreign.text.place(offset),
    })
}

/// Whether the lock has the hash of the Pipfile.
fn is_fresh(document: &Json, pipfile: Option<Pipfile<'_>>) -> bool {
    let Some((_, table)) = pipfile else {
        return true;
    };
    let empty = || Hashed::Table(std::collections::BTreeMap::new());
    let part =
        |key: &str| TomlValue::of(table, key).map_or_else(empty, |node| Hashed::of(Some(node)));
    let meta = [
        (
            "sources".to_owned(),
            Hashed::of(TomlValue::of(table, "source")),
        ),
        ("requires".to_owned(), part("requires")),
    ];
    let mut whole: std::collections::BTreeMap<String, Hashed<'_>> = [
        ("_meta".to_owned(), Hashed::Table(meta.into())),
        (DEFAULT.0.to_owned(), part(DEFAULT.1)),
        (DEVELOP.0.to_owned(), part(DEVELOP.1)),
    ]
    .into();
    for (key, _) in table {
        let key = key.get_ref().as_ref();
        if !NO_CATEGORIES.contains(&key) && ![DEFAULT.0, DEVELOP.0].contains(&key) {
            whole.insert(key.to_owned(), part(key));
        }
    }
    let hash = document
        .pointer("/_meta/hash/sha256")
        .and_then(Json::as_str);
    hash == Some(Hashed::Table(whole).hash(",", ":").as_str())
}

/// Adds the packages of a category. With a Pipfile, also what it asks for and the lock lacks is told.
fn add_category(
    foreign: &mut Foreign<'_>,
    (name, in_file): (&str, &str),
    packages: &Map<String, Json>,
    pipfile: Option<Pipfile<'_>>,
) {
    if let Some((text, table)) = pipfile {
        let asked = TomlValue::of(table, in_file);
        compare(foreign, (text, asked), packages);
    }
    let start = foreign.text.text.find(&format!("\"{name}\"")).unwrap_or(0);
    for (package, value) in packages {
        let key = format!("\"{package}\"");
        let found = foreign.text.text[start..].find(&key);
        let offset = found.map_or(start, |found| start + found + 1);
        add(foreign, package, value, offset);
    }
}

fn add(foreign: &mut Foreign<'_>, name: &str, value: &Json, offset: usize) {
    let text = |key: &str| value.get(key).and_then(Json::as_str);
    if let (Some(url), Some(commit)) = (text("git"), text("ref")) {
        let place = GitPlace {
            repository: url.to_owned(),
            revision: Some(commit.to_owned()),
            subdirectory: text("subdirectory").map(str::to_owned),
        };
        return foreign.pin_commit(name, place, None, offset);
    }
    let from = ["git", "hg", "svn", "bzr", "path", "file", "ref", "url"];
    if let Some(place) = from.into_iter().find_map(text) {
        let wrong = unpinnable(&format!("{name} from {}", masked(place)), 0);
        return foreign.wrong(wrong, offset);
    }
    let hashes = value.get("hashes").and_then(Json::as_array);
    let hashes = digests(hashes.into_iter().flatten().filter_map(Json::as_str));
    let marker = text("markers").map_or(Ok(Marker::Always), |text| {
        Marker::parse(text, &|_, _, _| None)
    });
    let marker = match marker.map(|marker| marker.of_line()) {
        Ok(Some(marker)) => marker,
        Ok(None) => return,
        Err(wrong) => return foreign.wrong(wrong, offset),
    };
    match text("version").map(|version| version.trim_start_matches('=')) {
        Some(version) if version != "*" => {
            let index = text("index").and_then(|index| foreign.found.origins.named(index));
            let index = index.map(|index| index.name.clone());
            foreign.pin((name, version), marker, hashes, index, offset);
        }
        // It is not for the Python that the lock was made with, so that no version was chosen.
        _ => match package(name, 0) {
            Ok(requirement) => {
                let place = foreign.text.place(offset);
                foreign.found.wanted.push(Requirement {
                    marker,
                    place,
                    ..requirement
                });
            }
            Err(wrong) => foreign.wrong(wrong, offset),
        },
    }
}

/// Tells if a category of the lock was made for other packages than the Pipfile has now.
fn compare(
    foreign: &mut Foreign<'_>,
    (text, asked): (FileText<'_>, Option<TomlValue<'_>>),
    packages: &Map<String, Json>,
) {
    let file = foreign.text.file.display().to_string();
    let find = |name: &str| {
        packages
            .iter()
            .find(|(known, _)| normalise(known) == normalise(name))
    };
    let mut names = Vec::new();
    for (name, offset, value) in asked.into_iter().flat_map(|table| table.entries()) {
        names.push(normalise(name));
        let specifier = value
            .text()
            .or_else(|| value.text_at("version"))
            .unwrap_or("*");
        let specifier = if specifier == "*" { "" } else { specifier };
        let conditions: Vec<&str> = specifier.split(',').map(str::trim).collect();
        let locked = find(name).map(|(_, locked)| locked.get("version").and_then(Json::as_str));
        let known = match locked {
            None => "does not have it".to_owned(),
            Some(Some(version)) if version != "*" => {
                let version = version.trim_start_matches('=');
                if meets(version, &conditions) {
                    continue;
                }
                format!("has version {version}")
            }
            Some(_) => continue,
        };
        let message = format!("`{name}{specifier}` is required, but {file} {known}");
        foreign.stale(text.place(offset), message, COMMAND);
    }
    // Only what was asked for by name has an index.
    let mut direct = packages
        .iter()
        .filter(|(_, value)| value.get("index").is_some());
    if let Some((name, _)) = direct.find(|(name, _)| !names.contains(&normalise(name))) {
        let found = foreign.text.text.find(&format!("\"{name}\""));
        let offset = found.map_or(0, |found| found + 1);
        let message = format!("`{name}` is locked, but {FILE_NAME} no longer requires it");
        foreign.stale(foreign.text.place(offset), message, COMMAND);
    }
}
