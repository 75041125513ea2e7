//! `uv.lock`: a graph of packages for every platform, walked from the project's own package.

use std::collections::{BTreeMap, BTreeSet};

use toml::de::DeTable;

use super::{
    GitPlace, Requirement,
    file_place::is_commit,
    found::{Foreign, digests},
    graph::reached,
    marker::Marker,
    masked,
    parse::package,
    pieces::{decoded, unpinnable},
    pyproject::{EXTRA, GROUP, PyProject, unknown},
    tree::TomlValue,
};
use crate::project::{place::Defect, wheel::normalise};

/// The version of the format that is read.
const FORMAT: &str = "1";

/// The command that makes the lock again.
const COMMAND: &str = "uv lock";

/// A package, or an extra of it.
type Reached = (usize, Option<String>);

struct UvLock<'a> {
    packages: Vec<TomlValue<'a>>,
    by_name: BTreeMap<&'a str, Vec<usize>>,
    /// The extras and groups that are chosen, as markers of conflicting ones name them.
    decided: BTreeSet<String>,
}

pub(super) fn read(
    foreign: &mut Foreign<'_>,
    table: &DeTable<'_>,
    project: Option<&PyProject<'_>>,
) -> Result<(), Defect> {
    let version = table.get("version");
    let number = version.and_then(|version| version.get_ref().as_integer());
    if number.is_none_or(|number| number.as_str() != FORMAT) {
        let offset = version.map_or(0, |version| version.span().start);
        let message = format!("a lock of uv has `version = {FORMAT}`: this one is newer, or none");
        return Err(foreign
            .malformed(offset, message)
            .hint("write it again with `uv lock`, or install a newer sparkpack"));
    }
    foreign.found.python = foreign.python_range(TomlValue::of(table, "requires-python"));
    let packages = TomlValue::of(table, "package");
    let packages: Vec<TomlValue<'_>> = packages.into_iter().flat_map(|list| list.items()).collect();
    let mut by_name: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, package) in packages.iter().enumerate() {
        let name = package.text_at("name").unwrap_or_default();
        by_name.entry(name).or_default().push(index);
    }
    let mut lock = UvLock {
        packages,
        by_name,
        decided: BTreeSet::new(),
    };
    let own = lock.own();
    if own.is_empty() {
        let hint = "run `uv lock` where the project's pyproject.toml lies";
        return Err(foreign
            .malformed(0, "no package of the lock is the project itself")
            .hint(hint));
    }
    lock.decide(foreign, &own);
    for root in &own {
        lock.compare(foreign, *root, project);
    }
    let roots = lock.roots(foreign, &own);
    foreign.asked = Some(lock.asked(&roots));
    lock.add_reached(foreign, roots);
    Ok(())
}

impl<'a> UvLock<'a> {
    /// The project's own package, or all of a workspace's if its folder has none.
    fn own(&self) -> Vec<usize> {
        let all = 0..self.packages.len();
        let root: Vec<usize> = all
            .clone()
            .filter(|index| local(&self.packages[*index]) == Some("."))
            .collect();
        if root.is_empty() {
            return all
                .filter(|index| local(&self.packages[*index]).is_some())
                .collect();
        }
        root
    }

    /// Notes which extras and groups are chosen, in uv's names for them in markers: `extra-7-project-cpu`.
    fn decide(&mut self, foreign: &Foreign<'_>, own: &[usize]) {
        for index in own {
            let name = self.packages[*index].text_at("name").unwrap_or_default();
            for (kind, chosen) in [
                ("extra", &foreign.chosen.extras),
                ("group", &foreign.chosen.groups),
            ] {
                let names = chosen.iter().map(|chosen| normalise(&chosen.name));
                let in_markers =
                    names.map(|chosen| format!("{kind}-{}-{name}-{chosen}", name.len()));
                self.decided.extend(in_markers);
            }
        }
    }

