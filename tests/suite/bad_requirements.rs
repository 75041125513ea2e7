//! Requirements that cannot be met, or must not be: each gives one clear error from uv and from pip, with what to do, and
//! nothing is written.

use crate::support::{Index, TestProject};

const BOTH: [&str; 2] = ["uv", "pip"];

fn project(index: &Index, installer: &str, files: &[(&str, &str)]) -> TestProject {
    let project = TestProject::with_index(index, installer, "requirements.txt", "");
    for (path, text) in files {
        project.write(path, text);
    }
    project
}

fn index() -> Index {
    let index = Index::new();
    for stem in ["spk_lib-1.0", "spk_lib-2.0", "spk_dep-1.0"] {
        index.add(&format!("{stem}-py3-none-any"), &[]);
    }
    index
}

/// A run of `package` with requirements that it refuses: its exit code, what it says, and that nothing is changed.
fn refused(index: &Index, installer: &str, files: &[(&str, &str)]) -> (i32, String) {
    let project = project(index, installer, files);
    let before = project.files();
    let run = project.run(&["package"]);
    assert_ne!(run.code, 0, "{}", run.stderr);
    assert_eq!(project.files(), before, "{}", run.stderr);
    let lines = run.stderr.lines();
    let told: Vec<&str> = lines.filter(|line| !line.starts_with("job: ")).collect();
    (run.code, told.join("\n"))
}

/// Requirements, and the beginning of each error with the beginning of its hint.
type Bad<'a> = (&'a [(&'a str, &'a str)], &'a [(&'a str, &'a str)]);

/// What is seen in the files: no index is asked.
#[test]
fn what_the_files_say_is_refused_before_an_index_is_asked() {
    let index = index();
    let (long, zeros) = ("x".repeat(1_000_000), "0".repeat(64));
    let long = format!("spk-lib\n{long}\n");
    let unpinned = format!("spk-lib --hash=sha256:{zeros}\n");
    let cases: &[Bad<'_>] = &[
        (
            &[("requirements.txt", &unpinned)],
            &[(
                "error[E048]: requirements.txt:1:1: `spk-lib` has a hash but no version",
                "pin it: `spk-lib==…`",
            )],
        ),
        (
            &[(
                "requirements.txt",
                "spk-lib==1.0 --hash=md5:0123456789abcdef0123456789abcdef\n",
            )],
            &[(
                "error[E048]: requirements.txt:1:14: a hash of `md5` is not taken",
                "write the SHA-256",
            )],
        ),
        (
            &[(
                "requirements.txt",
                "--index-url https://ada:canary@h.example/simple\nspk-lib\n",
            )],
            &[(
                "error[E042]: requirements.txt:1:13: `https://***@h.example/simple` holds a user or a password",
                "take it out of the file",
            )],
        ),
        (
            &[(
                "requirements.txt",
                "spk-lib\n--extra-index-url https://h.example/simple\n",
            )],
            &[(
                "error[E043]: requirements.txt:2:1: the option `--extra-index-url` cannot be honoured",
                "with two indexes whoever owns the public one",
            )],
        ),
        (
            &[("requirements.txt", "spk-lib\n\n-r other.txt\n")],
            &[(
                "error[E044]: requirements.txt:3:4: `other.txt` cannot be read",
                "the path is taken from the folder of the file",
            )],
        ),
        (
            &[
                ("requirements.txt", "-r a.txt\n"),
                ("a.txt", "spk-lib\n-r b.txt\n"),
                ("b.txt", "-r requirements.txt\n"),
            ],
            &[(
                "error[E045]: b.txt:1:4: files include each other: requirements.txt:1 → a.txt:2 → b.txt:1 → requirements.txt",
                "remove one of these lines",
            )],
        ),
        (
            &[
                ("requirements.txt", "Spk_Lib==1.0\n-r more.txt\n"),
                ("more.txt", "# two\nspk.lib==2.0\n"),
            ],
            &[(
                "error[E046]: more.txt:2:1: `spk-lib==2.0`, but requirements.txt:1:1 asks for `spk-lib==1.0`",
                "keep one of the two lines",
            )],
        ),
        (
            &[("requirements.txt", "spk-lib\nspk\0dep\n")],
            &[(
                "error[E040]: requirements.txt:2:4: a NUL character",
                "remove it",
            )],
        ),
        (
            &[("requirements.txt", &long)],
            &[(
                "error[E040]: requirements.txt:2:1: a line of more than 64 KiB: this is no requirement",
                "remove the line",
            )],
        ),
        (
            &[(
                "requirements.txt",
                "-e ../lib\nspk-lib=1\n../spk_lib-1.0-py3-none-any.whl\n",
            )],
            &[
                ("error[E041]: requirements.txt:1:1: `-e ../lib` ", ""),
                ("error[E047]: requirements.txt:2:", "write `==1`"),
                (
                    "error[E169]: requirements.txt:3:1: `../spk_lib-1.0-py3-none-any.whl` is not a file of the project",
                    "copy the wheel into the project",
                ),
            ],
        ),
    ];
    for (files, wanted) in cases {
        let (code, told) = refused(&index, "uv", files);
        assert_eq!(code, 2, "{told}");
        assert!(!told.contains("canary"), "{told}");
        let errors: Vec<&str> = told
            .lines()
            .filter(|line| line.starts_with("error["))
            .collect();
        assert_eq!(errors.len(), wanted.len(), "{told}");
        for ((error, hint), found) in wanted.iter().zip(errors) {
            assert!(found.starts_with(error), "{error}\n{told}");
            assert!(told.contains(&format!("hint: {hint}")), "{hint}\n{told}");
        }
    }
    assert_eq!(index.asked(), 0);
    // A comment may be as long as it likes.
    let long = format!("spk-lib\n# {}\n", "x".repeat(1_000_000));
    project(&index, "uv", &[("requirements.txt", &long)]).succeed(&["package"]);
    let latin = project(&index, "uv", &[]);
    fs_err::write(
        latin.root().join("requirements.txt"),
        b"spk-lib\n# caf\xe9\n",
    )
    .unwrap();
    let told = latin.failure(&["package"]);
    assert!(
        told.contains("error[E040]: requirements.txt:2:6: the byte 0xe9 is not UTF-8"),
        "{told}"
    );
}

