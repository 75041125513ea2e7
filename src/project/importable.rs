//! Whether Python can import what is packed: how much its versions read from a zip, and an archive without a module.

use std::{cell::OnceCell, io::Read as _, path::Path};

use super::{
    Package,
    exclusions::LeftOut,
    ignore::Excluded,
    place::Defect,
    tree::{Content, Entry, folders_of},
};
use crate::code::Code;

/// The number of bytes that neither an archive nor a file in it may exceed.
///
/// Above it a zip has 64-bit offsets. Up to 3.12 Python knows none of them, and 3.13 looks for `struct`, which it needs
/// to read them, in the archive itself, without end.
pub const LARGEST_ARCHIVE: u64 = u32::MAX as u64 - 1;

/// The versions of Python that were tried, and the largest number of files and folders from which each imports the last
/// one; `None` if no limit was found. Later versions read what the last one does.
const TRIED: [((u8, u8), Option<usize>); 8] = [
    ((3, 6), Some(65_535)),
    ((3, 7), Some(65_535)),
    ((3, 8), Some(65_535)),
    ((3, 9), Some(65_535)),
    ((3, 10), Some(65_535)),
    ((3, 11), Some(65_535)),
    ((3, 12), Some(65_535)),
    ((3, 13), None),
];

/// The largest number of files and folders of a zip that a Python reads; of an unknown one, that every Python reads.
#[must_use]
pub fn most_members(python: Option<(u8, u8)>) -> Option<usize> {
    let [(_, of_the_oldest), ..] = TRIED;
    let known = python.and_then(|python| TRIED.iter().rfind(|(tried, _)| *tried <= python));
    known.map_or(of_the_oldest, |(_, most)| *most)
}

/// The number of files and folders in a zip of `entries`.
#[must_use]
pub fn members(entries: &[Entry]) -> usize {
    entries.len() + folders_of(entries).len()
}

/// Refuses files that Python could not read from the archive `name`.
///
/// # Errors
/// They are too many or too large.
pub fn refuse_what_python_cannot_read(
    package: &Package,
    name: &str,
    entries: &[Entry],
    python: Option<(u8, u8)>,
) -> Result<(), Defect> {
    let too_large = entries.iter().find(|entry| match &entry.content {
        Content::File { size, .. } => *size > LARGEST_ARCHIVE,
        Content::Symlink { .. } => false,
    });
    if let Some(entry) = too_large {
        let what = format!("`{}` in `{name}` would have 4 GiB or more", entry.path);
        return Err(too_much(package, name, &what));
    }
    let Some(most) = most_members(python) else {
        return Ok(());
    };
    // A path has as many folders as slashes, and counting those is fast.
    let slashes = |entry: &Entry| entry.path.bytes().filter(|byte| *byte == b'/').count();
    if entries.len() + entries.iter().map(slashes).sum::<usize>() <= most {
        return Ok(());
    }
    let members = members(entries);
    if members <= most {
        return Ok(());
    }
    let python = python.map_or_else(
        || "a Python before 3.13".to_owned(),
        |(major, minor)| format!("Python {major}.{minor}"),
    );
    let message = format!(
        "`{name}` would have {members} files and folders, and {python} finds only the first {most} of a zip"
    );
    let cure = format!("set `python = \"3.13\"` for the chain, or {}", fewer(name));
    Err(Defect::new(Code::E120, package.place.clone(), message).hint(cure))
}

/// The error that the archive `name` would be larger than [`LARGEST_ARCHIVE`].
#[must_use]
pub fn too_large_archive(package: &Package, name: &str) -> Defect {
    too_much(package, name, &format!("`{name}` would have 4 GiB or more"))
}

fn too_much(package: &Package, name: &str, what: &str) -> Defect {
    let message = format!("{what}, and Python imports nothing from such a zip");
    Defect::new(Code::E120, package.place.clone(), message).hint(fewer(name))
}

fn fewer(name: &str) -> &'static str {
    match name {
        "libs.zip" => "install a part of the requirements in the parent image",
        _ => "leave out what is no code, such as data, by `exclude`",
    }
}

/// Whether Python can import the file at `path`.
fn is_module(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|end| end == "py")
}

