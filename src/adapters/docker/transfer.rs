//! Pushes and pulls, which the daemon does itself.

use std::{collections::BTreeMap, thread, time::Duration};

use bollard::{
    models::ProgressDetail,
    query_parameters::{CreateImageOptionsBuilder, PushImageOptionsBuilder},
};
use futures_util::StreamExt;

use super::{
    daemon::{Daemon, WORK, asking},
    error::{self, DockerError},
};
use crate::{
    adapters::pause,
    image::{ImageMismatch, Platform, Reference},
};

/// `{}` in base64: daemons require the header even without credentials.
const ANONYMOUS: &str = "e30=";

/// How often a push or a pull is begun, if its registry fails in passing.
const ATTEMPTS: u32 = 4;

/// The pause before the second attempt; doubled before each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(if cfg!(test) { 10 } else { 1000 });

/// The progress of a push or a pull.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransferEvent {
    /// A line for people, of one layer or of the whole.
    Status(String),
    /// The bytes of all layers that are known so far.
    Bytes {
        /// Moved so far.
        done: u64,
        /// To be moved; it grows while the daemon finds more layers.
        total: u64,
    },
}

impl Daemon {
    /// Pushes the image with the tag of `reference`; `registry_auth` is the value of `X-Registry-Auth`, or empty.
    ///
    /// # Errors
    /// [`DockerError::Unauthorized`] if the registry demands other credentials, else [`DockerError::Push`].
    pub fn push(
        &self,
        reference: &Reference,
        registry_auth: &str,
        events: &mut dyn FnMut(TransferEvent),
    ) -> Result<(), DockerError> {
        let Some(tag) = &reference.tag else {
            // Without a tag the daemon would push all of the repository's.
            return Err(push_error(reference, "the reference has no tag".to_owned()));
        };
        repeated(!registry_auth.is_empty(), || {
            self.push_once((reference, tag), registry_auth, events)
        })
    }

    fn push_once(
        &self,
        (reference, tag): (&Reference, &str),
        registry_auth: &str,
        events: &mut dyn FnMut(TransferEvent),
    ) -> Result<(), DockerError> {
        let options = PushImageOptionsBuilder::default().tag(tag).build();
        let client = self.client_with(registry_auth);
        let mut progress = LayerProgress::default();
        let mut arrived = self.podman;
        let end = format!("{tag}: digest: ");
        let outcome = self.runtime.block_on(async {
            let repository = reference.repository.to_string();
            let messages = client.push_image(&repository, Some(options), None);
            let mut messages = error::messages(messages);
            while let Some(message) = messages.next().await {
                let message = message?;
                arrived |= message
                    .status
                    .as_ref()
                    .is_some_and(|text| text.starts_with(&end));
                progress.take(None, message.status, message.progress_detail, events);
            }
            Ok(())
        });
        let failed = |message| push_error(reference, message);
        self.conclude("push", reference, outcome, failed)?;
        if arrived {
            Ok(())
        } else {
            Err(failed(
                "the daemon stopped talking before the end".to_owned(),
            ))
        }
    }

    /// Pulls `reference` for `platform`, by digest if it has one; `registry_auth` as in [`push`](Self::push).
    ///
    /// # Errors
    /// [`DockerError::Unauthorized`] if the registry demands other credentials, [`DockerError::Mismatch`] if the image
    /// is for another platform, else [`DockerError::Pull`].
    pub fn pull(
        &self,
        reference: &Reference,
        platform: &Platform,
        registry_auth: &str,
        events: &mut dyn FnMut(TransferEvent),
    ) -> Result<(), DockerError> {
        let digest = reference.digest.as_ref().map(ToString::to_string);
        let Some(version) = digest.or_else(|| reference.tag.clone()) else {
            // With neither tag nor digest, the daemon would pull all tags of the repository.
            let message = "the reference has neither tag nor digest".to_owned();
            return Err(pull_error(reference, message));
        };
        repeated(!registry_auth.is_empty(), || {
            self.pull_once((reference, &version), platform, registry_auth, events)
        })
    }

