//! `poetry.lock`: since Poetry 2.1 each package says for which groups it is and when; before, the project's own file is
//! needed to walk from.

use std::collections::{BTreeMap, BTreeSet};

use toml::de::DeTable;

use super::{
    GitPlace, Requirement,
    content_hash::Hashed,
    found::{Foreign, digests},
    graph::reached,
    marker::Marker,
    masked,
    pieces::unpinnable,
    poetry,
    pyproject::{EXTRA, GROUP, PyProject, unknown},
    tree::TomlValue,
    versions::meets,
};
use crate::{
    image::Digest,
    project::{place::Defect, wheel::normalise},
};

/// The command that makes the lock again.
const COMMAND: &str = "poetry lock";

/// The group of a project's own dependencies.
const MAIN: &str = "main";

/// A package, or an extra of it.
type Reached = (usize, Option<String>);

struct PoetryLock<'a> {
    packages: Vec<TomlValue<'a>>,
    by_name: BTreeMap<String, Vec<usize>>,
    /// The files of each package, where they do not stand with it.
    files: Option<TomlValue<'a>>,
}

pub(super) fn read(
    foreign: &mut Foreign<'_>,
    table: &DeTable<'_>,
    project: Option<&PyProject<'_>>,
) -> Result<(), Defect> {
    let metadata = TomlValue::of(table, "metadata");
    let version = metadata.and_then(|metadata| metadata.text_at("lock-version"));
    if !version.is_some_and(|version| version.starts_with(['1', '2'])) {
        let message = "a lock of Poetry has `lock-version` 1 or 2 under [metadata]: this one is another, or none";
        let offset = metadata.map_or(0, |metadata| metadata.offset);
        return Err(foreign
            .malformed(offset, message)
            .hint("write it again with `poetry lock`, or install a newer sparkpack"));
    }
    foreign.found.python =
        foreign.python_range(metadata.and_then(|metadata| metadata.get("python-versions")));
    let packages = TomlValue::of(table, "package");
    let packages: Vec<TomlValue<'_>> = packages.into_iter().flat_map(|list| list.items()).collect();
    let mut by_name: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, package) in packages.iter().enumerate() {
        let name = normalise(package.text_at("name").unwrap_or_default());
        by_name.entry(name).or_default().push(index);
    }
    let lock = PoetryLock {
        packages,
        by_name,
        files: metadata.and_then(|metadata| metadata.get("files")),
    };
    let has_groups = lock
        .packages
        .iter()
        .any(|package| package.get("groups").is_some());
    let wanted = project.map(|project| project.chosen(foreign.chosen, &mut foreign.defects));
    if let Some(wanted) = &wanted {
        lock.refuse_missing(foreign, wanted);
        foreign.asked = Some(lock.asked(wanted));
    }
    let walked = wanted.as_ref().map(|wanted| lock.walk(wanted));
    let walked = match (walked, has_groups) {
        (walked, true) => {
            lock.refuse_unknown(foreign, table, project.is_some());
            let found = lock.by_groups(foreign);
            let locked_hash = metadata.and_then(|metadata| metadata.text_at("content-hash"));
            if let (Some(walked), Some(project), []) = (walked, project, &foreign.defects[..])
                && locked_hash.is_some_and(|hash| !hashes(project).iter().any(|own| own == hash))
            {
                lock.refuse_gone(foreign, &found, &walked);
            }
            found
        }
        (Some(walked), false) => walked,
        (None, false) if lock.packages.is_empty() => BTreeMap::new(),
        (None, false) => {
            let message = "this lock does not say which packages a group or an extra needs";
            let hint = "copy the project's pyproject.toml beside it, or write it again with Poetry 2.1 or newer";
            return Err(foreign.malformed(0, message).hint(hint));
        }
    };
    for (index, marker) in walked {
        if let Some(marker) = marker.of_line() {
            lock.add(foreign, lock.packages[index], marker);
        }
    }
    Ok(())
}

