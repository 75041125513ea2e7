//! The connector for Google Cloud Storage, as the example's configuration names it.

use crate::{
    example::{Example, run_container},
    support::{docker, program},
};

/// Asks the driver's JVM for the connector's class, and Hadoop for the file system of `gs://`; reads no file.
const PROBE: &str = r#"from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
jvm = spark.sparkContext._jvm
found = jvm.java.lang.Class.forName("com.google.cloud.hadoop.fs.gcs.GoogleHadoopFileSystem")
print("FROM", found.getProtectionDomain().getCodeSource().getLocation().getPath())
configuration = spark.sparkContext._jsc.hadoopConfiguration()
print("GS", jvm.org.apache.hadoop.fs.FileSystem.getFileSystemClass("gs", configuration).getName())
"#;

/// The example with its commented-out connector switched on, as the comment there says.
fn example(host: &str) -> Example {
    let example = Example::new(host, env!("CARGO_MANIFEST_DIR").as_ref());
    let text = example.project.read("sparkpack.toml");
    example.project.edit(
        "sparkpack.toml",
        "# jars.base = [\"gcs-connector\", \"bigquery-connector\"]",
        "jars.base = [\"gcs-connector\"]",
    );
    for start in ["# [sources.gcs-connector]", "# maven = ", "# sha256 = "] {
        let line = text.lines().find(|line| line.starts_with(start)).unwrap();
        let used = line.strip_prefix("# ").unwrap();
        example.project.edit("sparkpack.toml", line, used);
    }
    example
}

#[test]
fn a_jar_from_maven_is_on_the_class_path_of_the_job() {
    let example = example("connectors.test");
    example.succeed("job");

    let configuration = example.project.read("sparkpack.toml");
    let value = |key: &str| {
        let line = configuration.lines().find(|line| line.starts_with(key));
        line.unwrap().split('"').nth(1).unwrap().to_owned()
    };
    let coordinates = value("maven = ");
    let parts: Vec<&str> = coordinates.split(':').collect();
    let jar = format!("/opt/spark/jars/{}.jar", parts[1..].join("-"));
    let base = example.project.reference("base");
    let sum = docker(&["run", "--rm", "--entrypoint", "sha256sum", &base, &jar]);
    assert_eq!(sum, format!("{}  {jar}\n", value("sha256 = ")));

    example.project.write("probe.py", PROBE);
    let probe = example.project.root().join("probe.py");
    let mount = format!("{}:/opt/probe.py:ro", probe.display());
    program("chmod", &["0644".as_ref(), probe.as_os_str()]);
    let job = example.project.reference("job");
    let run = run_container(&[
        "--env=SPARK_LOCAL_IP=127.0.0.1",
        "--volume",
        &mount,
        &job,
        "driver",
        "--master",
        "local[1]",
        "local:///opt/probe.py",
    ]);
    assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    for line in [
        format!("FROM {jar}"),
        "GS com.google.cloud.hadoop.fs.gcs.GoogleHadoopFileSystem".to_owned(),
    ] {
        assert!(run.stdout.lines().any(|one| one == line), "{}", run.stdout);
    }
}

#[test]
fn a_jar_with_another_checksum_is_not_built_with() {
    let example = example("checksum.test");
    let configuration = example.project.read("sparkpack.toml");
    let line = configuration
        .lines()
        .find(|line| line.starts_with("sha256 = "))
        .unwrap();
    let sum = line.split('"').nth(1).unwrap();
    let other = "0".repeat(64);
    example.project.edit("sparkpack.toml", sum, &other);

    let run = example.build("job");
    assert_eq!(run.code, 6, "{}{}", run.stdout, run.stderr);
    assert_eq!(run.stdout, "");
    for words in [
        "error[E620]".to_owned(),
        "the source `gcs-connector` is not what was pinned".to_owned(),
        format!("has sha256:{sum}, wanted is sha256:{other}"),
        "correct `sha256` of `gcs-connector`".to_owned(),
    ] {
        assert!(run.stderr.contains(&words), "{words}\n{}", run.stderr);
    }
    assert_eq!(example.images(), "", "nothing is built");
}
