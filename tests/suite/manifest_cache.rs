//! A manifest without findings is not read again, until it changes or anything that the result depends on.
//!
//! strace shows which manifests a run opens.

use std::{os::unix::fs::MetadataExt, path::PathBuf, process::Command, thread::sleep};

use sparkpack::image::Digest;

use crate::support::{Run, SETTLED, TestProject, program, run, small};

const ROOT: &str = "registry.example/root:1";

/// The small project, pinned, with unrelated manifests, checked once after all files were old enough to be cached.
fn project(more: &[(&str, &str)]) -> TestProject {
    let project = small::project(ROOT, "registry.example");
    project.write("sparkpack.lock", &small::lock(ROOT));
    project.write(
        "kubernetes/other.yml",
        "apiVersion: example.com/v1\nkind: Other\nspec: {thing: 5}\n",
    );
    for (old, new) in more {
        project.edit("sparkpack.toml", old, new);
    }
    project.succeed(&["lock"]);
    project.succeed(&["pin"]);
    settle(&project);
    project
}

fn settle(project: &TestProject) {
    sleep(SETTLED);
    check(project);
}

/// Runs a check that finds nothing.
fn check(project: &TestProject) {
    let run = project.succeed(&["check"]);
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", ""));
}

/// Runs sparkpack, and returns the names of the manifests that it opens.
fn opened(project: &TestProject, arguments: &[&str]) -> (Run, Vec<String>) {
    let trace = project.home().join("trace");
    let own = project.command(arguments);
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-e", "trace=?open,openat,?openat2", "-o"]);
    command.arg(&trace).arg(own.get_program()).args(arguments);
    command.current_dir(project.root());
    for (name, value) in own.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let run = run(&mut command);
    let trace = fs_err::read_to_string(trace).unwrap();
    assert!(trace.contains("sparkpack.toml"), "{trace}");
    let names = trace.lines().filter_map(|line| {
        let (_, behind) = line.split_once("/kubernetes/")?;
        let (name, _) = behind.split_once('"')?;
        Some(name.to_owned())
    });
    let mut names: Vec<_> = names.collect();
    names.sort();
    (run, names)
}

const BOTH: [&str; 2] = ["nightly.yml", "other.yml"];

/// Runs sparkpack with an empty cache.
fn without_cache(project: &TestProject, arguments: &[&str]) -> Run {
    let empty = tempfile::tempdir().unwrap();
    run(project
        .command(arguments)
        .env("SPARKPACK_CACHE", empty.path()))
}

fn same(left: &Run, right: &Run) -> bool {
    (left.code, &left.stdout, &left.stderr) == (right.code, &right.stdout, &right.stderr)
}

/// Runs a script in the project; `back` gives a file the times that `keep` has stored.
fn shell(project: &TestProject, script: &str) {
    let prelude = "set -eu; cd \"$1\"; keep() { touch -r \"$1\" ../noted; }; back() { touch -r ../noted \"$1\"; };";
    let script = format!("{prelude} {script}");
    program(
        "sh",
        &["-c", &script, "sh", project.root().to_str().unwrap()],
    );
}

/// Another tag of the same length in every reference of the job.
const OTHER_TAG: &str = "s|small/job:[0-9a-f]*|small/job:0123456789abcdef|";

#[test]
fn what_is_in_order_is_not_read_again() {
    let project = project(&[]);
    for arguments in [
        &["check"][..],
        &["check", "--format", "github"],
        &["pin"],
        &["check", "job"],
    ] {
        // For other images the cached result does not hold.
        project.succeed(arguments);
        let (run, names) = opened(&project, arguments);
        assert_eq!(names, [""; 0], "{arguments:?}");
        assert!(same(&run, &without_cache(&project, arguments)));
        assert_eq!(run.code, 0, "{}", run.stderr);
    }
    check(&project);
    shell(&project, "touch -d '1 hour' kubernetes/nightly.yml");
    for _ in 0..2 {
        let (_, names) = opened(&project, &["check"]);
        assert_eq!(names, ["nightly.yml"], "a file of the future");
    }
}

