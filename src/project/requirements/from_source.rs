//! Packages without a wheel: source distributions and commits of repositories, from which one is built where that is
//! allowed.

use std::{collections::BTreeSet, fmt};

use super::{
    Requirement,
    file_place::{FilePlace, GitPlace, WrongPlace, is_commit, is_wheel},
    pieces::{Wrong, file_name_of, masked, name_length, unpinnable},
    tree::TomlValue,
    variables::has_credentials,
};
use crate::{
    code::Code,
    image::Digest,
    project::{place::Place, wheel::normalise},
};

/// How the names of source distributions end.
const ENDS: [&str; 4] = [".tar.gz", ".tgz", ".zip", ".tar"];

/// What a wheel is built from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BuiltFrom {
    /// A source distribution.
    Archive {
        /// The name of the file.
        file_name: String,
        /// Its digest.
        sha256: Digest,
    },
    /// A commit.
    Commit {
        /// Where it is.
        place: GitPlace,
        /// Its ID.
        commit: String,
    },
}

impl BuiltFrom {
    /// The digest of an archive, or of what identifies a commit.
    #[must_use]
    pub fn digest(&self) -> Digest {
        match self {
            Self::Archive { sha256, .. } => sha256.clone(),
            Self::Commit { place, commit } => {
                let subdirectory = place.subdirectory.as_deref().unwrap_or_default();
                Digest::of_fields(["commit", &place.repository, commit, subdirectory])
            }
        }
    }

    /// Parses the notation of [`fmt::Display`].
    pub(super) fn parse(text: &str) -> Option<Self> {
        if let Some((place, commit)) = text.split_once(" at ") {
            let (_, place) = git(place, 0).ok()?;
            return is_commit(commit).then(|| Self::Commit {
                place,
                commit: commit.to_owned(),
            });
        }
        let (file_name, sha256) = text.split_once(' ')?;
        Some(Self::Archive {
            file_name: is_source_distribution(file_name).then(|| file_name.to_owned())?,
            sha256: sha256.parse().ok()?,
        })
    }
}

impl fmt::Display for BuiltFrom {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Archive { file_name, sha256 } => write!(formatter, "{file_name} {sha256}"),
            Self::Commit { place, commit } => write!(formatter, "{place} at {commit}"),
        }
    }
}

/// Whether a file name is that of a source distribution.
pub(super) fn is_source_distribution(file_name: &str) -> bool {
    let name = file_name.to_ascii_lowercase();
    ENDS.iter()
        .any(|end| name.strip_suffix(end).is_some_and(|stem| !stem.is_empty()))
}

/// The name of the package in a source distribution's file name: `acme-tools-1.0.tar.gz` is of `acme-tools`.
pub(super) fn name_of_source(file_name: &str) -> Option<String> {
    let lower = file_name.to_ascii_lowercase();
    let stem = ENDS.iter().find_map(|end| lower.strip_suffix(end))?;
    let (name, version) = stem.rsplit_once('-')?;
    let is_version = version.starts_with(|first: char| first.is_ascii_digit());
    let is_name = !name.is_empty() && name_length(name) == name.len();
    (is_version && is_name).then(|| normalise(name))
}

/// Whether a location is one of a version control system.
pub(super) fn is_of_version_control(location: &str) -> bool {
    let systems = ["git+", "hg+", "svn+", "bzr+"];
    systems.iter().any(|start| location.starts_with(start))
}

/// Refuses a repository's URL with a user or a password that is written out. A user of SSH is a part of the address.
pub(super) fn refuse_login(repository: &str, offset: usize) -> Result<(), Wrong> {
    let (scheme, rest) = repository.split_once("://").unwrap_or(("", repository));
    let host = rest.split('/').next().unwrap_or_default();
    let is_address = scheme == "ssh" && !host.contains(':');
    if is_address || !has_credentials(&format!("{scheme}://{host}")) {
        return Ok(());
    }
    let message = format!("`git+{}` holds a user or a password", masked(repository));
    Err(Wrong::new(Code::E042, offset, message).hint(
        "take it out of the file: write a variable, `git+https://${TOKEN}@…`, or leave it to git's credential helper",
    ))
}

