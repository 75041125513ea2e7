//! The imports of a job are followed before anything is packed, built or pushed, and nothing is said that is not so.

use std::{collections::BTreeSet, path::Path};

use crate::support::{Index, TestProject, program};

const CONFIGURATION: &str = "format = 1
project = \"followed\"
registries.main = \"registry.example/followed\"

[chains.main]
spark = \"4.1.4\"
python = \"3.11\"

[images.job]
parent = \"py\"
src = \"src\"
";

/// A job of three modules whose imports all lead somewhere, which needs no index and no network.
fn project() -> TestProject {
    TestProject::new(&[
        ("sparkpack.toml", CONFIGURATION),
        (
            "src/main.py",
            "import json\nfrom pyspark.sql import SparkSession\nfrom jobs import one\n",
        ),
        ("src/jobs/__init__.py", ""),
        ("src/jobs/one.py", "from .two import go\n"),
        (
            "src/jobs/two.py",
            "import importlib\n\ndef go():\n    importlib.import_module('jobs.one')\n",
        ),
    ])
}

fn package(project: &TestProject) -> (i32, String) {
    let run = project.run(&["package"]);
    (run.code, run.stderr.replace("job: packed into dist\n", ""))
}

#[test]
fn what_leads_nowhere_is_told_and_strict_refuses_it() {
    let project = project();
    assert_eq!(package(&project), (0, String::new()));
    project.write(
        "src/jobs/one.py",
        "import yaml\nfrom datajob.x import y\nimport jobs.tow\n",
    );
    project.write("datajob/x.py", "y = 1\n");
    let wanted = "warning[W140]: src/jobs/one.py:1:8: no module `yaml`: neither the job, nor its requirements, nor what its image stands on have it
hint: `yaml` is in PyYAML: give [images.job] `requirements`, with `PyYAML`
warning[W140]: src/jobs/one.py:2:6: `datajob` is in this repository (datajob), but not in the job
hint: add it to `src` of [images.job]: `src = [\"src/\", \"datajob\"]`
warning[W140]: src/jobs/one.py:3:8: no module `jobs.tow`: `jobs` of the job has none of this name
hint: did you mean `jobs.two`?
";
    // Told again by a run that reads nothing again.
    for _ in 0..2 {
        assert_eq!(package(&project), (0, wanted.to_owned()));
    }
    let refused = |run: crate::support::Run| {
        assert_eq!(run.code, 2, "{}", run.stderr);
        assert_eq!(
            run.stderr.matches("error[E209]: src/jobs/one.py:").count(),
            3,
            "{}",
            run.stderr
        );
        assert!(!run.stderr.contains("W140"), "{}", run.stderr);
    };
    refused(project.run(&["package", "--strict"]));
    let ci = project.with_variable("CI", "true");
    refused(ci.run(&["package"]));
    let told = ci.run(&["package", "--no-strict"]).stderr;
    assert!(told.starts_with(wanted), "{told}");
    ci.edit(
        "sparkpack.toml",
        "src = \"src\"\n",
        "src = \"src\"\nignore-imports = [\"yaml\", \"datajob.*\", \"jobs.tow\"]\n",
    );
    assert_eq!(package(&ci), (0, String::new()));
}

#[test]
fn every_file_that_python_cannot_read_is_told_at_once() {
    let project = project();
    project.write("src/jobs/old.py", "print 'x'\n");
    project.write("src/jobs/new.py", "type X = int\n");
    let run = project.run(&["package"]);
    assert_eq!(run.code, 2);
    for wanted in [
        "error[E208]: src/jobs/new.py:1:1: cannot use `type` alias statement on Python 3.11 (syntax was added in Python 3.12)",
        "error[E208]: src/jobs/old.py:1:7: `print` as a statement is Python 2\nhint: write `print(…)`",
    ] {
        assert!(run.stderr.contains(wanted), "{}", run.stderr);
    }
    assert!(!project.root().join("dist/jobs.zip").exists());
    // Of another chain's Python only one of them is wrong; what is no module of the job is not read.
    project.edit(
        "sparkpack.toml",
        "python = \"3.11\"",
        "python = \"3.12\"\nroot = \"registry.example/root:1\"",
    );
    let told = package(&project).1;
    assert!(
        !told.contains("new.py") && told.contains("old.py"),
        "{told}"
    );
    project.edit(
        "sparkpack.toml",
        "src = \"src\"\n",
        "src = \"src\"\nexclude = [\"old.py\"]\n",
    );
    assert_eq!(package(&project), (0, String::new()));
}

