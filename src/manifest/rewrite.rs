//! New images in the places of a text, everything else to the byte as it was.

use std::{borrow::Cow, ops::Range, path::Path};

use granit_parser::Event;

use super::{
    document::events,
    locate::{ImagePlace, Shared, located},
    part::{LEAST, Part, on_all_cores, parts},
    reading::Reading,
    scalar,
};
use crate::project::place::{Defect, Place};

/// A text with other images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewritten {
    /// The whole new text.
    pub text: String,
    /// What differs from the old text, in its order; empty if the text is the same.
    pub changes: Vec<Change>,
    /// All places of the old text, the unchanged ones too.
    pub places: Vec<ImagePlace>,
}

/// One image that was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// In the old text.
    pub place: Place,
    /// From the document's root: `spec.driver.image`.
    pub path: String,
    /// The value before.
    pub old: String,
    /// The value now.
    pub new: String,
}

/// Changes the images of a text: `decide` gets each present value and gives the new one, or `None` to leave it.
///
/// Values that hold a template's expression are left alone without asking.
///
/// # Errors
/// Those of [`locate`](super::locate); an image that shares its bytes with another place (`E063`) or lies in a block scalar of several
/// lines (`E064`) has to change; the new text would not read back (`E065`). The text is then not changed at all.
pub fn rewrite(
    file: &Path,
    text: &str,
    decide: &dyn Fn(&str) -> Option<String>,
) -> Result<Rewritten, Defect> {
    let parts = parts(text, LEAST);
    let located = located(file, text, &parts)?;
    let mut jobs = Vec::with_capacity(parts.len());
    for (part, located) in parts.into_iter().zip(&located) {
        let edits = edits(text, &located.places, decide)?;
        let text = splice(part, &edits);
        jobs.push(Job {
            text,
            edits,
            reading: located.reading,
        });
    }
    let verified = on_all_cores(&jobs, Job::verify);
    verified.into_iter().collect::<Result<(), Defect>>()?;
    let text = jobs.iter().map(|job| job.text.as_ref()).collect();
    let edits = jobs.iter().flat_map(|job| &job.edits);
    let changes = edits.map(Edit::change).collect();
    drop(jobs);
    Ok(Rewritten {
        text,
        changes,
        places: located
            .into_iter()
            .flat_map(|located| located.places)
            .collect(),
    })
}

/// The edits of one part's places, in the order of the text.
fn edits<'p>(
    text: &str,
    places: &'p [ImagePlace],
    decide: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<Edit<'p>>, Defect> {
    let mut edits = Vec::new();
    for place in places.iter().filter(|place| !place.is_template) {
        if let Some(new) = decide(&place.value).filter(|new| *new != place.value) {
            edits.push(Edit::new(text, place, new)?);
        }
    }
    edits.sort_by_key(|edit| edit.place.event);
    Ok(edits)
}

/// Other bytes for a place's span.
struct Edit<'p> {
    place: &'p ImagePlace,
    new: String,
    written: String,
}

impl<'p> Edit<'p> {
    fn new(text: &str, place: &'p ImagePlace, new: String) -> Result<Self, Defect> {
        if let Some(shared) = &place.shared {
            return Err(is_shared(place, shared, &new));
        }
        let raw = &text[place.span.clone()];
        let written = scalar::written(place.style, raw, &place.value, &new).ok_or_else(|| {
            let message = format!(
                "`{}` is a block scalar of several lines: it cannot be changed without reflowing it",
                place.path
            );
            Defect::new("E064", place.place.clone(), message)
                .hint(format!("write `image: {new}` on one line"))
        })?;
        Ok(Self {
            place,
            new,
            written,
        })
    }

    fn change(&self) -> Change {
        Change {
            place: self.place.place.clone(),
            path: self.place.path.clone(),
            old: self.place.value.clone(),
            new: self.new.clone(),
        }
    }

