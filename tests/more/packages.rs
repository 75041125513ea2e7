//! The packages that PySpark projects ask for most, each alone in the requirements of a job on the default `ds`: they are
//! locked, built, and imported in real Spark, from the real index.

use std::{
    fmt::Write as _,
    io::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use crate::support::{Run, TestProject, remove_images};

/// A package as a requirement, and a module of a job that uses it.
pub(crate) struct Package {
    pub(crate) requirement: &'static str,
    uses: &'static str,
}

/// What they need and has no wheel, only its source.
const FROM_SOURCE: &str = "odfpy";

pub(crate) const PACKAGES: [Package; 11] = [
    Package {
        requirement: "boto3",
        uses: "import boto3\nfrom botocore.config import Config\n",
    },
    Package {
        requirement: "awswrangler",
        uses: "import awswrangler as wr\nfrom awswrangler.s3 import read_parquet\n",
    },
    Package {
        requirement: "mlflow-skinny",
        uses: "import mlflow\nfrom mlflow.tracking import MlflowClient\n",
    },
    Package {
        requirement: "great-expectations",
        uses: "import great_expectations as gx\nfrom great_expectations.core import ExpectationSuite\n",
    },
    Package {
        requirement: "delta-spark",
        uses: "from delta import DeltaTable, configure_spark_with_delta_pip\n",
    },
    Package {
        requirement: "pyspark[connect]",
        uses: "import grpc\nfrom pyspark.sql.connect.session import SparkSession\n",
    },
    Package {
        requirement: "google-cloud-storage",
        uses: "from google.cloud import storage\nfrom google.cloud.storage.blob import Blob\n",
    },
    Package {
        requirement: "google-cloud-bigquery",
        uses: "from google.cloud import bigquery\nfrom google.api_core.exceptions import NotFound\n",
    },
    Package {
        requirement: "pandas[excel]",
        uses: "import odf.opendocument\nimport openpyxl\nimport pandas\n",
    },
    Package {
        requirement: "sqlalchemy",
        uses: "from sqlalchemy import create_engine\nfrom sqlalchemy.orm import Session\n",
    },
    Package {
        requirement: "scikit-learn",
        uses: "from sklearn.linear_model import LinearRegression\n",
    },
];

/// The steps that are timed.
const STEPS: [&[&str]; 3] = [
    &["lock"],
    &["build", "--locked", "--strict", "job"],
    &["build", "--locked", "--strict", "--test-imports", "job"],
];

/// How long a step took; `None` if it was not done.
type Times = [Option<Duration>; STEPS.len()];

/// A project with the chain of the example, and a job that requires nothing yet.
pub(crate) struct Packages {
    pub(crate) project: TestProject,
    prefix: String,
}

impl Packages {
    /// The project with images below this prefix, which are removed when it is dropped.
    pub(crate) fn new(prefix: &str) -> Self {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("example-project/sparkpack.toml");
        let example = fs_err::read_to_string(example).unwrap();
        let value = |key: &str| {
            let line = example.lines().find(|line| line.starts_with(key));
            line.unwrap().split('"').nth(1).unwrap().to_owned()
        };
        let configuration = format!(
            "format = 1\nproject = \"packages\"\nregistries.main = \"{prefix}\"\n\n[chains.main]\nspark = \"{}\"\n\
             python = \"{}\"\n\n[images.job]\nparent = \"ds\"\nsrc = \"src\"\nrequirements = \"requirements.txt\"\n\
             from-source = [\"{FROM_SOURCE}\"]\n",
            value("spark = "),
            value("python = ")
        );
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
        let project = TestProject::new(&[
            ("sparkpack.toml", &configuration),
            ("requirements.txt", ""),
            ("src/main.py", "from jobs import uses\n"),
            ("src/jobs/__init__.py", ""),
            ("src/jobs/uses.py", ""),
        ]);
        Self {
            project: project.with_cache(&cache),
            prefix: prefix.to_owned(),
        }
    }

    /// Has the job stand on this image.
    pub(crate) fn use_parent(&self, parent: &str) {
        let file = "sparkpack.toml";
        let text = self.project.read(file);
        let old = text.lines().find(|line| line.starts_with("parent = "));
        let new = format!("parent = \"{parent}\"");
        self.project.edit(file, old.unwrap(), &new);
    }

    /// Has the job require this. No version is kept of what was chosen before.
    pub(crate) fn require(&self, requirements: &str) {
        self.project.write("requirements.txt", requirements);
        let lock = self.project.root().join("requirements.lock");
        if lock.exists() {
            fs_err::remove_file(lock).unwrap();
        }
    }

    /// Takes a package through all steps; what went wrong is said.
    fn try_package(&self, package: &Package) -> (Times, Result<(), String>) {
        let project = &self.project;
        self.require(&format!("{}\n", package.requirement));
        project.write("src/jobs/uses.py", package.uses);
        let mut times = Times::default();
        let mut last = String::new();
        for (step, time) in STEPS.iter().zip(&mut times) {
            let begin = Instant::now();
            let run = project.run(step);
            *time = Some(begin.elapsed());
            if let Some(wrong) = wrong(&run) {
                return (times, Err(format!("{step:?}: {wrong}")));
            }
            last = run.stderr;
        }
        let imported = "can be imported on drivers and executors, and an Arrow UDF ran";
        if last.contains(imported) {
            return (times, Ok(()));
        }
        (
            times,
            Err(format!("does not say `{imported}`, but:\n{last}")),
        )
    }
}

impl Drop for Packages {
    fn drop(&mut self) {
        remove_images(&format!("{}/", self.prefix));
    }
}

/// What is wrong with a run: that it failed, or warned of imports.
fn wrong(run: &Run) -> Option<String> {
    let warns = ["W140", "W141", "W142"]
        .iter()
        .any(|code| run.stderr.contains(&format!("warning[{code}]")));
    (run.code != 0 || warns).then(|| format!("exit {}\n{}{}", run.code, run.stdout, run.stderr))
}

/// A row of the table.
fn row(name: &str, times: &Times, result: &str) -> String {
    let mut row = format!("{name:<24}");
    for time in times {
        let time = time.map_or_else(String::new, |time| format!("{:.1} s", time.as_secs_f64()));
        // Writing to a string does not fail.
        let _ = write!(row, "{time:>12}");
    }
    format!("{row}   {result}")
}

#[test]
fn the_best_known_packages_are_locked_built_and_imported() {
    let begin = Instant::now();
    let packages = Packages::new("packages.test/packages");
    packages.project.succeed(&["lock"]);
    packages.project.succeed(&["build", "ds"]);
    let chain = begin.elapsed();

    // Not by `eprintln!`, which a test that succeeds prints nothing with.
    let mut stderr = std::io::stderr();
    let mut tell = |line: &str| writeln!(stderr, "{line}").unwrap();
    tell(&format!(
        "\n{:<24}{:>12}{:>12}{:>12}",
        "package", "lock", "build", "import test"
    ));
    let mut failures = Vec::new();
    for package in &PACKAGES {
        let (times, result) = packages.try_package(package);
        let told = if result.is_ok() { "passed" } else { "FAILED" };
        tell(&row(package.requirement, &times, told));
        if let Err(reason) = result {
            failures.push(format!("{}: {reason}", package.requirement));
        }
    }
    let (chain, whole) = (chain.as_secs_f64(), begin.elapsed().as_secs_f64());
    tell(&format!(
        "the chain below them took {chain:.1} s, all of it {whole:.1} s"
    ));
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