#[test]
fn a_name_in_the_configuration_that_is_no_module_is_refused() {
    let project = project();
    for name in ["a-b", "", "a..b", "a b", "a.*.b", "1a"] {
        let line = format!("src = \"src\"\nignore-imports = [\"{name}\"]\n");
        project.write(
            "sparkpack.toml",
            &CONFIGURATION.replace("src = \"src\"\n", &line),
        );
        let run = project.run(&["package"]);
        assert_eq!(run.code, 2, "{name}");
        assert!(
            run.stderr.contains("error[E022]: sparkpack.toml:12:19:"),
            "{}",
            run.stderr
        );
        assert!(
            run.stderr.contains("is not the name of a module"),
            "{}",
            run.stderr
        );
    }
}

#[test]
fn a_change_is_seen_whatever_the_cache_has() {
    let project = project();
    let broken = "import jobs.gone\n";
    project.write("src/jobs/one.py", broken);
    let (_, told) = package(&project);
    assert!(told.contains("no module `jobs.gone`"), "{told}");
    // Another file mends it, and then another change breaks it again.
    project.write("src/jobs/gone.py", "");
    assert_eq!(package(&project), (0, String::new()));
    fs_err::remove_file(project.root().join("src/jobs/gone.py")).unwrap();
    assert_eq!(package(&project), (0, told.clone()));
    let files = || {
        let folder = fs_err::read_dir(project.cache().join("imports")).unwrap();
        folder.map(|file| file.unwrap().path()).collect::<Vec<_>>()
    };
    assert_eq!(files().len(), 2);
    for file in files() {
        let bytes = fs_err::read(&file).unwrap();
        for at in (0..bytes.len()).step_by(bytes.len() / 20) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            fs_err::write(&file, &damaged).unwrap();
            assert_eq!(
                package(&project),
                (0, told.clone()),
                "byte {at} of {}",
                file.display()
            );
            fs_err::write(&file, &bytes[..at]).unwrap();
            assert_eq!(
                package(&project),
                (0, told.clone()),
                "{at} bytes of {}",
                file.display()
            );
        }
    }
}

#[test]
fn a_dockerfile_that_does_not_copy_the_packages_is_told() {
    let project = project();
    let configuration = format!("{CONFIGURATION}dockerfile = \"Dockerfile\"\n");
    project.write("sparkpack.toml", &configuration);
    project.write(
        "Dockerfile",
        "ARG PARENT\nFROM ${PARENT}\nCOPY dist/jobs.zip dist/main.py /opt/job/\n",
    );
    assert_eq!(package(&project), (0, String::new()));
    // What a command installs is not known.
    project.write("src/jobs/one.py", "import yaml\n");
    assert!(package(&project).1.contains("no module `yaml`"));
    project.write("Dockerfile", "ARG PARENT\nFROM ${PARENT}\nRUN pip install PyYAML\nCOPY dist/jobs.zip dist/main.py /opt/job/\n");
    let told = package(&project).1;
    assert!(!told.contains("W140"), "{told}");
}

