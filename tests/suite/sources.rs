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
        &["datajob/configs.py", "jobs/run.py", "jobs/x.py"],
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

/// The files in `dist` beside the archives and the main file, sorted.
fn in_dist(project: &TestProject) -> Vec<String> {
    project.succeed(&["package"]);
    let dist = project.root().join("dist");
    let walk = walkdir::WalkDir::new(&dist).sort_by_file_name().into_iter();
    let files = walk
        .map(Result::unwrap)
        .filter(|entry| entry.file_type().is_file());
    let paths = files.map(|entry| {
        let path = entry.path().strip_prefix(&dist).unwrap();
        path.to_str().unwrap().to_owned()
    });
    let mut paths: Vec<String> = paths
        .filter(|path| ![".gitignore", "jobs.zip", "libs.zip", "main.py"].contains(&path.as_str()))
        .collect();
    paths.sort();
    paths
}

#[test]
fn every_main_file_has_its_path_and_the_first_is_main_py() {
    let files = [
        "main.py",
        "src/main.py",
        "src/run_a.py",
        "src/run_b.py",
        "src/pkg/__init__.py",
        "src/pkg/cli/run.py",
        "jobs/a.py",
        "jobs/b.py",
        "jobs/deep/c.py",
    ];
    let of_src = ["pkg/__init__.py", "pkg/cli/run.py", "run_a.py", "run_b.py"];
    for (lines, first, beside, modules) in [
        ("src = \"src\"", "src/main.py", &[][..], &of_src[..]),
        (
            "src = \"src\"\nmain = [\"main.py\"]",
            "src/main.py",
            &[],
            &of_src,
        ),
        (
            "src = [\"jobs\"]",
            "main.py",
            &[],
            &["jobs/a.py", "jobs/b.py", "jobs/deep/c.py"],
        ),
        (
            "src = \"src\"\nmain = \"pkg/cli/run.py\"",
            "src/pkg/cli/run.py",
            &["pkg/cli/run.py"],
            &[
                "main.py",
                "pkg/__init__.py",
                "pkg/cli/run.py",
                "run_a.py",
                "run_b.py",
            ],
        ),
        (
            "src = \"src\"\nmain = \"./src/pkg/cli/run.py\"",
            "src/pkg/cli/run.py",
            &["src/pkg/cli/run.py"],
            &[
                "main.py",
                "pkg/__init__.py",
                "pkg/cli/run.py",
                "run_a.py",
                "run_b.py",
            ],
        ),
        (
            "src = \"src\"\nmain = [\"run_a.py\", \"run_b.py\", \"jobs/a.py\"]",
            "src/run_a.py",
            &["jobs/a.py", "run_a.py", "run_b.py"],
            &["main.py", "pkg/__init__.py", "pkg/cli/run.py", "run_b.py"],
        ),
        (
            "src = [\"jobs\"]\nmain = [\"jobs/a.py\", \"jobs/deep/c.py\"]",
            "jobs/a.py",
            &["jobs/a.py", "jobs/deep/c.py"],
            &["jobs/a.py", "jobs/b.py", "jobs/deep/c.py"],
        ),
    ] {
        let project = project(lines, &files);
        assert_eq!(in_dist(&project), beside, "{lines}");
        assert_eq!(packed(&project), modules, "{lines}");
        let main = project.read("dist/main.py");
        assert_eq!(main, format!("VALUE = '{first}'\n"), "{lines}");
        for path in beside {
            let text = project.read(&format!("dist/{path}"));
            assert!(text.contains(path), "{lines}: {text}");
        }
    }
}

/// What a module reads beside itself, as `open` and as `importlib.resources` do it.
const READING: &str = "import importlib.resources\nfrom pathlib import Path\n\
    BESIDE = (Path(__file__).parent / 'q.sql').read_text()\n\
    RESOURCE = importlib.resources.files('pkg').joinpath('q.sql').read_text()\n";

