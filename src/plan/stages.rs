//! The stages of a project: each with its record, its fingerprint and what it stands on.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    order::Order,
    record::{self, Input, Record},
};
use crate::{
    image::{Digest, Platform},
    project::{
        Chain, Context, Image, Kind, Project,
        inputs::{ImageInputs, ImageUse, UsedImage},
        lock::{self, Lock},
        place::{Defect, Place},
        requirements::LockedWheel,
        source::{Origin, Source, Unpack},
    },
};

/// All stages of a project.
#[derive(Debug)]
pub struct Plan {
    /// The stages by name.
    pub stages: BTreeMap<String, Stage>,
}

/// One image to be made.
#[derive(Debug)]
pub struct Stage {
    /// The image's name.
    pub name: String,
    /// The stages that it stands on.
    pub parents: BTreeSet<String>,
    /// For each platform its record.
    pub platforms: Vec<PlatformStage>,
    /// What makes the tag.
    pub fingerprint: Digest,
    /// Whether a `RUN` may bring in what no input says.
    pub uses_network: bool,
}

/// A stage on one platform.
#[derive(Debug)]
pub struct PlatformStage {
    /// The platform.
    pub platform: Platform,
    /// Its inputs.
    pub record: Record,
    /// The record's fingerprint.
    pub fingerprint: Digest,
    /// The wheels that are installed for it.
    pub wheels: Vec<LockedWheel>,
}

/// What a plan is made from.
#[derive(Clone, Copy, Debug)]
pub struct PlanInputs<'a> {
    /// The configuration.
    pub project: &'a Project,
    /// The lock.
    pub lock: &'a Lock,
    /// What was read, by image.
    pub inputs: &'a BTreeMap<String, ImageInputs>,
    /// The chosen wheels, by image and platform, without those that its parents have.
    pub wheels: &'a BTreeMap<(String, Platform), Vec<LockedWheel>>,
    /// The digests of sources that are files or folders of this machine.
    pub local_sources: &'a BTreeMap<String, Digest>,
}

/// The names of the stages, parents first.
///
/// # Errors
/// Stages stand on each other in a circle.
pub fn parents_first(
    project: &Project,
    inputs: &BTreeMap<String, ImageInputs>,
) -> Result<Vec<String>, Defect> {
    let parents = inputs
        .iter()
        .map(|(name, inputs)| (name.clone(), stages_below(inputs)));
    let mut order = Order::new(parents);
    if let Some(circle) = order.circle() {
        let names: Vec<String> = circle.iter().map(|name| format!("`{name}`")).collect();
        let place = circle
            .first()
            .and_then(|name| project.images.get(name))
            .map(|image| image.place.clone());
        let place = place.unwrap_or_else(|| Place::of_line(crate::project::FILE_NAME, 1));
        let message = format!(
            "images stand on each other in a circle: {}",
            names.join(", ")
        );
        return Err(
            Defect::new("E085", place, message).hint("take one `FROM` or `COPY --from` away")
        );
    }
    let mut sorted = Vec::new();
    loop {
        let ready = order.take_ready();
        if ready.is_empty() {
            return Ok(sorted);
        }
        for name in &ready {
            order.done(name);
        }
        sorted.extend(ready);
    }
}

/// Makes the plan.
///
/// # Errors
/// The lock lacks a fact, or stages stand on each other in a circle.
pub fn make(facts: PlanInputs<'_>) -> Result<Plan, Defect> {
    let mut stages: BTreeMap<String, Stage> = BTreeMap::new();
    for name in parents_first(facts.project, facts.inputs)? {
        let (Some(image), Some(inputs)) =
            (facts.project.images.get(&name), facts.inputs.get(&name))
        else {
            continue;
        };
        let stage = stage(facts, image, inputs, &stages)?;
        stages.insert(name, stage);
    }
    Ok(Plan { stages })
}

