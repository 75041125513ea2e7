//! Reads the inputs, completes the locks in memory if the policy allows it, makes the plan, and writes the lock files
//! together.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    elsewhere::check_contents,
    ignored::warn_beside,
    lock_files::{LockFiles, used_sources},
    lookup::Lookup,
    wheels::{self, Replaced, Wheels},
};
use crate::{
    code::Code,
    error::Error,
    image::Digest,
    operations::workspace::{self, LockPolicy, Services, Session},
    plan::{self, Inputs, Plan, PlanError, PlanInputs, Recipe, StageInputs},
    project::{
        CodeForm,
        built_in::BuiltInRecipe,
        inputs::{InputError, InputReader},
        job_files::PackageInputs,
        lock::{self, Lock, LockedChain},
        place::{Defect, Place},
        source::Origin,
    },
};

/// The plan, and the lock entries that it was made from.
pub(crate) struct Prepared {
    pub(crate) plan: Plan,
    pub(crate) lock: Lock,
    pub(crate) local_sources: BTreeMap<String, Digest>,
    pub(crate) replaced: Replaced,
}

/// Makes the plan of the whole project.
pub(crate) fn prepare(session: &Session<'_>, services: &Services<'_>) -> Result<Prepared, Error> {
    let lock = workspace::read_lock(&session.project.root)?;
    let inputs = read_inputs(session, &lock)?;
    warn_of_inputs(session, &inputs);
    let old = LockFiles::read(session, lock, &inputs)?;
    let resolver = Resolver {
        session,
        services,
        inputs: &inputs,
        before: &old.lock,
        upgraded: &BTreeSet::new(),
    };
    let (resolved, plan) = warn_beside(session, &inputs, || {
        let resolved = resolver.resolve(old.clone())?;
        let plan = resolved.plan(session, services, &inputs)?;
        Ok((resolved, plan))
    })?;
    keep(session, services, &inputs, &old, &resolved.files)?;
    Ok(resolved.prepared(plan))
}

/// Makes the plan of the whole project from this lock, and writes nothing.
pub(crate) fn prepare_in_memory(
    session: &Session<'_>,
    services: &Services<'_>,
    lock: &Lock,
) -> Result<Prepared, Error> {
    let inputs = read_inputs(session, lock)?;
    let files = LockFiles::read(session, lock.clone(), &inputs)?;
    let resolver = Resolver {
        session,
        services,
        inputs: &inputs,
        before: lock,
        upgraded: &BTreeSet::new(),
    };
    let resolved = resolver.resolve(files)?;
    let plan = resolved.plan(session, services, &inputs)?;
    Ok(resolved.prepared(plan))
}

/// The inputs, the wheels of all images and the lock, for `sparkpack package`. Of the missing lock entries only wheels are looked
/// up.
pub(crate) fn inputs_and_wheels(
    session: &Session<'_>,
    services: &Services<'_>,
) -> Result<(Inputs, Wheels, Lock), Error> {
    let policy = services.policy();
    let lock = workspace::read_lock(&session.project.root)?;
    let inputs = read_inputs(session, &lock)?;
    warn_of_jobs(session, &inputs);
    let old = LockFiles::read(session, lock, &inputs)?;
    let mut new = old.clone();
    let chosen = warn_beside(session, &inputs, || {
        let chosen = wheels::of_all(
            session,
            services,
            policy,
            &inputs,
            &mut new,
            &BTreeSet::new(),
        )?;
        chosen.all().map_err(|missing| policy.explain(missing))
    })?;
    keep(session, services, &inputs, &old, &new)?;
    Ok((inputs, chosen.wheels, new.lock))
}

/// Writes the lock files that have changed, without unused entries. With `--locked` a change is an error;
/// [`LockPolicy::ReadOnly`] writes nothing.
fn keep(
    session: &Session<'_>,
    services: &Services<'_>,
    inputs: &Inputs,
    old: &LockFiles,
    new: &LockFiles,
) -> Result<(), Error> {
    if new == old {
        return Ok(());
    }
    match services.policy() {
        LockPolicy::ReadOnly => Ok(()),
        LockPolicy::Locked => {
            let place = Place::of_line(lock::FILE_NAME, 1);
            let message = "the lock is not up to date, and `--locked` forbids to change it";
            Err(Defect::new(Code::E034, place, message)
                .hint("run `sparkpack lock`, and commit what it writes")
                .into())
        }
        LockPolicy::Update | LockPolicy::Offline => {
            let mut new = new.clone();
            new.drop_unused(&session.project, inputs);
            new.write(session, old)
        }
    }
}

/// The inputs of all images. `lock` names the version of each built-in Dockerfile.
pub(crate) fn read_inputs(session: &Session<'_>, lock: &Lock) -> Result<Inputs, InputError> {
    let project = &session.project;
    let reader = InputReader::new(project, lock, &session.trees);
    reader.refuse_unknown_recipes()?;
    let mut inputs = BTreeMap::new();
    for (name, image) in &project.images {
        let mut recipe = match reader.files(image)? {
            Some(files) => Recipe::Files(files),
            None => Recipe::Dockerfile(Box::new(reader.dockerfile(image)?)),
        };
        let requirements = reader.requirements(image, recipe.built_in())?;
        let package = reader.package(image)?;
        let is_folder = |package: &PackageInputs| package.form == CodeForm::Folder;
        if let (Recipe::Files(files), true) = (&mut recipe, package.as_ref().is_some_and(is_folder))
        {
            files.add_code_folder();
        }
        let read = StageInputs {
            recipe,
            package,
            requirements,
        };
        inputs.insert(name.clone(), read);
    }
    Ok(Inputs::new(project, inputs)?)
}

