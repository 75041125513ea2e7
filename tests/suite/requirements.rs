//! What people have as requirements: their own files and the locks of their tools, against an index of tiny wheels.

use std::fmt::Write as _;

use sparkpack::image::Digest;

use crate::support::{Index, TestProject};

/// An index whose newest versions are newer than those that every lock here has chosen.
fn index() -> Index {
    let index = Index::new();
    for stem in [
        "spk_app-1.0-py3-none-any",
        "spk_app-2.0-py3-none-any",
        "spk_dep-1.0-py3-none-any",
        "spk_dep-1.5-py3-none-any",
        "spk_dep-1.5-1-py3-none-any",
        "spk_test-1.0-py3-none-any",
        "spk_web-1.0-py3-none-any",
        "spk_win-1.0-py3-none-any",
    ] {
        let requires: &[&str] = if stem.starts_with("spk_app") {
            &["spk-dep>=1"]
        } else {
            &[]
        };
        index.add(stem, requires);
    }
    index
}

const PYPROJECT: &str = r#"[project]
name = "orders"
version = "1"
requires-python = ">=3.10"
dependencies = ["spk-app>=1", "spk-win ; sys_platform == 'win32'"]

[project.optional-dependencies]
web = ["spk-web"]

[dependency-groups]
dev = ["spk-test"]
"#;

const OF_POETRY: &str = r#"[tool.poetry]
name = "orders"

[tool.poetry.dependencies]
python = "^3.10"
spk-app = ">=1"
spk-win = { version = "*", platform = "win32" }
spk-web = { version = "^1", optional = true }

[tool.poetry.extras]
web = ["spk-web"]

[tool.poetry.group.dev.dependencies]
spk-test = "^1"
"#;

const PIPFILE: &str =
    "[packages]\nspk-app = \">=1\"\n\n[dev-packages]\nspk-test = \"*\"\n\n[web]\nspk-web = \"*\"\n";

