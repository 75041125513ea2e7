//! Chains and jobs on an image from elsewhere, such as `apache/spark`: nothing of it is made, tagged or pushed.

use serde_json::Value;

use crate::support::{
    Index, PASSWORD, Registry, Run, StandIn, TestProject, USER, docker, image_id, program,
    remove_images, run_driver,
};

/// No daemon answers there.
const NOWHERE: (&str, &str) = ("DOCKER_HOST", "unix:///nowhere/docker.sock");

/// A job on a chain whose base and `py` are a stand-in in a registry.
struct Elsewhere {
    registry: Registry,
    project: TestProject,
    index: Index,
    stand_in: StandIn,
}

impl Elsewhere {
    fn new() -> Self {
        let registry = Registry::with_password(USER, PASSWORD);
        let (host, index) = (registry.host(), Index::new());
        index.add("spk_old-1.0-py3-none-any", &["spk-dep"]);
        index.add("spk_old-2.0-py3-none-any", &[]);
        index.add("spk_dep-1.0-py3-none-any", &[]);
        index.add("spk_dep-2.0-py3-none-any", &[]);
        for python in ["310", "311"] {
            index.add(
                &format!("spk_nat-1.0-cp{python}-cp{python}-manylinux_2_34_x86_64"),
                &["spk-dep"],
            );
        }
        let configuration = format!(
            "format = 1\nproject = \"elsewhere\"\nregistries.main = \"{host}/team\"\n\n\
             [mirrors]\npython = \"{}\"\n\n[python]\ninstaller = \"uv\"\n\n\
             [chains.main]\nimage = \"{host}/apache/spark:3.5.8-python3\"\n\n\
             [images.job]\nsrc = \"src\"\nparent = \"py\"\nrequirements = \"requirements.txt\"\n\n\
             [manifests]\nmain = [\"*.yml\"]\n",
            index.url
        );
        let manifest = format!(
            "apiVersion: v1\nkind: Pod\nspec: {{containers: [{{image: {host}/team/job:unbuilt}}]}}\n"
        );
        let project = TestProject::new(&[
            ("sparkpack.toml", &configuration),
            ("requirements.txt", "spk-old\nspk-nat\n"),
            ("src/main.py", "print('main')\n"),
            ("src/jobs/__init__.py", ""),
            ("src/jobs/one.py", "VALUE = 1\n"),
            ("pod.yml", &manifest),
        ]);
        project.sign_in(&host, USER, PASSWORD);
        Self {
            registry,
            project,
            index,
            stand_in: StandIn::new(),
        }
    }

    fn image(&self) -> String {
        format!("{}/apache/spark:3.5.8-python3", self.registry.host())
    }

    /// With the stand-in pushed.
    fn pushed() -> Self {
        let made = Self::new();
        made.stand_in.push(&made.image());
        made
    }

    /// Runs without a daemon.
    fn without_daemon(&self, arguments: &[&str]) -> Run {
        let mut command = self.project.command(arguments);
        crate::support::run(command.env(NOWHERE.0, NOWHERE.1))
    }

