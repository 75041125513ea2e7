//! Files of other tools: what is read of them, and what is said of wrong ones.

mod along;

use std::fmt::Write as _;

use super::{origins::PUBLIC, *};

/// Reads the first file with the chosen extras and groups: one line for each package, or for each defect.
fn read(files: &[(&str, &str)], extras: &[&str], groups: &[&str]) -> Vec<String> {
    match requirements(files, extras, groups) {
        Ok(found) => found.wanted_lines(),
        Err(defects) => defects
            .iter()
            .map(|defect| {
                let hint = defect.hint.as_deref().unwrap_or("no hint");
                format!("{} {defect} | {hint}", defect.code)
            })
            .collect(),
    }
}

fn requirements(
    files: &[(&str, &str)],
    extras: &[&str],
    groups: &[&str],
) -> Result<Requirements, Vec<Defect>> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs_err::write(folder.path().join(name), text).unwrap();
    }
    let choices = |names: &[&str], line: usize| {
        let choices = names.iter().map(|name| Choice {
            name: (*name).to_owned(),
            place: Place::of_line("sparkpack.toml", line),
        });
        choices.collect()
    };
    let file = RequirementsFile {
        path: files[0].0.to_owned(),
        extras: choices(extras, 8),
        groups: choices(groups, 9),
        ..RequirementsFile::of(files[0].0)
    };
    Requirements::choose(folder.path(), &file)
}

fn sorted(own: &[&'static str], more: &[&'static str]) -> Vec<&'static str> {
    let mut all = [own, more].concat();
    all.sort_unstable();
    all
}

const PROJECT: &str = r#"[project]
name = "Orders"
version = "1"
requires-python = ">=3.10"
dependencies = [
    "boto3>=1.34",
    'importlib-metadata ; python_version < "3.12"',
]

[project.optional-dependencies]
web = ["jinja2~=3.1"]
all = ["orders[web]", "six"]

[dependency-groups]
dev = ["pytest>=8", {include-group = "lint"}]
lint = ["ruff"]
Etl_jobs = ["python-dateutil"]
"#;

#[test]
fn a_project_requires_its_dependencies_and_what_is_chosen() {
    let file = [("pyproject.toml", PROJECT)];
    let own = [
        "boto3>=1.34",
        "importlib-metadata ; python_version < \"3.12\"",
    ];
    assert_eq!(read(&file, &[], &[]), own);
    let with = |more: &[&'static str]| sorted(&own, more);
    assert_eq!(read(&file, &["web"], &[]), with(&["jinja2~=3.1"]));
    assert_eq!(read(&file, &["all"], &[]), with(&["jinja2~=3.1", "six"]));
    assert_eq!(read(&file, &[], &["dev"]), with(&["pytest>=8", "ruff"]));
    assert_eq!(read(&file, &[], &["etl-jobs"]), with(&["python-dateutil"]));
    let found = requirements(&file, &[], &[]).unwrap();
    assert_eq!(found.wanted[0].place.to_string(), "pyproject.toml:6:6");
    assert!(!found.is_complete);
    let python = found.python.unwrap();
    assert!(python.allows((3, 11)) && !python.allows((3, 9)));
}

const MISTAKES: &[(&str, &str)] = &[
    (
        "[project]\ndependencies = [\n  \"six=1\",\n]\n",
        "E047 pyproject.toml:3:7: `=1`: `=` compares nothing",
    ),
    (
        "[project]\ndependencies = [\"x @ git+https://u:canary@h.example/x\"]\n",
        "E042 pyproject.toml:2:22: `git+https://***@h.example/x` holds a user",
    ),
    (
        "[project]\ndependencies = [\"six\", 1]\n",
        "E047 pyproject.toml:2:24: a dependency is a text",
    ),
    ("[project\n", "E162 pyproject.toml:1:"),
    (
        "[build-system]\nrequires = []\n",
        "E164 pyproject.toml:1:1: it has neither",
    ),
    (
        "[project]\nname = \"x\"\ndynamic = [\"version\", \"dependencies\"]\n",
        "E164 pyproject.toml:3:23: the dependencies are `dynamic`",
    ),
    (
        "[tool.poetry.dependencies]\nsix = \"latest\"\n",
        "E047 pyproject.toml:2:1: `six = \"latest\"` is no condition on a version",
    ),
    (
        "[tool.poetry.dependencies]\nsix = \"^1 || ^3\"\n",
        "E047 pyproject.toml:2:1: `six = \"^1 || ^3\"`: a choice of ranges",
    ),
    (
        "[tool.poetry.dependencies]\nlib = { path = \"../lib\", develop = true }\n",
        "E041 pyproject.toml:2:1: `lib = { path = \"../lib\" }`",
    ),
];

#[test]
fn mistakes_in_a_project_have_their_places() {
    let one = |text: &str, extras: &[&str], groups: &[&str]| {
        let told = read(&[("pyproject.toml", text)], extras, groups);
        assert_eq!(told.len(), 1, "{told:?}");
        told[0].clone()
    };
    for &(text, wanted) in MISTAKES {
        let told = one(text, &[], &[]);
        assert!(told.starts_with(wanted), "{told}");
        assert!(
            !told.contains("canary") && !told.ends_with("no hint"),
            "{told}"
        );
    }
    let told = one(PROJECT, &["wbe"], &[]);
    assert_eq!(
        told,
        "E163 sparkpack.toml:8:1: pyproject.toml has no extra `wbe` | did you mean `web`?"
    );
    let told = one(PROJECT, &[], &["none-such-name"]);
    assert!(
        told.ends_with("its groups are `dev`, `etl-jobs`, `lint`"),
        "{told}"
    );
    let circle =
        "[dependency-groups]\na = [{include-group = \"b\"}]\nb = [{include-group = \"a\"}]\n";
    assert!(
        one(circle, &[], &["a"])
            .starts_with("E045 pyproject.toml:3:23: groups include each other: a → b → a"),
    );
    let dynamic = "[project]\ndynamic = [\"dependencies\"]\n[tool.setuptools.dynamic]\ndependencies = {file = [\"reqs.in\"]}\n";
    assert!(one(dynamic, &[], &[]).ends_with("`requirements = \"reqs.in\"`"));
    let told = read(&[("requirements.txt", "six\n")], &["web"], &["dev"]);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0].starts_with("E163 sparkpack.toml:8:1: `web`: a list of requirements has no extras")
    );
}

