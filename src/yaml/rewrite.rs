//! Writes new references into the places of a text; every other byte stays as it was.

use std::{collections::BTreeMap, ops::Range, path::Path};

use granit_parser::{Event, ScalarStyle};

use super::{
    chunks::{Chunk, MIN_BYTES, chunks, on_all_cores},
    document::{Spot, events},
    image_place::{Expected, Hindrance, ImagePlace, Scalar},
    literal::Literal,
    located::Located,
    scalar,
    shared::SharedAnchor,
};
use crate::{
    code::Code,
    project::place::{Defect, Place},
};

/// A text with other images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewritten {
    /// The whole new text; `None` if it is the same as the old one.
    pub text: Option<String>,
    /// The changes in the order of the old text.
    pub changes: Vec<ImageChange>,
    /// Changes that are possible only once the image has been pushed.
    pub pending: Vec<Defect>,
}

/// One scalar that was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageChange {
    /// In the old text.
    pub place: Place,
    /// From the document's root: `spec.driver.image`.
    pub path: String,
    /// The image of the project.
    pub image: String,
    /// The value before.
    pub old: String,
    /// The value now.
    pub new: String,
    /// The aliases through which other places change as well.
    pub reaches: Vec<Place>,
}

/// Changes the images of a text: `decide` says what a place has to name, or `None` to leave it.
///
/// It is not called for places that are left alone. `may_share` allows a change of an anchor's value, and with it of all
/// the places that use the anchor.
///
/// # Errors
/// An image that shares its bytes with another place (`E063`) or lies in a block scalar of several lines (`E064`) has to
/// change; a place lacks a part (`E200`, `E201`); the new text would not read back (`E065`). The text is then not
/// changed at all.
pub fn rewrite(
    file: &Path,
    text: &str,
    located: &Located,
    may_share: bool,
    decide: &dyn Fn(&ImagePlace) -> Option<Expected>,
) -> Result<Rewritten, Vec<Defect>> {
    let mut edits = Edits::default();
    let mut defects = Vec::new();
    let mut pending = Vec::new();
    for place in located
        .places
        .iter()
        .filter(|place| place.left_alone.is_none())
    {
        let Some(expected) = decide(place) else {
            continue;
        };
        match edits.add(place, &expected, may_share) {
            Ok(()) => {}
            Err(Hindrance::Defect(defect)) => defects.push(defect),
            Err(Hindrance::NotPushed(defect)) => pending.push(defect),
        }
    }
    if !defects.is_empty() {
        return Err(defects);
    }
    let edits: Vec<Edit<'_>> = edits.by_start.into_values().collect();
    if edits.is_empty() {
        return Ok(Rewritten {
            text: None,
            changes: Vec::new(),
            pending,
        });
    }
    let mut pairs = edits.iter().zip(edits.iter().skip(1));
    if let Some((_, second)) =
        pairs.find(|(first, second)| second.scalar.span.start < first.scalar.span.end)
    {
        return Err(vec![second.unintended()]);
    }
    let new = splice(text, 0, &edits);
    if !located.is_template {
        verify(file, text, &edits).map_err(|defect| vec![defect])?;
    }
    Ok(Rewritten {
        text: Some(new),
        changes: edits.iter().map(Edit::change).collect(),
        pending,
    })
}

/// Other bytes for spans of a text.
#[derive(Debug, Default)]
struct Edits<'p> {
    by_start: BTreeMap<usize, Edit<'p>>,
}

/// Other bytes for a scalar's span.
#[derive(Debug)]
struct Edit<'p> {
    scalar: &'p Scalar,
    image: String,
    new: String,
    written: String,
    /// What is written, as a text within quotes reads it.
    read: String,
}

impl<'p> Edits<'p> {
    fn add(
        &mut self,
        place: &'p ImagePlace,
        expected: &Expected,
        may_share: bool,
    ) -> Result<(), Hindrance> {
        for (scalar, new) in place.changes(expected)? {
            let edit = Edit::new(scalar, expected, new, may_share)?;
            match self.by_start.get(&scalar.span.start) {
                Some(other) if other.new != edit.new => return Err(conflict(other, &edit).into()),
                Some(_) => {}
                None => drop(self.by_start.insert(scalar.span.start, edit)),
            }
        }
        Ok(())
    }
}

