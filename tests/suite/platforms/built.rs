//! `build` for several platforms: into a layout all of them, into a daemon its own.

use serde_json::Value;

use super::{PLATFORMS, files_of, for_both};
use crate::{
    added_files::{layers, manifest},
    support::{Chain, Index, Run, TestProject, docker, image_id, program, run},
};

const NO_DAEMON: &str = "unix:///nowhere/docker.sock";

pub(super) fn without_daemon(project: &TestProject, arguments: &[&str]) -> Run {
    run(project.command(arguments).env("DOCKER_HOST", NO_DAEMON))
}

/// What skopeo reads under a name.
fn raw(from: &str) -> Value {
    serde_json::from_str(&program("skopeo", &["inspect", "--raw", from])).unwrap()
}

/// The entries of an index, which is for both platforms.
fn entries(index: &Value) -> Vec<Value> {
    assert_eq!(
        index["mediaType"],
        "application/vnd.oci.image.index.v1+json"
    );
    let entries = index["manifests"].as_array().unwrap();
    let platforms = entries.iter().map(|entry| {
        let platform = &entry["platform"];
        let part = |name: &str| platform[name].as_str().unwrap().to_owned();
        format!("{}/{}", part("os"), part("architecture"))
    });
    assert_eq!(platforms.collect::<Vec<_>>(), PLATFORMS);
    entries.clone()
}

/// Checks that a layout in the project has an index over the images of both platforms under the name of the job, each on
/// the image of its platform that has the name of the parent, and with its own native packages.
fn is_whole(project: &TestProject, layout: &str) {
    let layout = project.root().join(layout);
    let [job, small] = ["job", "small"].map(|image| {
        let name = project.reference(image);
        entries(&raw(&format!("oci:{}:{name}", layout.display())))
    });
    let blob = |entry: &Value| {
        let digest = entry["digest"].as_str().unwrap();
        let hex = digest.strip_prefix("sha256:").unwrap();
        fs_err::read(layout.join("blobs/sha256").join(hex)).unwrap()
    };
    for (at, machine) in ["x86_64", "aarch64"].into_iter().enumerate() {
        let image: Value = serde_json::from_slice(&blob(&job[at])).unwrap();
        let parent: Value = serde_json::from_slice(&blob(&small[at])).unwrap();
        assert!(layers(&image).starts_with(&layers(&parent)), "{machine}");
        let config: Value = serde_json::from_slice(&blob(&image["config"])).unwrap();
        let architecture = ["amd64", "arm64"][at];
        assert_eq!(config["architecture"], architecture);
        let folder = tempfile::tempdir().unwrap();
        let copy = format!("oci:{}:one", folder.path().display());
        let name = project.reference("job");
        let from = format!("oci:{}:{name}", layout.display());
        let choose = ["--override-arch", architecture, "--insecure-policy", "copy"];
        program(
            "skopeo",
            &[&choose[..], &["--quiet", &from, &copy]].concat(),
        );
        let native: Vec<String> = files_of(&copy)
            .into_iter()
            .filter(|(path, _)| path.contains("_native"))
            .map(|(_, bytes)| String::from_utf8(bytes).unwrap())
            .collect();
        assert_eq!(native, [format!("cp311-cp311-manylinux_2_17_{machine}")]);
    }
}

