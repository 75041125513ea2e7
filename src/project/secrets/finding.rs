//! What was found in a file, as it is kept and told.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{SecretRule, anchors};

/// Something that looks like a credential.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct SecretFinding {
    /// The name of its rule.
    rule: String,
    /// 1 is the first line.
    pub line: usize,
    /// 1 is the first character of the line.
    pub column: usize,
    /// The first characters of the value, four at most.
    pub beginning: String,
    /// The length of the value, in characters.
    pub length: usize,
    /// The path in the archive that the file is, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// Why a file was not searched, if that is what was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Whether it is in the file's name.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_name: bool,
}

impl SecretFinding {
    /// A value in a text.
    pub(super) fn of_value(rule: SecretRule, (line, column): (usize, usize), value: &str) -> Self {
        let value = value.trim();
        let length = value.chars().count();
        Self {
            rule: rule.name().to_owned(),
            line,
            column,
            beginning: beginning(value),
            length,
            member: None,
            why: None,
            is_name: false,
        }
    }

    /// A file that was not searched, or not all of it.
    pub(super) fn unsearched(why: impl Into<String>) -> Self {
        Self {
            why: Some(why.into()),
            ..Self::of_value(SecretRule::Unsearched, (1, 1), "")
        }
    }

    /// Whether both are of one rule.
    pub(super) fn is_same_rule(&self, other: &Self) -> bool {
        self.rule == other.rule
    }

    /// Whether two are the same value, as far as they tell.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let told = |one: &Self| (one.rule.clone(), one.beginning.clone(), one.length);
        self.why.is_none() && told(self) == told(other)
    }

    /// Its rule; `None` if it was kept by another version.
    #[must_use]
    pub fn rule(&self) -> Option<SecretRule> {
        SecretRule::named(&self.rule)
    }

    /// Whether it is what anybody can make for a test, or packed data, in the folder of a package's tests.
    #[must_use]
    pub fn is_key_of_tests(&self) -> bool {
        let member = Path::new(self.member.as_deref().unwrap_or_default());
        let folders = member.parent().into_iter().flatten();
        let mut names = folders.filter_map(|name| name.to_str());
        let is_of_tests = |rule: SecretRule| rule.is_self_made() || rule == SecretRule::Unsearched;
        self.rule().is_some_and(is_of_tests)
            && names.any(|name| ["test", "tests", "testing", "testdata"].contains(&name))
    }

    /// The same in a member of an archive.
    #[must_use]
    pub fn within(self, member: &str) -> Self {
        let member = match self.member {
            Some(inner) => format!("{member}/{inner}"),
            None => member.to_owned(),
        };
        Self {
            member: Some(member),
            ..self
        }
    }

    /// The value as messages show it.
    #[must_use]
    pub fn masked(&self) -> String {
        format!("{}… ({} characters)", self.beginning, self.length)
    }
}

/// The first characters of a value, as far as they tell nothing of it: fewer of a short one, and none of a binary one.
fn beginning(value: &str) -> String {
    let shown = (value.chars().count() / 4).min(4);
    let beginning: String = value.chars().take(shown).collect();
    let is_plain = beginning.bytes().all(|byte| byte.is_ascii_graphic());
    if is_plain { beginning } else { String::new() }
}

/// The credentials in the name of a file, and the name without them.
#[must_use]
pub fn in_name(name: &str) -> (Vec<SecretFinding>, String) {
    let mut hits = anchors::hits(name.as_bytes(), 0..name.len());
    hits.sort_by_key(|hit| hit.value.start);
    let (mut shown, mut at, mut found) = (String::new(), 0, Vec::new());
    for hit in hits {
        let value = String::from_utf8_lossy(&name.as_bytes()[hit.value.clone()]);
        shown += name.get(at..hit.value.start).unwrap_or_default();
        shown += &beginning(&value);
        shown.push('…');
        at = hit.value.end;
        found.push(SecretFinding {
            is_name: true,
            ..SecretFinding::of_value(hit.rule, (1, 1), &value)
        });
    }
    shown += name.get(at..).unwrap_or_default();
    (found, shown)
}

/// Adds what was found in the same bytes in another way, without what is known already.
pub(super) fn join(found: &mut Vec<SecretFinding>, more: Vec<SecretFinding>) {
    let more = more.into_iter();
    let more = more.filter(|one| !found.iter().any(|other| one.is_like(other)));
    let more: Vec<SecretFinding> = more.collect();
    found.extend(more);
}

/// Why what is packed by a program, or in a way, was not searched.
pub(super) fn not_unpacked(packed_by: &str) -> String {
    format!("it is packed by {packed_by}, which sparkpack does not unpack")
}