#[test]
fn code_with_data_files_is_a_folder_too() {
    let project = project("src = \"src\"", &["src/main.py", "src/__init__.py"]);
    project.write("src/pkg/__init__.py", READING);
    project.write("src/pkg/q.sql", "select 1\n");
    project.write("src/pkg/deep/table.csv", "a,b\n");
    let folder = [
        "jobs/pkg/__init__.py",
        "jobs/pkg/deep/table.csv",
        "jobs/pkg/q.sql",
    ];
    assert_eq!(in_dist(&project), folder);
    let zip = [
        "__init__.py",
        "pkg/__init__.py",
        "pkg/deep/table.csv",
        "pkg/q.sql",
    ];
    assert_eq!(packed(&project), zip);
    let dist = project.root().join("dist");
    let path = [dist.join("jobs"), dist.join("jobs.zip")];
    let path: Vec<&Path> = path.iter().map(std::path::PathBuf::as_path).collect();
    let code = "import pkg; print(pkg.BESIDE + pkg.RESOURCE, end='')";
    assert_eq!(python(&path, code), "select 1\nselect 1\n");
    // Not so from the archive.
    let mut alone = std::process::Command::new("python3");
    alone
        .args(["-S", "-B", "-c", code])
        .env("PYTHONPATH", path[1]);
    assert_ne!(run(&mut alone).code, 0);
}

#[test]
fn the_form_of_the_code_follows_from_its_files_or_from_the_key() {
    for (lines, file, is_folder) in [
        ("", "jobs/a.py", false),
        ("", "jobs/a.pyi", false),
        ("", "jobs/py.typed", false),
        ("", "jobs/typed", true),
        ("", "jobs/q.sql", true),
        ("", "jobs/README.md", true),
        ("", "conf.json", true),
        ("exclude = [\"*.json\"]", "conf.json", false),
        ("code = \"zip\"", "jobs/q.sql", false),
        ("code = \"folder\"", "jobs/a.py", true),
    ] {
        let project = project(&format!("src = \"src\"\n{lines}"), &["src/main.py"]);
        project.write("src/jobs/b.py", "");
        project.write(&format!("src/{file}"), "");
        let has_folder = in_dist(&project).contains(&"jobs/jobs/b.py".to_owned());
        assert_eq!(has_folder, is_folder, "{lines} {file}");
    }
}

#[test]
fn files_lie_beside_the_code() {
    let files = [
        "main.py",
        "jobs/etl.py",
        "configs/dev.json",
        "configs/prod.json",
        "configs/.DS_Store",
        "configs/notes.md",
        "sql/deep/q.sql",
        "sql/p.sql",
    ];
    for (lines, wanted) in [
        ("files = []", &[][..]),
        (
            "files = [\"configs/*.json\"]",
            &["configs/dev.json", "configs/prod.json"],
        ),
        (
            "files = [\"./configs/dev.json\", \"sql/**/*.sql\", \"configs/dev.*\"]",
            &["configs/dev.json", "sql/deep/q.sql", "sql/p.sql"],
        ),
        (
            "files = [\"configs/**\"]",
            &["configs/dev.json", "configs/notes.md", "configs/prod.json"],
        ),
        (
            "files = [\"jobs/etl.py\"]\nmain = [\"main.py\", \"jobs/etl.py\"]",
            &["jobs/etl.py"],
        ),
    ] {
        let project = project(&format!("src = [\"jobs\"]\n{lines}"), &files);
        assert_eq!(in_dist(&project), wanted, "{lines}");
        assert_eq!(packed(&project), ["jobs/etl.py"], "{lines}");
    }
    // By their paths below `src` where they lie there, so that they are beside `main.py` as they are now.
    let project = project(
        "src = \"src\"\nfiles = [\"configs/*\"]",
        &["src/main.py", "src/configs/a.json", "configs/b.json"],
    );
    assert_eq!(in_dist(&project), ["configs/a.json", "jobs/configs/a.json"]);
}

#[test]
fn what_is_no_longer_part_of_a_job_goes_out_of_dist() {
    let project = project(
        "src = [\"jobs\"]\nfiles = [\"a/b/*\"]",
        &["main.py", "jobs/x.py", "a/b/one", "a/b/two", "jobs/q.sql"],
    );
    let wanted = ["a/b/one", "a/b/two", "jobs/jobs/q.sql", "jobs/jobs/x.py"];
    assert_eq!(in_dist(&project), wanted);
    project.write("dist/jobs/jobs/stray.py", "");
    assert_eq!(in_dist(&project), wanted);
    project.write("dist/a/b/one", "damaged");
    assert_eq!(in_dist(&project), wanted);
    assert!(project.read("dist/a/b/one").starts_with("VALUE"));
    fs_err::remove_file(project.root().join("a/b/two")).unwrap();
    assert_eq!(in_dist(&project), [wanted[0], wanted[2], wanted[3]]);
    project.edit("sparkpack.toml", "files = [\"a/b/*\"]", "code = \"zip\"");
    assert_eq!(in_dist(&project), [""; 0]);
    assert!(!project.root().join("dist/a").exists());
    assert!(!project.root().join("dist/jobs").exists());
}

