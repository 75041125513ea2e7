//! Rewritten manifests differ from the old ones only in the bytes of the images: a corpus of difficult files, and
//! random files.
//!
//! The expected texts are written by hand (`tests/manifests/out`) or generated with the input, never by sparkpack.
//! `tests/manifests/compare.py` compares both sides with other YAML parsers.

mod generated;

use std::{
    collections::BTreeMap,
    io::Write as _,
    ops::Range,
    path::{Path, PathBuf},
    process::Stdio,
    thread,
};

use serde_json::Value;

use crate::support::{TestProject, small};

const REGISTRY: &str = "registry.example:5000/team";

const CONFIGURATION: &str = r#"format = 1
project = "hard"
registries.main = "registry.example:5000/team"
formerly = ["old.example/team", "127.0.0.1:5000/deep/er"]

[chains.main]
spark = "4.1.4"
python = "3.11"
root = "registry.example/root:1"

[manifests]
main = ["kubernetes/**"]
"#;

const FOUR_IMAGES: &str = r#"
[images.base]
dockerfile = "docker/base/Dockerfile"

[images.ds]
parent = "base"
dockerfile = "docker/ds/Dockerfile"

[images.side]
parent = "base"
dockerfile = "docker/side/Dockerfile"

[images.job]
parent = "ds"
dockerfile = "docker/job/Dockerfile"
src = "src"
"#;

/// Only two images, because each one costs time for every value in a debug build.
const TWO_IMAGES: &str = r#"
[images.side]
dockerfile = "docker/base/Dockerfile"

[images.job]
parent = "side"
dockerfile = "docker/job/Dockerfile"
src = "src"
"#;

fn project(images: &str) -> TestProject {
    let on_parent = "ARG PARENT\nFROM ${PARENT}\n";
    let project = TestProject::new(&[
        ("sparkpack.toml", &format!("{CONFIGURATION}{images}")),
        (
            "docker/base/Dockerfile",
            "ARG ROOT\nFROM ${ROOT}\nCOPY docker/base/base.txt /opt/\n",
        ),
        ("docker/base/base.txt", "base\n"),
        (
            "docker/ds/Dockerfile",
            &format!("{on_parent}COPY docker/ds/ds.txt /opt/\n"),
        ),
        ("docker/ds/ds.txt", "ds\n"),
        (
            "docker/side/Dockerfile",
            &format!("{on_parent}COPY docker/side/side.txt /opt/\n"),
        ),
        ("docker/side/side.txt", "side\n"),
        (
            "docker/job/Dockerfile",
            &format!("{on_parent}COPY dist/jobs.zip dist/main.py /opt/job/\n"),
        ),
        ("src/main.py", "print('main')\n"),
        ("src/jobs/__init__.py", ""),
    ]);
    project.write("sparkpack.lock", &small::lock("registry.example/root:1"));
    project.write("kubernetes/none.yml", "# to be replaced\n");
    project
}

/// The output of `sparkpack tags` for the images of a checkout.
struct Tags {
    json: String,
    /// The tags by image.
    tags: BTreeMap<String, String>,
}

impl Tags {
    fn of(project: &TestProject) -> Self {
        let json = project.succeed(&["tags", "--format", "json"]).stdout;
        let document: Value = serde_json::from_str(&json).unwrap();
        let images = document["images"].as_array().unwrap().iter();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let tags: BTreeMap<_, _> = images
            .map(|image| (text(&image["name"]), text(&image["tag"])))
            .collect();
        Self { json, tags }
    }

    fn reference(&self, image: &str) -> String {
        format!("{REGISTRY}/{image}:{}", self.tags[image])
    }

    /// Fills a text of `out`: `«job»` is the present tag of the image `job`, `«registry»` its registry with the prefix,
    /// `«host»` the registry alone, and `«»` nothing. Also returns the number of placeholders, which is the number of
    /// changed values.
    fn fill(&self, text: &str) -> (String, usize) {
        let mut filled = String::with_capacity(text.len());
        let mut pieces = text.split('«');
        filled.push_str(pieces.next().unwrap());
        let mut count = 0;
        for piece in pieces {
            let (name, rest) = piece.split_once('»').unwrap();
            filled.push_str(match name {
                "registry" => REGISTRY,
                "host" => REGISTRY.split('/').next().unwrap(),
                "" => "",
                image => &self.tags[image],
            });
            filled.push_str(rest);
            count += 1;
        }
        (filled, count)
    }
}

