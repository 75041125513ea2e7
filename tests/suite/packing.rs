//! `sparkpack package`: which file goes where, and the same bytes from the same inputs.

use std::{
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use sparkpack::{
    image::Digest,
    package::{archive::time_of, gzip, layer::write_layer},
    project::tree::Entry,
};

use crate::support::{Index, TestProject, program, run};

/// The configuration, for this machine's Python, so that packed modules can be imported here.
fn configuration() -> String {
    let python = host_python();
    format!(
        "format = 1\nproject = \"packed\"\nregistries.main = \"registry.example/packed\"\n\n[chains.main]\nspark = \"4.1.4\"\npython = \"{python}\"\n\n[images.job]\nparent = \"py\"\nsrc = \"src\"\nrequirements = \"requirements.txt\"\n"
    )
}

fn host_python() -> String {
    let script = "import sys; print('%d.%d' % sys.version_info[:2])";
    program("python3", &["-c", script]).trim().to_owned()
}

fn project() -> TestProject {
    TestProject::new(&[
        ("sparkpack.toml", &configuration()),
        (
            "requirements.txt",
            "jinja2==3.1.4 # pure\nmarkupsafe==3.0.2  # native\n",
        ),
        ("src/main.py", "print('main')\n"),
        ("src/jobs/__init__.py", ""),
        ("src/jobs/libs/table.py", "A = 1\n"),
        ("src/shared/data.csv", "a,b\n"),
        ("src/shared/run.sh", "#!/bin/sh\n"),
        ("src/libs/old.py", ""),
        ("src/libs/old-1.0.dist-info/METADATA", ""),
        ("src/tests/test_one.py", ""),
        ("src/jobs/__pycache__/x.cpython-311.pyc", ""),
        ("src/.idea/x.xml", ""),
        ("src/jobs/one.py~", ""),
    ])
}

/// The names in a zip, as Python reads them.
fn names(archive: &Path) -> Vec<String> {
    let script = "import sys, zipfile; print('\\n'.join(zipfile.ZipFile(sys.argv[1]).namelist()))";
    let printed = program("python3", &["-c", script, archive.to_str().unwrap()]);
    printed
        .lines()
        .map(str::to_owned)
        .filter(|line| !line.is_empty())
        .collect()
}

/// Every file of `dist` with its mode and its digest.
fn listing(folder: &Path) -> String {
    program(
        "sh",
        &[
            "-c",
            "cd \"$1\" && find . -type f -exec stat -c '%a %n' {} + -exec sha256sum {} + | sort",
            "sh",
            folder.to_str().unwrap(),
        ],
    )
}

#[test]
fn each_file_goes_where_python_can_import_it() {
    let project = project();
    let run = project.succeed(&["package"]);
    assert_eq!(run.stdout, "dist\n");
    let dist = project.root().join("dist");
    assert_eq!(
        names(&dist.join("jobs.zip")),
        [
            "jobs/",
            "jobs/__init__.py",
            "jobs/libs/",
            "jobs/libs/table.py",
            "shared/",
            "shared/data.csv",
            "shared/run.sh"
        ]
    );
    let libs = names(&dist.join("libs.zip"));
    assert!(libs.contains(&"jinja2/__init__.py".to_owned()), "{libs:?}");
    assert!(
        !libs.iter().any(|name| name.starts_with("markupsafe")
            || name.contains(".pyc")
            || name.contains("INSTALLER")),
        "{libs:?}"
    );
    let tag = host_python().replace('.', "");
    let native = format!("_speedups.cpython-{tag}-x86_64-linux-gnu.so");
    assert!(
        dist.join(format!("site-packages/markupsafe/{native}"))
            .is_file()
    );
    assert_eq!(project.read("dist/main.py"), "print('main')\n");
    let lock = project.read("requirements.lock");
    assert!(
        lock.contains("markupsafe==3.0.2")
            && lock.contains("--hash=sha256:")
            && !lock.contains("://"),
        "{lock}"
    );
    let paths = format!(
        "{0}/jobs.zip:{0}/libs.zip:{0}/site-packages",
        dist.display()
    );
    let script = "import jinja2, markupsafe, jobs.libs.table; print(jinja2.Template('{{ x }}').render(x=jobs.libs.table.A), markupsafe.escape('<'))";
    let mut python = std::process::Command::new("python3");
    let printed = crate::support::run(python.args(["-S", "-c", script]).env("PYTHONPATH", paths));
    assert_eq!(printed.stdout, "1 &lt;\n", "{}", printed.stderr);
}

/// The same inputs with another time, umask, locale, path, user and order of folders; with uv or pip; with an empty
/// cache.
/// A project whose job has these files and no requirements.
fn job(files: &[&str]) -> TestProject {
    let project = TestProject::new(&[("src/main.py", "")]);
    let toml = configuration().replace("requirements = \"requirements.txt\"\n", "");
    project.write("sparkpack.toml", &toml);
    for file in files {
        project.write(&format!("src/{file}"), "VALUE = 1\n");
    }
    project
}

#[test]
fn an_own_package_called_libs_is_imported() {
    for files in [
        &["libs/__init__.py", "libs/session.py"][..],
        &["libs/session.py"],
        &["libs/session.py", "libs/deep/__init__.py"],
    ] {
        let project = job(files);
        let run = project.succeed(&["package"]);
        assert!(!run.stderr.contains("W122"), "{}", run.stderr);
        let archive = project.root().join("dist/jobs.zip");
        let script = "import sys; sys.path.insert(0, sys.argv[1]); from libs.session import VALUE; print(VALUE)";
        let printed = program("python3", &["-c", script, archive.to_str().unwrap()]);
        assert_eq!(printed, "1\n", "{files:?}");
    }
    for folder in ["six-1.17.0.dist-info", "six.egg-info"] {
        let project = job(&["libs/six.py", &format!("libs/{folder}/METADATA")]);
        project.succeed(&["package"]);
        assert_eq!(names(&project.root().join("dist/jobs.zip")), [""; 0]);
    }
}

/// A file of a job that a glob of manifests matches too is no part of it, and that is said.
#[test]
fn a_manifest_is_not_left_out_of_a_job_in_silence() {
    let project = job(&["jobs/one.py"]);
    project.write("src/conf/app.yml", "a: 1\n");
    project.write("kubernetes/a.yml", "a: 1\n");
    let toml = project.read("sparkpack.toml");
    let with = |globs: &str, exclude: &str| {
        let text = format!("{toml}{exclude}[manifests]\nmain = [{globs}]\n");
        project.write("sparkpack.toml", &text);
        let told = project.succeed(&["package"]).stderr;
        let packed = names(&project.root().join("dist/jobs.zip"));
        (told, packed.contains(&"conf/app.yml".to_owned()))
    };
    let (told, is_packed) = with("\"**/*.yml\"", "");
    let wanted = "left out of `job`, because the globs of `[manifests]` match them, and no tag can depend on a file that holds it: src/conf/app.yml\n";
    assert!(told.contains(wanted) && !is_packed, "{told}");
    assert!(
        told.contains("say so by `exclude = [\"/conf/app.yml\"]`"),
        "{told}"
    );
    let (told, is_packed) = with("\"**/*.yml\"", "exclude = [\"/conf/app.yml\"]\n");
    assert!(!told.contains("W122") && !is_packed, "{told}");
    let (told, is_packed) = with("\"kubernetes/*.yml\"", "");
    assert!(!told.contains("W122") && is_packed, "{told}");
}

/// What git tracks and a built-in rule leaves out is said with the way to have it, which then works.
#[test]
fn what_git_tracks_is_not_left_out_in_silence() {
    for (files, left_out, cure) in [
        (
            &["jobs/test_connection.py"][..],
            "a file that git tracks is left out of `job` by built-in rules: src/jobs/test_connection.py",
            "[\"/jobs/test_connection.py\"]",
        ),
        (
            &["jobs/tests/a.py", "jobs/tests/test_b.py", "conftest.py"],
            "3 files that git tracks are left out of `job` by built-in rules: src/conftest.py, src/jobs/tests/",
            "[\"/conftest.py\", \"/jobs/tests/\"]",
        ),
        (
            &["venv/a.py", "jobs/old.pyc"],
            "2 files that git tracks are left out of `job` by built-in rules: src/jobs/old.pyc, src/venv/",
            "[\"/jobs/old.pyc\", \"/venv/\"]",
        ),
    ] {
        let project = job(files);
        let packed = || names(&project.root().join("dist/jobs.zip"));
        let is_told = |wanted: &str| {
            // Twice, because the second answer is a remembered one.
            for _ in 0..2 {
                let run = project.succeed(&["package"]);
                assert_eq!(
                    run.stderr.contains("W122"),
                    !wanted.is_empty(),
                    "{}",
                    run.stderr
                );
                assert!(run.stderr.contains(wanted), "{}", run.stderr);
            }
        };
        is_told("");
        project.git(&["init", "--quiet"]);
        is_told("");
        project.git(&["add", "--all", "--force", "src"]);
        std::thread::sleep(crate::support::SETTLED);
        is_told(&format!("warning[W122]: sparkpack.toml:11:7: {left_out}\n"));
        is_told(&format!("take them by `include = {cure}`"));
        for file in files {
            assert!(!packed().contains(&(*file).to_owned()), "{:?}", packed());
        }
        let toml = project.read("sparkpack.toml");
        project.write("sparkpack.toml", &format!("{toml}include = {cure}\n"));
        is_told("");
        for file in files {
            assert!(packed().contains(&(*file).to_owned()), "{:?}", packed());
        }
        let former = cure.replace("[\"", "[\"!").replace(", \"", ", \"!");
        project.write("sparkpack.toml", &format!("{toml}exclude = {former}\n"));
        is_told("");
        for file in files {
            assert!(packed().contains(&(*file).to_owned()), "{:?}", packed());
        }
        project.write("sparkpack.toml", &format!("{toml}exclude = {cure}\n"));
        is_told("");
        project.write("sparkpack.toml", &toml);
        project.git(&["rm", "--quiet", "-r", "--cached", "src"]);
        is_told("");
    }
}

#[test]
fn only_what_git_tracks_is_told_of_what_is_left_out() {
    let project = job(&["jobs/test_one.py", "jobs/test_two.py"]);
    project.git(&["init", "--quiet"]);
    project.git(&["add", "src/jobs/test_two.py"]);
    let told = project.succeed(&["package"]).stderr;
    let wanted =
        "a file that git tracks is left out of `job` by built-in rules: src/jobs/test_two.py\n";
    assert!(told.contains(wanted), "{told}");
    assert!(!told.contains("test_one"), "{told}");
}

#[test]
fn the_same_inputs_give_the_same_bytes() {
    let project = project();
    project.succeed(&["package"]);
    let wanted = listing(&project.root().join("dist"));
    for (index, installer) in ["uv", "pip"].into_iter().enumerate() {
        let folder = tempfile::Builder::new()
            .prefix("copy ü ")
            .tempdir()
            .unwrap();
        let copy = folder.path().join("a b");
        project.check_out(&copy);
        fs_err::write(
            copy.join("sparkpack.toml"),
            format!(
                "{}\n[python]\ninstaller = \"{installer}\"\n",
                configuration()
            ),
        )
        .unwrap();
        let mut shell = std::process::Command::new("sh");
        let binary = env!("CARGO_BIN_EXE_sparkpack");
        shell.args([
            "-c",
            &format!("umask {}; exec '{binary}' package", ["000", "077"][index]),
        ]);
        shell
            .current_dir(&copy)
            .env("TZ", "Pacific/Kiritimati")
            .env("LC_ALL", ["C", "tr_TR.UTF-8"][index]);
        shell.env("SPARKPACK_CACHE", folder.path().join("cache"));
        let packed = run(&mut shell);
        assert_eq!(packed.code, 0, "{}", packed.stderr);
        assert_eq!(
            listing(&copy.join("dist")),
            wanted,
            "installed by {installer}"
        );
    }
}

/// Both installers choose the same wheels, and give the same bytes in the lock.
#[test]
fn uv_and_pip_lock_the_same_wheels() {
    let locks: Vec<String> = ["uv", "pip"]
        .iter()
        .map(|installer| {
            let project = project();
            project.write(
                "sparkpack.toml",
                &format!(
                    "{}\n[python]\ninstaller = \"{installer}\"\n",
                    configuration()
                ),
            );
            project.succeed(&["package"]);
            project.read("requirements.lock")
        })
        .collect();
    assert_eq!(locks[0], locks[1]);
}

#[test]
fn damage_in_dist_is_noticed_and_a_second_run_writes_nothing() {
    let project = project();
    project.succeed(&["package"]);
    let dist = project.root().join("dist");
    let wanted = listing(&dist);
    let times = || {
        program(
            "sh",
            &[
                "-c",
                "cd \"$1\" && find . -type f -printf '%T@ %i %p\\n' | sort",
                "sh",
                dist.to_str().unwrap(),
            ],
        )
    };
    let before = times();
    project.succeed(&["package"]);
    assert_eq!(times(), before, "nothing was written");
    project.write("dist/libs.zip", "damaged");
    project.write("dist/site-packages/extra.py", "");
    fs_err::remove_file(dist.join("jobs.zip")).unwrap();
    project.succeed(&["package"]);
    assert_eq!(listing(&dist), wanted);
}

#[test]
fn a_damaged_cache_is_a_miss() {
    let project = project();
    project.succeed(&["package"]);
    let wanted = listing(&project.root().join("dist"));
    let cache = project.root().join("../cache");
    program(
        "sh",
        &[
            "-c",
            "find \"$1\"/packages -name '*.py' -exec sh -c 'echo damaged >> \"$1\"' sh {} \\;",
            "sh",
            cache.to_str().unwrap(),
        ],
    );
    fs_err::remove_dir_all(project.root().join("dist")).unwrap();
    project.succeed(&["package"]);
    assert_eq!(listing(&project.root().join("dist")), wanted);
}

/// The files in `dist/site-packages` are those of the cache, by another name.
#[test]
fn what_is_edited_in_dist_is_in_no_image() {
    let project = project();
    project.succeed(&["package"]);
    let dist = project.root().join("dist");
    let wanted = listing(&dist);
    let file = dist.join("site-packages/markupsafe/__init__.py");
    let mut text = fs_err::read_to_string(&file).unwrap();
    text.push_str("# edited\n");
    // In place, as some editors do.
    std::io::Write::write_all(
        &mut fs_err::OpenOptions::new().write(true).open(&file).unwrap(),
        text.as_bytes(),
    )
    .unwrap();
    let other = TestProject::new(&[]).with_cache(project.cache());
    let from = project.root().join(".");
    program("cp", &["-R".as_ref(), from.as_path(), &other.root()]);
    fs_err::remove_dir_all(other.root().join("dist")).unwrap();
    other.succeed(&["package"]);
    assert_eq!(listing(&other.root().join("dist")), wanted);
}

#[test]
fn an_executable_module_stays_executable_and_links_are_followed() {
    let project = project();
    fs_err::set_permissions(
        project.root().join("src/shared/run.sh"),
        std::fs::Permissions::from_mode(0o755),
    )
    .unwrap();
    symlink("data.csv", project.root().join("src/shared/link.csv")).unwrap();
    project.succeed(&["package"]);
    let script = "import sys, zipfile\nfor i in zipfile.ZipFile(sys.argv[1]).infolist(): print(oct(i.external_attr >> 16), i.date_time, i.filename)";
    let listed = program(
        "python3",
        &[
            "-c",
            script,
            project.root().join("dist/jobs.zip").to_str().unwrap(),
        ],
    );
    assert!(
        listed.contains("0o100755 (1980, 1, 1, 0, 0, 0) shared/run.sh"),
        "{listed}"
    );
    assert!(
        listed.contains("0o100644 (1980, 1, 1, 0, 0, 0) shared/link.csv"),
        "{listed}"
    );
}

/// On a disk that is really full.
#[test]
fn a_full_disk_loses_nothing_and_is_named() {
    let project = project();
    project.succeed(&["package"]);
    let dist = project.root().join("dist");
    fs_err::remove_dir_all(&dist).unwrap();
    fs_err::create_dir(&dist).unwrap();
    program(
        "mount",
        &[
            "-t",
            "tmpfs",
            "-o",
            "size=64k",
            "tmpfs",
            dist.to_str().unwrap(),
        ],
    );
    let failed = std::panic::catch_unwind(|| project.failure(&["package"]));
    program("umount", &[dist.to_str().unwrap()]);
    let failed = failed.unwrap();
    insta::with_settings!({filters => vec![(r"\.sparkpack-\w+", ".TEMPORARY")]}, {
        insta::assert_snapshot!(failed);
    });
}

#[test]
fn a_cache_that_cannot_be_written_is_named_with_its_variable() {
    let project = project();
    let file = project.root().join("a-file");
    project.write("a-file", "");
    let project = project.with_cache(&file.join("cache"));
    let failed = project.failure(&["package"]);
    assert!(failed.starts_with("exit 6\nerror[E610]: "), "{failed}");
    let hint = "hint: the cache cannot be used there: give yourself the right to that path, or let `SPARKPACK_CACHE` name another folder";
    assert!(failed.contains(hint), "{failed}");
}

#[test]
fn runs_at_the_same_time_wait_for_each_other() {
    let project = project();
    project.succeed(&["package"]);
    let wanted = listing(&project.root().join("dist"));
    fs_err::remove_dir_all(project.root().join("dist")).unwrap();
    fs_err::remove_dir_all(project.root().join("../cache")).unwrap();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| project.run(&["package"])))
            .collect();
        for worker in workers {
            let run = worker.join().unwrap();
            assert_eq!(run.code, 0, "{}", run.stderr);
        }
    });
    assert_eq!(listing(&project.root().join("dist")), wanted);
}

