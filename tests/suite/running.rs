//! `run`: which job is meant, what it is given of its SparkApplication, who it is, and that no container stays. A script
//! stands in for Spark's entrypoint and says what it was given; `real` runs jobs in real Spark.

use std::{
    fmt::Write as _,
    io::{BufRead as _, BufReader, Lines},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use crate::support::{
    Chain, NOBODY, PodmanService, RootlessDocker, TestProject, copy_image, docker, docker_at,
    heedful, run,
};

/// Says what it is given; some arguments have it do something.
const ENTRYPOINT: &str = "#!/bin/sh
role=$1
[ $# = 0 ] || shift
case $role in
driver) ;;
*) exec \"$role\" \"$@\" ;;
esac
echo \"RESULT driver $*\"
for name in GREETING LEVEL TOKEN SPARK_SUBMIT_OPTS SPARK_DRIVER_BIND_ADDRESS; do
    eval \"value=\\${$name-}\"
    [ -z \"$value\" ] || echo \"RESULT $name=$value\"
done
for word; do
    case $word in
    exit-*) exit \"${word#exit-}\" ;;
    log) /bin/busybox cat /tmp/sparkpack-log4j2.properties /tmp/sparkpack-log4j.properties | /bin/busybox grep -c -i warn ;;
    trace) set -x; : traced; set +x; echo 'not traced' >&2 ;;
    write) /bin/busybox id -u; /bin/busybox id -G; echo written > /data/result.txt; echo also > /opt/work/more.txt ;;
    read) /bin/busybox cat /data/input.txt; echo changed > /data/input.txt; echo \"RESULT write $?\" ;;
    network) /bin/busybox ls /sys/class/net ;;
    forever) echo begun; while :; do /bin/busybox sleep 1; done ;;
    much) /bin/busybox yes ;;
    esac
done
";

