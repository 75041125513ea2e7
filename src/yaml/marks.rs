//! Marks: `# sparkpack: job` after a value, for places that are not in the table and for files that are not YAML yet.

use std::{ops::Range, path::Path};

use granit_parser::ScalarStyle;

use super::{comment::comment_start, no_comment::NoComment, scalar};
use crate::{
    code::Code,
    project::place::{Defect, Place, nearest},
};

/// The first word of a mark, after its `#`.
const WORD: &str = "sparkpack:";

/// A mark, and the value on its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// Where the value stands.
    pub(super) place: Place,
    /// The bytes of the value, with its quotes.
    pub(super) span: Range<usize>,
    pub(super) style: ScalarStyle,
    /// The value is the end of a longer one, as in `--image=VALUE`, and has no quotes of its own.
    pub(super) is_suffix: bool,
    pub(super) kind: MarkKind,
}

/// What a mark says of the value on its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum MarkKind {
    /// It is the image's reference, or a part of it.
    Image { image: String, part: ReferencePart },
    /// It is not to be changed.
    Ignore,
}

/// The part of a reference that a value holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReferencePart {
    Whole,
    Tag,
    Digest,
}

/// Whether a text may have marks.
pub(super) fn may_contain(text: &str) -> bool {
    text.contains(WORD)
}

/// The marks of a text in its order, and the defects of invalid ones (`E202`): a mark that names no image of the
/// project, or has no value on its line.
///
/// `is_comment` says whether a comment really begins at a byte: words in a block scalar can look like an invalid mark.
pub(super) fn marks(
    file: &Path,
    text: &str,
    images: &[&str],
    is_comment: &dyn Fn(usize) -> bool,
    no_comment: &dyn Fn(usize) -> Option<NoComment>,
) -> (Vec<Mark>, Vec<Defect>) {
    let (mut marks, mut defects) = (Vec::new(), Vec::new());
    let (mut offset, mut number) = (0, 0);
    for line in text.split_inclusive(['\n', '\r']) {
        // `\r\n` is one line break, not two.
        number += usize::from(line != "\n" || !text[..offset].ends_with('\r'));
        let line = TextLine {
            file,
            number,
            text: line,
            offset,
        };
        match line.mark(images, is_comment, no_comment) {
            Ok(mark) => marks.extend(mark),
            Err(defect) => defects.push(defect),
        }
        offset += line.text.len();
    }
    (marks, defects)
}

/// A line of a text.
struct TextLine<'t> {
    file: &'t Path,
    number: usize,
    text: &'t str,
    /// Bytes before it.
    offset: usize,
}

impl TextLine<'_> {
    fn mark(
        &self,
        images: &[&str],
        is_comment: &dyn Fn(usize) -> bool,
        no_comment: &dyn Fn(usize) -> Option<NoComment>,
    ) -> Result<Option<Mark>, Defect> {
        let Some((comment, words)) = comment(self.text) else {
            return Ok(None);
        };
        let before = &self.text[..comment];
        let bare = before.trim_start_matches('\u{feff}').trim();
        let kind = match mark_kind(words, images) {
            // A sentence that begins like a mark, or a block scalar's text.
            Err(_) if bare.is_empty() || !is_comment(self.offset + comment) => return Ok(None),
            Err(defect) => return Err(defect(self.place(comment))),
            Ok(kind) => kind,
        };
        if let Some(no_comment) = no_comment(self.offset + comment) {
            let (message, hint) = no_comment.of_mark();
            return Err(Defect::new(Code::E202, self.place(comment), message).hint(hint));
        }
        if bare.is_empty() {
            return Err(self.misplaced(comment, "this mark stands on a line without a value"));
        }
        match kind {
            MarkKind::Ignore if begins_value(bare) => {
                Err(self.misplaced(comment, "the value that this mark is for begins below it"))
            }
            MarkKind::Ignore => Ok(Some(Mark {
                place: self.place(0),
                span: self.offset..self.offset + comment,
                style: ScalarStyle::Plain,
                is_suffix: false,
                kind,
            })),
            MarkKind::Image { image, part } => self.of_image(comment, image, part).map(Some),
        }
    }

    fn of_image(&self, comment: usize, image: String, part: ReferencePart) -> Result<Mark, Defect> {
        let before = &self.text[..comment];
        let value = value(before, part).ok_or_else(|| no_value(before, self.place(comment)))?;
        let raw = &self.text[value.span.clone()];
        let more = match part {
            ReferencePart::Tag if raw.contains(['/', ':']) => Some("a tag"),
            ReferencePart::Digest if raw.contains('/') => Some("a digest"),
            _ => None,
        };
        if let Some(part) = more.filter(|_| !scalar::holds_expression(raw)) {
            let message = format!("`{raw}` is more than {part}");
            let defect = Defect::new(Code::E202, self.place(value.span.start), message);
            return Err(defect.hint(format!(
                "of a whole reference the mark is `# sparkpack: {image}`"
            )));
        }
        Ok(Mark {
            place: self.place(value.span.start),
            span: self.offset + value.span.start..self.offset + value.span.end,
            style: value.style,
            is_suffix: value.is_suffix,
            kind: MarkKind::Image { image, part },
        })
    }

    fn misplaced(&self, comment: usize, message: &str) -> Defect {
        Defect::new(Code::E202, self.place(comment), message)
            .hint("put it behind the value, on the same line")
    }

    fn place(&self, column: usize) -> Place {
        Place {
            file: self.file.to_owned(),
            line: self.number,
            column: self.text[..column].chars().count() + 1,
        }
    }
}

