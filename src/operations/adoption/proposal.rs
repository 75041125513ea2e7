//! Decides the configuration of a project from what was read of it.

use std::collections::BTreeSet;

use super::{
    chain::{self, ChainPlan, RootImage},
    document::{self, ConfigTable},
    draft::{Draft, TableMaker},
    each,
    entries::{self, EntryHints, EntryPoint},
    globs,
    naming::{Namer, Naming, OwnImage, as_name},
    remark::{Fact, Remark, shown},
    survey::ProjectSurvey,
    traps,
    tree::{is_kind, joined},
    units::{Unit, Units},
};
use crate::project::place::Place;

/// A configuration that is not checked yet.
pub(super) struct Proposal {
    top: ConfigTable,
    registries: Option<ConfigTable>,
    chain: Option<(ChainPlan, Option<RootImage>)>,
    draft: Draft,
    manifests: Option<ConfigTable>,
    pub(super) naming: Naming,
    pub(super) facts: Vec<Fact>,
    pub(super) assumed: Vec<Remark>,
    pub(super) untold: Vec<Remark>,
    pub(super) traps: Vec<Remark>,
}

/// Why nothing can be proposed.
pub(super) struct Nothing {
    /// What was looked for, and what was there.
    pub(super) looked: Vec<String>,
}

impl Proposal {
    pub(super) fn of(survey: &ProjectSurvey) -> Result<Self, Nothing> {
        let units = Units::of(survey);
        let entries = entry_points(survey, &units);
        if entries.is_empty() && units.all.is_empty() {
            return Err(Nothing::of(survey));
        }
        let (project, named_at) = project_name(survey);
        let has_job = units.all.iter().any(|unit| has_code(survey, unit));
        let namer = Namer {
            survey,
            units: &units,
            project: &project,
            has_job,
        };
        let naming = namer.naming();
        let maker = TableMaker {
            survey,
            units: &units,
            naming: &naming,
            entries: &entries,
        };
        let mut draft = images(&maker, has_job);
        let mut top = ConfigTable::default();
        top.raw("format", "1");
        let line = top.text("project", &project);
        match &named_at {
            Some(place) => line.from("name in", place),
            None => line.assumed("the folder's name"),
        }
        let chain = draft.needs_chain.then(|| match draft.below.take() {
            Some((image, from)) => ChainPlan::Elsewhere { image, from },
            None => ChainPlan::of(survey),
        });
        let traps = traps::traps(survey, &units, &naming, (&draft.codes, &draft.requirements));
        let mut proposal = Self {
            facts: Vec::new(),
            assumed: std::mem::take(&mut draft.assumed),
            untold: std::mem::take(&mut draft.untold),
            registries: None,
            manifests: manifests(survey, &naming),
            chain: chain.map(|chain| (chain, None)),
            traps,
            draft,
            naming,
            top,
        };
        proposal.tell_names();
        proposal.tell_chain(survey);
        proposal.tell_untold(survey, units);
        proposal.tell_facts(
            survey,
            named_at.map(|place| Fact::new("project", &project, &place)),
        );
        Ok(proposal)
    }

    /// The text, with what the facts are.
    pub(super) fn text(&self) -> String {
        let mut tables = vec![self.top.clone()];
        tables.extend(self.registries.clone());
        tables.extend(
            self.chain
                .as_ref()
                .map(|(plan, root)| chain_table(plan, *root)),
        );
        tables.extend(self.draft.sources.clone());
        tables.extend(self.draft.images.clone());
        tables.extend(self.manifests.clone());
        document::text(&tables, &self.facts)
    }

    /// The root images that may be tried, in their order.
    pub(super) fn roots(&self) -> Vec<RootImage> {
        match &self.chain {
            Some((ChainPlan::Made { roots, .. }, _)) => roots.clone(),
            _ => Vec::new(),
        }
    }

    pub(super) fn stand_on(&mut self, root: RootImage) {
        if let Some((_, chosen)) = &mut self.chain {
            *chosen = Some(root);
        }
    }

