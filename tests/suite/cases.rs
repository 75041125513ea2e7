//! Five more of each kind of fault that people have reported of requirements and sources.

use std::os::unix::fs::symlink;

use crate::{
    parents::Parents,
    support::{Index, TestProject, host_python, program},
    wheels::wheel,
};

/// boto3 on `ds`: what merely came along there gives way, and what was asked for does not.
#[test]
fn what_came_along_below_gives_way_in_every_shape() {
    // The requirements of `ds` and of the job, the job's wheels, and what it leaves out.
    for (ds, job, wheels, left_out) in [
        ("spk-lib\n", "spk-dep==1.0\n", &["spk_dep-1.0"][..], &[][..]),
        (
            "spk-lib==1.0\n",
            "spk-app\nspk-other\n",
            &["spk_app-1.0", "spk_dep-1.0", "spk_other-1.0"],
            &["spk-lib==1.0"],
        ),
        (
            "spk-lib\n",
            "spk-dep>=1,<2\nspk-lib\n",
            &["spk_dep-1.0"],
            &["spk-lib==2.0"],
        ),
        (
            "spk-lib==1.0\n",
            "spk-other\n",
            &["spk_other-1.0"],
            &["spk-dep==2.0", "spk-lib==1.0"],
        ),
        ("spk-lib\n", "spk-dep>=2\n", &[], &["spk-dep==2.0"]),
    ] {
        let parents = Parents::new(ds, job);
        let [found, out] = parents.locked();
        assert_eq!(found, wheels, "{job}");
        assert_eq!(out, left_out, "{job}");
    }
    let asked = Parents::new("spk-lib\nspk-dep\n", "spk-app\n");
    let told = asked.project.failure(&["package"]);
    assert!(
        told.contains("`ds` has spk-dep 2.0: docker/ds/requirements.txt:2 asks for `spk-dep`"),
        "{told}"
    );
}

/// PySpark's extras, however they are written, and whoever asks for them.
#[test]
fn extras_of_pyspark_are_read_in_every_notation() {
    for job in [
        "PySpark[Connect]\n",
        "pyspark [ connect ] == 4.1.4\n",
        "pyspark[connect]>=4,<5 ; python_version >= '3.8'\n",
        "pyspark[connect] # for the client\npyspark==4.1.4\n",
        "-r more.txt\n",
    ] {
        let parents = Parents::new("spk-lib\n", job);
        parents.project.write("more.txt", "pyspark[connect]\n");
        let [wheels, left_out] = parents.locked();
        assert_eq!(wheels, ["spk_grpc-1.0"], "{job}");
        assert_eq!(left_out, ["pyspark==4.1.4"], "{job}");
    }
}

/// Distributions that require pyspark by ranges of every kind, where `base` and `ds` are Dockerfiles of one's own.
#[test]
fn the_chains_spark_meets_every_kind_of_range() {
    let ranges = [
        ("spk-delta", "pyspark<4.2.0,>=4.0.1", true),
        ("spk-tilde", "pyspark~=4.1.0", true),
        ("spk-not", "pyspark!=4.0.0,!=4.1.0", true),
        ("spk-star", "pyspark==4.1.*", true),
        ("spk-bare", "PySpark", true),
        ("spk-below", "pyspark<4.1.4", false),
        ("spk-above", "pyspark>=4.2", false),
    ];
    for (name, range, fits) in ranges {
        let parents = Parents::new("spk-lib\n", &format!("{name}\n"));
        let file = name.replace('-', "_");
        parents
            .index
            .add(&format!("{file}-1.0-py3-none-any"), &[range]);
        if fits {
            let [wheels, left_out] = parents.locked();
            assert_eq!(wheels, [format!("{file}-1.0")], "{range}");
            assert_eq!(left_out, ["pyspark==4.1.4"], "{range}");
        } else {
            let told = parents.project.failure(&["package"]);
            assert!(
                told.contains("error[E706]: requirements.txt:1:1: "),
                "{told}"
            );
            assert!(
                told.contains("the chain's Spark is 4.1.4 (sparkpack.toml:"),
                "{told}"
            );
        }
    }
}

/// A job on `py`, with packages from an index that the requirements themselves name.
fn project(requirements: &str, files: &[(&str, &str)]) -> TestProject {
    let configuration = format!(
        "format = 1\nproject = \"cases\"\nregistries.main = \"registry.example/cases\"\n\n[chains.main]\nspark = \"4.1.4\"\npython = \"{}\"\n\n\
         [images.job]\nparent = \"py\"\nsrc = \"src\"\nrequirements = \"{requirements}\"\n",
        host_python()
    );
    let project = TestProject::new(&[("sparkpack.toml", &configuration), ("src/main.py", "")]);
    for (path, text) in files {
        project.write(path, text);
    }
    project
}

