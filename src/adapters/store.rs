//! Files that are written whole or not at all, and the cache.

use std::{
    fs::{File, TryLockError},
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::project::tree::{Content, Entry};

/// Replaces `file` by `bytes`: beside it first, synced, then renamed; its mode and owner are kept, a link is followed.
///
/// # Errors
/// The disk's; `file` is then as it was.
pub fn replace(file: &Path, bytes: &[u8]) -> io::Result<()> {
    replace_all(&[(file.to_owned(), bytes.to_vec())])
}

/// Replaces several files: all of them are written before the first is renamed.
///
/// # Errors
/// The disk's; where it failed at writing, every file is as it was.
pub fn replace_all(files: &[(PathBuf, Vec<u8>)]) -> io::Result<()> {
    let mut written = Vec::new();
    for (file, bytes) in files {
        let file = fs_err::canonicalize(file).unwrap_or_else(|_| file.clone());
        written.push((write_beside(&file, bytes)?, file));
    }
    for (temporary, file) in written {
        temporary
            .persist(&file)
            .map_err(|error| named(&error.error, &file))?;
        fs_err::File::open(folder_of(&file))?.sync_all()?;
    }
    Ok(())
}

/// Replaces a file that can be made again: whole or not at all for whoever reads it, but not synced, and only its
/// owner's.
///
/// # Errors
/// The disk's.
pub fn replace_unsynced(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = folder_of(file);
    fs_err::create_dir_all(folder)?;
    let mut temporary = tempfile::Builder::new()
        .prefix(TEMPORARY)
        .tempfile_in(folder)
        .map_err(|error| named(&error, folder))?;
    temporary.write_all(bytes)?;
    temporary
        .persist(file)
        .map_err(|error| named(&error.error, file))?;
    Ok(())
}

fn folder_of(file: &Path) -> &Path {
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// Writes what is to become `file` into a temporary file beside it.
fn write_beside(file: &Path, bytes: &[u8]) -> io::Result<tempfile::TempPath> {
    let folder = folder_of(file);
    fs_err::create_dir_all(folder)?;
    let temporary = tempfile::Builder::new()
        .prefix(TEMPORARY)
        .tempfile_in(folder);
    let temporary = temporary.map_err(|error| named(&error, folder))?;
    let (handle, path) = temporary.into_parts();
    let mut output = fs_err::File::from_parts(handle, &*path);
    output.write_all(bytes)?;
    let permissions = match fs_err::metadata(file) {
        Ok(existing) => {
            // Only root can give a file away; anybody else owns what was there.
            drop(std::os::unix::fs::chown(
                &path,
                Some(existing.uid()),
                Some(existing.gid()),
            ));
            existing.permissions()
        }
        Err(_) => default_permissions(),
    };
    output.set_permissions(permissions)?;
    output.sync_all()?;
    Ok(path)
}

/// What the names of half-written files begin with: never an input of anything.
const TEMPORARY: &str = ".sparkpack-";

fn named(error: &io::Error, path: &Path) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// A new file's mode does not depend on the umask.
fn default_permissions() -> std::fs::Permissions {
    use std::os::unix::fs::PermissionsExt;
    std::fs::Permissions::from_mode(0o644)
}

/// The cache's folder: `SPARKPACK_CACHE`, else `sparkpack` in `XDG_CACHE_HOME`, in `~/.cache`, or in the temporary folder.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "an adapter reads the environment"
)]
pub fn cache_folder() -> PathBuf {
    let set = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let in_home = || set("HOME").map(|home| home.join(".cache"));
    set("SPARKPACK_CACHE").unwrap_or_else(|| {
        let parent = set("XDG_CACHE_HOME").or_else(in_home);
        parent.unwrap_or_else(std::env::temp_dir).join("sparkpack")
    })
}

/// The value of an environment variable, where it is set and is text.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "an adapter reads the environment"
)]
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The folder that sparkpack was called in.
///
/// # Errors
/// It has been deleted.
pub fn current_folder() -> io::Result<PathBuf> {
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("the current folder: {error}"));
    std::env::current_dir().map_err(named)
}

/// Puts the folder `from` in the place of `to`, which may be there.
///
/// # Errors
/// The disk's.
pub fn move_folder(from: &Path, to: &Path) -> io::Result<()> {
    if to.symlink_metadata().is_ok() {
        fs_err::remove_dir_all(to)?;
    }
    fs_err::rename(from, to)
}

/// Holds a lock on the file `file`, which is made, until it is dropped; a holder that died holds nothing.
///
/// # Errors
/// The file cannot be made or locked.
pub fn lock(file: &Path, waiting: impl FnOnce()) -> io::Result<File> {
    fs_err::create_dir_all(folder_of(file))?;
    let handle = File::options().create(true).append(true).open(file);
    let handle = handle.map_err(|error| named(&error, file))?;
    match handle.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            waiting();
            handle.lock().map_err(|error| named(&error, file))?;
        }
        Err(TryLockError::Error(error)) => return Err(named(&error, file)),
    }
    Ok(handle)
}

/// Copies `entries` into the new folder `into`; symbolic links stay links.
///
/// # Errors
/// The disk's.
pub fn copy_tree(entries: &[Entry], into: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs_err::create_dir_all(into)?;
    for entry in entries {
        let file = into.join(&entry.path);
        if let Some(folder) = file.parent() {
            fs_err::create_dir_all(folder)?;
        }
        match &entry.content {
            Content::File {
                executable,
                location,
                ..
            } => {
                let mut output = fs_err::File::create(&file)?;
                io::copy(&mut location.open()?, &mut output)?;
                let mode = if *executable { 0o755 } else { 0o644 };
                output.set_permissions(std::fs::Permissions::from_mode(mode))?;
            }
            Content::Symlink { target } => fs_err::os::unix::fs::symlink(target, &file)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn several_files_change_together_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs_err::write(path("a"), "old").unwrap();
        fs_err::write(path("file"), "").unwrap();
        let impossible = [
            (path("a"), b"new".to_vec()),
            (path("file/b"), b"new".to_vec()),
        ];
        replace_all(&impossible).unwrap_err();
        assert_eq!(fs_err::read_to_string(path("a")).unwrap(), "old");
        let left: Vec<_> = fs_err::read_dir(folder.path()).unwrap().collect();
        assert_eq!(left.len(), 2, "nothing half-written stays: {left:?}");
        replace_all(&[(path("a"), b"new".to_vec()), (path("b"), b"new".to_vec())]).unwrap();
        assert_eq!(fs_err::read_to_string(path("a")).unwrap(), "new");
        assert_eq!(fs_err::read_to_string(path("b")).unwrap(), "new");
    }

    #[test]
    fn mode_owner_and_link_stay() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs_err::write(&file, "old").unwrap();
        fs_err::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        // Only root can give the file away; elsewhere the owner is the same before and after.
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

    #[test]
    fn a_second_holder_waits_for_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("locks/x");
        let first = lock(&file, || panic!("nobody holds it")).unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| drop(lock(&file, || sender.send("waits").unwrap()).unwrap()));
            assert_eq!(receiver.recv().unwrap(), "waits");
            drop(first);
        });
    }
}
