//! The table of a job that only gets files, and what a job's code makes of any table.

use super::{
    below::PythonBelow,
    code::{CodePlaces, JobCode},
    document::ConfigTable,
    draft::{Draft, TableMaker, header},
    entries::EntryPoint,
    remark::{Fact, Remark},
    requirements::FoundRequirements,
    tree::{folder_of, is_kind, name_of},
};

/// Packages that the built-in image `ds` has.
const DATA_SCIENCE: [&str; 4] = ["pandas", "numpy", "pyarrow", "pyspark.pandas"];

impl TableMaker<'_> {
    /// A job that only gets files.
    pub(super) fn of_job(&self, key: &str, entries: &[&EntryPoint], draft: &mut Draft) {
        let mut table = ConfigTable::new(format!("images.{}", header(key)));
        let standing = self.standing();
        let python = standing.map_or(PythonBelow::OfChain, |(leaf, _)| self.python_below(leaf));
        draft.needs_chain |= python == PythonBelow::OfChain;
        table.text("parent", standing.map_or("py", |(_, key)| key));
        self.code(entries, python, &mut table, draft);
        self.exclude(&mut table, draft);
        let needs_ds = draft.codes.last().is_some_and(|code| {
            self.survey
                .modules
                .imports_any(&code.reached, &DATA_SCIENCE)
        });
        let has_own = draft
            .requirements
            .last()
            .and_then(|path| self.survey.requirements.get(path));
        let brings = has_own.is_some_and(|found| {
            found
                .packages()
                .iter()
                .any(|wanted| DATA_SCIENCE.contains(&wanted.name.as_str()))
        });
        if needs_ds && !brings && standing.is_none() {
            let mut first = ConfigTable::default();
            let why = "numpy, pandas and pyarrow, which the code imports";
            first.text("parent", "ds").why(why);
            table.lines.splice(0..1, first.lines);
        }
        draft.images.push(table);
    }

    /// `src`, `main`, `files` and `requirements`.
    pub(super) fn code(
        &self,
        entries: &[&EntryPoint],
        python: PythonBelow,
        table: &mut ConfigTable,
        draft: &mut Draft,
    ) {
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
            draft
                .facts
                .push(Fact::new("entry point", &entry.path, &entry.place));
        }
        if code.unlisted > 0 {
            let text = format!(
                "{} more files are started by themselves than `main` lists",
                code.unlisted
            );
            draft
                .untold
                .push(Remark::new(text).cure("name those that are jobs in `main`"));
        }
        if !code.files.is_empty() {
            table
                .list("files", &code.files)
                .why("opened beside the code");
        }
        let main = code.mains.first().map_or(".", |main| folder_of(main));
        if let Some(found) = self.requirements(main) {
            requires(found, python, table, draft);
        }
        draft.codes.push(code);
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
        let is_lock = of_top.is_some_and(|found| !is_kind(&found.path, "txt"));
        let installed = self
            .survey
            .commands
            .installed
            .iter()
            .filter_map(|(_, file, is_packed)| {
                let found = files.get(file)?;
                let words = ["dev", "test", "lint", "doc"];
                let is_other = words.iter().any(|word| name_of(file).contains(word));
                (!is_other && found.read.is_ok()).then_some((!is_packed, found))
            });
        let installed = installed
            .min_by_key(|(rank, _)| *rank)
            .map(|(_, found)| found);
        if is_lock {
            of_top
        } else {
            installed.or(of_top)
        }
    }
}

fn requires(
    found: &FoundRequirements,
    python: PythonBelow,
    table: &mut ConfigTable,
    draft: &mut Draft,
) {
    draft
        .facts
        .push(Fact::new("requirements", &found.path, &found.place()));
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
        Ok(_) if python == PythonBelow::Unknown => {
            let text = format!(
                "`{}` is not named: nothing says for which Python it is",
                found.path
            );
            let cure = "call the image that the job stands on `base`, add `[chains.main]`, and `requirements` to the job";
            draft
                .untold
                .push(Remark::at(&found.place(), text).cure(cure));
        }
        Ok(_) => drop(table.text("requirements", &found.path)),
    }
    draft.requirements.push(found.path.clone());
}
