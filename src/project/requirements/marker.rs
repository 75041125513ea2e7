//! Environment markers as expressions: what locks of other tools say of extras and groups is decided while reading, what
//! they say of the image's Python and platform is left to the installer.

use std::{collections::BTreeSet, fmt};

use super::pieces::{Wrong, marker_words};
use crate::code::Code;

/// A marker.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Marker {
    Never,
    /// `python_version < "3.11"`
    Is(String),
    /// All of them.
    All(BTreeSet<Self>),
    /// One of them.
    Any(BTreeSet<Self>),
    Always,
}

impl Marker {
    /// Parses a marker. `decide` may say whether a comparison, in three words, is true whatever the image.
    ///
    /// # Errors
    /// It is no marker.
    pub(super) fn parse(
        text: &str,
        decide: &dyn Fn(&str, &str, &str) -> Option<bool>,
    ) -> Result<Self, Wrong> {
        let words = marker_words(text, 0, &["extras", "dependency_groups"])?;
        let mut parser = Parser {
            words: &words,
            decide,
        };
        let marker = parser.any()?;
        match parser.words {
            [] => Ok(marker),
            [word, ..] => Err(Wrong::new(
                Code::E047,
                0,
                format!("`{word}` has no meaning there in `{text}`"),
            )),
        }
    }

    pub(super) fn and(self, other: Self) -> Self {
        let mut all = BTreeSet::new();
        for marker in [self, other] {
            match marker {
                Self::Never => return Self::Never,
                Self::Always => {}
                Self::All(some) => all.extend(some),
                marker => drop(all.insert(marker)),
            }
        }
        match all.len() {
            0 => Self::Always,
            1 => all.pop_first().unwrap_or(Self::Always),
            _ => Self::All(all),
        }
    }

    pub(super) fn or(self, other: Self) -> Self {
        let mut any = BTreeSet::new();
        for marker in [self, other] {
            match marker {
                Self::Always => return Self::Always,
                Self::Never => {}
                Self::Any(some) => any.extend(some),
                marker => drop(any.insert(marker)),
            }
        }
        let narrower = |marker: &Self, other: &Self| match marker {
            Self::All(all) => match other {
                Self::All(fewer) => fewer.is_subset(all),
                one => all.contains(one),
            },
            _ => false,
        };
        let covered: Vec<Self> = any
            .iter()
            .filter(|marker| {
                any.iter()
                    .any(|other| other != *marker && narrower(marker, other))
            })
            .cloned()
            .collect();
        any.retain(|marker| !covered.contains(marker));
        match any.len() {
            0 => Self::Never,
            1 => any.pop_first().unwrap_or(Self::Never),
            _ => Self::Any(any),
        }
    }

    /// What stands after the `;` of a requirement: nothing if it always holds, `None` if it never does.
    #[expect(clippy::option_option, reason = "never, always, or a condition")]
    pub(super) fn of_line(&self) -> Option<Option<String>> {
        match self {
            Self::Never => None,
            Self::Always => Some(None),
            some => Some(Some(some.to_string())),
        }
    }
}

impl fmt::Display for Marker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |markers: &BTreeSet<Self>, between: &str, within: bool| {
            let parts = markers.iter().map(|marker| match marker {
                Self::Any(_) if within => format!("({marker})"),
                marker => marker.to_string(),
            });
            parts.collect::<Vec<_>>().join(between)
        };
        match self {
            Self::Never => formatter.write_str("python_version < \"0\""),
            Self::Always => formatter.write_str("python_version >= \"0\""),
            Self::Is(text) => formatter.write_str(text),
            Self::All(all) => formatter.write_str(&joined(all, " and ", true)),
            Self::Any(any) => formatter.write_str(&joined(any, " or ", false)),
        }
    }
}

struct Parser<'a> {
    words: &'a [String],
    decide: &'a dyn Fn(&str, &str, &str) -> Option<bool>,
}

impl Parser<'_> {
    fn next_is(&mut self, word: &str) -> bool {
        let is = self.words.first().is_some_and(|first| first == word);
        if is {
            self.words = &self.words[1..];
        }
        is
    }

    fn take(&mut self) -> Result<String, Wrong> {
        let (first, rest) = self
            .words
            .split_first()
            .ok_or_else(|| Wrong::new(Code::E047, 0, "a marker ends too early"))?;
        self.words = rest;
        Ok(first.clone())
    }

    fn any(&mut self) -> Result<Marker, Wrong> {
        let mut marker = self.all()?;
        while self.next_is("or") {
            marker = marker.or(self.all()?);
        }
        Ok(marker)
    }

    fn all(&mut self) -> Result<Marker, Wrong> {
        let mut marker = self.one()?;
        while self.next_is("and") {
            marker = marker.and(self.one()?);
        }
        Ok(marker)
    }

    fn one(&mut self) -> Result<Marker, Wrong> {
        if self.next_is("(") {
            let marker = self.any()?;
            if self.next_is(")") {
                return Ok(marker);
            }
            return Err(Wrong::new(Code::E047, 0, "a `(` in a marker is not closed"));
        }
        let left = self.take()?;
        let mut operator = self.take()?;
        if operator == "not" {
            operator = format!("not {}", self.take()?);
        }
        let right = self.take()?;
        Ok(match (self.decide)(&left, &operator, &right) {
            Some(true) => Marker::Always,
            Some(false) => Marker::Never,
            None => Marker::Is(format!("{left} {operator} {right}")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_extra(text: &str, extras: &[&str]) -> String {
        let decide = |left: &str, operator: &str, right: &str| {
            let named = extras.contains(&right.trim_matches('"'));
            (left == "extra").then_some(named == (operator == "=="))
        };
        let marker = Marker::parse(text, &decide).unwrap();
        match marker.of_line() {
            None => "never".to_owned(),
            Some(None) => "always".to_owned(),
            Some(Some(text)) => text,
        }
    }

    #[test]
    fn what_extras_decide_disappears() {
        for (text, wanted) in [
            ("extra == 'aws'", "always"),
            ("extra == 'gcp'", "never"),
            ("extra != 'gcp'", "always"),
            (
                "python_version<'3.11' and extra == 'aws'",
                "python_version < \"3.11\"",
            ),
            ("python_version<'3.11' or extra == 'aws'", "always"),
            (
                "python_version<'3.11' or extra == 'gcp'",
                "python_version < \"3.11\"",
            ),
            (
                "os_name == 'nt' and (python_version < '3.9' or python_version > '3.12')",
                "os_name == \"nt\" and (python_version < \"3.9\" or python_version > \"3.12\")",
            ),
            (
                "os_name == 'nt' and os_name == 'nt' or os_name == 'nt' and sys_platform == 'x'",
                "os_name == \"nt\"",
            ),
            (
                "sys_platform not in 'linux'",
                "sys_platform not in \"linux\"",
            ),
        ] {
            assert_eq!(with_extra(text, &["aws"]), wanted, "{text}");
        }
    }

    #[test]
    fn what_is_no_marker_is_refused() {
        for text in [
            "os_name",
            "os_name == 'x' 'y'",
            "(os_name == 'x'",
            "os_name == 'x' and",
        ] {
            assert!(Marker::parse(text, &|_, _, _| None).is_err(), "{text}");
        }
    }
}
