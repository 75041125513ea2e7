//! Python's installers: uv, or pip where uv is not there.
//!
//! Both are called for the image's Python and platform, never the host's, and both give the same wheels and the same
//! files. The wheels are chosen by [`Installer::lock`] and installed by [`Installer::install`] as they were chosen.

mod error;
mod index;
mod pip;
mod run;
mod stub;
mod uv;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
};

pub use error::PythonError;
use index::Index;
use run::Run;

use crate::{
    image::Digest,
    package::vendor::{LIBS, SITE_PACKAGES, leave_out, placement},
    project::{
        requirements::{LockedWheel, Pin, Requirement, Requirements, SPARKS_OWN, same_version},
        wheel::{Target, choose},
    },
};

/// A program that installs Python packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// `uv`.
    Uv,
    /// `python3 -m pip`.
    Pip,
}

impl fmt::Display for Tool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Uv => "uv",
            Self::Pip => "pip",
        })
    }
}

/// Where packages are fetched; never an input of a fingerprint.
#[derive(Clone, Debug, Default)]
pub struct Fetching {
    /// The index to ask instead of any other: `[mirrors] python`.
    pub mirror: Option<String>,
    /// A bundle of certificates to trust.
    pub certificates: Option<PathBuf>,
}

/// An installer that is there.
#[derive(Clone, Debug)]
pub struct Installer {
    tool: Tool,
    program: PathBuf,
    index: Index,
}

/// What was chosen for some requirements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The wheels to ship, sorted by name.
    pub wheels: Vec<LockedWheel>,
    /// What was asked for, but is in the parent image already.
    pub left_out: BTreeSet<Pin>,
}

impl Installer {
    /// The preferred installer, or uv, or pip, whichever is there first.
    ///
    /// # Errors
    /// None is there.
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

    /// An installer at a path: `uv` itself, or for pip a Python that has it.
    #[must_use]
    pub fn at(tool: Tool, program: impl Into<PathBuf>, fetching: &Fetching) -> Self {
        let (variables, folder) = run::surroundings();
        let certificates = fetching.certificates.as_deref();
        Self {
            tool,
            program: program.into(),
            index: Index::of(variables, folder, fetching.mirror.clone(), certificates),
        }
    }

    /// Which program it is.
    #[must_use]
    pub fn tool(&self) -> Tool {
        self.tool
    }

    /// Chooses the wheels for `requirements`; `provided` is what the parent image has, which is not shipped again.
    ///
    /// # Errors
    /// The index cannot be asked, or there are no wheels that fulfil all requirements.
    pub fn lock(
        &self,
        requirements: &Requirements,
        target: &Target,
        provided: &[Pin],
    ) -> Result<Resolved, PythonError> {
        let provided = self::provided(requirements, provided)?;
        let run = Run::new(self)?;
        let question = Question::of(requirements, &provided);
        if question.wanted.is_empty() {
            let left_out = question.left_out;
            return Ok(Resolved {
                wheels: Vec::new(),
                left_out,
            });
        }
        for pin in &provided {
            stub::write(&run.folder(), pin)?;
        }
        let candidates = match self.tool {
            Tool::Uv => uv::resolve(&run, &question, target)?,
            Tool::Pip => pip::resolve(&run, &question, target)?,
        };
        let shipped = |name: &String| {
            !SPARKS_OWN.contains(&name.as_str()) && !provided.iter().any(|pin| pin.name == *name)
        };
        let mut wheels = Vec::new();
        for (name, candidates) in candidates {
            if shipped(&name) {
                wheels.push(chosen(&name, &candidates, &requirements.wanted, target)?);
            } else {
                wheels.extend(candidates.into_iter().take(1));
            }
        }
        wheels.sort_by(|left, right| left.wheel.name.cmp(&right.wheel.name));
        let (wheels, mut left_out) = leave_out(wheels, &provided);
        left_out.extend(question.left_out);
        Ok(Resolved { wheels, left_out })
    }

    /// Installs `wheels` into the new or empty folder `into`: `libs` holds what can lie in a zip, `site-packages`
    /// what cannot. The bytes depend on the wheels alone. `index` is the one that the requirements name.
    ///
    /// # Errors
    /// A wheel cannot be fetched or is another one than was locked; two of them collide; the disk.
    pub fn install(
        &self,
        wheels: &[LockedWheel],
        target: &Target,
        index: Option<&str>,
        into: &Path,
    ) -> Result<(), PythonError> {
        fs_err::create_dir_all(into)?;
        let into = fs_err::canonicalize(into)?;
        for folder in [LIBS, SITE_PACKAGES] {
            fs_err::create_dir(into.join(folder))?;
        }
        if wheels.is_empty() {
            return Ok(());
        }
        let unpacked = tempfile::Builder::new()
            .prefix(".unpacked-")
            .tempdir_in(&into)?;
        let run = Run::new(self)?;
        let mut lines = self.index.lines(self.tool == Tool::Uv);
        lines.extend(
            wheels
                .iter()
                .map(|wheel| format!("{} --hash={}", wheel.pin(), wheel.sha256)),
        );
        run.write("requirements.txt", &lines)?;
        match self.tool {
            Tool::Uv => uv::install(&run, target, index, unpacked.path())?,
            Tool::Pip => pip::install(&run, target, index, unpacked.path())?,
        }
        let placement = placement(unpacked.path(), wheels)?;
        for (folder, paths) in [
            (LIBS, &placement.libs),
            (SITE_PACKAGES, &placement.site_packages),
        ] {
            for path in paths {
                place(&unpacked.path().join(path), &into.join(folder).join(path))?;
            }
        }
        Ok(())
    }
}

