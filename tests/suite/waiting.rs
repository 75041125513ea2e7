//! Runs beside each other: who waits for whom, how long, and what is said of it.

use std::{
    io::Write as _,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::support::{Beside, Chain, Index, SETTLED, TestProject, count, rounds, run, small};

const ROOT: &str = "registry.example/root:1";
/// The step that takes long.
const SLEEP: &str = "RUN /bin/busybox sleep";

/// A `lock` that keeps waiting for the second half of a file.
fn stalled(project: &TestProject, index: &Index) -> Beside {
    let begun = Beside::until("fetching", &mut project.command(&["lock"]));
    while !index.keeps_waiting() {
        std::thread::yield_now();
    }
    begun
}

/// What is said of a holder, without what differs from run to run.
fn shown(text: &str, holder: &Beside) -> String {
    let mut text = text.replace(&holder.id().to_string(), "PID");
    while let Some((before, rest)) = text.split_once(", for ") {
        let (_, after) = rest.split_once(" s").unwrap();
        text = format!("{before} since then{after}");
    }
    text
}

const REFUSED: &str = "error[E615]: `sparkpack lock` (pid PID since then) works here
hint: run it again when that has ended; `--lock-timeout SECONDS` waits longer
";

const STOPPED: &str =
    "waiting for `sparkpack lock` (pid PID since then, stopped: `kill -CONT PID` lets it go on) in this project
error[E615]: `sparkpack lock` (pid PID since then, stopped: `kill -CONT PID` lets it go on) works here, and has not ended within 1 s
hint: let it go on, `kill -CONT PID`, or end it: `kill -KILL PID`
";

#[test]
fn a_hook_does_not_wait_for_a_build_of_its_project() {
    let chain = Chain::with_slow_step("waiting-hook");
    let project = &chain.project;
    project.succeed(&["lock"]);
    let manifest = project.read("kubernetes/nightly.yml");
    let hook = |arguments: &[&str]| {
        let begin = Instant::now();
        let run = project.succeed(arguments);
        assert_eq!(run.stderr.matches("waiting").count(), 0, "{}", run.stderr);
        begin.elapsed()
    };
    std::thread::sleep(SETTLED);
    hook(&["pin"]);
    project.write("kubernetes/nightly.yml", &manifest);
    let alone = hook(&["pin"]);
    let pinned = project.read("kubernetes/nightly.yml");
    assert_ne!(pinned, manifest);
    project.write("kubernetes/nightly.yml", &manifest);
    let mut build = Beside::until(SLEEP, &mut project.command(&["build"]));
    let beside = hook(&["pin"]);
    for arguments in [&["check"][..], &["tags"], &["plan"]] {
        hook(arguments);
    }
    assert_eq!(project.read("kubernetes/nightly.yml"), pinned);
    assert!(build.is_running(), "{}", build.told);
    let took = format!("a hook takes {alone:?} alone and {beside:?} beside a build");
    writeln!(std::io::stderr(), "{took}").unwrap();
    let refused = project.run(&["--lock-timeout", "0", "package"]);
    assert_eq!(refused.code, 6);
    let name = format!("error[E615]: `sparkpack build` (pid {}, for ", build.id());
    assert!(refused.stderr.contains(&name), "{}", refused.stderr);
    build.signal("KILL");
}

/// What a hook wrote beside a build is no change by somebody else.
#[test]
fn a_build_and_a_hook_write_the_same_manifests() {
    let chain = Chain::with_slow_step("waiting-both");
    let project = &chain.project;
    // It ends once it has been seen.
    project.edit("docker/base/Dockerfile", "sleep 600", "sleep 3");
    project.succeed(&["lock"]);
    let build = Beside::until(SLEEP, &mut project.command(&["build"]));
    project.succeed(&["pin"]);
    let pinned = project.read("kubernetes/nightly.yml");
    let (status, told) = build.end();
    assert!(status.success(), "{told}");
    assert_eq!(project.read("kubernetes/nightly.yml"), pinned);
}

#[test]
fn who_waits_says_for_whom_and_for_how_long_at_most() {
    let (project, index) = small::with_source();
    index.stalling("/tool.bin", || {
        let holder = stalled(&project, &index);
        let refused = project.run(&["--lock-timeout", "0", "package"]);
        assert_eq!(
            (shown(&refused.stderr, &holder).as_str(), refused.code),
            (REFUSED, 6)
        );
        // Another project with the same cache needs something else.
        let other = small::project(ROOT, "registry.example").with_cache(project.cache());
        other.write("sparkpack.lock", &small::lock(ROOT));
        other.succeed(&["--lock-timeout", "0", "package"]);
        // The variable says the same for all runs, and an option counts more.
        let mut command = project.command(&["package"]);
        let refused = run(command.env("SPARKPACK_LOCK_TIMEOUT", "0"));
        assert_eq!(refused.code, 6, "{}", refused.stderr);
        let mut command = project.command(&["package"]);
        let wrong = run(command.env("SPARKPACK_LOCK_TIMEOUT", "soon"));
        assert_eq!(wrong.code, 2, "{}", wrong.stderr);
        let waiter = Beside::until("waiting for", &mut project.command(&["package"]));
        let waits = "waiting for `sparkpack lock` (pid PID since then) in this project\n";
        assert_eq!(shown(&waiter.told, &holder), waits);
        // A dead holder blocks nobody.
        holder.signal("KILL");
        let (status, told) = waiter.end();
        assert!(status.success(), "{told}");
    });
}

#[test]
fn a_stopped_holder_is_told_with_what_lets_it_go_on() {
    let (project, index) = small::with_source();
    index.stalling("/tool.bin", || {
        let holder = stalled(&project, &index);
        holder.signal("STOP");
        let refused = project.run(&["--lock-timeout", "1", "package"]);
        assert_eq!(shown(&refused.stderr, &holder), STOPPED);
        let mut waiter = Beside::until("stopped", &mut project.command(&["package"]));
        holder.signal("CONT");
        waiter.says(", for ");
        assert!(!waiter.told.lines().last().unwrap().contains("stopped"));
        holder.signal("KILL");
        assert!(waiter.end().0.success());
    });
}

/// The locks of a project, by what is in their place.
#[test]
fn what_is_no_lock_is_told_and_readers_need_none() {
    let project = small::project(ROOT, "registry.example");
    project.write("sparkpack.lock", &small::lock(ROOT));
    project.succeed(&["package"]);
    let locks: Vec<_> = fs_err::read_dir(project.cache().join("locks"))
        .unwrap()
        .map(|lock| lock.unwrap().path())
        .collect();
    assert_eq!(locks.len(), 2, "the project's and its files'");
    for lock in &locks {
        assert_eq!(fs_err::read(lock).unwrap(), b"", "nobody holds it any more");
        fs_err::remove_file(lock).unwrap();
        fs_err::create_dir(lock).unwrap();
    }
    let refused = project.failure(&["package"]);
    let name = |text: &str| {
        let cut = text.split_once("/locks/").unwrap();
        let rest = cut
            .1
            .trim_start_matches(|letter: char| letter.is_ascii_hexdigit());
        rest.lines().next().unwrap().to_owned()
    };
    assert!(refused.contains("error[E616]"), "{refused}");
    assert_eq!(
        name(&refused),
        " is no regular file, so that no lock can be had"
    );
    let kept = project.root().join("kept");
    project.write("kept", "kept");
    for lock in &locks {
        fs_err::remove_dir(lock).unwrap();
        std::os::unix::fs::symlink(&kept, lock).unwrap();
    }
    assert!(project.failure(&["pin"]).contains("error[E616]"));
    assert_eq!(project.read("kept"), "kept");
    // Those that only read take none.
    for arguments in [&["tags"][..], &["plan"]] {
        project.succeed(arguments);
    }
    assert_eq!(project.run(&["check"]).code, 1);
}

/// Eight runs at once. In some rounds one of them is killed or stopped meanwhile, at another moment each time.
#[test]
fn runs_at_once_leave_what_one_leaves() {
    let project = small::project(ROOT, "registry.example");
    project.write("sparkpack.lock", &small::lock(ROOT));
    project.succeed(&["lock"]);
    let manifest = project.read("kubernetes/nightly.yml");
    project.succeed(&["pin"]);
    let wanted = project.files();
    let rounds = 15 * rounds();
    for round in 0..rounds {
        project.write("kubernetes/nightly.yml", &manifest);
        let start = |number: usize| {
            let verb = ["pin", "package", "pin", "lock"][number % 4];
            let mut command = project.command(&[verb]);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            command.spawn().unwrap()
        };
        let mut runs: Vec<_> = (0..8).map(start).collect();
        std::thread::sleep(Duration::from_millis(3) * u32::try_from(round % 15).unwrap());
        let id = runs[0].id().to_string();
        // It may have ended already.
        let signal = |name: &str| drop(run(Command::new("kill").args(["-s", name, &id])));
        let is_killed = match round % 3 {
            0 => false,
            1 => {
                signal("KILL");
                true
            }
            _ => {
                signal("STOP");
                std::thread::sleep(Duration::from_millis(50));
                signal("CONT");
                false
            }
        };
        for (number, run) in runs.iter_mut().enumerate() {
            let is_done = run.wait().unwrap().success();
            assert!(
                is_done || (is_killed && number == 0),
                "round {round}: {number}"
            );
        }
        assert_eq!(project.files(), wanted, "round {round}");
    }
    let what = "rounds of eight runs at once, one of which is killed or stopped in two of three";
    count("P11", what, rounds, &[]);
}