#[test]
fn a_layout_gets_the_images_of_all_platforms_and_an_index() {
    let index = Index::new();
    let chain = for_both("platforms-layout", &index);
    let project = &chain.project;
    let output = ["build", "--output", "oci:images"];
    let built = project.succeed(&output);
    is_whole(project, "images");
    let [small, job] = ["small", "job"].map(|image| project.reference(image));
    for line in [
        "job (linux/amd64): built ".to_owned(),
        "job (linux/arm64): built ".to_owned(),
        format!("job (linux/amd64, linux/arm64): built {job} in "),
        "job (linux/arm64): choosing wheels for requirements.txt\n".to_owned(),
        "small (linux/arm64): copied ".to_owned(),
    ] {
        assert!(built.stderr.contains(&line), "{line}: {}", built.stderr);
    }
    assert_eq!(built.stdout, format!("{small}\n{job}\n"));
    assert!(project.read("k/pod.yml").contains(&format!("\"{job}\"")));
    let listed: Value = serde_json::from_str(&project.read("dist/images.json")).unwrap();
    assert_eq!(listed["images"][1]["action"], "built");

    // Nothing is left to do, which is one line an image.
    let before = project.read("images/index.json");
    let again = project.succeed(&output);
    let current = format!(
        "small (linux/amd64, linux/arm64): current: {small} is there, with the fingerprint of this checkout\n\
         job (linux/amd64, linux/arm64): current: {job} is there, with the fingerprint of this checkout\n"
    );
    assert!(again.stderr.contains(&current), "{}", again.stderr);
    assert!(
        again.stderr.contains("nothing to do: all 2 images"),
        "{}",
        again.stderr
    );
    assert_eq!(project.read("images/index.json"), before);

    // Who takes the whole gets both, in a registry too.
    let layout = project.root().join("images");
    let credentials = Chain::credentials();
    let to = format!("{}/both/copy:1", chain.host);
    program(
        "skopeo",
        &[
            "--insecure-policy",
            "copy",
            "--all",
            "--quiet",
            "--dest-tls-verify=false",
            "--dest-creds",
            &credentials,
            &format!("oci:{}:{job}", layout.display()),
            &format!("docker://{to}"),
        ],
    );
    entries(&manifest(&to));
    let sizes = program("umoci", &["ls", "--layout", layout.to_str().unwrap()]);
    assert!(sizes.lines().any(|name| name == job), "{sizes}");
}

#[test]
fn what_a_layout_lost_is_noticed_platform_by_platform() {
    let index = Index::new();
    let chain = for_both("platforms-lost", &index);
    let project = &chain.project;
    let output = ["build", "--output", "oci:images"];
    project.succeed(&output);
    let job = project.reference("job");
    let whole = project.read("images/index.json");
    let mut fewer: Value = serde_json::from_str(&whole).unwrap();
    let name = |entry: &Value| {
        let annotations = &entry["annotations"];
        let name = annotations["org.opencontainers.image.ref.name"].as_str();
        name.unwrap().to_owned()
    };
    // The image of the second platform has lost its name.
    fewer["manifests"].as_array_mut().unwrap().retain(|entry| {
        let is_job = name(entry).contains("/job:");
        !is_job || entry["platform"]["architecture"] != "arm64"
    });
    project.write("images/index.json", &fewer.to_string());
    let built = project.succeed(&output);
    assert!(
        built.stderr.contains("job (linux/amd64): current: "),
        "{}",
        built.stderr
    );
    assert!(
        built.stderr.contains("job (linux/arm64): built "),
        "{}",
        built.stderr
    );
    is_whole(project, "images");
    // What has the name of the whole is one platform's only.
    let mut other: Value = serde_json::from_str(&whole).unwrap();
    let one = other["manifests"].as_array().unwrap().iter();
    let mut one = one
        .clone()
        .find(|entry| name(entry).contains("/job:") && entry["platform"].is_object())
        .unwrap()
        .clone();
    one["annotations"]["org.opencontainers.image.ref.name"] = Value::from(job.clone());
    let entries = other["manifests"].as_array_mut().unwrap();
    entries.retain(|entry| name(entry) != job);
    entries.push(one);
    project.write("images/index.json", &other.to_string());
    let built = project.succeed(&output);
    let line = format!("job (linux/amd64, linux/arm64): built {job} in ");
    assert!(built.stderr.contains(&line), "{}", built.stderr);
    is_whole(project, "images");
}

