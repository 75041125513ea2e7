//! The table of an image with a Dockerfile of its own.

use super::{
    below::{PythonBelow, gets_package},
    document::ConfigTable,
    draft::{Draft, TableMaker, header},
    entries::EntryPoint,
    remark::Remark,
    tree::name_of,
    units::{Unit, UnitContext},
    variables::UNKNOWN,
};

impl TableMaker<'_> {
    /// An image with a Dockerfile of its own.
    pub(super) fn of_unit(&self, key: &str, index: usize, draft: &mut Draft) {
        let unit = &self.units.all[index];
        let mut table = ConfigTable::new(format!("images.{}", header(key)));
        self.parent(index, &mut table, draft);
        table.text("dockerfile", &unit.dockerfile.path);
        context(key, unit, &mut table, draft);
        let target = unit.build.and_then(|build| build.target.as_ref());
        let target = target.filter(|target| !target.contains(UNKNOWN));
        if let (Some(target), Some(build)) = (target, unit.build) {
            table
                .text("target", target)
                .from("--target in", &build.place);
        }
        if gets_package(unit) {
            let entries: Vec<&EntryPoint> = self.entries.iter().collect();
            let python = self.python_below(index);
            draft.needs_chain |= python == PythonBelow::OfChain;
            self.code(&entries, python, &mut table, draft);
        }
        self.arguments(unit, &mut table, draft);
        draft.images.push(table);
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
                let cure = format!(
                    "add `build-args.{name}` to the image, where the Dockerfile's default is wrong"
                );
                draft.untold.push(Remark::at(&build.place, text).cure(cure));
                continue;
            }
            let line = table.text(&format!("build-args.{name}"), &value);
            line.from("--build-arg in", &build.place);
        }
    }

    /// How a Dockerfile may name an image of the project.
    fn reference_of(&self, unit: usize) -> Option<String> {
        let image = self
            .naming
            .images
            .iter()
            .find(|own| own.unit == Some(unit))?;
        let (_, registry) = self.naming.registries.first()?;
        let template = self.naming.reference.as_deref();
        let template = template.unwrap_or("{registry}/{image}:{fingerprint}");
        let filled = template
            .replace("{registry}", registry)
            .replace("{image}", &image.key);
        Some(filled.replace("{fingerprint}", "unbuilt"))
    }
}

fn context(key: &str, unit: &Unit<'_>, table: &mut ConfigTable, draft: &mut Draft) {
    let place = unit.build.map(|build| &build.place);
    let line = match &unit.context {
        UnitContext::Folder(folder) if folder == "." => return,
        UnitContext::Folder(folder) => table.text("context", folder),
        UnitContext::Package => table.text("context", "dist"),
        UnitContext::Outside(path) => {
            let name = source_name(path, key);
            if !draft
                .sources
                .iter()
                .any(|source| source.header == format!("sources.{name}"))
            {
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

/// The name of a source that lies beside the project.
fn source_name(path: &str, key: &str) -> String {
    let name = name_of(path).to_ascii_lowercase();
    let words: Vec<&str> = name
        .split(['-', '_', '.'])
        .filter(|word| word.starts_with(|first: char| first.is_ascii_alphabetic()))
        .collect();
    match words.first() {
        Some(first) if *first == "spark" && words.get(1) == Some(&"operator") => {
            "operator".to_owned()
        }
        Some(first) => (*first).to_owned(),
        None => key.to_owned(),
    }
}
