//! Python installers: uv, or pip if uv is not installed.
//!
//! Both are run for the image's Python and platform, never for the host's, and both give the same wheels and the same
//! files. [`Installer::lock`] chooses wheels, and [`Installer::install`] installs exactly those.

mod above;
mod confusion;
mod encoded;
mod error;
mod index;
mod metadata;
mod origins;
mod pip;
mod resolved;
mod run;
mod stub;
mod tool;
mod unsound;
mod uv;

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use above::Above;
pub use error::PythonError;
use index::Index;
pub use metadata::{Metadata, metadata_of};
use origins::OpenWheel;
pub use resolved::{BuiltPackage, Preferences, Provided, Resolved, SourceOnIndex};
use run::ToolRun;
pub use tool::{Installer, Tool};

use crate::{
    image::Digest,
    package::{
        native::misfit,
        vendor::{Placement, Recorded, VendorError, leave_out, placement},
    },
    project::{
        requirements::{
            LockedWheel, PackageOrigins, Pin, Requirement, Requirements, SPARKS_OWN, file_name_of,
            same_version,
        },
        wheel::{Target, WheelName, choose},
    },
};

/// Where packages are downloaded from; never an input of a fingerprint.
#[derive(Clone, Debug)]
pub struct Fetching {
    /// The index that replaces any other: `[mirrors] python`.
    pub mirror: Option<String>,
    /// A bundle of certificates to trust.
    pub certificates: Option<PathBuf>,
    /// Whether to use only the installer's cache and folders on this machine, and no index.
    pub offline: bool,
    /// The indexes that single packages come from, where several have the name.
    pub indexes: BTreeMap<String, String>,
    /// The time that choosing the wheels of an image may take.
    pub limit: Duration,
}

impl Default for Fetching {
    fn default() -> Self {
        Self {
            mirror: None,
            certificates: None,
            offline: false,
            indexes: BTreeMap::new(),
            limit: Duration::from_mins(10),
        }
    }
}

impl Installer {
    /// The preferred installer; without a preference uv, or else pip.
    ///
    /// # Errors
    /// None is installed.
    pub fn find(preferred: Option<Tool>, fetching: &Fetching) -> Result<Self, PythonError> {
        let mut looked = Vec::new();
        for tool in preferred.map_or(vec![Tool::Uv, Tool::Pip], |tool| vec![tool]) {
            let found = match tool {
                Tool::Uv => run::on_path("uv").ok_or_else(|| "`uv` is not on the PATH".to_owned()),
                Tool::Pip => pip::python(),
            };
            match found {
                Ok(program) => return Ok(Self::at(tool, program, fetching)),
                Err(reason) => looked.push(reason),
            }
        }
        Err(PythonError::NoInstaller { looked })
    }

    /// The installer at a path: `uv` itself, or for pip a Python that has pip.
    #[must_use]
    pub fn at(tool: Tool, program: impl Into<PathBuf>, fetching: &Fetching) -> Self {
        let (variables, folder) = run::surroundings();
        let certificates = fetching.certificates.as_deref();
        Self {
            tool,
            program: program.into(),
            index: Index::of(variables, folder, fetching.mirror.clone(), certificates),
            offline: fetching.offline,
            indexes: fetching.indexes.clone(),
            limit: fetching.limit,
        }
    }

    /// The kind of installer.
    #[must_use]
    pub fn tool(&self) -> Tool {
        self.tool
    }

    /// The same for packages that come from these places.
    fn from(&self, origins: &PackageOrigins) -> Result<Self, PythonError> {
        let index = self.index.with(origins);
        let index = index.map_err(|unset| PythonError::UnsetVariable {
            place: unset.place,
            name: unset.name,
        })?;
        Ok(Self {
            index,
            ..self.clone()
        })
    }

    /// Chooses the newest wheels for `requirements`. Packages in `provided` are in the parent image and are not shipped
    /// again.
    ///
    /// # Errors
    /// The index does not answer, or no set of wheels meets all requirements.
    pub fn lock(
        &self,
        requirements: &Requirements,
        target: &Target,
        provided: &[Pin],
    ) -> Result<Resolved, PythonError> {
        let provided = Provided {
            binding: provided.to_vec(),
            ..Provided::default()
        };
        self.lock_keeping(requirements, target, &provided, &Preferences::default())
    }

