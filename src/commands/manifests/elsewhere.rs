//! References of the project's images that are not current and stand where nothing is rewritten.

use std::{ops::Range, path::Path};

use super::Wants;
use crate::{
    manifest::Located,
    project::{
        Project,
        place::{Defect, Place},
    },
};

/// What a text names of the project's images outside of its places, and under a tag that is not current.
pub(super) fn stale(
    project: &Project,
    wants: &Wants,
    file: &Path,
    text: &str,
    located: &Located,
) -> Vec<Defect> {
    let spans = located.spans();
    let words = words(text).filter_map(|range| {
        let word = &text[range.clone()];
        let written: crate::image::Reference = word.parse().ok()?;
        let image = project.naming.named(&written)?;
        let is_old = written.tag.is_some() && !wants.is_current(image, &written);
        let next = spans.get(spans.partition_point(|span| span.end <= range.start));
        let is_elsewhere = next.is_none_or(|span| span.start >= range.end);
        let is_meant = is_old && is_elsewhere && wants.is_meant(image);
        let is_silenced = || is_comment(text, range.start) || located.is_ignored(range.start);
        (is_meant && !is_silenced()).then(|| {
            let place = Place::of_offset(file, text, range.start);
            let message =
                format!("`{word}` is not current, and stands where sparkpack does not rewrite");
            Defect::new("W105", place, message).hint(format!(
                "put `# sparkpack: {image}` behind it, or `# sparkpack: ignore`; a kind's place is told by `[[places]]`"
            ))
        })
    });
    words.collect()
}

/// The pieces of a text that may be references: with a slash and a colon.
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

fn is_comment(text: &str, offset: usize) -> bool {
    let line_start = text[..offset].rfind('\n').map_or(0, |newline| newline + 1);
    let before = &text[line_start..offset];
    before.trim_start().starts_with('#') || before.contains(" #")
}