    /// What is assumed of the root image that was taken.
    pub(super) fn tell_root(&mut self) {
        let Some((ChainPlan::Made { python, .. }, Some(root))) = &self.chain else {
            return;
        };
        let (major, minor) = root.python;
        let image = root.image.unwrap_or("debian:bookworm-slim");
        match python {
            Some(range) if !range.allows(root.python) => {
                let text = format!(
                    "no Debian has a Python {}: the chain has {major}.{minor}",
                    range.text
                );
                let cure = "name an image that has it: `[chains.main] image = \"…\"`";
                self.untold.push(Remark::at(&range.place, text).cure(cure));
            }
            _ => {
                let text = format!("Python {major}.{minor}: {image} has it");
                self.assumed
                    .push(Remark::new(text).cure("another is `[chains.main] python` with `root`"));
            }
        }
    }

    fn tell_names(&mut self) {
        let naming = &self.naming;
        if let [(_, prefix)] = naming.registries.as_slice() {
            let line = self.top.text("registries.main", prefix);
            match &naming.place {
                Some(place) => line.from("named in", place),
                None => line.assumed("no file names a registry"),
            }
        } else {
            let mut table = ConfigTable::new("registries");
            for (name, prefix) in &naming.registries {
                table.text(name, prefix);
            }
            self.registries = Some(table);
        }
        if let Some(reference) = &naming.reference {
            self.top
                .text("reference", reference)
                .why("one repository, whose tags begin with the image");
        }
        if !naming.formerly.is_empty() {
            self.top
                .list("formerly", &naming.formerly)
                .why("`pin` replaces these");
        }
        if naming.place.is_none() {
            let prefix = naming.registries.first().map_or("", |(_, prefix)| prefix);
            let text = format!("images go to `{prefix}`, which is no registry: nothing names one");
            self.assumed
                .push(Remark::new(text).cure("write yours as `registries.main` before you push"));
        }
    }

    fn tell_chain(&mut self, survey: &ProjectSurvey) {
        let Some((plan, _)) = &self.chain else {
            return;
        };
        self.facts.extend(chain::facts(plan));
        match plan {
            ChainPlan::Made {
                spark, from: None, ..
            } => {
                let text = format!("Spark {spark}: no file says a version");
                self.assumed
                    .push(Remark::new(text).cure("another is `[chains.main] spark`"));
            }
            ChainPlan::Made {
                spark,
                from: Some(from),
                ..
            } => {
                self.untold
                    .extend(chain::contradictions(survey, spark, from));
            }
            ChainPlan::Elsewhere { .. } => {}
        }
    }

    fn tell_untold(&mut self, survey: &ProjectSurvey, units: Units<'_>) {
        self.untold.extend(units.untold);
        for defect in &survey.dockerfiles.wrong {
            let text = format!("this Dockerfile is left out: {}", defect.message);
            self.untold.push(Remark::at(&defect.place, text));
        }
        let has_requirements = !self.draft.requirements.is_empty();
        for (path, why) in survey
            .requirements
            .unreadable
            .iter()
            .filter(|_| !has_requirements)
        {
            let text = format!("what `{path}` requires is not read: {why}");
            let cure = "list it in a requirements.txt, and name that as `requirements`";
            self.untold
                .push(Remark::at(&Place::of_line(path, 1), text).cure(cure));
        }
        for (name, place) in self.naming.foreign.iter().take(4) {
            let repository = name
                .repository
                .as_ref()
                .map_or(name.last.clone(), ToString::to_string);
            let text = format!("nothing here builds `{repository}`, which is named here");
            self.untold.push(Remark::at(place, text));
        }
        for manifest in &survey.manifests {
            // What Helm fills in stands in values, which are written.
            let mut filled_in = manifest
                .filled_in
                .iter()
                .filter(|(_, text)| !text.contains("{{"));
            if let Some((place, written)) = filled_in.next() {
                let text = format!(
                    "`{written}` is filled in when it is rendered, so that no tag is written there"
                );
                let cure = "`sparkpack tags --format env` prints the references for it";
                self.untold.push(Remark::at(place, text).cure(cure));
            }
        }
        for what in survey.tree.passed_over.iter().take(4) {
            self.untold
                .push(Remark::new(format!("not looked at: {what}")));
        }
        if !survey.broken.is_empty() {
            let names: Vec<String> = survey
                .broken
                .iter()
                .take(4)
                .map(|path| format!("`{path}`"))
                .collect();
            let text = format!("no YAML, or too large to be read: {}", names.join(", "));
            self.untold.push(Remark::new(text));
        }
        for path in &survey.metadata.broken {
            self.untold
                .push(Remark::at(&Place::of_line(path, 1), "this is no TOML"));
        }
        if survey.modules.is_cut {
            self.untold
                .push(Remark::new("there are more Python files than are read"));
        }
    }

