//! What `pyproject.toml` calls the project, and the console scripts that it has.

use toml::Table;

use super::tree::{ProjectTree, is_aside, name_of};
use crate::project::place::Place;

/// What is read of a project's `pyproject.toml`.
#[derive(Debug, Default)]
pub(super) struct Metadata {
    /// The name at the top of the project.
    pub(super) name: Option<(Place, String)>,
    /// Console scripts, `package.module:function`, of all that it has.
    pub(super) scripts: Vec<(Place, String)>,
    /// Those that are no TOML.
    pub(super) broken: Vec<String>,
}

impl Metadata {
    pub(super) fn of(tree: &ProjectTree) -> Self {
        let mut found = Self::default();
        let is_wanted = |path: &&str| name_of(path) == "pyproject.toml" && !is_aside(path);
        for path in tree.files().filter(is_wanted) {
            let Some(text) = tree.text(path) else {
                continue;
            };
            let Ok(table) = text.parse::<Table>() else {
                found.broken.push(path.to_owned());
                continue;
            };
            let line_of = |word: &str| {
                let line = text.lines().position(|line| line.contains(word));
                Place::of_line(path, line.map_or(1, |index| index + 1))
            };
            let poetry = table.get("tool").and_then(|tool| tool.get("poetry"));
            let sections = [table.get("project"), poetry];
            for section in sections.into_iter().flatten() {
                let name = section.get("name").and_then(|name| name.as_str());
                if let (Some(name), true, None) = (name, path == "pyproject.toml", &found.name) {
                    found.name = Some((line_of(&format!("\"{name}\"")), name.to_owned()));
                }
                let scripts = section
                    .get("scripts")
                    .and_then(|scripts| scripts.as_table());
                let scripts = scripts.into_iter().flatten();
                let scripts = scripts.filter_map(|(_, value)| value.as_str());
                let scripts = scripts.map(|script| (line_of(script), script.to_owned()));
                found.scripts.extend(scripts);
            }
        }
        found
    }
}
