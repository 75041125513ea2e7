//! `init`: what it writes for projects of many kinds, what it says, and that it loses nothing.

use std::path::Path;

use crate::support::{Run, TestProject, lock_requirements, program, remove_images};

const ZEROS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// A tree, the references that its images get, without what is new in their tags, and what its job prints in Spark: with
/// the image and the file that are run.
struct Tree {
    path: &'static str,
    references: &'static [&'static str],
    run: Option<(&'static str, &'static str, &'static str)>,
}

const fn tree(
    path: &'static str,
    references: &'static [&'static str],
    run: Option<(&'static str, &'static str, &'static str)>,
) -> Tree {
    Tree {
        path,
        references,
        run,
    }
}

const MAIN: &str = "/opt/job/main.py";

/// The projects of templates, without what they have of sparkpack, and trees of other kinds.
const TREES: [Tree; 14] = [
    tree(
        "projects/jobs-and-shared",
        &[
            "registry.example/project/base",
            "registry.example/project/job",
            "registry.example/project/py",
        ],
        Some((
            "job",
            MAIN,
            "RESULT jobs-and-shared [('north', 1), ('sea', 1), ('wind', 2)]",
        )),
    ),
    tree(
        "projects/package-with-cli",
        &[
            "registry.example/parcels/base",
            "registry.example/parcels/job",
            "registry.example/parcels/py",
        ],
        Some((
            "job",
            MAIN,
            "RESULT package-with-cli 1.4.0 [('far', 10), ('near', 6)]",
        )),
    ),
    tree(
        "projects/package-with-data",
        &[
            "registry.example/project/base",
            "registry.example/project/job",
            "registry.example/project/py",
        ],
        Some((
            "job",
            "/opt/job/jobs/lowest.py",
            "RESULT package-with-data lowest [('east', 1.5), ('west', 1.25)]",
        )),
    ),
    tree(
        "projects/poetry",
        &[
            "registry.example/orders/base",
            "registry.example/orders/job",
            "registry.example/orders/py",
        ],
        Some(("job", MAIN, "RESULT gruner-tee=30.00 kanelbulle=27.00")),
    ),
    tree(
        "projects/root-packages",
        &[
            "registry.example/project/base",
            "registry.example/project/job",
            "registry.example/project/py",
        ],
        Some((
            "job",
            MAIN,
            "RESULT root-packages [('first', 2), ('ground', 2), ('second', 1)]",
        )),
    ),
    tree(
        "projects/uv",
        &[
            "registry.example/stock/base",
            "registry.example/stock/job",
            "registry.example/stock/py",
        ],
        Some(("job", MAIN, "RESULT bolts washers")),
    ),
    tree(
        "trees/airflow",
        &[
            "ghcr.example/warehouse/base",
            "ghcr.example/warehouse/py",
            "ghcr.example/warehouse/stock-job",
        ],
        Some(("stock-job", MAIN, "RESULT airflow 3")),
    ),
    tree(
        "trees/envsubst",
        &[
            "quay.example/harbours/base",
            "quay.example/harbours/py",
            "quay.example/harbours/tide-tables",
        ],
        Some(("tide-tables", MAIN, "RESULT envsubst [('east', 2.5)]")),
    ),
    tree(
        "trees/helm-chart",
        &[
            "harbour.example/freight/base",
            "harbour.example/freight/tariffs",
        ],
        Some(("tariffs", "/opt/app/main.py", "RESULT helm-chart [6, 10]")),
    ),
    tree(
        "trees/makefile",
        &[
            "nexus.example:8083/analytics/base",
            "nexus.example:8083/analytics/churn",
            "nexus.example:8083/analytics/py",
        ],
        Some(("churn", MAIN, "RESULT makefile ['ada', 'zoe']")),
    ),
    tree(
        "trees/monorepo",
        &[
            "registry.gitlab.example/airport/platform/arrivals",
            "registry.gitlab.example/airport/platform/departures",
        ],
        Some((
            "departures",
            "/opt/app/main.py",
            "RESULT monorepo departures 2",
        )),
    ),
    tree(
        "trees/one-repository",
        &[
            "123456789012.dkr.ecr.eu-central-1.amazonaws.com/spark:base",
            "123456789012.dkr.ecr.eu-central-1.amazonaws.com/spark:meters",
        ],
        Some(("meters", MAIN, "RESULT one-repository [1]")),
    ),
    tree(
        "trees/other-contexts",
        &[
            "registry.example/ledger/base",
            "registry.example/ledger/job",
            "registry.example/ledger/py",
        ],
        None,
    ),
    tree(
        "trees/two-roots",
        &[
            "registry.example/grain/base",
            "registry.example/grain/job",
            "registry.example/grain/py",
        ],
        Some(("job", MAIN, "RESULT two-roots [('silo-sud', 1.5)]")),
    ),
];

