//! The wheels of every image: those in the locks, or else wheels that are resolved now and added to the locks in
//! memory.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use super::{
    below::{Below, Have},
    from_source::FromSource,
    lock_files::{LockFiles, beside, shown},
    spark_extras::spark_extras,
    wanted::Wanted,
};
use crate::{
    adapters::python::{Installer, Preferences, Provided, PythonError, Resolved},
    code::Code,
    error::Error,
    image::Platform,
    operations::{
        events::{Outcome, Progress, Step},
        workspace::{LockPolicy, Services, Session},
    },
    plan::{Inputs, StageInputs},
    project::{
        Chain, Image,
        elsewhere::{ElsewhereChain, LockedContents},
        inputs::ImageRequirements,
        lock::{self, LockedWheels, Unlocked, UnlockedInput},
        place::{Defect, Place},
        requirements::{self, LockedWheel, Pin, ResolveRequest},
        wheel::{Target, normalise},
    },
};

/// The wheels that an image adds to those of its parents, by image and platform.
pub(crate) type Wheels = BTreeMap<(String, Platform), Vec<LockedWheel>>;

/// The wheels that take the place of other versions in the images below, in words, by image and platform.
pub(crate) type Replaced = BTreeMap<(String, Platform), Vec<String>>;

/// The wheels of all images, as far as they are known.
pub(crate) struct Chosen {
    pub(crate) wheels: Wheels,
    pub(crate) replaced: Replaced,
    /// The images whose wheels are missing from the locks and may not be resolved, parents first.
    pub(crate) unlocked: Vec<Unlocked>,
}

impl Chosen {
    /// The wheels, if those of all `wanted` images are among them.
    ///
    /// # Errors
    /// The first such image whose wheels are missing.
    pub(crate) fn all_of(mut self, wanted: &Inputs) -> Result<Self, Unlocked> {
        let mut missing = self.unlocked.iter();
        match missing.position(|unlocked| wanted.get(&unlocked.image).is_some()) {
            None => Ok(self),
            Some(first) => Err(self.unlocked.swap_remove(first)),
        }
    }
}

/// The wheels of all images. Wheels that `files` lacks are resolved if the image is `wanted` and the policy allows it, and
/// added to `files`.
///
/// `upgraded` packages are resolved to their newest versions even if they are locked.
pub(crate) fn of_all(
    session: &Session<'_>,
    services: &Services<'_>,
    policy: LockPolicy,
    (inputs, wanted): (&Inputs, &Inputs),
    files: &mut LockFiles,
    upgraded: &BTreeSet<String>,
) -> Result<Chosen, Error> {
    let mut chooser = Chooser {
        session,
        services,
        policy,
        wanted,
        before: files.clone(),
        files,
        upgraded,
        wheels: Wheels::new(),
        replaced: BTreeMap::new(),
        below: BTreeMap::new(),
        users: BTreeMap::new(),
        unlocked: Vec::new(),
    };
    for name in inputs.order() {
        if let (Some(image), Some(inputs)) = (session.project.images.get(name), inputs.get(name)) {
            chooser.image(image, inputs)?;
        }
    }
    Ok(Chosen {
        wheels: chooser.wheels,
        replaced: chooser.replaced,
        unlocked: chooser.unlocked,
    })
}

struct Chooser<'a> {
    session: &'a Session<'a>,
    services: &'a Services<'a>,
    policy: LockPolicy,
    /// The images whose wheels may be resolved.
    wanted: &'a Inputs,
    /// The locks before this run added wheels.
    before: LockFiles,
    files: &'a mut LockFiles,
    upgraded: &'a BTreeSet<String>,
    wheels: Wheels,
    replaced: Replaced,
    /// The packages of each image, including those of its parents.
    below: BTreeMap<(String, Platform), Below>,
    /// For each lock beside a requirements file: the first image that uses it, and the image's request.
    users: BTreeMap<PathBuf, (String, ResolveRequest)>,
    unlocked: Vec<Unlocked>,
}

impl<'a> Chooser<'a> {
    fn image(&mut self, image: &Image, inputs: &StageInputs) -> Result<(), Error> {
        for platform in &image.platforms {
            let mut below = self.below(image, inputs, platform);
            if let Some(requirements) = &inputs.requirements
                && !self.add_wheels((image, requirements), platform, &mut below)?
            {
                continue;
            }
            let key = (image.name.clone(), platform.clone());
            self.below.insert(key, below);
        }
        Ok(())
    }

