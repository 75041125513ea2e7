//! Names as a disk takes them that tells neither upper and lower case nor the forms of Unicode apart: those of macOS and
//! Windows, and of their disks elsewhere.

use std::{
    borrow::Cow,
    collections::HashMap,
    ffi::OsString,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use unicode_normalization::UnicodeNormalization as _;

/// What all names have in common that such a disk takes for one.
#[must_use]
pub fn folded(name: &str) -> Cow<'_, str> {
    if name.is_ascii() {
        return if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(name.to_ascii_lowercase())
        } else {
            Cow::Borrowed(name)
        };
    }
    // By way of upper case `ß` becomes `ss`, and all forms of a sigma the same.
    let upper = name.nfd().flat_map(char::to_uppercase);
    let lower = upper.flat_map(char::to_lowercase);
    Cow::Owned(lower.nfc().collect())
}

/// Whether two names that fold to the same one are the same letters in two forms of Unicode.
#[must_use]
pub fn differ_in_form_alone(left: &str, right: &str) -> bool {
    left.nfc().eq(right.nfc())
}

/// The name with the letters that are no ASCII by their numbers: two forms of one letter look the same.
#[must_use]
pub fn by_numbers(name: &str) -> String {
    let mut shown = String::new();
    for character in name.chars() {
        if character.is_ascii() {
            shown.push(character);
        } else {
            shown.extend(character.escape_unicode());
        }
    }
    shown
}

/// How git's index spells the files and folders of a checkout on such a disk, which may list them in another way: then
/// git's spelling counts, for every other checkout has it.
#[derive(Clone, Debug, Default)]
pub struct Spelling(Arc<HashMap<String, Option<PathBuf>>>);

impl Spelling {
    /// The spelling of these files: absolute paths.
    #[must_use]
    pub fn of(files: impl IntoIterator<Item = PathBuf>) -> Self {
        let mut spelled: HashMap<String, Option<PathBuf>> = HashMap::new();
        for file in files {
            for path in file.ancestors() {
                let Some(text) = path.to_str() else {
                    continue;
                };
                let known = spelled.entry(folded(text).into_owned());
                let known = known.or_insert_with(|| Some(path.to_owned()));
                // Of two that fold to one nobody knows which one the disk has.
                if known.as_deref().is_some_and(|known| known != path) {
                    *known = None;
                }
            }
        }
        Self(Arc::new(spelled))
    }

    /// The path below `root`, a folder without symbolic links, with the names that the index has.
    #[must_use]
    pub fn path(&self, root: &Path, below: &str) -> String {
        let mut at = root.to_owned();
        let names = below.split('/').map(|name| {
            at.push(name);
            let spelled = self.name(&at).and_then(|name| name.into_string().ok());
            spelled.unwrap_or_else(|| name.to_owned())
        });
        let names: Vec<String> = names.collect();
        names.join("/")
    }

    /// The name that the index has for a file or folder of the disk, if that is another one.
    #[must_use]
    pub fn name(&self, file: &Path) -> Option<OsString> {
        let spelled = self.0.get(&*folded(file.to_str()?))?.as_deref()?;
        let name = spelled
            .file_name()
            .filter(|name| Some(*name) != file.file_name())?;
        // A disk that does tell them apart has another file there, or none.
        let there = fs_err::symlink_metadata(file.with_file_name(name)).ok()?;
        let listed = fs_err::symlink_metadata(file).ok()?;
        let is_same = (there.dev(), there.ino()) == (listed.dev(), listed.ino());
        is_same.then(|| name.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fold_as_on_disks_that_do_not_tell_them_apart() {
        for (left, right) in [
            ("A.py", "a.py"),
            ("caf\u{e9}.py", "cafe\u{301}.py"),
            ("\u{c9}TE", "e\u{301}te"),
            ("STRASSE", "stra\u{df}e"),
            ("\u{3a3}\u{3a3}", "\u{3c3}\u{3c2}"),
            ("\u{212b}", "\u{e5}"),
        ] {
            assert_eq!(folded(left), folded(right), "{left} {right}");
        }
        for (left, right) in [
            ("a", "b"),
            ("e", "\u{e9}"),
            ("a_b", "a-b"),
            ("\u{ff41}", "a"),
        ] {
            assert_ne!(folded(left), folded(right), "{left} {right}");
        }
        assert!(differ_in_form_alone("\u{e9}", "e\u{301}"));
        assert!(!differ_in_form_alone("\u{c9}", "e\u{301}"));
        assert_eq!(by_numbers("e\u{301}.py"), "e\\u{301}.py");
    }

    #[test]
    fn where_the_disk_tells_names_apart_its_own_count() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs_err::write(path("a.py"), "").unwrap();
        let spelling = Spelling::of([path("A.py"), path("Jobs/b.py")]);
        assert_eq!(spelling.name(&path("a.py")), None, "there is no `A.py`");
        // The same file under both names, as such a disk has it.
        fs_err::hard_link(path("a.py"), path("A.py")).unwrap();
        assert_eq!(spelling.name(&path("a.py")), Some("A.py".into()));
        assert_eq!(spelling.name(&path("A.py")), None);
        fs_err::remove_file(path("A.py")).unwrap();
        fs_err::write(path("A.py"), "").unwrap();
        assert_eq!(spelling.name(&path("a.py")), None, "another file");
        let both = Spelling::of([path("A.py"), path("a.PY")]);
        assert_eq!(both.name(&path("a.py")), None);
    }
}
