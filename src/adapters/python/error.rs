//! Errors of installers and package indexes.

use std::{collections::BTreeSet, io, path::PathBuf, time::Duration};

use super::Tool;
use crate::{
    code::Code,
    image::Digest,
    package::vendor::VendorError,
    project::{
        place::Place,
        requirements::{LockedWheel, Pin, Requirements, same_version},
        wheel::normalise,
    },
};

/// What to do where a file of an installer cannot be read or written.
const WHERE_FILES_GO: &str = "give yourself the right to that path, or make room there (`df -h`); TMPDIR says where temporary files go";

/// Why wheels could not be chosen or installed. No text in it holds a password.
#[derive(Debug, thiserror::Error)]
pub enum PythonError {
    /// Neither uv nor pip is installed.
    #[error("no installer for Python packages: {}", looked.join("; "))]
    NoInstaller {
        /// The installers that were tried, each with the result.
        looked: Vec<String>,
    },
    /// The installer failed for a reason that is none of the others.
    #[error("{tool} failed:\n{}", tail.join("\n"))]
    Failed {
        /// The installer.
        tool: Tool,
        /// The last lines of its output, at most ten.
        tail: Vec<String>,
    },
    /// The index does not have the package, or not this version.
    #[error("`{asked}` is not on the package index")]
    NotFound {
        /// The requirement.
        asked: String,
        /// The versions that exist, as far as the installer tells.
        versions: Vec<String>,
    },
    /// Each version of the package has been taken back from the index, and the requirement pins none.
    #[error("every version of `{asked}` on the package index has been taken back")]
    TakenBack {
        /// The requirement.
        asked: String,
        /// The versions, each with the reason if the installer tells it.
        versions: Vec<String>,
    },
    /// The package's version has no wheel at all.
    #[error("`{asked}` has no wheel, only its source")]
    OnlySource {
        /// The requirement.
        asked: String,
    },
    /// The package's version has wheels, but none for the image.
    #[error("`{asked}` has no wheel for {wanted}; there is {}", quoted(found))]
    OtherPlatforms {
        /// The requirement.
        asked: String,
        /// The tags that exist, as far as the installer tells.
        found: Vec<String>,
        /// The image's Python and platform.
        wanted: String,
    },
    /// The package requires another Python version.
    #[error("`{package}` needs Python {required}, but the image has {python}")]
    OtherPython {
        /// The package.
        package: String,
        /// Its condition on the Python version.
        required: String,
        /// The image's Python version.
        python: String,
    },
    /// The URL of an index names a variable that is not set, or is empty.
    #[error("{place}: the variable `{name}` is not set, which the URL of the index needs")]
    UnsetVariable {
        /// Where the URL is written.
        place: Place,
        /// The variable.
        name: String,
    },
    /// pip takes a package from any index that has it.
    #[error(
        "{place}: `{package}` may come from the index `{index}` only, and pip takes it from any that has it"
    )]
    OneIndex {
        /// Where the package is required.
        place: Place,
        /// The package.
        package: String,
        /// The name of its index.
        index: String,
    },
    /// No set of versions fulfils all requirements.
    #[error("the requirements contradict each other: {detail}")]
    Conflict {
        /// The contradiction, as the installer describes it.
        detail: String,
    },
    /// A requirement pins another version than the parent image has.
    #[error("{place}: `{asked}` is wanted, but the parent image has {provided}")]
    Provided {
        /// The place of the requirement.
        place: Place,
        /// The requirement.
        asked: String,
        /// The package in the parent image.
        provided: Pin,
    },
    /// A wheel has another digest than the locked or required one.
    #[error("`{wheel}` is not what was locked: {expected} is expected, the index gives {got}")]
    HashMismatch {
        /// The package and version, or the file's name.
        wheel: String,
        /// The expected digest.
        expected: String,
        /// The actual digest.
        got: String,
    },
    /// No wheel that the image could use has one of the hashes that its line in the requirements allows.
    #[error("{}{} not that of any wheel of {} {}", at(place.as_ref()), told(hashes), wheel.wheel.name, wheel.wheel.version)]
    ForeignHash {
        /// The line.
        place: Option<Place>,
        /// The hashes in it.
        hashes: Vec<Digest>,
        /// The best wheel.
        wheel: Box<LockedWheel>,
    },
    /// A source distribution that has none of the hashes that its line in the requirements allows.
    #[error("{}`{source_file}` on the index has another hash than is allowed: {sha256}", at(place.as_ref()))]
    ForeignSource {
        /// The line.
        place: Option<Place>,
        /// The file's name.
        source_file: String,
        /// Its digest.
        sha256: Digest,
    },
    /// pip would run the code of a source distribution to find out what it needs.
    #[error("pip cannot fetch the source of `{package}` without running it")]
    NeedsUv {
        /// The package.
        package: String,
    },
    /// A package that two indexes have.
    #[error("`{package}` is on more than one index: {}", indexes.join(" and "))]
    TwoIndexes {
        /// Its name.
        package: String,
        /// The indexes, without passwords.
        indexes: Vec<String>,
    },
    /// A wheel that is not of the index that the configuration names for its package.
    #[error("`{wheel}` is not a file of {index}, which `[python.indexes]` names for it")]
    OtherIndex {
        /// The file's name.
        wheel: String,
        /// The index, without a password.
        index: String,
    },
    /// The wheels were not chosen in time.
    #[error("{tool} has not chosen the wheels in {}{}", minutes(*limit), busy_with(busy))]
    TooLong {
        /// The installer.
        tool: Tool,
        /// The time that it had.
        limit: Duration,
        /// The last lines of what it did.
        busy: Vec<String>,
    },
    /// A file is no archive of a wheel, or one that must not be unpacked.
    #[error("{} {reason}", no_sound(wheel.as_deref()))]
    Unsound {
        /// The wheel's file name, or its pin; `None` if the installer does not tell.
        wheel: Option<String>,
        /// What is wrong with it.
        reason: String,
    },
    /// Neither the index nor a file gives the digest of a wheel.
    #[error("the package index tells no SHA-256 of `{wheel}`")]
    NoHash {
        /// The file's name.
        wheel: String,
    },
    /// A dependency without a line in the requirements, although every line has a hash.
    #[error("{}: `{pin}` is needed, but has no line, though every line has a hash", file.display())]
    Unlisted {
        /// The requirements file.
        file: PathBuf,
        /// The dependency.
        pin: Pin,
        /// The line to add.
        line: String,
    },
    /// The wheels are not cached, and downloads are not allowed.
    #[error("wheels are not in the cache, and `--offline` forbids to fetch them\n{reason}")]
    Offline {
        /// The installer's message.
        reason: String,
    },
    /// The index did not answer, or not as an index does.
    #[error("the package index cannot be reached: {reason}")]
    Unreachable {
        /// The installer's message.
        reason: String,
    },
    /// The index refuses the credentials.
    #[error("the package index denies access: {reason}")]
    Denied {
        /// The installer's message.
        reason: String,
    },
    /// The installer cannot choose wheels for this kind of image.
    #[error("{tool} cannot choose wheels for {target}")]
    Unsupported {
        /// The installer.
        tool: Tool,
        /// The image's Python and platform.
        target: String,
    },
    /// The installed files cannot be put into an image.
    #[error(transparent)]
    Vendor(#[from] VendorError),
    /// A file operation failed, or a program could not be started.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl PythonError {
    /// The error code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Offline { .. } => Code::E035,
            Self::NoInstaller { .. } => Code::E701,
            Self::Failed { .. } => Code::E702,
            Self::UnsetVariable { .. } => Code::E166,
            Self::OneIndex { .. } => Code::E171,
            Self::NotFound { .. } | Self::TakenBack { .. } => Code::E703,
            Self::OnlySource { .. } => Code::E704,
            Self::OtherPlatforms { .. } => Code::E705,
            Self::Conflict { .. } | Self::Provided { .. } => Code::E706,
            Self::HashMismatch { .. } => Code::E707,
            Self::ForeignHash { .. } | Self::ForeignSource { .. } => Code::E182,
            Self::TooLong { .. } => Code::E181,
            Self::TwoIndexes { .. } | Self::OtherIndex { .. } => Code::E184,
            Self::Unreachable { .. } => Code::E708,
            Self::Denied { .. } => Code::E709,
            Self::OtherPython { .. } => Code::E710,
            Self::NeedsUv { .. } | Self::Unsupported { .. } => Code::E711,
            Self::NoHash { .. } => Code::E712,
            Self::Unsound { .. } => Code::E727,
            Self::Io(_) => Code::E713,
            Self::Unlisted { .. } => Code::E714,
            Self::Vendor(error) => error.code(),
        }
    }

    /// Whether other versions may solve the problem.
    pub(super) fn is_about_versions(&self) -> bool {
        matches!(
            self,
            Self::Failed { .. }
                | Self::NotFound { .. }
                | Self::TakenBack { .. }
                | Self::OnlySource { .. }
                | Self::OtherPlatforms { .. }
                | Self::OtherPython { .. }
                | Self::Conflict { .. }
        )
    }

    /// Whether requirements contradict each other, or what the images below have.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict { .. } | Self::Provided { .. })
    }

    /// The normalised names of packages that the message may name, among other words.
    #[must_use]
    pub fn names(&self) -> BTreeSet<String> {
        let text = self.to_string();
        let of_name =
            |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
        let words = text.split(|character| !of_name(character));
        words
            .map(|word| normalise(word.trim_matches(['.', '-', '_'])))
            .collect()
    }

    /// Whether the wheels exist, but are not as expected.
    pub(super) fn is_of_the_wheels(&self) -> bool {
        matches!(
            self,
            Self::HashMismatch { .. } | Self::Unsound { .. } | Self::Vendor(_) | Self::Io(_)
        )
    }

    /// The package whose requirement cannot be met, if it is a single one.
    #[must_use]
    pub fn package(&self) -> Option<&str> {
        let is_name =
            |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
        self.asked()?.split(|character| !is_name(character)).next()
    }

    /// Whether it is the requirement of this package in this version that cannot be met.
    pub(super) fn is_of(&self, pin: &Pin) -> bool {
        let version = self.asked().and_then(|asked| asked.split_once("=="));
        self.package()
            .is_some_and(|name| normalise(name) == pin.name)
            && version.is_some_and(|(_, version)| same_version(version, &pin.version))
    }

    /// The requirement that cannot be met.
    fn asked(&self) -> Option<&str> {
        Some(match self {
            Self::NotFound { asked, .. }
            | Self::TakenBack { asked, .. }
            | Self::OnlySource { asked }
            | Self::OtherPlatforms { asked, .. } => asked,
            Self::OtherPython { package, .. } => package,
            Self::Unsound { wheel, .. } => wheel.as_deref()?,
            _ => return None,
        })
    }

    /// The normalised name of a package of which there is no wheel that could be chosen: only its source, or wheels for
    /// others.
    #[must_use]
    pub fn without_wheel(&self) -> Option<String> {
        match self {
            Self::OnlySource { .. } | Self::OtherPlatforms { .. } => self.package().map(normalise),
            _ => None,
        }
    }

    /// What to do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoInstaller { .. } => "install uv: `pip install uv`, or see its documentation".to_owned(),
            Self::Failed { tool, .. } => match tool {
                Tool::Uv => "update uv, or write `installer = \"pip\"` under [python]".to_owned(),
                Tool::Pip => "update pip, or install uv: `pip install uv`".to_owned(),
            },
            Self::NotFound { versions, .. } if !versions.is_empty() => {
                format!("there is {}", quoted(&newest(versions)))
            }
            Self::NotFound { .. } => {
                "correct the name; a private index is named by `[mirrors] python` or the variable PIP_INDEX_URL"
                    .to_owned()
            }
            Self::OnlySource { .. } => {
                format!(
                    "take a version that has a wheel; or, if you trust its code, have one built: `from-source = [\"{}\"]` \
                     for the image",
                    self.package().unwrap_or_default()
                )
            }
            Self::OtherPlatforms { .. } => {
                "take another version, or correct `python` of the chain, `platforms`, or `glibc` under [python]"
                    .to_owned()
            }
            Self::OtherPython { package, .. } => {
                format!("take an older `{package}`, or a newer `python` for the chain")
            }
            Self::Conflict { .. } => "loosen or remove one of these requirements".to_owned(),
            Self::Provided { provided, .. } => {
                format!("write `{provided}`, or leave the line out: the image has it")
            }
            Self::HashMismatch { .. } => {
                "find out who changed the file; if the change is wanted, run `sparkpack lock --upgrade` with the name of the package".to_owned()
            }
            Self::NeedsUv { .. }
            | Self::OneIndex { .. }
            | Self::ForeignSource { .. }
            | Self::ForeignHash { .. }
            | Self::TwoIndexes { .. }
            | Self::OtherIndex { .. }
            | Self::TakenBack { .. }
            | Self::Unsound { .. }
            | Self::TooLong { .. } => self.hint_of_choice(),
            Self::NoHash { .. } => "use an index that tells the hashes of its files".to_owned(),
            Self::UnsetVariable { name, .. } => format!("set it: `export {name}=…`"),
            Self::Unreachable { .. } => {
                "check the network, the proxy variables, and the index named by `[mirrors] python` or PIP_INDEX_URL"
                    .to_owned()
            }
            Self::Denied { .. } => {
                "put the index's user and password into ~/.netrc, or into the URL in the variable PIP_INDEX_URL"
                    .to_owned()
            }
            Self::Unsupported { .. } => "write `installer = \"pip\"` under [python]".to_owned(),
            Self::Unlisted { line, .. } => format!("add the line `{line}`"),
            Self::Offline { .. } => "run it once without `--offline`".to_owned(),
            Self::Vendor(error) => return error.hint(),
            Self::Io(_) => WHERE_FILES_GO.to_owned(),
        })
    }

    /// What to do about wheels that could not be chosen.
    fn hint_of_choice(&self) -> String {
        match self {
            Self::NeedsUv { .. } => "install uv: `pip install uv`".to_owned(),
            Self::OneIndex { .. } => {
                "install uv, which keeps packages to their indexes: `pip install uv`".to_owned()
            }
            Self::ForeignSource { sha256, .. } => format!(
                "write `--hash={sha256}` in the line, or find out who gave you the other hash"
            ),
            Self::ForeignHash { wheel, .. } => format!(
                "the index has {} as `{}`: write `{} --hash={}`, or find out who gave you the other hash",
                wheel.sha256, wheel.wheel.file_name, wheel.pin(), wheel.sha256
            ),
            Self::TwoIndexes { package, indexes } => format!(
                "whoever owns the name on one of them can replace the package of the other: name the one that it comes from, \
                 `{package} = \"{}\"` under [python.indexes]",
                indexes.first().map_or("…", String::as_str)
            ),
            Self::TakenBack { versions, .. } => format!(
                "there is {}: pin it if you must have it, or take another package",
                quoted(&newest(versions))
            ),
            Self::Unsound { .. } => {
                "run it again; if it stays so, take another version, and tell those who publish the wheel, or whoever runs the index or a proxy before it"
                    .to_owned()
            }
            Self::OtherIndex { .. } => {
                "pin a version that this index alone has, or correct the index".to_owned()
            }
            Self::TooLong { .. } => {
                "give the packages that it was busy with a lower bound (`name>=…`) or a version in the requirements, or raise `time-limit` under [python]"
                    .to_owned()
            }
            _ => String::new(),
        }
    }

    /// The same with the line of the requirements that a hash stands in.
    pub(super) fn of_line(mut self, name: &str, requirements: &Requirements) -> Self {
        if let Self::ForeignHash { place, .. } = &mut self {
            let mut wanted = requirements.wanted.iter();
            let line = wanted.find(|wanted| wanted.name == name && !wanted.hashes.is_empty());
            *place = line.map(|line| line.place.clone());
        }
        self
    }
}