/// Whether the value of a line begins on the next one: it ends with a key, a dash or the head of a block scalar.
fn begins_value(bare: &str) -> bool {
    let word = bare.rsplit(char::is_whitespace).next().unwrap_or_default();
    let is_head = word.starts_with(['|', '>'])
        && word[1..]
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b"+-".contains(&byte));
    word.ends_with(':') || word == "-" || is_head
}

/// The defect that no value stands before the mark at `place`.
fn no_value(before: &str, place: Place) -> Defect {
    if scalar::holds_expression(before) {
        return expression_defect(place);
    }
    let message = "no single value stands before this mark";
    Defect::new(Code::E202, place, message).hint(
        "give the value a line of its own, with no anchor or tag: `KEY: VALUE  # sparkpack: IMAGE`",
    )
}

/// The defect that a template engine fills in the value at `place`.
pub(super) fn expression_defect(place: Place) -> Defect {
    let message = "the value before this mark holds an expression, which something else fills in";
    Defect::new(Code::E203, place, message).hint(
        "write the part that sparkpack is to change as a value of its own, or remove the mark",
    )
}

/// Where the mark's comment begins, and its words.
fn comment(line: &str) -> Option<(usize, &str)> {
    let start = comment_start(line)?;
    let word = start + line[start..].find(WORD)?;
    let before = line[start..word].trim_end().strip_suffix('#')?;
    // The mark of a line that is commented out counts once the line is used again.
    let is_out = !before.trim().is_empty() && line[..start].trim().is_empty();
    (!is_out).then(|| (start, line[word + WORD.len()..].trim()))
}

type DefectAt = Box<dyn Fn(Place) -> Defect>;

fn mark_kind(words: &str, images: &[&str]) -> Result<MarkKind, DefectAt> {
    let words: Vec<&str> = words.split_whitespace().collect();
    let (image, part) = match words.as_slice() {
        ["ignore"] => return Ok(MarkKind::Ignore),
        [image] => (*image, ReferencePart::Whole),
        [image, "tag"] => (*image, ReferencePart::Tag),
        [image, "digest"] => (*image, ReferencePart::Digest),
        _ => {
            let message = format!("`{}` is no mark", words.join(" "));
            return Err(Box::new(move |place| {
                Defect::new(Code::E202, place, message.clone()).hint(
                    "write `# sparkpack: IMAGE`, `# sparkpack: IMAGE tag`, `# sparkpack: IMAGE digest` or `# sparkpack: ignore`",
                )
            }));
        }
    };
    if images.contains(&image) {
        let image = image.to_owned();
        return Ok(MarkKind::Image { image, part });
    }
    let message = format!("this mark names `{image}`, and the project has no such image");
    let hint = nearest(image, images.iter().copied()).map_or_else(
        || format!("the images are {}", images.join(", ")),
        |near| format!("did you mean `{near}`?"),
    );
    Err(Box::new(move |place| {
        Defect::new(Code::E202, place, message.clone()).hint(hint.clone())
    }))
}

