//! Updates `sparkpack.pins` after a push, with the digests that the registry has now.

use std::collections::HashSet;

use crate::{
    adapters::journal::Replacement,
    error::Error,
    image::{Digest, Repository},
    operations::{
        dist::ImageResult,
        events::{ManifestNote, Note},
        manifests::{Manifests, Named},
        resolution::Prepared,
        workspace::Session,
    },
    plan::Stage,
    project::{
        PinMode, Registry,
        pins::{FILE_NAME, Pin, Pins},
    },
};

/// The pins after a push, and what changed in them.
#[derive(Default)]
pub(crate) struct NewPins {
    pub(crate) pins: Pins,
    /// The file's new bytes; `None` if the pins have not changed.
    bytes: Option<Vec<u8>>,
    /// The digest of the file's bytes before; `None` if there is no file.
    old: Option<Digest>,
    moved: Vec<Moved>,
}

/// An image that was built again from the same inputs, with another digest.
struct Moved {
    image: String,
    fingerprint: Digest,
    old: Digest,
    new: Digest,
    /// Where manifests name the old digest.
    named: Vec<Named>,
}

impl NewPins {
    /// The pins after `rows` were pushed to `registry`.
    pub(crate) fn of_push(
        session: &Session<'_>,
        prepared: &Prepared,
        registry: &Registry,
        rows: &[ImageResult],
        manifests: &Manifests<'_>,
    ) -> Result<Self, Error> {
        // If the manifests use tags without digests, a push writes no pins: it must not change a clean checkout.
        // Nor for a layout, since no manifest names its images.
        if session.project.pin == PinMode::Tag || registry.layout.is_some() {
            return Ok(Self::default());
        }
        let file = fs_err::read(session.project.root.join(FILE_NAME));
        let mut pins = session.pins()?;
        let before = pins.text();
        let mut moved = Vec::new();
        for row in rows {
            let stage = &prepared.plan.stages[&row.name];
            moved.extend(set(&mut pins, &registry.name, stage, row));
        }
        let stages = prepared.plan.stages.values();
        let current: HashSet<(&Repository, &Digest)> = stages
            .map(|stage| {
                let repository = &stage.reference(registry).repository;
                (repository, &stage.fingerprint)
            })
            .collect();
        // Of an image that could not be planned nobody knows which pin is current.
        let is_whole = prepared.is_whole(session);
        pins.retain(|pin| !is_whole || is_kept(session, registry, &current, pin));
        let after = pins.text();
        Ok(Self {
            pins,
            old: file.ok().map(|bytes| Digest::of(&bytes)),
            bytes: (after != before).then(|| after.into_bytes()),
            moved: with_places(manifests, moved)?,
        })
    }

    /// Reports every digest that has changed.
    pub(crate) fn tell(&self, session: &Session<'_>) {
        for moved in &self.moved {
            session
                .events
                .note(Note::Manifest(ManifestNote::DigestMoved {
                    image: &moved.image,
                    fingerprint: &moved.fingerprint,
                    old: &moved.old,
                    new: &moved.new,
                }));
            for named in &moved.named {
                session
                    .events
                    .note(Note::Manifest(ManifestNote::OldDigestNamed {
                        place: &named.place,
                        image: &moved.image,
                    }));
            }
        }
    }

    /// The file to be written together with the manifests; `None` if the pins have not changed.
    pub(crate) fn file(&self, session: &Session<'_>) -> Option<Replacement> {
        let bytes = self.bytes.clone()?;
        Some(Replacement {
            path: session.project.root.join(FILE_NAME),
            old: self.old.clone(),
            bytes,
        })
    }
}

/// Pins a pushed image. Returns the image if it was pinned to another digest.
fn set(pins: &mut Pins, registry: &str, stage: &Stage, row: &ImageResult) -> Option<Moved> {
    let new = row.digest.as_ref()?;
    let platforms = stage.each_platform();
    let repository = &row.reference.repository;
    let old = pins.set(registry, repository, &platforms, &stage.fingerprint, new)?;
    (old != *new).then(|| Moved {
        image: row.name.clone(),
        fingerprint: stage.fingerprint.clone(),
        old,
        new: new.clone(),
        named: Vec::new(),
    })
}

fn with_places(manifests: &Manifests<'_>, mut moved: Vec<Moved>) -> Result<Vec<Moved>, Error> {
    if moved.is_empty() {
        return Ok(moved);
    }
    for named in manifests.named()? {
        let is_of = |moved: &&mut Moved| {
            moved.image == named.image && named.reference.digest.as_ref() == Some(&moved.old)
        };
        if let Some(moved) = moved.iter_mut().find(is_of) {
            moved.named.push(named);
        }
    }
    Ok(moved)
}

/// Whether a line stays in the file. Lines for this registry are removed unless they are for an image of this checkout.
/// The prefix of a registry may come from the environment and differ between machines: lines for repositories that do
/// not belong to the project here are left alone.
fn is_kept(
    session: &Session<'_>,
    registry: &Registry,
    current: &HashSet<(&Repository, &Digest)>,
    pin: &Pin,
) -> bool {
    let repository = pin.repository.to_string();
    let below = repository.strip_prefix(&registry.prefix);
    let is_ours = below.is_some_and(|below| below.starts_with('/'))
        || session.project.image_matcher.has(&pin.repository);
    let is_current = current.contains(&(&pin.repository, &pin.fingerprint));
    pin.registry != registry.name || !is_ours || is_current
}
