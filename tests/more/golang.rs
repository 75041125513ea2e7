//! Programs that are built from their Go modules, and kept beside the cache.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
};

use crate::support;

/// The program of this name in a folder beside the cache, which `build` fills once.
pub(crate) fn built(folder: &str, program: &str, build: impl FnOnce(&Path)) -> PathBuf {
    static BUILDING: Mutex<()> = Mutex::new(());
    let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let file = place.join(folder).join(program);
    // Two tests may want the same, and only one of them builds it.
    let _building = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    if !file.is_file() {
        let unfinished = tempfile::tempdir_in(place).unwrap();
        build(unfinished.path());
        fs_err::rename(unfinished.keep(), place.join(folder)).unwrap();
    }
    file
}

/// The program of a package, installed as it is published.
pub(crate) fn installed(package: &str, version: &str) -> PathBuf {
    let program = package.rsplit('/').next().unwrap();
    built(&format!("{program}-{version}"), program, |unfinished| {
        let published = format!("{package}@v{version}");
        go(
            unfinished,
            &["install", "-p=2", "-ldflags=-s -w", &published],
        );
    })
}

/// Runs `go` in a folder, into which it installs what it is asked to, for at most half an hour.
pub(crate) fn go(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("timeout");
    command
        .args(["1800", "go"])
        .args(arguments)
        .current_dir(folder)
        .env("GOBIN", folder)
        .env("CGO_ENABLED", "0")
        .env("GOFLAGS", "-buildvcs=false");
    let run = support::run(&mut command);
    assert_eq!(run.code, 0, "go {arguments:?}\n{}", run.stderr);
    run.stdout
}