#[test]
fn what_lies_beside_the_code_is_an_input() {
    let project = project(
        "src = [\"jobs\"]\nfiles = [\"conf/*.json\"]\nmain = [\"run.py\", \"other.py\"]",
        &[
            "run.py",
            "other.py",
            "jobs/x.py",
            "conf/a.json",
            "conf/b.txt",
        ],
    );
    let mut tags = vec![project.reference("job")];
    project.write("conf/b.txt", "changed");
    assert_eq!(project.reference("job"), tags[0]);
    for change in [
        ("conf/a.json", "changed\n"),
        ("conf/c.json", ""),
        ("other.py", "changed = 1\n"),
        ("run.py", "changed = 2\n"),
        ("jobs/data.csv", ""),
    ] {
        project.write(change.0, change.1);
        tags.push(project.reference("job"));
    }
    project.edit("sparkpack.toml", "src =", "code = \"zip\"\nsrc =");
    tags.push(project.reference("job"));
    let different: std::collections::BTreeSet<&String> = tags.iter().collect();
    assert_eq!(different.len(), tags.len(), "{tags:?}");
}

#[test]
fn mains_files_and_forms_that_cannot_be_meant_are_told() {
    let files = [
        "main.py",
        "a/main.py",
        "jobs/a.py",
        "jobs/b/x.py",
        "jobs/q.sql",
        "records/x.json",
        "jobs/jobs/a.py",
        "k/job.yml",
        ".hidden/x",
    ];
    let mut failures = Vec::new();
    for lines in [
        "main = []",
        "main = [\"main.py\", \"gone.py\"]",
        "main = \"../main.py\"",
        "main = [\"jobs/a.py\", \"main.py\"]",
        "files = [\"*.json\"]",
        "files = [\"a[\"]",
        "files = [\"/etc/passwd\"]",
        "files = [\"records/*\"]",
        "files = [\".hidden/*\"]",
        "files = [\"k/*\"]",
        "code = \"tar\"",
        // The folder of the code has `jobs/a.py` as `jobs/jobs/a.py`.
        "files = [\"jobs/jobs/*\"]",
    ] {
        let project = project(&format!("src = [\"jobs\"]\n{lines}"), &files);
        project.edit(
            "sparkpack.toml",
            "[images.job]",
            "[manifests]\nmain = [\"k/*.yml\"]\n\n[images.job]",
        );
        failures.push(format!("{lines}\n{}", project.failure(&["tags"])));
    }
    insta::assert_snapshot!(failures.join("\n"));
}

/// A link's target and its path.
type Link = (&'static str, &'static str);

/// Code that several jobs share, by links: case by case the links, the files, and what is packed.
const LINKS: &[(&[Link], &[&str], &[&str])] = &[
    (
        &[("../common", "src/common")],
        &["src/main.py", "common/u.py"],
        &["common/u.py"],
    ),
    (
        &[("../../shared/io.py", "src/jobs/io.py")],
        &["src/main.py", "shared/io.py"],
        &["jobs/io.py"],
    ),
    (
        &[
            ("../../libs/one", "src/jobs/one"),
            ("../two", "libs/one/two"),
        ],
        &["src/main.py", "libs/one/a.py", "libs/two/b.py"],
        &["jobs/one/a.py", "jobs/one/two/b.py"],
    ),
    (
        &[("a", "src/b")],
        &["src/main.py", "src/a/x.py"],
        &["a/x.py", "b/x.py"],
    ),
    (
        &[("../common", "src/common")],
        &[
            "src/main.py",
            "common/u.py",
            "common/tests/test_u.py",
            "common/.venv/x.py",
        ],
        &["common/u.py"],
    ),
    (
        &[("../k", "src/conf")],
        &["src/main.py", "k/u.py", "k/job.yml"],
        &["conf/u.py"],
    ),
];

