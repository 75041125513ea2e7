//! Which images get new tags from new locks, and why. An image gets a new tag if its record changes.

use std::collections::{BTreeMap, BTreeSet};

use super::{elsewhere::elsewhere_uses, lock_files::LockFiles, wheels};
use crate::{
    image::Digest,
    operations::workspace::{LockPolicy, Services, Session},
    plan::{self, Inputs, Plan, PlanInputs, Stage, difference, source_digest},
    project::{
        elsewhere::LockedContents,
        lock::{Lock, LockedImage, LockedSource},
    },
};

/// The plan that the locks gave before they changed.
#[derive(Default)]
pub(crate) struct Before {
    /// `None` if no plan could be made, so that no image had a tag.
    plan: Option<Plan>,
    /// The images without a tag, because an input of the image or of one of its parents was missing from the locks.
    unlocked: BTreeSet<String>,
}

impl Before {
    pub(crate) fn of(
        session: &Session<'_>,
        services: &Services<'_>,
        inputs: &Inputs,
        files: &LockFiles,
        local_sources: &BTreeMap<String, Digest>,
    ) -> Self {
        Self::made(session, services, inputs, files, local_sources).unwrap_or_default()
    }

    fn made(
        session: &Session<'_>,
        services: &Services<'_>,
        inputs: &Inputs,
        files: &LockFiles,
        local_sources: &BTreeMap<String, Digest>,
    ) -> Option<Self> {
        let project = &session.project;
        let (lock, mut unlocked) = filled(session, inputs, &files.lock, local_sources);
        let (policy, none) = (LockPolicy::ReadOnly, BTreeSet::new());
        let mut known = files.clone();
        let chosen = wheels::of_all(
            session,
            services,
            policy,
            (inputs, inputs),
            &mut known,
            &none,
        );
        let chosen = chosen.ok()?;
        unlocked.extend(chosen.unlocked.into_iter().map(|lacking| lacking.image));
        let given = PlanInputs {
            project,
            lock: &lock,
            inputs,
            wheels: &chosen.wheels,
            local_sources,
        };
        let plan = plan::make(given).ok()?;
        for name in &plan.order {
            let parents = &plan.stages.get(name)?.parents;
            if !parents.is_disjoint(&unlocked) {
                unlocked.insert(name.clone());
            }
        }
        let plan = Some(plan);
        Some(Self { plan, unlocked })
    }

    fn stage(&self, name: &str) -> Option<&Stage> {
        let plan = self.plan.as_ref()?;
        plan.stages
            .get(name)
            .filter(|_| !self.unlocked.contains(name))
    }
}

/// The lock with a placeholder for each missing entry, and the images that use a placeholder.
fn filled(
    session: &Session<'_>,
    inputs: &Inputs,
    lock: &Lock,
    local_sources: &BTreeMap<String, Digest>,
) -> (Lock, BTreeSet<String>) {
    let (mut filled, mut unlocked) = (lock.clone(), BTreeSet::new());
    let nothing = Digest::of(b"not locked");
    for (name, inputs) in inputs.iter() {
        for text in inputs.recipe.external_images() {
            if !lock.images.contains_key(text) {
                unlocked.insert(name.clone());
                let local_id = nothing.clone();
                let image = LockedImage::LocalDaemon { local_id };
                filled.images.insert(text.to_owned(), image);
            }
        }
        for source in inputs.recipe.sources() {
            let source = session.project.sources.get(&source);
            let lacking =
                source.filter(|source| source_digest(source, lock, local_sources).is_none());
            if let Some(source) = lacking {
                unlocked.insert(name.clone());
                let sha256 = nothing.clone();
                let locked = LockedSource { sha256 };
                filled.sources.insert(source.origin.to_string(), locked);
            }
        }
    }
    for of in elsewhere_uses(&session.project) {
        let digest = filled
            .images
            .get(&of.elsewhere.image)
            .map(LockedImage::digest)
            .cloned();
        if let (None, Some(digest)) = (filled.contents_of(of.chain, of.platform), digest) {
            let images = session.project.images.values();
            let standing = images.filter(|image| image.chain.as_ref() == Some(&of.chain.name));
            unlocked.extend(standing.map(|image| image.name.clone()));
            let of_chain = filled.contents.entry(of.chain.name.clone()).or_default();
            let unknown = LockedContents::unknown(digest, of.elsewhere);
            of_chain.insert(of.platform.clone(), unknown);
        }
    }
    (filled, unlocked)
}

