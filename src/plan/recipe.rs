//! How a stage is built. Only `plan` and the code that builds stages match on the kinds of recipes. Others use the
//! methods, so that a new kind does not affect them.

use std::collections::BTreeSet;

use crate::project::{
    built_in::BuiltInRecipe,
    inputs::{DockerfileInputs, FilesInputs, UsedImage},
    place::Defect,
    tree::Entry,
};

/// How a stage is built.
#[derive(Debug)]
pub enum Recipe {
    /// A builder executes a Dockerfile.
    Dockerfile(Box<DockerfileInputs>),
    /// Files are added to another image; nothing is executed.
    Files(FilesInputs),
}

/// The first instruction that may use the network. What it downloads is not covered by the fingerprint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkUse {
    /// The Dockerfile's name.
    pub file: String,
    /// The instruction's line.
    pub line: usize,
    /// Whether it is a built-in Dockerfile.
    pub is_built_in: bool,
}

impl Recipe {
    /// Whether only a builder can make it.
    #[must_use]
    pub fn needs_builder(&self) -> bool {
        match self {
            Self::Dockerfile(_) => true,
            Self::Files(_) => false,
        }
    }

    /// The project's stages that it is built on or copies from.
    #[must_use]
    pub fn parents(&self) -> BTreeSet<String> {
        let stages = self.used_images().filter_map(|image| match image {
            UsedImage::Stage(name) => Some(name.clone()),
            UsedImage::External(_) | UsedImage::Source(_) | UsedImage::Scratch => None,
        });
        stages.collect()
    }

    /// The project's stage at the bottom of its layers.
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

    /// The image from elsewhere at the bottom of its layers, if no stage of the project is there.
    #[must_use]
    pub fn external_base(&self) -> Option<&str> {
        match self {
            Self::Dockerfile(inputs) => inputs.external_base.as_deref(),
            Self::Files(inputs) => match &inputs.base {
                UsedImage::External(text) => Some(text),
                UsedImage::Stage(_) | UsedImage::Source(_) | UsedImage::Scratch => None,
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
            Self::Files(inputs) => inputs.jars.as_slice(),
        };
        copied
            .chain(fetched.iter().map(|wanted| wanted.source.clone()))
            .collect()
    }

    /// The built-in recipe, if it uses one.
    #[must_use]
    pub fn built_in(&self) -> Option<&'static BuiltInRecipe> {
        match self {
            Self::Dockerfile(inputs) => inputs.built_in,
            Self::Files(inputs) => inputs.built_in,
        }
    }

    /// The files that it reads from the image's context.
    #[must_use]
    pub fn files(&self) -> &[Entry] {
        match self {
            Self::Dockerfile(inputs) => &inputs.context,
            Self::Files(_) => &[],
        }
    }

    /// Oddities that are no mistakes.
    #[must_use]
    pub fn warnings(&self) -> &[Defect] {
        match self {
            Self::Dockerfile(inputs) => &inputs.warnings,
            Self::Files(_) => &[],
        }
    }

    /// The first instruction that may use the network. Without one, the image depends on nothing but its inputs.
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
