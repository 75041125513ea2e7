//! Both installers, against the configured index and against a small one on the loopback interface.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{BuildHasher as _, RandomState},
    io::{BufRead, BufReader, Cursor, Read, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use base64::Engine;
use zip::{ZipWriter, write::SimpleFileOptions};

use super::*;
use crate::{
    package::vendor::{self, Vendored},
    project::{
        requirements::{Lock, lock_file_beside},
        tree::Content,
    },
};

/// uv: the one on the PATH, or one that is installed once beside the build's output.
fn uv() -> PathBuf {
    static UV: OnceLock<PathBuf> = OnceLock::new();
    let install = || {
        if let Some(program) = run::on_path("uv") {
            return program;
        }
        let test = std::env::current_exe().unwrap();
        let folder = test.ancestors().nth(3).unwrap().join("tmp");
        let program = folder.join("uv/bin/uv");
        if program.exists() {
            return program;
        }
        fs_err::create_dir_all(&folder).unwrap();
        let fresh = tempfile::tempdir_in(&folder).unwrap();
        let pip = run::command(&pip::python().unwrap())
            .args(["-m", "pip", "install", "--quiet", "uv", "--target"])
            .arg(fresh.path().join("uv"))
            .output()
            .unwrap();
        assert!(
            pip.status.success(),
            "{}",
            String::from_utf8_lossy(&pip.stderr)
        );
        // Another process may have installed it first.
        let _ = fs_err::rename(fresh.path().join("uv"), folder.join("uv"));
        program
    };
    UV.get_or_init(install).clone()
}

fn installers(mirror: Option<&str>) -> [Installer; 2] {
    let fetching = Fetching {
        mirror: mirror.map(str::to_owned),
        ..Fetching::default()
    };
    let both = [(Tool::Uv, uv()), (Tool::Pip, pip::python().unwrap())];
    both.map(|(tool, program)| {
        let mut installer = Installer::at(tool, program, &fetching);
        installer.index.settings.insert("retries", "0".to_owned());
        installer
    })
}

fn target(python: (u8, u8), platform: &str) -> Target {
    Target {
        python,
        platform: platform.parse().unwrap(),
        glibc: (2, 28),
    }
}

fn amd64() -> Target {
    target((3, 11), "linux/amd64")
}

fn requirements(text: &str) -> Requirements {
    let folder = tempfile::tempdir().unwrap();
    fs_err::write(folder.path().join("requirements.txt"), text).unwrap();
    Requirements::read(folder.path(), Path::new("requirements.txt")).unwrap()
}

fn file_names(wheels: &[LockedWheel]) -> Vec<&str> {
    wheels
        .iter()
        .map(|wheel| wheel.wheel.file_name.as_str())
        .collect()
}

/// Locks with both installers, which have to agree.
#[expect(clippy::panic_in_result_fn, reason = "a disagreement fails the test")]
fn lock_by_both(
    mirror: Option<&str>,
    text: &str,
    target: &Target,
    provided: &[Pin],
) -> Result<Resolved, PythonError> {
    let [uv, pip] = installers(mirror);
    let by_uv = uv.lock(&requirements(text), target, provided);
    let by_pip = pip.lock(&requirements(text), target, provided);
    match (by_uv, by_pip) {
        (Ok(by_uv), Ok(by_pip)) => {
            assert_eq!(by_uv, by_pip);
            Ok(by_uv)
        }
        (Err(by_uv), Err(by_pip)) => {
            assert_eq!(by_uv.code(), by_pip.code(), "{by_uv}\n{by_pip}");
            assert!(by_uv.hint().is_some() && by_pip.hint().is_some());
            Err(by_pip)
        }
        (by_uv, by_pip) => panic!("{by_uv:?}\n{by_pip:?}"),
    }
}

/// The compared properties of an installation: paths, digests and executable bits.
fn seen(vendored: &Vendored) -> Vec<String> {
    let entries = vendored.libs.iter().map(|entry| ("libs", entry));
    let entries = entries.chain(
        vendored
            .site_packages
            .iter()
            .map(|entry| ("site-packages", entry)),
    );
    let line = |(folder, entry): (&str, &crate::project::tree::Entry)| match &entry.content {
        Content::File {
            digest, executable, ..
        } => {
            format!("{folder}/{} {executable} {digest}", entry.path)
        }
        Content::Symlink { target } => panic!("{target}"),
    };
    entries.map(line).collect()
}

fn install_by_both(mirror: Option<&str>, wheels: &[LockedWheel], target: &Target) -> Vec<String> {
    let [by_uv, by_pip] = installers(mirror).map(|installer| {
        let folder = tempfile::tempdir().unwrap();
        installer
            .install(wheels, target, None, folder.path())
            .unwrap();
        let names: Vec<_> = fs_err::read_dir(folder.path()).unwrap().collect();
        assert_eq!(names.len(), wheels.len(), "{names:?}");
        seen(&installed(folder.path(), wheels))
    });
    assert_eq!(by_uv, by_pip);
    by_uv
}

/// The files of wheels that were installed into `folder`.
fn installed(folder: &Path, wheels: &[LockedWheel]) -> Vendored {
    vendor::split(&files_of(folder, wheels)).unwrap()
}

fn files_of<'a>(
    folder: &Path,
    wheels: &'a [LockedWheel],
) -> Vec<(&'a LockedWheel, Vec<crate::project::tree::Entry>)> {
    let files = |wheel: &LockedWheel| {
        vendor::walk(&folder.join(&wheel.wheel.file_name), &nothing()).unwrap()
    };
    wheels.iter().map(|wheel| (wheel, files(wheel))).collect()
}

