//! The tables of images: what each is made of, line by line.

use std::collections::BTreeSet;

use super::{
    code::{CodePlaces, JobCode},
    document::{ConfigTable, quoted},
    each::EachFolder,
    entries::EntryPoint,
    naming::Naming,
    remark::{Fact, Remark},
    requirements::FoundRequirements,
    survey::ProjectSurvey,
    tree::{folder_of, name_of},
    units::{Unit, UnitContext, Units},
    variables::UNKNOWN,
};
use crate::project::place::Place;

/// Packages that the built-in image `ds` has.
const DATA_SCIENCE: [&str; 4] = ["pandas", "numpy", "pyarrow", "pyspark.pandas"];

/// What becomes a configuration.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) images: Vec<ConfigTable>,
    pub(super) sources: Vec<ConfigTable>,
    pub(super) facts: Vec<Fact>,
    pub(super) assumed: Vec<Remark>,
    pub(super) untold: Vec<Remark>,
    pub(super) codes: Vec<JobCode>,
    pub(super) requirements: Vec<String>,
    /// Whether an image stands on one of a chain.
    pub(super) needs_chain: bool,
    /// The image from elsewhere that a Dockerfile with a job's code stands on, and where.
    pub(super) below: Option<(String, Place)>,
}

/// What the tables follow from.
pub(super) struct TableMaker<'s> {
    pub(super) survey: &'s ProjectSurvey,
    pub(super) units: &'s Units<'s>,
    pub(super) naming: &'s Naming,
    pub(super) entries: &'s [EntryPoint],
}

