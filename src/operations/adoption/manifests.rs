//! The manifests of a project: the images that they name, the versions that they state, the files that they start.

use super::{
    image_name::ImageName,
    tree::{ProjectTree, is_aside, is_kind, name_of},
    variables::Variables,
};
use crate::{
    image::Reference,
    project::{ImageMatcher, place::Place},
    yaml::{LeftAlone, PlaceRules, holds_expression, locate},
};

/// How many YAML files are read.
const FILES: usize = 20_000;

/// A place that names an image.
#[derive(Clone, Debug)]
pub(super) struct NamedImage {
    pub(super) place: Place,
    pub(super) reference: Reference,
    /// Whether an object of a Spark operator names it.
    pub(super) is_spark: bool,
}

/// A file with manifests.
#[derive(Clone, Debug, Default)]
pub(super) struct Manifest {
    pub(super) path: String,
    pub(super) images: Vec<NamedImage>,
    /// Images of which an expression fills in a part, as they are written.
    pub(super) filled_in: Vec<(Place, String)>,
    /// Where an object of a Spark operator stands, and its kind.
    pub(super) spark: Option<(Place, String)>,
    /// Whether it is rendered before it is YAML.
    pub(super) is_template: bool,
    /// Spark's versions that it states.
    pub(super) versions: Vec<(Place, String)>,
    /// Files in an image that it starts, or that it names otherwise.
    pub(super) local: Vec<(Place, String)>,
    /// Python files of a bucket or another file system that it starts.
    pub(super) far: Vec<(Place, String)>,
    /// Lines with `imagePullPolicy: Always`.
    pub(super) always: Vec<usize>,
    /// Why no place can be told.
    pub(super) wrong: Option<String>,
}

/// Reads all manifests of the project.
///
/// Those of the second kind are no YAML, and those of the third name nothing that is known without the project's images.
pub(super) fn read(tree: &ProjectTree) -> (Vec<Manifest>, Vec<String>, Vec<String>) {
    let matcher = ImageMatcher::default();
    let rules = PlaceRules::new(&[], [], &matcher);
    let files = tree.files().filter(|path| may_be_manifest(path));
    let mut manifests = Vec::new();
    let mut broken = Vec::new();
    let mut others = Vec::new();
    for path in files.take(FILES) {
        let Some(text) = tree.text(path) else {
            broken.push(path.to_owned());
            continue;
        };
        let manifest = Manifest::of(path, &text, &rules);
        if manifest.says_something() {
            manifests.push(manifest);
        } else if manifest.wrong.is_some() {
            broken.push(manifest.path);
        } else {
            others.push(manifest.path);
        }
    }
    (manifests, broken, others)
}

impl Manifest {
    fn of(path: &str, text: &str, rules: &PlaceRules<'_>) -> Self {
        let mut found = Self {
            path: path.to_owned(),
            always: lines_with(text, "imagePullPolicy: Always"),
            ..Self::default()
        };
        match locate(path.as_ref(), text, rules) {
            Ok(located) => {
                found.is_template = located.is_template;
                let spark = located.objects.iter().find(|object| object.is_spark);
                found.spark = spark.map(|object| (object.place.clone(), object.kind.clone()));
                for object in &located.objects {
                    found.versions.extend(object.spark_version.clone());
                    found.local.extend(object.local.files.clone());
                }
                for place in &located.places {
                    let object = place.object.and_then(|index| located.objects.get(index));
                    let is_spark = object.is_some_and(|object| object.is_spark);
                    let written = place.written();
                    match place.reference() {
                        _ if place.left_alone == Some(LeftAlone::Template) => {
                            found.filled_in.push((place.place.clone(), written));
                        }
                        Some(reference) => found.images.push(NamedImage {
                            place: place.place.clone(),
                            reference,
                            is_spark,
                        }),
                        None => {}
                    }
                }
            }
            Err(wrong) => {
                found.wrong = wrong.defects.first().map(ToString::to_string);
            }
        }
        found.far = far_files(path, text);
        if found.is_template || found.wrong.is_some() {
            found.read_lines(text);
        }
        found
    }

