//! One error type over the layers' errors: what happened, why, what to type, and the exit code.

mod ejection;
mod image_problem;
mod import_test;
mod run;
mod scaffold;
mod usage;
mod wheel_build;

use std::{fmt, path::Path, sync::Arc};

use crate::{
    adapters::{
        buildkit::BuildKitError, credentials::CredentialsError, destination::DestinationError,
        docker::DockerError, file_lock::FileLockError, journal::ReplaceError, layout::LayoutError,
        python::PythonError, registry::RegistryError, sources::SourceError, store,
    },
    code::Code,
    image::{Digest, ImageMismatch, Platform, Reference},
    package::{archive::ArchiveError, vendor::VendorError},
    plan::decision::Conflict,
    project::{
        ignore::TreeError,
        inputs::InputError,
        place::{Defect, Place},
    },
};

pub use ejection::EjectError;
pub use image_problem::ImageProblem;
pub use import_test::{ImportFailure, ImportPlace, ImportReason, ImportTestError};
pub use run::RunError;
pub use scaffold::ScaffoldError;
pub use usage::{Comparing, OnlineWork, RecordLack, UsageError};
pub(crate) use usage::{SHOWN_PATHS, shown_paths};
pub use wheel_build::WheelBuildError;

/// Everything that can stop sparkpack.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A mistake in a file that a person wrote.
    #[error(transparent)]
    Defect(#[from] Defect),
    /// The locks lack an entry, which `sparkpack lock` adds.
    #[error(transparent)]
    Unlocked(Defect),
    /// A request that cannot be met: a name that does not exist, something that an option forbids, a git that does not
    /// answer.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// Something is wrong with a file tree.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A file could not be read or written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Files that have to change together were not replaced.
    #[error(transparent)]
    Replace(#[from] ReplaceError),
    /// Another run has what this one needs for itself.
    #[error(transparent)]
    FileLock(#[from] FileLockError),
    /// An archive could not be written.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Installed packages cannot be put into an image.
    #[error(transparent)]
    Vendor(#[from] VendorError),
    /// The Docker daemon failed or cannot be used.
    #[error(transparent)]
    Docker(#[from] DockerError),
    /// A `BuildKit` at an address failed or cannot be used.
    #[error(transparent)]
    BuildKit(#[from] BuildKitError),
    /// A registry failed or refused.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// An OCI image layout cannot be read or written.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// Credentials cannot be read.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// An installer of Python packages failed.
    #[error(transparent)]
    Python(#[from] PythonError),
    /// A source cannot be fetched or unpacked.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A build that failed, with the place in the Dockerfile.
    #[error("{}building `{stage}` failed{}", beginning(*built_in, place), at(instruction))]
    Build {
        /// The image.
        stage: String,
        /// The instruction's place.
        place: Place,
        /// The instruction.
        instruction: String,
        /// The last lines of its output.
        output: Vec<String>,
        /// The builder's message.
        message: String,
        /// Whether the Dockerfile is built in, so that the user cannot fix it.
        built_in: bool,
        /// What to do if the cause is not in the Dockerfile.
        hint: Option<String>,
    },
    /// Only a builder can make the images, and no daemon answers.
    #[error("{} to be built: {why}", dockerfiles(titles))]
    NoBuilder {
        /// The images, which have Dockerfiles, as messages call them: one for each platform.
        titles: Vec<String>,
        /// Their names, each once.
        names: Vec<String>,
        /// Why the daemon does not answer.
        why: Arc<DockerError>,
        /// Why the registry, which may have them, could not be asked; `None` if it does not have them.
        registry: Option<Box<Error>>,
    },
    /// An image is not the one that was asked for.
    #[error(transparent)]
    Mismatch(#[from] ImageMismatch),
    /// A registry's tag belongs to another image.
    #[error("`{reference}` is in the registry with {found}")]
    Conflict {
        /// The tag.
        reference: Reference,
        /// What is known of that image's inputs.
        found: Conflict,
    },
    /// An image is not what it should be.
    #[error("`{reference}`: {problem}")]
    UnexpectedImage {
        /// The image.
        reference: String,
        /// What is wrong.
        problem: ImageProblem,
    },
    /// Imports fail in an image, or could not be tried.
    #[error(transparent)]
    ImportTest(#[from] ImportTestError),
    /// What is to be run cannot be run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// No new project is made.
    #[error(transparent)]
    Scaffold(#[from] ScaffoldError),
    /// A wheel that has to be built from its source is not there.
    #[error(transparent)]
    WheelBuild(#[from] WheelBuildError),
    /// A recipe cannot be written out.
    #[error(transparent)]
    Eject(#[from] EjectError),
    /// Manifests do not name the images of this checkout.
    #[error("{} in the manifests {} not current", counted(*places, "place"), if *places == 1 { "is" } else { "are" })]
    Drift {
        /// The number of places.
        places: usize,
        /// The number of places that `pin` fixes.
        fixable: usize,
    },
    /// A hook changed files, which its caller has to know.
    #[error("manifests were changed")]
    Changed,
    /// A diagnosis found what has to be mended.
    #[error("{} found something that has to be mended", of_checks(*bad, *checks))]
    Unhealthy {
        /// The number of checks that found something.
        bad: usize,
        /// The number of all checks.
        checks: usize,
        /// The code of what was found, the most important.
        code: Code,
    },
    /// The project is not what its configuration was written for.
    #[error("the project has changed since sparkpack.toml was written")]
    Outdated,
    /// An image in a registry is not the one that its checkout makes.
    #[error("`{reference}` is not what its checkout makes, which is {made}: {difference}")]
    NotReproduced {
        /// The image, by its digest.
        reference: String,
        /// The digest of the image that was made.
        made: Digest,
        /// The first difference.
        difference: String,
    },
    /// Several independent errors.
    #[error("{} errors", .0.len())]
    Several(Vec<Error>),
}

const NOT_REPRODUCED: &str = "if another version of sparkpack made it, verify it by that one; otherwise it was changed, or its inputs were: see that the checkout is the commit's";

impl From<InputError> for Error {
    fn from(error: InputError) -> Self {
        match error {
            InputError::Defect(defect) => Self::Defect(defect),
            InputError::Defects(defects) => Self::of_all(defects),
            InputError::Tree(error) => Self::Tree(error),
            InputError::UnknownRecipe(error) => Self::Defect(error.defect()),
        }
    }
}

impl From<DestinationError> for Error {
    fn from(error: DestinationError) -> Self {
        match error {
            DestinationError::Docker(error) => Self::Docker(error),
            DestinationError::Registry(error) => Self::Registry(error),
            DestinationError::Layout(error) => Self::Layout(error),
            DestinationError::BuildKit(error) => Self::BuildKit(error),
        }
    }
}

impl Error {
    /// [`Self::NoBuilder`] about images by what messages call them and by their names.
    #[must_use]
    pub fn no_builder<'i>(
        images: impl IntoIterator<Item = (&'i str, &'i str)>,
        why: Arc<DockerError>,
        registry: Option<Box<Self>>,
    ) -> Self {
        let (mut titles, mut names) = (Vec::new(), Vec::new());
        for (title, name) in images {
            titles.push(title.to_owned());
            // An image with several platforms is named once.
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
        Self::NoBuilder {
            titles,
            names,
            why,
            registry,
        }
    }

    /// Refuses an image that is for another platform than the one that is wanted.
    ///
    /// # Errors
    /// It is.
    pub fn check_platform(
        reference: &dyn fmt::Display,
        wanted: &Platform,
        there: &Platform,
    ) -> Result<(), Self> {
        if there == wanted {
            return Ok(());
        }
        let problem = ImageProblem::OtherPlatform {
            wanted: wanted.clone(),
            there: there.clone(),
        };
        Err(Self::unexpected(reference, problem))
    }

    /// The error about an image that is not what it should be.
    #[must_use]
    pub fn unexpected(reference: &dyn fmt::Display, problem: ImageProblem) -> Self {
        Self::UnexpectedImage {
            reference: reference.to_string(),
            problem,
        }
    }

    /// All values, or all errors.
    ///
    /// # Errors
    /// The only error, or all of them as one.
    pub fn collect<T>(results: impl IntoIterator<Item = Result<T, Self>>) -> Result<Vec<T>, Self> {
        let (mut values, mut errors) = (Vec::new(), Vec::new());
        for result in results {
            match result {
                Ok(value) => values.push(value),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() {
            return Ok(values);
        }
        Err(Self::of_all(errors))
    }

    /// The only error, or all of them as one.
    #[must_use]
    pub fn of_all<E: Into<Self>>(errors: impl IntoIterator<Item = E>) -> Self {
        let mut all = Vec::new();
        for error in errors {
            match error.into() {
                Self::Several(several) => all.extend(several),
                error => all.push(error),
            }
        }
        match all.len() {
            1 => all.remove(0),
            _ => Self::Several(all),
        }
    }

    /// This error, or the single errors of [`Self::Several`].
    #[must_use]
    pub fn each(&self) -> Vec<&Self> {
        match self {
            Self::Several(errors) => errors.iter().flat_map(Self::each).collect(),
            single => vec![single],
        }
    }

    /// The code, by which documentation and scripts refer to the error.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Defect(defect) | Self::Unlocked(defect) => defect.code,
            Self::Usage(error) => error.code(),
            Self::Tree(error) => error.code(),
            Self::Io(_) | Self::Archive(ArchiveError::Io(_)) => Code::E610,
            Self::Archive(ArchiveError::Whiteout { .. }) => Code::E068,
            Self::Archive(_) => Code::E611,
            Self::Replace(error) => error.code(),
            Self::FileLock(error) => error.code(),
            Self::Vendor(error) => error.code(),
            Self::Docker(error) => error.code(),
            Self::BuildKit(error) => error.code(),
            Self::Layout(error) => error.code(),
            Self::Registry(error) => error.code(),
            Self::Credentials(error) => error.code(),
            Self::Python(error) => error.code(),
            Self::Source(error) => error.code(),
            Self::Build { .. } => Code::E602,
            Self::NoBuilder { .. } => Code::E601,
            Self::Conflict { .. } => Code::E301,
            Self::ImportTest(error) => error.code(),
            Self::Run(error) => error.code(),
            Self::Scaffold(error) => error.code(),
            Self::WheelBuild(error) => error.code(),
            Self::Eject(error) => error.code(),
            Self::UnexpectedImage { .. } | Self::Mismatch(_) => Code::E606,
            Self::Drift { .. } => Code::E100,
            Self::Changed => Code::E101,
            Self::Unhealthy { code, .. } => *code,
            Self::Outdated => Code::E103,
            Self::NotReproduced { .. } => Code::E104,
            Self::Several(errors) => errors.first().map_or(Code::E610, Self::code),
        }
    }

    /// The first line: what happened.
    #[must_use]
    pub fn headline(&self) -> String {
        self.to_string()
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned()
    }

    /// Why it happened, if there is more to say.
    #[must_use]
    pub fn because(&self) -> Option<String> {
        if let Self::Build {
            output, message, ..
        } = self
        {
            let mut lines = output.clone();
            lines.push(message.clone());
            return Some(lines.join("\n"));
        }
        if let Self::NoBuilder {
            registry: Some(error),
            ..
        } = self
        {
            return Some(format!("the registry may have them, but {error}"));
        }
        let text = self.to_string();
        let rest = text.split_once('\n').map(|(_, rest)| rest.to_owned());
        let reason = match self {
            Self::Registry(_) | Self::Credentials(_) | Self::Python(_) | Self::Source(_) => {
                std::error::Error::source(self).map(ToString::to_string)
            }
            _ => None,
        };
        rest.or(reason)
    }

    /// What to type or to change.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Defect(defect) | Self::Unlocked(defect) => {
                let usual = || defect.code.cure().to_owned();
                Some(defect.hint.clone().unwrap_or_else(usual))
            }
            Self::Usage(error) => Some(error.hint()),
            Self::Tree(error) => error.hint(),
            Self::Io(error)
            | Self::Archive(ArchiveError::Io(error))
            | Self::Layout(LayoutError::Disk { error, .. })
            | Self::Docker(DockerError::NotSaved { because: error, .. })
            | Self::Registry(RegistryError::NotSaved { because: error, .. }) => io_hint(error),
            Self::Replace(error) => error.hint().or_else(|| io_hint(error.disk()?)),
            Self::FileLock(error) => error.hint().or_else(|| io_hint(error.disk()?)),
            Self::Archive(ArchiveError::Whiteout { .. }) => Some(Code::E068.cure().to_owned()),
            Self::Archive(_) => Some("run it again when nothing writes into the project".to_owned()),
            Self::Vendor(error) => error.hint(),
            Self::Docker(error) => error.hint(),
            Self::BuildKit(error) => error.hint(),
            Self::Layout(error) => error.hint(),
            Self::Registry(error) => error.hint(),
            Self::Credentials(error) => error.hint(),
            Self::Python(error) => error.hint(),
            Self::Source(error) => error.hint(),
            Self::Mismatch(mismatch) => Some(mismatch.hint.to_owned()),
            Self::ImportTest(error) => Some(error.hint()),
            Self::Run(error) => Some(error.hint()),
            Self::Scaffold(error) => Some(error.hint()),
            Self::WheelBuild(error) => Some(error.hint()),
            Self::Eject(error) => Some(error.hint()),
            Self::NoBuilder { names, why, .. } => {
                let start = why.hint();
                let start = start.map(|hint| format!("{hint}; or ")).unwrap_or_default();
                Some(format!(
                    "{start}push them from a machine with Docker, `sparkpack push {}`: what only gets files needs none",
                    names.join(" ")
                ))
            }
            Self::UnexpectedImage { reference, problem } => Some(problem.hint(reference)),
            Self::Build { hint: Some(hint), .. } => Some(hint.clone()),
            Self::Build { built_in: true, stage, .. } => Some(format!(
                "the recipe of `{stage}` is built in: change what it is given, `[chains]` in sparkpack.toml, or give it a `dockerfile` of your own"
            )),
            Self::Build { place, .. } => Some(format!("mend line {} of {}, then run it again: what is done is kept", place.line, place.file.display())),
            Self::Conflict { .. } => Some(
                "nothing was overwritten; find out who pushed it, then delete the tag there, or change an input, which makes another tag".to_owned(),
            ),
            Self::Drift { places, fixable } if places == fixable => Some("run `sparkpack pin`".to_owned()),
            Self::Drift { fixable: 0, .. } => Some("the warnings say what to do".to_owned()),
            Self::Drift { .. } => Some("run `sparkpack pin`; the warnings say what it cannot change".to_owned()),
            Self::Unhealthy { .. } => {
                Some("the line below each of them says what to type or to change".to_owned())
            }
            Self::Outdated => Some(Code::E103.cure().to_owned()),
            Self::NotReproduced { .. } => Some(NOT_REPRODUCED.to_owned()),
            Self::Changed => Some("review and stage them: `git add -u`".to_owned()),
            Self::Several(errors) => errors.first().and_then(Self::hint),
        }
    }

    /// The exit code, as listed in the README.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Defect(_) | Self::Unlocked(_) => return 2,
            Self::Several(errors) => return errors.first().map_or(6, Self::exit_code),
            _ => {}
        }
        self.code().exit_code()
    }

    /// An I/O error whose message names the file.
    #[must_use]
    pub fn io(path: &Path, error: &std::io::Error) -> Self {
        Self::Io(std::io::Error::new(
            error.kind(),
            format!("{}: {error}", path.display()),
        ))
    }
}

/// The beginning of a message: the place in the user's Dockerfile, or that a built-in one is meant.
fn beginning(built_in: bool, place: &Place) -> String {
    if built_in {
        "built-in recipe: ".to_owned()
    } else {
        format!("{place}: ")
    }
}

fn dockerfiles(images: &[String]) -> String {
    match images {
        [image] => format!("`{image}` has a Dockerfile that is"),
        several => format!("`{}` have Dockerfiles that are", several.join("`, `")),
    }
}

fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        several => format!("{several} {what}s"),
    }
}

fn of_checks(bad: usize, checks: usize) -> String {
    match bad {
        1 => format!("1 of {checks} checks"),
        several => format!("{several} of {checks} checks"),
    }
}

fn at(instruction: &str) -> String {
    if instruction.is_empty() {
        String::new()
    } else {
        format!(" at `{instruction}`")
    }
}

fn io_hint(error: &std::io::Error) -> Option<String> {
    io_hint_beside(&store::cache_folder(), error)
}

/// The hint of an I/O error on a machine with this cache.
fn io_hint_beside(cache: &Path, error: &std::io::Error) -> Option<String> {
    use std::io::ErrorKind;
    let is_cache = names(&error.to_string(), cache);
    let hint = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded if is_cache => {
            "make room on that disk (`df -h`), or let `SPARKPACK_CACHE` name a folder on another one"
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem | ErrorKind::NotADirectory
            if is_cache =>
        {
            "the cache cannot be used there: give yourself the right to that path, or let `SPARKPACK_CACHE` name another folder"
        }
        ErrorKind::StorageFull => {
            "make room on that disk (`df -h`), then run it again: nothing old was lost"
        }
        ErrorKind::PermissionDenied => "give yourself the right to that path, or run as its owner",
        ErrorKind::ReadOnlyFilesystem => "that disk is mounted read-only: work on a copy elsewhere",
        ErrorKind::QuotaExceeded => {
            "your quota on that disk is used up: make room, then run it again"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

/// Whether a message names a folder, or a path below it.
fn names(message: &str, folder: &Path) -> bool {
    let folder = folder.to_string_lossy();
    let folder = folder.trim_end_matches('/');
    let begins =
        |before: &str| !before.ends_with(|c: char| c.is_alphanumeric() || "/.-_".contains(c));
    let ends = |after: &str| after.is_empty() || after.starts_with(['/', '\'', '"', '`', ':']);
    let mut found = message.match_indices(folder);
    !folder.is_empty()
        && found.any(|(at, _)| begins(&message[..at]) && ends(&message[at + folder.len()..]))
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;
    use crate::adapters::docker::Unreachable;

    #[test]
    fn an_image_for_several_platforms_is_named_once_where_it_can_be_pushed_from() {
        let images = [
            ("base (linux/amd64)", "base"),
            ("py (linux/amd64)", "py"),
            ("base (linux/arm64)", "base"),
            ("py (linux/arm64)", "py"),
        ];
        let why = Arc::new(DockerError::Unreachable {
            host: "unix:///nowhere".to_owned(),
            named_by: None,
            reason: Unreachable::NoSocket { other: None },
        });
        let error = Error::no_builder(images, why, None);
        let hint = error.hint().unwrap();
        assert!(hint.contains("`sparkpack push base py`"), "{hint}");
    }

    #[test]
    fn only_what_is_in_the_cache_is_told_as_the_caches() {
        let is_caches = |folder: &str, kind: ErrorKind, text: &str| {
            let error = std::io::Error::new(kind, text);
            let hint = io_hint_beside(Path::new(folder), &error);
            hint.is_some_and(|hint| hint.contains("SPARKPACK_CACHE"))
        };
        let denied = ErrorKind::PermissionDenied;
        for (folder, text, is_told) in [
            ("/a/cache", "failed to open file `/a/cache/records/1`", true),
            (
                "/a/cache/",
                "failed to open file `/a/cache/records/1`",
                true,
            ),
            ("/a/cache", "failed to create directory `/a/cache`", true),
            ("/a/cache", "/a/cache: not permitted", true),
            ("/a/cache", "not permitted: /a/cache", true),
            (
                "/a/cache",
                "failed to open file `/a/cache-of-mine/1`",
                false,
            ),
            ("/a/cache", "failed to open file `/a/cache.toml`", false),
            ("/a/cache", "failed to open file `/b/a/cache/1`", false),
            ("cache", "failed to open file `/a/cache/1`", false),
            ("/", "failed to open file `/a/b`", false),
        ] {
            assert_eq!(is_caches(folder, denied, text), is_told, "{folder}: {text}");
        }
        let text = "failed to open file `/a/cache/records/1`";
        for (kind, is_told) in [
            (ErrorKind::ReadOnlyFilesystem, true),
            (ErrorKind::NotADirectory, true),
            (ErrorKind::StorageFull, true),
            (ErrorKind::NotFound, false),
            (ErrorKind::Interrupted, false),
        ] {
            assert_eq!(is_caches("/a/cache", kind, text), is_told, "{kind}");
        }
    }
}