fn at(place: Option<&Place>) -> String {
    place.map_or_else(String::new, |place| format!("{place}: "))
}

fn no_sound(wheel: Option<&str>) -> String {
    wheel.map_or_else(
        || "a wheel is not sound:".to_owned(),
        |wheel| format!("`{wheel}` is no sound wheel:"),
    )
}

fn told(hashes: &[Digest]) -> String {
    match hashes {
        [one] => format!("the hash {one} is"),
        several => format!("each of the {} hashes is", several.len()),
    }
}

fn minutes(limit: Duration) -> String {
    match limit.as_secs() {
        seconds @ ..60 => format!("{seconds} s"),
        60 => "1 minute".to_owned(),
        seconds => format!("{} minutes", seconds / 60),
    }
}

fn busy_with(lines: &[String]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    format!("; it was busy with:\n{}", lines.join("\n"))
}

fn newest(versions: &[String]) -> Vec<String> {
    let skipped = versions.len().saturating_sub(8);
    versions[skipped..].to_vec()
}

fn quoted(texts: &[String]) -> String {
    const SHOWN: usize = 12;
    let mut shown: Vec<String> = texts
        .iter()
        .take(SHOWN)
        .map(|text| format!("`{text}`"))
        .collect();
    match texts.len() {
        0 => return "none".to_owned(),
        more if more > SHOWN => shown.push(format!("{} more", more - SHOWN)),
        _ => {}
    }
    shown.join(", ")
}
