//! The real Docker daemon, and a root image of a few bytes in it.

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use super::{program, registry::sha256};

/// Runs the docker client.
pub(crate) fn docker(arguments: &[&str]) -> String {
    program("docker", arguments)
}

/// Runs the docker client with another daemon.
pub(crate) fn docker_at(host: &str, arguments: &[&str]) -> String {
    docker(&[&["--host", host], arguments].concat())
}

/// Gives another daemon an image of this one.
pub(crate) fn copy_image(name: &str, host: &str) {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("image.tar");
    let archive = archive.to_str().unwrap();
    docker(&["save", "--output", archive, name]);
    docker_at(host, &["load", "--quiet", "--input", archive]);
}

/// What an image of a job prints as a driver, without a network.
pub(crate) fn run_driver(reference: &str, arguments: &[&str]) -> String {
    // Spark asks for the address of its host, and finds that of another name only by a network.
    let alone = ["--rm", "--network", "none", "--hostname", "localhost"];
    docker(&[&["run"], &alone[..], &[reference, "driver"], arguments].concat())
}

/// The image ID of a name, if there is an image.
pub(crate) fn image_id(name: &str) -> Option<String> {
    let listed = docker_images(&["--no-trunc", "--quiet", name]);
    listed.lines().next().map(str::to_owned)
}

/// What `docker images` prints. With the containerd store it fails where another test removes an image meanwhile.
fn docker_images(arguments: &[&str]) -> String {
    for _ in 0..20 {
        let mut docker = Command::new("docker");
        let listed = super::run(docker.arg("images").args(arguments));
        if listed.code == 0 {
            return listed.stdout;
        }
        assert!(listed.stderr.contains("not found"), "{}", listed.stderr);
    }
    panic!("the images cannot be listed, as others are always being removed");
}

/// Removes every image whose repository begins with `prefix`.
pub(crate) fn remove_images(prefix: &str) {
    let listed = docker_images(&["--format", "{{.Repository}}:{{.Tag}}"]);
    for name in listed
        .lines()
        .filter(|name| name.starts_with(prefix) && !name.ends_with(":<none>"))
    {
        docker(&["rmi", "--force", "--no-prune", name]);
    }
}

/// Gives the daemon an image under `reference` with this fingerprint but another layer, as if another machine had built
/// it.
pub(crate) fn make_other_bytes(reference: &str, fingerprint: &str) {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs_err::write(folder.path().join(name), text).unwrap();
    write("Dockerfile", "FROM scratch\nCOPY time.txt /\n");
    write("time.txt", "built at another time\n");
    let label = format!("dev.sparkpack.fingerprint={fingerprint}");
    let folder = folder.path().to_str().unwrap();
    docker(&[
        "build",
        "--quiet",
        "--no-cache",
        "--label",
        &label,
        "--tag",
        reference,
        folder,
    ]);
}

/// The same for many images at once, by reference: each with its fingerprint, and a layer with this text.
pub(crate) fn load_other_bytes(fingerprints: &BTreeMap<String, String>, text: &str) {
    let (mut archive, mut listed) = (tar::Builder::new(Vec::new()), Vec::new());
    let add = |archive: &mut tar::Builder<Vec<u8>>, path: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, path, bytes).unwrap();
    };
    for (number, (reference, fingerprint)) in fingerprints.iter().enumerate() {
        let mut layer = tar::Builder::new(Vec::new());
        add(
            &mut layer,
            "text.txt",
            format!("{reference} {text}").as_bytes(),
        );
        let layer = layer.into_inner().unwrap();
        let config = serde_json::json!({
            "architecture": "amd64",
            "os": "linux",
            "config": {"Labels": {"dev.sparkpack.fingerprint": fingerprint}},
            "rootfs": {"type": "layers", "diff_ids": [sha256(&layer)]},
        });
        let (config_path, layer_path) = (format!("{number}.json"), format!("{number}.tar"));
        add(&mut archive, &config_path, config.to_string().as_bytes());
        add(&mut archive, &layer_path, &layer);
        listed.push(serde_json::json!({
            "Config": config_path, "RepoTags": [reference], "Layers": [layer_path]
        }));
    }
    let listed = serde_json::Value::from(listed).to_string();
    add(&mut archive, "manifest.json", listed.as_bytes());
    let file = tempfile::NamedTempFile::new().unwrap();
    fs_err::write(file.path(), archive.into_inner().unwrap()).unwrap();
    docker(&["load", "--quiet", "--input", file.path().to_str().unwrap()]);
}

/// An image with one small file and a unique name; removed from the daemon when dropped.
pub(crate) struct Root {
    pub(crate) name: String,
}

impl Root {
    pub(crate) fn new(name: &str, text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::of_folder(name, text, folder.path())
    }

    /// One with a shell, so that a `RUN` works.
    pub(crate) fn with_shell(name: &str, text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs_err::create_dir(folder.path().join("bin")).unwrap();
        fs_err::copy("/bin/busybox", folder.path().join("bin/sh")).unwrap();
        Self::of_folder(name, text, folder.path())
    }

    /// One with the files of a folder, for a platform.
    pub(crate) fn for_platform(name: &str, folder: &Path, platform: &str) -> Self {
        let name = format!("sparkpack-test/{name}:root");
        fs_err::write(folder.join("root.txt"), &name).unwrap();
        // An import is always for the platform of the daemon, if that is old.
        fs_err::write(folder.join("Dockerfile"), "FROM scratch\nCOPY . /\n").unwrap();
        let folder = folder.to_str().unwrap();
        docker(&[
            "build",
            "--quiet",
            // The cache may name an image that another run has removed.
            "--no-cache",
            "--platform",
            platform,
            "--tag",
            &name,
            folder,
        ]);
        Self { name }
    }

