//! Builders: they make images from Dockerfiles, wherever they run.
//!
//! An image counts as built only if the builder reported success and named the image, and if the image has the
//! requested platform, labels and base layers ([`BuildRequest::verify`]), and a program for the platform. Only then does it get its tag.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    buildkit::BuildKitError, docker::error::DockerError, layout::LayoutError,
    registry::RegistryError, secrets::BuildSecrets,
};
use crate::{
    image::{ExpectedBase, ImageInfo, ImageMismatch, Platform, Reference},
    project::tree::Entry,
};

/// Makes images from Dockerfiles.
pub trait Builder: Send + Sync {
    /// Its name in messages, such as `the classic builder`.
    fn name(&self) -> &'static str;

    /// Identifies the build cache: builders with the same ID reuse each other's steps.
    fn cache_id(&self) -> String;

    /// The builder's features.
    fn features(&self) -> Features;

    /// Builds an image, verifies it, and only then tags it.
    ///
    /// # Errors
    /// [`BuildError::Failed`] with the failing step, [`BuildError::Mismatch`] if the image is not the requested one,
    /// otherwise an error of the builder itself.
    fn build(
        &self,
        request: &BuildRequest,
        events: &mut dyn FnMut(BuildEvent),
    ) -> Result<ImageInfo, BuildError>;
}

/// The features of a builder, and how it names the steps of a Dockerfile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// Whether it supports the features in [`Dockerfile::features`](crate::project::dockerfile::Dockerfile::features):
    /// mounts, heredocs and the like.
    pub extended_syntax: bool,
    /// Whether it skips the stages of a Dockerfile that the target does not need.
    pub skips_unneeded_stages: bool,
    /// How it numbers the steps.
    pub step_numbers: StepNumbers,
}

impl Features {
    /// Those of every `BuildKit`.
    pub(super) const BUILDKIT: Self = Self {
        extended_syntax: true,
        skips_unneeded_stages: true,
        step_numbers: StepNumbers::PerStage,
    };
}

/// How a builder numbers the steps of a Dockerfile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepNumbers {
    /// From 1 in each stage. The instruction is shown with its variables replaced, and is cut if it is long.
    PerStage,
    /// From 1 at the first instruction of the Dockerfile that was sent. The instruction is shown as written there.
    PerFile,
}

/// The inputs of a build from a Dockerfile, and the properties that the image must have.
#[derive(Clone, Debug)]
pub struct BuildRequest {
    /// The whole context, with the Dockerfile.
    pub entries: Vec<Entry>,
    /// Folders that exist even if no entry lies in them.
    pub folders: Vec<String>,
    /// The Dockerfile's path in the context.
    pub dockerfile: String,
    /// The images that the Dockerfile names, as they are written there.
    pub images: BTreeSet<String>,
    /// The image's reference, with a tag.
    pub reference: Reference,
    /// The image's labels, in addition to those of the Dockerfile.
    pub labels: BTreeMap<String, String>,
    /// Values for `ARG`.
    pub build_arguments: BTreeMap<String, String>,
    /// The stage of the Dockerfile to build; by default the last one.
    pub target: Option<String>,
    /// The platform that the image must have.
    pub platform: Platform,
    /// The image whose layers must be the lowest; `None` if it is not known.
    pub base: Option<ExpectedBase>,
    /// Whether to look at a program in the image, which must be for the platform. It is left out if the image stands on
    /// one that was looked into.
    pub looks_inside: bool,
    /// Whether to run every step without the build cache.
    pub no_cache: bool,
    /// What its steps may mount besides the context.
    pub secrets: BuildSecrets,
}

/// What a build reports while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuildEvent {
    /// A step began, or was found in the cache; each step is reported once.
    Step {
        /// From 1.
        number: usize,
        /// The number of steps: those of its stage with [`StepNumbers::PerStage`], else those of all stages together.
        total: usize,
        /// The instruction as the builder names it.
        instruction: String,
        /// Whether it was found in the cache.
        cached: bool,
    },
    /// A line that a step printed, without its line end.
    Log(String),
    /// Bytes of the context that were sent so far.
    Sent(u64),
}