/// What only the index tells: the requirement's line, and an exit code of its own for an index that fails.
#[test]
fn what_the_index_says_is_told_with_the_line_of_the_requirement() {
    let index = index();
    index.add("spk_newer-1.0-py3-none-any", &[]);
    let path = "/simple/spk-newer/spk_newer-1.0-py3-none-any.whl";
    let newer = crate::wheels::wheel_for_python("spk_newer", ">=3.13");
    index.put(path, &newer);
    index.put(
        "/simple/spk-source/spk_source-1.0.tar.gz",
        b"setup.py would run",
    );
    index.answer_with("/simple/spk-down", "503 Service Unavailable");
    index.answer_with("/simple/spk-denied", "403 Forbidden");
    index.add("spk_gone-1.0-py3-none-any", &[]);
    index.answer_with("/simple/spk-gone/spk_gone", "404 Not Found");
    for (name, code, error, hint) in [
        (
            "spk-absent",
            2,
            "error[E703]: requirements.txt:2:1: `spk-absent` is not on the package index",
            "correct the name",
        ),
        (
            "spk-lib==9",
            2,
            "error[E703]: requirements.txt:2:1: `spk-lib==9` is not on the package index",
            "",
        ),
        (
            "spk-source",
            2,
            "error[E704]: requirements.txt:2:1: `spk-source",
            "",
        ),
        (
            "spk-newer",
            2,
            "error[E710]: requirements.txt:2:1: `spk-newer",
            "take an older `spk-newer",
        ),
        (
            "spk-down",
            6,
            "error[E708]: the package index cannot be reached: ",
            "check the network",
        ),
        (
            "spk-denied",
            6,
            "error[E709]: the package index denies access: ",
            "put the index's user and password",
        ),
        (
            "spk-gone",
            6,
            "error[E708]: the package index cannot be reached: ",
            "check the network",
        ),
    ] {
        for installer in BOTH {
            let before = index.asked();
            let text = format!("spk-dep\n{name}\n");
            let (exit, told) = refused(&index, installer, &[("requirements.txt", &text)]);
            assert_eq!(exit, code, "{installer}: {told}");
            let errors: Vec<&str> = told
                .lines()
                .filter(|line| line.starts_with("error["))
                .collect();
            assert_eq!(errors.len(), 1, "{installer}: {told}");
            assert!(errors[0].starts_with(error), "{installer}: {told}");
            assert!(
                told.contains(&format!("hint: {hint}")),
                "{installer}: {told}"
            );
            match name {
                // Its own Python and the one that is wanted.
                "spk-newer" => assert!(
                    told.contains(">=3.13") && told.contains("has 3.11"),
                    "{told}"
                ),
                // It may be back the next moment.
                "spk-down" => {
                    let again = index.asked() - before;
                    assert!(
                        again >= 3 && told.contains("503"),
                        "{installer}: {again}: {told}"
                    );
                }
                _ => {}
            }
        }
    }
}

