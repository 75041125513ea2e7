//! Builds by a Dockerfile, and imports of files as an image of one layer.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher, Hasher, RandomState},
    time::Duration,
};

use bollard::{
    body_try_stream,
    query_parameters::{
        BuildImageOptions, BuildImageOptionsBuilder, BuilderVersion, CreateImageOptionsBuilder,
    },
};
use futures_util::StreamExt;
use tokio::time::timeout;

use super::{
    Builder, Daemon, DockerError, WORK, error,
    output::{self, Output},
    tar_body::{self, TarBody},
};
use crate::{
    image::{Digest, Platform, Reference},
    package::archive::ArchiveError,
    project::tree::Entry,
};

/// How often the progress of a context is told.
const TICK: Duration = Duration::from_millis(100);

/// Bytes of labels and build arguments in a URL: the client takes none of 64 KiB, daemons none of a megabyte.
const URL_LIMIT: usize = 60 << 10;

/// A build by a Dockerfile: all that it may see.
#[derive(Clone, Debug)]
pub struct BuildRequest {
    /// The whole context, with the Dockerfile.
    pub entries: Vec<Entry>,
    /// Folders that are there even where no entry lies in them.
    pub folders: Vec<String>,
    /// The Dockerfile's path in the context.
    pub dockerfile: String,
    /// The name that the image gets, with a tag; only once it is found to be right.
    pub reference: Reference,
    /// The image's labels, beside those that the Dockerfile gives.
    pub labels: BTreeMap<String, String>,
    /// Values for `ARG`.
    pub build_arguments: BTreeMap<String, String>,
    /// The stage of the Dockerfile that is wanted; the last one otherwise.
    pub target: Option<String>,
    /// The platform that the image must be of.
    pub platform: Platform,
    /// Whether every step is to be run anew.
    pub no_cache: bool,
}

/// What a build tells while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuildEvent {
    /// A step began, or came from the cache; each is told once.
    Step {
        /// From 1.
        number: usize,
        /// How many there are: with `BuildKit` in its stage of the Dockerfile, else in all stages together.
        total: usize,
        /// The instruction as the daemon names it.
        instruction: String,
        /// Whether nothing had to be run.
        cached: bool,
    },
    /// A line that a step printed, without its line end.
    Log(String),
    /// Bytes of the context that were sent so far.
    Sent(u64),
}

impl Daemon {
    /// Builds an image, looks whether it is what was asked for, and only then gives it its tag; returns the image ID.
    ///
    /// # Errors
    /// [`DockerError::BuildFailed`] with the failing step, [`DockerError::Archive`] where the context cannot be read,
    /// [`DockerError::Mismatch`] where the image is another than the one that was asked for.
    pub fn build(
        &self,
        request: &BuildRequest,
        events: &mut dyn FnMut(BuildEvent),
    ) -> Result<Digest, DockerError> {
        let reference = &request.reference;
        limit(reference, &[&request.labels, &request.build_arguments])?;
        let id = self.send(request, events, ATTEMPTS)?;
        let facts = self.verify(&id, &request.platform, reference)?;
        match_labels(&facts.labels, &request.labels, reference)?;
        self.tag(&id, reference)?;
        Ok(id)
    }

    /// Sends the context and follows the build to its end; returns the image ID.
    fn send(
        &self,
        request: &BuildRequest,
        events: &mut dyn FnMut(BuildEvent),
        attempts: u32,
    ) -> Result<Digest, DockerError> {
        let options = options(request, self.builder);
        let folders: Vec<&str> = request.folders.iter().map(String::as_str).collect();
        let (answer, written) = tar_body::send(&request.entries, &folders, |body| {
            self.runtime.block_on(self.follow(options, body, events))
        });
        written.map_err(|error| archive_error(&request.reference, error))?;
        match answer {
            Err(error) if attempts > 1 && lost_an_image(&error) => {
                self.send(request, events, attempts - 1)
            }
            answer => answer,
        }
    }

    async fn follow(
        &self,
        options: BuildImageOptions,
        body: TarBody,
        events: &mut dyn FnMut(BuildEvent),
    ) -> Result<Digest, DockerError> {
        let client = self.client.clone().with_timeout(WORK);
        let meter = body.meter();
        let mut output = output::reader(self.builder);
        let body = body_try_stream(body);
        let mut messages = error::messages(client.build_image(options, None, Some(body)));
        let mut told = 0;
        loop {
            let next = timeout(TICK, messages.next()).await;
            let sent = meter.sent();
            if sent > std::mem::replace(&mut told, sent) {
                events(BuildEvent::Sent(sent));
            }
            match next {
                Err(_elapsed) => {}
                Ok(Some(Ok(message))) => output.take(message, events),
                Ok(Some(Err(error))) => return Err(self.build_error(output.as_mut(), &error)),
                Ok(None) => break,
            }
        }
        let named = output.image().map(str::to_owned);
        named.as_deref().and_then(super::image_id).ok_or_else(|| {
            let message = "the daemon stopped talking before it named an image".to_owned();
            output::failure(output.as_mut(), message)
        })
    }

    fn build_error(&self, output: &mut dyn Output, error: &bollard::errors::Error) -> DockerError {
        match error::said(error) {
            Some(message) => output::failure(output, message),
            None => self.failed(error, String::new),
        }
    }

