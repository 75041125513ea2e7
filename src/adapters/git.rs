//! Facts from git: the files in its index, their executable bits, and the commit of a checkout. Runs the `git` program.
//!
//! Commits, branches and git's times never reach an image: [`source`] is for `dist/images.json` alone.

mod about;
mod checkout;
mod convert;
mod difference;
mod fetch;
mod ignored;

pub use about::{AboutCheckout, HookState, about};
pub use checkout::{Checkout, Compared};
pub use difference::Difference;
pub use fetch::{check_out, commit, fetch};
pub use ignored::ignored;

use std::{
    collections::{BTreeMap, HashSet},
    ffi::{OsStr, OsString},
    io::{self, Write as _},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Why git does not answer. This stops only operations that need git.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoGit {
    /// There is no program `git`.
    #[error("git is not installed")]
    NotInstalled,
    /// The project is in no checkout: an unpacked tarball, for example.
    #[error("the project is not in a git work tree")]
    NoWorkTree,
    /// git refuses to read the checkout of another user.
    #[error("git does not trust this checkout, which belongs to another user")]
    DubiousOwnership {
        /// The checkout's top folder.
        folder: PathBuf,
    },
    /// git failed with this message.
    #[error("git failed: {0}")]
    Failed(String),
}

impl NoGit {
    /// What to type.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::NotInstalled => "install git".to_owned(),
            Self::NoWorkTree => "run it in a clone, or begin one: `git init`".to_owned(),
            Self::DubiousOwnership { folder } => format!(
                "run it as the owner, or `git config --global --add safe.directory {}`",
                folder.display()
            ),
            Self::Failed(_) => "`git status` in the project says more".to_owned(),
        }
    }
}

/// The files in git's index, including those of submodules.
#[derive(Clone, Debug, Default)]
pub struct Tracked {
    files: HashSet<PathBuf>,
}

impl Tracked {
    /// Whether the index has the file or link at `path`, an absolute path without symbolic links above it.
    #[must_use]
    pub fn has(&self, path: &Path) -> bool {
        self.files.contains(path)
    }
}

/// The top folder of the checkout that `root` lies in, if that can be said without git.
#[must_use]
pub fn top_folder(root: &Path) -> Option<PathBuf> {
    let mut folders = root.ancestors();
    let top = folders.find(|folder| git_folder(folder).is_some())?;
    Some(top.to_owned())
}

/// Whether no folder above `folder` can be a checkout, and no variable names one.
#[must_use]
pub fn is_in_no_checkout(folder: &Path) -> bool {
    let folder = fs_err::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    !is_told_of_repository() && top_folder(&folder).is_none()
}

/// The files in git's index, of the checkout that `root` lies in.
///
/// # Errors
/// Why git does not answer.
pub fn tracked(root: &Path) -> Result<Tracked, NoGit> {
    let git = Git::at(root)?;
    let names = git.list(&["ls-files", "-z", "--full-name", "--recurse-submodules"])?;
    let files = rows(&names).map(|name| git.top.join(OsStr::from_bytes(name)));
    Ok(Tracked {
        files: files.collect(),
    })
}

/// The files below a folder of the project that git's index has, of the checkout that `root` lies in: absolute paths.
///
/// # Errors
/// Why git does not answer.
pub fn tracked_below(root: &Path, folder: &Path) -> Result<Vec<PathBuf>, NoGit> {
    let git = Git::at(root)?;
    let below = folder.strip_prefix(&git.top).unwrap_or(Path::new(""));
    let mut scope = OsString::from(":(top,literal)");
    scope.push(below);
    let list = |options: &[&str]| {
        let options = [&["ls-files", "-z", "--full-name"][..], options, &["--"]].concat();
        let options = options.into_iter().map(OsStr::new);
        git.run(&options.chain([scope.as_os_str()]).collect::<Vec<_>>())
    };
    // Older versions of git cannot look into submodules.
    let names = list(&["--recurse-submodules"]).or_else(|_| list(&[]))?;
    let files = rows(&names).map(|name| git.top.join(OsStr::from_bytes(name)));
    Ok(files.collect())
}

