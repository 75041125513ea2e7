//! Decides what is to be done so that a destination has a stage, and why. It is computed here from what the
//! destinations answered, shown by `plan`, and carried out by `build` and `push`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::{Plan, PlatformStage, Stage};
use crate::{
    image::{Digest, ImageInfo, LABEL_FINGERPRINT, Platform, Reference},
    project::Registry,
};

/// Why a stage has to be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The daemon has nothing under the tag.
    Missing,
    /// The tagged image has no fingerprint, so sparkpack did not build it.
    NotOurs,
    /// The tagged image has another fingerprint.
    OtherInputs,
    /// The image's lowest layers are not those of this parent.
    OtherParent(Reference),
    /// The manifests name another tag, and nothing else could be asked.
    OtherInManifests(Reference),
    /// The registry has nothing under the tag, and no daemon has to be asked for it.
    NotInRegistry,
    /// The OCI layout has nothing under the tag.
    NotInLayout,
}

impl Reason {
    /// The same for an image that was looked up in a layout.
    #[must_use]
    pub fn of_layout(self) -> Self {
        match self {
            Self::Missing => Self::NotInLayout,
            other => other,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => formatter.write_str("the daemon does not have it"),
            Self::NotInLayout => formatter.write_str("the layout does not have it"),
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
            Self::NotInRegistry => formatter.write_str("the registry does not have it"),
        }
    }
}

/// Why the daemon's image cannot be used; `None` if it can. The stage's layers have to begin with those of `parent`.
#[must_use]
pub fn to_build(
    stage: &PlatformStage,
    found: Option<&ImageInfo>,
    parent: Option<(&Reference, &ImageInfo)>,
) -> Option<Reason> {
    let Some(found) = found else {
        return Some(Reason::Missing);
    };
    match (found.fingerprint(), parent) {
        (None, _) => Some(Reason::NotOurs),
        (Some(other), _) if other != stage.fingerprint.hex() => Some(Reason::OtherInputs),
        (Some(_), Some((reference, info))) if !found.stands_on(info) => {
            Some(Reason::OtherParent(reference.clone()))
        }
        (Some(_), _) => None,
    }
}

/// What is to be done so that a destination has the image of a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing is to be done: the daemon has the image, built from the inputs of this checkout.
    Reuse,
    /// It has to be built.
    Build(Reason),
    /// The daemon has the image. It can stay if this parent, which has to be built, gets the same layers again.
    Undecided(String),
    /// No destination could be asked.
    Unknown,
    /// The registry has an image that was built from the same inputs, on whatever machine. Its digest is taken over.
    Adopt,
    /// The daemon has the right image, and the registry has none.
    Push,
    /// The registry has another image under the tag, which is not overwritten.
    Conflict(Conflict),
}

/// The decision for an image on each platform that is looked at; there is at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlatformDecisions {
    first: (Platform, Decision),
    others: BTreeMap<Platform, Decision>,
}

impl PlatformDecisions {
    /// The decision for a platform alone.
    #[must_use]
    pub fn of(platform: Platform, decision: Decision) -> Self {
        Self {
            first: (platform, decision),
            others: BTreeMap::new(),
        }
    }

    /// Adds that for another platform.
    pub fn add(&mut self, platform: Platform, decision: Decision) {
        self.others.insert(platform, decision);
    }

    /// The decisions, by platform.
    pub fn each(&self) -> impl Iterator<Item = (&Platform, &Decision)> {
        let (platform, decision) = &self.first;
        std::iter::once((platform, decision)).chain(&self.others)
    }

    /// The decision for the whole: the one that leaves most to do.
    #[must_use]
    pub fn whole(&self) -> &Decision {
        let others = self.others.values();
        others.fold(&self.first.1, |whole, other| {
            if other.work() > whole.work() {
                other
            } else {
                whole
            }
        })
    }
}

impl Decision {
    /// How much it leaves to do.
    fn work(&self) -> u8 {
        match self {
            Self::Reuse => 0,
            Self::Adopt => 1,
            Self::Push => 2,
            Self::Unknown => 3,
            Self::Undecided(_) => 4,
            Self::Build(_) => 5,
            Self::Conflict(_) => 6,
        }
    }
}