    /// Makes an image of one layer that holds `entries`, without running anything; returns the image ID.
    ///
    /// The daemon writes the time into it: the image ID is another one every time, the layer's is not.
    ///
    /// # Errors
    /// [`DockerError::Archive`] where an entry cannot be read, [`DockerError::Mismatch`] where the daemon is too old to
    /// import for another platform than its own.
    pub fn import(
        &self,
        entries: &[Entry],
        labels: &BTreeMap<String, String>,
        platform: &Platform,
        reference: &Reference,
    ) -> Result<Digest, DockerError> {
        limit(reference, &[labels])?;
        let options = CreateImageOptionsBuilder::default()
            .from_src("-")
            .platform(&platform.to_string())
            .changes(label_instructions(reference, labels)?)
            .build();
        let (answer, written) = tar_body::send(entries, &[], |body| {
            let client = self.client.clone().with_timeout(WORK);
            let body = body_try_stream(body);
            self.runtime.block_on(async {
                let messages = client.create_image(Some(options), Some(body), None);
                let mut messages = error::messages(messages);
                let mut last = None;
                while let Some(message) = messages.next().await {
                    last = message?.status.or(last);
                }
                Ok(last)
            })
        });
        written.map_err(|error| archive_error(reference, error))?;
        let doing = || format!("import `{reference}`");
        let last = answer.map_err(|error| self.failed(&error, doing))?;
        let id = last.as_deref().and_then(super::image_id);
        let id = id.ok_or_else(|| DockerError::Answer {
            doing: doing(),
            message: "it named no image".to_owned(),
        })?;
        let facts = self.verify(&id, platform, reference)?;
        match_labels(&facts.labels, labels, reference)?;
        self.tag(&id, reference)?;
        Ok(id)
    }
}

/// How often a build is begun that fails since somebody removes images at the same time.
const ATTEMPTS: u32 = 5;

/// The classic builder reads all images for its cache, and fails if one of them, whosever it is, goes meanwhile.
fn lost_an_image(error: &DockerError) -> bool {
    matches!(error, DockerError::BuildFailed { message, .. } if message.starts_with("unable to find image \"sha256:"))
}

fn options(request: &BuildRequest, builder: Builder) -> BuildImageOptions {
    let map = |entries: &BTreeMap<String, String>| -> HashMap<String, String> {
        entries.clone().into_iter().collect()
    };
    let options = BuildImageOptionsBuilder::default()
        .dockerfile(&request.dockerfile)
        .labels(&map(&request.labels))
        .buildargs(&map(&request.build_arguments))
        .platform(&request.platform.to_string())
        .target(request.target.as_deref().unwrap_or_default())
        .nocache(request.no_cache)
        .rm(true)
        .forcerm(true);
    match builder {
        Builder::BuildKit => options
            .version(BuilderVersion::BuilderBuildKit)
            .session(&session())
            .build(),
        Builder::Classic => options.build(),
    }
}

/// A name that no other session of the daemon has.
fn session() -> String {
    let random = || RandomState::new().build_hasher().finish();
    format!("sparkpack-{:016x}{:016x}", random(), random())
}

fn archive_error(reference: &Reference, error: ArchiveError) -> DockerError {
    DockerError::Archive {
        reference: Box::new(reference.clone()),
        error,
    }
}

/// Fails where labels and arguments would make a URL that daemons refuse without a word about the reason.
fn limit(reference: &Reference, maps: &[&BTreeMap<String, String>]) -> Result<(), DockerError> {
    // Each byte that is no letter or digit takes three in a URL.
    let encoded = |text: &String| {
        let plain = text.bytes().filter(u8::is_ascii_alphanumeric).count();
        plain + 3 * (text.len() - plain)
    };
    let entries = maps.iter().flat_map(|map| map.iter());
    let total: usize = entries
        .map(|(key, value)| encoded(key) + encoded(value) + 15)
        .sum();
    if total <= URL_LIMIT {
        return Ok(());
    }
    let message = format!(
        "with the build arguments they take {} KiB in the request's URL, which may have {}",
        total >> 10,
        URL_LIMIT >> 10
    );
    Err(DockerError::Labels {
        reference: Box::new(reference.clone()),
        message,
    })
}

/// Podman and daemons to come may ignore a parameter: a tag without its labels could never be told from another's.
fn match_labels(
    found: &BTreeMap<String, String>,
    wanted: &BTreeMap<String, String>,
    reference: &Reference,
) -> Result<(), DockerError> {
    match wanted
        .iter()
        .find(|(key, value)| found.get(*key) != Some(value))
    {
        None => Ok(()),
        Some((key, value)) => Err(DockerError::Mismatch {
            reference: Box::new(reference.clone()),
            wanted: format!("the label {key}={value}"),
            found: found.get(key).map_or("none", String::as_str).to_owned(),
        }),
    }
}

/// A `LABEL` instruction for each label; its quotes are Dockerfile's, where `$` begins a variable.
fn label_instructions(
    reference: &Reference,
    labels: &BTreeMap<String, String>,
) -> Result<Vec<String>, DockerError> {
    let quoted = |text: &str| {
        let mut quoted = String::from('"');
        for character in text.chars() {
            if matches!(character, '"' | '\\' | '$') {
                quoted.push('\\');
            }
            quoted.push(character);
        }
        quoted.push('"');
        quoted
    };
    let instruction = |(key, value): (&String, &String)| {
        if key.is_empty() || [key, value].iter().any(|text| text.contains(['\n', '\r'])) {
            return Err(DockerError::Labels {
                reference: Box::new(reference.clone()),
                message: format!("`{key}` is empty, or has a line end in it"),
            });
        }
        Ok(format!("LABEL {}={}", quoted(key), quoted(value)))
    };
    labels.iter().map(instruction).collect()
}