/// Reports the warnings about Dockerfiles and about jobs.
pub(crate) fn warn_of_inputs(session: &Session<'_>, inputs: &Inputs) {
    let warnings = inputs
        .iter()
        .flat_map(|(_, inputs)| inputs.recipe.warnings());
    warnings.for_each(|warning| session.events.warn(warning));
    warn_of_jobs(session, inputs);
}

/// Reports the warnings about jobs. Those of one project have the same.
fn warn_of_jobs(session: &Session<'_>, inputs: &Inputs) {
    let packages = inputs
        .iter()
        .filter_map(|(_, inputs)| inputs.package.as_ref());
    let mut told: Vec<&Defect> = Vec::new();
    for warning in packages.flat_map(|package| &package.warnings) {
        if !told.contains(&warning) {
            session.events.warn(warning);
            told.push(warning);
        }
    }
}

/// Completes the locks in memory.
pub(crate) struct Resolver<'a> {
    pub(crate) session: &'a Session<'a>,
    pub(crate) services: &'a Services<'a>,
    pub(crate) inputs: &'a Inputs,
    /// The lock before `--upgrade` removed entries to be looked up again.
    pub(crate) before: &'a Lock,
    /// The packages whose newest version is wanted.
    pub(crate) upgraded: &'a BTreeSet<String>,
}

/// Locks with every entry that a plan needs.
pub(crate) struct ResolvedLocks {
    pub(crate) files: LockFiles,
    pub(crate) wheels: Wheels,
    pub(crate) replaced: Replaced,
    pub(crate) local_sources: BTreeMap<String, Digest>,
}

impl Resolver<'_> {
    pub(crate) fn resolve(&self, mut files: LockFiles) -> Result<ResolvedLocks, Error> {
        let (project, policy) = (&self.session.project, self.services.policy());
        let local_sources = local_sources(self.session, self.services, self.inputs)?;
        if policy != LockPolicy::ReadOnly {
            lock_recipes(&mut files.lock, self.inputs);
            let lookup = Lookup {
                session: self.session,
                services: self.services,
                inputs: self.inputs,
                before: self.before,
            };
            if policy != LockPolicy::Locked {
                lookup.images(&mut files.lock)?;
            }
            if policy == LockPolicy::Update {
                lookup.sources(&mut files.lock)?;
                lookup.contents(&mut files.lock)?;
            }
            let chains = project.chains.iter();
            let chains = chains.filter_map(|(name, chain)| {
                Some((name.clone(), LockedChain::of(chain, &files.lock)?))
            });
            files.lock.chains = chains.collect();
        }
        check_contents(self.session, &files.lock)?;
        let chosen = wheels::of_all(
            self.session,
            self.services,
            policy,
            self.inputs,
            &mut files,
            self.upgraded,
        )?;
        let chosen = chosen.all().map_err(|missing| policy.explain(missing))?;
        Ok(ResolvedLocks {
            files,
            wheels: chosen.wheels,
            replaced: chosen.replaced,
            local_sources,
        })
    }
}

impl ResolvedLocks {
    fn prepared(self, plan: Plan) -> Prepared {
        Prepared {
            plan,
            lock: self.files.lock,
            local_sources: self.local_sources,
            replaced: self.replaced,
        }
    }

    /// Makes the plan from these locks.
    pub(crate) fn plan(
        &self,
        session: &Session<'_>,
        services: &Services<'_>,
        inputs: &Inputs,
    ) -> Result<Plan, Error> {
        let plan = plan::make(PlanInputs {
            project: &session.project,
            lock: &self.files.lock,
            inputs,
            wheels: &self.wheels,
            local_sources: &self.local_sources,
        });
        plan.map_err(|error| services.policy().explain(error))
    }
}

impl LockPolicy {
    /// The error of a plan. If it is about a missing entry, it also says why the entry was not looked up.
    fn explain(self, error: impl Into<PlanError>) -> Error {
        match error.into() {
            PlanError::Unlocked(unlocked) => unlocked.defect(self.reason()).into(),
            PlanError::Defect(defect) => defect.into(),
        }
    }
}

fn local_sources(
    session: &Session<'_>,
    services: &Services<'_>,
    inputs: &Inputs,
) -> Result<BTreeMap<String, Digest>, Error> {
    let mut digests = BTreeMap::new();
    for name in used_sources(inputs) {
        let Some(source) = session.project.sources.get(&name) else {
            continue;
        };
        if let Origin::Path(_) = source.origin {
            digests.insert(name, services.fetcher().checksum(source, &mut |_, _| ())?);
        }
    }
    Ok(digests)
}

fn lock_recipes(lock: &mut Lock, inputs: &Inputs) {
    let used: BTreeMap<&str, &BuiltInRecipe> = inputs
        .iter()
        .filter_map(|(_, inputs)| inputs.recipe.built_in())
        .map(|built_in| (built_in.name, built_in))
        .collect();
    lock.recipes = used
        .into_iter()
        .map(|(name, built_in)| (name.to_owned(), built_in.digest()))
        .collect();
}
