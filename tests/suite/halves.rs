//! Generated values, whose keys come from no table: what `pin` writes renders as the current reference, or it says that it
//! cannot.
//!
//! The truth of a document is known by how it was made. `tests/manifests/render.py` reads both sides with another parser
//! and puts the parts together as a chart would. `SPARKPACK_ROUNDS=N` makes N times as many documents.

use std::{fmt::Write as _, path::Path, process::Command};

use serde_json::{Value, json};

use crate::support::{TestProject, rounds, small};

const REPOSITORY: &str = "registry.example:5000/small/job";
const HEX: &str = "0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9";

/// Random decisions from a seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(bound).unwrap()).unwrap()
    }

    fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }

    fn of<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    /// A word that is in no list: two to four syllables.
    fn word(&mut self) -> String {
        let syllables = [
            "ba", "ko", "ri", "lun", "mes", "ta", "vol", "zen", "qui", "dro",
        ];
        (0..2 + self.below(3))
            .map(|_| self.of(&syllables))
            .collect()
    }

    /// A word that is not the image's.
    fn other_word(&mut self) -> String {
        format!("pre{}", self.word())
    }
}

/// One of the ways to write several words as one key.
fn key(chance: &mut Chance, words: &[&str]) -> String {
    let capital = |word: &&str| word[..1].to_uppercase() + &word[1..];
    match chance.below(4) {
        0 => words.join("_"),
        1 => words.join("-"),
        2 => words.join("_").to_uppercase(),
        _ => words[0].to_owned() + &words[1..].iter().map(capital).collect::<String>(),
    }
}

/// What a document is to show.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sort {
    /// The tag can be told: it is written.
    Clear,
    /// Two keys may hold it, or a digest stands beside it: an error.
    Unclear,
    /// It has no tag: a warning.
    Alone,
}

/// A document, and what is known of it.
struct Made {
    text: String,
    /// The images that its chart runs, each with the paths of its parts.
    images: Vec<Value>,
}

/// The keys of one mapping with their values, and which of them are the image's.
struct Entries {
    entries: Vec<(String, String)>,
    parts: Vec<(&'static str, usize)>,
}

impl Entries {
    fn add(&mut self, key: String, value: &str) -> Option<usize> {
        let lower = |key: &str| key.to_lowercase().replace(['_', '-'], "");
        let is_new = self
            .entries
            .iter()
            .all(|(other, _)| lower(other) != lower(&key));
        is_new.then(|| {
            self.entries.push((key, value.to_owned()));
            self.entries.len() - 1
        })
    }