#[test]
fn shared_code_is_followed_by_links() {
    for (links, files, wanted) in LINKS {
        let project = project("src = \"src\"\n\n[manifests]\nmain = [\"k/*.yml\"]", files);
        for (target, link) in *links {
            let link = project.root().join(link);
            fs_err::create_dir_all(link.parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(target, link).unwrap();
        }
        assert_eq!(packed(&project), *wanted, "{links:?}");
        let before = project.reference("job");
        let shared = files.iter().find(|file| !file.starts_with("src/main"));
        project.write(shared.unwrap(), "VALUE = 2\n");
        assert_ne!(project.reference("job"), before, "{links:?}");
        project.begin_git();
        let untracked = project.succeed(&["plan"]).stderr;
        assert!(!untracked.contains("untracked"), "{untracked}");
    }
}

#[test]
fn links_that_leave_the_project_or_never_end_are_refused() {
    let mut failures = Vec::new();
    for (target, link) in [
        ("../../elsewhere", "src/common"),
        ("/etc", "src/common"),
        ("../../elsewhere/u.py", "src/u.py"),
        ("..", "src/all"),
        (".", "src/jobs/self"),
        ("../dist", "src/built"),
        ("../.git", "src/git"),
        ("../gone", "src/gone"),
    ] {
        let project = project(
            "src = \"src\"",
            &["src/main.py", "src/jobs/a.py", "dist/x.py"],
        );
        project.write("../elsewhere/u.py", "");
        project.write(".git/config", "");
        std::os::unix::fs::symlink(target, project.root().join(link)).unwrap();
        failures.push(format!(
            "{link} -> {target}\n{}",
            project.failure(&["tags"])
        ));
    }
    let project = project("src = \"linked\"", &["main.py"]);
    project.write("../elsewhere/u.py", "");
    std::os::unix::fs::symlink("../elsewhere", project.root().join("linked")).unwrap();
    failures.push(format!("src = linked\n{}", project.failure(&["tags"])));
    insta::assert_snapshot!(failures.join("\n"));
}

/// Lays a project of `tests/projects` out as somebody's checkout.
fn layout(name: &str) -> TestProject {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/projects")
        .join(name);
    let project = TestProject::new(&[]);
    for file in walkdir::WalkDir::new(&folder) {
        let file = file.unwrap();
        if file.file_type().is_file() {
            let path = file.path().strip_prefix(&folder).unwrap();
            let text = fs_err::read_to_string(file.path()).unwrap();
            project.write(path.to_str().unwrap(), &text);
        }
    }
    let toml = project.read("sparkpack.toml");
    assert!(
        toml.lines().count() <= 12,
        "{name} needs a long configuration"
    );
    let python = format!("python = \"{}\"", host_python());
    project.edit("sparkpack.toml", "python = \"3.11\"", &python);
    project
}

/// The layout of a well-known template: its name, what is packed, what else lies in `dist`, and code that does without
/// Spark what an executor does, with what it prints.
type Layout = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
    &'static str,
    &'static str,
);

const LAYOUTS: &[Layout] = &[
    (
        "root-packages",
        &[
            "dependencies/__init__.py",
            "dependencies/floors.py",
            "dependencies/floors.txt",
            "dependencies/spark.py",
            "jobs/__init__.py",
            "jobs/etl_job.py",
        ],
        &["configs/etl_config.json", "jobs/etl_job.py"],
        "from jobs.etl_job import transform; from dependencies.floors import name_of; print(name_of(2))",
        "second\n",
    ),
    (
        "jobs-and-shared",
        &[
            "jobs/__init__.py",
            "jobs/wordcount/__init__.py",
            "shared/__init__.py",
            "shared/passed-over.txt",
            "shared/words.py",
        ],
        &[],
        "import jobs.wordcount as job; print(job.is_wanted('the'), job.is_wanted('sea'))",
        "False True\n",
    ),
    (
        "package-with-cli",
        &[
            "parcels-1.4.0.dist-info/METADATA",
            "parcels-1.4.0.dist-info/entry_points.txt",
            "parcels/__init__.py",
            "parcels/cli/__init__.py",
            "parcels/cli/run.py",
            "parcels/prices.json",
            "parcels/zones.py",
        ],
        &["src/parcels/cli/run.py"],
        "import parcels, importlib.metadata as m; from parcels.zones import price; (cli,) = m.entry_points(group='console_scripts'); print(parcels.__version__, price('far', 2), cli.load().__name__)",
        "1.4.0 10 main\n",
    ),
    (
        "package-with-data",
        &[
            "jobs/common.py",
            "jobs/highest.py",
            "jobs/lowest.py",
            "tides/__init__.py",
            "tides/harbours.csv",
            "tides/harbours.py",
            "tides/queries.py",
            "tides/sql/highest.sql",
            "tides/sql/lowest.sql",
        ],
        &["jobs/highest.py", "jobs/lowest.py"],
        "from jobs.common import offset, query; print(offset('west'), query('lowest')[16:19])",
        "-0.25 min\n",
    ),
];