    fn pull_once(
        &self,
        (reference, version): (&Reference, &str),
        platform: &Platform,
        registry_auth: &str,
        events: &mut dyn FnMut(TransferEvent),
    ) -> Result<(), DockerError> {
        let failed = |message| pull_error(reference, message);
        let options = CreateImageOptionsBuilder::default()
            .from_image(&reference.repository.to_string())
            .tag(version)
            .platform(&platform.to_string())
            .build();
        let client = self.client_with(registry_auth);
        let mut progress = LayerProgress::default();
        let outcome = self.runtime.block_on(async {
            let messages = client.create_image(Some(options), None, None);
            let mut messages = error::messages(messages);
            while let Some(message) = messages.next().await {
                let message = message?;
                progress.take(message.id, message.status, message.progress_detail, events);
            }
            Ok(())
        });
        self.conclude("pull", reference, outcome, failed)?;
        let pulled = Reference {
            tag: reference.tag.clone().filter(|_| reference.digest.is_none()),
            ..reference.clone()
        };
        let Some(info) = self.inspect(&pulled.to_string())? else {
            return Err(failed(
                "the daemon says it is there, and has it not".to_owned(),
            ));
        };
        Ok(ImageMismatch::of_platform(&info, platform, reference)?)
    }

    fn client_with(&self, registry_auth: &str) -> bollard::Docker {
        let registry_auth = match registry_auth {
            "" => ANONYMOUS,
            _ => registry_auth,
        };
        asking(&self.client, Some(registry_auth)).with_timeout(WORK)
    }

    fn conclude(
        &self,
        verb: &'static str,
        reference: &Reference,
        outcome: Result<(), bollard::errors::Error>,
        failed: impl Fn(String) -> DockerError,
    ) -> Result<(), DockerError> {
        let Err(error) = outcome else {
            return Ok(());
        };
        match error::said(&error) {
            Some(message) if is_about_credentials(&message) => Err(DockerError::Unauthorized {
                verb,
                reference: Box::new(reference.clone()),
                message,
            }),
            Some(message) => Err(failed(message)),
            None => Err(self.failed(&error, String::new)),
        }
    }
}

fn push_error(reference: &Reference, message: String) -> DockerError {
    DockerError::Push {
        reference: Box::new(reference.clone()),
        message,
    }
}

fn pull_error(reference: &Reference, message: String) -> DockerError {
    DockerError::Pull {
        reference: Box::new(reference.clone()),
        message,
    }
}

/// Repeats a push or a pull that may succeed at the next attempt. Of its requests daemons repeat only those for layers. What
/// was moved before is not moved again.
///
/// A daemon asks a registry first how to sign in. If that answer is lost, it goes on without the credentials that it was
/// given, and is refused: so a refusal is believed when it comes for the second time.
fn repeated(
    has_credentials: bool,
    mut attempt: impl FnMut() -> Result<(), DockerError>,
) -> Result<(), DockerError> {
    let mut pause = pause::before_second_attempt(FIRST_PAUSE);
    let (mut may_be_refused, mut attempts) = (has_credentials, 0);
    loop {
        attempts += 1;
        let Err(error) = attempt() else {
            return Ok(());
        };
        let may_pass = match &error {
            DockerError::Push { message, .. } | DockerError::Pull { message, .. } => {
                !is_lasting(message)
            }
            DockerError::Unauthorized { .. } => std::mem::take(&mut may_be_refused),
            _ => false,
        };
        if !may_pass {
            return Err(error);
        }
        if attempts == ATTEMPTS {
            return Err(interrupted(error));
        }
        thread::sleep(pause);
        pause *= 2;
    }
}

/// The error of a push or a pull that was interrupted at each attempt.
fn interrupted(error: DockerError) -> DockerError {
    let (verb, reference, message) = match error {
        DockerError::Push { reference, message } => ("push", reference, message),
        DockerError::Pull { reference, message } => ("pull", reference, message),
        error => return error,
    };
    DockerError::Interrupted {
        verb,
        reference,
        attempts: ATTEMPTS,
        message,
    }
}

/// Whether a push or a pull would fail in the same way at the next attempt. The daemon has only a text for it: what is in
/// none of them, such as a connection that broke, may pass.
fn is_lasting(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    let texts = [
        // The registry's codes, as daemons write them.
        "manifest unknown",
        "manifest invalid",
        "name unknown",
        "name invalid",
        "tag invalid",
        "not found",
        "denied",
        "unsupported",
        "does not exist",
        // Statuses.
        " 400 ",
        " 401 ",
        " 403 ",
        " 404 ",
        " 405 ",
        " 413 ",
        " 415 ",
        // The way to it.
        "x509",
        "certificate",
        "http response to https client",
        "no such host",
        // This machine.
        "no space left",
        "read-only file system",
        "permission denied",
        // The image.
        "no matching manifest",
        "does not match the specified platform",
        "invalid reference format",
    ];
    texts.iter().any(|text| message.contains(text))
}

