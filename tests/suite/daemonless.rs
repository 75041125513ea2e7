//! Where no Docker daemon answers.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::{
    added_files::{layers, manifest},
    support::{Chain, Run, TestProject, docker, program, remove_images, run},
};

const NO_DAEMON: &str = "unix:///nowhere/docker.sock";

/// Runs `sparkpack` where nothing but the registry is: another network in which the same registry serves, no sockets of
/// daemons, no Docker client, no cache, and of programs only git.
const CI_MACHINE: &str = r#"
set -eu
registry=$1 port=$2 home=$3 path=$4 project=$5
shift 5
mount -t tmpfs none /run
ip link set lo up
docker-registry serve "$registry" >"$home/registry.log" 2>&1 &
serving=$!
trap 'kill $serving; wait $serving || true' EXIT
until (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do sleep 0.1; done
cd "$project"
env -i HOME="$home" PATH="$path" CI=true "$@"
"#;

/// A machine of a CI: a checkout, one binary, credentials.
struct CiMachine<'a> {
    chain: &'a Chain,
    folder: tempfile::TempDir,
}

impl<'a> CiMachine<'a> {
    fn new(chain: &'a Chain) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (home, path) = (folder.path().join("home"), folder.path().join("path"));
        fs_err::create_dir_all(&path).unwrap();
        let git = which("git");
        std::os::unix::fs::symlink(git, path.join("git")).unwrap();
        fs_err::create_dir_all(home.join(".docker")).unwrap();
        let credentials = ".docker/config.json";
        let theirs = chain.project.home().join(credentials);
        fs_err::copy(theirs, home.join(credentials)).unwrap();
        let machine = Self { chain, folder };
        let project = machine.project();
        let from = chain.project.root();
        let clone = ["clone", "--quiet", from.to_str().unwrap()];
        chain
            .project
            .git(&[&clone[..], &[project.to_str().unwrap()]].concat());
        machine
    }

    fn project(&self) -> PathBuf {
        self.folder.path().join("project")
    }

    fn run(&self, arguments: &[&str]) -> Run {
        let registry = self.chain.registry();
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "bash", "-c", CI_MACHINE, "bash"]);
        command
            .arg(registry.configuration())
            .arg(registry.port.to_string())
            .arg(self.folder.path().join("home"))
            .arg(self.folder.path().join("path"))
            .arg(self.project())
            .arg(env!("CARGO_BIN_EXE_sparkpack"));
        run(command.args(arguments))
    }
}

fn which(program: &str) -> PathBuf {
    let folders = std::env::var_os("PATH").unwrap();
    let mut found = std::env::split_paths(&folders).map(|folder| folder.join(program));
    found.find(|file| file.is_file()).unwrap()
}

fn without_daemon(project: &TestProject, arguments: &[&str]) -> Run {
    run(project.command(arguments).env("DOCKER_HOST", NO_DAEMON))
}

/// A commit of everything.
fn commit(chain: &Chain) {
    chain.project.begin_git();
    chain
        .project
        .git(&["commit", "--quiet", "--all", "-m", "all"]);
}

#[test]
fn a_machine_with_nothing_but_the_registry_pushes_what_another_one_runs() {
    let chain = Chain::with_shell("daemonless-ci").with_job_of_files();
    let project = &chain.project;
    project.succeed(&["push"]);
    chain.forget_images();
    project.edit("src/main.py", "print('main')", "print('changed')");
    project.succeed(&["pin"]);
    commit(&chain);
    let machine = CiMachine::new(&chain);
    let pushed = machine.run(&["push"]);
    assert_eq!(pushed.code, 0, "{}", pushed.stderr);
    let job = project.reference("job");
    assert!(
        pushed.stdout.contains(&format!("{job}@sha256:")),
        "{}",
        pushed.stdout
    );
    assert!(
        pushed.stderr.contains(&format!("job: pushed {job}")),
        "{}",
        pushed.stderr
    );
    let blobs = machine
        .folder
        .path()
        .join("home/.cache/sparkpack/blobs/sha256");
    for layer in layers(&manifest(&project.reference("ds"))) {
        let digest = layer.strip_prefix("sha256:").unwrap();
        assert!(
            !blobs.join(digest).exists(),
            "a layer of the parent was fetched"
        );
    }

    let container = ["run", "--rm", "--entrypoint", "/bin/sh", &job, "-c"];
    let printed =
        chain.docker(&[&container[..], &["cat /opt/job/main.py; echo $PYTHONPATH"]].concat());
    assert!(printed.contains("print('changed')"), "{printed}");
    assert!(printed.contains("/opt/job/jobs.zip"), "{printed}");

    let again = machine.run(&["push"]);
    assert!(again.stderr.contains("nothing to do"), "{}", again.stderr);
}

