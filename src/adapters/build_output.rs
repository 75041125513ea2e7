//! Reads a builder's messages: the steps, their output, the image, the failed step.

pub(super) mod log;
pub(super) mod trace;

use std::collections::VecDeque;

use bollard::models::BuildInfo;

use crate::adapters::builder::{BuildError, BuildEvent};

/// How many of the last lines of a failed step are shown.
const LAST_LINES: usize = 20;

/// A reader of one builder's messages.
pub(super) trait Output {
    /// Reads one message, and sends what is new in it to `events`.
    fn take(&mut self, message: BuildInfo, events: &mut dyn FnMut(BuildEvent));

    /// The image, once the builder has reported success.
    fn image(&self) -> Option<&str>;

    /// The step that failed, as far as it is known.
    fn failing(&mut self) -> Option<&BuildStep>;
}

/// The error of a build that ended with `message`. `if_full` says what to do if that is because the builder's disk is full.
pub(super) fn failure(output: &mut dyn Output, message: String, if_full: &str) -> BuildError {
    let step = output.failing();
    BuildError::Failed {
        instruction: step.map(|step| step.instruction.clone()),
        step: step.map(|step| (step.number, step.total)),
        last_lines: step.map(|step| step.printed.last()).unwrap_or_default(),
        hint: message
            .contains("no space left on device")
            .then(|| if_full.to_owned()),
        message,
    }
}

/// One instruction of a Dockerfile that is running or has run.
#[derive(Debug, Default)]
pub(super) struct BuildStep {
    instruction: String,
    number: usize,
    total: usize,
    printed: Printed,
}

impl BuildStep {
    fn event(&self, cached: bool) -> BuildEvent {
        BuildEvent::Step {
            number: self.number,
            total: self.total,
            instruction: self.instruction.clone(),
            cached,
        }
    }
}

/// The output of a step: the last lines, and the beginning of an incomplete one.
#[derive(Debug, Default)]
struct Printed {
    lines: VecDeque<String>,
    open: Vec<u8>,
}

impl Printed {
    /// Adds bytes, and returns the lines that they complete.
    fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        self.open.extend_from_slice(bytes);
        let Some(end) = self.open.iter().rposition(|byte| *byte == b'\n') else {
            return Vec::new();
        };
        let rest = self.open.split_off(end + 1);
        let whole = std::mem::replace(&mut self.open, rest);
        let lines: Vec<String> = whole[..end]
            .split(|byte| *byte == b'\n')
            .map(line)
            .collect();
        self.keep(&lines);
        lines
    }

    fn keep(&mut self, lines: &[String]) {
        self.lines.extend(lines.iter().cloned());
        let surplus = self.lines.len().saturating_sub(LAST_LINES);
        self.lines.drain(..surplus);
    }

    /// The last line, if it has no line end.
    fn take_open(&mut self) -> Option<String> {
        let open = std::mem::take(&mut self.open);
        Some(line(&open)).filter(|line| !line.is_empty())
    }

    /// The last lines, including one without a line end.
    fn last(&self) -> Vec<String> {
        let open = Some(line(&self.open)).filter(|line| !line.is_empty());
        let lines: Vec<String> = self.lines.iter().cloned().chain(open).collect();
        lines[lines.len().saturating_sub(LAST_LINES)..].to_vec()
    }
}

/// A line as a terminal shows it: the text after its last carriage return.
fn line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_end();
    let shown = text.rsplit('\r').next().unwrap_or(text);
    shown.to_owned()
}

/// The number and the total of `3/7`.
fn fraction(text: &str) -> Option<(usize, usize)> {
    let (number, total) = text.split_once('/')?;
    Some((number.parse().ok()?, total.parse().ok()?))
}

/// The event of a step of three, for the tests of both readers.
#[cfg(test)]
fn step(number: usize, instruction: &str, cached: bool) -> BuildEvent {
    BuildEvent::Step {
        number,
        total: 3,
        instruction: instruction.to_owned(),
        cached,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_and_the_last_twenty_are_kept() {
        let mut printed = Printed::default();
        assert!(printed.push(b"10%\r20").is_empty());
        assert_eq!(printed.push(b"%\nnext"), ["20%"]);
        assert_eq!(printed.last(), ["20%", "next"]);
        for number in 0..30 {
            printed.push(format!("\n{number}").as_bytes());
        }
        let last = printed.last();
        assert_eq!((last.len(), &*last[0], &*last[19]), (20, "10", "29"));
    }
}