    /// The same, but versions chosen before are kept unless the requirements or an upgrade exclude them.
    ///
    /// # Errors
    /// Those of [`Self::lock`].
    pub fn lock_keeping(
        &self,
        requirements: &Requirements,
        target: &Target,
        provided: &Provided,
        preferences: &Preferences,
    ) -> Result<Resolved, PythonError> {
        let above = Above {
            installer: self,
            requirements,
            target,
            provided: RefCell::new(self::provided(requirements, provided)?),
            end: Instant::now() + self.limit,
        };
        let chosen = above.choose(preferences)?;
        let chosen = above.keep_along(chosen);
        let chosen = above.agreeing(chosen, preferences)?;
        let chosen = chosen.without(&provided.along);
        confusion::refuse(
            &self.from(&requirements.origins)?,
            &chosen.wheels,
            target,
            requirements,
        )?;
        Ok(chosen)
    }

    /// The source distribution that the requirements lead to of a package without wheels. Nothing of it is run.
    ///
    /// # Errors
    /// The index does not answer, or no set of versions meets all requirements.
    pub fn source_on_index(
        &self,
        name: &str,
        (requirements, pins): (&Requirements, &[Pin]),
        target: &Target,
        provided: &Provided,
    ) -> Result<SourceOnIndex, PythonError> {
        let provided = self::provided(requirements, provided)?;
        let installer = self.from(&requirements.origins)?;
        self.refuse_pip(name)?;
        let run = ToolRun::until(&installer, Instant::now() + self.limit)?;
        let question = Question::of(requirements, &provided, pins, &installer.index);
        Self::write_stubs(&run, &provided)?;
        let source = uv::source(&run, &question, name, target)?;
        let allowed = allowed(name, requirements);
        if !allowed.is_empty() && !allowed.contains(&source.sha256) {
            return Err(PythonError::ForeignSource {
                place: requirements.place_of(name).cloned(),
                source_file: source.file_name,
                sha256: source.sha256,
            });
        }
        confusion::refuse_source(&installer, name, &source, target, requirements)?;
        Ok(source)
    }

    /// The source distribution of this digest.
    ///
    /// # Errors
    /// The index does not answer, or no longer has it.
    pub fn same_source_on_index(
        &self,
        pin: &Pin,
        sha256: &Digest,
        target: &Target,
        origins: Option<&PackageOrigins>,
    ) -> Result<SourceOnIndex, PythonError> {
        let installer = match origins {
            Some(origins) => self.from(origins)?,
            None => self.clone(),
        };
        self.refuse_pip(&pin.name)?;
        let run = ToolRun::until(&installer, Instant::now() + self.limit)?;
        let line = hashed_line(pin, std::slice::from_ref(sha256));
        uv::source(&run, &Question::about(line), &pin.name, target)
    }

    fn refuse_pip(&self, package: &str) -> Result<(), PythonError> {
        match self.tool {
            Tool::Uv => Ok(()),
            Tool::Pip => Err(PythonError::NeedsUv {
                package: package.to_owned(),
            }),
        }
    }

    /// Writes the stub wheels of what is not asked of an index.
    fn write_stubs(run: &ToolRun<'_>, provided: &Provided) -> Result<(), PythonError> {
        for pin in &provided.binding {
            if !provided.on_index.contains(&pin.name) {
                let is_spark = pin.name == SPARKS_OWN[0];
                let needs: &[String] = if is_spark {
                    &provided.spark_extras
                } else {
                    &[]
                };
                stub::write(&run.folder(), pin, needs)?;
            }
        }
        for built in &provided.built {
            stub::write(&run.folder(), &built.locked.pin(), &built.needs)?;
        }
        Ok(())
    }

