//! A chain that a `BuildKit` at an address builds, where no Docker daemon is.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::net::UnixListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    buildkitd::{Buildkitd, Certificates},
    support::{Beside, Chain, Run, count, docker, program, rounds, run, sha256},
};

/// Where no Docker daemon is.
const NO_DOCKER: (&str, &str) = ("DOCKER_HOST", "unix:///nowhere/docker.sock");

const IMAGES: [&str; 4] = ["base", "ds", "side", "job"];

/// The chain with its root image in its registry; `lines` are those of `[builder]`.
fn chain(name: &str, lines: &str) -> Chain {
    let mut chain = Chain::with_shell(name);
    let root = format!("{}/small/root:1", chain.host);
    chain.docker(&["tag", &chain.root.name, &root]);
    chain.docker(&["push", "--quiet", &root]);
    docker(&["rmi", &root]);
    let project = &chain.project;
    project.edit(
        "sparkpack.toml",
        &format!("root = \"{}\"", chain.root.name),
        &format!("root = \"{root}\""),
    );
    configure(&chain, lines);
    chain.project.set_variable(NO_DOCKER.0, NO_DOCKER.1);
    chain
}

/// Replaces `[builder]`.
fn configure(chain: &Chain, lines: &str) {
    let text = chain.project.read("sparkpack.toml");
    let text = text.split("\n[builder]").next().unwrap();
    let text = format!("{text}\n[builder]\n{lines}");
    chain.project.write("sparkpack.toml", &text);
}

fn at(address: &str) -> String {
    format!("address = \"{address}\"\n")
}

/// The tags of an image in the registry.
fn tags(chain: &Chain, image: &str) -> Vec<String> {
    let answer = chain
        .registry()
        .ask("GET", &format!("/v2/small/{image}/tags/list"));
    if answer.status == 404 {
        return Vec::new();
    }
    let listed: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let tags = listed["tags"].as_array().into_iter().flatten();
    tags.map(|tag| tag.as_str().unwrap().to_owned()).collect()
}

/// What a container of an image prints, on a machine that has pulled it.
fn printed(chain: &Chain, image: &str, command: &str) -> String {
    let reference = chain.project.reference(image);
    let arguments = [
        "run",
        "--rm",
        "--network",
        "none",
        "--entrypoint",
        "/bin/sh",
    ];
    chain.docker(&[&arguments[..], &[&reference, "-c", command]].concat())
}

#[test]
fn the_whole_chain_is_built_pushed_and_run_without_a_docker_daemon() {
    let mut buildkitd = Buildkitd::start();
    let chain = chain("buildkit-whole", &at(&buildkitd.socket()));
    let project = &chain.project;
    project.edit(
        "docker/ds/Dockerfile",
        "COPY docker/ds/*.txt /opt/ds/\n",
        "COPY docker/ds/*.txt /opt/ds/\nRUN cat /opt/base.txt > /opt/ds/made.txt\n",
    );
    let built = project.succeed(&["build"]);
    assert!(
        built.stderr.contains("ds: [3/3] RUN cat /opt/base.txt"),
        "{}",
        built.stderr
    );
    assert!(built.stderr.contains("dist/oci"), "{}", built.stderr);
    assert_eq!(tags(&chain, "job"), Vec::<String>::new());
    let layout = project.root().join("dist/oci");
    for image in IMAGES {
        let name = format!("oci:{}:{}", layout.display(), project.reference(image));
        program("skopeo", &["inspect", "--raw", &name]);
    }

    let pushed = project.succeed(&["push"]);
    assert!(!pushed.stderr.contains(": building"), "{}", pushed.stderr);
    for image in IMAGES {
        let tag = chain.tag(image);
        let whole = chain
            .registry()
            .whole_image(&format!("small/{image}"), &tag);
        assert!(whole.is_some(), "{image}");
    }
    let told = printed(&chain, "job", "cat /opt/ds/made.txt; ls /opt/job");
    assert_eq!(told, "base\njobs.zip\nmain.py\n");

    // Nothing to do: it is not asked.
    buildkitd.kill();
    for verb in ["build", "push", "plan", "check"] {
        let again = project.run(&[verb]);
        assert_eq!(again.code, 0, "{verb}: {}", again.stderr);
        assert!(!again.stderr.contains("BuildKit"), "{}", again.stderr);
    }
}

