//! The four layouts that the configuration must support: they load, plan and give the right references.

use crate::support::{TestProject, lock_requirements};

const ZEROS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The references without their fingerprints, which must be 16 hex digits.
fn planned(project: &TestProject, arguments: &[&str]) -> Vec<String> {
    let mut all = vec!["tags"];
    all.extend(arguments);
    let printed = project.succeed(&all).stdout;
    let mut names: Vec<String> = printed
        .lines()
        .map(|reference| {
            let (rest, tag) = reference.rsplit_once([':', '-']).unwrap();
            assert!(
                tag.len() == 16 && tag.bytes().all(|byte| byte.is_ascii_hexdigit()),
                "{reference}"
            );
            rest.to_owned()
        })
        .collect();
    names.sort();
    names
}

fn lock(extra: &str) -> String {
    format!("format = 1\n\n[images.\"debian:bookworm-slim\"]\ndigest = \"sha256:{ZEROS}\"\n{extra}")
}

fn spark(version: &str) -> String {
    format!("\n[sources.\"pyspark=={version}\"]\nsha256 = \"sha256:{ZEROS}\"\n")
}

/// Each image has its own Dockerfile, and the build contexts are other projects' folders.
#[test]
fn the_seeds_layout() {
    let configuration = r#"format = 1
project = "boilerplate"
registries.main = "registry.example/team"

[chains.main]
spark = "3.5.9"
python = "3.11"
spark-source = "spark"

[sources.spark]
path = "../spark-3.5.9-bin-hadoop3"

[sources.operator]
path = "../spark-operator"

[images.base]
dockerfile = "docker/base/Dockerfile"
context = "source:spark"

[images.py]
parent = "base"
dockerfile = "docker/py/Dockerfile"
context = "source:spark"

[images.ds]
parent = "py"
dockerfile = "docker/ds/Dockerfile"

[images.operator]
parent = "base"
dockerfile = "docker/operator/Dockerfile"
context = "source:operator"

[images.job]
parent = "ds"
dockerfile = "docker/job/Dockerfile"
src = "src"
"#;
    let on_parent = "ARG PARENT\nFROM ${PARENT}\nCOPY . /opt/\n";
    let project = TestProject::new(&[
        ("sparkpack.toml", configuration),
        ("sparkpack.lock", &lock("")),
        ("../spark-3.5.9-bin-hadoop3/jars/spark-core.jar", "jar"),
        ("../spark-operator/spark-operator", "binary"),
        (
            "docker/base/Dockerfile",
            "FROM debian:bookworm-slim\nCOPY jars /opt/spark/jars\n",
        ),
        ("docker/py/Dockerfile", on_parent),
        ("docker/ds/Dockerfile", on_parent),
        (
            "docker/operator/Dockerfile",
            "FROM registry.example/team/base:v1\nCOPY spark-operator /usr/bin/\n",
        ),
        (
            "docker/job/Dockerfile",
            "FROM registry.example/team/ds:whatever-is-pushed\nCOPY dist/ /opt/job/\n",
        ),
        ("src/main.py", ""),
    ]);
    let names =
        ["base", "ds", "job", "operator", "py"].map(|name| format!("registry.example/team/{name}"));
    assert_eq!(planned(&project, &[]), names);
    let before = project.succeed(&["tags"]).stdout;
    project.write("../spark-operator/spark-operator", "another binary");
    let after = project.succeed(&["tags"]).stdout;
    let moved: Vec<_> = before
        .lines()
        .zip(after.lines())
        .filter(|(old, new)| old != new)
        .collect();
    assert!(
        matches!(moved[..], [(old, _)] if old.contains("/operator:")),
        "{moved:?}"
    );
}

