//! Secrets and SSH agents of builds: what is missing is told before anything is built, and no value is ever shown or kept.

use std::path::Path;

use crate::support::{Chain, Run, TestProject, docker, run, small};

const ROOT: &str = "registry.example/root:1";
const CANARY: &str = "canary-8d1f0c";

const MOUNTS: &str =
    "RUN --mount=type=secret,id=netrc,required=true cat /run/secrets/netrc > /dev/null\n";

/// Gives the image `side` a step, and its table the lines `keys`.
fn with_step(project: &TestProject, step: &str, keys: &str) {
    let dockerfile = project.read("docker/side/Dockerfile");
    project.write("docker/side/Dockerfile", &format!("{dockerfile}{step}"));
    let head = "[images.side]\n";
    project.edit("sparkpack.toml", head, &format!("{head}{keys}"));
}

fn project(step: &str, keys: &str) -> TestProject {
    let project = small::project(ROOT, "registry.example");
    project.write("sparkpack.lock", &small::lock(ROOT));
    with_step(&project, step, keys);
    project
}

fn warnings(run: &Run) -> Vec<&str> {
    let lines = run.stderr.lines();
    lines
        .filter(|line| line.starts_with("warning[W131]"))
        .collect()
}

#[test]
fn what_a_step_needs_and_the_image_is_not_given_is_told_by_every_verb() {
    for (step, keys, message, hint) in [
        (
            MOUNTS,
            "",
            "needs the secret `netrc`, which `side` does not have",
            "secrets.netrc = { file",
        ),
        (
            MOUNTS,
            "secrets.netcr = { env = \"N\" }\n",
            "needs the secret `netrc`",
            "did you mean `netcr`?",
        ),
        (
            "RUN --mount=type=secret,target=/opt/.netrc,required cat /opt/.netrc\n",
            "secrets.netrc = { env = \"N\" }\n",
            "needs the secret `.netrc`",
            "did you mean `netrc`?",
        ),
        (
            "RUN --mount=\"type=secret,id=a\" --mount=type=secret,id=b,required=true true\n",
            "",
            "needs the secret `b`",
            "secrets.b",
        ),
        (
            "RUN --mount=type=ssh,required=true true\n",
            "",
            "needs an SSH agent",
            "write `ssh = true`",
        ),
        (
            "RUN --mount=type=ssh,id=other,required=true true\n",
            "ssh = true\n",
            "the SSH agent `other`",
            "leave `id` out",
        ),
    ] {
        let project = project(step, keys);
        for verb in ["tags", "plan", "check"] {
            let run = project.run(&[verb]);
            assert_eq!(run.code, 2, "{step} {}", run.stderr);
            let told = run.stderr.contains("error[E110]: docker/side/Dockerfile:")
                && run.stderr.contains(message)
                && run.stderr.contains(hint);
            assert!(told, "{step}: {}", run.stderr);
        }
    }
}

#[test]
fn a_step_that_can_do_without_is_no_mistake_and_an_unused_secret_is_told() {
    let optional = "RUN --mount=type=secret,id=netrc --mount=type=ssh true\n";
    project(optional, "").succeed(&["tags"]);
    // Of a stage that nothing needs.
    let project = small::project(ROOT, "registry.example");
    project.write("sparkpack.lock", &small::lock(ROOT));
    let dockerfile = project.read("docker/side/Dockerfile");
    let unneeded = format!("FROM scratch AS unneeded\n{MOUNTS}{dockerfile}");
    project.write("docker/side/Dockerfile", &unneeded);
    let run = project.succeed(&["plan"]);
    assert!(warnings(&run).is_empty(), "{}", run.stderr);
    with_step(&project, "", "secrets.netrc = { env = \"NETRC\" }\n");
    let run = project.succeed(&["plan"]);
    assert_eq!(warnings(&run).len(), 1, "{}", run.stderr);
}

#[test]
fn a_secret_has_one_origin() {
    for keys in [
        "secrets.a = { file = \"f\", env = \"E\" }\n",
        "secrets.a = {}\n",
    ] {
        let run = project("", keys).run(&["tags"]);
        assert_eq!(run.code, 2);
        let message = "the secret `a` needs either `file` or `env`";
        assert!(run.stderr.contains(message), "{}", run.stderr);
    }
}

/// The tag follows from the secret's name, which the Dockerfile has, and neither from its value nor from its origin.
#[test]
fn a_tag_does_not_depend_on_a_secret() {
    let origins = [
        "secrets.netrc = { env = \"NETRC\" }\n",
        "secrets.netrc = { file = \"~/.netrc\" }\n",
        "secrets.netrc = { file = \"/nowhere\" }\nssh = true\n",
    ];
    let tags = origins.map(|keys| project(MOUNTS, keys).reference("side"));
    assert!(tags.iter().all(|tag| *tag == tags[0]), "{tags:?}");
}

#[test]
fn the_file_of_a_secret_in_the_project_is_never_context() {
    let keys = "secrets.netrc = { file = \"conf/netrc\" }\n";
    let project = project(&format!("{MOUNTS}COPY . /all/\n"), keys);
    let tag = project.reference("side");
    for text in ["one", "two"] {
        project.write("conf/netrc", text);
        assert_eq!(project.reference("side"), tag);
    }
    project.write("conf/other", "one");
    assert_ne!(project.reference("side"), tag);
}

