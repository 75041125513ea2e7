//! What is never an input, and what the project excludes.

use globset::{ErrorKind, GlobBuilder, GlobMatcher};

/// Names that are never an input, wherever they lie.
const ALWAYS: [&str; 17] = [
    ".git",
    ".hg",
    ".svn",
    "__pycache__",
    ".venv",
    "venv",
    "node_modules",
    ".ipynb_checkpoints",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".tox",
    ".nox",
    ".idea",
    ".vscode",
    ".DS_Store",
    "Thumbs.db",
];

/// Beginnings of names that are never an input, wherever they lie: what a run that was killed left half-written.
const ALWAYS_BEGINNINGS: [&str; 1] = [".sparkpack-"];

/// Ends of names that are never an input, wherever they lie.
const ALWAYS_ENDS: [&str; 5] = [".pyc", ".pyo", ".swp", "~", ".egg-info"];

/// The rules that keep files out of a tree.
#[derive(Clone, Debug, Default)]
pub struct Litter {
    job: bool,
    configured: Vec<Configured>,
}

/// Why a path is no input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Excluded {
    /// Caches, version control, editors' files.
    Always,
    /// Tests and the vendored `libs` in a job's sources.
    NotForJobs,
    /// The project's `exclude` has this pattern.
    Configured(String),
}

/// A pattern of `exclude` that is no glob.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{pattern}` is not a glob: {reason}")]
pub struct GlobError {
    /// Its index in the list.
    pub index: usize,
    /// As it is written.
    pub pattern: String,
    /// The byte in the pattern where it goes wrong.
    pub offset: usize,
    /// What is wrong there.
    pub reason: String,
}

impl GlobError {
    /// What to write.
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

impl Litter {
    /// What is never an input of anything.
    #[must_use]
    pub fn anywhere() -> Self {
        Self::default()
    }

    /// What is no input of a job: tests and a top-level `libs` as well.
    #[must_use]
    pub fn of_job_sources() -> Self {
        Self {
            job: true,
            ..Self::default()
        }
    }

    /// Adds the project's patterns, as `.gitignore` reads them but without `!`.
    ///
    /// # Errors
    /// The first one that is no glob.
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

    fn excluded_itself(&self, path: &str, folder: bool) -> Option<Excluded> {
        let name = path.rsplit('/').next().unwrap_or(path);
        if ALWAYS.contains(&name)
            || ALWAYS_BEGINNINGS
                .iter()
                .any(|start| name.starts_with(start))
            || ALWAYS_ENDS.iter().any(|end| name.ends_with(end))
        {
            return Some(Excluded::Always);
        }
        if self.job && not_for_jobs(path, name, folder) {
            return Some(Excluded::NotForJobs);
        }
        let matched =
            |rule: &&Configured| (folder || !rule.folders_only) && rule.matcher.is_match(path);
        self.configured
            .iter()
            .find(matched)
            .map(|rule| Excluded::Configured(rule.pattern.clone()))
    }
}

fn not_for_jobs(path: &str, name: &str, folder: bool) -> bool {
    if folder {
        return name == "tests" || path == "libs";
    }
    let test = name
        .strip_prefix("test_")
        .and_then(|rest| rest.strip_suffix(".py"));
    test.is_some() || name == "conftest.py"
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
        // As in .gitignore: a slash ties the pattern to the top, without one it holds at every depth.
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

/// Where a glob goes wrong, as a byte offset.
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
                // A `]` that comes first is one of the characters.
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
        let anywhere = Litter::anywhere();
        let job = Litter::of_job_sources();
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
            let litter = Litter::anywhere().excluding([pattern]).unwrap();
            let found = litter.excluded(path, folder);
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
            let error = Litter::anywhere().excluding(["fine", pattern]).unwrap_err();
            assert_eq!((error.index, error.offset), (1, offset), "{pattern}");
        }
    }
}
