//! Globs of the configuration: `*` stays in one folder, `**` crosses folders.

use std::{ffi::OsStr, path::Path};

use globset::{Glob, GlobBuilder, GlobMatcher};
use walkdir::WalkDir;

/// What a glob looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathKind {
    /// Regular files and links to them.
    Files,
    /// Folders.
    Folders,
}

/// Compiles a glob, which takes longer than to look through a small folder with it.
///
/// # Errors
/// What is wrong with it, in words.
pub fn compile(pattern: &str) -> Result<GlobMatcher, String> {
    parsed(pattern).map(|glob| glob.compile_matcher())
}

/// Whether it is a glob.
///
/// # Errors
/// What is wrong with it, in words.
pub fn check(pattern: &str) -> Result<(), String> {
    parsed(pattern).map(drop)
}

fn parsed(pattern: &str) -> Result<Glob, String> {
    let built = GlobBuilder::new(pattern).literal_separator(true).build();
    built.map_err(|error| error.kind().to_string())
}

/// The paths below `root` that match, relative to it with `/`, sorted. `.git` and unfinished temporary files never
/// match.
///
/// # Errors
/// The glob is wrong, or a folder cannot be read: the message.
pub fn matching(root: &Path, pattern: &str, wanted: PathKind) -> Result<Vec<String>, String> {
    let pattern = pattern.trim_start_matches("./");
    let matcher = compile(pattern)?;
    let fixed: Vec<&str> = pattern
        .split('/')
        .take_while(|part| !part.contains(['*', '?', '[', '{', '\\']))
        .collect();
    let start = root.join(fixed.join("/"));
    if !start.exists() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    let walk = WalkDir::new(&start).into_iter();
    for entry in walk.filter_entry(|entry| entry.depth() == 0 || !is_passed_over(entry.file_name()))
    {
        let entry = entry.map_err(|error| error.to_string())?;
        if let Some(name) = without_name(root, entry.path())
            && matcher.is_match(name)
        {
            return Err(format!(
                "`{}` matches `{pattern}`, and its name is not UTF-8: rename it",
                name.display()
            ));
        }
        let relative = entry.path().strip_prefix(root).ok().and_then(Path::to_str);
        let Some(relative) = relative.filter(|relative| matcher.is_match(relative)) else {
            continue;
        };
        let kind = entry.file_type();
        let is_wanted = match wanted {
            // The folder's listing has the type of most entries, which saves a call for each.
            PathKind::Files => kind.is_file() || kind.is_symlink() && entry.path().is_file(),
            PathKind::Folders => kind.is_dir(),
        };
        if is_wanted {
            found.push(relative.to_owned());
        }
    }
    found.sort();
    Ok(found)
}

/// The path relative to `root`, if it is not UTF-8 and so cannot be written into a file.
fn without_name<'p>(root: &Path, path: &'p Path) -> Option<&'p Path> {
    let relative = path.strip_prefix(root).ok()?;
    relative.to_str().is_none().then_some(relative)
}

/// Whether no pattern matches this name, however wide it is.
fn is_passed_over(name: &OsStr) -> bool {
    name == ".git" || name.as_encoded_bytes().starts_with(b".sparkpack-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stay_in_a_folder_and_double_stars_cross() {
        let folder = tempfile::tempdir().unwrap();
        for file in ["k/a.yml", "k/once/b.yml", "k/.git/c.yml", "k/d.txt"] {
            let file = folder.path().join(file);
            fs_err::create_dir_all(file.parent().unwrap()).unwrap();
            fs_err::write(file, "").unwrap();
        }
        let files = |pattern| matching(folder.path(), pattern, PathKind::Files).unwrap();
        assert_eq!(files("k/**/*.yml"), ["k/a.yml", "k/once/b.yml"]);
        assert_eq!(files("k/*.yml"), ["k/a.yml"]);
        assert_eq!(files("k/a.yml"), ["k/a.yml"]);
        assert_eq!(files("./k/*.yml"), ["k/a.yml"]);
        assert!(files("nothing/*").is_empty());
        fs_err::write(folder.path().join("k/.sparkpack-half"), "").unwrap();
        assert_eq!(files("k/*"), ["k/a.yml", "k/d.txt"]);
        assert_eq!(
            matching(folder.path(), "k/*", PathKind::Folders).unwrap(),
            ["k/once"]
        );
        assert!(compile("[a-").is_err());
    }

    #[test]
    fn a_name_that_cannot_be_written_is_told_and_not_passed_over() {
        use std::os::unix::ffi::OsStrExt as _;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(OsStr::from_bytes(b"a\xff.yml"));
        fs_err::write(file, "").unwrap();
        let why = matching(folder.path(), "*.yml", PathKind::Files).unwrap_err();
        assert!(why.contains("is not UTF-8: rename it"), "{why}");
        let others = matching(folder.path(), "*.txt", PathKind::Files).unwrap();
        assert!(others.is_empty());
    }
}