#[test]
fn a_version_that_was_taken_back_is_a_warning_with_its_reason() {
    let index = index();
    index.yank("spk_lib-2.0-py3-none-any", "broken upload");
    for installer in BOTH {
        let pinned = project(
            &index,
            installer,
            &[("requirements.txt", "spk-dep\nspk-lib==2.0\n")],
        );
        let told = pinned.succeed(&["package"]).stderr;
        let wanted = "warning[W151]: requirements.txt:2:1: `spk-lib==2.0` is chosen, but who published it has taken it back: broken upload\n\
                      hint: take another version of `spk-lib`";
        assert!(told.contains(wanted), "{installer}: {told}");
        // Nobody chooses it who does not name it.
        let any = project(&index, installer, &[("requirements.txt", "spk-lib\n")]);
        let told = any.succeed(&["package"]).stderr;
        assert!(!told.contains("warning["), "{installer}: {told}");
        assert!(any.read("requirements.lock").contains("spk-lib==1.0"));
        // There is no other.
        let none = Index::new();
        none.add("spk_lib-1.0-py3-none-any", &[]);
        none.yank("spk_lib-1.0-py3-none-any", "broken upload");
        let (code, told) = refused(&none, installer, &[("requirements.txt", "spk-lib\n")]);
        let wanted = "error[E703]: requirements.txt:1:1: every version of `spk-lib` on the package index has been taken back\nhint: there is `1.0";
        assert_eq!(
            (code, told.contains(wanted)),
            (2, true),
            "{installer}: {told}"
        );
    }
}

/// A condition is one on the image's Python, whichever is on this machine, and a version without a hash gets one in the lock.
#[test]
fn conditions_are_those_of_the_image_and_hashes_are_in_the_lock() {
    let index = index();
    let digest = index.digest("spk_lib-1.0-py3-none-any");
    for installer in BOTH {
        let text = "spk-lib==1.0 ; python_version == '3.11'\nspk-absent ; python_version != '3.11'\nspk-absent ; sys_platform == 'win32'\n";
        let project = project(&index, installer, &[("requirements.txt", text)]);
        let told = project.succeed(&["package"]).stderr;
        assert!(
            told.contains("job: chose 1 wheel for requirements.txt in "),
            "{told}"
        );
        let lock = project.read("requirements.lock");
        assert!(
            lock.contains(&format!("spk-lib==1.0 \\\n    --hash={digest}\n")),
            "{lock}"
        );
        assert!(!lock.contains("spk-absent"), "{lock}");
    }
}