/// A value on a line.
struct LineValue {
    span: Range<usize>,
    style: ScalarStyle,
    is_suffix: bool,
}

/// The value that ends a line: quoted or one word, alone or behind `KEY:`, `-`, `KEY=` and the like.
///
/// The rewrite of a template cannot be proved by parsing it, so only what is certainly a value counts as one.
fn value(line: &str, part: ReferencePart) -> Option<LineValue> {
    let bare = line.trim_end();
    let has_comment = [" #", "\t#"].iter().any(|comment| bare.contains(comment));
    // In code, the end of a call or a list may follow the value.
    let closed = bare.trim_end_matches(|behind: char| ",)]};".contains(behind) || behind == ' ');
    let behind = &bare[closed.len()..];
    let value = match closed.chars().next_back()? {
        _ if has_comment => None,
        '"' => quoted(closed, '"', ScalarStyle::DoubleQuoted),
        '\'' => quoted(closed, '\'', ScalarStyle::SingleQuoted),
        _ => plain(closed, behind, part),
    }?;
    // With several values on a line, it is not clear which one the mark is for.
    let is_in_collection = behind.contains(['}', ']']);
    let may_be_other = line[..value.span.start].contains('/')
        || is_in_collection && !line[value.span.clone()].contains(['/', ':']);
    (part != ReferencePart::Whole || !may_be_other).then_some(value)
}

fn quoted(closed: &str, quote: char, style: ScalarStyle) -> Option<LineValue> {
    let end = closed.len();
    let start = closed[..end - 1].rfind(quote)?;
    // A quote within quotes, or a prefixed string of code: `f"…"`.
    let is_no_opening =
        |before: char| before == '\\' || before == quote || before.is_alphanumeric();
    if closed[..start].ends_with(is_no_opening) {
        return None;
    }
    let inside = &closed[start + 1..end - 1];
    let last = last_word(inside);
    let is_whole = last == 0 || scalar::holds_expression(inside);
    let span = if is_whole {
        start..end
    } else {
        start + 1 + last..end - 1
    };
    let is_value = is_whole || separates(&inside[..last]) && is_word(&inside[last..]);
    is_value.then_some(LineValue {
        span,
        style,
        is_suffix: !is_whole,
    })
}

fn plain(closed: &str, behind: &str, part: ReferencePart) -> Option<LineValue> {
    let start = last_word(closed);
    let (before, word) = closed.split_at(start);
    let is_open = before.matches("{{").count() > before.matches("}}").count();
    // In a call in code, a word without quotes is not a string.
    if is_open || behind.contains([')', ';']) || !is_word(word) || !separates(before) {
        return None;
    }
    let is_assigned = before.trim_end().ends_with('=');
    let may_be_name = is_assigned || !behind.is_empty();
    if part == ReferencePart::Whole && may_be_name && !word.contains(['/', ':']) {
        return None;
    }
    Some(LineValue {
        span: start..closed.len(),
        style: ScalarStyle::Plain,
        is_suffix: is_assigned,
    })
}

/// Where the characters that a reference can have begin at a text's end.
fn last_word(text: &str) -> usize {
    let is_suffix = |character: char| {
        character.is_ascii_alphanumeric() || character == '~' || "._-/:@".contains(character)
    };
    text.trim_end_matches(is_suffix).len()
}

fn is_word(word: &str) -> bool {
    let has_letters = word.contains(|character: char| character.is_ascii_alphanumeric());
    (has_letters || word == "~") && !word.ends_with(':')
}

/// Whether a value can begin after `before`.
fn separates(before: &str) -> bool {
    let glued = ['&', '*', '!'];
    if before.ends_with(glued) {
        return false;
    }
    let mut before = before.trim_end();
    while let Some((rest, property)) = before.rsplit_once(char::is_whitespace)
        && property.starts_with(['&', '!'])
    {
        before = rest.trim_end();
    }
    before.is_empty() || before.ends_with([':', '-', '[', '{', '(', ',', '='])
}
