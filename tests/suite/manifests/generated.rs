//! Random manifests, each with the expected result. The same seed always gives the same text.

use std::fmt::Write as _;

use super::REGISTRY;

/// A file, before and after a pin.
pub(super) struct File {
    pub(super) before: String,
    pub(super) after: String,
    /// The number of images that change.
    pub(super) changes: usize,
}

/// The content that a generated file may have.
pub(super) struct Wish<'a> {
    pub(super) documents: usize,
    /// YAML 1.2 that older parsers refuse: tabs between tokens, anchors that are defined again.
    pub(super) has_oddities: bool,
    /// The present reference of an image.
    pub(super) reference: &'a dyn Fn(&str) -> String,
}

/// The file for a seed.
pub(super) fn file(seed: u64, wish: &Wish<'_>) -> File {
    let mut writer = Writer::new(seed, wish);
    writer.file();
    File {
        before: writer.before,
        after: writer.after,
        changes: writer.changes,
    }
}

/// Random decisions from a seed (splitmix64).
struct Chance {
    state: u64,
}

impl Chance {
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).unwrap()).unwrap()
    }

    fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }

    fn of<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            let other = self.below(end + 1);
            items.swap(end, other);
        }
    }
}

/// The content of a document, before it is written in a style.
enum Node {
    Map(Vec<(&'static str, Node)>),
    List(Vec<Node>),
    /// Written as it is, in block and in flow style.
    Raw(&'static str),
    /// The lines of a block scalar, or of a folded one.
    Text,
    /// A map of labels, which may be an alias of an earlier one.
    Labels,
    /// An image at a known place, of the project or not.
    Image,
    /// A value that is not at a known place.
    Elsewhere,
}

/// Scalars for other keys, and foreign images.
const SCALARS: &[&str] = &[
    "plain text",
    "12",
    "0777",
    "1e3",
    "~",
    "yes",
    "2026-01-31",
    "''",
    "\"\"",
    "'it''s'",
    "\"n # no comment\"",
    "\"a: b, [c]\"",
    "a#b",
    "http://x/#y",
    "\"\\u00e9 \\\" \\\\ \\x41\"",
    "🚀",
    "'名前, 𝔘'",
    "-x",
    "'- a'",
    "\"{{ x }}\"",
    "'®/jobs:unbuilt'",
    "\"registry.example:5000/xteam/job:1\"",
    "'# ®/jobs'",
    "[]",
    "{}",
    "[a, {b: c}, 'd']",
    "!!str 12",
    "!local x",
    "!!binary aGk=",
];
const OTHER_IMAGES: &[&str] = &[
    "busybox:1.36",
    "®/jobs:unbuilt",
    "'®/job-other:1'",
    "\"®/job/x\"",
    "registry.example/team/job:1",
    "'{{ .Values.image }}'",
    "\"®/job:${TAG}\"",
    "\"®/job:{{ tag }}\"",
    "old.example/team/jobs:1",
    "®x/job:unbuilt",
    "registry.example:5000/xteam/side",
];
const TEXTS: &[&[&str]] = &[
    &["# image: ®/jobs:unbuilt", "docker run ®/jobs:unbuilt"],
    &["one line"],
    &["---", "kind: Pod", "", "  image: ®/jobs:1", "..."],
    &["'\"", "{{ x }}", "\t- a tab"],
];
const COMMENTS: &[&str] = &[
    "",
    "#",
    "# image: job:unbuilt",
    "#x",
    "# {a: [\t'b",
    "# \"🚀 𝔘",
    "# ---",
    "# %YAML",
    "#: @x",
    "# - &a1 *a1 !t",
    "#\u{feff}",
    "# ®/job:unbuilt",
];

fn containers(chance: &mut Chance) -> Node {
    let count = 1 + chance.below(4) / 3;
    let container = |chance: &mut Chance| {
        let mut entries = vec![("name", Node::Raw("a"))];
        for (key, value) in [
            ("image", Node::Image),
            ("env", Node::Labels),
            ("args", Node::Elsewhere),
        ] {
            if key == "image" || chance.one_in(4) {
                entries.push((key, value));
            }
        }
        chance.shuffle(&mut entries);
        Node::Map(entries)
    };
    Node::List((0..count).map(|_| container(chance)).collect())
}

fn pod(chance: &mut Chance) -> Node {
    let mut entries = vec![("containers", containers(chance))];
    if chance.one_in(5) {
        entries.push(("initContainers", containers(chance)));
    }
    if chance.one_in(6) {
        let block = Node::Map(vec![("image", Node::Raw("®/jobs:1"))]);
        let model = Node::Map(vec![("reference", Node::Image)]);
        let volumes = [("rbd", block), ("image", model)]
            .map(|(key, value)| Node::Map(vec![("name", Node::Raw("v")), (key, value)]));
        entries.push(("volumes", Node::List(volumes.into())));
    }
    if chance.one_in(4) {
        entries.push(("hostname", Node::Elsewhere));
    }
    chance.shuffle(&mut entries);
    Node::Map(entries)
}

fn spark(chance: &mut Chance) -> Node {
    let mut entries = vec![("image", Node::Image), ("type", Node::Raw("Python"))];
    for key in ["driver", "executor"] {
        if chance.one_in(3) {
            let mut side = vec![("image", Node::Image), ("cores", Node::Raw("1"))];
            if chance.one_in(3) {
                side.push(("sidecars", containers(chance)));
            }
            if chance.one_in(3) {
                side.push(("labels", Node::Labels));
            }
            chance.shuffle(&mut side);
            entries.push((key, Node::Map(side)));
        }
    }
    if chance.one_in(3) {
        let properties = vec![
            ("spark.kubernetes.container.image", Node::Image),
            ("spark.x", Node::Elsewhere),
        ];
        entries.push(("sparkConf", Node::Map(properties)));
    }
    chance.shuffle(&mut entries);
    Node::Map(entries)
}

fn below(key: &'static str, value: Node) -> Node {
    Node::Map(vec![(key, value)])
}

fn object(chance: &mut Chance) -> Node {
    let template = |value| below("template", below("spec", value));
    let (version, kind, spec) = match chance.below(11) {
        0 | 1 => ("v1", "Pod", pod(chance)),
        2 => ("apps/v1", "Deployment", template(pod(chance))),
        3 => (
            "batch/v1",
            "CronJob",
            below("jobTemplate", below("spec", template(pod(chance)))),
        ),
        4 | 5 => (
            "sparkoperator.k8s.io/v1beta2",
            "SparkApplication",
            spark(chance),
        ),
        6 => (
            "sparkoperator.k8s.io/v1beta2",
            "ScheduledSparkApplication",
            below("template", spark(chance)),
        ),
        7 | 8 => (
            "argoproj.io/v1alpha1",
            "Workflow",
            below(
                "templates",
                Node::List(vec![below("container", below("image", Node::Image))]),
            ),
        ),
        _ => (
            "spark.apache.org/v1",
            "SparkApplication",
            below(
                "sparkConf",
                below("spark.kubernetes.container.image", Node::Image),
            ),
        ),
    };
    let mut entries = vec![
        ("apiVersion", Node::Raw(version)),
        ("kind", Node::Raw(kind)),
        ("spec", spec),
    ];
    if chance.one_in(3) {
        let metadata = vec![
            ("name", Node::Raw("a")),
            ("labels", Node::Labels),
            ("note", Node::Text),
            ("image", Node::Elsewhere),
        ];
        let keep = 1 + chance.below(metadata.len());
        entries.push((
            "metadata",
            Node::Map(metadata.into_iter().take(keep).collect()),
        ));
    }
    chance.shuffle(&mut entries);
    Node::Map(entries)
}

fn document(chance: &mut Chance) -> Node {
    match chance.below(16) {
        0 => {
            let items = (0..=chance.below(2)).map(|_| object(chance)).collect();
            Node::Map(vec![
                ("apiVersion", Node::Raw("v1")),
                ("kind", Node::Raw("List")),
                ("items", Node::List(items)),
            ])
        }
        1 => {
            let data = Node::Map(vec![
                ("text", Node::Text),
                ("image", Node::Raw("®/jobs:1")),
                ("a", Node::Labels),
            ]);
            Node::Map(vec![
                ("apiVersion", Node::Raw("v1")),
                ("kind", Node::Raw("ConfigMap")),
                ("data", data),
            ])
        }
        2 => {
            let spec = below("image", Node::Raw("®/jobs:1"));
            Node::Map(vec![
                ("apiVersion", Node::Raw("spark.example/v1")),
                ("kind", Node::Raw("SparkApplication")),
                ("spec", spec),
            ])
        }
        _ => object(chance),
    }
}

/// Writes both texts.
struct Writer<'a> {
    chance: Chance,
    wish: &'a Wish<'a>,
    before: String,
    after: String,
    changes: usize,
    line_ends: &'static [&'static str],
    anchors: usize,
    /// The labels of this document that an alias may refer to.
    labels: Vec<String>,
}

impl<'a> Writer<'a> {
    fn new(seed: u64, wish: &'a Wish<'a>) -> Self {
        let mut chance = Chance { state: seed };
        let line_ends = chance.of(&[
            &["\n"][..],
            &["\n"],
            &["\n"],
            &["\r\n"],
            &["\r\n"],
            &["\n", "\r\n"],
            &["\n", "\r\n", "\r"],
        ]);
        Self {
            chance,
            wish,
            before: String::new(),
            after: String::new(),
            changes: 0,
            line_ends,
            anchors: 0,
            labels: Vec::new(),
        }
    }