const MANIFEST: &str = "apiVersion: sparkoperator.k8s.io/v1beta2
kind: SparkApplication
metadata: {name: nightly}
spec:
  image: REGISTRY/small/job:unbuilt
  mainApplicationFile: local:///opt/job/main.py
  arguments: [--year, 2008]
  sparkConf:
    spark.sql.shuffle.partitions: '8'
    spark.kubernetes.namespace: jobs
    spark.dynamicAllocation.enabled: 'true'
  hadoopConf: {fs.s3a.endpoint: http://s3}
  driver:
    memory: 512m
    env:
    - {name: LEVEL, value: high}
    - {name: TOKEN, valueFrom: {secretKeyRef: {name: s, key: k}}}
  executor: {memory: 1g}
";

const SIDE: &str = "---
apiVersion: apps/v1
kind: Deployment
spec: {template: {spec: {containers: [{name: side, image: REGISTRY/small/side:unbuilt}]}}}
";

/// A chain whose entrypoint is the script, and whose job is one application.
fn chain(name: &str) -> Chain {
    let chain = Chain::with_shell(name);
    let project = &chain.project;
    project.write("docker/base/entry", ENTRYPOINT);
    let path = project.root().join("docker/base/entry");
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    chain.add_busybox();
    project.edit(
        "docker/base/Dockerfile",
        "COPY docker/base/base.txt /opt/\n",
        "COPY docker/base/base.txt /opt/\nCOPY docker/base/entry docker/base/busybox /bin/\nRUN /bin/busybox mkdir -p /opt/work && /bin/busybox chmod 0775 /opt/work\nUSER 185\nENTRYPOINT [\"/bin/entry\"]\n",
    );
    write_manifest(&chain, &format!("{MANIFEST}{SIDE}"));
    chain
}

fn write_manifest(chain: &Chain, text: &str) {
    let text = text.replace("REGISTRY", &chain.host);
    chain.project.write("kubernetes/nightly.yml", &text);
}

/// What a run says, without what differs from machine to machine.
fn told(chain: &Chain, arguments: &[&str]) -> String {
    let run = chain.project.run(arguments);
    let text = format!("exit {}\n{}{}", run.code, run.stdout, run.stderr);
    let text = text.replace(&chain.host, "REGISTRY");
    text.replace(chain.project.root().to_str().unwrap(), "PROJECT")
}

/// The containers that runs of this project have made.
fn containers(chain: &Chain) -> String {
    let ancestor = format!("ancestor={}", chain.project.reference("job"));
    docker(&["ps", "--all", "--quiet", "--filter", &ancestor])
}

#[test]
fn a_job_gets_what_its_application_says_and_the_rest_is_named() {
    let chain = chain("running-job");
    let before = chain.project.read("kubernetes/nightly.yml");
    chain.project.succeed(&["build", "base"]);
    chain.project.write("kubernetes/nightly.yml", &before);
    let first = chain.project.succeed(&["run"]);
    assert!(first.stderr.contains("job: built "), "{}", first.stderr);
    assert_eq!(
        chain.project.read("kubernetes/nightly.yml"),
        before,
        "no manifest changes"
    );
    // Of all that is asked for, each says the same.
    for name in ["nightly", "job", "src/main.py", "kubernetes/nightly.yml"] {
        let again = chain.project.succeed(&["run", name]);
        if name == "src/main.py" {
            assert!(!again.stdout.contains("--year"), "{}", again.stdout);
        } else {
            assert_eq!(again.stdout, first.stdout, "{name}");
        }
    }
    let mut shown = told(&chain, &["run"]);
    for arguments in [
        &[
            "run",
            "--env",
            "TOKEN=mine",
            "--env",
            "GREETING=hi",
            "--conf",
            "spark.sql.shuffle.partitions=1",
            "--",
            "exit-3",
        ][..],
        &["--quiet", "run", "--", "log", "trace"],
        &["-v", "run", "--", "trace"],
        &[
            "run",
            "--main",
            "local:///opt/job/other.py",
            "--master",
            "spark://there:7077",
        ],
        &["run", "--", "exit-137"],
        &["run", "--network", "none", "--", "network"],
    ] {
        let command = arguments.join(" ");
        write!(shown, "\n$ {command}\n{}", told(&chain, arguments)).unwrap();
    }
    let reference = chain
        .project
        .reference("job")
        .replace(&chain.host, "REGISTRY");
    insta::assert_snapshot!(shown.replace(&reference, "JOB"));
    assert_eq!(containers(&chain), "");
}

#[test]
fn what_is_to_be_run_is_found_or_it_is_said() {
    let chain = chain("running-choice");
    let two = MANIFEST
        .replace("name: nightly", "name: weekly")
        .replace("2008", "2009");
    write_manifest(&chain, &format!("{MANIFEST}---\n{two}{SIDE}"));
    let mut shown = String::new();
    let mut show = |what: &str, arguments: &[&str]| {
        let told = told(&chain, arguments);
        writeln!(shown, "# {what}: {}\n{told}", arguments.join(" ")).unwrap();
    };
    show("several", &["run"]);
    show("several in one file", &["run", "kubernetes/nightly.yml"]);
    show("several of one image", &["run", "job"]);
    show("nearly", &["run", "nightyl"]);
    show("nothing like it", &["run", "customers"]);
    show("an image without a job", &["run", "side"]);
    show(
        "a registry that is not there",
        &["run", "--registry", "nope"],
    );
    show(
        "a volume without a target",
        &["run", "weekly", "--volume", "src"],
    );
    show(
        "a volume that is not there",
        &["run", "weekly", "--volume", "none:/data"],
    );
    show(
        "a variable without a value",
        &["run", "weekly", "--env", "NO_SUCH_VARIABLE"],
    );
    show(
        "a volume without an image",
        &["run", "--local", "--volume", "src:/data"],
    );
    show("a shell with arguments", &["run", "--shell", "--", "x"]);
    write_manifest(
        &chain,
        &format!("{}{SIDE}", MANIFEST.replace("2008", "'${YEAR}'")),
    );
    show("arguments of a template", &["run"]);
    write_manifest(
        &chain,
        &format!("{}{SIDE}", MANIFEST.replace("small/job", "large/job")),
    );
    show("an image of another project", &["run", "nightly"]);
    chain.project.edit("sparkpack.toml", "src = \"src\"\n", "");
    chain.project.write("docker/job/Dockerfile", "FROM ds\n");
    chain
        .project
        .write("kubernetes/nightly.yml", "spec: {{ .Values.spec }}\n");
    show("a template alone", &["run"]);
    insta::assert_snapshot!(shown);
}

/// Without volumes a job is the image's user, with them whoever calls; what it writes is theirs.
#[test]
fn what_a_job_writes_is_the_callers() {
    let chain = chain("running-volumes");
    let project = &chain.project;
    let user = chain.project.succeed(&["run", "--shell"]);
    assert_eq!(user.stdout, "");
    project.write("in/input.txt", "input\n");
    fs_err::create_dir(project.root().join("out")).unwrap();
    let written = project.succeed(&["run", "--volume", "out:/data", "--", "write"]);
    let own = rustix_ids();
    let lines: Vec<&str> = written
        .stdout
        .lines()
        .filter(|line| !line.starts_with("RESULT"))
        .collect();
    assert_eq!(lines[0], own.0, "{}", written.stdout);
    assert!(
        lines[1].split(' ').any(|group| group == "0"),
        "{}",
        written.stdout
    );
    let file = fs_err::metadata(project.root().join("out/result.txt")).unwrap();
    assert_eq!((file.uid().to_string(), file.gid().to_string()), own);
    let read = project.succeed(&["run", "--volume", "in:/data:ro", "--", "read"]);
    assert!(read.stdout.contains("\ninput\n"), "{}", read.stdout);
    assert!(read.stdout.contains("RESULT write 1"), "{}", read.stdout);
    assert_eq!(project.read("in/input.txt"), "input\n");
    let plain = project.succeed(&["run", "--", "write"]);
    assert!(plain.stdout.contains("\n185\n"), "{}", plain.stdout);
    assert_eq!(containers(&chain), "");
}

/// This process' user and group.
fn rustix_ids() -> (String, String) {
    let id = |flag: &str| run(Command::new("id").arg(flag)).stdout.trim().to_owned();
    (id("-u"), id("-g"))
}

#[test]
fn a_shell_reads_what_it_is_given_and_ends_as_it_says() {
    let chain = chain("running-shell");
    chain.project.succeed(&["build"]);
    let script = "echo begun; cat /opt/job/main.py; exit 9\n";
    let mut shell = chain.project.command(&["--quiet", "run", "--shell"]);
    let mut child = shell
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    std::io::Write::write_all(
        &mut input,
        script.replace("cat", "/bin/busybox cat").as_bytes(),
    )
    .unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(9));
    assert_eq!(output.stdout, b"begun\nprint('main')\n");
    // At a terminal it has one too.
    let command = format!(
        "{} -q -C {} run --shell",
        env!("CARGO_BIN_EXE_sparkpack"),
        chain.project.root().display()
    );
    let mut terminal = Command::new("script");
    terminal.args(["--quiet", "--return", "--command", &command, "/dev/null"]);
    terminal.env("HOME", chain.project.home());
    terminal.env("SPARKPACK_CACHE", chain.project.cache());
    let mut child = terminal
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, b"[ -t 0 ] && [ -t 1 ] && exit 8\nexit 7\n").unwrap();
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(8));
    drop(input);
    assert_eq!(containers(&chain), "");
}

