//! The table of folders that are all alike.

use std::collections::BTreeSet;

use super::{
    below::gets_package,
    code::JobCode,
    document::ConfigTable,
    draft::{Draft, TableMaker, header},
    each::EachFolder,
    entries::{EntryPoint, is_in},
    remark::Fact,
    tree::{joined, name_of},
    variables::UNKNOWN,
};

/// The files that say what a folder needs, the preferred ones first.
const REQUIREMENTS: [&str; 5] = [
    "uv.lock",
    "poetry.lock",
    "Pipfile.lock",
    "requirements.txt",
    "pyproject.toml",
];

impl TableMaker<'_> {
    /// One table for folders that are all alike; `unit` is one of their Dockerfiles.
    pub(super) fn of_each(&self, each: &EachFolder, unit: Option<usize>, draft: &mut Draft) {
        let key = match name_of(&each.folder) {
            "." => "jobs",
            name => name,
        };
        let mut table = ConfigTable::new(format!("images.{}", header(key)));
        let why = "one image of each folder, named after it";
        table.text("each", &each.glob()).why(why);
        let copies = unit.is_some_and(|unit| gets_package(&self.units.all[unit]));
        if let Some(unit) = unit {
            self.parent(unit, &mut table, draft);
            draft.facts.extend(self.bases_below(&each.folder));
            table.text("dockerfile", "{dir}/Dockerfile");
            if !copies {
                table.text("context", "{dir}");
            }
        } else {
            draft.needs_chain = true;
            table.text("parent", "py");
        }
        if unit.is_none() || copies {
            self.code_of_each(each, &mut table, draft);
        }
        draft.images.push(table);
    }

    fn code_of_each(&self, each: &EachFolder, table: &mut ConfigTable, draft: &mut Draft) {
        let tree = &self.survey.tree;
        let has_src = each.all_have("src", |path| tree.has_folder(path));
        table.text("src", if has_src { "{dir}/src" } else { "{dir}" });
        let mains = self.mains_of(each, has_src);
        if let Some(main) = mains.iter().next().filter(|main| *main != "main.py") {
            table.text("main", main);
        }
        let folders: Vec<String> = each
            .names
            .iter()
            .map(|name| joined(&each.folder, name))
            .collect();
        let kind = REQUIREMENTS.into_iter().find(|kind| {
            let mut any = folders.iter().map(|folder| joined(folder, kind));
            any.any(|path| tree.has(&path))
        });
        if let Some(kind) = kind {
            table.text("requirements", &format!("{{dir}}/{kind}"));
        }
        for folder in folders {
            let own = self
                .entries
                .iter()
                .filter(|entry| is_in(&entry.path, &folder));
            let own: Vec<&EntryPoint> = own.collect();
            let facts = own
                .iter()
                .map(|entry| Fact::new("entry point", &entry.path, &entry.place));
            draft.facts.extend(facts);
            draft.codes.push(JobCode::of(self.survey, &own));
            let found = self.survey.requirements.of_folder(&folder);
            draft
                .requirements
                .extend(found.map(|found| found.path.clone()));
        }
    }

    /// What the Dockerfiles of a folder stand on.
    fn bases_below(&self, folder: &str) -> impl Iterator<Item = Fact> {
        let units = self.units.all.iter();
        let below = units.filter(move |unit| is_in(&unit.dockerfile.path, folder));
        below.filter_map(|unit| {
            let (image, line) = unit.resolved.base.as_ref()?;
            Some(Fact::new(
                "from",
                image.replace(UNKNOWN, "?"),
                &unit.dockerfile.at(*line),
            ))
        })
    }

    /// The main files of folders that are alike, below `src`.
    fn mains_of(&self, each: &EachFolder, has_src: bool) -> BTreeSet<String> {
        let entries = self.entries.iter().filter_map(|entry| {
            let below = match each.folder.as_str() {
                "." => entry.path.as_str(),
                folder => entry.path.strip_prefix(folder)?.strip_prefix('/')?,
            };
            let (_, rest) = below.split_once('/')?;
            let rest = if has_src {
                rest.strip_prefix("src/").unwrap_or(rest)
            } else {
                rest
            };
            Some(rest.to_owned())
        });
        entries.collect()
    }
}
