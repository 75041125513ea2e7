//! What is known of the files in an image, and warnings about `local://` paths that are not among them.
//!
//! A path is judged only below a folder into which the job's Dockerfile copies files of the project, and into which
//! nothing else puts any.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    code::Code,
    operations::resolution::Prepared,
    plan::{Recipe, StageInputs},
    project::{
        self, Image,
        dockerfile::{Pattern, Placed},
        inputs::{DockerfileInputs, FilesInputs},
        job_files::PackageInputs,
        place::{Defect, nearest},
        tree::Content,
    },
    yaml::{self, ImagePlace, Located},
};

/// What the images are made from, to look into them where a manifest names a file.
pub(crate) struct Contents(BTreeMap<String, (Arc<Image>, Arc<StageInputs>)>);

/// What is known of an image.
#[derive(Default)]
struct ImageFiles {
    files: BTreeSet<String>,
    /// Paths at or below which anything may lie.
    unknown: Vec<String>,
    /// The commands that ran, each with whether it is one of a built-in Dockerfile.
    commands: Vec<(String, bool)>,
}

impl Contents {
    pub(crate) fn of(prepared: &Prepared) -> Self {
        let stages = prepared.plan.stages.values();
        let of_stage = |stage: &crate::plan::Stage| {
            let made_of = (Arc::clone(&stage.image), Arc::clone(&stage.inputs));
            (stage.name.clone(), made_of)
        };
        Self(stages.map(of_stage).collect())
    }

    /// What is known of an image: its own files, and those of the images of the project below it.
    fn known(&self, name: &str) -> Option<ImageFiles> {
        let mut known = ImageFiles::default();
        let mut next = Some(name);
        while let Some(name) = next {
            let (image, inputs) = self.0.get(name)?;
            match &inputs.recipe {
                Recipe::Dockerfile(dockerfile) => known.add(image, inputs, dockerfile)?,
                Recipe::Files(files) => known.add_files(inputs, files),
            }
            next = inputs.recipe.base();
        }
        Some(known)
    }

    /// Warnings about the files that objects name in the images of jobs.
    pub(crate) fn warnings(&self, located: &Located) -> Vec<Defect> {
        let mut warnings = Vec::new();
        for (index, object) in located.objects.iter().enumerate() {
            if object.local.files.is_empty() {
                continue;
            }
            let of_object = |place: &&ImagePlace| place.object == Some(index);
            let places = located.places.iter().filter(of_object);
            let Some(name) = driver_image(places) else {
                continue;
            };
            let is_job = |(_, inputs): &(_, Arc<StageInputs>)| inputs.package.is_some();
            if !self.0.get(&name).is_some_and(is_job) {
                continue;
            }
            let Some(mut known) = self.known(&name) else {
                continue;
            };
            known.unknown.extend(object.local.mounts.iter().cloned());
            for (place, text) in &object.local.files {
                let Some(hint) = known.lack(text) else {
                    continue;
                };
                let message = format!("`{text}` is not in `{name}`");
                warnings.push(Defect::new(Code::W132, place.clone(), message).hint(hint));
            }
        }
        warnings
    }
}

/// The files of a job beside its archives, by their paths below its folder.
fn paths_of(package: &PackageInputs) -> Vec<String> {
    let beside = package.beside.iter().map(|entry| entry.path.clone());
    let code = package.folder().unwrap_or_default().into_iter();
    let code = code.map(|entry| format!("jobs/{}", entry.path));
    beside.chain(code).collect()
}

/// The image of the project in which the driver runs: that of the driver, or else that of all.
fn driver_image<'p>(places: impl Iterator<Item = &'p ImagePlace>) -> Option<String> {
    let rank = |path: &str| match path {
        path if path.ends_with("spec.driver.image") || path.ends_with("template.driver.image") => {
            Some(0)
        }
        path if path.ends_with("kubernetes.driver.container.image\"]") => Some(0),
        "spec.image" | "spec.template.image" | "spec.sparkImage.custom" => Some(1),
        path if path.ends_with("kubernetes.container.image\"]") => Some(2),
        _ => None,
    };
    let ranked = places.filter_map(|place| Some((rank(&place.path)?, place)));
    let (_, place) = ranked.min_by_key(|(rank, _)| *rank)?;
    place.image.clone()
}

