//! `sparkpack.pins`: written by a push if manifests hold digests, and verified by `check --remote`.

use std::{collections::BTreeMap, os::unix::fs::MetadataExt};

use crate::support::{Chain, Run, docker, make_other_bytes, program};

/// A project with `pin = "tag+digest"` and a registry.
fn chain(name: &str) -> Chain {
    let chain = Chain::with_registry(name);
    chain.project.edit(
        "sparkpack.toml",
        "project = \"small\"\n",
        "project = \"small\"\npin = \"tag+digest\"\n",
    );
    chain
}

impl Chain {
    /// The line that a push must write, from the output of `tags` and the push.
    fn line(&self, image: &str, push: &Run) -> String {
        let tags: serde_json::Value =
            serde_json::from_str(&self.project.succeed(&["tags", "--format", "json"]).stdout)
                .unwrap();
        let images = tags["images"].as_array().unwrap().iter();
        let found = images.clone().find(|found| found["name"] == image).unwrap();
        let text = |key: &str| found[key].as_str().unwrap();
        format!(
            "main {} linux/amd64 {} {}",
            text("repository"),
            text("fingerprint"),
            digests(push)[text("reference")]
        )
    }

    fn lines(&self) -> Vec<String> {
        let text = self.project.read("sparkpack.pins");
        let (head, lines) = text.split_once('\n').unwrap();
        assert!(head.starts_with("# ") && text.ends_with('\n'), "{text}");
        lines.lines().map(str::to_owned).collect()
    }

    /// Deletes an image's manifest in the registry, as a clean-up does.
    fn delete(&self, repository: &str, digest: &str) {
        let path = repository.split_once('/').unwrap().1;
        let url = format!("http://{}/v2/{path}/manifests/{digest}", self.host);
        let credentials = Self::credentials();
        let request = ["--fail", "--silent", "--show-error", "--request", "DELETE"];
        program(
            "curl",
            &[&request[..], &["--user", &credentials, &url]].concat(),
        );
    }
}

/// The digests that a push printed, by reference.
fn digests(push: &Run) -> BTreeMap<String, String> {
    let lines = push.stdout.lines();
    lines
        .map(|line| {
            let (reference, digest) = line.split_once('@').unwrap();
            (reference.to_owned(), digest.to_owned())
        })
        .collect()
}

#[test]
fn a_push_pins_what_arrived_and_a_second_one_changes_no_byte() {
    let chain = chain("pins-push");
    let project = &chain.project;
    let part = project.succeed(&["push", "side"]);
    assert_eq!(
        chain.lines(),
        ["base", "side"].map(|image| chain.line(image, &part)),
        "what it stands on has arrived as well"
    );
    let first = project.succeed(&["push"]);
    let lines = ["base", "ds", "job", "side"].map(|image| chain.line(image, &first));
    assert_eq!(chain.lines(), lines);
    assert!(first.stderr.contains("sparkpack.pins: has the digests"));

    let file = project.root().join("sparkpack.pins");
    let before = (
        project.read("sparkpack.pins"),
        fs_err::metadata(&file).unwrap().ino(),
    );
    let second = project.succeed(&["push"]);
    assert!(second.stderr.contains("nothing to do"), "{}", second.stderr);
    let after = (
        project.read("sparkpack.pins"),
        fs_err::metadata(&file).unwrap().ino(),
    );
    assert_eq!(after, before);
    // Different line ends are no reason to write the file either.
    project.write("sparkpack.pins", &before.0.replace('\n', "\r\n"));
    project.succeed(&["push"]);
    assert_eq!(
        project.read("sparkpack.pins"),
        before.0.replace('\n', "\r\n")
    );
}

/// With `pin = "tag"`, a push of a clean checkout must leave it clean.
#[test]
fn with_tags_alone_nothing_is_pinned() {
    let chain = chain("pins-tags");
    chain.project.edit("sparkpack.toml", "tag+digest", "tag");
    chain.project.succeed(&["push"]);
    assert!(!chain.project.root().join("sparkpack.pins").exists());
    chain.project.write("sparkpack.pins", "left from before");
    chain.project.succeed(&["push"]);
    chain.project.succeed(&["check", "--remote"]);
    assert_eq!(chain.project.read("sparkpack.pins"), "left from before");
}

