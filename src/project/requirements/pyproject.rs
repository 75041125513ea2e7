//! `pyproject.toml`: what a project says that it depends on, by `[project]`, by `[dependency-groups]`, or in Poetry's
//! own tables.

use std::collections::BTreeSet;

use toml::de::DeTable;

use super::{
    Choice, PackageOrigins, PythonRange, Requirement, RequirementsFile, direct,
    parse::package,
    pieces::Wrong,
    poetry::{self, constraint},
    project_indexes::{UvSource, known, of_tools, of_uv},
    tree::{FileText, TomlValue},
};
use crate::{
    code::Code,
    project::{
        place::{Defect, nearest},
        wheel::normalise,
    },
};

/// The name of the file.
pub(super) const FILE_NAME: &str = "pyproject.toml";

/// A `pyproject.toml`.
pub(super) struct PyProject<'a> {
    pub(super) text: FileText<'a>,
    table: &'a DeTable<'a>,
    /// The indexes that the file names.
    pub(super) origins: PackageOrigins,
}

/// What an extra or a group is called in messages: one, and several.
pub(super) const EXTRA: (&str, &str) = ("extra", "extras");
pub(super) const GROUP: (&str, &str) = ("group", "groups");

impl<'a> PyProject<'a> {
    pub(super) fn new(
        text: FileText<'a>,
        table: &'a DeTable<'a>,
        defects: &mut Vec<Defect>,
    ) -> Self {
        let mut project = Self {
            text,
            table,
            origins: PackageOrigins::default(),
        };
        let (origins, wrong) = of_tools(TomlValue::of(table, "tool"), &project.text);
        project.origins = origins;
        for (wrong, offset) in wrong {
            project.wrong(wrong, offset, defects);
        }
        project
    }

