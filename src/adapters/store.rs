//! The disk: files that are written completely or not at all, temporary files that killed runs leave, and the cache's
//! location.

use std::{
    collections::BTreeMap,
    fs::{File, Metadata, TryLockError},
    hash::{BuildHasher, Hasher, RandomState},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown},
    path::{Path, PathBuf},
};

use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};
use rustix::fs::OFlags;
use tempfile::{NamedTempFile, TempDir};

use super::{
    ending::{self, OnEnd},
    machine,
};
use crate::project::tree::{Content, Entry, folders_of, mode};

/// Replaces the content of `file`: writes a file beside it, syncs it and renames it. Mode and owner are kept, and a
/// symbolic link is followed.
///
/// # Errors
/// The disk's; `file` is then unchanged.
pub fn replace(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let _change = ending::change();
    let file = fs_err::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let temporary = beside(&file, bytes)?;
    take_after(temporary.as_file(), fs_err::metadata(&file).ok().as_ref())
        .map_err(|error| named(&error, &file))?;
    temporary
        .as_file()
        .sync_all()
        .map_err(|error| named(&error, &file))?;
    persist(temporary, &file)?;
    fs_err::File::open(folder_of(&file))?.sync_all()
}

/// Replaces a file that can be made again. Readers see it completely or not at all, but it is not synced, and only its
/// owner can read it.
///
/// # Errors
/// The disk's.
pub fn replace_unsynced(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let _change = ending::change();
    persist(beside(file, bytes)?, file)
}

/// Writes the future content of `file` into a temporary file beside it.
fn beside(file: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    let folder = folder_of(file);
    fs_err::create_dir_all(folder)?;
    let temporary = held(folder, || {
        let made = temporaries().tempfile_in(folder)?;
        let is_held = is_held(made.as_file());
        Ok((made, is_held))
    });
    let mut temporary = temporary.map_err(|error| named(&error, folder))?;
    let written = temporary.as_file_mut().write_all(bytes);
    written.map_err(|error| named(&error, file))?;
    Ok(temporary)
}

fn persist(temporary: NamedTempFile, file: &Path) -> io::Result<()> {
    let renamed = temporary.persist(file);
    // The handle, and with it the lock, is closed after the temporary name is gone.
    renamed.map(drop).map_err(|error| named(&error.error, file))
}

/// The folder that `file` lies in.
pub(super) fn folder_of(file: &Path) -> &Path {
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// Gives a new file the mode and, if possible, the owner of the file that it replaces.
///
/// # Errors
/// The mode cannot be set.
pub(super) fn take_after(file: &File, existing: Option<&Metadata>) -> io::Result<()> {
    let permissions = existing.map_or_else(default_permissions, Metadata::permissions);
    if let Some(existing) = existing {
        let own = file.metadata()?;
        if (own.uid(), own.gid()) != (existing.uid(), existing.gid()) {
            // Only root can change the owner; others can at least change the group to one of theirs.
            let (user, group) = (Some(existing.uid()), Some(existing.gid()));
            drop(fchown(file, user, group).or_else(|_| fchown(file, None, group)));
        }
    }
    file.set_permissions(permissions)
}

/// The prefix of temporary files and folders; they are never an input.
pub(super) const TEMPORARY: &str = ".sparkpack-";

/// Whether a path is that of a file that sparkpack has not finished.
#[must_use]
pub fn is_unfinished(path: &Path) -> bool {
    let name = path.file_name();
    name.is_some_and(|name| name.as_encoded_bytes().starts_with(TEMPORARY.as_bytes()))
}

fn temporaries() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY);
    builder
}

/// A unique name for a temporary file.
pub(super) fn temporary_name() -> String {
    let random = || RandomState::new().build_hasher().finish();
    format!("{TEMPORARY}{:016x}", random())
}

/// A temporary folder, which is removed with this value.
#[derive(Debug)]
pub struct TemporaryFolder {
    /// A signal removes it too. The first field, so that nobody removes it twice.
    _on_end: OnEnd,
    folder: TempDir,
    /// Its lock tells other processes that the owner is alive.
    _handle: File,
}