#[test]
fn only_lines_of_this_registry_that_nothing_stands_for_are_dropped() {
    let chain = chain("pins-dropped");
    let project = &chain.project;
    let first = project.succeed(&["push"]);
    let old = chain.line("side", &first);
    let foreign = old.replacen("main ", "prod ", 1);
    let elsewhere = old.replacen(&chain.host, "elsewhere.example", 1);
    let gone = old.replacen("/side ", "/gone ", 1);
    let text = project.read("sparkpack.pins");
    project.write(
        "sparkpack.pins",
        &format!("{text}{foreign}\n{elsewhere}\n{gone}\n"),
    );
    project.edit("docker/side/side.txt", "side", "other");
    // The job's line stays, although only another image is pushed.
    let second = project.succeed(&["push", "side"]);
    let new = chain.line("side", &second);
    assert_ne!(new, old);
    let mut wanted = vec![
        chain.line("base", &first),
        chain.line("ds", &first),
        chain.line("job", &first),
        new,
        foreign,
        elsewhere,
    ];
    wanted.sort_unstable();
    assert_eq!(chain.lines(), wanted);
}

#[test]
fn a_push_that_fails_pins_nothing() {
    let chain = chain("pins-failed");
    chain.project.write(
        "docker/side/Dockerfile",
        "FROM base\nCOPY docker/side/nothing.txt /opt/\n",
    );
    chain.project.failure(&["push"]);
    assert!(!chain.project.root().join("sparkpack.pins").exists());
}

#[test]
fn a_broken_line_stops_a_push_before_anything_is_sent() {
    let chain = chain("pins-broken");
    chain.project.write("sparkpack.pins", "# x\n<<<<<<< ours\n");
    let failure = chain.project.failure(&["push"]);
    assert_eq!(
        failure,
        "exit 2\nerror[E069]: sparkpack.pins:2:1: a merge left its conflict here\n\
         hint: keep the lines of one side, remove the markers, then run `sparkpack push`\n"
    );
    assert_eq!(chain.registry().requests(), Vec::<String>::new());
}

#[test]
fn what_the_registry_has_lost_is_found() {
    let chain = chain("pins-lost");
    let project = &chain.project;
    let push = project.succeed(&["push"]);
    let before = chain.registry().requests().len();
    project.succeed(&["check", "--remote"]);
    let mut requests = chain.registry().requests().split_off(before);
    requests.retain(|request| !request.starts_with("HEAD /v2/small/"));
    assert_eq!(requests, Vec::<String>::new(), "only HEAD");

    let job = project.reference("job");
    let (repository, _) = job.rsplit_once(':').unwrap();
    let digest = &digests(&push)[&job];
    chain.delete(repository, digest);
    let manifest = project.read("kubernetes/nightly.yml");
    let run = project.run(&["check", "--remote"]);
    assert_ne!(run.code, 0, "{}", run.stderr);
    let line = chain.lines()[2].clone();
    let column = line.rfind(' ').unwrap() + 2;
    for wanted in [
        format!(
            "warning[W109]: sparkpack.pins:4:{column}: `{repository}@{digest}` is no longer in the registry `main`"
        ),
        format!(
            "warning[W109]: kubernetes/nightly.yml:6:17: `{job}` is not in the registry `main`"
        ),
        format!(
            "warning[W109]: kubernetes/nightly.yml:8:14: `{job}` is not in the registry `main`"
        ),
        "hint: `sparkpack push job` makes it again".to_owned(),
    ] {
        assert!(
            run.stderr.contains(&wanted),
            "{wanted}\n{}{manifest}",
            run.stderr
        );
    }
    assert_eq!(
        run.stderr.matches("warning[W109]").count(),
        3,
        "{}",
        run.stderr
    );
    assert_eq!(run.code, 1, "{}", run.stderr);

    // A check of other images does not report the job.
    project.succeed(&["check", "--remote", "side", "base"]);
    // The next push builds the job again or finds it in the daemon; after that there is nothing to report.
    project.succeed(&["push"]);
    project.succeed(&["check", "--remote"]);
}

/// A line for an image of an older checkout is verified too: the image may still be running somewhere.
#[test]
fn a_line_of_an_older_checkout_is_verified_too() {
    let chain = chain("pins-older");
    let project = &chain.project;
    let push = project.succeed(&["push"]);
    let side = project.reference("side");
    let (repository, _) = side.rsplit_once(':').unwrap();
    project.edit("docker/side/side.txt", "side", "other");
    chain.delete(repository, &digests(&push)[&side]);
    let run = project.run(&["check", "--remote"]);
    assert!(
        run.stderr.contains("is no longer in the registry `main`")
            && run
                .stderr
                .contains("hint: no image of this checkout has that fingerprint"),
        "{}",
        run.stderr
    );
}