/// The name of the repository that the checkout with its top in `root` comes from: the last part of a remote's URL.
#[must_use]
pub fn remote(root: &Path) -> Option<String> {
    if top_folder(root).as_deref() != Some(root) {
        return None;
    }
    let git = Git::at(root).ok()?;
    let url = git.run(&["remote", "get-url", "origin"]).ok()?;
    let url = String::from_utf8(url).ok()?;
    let path = url.trim().trim_end_matches('/').trim_end_matches(".git");
    let name = path.rsplit(['/', ':']).next()?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// The file of the index of the checkout that `root` lies in, if that can be said without git.
#[must_use]
pub fn index_file(root: &Path) -> Option<PathBuf> {
    if is_told_of_repository() {
        return None;
    }
    Some(root.ancestors().find_map(git_folder)?.join("index"))
}

/// What the configuration of a checkout may say of its disk. git is started only if it may say something.
pub struct DiskConfig {
    /// The project's folder.
    folder: PathBuf,
    /// The texts of the files that git would read.
    texts: Vec<String>,
}

impl DiskConfig {
    /// That of the checkout that `root` lies in.
    #[must_use]
    pub fn of(root: &Path) -> Self {
        let folder = fs_err::canonicalize(root).unwrap_or_else(|_| root.to_owned());
        Self {
            texts: configurations(&folder),
            folder,
        }
    }

    /// The files in git's index, if git has found that the disk does not tell upper and lower case or the forms of Unicode
    /// apart (`core.ignoreCase`, `core.precomposeUnicode`): absolute paths. `None` also if git does not answer: then the names
    /// are the disk's.
    #[must_use]
    pub fn folded_files(&self) -> Option<Vec<PathBuf>> {
        if !self.texts.iter().any(|text| may_fold_names(text)) {
            return None;
        }
        let git = Git::at(&self.folder).ok()?;
        let mut settings = ["core.ignoreCase", "core.precomposeUnicode"].iter();
        if !settings.any(|name| git.setting(name) == Some(true)) {
            return None;
        }
        tracked_below(&self.folder, &git.top).ok()
    }

    /// The executable bits in git's index, if `core.fileMode` is off and the disk's are not reliable; else `None`.
    ///
    /// # Errors
    /// Why git does not answer.
    pub fn executable_bits(&self) -> Result<Option<BTreeMap<PathBuf, bool>>, NoGit> {
        if !self.texts.iter().any(|text| may_distrust_modes(text)) {
            return Ok(None);
        }
        let git = Git::at(&self.folder)?;
        if git.setting("core.fileMode") != Some(false) {
            return Ok(None);
        }
        let rows_of_index = git.list(&[
            "ls-files",
            "--stage",
            "-z",
            "--full-name",
            "--recurse-submodules",
        ])?;
        Ok(Some(
            rows(&rows_of_index)
                .filter_map(|row| {
                    let tab = row.iter().position(|byte| *byte == b'\t')?;
                    let path = git.top.join(OsStr::from_bytes(&row[tab + 1..]));
                    Some((path, row.starts_with(b"100755")))
                })
                .collect(),
        ))
    }
}

/// Variables that git sets for its hooks, and that refer to the hook's repository.
const ABOUT_ONE_REPOSITORY: [&str; 7] = [
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_WORK_TREE",
];

/// Whether a variable says which repository is meant.
fn is_told_of_repository() -> bool {
    let mut names = ABOUT_ONE_REPOSITORY.iter();
    names.any(|name| variable(name).is_some())
}

/// The project's folder relative to its repository: the prefix of its paths for readers that start at the repository's
/// root.
///
/// Empty without a repository.
#[must_use]
pub fn folder(root: &Path) -> PathBuf {
    let root = fs_err::canonicalize(root).unwrap_or_else(|_| root.to_owned());
    let top = Git::at(&root).map(|git| git.top);
    let below = top
        .ok()
        .and_then(|top| root.strip_prefix(top).map(Path::to_owned).ok());
    below.unwrap_or_default()
}

/// The state of a checkout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckoutSource {
    /// The commit's full hash.
    pub commit: String,
    /// When it was committed: RFC 3339, in UTC.
    pub time: String,
    /// Files of the project that differ from the commit, or are untracked and not ignored: absolute paths.
    pub modified: Vec<PathBuf>,
}