#[test]
fn a_push_from_an_empty_machine_moves_only_what_is_new() {
    let buildkitd = Buildkitd::start();
    let chain = chain("buildkit-new", &at(&buildkitd.tcp()));
    let project = &chain.project;
    project.succeed(&["push"]);
    // A parent of which the layout has nothing.
    fs_err::remove_dir_all(project.root().join("dist")).unwrap();
    project.write("docker/job/extra.txt", "more\n");
    project.write("src/jobs/one.py", "VALUE = 2\n");
    let pushed = project.succeed(&["push", "--no-strict"]);
    assert!(pushed.stderr.contains("job: pushed"), "{}", pushed.stderr);
    assert!(!pushed.stderr.contains("ds: building"), "{}", pushed.stderr);
    let blobs = project.root().join("dist/oci/blobs/sha256");
    let largest = fs_err::read_dir(blobs).unwrap();
    let largest = largest.map(|entry| entry.unwrap().metadata().unwrap().len());
    // The root image has a program of a megabyte.
    assert!(largest.max().unwrap() < 100_000);
    let tag = chain.tag("job");
    assert!(chain.registry().whole_image("small/job", &tag).is_some());

    // The same once more, for a layout: what is in the registry is fetched from there.
    fs_err::remove_dir_all(project.root().join("dist")).unwrap();
    project.write("src/jobs/one.py", "VALUE = 3\n");
    let built = project.succeed(&["build", "job"]);
    assert!(!built.stderr.contains("ds: building"), "{}", built.stderr);
    let layout = project.root().join("dist/oci");
    let name = format!("oci:{}:{}", layout.display(), project.reference("job"));
    let copy = tempfile::tempdir().unwrap();
    let to = format!("dir:{}", copy.path().display());
    program("skopeo", &["copy", "--quiet", &name, &to]);
}

#[test]
fn one_without_root_builds_as_well() {
    let buildkitd = Buildkitd::rootless();
    let chain = chain("buildkit-rootless", &at(&buildkitd.tcp()));
    let project = &chain.project;
    project.edit(
        "docker/ds/Dockerfile",
        "COPY docker/ds/*.txt /opt/ds/\n",
        "COPY docker/ds/*.txt /opt/ds/\nRUN cat /opt/base.txt > /opt/ds/made.txt\n",
    );
    project.succeed(&["push"]);
    assert_eq!(printed(&chain, "job", "cat /opt/ds/made.txt"), "base\n");
}

#[test]
fn parents_are_handed_over_where_the_registry_needs_a_configuration() {
    let buildkitd = Buildkitd::start();
    let certificates = Certificates::new("IP:127.0.0.1");
    let chain = chain("buildkit-handed", &at(&buildkitd.socket()));
    let project = &chain.project;
    let ca = format!("ca = \"{}\"\nformat = 1", certificates.file("ca.pem"));
    project.edit("sparkpack.toml", "format = 1", &ca);
    project.succeed(&["push"]);
    let whole = chain.registry().whole_image("small/job", &chain.tag("job"));
    assert!(whole.is_some());
    let asked = fs_err::read_to_string(
        chain
            .registry()
            .storage()
            .parent()
            .unwrap()
            .join("access.log"),
    );
    assert!(
        !asked.unwrap().contains("buildkit"),
        "it was given everything"
    );
}

