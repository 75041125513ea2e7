//! What an image has besides a job's own code: the packages of the job and of everything that it stands on, as far as
//! that is known.

use std::{collections::BTreeSet, fmt::Write as _, sync::Arc};

use super::{installed::Installations, to_install::ToInstall};
use crate::{
    image::{Digest, Platform},
    operations::{
        resolution::{Prepared, Wheels},
        workspace::Session,
    },
    package::imports::{ModuleTree, modules_of},
    plan::{Inputs, PlatformStage, Recipe, StageInputs},
    project::{
        Image,
        elsewhere::LockedContents,
        inputs::DockerfileInputs,
        lock::Lock,
        requirements::{LockedWheel, SPARKS_OWN},
        wheel::Target,
    },
};

/// The part of a job's packages in `libs.zip`.
pub(super) const IN_ZIP: u32 = 0;

/// The part of a job's packages in `site-packages`.
pub(super) const IN_FOLDER: u32 = 1;

/// What lies in images below a job.
pub(super) const BELOW: u32 = 2;

/// Root images of which it is known that they have no Python packages.
const PLAIN: [&str; 8] = [
    "debian",
    "ubuntu",
    "alpine",
    "busybox",
    "eclipse-temurin",
    "openjdk",
    "amazoncorretto",
    "scratch",
];

/// Words in a `RUN` that may install Python packages.
const INSTALLING: [&str; 13] = [
    "pip",
    "conda",
    "mamba",
    "uv ",
    "poetry",
    "pdm",
    "easy_install",
    "setup.py",
    "site-packages",
    "dist-packages",
    "python3-",
    ".whl",
    "PYTHONPATH",
];

/// One image of a job's chain, on one platform.
#[derive(Clone)]
pub(super) struct Layer {
    pub(super) image: Arc<Image>,
    pub(super) inputs: Arc<StageInputs>,
    pub(super) wheels: Vec<LockedWheel>,
    pub(super) target: Option<Target>,
    /// What was found in the image from elsewhere that it stands on.
    pub(super) contents: Option<LockedContents>,
}

impl Layer {
    fn of(on: &PlatformStage) -> Self {
        Self {
            image: Arc::clone(&on.image),
            inputs: Arc::clone(&on.inputs),
            wheels: on.wheels.clone(),
            target: on.target.clone(),
            contents: on.elsewhere.clone(),
        }
    }

    pub(super) fn to_install(&self) -> ToInstall<'_> {
        let requirements = self.inputs.requirements.as_ref();
        ToInstall::new(
            &self.image,
            requirements,
            &self.wheels,
            self.target.as_ref(),
        )
    }

    /// Its own Dockerfile, if it has one.
    pub(super) fn own_dockerfile(&self) -> Option<&DockerfileInputs> {
        match &self.inputs.recipe {
            Recipe::Dockerfile(inputs) if inputs.built_in.is_none() => Some(inputs),
            Recipe::Dockerfile(_) | Recipe::Files(_) => None,
        }
    }

    /// Whether it may have Python packages that are in no lock.
    pub(super) fn has_unknown(&self) -> bool {
        let base = self.inputs.recipe.external_base();
        let stands_on_unknown = base.is_some_and(|base| self.contents.is_none() && !is_plain(base));
        stands_on_unknown || self.own_dockerfile().is_some_and(installs)
    }
}

/// These images and what they stand on, on every platform.
pub(super) fn layers_of(prepared: &Prepared, names: &[String]) -> Vec<Layer> {
    let names = prepared.plan.with_parents(names);
    let stages = names
        .iter()
        .filter_map(|name| prepared.plan.stages.get(name));
    let layers = stages.flat_map(|stage| stage.platforms.iter().map(Layer::of));
    layers.collect()
}

/// A job on its first platform, and what it stands on.
pub(crate) struct JobImage {
    pub(super) image: Arc<Image>,
    pub(super) job: Layer,
    pub(super) below: Vec<Layer>,
    /// Whether its packages may be installed to know what is in them.
    pub(super) installs: bool,
}

