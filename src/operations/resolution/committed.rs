//! Inputs that no commit has: tags depend on them, so that another checkout gets other tags.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
};

use super::{input_files::InputFiles, prepare::Prepared};
use crate::{
    adapters::{
        git::{self, Checkout, Compared, Difference, NoGit, Tracked},
        store,
    },
    error::{Error, UsageError},
    operations::{events::Note, workspace::Session},
    plan::Recipe,
    project::{
        FILE_NAME, exclusions::NeverContext, file_trees::ExecutableBits, ignore::escaped,
        links::Links, lock, missing::Lost,
    },
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
    /// A link on the way to it names an absolute path, which another checkout does not have.
    AbsoluteLink,
    /// Git calls it unchanged, and would write it with other line ends.
    LineEnds,
    /// Git calls it unchanged, and would write it otherwise: a filter or `ident` is at work.
    Filtered,
}

impl fmt::Display for Uncommitted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Untracked => "untracked",
            Self::Ignored => "ignored by git",
            Self::Changed => "changed",
            Self::Missing => "deleted",
            Self::AbsoluteLink => "a link on the way to it names an absolute path",
            Self::LineEnds => "git checks it out with other line ends",
            Self::Filtered => {
                "git checks it out with other content: a filter or `ident` in .gitattributes"
            }
        })
    }
}

/// The files of `targets` and of their parents, with the configuration and the lock files.
fn input_files<'s>(
    session: &'s Session<'_>,
    prepared: &Prepared,
    targets: &[String],
) -> InputFiles<'s> {
    let mut files = InputFiles::new(session);
    files.decisive(FILE_NAME);
    files.decisive(lock::FILE_NAME);
    for name in prepared.plan.with_parents(targets) {
        let stage = &prepared.plan.stages[&name];
        files.image(&stage.image, &stage.inputs);
        let wheels = stage.platforms.iter().flat_map(|on| &on.wheels);
        files.kept_wheels(&stage.image, wheels);
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
    let ways = ways(&files, &mut Links::default());
    let untracked = untracked(session, &files, &tracked, &ways);
    let names = untracked
        .iter()
        .map(|path| escaped(files.name(path).as_os_str()));
    Ok(names.collect())
}

/// The input at this path is tracked if git has every link on the way to it, and what they lead to.
fn untracked<'f>(
    session: &Session<'_>,
    files: &'f InputFiles<'_>,
    tracked: &Tracked,
    ways: &BTreeMap<&Path, Vec<PathBuf>>,
) -> Vec<&'f Path> {
    let is_untracked = |path: &&'f Path| {
        let is_tracked = ways
            .get(path)
            .is_some_and(|way| way.iter().all(|path| tracked.has(path)));
        !is_tracked && !session.project.allows_untracked(&files.name(path))
    };
    let paths = files.files.keys().map(PathBuf::as_path);
    paths.filter(is_untracked).collect()
}

/// For each input the paths that git must have: the links on the way to it, and what they lead to. An input that cannot
/// be reached has none.
fn ways<'f>(files: &'f InputFiles<'_>, links: &mut Links) -> BTreeMap<&'f Path, Vec<PathBuf>> {
    let mut ways = BTreeMap::new();
    for (path, used) in &files.files {
        let trail = if used.is_link {
            links.trail_to_link(path)
        } else {
            links.trail(path)
        };
        if let Some(trail) = trail {
            // Where the checkout itself is reached by a link, git knows nothing of that.
            let above = |link: &PathBuf| !link.starts_with(&files.top);
            let way = trail.links.into_iter().skip_while(above);
            ways.insert(path.as_path(), way.chain([trail.end]).collect());
        }
    }
    ways
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
    let (tracked, checkout) = std::thread::scope(|scope| {
        let checkout = scope.spawn(|| Checkout::of(root, compared));
        let tracked = git::tracked(root);
        let lost = || Err(NoGit::Failed("its answer was lost".to_owned()));
        (tracked, checkout.join().unwrap_or_else(|_| lost()))
    });
    let (tracked, checkout) = (
        tracked.map_err(UsageError::NotStrict)?,
        checkout.map_err(UsageError::NotStrict)?,
    );
    let mut links = Links::default();
    let ways = ways(&files, &mut links);
    let mut found: BTreeMap<PathBuf, Uncommitted> = BTreeMap::new();
    for path in missing_inputs(session, prepared, targets, (&files, &checkout, &mut links))? {
        found.insert(path, Uncommitted::Missing);
    }
    let changed = changed(&files, &ways, &checkout, session.trees.executable_bits());
    for (path, why) in changed.map_err(UsageError::NotStrict)? {
        found.insert(path.to_owned(), why);
    }
    let untracked = untracked(session, &files, &tracked, &ways);
    for path in &untracked {
        found.insert(path.to_path_buf(), Uncommitted::Untracked);
    }
    if !untracked.is_empty() {
        for path in git::ignored(root, &untracked).map_err(UsageError::NotStrict)? {
            found.insert(path.to_owned(), Uncommitted::Ignored);
        }
    }
    let allowed = |path: &Path| {
        let is_tracked = ways
            .get(path)
            .is_none_or(|way| way.iter().all(|path| tracked.has(path)));
        !is_tracked && session.project.allows_untracked(&files.name(path))
    };
    let found = found.into_iter().filter(|(path, _)| !allowed(path));
    let name = |path: &Path| escaped(files.name(path).as_os_str());
    Ok(found.map(|(path, why)| (name(&path), why)).collect())
}