    fn tell_facts(&mut self, survey: &ProjectSurvey, project: Option<Fact>) {
        self.facts.splice(0..0, project);
        for image in &self.naming.images {
            if let Some((name, place)) = &image.called {
                let value = match (&name.repository, name.tag_head()) {
                    (Some(repository), Some(head)) if self.naming.reference.is_some() => {
                        format!("{repository}:{head}")
                    }
                    (Some(repository), _) => repository.to_string(),
                    (None, _) => name.last.clone(),
                };
                self.facts.push(Fact::new("image", value, place));
            }
        }
        self.facts.append(&mut self.draft.facts);
        for manifest in survey.manifests.iter().take(40) {
            if let Some((place, kind)) = &manifest.spark {
                self.facts.push(Fact::new("manifest", kind, place));
            }
        }
        for (place, target) in &survey.commands.targets {
            self.facts.push(Fact::new("make", target, place));
        }
        let mut seen = BTreeSet::new();
        self.facts.retain(|fact| seen.insert(fact.to_string()));
    }
}

impl Nothing {
    fn of(survey: &ProjectSurvey) -> Self {
        let files = survey.tree.files().count();
        let python = survey.modules.found.len();
        let spark = survey
            .modules
            .found
            .keys()
            .filter(|path| survey.modules.names_spark(path))
            .count();
        let dockerfiles = survey.dockerfiles.found.len();
        Self {
            looked: vec![
                format!("of {files} files, {python} are Python beside tests and examples, and {spark} import pyspark"),
                format!("of {dockerfiles} Dockerfiles none is of Spark"),
                "no manifest and no `spark-submit` names a main file, no console script and no `if __name__ == \
                 \"__main__\":` leads to pyspark"
                    .to_owned(),
            ],
        }
    }
}

/// The files that are started.
fn entry_points(survey: &ProjectSurvey, units: &Units<'_>) -> Vec<EntryPoint> {
    let manifests: Vec<(Place, String)> = survey
        .manifests
        .iter()
        .flat_map(|manifest| manifest.started().cloned())
        .collect();
    let mut submitted = survey.commands.submitted.clone();
    for unit in &units.all {
        for keyword in ["CMD", "ENTRYPOINT"] {
            for (line, text) in unit.dockerfile.instructions(keyword) {
                let mut words = text.split(['"', ' ', '[', ']', ',', '\'']);
                let file = words.find(|word| is_kind(word, "py"));
                submitted.extend(file.map(|file| (unit.dockerfile.at(line), file.to_owned())));
            }
        }
    }
    let hints = EntryHints {
        manifests: &manifests,
        submitted: &submitted,
        scripts: &survey.metadata.scripts,
    };
    entries::entry_points(&survey.modules, &hints)
}

/// The project's name, and where it stands.
fn project_name(survey: &ProjectSurvey) -> (String, Option<Place>) {
    if let Some((place, name)) = &survey.metadata.name {
        return (as_name(name).replace(['_', '.'], "-"), Some(place.clone()));
    }
    let folder = survey.tree.root.file_name().and_then(|name| name.to_str());
    let name = survey.remote.as_deref().or(folder).unwrap_or("project");
    (as_name(name).replace(['_', '.'], "-"), None)
}

/// Whether a Dockerfile's image gets the code of a job.
fn has_code(survey: &ProjectSurvey, unit: &Unit<'_>) -> bool {
    let folder = match &unit.context {
        super::units::UnitContext::Package => return true,
        super::units::UnitContext::Outside(_) => return false,
        super::units::UnitContext::Folder(folder) => folder,
    };
    unit.resolved.copies_dist()
        || unit.resolved.sources().any(|(path, _)| {
            let path = joined(folder, path);
            let path = path
                .trim_end_matches("/.")
                .trim_end_matches('.')
                .trim_end_matches('/');
            let is_below =
                |file: &String| path.is_empty() || entries::is_in(file, path) || *file == path;
            survey.modules.found.keys().any(is_below)
        })
}

