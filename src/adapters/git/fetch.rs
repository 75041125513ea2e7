//! Repositories that requirements name: fetched into the cache, and checked out from there.

use std::path::Path;

use super::{NoGit, call};

/// Options by which nothing of a repository is run, and nobody is asked for a password.
const QUIET: [&str; 6] = [
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "core.askPass=true",
    "-c",
    "advice.detachedHead=false",
];

/// Fetches the branches and tags of the repository at `url`, and the `revision` if it is neither, into the bare repository in
/// `folder`, which is made if it is not there.
///
/// # Errors
/// What git says.
pub fn fetch(url: &str, folder: &Path, revision: Option<&str>) -> Result<(), NoGit> {
    if !folder.join("HEAD").exists() {
        let parent = folder.parent().unwrap_or(folder);
        fs_err::create_dir_all(parent).map_err(|error| NoGit::Failed(error.to_string()))?;
        let made = folder.to_string_lossy();
        git(parent, &["init", "--quiet", "--bare", &made])?;
    }
    let fetch = |specifications: &[&str]| {
        let arguments = [
            "fetch",
            "--quiet",
            "--no-write-fetch-head",
            "--end-of-options",
            url,
        ];
        git(folder, &[&arguments[..], specifications].concat())
    };
    fetch(&[
        "+refs/heads/*:refs/heads/*",
        "+refs/tags/*:refs/tags/*",
        "+HEAD:refs/sparkpack/head",
    ])?;
    match revision.filter(|name| commit(folder, Some(name)).is_none()) {
        // A commit of no branch, or a name such as `refs/pull/1/head`. What the server refuses is told by its lack.
        Some(name) => {
            let _ = fetch(&[&format!("+{name}:refs/sparkpack/named/{name}")]);
            Ok(())
        }
        None => Ok(()),
    }
}

/// The full ID of the commit of a branch, a tag or an abbreviated ID in a fetched repository; without one, of its default
/// branch. `None` if there is none.
#[must_use]
pub fn commit(folder: &Path, revision: Option<&str>) -> Option<String> {
    let names = match revision {
        None => vec!["refs/sparkpack/head".to_owned()],
        Some(name) => vec![
            format!("refs/tags/{name}"),
            format!("refs/heads/{name}"),
            format!("refs/sparkpack/named/{name}"),
            name.to_owned(),
        ],
    };
    names.into_iter().find_map(|name| {
        let wanted = format!("{name}^{{commit}}");
        let arguments = [
            "rev-parse",
            "--verify",
            "--quiet",
            "--end-of-options",
            &wanted,
        ];
        let found = call(Some(folder), None, &arguments).ok()?;
        let found = String::from_utf8(found).ok()?;
        let found = found.lines().next_back()?.trim().to_owned();
        (!found.is_empty()).then_some(found)
    })
}

/// Checks out a commit of a fetched repository into the new folder `into`, with what it has as submodules. `url` is that of
/// the repository, by which those of its submodules may be.
///
/// # Errors
/// What git says.
pub fn check_out(folder: &Path, url: &str, commit: &str, into: &Path) -> Result<(), NoGit> {
    let (from, to) = (folder.to_string_lossy(), into.to_string_lossy());
    let arguments = [
        "clone",
        "--quiet",
        "--no-hardlinks",
        "--no-checkout",
        "--template=",
        &from,
        &to,
    ];
    git(folder, &arguments)?;
    git(into, &["remote", "set-url", "origin", url])?;
    git(into, &["checkout", "--quiet", "--detach", commit])?;
    if into.join(".gitmodules").exists() {
        let update = ["submodule", "--quiet", "update", "--init", "--recursive"];
        git(into, &update)?;
    }
    // What is built may look at tags, but nobody has a use for a login.
    git(into, &["remote", "remove", "origin"])
}

fn git(folder: &Path, arguments: &[&str]) -> Result<(), NoGit> {
    let all = [&QUIET[..], arguments].concat();
    call(Some(folder), None, &all).map(drop)
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{git as run, repository},
        *,
    };

    fn commit_all(root: &Path, message: &str) {
        run(root, &["add", "--all"]);
        let who = ["-c", "user.name=x", "-c", "user.email=x@localhost"];
        let commit = ["commit", "--quiet", "--allow-empty", "-m", message];
        run(root, &[&who[..], &commit].concat());
    }

    #[test]
    fn a_revision_is_a_commit_of_what_was_fetched() {
        let (_folder, root) = repository(&["a.txt"]);
        commit_all(&root, "one");
        run(&root, &["tag", "v1"]);
        fs_err::write(root.join("a.txt"), "two").unwrap();
        commit_all(&root, "two");
        let cache = tempfile::tempdir().unwrap();
        let bare = cache.path().join("deep/repository");
        let url = format!("file://{}", root.display());
        fetch(&url, &bare, None).unwrap();
        let one = commit(&bare, Some("v1")).unwrap();
        let two = commit(&bare, None).unwrap();
        assert_ne!(one, two);
        assert_eq!(commit(&bare, Some(&one[..10])), Some(one.clone()));
        assert_eq!(commit(&bare, Some("nothing")), None);
        assert_eq!(commit(&bare, Some("--help")), None);
        let into = cache.path().join("tree");
        check_out(&bare, &url, &one, &into).unwrap();
        assert_eq!(fs_err::read_to_string(into.join("a.txt")).unwrap(), "a.txt");
        // What is new there is fetched.
        commit_all(&root, "three");
        fetch(&url, &bare, None).unwrap();
        assert_ne!(commit(&bare, None), Some(two));
    }

    #[test]
    fn what_cannot_be_fetched_is_git_s_message() {
        let cache = tempfile::tempdir().unwrap();
        let error = fetch("file:///nowhere/at/all", &cache.path().join("x"), None).unwrap_err();
        assert!(error.to_string().contains("nowhere"), "{error}");
    }
}