/// A `!` that takes back what holds secrets is told with its line.
#[test]
fn a_rule_that_takes_a_file_with_secrets_back_is_told() {
    let project = project("", "");
    for (rules, line) in [
        ("*\n!docker\n!.env\n", Some(3)),
        ("**/.env\n!conf/.env\n", Some(2)),
        ("*\n!docker\n!.env.example\n", None),
        (".env\n", None),
    ] {
        project.write(".dockerignore", rules);
        let told = project.run(&["plan"]).stderr;
        let wanted = line.map(|line| format!("warning[W133]: .dockerignore:{line}:"));
        assert_eq!(told.contains("W133"), wanted.is_some(), "{rules}: {told}");
        assert!(
            told.contains(&wanted.unwrap_or_default()),
            "{rules}: {told}"
        );
    }
}

/// The chain with an image that a step with secrets is built into.
fn chain(name: &str, step: &str, keys: &str) -> Chain {
    let chain = Chain::new(name);
    chain.project.write("docker/side/Dockerfile", &format!("FROM debian:bookworm-slim AS shell\n{step}RUN date > /done\nFROM base\nCOPY --from=shell /done /\n"));
    let head = "[images.side]\n";
    chain
        .project
        .edit("sparkpack.toml", head, &format!("{head}{keys}"));
    chain
}

fn holds(folder: &Path, text: &str) -> bool {
    walkdir::WalkDir::new(folder).into_iter().any(|entry| {
        let entry = entry.unwrap();
        let is_file = entry.file_type().is_file();
        is_file && String::from_utf8_lossy(&fs_err::read(entry.path()).unwrap()).contains(text)
    })
}

#[test]
fn a_build_mounts_secrets_of_files_and_variables_and_keeps_none() {
    let step = "RUN --mount=type=secret,id=netrc,required=true cat /run/secrets/netrc && echo && test -s /run/secrets/netrc\n\
                RUN --mount=type=secret,id=token,target=/t,required=true test \"$(cut -c 1-7 /t)\" = canary-\n";
    let keys = "secrets.netrc = { file = \"~/.netrc\" }\nsecrets.token = { env = \"TOKEN\" }\n";
    let chain = chain("secrets-build", step, keys);
    fs_err::write(
        chain.project.home().join(".netrc"),
        format!("password {CANARY}\n"),
    )
    .unwrap();
    let mut command = chain.project.command(&["build", "side", "-vv"]);
    let built = run(command.env("TOKEN", CANARY));
    assert_eq!(built.code, 0, "{}", built.stderr);
    assert!(
        !built.stderr.contains(CANARY) && !built.stdout.contains(CANARY),
        "{}",
        built.stderr
    );
    let reference = chain.project.reference("side");
    let kept = docker(&["inspect", &reference]) + &docker(&["history", "--no-trunc", &reference]);
    assert!(!kept.contains(CANARY), "{kept}");
    assert!(!holds(&chain.project.root(), CANARY));
    assert!(!holds(
        &chain.project.home().parent().unwrap().join("cache"),
        CANARY
    ));
    // Nothing has to be built, so nothing is needed.
    fs_err::remove_file(chain.project.home().join(".netrc")).unwrap();
    chain.project.succeed(&["build", "side"]);
}

#[test]
fn a_build_without_its_secret_or_with_the_classic_builder_stops_before_the_first_step() {
    let cases = [
        (
            "secrets.netrc = { file = \"~/.netrc\" }\n",
            "1",
            "E111",
            "the secret `netrc` cannot be read: ",
        ),
        (
            "secrets.netrc = { env = \"NO_SUCH\" }\n",
            "1",
            "E111",
            "environment variable `NO_SUCH`, which is not set",
        ),
        (
            "secrets.netrc = { file = \"large\" }\n",
            "1",
            "E111",
            "the secret `netrc` has 512001 bytes; builders accept 512000",
        ),
        (
            "secrets.netrc = { env = \"HOME\" }\n",
            "0",
            "E095",
            "RUN --mount needs BuildKit, and the classic builder is in use",
        ),
    ];
    for (index, (keys, buildkit, code, message)) in cases.into_iter().enumerate() {
        let chain = chain(&format!("secrets-none{index}"), MOUNTS, keys);
        chain.project.write("large", &"x".repeat(512_001));
        let mut command = chain.project.command(&["build"]);
        let failed = run(command.env("DOCKER_BUILDKIT", buildkit));
        assert_eq!(failed.code, 2, "{}", failed.stderr);
        let told =
            failed.stderr.contains(&format!("error[{code}]")) && failed.stderr.contains(message);
        assert!(told, "{}", failed.stderr);
        assert!(!failed.stderr.contains(": built "), "{}", failed.stderr);
    }
    let chain = chain(
        "secrets-ssh",
        "RUN --mount=type=ssh,required=true true\n",
        "ssh = true\n",
    );
    for (socket, message) in [
        ("", "`SSH_AUTH_SOCK` is not set"),
        (
            "/nowhere/agent",
            "`SSH_AUTH_SOCK` names /nowhere/agent, which is not there",
        ),
    ] {
        let mut command = chain.project.command(&["build", "side"]);
        let failed = run(command.env("SSH_AUTH_SOCK", socket));
        assert!(failed.stderr.contains(message), "{}", failed.stderr);
        assert!(!failed.stderr.contains(": built "), "{}", failed.stderr);
    }
}