impl JobImage {
    /// The jobs among the images with these names. Packages are installed for those that `installs` says.
    pub(crate) fn of_plan<'n>(
        prepared: &Prepared,
        names: impl IntoIterator<Item = &'n String>,
        installs: &dyn Fn(&str) -> bool,
    ) -> Vec<Self> {
        let layer = |name: &str, platform: Option<&Platform>| {
            let stage = prepared.plan.stages.get(name)?;
            let on = match platform {
                Some(platform) => stage.platforms.iter().find(|on| on.platform == *platform),
                None => stage.platforms.first(),
            }?;
            Some((on, Layer::of(on)))
        };
        let jobs = names.into_iter().filter_map(|name| {
            let (on, job) = layer(name, None)?;
            on.inputs.package.as_ref()?;
            let below = below(&job, &|name| Some(layer(name, Some(&on.platform))?.1));
            Some(Self {
                image: Arc::clone(&on.image),
                job,
                below,
                installs: installs(name),
            })
        });
        jobs.collect()
    }

    /// All jobs of a project of which there is no plan. Their packages are installed.
    pub(super) fn of_inputs(
        session: &Session<'_>,
        (inputs, wheels, lock): (&Inputs, &Wheels, &Lock),
    ) -> Vec<Self> {
        let project = &session.project;
        let layer = |name: &str, platform: &Platform| {
            let image = project.images.get(name)?;
            let inputs = Arc::clone(inputs.get(name)?);
            let chain = project.chain_of(image).filter(|chain| {
                let elsewhere = chain.elsewhere().map(|elsewhere| elsewhere.image.as_str());
                elsewhere.is_some() && inputs.recipe.external_base() == elsewhere
            });
            let wheels = wheels.get(&(name.to_owned(), platform.clone()));
            Some(Layer {
                image: Arc::clone(image),
                wheels: wheels.cloned().unwrap_or_default(),
                target: lock.target(project, image, platform),
                contents: chain
                    .and_then(|chain| lock.contents_of(chain, platform))
                    .cloned(),
                inputs,
            })
        };
        let jobs = project.images.iter().filter_map(|(name, image)| {
            let platform = image.platforms.first()?;
            let job = layer(name, platform)?;
            job.inputs.package.as_ref()?;
            let below = below(&job, &|name| layer(name, platform));
            Some(Self {
                image: Arc::clone(image),
                job,
                below,
                installs: true,
            })
        });
        jobs.collect()
    }

    fn layers(&self) -> impl Iterator<Item = &Layer> {
        std::iter::once(&self.job).chain(&self.below)
    }

    /// Everything but the job's own files that decides [`World::of`].
    pub(super) fn key_of_world(&self, installations: &Installations<'_>) -> String {
        let mut key = String::new();
        for layer in self.layers() {
            let wanted = layer.to_install();
            let packages = wanted.key();
            let packages = packages.as_ref().map(Digest::as_str).unwrap_or_default();
            let are_listed = installations.are_listed(wanted);
            let contents = layer
                .contents
                .as_ref()
                .map(|contents| contents.digest.as_str());
            // Writing to a string does not fail.
            let _ = writeln!(
                key,
                "layer {packages} {are_listed:?} {} {}",
                layer.has_unknown(),
                contents.unwrap_or_default()
            );
        }
        key
    }
}

/// What an image stands on, the nearest first.
fn below(job: &Layer, layer: &dyn Fn(&str) -> Option<Layer>) -> Vec<Layer> {
    let mut queue: Vec<String> = job.inputs.recipe.parents().into_iter().collect();
    let (mut known, mut found) = (BTreeSet::new(), Vec::new());
    while let Some(name) = queue.pop() {
        if !known.insert(name.clone()) {
            continue;
        }
        if let Some(layer) = layer(&name) {
            queue.extend(layer.inputs.recipe.parents());
            found.push(layer);
        }
    }
    found
}

/// What an image has besides a job's own code.
pub(super) struct World {
    pub(super) packages: ModuleTree,
    pub(super) others: Vec<&'static str>,
    pub(super) has_unknown: bool,
}

impl World {
    /// As far as it is known without installing anything.
    pub(super) fn of(job: &JobImage, installations: &Installations<'_>) -> Self {
        let mut world = Self {
            packages: ModuleTree::default(),
            others: Vec::new(),
            has_unknown: false,
        };
        for layer in &job.below {
            world.add(layer, [BELOW, BELOW], installations);
        }
        world.add(&job.job, [IN_ZIP, IN_FOLDER], installations);
        world
    }

