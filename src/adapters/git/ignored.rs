//! Which files git ignores.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};

use super::{Git, NoGit, git_folder, is_told_of_repository, rows, top_folder, variable};

/// Those of `files` that git ignores and does not track. The files are absolute paths without symbolic links above the
/// work tree; one that goes through links is ignored if one of them is, or what they lead to.
///
/// # Errors
/// Why git does not answer.
pub fn ignored<'p>(root: &Path, files: &[&'p Path]) -> Result<Vec<&'p Path>, NoGit> {
    let files = may_be_ignored(root, files);
    if files.is_empty() {
        return Ok(files);
    }
    let git = Git::without_git(root)?;
    let (mut tops, mut links) = (HashMap::new(), HashMap::new());
    let mut questions: BTreeMap<PathBuf, BTreeSet<PathBuf>> = BTreeMap::new();
    let mut asked: Vec<(&Path, Vec<PathBuf>)> = Vec::new();
    for file in files {
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
    /// [`Self::at`], without a question to git if no variable names another checkout. Whether git agrees shows when it
    /// is asked.
    fn without_git(root: &Path) -> Result<Self, NoGit> {
        if is_told_of_repository() {
            return Self::at(root);
        }
        let root = fs_err::canonicalize(root).map_err(|_| NoGit::NoWorkTree)?;
        let top = top_folder(&root).ok_or(NoGit::NoWorkTree)?;
        Ok(Self {
            folder: Some(top.clone()),
            top,
            index: None,
        })
    }

    fn ignored(&self, paths: &BTreeSet<PathBuf>) -> Result<Vec<PathBuf>, NoGit> {
        let mut question = Vec::new();
        for path in paths {
            question.extend_from_slice(path.as_os_str().as_bytes());
            question.push(0);
        }
        // Git is asked only about its rules, because it would go through its whole index for each path.
        let answer = self.ask(&["check-ignore", "--no-index", "--stdin", "-z"], &question)?;
        let found: Vec<&[u8]> = rows(&answer).collect();
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let tracked = self.run(&["ls-files", "-z", "--full-name", "--", ":/"])?;
        let tracked: HashSet<&[u8]> = rows(&tracked).collect();
        let paths = found
            .into_iter()
            .map(|row| Path::new(OsStr::from_bytes(row)));
        let is_tracked = |path: &&Path| {
            let below = path.strip_prefix(&self.top);
            below.is_ok_and(|below| tracked.contains(below.as_os_str().as_bytes()))
        };
        let untracked = paths.filter(|path| !is_tracked(path));
        Ok(untracked.map(Path::to_owned).collect())
    }
}

/// Those of `files` that git may ignore, as its rules say without a question to git. All of them, if that cannot be said.
fn may_be_ignored<'p>(root: &Path, files: &[&'p Path]) -> Vec<&'p Path> {
    let names = rule_files(root, files).and_then(|(top, rules)| {
        let texts = rules.iter().filter_map(|file| fs_err::read(file).ok());
        Some((top, names_of_rules(texts)?))
    });
    let Some((top, names)) = names else {
        return files.to_vec();
    };
    let mut known: HashMap<&OsStr, bool> = HashMap::new();
    let mut is_named = |file: &'p Path| {
        let below = file.strip_prefix(&top).unwrap_or(file);
        let mut parts = below.iter();
        parts.any(|part| *known.entry(part).or_insert_with(|| names.is_match(part)))
    };
    let files = files.iter().copied();
    files.filter(|file| is_named(file)).collect()
}