const OF_POETRY: &str = r#"[tool.poetry]
name = "orders"

[tool.poetry.dependencies]
python = "^3.10"
boto3 = "^1.34"
importlib-metadata = { version = "*", python = "<3.12" }
jinja2 = { version = "^3.1", optional = true }
requests = { version = ">=2.31,<3", extras = ["socks"] }
tomli = [
    { version = "^1", markers = "python_version < '3.9'" },
    { version = "^2", python = ">=3.9" },
]

[tool.poetry.extras]
web = ["jinja2"]

[tool.poetry.dev-dependencies]
black = "*"

[tool.poetry.group.etl.dependencies]
python-dateutil = "2.9.0"
"#;

#[test]
fn a_project_in_the_notation_of_poetry_is_translated() {
    let file = [("pyproject.toml", OF_POETRY)];
    let own = [
        "boto3<2.0,>=1.34",
        "importlib-metadata ; python_version < \"3.12\"",
        "requests[socks]<3,>=2.31",
        "tomli<2,>=1 ; python_version < \"3.9\"",
        "tomli<3,>=2 ; python_version >= \"3.9\"",
    ];
    assert_eq!(read(&file, &[], &[]), own);
    for (extras, groups, more) in [
        (&["web"][..], &[][..], "jinja2<4.0,>=3.1"),
        (&[], &["dev"], "black"),
        (&[], &["etl"], "python-dateutil==2.9.0"),
    ] {
        let told = read(&file, extras, groups);
        assert_eq!(told.len(), own.len() + 1, "{told:?}");
        assert!(told.contains(&more.to_owned()), "{told:?}");
    }
    let python = requirements(&file, &[], &[]).unwrap().python.unwrap();
    assert!(python.allows((3, 13)) && !python.allows((3, 9)) && !python.allows((4, 0)));
}

/// The project's own package in a lock of uv for [`PROJECT`].
const OWN: &str = r#"
[[package]]
name = "orders"
version = "1"
source = { editable = "." }
dependencies = [
    { name = "boto3" },
    { name = "importlib-metadata", version = "9.0", source = { registry = "https://index.example/simple" }, marker = "python_full_version < '3.11'" },
    { name = "importlib-metadata", version = "10.0", source = { registry = "https://index.example/simple" }, marker = "python_full_version == '3.11.*'" },
]

[package.optional-dependencies]
all = [
    { name = "jinja2" },
    { name = "six" },
]
web = [
    { name = "jinja2" },
]

[package.dev-dependencies]
dev = [
    { name = "pytest" },
    { name = "ruff" },
]
etl-jobs = [
    { name = "python-dateutil" },
]

[package.metadata]
requires-dist = [
    { name = "boto3", specifier = ">=1.34" },
    { name = "importlib-metadata", marker = "python_full_version < '3.12'" },
    { name = "jinja2", marker = "extra == 'web'", specifier = "~=3.1" },
    { name = "orders", extras = ["web"], marker = "extra == 'all'" },
    { name = "six", marker = "extra == 'all'" },
]
provides-extras = ["web", "all"]

[package.metadata.requires-dev]
dev = [
    { name = "pytest", specifier = ">=8" },
    { name = "ruff" },
]
etl-jobs = [{ name = "python-dateutil" }]
"#;

/// A lock of uv for [`PROJECT`], with short hashes filled in.
fn uv_lock() -> String {
    let hash = |digit: &str| format!("sha256:{}", digit.repeat(64));
    let package = |name: &str, version: &str, more: &str| {
        format!(
            "\n[[package]]\nname = \"{name}\"\nversion = \"{version}\"\nsource = {{ registry = \"https://index.example/simple\" }}\n{more}\
             sdist = {{ url = \"https://f.example/{name}.tar.gz\", hash = \"{}\", size = 1 }}\n\
             wheels = [\n    {{ url = \"https://f.example/{name}-1-py3-none-any.whl\", hash = \"{}\", size = 1 }},\n]\n",
            hash("0"),
            hash("a")
        )
    };
    let mut text = "version = 1\nrevision = 3\nrequires-python = \">=3.10\"\n".to_owned();
    text += &package(
        "boto3",
        "1.40.0",
        "dependencies = [\n    { name = \"botocore\", extra = [\"crt\"] },\n    { name = \"colorama\", marker = \"sys_platform == 'win32'\" },\n]\n",
    );
    let extra = "dependencies = [\n    { name = \"python-dateutil\" },\n]\n[package.optional-dependencies]\ncrt = [\n    { name = \"awscrt\" },\n]\n";
    let whole = package("botocore", "1.40.1", "");
    let (before, _) = whole.split_once("sdist").unwrap();
    text += &(before.to_owned() + extra);
    for (name, version) in [
        ("awscrt", "0.2"),
        ("colorama", "0.4"),
        ("importlib-metadata", "9.0"),
        ("importlib-metadata", "10.0"),
        ("jinja2", "3.1.6"),
        ("pytest", "8.1"),
        ("python-dateutil", "2.9.0.post0"),
        ("ruff", "0.9"),
        ("six", "1.17.0"),
    ] {
        let more = match name {
            "python-dateutil" => "dependencies = [\n    { name = \"six\" },\n]\n",
            "pytest" => {
                "dependencies = [\n    { name = \"colorama\", marker = \"sys_platform == 'win32'\" },\n]\n"
            }
            _ => "",
        };
        text += &package(name, version, more);
    }
    text + OWN
}

