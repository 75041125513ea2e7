//! Words, flags and variables in the syntax of Dockerfiles.

use std::ops::Range;

/// What a variable is known to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Variable {
    /// No `ARG` or `ENV` names it.
    Undeclared,
    /// It is declared, but its value is not known.
    NoValue,
    /// Whether it has a value is not known.
    Unknown,
    /// Its value.
    Value(String),
}

/// Why a text cannot be expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unexpanded {
    /// The variable is not declared.
    Undeclared(String),
    /// The variable is declared without a value.
    NoValue(String),
    /// `${X/a/b}` and the like, or a missing `}`.
    Unsupported(String),
}

/// A flag `--name=value`; its ranges are offsets in the text that was split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flag {
    pub(super) name: String,
    /// Without quotes.
    pub(super) value: Option<String>,
    /// With quotes.
    pub(super) value_range: Range<usize>,
}

/// Words between white space; quotes have no meaning.
pub(super) fn plain_words(text: &str) -> Vec<Range<usize>> {
    let mut words = Vec::new();
    let mut start = None;
    for (offset, character) in text.char_indices() {
        match (character.is_ascii_whitespace(), start) {
            (true, Some(begin)) => {
                words.push(begin..offset);
                start = None;
            }
            (false, None) => start = Some(offset),
            _ => {}
        }
    }
    words.extend(start.map(|begin| begin..text.len()));
    words
}

/// Words between white space that is neither quoted nor escaped.
pub(super) fn quoted_words(text: &str, escape: char) -> impl Iterator<Item = Range<usize>> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let word = next_word(text, from, escape)?;
        from = word.end;
        Some(word)
    })
}

fn next_word(text: &str, from: usize, escape: char) -> Option<Range<usize>> {
    let rest = text[from..].trim_ascii_start();
    let start = text.len() - rest.len();
    let mut quote = None;
    let mut escaped = false;
    for (offset, character) in rest.char_indices() {
        if escaped {
            escaped = false;
        } else if character == escape && quote != Some('\'') {
            escaped = true;
        } else if quote == Some(character) {
            quote = None;
        } else if quote.is_none() && matches!(character, '"' | '\'') {
            quote = Some(character);
        } else if quote.is_none() && character.is_ascii_whitespace() {
            return Some(start..start + offset);
        }
    }
    (!rest.is_empty()).then_some(start..text.len())
}

/// The leading flags of an instruction, and the text after them.
pub(super) fn flags(text: &str) -> (Vec<Flag>, &str) {
    let mut flags = Vec::new();
    for word in quoted_words(text, '\\') {
        let written = &text[word.clone()];
        let Some(flag) = written.strip_prefix("--") else {
            return (flags, &text[word.start..]);
        };
        if flag.is_empty() {
            return (flags, text[word.end..].trim_start());
        }
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(unquoted(value, '\\'))),
            None => (flag, None),
        };
        flags.push(Flag {
            name: name.to_owned(),
            value,
            value_range: (word.start + 2 + name.len() + 1).min(word.end)..word.end,
        });
    }
    (flags, "")
}

/// The strings of a JSON list, if the text is one.
pub(super) fn json_list(text: &str) -> Option<Vec<String>> {
    text.starts_with('[')
        .then(|| serde_json::from_str(text).ok())
        .flatten()
}

/// The sources and the destination of a `COPY` or an `ADD` in either form, each with its range in the text unless it
/// has escapes.
pub(super) fn paths(text: &str) -> Vec<(String, Option<Range<usize>>)> {
    let Some(list) = json_list(text) else {
        let words = plain_words(text).into_iter();
        return words
            .map(|word| (text[word.clone()].to_owned(), Some(word)))
            .collect();
    };
    let mut ranges = quoted_ranges(text).into_iter();
    let with_range = |string: String| {
        let range = ranges.next().filter(|range| text[range.clone()] == string);
        (string, range)
    };
    list.into_iter().map(with_range).collect()
}

/// The ranges between the quotes of a JSON list's strings.
pub(super) fn quoted_ranges(list: &str) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let (mut begin, mut escaped) = (None, false);
    for (offset, character) in list.char_indices() {
        match (character, begin) {
            _ if escaped => escaped = false,
            ('\\', _) => escaped = true,
            ('"', Some(begun)) => {
                ranges.push(begun..offset);
                begin = None;
            }
            ('"', None) => begin = Some(offset + 1),
            _ => {}
        }
    }
    ranges
}

