//! Packages that no index has a wheel of: they are built from their sources where that is allowed, in a container, and
//! nothing of them is run on this machine.

use std::{
    io::Write as _,
    sync::atomic::{AtomicUsize, Ordering},
};

use sparkpack::image::Digest;

use crate::support::{Index, TestProject, program, remove_images};

/// The images of the next project are below this and a number.
const PREFIX: &str = "sources.example/team";
static NEXT: AtomicUsize = AtomicUsize::new(0);

const NOWHERE: (&str, &str) = ("DOCKER_HOST", "unix:///nowhere/docker.sock");

const CONFIGURATION: &str = r#"format = 1
project = "sources"
registries.main = "PREFIX"

[mirrors]
python = "INDEX"

[chains.main]
spark = "4.1.4"
python = "3.11"
spark-source = "spark"

[sources.spark]
path = "spark"

[images.base]
dockerfile = "base.Dockerfile"

[images.py]
dockerfile = "py.Dockerfile"

[images.job]
parent = "py"
dockerfile = "job.Dockerfile"
src = "src"
requirements = "requirements.txt"
from-source = ["spk-lib"]
"#;

/// A build backend that is a part of its source: it needs nothing. What it finds where it runs is in the wheel.
const BACKEND: &str = r#"import base64
import hashlib
import os
import pathlib
import shutil
import zipfile


def get_requires_for_build_wheel(settings=None):
    return REQUIRES


