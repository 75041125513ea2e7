//! The built-in excludes, and the project's own.

use std::fmt;

use globset::{ErrorKind, GlobBuilder, GlobMatcher};

const CACHES: &str = "caches";
const ENVIRONMENTS: &str = "virtual environments and packages";
const VERSION_CONTROL: &str = "version control";
const EDITORS: &str = "editors' and systems' files";

/// Names that are never an input, at any depth, and what such files are.
const ALWAYS: [(&str, &str); 17] = [
    (".git", VERSION_CONTROL),
    (".hg", VERSION_CONTROL),
    (".svn", VERSION_CONTROL),
    ("__pycache__", CACHES),
    (".venv", ENVIRONMENTS),
    ("venv", ENVIRONMENTS),
    ("node_modules", ENVIRONMENTS),
    (".ipynb_checkpoints", CACHES),
    (".mypy_cache", CACHES),
    (".pytest_cache", CACHES),
    (".ruff_cache", CACHES),
    (".tox", ENVIRONMENTS),
    (".nox", ENVIRONMENTS),
    (".idea", EDITORS),
    (".vscode", EDITORS),
    (".DS_Store", EDITORS),
    ("Thumbs.db", EDITORS),
];

/// The same by the beginning of a name: temporary files that a killed run leaves behind.
const ALWAYS_BEGINNINGS: [(&str, &str, &str); 1] =
    [(".sparkpack-", ".sparkpack-*", "half-written files")];

/// The same by the end of a name.
const ALWAYS_ENDS: [(&str, &str, &str); 5] = [
    (".pyc", "*.pyc", CACHES),
    (".pyo", "*.pyo", CACHES),
    (".swp", "*.swp", EDITORS),
    ("~", "*~", EDITORS),
    (".egg-info", "*.egg-info", ENVIRONMENTS),
];

/// The rules that keep files out of a tree.
#[derive(Clone, Debug, Default)]
pub struct DefaultExcludes {
    job: bool,
    configured: Vec<Configured>,
}

/// Why a path is no input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Excluded {
    /// A rule that everybody has: caches, version control, editors' files; in a job's sources tests and `libs` as well.
    BuiltIn {
        /// The names that it takes.
        pattern: &'static str,
        /// What they are.
        kind: &'static str,
    },
    /// The project's `exclude` has this pattern.
    Configured(String),
}

impl fmt::Display for Excluded {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn { pattern, kind } => write!(formatter, "built-in `{pattern}` ({kind})"),
            Self::Configured(pattern) => {
                write!(formatter, "configuration `exclude = [{pattern:?}]`")
            }
        }
    }
}

/// A pattern of `exclude` that is not a valid glob.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{pattern}` is not a glob: {reason}")]
pub struct GlobError {
    /// Its index in the list.
    pub index: usize,
    /// As it is written.
    pub pattern: String,
    /// The offset in bytes at which the pattern goes wrong.
    pub offset: usize,
    /// What is wrong there.
    pub reason: String,
}

impl GlobError {
    /// How to correct the pattern.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some("for the character itself write a backslash before it".to_owned())
    }
}

#[derive(Clone, Debug)]
struct Configured {
    pattern: String,
    matcher: GlobMatcher,
    folders_only: bool,
}

impl DefaultExcludes {
    /// The rules for every tree.
    #[must_use]
    pub fn anywhere() -> Self {
        Self::default()
    }

    /// The rules for a job's sources, which leave out tests and a top-level `libs` as well.
    #[must_use]
    pub fn of_job_sources() -> Self {
        Self {
            job: true,
            ..Self::default()
        }
    }

    /// Adds the project's patterns, which are read as in `.gitignore` but without `!`.
    ///
    /// # Errors
    /// The first pattern that is not a valid glob.
    pub fn excluding<'a>(
        mut self,
        patterns: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, GlobError> {
        for (index, pattern) in patterns.into_iter().enumerate() {
            let configured = Configured::parse(pattern).map_err(|(offset, reason)| GlobError {
                index,
                pattern: pattern.to_owned(),
                offset,
                reason,
            })?;
            self.configured.push(configured);
        }
        Ok(self)
    }

