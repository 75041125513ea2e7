//! The real Spark operator, in the version of the example's image.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::{
    example::{Example, published_operator, run_container},
    support,
};

const MODULE: &str = "github.com/kubeflow/spark-operator/v2";

/// The operator's binary, built once for each version and kept beside the cache.
fn binary(version: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("operator-{version}"));
    let file = folder.join("spark-operator");
    if file.is_file() {
        return file;
    }
    fs_err::create_dir_all(&folder).unwrap();
    // It is built in its own folder of the module cache, so that its `replace` lines and checksums apply.
    let module = format!("{MODULE}@v{version}");
    let told = go(&folder, &["mod", "download", "-json", &module]);
    let told: Value = serde_json::from_str(&told).unwrap();
    let unfinished = folder.join("unfinished");
    go(
        told["Dir"].as_str().unwrap().as_ref(),
        &[
            "build",
            "-p=2",
            "-trimpath",
            &format!("-ldflags=-s -w -X k8s.io/component-base/version.gitVersion=v{version}"),
            "-o",
            unfinished.to_str().unwrap(),
            "./cmd/operator",
        ],
    );
    fs_err::rename(&unfinished, &file).unwrap();
    file
}

/// Runs `go`, for at most half an hour.
fn go(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("timeout");
    command
        .args(["1800", "go"])
        .args(arguments)
        .current_dir(folder)
        .env("CGO_ENABLED", "0")
        .env("GOFLAGS", "-buildvcs=false");
    let run = support::run(&mut command);
    assert_eq!(run.code, 0, "go {arguments:?}\n{}", run.stderr);
    run.stdout
}

#[test]
fn the_real_operator_runs_in_its_image() {
    let published = published_operator();
    let version = published.rsplit_once(':').unwrap().1;
    let example = Example::new("operator.test", &binary(version));
    example.succeed("operator");
    let image = example.project.reference("operator");

    let told = run_container(&[&image, "version"]);
    assert_eq!(told.code, 0, "{}{}", told.stdout, told.stderr);
    for words in [&format!("Git Version: v{version}\n"), "Platform: linux/"] {
        assert!(told.stdout.contains(words), "{words}\n{}", told.stdout);
    }
    let help = run_container(&[&image, "controller", "start", "--help"]);
    assert_eq!(help.code, 0, "{}{}", help.stdout, help.stderr);
    assert!(help.stdout.contains("--namespaces"), "{}", help.stdout);
    let wrong = run_container(&[&image, "controller", "start", "--no-such-flag"]);
    assert_eq!(wrong.code, 1, "{}{}", wrong.stdout, wrong.stderr);
    assert!(
        wrong.stderr.contains("unknown flag: --no-such-flag"),
        "{}",
        wrong.stderr
    );
}