/// The text without quotes and escapes, variables left as they are.
pub(super) fn unquoted(text: &str, escape: char) -> String {
    let mut result = String::with_capacity(text.len());
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character == escape && quote != Some('\'') {
            result.extend(characters.next());
        } else if quote == Some(character) {
            quote = None;
        } else if quote.is_none() && matches!(character, '"' | '\'') {
            quote = Some(character);
        } else {
            result.push(character);
        }
    }
    result
}

/// The assignments of an `ENV`, in either form.
pub(super) fn environment(arguments: &str, escape: char) -> Vec<(String, Option<String>)> {
    let assignments = assignments(arguments, escape);
    let is_old_form = assignments
        .first()
        .is_some_and(|(_, value)| value.is_none());
    if !is_old_form {
        return assignments;
    }
    let (name, value) = arguments
        .split_once(|character: char| character.is_ascii_whitespace())
        .unwrap_or((arguments, ""));
    vec![(name.to_owned(), Some(value.trim().to_owned()))]
}

/// `NAME=value` and `NAME` words of an `ARG`, or of an `ENV` in its newer form.
pub(super) fn assignments(text: &str, escape: char) -> Vec<(String, Option<String>)> {
    let split = |word: Range<usize>| match text[word.clone()].split_once('=') {
        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
        None => (text[word].to_owned(), None),
    };
    quoted_words(text, escape).map(split).collect()
}

/// Expands quotes, escapes, `$X`, `${X}`, `${X:-y}`, `${X-y}`, `${X:+y}`, `${X+y}`, `${X:?}` and `${X?}`.
pub(super) fn expand(
    text: &str,
    escape: char,
    lookup: &dyn Fn(&str) -> Variable,
) -> Result<String, Unexpanded> {
    let mut result = String::with_capacity(text.len());
    let mut quote = None;
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        rest = &rest[character.len_utf8()..];
        if character == escape && quote != Some('\'') {
            let next = rest.chars().next();
            let keeps = quote == Some('"')
                && !next.is_some_and(|next| matches!(next, '"' | '$') || next == escape);
            if keeps || next.is_none() {
                result.push(escape);
            }
            result.extend(next);
            rest = &rest[next.map_or(0, char::len_utf8)..];
        } else if quote == Some(character) {
            quote = None;
        } else if quote.is_none() && matches!(character, '"' | '\'') {
            quote = Some(character);
        } else if character == '$' && quote != Some('\'') {
            let (value, after) = expand_variable(rest, escape, lookup)?;
            result.push_str(&value);
            rest = after;
        } else {
            result.push(character);
        }
    }
    Ok(result)
}

/// Expands what follows a `$`, and returns the rest of the text as well.
fn expand_variable<'a>(
    text: &'a str,
    escape: char,
    lookup: &dyn Fn(&str) -> Variable,
) -> Result<(String, &'a str), Unexpanded> {
    let unsupported =
        || Unexpanded::Unsupported(format!("${}", text.chars().take(40).collect::<String>()));
    let Some(braced) = text.strip_prefix('{') else {
        let end = name_end(text);
        return match (end, text.chars().next()) {
            (0, Some(special)) if special.is_ascii_digit() || "@*#?-!".contains(special) => {
                Err(unsupported())
            }
            (0, _) => Ok(("$".to_owned(), text)),
            _ => Ok((plain(&text[..end], lookup)?, &text[end..])),
        };
    };
    let (name, modifier) = braced.split_at(name_end(braced));
    let close = closing_brace(modifier, escape).ok_or_else(unsupported)?;
    let (modifier, after) = (&modifier[..close], &modifier[close + 1..]);
    if name.is_empty() {
        return Err(unsupported());
    }
    if modifier.is_empty() {
        return Ok((plain(name, lookup)?, after));
    }
    let (colon, operator) = modifier
        .strip_prefix(':')
        .map_or((false, modifier), |rest| (true, rest));
    let mut letters = operator.chars();
    let (operator, word) = (letters.next(), letters.as_str());
    let value = match lookup(name) {
        Variable::Value(value) => Some(value).filter(|value| !colon || !value.is_empty()),
        Variable::Undeclared | Variable::NoValue => None,
        Variable::Unknown => return Err(Unexpanded::NoValue(name.to_owned())),
    };
    let value = match (operator, value) {
        (Some('-'), None) | (Some('+'), Some(_)) => expand(word, escape, lookup)?,
        (Some('-' | '?'), Some(value)) => value,
        (Some('+'), None) => String::new(),
        (Some('?'), None) => return Err(Unexpanded::NoValue(name.to_owned())),
        _ => return Err(unsupported()),
    };
    Ok((value, after))
}

