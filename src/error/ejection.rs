//! Why a recipe cannot be written out.

use std::path::PathBuf;

use crate::code::Code;

/// Why the recipe of an image cannot be written out.
#[derive(Debug, thiserror::Error)]
pub enum EjectError {
    /// The image has a Dockerfile of its own.
    #[error("`{image}` has a Dockerfile of its own already: {dockerfile}")]
    OwnDockerfile {
        /// The image.
        image: String,
        /// Its Dockerfile.
        dockerfile: String,
    },
    /// The image is from elsewhere.
    #[error("`{image}` is `{elsewhere}`, which is not made here")]
    Elsewhere {
        /// The image, as it was named.
        image: String,
        /// What it stands for.
        elsewhere: String,
    },
    /// What the image stands on was not looked into yet.
    #[error("`{image}` stands on `{elsewhere}`, and the lock does not have what is in that")]
    NotLookedInto {
        /// The image.
        image: String,
        /// The image from elsewhere.
        elsewhere: String,
    },
    /// Files would be overwritten.
    #[error("{} there already, and nothing is overwritten", are(there))]
    Overwrites {
        /// The image.
        image: String,
        /// The files, relative to the project's folder.
        there: Vec<PathBuf>,
    },
    /// The folder is none that an image of the project may be made from.
    #[error("`{}` is not a folder of the project's own files", folder.display())]
    Folder {
        /// The folder, as it was named.
        folder: PathBuf,
    },
}

impl EjectError {
    /// The code, by which documentation and scripts refer to the error.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::OwnDockerfile { .. } | Self::Elsewhere { .. } => Code::E140,
            Self::Overwrites { .. } => Code::E141,
            Self::NotLookedInto { .. } => Code::E033,
            Self::Folder { .. } => Code::E091,
        }
    }

    /// What to type or to change.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::OwnDockerfile { dockerfile, .. } => format!(
                "change {dockerfile}; to have the built-in recipe again, take `dockerfile` out of sparkpack.toml"
            ),
            Self::Elsewhere { elsewhere, .. } => format!(
                "write a Dockerfile with `FROM {elsewhere}`, and name it by `dockerfile` under an image of your own"
            ),
            Self::NotLookedInto { .. } => Code::E033.cure().to_owned(),
            Self::Overwrites { image, .. } => {
                format!("choose another folder: `sparkpack eject {image} --to FOLDER`")
            }
            Self::Folder { .. } => {
                "name a folder below that of sparkpack.toml, outside of `dist`: `--to docker/base`"
                    .to_owned()
            }
        }
    }
}

fn are(there: &[PathBuf]) -> String {
    let names: Vec<String> = there
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let verb = if names.len() == 1 { "is" } else { "are" };
    format!("{} {verb}", names.join(", "))
}