/// The packages of each lock: name, version, the digests of its files, marker, extra or group.
fn packages(index: &Index) -> [(&'static str, &'static str, Vec<Digest>, &'static str); 5] {
    let of = |stem: &str| index.digest(&format!("{stem}-py3-none-any"));
    [
        ("spk-app", "1.0", vec![of("spk_app-1.0")], ""),
        ("spk-dep", "1.5", vec![of("spk_dep-1.5")], ""),
        ("spk-test", "1.0", vec![of("spk_test-1.0")], "dev"),
        ("spk-web", "1.0", vec![of("spk_web-1.0")], "web"),
        (
            "spk-win",
            "1.0",
            vec![of("spk_win-1.0")],
            "sys_platform == 'win32'",
        ),
    ]
}

fn uv_lock(index: &Index) -> String {
    let mut text = String::from("version = 1\nrequires-python = \">=3.10\"\n");
    for (name, version, digests, _) in packages(index) {
        write!(text,
            "\n[[package]]\nname = \"{name}\"\nversion = \"{version}\"\nsource = {{ registry = \"https://i.example\" }}\n"
        ).unwrap();
        if name == "spk-app" {
            text += "dependencies = [{ name = \"spk-dep\" }]\n";
        }
        for digest in digests {
            writeln!(
                text,
                "wheels = [{{ url = \"https://i.example/x.whl\", hash = \"{digest}\" }}]"
            )
            .unwrap();
        }
    }
    text + r#"
[[package]]
name = "orders"
version = "1"
source = { virtual = "." }
dependencies = [
    { name = "spk-app" },
    { name = "spk-win", marker = "sys_platform == 'win32'" },
]

[package.optional-dependencies]
web = [{ name = "spk-web" }]

[package.dev-dependencies]
dev = [{ name = "spk-test" }]

[package.metadata]
requires-dist = [
    { name = "spk-app", specifier = ">=1" },
    { name = "spk-web", marker = "extra == 'web'" },
    { name = "spk-win", marker = "sys_platform == 'win32'" },
]

[package.metadata.requires-dev]
dev = [{ name = "spk-test" }]
"#
}

fn poetry_lock(index: &Index) -> String {
    let mut text = String::new();
    for (name, version, digests, when) in packages(index) {
        let group = if when == "dev" { "dev" } else { "main" };
        let marker = match when {
            "" | "dev" => String::new(),
            "web" => "markers = \"extra == \\\"web\\\"\"\n".to_owned(),
            when => format!("markers = \"{when}\"\n"),
        };
        write!(text,
            "[[package]]\nname = \"{name}\"\nversion = \"{version}\"\noptional = {}\ngroups = [\"{group}\"]\n{marker}files = [\n",
            when == "web"
        ).unwrap();
        for digest in digests {
            writeln!(
                text,
                "    {{file = \"x-1-py3-none-any.whl\", hash = \"{digest}\"}},"
            )
            .unwrap();
        }
        text += "]\n\n";
        if name == "spk-app" {
            text += "[package.dependencies]\nspk-dep = \">=1\"\n\n";
        }
    }
    text + "[extras]\nweb = [\"spk-web\"]\n\n[metadata]\nlock-version = \"2.1\"\npython-versions = \"^3.10\"\ncontent-hash = \"\"\n"
}

fn pipfile_lock(index: &Index) -> String {
    let category = |wanted: &[&str]| {
        let packages = packages(index)
            .into_iter()
            .filter(|(name, ..)| wanted.contains(name));
        let lines: Vec<String> = packages
            .map(|(name, version, digests, when)| {
                let hashes: Vec<String> = digests
                    .iter()
                    .map(|digest| format!("\"{digest}\""))
                    .collect();
                let marker = if when.contains("==") {
                    format!(", \"markers\": \"{when}\"")
                } else {
                    String::new()
                };
                format!(
                    "    \"{name}\": {{\"hashes\": [{}], \"version\": \"=={version}\"{marker}}}",
                    hashes.join(", ")
                )
            })
            .collect();
        lines.join(",\n")
    };
    format!(
        "{{\n  \"_meta\": {{\"requires\": {{\"python_version\": \"3.11\"}}}},\n  \"default\": {{\n{}\n  }},\n  \"develop\": {{\n{}\n  }},\n  \"web\": {{\n{}\n  }}\n}}\n",
        category(&["spk-app", "spk-dep", "spk-win"]),
        category(&["spk-test"]),
        category(&["spk-web"])
    )
}

fn pylock(index: &Index) -> String {
    let mut text = String::from(
        "lock-version = \"1.0\"\nrequires-python = \">=3.10\"\nextras = [\"web\"]\ndependency-groups = [\"dev\"]\n",
    );
    for (name, version, digests, when) in packages(index) {
        let marker = match when {
            "" => String::new(),
            "dev" => "marker = \"'dev' in dependency_groups\"\n".to_owned(),
            "web" => "marker = \"'web' in extras\"\n".to_owned(),
            when => format!("marker = \"{when}\"\n"),
        };
        write!(
            text,
            "\n[[packages]]\nname = \"{name}\"\nversion = \"{version}\"\n{marker}"
        )
        .unwrap();
        for digest in digests {
            writeln!(text,
                "wheels = [{{ url = \"https://i.example/x.whl\", hashes = {{ sha256 = \"{}\" }} }}]",
                digest.hex()
            ).unwrap();
        }
    }
    text
}

/// The packages in a lock.
fn locked(project: &TestProject, file: &str) -> Vec<String> {
    let text = project.read(file);
    let lines = text.lines().filter(|line| line.contains("=="));
    lines
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.trim_end_matches(" \\").to_owned())
        .collect()
}

#[test]
fn a_lock_of_another_tool_decides_the_versions_and_files() {
    let index = index();
    let kinds = [
        ("uv.lock", uv_lock(&index), ("pyproject.toml", PYPROJECT)),
        (
            "poetry.lock",
            poetry_lock(&index),
            ("pyproject.toml", OF_POETRY),
        ),
        ("Pipfile.lock", pipfile_lock(&index), ("Pipfile", PIPFILE)),
        ("pylock.toml", pylock(&index), ("README.md", "")),
    ];
    for (file, text, (beside, of_project)) in kinds {
        let both = ["uv", "pip"].map(|installer| {
            let project = TestProject::with_index(&index, installer, file, "");
            project.write(file, &text);
            project.write(beside, of_project);
            project.succeed(&["package"]);
            assert_eq!(
                locked(&project, "requirements.lock"),
                ["spk-app==1.0", "spk-dep==1.5"],
                "{file}"
            );
            let lock = project.read("requirements.lock");
            // Of two files of one version only one has an allowed hash.
            assert!(lock.contains("# spk_dep-1.5-py3-none-any.whl"), "{lock}");
            // Nothing is asked again.
            let asked = index.asked();
            project.succeed(&["package", "--locked", "--offline"]);
            assert_eq!(index.asked(), asked);
            lock
        });
        assert_eq!(both[0], both[1], "{file}");
        let chosen = match file {
            "Pipfile.lock" => "groups = [\"dev\", \"web\"]\n",
            _ => "extras = [\"web\"]\ngroups = [\"dev\"]\n",
        };
        let project = TestProject::with_index(&index, "uv", file, chosen);
        project.write(file, &text);
        project.write(beside, of_project);
        project.succeed(&["package"]);
        assert_eq!(
            locked(&project, "requirements-dev-web.lock"),
            [
                "spk-app==1.0",
                "spk-dep==1.5",
                "spk-test==1.0",
                "spk-web==1.0"
            ],
            "{file}"
        );
    }
}

