//! The errors of a daemon, each with what to do about it.

use std::{
    io::ErrorKind,
    iter,
    path::{Path, PathBuf},
};

use futures_util::{Stream, StreamExt, future::ready};

use super::address::{Address, is_socket};
use crate::{
    code::Code,
    image::{ImageMismatch, Reference},
    package::archive::ArchiveError,
    project::loopback::is_loopback,
};

/// Why the daemon could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum DockerError {
    /// No daemon answers.
    #[error("cannot reach the Docker daemon at `{host}`: {reason}")]
    Unreachable {
        /// The address.
        host: String,
        /// `DOCKER_HOST` or a context; `None` for the default socket.
        named_by: Option<String>,
        /// Why.
        reason: Unreachable,
    },
    /// A registry demands other credentials, or does not allow the user to do this.
    #[error("cannot {verb} `{reference}`: not signed in to `{}`, or not allowed: {message}", reference.repository.registry)]
    Unauthorized {
        /// `push` or `pull`.
        verb: &'static str,
        /// The image to be moved.
        reference: Box<Reference>,
        /// The daemon's message.
        message: String,
    },
    /// The daemon could not push.
    #[error("cannot push `{reference}`: {message}")]
    Push {
        /// The image to be pushed.
        reference: Box<Reference>,
        /// The daemon's message.
        message: String,
    },
    /// The daemon could not pull.
    #[error("cannot pull `{reference}`: {message}")]
    Pull {
        /// The image to be pulled.
        reference: Box<Reference>,
        /// The daemon's message.
        message: String,
    },
    /// A registry failed in passing while the daemon pushed or pulled, each time that it was tried.
    #[error("cannot {verb} `{reference}`, also in {attempts} attempts: {message}")]
    Interrupted {
        /// `push` or `pull`.
        verb: &'static str,
        /// The image to be moved.
        reference: Box<Reference>,
        /// How often it was tried.
        attempts: u32,
        /// The daemon's last message.
        message: String,
    },
    /// The daemon refused another request.
    #[error("the Docker daemon could not {doing}: {message}")]
    Answer {
        /// The request, as a verb with its object.
        doing: String,
        /// The daemon's message.
        message: String,
    },
    /// What the daemon hands out cannot be written to a file.
    #[error("cannot {doing}: it cannot be written: {because}")]
    NotSaved {
        /// The request, as a verb with its object.
        doing: String,
        /// The system's error.
        because: std::io::Error,
    },
    /// The daemon cannot load an image of which only the new layers are sent.
    #[error("the Docker daemon cannot load `{reference}` without its lower layers{}: {message}", of_parent(.parent.as_deref()))]
    Parent {
        /// The image to be loaded.
        reference: Box<Reference>,
        /// The image that should have the lower layers.
        parent: Option<String>,
        /// What is missing, or the daemon's message.
        message: String,
    },
    /// The image is not the one that was asked for.
    #[error(transparent)]
    Mismatch(#[from] ImageMismatch),
    /// The labels cannot be passed to a daemon.
    #[error("`{reference}` cannot have its labels: {message}")]
    Labels {
        /// The image that should have them.
        reference: Box<Reference>,
        /// What is wrong with them.
        message: String,
    },
    /// The context could not be read. This error replaces the daemon's complaint about an incomplete context.
    #[error("cannot send the files of `{reference}`: {error}")]
    Archive {
        /// The image that the context is for.
        reference: Box<Reference>,
        /// Why it could not be read.
        #[source]
        error: ArchiveError,
    },
}

/// Why no daemon answers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    /// There is no socket at the path.
    #[error("there is no such socket")]
    NoSocket {
        /// The socket of a rootless daemon, if there is one.
        other: Option<PathBuf>,
    },
    /// The socket is there, but this user may not connect to it.
    #[error("permission denied")]
    Denied,
    /// No process listens at the address.
    #[error("connection refused")]
    Refused,
    /// The path is not a socket, but for example a file.
    #[error("it is not a socket")]
    NotASocket,
    /// The answer is not that of a daemon.
    #[error("what answers there is not Docker's API ({0})")]
    NotDocker(String),
    /// The connection to another machine would not be encrypted.
    #[error("it is on another machine, and the connection would not be encrypted")]
    Plain,
    /// The daemon is on another machine, and the command must not use the network.
    #[error("it is asked over the network")]
    Network,
    /// The address has an unknown form.
    #[error("it is not an address of the forms `unix://PATH` and `tcp://HOST:PORT`")]
    NotAnAddress,
    /// The Docker context in use cannot be read.
    #[error("there is no such context ({0})")]
    NoContext(String),
    /// There was no answer in time.
    #[error("no answer in time")]
    Silent,
    /// One side does not accept the other's certificate.
    #[error("no TLS connection ({0})")]
    Tls(String),
    /// Anything else; most often the daemon was stopped during a request.
    #[error("the connection broke ({0})")]
    Lost(String),
}

