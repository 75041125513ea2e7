//! Of what another tool has locked, only what the project itself asks for is asked for; the rest came along.

use super::*;

/// What is asked for, and what came along.
fn told(files: &[(&str, &str)], extras: &[&str], groups: &[&str]) -> [String; 2] {
    let found = requirements(files, extras, groups).unwrap();
    let asked: Vec<&str> = found.asked_for().into_keys().collect();
    let along: Vec<&str> = found.along.iter().map(String::as_str).collect();
    [asked.join(" "), along.join(" ")]
}

#[test]
fn a_lock_of_uv_is_asked_for_by_the_project_it_is_of() {
    let lock = uv_lock();
    let files = [("uv.lock", lock.as_str()), ("pyproject.toml", PROJECT)];
    // The lock tells that without the project's own file, too.
    for files in [&files[..], &files[..1]] {
        assert_eq!(
            told(files, &[], &[]),
            [
                "boto3 importlib-metadata",
                "awscrt botocore colorama python-dateutil six"
            ]
        );
        // The extra names the project with another extra; what a group asks for did not merely come along.
        assert_eq!(
            told(files, &["all"], &["etl-jobs"]),
            [
                "boto3 importlib-metadata jinja2 python-dateutil six",
                "awscrt botocore colorama"
            ]
        );
    }
}

#[test]
fn what_a_member_of_a_workspace_asks_for_is_asked_for() {
    let member = "dependencies = [\n    { name = \"common\" },\n    { name = \"boto3\" },\n";
    let lock = uv_lock().replacen("dependencies = [\n    { name = \"boto3\" },\n", member, 1)
        + "\n[[package]]\nname = \"common\"\nversion = \"1\"\nsource = { editable = \"libs/common\" }\ndependencies = [{ name = \"six\" }, { name = \"common\" }]\n";
    let [asked, along] = told(&[("uv.lock", &lock)], &[], &[]);
    assert_eq!(asked, "boto3 importlib-metadata six");
    assert_eq!(along, "awscrt botocore colorama python-dateutil");
}

#[test]
fn a_lock_of_poetry_is_asked_for_by_the_file_beside_it() {
    for has_groups in [true, false] {
        let lock = poetry_lock(has_groups);
        let files = [
            ("poetry.lock", lock.as_str()),
            ("pyproject.toml", OF_POETRY),
        ];
        assert_eq!(
            told(&files, &[], &[]),
            [
                "boto3 importlib-metadata requests tomli",
                "botocore colorama pysocks python-dateutil six"
            ]
        );
        let [asked, along] = told(&files, &["web"], &["etl"]);
        assert!(asked.contains("jinja2") && asked.contains("python-dateutil"));
        assert_eq!(along, "botocore colorama markupsafe pysocks six");
    }
    // Nothing says what was asked for, so that everything counts as that.
    let lock = poetry_lock(true);
    let [asked, along] = told(&[("poetry.lock", &lock)], &[], &[]);
    assert!(asked.contains("botocore"), "{asked}");
    assert_eq!(along, "");
}

#[test]
fn a_lock_of_pipenv_is_asked_for_by_its_pipfile() {
    let (lock, pipfile) = (pipfile_lock(), pipfile());
    let files = [("Pipfile.lock", lock.as_str()), ("Pipfile", &pipfile)];
    assert_eq!(told(&files, &[], &[]), ["requests six tomli", "pysocks"]);
    assert_eq!(
        told(&files, &[], &["dev", "etl"]),
        ["attrs iniconfig requests six tomli", "pysocks"]
    );
    assert_eq!(
        told(&files[..1], &[], &[]),
        ["pysocks requests six tomli", ""]
    );
}

#[test]
fn a_pylock_is_asked_for_by_the_project_beside_it_if_it_is_of_that() {
    let text = pylock();
    let project = |dependencies: &str| {
        format!(
            "[project]\nname = \"orders\"\ndependencies = [{dependencies}]\n[dependency-groups]\ndev = [\"pytest\"]\n"
        )
    };
    let own = project("\"attrs\", \"tomli ; python_version < '3.11'\"");
    let files = [("pylock.toml", text.as_str()), ("pyproject.toml", &own)];
    assert_eq!(told(&files, &[], &["dev"]), ["attrs pytest", "six"]);
    let found = requirements(&files, &[], &[]).unwrap();
    assert!(found.files.contains(&PathBuf::from("pyproject.toml")));
    // Of a project that requires what is not locked, or that cannot be read, it is not: everything is asked for.
    for other in [&project("\"attrs\", \"numpy\""), "[project\n", ""] {
        let files = [files[0], ("pyproject.toml", other)];
        assert_eq!(told(&files, &[], &[]), ["attrs six", ""], "{other}");
    }
    assert_eq!(told(&files[..1], &[], &[]), ["attrs six", ""]);
}
