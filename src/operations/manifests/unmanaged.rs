//! Finds references to the project's images at places that sparkpack does not rewrite.

use std::{ops::Range, path::Path};

use super::expected::ExpectedReferences;
use crate::{
    code::Code,
    image::{Digest, Reference},
    project::{
        Mention, Project,
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
    /// What to say of it otherwise: it will be out of date after the next change.
    pub(crate) warning: Option<Defect>,
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
    let mut search = Search {
        project,
        expected,
        file,
        text,
        located,
        places: Places::of(text),
        rewritten: located.spans(is_rewritten),
        others: located.spans(&|place| !is_rewritten(place)),
    };
    words(text)
        .filter_map(|range| search.reference(range))
        .collect()
}

/// The search in one text.
struct Search<'a> {
    project: &'a Project,
    expected: &'a ExpectedReferences,
    file: &'a Path,
    text: &'a str,
    located: &'a Located,
    places: Places<'a>,
    /// The bytes of the places that are rewritten.
    rewritten: Vec<Range<usize>>,
    /// The bytes of all other places.
    others: Vec<Range<usize>>,
}

impl Search<'_> {
    /// The word as a reference to an image of the project that nothing rewrites or silences.
    fn reference(&mut self, word: Range<usize>) -> Option<UnmanagedReference> {
        let reference = without_scheme(self.text, &word);
        let mention = self
            .project
            .image_matcher
            .mention(&self.text[reference.clone()]);
        let Some(mention) = mention else {
            return self.broken(&word, &reference);
        };
        let written = match mention {
            Mention::Whole(written) => written,
            Mention::Bare(repository) => Reference {
                repository,
                tag: None,
                digest: digest(&self.text[reference.clone()]),
            },
            Mention::Path(_) => return None,
        };
        let image = self.project.image_matcher.named(&written)?.to_owned();
        if self.is_silenced(&word) {
            return None;
        }
        let is_whole = is_whole(self.text, &word) || is_within(&self.others, &word);
        let is_meant = self.expected.is_meant(&image);
        let found = UnmanagedReference {
            is_whole,
            stale: None,
            warning: None,
            image,
        };
        if !is_meant {
            return Some(found);
        }
        // A digest without a tag is that of some image of the past.
        if written.tag.is_some() || written.digest.is_some() {
            return Some(self.tagged(found, &written, reference));
        }
        if !is_whole {
            return Some(found);
        }
        Some(self.bare(found, &written, reference))
    }

    /// A value that begins with a repository of the project and is no reference: nothing runs it.
    fn broken(
        &mut self,
        word: &Range<usize>,
        reference: &Range<usize>,
    ) -> Option<UnmanagedReference> {
        let text = &self.text[reference.clone()];
        let image = self.project.image_matcher.broken(text)?.to_owned();
        let is_value = is_whole(self.text, word) || is_within(&self.others, word);
        if !is_value || self.is_silenced(word) {
            return None;
        }
        let place = self.places.at(self.file, reference.start);
        let message = format!(
            "`{text}` is no image reference: what stands behind the repository of `{image}` is no tag and no digest"
        );
        let defect = Defect::new(Code::W105, place, message)
            .hint("write the repository, `:` and a tag: `sparkpack pin` corrects the tag");
        let stale = self.expected.is_meant(&image).then_some(defect);
        Some(UnmanagedReference {
            is_whole: true,
            stale,
            warning: None,
            image,
        })
    }

    fn is_silenced(&self, word: &Range<usize>) -> bool {
        is_within(&self.rewritten, word)
            || is_comment(self.text, word.start)
            || self.located.is_ignored(word.start)
    }

    fn tagged(
        &mut self,
        found: UnmanagedReference,
        written: &Reference,
        word: Range<usize>,
    ) -> UnmanagedReference {
        let text = &self.text[word.clone()];
        let hint = self.hint(&found.image, &word);
        let place = self.places.at(self.file, word.start);
        if !self.expected.is_current(&found.image, written) {
            let message =
                format!("`{text}` is not current, and stands where sparkpack does not rewrite");
            let defect = Defect::new(Code::W105, place, message).hint(hint);
            return UnmanagedReference {
                stale: Some(defect),
                ..found
            };
        }
        let message = format!(
            "`{text}` is current, and stands where sparkpack does not rewrite: the next change leaves it behind"
        );
        let warning = found
            .is_whole
            .then(|| Defect::new(Code::W120, place, message).hint(hint));
        UnmanagedReference { warning, ..found }
    }

    /// A repository alone: its tag may stand elsewhere in the document.
    fn bare(
        &mut self,
        found: UnmanagedReference,
        written: &Reference,
        word: Range<usize>,
    ) -> UnmanagedReference {
        let text = &self.text[word.clone()];
        let apart = self.located.apart.iter();
        let mut tags = apart
            .filter(|image| image.span.start <= word.start && word.end <= image.span.end)
            .flat_map(|image| &image.tags);
        let is_current = |tag: &str| {
            let reference = written.repository.with_tag(tag);
            self.expected.is_current(&found.image, &reference)
        };
        let old = tags.clone().find(|(_, tag)| !is_current(tag));
        let image = &found.image;
        if let Some((place, tag)) = old {
            let message = format!(
                "`{tag}` seems to be the tag of `{text}`, is not current, and stands where sparkpack does not rewrite"
            );
            let hint = format!(
                "put `# sparkpack: {image} tag` behind it, or `# sparkpack: ignore` behind `{text}`"
            );
            let defect = Defect::new(Code::W105, place.clone(), message).hint(hint);
            return UnmanagedReference {
                stale: Some(defect),
                ..found
            };
        }
        let place = self.places.at(self.file, word.start);
        let message = match tags.next() {
            Some((at, tag)) => format!(
                "`{text}` seems to have its tag at {at}: `{tag}` is current, and stands where sparkpack does not rewrite"
            ),
            None => format!("`{text}` has no tag, and stands where sparkpack does not rewrite"),
        };
        let hint = match self.located.no_comment(self.file, self.text, word.start) {
            Some(no_comment) => no_comment.instead(image, text),
            None => format!(
                "put `# sparkpack: {image}` behind it if it is a whole reference, `# sparkpack: {image} tag` behind its tag, or `# sparkpack: ignore` behind it"
            ),
        };
        let warning = Some(Defect::new(Code::W120, place, message).hint(hint));
        UnmanagedReference { warning, ..found }
    }

    fn hint(&self, image: &str, word: &Range<usize>) -> String {
        if is_within(&self.others, word) {
            return "let the value be this reference and nothing else, on one line".to_owned();
        }
        match self.located.no_comment(self.file, self.text, word.start) {
            Some(no_comment) => no_comment.instead(image, &self.text[word.clone()]),
            None => format!(
                "put `# sparkpack: {image}` behind it, or `# sparkpack: ignore`; a kind's place is told by `[[places]]`"
            ),
        }
    }
}

