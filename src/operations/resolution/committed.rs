//! Inputs that no commit has: tags depend on them, so that another checkout gets other tags.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use super::{
    input_files::{InputFiles, Use},
    prepare::Prepared,
};
use crate::{
    adapters::{
        git::{self, Changes, Compared, NoGit, Tracked},
        store,
    },
    error::{Error, UsageError},
    operations::{events::Note, workspace::Session},
    plan::Recipe,
    project::{FILE_NAME, exclusions::NeverContext, ignore::escaped, lock, missing},
};

/// Why no commit has an input as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Uncommitted {
    /// Git does not track it.
    Untracked,
    /// Git does not track it, because it ignores it.
    Ignored,
    /// Its content is another.
    Changed,
    /// Git has it and the disk has not.
    Missing,
}

impl fmt::Display for Uncommitted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Untracked => "untracked",
            Self::Ignored => "ignored by git",
            Self::Changed => "changed",
            Self::Missing => "deleted",
        })
    }
}

/// The files of `targets` and of their parents, with the configuration and the lock files.
fn input_files<'s>(
    session: &'s Session<'_>,
    prepared: &Prepared,
    targets: &[String],
) -> InputFiles<'s> {
    let mut files = InputFiles::new(&session.project);
    files.decisive(FILE_NAME);
    files.decisive(lock::FILE_NAME);
    for name in prepared.plan.with_parents(targets) {
        let stage = &prepared.plan.stages[&name];
        files.image(&stage.image, &stage.inputs);
    }
    files
}

/// The untracked inputs of `targets` and of their parents, with the configuration and the lock files: sorted paths
/// relative to the project's folder. Those that `untracked` allows are not among them.
///
/// # Errors
/// Git cannot be asked; the error says why.
pub(crate) fn untracked_inputs(
    session: &Session<'_>,
    prepared: &Prepared,
    targets: &[String],
) -> Result<Vec<String>, NoGit> {
    let files = input_files(session, prepared, targets);
    let tracked = git::tracked(&files.root)?;
    let untracked = untracked(session, &files, &tracked);
    let names = untracked.map(|path| escaped(files.name(path).as_os_str()));
    Ok(names.collect())
}

fn untracked<'f>(
    session: &'f Session<'_>,
    files: &'f InputFiles<'_>,
    tracked: &'f Tracked,
) -> impl Iterator<Item = &'f Path> {
    let is_untracked = |(path, used): &(&PathBuf, &Use)| {
        let is_tracked = if used.is_link {
            tracked.has_link(path)
        } else {
            tracked.has(path)
        };
        !is_tracked && !session.project.allows_untracked(files.name(path))
    };
    let found = files.files.iter().filter(is_untracked);
    found.map(|(path, _)| path.as_path())
}

/// The inputs that are not as git has them, and why.
pub(crate) fn uncommitted_inputs(
    session: &Session<'_>,
    prepared: &Prepared,
    targets: &[String],
    compared: Compared,
) -> Result<BTreeMap<String, Uncommitted>, Error> {
    let files = input_files(session, prepared, targets);
    let root = files.root.as_path();
    // Both run at once: on a large checkout each takes long.
    let (tracked, changes) = std::thread::scope(|scope| {
        let changes = scope.spawn(|| git::changes(root, compared));
        let tracked = git::tracked(root);
        let lost = || Err(NoGit::Failed("its answer was lost".to_owned()));
        (tracked, changes.join().unwrap_or_else(|_| lost()))
    });
    let (tracked, changes) = (
        tracked.map_err(UsageError::NotStrict)?,
        changes.map_err(UsageError::NotStrict)?,
    );
    let mut found: BTreeMap<&Path, Uncommitted> = BTreeMap::new();
    let missing = missing_inputs(session, prepared, targets, (root, &changes))?;
    for path in &missing {
        found.insert(path, Uncommitted::Missing);
    }
    for (path, used) in &files.files {
        if has_changed(&changes, path, used.is_link) {
            found.insert(path, Uncommitted::Changed);
        }
    }
    let untracked: Vec<&Path> = untracked(session, &files, &tracked).collect();
    for path in &untracked {
        found.insert(path, Uncommitted::Untracked);
    }
    if !untracked.is_empty() {
        for path in git::ignored(root, &untracked).map_err(UsageError::NotStrict)? {
            found.insert(path, Uncommitted::Ignored);
        }
    }
    let name = |path: &Path| escaped(files.name(path).as_os_str());
    let found = found.into_iter();
    Ok(found.map(|(path, why)| (name(path), why)).collect())
}