const LOCKED_BY_UV: [&str; 8] = [
    "awscrt==0.2",
    "boto3==1.40.0",
    "botocore==1.40.1",
    "colorama==0.4 ; sys_platform == \"win32\"",
    "importlib-metadata==10.0 ; python_full_version == \"3.11.*\"",
    "importlib-metadata==9.0 ; python_full_version < \"3.11\"",
    "python-dateutil==2.9.0.post0",
    "six==1.17.0",
];

#[test]
fn the_versions_of_uv_are_taken_for_what_is_chosen() {
    let lock = uv_lock();
    let files = [("uv.lock", lock.as_str()), ("pyproject.toml", PROJECT)];
    assert_eq!(read(&files, &[], &[]), LOCKED_BY_UV);
    let with = |more: &[&'static str]| sorted(&LOCKED_BY_UV, more);
    assert_eq!(read(&files, &["web"], &[]), with(&["jinja2==3.1.6"]));
    assert_eq!(
        read(&files, &["all"], &["etl-jobs"]),
        with(&["jinja2==3.1.6"])
    );
    assert_eq!(
        read(&files, &[], &["dev"]),
        with(&["pytest==8.1", "ruff==0.9"])
    );
    let found = requirements(&files, &[], &[]).unwrap();
    assert!(found.is_complete);
    assert_eq!(found.lock_file, Path::new("requirements.lock"));
    assert_eq!(
        found.files,
        [Path::new("uv.lock"), Path::new("pyproject.toml")]
    );
    let boto = found.wanted.iter().find(|it| it.name == "boto3").unwrap();
    assert_eq!(boto.place.to_string(), "uv.lock:6:8");
    let hex = "a".repeat(64);
    assert_eq!(boto.hashes, [format!("sha256:{hex}").parse().unwrap()]);
    // Alone it is read, too; nothing can be compared then.
    assert_eq!(read(&files[..1], &[], &[]), LOCKED_BY_UV);
}

#[test]
fn a_lock_of_uv_that_no_longer_fits_is_told() {
    let lock = uv_lock();
    let of = |project: &str, extras: &[&str], groups: &[&str]| {
        read(
            &[("uv.lock", &lock), ("pyproject.toml", project)],
            extras,
            groups,
        )
    };
    let newer = PROJECT.replace("boto3>=1.34", "boto3>=1.41");
    assert_eq!(
        of(&newer, &[], &[]),
        [
            "E161 pyproject.toml:6:6: `boto3>=1.41` is required, but uv.lock was made for `boto3>=1.34` | run `uv lock`, \
             and commit what it writes"
        ]
    );
    let added = PROJECT.replace("dependencies = [\n", "dependencies = [\n\"attrs\",\n");
    assert!(of(&added, &[], &[])[0].contains("`attrs` is required, but uv.lock does not have it"));
    let removed = PROJECT.replace("    \"boto3>=1.34\",\n", "");
    assert!(
        of(&removed, &[], &[])[0]
            .contains("made for `boto3>=1.34`, which pyproject.toml no longer")
    );
    // What is not chosen may have changed.
    let other = PROJECT
        .replace("jinja2~=3.1", "jinja2>=3.2")
        .replace("pytest>=8", "pytest>=9");
    assert_eq!(of(&other, &[], &[]), LOCKED_BY_UV);
    assert!(of(&other, &["web"], &[])[0].starts_with("E161"));
    assert!(of(&other, &[], &["dev"])[0].starts_with("E161"));
    let newer_format = lock.replace("version = 1\nrevision", "version = 2\nrevision");
    let told = read(&[("uv.lock", &newer_format)], &[], &[]);
    assert!(told[0].starts_with("E162 uv.lock:1:11:"), "{told:?}");
    let told = read(&[("uv.lock", &lock)], &["wbe"], &[]);
    assert!(
        told[0].starts_with("E163 sparkpack.toml:8:1: uv.lock has no extra `wbe`"),
        "{told:?}"
    );
    let git = lock.replace(
        "name = \"six\"\nversion = \"1.17.0\"\nsource = { registry = \"https://index.example/simple\" }",
        "name = \"six\"\nversion = \"1.17.0\"\nsource = { git = \"https://u:canary@git.example/six?rev=v1#0a\" }",
    );
    let told = read(&[("uv.lock", &git)], &[], &[]);
    assert!(told[0].starts_with("E041 uv.lock:"), "{told:?}");
    assert!(!told[0].contains("canary"), "{told:?}");
}

/// Conflicting extras: uv names the chosen ones in markers.
#[test]
fn extras_of_uv_that_exclude_each_other_are_decided() {
    let text = r#"version = 1
requires-python = ">=3.10"

[[package]]
name = "orders"
version = "1"
source = { virtual = "." }

[package.optional-dependencies]
cpu = [
    { name = "lib", version = "1.0", source = { registry = "https://a.example" }, marker = "extra == 'extra-6-orders-cpu'" },
]
gpu = [
    { name = "lib", version = "2.0", source = { registry = "https://a.example" }, marker = "extra == 'extra-6-orders-gpu' and extra != 'extra-6-orders-cpu'" },
]

[[package]]
name = "lib"
version = "1.0"
source = { registry = "https://a.example" }

[[package]]
name = "lib"
version = "2.0"
source = { registry = "https://a.example" }
"#;
    let files = [("uv.lock", text)];
    assert_eq!(read(&files, &[], &[]), [""; 0]);
    assert_eq!(read(&files, &["cpu"], &[]), ["lib==1.0"]);
    assert_eq!(read(&files, &["gpu"], &[]), ["lib==2.0"]);
}

/// Name, version, groups, marker and dependencies.
const PACKAGES: [(&str, &str, &str, &str, &str); 14] = [
    ("awscrt", "0.2", "never", "", ""),
    (
        "boto3",
        "1.40.0",
        "main",
        "",
        "botocore = \"^1.40\"\ncolorama = {version = \"*\", markers = \"sys_platform == \\\"win32\\\"\"}\n",
    ),
    (
        "botocore",
        "1.40.1",
        "main",
        "",
        "python-dateutil = \">=2.1\"\nawscrt = {version = \"*\", optional = true}\n",
    ),
    ("black", "24.1", "dev", "", ""),
    (
        "colorama",
        "0.4",
        "main\", \"dev",
        "sys_platform == \\\"win32\\\"",
        "",
    ),
    (
        "importlib-metadata",
        "9.0",
        "main",
        "python_version < \\\"3.12\\\"",
        "",
    ),
    (
        "jinja2",
        "3.1.6",
        "main",
        "extra == \\\"web\\\"",
        "MarkupSafe = \">=2.0\"\n",
    ),
    ("markupsafe", "3.0.4", "main", "extra == \\\"web\\\"", ""),
    ("pysocks", "1.7.1", "main", "", ""),
    (
        "python-dateutil",
        "2.9.0",
        "main\", \"etl",
        "",
        "six = \">=1.5\"\n",
    ),
    (
        "requests",
        "2.32.0",
        "main",
        "",
        "PySocks = {version = \">=1.5.6\", optional = true, markers = \"extra == \\\"socks\\\"\"}\n",
    ),
    ("six", "1.17.0", "main\", \"etl", "", ""),
    ("tomli", "1.2", "main", "python_version < \\\"3.9\\\"", ""),
    ("tomli", "2.0", "main", "python_version >= \\\"3.9\\\"", ""),
];

/// A lock of Poetry for [`OF_POETRY`], as version 2.1 or as an older one writes it.
fn poetry_lock(has_groups: bool) -> String {
    let mut text = String::from("# generated\n");
    for (name, version, groups, marker, dependencies) in PACKAGES {
        write!(text,
            "\n[[package]]\nname = \"{name}\"\nversion = \"{version}\"\noptional = false\npython-versions = \">=3.8\"\n"
        ).unwrap();
        if has_groups {
            writeln!(text, "groups = [\"{groups}\"]").unwrap();
            if !marker.is_empty() {
                writeln!(text, "markers = \"{marker}\"").unwrap();
            }
        }
        let hash = "b".repeat(64);
        write!(text,
            "files = [\n    {{file = \"{name}-1-py3-none-any.whl\", hash = \"sha256:{hash}\"}},\n]\n"
        ).unwrap();
        if !dependencies.is_empty() {
            write!(text, "\n[package.dependencies]\n{dependencies}").unwrap();
        }
        text += match name {
            "requests" => "\n[package.extras]\nsocks = [\"PySocks (>=1.5.6,!=1.5.7)\"]\n",
            "botocore" => "\n[package.extras]\ncrt = [\"awscrt (>=0.1)\"]\n",
            _ => "",
        };
    }
    let version = if has_groups { "2.1" } else { "2.0" };
    text + &format!(
        "\n[extras]\nweb = [\"jinja2\"]\n\n[metadata]\nlock-version = \"{version}\"\npython-versions = \"^3.10\"\ncontent-hash = \"0\"\n"
    )
}

const LOCKED_BY_POETRY: [&str; 10] = [
    "boto3==1.40.0",
    "botocore==1.40.1",
    "colorama==0.4 ; sys_platform == \"win32\"",
    "importlib-metadata==9.0 ; python_version < \"3.12\"",
    "pysocks==1.7.1",
    "python-dateutil==2.9.0",
    "requests==2.32.0",
    "six==1.17.0",
    "tomli==1.2 ; python_version < \"3.9\"",
    "tomli==2.0 ; python_version >= \"3.9\"",
];

#[test]
fn the_versions_of_poetry_are_taken_for_what_is_chosen() {
    for has_groups in [true, false] {
        let lock = poetry_lock(has_groups);
        let files = [
            ("poetry.lock", lock.as_str()),
            ("pyproject.toml", OF_POETRY),
        ];
        assert_eq!(read(&files, &[], &[]), LOCKED_BY_POETRY, "{has_groups}");
        let with = |more: &[&'static str]| sorted(&LOCKED_BY_POETRY, more);
        let web = ["jinja2==3.1.6", "markupsafe==3.0.4"];
        assert_eq!(read(&files, &["web"], &[]), with(&web), "{has_groups}");
        assert_eq!(
            read(&files, &[], &["dev"]),
            with(&["black==24.1"]),
            "{has_groups}"
        );
        assert_eq!(
            read(&files, &[], &["etl"]),
            LOCKED_BY_POETRY,
            "{has_groups}"
        );
        let newer = OF_POETRY.replace("boto3 = \"^1.34\"", "boto3 = \"^1.50\"\nattrs = \"*\"");
        let files = [files[0], ("pyproject.toml", newer.as_str())];
        let told = read(&files, &[], &[]);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(
            told[0].contains("`attrs` is required, but poetry.lock does not have it"),
            "{told:?}"
        );
        assert_eq!(
            told[1],
            "E161 pyproject.toml:6:1: `boto3<2.0,>=1.50` is required, but poetry.lock has version 1.40.0 | run `poetry \
             lock`, and commit what it writes"
        );
    }
    let (new, old) = (poetry_lock(true), poetry_lock(false));
    // Alone a new lock says everything, and an old one too little.
    assert_eq!(read(&[("poetry.lock", &new)], &[], &[]), LOCKED_BY_POETRY);
    let told = read(&[("poetry.lock", &new)], &["none"], &["docs"]);
    assert_eq!(told.len(), 2, "{told:?}");
    let told = read(&[("poetry.lock", &old)], &[], &[]);
    assert!(
        told[0].starts_with("E162 poetry.lock:1:1: this lock does not say"),
        "{told:?}"
    );
    let told = read(&[("poetry.lock", "[[package]]\n")], &[], &[]);
    assert!(
        told[0].starts_with("E162 poetry.lock:1:1: a lock of Poetry has"),
        "{told:?}"
    );
}

#[test]
fn what_poetry_no_longer_needs_is_told_if_its_hash_says_that_something_changed() {
    let lock = poetry_lock(true);
    let without = OF_POETRY.replace("boto3 = \"^1.34\"\n", "");
    let told = read(
        &[("poetry.lock", &lock), ("pyproject.toml", &without)],
        &[],
        &[],
    );
    assert!(
        told[0].starts_with("E161 poetry.lock:14:8: `boto3` is locked, but"),
        "{told:?}"
    );
    // Poetry's own hash of that text, by version 2.5: a lock that is fresh is believed.
    let hash = "76957bfe066137ce9be0828c68ce98900959bfbb7c7a0a014bfe3797454948a2";
    let fresh = lock.replace(
        "content-hash = \"0\"",
        &format!("content-hash = \"{hash}\""),
    );
    let told = read(
        &[("poetry.lock", &fresh), ("pyproject.toml", &without)],
        &[],
        &[],
    );
    assert_eq!(told, LOCKED_BY_POETRY);
}

const PIPFILE: &str = r#"[[source]]
url = "PUBLIC"
verify_ssl = true
name = "pypi"

[packages]
requests = {version = "~=2.31", extras = ["socks"]}
tomli = {version = "*", markers = "python_version < '3.11'"}
six = "==1.16.0"

[dev-packages]
iniconfig = "*"

[etl]
attrs = ">=23"

[requires]
python_version = "3.11"
"#;

fn pipfile() -> String {
    PIPFILE.replace("PUBLIC", PUBLIC[0])
}

/// What pipenv 2026.6 writes for [`pipfile`], with fewer hashes and packages.
fn pipfile_lock() -> String {
    let hash = format!("\"sha256:{}\"", "c".repeat(64));
    let text = r#"{
    "_meta": {
        "hash": {"sha256": "8b6a258b1fa54ceb766c780bf715e6aa8c307b39f89b8f2d71f40dc212c59ddd"},
        "pipfile-spec": 6,
        "requires": {"python_version": "3.11"},
        "sources": [{"name": "pypi", "url": "PUBLIC", "verify_ssl": true}]
    },
    "default": {
        "pysocks": {"hashes": [HASH], "markers": "python_version >= '2.7' and python_version != '3.0'", "version": "==1.7.1"},
        "requests": {"extras": ["socks"], "hashes": [HASH], "markers": "python_version >= '3.10'", "version": "==2.34.2"},
        "six": {"hashes": [HASH], "index": "pypi", "version": "==1.16.0"},
        "tomli": {"markers": "python_version < '3.11'", "version": "*"}
    },
    "develop": {
        "iniconfig": {"hashes": [HASH], "index": "pypi", "version": "==2.3.1"}
    },
    "etl": {
        "attrs": {"hashes": [HASH], "index": "pypi", "version": "==26.1.0"}
    }
}
"#;
    text.replace("HASH", &hash).replace("PUBLIC", PUBLIC[0])
}

#[test]
fn the_versions_of_pipenv_are_taken_for_what_is_chosen() {
    let lock = pipfile_lock();
    let pipfile = pipfile();
    let files = [("Pipfile.lock", lock.as_str()), ("Pipfile", &pipfile)];
    let own = [
        "pysocks==1.7.1 ; python_version != \"3.0\" and python_version >= \"2.7\"",
        "requests==2.34.2 ; python_version >= \"3.10\"",
        "six==1.16.0",
        "tomli ; python_version < \"3.11\"",
    ];
    assert_eq!(read(&files, &[], &[]), own);
    for (group, more) in [("dev", "iniconfig==2.3.1"), ("ETL", "attrs==26.1.0")] {
        let told = read(&files, &[], &[group]);
        assert_eq!(told.len(), own.len() + 1, "{told:?}");
        assert!(told.contains(&more.to_owned()), "{told:?}");
    }
    let found = requirements(&files, &[], &[]).unwrap();
    let python = found.python.unwrap();
    assert!(python.allows((3, 11)) && !python.allows((3, 12)));
    assert_eq!(found.wanted[2].place.to_string(), "Pipfile.lock:11:10");
    // The hash says that nothing changed, so that nothing is compared.
    let odd = lock.replace("==1.16.0", "==1.15.0");
    assert!(read(&[("Pipfile.lock", &odd), files[1]], &[], &[])[2].contains("1.15.0"));
}

#[test]
fn a_lock_of_pipenv_that_no_longer_fits_is_told() {
    let lock = pipfile_lock();
    let of = |pipfile: &str, groups: &[&str]| {
        read(
            &[("Pipfile.lock", &lock), ("Pipfile", pipfile)],
            &[],
            groups,
        )
    };
    let newer = pipfile().replace("==1.16.0", ">=1.17");
    assert_eq!(
        of(&newer, &[]),
        [
            "E161 Pipfile:9:1: `six>=1.17` is required, but Pipfile.lock has version 1.16.0 | run `pipenv lock`, and commit \
             what it writes"
        ]
    );
    let added = pipfile().replace("[packages]\n", "[packages]\nboto3 = \"*\"\n");
    assert!(of(&added, &[])[0].contains("`boto3` is required, but Pipfile.lock does not have it"));
    let removed = pipfile().replace("six = \"==1.16.0\"\n", "");
    assert!(of(&removed, &[])[0].starts_with("E161 Pipfile.lock:11:10: `six` is locked"));
    // What is not chosen may have changed.
    let dev = pipfile().replace("iniconfig = \"*\"", "pytest = \"*\"");
    assert_eq!(of(&dev, &[]).len(), 4);
    assert!(of(&dev, &["dev"])[0].contains("`pytest` is required"));
    let told = read(&[("Pipfile.lock", "{\n  \"default\": {,}\n}")], &[], &[]);
    assert!(
        told[0].starts_with("E162 Pipfile.lock:2:15: the file is no JSON"),
        "{told:?}"
    );
    let told = read(&[("Pipfile.lock", "{}")], &[], &[]);
    assert!(
        told[0].starts_with("E162 Pipfile.lock:1:1: a lock of pipenv has"),
        "{told:?}"
    );
    let told = of(&pipfile(), &["docs"]);
    assert!(
        told[0].starts_with("E163 sparkpack.toml:9:1: Pipfile.lock has no group `docs`"),
        "{told:?}"
    );
}

fn pylock() -> String {
    let hash = "d".repeat(64);
    format!(
        r#"lock-version = "1.0"
requires-python = ">=3.10"
extras = ["web"]
dependency-groups = ["dev"]
default-groups = ["main"]
created-by = "hand"

[[packages]]
name = "six"
version = "1.17.0"
wheels = [
    {{ name = "six-1.17.0-py2.py3-none-any.whl", url = "https://f.example/six.whl", hashes = {{ sha256 = "{hash}" }} }},
]

[[packages]]
name = "jinja2"
version = "3.1.6"
marker = "'web' in extras and python_version >= '3.8'"

[[packages]]
name = "pytest"
version = "8.0"
marker = "'dev' in dependency_groups or 'test' in dependency_groups"

[[packages]]
name = "attrs"
version = "26.1.0"
marker = "'main' in dependency_groups"

[[packages]]
name = "orders"
directory = {{ path = ".", editable = true }}
"#
    )
}

#[test]
fn a_pylock_is_read_for_what_is_chosen() {
    let text = pylock();
    let hash = "d".repeat(64);
    let files = [("pylock.toml", text.as_str())];
    assert_eq!(read(&files, &[], &[]), ["attrs==26.1.0", "six==1.17.0"]);
    assert_eq!(
        read(&files, &["web"], &["dev"]),
        [
            "attrs==26.1.0",
            "jinja2==3.1.6 ; python_version >= \"3.8\"",
            "pytest==8.0",
            "six==1.17.0"
        ]
    );
    let found = requirements(&files, &[], &[]).unwrap();
    let six = found.wanted.iter().find(|it| it.name == "six").unwrap();
    assert_eq!(six.hashes, [format!("sha256:{hash}").parse().unwrap()]);
    for (old, new, wanted) in [
        (
            "lock-version = \"1.0\"",
            "lock-version = \"2.0\"",
            "E162 pylock.toml:1:16: a pylock.toml has",
        ),
        (
            "'web' in extras",
            "'web' in extra_names",
            "E047 pylock.toml:18:10: `extra_names` has no meaning",
        ),
        (
            "directory = { path = \".\", editable = true }",
            "vcs = { url = \"https://u:canary@h.example/x\" }",
            "E041 pylock.toml:31:8: `orders from https://***@h",
        ),
        (
            "name = \"attrs\"\nversion = \"26.1.0\"",
            "name = \"attrs\"",
            "E162 pylock.toml:26:8: `attrs` has no version",
        ),
    ] {
        let told = read(&[("pylock.toml", &text.replace(old, new))], &[], &[]);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with(wanted), "{told:?}");
    }
    let told = read(&files, &["wbe"], &["main"]);
    assert_eq!(
        told,
        ["E163 sparkpack.toml:8:1: pylock.toml has no extra `wbe` | did you mean `web`?"]
    );
}

