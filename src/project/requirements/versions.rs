//! Versions as Python packages write them (PEP 440), and whether one meets a condition.

use std::cmp::Ordering;

/// A version, ordered as PEP 440 does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PepVersion {
    epoch: u64,
    /// Without zeros at the end.
    release: Vec<u64>,
    /// A development release of nothing else first, then `a`, `b`, `rc`, and the final release.
    pre: (i8, u64),
    /// 0 without one, or else its number plus 1.
    post: u64,
    /// The largest number without one.
    dev: u64,
    local: String,
}

impl PepVersion {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        let text = text.strip_prefix('v').unwrap_or(&text);
        let (public, local) = text.split_once('+').unwrap_or((text, ""));
        let (epoch, public) = match public.split_once('!') {
            Some((epoch, rest)) => (epoch.parse().ok()?, rest),
            None => (0, public),
        };
        let end = public
            .find(|next: char| !next.is_ascii_digit() && next != '.')
            .unwrap_or(public.len());
        let (release, mut rest) = public.split_at(end);
        let release = release.trim_end_matches('.');
        let numbers: Option<Vec<u64>> = release.split('.').map(|part| part.parse().ok()).collect();
        let mut version = Self {
            epoch,
            release: numbers?,
            pre: (3, 0),
            post: 0,
            dev: u64::MAX,
            local: local.replace(['-', '_'], "."),
        };
        let mut is_pre = false;
        while let Some((word, number, after)) = suffix(rest)? {
            match word {
                "a" | "alpha" => version.pre = (0, number),
                "b" | "beta" => version.pre = (1, number),
                "rc" | "c" | "pre" | "preview" => version.pre = (2, number),
                "post" | "rev" | "r" | "" => version.post = number + 1,
                "dev" => version.dev = number,
                _ => return None,
            }
            is_pre |= version.pre.0 < 3;
            rest = after;
        }
        if version.dev != u64::MAX && !is_pre && version.post == 0 {
            version.pre = (-1, 0);
        }
        while version.release.len() > 1 && version.release.last() == Some(&0) {
            version.release.pop();
        }
        Some(version)
    }

    fn is_pre_release(&self) -> bool {
        self.pre.0 < 3 || self.dev != u64::MAX
    }

    fn without_local(&self) -> Self {
        Self {
            local: String::new(),
            ..self.clone()
        }
    }

    /// Whether the release begins with these numbers.
    fn begins_with(&self, epoch: u64, numbers: &[u64]) -> bool {
        let mut own = self.release.iter().copied().chain(std::iter::repeat(0));
        self.epoch == epoch && numbers.iter().all(|number| own.next() == Some(*number))
    }
}

/// The next part after the release: its word, its number, and what follows; `None` within at the end.
#[expect(clippy::option_option, reason = "malformed, the end, or one more part")]
fn suffix(rest: &str) -> Option<Option<(&str, u64, &str)>> {
    if rest.is_empty() {
        return Some(None);
    }
    let separators = ['.', '-', '_'];
    let body = rest.trim_start_matches(separators);
    let word_end = body
        .find(|next: char| !next.is_ascii_alphabetic())
        .unwrap_or(body.len());
    let (word, after) = body.split_at(word_end);
    let after = after.trim_start_matches(separators);
    let number_end = after
        .find(|next: char| !next.is_ascii_digit())
        .unwrap_or(after.len());
    let (number, after) = after.split_at(number_end);
    if word.is_empty() && number.is_empty() {
        return None;
    }
    let number = if number.is_empty() { "0" } else { number };
    Some(Some((word, number.parse().ok()?, after)))
}

/// Whether a version meets all conditions, each such as `>=1.0`. What cannot be compared counts as met.
pub(super) fn meets<T: AsRef<str>>(version: &str, conditions: &[T]) -> bool {
    let Some(parsed) = PepVersion::parse(version) else {
        return true;
    };
    conditions
        .iter()
        .all(|condition| meets_one(version, &parsed, condition.as_ref().trim()).unwrap_or(true))
}

