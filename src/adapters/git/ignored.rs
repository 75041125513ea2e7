//! Which files git ignores.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use super::{ABOUT_ONE_REPOSITORY, Git, NoGit, git_folder, rows, variable};

/// Those of `files` that git ignores and does not track. The files are absolute paths without symbolic links above the
/// work tree; one that goes through links is ignored if one of them is, or what they lead to.
///
/// # Errors
/// Why git does not answer.
pub fn ignored<'p>(root: &Path, files: &[&'p Path]) -> Result<Vec<&'p Path>, NoGit> {
    let git = Git::at(root)?;
    let (mut tops, mut links) = (HashMap::new(), HashMap::new());
    let mut questions: BTreeMap<PathBuf, BTreeSet<PathBuf>> = BTreeMap::new();
    let mut asked: Vec<(&Path, Vec<PathBuf>)> = Vec::new();
    for &file in files {
        let paths: Vec<PathBuf> = without_links(&git.top, file, &mut links)
            .into_iter()
            .filter(|path| path.starts_with(&git.top))
            .collect();
        for path in &paths {
            let folder = path.parent().unwrap_or(path);
            let top = top_of(folder, &git.top, &mut tops);
            questions.entry(top).or_default().insert(path.clone());
        }
        asked.push((file, paths));
    }
    let mut found: BTreeSet<PathBuf> = BTreeSet::new();
    for (top, paths) in questions {
        if top == git.top {
            found.extend(git.ignored(&paths)?);
        } else {
            // Git refuses a path in a submodule: that has to be asked itself.
            found.extend(Git::in_folder(Some(top))?.ignored(&paths)?);
        }
    }
    let is_ignored = |paths: &[PathBuf]| paths.iter().any(|path| found.contains(path));
    let asked = asked.into_iter();
    Ok(asked
        .filter(|(_, paths)| is_ignored(paths))
        .map(|(file, _)| file)
        .collect())
}

/// The file itself, or if its path goes through symbolic links, the first of them and what they all lead to. Git
/// refuses paths beyond links. `folders` has the first link on the way to each folder, if there is one.
fn without_links(
    top: &Path,
    file: &Path,
    folders: &mut HashMap<PathBuf, Option<PathBuf>>,
) -> Vec<PathBuf> {
    let above = file
        .parent()
        .and_then(|folder| first_link(top, folder, folders));
    let link = above.or_else(|| file.is_symlink().then(|| file.to_owned()));
    match link {
        None => vec![file.to_owned()],
        Some(link) => {
            let real = fs_err::canonicalize(file).ok();
            [Some(link), real].into_iter().flatten().collect()
        }
    }
}

/// The first symbolic link on the way from `top` to a folder.
fn first_link(
    top: &Path,
    folder: &Path,
    known: &mut HashMap<PathBuf, Option<PathBuf>>,
) -> Option<PathBuf> {
    if folder == top || !folder.starts_with(top) {
        return None;
    }
    if let Some(found) = known.get(folder) {
        return found.clone();
    }
    let above = folder
        .parent()
        .and_then(|above| first_link(top, above, known));
    let found = above.or_else(|| folder.is_symlink().then(|| folder.to_owned()));
    known.insert(folder.to_owned(), found.clone());
    found
}

/// The top folder of the repository that a folder below `top` belongs to: that of a submodule, or `top`.
fn top_of(folder: &Path, top: &Path, known: &mut HashMap<PathBuf, PathBuf>) -> PathBuf {
    if let Some(found) = known.get(folder) {
        return found.clone();
    }
    let found = match folder.parent() {
        _ if folder == top || folder.join(".git").exists() => folder.to_owned(),
        Some(parent) => top_of(parent, top, known),
        None => top.to_owned(),
    };
    known.insert(folder.to_owned(), found.clone());
    found
}

impl Git {
    fn ignored(&self, paths: &BTreeSet<PathBuf>) -> Result<Vec<PathBuf>, NoGit> {
        // To check a path, git goes through its whole index: it is asked only about those that are not there.
        let tracked = self.run(&["ls-files", "-z", "--full-name", "--", ":/"])?;
        let tracked: HashSet<&[u8]> = rows(&tracked).collect();
        let is_tracked = |path: &&PathBuf| {
            let below = path.strip_prefix(&self.top);
            below.is_ok_and(|below| tracked.contains(below.as_os_str().as_bytes()))
        };
        let mut question = Vec::new();
        for path in paths.iter().filter(|path| !is_tracked(path)) {
            question.extend_from_slice(path.as_os_str().as_bytes());
            question.push(0);
        }
        if question.is_empty() {
            return Ok(Vec::new());
        }
        let answer = self.ask(&["check-ignore", "--stdin", "-z"], &question)?;
        let named = rows(&answer).map(|row| PathBuf::from(OsStr::from_bytes(row)));
        Ok(named.collect())
    }
}

