//! The secrets of builds: read from files and environment variables just before a build, given to the builder alone, and
//! never printed.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use crate::project::{Image, SecretOrigin};

/// The largest secret that `BuildKit` takes, in bytes.
const SIZE_LIMIT: usize = 500 * 1024;

/// What the names of passwords in files have in common.
const KEYS: [&str; 4] = ["passw", "token", "secret", "auth"];

/// A word with a digit or a capital letter is masked from this length on.
const SHORTEST_MIXED: usize = 8;

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
            let pieces = pieces.chain(telling_words(&value));
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

/// The words of a file with secrets that may be one: of `machine h login u password p`, a step prints the last word alone.
fn telling_words(text: &str) -> impl Iterator<Item = &str> {
    let is_between = |character: char| character.is_whitespace() || "=:\"',;@/".contains(character);
    let words = text.split(is_between).filter(|word| !word.is_empty());
    let mut is_after_key = false;
    words.filter(move |word| {
        let lower = word.to_ascii_lowercase();
        let is_key = KEYS.iter().any(|key| lower.contains(key));
        let is_named = std::mem::replace(&mut is_after_key, is_key) && !is_key;
        let is_mixed = word.contains(|character: char| {
            character.is_ascii_digit() || character.is_ascii_uppercase()
        });
        is_named || (is_mixed && word.len() >= SHORTEST_MIXED)
    })
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

    #[test]
    fn a_password_is_masked_without_the_words_around_it() {
        for (file, printed, masked) in [
            (
                "machine h.example login ada password hunter",
                "https://ada:hunter@h.example/",
                "https://ada:***@h.example/",
            ),
            (
                "[pypi]\nusername = ada\npassword: 'plain'\n",
                "plain for ada",
                "*** for ada",
            ),
            (
                "index-url = https://ada:s3cretWord@h.example/simple",
                "s3cretWord h.example simple",
                "*** h.example simple",
            ),
            ("//h.example/:_authToken=abcdef", "abcdef", "***"),
            ("{\"auth\": \"YWRhOnB3\"}", "YWRhOnB3", "***"),
        ] {
            let secrets = BuildSecrets::of("a", file.as_bytes());
            assert_eq!(secrets.masked(printed), masked, "{file}");
        }
    }
}