impl TemporaryFolder {
    /// A new one in the system's folder for them.
    ///
    /// # Errors
    /// The disk's, with that folder.
    pub fn new() -> io::Result<Self> {
        let folder = std::env::temp_dir();
        Self::within(&folder)
            .map_err(|error| io::Error::new(error.kind(), format!("a temporary folder in {error}")))
    }

    /// A new temporary folder in `folder`.
    ///
    /// # Errors
    /// The disk's.
    pub fn within(folder: &Path) -> io::Result<Self> {
        held(folder, || {
            let made = temporaries().tempdir_in(folder)?;
            let handle = File::open(made.path())?;
            let is_held = is_held(&handle);
            let path = made.path().to_owned();
            Ok((
                Self {
                    _on_end: ending::on_end(move || drop(fs_err::remove_dir_all(path))),
                    folder: made,
                    _handle: handle,
                },
                is_held,
            ))
        })
        .map_err(|error| named(&error, folder))
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Calls `make` until its result is locked: another run may remove what is new in `folder` in the instant before its
/// owner opens or locks it.
fn held<T>(folder: &Path, mut make: impl FnMut() -> io::Result<(T, bool)>) -> io::Result<T> {
    loop {
        match make() {
            Ok((made, true)) => return Ok(made),
            Err(error) if error.kind() != io::ErrorKind::NotFound || !folder.is_dir() => {
                return Err(error);
            }
            _ => {}
        }
    }
}

/// Locks a file that was just made, so that no other run takes it for a dead process's. Returns false if one already
/// has.
///
/// On a file system without locks, no run removes anything.
pub(super) fn is_held(made: &File) -> bool {
    let is_there = || made.metadata().is_ok_and(|metadata| metadata.nlink() > 0);
    !matches!(made.try_lock(), Err(TryLockError::WouldBlock)) && is_there()
}

/// The owner of a file or folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// This process, as long as the handle is open; or the file system has no locks.
    Ours,
    /// Another living process.
    Theirs,
    /// The path is gone, or belongs to a different file.
    Gone,
}

/// Tries to lock the file that was opened at `path`.
pub(super) fn hold(handle: &File, path: &Path) -> Hold {
    hold_or_fail(handle, path).unwrap_or_else(|_| holder_of(handle, path))
}

/// [`hold`] where a file system without locks is an error.
///
/// # Errors
/// The file cannot be locked.
pub(super) fn hold_or_fail(handle: &File, path: &Path) -> io::Result<Hold> {
    match handle.try_lock() {
        Err(TryLockError::WouldBlock) => Ok(Hold::Theirs),
        Err(TryLockError::Error(error)) => Err(error),
        Ok(()) => Ok(holder_of(handle, path)),
    }
}

/// Whether a file that nobody else holds is still at `path`.
fn holder_of(handle: &File, path: &Path) -> Hold {
    let now = path.symlink_metadata();
    let opened = handle.metadata();
    let identity = |metadata: &Metadata| (metadata.dev(), metadata.ino());
    match (now, opened) {
        (Ok(now), Ok(opened)) if identity(&now) == identity(&opened) => Hold::Ours,
        _ => Hold::Gone,
    }
}

/// Removes the temporary files that killed runs have left in `folder`, but none that a living process holds.
///
/// A file that cannot be removed stays; it is never an input.
pub fn sweep(folder: &Path) {
    for entry in fs_err::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if is_unfinished(&path) {
            drop(take_away(&path));
        }
    }
}

/// Removes the temporary files and folders that killed runs of this user have left among those of the system.
pub fn sweep_temporary() {
    let user = rustix::process::geteuid().as_raw();
    let entries = fs_err::read_dir(std::env::temp_dir());
    for entry in entries.into_iter().flatten().flatten() {
        let path = entry.path();
        let is_own = || {
            path.symlink_metadata()
                .is_ok_and(|found| found.uid() == user)
        };
        if is_unfinished(&path) && is_own() {
            drop(take_away(&path));
        }
    }
}

