//! Files that are written whole or not at all, and the cache.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use crate::project::tree::{Content, Entry};

/// Replaces `file` by `bytes`: beside it first, synced, then renamed; its mode is kept, a link is followed.
///
/// # Errors
/// The disk's; `file` is then as it was.
pub fn replace(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = fs_err::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    write_whole(&file, |output| output.write_all(bytes))
}

/// Writes `file` by `write`, whole or not at all.
///
/// # Errors
/// Those of `write` and the disk's; `file` is then as it was.
pub fn write_whole<E: From<io::Error>>(
    file: &Path,
    write: impl FnOnce(&mut fs_err::File) -> Result<(), E>,
) -> Result<(), E> {
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    fs_err::create_dir_all(folder)?;
    let temporary = tempfile::Builder::new()
        .prefix(".sparkpack-")
        .tempfile_in(folder)
        .map_err(|error| named(&error, folder))?;
    let (handle, path) = temporary.into_parts();
    let mut output = fs_err::File::from_parts(handle, &*path);
    write(&mut output)?;
    let permissions = match fs_err::metadata(file) {
        Ok(existing) => existing.permissions(),
        Err(_) => default_permissions(),
    };
    output.set_permissions(permissions)?;
    output.sync_all()?;
    drop(output);
    path.persist(file)
        .map_err(|error| named(&error.error, file))?;
    fs_err::File::open(folder)?.sync_all()?;
    Ok(())
}

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
