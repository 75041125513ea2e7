//! Why no new project is made.

use std::path::PathBuf;

use crate::code::Code;

/// Why no new project is made.
#[derive(Debug, thiserror::Error)]
pub enum ScaffoldError {
    /// Its folder has something already.
    #[error("{} is there and not empty: nothing was written", .0.display())]
    NotEmpty(PathBuf),
    /// Its folder has a name that images, namespaces and packages cannot have.
    #[error("`{}` cannot be the name of a project: it is that of images, of a namespace and of a package too", folder.display())]
    Name {
        /// The folder.
        folder: PathBuf,
        /// A name like it.
        near: Option<String>,
    },
    /// Only kubeflow's operator is built from its binary.
    #[error("`--with-operator` builds the image of kubeflow's operator, and of no other")]
    NoOperator,
}

impl ScaffoldError {
    /// The code, by which documentation and scripts refer to the error.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::NotEmpty(_) => Code::E225,
            Self::Name { .. } => Code::E029,
            Self::NoOperator => Code::E226,
        }
    }

    /// What to do.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::NotEmpty(folder) => format!(
                "give another name, or, if a project is there already, `sparkpack -C {} init`",
                folder.display()
            ),
            Self::Name { near, .. } => {
                let example = near.as_deref().unwrap_or("orders");
                format!(
                    "lower-case letters, digits and `-`, with a letter first: `sparkpack new {example}`"
                )
            }
            Self::NoOperator => "leave it out, or take `--operator kubeflow`".to_owned(),
        }
    }
}
