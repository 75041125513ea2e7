//! Locates a failed build in the Dockerfile.

use std::collections::BTreeMap;

use super::context::dockerfile_edits;
use crate::{
    adapters::builder::{BuildError, Features, StepNumbers},
    code::Code,
    error::Error,
    project::{
        Operator, OperatorOrigin,
        dockerfile::{
            Dockerfile,
            isolate::{INSERTED_LINES, as_written},
        },
        inputs::DockerfileInputs,
        place::{Defect, Place},
    },
};

/// The error of a build that lacks the operator's binary, in place of one about a Dockerfile that is not the user's.
pub(crate) fn of_operator_path(operator: &Operator, error: &BuildError) -> Option<Defect> {
    let (OperatorOrigin::Image(image), BuildError::Failed { message, .. }) =
        (&operator.origin, error)
    else {
        return None;
    };
    let path = operator.path_in(&BTreeMap::new());
    let is_missing = ["not found", "does not exist", "no such file"];
    let is_missing = is_missing.iter().any(|words| message.contains(words));
    if !is_missing || !message.contains(path.trim_start_matches('/')) {
        return None;
    }
    let message = format!("`operator.path` is `{path}`, and the image `{image}` has no such file");
    let hint = format!(
        "find the binary and write its path: `docker export $(docker create {image} x) | tar t | grep operator`"
    );
    Some(Defect::new(Code::E096, operator.place.clone(), message).hint(hint))
}

/// The error of a build, with the Dockerfile's line that failed.
pub(crate) fn located(
    stage: &str,
    inputs: &DockerfileInputs,
    features: Features,
    error: BuildError,
) -> Error {
    let (instruction, step, last_lines, message, hint) = match error {
        BuildError::Failed {
            instruction,
            step,
            last_lines,
            message,
            hint,
        } => (instruction, step, last_lines, message, hint),
        BuildError::Mismatch(mismatch) => return mismatch.into(),
        BuildError::Docker(error) => return error.into(),
        BuildError::BuildKit(error) => return error.into(),
        BuildError::Registry(error) => return error.into(),
        BuildError::Layout(error) => return error.into(),
    };
    let instruction = instruction.unwrap_or_default();
    let message = with_what_no_source_has(message, &instruction);
    let line = line_of(inputs, features, step, &instruction).or_else(|| told_line(&message));
    let shown = line.and_then(|line| text_of_line(inputs, line));
    Error::Build {
        stage: stage.to_owned(),
        place: Place::of_line(inputs.dockerfile.file(), line.unwrap_or(1)),
        instruction: shown.unwrap_or(instruction),
        output: last_lines,
        message,
        built_in: inputs.built_in.is_some(),
        hint,
    }
}

/// The message of a `COPY` from a source that lacks a file, with the files that no source has: the builder cannot know
/// why they are not there.
fn with_what_no_source_has(message: String, instruction: &str) -> String {
    if !instruction.contains("sparkpack.source/") || !message.contains("not found") {
        return message;
    }
    format!(
        "{message}; a source has neither `dist` nor manifests, locks, sparkpack.toml and the files of secrets, which tags \
         must not depend on"
    )
}

/// The line in a message of the builder's parser, such as `parse error line 3`.
fn told_line(message: &str) -> Option<usize> {
    let (_, rest) = message.split_once("parse error line ")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// The line in the project's Dockerfile of the step that the builder reports. The builder counts in the Dockerfile that
/// it was sent.
fn line_of(
    inputs: &DockerfileInputs,
    features: Features,
    step: Option<(usize, usize)>,
    instruction: &str,
) -> Option<usize> {
    let dockerfile = &inputs.dockerfile;
    if features.step_numbers == StepNumbers::PerStage {
        return dockerfile.line_of(step, &as_written(instruction), true);
    }
    let edits = dockerfile_edits(inputs, features).ok()?;
    let sent = dockerfile.substitute(&edits.replacements);
    let sent = Dockerfile::parse_allowing(dockerfile.file(), &sent, &|_| true).ok()?;
    let line = sent.line_of(step, instruction, false)?;
    let is_below = edits.is_isolated && line >= dockerfile.first_from_line() + INSERTED_LINES;
    Some(if is_below {
        line - INSERTED_LINES
    } else {
        line
    })
}

/// The instruction that begins on a line, shortened for a message.
fn text_of_line(inputs: &DockerfileInputs, line: usize) -> Option<String> {
    let instruction = inputs
        .dockerfile
        .instructions()
        .iter()
        .find(|instruction| instruction.line == line)?;
    Some(cut(&format!(
        "{} {}",
        instruction.keyword, instruction.arguments
    )))
}

/// A text on one line, at most 100 characters long.
pub(crate) fn cut(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let text = words.join(" ");
    if text.chars().count() > 100 {
        text.chars().take(99).chain(['…']).collect()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_source_lacks_is_told_with_the_files_that_no_source_has() {
        let message = "failed to compute cache key: \"/kubernetes\" not found: not found";
        let told = |instruction| with_what_no_source_has(message.to_owned(), instruction);
        let of_source = told("COPY --from=sparkpack.source/all:0123 kubernetes /opt/k");
        let wanted = "not found: not found; a source has neither `dist` nor manifests";
        assert!(of_source.contains(wanted), "{of_source}");
        assert_eq!(told("COPY --from=base /a /b"), message);
    }
}