    fn push(&self) -> Run {
        let run = self.without_daemon(&["push"]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        run
    }

    fn push_with_daemon(&self) {
        self.project.succeed(&["push"]);
    }

    fn config(reference: &str) -> Value {
        let credentials = format!("{USER}:{PASSWORD}");
        let from = format!("docker://{reference}");
        let arguments = [
            "inspect",
            "--config",
            "--tls-verify=false",
            "--creds",
            &credentials,
            &from,
        ];
        serde_json::from_str(&program("skopeo", &arguments)).unwrap()
    }

    /// The layers of an image in the registry.
    fn layers(reference: &str) -> Vec<Value> {
        let config = Self::config(reference);
        config["rootfs"]["diff_ids"].as_array().unwrap().clone()
    }

    /// Runs the job, as Kubernetes runs a driver, in a daemon that has never seen it.
    fn run_job(&self, arguments: &[&str]) -> String {
        let reference = self.project.reference("job");
        assert_eq!(image_id(&reference), None);
        let local = format!("docker-daemon:{reference}");
        let credentials = format!("{USER}:{PASSWORD}");
        let from = format!("docker://{reference}");
        let copy = [
            "copy",
            "--quiet",
            "--src-tls-verify=false",
            "--src-creds",
            &credentials,
            &from,
            &local,
        ];
        program("skopeo", &copy);
        run_driver(&reference, arguments)
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        remove_images(&format!("{}/", self.registry.host()));
    }
}

const PATH: &str = "path /opt/job/site-packages:/opt/job/libs.zip:/opt/job/jobs.zip:/opt/spark/python:/opt/spark/python/lib/py4j-0.10.9.7-src.zip";

#[test]
fn a_job_on_apaches_image_is_pushed_without_a_daemon_and_runs_in_another() {
    let elsewhere = Elsewhere::pushed();
    let first = elsewhere.push();
    let found = "has Spark 3.5.8, Scala 2.12, Java 17, Python 3.10, glibc 2.35 and 2 packages";
    assert!(first.stderr.contains(found), "{}", first.stderr);
    assert!(!first.stderr.contains("warning"), "{}", first.stderr);
    assert_eq!(
        first.stdout.lines().count(),
        1,
        "only the job: {}",
        first.stdout
    );
    let lock = elsewhere.project.read("sparkpack.lock");
    for line in [
        "python = \"3.10\"",
        "spark = \"3.5.8\"",
        "binding = [\"spk-old==1.0\"]",
        "installed = [\"spk-dep==1.0\"]",
    ] {
        assert!(lock.contains(line), "{line}\n{lock}");
    }

    // Wheels are for its Python and glibc; what it has is not shipped again, and binds a job if somebody asked for it.
    let requirements = elsewhere.project.read("requirements.lock");
    assert!(
        requirements.contains("spk_nat-1.0-cp310-cp310-manylinux_2_34_x86_64.whl"),
        "{requirements}"
    );
    for line in ["# left out: spk-old==1.0", "# left out: spk-dep==1.0"] {
        assert!(requirements.contains(line), "{line}\n{requirements}");
    }

    let job = elsewhere.project.reference("job");
    let (config, below) = (
        Elsewhere::config(&job),
        Elsewhere::config(&elsewhere.image()),
    );
    for key in ["User", "Entrypoint", "WorkingDir"] {
        assert_eq!(config["config"][key], below["config"][key], "{key}");
    }
    let (layers, lower) = (
        Elsewhere::layers(&job),
        Elsewhere::layers(&elsewhere.image()),
    );
    assert!(layers.starts_with(&lower) && layers.len() > lower.len());

    let told = elsewhere.run_job(&[
        "/opt/job/main.py",
        "/opt/job/site-packages/spk_nat_native.so",
    ]);
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines[..3], ["user 185", PATH, "print('main')"]);
    assert_eq!(lines[3], "cp310-cp310-manylinux_2_34_x86_64");

    // A changed line needs nothing of the image below but what the cache has.
    elsewhere.project.write("src/main.py", "print('other')\n");
    let before = elsewhere.registry.requests().len();
    elsewhere.push();
    let requests = elsewhere.registry.requests().split_off(before);
    let of_spark = requests
        .iter()
        .filter(|request| request.contains("apache/spark"));
    assert_eq!(of_spark.collect::<Vec<_>>(), Vec::<&String>::new());
    let again = elsewhere.without_daemon(&["push"]);
    assert!(again.stderr.contains("nothing to do"), "{}", again.stderr);
}

#[test]
fn a_build_pulls_it_and_puts_the_job_on_it() {
    let elsewhere = Elsewhere::pushed();
    let built = elsewhere.project.succeed(&["build"]);
    assert!(
        built.stderr.contains("job: loading it into the daemon"),
        "{}",
        built.stderr
    );
    let reference = elsewhere.project.reference("job");
    let told = run_driver(&reference, &["/opt/job/main.py"]);
    assert_eq!(
        told.lines().collect::<Vec<_>>(),
        ["user 185", PATH, "print('main')"]
    );
    let again = elsewhere.project.succeed(&["build"]);
    assert!(again.stderr.contains("nothing to do"), "{}", again.stderr);
    let label = "{{index .Config.Labels \"dev.sparkpack.stage\"}}";
    let image = elsewhere.image();
    let repository = image.rsplit_once(':').unwrap().0;
    let ids = docker(&["images", "--quiet", "--digests", repository]);
    let id = ids.lines().next().unwrap();
    assert_eq!(
        docker(&["inspect", "--format", label, id]).trim(),
        "",
        "its labels are not touched"
    );
}