    fn add(
        &mut self,
        layer: &Layer,
        [in_zip, in_folder]: [u32; 2],
        installations: &Installations<'_>,
    ) {
        self.has_unknown |= layer.has_unknown();
        if let Some(contents) = &layer.contents {
            let installed = contents.all_installed();
            let names = installed.iter().map(|pin| pin.name.as_str());
            names.for_each(|name| self.add_distribution(name));
        }
        if layer.wheels.is_empty() {
            return;
        }
        if let Some(known) = installations.known(layer.to_install()) {
            for (entries, part) in [(known.libs, in_zip), (known.site_packages, in_folder)] {
                for entry in &entries {
                    self.packages.add(&entry.path, part);
                }
            }
            return;
        }
        for wheel in &layer.wheels {
            let target = layer.target.as_ref();
            match target.and_then(|target| installations.known_wheel(wheel, target)) {
                Some(files) => {
                    for entry in &files {
                        self.packages.add(&entry.path, BELOW);
                    }
                }
                None => self.add_distribution(&wheel.wheel.name),
            }
        }
    }

    /// Adds a distribution of which no file is known.
    fn add_distribution(&mut self, name: &str) {
        match modules_of(name) {
            Some(modules) => self.others.extend(modules),
            None => self.has_unknown |= !SPARKS_OWN.contains(&name),
        }
    }
}

/// Whether it is known of a root image that it has no Python packages.
fn is_plain(image: &str) -> bool {
    let name = image.split('@').next().unwrap_or(image);
    let name = name.rsplit('/').next().unwrap_or(name);
    PLAIN.contains(&name.split(':').next().unwrap_or(name))
}

/// Whether a Dockerfile may put Python packages into its image that are in no lock.
fn installs(inputs: &DockerfileInputs) -> bool {
    let has_code = inputs.context.iter().any(|entry| {
        let ending = std::path::Path::new(&entry.path).extension();
        ending.is_some_and(|ending| {
            ["py", "so", "whl", "egg", "zip"]
                .iter()
                .any(|one| ending == *one)
        })
    });
    let mut instructions = inputs.dockerfile.instructions().iter();
    has_code
        || inputs.has_triggers
        || instructions.any(|instruction| {
            let text = instruction.arguments.as_str();
            match &*instruction.keyword {
                "RUN" => {
                    !instruction.heredocs.is_empty()
                        || INSTALLING.iter().any(|word| text.contains(word))
                }
                "COPY" | "ADD" => {
                    text.contains("--from")
                        && !["jar", "java", "spark"]
                            .iter()
                            .any(|word| text.contains(word))
                }
                "ENV" => text.contains("PYTHONPATH") && searches_elsewhere(text),
                _ => false,
            }
        })
}

/// Whether a value of `PYTHONPATH` names a folder that is not known here.
fn searches_elsewhere(text: &str) -> bool {
    let Some((_, value)) = text.split_once("PYTHONPATH") else {
        return false;
    };
    let value = value.trim_start_matches(['=', ' ', '"']);
    let value = value.split([' ', '"']).next().unwrap_or(value);
    let known = |path: &str| {
        path.is_empty()
            || path.starts_with(['$', '+', '-', '}'])
            || path.starts_with("/opt/job")
            || path.starts_with("/opt/ds")
            || path.contains("spark")
            || path.contains("py4j")
    };
    !value.split(':').all(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_images_have_no_packages() {
        for (image, wanted) in [
            ("debian:bookworm-slim", true),
            ("registry.example/library/debian:12@sha256:00", true),
            ("ubuntu", true),
            ("python:3.11-slim", false),
            ("apache/spark:3.5.8-python3", false),
            ("registry.example:5000/acme/hardened:1", false),
        ] {
            assert_eq!(is_plain(image), wanted, "{image}");
        }
    }

    #[test]
    fn folders_of_jobs_and_of_spark_are_known() {
        for (text, wanted) in [
            (
                "PYTHONPATH=/opt/job/site-packages:/opt/job/libs.zip:/opt/job/jobs.zip${PYTHONPATH:+:${PYTHONPATH}}",
                false,
            ),
            ("PYTHONPATH=\"/opt/spark/python:$PYTHONPATH\"", false),
            ("PYTHONPATH /opt/ds/site-packages", false),
            ("PYTHONPATH=/app/src:$PYTHONPATH", true),
            ("A=1 PYTHONPATH=/opt/job:/code", true),
        ] {
            assert_eq!(searches_elsewhere(text), wanted, "{text}");
        }
    }
}
