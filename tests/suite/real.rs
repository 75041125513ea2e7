//! The example project, with real Spark: five images are built, pushed to a registry with a password, pulled by digest
//! by a second client, unpacked and run. The expected results are computed here from the input data.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::support::{
    Pytest, Registry, Run, TestProject, docker, image_id, program, remove_images, run,
};

const PASSWORD: &str = "p~a>s?s";
const IMAGES: [&str; 5] = ["base", "py", "ds", "operator", "job"];
const OPERATOR: &str = "#include <stdio.h>\nint main(int count, char **words) { printf(\"stand-in %s\\n\", count > 1 ? words[1] : \"\"); return 0; }\n";

struct Example {
    project: TestProject,
    registry: Registry,
}

impl Example {
    /// A copy of the example project, with a local image in place of the operator's published one.
    fn new() -> Self {
        let registry = Registry::with_password("ada", PASSWORD);
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
        let project = TestProject::new(&[]).with_cache(&cache);
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("example-project/.");
        program(
            "cp",
            &[
                "-R",
                from.to_str().unwrap(),
                project.root().to_str().unwrap(),
            ],
        );
        project.write("stand-in.c", OPERATOR);
        let binary = project.root().join("spark-operator");
        program(
            "cc",
            &[
                "-static",
                "-o",
                binary.to_str().unwrap(),
                project.root().join("stand-in.c").to_str().unwrap(),
            ],
        );
        let published = project
            .read("sparkpack.toml")
            .lines()
            .find(|line| line.starts_with("image = "))
            .unwrap()
            .to_owned();
        project.edit(
            "sparkpack.toml",
            &published,
            "source = \"operator\"\npath = \"/spark-operator\"",
        );
        let sources = "\n[sources.operator]\npath = \"spark-operator\"\n";
        project.write(
            "sparkpack.toml",
            &(project.read("sparkpack.toml") + sources),
        );
        let example = Self { project, registry };
        for file in std::iter::once("sparkpack.toml".to_owned()).chain(example.manifests()) {
            let text = example.project.read(&file);
            example.project.write(
                &file,
                &text.replace("127.0.0.1:5000", &example.registry.host()),
            );
        }
        example
            .project
            .sign_in(&example.registry.host(), "ada", PASSWORD);
        example
    }

    fn manifests(&self) -> Vec<String> {
        let walk = walkdir::WalkDir::new(self.project.root().join("kubernetes"))
            .sort_by_file_name()
            .into_iter()
            .map(Result::unwrap);
        let files = walk.filter(|entry| entry.path().extension().is_some_and(|end| end == "yml"));
        files
            .map(|entry| {
                entry
                    .path()
                    .strip_prefix(self.project.root())
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned()
            })
            .collect()
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        remove_images(&format!("{}/", self.registry.host()));
    }
}

/// An image that was pulled by its digest and unpacked without docker.
struct Bundle {
    folder: tempfile::TempDir,
}