/// An empty cache.
fn nothing() -> crate::project::digest_cache::DigestCache {
    crate::project::digest_cache::DigestCache::read(b"", std::time::Duration::ZERO)
}

#[test]
fn both_installers_give_the_same_lock_and_the_same_bytes() {
    let resolved = lock_by_both(None, "jinja2\nattrs\nsix\n", &amd64(), &[]).unwrap();
    let names: Vec<&str> = resolved
        .wheels
        .iter()
        .map(|wheel| wheel.wheel.name.as_str())
        .collect();
    assert_eq!(names, ["attrs", "jinja2", "markupsafe", "six"]);
    let files = install_by_both(None, &resolved.wheels, &amd64());
    let has = |start: &str| files.iter().any(|file| file.starts_with(start));
    for file in [
        "libs/six.py ",
        "libs/jinja2/__init__.py ",
        "libs/attrs-",
        "site-packages/markupsafe/_speedups.cpython-311-x86_64-linux-gnu.so ",
    ] {
        assert!(has(file), "{file}");
    }
    for litter in [
        "__pycache__",
        "RECORD",
        "INSTALLER",
        "REQUESTED",
        ".lock",
        "/bin/",
        ".pyc ",
    ] {
        assert!(!files.iter().any(|file| file.contains(litter)), "{litter}");
    }
    assert!(!has("libs/markupsafe/") && !has("site-packages/jinja2/"));
}

#[test]
fn the_lock_is_a_requirements_file_for_both() {
    let index = TestIndex::new();
    let mut lock = Lock {
        requirements_digest: requirements("spk-app").digest(&[]),
        python: (3, 11),
        glibc: (2, 28),
        wheels: BTreeMap::new(),
        left_out: [Pin::new("pyspark", "4.1.4")].into(),
    };
    for platform in ["linux/amd64", "linux/arm64"] {
        let target = target((3, 11), platform);
        let wheels = lock_by_both(Some(&index.url), "spk-app", &target, &[])
            .unwrap()
            .wheels;
        lock.wheels.insert(target.platform, wheels);
    }
    let text = lock.to_text();
    assert!(!text.contains("://"), "{text}");
    assert!(
        text.contains("spk-arm==1.0 ; platform_machine == \"aarch64\""),
        "{text}"
    );
    for installer in installers(Some(&index.url)) {
        let run = ToolRun::new(&installer).unwrap();
        let file = lock_file_beside(Path::new("requirements.txt"));
        run.write(file.to_str().unwrap(), std::slice::from_ref(&text))
            .unwrap();
        fs_err::rename(
            run.folder().join(&file),
            run.folder().join("requirements.txt"),
        )
        .unwrap();
        let into = run.folder().join("into");
        match installer.tool() {
            Tool::Uv => uv::install(&run, &amd64(), false, &into),
            Tool::Pip => pip::install(&run, &amd64(), &into),
        }
        .unwrap();
        assert!(into.join("spk_app/__init__.py").exists());
        assert!(into.join("spk_native.so").exists());
        assert!(!into.join("spk_arm.py").exists());
    }
}

#[test]
fn markers_are_those_of_the_image() {
    let index = TestIndex::new();
    let lock = |target: &Target| {
        let text = "spk-app\nspk-old ; python_version < '3.10'\nspk-win ; sys_platform == 'win32'";
        let resolved = lock_by_both(Some(&index.url), text, target, &[]).unwrap();
        file_names(&resolved.wheels)
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        lock(&amd64()),
        [
            "spk_app-1.0-py3-none-any.whl",
            "spk_native-1.0-cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
        ]
    );
    assert_eq!(
        lock(&target((3, 9), "linux/arm64")),
        [
            "spk_app-1.0-py3-none-any.whl",
            "spk_arm-1.0-py3-none-any.whl",
            "spk_native-1.0-2-cp38-abi3-manylinux_2_17_aarch64.whl",
            "spk_old-1.0-py3-none-any.whl",
        ]
    );
}

