//! Every mistake gives one clear message with a cure, exit code 2 if it is the user's, and changes nothing.

use crate::support::{Chain, Run, TestProject, run, small};

const ROOT: &str = "registry.example/root:1";

fn project() -> TestProject {
    let project = small::project(ROOT, "registry.example");
    project.write("sparkpack.lock", &small::lock(ROOT));
    project.with_variable("DOCKER_HOST", "unix:///nonexistent/docker.sock")
}

/// The output of `plan` after a change; no file may have changed.
fn after(change: impl Fn(&TestProject)) -> String {
    let project = project();
    change(&project);
    let before = project.files();
    let failure = project.failure(&["plan"]);
    assert_eq!(project.files(), before, "a failure changes nothing");
    assert!(failure.contains("hint: "), "{failure}");
    failure
}

fn with(old: &str, new: &str) -> String {
    after(|project| project.edit("sparkpack.toml", old, new))
}

#[test]
fn in_the_configuration() {
    let mistakes = [
        (
            "unknown key",
            with("project =", "regsitry = \"x\"\nproject ="),
        ),
        (
            "unknown key of an image",
            with("parent = \"ds\"", "parnet = \"ds\""),
        ),
        ("wrong type", with("project = \"small\"", "project = 3")),
        ("syntax", with("project = \"small\"", "project = \"small")),
        (
            "a key twice",
            with(
                "project = \"small\"",
                "project = \"small\"\nproject = \"large\"",
            ),
        ),
        (
            "a table twice",
            with("[images.side]", "[images.ds]\n\n[images.side]"),
        ),
        (
            "a root's digest that is too short",
            with(
                "root = \"registry.example/root:1\"",
                "root = \"debian@sha256:0123\"",
            ),
        ),
        ("a newer format", with("format = 1", "format = 2")),
        ("no format", with("format = 1\n", "")),
        ("unknown parent", with("parent = \"ds\"", "parent = \"sd\"")),
        (
            "a cycle",
            with(
                "[images.ds]\nparent = \"base\"",
                "[images.ds]\nparent = \"job\"",
            ),
        ),
        (
            "its own parent",
            with(
                "[images.ds]\nparent = \"base\"",
                "[images.ds]\nparent = \"ds\"",
            ),
        ),
        (
            "a scheme",
            with("registries.main = \"", "registries.main = \"http://"),
        ),
        (
            "a password",
            with(
                "registries.main = \"registry",
                "registries.main = \"ada:secret@registry",
            ),
        ),
        ("upper case", with("/small\"", "/Small\"")),
        (
            "a template",
            with(
                "project = \"small\"",
                "project = \"small\"\nreference = \"{registry}/{image}:latest\"",
            ),
        ),
        (
            "platform",
            with(
                "project = \"small\"",
                "project = \"small\"\nplatforms = [\"linux/amd46\"]",
            ),
        ),
        ("outside", with("src = \"src\"", "src = \"../src\"")),
        ("missing src", with("src = \"src\"", "src = \"source\"")),
        (
            "missing main",
            with("src = \"src\"", "src = \"src\"\nmain = \"start.py\""),
        ),
        (
            "missing Dockerfile",
            with("docker/ds/Dockerfile", "docker/dss/Dockerfile"),
        ),
        (
            "nothing in an image",
            with("[images.side]", "[images.empty]\n\n[images.side]"),
        ),
        (
            "a job on nothing",
            after(|project| {
                let alone = "format = 1\nproject = \"small\"\nregistries.main = \"registry.example/small\"\n\n[images.job]\nsrc = \"src\"\n";
                project.write("sparkpack.toml", alone);
            }),
        ),
        (
            "an unset variable",
            with(
                "registries.main = \"registry.example",
                "registries.main = \"${SPARKPACK_TEST_UNSET}",
            ),
        ),
        (
            "an unknown source",
            with(
                "[images.side]\n",
                "[images.side]\ncontext = \"source:spark\"\n",
            ),
        ),
        (
            "a source of two origins",
            with(
                "[images.side]",
                "[sources.x]\nurl = \"https://a.example/x\"\npath = \"x\"\n\n[images.side]",
            ),
        ),
        (
            "a checksum",
            with(
                "[images.side]",
                "[sources.x]\nurl = \"https://a.example/x\"\nsha256 = \"12\"\n\n[images.side]",
            ),
        ),
        (
            "a bad glob",
            with("src = \"src\"", "src = \"src\"\nexclude = [\"[a-\"]"),
        ),
        (
            "an unknown registry",
            with("[manifests]\nmain", "[manifests]\nprod"),
        ),
        (
            "names that differ by case",
            with(
                "[images.side]",
                "[images.JOB]\nsrc = \"src\"\n\n[images.side]",
            ),
        ),
    ];
    let all: Vec<String> = mistakes
        .iter()
        .map(|(name, text)| format!("# {name}\n{text}"))
        .collect();
    assert!(
        !all.concat().contains("secret"),
        "a password is never echoed"
    );
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn in_files_beside_it() {
    let mistakes = [
        (
            "not UTF-8",
            after(|p| {
                fs_err::write(p.root().join("sparkpack.toml"), b"format = 1\n# caf\xe9\n").unwrap()
            }),
        ),
        (
            "UTF-16",
            after(|p| fs_err::write(p.root().join("sparkpack.toml"), b"\xff\xfef\0").unwrap()),
        ),
        ("empty", after(|p| p.write("sparkpack.toml", ""))),
        (
            "a broken lock",
            after(|p| p.write("sparkpack.lock", "format = 1\nimage = 1\n")),
        ),
        (
            "a newer lock",
            after(|p| p.write("sparkpack.lock", "format = 9\n")),
        ),
        (
            "nothing locked",
            after(|p| fs_err::remove_file(p.root().join("sparkpack.lock")).unwrap()),
        ),
        (
            "unknown instruction",
            after(|p| p.edit("docker/ds/Dockerfile", "COPY", "COPPY")),
        ),
        (
            "no FROM of the parent",
            after(|p| p.edit("docker/ds/Dockerfile", "FROM ${PARENT}", "FROM scratch")),
        ),
        (
            "an undeclared argument",
            after(|p| p.edit("docker/ds/Dockerfile", "ARG PARENT\n", "")),
        ),
        (
            "outside the context",
            after(|p| p.edit("docker/side/Dockerfile", "COPY docker", "COPY ../docker")),
        ),
        (
            "requirements by URL",
            after(|p| {
                p.edit(
                    "sparkpack.toml",
                    "src = \"src\"",
                    "src = \"src\"\nrequirements = \"requirements.txt\"",
                );
                p.write(
                    "requirements.txt",
                    "six==1.16.0\ngit+https://git.example/six\n",
                );
            }),
        ),
        (
            "requirements without a lock",
            after(|p| {
                p.edit(
                    "sparkpack.toml",
                    "src = \"src\"",
                    "src = \"src\"\nrequirements = \"requirements.txt\"",
                );
                p.write("requirements.txt", "six==1.16.0\n");
            }),
        ),
    ];
    let all: Vec<String> = mistakes
        .iter()
        .map(|(name, text)| format!("# {name}\n{text}"))
        .collect();
    insta::assert_snapshot!(all.join("\n"));
}

/// All are told before a daemon is asked; nothing of a secret is printed.
#[test]
fn in_a_dockerfile() {
    let side = |text: &str| after(|p| p.write("docker/side/Dockerfile", text));
    let long = "x".repeat(10_000_000);
    let mistakes = [
        ("a missing continuation", side("FROM base\nRUN a\n  && b\n")),
        ("a wrong trigger", side("FROM base\nONBUILD COPPY a b\n")),
        (
            "the parent is only copied from",
            after(|p| {
                let other = "ARG PARENT\nFROM side\nCOPY --from=base /opt /opt\n";
                p.write("docker/ds/Dockerfile", other);
            }),
        ),
        (
            "a variable in --from",
            side("ARG X=base\nFROM base\nCOPY --from=$X a /\n"),
        ),
        ("a secret", side("FROM base\nENV A=1 DB_PASSWORD=c4nary\n")),
        (
            "a secret in a URL",
            side("FROM base\nRUN pip install -i https://ada:c4nary@a.example/simple x\n"),
        ),
        ("empty", side("")),
        ("only comments", side("\u{feff}# a\r\n\r\n# b\r\n")),
        ("no FROM", side("# FROM base\nCOPY a /\n")),
        ("FROM without an image", side("FROM\n")),
        ("FROM of nothing", side("ARG X\nFROM ${X:-}\n")),
        ("escape", side("# escape=x\nFROM base\n")),
        (
            "a continuation of nothing",
            side("FROM base\nRUN a && \\\n"),
        ),
        ("a long line", side(&format!("FROM base\n{long}\n"))),
        (
            "a long name",
            side(&format!("FROM {}\n", "x".repeat(60_000))),
        ),
        ("a stage twice", side("FROM base AS a\nFROM base AS A\n")),
        (
            "a stage that comes later",
            side("FROM base\nCOPY --from=a x /\nFROM base AS a\n"),
        ),
        (
            "a stage that there is not",
            side("FROM base AS stage\nCOPY --from=stag x /\n"),
        ),
    ];
    let all: Vec<String> = mistakes
        .iter()
        .map(|(name, text)| format!("# {name}\n{text}"))
        .collect();
    assert!(!all.concat().contains("c4nary"), "no secret is printed");
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn a_byte_order_mark_and_crlf_are_accepted() {
    let project = project();
    let wanted = project.succeed(&["tags"]).stdout;
    let text = format!(
        "\u{feff}{}",
        project.read("sparkpack.toml").replace('\n', "\r\n")
    );
    project.write("sparkpack.toml", &text);
    assert_eq!(project.succeed(&["tags"]).stdout, wanted);
}

#[test]
fn on_the_command_line() {
    let project = project();
    let unknown = project.failure(&["build", "jbo"]);
    let empty = TestProject::new(&[]);
    let nowhere = empty.failure(&["plan"]);
    let registry = project.failure(&["plan", "--registry", "prod"]);
    insta::assert_snapshot!(format!(
        "# unknown image\n{unknown}\n# no project\n{nowhere}\n# unknown registry\n{registry}"
    ));
}

/// What is wrong around the project: the files of docker, the home, the folders, git. What needs none of it works.
#[test]
fn in_the_surroundings() {
    let project = project();
    project.write("requirements.txt", "six\n");
    project.edit(
        "sparkpack.toml",
        "src = \"src\"",
        "src = \"src\"\nrequirements = \"requirements.txt\"",
    );
    let mut told = Vec::new();
    let mut tell = |about: &str, run: Run| {
        let text = run.stderr.replace(project.home().to_str().unwrap(), "HOME");
        told.push(format!("# {about}\nexit {}\n{text}", run.code));
        assert_eq!(run.stdout, "", "{about}");
    };
    let folder = project.home().join(".docker");
    let credentials = folder.join("config.json");
    fs_err::create_dir(&folder).unwrap();
    let push = || run(&mut project.command(&["plan", "--remote"]));
    project.write("requirements.txt", "");
    fs_err::write(&credentials, "{\n  \"auths\":\n").unwrap();
    let lock = || {
        run(project
            .command(&["lock"])
            .env("DOCKER_HOST", "unix:///nowhere/docker.sock"))
    };
    assert_eq!(lock().code, 0);
    tell("credentials that are no JSON", push());
    fs_err::remove_file(&credentials).unwrap();
    fs_err::create_dir(&credentials).unwrap();
    tell("credentials that are a folder", push());
    fs_err::remove_dir(&credentials).unwrap();
    project.write("requirements.txt", "six\n");
    tell(
        "no folder for temporary files",
        without_random(run(project.command(&["lock"]).env("TMPDIR", "/nowhere"))),
    );
    tell(
        "no programs",
        run(project.command(&["lock"]).env("PATH", "")),
    );
    let strict = || run(&mut project.command(&["check", "--strict"]));
    project.write("requirements.txt", "");
    tell("no git repository", strict());
    let gone = project.home().join("gone");
    let script = "mkdir \"$1\" && cd \"$1\" && rmdir \"$1\" && exec \"$2\" tags";
    let mut command = std::process::Command::new("sh");
    command.args([
        "-c",
        script,
        "sh",
        gone.to_str().unwrap(),
        env!("CARGO_BIN_EXE_sparkpack"),
    ]);
    tell("the current folder is gone", run(&mut command));
    insta::assert_snapshot!(told.join("\n"));
    // What needs none of it.
    let mut bare = project.command(&["tags"]);
    bare.env_remove("HOME")
        .env("PATH", "")
        .env("TMPDIR", "/nowhere")
        .env("LC_ALL", "POSIX");
    assert_eq!(run(&mut bare).code, 0);
}

/// The name of a temporary folder is another one each time.
fn without_random(run: Run) -> Run {
    let lines = run
        .stderr
        .lines()
        .map(|line| match line.split_once(" at path ") {
            Some((before, _)) => format!("{before}\n"),
            None => format!("{line}\n"),
        });
    Run {
        stderr: lines.collect(),
        ..run
    }
}

#[test]
fn a_daemon_that_is_not_there() {
    insta::assert_snapshot!(project().failure(&["build"]));
}

#[test]
fn a_registry_that_is_down_is_told_where_no_daemon_answers_either() {
    let project = TestProject::new(&[
        (
            "sparkpack.toml",
            "format = 1\nproject = \"x\"\nregistries.main = \"127.0.0.1:9/x\"\n\n[chains.main]\nimage = \"127.0.0.1:9/spark:1\"\n\n[images.job]\nparent = \"py\"\nsrc = \"src\"\n",
        ),
        ("src/main.py", ""),
    ]);
    let mut command = project.command(&["lock"]);
    let run = run(command.env("DOCKER_HOST", "unix:///nonexistent/docker.sock"));
    assert_eq!(run.code, 5, "{}", run.stderr);
    let told = "error[E501]: cannot look up `127.0.0.1:9/spark:1`: no answer from";
    assert!(run.stderr.starts_with(told), "{}", run.stderr);
}

#[test]
fn a_broken_dockerfile_shows_the_failing_line() {
    let chain = Chain::new("mistake-dockerfile");
    let project = &chain.project;
    project.edit(
        "docker/side/Dockerfile",
        "COPY docker/side/side.txt /opt/\n",
        "COPY docker/side/side.txt /opt/\n\nCOPY --chown=nobody-such \\\n    docker/side/side.txt /opt/\n",
    );
    let failure = project.failure(&["build", "side"]);
    // Images that were built before the failure are printed with times and sizes, so only the error is in the snapshot.
    let error = &failure[failure.find("error[").unwrap()..];
    assert!(failure.starts_with("exit 6\n"), "{failure}");
    insta::with_settings!({filters => vec![(r"open /\S+/etc/passwd", "open ROOT/etc/passwd")]}, {
        insta::assert_snapshot!(error);
    });
}

#[test]
fn a_requirement_that_does_not_exist() {
    let project = TestProject::new(&[
        (
            "sparkpack.toml",
            "format = 1\nproject = \"x\"\nregistries.main = \"registry.example/x\"\n\n[chains.main]\nspark = \"4.1.4\"\npython = \"3.11\"\n\n[images.job]\nparent = \"py\"\nsrc = \"src\"\nrequirements = \"requirements.txt\"\n",
        ),
        ("src/main.py", ""),
        ("requirements.txt", "sparkpack-no-such-package==1.0\n"),
    ]);
    let configuration = project.read("sparkpack.toml");
    let failures = ["uv", "pip"].map(|installer| {
        let python = format!("\n[python]\ninstaller = \"{installer}\"\n");
        project.write("sparkpack.toml", &(configuration.clone() + &python));
        format!("# {installer}\n{}", project.failure(&["package"]))
    });
    insta::assert_snapshot!(failures.join("\n"));
    assert!(
        !project.root().join("requirements.lock").exists(),
        "nothing is half-written"
    );
}

/// The chain's own images have the project's platforms, even if no configured image has them.
#[test]
fn a_platform_that_only_the_chain_has_is_checked() {
    let project = TestProject::new(&[
        (
            "sparkpack.toml",
            "format = 1\nproject = \"x\"\nplatforms = [\"linux/amd46\"]\nregistries.main = \"registry.example/x\"\n\n[chains.main]\nspark = \"4.1.4\"\npython = \"3.11\"\n\n[images.job]\nsrc = \"src\"\nplatforms = [\"linux/amd64\"]\n",
        ),
        ("src/main.py", ""),
    ]);
    let failure = project.failure(&["plan"]);
    assert!(
        failure.starts_with("exit 2\nerror[E022]: sparkpack.toml:3:14: `linux/amd46`"),
        "{failure}"
    );
}
