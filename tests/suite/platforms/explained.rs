//! `why`, `plan` and `tags` for several platforms.

use serde_json::Value;

use super::{built::without_daemon, for_both};
use crate::support::{Chain, Index, TestProject};

fn both(name: &str, index: &Index) -> Chain {
    for_both(name, index)
}

/// The data that a run without a daemon prints, and the rest.
fn told(project: &TestProject, arguments: &[&str]) -> (String, String) {
    let run = without_daemon(project, arguments);
    assert_eq!(run.code, 0, "{}", run.stderr);
    (run.stdout, run.stderr)
}

#[test]
fn why_tells_once_what_all_platforms_share() {
    let index = Index::new();
    let chain = both("platforms-why", &index);
    let project = &chain.project;
    project.succeed(&["push"]);
    let [job, small] = ["job", "small"].map(|image| chain.tag(image));
    let unchanged = "job: nothing changed: the manifests name the tag of this checkout\n";
    assert_eq!(told(project, &["why", "job"]).0, unchanged);
    let unchanged =
        "small: nothing changed: what the manifests name stands on the tag of this checkout\n";
    assert_eq!(told(project, &["why", "small"]).0, unchanged);

    project.edit("src/jobs/one.py", "1", "2");
    project.write(
        "small.Dockerfile",
        "FROM scratch\nCOPY src/main.py /other\n",
    );
    let [new_job, new_small] = ["job", "small"].map(|image| chain.tag(image));
    let of_job = format!(
        "job changed ({job} -> {new_job}), because\n  parent small changed, because\n    Dockerfile changed\n  module \
         jobs/one.py changed\n"
    );
    let of_small =
        format!("small changed ({small} -> {new_small}), because\n  Dockerfile changed\n");
    let (stdout, stderr) = told(project, &["why", "job"]);
    assert_eq!(stdout, of_job);
    for platform in ["linux/amd64", "linux/arm64"] {
        let line = format!("job ({platform}): compared with {}/both/job:", chain.host);
        assert!(stderr.contains(&line), "{stderr}");
    }
    assert_eq!(told(project, &["why", "small"]).0, of_small);
    let (verbose, _) = told(project, &["why", "job", "-v"]);
    assert_eq!(verbose.matches("\nrecord ").count(), 4, "{verbose}");

    project.succeed(&["build", "--output", "oci:images"]);
    for (left, right, of) in [(&job, &new_job, &of_job), (&small, &new_small, &of_small)] {
        assert_eq!(&told(project, &["diff", left, right]).0, of);
        let nothing = told(project, &["diff", left, left]).0;
        assert!(nothing.contains(": nothing differs: "), "{nothing}");
    }

    project.edit("k/pod.yml", &new_job, &job);

    // Another machine learns it from the registry.
    fs_err::remove_dir_all(project.root().join("dist")).unwrap();
    let (stdout, stderr) = told(project, &["why", "job"]);
    assert_eq!(stdout, of_job);
    assert!(stderr.contains("by the record in the registry"), "{stderr}");

    // A platform that is left out, and one that is new.
    let both = "\"linux/amd64\", \"linux/arm64\"";
    project.edit("sparkpack.toml", both, "\"linux/amd64\"");
    let (stdout, _) = told(project, &["why", "job"]);
    assert!(
        stdout.ends_with("\n  platform linux/arm64 is left out\n"),
        "{stdout}"
    );
    project.succeed(&["build", "--output", "oci:images"]);
    let one = chain.tag("job");
    project.edit("sparkpack.toml", "\"linux/amd64\"", both);
    let new = format!("job changed ({one} -> {new_job}), because\n  platform linux/arm64 is new\n");
    assert_eq!(told(project, &["why", "job"]).0, new);
    project.succeed(&["build", "--output", "oci:images"]);
    assert_eq!(told(project, &["diff", &one, &new_job]).0, new);
}

