//! Scalars: the type that a plain one resolves to, and how a new value is written in the style of the old one.

use std::ops::Range;

use granit_parser::{ScalarStyle, Tag};

/// Whether a plain value may stay plain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plain {
    /// Where it reads back as the same string.
    IfSafe,
    /// Never: the text is JSON.
    Never,
}

/// What the scalar resolves to if it is no string: `null`, `a number` and the like.
pub(super) fn other_type(value: &str, style: ScalarStyle, tag: Option<&Tag>) -> Option<String> {
    match tag {
        None if style == ScalarStyle::Plain => plain_type(value).map(str::to_owned),
        None => None,
        Some(tag) if tag.core_suffix() == Some("str") || tag.original() == "!" => None,
        Some(tag) => Some(format!("a value with the tag `{}`", tag.original())),
    }
}

/// What some reader of YAML 1.1 or 1.2 takes a plain scalar for, if not for a string.
fn plain_type(text: &str) -> Option<&'static str> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Some("null"),
        "true" | "True" | "TRUE" | "false" | "False" | "FALSE" | "yes" | "Yes" | "YES" | "no"
        | "No" | "NO" | "on" | "On" | "ON" | "off" | "Off" | "OFF" | "y" | "Y" | "n" | "N" => {
            Some("a boolean")
        }
        "<<" | "=" => Some("a YAML 1.1 indicator"),
        _ if is_number(text) => Some("a number"),
        _ if is_date(text) => Some("a date"),
        _ => None,
    }
}

fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(
        unsigned,
        ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN"
    ) {
        return true;
    }
    let in_base = |digits: &str, is_digit: fn(&char) -> bool| {
        digits.contains(|character| is_digit(&character))
            && digits
                .chars()
                .all(|character| character == '_' || is_digit(&character))
    };
    match unsigned.get(..2) {
        Some("0x") => in_base(&unsigned[2..], char::is_ascii_hexdigit),
        Some("0o") => in_base(&unsigned[2..], |digit| matches!(digit, '0'..='7')),
        Some("0b") => in_base(&unsigned[2..], |digit| matches!(digit, '0' | '1')),
        _ => is_decimal(unsigned) || is_sexagesimal(unsigned),
    }
}

/// `12`, `1_000`, `1.10`, `.5`, `1e5`.
fn is_decimal(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let exponent_is_valid = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    });
    let starts = |byte: &u8| byte.is_ascii_digit() || *byte == b'.';
    exponent_is_valid
        && mantissa.as_bytes().first().is_some_and(starts)
        && mantissa.contains(|character: char| character.is_ascii_digit())
        && mantissa
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'_' || byte == b'.')
        && mantissa.matches('.').count() <= 1
}

/// `190:20:30`: a number to the base 60 in YAML 1.1.
fn is_sexagesimal(text: &str) -> bool {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut groups = whole.split(':');
    let first = groups.next().is_some_and(|group| {
        group.starts_with(|first: char| first.is_ascii_digit()) && is_digits(group)
    });
    let group = |group: &str| {
        (1..=2).contains(&group.len()) && group.parse::<u8>().is_ok_and(|value| value < 60)
    };
    first && whole.contains(':') && groups.all(group) && is_digits(fraction)
}

fn is_digits(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'_')
}

/// `2001-12-14`, alone or with a time behind it.
fn is_date(text: &str) -> bool {
    let mut parts = text.splitn(3, '-');
    let digits = |part: &str, lengths: std::ops::RangeInclusive<usize>| {
        lengths.contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    let year = parts.next().is_some_and(|part| digits(part, 4..=4));
    let month = parts.next().is_some_and(|part| digits(part, 1..=2));
    let Some(rest) = parts.next() else {
        return false;
    };
    let (day, time) = match rest.find(['T', 't', ' ', '\t']) {
        Some(end) => rest.split_at(end),
        None => (rest, ""),
    };
    let in_time = |byte: u8| byte.is_ascii_digit() || b"TtZz:.+- \t".contains(&byte);
    year && month && digits(day, 1..=2) && time.bytes().all(in_time)
}

/// A value without the final line break of a block scalar, which belongs to the style and not to the image.
pub(super) fn trimmed(value: &str, style: ScalarStyle) -> &str {
    match style {
        ScalarStyle::Literal | ScalarStyle::Folded => value.trim_end_matches('\n'),
        _ => value,
    }
}

/// The bytes of a scalar that a new value replaces, and whether it cannot be replaced at all.
///
/// The parser's span of a block scalar reaches to the next key, so of a single line only its text is replaced. Several
/// lines would have to be reflowed, which is refused.
pub(super) fn editable(
    text: &str,
    span: &Range<usize>,
    value: &str,
    style: ScalarStyle,
) -> (Range<usize>, bool) {
    if !matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
        return (span.clone(), false);
    }
    let is_one_line = !value.contains(['\n', '\r'])
        && text[span.clone()]
            .strip_prefix(value)
            .is_some_and(|end| end.trim().is_empty());
    if is_one_line {
        (span.start..span.start + value.len(), false)
    } else {
        (span.clone(), true)
    }
}

/// Whether the bytes of a value hold an expression that something else fills in.
#[must_use]
pub fn holds_expression(raw: &str) -> bool {
    let is_variable = |(at, _)| is_variable(&raw[at + 1..]);
    let mut openings = EXPRESSIONS.iter().map(|(opening, _)| opening);
    openings.any(|opening| raw.contains(opening)) || raw.match_indices('$').any(is_variable)
}

