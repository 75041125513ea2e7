//! Errors of registries, and their hints.

use std::path::PathBuf;

use super::address::api_host;
use crate::{
    adapters::{credentials::CredentialsError, layout::LayoutError, machine},
    code::Code,
    project::loopback::is_loopback,
};

/// Why a registry did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The registry requires authentication, and no credential is stored for it.
    #[error("cannot {action}: not signed in to `{registry}`")]
    NotSignedIn {
        /// The attempted action, as in `look up X`.
        action: String,
        /// Host and port.
        registry: String,
        /// The registry's answer.
        #[source]
        because: Cause,
    },
    /// The registry does not accept this user with this password.
    #[error("cannot {action}: `{registry}` does not accept the password of `{username}`")]
    WrongPassword {
        /// The attempted action.
        action: String,
        /// Host and port.
        registry: String,
        /// The user.
        username: String,
        /// The registry's answer.
        #[source]
        because: Cause,
    },
    /// The credential could not be read.
    #[error("cannot {action}: the credentials of `{registry}` are not known")]
    Credentials {
        /// The attempted action.
        action: String,
        /// Host and port.
        registry: String,
        /// Why.
        #[source]
        because: Box<CredentialsError>,
    },
    /// The registry knows the user, and denies access.
    #[error("cannot {action}: `{registry}` does not allow it")]
    Denied {
        /// The attempted action.
        action: String,
        /// Host and port.
        registry: String,
        /// The registry's answer.
        #[source]
        because: Cause,
    },
    /// There was no usable answer after a reasonable number of attempts.
    #[error("cannot {action}: no answer from `{registry}` {}", spelled(*attempts))]
    Unreachable {
        /// The attempted action.
        action: String,
        /// Host and port that did not answer: the registry's or its token server's.
        registry: String,
        /// The number of attempts.
        attempts: u32,
        /// The kind of failure.
        kind: FailureKind,
        /// The last failure.
        #[source]
        because: Cause,
    },
    /// The registry understood the request, and refused it.
    #[error("cannot {action}: `{registry}` refuses it")]
    Refused {
        /// The attempted action.
        action: String,
        /// Host and port.
        registry: String,
        /// The registry's answer.
        #[source]
        because: Cause,
    },
    /// The registry says that it lacks blobs of an image, although it took them before.
    #[error("cannot {action}: `{registry}` took the image's blobs, and does not have all of them")]
    LostBlobs {
        /// The attempted action.
        action: String,
        /// Host and port.
        registry: String,
        /// The registry's answer.
        #[source]
        because: Cause,
    },
    /// The registry does not have the repository, and does not make it at the first push.
    #[error("cannot {action}: `{registry}` has no repository `{path}`")]
    NoRepository {
        /// The attempted action.
        action: String,
        /// Host and port.
        registry: String,
        /// The repository's path.
        path: String,
        /// The registry's answer.
        #[source]
        because: Cause,
    },
    /// A layer's file cannot be read, or has changed since its digest was taken.
    #[error("cannot {action}: the layer's file `{}` is damaged", file.display())]
    Damaged {
        /// The attempted action.
        action: String,
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        #[source]
        because: Cause,
    },
    /// The OCI layout that stands in the place of a registry.
    #[error(transparent)]
    Layout(#[from] Box<LayoutError>),
    /// What was fetched cannot be written to a file.
    #[error("cannot {action}: it cannot be written")]
    NotSaved {
        /// The attempted action.
        action: String,
        /// The system's error.
        #[source]
        because: std::io::Error,
    },
    /// An answer that does not follow the registry API.
    #[error("cannot {action}: the answer of `{registry}` is not understood")]
    NotUnderstood {
        /// The attempted action.
        action: String,
        /// Host and port.
        registry: String,
        /// What is wrong with it.
        #[source]
        because: Cause,
    },
    /// An answer that contradicts itself or the request.
    #[error("cannot {action}: the answer of `{registry}` is not true")]
    Untrue {
        /// The attempted action.
        action: String,
        /// Host and port.
        registry: String,
        /// The contradiction.
        #[source]
        because: Cause,
    },
    /// The certificates for the registry, in a folder `certs.d`, cannot be used.
    #[error("the certificates for `{registry}` cannot be used")]
    HostCertificates {
        /// Host and port.
        registry: String,
        /// Which file, and what is wrong with it.
        #[source]
        because: Cause,
    },
    /// A variable that decides about a proxy is not understood, so that it would have no effect.
    #[error("`{registry}` is not asked: a variable that decides about its proxy is not understood")]
    Proxy {
        /// Host and port.
        registry: String,
        /// Which variable, and what is wrong with it.
        #[source]
        because: Cause,
    },
    /// The client could not be set up: certificates could not be read, or no thread could be started.
    #[error("registries cannot be spoken to")]
    Settings {
        /// What is wrong.
        #[source]
        because: Cause,
    },
}

