//! Errors, sizes and times in words.

use std::{fmt::Write as _, time::Duration};

use crate::error::Error;

/// An error with its cause and its hint.
#[must_use]
pub fn error_text(error: &Error) -> String {
    let mut text = String::new();
    for (index, error) in error.each().into_iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        // Writing to a `String` cannot fail.
        let _ = write!(
            text,
            "error[{}]: {}",
            error.code(),
            visible(&error.headline())
        );
        for line in error.because().iter().flat_map(|because| because.lines()) {
            let _ = write!(text, "\n  because: {}", visible(line));
        }
        if let Some(hint) = error.hint() {
            let _ = write!(text, "\nhint: {}", visible(&hint));
        }
    }
    text
}

/// The text with control characters made visible: names and other programs' output must not control the terminal.
#[must_use]
pub fn visible(text: &str) -> String {
    let is_hidden = |character: char| {
        character.is_control() && !"\n\t".contains(character)
            || ('\u{202a}'..='\u{202e}').contains(&character)
            || ('\u{2066}'..='\u{2069}').contains(&character)
    };
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if is_hidden(character) {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// A size with a decimal unit, as docker prints it.
#[must_use]
pub fn bytes(count: u64) -> String {
    let units = [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)];
    match units.into_iter().find(|(_, size)| count >= *size) {
        Some((unit, size)) => format!("{}.{} {unit}", count / size, count % size * 10 / size),
        None => format!("{count} B"),
    }
}

/// A duration in seconds, or in minutes and seconds.
#[must_use]
pub fn seconds(duration: Duration) -> String {
    match duration.as_secs() {
        0..60 => format!("{:.1} s", duration.as_secs_f64()),
        long => format!("{} min {} s", long / 60, long % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_short() {
        assert_eq!(
            [bytes(0), bytes(999), bytes(1_500), bytes(1_160_000_000)],
            ["0 B", "999 B", "1.5 kB", "1.1 GB"]
        );
        assert_eq!(seconds(Duration::from_millis(1_240)), "1.2 s");
        assert_eq!(seconds(Duration::from_secs(61)), "1 min 1 s");
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(
            visible("a\u{1b}[31m\u{202e}b\tü"),
            "a\\u{1b}[31m\\u{202e}b\tü"
        );
    }
}