impl TableMaker<'_> {
    /// An image with a Dockerfile of its own.
    pub(super) fn of_unit(&self, key: &str, index: usize, draft: &mut Draft) {
        let unit = &self.units.all[index];
        let mut table = ConfigTable::new(format!("images.{}", header(key)));
        self.parent(unit, &mut table, draft);
        table.text("dockerfile", &unit.dockerfile.path);
        self.context(key, unit, &mut table, draft);
        let target = unit.build.and_then(|build| build.target.as_ref());
        if let (Some(target), Some(build)) = (target, unit.build) {
            table.text("target", target).from("--target in", &build.place);
        }
        if unit.resolved.copies_dist() || unit.context == UnitContext::Package {
            let entries: Vec<&EntryPoint> = self.entries.iter().collect();
            self.code(&entries, &mut table, draft);
        }
        self.arguments(unit, &mut table, draft);
        draft.images.push(table);
    }

    fn parent(&self, unit: &Unit<'_>, table: &mut ConfigTable, draft: &mut Draft) {
        let (image, line) = match &unit.resolved.base {
            Some((image, line)) => (image.as_str(), *line),
            None => ("scratch", 1),
        };
        let place = unit.dockerfile.at(line);
        let parent = unit.parent.and_then(|parent| {
            let mut images = self.naming.images.iter();
            images.find(|own| own.unit == Some(parent))
        });
        draft.facts.push(Fact::new("from", image.replace(UNKNOWN, "?"), &place));
        if let Some(parent) = parent {
            table.text("parent", &parent.key).from("FROM in", &place);
        } else if unit.resolved.copies_dist() {
            draft.needs_chain = true;
            draft.below = Some((image.to_owned(), place.clone()));
            table.text("parent", "py").from("FROM in", &place);
        }
    }

    fn context(&self, key: &str, unit: &Unit<'_>, table: &mut ConfigTable, draft: &mut Draft) {
        let place = unit.build.map(|build| &build.place);
        let line = match &unit.context {
            UnitContext::Folder(folder) if folder == "." => return,
            UnitContext::Folder(folder) => table.text("context", folder),
            UnitContext::Package => table.text("context", "dist"),
            UnitContext::Outside(path) => {
                let name = source_name(path, key);
                if !draft.sources.iter().any(|source| source.header == format!("sources.{name}")) {
                    let mut source = ConfigTable::new(format!("sources.{name}"));
                    source.text("path", path);
                    draft.sources.push(source);
                }
                table.text("context", &format!("source:{name}"))
            }
        };
        if let Some(place) = place {
            line.from("docker build in", place);
        }
    }

    fn arguments(&self, unit: &Unit<'_>, table: &mut ConfigTable, draft: &mut Draft) {
        let Some(build) = unit.build else {
            return;
        };
        for (name, value) in &build.arguments {
            let names_images = unit.dockerfile.dockerfile.only_names_images(name);
            if !unit.dockerfile.dockerfile.takes(name) || names_images && name == "PARENT" {
                continue;
            }
            let parent = unit.parent.filter(|_| names_images);
            let value = match parent.and_then(|parent| self.reference_of(parent)) {
                Some(reference) => reference,
                None => value.clone(),
            };
            if value.contains(UNKNOWN) {
                let text = format!("the build argument `{name}` has a value that only a run knows");
                let cure = format!("add `build-args.{name}` to the image, where the Dockerfile's default is wrong");
                draft.untold.push(Remark::at(&build.place, text).cure(cure));
                continue;
            }
            let line = table.text(&format!("build-args.{name}"), &value);
            line.from("--build-arg in", &build.place);
        }
    }

    /// How a Dockerfile may name an image of the project.
    fn reference_of(&self, unit: usize) -> Option<String> {
        let image = self.naming.images.iter().find(|own| own.unit == Some(unit))?;
        let (_, registry) = self.naming.registries.first()?;
        let template = self.naming.reference.as_deref();
        let template = template.unwrap_or("{registry}/{image}:{fingerprint}");
        let filled = template.replace("{registry}", registry).replace("{image}", &image.key);
        Some(filled.replace("{fingerprint}", "unbuilt"))
    }

    /// A job that only gets files.
    pub(super) fn of_job(&self, key: &str, entries: &[&EntryPoint], draft: &mut Draft) {
        let mut table = ConfigTable::new(format!("images.{}", header(key)));
        draft.needs_chain = true;
        table.text("parent", "py");
        self.code(entries, &mut table, draft);
        let needs_ds = draft.codes.last().is_some_and(|code| {
            self.survey.modules.imports_any(&code.reached, &DATA_SCIENCE)
        });
        let has_own = draft.requirements.last().and_then(|path| self.survey.requirements.get(path));
        let brings = has_own.is_some_and(|found| {
            found.packages().iter().any(|wanted| DATA_SCIENCE.contains(&wanted.name.as_str()))
        });
        if needs_ds && !brings {
            table.lines.remove(0);
            table.text("parent", "ds").why("numpy, pandas and pyarrow, which the code imports");
            let last = table.lines.pop();
            last.into_iter().for_each(|line| table.lines.insert(0, line));
        }
        draft.images.push(table);
    }

    /// `src`, `main`, `files` and `requirements`.
    fn code(&self, entries: &[&EntryPoint], table: &mut ConfigTable, draft: &mut Draft) {
        let code = JobCode::of(self.survey, entries);
        match &code.src {
            CodePlaces::Root(root) => drop(table.text("src", root)),
            CodePlaces::Several(places) => drop(table.list("src", places)),
        }
        let place = entries.first().map(|entry| &entry.place);
        if let Some(mains) = code.main() {
            let line = match mains {
                [main] => table.text("main", main),
                mains => table.list("main", mains),
            };
            if let Some(place) = place {
                line.from("started by", place);
            }
        }
        for entry in entries {
            draft.facts.push(Fact::new("entry point", &entry.path, &entry.place));
        }
        if code.unlisted > 0 {
            let text = format!("{} more files are started by themselves than `main` lists", code.unlisted);
            draft.untold.push(Remark::new(text).cure("name those that are jobs in `main`"));
        }
        if !code.files.is_empty() {
            table.list("files", &code.files).why("opened beside the code");
        }
        let main = code.mains.first().map_or(".", |main| folder_of(main));
        if let Some(found) = self.requirements(main) {
            self.requires(found, table, draft);
        }
        draft.codes.push(code);
    }

    fn requires(&self, found: &FoundRequirements, table: &mut ConfigTable, draft: &mut Draft) {
        draft.facts.push(Fact::new("requirements", &found.path, &found.place()));
        match &found.read {
            Err(defects) => {
                if let Some(defect) = defects.first() {
                    let text = format!("`{}` is not named: {}", found.path, defect.message);
                    let remark = Remark::at(&defect.place, text);
                    let cure = defect.hint.clone().unwrap_or_default();
                    draft.untold.push(remark.cure(cure));
                }
            }
            // Nothing but Spark, which the image has.
            Ok(_) if found.packages().is_empty() => {}
            Ok(_) => drop(table.text("requirements", &found.path)),
        }
        draft.requirements.push(found.path.clone());
    }

    /// The requirements of a job in this folder: what its scripts install, else what lies beside it or above.
    fn requirements(&self, folder: &str) -> Option<&FoundRequirements> {
        let files = &self.survey.requirements;
        let mut at = folder;
        while at != "." {
            if let Some(found) = files.of_folder(at) {
                return Some(found);
            }
            at = folder_of(at);
        }
        let of_top = files.of_folder(".");
        let is_lock = of_top.is_some_and(|found| !found.path.ends_with(".txt"));
        let installed = self.survey.commands.installed.iter().filter_map(|(_, file, is_packed)| {
            let found = files.get(file)?;
            let words = ["dev", "test", "lint", "doc"];
            let is_other = words.iter().any(|word| name_of(file).contains(word));
            (!is_other && found.read.is_ok()).then_some((!is_packed, found))
        });
        let installed = installed.min_by_key(|(rank, _)| *rank).map(|(_, found)| found);
        if is_lock { of_top } else { installed.or(of_top) }
    }

    /// One table for folders that are all alike.
    pub(super) fn of_each(&self, each: &EachFolder, unit: Option<usize>, draft: &mut Draft) {
        let key = name_of(&each.folder).trim_start_matches('.');
        let mut table = ConfigTable::new(format!("images.{}", header(if key.is_empty() { "jobs" } else { key })));
        table.text("each", &each.glob()).why("one image of each folder, named after it");
        let tree = &self.survey.tree;
        let copies = unit.is_some_and(|unit| self.units.all[unit].resolved.copies_dist());
        match unit {
            Some(unit) => {
                self.parent(&self.units.all[unit], &mut table, draft);
                table.text("dockerfile", "{dir}/Dockerfile");
                if !copies {
                    table.text("context", "{dir}");
                }
            }
            None => {
                draft.needs_chain = true;
                table.text("parent", "py");
            }
        }
        if unit.is_none() || copies {
            let has_src = each.all_have("src", |path| tree.has_folder(path));
            table.text("src", if has_src { "{dir}/src" } else { "{dir}" });
            let mains: BTreeSet<String> = self.mains_of(each, has_src);
            if let Some(main) = mains.iter().next().filter(|main| *main != "main.py") {
                table.text("main", main);
            }
            for kind in ["uv.lock", "poetry.lock", "Pipfile.lock", "requirements.txt", "pyproject.toml"] {
                let mut any = each.names.iter().map(|name| format!("{}/{name}/{kind}", each.folder));
                if any.any(|path| tree.has(path.trim_start_matches("./"))) {
                    table.text("requirements", &format!("{{dir}}/{kind}"));
                    break;
                }
            }
            for name in &each.names {
                let folder = super::tree::joined(&each.folder, name);
                let own: Vec<&EntryPoint> =
                    self.entries.iter().filter(|entry| entry.path.starts_with(&format!("{folder}/"))).collect();
                draft.facts.extend(own.iter().map(|entry| Fact::new("entry point", &entry.path, &entry.place)));
                draft.codes.push(JobCode::of(self.survey, &own));
                let found = self.survey.requirements.of_folder(&folder);
                draft.requirements.extend(found.map(|found| found.path.clone()));
            }
        }
        draft.images.push(table);
    }

    /// The main files of folders that are alike, below `src`.
    fn mains_of(&self, each: &EachFolder, has_src: bool) -> BTreeSet<String> {
        let entries = self.entries.iter().filter_map(|entry| {
            let below = match each.folder.as_str() {
                "." => entry.path.as_str(),
                folder => entry.path.strip_prefix(folder)?.strip_prefix('/')?,
            };
            let (_, rest) = below.split_once('/')?;
            let rest = if has_src { rest.strip_prefix("src/").unwrap_or(rest) } else { rest };
            Some(rest.to_owned())
        });
        entries.collect()
    }
}

/// A key of a table's header.
fn header(key: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if key.bytes().all(is_bare) { key.to_owned() } else { quoted(key) }
}

/// The name of a source that lies beside the project.
fn source_name(path: &str, key: &str) -> String {
    let name = name_of(path).to_ascii_lowercase();
    let words: Vec<&str> = name.split(['-', '_', '.']).filter(|word| {
        word.starts_with(|first: char| first.is_ascii_alphabetic())
    }).collect();
    match words.first() {
        Some(first) if *first == "spark" && words.get(1) == Some(&"operator") => "operator".to_owned(),
        Some(first) => (*first).to_owned(),
        None => key.to_owned(),
    }
}
