//! The small project with a root image in the real daemon, and a registry that is real or only a name.

use std::{collections::BTreeMap, process::Command};

use super::{Registry, Root, TestProject, docker, remove_images, run, small};

/// The user of every real registry, and a password whose base64 has each of the characters that are not letters.
pub(crate) const USER: &str = "ada";
pub(crate) const PASSWORD: &str = "a>b?c~d>e?f~";

/// The project; its images are removed from the daemon afterwards.
pub(crate) struct Chain {
    pub(crate) project: TestProject,
    /// The registry's host, with which all its references begin.
    pub(crate) host: String,
    pub(crate) root: Root,
    registry: Option<Registry>,
}

impl Chain {
    /// With a registry that does not exist.
    pub(crate) fn new(name: &str) -> Self {
        Self::on(Root::new(name, name), format!("{name}.example"), None)
    }

    /// With a real registry, and its password.
    pub(crate) fn with_registry(name: &str) -> Self {
        let registry = Registry::with_password(USER, PASSWORD);
        Self::on(Root::new(name, name), registry.host(), Some(registry))
    }

    /// The same, and its images have a shell.
    pub(crate) fn with_shell(name: &str) -> Self {
        let registry = Registry::with_password(USER, PASSWORD);
        let root = Root::with_shell(name, name);
        Self::on(root, registry.host(), Some(registry))
    }

    /// The same with a job without a Dockerfile, on images whose Dockerfiles say what the built-in ones say.
    pub(crate) fn with_job_of_files(self) -> Self {
        let project = &self.project;
        project.edit(
            "sparkpack.toml",
            "parent = \"ds\"\ndockerfile = \"docker/job/Dockerfile\"\n",
            "parent = \"ds\"\n",
        );
        project.edit(
            "docker/ds/Dockerfile",
            "COPY docker/ds/*.txt /opt/ds/\n",
            "COPY docker/ds/*.txt /opt/ds/\nENV PYTHONPATH=/opt/ds/site-packages:/opt/spark/python\nWORKDIR /opt/spark/work-dir\nUSER 185\n",
        );
        self
    }

    /// One with a shell, and with a step of `base` that takes ten minutes.
    pub(crate) fn with_slow_step(name: &str) -> Self {
        let chain = Self::with_shell(name);
        chain.add_busybox();
        chain.project.edit(
            "docker/base/Dockerfile",
            "COPY docker/base/base.txt /opt/\n",
            "COPY docker/base/base.txt /opt/\nCOPY docker/base/busybox /bin/\nRUN /bin/busybox sleep 600\n",
        );
        chain
    }

    /// Puts a program with all the usual commands beside the files of `base`.
    pub(crate) fn add_busybox(&self) {
        let busybox = ["/bin/busybox", "/usr/bin/busybox"];
        let busybox = busybox.iter().find(|path| fs_err::metadata(path).is_ok());
        let copy = self.project.root().join("docker/base/busybox");
        fs_err::copy(busybox.expect("scripts/test installs it"), copy).unwrap();
    }

    fn on(root: Root, host: String, registry: Option<Registry>) -> Self {
        let project = small::project(&root.name, &host);
        project.sign_in(&host, USER, PASSWORD);
        Self {
            project,
            host,
            root,
            registry,
        }
    }

    /// User and password, in the form for registry clients.
    pub(crate) fn credentials() -> String {
        format!("{USER}:{PASSWORD}")
    }

    /// Runs docker with the registry's password.
    pub(crate) fn docker(&self, arguments: &[&str]) -> String {
        let config = self.project.home().join("docker-config");
        fs_err::create_dir_all(&config).unwrap();
        let sign_in = [
            "login",
            "--username",
            USER,
            "--password",
            PASSWORD,
            &self.host,
        ];
        let mut stdout = String::new();
        for arguments in [&sign_in[..], arguments] {
            let mut docker = Command::new("docker");
            let run = run(docker.arg("--config").arg(&config).args(arguments));
            assert_eq!(run.code, 0, "{}", run.stderr);
            stdout = run.stdout;
        }
        stdout
    }

    pub(crate) fn registry(&self) -> &Registry {
        self.registry.as_ref().expect("it has a registry")
    }

    /// The tag of an image of this checkout.
    pub(crate) fn tag(&self, image: &str) -> String {
        let reference = self.project.reference(image);
        reference.rsplit_once(':').unwrap().1.to_owned()
    }

    /// The fingerprint in the label of an image in the daemon.
    pub(crate) fn fingerprint(&self, image: &str) -> String {
        let label = "{{index .Config.Labels \"dev.sparkpack.fingerprint\"}}";
        let reference = self.project.reference(image);
        let printed = docker(&["inspect", "--format", label, &reference]);
        printed.trim().to_owned()
    }

    /// Forgets which images this machine has made: a daemon's are then those of anybody.
    pub(crate) fn forget_made(&self) {
        fs_err::remove_dir_all(self.project.cache().join("made")).unwrap();
    }

    /// The references of its images in the daemon, each with its image ID.
    pub(crate) fn images(&self) -> BTreeMap<String, String> {
        let format = "{{.Repository}}:{{.Tag}} {{.ID}}";
        let all = docker(&["images", "--no-trunc", "--format", format]);
        let own = all.lines().filter(|line| line.starts_with(&self.host));
        let pairs = own.filter_map(|line| line.split_once(' '));
        pairs
            .map(|(name, id)| (name.to_owned(), id.to_owned()))
            .collect()
    }

    /// The containers of this machine that run a step, or have an image of this chain.
    pub(crate) fn containers(&self) -> String {
        let of_root = format!("ancestor={}", self.root.name);
        docker(&["ps", "--all", "--no-trunc", "--quiet", "--filter", &of_root])
    }

    /// Removes its images from the daemon.
    pub(crate) fn forget_images(&self) {
        remove_images(&format!("{}/", self.host));
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        self.forget_images();
    }
}
