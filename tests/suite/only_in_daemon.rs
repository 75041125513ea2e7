//! Jobs on an image that no registry has, but the daemon of this machine.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{
    PASSWORD, Registry, Run, StandIn, TestProject, USER, docker, image_id, program, remove_images,
    run_driver, started_by,
};

/// Two jobs on a stand-in that is in the daemon and in no registry.
struct OnlyInDaemon {
    registry: Registry,
    project: TestProject,
    image: String,
}

impl OnlyInDaemon {
    fn new(name: &str) -> Self {
        let registry = Registry::with_password(USER, PASSWORD);
        let (host, image) = (registry.host(), format!("sparkpack-test/only-{name}:local"));
        let configuration = format!(
            "format = 1\nproject = \"only\"\nregistries.main = \"{host}/team\"\n\n\
             [chains.main]\nimage = \"{image}\"\n\n\
             [images.job]\nsrc = \"src\"\nparent = \"py\"\n\n\
             [images.other]\nsrc = \"other\"\nparent = \"py\"\n"
        );
        let project = TestProject::new(&[
            ("sparkpack.toml", &configuration),
            ("src/main.py", "print('main')\n"),
            ("src/jobs/__init__.py", ""),
            ("other/main.py", "print('other')\n"),
            ("other/jobs/__init__.py", ""),
        ]);
        project.sign_in(&host, USER, PASSWORD);
        StandIn::new().build(&image);
        project.succeed(&["lock"]);
        assert!(project.read("sparkpack.lock").contains("local_id"));
        Self {
            registry,
            project,
            image,
        }
    }

    /// Runs without a daemon.
    fn without_daemon(&self, arguments: &[&str]) -> Run {
        let mut command = self.project.command(arguments);
        crate::support::run(command.env("DOCKER_HOST", "unix:///nowhere/docker.sock"))
    }

    /// Pushes to a new registry.
    fn change_registry(&mut self) {
        let other = Registry::with_password(USER, PASSWORD);
        let (from, to) = (self.registry.host(), other.host());
        remove_images(&format!("{from}/"));
        self.project.sign_in(&to, USER, PASSWORD);
        self.project.edit("sparkpack.toml", &from, &to);
        self.registry = other;
    }

    /// The requests with this beginning and this part.
    fn requests(&self, beginning: &str, part: &str) -> usize {
        let requests = self.registry.requests();
        let wanted = requests
            .iter()
            .filter(|request| request.starts_with(beginning) && request.contains(part));
        wanted.count()
    }

    /// The layers' digests in the manifest of an image in the registry.
    fn layers(&self, image: &str) -> Vec<String> {
        let manifest = self.inspect("--raw", image);
        let layers = manifest["layers"].as_array().unwrap().iter();
        let digest = |layer: &Value| layer["digest"].as_str().unwrap().to_owned();
        layers.map(digest).collect()
    }

    fn inspect(&self, what: &str, image: &str) -> Value {
        let from = format!("docker://{}", self.project.reference(image));
        let credentials = format!("{USER}:{PASSWORD}");
        let options = ["--tls-verify=false", "--creds", &credentials];
        let text = program(
            "skopeo",
            &[&["inspect", what], &options[..], &[&from]].concat(),
        );
        serde_json::from_str(&text).unwrap()
    }

    /// Has the daemon, which must not know the image, get it from the registry and run it.
    fn run_job(&self, image: &str) -> Vec<String> {
        let reference = self.project.reference(image);
        assert_eq!(image_id(&reference), None);
        let signed_in = self.project.home().join(".docker");
        docker(&[
            "--config",
            signed_in.to_str().unwrap(),
            "pull",
            "--quiet",
            &reference,
        ]);
        let told = run_driver(&reference, &["/opt/job/main.py"]);
        told.lines().map(str::to_owned).collect()
    }

    /// The cached files of these layers.
    fn cached(&self, layers: &[String]) -> Vec<PathBuf> {
        let blobs = self.project.cache().join("blobs/sha256");
        let file = |digest: &String| blobs.join(digest.trim_start_matches("sha256:"));
        layers.iter().map(file).collect()
    }
}

impl Drop for OnlyInDaemon {
    fn drop(&mut self) {
        remove_images(&format!("{}/", self.registry.host()));
        remove_images(&self.image);
    }
}

const EXPORT: &str = "taking it out of the daemon";

fn is_export(run: &Run) -> bool {
    assert_eq!(run.code, 0, "{}", run.stderr);
    run.stderr.contains(EXPORT)
}