impl Bundle {
    fn pull(reference: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let layout = folder.path().join("layout");
        let (name, digest) = reference.split_once('@').unwrap();
        let repository = name.rsplit_once(':').unwrap().0;
        let from = format!("docker://{repository}@{digest}");
        let to = format!("oci:{}:job", layout.display());
        program(
            "skopeo",
            &[
                "copy",
                "--quiet",
                "--src-tls-verify=false",
                "--src-creds",
                &format!("ada:{PASSWORD}"),
                &from,
                &to,
            ],
        );
        let image = format!("{}:job", layout.display());
        program(
            "umoci",
            &[
                "unpack",
                "--image",
                &image,
                folder.path().join("bundle").to_str().unwrap(),
            ],
        );
        fs_err::remove_dir_all(&layout).unwrap();
        Self { folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("bundle")
    }

    /// Runs the image's entrypoint with these arguments in a container of an OCI runtime.
    fn run(&self, name: &str, arguments: &[&str]) -> Run {
        let file = self.path().join("config.json");
        let mut config: Value =
            serde_json::from_str(&fs_err::read_to_string(&file).unwrap()).unwrap();
        // docker and the kubelet write the container's host name.
        config["hostname"] = "localhost".into();
        fs_err::write(
            self.path().join("rootfs/etc/hosts"),
            "127.0.0.1 localhost\n",
        )
        .unwrap();
        let process = &mut config["process"];
        assert_eq!(process["user"]["uid"], 185, "the image runs as user 185");
        process["terminal"] = false.into();
        let entrypoint = "/opt/entrypoint.sh";
        process["args"] = std::iter::once(&entrypoint)
            .chain(arguments)
            .map(|word| Value::from(*word))
            .collect();
        fs_err::write(&file, config.to_string()).unwrap();
        run(Command::new("runc").args(["run", "--bundle", self.path().to_str().unwrap(), name]))
    }

    fn job(&self, name: &str, more: &[&str]) -> Vec<Value> {
        let driver = [
            "driver",
            "--master",
            "local[2]",
            "local:///opt/job/main.py",
            "--job",
            name,
        ];
        let arguments: Vec<&str> = driver.iter().chain(more).copied().collect();
        let id = format!("sparkpack-test-{}-{name}", std::process::id());
        let run = self.run(&id, &arguments);
        assert_eq!(run.code, 0, "job {name}\n{}\n{}", run.stdout, run.stderr);
        let rows: Vec<Value> = results(&run.stdout);
        assert!(!rows.is_empty(), "{}\n{}", run.stdout, run.stderr);
        rows
    }
}

fn results(stdout: &str) -> Vec<Value> {
    stdout
        .lines()
        .filter_map(|line| line.strip_prefix("RESULT "))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The rows of the data set, as texts by column.
fn penguins() -> Vec<BTreeMap<String, String>> {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("example-project/src/shared/data/penguins.csv");
    let text = fs_err::read_to_string(file).unwrap();
    let mut lines = text.lines();
    let columns: Vec<&str> = lines.next().unwrap().split(',').collect();
    let row = |line: &str| {
        columns
            .iter()
            .zip(line.split(','))
            .map(|(column, value)| ((*column).to_owned(), value.to_owned()))
            .collect()
    };
    lines.map(row).collect()
}

fn number(row: &BTreeMap<String, String>, column: &str) -> Option<f64> {
    row[column].parse().ok()
}

fn check_islands(rows: &[Value]) {
    let mut groups: BTreeMap<(String, String), Vec<Option<f64>>> = BTreeMap::new();
    for row in penguins() {
        groups
            .entry((row["island"].clone(), row["species"].clone()))
            .or_default()
            .push(number(&row, "body_mass_g"));
    }
    assert_eq!(rows.len(), groups.len());
    for (row, ((island, species), masses)) in rows.iter().zip(groups) {
        let weighed: Vec<f64> = masses.iter().flatten().copied().collect();
        let mean = weighed.iter().sum::<f64>() / f64::from(u32::try_from(weighed.len()).unwrap());
        assert_eq!(
            (&row["island"], &row["species"]),
            (&island.into(), &species.into())
        );
        assert_eq!(
            (&row["penguins"], &row["weighed"]),
            (&masses.len().into(), &weighed.len().into())
        );
        assert!(
            (row["mean_body_mass_g"].as_f64().unwrap() - mean).abs() < 0.006,
            "{row}"
        );
        assert_eq!(
            row["heaviest_g"].as_f64(),
            weighed.iter().copied().reduce(f64::max)
        );
    }
}

fn check_flippers(rows: &[Value]) {
    let mut groups: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    for row in penguins() {
        if let (Some(flipper), Some(mass)) = (
            number(&row, "flipper_length_mm"),
            number(&row, "body_mass_g"),
        ) {
            groups
                .entry(row["species"].clone())
                .or_default()
                .push((flipper, mass));
        }
    }
    assert_eq!(rows.len(), groups.len());
    for (row, (species, birds)) in rows.iter().zip(groups) {
        let count = f64::from(u32::try_from(birds.len()).unwrap());
        let mean = |pick: &dyn Fn(&(f64, f64)) -> f64| birds.iter().map(pick).sum::<f64>() / count;
        let (x, y) = (mean(&|bird| bird.0), mean(&|bird| bird.1));
        let product: f64 = birds.iter().map(|bird| (bird.0 - x) * (bird.1 - y)).sum();
        let square: f64 = birds.iter().map(|bird| (bird.0 - x).powi(2)).sum();
        assert_eq!(
            (&row["species"], &row["measured"]),
            (&species.into(), &birds.len().into())
        );
        assert!(
            (row["grams_per_mm"].as_f64().unwrap() - product / square).abs() < 0.001,
            "{row}"
        );
    }
}

/// Native packages and the code, which has data files, are imported from the image's folders and pure packages from its
/// zip, on the driver and the executors.
fn check_runtime(rows: &[Value]) {
    for place in ["driver", "executor"] {
        let path = |module: &str| {
            let row = rows
                .iter()
                .find(|row| row["place"] == place && row["module"] == module);
            row.unwrap_or_else(|| panic!("{module} on {place}\n{rows:#?}"))["path"]
                .as_str()
                .unwrap()
                .to_owned()
        };
        for (module, wanted) in [
            ("numpy", "/opt/ds/site-packages/"),
            ("pandas", "/opt/ds/site-packages/"),
            ("pyarrow", "/opt/ds/site-packages/"),
            ("rapidfuzz", "/opt/job/site-packages/"),
            ("slugify", "/opt/job/libs.zip/"),
            ("jobs", "/opt/job/jobs/jobs/"),
        ] {
            assert!(
                path(module).starts_with(wanted),
                "{module} on {place}: {}",
                path(module)
            );
        }
    }
}

fn check_manifests(example: &Example, before: &BTreeMap<String, String>) {
    let mut changed = 0;
    for (file, text) in before {
        let host = example.registry.host();
        let wanted = ["job", "operator"]
            .iter()
            .fold(text.clone(), |text, image| {
                text.replace(
                    &format!("{host}/penguins/{image}:unbuilt"),
                    &example.project.reference(image),
                )
            });
        assert_eq!(&example.project.read(file), &wanted, "{file}");
        changed += usize::from(wanted != *text);
    }
    assert!(
        changed >= 3,
        "two applications and the operator's deployment name images"
    );
}

fn only_job_was_built(run: &Run) {
    let built = run.stderr.lines().filter(|line| line.contains(": built "));
    let built: Vec<&str> = built.collect();
    assert!(
        matches!(built[..], [line] if line.starts_with("job: ")),
        "{}",
        run.stderr
    );
}

/// The example's unit tests, in its own job image, so that none is skipped for lack of Spark.
fn the_examples_own_tests(example: &Example) {
    let printed = Pytest::of_pip().own_tests(&example.project);
    let summary = printed.lines().last().unwrap();
    assert!(
        summary.contains(" passed") && !summary.contains("skipped"),
        "{printed}"
    );
}

/// The example on an image from elsewhere: a stand-in for `apache/spark` with a real Spark, a Java as Temurin's images have
/// it, and a package that pip has installed.
fn on_an_image_from_elsewhere(example: &Example) {
    let (host, py) = (example.registry.host(), example.project.reference("py"));
    let folder = tempfile::tempdir().unwrap();
    let packages = folder.path().join("packages");
    let install = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--target",
    ];
    let install = [
        &install[..],
        &[packages.to_str().unwrap(), "python-slugify==9.2.0"],
    ]
    .concat();
    program("python3", &install);
    let dockerfile = format!(
        "FROM {py}\nUSER root\nCOPY packages/ /usr/local/lib/python3.11/dist-packages/\n\
         RUN cp -aL \"$(dirname \"$(dirname \"$(readlink -f \"$(command -v java)\")\")\")\" /tmp/java && rm -rf /opt/java && mkdir /opt/java && mv /tmp/java /opt/java/openjdk\n\
         ENV JAVA_HOME=/opt/java/openjdk PYTHONPATH=\nUSER 185\n"
    );
    fs_err::write(folder.path().join("Dockerfile"), dockerfile).unwrap();
    let image = format!("{host}/apache/spark:4.1.4-python3");
    docker(&[
        "build",
        "--quiet",
        "--tag",
        &image,
        folder.path().to_str().unwrap(),
    ]);
    let credentials = format!("ada:{PASSWORD}");
    program(
        "skopeo",
        &[
            "copy",
            "--quiet",
            "--dest-tls-verify=false",
            "--dest-creds",
            &credentials,
            &format!("docker-daemon:{image}"),
            &format!("docker://{image}"),
        ],
    );
    docker(&["rmi", &image]);
    let chain = "spark = \"4.1.4\"\npython = \"3.11\"\n";
    example
        .project
        .edit("sparkpack.toml", chain, &format!("image = \"{image}\"\n"));
    let mut push = example.project.command(&["push", "job"]);
    let pushed = run(push.env("DOCKER_HOST", "unix:///nowhere/docker.sock"));
    assert_eq!(pushed.code, 0, "{}", pushed.stderr);
    for found in ["has Spark 4.1.4, Scala 2.13", "Python 3.11, glibc 2.36"] {
        assert!(pushed.stderr.contains(found), "{}", pushed.stderr);
    }
    let mut lines = pushed.stdout.lines();
    let bundle = Bundle::pull(lines.find(|line| line.contains("/job:")).unwrap());
    check_islands(&bundle.job("islands", &[]));
    for row in bundle.job("runtime", &[]) {
        let wanted = match row["module"].as_str().unwrap() {
            "slugify" => "/usr/local/lib/python3.11/dist-packages/",
            "numpy" | "pandas" | "pyarrow" => "/opt/ds/site-packages/",
            _ => "/",
        };
        let path = row["path"].as_str().unwrap();
        assert!(path.starts_with(wanted), "{row}");
    }
}

/// Calls the Spark of an image as one of this machine.
const SPARK_SUBMIT: &str = r#"#!/bin/sh
here=$(dirname "$(dirname "$0")")
exec docker run --rm --user 0 --network none --hostname localhost --volume "$ROOT:$ROOT" --volume "$TMPDIR:$TMPDIR" \
    --env PYTHONPATH="$PYTHONPATH:/opt/ds/site-packages:/opt/spark/python:/opt/spark/python/lib/py4j-src.zip" \
    --env SPARK_SUBMIT_OPTS --env PYSPARK_PYTHON --entrypoint /opt/spark/bin/spark-submit "$(cat "$here/image")" "$@"
"#;

/// `sparkpack run`: the application of a manifest in its image, with nothing on the standard error that Spark is no warning of,
/// and from `dist` by a Spark elsewhere.
fn as_run_runs_it(example: &Example) {
    let project = &example.project;
    fs_err::create_dir(project.root().join("result")).unwrap();
    let arguments = ["run", "penguins-islands", "--volume", "result:/tmp/output"];
    let ran = project.succeed(&arguments);
    check_islands(&results(&ran.stdout));
    assert!(!ran.stderr.contains(" INFO "), "{}", ran.stderr);
    assert!(
        project
            .read("result/islands.csv")
            .starts_with("island,species,")
    );
    let refused = project.run(&["run", "job", "--", "--job", "nope"]);
    assert_eq!(refused.code, 1);
    assert!(
        refused.stdout.contains("no job 'nope': the jobs are"),
        "{}{}",
        refused.stdout,
        refused.stderr
    );
    // There is no Python of this machine that has Spark.
    let home = project.home().join("spark");
    fs_err::create_dir_all(home.join("bin")).unwrap();
    fs_err::create_dir_all(home.join("jars")).unwrap();
    fs_err::write(home.join("jars/spark-core_2.13-4.1.0.jar"), "").unwrap();
    fs_err::write(home.join("image"), project.reference("ds")).unwrap();
    fs_err::write(home.join("bin/spark-submit"), SPARK_SUBMIT).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs_err::set_permissions(home.join("bin/spark-submit"), mode).unwrap();
    let temporary = tempfile::tempdir().unwrap();
    let mut local = project.command(&["run", "--local", "penguins-islands"]);
    local.env("SPARK_HOME", &home);
    local.env("ROOT", project.root());
    local.env("TMPDIR", temporary.path());
    let local = run(&mut local);
    assert_eq!(local.code, 0, "{}{}", local.stdout, local.stderr);
    check_islands(&results(&local.stdout));
    assert!(
        local
            .stderr
            .contains("this machine's Spark is 4.1.0, and the image's is 4.1.4"),
        "{}",
        local.stderr
    );
    fs_err::remove_dir_all(project.root().join("result")).unwrap();
}

/// All that the example may import is imported in its image, and what fails is told with the reason: a module that raises,
/// one that only a driver finds, a package that misses a library of the system, a main file with a wrong name.
fn the_imports_of_the_example(example: &Example) {
    let project = &example.project;
    let tested = project.succeed(&["build", "--test-imports", "job"]);
    let summary = tested
        .stderr
        .lines()
        .find(|line| line.contains("modules can be imported"));
    let summary = summary.unwrap_or_else(|| panic!("{}", tested.stderr));
    assert!(summary.starts_with("job: its "), "{summary}");
    assert!(
        summary.contains("on drivers and executors, and an Arrow UDF ran"),
        "{summary}"
    );

    let requirements = project.read("requirements.txt");
    let pinned = format!("{requirements}python-magic==0.4.27\n");
    let main = project.read("src/main.py");
    let changes = [
        ("requirements.txt", pinned),
        (
            "src/jobs/broken.py",
            "import math\n\nRATE = math.sqrt(-1)\n".to_owned(),
        ),
        ("src/shared/beside.py", "import main\n".to_owned()),
        (
            "src/main.py",
            format!("from jobs.labels import Nothing\n{main}"),
        ),
    ];
    let before = ["requirements.txt", "src/main.py"].map(|file| (file, project.read(file)));
    for (file, text) in changes {
        project.write(file, &text);
    }
    project.succeed(&["lock"]);
    let failed = project.run(&["--quiet", "build", "--test-imports", "job"]);
    let reference = project.reference("job");
    assert_eq!((failed.code, failed.stdout.as_str()), (6, ""));
    insta::assert_snapshot!(failed.stderr.replace(&reference, "REFERENCE"));
    for (file, text) in before {
        project.write(file, &text);
    }
    for file in ["src/jobs/broken.py", "src/shared/beside.py"] {
        fs_err::remove_file(project.root().join(file)).unwrap();
    }
    project.succeed(&["lock"]);
}

#[test]
fn from_nothing_to_the_results_of_both_jobs() {
    let example = Example::new();
    let before: BTreeMap<String, String> = example
        .manifests()
        .into_iter()
        .map(|file| (file.clone(), example.project.read(&file)))
        .collect();
    example.project.succeed(&["build"]);
    for image in IMAGES {
        assert!(
            image_id(&example.project.reference(image)).is_some(),
            "{image}"
        );
    }
    check_manifests(&example, &before);

    let again = example.project.succeed(&["build"]);
    assert!(
        again
            .stderr
            .contains("nothing to do: all 5 images and the manifests are current"),
        "{}",
        again.stderr
    );
    docker(&["rmi", &example.project.reference("job")]);
    let rebuilt = example.project.succeed(&["build"]);
    only_job_was_built(&rebuilt);

    let pushed = example.project.succeed(&["push"]);
    assert_eq!(pushed.stdout.lines().count(), 5);
    let job = pushed
        .stdout
        .lines()
        .find(|line| line.contains("/job:"))
        .unwrap();
    let bundle = Bundle::pull(job);
    check_islands(&bundle.job("islands", &[]));
    check_flippers(&bundle.job("flippers", &[]));
    check_runtime(&bundle.job("runtime", &[]));

    let operator = docker(&[
        "run",
        "--rm",
        &example.project.reference("operator"),
        "version",
    ]);
    assert_eq!(operator, "stand-in version\n");
    let arbitrary = docker(&[
        "run",
        "--rm",
        "--user",
        "12345:0",
        &example.project.reference("job"),
        "driver",
        "--master",
        "local[1]",
        "local:///opt/job/main.py",
        "--job",
        "islands",
        "--job-args",
        "year=2008",
    ]);
    assert_eq!(results(&arbitrary).len(), 5, "{arbitrary}");

    as_run_runs_it(&example);
    the_examples_own_tests(&example);
    the_imports_of_the_example(&example);

    example
        .project
        .edit("src/jobs/islands.py", "How many penguins", "How many birds");
    let changed = example.project.succeed(&["build"]);
    only_job_was_built(&changed);

    on_an_image_from_elsewhere(&example);
}