#[test]
fn a_plan_says_what_a_push_does_without_a_daemon() {
    let chain = Chain::with_registry("daemonless-plan").with_job_of_files();
    let project = &chain.project;
    project.succeed(&["push"]);
    let plan = |image: &str| {
        let run = without_daemon(project, &["plan", "--remote", "--format", "json"]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        let plan: Value = serde_json::from_str(&run.stdout).unwrap();
        let mut images = plan["images"].as_array().unwrap().iter();
        images
            .find(|planned| planned["name"] == image)
            .unwrap()
            .clone()
    };
    project.edit("src/jobs/one.py", "1", "2");
    let job = plan("job");
    assert_eq!(job["push"]["decision"], "build", "{job}");
    assert_eq!(job["push"]["reasons"][0], "the registry does not have it");
    let text = without_daemon(project, &["plan", "--remote", "job"]).stdout;
    assert!(
        text.contains("not in the registry: a push puts it together"),
        "{text}"
    );
    let of_job = text.lines().find(|line| line.starts_with("job ")).unwrap();
    assert!(!of_job.contains("unknown"), "{text}");
    let pushed = without_daemon(project, &["push"]);
    assert_eq!(pushed.code, 0, "{}", pushed.stderr);

    // What only a builder can make is told by the plan, and stops a push before anything is sent.
    project.write("docker/ds/ds.txt", "other\n");
    project.write("docker/side/side.txt", "other\n");
    let needs = "its Dockerfile needs a Docker daemon, and none answers";
    let ds = plan("ds");
    assert_eq!(ds["push"]["decision"], "unknown", "{ds}");
    assert!(
        ds["reasons"].as_array().unwrap().contains(&needs.into()),
        "{ds}"
    );
    assert!(
        !plan("job")["reasons"]
            .as_array()
            .unwrap()
            .contains(&needs.into())
    );
    let text = without_daemon(project, &["plan"]).stdout;
    let offline = format!("{needs}, unless the registry has the image");
    assert_eq!(
        text.matches(&offline).count(),
        1,
        "side is named by the manifest: {text}"
    );
    let sent = chain.registry().requests().len();
    let failed = without_daemon(project, &["push"]);
    assert_eq!(failed.code, 6, "{}", failed.stderr);
    let error = format!(
        "error[E601]: `ds`, `side` have Dockerfiles that are to be built: cannot reach the Docker daemon at `{NO_DAEMON}`: "
    );
    assert!(failed.stderr.contains(&error), "{}", failed.stderr);
    assert!(
        failed.stderr.contains("`sparkpack push ds side`"),
        "{}",
        failed.stderr
    );
    let requests = chain.registry().requests();
    let writes = |request: &&String| !request.starts_with("GET ") && !request.starts_with("HEAD ");
    assert_eq!(requests[sent..].iter().find(writes), None);
}

/// The digests of all blobs of a layout, each of which has to have the digest that its file's name says.
fn blobs(layout: &Path) -> Vec<String> {
    let sums = program(
        "sh",
        &[
            "-c",
            "cd \"$1\"/blobs/sha256 && sha256sum *",
            "sh",
            layout.to_str().unwrap(),
        ],
    );
    let mut digests = Vec::new();
    for line in sums.lines() {
        let (digest, name) = line.split_once("  ").unwrap();
        assert_eq!(digest, name);
        digests.push(format!("sha256:{digest}"));
    }
    digests
}

/// Unpacks an image of a layout, and returns the text of a file in it.
fn unpacked(layout: &Path, reference: &str, file: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("bundle");
    let image = format!("{}:{reference}", layout.display());
    program(
        "umoci",
        &[
            "unpack",
            "--rootless",
            "--image",
            &image,
            bundle.to_str().unwrap(),
        ],
    );
    fs_err::read_to_string(bundle.join("rootfs").join(file)).unwrap()
}

/// Runs a shell's command in an image of a layout, by podman.
fn by_podman(layout: &Path, reference: &str, command: &str) -> String {
    let script = r#"
store=$1 layout=$2 reference=$3 command=$4
podman() { command podman --root "$store/root" --runroot "$store/run" "$@"; }
# podman makes a name of the folder, and that has to be lower-case.
cd "$layout/.."
image=$(podman pull --quiet "oci:$(basename "$layout"):$reference")
podman run --rm --network=none --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 --entrypoint /bin/sh "$image" -c "$command"
"#;
    let folder = tempfile::tempdir().unwrap();
    // What it mounts is gone with its namespace.
    let arguments = [
        "--mount",
        "sh",
        "-euc",
        script,
        "sh",
        folder.path().to_str().unwrap(),
        layout.to_str().unwrap(),
        reference,
        command,
    ];
    program("unshare", &arguments)
}

#[test]
fn without_a_daemon_a_build_fills_a_layout_that_others_read() {
    let chain = Chain::with_shell("daemonless-layout").with_job_of_files();
    let project = &chain.project;
    project.succeed(&["push"]);
    project.edit("src/main.py", "print('main')", "print('changed')");
    let built = without_daemon(project, &["build"]);
    assert_eq!(built.code, 0, "{}", built.stderr);
    let said = format!(
        "images go into the OCI layout dist/oci: cannot reach the Docker daemon at `{NO_DAEMON}`: there is no such socket\n"
    );
    assert!(built.stderr.contains(&said), "{}", built.stderr);
    let [base, job] = ["base", "job"].map(|image| project.reference(image));
    assert!(
        built.stderr.contains(&format!("base: copied {base} in ")),
        "{}",
        built.stderr
    );
    assert!(
        built.stderr.contains(&format!("job: built {job}")),
        "{}",
        built.stderr
    );
    assert!(project.read("kubernetes/nightly.yml").contains(&job));
    let listed: Value = serde_json::from_str(&project.read("dist/images.json")).unwrap();
    let actions: Vec<&str> = listed["images"]
        .as_array()
        .unwrap()
        .iter()
        .map(|image| image["action"].as_str().unwrap())
        .collect();
    assert_eq!(actions, ["adopted", "adopted", "adopted", "built"]);

    let layout = project.root().join("dist/oci");
    blobs(&layout);
    for reference in [&base, &job] {
        let from = format!("oci:{}:{reference}", layout.display());
        let manifest = program("skopeo", &["inspect", "--raw", &from]);
        let manifest: Value = serde_json::from_str(&manifest).unwrap();
        assert_eq!(
            manifest["mediaType"],
            "application/vnd.oci.image.manifest.v1+json"
        );
        let to = tempfile::tempdir().unwrap();
        let to = format!("dir:{}", to.path().display());
        program(
            "skopeo",
            &["--insecure-policy", "copy", "--quiet", &from, &to],
        );
    }
    assert_eq!(
        unpacked(&layout, &job, "opt/job/main.py"),
        "print('changed')\n"
    );

    let printed = by_podman(&layout, &job, "cat /opt/job/main.py; echo $PYTHONPATH");
    assert!(
        printed.starts_with("print('changed')\n/opt/job/site-packages:"),
        "{printed}"
    );

    // The registry is asked no more, and the layout is what a plan asks.
    let sent = chain.registry().requests().len();
    let again = without_daemon(project, &["build"]);
    assert!(
        again.stderr.contains("nothing to do: all 4 images"),
        "{}",
        again.stderr
    );
    let plan = without_daemon(project, &["plan"]).stdout;
    assert!(plan.contains("4 images: all current"), "{plan}");
    assert!(plan.contains("the states are those of dist/oci"), "{plan}");
    project.edit("src/main.py", "changed", "again");
    let plan = without_daemon(project, &["plan"]).stdout;
    assert!(plan.contains("the layout does not have it"), "{plan}");
    let built = without_daemon(project, &["build", "job"]);
    assert_eq!(built.code, 0, "{}", built.stderr);
    assert_eq!(chain.registry().requests().len(), sent);
    let job = project.reference("job");
    assert_eq!(
        unpacked(&layout, &job, "opt/job/main.py"),
        "print('again')\n"
    );

    // What a push of the same files sends is the same image.
    project.succeed(&["push", "job"]);
    let config = |from: &str| {
        let manifest: Value = serde_json::from_str(from).unwrap();
        manifest["config"]["digest"].as_str().unwrap().to_owned()
    };
    let here = program(
        "skopeo",
        &[
            "inspect",
            "--raw",
            &format!("oci:{}:{job}", layout.display()),
        ],
    );
    assert_eq!(
        config(&here),
        manifest(&job)["config"]["digest"].as_str().unwrap()
    );
}

/// The only error of a run, with its code.
fn only_error(run: &Run, code: &str) -> String {
    let exit_code = if code.starts_with("E0") { 2 } else { 6 };
    assert_eq!(run.code, exit_code, "{}", run.stderr);
    assert_eq!(run.stderr.matches("error[").count(), 1, "{}", run.stderr);
    let error = &run.stderr[run.stderr.find("error[").unwrap()..];
    assert!(error.starts_with(&format!("error[{code}]: ")), "{error}");
    error.to_owned()
}

#[test]
fn what_is_wrong_with_a_layout_is_one_clear_error() {
    let chain = Chain::with_registry("daemonless-broken").with_job_of_files();
    let project = &chain.project;
    project.succeed(&["push"]);
    let built = project.succeed(&["build", "job", "--output", "oci:images"]);
    assert!(
        built
            .stderr
            .contains("images go into the OCI layout images\n"),
        "{}",
        built.stderr
    );
    let build = || project.run(&["build", "job", "--output", "oci:images"]);
    let index = project.read("images/index.json");
    project.write("images/index.json", &index[..index.len() / 2]);
    let error = only_error(&build(), "E614");
    assert!(
        error.contains("`images` is not whole: its index.json"),
        "{error}"
    );
    assert!(error.contains("hint: delete it, `rm -r images`"), "{error}");
    project.write("images/index.json", &index);
    project.succeed(&["build", "job", "--output", "oci:images"]);

    let layer = layers(&manifest(&project.reference("ds"))).pop().unwrap();
    let blob = project
        .root()
        .join("images/blobs/sha256")
        .join(&layer["sha256:".len()..]);
    fs_err::remove_file(&blob).unwrap();
    let error = only_error(&build(), "E614");
    assert!(
        error.contains(&format!("its layer {layer} is not there")),
        "{error}"
    );
    fs_err::remove_dir_all(project.root().join("images")).unwrap();

    let other = project.run(&["build", "job", "--output", "oci:src"]);
    let error = only_error(&other, "E614");
    assert!(
        error.contains("`src` is no OCI image layout, and not empty"),
        "{error}"
    );
    let other = project.run(&["build", "job", "--output", "oci:sparkpack.toml"]);
    let error = only_error(&other, "E610");
    assert!(error.contains("`sparkpack.toml` cannot be "), "{error}");
    let wrong = project.run(&["build", "--output", "docker"]);
    assert_eq!(wrong.code, 2, "{}", wrong.stderr);
    assert!(
        wrong
            .stderr
            .contains("write `daemon`, or `oci:` and a folder"),
        "{}",
        wrong.stderr
    );
}

#[test]
fn a_layout_on_a_full_disk_has_no_half_image() {
    let chain = Chain::with_registry("daemonless-full").with_job_of_files();
    let project = &chain.project;
    project.write("docker/ds/ds.txt", &"0123456789".repeat(10));
    let noise = program("sh", &["-c", "head -c 300000 /dev/urandom | base64"]);
    project.write("docker/ds/noise.txt", &noise);
    project.succeed(&["push"]);
    let folder = project.home().join("small");
    fs_err::create_dir(&folder).unwrap();
    let folder = folder.to_str().unwrap();
    program(
        "mount",
        &["-t", "tmpfs", "-o", "size=128k", "tmpfs", folder],
    );
    let output = format!("oci:{folder}/oci");
    let failed = std::panic::catch_unwind(|| project.run(&["build", "job", "--output", &output]));
    let index = Path::new(folder).join("oci/index.json").exists();
    program("umount", &[folder]);
    let error = only_error(&failed.unwrap(), "E610");
    assert!(error.contains("/small/oci` cannot be written: "), "{error}");
    assert!(error.contains("hint: make room on that disk"), "{error}");
    assert!(!index, "nothing has a name");
}

#[test]
fn what_neither_a_layout_nor_the_registry_has_needs_a_daemon() {
    let chain = Chain::with_registry("daemonless-none").with_job_of_files();
    let project = &chain.project;
    project.succeed(&["push", "base"]);
    let failed = without_daemon(project, &["build", "job"]);
    let error = only_error(&failed, "E601");
    let said = format!(
        "`ds` has a Dockerfile that is to be built: cannot reach the Docker daemon at `{NO_DAEMON}`"
    );
    assert!(error.contains(&said), "{error}");
    assert!(error.contains("`sparkpack push ds`"), "{error}");
    let failed = without_daemon(project, &["build", "job", "--output", "daemon"]);
    let error = only_error(&failed, "E601");
    assert!(error.contains("cannot reach the Docker daemon"), "{error}");
    assert!(!project.root().join("dist/oci").exists());

    // With one, what it builds is put into the layout.
    let built = project.succeed(&["build", "job", "--output", "oci:images"]);
    let [ds, job] = ["ds", "job"].map(|image| project.reference(image));
    assert!(
        built.stderr.contains(&format!("ds: copied {ds} in ")),
        "{}",
        built.stderr
    );
    let layout = project.root().join("images");
    assert_eq!(unpacked(&layout, &job, "opt/ds/ds.txt"), "ds\n");
    blobs(&layout);
    let again = project.succeed(&["build", "job", "--output", "oci:images"]);
    assert!(again.stderr.contains("nothing to do"), "{}", again.stderr);
}

/// A project without a registry, whose images lie in `images`.
fn without_registry(name: &str) -> Chain {
    let chain = Chain::new(name).with_job_of_files();
    let project = &chain.project;
    let prefix = format!("\"{}/small\"", chain.host);
    project.edit("sparkpack.toml", &prefix, "\"oci:images\"");
    let reference = format!(
        "project = \"{name}\"\nreference = \"{{registry}}/{{project}}/{{image}}:{{fingerprint}}\""
    );
    project.edit("sparkpack.toml", "project = \"small\"", &reference);
    let configuration = project.read("sparkpack.toml");
    let failure = project.failure(&["tags"]);
    assert!(
        failure.starts_with("exit 2\nerror[E087]: sparkpack.toml:"),
        "{failure}"
    );
    assert!(
        failure.contains("`main` is an OCI layout, and no cluster pulls from one"),
        "{failure}"
    );
    let side = "FROM base\nCOPY . /opt/all/\n";
    project.write("docker/side/Dockerfile", side);
    let end = configuration.find("[manifests]").unwrap();
    project.write("sparkpack.toml", &configuration[..end]);
    chain
}

#[test]
fn a_layout_takes_the_place_of_a_registry() {
    let chain = without_registry("daemonless-place");
    let project = &chain.project;
    project.succeed(&["build"]);
    let [base, ds, side, job] = ["base", "ds", "side", "job"].map(|image| project.reference(image));
    assert!(job.starts_with("daemonless-place/job:"), "{job}");
    let layout = project.root().join("images");
    let oci = |reference: &str| format!("oci:{}:{reference}", layout.display());
    for reference in [&base, &ds] {
        let from = format!("docker-daemon:{reference}");
        program(
            "skopeo",
            &[
                "--insecure-policy",
                "copy",
                "--quiet",
                &from,
                &oci(reference),
            ],
        );
    }
    remove_images("daemonless-place/");
    let pushed = without_daemon(project, &["push", "job"]);
    assert_eq!(pushed.code, 0, "{}", pushed.stderr);
    assert!(
        pushed.stdout.contains(&format!("{job}@sha256:")),
        "{}",
        pushed.stdout
    );
    assert_eq!(
        unpacked(&layout, &job, "opt/job/main.py"),
        "print('main')\n"
    );
    assert_eq!(unpacked(&layout, &job, "opt/ds/ds.txt"), "ds\n");
    blobs(&layout);

    let again = without_daemon(project, &["push", "job"]);
    assert!(again.stderr.contains("nothing to do"), "{}", again.stderr);
    assert!(
        again.stdout.starts_with(&format!("{job}@sha256:")),
        "{}",
        again.stdout
    );
    let plan = without_daemon(project, &["plan", "job", "--remote"]).stdout;
    assert!(plan.contains("in the registry: sha256:"), "{plan}");
    let configuration = project.read("sparkpack.toml");
    project.edit("src/main.py", "main", "changed");
    let why = project.succeed(&["why", "job", "--against", job.rsplit_once(':').unwrap().1]);
    assert!(why.stdout.contains("main.py"), "{}", why.stdout);
    let built = without_daemon(project, &["build", "job"]);
    assert_eq!(built.code, 0, "{}", built.stderr);

    // Another image under the tag is a conflict, and a second layout is refused.
    project.edit("src/main.py", "changed", "main");
    assert_eq!(project.reference("side"), side, "the layout is no input");
    program(
        "skopeo",
        &[
            "--insecure-policy",
            "copy",
            "--quiet",
            &oci(&base),
            &oci(&side),
        ],
    );
    let conflict = without_daemon(project, &["push", "side"]);
    assert_eq!(conflict.code, 3, "{}", conflict.stderr);
    let two = configuration.replace(
        "registries.main",
        "registries.other = \"oci:others\"\nregistries.main",
    );
    project.write("sparkpack.toml", &two);
    let failure = project.failure(&["tags"]);
    assert!(
        failure.contains("two registries are OCI layouts"),
        "{failure}"
    );
}

#[test]
fn what_a_daemon_builds_is_put_into_a_layout_too() {
    let chain = without_registry("daemonless-put");
    let project = &chain.project;
    let pushed = project.succeed(&["push"]);
    let [base, ds, side, job] = ["base", "ds", "side", "job"].map(|image| project.reference(image));
    for reference in [&base, &ds, &side, &job] {
        assert!(
            pushed.stdout.contains(&format!("{reference}@sha256:")),
            "{}",
            pushed.stdout
        );
    }
    let layout = project.root().join("images");
    blobs(&layout);
    assert_eq!(unpacked(&layout, &job, "opt/ds/ds.txt"), "ds\n");
    assert_eq!(unpacked(&layout, &side, "opt/base.txt"), "base\n");
    let from = format!("oci:{}:{base}", layout.display());
    let json = |text: String| serde_json::from_str::<Value>(&text).unwrap();
    let config = json(program("skopeo", &["inspect", "--config", &from]));
    let layers = ["inspect", "--format", "{{json .RootFS.Layers}}", &base];
    assert_eq!(config["rootfs"]["diff_ids"], json(docker(&layers)));
    let store = docker(&["info", "--format", "{{json .DriverStatus}}"]);
    // The containerd store calls an image by its manifest, whose media types become OCI's.
    if !store.contains("io.containerd.snapshotter") {
        let manifest = json(program("skopeo", &["inspect", "--raw", &from]));
        let id = docker(&["inspect", "--format", "{{.Id}}", &base]);
        assert_eq!(manifest["config"]["digest"], id.trim(), "the same image ID");
    }

    // Another machine: the daemon gets the parent from the layout, to build on it.
    remove_images("daemonless-put/");
    project.write("docker/ds/ds.txt", "other\n");
    let pushed = project.succeed(&["push", "job"]);
    assert!(pushed.stderr.contains("ds: pushed"), "{}", pushed.stderr);
    assert!(!pushed.stderr.contains("base: built"), "{}", pushed.stderr);
    let job = project.reference("job");
    assert_eq!(unpacked(&layout, &job, "opt/ds/ds.txt"), "other\n");
    remove_images("daemonless-put/");
}
