//! Files that change together or not at all, even if the process is killed or the power fails at any instant.
//!
//! 1. `.sparkpack-journal` in the project's root says what is to happen: each file, the name of its new content beside
//!    it, and the digest of what it holds. Until it is on the disk nothing else is made.
//! 2. The new contents are written beside the files, and all of it is brought to the disk.
//! 3. Every file must still hold what its caller read.
//! 4. The journal is renamed to `.sparkpack-committed`: from here on all files are to be new.
//! 5. Each new content is renamed over its file. Then the journal goes.
//!
//! The next run that finds a journal undoes step 2 or completes step 5: [`recover()`]. A process locks its journal, so
//! that no other run removes it while the process lives.

mod error;
mod names;
mod record;
mod recover;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    fs::{File, Metadata, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

pub use error::ReplaceError;
use error::cannot;
use names::{BEGUN, COMMITTED};
use record::JournalEntry;
pub use recover::{Recovered, recover};
use rustix::fs::OFlags;

use super::{
    ending::{self, OnEnd},
    store,
};
use crate::image::Digest;

/// The number of files that are written before the first of them is synced. A process may open 1,024 files, or only 256.
const OPEN_AT_ONCE: usize = 64;

/// The change of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replacement {
    /// The file; a symbolic link is kept, and its target is changed.
    pub path: PathBuf,
    /// The digest of the content that the caller read; `None` if there was no file.
    pub old: Option<Digest>,
    /// The new content.
    pub bytes: Vec<u8>,
}

/// A file with several hard links: the other names keep the old content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linked {
    /// The file that was replaced.
    pub path: PathBuf,
    /// The number of other names.
    pub others: u64,
}

/// Replaces all files or none; they lie in the project in `root`. Modes, owners and symbolic links are kept.
///
/// Returns the files whose other hard links keep the old content.
///
/// # Errors
/// Nothing has changed, except with [`ReplaceError::Unfinished`], which [`recover()`] completes.
pub fn replace_together(root: &Path, files: &[Replacement]) -> Result<Vec<Linked>, ReplaceError> {
    if files.is_empty() {
        return Ok(Vec::new());
    }
    Ready::prepare(root, files)?.commit()
}

/// New contents that lie on the disk beside their files, and wait to replace them. They go if that does not happen.
pub struct Ready {
    root: PathBuf,
    /// In the order and number of the caller.
    files: Vec<Replacement>,
    targets: Vec<Target>,
    /// The number of targets whose new content was begun.
    written: usize,
    journal: Option<Journal>,
    /// A signal undoes it too.
    on_end: Option<OnEnd>,
}

impl Ready {
    /// Does what takes longest of [`replace_together`]: steps 1 and 2.
    ///
    /// # Errors
    /// Nothing has changed.
    pub fn prepare(root: &Path, files: &[Replacement]) -> Result<Self, ReplaceError> {
        let _change = ending::change();
        let targets = targets(root, files)?;
        let journal = Journal::begin(root, &targets)?;
        let mut ready = Self {
            root: root.to_owned(),
            files: files.to_vec(),
            targets,
            written: 0,
            journal: Some(journal),
            on_end: None,
        };
        write_all(&ready.targets, &mut ready.written)?;
        let mut made: Vec<PathBuf> = ready.targets.iter().map(Target::temporary).collect();
        made.push(root.join(BEGUN));
        ready.on_end = Some(ending::on_end(move || remove_all(&made)));
        Ok(ready)
    }

    /// Whether these are the files that it is about.
    #[must_use]
    pub fn is_of(&self, files: &[Replacement]) -> bool {
        self.files == files
    }

    /// Replaces the files: steps 3 to 5.
    ///
    /// # Errors
    /// Those of [`replace_together`].
    pub fn commit(mut self) -> Result<Vec<Linked>, ReplaceError> {
        let _change = ending::change();
        drop(self.on_end.take());
        refuse_changed(&self.targets)?;
        if let Some(journal) = &self.journal {
            journal.commit()?;
        }
        let linked = self.targets.iter().filter_map(Target::linked).collect();
        let moves: Vec<_> = self.targets.iter().map(Target::to_move).collect();
        let finished = sync_folder(&self.root).and_then(|()| finish(&self.root, &moves));
        self.journal = None;
        finished.map_err(|error| ReplaceError::Unfinished(Box::new(error)))?;
        Ok(linked)
    }
}

