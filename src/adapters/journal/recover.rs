//! Recovery from a journal that a killed run left.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    BEGUN, COMMITTED, Move, ReplaceError, cannot, digest, finish, no_traps, real,
    record::{self, Flaw, JournalEntry},
    sync_folder,
};
use crate::adapters::store::{self, Hold};

/// The size limit in bytes: a larger file is no journal.
const LIMIT: u64 = 64 << 20;

/// How often to look again at a journal that a living process holds, and how long to wait each time.
const PATIENCE: (u32, Duration) = (500, Duration::from_millis(20));

/// The result of a recovery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recovered {
    /// No file was changed: the change is undone.
    Undone,
    /// All files are replaced; these were not yet.
    Completed(Vec<PathBuf>),
    /// The change is given up, because these files were edited in the meantime.
    GivenUp(Vec<PathBuf>),
}

impl fmt::Display for Recovered {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, files) = match self {
            Self::Undone => {
                return formatter
                    .write_str("a run that was killed is undone: it had changed no file");
            }
            Self::Completed(files) if files.is_empty() => {
                return formatter.write_str("a run that was killed had changed all its files");
            }
            Self::Completed(files) => ("a run that was killed is completed: changed", files),
            Self::GivenUp(files) => (
                "a run that was killed is not completed, for somebody has since edited",
                files,
            ),
        };
        let shown: Vec<String> = files
            .iter()
            .map(|file| file.display().to_string())
            .collect();
        write!(formatter, "{what} {}", shown.join(", "))
    }
}

/// Undoes or completes the change that a killed run began in the project in `root`. `outside` tells whether a run may
/// have changed a path that leads out of `root` by `..`.
///
/// # Errors
/// The disk's; a journal that no run has written; one that a living process keeps locked.
pub fn recover(
    root: &Path,
    outside: &dyn Fn(&str) -> bool,
) -> Result<Option<Recovered>, ReplaceError> {
    // In this order: a journal that can be undone may be committed while this process waits for it.
    let begun = Found::open(root, BEGUN)?;
    let undone = begun.map(|found| found.undo(root, outside)).transpose()?;
    let committed = Found::open(root, COMMITTED)?;
    let completed = committed.map(|found| found.complete(root, outside));
    Ok(completed.transpose()?.or(undone))
}

/// A journal that no other process holds; locked until it is dropped.
struct Found {
    file: PathBuf,
    handle: File,
}

/// An entry of a journal, with the paths on the disk.
struct State {
    entry: JournalEntry,
    to_move: Move,
}

impl Found {
    fn open(root: &Path, name: &str) -> Result<Option<Self>, ReplaceError> {
        let file = root.join(name);
        for _ in 0..PATIENCE.0 {
            let found = match file.symlink_metadata() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                found => found.map_err(cannot("read", &file))?,
            };
            if !found.is_file() {
                return Err(untrue(&file, "it is not a regular file".to_owned()));
            }
            let mut options = OpenOptions::new();
            options.read(true).custom_flags(no_traps());
            let handle = match options.open(&file) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened.map_err(cannot("read", &file))?,
            };
            match store::hold(&handle, &file) {
                Hold::Ours => return Ok(Some(Self { file, handle })),
                Hold::Gone => {}
                Hold::Theirs => std::thread::sleep(PATIENCE.1),
            }
        }
        Err(ReplaceError::Busy)
    }

    fn entries(&self, outside: &dyn Fn(&str) -> bool) -> Result<Vec<JournalEntry>, Flaw> {
        let mut bytes = Vec::new();
        let mut input = (&self.handle).take(LIMIT);
        match input.read_to_end(&mut bytes) {
            Ok(_) => record::parse(&bytes, outside),
            Err(error) => Err(Flaw::Untrue(error.to_string())),
        }
    }

    /// Removes the new contents, then the journal.
    fn undo(self, root: &Path, outside: &dyn Fn(&str) -> bool) -> Result<Recovered, ReplaceError> {
        let entries = match self.entries(outside) {
            Ok(entries) => entries,
            // The journal is synced before anything else is written, so there is nothing to undo.
            Err(Flaw::Torn) => Vec::new(),
            Err(Flaw::Untrue(reason)) => return Err(untrue(&self.file, reason)),
        };
        let states = self.states(root, entries)?;
        remove(root, &states)?;
        Ok(Recovered::Undone)
    }

    fn complete(
        self,
        root: &Path,
        outside: &dyn Fn(&str) -> bool,
    ) -> Result<Recovered, ReplaceError> {
        let entries = match self.entries(outside) {
            Ok(entries) => entries,
            Err(Flaw::Torn) => return Err(untrue(&self.file, "it is damaged".to_owned())),
            Err(Flaw::Untrue(reason)) => return Err(untrue(&self.file, reason)),
        };
        let states = self.states(root, entries)?;
        let mut edited = Vec::new();
        for state in &states {
            let Move { real, .. } = &state.to_move;
            if digest(real).map_err(cannot("read", real))? != state.entry.old {
                edited.push(PathBuf::from(&state.entry.path));
            }
        }
        if edited.is_empty() {
            let files = states.iter().map(|state| PathBuf::from(&state.entry.path));
            let files = files.collect();
            let moves: Vec<Move> = states.into_iter().map(|state| state.to_move).collect();
            finish(root, &moves)?;
            return Ok(Recovered::Completed(files));
        }
        // Renamed first: if this run is killed here, the next one must not complete only some of the files.
        std::fs::rename(&self.file, root.join(BEGUN)).map_err(cannot("renamed", &self.file))?;
        sync_folder(root)?;
        remove(root, &states)?;
        Ok(Recovered::GivenUp(edited))
    }

    /// The entries whose new content still lies beside its file.
    fn states(&self, root: &Path, entries: Vec<JournalEntry>) -> Result<Vec<State>, ReplaceError> {
        let mut states = Vec::new();
        for entry in entries {
            let path = root.join(&entry.path);
            let real = match real(&path) {
                // The folder is gone, and the new content with it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                found => found.map_err(cannot("found", &path))?,
            };
            let temporary = real.with_file_name(&entry.temporary);
            match temporary.symlink_metadata() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Ok(found) if found.is_file() => {}
                Ok(_) => {
                    let reason = format!("{} is not a regular file", temporary.display());
                    return Err(untrue(&self.file, reason));
                }
                Err(error) => return Err(cannot("read", &temporary)(error)),
            }
            let path = PathBuf::from(&entry.path);
            let to_move = Move {
                path,
                temporary,
                real,
            };
            states.push(State { entry, to_move });
        }
        Ok(states)
    }
}

/// Removes the new contents, then the journal, which has its uncommitted name.
fn remove(root: &Path, states: &[State]) -> Result<(), ReplaceError> {
    let files = states.iter().map(|state| &state.to_move.temporary);
    for file in files.chain([&root.join(BEGUN)]) {
        std::fs::remove_file(file).map_err(cannot("removed", file))?;
    }
    sync_folder(root)
}

fn untrue(file: &Path, reason: String) -> ReplaceError {
    ReplaceError::Journal {
        path: file.to_owned(),
        reason,
    }
}
