//! Reads the inputs, completes the locks in memory where that is allowed, writes them together, and makes the plan.

mod files;
mod lookup;

use std::collections::{BTreeMap, BTreeSet};

pub(super) use files::{LockFiles, beside, externals, shown};
use lookup::Lookup;

use super::{
    outside::{Missing, Outside},
    session::{self, Session},
    wheels::{self, Wheels},
};
use crate::{
    error::Error,
    image::Digest,
    plan::{self, Facts, Plan, late_sources, parents_first},
    project::{
        Project,
        inputs::{self, BaseImage, ImageInputs},
        lock::{self, Lock, LockedChain},
        place::{Defect, Place},
        source::Origin,
    },
};

/// What was read for each image.
pub(super) type Inputs = BTreeMap<String, ImageInputs>;

/// The plan, and all that it was made from.
pub(super) struct Prepared {
    pub(super) plan: Plan,
    pub(super) order: Vec<String>,
    pub(super) inputs: BTreeMap<String, ImageInputs>,
    pub(super) lock: Lock,
    pub(super) local_sources: BTreeMap<String, Digest>,
}

/// Makes the plan of the whole project.
pub(super) fn prepare(
    session: &Session<'_>,
    outside: &Outside<'_>,
    missing: Missing,
) -> Result<Prepared, Error> {
    let lock = session::read_lock(&session.project.root)?;
    let inputs = read_inputs(session, &lock)?;
    warn(session, &inputs);
    let order = parents_first(&session.project, &inputs)?;
    let old = LockFiles::read(session, lock, &inputs)?;
    let settling = Settling {
        session,
        outside,
        missing,
        inputs: &inputs,
        before: &old.lock,
        upgraded: &BTreeSet::new(),
    };
    let settled = settling.settle(old.clone())?;
    let plan = settled.plan(session, &inputs);
    let plan = plan.map_err(|error| missing.explain(error))?;
    keep(session, missing, &inputs, &old, &settled.files)?;
    Ok(Prepared {
        plan,
        order,
        inputs,
        lock: settled.files.lock,
        local_sources: settled.local_sources,
    })
}

/// The inputs and the wheels of all images, for who only packs: nothing but wheels is looked up.
pub(super) fn wheels(
    session: &Session<'_>,
    outside: &Outside<'_>,
    missing: Missing,
) -> Result<(Inputs, Wheels), Error> {
    let lock = session::read_lock(&session.project.root)?;
    let inputs = read_inputs(session, &lock)?;
    let old = LockFiles::read(session, lock, &inputs)?;
    let mut new = old.clone();
    let chosen = wheels::of_all(
        session,
        outside,
        missing,
        &inputs,
        &mut new,
        &BTreeSet::new(),
    )?;
    let wheels = chosen.all().map_err(|defect| missing.explain(defect))?;
    keep(session, missing, &inputs, &old, &new)?;
    Ok((inputs, wheels))
}

/// Writes what became more complete, without what nothing uses any more; or refuses to.
fn keep(
    session: &Session<'_>,
    missing: Missing,
    inputs: &Inputs,
    old: &LockFiles,
    new: &LockFiles,
) -> Result<(), Error> {
    if new == old {
        return Ok(());
    }
    match missing {
        Missing::Refuse => Ok(()),
        Missing::Locked => {
            let place = Place::of_line(lock::FILE_NAME, 1);
            let message = "the lock is not up to date, and `--locked` forbids to change it";
            Err(Defect::new("E034", place, message)
                .hint("run `sparkpack lock`, and commit what it writes")
                .into())
        }
        Missing::Complete | Missing::Offline => {
            let mut new = new.clone();
            new.drop_unused(&session.project, inputs);
            new.write(session, old)
        }
    }
}

/// The inputs of all images, by the recipes that `lock` names.
pub(super) fn read_inputs(session: &Session<'_>, lock: &Lock) -> Result<Inputs, Error> {
    let project = &session.project;
    let mut inputs = BTreeMap::new();
    for (name, image) in &project.images {
        let read = inputs::read(project, lock, image, &session.trees)?;
        inputs.insert(name.clone(), read);
    }
    Ok(inputs)
}

/// Says what is odd in the Dockerfiles.
pub(super) fn warn(session: &Session<'_>, inputs: &Inputs) {
    let warnings = inputs.values().flat_map(|inputs| &inputs.warnings);
    warnings.for_each(|warning| session.ui.warn(warning));
}