impl Drop for Ready {
    fn drop(&mut self) {
        let _change = ending::change();
        drop(self.on_end.take());
        if let Some(journal) = self.journal.take() {
            journal.undo(&self.targets[..self.written]);
        }
    }
}

/// Removes files, the last one only if the others are gone.
fn remove_all(files: &[PathBuf]) {
    drop(files.iter().try_for_each(fs_err::remove_file));
}

/// A file to be replaced.
struct Target {
    file: Replacement,
    /// Its path with symbolic links resolved.
    real: PathBuf,
    /// Its current metadata, if it exists.
    metadata: Option<Metadata>,
    entry: JournalEntry,
}

/// Examines all files; one that is named twice is taken once.
fn targets(root: &Path, files: &[Replacement]) -> Result<Vec<Target>, ReplaceError> {
    let mut targets: Vec<Target> = Vec::new();
    for file in files {
        let target = Target::new(root, file)?;
        let same = targets.iter().find(|other| other.real == target.real);
        match same {
            None => targets.push(target),
            Some(other) if other.file.bytes == file.bytes && other.file.old == file.old => {}
            Some(other) => {
                return Err(ReplaceError::Twice {
                    first: PathBuf::from(&other.entry.path),
                    second: PathBuf::from(&target.entry.path),
                });
            }
        }
    }
    Ok(targets)
}

impl Target {
    fn new(root: &Path, file: &Replacement) -> Result<Self, ReplaceError> {
        let path = &file.path;
        let relative = path.strip_prefix(root).ok().and_then(Path::to_str);
        let Some(relative) = relative else {
            let reason = "its name is not UTF-8, or leads out of the project";
            return Err(cannot("replaced", path)(io::Error::other(reason)));
        };
        let real = real(path).map_err(cannot("found", path))?;
        let metadata = writable(&real).map_err(cannot("opened for writing", path))?;
        let entry = JournalEntry {
            path: relative.to_owned(),
            temporary: store::temporary_name(),
            old: file.old.clone(),
        };
        Ok(Self {
            file: file.clone(),
            real,
            metadata,
            entry,
        })
    }

    fn temporary(&self) -> PathBuf {
        self.real.with_file_name(&self.entry.temporary)
    }

    fn to_move(&self) -> Move {
        Move {
            path: self.file.path.clone(),
            temporary: self.temporary(),
            real: self.real.clone(),
        }
    }

    fn linked(&self) -> Option<Linked> {
        let others = self.metadata.as_ref()?.nlink().saturating_sub(1);
        (others > 0).then(|| Linked {
            path: self.file.path.clone(),
            others,
        })
    }

    /// Writes the new content beside the file, without syncing it. `was_made` becomes true once a file exists there,
    /// complete or not.
    fn write(&self, was_made: &mut bool) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let mut output = options.open(self.temporary())?;
        *was_made = true;
        output.write_all(&self.file.bytes)?;
        store::take_after(&output, self.metadata.as_ref())?;
        Ok(output)
    }

    fn is_unchanged(&self) -> io::Result<bool> {
        Ok(real(&self.file.path)? == self.real && digest(&self.real)? == self.file.old)
    }
}

/// Writes all new contents, counting them in `written`, and brings them to the disk.
fn write_all(targets: &[Target], written: &mut usize) -> Result<(), ReplaceError> {
    for some in targets.chunks(OPEN_AT_ONCE) {
        let mut open = Vec::with_capacity(some.len());
        for target in some {
            let mut was_made = false;
            let result = target.write(&mut was_made);
            *written += usize::from(was_made);
            open.push(result.map_err(cannot("written", &target.file.path))?);
        }
        // The first file that is synced takes most of the others along.
        for (target, output) in some.iter().zip(open) {
            let synced = output.sync_all();
            synced.map_err(cannot("written", &target.file.path))?;
        }
    }
    sync_folders(targets.iter().map(|target| target.real.as_path()))
}

/// Fails if a file no longer holds what its caller read.
fn refuse_changed(targets: &[Target]) -> Result<(), ReplaceError> {
    for target in targets {
        let path = &target.file.path;
        if !target.is_unchanged().map_err(cannot("read", path))? {
            let path = PathBuf::from(&target.entry.path);
            return Err(ReplaceError::Changed { path });
        }
    }
    Ok(())
}

/// A journal that this process has locked.
struct Journal {
    root: PathBuf,
    /// Locked until it is closed.
    handle: File,
}