#[test]
fn a_file_of_another_kind_is_one_error() {
    let lock = poetry_lock(true);
    for (name, text) in [
        ("setup.py", "from setuptools import setup\n"),
        ("environment.yml", "dependencies:\n  - numpy\n"),
        ("Pipfile", &pipfile()),
        ("requirements.txt", &lock),
        ("requirements.in", "{\"default\": {}}\n"),
        ("reqs.txt", "PK\u{3}\u{4}nonsense\n"),
        ("pdm.lock", "[[package]]\n"),
        ("requirements.lock", "six\n"),
    ] {
        let told = read(&[(name, text)], &[], &[]);
        assert_eq!(told.len(), 1, "{name}: {told:?}");
        assert!(told[0].starts_with(&format!("E160 {name}:")), "{told:?}");
        assert!(
            told[0].contains("uv.lock, poetry.lock, Pipfile.lock or pylock.toml"),
            "{told:?}"
        );
    }
}

#[test]
fn another_tools_file_has_its_lock_beside_it() {
    let mut file = RequirementsFile::of("jobs/a/uv.lock");
    assert_eq!(file.lock_file(), Path::new("jobs/a/requirements.lock"));
    for (list, name) in [(true, "Web"), (false, "etl_jobs")] {
        let choice = Choice {
            name: name.to_owned(),
            place: Place::of_line("sparkpack.toml", 1),
        };
        let choices = if list {
            &mut file.extras
        } else {
            &mut file.groups
        };
        choices.push(choice);
    }
    assert_eq!(
        file.lock_file(),
        Path::new("jobs/a/requirements-etl-jobs-web.lock")
    );
    let lines = RequirementsFile::of("jobs/a/requirements-x.txt");
    assert_eq!(lines.lock_file(), Path::new("jobs/a/requirements-x.lock"));
}