#[test]
fn a_changed_manifest_is_seen() {
    let in_place = format!("sed '{OTHER_TAG}' $one >../new; cat ../new >$one");
    let table = [
        (
            "another size",
            "",
            "sed -i 's|small/job:|small/job:x|' $one".to_owned(),
        ),
        ("the same size", "", in_place.clone()),
        (
            "the same size and time",
            "",
            format!("keep $one; {in_place}; back $one"),
        ),
        (
            "another file of the same size and time",
            "",
            format!(
                "keep $one; sed '{OTHER_TAG}' $one >../new; touch -r ../noted ../new; mv ../new $one"
            ),
        ),
        (
            "a link in its place",
            "sed '${OTHER}' $one >shared.yml; keep $one; back shared.yml",
            "rm $one; ln -s ../shared.yml $one".to_owned(),
        ),
        (
            "the target of a link",
            "mv $one shared.yml; ln -s ../shared.yml $one",
            format!(
                "keep shared.yml; sed '{OTHER_TAG}' $one >../new; cat ../new >shared.yml; back shared.yml"
            ),
        ),
        (
            "another target of a link",
            "mv $one shared.yml; sed '${OTHER}' shared.yml >others.yml; touch -r shared.yml others.yml; ln -s ../shared.yml $one",
            "ln -sfn ../others.yml $one".to_owned(),
        ),
        (
            "a link for its folder",
            "cp -a kubernetes others; sed '${OTHER}' $one >others/nightly.yml; touch -r $one others/nightly.yml",
            "mv kubernetes before; ln -s others kubernetes".to_owned(),
        ),
    ];
    for (what, before, edit) in table {
        let project = project(&[]);
        let one = "one=kubernetes/nightly.yml;";
        if !before.is_empty() {
            shell(
                &project,
                &format!("{one} {}", before.replace("${OTHER}", OTHER_TAG)),
            );
            settle(&project);
        }
        let (_, names) = opened(&project, &["check"]);
        assert_eq!(names, [""; 0], "{what}: before the edit");
        shell(&project, &format!("{one} {edit}"));
        let run = project.run(&["check"]);
        assert_eq!(run.code, 1, "{what}\n{}", run.stderr);
        assert!(same(&run, &without_cache(&project, &["check"])), "{what}");
    }
}