/// A run whose job is given a word and has printed a line, with what it prints.
fn begun(chain: &Chain, word: &str, line: &str) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut child = heedful(&chain.project.command(&["run", "--", word]))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|printed| printed.unwrap() == line));
    (child, lines)
}

#[test]
fn a_signal_or_a_closed_pipe_leaves_no_container() {
    let chain = chain("running-ends");
    chain.project.succeed(&["build"]);
    for (name, number) in [("INT", 2), ("TERM", 15)] {
        let (mut child, _lines) = begun(&chain, "forever", "begun");
        let id = child.id().to_string();
        assert_eq!(run(Command::new("kill").args(["-s", name, &id])).code, 0);
        let signalled_at = Instant::now();
        let status = child.wait().unwrap();
        assert!(signalled_at.elapsed() < Duration::from_secs(5), "{name}");
        assert_eq!(status.code(), Some(128 + number));
        assert_eq!(containers(&chain), "", "{name}");
    }
    let (mut child, lines) = begun(&chain, "much", "y");
    drop(lines);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(containers(&chain), "");
    let full = fs_err::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let mut command = chain.project.command(&["run", "--", "much"]);
    let output = command.stdout(full.into_file()).output().unwrap();
    assert_eq!(output.status.code(), Some(6));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains("error[E610]: the standard output: "),
        "{told}"
    );
    assert_eq!(containers(&chain), "");
}

