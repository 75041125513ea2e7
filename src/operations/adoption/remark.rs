//! What an adoption tells: facts that were found, and remarks on them.

use std::fmt;

use crate::project::place::Place;

/// Something that stands in a file of the project and that the configuration follows from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fact {
    /// What it is of: `spark`, `image`, `entry point`.
    pub(crate) key: String,
    /// What was found.
    pub(crate) value: String,
    /// The file, and the line.
    pub(crate) at: (String, usize),
}

impl Fact {
    pub(super) fn new(key: &str, value: impl Into<String>, at: &Place) -> Self {
        // A fact is one line of a comment, whatever a file holds.
        let value: String = value.into();
        Self {
            key: key.to_owned(),
            value: value.replace(char::is_control, " "),
            at: (at.file.display().to_string(), at.line),
        }
    }

    /// Whether the other one is the same, perhaps in another line.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        (&self.key, &self.value, &self.at.0) == (&other.key, &other.value, &other.at.0)
    }
}

/// `KEY = VALUE (FILE:LINE)`, as it stands in the comments of a configuration.
impl fmt::Display for Fact {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, value, at } = self;
        write!(formatter, "{key} = {value} ({}:{})", at.0, at.1)
    }
}

/// Something that is to be known of a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remark {
    /// Where, if it is anywhere.
    pub(crate) place: Option<Place>,
    /// What.
    pub(crate) text: String,
    /// What to do.
    pub(crate) cure: Option<String>,
}

impl Remark {
    pub(super) fn new(text: impl Into<String>) -> Self {
        let text: String = text.into();
        Self {
            place: None,
            text: text.replace(char::is_control, "?"),
            cure: None,
        }
    }

    pub(super) fn at(place: &Place, text: impl Into<String>) -> Self {
        Self {
            place: Some(place.clone()),
            ..Self::new(text)
        }
    }

    pub(super) fn cure(self, cure: impl Into<String>) -> Self {
        Self {
            cure: Some(cure.into()),
            ..self
        }
    }
}

/// `FILE:LINE` of a place.
pub(super) fn shown(place: &Place) -> String {
    format!("{}:{}", place.file.display(), place.line)
}

/// How many names are told.
const NAMES: usize = 4;

/// Some names, and how many more there are.
pub(super) fn listed(names: &[String]) -> String {
    let shown: Vec<String> = names
        .iter()
        .take(NAMES)
        .map(|name| format!("`{name}`"))
        .collect();
    match names.len().saturating_sub(NAMES) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