    /// The old scalar's event, if the new one says what it should: a string, with the line end of a block scalar.
    fn undone<'e>(&self, event: Event<'e>) -> Option<Event<'e>> {
        let Event::Scalar(value, style, anchor, tag) = event else {
            return None;
        };
        let line_end = value.strip_prefix(self.new.as_str())?;
        let is_string = scalar::other_type(&value, style, tag.as_deref()).is_none();
        let is_right = scalar::trimmed(&value, style) == self.new && is_string;
        let old = format!("{}{line_end}", self.place.value);
        is_right.then(|| Event::Scalar(old.into(), self.place.style, anchor, tag))
    }

    fn unintended(&self) -> Defect {
        let message = format!(
            "with `{}` for `{}` the text would not read back as intended",
            self.new, self.place.path
        );
        Defect::new("E065", self.place.place.clone(), message)
            .hint("write the present value plainly, on one line")
    }
}

fn is_shared(place: &ImagePlace, shared: &Shared, new: &str) -> Defect {
    let Shared {
        anchor,
        anchor_place,
        alias_place,
        is_alias,
    } = shared;
    let alias = anchor.replacen('&', "*", 1);
    let message = if *is_alias {
        format!(
            "`{}` (`{}`) comes through `{alias}` from `{anchor}` at {anchor_place}: a change would change both",
            place.path, place.value
        )
    } else {
        format!(
            "`{}` (`{}`) belongs to `{anchor}`, which `{alias}` at {alias_place} uses again: a change would change both",
            place.path, place.value
        )
    };
    let purpose = if *is_alias {
        format!("with `{new}`")
    } else {
        "so that this image is used once".to_owned()
    };
    let hint = format!("at {alias_place}, write out what `{alias}` stands for, {purpose}");
    Defect::new("E063", place.place.clone(), message).hint(hint)
}

