//! Marks: `# sparkpack: job` behind a value, for places that no table has and for files that are not YAML yet.

use std::{ops::Range, path::Path};

use super::scalar;
use crate::project::place::{Defect, Place, nearest};

/// What a mark begins with, behind its `#`.
const WORD: &str = "sparkpack:";

/// A mark, and the value on its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// Of the value.
    pub(super) place: Place,
    /// The bytes of the value, with its quotes.
    pub(super) span: Range<usize>,
    pub(super) says: Says,
}

/// What a mark says of the value on its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Says {
    /// It is the image's reference, or a part of it.
    Image { image: String, part: Part },
    /// It is not to be changed.
    Ignore,
}

/// What of a reference the value holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    Tag,
    Digest,
}

/// Whether a text may have marks.
pub(super) fn may_have(text: &str) -> bool {
    text.contains(WORD)
}

/// The marks of a text, in its order, and what is wrong with others: they name no image of the project, or there is no
/// value on their line (`E202`).
pub(super) fn marks(file: &Path, text: &str, images: &[&str]) -> (Vec<Mark>, Vec<Defect>) {
    let mut all = (Vec::new(), Vec::new());
    if !may_have(text) {
        return all;
    }
    let mut offset = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let at = |column: usize| Place {
            file: file.to_owned(),
            line: number + 1,
            column: line[..column].chars().count() + 1,
        };
        match mark(line, offset, &at, images) {
            Ok(mark) => all.0.extend(mark),
            Err(defect) => all.1.push(defect),
        }
        offset += line.len();
    }
    all
}

/// The mark of the line that begins at `offset`, if it has one; `at` gives the place of a byte of it.
fn mark(
    line: &str,
    offset: usize,
    at: &dyn Fn(usize) -> Place,
    images: &[&str],
) -> Result<Option<Mark>, Defect> {
    let Some((comment, words)) = comment(line) else {
        return Ok(None);
    };
    let before = line[..comment].trim_start_matches('\u{feff}').trim();
    let says = match says(words, images) {
        // A sentence that begins like one.
        Err(_) if before.is_empty() => return Ok(None),
        Err(defect) => return Err(defect(at(comment))),
        Ok(says) => says,
    };
    if before.is_empty() {
        let message = "this mark stands on a line without a value";
        let defect = Defect::new("E202", at(comment), message);
        return Err(defect.hint("put it behind the value, on the same line"));
    }
    let span = match &says {
        Says::Ignore => 0..comment,
        Says::Image { part, .. } => {
            value(&line[..comment], *part).ok_or_else(|| no_value(&line[..comment], at(comment)))?
        }
    };
    Ok(Some(Mark {
        place: at(span.start),
        span: offset + span.start..offset + span.end,
        says,
    }))
}

/// What is wrong where no value stands before the mark at `place`.
fn no_value(before: &str, place: Place) -> Defect {
    if scalar::holds_expression(before) {
        return of_expression(place);
    }
    let message = "no single value stands before this mark";
    Defect::new("E202", place, message).hint(
        "give the value a line of its own, with no anchor or tag: `KEY: VALUE  # sparkpack: IMAGE`",
    )
}

/// What is wrong where a template engine fills in the value at `place`.
pub(super) fn of_expression(place: Place) -> Defect {
    let message = "the value before this mark holds an expression, which something else fills in";
    Defect::new("E203", place, message).hint(
        "write the part that sparkpack is to change as a value of its own, or remove the mark",
    )
}

/// Where the mark's comment begins, and its words.
fn comment(line: &str) -> Option<(usize, &str)> {
    let word = line.rfind(WORD)?;
    let before = line[..word].trim_end();
    let start = before.strip_suffix('#')?.len();
    let is_comment = line[..start]
        .chars()
        .next_back()
        .is_none_or(|character| character.is_whitespace() || character == '\u{feff}');
    is_comment.then(|| (start, line[word + WORD.len()..].trim()))
}

type DefectAt = Box<dyn Fn(Place) -> Defect>;

fn says(words: &str, images: &[&str]) -> Result<Says, DefectAt> {
    let words: Vec<&str> = words.split_whitespace().collect();
    let (image, part) = match words.as_slice() {
        ["ignore"] => return Ok(Says::Ignore),
        [image] => (*image, Part::Whole),
        [image, "tag"] => (*image, Part::Tag),
        [image, "digest"] => (*image, Part::Digest),
        _ => {
            let message = format!("`{}` is no mark", words.join(" "));
            return Err(Box::new(move |place| {
                Defect::new("E202", place, message.clone()).hint(
                    "write `# sparkpack: IMAGE`, `# sparkpack: IMAGE tag`, `# sparkpack: IMAGE digest` or `# sparkpack: ignore`",
                )
            }));
        }
    };
    if images.contains(&image) {
        let image = image.to_owned();
        return Ok(Says::Image { image, part });
    }
    let message = format!("this mark names `{image}`, and the project has no such image");
    let hint = nearest(image, images.iter().copied()).map_or_else(
        || format!("the images are {}", images.join(", ")),
        |near| format!("did you mean `{near}`?"),
    );
    Err(Box::new(move |place| {
        Defect::new("E202", place, message.clone()).hint(hint.clone())
    }))
}

/// The value that ends a line: quoted, or one word behind `KEY:`, `-` or `KEY=`.
///
/// Nothing where another value of the line may be meant: one with a slash before it, by a mark for a whole reference.
fn value(line: &str, part: Part) -> Option<Range<usize>> {
    let bare = line.trim_end();
    // Behind a value in quotes may stand what closes a call or a list.
    let is_closing = |last: char| last.is_whitespace() || ",)]};".contains(last);
    let quoted = bare.trim_end_matches(is_closing);
    let quote = quoted.chars().next_back();
    let quote = quote.filter(|last| "'\"".contains(*last));
    let span = if let Some(quote) = quote {
        let end = quoted.len();
        quoted[..end - 1].rfind(quote)?..end
    } else {
        let after = |separator: &str| bare.rfind(separator).map(|at| at + separator.len());
        let start = [after(": "), after(":\t"), after("- "), after("=")]
            .into_iter()
            .flatten()
            .max()?;
        start + (bare[start..].len() - bare[start..].trim_start().len())..bare.len()
    };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:@+~".contains(&byte);
    let is_value =
        !span.is_empty() && (quote.is_some() || bare[span.clone()].bytes().all(is_plain));
    let is_alone = part != Part::Whole || !line[..span.start].contains('/');
    (is_value && is_alone).then_some(span)
}