#[test]
fn secrets_and_an_agent_are_mounted_and_not_shown() {
    const SECRET: &str = "hunter2-in-a-file";
    let buildkitd = Buildkitd::start();
    let chain = chain("buildkit-secrets", &at(&buildkitd.socket()));
    let project = &chain.project;
    chain.add_busybox();
    project.write("token.txt", SECRET);
    project.edit(
        "sparkpack.toml",
        "dockerfile = \"docker/base/Dockerfile\"\n",
        "dockerfile = \"docker/base/Dockerfile\"\nssh = true\nsecrets.token = { file = \"token.txt\" }\n",
    );
    project.edit(
        "docker/base/Dockerfile",
        "COPY docker/base/base.txt /opt/\n",
        "COPY docker/base/base.txt /opt/\nCOPY docker/base/busybox /bin/\n\
         RUN --mount=type=secret,id=token --mount=type=ssh cat /run/secrets/token && /bin/busybox wc -c < /run/secrets/token > /opt/size && test -S $SSH_AUTH_SOCK\n",
    );
    let agent = project.home().join("agent");
    let _agent = UnixListener::bind(&agent).unwrap();
    let mut command = project.command(&["push", "-v"]);
    let pushed = run(command.env("SSH_AUTH_SOCK", &agent));
    assert_eq!(pushed.code, 0, "{}", pushed.stderr);
    assert!(!pushed.stderr.contains(SECRET), "{}", pushed.stderr);
    assert_eq!(printed(&chain, "base", "cat /opt/size"), "17\n");

    project.edit(
        "docker/base/Dockerfile",
        "/opt/size &&",
        "/opt/size && false &&",
    );
    let mut command = project.command(&["build", "base", "-vvv"]);
    let failed = run(command.env("SSH_AUTH_SOCK", &agent));
    assert_eq!(failed.code, 6, "{}", failed.stderr);
    let is_masked = failed.stderr.contains("***") && !failed.stderr.contains(SECRET);
    assert!(is_masked, "{}", failed.stderr);
}

#[test]
fn a_failing_step_is_told_with_its_line() {
    let buildkitd = Buildkitd::start();
    let chain = chain("buildkit-failing", &at(&buildkitd.socket()));
    let project = &chain.project;
    let before = project.read("kubernetes/nightly.yml");
    project.edit(
        "docker/ds/Dockerfile",
        "COPY docker/ds/*.txt /opt/ds/\n",
        "COPY docker/ds/*.txt /opt/ds/\n\n# why\nRUN echo no such luck >&2; false\n",
    );
    let failed = project.run(&["push"]);
    assert_eq!(failed.code, 6, "{}", failed.stderr);
    for told in [
        "error[E602]: docker/ds/Dockerfile:8:1",
        "no such luck",
        "exit code: 1",
    ] {
        assert!(failed.stderr.contains(told), "{told}: {}", failed.stderr);
    }
    assert_eq!(tags(&chain, "ds"), Vec::<String>::new());
    assert_eq!(project.read("kubernetes/nightly.yml"), before);

    // What is no Dockerfile, and a COPY of what is there only by name.
    project.edit(
        "docker/ds/Dockerfile",
        "RUN echo no such luck >&2; false",
        "COPY --from=base /nowhere /x",
    );
    let failed = project.run(&["push"]);
    assert_eq!(failed.code, 6, "{}", failed.stderr);
    assert!(
        failed.stderr.contains("docker/ds/Dockerfile:8:1") && failed.stderr.contains("not found"),
        "{}",
        failed.stderr
    );
}