/// Variables wherever an index is named, as pip expands them.
#[test]
fn variables_are_expanded_wherever_an_index_is_named() {
    let index = Index::new();
    index.add("spk_lib-1.0-py3-none-any", &[]);
    let rest = index.url.trim_start_matches("http://");
    let (host, port) = rest.split_once('/').unwrap().0.split_once(':').unwrap();
    let of_uv = "[project]\nname = \"x\"\ndependencies = [\"spk-lib\"]\n\n[[tool.uv.index]]\nname = \"own\"\nurl = \"http://${IDX_USER}:${IDX_PASS}@${IDX_HOST}:${IDX_PORT}/simple\"\ndefault = true\n";
    for (requirements, files) in [
        (
            "requirements.txt",
            &[(
                "requirements.txt",
                "--index-url http://${IDX_HOST}:${IDX_PORT}/simple\nspk-lib\n",
            )][..],
        ),
        (
            "requirements.txt",
            &[(
                "requirements.txt",
                "spk-lib\n-i http://${IDX_USER}:${IDX_PASS}@${IDX_HOST}:${IDX_PORT}/simple\n",
            )],
        ),
        (
            "requirements.txt",
            &[
                ("requirements.txt", "-r index.txt\nspk-lib\n"),
                (
                    "index.txt",
                    "--index-url=http://${IDX_USER}@${IDX_HOST}:${IDX_PORT}/${IDX_PATH}\n",
                ),
            ],
        ),
        (
            "requirements.txt",
            &[(
                "requirements.txt",
                "--index-url \\\n  http://${IDX_HOST}:${IDX_PORT}/simple\nspk-lib\n",
            )],
        ),
        ("pyproject.toml", &[("pyproject.toml", of_uv)]),
    ] {
        let mut project = project(requirements, files);
        for (name, value) in [
            ("HOST", host),
            ("PORT", port),
            ("USER", "canary-user"),
            ("PASS", "canary-word"),
            ("PATH", "simple"),
        ] {
            project = project.with_variable(&format!("IDX_{name}"), value);
        }
        let run = project.succeed(&["package", "-v"]);
        let lock = project.read("requirements.lock");
        assert!(lock.contains("spk-lib==1.0"), "{lock}");
        for told in [run.stdout, run.stderr, lock] {
            assert!(!told.contains("canary"), "{told}");
        }
    }
    // As pip has it, these are no variables; and what is none is no host either.
    for text in ["$IDX_HOST", "${idx_host}", "%IDX_HOST%"] {
        let text = format!("--index-url http://{text}/simple\nspk-lib\n");
        let project = project("requirements.txt", &[("requirements.txt", &text)]);
        let failure = project.failure(&["package"]);
        assert_eq!(failure.matches("error[").count(), 1, "{failure}");
        assert!(!project.root().join("requirements.lock").exists());
    }
}

/// What names no version on an index is taken if it is a wheel that cannot change, and else told with the way out.
#[test]
fn references_are_taken_or_told_in_every_form() {
    let zeros = "0".repeat(64);
    let of_hash = format!(
        "https://h.example/spk_lib-1.0-py3-none-any.whl#sha256={}",
        "0".repeat(63)
    );
    let other =
        format!("spk-other @ https://h.example/spk_lib-1.0-py3-none-any.whl#sha256={zeros}");
    for (line, code) in [
        (
            "spk-lib @ http://h.example/spk_lib-1.0-py3-none-any.whl",
            "E168",
        ),
        (&*of_hash, "E048"),
        (&other, "E169"),
        ("git+ssh://git@h.example/team/lib.git", "E041"),
        ("hg+https://h.example/team/lib", "E041"),
        ("spk-lib @ https://h.example/spk_lib-1.0.tar.gz", "E041"),
        ("-e ./lib", "E041"),
        ("./lib", "E041"),
        ("/somewhere/spk_lib-1.0-py3-none-any.whl", "E169"),
        ("./wheels/spk_gone-1.0-py3-none-any.whl", "E169"),
    ] {
        let text = format!("# a remark\n{line}\n");
        let project = project("requirements.txt", &[("requirements.txt", &text)]);
        project.write("lib/setup.py", "raise SystemExit('it was run')\n");
        let before = project.files();
        let failure = project.failure(&["package"]);
        assert!(failure.starts_with("exit 2\n"), "{failure}");
        assert_eq!(failure.matches("error[").count(), 1, "{failure}");
        assert!(
            failure.contains(": requirements.txt:2:") && failure.contains("\nhint: "),
            "{line}: {failure}"
        );
        assert!(
            failure.contains(&format!("error[{code}]")),
            "{line}: {failure}"
        );
        assert_eq!(project.files(), before, "{failure}");
    }
    for line in [
        "./wheels/spk_lib-1.0-py3-none-any.whl",
        "wheels/spk_lib-1.0-py3-none-any.whl",
        "spk-lib @ ./wheels/spk_lib-1.0-py3-none-any.whl",
        "spk_lib @ file:wheels/spk_lib-1.0-py3-none-any.whl ; python_version > '3'",
        "-r wheels/list.txt",
    ] {
        let project = project(
            "requirements.txt",
            &[("requirements.txt", &format!("{line}\n"))],
        );
        project.write("wheels/list.txt", "./spk_lib-1.0-py3-none-any.whl\n");
        let bytes = wheel("spk_lib", &[]);
        fs_err::write(
            project.root().join("wheels/spk_lib-1.0-py3-none-any.whl"),
            bytes,
        )
        .unwrap();
        project.succeed(&["package"]);
        assert!(
            project.read("requirements.lock").contains("spk-lib==1.0"),
            "{line}"
        );
    }
}

