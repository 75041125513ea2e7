//! `build --test-imports` with a stand-in for Python that answers as the real program does: what it is given, what
//! becomes of the manifests, and that no container stays, however the run ends. `real` has the real program.

use std::{
    fmt::Write as _,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    time::{Duration, Instant},
};

use crate::support::{Chain, Index, TestProject, docker, heedful, run};

/// No daemon answers there.
const NOWHERE: (&str, &str) = ("DOCKER_HOST", "unix:///nowhere/docker.sock");

const TESTING: [&str; 4] = ["-v", "build", "--test-imports", "job"];

/// Takes the request, says so, and answers only what was asked: it ends with its standard input.
const WAITING: &str = "#!/bin/sh
read request
echo 'it has begun' >&2
echo '{\"begin\": \"jobs\", \"on\": \"driver\"}'
while read line; do :; done
";

/// A chain whose images have a shell and this program as `python3`.
fn with_python(name: &str, python: &str) -> Chain {
    let chain = Chain::with_shell(name);
    let project = &chain.project;
    project.write("docker/base/python3", python);
    let path = project.root().join("docker/base/python3");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs_err::set_permissions(path, mode).unwrap();
    project.edit(
        "docker/base/Dockerfile",
        "COPY docker/base/base.txt /opt/\n",
        "COPY docker/base/base.txt /opt/\nCOPY docker/base/python3 /bin/\n",
    );
    project.succeed(&["build"]);
    chain
}

/// A run that has reached a line of its standard error.
fn begun(project: &TestProject, line: &str) -> Child {
    begun_by(&project.command(&TESTING), line)
}

fn begun_by(command: &Command, line: &str) -> Child {
    let mut child = heedful(command)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let mut lines = stderr.lines().map(Result::unwrap);
    let found = lines.find(|told| told.contains(line));
    assert!(found.is_some(), "nothing tells of `{line}`");
    // It goes on printing.
    std::thread::spawn(move || lines.for_each(drop));
    child
}

/// The containers that a run has made, also those that were not started.
fn containers(run: u32) -> String {
    let name = format!("name=sparkpack-{run}-");
    docker(&["ps", "--all", "--quiet", "--filter", &name])
}

fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    assert_eq!(run(Command::new("kill").args(["-s", name, &id])).code, 0);
}

#[test]
fn a_container_has_no_network_and_ends_with_the_run() {
    let chain = with_python("imports-ends", WAITING);
    let mut child = begun(&chain.project, "it has begun");
    let id = containers(child.id());
    let format =
        "{{.HostConfig.NetworkMode}} {{.Config.User}} {{.HostConfig.AutoRemove}} {{len .Mounts}}";
    assert_eq!(
        docker(&["inspect", "--format", format, id.trim()]),
        "none 185 true 0\n"
    );
    // Nobody removes the container in time, so that the program must notice it.
    signal(&child, "KILL");
    child.wait().unwrap();
    let until = Instant::now() + Duration::from_secs(30);
    while !containers(child.id()).is_empty() {
        assert!(Instant::now() < until, "the container is still there");
        std::thread::yield_now();
    }
}

#[test]
fn a_signal_removes_the_container_first() {
    let chain = with_python("imports-signal", WAITING);
    for (name, number) in [("INT", 2), ("TERM", 15)] {
        // While the container is made, and while it runs.
        for (line, seconds) in [("job: importing ", 10), ("it has begun", 2)] {
            let mut child = begun(&chain.project, line);
            signal(&child, name);
            let signalled_at = Instant::now();
            let status = child.wait().unwrap();
            let signalled = std::os::unix::process::ExitStatusExt::signal(&status);
            assert!(
                status.code() == Some(128 + number) || signalled == Some(number),
                "{name} at `{line}`: {status}"
            );
            assert!(
                signalled_at.elapsed() < Duration::from_secs(seconds),
                "{name} at `{line}`"
            );
            assert_eq!(containers(child.id()), "", "{name} at `{line}`");
        }
    }
}

/// A daemon that is slow to make a container: what is said when it is asked for one, and when it has answered.
struct SlowDaemon {
    folder: tempfile::TempDir,
    asked: Receiver<()>,
    answered: Receiver<()>,
}

impl SlowDaemon {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("docker.sock")).unwrap();
        let (asks, asked) = channel();
        let (answers, answered) = channel();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, asks, answers) = (client.unwrap(), asks.clone(), answers.clone());
                std::thread::spawn(move || Self::serve(client, &asks, &answers));
            }
        });
        Self {
            folder,
            asked,
            answered,
        }
    }

    fn host(&self) -> String {
        format!("unix://{}/docker.sock", self.folder.path().display())
    }

    fn serve(mut client: UnixStream, asks: &Sender<()>, answers: &Sender<()>) {
        let host = std::env::var("DOCKER_HOST");
        let host = host.unwrap_or_else(|_| "unix:///var/run/docker.sock".to_owned());
        let mut daemon = UnixStream::connect(host.trim_start_matches("unix://")).unwrap();
        let creates = Arc::new(AtomicBool::new(false));
        let (mut from, mut to) = (daemon.try_clone().unwrap(), client.try_clone().unwrap());
        let (answers, is_create) = (answers.clone(), Arc::clone(&creates));
        std::thread::spawn(move || {
            let mut buffer = [0; 8192];
            while let Ok(count @ 1..) = from.read(&mut buffer) {
                // The client may be gone.
                drop(to.write_all(&buffer[..count]));
                if is_create.swap(false, Ordering::SeqCst) {
                    answers.send(()).unwrap();
                }
            }
            drop(to.shutdown(Shutdown::Both));
        });
        let mut buffer = [0; 8192];
        while let Ok(count @ 1..) = client.read(&mut buffer) {
            if String::from_utf8_lossy(&buffer[..count]).contains("/containers/create") {
                asks.send(()).unwrap();
                std::thread::sleep(Duration::from_millis(500));
                creates.store(true, Ordering::SeqCst);
            }
            daemon.write_all(&buffer[..count]).unwrap();
        }
        // The end of what a client sends is not passed on: the daemon finishes what it was asked.
    }
}

