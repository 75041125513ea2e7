//! The real Spark operator, in the version of the example's image.

use std::path::PathBuf;

use serde_json::Value;

use crate::{
    example::{Example, published_operator, run_container},
    golang::{built, go},
};

const MODULE: &str = "github.com/kubeflow/spark-operator/v2";

/// The operator's binary, built in its own folder of the module cache, so that its `replace` lines and checksums apply.
fn binary(version: &str) -> PathBuf {
    built(
        &format!("operator-{version}"),
        "spark-operator",
        |unfinished| {
            let module = format!("{MODULE}@v{version}");
            let told = go(unfinished, &["mod", "download", "-json", &module]);
            let told: Value = serde_json::from_str(&told).unwrap();
            go(
                told["Dir"].as_str().unwrap().as_ref(),
                &[
                    "build",
                    "-p=2",
                    "-trimpath",
                    &format!(
                        "-ldflags=-s -w -X k8s.io/component-base/version.gitVersion=v{version}"
                    ),
                    "-o",
                    unfinished.join("spark-operator").to_str().unwrap(),
                    "./cmd/operator",
                ],
            );
        },
    )
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