    fn part(&mut self, part: &'static str, key: String, value: &str) {
        let index = self
            .add(key, value)
            .expect("the first keys are all different");
        self.parts.push((part, index));
    }
}

fn entries(chance: &mut Chance, sort: Sort, tag: &str) -> Entries {
    let stem = chance.word();
    let has_stem = sort == Sort::Alone || chance.one_in(2);
    let named = |chance: &mut Chance, tails: &[&str]| {
        let tail = chance.of(tails);
        let mut words: Vec<&str> = tail.split(' ').collect();
        if has_stem {
            words.insert(0, &stem);
        }
        key(chance, &words)
    };
    let mut made = Entries {
        entries: Vec::new(),
        parts: Vec::new(),
    };
    let images = if sort == Sort::Alone {
        ["mirror", "source", "image", "home"]
    } else {
        ["image", "repository", "image repository", "image name"]
    };
    let name = named(chance, &images);
    let has_registry = sort == Sort::Clear && chance.one_in(5);
    if has_registry {
        let (host, path) = REPOSITORY.split_once('/').unwrap();
        made.part(
            "registry",
            named(chance, &["registry", "image registry"]),
            host,
        );
        made.part("repository", name, path);
    } else {
        made.part("repository", name, REPOSITORY);
    }
    let old = chance.of(&["old", "0.1.0", "2024.01", "v7", "0123456789abcdef", tag]);
    if sort != Sort::Alone {
        let tail = ["tag", "image tag", "version"];
        let tag_key = if chance.one_in(3) {
            chance.of(&["tag", "imageTag", "version"]).to_owned()
        } else {
            named(chance, &tail)
        };
        made.part("tag", tag_key, old);
        let bare = format!("\"{HEX}\"");
        let digest = chance
            .of(&["\"\"", &format!("sha256:{HEX}"), &bare])
            .to_owned();
        if sort == Sort::Clear && chance.one_in(3) {
            made.part(
                "digest",
                named(chance, &["digest", "sha", "image digest"]),
                &digest,
            );
        }
    }
    if sort == Sort::Unclear {
        let digest = format!("sha256:{HEX}");
        let other = chance.other_word();
        let added = match chance.below(3) {
            0 => made.add("release".to_owned(), tag),
            1 => made.add(format!("{other}Checksum"), &digest),
            _ => None,
        };
        if added.is_none() {
            let mut rest = ["tag", "imageTag", "version"].into_iter();
            while rest
                .next()
                .is_some_and(|key| made.add(key.to_owned(), "1").is_none())
            {}
        }
    }
    decoys(chance, &mut made);
    made
}

/// Keys that have nothing to do with the image.
fn decoys(chance: &mut Chance, made: &mut Entries) {
    for _ in 0..chance.below(5) {
        let other = chance.other_word();
        let decoy = match chance.below(9) {
            0 => ("apiVersion".to_owned(), "1".to_owned()),
            1 => ("sparkVersion".to_owned(), "3.5.1".to_owned()),
            2 => ("python_version".to_owned(), "\"3.11\"".to_owned()),
            3 => ("chartVersion".to_owned(), "0123456789abcdef".to_owned()),
            4 => ("appVersion".to_owned(), "old".to_owned()),
            5 => (key(chance, &[&other, "version"]), "1.2.3".to_owned()),
            6 => ("pullPolicy".to_owned(), "Always".to_owned()),
            7 => (key(chance, &[&other, "enabled"]), "true".to_owned()),
            _ => (
                other,
                "registry.example:5000/team/jobs-of-others".to_owned(),
            ),
        };
        made.add(decoy.0, &decoy.1);
    }
    if chance.one_in(4) {
        let other = chance.other_word();
        made.add(format!("{other}Image"), "busybox");
        made.add(format!("{other}Tag"), "old");
        made.add(format!("{other}Digest"), &format!("sha256:{HEX}"));
    }
}

fn document(chance: &mut Chance, sort: Sort, tag: &str) -> Made {
    let mut made = entries(chance, sort, tag);
    let mut order: Vec<usize> = (0..made.entries.len()).collect();
    for end in (1..order.len()).rev() {
        let other = chance.below(end + 1);
        order.swap(end, other);
    }
    let depth = chance.below(3);
    let mut path: Vec<String> = Vec::new();
    let mut text = String::new();
    for level in 0..depth {
        let around = chance.word();
        let _ = writeln!(text, "{}{around}:", "  ".repeat(level));
        path.push(around);
    }
    let indent = "  ".repeat(depth);
    // The order of the keys, if they are a list of names and values.
    let mut items: Option<Vec<usize>> = None;
    if chance.one_in(4) {
        let pairs = order.iter().map(|index| {
            let (key, value) = &made.entries[*index];
            format!("{key}: {value}")
        });
        let pairs: Vec<String> = pairs.collect();
        let _ = writeln!(text, "{indent}values: {{{}}}", pairs.join(", "));
        path.push("values".to_owned());
    } else if sort != Sort::Alone && chance.one_in(5) {
        let _ = writeln!(text, "{indent}variables:");
        path.push("variables".to_owned());
        for index in &order {
            let (key, value) = &made.entries[*index];
            let _ = writeln!(text, "{indent}- name: {key}\n{indent}  value: {value}");
        }
        items = Some(order);
    } else {
        for index in order {
            let (key, value) = &made.entries[index];
            let is_plain = !value.starts_with('"');
            let quote = chance.of(&["", "", "\"", "'"]);
            let quote = if is_plain { quote } else { "" };
            let anchor = if chance.one_in(8) {
                format!("&a{index} ")
            } else {
                String::new()
            };
            let comment = chance.of(&["", "", "  # as it was", "   "]);
            let _ = writeln!(
                text,
                "{indent}{key}: {anchor}{quote}{value}{quote}{comment}"
            );
            if chance.one_in(6) {
                let _ = writeln!(text, "{indent}# tag: old");
            }
        }
    }
    let parts: serde_json::Map<String, Value> = std::mem::take(&mut made.parts)
        .into_iter()
        .map(|(part, index)| {
            let item = items
                .as_ref()
                .and_then(|items| items.iter().position(|of| *of == index));
            let tail = match item {
                Some(item) => vec![item.to_string(), "value".to_owned()],
                None => vec![made.entries[index].0.clone()],
            };
            let path = [path.as_slice(), &tail].concat();
            (part.to_owned(), json!(path))
        })
        .collect();
    let reference = format!("{REPOSITORY}:{tag}");
    let images = match sort {
        Sort::Clear => vec![json!({"parts": parts, "reference": reference})],
        Sort::Unclear | Sort::Alone => Vec::new(),
    };
    Made { text, images }
}

const ROOT: &str = "registry.example/root:1";

fn project() -> TestProject {
    let project = small::project(ROOT, "registry.example:5000");
    project.write("sparkpack.lock", &small::lock(ROOT));
    project
}

fn documents(chance: &mut Chance, count: usize, sort: Sort, tag: &str) -> (String, Vec<Made>) {
    let made: Vec<Made> = (0..count).map(|_| document(chance, sort, tag)).collect();
    let texts: Vec<&str> = made.iter().map(|made| made.text.as_str()).collect();
    (texts.join("---\n"), made)
}

#[test]
fn what_is_written_renders_as_the_current_reference() {
    let project = project();
    let reference = project.reference("job");
    let tag = reference.rsplit_once(':').unwrap().1;
    let mut chance = Chance(0x5eed);
    for _ in 0..rounds() {
        let (before, made) = documents(&mut chance, 1000, Sort::Clear, tag);
        project.write("kubernetes/values.yml", &before);
        project.write("before.yaml", &before);
        let truth: Vec<Value> = made
            .iter()
            .map(|made| json!({"images": made.images}))
            .collect();
        project.write("truth.json", &json!(truth).to_string());
        project.succeed(&["pin"]);
        assert_eq!(project.run(&["check"]).code, 0);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/manifests/render.py");
        let output = Command::new("python3")
            .arg(script)
            .args(["before.yaml", "kubernetes/values.yml", "truth.json"])
            .current_dir(project.root())
            .output()
            .expect("python3: scripts/test installs it, with PyYAML");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{}",
            &errors[..errors.len().min(4000)]
        );
        let counted: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(counted, json!({"documents": 1000, "images": 1000}));
    }
}

