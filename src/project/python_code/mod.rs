//! What a Python file says without being run: whether a version of Python can read it, and what it imports.

mod code;
mod conditions;
mod imports;
mod python2;
pub mod standard_library;
mod text;

#[cfg(test)]
mod tests;

use ruff_python_ast::{Mod, PythonVersion};
use ruff_python_parser::{Mode, ParseOptions, parse_unchecked};
use ruff_text_size::Ranged;

pub use code::{Form, Import, Need, Position, PythonCode, SearchPlace, SyntaxError};
use text::LineBegins;

/// The stack in bytes of a thread that calls [`read`]. What Python itself would refuse as nested too deeply is not read,
/// and what is read fits.
pub const STACK: usize = 128 << 20;

/// Reads a file as this version of Python would, on a thread with a [`STACK`] of that size. A file in an encoding that is
/// not known here, and one that nobody would have written by hand, say nothing.
#[must_use]
pub fn read(bytes: &[u8], python: (u8, u8)) -> PythonCode {
    let text = match text::decoded(bytes) {
        Ok(Some(text)) if !text::is_monstrous(&text) => text,
        Ok(_) => return PythonCode::default(),
        Err(error) => {
            return PythonCode {
                error: Some(error),
                ..PythonCode::default()
            };
        }
    };
    let version = PythonVersion {
        major: python.0,
        minor: python.1,
    };
    let options = ParseOptions::from(Mode::Module).with_target_version(version);
    let parsed = parse_unchecked(&text, options);
    let wrong = parsed
        .errors()
        .iter()
        .map(|error| (error.location, error.error.to_string()));
    let too_new = parsed
        .unsupported_syntax_errors()
        .iter()
        .map(|error| (error.range(), error.to_string()));
    let first = wrong.chain(too_new).min_by_key(|(range, _)| range.start());
    let lines = LineBegins::of(&text);
    if let Some((range, message)) = first {
        let span = range.start().to_usize()..range.end().to_usize();
        return PythonCode {
            error: Some(python2::explained(&text, &lines, span, &message)),
            ..PythonCode::default()
        };
    }
    match parsed.syntax() {
        Mod::Module(module) => imports::of(&text, &lines, &module.body, python),
        Mod::Expression(_) => PythonCode::default(),
    }
}