def build_wheel(folder, settings=None, metadata=None):
    try:
        import spk_tool
        tool = spk_tool.VERSION
    except ImportError:
        tool = None
    stem = "spk_lib-VERSION"
    found = {"user": os.getuid(), "hello": shutil.which("hello"), "tool": tool, "home": os.path.exists("HOME")}
    files = {
        "spk_lib.py": "BUILT = %r\n" % (found,),
        stem + ".dist-info/METADATA": "Metadata-Version: 2.1\nName: spk-lib\nVersion: VERSION\nRequires-Dist: spk-dep\n",
        stem + ".dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = []
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        rows.append("%s,sha256=%s,%d\n" % (path, digest, len(text)))
    files[stem + ".dist-info/RECORD"] = "".join(rows) + stem + ".dist-info/RECORD,,\n"
    name = stem + "-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(folder, name), "w") as archive:
        for path, text in files.items():
            archive.writestr(zipfile.ZipInfo(path), text)
    return name
"#;

const PROJECT_FILE: &str =
    "[build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n";

/// A job on a Python of Debian's, with packages from an index of its own.
struct Sources {
    project: TestProject,
    prefix: String,
    index: Index,
}

impl Sources {
    fn new(requirements: &str) -> Self {
        let prefix = format!("{PREFIX}-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let index = Index::new();
        index.add("spk_dep-1.0-py3-none-any", &[]);
        index.add("spk_tool-3.0-py3-none-any", &[]);
        index.add("spk_app-1.0-py3-none-any", &["spk-lib>=1"]);
        let base = "FROM debian:bookworm-slim\nRUN apt-get -q -o Acquire::Retries=3 update && apt-get -q -o Acquire::Retries=3 install -y --no-install-recommends python3\nUSER 185\n";
        let project = TestProject::new(&[
            (
                "sparkpack.toml",
                &CONFIGURATION
                    .replace("INDEX", &index.url)
                    .replace("PREFIX", &prefix),
            ),
            ("base.Dockerfile", base),
            ("py.Dockerfile", "ARG PARENT\nFROM ${PARENT}\n"),
            (
                "job.Dockerfile",
                "ARG PARENT\nFROM ${PARENT}\nCOPY dist /opt/job/\n",
            ),
            ("src/main.py", "import spk_lib\nprint(spk_lib.BUILT)\n"),
            ("requirements.txt", requirements),
            ("spark/jars/spark-core_2.13-4.1.4.jar", ""),
        ]);
        Self {
            project,
            prefix,
            index,
        }
    }

    /// The source of `spk-lib`, whose backend asks for more by `requires`.
    fn files(&self, version: &str, requires: &str) -> Vec<(&'static str, String)> {
        let home = self.project.home().to_string_lossy().into_owned();
        let backend = BACKEND.replace("VERSION\"", "@\"");
        let backend = backend
            .replace("spk_lib-@", &format!("spk_lib-{version}"))
            .replace("Version: VERSION", &format!("Version: {version}"))
            .replace("REQUIRES", requires)
            .replace("HOME", &home);
        vec![
            ("backend.py", backend),
            ("pyproject.toml", PROJECT_FILE.to_owned()),
        ]
    }

    /// A source distribution.
    fn archive(&self, version: &str, requires: &str) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for (path, text) in self.files(version, requires) {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            let path = format!("spk_lib-{version}/{path}");
            archive
                .append_data(&mut header, path, text.as_bytes())
                .unwrap();
        }
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&archive.into_inner().unwrap()).unwrap();
        gzip.finish().unwrap()
    }

    /// Puts a source distribution on the index, and returns its digest.
    fn publish(&self, version: &str, requires: &str) -> Digest {
        let archive = self.archive(version, requires);
        self.index.put(
            &format!("/simple/spk-lib/spk_lib-{version}.tar.gz"),
            &archive,
        );
        Digest::of(&archive)
    }

    /// A repository with the source in a folder, and the URL of it.
    fn repository(&self) -> (std::path::PathBuf, String) {
        let root = self.project.home().join("repository");
        self.commit(&root, "1.0");
        let url = format!("git+file://{}", root.display());
        (root, url)
    }

    /// Commits a version, and tags it.
    fn commit(&self, root: &std::path::Path, version: &str) -> String {
        fs_err::create_dir_all(root.join("py")).unwrap();
        for (path, text) in self.files(version, "[]") {
            fs_err::write(root.join("py").join(path), text).unwrap();
        }
        let folder = root.to_str().unwrap();
        let git = |arguments: &[&str]| {
            let who = [
                "-C",
                folder,
                "-c",
                "user.name=x",
                "-c",
                "user.email=x@localhost",
            ];
            program("git", &[&who[..], arguments].concat())
        };
        if !root.join(".git").exists() {
            git(&["init", "--quiet", "."]);
        }
        git(&["add", "--all"]);
        git(&["commit", "--quiet", "-m", version]);
        git(&["tag", "--force", &format!("v{version}")]);
        git(&["rev-parse", "HEAD"]).trim().to_owned()
    }

    /// The lines of the lock about `spk-lib`.
    fn locked(&self) -> Vec<String> {
        let lock = self.project.read("requirements.lock");
        let mut parts = lock.split("\n\n");
        let part = parts
            .find(|part| part.starts_with("# spk_lib-"))
            .unwrap_or_else(|| panic!("{lock}"));
        part.lines()
            .map(|line| line.trim_end_matches(" \\").trim().to_owned())
            .collect()
    }

    /// What the wheel in the job's package was built with.
    fn built(&self) -> String {
        let libs = fs_err::File::open(self.project.root().join("dist/libs.zip")).unwrap();
        let mut libs = zip::ZipArchive::new(libs).unwrap();
        let mut module = libs.by_name("spk_lib.py").unwrap();
        let mut text = String::new();
        std::io::Read::read_to_string(&mut module, &mut text).unwrap();
        text
    }
}

impl Drop for Sources {
    fn drop(&mut self) {
        remove_images(&format!("{}/", self.prefix));
    }
}

const IN_CONTAINER: &str = "BUILT = {'user': 0, 'hello': None, 'tool': None, 'home': False}\n";

