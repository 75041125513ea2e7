//! What a new checkout of git's index, or of the commit, would write.
//!
//! `git status` does not tell that: it compares what git would store, so that line ends and filters are passed over, and
//! it believes the index about files that it is told not to look at.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    ffi::{OsStr, OsString},
    os::unix::{
        ffi::{OsStrExt as _, OsStringExt as _},
        fs::PermissionsExt as _,
    },
    path::{Path, PathBuf},
    process::Command,
};

use super::{Git, NoGit, ask, command, difference::Difference, rows};
use crate::project::file_trees::ExecutableBits;

/// What the files of a checkout are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    /// Git's index: what the next commit will have.
    Index,
    /// The commit that is checked out.
    Commit,
}

/// The files and links that git has of a checkout and of its submodules.
#[derive(Debug, Default)]
pub struct Checkout {
    repositories: Vec<Repository>,
    items: HashMap<PathBuf, Item>,
}

/// How to ask git about the files of one repository.
#[derive(Debug)]
pub(super) struct Repository {
    pub(super) top: PathBuf,
    folder: PathBuf,
    index: Option<PathBuf>,
    /// The files with rules about what git converts.
    pub(super) attributes: Vec<PathBuf>,
}

/// A file or a link, as git has it.
#[derive(Clone, Debug)]
pub(super) struct Item {
    repository: usize,
    pub(super) mode: Mode,
    pub(super) object: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Plain,
    Executable,
    Link,
}

impl Mode {
    /// As git writes it.
    pub(super) fn number(self) -> &'static str {
        match self {
            Self::Plain => "100644",
            Self::Executable => "100755",
            Self::Link => "120000",
        }
    }
}

/// Where the items of a repository are listed.
enum Listed<'a> {
    Index,
    Commit(&'a str),
}

/// What git lists of a repository.
#[derive(Default)]
struct GitList {
    items: Vec<(PathBuf, Mode, String)>,
    submodules: Vec<(PathBuf, String)>,
}

impl Checkout {
    /// What git has of the checkout that `root` lies in. Before the first commit, there is nothing in the commit.
    ///
    /// # Errors
    /// Why git does not answer.
    pub fn of(root: &Path, compared: Compared) -> Result<Self, NoGit> {
        let git = Git::at(root)?;
        let mut checkout = Self::default();
        let listing = match compared {
            Compared::Index => git.listing(&Listed::Index)?,
            Compared::Commit => {
                let head = ["rev-parse", "--quiet", "--verify", "HEAD^{commit}"];
                if git.run(&head).is_err() {
                    return Ok(checkout);
                }
                git.listing(&Listed::Commit("HEAD"))?
            }
        };
        checkout.add(&git, listing)?;
        Ok(checkout)
    }

    fn add(&mut self, git: &Git, listing: GitList) -> Result<(), NoGit> {
        let repository = self.repositories.len();
        let mut attributes = Vec::new();
        for (path, mode, object) in listing.items {
            if path.file_name() == Some(OsStr::new(".gitattributes")) {
                attributes.push(path.clone());
            }
            let item = Item {
                repository,
                mode,
                object,
            };
            self.items.insert(path, item);
        }
        self.repositories.push(Repository {
            top: git.top.clone(),
            folder: git.repository()?,
            index: git.index.clone(),
            attributes,
        });
        for (path, commit) in listing.submodules {
            // One that is not checked out has no files here.
            if !path.join(".git").exists() {
                continue;
            }
            let inner = Git::in_folder(Some(path.clone()))?;
            // Of a commit that is not here, nothing is known: whatever differs from nothing is told.
            if inner.top == path
                && let Ok(listing) = inner.listing(&Listed::Commit(&commit))
            {
                self.add(&inner, listing)?;
            }
        }
        Ok(())
    }

    /// Whether git has a file or a link at `path`, an absolute path without links above it.
    #[must_use]
    pub fn has(&self, path: &Path) -> bool {
        self.items.contains_key(path)
    }

