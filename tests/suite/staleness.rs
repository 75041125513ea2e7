//! A changed file is always noticed, and a stat cache with any defect costs only time.

use std::{
    os::unix::fs::{FileExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use sparkpack::image::Digest;

use crate::support::{Root, SETTLED, TestProject, program, remove_images, run, small, started_by};

const ROOT: &str = "registry.example/root:1";

/// The same for a file system whose times are whole seconds.
const SETTLED_ON_A_SLOW_CLOCK: Duration = Duration::from_millis(3300);

/// The small project with files for the edits: twins of the same size, links, a script, two folders with equal content.
fn project() -> TestProject {
    let project = small::project(ROOT, "registry.example");
    project.write("sparkpack.lock", &small::lock(ROOT));
    project.write("src/jobs/two.py", "VALUE = 2\n");
    project.write("src/left/x.py", "SIDE = 'l'\n");
    project.write("src/right/x.py", "SIDE = 'r'\n");
    project.write("docker/ds/other.txt", "os\n");
    shell(
        &project,
        "printf '#!/bin/sh\\n' >src/jobs/run.sh; chmod 755 src/jobs/run.sh; \
         ln -s one.py src/jobs/link.py; ln -s ds.txt docker/ds/link.txt",
    );
    project
}

/// Runs a script in the project; `keep` stores the times of a file and `back` gives them to a file.
fn shell(project: &TestProject, script: &str) {
    let prelude = "set -eu; cd \"$1\"; S=$1/../noted; one=src/jobs/one.py; two=src/jobs/two.py; \
                   keep() { touch -r \"$1\" \"$S\"; }; back() { touch -r \"$S\" \"$1\"; };";
    let root = project.root();
    let arguments = [
        "-c",
        &format!("{prelude} {script}"),
        "sh",
        root.to_str().unwrap(),
    ];
    program("sh", &arguments);
}

fn tags(project: &TestProject) -> String {
    project.succeed(&["tags"]).stdout
}

/// The tags with an empty cache.
fn tags_without_cache(project: &TestProject) -> String {
    let empty = tempfile::tempdir().unwrap();
    let run = run(project
        .command(&["tags"])
        .env("SPARKPACK_CACHE", empty.path()));
    assert_eq!(run.code, 0, "{}", run.stderr);
    run.stdout
}

/// A preparation before the first run, and the edit after it.
type Edit = (&'static str, &'static str, &'static str);

const IN_PLACE: &str = "python3 -c \"import mmap; f = open('src/jobs/one.py', 'r+b'); m = mmap.mmap(f.fileno(), 0); \
                        m[8:9] = b'3'; m.close()\";";

const EDITS: [Edit; 44] = [
    ("another length", "", "echo 'VALUE = 10' >$one"),
    ("the same length", "", "echo 'VALUE = 3' >$one"),
    (
        "the same length and time",
        "",
        "keep $one; echo 'VALUE = 3' >$one; back $one",
    ),
    (
        "the same time by utimensat",
        "",
        "python3 -c \"import os; s = os.stat('src/jobs/one.py'); open('src/jobs/one.py', 'w').write('VALUE = 3\\n'); \
         os.utime('src/jobs/one.py', ns=(s.st_atime_ns, s.st_mtime_ns))\"",
    ),
    (
        "two files swapped",
        "",
        "mv $one t; mv $two $one; mv t $two",
    ),
    (
        "two files of one time swapped",
        "touch -d @1700000000 $one $two",
        "mv $one t; mv $two $one; mv t $two",
    ),
    (
        "contents of two files swapped, times kept",
        "touch -d @1700000000 $one $two",
        "keep $one; cat $one >t; cat $two >$one; cat t >$two; rm t; back $one; back $two",
    ),
    (
        "another file renamed over it",
        "",
        "echo 'VALUE = 3' >t; mv t $one",
    ),
    (
        "another file of its time renamed over it",
        "",
        "keep $one; echo 'VALUE = 3' >t; back t; mv t $one",
    ),
    (
        "unpacked from an archive with its time",
        "",
        "keep $one; mkdir -p ../tar/src/jobs; echo 'VALUE = 3' >../tar/$one; back ../tar/$one; \
         tar -C ../tar -cf ../t.tar $one; tar -xpf ../t.tar",
    ),
    (
        "copied over with its time",
        "",
        "keep $one; echo 'VALUE = 3' >../t; back ../t; cp -p ../t $one",
    ),
    ("executable", "", "chmod 755 $one"),
    (
        "executable, time kept",
        "",
        "keep $one; chmod 755 $one; back $one",
    ),
    (
        "no longer executable",
        "",
        "keep src/jobs/run.sh; chmod 644 src/jobs/run.sh; back src/jobs/run.sh",
    ),
    ("through a mapping", "", IN_PLACE),
    (
        "through a mapping, time restored",
        "",
        "keep $one; python3 -c \"import mmap; f = open('src/jobs/one.py', 'r+b'); m = mmap.mmap(f.fileno(), 0); \
         m[8:9] = b'3'; m.flush(); m.close()\"; back $one",
    ),
    (
        "one byte in place",
        "",
        "printf 3 | dd of=$one bs=1 seek=8 conv=notrunc status=none",
    ),
    (
        "one byte in place, time restored",
        "",
        "keep $one; printf 3 | dd of=$one bs=1 seek=8 conv=notrunc status=none; back $one",
    ),
    ("longer by a byte", "", "keep $one; echo >>$one; back $one"),
    ("emptied", "", "keep $one; : >$one; back $one"),
    (
        "cut and lengthened with zeros",
        "",
        "keep $one; truncate -s 8 $one; truncate -s 10 $one; back $one",
    ),
    (
        "a hard link to its twin",
        "touch -d @1700000000 $one $two",
        "ln -f $two $one",
    ),
    ("a link to its twin", "", "ln -sf two.py $one"),
    (
        "a link led elsewhere",
        "",
        "ln -sfn two.py src/jobs/link.py",
    ),
    (
        "the file behind a link",
        "",
        "mv $two t; keep $one; echo 'VALUE = 3' >$one; back $one; mv t $two",
    ),
    ("deleted", "", "rm $one src/jobs/link.py"),
    (
        "a new file with an old time",
        "",
        "echo >src/jobs/new.py; touch -d @1 src/jobs/new.py",
    ),
    ("renamed", "", "mv $two src/jobs/duo.py"),
    ("renamed in its case", "", "mv $two src/jobs/Two.py"),
    (
        "two folders that look the same swapped",
        "touch -d @1700000000 src/left/x.py src/right/x.py src/left src/right",
        "mv src/left t; mv src/right src/left; mv t src/right; touch -d @1700000000 src/left src/right",
    ),
    ("a folder renamed", "", "mv src/left src/centre"),
    (
        "a folder replaced by a link to its twin",
        "touch -d @1700000000 src/left/x.py src/right/x.py",
        "rm -r src/left; ln -s right src/left",
    ),
    (
        "a time of 1970",
        "touch -d @1 $one",
        "keep $one; echo 'VALUE = 3' >$one; back $one",
    ),
    (
        "a time before 1970",
        "touch -d 1960-01-01 $one",
        "keep $one; echo 'VALUE = 3' >$one; back $one",
    ),
    (
        "a time in a year's time, as after the clock was put back",
        "touch -d '+1 year' $one",
        "keep $one; echo 'VALUE = 3' >$one; back $one",
    ),
    (
        "times of two seconds",
        "touch -d @$(($(date +%s) / 2 * 2)) $one",
        "echo 'VALUE = 3' >$one; touch -d @$(($(date +%s) / 2 * 2)) $one",
    ),
    ("by sed", "", "keep $one; sed -i 's/1/3/' $one; back $one"),
    (
        "deleted and written again, with its time",
        "",
        "keep $one; rm $one; echo 'VALUE = 3' >$one; back $one",
    ),
    (
        "twice",
        "",
        "keep $one; echo 'VALUE = 4' >$one; back $one; echo 'VALUE = 3' >$one; back $one",
    ),
    (
        "the main file",
        "",
        "keep src/main.py; echo \"print('MAIN')\" >src/main.py; back src/main.py",
    ),
    (
        "a file of the context",
        "",
        "keep docker/ds/ds.txt; echo DS >docker/ds/ds.txt; back docker/ds/ds.txt",
    ),
    (
        "the bit of a file of the context",
        "",
        "keep docker/ds/ds.txt; chmod 755 docker/ds/ds.txt; back docker/ds/ds.txt",
    ),
    (
        "a link of the context",
        "",
        "ln -sfn other.txt docker/ds/link.txt",
    ),
    (
        "a Dockerfile",
        "",
        "keep docker/ds/Dockerfile; sed -i s,/opt/ds/,/opt/dt/, docker/ds/Dockerfile; back docker/ds/Dockerfile",
    ),
];

/// Every edit is noticed, in files that are in the cache and in files that were written in the second before.
#[test]
fn an_edit_is_seen_whatever_its_size_and_times() {
    let fresh = || -> Vec<(&Edit, TestProject)> {
        let prepared = EDITS.iter().map(|edit| {
            let project = project();
            shell(&project, edit.1);
            (edit, project)
        });
        prepared.collect()
    };
    let check = |(edit, project): &(&Edit, TestProject), age: &str| {
        let name = edit.0;
        let before = tags(project);
        assert_eq!(tags(project), before, "{name}, {age}: without an edit");
        shell(project, edit.2);
        let after = tags(project);
        assert_eq!(after, tags_without_cache(project), "{name}, {age}");
        assert_ne!(after, before, "{name}, {age}");
        assert_eq!(tags(project), after, "{name}, {age}: once more");
    };
    let settled = fresh();
    std::thread::sleep(SETTLED_ON_A_SLOW_CLOCK);
    for each in &settled {
        check(each, "settled");
    }
    // One after the other, so that the first run starts within milliseconds after the file is written.
    for edit in &EDITS {
        let project = project();
        shell(&project, edit.1);
        check(&(edit, project), "just written");
    }
}

/// Several edits in a row have the same time, in a second in which the cache is written as well.
#[test]
fn edits_within_one_second_are_all_seen() {
    let project = project();
    let mut seen = std::collections::BTreeSet::new();
    for number in 0..10 {
        shell(
            &project,
            &format!("keep $one; echo 'VALUE = {number}' >$one; back $one"),
        );
        assert!(seen.insert(tags(&project)), "edit {number}");
    }
}

/// A program that opened the file earlier continues to write through its handle.
#[test]
fn writes_through_an_old_handle_are_seen() {
    let project = project();
    let file = std::fs::File::options()
        .write(true)
        .open(project.root().join("src/jobs/one.py"))
        .unwrap();
    std::thread::sleep(SETTLED);
    let before = tags(&project);
    file.write_all_at(b"3", 8).unwrap();
    let after = tags(&project);
    assert_ne!(after, before);
    assert_eq!(after, tags_without_cache(&project));
}

/// Another file system is mounted over a file: the same path on another device.
#[test]
fn a_file_mounted_over_another_is_seen() {
    let project = project();
    shell(
        &project,
        "echo 'VALUE = 3' >../over; keep $one; back ../over",
    );
    std::thread::sleep(SETTLED);
    let before = tags(&project);
    shell(&project, "mount --bind ../over $one");
    let mounted = std::panic::catch_unwind(|| (tags(&project), tags_without_cache(&project)));
    shell(&project, "umount $one");
    let (after, wanted) = mounted.unwrap();
    assert_eq!(after, wanted);
    assert_ne!(after, before);
    assert_eq!(tags(&project), before);
}

/// The first run cannot trust the new files, a later one caches their digests, and from then on nothing is written.
#[test]
fn a_run_that_changes_nothing_writes_nothing() {
    let project = project();
    let before = everything(&project.root());
    tags(&project);
    project.succeed(&["plan"]);
    assert_eq!(
        everything(&project.root()),
        before,
        "plan and tags only read"
    );
    std::thread::sleep(SETTLED);
    tags(&project);
    let cache = cache_of(&project);
    assert!(kept(&project).is_file());
    let (files, cached) = (everything(&project.root()), everything(&cache));
    for verb in ["tags", "plan", "tags"] {
        project.succeed(&[verb]);
        assert_eq!(everything(&cache), cached, "{verb} writes nothing new");
    }
    assert_eq!(everything(&project.root()), files);
    shell(&project, "echo 'VALUE = 3' >$one");
    std::thread::sleep(SETTLED);
    tags(&project);
    assert_ne!(everything(&cache), cached, "what has changed is kept anew");
}

/// A file that was just written, or has a time in the future, may be written again and look the same. Files with whole
/// seconds stand for a slow clock, whose tick is long enough for a test.
#[test]
fn what_may_change_unseen_is_not_kept() {
    let project = project();
    let is_kept = |text: &[u8]| {
        let stats = cache_of(&project).join("stats");
        let files = fs_err::read_dir(stats).into_iter().flatten();
        let mut caches = files.map(|file| fs_err::read(file.unwrap().path()).unwrap());
        let digest = Digest::of(text);
        caches.any(|bytes| holds(&bytes, digest.hex()))
    };
    shell(
        &project,
        "touch -d '+1 year' $two; touch -d @1700000000 src/left/x.py; touch -d @$(date +%s) $one",
    );
    tags(&project);
    assert!(!is_kept(b"VALUE = 1\n"), "as young as the run");
    assert!(!is_kept(b"SIDE = 'l'\n"), "its time was set a moment ago");
    std::thread::sleep(SETTLED_ON_A_SLOW_CLOCK);
    tags(&project);
    assert!(is_kept(b"VALUE = 1\n"));
    assert!(is_kept(b"SIDE = 'l'\n"));
    assert!(!is_kept(b"VALUE = 2\n"), "from the future");
    shell(&project, "echo 'VALUE = 3' >$one");
    tags(&project);
    assert!(
        !is_kept(b"VALUE = 1\n"),
        "what is no longer true is forgotten"
    );
    assert!(!is_kept(b"VALUE = 3\n"));
}

/// A run that fails later has already read the files.
#[test]
fn a_run_that_fails_later_keeps_what_it_has_read() {
    let project = project();
    std::thread::sleep(SETTLED);
    project.write("sparkpack.lock", "format = 1\n");
    assert_eq!(project.run(&["tags"]).code, 2);
    assert!(kept(&project).is_file());
}

/// The cache file of a project whose tags are `wanted`, and the data to write a wrong one.
struct Cached {
    project: TestProject,
    wanted: String,
    file: PathBuf,
    bytes: Vec<u8>,
}

impl Cached {
    fn new() -> Self {
        let project = project();
        std::thread::sleep(SETTLED);
        let wanted = tags(&project);
        let file = kept(&project);
        let bytes = fs_err::read(&file).unwrap();
        Self {
            project,
            wanted,
            file,
            bytes,
        }
    }

    /// A complete cache with a wrong digest for `one.py`.
    fn lie(&self) -> Vec<u8> {
        let (head, body) = self.parts();
        let true_digest = Digest::of(b"VALUE = 1\n");
        let false_digest = Digest::of(b"VALUE = 3\n");
        let body = replaced(body, true_digest.hex(), false_digest.hex());
        [head, Digest::of(&body).hex().as_bytes(), b"\n", &body].concat()
    }

    /// The first line, and the rest after the second line, which is its digest.
    fn parts(&self) -> (&[u8], &[u8]) {
        let line = self.bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        let (head, rest) = self.bytes.split_at(line);
        let (digest, body) = rest.split_at(65);
        assert_eq!(digest, [Digest::of(body).hex().as_bytes(), b"\n"].concat());
        (head, body)
    }

    fn put(&self, bytes: &[u8]) {
        fs_err::write(&self.file, bytes).unwrap();
    }

    /// Runs with the present content of the cache.
    fn check(&self, what: &str) {
        let run = self.project.run(&["tags"]);
        assert_eq!((run.code, &*run.stderr), (0, ""), "{what}");
        assert_eq!(run.stdout, self.wanted, "{what}");
    }
}

fn holds(bytes: &[u8], text: &str) -> bool {
    position(bytes, text).is_some()
}

fn position(bytes: &[u8], text: &str) -> Option<usize> {
    let mut windows = bytes.windows(text.len());
    windows.position(|window| window == text.as_bytes())
}

fn replaced(bytes: &[u8], old: &str, new: &str) -> Vec<u8> {
    let at = position(bytes, old).expect("the cache has the digest");
    let mut bytes = bytes.to_vec();
    bytes[at..][..old.len()].copy_from_slice(new.as_bytes());
    bytes
}

/// Without this test, those below would pass even if the cache were never read.
#[test]
fn the_cache_is_believed_where_nothing_is_wrong_with_it() {
    let cached = Cached::new();
    cached.put(&cached.lie());
    assert_ne!(tags(&cached.project), cached.wanted);
    shell(&cached.project, "touch $one");
    assert_eq!(tags(&cached.project), cached.wanted, "its time has changed");
}

#[test]
fn a_damaged_cache_is_a_miss() {
    let cached = Cached::new();
    let lie = cached.lie();
    let length = lie.len();
    // A unit test of the cache does this for every byte.
    for sample in 0..16 {
        let at = sample * (length - 1) / 15;
        for bit in [0x01, 0x10, 0x80] {
            let mut damaged = lie.clone();
            damaged[at] ^= bit;
            cached.put(&damaged);
            cached.check(&format!("bit {bit:#x} of byte {at} of {length}"));
        }
    }
    for cut in [
        0,
        1,
        17,
        18,
        40,
        83,
        84,
        100,
        length / 2,
        length - 65,
        length - 1,
    ] {
        cached.put(&lie[..cut]);
        cached.check(&format!("cut to {cut} of {length} bytes"));
    }
    cached.put(&[&*lie, b"\0"].concat());
    cached.check("a byte more");
    cached.put(&[&*lie, &lie].concat());
    cached.check("twice");
    cached.put(&vec![0; length]);
    cached.check("zeros, as after a crash");
    cached.put(&replaced(
        &cached.bytes,
        Digest::of(b"VALUE = 1\n").hex(),
        Digest::of(b"VALUE = 2\n").hex(),
    ));
    cached.check("an entry that says what another says");
    let (head, body) = cached.parts();
    let version = head.iter().rposition(u8::is_ascii_digit).unwrap();
    for other in [b'0', b'2', b'9'] {
        let mut head = head.to_vec();
        head[version] = other;
        cached.put(&[&*head, &lie[head.len()..]].concat());
        cached.check("another version");
    }
    cached.put(&lie[head.len() + 65..]);
    cached.check("without its head");
    assert!(
        body.len() > 1000,
        "the sampled bytes lie in the entries: {}",
        body.len()
    );
    cached.put(b"garbage");
    cached.check("garbage");
    std::thread::sleep(Duration::from_millis(10));
    cached.check("mended");
    let healed = fs_err::read(&cached.file).unwrap();
    assert!(
        healed.starts_with(head),
        "a good cache takes the place of a bad one"
    );
}

/// Other things in place of the file, or of its folder.
#[test]
fn what_is_no_cache_of_ours_is_a_miss() {
    let cached = Cached::new();
    let lie = cached.lie();
    let stats = cached.file.parent().unwrap().to_owned();
    let (file, folder) = (cached.file.to_str().unwrap(), stats.to_str().unwrap());
    let instead: [(&str, &str); 9] = [
        ("a folder", "rm -rf \"$1\"; mkdir \"$1\""),
        (
            "a full folder",
            "rm -rf \"$1\"; mkdir \"$1\"; echo >\"$1\"/x",
        ),
        ("a FIFO", "rm -rf \"$1\"; mkfifo \"$1\""),
        ("a link to nothing", "rm -rf \"$1\"; ln -s nothing \"$1\""),
        ("a link to itself", "rm -rf \"$1\"; ln -s \"$1\" \"$1\""),
        ("a device", "rm -rf \"$1\"; ln -s /dev/zero \"$1\""),
        ("nothing", "rm -rf \"$1\""),
        ("no folder", "rm -rf \"$2\""),
        ("a file for the folder", "rm -rf \"$2\"; echo >\"$2\""),
    ];
    for (name, script) in instead {
        program("sh", &["-euc", script, "sh", file, folder]);
        let mut command = cached.project.command(&["tags"]);
        let mut timeout = Command::new("timeout");
        let limited = run(started_by(timeout.arg("20"), &command));
        assert_eq!(
            (limited.code, limited.stdout),
            (0, cached.wanted.clone()),
            "{name}"
        );
        assert_eq!(run(&mut command).stdout, cached.wanted, "{name}, once more");
    }
    program(
        "sh",
        &["-euc", "rm -rf \"$2\"; mkdir \"$2\"", "sh", file, folder],
    );
    cached.put(&lie);
    program("chown", &["65534:65534", file]);
    cached.check("another user's file");
    cached.put(&lie);
    program("chown", &["0:0", file]);
    assert_ne!(tags(&cached.project), cached.wanted, "our own again");
}

/// The cache of another project does not apply to this one, wherever it is copied.
#[test]
fn the_cache_of_another_project_is_a_miss() {
    let other = project();
    shell(&other, "echo 'VALUE = 3' >$one");
    let cached = Cached::new();
    tags(&other);
    cached.put(&fs_err::read(kept(&other)).unwrap());
    cached.check("another project's");
    let moved = tempfile::tempdir().unwrap();
    let copy = moved.path().join("copy");
    program(
        "cp",
        &[
            "-a",
            cached.project.root().to_str().unwrap(),
            copy.to_str().unwrap(),
        ],
    );
    fs_err::write(copy.join("src/jobs/one.py"), "VALUE = 3\n").unwrap();
    let elsewhere = run(cached.project.command(&["tags"]).current_dir(&copy));
    assert_eq!(elsewhere.stdout, tags_without_cache(&other));
}

/// Read-only folders, as a user who is not root.
#[test]
fn a_cache_that_cannot_be_written_is_no_error() {
    let cached = Cached::new();
    let outside = cached.project.root().parent().unwrap().to_owned();
    let binary = outside.join("sparkpack");
    fs_err::copy(env!("CARGO_BIN_EXE_sparkpack"), &binary).unwrap();
    fs_err::set_permissions(&outside, std::fs::Permissions::from_mode(0o755)).unwrap();
    fs_err::set_permissions(&cached.file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let cache = cache_of(&cached.project);
    let as_nobody = |cache: &str| {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&binary)
            .args(["-C", cached.project.root().to_str().unwrap(), "tags"])
            .env("HOME", "/nonexistent")
            .env("SPARKPACK_CACHE", cache);
        run(&mut command)
    };
    let untouched = everything(&cache);
    cached.put(&cached.lie());
    for mode in [0o644, 0o000] {
        fs_err::set_permissions(&cached.file, std::fs::Permissions::from_mode(mode)).unwrap();
        let run = as_nobody(cache.to_str().unwrap());
        assert_eq!(
            (run.code, run.stdout),
            (0, cached.wanted.clone()),
            "mode {mode:o}: {}",
            run.stderr
        );
    }
    cached.put(&cached.bytes);
    assert_eq!(everything(&cache).len(), untouched.len());
    for nowhere in ["/nonexistent/cache", "/dev/null", "/proc/1/cache", "/"] {
        let run = as_nobody(nowhere);
        assert_eq!(
            (run.code, run.stdout),
            (0, cached.wanted.clone()),
            "{nowhere}: {}",
            run.stderr
        );
    }
}

/// The folder is deleted while runs use it.
#[test]
fn a_cache_that_is_deleted_all_the_time_is_no_error() {
    let cached = Cached::new();
    let cache = cache_of(&cached.project);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let _ = fs_err::remove_dir_all(&cache);
            }
        });
        let runs = || -> Vec<String> {
            let runs = (0..20).map(|_| {
                let run = cached.project.run(&["tags"]);
                format!("{}{}{}", run.code, run.stdout, run.stderr)
            });
            runs.collect()
        };
        let both = [scope.spawn(runs), scope.spawn(runs)];
        let ran = both.map(|thread| thread.join().unwrap());
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        for run in ran.into_iter().flatten() {
            assert_eq!(run, format!("0{}", cached.wanted));
        }
    });
}

