//! Properties that hold for every text: generated ones of all kinds, and broken ones.

use std::path::Path;

use proptest::prelude::*;

use super::{
    chunks::chunks,
    image_place::{Expected, ExpectedDigest, ImagePlace},
    locate::{find_in_chunks, locate},
    located::Findings,
    rewrite::{ImageChange, rewrite},
    rules::{PlaceRules, test_matcher},
};
use crate::{image::Reference, project::place::Defect};

const OURS: &str = "registry.example:5000/team/";

/// The images of the team get a new tag, and lose their digest.
fn decide(old: &str) -> Option<String> {
    let name = old.strip_prefix(OURS)?.split(['@', ':']).next()?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/_-".contains(&byte);
    name.bytes()
        .all(is_plain)
        .then(|| format!("{OURS}{name}:0123456789abcdef"))
}

fn expected(place: &ImagePlace) -> Option<Expected> {
    let new: Reference = decide(&place.written())?.parse().ok()?;
    Some(Expected {
        image: "job".to_owned(),
        repository: new.repository,
        tag: new.tag?,
        digest: ExpectedDigest::Never,
    })
}

struct RewriteRun {
    text: String,
    changes: Vec<ImageChange>,
    places: Vec<ImagePlace>,
}

fn run(text: &str) -> Result<RewriteRun, Defect> {
    let file = Path::new("f.yml");
    let first = |mut defects: Vec<Defect>| defects.remove(0);
    let located = locate(file, text, &PlaceRules::new(&[], ["job"], test_matcher()))
        .map_err(|error| first(error.defects))?;
    let result = rewrite(file, text, &located, false, &expected).map_err(first)?;
    Ok(RewriteRun {
        text: result.text.unwrap_or_else(|| text.to_owned()),
        changes: result.changes,
        places: located.places,
    })
}

fn span(place: &ImagePlace) -> std::ops::Range<usize> {
    place.parts.scalars().next().unwrap().span.clone()
}

/// Decisions, one byte each; zeros when they run out.
struct Choices {
    bytes: std::vec::IntoIter<u8>,
}

impl Choices {
    fn below(&mut self, bound: usize) -> usize {
        usize::from(self.bytes.next().unwrap_or(0)) % bound
    }

    fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == bound - 1
    }

    fn of<'a>(&mut self, items: &[&'a str]) -> &'a str {
        items[self.below(items.len())]
    }

    fn shuffled<T>(&mut self, mut items: Vec<T>) -> Vec<T> {
        for end in (1..items.len()).rev() {
            let other = end - self.below(end + 1);
            items.swap(end, other);
        }
        items
    }
}

