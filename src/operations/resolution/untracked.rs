//! Inputs that git's index does not have. Tags depend on them but no commit contains them, so that another checkout
//! gets other tags.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use super::prepare::Prepared;
use crate::{
    adapters::{
        git::{self, NoGit, Tracked},
        store,
    },
    error::{Error, UsageError},
    operations::{events::Note, workspace::Session},
    plan::Stage,
    project::{
        Context, FILE_NAME,
        exclusions::ignore_file,
        ignore::escaped,
        lock,
        requirements::lock_file_beside,
        tree::{Content, Entry, Location},
    },
};

/// The untracked inputs of `targets` and of their parents, with the configuration and the lock files: sorted paths
/// relative to the project's folder.
///
/// `[sources]` are not checked: they come from outside the repository.
///
/// # Errors
/// Git cannot be asked; the error says why.
pub(crate) fn untracked_inputs(
    session: &Session<'_>,
    prepared: &Prepared,
    targets: &[String],
) -> Result<Vec<String>, NoGit> {
    let root = &session.project.root;
    let root = fs_err::canonicalize(root).unwrap_or_else(|_| root.clone());
    let tracked = git::tracked(&root)?;
    let mut finder = Finder {
        root: &root,
        tracked: &tracked,
        seen: BTreeSet::new(),
        untracked: BTreeSet::new(),
    };
    finder.file(root.join(FILE_NAME));
    finder.file(root.join(lock::FILE_NAME));
    for name in prepared.plan.with_parents(targets) {
        finder.stage(&prepared.plan.stages[&name]);
    }
    Ok(finder.untracked.into_iter().collect())
}

struct Finder<'a> {
    root: &'a Path,
    tracked: &'a Tracked,
    seen: BTreeSet<PathBuf>,
    untracked: BTreeSet<String>,
}

impl Finder<'_> {
    fn stage(&mut self, stage: &Stage) {
        let (image, inputs) = (&stage.image, &stage.inputs);
        if let Some(dockerfile) = &image.dockerfile {
            self.file(self.root.join(dockerfile));
        }
        if let (Some(_), Context::Folder(folder)) = (&image.dockerfile, &image.context) {
            let context = self.root.join(folder);
            if let Some(file) = ignore_file(self.root, &context, image) {
                self.file(file);
            }
            for entry in inputs.recipe.files() {
                self.entry(&context, entry);
            }
        }
        if let Some((package, settings)) = inputs.package.as_ref().zip(image.package.as_ref()) {
            let src = self.root.join(&settings.src);
            self.file(src.join(&settings.main));
            for entry in &package.modules {
                self.entry(&src, entry);
            }
        }
        if let Some(requirements) = inputs.requirements.as_ref().filter(|own| !own.built_in) {
            for file in &requirements.requirements.files {
                self.file(self.root.join(file));
            }
            self.file(
                self.root
                    .join(lock_file_beside(&requirements.requirements.file)),
            );
        }
    }

    fn entry(&mut self, folder: &Path, entry: &Entry) {
        match &entry.content {
            Content::File {
                location: Location::Disk(file),
                ..
            } => self.file(file.clone()),
            Content::File { .. } => {}
            Content::Symlink { .. } => {
                let link = folder.join(&entry.path);
                if !self.tracked.has_link(&link) {
                    self.name(&link);
                }
            }
        }
    }

    /// Adds a file if it is untracked. A file that does not exist is skipped: a lock may not have been written yet.
    fn file(&mut self, file: PathBuf) {
        if self.seen.contains(&file) {
            return;
        }
        if !self.tracked.has(&file) && file.exists() {
            self.name(&file);
        }
        self.seen.insert(file);
    }

    fn name(&mut self, path: &Path) {
        let below = path.strip_prefix(self.root).unwrap_or(path);
        self.untracked.insert(escaped(below.as_os_str()));
    }
}

/// What to do about untracked inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strictness {
    /// `push --strict`: untracked inputs are an error, and so is a project outside of git.
    Flag,
    /// `--strict` of a subcommand that pushes nothing: the same, with another message.
    HookFlag,
    /// The default of a push in CI: untracked inputs are an error, but a project outside of git is only reported.
    Ci,
    /// Untracked inputs are allowed.
    Off,
}

impl Strictness {
    /// For subcommands that push nothing: strict only if the user asks for it.
    pub(crate) fn if_asked(strict: bool) -> Self {
        if strict { Self::HookFlag } else { Self::Off }
    }

    /// For a push: as the user asks; by default strict in CI only.
    pub(crate) fn of_push(asked: Option<bool>) -> Self {
        let is_ci = || {
            let value = store::environment("CI").unwrap_or_default();
            !["", "false", "0"].contains(&value.to_lowercase().as_str())
        };
        match asked {
            Some(true) => Self::Flag,
            None if is_ci() => Self::Ci,
            Some(false) | None => Self::Off,
        }
    }

    /// Refuses untracked inputs if the run is strict.
    pub(crate) fn check(
        self,
        session: &Session<'_>,
        prepared: &Prepared,
        targets: &[String],
    ) -> Result<(), Error> {
        if self == Self::Off {
            return Ok(());
        }
        match untracked_inputs(session, prepared, targets) {
            Ok(untracked) if untracked.is_empty() => Ok(()),
            Ok(paths) => {
                let is_push = self != Self::HookFlag;
                Err(UsageError::Untracked { paths, is_push }.into())
            }
            Err(reason) if matches!(self, Self::Flag | Self::HookFlag) => {
                Err(UsageError::NotStrict(reason).into())
            }
            Err(reason) => {
                session.events.note(Note::UntrackedNotChecked(&reason));
                Ok(())
            }
        }
    }
}
