//! Decides the configuration of a project from what was read of it.

use super::{
    chain::{ChainPlan, RootImage},
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
    pub(super) top: ConfigTable,
    pub(super) registries: Option<ConfigTable>,
    pub(super) chain: Option<(ChainPlan, Option<RootImage>)>,
    pub(super) draft: Draft,
    pub(super) manifests: Option<ConfigTable>,
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
            has_job,
        };
        let mut draft = images(&maker);
        let mut top = ConfigTable::default();
        top.raw("format", "1");
        let line = top.text("project", &project);
        match &named_at {
            Some(place) => line.from("name in", place),
            None if survey.remote.is_some() => line.assumed("the name of git's remote"),
            None => line.assumed("the folder's name"),
        }
        let has_own = units.all.iter().any(|unit| unit.parent.is_none());
        let chain = draft.needs_chain.then(|| ChainPlan::of(survey, has_own));
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
    let started = survey.manifests.iter().flat_map(|manifest| {
        let far = manifest.far.iter();
        manifest.started().chain(far).cloned()
    });
    let manifests: Vec<(Place, String)> = started.collect();
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
fn images(maker: &TableMaker<'_>) -> Draft {
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
    if !maker.has_job && !has_loose && !maker.entries.is_empty() {
        if let Some(each) = each::of_jobs(maker.survey, maker.entries) {
            maker.of_each(&each, None, &mut draft);
        } else {
            let mut keys = maker.naming.images.iter().map(|image| image.key.as_str());
            let key = if keys.any(|key| key == "job") {
                "jobs"
            } else {
                "job"
            };
            maker.of_job(key, &maker.entries.iter().collect::<Vec<_>>(), &mut draft);
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
        ChainPlan::Made {
            spark,
            from,
            has_own,
            ..
        } => {
            let line = table.text("spark", spark);
            match from {
                Some(from) => line.why(&shown(from)),
                None => line.assumed("no file says a version"),
            }
            let Some(root) = root else {
                return table;
            };
            let (major, minor) = root.python;
            let line = table.text("python", &format!("{major}.{minor}"));
            if *has_own {
                line.assumed("nothing says the one in `base`");
                return table;
            }
            let image = root.image.unwrap_or("debian:bookworm-slim");
            line.assumed(&format!("{image} has it"));
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