#[test]
fn well_known_layouts_need_no_change() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/projects");
    for (name, modules, beside, code, wanted) in LAYOUTS {
        let project = layout(name);
        assert_eq!(packed(&project), *modules, "{name}");
        let code_folder = modules.iter().map(|path| format!("jobs/{path}"));
        let mut in_folder: Vec<String> = code_folder
            .chain(beside.iter().map(|path| (*path).to_owned()))
            .collect();
        in_folder.sort();
        assert_eq!(in_dist(&project), in_folder, "{name}");
        let dist = project.root().join("dist");
        let path = [dist.join("jobs"), dist.join("jobs.zip")];
        let path: Vec<&Path> = path.iter().map(std::path::PathBuf::as_path).collect();
        assert_eq!(python(&path, code), *wanted, "{name}");
    }
    let there = fs_err::read_dir(folder).unwrap().map(Result::unwrap);
    let names: Vec<String> = there
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    for (name, ..) in LAYOUTS {
        assert!(names.iter().any(|there| there == name), "{names:?}");
    }
}

/// Python finds the version and the entry points in the archive as in the folder.
#[test]
fn a_project_that_is_a_package_has_its_version_and_entry_points() {
    let code = "import importlib.metadata as m; print(m.version('My.Jobs')); print([p.value for p in m.entry_points(group='g')])";
    let wanted_tags = |project: &TestProject| project.reference("job");
    for (src, pyproject, module, wanted, is_told) in [
        (
            "src",
            "[project]\nname = \"my-jobs\"\nversion = \"1.2\"\n[project.entry-points.g]\na = \"my_jobs:a\"\n",
            "",
            "1.2\n['my_jobs:a']\n",
            false,
        ),
        (
            "src",
            "[project]\nname = \"my-jobs\"\ndynamic = [\"version\"]\n",
            "__version__ = '3'\n",
            "3\n[]\n",
            false,
        ),
        (
            "src",
            "[project]\nname = \"my-jobs\"\ndynamic = [\"version\"]\n",
            "",
            "0+unknown\n[]\n",
            true,
        ),
        (
            "src",
            "[tool.poetry]\nname = \"my_jobs\"\nversion = \"0.1.0\"\n[tool.poetry.plugins.g]\na = \"my_jobs:a\"\n",
            "",
            "0.1.0\n['my_jobs:a']\n",
            false,
        ),
    ] {
        for folder in ["", "team/"] {
            let project = project(
                &format!("src = \"{folder}{src}\""),
                &[&format!("{folder}{src}/main.py")],
            );
            project.write(&format!("{folder}{src}/my_jobs/__init__.py"), module);
            let bare = wanted_tags(&project);
            project.write(&format!("{folder}pyproject.toml"), pyproject);
            assert_ne!(wanted_tags(&project), bare);
            let told = project.succeed(&["package"]).stderr;
            assert_eq!(told.matches("W150").count(), usize::from(is_told), "{told}");
            assert_eq!(printed(&project, code), wanted, "{pyproject}");
            assert_eq!(in_dist(&project), [""; 0], "it is no reason for a folder");
            // What only the build reads of the project plays no part.
            let tag = wanted_tags(&project);
            project.write(
                &format!("{folder}pyproject.toml"),
                &format!("# a comment\n{pyproject}\n[tool.ruff]\nline-length = 100\n"),
            );
            assert_eq!(wanted_tags(&project), tag);
            project.edit(
                "sparkpack.toml",
                "src =",
                "exclude = [\"*.dist-info\"]\nsrc =",
            );
            assert_eq!(wanted_tags(&project), bare);
        }
    }
}
