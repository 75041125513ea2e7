//! The wheel of sparkpack, and a machine without a Rust toolchain.

use std::path::{Path, PathBuf};

/// The version that the wheel has.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The folder with the wheel, which `scripts/test` makes: no test builds the binary while others run it.
pub(crate) fn wheels() -> PathBuf {
    let folder = std::env::var("SPARKPACK_WHEELS");
    let folder = PathBuf::from(folder.expect("scripts/test makes the wheel"));
    let names: Vec<String> = fs_err::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let [wheel] = names.as_slice() else {
        panic!("{names:?}");
    };
    let begin = format!("sparkpack-{VERSION}-py3-none-");
    assert!(
        wheel.starts_with(&begin) && wheel.contains("linux"),
        "{wheel}"
    );
    folder
}

/// A `PATH` without a Rust toolchain.
pub(crate) fn path_without_rust(first: &Path) -> String {
    let path = std::env::var("PATH").unwrap();
    let folders = std::env::split_paths(&path);
    let folders = folders.filter(|folder| !folder.join("cargo").exists());
    let all = std::iter::once(first.to_owned()).chain(folders);
    std::env::join_paths(all).unwrap().into_string().unwrap()
}