/// Code that several jobs share, by links of every kind.
#[test]
fn links_to_shared_code_are_followed_in_every_form() {
    type Make = fn(&std::path::Path);
    let cases: [(Make, Result<&str, &str>); 8] = [
        (
            |root| symlink("../common", root.join("src/common")).unwrap(),
            Ok("common.u"),
        ),
        (
            |root| symlink("../common/u.py", root.join("src/u.py")).unwrap(),
            Ok("u"),
        ),
        (
            |root| symlink(root.join("common"), root.join("src/common")).unwrap(),
            Err("make it relative"),
        ),
        (
            |root| {
                symlink("common", root.join("link")).unwrap();
                symlink("../link", root.join("src/common")).unwrap();
            },
            Ok("common.u"),
        ),
        (
            |root| {
                fs_err::create_dir_all(root.join("src/deep/in")).unwrap();
                symlink("../../../common", root.join("src/deep/in/common")).unwrap();
            },
            Ok("deep.in_.u"),
        ),
        (
            |root| symlink("/etc", root.join("src/common")).unwrap(),
            Err("`common`"),
        ),
        (
            |root| symlink("../gone", root.join("src/common")).unwrap(),
            Err("`common`"),
        ),
        (
            |root| symlink("common", root.join("src/common")).unwrap(),
            Err("`common`"),
        ),
    ];
    for (make, wanted) in cases {
        let project = project(
            "requirements.txt",
            &[
                ("common/u.py", "X = 'shared'\n"),
                ("src/jobs/__init__.py", ""),
            ],
        );
        project.edit(
            "sparkpack.toml",
            "requirements = \"requirements.txt\"\n",
            "",
        );
        make(&project.root());
        match wanted {
            Ok(module) => {
                project.succeed(&["package"]);
                // `in` is a word of Python, so that only importlib takes it.
                let module = module.replace("deep.in_", "deep.in.common");
                let code = format!(
                    "import sys, importlib; sys.path.insert(0, sys.argv[1]); print(importlib.import_module({module:?}).X)"
                );
                let archive = project.root().join("dist/jobs.zip");
                let printed = program("python3", &["-S", "-c", &code, archive.to_str().unwrap()]);
                assert_eq!(printed, "shared\n", "{module}");
            }
            Err(named) => {
                let failure = project.failure(&["package"]);
                assert!(
                    failure.contains(named) && failure.contains("hint: "),
                    "{failure}"
                );
                assert!(!project.root().join("dist/jobs.zip").exists(), "{failure}");
            }
        }
    }
}

