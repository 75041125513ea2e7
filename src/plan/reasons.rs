//! Whether a stage has to be made, and why: the one answer that a build acts on and a plan prints.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::{Plan, Stage};
use crate::image::{ImageInfo, Reference};

/// Why what is there does not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The daemon has nothing under the tag.
    Missing,
    /// What has the tag says nothing about its inputs.
    NotOurs,
    /// What has the tag says that it has other inputs.
    OtherInputs,
    /// Its layers do not begin with those that its parent has now.
    OtherParent(Reference),
    /// The manifests, which were all that could be asked, name another tag.
    OtherInManifests(Reference),
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => formatter.write_str("the daemon does not have it"),
            Self::NotOurs => {
                formatter.write_str("what has its tag in the daemon was not made by sparkpack")
            }
            Self::OtherInputs => {
                formatter.write_str("what has its tag in the daemon was made from something else")
            }
            Self::OtherParent(parent) => {
                write!(formatter, "it does not stand on {parent} as it is now")
            }
            Self::OtherInManifests(named) => write!(formatter, "the manifests name {named}"),
        }
    }
}

/// Why the daemon's image does not do; nothing where it does. `parent` is what the stage's layers have to begin with.
#[must_use]
pub fn to_build(
    stage: &Stage,
    found: Option<&ImageInfo>,
    parent: Option<(&Reference, &ImageInfo)>,
) -> Option<Reason> {
    let Some(found) = found else {
        return Some(Reason::Missing);
    };
    match (found.fingerprint(), parent) {
        (None, _) => Some(Reason::NotOurs),
        (Some(other), _) if other != stage.fingerprint.hex() => Some(Reason::OtherInputs),
        (Some(_), Some((reference, facts))) if !found.stands_on(facts) => {
            Some(Reason::OtherParent(reference.clone()))
        }
        (Some(_), _) => None,
    }
}

/// What a build would come to for one stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It is there, made from the inputs of this checkout.
    Current,
    /// It has to be made.
    ToBuild(Reason),
    /// It is there, and stays if this parent, which is to be built, comes out with the layers that it had.
    Undecided(String),
    /// Nobody could be asked.
    Unknown,
}

/// A stage as it was found.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// The stage.
    pub stage: &'a Stage,
    /// Its reference.
    pub reference: &'a Reference,
    /// What the daemon has under it.
    pub image: Option<&'a ImageInfo>,
    /// The stage of the project whose layers are its lowest.
    pub base: Option<&'a str>,
}

/// What a build that finds this would come to, for the stages of `needed`.
#[must_use]
pub fn states<'a>(
    order: impl IntoIterator<Item = &'a String>,
    needed: &BTreeSet<String>,
    found: &BTreeMap<String, Found<'_>>,
) -> BTreeMap<String, State> {
    let mut states: BTreeMap<String, State> = BTreeMap::new();
    for name in order.into_iter().filter(|name| needed.contains(*name)) {
        let Some(own) = found.get(name) else {
            continue;
        };
        let below = own.base.filter(|below| needed.contains(*below));
        let parent = below.and_then(|below| found.get(below));
        let facts = parent.and_then(|parent| Some((parent.reference, parent.image?)));
        let is_settled = |below: &str| states.get(below) == Some(&State::Current);
        let state = match (to_build(own.stage, own.image, None), below) {
            (Some(reason), _) => State::ToBuild(reason),
            (None, Some(below)) if !is_settled(below) => State::Undecided(below.to_owned()),
            (None, _) => {
                to_build(own.stage, own.image, facts).map_or(State::Current, State::ToBuild)
            }
        };
        states.insert(name.clone(), state);
    }
    states
}

/// What the manifests alone say: an image whose reference stands in one was made, and so was all that it stands on.
///
/// `wanted` has each stage's references by this checkout, `named` those in the manifests.
#[must_use]
pub fn states_by_manifests(
    plan: &Plan,
    wanted: &BTreeMap<String, Vec<Reference>>,
    named: &BTreeMap<String, Vec<Reference>>,
) -> BTreeMap<String, State> {
    let is_current = |name: &String, reference: &Reference| {
        let mut wanted = wanted.get(name).into_iter().flatten();
        wanted
            .any(|wanted| wanted.repository == reference.repository && wanted.tag == reference.tag)
    };
    let state = |name: &String| {
        let references = named.get(name).map_or(&[][..], Vec::as_slice);
        match references
            .iter()
            .find(|reference| !is_current(name, reference))
        {
            Some(other) => State::ToBuild(Reason::OtherInManifests(other.clone())),
            None if references.is_empty() => State::Unknown,
            None => State::Current,
        }
    };
    let mut states: BTreeMap<String, State> = plan
        .stages
        .keys()
        .map(|name| (name.clone(), state(name)))
        .collect();
    let current = states.iter().filter(|(_, state)| **state == State::Current);
    let current: Vec<String> = current.map(|(name, _)| name.clone()).collect();
    for name in plan.with_parents(&current) {
        if let Some(state) = states
            .get_mut(&name)
            .filter(|state| **state == State::Unknown)
        {
            *state = State::Current;
        }
    }
    states
}