    /// Resolves the requirements and what is wanted `besides`; `pins` are versions that must not change.
    fn resolve(
        &self,
        requirements: &Requirements,
        target: &Target,
        provided: &Provided,
        (pins, besides): (&[Pin], &[Pin]),
        end: Instant,
    ) -> Result<Resolved, PythonError> {
        let installer = self.from(&requirements.origins)?;
        let run = ToolRun::until(&installer, end)?;
        let mut question = Question::of(requirements, provided, pins, &installer.index);
        refuse_other_platforms(requirements, target)?;
        if self.tool == Tool::Pip && !installer.index.origins.others.is_empty() {
            refuse_one_index(&question)?;
        }
        if question.wanted.is_empty() {
            let left_out = question.left_out;
            return Ok(Resolved {
                wheels: Vec::new(),
                left_out,
                yanked: BTreeMap::new(),
            });
        }
        question
            .wanted
            .extend(besides.iter().map(ToString::to_string));
        Self::write_stubs(&run, provided)?;
        let candidates = match self.tool {
            Tool::Uv => uv::resolve(&run, &question, target)?,
            Tool::Pip => pip::resolve(&run, &question, target)?,
        };
        let mut wheels = Vec::new();
        for (name, candidates) in candidates {
            if let Some(built) = provided.built(&name) {
                wheels.push(built.clone());
            } else if provided.is_shipped(&name) {
                let allowed = allowed(&name, requirements);
                let candidates = self.among(&run, candidates, &allowed, target)?;
                let wheel = chosen(&name, &candidates, &allowed, target)
                    .map_err(|error| error.of_line(&name, requirements))?;
                refuse_unlisted(&wheel, requirements)?;
                wheels.push(wheel);
            } else {
                wheels.extend(candidates.into_iter().take(1));
            }
        }
        wheels.sort_by(|left, right| left.wheel.name.cmp(&right.wheel.name));
        let (wheels, mut left_out) = leave_out(wheels, &provided.binding);
        left_out.extend(question.left_out);
        let mut yanked = unsound::yanked(&run.said());
        yanked.retain(|pin, _| wheels.iter().any(|wheel| wheel.pin() == *pin));
        Ok(Resolved {
            wheels,
            left_out,
            yanked,
        })
    }

    /// The candidates of one package. uv returns all of them; pip returns its best one, and is asked again if that
    /// one's digest is not allowed.
    fn among(
        &self,
        run: &ToolRun<'_>,
        candidates: Vec<LockedWheel>,
        allowed: &[Digest],
        target: &Target,
    ) -> Result<Vec<LockedWheel>, PythonError> {
        let is_allowed = |wheel: &LockedWheel| allowed.contains(&wheel.sha256);
        match candidates.first() {
            Some(first) if self.tool == Tool::Pip && !allowed.is_empty() => {
                let is_direct = |wheel: &OpenWheel| wheel.file_name == first.wheel.file_name;
                let mut direct = run.index().origins.direct.iter();
                if candidates.iter().any(is_allowed) || direct.any(is_direct) {
                    return Ok(candidates);
                }
                let line = hashed_line(&first.pin(), allowed);
                match pip::choose_hashed(run, line, target) {
                    Ok(found) => Ok(found.into_values().flatten().collect()),
                    // No file has one of these digests: the error is told of the best one.
                    Err(PythonError::HashMismatch { .. }) => Ok(candidates),
                    Err(error) => Err(error),
                }
            }
            _ => Ok(candidates),
        }
    }

    /// Installs each of `wheels` into a folder of its own in the new or empty folder `into`, called by its file name. The
    /// bytes depend on the wheel alone. `origins` are the places that the requirements name.
    ///
    /// Returns what the `RECORD` of each wheel says. uv does not compare what it takes out of its cache: if a file is other
    /// than recorded, install the wheel again by [`Self::install_anew`].
    ///
    /// # Errors
    /// A wheel cannot be downloaded or differs from the locked one; a file belongs to no wheel; the disk.
    pub fn install(
        &self,
        wheels: &[LockedWheel],
        target: &Target,
        origins: Option<&PackageOrigins>,
        into: &Path,
    ) -> Result<Vec<Recorded>, PythonError> {
        fs_err::create_dir_all(into)?;
        if wheels.is_empty() {
            return Ok(Vec::new());
        }
        let from = Fetched {
            origins,
            anew: false,
        };
        let placement = match self.install_together(wheels, target, from, into) {
            Err(PythonError::Unsound { .. }) => self.install_each(wheels, target, origins, into)?,
            placement => placement?,
        };
        for overwritten in placement.overwritten {
            let alone = std::slice::from_ref(&wheels[overwritten]);
            self.install_together(alone, target, from, into)?;
        }
        Ok(placement.recorded)
    }