/// The commit of the checkout that the project in `root` lies in, and the files below `root` that differ from it.
///
/// # Errors
/// Why git does not answer; for example, there may be no commit yet.
pub fn source(root: &Path) -> Result<CheckoutSource, NoGit> {
    let root = fs_err::canonicalize(root).map_err(|_| NoGit::NoWorkTree)?;
    let git = Git::at(&root)?;
    // Both run at once: on a large checkout the status takes long.
    let (commit, modified) = std::thread::scope(|scope| {
        let commit = scope.spawn(|| git.commit());
        let modified = git.modified(&root);
        let commit = commit.join();
        (
            commit.unwrap_or_else(|_| Err(NoGit::Failed("its answer was lost".to_owned()))),
            modified,
        )
    });
    let (commit, time) = commit?;
    Ok(CheckoutSource {
        commit,
        time,
        modified: modified?,
    })
}

/// The commits that changed how often a text stands in the files of the project in `root`, newest first.
///
/// # Errors
/// Why git does not answer.
pub fn commits_that_name(root: &Path, text: &str) -> Result<Vec<String>, NoGit> {
    let git = Git::at(root)?;
    let search = format!("-S{text}");
    let arguments = ["-c", "log.showSignature=false", "log", "--all", &search];
    let answer = git.run(&[&arguments[..], &["--format=%H", "--", "."]].concat())?;
    let answer = String::from_utf8_lossy(&answer);
    Ok(answer.lines().map(str::to_owned).collect())
}

/// Checks a commit of the checkout that the project in `root` lies in out into the new `folder`, and returns the project's
/// folder in it. The repository is not changed.
///
/// # Errors
/// Why git does not do it.
pub fn copy_at(root: &Path, commit: &str, folder: &Path) -> Result<PathBuf, NoGit> {
    let root = fs_err::canonicalize(root).map_err(|_| NoGit::NoWorkTree)?;
    let git = Git::at(&root)?;
    let below = root.strip_prefix(&git.top).unwrap_or(Path::new(""));
    let clone = ["clone", "--quiet", "--shared", "--no-checkout", "--"].map(OsStr::new);
    let (top, copy) = (git.top.as_os_str(), folder.as_os_str());
    call(Some(&git.top), None, &[&clone[..], &[top, copy]].concat())?;
    let detached = ["checkout", "--quiet", "--detach", commit];
    call(Some(folder), None, &detached)?;
    Ok(folder.join(below))
}

/// How to call git for one checkout.
struct Git {
    /// Its working folder. `None` is this process's folder, to which the variables that name the repository are
    /// relative.
    folder: Option<PathBuf>,
    /// The checkout's top folder.
    top: PathBuf,
    /// The index to use, if it is not the repository's usual one.
    index: Option<PathBuf>,
}

impl Git {
    /// The checkout that `root` lies in. For a hook, git names an index in the environment: `git commit` with files or
    /// `-a` uses a temporary one. But the hook may belong to another repository, or have changed into a subfolder, so
    /// the environment is compared with the checkout.
    fn at(root: &Path) -> Result<Self, NoGit> {
        let root = fs_err::canonicalize(root).map_err(|_| NoGit::NoWorkTree)?;
        let found = Self::in_folder(Some(root.clone()));
        let index = variable("GIT_INDEX_FILE");
        if variable("GIT_DIR").is_none() && index.is_none() {
            return found;
        }
        match (found, Self::in_folder(None)) {
            (Ok(found), Ok(named)) if found.repository()? == named.repository()? => Ok(Self {
                index: index.map(|index| found.top.join(index)),
                ..found
            }),
            (Ok(found), Ok(named)) if !named.top.starts_with(&found.top) => Ok(found),
            (_, Ok(named)) if root.starts_with(&named.top) => Ok(named),
            (found, _) => found,
        }
    }

