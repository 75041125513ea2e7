//! A job's code wherever it lies in a project, and what is none of it.

use std::path::Path;

use crate::support::{TestProject, host_python, program, run};

/// A project of a single job with these lines of configuration and these files: modules hold `VALUE = 'PATH'`.
fn project(lines: &str, files: &[&str]) -> TestProject {
    let python = host_python();
    let configuration = format!(
        "format = 1\nproject = \"sources\"\nregistries.main = \"registry.example/sources\"\n\n[chains.main]\nspark = \"4.1.4\"\npython = \"{python}\"\n\n[images.below]\ndockerfile = \"docker/below/Dockerfile\"\n\n[images.job]\nparent = \"below\"\n{lines}\n"
    );
    let project = TestProject::new(&[
        ("sparkpack.toml", &configuration),
        (
            "docker/below/Dockerfile",
            "FROM scratch\nCOPY docker/below/a.txt /\n",
        ),
        ("docker/below/a.txt", ""),
    ]);
    for file in files {
        project.write(file, &format!("VALUE = '{file}'\n"));
    }
    project
}

/// The files in `dist/jobs.zip`, without folders.
fn packed(project: &TestProject) -> Vec<String> {
    project.succeed(&["package"]);
    let script = "import sys, zipfile; print('\\n'.join(zipfile.ZipFile(sys.argv[1]).namelist()))";
    let archive = project.root().join("dist/jobs.zip");
    let printed = program("python3", &["-c", script, archive.to_str().unwrap()]);
    let names = printed
        .lines()
        .filter(|name| !name.is_empty() && !name.ends_with('/'));
    names.map(str::to_owned).collect()
}

/// What `code` prints in a Python that has only the packed code.
fn printed(project: &TestProject, code: &str) -> String {
    let archive = project.root().join("dist/jobs.zip");
    python(&[&archive], code)
}

fn python(path: &[&Path], code: &str) -> String {
    let path: Vec<&str> = path.iter().map(|path| path.to_str().unwrap()).collect();
    let mut python = std::process::Command::new("python3");
    python.args(["-S", "-B", "-c", code]).current_dir("/");
    let printed = run(python.env("PYTHONPATH", path.join(":")));
    assert_eq!(printed.code, 0, "{code}\n{}", printed.stderr);
    printed.stdout
}

const CASES: &[(&str, &[&str], &[&str], &str)] = &[
    // `src`, files, what is packed, an import.
    (
        "src = \"src\"",
        &["src/main.py", "src/jobs/a.py", "jobs/b.py"],
        &["jobs/a.py"],
        "from jobs.a import VALUE",
    ),
    (
        "src = [\"jobs\", \"dependencies\"]",
        &[
            "main.py",
            "jobs/__init__.py",
            "jobs/etl.py",
            "dependencies/spark.py",
            "other/x.py",
            "setup.py",
        ],
        &["dependencies/spark.py", "jobs/__init__.py", "jobs/etl.py"],
        "from dependencies.spark import VALUE; from jobs.etl import VALUE",
    ),
    (
        "src = [\"src/datajob\", \"jobs\"]\nmain = \"jobs/run.py\"",
        &[
            "src/datajob/configs.py",
            "src/other/x.py",
            "jobs/run.py",
            "jobs/x.py",
        ],
        &["datajob/configs.py", "jobs/x.py"],
        "from datajob.configs import VALUE; from jobs.x import VALUE",
    ),
    (
        "src = [\"src/\", \"jobs\", \"shared.py\"]\nmain = \"main.py\"",
        &[
            "src/datajob/configs.py",
            "src/more.py",
            "jobs/x.py",
            "shared.py",
            "notshared.py",
            "main.py",
        ],
        &["datajob/configs.py", "jobs/x.py", "more.py", "shared.py"],
        "from datajob.configs import VALUE; import more, shared; from jobs.x import VALUE",
    ),
    (
        "src = [\"one/\", \"two/\"]",
        &["one/main.py", "one/a/x.py", "two/a/y.py"],
        &["a/x.py", "a/y.py"],
        "from a.x import VALUE; from a.y import VALUE",
    ),
    (
        "src = [\"deep/down/tool.py\"]",
        &["main.py", "deep/down/tool.py", "deep/down/tool2.py"],
        &["tool.py"],
        "from tool import VALUE",
    ),
];

#[test]
fn code_is_packed_from_wherever_src_says() {
    for (lines, files, wanted, import) in CASES {
        let project = project(lines, files);
        assert_eq!(packed(&project), *wanted, "{lines}");
        printed(&project, import);
        for file in *files {
            let is_packed = wanted.iter().any(|path| file.ends_with(path));
            assert!(
                is_packed || !wanted.contains(file),
                "{lines}: {file} is told"
            );
        }
    }
}

/// What most projects have at their top, beside the code.
const BESIDE: &[&str] = &[
    ".github/workflows/ci.py",
    ".pre-commit-config.yaml",
    ".env",
    ".venv/lib/x.py",
    "env/pyvenv.cfg",
    "env/lib/python3.11/site-packages/six.py",
    "build/lib/jobs/old.py",
    "dist/main.py",
    "dist/left/over.py",
    "docs/conf.py",
    "data/big.csv",
    "docker/base/Dockerfile",
    "kubernetes/job.yml",
    "node_modules/x/setup.py",
    "notebooks/Try.ipynb",
    "requirements.txt",
    "README.md",
    "Makefile",
    "noxfile.py",
    "setup.py",
    "conftest.py",
    "my-tool/x.py",
    "tests/test_etl.py",
    "test_main.py",
    "jobs.egg-info/PKG-INFO",
    ".mypy_cache/x.py",
    "__pycache__/main.cpython-311.py",
];