/// Whether a file, a link on the way to it, or what they lead to has changed.
fn has_changed(changes: &Changes, path: &Path, is_link: bool) -> bool {
    if changes.has(path) {
        return true;
    }
    let mut ancestors = path.ancestors().skip(1);
    let is_reached_by_link = !is_link && path.is_symlink() || ancestors.any(Path::is_symlink);
    is_reached_by_link
        && (path.ancestors().any(|path| changes.has(path))
            || fs_err::canonicalize(path).is_ok_and(|real| changes.has(&real)))
}

/// The paths that git has and the disk has not, and that would be inputs.
fn missing_inputs(
    session: &Session<'_>,
    prepared: &Prepared,
    targets: &[String],
    (root, changes): (&Path, &Changes),
) -> Result<Vec<PathBuf>, Error> {
    if changes.missing.is_empty() {
        return Ok(Vec::new());
    }
    let project = &session.project;
    let never = NeverContext::of(project);
    let mut missing = Vec::new();
    for name in prepared.plan.with_parents(targets) {
        let stage = &prepared.plan.stages[&name];
        let Recipe::Dockerfile(inputs) = &stage.inputs.recipe else {
            continue;
        };
        let image = (&*stage.image, Some(&**inputs));
        let found = missing::of(project, root, image, &never, &changes.missing)?;
        missing.extend(found.into_iter().map(Path::to_owned));
    }
    Ok(missing)
}

/// Whether inputs that no commit has are refused, and what they are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Strictness {
    demand: Demand,
    compared: Compared,
}

/// How strict a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Demand {
    /// `--strict`: such inputs are an error, and so is a project outside of git.
    Flag,
    /// The default in CI: such inputs are an error, but a project outside of git is only reported.
    Ci,
    /// They are allowed.
    Off,
}

impl Strictness {
    /// As the user asks; by default strict in CI only.
    pub(crate) fn of(asked: Option<bool>, compared: Compared) -> Self {
        let is_ci = || {
            let value = store::environment("CI").unwrap_or_default();
            !["", "false", "0"].contains(&value.to_lowercase().as_str())
        };
        let demand = match asked {
            Some(true) => Demand::Flag,
            None if is_ci() => Demand::Ci,
            Some(false) | None => Demand::Off,
        };
        Self { demand, compared }
    }

    /// Refuses inputs that no commit has if the run is strict.
    pub(crate) fn check(
        self,
        session: &Session<'_>,
        prepared: &Prepared,
        targets: &[String],
    ) -> Result<(), Error> {
        if self.demand == Demand::Off {
            return Ok(());
        }
        match uncommitted_inputs(session, prepared, targets, self.compared) {
            Ok(found) if found.is_empty() => Ok(()),
            Ok(found) => {
                let inputs = found.iter().map(|(path, why)| format!("{path} ({why})"));
                Err(UsageError::Uncommitted {
                    inputs: inputs.collect(),
                    compared: self.compared,
                }
                .into())
            }
            Err(Error::Usage(UsageError::NotStrict(reason))) if self.demand == Demand::Ci => {
                session.events.note(Note::UntrackedNotChecked(&reason));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
impl Strictness {
    /// Nothing is refused.
    pub(crate) const OFF: Self = Self {
        demand: Demand::Off,
        compared: Compared::Index,
    };

    /// The default in CI.
    pub(crate) fn of_ci(compared: Compared) -> Self {
        let demand = Demand::Ci;
        Self { demand, compared }
    }
}
