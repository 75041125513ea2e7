//! The stages of a project, each with its record, its fingerprint, its references and its inputs.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    inputs::{Inputs, StageInputs},
    recipe::Recipe,
    record::{self, Input, Record},
};
use crate::{
    code::Code,
    image::{Digest, Platform, Reference},
    project::{
        Chain, CodeForm, Context, FILE_NAME, Image, Project, Registry,
        elsewhere::{ElsewhereChain, LockedContents},
        inputs::{DockerfileInputs, FilesInputs, UsedImage},
        lock::{self, Lock, Unlocked, UnlockedInput},
        place::{Defect, Place},
        requirements::LockedWheel,
        source::{Origin, SingleFile, Source, Unpack},
        template::Names,
        wheel::Target,
    },
};

/// All stages of a project.
#[derive(Debug, Default)]
pub struct Plan {
    /// The names of the stages, parents first.
    pub order: Vec<String>,
    /// The stages by name.
    pub stages: BTreeMap<String, Stage>,
}

/// One image to be built, on all its platforms.
#[derive(Debug)]
pub struct Stage {
    /// The image's name.
    pub name: String,
    /// Its name in messages: with its platforms, if it is made for several.
    pub title: String,
    /// The image as it is configured.
    pub image: Arc<Image>,
    /// Its inputs.
    pub inputs: Arc<StageInputs>,
    /// The stages that it is built on or copies from.
    pub parents: BTreeSet<String>,
    /// The stage on each platform.
    pub platforms: Vec<PlatformStage>,
    /// The fingerprint for the tag: that of its platform if it has one, else that of the index over all platforms.
    pub fingerprint: Digest,
    pub(super) references: References,
}

/// A stage on one platform: what is built, labelled, looked up and recorded.
#[derive(Debug)]
pub struct PlatformStage {
    /// The image's name.
    pub name: String,
    /// Its name in messages: with the platform, if the image is made for several.
    pub title: String,
    /// The platform.
    pub platform: Platform,
    /// The image as it is configured.
    pub image: Arc<Image>,
    /// Its inputs that all platforms share.
    pub inputs: Arc<StageInputs>,
    /// The stages that it is built on or copies from, each on the same platform.
    pub parents: BTreeSet<String>,
    /// The Python, platform and glibc of its wheels; `None` if no chain gives the Python version.
    pub target: Option<Target>,
    /// The wheels that are installed in it.
    pub wheels: Vec<LockedWheel>,
    /// What was found in the image from elsewhere that its files are put on.
    pub elsewhere: Option<LockedContents>,
    /// The record of its inputs.
    pub record: Record,
    /// The record's fingerprint.
    pub fingerprint: Digest,
    pub(super) references: References,
}

/// The references of one image, by the registry's name. They are made with the plan, for all registries, so that
/// looking one up later cannot fail.
#[derive(Clone, Debug, Default)]
pub(super) struct References(pub(super) BTreeMap<String, Reference>);

impl References {
    fn new(project: &Project, image: &str, fingerprint: &Digest) -> Result<Self, Defect> {
        let of_registry = |registry: &Registry| {
            let names = Names {
                registry: &registry.prefix,
                project: &project.name,
                image,
            };
            let made = project.reference.reference(names, fingerprint);
            made.map(|reference| (registry.name.clone(), reference))
                .map_err(|error| {
                    Defect::new(Code::E025, Place::of_line(FILE_NAME, 1), error.to_string())
                })
        };
        let registries = project.registries.values();
        Ok(Self(registries.map(of_registry).collect::<Result<_, _>>()?))
    }
}

impl Stage {
    /// The stage on its first platform, for callers that can show only one.
    ///
    /// # Panics
    /// It has no platform; a plan has no such stage.
    #[must_use]
    pub fn first(&self) -> &PlatformStage {
        &self.platforms[0]
    }

