//! How the files of a checkout differ from git's index or from the commit.

use std::{
    collections::HashSet,
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use super::{Git, NoGit, rows};

/// What the files of a checkout are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    /// Git's index: what the next commit will have.
    Index,
    /// The commit that is checked out.
    Commit,
}

/// The files of a checkout that differ from the index or from the commit, by absolute paths. Untracked files are not
/// among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    files: HashSet<PathBuf>,
    /// Folders of which nothing is known to be in the commit: a submodule at an unknown commit, or everything before
    /// the first commit.
    folders: Vec<PathBuf>,
    /// The paths that git has and the disk has not.
    pub missing: Vec<PathBuf>,
}

impl Changes {
    /// Whether the file or link at `path` differs.
    #[must_use]
    pub fn has(&self, path: &Path) -> bool {
        self.files.contains(path) || self.folders.iter().any(|folder| path.starts_with(folder))
    }

    fn add(&mut self, path: PathBuf) {
        // `symlink_metadata`, because a link to nothing is there.
        if path.symlink_metadata().is_err() {
            self.missing.push(path.clone());
        }
        self.files.insert(path);
    }
}

/// The changed files of the checkout that `root` lies in, including those of its submodules.
///
/// # Errors
/// Why git does not answer.
pub fn changes(root: &Path, compared: Compared) -> Result<Changes, NoGit> {
    let git = Git::at(root)?;
    let mut changes = Changes::default();
    git.add_changes(compared, &mut changes)?;
    git.add_unwatched(&mut changes)?;
    Ok(changes)
}

/// One row of `git status --porcelain=v2`.
struct Row<'a> {
    staged: u8,
    unstaged: u8,
    /// `N...`, or for a submodule `S` and what differs in it.
    submodule: &'a [u8],
    /// The hashes in the commit and in the index.
    commit: &'a [u8],
    index: &'a [u8],
    path: &'a [u8],
}

impl<'a> Row<'a> {
    fn parse(row: &'a [u8]) -> Option<Self> {
        let is_unmerged = row.starts_with(b"u ");
        let count = if is_unmerged { 11 } else { 9 };
        let fields: Vec<&[u8]> = row.splitn(count, |byte| *byte == b' ').collect();
        let [_, letters, submodule, ..] = fields[..] else {
            return None;
        };
        Some(Self {
            staged: *letters.first()?,
            unstaged: *letters.get(1)?,
            submodule,
            commit: fields.get(6)?,
            index: fields.get(7)?,
            path: fields.get(count - 1)?,
        })
    }

    fn differs_from(&self, compared: Compared) -> bool {
        self.unstaged != b'.' || (compared == Compared::Commit && self.staged != b'.')
    }
}

impl Git {
    fn add_changes(&self, compared: Compared, changes: &mut Changes) -> Result<(), NoGit> {
        let head = ["rev-parse", "--quiet", "--verify", "HEAD^{commit}"];
        if compared == Compared::Commit && self.run(&head).is_err() {
            changes.folders.push(self.top.clone());
            return Ok(());
        }
        let answer = self.run(&[
            "status",
            "--porcelain=v2",
            "-z",
            "--untracked-files=no",
            "--ignore-submodules=none",
            "--no-renames",
        ])?;
        for row in rows(&answer).filter_map(Row::parse) {
            if !row.differs_from(compared) {
                continue;
            }
            let path = self.top.join(OsStr::from_bytes(row.path));
            if row.submodule.starts_with(b"S") {
                self.add_submodule(path, &row, compared, changes);
            } else {
                changes.add(path);
            }
        }
        Ok(())
    }

    /// Compares a submodule with the commit that its repository names for it.
    fn add_submodule(
        &self,
        path: PathBuf,
        row: &Row<'_>,
        compared: Compared,
        changes: &mut Changes,
    ) {
        let Some(inner) = Self::in_folder(Some(path.clone()))
            .ok()
            .filter(|inner| inner.top == path && inner.top != self.top)
        else {
            changes.folders.push(path);
            return;
        };
        let wanted = match compared {
            Compared::Index => row.index,
            Compared::Commit => row.commit,
        };
        let is_at_wanted = row.submodule.get(1) != Some(&b'C') && wanted == row.index;
        let known = if is_at_wanted {
            inner.add_changes(Compared::Commit, changes)
        } else {
            inner.add_difference(&String::from_utf8_lossy(wanted), changes)
        };
        if known.is_err() {
            changes.folders.push(path);
        }
    }

    fn add_difference(&self, commit: &str, changes: &mut Changes) -> Result<(), NoGit> {
        let options = [
            "--name-only",
            "-z",
            "--no-renames",
            "--no-ext-diff",
            "--no-relative",
        ];
        let end = ["--ignore-submodules=none", commit, "--"];
        let answer = self.run(&[&["diff"][..], &options, &end].concat())?;
        for path in rows(&answer) {
            let path = self.top.join(OsStr::from_bytes(path));
            if path.is_dir() {
                changes.folders.push(path.clone());
            }
            changes.add(path);
        }
        Ok(())
    }