impl<'p> Edit<'p> {
    fn new(
        scalar: &'p Scalar,
        expected: &Expected,
        new: String,
        may_share: bool,
    ) -> Result<Self, Defect> {
        if let Some(shared) = scalar.shared.as_ref().filter(|_| !may_share) {
            return Err(is_shared(scalar, shared, &new));
        }
        if scalar.needs_reflow {
            let message = format!(
                "`{}` is a block scalar of several lines: it cannot be changed without reflowing it",
                scalar.path
            );
            let key = scalar.path.rsplit('.').next().unwrap_or("image");
            let defect = Defect::new(Code::E064, scalar.place.clone(), message);
            return Err(defect.hint(format!("write `{key}: {new}` on one line")));
        }
        if scalar.other_type.is_some() && scalar.span.is_empty() {
            let message = format!("`{}` has no value", scalar.path);
            let defect = Defect::new(Code::E062, scalar.place.clone(), message);
            return Err(defect.hint("write `\"\"`, which sparkpack can fill"));
        }
        let written = if scalar.is_suffix && !new.is_empty() {
            new.clone()
        } else {
            scalar::encoded(scalar.style, &new, scalar.plain)
        };
        let read = if written.starts_with('"') {
            written.clone()
        } else {
            new.clone()
        };
        let written = if scalar.quotes == "\"" {
            written
        } else {
            written.replace('"', scalar.quotes)
        };
        let edit = Self {
            scalar,
            image: expected.image.clone(),
            written,
            read,
            new,
        };
        if scalar.is_suffix && scalar.style != ScalarStyle::Plain && edit.new.is_empty() {
            return Err(edit.unintended());
        }
        Ok(edit)
    }

    fn change(&self) -> ImageChange {
        let shared = self.scalar.shared.as_ref();
        ImageChange {
            place: self.scalar.place.clone(),
            path: self.scalar.path.clone(),
            image: self.image.clone(),
            old: self.scalar.value.clone(),
            new: self.new.clone(),
            reaches: shared.map_or_else(Vec::new, |shared| shared.aliases.clone()),
        }
    }

    fn unintended(&self) -> Defect {
        let message = format!(
            "with `{}` for `{}` the text would not read back as intended",
            self.new, self.scalar.path
        );
        Defect::new(Code::E065, self.scalar.place.clone(), message)
            .hint("write the present value plainly, on one line")
    }
}

fn conflict(first: &Edit<'_>, second: &Edit<'_>) -> Defect {
    let message = format!(
        "`{}` and `{}` (at {}) are one value and would have to be two: `{}` and `{}`",
        second.scalar.path, first.scalar.path, first.scalar.place, second.new, first.new
    );
    Defect::new(Code::E063, second.scalar.place.clone(), message)
        .hint("write out what the alias stands for")
}

fn is_shared(scalar: &Scalar, shared: &SharedAnchor, new: &str) -> Defect {
    let SharedAnchor {
        anchor,
        anchor_place,
        alias_place,
        is_alias,
        aliases,
    } = shared;
    let alias = anchor.replacen('&', "*", 1);
    let Scalar { path, value, .. } = scalar;
    let listed: Vec<String> = aliases.iter().map(ToString::to_string).collect();
    let listed = listed.join(", ");
    let (message, cure) = if *is_alias {
        let message = format!(
            "`{path}` (`{value}`) comes through `{alias}` from `{anchor}` at {anchor_place}: a change would change both"
        );
        let cure = format!("at {alias_place}, write out what `{alias}` stands for, with `{new}`");
        (message, cure)
    } else {
        let message = format!(
            "`{path}` (`{value}`) belongs to `{anchor}`, which is used again as `{alias}` at {listed}: a change would change those too"
        );
        let cure = format!(
            "at {listed}, write out what `{alias}` stands for, so that this image is used once"
        );
        (message, cure)
    };
    let file = scalar.place.file.display();
    let hint = format!("{cure}; or allow it: `anchors = [\"{file}\"]` in sparkpack.toml");
    Defect::new(Code::E063, scalar.place.clone(), message).hint(hint)
}