/// The place in `git+URL@REVISION#subdirectory=FOLDER`, with the name in `#egg=NAME`.
pub(super) fn git(location: &str, offset: usize) -> Result<(Option<String>, GitPlace), Wrong> {
    let (before, fragment) = location.split_once('#').unwrap_or((location, ""));
    let url = before.strip_prefix("git+");
    let Some((scheme, rest)) = url.and_then(|url| url.split_once("://")) else {
        return Err(unpinnable(&masked(location), offset));
    };
    if !["https", "http", "ssh", "git", "file"].contains(&scheme) {
        return Err(unpinnable(&masked(location), offset));
    }
    // What stands before the host's `@` is a login, what stands behind the path's a revision.
    let path = rest.find('/').unwrap_or(rest.len());
    let (rest, revision) = match rest[path..].rsplit_once('@') {
        Some((_, revision)) => {
            let end = rest.len() - revision.len() - 1;
            (&rest[..end], Some(revision.to_owned()))
        }
        None => (rest, None),
    };
    let repository = format!("{scheme}://{rest}");
    refuse_login(&repository, offset)?;
    let (mut name, mut subdirectory) = (None, None);
    for part in fragment.split('&').filter(|part| !part.is_empty()) {
        match part.split_once('=') {
            Some(("subdirectory", folder)) if is_inside(folder) => {
                subdirectory = Some(folder.trim_matches('/').to_owned());
            }
            Some(("egg", egg)) => {
                let egg = egg.split('[').next().unwrap_or_default();
                name = Some(normalise(egg)).filter(|name| !name.is_empty());
            }
            _ => {
                let message = format!("`#{part}` has no meaning behind the URL of a repository");
                return Err(Wrong::new(Code::E047, offset, message)
                    .hint("write `#subdirectory=FOLDER`, with a folder of the repository"));
            }
        }
    }
    let place = GitPlace {
        repository,
        revision: revision.filter(|revision| !revision.is_empty()),
        subdirectory,
    };
    Ok((name, place))
}

/// The URL of a repository that may be in the short notation of SSH, `git@HOST:PATH`.
pub(super) fn as_url(repository: &str) -> String {
    match repository.split_once(':') {
        Some((host, path)) if !path.starts_with("//") && host.contains('@') => {
            format!("ssh://{host}/{}", path.trim_start_matches('/'))
        }
        _ => repository.to_owned(),
    }
}

/// The location that a table of uv's or Poetry's names: a wheel, a source distribution or a repository. None if it names
/// anything else, such as a folder.
pub(super) fn location_in(table: &TomlValue<'_>) -> Option<String> {
    if let Some(repository) = table.text_at("git") {
        let mut location = format!("git+{}", as_url(repository));
        let mut keys = ["rev", "tag", "branch"].into_iter();
        if let Some(revision) = keys.find_map(|key| table.text_at(key)) {
            location.push('@');
            location.push_str(revision);
        }
        if let Some(folder) = table.text_at("subdirectory") {
            location.push_str("#subdirectory=");
            location.push_str(folder);
        }
        return Some(location);
    }
    let mut keys = ["path", "file", "url"].into_iter();
    let location = keys.find_map(|key| table.text_at(key))?;
    let file_name = file_name_of(location);
    (is_wheel(&file_name) || is_source_distribution(&file_name)).then(|| location.to_owned())
}

/// Whether a folder of a repository is named without leaving it.
fn is_inside(folder: &str) -> bool {
    let mut parts = folder.trim_matches('/').split('/');
    !folder.starts_with('/') && parts.all(|part| !part.is_empty() && part != "..")
}

/// What is said of a source whose package is not named.
pub(super) fn nameless(location: &str, offset: usize) -> Wrong {
    let shown = masked(location);
    let message = format!("`{shown}` does not say of which package it is");
    let last = file_name_of(location.trim_end_matches('/'));
    let last = last.split('@').next().unwrap_or_default();
    let guess = normalise(last.trim_end_matches(".git"));
    let name = if name_length(&guess) == guess.len() && !guess.contains('.') && !guess.is_empty() {
        guess
    } else {
        "NAME".to_owned()
    };
    let begun: String = location.chars().take_while(|sign| *sign != ':').collect();
    Wrong::new(Code::E041, offset, message)
        .hint(format!("write its name before it: `{name} @ {begun}…`"))
}

/// The requirement of a package that is built from its source.
pub(super) fn of_source(
    name: String,
    extras: Vec<String>,
    marker: Option<String>,
    place: FilePlace,
    hashes: Vec<Digest>,
) -> Requirement {
    Requirement {
        name,
        extras,
        specifiers: Vec::new(),
        marker,
        hashes,
        index: None,
        direct: Some(place),
        place: Place::of_line("", 1),
    }
}

/// Refuses a requirement that would be built from its source, unless the configuration allows that for its package.
pub(super) fn refuse_unless_allowed(
    requirement: &Requirement,
    allowed: &BTreeSet<String>,
) -> Result<(), WrongPlace> {
    let Some(place) = requirement
        .direct
        .as_ref()
        .filter(|place| place.is_source())
    else {
        return Ok(());
    };
    let name = &requirement.name;
    if allowed.contains(name) {
        return Ok(());
    }
    let shown = match place {
        FilePlace::Git(git) => format!("git+{}", git.repository),
        FilePlace::File(_) | FilePlace::Url(_) => place.file_name(),
    };
    Err(WrongPlace {
        code: Code::E041,
        message: format!(
            "`{name}` would be built from its source, {}, which runs its code",
            masked(&shown)
        ),
        hint: allow(name),
    })
}