const INDEXES: &str = r#"[project]
name = "orders"
dependencies = ["six", "own-lib>=1", "far-lib"]

[tool.uv.sources]
own_lib = { index = "Own" }

[[tool.uv.index]]
name = "own"
url = "https://${IDX_USER}:${IDX_PASS}@own.example/simple"
explicit = true

[[tool.uv.index]]
name = "main"
url = "https://main.example/simple"
default = true

[[tool.uv.index]]
url = "https://more.example/simple"
"#;

#[test]
fn indexes_of_uv_are_read() {
    let file = [("pyproject.toml", INDEXES)];
    let found = requirements(&file, &[], &[]).unwrap();
    let of = |name: &str| {
        let mut wanted = found.wanted.iter();
        wanted.find(|it| it.name == name).unwrap().index.clone()
    };
    assert_eq!((of("own-lib").as_deref(), of("six")), (Some("own"), None));
    let origins = &found.origins;
    assert_eq!(
        origins.main.as_ref().unwrap().url,
        "https://main.example/simple"
    );
    let others: Vec<(&str, bool)> = origins
        .others
        .iter()
        .map(|index| (index.name.as_str(), index.is_explicit))
        .collect();
    assert_eq!(others, [("own", true), ("index-2", false)]);
    // A secret is no input, but where a package comes from is.
    let other = INDEXES.replace("index = \"Own\"", "index = \"main\"");
    let other = requirements(&[("pyproject.toml", &other)], &[], &[]).unwrap();
    assert_ne!(found.digest(&[]), other.digest(&[]));
    for (old, new, wanted) in [
        (
            "\"Own\"",
            "\"owm\"",
            "E170 pyproject.toml:6:1: there is no index `owm` | did you mean `own`?",
        ),
        (
            "${IDX_PASS}",
            "canary",
            "E042 pyproject.toml:10:8: `https://***@own.example/simple`",
        ),
        (
            "{ index = \"Own\" }",
            "{ git = \"https://u:canary@h.example/x\" }",
            "E042 pyproject.toml:5:1: `git+https://***@h.example/x` holds a user",
        ),
        (
            "{ index = \"Own\" }",
            "[{ index = \"own\" }, { index = \"main\" }]",
            "E170 pyproject.toml:6:1: `own-lib` comes from several",
        ),
    ] {
        let told = read(&[("pyproject.toml", &INDEXES.replace(old, new))], &[], &[]);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with(wanted), "{told:?}");
    }
}

