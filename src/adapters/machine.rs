//! Facts about this machine: its disks, its folders, its clock, and what it can emulate.

use std::{
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use rustix::fs::Access;

/// Where the kernel tells which programs of other machines it can start.
const EMULATORS: &str = "/proc/sys/fs/binfmt_misc";

/// The free bytes on the disk that a path is on, or will be on.
#[must_use]
pub fn free_bytes(path: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(there(path)?).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Whether this user may write into a folder, or may make it; nothing is written.
///
/// # Errors
/// Why not.
pub fn check_writable(folder: &Path) -> io::Result<()> {
    check_writable_there(&there(folder).ok_or(io::ErrorKind::NotFound)?)
}

/// Whether this user may write into a folder that nobody makes; nothing is written.
///
/// # Errors
/// Why not.
pub fn check_writable_there(there: &Path) -> io::Result<()> {
    fs_err::metadata(there)?;
    if !there.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    Ok(rustix::fs::access(
        there,
        Access::WRITE_OK | Access::EXEC_OK,
    )?)
}

/// The folder for temporary files.
#[must_use]
pub fn temporary_folder() -> PathBuf {
    std::env::temp_dir()
}

/// The time of this machine's clock.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "it is compared with the clock of a registry, and reaches no image"
)]
pub fn now() -> SystemTime {
    SystemTime::now()
}

/// Whether programs for an architecture, as platforms name it, can be started here by an emulator; `None` where that
/// cannot be known.
#[must_use]
pub fn emulates(architecture: &str) -> Option<bool> {
    emulates_by(Path::new(EMULATORS), architecture)
}

fn emulates_by(folder: &Path, architecture: &str) -> Option<bool> {
    let machine = match architecture {
        "amd64" => "x86_64",
        "arm64" => "aarch64",
        "386" => "i386",
        other => other,
    };
    if !folder.is_dir() {
        return cfg!(target_os = "linux").then_some(false);
    }
    let entry = fs_err::read_to_string(folder.join(format!("qemu-{machine}")));
    Some(entry.is_ok_and(|text| text.lines().any(|line| line == "enabled")))
}

/// The path, or the nearest one above it that is there.
fn there(path: &Path) -> Option<PathBuf> {
    let found = path
        .ancestors()
        .find(|path| path.symlink_metadata().is_ok());
    found.map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_there_is_as_the_one_above_it() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("a/b");
        check_writable(&below).unwrap();
        assert_eq!(
            free_bytes(&below).is_some(),
            free_bytes(folder.path()).is_some()
        );
        assert!(!below.exists());
        let file = folder.path().join("file");
        fs_err::write(&file, "").unwrap();
        let error = check_writable(&file.join("below")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotADirectory);
    }

    #[test]
    fn an_emulator_counts_where_it_is_enabled() {
        let folder = tempfile::tempdir().unwrap();
        let entry = |name: &str, text: &str| fs_err::write(folder.path().join(name), text).unwrap();
        entry(
            "qemu-aarch64",
            "enabled\ninterpreter /usr/bin/qemu-aarch64\n",
        );
        entry("qemu-s390x", "disabled\n");
        let emulates = |name| emulates_by(folder.path(), name);
        assert_eq!(emulates("arm64"), Some(true));
        assert_eq!(emulates("s390x"), Some(false));
        assert_eq!(emulates("riscv64"), Some(false));
    }
}
