//! Chooses versions above other images: what somebody asked for there stays, and of the rest what can stay does.

use std::{cell::RefCell, time::Instant};

use super::{
    error::PythonError,
    resolved::{Preferences, Provided, Resolved},
    tool::Installer,
};
use crate::project::{
    requirements::{LockedWheel, Pin, Requirements, SPARKS_OWN, same_version},
    wheel::Target,
};

/// A question to an installer above other images.
pub(super) struct Above<'a> {
    pub(super) installer: &'a Installer,
    pub(super) requirements: &'a Requirements,
    pub(super) target: &'a Target,
    /// Without those on the index that it turned out not to have.
    pub(super) provided: RefCell<Provided>,
    /// When an answer is too late.
    pub(super) end: Instant,
}

impl Above<'_> {
    /// The versions chosen before are kept unless the requirements or an upgrade exclude them.
    pub(super) fn choose(&self, preferences: &Preferences) -> Result<Resolved, PythonError> {
        let mut fixed = Vec::new();
        if !preferences.upgraded.is_empty() {
            let newest = self.resolve(&[], &[])?;
            let pins = newest.wheels.iter().map(LockedWheel::pin);
            fixed.extend(pins.filter(|pin| preferences.upgraded.contains(&pin.name)));
        }
        let mut free: Vec<Pin> = preferences
            .pins
            .iter()
            .filter(|pin| !preferences.upgraded.contains(&pin.name))
            .filter(|pin| self.may_stay(pin))
            .cloned()
            .collect();
        loop {
            let pins: Vec<Pin> = fixed.iter().chain(&free).cloned().collect();
            match self.resolve(&pins, &[]) {
                Err(error) if !free.is_empty() && error.is_about_versions() => {
                    let_go(&mut free, &error);
                }
                Err(error) if !fixed.is_empty() && error.is_about_versions() => fixed.clear(),
                resolved => return resolved,
            }
        }
    }

    /// The same with the versions that the images below have already, as far as they fit the other wheels: for the sake
    /// of these no other wheel changes.
    pub(super) fn keep_along(&self, chosen: Resolved) -> Resolved {
        let along = self.provided.borrow().along.clone();
        let is_other = |pin: &Pin| {
            let mut wheels = chosen.wheels.iter();
            wheels.any(|wheel| {
                wheel.wheel.name == pin.name && !same_version(&wheel.wheel.version, &pin.version)
            })
        };
        let mut kept: Vec<Pin> = along
            .into_iter()
            .filter(|pin| is_other(pin) && self.may_stay(pin))
            .collect();
        let others = chosen.wheels.iter().map(LockedWheel::pin);
        let others: Vec<Pin> = others
            .filter(|pin| !kept.iter().any(|kept| kept.name == pin.name))
            .collect();
        while !kept.is_empty() {
            let pins: Vec<Pin> = others.iter().chain(&kept).cloned().collect();
            match self.resolve(&pins, &[]) {
                Ok(resolved) => return resolved,
                Err(error) if error.is_about_versions() => let_go(&mut kept, &error),
                Err(_) => break,
            }
        }
        chosen
    }

    /// The same, or else the nearest versions with which that agrees which stays in the images below, if the index tells
    /// what it needs: what is replaced there, is so for all.
    pub(super) fn agreeing(
        &self,
        chosen: Resolved,
        preferences: &Preferences,
    ) -> Result<Resolved, PythonError> {
        let provided = self.provided.borrow().clone();
        let replaces = |wheel: &LockedWheel| {
            let mut along = provided.along.iter();
            along.any(|pin| {
                pin.name == wheel.wheel.name && !same_version(&pin.version, &wheel.wheel.version)
            })
        };
        let staying = provided.binding.iter();
        let staying: Vec<Pin> = staying
            .filter(|pin| provided.on_index.contains(&pin.name))
            .cloned()
            .collect();
        if staying.is_empty() || !chosen.wheels.iter().any(replaces) {
            return Ok(chosen);
        }
        let all: Vec<Pin> = chosen.wheels.iter().map(LockedWheel::pin).collect();
        let others = chosen.wheels.iter().filter(|wheel| !replaces(wheel));
        let others: Vec<Pin> = others.map(LockedWheel::pin).collect();
        let kept = preferences.pins.iter().filter(|pin| self.may_stay(pin));
        let kept: Vec<Pin> = kept.cloned().collect();
        if !matches!(self.resolve(&all, &staying), Err(error) if error.is_conflict()) {
            return Ok(chosen);
        }
        let mut conflict = None;
        for pins in [others, kept, Vec::new()] {
            match self.resolve(&pins, &staying) {
                Ok(whole) => return Ok(whole.of_requirements(&chosen, &provided.along)),
                Err(error) if error.is_conflict() => conflict = Some(error),
                Err(_) => break,
            }
        }
        conflict.map_or(Ok(chosen), Err)
    }

    fn resolve(&self, pins: &[Pin], besides: &[Pin]) -> Result<Resolved, PythonError> {
        loop {
            let provided = self.provided.borrow().clone();
            let resolved = self.installer.resolve(
                self.requirements,
                self.target,
                &provided,
                (pins, besides),
                self.end,
            );
            // The index has it no more, or not for this image: nobody knows what it needs.
            let absent = resolved.as_ref().err().and_then(|error| {
                let mut binding = provided.binding.iter();
                binding.find(|pin| error.is_of(pin))
            });
            let is_below =
                absent.is_some_and(|pin| self.provided.borrow_mut().on_index.remove(&pin.name));
            if !is_below {
                return resolved;
            }
        }
    }

    /// Whether a version agrees with the requirements and what stays in the images below.
    fn may_stay(&self, pin: &Pin) -> bool {
        let requirements = self.requirements;
        let mut pinned = requirements.wanted.iter().chain(&requirements.constraints);
        let contradicted = pinned.any(|wanted| {
            let other = |version| !same_version(version, &pin.version);
            wanted.name == pin.name && wanted.marker.is_none() && wanted.pinned().is_some_and(other)
        });
        let provided = self.provided.borrow();
        let is_below = provided.binding.iter().any(|below| below.name == pin.name);
        !contradicted && !is_below && !SPARKS_OWN.contains(&pin.name.as_str())
    }
}

/// Removes the `pins` that an error names, or all of them if it names none.
fn let_go(pins: &mut Vec<Pin>, error: &PythonError) {
    let named = error.names();
    let before = pins.len();
    pins.retain(|pin| !named.contains(&pin.name));
    if pins.len() == before {
        pins.clear();
    }
}