/// What stands in a value before its first expression.
#[must_use]
pub fn before_expression(raw: &str) -> &str {
    let openings = EXPRESSIONS
        .iter()
        .filter_map(|(opening, _)| raw.find(opening));
    let mut variables = raw.match_indices('$').map(|(at, _)| at);
    let variable = variables.find(|at| is_variable(&raw[at + 1..]));
    let end = openings.chain(variable).min().unwrap_or(raw.len());
    &raw[..end]
}

/// The path behind the expression that a value begins with: `team/job:1` of `${REGISTRY}/team/job:1`.
pub(super) fn behind_expression(raw: &str) -> Option<&str> {
    let closing = raw.rfind(['}', ')', '>', ']']).map(|at| at + 1);
    let end = closing.or_else(|| raw.find('/'))?;
    let begins = before_expression(raw).is_empty();
    let path = raw[end..].strip_prefix('/')?;
    (begins && !holds_expression(path)).then_some(path)
}

/// How expressions begin and end.
pub const EXPRESSIONS: &[(&str, &str)] = &[
    ("{{", "}}"),
    ("{%", "%}"),
    ("${", "}"),
    ("$(", ")"),
    ("<%", "%>"),
    ("[[", "]]"),
];

/// Whether what follows a `$` is the name of a variable.
fn is_variable(behind: &str) -> bool {
    behind.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
}

/// What to write over a scalar's bytes for the value `new`.
pub(super) fn encoded(style: ScalarStyle, new: &str, plain: Plain) -> String {
    match style {
        ScalarStyle::Plain if is_safe_plain(new) && plain == Plain::IfSafe => new.to_owned(),
        ScalarStyle::Plain | ScalarStyle::DoubleQuoted => {
            let escaped = new.replace('\\', "\\\\").replace('"', "\\\"");
            format!("\"{escaped}\"")
        }
        ScalarStyle::SingleQuoted => format!("'{}'", new.replace('\'', "''")),
        ScalarStyle::Literal | ScalarStyle::Folded => new.to_owned(),
    }
}

/// Whether `text` reads back as the same string without quotes, in block and in flow style.
fn is_safe_plain(text: &str) -> bool {
    let is_indicator = |first: char| "-?:#&*!|>'\"%@`".contains(first);
    plain_type(text).is_none()
        && !text.starts_with(is_indicator)
        && !text.ends_with(':')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b",[]{}".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_behind_an_expression_is_found() {
        for (raw, expected) in [
            ("${R}/a/b:1", Some("a/b:1")),
            ("{{ r }}/a/b", Some("a/b")),
            ("$R/a", Some("a")),
            ("{{ r }}-{{ s }}/a", Some("a")),
            ("{{ r }}a/b", None),
            ("h/{{ r }}/a", None),
            ("${R}/a:${T}", None),
            ("h/a", None),
            ("${R}", None),
        ] {
            assert_eq!(behind_expression(raw), expected, "{raw}");
        }
    }

    #[test]
    fn plain_scalars_that_are_no_strings_are_known() {
        let table = [
            ("", "null"),
            ("~", "null"),
            ("yes", "a boolean"),
            ("007", "a number"),
            ("1.10", "a number"),
            ("-1e5", "a number"),
            ("0x1F", "a number"),
            ("1_000", "a number"),
            ("12:30", "a number"),
            (".inf", "a number"),
            ("2001-12-14", "a date"),
            ("2001-12-14t21:59:43.10-05:00", "a date"),
            ("<<", "a YAML 1.1 indicator"),
        ];
        for (text, expected) in table {
            assert_eq!(plain_type(text), Some(expected), "{text}");
        }
        for text in [
            "job",
            "5000:1234567890123456",
            "12:75",
            "10.0.0.1:5000/x:1",
            "1.2.3",
            "0xyz",
            "e5",
            ".",
            "_1",
            "-",
            "1e",
            "2001-12-14-x",
            "ünïcödé",
        ] {
            assert_eq!(plain_type(text), None, "{text}");
        }
    }

    #[test]
    fn plain_stays_plain_only_where_it_reads_back() {
        for text in ["registry.example:5000/a/b:1e5", "a@sha256:00", "job"] {
            assert!(is_safe_plain(text), "{text}");
        }
        for text in [
            "", "1.10", "a:", "a b", "a,b", "*a", "- a", "a\nb", "{a", "ü",
        ] {
            assert!(!is_safe_plain(text), "{text}");
        }
    }

    #[test]
    fn the_style_is_kept() {
        let write = |style| encoded(style, "x:1", Plain::IfSafe);
        assert_eq!(write(ScalarStyle::Plain), "x:1");
        assert_eq!(write(ScalarStyle::SingleQuoted), "'x:1'");
        assert_eq!(write(ScalarStyle::DoubleQuoted), "\"x:1\"");
        assert_eq!(write(ScalarStyle::Folded), "x:1");
        assert_eq!(
            encoded(ScalarStyle::SingleQuoted, "it's", Plain::IfSafe),
            "'it''s'"
        );
        assert_eq!(
            encoded(ScalarStyle::Plain, "\"\\", Plain::IfSafe),
            r#""\"\\""#
        );
        assert_eq!(encoded(ScalarStyle::Plain, "12", Plain::IfSafe), "\"12\"");
        assert_eq!(encoded(ScalarStyle::Plain, "x:1", Plain::Never), "\"x:1\"");
    }

    #[test]
    fn a_block_scalar_of_one_line_is_replaced_without_its_end() {
        let text = "a\r\n  b";
        let of = |span, value| editable(text, &span, value, ScalarStyle::Folded);
        assert_eq!(of(0..5, "a"), (0..1, false));
        assert_eq!(of(0..6, "a b"), (0..6, true));
        assert_eq!(
            editable(text, &(0..6), "x", ScalarStyle::Plain),
            (0..6, false)
        );
    }
}
