//! What the marks of a text make of its places.

use std::{collections::HashSet, ops::Range, path::Path};

use granit_parser::{Event, Parser, ScalarStyle};

use super::{
    image_place::{ImagePlace, LeftAlone, Parts, Scalar},
    locate::{Found, Located},
    marks::{self, Mark, Part, Says},
    rules::Rules,
    scalar,
};
use crate::{
    image::{Digest, is_tag},
    project::place::Defect,
};

/// Adds the marks of a text to what was found in it as YAML; a template has nothing but its marks.
pub(super) fn add(
    file: &Path,
    text: &str,
    rules: &Rules<'_>,
    mut located: Located,
    mut defects: Vec<Defect>,
) -> Found {
    let not_yaml = defects.iter().find(|defect| defect.code == "E060");
    if let Some(not_yaml) = not_yaml.filter(|_| is_template(text)) {
        located = Located {
            not_yaml: Some(not_yaml.place.clone()),
            ..Located::template()
        };
        defects.clear();
    }
    if !marks::may_have(text) {
        return (located, defects);
    }
    let comments = (!located.is_template).then(|| comments(text));
    let is_comment = |at: usize| {
        let comments = comments.as_ref();
        comments.is_none_or(|comments| comments.contains(&at))
    };
    let (marks, wrong) = marks::marks(file, text, &rules.images, &is_comment);
    defects.extend(wrong);
    let scalars = scalars(&located);
    for mark in marks {
        defects.extend(apply(&mut located, &scalars, text, mark).err());
    }
    located.places.sort_by_key(ImagePlace::start);
    (located, defects)
}

/// Where the comments of a YAML text begin.
fn comments(text: &str) -> HashSet<usize> {
    let options = granit_parser::options! { emit_comments: true };
    let events = Parser::new_from_str_with_options(text, options);
    let comments = events.filter_map(|event| match event {
        Ok((Event::Comment(..), span)) => Some(span.byte_range()?.start),
        _ => None,
    });
    comments.collect()
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
        return Err(marks::of_expression(mark.place));
    }
    let touched = touched(scalars, &mark.span).min();
    match touched.map(|number| &mut located.places[number]) {
        Some(place) if part != Part::Whole && matches!(place.parts, Parts::Reference(_)) => {
            let message = format!(
                "`{}` holds a whole reference, not a part of one",
                place.path
            );
            let defect = Defect::new("E202", mark.place, message);
            Err(defect.hint(format!("write `# sparkpack: {image}`")))
        }
        Some(place) => {
            place.mark = Some(image);
            Ok(())
        }
        None => {
            let place = marked(text, &mark, image, part);
            refuse_other_values(&place, part)?;
            located.places.push(place);
            Ok(())
        }
    }
}

/// A tag or a digest is written over nothing but a tag or a digest.
fn refuse_other_values(place: &ImagePlace, part: Part) -> Result<(), Defect> {
    let value = place.written();
    let (is_one, what) = match part {
        Part::Whole => return Ok(()),
        Part::Tag => (is_tag(&value), "tag"),
        Part::Digest => (value.parse::<Digest>().is_ok(), "digest"),
    };
    if is_one || value.is_empty() {
        return Ok(());
    }
    let message = format!("`{value}` is no {what}, as the mark behind it says");
    let hint = format!("write a {what} or `\"\"`, or put the mark behind the right value");
    Err(Defect::new("E202", place.place.clone(), message).hint(hint))
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