fn stage(
    facts: PlanInputs<'_>,
    image: &Image,
    inputs: &ImageInputs,
    below: &BTreeMap<String, Stage>,
) -> Result<Stage, Defect> {
    let mut platforms = Vec::new();
    for platform in &image.platforms {
        let wheels = facts
            .wheels
            .get(&(image.name.clone(), platform.clone()))
            .cloned()
            .unwrap_or_default();
        let builder = RecordBuilder {
            facts,
            image,
            inputs,
            platform,
            below,
        };
        let record = builder.record(&wheels)?;
        platforms.push(PlatformStage {
            platform: platform.clone(),
            fingerprint: record.fingerprint(),
            record,
            wheels,
        });
    }
    let each: Vec<(Platform, Digest)> = platforms
        .iter()
        .map(|stage| (stage.platform.clone(), stage.fingerprint.clone()))
        .collect();
    let fingerprint = record::combined(&each).ok_or_else(|| {
        Defect::new(
            "E022",
            image.place.clone(),
            format!("`{}` has no platform", image.name),
        )
    })?;
    Ok(Stage {
        name: image.name.clone(),
        parents: stages_below(inputs),
        platforms,
        fingerprint,
        uses_network: inputs.resolution.uses_network(),
    })
}

fn stages_below(inputs: &ImageInputs) -> BTreeSet<String> {
    let stages = inputs
        .image_uses
        .iter()
        .filter_map(|used| match &used.image {
            UsedImage::Stage(name) => Some(name.clone()),
            UsedImage::External(_) | UsedImage::Source(_) | UsedImage::Scratch => None,
        });
    stages.collect()
}

struct RecordBuilder<'a> {
    facts: PlanInputs<'a>,
    image: &'a Image,
    inputs: &'a ImageInputs,
    platform: &'a Platform,
    below: &'a BTreeMap<String, Stage>,
}