    /// What a text says that is no YAML before it is rendered: line by line.
    fn read_lines(&mut self, text: &str) {
        for (index, line) in text.lines().enumerate() {
            let Some((key, value)) = line.trim_start_matches([' ', '-']).split_once(':') else {
                continue;
            };
            let value = value.trim().trim_matches(['"', '\'']);
            let place = Place::of_line(&self.path, index + 1);
            let is_expression = holds_expression(value);
            match key {
                "kind" if ["SparkApplication", "ScheduledSparkApplication"].contains(&value) => {
                    self.spark = self
                        .spark
                        .take()
                        .or_else(|| Some((place, value.to_owned())));
                }
                "image" if is_expression => self.filled_in.push((place, value.to_owned())),
                "mainApplicationFile" if !is_expression => {
                    self.local.push((place, value.to_owned()));
                }
                "sparkVersion" if !is_expression => self.versions.push((place, value.to_owned())),
                _ => {}
            }
        }
    }

    fn says_something(&self) -> bool {
        let names_images = !self.images.is_empty() || !self.filled_in.is_empty();
        names_images || self.spark.is_some() || !self.local.is_empty()
    }

    /// The names that variables of scripts fill in.
    pub(super) fn rendered(&self, variables: &Variables) -> Vec<(Place, ImageName)> {
        let of_shell = self
            .filled_in
            .iter()
            .filter(|(_, text)| !text.contains("{{"));
        let named = of_shell.filter_map(|(place, text)| {
            let name = ImageName::parse(&variables.expand(text))?;
            name.repository.is_some().then(|| (place.clone(), name))
        });
        named.collect()
    }

    /// The names of its images.
    pub(super) fn names(&self) -> impl Iterator<Item = (&NamedImage, ImageName)> {
        let images = self.images.iter();
        images.map(|image| (image, ImageName::of(&image.reference)))
    }

    /// The Python files that it starts.
    pub(super) fn started(&self) -> impl Iterator<Item = &(Place, String)> {
        let is_own = |file: &str| !file.contains("/spark/examples/");
        let local = self.local.iter();
        local.filter(move |(_, file)| is_kind(file, "py") && is_own(file))
    }
}

/// The main files that are in no image.
fn far_files(path: &str, text: &str) -> Vec<(Place, String)> {
    let lines = text.lines().enumerate();
    let named = lines.filter_map(|(index, line)| {
        let (_, value) = line.split_once("mainApplicationFile:")?;
        let value = value.trim().trim_matches(['"', '\'']);
        let is_far = value.contains("://") && !value.starts_with("local:") && is_kind(value, "py");
        is_far.then(|| (Place::of_line(path, index + 1), value.to_owned()))
    });
    named.collect()
}

/// The numbers of the lines that hold a text.
fn lines_with(text: &str, wanted: &str) -> Vec<usize> {
    let lines = text.lines().enumerate();
    let with =
        lines.filter(|(_, line)| line.contains(wanted) && !line.trim_start().starts_with('#'));
    with.map(|(index, _)| index + 1).collect()
}

/// Whether a file may be a manifest by its name.
pub(super) fn may_be_manifest(path: &str) -> bool {
    let name = name_of(path).to_ascii_lowercase();
    let is_yaml = [
        ".yaml",
        ".yml",
        ".yaml.tpl",
        ".yml.tpl",
        ".yaml.tmpl",
        ".yml.tmpl",
        ".yaml.j2",
        ".yml.j2",
    ]
    .iter()
    .any(|end| name.ends_with(end));
    let is_other = [
        "docker-compose",
        "compose.",
        "mkdocs",
        "chart.",
        "environment.",
        "conda",
        "meta.",
        "buildspec",
        "cloudbuild",
        "azure-pipelines",
        "bitbucket-pipelines",
        "taskfile",
        "skaffold",
        "dbt_project",
    ];
    is_yaml && !is_aside(path) && !is_other.iter().any(|start| name.starts_with(start))
}
