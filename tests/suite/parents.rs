//! The packages of the parents: what binds a job, what it may replace, and what Spark brings.

use crate::support::{Index, TestProject, host_python, small};

/// A chain of Dockerfiles in which `ds` has requirements, with packages from an index of its own.
pub(crate) struct Parents {
    pub(crate) project: TestProject,
    pub(crate) index: Index,
}

const ROOT: &str = "root.example/os:1";

const CONFIGURATION: &str = r#"format = 1
project = "parents"
registries.main = "registry.example/parents"

[mirrors]
python = "INDEX"

[chains.main]
spark = "4.1.4"
python = "PYTHON"
root = "root.example/os:1"
spark-source = "spark"

[sources.spark]
path = "spark"

[images.base]
dockerfile = "docker/base/Dockerfile"

[images.ds]
parent = "base"
dockerfile = "docker/ds/Dockerfile"
requirements = "docker/ds/requirements.txt"

[images.job]
parent = "ds"
dockerfile = "docker/job/Dockerfile"
src = "src"
requirements = "requirements.txt"
"#;

impl Parents {
    /// `ds` has `spk-lib`, and `spk-dep` 2.0, which came along with it.
    pub(crate) fn new(ds: &str, job: &str) -> Self {
        let index = Index::new();
        index.add("spk_lib-1.0-py3-none-any", &["spk-dep>=1"]);
        index.add("spk_lib-2.0-py3-none-any", &["spk-dep>=1"]);
        index.add("spk_app-1.0-py3-none-any", &["spk-dep<2"]);
        index.add("spk_other-1.0-py3-none-any", &["spk-lib<2"]);
        index.add("spk_spark-1.0-py3-none-any", &["pyspark>=4"]);
        index.add("spk_old_spark-1.0-py3-none-any", &["pyspark<4"]);
        index.add("spk_dep-1.0-py3-none-any", &[]);
        index.add("spk_dep-2.0-py3-none-any", &[]);
        index.add("spk_grpc-1.0-py3-none-any", &[]);
        let configuration = CONFIGURATION
            .replace("INDEX", &index.url)
            .replace("PYTHON", &host_python());
        let below = "ARG PARENT\nFROM ${PARENT}\nCOPY site-packages /opt/site\n";
        let project = TestProject::new(&[
            ("sparkpack.toml", &configuration),
            ("sparkpack.lock", &small::lock(ROOT)),
            (
                "docker/base/Dockerfile",
                "ARG ROOT\nFROM ${ROOT}\nCOPY docker/base.txt /opt/\n",
            ),
            ("docker/base.txt", "base\n"),
            ("docker/ds/Dockerfile", below),
            ("docker/ds/requirements.txt", ds),
            (
                "docker/job/Dockerfile",
                "ARG PARENT\nFROM ${PARENT}\nCOPY dist /opt/job/\n",
            ),
            ("src/main.py", "print('main')\n"),
            ("requirements.txt", job),
            ("spark/jars/spark-core_2.13-4.1.4.jar", ""),
            (
                "spark/python/packaging/classic/setup.py",
                "_minimum_grpc_version = \"1.0\"\nsetup(\n    extras_require={\n        \"connect\": [\n            \"spk-grpc>=%s\" % _minimum_grpc_version,\n        ],\n    },\n)\n",
            ),
        ]);
        Self { project, index }
    }

