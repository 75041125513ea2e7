//! The message for a text that is not YAML: where the error is, what it is, and what to write instead.

use std::path::{Path, PathBuf};

use granit_parser::{ErrorKind, ScanError};

use super::chunks::Chunk;
use crate::{
    code::Code,
    project::place::{Defect, Place, shortened},
};

/// How much of the text is quoted, in characters.
const QUOTED: usize = 40;

/// How many lines from the error on are searched for a tab: the parser may report where the scalar began.
const REACH: usize = 16;

/// The error as a defect of the file.
pub(super) fn not_yaml(file: &Path, chunk: Chunk<'_>, error: &ScanError) -> Defect {
    let marker = error.marker();
    // In YAML a carriage return alone ends a line, too.
    let text = chunk.text.replace("\r\n", "\n").replace('\r', "\n");
    let lines: Vec<&str> = text
        .split('\n')
        .skip(marker.line().saturating_sub(1))
        .take(REACH)
        .collect();
    let line = lines.first().copied().unwrap_or_default();
    let at = |lines: usize, column: usize| Place {
        file: PathBuf::from(file),
        line: chunk.line + marker.line() + lines,
        column,
    };
    let is_template = line.contains("{{") || line.contains("{%");
    let tab = lines
        .iter()
        .position(|line| line.trim_start_matches(' ').starts_with('\t'))
        .filter(|number| is_about_tabs(error.kind()) || *number == 0);
    if let Some(number) = tab.filter(|_| !is_template) {
        let indent = lines[number].chars().take_while(|space| *space == ' ');
        let message = format!(
            "not YAML: a tab indents `{}`",
            excerpt(lines[number].trim_start_matches([' ', '\t']))
        );
        return Defect::new(Code::E060, at(number, indent.count() + 1), message)
            .hint("indent with spaces: YAML allows no tabs there");
    }
    let rest: String = line.chars().skip(marker.col()).collect();
    let (message, hint) = message_and_hint(error, line, &rest);
    let hint = if is_template {
        "a template is YAML only after rendering, or with its expressions in quotes".to_owned()
    } else {
        hint
    };
    // The scalar that holds the character may have begun before it.
    let inside = match error.kind() {
        ErrorKind::UnexpectedCharacter { character } => {
            rest.chars().position(|other| other == *character)
        }
        _ => None,
    };
    let defect = Defect::new(
        Code::E060,
        at(0, marker.col() + 1 + inside.unwrap_or(0)),
        format!("not YAML: {message}"),
    );
    defect.hint(hint)
}

fn is_about_tabs(kind: &ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::TabNotAllowed
            | ErrorKind::TabInBlockIndentation
            | ErrorKind::TabInIndentation
            | ErrorKind::TabInPlainScalar
            | ErrorKind::TabAtBlockScalarStart
    )
}