/// The tables of all images.
fn images(maker: &TableMaker<'_>, has_job: bool) -> Draft {
    let mut draft = Draft::default();
    let each_unit = each::of_units(maker.survey, maker.units, maker.naming);
    let in_each: Vec<usize> = each_unit
        .iter()
        .flat_map(|(_, indexes)| indexes.clone())
        .collect();
    let mut has_loose = false;
    for image in &maker.naming.images {
        match image.unit {
            Some(unit) if in_each.contains(&unit) => {}
            Some(unit) => maker.of_unit(&image.key, unit, &mut draft),
            None => {
                has_loose = true;
                maker.of_job(&image.key, &entries_of(maker, image), &mut draft);
            }
        }
    }
    if let Some((each, indexes)) = &each_unit {
        maker.of_each(each, indexes.first().copied(), &mut draft);
    }
    if !has_job && !has_loose && !maker.entries.is_empty() {
        match each::of_jobs(maker.survey, maker.entries) {
            Some(each) => maker.of_each(&each, None, &mut draft),
            None => maker.of_job("job", &maker.entries.iter().collect::<Vec<_>>(), &mut draft),
        }
    }
    draft
}

/// The files that are started in an image without a Dockerfile: those of the manifests that name it, or of the folder
/// with its name.
fn entries_of<'e>(maker: &TableMaker<'e>, image: &OwnImage) -> Vec<&'e EntryPoint> {
    let all = || maker.entries.iter().collect::<Vec<_>>();
    let alone = maker
        .naming
        .images
        .iter()
        .filter(|other| other.unit.is_none())
        .count()
        == 1;
    let Some((called, _)) = image.called.as_ref().filter(|_| !alone) else {
        return all();
    };
    let named = maker.survey.manifests.iter().filter(|manifest| {
        let mut names = manifest.names();
        names.any(|(_, name)| super::naming::is_same_image(called, &name))
    });
    let files: Vec<&str> = named.map(|manifest| manifest.path.as_str()).collect();
    let of_manifests = maker.entries.iter().filter(|entry| {
        files
            .iter()
            .any(|file| entry.place.file.to_str() == Some(file))
    });
    let found: Vec<&EntryPoint> = of_manifests.collect();
    if !found.is_empty() {
        return found;
    }
    let key = image.key.replace('-', "_");
    let of_folder = maker.entries.iter().filter(|entry| {
        let mut parts = entry.path.split('/');
        parts.any(|part| part.trim_end_matches(".py").replace('-', "_") == key)
    });
    let found: Vec<&EntryPoint> = of_folder.collect();
    if found.is_empty() { all() } else { found }
}

fn chain_table(plan: &ChainPlan, root: Option<RootImage>) -> ConfigTable {
    let mut table = ConfigTable::new("chains.main");
    match plan {
        ChainPlan::Elsewhere { image, from } => table.text("image", image).from("named in", from),
        ChainPlan::Made { spark, from, .. } => {
            let line = table.text("spark", spark);
            match from {
                Some(from) => line.why(&shown(from)),
                None => line.assumed("no file says a version"),
            }
            let Some(root) = root else {
                return table;
            };
            let (major, minor) = root.python;
            let image = root.image.unwrap_or("debian:bookworm-slim");
            table
                .text("python", &format!("{major}.{minor}"))
                .assumed(&format!("{image} has it"));
            if let Some(java) = root.java {
                table.text("java", java);
            }
            if let Some(image) = root.image {
                table.text("root", image);
            }
        }
    }
    table
}

fn manifests(survey: &ProjectSurvey, naming: &Naming) -> Option<ConfigTable> {
    let globs = globs::globs(survey, naming);
    let mut table = ConfigTable::new("manifests");
    for (registry, globs) in &globs {
        table.list(registry, globs);
    }
    (!globs.is_empty()).then_some(table)
}