    /// What git has and the disk has not, sorted.
    #[must_use]
    pub fn missing(&self) -> Vec<PathBuf> {
        let is_missing = |path: &&PathBuf| path.symlink_metadata().is_err();
        let mut missing: Vec<PathBuf> = self.items.keys().filter(is_missing).cloned().collect();
        missing.sort_unstable();
        missing
    }

    /// The symbolic links that git has, and their targets.
    ///
    /// # Errors
    /// Why git does not answer.
    pub fn links(&self) -> Result<BTreeMap<PathBuf, PathBuf>, NoGit> {
        let mut links = BTreeMap::new();
        for (number, repository) in self.repositories.iter().enumerate() {
            let is_link = |item: &Item| item.repository == number && item.mode == Mode::Link;
            let items: Vec<_> = self
                .items
                .iter()
                .filter(|(_, item)| is_link(item))
                .collect();
            let objects = items.iter().map(|(_, item)| item.object.as_str());
            let targets = repository.objects(objects)?;
            let targets = targets
                .into_iter()
                .map(|bytes| OsString::from_vec(bytes).into());
            links.extend(items.into_iter().map(|(path, _)| path.clone()).zip(targets));
        }
        Ok(links)
    }

    /// How the files and links at `paths` differ from what a new checkout would write. The paths are absolute and
    /// without links above them; those that git does not have are passed over.
    ///
    /// `bits` has the executable bits that count where the disk's do not.
    ///
    /// # Errors
    /// Why git does not answer.
    pub fn differences(
        &self,
        paths: &BTreeSet<PathBuf>,
        bits: Option<&ExecutableBits>,
    ) -> Result<BTreeMap<PathBuf, Difference>, NoGit> {
        let mut found = BTreeMap::new();
        for (number, repository) in self.repositories.iter().enumerate() {
            let asked = paths.iter().filter_map(|path| {
                let item = self.items.get(path)?;
                (item.repository == number).then_some((path.as_path(), item))
            });
            let (mut files, mut links) = (Vec::new(), Vec::new());
            for (path, item) in asked {
                if !is_same_kind(path, item, bits) {
                    found.insert(path.to_owned(), Difference::Changed);
                } else if item.mode == Mode::Link {
                    links.push((path, item));
                } else {
                    files.push((path, item));
                }
            }
            let targets = repository.objects(links.iter().map(|(_, item)| item.object.as_str()))?;
            for ((path, _), target) in links.into_iter().zip(targets) {
                let is_same =
                    fs_err::read_link(path).is_ok_and(|now| now.as_os_str().as_bytes() == target);
                if !is_same {
                    found.insert(path.to_owned(), Difference::Changed);
                }
            }
            let attributes = repository.attributes.iter();
            let attributes: Vec<(&Path, &Item)> = attributes
                .filter_map(|path| Some((path.as_path(), self.items.get(path)?)))
                .collect();
            found.extend(repository.content_differences(&files, &attributes)?);
        }
        Ok(found)
    }
}

/// Whether a link is a link, and a file a file with the same executable bit.
fn is_same_kind(path: &Path, item: &Item, bits: Option<&ExecutableBits>) -> bool {
    let Ok(found) = path.symlink_metadata() else {
        return false;
    };
    if item.mode == Mode::Link {
        return found.is_symlink();
    }
    let executable = match bits {
        Some(bits) => bits.of(path).unwrap_or(false),
        None => found.permissions().mode() & 0o100 != 0,
    };
    found.is_file() && executable == (item.mode == Mode::Executable)
}