/// What is wrong with the `line`, and what to write instead; `rest` is the line from the error on.
fn message_and_hint(error: &ScanError, line: &str, rest: &str) -> (String, String) {
    let quoted = excerpt(rest);
    match error.kind() {
        ErrorKind::UnclosedQuotedScalar | ErrorKind::DocumentIndicatorInQuotedScalar => (
            format!("the quote that opens before `{}` is never closed", excerpt(rest.trim_start_matches(['"', '\'']))),
            "close it where the value ends; within single quotes, write a quote twice".to_owned(),
        ),
        ErrorKind::UnknownAnchor => {
            let end = rest.find(|end: char| end.is_whitespace() || ",]}".contains(end));
            let alias = &rest[..end.unwrap_or(rest.len())];
            let anchor = alias.replacen('*', "&", 1);
            (
                format!("`{alias}` stands for an anchor that nothing before it sets"),
                format!("set `{anchor}` before a value above, in the same document; or, if it is meant as text, write `\"{alias}\"`"),
            )
        }
        ErrorKind::UnclosedFlowCollection { .. }
        | ErrorKind::ExpectedFlowMappingSeparator
        | ErrorKind::ExpectedFlowSequenceSeparator
        | ErrorKind::UnexpectedEofFlowMapping
        | ErrorKind::UnexpectedEofImplicitFlowMapping
        | ErrorKind::UnexpectedEofFlowSequence => (
            unclosed(&quoted),
            "write a comma between entries, and `}` or `]` behind the last".to_owned(),
        ),
        ErrorKind::UnexpectedCharacter { character } if character.is_control() => (
            format!("the control character U+{:04X}", u32::from(*character)),
            "remove it; where a value needs it, write `\"\\uXXXX\"`".to_owned(),
        ),
        ErrorKind::UnexpectedCharacter { character } => (
            format!("nothing begins with `{character}`, as `{quoted}` does"),
            "put the value in quotes".to_owned(),
        ),
        ErrorKind::RecursionLimitExceeded => (
            format!("`{quoted}` is nested too deeply"),
            "no manifest needs that depth: keep the file out of `[manifests]`".to_owned(),
        ),
        ErrorKind::MappingValueNotAllowed => (
            format!("`{}` has a second `: `, or ends with a `:`", excerpt(line.trim())),
            "put a value in quotes that holds `: ` or ends with `:`; a mapping begins on a line of its own".to_owned(),
        ),
        _ => {
            let shown = if quoted.is_empty() { excerpt(line.trim()) } else { quoted };
            let message = match shown.as_str() {
                "" => error.info(),
                shown => format!("{} at `{shown}`", error.info()),
            };
            (message, "give the keys of one mapping the same indentation, and put values with special characters in quotes".to_owned())
        }
    }
}

/// A list or a mapping in brackets that does not end.
fn unclosed(rest: &str) -> String {
    match rest {
        "" => "a bracket is not closed".to_owned(),
        rest if rest.starts_with(['[', '{']) => format!("what `{rest}` opens is not closed"),
        rest => format!("a comma or a closing bracket is missing before `{rest}`"),
    }
}

/// As much of a line as a message has room for.
fn excerpt(line: &str) -> String {
    shortened(line.trim_end(), QUOTED)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use granit_parser::Parser;

    use super::{super::chunks, not_yaml};
    use crate::project::place::Defect;

    fn defect(text: &str) -> Defect {
        let error = Parser::new_from_str(text).find_map(Result::err).unwrap();
        not_yaml(
            Path::new("f.yml"),
            chunks::chunks(text, usize::MAX)[0],
            &error,
        )
    }

    #[test]
    fn each_mistake_is_told_in_words_with_its_place_and_a_cure() {
        let table = [
            ("a:\n\tb: 1\n", "2:1", "a tab indents `b: 1`"),
            ("a:\n  b: x\n \td: 1\n", "3:2", "a tab indents `d: 1`"),
            ("a: \"b\nc: d\n", "1:4", "opens before `b` is never closed"),
            (
                "a: 'b\n---\nc: d\n",
                "1:4",
                "opens before `b` is never closed",
            ),
            (
                "a: [*nope, x]\n",
                "1:5",
                "`*nope` stands for an anchor that nothing before it sets",
            ),
            (
                "a: {b: c\nd: 1\n",
                "2:2",
                "a comma or a closing bracket is missing before `: 1`",
            ),
            ("a: [b, c\n", "1:4", "what `[b, c` opens is not closed"),
            ("a: b\u{7}\n", "1:5", "the control character U+0007"),
            ("a: b\n c: d\n", "2:3", "`c: d` has a second `: `"),
            ("a: b\n- c\n", "2:3", "at `c`"),
            ("a: b: c\n", "1:5", "`a: b: c` has a second `: `"),
            ("a: @b\n", "1:4", "nothing begins with `@`, as `@b` does"),
            ("a:\r- b\r c\r- @d\r", "4:3", "as `@d` does"),
        ];
        for (text, place, message) in table {
            let defect = defect(text);
            let shown = defect.to_string();
            assert!(
                shown.starts_with(&format!("f.yml:{place}: not YAML: ")) && shown.contains(message),
                "{text:?}: {shown}"
            );
            assert!(defect.hint.is_some() && defect.code == "E060", "{shown}");
        }
        let deep = format!("a: {}", "[".repeat(100_000));
        let shown = defect(&deep).to_string();
        assert!(
            shown.ends_with("[…` is nested too deeply") && shown.len() < 120,
            "{shown}"
        );
    }
}