/// Several chains, one image for each folder, one repository for all images.
#[test]
fn the_monorepo() {
    let configuration = r#"format = 1
project = "warehouse"
registries.main = "registry.example/acme"
reference = "{registry}/spark:{image}-{fingerprint}"

[chains.main]
spark = "4.1.4"
python = "3.11"

[chains.old]
spark = "3.5.9"
python = "3.11"

[images.jobs]
each = "jobs/*"
parent = "py"
src = "{dir}/src"
requirements = "{dir}/requirements.txt"

[images.legacy]
parent = "old-py"
src = "legacy"
"#;
    let project = TestProject::new(&[
        ("sparkpack.toml", configuration),
        (
            "sparkpack.lock",
            &lock(&format!("{}{}", spark("4.1.4"), spark("3.5.9"))),
        ),
        ("jobs/orders/src/main.py", ""),
        ("jobs/orders/requirements.txt", "six==1.16.0\n"),
        ("jobs/returns/src/main.py", ""),
        ("jobs/returns/requirements.txt", "six==1.16.0\n"),
        ("legacy/main.py", ""),
    ]);
    for folder in ["orders", "returns"] {
        let wheel = ("six-1.16.0-py2.py3-none-any.whl", ZEROS);
        let file = format!("jobs/{folder}/requirements.txt");
        lock_requirements(&project, &file, "4.1.4", &[wheel]);
    }
    let tags = [
        "base", "legacy", "old-base", "old-py", "orders", "py", "returns",
    ];
    assert_eq!(
        planned(&project, &[]),
        tags.map(|tag| format!("registry.example/acme/spark:{tag}"))
    );
}

/// Registries by environment, and former prefixes that are still recognised.
#[test]
fn environments() {
    let configuration = r#"format = 1
project = "orders"
formerly = ["gcr.example/old"]

[registries]
main = "registry.example/dev"
prod = "${PROD_REGISTRY}/prod"

[chains.main]
spark = "4.1.4"
python = "3.11"

[images.job]
parent = "py"
src = "src"

[manifests]
main = ["dev/*.yml"]
prod = ["prod/*.yml"]
"#;
    let project = TestProject::new(&[
        ("sparkpack.toml", configuration),
        ("sparkpack.lock", &lock(&spark("4.1.4"))),
        ("src/main.py", ""),
        ("dev/job.yml", ""),
        ("prod/job.yml", ""),
    ])
    .with_variable("PROD_REGISTRY", "prod.example:5000");
    let names = ["base", "job", "py"];
    assert_eq!(
        planned(&project, &[]),
        names.map(|name| format!("registry.example/dev/{name}"))
    );
    assert_eq!(
        planned(&project, &["--registry", "prod"]),
        names.map(|name| format!("prod.example:5000/prod/{name}"))
    );
    let tags = |arguments: &[&str]| {
        let printed = project.succeed(arguments).stdout;
        printed
            .lines()
            .map(|line| line.rsplit_once(':').unwrap().1.to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        tags(&["tags"]),
        tags(&["tags", "--registry", "prod"]),
        "a registry is no input"
    );
}

/// Mirrors, a CA bundle, a root image of the project's own.
#[test]
fn air_gapped() {
    let configuration = r#"format = 1
project = "vault"
registries.main = "registry.internal.example/spark"
ca = "certificates/ca.pem"

[mirrors]
python = "https://mirror.internal.example/python/simple"
maven = "https://mirror.internal.example/maven"
debian = "https://mirror.internal.example/debian"
registries."docker.io" = "mirror.internal.example"

[python]
installer = "pip"
glibc = "2.36"

[chains.main]
spark = "4.1.4"
python = "3.11"
root = "registry.internal.example/hardened/debian:12"
spark-source = "spark"

[sources.spark]
url = "https://mirror.internal.example/spark-4.1.4-bin-hadoop3.tgz"
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"

[sources.connector]
maven = "com.example:connector:1.0:shaded"
sha256 = "1111111111111111111111111111111111111111111111111111111111111111"

[chains.main.jars]
base = ["connector"]

[images.job]
parent = "py"
src = "src"
"#;
    let root = "registry.internal.example/hardened/debian:12";
    let project = TestProject::new(&[
        ("sparkpack.toml", configuration),
        (
            "sparkpack.lock",
            &format!("format = 1\n\n[images.\"{root}\"]\ndigest = \"sha256:{ZEROS}\"\n"),
        ),
        ("certificates/ca.pem", ""),
        ("src/main.py", ""),
    ]);
    assert_eq!(
        planned(&project, &[]),
        ["base", "job", "py"].map(|name| format!("registry.internal.example/spark/{name}"))
    );
    let warned = project.run(&["tags"]).stderr;
    assert!(
        warned.contains("`mirrors.debian` has no effect yet"),
        "{warned}"
    );
    let before = project.succeed(&["tags"]).stdout;
    project.edit(
        "sparkpack.toml",
        "https://mirror.internal.example/maven",
        "https://other.example/maven",
    );
    project.edit(
        "sparkpack.toml",
        "glibc = \"2.36\"",
        "glibc = \"2.36\" # measured",
    );
    assert_eq!(
        project.succeed(&["tags"]).stdout,
        before,
        "a mirror is no input"
    );
}