#[test]
fn a_killed_one_is_told_and_nothing_is_tagged() {
    let mut buildkitd = Buildkitd::start();
    let chain = chain("buildkit-killed", &at(&buildkitd.tcp()));
    let project = &chain.project;
    let slow = "RUN while :; do :; done\n";
    project.edit(
        "docker/ds/Dockerfile",
        "COPY docker/ds/*.txt /opt/ds/\n",
        &format!("COPY docker/ds/*.txt /opt/ds/\n{slow}"),
    );
    let mut failures = Vec::new();
    for moment in 0..3 {
        let mut run = Beside::until("RUN while", &mut project.command(&["push"]));
        thread::sleep(Duration::from_millis(moment * 200));
        buildkitd.kill();
        let begin = Instant::now();
        run.says("hint: ");
        let (status, told) = run.end();
        let is_told = told.contains("error[E633]: the BuildKit at `tcp://127.0.0.1:");
        if status.code() != Some(6) || !is_told || begin.elapsed() > Duration::from_secs(10) {
            failures.push(told);
        }
        assert_eq!(tags(&chain, "ds"), Vec::<String>::new());
        buildkitd.begin();
    }
    count(
        "P24",
        "BuildKits killed in the middle of a build",
        3,
        &failures,
    );
    project.edit("docker/ds/Dockerfile", slow, "");
    project.succeed(&["push"]);
    assert!(
        chain
            .registry()
            .whole_image("small/job", &chain.tag("job"))
            .is_some()
    );
}

#[test]
fn a_signal_ends_the_build_there_too() {
    let buildkitd = Buildkitd::start();
    let chain = chain("buildkit-signal", &at(&buildkitd.socket()));
    let project = &chain.project;
    project.edit(
        "docker/base/Dockerfile",
        "COPY docker/base/base.txt /opt/\n",
        "COPY docker/base/base.txt /opt/\nRUN while :; do :; done\n",
    );
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        let run = Beside::until("RUN while", &mut project.command(&["build"]));
        let begin = Instant::now();
        run.signal(signal);
        let (status, told) = run.end();
        assert!(begin.elapsed() < Duration::from_secs(2), "{told}");
        assert_eq!(status.code(), Some(code), "{told}");
        let is_idle = (0..100).any(|_| {
            thread::sleep(Duration::from_millis(100));
            !buildkitd.has_containers()
        });
        assert!(is_idle, "its step goes on");
    }
}

#[test]
fn two_build_side_by_side_each_for_its_platform() {
    let (first, mut second) = (Buildkitd::start(), Buildkitd::start());
    let lines = format!(
        "{}\n[builder.platforms.\"linux/arm64\"]\n{}",
        at(&first.socket()),
        at(&second.tcp())
    );
    let chain = chain("buildkit-two", &lines);
    let project = &chain.project;
    project.edit(
        "sparkpack.toml",
        "format = 1",
        "format = 1\nplatforms = [\"linux/amd64\", \"linux/arm64\"]",
    );
    project.write(
        "docker/base/Dockerfile",
        "FROM scratch\nCOPY docker/base/base.txt /opt/\n",
    );
    let planned = project.succeed(&["plan"]).stdout;
    for told in [first.socket(), second.tcp()] {
        assert!(planned.contains(&told), "{told}\n{planned}");
    }
    project.succeed(&["push"]);
    let index = chain.registry().ask(
        "GET",
        &format!("/v2/small/job/manifests/{}", chain.tag("job")),
    );
    let index: serde_json::Value = serde_json::from_slice(&index.body).unwrap();
    let platforms = index["manifests"].as_array().unwrap().iter();
    let platforms: Vec<&str> = platforms
        .map(|one| one["platform"]["architecture"].as_str().unwrap())
        .collect();
    assert_eq!(platforms.len(), 2, "{platforms:?}");
    assert!(platforms.contains(&"arm64") && platforms.contains(&"amd64"));
    assert_eq!((first.builds(), second.builds()), (4, 4));

    // What one lacks is told before the first step of the other.
    second.kill();
    project.write("docker/base/base.txt", "other\n");
    let failed = project.run(&["push", "--no-strict"]);
    assert_eq!(failed.code, 5, "{}", failed.stderr);
    assert!(failed.stderr.contains(&second.tcp()), "{}", failed.stderr);
    assert_eq!(first.builds(), 4, "{}", failed.stderr);
}

