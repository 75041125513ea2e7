//! Files that git tracks and that a built-in rule leaves out of a job: a module `test_connection.py` may be one of the
//! job's own.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use super::prepare::Prepared;
use crate::{
    adapters::{cache::CacheKind, digest_cache, git, store},
    code::Code,
    error,
    image::Digest,
    operations::workspace::Session,
    plan::StageInputs,
    project::{
        Package, Project, digest_cache::FileIdentity, exclusions, ignore::escaped,
        job_files::PassedOver, place::Defect,
    },
};

/// The number of paths in a warning.
const SHOWN: usize = 3;

impl Prepared {
    /// [`warn_of_left_out`] for `targets` and their parents.
    pub(crate) fn warn_of_left_out(&self, session: &Session<'_>, targets: &[String]) {
        let names = self.plan.with_parents(targets);
        let inputs = |name: &str| self.plan.stages.get(name).map(|stage| &stage.inputs);
        warn_of_left_out(session, &names, &inputs);
    }
}

/// Warns of each job from which built-in rules leave out files that git tracks. Nothing is told where git cannot be
/// asked.
pub(crate) fn warn_of_left_out<'i>(
    session: &Session<'_>,
    names: impl IntoIterator<Item = impl AsRef<str>>,
    inputs: &dyn Fn(&str) -> Option<&'i Arc<StageInputs>>,
) {
    let mut told = BTreeSet::new();
    for name in names {
        let name = name.as_ref();
        let image = session.project.images.get(name);
        let package = image.and_then(|image| image.package.as_ref());
        let sources = inputs(name).and_then(|inputs| inputs.package.as_ref());
        let (Some(package), Some(sources)) = (package, sources) else {
            continue;
        };
        if !told.insert((&package.trees, &sources.left_out)) {
            continue;
        }
        if let Some(warning) = warning_of_manifests(&session.project, name, package) {
            session.events.warn(&warning);
        }
        if sources.left_out.is_empty() {
            continue;
        }
        let Some(counts) = counts(session, &sources.left_out) else {
            continue;
        };
        if let Some(warning) = warning(name, package, &counts) {
            session.events.warn(&warning);
        }
    }
}

fn warning_of_manifests(project: &Project, name: &str, package: &Package) -> Option<Defect> {
    let manifests = exclusions::manifests_of_job(project, package).ok()?;
    let first = manifests.first()?;
    let paths: Vec<String> = manifests.iter().map(|(path, _)| escaped(path)).collect();
    let message = format!(
        "left out of `{name}`, because the globs of `[manifests]` match them, and no tag can depend on a file that holds it: {}",
        error::shown_paths(&paths, SHOWN).join(", ")
    );
    let hint = format!(
        "to have them in the job, narrow the globs; if it is meant, say so by `exclude = [\"/{}\"]`",
        escaped(&first.1)
    );
    Some(Defect::new(Code::W122, package.place.clone(), message).hint(hint))
}

/// A path that is left out, and how many files that git tracks it stands for.
type Count = (PassedOver, usize);

fn warning(name: &str, package: &Package, counts: &[Count]) -> Option<Defect> {
    let shown = |patterns: Vec<String>| error::shown_paths(&patterns, SHOWN).join(", ");
    let total: usize = counts.iter().map(|(_, count)| count).sum();
    let files = match total {
        0 => return None,
        1 => "a file that git tracks is".to_owned(),
        several => format!("{several} files that git tracks are"),
    };
    let paths = counts.iter().map(|(found, _)| escaped(&found.path));
    let message = format!(
        "{files} left out of `{name}` by built-in rules: {}",
        shown(paths.collect())
    );
    let patterns = counts
        .iter()
        .map(|(found, _)| format!("\"/{}\"", escaped(&found.packed)));
    let hint = format!(
        "to have them in the job, take them by `include = [{}]`; if it is meant, the same as `exclude` says so",
        shown(patterns.collect())
    );
    Some(Defect::new(Code::W122, package.place.clone(), message).hint(hint))
}

/// How many tracked files each of the paths stands for, without those that stand for none. The answer is
/// remembered until git's index changes, so that git is not started in every run.
fn counts(session: &Session<'_>, left_out: &[PassedOver]) -> Option<Vec<Count>> {
    let root = fs_err::canonicalize(&session.project.root).ok()?;
    let now = digest_cache::now();
    let index = git::index_file(&root).and_then(|file| file.symlink_metadata().ok());
    let index = index.map(|metadata| FileIdentity::of(&metadata));
    let index = index.filter(|index| index.is_older_than(now));
    let Some(index) = index else {
        return asked(&root, left_out);
    };
    let mut question = root.as_os_str().as_encoded_bytes().to_vec();
    for found in left_out {
        question.push(0);
        question.extend_from_slice(found.path.as_bytes());
    }
    let name = Digest::of(&[b"left out ".as_slice(), &question].concat());
    question.extend_from_slice(&index.bytes());
    let head = format!("{}\n", Digest::of(&question).hex());
    let file = session.cache.entry(CacheKind::Digests, name.hex());
    let known = digest_cache::own_bytes(&file).and_then(|bytes| String::from_utf8(bytes).ok());
    if let Some(counts) = known
        .as_deref()
        .and_then(|text| read(text.strip_prefix(&head)?, left_out))
    {
        return Some(counts);
    }
    let counts = asked(&root, left_out)?;
    let rows = counts
        .iter()
        .map(|(found, count)| format!("{count} {}\0", found.path));
    let text = head + &rows.collect::<String>();
    drop(store::replace_unsynced(&file, text.as_bytes()));
    Some(counts)
}

/// The counts as they are remembered.
fn read(text: &str, left_out: &[PassedOver]) -> Option<Vec<Count>> {
    let rows = text.split_terminator('\0');
    rows.map(|row| {
        let (count, path) = row.split_once(' ')?;
        let found = left_out.iter().find(|found| found.path == path)?;
        Some((found.clone(), count.parse().ok()?))
    })
    .collect()
}

/// Asks git.
fn asked(root: &Path, left_out: &[PassedOver]) -> Option<Vec<Count>> {
    let tracked = git::tracked_below(root, root).ok()?;
    let tracked: BTreeSet<&Path> = tracked
        .iter()
        .filter_map(|path| path.strip_prefix(root).ok())
        .collect();
    let count = |path: &String| {
        let start = Path::new(path);
        let below = tracked.range::<&Path, _>(start..);
        below.take_while(|file| file.starts_with(start)).count()
    };
    let counts = left_out
        .iter()
        .map(|found| (found.clone(), count(&found.path)));
    Some(counts.filter(|(_, count)| *count > 0).collect())
}