#[test]
fn a_tag_that_has_moved_changes_nothing_until_the_lock_is_upgraded() {
    let elsewhere = Elsewhere::pushed();
    elsewhere.push();
    let (job, lock) = (
        elsewhere.project.reference("job"),
        elsewhere.project.read("sparkpack.lock"),
    );
    // Now a user has asked for what merely came along, and there is a new Spark.
    elsewhere.stand_in.installed("spk_dep", "1.0", true, &[]);
    elsewhere
        .stand_in
        .remove("spark/opt/spark/jars/spark-core_2.12-3.5.8.jar");
    elsewhere
        .stand_in
        .write("spark/opt/spark/jars/spark-core_2.13-3.5.9.jar", "");
    elsewhere.stand_in.push(&elsewhere.image());
    elsewhere.push();
    assert_eq!(elsewhere.project.reference("job"), job);
    assert_eq!(elsewhere.project.read("sparkpack.lock"), lock);
    let upgraded = elsewhere.without_daemon(&["lock", "--upgrade", &elsewhere.image()]);
    assert_eq!(upgraded.code, 0, "{}", upgraded.stderr);
    assert_ne!(elsewhere.project.reference("job"), job);
    let lock = elsewhere.project.read("sparkpack.lock");
    assert!(
        lock.contains("scala = \"2.13\"") && lock.contains("binding = [\"spk-dep==1.0\""),
        "{lock}"
    );
    elsewhere.push();
}

/// `binding` says which packages bind a job; the others may be replaced in its own folder, which is searched first.
#[test]
fn what_binds_a_job_can_be_told() {
    let elsewhere = Elsewhere::pushed();
    elsewhere.project.write("requirements.txt", "spk-old>=2\n");
    let refused = elsewhere.without_daemon(&["push"]);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(refused.stderr.contains("spk-old"), "{}", refused.stderr);
    elsewhere.project.edit(
        "sparkpack.toml",
        "\n\n[images.job]",
        "\nbinding = []\n\n[images.job]",
    );
    elsewhere.push();
    let requirements = elsewhere.project.read("requirements.lock");
    assert!(
        requirements.contains("spk_old-2.0-py3-none-any.whl"),
        "{requirements}"
    );
    assert!(elsewhere.index.asked() > 0);
}

/// `parent` on a single image says the same as a chain, in short; ds of another chain stays as it is.
#[test]
fn a_single_image_names_its_parent_in_short() {
    let elsewhere = Elsewhere::pushed();
    elsewhere.push();
    let job = elsewhere.project.reference("job");
    let image = elsewhere.image();
    let chain = format!("[chains.main]\nimage = \"{image}\"\n\n");
    elsewhere.project.edit("sparkpack.toml", &chain, "");
    elsewhere.project.edit(
        "sparkpack.toml",
        "parent = \"py\"",
        &format!("parent = \"{image}\""),
    );
    elsewhere.push();
    assert_eq!(
        elsewhere.project.reference("job"),
        job,
        "the names of chains are no inputs"
    );
}