    /// The stage on a platform or, if it is not made for that, on its first.
    #[must_use]
    pub fn on_or_first(&self, platform: &Platform) -> &PlatformStage {
        self.on(platform).unwrap_or_else(|| self.first())
    }

    /// Whether it is made for more than one platform: an index over the images has its tag.
    #[must_use]
    pub fn has_several_platforms(&self) -> bool {
        self.platforms.len() > 1
    }

    /// The stage on a platform, if it is built for that.
    #[must_use]
    pub fn on(&self, platform: &Platform) -> Option<&PlatformStage> {
        let mut platforms = self.platforms.iter();
        platforms.find(|stage| stage.platform == *platform)
    }

    /// Its reference in a registry of the project.
    ///
    /// # Panics
    /// The registry belongs to another project.
    #[must_use]
    pub fn reference(&self, registry: &Registry) -> &Reference {
        &self.references.0[&registry.name]
    }

    /// Its references in all registries of the project.
    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        self.references.0.values()
    }

    /// The platforms that it is built for.
    #[must_use]
    pub fn each_platform(&self) -> Vec<Platform> {
        let platforms = self.platforms.iter();
        platforms.map(|stage| stage.platform.clone()).collect()
    }

    /// The record that has its fingerprint: its own, or that of its platforms.
    #[must_use]
    pub fn whole_record(&self) -> Record {
        match &*self.platforms {
            [only] => only.record.clone(),
            several => Record::of_platforms(&fingerprints(several)),
        }
    }

    /// Its tag, which is the same in every registry.
    #[must_use]
    pub fn tag(&self) -> &str {
        let mut references = self.references.0.values();
        let tag = references.next().and_then(|first| first.tag.as_deref());
        tag.unwrap_or_default()
    }
}

impl PlatformStage {
    /// Its reference in a registry of the project; with a single platform, the same as the stage's.
    ///
    /// # Panics
    /// The registry belongs to another project.
    #[must_use]
    pub fn reference(&self, registry: &Registry) -> &Reference {
        &self.references.0[&registry.name]
    }

    /// The project's stage at the bottom of its layers.
    #[must_use]
    pub fn base(&self) -> Option<&str> {
        self.inputs.recipe.base()
    }
}

/// The role of the image that files are added to, the same as that of a Dockerfile's first `FROM`.
const FILES_ROLE: &str = "FROM 1";

/// The variable that tells Python where packages are.
pub const PYTHON_PATH: &str = "PYTHONPATH";

/// What a plan is made from.
#[derive(Clone, Copy, Debug)]
pub struct PlanInputs<'a> {
    /// The configuration.
    pub project: &'a Project,
    /// The lock.
    pub lock: &'a Lock,
    /// The inputs of the stages.
    pub inputs: &'a Inputs,
    /// The chosen wheels by image and platform, without those of the image's parents.
    pub wheels: &'a BTreeMap<(String, Platform), Vec<LockedWheel>>,
    /// The digests of sources that are files or folders on this machine.
    pub local_sources: &'a BTreeMap<String, Digest>,
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlanError {
    /// The locks lack an entry.
    Unlocked(Unlocked),
    /// A parent is not built for a platform of its child, or a reference cannot be made.
    Defect(Defect),
}

impl From<Unlocked> for PlanError {
    fn from(unlocked: Unlocked) -> Self {
        Self::Unlocked(unlocked)
    }
}

impl From<Defect> for PlanError {
    fn from(defect: Defect) -> Self {
        Self::Defect(defect)
    }
}

/// Makes the plan.
///
/// # Errors
/// The lock lacks an entry, a parent is not built for a platform of its child, or a reference cannot be made.
pub fn make(given: PlanInputs<'_>) -> Result<Plan, PlanError> {
    make_for(given, given.inputs, &BTreeSet::new())
}

