//! One line for each image: the current step, the elapsed time, the bytes moved.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::{Ui, bytes, seconds};

/// The bytes between two plain lines about a transfer.
const PLAIN_STRIDE: u64 = 256 << 20;

/// The progress of one image.
pub struct StageLine<'a> {
    ui: &'a Ui,
    name: String,
    bar: Option<ProgressBar>,
    begun: Instant,
    next_plain: u64,
}

impl<'a> StageLine<'a> {
    pub(super) fn new(ui: &'a Ui, name: &str) -> Self {
        let bar = ui.bars().map(|bars| {
            let bar = bars.add(ProgressBar::new_spinner().with_prefix(name.to_owned()));
            // The template is a constant. If it were wrong, the default style would do.
            if let Ok(style) =
                ProgressStyle::with_template("{spinner} {prefix:>12} {elapsed:>4} {wide_msg}")
            {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self {
            ui,
            name: name.to_owned(),
            bar,
            begun: Instant::now(),
            next_plain: PLAIN_STRIDE,
        }
    }

    /// A step has begun.
    pub(super) fn begin_step(&self, text: &str) {
        let first_line = text.lines().next().unwrap_or_default();
        match &self.bar {
            Some(bar) => bar.set_message(first_line.to_owned()),
            None => self.ui.say(format!("{}: {first_line}", self.name)),
        }
    }

    /// Shows a line of a step's output: on a terminal until the next one, elsewhere only with `--verbose`.
    pub(super) fn show_output(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(line.to_owned()),
            None => self.ui.detail(format!("{}: {line}", self.name)),
        }
    }

    /// Shows the bytes moved so far.
    pub(super) fn show_moved(&mut self, what: &str, done: u64, total: Option<u64>) {
        let of = total
            .map(|total| format!(" of {}", bytes(total)))
            .unwrap_or_default();
        let text = format!("{what} {}{of}", bytes(done));
        match &self.bar {
            Some(bar) => bar.set_message(text),
            None if done >= self.next_plain => {
                self.next_plain = done + PLAIN_STRIDE;
                self.ui.say(format!("{}: {text}", self.name));
            }
            None => {}
        }
    }

    /// Ends the work, and leaves a line with the result.
    pub(super) fn finish(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.ui.say(format!("{}: {text}", self.name));
    }

    /// The elapsed time, for people.
    pub(super) fn elapsed(&self) -> String {
        seconds(self.begun.elapsed())
    }
}

impl Drop for StageLine<'_> {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