/// The digest behind a reference.
fn digest(reference: &str) -> Option<Digest> {
    reference.rsplit_once('@')?.1.parse().ok()
}

/// The bytes of a word without a scheme before the reference, as in `docker://reg.example/job:1`, and without the end of
/// a sentence behind it.
fn without_scheme(text: &str, word: &Range<usize>) -> Range<usize> {
    let inside = &text[word.clone()];
    let start = inside.find("://").map_or(0, |at| at + "://".len());
    let end = inside.trim_end_matches(['.', ':', '/']).len();
    word.start + start..word.start + end.max(start)
}

/// Whether a word overlaps one of the spans, which are in the order of the text.
fn is_within(spans: &[Range<usize>], word: &Range<usize>) -> bool {
    let next = spans.get(spans.partition_point(|span| span.end <= word.start));
    next.is_some_and(|span| span.start < word.end)
}

fn line_start(text: &str, offset: usize) -> usize {
    text[..offset].rfind(['\n', '\r']).map_or(0, |at| at + 1)
}

/// The words of a text that may be references: those with a slash.
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
            if word.contains(&b'/') {
                return Some(begun..end);
            }
        }
        None
    })
}

/// Whether a word is a whole YAML value, judging by its line alone.
fn is_whole(text: &str, word: &Range<usize>) -> bool {
    let is_quote = |character: char| "'\"".contains(character);
    let before = &text[line_start(text, word.start)..word.start];
    // In quotes, a line may begin behind an escape.
    let before = before.rsplit("\\n").next().unwrap_or_default();
    let before = before.trim_end_matches(is_quote).trim_end();
    let before = without_properties(before);
    let behind = &text[word.end..];
    let line_end = behind.find(['\n', '\r']).unwrap_or(behind.len());
    let behind = behind[..line_end].split("\\n").next().unwrap_or_default();
    let behind = behind.trim_start_matches(is_quote);
    // A command may go on in the next line.
    let ends = matches!(behind.trim(), "" | "\\")
        || behind.trim_start().starts_with([',', ']', '}'])
        || behind.trim_start().starts_with('#') && behind.starts_with([' ', '\t']);
    ends && (before.is_empty() || before.ends_with([':', '-', '[', '{', ',', '=']))
}

/// A line's beginning without the anchor and the tag of the value that follows: `a: &x !!str`.
fn without_properties(before: &str) -> &str {
    let mut before = before;
    while let Some((rest, last)) = before.rsplit_once(char::is_whitespace)
        && last.starts_with(['&', '!'])
    {
        before = rest.trim_end();
    }
    before
}

fn is_comment(text: &str, offset: usize) -> bool {
    comment_start(&text[line_start(text, offset)..offset]).is_some()
}