/// The packages that a Dockerfile of one's own leaves in `dist`, where the code imports them, each with the `COPY` that lacks.
#[test]
fn packages_that_a_dockerfile_leaves_behind_are_told_with_the_line_to_write() {
    let index = Index::new();
    index.add("spk_app-1.0-py3-none-any", &[]);
    index.add("spk_native-1.0-cp311-cp311-manylinux2014_x86_64", &[]);
    let project = project();
    let mirror = format!("\n[mirrors]\npython = \"{}\"\n", index.url);
    project.write(
        "sparkpack.toml",
        &format!("{CONFIGURATION}requirements = \"requirements.txt\"\ndockerfile = \"Dockerfile\"\n{mirror}"),
    );
    project.write("requirements.txt", "spk-app\nspk-native\n");
    let copies = |folders: &str| {
        let text = format!(
            "ARG PARENT\nFROM ${{PARENT}}\nCOPY dist/jobs.zip dist/main.py /opt/job/\n{folders}"
        );
        project.write("Dockerfile", &text);
    };
    copies("");
    // As long as nothing imports them, they may stay where they are.
    assert!(!package(&project).1.contains("warning["));
    project.write(
        "src/jobs/one.py",
        "from .two import go\nimport spk_app\n\nimport spk_native\n",
    );
    let in_zip = "warning[W142]: Dockerfile:1:1: your Dockerfile does not copy `dist/libs.zip`, which has `spk_app`, and src/jobs/one.py:2 imports it\n\
                  hint: write `COPY dist/libs.zip /opt/job/`, which `PYTHONPATH` has to name\n";
    let in_folder = "warning[W142]: Dockerfile:1:1: your Dockerfile does not copy `dist/site-packages`, which has `spk_native`, and src/jobs/one.py:4 imports it\n\
                     hint: write `COPY dist/site-packages /opt/job/site-packages/`, which `PYTHONPATH` has to name\n";
    assert_eq!(package(&project), (0, format!("{in_zip}{in_folder}")));
    copies("COPY dist/libs.zip /opt/job/\n");
    assert_eq!(package(&project), (0, in_folder.to_owned()));
    let strict = project.run(&["package", "--strict"]);
    let error = in_folder.replace("warning[W142]", "error[E209]");
    assert_eq!((strict.code, strict.stderr), (2, error));
    copies("COPY dist/libs.zip /opt/job/\nCOPY dist/site-packages /opt/job/site-packages/\n");
    assert_eq!(package(&project), (0, String::new()));
    copies("COPY dist/ /opt/job/\n");
    assert_eq!(package(&project), (0, String::new()));
}

/// A copy of a folder of this repository, whose job stands on `py` and has no requirements: no network is needed.
fn copied(folder: &str) -> TestProject {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let project = TestProject::new(&[]);
    let from = folder.join(".");
    program(
        "cp",
        &[
            "-r",
            from.to_str().unwrap(),
            project.root().to_str().unwrap(),
        ],
    );
    let toml = project.read("sparkpack.toml");
    let lines = toml
        .lines()
        .filter(|line| !line.starts_with("requirements"));
    let toml = lines.collect::<Vec<_>>().join("\n");
    project.write(
        "sparkpack.toml",
        &toml.replace("parent = \"ds\"", "parent = \"py\""),
    );
    project
}

/// All that is told of the example is what its requirements and `ds` bring.
#[test]
fn the_example_has_no_finding_of_its_own() {
    let (code, told) = package(&copied("example-project"));
    assert_eq!(code, 0, "{told}");
    let missing: BTreeSet<&str> = told
        .lines()
        .filter_map(|line| line.strip_prefix("warning[W140]: ")?.split('`').nth(1))
        .collect();
    let wanted = ["numpy", "pandas", "pyarrow", "rapidfuzz", "slugify"];
    assert_eq!(missing, BTreeSet::from(wanted), "{told}");
    assert_eq!(
        told.matches("warning[").count(),
        told.matches("warning[W140]").count(),
        "{told}"
    );
}

#[test]
fn well_known_layouts_have_no_finding() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/projects");
    let mut count = 0;
    for entry in fs_err::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let own = format!("tests/projects/{name}");
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(&own);
        let configuration = fs_err::read_to_string(file.join("sparkpack.toml")).unwrap();
        if configuration.contains("requirements") {
            // Those are packed with their packages by `projects`, where nothing may be told either.
            continue;
        }
        let project = copied(&own);
        let run = project.run(&["package", "--strict"]);
        assert!(
            run.code == 0 && !run.stderr.contains("warning"),
            "{name}: {}",
            run.stderr
        );
        count += 1;
    }
    assert_eq!(count, 4);
}

/// In real repositories the file that is started lies in a package, and others beside the code.
#[test]
fn files_that_are_started_are_followed_too() {
    let project = project();
    project.edit(
        "sparkpack.toml",
        "src = \"src\"\n",
        "src = \"src\"\nmain = [\"main.py\", \"jobs/start.py\"]\n",
    );
    project.write(
        "src/jobs/start.py",
        "from jobs import one\nfrom jobs import gone\n",
    );
    let told = package(&project).1;
    let wanted = "warning[W140]: src/jobs/start.py:2:18: `jobs` has no `gone`: neither a module nor a name in its file\n";
    assert_eq!(told.matches(wanted).count(), 1, "{told}");
}
