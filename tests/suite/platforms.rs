//! Images for several platforms, each on the parent of its platform, and an index over them.

use std::io::Read as _;

use serde_json::Value;

mod built;
mod explained;
mod only_in_daemon;
mod refused;

use crate::{
    added_files::{layers, manifest},
    support::{Chain, Index, docker, program},
};

const PLATFORMS: [&str; 2] = ["linux/amd64", "linux/arm64"];

/// A job without a Dockerfile for two platforms, with a package that has native code for each, on a parent that runs
/// nothing.
fn for_both(name: &str, index: &Index) -> Chain {
    for machine in ["x86_64", "aarch64"] {
        index.add(
            &format!("spk_fast-1.0-cp311-cp311-manylinux_2_17_{machine}"),
            &[],
        );
    }
    let chain = Chain::with_registry(name);
    let project = &chain.project;
    let host = &chain.host;
    let configuration = format!(
        "format = 1\nproject = \"both\"\nregistries.main = \"{host}/both\"\nplatforms = [\"linux/amd64\", \"linux/arm64\"]\n\n\
         [mirrors]\npython = \"{}\"\n\n[chains.main]\nspark = \"4.1.4\"\npython = \"3.11\"\n\n\
         [images.small]\ndockerfile = \"small.Dockerfile\"\n\n\
         [images.job]\nparent = \"small\"\nsrc = \"src\"\nrequirements = \"requirements.txt\"\n\n\
         [manifests]\nmain = [\"k/*.yml\"]\n",
        index.url
    );
    project.write("sparkpack.toml", &configuration);
    // An image of its own: the tests run at once, and each removes its own images.
    let dockerfile = format!("# {name}\nFROM scratch\nCOPY src/main.py /\n");
    project.write("small.Dockerfile", &dockerfile);
    project.write("requirements.txt", "spk-fast\n");
    let pod = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: job}}\nspec: {{containers: [{{name: job, image: \"{host}/both/job:old\"}}]}}\n"
    );
    project.write("k/pod.yml", &pod);
    chain
}

/// The files in the layers of one platform's image that are not its parent's.
fn files(chain: &Chain, platform: &Value) -> Vec<(String, Vec<u8>)> {
    let repository = format!("{}/both/job", chain.host);
    let digest = platform["digest"].as_str().unwrap();
    files_of(&format!("docker://{repository}@{digest}"))
}

/// The same of an image that skopeo finds.
fn files_of(from: &str) -> Vec<(String, Vec<u8>)> {
    let folder = tempfile::tempdir().unwrap();
    let to = format!("dir:{}", folder.path().display());
    let credentials = Chain::credentials();
    let mut copy = vec!["--insecure-policy", "copy", "--quiet"];
    if from.starts_with("docker:") {
        copy.extend(["--src-tls-verify=false", "--src-creds", &credentials]);
    }
    program("skopeo", &[&copy[..], &[from, &to]].concat());
    let image: Value =
        serde_json::from_slice(&fs_err::read(folder.path().join("manifest.json")).unwrap())
            .unwrap();
    let mut found = Vec::new();
    for layer in layers(&image).into_iter().skip(1) {
        let blob = fs_err::read(folder.path().join(layer.trim_start_matches("sha256:"))).unwrap();
        let mut tar = tar::Archive::new(flate2::read::MultiGzDecoder::new(&blob[..]));
        for entry in tar.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            found.push((entry.path().unwrap().display().to_string(), bytes));
        }
    }
    found
}

#[test]
fn each_platform_has_its_own_parent_and_wheels_under_one_index() {
    let index = Index::new();
    let chain = for_both("platforms-index", &index);
    let project = &chain.project;
    let pushed = project.succeed(&["push"]);
    let job = project.reference("job");
    assert!(project.read("k/pod.yml").contains(&format!("\"{job}\"")));
    let document = manifest(&job);
    let entries = document["manifests"].as_array().unwrap();
    let platform = |entry: &Value| {
        let named = &entry["platform"];
        format!(
            "{}/{}",
            named["os"].as_str().unwrap(),
            named["architecture"].as_str().unwrap()
        )
    };
    let named: Vec<String> = entries.iter().map(platform).collect();
    assert_eq!(named, PLATFORMS);
    let parents = manifest(&project.reference("small"));
    let parents = parents["manifests"].as_array().unwrap();
    for (at, machine) in ["x86_64", "aarch64"].into_iter().enumerate() {
        let one = |what: &str, entry: &Value| {
            let digest = entry["digest"].as_str().unwrap();
            manifest(&format!("{}/both/{what}@{digest}", chain.host))
        };
        let (image, parent) = (one("job", &entries[at]), one("small", &parents[at]));
        assert!(layers(&image).starts_with(&layers(&parent)), "{machine}");
        let native: Vec<String> = files(&chain, &entries[at])
            .into_iter()
            .filter(|(path, _)| path.contains("_native"))
            .map(|(_, bytes)| String::from_utf8(bytes).unwrap())
            .collect();
        assert_eq!(native, [format!("cp311-cp311-manylinux_2_17_{machine}")]);
    }
    let digest = program(
        "skopeo",
        &[
            "inspect",
            "--tls-verify=false",
            "--creds",
            &Chain::credentials(),
            "--format",
            "{{.Digest}}",
            &format!("docker://{job}"),
        ],
    );
    assert!(
        pushed.stdout.contains(&format!("{job}@{}", digest.trim())),
        "{}",
        pushed.stdout
    );
    // Another machine takes the one for its platform.
    chain.forget_images();
    chain.docker(&["pull", "--platform", "linux/arm64", &job]);
    let architecture = docker(&["inspect", "--format", "{{.Architecture}}", &job]);
    assert_eq!(architecture.trim(), "arm64");
}

#[test]
fn what_is_there_for_all_platforms_is_adopted() {
    let index = Index::new();
    let chain = for_both("platforms-again", &index);
    let project = &chain.project;
    let first = project.succeed(&["push"]).stdout;
    chain.forget_images();
    let mut command = project.command(&["push"]);
    let again = crate::support::run(command.env("DOCKER_HOST", "unix:///nowhere/docker.sock"));
    assert_eq!((again.code, &again.stdout), (0, &first), "{}", again.stderr);
    assert!(again.stderr.contains("nothing to do"), "{}", again.stderr);
    // The packages of the second platform leave the first one's where they are.
    let native = project.read("dist/site-packages/spk_fast_native.so");
    assert!(native.contains("x86_64"), "{native}");
    // A changed line makes both anew, without a daemon.
    project.edit("src/jobs/one.py", "1", "2");
    let mut command = project.command(&["push", "job"]);
    let changed = crate::support::run(command.env("DOCKER_HOST", "unix:///nowhere/docker.sock"));
    assert_eq!(changed.code, 0, "{}", changed.stderr);
    assert_ne!(changed.stdout, first);
    let entries = manifest(&project.reference("job"))["manifests"]
        .as_array()
        .unwrap()
        .len();
    assert_eq!(entries, 2);
}