#[test]
fn python_reads_a_layer_whole() {
    let row = |number: usize| format!("{number} {}\n", number * number % 7919);
    let text: String = (0..400_000).map(row).collect();
    let entries = [
        Entry::in_memory("opt/job/main.py", "print('main')\n", false),
        Entry::in_memory("opt/job/table.txt", text.clone(), true),
    ];
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("layer.tar.gz");
    let blob = fs_err::File::create(&file).unwrap();
    let layer = write_layer(&entries, "sparkpack job", blob).unwrap();
    assert!(text.len() > 3 * gzip::MEMBER, "it has several members");
    let script = "
import gzip, hashlib, sys, tarfile
print(hashlib.sha256(gzip.open(sys.argv[1]).read()).hexdigest())
for member in tarfile.open(sys.argv[1]):
    content = tarfile.open(sys.argv[1]).extractfile(member).read() if member.isfile() else b''
    print(oct(member.mode), member.name, member.uid, member.mtime, hashlib.sha256(content).hexdigest())
";
    let told = program("python3", &["-c", script, file.to_str().unwrap()]);
    let empty = Digest::of(b"");
    let [main, table] = [&b"print('main')\n"[..], text.as_bytes()].map(|text| {
        let digest = Digest::of(text);
        format!("{} {}", time_of(&digest), digest.hex())
    });
    let wanted = format!(
        "{}\n0o755 opt 0 0 {}\n0o755 opt/job 0 0 {}\n0o644 opt/job/main.py 0 {main}\n0o755 opt/job/table.txt 0 {table}\n",
        layer.diff_id.hex(),
        empty.hex(),
        empty.hex(),
    );
    assert_eq!(told, wanted);
}

