//! The result of one check, and of all.

use serde::Serialize;

use crate::{code::Code, error::Error};

/// How it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Health {
    /// As it should be.
    Good,
    /// Nothing has to be mended, but it is good to know.
    Note,
    /// Something has to be mended.
    Bad,
    /// It was not asked, or cannot be.
    NotAsked,
}

/// What to do about a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cure {
    /// A command to type.
    Command(String),
    /// What to change, in words.
    Hint(String),
}

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// What was looked at.
    pub(crate) check: String,
    pub(crate) health: Health,
    /// What was found, in one line.
    pub(crate) text: String,
    pub(crate) cure: Option<Cure>,
    /// Of what has to be mended: the error that a run would stop with.
    pub(crate) code: Option<Code>,
}

impl Finding {
    fn new(check: &str, health: Health, text: impl Into<String>) -> Self {
        Self {
            check: check.to_owned(),
            health,
            text: text.into(),
            cure: None,
            code: None,
        }
    }

    pub(super) fn good(check: &str, text: impl Into<String>) -> Self {
        Self::new(check, Health::Good, text)
    }

    pub(super) fn note(check: &str, text: impl Into<String>) -> Self {
        Self::new(check, Health::Note, text)
    }

    pub(super) fn not_asked(check: &str, text: impl Into<String>) -> Self {
        Self::new(check, Health::NotAsked, text)
    }

    pub(super) fn bad(check: &str, code: Code, text: impl Into<String>) -> Self {
        Self {
            code: Some(code),
            ..Self::new(check, Health::Bad, text)
        }
    }

    /// What an error says, with its hint.
    pub(super) fn of_error(check: &str, error: &Error) -> Self {
        let each = error.each();
        let first = each
            .first()
            .map_or_else(String::new, |error| error.headline());
        let because = error.because();
        let because = because.iter().flat_map(|because| because.lines()).next();
        let because = because.map(|because| format!(": {because}"));
        let more = match each.len() {
            0 | 1 => String::new(),
            several => format!("; and {} more", several - 1),
        };
        let hint = each.first().and_then(|error| error.hint());
        let finding = Self::bad(
            check,
            error.code(),
            format!("{first}{}{more}", because.unwrap_or_default()),
        );
        match hint {
            Some(hint) => finding.hint(hint),
            None => finding,
        }
    }

    /// The same without what follows the first line.
    pub(super) fn in_one_line(self) -> Self {
        let text = self.text.lines().next().unwrap_or_default().to_owned();
        Self { text, ..self }
    }

    /// The same with a command that cures it.
    pub(super) fn run(self, command: impl Into<String>) -> Self {
        Self {
            cure: Some(Cure::Command(command.into())),
            ..self
        }
    }

    /// The same with words that say what to change.
    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            cure: Some(Cure::Hint(hint.into())),
            ..self
        }
    }
}

/// The results of all checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Diagnosis {
    pub(crate) findings: Vec<Finding>,
}

/// The exit codes by their importance: what is wrong with the files, then with the credentials, then with the network.
const IMPORTANCE: [u8; 4] = [2, 4, 5, 6];

impl Diagnosis {
    /// The error of a run that found something to mend. Its code is that of the most important finding.
    ///
    /// # Errors
    /// Something has to be mended.
    pub(crate) fn verdict(&self) -> Result<(), Error> {
        let codes: Vec<Code> = self
            .findings
            .iter()
            .filter_map(|finding| finding.code)
            .collect();
        let rank = |code: &Code| {
            let exit = code.exit_code();
            let found = IMPORTANCE.iter().position(|known| *known == exit);
            found.unwrap_or(IMPORTANCE.len())
        };
        match codes.iter().copied().min_by_key(rank) {
            None => Ok(()),
            Some(code) => Err(Error::Unhealthy {
                bad: codes.len(),
                checks: self.findings.len(),
                code,
            }),
        }
    }
}