#[test]
fn a_project_requires_the_newest_that_it_allows() {
    let index = index();
    for (text, more) in [
        (PYPROJECT, ""),
        (OF_POETRY, ""),
        (PYPROJECT, "extras = [\"web\"]\n"),
    ] {
        let both = ["uv", "pip"].map(|installer| {
            let project = TestProject::with_index(&index, installer, "pyproject.toml", more);
            project.write("pyproject.toml", text);
            project.succeed(&["package"]);
            let name = if more.is_empty() {
                "requirements.lock"
            } else {
                "requirements-web.lock"
            };
            locked(&project, name)
        });
        assert_eq!(both[0], both[1]);
        let web: &[&str] = if more.is_empty() {
            &[]
        } else {
            &["spk-web==1.0"]
        };
        let wanted = [&["spk-app==2.0", "spk-dep==1.5"][..], web].concat();
        assert_eq!(both[0], wanted, "{more}");
    }
}

/// Each is told before an index is asked, and nothing is written.
#[test]
fn what_does_not_fit_is_told_before_an_index_is_asked() {
    let index = index();
    let asked = index.asked();
    let failure = |file: &str, text: &str, beside: (&str, &str), more: &str| {
        let project = TestProject::with_index(&index, "uv", file, more);
        project.write(file, text);
        project.write(beside.0, beside.1);
        let before = project.files();
        let failure = project.failure(&["package"]);
        assert_eq!(project.files(), before, "{failure}");
        format!("# {file}\n{failure}")
    };
    let none = ("README.md", "");
    let newer = PYPROJECT.replace("spk-app>=1", "spk-app>=2");
    let poetry = OF_POETRY.replace("spk-app = \">=1\"", "spk-app = \"^2\"");
    let pipfile = PIPFILE.replace("spk-app = \">=1\"", "spk-app = \"==2.0\"");
    let other_python = PYPROJECT.replace(">=3.10", ">=3.12");
    let failures = [
        failure("uv.lock", &uv_lock(&index), ("pyproject.toml", &newer), ""),
        failure(
            "poetry.lock",
            &poetry_lock(&index),
            ("pyproject.toml", &poetry),
            "",
        ),
        failure(
            "Pipfile.lock",
            &pipfile_lock(&index),
            ("Pipfile", &pipfile),
            "",
        ),
        failure("pyproject.toml", &other_python, none, ""),
        failure("pyproject.toml", PYPROJECT, none, "extras = [\"wep\"]\n"),
        failure("requirements.txt", &poetry_lock(&index), none, ""),
        failure("setup.py", "import setuptools\n", none, ""),
        failure("requirements.txt", "six\n", none, "groups = [\"dev\"]\n"),
    ];
    assert_eq!(index.asked(), asked);
    insta::assert_snapshot!(failures.join("\n"));
}

/// A wheel that the lock does not know is not taken, whatever its version.
#[test]
fn a_file_that_the_lock_does_not_know_is_not_taken() {
    let index = index();
    let known = index.digest("spk_app-1.0-py3-none-any").to_string();
    let other = format!("sha256:{}", "0".repeat(64));
    for installer in ["uv", "pip"] {
        let project = TestProject::with_index(&index, installer, "uv.lock", "");
        project.write("uv.lock", &uv_lock(&index).replace(&known, &other));
        let failure = project.failure(&["package"]);
        assert!(
            failure.contains(&other) && failure.contains("spk"),
            "{failure}"
        );
        assert!(!project.root().join("requirements.lock").exists());
    }
}

/// A project without a mirror, so that the indexes of its own files count.
fn without_mirror(index: &Index, installer: &str, requirements: &str) -> TestProject {
    let project = TestProject::with_index(index, installer, requirements, "");
    let mirror = format!("[mirrors]\npython = \"{}\"\n", index.url);
    project.edit("sparkpack.toml", &mirror, "");
    project
}