impl Git {
    fn listing(&self, listed: &Listed<'_>) -> Result<GitList, NoGit> {
        let answer = match listed {
            Listed::Index => self.run(&["ls-files", "--stage", "-z", "--full-name", "--", ":/"])?,
            Listed::Commit(commit) => self.run(&["ls-tree", "-r", "-z", "--full-tree", commit])?,
        };
        let only_intended = match listed {
            Listed::Index => self.only_intended()?,
            Listed::Commit(_) => HashSet::new(),
        };
        let mut listing = GitList::default();
        for row in rows(&answer) {
            let Some((facts, path)) = split_at(row, b'\t') else {
                continue;
            };
            let facts: Vec<&[u8]> = facts.split(|byte| *byte == b' ').collect();
            let (mode, object, is_merged) = match (listed, &facts[..]) {
                (Listed::Index, [mode, object, stage]) => (*mode, *object, *stage == b"0"),
                (Listed::Commit(_), [mode, _, object]) => (*mode, *object, true),
                _ => continue,
            };
            // A file in conflict is in no commit, and neither is one that is only to be added.
            if !is_merged || only_intended.contains(path) {
                continue;
            }
            let object = String::from_utf8_lossy(object).into_owned();
            let path = self.top.join(OsStr::from_bytes(path));
            match mode {
                b"160000" => listing.submodules.push((path, object)),
                b"120000" => listing.items.push((path, Mode::Link, object)),
                b"100755" => listing.items.push((path, Mode::Executable, object)),
                _ => listing.items.push((path, Mode::Plain, object)),
            }
        }
        Ok(listing)
    }

    /// The files that `git add --intent-to-add` named: the index shows them as empty, and no commit gets them.
    fn only_intended(&self) -> Result<HashSet<Vec<u8>>, NoGit> {
        let arguments = ["diff-files", "--name-only", "-z", "--diff-filter=A"];
        let only = ["--ignore-submodules=all", "--no-relative", "--", ":/"];
        let answer = self.run(&[&arguments[..], &only].concat())?;
        Ok(rows(&answer).map(<[u8]>::to_vec).collect())
    }
}

fn split_at(row: &[u8], byte: u8) -> Option<(&[u8], &[u8])> {
    let at = row.iter().position(|found| *found == byte)?;
    Some((&row[..at], &row[at + 1..]))
}

impl Repository {
    /// A command of git about the files in `work_tree`, which is the repository's own if none is named.
    pub(super) fn command(&self, work_tree: Option<&Path>, arguments: &[&str]) -> Command {
        let work_tree = work_tree.unwrap_or(&self.top);
        let mut command = command(Some(work_tree), self.index.as_deref(), arguments);
        // Otherwise git would look for a repository, and would read paths from a folder of its own choice.
        command
            .env("GIT_DIR", &self.folder)
            .env("GIT_WORK_TREE", work_tree);
        command
    }

    /// The bytes of some objects, in their order.
    pub(super) fn objects<'o>(
        &self,
        names: impl Iterator<Item = &'o str>,
    ) -> Result<Vec<Vec<u8>>, NoGit> {
        let names: Vec<&str> = names.collect();
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let question = format!("{}\n", names.join("\n"));
        let answer = ask(
            self.command(None, &["cat-file", "--batch"]),
            question.as_bytes(),
        )?;
        let mut rest = answer.as_slice();
        let mut next = || {
            let (head, after) = split_at(rest, b'\n')?;
            let size = std::str::from_utf8(head)
                .ok()?
                .rsplit(' ')
                .next()?
                .parse()
                .ok()?;
            let bytes = after.get(..size)?.to_vec();
            rest = after.get(size + 1..)?;
            Some(bytes)
        };
        let objects: Option<Vec<_>> = names.iter().map(|_| next()).collect();
        objects.ok_or_else(|| NoGit::Failed("an object of the checkout is not there".to_owned()))
    }

    /// The path of a file for git.
    pub(super) fn below<'p>(&self, path: &'p Path) -> &'p Path {
        path.strip_prefix(&self.top).unwrap_or(path)
    }

    /// The names that git would give to the bytes of some files: as they are, or as its filters make them.
    pub(super) fn hashes(&self, files: &[&Path], are_filtered: bool) -> Result<Vec<String>, NoGit> {
        if files.is_empty() {
            return Ok(Vec::new());
        }
        let mut question = Vec::new();
        for file in files {
            quote(self.below(file).as_os_str().as_bytes(), &mut question);
        }
        let raw: &[&str] = if are_filtered { &[] } else { &["--no-filters"] };
        let command = self.command(None, &[&["hash-object", "--stdin-paths"], raw].concat());
        let answer = ask(command, &question)?;
        let answer = String::from_utf8_lossy(&answer);
        let hashes: Vec<String> = answer.lines().map(str::to_owned).collect();
        if hashes.len() == files.len() {
            return Ok(hashes);
        }
        Err(NoGit::Failed("it did not name all files".to_owned()))
    }
}