#[test]
fn scripts_headers_and_modes_are_the_same_by_both() {
    let index = TestIndex::new();
    let wheels = lock_by_both(Some(&index.url), "spk-app\nspk-old", &amd64(), &[])
        .unwrap()
        .wheels;
    let files = install_by_both(Some(&index.url), &wheels, &amd64());
    let shown: Vec<&str> = files
        .iter()
        .map(|file| file.rsplit_once(' ').unwrap().0)
        .collect();
    assert_eq!(
        shown,
        [
            "libs/spk_old-1.0.dist-info/METADATA false",
            "libs/spk_old-1.0.dist-info/WHEEL false",
            "libs/spk_old.py false",
            "site-packages/share/spk/data.txt false",
            "site-packages/spk_app-1.0.dist-info/METADATA false",
            "site-packages/spk_app-1.0.dist-info/WHEEL false",
            "site-packages/spk_app-1.0.dist-info/entry_points.txt false",
            "site-packages/spk_app/__init__.py false",
            "site-packages/spk_app/tool.sh true",
            "site-packages/spk_native-1.0.dist-info/METADATA false",
            "site-packages/spk_native-1.0.dist-info/WHEEL false",
            "site-packages/spk_native.libs/libz.so.1 true",
            "site-packages/spk_native.so true",
        ]
    );
    let empty = tempfile::tempdir().unwrap();
    let [_, pip] = installers(Some(&index.url));
    pip.install(&[], &amd64(), None, empty.path()).unwrap();
    assert_eq!(fs_err::read_dir(empty.path()).unwrap().count(), 0);
}

#[test]
fn what_the_image_has_is_neither_shipped_nor_looked_up() {
    let index = TestIndex::new();
    // The index has only the source of `pyspark`, and `spk-native` in another version than the image.
    let provided = [Pin::new("pyspark", "4.1.4"), Pin::new("spk-native", "0.9")];
    let text = "spk-app\nspk-needs-spark\npyspark>=4\n";
    let resolved = lock_by_both(Some(&index.url), text, &amd64(), &provided).unwrap();
    assert_eq!(
        file_names(&resolved.wheels),
        [
            "spk_app-1.0-py3-none-any.whl",
            "spk_needs_spark-1.0-py3-none-any.whl"
        ]
    );
    assert_eq!(resolved.left_out, provided.into());
    let alone = lock_by_both(Some(&index.url), "pyspark==4.1.4", &amd64(), &[]).unwrap();
    assert_eq!(
        (alone.wheels.len(), alone.left_out),
        (0, [Pin::new("pyspark", "4.1.4")].into())
    );
    let unpinned = lock_by_both(Some(&index.url), "PySpark", &amd64(), &[]).unwrap();
    assert_eq!((unpinned.wheels.len(), unpinned.left_out.len()), (0, 1));
    let other = [Pin::new("pyspark", "3.5.1")];
    let error = lock_by_both(Some(&index.url), "pyspark==4.1.4", &amd64(), &other).unwrap_err();
    assert_eq!(
        error.to_string(),
        "requirements.txt:1:1: `pyspark==4.1.4` is wanted, but the parent image has pyspark==3.5.1"
    );
    let needs = lock_by_both(Some(&index.url), "spk-needs-spark", &amd64(), &other).unwrap_err();
    assert_eq!(needs.code(), "E706", "{needs}");
}

#[test]
fn each_fault_has_its_own_error() {
    let index = TestIndex::new();
    let lock = |text: &str| lock_by_both(Some(&index.url), text, &amd64(), &[]).unwrap_err();
    for (text, code, shown) in [
        ("spk-absent", "E703", "`spk-absent`"),
        ("spk-app==7", "E703", "`spk-app==7`"),
        ("spk-source", "E704", "spk-source"),
        ("spk-win==1.0", "E705", "win_amd64"),
        ("spk-newer", "E710", "3.13"),
    ] {
        let error = lock(text);
        assert_eq!(error.code(), code, "{text}: {error}");
        assert!(error.to_string().contains(shown), "{text}: {error}");
    }
    let conflict = lock("spk-wants-two\nspk-two==2.0");
    assert_eq!(conflict.code(), "E706");
    assert!(
        conflict.to_string().contains("depends on spk-two<2"),
        "{conflict}"
    );
    let wrong = format!("spk-old==1.0 --hash=sha256:{}", "0".repeat(64));
    let error = lock(&wrong);
    assert_eq!(error.code(), "E182");
    let zeros = "0".repeat(64);
    let told = format!(
        "requirements.txt:1:1: the hash sha256:{zeros} is not that of any wheel of spk-old 1.0"
    );
    assert_eq!(error.to_string(), told);
    let right = index.digest("spk_old-1.0-py3-none-any");
    let line = format!("write `spk-old==1.0 --hash={right}`");
    assert!(error.hint().unwrap().contains(&line), "{:?}", error.hint());
    let two = format!("{wrong} --hash=sha256:{}", "1".repeat(64));
    let error = lock(&two);
    assert!(
        error.to_string().contains("each of the 2 hashes is not"),
        "{error}"
    );
    let with_right = format!("{wrong} --hash={right}");
    let resolved = lock_by_both(Some(&index.url), &with_right, &amd64(), &[]).unwrap();
    assert_eq!(resolved.wheels[0].sha256, right);
}