    fn in_folder(folder: Option<PathBuf>) -> Result<Self, NoGit> {
        // Starting git only to hear that there is no repository would take longer than the rest of a short run.
        if folder.as_deref().is_some_and(is_in_no_checkout) {
            return Err(NoGit::NoWorkTree);
        }
        let top = path(&call(
            folder.as_deref(),
            None,
            &["rev-parse", "--show-toplevel"],
        )?)?;
        Ok(Self {
            folder,
            top,
            index: None,
        })
    }

    /// A setting that is on or off, if it is set and git understands it.
    fn setting(&self, name: &str) -> Option<bool> {
        let value = self.run(&["config", "--type=bool", "--get", name]).ok()?;
        match value.trim_ascii() {
            b"true" => Some(true),
            b"false" => Some(false),
            _ => None,
        }
    }

    /// The git folder of this work tree.
    fn repository(&self) -> Result<PathBuf, NoGit> {
        path(&self.run(&["rev-parse", "--absolute-git-dir"])?)
    }

    fn run(&self, arguments: &[impl AsRef<OsStr>]) -> Result<Vec<u8>, NoGit> {
        call(self.folder.as_deref(), self.index.as_deref(), arguments)
    }

    /// [`Self::run`] with this on its standard input.
    fn ask(&self, arguments: &[impl AsRef<OsStr>], question: &[u8]) -> Result<Vec<u8>, NoGit> {
        let command = command(self.folder.as_deref(), self.index.as_deref(), arguments);
        ask(command, question)
    }

    /// The commit that is checked out, and its time.
    fn commit(&self) -> Result<(String, String), NoGit> {
        let answer = self.run(&[
            // Otherwise a signature would be printed in between.
            "-c",
            "log.showSignature=false",
            "log",
            "--max-count=1",
            "--date=format-local:%Y-%m-%dT%H:%M:%SZ",
            "--format=%H %cd",
            "HEAD",
            "--",
        ])?;
        let answer = String::from_utf8_lossy(&answer);
        let words = answer.trim_end().split_once(' ');
        let (commit, time) = words.ok_or_else(|| NoGit::Failed(answer.trim_end().to_owned()))?;
        Ok((commit.to_owned(), time.to_owned()))
    }

    /// The files below `root`, a path without links, that differ from the commit.
    fn modified(&self, root: &Path) -> Result<Vec<PathBuf>, NoGit> {
        let below = root.strip_prefix(&self.top).unwrap_or(Path::new(""));
        let mut scope = OsString::from(":(top,literal)");
        scope.push(below);
        let arguments = ["status", "--porcelain", "-z", "--untracked-files=all"];
        let arguments = arguments.map(OsStr::new);
        let answer = self.run(
            &[
                &arguments[..],
                &["--no-renames", "--"].map(OsStr::new),
                &[&scope],
            ]
            .concat(),
        )?;
        // Each path follows two letters and a space.
        let paths = rows(&answer).filter_map(|row| row.get(3..));
        let paths = paths.map(|path| self.top.join(OsStr::from_bytes(path)));
        Ok(paths.collect())
    }

    /// Lists the whole index. Older versions of git do not support `--recurse-submodules` with every option; the list
    /// then lacks submodules.
    fn list(&self, arguments: &[&str]) -> Result<Vec<u8>, NoGit> {
        let whole = |arguments: &[&str]| {
            let arguments = [arguments, &["--", ":/"]].concat();
            self.run(&arguments)
        };
        let (_, without_submodules) = arguments.split_last().unwrap_or((&"", &[]));
        whole(arguments).or_else(|_| whole(without_submodules))
    }
}

/// A path that git printed, with symbolic links resolved.
fn path(printed: &[u8]) -> Result<PathBuf, NoGit> {
    let bytes = printed.strip_suffix(b"\n").unwrap_or(printed);
    if bytes.is_empty() {
        return Err(NoGit::NoWorkTree);
    }
    let path = PathBuf::from(OsStr::from_bytes(bytes));
    Ok(fs_err::canonicalize(&path).unwrap_or(path))
}