#[test]
fn all_that_the_answer_depends_on_is_asked_for() {
    let name = "project = \"small\"\n";
    let pinned = "project = \"small\"\npin = \"tag+digest\"\n";
    let with = |line: &str| format!("{name}{line}\n");
    let place = "[[places]]\ngroup = \"example.com\"\nkind = \"Other\"\npath = \"spec.thing\"\n\n[manifests]\n";
    let table = [
        (
            "formerly",
            1,
            with("formerly = [\"registry.example/other\"]"),
        ),
        (
            "reference",
            2,
            with("reference = \"{registry}/spark:{image}-{fingerprint}\""),
        ),
        ("anchors", 0, with("anchors = [\"kubernetes/*.yml\"]")),
        ("pin", 0, pinned.to_owned()),
    ];
    let mut table: Vec<_> = table
        .into_iter()
        .map(|(what, code, new)| (what, code, name.to_owned(), new))
        .collect();
    table.push(("places", 2, "[manifests]\n".to_owned(), place.to_owned()));
    let registry = |prefix: &str| format!("registries.main = \"registry.example/{prefix}\"\n");
    table.push(("registries", 2, registry("small"), registry("new")));
    for (what, code, old, new) in table {
        let project = project(&[]);
        project.edit("sparkpack.toml", &old, &new);
        let fresh = without_cache(&project, &["check"]);
        let (run, names) = opened(&project, &["check"]);
        assert_eq!(names, BOTH, "{what}");
        assert_eq!(run.code, code, "{what}\n{}", run.stderr);
        assert!(same(&run, &fresh), "{what}: {}{}", run.stderr, fresh.stderr);
    }

    let project = project(&[(name, pinned)]);
    let tags = project.succeed(&["tags", "--format", "json"]).stdout;
    let tags: serde_json::Value = serde_json::from_str(&tags).unwrap();
    let mut images = tags["images"].as_array().unwrap().iter();
    let job = images.find(|image| image["name"] == "job").unwrap();
    let digest = Digest::of(b"pushed");
    let line = format!(
        "main {} linux/amd64 {} {digest}\n",
        job["repository"].as_str().unwrap(),
        job["fingerprint"].as_str().unwrap()
    );
    project.write("sparkpack.pins", &line);
    let run = project.run(&["check"]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(run.stdout.contains(&format!("@{digest}")), "{}", run.stdout);
    project.succeed(&["pin"]);
    settle(&project);
    assert_eq!(opened(&project, &["check"]).1, [""; 0]);

    project.edit("src/jobs/one.py", "VALUE = 1", "VALUE = 2");
    let run = project.run(&["check"]);
    assert_eq!(run.code, 1, "another tag: {}", run.stderr);
}

/// The file of the manifest cache, which must exist.
fn cache_file(project: &TestProject) -> PathBuf {
    let folder = project.root().parent().unwrap().join("cache/manifests");
    let mut files = fs_err::read_dir(folder).unwrap().map(Result::unwrap);
    let file = files.next().unwrap().path();
    assert!(files.next().is_none());
    file
}

/// The text of a cache file with a part replaced, and with the digest corrected.
fn forged(bytes: &[u8], old: &str, new: &str) -> Vec<u8> {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let (_, text) = text.split_once('\n').unwrap();
    assert!(text.contains(old), "{text}");
    let text = text.replace(old, new);
    format!("{}\n{text}", Digest::of(text.as_bytes()).hex()).into_bytes()
}

#[test]
fn a_bad_cache_costs_time_only() {
    let project = project(&[]);
    let file = cache_file(&project);
    let bytes = fs_err::read(&file).unwrap();
    let half = bytes.len() / 2;
    let text = String::from_utf8(bytes.clone()).unwrap();
    let misspelt = text.replace("\"job\"", "\"jab\"");
    assert_ne!(text, misspelt);
    let version = format!("\"version\":\"{}\"", env!("CARGO_PKG_VERSION"));
    let damages = [
        ("empty", Vec::new()),
        ("cut", bytes[..half].to_vec()),
        ("longer", [&bytes[..], b"}"].concat()),
        ("another image", misspelt.into_bytes()),
        ("none of ours", b"\x00\xff\n{}".to_vec()),
        (
            "of another version",
            forged(&bytes, &version, "\"version\":\"0.0.0\""),
        ),
        (
            "of another reader",
            forged(&bytes, "\"reader\":", "\"reader\":1"),
        ),
    ];
    for (what, damaged) in damages {
        fs_err::write(&file, damaged).unwrap();
        let (run, names) = opened(&project, &["check"]);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{what}");
        assert_eq!(names, BOTH, "{what}");
        assert_eq!(opened(&project, &["check"]).1, [""; 0], "{what}: mended");
    }
    for offset in (0..bytes.len()).step_by(41) {
        let mut damaged = bytes.clone();
        damaged[offset] ^= 1;
        fs_err::write(&file, damaged).unwrap();
        check(&project);
    }
}

#[test]
fn a_cache_that_is_not_ours_or_cannot_be_written_is_none() {
    let project = project(&[]);
    let file = cache_file(&project);
    if fs_err::metadata(&file).unwrap().uid() == 0 {
        program("chown", &["4242", file.to_str().unwrap()]);
        assert_eq!(opened(&project, &["check"]).1, BOTH, "another user's");
        assert_eq!(opened(&project, &["check"]).1, [""; 0]);
    }
    fs_err::remove_file(&file).unwrap();
    program("mkfifo", &[&file]);
    assert_eq!(opened(&project, &["check"]).1, BOTH, "a pipe");

    let folder = file.parent().unwrap();
    fs_err::remove_dir_all(folder).unwrap();
    fs_err::write(folder, "no folder").unwrap();
    for _ in 0..2 {
        let (run, names) = opened(&project, &["check"]);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""));
        assert_eq!(names, BOTH, "nothing can be kept");
    }
}

#[test]
fn what_is_left_alone_is_told_every_time() {
    let project = project(&[]);
    for arguments in [&["check", "-v"][..], &["check", "--format", "json"]] {
        let (warm, names) = opened(&project, arguments);
        assert_eq!(names, BOTH);
        let told = format!("{}{}", warm.stdout, warm.stderr);
        assert!(told.contains("it is no image of this project"), "{told}");
        assert!(same(&warm, &without_cache(&project, arguments)));
    }
    assert_eq!(opened(&project, &["check"]).1, [""; 0]);
}