/// The files below a folder, by relative path.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = walkdir::WalkDir::new(folder)
        .into_iter()
        .map(Result::unwrap)
        .filter(|entry| entry.file_type().is_file());
    entries
        .map(|entry| {
            let path = entry
                .path()
                .strip_prefix(folder)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            (path, fs_err::read(entry.path()).unwrap())
        })
        .collect()
}

/// The first line at which two texts differ, for readable failures.
fn first_difference(got: &[u8], wanted: &[u8]) -> String {
    let [got, wanted] = [got, wanted].map(|text| String::from_utf8_lossy(text).into_owned());
    let (mut left, mut right) = (
        got.split_inclusive(['\n', '\r']),
        wanted.split_inclusive(['\n', '\r']),
    );
    for line in 1.. {
        match (left.next(), right.next()) {
            (None, None) => break,
            (left, right) if left == right => {}
            (left, right) => {
                return format!("line {line}\n   got {left:?}\nwanted {right:?}");
            }
        }
    }
    "no line".to_owned()
}

fn assert_manifests(project: &TestProject, wanted: &BTreeMap<String, String>, when: &str) {
    let got = files(&project.root().join("kubernetes"));
    assert!(got.keys().eq(wanted.keys()), "{when}: other files");
    let differ: Vec<String> = wanted
        .iter()
        .filter(|(name, wanted)| got[*name] != wanted.as_bytes())
        .map(|(name, wanted)| {
            format!(
                "{name}, {}",
                first_difference(&got[name], wanted.as_bytes())
            )
        })
        .collect();
    assert!(
        differ.is_empty(),
        "{when}: {} files differ\n{}",
        differ.len(),
        differ[..differ.len().min(20)].join("\n")
    );
}

/// Replaces the project's manifests by these.
fn lay_out<'a>(project: &TestProject, manifests: impl IntoIterator<Item = (&'a String, &'a [u8])>) {
    let folder = project.root().join("kubernetes");
    fs_err::remove_dir_all(&folder).unwrap();
    for (name, bytes) in manifests {
        let file = folder.join(name);
        fs_err::create_dir_all(file.parent().unwrap()).unwrap();
        fs_err::write(file, bytes).unwrap();
    }
}

/// Pins twice: the manifests are as wanted both times, and the second run reports no changes.
fn assert_pins(project: &TestProject, wanted: &BTreeMap<String, String>) {
    let first = project.run(&["pin", "--exit-code"]);
    assert_eq!(first.code, 1, "{}", first.stderr);
    assert!(!first.stderr.contains("error[E0"), "{}", first.stderr);
    assert_manifests(project, wanted, "after the first run");
    let second = project.succeed(&["pin", "--exit-code"]);
    assert_manifests(project, wanted, "after the second run");
    assert!(!second.stderr.contains(" is now "), "{}", second.stderr);
    assert_eq!(second.stdout, "");
}

/// The results of the other parsers, by file: the number of different values, and which parsers could read the file.
fn compared(
    options: &[&str],
    before: &Path,
    after: &Path,
    tags: &Tags,
) -> BTreeMap<String, (usize, Vec<String>)> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/manifests/compare.py");
    let mut child = std::process::Command::new("python3")
        .arg(script)
        .args(options)
        .args([before, after])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python3: scripts/test installs it, with PyYAML and ruamel.yaml");
    child
        .stdin
        .take()
        .unwrap()
        .write_all(tags.json.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let results = document["files"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, result)| {
            let readers = result["readers"].as_array().unwrap().iter();
            let readers = readers
                .map(|reader| reader.as_str().unwrap().to_owned())
                .collect();
            let changed = usize::try_from(result["changed"].as_u64().unwrap()).unwrap();
            (name.clone(), (changed, readers))
        });
    results.collect()
}

/// Writes files below a folder, for the other parsers.
fn write_all<'a>(
    folder: &Path,
    files: impl IntoIterator<Item = (&'a String, &'a [u8])>,
) -> PathBuf {
    for (name, bytes) in files {
        let file = folder.join(name);
        fs_err::create_dir_all(file.parent().unwrap()).unwrap();
        fs_err::write(file, bytes).unwrap();
    }
    folder.to_owned()
}

fn corpus(side: &str) -> BTreeMap<String, Vec<u8>> {
    files(
        &Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/manifests")
            .join(side),
    )
}

/// Whether the file is not YAML, or is YAML only after rendering.
fn is_template(name: &str) -> bool {
    name.contains("/templates/") || [".j2", ".tpl", ".py"].iter().any(|end| name.ends_with(end))
}