    /// Tries once more without the installer's cache after one of the wheels was found to be broken: it may have been damaged
    /// on the way. The error of a wheel that stays so has its name.
    fn install_each(
        &self,
        wheels: &[LockedWheel],
        target: &Target,
        origins: Option<&PackageOrigins>,
        into: &Path,
    ) -> Result<Placement, PythonError> {
        let from = Fetched {
            origins,
            anew: true,
        };
        for wheel in wheels {
            let alone = tempfile::Builder::new()
                .prefix(".alone-")
                .tempdir_in(into)?;
            let wheels = std::slice::from_ref(wheel);
            match self.install_together(wheels, target, from, alone.path()) {
                Err(PythonError::Unsound { reason, .. }) => {
                    if self.tool == Tool::Uv {
                        uv::forget(&ToolRun::new(self)?, &wheel.wheel.name)?;
                    }
                    let wheel = Some(wheel.wheel.file_name.clone());
                    return Err(PythonError::Unsound { wheel, reason });
                }
                tried => drop(tried?),
            }
        }
        let from = Fetched {
            origins,
            anew: false,
        };
        self.install_together(wheels, target, from, into)
    }

    /// Installs a wheel as [`Self::install`] does, but takes nothing out of the installer's cache.
    ///
    /// # Errors
    /// Those of [`Self::install`].
    pub fn install_anew(
        &self,
        wheel: &LockedWheel,
        target: &Target,
        origins: Option<&PackageOrigins>,
        into: &Path,
    ) -> Result<(), PythonError> {
        let from = Fetched {
            origins,
            anew: true,
        };
        self.install_together(std::slice::from_ref(wheel), target, from, into)?;
        Ok(())
    }

    /// Installs wheels by one run of the installer. Those of which a file was overwritten get no folder.
    fn install_together(
        &self,
        wheels: &[LockedWheel],
        target: &Target,
        from: Fetched<'_>,
        into: &Path,
    ) -> Result<Placement, PythonError> {
        let into = &fs_err::canonicalize(into)?;
        let unpacked = tempfile::Builder::new()
            .prefix(".unpacked-")
            .tempdir_in(into)?;
        let installer = match from.origins {
            Some(origins) => self.from(origins)?,
            None => self.clone(),
        };
        let run = ToolRun::new(&installer)?;
        let mut lines = self.index.lines(self.tool == Tool::Uv, self.offline);
        lines.extend(
            wheels
                .iter()
                .map(|wheel| installed_line(wheel, &installer.index)),
        );
        run.write("requirements.txt", &lines)?;
        let installed = match self.tool {
            Tool::Uv => uv::install(&run, target, from.anew, unpacked.path()),
            Tool::Pip => pip::install(&run, target, unpacked.path()),
        };
        installed.map_err(|error| match error {
            error if self.offline && !error.is_of_the_wheels() => PythonError::Offline {
                reason: error.to_string(),
            },
            error => error,
        })?;
        let placement = placement(unpacked.path(), wheels)?;
        refuse_misfits(unpacked.path(), wheels, &placement, target)?;
        let is_whole = |index: &usize| !placement.overwritten.contains(index);
        let folders: Vec<PathBuf> = wheels
            .iter()
            .map(|wheel| into.join(&wheel.wheel.file_name))
            .collect();
        for (_, folder) in folders
            .iter()
            .enumerate()
            .filter(|(index, _)| is_whole(index))
        {
            fs_err::create_dir(folder)?;
        }
        let mut made = PathBuf::new();
        for (path, owner) in &placement.folders {
            place(unpacked.path(), &[&folders[*owner]], path, &mut made)?;
        }
        for (path, owners) in placement.single_files() {
            let owners: Vec<&PathBuf> = owners
                .iter()
                .filter(|index| is_whole(index))
                .map(|index| &folders[*index])
                .collect();
            place(unpacked.path(), &owners, path, &mut made)?;
        }
        Ok(placement)
    }
}