/// Applies edits, which are in the order of the text, to the piece `text` that begins at byte `offset`.
fn splice(text: &str, offset: usize, edits: &[Edit<'_>]) -> String {
    let mut spliced = String::with_capacity(text.len() + edits.len() * 32);
    let mut copied = 0;
    for edit in edits {
        let Range { start, end } = edit.scalar.span;
        spliced.push_str(&text[copied..start - offset]);
        spliced.push_str(&edit.written);
        copied = end - offset;
    }
    spliced.push_str(&text[copied..]);
    spliced
}

/// Parses the old and the new text side by side: all events but those of the edited scalars have to be equal.
fn verify(file: &Path, text: &str, edits: &[Edit<'_>]) -> Result<(), Defect> {
    let jobs: Vec<(Chunk<'_>, &[Edit<'_>])> = chunks(text, MIN_BYTES)
        .into_iter()
        .filter_map(|chunk| {
            let end = chunk.offset + chunk.text.len();
            let first = edits.partition_point(|edit| edit.scalar.span.start < chunk.offset);
            let behind = edits.partition_point(|edit| edit.scalar.span.start < end);
            // The bytes of a null at the very end of a text lie after its last byte, in no chunk.
            (first < behind).then(|| (chunk, &edits[first..behind]))
        })
        .collect();
    let covered: usize = jobs.iter().map(|(_, edits)| edits.len()).sum();
    if covered != edits.len() {
        return Err(edits[0].unintended());
    }
    let verified = on_all_cores(&jobs, |(chunk, edits)| verify_chunk(file, *chunk, edits));
    verified.into_iter().collect()
}

fn verify_chunk(file: &Path, chunk: Chunk<'_>, edits: &[Edit<'_>]) -> Result<(), Defect> {
    let new_text = splice(chunk.text, chunk.offset, edits);
    let mut left = edits;
    let mut new_events = events(&new_text, false);
    let last = |left: &[Edit<'_>]| left.first().or(edits.last()).map(Edit::unintended);
    let wrong = |left: &[Edit<'_>]| {
        let nowhere = || {
            Defect::new(
                Code::E065,
                Place::of_line(file, 1),
                "the text would not read back",
            )
        };
        Err(last(left).unwrap_or_else(nowhere))
    };
    for old in events(chunk.text, false) {
        let (Ok((old, old_span)), Some(Ok((new, _)))) = (old, new_events.next()) else {
            return wrong(left);
        };
        let spot = Spot::new(chunk, old_span);
        let count = left
            .iter()
            .take_while(|edit| edit.scalar.span.start < spot.end.max(spot.start + 1))
            .count();
        let is_scalar = matches!(old, Event::Scalar(..));
        let (inside, behind) = left.split_at(if is_scalar { count } else { 0 });
        let is_right = match inside {
            [] => old == new,
            edits => is_edited(chunk, spot, edits, &old, &new),
        };
        if !is_right {
            return wrong(left);
        }
        left = behind;
    }
    if left.is_empty() && new_events.next().is_none() {
        Ok(())
    } else {
        wrong(left)
    }
}

/// Whether a scalar has the intended value after its edits, and is otherwise unchanged.
fn is_edited(
    chunk: Chunk<'_>,
    spot: Spot,
    edits: &[Edit<'_>],
    old: &Event<'_>,
    new: &Event<'_>,
) -> bool {
    let (
        Event::Scalar(old_value, old_style, old_anchor, old_tag),
        Event::Scalar(value, style, anchor, tag),
    ) = (old, new)
    else {
        return false;
    };
    let is_inside = |edit: &Edit<'_>| {
        let Range { start, end } = edit.scalar.span;
        spot.start <= start && end <= spot.end
    };
    if (old_anchor, old_tag) != (anchor, tag) || !edits.iter().all(is_inside) {
        return false;
    }
    let is_block = matches!(old_style, ScalarStyle::Literal | ScalarStyle::Folded);
    if let Some(wanted) = quoted_after(chunk, spot, edits, old_value) {
        return style == old_style && wanted == **value;
    }
    match edits {
        [edit] if !is_block => {
            let is_string = scalar::other_type(value, *style, tag.as_deref()).is_none();
            let is_quoted = *style == ScalarStyle::DoubleQuoted && *old_style == ScalarStyle::Plain;
            if edit.scalar.is_suffix {
                let before = old_value.strip_suffix(edit.scalar.value.as_str());
                let new = before.map(|before| format!("{before}{}", edit.new));
                return is_string && style == old_style && new.as_deref() == Some(&**value);
            }
            *value == edit.new
                && is_string
                && edit.scalar.span == spot.range()
                && (style == old_style || is_quoted)
        }
        _ if style != old_style || line_ends(value) != line_ends(old_value) => false,
        [edit] if edit.scalar.span.start == spot.start => {
            scalar::trimmed(value, *style) == edit.new && !edit.new.is_empty()
        }
        edits => {
            let Some(raw) = chunk
                .text
                .get(spot.start - chunk.offset..spot.end - chunk.offset)
            else {
                return false;
            };
            let spliced = splice(raw, spot.start, edits);
            let whole = Spot {
                start: 0,
                end: spliced.len(),
                ..spot
            };
            Literal::new(&spliced, whole, value).is_some()
                && edits
                    .iter()
                    .all(|edit| !edit.new.contains(['\n', '\r']) && value.contains(&edit.new))
        }
    }
}

/// The value of a quoted scalar after edits of words in it; `None` if its bytes are edited as a whole.
fn quoted_after(chunk: Chunk<'_>, spot: Spot, edits: &[Edit<'_>], value: &str) -> Option<String> {
    if edits
        .iter()
        .any(|edit| edit.scalar.span.start <= spot.start)
    {
        return None;
    }
    let local = Spot {
        start: spot.start - chunk.offset,
        end: spot.end - chunk.offset,
        ..spot
    };
    let edits = edits.iter().map(|edit| {
        let Range { start, end } = edit.scalar.span;
        (start - chunk.offset..end - chunk.offset, edit.read.as_str())
    });
    Literal::quoted(chunk.text, local, value)?.spliced(edits)
}