/// An image in a registry that has a stage's tag but was not built from the stage's inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// It was built from other inputs.
    OtherInputs {
        /// The fingerprint in its label.
        found: String,
        /// The stage's fingerprint.
        wanted: Digest,
    },
    /// It has no fingerprint.
    NotOurs,
}

impl fmt::Display for Conflict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherInputs { found, wanted } => write!(
                formatter,
                "another fingerprint: {} instead of {}",
                found.get(..16).unwrap_or(found),
                wanted.short(16)
            ),
            Self::NotOurs => write!(
                formatter,
                "no label `{LABEL_FINGERPRINT}`: it was not made by sparkpack"
            ),
        }
    }
}

/// Why a registry's image is not the one with this fingerprint; `None` if it can be adopted.
#[must_use]
pub fn conflict(fingerprint: &Digest, found: &ImageInfo) -> Option<Conflict> {
    match found.fingerprint() {
        Some(same) if same == fingerprint.hex() => None,
        Some(other) => Some(Conflict::OtherInputs {
            found: other.to_owned(),
            wanted: fingerprint.clone(),
        }),
        None => Some(Conflict::NotOurs),
    }
}

/// What a destination answered for stages, by name: `None` if it does not have the image.
pub type Answers = BTreeMap<String, Option<ImageInfo>>;

/// What decisions are based on.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The stages.
    pub plan: &'a Plan,
    /// The registry in the stages' references.
    pub registry: &'a Registry,
    /// The images that the user asked for.
    pub targets: &'a [String],
    /// The platform that the answers are about.
    pub platform: &'a Platform,
}

impl Asked<'_> {
    /// The part of a stage that the answers are about.
    #[must_use]
    pub fn on<'b>(&self, stage: &'b Stage) -> &'b PlatformStage {
        stage.on_or_first(self.platform)
    }

    /// The stages for which the destination still has to be asked: the targets, and the parents of missing stages.
    #[must_use]
    pub fn unanswered(&self, answers: &Answers) -> BTreeSet<String> {
        let needed = self.needed(answers);
        needed
            .into_iter()
            .filter(|name| !answers.contains_key(name))
            .collect()
    }

    /// The targets, and the parents of stages that have to be built.
    #[must_use]
    pub fn needed(&self, answers: &Answers) -> BTreeSet<String> {
        self.plan.needed(self.targets, |stage| {
            let answer = answers.get(&stage.name);
            let stage = self.on(stage);
            answer.is_some_and(|found| to_build(stage, found.as_ref(), None).is_some())
        })
    }

    /// The decisions of a build for the stages that it needs, from the daemon's answers.
    #[must_use]
    pub fn for_daemon(&self, answers: &Answers) -> BTreeMap<String, Decision> {
        let needed = self.needed(answers);
        let mut decisions: BTreeMap<String, Decision> = BTreeMap::new();
        let stages = self.plan.parents_first().map(|stage| self.on(stage));
        for stage in stages.filter(|stage| needed.contains(&stage.name)) {
            let Some(found) = answers.get(&stage.name) else {
                continue;
            };
            let below = stage.base().filter(|below| needed.contains(*below));
            let is_settled = |below: &str| decisions.get(below) == Some(&Decision::Reuse);
            let decision = match (to_build(stage, found.as_ref(), None), below) {
                (Some(reason), _) => Decision::Build(reason),
                (None, Some(below)) if !is_settled(below) => Decision::Undecided(below.to_owned()),
                (None, below) => {
                    let parent = below.and_then(|below| self.parent(below, answers));
                    to_build(stage, found.as_ref(), parent).map_or(Decision::Reuse, Decision::Build)
                }
            };
            decisions.insert(stage.name.clone(), decision);
        }
        decisions
    }

    /// The same from what a layout has, in which a build puts its images where no daemon answers.
    #[must_use]
    pub fn for_layout(&self, answers: &Answers) -> BTreeMap<String, Decision> {
        let decisions = self.for_daemon(answers).into_iter();
        decisions
            .map(|(name, decision)| match decision {
                Decision::Build(reason) => (name, Decision::Build(reason.of_layout())),
                other => (name, other),
            })
            .collect()
    }

    /// The decisions of a push. An image in the registry is adopted or conflicts; one that is missing there must be
    /// built on the parent that the registry has. If the daemon was not asked for a missing stage, it is unknown what
    /// becomes of it, unless it only gets files: a push puts it together without a daemon.
    #[must_use]
    pub fn for_registry(&self, registry: &Answers, daemon: &Answers) -> BTreeMap<String, Decision> {
        let mut decisions: BTreeMap<String, Decision> = BTreeMap::new();
        for stage in self.plan.parents_first().map(|stage| self.on(stage)) {
            let Some(found) = registry.get(&stage.name) else {
                continue;
            };
            let decision = match (found, daemon.get(&stage.name)) {
                (Some(image), _) => {
                    conflict(&stage.fingerprint, image).map_or(Decision::Adopt, Decision::Conflict)
                }
                (None, None) if !stage.inputs.recipe.needs_builder() => {
                    Decision::Build(Reason::NotInRegistry)
                }
                (None, None) => Decision::Unknown,
                (None, Some(local)) => self.for_push(stage, local.as_ref(), registry, &decisions),
            };
            decisions.insert(stage.name.clone(), decision);
        }
        decisions
    }

    /// The decision for a stage that the registry lacks.
    fn for_push(
        &self,
        stage: &PlatformStage,
        local: Option<&ImageInfo>,
        registry: &Answers,
        decisions: &BTreeMap<String, Decision>,
    ) -> Decision {
        let below = stage.base();
        let parent = below.and_then(|below| self.parent(below, registry));
        if let Some(reason) = to_build(stage, local, parent) {
            return Decision::Build(reason);
        }
        match below.map(|below| (below, decisions.get(below))) {
            // If the parent is pushed too, it is the daemon's own, on whose layers this image is built.
            None | Some((_, None | Some(Decision::Adopt | Decision::Push))) => Decision::Push,
            Some((below, Some(_))) => Decision::Undecided(below.to_owned()),
        }
    }

    fn parent<'a>(
        &'a self,
        name: &str,
        answers: &'a Answers,
    ) -> Option<(&'a Reference, &'a ImageInfo)> {
        let image = answers.get(name)?.as_ref()?;
        let stage = self.on(self.plan.stages.get(name)?);
        Some((stage.reference(self.registry), image))
    }
}