/// Refuses wheels with native files that the image cannot load.
fn refuse_misfits(
    unpacked: &Path,
    wheels: &[LockedWheel],
    placement: &Placement,
    target: &Target,
) -> Result<(), PythonError> {
    let mut by_wheel: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    for (path, owners) in &placement.owners {
        // What was overwritten by another wheel is looked at when that one is installed alone.
        let whole = owners
            .iter()
            .filter(|owner| !placement.overwritten.contains(owner));
        for owner in whole {
            by_wheel.entry(*owner).or_default().push(path);
        }
    }
    // What was built in an image of the chain was linked with the glibc of that.
    let of_chain = Target {
        glibc: (target.glibc.0, u8::MAX),
        ..target.clone()
    };
    for (index, paths) in by_wheel {
        let LockedWheel {
            wheel, built_from, ..
        } = &wheels[index];
        let target = built_from.as_ref().map_or(target, |_| &of_chain);
        if let Some(misfit) = misfit(unpacked, &paths, wheel.is_for_any_platform(), target)? {
            return Err(VendorError::Misfit {
                wheel: wheel.file_name.clone(),
                path: misfit.path,
                found: misfit.found,
                wanted: misfit.wanted,
            }
            .into());
        }
    }
    Ok(())
}

/// Where wheels are taken from.
#[derive(Clone, Copy)]
struct Fetched<'a> {
    /// The index in the requirements.
    origins: Option<&'a PackageOrigins>,
    /// Whether the installer's cache is left aside.
    anew: bool,
}

/// Moves a file of an installation into the folders of the wheels that have it, or a folder into that of its only one. Its
/// mode stays, since the file may be one of the installer's cache too. `made` is the folder that was made last.
fn place(
    unpacked: &Path,
    folders: &[&PathBuf],
    path: &str,
    made: &mut PathBuf,
) -> std::io::Result<()> {
    let from = unpacked.join(path);
    for (number, folder) in folders.iter().enumerate() {
        let to = folder.join(path);
        let parent = to.parent().unwrap_or(folder);
        if parent != made {
            fs_err::create_dir_all(parent)?;
            parent.clone_into(made);
        }
        if number + 1 == folders.len() {
            fs_err::rename(&from, &to)?;
        } else {
            fs_err::copy(&from, &to)?;
        }
    }
    Ok(())
}

/// The question to an installer.
struct Question {
    /// Requirements, as lines.
    wanted: Vec<String>,
    /// Constraints, as lines.
    constraints: Vec<String>,
    /// The requirements that may come from one index only.
    of_index: Vec<Requirement>,
    /// Required packages that the installer is not asked for.
    left_out: BTreeSet<Pin>,
    /// Whether nothing is required but what is wanted.
    is_complete: bool,
    /// Whether that is so, and of all of it the files are known that may be chosen.
    has_all_hashes: bool,
}

impl Question {
    /// The question for these requirements; `pins` are versions that must not change.
    fn of(requirements: &Requirements, provided: &Provided, pins: &[Pin], index: &Index) -> Self {
        let binding = &provided.binding;
        let unknown = |wanted: &Requirement| {
            SPARKS_OWN.contains(&wanted.name.as_str())
                && !binding.iter().any(|pin| pin.name == wanted.name)
        };
        let mut asked = requirements.clone();
        let left_out = asked.wanted.iter().filter(|wanted| unknown(wanted));
        let left_out = left_out
            .map(|wanted| Pin::new(&wanted.name, "unknown"))
            .collect();
        asked.wanted.retain(|wanted| !unknown(wanted));
        let mut constraints = asked.constraint_lines();
        let built = provided.built.iter().map(|built| built.locked.pin());
        let is_free = |pin: &&Pin| provided.built(&pin.name).is_none();
        let pins = binding.iter().chain(pins.iter().filter(is_free)).cloned();
        constraints.extend(pins.chain(built).map(|pin| pin.to_string()));
        let of_index = asked.wanted.iter().filter(|wanted| wanted.index.is_some());
        Self {
            of_index: of_index.cloned().collect(),
            wanted: wanted_lines(&asked, index),
            constraints,
            left_out,
            is_complete: asked.is_complete,
            has_all_hashes: asked.is_complete
                && asked.wanted.iter().all(|wanted| !wanted.hashes.is_empty()),
        }
    }
}

