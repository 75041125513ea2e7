//! Says what is wrong with a file, and recognises Python 2: whose files are often the reason that Python 3 cannot read
//! one.

use std::ops::Range;

use super::{code::SyntaxError, text::LineBegins};

/// The error of a parser at `span`, in the words of this program.
pub(super) fn explained(
    text: &str,
    lines: &LineBegins,
    span: Range<usize>,
    message: &str,
) -> SyntaxError {
    let at = lines.position(text, span.start);
    let before = lines.before(text, span.start);
    let wrong = text.get(span.clone()).unwrap_or_default();
    let rest = text.get(span.start..).unwrap_or_default();
    if let Some((message, hint)) = of_python2(before, wrong, rest) {
        return SyntaxError {
            at,
            message: message.to_owned(),
            hint: Some(hint.to_owned()),
        };
    }
    let mut characters = message.chars();
    let first = characters.next().map(|first| first.to_ascii_lowercase());
    SyntaxError {
        at,
        message: first.into_iter().chain(characters).collect(),
        hint: None,
    }
}

/// What Python 2 means by a text that Python 3 does not know, and what to write. `before` is the line up to where the
/// error is, `wrong` what is wrong, `rest` the text from there.
fn of_python2(before: &str, wrong: &str, rest: &str) -> Option<(&'static str, &'static str)> {
    let before = before.trim_end_matches([' ', '\t']);
    let ends_with_word = |word: &str| {
        before.strip_suffix(word).is_some_and(|head| {
            !head.ends_with(|last: char| last.is_alphanumeric() || "_.\"'".contains(last))
        })
    };
    let found = if ends_with_word("print") {
        ("`print` as a statement is Python 2", "write `print(…)`")
    } else if ends_with_word("exec") {
        ("`exec` as a statement is Python 2", "write `exec(…)`")
    } else if ends_with_word("raise") && wrong.contains(',') {
        (
            "`raise` with a comma is Python 2",
            "write `raise ERROR(\"…\")`",
        )
    } else if ends_with_word("except") && wrong.contains(',') {
        (
            "`except` with a comma is Python 2",
            "write `except ERROR as name`, or `except (ONE, OTHER)`",
        )
    } else if rest.starts_with('`') {
        ("backquotes are Python 2", "write `repr(…)`")
    } else if before.ends_with('<') && rest.starts_with('>') {
        ("`<>` is Python 2", "write `!=`")
    } else if wrong.len() > 1
        && wrong.starts_with('0')
        && wrong.bytes().all(|byte| byte.is_ascii_digit())
    {
        (
            "a number that begins with 0 is Python 2",
            "write `0o…` if it is octal, or leave the 0 out",
        )
    } else if before.ends_with(|last: char| last.is_ascii_hexdigit()) && matches!(wrong, "L" | "l")
    {
        ("a number that ends with L is Python 2", "leave the L out")
    } else if (ends_with_word("ur") || ends_with_word("UR")) && rest.starts_with(['\'', '"']) {
        ("a text that begins with `ur` is Python 2", "write `r\"…\"`")
    } else {
        return None;
    };
    Some(found)
}