/// `127.0.0.1:PORT` of an index.
fn host(index: &Index) -> String {
    let rest = index.url.trim_start_matches("http://");
    rest.split('/').next().unwrap().to_owned()
}

#[test]
fn variables_in_the_url_of_an_index_are_expanded_and_never_shown() {
    let index = index();
    for installer in ["uv", "pip"] {
        let text = "--index-url http://team:${IDX_PASS}@${IDX_HOST}/simple\nspk-app==1.0\n";
        let project = without_mirror(&index, installer, "requirements.txt")
            .with_variable("IDX_HOST", &host(&index))
            .with_variable("IDX_PASS", "canary-word");
        project.write("requirements.txt", text);
        let run = project.succeed(&["package", "-v"]);
        let lock = project.read("requirements.lock");
        assert_eq!(
            locked(&project, "requirements.lock"),
            ["spk-app==1.0", "spk-dep==1.5"]
        );
        for told in [&run.stdout, &run.stderr, &lock] {
            assert!(
                !told.contains("canary") && !told.contains(&host(&index)),
                "{told}"
            );
        }
        // What the variables hold is no input: with others, and without any, the same is locked.
        let project = project.with_variable("IDX_HOST", "elsewhere.example");
        project.succeed(&["package", "--locked"]);
        assert_eq!(project.read("requirements.lock"), lock);
        // Nobody answers, and what the installer says is told without the values.
        project.write("requirements.txt", &text.replace("1.0", "2.0"));
        let project = project.with_variable("IDX_HOST", "127.0.0.1:9");
        let failure = project.failure(&["package"]);
        assert!(failure.contains("error[E708]"), "{failure}");
        assert!(
            !failure.contains("canary") && !failure.contains("127.0.0.1:9"),
            "{failure}"
        );
    }
}

#[test]
fn a_variable_that_is_not_set_is_named() {
    let index = index();
    let project = without_mirror(&index, "uv", "requirements.txt");
    let failure = |text: &str| {
        project.write("requirements.txt", text);
        let before = project.files();
        let failure = project.failure(&["package"]);
        assert_eq!(project.files(), before, "{failure}");
        failure
    };
    let failures = [
        "--index-url https://${IDX_HOST}/simple\nsix==1.16.0\n",
        "six\n-i https://${IDX_USER}:${IDX_PASS}@127.0.0.1:9/simple\n",
        "--index-url https://${IDX_USER}:canary@h.example/simple\nsix\n",
        "six==${SIX_VERSION}\n-r ${FOLDER}/more.txt\n",
    ]
    .map(failure);
    assert_eq!(index.asked(), 0);
    insta::assert_snapshot!(failures.join("\n"));
    // A mirror stands for every index, so that no variable is needed.
    let mirrored = TestProject::with_index(&index, "uv", "requirements.txt", "");
    mirrored.write(
        "requirements.txt",
        "--index-url https://${IDX_HOST}/simple\nspk-dep==1.0\n",
    );
    mirrored.succeed(&["package"]);
}

/// The same name on two indexes: only the one that the project names for it is asked.
#[test]
fn a_package_comes_from_the_index_that_is_named_for_it() {
    let (main, own) = (index(), Index::new());
    own.add("spk_dep-0.5-py3-none-any", &[]);
    own.add("spk_web-7.0-py3-none-any", &[]);
    let text = format!(
        "[project]\nname = \"x\"\ndependencies = [\"spk-dep\", \"spk-web\"]\n\n[tool.uv.sources]\nspk-dep = {{ index = \"own\" }}\n\n\
         [[tool.uv.index]]\nname = \"own\"\nurl = \"http://${{OWN_HOST}}/simple\"\nexplicit = true\n\n\
         [[tool.uv.index]]\nname = \"main\"\nurl = \"{}\"\ndefault = true\n",
        main.url
    );
    let project =
        without_mirror(&main, "uv", "pyproject.toml").with_variable("OWN_HOST", &host(&own));
    project.write("pyproject.toml", &text);
    project.succeed(&["package"]);
    assert_eq!(
        locked(&project, "requirements.lock"),
        ["spk-dep==0.5", "spk-web==1.0"]
    );
    let project =
        without_mirror(&main, "pip", "pyproject.toml").with_variable("OWN_HOST", &host(&own));
    project.write("pyproject.toml", &text);
    let failure = project.failure(&["package"]);
    assert!(
        failure.contains(
            "error[E171]: pyproject.toml:3:18: `spk-dep` may come from the index `own` only"
        ),
        "{failure}"
    );
}