/// A project with requirements from `index`, whose installer has its cache in `uv`.
fn project_with(index: &Index, requirements: &str, uv: &Path) -> TestProject {
    let mirror = format!("\n[mirrors]\npython = \"{}\"\n", index.url);
    let configuration = configuration() + &mirror;
    let project = TestProject::new(&[
        ("sparkpack.toml", &configuration),
        ("requirements.txt", requirements),
        ("src/main.py", "print('main')\n"),
    ]);
    project.with_variable("UV_CACHE_DIR", uv.to_str().unwrap())
}

#[test]
fn one_more_requirement_installs_one_more_wheel() {
    let (index, uv) = (Index::new(), tempfile::tempdir().unwrap());
    for stem in ["spk_one-1.0", "spk_two-1.0", "spk_three-1.0"] {
        index.add(&format!("{stem}-py3-none-any"), &[]);
    }
    let project = project_with(&index, "spk-one\nspk-two\n", uv.path());
    let told = project.succeed(&["package"]).stderr;
    assert!(told.contains("job: installing 2 wheels\n"), "{told}");
    project.write("requirements.txt", "spk-one\nspk-two\nspk-three\n");
    let told = project.succeed(&["package"]).stderr;
    assert!(told.contains("job: installing 1 wheel\n"), "{told}");
    project.write("requirements.txt", "spk-three\nspk-one\n");
    let told = project.succeed(&["package"]).stderr;
    assert!(!told.contains("installing"), "{told}");
    let listed = names(&project.root().join("dist/libs.zip"));
    let is_module = |name: &&String| !name.contains('/');
    let modules: Vec<&String> = listed.iter().filter(is_module).collect();
    assert_eq!(modules, ["spk_one.py", "spk_three.py"]);
}