#[test]
fn it_is_exported_once_and_its_layers_are_sent_once() {
    let only = OnlyInDaemon::new("once");
    let first = only.project.succeed(&["push"]);
    assert_eq!(first.stderr.matches(EXPORT).count(), 1, "{}", first.stderr);
    let (job, other) = (only.layers("job"), only.layers("other"));
    let below = &job[..3];
    assert_eq!(below, &other[..3]);
    let lower = docker(&[
        "inspect",
        "--format",
        "{{json .RootFS.Layers}}",
        &only.image,
    ]);
    let lower: Vec<Value> = serde_json::from_str(&lower).unwrap();
    let config = only.inspect("--config", "job");
    assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap()[..3], lower);
    for layer in below {
        let digest = format!("digest={}", layer.replace(':', "%3A"));
        assert_eq!(
            only.requests("PUT ", &digest),
            1,
            "{:#?}",
            only.registry.requests()
        );
        let mount = format!("mount={}", layer.replace(':', "%3A"));
        assert_eq!(only.requests("POST ", &mount), 1, "the other one mounts it");
        // Each asked for it.
        assert!(only.requests("HEAD ", &format!("blobs/{layer}")) >= 2);
    }

    // Only the jobs have manifests and tags.
    let credentials = format!("{USER}:{PASSWORD}");
    let catalog = format!("http://{}/v2/_catalog", only.registry.host());
    let catalog = program("curl", &["--silent", "--user", &credentials, &catalog]);
    assert_eq!(
        catalog.trim(),
        "{\"repositories\":[\"team/job\",\"team/other\"]}"
    );

    let path = "path /opt/job/libs.zip:/opt/job/jobs.zip:/opt/spark/python:/opt/spark/python/lib/py4j-0.10.9.7-src.zip";
    let told = only.run_job("job");
    assert_eq!(told[0], "user 185");
    assert!(
        told[1].ends_with(path.trim_start_matches("path ")),
        "{told:?}"
    );
    assert_eq!(told[2], "print('main')");

    // A changed line needs neither the daemon nor the files of the layers, which the registry has.
    for file in only.cached(below) {
        fs_err::remove_file(file).unwrap();
    }
    only.project.write("src/main.py", "print('changed')\n");
    let planned = only.without_daemon(&["plan", "--remote"]).stdout;
    assert!(!planned.contains("none answers"), "{planned}");
    let sent = only.requests("PUT /v2/team/job/blobs/", "");
    let changed = only.without_daemon(&["push"]);
    assert!(!is_export(&changed), "{}", changed.stderr);
    let sent = only.requests("PUT /v2/team/job/blobs/", "") - sent;
    assert_eq!(
        sent,
        2,
        "the config and the code: {:#?}",
        only.registry.requests()
    );
    assert_eq!(only.run_job("job")[2], "print('changed')");
    let again = only.without_daemon(&["push"]);
    assert!(again.stderr.contains("nothing to do"), "{}", again.stderr);

    // A job that is new finds the layers where the others have them.
    let images = "[images.new]\nsrc = \"other\"\nparent = \"py\"\n\n[images.other]";
    only.project
        .edit("sparkpack.toml", "[images.other]", images);
    let new = only.without_daemon(&["push"]);
    assert!(!is_export(&new), "{}", new.stderr);
    assert_eq!(only.layers("new")[..3], *below);
}

#[test]
fn every_machine_makes_the_same_of_it_and_mends_what_is_damaged() {
    let mut only = OnlyInDaemon::new("same");
    assert!(is_export(&only.project.run(&["push"])));
    let (manifest, layers) = (only.inspect("--raw", "job"), only.layers("job"));

    // As it is after a disk error, and after somebody has made room.
    let files = only.cached(&layers[..3]);
    let mut bytes = fs_err::read(&files[0]).unwrap();
    bytes[100] ^= 1;
    fs_err::write(&files[0], &bytes).unwrap();
    fs_err::write(&files[1], "").unwrap();
    fs_err::remove_file(&files[2]).unwrap();
    only.change_registry();
    let mended = only.project.run(&["push"]);
    assert!(is_export(&mended), "{}", mended.stderr);
    assert_eq!(only.inspect("--raw", "job"), manifest);
    assert_eq!(only.run_job("job")[2], "print('main')");

    fs_err::remove_dir_all(only.project.cache()).unwrap();
    only.change_registry();
    assert!(is_export(&only.project.run(&["push"])));
    assert_eq!(only.inspect("--raw", "job"), manifest, "byte for byte");

    // What an export left in the cache may be a lie or half of one.
    let exports = only.project.cache().join("exports");
    for text in [
        "",
        "{\"manifest\": 1}",
        &format!("{{\"manifest\": \"{}\"}}", layers[0]),
    ] {
        for file in fs_err::read_dir(&exports).unwrap() {
            fs_err::write(file.unwrap().path(), text).unwrap();
        }
        only.change_registry();
        assert!(is_export(&only.project.run(&["push", "job"])));
        assert_eq!(only.inspect("--raw", "job"), manifest, "{text}");
    }
}

