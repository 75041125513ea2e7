//! What the manifests have to name.

use std::collections::{BTreeMap, BTreeSet};

use super::examined::Scope;
use crate::{
    image::{Digest, Reference},
    operations::{resolution::Prepared, workspace::Session},
    project::{PinMode, pins::Pins},
    yaml::{Expected, ExpectedDigest},
};

/// Which digests there are to write.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Digests<'p> {
    /// Those of the pushes until now.
    Pinned(&'p Pins),
    /// One for each image, whatever it will be: to find out before a push whether it can be written.
    Assumed,
}

/// What each image has to be called in the manifests of each registry.
pub(crate) struct ExpectedReferences {
    /// By registry and image: the images that are meant.
    wanted: BTreeMap<String, BTreeMap<String, Expected>>,
    /// The references of all images in all registries.
    current: BTreeMap<String, Vec<Reference>>,
    /// The Spark of each image's chain.
    pub(crate) sparks: BTreeMap<String, String>,
    /// All that a verdict depends on besides a manifest's text.
    digest: Digest,
}

impl ExpectedReferences {
    /// The references that the plan gives.
    pub(crate) fn of_plan(
        session: &Session<'_>,
        prepared: &Prepared,
        scope: Scope<'_>,
        digests: Digests<'_>,
    ) -> Self {
        let project = &session.project;
        let mut expected = Self {
            wanted: BTreeMap::new(),
            current: BTreeMap::new(),
            sparks: BTreeMap::new(),
            digest: Digest::of(b""),
        };
        let meant: BTreeSet<&String> = scope.images.iter().collect();
        for registry in project.registries.values() {
            let mut wanted = BTreeMap::new();
            for stage in prepared.plan.stages.values() {
                let reference = stage.reference(registry);
                let current = expected.current.entry(stage.name.clone()).or_default();
                current.push(reference.clone());
                if !meant.contains(&stage.name) {
                    continue;
                }
                let platforms: Vec<_> = stage
                    .platforms
                    .iter()
                    .map(|stage| stage.platform.clone())
                    .collect();
                let repository = &reference.repository;
                let fingerprint = &stage.fingerprint;
                let digest = match (project.pin, digests) {
                    (PinMode::Tag, _) => ExpectedDigest::Never,
                    (_, Digests::Assumed) => ExpectedDigest::Known(Digest::of(b"")),
                    (_, Digests::Pinned(pins)) => pins
                        .digest(&registry.name, repository, &platforms, fingerprint)
                        .map_or(ExpectedDigest::Unknown, |digest| {
                            ExpectedDigest::Known(digest.clone())
                        }),
                };
                let want = Expected {
                    image: stage.name.clone(),
                    repository: reference.repository.clone(),
                    tag: reference.tag.clone().unwrap_or_default(),
                    digest,
                };
                wanted.insert(stage.name.clone(), want);
            }
            expected.wanted.insert(registry.name.clone(), wanted);
        }
        for image in project.images.values() {
            if let Some(chain) = project.chain_of(image) {
                expected
                    .sparks
                    .insert(image.name.clone(), chain.spark.clone());
            }
        }
        expected.digest = expected.everything(session);
        expected
    }

    /// What an image has to be called in the manifests of a registry; nothing where it is not meant.
    pub(crate) fn of(&self, registry: &str, image: &str) -> Option<&Expected> {
        self.wanted.get(registry)?.get(image)
    }

    /// Whether the references of an image are meant.
    pub(crate) fn is_meant(&self, image: &str) -> bool {
        self.wanted
            .values()
            .any(|wanted| wanted.contains_key(image))
    }

    /// Whether a reference is what its image is called in any registry, whatever its digest.
    pub(crate) fn is_current(&self, image: &str, written: &Reference) -> bool {
        let current = self.current.get(image);
        current.is_some_and(|current| {
            current.iter().any(|current| {
                current.repository == written.repository && current.tag == written.tag
            })
        })
    }

    /// All that the verdict on a manifest of `registry` depends on, but for the manifest.
    pub(crate) fn digest_for(&self, registry: &str, may_share: bool) -> Digest {
        let may_share = if may_share { "share" } else { "" };
        Digest::of_fields([self.digest.hex(), registry, may_share])
    }

    fn everything(&self, session: &Session<'_>) -> Digest {
        let project = &session.project;
        let written = [
            format!("{:?}", self.wanted),
            format!("{:?}", self.current),
            format!("{:?}", self.sparks),
            format!("{:?}", project.places),
            format!("{:?}", project.registries),
            format!("{:?}", project.formerly),
            format!("{:?} {}", project.reference, project.name),
        ];
        Digest::of_fields(written)
    }
}
