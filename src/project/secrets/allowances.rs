//! `[secrets] allow`: what looks like a credential and is none.

use std::path::Path;

use globset::GlobMatcher;

use super::SecretRule;
use crate::project::place::Place;

/// A rule that is off for some paths.
#[derive(Clone, Debug)]
pub struct Allowance {
    /// The glob as it is written.
    pub pattern: String,
    /// What it matches.
    pub paths: GlobMatcher,
    /// The rule.
    pub rule: SecretRule,
    /// Where it is configured.
    pub place: Place,
}

/// What to write to allow what a rule finds at a path.
#[must_use]
pub fn allow_line(path: &str, rule: SecretRule) -> String {
    // A credential in the name of a file is shown in part: `ghp_…`.
    let path = globset::escape(path).replace('…', "*");
    format!(
        "write `allow = [{{ path = \"{path}\", rule = \"{rule}\" }}]` under `[secrets]` in sparkpack.toml"
    )
}

impl Allowance {
    /// Whether it allows what this rule finds at a path below the project: its glob matches the path or a folder above it.
    #[must_use]
    pub fn allows(&self, rule: SecretRule, path: &Path) -> bool {
        self.rule == rule && path.ancestors().any(|path| self.paths.is_match(path))
    }
}