    /// The packages of an image's parents.
    fn below(&self, image: &Image, inputs: &StageInputs, platform: &Platform) -> Below {
        let mut below = Below::default();
        for name in inputs.recipe.parents() {
            if let Some(parent) = self.below.get(&(name, platform.clone())) {
                below.add(parent);
            }
        }
        let chain = self.session.project.chain_of(image);
        if let (Some(chain), Some(made)) = (chain, chain.and_then(Chain::made)) {
            below.add_spark(&made.spark, &chain.place);
        }
        if let Some((chain, contents)) = self.contents_below(image, inputs, platform) {
            let all = contents.all_installed();
            below.add_elsewhere(&chain.image, contents.binding(chain), all);
            if let Some(spark) = self.files.lock.spark_of(&self.session.project, image) {
                below.add_spark(&spark, &chain.place);
            }
        }
        below
    }

    /// Chooses the wheels of an image, and adds them to what its parents have; false if it is not known for which Python.
    fn add_wheels(
        &mut self,
        (image, requirements): (&Image, &ImageRequirements),
        platform: &Platform,
        below: &mut Below,
    ) -> Result<bool, Error> {
        let Some(target) = self.target(image, platform)? else {
            return Ok(false);
        };
        refuse_other_python(image, requirements, &target)?;
        let asked = ResolveRequest::of(&requirements.requirements, &below.pins(), &target);
        let asked = asked.over(&below.along_pins());
        self.refuse_other_users(image, requirements, &asked)?;
        let chosen = self.locked_or_chosen(&Wanted {
            image,
            requirements,
            below,
            target: &target,
            asked: &asked,
        })?;
        let key = (image.name.clone(), platform.clone());
        let replaced = below.replaced_by(&chosen);
        if !replaced.is_empty() {
            self.replaced.insert(key.clone(), replaced);
        }
        below.add_own(&image.name, requirements, &chosen);
        self.wheels.insert(key, chosen);
        Ok(true)
    }

    /// Refuses two images that share a lock but have different requests: each would overwrite the other's wheels.
    fn refuse_other_users(
        &mut self,
        image: &Image,
        requirements: &ImageRequirements,
        asked: &ResolveRequest,
    ) -> Result<(), Error> {
        // While any wheels are missing, the packages of an image's parents may be unknown, so that requests cannot be
        // compared.
        let Some(file) = beside(requirements).filter(|_| self.unlocked.is_empty()) else {
            return Ok(());
        };
        let user = (image.name.clone(), asked.clone());
        let (first, other) = self.users.entry(file.clone()).or_insert(user);
        if other == asked {
            return Ok(());
        }
        let message = format!(
            "`{}` and `{first}` share {}, but their Pythons or what they stand on differ, and so do their wheels",
            image.name,
            shown(&file)
        );
        let hint = format!("give `{}` a requirements file of its own", image.name);
        Err(Defect::new(Code::E038, image.place.clone(), message)
            .hint(hint)
            .into())
    }

    /// What was found in the image from elsewhere that an image stands on.
    fn contents_below(
        &self,
        image: &Image,
        inputs: &StageInputs,
        platform: &Platform,
    ) -> Option<(&'a ElsewhereChain, LockedContents)> {
        let chain = self.session.project.chain_of(image)?;
        let elsewhere = chain.elsewhere()?;
        let is_below = inputs.recipe.external_base() == Some(&elsewhere.image);
        let contents = self.files.lock.contents_of(chain, platform);
        Some((elsewhere, contents.filter(|_| is_below)?.clone()))
    }

    /// The Python of an image; `None` if it is not known what is in the image from elsewhere that it stands on.
    fn target(&mut self, image: &Image, platform: &Platform) -> Result<Option<Target>, Error> {
        let project = &self.session.project;
        let target = self.files.lock.target(project, image, platform);
        let elsewhere = project.chain_of(image).and_then(Chain::elsewhere);
        if let (None, Some(elsewhere)) = (&target, elsewhere) {
            self.unlocked.push(Unlocked {
                image: image.name.clone(),
                what: UnlockedInput::Contents(elsewhere.image.clone()),
            });
            return Ok(None);
        }
        target.map(Some).ok_or_else(|| {
            let message = format!(
                "`{}` has requirements, but no chain says for which Python",
                image.name
            );
            let defect = Defect::new(Code::E023, image.place.clone(), message);
            let hint = "add `[chains.main]` with `spark` and `python`";
            defect.hint(hint).into()
        })
    }