#[test]
fn a_damaged_cache_of_the_installer_is_left_aside() {
    let (index, uv) = (Index::new(), tempfile::tempdir().unwrap());
    index.add("spk_one-1.0-py3-none-any", &[]);
    let project = project_with(&index, "spk-one\n", uv.path());
    project.succeed(&["package"]);
    let sound = listing(&project.root().join("dist"));
    let damage = r#"find "$1" -name spk_one.py | while read -r file; do echo '# damaged' >>"$file"; echo damaged; done"#;
    let damaged = program("sh", &["-c", damage, "sh", uv.path().to_str().unwrap()]);
    assert!(damaged.starts_with("damaged\n"), "{damaged}");
    for folder in [project.root().join("dist"), project.cache().to_owned()] {
        fs_err::remove_dir_all(folder).unwrap();
    }
    project.succeed(&["package"]);
    assert_eq!(listing(&project.root().join("dist")), sound);
    // Nor does damage in our own cache last, which is noticed by what is packed from it.
    let damaged = program(
        "sh",
        &["-c", damage, "sh", project.cache().to_str().unwrap()],
    );
    assert!(damaged.starts_with("damaged\n"), "{damaged}");
    fs_err::remove_dir_all(project.root().join("dist")).unwrap();
    project.succeed(&["package"]);
    assert_eq!(listing(&project.root().join("dist")), sound);
}
