//! Applies the marks of a text to its places.

use std::{ops::Range, path::Path};

use granit_parser::ScalarStyle;

use super::{
    image_place::{ImagePlace, LeftAlone, ReferenceParts, Scalar, UnclearPart},
    located::{Findings, Located},
    marks::{self, Mark, MarkKind, ReferencePart},
    no_comment::no_comment,
    rules::PlaceRules,
    scalar::{self, Plain},
    shared::NestedRanges,
};
use crate::{
    code::Code,
    image::{Digest, is_tag},
    project::place::Defect,
};

/// Applies the marks of a text to what was found in it as YAML; a template has only its marks.
pub(super) fn add(
    file: &Path,
    text: &str,
    rules: &PlaceRules<'_>,
    mut found: Findings,
) -> Findings {
    if let Some(place) = found.not_yaml.take_if(|_| is_template(text)) {
        found = Findings::template();
        found.located.not_yaml = Some(place);
    }
    let has_marks = match found.comments {
        Some(_) => true,
        None => found.located.is_template && marks::may_contain(text),
    };
    if !has_marks {
        return found;
    }
    let Findings {
        located,
        defects,
        comments,
        ..
    } = &mut found;
    let is_comment = |at: usize| {
        comments
            .as_ref()
            .is_none_or(|comments| comments.contains(&at))
    };
    let mut blocks = std::mem::take(&mut located.blocks);
    blocks.sort_by_key(|block| block.span.start);
    let has_none = |at: usize| no_comment(file, text, &blocks, at);
    let (marks, wrong) = marks::marks(file, text, &rules.images, &is_comment, &has_none);
    located.blocks = blocks;
    defects.extend(wrong);
    let known = located.places.len();
    let spans = Spans::of(&located.places);
    for mark in marks {
        defects.extend(apply(located, text, &spans, mark).err());
    }
    let shared = NestedRanges::of(std::mem::take(&mut located.shared));
    let marked = located.places[known..].iter_mut();
    for scalar in marked.flat_map(|place| place.parts.scalars_mut()) {
        scalar.shared = shared.around(&scalar.span).cloned().map(Box::new);
    }
    settle(located);
    located.places.sort_by_key(ImagePlace::start);
    found
}

/// Whether expressions of a template engine stand outside of quotes and comments.
fn is_template(text: &str) -> bool {
    text.lines().any(|line| {
        let openings = line.match_indices("{{").chain(line.match_indices("{%"));
        openings.into_iter().any(|(at, _)| {
            let before = &line[..at];
            let is_quoted = |quote: char| before.matches(quote).count() % 2 == 1;
            !is_quoted('"')
                && !is_quoted('\'')
                && !before.contains(" #")
                && !before.starts_with('#')
        })
    })
}

/// The bytes of all scalars in the order of the text, each with the index of its place.
struct Spans {
    sorted: Vec<(Range<usize>, usize)>,
}

impl Spans {
    fn of(places: &[ImagePlace]) -> Self {
        let scalars = places.iter().enumerate().flat_map(|(number, place)| {
            let scalars = place.parts.scalars();
            scalars.map(move |scalar| (scalar.span.clone(), number))
        });
        let mut sorted: Vec<_> = scalars.collect();
        sorted.sort_by_key(|(span, _)| span.start);
        Self { sorted }
    }

    /// The indices of the places whose scalars overlap the bytes of a mark.
    fn touched(&self, mark: &Mark) -> impl Iterator<Item = usize> {
        let first = self
            .sorted
            .partition_point(|(span, _)| span.end <= mark.span.start);
        let end = mark.span.end;
        let behind = self.sorted[first..].iter();
        behind
            .take_while(move |(span, _)| span.start < end)
            .map(|(_, number)| *number)
    }
}

/// Settles which keys belong to an image where only marks can tell it: what is ignored does not belong to it, and a
/// mark for the tag names the one that does.
fn settle(located: &mut Located) {
    let marked: Vec<Range<usize>> = located
        .places
        .iter()
        .filter_map(|place| match &place.parts {
            ReferenceParts::Tag(tag) if place.kind == MARK => Some(tag.span.clone()),
            _ => None,
        })
        .collect();
    let ignored = std::mem::take(&mut located.ignored);
    let is_ignored = |scalar: &Scalar| ignored.iter().any(|line| line.contains(&scalar.span.start));
    for place in &mut located.places {
        place.affixes.retain(|scalar| !is_ignored(scalar));
        let Some(unclear) = &mut place.unclear else {
            let mut others = place.others.iter();
            if let Some(tag) = others.find(|other| marked.contains(&other.span)) {
                place.settle(UnclearPart::Tag, Some(tag.clone()));
            }
            continue;
        };
        let had_several = unclear.candidates.len() > 1;
        unclear.candidates.retain(|scalar| !is_ignored(scalar));
        let is_marked = |scalar: &&Scalar| marked.contains(&scalar.span);
        let chosen = match (
            unclear.candidates.iter().find(is_marked),
            unclear.candidates.as_slice(),
        ) {
            (Some(marked), _) => Some(marked.clone()),
            (None, [only]) if had_several => Some(only.clone()),
            (None, []) => None,
            (None, _) => continue,
        };
        let what = unclear.what;
        place.unclear = None;
        place.settle(what, chosen);
    }
    located.ignored = ignored;
}

