//! A real `buildkitd`, built from its Go module, with a store of its own.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::{
    golang::{built, go},
    support::{NOBODY, free_port, program, run},
};

/// The version that the documentation names.
const VERSION: &str = "0.34.2";

const MODULE: &str = "github.com/moby/buildkit";

/// The folder with `buildkitd` and `buildctl`.
fn programs() -> PathBuf {
    let buildkitd = built(&format!("buildkit-{VERSION}"), "buildkitd", |unfinished| {
        // A module of one's own: the versions of everything below are those that BuildKit asks for.
        fs_err::write(
            unfinished.join("go.mod"),
            format!("module programs\n\ngo 1.25\n\nrequire {MODULE} v{VERSION}\n"),
        )
        .unwrap();
        let imports = ["buildkitd", "buildctl"];
        let imports = imports.map(|name| format!("import _ \"{MODULE}/cmd/{name}\"\n"));
        let source = format!(
            "//go:build tools\n\npackage programs\n\n{}",
            imports.concat()
        );
        fs_err::write(unfinished.join("tools.go"), source).unwrap();
        go(unfinished, &["mod", "tidy"]);
        for name in ["buildkitd", "buildctl"] {
            let package = format!("{MODULE}/cmd/{name}");
            go(
                unfinished,
                &["build", "-p=2", "-ldflags=-s -w", "-o", name, &package],
            );
        }
    });
    buildkitd.parent().unwrap().to_owned()
}

/// The daemon; ended when dropped.
pub(crate) struct Buildkitd {
    child: Option<Child>,
    folder: tempfile::TempDir,
    port: u16,
    arguments: Vec<String>,
    is_rootless: bool,
}

/// Starts what follows as the user `nobody`, who has further users for its containers in a namespace of its own.
const ROOTLESS: &str = r#"
folder=$1 program=$2
shift 2
echo "nobody:200000:65536" >"$folder/ids"
mount --bind "$folder/ids" /etc/subuid && mount --bind "$folder/ids" /etc/subgid
exec setpriv --reuid nobody --regid nogroup --clear-groups env HOME="$folder" XDG_RUNTIME_DIR="$folder" \
    rootlesskit --net=host --copy-up=/etc --copy-up=/run --state-dir "$folder/kit" \
    "$program" --oci-worker-no-process-sandbox --otel-socket-path "$folder/otel.sock" "$@"
"#;

impl Buildkitd {
    /// One that listens at a socket, and at a port of this machine.
    pub(crate) fn start() -> Self {
        Self::with_arguments(&[])
    }

    /// One that also wants TLS at its port, with a client's certificate.
    pub(crate) fn with_tls(certificates: &Certificates) -> Self {
        let file = |name: &str| certificates.file(name);
        Self::with_arguments(&[
            "--tlscacert",
            &file("ca.pem"),
            "--tlscert",
            &file("server.pem"),
            "--tlskey",
            &file("server.key"),
        ])
    }

    /// One of a user who is not root.
    pub(crate) fn rootless() -> Self {
        let mut started = Self::not_started(&[]);
        started.is_rootless = true;
        let folder = started.folder.path();
        std::os::unix::fs::chown(folder, Some(NOBODY), Some(NOBODY)).unwrap();
        // That user may not get to where the programs are.
        fs_err::copy(programs().join("buildkitd"), folder.join("buildkitd")).unwrap();
        started.begin();
        started
    }

    fn with_arguments(arguments: &[&str]) -> Self {
        let mut started = Self::not_started(arguments);
        started.begin();
        started
    }

    fn not_started(arguments: &[&str]) -> Self {
        Self {
            child: None,
            folder: tempfile::tempdir().unwrap(),
            port: free_port(),
            is_rootless: false,
            arguments: arguments.iter().map(|&one| one.to_owned()).collect(),
        }
    }