#[test]
fn without_a_daemon_all_platforms_come_from_the_registry() {
    let index = Index::new();
    let chain = for_both("platforms-no-daemon", &index);
    let project = &chain.project;
    project.succeed(&["push"]);
    chain.forget_images();
    project.edit("src/jobs/one.py", "1", "2");
    let built = without_daemon(project, &["build"]);
    assert_eq!(built.code, 0, "{}", built.stderr);
    assert!(
        built.stderr.contains("small (linux/arm64): copied "),
        "{}",
        built.stderr
    );
    is_whole(project, "dist/oci");
    let again = without_daemon(project, &["build"]);
    assert!(again.stderr.contains("nothing to do"), "{}", again.stderr);
    assert_eq!(image_id(&project.reference("job")), None);
    a_plan_names_the_platform_that_needs_a_daemon(project);

    // What neither place has is told before anything is put together, with its platforms.
    project.write(
        "small.Dockerfile",
        "FROM scratch\nCOPY src/main.py /other\n",
    );
    let layout = project.read("dist/oci/index.json");
    let failed = without_daemon(project, &["build"]);
    assert_ne!(failed.code, 0);
    assert_eq!(failed.stderr.matches("error[").count(), 1);
    assert!(
        failed
            .stderr
            .contains("`small (linux/amd64)`, `small (linux/arm64)` have Dockerfiles"),
        "{}",
        failed.stderr
    );
    assert!(
        failed.stderr.contains("`sparkpack push small`"),
        "{}",
        failed.stderr
    );
    assert_eq!(project.read("dist/oci/index.json"), layout);
}

/// One of the platforms of an image with a Dockerfile is not in the layout.
fn a_plan_names_the_platform_that_needs_a_daemon(project: &TestProject) {
    let whole = project.read("dist/oci/index.json");
    let mut fewer: Value = serde_json::from_str(&whole).unwrap();
    fewer["manifests"].as_array_mut().unwrap().retain(|entry| {
        let name = &entry["annotations"]["org.opencontainers.image.ref.name"];
        let is_small = name.as_str().unwrap().contains("/small:");
        !is_small || entry["platform"]["architecture"] != "arm64"
    });
    project.write("dist/oci/index.json", &fewer.to_string());
    let needs =
        "its Dockerfile needs a Docker daemon, and none answers, unless the registry has the image";
    let plan = without_daemon(project, &["plan", "small"]).stdout;
    let line = format!("linux/arm64: {needs}\n");
    assert!(plan.contains(&line), "{plan}");
    assert_eq!(plan.matches(needs).count(), 1, "{plan}");
    let plan = without_daemon(project, &["plan", "small", "--format", "json"]).stdout;
    let plan: Value = serde_json::from_str(&plan).unwrap();
    let notes = ["amd64", "arm64"].map(|architecture| {
        let mut each = plan["images"][0]["by_platform"].as_array().unwrap().iter();
        let platform = format!("linux/{architecture}");
        let on = each.find(|on| on["platform"] == *platform).unwrap();
        let mut reasons = on["reasons"].as_array().unwrap().iter();
        reasons.any(|reason| reason == needs)
    });
    assert_eq!(notes, [false, true], "{plan}");
    // Both need it: that is told once.
    fewer["manifests"] = Value::Array(Vec::new());
    project.write("dist/oci/index.json", &fewer.to_string());
    let plan = without_daemon(project, &["plan", "small"]).stdout;
    assert_eq!(plan.matches(needs).count(), 1, "{plan}");
    assert!(!plan.contains("linux/arm64: its Dockerfile"), "{plan}");
    // The registry has both.
    let plan = without_daemon(project, &["plan", "small", "--remote"]).stdout;
    assert!(!plan.contains("its Dockerfile needs"), "{plan}");
    project.write("dist/oci/index.json", &whole);
}

#[test]
fn a_daemon_gets_the_image_of_its_own_platform() {
    let index = Index::new();
    let chain = for_both("platforms-daemon", &index);
    let project = &chain.project;
    let built = project.succeed(&["build"]);
    let [small, job] = ["small", "job"].map(|image| project.reference(image));
    assert_eq!(built.stdout, format!("{small}\n{job}\n"));
    let said = "images go into the Docker daemon, for linux/amd64; `push` and `build --output oci:PATH` make those for \
                linux/arm64 too\n";
    assert!(built.stderr.contains(said), "{}", built.stderr);
    assert!(
        built.stderr.contains("job (linux/amd64): built "),
        "{}",
        built.stderr
    );
    assert!(
        !built.stderr.contains("(linux/arm64): built "),
        "{}",
        built.stderr
    );
    for name in [&small, &job] {
        let architecture = docker(&["inspect", "--format", "{{.Architecture}}", name]);
        assert_eq!(architecture.trim(), "amd64", "{name}");
    }
    let plan = project.succeed(&["plan"]).stdout;
    assert!(plan.contains("2 images: all current"), "{plan}");
    assert!(
        plan.contains("`push` and `build --output oci:PATH` make linux/arm64 too"),
        "{plan}"
    );
    let again = project.succeed(&["build"]);
    assert!(again.stderr.contains("nothing to do"), "{}", again.stderr);
    // The name of the whole is given again.
    docker(&["rmi", &job]);
    project.succeed(&["build"]);
    assert!(image_id(&job).is_some());
    // What the daemon has is what a push sends, and the other one is made.
    let pushed = project.succeed(&["push"]);
    assert!(
        pushed.stderr.contains("small (linux/amd64): current: "),
        "{}",
        pushed.stderr
    );
    entries_of_docker(&manifest(&small));
    entries_of_docker(&manifest(&job));
}