/// The files that decide whether git ignores `files`, without a question to git: its index, its configuration and its
/// rules. `None` if that cannot be said, so that git has to be asked each time.
#[must_use]
pub fn what_decides(root: &Path, files: &[&Path]) -> Option<Vec<PathBuf>> {
    let is_set = |name: &&str| variable(name).is_some();
    let others = [
        "GIT_CONFIG_GLOBAL",
        "GIT_CONFIG_SYSTEM",
        "GIT_CONFIG_COUNT",
        "GIT_CONFIG_PARAMETERS",
    ];
    if ABOUT_ONE_REPOSITORY.iter().chain(&others).any(is_set) {
        return None;
    }
    let top = root
        .ancestors()
        .find(|folder| git_folder(folder).is_some())?;
    let folder = git_folder(top)?;
    let common = fs_err::read_to_string(folder.join("commondir"));
    let common = common.map_or_else(|_| folder.clone(), |text| folder.join(text.trim_end()));
    let home = variable("HOME").map(PathBuf::from)?;
    let of_user = variable("XDG_CONFIG_HOME").map_or_else(|| home.join(".config"), PathBuf::from);
    let configurations = [
        PathBuf::from("/etc/gitconfig"),
        of_user.join("git/config"),
        home.join(".gitconfig"),
        common.join("config"),
        folder.join("config.worktree"),
    ];
    let mut decisive = vec![
        folder.join("index"),
        common.join("info/exclude"),
        of_user.join("git/ignore"),
    ];
    for text in configurations
        .iter()
        .filter_map(|file| fs_err::read(file).ok())
    {
        decisive.extend(excludes_file(&String::from_utf8_lossy(&text), &home)?);
    }
    decisive.extend(configurations);
    let mut folders = BTreeSet::new();
    for file in files {
        for folder in file
            .parent()?
            .ancestors()
            .take_while(|folder| folder.starts_with(top))
        {
            if !folders.insert(folder) {
                break;
            }
        }
    }
    for folder in folders {
        // What is reached through a link has rules elsewhere.
        if folder.is_symlink() || (folder != top && folder.join(".git").exists()) {
            return None;
        }
        decisive.push(folder.join(".gitignore"));
    }
    decisive.retain(|file| file.exists());
    Some(decisive)
}

/// The files of rules that a configuration names; `None` if another configuration is included.
fn excludes_file(text: &str, home: &Path) -> Option<Vec<PathBuf>> {
    let mut found = Vec::new();
    for line in text.lines().map(str::trim) {
        let lower = line.to_ascii_lowercase();
        if lower.starts_with("[include") {
            return None;
        }
        if lower.contains("excludesfile") {
            let (_, value) = line.split_once('=')?;
            let value = value.trim().trim_matches('"');
            found.push(match value.strip_prefix("~/") {
                Some(below) => home.join(below),
                None if value.starts_with('/') => PathBuf::from(value),
                None => return None,
            });
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{add_submodule, commit, git, repository};
    use super::*;

    fn named(root: &Path, files: &[&str]) -> Vec<String> {
        let files: Vec<PathBuf> = files.iter().map(|file| root.join(file)).collect();
        let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
        let found = ignored(root, &files).unwrap();
        let below = |path: &&Path| path.strip_prefix(root).unwrap().display().to_string();
        found.iter().map(below).collect()
    }

    #[test]
    fn what_is_tracked_is_not_ignored() {
        let files = ["src/.env", "src/a ü\n.py", "src/tracked.env", "lib/[x].env"];
        let (_folder, root) = repository(&files);
        fs_err::write(root.join(".gitignore"), "*.env\n").unwrap();
        git(&root, &["add", "--force", "src/tracked.env"]);
        assert_eq!(named(&root, &files), ["src/.env", "lib/[x].env"]);
        assert_eq!(named(&root, &["src/tracked.env"]), [""; 0]);
        assert_eq!(named(&root.join("src"), &["no-such"]), [""; 0]);
    }

    #[test]
    fn links_and_submodules_are_asked_about_too() {
        let (_inner, inner) = repository(&["x.py"]);
        fs_err::write(inner.join(".gitignore"), "*.env\n").unwrap();
        git(&inner, &["add", "."]);
        commit(&inner, "x");
        let (_folder, root) = repository(&["real/.secret", "real/a.py"]);
        add_submodule(&root, &inner);
        fs_err::write(root.join(".gitignore"), ".secret\n/link\n").unwrap();
        std::os::unix::fs::symlink("real", root.join("link")).unwrap();
        std::os::unix::fs::symlink("real", root.join("other")).unwrap();
        fs_err::write(root.join("sub/a.env"), "").unwrap();
        let all = [
            "link/a.py",
            "other/.secret",
            "other/a.py",
            "sub/a.env",
            "sub/x.py",
        ];
        assert_eq!(
            named(&root, &all),
            ["link/a.py", "other/.secret", "sub/a.env"]
        );
    }

    #[test]
    fn the_rules_of_a_configuration_are_found() {
        let home = Path::new("/home/ada");
        let found = |text: &str| excludes_file(text, home);
        assert_eq!(found("[core]\n\tbare = false\n"), Some(Vec::new()));
        let of_user = Some(vec![PathBuf::from("/home/ada/.rules")]);
        assert_eq!(found("[core]\n\texcludesFile = ~/.rules\n"), of_user);
        let whole = Some(vec![PathBuf::from("/x y")]);
        assert_eq!(found("[core]\n  excludesfile = \"/x y\"\n"), whole);
        assert_eq!(found("[core] excludesfile = %(prefix)/x\n"), None);
        assert_eq!(found("[includeIf \"gitdir:x\"]\n\tpath = y\n"), None);
    }

    #[test]
    fn the_files_that_decide_are_those_that_there_are() {
        let (_folder, root) = repository(&["src/a.py", "sub/b.py"]);
        let file = root.join("src/a.py");
        let of = |files: &[&Path]| what_decides(&root, files);
        git(&root, &["add", "."]);
        let before = of(&[&file]).unwrap();
        assert!(before.contains(&root.join(".git/index")), "{before:?}");
        fs_err::write(root.join("src/.gitignore"), "x\n").unwrap();
        let after = of(&[&file]).unwrap();
        assert_eq!(after.len(), before.len() + 1);
        git(&root.join("sub"), &["init", "--quiet"]);
        assert_eq!(of(&[&root.join("sub/b.py")]), None);
        std::os::unix::fs::symlink("src", root.join("link")).unwrap();
        assert_eq!(of(&[&root.join("link/a.py")]), None);
    }
}