    /// Starts it, and waits until it answers.
    pub(crate) fn begin(&mut self) {
        let folder = self.folder.path();
        let log = fs_err::File::create(folder.join("log")).unwrap();
        let mut command = if self.is_rootless {
            let mut command = Command::new("unshare");
            command.args(["--mount", "sh", "-euc", ROOTLESS, "sh"]);
            command.arg(folder).arg(folder.join("buildkitd"));
            command
        } else {
            Command::new(programs().join("buildkitd"))
        };
        let child = command
            .arg("--root")
            .arg(folder.join("root"))
            .args(["--addr", &self.socket(), "--addr", &self.tcp()])
            .args(&self.arguments)
            .stdout(Stdio::null())
            .stderr(log.into_parts().0)
            .spawn()
            .unwrap();
        self.child = Some(child);
        let answers = (0..300).any(|_| {
            std::thread::sleep(Duration::from_millis(100));
            self.buildctl(&["debug", "workers"]).is_some()
        });
        let log = fs_err::read_to_string(folder.join("log")).unwrap();
        assert!(answers, "buildkitd does not answer:\n{log}");
    }

    /// Its socket, as `[builder] address` has it.
    pub(crate) fn socket(&self) -> String {
        format!("unix://{}/socket", self.folder.path().display())
    }

    /// Its port, as `[builder] address` has it.
    pub(crate) fn tcp(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.port)
    }

    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Runs its own client; `None` if that fails.
    pub(crate) fn buildctl(&self, arguments: &[&str]) -> Option<String> {
        let mut command = Command::new(programs().join("buildctl"));
        command.args(["--addr", &self.socket()]).args(arguments);
        let done = run(&mut command);
        (done.code == 0).then_some(done.stdout)
    }

    /// The same with the credentials in a folder.
    pub(crate) fn buildctl_as(&self, configuration: &str, arguments: &[&str]) -> Option<String> {
        let mut command = Command::new(programs().join("buildctl"));
        command
            .args(["--addr", &self.socket()])
            .args(arguments)
            .env("DOCKER_CONFIG", configuration);
        let done = run(&mut command);
        (done.code == 0).then_some(done.stdout)
    }

    /// How many builds its history has.
    pub(crate) fn builds(&self) -> usize {
        let told = self.buildctl(&["debug", "histories"]).unwrap();
        told.lines()
            .filter(|line| line.contains("sparkpack-"))
            .count()
    }

    /// Whether one of its containers runs.
    pub(crate) fn has_containers(&self) -> bool {
        let executor = self.folder.path().join("root/runc-overlayfs/executor");
        let runc = Command::new("runc")
            .arg("--root")
            .arg(executor.join("runc"))
            .args(["list", "--quiet"])
            .output();
        runc.is_ok_and(|listed| !listed.stdout.is_empty())
    }

    /// Ends it at once, as a machine that loses its power.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.as_ref().unwrap().id().to_string();
        program("kill", &["-s", name, &id]);
    }
}

impl Drop for Buildkitd {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        drop(Command::new("kill").arg(child.id().to_string()).status());
        let ended = (0..100).any(|_| {
            std::thread::sleep(Duration::from_millis(50));
            child.try_wait().is_ok_and(|ended| ended.is_some())
        });
        if !ended {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// A certificate authority, and certificates of a server at `127.0.0.1` and of a client.
pub(crate) struct Certificates(tempfile::TempDir);

impl Certificates {
    pub(crate) fn new(server: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let script = r#"
cd "$1"
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=authority $$" -keyout ca.key -out ca.pem
for name in server client; do
    openssl req -newkey rsa:2048 -nodes -subj "/CN=$name" -keyout $name.key -out $name.csr
    echo "subjectAltName=$2" >$name.ext
    openssl x509 -req -days 2 -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile $name.ext -out $name.pem
done
"#;
        let path = folder.path().to_str().unwrap();
        let mut command = Command::new("sh");
        let made = run(command.args(["-ec", script, "sh", path, server]));
        assert_eq!(made.code, 0, "{}", made.stderr);
        Self(folder)
    }

    pub(crate) fn file(&self, name: &str) -> String {
        Path::new(self.0.path()).join(name).display().to_string()
    }

    /// The lines for `[builder]` with the client's files.
    pub(crate) fn lines(&self) -> String {
        format!(
            "ca = \"{}\"\ncertificate = \"{}\"\nkey = \"{}\"\n",
            self.file("ca.pem"),
            self.file("client.pem"),
            self.file("client.key")
        )
    }
}
