//! Disks that are really full, without room for another file, read-only, or limited: one clear error, nothing old is lost,
//! and the next run on a sound disk succeeds.

use std::{fmt::Write as _, process::Command};

use crate::support::{TestProject, count, run, small, started_by};

const ROOT: &str = "registry.example/root:1";

/// Mounts for one run alone: nobody else sees them.
const FULL: &str = "mount -t tmpfs -o size=4k none \"$1\" && shift && exec \"$@\"";
const NO_FILES: &str = "mount -t tmpfs -o nr_inodes=3 none \"$1\" && shift && exec \"$@\"";
const READ_ONLY: &str =
    "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" && shift && exec \"$@\"";
/// In blocks of 1 KiB.
const LIMITED: &str = "ulimit -f 8 && shift && exec \"$@\"";

/// A job with a file that is too large for the small disks.
fn project() -> TestProject {
    let project = small::project(ROOT, "registry.example");
    project.write("sparkpack.lock", &small::lock(ROOT));
    let numbers = (0..100_000_u64).fold(String::new(), |mut text, number| {
        write!(text, "{:x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).unwrap();
        text
    });
    project.write("src/jobs/data.txt", &numbers);
    project.succeed(&["lock"]);
    project
}

/// A run with a disk of its own in a folder of the project's.
fn on_disk(project: &TestProject, script: &str, folder: &str, verb: &str) -> crate::support::Run {
    let command = project.command(&[verb]);
    let folder = project.root().join(folder);
    fs_err::create_dir_all(&folder).unwrap();
    let mut shell = Command::new("unshare");
    shell.args(["--mount", "bash", "-c", script, "bash"]);
    run(started_by(shell.arg(folder), &command))
}

#[test]
fn a_disk_without_room_is_told_once_and_nothing_old_is_lost() {
    if crate::support::program("id", &["-u"]).trim() != "0" {
        assert!(std::env::var_os("CI").is_none(), "only root can mount");
        return;
    }
    let cases = [
        ("a full cache", FULL, "../cache", "package"),
        (
            "a cache without room for a file",
            NO_FILES,
            "../cache",
            "package",
        ),
        (
            "a cache that is read-only",
            READ_ONLY,
            "../cache",
            "package",
        ),
        ("a full dist", FULL, "dist", "package"),
        (
            "a dist without room for a file",
            NO_FILES,
            "dist",
            "package",
        ),
        ("a dist that is read-only", READ_ONLY, "dist", "package"),
        (
            "manifests that are read-only",
            READ_ONLY,
            "kubernetes",
            "pin",
        ),
        ("a project that is read-only", READ_ONLY, ".", "pin"),
        ("files that may not grow", LIMITED, "dist", "package"),
    ];
    for (name, script, folder, verb) in cases {
        let project = project();
        let before = project.files();
        let failed = on_disk(&project, script, folder, verb);
        let told = &failed.stderr;
        assert_eq!(failed.code, 6, "{name}: {told}");
        assert_eq!(told.matches("error[").count(), 1, "{name}: {told}");
        assert!(
            told.contains("error[E610]: ") || told.contains("error[E626]: "),
            "{name}: {told}"
        );
        assert_eq!(project.files(), before, "{name}: {told}");
        project.succeed(&[verb]);
        let top = project.root().parent().unwrap().to_owned();
        let all = walkdir::WalkDir::new(&top).into_iter().map(Result::unwrap);
        let left = all.filter(|entry| {
            entry
                .file_name()
                .to_string_lossy()
                .starts_with(".sparkpack-")
        });
        assert_eq!(left.count(), 0, "{name}");
    }
    let what = "disks that are full, read-only or limited";
    count("P10", what, cases.len(), &[]);
}

/// What they keep only saves time.
#[test]
fn a_full_cache_stops_nobody_who_makes_nothing() {
    if crate::support::program("id", &["-u"]).trim() != "0" {
        assert!(std::env::var_os("CI").is_none(), "only root can mount");
        return;
    }
    let project = project();
    for verb in ["pin", "tags", "plan"] {
        let done = on_disk(&project, FULL, "../cache", verb);
        assert_eq!(done.code, 0, "{verb}: {}", done.stderr);
    }
}