    /// The value at a path of keys.
    pub(super) fn at(&self, path: &[&str]) -> Option<TomlValue<'a>> {
        let (first, rest) = path.split_first()?;
        TomlValue::of(self.table, first)?.at(rest)
    }

    fn project(&self) -> Option<TomlValue<'a>> {
        TomlValue::of(self.table, "project")
    }

    fn tool(&self, path: &[&str]) -> Option<TomlValue<'a>> {
        TomlValue::of(self.table, "tool")?.at(path)
    }

    /// Poetry's table, where the project's dependencies are in it.
    fn poetry(&self) -> Option<TomlValue<'a>> {
        let of_project = self
            .project()
            .and_then(|project| project.get("dependencies"));
        of_project.map_or_else(|| self.tool(&["poetry"]), |_| None)
    }

    /// The project's name, normalised.
    pub(super) fn name(&self) -> Option<String> {
        let named = self.project().and_then(|project| project.text_at("name"));
        let named = named.or_else(|| self.tool(&["poetry"])?.text_at("name"));
        named.map(normalise)
    }

    /// The Pythons that the project is for.
    pub(super) fn python(&self) -> Option<PythonRange> {
        let of_project = self
            .project()
            .and_then(|project| project.get("requires-python"));
        let of_poetry = || self.tool(&["poetry", "dependencies", "python"]);
        let node = of_project.or_else(of_poetry)?;
        let alternatives = constraint(node.text()?)?;
        Some(PythonRange {
            text: node.text()?.to_owned(),
            alternatives,
            place: self.text.place(node.offset),
        })
    }

    /// What is required: the project's dependencies, with those of the chosen extras and groups.
    pub(super) fn chosen(
        &self,
        chosen: &RequirementsFile,
        defects: &mut Vec<Defect>,
    ) -> Vec<Requirement> {
        if let Some(defect) = self.undeclared(chosen) {
            defects.push(defect);
            return Vec::new();
        }
        let mut wanted = self.dependencies(defects);
        let mut open: Vec<String> = Vec::new();
        for extra in &chosen.extras {
            open.push(normalise(&extra.name));
            defects.extend(unknown(extra, EXTRA, &self.extra_names(), self.text.file));
        }
        for group in &chosen.groups {
            defects.extend(unknown(group, GROUP, &self.group_names(), self.text.file));
            wanted.extend(self.group(&group.name, defects));
        }
        // An extra, or a group, may name the project itself with other extras.
        let own = self.name();
        let mut seen: BTreeSet<String> = BTreeSet::new();
        let mut all = Vec::new();
        loop {
            for requirement in std::mem::take(&mut wanted) {
                if Some(&requirement.name) == own.as_ref() {
                    open.extend(requirement.extras);
                } else {
                    all.push(requirement);
                }
            }
            let Some(extra) = open.pop() else {
                return all;
            };
            if seen.insert(extra.clone()) {
                wanted = self.extra(&extra, defects);
            }
        }
    }

    /// The normalised names of all packages that the file asks for: always, by an extra or by a group.
    pub(super) fn named_anywhere(&self, defects: &mut Vec<Defect>) -> BTreeSet<String> {
        let mut named = self.dependencies(defects);
        for extra in self.extra_names() {
            named.extend(self.extra(&extra, defects));
        }
        for group in self.group_names() {
            named.extend(self.group(&group, defects));
        }
        named.into_iter().map(|wanted| wanted.name).collect()
    }

    /// Why nothing can be read of this file.
    fn undeclared(&self, chosen: &RequirementsFile) -> Option<Defect> {
        let Some(project) = self.project() else {
            let is_known = self.tool(&["poetry", "dependencies"]).is_some()
                || (TomlValue::of(self.table, "dependency-groups").is_some()
                    && !chosen.groups.is_empty());
            let message =
                "it has neither `[project]` with `dependencies` nor `[tool.poetry.dependencies]`";
            let defect = Defect::new(Code::E164, self.text.place(0), message);
            return (!is_known).then(|| defect.hint("name the file that has the requirements"));
        };
        let mut dynamic = project.items_at("dynamic");
        let dynamic = dynamic.find(|item| item.text() == Some("dependencies"))?;
        if self.tool(&["poetry", "dependencies"]).is_some() {
            return None;
        }
        let message = "the dependencies are `dynamic`: only the project's build would tell them";
        let defect = Defect::new(Code::E164, self.text.place(dynamic.offset), message);
        let read = self.tool(&["setuptools", "dynamic", "dependencies", "file"]);
        let file = read.and_then(|file| file.text().or_else(|| file.items().next()?.text()));
        Some(match file {
            Some(file) => defect.hint(format!(
                "they are read from a file: `requirements = \"{file}\"`"
            )),
            None => defect.hint("write them into `[project]`, or name a file that has them"),
        })
    }

    /// The project's dependencies.
    pub(super) fn dependencies(&self, defects: &mut Vec<Defect>) -> Vec<Requirement> {
        match self.poetry().and_then(|poetry| poetry.get("dependencies")) {
            Some(table) => self.of_poetry(table, defects, &|_, value| !poetry::is_optional(value)),
            None => self.of_list(
                self.project().and_then(|it| it.get("dependencies")),
                defects,
            ),
        }
    }

    fn extra_names(&self) -> Vec<String> {
        let of_project = self
            .project()
            .and_then(|it| it.get("optional-dependencies"));
        let of_poetry = self.poetry().and_then(|poetry| poetry.get("extras"));
        let tables = of_project.into_iter().chain(of_poetry);
        tables
            .flat_map(|table| table.entries())
            .map(|(name, ..)| normalise(name))
            .collect()
    }

    /// The dependencies of an extra.
    pub(super) fn extra(&self, name: &str, defects: &mut Vec<Defect>) -> Vec<Requirement> {
        if let Some(poetry) = self.poetry()
            && let Some(list) = entry(poetry.get("extras"), name)
        {
            let texts: Vec<&str> = list.items().filter_map(|item| item.text()).collect();
            let names = poetry::names(&texts);
            let is_named = |name: &str, _: &TomlValue<'_>| names.contains(&normalise(name));
            let table = poetry.get("dependencies").into_iter();
            return table
                .flat_map(|table| self.of_poetry(table, defects, &is_named))
                .collect();
        }
        let table = self
            .project()
            .and_then(|it| it.get("optional-dependencies"));
        self.of_list(entry(table, name), defects)
    }

    /// The tables of groups in Poetry's notation, with their names.
    fn poetry_groups(&self) -> Vec<(String, TomlValue<'a>)> {
        let groups = self.tool(&["poetry", "group"]).into_iter();
        let mut found: Vec<(String, TomlValue<'a>)> = groups
            .flat_map(|groups| groups.entries())
            .map(|(name, _, table)| (normalise(name), table))
            .collect();
        // As Poetry wrote it before it had groups.
        let dev = self
            .tool(&["poetry"])
            .filter(|poetry| poetry.get("dev-dependencies").is_some());
        found.extend(dev.map(|poetry| ("dev".to_owned(), poetry)));
        found
    }

    fn group_names(&self) -> Vec<String> {
        let groups = TomlValue::of(self.table, "dependency-groups").into_iter();
        let mut names: Vec<String> = groups
            .flat_map(|table| table.entries())
            .map(|(name, ..)| normalise(name))
            .collect();
        names.extend(self.poetry_groups().into_iter().map(|(name, _)| name));
        if self.tool(&["uv", "dev-dependencies"]).is_some() {
            names.push("dev".to_owned());
        }
        names.sort();
        names.dedup();
        names
    }

    /// The dependencies of a group, with those of the groups that it includes.
    pub(super) fn group(&self, name: &str, defects: &mut Vec<Defect>) -> Vec<Requirement> {
        let mut wanted = Vec::new();
        self.add_group(&normalise(name), &mut Vec::new(), &mut wanted, defects);
        wanted
    }

    fn add_group(
        &self,
        name: &str,
        open: &mut Vec<String>,
        wanted: &mut Vec<Requirement>,
        defects: &mut Vec<Defect>,
    ) {
        open.push(name.to_owned());
        let mut included = Vec::new();
        for item in entry(TomlValue::of(self.table, "dependency-groups"), name)
            .into_iter()
            .flat_map(|list| list.items())
        {
            match item.get("include-group") {
                Some(group) => included.push(group),
                None => wanted.extend(self.one(item, defects)),
            }
        }
        if name == "dev" {
            let list = self.tool(&["uv", "dev-dependencies"]);
            wanted.extend(self.of_list(list, defects));
        }
        for (_, table) in self
            .poetry_groups()
            .iter()
            .filter(|(known, _)| known == name)
        {
            let key =
                if table.get("dependencies").is_some() && table.get("dev-dependencies").is_none() {
                    "dependencies"
                } else {
                    "dev-dependencies"
                };
            if let Some(list) = table.get(key) {
                wanted.extend(self.of_poetry(list, defects, &|_, _| true));
            }
            included.extend(table.items_at("include-groups"));
        }
        for node in included {
            self.include(node, open, wanted, defects);
        }
        open.pop();
    }

    fn include(
        &self,
        node: TomlValue<'a>,
        open: &mut Vec<String>,
        wanted: &mut Vec<Requirement>,
        defects: &mut Vec<Defect>,
    ) {
        let place = self.text.place(node.offset);
        let name = normalise(node.text().unwrap_or_default());
        if let Some(first) = open.iter().position(|known| *known == name) {
            let message = format!(
                "groups include each other: {} → {name}",
                open[first..].join(" → ")
            );
            defects.push(Defect::new(Code::E045, place, message).hint("remove one of these lines"));
        } else if self.group_names().contains(&name) {
            self.add_group(&name, open, wanted, defects);
        } else {
            let chosen = Choice { name, place };
            defects.extend(unknown(&chosen, GROUP, &self.group_names(), self.text.file));
        }
    }

    fn of_list(&self, list: Option<TomlValue<'a>>, defects: &mut Vec<Defect>) -> Vec<Requirement> {
        let items = list.into_iter().flat_map(|list| list.items());
        items.filter_map(|item| self.one(item, defects)).collect()
    }

    /// One dependency in the common notation.
    fn one(&self, item: TomlValue<'a>, defects: &mut Vec<Defect>) -> Option<Requirement> {
        // Behind the quote.
        let place = self.text.place(item.offset + 1);
        let Some(text) = item.text() else {
            let message = "a dependency is a text, such as `\"six>=1.16\"`";
            let defect = Defect::new(Code::E047, self.text.place(item.offset), message);
            defects.push(defect.hint("put it into quotes"));
            return None;
        };
        match package(text, 0) {
            Ok(requirement) => {
                let from = self.from(requirement, defects);
                Some(Requirement { place, ..from })
            }
            Err(wrong) => {
                self.wrong(wrong, item.offset + 1, defects);
                None
            }
        }
    }

    /// The dependencies in a table of Poetry's notation that are `wanted`.
    fn of_poetry(
        &self,
        table: TomlValue<'a>,
        defects: &mut Vec<Defect>,
        is_wanted: &dyn Fn(&str, &TomlValue<'_>) -> bool,
    ) -> Vec<Requirement> {
        let mut wanted = Vec::new();
        let entries = table.entries().filter(|(name, ..)| *name != "python");
        for (name, offset, value) in entries.filter(|(name, _, value)| is_wanted(name, value)) {
            match poetry::dependencies(name, value) {
                Ok(found) => {
                    let index = self.source(&value, defects);
                    for dependency in found {
                        let place = self.text.place(offset);
                        wanted.push(Requirement {
                            index: index.clone(),
                            place,
                            ..dependency
                        });
                    }
                }
                Err(wrong) => self.wrong(wrong, offset, defects),
            }
        }
        wanted
    }

    /// The requirement with where it has to come from: by uv's sources, or by Poetry's table beside `[project]`.
    fn from(&self, requirement: Requirement, defects: &mut Vec<Defect>) -> Requirement {
        let name = requirement.name.clone();
        let index = match of_uv(self.tool(&["uv", "sources"]), &name, &self.origins) {
            Ok(UvSource::Index(index)) => Some(index),
            Ok(UvSource::Usual) => {
                let table = entry(self.tool(&["poetry", "dependencies"]), &name);
                table.and_then(|table| self.source(&table, defects))
            }
            Ok(UvSource::Place(place)) => match direct::parse(&format!("{name} @ {place}"), 0) {
                Ok(found) => {
                    return Requirement {
                        extras: requirement.extras,
                        marker: requirement.marker,
                        ..found
                    };
                }
                Err(wrong) => {
                    let node = self.tool(&["uv", "sources"]);
                    let offset = node.map_or(0, |node| node.offset);
                    self.wrong(Wrong { offset: 0, ..wrong }, offset, defects);
                    None
                }
            },
            Err((wrong, offset)) => {
                self.wrong(wrong, offset, defects);
                None
            }
        };
        Requirement {
            index,
            ..requirement
        }
    }

    /// The name of the index that Poetry's table of a dependency names.
    fn source(&self, table: &TomlValue<'a>, defects: &mut Vec<Defect>) -> Option<String> {
        let node = table
            .items()
            .chain([*table])
            .find_map(|one| one.get("source"))?;
        match known(node.text()?, &self.origins) {
            Ok(name) => Some(name),
            // The public index needs no table.
            Err(_)
                if node
                    .text()
                    .is_some_and(|name| name.eq_ignore_ascii_case("pypi")) =>
            {
                None
            }
            Err(wrong) => {
                self.wrong(wrong, node.offset + 1, defects);
                None
            }
        }
    }

    pub(super) fn wrong(&self, wrong: Wrong, offset: usize, defects: &mut Vec<Defect>) {
        let place = self.text.place(offset + wrong.offset);
        let defect = Defect::new(wrong.code, place, wrong.message);
        defects.push(Defect {
            hint: wrong.hint,
            ..defect
        });
    }
}

/// The value of a key that is normalised as names of packages are.
fn entry<'a>(table: Option<TomlValue<'a>>, name: &str) -> Option<TomlValue<'a>> {
    let mut entries = table?.entries();
    let found = entries.find(|(key, ..)| normalise(key) == *name);
    found.map(|(_, _, value)| value)
}

/// The defect of an extra or a group that is not in a file.
pub(super) fn unknown(
    chosen: &Choice,
    (what, list): (&str, &str),
    known: &[String],
    file: &std::path::Path,
) -> Option<Defect> {
    let name = normalise(&chosen.name);
    if known.contains(&name) {
        return None;
    }
    let message = format!("{} has no {what} `{}`", file.display(), chosen.name);
    let defect = Defect::new(Code::E163, chosen.place.clone(), message);
    let near = nearest(&name, known.iter().map(String::as_str));
    Some(match (near, known) {
        (Some(near), _) => defect.hint(format!("did you mean `{near}`?")),
        (None, []) => defect.hint(format!("it has no {list} at all: take it out")),
        (None, known) => defect.hint(format!("its {list} are `{}`", known.join("`, `"))),
    })
}