impl ImageFiles {
    /// Adds what an image puts on top of the one below; `None` if that cannot be told.
    fn add(
        &mut self,
        image: &Image,
        inputs: &StageInputs,
        dockerfile: &DockerfileInputs,
    ) -> Option<()> {
        let is_built_in = dockerfile.built_in.is_some();
        let package = match image.context {
            project::Context::Package if !is_built_in => "",
            _ => "dist/",
        };
        let mut files: Vec<String> = Vec::new();
        let mut unknown = vec![
            "site-packages/".to_owned(),
            format!("{package}site-packages/"),
        ];
        if let Some(job) = &inputs.package {
            let names = ["main.py", "jobs.zip", "libs.zip"].map(str::to_owned);
            let names = names.into_iter().chain(paths_of(job));
            files.extend(names.map(|name| format!("{package}{name}")));
        }
        for entry in &dockerfile.context {
            match &entry.content {
                Content::File { .. } => files.push(entry.path.clone()),
                Content::Symlink { .. } => unknown.push(format!("{}/", entry.path)),
            }
        }
        let has_sources = !dockerfile.context_sources.is_empty();
        for placed in dockerfile.dockerfile.placed(&dockerfile.resolution)? {
            match placed {
                Placed::Files { destination, .. } if has_sources => self.unknown.push(destination),
                Placed::Files {
                    sources,
                    destination,
                    is_folder,
                } => {
                    for source in &sources {
                        self.copy(source, (&destination, is_folder), &files, &unknown);
                    }
                }
                Placed::Unknown(path) => self.unknown.push(path),
                Placed::Command { text, folder } => {
                    if folder != "/" {
                        self.unknown.push(folder);
                    }
                    self.commands.push((text, is_built_in));
                }
            }
        }
        Some(())
    }

    /// Adds what an image without a Dockerfile gets.
    fn add_files(&mut self, inputs: &StageInputs, files: &FilesInputs) {
        for place in &files.places {
            let folder = place.folder_in(None);
            match (place.what, &inputs.package) {
                ("job", Some(package)) => {
                    let names = ["main.py", "jobs.zip"].map(str::to_owned);
                    let names = names.into_iter().chain(paths_of(package));
                    self.files
                        .extend(names.map(|name| format!("{folder}/{name}")));
                }
                ("jobs", _) => {}
                ("libs.zip", _) => {
                    self.files.insert(format!("{folder}/libs.zip"));
                }
                _ => self.unknown.push(folder),
            }
        }
    }

    fn copy(
        &mut self,
        source: &Pattern,
        (destination, is_folder): (&str, bool),
        files: &[String],
        unknown: &[String],
    ) {
        for file in files {
            let Some(below) = source.below(file) else {
                continue;
            };
            let is_destination = *source == Pattern::Path(file.clone()) && !is_folder;
            self.files.insert(if is_destination {
                destination.to_owned()
            } else {
                format!("{destination}/{below}")
            });
        }
        for folder in unknown {
            let inside = format!("{folder}x");
            let within = matches!(source, Pattern::Path(path) if path.starts_with(folder.as_str()));
            if within {
                self.unknown.push(destination.to_owned());
            } else if let Some(below) = source.below(&inside) {
                let path = format!("{destination}/{below}");
                let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
                self.unknown.push(folder.to_owned());
            }
        }
    }

    /// A hint about what is there in place of a path that is surely not; `None` if it is there, or may be.
    fn lack(&self, text: &str) -> Option<String> {
        let path = text.strip_prefix("local:")?.split('#').next()?;
        let parts = path.split('/').filter(|part| !matches!(*part, "" | "."));
        let path = parts.fold(String::new(), |path, part| format!("{path}/{part}"));
        if yaml::holds_expression(text)
            || path.contains(['*', '?', '$', '%'])
            || path.contains("/..")
        {
            return None;
        }
        let folder = path.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
        let below = format!("{folder}/");
        let mut near = self.files.iter().filter(|file| file.starts_with(&below));
        let first = near.clone().next()?;
        let is_at = |at: &String| {
            let at = at.trim_end_matches('/');
            path == at
                || path
                    .strip_prefix(at)
                    .is_some_and(|rest| rest.starts_with('/'))
        };
        let in_folder = |command: &str, is_built_in: bool| {
            let name = folder.rsplit('/').next().unwrap_or(&folder);
            command.contains(&folder) || (!is_built_in && command.contains(name))
        };
        let is_there = self.files.contains(&path)
            || self
                .files
                .iter()
                .any(|file| file.starts_with(&format!("{path}/")));
        let may_be = self.unknown.iter().any(is_at)
            || self
                .commands
                .iter()
                .any(|(text, is_built_in)| in_folder(text, *is_built_in));
        if is_there || may_be {
            return None;
        }
        let name = path.rsplit('/').next().unwrap_or_default();
        let extension = name.rsplit('.').next().unwrap_or_default();
        let same_name = near
            .clone()
            .find(|file| file.rsplit('/').next() == Some(name));
        let similar = nearest(&path, near.clone().map(String::as_str));
        let same_kind = near.find(|file| file.ends_with(&format!(".{extension}")));
        let best = same_name.map(String::as_str).or(similar);
        let best = best.or(same_kind.map(String::as_str)).unwrap_or(first);
        Some(format!("it has `local://{best}`"))
    }
}
