//! Finds references to the project's images at places that sparkpack does not rewrite.

use std::{ops::Range, path::Path};

use super::expected::ExpectedReferences;
use crate::{
    code::Code,
    image::Reference,
    project::{
        Project,
        place::{Defect, Places},
    },
    yaml::{ImagePlace, Located, comment_start},
};

/// A reference to an image of the project at a place that sparkpack does not rewrite.
pub(crate) struct UnmanagedReference {
    pub(crate) image: String,
    /// Whether it is a whole value, which a program may use, and not only part of a text.
    pub(crate) is_whole: bool,
    /// The warning, if the reference is out of date and its image is part of this run.
    pub(crate) stale: Option<Defect>,
}

/// The references to the project's images in a text, except in comments, at the places that `is_rewritten` selects, and
/// where a mark says `ignore`.
pub(crate) fn unmanaged_references(
    project: &Project,
    expected: &ExpectedReferences,
    (file, text): (&Path, &str),
    located: &Located,
    is_rewritten: &dyn Fn(&ImagePlace) -> bool,
) -> Vec<UnmanagedReference> {
    let rewritten = located.spans(is_rewritten);
    let others = located.spans(&|place| !is_rewritten(place));
    let mut places = Places::of(text);
    let mentions = words(text).filter_map(|range| {
        let word = &text[range.clone()];
        let written: Reference = word.parse().ok()?;
        let image = project.image_matcher.named(&written)?;
        let is_silenced = is_within(&rewritten, &range)
            || is_comment(text, range.start)
            || located.is_ignored(range.start);
        if is_silenced {
            return None;
        }
        let is_old = written.tag.is_some() && !expected.is_current(image, &written);
        let stale = (is_old && expected.is_meant(image)).then(|| {
            let place = places.at(file, range.start);
            let message =
                format!("`{word}` is not current, and stands where sparkpack does not rewrite");
            let hint = if is_within(&others, &range) {
                "let the value be this reference and nothing else, on one line".to_owned()
            } else {
                format!(
                    "put `# sparkpack: {image}` behind it, or `# sparkpack: ignore`; a kind's place is told by `[[places]]`"
                )
            };
            Defect::new(Code::W105, place, message).hint(hint)
        });
        Some(UnmanagedReference {
            image: image.to_owned(),
            is_whole: is_whole(text, &range) || is_within(&others, &range),
            stale,
        })
    });
    mentions.collect()
}

/// Whether a word overlaps one of the spans, which are in the order of the text.
fn is_within(spans: &[Range<usize>], word: &Range<usize>) -> bool {
    let next = spans.get(spans.partition_point(|span| span.end <= word.start));
    next.is_some_and(|span| span.start < word.end)
}

fn line_start(text: &str, offset: usize) -> usize {
    text[..offset].rfind(['\n', '\r']).map_or(0, |at| at + 1)
}

/// The words of a text that may be references: those with a slash and a colon.
fn words(text: &str) -> impl Iterator<Item = Range<usize>> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:@".contains(&byte);
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < bytes.len() {
            let begun = at + bytes[at..].iter().position(|byte| is_part(*byte))?;
            let length = bytes[begun..].iter().position(|byte| !is_part(*byte));
            let end = length.map_or(bytes.len(), |length| begun + length);
            at = end + 1;
            let word = &bytes[begun..end];
            if word.contains(&b'/') && word.contains(&b':') {
                return Some(begun..end);
            }
        }
        None
    })
}

/// Whether a word is a whole YAML value, judging by its line alone.
fn is_whole(text: &str, word: &Range<usize>) -> bool {
    let is_quote = |character: char| "'\"".contains(character);
    let line_start = text[..word.start]
        .rfind(['\n', '\r'])
        .map_or(0, |at| at + 1);
    let before = text[line_start..word.start]
        .trim_end_matches(is_quote)
        .trim_end();
    let behind = &text[word.end..];
    let line_end = behind.find(['\n', '\r']).unwrap_or(behind.len());
    let behind = behind[..line_end].trim_start_matches(is_quote);
    let ends = behind.trim().is_empty()
        || behind.trim_start().starts_with([',', ']', '}'])
        || behind.trim_start().starts_with('#') && behind.starts_with([' ', '\t']);
    ends && (before.is_empty() || before.ends_with([':', '-', '[', '{', ',', '=']))
}

fn is_comment(text: &str, offset: usize) -> bool {
    comment_start(&text[line_start(text, offset)..offset]).is_some()
}
