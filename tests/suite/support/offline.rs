//! A project with a test's manifests, and with a daemon and a network that notice every connection.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    net::TcpListener,
    os::unix::{fs::MetadataExt as _, net::UnixListener},
    path::{Path, PathBuf},
};

use walkdir::WalkDir;

use super::{TestProject, small};

/// The first lines of an object for the Spark operator.
pub(crate) const SPARK: &str = "apiVersion: sparkoperator.k8s.io/v1beta2\nkind: SparkApplication\n";

/// An outdated reference to the job.
pub(crate) const OLD: &str = "registry.example/small/job:old";

/// A project with a test's manifests, and listeners at all addresses that it could connect to.
pub(crate) struct Offline {
    pub(crate) project: TestProject,
    daemon: UnixListener,
    network: TcpListener,
}

impl Offline {
    pub(crate) fn new(manifests: &[(&str, &str)]) -> Self {
        let project = small::project("registry.example/root:1", "registry.example");
        project.write("sparkpack.lock", &small::lock("registry.example/root:1"));
        fs_err::remove_file(project.root().join("kubernetes/nightly.yml")).unwrap();
        project.edit("sparkpack.toml", "kubernetes/*.yml", "kubernetes/**");
        for (file, text) in manifests {
            project.write(file, text);
        }
        let socket = project.home().join("docker.sock");
        let daemon = UnixListener::bind(&socket).unwrap();
        daemon.set_nonblocking(true).unwrap();
        let network = TcpListener::bind("127.0.0.1:0").unwrap();
        network.set_nonblocking(true).unwrap();
        let proxy = format!("http://{}", network.local_addr().unwrap());
        let project = project
            .with_variable("DOCKER_HOST", &format!("unix://{}", socket.display()))
            .with_variable("HTTPS_PROXY", &proxy)
            .with_variable("HTTP_PROXY", &proxy)
            .with_variable("https_proxy", &proxy)
            .with_variable("http_proxy", &proxy);
        Self {
            project,
            daemon,
            network,
        }
    }

    /// A single manifest: a `SparkApplication` with this `spec`.
    pub(crate) fn spark(spec: &str) -> Self {
        Self::new(&[("kubernetes/job.yml", &format!("{SPARK}{spec}"))])
    }

    /// The same with more keys and tables in the configuration.
    pub(crate) fn with(self, keys: &str, tables: &str) -> Self {
        let keys = format!("project = \"small\"\n{keys}");
        self.project
            .edit("sparkpack.toml", "project = \"small\"\n", &keys);
        let text = self.project.read("sparkpack.toml");
        self.project.write("sparkpack.toml", &(text + tables));
        self
    }

    pub(crate) fn was_asked(&self) -> bool {
        self.daemon.accept().is_ok() || self.network.accept().is_ok()
    }

    /// The output of a run on both streams; it must connect to nothing.
    pub(crate) fn say(&self, arguments: &[&str]) -> String {
        let run = self.project.run(arguments);
        assert!(!self.was_asked(), "sparkpack {arguments:?} asked somebody");
        let root = self.project.root();
        let shown = |text: &str| text.replace(root.to_str().unwrap(), "PROJECT");
        format!(
            "$ sparkpack {}\n{}{}exit {}\n",
            arguments.join(" "),
            shown(&run.stdout),
            shown(&run.stderr),
            run.code
        )
    }

    /// The same for a run that must change nothing.
    pub(crate) fn say_only(&self, arguments: &[&str]) -> String {
        let before = tree(&self.project.root());
        let said = self.say(arguments);
        assert_eq!(
            tree(&self.project.root()),
            before,
            "sparkpack {arguments:?} changed a file\n{said}"
        );
        said
    }

    /// The output of `check` and `pin` for manifests that both must refuse.
    pub(crate) fn refuse(&self, name: &str) -> String {
        let [check, pin] = ["check", "pin"].map(|verb| {
            let said = self.say_only(&[verb]);
            let (head, text) = said.split_once('\n').unwrap();
            assert_eq!(head, format!("$ sparkpack {verb}"));
            text.to_owned()
        });
        assert_eq!(pin, check, "{name}: both say the same");
        assert!(check.ends_with("exit 2\n"), "{name}: {check}");
        for error in check.split_inclusive("error[").skip(1) {
            assert!(error.starts_with('E'), "{error}");
        }
        assert_eq!(
            check.matches("error[").count(),
            check.matches("\nhint: ").count(),
            "{name}: each has a cure\n{check}"
        );
        format!("# {name}\n{check}")
    }

    /// The output of `check` and `pin`, and the manifests afterwards.
    pub(crate) fn pin(&self, name: &str) -> String {
        let mut said = format!("# {name}\n{}", self.say_only(&["check"]));
        let before = tree(&self.project.root());
        said += &self.say(&["pin"]);
        let after = tree(&self.project.root());
        for (file, now) in &after {
            if before.get(file) != Some(now) {
                assert!(file.starts_with("kubernetes"), "{}", file.display());
                let text = String::from_utf8(now.bytes.clone()).unwrap();
                let _ = write!(said, "{}:\n{text}", file.display());
            }
        }
        assert!(before.keys().eq(after.keys()), "no litter");
        self.project.succeed(&["check"]);
        said
    }

    pub(crate) fn tag(&self, image: &str) -> String {
        let reference = self.project.reference(image);
        reference.rsplit_once(':').unwrap().1.to_owned()
    }
}

/// The properties of a path in a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) bytes: Vec<u8>,
}

/// Everything below a folder; symbolic links are not followed.
pub(crate) fn tree(root: &Path) -> BTreeMap<PathBuf, Kept> {
    let walk = WalkDir::new(root).into_iter().map(Result::unwrap);
    walk.map(|entry| {
        let metadata = entry.path().symlink_metadata().unwrap();
        let bytes = if metadata.is_symlink() {
            let target = fs_err::read_link(entry.path()).unwrap();
            target.into_os_string().into_encoded_bytes()
        } else if metadata.is_file() {
            fs_err::read(entry.path()).unwrap_or_default()
        } else {
            Vec::new()
        };
        let kept = Kept {
            mode: metadata.mode(),
            owner: (metadata.uid(), metadata.gid()),
            bytes,
        };
        (entry.path().strip_prefix(root).unwrap().to_owned(), kept)
    })
    .collect()
}
