//! A kill, or a failing disk, at any system call of `pin` leaves all manifests old or all new, and no temporary files.
//!
//! strace records the calls of `pin`. Then, for each call that changes anything, there is one run that is killed at it,
//! and one in which it fails.

use std::{
    collections::BTreeMap,
    os::unix::{
        fs::{PermissionsExt, chown},
        process::{CommandExt, ExitStatusExt},
    },
    path::PathBuf,
    process::Command,
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use walkdir::WalkDir;

use crate::support::{
    CHANGING, Call, Index, Run, SETTLED, TestProject, count, each, program, run, small, tampered,
    trace, traced,
};

const ROOT: &str = "registry.example/root:1";

/// A project with five manifests, all of which `pin` changes.
fn project() -> TestProject {
    projects(1).remove(0)
}

/// This number of such projects.
fn projects(count: usize) -> Vec<TestProject> {
    let projects: Vec<_> = (0..count).map(|_| unlocked()).collect();
    // Caches keep only what was read of files that are old enough; `lock` then writes what it read.
    thread::sleep(SETTLED);
    each(&projects, |project| drop(project.succeed(&["lock"])));
    projects
}

fn unlocked() -> TestProject {
    let project = small::project(ROOT, "registry.example");
    project.write("sparkpack.lock", &small::lock(ROOT));
    // Other tests have temporary folders too, which a run looks at.
    let temporary = project.home();
    let project = project.with_variable("TMPDIR", temporary.to_str().unwrap());
    let manifest = project.read("kubernetes/nightly.yml");
    for number in 1..5 {
        let comment = format!("# {number}\r\n").repeat(number * 400);
        project.write(
            &format!("kubernetes/{number}.yml"),
            &format!("{comment}{manifest}"),
        );
    }
    project
}

/// The calls of a run that may change anything, in their order.
fn record(project: &TestProject, arguments: &[&str]) -> Vec<Call> {
    let what = format!("trace={CHANGING}");
    let output = traced(project, &["-f", "-y", "-s", "300", "-e", &what], arguments);
    assert!(output.status.success(), "{output:?}");
    let trace = trace(project);
    let mut numbers = BTreeMap::new();
    let mut calls = Vec::new();
    let mut main = None;
    for line in trace.lines() {
        let (thread, text) = line.split_once(' ').unwrap();
        let text = text.trim_start();
        let Some((name, _)) = text.split_once('(').filter(|(name, _)| {
            name.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        }) else {
            continue;
        };
        let is_main = *main.get_or_insert(thread) == thread;
        let number = numbers.entry(name).or_insert(0);
        *number += usize::from(is_main);
        let call = Call {
            name: name.to_owned(),
            number: *number,
            text: text.to_owned(),
        };
        // What git says to sparkpack changes nothing.
        let is_answer = !is_main && text.contains("<pipe:");
        if !call.is_reading() && !is_answer {
            // Calls of other threads would have to be counted separately.
            assert!(is_main, "not the main thread's: {line}");
            calls.push(call);
        }
    }
    calls
}

/// Kills a run before a call.
fn kill(project: &TestProject, call: &Call, arguments: &[&str]) {
    let output = tampered(project, call, "signal=SIGKILL", arguments);
    assert_eq!(output.status.signal(), Some(9), "{call:?}: {output:?}");
}

/// Every file below a project's folders except the home, with its content. Names that are digests of paths become
/// `DIGEST`.
fn tree(project: &TestProject) -> BTreeMap<String, Vec<u8>> {
    let top = project.root().parent().unwrap().to_owned();
    let mut tree = BTreeMap::new();
    for entry in WalkDir::new(&top).into_iter().map(Result::unwrap) {
        let path = entry.path().strip_prefix(&top).unwrap();
        let path = path.to_str().unwrap();
        if path.starts_with("home") || entry.file_type().is_dir() {
            continue;
        }
        let (folder, name) = path.rsplit_once('/').unwrap();
        let is_digest = name.len() >= 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        let (path, bytes) = if is_digest {
            (format!("{folder}/DIGEST"), Vec::new())
        } else {
            (path.to_owned(), fs_err::read(entry.path()).unwrap())
        };
        tree.insert(path, bytes);
    }
    tree
}

/// The files of a tree that are not in the cache.
fn sources(tree: &BTreeMap<String, Vec<u8>>) -> BTreeMap<&str, &[u8]> {
    let all = tree
        .iter()
        .map(|(path, bytes)| (path.as_str(), bytes.as_slice()));
    all.filter(|(path, _)| path.starts_with("project/"))
        .collect()
}

/// The calls and the result of an undisturbed run.
struct Undisturbed {
    old: BTreeMap<String, Vec<u8>>,
    new: BTreeMap<String, Vec<u8>>,
    /// The calls of `pin`, and the project's folder in which they were recorded.
    calls: Vec<Call>,
    folder: String,
}

/// Shared by all tests, since every undisturbed run is the same.
static UNDISTURBED: LazyLock<Undisturbed> = LazyLock::new(Undisturbed::run);

impl Undisturbed {
    fn run() -> Self {
        let project = project();
        let old = tree(&project);
        thread::sleep(SETTLED);
        let calls = record(&project, &["pin"]);
        project.succeed(&["lock"]);
        let new = tree(&project);
        let changed: Vec<_> = old
            .iter()
            .filter(|(path, bytes)| new[*path] != **bytes)
            .collect();
        assert_eq!(changed.len(), 5);
        let folder = project.root().parent().unwrap().to_owned();
        Self {
            old,
            new,
            calls,
            folder: folder.to_str().unwrap().to_owned(),
        }
    }

    /// Whether all manifests are new. They must be all new or all old, and there must be no other files.
    fn is_new(&self, project: &TestProject, what: &impl std::fmt::Debug) -> bool {
        let now = tree(project);
        let litter = now.keys().find(|path| path.contains(".sparkpack-"));
        assert_eq!(litter, None, "{what:?}");
        let is_new = sources(&now) == sources(&self.new);
        assert!(
            is_new || sources(&now) == sources(&self.old),
            "{what:?}: neither old nor new: {:?}",
            self.differences(&now)
        );
        is_new
    }

    /// Runs `pin` again: it must succeed, with the same files as after an undisturbed run.
    fn finish(&self, project: &TestProject, what: &impl std::fmt::Debug) {
        let Run { code, stderr, .. } = project.run(&["pin"]);
        assert_eq!(code, 0, "{what:?}: {stderr}");
        let now = tree(project);
        // Whether the manifest cache is written depends on the age of the manifests.
        let is_verdict = |path: &&String| path.starts_with("cache/manifests/");
        let names = |tree: &BTreeMap<String, Vec<u8>>| {
            let names = tree.keys().filter(|path| !is_verdict(path));
            names.cloned().collect::<Vec<_>>()
        };
        assert_eq!(names(&now), names(&self.new), "{what:?}");
        assert!(self.is_new(project, what));
    }

    fn differences(&self, now: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
        let missing = self.old.keys().filter(|path| !now.contains_key(*path));
        let other = now.iter().filter(|(path, bytes)| {
            self.old.get(*path) != Some(bytes) && self.new.get(*path) != Some(bytes)
        });
        let changed = now
            .iter()
            .filter(|(path, bytes)| self.old.get(*path) != Some(bytes));
        missing
            .map(|path| format!("missing {path}"))
            .chain(other.map(|(path, _)| format!("unknown {path}")))
            .chain(changed.map(|(path, _)| format!("not old {path}")))
            .collect()
    }
}

/// Checks each case in a project of its own.
fn each_in_its_project<T: Sync>(cases: &[T], check: impl Fn(&T, &TestProject) + Sync) {
    let projects = projects(cases.len());
    thread::sleep(SETTLED);
    let pairs: Vec<_> = cases.iter().zip(&projects).collect();
    each(&pairs, |(case, project)| check(case, project));
}

#[test]
fn a_kill_at_any_call_leaves_all_manifests_old_or_all_new() {
    let undisturbed = &*UNDISTURBED;
    let calls = &undisturbed.calls;
    assert!(calls.len() > 50, "only {} calls: {calls:#?}", calls.len());
    let new = AtomicUsize::new(0);
    each_in_its_project(calls, |call, project| {
        kill(project, call, &["pin"]);
        // `lock` has nothing to do but to recover.
        project.succeed(&["lock"]);
        if undisturbed.is_new(project, call) {
            new.fetch_add(1, Ordering::Relaxed);
        }
        undisturbed.finish(project, call);
    });
    count("P8", "kills of pin at a call", calls.len(), &[]);
    let new = new.into_inner();
    assert!(
        (8..calls.len() - 30).contains(&new),
        "{new} of {} were completed",
        calls.len()
    );
}

#[test]
fn a_kill_while_recovering_is_recovered_from() {
    let undisturbed = &*UNDISTURBED;
    let renames: Vec<&Call> = undisturbed
        .calls
        .iter()
        .filter(|call| call.name.starts_with("rename") && call.text.contains(".sparkpack-"))
        .collect();
    let to = |name: &str| {
        let found = renames.iter().find(|call| call.text.contains(name));
        *found.unwrap_or_else(|| panic!("nothing is renamed to {name}"))
    };
    // Killed before the commit, or after the first file was replaced.
    let mut cases = Vec::new();
    for first in [to(".sparkpack-committed"), to("/kubernetes/2.yml")] {
        let project = project();
        kill(&project, first, &["pin"]);
        let calls = record(&project, &["lock"]);
        let changing = calls.iter().filter(|call| call.text.contains("sparkpack-"));
        assert!(changing.count() > 4, "{calls:#?}");
        cases.extend(calls.into_iter().map(|second| (first, second)));
    }
    each_in_its_project(&cases, |(first, second), project| {
        kill(project, first, &["pin"]);
        kill(project, second, &["lock"]);
        project.succeed(&["lock"]);
        let is_new = undisturbed.is_new(project, &(first, second));
        assert_eq!(is_new, first.text.contains("2.yml"), "{first:?} {second:?}");
        undisturbed.finish(project, second);
    });
    let what = "kills while recovering, at a call";
    count("P8", what, cases.len(), &[]);
}

#[test]
fn manifests_beside_the_project_are_recovered_too() {
    let project = || {
        let project = project();
        let manifest = project.read("kubernetes/nightly.yml");
        project.write("../beside/a.yml", &manifest);
        let patterns = "\"kubernetes/*.yml\", \"../beside/*.yml\"";
        project.edit("sparkpack.toml", "\"kubernetes/*.yml\"", patterns);
        project
    };
    let calls = record(&project(), &["pin"]);
    let renamed = |call: &&Call| call.name.starts_with("rename") && call.text.contains("beside/");
    let call = calls.iter().find(renamed).expect("it is renamed");
    let project = project();
    kill(&project, call, &["pin"]);
    assert!(project.read("../beside/a.yml").contains(":unbuilt"));
    let stderr = project.succeed(&["lock"]).stderr;
    assert!(stderr.contains("../beside/a.yml"), "{stderr}");
    assert!(!project.read("../beside/a.yml").contains(":unbuilt"));
    assert!(
        !tree(&project)
            .keys()
            .any(|path| path.contains(".sparkpack-"))
    );
}

#[test]
fn a_disk_that_fails_at_any_call_is_told_and_loses_nothing() {
    let undisturbed = &*UNDISTURBED;
    let in_files = undisturbed
        .calls
        .iter()
        .filter(|call| call.text.contains(&undisturbed.folder) && call.name != "flock");
    let cases: Vec<(&Call, &str)> = in_files
        .flat_map(|call| ["ENOSPC", "EIO", "EROFS"].map(|error| (call, error)))
        .collect();
    assert!(cases.len() > 120, "only {} cases", cases.len());
    let told = AtomicUsize::new(0);
    each_in_its_project(&cases, |case, project| {
        let (call, error) = case;
        let output = tampered(project, call, &format!("error={error}"), &["pin"]);
        let stderr = String::from_utf8(output.stderr).unwrap();
        let code = output.status.code();
        assert!(trace(project).contains("(INJECTED)"), "{case:?}");
        let is_pending = project.root().join(".sparkpack-committed").exists();
        if code == Some(0) {
            assert!(!is_pending && undisturbed.is_new(project, case));
        } else {
            told.fetch_add(1, Ordering::Relaxed);
            assert_eq!(code, Some(6), "{case:?}: {stderr}");
            assert_eq!(stderr.matches("error[").count(), 1, "{case:?}: {stderr}");
            let folder = project.root().parent().unwrap().to_owned();
            assert!(
                stderr.contains(folder.to_str().unwrap()) && !stderr.contains("panicked"),
                "{case:?}: it names no path: {stderr}"
            );
            if is_pending {
                project.succeed(&["lock"]);
            }
            assert_eq!(undisturbed.is_new(project, case), is_pending, "{case:?}");
        }
        undisturbed.finish(project, case);
    });
    let what = "calls of pin that fail by the disk";
    count("P10", what, cases.len(), &[]);
    let told = told.into_inner();
    assert!(told > 90, "only {told} of {} were told", cases.len());
}

#[test]
fn what_a_failing_disk_keeps_from_being_undone_is_undone_later() {
    let undisturbed = &*UNDISTURBED;
    let calls = &undisturbed.calls;
    let syncs = calls
        .iter()
        .filter(|call| call.name == "fsync" && call.text.contains("/kubernetes"));
    let syncs: Vec<&Call> = syncs.collect();
    let unlink = &calls.iter().find(|call| call.name.starts_with("unlink"));
    let unlink = unlink.expect("the journal is removed").name.as_str();
    each_in_its_project(&syncs[..6], |call, project| {
        let what = format!("trace=fsync,{unlink}");
        let fails = format!("inject=fsync:error=EIO:when={}", call.number);
        let stays = format!("inject={unlink}:error=EIO");
        let options = ["-e", &what, "-e", &fails, "-e", &stays];
        let output = traced(project, &options, &["pin"]);
        assert_eq!(output.status.code(), Some(6));
        assert!(project.root().join(".sparkpack-journal").exists());
        let run = project.succeed(&["lock"]);
        assert!(
            run.stderr
                .starts_with("a run that was killed is undone: it had changed no file\n"),
            "{}",
            run.stderr
        );
        assert!(!undisturbed.is_new(project, call));
        undisturbed.finish(project, call);
    });
}

#[test]
fn everything_is_on_the_disk_before_what_depends_on_it() {
    let calls = &UNDISTURBED.calls;
    let at = |name: &str, text: &str| {
        let found = calls
            .iter()
            .position(|call| call.name.starts_with(name) && call.text.contains(text));
        found.unwrap_or_else(|| panic!("no {name} of {text}: {calls:#?}"))
    };
    let after = |start: usize, name: &str, end: &str| {
        let found = calls[start..]
            .iter()
            .position(|call| call.name == name && call.text.contains(end));
        start + found.unwrap_or_else(|| panic!("no {name} of {end} after {start}: {calls:#?}"))
    };
    let temporary = "/kubernetes/.sparkpack-";
    let begun = at("openat", "/.sparkpack-journal\"");
    assert!(calls[begun].text.contains("O_CREAT|O_EXCL"));
    let begun_is_kept = after(
        after(begun, "fsync", "/.sparkpack-journal>"),
        "fsync",
        "/project>",
    );
    let first = at("openat", temporary);
    assert!(begun_is_kept < first);
    let committed = at("rename", "/.sparkpack-committed\"");
    let written: Vec<&Call> = calls[first..committed].iter().collect();
    let opened: Vec<&&Call> = written
        .iter()
        .filter(|call| call.name == "openat" && call.text.contains("O_CREAT|O_EXCL"))
        .collect();
    assert_eq!(opened.len(), 5);
    for call in opened {
        let name = call.text.split('"').nth(1).unwrap();
        let of = |kind: &str| {
            let found = written
                .iter()
                .rposition(|call| call.name == kind && call.text.contains(name));
            found.unwrap_or_else(|| panic!("no {kind} of {name}"))
        };
        assert!(of("write") < of("fsync") && of("fchmod") < of("fsync"));
    }
    assert!(written.last().unwrap().text.ends_with("/kubernetes>) = 0"));
    let replaced: Vec<usize> = (committed + 1..calls.len())
        .filter(|index| calls[*index].name.starts_with("rename"))
        .filter(|index| calls[*index].text.contains(temporary))
        .collect();
    assert_eq!(replaced.len(), 5);
    let committed_is_kept = after(committed, "fsync", "/project>");
    let replaced_are_kept = after(replaced[4], "fsync", "/kubernetes>");
    let removed = at("unlink", "/.sparkpack-committed\"");
    assert!(committed_is_kept < replaced[0] && replaced_are_kept < removed);
}

#[test]
fn a_file_that_changes_meanwhile_is_not_overwritten() {
    let project = project();
    let sync = UNDISTURBED
        .calls
        .iter()
        .find(|call| call.name == "fsync" && call.text.contains(".sparkpack-journal"))
        .unwrap();
    let before = tree(&project);
    let edited = format!("{}# edited\n", project.read("kubernetes/3.yml"));
    let output = thread::scope(|scope| {
        let pin = scope.spawn(|| tampered(&project, sync, "delay_enter=1s", &["pin"]));
        while !project.root().join(".sparkpack-journal").exists() {
            assert!(!pin.is_finished());
            thread::sleep(Duration::from_millis(5));
        }
        project.write("kubernetes/3.yml", &edited);
        pin.join().unwrap()
    });
    let stderr = String::from_utf8(output.stderr).unwrap();
    insta::assert_snapshot!(format!("exit {}\n{stderr}", output.status.code().unwrap()));
    assert_eq!(project.read("kubernetes/3.yml"), edited);
    project.edit("kubernetes/3.yml", "# edited\n", "");
    assert_eq!(sources(&tree(&project)), sources(&before));
    project.write("kubernetes/3.yml", &edited);
    project.succeed(&["pin"]);
    assert!(project.read("kubernetes/3.yml").ends_with("# edited\n"));
}

#[test]
fn a_file_of_several_names_or_of_another_owner_is_told() {
    let project = project();
    let second = project.home().join("second");
    fs_err::hard_link(project.root().join("kubernetes/2.yml"), &second).unwrap();
    let old = fs_err::read(&second).unwrap();
    let run = project.succeed(&["pin"]);
    let warnings = run.stderr.split_inclusive('\n');
    let warnings: String = warnings
        .skip_while(|line| !line.starts_with("warning[W111]"))
        .take(2)
        .collect();
    insta::assert_snapshot!(warnings);
    assert_eq!(fs_err::read(&second).unwrap(), old);

    if !is_root() {
        assert!(std::env::var_os("CI").is_none(), "this test needs root");
        // Written to stderr directly: the test's captured output is shown only if it fails.
        let message = "SKIPPED: what another owner's file is told needs root\n";
        std::io::Write::write_all(&mut std::io::stderr(), message.as_bytes()).unwrap();
        return;
    }
    // Root may write everywhere, so the command runs as another user.
    let project = self::project();
    let folder = project.root().parent().unwrap().to_owned();
    for entry in WalkDir::new(&folder).into_iter().map(Result::unwrap) {
        chown(entry.path(), Some(65534), Some(65534)).unwrap();
    }
    let file = project.root().join("kubernetes/3.yml");
    fs_err::set_permissions(&file, std::fs::Permissions::from_mode(0o444)).unwrap();
    let before = tree(&project);
    let own = project.command(&["pin"]);
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    command.arg(own.get_program()).arg("pin");
    command.current_dir(project.root());
    command.env("HOME", project.home());
    command.env("SPARKPACK_CACHE", folder.join("cache"));
    command.env_remove("CI");
    let refused = run_as(&mut command, &project);
    insta::assert_snapshot!(refused);
    assert_eq!(sources(&tree(&project)), sources(&before));
}

fn is_root() -> bool {
    crate::support::program("id", &["-u"]).trim() == "0"
}

fn run_as(command: &mut Command, project: &TestProject) -> String {
    let run = run(command);
    let stderr = run
        .stderr
        .replace(project.root().to_str().unwrap(), "PROJECT");
    format!("exit {}\n{stderr}", run.code)
}

/// The unfinished files and folders in a project's cache.
fn unfinished(project: &TestProject) -> Vec<PathBuf> {
    let cache = project.root().with_file_name("cache");
    let entries = WalkDir::new(cache).into_iter().map(Result::unwrap);
    let paths = entries.map(walkdir::DirEntry::into_path);
    // Finished entries have names that are digests, or names of files in a wheel or an archive.
    let is_unfinished = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with('.')
    };
    paths.filter(is_unfinished).collect()
}

