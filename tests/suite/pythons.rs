//! What is packed imports in the Pythons that a chain may name: the first, a middle and the last module of archives of
//! many shapes.

use std::{fmt::Write as _, os::unix::fs::symlink, path::Path, process::Command};

use crate::support::{Index, TestProject, pythons, run, small};

const ROOT: &str = "registry.example/root:1";

/// A job with a main file alone, on images of which no built-in one limits the version of Python.
fn project() -> TestProject {
    let project = small::project(ROOT, "registry.example");
    project.write("sparkpack.lock", &small::lock(ROOT));
    fs_err::remove_dir_all(project.root().join("src/jobs")).unwrap();
    project
}

/// A shape of an archive: what makes it of a project with a main file alone, and code for a Python that has nothing but
/// `jobs.zip` and `libs.zip`. It ends with an assertion or does not end well.
type Shape = (&'static str, fn(&TestProject), &'static str);

fn module(project: &TestProject, path: &str, text: &str) {
    project.write(&format!("src/{path}"), text);
}

/// `count` modules below a folder, of which each knows its number.
fn many(project: &TestProject, folder: &str, count: usize) {
    for number in 0..count {
        let path = format!("{folder}/m{number:04}.py");
        module(project, &path, &format!("VALUE = {number}\n"));
    }
}

const SHAPES: [Shape; 15] = [
    (
        "modules at the top",
        |project| {
            for name in ["aa", "mm", "zz"] {
                module(project, &format!("{name}.py"), "VALUE = __name__\n");
            }
        },
        "import aa, mm, zz\nassert [aa.VALUE, mm.VALUE, zz.VALUE] == ['aa', 'mm', 'zz']",
    ),
    (
        "a package",
        |project| {
            module(project, "jobs/__init__.py", "from . import zz\n");
            module(project, "jobs/mm.py", "from .zz import VALUE\n");
            module(project, "jobs/zz.py", "VALUE = 7\n");
        },
        "import jobs, jobs.mm\nassert jobs.zz.VALUE == jobs.mm.VALUE == 7",
    ),
    (
        "a package without __init__.py",
        |project| {
            module(project, "space/one/aa.py", "VALUE = 1\n");
            module(project, "space/two/zz.py", "from ..one.aa import VALUE\n");
        },
        "import space.one.aa, space.two.zz\nassert space.two.zz.VALUE == 1",
    ),
    (
        "forty packages deep",
        |project| {
            for depth in 1..=40 {
                module(project, &format!("{}__init__.py", "d/".repeat(depth)), "");
            }
            let last = format!("{}zz.py", "d/".repeat(40));
            module(project, &last, "VALUE = 40\n");
        },
        "import importlib\nassert importlib.import_module('d.' * 40 + 'zz').VALUE == 40",
    ),
    (
        "two thousand modules",
        |project| many(project, "many", 2000),
        "from many import m0000, m0999, m1999\nassert [m0000.VALUE, m0999.VALUE, m1999.VALUE] == [0, 999, 1999]",
    ),
    (
        "five hundred packages",
        |project| {
            for number in 0..500 {
                let path = format!("p{number:03}/__init__.py");
                module(project, &path, &format!("VALUE = {number}\n"));
            }
        },
        "import p000, p250, p499\nassert [p000.VALUE, p250.VALUE, p499.VALUE] == [0, 250, 499]",
    ),
    (
        "names in many scripts",
        |project| {
            for name in ["größe", "данные", "データ"] {
                module(project, &format!("{name}/мера.py"), "VALUE = __name__\n");
            }
        },
        "import größe.мера as a, данные.мера as b, データ.мера as c\nassert [a.VALUE[0], b.VALUE[0], c.VALUE[0]] == ['g', 'д', 'デ']",
    ),
    (
        "long names",
        |project| {
            for first in ["a", "m", "z"] {
                module(project, &format!("{}.py", first.repeat(200)), "VALUE = 1\n");
            }
        },
        "assert all(__import__(first * 200).VALUE == 1 for first in 'amz')",
    ),
    (
        "empty modules",
        |project| {
            for name in ["aa/__init__", "aa/mm", "zz"] {
                module(project, &format!("{name}.py"), "");
            }
        },
        "import aa.mm, zz\nassert aa.mm.__name__ == 'aa.mm'",
    ),
    (
        "one module of many megabytes",
        |project| {
            let mut text = String::from("ROWS = [\n");
            for number in 0..150_000_u64 {
                let digits = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                writeln!(text, "    \"{digits:020}\",").unwrap();
            }
            module(project, "aa.py", "");
            module(project, "large.py", &(text + "]\n"));
            module(project, "zz.py", "");
        },
        "import aa, large, zz\nassert len(large.ROWS) == 150000 and large.ROWS[1] == '11400714819323198485'",
    ),
    (
        "text as editors of every system leave it",
        |project| {
            module(project, "aa.py", "\u{feff}VALUE = 'é'\r\nOTHER = 1\r\n");
            module(project, "mm.py", "VALUE = 'é'");
            let latin = b"# -*- coding: latin-1 -*-\nVALUE = '\xe9'\n";
            fs_err::write(project.root().join("src/zz.py"), latin).unwrap();
        },
        "import aa, mm, zz\nassert aa.VALUE == mm.VALUE == zz.VALUE == '\\xe9' and aa.OTHER == 1",
    ),
    (
        "modules that are links, and one that is executable",
        |project| {
            project.write("shared/common.py", "VALUE = 5\n");
            let src = project.root().join("src");
            symlink("../shared", src.join("linked")).unwrap();
            symlink("../shared/common.py", src.join("aa.py")).unwrap();
            module(project, "zz.py", "VALUE = 6\n");
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs_err::set_permissions(src.join("zz.py"), mode).unwrap();
        },
        "import aa, linked.common, zz\nassert [aa.VALUE, linked.common.VALUE, zz.VALUE] == [5, 5, 6]",
    ),
    (
        "data beside modules, which cannot be compressed and which compresses to nothing",
        |project| {
            module(project, "aa/__init__.py", "");
            let mut state = 1_u32;
            let noise = std::iter::repeat_with(|| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                state.to_be_bytes()[0]
            });
            let noise: Vec<u8> = noise.take(200_000).collect();
            fs_err::write(project.root().join("src/aa/noise.bin"), noise).unwrap();
            fs_err::write(project.root().join("src/aa/zeros.bin"), [0; 200_000]).unwrap();
            module(project, "zz.py", "");
        },
        "import aa, pkgutil, zz\nassert len(pkgutil.get_data('aa', 'noise.bin')) == 200000\nassert pkgutil.get_data('aa', 'zeros.bin') == bytes(200000)",
    ),
    (
        "a package and a module of one name, and names that begin alike",
        |project| {
            module(project, "aa.py", "VALUE = 'module'\n");
            module(project, "aa/__init__.py", "VALUE = 'package'\n");
            module(project, "aa_b.py", "VALUE = 'aa_b'\n");
            module(project, "aa/b.py", "VALUE = 'aa.b'\n");
        },
        "import aa, aa.b, aa_b\nassert [aa.VALUE, aa.b.VALUE, aa_b.VALUE] == ['package', 'aa.b', 'aa_b']",
    ),
    (
        "wheels",
        |project| {
            let index = Index::new();
            let mut requirements = String::new();
            for name in ["spk_aa", "spk_mm", "spk_zz"] {
                index.add(&format!("{name}-1.0-py3-none-any"), &[]);
                writeln!(requirements, "{}", name.replace('_', "-")).unwrap();
            }
            project.write("requirements.txt", &requirements);
            project.edit(
                "sparkpack.toml",
                "src = \"src\"\n",
                "src = \"src\"\nrequirements = \"requirements.txt\"\n",
            );
            let mirror = format!("[mirrors]\npython = \"{}\"\n\n[chains", index.url);
            project.edit("sparkpack.toml", "[chains", &mirror);
        },
        "import spk_aa, spk_mm, spk_zz\nassert {spk_aa.VERSION, spk_mm.VERSION, spk_zz.VERSION} == {'1.0'}\n\
         from importlib.metadata import version\nassert version('spk-zz') == '1.0'",
    ),
];

