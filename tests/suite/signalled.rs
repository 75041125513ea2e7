//! Signals: a run ends within two seconds, with what it began, and says so by its exit code.

use std::{
    os::unix::{fs::PermissionsExt as _, process::ExitStatusExt as _},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::support::{
    Beside, Chain, TestProject, count, heedful, program, rounds, run, small, started_by,
};

/// Much longer than any run takes to end, and much shorter than the step.
const PATIENCE: Duration = Duration::from_mins(1);

/// How long a signal may take: a busy machine gets as much again.
const LIMIT: Duration = Duration::from_secs(4);

const SIGNALS: [(&str, i32); 3] = [("INT", 130), ("TERM", 143), ("HUP", 129)];

/// What ends a run at a moment: one that is killed cannot end itself.
const MOMENTS: [(&str, i32); 4] = [("KILL", 137), SIGNALS[0], SIGNALS[1], SIGNALS[2]];

/// Waits until the daemon has ended what it did for a run that is gone.
fn assert_no_container(chain: &Chain, what: &str) {
    until(what, || chain.containers().is_empty());
}

/// Waits for something that surely comes.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "{what}");
        std::thread::yield_now();
    }
}

/// The unfinished files of runs, below a folder.
fn unfinished(folder: &std::path::Path) -> Vec<String> {
    let all = walkdir::WalkDir::new(folder)
        .into_iter()
        .map(Result::unwrap);
    let paths = all.map(|entry| entry.path().display().to_string());
    paths.filter(|path| path.contains("/.sparkpack-")).collect()
}

/// The folder for temporary files of a project's runs.
fn temporary(project: &TestProject) -> std::path::PathBuf {
    let folder = project.home().join("tmp");
    fs_err::create_dir_all(&folder).unwrap();
    folder
}

fn assert_nothing_left(project: &TestProject, what: &str) {
    let left = unfinished(project.root().parent().unwrap());
    assert_eq!(left, Vec::<String>::new(), "{what}");
    let left = fs_err::read_dir(temporary(project)).unwrap().count();
    assert_eq!(left, 0, "{what}");
}

/// Sends a signal, and waits for the end: its exit code, and what it has said.
fn ended(beside: Beside, name: &str) -> (i32, String) {
    let begin = Instant::now();
    beside.signal(name);
    let (status, told) = beside.end();
    assert!(begin.elapsed() < LIMIT, "{name} took {:?}", begin.elapsed());
    (status.code().unwrap_or(-1), told)
}

#[test]
fn a_build_is_cancelled_in_the_daemon_and_leaves_nothing() {
    let chain = Chain::with_slow_step("signalled-build");
    let project = &chain.project;
    project.edit("docker/base/Dockerfile", "sleep 600", "sleep 654");
    project.succeed(&["lock"]);
    let manifest = project.read("kubernetes/nightly.yml");
    let is_asleep = || program("ps", &["-eo", "args"]).contains("/bin/busybox sleep 654");
    for builder in ["1", "0"] {
        for (name, code) in SIGNALS {
            let mut command = heedful(&project.command(&["build"]));
            command.env("DOCKER_BUILDKIT", builder);
            command.env("TMPDIR", temporary(project));
            let build = Beside::until("building", &mut command);
            // BuildKit tells of a step when it is done.
            until(&format!("{name}: the step does not begin"), is_asleep);
            let what = format!("{name} with DOCKER_BUILDKIT={builder}");
            let (status, told) = ended(build, name);
            assert_eq!(status, code, "{what}: {told}");
            assert!(told.ends_with("interrupted\n"), "{what}: {told}");
            assert_no_container(&chain, &what);
            assert_nothing_left(project, &what);
            // The step is not only forgotten, but ended.
            until(&what, || !is_asleep());
        }
    }
    assert_eq!(project.read("kubernetes/nightly.yml"), manifest);
}