#[test]
fn what_cannot_be_told_is_an_error_and_nothing_is_written() {
    let project = project();
    let reference = project.reference("job");
    let tag = reference.rsplit_once(':').unwrap().1;
    let mut chance = Chance(0xd0b7);
    for _ in 0..rounds() {
        let (before, made) = documents(&mut chance, 300, Sort::Unclear, tag);
        project.write("kubernetes/values.yml", &before);
        let pin = project.run(&["pin"]);
        assert_eq!(pin.code, 2, "{}", pin.stderr);
        assert_eq!(project.read("kubernetes/values.yml"), before);
        let told =
            pin.stderr.matches("error[E206]").count() + pin.stderr.matches("error[E207]").count();
        assert_eq!(told, made.len(), "{}", pin.stderr);
    }
}

#[test]
fn a_repository_alone_is_told_and_left_alone() {
    let project = project();
    let reference = project.reference("job");
    let tag = reference.rsplit_once(':').unwrap().1;
    project.succeed(&["pin"]);
    let mut chance = Chance(0xa10e);
    for _ in 0..rounds() {
        let (before, made) = documents(&mut chance, 300, Sort::Alone, tag);
        project.write("kubernetes/values.yml", &before);
        let pin = project.succeed(&["pin"]);
        assert_eq!(project.read("kubernetes/values.yml"), before);
        let told = pin.stderr.matches("warning[W120]").count();
        assert_eq!(told, made.len(), "{}", pin.stderr);
    }
}