/// What a Python says that has nothing but archives on its path: nothing, if `code` went well.
fn complaint(python: &str, archives: &[&Path], code: &str) -> Option<String> {
    let path: Vec<&str> = archives.iter().map(|path| path.to_str().unwrap()).collect();
    let mut command = Command::new(python);
    command.args(["-S", "-B", "-c", code]).current_dir("/");
    let told = run(command.env("PYTHONPATH", path.join(":")));
    (told.code != 0).then_some(told.stderr)
}

/// Debian has one Python, so that a run there tries one; where pyenv is, all of its Pythons from 3.9 on are tried.
#[test]
fn archives_of_every_shape_import_in_every_python_at_hand() {
    let mut pythons = pythons();
    pythons.retain(|(_, version)| *version >= (3, 9));
    pythons.dedup_by_key(|(_, version)| *version);
    assert!(!pythons.is_empty());
    let versions: Vec<String> = pythons
        .iter()
        .map(|(_, (major, minor))| format!("{major}.{minor}"))
        .collect();
    for (name, make, code) in SHAPES {
        let project = project();
        make(&project);
        let [jobs, libs] = ["dist/jobs.zip", "dist/libs.zip"].map(|path| project.root().join(path));
        for ((python, _), version) in pythons.iter().zip(&versions) {
            let toml = project.read("sparkpack.toml");
            let mut lines = toml.lines();
            let line = lines
                .find(|line| line.starts_with("python = \"3."))
                .unwrap();
            project.edit("sparkpack.toml", line, &format!("python = \"{version}\""));
            project.succeed(&["package"]);
            let told = complaint(python, &[&jobs, &libs], code);
            assert_eq!(told, None, "{name}, Python {version}");
        }
        // The code asks for what is in the archives, and would notice if it were not there.
        let told = complaint(&pythons[0].0, &[], code);
        assert!(told.is_some(), "{name}: nothing was imported from it");
    }
}