/// A reason, in words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Cause(pub String);

/// The kinds of failures to reach a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// There is no connection, it broke, or nothing came.
    Network,
    /// Nobody who is trusted has signed the registry's certificate.
    Certificate,
    /// The registry's certificate is not valid now.
    CertificateDates,
    /// The registry's certificate is for another name.
    CertificateName,
    /// The registry wants a certificate of this machine, or another one.
    ClientCertificate,
    /// The registry offers no version of TLS, or no cipher, that is still safe.
    TlsVersion,
    /// The answer was not TLS.
    Tls,
    /// The registry limits the rate of requests.
    TooManyRequests,
    /// The server has an internal error.
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

/// What shows a registry's certificate and its version of TLS.
fn look_at(registry: &str) -> String {
    let host = api_host(registry);
    let port = if host
        .trim_end_matches(|digit: char| digit.is_ascii_digit())
        .ends_with(':')
    {
        ""
    } else {
        ":443"
    };
    format!("look at `openssl s_client -connect {host}{port}`")
}

fn spelled(count: u32) -> String {
    match count {
        0 | 1 => "at the first attempt".to_owned(),
        count => format!("in {count} attempts"),
    }
}

impl From<LayoutError> for RegistryError {
    fn from(error: LayoutError) -> Self {
        Self::Layout(Box::new(error))
    }
}

impl RegistryError {
    /// The error code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::NotSignedIn { .. } | Self::WrongPassword { .. } | Self::Credentials { .. } => {
                Code::E401
            }
            Self::Denied { .. } => Code::E402,
            Self::Unreachable { .. } => Code::E501,
            Self::Refused { .. }
            | Self::LostBlobs { .. }
            | Self::NoRepository { .. }
            | Self::NotUnderstood { .. } => Code::E502,
            Self::Untrue { .. } => Code::E503,
            Self::Settings { .. } | Self::HostCertificates { .. } => Code::E504,
            Self::Damaged { .. } => Code::E505,
            Self::Proxy { .. } => Code::E506,
            Self::NotSaved { .. } => Code::E610,
            Self::Layout(error) => error.code(),
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
            Self::Layout(error) => return error.hint(),
            Self::Refused { .. } | Self::NotSaved { .. } => return None,
            Self::LostBlobs { .. } => {
                "run it again; if it stays so, the registry's storage, or a proxy before it, is at fault"
                    .to_owned()
            }
            Self::NoRepository { path, .. } => format!(
                "create the repository `{path}` there, or check its name: this registry makes none at the first push"
            ),
            Self::Damaged { file, .. } => {
                let file = file.display();
                format!("run the same again; if it stays, remove `{file}`: it is only a cache")
            }
            Self::NotUnderstood { registry, .. } => format!(
                "is `{registry}` a registry? look at `curl -i {}`: a proxy or a login page may stand before it",
                url(registry)
            ),
            Self::Untrue { .. } => {
                "try once more; if it stays, tell the registry's keeper: what it stores or a proxy on the way is damaged".to_owned()
            }
            Self::HostCertificates { .. } => {
                "correct or remove that file, which docker and podman read too: `NAME.crt` holds authorities in PEM form, `NAME.cert` and `NAME.key` are a certificate of this machine and its key".to_owned()
            }
            Self::Proxy { .. } => Code::E506.cure().to_owned(),
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
            Self::Certificate => format!(
                "put the certificate of the authority that signed it, or itself if it signed itself, into `/etc/docker/certs.d/{}/ca.crt`, or name it by `ca = \"FILE\"` in sparkpack.toml, or SSL_CERT_FILE",
                api_host(registry)
            ),
            Self::CertificateDates => format!(
                "check the clock: it is {}; if that is right, the registry's keeper has to renew the certificate: {}",
                httpdate::fmt_http_date(machine::now()),
                look_at(registry)
            ),
            Self::CertificateName => format!(
                "name the registry as its certificate does, or let its keeper add the name: {}",
                look_at(registry)
            ),
            Self::ClientCertificate => format!(
                "put a certificate that it knows and its key into `/etc/docker/certs.d/{0}/client.cert` and `client.key` there",
                api_host(registry)
            ),
            Self::TlsVersion => format!(
                "the registry's keeper has to offer TLS 1.2 or 1.3: {}",
                look_at(registry)
            ),
            Self::Tls => format!(
                "a registry without TLS has to be named: `insecure = [\"{registry}\"]` in sparkpack.toml"
            ),
            Self::TooManyRequests => {
                format!(
                    "wait, or run `docker login {registry}`: who is signed in may ask more often"
                )
            }
            Self::Server => "wait, and run the same again".to_owned(),
        }
    }
}