#[test]
fn a_platform_without_a_worker_is_told_before_the_first_step() {
    let buildkitd = Buildkitd::start();
    let chain = chain("buildkit-platform", &at(&buildkitd.socket()));
    let project = &chain.project;
    project.edit(
        "sparkpack.toml",
        "format = 1",
        "format = 1\nplatforms = [\"linux/amd64\", \"linux/s390x\"]",
    );
    project.write(
        "docker/base/Dockerfile",
        "FROM scratch\nCOPY docker/base/base.txt /opt/\nRUN [\"/nothing\"]\n",
    );
    let failed = project.run(&["push"]);
    assert_eq!(failed.code, 6, "{}", failed.stderr);
    assert!(
        failed
            .stderr
            .contains("error[E631]: the BuildKit at `unix://")
            && failed
                .stderr
                .contains("cannot run programs for linux/s390x"),
        "{}",
        failed.stderr
    );
    assert_eq!(buildkitd.builds(), 0);
}

#[test]
fn a_connection_through_tls_is_mutual_and_what_does_not_fit_is_told() {
    let certificates = Certificates::new("IP:127.0.0.1");
    let others = Certificates::new("IP:127.0.0.1");
    let elsewhere = Certificates::new("DNS:buildkit.example");
    let buildkitd = Buildkitd::with_tls(&certificates);
    let chain = chain("buildkit-tls", "");
    let address = at(&buildkitd.tcp());
    let refused = |lines: &str, code: &str, told: &str| {
        configure(&chain, &format!("{address}{lines}"));
        let failed = chain.project.run(&["build", "base"]);
        assert_eq!(failed.code, 5, "{}", failed.stderr);
        let is_told = failed
            .stderr
            .contains(&format!("error[{code}]: cannot reach the BuildKit at"))
            && failed.stderr.contains(told)
            && failed.stderr.contains("hint: ");
        assert!(is_told, "{lines}\n{}", failed.stderr);
    };
    configure(&chain, &format!("{address}{}", certificates.lines()));
    chain.project.succeed(&["build", "base"]);
    chain.project.write("docker/base/base.txt", "other\n");

    let ca = |of: &Certificates| format!("ca = \"{}\"\n", of.file("ca.pem"));
    refused(
        &others.lines(),
        "E509",
        "signed by nobody whom this machine trusts",
    );
    refused(&ca(&certificates), "E509", "");
    let theirs = format!(
        "{}certificate = \"{}\"\nkey = \"{}\"\n",
        ca(&certificates),
        others.file("client.pem"),
        others.file("client.key")
    );
    refused(&theirs, "E509", "");
    refused("", "E508", "not BuildKit's API");
    let nowhere = "ca = \"nowhere.pem\"\n";
    refused(nowhere, "E509", "nowhere.pem");
    drop(buildkitd);

    let buildkitd = Buildkitd::with_tls(&elsewhere);
    configure(
        &chain,
        &format!("{}{}", at(&buildkitd.tcp()), elsewhere.lines()),
    );
    let failed = chain.project.run(&["build", "base"]);
    assert_eq!(failed.code, 5, "{}", failed.stderr);
    assert!(
        failed.stderr.contains("buildkit.example"),
        "{}",
        failed.stderr
    );

    // One that speaks without TLS.
    let plain = Buildkitd::start();
    configure(
        &chain,
        &format!("{}{}", at(&plain.tcp()), elsewhere.lines()),
    );
    let failed = chain.project.run(&["build", "base"]);
    assert_eq!(failed.code, 5, "{}", failed.stderr);
    assert!(failed.stderr.contains("error[E509]"), "{}", failed.stderr);
}