    /// The file names of the wheels that the job is locked with, and the pins that it leaves out.
    pub(crate) fn locked(&self) -> [Vec<String>; 2] {
        self.project.succeed(&["package"]);
        let lock = self.project.read("requirements.lock");
        let after = |start: &str, end: &str| {
            let lines = lock.lines().filter_map(|line| line.strip_prefix(start));
            let lines = lines.filter_map(|line| line.strip_suffix(end));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        [after("# ", "-py3-none-any.whl"), after("# left out: ", "")]
    }
}

#[test]
fn only_what_a_parent_asks_for_binds_a_job() {
    let parents = Parents::new("spk-lib>=1\n", "spk-app\n");
    let [wheels, left_out] = parents.locked();
    assert_eq!(wheels, ["spk_app-1.0", "spk_dep-1.0"]);
    assert_eq!(left_out, [""; 0]);
    let plan = parents.project.succeed(&["plan"]).stdout;
    let note = "replaces what came along below it: spk-dep 1.0 (ds has 2.0)";
    assert!(plan.contains(note), "{plan}");
    let plan = parents
        .project
        .succeed(&["plan", "--format", "json"])
        .stdout;
    let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
    let images = plan["images"].as_array().unwrap();
    let replaced: Vec<_> = images.iter().map(|image| &image["replaced"]).collect();
    assert_eq!(replaced[2][0], "spk-dep 1.0 (ds has 2.0)", "{plan}");
    assert!(replaced[..2].iter().all(|none| none.is_null()), "{plan}");
    // The same version is not shipped again.
    parents
        .project
        .write("requirements.txt", "spk-dep\nspk-lib\n");
    let [wheels, left_out] = parents.locked();
    assert_eq!(wheels, [""; 0]);
    assert_eq!(left_out, ["spk-dep==2.0", "spk-lib==2.0"]);
    let plan = parents.project.succeed(&["plan"]).stdout;
    assert!(!plan.contains("replaces"), "{plan}");
    // Another version of it below is another question.
    let lock = parents.project.read("requirements.lock");
    parents.index.add("spk_dep-3.0-py3-none-any", &[]);
    parents.project.succeed(&["lock", "--upgrade", "spk-dep"]);
    assert_ne!(parents.project.read("requirements.lock"), lock);
}

#[test]
fn what_a_compiled_file_lists_for_others_does_not_bind() {
    let compiled = "spk-dep==2.0\n    # via spk-lib\nspk-lib==2.0\n    # via -r requirements.in\n";
    let parents = Parents::new(compiled, "spk-app\n");
    let [wheels, _] = parents.locked();
    assert_eq!(wheels, ["spk_app-1.0", "spk_dep-1.0"]);
    let listed = Parents::new("spk-dep==2.0\nspk-lib==2.0\n", "spk-app\n");
    let refused = listed.project.run(&["package"]);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(
        refused
            .stderr
            .contains("`ds` has spk-dep 2.0: docker/ds/requirements.txt:1 asks for `spk-dep==2.0`"),
        "{}",
        refused.stderr
    );
}

/// A lock of another tool lists what came along beside what the project asks for, and only the latter binds.
#[test]
fn what_a_lock_has_for_the_sake_of_others_does_not_bind() {
    let package = |name: &str, version: &str, index: &Index| {
        let digest = index.digest(&format!(
            "{}-{version}-py3-none-any",
            name.replace('-', "_")
        ));
        format!(
            "[[package]]\nname = \"{name}\"\nversion = \"{version}\"\ngroups = [\"main\"]\nsource = {{ registry = \"https://i.example\" }}\n\
             wheels = [{{ url = \"https://i.example/x.whl\", hash = \"{digest}\" }}]\nfiles = [{{ file = \"x.whl\", hash = \"{digest}\" }}]\n"
        )
    };
    let of_uv = |packages: &str, own: &str| {
        format!(
            "version = 1\n{}\n[[package]]\nname = \"x\"\nversion = \"1\"\nsource = {{ virtual = \".\" }}\ndependencies = [{own}]\n",
            packages.replace("NEEDS", "dependencies = [{ name = \"spk-dep\" }]")
        )
    };
    let of_poetry = |packages: &str| {
        packages
            .replace("source = { registry = \"https://i.example\" }\n", "")
            .replace("NEEDS", "[package.dependencies]\nspk-dep = \"*\"\n")
            + "[metadata]\nlock-version = \"2.1\"\npython-versions = \"*\"\ncontent-hash = \"\"\n"
    };
    let of_project = |own: &str| format!("[tool.poetry.dependencies]\npython = \"*\"\n{own}");
    for (file, is_along) in [
        ("uv.lock", true),
        ("uv.lock", false),
        ("poetry.lock", true),
        ("poetry.lock", false),
    ] {
        let parents = Parents::new("", "spk-app\n");
        let packages = package("spk-lib", "2.0", &parents.index)
            + "NEEDS\n"
            + &package("spk-dep", "2.0", &parents.index);
        let (lock, beside) = match (file, is_along) {
            ("uv.lock", true) => (of_uv(&packages, "{ name = \"spk-lib\" }"), None),
            ("uv.lock", false) => {
                let both = "{ name = \"spk-lib\" }, { name = \"spk-dep\" }";
                (of_uv(&packages, both), None)
            }
            (_, true) => (of_poetry(&packages), Some("spk-lib = \"*\"\n")),
            (_, false) => {
                let both = "spk-lib = \"*\"\nspk-dep = \"*\"\n";
                (of_poetry(&packages), Some(both))
            }
        };
        let path = format!("docker/ds/{file}");
        parents.project.write(&path, &lock);
        if let Some(own) = beside {
            let project = of_project(own);
            parents.project.write("docker/ds/pyproject.toml", &project);
        }
        parents
            .project
            .edit("sparkpack.toml", "docker/ds/requirements.txt", &path);
        if is_along {
            let [wheels, _] = parents.locked();
            assert_eq!(wheels, ["spk_app-1.0", "spk_dep-1.0"], "{file}");
        } else {
            let refused = parents.project.run(&["package"]);
            assert_eq!(refused.code, 2, "{file}: {}", refused.stderr);
            let told = format!("`ds` has spk-dep 2.0: {path}:");
            assert!(refused.stderr.contains(&told), "{}", refused.stderr);
        }
    }
}

#[test]
fn a_conflict_names_both_sides_and_the_ways_out() {
    for (job, place, told) in [
        (
            "# a remark\nspk-lib==1.0\n",
            "requirements.txt:2:1: ",
            "`spk-lib==1.0` is wanted, but `ds` has spk-lib 2.0: docker/ds/requirements.txt:1 asks for `spk-lib>=2`",
        ),
        (
            "spk-dep\nspk-other\n",
            "requirements.txt:2:1: ",
            "; `ds` has spk-lib 2.0: docker/ds/requirements.txt:1 asks for `spk-lib>=2`",
        ),
    ] {
        let parents = Parents::new("spk-lib>=2\n", job);
        let refused = parents.project.run(&["package"]);
        assert_eq!(refused.code, 2, "{}", refused.stderr);
        let error = refused
            .stderr
            .lines()
            .find(|line| line.starts_with("error["))
            .unwrap();
        assert!(
            error.starts_with(&format!("error[E706]: {place}")),
            "{error}"
        );
        assert!(error.ends_with(told), "{error}");
        for way in [
            "to the requirements of `ds`",
            "a `ds` of its own",
            "`parent = \"py\"`",
        ] {
            assert!(refused.stderr.contains(way), "{way}: {}", refused.stderr);
        }
        assert!(!parents.project.root().join("requirements.lock").exists());
    }
}

#[test]
fn the_chains_spark_counts_as_pyspark_where_no_image_is_py() {
    let parents = Parents::new("spk-lib\n", "spk-spark\n");
    let [wheels, left_out] = parents.locked();
    assert_eq!(wheels, ["spk_spark-1.0"]);
    assert_eq!(left_out, ["pyspark==4.1.4"]);
    for wanted in ["pyspark==3.5.1", "spk-old-spark"] {
        parents
            .project
            .write("requirements.txt", &format!("{wanted}\n"));
        let refused = parents.project.run(&["package"]);
        assert_eq!(refused.code, 2, "{}", refused.stderr);
        assert!(
            refused.stderr.contains(wanted)
                && refused
                    .stderr
                    .contains("the chain's Spark is 4.1.4 (sparkpack.toml:"),
            "{}",
            refused.stderr
        );
    }
}

#[test]
fn extras_of_pyspark_bring_what_they_name_but_not_pyspark() {
    let parents = Parents::new("spk-lib\n", "pyspark[connect]==4.1.4\n");
    let [wheels, left_out] = parents.locked();
    assert_eq!(wheels, ["spk_grpc-1.0"]);
    assert_eq!(left_out, ["pyspark==4.1.4"]);
    // Where it is locked, nobody asks again.
    fs_err::remove_dir_all(parents.project.root().join("spark")).unwrap();
    parents.project.succeed(&["package", "--offline"]);
    let parents = Parents::new("spk-lib\n", "six\npyspark[conect]\n");
    let refused = parents.project.run(&["package"]);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    for told in [
        "error[E180]: requirements.txt:2:1: pyspark 4.1.4 has no extra `conect`; it has connect",
        "did you mean `connect`?",
    ] {
        assert!(refused.stderr.contains(told), "{}", refused.stderr);
    }
}

#[test]
fn a_wrong_hash_in_the_requirements_is_called_theirs() {
    let zeros = "0".repeat(64);
    let parents = Parents::new(
        "spk-lib\n",
        &format!("spk-app==1.0 --hash=sha256:{zeros}\n"),
    );
    let refused = parents.project.run(&["package"]);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    let right = parents.index.digest("spk_app-1.0-py3-none-any");
    for told in [
        format!(
            "error[E182]: requirements.txt:1:1: the hash sha256:{zeros} is not that of any wheel of spk-app 1.0"
        ),
        format!("write `spk-app==1.0 --hash={right}`"),
    ] {
        assert!(refused.stderr.contains(&told), "{}", refused.stderr);
    }
    assert!(!refused.stderr.contains("lock"), "{}", refused.stderr);
}