/// The lines for an installer: those of wheels that are named by their places have the places.
fn wanted_lines(requirements: &Requirements, index: &Index) -> Vec<String> {
    let line = |wanted: &Requirement| {
        let mut hashes = wanted.hashes.iter();
        // What is built from a source is known by its name.
        let of_wheel = wanted.direct.as_ref().filter(|place| !place.is_source());
        let url = of_wheel.and_then(|place| {
            hashes.find_map(|sha256| index.origins.url_of(&place.file_name(), sha256))
        });
        let Some(url) = url else {
            return wanted.to_string();
        };
        let extras = match wanted.extras.as_slice() {
            [] => String::new(),
            some => format!("[{}]", some.join(",")),
        };
        let marker = wanted.marker.as_ref();
        let marker = marker.map_or_else(String::new, |marker| format!(" ; {marker}"));
        format!("{}{extras} @ {url}{marker}", wanted.name)
    };
    let lines: BTreeSet<String> = requirements.wanted.iter().map(line).collect();
    lines.into_iter().collect()
}

/// Refuses wheels that are named by their places and that the image cannot use.
fn refuse_other_platforms(requirements: &Requirements, target: &Target) -> Result<(), PythonError> {
    let direct = requirements
        .wanted
        .iter()
        .filter(|wanted| wanted.marker.is_none());
    for place in direct.filter_map(|wanted| wanted.direct.as_ref()) {
        let file_name = place.file_name();
        if let Ok(wheel) = file_name.parse::<WheelName>() {
            choose([&wheel], target).map_err(|none| PythonError::OtherPlatforms {
                asked: format!("{}=={}", wheel.name, wheel.version),
                found: none.found,
                wanted: none.wanted,
            })?;
        }
    }
    Ok(())
}

impl Question {
    /// Which wheels there are of this package.
    fn about(wanted: String) -> Self {
        Self {
            wanted: vec![wanted],
            constraints: Vec::new(),
            of_index: Vec::new(),
            left_out: BTreeSet::new(),
            is_complete: true,
            has_all_hashes: false,
        }
    }
}

/// Refuses packages that may come from one index only, unless it is known which files may be chosen.
fn refuse_one_index(question: &Question) -> Result<(), PythonError> {
    let unknown = question
        .of_index
        .first()
        .filter(|_| !question.has_all_hashes);
    unknown.map_or(Ok(()), |wanted| {
        Err(PythonError::OneIndex {
            place: wanted.place.clone(),
            package: wanted.name.clone(),
            index: wanted.index.clone().unwrap_or_default(),
        })
    })
}

/// The packages of the parent image. If its version of `PySpark` or `Py4J` is not known, the one that the requirements
/// pin is assumed.
fn provided(requirements: &Requirements, given: &Provided) -> Result<Provided, PythonError> {
    let mut all = given.clone();
    let mut binding: BTreeMap<String, Pin> = given
        .binding
        .iter()
        .map(|pin| (pin.name.clone(), pin.clone()))
        .collect();
    for wanted in &requirements.wanted {
        let is_sparks = SPARKS_OWN.contains(&wanted.name.as_str());
        let is_bound = binding.contains_key(&wanted.name);
        // Only an index tells what the extras bring.
        if is_bound && !is_sparks && !wanted.extras.is_empty() {
            all.on_index.insert(wanted.name.clone());
        }
        let Some(version) = wanted.pinned() else {
            continue;
        };
        match binding.get(&wanted.name) {
            Some(there) if wanted.marker.is_none() && !same_version(&there.version, version) => {
                return Err(PythonError::Provided {
                    place: wanted.place.clone(),
                    asked: wanted.to_string(),
                    provided: there.clone(),
                });
            }
            None if is_sparks => {
                binding.insert(wanted.name.clone(), Pin::new(&wanted.name, version));
            }
            _ => {}
        }
    }
    all.binding = binding.into_values().collect();
    Ok(all)
}