/// The hashes that Poetry may have kept of the project's file, in hex: those of versions 1 and 2.
fn hashes(project: &PyProject<'_>) -> Vec<String> {
    const LEGACY: [&str; 4] = ["dependencies", "source", "extras", "dev-dependencies"];
    let of_project = project.at(&["project"]);
    let mut own = BTreeMap::new();
    for key in ["requires-python", "dependencies", "optional-dependencies"] {
        let value = of_project.and_then(|project| project.get(key));
        own.extend(value.map(|value| (key.to_owned(), Hashed::of(Some(value)))));
    }
    let mut found = Vec::new();
    for with_groups in [true, false] {
        let groups = project.at(&["dependency-groups"]).filter(|_| with_groups);
        let is_plain = own.is_empty() && groups.is_none();
        let mut poetry = BTreeMap::new();
        for key in LEGACY.into_iter().chain(["group"]) {
            let value = project.at(&["tool", "poetry", key]);
            if value.is_some() || (is_plain && LEGACY.contains(&key)) {
                poetry.insert(key.to_owned(), Hashed::of(value));
            }
        }
        if is_plain {
            found.push(Hashed::Table(poetry).hash(", ", ": "));
            continue;
        }
        let tool = Hashed::Table([("poetry".to_owned(), Hashed::Table(poetry))].into());
        let mut whole: BTreeMap<String, Hashed<'_>> = [("tool".to_owned(), tool)].into();
        if !own.is_empty() {
            let own = own.keys().map(|key| {
                let value = of_project.and_then(|project| project.get(key));
                (key.clone(), Hashed::of(value))
            });
            whole.insert("project".to_owned(), Hashed::Table(own.collect()));
        }
        if groups.is_some() {
            whole.insert("dependency-groups".to_owned(), Hashed::of(groups));
        }
        found.push(Hashed::Table(whole).hash(", ", ": "));
    }
    found
}

impl<'a> PoetryLock<'a> {
    /// Tells of what the project requires and the lock does not have.
    fn refuse_missing(&self, foreign: &mut Foreign<'_>, wanted: &[Requirement]) {
        let file = foreign.text.file.display().to_string();
        for requirement in wanted {
            let named = self.by_name.get(&requirement.name).into_iter().flatten();
            let versions: Vec<&str> = named
                .filter_map(|index| self.packages[*index].text_at("version"))
                .collect();
            if versions
                .iter()
                .any(|version| meets(version, &requirement.specifiers))
            {
                continue;
            }
            let known = match versions.as_slice() {
                [] => "does not have it".to_owned(),
                known => format!("has version {}", known.join(" and ")),
            };
            let message = format!("`{requirement}` is required, but {file} {known}");
            foreign.stale(requirement.place.clone(), message, COMMAND);
        }
    }

    /// Tells of extras and groups that the lock does not name. Those of a project's file are told there.
    fn refuse_unknown(&self, foreign: &mut Foreign<'_>, table: &DeTable<'_>, is_told: bool) {
        if is_told {
            return;
        }
        let extras = TomlValue::of(table, "extras").into_iter();
        let extras: Vec<String> = extras
            .flat_map(|table| table.entries())
            .map(|(name, ..)| normalise(name))
            .collect();
        let groups = self
            .packages
            .iter()
            .flat_map(|package| package.texts_at("groups"));
        let groups: Vec<String> = groups.filter(|name| *name != MAIN).map(normalise).collect();
        let (chosen, file) = (foreign.chosen, foreign.text.file);
        let unknown_extras = chosen
            .extras
            .iter()
            .filter_map(|extra| unknown(extra, EXTRA, &extras, file));
        let unknown_groups = chosen
            .groups
            .iter()
            .filter_map(|group| unknown(group, GROUP, &groups, file));
        foreign.defects.extend(unknown_extras.chain(unknown_groups));
    }