fn take_away(path: &Path) -> io::Result<()> {
    let mut options = File::options();
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    options.read(true).custom_flags(flags.cast_signed());
    let handle = options.open(path)?;
    handle.try_lock()?;
    match hold(&handle, path) {
        Hold::Ours if handle.metadata()?.is_dir() => fs_err::remove_dir_all(path),
        Hold::Ours => fs_err::remove_file(path),
        Hold::Theirs | Hold::Gone => Ok(()),
    }
}

/// An error with the path that it is about.
pub(super) fn named(error: &io::Error, path: &Path) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// The mode of new files, whatever the umask is.
fn default_permissions() -> std::fs::Permissions {
    use std::os::unix::fs::PermissionsExt;
    std::fs::Permissions::from_mode(0o644)
}

/// The cache's folder: `SPARKPACK_CACHE`, else `sparkpack` in `XDG_CACHE_HOME` or in `~/.cache`; without a home
/// `sparkpack-UID` in the folder for temporary files, of which [`own_cache_folder`] has more.
#[must_use]
pub fn cache_folder() -> PathBuf {
    cache_folder_at_home().unwrap_or_else(|| {
        let user = machine::user_outside();
        std::env::temp_dir().join(format!("sparkpack-{user}"))
    })
}

/// The cache's folder as [`cache_folder`] has it. Without a home it lies where others may make folders too: there it is
/// made for this user alone, and one that is not this user's alone is refused.
///
/// # Errors
/// It cannot be made, or is refused.
pub fn own_cache_folder() -> io::Result<PathBuf> {
    if let Some(folder) = cache_folder_at_home() {
        return Ok(folder);
    }
    let folder = cache_folder();
    let made = std::fs::DirBuilder::new().mode(0o700).create(&folder);
    match made {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let reason = "without HOME the cache would be there, and TMPDIR is no folder";
            let error = io::Error::new(io::ErrorKind::NotADirectory, reason);
            return Err(named(&error, &folder));
        }
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(named(&error, &folder));
        }
        _ => {}
    }
    let found = fs_err::symlink_metadata(&folder)?;
    let problem = if !found.is_dir() {
        "it is no folder"
    } else if found.uid() != rustix::process::geteuid().as_raw() {
        "it belongs to another user"
    } else if found.mode() & 0o022 != 0 {
        "other users may write into it"
    } else {
        return Ok(folder);
    };
    let error = io::Error::new(
        io::ErrorKind::PermissionDenied,
        format!("without HOME the cache would be there, but {problem}"),
    );
    Err(named(&error, &folder))
}

#[expect(
    clippy::disallowed_methods,
    reason = "an adapter reads the environment"
)]
fn cache_folder_at_home() -> Option<PathBuf> {
    let set = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let in_home = || set("HOME").map(|home| home.join(".cache"));
    set("SPARKPACK_CACHE").or_else(|| {
        let parent = set("XDG_CACHE_HOME").or_else(in_home);
        parent.map(|parent| parent.join("sparkpack"))
    })
}

/// The value of an environment variable, if it is set to valid text.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "an adapter reads the environment"
)]
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The folder in which sparkpack was started.
///
/// # Errors
/// The folder has been deleted.
pub fn current_folder() -> io::Result<PathBuf> {
    std::env::current_dir()
}

/// Moves the folder `from` to `to`, and replaces an existing folder there.
///
/// # Errors
/// The disk's.
pub fn move_folder(from: &Path, to: &Path) -> io::Result<()> {
    if to.symlink_metadata().is_ok() {
        fs_err::remove_dir_all(to)?;
    }
    fs_err::rename(from, to)
}

/// Copies `entries` into the new folder `into`; symbolic links stay links. Instead of a copy, a file that is the same as
/// another becomes a hard link to it: `same` names that one.
///
/// # Errors
/// The disk's.
pub fn copy_tree(
    entries: &[Entry],
    into: &Path,
    same: impl Fn(&Entry) -> Option<PathBuf> + Sync,
) -> io::Result<()> {
    fs_err::create_dir_all(into)?;
    let make = |below: &Vec<&str>| {
        let mut folders = below.iter();
        folders.try_for_each(|folder| fs_err::create_dir(into.join(folder)))
    };
    folders_by_top(entries).par_iter().try_for_each(make)?;
    entries.par_iter().try_for_each(|entry| {
        let file = into.join(&entry.path);
        // Not every file system has hard links, and a file can have only so many.
        match same(entry) {
            Some(same) if fs_err::hard_link(&same, &file).is_ok() => Ok(()),
            _ => copy(entry, &file),
        }
    })
}