/// The kind of a place that only a mark tells.
const MARK: &str = "mark";

fn apply(located: &mut Located, text: &str, spans: &Spans, mark: Mark) -> Result<(), Defect> {
    let (image, part) = match &mark.kind {
        MarkKind::Ignore => {
            for place in spans.touched(&mark) {
                located.places[place].left_alone = Some(LeftAlone::Ignored);
            }
            located.ignored.push(mark.span);
            return Ok(());
        }
        MarkKind::Image { image, part } => (image.clone(), *part),
    };
    if scalar::holds_expression(&text[mark.span.clone()]) {
        return Err(marks::expression_defect(mark.place));
    }
    let touched: Vec<usize> = spans.touched(&mark).collect();
    if touched.is_empty() {
        let place = marked(text, &mark, image, part);
        refuse_other_values(&place, part)?;
        located.places.push(place);
        return Ok(());
    }
    for place in touched {
        let place = &mut located.places[place];
        place.mark = Some(image.clone());
        match (part, &place.parts) {
            (ReferencePart::Whole, _) => {}
            (ReferencePart::Tag, ReferenceParts::Reference(scalar)) => {
                place.parts = ReferenceParts::Tag(scalar.clone());
            }
            (ReferencePart::Digest, ReferenceParts::Reference(scalar)) => {
                place.parts = ReferenceParts::Digest(scalar.clone());
            }
            _ => place.keep_repository(part),
        }
    }
    Ok(())
}

/// Refuses a mark for a tag or a digest behind a value that is not one: it would be overwritten.
fn refuse_other_values(place: &ImagePlace, part: ReferencePart) -> Result<(), Defect> {
    let value = place.written();
    let (is_one, what) = match part {
        ReferencePart::Whole => return Ok(()),
        ReferencePart::Tag => (is_tag(&value), "tag"),
        ReferencePart::Digest => (value.parse::<Digest>().is_ok(), "digest"),
    };
    if is_one || value.is_empty() || value == "~" {
        return Ok(());
    }
    let message = format!("`{value}` is no {what}, as the mark behind it says");
    let hint = format!("write a {what} or `\"\"`, or put the mark behind the right value");
    Err(Defect::new(Code::E202, place.place.clone(), message).hint(hint))
}

/// A place that is known only by its mark.
fn marked(text: &str, mark: &Mark, image: String, part: ReferencePart) -> ImagePlace {
    let raw = &text[mark.span.clone()];
    let value = match mark.style {
        ScalarStyle::DoubleQuoted | ScalarStyle::SingleQuoted if !mark.is_suffix => {
            &raw[1..raw.len() - 1]
        }
        _ => raw,
    };
    let (parts, path): (fn(Scalar) -> ReferenceParts, &str) = match part {
        ReferencePart::Whole => (ReferenceParts::Reference, "the reference"),
        ReferencePart::Tag => (ReferenceParts::Tag, "the tag"),
        ReferencePart::Digest => (ReferenceParts::Digest, "the digest"),
    };
    let path = format!("{path} of {image}");
    let scalar = Scalar {
        place: mark.place.clone(),
        path: path.clone(),
        value: value.to_owned(),
        is_template: false,
        offset: mark.span.start,
        span: mark.span.clone(),
        style: mark.style,
        is_suffix: mark.is_suffix,
        line_ends: 0,
        needs_reflow: false,
        other_type: None,
        quotes: "\"",
        plain: Plain::IfSafe,
        shared: None,
    };
    ImagePlace {
        place: mark.place.clone(),
        path,
        kind: MARK.to_owned(),
        object: None,
        parts: parts(scalar),
        mark: Some(image),
        image: None,
        left_alone: None,
        keeps_repository: false,
        is_refused: false,
        duplicate_key: None,
        unclear: None,
        affixes: Vec::new(),
        others: Vec::new(),
    }
}