#[test]
fn a_wheel_that_changed_is_not_installed() {
    let index = TestIndex::new();
    let mut wheels = lock_by_both(Some(&index.url), "spk-old", &amd64(), &[])
        .unwrap()
        .wheels;
    let got = std::mem::replace(&mut wheels[0].sha256, Digest::of(b"other"));
    for installer in installers(Some(&index.url)) {
        let folder = tempfile::tempdir().unwrap();
        let error = installer
            .install(&wheels, &amd64(), None, folder.path())
            .unwrap_err();
        let wanted = format!(
            "`spk-old==1.0` is not what was locked: {} is expected, the index gives {got}",
            wheels[0].sha256
        );
        assert_eq!(error.to_string(), wanted);
        assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 0);
    }
}

#[test]
fn an_index_that_does_not_answer_or_refuses_is_told_apart_and_no_secret_is_shown() {
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://u:canary@{}/simple", listener.local_addr().unwrap())
    };
    let error = lock_by_both(Some(&closed), "spk-app", &amd64(), &[]).unwrap_err();
    assert_eq!(error.code(), "E708", "{error}");
    for (status, code) in [(503, "E708"), (401, "E709"), (403, "E709"), (404, "E703")] {
        let index = TestIndex::answering(status);
        let url = index.url.replace("://", "://u:canary@");
        for installer in installers(Some(&url)) {
            let error = installer
                .lock(&requirements("spk-app"), &amd64(), &[])
                .unwrap_err();
            assert_eq!(error.code(), code, "{status}: {error}");
            assert!(!format!("{error:?}").contains("canary"), "{error}");
        }
    }
}

#[test]
fn offline_only_what_lies_on_this_machine_is_installed() {
    let index = TestIndex::new();
    let wheels = lock_by_both(Some(&index.url), "spk-old", &amd64(), &[])
        .unwrap()
        .wheels;
    let [mut uv, mut pip] = installers(Some(&index.url));
    let install = |installer: &Installer| {
        let folder = tempfile::tempdir().unwrap();
        installer.install(&wheels, &amd64(), None, folder.path())
    };
    (uv.offline, pip.offline) = (true, true);
    for installer in [&uv, &pip] {
        let error = install(installer).unwrap_err();
        assert_eq!(error.code(), "E035", "{error}");
        assert!(error.hint().unwrap().contains("--offline"));
    }
    uv.offline = false;
    install(&uv).unwrap();
    uv.offline = true;
    install(&uv).unwrap();
    // pip cannot use its cache offline, but accepts a folder.
    let folder = tempfile::tempdir().unwrap();
    let (path, bytes) = wheel("spk_old-1.0-py3-none-any", &[("spk_old.py", "")], &[]);
    let file = path.rsplit('/').next().unwrap();
    fs_err::write(folder.path().join(file), bytes).unwrap();
    let places = format!("{} https://elsewhere.example/", folder.path().display());
    pip.index.settings.insert("find-links", places);
    install(&pip).unwrap();
}

#[test]
fn wheels_that_share_harmless_files_give_the_same_bytes_by_both() {
    let index = TestIndex::new();
    let resolved = lock_by_both(
        Some(&index.url),
        "spk-shares-b\nspk-shares-a",
        &amd64(),
        &[],
    );
    let files = install_by_both(Some(&index.url), &resolved.unwrap().wheels, &amd64());
    for (path, text) in [
        ("LICENSE", "license of a"),
        ("tests/__init__.py", "A = 1\n"),
    ] {
        let line = format!("{path} false {}", Digest::of(text.as_bytes()));
        let with_path = files
            .iter()
            .filter(|file| file.contains(&format!("/{path} ")));
        let with_path: Vec<_> = with_path.collect();
        assert!(
            matches!(with_path[..], [one] if one.ends_with(&line)),
            "{with_path:?}"
        );
    }
    let clash = lock_by_both(Some(&index.url), "spk-old\nspk-takes-old", &amd64(), &[]);
    let wheels = clash.unwrap().wheels;
    for installer in installers(Some(&index.url)) {
        let folder = tempfile::tempdir().unwrap();
        let into = folder.path();
        installer.install(&wheels, &amd64(), None, into).unwrap();
        let refused = vendor::split(&files_of(into, &wheels));
        let told = "`spk-old==1.0` and `spk-takes-old==1.0` both bring `spk_old.py`, each with other content";
        assert_eq!(refused.unwrap_err().to_string(), told);
    }
}

#[test]
fn a_wheel_that_is_not_what_its_name_says_is_refused() {
    let index = TestIndex::new();
    let resolved = lock_by_both(Some(&index.url), "spk-windows", &amd64(), &[]).unwrap();
    for installer in installers(Some(&index.url)) {
        let folder = tempfile::tempdir().unwrap();
        let refused = installer.install(&resolved.wheels, &amd64(), None, folder.path());
        let error = refused.unwrap_err();
        assert_eq!(error.code(), "E183");
        assert_eq!(
            error.to_string(),
            "`spk_windows/_x.cpython-311-x86_64-linux-gnu.so` of \
             `spk_windows-1.0-cp311-cp311-manylinux2014_x86_64.whl` is for Windows (PE), and the image has linux/amd64"
        );
        assert!(error.hint().is_some());
    }
}