/// The decisions that follow from the manifests alone: an image whose reference is in a manifest has been built, and so
/// have its parents.
///
/// `named` has the references in the manifests, by image.
#[must_use]
pub fn by_manifests(
    plan: &Plan,
    named: &BTreeMap<String, Vec<Reference>>,
) -> BTreeMap<String, Decision> {
    let is_current = |stage: &Stage, named: &Reference| {
        let mut wanted = stage.references();
        wanted.any(|wanted| wanted.repository == named.repository && wanted.tag == named.tag)
    };
    let state = |stage: &Stage| {
        let references = named.get(&stage.name).map_or(&[][..], Vec::as_slice);
        match references
            .iter()
            .find(|reference| !is_current(stage, reference))
        {
            Some(other) => Decision::Build(Reason::OtherInManifests(other.clone())),
            None if references.is_empty() => Decision::Unknown,
            None => Decision::Reuse,
        }
    };
    let mut states: BTreeMap<String, Decision> = plan
        .stages
        .values()
        .map(|stage| (stage.name.clone(), state(stage)))
        .collect();
    let current = states
        .iter()
        .filter(|(_, state)| **state == Decision::Reuse);
    let current: Vec<String> = current.map(|(name, _)| name.clone()).collect();
    for name in plan.with_parents(&current) {
        if let Some(state) = states
            .get_mut(&name)
            .filter(|state| **state == Decision::Unknown)
        {
            *state = Decision::Reuse;
        }
    }
    states
}

impl Plan {
    /// The targets, and the parents of stages that have to be made.
    pub fn needed(
        &self,
        targets: &[String],
        has_to_be_made: impl Fn(&Stage) -> bool,
    ) -> BTreeSet<String> {
        let (mut needed, mut queue) = (BTreeSet::new(), targets.to_vec());
        while let Some(name) = queue.pop() {
            let Some(stage) = self.stages.get(&name).filter(|_| !needed.contains(&name)) else {
                continue;
            };
            if has_to_be_made(stage) {
                queue.extend(stage.parents.iter().cloned());
            }
            needed.insert(name);
        }
        needed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        image::{Digest, LABEL_FINGERPRINT, Platform},
        plan::{Input, examples},
    };