    fn locked_or_chosen(&mut self, wanted: &Wanted<'_>) -> Result<Vec<LockedWheel>, Error> {
        let known = of_lock(self.files, wanted);
        if let Some(wheels) = known {
            let mut names = wheels.iter().map(|locked| &locked.wheel.name);
            if !names.any(|name| self.upgraded.contains(name)) {
                return Ok(wheels);
            }
        }
        let is_wanted = self.wanted.get(&wanted.image.name).is_some();
        if self.policy == LockPolicy::Update && is_wanted {
            return self.choose(wanted);
        }
        self.unlocked.push(unlocked(wanted));
        Ok(Vec::new())
    }

    fn choose(&mut self, wanted: &Wanted<'_>) -> Result<Vec<LockedWheel>, Error> {
        let Wanted {
            image,
            requirements,
            target,
            asked,
            ..
        } = *wanted;
        let title = image.title(std::slice::from_ref(&target.platform));
        let mut progress = self.session.events.begin(&title);
        let file = described(requirements);
        progress.step(Step::ChooseWheels(&file));
        let installer = self.services.installer()?;
        let preferences = Preferences {
            pins: self.kept(wanted),
            upgraded: self.upgraded.clone(),
        };
        let mut provided = wanted.below.provided();
        provided.spark_extras = spark_extras(
            self.session,
            self.services,
            &self.files.lock,
            image,
            &requirements.requirements,
        )?;
        let resolved = self.resolve(
            wanted,
            &installer,
            (provided, &preferences),
            progress.as_mut(),
        )?;
        let resolved = resolved.map_err(|error| told(wanted, error))?;
        progress.end(Outcome::ChoseWheels {
            count: resolved.wheels.len(),
            of: &file,
        });
        for (pin, reason) in &resolved.yanked {
            let warning = taken_back(wanted, pin, reason.as_deref());
            self.session.events.warn(&warning);
        }
        let wheels = resolved.wheels.clone();
        match beside(requirements) {
            Some(file) => self.keep_beside(file, target, asked, resolved),
            None => self.keep_built_in(image, target, asked, &resolved),
        }
        Ok(wheels)
    }

    /// Resolves what is wanted. What has no wheel and may be built, is.
    fn resolve(
        &mut self,
        wanted: &Wanted<'_>,
        installer: &Installer,
        (mut provided, preferences): (Provided, &Preferences),
        progress: &mut dyn Progress,
    ) -> Result<Result<Resolved, PythonError>, Error> {
        let Wanted {
            requirements,
            target,
            ..
        } = *wanted;
        let before = all_of_lock(&self.before, wanted).into_iter();
        let lock = self.files.lock.clone();
        let mut from_source = FromSource {
            session: self.session,
            services: self.services,
            lock: &lock,
            wanted,
            before: (
                before.flat_map(|(_, wheels)| wheels).collect(),
                self.upgraded,
            ),
            kept: Vec::new(),
        };
        provided.built = from_source.of_places(progress)?;
        let resolved = loop {
            let resolved =
                installer.lock_keeping(&requirements.requirements, target, &provided, preferences);
            let Err(error) = resolved else {
                break resolved;
            };
            match from_source.instead_of(&error, installer, &provided, progress)? {
                Some(built) => provided.built.push(built),
                None => break Err(error),
            }
        };
        self.files.kept_wheels.extend(from_source.kept);
        Ok(resolved)
    }

    /// The versions to prefer, one for each package: first those that this run has resolved for another platform, then
    /// those locked for this platform, then those locked for others. Locked versions count even if the requirements
    /// have changed since.
    fn kept(&self, wanted: &Wanted<'_>) -> Vec<Pin> {
        let platform = &wanted.target.platform;
        let mut kept: BTreeMap<String, Pin> = BTreeMap::new();
        let before = all_of_lock(&self.before, wanted);
        let now = all_of_lock(self.files, wanted);
        let of_platform = before.iter().filter(|(of, _)| *of == *platform);
        let others = before.iter().filter(|(of, _)| *of != *platform);
        let is_new = |(of, wheels): &&(Platform, Vec<LockedWheel>)| {
            *of != *platform && !before.iter().any(|(old, had)| old == of && had == wheels)
        };
        let in_order = now.iter().filter(is_new).chain(of_platform).chain(others);
        for wheel in in_order.flat_map(|(_, wheels)| wheels) {
            let pin = wheel.pin();
            kept.entry(pin.name.clone()).or_insert(pin);
        }
        kept.into_values().collect()
    }

