//! The layouts of the best-known templates of PySpark projects, as they are: a configuration of at most twelve lines and no
//! Dockerfile. Each job runs in real Spark, with a UDF that imports the job's own module and reads its own data file.

use std::path::{Path, PathBuf};

use crate::support::{TestProject, program, remove_images, run_driver};

/// Below it are the images of all of them, so that what they stand on is made once.
const PREFIX: &str = "projects.example/templates";

/// The projects below `tests/projects`, with the files of each that are run in its image, and what they print.
const PROJECTS: [(&str, &[(&str, &str)]); 6] = [
    (
        "jobs-and-shared",
        &[(
            "main.py",
            "RESULT jobs-and-shared [('north', 1), ('sea', 1), ('wind', 2)]",
        )],
    ),
    (
        "package-with-cli",
        &[(
            "main.py",
            "RESULT package-with-cli 1.4.0 [('far', 10), ('near', 6)]",
        )],
    ),
    (
        "package-with-data",
        &[
            (
                "main.py",
                "RESULT package-with-data highest [('east', 2.5), ('west', 2.75)]",
            ),
            (
                "jobs/lowest.py",
                "RESULT package-with-data lowest [('east', 1.5), ('west', 1.25)]",
            ),
        ],
    ),
    (
        "poetry",
        &[("main.py", "RESULT gruner-tee=30.00 kanelbulle=27.00")],
    ),
    (
        "root-packages",
        &[(
            "main.py",
            "RESULT root-packages [('first', 2), ('ground', 2), ('second', 1)]",
        )],
    ),
    ("uv", &[("main.py", "RESULT bolts washers")]),
];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/projects")
        .join(name)
}

/// A copy of a project.
fn copy(name: &str) -> TestProject {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
    let project = TestProject::new(&[]).with_cache(&cache);
    let from = folder(name).join(".");
    program("cp", &["-R".as_ref(), from.as_path(), &project.root()]);
    let own = format!("registry.example/layouts/{name}");
    project.edit("sparkpack.toml", &own, PREFIX);
    if project.root().join("uv.lock").exists() {
        // uv writes the index of whoever makes the lock; the one in the repository names none that is anybody's.
        let public = concat!("https://", "pypi", ".org/simple");
        project.edit("uv.lock", "https://index.example/simple", public);
    }
    project
}

#[test]
fn every_template_needs_few_lines_and_no_dockerfile() {
    let mut found: Vec<String> = fs_err::read_dir(folder(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    assert_eq!(found, PROJECTS.map(|(name, _)| name));
    for name in found {
        let configuration = fs_err::read_to_string(folder(&name).join("sparkpack.toml")).unwrap();
        assert!(configuration.lines().count() <= 12, "{name}");
        for entry in walkdir::WalkDir::new(folder(&name)) {
            let file = entry.unwrap().file_name().to_string_lossy().to_lowercase();
            assert!(!file.contains("dockerfile"), "{name}");
        }
    }
}

#[test]
fn every_template_is_built_and_imported_and_its_job_runs() {
    let mut lock: Option<String> = None;
    for (name, runs) in PROJECTS {
        let project = copy(name);
        // What is locked of the chain is the same for all.
        if let Some(lock) = &lock {
            project.write("sparkpack.lock", lock);
        }
        let built = project.succeed(&["build", "--test-imports", "job"]);
        let is_tested = built
            .stderr
            .contains("can be imported on drivers and executors");
        assert!(is_tested, "{name}: {}", built.stderr);
        assert!(
            !built.stderr.contains("warning["),
            "{name}: {}",
            built.stderr
        );
        for (file, wanted) in runs {
            let file = format!("local:///opt/job/{file}");
            let printed = run_driver(&project.reference("job"), &["--master", "local[2]", &file]);
            let result = printed.lines().find(|line| line.starts_with("RESULT"));
            assert_eq!(result, Some(*wanted), "{name}: {printed}");
        }
        lock = Some(project.read("sparkpack.lock"));
    }
    remove_images(PREFIX);
}