/// How a package may be built from its source.
pub(super) fn allow(name: &str) -> String {
    format!(
        "if you trust it, write `from-source = [\"{name}\"]` for the image; or build a wheel of it once, `pip wheel --no-deps \
         --wheel-dir wheels …`, and write the wheel's path, `./wheels/NAME.whl`"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(location: &str) -> Result<(Option<String>, GitPlace), String> {
        git(location, 0).map_err(|wrong| format!("{} {}", wrong.code, wrong.message))
    }

    #[test]
    fn a_repository_is_read_with_its_revision_and_folder() {
        let full = "0123456789abcdef0123456789abcdef01234567";
        for (location, name, repository, revision, folder) in [
            (
                "git+https://git.example/a/b.git",
                None,
                "https://git.example/a/b.git",
                None,
                None,
            ),
            (
                "git+https://git.example/b@v1.0",
                None,
                "https://git.example/b",
                Some("v1.0"),
                None,
            ),
            (
                "git+ssh://git@git.example/a/b.git@feature/x#egg=Acme_Tools[x]&subdirectory=py/pkg/",
                Some("acme-tools"),
                "ssh://git@git.example/a/b.git",
                Some("feature/x"),
                Some("py/pkg"),
            ),
            (
                "git+https://${TOKEN}@git.example/b@0123456789abcdef0123456789abcdef01234567",
                None,
                "https://${TOKEN}@git.example/b",
                Some(full),
                None,
            ),
            ("git+file:///srv/b", None, "file:///srv/b", None, None),
        ] {
            let (found, place) = place(location).unwrap();
            let found = (
                found.as_deref(),
                &*place.repository,
                place.revision.as_deref(),
                place.subdirectory.as_deref(),
            );
            assert_eq!(found, (name, repository, revision, folder), "{location}");
        }
    }

    #[test]
    fn what_is_no_repository_or_holds_a_password_is_refused() {
        for (location, code) in [
            ("git+https://u:canary@git.example/b", "E042"),
            ("git+https://canary@git.example/b@v1", "E042"),
            ("git+ssh://u:canary@git.example/b", "E042"),
            ("hg+https://hg.example/b", "E041"),
            ("git+git.example/b", "E041"),
            ("git+ftp://git.example/b", "E041"),
            ("git+https://git.example/b#subdirectory=../x", "E047"),
            ("git+https://git.example/b#subdirectory=/x", "E047"),
            ("git+https://git.example/b#sha256=00", "E047"),
        ] {
            let error = place(location).unwrap_err();
            assert!(error.starts_with(code), "{location}: {error}");
            assert!(!error.contains("canary"), "{error}");
        }
    }

    #[test]
    fn a_source_is_written_as_it_is_read() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        for text in [
            format!("odfpy-1.4.1.tar.gz {}", Digest::of(b"x")),
            format!("git+https://git.example/b at {commit}"),
            format!("git+ssh://git@git.example/b@v1#subdirectory=a/b at {commit}"),
        ] {
            let source = BuiltFrom::parse(&text).unwrap();
            assert_eq!(source.to_string(), text);
        }
        for text in [
            "git+https://git.example/b at v1".to_owned(),
            format!("x.whl {}", Digest::of(b"x")),
            "x.tar.gz sha256:00".to_owned(),
            String::new(),
        ] {
            assert_eq!(BuiltFrom::parse(&text), None, "{text}");
        }
    }

    #[test]
    fn a_commit_counts_by_where_it_is_and_not_by_what_led_to_it() {
        let source = |text: &str| {
            let text = format!("{text} at 0123456789abcdef0123456789abcdef01234567");
            BuiltFrom::parse(&text).unwrap().digest()
        };
        let one = source("git+https://git.example/b@v1");
        assert_eq!(source("git+https://git.example/b@main"), one);
        assert_ne!(source("git+https://git.example/b#subdirectory=x"), one);
        assert_ne!(source("git+https://git.example/c@v1"), one);
    }

    #[test]
    fn the_name_is_in_a_source_distribution_s_file_name() {
        for (file_name, name) in [
            ("odfpy-1.4.1.tar.gz", Some("odfpy")),
            ("Acme_Tools-2.0rc1.zip", Some("acme-tools")),
            ("acme-tools-1.0.tgz", Some("acme-tools")),
            ("v1.0.zip", None),
            ("main.tar.gz", None),
            ("x-main.zip", None),
        ] {
            assert_eq!(name_of_source(file_name).as_deref(), name, "{file_name}");
        }
        assert!(is_source_distribution("x.TAR.GZ") && !is_source_distribution("x.whl"));
        assert!(!is_source_distribution(".zip"));
        assert_eq!(
            as_url("git@git.example:a/b.git"),
            "ssh://git@git.example/a/b.git"
        );
        assert_eq!(as_url("https://u@git.example/b"), "https://u@git.example/b");
    }
}
