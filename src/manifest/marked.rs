//! What the marks of a text make of its places.

use std::path::Path;

use granit_parser::ScalarStyle;

use super::{
    image_place::{ImagePlace, LeftAlone, Parts, Scalar},
    locate::{Found, Located},
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
    mut located: Located,
    mut defects: Vec<Defect>,
) -> Found {
    let (marks, wrong) = marks::marks(file, text, &rules.images);
    let not_yaml = defects.iter().find(|defect| defect.code == "E060");
    if let Some(not_yaml) = not_yaml.filter(|_| is_template(text)) {
        located = Located {
            not_yaml: Some(not_yaml.place.clone()),
            ..Located::template()
        };
        defects.clear();
    }
    defects.extend(wrong);
    for mark in marks {
        defects.extend(apply(&mut located, text, mark).err());
    }
    located
        .places
        .sort_by_key(|place| place.parts.scalars().map(|scalar| scalar.at).min());
    (located, defects)
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

fn apply(located: &mut Located, text: &str, mark: Mark) -> Result<(), Defect> {
    let touched = |place: &ImagePlace| {
        let mut scalars = place.parts.scalars();
        scalars
            .any(|scalar| mark.span.start <= scalar.span.start && scalar.span.end <= mark.span.end)
    };
    let (image, part) = match &mark.says {
        Says::Ignore => {
            for place in located.places.iter_mut().filter(|place| touched(place)) {
                place.left_alone = Some(LeftAlone::Ignored);
            }
            located.ignored.push(mark.span);
            return Ok(());
        }
        Says::Image { image, part } => (image.clone(), *part),
    };
    if scalar::holds_expression(&text[mark.span.clone()]) {
        return Err(marks::of_expression(mark.place));
    }
    match located.places.iter_mut().find(|place| touched(place)) {
        Some(place) => place.mark = Some(image),
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