#[test]
fn hard_files_change_only_in_their_images() {
    let project = project(FOUR_IMAGES);
    let tags = Tags::of(&project);
    let before = corpus("in");
    assert!(before.len() >= 60, "{} files", before.len());
    let mut changes = BTreeMap::new();
    let mut wanted = BTreeMap::new();
    for (name, bytes) in corpus("out") {
        let (text, count) = tags.fill(&String::from_utf8(bytes).unwrap());
        changes.insert(name.clone(), count);
        wanted.insert(name, text);
    }
    assert!(
        before.keys().eq(wanted.keys()),
        "in and out have the same files"
    );
    lay_out(
        &project,
        before.iter().map(|(name, bytes)| (name, bytes.as_slice())),
    );
    assert_pins(&project, &wanted);
    // Outdated references elsewhere in the manifest have to be fixed by a person.
    let check = project.run(&["check", "--format", "json"]);
    let document: serde_json::Value = serde_json::from_str(&check.stdout).unwrap();
    assert_eq!(document["changes"], serde_json::json!([]));
    let elsewhere: Vec<&str> = document["drift"]
        .as_array()
        .unwrap()
        .iter()
        .map(|drift| drift["file"].as_str().unwrap())
        .collect();
    assert!(
        elsewhere.contains(&"kubernetes/strings-elsewhere.yml"),
        "{elsewhere:?}"
    );

    let folder = tempfile::tempdir().unwrap();
    let yaml = |name: &&String| !is_template(name);
    let old = before
        .iter()
        .map(|(name, bytes)| (name, bytes.as_slice()))
        .filter(|(name, _)| yaml(name));
    let old = write_all(&folder.path().join("before"), old);
    let new = wanted
        .iter()
        .map(|(name, text)| (name, text.as_bytes()))
        .filter(|(name, _)| yaml(name));
    let new = write_all(&folder.path().join("after"), new);
    let compared = compared(&[], &old, &new, &tags);
    changes.retain(|name, _| yaml(&name));
    let seen: BTreeMap<String, usize> = compared
        .into_iter()
        .map(|(name, (changed, _))| (name, changed))
        .collect();
    assert_eq!(
        seen, changes,
        "the other readers see as many changes as there are placeholders"
    );
}

/// 10^5 documents in 2,000 random files, in two projects at once; the other parsers compare 300 of the files.
#[test]
fn files_by_chance_change_only_in_their_images() {
    let seen = thread::scope(|scope| {
        let halves =
            [0, 1000].map(|first| scope.spawn(move || pin_files_by_chance(first..first + 1000)));
        halves.map(|half| half.join().unwrap())
    });
    let by_all = seen.iter().sum::<usize>();
    assert!(by_all >= 270, "only {by_all} of 300 files are read by all");
}

/// Pins the random files of some seeds, and returns how many of the first 150 all other parsers can read.
fn pin_files_by_chance(seeds: Range<u64>) -> usize {
    let project = project(TWO_IMAGES);
    let tags = Tags::of(&project);
    let reference = |image: &str| tags.reference(image);
    let mut all = BTreeMap::new();
    for (number, seed) in seeds.enumerate() {
        let is_for_others = number < 150;
        let wish = generated::Wish {
            documents: if is_for_others { 1 + number % 3 } else { 59 },
            has_oddities: !is_for_others,
            reference: &reference,
        };
        all.insert(format!("{seed:04}.yml"), generated::file(seed, &wish));
    }
    lay_out(
        &project,
        all.iter()
            .map(|(name, file)| (name, file.before.as_bytes())),
    );
    let wanted = all
        .iter()
        .map(|(name, file)| (name.clone(), file.after.clone()))
        .collect();
    assert_pins(&project, &wanted);

    let folder = tempfile::tempdir().unwrap();
    let sample = || all.iter().take(150);
    let old = write_all(
        &folder.path().join("before"),
        sample().map(|(name, file)| (name, file.before.as_bytes())),
    );
    let new = write_all(
        &folder.path().join("after"),
        sample().map(|(name, file)| (name, file.after.as_bytes())),
    );
    let seen = compared(&["--either"], &old, &new, &tags);
    for (name, file) in sample() {
        assert_eq!(seen[name].0, file.changes, "{name}\n{}", file.before);
    }
    seen.values()
        .filter(|(_, readers)| readers.len() == 3)
        .count()
}