    /// What is wanted: the project's own packages with the chosen extras and groups.
    fn roots(&self, foreign: &mut Foreign<'_>, own: &[usize]) -> Vec<(Reached, Marker)> {
        let mut roots: Vec<(Reached, Marker)> = Vec::new();
        let keys = |key: &str| {
            let packages = own.iter().map(|index| self.packages[*index]);
            let names = packages.flat_map(move |package| package.entries_at(key));
            names
                .map(|(name, ..)| normalise(name))
                .collect::<Vec<String>>()
        };
        let extras = keys("optional-dependencies");
        let groups = keys("dev-dependencies");
        for index in own {
            roots.push(((*index, None), Marker::Always));
        }
        let chosen = foreign.chosen;
        for extra in &chosen.extras {
            let file = foreign.text.file;
            foreign.defects.extend(unknown(extra, EXTRA, &extras, file));
            let name = normalise(&extra.name);
            roots.extend(
                own.iter()
                    .map(|index| ((*index, Some(name.clone())), Marker::Always)),
            );
        }
        for group in &chosen.groups {
            let file = foreign.text.file;
            foreign.defects.extend(unknown(group, GROUP, &groups, file));
            let packages = own.iter().map(|index| self.packages[*index]);
            let lists = packages.flat_map(|package| package.entries_at("dev-dependencies"));
            let name = normalise(&group.name);
            for (_, _, list) in lists.filter(|(known, ..)| normalise(known) == name) {
                roots.extend(list.items().flat_map(|edge| self.targets(edge)));
            }
        }
        roots
    }

    /// The names of what the project itself asks for. What its other parts in the lock ask for is among that.
    fn asked(&self, roots: &[(Reached, Marker)]) -> BTreeSet<String> {
        let mut open: Vec<Reached> = roots.iter().map(|(node, _)| node.clone()).collect();
        let mut seen = BTreeSet::new();
        let mut asked = BTreeSet::new();
        while let Some(node) = open.pop() {
            let package = &self.packages[node.0];
            if local(package).is_none() {
                asked.extend(package.text_at("name").map(normalise));
            } else if seen.insert(node.clone()) {
                open.extend(self.edges(&node).into_iter().map(|(next, _)| next));
            }
        }
        asked
    }

    /// Where an edge leads: a package, and each extra of it that the edge names.
    fn targets(&self, edge: TomlValue<'a>) -> Vec<(Reached, Marker)> {
        let Some(index) = self.target(edge) else {
            return Vec::new();
        };
        let decide = |left: &str, operator: &str, right: &str| {
            let is_chosen = self.decided.contains(right.trim_matches('"'));
            (left == "extra").then_some(is_chosen == (operator == "=="))
        };
        let marker = edge
            .text_at("marker")
            .map_or(Ok(Marker::Always), |text| Marker::parse(text, &decide));
        // A lock is read as it is, so what is no marker is none.
        let marker = marker.unwrap_or(Marker::Always);
        let extras = edge
            .texts_at("extra")
            .into_iter()
            .map(|extra| Some(normalise(extra)));
        std::iter::once(None)
            .chain(extras)
            .map(|extra| ((index, extra), marker.clone()))
            .collect()
    }

    fn target(&self, edge: TomlValue<'a>) -> Option<usize> {
        let named = self.by_name.get(edge.text_at("name")?)?;
        let is_it = |index: &&usize| {
            let package = &self.packages[**index];
            let same = |key: &str| {
                edge.text_at(key)
                    .is_none_or(|text| package.text_at(key) == Some(text))
            };
            let source = edge.get("source").is_none_or(|wanted| {
                let mut entries = wanted.entries();
                entries.all(|(kind, _, value)| {
                    package.at(&["source", kind]).and_then(|it| it.text()) == value.text()
                })
            });
            same("version") && source
        };
        named.iter().find(is_it).or(named.first()).copied()
    }