#[test]
fn what_nothing_can_be_put_on_is_refused_with_what_was_looked_for() {
    let elsewhere = Elsewhere::new();
    let refused = |stand_in: &StandIn, wanted: &str| {
        let image = elsewhere.image();
        stand_in.push(&image);
        let run = elsewhere.without_daemon(&["lock"]);
        assert_eq!(run.code, 2, "{}", run.stderr);
        let told = run.stderr.replace(&image, "IMAGE");
        assert!(
            told.contains(&format!("error[E131]: sparkpack.toml:12:9: {wanted}")),
            "{told}"
        );
        assert!(told.contains("hint: "), "{told}");
    };
    let stand_in = StandIn::new();
    stand_in.remove("spark/opt/spark/jars");
    refused(
        &stand_in,
        "`IMAGE` has no Spark: no `spark-core_*.jar` in any folder `jars`",
    );
    let stand_in = StandIn::new();
    stand_in.remove("python/usr/bin/python3");
    refused(
        &stand_in,
        "`IMAGE` has no Python: `python3` is in no folder of its `PATH` (/opt/java/openjdk/bin:/usr/local/bin:/usr/bin:/bin)",
    );
    let stand_in = StandIn::new();
    stand_in.remove("system/usr/lib");
    stand_in.write("system/lib/ld-musl-x86_64.so.1", "");
    refused(&stand_in, "`IMAGE` has musl as its C library");
    let stand_in = StandIn::new();
    stand_in.write("system/opt/job", "a file\n");
    refused(&stand_in, "`/opt/job` in `IMAGE` is no folder");

    // The platform that runs it may bring Spark.
    let stand_in = StandIn::new();
    stand_in.remove("spark/opt/spark");
    stand_in.write("spark/opt/spark/work-dir/.keep", "");
    stand_in.push(&elsewhere.image());
    elsewhere.project.edit(
        "sparkpack.toml",
        "\n\n[images.job]",
        "\nsupplied = [\"spark\"]\nspark = \"3.5.3\"\n\n[images.job]",
    );
    elsewhere.push();
    let path = Elsewhere::config(&elsewhere.project.reference("job"))["config"]["Env"].to_string();
    assert!(
        path.contains("PYTHONPATH=/opt/job/site-packages:/opt/job/libs.zip:/opt/job/jobs.zip\""),
        "{path}"
    );
}

#[test]
fn what_is_told_otherwise_and_an_odd_entrypoint_are_warnings() {
    let elsewhere = Elsewhere::new();
    elsewhere
        .stand_in
        .write("spark/opt/entrypoint.sh", "#!/bin/sh\nexec \"$@\"\n");
    elsewhere.stand_in.push(&elsewhere.image());
    elsewhere.project.edit(
        "sparkpack.toml",
        "\n\n[images.job]",
        "\npython = \"3.11\"\njava = \"17\"\nspark = \"3.5.8\"\n\n[images.job]",
    );
    let run = elsewhere.push();
    let told = run.stderr.replace(&elsewhere.image(), "IMAGE");
    for wanted in [
        "warning[W135]: sparkpack.toml:13:10: `python = \"3.11\"`, and `IMAGE` has 3.10",
        "warning[W136]: sparkpack.toml:12:9: the entrypoint of `IMAGE` does not know `driver` and `executor`",
    ] {
        assert!(told.contains(wanted), "{told}");
    }
    assert_eq!(told.matches("W135").count(), 1, "{told}");
    assert!(
        elsewhere
            .project
            .read("requirements.lock")
            .contains("cp311")
    );
}

/// An image that no registry has can be built on; `only_in_daemon` pushes what stands on one.
#[test]
fn an_image_that_only_the_daemon_has_is_locked_by_its_id() {
    let elsewhere = Elsewhere::new();
    let (name, image) = ("sparkpack-test/elsewhere:local", elsewhere.image());
    elsewhere.stand_in.build(name);
    elsewhere.project.edit("sparkpack.toml", &image, name);
    let built = elsewhere.project.run(&["build"]);
    let reference = elsewhere.project.reference("job");
    let lock = elsewhere.project.read("sparkpack.lock");
    let told = run_driver(&reference, &["/opt/job/main.py"]);
    docker(&["rmi", "--force", name]);
    assert_eq!(built.code, 0, "{}", built.stderr);
    assert!(
        lock.contains("local_id") && lock.contains("python = \"3.10\""),
        "{lock}"
    );
    assert_eq!(
        told.lines().collect::<Vec<_>>(),
        ["user 185", PATH, "print('main')"]
    );
}