    /// `®` stands for the registry.
    fn push(&mut self, text: &str) {
        let text = text.replace('®', REGISTRY);
        self.before.push_str(&text);
        self.after.push_str(&text);
    }

    fn pad(&mut self, column: usize) {
        self.push(&" ".repeat(column));
    }

    /// Only the line's end.
    fn line_break(&mut self) {
        let line_end = self.chance.of(self.line_ends);
        self.push(line_end);
    }

    /// Writes what may follow a value, and the line's end.
    fn line_end(&mut self) {
        if self.chance.one_in(6) {
            let blanks: &[&str] = if self.wish.has_oddities {
                &[" ", "   ", "\t", " \t "]
            } else {
                &[" ", "   "]
            };
            let blanks = self.chance.of(blanks);
            self.push(blanks);
            let comment = self.chance.of(COMMENTS);
            self.push(comment);
        }
        self.line_break();
    }

    /// Writes lines between values. They are indented no deeper than what follows: after a block scalar, deeper lines
    /// would belong to its content.
    fn comment_lines(&mut self, column: usize) {
        while self.chance.one_in(12) {
            let column = self.chance.below(column + 1);
            self.pad(column);
            let comment = self.chance.of(COMMENTS);
            self.push(comment);
            self.line_break();
        }
    }