    fn of_folder(name: &str, text: &str, folder: &Path) -> Self {
        let name = format!("sparkpack-test/{name}:root");
        fs_err::write(folder.join("root.txt"), text).unwrap();
        let outside = tempfile::tempdir().unwrap();
        let archive = outside.path().join("root.tar");
        let tar = ["-C", folder.to_str().unwrap(), "-cf"];
        program(
            "tar",
            &[&tar[..], &[archive.to_str().unwrap(), "."]].concat(),
        );
        docker(&[
            "import",
            "--platform",
            "linux/amd64",
            archive.to_str().unwrap(),
            &name,
        ]);
        Self { name }
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        docker(&["rmi", "--force", &self.name]);
    }
}

/// Podman's service with a store of its own, which ends with this value.
pub(crate) struct PodmanService {
    child: Child,
    folder: tempfile::TempDir,
}

impl PodmanService {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().to_str().unwrap();
        let script = r#"exec podman --root "$1/root" --runroot "$1/run" system service --time 0 "unix://$1/socket""#;
        // What it mounts is gone with its namespace.
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", script, "sh", store]);
        // What it asks for otherwise needs a capability that not every root has.
        let settings = folder.path().join("containers.conf");
        let limits = "default_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n";
        fs_err::write(&settings, format!("[containers]\n{limits}")).unwrap();
        command.env("CONTAINERS_CONF", &settings);
        // Docker speaks plain HTTP with registries of this machine; Podman has to be told.
        let registries = folder.path().join("registries.conf");
        let local = "[[registry]]\nlocation = \"127.0.0.1\"\ninsecure = true\n";
        fs_err::write(&registries, local).unwrap();
        command.env("CONTAINERS_REGISTRIES_CONF", &registries);
        let child = command.stderr(Stdio::null()).spawn().unwrap();
        let service = Self { child, folder };
        let waited = (0..100).any(|_| {
            std::thread::sleep(Duration::from_millis(100));
            service.folder.path().join("socket").exists()
        });
        assert!(waited, "podman does not serve");
        service
    }

    pub(crate) fn host(&self) -> String {
        format!("unix://{}/socket", self.folder.path().display())
    }
}

impl Drop for PodmanService {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The user who runs the rootless daemon.
pub(crate) const NOBODY: u32 = 65_534;

/// A rootless dockerd of the user `nobody`, with data and a network of its own, which ends with this value.
pub(crate) struct RootlessDocker {
    child: Child,
    folder: tempfile::TempDir,
    /// Connects its loopback interface with that of this machine.
    forward: Option<Child>,
}

/// Users that `nobody` has for its containers, told in a namespace of its own. What it mounts is gone with that.
const ROOTLESS: &str = r#"
echo "nobody:200000:65536" >"$1/ids"
mount --bind "$1/ids" /etc/subuid && mount --bind "$1/ids" /etc/subgid
exec setpriv --reuid nobody --regid nogroup --clear-groups env HOME="$1" XDG_RUNTIME_DIR="$1" \
    rootlesskit --net=host --copy-up=/etc --copy-up=/run --state-dir "$1/kit" sh -c '
    rm -f /run/docker /run/containerd /run/xtables.lock
    exec unshare --net sh -c '\''ip link set lo up && exec "$@"'\'' sh dockerd --rootless --storage-driver vfs --iptables=false --ip6tables=false --data-root "$1/data" \
        --exec-root "$1/run" --pidfile "$1/pid" --host "unix://$1/docker.sock"' sh "$1"
"#;

impl RootlessDocker {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // /etc/subuid has to be there to be mounted on.
        for file in ["/etc/subuid", "/etc/subgid"] {
            assert!(
                Path::new(file).exists(),
                "{file}: scripts/test installs uidmap"
            );
        }
        std::os::unix::fs::chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        let log = fs_err::File::create(folder.path().join("log")).unwrap();
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-euc", ROOTLESS, "sh"]);
        command.arg(folder.path());
        let child = command
            .stdout(Stdio::null())
            .stderr(log.into_file())
            .spawn()
            .unwrap();
        let mut service = Self {
            child,
            folder,
            forward: None,
        };
        let answers = || {
            let mut docker = Command::new("docker");
            docker.args(["--host", &service.host(), "version"]);
            super::run(&mut docker).code == 0
        };
        let waited = (0..300).any(|_| {
            std::thread::sleep(Duration::from_millis(100));
            answers()
        });
        let log = fs_err::read_to_string(service.folder.path().join("log")).unwrap();
        assert!(waited, "the rootless daemon does not serve: {log}");
        // In its own network it would not reach the registries of this machine.
        let process = fs_err::read_to_string(service.folder.path().join("pid")).unwrap();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/loopback.py");
        let mut forward = Command::new("python3");
        forward.args([script, process.trim()]).stdout(Stdio::null());
        service.forward = Some(forward.spawn().unwrap());
        service
    }

    pub(crate) fn host(&self) -> String {
        format!("unix://{}/docker.sock", self.folder.path().display())
    }
}

impl Drop for RootlessDocker {
    fn drop(&mut self) {
        // rootlesskit passes it on, and ends with the daemon.
        let id = self.child.id().to_string();
        let _ = Command::new("kill").arg(id).status();
        let _ = self.child.wait();
        if let Some(forward) = &mut self.forward {
            let _ = forward.kill();
            let _ = forward.wait();
        }
    }
}