/// Versions chosen before are kept, except where the requirements exclude them.
#[test]
fn what_was_chosen_before_stays_where_it_can() {
    let index = TestIndex::new();
    let kept = |pins: &[(&str, &str)], upgraded: &[&str]| Preferences {
        pins: pins
            .iter()
            .map(|(name, version)| Pin::new(name, version))
            .collect(),
        upgraded: upgraded.iter().map(|name| (*name).to_owned()).collect(),
    };
    let both = |text: &str, kept: &Preferences| {
        let [by_uv, by_pip] = installers(Some(&index.url)).map(|installer| {
            let resolved =
                installer.lock_keeping(&requirements(text), &amd64(), &Provided::default(), kept);
            let wheels = resolved.unwrap().wheels;
            let pins = wheels.iter().map(|wheel| wheel.pin().to_string());
            pins.collect::<Vec<_>>()
        });
        assert_eq!(by_uv, by_pip);
        by_uv
    };
    let two = kept(&[("spk-two", "1.0"), ("spk-old", "1.0")], &[]);
    let old = ["spk-old==1.0", "spk-two==1.0"];
    let new = ["spk-old==1.0", "spk-two==2.0"];
    assert_eq!(both("spk-two\nspk-old", &two), old);
    assert_eq!(both("spk-two>1\nspk-old", &two), new, "another range");
    assert_eq!(both("spk-two==2.0\nspk-old", &two), new, "another pin");
    let upgraded = kept(&[("spk-two", "1.0"), ("spk-old", "1.0")], &["spk-two"]);
    assert_eq!(both("spk-two\nspk-old", &upgraded), new);
    // The index no longer has that version.
    let gone = kept(&[("spk-two", "1.5"), ("spk-old", "1.0")], &[]);
    assert_eq!(both("spk-two\nspk-old", &gone), new);
    // A package that is no longer required is dropped.
    assert_eq!(both("spk-two", &two), ["spk-two==1.0"]);
}

/// Resolves above other images with both installers, which have to agree; the pins of what is shipped and of what is left out.
#[expect(clippy::panic_in_result_fn, reason = "a disagreement fails the test")]
fn above_by_both(
    index: &TestIndex,
    text: &str,
    provided: &Provided,
) -> Result<[Vec<String>; 2], PythonError> {
    let [by_uv, by_pip] = installers(Some(&index.url)).map(|installer| {
        let nothing = Preferences::default();
        installer.lock_keeping(&requirements(text), &amd64(), provided, &nothing)
    });
    let pins = |resolved: Resolved| {
        let wheels = resolved.wheels.iter().map(|wheel| wheel.pin().to_string());
        let left_out = resolved.left_out.iter().map(ToString::to_string);
        [wheels.collect(), left_out.collect()]
    };
    let code =
        |resolved: &Result<Resolved, PythonError>| resolved.as_ref().err().map(PythonError::code);
    assert_eq!(code(&by_uv), code(&by_pip), "{by_uv:?}\n{by_pip:?}");
    let (by_uv, by_pip) = (by_uv.map(pins)?, by_pip.map(pins)?);
    assert_eq!(by_uv, by_pip);
    Ok(by_uv)
}

/// An image below with `spk-bound`, which was asked for, and with `spk-along` in this version.
fn below(along: &str) -> Provided {
    Provided {
        binding: vec![Pin::new("spk-bound", "1.0")],
        on_index: ["spk-bound".to_owned()].into(),
        along: vec![Pin::new("spk-along", along)],
        ..Provided::default()
    }
}

#[test]
fn what_came_along_is_replaced_only_where_it_does_not_fit() {
    let index = TestIndex::new();
    // An older `spk-top` would do with what is there, but that is no reason to take it.
    let [wheels, left_out] = above_by_both(&index, "spk-top", &below("4.0")).unwrap();
    assert_eq!(wheels, ["spk-along==2.0", "spk-top==2.0"]);
    assert_eq!(left_out, [""; 0]);
    // It fits: the same version is not shipped again, though there is a newer one.
    let [wheels, left_out] = above_by_both(&index, "spk-top", &below("1.0")).unwrap();
    assert_eq!(wheels, ["spk-top==2.0"]);
    assert_eq!(left_out, ["spk-along==1.0"]);
}

#[test]
fn what_replaces_others_has_to_fit_what_stays() {
    let index = TestIndex::new();
    // `spk-bound` needs `spk-along>=2`: what a job has in its place is so for both.
    let [wheels, _] = above_by_both(&index, "spk-along<4\nspk-two", &below("4.0")).unwrap();
    assert_eq!(wheels, ["spk-along==2.0", "spk-two==2.0"]);
    let error = above_by_both(&index, "spk-along<2", &below("4.0")).unwrap_err();
    assert_eq!(error.code(), "E706", "{error}");
    assert!(error.names().contains("spk-bound"), "{error}");
    let unknown = Provided {
        on_index: BTreeSet::new(),
        ..below("4.0")
    };
    let [wheels, _] = above_by_both(&index, "spk-along<2", &unknown).unwrap();
    assert_eq!(wheels, ["spk-along==1.0"]);
    // Nor does anybody know what a version needs that the index does not have.
    let gone = Provided {
        binding: vec![Pin::new("spk-bound", "0.9")],
        ..below("4.0")
    };
    let [wheels, _] = above_by_both(&index, "spk-along<2", &gone).unwrap();
    assert_eq!(wheels, ["spk-along==1.0"]);
}