#[test]
fn a_signal_removes_a_container_that_is_being_made() {
    let chain = with_python("imports-slow-daemon", WAITING);
    for (name, number) in [("INT", 2), ("TERM", 15)] {
        let daemon = SlowDaemon::start();
        let mut command = chain.project.command(&TESTING);
        command.env("DOCKER_HOST", daemon.host());
        let mut child = begun_by(&command, "job: importing ");
        let limit = Duration::from_secs(30);
        daemon.asked.recv_timeout(limit).unwrap();
        signal(&child, name);
        assert_eq!(child.wait().unwrap().code(), Some(128 + number), "{name}");
        daemon.answered.recv_timeout(limit).unwrap();
        assert_eq!(containers(child.id()), "", "{name}");
    }
}

#[test]
fn a_failing_import_is_told_with_its_reason_and_changes_no_manifest() {
    let answer = "#!/bin/sh
read request
echo '{\"imported\": \"jobs.one\", \"on\": \"driver\", \"failed\": {\"type\": \"ImportError\", \
          \"message\": \"libgomp.so.1: cannot open shared object file: No such file or directory\", \
          \"place\": [\"/opt/job/jobs.zip/jobs/one.py\", 7]}}'
echo '{\"done\": true}'
";
    let chain = with_python("imports-fails", answer);
    let project = &chain.project;
    project.write("src/jobs/one.py", "VALUE = 2\n");
    let before = project.files();
    let mut command = project.command(&["--quiet", "build", "--test-imports"]);
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let id = child.id();
    let failed = child.wait_with_output().unwrap();
    assert_eq!(
        (failed.status.code(), failed.stdout.as_slice()),
        (Some(6), &b""[..])
    );
    insta::assert_snapshot!(String::from_utf8(failed.stderr).unwrap());
    assert_eq!(containers(id), "");
    assert_eq!(project.files(), before);
}

#[test]
fn without_a_daemon_nothing_is_made() {
    let chain = Chain::new("imports-nowhere");
    let project = &chain.project;
    let before = project.files();
    let mut command = project.command(&["build", "--test-imports"]);
    let refused = run(command.env(NOWHERE.0, NOWHERE.1));
    assert_eq!(refused.code, 6, "{}", refused.stderr);
    assert!(
        refused
            .stderr
            .contains("error[E601]: cannot reach the Docker daemon"),
        "{}",
        refused.stderr
    );
    let layout = project.run(&["build", "--test-imports", "--output", "oci:dist/oci"]);
    assert_eq!(layout.code, 2, "{}", layout.stderr);
    assert!(
        layout
            .stderr
            .contains("error[E212]: `--test-imports` runs the images"),
        "{}",
        layout.stderr
    );
    assert_eq!(project.files(), before);
    assert!(!project.root().join("dist").exists());
}

#[test]
fn images_without_modules_are_not_run() {
    let chain = Chain::new("imports-none");
    let built = chain.project.succeed(&["build", "--test-imports", "base"]);
    assert!(
        built
            .stderr
            .contains("none of these images has modules to import"),
        "{}",
        built.stderr
    );
}

/// What merely came along with the packages of a lock may fail without the whole test failing, so the program is told
/// what was asked for.
#[test]
fn of_a_lock_only_what_the_project_asks_for_is_asked_for() {
    let answer = "#!/bin/sh
read request
echo \"given $request\" >&2
echo '{\"done\": true}'
";
    let index = Index::new();
    index.add("spk_app-1.0-py3-none-any", &["spk-dep"]);
    index.add("spk_dep-1.0-py3-none-any", &[]);
    let chain = with_python("imports-asked", answer);
    let project = &chain.project;
    let mirror = format!("[mirrors]\npython = \"{}\"\n\n[chains", index.url);
    project.edit("sparkpack.toml", "[chains", &mirror);
    let own = "src = \"src\"\nrequirements = \"uv.lock\"\n";
    project.edit("sparkpack.toml", "src = \"src\"\n", own);
    let mut lock = String::from("version = 1\n");
    for (name, more) in [("spk-app", "[{ name = \"spk-dep\" }]"), ("spk-dep", "[]")] {
        let digest = index.digest(&format!("{}-1.0-py3-none-any", name.replace('-', "_")));
        write!(
            lock,
            "[[package]]\nname = \"{name}\"\nversion = \"1.0\"\nsource = {{ registry = \"https://i.example\" }}\n\
             dependencies = {more}\nwheels = [{{ url = \"x\", hash = \"{digest}\" }}]\n"
        )
        .unwrap();
    }
    lock += "[[package]]\nname = \"x\"\nsource = { virtual = \".\" }\ndependencies = [{ name = \"spk-app\" }]\n";
    project.write("uv.lock", &lock);
    let told = project
        .succeed(&["-v", "build", "--test-imports", "job"])
        .stderr;
    let given = told.lines().find(|line| line.contains("given {")).unwrap();
    for part in [
        "\"asked\":[\"spk-app\"]",
        "\"packages\":[\"spk_app\",\"spk_dep\"]",
    ] {
        assert!(given.contains(part), "{part}: {given}");
    }
}
