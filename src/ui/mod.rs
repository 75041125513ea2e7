//! All printing: data goes to stdout, messages for people to stderr.

mod difference;
mod events;
mod progress;
mod report;
mod style;

use std::{
    fmt::Display,
    io::{self, IsTerminal, Write},
    sync::{Mutex, PoisonError},
};

use indicatif::{MultiProgress, ProgressDrawTarget};
use serde::Serialize;

pub use difference::{Reader, unified};
pub use progress::StageLine;
pub use report::{bytes, error_text, seconds, visible};
pub use style::{Cell, Paint, Style, Symbols, table};

use crate::project::place::Defect;

/// How much is printed, and how.
pub struct Ui {
    quiet: bool,
    verbose: u8,
    bars: Option<MultiProgress>,
    paint: Paint,
    data_paint: Paint,
    symbols: Symbols,
    warnings: Mutex<Vec<Defect>>,
}

impl Ui {
    /// Live lines on a terminal, plain lines elsewhere; only errors when `quiet`.
    ///
    /// `environment` gives the value of an environment variable.
    #[must_use]
    pub fn new(quiet: bool, verbose: u8, environment: &dyn Fn(&str) -> Option<String>) -> Self {
        let live = io::stderr().is_terminal() && !quiet;
        let bars =
            live.then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10)));
        Self {
            quiet,
            verbose,
            bars,
            paint: Paint::of(io::stderr().is_terminal(), environment),
            data_paint: Paint::of(io::stdout().is_terminal(), environment),
            symbols: Symbols::of(environment),
            warnings: Mutex::default(),
        }
    }

    /// Prints a line for people.
    pub fn say(&self, line: impl Display) {
        if self.quiet {
            return;
        }
        match &self.bars {
            // The work goes on even if the terminal is closed.
            Some(bars) => drop(bars.println(line.to_string())),
            None => drop(writeln!(io::stderr().lock(), "{line}")),
        }
    }

    /// Prints a line for people who asked for details.
    pub fn detail(&self, line: impl Display) {
        if self.verbose > 0 {
            self.say(line);
        }
    }

    /// Prints a warning.
    pub fn warn(&self, defect: &Defect) {
        let hint = defect
            .hint
            .as_ref()
            .map(|hint| format!("\nhint: {hint}"))
            .unwrap_or_default();
        let text = format!("warning[{}]: {defect}{hint}", defect.code);
        self.say(self.paint.message(&report::visible(&text)));
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        warnings.push(defect.clone());
    }

    /// The warnings of this run so far.
    #[must_use]
    pub fn warnings(&self) -> Vec<Defect> {
        let warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        warnings.clone()
    }

    /// The number of `--verbose` flags; 0 is the default.
    #[must_use]
    pub fn verbosity(&self) -> u8 {
        self.verbose
    }

    /// Prints an error, even when quiet.
    pub fn fail(&self, text: &str) {
        let text = self.paint.message(text);
        match &self.bars {
            Some(bars) => drop(bars.println(text)),
            None => drop(writeln!(io::stderr().lock(), "{text}")),
        }
    }

    /// Prints a line of data.
    ///
    /// # Errors
    /// stdout cannot be written to; a reader that closed its pipe is no error.
    pub fn data(&self, line: impl Display) -> io::Result<()> {
        match writeln!(io::stdout().lock(), "{line}") {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(unwritten(&error)),
            _ => Ok(()),
        }
    }

    /// Passes on what a program has printed on its standard output; false where nobody reads it any more.
    ///
    /// # Errors
    /// Those of [`Self::data`].
    pub fn pass_output(&self, bytes: &[u8]) -> io::Result<bool> {
        let mut stream = io::stdout().lock();
        match stream.write_all(bytes).and_then(|()| stream.flush()) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(unwritten(&error)),
        }
    }

    /// Passes on what a program has printed on its standard error, also when quiet.
    pub fn pass_error(&self, bytes: &[u8]) {
        // As with own messages, the work goes on even if nobody reads it.
        drop(io::stderr().lock().write_all(bytes));
    }

    /// Prints a document for programs, as JSON.
    ///
    /// # Errors
    /// Those of [`Self::data`].
    pub fn document(&self, document: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_string_pretty(document).map_err(io::Error::other)?;
        self.data(text)
    }

    /// The colours for data.
    #[must_use]
    pub fn data_paint(&self) -> Paint {
        self.data_paint
    }

    /// How states are marked.
    #[must_use]
    pub fn symbols(&self) -> Symbols {
        self.symbols
    }

    /// The live line of one image.
    #[must_use]
    pub fn stage(&self, name: &str) -> StageLine<'_> {
        StageLine::new(self, name)
    }

    /// What leaves the terminal with a line end when a signal ends the run, and says why it ends.
    pub fn interrupted(&self) -> impl FnOnce() + Send + use<> {
        let (bars, quiet) = (self.bars.clone(), self.quiet);
        move || match bars {
            _ if quiet => {}
            Some(bars) => drop(bars.clear().and_then(|()| bars.println("interrupted"))),
            None => drop(writeln!(io::stderr().lock(), "interrupted")),
        }
    }

    fn bars(&self) -> Option<&MultiProgress> {
        self.bars.as_ref()
    }
}

fn unwritten(error: &io::Error) -> io::Error {
    io::Error::other(format!("the standard output: {error}"))
}
