//! The secrets of builds: read from files and environment variables just before a build, given to the builder alone, and
//! never printed.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use crate::project::{Image, SecretOrigin};

/// The largest secret that `BuildKit` takes, in bytes.
const SIZE_LIMIT: usize = 500 * 1024;

/// Shorter texts are not masked: they would mask what has nothing to do with the secret.
const SHORTEST_MASKED: usize = 4;

/// What stands for a secret in what a step prints.
const MASK: &str = "***";

/// What a build may mount besides its context.
#[derive(Clone, Debug, Default)]
pub struct BuildSecrets {
    /// The secrets by their IDs.
    pub values: BTreeMap<String, SecretValue>,
    /// The socket of the SSH agent.
    pub ssh_agent: Option<PathBuf>,
}

/// The value of a secret. Its debug form does not show it.
#[derive(Clone)]
pub struct SecretValue(Vec<u8>);

impl fmt::Debug for SecretValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(MASK)
    }
}

impl SecretValue {
    /// The bytes, for the builder alone.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Why a secret cannot be given to a build.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Its file cannot be read.
    #[error("the secret `{id}` cannot be read: {reason}")]
    File {
        /// The secret's ID.
        id: String,
        /// The system's message, with the path.
        reason: String,
    },
    /// Its environment variable is not set.
    #[error(
        "the secret `{id}` is to come from the environment variable `{variable}`, which is not set"
    )]
    Variable {
        /// The secret's ID.
        id: String,
        /// The variable's name.
        variable: String,
    },
    /// It is larger than builders accept.
    #[error("the secret `{id}` has {size} bytes; builders accept {SIZE_LIMIT}")]
    Large {
        /// The secret's ID.
        id: String,
        /// Its size in bytes.
        size: usize,
    },
    /// There is no SSH agent.
    #[error("`ssh = true` needs an SSH agent: {0}")]
    Agent(String),
}

impl SecretError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::File { id, .. } | Self::Large { id, .. } => {
                format!("create the file that `secrets.{id}` names, or correct its path")
            }
            Self::Variable { variable, .. } => {
                format!("set it for this run: `export {variable}=…`")
            }
            Self::Agent(_) => {
                "start one and add the key: `eval $(ssh-agent) && ssh-add`".to_owned()
            }
        }
    }
}

impl BuildSecrets {
    /// Reads the secrets of an image. Relative paths begin at `root`, the project's folder.
    ///
    /// # Errors
    /// The first secret that is not there.
    #[expect(
        clippy::disallowed_methods,
        reason = "an adapter reads the environment"
    )]
    pub fn read(image: &Image, root: &std::path::Path) -> Result<Self, SecretError> {
        let mut secrets = Self::default();
        for (id, origin) in &image.secrets {
            let value = match origin {
                SecretOrigin::File(path) => {
                    let home = std::env::var_os("HOME").map(PathBuf::from);
                    let path = match (path.strip_prefix("~/"), home) {
                        (Some(below), Some(home)) => home.join(below),
                        _ => root.join(path),
                    };
                    fs_err::read(path).map_err(|error| SecretError::File {
                        id: id.clone(),
                        reason: error.to_string(),
                    })?
                }
                SecretOrigin::Variable(variable) => {
                    let value =
                        std::env::var_os(variable).ok_or_else(|| SecretError::Variable {
                            id: id.clone(),
                            variable: variable.clone(),
                        })?;
                    value.into_encoded_bytes()
                }
            };
            if value.len() > SIZE_LIMIT {
                let size = value.len();
                return Err(SecretError::Large {
                    id: id.clone(),
                    size,
                });
            }
            secrets.values.insert(id.clone(), SecretValue(value));
        }
        if image.ssh {
            let socket = std::env::var_os("SSH_AUTH_SOCK").filter(|value| !value.is_empty());
            let socket = socket.map(PathBuf::from);
            let Some(socket) = socket else {
                let reason = "the environment variable `SSH_AUTH_SOCK` is not set";
                return Err(SecretError::Agent(reason.to_owned()));
            };
            if !socket.exists() {
                let reason = format!(
                    "`SSH_AUTH_SOCK` names {}, which is not there",
                    socket.display()
                );
                return Err(SecretError::Agent(reason));
            }
            secrets.ssh_agent = Some(socket);
        }
        Ok(secrets)
    }

    /// One secret, for tests.
    #[cfg(test)]
    pub(crate) fn of(id: &str, value: &[u8]) -> Self {
        Self {
            values: BTreeMap::from([(id.to_owned(), SecretValue(value.to_owned()))]),
            ssh_agent: None,
        }
    }

    /// Whether a build needs nothing of this.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty() && self.ssh_agent.is_none()
    }

    /// The text without the secrets: whole, and line by line.
    #[must_use]
    pub fn masked(&self, text: &str) -> String {
        let mut texts: Vec<String> = Vec::new();
        for value in self.values.values() {
            let value = String::from_utf8_lossy(&value.0);
            let pieces = value.lines().chain([&*value]).map(str::trim);
            texts.extend(
                pieces
                    .filter(|piece| piece.len() >= SHORTEST_MASKED)
                    .map(str::to_owned),
            );
        }
        // The longest first: a line may be a part of another one.
        texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
        let mask = |text: String, secret: &String| text.replace(secret.as_str(), MASK);
        texts.iter().fold(text.to_owned(), mask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_masked_whole_and_by_line_and_never_shown() {
        let secrets = BuildSecrets::of("netrc", b"machine a\npassword hunter2\n\nx\n");
        assert_eq!(secrets.masked("a password hunter2 b"), "a *** b");
        assert_eq!(secrets.masked("machine a\npassword hunter2"), "***\n***");
        assert_eq!(secrets.masked("x stays"), "x stays");
        assert!(!format!("{secrets:?}").contains("hunter2"));
    }
}
