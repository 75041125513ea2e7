//! What is wrong with wheels that are built from their sources: messages and hints.

use crate::code::Code;

/// Why a wheel that has to be built from its source is not there.
#[derive(Debug, thiserror::Error)]
pub enum WheelBuildError {
    /// The build failed.
    #[error(
        "a wheel of `{package}` cannot be built from {from}\n{}",
        lines(output, message)
    )]
    Failed {
        /// The package.
        package: String,
        /// Its source.
        from: String,
        /// The last lines that the build printed.
        output: Vec<String>,
        /// The reason, as far as it is known.
        message: String,
    },
    /// No builder answers.
    #[error("`{package}` has to be built from its source for `{image}`, in a container: {why}")]
    NoBuilder {
        /// The package.
        package: String,
        /// The image that needs it.
        image: String,
        /// Why not.
        why: String,
        /// What to do about that.
        start: String,
    },
    /// A wheel that is kept in the project is not there, and what is built now is another one.
    #[error(
        "`{file}`, which the lock names, is not there, and what is built anew from {from} has other bytes"
    )]
    NotKept {
        /// The file, relative to the project's folder.
        file: String,
        /// Its source.
        from: String,
        /// The package.
        package: String,
    },
    /// The repository cannot be fetched.
    #[error("`{repository}` cannot be fetched for `{package}`: {reason}")]
    Repository {
        /// The package.
        package: String,
        /// The repository, without a password.
        repository: String,
        /// What git says.
        reason: String,
    },
}

impl WheelBuildError {
    /// The error code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Failed { .. } => Code::E715,
            Self::NoBuilder { .. } => Code::E716,
            Self::NotKept { .. } => Code::E717,
            Self::Repository { .. } => Code::E718,
        }
    }

    /// What to do.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Failed { from, .. } if from.starts_with("git+") => {
                "what it needs of Debian's packages is named for the image: `build-packages = [\"git\"]` where its version is \
                 read from git, `[\"build-essential\", \"python3-dev\"]` where it is compiled"
                    .to_owned()
            }
            Self::Failed { .. } => "what it needs of Debian's packages is named for the image: `build-packages = \
                [\"build-essential\", \"python3-dev\"]`, or the like"
                .to_owned(),
            Self::NoBuilder { start, .. } => {
                format!(
                    "{start}; or run `sparkpack lock` where there is a builder, with `wheels = \"wheels\"` for the image, and commit \
                     what it writes there"
                )
            }
            Self::NotKept { package, .. } => format!(
                "take the committed file back; or run `sparkpack lock --upgrade {package}`, and commit what it writes"
            ),
            Self::Repository { .. } => {
                "correct the URL or the revision, or give git its credentials: `git ls-remote URL` says more".to_owned()
            }
        }
    }
}

fn lines(output: &[String], message: &str) -> String {
    let all = output.iter().map(String::as_str);
    let all: Vec<&str> = all
        .chain((!message.is_empty()).then_some(message))
        .collect();
    all.join("\n")
}