#[test]
fn at_the_top_of_a_project_only_modules_and_packages_are_code() {
    let code = [
        "main.py",
        "helpers.py",
        "jobs/__init__.py",
        "jobs/etl.py",
        "jobs/deep/er/x.py",
        "jobs/sql/q.sql",
        "shared/io.py",
    ];
    let project = project("src = \".\"", &[&code, BESIDE].concat());
    project.edit(
        "sparkpack.toml",
        "[images.job]",
        "[manifests]\nmain = [\"kubernetes/*.yml\"]\n\n[images.job]",
    );
    let wanted = [
        "helpers.py",
        "jobs/__init__.py",
        "jobs/deep/er/x.py",
        "jobs/etl.py",
        "jobs/sql/q.sql",
        "shared/io.py",
    ];
    assert_eq!(packed(&project), wanted);
    project.begin_git();
    let run = project.succeed(&["package"]);
    assert!(!run.stderr.contains("W122"), "{}", run.stderr);
    let before = project.reference("job");
    for file in BESIDE {
        project.write(file, "changed = 1\n");
    }
    project.write("more/notes.txt", "");
    assert_eq!(project.reference("job"), before);
    project.write("more/code.py", "");
    assert_ne!(project.reference("job"), before);
    fs_err::remove_dir_all(project.root().join("more")).unwrap();
    for list in ["[\".\"]", "[\"./\"]"] {
        project.edit("sparkpack.toml", "src = \".\"", &format!("src = {list}"));
        assert_eq!(packed(&project), wanted);
        project.edit("sparkpack.toml", &format!("src = {list}"), "src = \".\"");
    }
    let told = project.succeed(&["plan", "-vv", "job"]).stdout;
    for (path, why) in [
        (
            "README.md",
            "only modules and folders with modules are a job's code",
        ),
        (
            "data/",
            "only modules and folders with modules are a job's code",
        ),
        ("dist/", "what sparkpack makes"),
        ("tests/", "built-in `tests/`"),
    ] {
        let is_told = |line: &str| line.contains(path) && line.contains(why);
        assert!(told.lines().any(is_told), "{path}: {told}");
    }
}

#[test]
fn what_the_built_in_rules_leave_out_is_taken_by_include() {
    let files = [
        "src/main.py",
        "src/jobs/test_connection.py",
        "src/jobs/other.py",
        "src/tests/helpers.py",
        "src/tests/test_one.py",
        "src/libs/six.py",
        "src/libs/six-1.17.0.dist-info/METADATA",
    ];
    let project = project("src = \"src\"", &files);
    assert_eq!(packed(&project), ["jobs/other.py"]);
    let toml = project.read("sparkpack.toml");
    for (lines, wanted) in [
        (
            "include = [\"test_connection.py\"]",
            &["jobs/other.py", "jobs/test_connection.py"][..],
        ),
        (
            "include = [\"/tests/\"]",
            &["jobs/other.py", "tests/helpers.py", "tests/test_one.py"],
        ),
        (
            "include = [\"tests/\"]\nexclude = [\"test_*.py\"]",
            &["jobs/other.py", "tests/helpers.py"],
        ),
        (
            "include = [\"/libs/\"]\nexclude = [\"*.dist-info\"]",
            &["jobs/other.py", "libs/six.py"],
        ),
    ] {
        project.write("sparkpack.toml", &format!("{toml}{lines}\n"));
        assert_eq!(packed(&project), wanted, "{lines}");
    }
}

#[test]
fn include_takes_what_is_no_code_at_the_top_of_a_project() {
    let files = [
        "main.py",
        "jobs/a.py",
        "data/x.csv",
        "data/y.csv",
        "docs/conf.py",
        "setup.py",
        "README.md",
    ];
    let project = project("src = \".\"", &files);
    let toml = project.read("sparkpack.toml");
    for (include, wanted) in [
        ("\"/data/x.csv\"", &["data/x.csv", "jobs/a.py"][..]),
        ("\"/data/\"", &["data/x.csv", "data/y.csv", "jobs/a.py"]),
        ("\"/docs/\"", &["docs/conf.py", "jobs/a.py"]),
        (
            "\"setup.py\", \"*.md\"",
            &["README.md", "jobs/a.py", "setup.py"],
        ),
    ] {
        project.write("sparkpack.toml", &format!("{toml}include = [{include}]\n"));
        assert_eq!(packed(&project), wanted, "{include}");
    }
}

#[test]
fn a_src_that_cannot_be_meant_is_told() {
    let files = [
        "main.py",
        "jobs/a.py",
        "my-jobs/a.py",
        "one/a/x.py",
        "two/a/x.py",
        "dist/code/x.py",
    ];
    let mut failures = Vec::new();
    for lines in [
        "src = []",
        "src = 3",
        "src = [\"jobs\", 3]",
        "src = [\"my-jobs\"]",
        "src = [\"jobs\", \"gone\"]",
        "src = [\"jobs\", \"../elsewhere\"]",
        "src = [\"dist/code\"]",
        "src = [\"jobs\", \"./jobs\"]",
        "src = [\"one/\", \"two/\"]",
        "src = [\"jobs\"]\nmain = \"run.py\"",
        "src = [\"jobs\"]\ninclude = [\"!x\"]",
        "src = [\"jobs\"]\ninclude = [\"a[\"]",
    ] {
        let project = project(lines, &files);
        failures.push(format!("{lines}\n{}", project.failure(&["tags"])));
    }
    insta::assert_snapshot!(failures.join("\n"));
}