/// A Dockerfile of one's own, and the packages of ds, stand on it by the names of the chain's images.
#[test]
fn dockerfiles_and_ds_stand_on_it_by_the_names_of_a_chain() {
    let elsewhere = Elsewhere::pushed();
    let project = &elsewhere.project;
    project.write("ds.txt", "spk-dep==1.0\nspk-nat\n");
    project.write(
        "Dockerfile",
        "ARG PARENT\nFROM ${PARENT}\nCOPY dist/ /opt/job/\nENV OWN=1\n",
    );
    project.edit(
        "sparkpack.toml",
        "\n\n[images.job]\nsrc = \"src\"\nparent = \"py\"\n",
        "\njars.ds = [\"own\"]\n\n[sources.own]\npath = \"own.jar\"\n\n[images.ds]\nrequirements = \"ds.txt\"\n\n\
         [images.own]\nsrc = \"src\"\nparent = \"base\"\ndockerfile = \"Dockerfile\"\n\n\
         [images.job]\nsrc = \"src\"\nparent = \"ds\"\n",
    );
    project.write("own.jar", "a jar\n");
    project.succeed(&["build"]);
    let told = |image: &str, files: &[&str]| {
        let reference = project.reference(image);
        let told = run_driver(&reference, files);
        told.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let lines = told(
        "job",
        &[
            "/opt/spark/jars/own.jar",
            "/opt/ds/site-packages/spk_nat.py",
        ],
    );
    let path = PATH.replace(
        ":/opt/spark/python:",
        ":/opt/ds/site-packages:/opt/spark/python:",
    );
    assert_eq!(lines[..3], ["user 185", path.as_str(), "a jar"]);
    assert!(lines[3].contains("VERSION"), "{lines:?}");
    assert_eq!(told("own", &["/opt/job/main.py"])[2], "print('main')");
    elsewhere.push_with_daemon();
    let layers = Elsewhere::layers(&project.reference("ds"));
    assert!(layers.starts_with(&Elsewhere::layers(&elsewhere.image())));
}

/// The registry that images are pushed to need not be the one that the image below is in.
#[test]
fn its_layers_are_copied_to_another_registry() {
    let elsewhere = Elsewhere::pushed();
    let other = Registry::with_password(USER, PASSWORD);
    let (from, to) = (elsewhere.registry.host(), other.host());
    elsewhere.project.sign_in_to(&[&to, &from], USER, PASSWORD);
    elsewhere.project.edit(
        "sparkpack.toml",
        &format!("\"{from}/team\""),
        &format!("\"{to}/team\""),
    );
    elsewhere.push();
    let reference = elsewhere.project.reference("job");
    assert!(reference.starts_with(&to), "{reference}");
    assert!(Elsewhere::layers(&reference).starts_with(&Elsewhere::layers(&elsewhere.image())));
}

/// Where Spark is can be told, for an image that has several.
#[test]
fn the_folder_of_spark_and_those_of_packages_can_be_told() {
    let elsewhere = Elsewhere::new();
    let other = "spark/srv/spark-4";
    elsewhere
        .stand_in
        .write(&format!("{other}/jars/spark-core_2.13-4.0.1.jar"), "");
    elsewhere
        .stand_in
        .write(&format!("{other}/python/pyspark/__init__.py"), "");
    elsewhere.stand_in.push(&elsewhere.image());
    elsewhere.push();
    let before = elsewhere.project.reference("job");
    let told =
        "\nspark-home = \"/srv/spark-4\"\nsite-packages = [\"/usr/lib/none\"]\n\n[images.job]";
    elsewhere
        .project
        .edit("sparkpack.toml", "\n\n[images.job]", told);
    elsewhere.push();
    let reference = elsewhere.project.reference("job");
    assert_ne!(reference, before, "Spark's folder is an input");
    let path = Elsewhere::config(&reference)["config"]["Env"].to_string();
    assert!(
        path.contains(":/opt/job/jobs.zip:/srv/spark-4/python\""),
        "{path}"
    );
    let requirements = elsewhere.project.read("requirements.lock");
    assert!(
        requirements.contains("spk_old-2.0-py3-none-any.whl"),
        "nothing binds: {requirements}"
    );
    elsewhere
        .project
        .edit("sparkpack.toml", "/srv/spark-4", "/srv/nothing");
    let refused = elsewhere.without_daemon(&["lock"]);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(
        refused.stderr.contains("has no Spark in `/srv/nothing`"),
        "{}",
        refused.stderr
    );
}

/// Without a daemon a build puts the job into a layout, with the layers of the image below.
#[test]
fn a_build_without_a_daemon_fills_a_layout() {
    let elsewhere = Elsewhere::pushed();
    let run = elsewhere.without_daemon(&["build"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let layout = elsewhere.project.root().join("dist/oci");
    let reference = elsewhere.project.reference("job");
    let from = format!("oci:{}:{reference}", layout.display());
    let config = program("skopeo", &["inspect", "--config", &from]);
    let config: Value = serde_json::from_str(&config).unwrap();
    let layers = config["rootfs"]["diff_ids"].as_array().unwrap().clone();
    assert!(layers.starts_with(&Elsewhere::layers(&elsewhere.image())));
    assert_eq!(config["config"]["User"], "185");
    // Every layer can be read.
    let copy = elsewhere.project.root().join("copy");
    program(
        "skopeo",
        &["copy", "--quiet", &from, &format!("dir:{}", copy.display())],
    );
    let again = elsewhere.without_daemon(&["build"]);
    assert!(again.stderr.contains("nothing to do"), "{}", again.stderr);
}

/// A layout may stand in the place of a registry: the layers of the image below come from its registry.
#[test]
fn a_push_into_a_layout_has_its_layers_too() {
    let elsewhere = Elsewhere::pushed();
    let main = format!("registries.main = \"{}/team\"", elsewhere.registry.host());
    elsewhere
        .project
        .edit("sparkpack.toml", &main, "registries.main = \"oci:images\"");
    elsewhere
        .project
        .edit("sparkpack.toml", "[manifests]\nmain = [\"*.yml\"]\n", "");
    elsewhere.push();
    let reference = elsewhere.project.succeed(&["tags", "job"]).stdout;
    let reference = reference.trim();
    let layout = elsewhere.project.root().join("images");
    let from = format!("oci:{}:{reference}", layout.display());
    let copy = elsewhere.project.root().join("copy");
    program(
        "skopeo",
        &["copy", "--quiet", &from, &format!("dir:{}", copy.display())],
    );
}

impl Elsewhere {
    /// Pushes an index over its image and one for arm64 under its name.
    fn push_index(&self, arm64: &StandIn) {
        let image = self.image();
        let repository = image.rsplit_once(':').unwrap().0;
        let both = [(&self.stand_in, "amd64"), (arm64, "arm64")].map(|(stand_in, architecture)| {
            let own = format!("{repository}:{architecture}");
            stand_in.push(&own);
            let credentials = format!("{USER}:{PASSWORD}");
            let from = format!("docker://{own}");
            let raw = [
                "inspect",
                "--raw",
                "--tls-verify=false",
                "--creds",
                &credentials,
                &from,
            ];
            let manifest = program("skopeo", &raw);
            serde_json::json!({
                "mediaType": serde_json::from_str::<Value>(&manifest).unwrap()["mediaType"],
                "digest": sparkpack::image::Digest::of(manifest.as_bytes()).to_string(),
                "size": manifest.len(),
                "platform": {"os": "linux", "architecture": architecture},
            })
        });
        let media_type = "application/vnd.docker.distribution.manifest.list.v2+json";
        let index =
            serde_json::json!({"schemaVersion": 2, "mediaType": media_type, "manifests": both});
        let file = self.project.home().join("index.json");
        fs_err::write(&file, index.to_string()).unwrap();
        let (host, path) = repository.split_once('/').unwrap();
        program(
            "curl",
            &[
                "--silent",
                "--show-error",
                "--fail",
                "--user",
                &format!("{USER}:{PASSWORD}"),
                "--header",
                &format!("Content-Type: {media_type}"),
                "--upload-file",
                file.to_str().unwrap(),
                &format!("http://{host}/v2/{path}/manifests/3.5.8-python3"),
            ],
        );
    }
}

/// Each platform has its own wheels and its own facts, of its own manifest in the index.
#[test]
fn several_platforms_stand_on_the_images_of_an_index() {
    let elsewhere = Elsewhere::new();
    elsewhere.index.add(
        "spk_nat-1.0-cp310-cp310-manylinux_2_34_aarch64",
        &["spk-dep"],
    );
    let arm64 = StandIn::for_arm64();
    // There is another Spark for arm64.
    arm64.remove("spark/opt/spark/jars/spark-core_2.12-3.5.8.jar");
    arm64.write("spark/opt/spark/jars/spark-core_2.12-3.5.9.jar", "");
    let image = elsewhere.image();
    let repository = image.rsplit_once(':').unwrap().0;
    elsewhere.push_index(&arm64);
    elsewhere.project.edit(
        "sparkpack.toml",
        "project = \"elsewhere\"\n",
        "project = \"elsewhere\"\nplatforms = [\"linux/amd64\", \"linux/arm64\"]\n",
    );
    elsewhere.push();
    let lock = elsewhere.project.read("sparkpack.lock");
    for version in ["version = \"3.5.8\"", "version = \"3.5.9\""] {
        assert!(lock.contains(version), "{lock}");
    }
    let requirements = elsewhere.project.read("requirements.lock");
    for machine in ["x86_64", "aarch64"] {
        assert!(
            requirements.contains(&format!("manylinux_2_34_{machine}.whl")),
            "{requirements}"
        );
    }
    let credentials = format!("{USER}:{PASSWORD}");
    let from = format!("docker://{}", elsewhere.project.reference("job"));
    let output = ["build", "job", "--output", "oci:images"];
    elsewhere.project.succeed(&output);
    let layout = elsewhere.project.root().join("images");
    let here = format!(
        "oci:{}:{}",
        layout.display(),
        elsewhere.project.reference("job")
    );
    let again = elsewhere.project.succeed(&output);
    assert!(again.stderr.contains("nothing to do"), "{}", again.stderr);
    for architecture in ["amd64", "arm64"] {
        let config = [
            "inspect",
            "--override-arch",
            architecture,
            "--config",
            &here,
        ];
        let config: Value = serde_json::from_str(&program("skopeo", &config)).unwrap();
        let lower = Elsewhere::layers(&format!("{repository}:{architecture}"));
        let layers = config["rootfs"]["diff_ids"].as_array().unwrap();
        assert!(layers.starts_with(&lower), "{architecture}");
        let arguments = [
            "inspect",
            "--override-arch",
            architecture,
            "--config",
            "--tls-verify=false",
            "--creds",
            &credentials,
            &from,
        ];
        let config: Value = serde_json::from_str(&program("skopeo", &arguments)).unwrap();
        assert_eq!(config["architecture"], architecture);
        let lower = Elsewhere::layers(&format!("{repository}:{architecture}"));
        let layers = config["rootfs"]["diff_ids"].as_array().unwrap();
        assert!(layers.starts_with(&lower), "{architecture}");
    }
}

/// What is wrong with the image of one platform names that.
#[test]
fn an_image_without_python_for_one_platform_is_refused() {
    let elsewhere = Elsewhere::new();
    let arm64 = StandIn::for_arm64();
    arm64.remove("python/usr/bin/python3.10");
    arm64.remove("python/usr/bin/python3");
    elsewhere.push_index(&arm64);
    elsewhere.project.edit(
        "sparkpack.toml",
        "project = \"elsewhere\"\n",
        "project = \"elsewhere\"\nplatforms = [\"linux/amd64\", \"linux/arm64\"]\n",
    );
    let failure = elsewhere.project.failure(&["push"]);
    let image = elsewhere.image();
    let error = format!("for linux/arm64, `{image}` has no Python");
    assert!(failure.contains("error[E131]"), "{failure}");
    assert!(failure.contains(&error), "{failure}");
}

/// What `eject` writes for a job on an image from elsewhere is started as what was put together.
#[test]
fn a_job_that_is_written_out_keeps_what_the_image_below_says() {
    let made = Elsewhere::pushed();
    let project = &made.project;
    let early = project.failure(&["eject", "job"]);
    let wanted = "exit 2\nerror[E033]: `job` stands on `";
    assert!(early.starts_with(wanted), "{early}");
    made.push();
    let assembled = Elsewhere::config(&project.reference("job"));
    let ejected = project.succeed(&["eject", "job"]);
    let table = "[images.job]\n";
    project.edit(
        "sparkpack.toml",
        table,
        &format!("{table}{}", ejected.stdout),
    );
    made.push_with_daemon();
    let built = Elsewhere::config(&project.reference("job"));
    let of = |config: &Value, key: &str| config["config"][key].clone();
    for key in ["Env", "User", "WorkingDir", "Entrypoint", "Cmd"] {
        assert_eq!(of(&assembled, key), of(&built, key), "{key}");
    }
    assert_ne!(assembled["rootfs"], built["rootfs"]);
}