/// Completes locks in memory.
pub(super) struct Settling<'a> {
    pub(super) session: &'a Session<'a>,
    pub(super) outside: &'a Outside<'a>,
    pub(super) missing: Missing,
    pub(super) inputs: &'a Inputs,
    /// The lock before anything was taken out of it to be looked up again.
    pub(super) before: &'a Lock,
    /// The packages whose newest version is wanted.
    pub(super) upgraded: &'a BTreeSet<String>,
}

/// Locks that have all that a plan needs.
pub(super) struct Settled {
    pub(super) files: LockFiles,
    pub(super) wheels: Wheels,
    pub(super) local_sources: BTreeMap<String, Digest>,
}

impl Settling<'_> {
    pub(super) fn settle(&self, mut files: LockFiles) -> Result<Settled, Error> {
        let project = &self.session.project;
        let local_sources = local_sources(self.session, self.outside, self.inputs)?;
        if self.missing != Missing::Refuse {
            lock_recipes(&mut files.lock, self.inputs);
            let chains = project.chains.iter();
            files.lock.chains = chains
                .map(|(name, chain)| (name.clone(), LockedChain::of(chain)))
                .collect();
            let lookup = Lookup {
                session: self.session,
                outside: self.outside,
                missing: self.missing,
                inputs: self.inputs,
                before: self.before,
            };
            if self.missing != Missing::Locked {
                lookup.images(&mut files.lock)?;
            }
            if self.missing == Missing::Complete {
                lookup.sources(&mut files.lock)?;
            }
        }
        let chosen = wheels::of_all(
            self.session,
            self.outside,
            self.missing,
            self.inputs,
            &mut files,
            self.upgraded,
        )?;
        let wheels = chosen
            .all()
            .map_err(|defect| self.missing.explain(defect))?;
        Ok(Settled {
            files,
            wheels,
            local_sources,
        })
    }
}

impl Settled {
    pub(super) fn plan(&self, session: &Session<'_>, inputs: &Inputs) -> Result<Plan, Defect> {
        plan::make(Facts {
            project: &session.project,
            lock: &self.files.lock,
            inputs,
            wheels: &self.wheels,
            local_sources: &self.local_sources,
        })
    }
}

impl Missing {
    /// What is missing, with the reason why it was not looked up.
    fn explain(self, defect: Defect) -> Error {
        if defect.code != "E033" {
            return defect.into();
        }
        let message = defect.message + self.reason();
        Defect { message, ..defect }.into()
    }
}

/// The names of the sources that the images need.
pub(super) fn used_sources(project: &Project, inputs: &Inputs) -> BTreeSet<String> {
    let images = inputs.iter();
    images
        .flat_map(|(name, inputs)| sources_of(project, name, inputs))
        .collect()
}

/// The names of the sources that one image needs.
pub(super) fn sources_of(project: &Project, name: &str, inputs: &ImageInputs) -> BTreeSet<String> {
    let bases = inputs.bases.iter().filter_map(|base| match &base.image {
        BaseImage::Source(source) => Some(source.clone()),
        BaseImage::Stage(_) | BaseImage::External(_) | BaseImage::Scratch => None,
    });
    let image = project.images.get(name).into_iter();
    let late = image
        .flat_map(|image| late_sources(project, image))
        .map(|late| late.source.to_owned());
    bases.chain(late).collect()
}

fn local_sources(
    session: &Session<'_>,
    outside: &Outside<'_>,
    inputs: &Inputs,
) -> Result<BTreeMap<String, Digest>, Error> {
    let mut digests = BTreeMap::new();
    for name in used_sources(&session.project, inputs) {
        let Some(source) = session.project.sources.get(&name) else {
            continue;
        };
        if let Origin::Path(_) = source.origin {
            digests.insert(name, outside.fetcher().checksum(source, &mut |_, _| ())?);
        }
    }
    Ok(digests)
}

fn lock_recipes(lock: &mut Lock, inputs: &Inputs) {
    let used = inputs.values().filter_map(|inputs| inputs.built_in);
    let used: BTreeMap<String, Digest> = used
        .map(|recipe| (recipe.name.to_owned(), recipe.digest()))
        .collect();
    lock.recipes = used;
}