/// What a document holds, before it is written in some style.
enum Value {
    Map(Vec<(&'static str, Value)>),
    List(Vec<Value>),
    /// Written as it is.
    Raw(&'static str),
    Image(String),
}

fn image(choices: &mut Choices) -> Value {
    let digest = format!("@sha256:{}", "5".repeat(64));
    let suffix = choices.of(&["", ":old", ":1.10", ":0123456789abcdef"]);
    let digest = if choices.one_in(3) {
        digest.as_str()
    } else {
        ""
    };
    match choices.below(6) {
        0 => Value::Raw("busybox:1.36"),
        1 => Value::Raw("'{{ .Values.image }}'"),
        2 => Value::Raw("\"${IMAGE}\""),
        _ => {
            let name = choices.of(&["job", "a/b", "x_y-z"]);
            Value::Image(format!("{OURS}{name}{suffix}{digest}"))
        }
    }
}

fn with_image(choices: &mut Choices, others: Vec<(&'static str, Value)>) -> Value {
    let mut entries = others;
    if !choices.one_in(4) {
        entries.push(("image", image(choices)));
    }
    Value::Map(choices.shuffled(entries))
}

fn pod_spec(choices: &mut Choices) -> Value {
    let mut entries = vec![(
        "volumes",
        Value::List(vec![Value::Map(vec![(
            "rbd",
            Value::Map(vec![(
                "image",
                Value::Raw("registry.example:5000/team/rbd:old"),
            )]),
        )])]),
    )];
    for key in ["containers", "initContainers"] {
        let count = choices.below(3);
        let containers = (0..count).map(|_| {
            let name = ("name", Value::Raw("\"n # no comment\""));
            with_image(choices, vec![name, ("env", Value::List(vec![]))])
        });
        entries.push((key, Value::List(containers.collect())));
    }
    Value::Map(choices.shuffled(entries))
}

fn spark_spec(choices: &mut Choices) -> Value {
    let conf = Value::Map(vec![(
        "spark.x",
        Value::Raw("'registry.example:5000/team/x:old'"),
    )]);
    let driver = with_image(choices, vec![("cores", Value::Raw("1"))]);
    let executor = with_image(choices, vec![]);
    let entries = vec![
        ("sparkConf", conf),
        ("driver", driver),
        ("executor", executor),
    ];
    with_image(choices, entries)
}

fn document(choices: &mut Choices) -> Value {
    let in_key = |key, value| Value::Map(vec![("name", Value::Raw("n")), (key, value)]);
    let pod_template = |value| in_key("template", in_key("spec", value));
    let (version, kind, spec) = match choices.below(8) {
        0 => ("v1", "Pod", pod_spec(choices)),
        1 => ("apps/v1", "Deployment", pod_template(pod_spec(choices))),
        2 => (
            "batch/v1",
            "CronJob",
            in_key(
                "jobTemplate",
                in_key("spec", pod_template(pod_spec(choices))),
            ),
        ),
        3 => (
            "sparkoperator.k8s.io/v1beta2",
            "ScheduledSparkApplication",
            in_key("template", spark_spec(choices)),
        ),
        4 => (
            "v1",
            "ConfigMap",
            Value::Map(vec![("image", Value::Raw("registry.example:5000/team/x"))]),
        ),
        _ => (
            "sparkoperator.k8s.io/v1beta2",
            "SparkApplication",
            spark_spec(choices),
        ),
    };
    let labels = Value::Map(vec![(
        "image",
        Value::Raw("registry.example:5000/team/label:old"),
    )]);
    Value::Map(choices.shuffled(vec![
        ("apiVersion", Value::Raw(version)),
        ("kind", Value::Raw(kind)),
        ("metadata", labels),
        ("spec", spec),
    ]))
}

/// A text under way, with the same text after the change beside it.
struct Writer {
    choices: Choices,
    before: String,
    after: String,
    old: Vec<String>,
    anchors: usize,
}

impl Writer {
    fn push(&mut self, text: &str) {
        self.before.push_str(text);
        self.after.push_str(text);
    }

    fn pad(&mut self, indent: usize) {
        self.push(&" ".repeat(indent));
    }

    fn line_end(&mut self) {
        let comment = self.choices.of(&[
            "",
            "",
            "  # image: registry.example:5000/team/c:old",
            "\t# {{ x }}",
            "  ",
        ]);
        let end = match self.choices.below(4) {
            0 => "\r\n",
            _ => "\n",
        };
        self.push(comment);
        self.push(end);
    }

    /// Comment lines are indented no deeper than what follows: after a block scalar, deeper lines would belong to its
    /// content.
    fn comment_lines(&mut self, indent: usize) {
        while self.choices.one_in(6) {
            let indent = self.choices.below(indent + 1);
            self.pad(indent);
            let line =
                self.choices
                    .of(&["# image: registry.example:5000/team/c:old\n", "\n", "#\r\n"]);
            self.push(line);
        }
    }

    fn image(&mut self, old: &str) {
        self.before.push_str(old);
        self.after.push_str(&decide(old).unwrap_or_default());
        self.old.push(old.to_owned());
    }

    /// An image or a raw scalar within a line.
    fn scalar(&mut self, value: &Value) {
        let old = match value {
            Value::Image(old) => old,
            Value::Raw(raw) => return self.push(raw),
            _ => return,
        };
        if self.choices.one_in(5) {
            self.anchors += 1;
            let anchor = format!("&a{} ", self.anchors);
            self.push(&anchor);
        }
        let tag = self.choices.of(&["", "", "", "!!str  ", "! "]);
        let quote = self.choices.of(&["", "", "\"", "'"]);
        self.push(&format!("{tag}{quote}"));
        self.image(old);
        self.push(quote);
    }

    fn key(&mut self, key: &str) {
        let quote = self.choices.of(&["", "", "", "\"", "'"]);
        self.push(&format!("{quote}{key}{quote}"));
    }

    fn flow(&mut self, value: &Value, indent: usize) {
        let (open, close) = match value {
            Value::Map(_) => ("{", "}"),
            Value::List(_) => ("[", "]"),
            scalar => return self.scalar(scalar),
        };
        self.push(open);
        let entries: Vec<(Option<&str>, &Value)> = match value {
            Value::Map(entries) => entries
                .iter()
                .map(|(key, value)| (Some(*key), value))
                .collect(),
            Value::List(items) => items.iter().map(|item| (None, item)).collect(),
            _ => Vec::new(),
        };
        for (key, value) in entries {
            if self.choices.one_in(4) {
                self.line_end();
                self.pad(indent + 1);
            }
            if let Some(key) = key {
                self.key(key);
                self.push(": ");
            }
            self.flow(value, indent);
            let comma = self.choices.of(&[",", " , ", ", "]);
            self.push(comma);
        }
        self.push(close);
    }

    /// The text after `key:`, up to the line's end; `indent` is the key's.
    fn block(&mut self, value: &Value, indent: usize) {
        let step = 1 + self.choices.below(4);
        let is_flow = self.choices.one_in(5);
        match value {
            Value::Map(entries) if !entries.is_empty() && !is_flow => {
                self.line_end();
                self.entries(entries, indent + step, false);
            }
            Value::List(items) if !items.is_empty() && !is_flow => {
                self.line_end();
                let deeper = self.choices.below(2) * step;
                self.items(items, indent + deeper);
            }
            Value::Image(old) if self.choices.one_in(5) => {
                let header = self.choices.of(&[" |", " >-", " |+", " >  # c"]);
                self.push(header);
                self.push("\n");
                self.pad(indent + step);
                self.image(old);
                let end = self.choices.of(&["\n", "\r\n", "\n\n"]);
                self.push(end);
            }
            _ => {
                if self.choices.one_in(6) {
                    self.line_end();
                    self.pad(indent + step);
                } else {
                    self.push(" ");
                }
                self.flow(value, indent);
                self.line_end();
            }
        }
    }

    fn entries(&mut self, entries: &[(&str, Value)], indent: usize, mut is_in_line: bool) {
        for (key, value) in entries {
            if !is_in_line {
                self.comment_lines(indent);
                self.pad(indent);
            }
            is_in_line = false;
            self.key(key);
            self.push(":");
            self.block(value, indent);
        }
    }

    fn items(&mut self, items: &[Value], indent: usize) {
        for item in items {
            self.comment_lines(indent);
            self.pad(indent);
            self.push("-");
            match item {
                Value::Map(entries) if !entries.is_empty() && !self.choices.one_in(3) => {
                    self.push(" ");
                    self.entries(entries, indent + 2, true);
                }
                _ => self.block(item, indent),
            }
        }
    }

    fn text(bytes: Vec<u8>) -> Self {
        let mut writer = Self {
            choices: Choices {
                bytes: bytes.into_iter(),
            },
            before: String::new(),
            after: String::new(),
            old: Vec::new(),
            anchors: 0,
        };
        if writer.choices.one_in(4) {
            writer.push("\u{feff}");
        }
        for number in 0..=writer.choices.below(4) {
            writer.comment_lines(0);
            if number > 0 || writer.choices.one_in(2) {
                let separator = writer.choices.of(&["---\n", "--- # c\r\n", "...\n---\n"]);
                writer.push(if number == 0 { "---\n" } else { separator });
            }
            let document = document(&mut writer.choices);
            match &document {
                Value::Map(entries) if !writer.choices.one_in(8) => {
                    writer.entries(entries, 0, false);
                }
                _ => {
                    writer.flow(&document, 0);
                    writer.push("\n");
                }
            }
        }
        if writer.choices.one_in(3) {
            for text in [&mut writer.before, &mut writer.after] {
                let length = text.trim_end_matches(['\r', '\n']).len();
                text.truncate(length);
            }
        }
        writer
    }
}

fn shown(places: &[ImagePlace]) -> Vec<(String, String, String, std::ops::Range<usize>)> {
    let show = |place: &ImagePlace| {
        let at = place.place.to_string();
        (at, place.path.clone(), place.written(), span(place))
    };
    places.iter().map(show).collect()
}

fn ours(places: &[ImagePlace]) -> Vec<String> {
    let values = places.iter().map(ImagePlace::written);
    values.filter(|value| value.starts_with(OURS)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn only_the_images_change(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
        let Writer { before, after, old, .. } = Writer::text(bytes);
        let once = run(&before).map_err(|defect| TestCaseError::fail(format!("{defect}\n{before}")))?;
        prop_assert_eq!(&once.text, &after);
        prop_assert_eq!(ours(&once.places), old.clone());
        let new: Vec<String> = old.iter().filter_map(|old| decide(old)).collect();
        let changed = old.iter().zip(&new).filter(|(old, new)| old != new).count();
        prop_assert_eq!(once.changes.len(), changed);

        let twice = run(&after).unwrap();
        prop_assert_eq!(&twice.text, &after);
        prop_assert!(twice.changes.is_empty());
        prop_assert_eq!(ours(&twice.places), new);
    }

    #[test]
    fn parts_read_like_the_whole(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
        let text = Writer::text(bytes).before;
        let read = |least| {
            let rules = PlaceRules::new(&[], ["job"], test_matcher());
            let Findings { located, defects, .. } =
                find_in_chunks(Path::new("f.yml"), &text, &chunks(&text, least), &rules, 0);
            (shown(&located.places), defects)
        };
        prop_assert_eq!(read(1), read(usize::MAX));
    }

    #[test]
    fn broken_texts_are_changed_rightly_or_not_at_all(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        at in any::<prop::sample::Index>(),
        length in 0..4_usize,
        inserted in "[-{}\\[\\]:,&*#!|>'\"%@`?~<= \t\r\na\u{feff}ü]{0,3}",
    ) {
        let text = Writer::text(bytes).before;
        let mut characters: Vec<char> = text.chars().collect();
        let start = at.index(characters.len() + 1);
        let end = (start + length).min(characters.len());
        characters.splice(start..end, inserted.chars());
        let text: String = characters.into_iter().collect();
        let Ok(result) = run(&text) else {
            return Ok(());
        };
        let decided = result.places.iter().filter(|place| place.left_alone.is_none()).filter_map(|place| {
            let expected = expected(place)?;
            let new = expected.repository.with_tag(&expected.tag).to_string();
            (new != place.written()).then(|| (span(place), new))
        });
        let mut new = result.text.as_str();
        let (mut copied, mut changes) = (0, result.changes.iter());
        for (span, value) in decided {
            let change = changes.next().map(|change| &change.new);
            prop_assert_eq!(change, Some(&value), "{}", text);
            let gap = new.find(&text[copied..span.start]).unwrap();
            let behind = &new[gap + span.start - copied..];
            let written = behind.find(&value).unwrap();
            // Bytes that are neither kept nor new: quotes, and a block scalar's line end.
            let between = [&new[..gap], &behind[..written]].concat();
            prop_assert!(between.chars().all(|character| "'\"\r\n ".contains(character)), "{text}\n{new}");
            prop_assert!(copied > 0 || gap == 0);
            new = &behind[written + value.len()..];
            copied = span.end;
        }
        prop_assert!(new.ends_with(&text[copied..]) && changes.next().is_none());
        prop_assert!(copied > 0 || new == text);
        let twice = run(&result.text).unwrap();
        prop_assert_eq!(twice.text, result.text);
    }
}
