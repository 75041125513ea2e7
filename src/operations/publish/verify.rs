//! `sparkpack check --remote`: checks that the registries have the pinned images and those that the manifests name.
//!
//! Registries are asked by HEAD requests. A GET follows only if a registry refuses HEAD, if its answer has no digest,
//! or if the digest is not the expected one.

use std::collections::{BTreeMap, HashMap, btree_map::Entry};

use super::confirm::digest_of;
use crate::{
    adapters::{destination::DestinationError, registry::RegistryError},
    code::Code,
    error::Error,
    image::{Digest, Platform, Reference},
    operations::{
        manifests::{Manifests, Named, Scope},
        resolution::Prepared,
        workspace::{Services, Session},
    },
    plan::Stage,
    project::{
        pins::{Pin, Pins},
        place::Defect,
    },
};

/// The warnings `W109`, for images of `scope` that a registry does not have or has with another digest.
pub(crate) fn verify(
    session: &Session<'_>,
    services: &Services<'_>,
    prepared: &Prepared,
    scope: Scope<'_>,
    manifests: &Manifests<'_>,
) -> Result<Vec<Defect>, Error> {
    let pins = session.pins()?;
    let mut verifier = Verifier {
        services,
        pins: &pins,
        answers: BTreeMap::new(),
        defects: Vec::new(),
    };
    for registry in session.project.registries.values() {
        let name = &registry.name;
        if scope.registry.is_some_and(|only| only != name) {
            continue;
        }
        let (mut wanted, mut by_content) = (BTreeMap::new(), HashMap::new());
        for image in scope.images {
            let stage = &prepared.plan.stages[image];
            let reference = stage.reference(registry);
            wanted.insert(image.as_str(), ExpectedTag { stage, reference });
            by_content.insert((&reference.repository, &stage.fingerprint), image.as_str());
        }
        let are_all = wanted.len() == session.project.images.len();
        let of_registry = pins.iter().filter(|pin| pin.registry == *name);
        for pin in of_registry {
            let image = by_content.get(&(&pin.repository, &pin.fingerprint));
            let wanted = image.and_then(|image| wanted.get(image));
            if are_all || wanted.is_some() {
                verifier.pin(pin, wanted)?;
            }
        }
        for named in manifests.named_in(name)? {
            if let Some(wanted) = wanted.get(named.image.as_str()) {
                verifier.named(name, &named, wanted)?;
            }
        }
    }
    Ok(verifier.defects)
}

/// The stage of an image of this checkout, and its reference in one registry.
struct ExpectedTag<'a> {
    stage: &'a Stage,
    reference: &'a Reference,
}

struct Verifier<'a> {
    services: &'a Services<'a>,
    pins: &'a Pins,
    /// The digests found so far. Several manifests may name one image, which is looked up only once.
    answers: BTreeMap<Reference, Option<Digest>>,
    defects: Vec<Defect>,
}

impl Verifier<'_> {
    /// Checks that the registry still has the digest of a pin.
    fn pin(&mut self, pin: &Pin, wanted: Option<&ExpectedTag<'_>>) -> Result<(), Error> {
        let pinned = pin.repository.with_digest(&pin.digest);
        let Some(place) = pin.place.clone() else {
            return Ok(());
        };
        if self.digest(&pinned)?.is_some() {
            return Ok(());
        }
        let hint = match wanted {
            Some(wanted) => format!(
                "`sparkpack push {}` makes it again, and pins the digest that it has then",
                wanted.stage.name
            ),
            None => {
                "no image of this checkout has that fingerprint: `sparkpack push` removes the line"
                    .to_owned()
            }
        };
        let message = format!("`{pinned}` is no longer in the registry `{}`", pin.registry);
        self.defects
            .push(Defect::new(Code::W109, place, message).hint(hint));
        Ok(())
    }

    /// Checks that the registry has the image that a manifest names. An outdated reference is skipped, because it is
    /// reported as drift.
    fn named(
        &mut self,
        registry: &str,
        named: &Named,
        wanted: &ExpectedTag<'_>,
    ) -> Result<(), Error> {
        let tagged = wanted.reference;
        let written = &named.reference;
        if (&written.repository, &written.tag) != (&tagged.repository, &tagged.tag) {
            return Ok(());
        }
        let platforms = wanted.stage.each_platform();
        let (repository, fingerprint) = (&tagged.repository, &wanted.stage.fingerprint);
        let pinned = self
            .pins
            .digest(registry, repository, &platforms, fingerprint);
        let pinned = pinned.or(written.digest.as_ref());
        let (message, hint) = match (self.digest(tagged)?, pinned) {
            (None, _) => (
                format!("`{tagged}` is not in the registry `{registry}`"),
                format!("run `sparkpack push {}`", named.image),
            ),
            (Some(found), Some(pinned))
                if found != *pinned && !self.is_among(tagged, &platforms, pinned)? =>
            {
                (
                    format!(
                        "`{tagged}` has the digest {found} in the registry `{registry}`, and {pinned} is pinned"
                    ),
                    format!(
                        "somebody set the tag again from the same inputs: `sparkpack push {}` pins what it has now",
                        named.image
                    ),
                )
            }
            (Some(_), _) => return Ok(()),
        };
        let defect = Defect::new(Code::W109, named.place.clone(), message).hint(hint);
        self.defects.push(defect);
        Ok(())
    }

    /// Whether a tag with another digest is an index that contains the pinned image, as when a tool copied the image
    /// into an index.
    fn is_among(
        &self,
        tagged: &Reference,
        platforms: &[Platform],
        pinned: &Digest,
    ) -> Result<bool, Error> {
        let [platform] = platforms else {
            return Ok(false);
        };
        match self.services.registry()?.find(tagged, platform) {
            Ok(found) => Ok(found.is_some_and(|image| image.digest == *pinned)),
            // The index has no image for the platform.
            Err(DestinationError::Registry(RegistryError::Refused { .. })) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The digest of a reference in the registry; `None` if the registry does not have it.
    fn digest(&mut self, reference: &Reference) -> Result<Option<Digest>, Error> {
        let entry = match self.answers.entry(reference.clone()) {
            Entry::Occupied(known) => return Ok(known.get().clone()),
            Entry::Vacant(entry) => entry,
        };
        let digest = digest_of(self.services.registry()?, reference)?;
        Ok(entry.insert(digest).clone())
    }
}