impl DockerError {
    /// `E601` and the like.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Unauthorized { .. } => Code::E401,
            Self::Unreachable { .. } => Code::E601,
            Self::Push { .. } => Code::E603,
            Self::Pull { .. } => Code::E604,
            Self::Interrupted { .. } => Code::E507,
            Self::Answer { .. } => Code::E605,
            Self::NotSaved { .. } => Code::E610,
            Self::Mismatch(_) => Code::E606,
            Self::Labels { .. } => Code::E607,
            Self::Archive { .. } => Code::E608,
            Self::Parent { .. } => Code::E609,
        }
    }

    /// Whether there is no daemon for this user; false where something else is wrong.
    #[must_use]
    pub fn is_absence(&self) -> bool {
        let Self::Unreachable { reason, .. } = self else {
            return false;
        };
        matches!(
            reason,
            Unreachable::NoSocket { .. } | Unreachable::Denied | Unreachable::Refused
        )
    }

    /// What to type or to change, if that is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unreachable {
                named_by, reason, ..
            } => Some(reason.hint(named_by.as_deref())),
            Self::Unauthorized { reference, .. } => {
                let registry = match reference.repository.registry.as_str() {
                    "docker.io" => "",
                    registry => &format!(" {registry}"),
                };
                Some(format!("run `docker login{registry}`"))
            }
            Self::Push { reference, message } | Self::Pull { reference, message } => {
                transfer_hint(reference, message)
            }
            Self::Interrupted {
                reference, message, ..
            } => {
                let anew = || "run it again: what has arrived is kept".to_owned();
                Some(transfer_hint(reference, message).unwrap_or_else(anew))
            }
            Self::Parent {
                parent: Some(parent),
                ..
            } => Some(format!(
                "`docker pull {parent}` gets them, then run it again"
            )),
            Self::Mismatch(mismatch) => Some(mismatch.hint.to_owned()),
            Self::Archive {
                error: ArchiveError::Changed { .. },
                ..
            } => Some("run it again when nothing writes there".to_owned()),
            Self::Answer { .. }
            | Self::NotSaved { .. }
            | Self::Parent { .. }
            | Self::Labels { .. }
            | Self::Archive { .. } => None,
        }
    }
}

fn of_parent(parent: Option<&str>) -> String {
    parent.map_or_else(String::new, |parent| format!(", those of `{parent}`"))
}

/// How daemons say that a registry does not answer them.
const UNREACHED: [&str; 5] = [
    "no such host",
    "connection refused",
    "network is unreachable",
    "no route to host",
    "i/o timeout",
];

fn transfer_hint(reference: &Reference, message: &str) -> Option<String> {
    let Reference { repository, .. } = reference;
    let registry = &repository.registry;
    let contains = |text: &str| message.contains(text);
    if contains("HTTP response to HTTPS client") {
        Some(format!(
            "the daemon speaks only HTTPS to `{registry}`: put it into \"insecure-registries\" of its daemon.json; for Podman, into \
             registries.conf with `insecure = true`"
        ))
    } else if contains("certificate") {
        Some(format!(
            "put the registry's CA at /etc/docker/certs.d/{registry}/ca.crt on the daemon's machine"
        ))
    } else if UNREACHED.into_iter().any(contains) {
        let own = if is_loopback(registry) {
            "; for it that is its own machine, and where it runs without root its own network"
        } else {
            ""
        };
        Some(format!(
            "the daemon, not this program, must reach `{registry}`{own}: try `docker pull {reference}`"
        ))
    } else if contains("manifest unknown") || contains("not found") {
        Some(format!("is there such an image in `{repository}`?"))
    } else {
        None
    }
}

impl Unreachable {
    fn hint(&self, named_by: Option<&str>) -> String {
        let start = "start Docker: `systemctl start docker`";
        let check = named_by.map_or_else(
            || "check DOCKER_HOST".to_owned(),
            |named_by| format!("check {named_by}"),
        );
        match self {
            Self::NoSocket { other: Some(other) } => {
                format!("another one is there: `export DOCKER_HOST=unix://{}`", other.display())
            }
            Self::NoSocket { other: None } | Self::Refused => match named_by {
                Some(named_by) => format!("{start}, or check {named_by}"),
                None => start.to_owned(),
            },
            Self::Denied => {
                "add yourself to the group docker: `sudo usermod -aG docker $USER`, then sign in anew"
                    .to_owned()
            }
            Self::NotASocket | Self::NotDocker(_) | Self::Network => check,
            Self::Plain => format!(
                "{check}: with DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH it is encrypted; SPARKPACK_PLAIN_DOCKER=1 permits it as it is"
            ),
            Self::NotAnAddress => format!(
                "{check}; for ssh, forward the socket: `ssh -nNT -L /tmp/docker.sock:/var/run/docker.sock USER@HOST`, then `export DOCKER_HOST=unix:///tmp/docker.sock`"
            ),
            Self::NoContext(_) => "`docker context ls` shows those that are there".to_owned(),
            Self::Silent => "restart Docker: `systemctl restart docker`".to_owned(),
            Self::Tls(_) => format!(
                "{check}, and `ca.pem`, `cert.pem` and `key.pem` in the folder that DOCKER_CERT_PATH names"
            ),
            Self::Lost(_) => "`docker version` says whether the daemon still runs".to_owned(),
        }
    }