#[test]
fn caches_are_kept_in_the_registry() {
    let chain = chain("buildkit-cache", "");
    let project = &chain.project;
    let lines = |buildkitd: &Buildkitd| {
        format!(
            "{}cache = \"{}/small/cache\"\n",
            at(&buildkitd.socket()),
            chain.host
        )
    };
    project.edit(
        "docker/base/Dockerfile",
        "COPY docker/base/base.txt /opt/\n",
        "RUN echo a while > /while\nCOPY docker/base/base.txt /opt/\n",
    );
    let first = Buildkitd::start();
    configure(&chain, &lines(&first));
    project.succeed(&["push", "base"]);
    assert_eq!(tags(&chain, "cache"), ["base-linux-amd64"]);
    drop(first);

    let second = Buildkitd::start();
    configure(&chain, &lines(&second));
    project.write("docker/base/base.txt", "other\n");
    let built = project.succeed(&["push", "base", "--no-strict"]);
    assert!(
        built.stderr.contains("RUN echo a while > /while (cached)"),
        "{}",
        built.stderr
    );
}

/// Lets a number of bytes pass in each direction, then breaks all connections.
struct Cutting {
    port: u16,
    passed: Arc<AtomicUsize>,
    limit: Arc<AtomicUsize>,
}

impl Cutting {
    fn before(host: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (passed, limit) = (
            Arc::new(AtomicUsize::new(0)),
            Arc::new(AtomicUsize::new(usize::MAX)),
        );
        let (host, counted, most) = (host.to_owned(), Arc::clone(&passed), Arc::clone(&limit));
        thread::spawn(move || {
            for near in listener.incoming() {
                let (Ok(near), Ok(far)) = (near, TcpStream::connect(&host)) else {
                    continue;
                };
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let (counted, most) = (Arc::clone(&counted), Arc::clone(&most));
                    thread::spawn(move || {
                        let mut piece = [0; 512];
                        while let Ok(size) = from.read(&mut piece) {
                            let total = counted.fetch_add(size, Ordering::SeqCst) + size;
                            if size == 0
                                || total > most.load(Ordering::SeqCst)
                                || to.write_all(&piece[..size]).is_err()
                            {
                                break;
                            }
                        }
                        drop((from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both)));
                    });
                }
            }
        });
        Self {
            port,
            passed,
            limit,
        }
    }

    /// Breaks the connections of the next run once this many bytes have passed.
    fn after(&self, bytes: usize) {
        self.passed.store(0, Ordering::SeqCst);
        self.limit.store(bytes, Ordering::SeqCst);
    }
}

#[test]
fn a_connection_that_breaks_anywhere_leaves_no_tag() {
    let buildkitd = Buildkitd::start();
    let cutting = Cutting::before(&buildkitd.host());
    let chain = chain(
        "buildkit-cut",
        &at(&format!("tcp://127.0.0.1:{}", cutting.port)),
    );
    let project = &chain.project;
    let before = project.read("kubernetes/nightly.yml");
    // Each run builds an image of its own, so that no step is found in the cache.
    let push = |text: &str| {
        project.write("docker/base/base.txt", text);
        project.run(&["push", "base", "--no-strict"])
    };
    cutting.after(usize::MAX);
    let whole = push("first");
    assert_eq!(whole.code, 0, "{}", whole.stderr);
    let total = cutting.passed.load(Ordering::SeqCst);
    let (cases, mut failures, mut broken) = (60 * rounds(), Vec::new(), 0);
    for case in 0..cases {
        cutting.after(total * case / cases);
        let run = push(&format!("case {case}"));
        let tag = chain.tag("base");
        let there = tags(&chain, "base").contains(&tag);
        let is_told = run.stderr.contains("error[E633]") && run.code == 6
            || run.stderr.contains("error[E508]") && run.code == 5;
        broken += usize::from(run.code != 0);
        if !(run.code == 0 && there || is_told && !there) {
            failures.push(format!(
                "case {case}: exit {}, tagged {there}\n{}",
                run.code, run.stderr
            ));
        }
    }
    count("P24", "connections to a BuildKit cut", cases, &failures);
    assert!(broken > cases / 2, "only {broken} were broken");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    cutting.after(usize::MAX);
    let again = push("last");
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert_eq!(
        project.read("kubernetes/nightly.yml"),
        before,
        "only base was pushed"
    );
}