    fn keep_beside(
        &mut self,
        file: PathBuf,
        target: &Target,
        asked: &ResolveRequest,
        resolved: Resolved,
    ) {
        // The wheels of other platforms stay if they were resolved for the same request.
        let before = self.files.beside.remove(&file);
        let mut whole = before
            .filter(|lock| lock.answers(asked))
            .unwrap_or_else(|| requirements::Lock {
                requirements_digest: asked.requirements_digest.clone(),
                python: asked.python,
                glibc: asked.glibc,
                wheels: BTreeMap::new(),
                left_out: BTreeSet::new(),
            });
        whole
            .wheels
            .insert(target.platform.clone(), resolved.wheels);
        whole.left_out.extend(resolved.left_out);
        self.files.beside.insert(file, whole);
    }

    fn keep_built_in(
        &mut self,
        image: &Image,
        target: &Target,
        asked: &ResolveRequest,
        resolved: &Resolved,
    ) {
        let files = resolved.wheels.iter();
        let locked = LockedWheels {
            requirements: asked.requirements_digest.clone(),
            python: dotted(asked.python),
            glibc: dotted(asked.glibc),
            files: files
                .map(|locked| (locked.wheel.file_name.clone(), locked.sha256.clone()))
                .collect(),
        };
        let wheels = &mut self.files.lock.wheels;
        wheels
            .entry(image.name.clone())
            .or_default()
            .insert(target.platform.clone(), locked);
    }
}

/// Refuses requirements of a project that is not for the image's Python.
fn refuse_other_python(
    image: &Image,
    requirements: &ImageRequirements,
    target: &Target,
) -> Result<(), Error> {
    let range = requirements.requirements.python.as_ref();
    let Some(range) = range.filter(|range| !range.allows(target.python)) else {
        return Ok(());
    };
    let message = format!(
        "the project is for Python {}, but `{}` has Python {}",
        range.text,
        image.name,
        dotted(target.python)
    );
    let defect = Defect::new(Code::E165, range.place.clone(), message);
    Err(defect
        .hint("change `python` of the chain, or the range of Pythons here")
        .into())
}

/// The locked wheels for a platform, if they were resolved for the same request.
fn of_lock(files: &LockFiles, wanted: &Wanted<'_>) -> Option<Vec<LockedWheel>> {
    let (asked, platform) = (wanted.asked, &wanted.target.platform);
    if let Some(file) = beside(wanted.requirements) {
        let lock = files.beside.get(&file).filter(|lock| lock.answers(asked))?;
        return lock.wheels.get(platform).cloned();
    }
    let locked = files.lock.wheels.get(&wanted.image.name)?.get(platform)?;
    let is_current = locked.requirements == asked.requirements_digest
        && locked.python == dotted(asked.python)
        && locked.glibc == dotted(asked.glibc);
    wheels_of(locked).filter(|_| is_current)
}

/// The locked wheels for all platforms, whatever request they were resolved for.
fn all_of_lock(files: &LockFiles, wanted: &Wanted<'_>) -> Vec<(Platform, Vec<LockedWheel>)> {
    if let Some(file) = beside(wanted.requirements) {
        let locked = files.beside.get(&file).into_iter();
        return locked.flat_map(|lock| lock.wheels.clone()).collect();
    }
    let locked = files
        .lock
        .wheels
        .get(&wanted.image.name)
        .into_iter()
        .flatten();
    locked
        .filter_map(|(platform, locked)| Some((platform.clone(), wheels_of(locked)?)))
        .collect()
}

/// The locked wheels of a built-in Dockerfile; `None` if a file name is not that of a wheel.
pub(crate) fn wheels_of(locked: &LockedWheels) -> Option<Vec<LockedWheel>> {
    let wheels = locked
        .files
        .iter()
        .map(|(name, sha256)| Some(LockedWheel::of_file(name.parse().ok()?, sha256.clone())));
    wheels.collect()
}