#[test]
fn what_has_no_wheel_is_built_in_a_container_and_locked_by_its_source() {
    let sources = Sources::new("spk-app\n");
    let digest = sources.publish("1.0", "[]");
    let project = &sources.project;
    // What nothing allows is told with what to write.
    project.edit("sparkpack.toml", "from-source = [\"spk-lib\"]\n", "");
    let failure = project.failure(&["lock"]);
    assert!(
        failure.contains("E704") && failure.contains("`from-source = [\"spk-lib\"]`"),
        "{failure}"
    );
    project.edit(
        "sparkpack.toml",
        "src = \"src\"\n",
        "src = \"src\"\nfrom-source = [\"Spk_Lib\"]\n",
    );
    let locked = project.succeed(&["lock"]);
    assert!(
        locked
            .stderr
            .contains("building a wheel of spk-lib from its source"),
        "{}",
        locked.stderr
    );
    let archive = format!("# built from spk_lib-1.0.tar.gz {digest}");
    let hash = format!("--hash={digest}");
    assert_eq!(
        sources.locked(),
        [
            "# spk_lib-1.0-py3-none-any.whl",
            &archive,
            "spk-lib==1.0",
            &hash
        ]
    );
    assert!(
        project.read("requirements.lock").contains("spk-dep==1.0"),
        "what it needs is locked"
    );
    let built = project.succeed(&["build", "job"]);
    assert!(
        !built.stderr.contains("building a wheel"),
        "it is in the cache: {}",
        built.stderr
    );
    assert_eq!(sources.built(), IN_CONTAINER);
    let plan = project.succeed(&["plan"]).stdout;
    let note =
        "not reproducible: built from source, whose builds may give other bytes each time: spk-lib";
    assert!(plan.contains(note), "{plan}");
    let plan: serde_json::Value =
        serde_json::from_str(&project.succeed(&["plan", "--format", "json"]).stdout).unwrap();
    let mut images = plan["images"].as_array().unwrap().iter();
    let job = images.find(|image| image["name"] == "job").unwrap();
    assert_eq!(
        (&job["reproducible"], &job["built_from_source"][0]),
        (&false.into(), &"spk-lib".into())
    );
    // Where the wheel is missing, it is made again.
    fs_err::remove_dir_all(project.cache()).unwrap();
    fs_err::remove_dir_all(project.root().join("dist")).unwrap();
    let again = project.succeed(&["package", "--locked"]);
    assert!(
        again.stderr.contains("building a wheel of spk-lib"),
        "{}",
        again.stderr
    );
    assert_eq!(sources.built(), IN_CONTAINER);
    // Without a builder that is told; the tag is known all the same.
    fs_err::remove_dir_all(project.cache()).unwrap();
    fs_err::remove_dir_all(project.root().join("dist")).unwrap();
    let tag = project.reference("job");
    let (name, value) = NOWHERE;
    let refused = crate::support::run(project.command(&["package", "--locked"]).env(name, value));
    assert_eq!(refused.code, 6, "{}", refused.stderr);
    let told = [
        "error[E716]: `spk-lib` has to be built from its source for `job`",
        "wheels = \"wheels\"",
    ];
    assert!(
        told.iter().all(|told| refused.stderr.contains(told)),
        "{}",
        refused.stderr
    );
    assert!(!project.root().join("dist/libs.zip").exists());
    let tags = crate::support::run(project.command(&["tags", "job"]).env(name, value));
    assert!(
        tags.stdout.contains(tag.rsplit(':').next().unwrap()),
        "{}",
        tags.stdout
    );
    // Another archive of the same version is another image, and never taken unasked.
    sources.publish("1.0", "list()");
    let refused = project.failure(&["package", "--locked"]);
    let told = "error[E707]: `spk_lib-1.0.tar.gz` is not what was locked";
    assert!(refused.contains(told), "{refused}");
    project.succeed(&["lock", "--upgrade", "spk-lib"]);
    assert_ne!(project.reference("job"), tag);
}