/// A hash that is that of no wheel is called its writer's, wherever it stands.
#[test]
fn a_hash_of_no_wheel_is_told_where_it_stands() {
    let index = Index::new();
    index.add("spk_lib-1.0-py3-none-any", &[]);
    let (zeros, ones) = ("0".repeat(64), "1".repeat(64));
    let right = index.digest("spk_lib-1.0-py3-none-any");
    let line = format!("spk-lib==1.0 --hash=sha256:{zeros}\n");
    let two = format!("spk-lib==1.0 \\\n    --hash=sha256:{zeros} \\\n    --hash=sha256:{ones}\n");
    let of_poetry = format!(
        "[[package]]\nname = \"spk-lib\"\nversion = \"1.0\"\ngroups = [\"main\"]\nfiles = [{{file = \"x.whl\", hash = \"sha256:{zeros}\"}}]\n\n[metadata]\nlock-version = \"2.1\"\npython-versions = \"*\"\ncontent-hash = \"\"\n"
    );
    let of_pylock = format!(
        "lock-version = \"1.0\"\n[[packages]]\nname = \"spk-lib\"\nversion = \"1.0\"\nwheels = [{{ url = \"x.whl\", hashes = {{ sha256 = \"{zeros}\" }} }}]\n"
    );
    let of_pipfile = format!(
        "{{\"_meta\": {{}},\n\"default\": {{\n\"spk-lib\": {{\"hashes\": [\"sha256:{zeros}\"], \"version\": \"==1.0\"}}}}}}\n"
    );
    for (name, files, place) in [
        (
            "requirements.txt",
            &[("requirements.txt", &*line)][..],
            "requirements.txt:1:1",
        ),
        (
            "requirements.txt",
            &[("requirements.txt", &two)],
            "requirements.txt:1:1",
        ),
        (
            "requirements.txt",
            &[
                ("requirements.txt", "# one\n-r more.txt\n"),
                ("more.txt", &line),
            ],
            "more.txt:1:1",
        ),
        (
            "poetry.lock",
            &[("poetry.lock", &of_poetry)],
            "poetry.lock:2:8",
        ),
        (
            "pylock.toml",
            &[("pylock.toml", &of_pylock)],
            "pylock.toml:3:8",
        ),
        (
            "Pipfile.lock",
            &[("Pipfile.lock", &of_pipfile)],
            "Pipfile.lock:3:2",
        ),
    ] {
        for installer in ["uv", "pip"] {
            let project = project(name, files);
            let mirror = format!(
                "[mirrors]\npython = \"{}\"\n\n[python]\ninstaller = \"{installer}\"\n\n[chains",
                index.url
            );
            project.edit("sparkpack.toml", "[chains", &mirror);
            let failure = project.failure(&["package"]);
            assert!(failure.starts_with("exit 2\n"), "{failure}");
            assert!(
                failure.contains(&format!("error[E182]: {place}: ")),
                "{name}, {installer}: {failure}"
            );
            assert!(failure.contains(&right.to_string()), "{failure}");
            assert!(!project.root().join("requirements.lock").exists());
        }
    }
}

/// Data files that a job opens, by each of the ways that people have.
#[test]
fn data_files_are_opened_in_every_way() {
    let python = host_python();
    for (files, code) in [
        (
            &[("pkg/__init__.py", ""), ("pkg/q.sql", "select 1")][..],
            "import os, pkg; print(open(os.path.join(os.path.dirname(pkg.__file__), 'q.sql')).read())",
        ),
        (
            &[("pkg/__init__.py", ""), ("pkg/sql/a/q.sql", "select 1")],
            "import pathlib, pkg; print((pathlib.Path(pkg.__file__).parent / 'sql' / 'a' / 'q.sql').read_text())",
        ),
        (
            &[("pkg/__init__.py", ""), ("pkg/q.sql", "select 1")],
            "import importlib.resources as r; print(r.files('pkg').joinpath('q.sql').read_text())",
        ),
        (
            &[("space/mod.py", ""), ("space/q.sql", "select 1")],
            "import space.mod, os; print(open(os.path.dirname(space.mod.__file__) + '/q.sql').read())",
        ),
        (
            &[("mod.py", ""), ("q.sql", "select 1")],
            "import mod, os; print(open(os.path.dirname(mod.__file__) + '/q.sql').read())",
        ),
        (
            &[("pkg/__init__.py", ""), ("pkg/q.sql", "select 1")],
            "import pkgutil; print(pkgutil.get_data('pkg', 'q.sql').decode())",
        ),
    ] {
        let project = project("requirements.txt", &[]);
        project.edit(
            "sparkpack.toml",
            "requirements = \"requirements.txt\"\n",
            "",
        );
        for (path, text) in files {
            project.write(&format!("src/{path}"), text);
        }
        project.succeed(&["package"]);
        let folder = project.root().join("dist/jobs");
        let code = format!("import sys; sys.path.insert(0, sys.argv[1]); {code}");
        let printed = program(
            "python3",
            &["-S", "-B", "-c", &code, folder.to_str().unwrap()],
        );
        assert_eq!(printed, "select 1\n", "Python {python}: {code}");
        assert!(project.root().join("dist/jobs.zip").exists());
    }
}