#[test]
fn a_silent_one_is_given_up() {
    let buildkitd = Buildkitd::start();
    let chain = chain("buildkit-silent", &at(&buildkitd.socket()));
    let project = &chain.project;
    project.edit(
        "docker/base/Dockerfile",
        "COPY docker/base/base.txt /opt/\n",
        "COPY docker/base/base.txt /opt/\nRUN while :; do :; done\n",
    );
    let mut run = Beside::until("RUN while", &mut project.command(&["build", "base"]));
    let begin = Instant::now();
    buildkitd.signal("STOP");
    // It has to say nothing for a minute.
    thread::sleep(Duration::from_secs(40));
    assert!(run.is_running());
    run.says("hint: ");
    let (status, told) = run.end();
    buildkitd.signal("CONT");
    assert_eq!(status.code(), Some(6), "{told}");
    assert!(
        told.contains("error[E633]") && told.contains("silent"),
        "{told}"
    );
    assert!(begin.elapsed() < Duration::from_secs(100));
}

/// The median time of a run in rounds.
fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64()
}

#[test]
fn a_chain_of_small_layers_costs_little_more_than_buildctl_alone() {
    const ROUNDS: usize = 7;
    let buildkitd = Buildkitd::start();
    let chain = chain("buildkit-ratio", &at(&buildkitd.socket()));
    let project = &chain.project;
    for image in ["base", "ds", "side", "job"] {
        let name = format!("docker/{image}/Dockerfile");
        let from = if image == "base" {
            "ARG ROOT\nFROM ${ROOT}\n"
        } else {
            "ARG PARENT\nFROM ${PARENT}\n"
        };
        project.write(&format!("docker/{image}/{image}.txt"), "begin\n");
        project.write(
            &name,
            &format!("{from}COPY docker/{image}/{image}.txt /opt/\n"),
        );
    }
    project.succeed(&["build"]);
    let contexts = tempfile::tempdir().unwrap();
    let (mut ours, mut alone) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        // Every round makes all four anew.
        project.write("docker/base/base.txt", &format!("round {round}\n"));
        let begin = Instant::now();
        let run: Run = project.run(&["build", "base", "ds", "side"]);
        ours.push(begin.elapsed());
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert_eq!(run.stderr.matches(": built ").count(), 3, "{}", run.stderr);
        alone.push(by_buildctl(&buildkitd, contexts.path(), &chain, round));
    }
    let ratio = median(ours) / median(alone);
    let failures: Vec<String> = (ratio > 1.5)
        .then(|| format!("{ratio:.2}"))
        .into_iter()
        .collect();
    let what = format!("rounds of a chain, which takes {ratio:.2} times as long as by buildctl");
    count("P25", &what, ROUNDS, &failures);
    assert!(failures.is_empty(), "{ratio:.2}");
}

