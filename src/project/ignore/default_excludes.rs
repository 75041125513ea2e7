//! The built-in excludes, and the project's own.

use std::fmt;

use globset::{ErrorKind, GlobBuilder, GlobMatcher};

use crate::project::tree::folders_above;

const CACHES: &str = "caches";
const ENVIRONMENTS: &str = "virtual environments and packages";
const VERSION_CONTROL: &str = "version control";
const HALF_WRITTEN: &str = "half-written files";
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

/// What a job's tests are.
const TESTS: &str = "a job's tests";

/// The same by the beginning of a name: temporary files that a killed run leaves behind.
const ALWAYS_BEGINNINGS: [(&str, &str, &str); 1] = [(".sparkpack-", ".sparkpack-*", HALF_WRITTEN)];

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
    /// Whether a top-level `libs` holds installed packages.
    installed_libs: bool,
    configured: Vec<Configured>,
}

/// Why a path is no input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Excluded {
    /// A rule that everybody has: caches, version control, editors' files; in a job's sources tests as well.
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
    /// `!`: it takes back what a rule before it leaves out.
    is_negated: bool,
}

impl DefaultExcludes {
    /// The rules for every tree.
    #[must_use]
    pub fn anywhere() -> Self {
        Self::default()
    }

    /// The rules for a job's sources, which leave out tests as well.
    #[must_use]
    pub fn of_job_sources() -> Self {
        Self {
            job: true,
            ..Self::default()
        }
    }

    /// The same without a top-level `libs` if it holds installed packages, as `pip install --target` leaves them: these
    /// come from the requirements. Another folder of that name is the job's own.
    #[must_use]
    pub fn with_libs(self, are_installed: bool) -> Self {
        Self {
            installed_libs: are_installed,
            ..self
        }
    }

    /// Whether version control has its own files under this name.
    #[must_use]
    pub fn is_version_control(name: &str) -> bool {
        always(name).is_some_and(|(_, kind)| kind == VERSION_CONTROL)
    }

    /// Adds the project's patterns, which are read as in `.gitignore`: `!` takes back what a rule before it leaves out,
    /// a built-in one too.
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

    /// Whether the project's patterns take a file or a folder, or something in it, by `!`.
    #[must_use]
    pub fn takes(&self, path: &str, folder: bool) -> bool {
        let mut taking = self.configured.iter().filter(|rule| rule.is_negated);
        taking.any(|rule| {
            rule.matches(path, folder) || rule.matches_above(path) || folder && rule.is_below(path)
        })
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
            let of_jobs = self.job.then(|| not_for_jobs(name, folder));
            let libs = folder && path == "libs" && self.installed_libs;
            let libs = libs.then_some(("/libs/", "packages that the requirements name"));
            of_jobs.flatten().or(libs)
        });
        let mut found = built_in.map(|(pattern, kind)| Excluded::BuiltIn { pattern, kind });
        // Nobody wants these in an image, whatever a pattern says.
        if built_in.is_some_and(|(_, kind)| [VERSION_CONTROL, HALF_WRITTEN].contains(&kind)) {
            return found;
        }
        for rule in &self.configured {
            let matches = rule.matches(path, folder);
            if !rule.is_negated && matches {
                found = Some(Excluded::Configured(rule.pattern.clone()));
            } else if rule.is_negated
                && (matches || found.as_ref().is_some_and(is_test) && rule.matches_above(path))
            {
                found = None;
            }
        }
        found
    }
}

/// Whether it is left out as one of a job's tests.
fn is_test(excluded: &Excluded) -> bool {
    matches!(excluded, Excluded::BuiltIn { kind, .. } if *kind == TESTS)
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

fn not_for_jobs(name: &str, folder: bool) -> Option<(&'static str, &'static str)> {
    if folder {
        return (name == "tests").then_some(("tests/", TESTS));
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
        let positive = pattern.strip_prefix('!').unwrap_or(pattern);
        let body = positive.strip_suffix('/').unwrap_or(positive);
        let slash = usize::from(body.starts_with('/'));
        let relative = &body[slash..];
        let shift = slash + pattern.len() - positive.len();
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
            is_negated: pattern.starts_with('!'),
        })
    }

    fn matches(&self, path: &str, folder: bool) -> bool {
        (folder || !self.folders_only) && self.matcher.is_match(path)
    }

    /// Whether it names something in a folder.
    fn is_below(&self, folder: &str) -> bool {
        let pattern = self.pattern.trim_start_matches(['!', '/']);
        let below = pattern.strip_prefix(folder);
        below.is_some_and(|below| below.starts_with('/'))
    }

    /// Whether it matches a folder that the path lies in.
    fn matches_above(&self, path: &str) -> bool {
        folders_above(path).any(|folder| self.matcher.is_match(folder))
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
            ("libs/numpy/x.py", false, false, false),
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
    fn a_mark_of_exclamation_takes_back() {
        for (patterns, path, folder, wanted) in [
            (&["!/jobs/test_a.py"][..], "jobs/test_a.py", false, false),
            (&["!/jobs/test_a.py"], "x/jobs/test_a.py", false, true),
            (&["!tests/"], "jobs/tests/test_a.py", false, false),
            (&["!tests/"], "jobs/tests/a.py", false, false),
            (&["!tests/"], "jobs/tests/__pycache__/a.pyc", false, true),
            (&["!tests/"], "test_a.py", false, true),
            (&["!venv"], "venv/a.py", false, false),
            (&["!.git"], ".git/config", false, true),
            (&["!*"], "a/.sparkpack-x", false, true),
            (&["*.csv", "!kept.csv"], "kept.csv", false, false),
            (&["!kept.csv", "*.csv"], "kept.csv", false, true),
            (&["data/", "!data/kept.csv"], "data/kept.csv", false, true),
            (&["!libs/"], "libs/six.py", false, false),
        ] {
            let excludes = DefaultExcludes::of_job_sources().with_libs(true);
            let excludes = excludes.excluding(patterns.iter().copied()).unwrap();
            let found = excludes.excluded(path, folder);
            assert_eq!(found.is_some(), wanted, "{patterns:?} {path}");
        }
        // A rule of the project's own says that it is meant.
        let own = DefaultExcludes::of_job_sources()
            .excluding(["tests/"])
            .unwrap();
        let found = own.excluded("tests", true);
        assert_eq!(found, Some(Excluded::Configured("tests/".to_owned())));
    }

    #[test]
    fn only_installed_packages_are_left_out_of_libs() {
        for (are_installed, path, wanted) in [
            (true, "libs/six.py", true),
            (true, "jobs/libs/six.py", false),
            (false, "libs/session.py", false),
        ] {
            let job = DefaultExcludes::of_job_sources().with_libs(are_installed);
            assert_eq!(job.excluded(path, false).is_some(), wanted, "{path}");
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
            ("!", 0),
            ("!a[", 2),
            ("!/a[", 3),
            ("/", 0),
        ] {
            let error = DefaultExcludes::anywhere()
                .excluding(["fine", pattern])
                .unwrap_err();
            assert_eq!((error.index, error.offset), (1, offset), "{pattern}");
        }
    }
}
