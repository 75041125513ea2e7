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
use crate::image::{ImageMismatch, Platform, Reference};

/// `{}` in base64: daemons require the header even without credentials.
const ANONYMOUS: &str = "e30=";

/// How often a push is begun, if its registry fails in passing.
const PUSH_ATTEMPTS: u32 = 4;

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
        let mut pause = FIRST_PAUSE;
        for _ in 1..PUSH_ATTEMPTS {
            match self.push_once(reference, registry_auth, events) {
                Err(DockerError::Push { message, .. }) if may_pass(&message) => {
                    thread::sleep(pause);
                    pause *= 2;
                }
                pushed => return pushed,
            }
        }
        self.push_once(reference, registry_auth, events)
    }

    fn push_once(
        &self,
        reference: &Reference,
        registry_auth: &str,
        events: &mut dyn FnMut(TransferEvent),
    ) -> Result<(), DockerError> {
        let Some(tag) = &reference.tag else {
            // Without a tag the daemon would push all of the repository's.
            return Err(push_error(reference, "the reference has no tag".to_owned()));
        };
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
        let failed = |message: String| DockerError::Pull {
            reference: Box::new(reference.clone()),
            message,
        };
        let digest = reference.digest.as_ref().map(ToString::to_string);
        let Some(version) = digest.or_else(|| reference.tag.clone()) else {
            // With neither tag nor digest, the daemon would pull all tags of the repository.
            return Err(failed(
                "the reference has neither tag nor digest".to_owned(),
            ));
        };
        let options = CreateImageOptionsBuilder::default()
            .from_image(&reference.repository.to_string())
            .tag(&version)
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

/// Whether a push may succeed at the next attempt. Daemons repeat only the upload of layers, and what they have sent is
/// not sent again.
fn may_pass(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    let texts = [
        "eof",
        "connection reset",
        "broken pipe",
        "timeout",
        "429 too many requests",
        "toomanyrequests",
        "500 internal server error",
        "502 bad gateway",
        "503 service unavailable",
        "504 gateway",
        "stopped talking",
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