impl Journal {
    /// Writes the journal; if that fails, nothing remains.
    fn begin(root: &Path, targets: &[Target]) -> Result<Self, ReplaceError> {
        let file = root.join(BEGUN);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        let handle = match options.open(&file) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(ReplaceError::Busy);
            }
            opened => opened.map_err(cannot("written", &file))?,
        };
        // Before the lock was taken, another process took the journal for a dead one's and removed it.
        if !store::is_held(&handle) {
            return Err(ReplaceError::Busy);
        }
        let journal = Self {
            root: root.to_owned(),
            handle,
        };
        let entries: Vec<&JournalEntry> = targets.iter().map(|target| &target.entry).collect();
        if let Err(error) = journal.write(&record::to_bytes(&entries)) {
            journal.undo(&[]);
            return Err(error);
        }
        Ok(journal)
    }

    fn write(&self, bytes: &[u8]) -> Result<(), ReplaceError> {
        // Committing this journal would overwrite one that still has to be completed.
        if self.root.join(COMMITTED).symlink_metadata().is_ok() {
            return Err(ReplaceError::Busy);
        }
        let mut handle = &self.handle;
        let written = handle.write_all(bytes).and_then(|()| handle.sync_all());
        written.map_err(cannot("written", &self.root.join(BEGUN)))?;
        sync_folder(&self.root)
    }

    /// Commits the change: from here on all files have to be replaced.
    fn commit(&self) -> Result<(), ReplaceError> {
        let file = self.root.join(BEGUN);
        std::fs::rename(&file, self.root.join(COMMITTED)).map_err(cannot("renamed", &file))
    }

    /// Removes what was made. Anything that cannot be removed is left to the next run.
    fn undo(self, written: &[Target]) {
        let mut all_gone = true;
        for target in written {
            all_gone &= fs_err::remove_file(target.temporary()).is_ok();
        }
        if all_gone {
            drop(fs_err::remove_file(self.root.join(BEGUN)));
        }
    }
}

/// A file with new content, and the file that it replaces.
struct Move {
    /// The path for messages.
    path: PathBuf,
    temporary: PathBuf,
    real: PathBuf,
}

/// Moves the new contents over the files, and removes the journal.
fn finish(root: &Path, moves: &[Move]) -> Result<(), ReplaceError> {
    for each in moves {
        let renamed = std::fs::rename(&each.temporary, &each.real);
        renamed.map_err(cannot("replaced", &each.path))?;
    }
    sync_folders(moves.iter().map(|each| each.real.as_path()))?;
    let journal = root.join(COMMITTED);
    std::fs::remove_file(&journal).map_err(cannot("removed", &journal))?;
    // If a power failure brings the journal back, it has nothing left to do.
    drop(sync_folder(root));
    Ok(())
}

/// The path of a file that exists or will be created, with symbolic links resolved.
fn real(path: &Path) -> io::Result<PathBuf> {
    match (std::fs::canonicalize(path), path.file_name()) {
        (Err(error), Some(name)) if error.kind() == io::ErrorKind::NotFound => {
            if path.is_symlink() {
                return Err(io::Error::new(
                    error.kind(),
                    "it is a link that leads nowhere",
                ));
            }
            Ok(std::fs::canonicalize(store::folder_of(path))?.join(name))
        }
        (found, _) => found,
    }
}

/// The metadata of the file at `real`, if it exists. It must be writable.
fn writable(real: &Path) -> io::Result<Option<Metadata>> {
    let found = match real.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        found => found?,
    };
    if !found.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut options = OpenOptions::new();
    options.write(true).custom_flags(no_traps());
    Ok(Some(options.open(real)?.metadata()?))
}

/// The digest of the file at `real`, if there is one.
fn digest(real: &Path) -> io::Result<Option<Digest>> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(no_traps());
    match options.open(real) {
        Ok(mut input) => Digest::of_reader(&mut input).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Flags to open a file without following a link or blocking on a FIFO.
fn no_traps() -> i32 {
    (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed()
}

/// Syncs the folders of these files, each once.
fn sync_folders<'a>(files: impl Iterator<Item = &'a Path>) -> Result<(), ReplaceError> {
    let folders: BTreeSet<&Path> = files.map(store::folder_of).collect();
    folders.into_iter().try_for_each(sync_folder)
}

fn sync_folder(folder: &Path) -> Result<(), ReplaceError> {
    let synced = File::open(folder).and_then(|handle| handle.sync_all());
    match synced {
        // Some file systems cannot sync a folder.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
            ) =>
        {
            Ok(())
        }
        synced => synced.map_err(cannot("written", folder)),
    }
}