    /// Why a request to `address` got no answer from a daemon.
    pub(super) fn of(error: &bollard::errors::Error, address: &Address) -> Self {
        use bollard::errors::Error;
        match error {
            Error::SocketNotFoundError(path) => missing(Path::new(path)),
            Error::RequestTimeoutError => Self::Silent,
            Error::DockerResponseServerError { status_code, .. } => {
                Self::NotDocker(format!("HTTP status {status_code}"))
            }
            Error::JsonDataError { .. } | Error::JsonSerdeError { .. } => {
                Self::NotDocker("no JSON of its kind".to_owned())
            }
            Error::APIVersionParseError {} => Self::NotDocker("no version".to_owned()),
            Error::CertPathError { .. }
            | Error::CertMultipleKeys { .. }
            | Error::CertParseError { .. }
            | Error::NoNativeCertsError { .. }
            | Error::LoadNativeCertsErrors { .. } => Self::Tls(error.to_string()),
            _ => Self::of_transport(error, address),
        }
    }

    fn of_transport(error: &bollard::errors::Error, address: &Address) -> Self {
        let causes = causes(error);
        let io = causes
            .iter()
            .filter_map(|cause| cause.downcast_ref::<std::io::Error>());
        for kind in io.map(std::io::Error::kind) {
            if let Some(reason) = Self::of_kind(kind, address) {
                return reason;
            }
        }
        let last = causes.last().map_or_else(String::new, ToString::to_string);
        if causes.iter().any(|cause| cause.is::<rustls::Error>()) {
            Self::Tls(last)
        } else if last.contains("invalid HTTP") {
            Self::NotDocker(last)
        } else {
            Self::Lost(last)
        }
    }

    fn of_kind(kind: ErrorKind, address: &Address) -> Option<Self> {
        let no_socket = matches!(address, Address::Unix(path) if is_socket(path) == Some(false));
        match kind {
            _ if no_socket => Some(Self::NotASocket),
            ErrorKind::NotFound => Some(Self::NoSocket { other: None }),
            ErrorKind::PermissionDenied => Some(Self::Denied),
            ErrorKind::ConnectionRefused => Some(Self::Refused),
            _ => None,
        }
    }
}

/// Why there is no socket at `path`: it is missing, or it lies in a folder that this user may not read.
fn missing(path: &Path) -> Unreachable {
    match fs_err::metadata(path) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Unreachable::Denied,
        _ => Unreachable::NoSocket { other: None },
    }
}

fn causes(error: &bollard::errors::Error) -> Vec<&(dyn std::error::Error + 'static)> {
    // `source` of these two variants of bollard skips the cause, and returns the cause's own cause.
    let first: &(dyn std::error::Error + 'static) = match error {
        bollard::errors::Error::IOError { err } => err,
        bollard::errors::Error::HyperResponseError { err } => err,
        other => other,
    };
    iter::successors(Some(first), |cause| cause.source()).collect()
}

/// The messages of a stream, without bollard's error for a last line end that arrives in a packet of its own.
///
/// bollard takes that line end for the beginning of another line. A connection that breaks gives a different error.
/// Callers see from the messages whether the last one arrived.
pub(super) fn messages<T>(
    stream: impl Stream<Item = Result<T, bollard::errors::Error>>,
) -> impl Stream<Item = Result<T, bollard::errors::Error>> {
    let is_line_end = |error: &bollard::errors::Error| {
        let bollard::errors::Error::IOError { err } = error else {
            return false;
        };
        err.to_string() == "bytes remaining on stream"
    };
    let goes_on = move |item: &Result<T, _>| !item.as_ref().is_err_and(is_line_end);
    Box::pin(stream.take_while(move |item| ready(goes_on(item))))
}

/// Whether a daemon could not set a name since another request had just set it.
pub(super) fn is_taken(error: &bollard::errors::Error) -> bool {
    said(error).is_some_and(|message| message.contains("already exists"))
}

/// Whether the daemon answers that it is already doing what is asked.
pub(super) fn is_in_progress(error: &bollard::errors::Error) -> bool {
    said(error).is_some_and(|message| message.contains("already in progress"))
}

/// Whether the daemon answers that it has no such thing.
pub(super) fn is_absence(error: &bollard::errors::Error) -> bool {
    use bollard::errors::Error::DockerResponseServerError;
    matches!(
        error,
        DockerResponseServerError {
            status_code: 404,
            ..
        }
    )
}

/// The daemon's own message; `None` if the connection failed.
pub(super) fn said(error: &bollard::errors::Error) -> Option<String> {
    use bollard::errors::Error;
    let message = match error {
        Error::DockerResponseServerError { message, .. } => message,
        Error::DockerStreamError { error } => error,
        Error::JsonDataError { message, .. } => {
            return Some(format!("its answer is not understood: {message}"));
        }
        Error::JsonSerdeError { err } => {
            return Some(format!("its answer is not understood: {err}"));
        }
        _ => return None,
    };
    Some(message.trim().to_owned())
}