/// Whether a registry refused the credentials, which a daemon's answer shows only in its text.
fn is_about_credentials(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    let texts = [
        "unauthorized",
        "no basic auth credentials",
        "authentication required",
        "access denied",
        "access to the resource is denied",
        "incorrect username or password",
        "403 forbidden",
    ];
    texts.iter().any(|text| message.contains(text))
}

/// Bytes of each layer.
#[derive(Default)]
struct LayerProgress {
    layers: BTreeMap<String, (u64, u64)>,
}

impl LayerProgress {
    /// Counts one message about `layer`. A push does not name the layer, so its size is used as its name, which is good
    /// enough for a progress bar.
    fn take(
        &mut self,
        layer: Option<String>,
        status: Option<String>,
        detail: Option<ProgressDetail>,
        events: &mut dyn FnMut(TransferEvent),
    ) {
        let positive = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok());
        let detail = detail.unwrap_or_default();
        let bytes = positive(detail.current).zip(positive(detail.total).filter(|total| *total > 0));
        match (status, bytes) {
            (Some(status), Some((done, total))) => {
                // Unpacking counts the same bytes again.
                if matches!(&*status, "Pushing" | "Downloading") {
                    let layer = layer.unwrap_or_else(|| total.to_string());
                    self.layers.insert(layer, (done.min(total), total));
                    let sum = self.layers.values();
                    let (done, total) =
                        sum.fold((0, 0), |sum, layer| (sum.0 + layer.0, sum.1 + layer.1));
                    events(TransferEvent::Bytes { done, total });
                }
            }
            (Some(status), None) => events(TransferEvent::Status(match layer {
                Some(layer) => format!("{layer}: {status}"),
                None => status,
            })),
            (None, _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_summed_over_the_layers() {
        let mut progress = LayerProgress::default();
        let mut events = Vec::new();
        let mut take = |layer: Option<&str>, status: &str, bytes: Option<(i64, i64)>| {
            let detail = bytes.map(|(current, total)| ProgressDetail {
                current: Some(current),
                total: Some(total),
            });
            let layer = layer.map(str::to_owned);
            progress.take(layer, Some(status.to_owned()), detail, &mut |event| {
                events.push(event);
            });
        };
        take(Some("a"), "Downloading", Some((1, 10)));
        take(Some("b"), "Downloading", Some((3, 5)));
        take(Some("b"), "Extracting", Some((1, 5)));
        take(Some("a"), "Pull complete", None);
        take(None, "Pushing", Some((9, 7)));
        let bytes = |done, total| TransferEvent::Bytes { done, total };
        let wanted = [
            bytes(1, 10),
            bytes(4, 15),
            TransferEvent::Status("a: Pull complete".to_owned()),
            bytes(11, 22),
        ];
        assert_eq!(events, wanted);
    }

    #[test]
    fn what_will_not_pass_is_not_tried_again() {
        for text in [
            "manifest for reg.example/a:1 not found: manifest unknown: manifest unknown",
            "Get \"https://reg.example/v2/\": x509: certificate signed by unknown authority",
            "failed to register layer: write /x: no space left on device",
            "no matching manifest for linux/amd64 in the manifest list entries",
            "error parsing HTTP 413 response body: invalid character '<'",
        ] {
            assert!(is_lasting(text), "{text}");
        }
        for text in [
            "received unexpected HTTP status: 503 Service Unavailable",
            "error pulling image configuration: download failed after attempts=1: EOF",
            "Get \"http://127.0.0.1:5000/v2/\": read: connection reset by peer",
            "toomanyrequests: slow down",
            "net/http: TLS handshake timeout",
            "unexpected EOF",
            "error parsing HTTP 408 response body: no error details found",
            "the daemon stopped talking before the end",
        ] {
            assert!(!is_lasting(text), "{text}");
        }
    }

    #[test]
    fn refusals_are_told_from_other_failures() {
        for text in [
            "no basic auth credentials",
            "unauthorized: authentication required",
            "denied: requested access to the resource is denied",
        ] {
            assert!(is_about_credentials(text), "{text}");
        }
        assert!(!is_about_credentials("manifest unknown: manifest unknown"));
    }
}