#[test]
fn where_platforms_differ_each_is_told() {
    let index = Index::new();
    let chain = both("platforms-differ", &index);
    let project = &chain.project;
    index.add("spk_fast-2.0-cp311-cp311-manylinux_2_17_x86_64", &[]);
    index.add("spk_more-1.0-py3-none-any", &[]);
    let requirements = "spk-fast==1.0; platform_machine == 'aarch64'\nspk-fast==1.0; platform_machine == 'x86_64'\n";
    project.write("requirements.txt", requirements);
    project.succeed(&["build", "--output", "oci:images"]);
    let plan = told(project, &["plan"]).0;
    assert!(!plan.contains("the lock for"), "{plan}");

    // One platform's packages change.
    let requirements = "spk-fast==1.0; platform_machine == 'aarch64'\nspk-fast==2.0; platform_machine == 'x86_64'\n\
                        spk-more; platform_machine == 'x86_64'\n";
    project.write("requirements.txt", requirements);
    project.succeed(&["lock"]);
    let plan = told(project, &["plan"]).0;
    let note = "the lock for linux/arm64 differs from that for linux/amd64: spk-fast 1.0 in place of 2.0, no spk-more\n";
    assert!(plan.contains(note), "{plan}");
    let (why, _) = told(project, &["why", "job"]);
    assert!(
        why.contains("\n  linux/amd64:\n    spk-fast 1.0 -> 2.0\n"),
        "{why}"
    );
    assert!(why.ends_with("\n  linux/arm64: nothing changed\n"), "{why}");
    let built = project.succeed(&["build", "job", "--output", "oci:images"]);
    assert!(
        built.stderr.contains("job (linux/arm64): current: "),
        "{}",
        built.stderr
    );
    assert!(
        built.stderr.contains("job (linux/amd64): built "),
        "{}",
        built.stderr
    );
}

#[test]
fn documents_have_each_platform_only_where_there_are_several() {
    let index = Index::new();
    let chain = both("platforms-documents", &index);
    let project = &chain.project;
    project.succeed(&["push"]);
    let json = |arguments: &[&str]| -> Value {
        serde_json::from_str(&told(project, arguments).0).unwrap()
    };
    let tags = json(&["tags", "--format", "json"]);
    let job = &tags["images"][1];
    assert_eq!(job["name"], "job");
    let each = job["by_platform"].as_array().unwrap();
    assert_eq!(each.len(), 2);
    assert_eq!(each[1]["platform"], "linux/arm64");
    // Each is there under the reference that is told.
    for one in each {
        let reference = one["reference"].as_str().unwrap();
        assert!(crate::added_files::manifest(reference)["layers"].is_array());
        let fingerprint = one["fingerprint"].as_str().unwrap();
        let digits = fingerprint.strip_prefix("sha256:").unwrap();
        assert!(reference.ends_with(&digits[..16]), "{reference}");
    }
    // A registry that lost one platform's image and the index.
    project.edit("src/jobs/one.py", "1", "2");
    let plan = json(&["plan", "--remote", "--format", "json"]);
    let push = &plan["images"][1]["push"];
    assert_eq!(push["decision"], "build");
    let decisions = push["by_platform"].as_array().unwrap().iter();
    let decisions: Vec<&Value> = decisions.map(|one| &one["decision"]).collect();
    assert_eq!(decisions, ["build", "build"]);
    let other = project.read("sparkpack.toml");
    let one = other.replace("\"linux/amd64\", \"linux/arm64\"", "\"linux/amd64\"");
    project.write("sparkpack.toml", &one);
    let plan = json(&["plan", "--remote", "--format", "json"]);
    assert_eq!(plan["images"][1]["by_platform"], Value::Null);
    assert_eq!(plan["images"][1]["push"]["by_platform"], Value::Null);
    let tags = json(&["tags", "--format", "json"]);
    assert_eq!(tags["images"][1]["by_platform"], Value::Null);
}
