//! Drift: the places at which manifests do not name the images of this checkout.

use std::{collections::BTreeMap, sync::Arc};

use super::examined::Examined;
use crate::{
    code::Code,
    error::Error,
    project::{
        FILE_NAME,
        place::{Defect, Place},
    },
};

/// A place that does not name this checkout's image, or an error that prevented the check.
pub(crate) struct Drift {
    pub(crate) code: Code,
    pub(crate) place: Place,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    /// The subject of the finding, without tags: it stays the same when the tags change.
    pub(crate) about: String,
    /// Whether `sparkpack pin` fixes it.
    pub(crate) is_fixable: bool,
}

impl Drift {
    /// A finding that `sparkpack pin` cannot fix.
    pub(crate) fn of_defect(defect: &Defect) -> Self {
        Self {
            code: defect.code,
            place: defect.place.clone(),
            about: defect.message.clone(),
            message: defect.message.clone(),
            hint: defect.hint.clone(),
            is_fixable: false,
        }
    }

    /// An error that prevented the check. If it has no place, the first line of the configuration stands for it.
    pub(crate) fn of_error(error: &Error) -> Self {
        match error {
            Error::Defect(defect) | Error::Unlocked(defect) => Self::of_defect(defect),
            error => Self {
                code: error.code(),
                place: Place::of_line(FILE_NAME, 1),
                about: error.to_string(),
                message: error.to_string(),
                hint: error.hint(),
                is_fixable: false,
            },
        }
    }

    /// The drift in all manifests, ordered by file and by place in the file.
    pub(crate) fn of_all(examined: &[Arc<Examined>]) -> Vec<Self> {
        let mut all = Vec::new();
        for file in examined {
            let mut drift: BTreeMap<(usize, usize), Self> = BTreeMap::new();
            for change in &file.rewritten.changes {
                let drifted = Self {
                    code: Code::E100,
                    place: change.place.clone(),
                    about: change.path.clone(),
                    message: format!(
                        "{} is {}, and has to be {}",
                        change.path,
                        value(&change.old),
                        value(&change.new)
                    ),
                    hint: Some("run `sparkpack pin`".to_owned()),
                    is_fixable: true,
                };
                drift.insert((change.place.line, change.place.column), drifted);
            }
            for defect in file.stale.iter().chain(&file.rewritten.pending) {
                let place = (defect.place.line, defect.place.column);
                drift
                    .entry(place)
                    .or_insert_with(|| Self::of_defect(defect));
            }
            all.extend(drift.into_values());
        }
        all
    }
}

fn value(text: &str) -> String {
    match text {
        "" => "empty".to_owned(),
        text => format!("`{text}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::UsageError;

    #[test]
    fn an_error_is_told_at_its_place_or_at_the_beginning_of_the_configuration() {
        let place = Place::of_line("a.yml", 7);
        let defect = Defect::new(Code::E060, place.clone(), "no YAML").hint("mend it");
        let drift = Drift::of_error(&Error::from(defect));
        assert_eq!((drift.code, drift.place), (Code::E060, place));
        assert_eq!(drift.message, "no YAML");
        assert_eq!(drift.hint.as_deref(), Some("mend it"));
        let drift = Drift::of_error(&Error::from(UsageError::NoReason));
        assert_eq!(drift.code, Code::E037);
        assert_eq!(drift.place, Place::of_line("sparkpack.toml", 1));
        assert!(!drift.is_fixable);
    }
}