/// A command of git. In `folder` it runs without the variables that git sets for hooks; `index` is the index to use.
#[expect(clippy::disallowed_methods, reason = "an adapter runs programs")]
fn command(
    folder: Option<&Path>,
    index: Option<&Path>,
    arguments: &[impl AsRef<OsStr>],
) -> Command {
    let mut command = Command::new("git");
    command.args(arguments);
    // Messages are recognised by their text, and reading an index must not write it.
    command.env("LC_ALL", "C").env("GIT_OPTIONAL_LOCKS", "0");
    // Nobody is there to type a password.
    command.env("GIT_TERMINAL_PROMPT", "0").stdin(Stdio::null());
    // With `git --literal-pathspecs commit`, hooks would find nothing at `:/`.
    command.env_remove("GIT_LITERAL_PATHSPECS");
    // The time of a commit must not depend on the time zone.
    command.env("TZ", "UTC");
    if let Some(folder) = folder {
        command.current_dir(folder);
        for name in ABOUT_ONE_REPOSITORY {
            command.env_remove(name);
        }
    }
    if let Some(index) = index {
        command.env("GIT_INDEX_FILE", index);
    }
    command
}

/// Runs git.
fn call(
    folder: Option<&Path>,
    index: Option<&Path>,
    arguments: &[impl AsRef<OsStr>],
) -> Result<Vec<u8>, NoGit> {
    let output = command(folder, index, arguments).output();
    let output = output.map_err(|error| not_started(&error))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(understood(&String::from_utf8_lossy(&output.stderr)))
}

/// Runs git with this on its standard input. The exit code 1 is the answer that there is nothing.
fn ask(mut command: Command, question: &[u8]) -> Result<Vec<u8>, NoGit> {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let spawned = command.stderr(Stdio::piped()).spawn();
    let mut child = spawned.map_err(|error| not_started(&error))?;
    let input = child.stdin.take();
    let output = std::thread::scope(|scope| {
        // Both ends could wait for each other if all was written before anything is read.
        scope.spawn(|| input.map(|mut input| input.write_all(question)));
        child.wait_with_output()
    });
    let output = output.map_err(|error| NoGit::Failed(error.to_string()))?;
    if matches!(output.status.code(), Some(0 | 1)) {
        return Ok(output.stdout);
    }
    Err(understood(&String::from_utf8_lossy(&output.stderr)))
}

fn not_started(error: &io::Error) -> NoGit {
    match error.kind() {
        io::ErrorKind::NotFound => NoGit::NotInstalled,
        _ => NoGit::Failed(error.to_string()),
    }
}

fn understood(message: &str) -> NoGit {
    if message.contains("dubious ownership") {
        let quoted = message.split('\'').nth(1).unwrap_or(".");
        return NoGit::DubiousOwnership {
            folder: PathBuf::from(quoted),
        };
    }
    let elsewhere = ["not a git repository", "must be run in a work tree"];
    if elsewhere.iter().any(|words| message.contains(words)) {
        return NoGit::NoWorkTree;
    }
    let first = message.lines().find(|line| !line.trim().is_empty());
    NoGit::Failed(first.unwrap_or("it said nothing").trim().to_owned())
}

#[expect(
    clippy::disallowed_methods,
    reason = "an adapter reads the environment"
)]
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

fn rows(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == 0).filter(|row| !row.is_empty())
}

/// The configuration files of the checkout that `folder` lies in, and of a hook's repository, read without git.
fn configurations(folder: &Path) -> Vec<String> {
    let named = variable("GIT_DIR").map(PathBuf::from);
    let found = folder.ancestors().find_map(git_folder);
    let both = [named, found].into_iter().flatten();
    both.flat_map(|folder| configurations_in(&folder)).collect()
}

fn configurations_in(git_folder: &Path) -> Vec<String> {
    let common = fs_err::read_to_string(git_folder.join("commondir"));
    let common = common.map_or_else(
        |_| git_folder.to_owned(),
        |text| git_folder.join(text.trim_end()),
    );
    let files = [common.join("config"), git_folder.join("config.worktree")];
    let texts = files.iter().filter_map(|file| fs_err::read(file).ok());
    texts
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .collect()
}