/// Refuses a job whose archive would hold no module although somebody expects one there: it has other files, or the
/// main file imports what was left out. A job may consist of its main file alone.
///
/// `left_out` lists what was left out of the job's folder; it is asked only if no module is left.
///
/// # Errors
/// There is no module.
pub(super) fn refuse_without_module(
    package: &Package,
    modules: &[Entry],
    main: &Entry,
    left_out: impl FnOnce() -> Vec<(String, LeftOut)>,
) -> Result<(), Defect> {
    if modules.iter().any(|entry| is_module(&entry.path)) {
        return Ok(());
    }
    let defect = |message: String| Defect::new(Code::E121, package.place.clone(), message);
    let src = package.shown();
    let left_out = left_out();
    let text = OnceCell::new();
    let imported = left_out.iter().find_map(|(path, why)| {
        let top = path.split('/').next().unwrap_or(path);
        let name = top
            .strip_suffix(".py")
            .or_else(|| path.contains('/').then_some(top))?;
        let text = text.get_or_init(|| text_of(main));
        imports(text, name).then_some((path, why, name))
    });
    if let Some((path, why, name)) = imported {
        let message = format!(
            "`jobs.zip` would hold no Python module: `{}` imports `{name}`, but `{path}` in `{src}` is left out by {why}",
            package.main.path
        );
        let hint = match why {
            LeftOut::Excluded(Excluded::Configured(_)) => "take that out of `exclude`".to_owned(),
            _ => format!("rename it, or take it by `include = [\"/{path}\"]`"),
        };
        return Err(defect(message).hint(hint));
    }
    let is_beside = |path: &str| {
        let mut files = package.beside.values();
        files.any(|file| {
            let packed = package
                .trees
                .iter()
                .map(|tree| tree.packed_file(&file.path));
            packed.flatten().any(|packed| packed == path)
        })
    };
    let Some(first) = modules.iter().find(|entry| !is_beside(&entry.path)) else {
        return Ok(());
    };
    let message = format!(
        "`jobs.zip` would hold no Python module: beside `{}`, `{src}` has only files such as `{}`, which no code can open there",
        package.main.path, first.path
    );
    Err(defect(message).hint(
        "put the job's code there too (a package is a folder with `__init__.py`), leave the files out by `exclude`, or name them in `files`, which puts them beside `main.py`",
    ))
}

/// The text of a file; empty if it cannot be read.
fn text_of(file: &Entry) -> String {
    let Content::File { location, .. } = &file.content else {
        return String::new();
    };
    let mut text = Vec::new();
    let read = location
        .open()
        .and_then(|mut file| file.read_to_end(&mut text));
    read.map_or_else(
        |_| String::new(),
        |_| String::from_utf8_lossy(&text).into_owned(),
    )
}