#[test]
fn indexes_of_poetry_are_read() {
    let poetry = r#"[tool.poetry.dependencies]
six = "*"
own-lib = { version = "^1", source = "own" }
public = { version = "^1", source = "PyPI" }

[[tool.poetry.source]]
name = "mirror"
url = "https://mirror.example/simple"

[[tool.poetry.source]]
name = "own"
url = "https://own.example/simple"
priority = "explicit"

[[tool.poetry.source]]
name = "more"
url = "https://more.example/simple"
priority = "supplemental"
"#;
    let found = requirements(&[("pyproject.toml", poetry)], &[], &[]).unwrap();
    assert_eq!(found.wanted[0].index.as_deref(), Some("own"));
    assert_eq!(found.origins.main.unwrap().name, "mirror");
    assert_eq!(found.origins.others.len(), 2);
}

#[test]
fn locks_of_other_tools_say_from_which_index_a_package_came() {
    let public = uv_lock().replace("https://index.example/simple", PUBLIC[0]);
    let found = requirements(&[("uv.lock", &public)], &[], &[]).unwrap();
    assert_eq!(found.origins, PackageOrigins::default());
    let own = public.replacen(PUBLIC[0], "https://own.example/simple/", 1);
    let found = requirements(&[("uv.lock", &own)], &[], &[]).unwrap();
    let boto = found.wanted.iter().find(|it| it.name == "boto3").unwrap();
    assert_eq!(boto.index.as_deref(), Some("index-1"));
    assert_eq!(found.origins.others[0].url, "https://own.example/simple/");
    // Named where the project names it, so that variables can hold a password.
    let project = format!(
        "{PROJECT}\n[[tool.uv.index]]\nname = \"team\"\nurl = \"https://own.example/simple\"\nexplicit = true\n"
    );
    let files = [("uv.lock", own.as_str()), ("pyproject.toml", &project)];
    let found = requirements(&files, &[], &[]).unwrap();
    let boto = found.wanted.iter().find(|it| it.name == "boto3").unwrap();
    assert_eq!(boto.index.as_deref(), Some("team"));
    let lock = poetry_lock(true).replacen(
        "\n[package.dependencies]",
        "\n[package.source]\ntype = \"legacy\"\nurl = \"https://own.example/simple\"\nreference = \"own\"\n\n[package.dependencies]",
        1,
    );
    let found = requirements(&[("poetry.lock", &lock)], &[], &[]).unwrap();
    assert_eq!(
        found.origins.named("own").unwrap().url,
        "https://own.example/simple"
    );
    let sources = r#"{"name": "pypi", "url": "PUBLIC"}, {"name": "own", "url": "https://u:${PW}@own.example"}"#;
    let sources = &sources.replace("PUBLIC", PUBLIC[0]);
    let usual = r#"{"name": "pypi", "url": "PUBLIC", "verify_ssl": true}"#;
    let lock = pipfile_lock()
        .replace(&usual.replace("PUBLIC", PUBLIC[0]), sources)
        .replace(
            "\"index\": \"pypi\", \"version\": \"==1.16.0\"",
            "\"index\": \"own\", \"version\": \"==1.16.0\"",
        );
    let found = requirements(&[("Pipfile.lock", &lock)], &[], &[]).unwrap();
    let six = found.wanted.iter().find(|it| it.name == "six").unwrap();
    assert_eq!(
        (six.index.as_deref(), found.origins.others.len()),
        (Some("own"), 1)
    );
    let told = read(
        &[("Pipfile.lock", &lock.replace("${PW}", "canary"))],
        &[],
        &[],
    );
    assert!(told[0].starts_with("E042 Pipfile.lock:6:"), "{told:?}");
    assert!(!told[0].contains("canary"), "{told:?}");
}

