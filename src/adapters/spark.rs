//! A Spark of this machine.

use std::{
    collections::BTreeMap,
    io,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::ending;

/// Where a Spark is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SparkHome {
    /// Its folder, with `bin/spark-submit`.
    pub folder: PathBuf,
    /// Its version, if its jars tell it.
    pub version: Option<String>,
}

/// Finds the folder of a Spark that Python's packages have.
const OF_PACKAGE: &str = "import importlib.util as u\ns = u.find_spec('pyspark')\nprint(s.submodule_search_locations[0] if s else '')";

/// Finds a Spark: `SPARK_HOME`, that of the `spark-submit` on the `PATH`, or that of the `pyspark` of the Python there.
///
/// # Errors
/// There is none: where it was looked for.
#[expect(
    clippy::disallowed_methods,
    reason = "an adapter reads the environment"
)]
pub fn find() -> Result<SparkHome, String> {
    let submit = Path::new("bin/spark-submit");
    if let Some(home) = std::env::var_os("SPARK_HOME").filter(|home| !home.is_empty()) {
        let home = PathBuf::from(home);
        if home.join(submit).is_file() {
            return Ok(SparkHome::at(home));
        }
        return Err(format!(
            "SPARK_HOME is {}, which has no bin/spark-submit",
            home.display()
        ));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    for folder in std::env::split_paths(&path) {
        // A link leads to Spark's own folder; the script of the Python package lies in another.
        let Ok(program) = fs_err::canonicalize(folder.join("spark-submit")) else {
            continue;
        };
        let home = program.parent().and_then(Path::parent);
        if let Some(home) = home.filter(|home| home.join("jars").is_dir()) {
            return Ok(SparkHome::at(home.to_owned()));
        }
    }
    for python in ["python3", "python"] {
        let answer = Command::new(python)
            .args(["-c", OF_PACKAGE])
            .stdin(Stdio::null())
            .output();
        let Ok(answer) = answer else { continue };
        let folder = PathBuf::from(String::from_utf8_lossy(&answer.stdout).trim());
        if folder.join(submit).is_file() {
            return Ok(SparkHome::at(folder));
        }
    }
    Err("SPARK_HOME is not set, no `spark-submit` on the PATH belongs to one, and Python has no package `pyspark`".to_owned())
}

/// Whether a Python of this name can be called.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "an adapter runs programs")]
pub fn has_python(name: &str) -> bool {
    let answer = Command::new(name)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    answer.is_ok_and(|status| status.success())
}

impl SparkHome {
    fn at(folder: PathBuf) -> Self {
        let jars = fs_err::read_dir(folder.join("jars"));
        let names = jars.into_iter().flatten().flatten();
        let version = names.filter_map(|jar| version_of(jar.file_name().to_str()?));
        let version = version.max();
        Self { folder, version }
    }
}

/// The version in `spark-core_2.13-4.1.4.jar`.
fn version_of(jar: &str) -> Option<String> {
    let rest = jar.strip_prefix("spark-core_")?.strip_suffix(".jar")?;
    Some(rest.split_once('-')?.1.to_owned())
}

/// A program of a Spark, which is run with the streams of this process.
pub struct SparkProgram<'a> {
    /// The Spark.
    pub home: &'a SparkHome,
    /// Its name; empty for the user's shell, in which the Spark is on the `PATH`.
    pub name: &'a str,
    /// Its arguments.
    pub arguments: &'a [String],
    /// What its environment has besides this process'.
    pub environment: &'a BTreeMap<String, String>,
}

impl SparkProgram<'_> {
    /// Runs it, and returns the exit code as a shell would tell it.
    ///
    /// # Errors
    /// It cannot be started: its path, and why.
    #[expect(
        clippy::disallowed_methods,
        reason = "an adapter reads the environment"
    )]
    pub fn run(&self) -> Result<i64, (PathBuf, io::Error)> {
        let programs = self.home.folder.join("bin");
        let shell =
            std::env::var_os("SHELL").map_or_else(|| PathBuf::from("/bin/sh"), PathBuf::from);
        let program = if self.name.is_empty() {
            shell
        } else {
            programs.join(self.name)
        };
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths([programs].into_iter().chain(std::env::split_paths(&path)));
        let mut command = Command::new(&program);
        command.args(self.arguments).envs(self.environment);
        command.env("SPARK_HOME", &self.home.folder);
        if let Ok(path) = path {
            command.env("PATH", path);
        }
        // A shell decides by itself what an interrupt means.
        let _interactive = matches!(self.name, "" | "pyspark").then(ending::interactive);
        match command.status() {
            Ok(status) => {
                let signal = status.signal().map(|signal| 128 + signal);
                Ok(i64::from(status.code().or(signal).unwrap_or(1)))
            }
            Err(error) => Err((program, error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_that_of_the_core() {
        assert_eq!(version_of("spark-core_2.13-4.1.4.jar").unwrap(), "4.1.4");
        assert_eq!(version_of("spark-core_2.12-3.5.8.jar").unwrap(), "3.5.8");
        assert_eq!(version_of("spark-sql_2.12-3.5.8.jar"), None);
    }
}