/// Code that two wheels bring differently, a native module, and an index that sends elsewhere or tells no hash.
#[test]
fn what_wheels_bring_is_packed_where_it_works_or_refused() {
    let index = index();
    let with = |name: &str, text: &str| {
        crate::wheels::wheel(
            name,
            &[
                ("spk_common.py", text.as_bytes(), false),
                ("LICENSE", text.as_bytes(), false),
            ],
        )
    };
    for (name, text) in [("spk_one", "VALUE = 1\n"), ("spk_two", "VALUE = 2\n")] {
        let path = format!(
            "/simple/{}/{name}-1.0-py3-none-any.whl",
            name.replace('_', "-")
        );
        index.put(&path, &with(name, text));
    }
    index.add("spk_native-1.0-cp311-cp311-manylinux2014_x86_64", &[]);
    let elsewhere = Index::new();
    elsewhere.add("spk_moved-1.0-py3-none-any", &[]);
    let digest = elsewhere.digest("spk_moved-1.0-py3-none-any");
    index.put(
        "/simple/spk-moved/spk_moved-1.0-py3-none-any.whl",
        &elsewhere.bytes("/simple/spk-moved/spk_moved-1.0-py3-none-any.whl"),
    );
    let location = format!(
        "302 Found\r\nLocation: {}/spk-moved/spk_moved-1.0-py3-none-any.whl",
        elsewhere.url
    );
    index.answer_with("/simple/spk-moved/spk_moved", &location);
    for installer in BOTH {
        let clash = project(
            &index,
            installer,
            &[("requirements.txt", "spk-one\nspk-two\n")],
        );
        let told = clash.failure(&["package"]);
        let wanted = "error[E723]: `spk-one==1.0` and `spk-two==1.0` both bring `spk_common.py`, each with other content";
        assert!(told.contains(wanted), "{told}");
        assert!(!clash.root().join("dist/libs.zip").exists());
        // Python imports no native module out of a zip.
        let native = project(&index, installer, &[("requirements.txt", "spk-native\n")]);
        native.succeed(&["package"]);
        let module = "dist/site-packages/spk_native_native.so";
        assert!(native.root().join(module).is_file());
        // Whoever sends the file, it is the one with the hash.
        let moved = project(&index, installer, &[("requirements.txt", "spk-moved\n")]);
        moved.succeed(&["package"]);
        assert!(
            moved
                .read("requirements.lock")
                .contains(&format!("--hash={digest}"))
        );
        assert!(elsewhere.asked() > 0);
    }
    let other = Index::new();
    other.put(
        "/simple/spk-moved/spk_moved-1.0-py3-none-any.whl",
        &with("spk_moved", "VALUE = 3\n"),
    );
    let location = format!(
        "302 Found\r\nLocation: {}/spk-moved/spk_moved-1.0-py3-none-any.whl",
        other.url
    );
    index.answer_with("/simple/spk-moved/spk_moved", &location);
    for installer in BOTH {
        let moved = project(&index, installer, &[("requirements.txt", "spk-moved\n")]);
        let told = moved.failure(&["package"]);
        assert!(told.contains(digest.hex()), "{installer}: {told}");
        assert!(!moved.root().join("dist/libs.zip").exists(), "{told}");
    }
}

/// An index without hashes: the lock has those of what was fetched, or there is none.
#[test]
fn an_index_that_tells_no_hash_is_no_way_around_the_lock() {
    let index = index();
    index.tell_no_hash();
    let digest = index.digest("spk_lib-1.0-py3-none-any");
    for installer in BOTH {
        let project = project(&index, installer, &[("requirements.txt", "spk-lib==1.0\n")]);
        let run = project.run(&["package"]);
        if run.code == 0 {
            let lock = project.read("requirements.lock");
            assert!(lock.contains(&format!("--hash={digest}")), "{lock}");
        } else {
            assert!(
                run.stderr.contains("error[E712]: "),
                "{installer}: {}",
                run.stderr
            );
            assert!(!project.root().join("requirements.lock").exists());
        }
    }
}