/// The effects of new locks.
pub(crate) struct Impact {
    /// The changed lock entries, one line each.
    pub(crate) moves: Vec<String>,
    /// The images that get another tag, parents first.
    pub(crate) retagged: Vec<Retagged>,
    /// How many images keep their tags.
    pub(crate) staying: usize,
}

/// An image that gets another tag.
pub(crate) struct Retagged {
    pub(crate) name: String,
    /// The tag before; `None` if the image had none.
    pub(crate) old: Option<String>,
    pub(crate) new: String,
    pub(crate) reasons: Vec<String>,
}

impl Impact {
    pub(crate) fn between(before: &Before, plan: &Plan, moves: Vec<String>) -> Self {
        let (mut retagged, mut staying) = (Vec::new(), 0);
        for stage in plan.parents_first() {
            let name = &stage.name;
            let old = before.stage(name);
            if old.is_some_and(|old| old.fingerprint == stage.fingerprint) {
                staying += 1;
                continue;
            }
            retagged.push(Retagged {
                old: old.map(|old| old.tag().to_owned()),
                new: stage.tag().to_owned(),
                reasons: old.map(|old| reasons(old, stage)).unwrap_or_default(),
                name: name.clone(),
            });
        }
        Self {
            moves,
            retagged,
            staying,
        }
    }
}

/// The differences between a stage's old and new records. A difference that several platforms share is listed once.
fn reasons(old: &Stage, new: &Stage) -> Vec<String> {
    let mut reasons: Vec<String> = Vec::new();
    for stage in &new.platforms {
        let Some(before) = old.on(&stage.platform) else {
            reasons.push(format!("platform {} added", stage.platform));
            continue;
        };
        let changes = difference::between(&before.record, &stage.record);
        let parents = changes.iter().filter_map(|change| {
            let parent = change.parent()?;
            Some(format!("`{}` changes", parent.stage))
        });
        let others = changes
            .iter()
            .filter(|change| change.parent().is_none())
            .map(ToString::to_string);
        for reason in parents.chain(others) {
            if !reasons.contains(&reason) {
                reasons.push(reason);
            }
        }
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Input, examples};

    fn stage(inputs: &[Input]) -> Stage {
        examples::stage("ds", None, inputs)
    }

    fn parent(stage: &str, inputs: &str) -> Input {
        Input::Parent {
            role: "FROM 1".to_owned(),
            stage: stage.to_owned(),
            fingerprint: Digest::of(inputs.as_bytes()),
        }
    }

    #[test]
    fn a_parent_that_changes_is_said_once_and_plainly() {
        let target = Input::Target("x".to_owned());
        let old = stage(&[parent("py", "old"), parent("base", "same")]);
        let new = stage(&[parent("py", "new"), parent("base", "same"), target]);
        let told = reasons(&old, &new);
        assert_eq!(told.len(), 2, "{told:?}");
        assert_eq!(told[0], "`py` changes");
        assert!(told[1].contains("target"), "{told:?}");
        assert_eq!(reasons(&old, &old), Vec::<String>::new());
        // If `py` is replaced by another parent, `py` itself has not changed.
        let told = reasons(&old, &stage(&[parent("ds", "x"), parent("base", "same")]));
        assert!(
            !told.iter().any(|reason| reason.ends_with("changes")),
            "{told:?}"
        );
        assert!(!told.is_empty());
    }
}
