//! Counts how often the parser is started for each text: tests use it to check that no text is parsed more often than
//! needed.

use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex, PoisonError},
};

use crate::image::Digest;

static PARSES: LazyLock<Mutex<HashMap<Digest, usize>>> = LazyLock::new(Mutex::default);

pub(super) fn count(text: &str) {
    let mut parses = PARSES.lock().unwrap_or_else(PoisonError::into_inner);
    *parses.entry(Digest::of(text.as_bytes())).or_default() += 1;
}

/// How often exactly this text was parsed in this process. Tests run side by side: theirs is a text of their own.
pub(crate) fn of(text: &str) -> usize {
    let parses = PARSES.lock().unwrap_or_else(PoisonError::into_inner);
    let digest = Digest::of(text.as_bytes());
    parses.get(&digest).copied().unwrap_or_default()
}