fn unlocked(wanted: &Wanted<'_>) -> Unlocked {
    let requirements = wanted.requirements;
    let file = if requirements.built_in {
        Path::new(lock::FILE_NAME)
    } else {
        &requirements.requirements.file
    };
    Unlocked {
        image: wanted.image.name.clone(),
        what: UnlockedInput::Wheels {
            requirements: described(requirements),
            platform: wanted.target.platform.clone(),
            file: file.to_owned(),
        },
    }
}

/// The error of the resolver, with the line of the requirements file that asks for the package, if there is one. Of a
/// conflict with the images below, it names both sides.
fn told(wanted: &Wanted<'_>, error: PythonError) -> Error {
    let requirements = &wanted.requirements.requirements;
    let line_of = |names: &BTreeSet<String>| {
        let mut wanted = requirements.wanted.iter();
        wanted.find(|wanted| names.contains(&wanted.name))
    };
    let names = error.names();
    let mut reasons = wanted.below.reasons(&names).into_iter().peekable();
    if let (true, Some(first)) = (error.is_conflict(), reasons.peek().copied()) {
        let asks = line_of(&names).or(requirements.wanted.first());
        let reasons: Vec<String> = reasons.map(Have::reason).collect();
        let asked = asks.map_or_else(String::new, ToString::to_string);
        let place = asks.map_or_else(|| wanted.image.place.clone(), |asks| asks.place.clone());
        let message = match error {
            PythonError::Provided { .. } => {
                format!("`{asked}` is wanted, but {}", reasons.join("; "))
            }
            error => format!("{error}; {}", reasons.join("; ")),
        };
        return Defect::new(Code::E706, place, message)
            .hint(first.ways_out(&asked))
            .into();
    }
    let package = error.package().map(normalise);
    let Some(line) = package.and_then(|package| line_of(&[package].into())) else {
        return error.into();
    };
    let defect = Defect::new(error.code(), line.place.clone(), error.to_string());
    let hint = error.hint();
    Defect { hint, ..defect }.into()
}

/// The warning of a chosen version that its publishers have taken back.
fn taken_back(wanted: &Wanted<'_>, pin: &Pin, reason: Option<&str>) -> Defect {
    let requirements = &wanted.requirements.requirements;
    let line = requirements.place_of(&pin.name).cloned();
    let place = line.unwrap_or_else(|| Place::of_line(&requirements.file, 1));
    let reason = reason.map_or_else(
        || ", and gives no reason".to_owned(),
        |reason| format!(": {reason}"),
    );
    let message = format!("`{pin}` is chosen, but who published it has taken it back{reason}");
    Defect::new(Code::W151, place, message).hint(format!(
        "take another version of `{}`, or keep it if the reason does not concern you",
        pin.name
    ))
}

fn described(requirements: &ImageRequirements) -> String {
    if requirements.built_in {
        "its built-in requirements".to_owned()
    } else {
        requirements.requirements.file.display().to_string()
    }
}