    fn stage(name: &str, base: Option<&str>) -> Stage {
        examples::stage(name, base, &[Input::Stage(name.to_owned())])
    }

    fn image(fingerprint: Option<&str>, layers: &[&str]) -> ImageInfo {
        let label = |name: &str| {
            let fingerprint = stage(name, None).fingerprint;
            (LABEL_FINGERPRINT.to_owned(), fingerprint.hex().to_owned())
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
        stage(name, None).reference(&examples::registry()).clone()
    }

    fn plan() -> Plan {
        examples::plan([
            stage("base", None),
            stage("ds", Some("base")),
            stage("job", Some("ds")),
        ])
    }

    const NAMES: [&str; 3] = ["base", "ds", "job"];

    /// The question for the images `targets` of a chain of base, ds and job.
    fn asked<T>(targets: &[&str], work: impl FnOnce(Asked<'_>) -> T) -> T {
        work(Asked {
            plan: &plan(),
            registry: &examples::registry(),
            platform: &Platform::default(),
            targets: &targets
                .iter()
                .map(|&name| name.to_owned())
                .collect::<Vec<_>>(),
        })
    }

    fn answers(images: &[Option<ImageInfo>; 3]) -> Answers {
        let names = NAMES.map(str::to_owned).into_iter();
        names.zip(images.iter().cloned()).collect()
    }

    fn listed(decisions: &BTreeMap<String, Decision>) -> Vec<Decision> {
        NAMES.map(|name| decisions[name].clone()).into()
    }

    /// The decisions for base, ds and job if the daemon has these images.
    fn judged(images: &[Option<ImageInfo>; 3]) -> Vec<Decision> {
        asked(&NAMES, |asked| listed(&asked.for_daemon(&answers(images))))
    }

    #[test]
    fn what_a_registry_has_is_adopted_or_a_conflict() {
        let base = || Some(image(Some("base"), &["a"]));
        let pushed = |registry: &[Option<ImageInfo>; 3], daemon: &[Option<ImageInfo>; 3]| {
            asked(&NAMES, |asked| {
                listed(&asked.for_registry(&answers(registry), &answers(daemon)))
            })
        };
        let ds = || Some(image(Some("ds"), &["a", "b"]));
        let other = Some(image(Some("x"), &[]));
        let found = stage("x", None).fingerprint.hex().to_owned();
        let wanted = stage("job", None).fingerprint;
        assert_eq!(
            pushed(
                &[base(), Some(image(None, &[])), other],
                &[None, None, None]
            ),
            [
                Decision::Adopt,
                Decision::Conflict(Conflict::NotOurs),
                Decision::Conflict(Conflict::OtherInputs { found, wanted })
            ]
        );
        let job = || Some(image(Some("job"), &["a", "b", "c"]));
        assert_eq!(
            pushed(&[base(), None, None], &[base(), ds(), job()]),
            [Decision::Adopt, Decision::Push, Decision::Push]
        );
        // The registry's base has other layers than the one that this machine's ds is built on.
        let moved = Some(image(Some("base"), &["other"]));
        assert_eq!(
            pushed(&[moved, None, None], &[base(), ds(), job()]),
            [
                Decision::Adopt,
                Decision::Build(Reason::OtherParent(reference("base"))),
                Decision::Undecided("ds".to_owned())
            ]
        );
    }

    #[test]
    fn what_only_gets_files_is_put_together_without_a_daemon() {
        asked(&["base"], |asked| {
            let registry = Answers::from([("base".to_owned(), None)]);
            let decisions = asked.for_registry(&registry, &Answers::new());
            assert_eq!(decisions["base"], Decision::Build(Reason::NotInRegistry));
            assert_eq!(decisions.len(), 1, "nobody asked for the others");
        });
    }

    #[test]
    fn parents_are_asked_for_only_where_a_child_is_missing() {
        let names = |set: BTreeSet<String>| set.into_iter().collect::<Vec<_>>().join(" ");
        asked(&["job"], |asked| {
            let mut answers = Answers::new();
            assert_eq!(names(asked.unanswered(&answers)), "job");
            answers.insert("job".to_owned(), None);
            assert_eq!(names(asked.unanswered(&answers)), "ds");
            answers.insert("ds".to_owned(), Some(image(Some("ds"), &[])));
            assert_eq!(names(asked.unanswered(&answers)), "");
            assert_eq!(names(asked.needed(&answers)), "ds job");
        });
    }

    #[test]
    fn each_reason_has_its_state() {
        let base = || Some(image(Some("base"), &["a"]));
        let ds = || Some(image(Some("ds"), &["a", "b"]));
        let job = || Some(image(Some("job"), &["a", "b", "c"]));
        let current = || Decision::Reuse;
        assert_eq!(
            judged(&[base(), ds(), job()]),
            [current(), current(), current()]
        );
        assert_eq!(
            judged(&[base(), ds(), None]),
            [current(), current(), Decision::Build(Reason::Missing)]
        );
        assert_eq!(
            judged(&[None, ds(), job()]),
            [
                Decision::Build(Reason::Missing),
                Decision::Undecided("base".to_owned()),
                Decision::Undecided("ds".to_owned())
            ]
        );
        assert_eq!(
            judged(&[base(), Some(image(None, &[])), Some(image(Some("x"), &[]))]),
            [
                current(),
                Decision::Build(Reason::NotOurs),
                Decision::Build(Reason::OtherInputs)
            ]
        );
        let moved = Some(image(Some("base"), &["other"]));
        assert_eq!(
            judged(&[moved, ds(), job()])[1],
            Decision::Build(Reason::OtherParent(reference("base")))
        );
    }

    #[test]
    fn manifests_say_what_was_made() {
        let states = |named: &[(&str, &[&Reference])]| {
            let named = named.iter().map(|(name, references)| {
                let references = references.iter().copied().cloned().collect();
                ((*name).to_owned(), references)
            });
            let states = by_manifests(&plan(), &named.collect());
            NAMES.map(|name| states[name].clone())
        };
        let unknown = || Decision::Unknown;
        let [ds, job] = ["ds", "job"].map(reference);
        let old = job.repository.with_tag("0");
        let other = Decision::Build(Reason::OtherInManifests(old.clone()));
        assert_eq!(states(&[]), [unknown(), unknown(), unknown()]);
        assert_eq!(
            states(&[("job", &[&job, &old])]),
            [unknown(), unknown(), other]
        );
        assert_eq!(
            states(&[("ds", &[&ds])]),
            [Decision::Reuse, Decision::Reuse, unknown()]
        );
    }

    #[test]
    fn reasons_and_conflicts_are_told_in_words() {
        let told = [
            Reason::Missing,
            Reason::NotOurs,
            Reason::OtherInputs,
            Reason::OtherParent(reference("base")),
            Reason::OtherInManifests(reference("job")),
        ]
        .map(|reason| reason.to_string());
        assert_eq!(
            told,
            [
                "the daemon does not have it",
                "what has its tag in the daemon was not made by sparkpack",
                "what has its tag in the daemon was made from something else",
                &format!("it does not stand on {} as it is now", reference("base")),
                &format!("the manifests name {}", reference("job")),
            ]
        );
        let wanted = Digest::of(b"job");
        let conflict = Conflict::OtherInputs {
            found: "0123456789abcdef0123".to_owned(),
            wanted: wanted.clone(),
        };
        let short = wanted.short(16);
        assert_eq!(
            conflict.to_string(),
            format!("another fingerprint: 0123456789abcdef instead of {short}")
        );
        assert!(Conflict::NotOurs.to_string().contains(LABEL_FINGERPRINT));
    }

    #[test]
    fn what_nothing_needs_is_left_out() {
        let needed = |missing: &[&str]| {
            let has_to_be_made = |stage: &Stage| missing.contains(&stage.name.as_str());
            let names = plan().needed(&["job".to_owned()], has_to_be_made);
            names.into_iter().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(needed(&[]), "job");
        assert_eq!(needed(&["base"]), "job", "nobody asks for base");
        assert_eq!(needed(&["job"]), "ds job");
        assert_eq!(needed(&["job", "ds"]), "base ds job");
    }
}