/// Parallel runs write the cache at the same time.
#[test]
fn runs_at_the_same_time_do_not_spoil_the_cache() {
    let cached = Cached::new();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..10 {
                    let _ = fs_err::remove_file(&cached.file);
                    cached.check("side by side");
                }
            });
        }
    });
    cached.check("afterwards");
    assert_eq!(
        kept(&cached.project),
        cached.file,
        "nothing half-written is left"
    );
}

/// A build recognises its files in `dist` by their times: every damage must show in them.
#[test]
fn whatever_is_done_to_dist_the_next_build_mends() {
    const DAMAGES: [(&str, &str); 12] = [
        ("deleted", "rm -r dist"),
        ("emptied", "rm -r dist; mkdir dist"),
        ("the main file gone", "rm dist/main.py"),
        (
            "the main file changed, of the same size and time",
            "keep dist/main.py; echo \"print('MAIN')\" >dist/main.py; back dist/main.py",
        ),
        (
            "another main file renamed over it",
            "keep dist/main.py; echo \"print('MAIN')\" >t; back t; mv t dist/main.py",
        ),
        (
            "a byte of the jobs changed in place",
            "keep dist/jobs.zip; printf X | dd of=dist/jobs.zip bs=1 seek=40 conv=notrunc status=none; back dist/jobs.zip",
        ),
        ("the jobs cut", "truncate -s -1 dist/jobs.zip"),
        (
            "the archives swapped",
            "mv dist/jobs.zip t; mv dist/libs.zip dist/jobs.zip; mv t dist/libs.zip",
        ),
        ("a package too many", "echo >dist/site-packages/extra.py"),
        (
            "a folder too many, with the folder's old time",
            "keep dist/site-packages; mkdir dist/site-packages/x; echo >dist/site-packages/x/y.py; back dist/site-packages",
        ),
        ("no folder of packages", "rmdir dist/site-packages"),
        (
            "a link in its place",
            "mkdir ../packages; echo >../packages/x.py; rmdir dist/site-packages; ln -s ../../packages dist/site-packages",
        ),
    ];
    let root = Root::new("staleness-dist", "dist");
    let chain = || small::project(&root.name, "staleness-dist.example");
    let projects: Vec<TestProject> = DAMAGES.iter().map(|_| chain()).collect();
    for project in &projects {
        project.succeed(&["build"]);
    }
    std::thread::sleep(SETTLED);
    for (project, (name, damage)) in projects.iter().zip(DAMAGES) {
        let wanted = packed(project);
        project.succeed(&["build"]);
        let (dist, cache) = (project.root().join("dist"), cache_of(project));
        let before = (everything(&dist), everything(&cache.join("stats")));
        project.succeed(&["build"]);
        let after = (everything(&dist), everything(&cache.join("stats")));
        assert_eq!(before, after, "{name}: nothing was written");
        shell(project, damage);
        assert_ne!(packed(project), wanted, "{name}: the damage is none");
        project.succeed(&["build"]);
        assert_eq!(packed(project), wanted, "{name}");
    }
    remove_images("staleness-dist.example");
}