/// Kills a run, with all programs that it started, once it has received half of a file.
fn kill_at_half(project: &TestProject, index: &Index, file: &str, arguments: &[&str]) {
    index.stalling(file, || {
        let mut command = project.command(arguments);
        let mut run = command.process_group(0).spawn().unwrap();
        while !index.keeps_waiting() {
            assert_eq!(run.try_wait().unwrap(), None, "it ended by itself");
            thread::sleep(Duration::from_millis(5));
        }
        program("kill", &["-KILL", "--", &format!("-{}", run.id())]);
        assert_eq!(run.wait().unwrap().signal(), Some(9));
    });
    let left = unfinished(project);
    assert!(!left.is_empty(), "it was killed too early or too late");
}

#[test]
fn a_kill_while_wheels_are_installed_leaves_nothing_for_long() {
    let (project, index) = small::with_package();
    project.succeed(&["package"]);
    // The installed packages, and the installer's own cache.
    fs_err::remove_dir_all(project.root().with_file_name("cache")).unwrap();
    fs_err::remove_dir_all(project.home()).unwrap();
    fs_err::create_dir(project.home()).unwrap();
    kill_at_half(&project, &index, ".whl", &["package"]);
    project.succeed(&["package"]);
    assert_eq!(unfinished(&project), Vec::<PathBuf>::new());
}

#[test]
fn a_kill_while_a_source_is_fetched_leaves_nothing_for_long() {
    let (project, index) = small::with_source();
    kill_at_half(&project, &index, "/tool.bin", &["lock"]);
    // A run that does not need the source sweeps as well.
    project.succeed(&["package"]);
    assert_eq!(unfinished(&project), Vec::<PathBuf>::new());
    project.succeed(&["lock"]);
    assert_eq!(unfinished(&project), Vec::<PathBuf>::new());
}