#[test]
fn extras_of_what_is_below_bring_what_they_name() {
    let index = TestIndex::new();
    let [wheels, left_out] = above_by_both(&index, "spk-bound[more]", &below("4.0")).unwrap();
    assert_eq!(wheels, ["spk-old==1.0"]);
    assert_eq!(left_out, ["spk-along==4.0", "spk-bound==1.0"]);
    let elsewhere = Provided {
        on_index: BTreeSet::new(),
        ..below("4.0")
    };
    let [wheels, _] = above_by_both(&index, "spk-bound[more]", &elsewhere).unwrap();
    assert_eq!(wheels, ["spk-old==1.0"]);
    let spark = Provided {
        binding: vec![Pin::new("pyspark", "4.1.4")],
        spark_extras: vec!["spk-two<2; extra == \"connect\"".to_owned()],
        ..Provided::default()
    };
    for (text, wanted) in [
        ("pyspark[connect]==4.1.4", &["spk-two==1.0"][..]),
        ("pyspark==4.1.4", &[]),
    ] {
        let [wheels, left_out] = above_by_both(&index, text, &spark).unwrap();
        assert_eq!(wheels, wanted, "{text}");
        assert_eq!(left_out, ["pyspark==4.1.4"]);
    }
}

#[test]
fn an_installer_that_takes_too_long_is_stopped_and_tells_what_it_did() {
    let index = TestIndex::serve(packages(), Some(SILENT));
    for mut installer in installers(Some(&index.url)) {
        let told = |seconds: u64| {
            installer.limit = Duration::from_secs(seconds);
            let resolved = installer.lock(&requirements("spk-app"), &amd64(), &[]);
            let error = resolved.unwrap_err();
            assert_eq!(error.code(), "E181", "{error}");
            assert!(error.hint().unwrap().contains("time-limit"));
            let start = format!("has not chosen the wheels in {seconds} s");
            assert!(error.to_string().contains(&start), "{error}");
            error.to_string()
        };
        // A busy machine may take long until there is anything to tell.
        let mut told = [1, 4, 16, 59].into_iter().map(told);
        let is_complete = |text: &String| text.contains("busy with:\n") && text.contains("spk-app");
        assert!(told.any(|text| is_complete(&text)));
    }
}

/// A name that the main index and an extra one both have is refused, unless its index is named.
#[test]
fn who_owns_a_name_on_one_index_cannot_replace_what_another_has() {
    let public = TestIndex::new();
    let mut own: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for stem in ["spk_mine-1.0-py3-none-any", "spk_two-9.0-py3-none-any"] {
        own.extend([wheel(stem, &[("m.py", "")], &[])]);
    }
    let own = TestIndex::serve(own, None);
    let own_url = own.url.replace("://", "://u:canary@");
    let lock = |text: &str, named: Option<&str>| {
        let [by_uv, by_pip] = installers(Some(&public.url)).map(|mut installer| {
            installer
                .index
                .settings
                .insert("extra-index-url", own_url.clone());
            let named = named.map(|url| ("spk-two".to_owned(), url.to_owned()));
            installer.indexes.extend(named);
            let resolved = installer.lock(&requirements(text), &amd64(), &[]);
            resolved.map_or_else(
                |error| format!("{}: {error}", error.code()),
                |resolved| file_names(&resolved.wheels).join(" "),
            )
        });
        assert_eq!(by_uv, by_pip);
        assert!(!by_uv.contains("canary"), "{by_uv}");
        by_uv
    };
    let each_of_one = "spk_mine-1.0-py3-none-any.whl spk_old-1.0-py3-none-any.whl";
    assert_eq!(lock("spk-mine\nspk-old", None), each_of_one);
    let masked = own_url.replace("u:canary", "***");
    let told = format!(
        "E184: `spk-two` is on more than one index: {masked} and {}",
        public.url
    );
    assert_eq!(lock("spk-two", None), told);
    assert_eq!(
        lock("spk-two", Some(&own.url)),
        "spk_two-9.0-py3-none-any.whl"
    );
    let told = format!(
        "E184: `spk_two-9.0-py3-none-any.whl` is not a file of {}, which `[python.indexes]` names for it",
        public.url
    );
    assert_eq!(lock("spk-two", Some(&public.url)), told);
}