#[test]
fn a_machine_that_has_it_nowhere_is_told_before_anything_is_sent() {
    let only = OnlyInDaemon::new("nowhere");
    let refused = |run: &Run, reason: &str| {
        assert_eq!(run.code, 6, "{}", run.stderr);
        let told = &run.stderr;
        let error = format!(
            "error[E606]: `{}`: the lock wants the image ID ",
            only.image
        );
        assert!(told.contains(&error) && told.contains(reason), "{told}");
        assert_eq!(told.matches("error[").count(), 1, "{told}");
        let hint = "for other machines, push it to a registry and write its reference there in the place of its name in sparkpack.toml";
        assert!(told.contains(hint), "{told}");
        assert_eq!(only.requests("POST ", "") + only.requests("PUT ", ""), 0);
    };
    let planned = only.without_daemon(&["plan", "--remote"]).stdout;
    let needs = "what it stands on is in a Docker daemon alone, and none answers";
    assert_eq!(planned.matches(needs).count(), 2, "{planned}");
    let absent = "which is expected in the daemon of this machine, and none answers";
    refused(&only.without_daemon(&["push"]), absent);
    refused(
        &only.without_daemon(&["build", "--output", "oci:images"]),
        absent,
    );

    // A daemon that has another one under that name.
    docker(&["rmi", "--force", &only.image]);
    StandIn::new().build(&only.image);
    refused(&only.project.run(&["push"]), "but the local daemon has ");
    docker(&["rmi", "--force", &only.image]);
    refused(
        &only.project.run(&["push"]),
        "but it is not in the local daemon",
    );
}

/// The layers of a layout, all of which can be read.
fn copied(layout: &Path, reference: &str) -> Vec<Value> {
    let from = format!("oci:{}:{reference}", layout.display());
    let copy = tempfile::tempdir().unwrap();
    let to = format!("dir:{}", copy.path().display());
    program("skopeo", &["copy", "--quiet", &from, &to]);
    let manifest = program("skopeo", &["inspect", "--raw", &from]);
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    manifest["layers"].as_array().unwrap().clone()
}

#[test]
fn layouts_hold_what_stands_on_it() {
    let only = OnlyInDaemon::new("layout");
    let (project, root) = (&only.project, only.project.root());
    assert!(is_export(&project.run(&[
        "build",
        "--output",
        "oci:images"
    ])));
    let reference = project.reference("job");
    let layers = copied(&root.join("images"), &reference);
    // Without a daemon, and with a cache that has lost a file that this layout lacks.
    let built = only.without_daemon(&["build", "--output", "oci:again"]);
    assert!(!is_export(&built));
    assert_eq!(copied(&root.join("again"), &reference), layers);
    let digests: Vec<String> = layers
        .iter()
        .map(|layer| layer["digest"].as_str().unwrap().to_owned())
        .collect();
    let files = only.cached(&digests);
    let mut bytes = fs_err::read(&files[0]).unwrap();
    bytes[100] ^= 1;
    fs_err::write(&files[0], &bytes).unwrap();
    fs_err::remove_file(&files[1]).unwrap();
    assert!(is_export(&project.run(&[
        "build",
        "--output",
        "oci:mended"
    ])));
    assert_eq!(copied(&root.join("mended"), &reference), layers);

    // A layout in the place of a registry.
    let main = format!("\"{}/team\"", only.registry.host());
    project.edit("sparkpack.toml", &main, "\"oci:place\"");
    fs_err::write(&files[0], &bytes).unwrap();
    assert!(is_export(&project.run(&["push"])));
    let reference = project.succeed(&["tags", "job"]).stdout;
    assert_eq!(copied(&root.join("place"), reference.trim()), layers);
}

/// Hundreds of megabytes take no more memory than a few.
#[test]
fn an_export_is_streamed() {
    let only = OnlyInDaemon::new("streamed");
    let stand_in = StandIn::new();
    let noise = stand_in.path("spark/opt/spark/noise");
    program(
        "sh",
        &[
            "-c",
            "head -c 300000000 /dev/urandom > \"$0\"",
            noise.to_str().unwrap(),
        ],
    );
    docker(&["rmi", "--force", &only.image]);
    stand_in.build(&only.image);
    only.project.succeed(&["lock", "--upgrade", &only.image]);
    let sparkpack = only.project.command(&["push", "job"]);
    let mut command = std::process::Command::new("python3");
    let script = "import resource, subprocess, sys\n\
                  code = subprocess.run(sys.argv[1:]).returncode\n\
                  print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)\n\
                  sys.exit(code)";
    let command = started_by(command.args(["-c", script]), &sparkpack);
    let pushed = crate::support::run(command);
    assert!(is_export(&pushed));
    let kilobytes: u64 = pushed.stderr.lines().last().unwrap().parse().unwrap();
    assert!(kilobytes < 200 << 10, "{kilobytes} KiB");
}