fn dotted((major, minor): (u8, u8)) -> String {
    format!("{major}.{minor}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::{
        resolution::{inputs_and_wheels, prepare, prepare::read_inputs},
        testing::{Project, Recorder},
        workspace::read_lock,
    };

    const SHARED: &str = r#"format = 1
project = "small"
registries.main = "registry.example/small"

[chains.main]
spark = "4.1.4"
python = "3.11"

[images.first]
dockerfile = "Dockerfile"
requirements = "requirements.txt"

[images.second]
parent = "first"
dockerfile = "second.Dockerfile"
requirements = "requirements.txt"
"#;

    /// A project whose images all have the wheels of `requirements.txt`.
    fn project(toml: &str) -> Project {
        Project::new(&[
            ("sparkpack.toml", toml),
            ("sparkpack.lock", "format = 1\n"),
            ("Dockerfile", "FROM scratch\nCOPY requirements.txt /\n"),
            (
                "second.Dockerfile",
                "ARG PARENT\nFROM ${PARENT}\nCOPY requirements.txt /\n",
            ),
            ("requirements.txt", "six==1.16.0\n"),
        ])
    }

    /// Writes a lock that answers the request of `image`, with one wheel that was never fetched.
    fn lock_for(project: &Project, image: &str) -> LockedWheel {
        let events = Recorder::default();
        let session = project.session(&events);
        let lock = read_lock(&session.project.root).unwrap();
        let inputs = read_inputs(&session, &lock).unwrap();
        let requirements = inputs.get(image).unwrap().requirements.as_ref().unwrap();
        let platform = Platform::default();
        let image = &session.project.images[image];
        let target = lock.target(&session.project, image, &platform).unwrap();
        let spark = [Pin::new("pyspark", "4.1.4")];
        let asked = ResolveRequest::of(&requirements.requirements, &spark, &target);
        let wheel = LockedWheel::of_file(
            "six-1.16.0-py2.py3-none-any.whl".parse().unwrap(),
            crate::image::Digest::of(b"six"),
        );
        let lock = requirements::Lock {
            requirements_digest: asked.requirements_digest,
            python: asked.python,
            glibc: asked.glibc,
            wheels: [(platform, vec![wheel.clone()])].into(),
            left_out: BTreeSet::new(),
        };
        project.write("requirements.lock", &lock.to_text());
        wheel
    }

    fn code_of<T>(result: Result<T, Error>) -> Code {
        result.err().unwrap().code()
    }

    #[test]
    fn images_on_different_parents_cannot_share_a_lock() {
        let (project, events) = (project(SHARED), Recorder::default());
        lock_for(&project, "first");
        for policy in [LockPolicy::ReadOnly, LockPolicy::Update] {
            let session = project.session(&events);
            let services = Services::new(&session, policy);
            let error = prepare(&session, &services).err().unwrap();
            assert_eq!(error.code(), Code::E038, "{policy:?}");
            let text = error.to_string();
            assert!(
                text.contains("`second` and `first` share requirements.lock"),
                "{text}"
            );
            assert!(error.hint().unwrap().contains("give `second`"), "{error}");
            assert_eq!(code_of(inputs_and_wheels(&session, &services)), Code::E038);
        }
        assert_eq!(events.told(), [""; 0]);
        // Images on the same parent can share a lock, and both get its wheels.
        let alone = "dockerfile = \"Dockerfile\"";
        project.edit(
            "sparkpack.toml",
            "parent = \"first\"\ndockerfile = \"second.Dockerfile\"",
            alone,
        );
        let wheel = lock_for(&project, "first");
        let session = project.session(&events);
        let services = Services::new(&session, LockPolicy::ReadOnly);
        let (_, wheels, _) = inputs_and_wheels(&session, &services).unwrap();
        let names = ["first", "second"].map(|name| (name.to_owned(), Platform::default()));
        assert_eq!(wheels, names.map(|name| (name, vec![wheel.clone()])).into());
    }

    #[test]
    fn requirements_without_a_chain_are_for_no_python() {
        let toml = SHARED.split("[chains.main]").next().unwrap();
        let image =
            "[images.first]\ndockerfile = \"Dockerfile\"\nrequirements = \"requirements.txt\"\n";
        let (project, events) = (project(&format!("{toml}{image}")), Recorder::default());
        for policy in [LockPolicy::ReadOnly, LockPolicy::Update] {
            let session = project.session(&events);
            let services = Services::new(&session, policy);
            let error = prepare(&session, &services).err().unwrap();
            assert_eq!(error.code(), Code::E023, "{policy:?}");
            let text = error.to_string();
            assert!(text.contains("no chain says for which Python"), "{text}");
        }
    }

    #[test]
    fn a_lock_that_answers_another_question_counts_as_none() {
        let toml = SHARED.split("[images.second]").next().unwrap();
        let (project, events) = (project(toml), Recorder::default());
        lock_for(&project, "first");
        let code = || {
            let session = project.session(&events);
            let services = Services::new(&session, LockPolicy::ReadOnly);
            inputs_and_wheels(&session, &services).map(drop)
        };
        code().unwrap();
        for (old, new) in [("six==1.16.0", "six==1.17.0"), ("3.11", "3.12")] {
            let file = if old.starts_with("six") {
                "requirements.txt"
            } else {
                "sparkpack.toml"
            };
            project.edit(file, old, new);
            assert_eq!(code_of(code()), Code::E033, "{new}");
            project.edit(file, new, old);
        }
        project.write("requirements.lock", "nonsense\n");
        assert_eq!(code_of(code()), Code::E049);
    }
}
