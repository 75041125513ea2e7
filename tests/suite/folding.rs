//! Names that some disks take for one are refused; on such a disk a checkout has the tags that it has everywhere. What else a disk
//! knows of a file, and no image does, is told.

use std::process::Command;

use crate::support::{TestProject, docker, program, run, small};

/// Two names, and what an error calls them.
type Pair = (&'static str, &'static str, &'static str);

const FORM: &str = "are the same letters in two forms of Unicode: macOS keeps only one of them";
const CASE: &str = "differ only in case: macOS and Windows keep only one of them";

const PAIRS: [Pair; 7] = [
    ("A.py", "a.py", CASE),
    ("Deep/b.py", "deep/c.py", CASE),
    ("caf\u{e9}.py", "cafe\u{301}.py", FORM),
    ("caf\u{e9}/b.py", "cafe\u{301}/c.py", FORM),
    ("CAF\u{c9}.py", "cafe\u{301}.py", CASE),
    ("STRASSE.py", "stra\u{df}e.py", CASE),
    ("strasse.py", "stra\u{df}e.py", CASE),
];

fn project() -> TestProject {
    let project = small::with_folder();
    project.write("shared/tool.py", "");
    project.edit(
        "sparkpack.toml",
        "[images.base]",
        "[sources.shared]\npath = \"shared\"\n\n[images.base]",
    );
    project.edit(
        "sparkpack.toml",
        "[images.side]\n",
        "[images.side]\ncontexts.shared = \"shared\"\n",
    );
    let dockerfile = project.read("docker/side/Dockerfile");
    project.write(
        "docker/side/Dockerfile",
        &format!("{dockerfile}COPY --from=shared / /shared/\n"),
    );
    project
}

/// What the error has of a path: letters that are no ASCII by their numbers, where only those differ.
fn called(path: &str, why: &str) -> String {
    let shown = path.chars().map(|character| match character {
        _ if character.is_ascii() || why == CASE => character.to_string(),
        _ => character.escape_unicode().to_string(),
    });
    let shown: String = shown.collect();
    // Of folders the folders are told.
    shown
        .rsplit_once('/')
        .map_or(shown.clone(), |(folder, _)| folder.to_owned())
}

#[test]
fn two_names_that_a_disk_takes_for_one_are_refused_in_every_tree() {
    for folder in ["src/jobs", "docker/side/all", "shared"] {
        for (first, second, why) in PAIRS {
            let project = project();
            project.succeed(&["tags"]);
            for path in [first, second] {
                project.write(&format!("{folder}/{path}"), "VALUE = 1\n");
            }
            for verb in ["tags", "plan", "check"] {
                let run = project.run(&[verb]);
                assert_eq!(run.code, 2, "{folder}: {first} {second}: {}", run.stderr);
                let is_told = run.stderr.contains("error[E074]")
                    && run.stderr.contains(why)
                    && run.stderr.contains("git mv");
                assert!(is_told, "{folder}: {first} {second}: {}", run.stderr);
                for path in [first, second] {
                    assert!(
                        run.stderr.contains(&called(path, why)),
                        "{path}: {}",
                        run.stderr
                    );
                }
            }
            let run = project.run(&["package"]);
            assert_eq!(
                run.code == 2,
                folder != "shared" || run.stderr.contains("E074"),
                "{}",
                run.stderr
            );
        }
    }
}

#[test]
fn two_names_are_refused_by_packages_of_one_job_and_files_beside_it() {
    let project = project();
    for path in ["one/a.py", "two/b.py", "conf/Dev.json", "conf/dev.json"] {
        project.write(&format!("src/{path}"), "");
    }
    project.edit(
        "sparkpack.toml",
        "src = \"src\"\n",
        "src = \"src/one\"\nmain = \"src/main.py\"\nfiles = [\"src/conf/*.json\"]\n",
    );
    let run = project.run(&["package"]);
    assert!(
        run.code == 2
            && run.stderr.contains("E074")
            && run
                .stderr
                .contains("`src/conf/Dev.json` and `src/conf/dev.json`"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_bit_that_no_image_gets_is_told_and_moves_no_tag() {
    let project = project();
    let mode = |path: &str, mode| {
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
        fs_err::set_permissions(project.root().join(path), permissions).unwrap();
    };
    for (path, plain, special) in [
        ("src/jobs/one.py", 0o644, 0o2644),
        ("docker/side/all/side.txt", 0o755, 0o4755),
    ] {
        mode(path, plain);
        let wanted = project.succeed(&["tags"]).stdout;
        mode(path, special);
        let run = project.succeed(&["tags"]);
        assert_eq!(run.stdout, wanted);
        let warning = format!("warning[W128]: {path}:1:1: it has the setuid or setgid bit");
        assert!(run.stderr.contains(&warning), "{}", run.stderr);
        mode(path, plain);
        assert!(!project.succeed(&["tags"]).stderr.contains("W128"));
    }
}

/// Whoever gives a program capabilities counts on them. A sticky bit means nothing for a file, and access lists, like users,
/// are those of one machine.
#[test]
fn capabilities_that_no_image_gets_are_told_and_move_no_tag() {
    if program("id", &["-u"]).trim() != "0" {
        assert!(std::env::var_os("CI").is_none(), "only root gives them");
        return;
    }
    let project = project();
    let path = "docker/side/all/side.txt";
    let file = project.root().join(path);
    let mode = |mode| {
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
        fs_err::set_permissions(&file, permissions).unwrap();
    };
    mode(0o755);
    let wanted = project.succeed(&["tags"]).stdout;
    let any = rustix::fs::XattrFlags::empty();
    // Not every disk has those of users.
    let _ = rustix::fs::setxattr(&file, "user.note", b"kept here", any);
    mode(0o1755);
    let silent = project.succeed(&["tags"]);
    assert!(!silent.stderr.contains("W128"), "{}", silent.stderr);
    mode(0o755);
    // The second form, in effect from the start: CAP_NET_BIND_SERVICE is the tenth.
    let mut value = [0_u8; 20];
    value[..4].copy_from_slice(&0x0200_0001_u32.to_le_bytes());
    value[4..8].copy_from_slice(&(1_u32 << 10).to_le_bytes());
    rustix::fs::setxattr(&file, "security.capability", &value, any).unwrap();
    let run = project.succeed(&["tags"]);
    assert_eq!([&silent.stdout, &run.stdout], [&wanted; 2]);
    let warning = format!("warning[W128]: {path}:1:1: it has capabilities, and loses them");
    assert!(run.stderr.contains(&warning), "{}", run.stderr);
}

#[test]
fn names_that_every_disk_tells_apart_are_no_error() {
    let project = project();
    for path in [
        "A.py",
        "b.py",
        "caf\u{e9}.py",
        "cafe.py",
        "\u{df}.py",
        "s.py",
        "Deep/x.py",
        "Deep/y.py",
        "\u{ff41}.py",
    ] {
        project.write(&format!("docker/side/all/{path}"), "");
    }
    project.succeed(&["tags"]);
}

#[test]
fn a_build_refuses_two_such_names_before_the_daemon_is_given_anything() {
    let project = project();
    let reference = project.reference("base");
    for path in ["A.txt", "a.txt"] {
        project.write(&format!("docker/side/all/{path}"), "");
    }
    let run = project.run(&["build"]);
    assert!(
        run.code == 2 && run.stderr.contains("E074"),
        "{}",
        run.stderr
    );
    assert_eq!(docker(&["images", "--quiet", &reference]), "");
}

/// A folder on a disk that does not tell upper and lower case apart, lists all names in small letters, and says that every file is executable.
struct FoldingDisk {
    folder: tempfile::TempDir,
}

impl FoldingDisk {
    /// None where the machine cannot have one; in a CI that is a failure.
    fn new() -> Option<Self> {
        let has = |name: &str| {
            let paths = std::env::var_os("PATH").unwrap();
            std::env::split_paths(&paths).any(|folder| folder.join(name).exists())
        };
        if !has("lowntfs-3g") || !std::path::Path::new("/dev/fuse").exists() {
            assert!(
                std::env::var_os("CI").is_none(),
                "this test needs lowntfs-3g and FUSE"
            );
            // Written to stderr directly: the test's captured output is shown only if it fails.
            let message =
                "SKIPPED: a checkout on a disk that folds names needs lowntfs-3g and FUSE\n";
            std::io::Write::write_all(&mut std::io::stderr(), message.as_bytes()).unwrap();
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("disk.img");
        let there = folder.path().join("disk");
        fs_err::create_dir(&there).unwrap();
        fs_err::File::create(&image)
            .unwrap()
            .set_len(32 << 20)
            .unwrap();
        program(
            "mkntfs",
            &["--quick", "--force", "--quiet", image.to_str().unwrap()],
        );
        program(
            "lowntfs-3g",
            &[
                "-o",
                "ignore_case",
                image.to_str().unwrap(),
                there.to_str().unwrap(),
            ],
        );
        Some(Self { folder })
    }

    fn root(&self) -> std::path::PathBuf {
        self.folder.path().join("disk")
    }
}

impl Drop for FoldingDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(self.root()).status());
    }
}

#[test]
fn a_checkout_on_a_disk_that_folds_names_has_the_tags_of_every_other() {
    let Some(disk) = FoldingDisk::new() else {
        return;
    };
    let project = project();
    for (path, text) in [
        ("src/Jobs2/__init__.py", ""),
        ("src/Jobs2/BigOne.py", "VALUE = 2\n"),
        ("src/Jobs2/\u{c9}t\u{e9}.txt", "summer\n"),
        ("docker/side/all/README.txt", "read\n"),
        ("docker/side/all/Deep/Run.sh", "#!/bin/sh\n"),
        ("docker/side/all/Deep/Plain.sh", "#!/bin/sh\n"),
        ("shared/Sub/Tool.py", "VALUE = 3\n"),
        ("src/Conf/Dev.json", "{}\n"),
    ] {
        project.write(path, text);
    }
    project.edit(
        "sparkpack.toml",
        "src = \"src\"\n",
        "src = \"src\"\nmain = \"main.py\"\nfiles = [\"[cC]onf/*.json\"]\n",
    );
    let run_sh = project.root().join("docker/side/all/Deep/Run.sh");
    fs_err::set_permissions(run_sh, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    project.begin_git();
    project.git(&["add", "--all"]);
    let wanted = project.succeed(&["tags"]).stdout;
    let copy = disk.root().join("copy");
    project.git(&["commit", "--quiet", "--message", "x"]);
    // git finds out what the disk cannot do, and notes it.
    let paths = [project.root(), copy.clone()].map(|path| path.to_str().unwrap().to_owned());
    program("git", &["clone", "--quiet", &paths[0], &paths[1]]);
    for (setting, value) in [("core.ignoreCase", "true"), ("core.fileMode", "false")] {
        let noted = program("git", &["-C", &paths[1], "config", setting]);
        assert_eq!(noted.trim(), value);
    }
    let names = fs_err::read_dir(copy.join("docker/side/all")).unwrap();
    let mut names: Vec<String> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        ["deep", "readme.txt", "side.txt"],
        "as the disk lists them"
    );
    let tags = |name: &str| {
        let mut command = project.command(&["tags"]);
        command.current_dir(disk.root().join(name));
        run(&mut command)
    };
    let here = tags("copy");
    assert_eq!(
        (here.stdout.as_str(), here.stderr.as_str()),
        (wanted.as_str(), "")
    );
    assert_eq!(tags("COPY").stdout, wanted, "by another name of the folder");
    fs_err::write(copy.join("docker/side/all/Deep/PLAIN.sh"), "#!/bin/bash\n").unwrap();
    assert_ne!(tags("copy").stdout, wanted, "a change is seen");
}