/// Why a build failed.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A step of a Dockerfile failed, or the build as a whole.
    #[error("the build failed{}: {message}", at(step.as_ref(), instruction.as_deref()))]
    Failed {
        /// The failing step as the builder names it.
        instruction: Option<String>,
        /// Its number and the total, by the builder's [`StepNumbers`].
        step: Option<(usize, usize)>,
        /// At most the last 20 lines that it printed.
        last_lines: Vec<String>,
        /// The builder's message.
        message: String,
        /// What to do if the cause is not in the Dockerfile.
        hint: Option<String>,
    },
    /// The builder made another image than the requested one.
    #[error(transparent)]
    Mismatch(#[from] ImageMismatch),
    /// The Docker daemon could not build.
    #[error(transparent)]
    Docker(#[from] DockerError),
    /// A `BuildKit` at an address could not build.
    #[error(transparent)]
    BuildKit(#[from] BuildKitError),
    /// The registry of what the build stands on failed.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// What the build made, or stands on, cannot be read or written.
    #[error(transparent)]
    Layout(#[from] LayoutError),
}

impl BuildError {
    /// The error without the secrets of the build.
    #[must_use]
    pub(super) fn masked(self, secrets: &BuildSecrets) -> Self {
        match self {
            Self::Failed {
                instruction,
                step,
                last_lines,
                message,
                hint,
            } => Self::Failed {
                instruction,
                step,
                last_lines: last_lines.iter().map(|line| secrets.masked(line)).collect(),
                message: secrets.masked(&message),
                hint,
            },
            other => other,
        }
    }
}

impl BuildEvent {
    /// The event without the secrets of the build.
    #[must_use]
    pub(super) fn masked(self, secrets: &BuildSecrets) -> Self {
        match self {
            Self::Log(line) => Self::Log(secrets.masked(&line)),
            other => other,
        }
    }
}

impl BuildRequest {
    /// Fails unless `image` has the requested platform, labels and base layers.
    ///
    /// # Errors
    /// The first difference.
    pub fn verify(&self, image: &ImageInfo) -> Result<(), ImageMismatch> {
        ImageMismatch::of_platform(image, &self.platform, &self.reference)?;
        ImageMismatch::of_labels(image, &self.labels, &self.reference)?;
        match &self.base {
            Some(base) => ImageMismatch::of_base(image, base, &self.reference),
            None => Ok(()),
        }
    }
}

fn at(step: Option<&(usize, usize)>, instruction: Option<&str>) -> String {
    let number = step.map(|(number, total)| format!(" at step {number} of {total}"));
    let text = instruction.map(|text| format!(", `{text}`"));
    number.unwrap_or_default() + &text.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::fakes::{image, request};
    use crate::image::Digest;

    #[test]
    fn an_image_is_verified_by_platform_labels_and_base() {
        let mut wanted = request("reg.example/team/job:1");
        wanted.labels.insert("a".to_owned(), "b".to_owned());
        wanted.base = Some(ExpectedBase {
            reference: "reg.example/team/base:1".parse().unwrap(),
            diff_ids: vec![Digest::of(b"lowest")],
        });
        let mut right = image("job");
        right.labels = wanted.labels.clone();
        right.diff_ids.insert(0, Digest::of(b"lowest"));
        assert!(wanted.verify(&right).is_ok());

        let mut others = Vec::new();
        let mut other = |change: &dyn Fn(&mut ImageInfo)| {
            let mut image = right.clone();
            change(&mut image);
            others.push(wanted.verify(&image).unwrap_err().to_string());
        };
        other(&|image| image.platform = "linux/arm64".parse().unwrap());
        other(&|image| image.labels.clear());
        other(&|image| drop(image.labels.insert("a".to_owned(), "c".to_owned())));
        other(&|image| drop(image.diff_ids.remove(0)));
        let ends = [
            "the platform linux/amd64, found linux/arm64",
            "the label a=b, found none",
            "the label a=b, found c",
            "the layers of reg.example/team/base:1 as its lowest, found others",
        ];
        let beginning = "`reg.example/team/job:1` is not what was asked for: wanted ";
        assert_eq!(others, ends.map(|end| format!("{beginning}{end}")));
    }

    #[test]
    fn a_base_that_is_not_known_is_not_compared() {
        assert!(request("a.example/b:1").verify(&image("any")).is_ok());
    }

    #[test]
    fn a_failed_step_is_named() {
        let error = |step, instruction: Option<&str>| BuildError::Failed {
            instruction: instruction.map(str::to_owned),
            step,
            last_lines: Vec::new(),
            message: "exit code 1".to_owned(),
            hint: None,
        };
        assert_eq!(
            error(Some((2, 3)), Some("RUN x")).to_string(),
            "the build failed at step 2 of 3, `RUN x`: exit code 1"
        );
        assert_eq!(
            error(None, None).to_string(),
            "the build failed: exit code 1"
        );
    }
}