    fn anchor(&mut self) -> String {
        self.anchors += 1;
        format!("a{}", self.anchors)
    }

    fn file(&mut self) {
        if self.chance.one_in(4) {
            self.push("\u{feff}");
        }
        self.comment_lines(0);
        for number in 0..self.wish.documents {
            self.labels.clear();
            let is_on_marker_line = self.marker(number == 0);
            let node = document(&mut self.chance);
            match &node {
                Node::Map(entries) if !is_on_marker_line && !self.chance.one_in(8) => {
                    self.entries(entries, 0, false)
                }
                _ => {
                    self.flow(&node, 0);
                    self.line_end();
                }
            }
            if self.chance.one_in(10) {
                self.push("---");
                self.line_end();
            }
        }
        if self.chance.one_in(4) {
            for text in [&mut self.before, &mut self.after] {
                let length = text.trim_end_matches(['\r', '\n']).len();
                text.truncate(length);
            }
        }
    }

    /// Writes the beginning of a document, and returns whether its content has to follow on the same line.
    fn marker(&mut self, is_first: bool) -> bool {
        match self.chance.below(12) {
            0..=2 if is_first => return false,
            0 | 1 if !is_first => {
                self.push("...");
                self.line_end();
                self.comment_lines(0);
            }
            2 if !is_first => {
                self.push("...");
                self.line_end();
                self.comment_lines(0);
                self.push("%YAML 1.2");
                self.line_break();
            }
            3 => {
                self.push("--- ");
                return true;
            }
            4 => {
                self.push("---");
                self.line_end();
                self.comment_lines(0);
            }
            5 => self.push("--- !!map"),
            _ => {}
        }
        if !(self.before.ends_with("!!map")) {
            self.push("---");
        }
        self.line_end();
        false
    }