/// Makes the plan of the `wanted` stages, and of all others for which the locks have what they need. The wheels of
/// `unlocked` stages are not known.
///
/// # Errors
/// Those of [`make`]; the lock may lack entries for stages that are not wanted.
pub fn make_for(
    given: PlanInputs<'_>,
    wanted: &Inputs,
    unlocked: &BTreeSet<String>,
) -> Result<Plan, PlanError> {
    let (mut stages, mut left_out) = (BTreeMap::new(), unlocked.clone());
    for name in given.inputs.order() {
        let (Some(image), Some(inputs)) = (given.project.images.get(name), given.inputs.get(name))
        else {
            continue;
        };
        let is_wanted = wanted.get(name).is_some();
        let stands_on_unlocked = !inputs.recipe.parents().is_disjoint(&left_out);
        if !is_wanted && (stands_on_unlocked || left_out.contains(name)) {
            left_out.insert(name.clone());
            continue;
        }
        match stage(given, image, inputs, &stages) {
            Err(PlanError::Unlocked(_)) if !is_wanted => {
                left_out.insert(name.clone());
            }
            stage => {
                stages.insert(name.clone(), stage?);
            }
        }
    }
    let order = given.inputs.order().iter();
    Ok(Plan {
        order: order
            .filter(|name| stages.contains_key(*name))
            .cloned()
            .collect(),
        stages,
    })
}

fn stage(
    given: PlanInputs<'_>,
    image: &Arc<Image>,
    inputs: &Arc<StageInputs>,
    below: &BTreeMap<String, Stage>,
) -> Result<Stage, PlanError> {
    let parents = inputs.recipe.parents();
    let mut platforms = Vec::new();
    for platform in &image.platforms {
        let key = (image.name.clone(), platform.clone());
        let wheels = given.wheels.get(&key).cloned().unwrap_or_default();
        let builder = RecordBuilder {
            given,
            image,
            inputs,
            platform,
            below,
        };
        let record = builder.record(&wheels)?;
        let fingerprint = record.fingerprint();
        platforms.push(PlatformStage {
            name: image.name.clone(),
            title: image.title(std::slice::from_ref(platform)),
            platform: platform.clone(),
            image: Arc::clone(image),
            inputs: Arc::clone(inputs),
            parents: parents.clone(),
            target: given.lock.target(given.project, image, platform),
            elsewhere: builder.elsewhere()?,
            wheels,
            record,
            references: References::new(given.project, &image.name, &fingerprint)?,
            fingerprint,
        });
    }
    let fingerprint = record::combined(&fingerprints(&platforms)).ok_or_else(|| {
        let message = format!("`{}` has no platform", image.name);
        Defect::new(Code::E022, image.place.clone(), message)
    })?;
    Ok(Stage {
        name: image.name.clone(),
        title: image.title(&image.platforms),
        image: Arc::clone(image),
        inputs: Arc::clone(inputs),
        parents,
        platforms,
        references: References::new(given.project, &image.name, &fingerprint)?,
        fingerprint,
    })
}

fn fingerprints(platforms: &[PlatformStage]) -> Vec<(Platform, Digest)> {
    let platforms = platforms.iter();
    platforms
        .map(|stage| (stage.platform.clone(), stage.fingerprint.clone()))
        .collect()
}

struct RecordBuilder<'a> {
    given: PlanInputs<'a>,
    image: &'a Image,
    inputs: &'a StageInputs,
    platform: &'a Platform,
    below: &'a BTreeMap<String, Stage>,
}