fn splice<'t>(part: Part<'t>, edits: &[Edit<'_>]) -> Cow<'t, str> {
    if edits.is_empty() {
        return Cow::Borrowed(part.text);
    }
    let added: usize = edits.iter().map(|edit| edit.written.len()).sum();
    let mut spliced = String::with_capacity(part.text.len() + added);
    let mut copied = 0;
    for edit in edits {
        let Range { start, end } = edit.place.span;
        spliced.push_str(&part.text[copied..start - part.offset]);
        spliced.push_str(&edit.written);
        copied = end - part.offset;
    }
    spliced.push_str(&part.text[copied..]);
    Cow::Owned(spliced)
}

/// A part after its edits.
struct Job<'t, 'p> {
    text: Cow<'t, str>,
    edits: Vec<Edit<'p>>,
    /// Before them.
    reading: Reading,
}

impl Job<'_, '_> {
    /// Reads the new text: with each new value taken back it has to say what the old text said.
    fn verify(&self) -> Result<(), Defect> {
        let Some(first) = self.edits.first() else {
            return Ok(());
        };
        let mut edits = self.edits.iter().peekable();
        let mut reading = Reading::default();
        let mut last = first;
        for (number, event) in events(&self.text).enumerate() {
            let (event, _) = event.map_err(|_| last.unintended())?;
            let event = match edits.next_if(|edit| edit.place.event == number) {
                None => event,
                Some(edit) => {
                    last = edit;
                    edit.undone(event).ok_or_else(|| edit.unintended())?
                }
            };
            reading.add(&event);
        }
        if edits.next().is_none() && reading == self.reading {
            Ok(())
        } else {
            Err(last.unintended())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPARK: &str = "apiVersion: sparkoperator.k8s.io/v1beta2\nkind: SparkApplication\n";

    /// The images of `team` get the tag `new`, with the digest gone; all others stay.
    fn decide(old: &str) -> Option<String> {
        let name = old.split('@').next()?;
        let repository = match name.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => repository,
            _ => name,
        };
        repository
            .starts_with("reg:5000/team/")
            .then(|| format!("{repository}:new"))
    }

    fn rewritten(text: &str) -> Result<Rewritten, Defect> {
        rewrite(Path::new("f.yml"), text, &decide)
    }

    /// `text` with each `«old|new»` read as its left side before and its right side after.
    fn assert_rewrites(text: &str) {
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
        let (old, new) = (side(false), side(true));
        let once = rewritten(&old).unwrap();
        assert_eq!(once.text, new);
        assert_eq!(once.changes.is_empty(), old == new);
        let twice = rewritten(&new).unwrap();
        assert_eq!((twice.text, twice.changes), (new, Vec::new()));
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
        let result = rewritten(&text).unwrap();
        assert_eq!(
            result.changes,
            [Change {
                place: Place {
                    file: "f.yml".into(),
                    line: 5,
                    column: 21
                },
                path: "spec.executor.image".to_owned(),
                old: "reg:5000/team/b".to_owned(),
                new: "reg:5000/team/b:new".to_owned(),
            }]
        );
        assert_eq!(result.places.len(), 2);
    }

    #[test]
    fn quotes_come_where_plain_text_would_be_no_string() {
        for (new, written) in [
            ("12:30", "\"12:30\""),
            ("1e5", "\"1e5\""),
            ("null", "\"null\""),
            ("a: b", "\"a: b\""),
            ("a\"b\\c #d", r#""a\"b\\c #d""#),
            ("", "\"\""),
            ("a:1e5", "a:1e5"),
        ] {
            for (before, after) in [("  image: ", "\n"), ("  {image: ", "}")] {
                let text = spark(&format!("{before}x{after}"));
                let result = rewrite(Path::new("f"), &text, &|_| Some(new.to_owned())).unwrap();
                assert_eq!(result.text, spark(&format!("{before}{written}{after}")));
            }
        }
    }

    #[test]
    fn values_that_would_not_read_back_change_nothing() {
        for (old, new) in [
            ("x", "a\nb"),
            ("'x'", "a\nb"),
            ("\"x\"", "a\u{7}"),
            ("|\n    x", ""),
            ("|\n    x", " a"),
            (">-\n    x", "a\n b"),
            ("!!str x", "a\rb"),
        ] {
            let text = spark(&format!("  image: {old}\n"));
            let defect = rewrite(Path::new("f"), &text, &|_| Some(new.to_owned())).unwrap_err();
            assert_eq!(defect.code, "E065", "{old} {new:?}: {defect}");
        }
    }

    #[test]
    fn a_shared_image_is_not_changed_behind_anyones_back() {
        let table = [
            (
                "  image: &x reg:5000/team/job\n  label: *x\n",
                "f.yml:4:13",
                "`spec.image` (`reg:5000/team/job`) belongs to `&x`, which `*x` at f.yml:5:10 uses again",
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
                "belongs to `&d`, which `*d` at f.yml:6:13 uses again",
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
                (defect.code, defect.place.to_string()),
                ("E063", place.to_owned())
            );
            assert!(defect.message.contains(message), "{defect}");
            assert!(
                defect.hint.as_ref().unwrap().starts_with(hint),
                "{defect:?}"
            );
        }
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

    #[test]
    fn block_scalars_of_several_lines_are_never_reflowed() {
        let text = spark("  image: >-\n\n    reg:5000/team/job\n");
        let all = |old: &str| Some(format!("{}:new", old.trim()));
        let defect = rewrite(Path::new("f.yml"), &text, &all).unwrap_err();
        assert_eq!(
            (defect.code, defect.hint.as_deref()),
            (
                "E064",
                Some("write `image: reg:5000/team/job:new` on one line")
            )
        );
        let text = spark("  image: >-\n    reg:5000/team/\n    job\n");
        assert_eq!(
            rewrite(Path::new("f"), &text, &all).unwrap_err().code,
            "E064"
        );
    }
}