/// The top folder of the checkout, and the files of git's rules for `files`. `None` if that cannot be said.
fn rule_files(root: &Path, files: &[&Path]) -> Option<(PathBuf, Vec<PathBuf>)> {
    let is_set = |name: &&str| variable(name).is_some();
    let others = [
        "GIT_CONFIG_GLOBAL",
        "GIT_CONFIG_SYSTEM",
        "GIT_CONFIG_COUNT",
        "GIT_CONFIG_PARAMETERS",
    ];
    if is_told_of_repository() || others.iter().any(is_set) {
        return None;
    }
    let top = top_folder(root)?;
    let folder = git_folder(&top)?;
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
    let mut rules = vec![common.join("info/exclude"), of_user.join("git/ignore")];
    let texts = configurations
        .iter()
        .filter_map(|file| fs_err::read(file).ok());
    for text in texts {
        rules.extend(excludes_file(&String::from_utf8_lossy(&text), &home)?);
    }
    let mut folders = BTreeSet::new();
    for file in files {
        let above = file.parent()?.ancestors();
        // The folders above one that is known are known too.
        for folder in above.take_while(|folder| folder.starts_with(&top)) {
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
        rules.push(folder.join(".gitignore"));
    }
    Some((top, rules))
}

/// The names of what the rules may ignore: a path can only be ignored if one of its parts has such a name, because the
/// last name in a rule is that of the file or of a folder above it. `None` if a rule may ignore anything.
fn names_of_rules(texts: impl Iterator<Item = Vec<u8>>) -> Option<GlobSet> {
    let mut names = GlobSetBuilder::new();
    for text in texts {
        let text = String::from_utf8(text).ok()?;
        for line in text.trim_start_matches('\u{feff}').lines() {
            let rule = line.trim_end_matches(' ');
            if rule.is_empty() || rule.starts_with(['#', '!']) {
                continue;
            }
            names.add(name_of_rule(rule)?);
        }
    }
    names.build().ok()
}

/// The last name in a rule; `None` if what it matches is not the same for git and for us.
fn name_of_rule(rule: &str) -> Option<Glob> {
    let mut names = rule.rsplit('/');
    let name = names.find(|name| !matches!(*name, "" | "**"))?;
    let set = name.split('[').skip(1);
    let mut sets = set.map(|rest| rest.split_once(']').map_or("", |(set, _)| set));
    let is_plain =
        |set: &str| !set.is_empty() && set.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if name.contains(['\\', '{', '}']) || !sets.all(is_plain) {
        return None;
    }
    // Where `core.ignoreCase` is set, git does not look at the case.
    GlobBuilder::new(name).case_insensitive(true).build().ok()
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
    fn only_what_a_rule_may_name_is_asked_about() {
        let may = |rules: &str, file: &str| {
            let names = names_of_rules([rules.as_bytes().to_vec()].into_iter());
            names.is_none_or(|names| Path::new(file).iter().any(|part| names.is_match(part)))
        };
        let python = "\u{feff}# Python\r\n__pycache__/\r\n*.py[cod]\n*$py.class\n/build/**\n.env*  \n!.envrc\n";
        for ignored in [
            "a/x.pyc",
            "build/a/b",
            "a/__pycache__/x",
            "src/.ENV",
            ".env.local",
        ] {
            assert!(may(python, ignored), "{ignored}");
        }
        for kept in ["src/a.py", "buildx/a", "env/x", "pycache/x.pyd2"] {
            assert!(!may(python, kept), "{kept}");
        }
        for anything in [
            "*",
            "/*\n!/src",
            "**",
            "a\\ b",
            "{a}",
            "[!a].py",
            "[a",
            "a**",
        ] {
            assert!(may(anything, "src/a.py"), "{anything}");
        }
    }

    #[test]
    fn the_rules_are_those_of_all_folders_above() {
        let (_folder, root) = repository(&["src/a.py", "sub/b.py"]);
        let of = |file: &str| rule_files(&root, &[&root.join(file)]).map(|(_, rules)| rules);
        let rules = of("src/a.py").unwrap();
        for expected in [".git/info/exclude", ".gitignore", "src/.gitignore"] {
            assert!(rules.contains(&root.join(expected)), "{expected}");
        }
        git(&root.join("sub"), &["init", "--quiet"]);
        assert_eq!(of("sub/b.py"), None);
        std::os::unix::fs::symlink("src", root.join("link")).unwrap();
        assert_eq!(of("link/a.py"), None);
    }
}
