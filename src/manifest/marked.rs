//! What the marks of a text make of its places.

use std::{ops::Range, path::Path};

use granit_parser::ScalarStyle;

use super::{
    image_place::{ImagePlace, LeftAlone, Parts, Scalar},
    locate::Located,
    marks::{self, Mark, Part, Says},
    rules::Rules,
    scalar,
    shared::SharedRanges,
};
use crate::project::place::Defect;

/// Adds the marks of a text to what was found in it as YAML; a template has nothing but its marks.
pub(super) fn add(
    file: &Path,
    text: &str,
    rules: &Rules<'_>,
    located: Result<Located, Defect>,
) -> Result<Located, Defect> {
    let marks = marks::marks(file, text, &rules.images)?;
    let mut located = match located {
        Err(defect) if defect.code == "E060" && is_template(text) => Located::template(),
        located => located?,
    };
    let known = located.places.len();
    let spans = Spans::of(&located.places);
    for mark in marks {
        apply(&mut located, text, &spans, mark)?;
    }
    let shared = SharedRanges::of(std::mem::take(&mut located.shared));
    let marked = located.places[known..].iter_mut();
    for scalar in marked.flat_map(|place| place.parts.scalars_mut()) {
        scalar.shared = shared.around(&scalar.span).cloned();
    }
    located
        .places
        .sort_by_key(|place| place.parts.scalars().map(|scalar| scalar.at).min());
    Ok(located)
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

/// The bytes of the places' scalars in the order of the text, each with the number of its place.
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

    /// The places that a mark touches.
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

fn apply(located: &mut Located, text: &str, spans: &Spans, mark: Mark) -> Result<(), Defect> {
    let (image, part) = match &mark.says {
        Says::Ignore => {
            for place in spans.touched(&mark) {
                located.places[place].left_alone = Some(LeftAlone::Ignored);
            }
            located.ignored.push(mark.span);
            return Ok(());
        }
        Says::Image { image, part } => (image.clone(), *part),
    };
    if scalar::holds_expression(&text[mark.span.clone()]) {
        let message =
            "the value before this mark holds an expression, which something else fills in";
        return Err(Defect::new("E203", mark.place, message).hint(
            "write the part that sparkpack is to change as a value of its own, or remove the mark",
        ));
    }
    let touched: Vec<usize> = spans.touched(&mark).collect();
    if touched.is_empty() {
        located.places.push(marked(text, &mark, image, part));
        return Ok(());
    }
    for place in touched {
        let place = &mut located.places[place];
        place.mark = Some(image.clone());
        match (part, &place.parts) {
            (Part::Whole, _) => {}
            (Part::Tag, Parts::Reference(scalar)) => place.parts = Parts::Tag(scalar.clone()),
            (Part::Digest, Parts::Reference(scalar)) => place.parts = Parts::Digest(scalar.clone()),
            _ => place.keep_repository(),
        }
    }
    Ok(())
}

/// A place that only its mark tells.
fn marked(text: &str, mark: &Mark, image: String, part: Part) -> ImagePlace {
    let raw = &text[mark.span.clone()];
    let value = match mark.style {
        ScalarStyle::DoubleQuoted | ScalarStyle::SingleQuoted if !mark.is_part => {
            &raw[1..raw.len() - 1]
        }
        _ => raw,
    };
    let (parts, path): (fn(Scalar) -> Parts, &str) = match part {
        Part::Whole => (Parts::Reference, "the reference"),
        Part::Tag => (Parts::Tag, "the tag"),
        Part::Digest => (Parts::Digest, "the digest"),
    };
    let path = format!("{path} of {image}");
    let scalar = Scalar {
        place: mark.place.clone(),
        path: path.clone(),
        value: value.to_owned(),
        is_template: false,
        at: mark.span.start,
        span: mark.span.clone(),
        style: mark.style,
        is_part: mark.is_part,
        is_fixed: false,
        other_type: None,
        shared: None,
    };
    ImagePlace {
        place: mark.place.clone(),
        path,
        kind: "mark".to_owned(),
        object: None,
        parts: parts(scalar),
        mark: Some(image),
        left_alone: None,
        keeps_repository: false,
        is_refused: false,
        twice: None,
    }
}