/// The git folder of a work tree: `.git` itself, or the folder that a file `.git` names.
fn git_folder(top: &Path) -> Option<PathBuf> {
    let path = top.join(".git");
    let folder = match fs_err::read_to_string(&path) {
        Ok(text) => top.join(text.strip_prefix("gitdir:")?.trim()),
        Err(_) => path,
    };
    // In a repository without a commit, an old one's `HEAD` is a link that leads nowhere.
    let head = folder.join("HEAD").symlink_metadata();
    head.is_ok().then_some(folder)
}

/// Whether a configuration may switch `core.fileMode` off. If it may, git is asked.
fn may_distrust_modes(text: &str) -> bool {
    text.lines().any(|line| {
        let line = line.trim().to_ascii_lowercase();
        let value = line
            .split_once('=')
            .map_or("true", |(_, value)| value.trim());
        line.starts_with("[include") || (line.contains("filemode") && value != "true")
    })
}

/// Whether a configuration may say that the disk does not tell all names apart.
fn may_fold_names(text: &str) -> bool {
    text.lines().any(|line| {
        let line = line.trim().to_ascii_lowercase();
        let is_named = line.contains("ignorecase") || line.contains("precomposeunicode");
        line.starts_with("[include") || is_named && !line.ends_with("false")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn git(folder: &Path, arguments: &[&str]) {
        call(Some(folder), None, arguments).unwrap();
    }

    pub(super) fn repository(files: &[&str]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let root = fs_err::canonicalize(folder.path()).unwrap();
        git(&root, &["init", "--quiet"]);
        for path in files {
            let file = root.join(path);
            fs_err::create_dir_all(file.parent().unwrap()).unwrap();
            fs_err::write(file, path).unwrap();
        }
        (folder, root)
    }

    #[test]
    fn the_index_says_what_is_tracked() {
        let (_folder, root) = repository(&["a", "project/b ü\n", "project/new", "real/x"]);
        git(&root, &["add", "a", "project/b ü\n", "real"]);
        let found = tracked(&root.join("project")).unwrap();
        assert!(found.has(&root.join("a")));
        assert!(found.has(&root.join("project/b ü\n")));
        assert!(!found.has(&root.join("project/new")));
        assert_eq!(top_folder(&root.join("project")), Some(root));
    }

    #[test]
    fn modes_come_from_the_index_only_where_the_disk_is_not_trusted() {
        let (_folder, root) = repository(&["run.sh", "a"]);
        git(&root, &["add", "."]);
        assert_eq!(DiskConfig::of(&root).executable_bits(), Ok(None));
        git(&root, &["config", "core.fileMode", "false"]);
        git(&root, &["update-index", "--chmod=+x", "run.sh"]);
        let bits = DiskConfig::of(&root).executable_bits().unwrap().unwrap();
        assert_eq!(
            bits.into_iter().collect::<Vec<_>>(),
            [(root.join("a"), false), (root.join("run.sh"), true)]
        );
    }

    #[test]
    fn a_linked_work_tree_has_the_configuration_of_its_repository() {
        let (folder, root) = repository(&["a"]);
        git(&root, &["add", "."]);
        commit(&root, "x");
        let other = root.join("other");
        git(
            &root,
            &["worktree", "add", "--quiet", other.to_str().unwrap()],
        );
        assert_eq!(DiskConfig::of(&other).executable_bits(), Ok(None));
        git(&root, &["config", "core.filemode", "no"]);
        assert!(
            DiskConfig::of(&other)
                .executable_bits()
                .unwrap()
                .unwrap()
                .contains_key(&other.join("a"))
        );
        drop(folder);
    }

    /// Adds the repository `inner` as the submodule `sub`.
    pub(super) fn add_submodule(folder: &Path, inner: &Path) {
        let allowed = ["-c", "protocol.file.allow=always"];
        let add = [
            "submodule",
            "--quiet",
            "add",
            inner.to_str().unwrap(),
            "sub",
        ];
        git(folder, &[&allowed[..], &add].concat());
    }

    pub(super) fn commit(folder: &Path, message: &str) {
        let who = ["-c", "user.name=x", "-c", "user.email=x@localhost"];
        let commit = ["commit", "--quiet", "--allow-empty", "-m", message];
        git(folder, &[&who[..], &commit].concat());
    }

    #[test]
    fn a_source_is_the_commit_and_what_differs_in_the_project() {
        let (_folder, root) = repository(&["project/a", "project/b ü\n", "other/x", ".gitignore"]);
        let project = root.join("project");
        assert!(
            matches!(source(&project), Err(NoGit::Failed(_))),
            "no commit yet"
        );
        fs_err::write(root.join(".gitignore"), "*.pyc\n").unwrap();
        git(&root, &["add", "."]);
        commit(&root, "x");
        let clean = source(&project).unwrap();
        let head = call(Some(&root), None, &["rev-parse", "HEAD"]).unwrap();
        assert_eq!(clean.commit.as_bytes(), head.trim_ascii());
        assert_eq!(clean.modified, Vec::<PathBuf>::new());
        for path in ["project/a.pyc", "other/new", "other/x"] {
            fs_err::write(root.join(path), "new").unwrap();
        }
        assert_eq!(source(&project).unwrap(), clean, "ignored, or elsewhere");
        fs_err::write(project.join("b ü\n"), "new").unwrap();
        fs_err::create_dir(project.join("new")).unwrap();
        fs_err::write(project.join("new/c"), "new").unwrap();
        git(&root, &["mv", "project/a", "project/z"]);
        let modified = source(&project).unwrap().modified;
        let mut modified: Vec<_> = modified
            .iter()
            .map(|path| path.strip_prefix(&project).unwrap().to_str().unwrap())
            .collect();
        modified.sort_unstable();
        assert_eq!(modified, ["a", "b ü\n", "new/c", "z"]);
        assert_eq!(source(&root).unwrap().modified.len(), 6);
    }

    /// The time is in UTC, whatever the committer's time zone and git's configuration are.
    #[test]
    fn the_time_of_a_commit_is_in_utc() {
        let (_folder, root) = repository(&["a"]);
        git(&root, &["add", "."]);
        git(&root, &["config", "log.showSignature", "true"]);
        git(&root, &["config", "status.relativePaths", "true"]);
        git(&root, &["config", "status.branch", "true"]);
        #[expect(clippy::disallowed_methods, reason = "a commit at a known time")]
        let status = Command::new("git")
            .args(["-c", "user.name=x", "-c", "user.email=x@localhost"])
            .args(["commit", "--quiet", "-m", "x"])
            .env("GIT_COMMITTER_DATE", "2024-02-29T23:30:00-0530")
            .current_dir(&root)
            .status();
        assert!(status.unwrap().success());
        let source = source(&root).unwrap();
        assert_eq!(
            (source.time.as_str(), source.modified.len()),
            ("2024-03-01T05:00:00Z", 0)
        );
    }

    #[test]
    fn what_is_no_work_tree_is_told() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(tracked(folder.path()).unwrap_err(), NoGit::NoWorkTree);
        assert_eq!(source(folder.path()), Err(NoGit::NoWorkTree));
        assert_eq!(DiskConfig::of(folder.path()).executable_bits(), Ok(None));
        let text =
            "fatal: detected dubious ownership in repository at '/srv/x'\nTo add an exception";
        let folder = PathBuf::from("/srv/x");
        assert_eq!(understood(text), NoGit::DubiousOwnership { folder });
    }

    #[test]
    fn only_a_setting_that_may_be_off_starts_git() {
        for (text, wanted) in [
            ("[core]\n\tfilemode = true\n", false),
            ("[core]\n\tbare = false\n", false),
            ("[core]\n\tfileMode = false\n", true),
            ("[core] filemode=0", true),
            ("[core]\n\tfilemode\n", false),
            ("[includeIf \"gitdir:x\"]\n\tpath = y\n", true),
        ] {
            assert_eq!(may_distrust_modes(text), wanted, "{text}");
        }
    }
}