/// An index over Docker's manifests has another media type.
fn entries_of_docker(index: &Value) {
    assert_eq!(index["manifests"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_layout_in_the_place_of_a_registry_holds_all_platforms() {
    let index = Index::new();
    let chain = for_both("platforms-place", &index);
    let project = &chain.project;
    project.edit(
        "sparkpack.toml",
        &format!("\"{}/both\"", chain.host),
        "\"oci:images\"",
    );
    let configuration = project.read("sparkpack.toml");
    let end = configuration.find("[manifests]").unwrap();
    project.write("sparkpack.toml", &configuration[..end]);
    let reference =
        "project = \"both\"\nreference = \"{registry}/platforms-place/{image}:{fingerprint}\"";
    project.edit("sparkpack.toml", "project = \"both\"", reference);
    let pushed = project.succeed(&["push"]);
    is_whole(project, "images");
    crate::support::remove_images("platforms-place/");
    let again = without_daemon(project, &["push"]);
    assert_eq!((again.code, &again.stdout), (0, &pushed.stdout));
    assert!(again.stderr.contains("nothing to do"), "{}", again.stderr);
    project.edit("src/jobs/one.py", "1", "2");
    let changed = without_daemon(project, &["push", "job"]);
    assert_eq!(changed.code, 0, "{}", changed.stderr);
    is_whole(project, "images");
    let plan = without_daemon(project, &["plan", "--remote"]).stdout;
    assert!(plan.contains("in the registry: sha256:"), "{plan}");
}

#[test]
fn a_daemon_of_another_platform_gets_the_first_one() {
    let index = Index::new();
    let chain = for_both("platforms-foreign", &index);
    let project = &chain.project;
    project.edit(
        "sparkpack.toml",
        "\"linux/amd64\", \"linux/arm64\"",
        "\"linux/s390x\", \"linux/arm64\"",
    );
    project.edit(
        "sparkpack.toml",
        "requirements = \"requirements.txt\"\n",
        "",
    );
    let built = project.succeed(&["build"]);
    let said = "images go into the Docker daemon, for linux/arm64; `push` and `build --output oci:PATH` make those for \
                linux/s390x too\n";
    assert!(built.stderr.contains(said), "{}", built.stderr);
    let architecture = docker(&[
        "inspect",
        "--format",
        "{{.Architecture}}",
        &project.reference("job"),
    ]);
    assert_eq!(architecture.trim(), "arm64");
    let again = project.succeed(&["build"]);
    assert!(again.stderr.contains("nothing to do"), "{}", again.stderr);
    // What stands on it for one platform only is made for that one, beside the image for the daemon's.
    let platforms = "platforms = [\"linux/s390x\", \"linux/arm64\"]";
    project.edit(
        "sparkpack.toml",
        platforms,
        "platforms = [\"linux/amd64\", \"linux/arm64\"]",
    );
    project.edit(
        "sparkpack.toml",
        "[images.job]",
        "[images.job]\nplatforms = [\"linux/arm64\"]",
    );
    let built = project.succeed(&["build"]);
    for (image, wanted) in [("small", "amd64"), ("job", "arm64")] {
        let name = project.reference(image);
        let there = docker(&["inspect", "--format", "{{.Architecture}}", &name]);
        assert_eq!(there.trim(), wanted, "{image}");
        assert_eq!(built.stdout.matches(&name).count(), 1, "{}", built.stdout);
    }
    let again = project.succeed(&["build"]);
    assert!(again.stderr.contains("nothing to do"), "{}", again.stderr);
}