impl Plan {
    /// The targets, and of what they stand on that which is needed because something above has to be made.
    ///
    /// # Errors
    /// Those of `has_to_be_made`.
    pub fn needed<E>(
        &self,
        targets: &[String],
        mut has_to_be_made: impl FnMut(&Stage) -> Result<bool, E>,
    ) -> Result<BTreeSet<String>, E> {
        let (mut needed, mut queue) = (BTreeSet::new(), targets.to_vec());
        while let Some(name) = queue.pop() {
            let Some(stage) = self.stages.get(&name).filter(|_| !needed.contains(&name)) else {
                continue;
            };
            if has_to_be_made(stage)? {
                queue.extend(stage.parents.iter().cloned());
            }
            needed.insert(name);
        }
        Ok(needed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{Digest, LABEL_FINGERPRINT, Platform};

    fn stage(name: &str, parents: &[&str]) -> Stage {
        Stage {
            name: name.to_owned(),
            parents: parents.iter().map(|&parent| parent.to_owned()).collect(),
            platforms: Vec::new(),
            fingerprint: Digest::of(name.as_bytes()),
            uses_network: false,
        }
    }

    fn image(fingerprint: Option<&str>, layers: &[&str]) -> ImageInfo {
        let label = |name: &str| {
            (
                LABEL_FINGERPRINT.to_owned(),
                Digest::of(name.as_bytes()).hex().to_owned(),
            )
        };
        ImageInfo {
            id: Digest::of(b"id"),
            platform: Platform::default(),
            diff_ids: layers
                .iter()
                .map(|layer| Digest::of(layer.as_bytes()))
                .collect(),
            labels: fingerprint.map(label).into_iter().collect(),
            repo_digests: Vec::new(),
            size: 0,
        }
    }

    fn reference(name: &str) -> Reference {
        format!("registry.example/{name}:1").parse().unwrap()
    }

    fn plan() -> Plan {
        let stages = [
            stage("base", &[]),
            stage("ds", &["base"]),
            stage("job", &["ds"]),
        ];
        Plan {
            stages: stages.map(|stage| (stage.name.clone(), stage)).into(),
        }
    }

    /// The states of base, ds and job when the daemon has these.
    fn judged(images: &[Option<ImageInfo>; 3]) -> Vec<State> {
        let plan = plan();
        let names = ["base", "ds", "job"].map(str::to_owned);
        let references = names.clone().map(|name| reference(&name));
        let mut found = BTreeMap::new();
        for (index, name) in names.iter().enumerate() {
            let own = Found {
                stage: &plan.stages[name],
                reference: &references[index],
                image: images[index].as_ref(),
                base: index.checked_sub(1).map(|below| names[below].as_str()),
            };
            found.insert(name.clone(), own);
        }
        let states = states(&names, &names.clone().into(), &found);
        names.iter().map(|name| states[name].clone()).collect()
    }

    #[test]
    fn each_reason_has_its_state() {
        let base = || Some(image(Some("base"), &["a"]));
        let ds = || Some(image(Some("ds"), &["a", "b"]));
        let job = || Some(image(Some("job"), &["a", "b", "c"]));
        let current = || State::Current;
        assert_eq!(
            judged(&[base(), ds(), job()]),
            [current(), current(), current()]
        );
        assert_eq!(
            judged(&[base(), ds(), None]),
            [current(), current(), State::ToBuild(Reason::Missing)]
        );
        assert_eq!(
            judged(&[None, ds(), job()]),
            [
                State::ToBuild(Reason::Missing),
                State::Undecided("base".to_owned()),
                State::Undecided("ds".to_owned())
            ]
        );
        assert_eq!(
            judged(&[base(), Some(image(None, &[])), Some(image(Some("x"), &[]))]),
            [
                current(),
                State::ToBuild(Reason::NotOurs),
                State::ToBuild(Reason::OtherInputs)
            ]
        );
        let moved = Some(image(Some("base"), &["other"]));
        assert_eq!(
            judged(&[moved, ds(), job()])[1],
            State::ToBuild(Reason::OtherParent(reference("base")))
        );
    }

    #[test]
    fn manifests_say_what_was_made() {
        let of = |name: &str, tags: &[&str]| {
            let parse = |tag: &&str| format!("registry.example/{name}:{tag}").parse().unwrap();
            (
                name.to_owned(),
                tags.iter().map(parse).collect::<Vec<Reference>>(),
            )
        };
        let wanted = ["base", "ds", "job"].map(|name| of(name, &["1"])).into();
        let states = |named: &[(String, Vec<Reference>)]| {
            let named = named.iter().cloned().collect();
            let states = states_by_manifests(&plan(), &wanted, &named);
            ["base", "ds", "job"].map(|name| states[name].clone())
        };
        let unknown = || State::Unknown;
        let other = State::ToBuild(Reason::OtherInManifests(of("job", &["0"]).1.remove(0)));
        assert_eq!(states(&[]), [unknown(), unknown(), unknown()]);
        assert_eq!(
            states(&[of("job", &["1", "0"])]),
            [unknown(), unknown(), other]
        );
        assert_eq!(
            states(&[of("ds", &["1"])]),
            [State::Current, State::Current, unknown()]
        );
    }

    #[test]
    fn what_nothing_needs_is_left_out() {
        let needed = |missing: &[&str]| {
            let has_to_be_made =
                |stage: &Stage| Ok::<_, ()>(missing.contains(&stage.name.as_str()));
            let names = plan().needed(&["job".to_owned()], has_to_be_made).unwrap();
            names.into_iter().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(needed(&[]), "job");
        assert_eq!(needed(&["base"]), "job", "nobody asks for base");
        assert_eq!(needed(&["job"]), "ds job");
        assert_eq!(needed(&["job", "ds"]), "base ds job");
    }
}