/// Trees that are read and planned, and not built: an image for each environment, and a build by GitHub's action.
const MORE: [Tree; 2] = [
    tree("trees/build-action", &["ghcr.example/acme/etl-tolls"], None),
    tree(
        "trees/environments",
        &[
            "dev.example:5000/data/base",
            "dev.example:5000/data/py",
            "dev.example:5000/data/sales",
        ],
        None,
    ),
];

/// A copy of a tree, without a configuration.
fn copy(path: &str) -> TestProject {
    let project = TestProject::new(&[
        ("../spark-4.1.4-bin-hadoop3/jars/a.jar", "jar"),
        ("../spark-4.1.4-bin-hadoop3/python/pyspark.py", ""),
        (
            "../spark-4.1.4-bin-hadoop3/kubernetes/dockerfiles/spark/entrypoint.sh",
            "#!/bin/sh\n",
        ),
    ]);
    let from = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(path);
    program(
        "cp",
        &["-R".as_ref(), from.join(".").as_path(), &project.root()],
    );
    let configuration = project.root().join("sparkpack.toml");
    if configuration.exists() {
        fs_err::remove_file(configuration).unwrap();
    }
    if project.root().join("uv.lock").exists() {
        let public = concat!("https://", "pypi", ".org/simple");
        project.edit("uv.lock", "https://index.example/simple", public);
    }
    project
}

/// The name of a tree's snapshot.
fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap()
}

fn adopted(project: &TestProject) -> Run {
    project.succeed(&["init"])
}