/// A lock says from which index each file came, and its hashes which file it is.
#[test]
fn a_lock_with_several_indexes_is_installed_by_both() {
    let (main, own) = (index(), Index::new());
    own.add("spk_own-1.0-py3-none-any", &[]);
    let digest = own.digest("spk_own-1.0-py3-none-any");
    let text = uv_lock(&main)
        .replace("https://i.example", &main.url)
        .replace(
            "{ name = \"spk-dep\" }",
            "{ name = \"spk-dep\" }, { name = \"spk-own\" }",
        )
        + &format!(
            "\n[[package]]\nname = \"spk-own\"\nversion = \"1.0\"\nsource = {{ registry = \"{}\" }}\n\
             wheels = [{{ url = \"x\", hash = \"{digest}\" }}]\n",
            own.url
        );
    for installer in ["uv", "pip"] {
        let project = without_mirror(&main, installer, "uv.lock");
        project.write("uv.lock", &text);
        project.succeed(&["package"]);
        let wanted = ["spk-app==1.0", "spk-dep==1.5", "spk-own==1.0"];
        assert_eq!(locked(&project, "requirements.lock"), wanted);
    }
}

/// A wheel by its path, with a dependency on the index, and another by its URL.
#[test]
fn wheels_are_taken_by_path_and_by_url_with_a_hash() {
    let (index, other) = (index(), Index::new());
    other.add("spk_own-3.0-py3-none-any", &["spk-dep<1.5"]);
    other.add("spk_far-4.0-py3-none-any", &[]);
    let path = "/simple/spk-own/spk_own-3.0-py3-none-any.whl";
    let bytes = other.bytes(path);
    let far = other.digest("spk_far-4.0-py3-none-any");
    let text = format!(
        "./wheels/spk_own-3.0-py3-none-any.whl\nspk-far @ http://u:${{FAR_PASS}}@{}/simple/spk-far/spk_far-4.0-py3-none-any.whl#sha256={}\n",
        host(&other),
        far.hex()
    );
    let locks = ["uv", "pip"].map(|installer| {
        let project = TestProject::with_index(&index, installer, "requirements.txt", "")
            .with_variable("FAR_PASS", "canary");
        project.write("requirements.txt", &text);
        fs_err::create_dir(project.root().join("wheels")).unwrap();
        let wheel = project.root().join("wheels/spk_own-3.0-py3-none-any.whl");
        fs_err::write(&wheel, &bytes).unwrap();
        let run = project.succeed(&["package", "-v"]);
        assert!(!run.stderr.contains("canary"), "{}", run.stderr);
        let wanted = ["spk-dep==1.0", "spk-far==4.0", "spk-own==3.0"];
        assert_eq!(locked(&project, "requirements.lock"), wanted);
        let lock = project.read("requirements.lock");
        assert!(
            lock.contains(&format!("--hash={far}")) && !lock.contains("://"),
            "{lock}"
        );
        let archive = fs_err::File::open(project.root().join("dist/libs.zip")).unwrap();
        let archive = zip::ZipArchive::new(archive).unwrap();
        let names = archive.file_names().map(|name| name.unwrap().into_owned());
        let packed: Vec<String> = names.collect();
        let packed = packed.join(" ");
        assert!(
            packed.contains("spk_own.py") && packed.contains("spk_far.py"),
            "{packed}"
        );
        assert!(!packed.contains("direct_url"), "{packed}");
        // It counts by its content: another file of the same name is another input.
        project.succeed(&["package", "--locked"]);
        fs_err::write(&wheel, [&bytes[..], b"more"].concat()).unwrap();
        assert!(
            project
                .failure(&["package", "--locked"])
                .contains("error[E033]")
        );
        lock
    });
    assert_eq!(locks[0], locks[1]);
}

