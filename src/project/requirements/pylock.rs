//! `pylock.toml` (PEP 751): a list of packages, each with the condition under which it is wanted.

use toml::de::DeTable;

use super::{
    GitPlace,
    found::{Foreign, digests},
    marker::Marker,
    masked,
    pieces::{Wrong, unpinnable},
    pyproject::{EXTRA, GROUP, unknown},
    tree::TomlValue,
};
use crate::project::{place::Defect, wheel::normalise};

pub(super) fn read(foreign: &mut Foreign<'_>, table: &DeTable<'_>) -> Result<(), Defect> {
    let version = TomlValue::of(table, "lock-version");
    if !version.is_some_and(|version| version.text().is_some_and(|it| it.starts_with("1."))) {
        let message = "a pylock.toml has `lock-version = \"1.0\"`: this one has another, or none";
        let offset = version.map_or(0, |version| version.offset);
        return Err(foreign
            .malformed(offset, message)
            .hint("write it again with the tool that made it, or install a newer sparkpack"));
    }
    foreign.found.python = foreign.python_range(TomlValue::of(table, "requires-python"));
    let wanted = Selection::of(foreign, table);
    let packages = TomlValue::of(table, "packages");
    for package in packages.into_iter().flat_map(|list| list.items()) {
        let marker = package.get("marker");
        let read = marker.and_then(|marker| marker.text());
        match read.map_or(Ok(Marker::Always), |text| {
            Marker::parse(text, &|left, operator, right| {
                wanted.decide(left, operator, right)
            })
        }) {
            Ok(marker) => {
                if let Some(marker) = marker.of_line() {
                    add(foreign, package, marker);
                }
            }
            Err(wrong) => {
                let offset = marker.map_or(package.offset, |marker| marker.offset);
                foreign.wrong(wrong, offset);
            }
        }
    }
    Ok(())
}

/// The extras and groups that are wanted, normalised.
struct Selection {
    extras: Vec<String>,
    groups: Vec<String>,
}

impl Selection {
    /// Those that are chosen, with the groups that the file itself chooses. Unknown ones are told.
    fn of(foreign: &mut Foreign<'_>, table: &DeTable<'_>) -> Self {
        let names = |key: &str| -> Vec<String> {
            let list = TomlValue::of(table, key).into_iter();
            let names = list.flat_map(|list| list.items());
            let names = names.filter_map(|name| name.text());
            names.map(normalise).collect()
        };
        let (chosen, file) = (foreign.chosen, foreign.text.file);
        let (extras, mut groups) = (names("extras"), names("dependency-groups"));
        groups.extend(names("default-groups"));
        let mut told = Vec::new();
        for (choices, what, known) in [
            (&chosen.extras, EXTRA, &extras),
            (&chosen.groups, GROUP, &groups),
        ] {
            let defects = choices
                .iter()
                .filter_map(|it| unknown(it, what, known, file));
            told.extend(defects);
        }
        foreign.defects.extend(told);
        let normal = |choices: &[super::Choice]| -> Vec<String> {
            choices
                .iter()
                .map(|choice| normalise(&choice.name))
                .collect()
        };
        let mut groups = normal(&chosen.groups);
        groups.extend(names("default-groups"));
        Self {
            extras: normal(&chosen.extras),
            groups,
        }
    }

    /// Whether `'web' in extras`, whatever the image.
    fn decide(&self, left: &str, operator: &str, right: &str) -> Option<bool> {
        let wanted = match right {
            "extras" => &self.extras,
            "dependency_groups" => &self.groups,
            _ => return None,
        };
        let is_wanted = wanted.contains(&normalise(left.trim_matches('"')));
        Some(is_wanted == (operator == "in"))
    }
}

fn add(foreign: &mut Foreign<'_>, package: TomlValue<'_>, marker: Option<String>) {
    let name = package.text_at("name").unwrap_or_default();
    let offset = package
        .get("name")
        .map_or(package.offset, |name| name.offset);
    for kind in ["vcs", "archive", "directory"] {
        let Some(place) = package.get(kind) else {
            continue;
        };
        let shown = place.text_at("url").or_else(|| place.text_at("path"));
        let shown = shown.unwrap_or_default();
        if kind == "archive" {
            let hex = place.at(&["hashes", "sha256"]).and_then(|hex| hex.text());
            let hash = hex.map(|hex| format!("sha256:{hex}"));
            let hashes = digests(hash.as_deref().into_iter());
            foreign.pin_direct((name, shown), marker, hashes, offset);
            return;
        }
        if let ("vcs", Some("git")) = (kind, place.text_at("type")) {
            let place = GitPlace {
                repository: shown.to_owned(),
                revision: place.text_at("commit-id").map(str::to_owned),
                subdirectory: place.text_at("subdirectory").map(str::to_owned),
            };
            foreign.pin_commit(name, place, marker, offset);
            return;
        }
        // Code of the project: `src` is what has it.
        if kind != "directory" || shown.starts_with(['/', '~']) || shown.starts_with("..") {
            let shown = format!("{name} from {}", masked(shown));
            foreign.wrong(unpinnable(&shown, 0), offset);
        }
        return;
    }
    let Some(version) = package.text_at("version") else {
        let message = format!("`{name}` has no version");
        let wrong = Wrong::new(crate::code::Code::E162, 0, message);
        foreign.wrong(
            wrong.hint("write the lock again with the tool that made it"),
            offset,
        );
        return;
    };
    let sha256 = |file: TomlValue<'_>| {
        let hex = file.at(&["hashes", "sha256"])?.text()?;
        Some(format!("sha256:{hex}"))
    };
    let mut hashes: Vec<String> = package.items_at("wheels").filter_map(sha256).collect();
    if hashes.is_empty() {
        hashes.extend(package.get("sdist").and_then(sha256));
    }
    let hashes = digests(hashes.iter().map(String::as_str));
    let index = package.get("index").and_then(|url| {
        let place = foreign.text.place(url.offset);
        foreign.found.origins.name_of(url.text()?, None, place)
    });
    foreign.pin((name, version), marker, hashes, index, offset);
}
