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
        file_trees::Privilege,
        ignore::escaped,
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

impl Prepared {
    /// Whether all images of the project are in the plan: those that were not asked for may lack something in the locks.
    pub(crate) fn is_whole(&self, session: &Session<'_>) -> bool {
        self.plan.stages.len() == session.project.images.len()
    }
}

/// Makes the plan of the whole project.
pub(crate) fn prepare(session: &Session<'_>, services: &Services<'_>) -> Result<Prepared, Error> {
    let all: Vec<String> = session.project.images.keys().cloned().collect();
    prepare_for(session, services, &all)
}

/// Makes the plan of these images and of what they stand on. Of the others those are in it for which the locks have
/// everything: for those nothing is looked up.
pub(crate) fn prepare_for(
    session: &Session<'_>,
    services: &Services<'_>,
    targets: &[String],
) -> Result<Prepared, Error> {
    let lock = workspace::read_lock(&session.project.root)?;
    let inputs = read_inputs(session, &lock)?;
    warn_of_inputs(session, &inputs);
    let old = LockFiles::read(session, lock, &inputs)?;
    let wanted = inputs.with_parents(targets);
    let resolver = Resolver {
        session,
        services,
        inputs: &inputs,
        wanted: &wanted,
        before: &old.lock,
        upgraded: &BTreeSet::new(),
    };
    let (resolved, plan) = warn_beside(session, &inputs, || {
        let resolved = resolver.resolve(old.clone())?;
        let plan = resolved.plan(&resolver)?;
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
        wanted: &inputs,
        before: lock,
        upgraded: &BTreeSet::new(),
    };
    let resolved = resolver.resolve(files)?;
    let plan = resolved.plan(&resolver)?;
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
            (&inputs, &inputs),
            &mut new,
            &BTreeSet::new(),
        )?;
        chosen
            .all_of(&inputs)
            .map_err(|missing| policy.explain(missing))
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

/// Warns of files that lose the setuid or setgid bit, or capabilities.
fn warn_of_privileged(session: &Session<'_>) {
    let root = &session.project.root;
    let root = fs_err::canonicalize(root).unwrap_or_else(|_| root.clone());
    for (file, privilege) in session.trees.privileged() {
        let shown = escaped(file.strip_prefix(&root).unwrap_or(&file));
        let (message, hint) = match privilege {
            Privilege::Bit => (
                "it has the setuid or setgid bit, and loses it: a file of an image has mode 0644 or 0755",
                "`chmod ug-s` it, or set the bit by a `RUN chmod` in a Dockerfile",
            ),
            Privilege::Capabilities => (
                "it has capabilities, and loses them: a file of an image has no extended attributes",
                "`setcap -r` takes them away; a `RUN setcap` in a Dockerfile sets them in the image",
            ),
        };
        let warning = Defect::new(Code::W128, Place::of_line(shown, 1), message);
        session.events.warn(&warning.hint(hint));
    }
}

/// Reports the warnings about jobs. Those of one project have the same.
fn warn_of_jobs(session: &Session<'_>, inputs: &Inputs) {
    warn_of_privileged(session);
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
    /// Those of the images that are to be planned, and of what they stand on.
    pub(crate) wanted: &'a Inputs,
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
    /// The images whose wheels are not known. None of them is wanted.
    unlocked: BTreeSet<String>,
}

impl Resolver<'_> {
    pub(crate) fn resolve(&self, mut files: LockFiles) -> Result<ResolvedLocks, Error> {
        let policy = self.services.policy();
        let local_sources = self.local_sources()?;
        if policy != LockPolicy::ReadOnly {
            self.lock_recipes(&mut files.lock);
            let lookup = Lookup {
                session: self.session,
                services: self.services,
                inputs: self.wanted,
                before: self.before,
            };
            if policy != LockPolicy::Locked {
                lookup.images(&mut files.lock)?;
            }
            if policy == LockPolicy::Update {
                lookup.sources(&mut files.lock)?;
                lookup.contents(&mut files.lock)?;
            }
            self.lock_chains(&mut files.lock);
        }
        check_contents(self.session, &files.lock)?;
        let chosen = wheels::of_all(
            self.session,
            self.services,
            policy,
            (self.inputs, self.wanted),
            &mut files,
            self.upgraded,
        )?;
        let chosen = chosen
            .all_of(self.wanted)
            .map_err(|missing| policy.explain(missing))?;
        let unlocked = chosen.unlocked.into_iter();
        Ok(ResolvedLocks {
            files,
            wheels: chosen.wheels,
            replaced: chosen.replaced,
            local_sources,
            unlocked: unlocked.map(|unlocked| unlocked.image).collect(),
        })
    }

    /// The checksums of the sources on this machine. What is wrong with one that no image needs which is wanted stops nothing.
    fn local_sources(&self) -> Result<BTreeMap<String, Digest>, Error> {
        let mut digests = BTreeMap::new();
        let wanted = used_sources(self.wanted);
        for name in used_sources(self.inputs) {
            let Some(source) = self.session.project.sources.get(&name) else {
                continue;
            };
            if let Origin::Path(_) = source.origin {
                let fetcher = self.services.fetcher();
                match fetcher.checksum(source, &mut |_, _| ()) {
                    Err(_) if !wanted.contains(&name) => {}
                    digest => drop(digests.insert(name, digest?)),
                }
            }
        }
        Ok(digests)
    }

    /// Locks the built-in recipes of the images that are wanted, and drops those that no image has any more.
    fn lock_recipes(&self, lock: &mut Lock) {
        let used = built_in(self.inputs);
        lock.recipes
            .retain(|name, _| used.clone().any(|built_in| built_in.name == name));
        let wanted = built_in(self.wanted);
        let wanted = wanted.map(|built_in| (built_in.name.to_owned(), built_in.digest()));
        lock.recipes.extend(wanted);
    }

    /// Locks what the chains of the images that are wanted are of; with all images, the chains of no image too.
    fn lock_chains(&self, lock: &mut Lock) {
        let project = &self.session.project;
        let is_whole = self.wanted.order().len() == self.inputs.order().len();
        let images = self.wanted.order().iter();
        let images = images.filter_map(|name| project.images.get(name));
        let used: BTreeSet<&String> = images.filter_map(|image| image.chain.as_ref()).collect();
        let chains = project.chains.iter();
        let chains = chains.filter(|(name, _)| is_whole || used.contains(name));
        let chains =
            chains.filter_map(|(name, chain)| Some((name.clone(), LockedChain::of(chain, lock)?)));
        let chains: Vec<(String, LockedChain)> = chains.collect();
        lock.chains
            .retain(|name, _| !is_whole && !used.contains(name));
        lock.chains.extend(chains);
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
    pub(crate) fn plan(&self, resolver: &Resolver<'_>) -> Result<Plan, Error> {
        let given = PlanInputs {
            project: &resolver.session.project,
            lock: &self.files.lock,
            inputs: resolver.inputs,
            wheels: &self.wheels,
            local_sources: &self.local_sources,
        };
        let plan = plan::make_for(given, resolver.wanted, &self.unlocked);
        plan.map_err(|error| resolver.services.policy().explain(error))
    }
}

impl LockPolicy {
    /// The error of a plan. If it is about a missing entry, it also says why the entry was not looked up.
    fn explain(self, error: impl Into<PlanError>) -> Error {
        match error.into() {
            PlanError::Unlocked(unlocked) => Error::Unlocked(unlocked.defect(self.reason())),
            PlanError::Defect(defect) => defect.into(),
        }
    }
}

/// The built-in recipes of images.
fn built_in(inputs: &Inputs) -> impl Iterator<Item = &BuiltInRecipe> + Clone {
    let inputs = inputs.iter();
    inputs.filter_map(|(_, inputs)| inputs.recipe.built_in())
}
