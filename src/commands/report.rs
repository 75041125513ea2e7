//! `dist/images.json`: what was made, for other programs.

use serde::Serialize;

use super::{
    locks::Prepared,
    making::{Action, Made},
    packing,
    session::Session,
};
use crate::{
    adapters::store,
    error::Error,
    image::{Digest, ImageFacts, Reference},
};

/// The version of the document.
const VERSION: u32 = 1;

/// What became of one image.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) reference: Reference,
    /// The digest in the registry, where it is known.
    pub(super) digest: Option<Digest>,
    pub(super) facts: ImageFacts,
    /// `built`, `reused`, `pushed` or `adopted`.
    pub(super) action: &'static str,
}

impl Row {
    pub(super) fn of_made(name: &str, made: &Made) -> Self {
        let action = match made.action {
            Action::Built => "built",
            Action::Reused => "reused",
        };
        Self {
            name: name.to_owned(),
            reference: made.reference.clone(),
            digest: None,
            facts: made.facts.clone(),
            action,
        }
    }
}

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    project: &'a str,
    registry: &'a str,
    images: Vec<Image<'a>>,
}

#[derive(Serialize)]
struct Image<'a> {
    name: &'a str,
    reference: String,
    digest: Option<&'a Digest>,
    id: &'a Digest,
    fingerprint: &'a Digest,
    parent: Option<&'a str>,
    platforms: Vec<String>,
    action: &'a str,
    size: u64,
}

/// Writes the document, where it says something new.
pub(super) fn write(
    session: &Session<'_>,
    prepared: &Prepared,
    registry: &str,
    rows: &[Row],
) -> Result<(), Error> {
    let images = rows.iter().filter_map(|row| {
        let stage = prepared.plan.stages.get(&row.name)?;
        let image = session.project.images.get(&row.name)?;
        let inputs = prepared.inputs.get(&row.name)?;
        Some(Image {
            name: &row.name,
            reference: row.reference.to_string(),
            digest: row.digest.as_ref(),
            id: &row.facts.id,
            fingerprint: &stage.fingerprint,
            parent: inputs.foundation.as_deref(),
            platforms: image.platforms.iter().map(ToString::to_string).collect(),
            action: row.action,
            size: row.facts.size,
        })
    });
    let document = Document {
        version: VERSION,
        project: &session.project.name,
        registry,
        images: images.collect(),
    };
    let mut text = serde_json::to_string_pretty(&document).map_err(std::io::Error::other)?;
    text.push('\n');
    let file = session.project.root.join("dist/images.json");
    if fs_err::read(&file).is_ok_and(|old| old == text.as_bytes()) {
        return Ok(());
    }
    packing::keep_out_of_git(&session.project.root.join("dist"))?;
    Ok(store::replace(&file, text.as_bytes())?)
}