    /// Why the file or folder at `path`, or a folder that it lies in, is no input.
    #[must_use]
    pub fn excluded(&self, path: &str, folder: bool) -> Option<Excluded> {
        let parents = path.match_indices('/').map(|(end, _)| (&path[..end], true));
        parents
            .chain([(path, folder)])
            .find_map(|(path, folder)| self.excluded_itself(path, folder))
    }

    /// The same for a path whose parent folders are known to be kept, as in a walk.
    #[must_use]
    pub fn excluded_itself(&self, path: &str, folder: bool) -> Option<Excluded> {
        let name = path.rsplit('/').next().unwrap_or(path);
        let built_in = always(name).or_else(|| {
            let of_jobs = self.job.then(|| not_for_jobs(path, name, folder));
            of_jobs.flatten()
        });
        if let Some((pattern, kind)) = built_in {
            return Some(Excluded::BuiltIn { pattern, kind });
        }
        let matched =
            |rule: &&Configured| (folder || !rule.folders_only) && rule.matcher.is_match(path);
        self.configured
            .iter()
            .find(matched)
            .map(|rule| Excluded::Configured(rule.pattern.clone()))
    }
}

/// The built-in rule that a name matches, and what such files are.
fn always(name: &str) -> Option<(&'static str, &'static str)> {
    let exact = ALWAYS.into_iter().find(|(known, _)| *known == name);
    let beginning = || {
        let mut rules = ALWAYS_BEGINNINGS.into_iter();
        rules.find(|(beginning, _, _)| name.starts_with(beginning))
    };
    let end = || {
        ALWAYS_ENDS
            .into_iter()
            .find(|(end, _, _)| name.ends_with(end))
    };
    exact.or_else(|| {
        let (_, pattern, kind) = beginning().or_else(end)?;
        Some((pattern, kind))
    })
}

fn not_for_jobs(path: &str, name: &str, folder: bool) -> Option<(&'static str, &'static str)> {
    const TESTS: &str = "a job's tests";
    if folder {
        return match name {
            "tests" => Some(("tests/", TESTS)),
            _ if path == "libs" => Some(("/libs/", "packages that the requirements name")),
            _ => None,
        };
    }
    let test = name
        .strip_prefix("test_")
        .and_then(|rest| rest.strip_suffix(".py"));
    match name {
        "conftest.py" => Some(("conftest.py", TESTS)),
        _ => test.map(|_| ("test_*.py", TESTS)),
    }
}

impl Configured {
    fn parse(pattern: &str) -> Result<Self, (usize, String)> {
        if pattern.starts_with('!') {
            return Err((0, "`!` takes nothing back here".to_owned()));
        }
        let body = pattern.strip_suffix('/').unwrap_or(pattern);
        let shift = usize::from(body.starts_with('/'));
        let relative = &body[shift..];
        if relative.is_empty() {
            return Err((0, "it names nothing".to_owned()));
        }
        // As in `.gitignore`: a pattern with a slash is relative to the top folder, one without matches at every depth.
        let glob = if body.contains('/') {
            relative.to_owned()
        } else {
            format!("**/{relative}")
        };
        let glob = GlobBuilder::new(&glob)
            .literal_separator(true)
            .backslash_escape(true)
            .build();
        let glob = glob.map_err(|error| {
            let offset = fault(relative, error.kind()).unwrap_or(0) + shift;
            (offset, error.kind().to_string())
        })?;
        Ok(Self {
            pattern: pattern.to_owned(),
            matcher: glob.compile_matcher(),
            folders_only: pattern.ends_with('/'),
        })
    }
}