/// The sources that a file names, if `lib` may be built.
fn sources(files: &[(&str, &str)]) -> Result<Vec<FilePlace>, Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs_err::write(folder.path().join(name), text).unwrap();
    }
    let file = RequirementsFile {
        from_source: vec![Choice {
            name: "Lib".to_owned(),
            place: Place::of_line("sparkpack.toml", 9),
        }],
        ..RequirementsFile::of(files[0].0)
    };
    let found = Requirements::choose(folder.path(), &file).map_err(|defects| {
        let told = defects
            .iter()
            .map(|defect| format!("{} {defect}", defect.code));
        told.collect::<Vec<_>>()
    })?;
    let wanted = found.wanted.into_iter().filter(|it| it.name == "lib");
    Ok(wanted.filter_map(|it| it.direct).collect())
}

#[test]
fn every_file_may_name_a_commit_that_is_allowed() {
    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
    let place = |revision: &str, folder: Option<&str>| {
        FilePlace::Git(GitPlace {
            repository: "https://git.example/lib.git".to_owned(),
            revision: Some(revision.to_owned()),
            subdirectory: folder.map(str::to_owned),
        })
    };
    let locked = |text: &str| text.replace("COMMIT", COMMIT);
    let uv_project = "[project]\nname = \"x\"\nversion = \"1\"\ndependencies = [\"lib\"]\n[tool.uv.sources]\nlib = { git = \"https://git.example/lib.git\", tag = \"v1\", subdirectory = \"py\" }\n";
    let uv_lock = locked(
        "version = 1\n[[package]]\nname = \"lib\"\nversion = \"1.0\"\nsource = { git = \"https://git.example/lib.git?subdirectory=py&tag=v1#COMMIT\" }\n\
         [[package]]\nname = \"x\"\nversion = \"1\"\nsource = { virtual = \".\" }\ndependencies = [{ name = \"lib\" }]\n\
         [package.metadata]\nrequires-dist = [{ name = \"lib\", git = \"https://git.example/lib.git?subdirectory=py&tag=v1\" }]\n",
    );
    let poetry = "[tool.poetry.dependencies]\npython = \"^3.9\"\nlib = { git = \"https://git.example/lib.git\", branch = \"main\" }\n";
    let pylock = locked(
        "lock-version = \"1.0\"\ncreated-by = \"x\"\n[[packages]]\nname = \"lib\"\nvcs = { type = \"git\", url = \"https://git.example/lib.git\", commit-id = \"COMMIT\", subdirectory = \"py\" }\n",
    );
    let pipfile = locked(
        "{\"_meta\": {\"hash\": {\"sha256\": \"0\"}, \"pipfile-spec\": 6}, \"default\": {\"lib\": {\"git\": \"https://git.example/lib.git\", \"ref\": \"COMMIT\"}}, \"develop\": {}}",
    );
    for (files, wanted) in [
        (
            vec![(
                "requirements.txt",
                "lib @ git+https://git.example/lib.git@v1#subdirectory=py\n",
            )],
            place("v1", Some("py")),
        ),
        (
            vec![("pyproject.toml", uv_project)],
            place("v1", Some("py")),
        ),
        (
            vec![("uv.lock", &*uv_lock), ("pyproject.toml", uv_project)],
            place(COMMIT, Some("py")),
        ),
        (vec![("pyproject.toml", poetry)], place("main", None)),
        (vec![("pylock.toml", &pylock)], place(COMMIT, Some("py"))),
        (vec![("Pipfile.lock", &pipfile)], place(COMMIT, None)),
    ] {
        assert_eq!(sources(&files), Ok(vec![wanted]), "{files:?}");
        let refused = read(&files, &[], &[]).join("\n");
        assert!(
            refused.starts_with("E041") && refused.contains("from-source = [\"lib\"]"),
            "{refused}"
        );
    }
}

#[test]
fn a_source_distribution_is_known_by_its_digest() {
    let sha256 = "0".repeat(64);
    let url = "https://h.example/lib-1.0.tar.gz";
    let line = format!("{url}#sha256={sha256}\n");
    assert_eq!(
        sources(&[("requirements.txt", &line)]),
        Ok(vec![FilePlace::Url(url.to_owned())])
    );
    let told = sources(&[("requirements.txt", &format!("{url}\n"))]).unwrap_err();
    assert!(told[0].starts_with("E168 requirements.txt:1:1"), "{told:?}");
    let told = sources(&[("requirements.txt", "./lib-1.0.tar.gz\n")]).unwrap_err();
    assert!(told[0].starts_with("E169 requirements.txt:1:1"), "{told:?}");
    let found = sources(&[
        ("requirements.txt", "./lib-1.0.tar.gz\n"),
        ("lib-1.0.tar.gz", "x"),
    ]);
    assert!(matches!(&found.unwrap()[..], [FilePlace::File(path)] if path.is_absolute()));
}
