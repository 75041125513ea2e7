//! A project with every class of input and with locks, so that its tags need no network.

use std::os::unix::fs::{PermissionsExt, symlink};

use super::{TestProject, lock_requirements};

pub(crate) const ROOT: &str = "registry.example/root:1";
pub(crate) const BUILDER: &str = "registry.example/builder:2";
pub(crate) const SPARK: &str = "4.1.4";
pub(crate) const SIX: &str = "six-1.17.0-py2.py3-none-any.whl";
pub(crate) const IDNA: &str = "idna-3.10-py3-none-any.whl";

/// All images, in the order of their names.
pub(crate) const IMAGES: &str = "base ds fetched folder job packed py";

const CONFIGURATION: &str = r#"format = 1
project = "classes"
registries.main = "registry.example/classes"
exclude = ["*.md"]

[chains.main]
spark = "4.1.4"
python = "3.11"
root = "registry.example/root:1"
jars.base = ["connector"]

[sources.connector]
url = "https://files.example/jars/connector-1.jar"
sha256 = "1111111111111111111111111111111111111111111111111111111111111111"

[sources.archive]
url = "https://files.example/archive.tgz"
strip = 1

[sources.tool]
path = "tools/tool"

[sources.tree]
path = "tools/tree"

[images.base]
dockerfile = "docker/base/Dockerfile"
build-args.LEVEL = "1"
build-args.UNDER = "registry.example/root:1"

[images.py]
parent = "base"
dockerfile = "docker/py/Dockerfile"

[images.ds]
parent = "py"
dockerfile = "docker/ds/Dockerfile"
target = "final"
contexts.tool = "source:tool"

[images.folder]
dockerfile = "docker/folder/Dockerfile"
context = "folder"
contexts.archive = "source:archive"

[images.fetched]
dockerfile = "docker/fetched/Dockerfile"
context = "source:tree"

[images.packed]
parent = "py"
dockerfile = "docker/packed/Dockerfile"
requirements = "packed.txt"

[images.job]
parent = "ds"
dockerfile = "docker/job/Dockerfile"
src = "src"
requirements = "requirements.txt"

[manifests]
main = ["kubernetes/*.yml"]
"#;

const FILES: [(&str, &str); 34] = [
    ("sparkpack.toml", CONFIGURATION),
    (
        "docker/base/Dockerfile",
        "ARG UNDER\nFROM ${UNDER}\nARG LEVEL=0\nARG JAVA\nCOPY docker/base/start.sh docker/base/conf/ /opt/\nCOPY jars/ /opt/jars/\n",
    ),
    ("docker/base/start.sh", "#!/bin/sh\n"),
    ("docker/base/conf/a.conf", "a\n"),
    ("docker/base/conf/b.conf", "b\n"),
    ("docker/base/notes.txt", "no COPY matches it\n"),
    (
        "docker/py/Dockerfile",
        "ARG PARENT\nFROM ${PARENT}\nARG PYTHON\nLABEL python=$PYTHON\n",
    ),
    (
        "docker/ds/Dockerfile",
        "ARG PARENT\nFROM registry.example/builder:2 AS build\nCOPY docker/ds/build.txt /\nFROM ${PARENT} AS unfinished\nCOPY docker/ds/unfinished.txt /\nFROM ${PARENT} AS final\nCOPY --from=build /build.txt /\nCOPY --from=tool / /usr/bin/\nCOPY docker/ds/data/ /data/\nRUN --mount=type=secret,id=token cat <<END\nheredoc\nEND\n",
    ),
    ("docker/ds/build.txt", "build\n"),
    ("docker/ds/unfinished.txt", "unfinished\n"),
    ("docker/ds/data/one", "1\n"),
    ("docker/ds/data/two", "2\n"),
    (
        "docker/folder/Dockerfile",
        "FROM py\nCOPY . /app/\nCOPY --from=archive / /archive/\n",
    ),
    ("folder/.dockerignore", "*.log\n!keep.log\n"),
    ("folder/a.txt", "a\n"),
    ("folder/drop.log", "drop\n"),
    ("folder/keep.log", "keep\n"),
    ("folder/sub/b.txt", "b\n"),
    ("docker/fetched/Dockerfile", "FROM py\nCOPY . /tree/\n"),
    ("tools/tool", "#!/bin/sh\n"),
    ("tools/tree/bin/run", "#!/bin/sh\n"),
    ("tools/tree/data", "data\n"),
    (
        "docker/packed/Dockerfile",
        "ARG PARENT\nFROM ${PARENT}\nCOPY site-packages/ /opt/packed/\n",
    ),
    ("packed.txt", "idna==3.10\n"),
    (
        "docker/job/Dockerfile",
        "ARG PARENT\nFROM ${PARENT}\nCOPY dist/ /opt/job/\n",
    ),
    ("requirements.txt", "six==1.17.0\n"),
    ("src/main.py", "print('main')\n"),
    ("src/jobs/__init__.py", ""),
    ("src/jobs/one.py", "VALUE = 1\n"),
    ("src/jobs/two.py", "VALUE = 2\n"),
    ("src/run.sh", "#!/bin/sh\n"),
    ("src/notes.md", "excluded\n"),
    ("src/deep/er/est.py", "\n"),
    (
        "kubernetes/job.yml",
        "kind: Pod\napiVersion: v1\nmetadata: {name: job}\nspec:\n  containers:\n  - name: job\n    image: registry.example/classes/job:unbuilt\n",
    ),
];

/// A digest that repeats one digit.
pub(crate) fn digits(digit: char) -> String {
    digit.to_string().repeat(64)
}

fn lock() -> String {
    let [zero, two, three] = ['0', '2', '3'].map(digits);
    format!(
        "format = 1\n\n[images.\"{ROOT}\"]\ndigest = \"sha256:{zero}\"\n\n[images.\"{BUILDER}\"]\ndigest = \"sha256:{two}\"\n\n\
         [sources.\"https://files.example/archive.tgz\"]\nsha256 = \"sha256:{three}\"\n"
    )
}

/// The project.
pub(crate) fn project() -> TestProject {
    let project = TestProject::new(&FILES);
    project.write("sparkpack.lock", &lock());
    let [four, five] = ['4', '5'].map(digits);
    lock_requirements(&project, "requirements.txt", SPARK, &[(SIX, &four)]);
    lock_requirements(&project, "packed.txt", SPARK, &[(IDNA, &five)]);
    for path in [
        "docker/base/start.sh",
        "tools/tool",
        "tools/tree/bin/run",
        "src/run.sh",
    ] {
        let executable = std::fs::Permissions::from_mode(0o755);
        fs_err::set_permissions(project.root().join(path), executable).unwrap();
    }
    symlink("a.conf", project.root().join("docker/base/conf/link.conf")).unwrap();
    symlink("jobs/one.py", project.root().join("src/link.py")).unwrap();
    project
}
