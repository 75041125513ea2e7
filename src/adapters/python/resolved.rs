//! What is known before wheels are chosen, and which were chosen.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    image::Digest,
    project::requirements::{LockedWheel, Pin, SPARKS_OWN, same_version},
};

/// What the images below have.
#[derive(Clone, Debug, Default)]
pub struct Provided {
    /// The packages that have to stay as they are; they are never shipped.
    pub binding: Vec<Pin>,
    /// Those of them whose wheels an index has: it is asked what they need.
    pub on_index: BTreeSet<String>,
    /// The packages that may be replaced; the same version is not shipped again.
    pub along: Vec<Pin>,
    /// What the extras of `PySpark` bring, as values of `Requires-Dist`.
    pub spark_extras: Vec<String>,
    /// The wheels that were built, since no index has any of their packages.
    pub built: Vec<BuiltPackage>,
}

/// A wheel that was built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltPackage {
    /// As the lock has it.
    pub locked: LockedWheel,
    /// What it needs, as values of `Requires-Dist`.
    pub needs: Vec<String>,
}

/// A source distribution on an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceOnIndex {
    /// The version.
    pub version: String,
    /// The name of the file.
    pub file_name: String,
    /// Its digest.
    pub sha256: Digest,
    /// Where it is, perhaps with a login: never shown.
    pub url: String,
}

/// What a new resolution keeps of an earlier one, as far as the requirements allow.
#[derive(Clone, Debug, Default)]
pub struct Preferences {
    /// The versions chosen before.
    pub pins: Vec<Pin>,
    /// The packages to upgrade to their newest version. Others change only if that requires it.
    pub upgraded: BTreeSet<String>,
}

/// The result of resolving requirements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The wheels to ship, sorted by name.
    pub wheels: Vec<LockedWheel>,
    /// Packages that are required, but that the parent image already has.
    pub left_out: BTreeSet<Pin>,
    /// Versions that were taken back from the index, each with the reason that is given, if one is.
    pub yanked: BTreeMap<Pin, Option<String>>,
}

impl Provided {
    /// Whether a package is among those that a wheel is chosen for.
    pub(super) fn is_shipped(&self, name: &str) -> bool {
        !SPARKS_OWN.contains(&name) && !self.binding.iter().any(|pin| pin.name == name)
    }

    /// The wheel that was built of a package.
    pub(super) fn built(&self, name: &str) -> Option<&LockedWheel> {
        let mut built = self.built.iter().map(|built| &built.locked);
        built.find(|locked| locked.wheel.name == name)
    }
}

impl Resolved {
    /// Of a resolution that answers for the images below as well: what is shipped for the requirements, whose wheels
    /// `before` were others.
    pub(super) fn of_requirements(mut self, before: &Self, along: &[Pin]) -> Self {
        let was_there = |name: &str| before.wheels.iter().any(|wheel| wheel.wheel.name == name);
        let is_below = |name: &str| along.iter().any(|pin| pin.name == name);
        self.wheels
            .retain(|wheel| was_there(&wheel.wheel.name) || !is_below(&wheel.wheel.name));
        let left_out = before.left_out.iter();
        let was_left_out = |pin: &Pin| left_out.clone().any(|other| other.name == pin.name);
        self.left_out.retain(was_left_out);
        self
    }

    /// The same without the wheels that the images below have in the same version.
    pub(super) fn without(mut self, along: &[Pin]) -> Self {
        let is_there = |wheel: &LockedWheel| {
            along.iter().any(|pin| {
                pin.name == wheel.wheel.name && same_version(&pin.version, &wheel.wheel.version)
            })
        };
        let (there, wheels): (Vec<_>, Vec<_>) = self.wheels.into_iter().partition(is_there);
        self.left_out.extend(there.iter().map(LockedWheel::pin));
        Self { wheels, ..self }
    }
}
