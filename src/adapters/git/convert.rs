//! Files whose bytes are not those that git has: their line ends, or filters, or what somebody wrote.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    io,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use super::{
    NoGit, ask,
    checkout::{Item, Repository},
    difference::Difference,
};
use crate::{adapters::store::TemporaryFolder, project::inputs::without_carriage_returns};

/// The attributes that may change a file when it is checked out. Line ends are written as they are unless `eol` says
/// otherwise.
const CONVERTING: [&str; 4] = ["filter", "ident", "eol", "working-tree-encoding"];

/// Settings of this user alone, which a new checkout elsewhere does not have, and those that would start more programs
/// or write into the repository.
const NEUTRAL: [&str; 12] = [
    "-c",
    "core.autocrlf=false",
    "-c",
    "core.eol=lf",
    "-c",
    "core.attributesFile=/dev/null",
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "core.splitIndex=false",
    "-c",
    "core.fsmonitor=false",
];

/// The files that a new checkout would write with other bytes than git has, in a folder that is removed with its value.
struct NewCheckout<'f> {
    folder: TemporaryFolder,
    top: &'f Path,
    files: BTreeSet<&'f Path>,
}

impl NewCheckout<'_> {
    /// Where a new checkout's file is; `None` if its bytes are those that git has.
    fn file(&self, path: &Path) -> Option<PathBuf> {
        let below = path.strip_prefix(self.top).unwrap_or(path);
        self.files
            .contains(path)
            .then(|| self.folder.path().join(TREE).join(below))
    }
}

const TREE: &str = "tree";

impl Repository {
    /// How the bytes of `files` differ from what a new checkout would write. `attributes` are the items of the files with
    /// attributes.
    pub(super) fn content_differences(
        &self,
        files: &[(&Path, &Item)],
        attributes: &[(&Path, &Item)],
    ) -> Result<BTreeMap<PathBuf, Difference>, NoGit> {
        let paths: Vec<&Path> = files.iter().map(|(path, _)| *path).collect();
        let hashes = self.hashes(&paths, false)?;
        let new = self.new_checkout(files, attributes)?;
        let written = |path: &Path| new.as_ref()?.file(path);
        let mut differing = Vec::new();
        for ((path, item), hash) in files.iter().zip(hashes) {
            let is_same = match written(path) {
                None => hash == item.object,
                Some(written) => have_same_bytes(path, &written),
            };
            if !is_same {
                differing.push((*path, *item));
            }
        }
        let paths: Vec<&Path> = differing.iter().map(|(path, _)| *path).collect();
        // A filter that fails has not said that the files are unchanged.
        let stored = self.hashes(&paths, true).unwrap_or_default();
        let mut found = BTreeMap::new();
        for (number, (path, item)) in differing.into_iter().enumerate() {
            let difference = if stored.get(number) != Some(&item.object) {
                Difference::Changed
            } else if self.has_only_other_line_ends(path, item, written(path))? {
                Difference::LineEnds
            } else {
                Difference::Filtered
            };
            found.insert(path.to_owned(), difference);
        }
        Ok(found)
    }

    fn has_only_other_line_ends(
        &self,
        path: &Path,
        item: &Item,
        written: Option<PathBuf>,
    ) -> Result<bool, NoGit> {
        let theirs = match written {
            Some(file) => fs_err::read(file).map_err(|error| lost(&error))?,
            None => self.objects([item.object.as_str()].into_iter())?.concat(),
        };
        let ours = fs_err::read(path).map_err(|error| lost(&error))?;
        Ok(without_carriage_returns(&ours) == without_carriage_returns(&theirs))
    }