/// `name==version` with its hashes, as a line of a requirements file.
fn hashed_line(pin: &Pin, hashes: &[Digest]) -> String {
    let hashes = hashes.iter().map(|digest| format!(" --hash={digest}"));
    pin.to_string() + &hashes.collect::<String>()
}

/// The line that installs a wheel: from its place if it is named by it, or else from an index.
fn installed_line(wheel: &LockedWheel, index: &Index) -> String {
    let from = index.origins.url_of(&wheel.wheel.file_name, &wheel.sha256);
    match from {
        Some(url) => format!("{} @ {url} --hash={}", wheel.wheel.name, wheel.sha256),
        None => hashed_line(&wheel.pin(), std::slice::from_ref(&wheel.sha256)),
    }
}

/// The digests that a package's wheel may have; an empty list allows any.
fn allowed(name: &str, requirements: &Requirements) -> Vec<Digest> {
    let lines = requirements
        .wanted
        .iter()
        .filter(|wanted| wanted.name == name);
    lines.flat_map(|wanted| wanted.hashes.clone()).collect()
}

/// Refuses a package without a line if every line has hashes: there is no hash to compare its wheel with.
fn refuse_unlisted(wheel: &LockedWheel, requirements: &Requirements) -> Result<(), PythonError> {
    let wanted = &requirements.wanted;
    let is_listed = wanted.iter().any(|wanted| wanted.name == wheel.wheel.name);
    let others = wanted
        .iter()
        .filter(|wanted| !SPARKS_OWN.contains(&wanted.name.as_str()));
    let is_hashed = |wanted: &&Requirement| !wanted.hashes.is_empty() && wanted.direct.is_none();
    let (with, without): (Vec<_>, Vec<_>) = others.partition(is_hashed);
    if is_listed || with.is_empty() || !without.is_empty() {
        return Ok(());
    }
    Err(PythonError::Unlisted {
        file: requirements.file.clone(),
        pin: wheel.pin(),
        line: hashed_line(&wheel.pin(), std::slice::from_ref(&wheel.sha256)),
    })
}

/// The best of a package's wheels among those with an allowed digest.
fn chosen(
    name: &str,
    candidates: &[LockedWheel],
    allowed: &[Digest],
    target: &Target,
) -> Result<LockedWheel, PythonError> {
    let may_be =
        |candidate: &&LockedWheel| allowed.is_empty() || allowed.contains(&candidate.sha256);
    let best_of = |candidates: &[&LockedWheel]| {
        let names = candidates.iter().map(|candidate| &candidate.wheel);
        let best = choose(names, target).map_err(|none| PythonError::OtherPlatforms {
            asked: candidates
                .first()
                .map_or_else(|| name.to_owned(), |first| first.pin().to_string()),
            found: none.found,
            wanted: none.wanted,
        })?;
        let mut candidates = candidates.iter();
        let best = candidates.find(|candidate| candidate.wheel == *best);
        best.map(|best| (*best).clone())
            .ok_or_else(|| PythonError::NotFound {
                asked: name.to_owned(),
                versions: Vec::new(),
            })
    };
    let may: Vec<&LockedWheel> = candidates.iter().filter(may_be).collect();
    if may.is_empty() && !candidates.is_empty() {
        let best = best_of(&candidates.iter().collect::<Vec<_>>())?;
        return Err(PythonError::ForeignHash {
            place: None,
            hashes: allowed.to_vec(),
            wheel: Box::new(best),
        });
    }
    best_of(&may)
}

/// The wheels in an installer's answer, by package.
type Candidates = BTreeMap<String, Vec<LockedWheel>>;

#[cfg(test)]
mod tests;