/// The inputs that a new checkout would have otherwise, or not at all.
fn changed<'f>(
    files: &'f InputFiles<'_>,
    ways: &BTreeMap<&'f Path, Vec<PathBuf>>,
    checkout: &Checkout,
    bits: Option<&ExecutableBits>,
) -> Result<BTreeMap<&'f Path, Uncommitted>, NoGit> {
    let paths: BTreeSet<PathBuf> = ways.values().flatten().cloned().collect();
    let differences = checkout.differences(&paths, bits)?;
    let mut changed = BTreeMap::new();
    for (path, way) in ways {
        let is_content = files.files.get(*path).is_some_and(|used| used.is_content);
        let Some(end) = way.last() else { continue };
        let why = way.iter().find_map(|path| {
            if !checkout.has(path) {
                return Some(Uncommitted::Changed);
            }
            // The end of the way is the input itself, which is not followed.
            let is_followed = path != end;
            if is_followed && fs_err::read_link(path).is_ok_and(|target| target.is_absolute()) {
                return Some(Uncommitted::AbsoluteLink);
            }
            match differences.get(path)? {
                Difference::Changed => Some(Uncommitted::Changed),
                // What only decides is read line by line, so that it means the same with any line ends.
                Difference::LineEnds => is_content.then_some(Uncommitted::LineEnds),
                Difference::Filtered => Some(Uncommitted::Filtered),
            }
        });
        if let Some(why) = why {
            changed.insert(*path, why);
        }
    }
    Ok(changed)
}

/// The paths that git has and the disk has not, and that would be inputs.
fn missing_inputs(
    session: &Session<'_>,
    prepared: &Prepared,
    targets: &[String],
    (files, checkout, links): (&InputFiles<'_>, &Checkout, &mut Links),
) -> Result<Vec<PathBuf>, Error> {
    let paths = checkout.missing();
    if paths.is_empty() {
        return Ok(Vec::new());
    }
    let targets_of_links = checkout.links().map_err(UsageError::NotStrict)?;
    let mut lost = Lost {
        root: &files.root,
        paths: &paths,
        git_links: &targets_of_links,
        links,
    };
    let project = &session.project;
    let never = NeverContext::of(project);
    let mut missing = Vec::new();
    for name in prepared.plan.with_parents(targets) {
        let stage = &prepared.plan.stages[&name];
        let dockerfile = match &stage.inputs.recipe {
            Recipe::Dockerfile(inputs) => Some(&**inputs),
            Recipe::Files(_) => None,
        };
        missing.extend(lost.of_image(project, (&stage.image, dockerfile), &never)?);
        for source in stage.inputs.recipe.sources() {
            if let Some(folder) = files.local_source(&source) {
                missing
                    .extend(lost.of_source(&files.absolute(folder), &files.source_rules(folder)));
            }
        }
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

    /// Whether imports that lead nowhere are refused.
    pub(crate) fn refuses(self) -> bool {
        self.demand != Demand::Off
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
                let is_converted = |(_, why): &(&String, &Uncommitted)| {
                    matches!(why, Uncommitted::LineEnds | Uncommitted::Filtered)
                };
                let converted = found.iter().filter(is_converted);
                Err(UsageError::Uncommitted {
                    inputs: inputs.collect(),
                    converted: converted.map(|(path, _)| path.clone()).collect(),
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
