//! Finds the tags of images whose tag an expression fills in: `HOST/PATH:{{inputs.parameters.tag}}`, with the tag as the
//! parameter's value elsewhere in the same document.

use std::{collections::HashSet, ops::Range};

use super::words::{is_for_people, is_whole, line_start};
use crate::{
    image::Repository,
    project::{ImageMatcher, template::UNBUILT},
    yaml::{EXPRESSIONS, before_expression},
};

/// The keys that hold the value of something named beside them or around them.
const VALUES: &[&str] = &["value", "default"];

/// How many lines a parameter has above and below its value at most.
const LINES_OF_PARAMETER: usize = 4;

/// A value in the form of the tags of a repository.
#[derive(Clone, Debug)]
pub(super) struct OwnTag {
    /// Its bytes in the text.
    pub(super) range: Range<usize>,
    /// What it is called, each in the form of [`plain`].
    names: Vec<String>,
}

/// What is known of the document that was looked at last.
#[derive(Debug, Default)]
pub(super) struct OwnTags {
    document: Range<usize>,
    /// By repository.
    tags: Vec<(Repository, Vec<OwnTag>)>,
    /// The repositories and expressions that were looked at.
    seen: HashSet<(Repository, String)>,
}

impl OwnTags {
    /// The values in the document around the byte `at` that may fill in `expression` behind `repository`: those of that
    /// name, else all. Nothing the second time.
    pub(super) fn of(
        &mut self,
        text: &str,
        at: usize,
        (repository, expression): (&Repository, &str),
        matcher: &ImageMatcher,
    ) -> (Vec<OwnTag>, bool) {
        if !self.document.contains(&at) {
            *self = Self {
                document: document(text, at),
                ..Self::default()
            };
        }
        if !self
            .seen
            .insert((repository.clone(), expression.to_owned()))
        {
            return (Vec::new(), false);
        }
        let known = self.tags.iter().position(|(known, _)| known == repository);
        let known = known.unwrap_or_else(|| {
            let tags = own_tags(text, &self.document, repository, matcher);
            self.tags.push((repository.clone(), tags));
            self.tags.len() - 1
        });
        let tags = &self.tags[known].1;
        let wanted = names_in(expression);
        let is_named = |tag: &&OwnTag| tag.names.iter().any(|name| wanted.contains(name));
        let named: Vec<OwnTag> = tags.iter().filter(is_named).cloned().collect();
        if named.is_empty() {
            (tags.clone(), false)
        } else {
            (named, true)
        }
    }
}

/// The expression at the beginning of a text, behind a `:`.
pub(super) fn expression_behind(behind: &str) -> Option<&str> {
    let line = behind.lines().next()?.strip_prefix(':')?;
    let line = line.trim_start_matches(':');
    if line.is_empty() || !before_expression(line).is_empty() {
        return None;
    }
    let closed = EXPRESSIONS.iter().find_map(|(opening, closing)| {
        let inside = line.strip_prefix(opening)?;
        let end = inside.find(closing)?;
        line.get(..opening.len() + end + closing.len())
    });
    let is_name = |part: char| part.is_ascii_alphanumeric() || "$_".contains(part);
    let name = || {
        let end = line.find(|part| !is_name(part)).unwrap_or(line.len());
        Some(&line[..end]).filter(|name| name.len() > 1)
    };
    closed.or_else(name)
}

/// Whether a byte stands within an expression that begins on its line.
pub(super) fn is_in_expression(text: &str, at: usize) -> bool {
    let before = &text[line_start(text, at)..at];
    EXPRESSIONS.iter().any(|(opening, closing)| {
        let inside = before.rsplit_once(opening);
        inside.is_some_and(|(_, inside)| !inside.contains(closing))
    })
}

/// Whether a word is part of a sentence for people, judging by the key of its line.
pub(super) fn is_in_sentence(text: &str, word: usize) -> bool {
    let before = &text[line_start(text, word)..word];
    let key = before.split_once(':').map_or("", |(key, _)| key);
    is_for_people(key.trim_matches(|part: char| !part.is_ascii_alphanumeric()))
}