impl RecordBuilder<'_> {
    fn record(&self, wheels: &[LockedWheel]) -> Result<Record, PlanError> {
        let mut record = Record::default();
        record.add(&Input::Format(lock::FORMAT));
        record.add(&Input::Stage(self.image.name.clone()));
        record.add(&Input::Platform(self.platform.clone()));
        if let Some(revision) = self.given.lock.revisions.get(&self.image.name) {
            record.add(&Input::Revision {
                number: revision.number,
                reason: revision.reason.clone(),
            });
        }
        let files = self.inputs.recipe.files().iter();
        files.for_each(|entry| record.add(&Input::of_context(entry)));
        match &self.inputs.recipe {
            Recipe::Dockerfile(dockerfile) => self.dockerfile(dockerfile, &mut record)?,
            Recipe::Files(files) => self.added_files(files, &mut record)?,
        }
        if let Some(package) = &self.inputs.package {
            record.add(&Input::Main {
                name: package.main.path.clone(),
                digest: package.main_digest(),
            });
            let modules = package.modules.iter().map(module);
            modules.for_each(|input| record.add(&input));
            if package.form == CodeForm::Folder {
                record.add(&Input::CodeFolder);
            }
            let beside = package.beside.iter().map(beside);
            beside.for_each(|input| record.add(&input));
        }
        for wheel in wheels {
            record.add(&Input::Wheel {
                file_name: wheel.wheel.file_name.clone(),
                sha256: wheel.sha256.clone(),
            });
        }
        if wheels.iter().any(|wheel| wheel.built_anew().is_some()) {
            let packages = self.image.wheel_builds.packages.iter().cloned();
            packages.for_each(|name| record.add(&Input::BuildPackage(name)));
        }
        Ok(record)
    }

    /// The settings of the image from elsewhere that the stage's chain stands on.
    fn elsewhere_chain(&self) -> Option<&ElsewhereChain> {
        let chain = self.given.project.chain_of(self.image);
        chain.and_then(Chain::elsewhere)
    }

    /// What was found in the image from elsewhere that the files of the stage are put on.
    fn elsewhere(&self) -> Result<Option<LockedContents>, Unlocked> {
        let (Recipe::Files(inputs), Some(chain)) =
            (&self.inputs.recipe, self.given.project.chain_of(self.image))
        else {
            return Ok(None);
        };
        let UsedImage::External(text) = &inputs.base else {
            return Ok(None);
        };
        let found = self.given.lock.contents_of(chain, self.platform);
        let missing = || self.unlocked(UnlockedInput::Contents(text.clone()));
        Ok(Some(found.ok_or_else(missing)?.clone()))
    }

    fn added_files(&self, inputs: &FilesInputs, record: &mut Record) -> Result<(), PlanError> {
        let base = self.used_image(&inputs.base, FILES_ROLE, None)?;
        if let Some(input) = base {
            record.add(&input);
        }
        if let UsedImage::External(_) = &inputs.base
            && let Some(home) = self.elsewhere_chain().and_then(|of| of.spark_home.as_ref())
        {
            record.add(&Input::SparkHome(home.value.clone()));
        }
        for place in &inputs.places {
            record.add(&Input::Place {
                what: place.what.to_owned(),
                folder: place.folder.to_owned(),
            });
        }
        if !inputs.python_path.is_empty() {
            record.add(&Input::Environment {
                name: PYTHON_PATH.to_owned(),
                value: inputs.python_path.join(":"),
            });
        }
        for jar in &inputs.jars {
            let file = inputs.single_files.get(&jar.source);
            record.add(&self.source(&jar.source, &jar.role, file)?);
        }
        Ok(())
    }

    fn dockerfile(&self, inputs: &DockerfileInputs, record: &mut Record) -> Result<(), PlanError> {
        record.add(&Input::Dockerfile(inputs.digest.clone()));
        if let Some(target) = &inputs.target {
            record.add(&Input::Target(target.clone()));
        }
        if inputs.built_in.is_none() && self.image.context == Context::Package {
            record.add(&Input::PackageContext);
        }
        let arguments = inputs.build_arguments.iter();
        let arguments = arguments
            .filter(|(name, _)| inputs.has_triggers || !inputs.dockerfile.only_names_images(name));
        for (name, value) in arguments.chain(&inputs.stage_arguments) {
            record.add(&Input::BuildArgument {
                name: name.clone(),
                value: value.clone(),
            });
        }
        for used in &inputs.image_uses {
            let file = match &used.image {
                UsedImage::Source(name) => inputs.single_files.get(name),
                UsedImage::Stage(_) | UsedImage::External(_) | UsedImage::Scratch => None,
            };
            let input = self.used_image(&used.image, &used.role, file)?;
            if let Some(input) = input {
                record.add(&input);
            }
        }
        for wanted in &inputs.context_sources {
            let file = inputs.single_files.get(&wanted.source);
            record.add(&self.source(&wanted.source, &wanted.role, file)?);
        }
        Ok(())
    }

    fn used_image(
        &self,
        image: &UsedImage,
        role: &str,
        file: Option<&SingleFile>,
    ) -> Result<Option<Input>, PlanError> {
        Ok(match image {
            UsedImage::Scratch => None,
            UsedImage::Source(name) => Some(self.source(name, role, file)?),
            UsedImage::External(text) => {
                let locked = self.given.lock.images.get(text);
                let missing = || self.unlocked(UnlockedInput::Image(text.clone()));
                let digest = locked.ok_or_else(missing)?.digest().clone();
                let role = role.to_owned();
                Some(Input::External { role, digest })
            }
            UsedImage::Stage(name) => Some(Input::Parent {
                role: role.to_owned(),
                stage: name.clone(),
                fingerprint: self.parent(name)?.fingerprint.clone(),
            }),
        })
    }

    /// A parent, on the same platform.
    fn parent(&self, name: &str) -> Result<&PlatformStage, Defect> {
        let below = self.below.get(name);
        let same = below.and_then(|stage| stage.on(self.platform));
        same.ok_or_else(|| {
            let message = format!(
                "`{}` is made for {}, but `{name}`, which it stands on, is not",
                self.image.name, self.platform
            );
            Defect::new(Code::E092, self.image.place.clone(), message)
                .hint(format!("give `{name}` the same `platforms`"))
        })
    }

    fn unlocked(&self, what: UnlockedInput) -> Unlocked {
        let image = self.image.name.clone();
        Unlocked { image, what }
    }

    fn source(
        &self,
        name: &str,
        role: &str,
        file: Option<&SingleFile>,
    ) -> Result<Input, PlanError> {
        let missing = || self.unlocked(UnlockedInput::Source(name.to_owned()));
        let source = self.given.project.sources.get(name).ok_or_else(missing)?;
        let sha256 =
            source_digest(source, self.given.lock, self.given.local_sources).ok_or_else(missing)?;
        let unpack = match (source.unpack, file) {
            (Unpack::No, Some(file)) => {
                let mode = if file.executable { "0755" } else { "0644" };
                format!("file {mode} {}", file.name)
            }
            (Unpack::No, None) => "no".to_owned(),
            (Unpack::Archive { strip }, _) => format!("archive {strip}"),
            (Unpack::Spark, _) => "spark".to_owned(),
        };
        Ok(Input::Source {
            role: role.to_owned(),
            unpack,
            sha256,
        })
    }
}

