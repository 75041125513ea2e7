//! What goes wrong with a registry, and what to type then.

use super::address::{api_host, is_loopback};
use crate::{adapters::credentials::CredentialsError, code::Code};

/// Why a registry did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The registry wants to know who asks, and no credential is known for it.
    #[error("cannot {action}: not signed in to `{registry}`")]
    NotSignedIn {
        /// What was to be done, as in `look up X`.
        action: String,
        /// Host and port.
        registry: String,
        /// The registry's answer.
        #[source]
        because: Cause,
    },
    /// The registry does not know this user with this password.
    #[error("cannot {action}: `{registry}` does not accept the password of `{username}`")]
    WrongPassword {
        /// What was to be done.
        action: String,
        /// Host and port.
        registry: String,
        /// Whose password.
        username: String,
        /// The registry's answer.
        #[source]
        because: Cause,
    },
    /// The credential could not be found out.
    #[error("cannot {action}: the credentials of `{registry}` are not known")]
    Credentials {
        /// What was to be done.
        action: String,
        /// Host and port.
        registry: String,
        /// Why.
        #[source]
        because: Box<CredentialsError>,
    },
    /// The registry knows who asks, and does not allow it.
    #[error("cannot {action}: `{registry}` does not allow it")]
    Denied {
        /// What was to be done.
        action: String,
        /// Host and port.
        registry: String,
        /// The registry's answer.
        #[source]
        because: Cause,
    },
    /// No answer of use, after as many attempts as make sense.
    #[error("cannot {action}: no answer from `{registry}` {}", spelled(*attempts))]
    Unreachable {
        /// What was to be done.
        action: String,
        /// Host and port of who did not answer: the registry or its token server.
        registry: String,
        /// How often it was asked.
        attempts: u32,
        /// What stands in the way.
        kind: FailureKind,
        /// The last fault.
        #[source]
        because: Cause,
    },
    /// The registry understood, and said no.
    #[error("cannot {action}: `{registry}` refuses it")]
    Refused {
        /// What was to be done.
        action: String,
        /// Host and port.
        registry: String,
        /// The registry's answer.
        #[source]
        because: Cause,
    },
    /// An answer that no registry gives.
    #[error("cannot {action}: the answer of `{registry}` is not understood")]
    NotUnderstood {
        /// What was to be done.
        action: String,
        /// Host and port.
        registry: String,
        /// What is odd.
        #[source]
        because: Cause,
    },
    /// An answer that contradicts itself or what was asked for.
    #[error("cannot {action}: the answer of `{registry}` is not true")]
    Untrue {
        /// What was to be done.
        action: String,
        /// Host and port.
        registry: String,
        /// What contradicts what.
        #[source]
        because: Cause,
    },
    /// Nothing was asked yet: certificates could not be read, or no thread started.
    #[error("registries cannot be spoken to")]
    Settings {
        /// What is wrong.
        #[source]
        because: Cause,
    },
}

/// A reason in words, for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Cause(pub String);

/// What stands between here and a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// No connection, a broken one, or silence.
    Network,
    /// The registry's certificate is not trusted.
    Certificate,
    /// No TLS could be agreed on.
    Tls,
    /// It asks for fewer requests.
    TooManyRequests,
    /// It has a fault of its own.
    Server,
}

fn url(registry: &str) -> String {
    let scheme = if is_loopback(registry) {
        "http"
    } else {
        "https"
    };
    format!("{scheme}://{}/v2/", api_host(registry))
}

fn spelled(count: u32) -> String {
    match count {
        0 | 1 => "at the first attempt".to_owned(),
        count => format!("in {count} attempts"),
    }
}

impl RegistryError {
    /// The code that a message begins with.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::NotSignedIn { .. } | Self::WrongPassword { .. } | Self::Credentials { .. } => {
                Code::E401
            }
            Self::Denied { .. } => Code::E402,
            Self::Unreachable { .. } => Code::E501,
            Self::Refused { .. } | Self::NotUnderstood { .. } => Code::E502,
            Self::Untrue { .. } => Code::E503,
            Self::Settings { .. } => Code::E504,
        }
    }

    /// What to type.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NotSignedIn { registry, .. } => format!(
                "run `docker login {registry}`, and check the repository's name: for one that does not exist some registries answer the same"
            ),
            Self::WrongPassword { registry, .. } => format!("run `docker login {registry}` again"),
            Self::Credentials { because, .. } => return because.hint(),
            Self::Denied { registry, .. } => format!(
                "check the repository's name, ask for the right to it, or run `docker login {registry}` as another user"
            ),
            Self::Unreachable { registry, kind, .. } => kind.hint(registry),
            Self::Refused { .. } => return None,
            Self::NotUnderstood { registry, .. } => format!(
                "is `{registry}` a registry? look at `curl -i {}`: a proxy or a login page may stand before it",
                url(registry)
            ),
            Self::Untrue { .. } => {
                "try once more; if it stays, tell the registry's keeper: what it stores or a proxy on the way is damaged".to_owned()
            }
            Self::Settings { .. } => {
                "let `ca` in sparkpack.toml, or SSL_CERT_FILE, name a file of PEM certificates".to_owned()
            }
        };
        Some(hint)
    }
}

impl FailureKind {
    fn hint(self, registry: &str) -> String {
        match self {
            Self::Network if is_loopback(registry) => {
                format!("is the registry running? try `curl {}`", url(registry))
            }
            Self::Network => format!(
                "try `curl {}`: is the name right, is a VPN or HTTPS_PROXY needed?",
                url(registry)
            ),
            Self::Certificate => "name the file of the authority that signed it: `ca = \"FILE\"` in sparkpack.toml, or SSL_CERT_FILE; one that signed itself must say `CA:FALSE`".to_owned(),
            Self::Tls => format!(
                "a registry without TLS has to be named: `insecure = [\"{registry}\"]` in sparkpack.toml"
            ),
            Self::TooManyRequests => {
                format!("wait, or run `docker login {registry}`: who is signed in may ask more often")
            }
            Self::Server => "wait, and run the same again".to_owned(),
        }
    }
}