/// The time that buildctl takes for the same chain, each image on the layout of the one before.
fn by_buildctl(
    buildkitd: &Buildkitd,
    folder: &std::path::Path,
    chain: &Chain,
    round: usize,
) -> Duration {
    let root = format!("{}/small/root:1", chain.host);
    let parents = BTreeMap::from([("base", None), ("ds", Some("base")), ("side", Some("base"))]);
    for (image, parent) in &parents {
        let context = folder.join(image);
        fs_err::create_dir_all(&context).unwrap();
        let from = if parent.is_some() {
            "FROM parent"
        } else {
            &format!("FROM {root}")
        };
        fs_err::write(
            context.join("Dockerfile"),
            format!("{from}\nCOPY {image}.txt /opt/\n"),
        )
        .unwrap();
        let text = format!("alone {round} {}\n", sha256(image.as_bytes()));
        fs_err::write(context.join(format!("{image}.txt")), text).unwrap();
    }
    let begin = Instant::now();
    for (image, parent) in &parents {
        let context = folder.join(image).display().to_string();
        let output = folder.join(format!("{image}-{round}"));
        let mut arguments = vec![
            "build".to_owned(),
            "--frontend=dockerfile.v0".to_owned(),
            format!("--local=context={context}"),
            format!("--local=dockerfile={context}"),
            format!("--output=type=oci,tar=false,dest={}", output.display()),
        ];
        if let Some(parent) = parent {
            let layout = folder.join(format!("{parent}-{round}"));
            let index = fs_err::read(layout.join("index.json")).unwrap();
            let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
            let digest = index["manifests"][0]["digest"].as_str().unwrap();
            arguments.push(format!("--oci-layout=parents={}", layout.display()));
            arguments.push(format!(
                "--opt=context:parent=oci-layout://parents@{digest}"
            ));
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let home = chain.project.home().join(".docker").display().to_string();
        assert!(
            buildkitd.buildctl_as(&home, &arguments).is_some(),
            "{image}"
        );
    }
    begin.elapsed()
}

#[test]
fn two_first_pushes_by_two_agree_on_one_digest() {
    let (first, second) = (Buildkitd::start(), Buildkitd::start());
    let chain = chain("buildkit-race", &at(&first.socket()));
    let project = &chain.project;
    project.edit(
        "docker/base/Dockerfile",
        "COPY docker/base/base.txt /opt/\n",
        "COPY docker/base/base.txt /opt/\nRUN read other < /proc/sys/kernel/random/uuid; echo $other > /opt/other\n",
    );
    project.succeed(&["lock"]);
    let (rounds, mut failures) = (4 * rounds(), Vec::new());
    for round in 0..rounds {
        project.write("docker/base/base.txt", &format!("round {round}\n"));
        let copy = tempfile::tempdir().unwrap();
        project.check_out(copy.path());
        let folder = copy.path().to_str().unwrap();
        let push = |address: &str, more: &[&str]| {
            let mut command = project.command(&[more, &["push", "base", "--no-strict"]].concat());
            command.env("SPARKPACK_BUILDER", address);
            run(&mut command)
        };
        let (ours, theirs) = thread::scope(|scope| {
            let theirs = scope.spawn(|| push(&second.tcp(), &["-C", folder]));
            (push(&first.socket(), &[]), theirs.join().unwrap())
        });
        let tag = chain.tag("base");
        let there = chain.registry().whole_image("small/base", &tag);
        let digests =
            [&ours, &theirs].map(|run| run.stdout.trim().rsplit('@').next().map(str::to_owned));
        if ours.code != 0 || theirs.code != 0 || digests[0] != digests[1] || digests[0] != there {
            failures.push(format!(
                "{digests:?} {there:?}\n{}\n{}",
                ours.stderr, theirs.stderr
            ));
        }
    }
    count("P2", "races of two BuildKits", rounds, &failures);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn what_is_damaged_in_the_layout_is_told_and_made_again() {
    let buildkitd = Buildkitd::start();
    let chain = chain("buildkit-damaged", &at(&buildkitd.socket()));
    let project = &chain.project;
    project.succeed(&["build", "base"]);
    let image = project.reference("base");
    let layout = project.root().join("dist/oci");
    let name = format!("oci:{}:{image}", layout.display());
    let manifest = program("skopeo", &["inspect", "--raw", &name]);
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let layers = manifest["layers"].as_array().unwrap();
    let digest = layers.last().unwrap()["digest"].as_str().unwrap();
    let blob = layout
        .join("blobs/sha256")
        .join(digest.strip_prefix("sha256:").unwrap());
    let mut bytes = fs_err::read(&blob).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs_err::write(&blob, bytes).unwrap();
    let failed = project.run(&["push", "base"]);
    assert_eq!(failed.code, 5, "{}", failed.stderr);
    assert!(failed.stderr.contains("error[E505]"), "{}", failed.stderr);
    assert_eq!(
        tags(&chain, "base")
            .iter()
            .filter(|tag| **tag == chain.tag("base"))
            .count(),
        0
    );
    project.succeed(&["push", "base"]);
    assert!(
        chain
            .registry()
            .whole_image("small/base", &chain.tag("base"))
            .is_some()
    );
}