fn module(entry: &crate::project::tree::Entry) -> Input {
    match Input::of_context(entry) {
        Input::File {
            path,
            executable,
            digest,
        } => Input::Module {
            path,
            executable,
            digest,
        },
        other => other,
    }
}

fn beside(entry: &crate::project::tree::Entry) -> Input {
    match Input::of_context(entry) {
        Input::File {
            path,
            executable,
            digest,
        } => Input::JobFile {
            path,
            executable,
            digest,
        },
        other => other,
    }
}

/// The checksum of a source. For a file or folder on this machine it is the current one, else the one in the
/// configuration or the lock.
#[must_use]
pub fn source_digest(
    source: &Source,
    lock: &Lock,
    local: &BTreeMap<String, Digest>,
) -> Option<Digest> {
    if let Origin::Path(_) = source.origin {
        return local.get(&source.name).cloned();
    }
    let locked = lock
        .sources
        .get(&source.origin.to_string())
        .map(|source| source.sha256.clone());
    source.sha256.clone().or(locked)
}

impl Plan {
    /// All stages, parents first.
    pub fn parents_first(&self) -> impl Iterator<Item = &Stage> {
        self.order.iter().filter_map(|name| self.stages.get(name))
    }

    /// The names of the stages `wanted` and of all their ancestors.
    #[must_use]
    pub fn with_parents(&self, wanted: &[String]) -> BTreeSet<String> {
        let (mut found, mut queue) = (BTreeSet::new(), wanted.to_vec());
        while let Some(name) = queue.pop() {
            if let Some(stage) = self.stages.get(&name).filter(|_| !found.contains(&name)) {
                queue.extend(stage.parents.iter().cloned());
                found.insert(name);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        plan::examples,
        project::{
            self, job_files::PackageInputs, lock::LockedSource, source::Unpack, tree::Entry,
        },
    };

    const CONFIGURATION: &str = "format = 1\nproject = 'demo'\nregistries.main = 'registry.example/team'\n\
        registries.other = 'other.example'\n\
        [images.base]\ndockerfile = 'Dockerfile'\n[images.job]\ndockerfile = 'Dockerfile'\nparent = 'base'\n";

    fn project() -> (tempfile::TempDir, Project) {
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join("sparkpack.toml"), CONFIGURATION).unwrap();
        fs_err::write(folder.path().join("Dockerfile"), "FROM scratch\n").unwrap();
        let project = project::load(folder.path(), &|_| None).unwrap();
        (folder, project)
    }

    /// The plan of these inputs, with empty locks.
    fn made(project: &Project, inputs: &Inputs) -> Result<Plan, PlanError> {
        make(PlanInputs {
            project,
            lock: &Lock::default(),
            inputs,
            wheels: &BTreeMap::new(),
            local_sources: &BTreeMap::new(),
        })
    }

    /// The plan of `base`, which adds a file to `scratch`, and `job`, which adds one to `base`.
    fn planned(project: &Project, of_base: &str) -> Plan {
        let files = |base: UsedImage, text: &str| StageInputs {
            package: Some(PackageInputs {
                main: Entry::in_memory("main.py", text, false),
                modules: Vec::new(),
                module_paths: Vec::new(),
                form: CodeForm::Zip,
                beside: Vec::new(),
                left_out: Vec::new(),
                warnings: Vec::new(),
            }),
            ..examples::files_on(base)
        };
        let below = UsedImage::Stage("base".to_owned());
        let inputs = BTreeMap::from([
            ("base".to_owned(), files(UsedImage::Scratch, of_base)),
            ("job".to_owned(), files(below, "job")),
        ]);
        let inputs = Inputs::new(project, inputs).unwrap();
        made(project, &inputs).unwrap()
    }

    #[test]
    fn a_source_counts_by_what_it_is_now_by_the_configuration_or_by_the_lock() {
        let digest = |text: &str| Digest::of(text.as_bytes());
        let source = |origin: Origin, configured: Option<&str>| Source {
            name: "jar".to_owned(),
            origin,
            sha256: configured.map(digest),
            unpack: Unpack::No,
        };
        let url = || Origin::Url("https://files.example/a.jar".to_owned());
        let locked = LockedSource {
            sha256: digest("locked"),
        };
        let lock = Lock {
            sources: BTreeMap::from([(url().to_string(), locked)]),
            ..Lock::default()
        };
        let local = BTreeMap::from([("jar".to_owned(), digest("now"))]);
        let other = || Origin::Url("https://files.example/b.jar".to_owned());
        for (source, counted) in [
            (source(Origin::Path("a.jar".into()), None), Some("now")),
            (source(url(), Some("configured")), Some("configured")),
            (source(url(), None), Some("locked")),
            (source(other(), None), None),
        ] {
            let found = source_digest(&source, &lock, &local);
            assert_eq!(found, counted.map(digest), "{source:?}");
        }
        assert_eq!(
            source_digest(
                &source(Origin::Path("a.jar".into()), None),
                &lock,
                &BTreeMap::new()
            ),
            None
        );
    }

    #[test]
    fn a_stage_of_files_counts_by_its_files_and_by_what_they_are_put_on() {
        let (_folder, project) = project();
        let (plan, other) = (planned(&project, "1"), planned(&project, "2"));
        let rows: Vec<Vec<String>> = plan.stages["job"].platforms[0]
            .record
            .rows()
            .map(<[String]>::to_vec)
            .collect();
        let kinds: Vec<&str> = rows.iter().map(|row| row[0].as_str()).collect();
        assert_eq!(
            kinds,
            [
                "environment",
                "format",
                "main",
                "parent",
                "place",
                "platform",
                "stage"
            ]
        );
        assert_eq!(rows[0][1..], ["PYTHONPATH", "/opt/a:/opt/b"]);
        assert_eq!(rows[4][1..], ["job", "/opt/job"]);
        let base = &plan.stages["base"];
        assert_eq!(rows[3][1..3], ["FROM 1", "base"]);
        assert_eq!(rows[3][3], base.first().fingerprint.to_string());
        for name in ["base", "job"] {
            let [one, two] = [&plan, &other].map(|plan| &plan.stages[name].fingerprint);
            assert_ne!(one, two, "{name}");
        }
    }

    #[test]
    fn a_plan_has_the_order_and_a_reference_in_every_registry() {
        let (_folder, project) = project();
        let plan = planned(&project, "1");
        assert_eq!(plan.order, ["base", "job"]);
        let job = &plan.stages["job"];
        assert_eq!((job.parents.len(), job.first().base()), (1, Some("base")));
        for registry in project.registries.values() {
            let wanted = format!("{}/job:{}", registry.prefix, job.fingerprint.short(16));
            assert_eq!(job.reference(registry).to_string(), wanted);
            assert_eq!(job.first().reference(registry), job.reference(registry));
        }
        assert_eq!(job.tag(), job.fingerprint.short(16));
        assert_eq!(job.references().count(), 2);
    }

    #[test]
    fn what_the_lock_lacks_is_named() {
        let (_folder, project) = project();
        for (base, what) in [
            (
                UsedImage::External("debian:12".to_owned()),
                UnlockedInput::Image("debian:12".to_owned()),
            ),
            (
                UsedImage::Source("jar".to_owned()),
                UnlockedInput::Source("jar".to_owned()),
            ),
        ] {
            let inputs = BTreeMap::from([("job".to_owned(), examples::files_on(base))]);
            let inputs = Inputs::new(&project, inputs).unwrap();
            let made = made(&project, &inputs);
            let image = "job".to_owned();
            let unlocked = Unlocked { image, what };
            assert_eq!(made.unwrap_err(), PlanError::Unlocked(unlocked));
        }
    }

    #[test]
    fn a_parent_without_the_platform_and_a_circle_are_refused() {
        let (_folder, project) = project();
        let on = |name: &str| examples::files_on(UsedImage::Stage(name.to_owned()));
        let circle = BTreeMap::from([
            ("base".to_owned(), on("job")),
            ("job".to_owned(), on("base")),
        ]);
        assert_eq!(Inputs::new(&project, circle).unwrap_err().code, "E085");
        let nowhere = BTreeMap::from([("job".to_owned(), on("elsewhere"))]);
        let inputs = Inputs::new(&project, nowhere).unwrap();
        let made = made(&project, &inputs);
        let Err(PlanError::Defect(defect)) = made else {
            panic!("the parent has no platform: {made:?}");
        };
        assert_eq!(defect.code, "E092");
    }
}