/// The bytes of the document around a byte.
fn document(text: &str, at: usize) -> Range<usize> {
    let is_start = |found: &usize| {
        let behind = text.as_bytes().get(found + "\n---".len());
        behind.is_none_or(u8::is_ascii_whitespace)
    };
    let before = text[..at].rmatch_indices("\n---").map(|(found, _)| found);
    let behind = text[at..].match_indices("\n---");
    let mut behind = behind.map(|(found, _)| at + found);
    let start = before.into_iter().find(is_start).unwrap_or(0);
    start..behind.find(is_start).unwrap_or(text.len())
}

/// The values of a document in the form of the tags of a repository.
fn own_tags(
    text: &str,
    document: &Range<usize>,
    repository: &Repository,
    matcher: &ImageMatcher,
) -> Vec<OwnTag> {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-/:@$".contains(byte);
    let bytes = &text.as_bytes()[..document.end];
    let mut tags = Vec::new();
    let mut at = document.start;
    while let Some(begun) = bytes[at..].iter().position(is_part) {
        let start = at + begun;
        let length = bytes[start..].iter().position(|byte| !is_part(byte));
        let end = length.map_or(bytes.len(), |length| start + length);
        at = end;
        // The default of a variable: `${TAG:-x}`.
        let word = &text[start..end];
        let word = word.rsplit_once(":-").map_or(word, |(_, default)| default);
        let range = end - word.len()..end;
        if matcher.is_own_tag(repository, word) && (word != UNBUILT || is_whole(text, &range)) {
            let names = names_of(text, &range);
            tags.push(OwnTag { range, names });
        }
    }
    tags
}

/// The last parts of the names in an expression: `tag` of `{{inputs.parameters.tag}}`.
fn names_in(expression: &str) -> Vec<String> {
    let is_part = |part: char| part.is_ascii_alphanumeric() || "_-".contains(part);
    let is_path = |part: char| is_part(part) || part == '.';
    let paths = expression.split(|part| !is_path(part));
    let names = paths.filter_map(|path| path.rsplit('.').next());
    names.map(plain).filter(|name| !name.is_empty()).collect()
}

/// What a value is called: by its key, or by the name beside it where the key is `value` or `default`.
fn names_of(text: &str, value: &Range<usize>) -> Vec<String> {
    let start = line_start(text, value.start);
    let before = &text[start..value.start];
    let key = last_name(before);
    if !VALUES.contains(&key.as_str()) {
        return vec![key];
    }
    let open = before.rfind('{');
    let region = match open {
        Some(open) => {
            let behind = &text[value.end..];
            let end = behind.find('}').unwrap_or(behind.len());
            &text[start + open..value.end + end]
        }
        None => parameter(text, value),
    };
    let around = open.map(|open| last_name(&before[..open]));
    names_in(region).into_iter().chain(around).collect()
}

/// The lines around a value that belong to the same item of a list, or to the same mapping.
fn parameter<'t>(text: &'t str, value: &Range<usize>) -> &'t str {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let is_item = |line: &str| line.trim_start().starts_with('-');
    let mut start = line_start(text, value.start);
    let own = &text[start..value.start];
    let column = indent(own);
    if !is_item(own) {
        for _ in 0..LINES_OF_PARAMETER {
            let Some(before) = start.checked_sub(1) else {
                break;
            };
            let above = line_start(text, before);
            let line = &text[above..before];
            start = above;
            if is_item(line) || indent(line) < column {
                break;
            }
        }
    }
    let mut end = value.end;
    for line in text[value.end..]
        .split_inclusive('\n')
        .take(LINES_OF_PARAMETER)
    {
        if end > value.end && (is_item(line) || indent(line) < column) {
            break;
        }
        end += line.len();
    }
    &text[start..end]
}

/// The name at the end of a text, in front of `:`, `=` or a space.
fn last_name(before: &str) -> String {
    let is_part = |part: char| part.is_ascii_alphanumeric() || "_-".contains(part);
    let before = before.trim_end_matches(|part| !is_part(part));
    let start = before.rfind(|part| !is_part(part)).map_or(0, |at| at + 1);
    plain(before.get(start..).unwrap_or_default())
}

/// A name without what is written differently from place to place.
fn plain(name: &str) -> String {
    let name = name.chars().filter(char::is_ascii_alphanumeric);
    name.map(|part| part.to_ascii_lowercase()).collect()
}