/// At moments all over a build and a push, the same run then comes to the same end as an undisturbed one.
#[test]
fn at_any_moment_nothing_is_left_that_the_next_run_does_not_need() {
    let chain = Chain::with_registry("signalled-moments").with_job_of_files();
    let project = &chain.project;
    project.succeed(&["lock"]);
    let mut kills = [0, 0];
    let mut slowest = Duration::ZERO;
    for verb in ["package", "build", "push"] {
        let begin = Instant::now();
        project.succeed(&[verb]);
        let whole = begin.elapsed();
        let moments = u32::try_from(6 * rounds()).unwrap();
        for moment in 0..moments {
            // Each has something to do, and the base is there.
            project.write("docker/ds/ds.txt", &format!("{verb} {moment}\n"));
            project.write("src/jobs/new.py", &format!("# {verb} {moment}\n"));
            let (name, code) = MOMENTS[moment as usize % 4];
            let mut command = heedful(&project.command(&[verb]));
            command.env("TMPDIR", temporary(project));
            command.stdout(Stdio::null()).stderr(Stdio::null());
            let mut child = command.spawn().unwrap();
            std::thread::sleep(whole * (moment + 1) / (moments + 1));
            let id = child.id().to_string();
            drop(run(Command::new("kill").args(["-s", name, &id])));
            let begin = Instant::now();
            let status = child.wait().unwrap();
            // The first moment is before it listens.
            let status = status.code().or(status.signal().map(|number| 128 + number));
            let what = format!("{verb} at moment {moment} of {moments}");
            let took = begin.elapsed();
            assert!(took < LIMIT, "{what}: {took:?}");
            slowest = slowest.max(took);
            assert!(
                status == Some(code) || status == Some(0),
                "{what}: {status:?}"
            );
            let is_kill = name == "KILL";
            if is_kill {
                // What it leaves is taken by the next run.
                project.succeed(&[verb]);
            }
            kills[usize::from(is_kill)] += 1;
            assert_nothing_left(project, &what);
            assert_no_container(&chain, &what);
            let staged = tags_of(&chain, "-");
            assert_eq!(staged, Vec::<String>::new(), "{what}");
        }
        project.succeed(&[verb]);
        assert_nothing_left(project, verb);
    }
    let [ended, killed] = kills;
    let moments = "moments of package, build and push";
    count("P8", &format!("kills at {moments}"), killed, &[]);
    let signals = format!("signals at {moments}, of which the slowest stop took {slowest:.1?}");
    count("P12", &signals, ended, &[]);
}

/// The tags of the chain's images in the daemon with this text.
fn tags_of(chain: &Chain, text: &str) -> Vec<String> {
    let mut tags: Vec<String> = chain.images().into_keys().collect();
    tags.retain(|tag| tag.rsplit_once(':').unwrap().1.contains(text));
    tags
}

/// A program in place of uv that starts another one, and does not listen.
const DEAF: &str = "#!/bin/sh
case $1 in --version) echo uv 0.5.0; exit;; esac
trap '' TERM INT HUP
echo $$ > BEGUN
sleep 987 &
wait
sleep 986
";

#[test]
fn the_programs_that_a_run_has_started_end_with_it() {
    let (project, _index) = small::with_package();
    let begun = project.home().join("begun");
    project.write("bin/uv", &DEAF.replace("BEGUN", begun.to_str().unwrap()));
    let uv = project.root().join("bin/uv");
    fs_err::set_permissions(&uv, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", uv.parent().unwrap().display());
    for (name, code) in SIGNALS {
        let mut command = heedful(&project.command(&["package"]));
        command.env("PATH", &path);
        command.env("TMPDIR", temporary(&project));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let is_begun = || fs_err::metadata(&begun).is_ok_and(|file| file.len() > 0);
        until("no installer is started", is_begun);
        let pid = fs_err::read_to_string(&begun).unwrap();
        fs_err::remove_file(&begun).unwrap();
        let id = child.id().to_string();
        assert_eq!(run(Command::new("kill").args(["-s", name, &id])).code, 0);
        assert_eq!(child.wait().unwrap().code(), Some(code));
        let there = format!("/proc/{}", pid.trim());
        assert!(!fs_err::exists(there).unwrap(), "{name}: it goes on");
        let all = program("ps", &["-eo", "args"]);
        assert!(
            !all.lines()
                .any(|line| line == "sleep 987" || line == "sleep 986"),
            "{name}"
        );
        assert_nothing_left(&project, name);
    }
    // One that is killed cannot remove its folder, and the next run does.
    let mut command = heedful(&project.command(&["package"]));
    command
        .env("PATH", &path)
        .env("TMPDIR", temporary(&project));
    let mut child = command.spawn().unwrap();
    let is_begun = || fs_err::metadata(&begun).is_ok_and(|file| file.len() > 0);
    until("no installer is started", is_begun);
    child.kill().unwrap();
    child.wait().unwrap();
    let deaf = fs_err::read_to_string(&begun).unwrap();
    let children = program("ps", &["-o", "pid=", "--ppid", deaf.trim()]);
    for pid in std::iter::once(deaf.trim()).chain(children.split_whitespace()) {
        program("kill", &["-KILL", pid]);
    }
    assert_eq!(fs_err::read_dir(temporary(&project)).unwrap().count(), 1);
    let packed = run(project
        .command(&["package"])
        .env("TMPDIR", temporary(&project)));
    assert_eq!(packed.code, 0, "{}", packed.stderr);
    assert_nothing_left(&project, "KILL");
}

/// As `nohup` and shells without jobs do it.
#[test]
fn a_signal_that_is_to_be_ignored_ends_nothing() {
    let (project, index) = small::with_source();
    index.stalling("/tool.bin", || {
        let mut ignoring = Command::new("env");
        let command = project.command(&["lock"]);
        started_by(
            ignoring.args(["--default-signal", "--ignore-signal=HUP,INT"]),
            &command,
        );
        let mut run = Beside::until("fetching", &mut ignoring);
        while !index.keeps_waiting() {
            std::thread::yield_now();
        }
        run.signal("HUP");
        run.signal("INT");
        assert!(run.is_running());
        assert_eq!(ended(run, "TERM").0, 143);
    });
    assert_nothing_left(&project, "TERM");
}