#[test]
fn a_commit_is_locked_until_it_is_upgraded() {
    let sources = Sources::new("");
    let (root, url) = sources.repository();
    let project = &sources.project;
    project.write(
        "requirements.txt",
        &format!("spk-lib @ {url}@main-line#subdirectory=py\n"),
    );
    program(
        "git",
        &["-C", root.to_str().unwrap(), "branch", "main-line"],
    );
    project.succeed(&["lock"]);
    let locked = sources.locked();
    let (first, tag) = (locked[1].clone(), project.reference("job"));
    let start = format!("# built from {url}@main-line#subdirectory=py at ");
    let commit = first
        .strip_prefix(&start)
        .unwrap_or_else(|| panic!("{first}"));
    assert_eq!(commit.len(), 40);
    project.succeed(&["package"]);
    assert_eq!(sources.built(), IN_CONTAINER);
    // A commit that was fetched is not asked for again.
    let away = root.with_extension("away");
    fs_err::rename(&root, &away).unwrap();
    for built in [
        project.cache().join("wheels"),
        project.cache().join("packages"),
        project.root().join("dist"),
    ] {
        fs_err::remove_dir_all(built).unwrap();
    }
    project.succeed(&["package", "--locked"]);
    assert_eq!(sources.built(), IN_CONTAINER);
    fs_err::rename(&away, &root).unwrap();
    // The branch moves on: nothing follows by itself, not even if another line is added.
    let second = sources.commit(&root, "2.0");
    program(
        "git",
        &[
            "-C",
            root.to_str().unwrap(),
            "branch",
            "--force",
            "main-line",
        ],
    );
    let requirements = project.read("requirements.txt");
    project.write("requirements.txt", &format!("{requirements}spk-tool\n"));
    project.succeed(&["lock"]);
    assert_eq!(sources.locked()[1], first);
    let upgraded = project.succeed(&["lock", "--upgrade", "spk-lib"]);
    assert!(
        upgraded.stdout.contains("spk-lib 1.0 -> 2.0"),
        "{}",
        upgraded.stdout
    );
    assert_eq!(sources.locked()[1], format!("{start}{second}"));
    assert_ne!(project.reference("job"), tag);
    // A revision that there is not.
    project.write(
        "requirements.txt",
        &format!("spk-lib @ {url}@v9#subdirectory=py\n"),
    );
    let failure = project.failure(&["lock"]);
    assert!(
        failure.contains("E718") && failure.contains("no branch, tag or commit `v9`"),
        "{failure}"
    );
    // A folder that has no package.
    project.write("requirements.txt", &format!("spk-lib @ {url}@v1.0\n"));
    let failure = project.failure(&["lock"]);
    assert!(
        failure.contains("E715") && failure.contains("neither `pyproject.toml` nor `setup.py`"),
        "{failure}"
    );
    // A repository that there is not.
    project.write("requirements.txt", "spk-lib @ git+file:///nowhere/at/all\n");
    let failure = project.failure(&["lock"]);
    assert!(
        failure.contains("E718: `file:///nowhere/at/all` cannot be fetched")
            || failure.contains("E718"),
        "{failure}"
    );
}

#[test]
fn a_build_gets_what_it_asks_for_and_what_it_prints_is_told() {
    let sources = Sources::new("spk-lib\n");
    let digest = sources.publish("1.0", "[\"spk-tool\"]");
    let project = &sources.project;
    project.edit(
        "sparkpack.toml",
        "from-source =",
        "build-packages = [\"hello\"]\nfrom-source =",
    );
    project.succeed(&["lock"]);
    project.succeed(&["package"]);
    assert_eq!(
        sources.built(),
        "BUILT = {'user': 0, 'hello': '/usr/bin/hello', 'tool': '3.0', 'home': False}\n"
    );
    let tag = project.reference("job");
    // What is installed for the build is an input.
    project.edit("sparkpack.toml", "[\"hello\"]", "[]");
    assert_ne!(project.reference("job"), tag);
    // A hash of the user's that is that of no file.
    let other = format!("spk-lib==1.0 --hash=sha256:{}\n", "0".repeat(64));
    project.write("requirements.txt", &other);
    let failure = project.failure(&["lock"]);
    assert!(
        failure.contains("E182: requirements.txt:1:1: `spk_lib-1.0.tar.gz`")
            || failure.contains("error[E182]"),
        "{failure}"
    );
    assert!(failure.contains(&digest.to_string()), "{failure}");
    // A build that fails.
    project.write("requirements.txt", "spk-lib\n");
    sources.publish("1.1", "print('about to fail') or 1/0");
    let failure = project.failure(&["lock", "--upgrade", "spk-lib"]);
    for told in [
        "error[E715]: a wheel of `spk-lib` cannot be built from spk_lib-1.1.tar.gz",
        "about to fail",
        "ZeroDivisionError",
        "build-packages",
    ] {
        assert!(failure.contains(told), "{told}: {failure}");
    }
    // One that gives the wheel of another package.
    let (root, url) = sources.repository();
    project.edit(
        "sparkpack.toml",
        "[\"spk-lib\"]",
        "[\"spk-lib\", \"spk-other\"]",
    );
    project.write(
        "requirements.txt",
        &format!("spk-other @ {url}#subdirectory=py\n"),
    );
    let failure = project.failure(&["lock"]);
    assert!(
        failure.contains("`spk_lib-1.0-py3-none-any.whl`, a wheel of another package"),
        "{failure}"
    );
    assert!(root.exists());
}

