//! Imports: files become an image with one layer.

use std::collections::BTreeMap;

use bollard::{body_try_stream, query_parameters::CreateImageOptionsBuilder};
use futures_util::StreamExt;

use super::{
    build::{archive_error, limit},
    daemon::{Daemon, WORK, image_id},
    error::{self, DockerError},
};
use crate::{
    adapters::tar_body,
    image::{ImageInfo, ImageMismatch, Platform, Reference},
    project::tree::Entry,
};

impl Daemon {
    /// Makes an image with a single layer of `entries`; nothing is executed.
    ///
    /// The daemon writes the time into the config, so each import has another image ID, but the same layer.
    ///
    /// # Errors
    /// [`DockerError::Archive`] if an entry cannot be read, [`DockerError::Mismatch`] if the daemon is too old to
    /// import for another platform than its own.
    pub fn import(
        &self,
        entries: &[Entry],
        labels: &BTreeMap<String, String>,
        platform: &Platform,
        reference: &Reference,
    ) -> Result<ImageInfo, DockerError> {
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
        let id = last.as_deref().and_then(image_id);
        let id = id.ok_or_else(|| DockerError::Answer {
            doing: doing(),
            message: "it named no image".to_owned(),
        })?;
        let image = self.inspect_made(&id, reference)?;
        ImageMismatch::of_platform(&image, platform, reference)?;
        ImageMismatch::of_labels(&image, labels, reference)?;
        self.tag(&id, reference)?;
        Ok(image)
    }
}

/// A `LABEL` instruction for each label, quoted as in a Dockerfile, where `$` begins a variable.
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