impl RecordBuilder<'_> {
    fn record(&self, wheels: &[LockedWheel]) -> Result<Record, Defect> {
        let mut record = Record::default();
        record.add(&Input::Format(lock::FORMAT));
        record.add(&Input::Stage(self.image.name.clone()));
        record.add(&Input::Platform(self.platform.clone()));
        record.add(&Input::Dockerfile(self.inputs.dockerfile_digest.clone()));
        if let Some(target) = &self.image.target {
            record.add(&Input::Target(target.clone()));
        }
        let arguments = self.inputs.build_arguments.iter();
        for (name, value) in
            arguments.filter(|(name, _)| !self.inputs.dockerfile.only_names_images(name))
        {
            record.add(&Input::BuildArgument {
                name: name.clone(),
                value: value.clone(),
            });
        }
        if let Some(revision) = self.facts.lock.revisions.get(&self.image.name) {
            record.add(&Input::Revision {
                number: revision.number,
                reason: revision.reason.clone(),
            });
        }
        self.inputs
            .context
            .iter()
            .for_each(|entry| record.add(&Input::of_context(entry)));
        for used in &self.inputs.image_uses {
            self.used_image(used)
                .transpose()?
                .iter()
                .for_each(|input| record.add(input));
        }
        for fetched in fetched_into_context(self.facts.project, self.image) {
            record.add(&self.source(fetched.source, fetched.role)?);
        }
        if let Some(package) = &self.inputs.package {
            record.add(&Input::Main {
                name: package.main.path.clone(),
                digest: package.main_digest(),
            });
            package
                .modules
                .iter()
                .map(module)
                .for_each(|input| record.add(&input));
        }
        for wheel in wheels {
            record.add(&Input::Wheel {
                file_name: wheel.wheel.file_name.clone(),
                sha256: wheel.sha256.clone(),
            });
        }
        Ok(record)
    }

    fn used_image(&self, used: &ImageUse) -> Option<Result<Input, Defect>> {
        let role = used.role.clone();
        match &used.image {
            UsedImage::Scratch => None,
            UsedImage::Source(name) => Some(self.source(name, role)),
            UsedImage::External(text) => {
                let locked = self.facts.lock.images.get(text);
                let missing = || unlocked(self.image, &format!("the digest of the image `{text}`"));
                Some(
                    locked
                        .map(|image| Input::External {
                            role,
                            digest: image.digest().clone(),
                        })
                        .ok_or_else(missing),
                )
            }
            UsedImage::Stage(name) => {
                let same_platform = |stage: &Stage| {
                    stage
                        .platforms
                        .iter()
                        .find(|stage| stage.platform == *self.platform)
                        .map(|stage| stage.fingerprint.clone())
                };
                let fingerprint = self.below.get(name).and_then(same_platform);
                let missing = || {
                    let message = format!(
                        "`{}` is made for {}, but `{name}`, which it stands on, is not",
                        self.image.name, self.platform
                    );
                    Defect::new("E092", self.image.place.clone(), message)
                        .hint(format!("give `{name}` the same `platforms`"))
                };
                Some(
                    fingerprint
                        .map(|fingerprint| Input::Parent {
                            role,
                            stage: name.clone(),
                            fingerprint,
                        })
                        .ok_or_else(missing),
                )
            }
        }
    }

    fn source(&self, name: &str, role: String) -> Result<Input, Defect> {
        let missing = || unlocked(self.image, &format!("the checksum of the source `{name}`"));
        let source = self.facts.project.sources.get(name).ok_or_else(missing)?;
        let sha256 =
            source_digest(source, self.facts.lock, self.facts.local_sources).ok_or_else(missing)?;
        let unpack = match (source.unpack, self.inputs.single_files.get(name)) {
            (Unpack::No, Some(file)) => {
                let mode = if file.executable { "0755" } else { "0644" };
                format!("file {mode} {}", file.name)
            }
            (Unpack::No, None) => "no".to_owned(),
            (Unpack::Archive { strip }, _) => format!("archive {strip}"),
            (Unpack::Spark, _) => "spark".to_owned(),
        };
        Ok(Input::Source {
            role,
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

/// The checksum of a source: what is there now for a file or folder of this machine, else what the lock or the
/// configuration says.
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

/// A source whose files become context files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContextSource<'a> {
    /// Its name.
    pub source: &'a str,
    /// Its row in the record.
    pub role: String,
    /// The folder of the context that its files go to.
    pub folder: &'static str,
}

/// The sources that are fetched into the context of `image` when it is built.
#[must_use]
pub fn fetched_into_context<'a>(project: &'a Project, image: &'a Image) -> Vec<ContextSource<'a>> {
    let mut fetched = Vec::new();
    if let (Context::Source(source), Some(_)) = (&image.context, &image.dockerfile) {
        fetched.push(ContextSource {
            source,
            role: "context".to_owned(),
            folder: "",
        });
    }
    let jars = project
        .chain_of(image)
        .map_or(&[][..], |chain| jars_of(chain, image.kind));
    fetched.extend(jars.iter().map(|source| {
        let name = project
            .sources
            .get(source)
            .map(Source::file_name)
            .unwrap_or_default();
        ContextSource {
            source,
            role: format!("jars/{name}"),
            folder: "jars",
        }
    }));
    fetched
}

fn jars_of(chain: &Chain, kind: Kind) -> &[String] {
    match kind {
        Kind::Base => &chain.base_jars,
        Kind::Ds => &chain.ds_jars,
        Kind::Py | Kind::Operator | Kind::Job | Kind::Own => &[],
    }
}

fn unlocked(image: &Image, what: &str) -> Defect {
    let message = format!(
        "`{}` needs {what}, which the lock does not have",
        image.name
    );
    Defect::new("E033", Place::of_line(lock::FILE_NAME, 1), message)
        .hint("run `sparkpack lock`, which completes the locks")
}

impl Plan {
    /// The names of all stages that `wanted` stand on, and their own.
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