#[test]
fn a_wheel_that_is_kept_needs_no_builder() {
    let sources = Sources::new("spk-lib\n");
    sources.publish("1.0", "[]");
    let project = &sources.project;
    project.edit(
        "sparkpack.toml",
        "from-source =",
        "wheels = \"vendor/wheels\"\nfrom-source =",
    );
    project.succeed(&["lock"]);
    project.begin_git();
    project.git(&["rm", "--quiet", "--cached", "-r", "vendor"]);
    let plan = project.succeed(&["plan"]).stdout;
    assert!(
        plan.contains("vendor/wheels/spk_lib-1.0-py3-none-any.whl"),
        "{plan}"
    );
    let kept = project
        .root()
        .join("vendor/wheels/spk_lib-1.0-py3-none-any.whl");
    let bytes = fs_err::read(&kept).unwrap();
    let locked = sources.locked();
    assert_eq!(locked[3], format!("--hash={}", Digest::of(&bytes)));
    assert!(
        locked[1].starts_with("# built from spk_lib-1.0.tar.gz sha256:"),
        "{locked:?}"
    );
    let tag = project.reference("job");
    fs_err::remove_dir_all(project.cache()).unwrap();
    let (name, value) = NOWHERE;
    let packed = crate::support::run(project.command(&["package", "--locked"]).env(name, value));
    assert_eq!(packed.code, 0, "{}", packed.stderr);
    assert_eq!(sources.built(), IN_CONTAINER);
    assert!(
        !project
            .succeed(&["plan"])
            .stdout
            .contains("built from source")
    );
    // Nor does another line: built anew on another machine it could have other bytes, which would move the tag.
    project.write("requirements.txt", "spk-lib\nspk-tool\n");
    let more = crate::support::run(project.command(&["lock"]).env(name, value));
    assert_eq!(more.code, 0, "{}", more.stderr);
    assert_eq!(sources.locked(), locked);
    project.write("requirements.txt", "spk-lib\n");
    let less = crate::support::run(project.command(&["lock"]).env(name, value));
    assert_eq!(less.code, 0, "{}", less.stderr);
    // A wheel that somebody changed is none that was locked; it is made again, since the same source gives the same one.
    fs_err::write(&kept, [&bytes[..], b"x"].concat()).unwrap();
    fs_err::remove_dir_all(project.cache()).unwrap();
    fs_err::remove_dir_all(project.root().join("dist")).unwrap();
    project.succeed(&["package", "--locked"]);
    assert_eq!(fs_err::read(&kept).unwrap(), bytes);
    assert_eq!(project.reference("job"), tag);
    // Where it comes out otherwise, that is said.
    let lock = project.read("requirements.lock");
    let other = Digest::of(b"other").to_string();
    project.write(
        "requirements.lock",
        &lock.replace(Digest::of(&bytes).as_str(), &other),
    );
    fs_err::remove_file(&kept).unwrap();
    fs_err::remove_dir_all(project.cache()).unwrap();
    fs_err::remove_dir_all(project.root().join("dist")).unwrap();
    let failure = project.failure(&["package", "--locked"]);
    assert!(
        failure.contains("error[E717]: `vendor/wheels/spk_lib-1.0-py3-none-any.whl`"),
        "{failure}"
    );
    assert!(!kept.exists());
}