    fn edges(&self, (index, extra): &Reached) -> Vec<(Reached, Marker)> {
        let package = self.packages[*index];
        let edges: Vec<TomlValue<'a>> = match extra {
            None => package.items_at("dependencies").collect(),
            Some(extra) => {
                let lists = package.entries_at("optional-dependencies");
                let mut lists = lists.filter(|(name, ..)| normalise(name) == *extra);
                let list = lists.next();
                list.into_iter()
                    .flat_map(|(_, _, list)| list.items())
                    .collect()
            }
        };
        edges
            .into_iter()
            .flat_map(|edge| self.targets(edge))
            .collect()
    }

    /// Adds every package that is reached, once, with the condition under which it is.
    fn add_reached(&self, foreign: &mut Foreign<'_>, roots: Vec<(Reached, Marker)>) {
        let mut markers: BTreeMap<usize, Marker> = BTreeMap::new();
        for ((index, _), marker) in reached(roots, |node| self.edges(node)) {
            let known = markers.remove(&index).unwrap_or(Marker::Never);
            markers.insert(index, known.or(marker));
        }
        for (index, marker) in markers {
            if let Some(marker) = marker.of_line() {
                add(foreign, self.packages[index], marker);
            }
        }
    }

    /// Tells if the lock was made for other dependencies than the project has now.
    fn compare(&self, foreign: &mut Foreign<'_>, own: usize, project: Option<&PyProject<'_>>) {
        let package = self.packages[own];
        let Some(project) = project.filter(|project| {
            let name = package.text_at("name").map(normalise);
            project.name() == name && package.get("metadata").is_some()
        }) else {
            return;
        };
        let defects = &mut foreign.defects;
        let mut asked = project.dependencies(defects);
        let mut locked = requires(package.at(&["metadata", "requires-dist"]), None);
        let chosen = foreign.chosen;
        for extra in &chosen.extras {
            let extra = normalise(&extra.name);
            asked.extend(project.extra(&extra, defects));
            locked.extend(requires(
                package.at(&["metadata", "requires-dist"]),
                Some(&extra),
            ));
        }
        for group in &chosen.groups {
            asked.extend(project.group(&group.name, defects));
            let lists = package.at(&["metadata", "requires-dev"]);
            let lists = lists.into_iter().flat_map(|lists| lists.entries());
            let name = normalise(&group.name);
            for (_, _, list) in lists.filter(|(known, ..)| normalise(known) == name) {
                locked.extend(requires(Some(list), None));
            }
        }
        tell_difference(foreign, &asked, &locked, project);
    }
}

/// The folder of a package that is code of the project.
fn local<'a>(package: &TomlValue<'a>) -> Option<&'a str> {
    let source = package.get("source")?;
    let kinds = ["editable", "virtual", "directory"];
    kinds.into_iter().find_map(|kind| source.text_at(kind))
}

/// Adds a package that is reached.
fn add(foreign: &mut Foreign<'_>, package: TomlValue<'_>, marker: Option<String>) {
    let name = package.text_at("name").unwrap_or_default();
    let offset = package
        .get("name")
        .map_or(package.offset, |name| name.offset);
    let source = package.get("source");
    let kind = source.and_then(|source| source.entries().next());
    match (kind, package.text_at("version")) {
        (Some(("registry", _, url)), Some(version)) => {
            let wheels = package.items_at("wheels");
            let mut hashes = digests(wheels.filter_map(|file| file.text_at("hash")));
            if hashes.is_empty() {
                let source = package.get("sdist").into_iter();
                hashes = digests(source.filter_map(|file| file.text_at("hash")));
            }
            let index = foreign.found.origins.name_of(
                url.text().unwrap_or_default(),
                None,
                foreign.text.place(url.offset),
            );
            foreign.pin((name, version), marker, hashes, index, offset);
        }
        // Code of the project: `src` is what has it.
        (Some(("editable" | "virtual" | "directory", _, path)), _)
            if !path.text().unwrap_or_default().starts_with(['/', '.'])
                || path.text() == Some(".") => {}
        (Some(("path" | "url", _, location)), _) => {
            let wheels = package.items_at("wheels");
            let hashes = digests(wheels.filter_map(|file| file.text_at("hash")));
            let location = location.text().unwrap_or_default();
            foreign.pin_direct((name, location), marker, hashes, offset);
        }
        // The commit is behind the `#`, what led to it in the query.
        (Some(("git", _, place)), _) if git_of_uv(place.text().unwrap_or_default()).is_some() => {
            let place = git_of_uv(place.text().unwrap_or_default());
            if let Some(place) = place {
                foreign.pin_commit(name, place, marker, offset);
            }
        }
        (kind, _) => {
            let place = kind.and_then(|(_, _, value)| value.text()).unwrap_or("?");
            let wrong = unpinnable(&format!("{name} from {}", masked(place)), 0);
            foreign.wrong(wrong, offset);
        }
    }
}