fn meets_one(text: &str, version: &PepVersion, condition: &str) -> Option<bool> {
    let rest = condition.trim_start_matches(['=', '<', '>', '!', '~']);
    let (operator, wanted) = (condition.strip_suffix(rest)?, rest.trim());
    if let Some(prefix) = wanted.strip_suffix(".*") {
        let prefix = PepVersion::parse_prefix(prefix)?;
        let begins = version.begins_with(prefix.0, &prefix.1);
        return match operator {
            "==" => Some(begins),
            "!=" => Some(!begins),
            _ => None,
        };
    }
    if operator == "===" {
        return Some(text == wanted);
    }
    let parsed = PepVersion::parse(wanted)?;
    let public = version.without_local();
    let own = if parsed.local.is_empty() {
        &public
    } else {
        version
    };
    let order = own.cmp(&parsed);
    Some(match operator {
        "==" => order == Ordering::Equal,
        "!=" => order != Ordering::Equal,
        ">=" => order != Ordering::Less,
        "<=" => order != Ordering::Greater,
        "<" => {
            let before = own.is_pre_release() && !parsed.is_pre_release();
            order == Ordering::Less && !(before && own.release == parsed.release)
        }
        ">" => {
            let after = own.post > 0 && parsed.post == 0;
            order == Ordering::Greater && !(after && own.release == parsed.release)
        }
        "~=" => {
            let (epoch, mut numbers) = PepVersion::parse_prefix(wanted)?;
            numbers.pop();
            order != Ordering::Less && version.begins_with(epoch, &numbers)
        }
        _ => return None,
    })
}

impl PepVersion {
    /// The epoch and the numbers of the release as they are written, with zeros at the end.
    pub(super) fn parse_prefix(text: &str) -> Option<(u64, Vec<u64>)> {
        let (epoch, rest) = text.split_once('!').unwrap_or(("0", text));
        let end = rest
            .find(|next: char| !next.is_ascii_digit() && next != '.')
            .unwrap_or(rest.len());
        let numbers = rest[..end].trim_end_matches('.').split('.');
        let numbers: Option<Vec<u64>> = numbers.map(|part| part.parse().ok()).collect();
        Some((epoch.parse().ok()?, numbers?))
    }
}

/// Whether some release of this Python meets all conditions: images name only its major and minor version.
pub(super) fn allows_python<T: AsRef<str>>((major, minor): (u8, u8), conditions: &[T]) -> bool {
    // No Python has had more releases of one minor version.
    (0..=40).any(|patch| meets(&format!("{major}.{minor}.{patch}"), conditions))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_as_pep_440_says() {
        let ascending = [
            "1.0.dev1",
            "1.0a1.dev1",
            "1.0a1",
            "1.0b2",
            "1.0rc1",
            "1.0",
            "1.0+local",
            "1.0.post1",
            "1.0.1",
            "1.1.dev0",
            "1.10",
            "1!0.1",
        ];
        for pair in ascending.windows(2) {
            let [left, right] = [pair[0], pair[1]].map(|text| PepVersion::parse(text).unwrap());
            assert!(left < right, "{pair:?}");
        }
        for (left, right) in [("1.0", "1"), ("v1.0-1", "1.post1"), ("1.0.ALPHA.1", "1a1")] {
            assert_eq!(PepVersion::parse(left), PepVersion::parse(right), "{left}");
        }
        for text in ["", "x", "1.x", "1..2", "1.0-", "1.0zeta"] {
            assert_eq!(PepVersion::parse(text), None, "{text}");
        }
    }

    #[test]
    fn conditions_are_met_as_pep_440_says() {
        for (version, condition, met) in [
            ("1.5", ">=1.5", true),
            ("1.5", "<2", true),
            ("2.0rc1", "<2", false),
            ("2.0rc1", "<2.1", true),
            ("1.5.post1", ">1.5", false),
            ("1.6", ">1.5", true),
            ("1.5.1", "~=1.5", true),
            ("2.0", "~=1.5", false),
            ("1.6.0", "~=1.5.0", false),
            ("1.5.9", "==1.5.*", true),
            ("1.50", "==1.5.*", false),
            ("1.5", "!=1.5.*", false),
            ("1.5", "==1.5.0", true),
            ("1.5+cu118", "==1.5", true),
            ("1.5+cu118", "==1.5+cpu", false),
            ("1.5", "<=1.4", false),
            ("1.5", "===1.5", true),
            ("1.5", "", true),
            ("nonsense", ">=1", true),
        ] {
            assert_eq!(meets(version, &[condition]), met, "{version} {condition}");
        }
        assert!(!meets("1.5", &[">=1", "<1.2"]));
    }

    #[test]
    fn a_minor_python_is_allowed_if_one_of_its_releases_is() {
        for (conditions, allowed) in [
            (vec![">=3.9"], true),
            (vec![">=3.11.4"], true),
            (vec![">=3.12"], false),
            (vec![">=3.8", "<3.11"], false),
            (vec!["==3.11.*"], true),
            (vec!["~=3.10"], true),
            (vec!["~=3.10.0"], false),
            (vec!["<4.0", ">=3.10"], true),
            (vec![">3.11"], true),
            (vec!["<=3.11"], true),
        ] {
            assert_eq!(
                allows_python((3, 11), &conditions),
                allowed,
                "{conditions:?}"
            );
        }
    }
}