/// A backend of a package with native code.
const NATIVE: &str = r#"import os
import subprocess
import sysconfig
import zipfile

SOURCE = """
#include <Python.h>
#include <math.h>
static PyObject *call(PyObject *self, PyObject *args) {
    double x;
    return PyArg_ParseTuple(args, "d", &x) ? PyFloat_FromDouble(exp(x)) : NULL;
}
static PyMethodDef methods[] = {{"call", call, METH_VARARGS, NULL}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "spk_lib", NULL, -1, methods};
PyMODINIT_FUNC PyInit_spk_lib(void) { return PyModule_Create(&module); }
"""


def build_wheel(folder, settings=None, metadata=None):
    with open("spk_lib.c", "w") as file:
        file.write(SOURCE)
    name = "spk_lib" + sysconfig.get_config_var("EXT_SUFFIX")
    include = "-I" + sysconfig.get_paths()["include"]
    subprocess.run(["gcc", "-shared", "-fPIC", include, "spk_lib.c", "-lm", "-o", name], check=True)
    tag = "cp311-cp311-" + sysconfig.get_platform().replace("-", "_")
    info = "spk_lib-1.0.dist-info/"
    wheel = "spk_lib-1.0-" + tag + ".whl"
    with zipfile.ZipFile(os.path.join(folder, wheel), "w") as archive:
        archive.write(name)
        archive.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: spk-lib\nVersion: 1.0\n")
        archive.writestr(info + "WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: " + tag + "\n")
        archive.writestr(info + "RECORD", name + ",,\n" + "".join(info + part + ",,\n" for part in ("METADATA", "WHEEL", "RECORD")))
    return wheel
"#;

/// It is linked with the glibc of the image, which may be newer than the one that wheels of an index are chosen for.
#[test]
fn native_code_is_compiled_where_it_will_run() {
    let sources = Sources::new("spk-lib @ ./vendor/spk-lib-1.0.tar.gz\n");
    let project = &sources.project;
    let mut archive = tar::Builder::new(Vec::new());
    for (path, text) in [("backend.py", NATIVE), ("pyproject.toml", PROJECT_FILE)] {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        let path = format!("spk_lib-1.0/{path}");
        archive
            .append_data(&mut header, path, text.as_bytes())
            .unwrap();
    }
    fs_err::create_dir_all(project.root().join("vendor")).unwrap();
    let archive = archive.into_inner().unwrap();
    fs_err::write(project.root().join("vendor/spk-lib-1.0.tar.gz"), archive).unwrap();
    let packages = "build-packages = [\"gcc\", \"libc6-dev\", \"python3-dev\"]\nfrom-source =";
    project.edit("sparkpack.toml", "from-source =", packages);
    project.write(
        "src/main.py",
        "import spk_lib\nprint('RESULT', round(spk_lib.call(1.0), 3))\n",
    );
    project.edit(
        "job.Dockerfile",
        "COPY dist /opt/job/\n",
        "COPY dist /opt/job/\nENV PYTHONPATH=/opt/job/site-packages\n",
    );
    project.succeed(&["lock"]);
    assert!(sources.locked()[0].ends_with("-cp311-cp311-linux_x86_64.whl"));
    let archive = "spk-lib-1.0.tar.gz";
    assert!(sources.locked()[1].contains(archive));
    project.succeed(&["build", "job"]);
    let job = project.reference("job");
    let printed = crate::support::docker(&["run", "--rm", &job, "python3", "/opt/job/main.py"]);
    assert_eq!(printed, "RESULT 2.718\n");
}