/// The offset in bytes at which a glob goes wrong.
fn fault(pattern: &str, kind: &ErrorKind) -> Option<usize> {
    match kind {
        ErrorKind::UnclosedClass => unclosed_class(pattern),
        ErrorKind::InvalidRange(low, high) => pattern.find(&format!("{low}-{high}")),
        ErrorKind::UnopenedAlternates => pattern.rfind('}'),
        ErrorKind::UnclosedAlternates | ErrorKind::NestedAlternates => pattern.rfind('{'),
        ErrorKind::DanglingEscape => pattern.len().checked_sub(1),
        _ => None,
    }
}

fn unclosed_class(pattern: &str) -> Option<usize> {
    let bytes = pattern.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            b'[' => {
                let mut start = at + 1;
                start += usize::from(matches!(bytes.get(start), Some(b'!' | b'^')));
                // A `]` directly after the `[` is one of the characters.
                let closing = bytes.iter().skip(start + 1).position(|&byte| byte == b']');
                match closing {
                    Some(length) => at = start + 1 + length,
                    None => return Some(at),
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn litter_is_known_by_its_name() {
        let anywhere = DefaultExcludes::anywhere();
        let job = DefaultExcludes::of_job_sources();
        for (path, folder, in_any, in_job) in [
            ("a/.git/config", false, true, true),
            ("a/__pycache__", true, true, true),
            ("a.pyc", false, true, true),
            ("x/a.py~", false, true, true),
            ("foo.egg-info/PKG-INFO", false, true, true),
            ("venv/bin/python", false, true, true),
            ("jobs/venvs/a.py", false, false, false),
            (".gitignore", false, false, false),
            ("tests/a.py", false, false, true),
            ("jobs/tests/a.py", false, false, true),
            ("jobs/tests.py", false, false, false),
            ("tests", false, false, false),
            ("test_a.py", false, false, true),
            ("jobs/test_a.py", false, false, true),
            ("test_data.json", false, false, false),
            ("contest.py", false, false, false),
            ("conftest.py", false, false, true),
            ("libs/numpy/x.py", false, false, true),
            ("jobs/libs/x.py", false, false, false),
            ("libs2/x.py", false, false, false),
            ("mylibs/x.py", false, false, false),
        ] {
            assert_eq!(anywhere.excluded(path, folder).is_some(), in_any, "{path}");
            assert_eq!(job.excluded(path, folder).is_some(), in_job, "{path}");
        }
    }

    #[test]
    fn configured_patterns_read_like_gitignore() {
        for (pattern, path, folder, wanted) in [
            ("*.md", "a/README.md", false, true),
            ("/*.md", "a/README.md", false, false),
            ("/*.md", "README.md", false, true),
            ("docs/", "x/docs/a", false, true),
            ("docs/", "docs", false, false),
            ("docs", "docs", false, true),
            ("a/b", "a/b/c", false, true),
            ("a/b", "x/a/b", false, false),
            ("a/**/z", "a/b/c/z", false, true),
            ("data/*", "data/a/b", false, true),
            ("{a,b}.txt", "x/b.txt", false, true),
            ("a\\*", "a*", false, true),
            ("a\\*", "ab", false, false),
        ] {
            let excludes = DefaultExcludes::anywhere().excluding([pattern]).unwrap();
            let found = excludes.excluded(path, folder);
            assert_eq!(
                found,
                wanted.then(|| Excluded::Configured(pattern.to_owned())),
                "{pattern} {path}"
            );
        }
    }

    #[test]
    fn a_wrong_glob_is_told_with_its_offset() {
        for (pattern, offset) in [
            ("ab[a-", 2),
            ("/a[", 2),
            ("[x]y[", 4),
            ("a{b", 1),
            ("a}", 1),
            ("a[z-b]", 2),
            ("a\\", 1),
            ("!a", 0),
            ("/", 0),
        ] {
            let error = DefaultExcludes::anywhere()
                .excluding(["fine", pattern])
                .unwrap_err();
            assert_eq!((error.index, error.offset), (1, offset), "{pattern}");
        }
    }
}