/// Writes a path as a line for git.
fn quote(path: &[u8], line: &mut Vec<u8>) {
    line.push(b'"');
    for byte in path {
        match byte {
            b' '..=b'~' if !b"\"\\".contains(byte) => line.push(*byte),
            other => line.extend(format!("\\{other:03o}").bytes()),
        }
    }
    line.extend(b"\"\n");
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::{
        tests::{add_submodule, commit, git, repository},
        tracked,
    };
    use super::*;

    /// The tracked files that differ, and what is missing.
    fn named(root: &Path, compared: Compared) -> (Vec<String>, Vec<String>) {
        let checkout = Checkout::of(root, compared).unwrap();
        let tracked: BTreeSet<PathBuf> = tracked(root).unwrap().files.into_iter().collect();
        let differences = checkout.differences(&tracked, None).unwrap();
        let differs = |path: &&PathBuf| !checkout.has(path) || differences.contains_key(*path);
        let below = |path: &PathBuf| path.strip_prefix(root).unwrap().display().to_string();
        let files = tracked.iter().filter(differs).map(below).collect();
        (files, checkout.missing().iter().map(below).collect())
    }

    fn write(root: &Path, path: &str, text: &str) {
        fs_err::write(root.join(path), text).unwrap();
    }

    #[test]
    fn the_index_and_the_commit_differ_in_what_is_staged() {
        let odd = "un \"staged\" ü\\\r\n";
        let (_folder, root) = repository(&["same", "staged", odd, "gone", "mode", "empty"]);
        git(&root, &["add", "."]);
        assert_eq!(named(&root, Compared::Index), (vec![], vec![]));
        let (everything, _) = named(&root, Compared::Commit);
        assert_eq!(everything.len(), 6, "there is no commit yet");
        commit(&root, "x");
        assert_eq!(named(&root, Compared::Commit), (vec![], vec![]));
        write(&root, "staged", "new");
        write(&root, "added", "new");
        git(&root, &["add", "staged", "added"]);
        write(&root, odd, "new");
        write(&root, "untracked", "new");
        write(&root, "intended", "");
        git(&root, &["add", "--intent-to-add", "intended"]);
        fs_err::remove_file(root.join("gone")).unwrap();
        git(&root, &["update-index", "--chmod=+x", "mode"]);
        let gone = vec!["gone".to_owned()];
        let (files, missing) = named(&root, Compared::Index);
        assert_eq!(files, ["gone", "intended", "mode", odd]);
        assert_eq!(missing, gone);
        let (files, missing) = named(&root, Compared::Commit);
        assert_eq!(files, ["added", "gone", "intended", "staged", odd]);
        assert_eq!(missing, gone);
    }

    #[test]
    fn a_file_in_conflict_is_in_no_commit() {
        let (_folder, root) = repository(&["a"]);
        git(&root, &["add", "."]);
        commit(&root, "x");
        git(&root, &["branch", "other"]);
        write(&root, "a", "here");
        git(&root, &["add", "."]);
        commit(&root, "here");
        git(&root, &["checkout", "--quiet", "other"]);
        write(&root, "a", "there");
        git(&root, &["add", "."]);
        commit(&root, "there");
        let who = ["-c", "user.name=x", "-c", "user.email=x@localhost"];
        let merge = [&who[..], &["merge", "--quiet", "@{-1}"]].concat();
        let merged = command(Some(&root), None, &merge).output().unwrap();
        assert!(!merged.status.success(), "{merged:?}");
        write(&root, "a", "here");
        assert_eq!(named(&root, Compared::Index).0, ["a"]);
    }

    #[test]
    fn what_git_is_told_not_to_look_at_is_compared_all_the_same() {
        let (_folder, root) = repository(&["a", "b", "c", "d", "e", "f"]);
        symlink("b", root.join("link")).unwrap();
        symlink("b", root.join("other")).unwrap();
        git(&root, &["add", "."]);
        commit(&root, "x");
        let assumed = ["update-index", "--assume-unchanged"];
        git(
            &root,
            &[&assumed[..], &["a", "b", "e", "link", "other"]].concat(),
        );
        git(&root, &["update-index", "--skip-worktree", "c", "d"]);
        write(&root, "a", "new");
        let mode = std::fs::Permissions::from_mode(0o755);
        fs_err::set_permissions(root.join("e"), mode).unwrap();
        fs_err::remove_file(root.join("other")).unwrap();
        symlink("c", root.join("other")).unwrap();
        fs_err::remove_file(root.join("c")).unwrap();
        fs_err::remove_file(root.join("f")).unwrap();
        symlink("b", root.join("f")).unwrap();
        for compared in [Compared::Index, Compared::Commit] {
            let (files, missing) = named(&root, compared);
            assert_eq!(files, ["a", "c", "e", "f", "other"]);
            assert_eq!(missing, ["c"]);
        }
    }

    /// Git takes a file for unchanged that has the size and the time that the index has.
    #[test]
    fn bytes_count_and_not_times() {
        let (_folder, root) = repository(&["a"]);
        git(&root, &["config", "core.trustctime", "false"]);
        let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
        let set_time = || {
            let file = std::fs::File::options()
                .write(true)
                .open(root.join("a"))
                .unwrap();
            file.set_modified(time).unwrap();
        };
        set_time();
        git(&root, &["add", "."]);
        write(&root, "a", "b");
        set_time();
        assert_eq!(named(&root, Compared::Index).0, ["a"]);
    }

    #[test]
    fn executable_bits_of_the_index_count_where_the_disk_is_not_trusted() {
        let (_folder, root) = repository(&["a", "b"]);
        git(&root, &["add", "."]);
        let checkout = Checkout::of(&root, Compared::Index).unwrap();
        let paths = BTreeSet::from([root.join("a"), root.join("b")]);
        let bits = ExecutableBits::from(BTreeMap::from([(root.join("a"), true)]));
        let found = checkout.differences(&paths, Some(&bits)).unwrap();
        let changed = BTreeMap::from([(root.join("a"), Difference::Changed)]);
        assert_eq!(found, changed);
    }

    #[test]
    fn a_submodule_is_compared_with_the_commit_that_its_repository_names() {
        let (_inner, inner) = repository(&["x", "y"]);
        git(&inner, &["add", "."]);
        commit(&inner, "x");
        let (_folder, root) = repository(&["a"]);
        add_submodule(&root, &inner);
        git(&root, &["add", "."]);
        commit(&root, "x");
        assert_eq!(named(&root, Compared::Commit).0, [""; 0]);
        git(&root, &["config", "submodule.sub.ignore", "all"]);
        let sub = root.join("sub");
        git(&sub, &["update-index", "--assume-unchanged", "x"]);
        write(&sub, "x", "new");
        for compared in [Compared::Index, Compared::Commit] {
            assert_eq!(named(&root, compared).0, ["sub/x"]);
        }
        git(&sub, &["update-index", "--no-assume-unchanged", "x"]);
        git(&sub, &["add", "."]);
        commit(&sub, "its own commit");
        for compared in [Compared::Index, Compared::Commit] {
            assert_eq!(named(&root, compared).0, ["sub/x"]);
        }
        git(&root, &["add", "sub"]);
        assert_eq!(named(&root, Compared::Index).0, [""; 0]);
        assert_eq!(named(&root, Compared::Commit).0, ["sub/x"]);
        git(&root, &["rm", "--quiet", "--cached", "sub"]);
        let unknown = "160000,1234567890123456789012345678901234567890,sub";
        git(&root, &["update-index", "--add", "--cacheinfo", unknown]);
        assert_eq!(named(&root, Compared::Index).0, ["sub/x", "sub/y"]);
    }
}