    /// Adds the changed ones of the files that the index marks as not to be looked at (`assume-unchanged` and
    /// `skip-worktree`, as in a sparse checkout): `git status` passes them over.
    fn add_unwatched(&self, changes: &mut Changes) -> Result<(), NoGit> {
        let listed = self.run(&["ls-files", "-v", "-z", "--full-name", "--", ":/"])?;
        let unwatched = |row: &&[u8]| row[0] == b'S' || row[0].is_ascii_lowercase();
        let paths: Vec<&[u8]> = rows(&listed)
            .filter(unwatched)
            .filter_map(|row| row.get(2..))
            .collect();
        for path in paths {
            let file = self.top.join(OsStr::from_bytes(path));
            let mut scope = b":(top,literal)".to_vec();
            scope.extend(path);
            let staged = self.run(
                &["ls-files", "--stage", "-z", "--"]
                    .map(OsStr::new)
                    .into_iter()
                    .chain([OsStr::from_bytes(&scope)])
                    .collect::<Vec<_>>(),
            )?;
            let is_file = file.symlink_metadata().is_ok_and(|found| found.is_file());
            let hashed = is_file.then(|| {
                self.run(&[
                    OsStr::new("hash-object"),
                    OsStr::new("--"),
                    file.as_os_str(),
                ])
            });
            // What is no file, or cannot be read, is not what the index has.
            let now = hashed.and_then(Result::ok).unwrap_or_default();
            let hash = staged.split(|byte| *byte == b' ').nth(1);
            if hash != Some(now.trim_ascii()) {
                changes.add(file);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{add_submodule, commit, git, repository};
    use super::*;

    fn named(root: &Path, compared: Compared) -> (Vec<String>, Vec<String>) {
        let found = changes(root, compared).unwrap();
        let below = |path: &PathBuf| path.strip_prefix(root).unwrap().display().to_string();
        let mut files: Vec<String> = found
            .files
            .iter()
            .chain(&found.folders)
            .map(below)
            .collect();
        files.sort_unstable();
        (files, found.missing.iter().map(below).collect())
    }

    fn write(root: &Path, path: &str, text: &str) {
        fs_err::write(root.join(path), text).unwrap();
    }

    #[test]
    fn the_index_and_the_commit_differ_in_what_is_staged() {
        let (_folder, root) = repository(&["same", "staged", "un staged ü\n", "gone", "mode"]);
        git(&root, &["add", "."]);
        assert_eq!(named(&root, Compared::Index), (vec![], vec![]));
        let (everything, _) = named(&root, Compared::Commit);
        assert_eq!(everything, [""], "there is no commit yet");
        commit(&root, "x");
        assert_eq!(named(&root, Compared::Commit), (vec![], vec![]));
        write(&root, "staged", "new");
        write(&root, "added", "new");
        git(&root, &["add", "staged", "added"]);
        write(&root, "un staged ü\n", "new");
        write(&root, "untracked", "new");
        fs_err::remove_file(root.join("gone")).unwrap();
        git(&root, &["update-index", "--chmod=+x", "mode"]);
        let gone = vec!["gone".to_owned()];
        let (files, missing) = named(&root, Compared::Index);
        assert_eq!(files, ["gone", "mode", "un staged ü\n"]);
        assert_eq!(missing, gone);
        let (files, missing) = named(&root, Compared::Commit);
        assert_eq!(files, ["added", "gone", "mode", "staged", "un staged ü\n"]);
        assert_eq!(missing, gone);
    }

    #[test]
    fn what_git_is_told_not_to_look_at_is_compared_all_the_same() {
        let (_folder, root) = repository(&["a", "b", "c", "d"]);
        git(&root, &["add", "."]);
        commit(&root, "x");
        git(&root, &["update-index", "--assume-unchanged", "a", "b"]);
        git(&root, &["update-index", "--skip-worktree", "c", "d"]);
        write(&root, "a", "new");
        fs_err::remove_file(root.join("c")).unwrap();
        for compared in [Compared::Index, Compared::Commit] {
            let (files, missing) = named(&root, compared);
            assert_eq!(
                (files, missing),
                (vec!["a".to_owned(), "c".to_owned()], vec!["c".to_owned()])
            );
        }
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
        write(&sub, "x", "new");
        for compared in [Compared::Index, Compared::Commit] {
            assert_eq!(named(&root, compared).0, ["sub/x"]);
        }
        git(&sub, &["add", "."]);
        commit(&sub, "its own commit");
        for compared in [Compared::Index, Compared::Commit] {
            assert_eq!(named(&root, compared).0, ["sub/x"]);
        }
        git(&root, &["add", "sub"]);
        assert_eq!(named(&root, Compared::Index).0, [""; 0]);
        assert_eq!(named(&root, Compared::Commit).0, ["sub/x"]);
    }
}