#[test]
fn an_installer_that_is_not_there_is_an_error() {
    let fetching = Fetching::default();
    let absent = Installer::at(Tool::Uv, "/nowhere/uv", &fetching);
    let error = absent
        .lock(&requirements("six"), &amd64(), &[])
        .unwrap_err();
    assert_eq!(error.code(), "E713");
    assert!(error.to_string().contains("/nowhere/uv"), "{error}");
    assert_eq!(
        Installer::find(Some(Tool::Pip), &fetching).unwrap().tool(),
        Tool::Pip
    );
}

/// A package index (PEP 503) on the loopback interface, which runs until the test's process ends.
struct TestIndex {
    url: String,
    digests: BTreeMap<String, Digest>,
}

/// In place of a status: nothing is ever answered.
const SILENT: u16 = 0;

impl TestIndex {
    fn new() -> Self {
        Self::serve(packages(), None)
    }

    /// An index that answers every request with a status.
    fn answering(status: u16) -> Self {
        Self::serve(BTreeMap::new(), Some(status))
    }

    fn serve(files: BTreeMap<String, Vec<u8>>, status: Option<u16>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // A path of its own: uv's cache is that of this machine, and goes by the address. Another run may have had this port.
        let prefix = format!("/{}", RandomState::new().hash_one(""));
        let url = format!("http://{}{prefix}/simple", listener.local_addr().unwrap());
        let pages = pages(&files);
        let digests = files.iter().map(|(path, bytes)| {
            let file = path.rsplit('/').next().unwrap();
            (file.to_owned(), Digest::of(bytes))
        });
        let digests = digests.collect();
        std::thread::spawn(move || {
            let mut unanswered = Vec::new();
            for stream in listener.incoming() {
                if status == Some(SILENT) {
                    unanswered.push(stream);
                    continue;
                }
                let Ok(mut stream) = stream else { continue };
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut first = String::new();
                let mut line = String::new();
                if reader.read_line(&mut first).is_err() {
                    continue;
                }
                while reader.read_line(&mut line).is_ok_and(|count| count > 2) {
                    line.clear();
                }
                let path = first.split(' ').nth(1).unwrap_or_default();
                let path = path.strip_prefix(&prefix).unwrap_or_default();
                let (status, kind, body) = match (status, pages.get(path), files.get(path)) {
                    (Some(status), ..) => (status, "text/plain", &[][..]),
                    (None, Some(page), _) => (200, "text/html", page.as_bytes()),
                    (None, None, Some(file)) => (200, "application/octet-stream", &file[..]),
                    (None, None, None) => (404, "text/plain", &[][..]),
                };
                let head = format!(
                    "HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                let head_only = first.starts_with("HEAD");
                let _ = stream.write_all(head.as_bytes());
                let _ = stream.write_all(if head_only { &[] } else { body });
            }
        });
        Self { url, digests }
    }

    /// The digest of a wheel.
    fn digest(&self, stem: &str) -> Digest {
        self.digests[&format!("{stem}.whl")].clone()
    }
}

/// The pages of the index: each project's files with their hashes.
fn pages(files: &BTreeMap<String, Vec<u8>>) -> BTreeMap<String, String> {
    let mut pages: BTreeMap<String, String> = BTreeMap::new();
    for (path, bytes) in files {
        let (folder, file) = path.rsplit_once('/').unwrap();
        let hash = Digest::of(bytes);
        let python = if file.contains("newer") {
            " data-requires-python=\"&gt;=3.13\""
        } else {
            ""
        };
        let link = format!(
            "<a href=\"{file}#sha256={}\"{python}>{file}</a>\n",
            hash.hex()
        );
        pages
            .entry(format!("{folder}/"))
            .or_default()
            .push_str(&link);
    }
    pages
}

const APP: [(&str, &str); 6] = [
    ("spk_app/__init__.py", ""),
    ("spk_app/tool.sh", "#!/bin/sh\n"),
    ("spk_app-1.0.data/scripts/spk", "#!python\n"),
    ("spk_app-1.0.data/headers/spk.h", "/* */\n"),
    ("spk_app-1.0.data/data/share/spk/data.txt", "data\n"),
    (
        "spk_app-1.0.dist-info/entry_points.txt",
        "[console_scripts]\nspk-run = spk_app:main\n",
    ),
];

const APP_NEEDS: [&str; 3] = [
    "spk-native>=0.9",
    "spk-arm ; platform_machine == \"aarch64\"",
    "spk-win ; os_name == \"nt\"",
];

fn packages() -> BTreeMap<String, Vec<u8>> {
    let mut files: BTreeMap<String, Vec<u8>> = [
        wheel("spk_app-1.0-py3-none-any", &APP, &APP_NEEDS),
        wheel(
            "spk_needs_spark-1.0-py3-none-any",
            &[("needs.py", "")],
            &["pyspark>=4"],
        ),
        wheel(
            "spk_wants_two-1.0-py3-none-any",
            &[("wants.py", "")],
            &["spk-two<2"],
        ),
    ]
    .into();
    for stem in [
        "spk_native-1.0-cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64",
        "spk_native-1.0-cp38-abi3-manylinux2014_x86_64",
        "spk_native-1.0-py3-none-manylinux2014_x86_64",
        "spk_native-1.0-1-cp38-abi3-manylinux_2_17_aarch64",
        "spk_native-1.0-2-cp38-abi3-manylinux_2_17_aarch64",
        "spk_native-1.0-cp311-cp311-manylinux_2_39_x86_64",
    ] {
        let native = [("spk_native.so", stem), ("spk_native.libs/libz.so.1", "z")];
        files.extend([wheel(stem, &native, &[])]);
    }
    files.extend(one_module_each());
    files.extend(odd_wheels());
    for source in [
        "spk-source/spk_source-1.0.tar.gz",
        "pyspark/pyspark-4.1.4.tar.gz",
    ] {
        files.insert(format!("/simple/{source}"), b"x".to_vec());
    }
    files
}

/// Wheels above others, and some that do not fit each other or the image.
fn odd_wheels() -> BTreeMap<String, Vec<u8>> {
    [
        wheel(
            "spk_shares_a-1.0-py3-none-any",
            &[
                ("a.py", ""),
                ("LICENSE", "license of a"),
                ("tests/__init__.py", "A = 1\n"),
            ],
            &[],
        ),
        wheel(
            "spk_shares_b-1.0-py3-none-any",
            &[
                ("b.py", ""),
                ("LICENSE", "license of b"),
                ("tests/__init__.py", "B = 1\n"),
            ],
            &[],
        ),
        wheel(
            "spk_takes_old-1.0-py3-none-any",
            &[("spk_old.py", "other")],
            &[],
        ),
        wheel(
            "spk_windows-1.0-cp311-cp311-manylinux2014_x86_64",
            &[(
                "spk_windows/_x.cpython-311-x86_64-linux-gnu.so",
                "MZ and more",
            )],
            &[],
        ),
        wheel(
            "spk_top-1.0-py3-none-any",
            &[("top.py", "")],
            &["spk-along"],
        ),
        wheel(
            "spk_top-2.0-py3-none-any",
            &[("top.py", "")],
            &["spk-along<3"],
        ),
        wheel(
            "spk_bound-1.0-py3-none-any",
            &[("bound.py", "")],
            &["spk-along>=2", "spk-old ; extra == \"more\""],
        ),
    ]
    .into()
}

/// Wheels with a single module.
fn one_module_each() -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for stem in [
        "spk_arm-1.0-py3-none-any",
        "spk_old-1.0-py3-none-any",
        "spk_win-1.0-cp311-cp311-win_amd64",
        "spk_newer-1.0-py3-none-any",
        "spk_two-1.0-py3-none-any",
        "spk_two-2.0-py3-none-any",
        "spk_along-1.0-py3-none-any",
        "spk_along-2.0-py3-none-any",
        "spk_along-4.0-py3-none-any",
    ] {
        let module = format!("{}.py", stem.split('-').next().unwrap());
        files.extend([wheel(stem, &[(&module, "")], &[])]);
    }
    files
}