    /// The packages of the chosen groups, as each says that it belongs to them.
    fn by_groups(&self, foreign: &Foreign<'_>) -> BTreeMap<usize, Marker> {
        let names = |chosen: &[super::Choice]| -> Vec<String> {
            chosen
                .iter()
                .map(|chosen| normalise(&chosen.name))
                .collect()
        };
        let extras = names(&foreign.chosen.extras);
        let mut groups = names(&foreign.chosen.groups);
        groups.push(MAIN.to_owned());
        let decide = |left: &str, operator: &str, right: &str| {
            let is_chosen = extras.contains(&normalise(right.trim_matches('"')));
            (left == "extra").then_some(is_chosen == (operator == "=="))
        };
        let read = |text: Option<&str>| {
            let marker = text.map_or(Ok(Marker::Always), |text| Marker::parse(text, &decide));
            marker.unwrap_or(Marker::Always)
        };
        let mut found = BTreeMap::new();
        for (index, package) in self.packages.iter().enumerate() {
            let mut marker = Marker::Never;
            for group in package.texts_at("groups") {
                if groups.contains(&normalise(group)) {
                    let markers = package.get("markers");
                    let of_group = markers.and_then(|it| it.text().or_else(|| it.text_at(group)));
                    marker = marker.or(read(of_group));
                }
            }
            if marker != Marker::Never {
                found.insert(index, marker);
            }
        }
        found
    }

    /// The packages that the project's requirements lead to.
    fn walk(&self, wanted: &[Requirement]) -> BTreeMap<usize, Marker> {
        let roots = wanted
            .iter()
            .flat_map(|wanted| self.targets(wanted))
            .collect();
        let mut found: BTreeMap<usize, Marker> = BTreeMap::new();
        for ((index, _), marker) in reached(roots, |node| self.edges(node)) {
            let known = found.remove(&index).unwrap_or(Marker::Never);
            found.insert(index, known.or(marker));
        }
        found
    }

    /// The names of what the project itself asks for. What its other parts in the lock ask for is among that.
    fn asked(&self, wanted: &[Requirement]) -> BTreeSet<String> {
        let targets = |wanted: &Requirement| self.targets(wanted).into_iter();
        let mut open: Vec<Reached> = wanted
            .iter()
            .flat_map(targets)
            .map(|(node, _)| node)
            .collect();
        let mut seen = BTreeSet::new();
        let mut asked = BTreeSet::new();
        while let Some(node) = open.pop() {
            let package = &self.packages[node.0];
            let kind = package.at(&["source", "type"]).and_then(|kind| kind.text());
            if kind != Some("directory") {
                asked.extend(package.text_at("name").map(normalise));
            } else if seen.insert(node.clone()) {
                open.extend(self.edges(&node).into_iter().map(|(next, _)| next));
            }
        }
        asked
    }

    fn targets(&self, wanted: &Requirement) -> Vec<(Reached, Marker)> {
        let named = self.by_name.get(&wanted.name).into_iter().flatten();
        let mut fits = named.filter(|index| {
            let version = self.packages[**index].text_at("version");
            version.is_some_and(|version| meets(version, &wanted.specifiers))
        });
        let marker = wanted.marker.as_deref().map_or(Ok(Marker::Always), |text| {
            // What an extra asks for is told by the extra.
            Marker::parse(text, &|left, _, _| (left == "extra").then_some(true))
        });
        let marker = marker.unwrap_or(Marker::Always);
        let Some(index) = fits.next_back() else {
            return Vec::new();
        };
        let extras = wanted.extras.iter().cloned().map(Some);
        std::iter::once(None)
            .chain(extras)
            .map(|extra| ((*index, extra), marker.clone()))
            .collect()
    }