/// Others may build while a job runs.
#[test]
fn a_running_job_keeps_nobody_waiting() {
    let chain = chain("running-beside");
    chain.project.succeed(&["build"]);
    let (mut child, _lines) = begun(&chain, "forever", "begun");
    let built = chain.project.succeed(&["build"]);
    assert!(built.stderr.contains("nothing to do"), "{}", built.stderr);
    assert!(child.try_wait().unwrap().is_none(), "the job goes on");
    assert_ne!(containers(&chain), "", "so does its container");
    // Whoever is killed removes nothing: the next run does.
    child.kill().unwrap();
    child.wait().unwrap();
    assert_ne!(containers(&chain), "");
    chain.project.succeed(&["build"]);
    assert_eq!(containers(&chain), "");
}

/// Pushes what the daemon of a docker context has, as its user's current context, and runs what the registry then has elsewhere.
fn push_by_context(chain: &Chain, host: &str) {
    let project = &chain.project;
    let config = project.home().join(".docker");
    let docker = |arguments: &[&str]| {
        let mut docker = Command::new("docker");
        docker.arg("--config").arg(&config).args(arguments);
        let ran = run(&mut docker);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
    };
    let endpoint = format!("host={host}");
    docker(&["context", "create", "there", "--docker", &endpoint]);
    docker(&["context", "use", "there"]);
    let mut command = project.command(&["push", "job"]);
    let pushed = run(command.env_remove("DOCKER_HOST"));
    assert_eq!(pushed.code, 0, "{}", pushed.stderr);
    assert!(!pushed.stderr.contains("building"), "{}", pushed.stderr);
    let job = pushed.stdout.lines().last().unwrap();
    assert_eq!(
        job.split('@').next(),
        Some(project.reference("job").as_str())
    );
    let printed = chain.docker(&["run", "--rm", "--network=none", job, "driver", "x"]);
    assert_eq!(printed, "RESULT driver x\nRESULT GREETING=hello\n");
}

#[test]
fn podman_builds_runs_and_pushes_too() {
    let chain = chain("running-podman");
    let podman = PodmanService::start();
    copy_image(&chain.root.name, &podman.host());
    let project = &chain.project;
    fs_err::create_dir(project.root().join("out")).unwrap();
    let there = |project: &TestProject, arguments: &[&str]| {
        let mut command = project.command(arguments);
        run(command.env("DOCKER_HOST", podman.host()))
    };
    let arguments = [
        "run",
        "--network",
        "none",
        "--volume",
        "out:/data",
        "--",
        "write",
        "exit-4",
    ];
    let ran = there(project, &arguments);
    assert_eq!(ran.code, 4, "{}{}", ran.stdout, ran.stderr);
    assert!(
        ran.stdout.starts_with("RESULT driver --master local[*]"),
        "{}",
        ran.stdout
    );
    assert_eq!(project.read("out/result.txt"), "written\n");
    let left = docker_at(&podman.host(), &["ps", "--all", "--quiet"]);
    assert_eq!(left, "");
    push_by_context(&chain, &podman.host());
}