    /// Writes those of `files` for which attributes ask for other bytes than git has. The attributes are those that git
    /// has, too, and not those on the disk.
    fn new_checkout<'f>(
        &'f self,
        files: &[(&'f Path, &Item)],
        attributes: &[(&Path, &Item)],
    ) -> Result<Option<NewCheckout<'f>>, NoGit> {
        if attributes.is_empty() || files.is_empty() {
            return Ok(None);
        }
        let folder = TemporaryFolder::new().map_err(|error| lost(&error))?;
        let tree = folder.path().join(TREE);
        fs_err::create_dir(&tree).map_err(|error| lost(&error))?;
        let index = folder.path().join("index");
        let run = |arguments: &[&str], question: &[u8]| {
            let mut command = self.command(Some(&tree), &[&NEUTRAL[..], arguments].concat());
            command
                .env("GIT_INDEX_FILE", &index)
                .env("GIT_ATTR_NOSYSTEM", "1");
            ask(command, question)
        };
        let fill = ["update-index", "-z", "--index-info"];
        run(&fill, &self.index_rows(attributes))?;
        let check = [
            &["check-attr", "--cached", "-z", "--stdin"][..],
            &CONVERTING,
        ];
        let paths = files.iter().map(|(path, _)| *path);
        let answer = run(&check.concat(), &self.path_rows(paths))?;
        let converted = converted(&answer);
        let is_converted =
            |path: &Path| converted.contains(self.below(path).as_os_str().as_bytes());
        let files: Vec<(&Path, &Item)> = files
            .iter()
            .copied()
            .filter(|(path, _)| is_converted(path))
            .collect();
        if files.is_empty() {
            return Ok(None);
        }
        run(&fill, &self.index_rows(&files))?;
        let files: BTreeSet<&Path> = files.into_iter().map(|(path, _)| path).collect();
        let write = ["checkout-index", "--force", "-z", "--stdin"];
        run(&write, &self.path_rows(files.iter().copied()))?;
        Ok(Some(NewCheckout {
            folder,
            top: &self.top,
            files,
        }))
    }

    fn path_rows<'p>(&self, paths: impl Iterator<Item = &'p Path>) -> Vec<u8> {
        let rows = paths.flat_map(|path| [self.below(path).as_os_str().as_bytes(), b"\0"].concat());
        rows.collect()
    }

    fn index_rows(&self, items: &[(&Path, &Item)]) -> Vec<u8> {
        let rows = items.iter().flat_map(|(path, item)| {
            let head = format!("{} {}\t", item.mode.number(), item.object);
            [
                head.as_bytes(),
                self.below(path).as_os_str().as_bytes(),
                b"\0",
            ]
            .concat()
        });
        rows.collect()
    }
}

fn lost(error: &io::Error) -> NoGit {
    NoGit::Failed(error.to_string())
}

/// The paths that git would convert, by its answer about their attributes: rows of a path, an attribute and its value.
fn converted(answer: &[u8]) -> HashSet<&[u8]> {
    let mut found = HashSet::new();
    let mut fields = answer.split(|byte| *byte == 0);
    while let (Some(path), Some(attribute), Some(value)) =
        (fields.next(), fields.next(), fields.next())
    {
        let is_converted = match (attribute, value) {
            (_, b"unspecified" | b"unset") => false,
            (b"eol", value) => value == b"crlf",
            _ => true,
        };
        if is_converted {
            found.insert(path);
        }
    }
    found
}

fn have_same_bytes(path: &Path, other: &Path) -> bool {
    let size = |path: &Path| fs_err::metadata(path).ok().map(|found| found.len());
    let bytes = |path: &Path| fs_err::read(path).ok();
    size(path) == size(other) && bytes(path).is_some_and(|here| Some(here) == bytes(other))
}

#[cfg(test)]
mod tests {
    use super::super::{
        checkout::{Checkout, Compared},
        tests::{commit, git, repository},
    };
    use super::*;

    /// How the files of a repository differ, by their names. The files are written, added and then written once more.
    fn found(
        attributes: &str,
        settings: &[[&str; 2]],
        files: &[(&str, &str, &str)],
    ) -> Vec<(String, Difference)> {
        let (_folder, root) = repository(&[]);
        fs_err::write(root.join(".gitattributes"), attributes).unwrap();
        for [name, value] in settings {
            git(&root, &["config", name, value]);
        }
        for (name, added, _) in files {
            fs_err::write(root.join(name), added).unwrap();
        }
        git(&root, &["add", "."]);
        commit(&root, "x");
        for (name, _, now) in files {
            fs_err::write(root.join(name), now).unwrap();
        }
        let paths = files.iter().map(|(name, ..)| root.join(name));
        let paths: BTreeSet<PathBuf> = paths.collect();
        let answers = [Compared::Index, Compared::Commit].map(|compared| {
            let checkout = Checkout::of(&root, compared).unwrap();
            checkout.differences(&paths, None).unwrap()
        });
        assert_eq!(answers[0], answers[1]);
        let name = |path: &Path| path.strip_prefix(&root).unwrap().display().to_string();
        let found = answers[0].iter();
        found.map(|(path, why)| (name(path), *why)).collect()
    }

