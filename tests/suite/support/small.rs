//! A chain of kilobyte layers: base, ds, side and job, all with Dockerfiles that only copy.

use super::{Index, TestProject};

pub(crate) const MANIFEST: &str = "# the nightly run\r
apiVersion: sparkoperator.k8s.io/v1beta2\r
kind: SparkApplication\r
metadata: {name: nightly}\r
spec:\r
  image: &image \"REGISTRY/small/job:unbuilt\"   # rewritten by sparkpack\r
  driver:\r
    image:   'REGISTRY/small/job:unbuilt'\r
    labels: {app: nightly}\r
---\r
apiVersion: apps/v1\r
kind: Deployment\r
spec:\r
  template:\r
    spec:\r
      containers:\r
      - name: side\r
        image: REGISTRY/small/side:unbuilt # keep this\r
      - {name: other, image: registry.example/other/job:1}\r
";

/// The project; `root` is the root image, `registry` a host with port.
pub(crate) fn project(root: &str, registry: &str) -> TestProject {
    let configuration = format!(
        r#"format = 1
project = "small"
registries.main = "{registry}/small"

[chains.main]
spark = "4.1.4"
python = "3.11"
root = "{root}"

[images.base]
dockerfile = "docker/base/Dockerfile"

[images.ds]
parent = "base"
dockerfile = "docker/ds/Dockerfile"
build-args.GREETING = "hello"

[images.side]
parent = "base"
dockerfile = "docker/side/Dockerfile"

[images.job]
parent = "ds"
dockerfile = "docker/job/Dockerfile"
src = "src"

[manifests]
main = ["kubernetes/*.yml"]
"#
    );
    TestProject::new(&[
        ("sparkpack.toml", &configuration),
        (
            "docker/base/Dockerfile",
            "ARG ROOT\nFROM ${ROOT}\nCOPY docker/base/base.txt /opt/\n",
        ),
        ("docker/base/base.txt", "base\n"),
        ("docker/base/unused.txt", "no COPY matches it\n"),
        (
            "docker/ds/Dockerfile",
            "ARG PARENT\nFROM ${PARENT}\nARG GREETING\nENV GREETING=$GREETING\nCOPY docker/ds/*.txt /opt/ds/\n",
        ),
        ("docker/ds/ds.txt", "ds\n"),
        (
            "docker/side/Dockerfile",
            "FROM base\nCOPY docker/side/side.txt /opt/\n",
        ),
        ("docker/side/side.txt", "side\n"),
        (
            "docker/job/Dockerfile",
            "ARG PARENT\nFROM ${PARENT}\nCOPY dist/jobs.zip dist/main.py /opt/job/\n",
        ),
        ("src/main.py", "print('main')\n"),
        ("src/jobs/__init__.py", ""),
        ("src/jobs/one.py", "VALUE = 1\n"),
        (
            "kubernetes/nightly.yml",
            &MANIFEST.replace("REGISTRY", registry),
        ),
    ])
}

/// A lock for the root image, so that planning needs no daemon.
pub(crate) fn lock(root: &str) -> String {
    format!(
        "format = 1\n\n[images.\"{root}\"]\nlocal_id = \"sha256:{}\"\n",
        "0".repeat(64)
    )
}

/// The root image of projects that no daemon is asked for.
const ROOT: &str = "registry.example/root:1";

/// The project with its lock, where `lock` fetches a file of 64 KiB for `base`; and the index that has the file.
pub(crate) fn with_source() -> (TestProject, Index) {
    let index = Index::new();
    index.put("/tool.bin", "x".repeat(1 << 16).as_bytes());
    let project = project(ROOT, "registry.example");
    project.write("sparkpack.lock", &lock(ROOT));
    let url = index.url.replace("/simple", "/tool.bin");
    let text = project.read("sparkpack.toml").replace(
        "dockerfile = \"docker/base/Dockerfile\"\n",
        "dockerfile = \"docker/base/Dockerfile\"\ncontexts.tool = \"tool\"\n",
    );
    project.write(
        "sparkpack.toml",
        &format!("{text}\n[sources.tool]\nurl = \"{url}\"\n"),
    );
    project.edit(
        "docker/base/Dockerfile",
        "COPY",
        "COPY --from=tool tool.bin /opt/\nCOPY",
    );
    (project, index)
}

/// One job that requires a package, and the index that has it.
pub(crate) fn with_package() -> (TestProject, Index) {
    let index = Index::new();
    index.add("spk_one-1.0-py3-none-any", &[]);
    let configuration = format!(
        "format = 1\nproject = \"packed\"\nregistries.main = \"registry.example/packed\"\n\n[mirrors]\npython = \"{}\"\n\n\
         [chains.main]\nspark = \"4.1.4\"\npython = \"3.11\"\n\n\
         [images.job]\nparent = \"py\"\nsrc = \"src\"\nrequirements = \"requirements.txt\"\n",
        index.url
    );
    let project = TestProject::new(&[
        ("sparkpack.toml", &configuration),
        ("requirements.txt", "spk-one\n"),
        ("src/main.py", "print('main')\n"),
        ("src/jobs/__init__.py", ""),
    ]);
    (project, index)
}

/// The project with its lock, where `side` gets everything in `docker/side/all`.
pub(crate) fn with_folder() -> TestProject {
    let project = project(ROOT, "registry.example");
    project.write("sparkpack.lock", &lock(ROOT));
    project.edit(
        "docker/side/Dockerfile",
        "docker/side/side.txt",
        "docker/side/all",
    );
    project.write("docker/side/all/side.txt", "side\n");
    project
}