/// Root in a container of a rootless daemon is who runs the daemon.
#[test]
fn a_rootless_daemon_builds_runs_and_pushes_too() {
    let chain = chain("running-rootless");
    let rootless = RootlessDocker::start();
    copy_image(&chain.root.name, &rootless.host());
    let project = &chain.project;
    let out = project.root().join("out");
    fs_err::create_dir(&out).unwrap();
    std::os::unix::fs::chown(&out, Some(NOBODY), Some(NOBODY)).unwrap();
    // Temporary folders are their owner's alone.
    for folder in project.root().ancestors().take(2) {
        fs_err::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let with = |volumes: &[&str]| {
        let arguments = [
            &["run", "--network", "none"],
            volumes,
            &["--", "write", "exit-4"],
        ];
        let mut command = project.command(&arguments.concat());
        run(command.env("DOCKER_HOST", rootless.host()))
    };
    let ran = with(&["--volume", "out:/data"]);
    assert_eq!(ran.code, 4, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("\n0\n"), "{}", ran.stdout);
    let file = fs_err::metadata(out.join("result.txt")).unwrap();
    assert_eq!((file.uid(), file.gid()), (NOBODY, NOBODY));
    let plain = with(&[]);
    assert_eq!(plain.code, 4, "{}{}", plain.stdout, plain.stderr);
    assert!(plain.stdout.contains("\n185\n"), "{}", plain.stdout);
    assert_eq!(docker_at(&rootless.host(), &["ps", "--all", "--quiet"]), "");
    push_by_context(&chain, &rootless.host());
}

/// A job, an image and what they stand on need their own locks, and no registry that only others need.
#[test]
fn what_other_images_lack_in_the_locks_stops_none_of_the_chosen() {
    let chain = chain("running-locks");
    let project = &chain.project;
    let nobody = "127.0.0.1:1/nobody/there:1";
    let copy = format!("FROM base\nCOPY --from={nobody} /tool /opt/\n");
    project.write("docker/side/Dockerfile", &copy);

    assert!(project.succeed(&["run"]).stdout.contains("RESULT driver "));
    let lock = project.read("sparkpack.lock");
    assert!(lock.contains(&chain.root.name), "{lock}");
    for arguments in [
        &["build", "job"][..],
        &["build", "--locked", "ds", "job"],
        &["push", "--locked", "job"],
        &["run", "--locked", "nightly"],
        &["build", "--offline", "--output", "oci:layout", "base"],
    ] {
        project.succeed(arguments);
        assert_eq!(project.read("sparkpack.lock"), lock, "{arguments:?}");
    }
    let tags = project.succeed(&["tags", "job"]).stdout;
    assert_eq!(tags.lines().count(), 1);
    project.succeed(&["pin", "job"]);
    project.succeed(&["check", "job"]);
    let why = project.succeed(&["why", "job"]).stdout;
    assert!(why.starts_with("job: nothing changed"), "{why}");
    let images: serde_json::Value =
        serde_json::from_str(&project.read("dist/images.json")).unwrap();
    let images = images["images"].as_array().unwrap().iter();
    let names: Vec<&str> = images
        .map(|image| image["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["base", "ds", "job"]);
    for arguments in [&["build"][..], &["build", "side"], &["push", "side"]] {
        let refused = project.run(arguments);
        assert_eq!(refused.code, 5, "{}", refused.stderr);
        assert!(refused.stderr.contains("127.0.0.1:1"), "{}", refused.stderr);
    }
    assert_eq!(project.read("sparkpack.lock"), lock);

    // Nor does a source of it that this machine lacks.
    project.write(
        "docker/side/Dockerfile",
        "FROM base\nCOPY --from=tool / /opt/\n",
    );
    let source = "[sources.tool]\npath = \"../nowhere\"\n\n[images.side]\ncontexts.tool = \"tool\"";
    project.edit("sparkpack.toml", "[images.side]", source);
    assert!(project.succeed(&["run"]).stdout.contains("RESULT driver "));
    let refused = project.run(&["build", "side"]);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(refused.stderr.contains("nowhere"), "{}", refused.stderr);
}