/// Whoever owns a name on another index must not even have their code run in a container.
#[test]
fn a_source_that_two_indexes_have_is_refused_before_it_is_built() {
    let sources = Sources::new("spk-lib\n");
    sources.publish("1.0", "[]");
    let project = &sources.project;
    let other = Index::new();
    other.put(
        "/simple/spk-lib/spk_lib-9.0.tar.gz",
        &sources.archive("9.0", "[]"),
    );
    let lock = || {
        let mut command = project.command(&["lock"]);
        crate::support::run(command.env("PIP_EXTRA_INDEX_URL", &other.url))
    };
    let refused = lock();
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    let told = "error[E184]: `spk-lib` is on more than one index";
    assert!(refused.stderr.contains(told), "{}", refused.stderr);
    assert!(
        !refused.stderr.contains("building a wheel"),
        "{}",
        refused.stderr
    );
    let named = format!(
        "[python.indexes]\nspk-lib = \"{}\"\n\n[images.job]",
        other.url
    );
    project.edit("sparkpack.toml", "[images.job]", &named);
    let locked = lock();
    assert_eq!(locked.code, 0, "{}", locked.stderr);
    assert_eq!(sources.locked()[2], "spk-lib==9.0");
    // The installer takes it from the other index all the same.
    let own = named.replace(&other.url, &sources.index.url);
    project.edit("sparkpack.toml", &named, &own);
    fs_err::remove_file(project.root().join("requirements.lock")).unwrap();
    let refused = lock();
    let told = "error[E184]: `spk_lib-9.0.tar.gz` is not a file of";
    assert!(refused.stderr.contains(told), "{}", refused.stderr);
    assert!(
        !refused.stderr.contains("building a wheel"),
        "{}",
        refused.stderr
    );
}

#[test]
fn the_variables_of_a_source_are_needed_only_where_it_is_built() {
    let sources = Sources::new("");
    let (root, _) = sources.repository();
    let project = &sources.project;
    let parent = root.parent().unwrap().display();
    let line = format!("spk-lib @ git+file://{parent}/${{SPK_SOURCE}}@v1.0#subdirectory=py\n");
    project.write("requirements.txt", &line);
    project.edit(
        "sparkpack.toml",
        "from-source =",
        "wheels = \"wheels\"\nfrom-source =",
    );
    let failure = project.failure(&["lock"]);
    assert!(
        failure.contains("error[E166]: requirements.txt:1:1"),
        "{failure}"
    );
    let set = ("SPK_SOURCE", "repository");
    let locked = crate::support::run(project.command(&["lock"]).env(set.0, set.1));
    assert_eq!(locked.code, 0, "{}", locked.stderr);
    assert!(sources.locked()[1].contains("/${SPK_SOURCE}@v1.0#subdirectory=py at "));
    fs_err::remove_dir_all(project.cache()).unwrap();
    project.succeed(&["package", "--locked"]);
    assert_eq!(sources.built(), IN_CONTAINER);
}

#[test]
fn settings_that_make_no_sense_are_told_with_their_places() {
    let sources = Sources::new("six\n");
    let project = &sources.project;
    for (old, new, wanted) in [
        (
            "from-source = [\"spk-lib\"]",
            "build-packages = [\"gcc\"]",
            "E022]: sparkpack.toml:27:19: wheels are built only of packages that `from-source` names",
        ),
        (
            "build-packages = [\"gcc\"]",
            "wheels = \"wheels\"",
            "E022]: sparkpack.toml:27:10: wheels are built only",
        ),
        (
            "wheels = \"wheels\"",
            "from-source = [\"spk-lib\"]\nwheels = \"../wheels\"",
            "E091]: sparkpack.toml:28:10",
        ),
        (
            "wheels = \"../wheels\"",
            "wheels = \"dist/wheels\"",
            "E090]: sparkpack.toml:28:10: `dist/wheels` lies in `dist`",
        ),
        (
            "wheels = \"dist/wheels\"",
            "build-packages = [\"gcc; rm -rf /\"]",
            "E022]: sparkpack.toml:28:19: `gcc; rm -rf /` is no name of a Debian package",
        ),
    ] {
        project.edit("sparkpack.toml", old, new);
        let failure = project.failure(&["plan"]);
        assert!(failure.contains(wanted), "{failure}");
    }
}
