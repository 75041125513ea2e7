//! The references that the manifests should have.

use std::collections::{BTreeMap, BTreeSet};

use super::{contents::Contents, examined::Scope};
use crate::{
    error::Error,
    image::{Digest, Reference, Repository},
    operations::{resolution::Prepared, workspace::Session},
    project::{ConfiguredPlace, PathStep, PinMode, pins::Pins},
    yaml::{Expected, ExpectedDigest},
};

/// Which digests the expected references have.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Digests<'p> {
    /// The pinned digests of earlier pushes.
    Pinned(&'p Pins),
    /// The same made-up digest for every image. Before a push this shows whether digests can be written into the
    /// manifests.
    Assumed,
}

/// The references that the manifests of each registry should have.
pub(crate) struct ExpectedReferences {
    /// The references of this run's images, by registry and image.
    wanted: BTreeMap<String, BTreeMap<String, Expected>>,
    /// The references of every image in all registries, by image.
    current: BTreeMap<String, Vec<Reference>>,
    /// The Spark version of each image's chain.
    pub(crate) sparks: BTreeMap<String, String>,
    /// What the images are made from.
    pub(crate) contents: Contents,
    /// A digest of everything that a result depends on besides a manifest's text.
    digest: Digest,
}

impl ExpectedReferences {
    /// The references of the plan, with the digests in `sparkpack.pins`.
    ///
    /// # Errors
    /// The pins cannot be read.
    pub(crate) fn pinned(
        session: &Session<'_>,
        prepared: &Prepared,
        scope: Scope<'_>,
    ) -> Result<Self, Error> {
        let pins = session.pins()?;
        let digests = Digests::Pinned(&pins);
        Ok(Self::of_plan(session, prepared, scope, digests))
    }

    /// The references of the plan, with the given digests.
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
            contents: Contents::of(prepared),
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
                let platforms = stage.each_platform();
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
                    tag: stage.tag().to_owned(),
                    digest,
                };
                wanted.insert(stage.name.clone(), want);
            }
            expected.wanted.insert(registry.name.clone(), wanted);
        }
        for image in project.images.values() {
            if let Some(spark) = prepared.lock.spark_of(project, image) {
                expected.sparks.insert(image.name.clone(), spark);
            }
        }
        expected.digest = expected.everything(session);
        expected
    }

    /// The reference of an image in the manifests of a registry; `None` if the image is not part of this run.
    pub(crate) fn of(&self, registry: &str, image: &str) -> Option<&Expected> {
        self.wanted.get(registry)?.get(image)
    }

    /// Whether an image is part of this run.
    pub(crate) fn is_meant(&self, image: &str) -> bool {
        self.wanted
            .values()
            .any(|wanted| wanted.contains_key(image))
    }

    /// Whether a reference has the current repository and tag of `image` in any registry. Its digest does not matter.
    pub(crate) fn is_current(&self, image: &str, written: &Reference) -> bool {
        let current = self.current.get(image);
        current.is_some_and(|current| {
            current.iter().any(|current| {
                current.repository == written.repository && current.tag == written.tag
            })
        })
    }

    /// Whether a tag, or a digest, is the current one of `image` in any registry.
    pub(crate) fn is_current_version(
        &self,
        image: &str,
        repository: &Repository,
        version: &str,
    ) -> bool {
        let bare = format!("sha256:{version}");
        let digest = version.parse().or_else(|_| bare.parse());
        match digest {
            Ok(digest) => self.is_known_digest(image, &digest),
            Err(_) => self.is_current(image, &repository.with_tag(version)),
        }
    }

    /// Whether a digest is known to be that of the current `image` in any registry.
    pub(crate) fn is_known_digest(&self, image: &str, digest: &Digest) -> bool {
        let mut wanted = self.wanted.values().filter_map(|wanted| wanted.get(image));
        wanted.any(|wanted| wanted.digest == ExpectedDigest::Known(digest.clone()))
    }

    /// Whether a tag is the current one of any image.
    pub(crate) fn is_current_tag(&self, tag: &str) -> bool {
        let mut current = self.current.values().flatten();
        current.any(|current| current.tag.as_deref() == Some(tag))
    }

    /// A digest of everything that the result for a manifest of `registry` depends on, besides the manifest.
    pub(crate) fn digest_for(&self, registry: &str, may_share: bool) -> Digest {
        let may_share = if may_share { "share" } else { "" };
        Digest::of_fields([self.digest.hex(), registry, may_share])
    }

    /// A digest of everything that results depend on: rows that each begin with their kind, so that no two kinds can be
    /// confused.
    fn everything(&self, session: &Session<'_>) -> Digest {
        let project = &session.project;
        let mut rows = Fields::default();
        for (registry, wanted) in &self.wanted {
            for (image, expected) in wanted {
                rows.expected(registry, image, expected);
            }
        }
        for (image, references) in &self.current {
            for reference in references {
                rows.row(["current", image, &reference.to_string()]);
            }
        }
        for (image, spark) in &self.sparks {
            rows.row(["spark", image, spark]);
        }
        for place in &project.places {
            rows.place(place);
        }
        for (name, registry) in &project.registries {
            rows.row(["registry", name, &registry.prefix]);
        }
        for prefix in &project.formerly {
            rows.row(["formerly", prefix]);
        }
        rows.row(["reference", project.reference.as_str()]);
        rows.row(["project", &project.name]);
        Digest::of_fields(rows.0)
    }
}

/// The fields of a digest.
#[derive(Default)]
struct Fields(Vec<String>);

impl Fields {
    fn row<'a>(&mut self, row: impl IntoIterator<Item = &'a str>) {
        self.0.extend(row.into_iter().map(str::to_owned));
    }

    fn expected(&mut self, registry: &str, image: &str, expected: &Expected) {
        let digest = match &expected.digest {
            ExpectedDigest::Never => "never",
            ExpectedDigest::Unknown => "unknown",
            ExpectedDigest::Known(digest) => digest.as_str(),
        };
        let repository = expected.repository.to_string();
        let (name, tag) = (&expected.image, &expected.tag);
        self.row(["expected", registry, image, name, &repository, tag, digest]);
    }

    fn place(&mut self, place: &ConfiguredPlace) {
        let count = place.path.len().to_string();
        self.row(["place", &place.group, &place.kind, &count]);
        for step in &place.path {
            match step {
                PathStep::Key(key) => self.row(["key", key]),
                PathStep::Each => self.row(["each", ""]),
            }
        }
    }
}
