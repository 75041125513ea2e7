//! The errors of a `BuildKit` at an address, each with what to do about it.

use crate::{
    code::Code,
    image::{ImageError, ImageMismatch, Platform, Reference},
    package::archive::ArchiveError,
};

/// Why a `BuildKit` at an address could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum BuildKitError {
    /// Nobody answers, or not as a `BuildKit`.
    #[error("cannot reach the BuildKit at `{address}`: {reason}")]
    Unreachable {
        /// The address as it is written.
        address: String,
        /// Why.
        reason: BuildKitUnreachable,
    },
    /// No address is configured for a platform.
    #[error("`[builder]` names no BuildKit for {0}")]
    NoAddress(Platform),
    /// Its workers do not run programs of a platform.
    #[error(
        "the BuildKit at `{address}` cannot run programs for {platform}: its workers are for {workers}"
    )]
    Platform {
        /// The address as it is written.
        address: String,
        /// The platform of the image.
        platform: Platform,
        /// Those of the workers.
        workers: String,
    },
    /// It refused a request.
    #[error("the BuildKit at `{address}` could not {doing}: {message}")]
    Answer {
        /// The address as it is written.
        address: String,
        /// The request, as a verb with its object.
        doing: String,
        /// Its message.
        message: String,
    },
    /// The connection broke during a build.
    #[error("the BuildKit at `{address}` was lost while it built `{reference}`: {message}")]
    Lost {
        /// The address as it is written.
        address: String,
        /// The image.
        reference: Box<Reference>,
        /// What happened.
        message: String,
    },
    /// What only a Docker daemon can do.
    #[error("a BuildKit only builds: it cannot {0}")]
    OnlyBuilds(&'static str),
    /// An image is not what it should be.
    #[error(transparent)]
    Mismatch(#[from] ImageMismatch),
    /// A document of an image cannot be understood.
    #[error("`{name}`: {error}")]
    Image {
        /// The image.
        name: String,
        /// What is wrong.
        error: ImageError,
    },
    /// A registry has an image no longer.
    #[error("`{0}` is not in its registry")]
    Gone(Box<Reference>),
    /// The context could not be read.
    #[error("cannot send the files of `{reference}`: {error}")]
    Archive {
        /// The image that the context is for.
        reference: Box<Reference>,
        /// Why it could not be read.
        #[source]
        error: ArchiveError,
    },
}

/// Why nobody answers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildKitUnreachable {
    /// There is no socket at the path.
    #[error("there is no such socket")]
    NoSocket,
    /// This user may not connect.
    #[error("permission denied")]
    Denied,
    /// No process listens at the address.
    #[error("connection refused")]
    Refused,
    /// The host has no address.
    #[error("no such host ({0})")]
    NoHost(String),
    /// It is on another machine, and the command must not use the network.
    #[error("it is asked over the network")]
    Network,
    /// There was no answer in time.
    #[error("no answer in time")]
    Silent,
    /// One side does not accept the other's certificate, or speaks without TLS.
    #[error("no TLS connection ({0})")]
    Tls(String),
    /// What answers is something else.
    #[error("what answers there is not BuildKit's API ({0})")]
    Other(String),
    /// Anything else.
    #[error("the connection broke ({0})")]
    Lost(String),
}

impl BuildKitError {
    /// The code, by which documentation and scripts refer to the error.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Unreachable { reason, .. } => match reason {
                BuildKitUnreachable::Tls(_) => Code::E509,
                _ => Code::E508,
            },
            Self::NoAddress(_) => Code::E116,
            Self::Platform { .. } => Code::E631,
            Self::Answer { .. } | Self::Gone(_) => Code::E632,
            Self::Lost { .. } => Code::E633,
            Self::OnlyBuilds(_) => Code::E117,
            Self::Mismatch(_) | Self::Image { .. } => Code::E606,
            Self::Archive { .. } => Code::E608,
        }
    }

    /// What to type or to change, if that is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unreachable { address, reason } => hint_of(address, reason),
            Self::NoAddress(platform) => format!(
                "add one: `[builder.platforms.\"{platform}\"]` with `address = \"tcp://HOST:PORT\"`, or `address` under `[builder]`"
            ),
            Self::Platform { platform, .. } => format!(
                "name one that runs on {platform}: `[builder.platforms.\"{platform}\"]`, or install an emulator on its machine"
            ),
            Self::Lost { .. } => {
                "nothing was tagged; look why it stopped (its log, its memory limit), then run it again: what it had finished is in its cache".to_owned()
            }
            Self::OnlyBuilds(_) => {
                "leave that to a Docker daemon: `sparkpack build --output daemon`".to_owned()
            }
            Self::Answer { .. }
            | Self::Mismatch(_)
            | Self::Image { .. }
            | Self::Gone(_)
            | Self::Archive { .. } => return None,
        })
    }
}

fn hint_of(address: &str, reason: &BuildKitUnreachable) -> String {
    match reason {
        BuildKitUnreachable::NoSocket => format!(
            "start it, `buildkitd --addr {address}`, or correct `address` under `[builder]`"
        ),
        BuildKitUnreachable::Denied => {
            "its socket belongs to another user: `buildkitd --group GROUP` lets a group use it"
                .to_owned()
        }
        BuildKitUnreachable::Network => {
            "leave out `--offline`, or name one of this machine".to_owned()
        }
        BuildKitUnreachable::Tls(_) => {
            "`ca`, `certificate` and `key` under `[builder]` must fit `--tlscacert`, `--tlscert` and `--tlskey` of buildkitd, and its certificate the host's name".to_owned()
        }
        BuildKitUnreachable::Other(_) => {
            "check the port, and whether it wants TLS: then `[builder]` needs `ca`, and most often `certificate` and `key`".to_owned()
        }
        BuildKitUnreachable::Refused
        | BuildKitUnreachable::NoHost(_)
        | BuildKitUnreachable::Silent
        | BuildKitUnreachable::Lost(_) => format!(
            "see whether it runs and can be reached from here: `buildctl --addr {address} debug workers`; else correct `address` under `[builder]`"
        ),
    }
}
