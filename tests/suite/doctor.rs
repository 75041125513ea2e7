//! `doctor`: what a machine has and lacks for a project, each with what cures it, and that nothing is changed.

use std::{net::TcpListener, os::unix::net::UnixListener, process::Command};

use serde_json::{Value, json};

use crate::support::{Chain, PASSWORD, Run, Schema, TestProject, USER, run, small, spoiled, tree};

const SCHEMA: Schema = Schema("doctor.schema.json");

/// What differs between machines: each expression with what stands for it.
const FILTERS: [(&str, &str); 8] = [
    (r"Docker \d\S* at", "Docker VERSION at"),
    (r"uv \d\S*?(, | |\n)", "uv VERSION$1"),
    (r"git \d\S* in", "git VERSION in"),
    (r"(daemon|cache|dist) [\d.]+ GB", "$1 ROOM GB"),
    (r"\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT", "TIME"),
    (r"127\.0\.0\.1:\d+", "REGISTRY"),
    (r"ROOM GB \(/[^)]*docker[^)]*\)", "ROOM GB (DATA)"),
    (r"temporary files in \S+", "temporary files in TMPDIR"),
];

/// A machine without variables that decide about proxies and certificates, and with a locale that has symbols.
fn doctor(project: &TestProject, arguments: &[&str]) -> Command {
    let mut command = project.command(&[&["doctor"], arguments].concat());
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    command
        .env_remove("SSL_CERT_FILE")
        .env_remove("DOCKER_HOST")
        .env_remove("DOCKER_CONTEXT")
        .env_remove("DOCKER_BUILDKIT")
        .env_remove("LC_ALL")
        .env_remove("LC_CTYPE")
        .env("LANG", "C.UTF-8");
    command
}

/// What it prints, without what is this machine's.
fn told(project: &TestProject, run: &Run) -> String {
    let text = format!("exit {}\n{}{}", run.code, run.stdout, run.stderr);
    let text = text.replace(project.root().to_str().unwrap(), "PROJECT");
    let text = text.replace(project.cache().to_str().unwrap(), "CACHE");
    text.replace(project.home().to_str().unwrap(), "HOME")
}

macro_rules! assert_told {
    ($told:expr) => {
        insta::with_settings!({filters => FILTERS.to_vec()}, {
            insta::assert_snapshot!($told);
        });
    };
}

fn offline_project() -> TestProject {
    let root = "registry.example/root:1";
    let project = small::project(root, "registry.example");
    project.write("sparkpack.lock", &small::lock(root));
    project
}

/// The line of a check, and those below it.
fn line<'r>(run: &'r Run, check: &str) -> &'r str {
    let mut lines = run.stdout.lines();
    let found = lines.find(|line| line.split_whitespace().nth(1) == Some(check));
    found.unwrap_or_else(|| panic!("no {check} in {}", run.stdout))
}

#[test]
fn a_machine_with_everything_is_healthy_and_unchanged() {
    let chain = Chain::with_registry("doctor");
    let project = &chain.project;
    project.begin_git();
    project.succeed(&["lock"]);
    project.git(&["add", "--all"]);
    let before = tree(&project.root());
    let asked = chain.registry().requests().len();
    let run = run(&mut doctor(project, &[]));
    let told = told(project, &run);
    assert!(!told.contains(PASSWORD), "{told}");
    assert_told!(told);
    assert!(tree(&project.root()) == before, "something was changed");
    let requests = chain.registry().requests();
    assert!(requests.len() > asked, "nobody asked the registry");
    let is_reading = |request: &String| request.starts_with("GET ");
    assert!(requests[asked..].iter().all(is_reading), "{requests:?}");
}

#[test]
fn credentials_that_a_registry_does_not_take_are_told_with_the_command() {
    let chain = Chain::with_registry("doctor-login");
    let project = &chain.project;
    project.write("sparkpack.lock", &small::lock(&chain.root.name));
    project.sign_in(&chain.host, USER, "another");
    let wrong = run(&mut doctor(project, &[]));
    fs_err::remove_file(project.home().join(".docker/config.json")).unwrap();
    let none = run(&mut doctor(project, &[]));
    assert_eq!((wrong.code, none.code), (4, 4), "{}", wrong.stdout);
    let of = |run: &Run| {
        let lines: Vec<&str> = run.stdout.lines().collect();
        let at = lines.iter().position(|line| line.contains("registry main"));
        let [line, cure] = [0, 1].map(|below| lines[at.unwrap() + below].trim());
        format!("{line}\n{cure}\n{}", run.stderr)
    };
    assert_told!(format!("{}\n{}", of(&wrong), of(&none)));
    let asked = chain.registry().requests().len();
    let offline = run(&mut doctor(project, &["--offline"]));
    assert_eq!(offline.code, 0, "{}", offline.stdout);
    assert_eq!(chain.registry().requests().len(), asked);
}

#[test]
fn without_a_daemon_it_is_told_what_the_project_can_do() {
    let project = offline_project();
    let host = "unix:///nowhere/docker.sock";
    let named = run(doctor(&project, &["--offline"]).env("DOCKER_HOST", host));
    assert_eq!(named.code, 6, "{}", named.stdout);
    assert_told!(told(&project, &named));
}