/// The number of line ends after a value's text.
fn line_ends(value: &str) -> usize {
    value.len() - value.trim_end_matches('\n').len()
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            image_place::ExpectedDigest,
            locate::locate,
            rules::{PlaceRules, test_matcher},
        },
        *,
    };
    use crate::image::Repository;

    const SPARK: &str = "apiVersion: sparkoperator.k8s.io/v1beta2\nkind: SparkApplication\n";

    /// The images of `team` get the tag `new`, with the digest gone; all others stay.
    fn decide(place: &ImagePlace) -> Option<Expected> {
        let repository = place.reference()?.repository;
        (repository.registry == "reg:5000" && repository.path.starts_with("team/"))
            .then(|| expected(repository, "new"))
    }

    fn expected(repository: Repository, tag: &str) -> Expected {
        Expected {
            image: "job".to_owned(),
            repository,
            tag: tag.to_owned(),
            digest: ExpectedDigest::Never,
        }
    }

    fn rules() -> PlaceRules<'static> {
        PlaceRules::new(&[], ["job"], test_matcher())
    }

    fn rewritten_by(
        text: &str,
        may_share: bool,
        decide: &dyn Fn(&ImagePlace) -> Option<Expected>,
    ) -> Result<(String, Rewritten), Defect> {
        let file = Path::new("f.yml");
        let first = |mut defects: Vec<Defect>| defects.remove(0);
        let located = locate(file, text, &rules()).map_err(|error| first(error.defects))?;
        let result = rewrite(file, text, &located, may_share, decide).map_err(first)?;
        Ok((
            result.text.clone().unwrap_or_else(|| text.to_owned()),
            result,
        ))
    }

    fn rewritten(text: &str) -> Result<(String, Rewritten), Defect> {
        rewritten_by(text, false, &decide)
    }

    /// `text` with each `«old|new»` read as its left side, and as its right side.
    fn sides(text: &str) -> (String, String) {
        let side = |after: bool| {
            let mut out = String::new();
            let mut rest = text;
            while let Some((before, found)) = rest.split_once('«') {
                let (inside, behind) = found.split_once('»').unwrap();
                let (old, new) = inside.split_once('|').unwrap();
                out.push_str(before);
                out.push_str(if after { new } else { old });
                rest = behind;
            }
            out + rest
        };
        (side(false), side(true))
    }

    /// The left side becomes the right one, and that stays.
    fn assert_rewrites(text: &str) {
        let (old, new) = sides(text);
        let (text, once) = rewritten(&old).unwrap();
        assert_eq!(text, new);
        assert_eq!(once.changes.is_empty(), old == new);
        let (text, twice) = rewritten(&new).unwrap();
        assert_eq!((text, twice.changes), (new, Vec::new()));
    }

    fn spark(spec: &str) -> String {
        format!("{SPARK}spec:\n{spec}")
    }

    #[test]
    fn only_the_bytes_of_the_images_change() {
        for spec in [
            "  image: «reg:5000/team/job:old|reg:5000/team/job:new»\n",
            "  image: «reg:5000/team/job|reg:5000/team/job:new»",
            "  image:   «reg:5000/team/job:old|reg:5000/team/job:new»   # reg:5000/team/job:old\n# end",
            "  image: '«reg:5000/team/job:old|reg:5000/team/job:new»' \n  mode: cluster\n",
            "  image: \"«reg:5000/team/job:old|reg:5000/team/job:new»\"\t# c\n",
            "  image: \"«reg:5000\\/team\\x2fjob:old|reg:5000/team/job:new»\"\n",
            "  image: \"«reg:5000/team/\\\n     job:old|reg:5000/team/job:new»\"\n  x: y\n",
            "  image:\n    «reg:5000/team/job:old|reg:5000/team/job:new»\n",
            "  image: !!str &here «reg:5000/team/job:old|reg:5000/team/job:new» # c\n",
            "  {  image: «reg:5000/team/job:old|reg:5000/team/job:new», driver: {\"image\":\"«reg:5000/team/x|reg:5000/team/x:new»\"}}\n",
            "  image: other/job:old\n  driver:\n    image: «reg:5000/team/job:old|reg:5000/team/job:new»\n",
            "  image: |-\n    «reg:5000/team/job:old|reg:5000/team/job:new»\n  # c\n  mode: x\n",
            "  image: >\n\n  mode: x\n  driver:\n    image: >- # c\n      «reg:5000/team/job:old|reg:5000/team/job:new»\n\n\n# c\n",
            "  image: |+\n    «reg:5000/team/job:old|reg:5000/team/job:new»\n\n  mode: x\n",
            "  image: |2\n    «reg:5000/team/job:old|reg:5000/team/job:new»",
            "  image: {{ reg:5000/team/job }}\n  driver: {image: '${A}reg:5000/team/job'}\n",
        ] {
            assert_rewrites(&spark(spec));
            assert_rewrites(&spark(spec).replace('\n', "\r\n"));
            assert_rewrites(&format!("\u{feff}{}", spark(spec)));
            assert_rewrites(&format!(
                "kind: List\n--- \n{}\n...\n---\na: b \r\n",
                spark(spec)
            ));
        }
    }

    #[test]
    fn a_digest_goes_with_its_tag() {
        let digest = format!("sha256:{}", "0".repeat(64));
        for old in [
            format!(":old@{digest}"),
            format!("@{digest}"),
            String::new(),
        ] {
            assert_rewrites(&spark(&format!(
                "  image: «reg:5000/team/job{old}|reg:5000/team/job:new»\n"
            )));
        }
    }

    #[test]
    fn changes_tell_place_path_old_and_new() {
        let text = spark("  image: a\n  executor: {image: reg:5000/team/b}\n");
        let (_, result) = rewritten(&text).unwrap();
        assert_eq!(
            result.changes,
            [ImageChange {
                place: Place {
                    file: "f.yml".into(),
                    line: 5,
                    column: 21
                },
                path: "spec.executor.image".to_owned(),
                image: "job".to_owned(),
                old: "reg:5000/team/b".to_owned(),
                new: "reg:5000/team/b:new".to_owned(),
                reaches: Vec::new(),
            }]
        );
    }

    #[test]
    fn quotes_come_where_plain_text_would_be_no_string() {
        let tags = [
            ("12", "\"12\""),
            ("1e5", "\"1e5\""),
            ("null", "\"null\""),
            ("2001-12-14", "\"2001-12-14\""),
            ("0123456789012345", "\"0123456789012345\""),
            ("a1e5", "a1e5"),
        ];
        for (tag, written) in tags {
            for (before, after) in [("image:\n  tag: ", "\n"), ("image: {tag: ", "}")] {
                let text = format!("{before}x{after}").replace(
                    "tag",
                    if after == "}" {
                        "repository: reg:5000/team/job, tag"
                    } else {
                        "repository: reg:5000/team/job\n  tag"
                    },
                );
                let decide =
                    |place: &ImagePlace| Some(expected(place.reference()?.repository, tag));
                let (new, _) = rewritten_by(&text, false, &decide).unwrap();
                assert_eq!(new, text.replace("tag: x", &format!("tag: {written}")));
            }
        }
    }

    #[test]
    fn a_shared_image_is_not_changed_behind_anyones_back() {
        let table = [
            (
                "  image: &x reg:5000/team/job\n  label: *x\n",
                "f.yml:4:13",
                "`spec.image` (`reg:5000/team/job`) belongs to `&x`, which is used again as `*x` at f.yml:5:10",
                "at f.yml:5:10, write out what `*x` stands for, so that",
            ),
            (
                "  label: &x reg:5000/team/job\n  image: *x\n",
                "f.yml:5:10",
                "`spec.image` (`reg:5000/team/job`) comes through `*x` from `&x` at f.yml:4:10",
                "at f.yml:5:10, write out what `*x` stands for, with `reg:5000/team/job:new`",
            ),
            (
                "  driver: &d\n    image: reg:5000/team/job\n  executor: *d\n",
                "f.yml:5:12",
                "belongs to `&d`, which is used again as `*d` at f.yml:6:13",
                "at f.yml:6:13",
            ),
            (
                "  base: &b {image: reg:5000/team/job}\n  driver:\n    <<: *b\n",
                "f.yml:6:9",
                "`spec.driver.image` (`reg:5000/team/job`) comes through `*b` from `&b` at f.yml:4:9",
                "at f.yml:6:9",
            ),
        ];
        for (spec, place, message, hint) in table {
            let defect = rewritten(&spark(spec)).unwrap_err();
            assert_eq!(
                (defect.code.as_str(), defect.place.to_string()),
                ("E063", place.to_owned())
            );
            assert!(defect.message.contains(message), "{defect}");
            assert!(
                defect.hint.as_ref().unwrap().starts_with(hint),
                "{defect:?}"
            );
        }
        let shared = spark("  image: &x reg:5000/team/job\n  label: *x\n  driver: {image: *x}\n");
        let (text, result) = rewritten_by(&shared, true, &decide).unwrap();
        assert_eq!(text, shared.replace("/job", "/job:new"));
        let reaches: Vec<String> = result.changes[0]
            .reaches
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(reaches, ["f.yml:5:10", "f.yml:6:19"]);
        for unchanged in [
            "  image: &x other\n  label: *x\n",
            "  driver: &d {image: reg:5000/team/job:new}\n  executor: *d\n",
        ] {
            assert_rewrites(&spark(unchanged));
        }
        for alone in [
            "  image: &x «reg:5000/team/job|reg:5000/team/job:new»\n",
            "  image: «reg:5000/team/job|reg:5000/team/job:new»\n  a: &x b\n  c: *x\n",
            "  image: «reg:5000/team/job|reg:5000/team/job:new»\n  driver: &d {a: b}\n  executor: {<<: *d, image: «reg:5000/team/job|reg:5000/team/job:new»}\n",
        ] {
            assert_rewrites(&spark(alone));
        }
    }

    const DIGEST: &str = "sha256:5555555555555555555555555555555555555555555555555555555555555555";

    #[test]
    fn a_digest_beside_a_tag_goes_with_it() {
        let (whole, bare) = (DIGEST, &DIGEST[7..]);
        for text in [
            "image: reg:5000/team/job\nimageTag: «old|new»\nimageDigest: «WHOLE|\"\"»\n",
            "image: reg:5000/team/job:«old|new»\ndigest: «WHOLE|\"\"»\n",
            "image: «reg:5000/team/job:old@WHOLE|reg:5000/team/job:new»\ndigest: 'BARE'\n"
                .replace("'BARE'", "«'BARE'|''»")
                .as_str(),
            "jobRepository: reg:5000/team/job\njobTag: «old|new»\njobSha: «\"BARE\"|\"\"»\n",
            "image: «reg:5000/team/job@WHOLE|reg:5000/team/job»\ntag: «old|new»\n",
            "[{name: IMAGE, value: reg:5000/team/job}, {name: TAG, value: «old|new»}, {name: DIGEST, value: «WHOLE|\"\"»}]\n",
        ] {
            assert_rewrites(&text.replace("WHOLE", whole).replace("BARE", bare));
        }
    }

    #[test]
    fn a_key_that_is_there_twice_on_the_way_to_an_image_is_an_error() {
        // `‹` stands before the first of the two, `›` before the second.
        for text in [
            r#"{‹"image":{"repository":"J","tag":"a"},›"image":{"tag":"a"}}"#,
            "‹image: {repository: J, tag: a}\nx: 1\n›image: {tag: a}\n",
            "‹a: {image: {repository: J, tag: a}}\n›a: {b: 1}\n",
            "‹a: {b: 1}\n›a:\n- - c: {jobImage: J:a, image: {repository: J, tag: a}}\n",
            "a: 1\nb: 2\n‹c: {image: J:a}\n›c: 3\nc: 4\na: 5\n",
            "apiVersion: v1\nkind: ConfigMap\n‹data: {}\n›data:\n  x: |\n    image: J:a\n",
            "data:\n  x: |\n    ‹a: {image: J:a}\n    ›a: 1\n",
            "‹a: {<<: {image: J}, tag: a}\n›a: 1\n",
            "b: &b {repository: J}\n‹a: {<<: *b, tag: a}\n›a: 1\n",
            "‹b: &b {image: J:a}\n›b: 1\na: *b\n",
            "image: J\ntag: {‹value: a, ›value: b}\n",
            "- {name: image, value: J}\n- {name: tag, ‹value: a, ›value: b}\n",
            "- {name: image, value: J}\n- {‹name: tag, value: a, ›name: b}\n",
            "- {op: add, path: /a/image, ‹value: J:a, ›value: b}\n",
            "apiVersion: v1\nkind: Pod\nspec: {containers: [{image: J:a, ‹digest: WHOLE, ›digest: ''}]}\n",
        ] {
            let text = text
                .replace('J', "reg:5000/team/job")
                .replace("WHOLE", DIGEST);
            let (before, rest) = text.split_once('‹').unwrap();
            let (between, after) = rest.split_once('›').unwrap();
            let place = |before: &str| {
                let line = before.lines().count().max(1) + usize::from(before.ends_with('\n'));
                let column = before.rsplit('\n').next().unwrap().len() + 1;
                format!("f.yml:{line}:{column}")
            };
            let key = after.split(':').next().unwrap().trim_matches('"');
            let first = place(before);
            let second = place(&[before, between].concat());
            let text = [before, between, after].concat();
            let defect = rewritten_by(&text, true, &decide).unwrap_err();
            assert_eq!(defect.code.as_str(), "E061", "{text}");
            let message = format!("the key `{key}` is there twice: first at {first}");
            assert_eq!(defect.message, message, "{text}");
            assert_eq!(defect.place.to_string(), second, "{text}");
        }
        for aside in [
            "a: 1\na: 2\nb: {x: 1, x: 2, image: «reg:5000/team/job:a|reg:5000/team/job:new»}\n",
            "b: {image: «reg:5000/team/job:a|reg:5000/team/job:new»}\na: {c: {d: 1}}\na: {c: {image: x}}\n",
            "- {name: a, name: b, value: x}\n- {name: image, value: reg:5000/team/job}\n- {name: tag, value: «a|new»}\n",
        ] {
            assert_rewrites(aside);
        }
    }

    #[test]
    fn what_is_added_to_a_tag_is_an_error() {
        for (text, said) in [
            (
                "image: {repository: reg:5000/team/job, tag: a, tagSuffix: -slim}\n",
                "`tagSuffix` adds `-slim` to the tag of `image`",
            ),
            (
                "repository: reg:5000/team/job\ntag: new\nimageTagPrefix: v\n",
                "`imageTagPrefix` adds `v`",
            ),
            (
                "- {name: image, value: reg:5000/team/job}\n- {name: tag, value: a}\n- {name: tagSuffix, value: '$S'}\n",
                "adds `'$S'`",
            ),
            (
                "image: reg:5000/team/job\ntagSuffix: [a]\n",
                "adds something",
            ),
            (
                "images: [{name: reg:5000/team/job, newTag: a, tagSuffix: -slim}]\n",
                "adds `-slim` to the tag of `images[0]`",
            ),
            (
                "kind: Kustomization\napiVersion: kustomize.config.k8s.io/v1beta1\nimages: [{name: x, newName: reg:5000/team/job, newTag: new, tagSuffix: -slim}]\n",
                "adds `-slim` to the tag of `images[0]`",
            ),
            (
                "kind: Kustomization\napiVersion: kustomize.config.k8s.io/v1beta1\nimages: [{name: reg:5000/team/job, newTag: new, tagSuffix: &x -slim, label: *x}]\n",
                "adds `-slim` to the tag of `images[0]`",
            ),
        ] {
            let defect = rewritten_by(text, true, &decide).unwrap_err();
            assert_eq!(defect.code.as_str(), "E206", "{text}");
            assert!(defect.message.contains(said), "{}", defect.message);
        }
    }

    #[test]
    fn a_tag_to_which_nothing_is_added_is_written() {
        for text in [
            "image: {repository: reg:5000/team/job, tag: «a|new», tagSuffix: '', tagPrefix: ~}\n",
            "image: {repository: reg:5000/team/job, tag: «a|new»}\ntagSuffix: -slim\n",
            "repository: reg:5000/team/job\ntag: «a|new»\ntagSuffix: -slim # sparkpack: ignore\n",
            "kind: Kustomization\napiVersion: kustomize.config.k8s.io/v1beta1\nimages: [{name: reg:5000/team/job, newTag: «a|new», tagSuffix: ''}]\n",
            "image: reg:5000/team/job:«a|new»\ntagSuffix: -slim\n",
        ] {
            assert_rewrites(text);
        }
    }

    #[test]
    fn what_may_be_half_a_reference_is_an_error() {
        for (text, code, names) in [
            (
                "image: reg:5000/team/job\ntag: a\nimageTag: b\n",
                "E206",
                vec!["`tag` (2:6)", "`imageTag` (3:11)"],
            ),
            (
                "x: {image: reg:5000/team/job, version: a, tag: b}\n",
                "E206",
                vec!["`version` (1:40)", "`tag` (1:48)"],
            ),
            (
                "image: reg:5000/team/job\ntag: a\nchecksum: WHOLE\n",
                "E207",
                vec!["`checksum` (3:11)"],
            ),
            (
                "image: reg:5000/team/job:old\ndigest: WHOLE\nimageSha: WHOLE\n",
                "E206",
                vec!["`digest` (2:9)", "`imageSha` (3:11)"],
            ),
            (
                "image: reg:5000/team/job\ndigest: WHOLE\n",
                "E200",
                vec!["no `tag`"],
            ),
        ] {
            let text = text.replace("WHOLE", DIGEST);
            let defect = rewritten_by(&text, false, &decide).unwrap_err();
            assert_eq!(defect.code.as_str(), code, "{text}");
            for name in names {
                assert!(defect.message.contains(name), "{}", defect.message);
            }
        }
    }

    #[test]
    fn a_mark_settles_which_key_is_the_tag() {
        for text in [
            "image: reg:5000/team/job\ntag: «a|new» # sparkpack: job tag\nversion: b\n",
            "image: reg:5000/team/job\ntag: «a|new»\nversion: b # sparkpack: ignore\n",
            "image: reg:5000/team/job\ntag: «a|new»\nchecksum: WHOLE # sparkpack: ignore\n",
            "image: reg:5000/team/job\nappVersion: «a|new» # sparkpack: job tag\n",
        ] {
            let text = text.replace("WHOLE", DIGEST);
            let marked = |place: &ImagePlace| {
                let repository = "reg:5000/team/job".parse().unwrap();
                let is_ours = place.mark.is_some() || place.reference().is_some();
                is_ours.then(|| expected(repository, "new"))
            };
            let (old, new) = sides(&text);
            let (written, _) = rewritten_by(&old, false, &marked).unwrap();
            assert_eq!(written, new, "{text}");
        }
    }

    #[test]
    fn the_registry_of_a_path_may_stand_elsewhere() {
        for text in [
            "global: {imageRegistry: 'reg:5000'}\nimage: {repository: team/job, tag: «a|new»}\n",
            "image: {registry: '', repository: team/job, tag: «a|new»}\nglobal: {imageRegistry: reg:5000/}\n",
            "image: {registry: docker.io, repository: team/job, tag: «a|new»}\nglobal: {imageRegistry: reg:5000}\n",
            "global: {registry: reg:5000}\nimage: {registry: docker.io, repository: team/job, tag: a}\n",
            "a: {registry: reg:5000}\nb: {repository: team/job, tag: a}\n",
            "imageRegistry: reg:5000\nb: {repository: team/job, tag: «a|new»}\n",
            "host: reg:5000\njob: {name: team/job, version: 1}\n",
            "global: {imageRegistry: other:5000}\nimage: {repository: team/job, tag: a}\n",
        ] {
            assert_rewrites(text);
        }
    }

    #[test]
    fn json_gets_quotes() {
        for text in [
            "{\"image\": {\"repository\": \"reg:5000/team/job\", \"tag\": «null|\"new\"»}}\n",
            "{\"image\": {\"repository\": \"reg:5000/team/job\", \"tag\": «1.10|\"new\"»}}\n",
            "x: '{\"image\": {\"repository\": \"reg:5000/team/job\", \"tag\": «3|\"new\"»}}'\n",
            "x: \"{\\\"image\\\": {\\\"repository\\\": \\\"reg:5000/team/job\\\", \\\"tag\\\": «3|\\\"new\\\"»}}\"\n",
            "a.json: |\n  {\"image\": {\"repository\": \"reg:5000/team/job\", \"tag\": «true|\"new\"»}}\n",
            "x: '{image: {repository: reg:5000/team/job, tag: «old|new»}}'\n",
        ] {
            assert_rewrites(text);
        }
        let number = |place: &ImagePlace| {
            let repository = place.reference()?.repository;
            Some(expected(repository, "7675850270284e46"))
        };
        for (text, written) in [
            (
                "x: '{image: {repository: reg:5000/team/job, tag: old}}'\n",
                "x: '{image: {repository: reg:5000/team/job, tag: \"7675850270284e46\"}}'\n",
            ),
            (
                "x: \"{image: {repository: reg:5000/team/job, tag: old}}\"\n",
                "x: \"{image: {repository: reg:5000/team/job, tag: \\\"7675850270284e46\\\"}}\"\n",
            ),
        ] {
            assert_eq!(rewritten_by(text, false, &number).unwrap().0, written);
            let again = rewritten_by(written, false, &number).unwrap();
            assert_eq!((again.0.as_str(), again.1.changes), (written, Vec::new()));
        }
    }

    #[test]
    fn a_short_name_stays_short() {
        let all = |_: &ImagePlace| Some(expected("docker.io/team/job".parse().unwrap(), "new"));
        for (text, written) in [
            ("image: team/job:old\n", "image: team/job:new\n"),
            ("image: team/job\n", "image: team/job:new\n"),
            (
                "image: 'docker.io/team/job:old'\n",
                "image: 'docker.io/team/job:new'\n",
            ),
            (
                "image: {repository: team/job, tag: old}\n",
                "image: {repository: team/job, tag: new}\n",
            ),
            ("image: other/job:old\n", "image: docker.io/team/job:new\n"),
        ] {
            assert_eq!(rewritten_by(text, false, &all).unwrap().0, written);
        }
    }

    #[test]
    fn the_parts_of_other_things_are_left_alone() {
        for text in [
            "apiVersion: v1\nimage: busybox\ntag: x\n",
            "spark: {image: reg:5000/team/job:«a|new», sparkVersion: 4.1.4, version: 1}\n",
            "jobImage: reg:5000/team/job\njobTag: «a|new»\nsideImage: busybox\nsideTag: a\nchartVersion: a\n",
            "jobImage: reg:5000/team/job\njobTag: «a|new»\nsideImage: reg:5000/team/side\nsideTag: «a|new»\n",
        ] {
            assert_rewrites(text);
        }
    }

    #[test]
    fn block_scalars_of_several_lines_are_never_reflowed() {
        for value in [
            ">-\n\n    reg:5000/team/job\n",
            "|\n    reg:5000/team/job\n\n    x\n",
        ] {
            let text = spark(&format!("  image: {value}"));
            let all = |_: &ImagePlace| Some(expected("reg:5000/team/job".parse().unwrap(), "new"));
            let result = rewritten_by(&text, false, &all);
            let Err(defect) = result else {
                // A blank line before the text belongs to no value.
                assert_eq!(result.unwrap().0, text.replace("/job\n", "/job:new\n"));
                continue;
            };
            assert_eq!(
                (defect.code.as_str(), defect.hint.as_deref()),
                (
                    "E064",
                    Some("write `image: reg:5000/team/job:new` on one line")
                )
            );
        }
    }
}