fn plain(name: &str, lookup: &dyn Fn(&str) -> Variable) -> Result<String, Unexpanded> {
    match lookup(name) {
        Variable::Value(value) => Ok(value),
        Variable::NoValue | Variable::Unknown => Err(Unexpanded::NoValue(name.to_owned())),
        Variable::Undeclared => Err(Unexpanded::Undeclared(name.to_owned())),
    }
}

fn name_end(text: &str) -> usize {
    let part = |(index, byte): (usize, u8)| {
        byte == b'_' || byte.is_ascii_alphabetic() || (index > 0 && byte.is_ascii_digit())
    };
    text.bytes()
        .enumerate()
        .take_while(|&item| part(item))
        .count()
}

fn closing_brace(text: &str, escape: char) -> Option<usize> {
    let mut depth = 0_usize;
    let mut escaped = false;
    for (offset, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            _ if character == escape => escaped = true,
            '{' => depth += 1,
            '}' if depth == 0 => return Some(offset),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Variable {
        match name {
            "X" => Variable::Value("x".to_owned()),
            "EMPTY" => Variable::Value(String::new()),
            "BARE" => Variable::NoValue,
            "MAYBE" => Variable::Unknown,
            _ => Variable::Undeclared,
        }
    }

    #[test]
    fn variables_expand_as_docker_does() {
        for (text, wanted) in [
            ("a$X/b", "ax/b"),
            ("${X}y", "xy"),
            ("${EMPTY:-d}", "d"),
            ("${EMPTY-d}", ""),
            ("${BARE:-d}", "d"),
            ("${NOT:-${X}z}", "xz"),
            ("${X:+y}", "y"),
            ("${NOT+y}", ""),
            ("${X:?must}", "x"),
            ("'$X'\"$X\"", "$Xx"),
            ("\\$X", "$X"),
            ("\"a\\b\"", "a\\b"),
            ("a$", "a$"),
            ("a$/b", "a$/b"),
        ] {
            assert_eq!(expand(text, '\\', &lookup), Ok(wanted.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_not_known_is_not_guessed() {
        let undeclared = Unexpanded::Undeclared("NOT".to_owned());
        assert_eq!(expand("a${NOT}", '\\', &lookup), Err(undeclared));
        assert_eq!(
            expand("$BARE", '\\', &lookup),
            Err(Unexpanded::NoValue("BARE".to_owned()))
        );
        for text in [
            "$MAYBE",
            "${MAYBE:-d}",
            "${MAYBE-d}",
            "${MAYBE:+d}",
            "${MAYBE+}",
        ] {
            let unknown = Err(Unexpanded::NoValue("MAYBE".to_owned()));
            assert_eq!(expand(text, '\\', &lookup), unknown, "{text}");
        }
        for text in ["${X", "${X/a/b}", "${X%y}", "${}", "$1"] {
            assert!(
                matches!(expand(text, '\\', &lookup), Err(Unexpanded::Unsupported(_))),
                "{text}"
            );
        }
    }

    #[test]
    fn flags_end_at_the_first_other_word() {
        let text = "--from=a --chown=\"b c\" --link src --x dst";
        let (found, rest) = flags(text);
        assert_eq!(rest, "src --x dst");
        let names: Vec<&str> = found.iter().map(|flag| &*flag.name).collect();
        assert_eq!(names, ["from", "chown", "link"]);
        assert_eq!(found[1].value.as_deref(), Some("b c"));
        assert_eq!(&text[found[0].value_range.clone()], "a");
        assert!(text[found[2].value_range.clone()].is_empty());
        assert_eq!(flags("-- --src").1, "--src");
    }
}