#[test]
fn outside_of_a_project_the_machine_is_told() {
    let project = TestProject::new(&[]);
    let run = run(&mut doctor(&project, &[]));
    assert_eq!(run.code, 0, "{}", run.stdout);
    assert_told!(told(&project, &run));
}

#[test]
fn a_configuration_with_mistakes_is_the_bad_line() {
    let project = offline_project();
    project.edit(
        "sparkpack.toml",
        "[images.side]\nparent",
        "[images.side]\nparnet",
    );
    let first = run(&mut doctor(&project, &["--offline"]));
    assert_eq!(first.code, 2, "{}", first.stdout);
    assert_told!(told(&project, &first));
    // A registry that there is not is a mistake of the command line.
    let project = offline_project();
    let unknown = run(&mut doctor(&project, &["--registry", "mian"]));
    assert_eq!((unknown.code, unknown.stdout.as_str()), (2, ""));
    assert!(
        unknown.stderr.starts_with("error[E087]: "),
        "{}",
        unknown.stderr
    );
}

/// Sockets that take connections and never say anything.
#[test]
fn nobody_is_waited_for_for_ever() {
    let registry = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = registry.local_addr().unwrap().to_string();
    let root = "registry.example/root:1";
    let project = small::project(root, &host);
    project.write("sparkpack.lock", &small::lock(root));
    let socket = project.home().join("docker.sock");
    let _daemon = UnixListener::bind(&socket).unwrap();
    let host = format!("unix://{}", socket.display());
    let run = run(doctor(&project, &[]).env("DOCKER_HOST", host));
    assert_eq!(run.code, 5, "{}{}", run.stdout, run.stderr);
    for (check, wanted) in [
        ("daemon", "no answer in time"),
        ("registry", "operation timed out"),
        ("clock", "there is no registry to compare it with"),
    ] {
        assert!(line(&run, check).contains(wanted), "{}", run.stdout);
    }
}

#[test]
fn words_stand_where_the_locale_has_no_symbols() {
    let project = offline_project();
    let host = "unix:///nowhere/docker.sock";
    let mut command = doctor(&project, &["--offline", "--quiet"]);
    let run = run(command.env("LANG", "C").env("DOCKER_HOST", host));
    let marks: Vec<&str> = run
        .stdout
        .lines()
        .filter(|line| !line.starts_with("    "))
        .map(|line| line.split_whitespace().next().unwrap())
        .collect();
    assert_eq!(
        &marks[..5],
        ["good", "good", "BAD", "-", "-"],
        "{}",
        run.stdout
    );
    assert!(run.stdout.is_ascii(), "{}", run.stdout);
}

fn document(command: &mut Command) -> Value {
    let run = run(command);
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {}", run.stdout))
}

#[test]
fn the_document_is_what_its_schema_says() {
    let arguments = ["--offline", "--format", "json"];
    let project = offline_project();
    let nowhere = "unix:///nowhere/docker.sock";
    let bad = document(doctor(&project, &arguments).env("DOCKER_HOST", nowhere));
    let empty = TestProject::new(&[]);
    let healthy = document(&mut doctor(&empty, &arguments));
    assert_eq!(
        (&bad["healthy"], &healthy["healthy"]),
        (&json!(false), &json!(true))
    );
    let documents = [bad.clone(), healthy.clone()];
    assert_eq!(SCHEMA.mistakes(&documents), [vec![], Vec::<String>::new()]);
    let mut wrong = spoiled(&bad);
    for (document, pointer, value) in [
        (&bad, "/version", json!(2)),
        (&bad, "/healthy", json!(true)),
        (&healthy, "/healthy", json!(false)),
        (&bad, "/checks", json!([])),
        (&bad, "/checks/0/state", json!("fine")),
        (&bad, "/checks/2/code", json!(null)),
        (&bad, "/checks/0/code", json!("E100")),
        (&bad, "/checks/0/finding", json!("")),
    ] {
        let mut copy = document.clone();
        *copy.pointer_mut(pointer).unwrap() = value.clone();
        wrong.push((format!("{pointer} = {value}"), copy));
    }
    assert_eq!(SCHEMA.taken(&wrong), Vec::<&str>::new(), "taken as valid");
    assert_eq!(SCHEMA.silent_keys(), Vec::<String>::new());
}

/// What the locks lack is told with the command that adds it.
#[test]
fn locks_that_lack_something_are_the_bad_line_with_the_command() {
    let project = offline_project();
    project.write("sparkpack.lock", "format = 1\n");
    let run = run(&mut doctor(&project, &["--offline", "--format", "json"]));
    assert_eq!(run.code, 2, "{}", run.stdout);
    let told: Value = serde_json::from_str(&run.stdout).unwrap();
    let mut checks = told["checks"].as_array().unwrap().iter();
    let locks = checks.find(|check| check["name"] == "locks").unwrap();
    let wanted = json!({
        "name": "locks",
        "state": "bad",
        "finding": "sparkpack.lock:1:1: `base` needs the digest of the image `registry.example/root:1`, which the lock does not have",
        "code": "E033",
        "run": "sparkpack lock",
        "hint": null,
    });
    assert_eq!(*locks, wanted);
}
