//! The Dockerfiles of a project: what each stands on, and what it copies and installs.

use std::collections::BTreeMap;

use super::{
    build_line::BuildLine,
    image_name::ImageName,
    tree::{ProjectTree, is_aside, is_kind, name_of},
    variables::{UNKNOWN, Variables},
};
use crate::project::{
    dockerfile::{Dockerfile, Pattern, Resolution, Used},
    place::{Defect, Place},
};

/// How many Dockerfiles are read.
const FILES: usize = 500;

/// A Dockerfile.
#[derive(Debug)]
pub(super) struct FoundDockerfile {
    pub(super) path: String,
    pub(super) dockerfile: Dockerfile,
    pub(super) text: String,
}

/// A Dockerfile with the arguments of a build.
#[derive(Debug)]
pub(super) struct ResolvedDockerfile {
    /// The image that it stands on, as it is written after expansion, and its line; `None` for `scratch`.
    pub(super) base: Option<(String, usize)>,
    pub(super) resolution: Resolution,
}

/// The Dockerfiles of a project.
#[derive(Debug, Default)]
pub(super) struct Dockerfiles {
    pub(super) found: Vec<FoundDockerfile>,
    /// What is wrong with those that cannot be read.
    pub(super) wrong: Vec<Defect>,
}

impl Dockerfiles {
    /// Those of the project, and all that builds name.
    pub(super) fn of(tree: &ProjectTree, builds: &[BuildLine]) -> Self {
        let named = |path: &str| {
            builds
                .iter()
                .any(|build| build.dockerfile.as_deref() == Some(path))
        };
        let files = tree
            .files()
            .filter(|path| is_dockerfile(name_of(path)) && !is_aside(path) || named(path));
        let mut found = Self::default();
        for path in files.take(FILES) {
            let Some(bytes) = tree.bytes(path) else {
                continue;
            };
            match Dockerfile::parse(path.as_ref(), &bytes) {
                Ok(dockerfile) => found.found.push(FoundDockerfile {
                    path: path.to_owned(),
                    dockerfile,
                    text: String::from_utf8_lossy(&bytes).into_owned(),
                }),
                Err(defects) => found.wrong.extend(defects.into_iter().next()),
            }
        }
        found
    }
}

impl FoundDockerfile {
    /// The stages with the arguments of a build; arguments without a value get one that nobody knows.
    pub(super) fn resolved(
        &self,
        build: Option<&BuildLine>,
        variables: &Variables,
    ) -> Result<ResolvedDockerfile, Vec<Defect>> {
        let mut arguments: BTreeMap<String, String> = build
            .map(|build| build.arguments.clone())
            .unwrap_or_default();
        for argument in self.dockerfile.arguments() {
            if argument.default.is_none() && argument.stage.is_none() {
                let value = variables.get(&argument.name);
                let value = value.unwrap_or_else(|| UNKNOWN.to_string());
                arguments.entry(argument.name).or_insert(value);
            }
        }
        let target = build.and_then(|build| build.target.as_deref());
        let resolution = self.dockerfile.resolve(&arguments, target)?;
        let stages = resolution.stages();
        let mut stage = stages.get(resolution.target());
        let mut base = None;
        for _ in 0..=stages.len() {
            let Some(at) = stage else { break };
            match &at.base.used {
                Used::Stage(number) => stage = stages.get(*number),
                Used::Image(image) => {
                    base = Some((image.clone(), at.base.line));
                    break;
                }
                Used::Scratch => break,
            }
        }
        Ok(ResolvedDockerfile { base, resolution })
    }

    /// The place of a line.
    pub(super) fn at(&self, line: usize) -> Place {
        Place::of_line(&self.path, line)
    }

    /// The instructions with a keyword: the line, and what follows the keyword.
    pub(super) fn instructions<'d>(
        &'d self,
        keyword: &'d str,
    ) -> impl Iterator<Item = (usize, &'d str)> {
        let instructions = self.dockerfile.instructions().iter();
        let of_keyword = instructions.filter(move |found| found.keyword == keyword);
        of_keyword.map(|found| (found.line, found.arguments.as_str()))
    }

    /// Whether it has to do with Spark.
    pub(super) fn names_spark(&self) -> bool {
        let text = self.text.to_ascii_lowercase();
        text.contains("spark")
    }

    /// A value of `ARG` or `ENV` under one of these names, and its line.
    pub(super) fn value(&self, names: &[&str]) -> Option<(usize, String)> {
        let mut found = ["ARG", "ENV"]
            .into_iter()
            .flat_map(|keyword| self.instructions(keyword));
        found.find_map(|(line, text)| {
            let mut words = text.split_whitespace();
            words.find_map(|word| {
                let (name, value) = word.split_once('=')?;
                let value = value.trim_matches(['"', '\'']);
                names.contains(&name).then(|| (line, value.to_owned()))
            })
        })
    }
}

impl ResolvedDockerfile {
    /// Whether the image gets what `sparkpack package` makes.
    pub(super) fn copies_dist(&self) -> bool {
        let named = ["dist", "dist/main.py", "dist/jobs.zip", "dist/libs.zip"];
        named.iter().any(|path| self.resolution.names(path))
    }

    /// The sources that it copies by their names.
    pub(super) fn sources(&self) -> impl Iterator<Item = (&str, usize)> {
        let sources = self.resolution.sources().iter();
        sources.filter_map(|source| match &source.pattern {
            Pattern::Path(path) => Some((path.as_str(), source.line)),
            Pattern::Everything => Some((".", source.line)),
            Pattern::Glob(_) => None,
        })
    }

    /// The image that it stands on.
    pub(super) fn base_name(&self) -> Option<ImageName> {
        ImageName::parse(&self.base.as_ref()?.0)
    }
}

/// Whether a file is a Dockerfile by its name.
fn is_dockerfile(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let is_other = lower.ends_with(".dockerignore") || is_kind(&lower, "md");
    !is_other
        && (lower == "dockerfile"
            || lower.starts_with("dockerfile.")
            || lower.starts_with("dockerfile-")
            || lower.ends_with(".dockerfile")
            || lower == "containerfile")
}
