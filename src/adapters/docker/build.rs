//! The common part of the daemon's builders: they send the context, follow the build to its end, and verify and tag the
//! image.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use bollard::{
    Docker, body_try_stream,
    query_parameters::{BuildImageOptions, BuildImageOptionsBuilder},
};
use futures_util::StreamExt;
use tokio::time::timeout;

use super::{
    daemon::{Daemon, WORK, image_id},
    error::{self, DockerError},
};
use crate::{
    adapters::{
        build_output::{self, Output},
        builder::{BuildError, BuildEvent, BuildRequest},
        tar_body::{self, TarBody},
    },
    image::{Digest, ImageInfo, ImageMismatch, Reference},
    package::archive::ArchiveError,
};

/// What to do if the daemon's disk is full.
const IF_FULL: &str =
    "the daemon's disk is full: `docker system df` says of what, `docker builder prune` frees some";

/// How often the progress of sending a context is reported.
const TICK: Duration = Duration::from_millis(100);

/// The most bytes that labels and build arguments may take in a URL: the HTTP client refuses 64 KiB.
const URL_LIMIT: usize = 60 << 10;

impl Daemon {
    /// Sends the context and follows the build to its end; returns the ID of the image that it named.
    pub(super) fn run_build(
        &self,
        request: &BuildRequest,
        (client, options): (&Docker, BuildImageOptions),
        output: &mut dyn Output,
        events: &mut dyn FnMut(BuildEvent),
    ) -> Result<Digest, BuildError> {
        let folders: Vec<&str> = request.folders.iter().map(String::as_str).collect();
        let (answer, written) = tar_body::send(&request.entries, &folders, |body| {
            self.runtime
                .block_on(self.follow((client, options), body, output, events))
        });
        written.map_err(|error| archive_error(&request.reference, error))?;
        answer
    }

    /// Verifies the image that a build named, and gives it its tag.
    pub(super) fn accept(
        &self,
        id: &Digest,
        request: &BuildRequest,
    ) -> Result<ImageInfo, BuildError> {
        let image = self.inspect_made(id, &request.reference)?;
        request.verify(&image)?;
        if request.looks_inside
            && let Some(program) = self.program(&image)?
        {
            ImageMismatch::of_program(&program, &request.platform, &request.reference)?;
        }
        self.tag(id, &request.reference)?;
        Ok(image)
    }

    async fn follow(
        &self,
        (client, options): (&Docker, BuildImageOptions),
        body: TarBody,
        output: &mut dyn Output,
        events: &mut dyn FnMut(BuildEvent),
    ) -> Result<Digest, BuildError> {
        let client = client.clone().with_timeout(WORK);
        let meter = body.meter();
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
                Ok(Some(Err(error))) => return Err(self.build_error(output, &error)),
                Ok(None) => break,
            }
        }
        let named = output.image().map(str::to_owned);
        named.as_deref().and_then(image_id).ok_or_else(|| {
            let message = "the daemon stopped talking before it named an image".to_owned();
            build_output::failure(output, message, IF_FULL)
        })
    }

    fn build_error(&self, output: &mut dyn Output, error: &bollard::errors::Error) -> BuildError {
        match error::said(error) {
            Some(message) => build_output::failure(output, message, IF_FULL),
            None => self.failed(error, String::new).into(),
        }
    }
}

/// The options that both builders support.
pub(super) fn options(request: &BuildRequest) -> BuildImageOptionsBuilder {
    let map = |entries: &BTreeMap<String, String>| -> HashMap<String, String> {
        entries.clone().into_iter().collect()
    };
    BuildImageOptionsBuilder::default()
        .dockerfile(&request.dockerfile)
        .labels(&map(&request.labels))
        .buildargs(&map(&request.build_arguments))
        .platform(&request.platform.to_string())
        .target(request.target.as_deref().unwrap_or_default())
        .nocache(request.no_cache)
        .rm(true)
        .forcerm(true)
}

/// Fails if a build's labels and arguments are too long for a URL.
pub(super) fn limit_request(request: &BuildRequest) -> Result<(), DockerError> {
    let maps = [&request.labels, &request.build_arguments];
    limit(&request.reference, &maps)
}

pub(super) fn archive_error(reference: &Reference, error: ArchiveError) -> DockerError {
    DockerError::Archive {
        reference: Box::new(reference.clone()),
        error,
    }
}

/// Fails if labels and arguments would make the URL too long: daemons refuse such a URL without saying why.
pub(super) fn limit(
    reference: &Reference,
    maps: &[&BTreeMap<String, String>],
) -> Result<(), DockerError> {
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
