//! Nothing in the wheels of well-known packages is taken for a credential.

use sparkpack::project::secrets;

const PACKAGES: [&str; 42] = [
    "PyGithub",
    "PyJWT",
    "aiohttp",
    "apache-airflow-core",
    "azure-identity",
    "azure-storage-blob",
    "boto3",
    "botocore",
    "certifi",
    "cryptography",
    "databricks-sdk",
    "delta-spark",
    "distributed",
    "fsspec",
    "google-auth",
    "google-cloud-bigquery",
    "google-cloud-storage",
    "great-expectations",
    "grpcio",
    "huggingface-hub",
    "jinja2",
    "matplotlib",
    "mlflow-skinny",
    "numpy",
    "openai",
    "pandas",
    "paramiko",
    "prefect",
    "protobuf",
    "psycopg2-binary",
    "pyarrow",
    "pydantic",
    "pyyaml",
    "requests",
    "s3fs",
    "scikit-learn",
    "scipy",
    "slack-sdk",
    "snowflake-connector-python",
    "sqlalchemy",
    "tornado",
    "urllib3",
];

#[test]
fn nothing_in_well_known_wheels_is_taken_for_a_credential() {
    let folder = tempfile::tempdir().unwrap();
    let mut pip = std::process::Command::new("pip");
    pip.args([
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary",
        ":all:",
        "--dest",
    ]);
    pip.arg(folder.path()).args(PACKAGES);
    assert!(pip.status().unwrap().success());
    let (mut wheels, mut told) = (0, Vec::new());
    for file in fs_err::read_dir(folder.path()).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let found = secrets::scan_file(fs_err::File::open(&path).unwrap(), &name).unwrap();
        told.extend(
            found
                .into_iter()
                .filter(|finding| !finding.is_key_of_tests())
                .map(|finding| format!("{name}: {finding:?}")),
        );
        wheels += 1;
    }
    assert!(wheels >= PACKAGES.len(), "{wheels}");
    assert!(told.is_empty(), "{told:#?}");
}