/// The content of `dist`, without the run's report.
fn packed(project: &TestProject) -> String {
    let script = "cd \"$1/dist\" 2>/dev/null && find . -not -name images.json -not -name .gitignore -type f \
                  -exec sha256sum {} + | sort -k 2; find . -not -type f -printf '%y %p\\n' | sort; true";
    program(
        "sh",
        &["-c", script, "sh", project.root().to_str().unwrap()],
    )
}

fn cache_of(project: &TestProject) -> PathBuf {
    project.root().join("../cache")
}

/// The only file of a stat cache.
fn kept(project: &TestProject) -> PathBuf {
    let stats = cache_of(project).join("stats");
    let files: Vec<PathBuf> = fs_err::read_dir(stats)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

/// Every file and folder with its times, in nanoseconds, and its inode.
fn everything(folder: &Path) -> Vec<(PathBuf, i64, i64, i64, u64)> {
    let walk = walkdir::WalkDir::new(folder).sort_by_file_name();
    let entries = walk.into_iter().map(Result::unwrap).map(|entry| {
        let metadata = entry.metadata().unwrap();
        let changed = (metadata.ctime(), metadata.ctime_nsec());
        (
            entry.into_path(),
            metadata.mtime_nsec(),
            changed.0,
            changed.1,
            metadata.ino(),
        )
    });
    entries.collect()
}