    fn named(names: &[(&str, Difference)]) -> Vec<(String, Difference)> {
        let named = names.iter().map(|(name, why)| ((*name).to_owned(), *why));
        named.collect()
    }

    #[test]
    fn what_a_new_checkout_writes_is_no_difference() {
        let same = |attributes: &str, file: &str, added: &str, now: &str| {
            assert_eq!(found(attributes, &[], &[(file, added, now)]), []);
        };
        same("* text=auto\n", "a.py", "a\nb\n", "a\nb\n");
        same("*.bat eol=crlf\n", "a.bat", "a\nb\n", "a\r\nb\r\n");
        same("*.py -text\n", "a.py", "a\r\n", "a\r\n");
        let expanded = "$Id: 055c8729cdcc372500a08db659c045e16c4409fb $\n";
        same("*.py ident\n", "a.py", "$Id$\n", expanded);
    }

    #[test]
    fn settings_of_one_user_do_not_count() {
        let files = [("a.py", "a\n", "a\n")];
        assert_eq!(found("", &[["core.autocrlf", "true"]], &files), []);
        let crlf = [("a.py", "a\r\n", "a\r\n")];
        let other = named(&[("a.py", Difference::LineEnds)]);
        assert_eq!(found("", &[["core.autocrlf", "true"]], &crlf), other);
    }

    #[test]
    fn what_git_would_write_otherwise_is_told_from_what_somebody_changed() {
        let files = [
            ("crlf.py", "a\r\n", "a\r\n"),
            ("lf.bat", "a\n", "a\n"),
            ("both.bat", "a\n", "b\n"),
            ("id.txt", "$Id$\n", "$Id$\n"),
            ("plain.txt", "a\n", "a\n"),
            ("wide.utf", "a", "a"),
        ];
        let attributes = "*.py text=auto\n*.bat eol=crlf\n*.txt ident\n";
        let wanted = [
            ("both.bat", Difference::Changed),
            ("crlf.py", Difference::LineEnds),
            ("id.txt", Difference::Filtered),
            ("lf.bat", Difference::LineEnds),
        ];
        assert_eq!(found(attributes, &[], &files), named(&wanted));
    }

    #[test]
    fn the_attributes_that_git_has_count_and_not_those_on_the_disk() {
        let (_folder, root) = repository(&[]);
        let write = |name: &str, text: &str| fs_err::write(root.join(name), text).unwrap();
        write("a.py", "$Id$\n");
        let paths = BTreeSet::from([root.join("a.py")]);
        for (committed, now, is_same) in [("*.py ident\n", "", false), ("", "*.py ident\n", true)] {
            write(".gitattributes", committed);
            git(&root, &["add", "."]);
            commit(&root, "x");
            write(".gitattributes", now);
            for compared in [Compared::Index, Compared::Commit] {
                let checkout = Checkout::of(&root, compared).unwrap();
                let found = checkout.differences(&paths, None).unwrap();
                assert_eq!(found.is_empty(), is_same, "{committed}: {found:?}");
            }
        }
    }

    #[test]
    fn filters_work_both_ways() {
        let filters = [
            ["filter.strip.clean", "sed s/OUT.*//"],
            ["filter.upper.clean", "tr A-Z a-z"],
            ["filter.upper.smudge", "tr a-z A-Z"],
        ];
        let files = [
            ("a.ipynb", "code OUT 1\n", "code OUT 1\n"),
            ("b.ipynb", "code\n", "code\n"),
            ("a.up", "AB\n", "AB\n"),
            ("b.up", "AB\n", "aB\n"),
            ("c.up", "AB\n", "AC\n"),
        ];
        let attributes = "*.ipynb filter=strip\n*.up filter=upper\n";
        let wanted = [
            ("a.ipynb", Difference::Filtered),
            ("b.up", Difference::Filtered),
            ("c.up", Difference::Changed),
        ];
        assert_eq!(found(attributes, &filters, &files), named(&wanted));
    }
}