/// Puts a file into its folder with mode 0644 or 0755; it stays where it was, for the other folder may want it too.
fn place(from: &Path, to: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if let Some(folder) = to.parent() {
        fs_err::create_dir_all(folder)?;
    }
    // A link costs nothing; some disks have none.
    fs_err::hard_link(from, to).or_else(|_| fs_err::copy(from, to).map(drop))?;
    let executable = fs_err::metadata(to)?.permissions().mode() & 0o100 != 0;
    let mode = if executable { 0o755 } else { 0o644 };
    fs_err::set_permissions(to, std::fs::Permissions::from_mode(mode))
}

/// What an installer is asked.
struct Question {
    /// Lines that name packages.
    wanted: Vec<String>,
    /// Lines that limit versions.
    constraints: Vec<String>,
    /// The index that the requirements name.
    index: Option<String>,
    /// Wanted packages that no installer is asked for.
    left_out: BTreeSet<Pin>,
}

impl Question {
    fn of(requirements: &Requirements, provided: &[Pin]) -> Self {
        let unknown = |wanted: &Requirement| {
            SPARKS_OWN.contains(&wanted.name.as_str())
                && !provided.iter().any(|pin| pin.name == wanted.name)
        };
        let mut asked = requirements.clone();
        let left_out = asked.wanted.iter().filter(|wanted| unknown(wanted));
        let left_out = left_out
            .map(|wanted| Pin::new(&wanted.name, "unknown"))
            .collect();
        asked.wanted.retain(|wanted| !unknown(wanted));
        let mut constraints = asked.constraint_lines();
        constraints.extend(provided.iter().map(ToString::to_string));
        Self {
            wanted: asked.wanted_lines(),
            constraints,
            index: asked.index,
            left_out,
        }
    }
}

/// What the parent image has; where nobody says which `PySpark` that is, the one that the requirements pin.
fn provided(requirements: &Requirements, given: &[Pin]) -> Result<Vec<Pin>, PythonError> {
    let mut provided: BTreeMap<String, Pin> = given
        .iter()
        .map(|pin| (pin.name.clone(), pin.clone()))
        .collect();
    for wanted in &requirements.wanted {
        let Some(version) = wanted.pinned() else {
            continue;
        };
        match provided.get(&wanted.name) {
            Some(there) if wanted.marker.is_none() && !same_version(&there.version, version) => {
                return Err(PythonError::Provided {
                    place: wanted.place.clone(),
                    asked: wanted.to_string(),
                    provided: there.clone(),
                });
            }
            None if SPARKS_OWN.contains(&wanted.name.as_str()) => {
                provided.insert(wanted.name.clone(), Pin::new(&wanted.name, version));
            }
            _ => {}
        }
    }
    Ok(provided.into_values().collect())
}

/// The best of a package's wheels, which must have one of the digests that the requirements name.
fn chosen(
    name: &str,
    candidates: &[LockedWheel],
    wanted: &[Requirement],
    target: &Target,
) -> Result<LockedWheel, PythonError> {
    let lines = wanted.iter().filter(|wanted| wanted.name == name);
    let allowed: Vec<Digest> = lines.flat_map(|wanted| wanted.hashes.clone()).collect();
    let names = candidates.iter().map(|candidate| &candidate.wheel);
    let best = choose(names, target).map_err(|none| PythonError::OtherPlatforms {
        asked: candidates
            .first()
            .map_or_else(|| name.to_owned(), |first| first.pin().to_string()),
        found: none.found,
        wanted: none.wanted,
    })?;
    let best = candidates.iter().find(|candidate| candidate.wheel == *best);
    match best {
        Some(best) if allowed.is_empty() || allowed.contains(&best.sha256) => Ok(best.clone()),
        Some(best) => Err(PythonError::mismatch(
            &best.wheel.file_name,
            &allowed,
            &best.sha256,
        )),
        None => Err(PythonError::NotFound {
            asked: name.to_owned(),
            versions: Vec::new(),
        }),
    }
}

/// The last part of a URL or a path, decoded.
fn file_name(url: &str) -> String {
    let path = url.split(['#', '?']).next().unwrap_or_default();
    let last = path.rsplit('/').next().unwrap_or_default();
    let mut bytes = Vec::with_capacity(last.len());
    let mut rest = last.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let decoded = after.get(..2).and_then(|digits| hex::decode(digits).ok());
        match decoded.as_deref() {
            Some([byte]) if first == b'%' => {
                bytes.push(*byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The wheels that an installer names, by package.
type Candidates = BTreeMap<String, Vec<LockedWheel>>;

#[cfg(test)]
mod tests;
