//! What kind of checkout a project lies in, and which hooks it has.

use std::path::{Path, PathBuf};

use super::{Git, NoGit, call};

/// A checkout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AboutCheckout {
    /// git's version.
    pub version: String,
    /// The top folder.
    pub top: PathBuf,
    /// Whether it lacks older commits.
    pub is_shallow: bool,
    /// Whether a commit rather than a branch is checked out.
    pub is_detached: bool,
    /// Whether executable bits come from the index, because `core.fileMode` is off.
    pub distrusts_modes: bool,
    /// Whether sparkpack runs before each commit.
    pub hook: HookState,
}

/// Whether sparkpack runs before each commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookState {
    /// No hook names it.
    Absent,
    /// pre-commit is told to run it, and is not installed in this clone.
    NotInstalled,
    /// It does.
    Installed,
}

/// The checkout that `root` lies in.
///
/// # Errors
/// Why git does not answer.
pub fn about(root: &Path) -> Result<AboutCheckout, NoGit> {
    let version = text(&call(None, None, &["--version"])?);
    let root = fs_err::canonicalize(root).map_err(|_| NoGit::NoWorkTree)?;
    let git = Git::at(&root)?;
    let says = |arguments: &[&str], wanted: &str| {
        let answer = git.run(arguments);
        answer.is_ok_and(|answer| text(&answer) == wanted)
    };
    let hook = git.run(&["rev-parse", "--git-path", "hooks/pre-commit"])?;
    let hook = root.join(text(&hook));
    let configuration = fs_err::read_to_string(git.top.join(".pre-commit-config.yaml"));
    let names_it = |text: &String| text.contains("sparkpack");
    let own = fs_err::read_to_string(&hook).is_ok_and(|text| names_it(&text));
    Ok(AboutCheckout {
        version: version.trim_start_matches("git version ").to_owned(),
        is_shallow: says(&["rev-parse", "--is-shallow-repository"], "true"),
        is_detached: git.run(&["symbolic-ref", "--quiet", "HEAD"]).is_err(),
        distrusts_modes: says(
            &["config", "--type=bool", "--get", "core.fileMode"],
            "false",
        ),
        hook: match own || configuration.is_ok_and(|text| names_it(&text)) {
            false => HookState::Absent,
            true if hook.is_file() => HookState::Installed,
            true => HookState::NotInstalled,
        },
        top: git.top,
    })
}

fn text(answer: &[u8]) -> String {
    String::from_utf8_lossy(answer).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::git::tests::{commit, git, repository};

    #[test]
    fn a_checkout_is_told_with_its_hooks() {
        let (_folder, root) = repository(&["a"]);
        commit(&root, "one");
        let plain = about(&root).unwrap();
        assert!(plain.version.starts_with('2'), "{}", plain.version);
        assert!(!plain.is_shallow && !plain.is_detached && !plain.distrusts_modes);
        assert_eq!(plain.hook, HookState::Absent);
        fs_err::write(
            root.join(".pre-commit-config.yaml"),
            "- id: sparkpack-pin\n",
        )
        .unwrap();
        git(&root, &["checkout", "--quiet", "--detach"]);
        git(&root, &["config", "core.fileMode", "false"]);
        let other = about(&root).unwrap();
        assert_eq!(other.hook, HookState::NotInstalled);
        assert!(other.is_detached && other.distrusts_modes);
        fs_err::create_dir_all(root.join(".git/hooks")).unwrap();
        fs_err::write(root.join(".git/hooks/pre-commit"), "#!/bin/sh\n").unwrap();
        assert_eq!(about(&root).unwrap().hook, HookState::Installed);
    }

    #[test]
    fn a_folder_in_no_checkout_is_told_so() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(about(folder.path()), Err(NoGit::NoWorkTree));
    }
}
