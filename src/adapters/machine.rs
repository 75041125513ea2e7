//! Facts about this machine: its disks, its folders, its clock, and what it can emulate.

use std::{
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use rustix::{
    fs::Access,
    io::Errno,
    process::{Pid, test_kill_process},
};

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

/// What the kernel tells of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessState {
    /// When it began, in ticks since the machine did.
    pub began: u64,
    /// Whether it has been stopped, and waits to be told to go on.
    pub is_stopped: bool,
}

/// What the kernel tells of the process with this number; `None` if there is none, or if nothing is told here.
#[must_use]
pub fn process(pid: u32) -> Option<ProcessState> {
    let facts = facts_of(pid)?;
    let mut facts = facts.split_whitespace();
    let is_stopped = matches!(facts.next()?, "T" | "t");
    let began = facts.nth(18)?.parse().ok()?;
    Some(ProcessState { began, is_stopped })
}

/// What the kernel tells of a process, from its state on.
fn facts_of(pid: u32) -> Option<String> {
    let text = fs_err::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of its program may have spaces and brackets.
    Some(text.rsplit_once(')')?.1.to_owned())
}

/// The numbers of the processes that this one has started, and that those have. None where the kernel does not tell.
#[must_use]
pub fn descendants() -> Vec<u32> {
    let numbers = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let parents: Vec<(u32, u32)> = numbers
        .filter_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let facts = facts_of(pid)?;
            let mut facts = facts.split_whitespace();
            // One that has ended waits to be asked how.
            let is_there = facts.next()? != "Z";
            Some((pid, facts.next()?.parse().ok()?)).filter(|_| is_there)
        })
        .collect();
    let mut found = vec![std::process::id()];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        let children = parents.iter().filter(|(_, of)| *of == parent);
        found.extend(children.map(|(pid, _)| *pid));
        next += 1;
    }
    found.split_off(1)
}

/// What tells this process from all others, also those of other machines and containers: what its kernel calls its start
/// and its numbers of processes, its own number, and when it began. `None` where the kernel does not tell.
#[must_use]
pub fn this_run() -> Option<String> {
    let pid = std::process::id();
    Some(format!("{} {pid} {}", numbering()?, process(pid)?.began))
}

/// Whether the process that [`this_run`] told has ended. Nothing is known of those of other machines and containers.
#[must_use]
pub fn has_ended(run: &str) -> bool {
    let own = numbering();
    let Some(rest) = own.and_then(|own| run.strip_prefix(&own)) else {
        return false;
    };
    let words: Vec<&str> = rest.split_whitespace().collect();
    let [pid, began] = words[..] else {
        return false;
    };
    match (pid.parse(), began.parse::<u64>()) {
        (Ok(pid), Ok(began)) => match process(pid) {
            Some(process) => process.began != began,
            // A /proc may hide the processes of other users.
            None => !is_there(pid),
        },
        _ => false,
    }
}

/// Whether there is a process with this number, whoever may see it.
fn is_there(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| test_kill_process(pid) != Err(Errno::SRCH))
}

/// What tells the numbers of processes here from those of other machines and containers.
fn numbering() -> Option<String> {
    let start = fs_err::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let numbers = fs_err::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", start.trim(), numbers.display()))
}

/// The signals that this process was started to ignore, the first in the lowest bit. None where the kernel does not tell.
#[must_use]
pub fn ignored_signals() -> u64 {
    let text = fs_err::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = text.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or_default()
}

/// The number of this user where files are shared with others: root of a container without privileges is somebody else
/// outside.
#[must_use]
pub fn user_outside() -> u32 {
    let own = rustix::process::geteuid().as_raw();
    let text = fs_err::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let outside = text.lines().find_map(|line| {
        let numbers: Vec<u32> = line
            .split_whitespace()
            .map_while(|n| n.parse().ok())
            .collect();
        let [inside, outside, count] = numbers[..] else {
            return None;
        };
        let above = own.checked_sub(inside).filter(|above| *above < count)?;
        outside.checked_add(above)
    });
    outside.unwrap_or(own)
}

/// The name of this machine, if the kernel tells it.
#[must_use]
pub fn name() -> Option<String> {
    let name = fs_err::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim_end().to_owned())
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
    fn only_a_run_of_this_machine_is_known_to_have_ended() {
        let own = this_run().unwrap();
        assert!(!has_ended(&own), "this one goes on");
        let (rest, began) = own.rsplit_once(' ').unwrap();
        let later = began.parse::<u64>().unwrap() + 1;
        assert!(
            has_ended(&format!("{rest} {later}")),
            "the number is used again"
        );
        let (numbers, _) = rest.rsplit_once(' ').unwrap();
        assert!(has_ended(&format!("{numbers} 4294967295 1")));
        for unknown in ["", "elsewhere pid:[1] 1 1", numbers, rest] {
            assert!(!has_ended(unknown), "{unknown}");
        }
    }

    #[test]
    fn a_process_is_known_while_it_lives() {
        let own = process(std::process::id()).unwrap();
        assert!(own.began > 0 && !own.is_stopped);
        assert_eq!(process(u32::MAX), None);
        assert!(is_there(std::process::id()) && is_there(1));
        assert!(!is_there(u32::MAX) && !is_there(i32::MAX.cast_unsigned()));
    }

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