/// The commit in a URL such as `https://git.example/x.git?rev=v1&subdirectory=y#0123…`.
fn git_of_uv(url: &str) -> Option<GitPlace> {
    let (url, commit) = url.split_once('#')?;
    let (repository, query) = url.split_once('?').unwrap_or((url, ""));
    let folder = query
        .split('&')
        .find_map(|part| part.strip_prefix("subdirectory="));
    is_commit(commit).then(|| GitPlace {
        repository: repository.to_owned(),
        revision: Some(commit.to_owned()),
        subdirectory: folder.map(decoded),
    })
}

fn tell_difference(
    foreign: &mut Foreign<'_>,
    asked: &[Requirement],
    locked: &[Locked],
    project: &PyProject<'_>,
) {
    let file = foreign.text.file.display().to_string();
    let new = asked
        .iter()
        .find(|wanted| !locked.iter().any(|known| known.is(wanted)));
    if let Some(wanted) = new {
        let before = locked
            .iter()
            .find(|known| known.requirement.name == wanted.name);
        let known = before.map_or_else(
            || "does not have it".to_owned(),
            |known| format!("was made for `{}`", known.requirement),
        );
        let message = format!("`{wanted}` is required, but {file} {known}");
        return foreign.stale(wanted.place.clone(), message, COMMAND);
    }
    let gone = locked
        .iter()
        .find(|known| !asked.iter().any(|wanted| known.is(wanted)));
    if let Some(known) = gone {
        let offset = known.offset;
        let message = format!(
            "the lock was made for `{}`, which {} no longer requires",
            known.requirement,
            project.text.file.display()
        );
        foreign.stale(foreign.text.place(offset), message, COMMAND);
    }
}

/// A dependency for which the lock was made.
struct Locked {
    requirement: Requirement,
    /// Whether it comes from somewhere that has no versions.
    is_elsewhere: bool,
    offset: usize,
}

impl Locked {
    fn is(&self, wanted: &Requirement) -> bool {
        let own = &self.requirement;
        let same = own.extras == wanted.extras && own.specifiers == wanted.specifiers;
        own.name == wanted.name && (self.is_elsewhere || same)
    }
}

/// The dependencies for which the lock was made: those of an extra, or those of none.
fn requires(list: Option<TomlValue<'_>>, extra: Option<&str>) -> Vec<Locked> {
    let mut found = Vec::new();
    for entry in list.into_iter().flat_map(|list| list.items()) {
        let marker = entry.text_at("marker").unwrap_or_default();
        let of_extra = marker.split("extra == ").nth(1);
        let of_extra = of_extra.map(|rest| rest.split(['\'', '"']).nth(1).unwrap_or_default());
        if of_extra.map(normalise).as_deref() != extra {
            continue;
        }
        let extras = entry.texts_at("extras").join(",");
        let specifier = entry.text_at("specifier").unwrap_or_default();
        let name = entry.text_at("name").unwrap_or_default();
        let Ok(requirement) = package(&format!("{name}[{extras}]{specifier}"), 0) else {
            continue;
        };
        let kinds = ["git", "url", "path", "directory", "editable", "virtual"];
        found.push(Locked {
            requirement,
            is_elsewhere: kinds.iter().any(|kind| entry.get(kind).is_some()),
            offset: entry.offset,
        });
    }
    found
}