/// The folders that the paths need, each after the one that it lies in; those with the same top are together.
fn folders_by_top(entries: &[Entry]) -> Vec<Vec<&str>> {
    let mut by_top: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for folder in folders_of(entries) {
        let top = folder.split('/').next().unwrap_or(folder);
        by_top.entry(top).or_default().push(folder);
    }
    by_top.into_values().collect()
}

/// Makes a new file or link with the content of `entry`.
fn copy(entry: &Entry, file: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    match &entry.content {
        Content::File {
            executable,
            location,
            ..
        } => {
            let mut output = fs_err::File::create(file)?;
            io::copy(&mut location.open()?, &mut output)?;
            output.set_permissions(std::fs::Permissions::from_mode(mode(*executable)))
        }
        Content::Symlink { target } => fs_err::os::unix::fs::symlink(target, file),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn what_cannot_be_written_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs_err::create_dir(path("folder")).unwrap();
        fs_err::write(path("file"), "").unwrap();
        replace(&path("folder"), b"new").unwrap_err();
        replace(&path("file/b"), b"new").unwrap_err();
        replace_unsynced(&path("folder"), b"new").unwrap_err();
        let left: Vec<_> = fs_err::read_dir(folder.path()).unwrap().collect();
        assert_eq!(left.len(), 2, "nothing half-written stays: {left:?}");
    }

    #[test]
    fn only_what_has_no_owner_is_swept() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for file in [
            ".sparkpack-dead",
            "kept",
            "sub/.sparkpack-deeper",
            ".sparkpack-tree/a/b",
        ] {
            fs_err::create_dir_all(path(file).parent().unwrap()).unwrap();
            fs_err::write(path(file), "").unwrap();
        }
        symlink("kept", path(".sparkpack-link")).unwrap();
        let file = beside(&path("new"), b"half").unwrap();
        let tree = TemporaryFolder::within(folder.path()).unwrap();
        sweep(folder.path());
        let names = || {
            let entries = fs_err::read_dir(folder.path()).unwrap();
            let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            names.collect::<std::collections::BTreeSet<String>>()
        };
        let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        let living = [name(file.path()), name(tree.path())];
        let others = ["kept", "sub", ".sparkpack-link"].map(str::to_owned);
        assert_eq!(names(), living.into_iter().chain(others.clone()).collect());
        persist(file, &path("new")).unwrap();
        drop(tree);
        let new = std::iter::once("new".to_owned());
        assert_eq!(names(), others.into_iter().chain(new).collect());
        assert!(path("sub/.sparkpack-deeper").exists());
    }

    #[test]
    fn who_sweeps_takes_nothing_from_those_who_write() {
        let folder = tempfile::tempdir().unwrap();
        let done = std::sync::atomic::AtomicBool::new(false);
        let is_done = || done.load(std::sync::atomic::Ordering::Relaxed);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_done() {
                    sweep(folder.path());
                }
            });
            for number in 0..2000 {
                let text = number.to_string();
                let file = folder.path().join(&text);
                replace_unsynced(&file, text.as_bytes()).unwrap();
                assert_eq!(fs_err::read_to_string(&file).unwrap(), text);
                fs_err::remove_file(&file).unwrap();
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    }

    #[test]
    fn mode_owner_and_link_stay() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs_err::write(&file, "old").unwrap();
        fs_err::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        // Only root can change the owner; for other users the test compares equal owners.
        drop(std::os::unix::fs::chown(&file, Some(65534), Some(65534)));
        let before = fs_err::metadata(&file).unwrap();
        symlink("file", &link).unwrap();
        replace(&link, b"new").unwrap();
        let after = fs_err::metadata(&file).unwrap();
        assert_eq!(fs_err::read_to_string(&file).unwrap(), "new");
        assert!(link.is_symlink());
        assert_eq!(
            (after.mode(), after.uid(), after.gid()),
            (before.mode(), before.uid(), before.gid())
        );
    }
}