/// A wheel and its path on the index; scripts and libraries in it are executable.
fn wheel(stem: &str, files: &[(&str, &str)], requires: &[&str]) -> (String, Vec<u8>) {
    let mut parts = stem.split('-');
    let (name, version) = (parts.next().unwrap(), parts.next().unwrap());
    let information = format!("{name}-{version}.dist-info");
    let mut metadata = format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n");
    for requirement in requires {
        if let Some(extra) = run::between(requirement, "extra == \"", "\"") {
            metadata.extend(["Provides-Extra: ", extra, "\n"]);
        }
        metadata += "Requires-Dist: ";
        metadata += requirement;
        metadata += "\n";
    }
    if name.contains("newer") {
        metadata += "Requires-Python: >=3.13\n";
    }
    let tags: Vec<&str> = stem.rsplitn(4, '-').collect();
    let tag = format!("{}-{}-{}", tags[2], tags[1], tags[0]);
    let mut all: Vec<(String, String)> = files
        .iter()
        .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
        .collect();
    all.push((format!("{information}/METADATA"), metadata));
    let pure = tag.ends_with("any");
    let note =
        format!("Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: {pure}\nTag: {tag}\n");
    all.push((format!("{information}/WHEEL"), note));
    let mut record = String::new();
    for (path, text) in &all {
        let digest = hex::decode(Digest::of(text.as_bytes()).hex()).unwrap();
        let hash = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(digest);
        record.extend([path, ",sha256=", &hash, ",", &text.len().to_string(), "\n"]);
    }
    record.extend([information.as_str(), "/RECORD,,\n"]);
    all.push((format!("{information}/RECORD"), record));
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (path, text) in all {
        let executable = path.ends_with("tool.sh") || path.contains(".so");
        let mode = if executable { 0o755 } else { 0o644 };
        zip.start_file(path, SimpleFileOptions::default().unix_permissions(mode))
            .unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    let mut bytes = Vec::new();
    let mut whole = zip.finish().unwrap();
    whole.set_position(0);
    whole.read_to_end(&mut bytes).unwrap();
    let file = format!("/simple/{}/{stem}.whl", name.replace('_', "-"));
    (file, bytes)
}
