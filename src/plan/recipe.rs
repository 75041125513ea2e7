//! How a stage is made. Who only needs to know what a recipe uses asks its methods: matches on the kinds stand in
//! `plan` and where stages are built, so that another kind concerns nobody else.

use std::collections::BTreeSet;

use crate::project::{
    built_in::BuiltInDockerfile,
    inputs::{DockerfileInputs, UsedImage},
    place::Defect,
    tree::Entry,
};

/// How a stage is made.
#[derive(Debug)]
pub enum Recipe {
    /// A builder runs a Dockerfile.
    Dockerfile(Box<DockerfileInputs>),
    /// Files are put on another image: nothing runs.
    Files(FilesInputs),
}

/// What a stage is made from that only adds files.
#[derive(Debug)]
pub struct FilesInputs {
    /// What the files are put on.
    pub base: UsedImage,
    /// The files, by their paths in the image.
    pub files: Vec<Entry>,
}

/// The first instruction that may use the network: what it brings in is no input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkUse {
    /// The Dockerfile's name.
    pub file: String,
    /// 1 is the first.
    pub line: usize,
    /// Whether the Dockerfile is a built-in one.
    pub is_built_in: bool,
}

impl Recipe {
    /// The stages of the project that it stands on or copies from.
    #[must_use]
    pub fn parents(&self) -> BTreeSet<String> {
        let stages = self.used_images().filter_map(|image| match image {
            UsedImage::Stage(name) => Some(name.clone()),
            UsedImage::External(_) | UsedImage::Source(_) | UsedImage::Scratch => None,
        });
        stages.collect()
    }

    /// The stage of the project whose layers are its lowest.
    #[must_use]
    pub fn base(&self) -> Option<&str> {
        match self {
            Self::Dockerfile(inputs) => inputs.base.as_deref(),
            Self::Files(inputs) => match &inputs.base {
                UsedImage::Stage(name) => Some(name),
                UsedImage::External(_) | UsedImage::Source(_) | UsedImage::Scratch => None,
            },
        }
    }

    /// The images from elsewhere that it names, as they are written.
    pub fn external_images(&self) -> impl Iterator<Item = &str> {
        self.used_images().filter_map(|image| match image {
            UsedImage::External(text) => Some(text.as_str()),
            UsedImage::Stage(_) | UsedImage::Source(_) | UsedImage::Scratch => None,
        })
    }

    /// The names of the sources that it needs.
    #[must_use]
    pub fn sources(&self) -> BTreeSet<String> {
        let copied = self.used_images().filter_map(|image| match image {
            UsedImage::Source(name) => Some(name.clone()),
            UsedImage::Stage(_) | UsedImage::External(_) | UsedImage::Scratch => None,
        });
        let fetched = match self {
            Self::Dockerfile(inputs) => inputs.context_sources.as_slice(),
            Self::Files(_) => &[],
        };
        copied
            .chain(fetched.iter().map(|wanted| wanted.source.clone()))
            .collect()
    }

    /// The built-in Dockerfile, where it is one.
    #[must_use]
    pub fn built_in(&self) -> Option<&'static BuiltInDockerfile> {
        match self {
            Self::Dockerfile(inputs) => inputs.built_in,
            Self::Files(_) => None,
        }
    }

    /// The files that it takes from the image's context, or puts into the image.
    #[must_use]
    pub fn files(&self) -> &[Entry] {
        match self {
            Self::Dockerfile(inputs) => &inputs.context,
            Self::Files(inputs) => &inputs.files,
        }
    }

    /// What is odd in it, but no mistake.
    #[must_use]
    pub fn warnings(&self) -> &[Defect] {
        match self {
            Self::Dockerfile(inputs) => &inputs.warnings,
            Self::Files(_) => &[],
        }
    }

    /// The first instruction that may use the network; an image without one is a function of its inputs.
    #[must_use]
    pub fn network(&self) -> Option<NetworkUse> {
        match self {
            Self::Dockerfile(inputs) => Some(NetworkUse {
                file: inputs.dockerfile.file().display().to_string(),
                line: inputs.resolution.network()?,
                is_built_in: inputs.built_in.is_some(),
            }),
            Self::Files(_) => None,
        }
    }

    fn used_images(&self) -> impl Iterator<Item = &UsedImage> {
        let (named, base) = match self {
            Self::Dockerfile(inputs) => (inputs.image_uses.as_slice(), None),
            Self::Files(inputs) => (&[][..], Some(&inputs.base)),
        };
        named.iter().map(|used| &used.image).chain(base)
    }
}
