//! What the marks of a text make of its places.

use std::{ops::Range, path::Path};

use granit_parser::ScalarStyle;

use super::{
    image_place::{ImagePlace, LeftAlone, Parts, Scalar},
    locate::Located,
    marks::{self, Mark, Part, Says},
    rules::Rules,
    scalar,
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
    let scalars = scalars(&located);
    for mark in marks {
        apply(&mut located, &scalars, text, mark)?;
    }
    located.places.sort_by_key(ImagePlace::start);
    Ok(located)
}

/// The bytes of a value, and the number of its place.
type ValueOf = (Range<usize>, usize);

/// The values of all places, in the order of the text.
fn scalars(located: &Located) -> Vec<ValueOf> {
    let places = located.places.iter().enumerate();
    let mut scalars: Vec<ValueOf> = places
        .flat_map(|(number, place)| {
            let scalars = place.parts.scalars();
            scalars.map(move |scalar| (scalar.span.clone(), number))
        })
        .collect();
    scalars.sort_by_key(|(span, _)| span.start);
    scalars
}

/// The places that have a value within `span`.
fn touched<'s>(
    scalars: &'s [ValueOf],
    span: &Range<usize>,
) -> impl Iterator<Item = usize> + use<'s> {
    let Range { start, end } = *span;
    let first = scalars.partition_point(|(value, _)| value.start < start);
    let near = scalars[first..].iter();
    near.take_while(move |(value, _)| value.start <= end)
        .filter(move |(value, _)| value.end <= end)
        .map(|(_, number)| *number)
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

fn apply(located: &mut Located, scalars: &[ValueOf], text: &str, mark: Mark) -> Result<(), Defect> {
    let (image, part) = match &mark.says {
        Says::Ignore => {
            for number in touched(scalars, &mark.span) {
                located.places[number].left_alone = Some(LeftAlone::Ignored);
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
    match touched(scalars, &mark.span).min() {
        Some(number) => located.places[number].mark = Some(image),
        None => located.places.push(marked(text, &mark, image, part)),
    }
    Ok(())
}

/// A place that only its mark tells.
fn marked(text: &str, mark: &Mark, image: String, part: Part) -> ImagePlace {
    let raw = &text[mark.span.clone()];
    let unquoted = |quote: char| {
        raw.strip_prefix(quote)
            .and_then(|raw| raw.strip_suffix(quote))
    };
    let (value, style) = match (unquoted('"'), unquoted('\'')) {
        (Some(value), _) => (value, ScalarStyle::DoubleQuoted),
        (_, Some(value)) => (value, ScalarStyle::SingleQuoted),
        _ => (raw, ScalarStyle::Plain),
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
        style,
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
        is_refused: false,
        defect: None,
    }
}