/// Whether a line of a main file imports the module `name`, in whatever way.
fn imports(text: &str, name: &str) -> bool {
    let has_word = |line: &str, word: &str| {
        let is_name = |character: char| character.is_alphanumeric() || character == '_';
        line.split(|character| !is_name(character))
            .any(|found| found == word)
    };
    text.lines().any(|line| {
        let code = line.trim_start();
        !code.starts_with('#') && code.contains("import") && has_word(code, name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        image::Digest,
        project::{CodeTree, MainFile, place::Place, tree::Location},
    };

    fn package() -> Package {
        Package {
            place: Place::of_line("sparkpack.toml", 7),
            trees: vec![CodeTree {
                path: "src".to_owned(),
                packed: String::new(),
                is_module: false,
            }],
            main: MainFile {
                path: "src/main.py".to_owned(),
                packed: Some("main.py".to_owned()),
            },
            beside: std::collections::BTreeMap::new(),
            form: None,
            exclude: Vec::new(),
            ignored_imports: Vec::new(),
            dist: "dist".to_owned(),
        }
    }

    fn files(paths: &[&str]) -> Vec<Entry> {
        let file = |path: &&str| Entry::in_memory(*path, "", false);
        paths.iter().map(file).collect()
    }

    /// `count` modules, each in a folder of its own if that is wanted.
    fn many(count: usize, in_folders: bool) -> Vec<Entry> {
        let digest = Digest::of(b"");
        let path = |number| {
            if in_folders {
                format!("p{number}/m.py")
            } else {
                format!("m{number}.py")
            }
        };
        let content = |digest: &Digest| Content::File {
            digest: digest.clone(),
            executable: false,
            size: 0,
            location: Location::Memory(Vec::new()),
        };
        (0..count)
            .map(|number| Entry {
                path: path(number),
                content: content(&digest),
            })
            .collect()
    }

    #[test]
    fn versions_between_and_beyond_those_tried_are_known() {
        let wanted = [
            (None, Some(65_535)),
            (Some((2, 7)), Some(65_535)),
            (Some((3, 5)), Some(65_535)),
            (Some((3, 9)), Some(65_535)),
            (Some((3, 12)), Some(65_535)),
            (Some((3, 13)), None),
            (Some((3, 14)), None),
            (Some((4, 0)), None),
        ];
        for (python, most) in wanted {
            assert_eq!(most_members(python), most, "{python:?}");
        }
        assert!(TRIED.is_sorted());
    }

    #[test]
    fn what_an_older_python_would_not_find_is_refused() {
        for name in ["jobs.zip", "libs.zip"] {
            let refused = |entries: &[Entry], python| {
                refuse_what_python_cannot_read(&package(), name, entries, python).err()
            };
            for (entries, count) in [(many(65_536, false), 65_536), (many(32_768, true), 65_536)] {
                assert_eq!(members(&entries), count);
                for python in [None, Some((3, 9)), Some((3, 12))] {
                    assert!(refused(&entries[1..], python).is_none());
                    let defect = refused(&entries, python).unwrap();
                    assert_eq!(defect.code, "E120");
                    assert!(defect.message.contains("65536 files and folders"));
                    assert!(defect.message.contains(name), "{defect}");
                    assert!(defect.hint.unwrap().contains("python = \"3.13\""));
                }
                assert!(refused(&entries, Some((3, 13))).is_none());
            }
            let shared: Vec<Entry> = many(40_000, false)
                .into_iter()
                .map(|entry| entry.prefixed("a/b/c"))
                .collect();
            assert!(refused(&shared, Some((3, 9))).is_none(), "few folders");
        }
    }

    #[test]
    fn what_no_python_reads_is_refused() {
        let mut entries = files(&["a.py", "data.bin"]);
        for python in [None, Some((3, 9)), Some((3, 13)), Some((3, 14))] {
            for (bytes, is_refused) in [(0xffff_fffe, false), (0xffff_ffff, true)] {
                if let Content::File { size, .. } = &mut entries[1].content {
                    *size = bytes;
                }
                let checked =
                    refuse_what_python_cannot_read(&package(), "jobs.zip", &entries, python);
                assert_eq!(checked.is_err(), is_refused, "{python:?} {bytes}");
                if let Err(defect) = checked {
                    assert_eq!(defect.code, "E120");
                    assert!(defect.message.starts_with("`data.bin` in `jobs.zip`"));
                }
            }
        }
    }

    #[test]
    fn an_archive_without_a_module_is_refused_unless_none_is_expected() {
        let by_name = || LeftOut::Excluded(Excluded::Configured("x".to_owned()));
        let check = |modules: &[&str], text: &str, left_out: &[&str]| {
            let main = Entry::in_memory("main.py", text, false);
            let left_out = || {
                let paths = left_out.iter();
                paths.map(|path| ((*path).to_owned(), by_name())).collect()
            };
            refuse_without_module(&package(), &files(modules), &main, left_out)
        };
        assert_eq!(check(&["a/b.py", "q.sql"], "", &[]), Ok(()));
        assert_eq!(check(&[], "print(1)\n", &[]), Ok(()));
        assert_eq!(
            check(&[], "# import tests\nimport os\n", &["tests/"]),
            Ok(())
        );
        assert_eq!(check(&[], "import librarian\n", &["lib/"]), Ok(()));
        for (modules, text, left_out, wanted) in [
            (&["q.sql"][..], "", &[][..], "only files such as `q.sql`"),
            (
                &["a/b.json", "c.pyi"],
                "",
                &[],
                "only files such as `a/b.json`",
            ),
            (&[], "import jobs.a\n", &["jobs/"], "imports `jobs`"),
            (&[], "x = 1\n  from a import b\n", &["a.py"], "imports `a`"),
            (
                &["q.sql"],
                "importlib.import_module(f'jobs.{name}')\n",
                &["jobs/a.py", "jobs/b.py"],
                "`jobs/a.py` in `src` is left out by configuration `exclude = [\"x\"]`",
            ),
        ] {
            let defect = check(modules, text, left_out).unwrap_err();
            assert_eq!(defect.code, "E121");
            assert!(defect.message.contains(wanted), "{defect}");
            assert!(defect.hint.is_some());
        }
    }
}