/// What a URL serves is not what the requirements say.
#[test]
fn a_wheel_whose_hash_is_another_is_not_taken() {
    let (index, other) = (index(), Index::new());
    other.add("spk_far-4.0-py3-none-any", &[]);
    let digest = other.digest("spk_far-4.0-py3-none-any");
    for installer in ["uv", "pip"] {
        let project = TestProject::with_index(&index, installer, "requirements.txt", "");
        let url = format!(
            "http://{}/simple/spk-far/spk_far-4.0-py3-none-any.whl",
            host(&other)
        );
        project.write(
            "requirements.txt",
            &format!("spk-far @ {url}#sha256={}\n", "0".repeat(64)),
        );
        let failure = project.failure(&["package"]);
        assert!(
            failure.contains(&"0".repeat(64)) && failure.contains(digest.hex()),
            "{failure}"
        );
        assert!(!project.root().join("requirements.lock").exists());
    }
}

/// Every reference that cannot be locked is told in one run, each with its line and the way out.
#[test]
fn what_is_no_wheel_is_told_with_the_way_out() {
    let index = index();
    let project = TestProject::with_index(&index, "uv", "requirements.txt", "");
    project.write("common.txt", "git+ssh://git@git.example/team/lib.git@v2\n");
    project.write("pyproject.toml", "[project]\nname = \"x\"\n");
    let zeros = "0".repeat(64);
    project.write(
        "requirements.txt",
        &format!(
            "six @ https://index.example/packages/six-1.16.0-py2.py3-none-any.whl\n\
             git+https://user:canary@example.invalid/x.git@v1#egg=x\n-e ../mylib\n-e .\n-r ../common/requirements.txt\n\
             ./libs/other\nhttps://h.example/lib-1.0.tar.gz#sha256={zeros}\n../wheels/lib-1.0-py3-none-any.whl\n\
             file:///wheels/lib-1.0-py3-none-any.whl\nwheels/absent-1.0-py3-none-any.whl\n\
             lib @ https://h.example/lib-1.0-cp39-cp39-win_amd64.whl#md5=00\n-r common.txt\n"
        ),
    );
    let before = project.files();
    let failure = project.failure(&["package"]);
    assert_eq!(project.files(), before);
    assert_eq!(index.asked(), 0);
    assert!(!failure.contains("canary"), "{failure}");
    insta::assert_snapshot!(failure);
    // A wheel for another platform is told as one on an index is.
    project.write("wheels/lib-1.0-cp39-cp39-win_amd64.whl", "not read");
    project.write(
        "requirements.txt",
        "six\n./wheels/lib-1.0-cp39-cp39-win_amd64.whl\n",
    );
    let failure = project.failure(&["package"]);
    assert!(
        failure
            .contains("error[E705]: requirements.txt:2:1: `lib==1.0` has no wheel for Python 3.11"),
        "{failure}"
    );
}

/// uv's and Poetry's own ways to name a wheel by its place, and a lock's.
#[test]
fn tables_and_locks_may_name_wheels_by_their_places() {
    let (index, other) = (index(), Index::new());
    other.add("spk_own-3.0-py3-none-any", &[]);
    let bytes = other.bytes("/simple/spk-own/spk_own-3.0-py3-none-any.whl");
    let digest = other.digest("spk_own-3.0-py3-none-any");
    let wheel = "wheels/spk_own-3.0-py3-none-any.whl";
    let locked_by_uv = uv_lock(&index).replace(
        "{ name = \"spk-dep\" }",
        "{ name = \"spk-dep\" }, { name = \"spk-own\" }",
    ) + &format!(
        "\n[[package]]\nname = \"spk-own\"\nversion = \"3.0\"\nsource = {{ path = \"{wheel}\" }}\nwheels = [{{ filename = \"x\", hash = \"{digest}\" }}]\n"
    );
    let files = [
        (
            "pyproject.toml",
            format!(
                "[project]\nname = \"x\"\ndependencies = [\"spk-own\"]\n[tool.uv.sources]\nspk-own = {{ path = \"{wheel}\" }}\n"
            ),
            &["spk-own==3.0"][..],
        ),
        (
            "pyproject.toml",
            format!("[tool.poetry.dependencies]\nspk-own = {{ path = \"{wheel}\" }}\n"),
            &["spk-own==3.0"],
        ),
        (
            "uv.lock",
            locked_by_uv,
            &["spk-app==1.0", "spk-dep==1.5", "spk-own==3.0"],
        ),
    ];
    for (file, text, wanted) in files {
        let project = TestProject::with_index(&index, "uv", file, "");
        project.write(file, &text);
        fs_err::create_dir(project.root().join("wheels")).unwrap();
        fs_err::write(project.root().join(wheel), &bytes).unwrap();
        project.succeed(&["package"]);
        assert_eq!(locked(&project, "requirements.lock"), wanted, "{text}");
    }
}