/// The references without their fingerprints.
fn references(project: &TestProject) -> Vec<String> {
    let printed = project.succeed(&["tags"]).stdout;
    let names = printed.lines().map(|reference| {
        let (rest, tag) = reference.rsplit_once([':', '-']).unwrap();
        assert_eq!(tag.len(), 16, "{reference}");
        rest.to_owned()
    });
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// What a first run looks up, made up.
fn lock(project: &TestProject) {
    let images = ["debian:bookworm-slim", "apache/spark:4.1.4-python3"];
    let images = images.map(|image| format!("[images.\"{image}\"]\ndigest = \"sha256:{ZEROS}\"\n"));
    let spark = format!("[sources.\"pyspark==4.1.4\"]\nsha256 = \"sha256:{ZEROS}\"\n");
    let images = images.join("\n");
    project.write(
        "sparkpack.lock",
        &format!("format = 1\n\n{images}\n{spark}"),
    );
    if project
        .read("sparkpack.toml")
        .contains("requirements.txt\"")
    {
        let wheel = ("six-1.16.0-py2.py3-none-any.whl", ZEROS);
        lock_requirements(project, "requirements.txt", "4.1.4", &[wheel]);
    }
}

#[test]
fn every_tree_gets_one_file_and_is_told_what_it_follows_from() {
    for Tree { path, .. } in TREES.into_iter().chain(MORE) {
        let project = copy(path);
        let before = project.files();
        let dry = project.succeed(&["init", "--dry-run"]);
        assert_eq!(project.files(), before, "{path}: a dry run writes nothing");
        let run = adopted(&project);
        assert_eq!(run.stdout, "", "{path}");
        let text = project.read("sparkpack.toml");
        assert_eq!(dry.stdout, text, "{path}");
        let mut after = project.files();
        after.retain(|(file, _)| file != "sparkpack.toml");
        assert_eq!(after, before, "{path}: nothing else is changed");
        let same = project.succeed(&["init", "--diff"]);
        assert_eq!(same.stdout, "", "{path}");
        assert!(
            text.lines().filter(|line| !line.starts_with('#')).count() <= 30,
            "{path}"
        );
        insta::assert_snapshot!(
            format!("of_{}", name(path)),
            format!("{text}\n--- says\n{}", run.stderr)
        );
    }
}

/// The lock is made up, so that nothing is looked up. What a lock of wheels is made of is left to the test with Spark.
#[test]
fn references_come_out_as_manifests_and_scripts_have_them() {
    for Tree {
        path,
        references: wanted,
        ..
    } in TREES.into_iter().chain(MORE)
    {
        if ["projects/poetry", "projects/uv", "trees/two-roots"].contains(&path) {
            continue;
        }
        let project = copy(path);
        adopted(&project);
        lock(&project);
        assert_eq!(references(&project), wanted, "{path}");
        project.succeed(&["plan"]);
        if path == "trees/one-repository" {
            // An old tag of a shared repository may be anybody's: `init` says which mark it needs.
            let told = project.failure(&["check"]);
            assert!(
                told.contains("put `# sparkpack: meters` behind it"),
                "{told}"
            );
            project.edit(
                "k8s/meters.yml",
                "meters-3f2a1bc",
                "meters-3f2a1bc # sparkpack: meters",
            );
        }
        let check = project.run(&["check"]);
        assert!(check.code <= 1, "{path}: {}", check.stderr);
        let changed = check.stdout.lines().filter(|line| {
            (line.starts_with('-') || line.starts_with('+'))
                && !line.starts_with("---")
                && !line.starts_with("+++")
        });
        let without_tags: Vec<String> = changed
            .map(|line| {
                let line = line[1..].trim_end_matches(" # sparkpack: meters");
                let (before, tag) = line.rsplit_once(':').unwrap();
                let of_shared = tag.split_once('-').map_or("", |(image, _)| image);
                format!("{before} {of_shared}")
            })
            .collect();
        for pair in without_tags.chunks(2) {
            assert_eq!(pair[0], pair[1], "{path}: {}", check.stdout);
        }
    }
}

/// The code of a job that needs no Dockerfile any more is what its Dockerfile got.
#[test]
fn what_dockerignore_keeps_out_of_the_code_stays_out() {
    let written = |rules: &str| {
        let project = copy("trees/makefile");
        project.write("src/local settings/a.py", "");
        project.write(".dockerignore", rules);
        let told = adopted(&project).stderr;
        (project, told)
    };
    let exclude = |project: &TestProject| {
        let text = project.read("sparkpack.toml");
        let line = text.lines().find(|line| line.starts_with("exclude"));
        line.map(str::to_owned)
    };
    let (project, _) = written("# ours\n**/notes\n*/local?settings*\n!src/local_settings.py\n");
    let line = r#"exclude = ["/jobs/notes/", "/local settings/"]  # as in .dockerignore:2"#;
    assert_eq!(exclude(&project).as_deref(), Some(line));
    lock(&project);
    let tags = || project.succeed(&["tags"]).stdout;
    let before = tags();
    project.write("src/jobs/notes/ideas.md", "changed\n");
    project.write("src/local settings/a.py", "changed = 1\n");
    assert_eq!(tags(), before);
    project.write("src/local_settings.py", "changed = 1\n");
    assert_ne!(tags(), before);

    // Where only `dist` goes into the context, that says nothing about the code; nor does a file that docker refuses.
    for rules in ["*\n!dist\n", "[\n", "docs\n"] {
        let (project, told) = written(rules);
        assert_eq!(exclude(&project), None, "{rules}");
        assert!(!told.contains("dockerignore"), "{told}");
    }
    // A list that nobody reads is left to its owner.
    let project = copy("trees/makefile");
    for number in 0..13 {
        project.write(&format!("src/shared/draft{number}.py"), "");
    }
    project.write(".dockerignore", "**/draft*\n");
    let told = adopted(&project).stderr;
    assert_eq!(exclude(&project), None);
    let wanted = "  .dockerignore:1: 13 paths of the code are kept out here\n    -> name them in `exclude` of the job";
    assert!(told.contains(wanted), "{told}");
}

#[test]
fn a_project_that_has_a_configuration_keeps_it() {
    let project = copy("trees/airflow");
    project.write("sparkpack.toml", "format = 1\n");
    fs_err::create_dir_all(project.root().join("jobs")).unwrap();
    let before = project.files();
    let here = project.run(&["init"]);
    let below = project.run(&["-C", "jobs", "init", "--dry-run"]);
    assert_eq!((here.code, below.code), (2, 2));
    let without = project.run(&["init", "--diff"]);
    assert_eq!(without.code, 2);
    assert_eq!(project.files(), before);
    let root = fs_err::canonicalize(project.root()).unwrap();
    let root = root.to_str().unwrap();
    let said = [here.stderr, below.stderr, without.stderr].join("\n");
    insta::assert_snapshot!(said.replace(root, "[project]"));
}

#[test]
fn a_tree_that_says_nothing_is_told_what_was_looked_for() {
    let project = TestProject::new(&[
        ("README.md", "# Notes\n"),
        (
            "app.py",
            "import flask\n\nif __name__ == \"__main__\":\n    flask.Flask(__name__).run()\n",
        ),
        (
            "Dockerfile",
            "FROM python:3.12-slim\nCOPY app.py /\nCMD [\"python\", \"/app.py\"]\n",
        ),
    ]);
    let before = project.files();
    let run = project.run(&["init"]);
    assert_eq!(run.code, 2);
    assert_eq!(project.files(), before);
    let nowhere = project.run(&["-C", "nowhere", "init"]);
    assert_eq!(nowhere.code, 2);
    assert!(
        nowhere.stderr.contains("there is no such folder"),
        "{}",
        nowhere.stderr
    );
    let root = fs_err::canonicalize(project.root()).unwrap();
    insta::assert_snapshot!(run.stderr.replace(root.to_str().unwrap(), "[project]"));
}

#[test]
fn what_has_changed_since_is_told() {
    let project = copy("trees/makefile");
    adopted(&project);
    project.edit(
        "requirements.txt",
        "pyspark==4.1.4",
        "# moved\npyspark==4.0.1",
    );
    project.edit(
        "kubernetes/churn.yml",
        "sparkVersion: 4.1.4",
        "sparkVersion: 4.0.1",
    );
    let before = project.files();
    let run = project.run(&["init", "--diff"]);
    assert_eq!(run.code, 1);
    assert_eq!(project.files(), before);
    insta::assert_snapshot!(format!("{}\n--- says\n{}", run.stdout, run.stderr));
}

#[test]
fn what_git_tracks_counts_and_its_remote_names_the_project() {
    let project = copy("trees/makefile");
    project.begin_git();
    project.git(&[
        "remote",
        "add",
        "origin",
        "https://git.example/data/churn_jobs.git",
    ]);
    let started = "from pyspark.sql import SparkSession\n\nif __name__ == \"__main__\":\n    SparkSession.builder\n";
    project.write("scratch/main.py", started);
    project.edit("Makefile", "main.py --job churn", "");
    project.edit(
        "kubernetes/churn.yml",
        "local:///opt/job/main.py",
        "s3a://bucket/churn.jar",
    );
    adopted(&project);
    let text = project.read("sparkpack.toml");
    assert!(
        text.contains("project = \"churn-jobs\"  # assumed: the name of git's remote\n"),
        "{text}"
    );
    assert!(text.contains("src = \"src\"\n"), "{text}");
    assert!(!text.contains("scratch"), "{text}");
}

/// Whatever lies in a folder, `init` ends, and says what it could not read.
#[test]
fn what_cannot_be_read_stops_nothing() {
    use std::os::unix::{ffi::OsStrExt as _, fs::symlink};
    let project = copy("trees/makefile");
    let root = project.root();
    symlink("..", root.join("loop")).unwrap();
    symlink("/etc/passwd", root.join("outside.py")).unwrap();
    symlink("nowhere", root.join("dangling.yaml")).unwrap();
    fs_err::write(
        root.join(std::ffi::OsStr::from_bytes(b"odd\xff.py")),
        "import os\n",
    )
    .unwrap();
    project.write("latin.py", "");
    fs_err::write(root.join("latin.py"), b"# \xe9\nprint 'old'\n").unwrap();
    project.write("broken/Dockerfile", "FORM spark\n");
    project.write("deploy/broken.yaml", "kind: [SparkApplication\n\t- x: {\n");
    project.write("deploy/huge.yaml", &"x".repeat(3 << 20));
    project.write("pyproject.toml", "[project\nname = ");
    program("mkfifo", &[root.join("pipe.yaml")]);
    let run = adopted(&project);
    insta::assert_snapshot!(format!(
        "{}\n--- says\n{}",
        project.read("sparkpack.toml"),
        run.stderr
    ));
}

/// Spark in the daemon under the name of an image from elsewhere, which nothing can pull here.
fn name_spark(py: &str) {
    program("docker", &["tag", py, "apache/spark:4.1.4-python3"]);
}

#[test]
fn every_tree_is_built_as_it_was_written_and_its_job_runs() {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
    let mut lock: Option<String> = None;
    for Tree { path, run, .. } in TREES {
        let project = copy(path).with_cache(&cache);
        adopted(&project);
        let is_on_debian = project.read("sparkpack.toml").contains("[chains.main]");
        if let (Some(lock), true) = (&lock, is_on_debian) {
            project.write("sparkpack.lock", lock);
        }
        project.succeed(&["build"]);
        project.succeed(&["plan"]);
        if let Some((image, file, wanted)) = run {
            let other = format!("local://{file}");
            let other = ["--main", &other];
            let main: &[&str] = if file == MAIN { &[] } else { &other };
            let ran = project.succeed(&[&["run", image], main].concat());
            let result = ran.stdout.lines().find(|line| line.starts_with("RESULT"));
            assert_eq!(result, Some(wanted), "{path}: {}{}", ran.stdout, ran.stderr);
        }
        if lock.is_none() {
            lock = Some(project.read("sparkpack.lock"));
            name_spark(&project.reference("py"));
        }
    }
    for Tree { references, .. } in TREES {
        remove_images(references[0].rsplit_once(['/', ':']).unwrap().0);
    }
    program("docker", &["rmi", "apache/spark:4.1.4-python3"]);
}