    fn edges(&self, (index, extra): &Reached) -> Vec<(Reached, Marker)> {
        let package = self.packages[*index];
        let of_extra = extra.as_ref().map(|extra| {
            let mut lists = package.entries_at("extras");
            let list = lists.find(|(name, ..)| normalise(name) == *extra);
            let texts =
                list.map(|(_, _, list)| list.items().filter_map(|item| item.text()).collect());
            poetry::names(&texts.unwrap_or_else(Vec::new))
        });
        let mut edges = Vec::new();
        for (name, _, value) in package.entries_at("dependencies") {
            let is_wanted = match &of_extra {
                None => !value
                    .items()
                    .chain([value])
                    .any(|one| poetry::is_optional(&one)),
                Some(names) => names.contains(&normalise(name)),
            };
            for dependency in poetry::dependencies(name, value).into_iter().flatten() {
                if is_wanted {
                    edges.extend(self.targets(&dependency));
                }
            }
        }
        edges
    }

    /// Tells of what is locked for a chosen group, although nothing leads to it any more.
    fn refuse_gone(
        &self,
        foreign: &mut Foreign<'_>,
        locked: &BTreeMap<usize, Marker>,
        walked: &BTreeMap<usize, Marker>,
    ) {
        let Some(index) = locked.keys().find(|index| !walked.contains_key(index)) else {
            return;
        };
        let package = self.packages[*index];
        let name = package.text_at("name").unwrap_or_default();
        let place = foreign.text.place(offset(&package));
        let message = format!("`{name}` is locked, but pyproject.toml no longer leads to it");
        foreign.stale(place, message, COMMAND);
    }

    /// The digests of a package's wheels, or else of its other files.
    fn hashes(&self, package: TomlValue<'a>, name: &str) -> Vec<Digest> {
        let of_old = self.files.and_then(|files| files.get(name));
        let files = package.items_at("files");
        let files = files.chain(of_old.into_iter().flat_map(|list| list.items()));
        let (mut wheels, mut others) = (Vec::new(), Vec::new());
        for file in files {
            let is_wheel = file
                .text_at("file")
                .is_some_and(|name| name.rsplit('.').next() == Some("whl"));
            let list = if is_wheel { &mut wheels } else { &mut others };
            list.extend(file.text_at("hash"));
        }
        let hashes = if wheels.is_empty() { others } else { wheels };
        digests(hashes.into_iter())
    }

    fn add(&self, foreign: &mut Foreign<'_>, package: TomlValue<'a>, marker: Option<String>) {
        let name = package.text_at("name").unwrap_or_default();
        let version = package.text_at("version").unwrap_or_default();
        let source = package.get("source");
        let kind = source.and_then(|source| source.text_at("type"));
        let hashes = self.hashes(package, name);
        match kind {
            None | Some("legacy") => {
                let index = source.and_then(|source| {
                    let url = source.get("url")?;
                    let place = foreign.text.place(url.offset);
                    let name = source.text_at("reference");
                    foreign.found.origins.name_of(url.text()?, name, place)
                });
                foreign.pin((name, version), marker, hashes, index, offset(&package));
            }
            Some("url" | "file") => {
                let location = source.and_then(|source| source.text_at("url"));
                let location = location.unwrap_or_default();
                foreign.pin_direct((name, location), marker, hashes, offset(&package));
            }
            Some("git") => {
                let text = |key: &str| source.and_then(|source| source.text_at(key));
                let place = GitPlace {
                    repository: text("url").unwrap_or_default().to_owned(),
                    revision: text("resolved_reference").map(str::to_owned),
                    subdirectory: text("subdirectory").map(str::to_owned),
                };
                foreign.pin_commit(name, place, marker, offset(&package));
            }
            Some(kind) => {
                let url = source
                    .and_then(|source| source.text_at("url"))
                    .unwrap_or_default();
                let is_inside = kind == "directory" && !url.starts_with(['/', '.']);
                if !is_inside {
                    let shown = format!("{name} from {kind} {}", masked(url));
                    foreign.wrong(unpinnable(&shown, 0), offset(&package));
                }
            }
        }
    }
}

fn offset(package: &TomlValue<'_>) -> usize {
    package
        .get("name")
        .map_or(package.offset, |name| name.offset)
}