    fn entries(&mut self, entries: &[(&'static str, Node)], column: usize, mut is_in_line: bool) {
        for (key, value) in entries {
            if !is_in_line {
                self.comment_lines(column);
                self.pad(column);
            }
            is_in_line = false;
            if self.chance.one_in(20) {
                self.push("? ");
                self.key(key);
                self.line_end();
                self.pad(column);
                self.push(":");
                self.block(value, column, 1);
            } else {
                self.key(key);
                let colon = self.chance.of(&[":", ":", ":", ":", " :"]);
                self.push(colon);
                self.block(value, column, 0);
            }
        }
    }

    fn items(&mut self, items: &[Node], column: usize) {
        for item in items {
            self.comment_lines(column);
            self.pad(column);
            self.push("-");
            match item {
                Node::Map(entries) if !self.chance.one_in(3) => {
                    let blanks = 1 + self.chance.below(3);
                    self.pad(blanks);
                    self.entries(entries, column + 1 + blanks, true);
                }
                _ => self.block(item, column, 1),
            }
        }
    }

    fn key(&mut self, key: &str) {
        let quote = self.chance.of(&["", "", "", "", "\"", "'"]);
        self.push(&format!("{quote}{key}{quote}"));
    }

    /// Writes the text after `key:` or `-` in `column`, up to the line's end; a list is indented by at least `least`.
    fn block(&mut self, node: &Node, column: usize, least: usize) {
        let step = 1 + self.chance.below(4);
        let is_flow = self.chance.one_in(5);
        match node {
            Node::Map(entries) if !is_flow => {
                self.properties("!!map");
                self.line_end();
                self.entries(entries, column + step, false);
            }
            Node::List(items) if !is_flow => {
                self.properties("!!seq");
                self.line_end();
                let deeper = (self.chance.below(2) * step).max(least);
                self.items(items, column + deeper);
            }
            Node::Image if self.chance.one_in(6) => self.block_image(column),
            Node::Text => self.text(column),
            _ => {
                if self.chance.one_in(8) {
                    self.line_end();
                    self.comment_lines(column + step);
                    self.pad(column + step);
                } else {
                    let blanks = if self.wish.has_oddities {
                        self.chance.of(&[" ", " ", "   ", "\t"])
                    } else {
                        " "
                    };
                    self.push(blanks);
                }
                self.flow(node, column);
                self.line_end();
            }
        }
    }

    /// Writes an unused tag and anchor before a collection.
    fn properties(&mut self, tag: &str) {
        if self.chance.one_in(10) {
            let anchor = self.anchor();
            self.push(&format!(" &{anchor}"));
        }
        if self.chance.one_in(10) {
            self.push(&format!(" {tag}"));
        }
    }

    /// A block scalar of one line.
    fn block_image(&mut self, column: usize) {
        let step = 1 + self.chance.below(4);
        let property = self.chance.of(&["", "", " !!str"]);
        let style = self.chance.of(&[" |", " >", " |-", " >-", " |+", " >+"]);
        let digit = if self.chance.one_in(3) {
            step.to_string()
        } else {
            String::new()
        };
        let comment = self.chance.of(&["", "", " ", "  # ®/job:unbuilt"]);
        self.push(&format!("{property}{style}{digit}{comment}"));
        self.line_break();
        self.pad(column + step);
        let (old, new) = self.image();
        self.both(&old, &new);
        self.line_break();
        for _ in 0..self.chance.below(4) / 2 {
            self.line_break();
        }
    }

    fn text(&mut self, column: usize) {
        let header = self.chance.of(&[" |", " |-", " >+", " >-  # text", " |2"]);
        let step = if header.ends_with('2') {
            2
        } else {
            1 + self.chance.below(4)
        };
        self.push(header);
        self.line_break();
        for line in self.chance.of(TEXTS) {
            if !line.is_empty() {
                self.pad(column + step);
                self.push(line);
            }
            self.line_break();
        }
    }

    fn flow(&mut self, node: &Node, column: usize) {
        match node {
            Node::Map(entries) => self.braces(
                ["{", "}"],
                entries.iter().map(|(key, value)| (Some(*key), value)),
                column,
            ),
            Node::List(items) => {
                self.braces(["[", "]"], items.iter().map(|item| (None, item)), column)
            }
            Node::Raw(raw) => self.push(raw),
            Node::Text => self.push("'no # text'"),
            Node::Labels => self.labels(),
            Node::Image if self.chance.one_in(5) => {
                let other = self.chance.of(OTHER_IMAGES);
                self.push(other);
            }
            Node::Image => self.flow_image(column),
            Node::Elsewhere => {
                let scalar = self.chance.of(SCALARS);
                self.push(scalar);
            }
        }
    }

    fn braces<'n>(
        &mut self,
        [open, close]: [&str; 2],
        entries: impl Iterator<Item = (Option<&'n str>, &'n Node)>,
        column: usize,
    ) {
        self.push(open);
        let is_spread = self.chance.one_in(3);
        for (number, (key, value)) in entries.enumerate() {
            if number > 0 {
                let comma = self.chance.of(&[",", ", ", " , "]);
                self.push(comma);
            }
            if is_spread {
                self.line_end();
                self.comment_lines(column + 1);
                let deeper = self.chance.below(3);
                self.pad(column + 1 + deeper);
            }
            if let Some(key) = key {
                self.key(key);
                let colon = self.chance.of(&[": ", ":  ", " : "]);
                self.push(colon);
            }
            self.flow(value, column);
        }
        let end = self.chance.of(&["", " ", " , "]);
        self.push(end);
        self.push(close);
    }

    /// Writes an alias of earlier labels, or new ones.
    fn labels(&mut self) {
        if !self.labels.is_empty() && self.chance.one_in(2) {
            let alias = self.labels[self.chance.below(self.labels.len())].clone();
            let text = if self.chance.one_in(2) {
                format!("*{alias} ")
            } else {
                format!("{{<<: *{alias} , c: d}}")
            };
            return self.push(&text);
        }
        let anchor = if self.wish.has_oddities && self.chance.one_in(3) {
            "again".to_owned()
        } else {
            self.anchor()
        };
        self.push(&format!("&{anchor} {{app: orders, \"a\": 'b'}}"));
        self.labels.push(anchor);
    }

    /// An image of the project before and after, without quotes.
    fn image(&mut self) -> (String, String) {
        let name = self.chance.of(&["job", "job", "side"]);
        let new = (self.wish.reference)(name);
        let prefix = self.chance.of(&[
            REGISTRY,
            REGISTRY,
            REGISTRY,
            "old.example/team",
            "127.0.0.1:5000/deep/er",
        ]);
        let tag = self
            .chance
            .of(&["", ":unbuilt", ":1.10", ":0123456789abcdef", ":latest"]);
        let digest = if self.chance.one_in(8) {
            format!("@sha256:{}", "5f".repeat(32))
        } else {
            String::new()
        };
        let old = if self.chance.one_in(10) {
            new.clone()
        } else {
            format!("{prefix}/{name}{tag}{digest}")
        };
        self.changes += usize::from(old != new);
        (old, new)
    }

    fn both(&mut self, old: &str, new: &str) {
        self.before.push_str(old);
        self.after.push_str(new);
    }

    fn flow_image(&mut self, column: usize) {
        if self.chance.one_in(6) {
            let anchor = self.anchor();
            self.push(&format!("&{anchor} "));
        }
        let tag = self
            .chance
            .of(&["", "", "", "", "!!str ", "!  ", "!<tag:yaml.org,2002:str> "]);
        self.push(tag);
        let (old, new) = self.image();
        match self.chance.below(10) {
            0..=3 => self.both(&old, &new),
            4..=6 => self.both(&format!("\"{old}\""), &format!("\"{new}\"")),
            7 | 8 => self.both(&format!("'{old}'"), &format!("'{new}'")),
            _ => {
                let raw = self.spelled_out(&old, column);
                let raw = format!("\"{raw}\"");
                let new = if old == new {
                    raw.clone()
                } else {
                    format!("\"{new}\"")
                };
                self.both(&raw, &new);
            }
        }
    }

    /// A value as it could be written in double quotes: with escapes and continued lines.
    fn spelled_out(&mut self, value: &str, column: usize) -> String {
        let mut raw = String::new();
        for character in value.chars() {
            match self.chance.below(20) {
                0 => write!(raw, "\\x{:02x}", u32::from(character)).unwrap(),
                1 => write!(raw, "\\u{:04X}", u32::from(character)).unwrap(),
                2 if self.line_ends.len() == 1 => {
                    let pad = " ".repeat(column + 1 + self.chance.below(4));
                    write!(raw, "\\{}{pad}{character}", self.line_ends[0]).unwrap();
                }
                _ => raw.push(character),
            }
        }
        raw
    }
}