#[test]
fn an_image_that_is_made_again_moves_its_pin_and_says_who_names_the_old_one() {
    let chain = chain("pins-again");
    let project = &chain.project;
    let first = project.succeed(&["push"]);
    let base = project.reference("base");
    let (repository, _) = base.rsplit_once(':').unwrap();
    let old = digests(&first)[&base].clone();
    let pod = format!(
        "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - image: {base}@{old}\n    name: base\n"
    );
    project.write("kubernetes/pod.yml", &pod);
    chain.delete(repository, &old);
    // The daemon's other image has the same fingerprint, as if another machine had built it from the same inputs.
    let fingerprint = chain.fingerprint("base");
    make_other_bytes(&base, &fingerprint);
    chain.forget_made();

    let second = project.succeed(&["push", "base"]);
    let new = digests(&second)[&base].clone();
    assert_ne!(new, old, "else this test means nothing");
    let said = format!(
        "base: made again from the same inputs ({}): its digest changed from {old} to {new}\n\
         kubernetes/pod.yml:5:12: names the digest that `base` had\n",
        &fingerprint[..16]
    );
    assert!(second.stderr.contains(&said), "{said}\n{}", second.stderr);
    let pinned = chain.line("base", &second);
    assert_eq!(
        chain.lines(),
        [pinned]
            .into_iter()
            .chain(["ds", "job", "side"].map(|image| chain.line(image, &first)))
            .collect::<Vec<_>>()
    );
    assert!(!project.read("kubernetes/pod.yml").contains(&old));
    let third = project.succeed(&["push", "base"]);
    assert!(!third.stderr.contains("made again"), "{}", third.stderr);
}

/// A tag was pushed again from the same inputs: the pinned digest still exists, but the tag has another one.
#[test]
fn a_tag_that_was_set_again_is_found_at_the_manifest() {
    let chain = chain("pins-moved");
    let project = &chain.project;
    let first = project.succeed(&["push"]);
    let side = project.reference("side");
    make_other_bytes(&side, &chain.fingerprint("side"));
    let credentials = Chain::credentials();
    let (from, to) = (format!("docker-daemon:{side}"), format!("docker://{side}"));
    let copy = ["copy", "--dest-tls-verify=false", "--dest-creds"];
    program("skopeo", &[&copy[..], &[&credentials, &from, &to]].concat());

    let run = project.run(&["check", "--remote"]);
    let old = &digests(&first)[&side];
    let wanted = format!("`{side}` has the digest sha256:");
    assert!(
        run.stderr
            .contains("warning[W109]: kubernetes/nightly.yml:18:16: ")
            && run.stderr.contains(&wanted)
            && run
                .stderr
                .contains(&format!("in the registry `main`, and {old} is pinned")),
        "{}",
        run.stderr
    );
    assert_eq!(run.stderr.matches("error[").count(), 1, "{}", run.stderr);
    let second = project.succeed(&["push"]);
    assert!(
        second
            .stderr
            .contains(&format!("its digest changed from {old} to sha256:")),
        "{}",
        second.stderr
    );
    project.succeed(&["check", "--remote"]);
}

/// Pins record the results of builds, so they must never be inputs.
#[test]
fn pins_are_input_of_nothing() {
    let chain = chain("pins-inputs");
    let project = &chain.project;
    project.edit(
        "docker/side/Dockerfile",
        "COPY docker/side/side.txt /opt/",
        "COPY . /opt/",
    );
    project.succeed(&["push"]);
    let tags = project.succeed(&["tags"]).stdout;
    project.write("sparkpack.pins", "# not what it was\n");
    assert_eq!(project.succeed(&["tags"]).stdout, tags);
    project.begin_git();
    project.git(&["rm", "--quiet", "--cached", "sparkpack.pins"]);
    let plan: serde_json::Value =
        serde_json::from_str(&project.succeed(&["plan", "--format", "json"]).stdout).unwrap();
    assert_eq!(plan["untracked"], serde_json::json!([]));
    let container = docker(&["create", &project.reference("side"), "nothing"]);
    let script = "docker export \"$1\" | tar -t && docker rm \"$1\" >/dev/null";
    let files = program("sh", &["-c", script, "sh", container.trim()]);
    assert!(
        files.contains("opt/src/main.py") && !files.contains("sparkpack.pins"),
        "{files}"
    );
}
