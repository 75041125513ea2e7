//! Projects whose registry is behind a proxy that does harm.

use super::{FaultProxy, PASSWORD, Registry, Root, TestProject, USER, remove_images};

/// The image from elsewhere that jobs stand on; read from a mirror, which is the proxy.
pub(crate) const UPSTREAM: &str = "apache/spark:3.5.8-python3";

/// A project whose registry is behind a proxy of its own.
pub(crate) struct Behind<'r> {
    pub(crate) registry: &'r Registry,
    pub(crate) proxy: FaultProxy,
    pub(crate) project: TestProject,
    /// What its images in the daemon stand on.
    _root: Option<Root>,
}

impl<'r> Behind<'r> {
    fn new(registry: &'r Registry, project: TestProject, root: Option<Root>) -> Self {
        let proxy = FaultProxy::before(&registry.host());
        project.sign_in(&proxy.host(), USER, PASSWORD);
        let project = project.with_variable("SPARKPACK_TEST_PAUSE", "4");
        Self {
            registry,
            proxy,
            project,
            _root: root,
        }
    }

    /// One job on an image from elsewhere, for which no daemon is needed.
    pub(crate) fn job(registry: &'r Registry) -> Self {
        let project = TestProject::new(&[
            ("src/main.py", "print('main')\n"),
            ("src/jobs/__init__.py", ""),
        ]);
        let project = project.with_variable("DOCKER_HOST", "unix:///nowhere/docker.sock");
        let made = Self::new(registry, project, None);
        made.configure_job("first");
        made.project.succeed(&["lock"]);
        made
    }

    /// Writes its configuration, with a folder of the registry that nobody has used.
    pub(crate) fn configure_job(&self, folder: &str) {
        let host = self.proxy.host();
        let text = format!(
            "format = 1\nproject = \"faults\"\nregistries.main = \"{host}/{folder}\"\n\n\
             [mirrors]\nregistries.\"upstream.example\" = \"{host}\"\n\n\
             [chains.main]\nimage = \"upstream.example/{UPSTREAM}\"\n\n\
             [images.job]\nsrc = \"src\"\nparent = \"py\"\n\n[manifests]\nmain = [\"*.yml\"]\n"
        );
        self.project.write("sparkpack.toml", &text);
        let pod = format!(
            "apiVersion: v1\nkind: Pod\nspec: {{containers: [{{image: {host}/{folder}/job:unbuilt}}]}}\n"
        );
        self.project.write("pod.yml", &pod);
    }

    /// Two images that the daemon builds, one on the other.
    pub(crate) fn of_daemon(registry: &'r Registry, name: &str) -> Self {
        let root = Root::new(name, name);
        let project = TestProject::new(&[
            (
                "base/Dockerfile",
                "ARG ROOT\nFROM ${ROOT}\nCOPY base/base.txt /opt/\n",
            ),
            ("base/base.txt", name),
            ("ds/Dockerfile", "FROM base\nCOPY ds/ds.txt /opt/\n"),
            ("ds/ds.txt", name),
            ("pod.yml", ""),
        ]);
        let made = Self::new(registry, project, Some(root));
        let text = format!(
            "format = 1\nproject = \"faults\"\nregistries.main = \"{}/{name}\"\n\n\
             [chains.main]\nspark = \"4.1.4\"\npython = \"3.11\"\nroot = \"sparkpack-test/{name}:root\"\n\n\
             [images.base]\ndockerfile = \"base/Dockerfile\"\n\n\
             [images.ds]\nparent = \"base\"\ndockerfile = \"ds/Dockerfile\"\n\n[manifests]\nmain = [\"*.yml\"]\n",
            made.proxy.host()
        );
        made.project.write("sparkpack.toml", &text);
        made.project.succeed(&["lock"]);
        made
    }

    /// Pushes an image, and says what is wrong if it did not arrive, or something untrue was told. Returns its digest.
    pub(crate) fn push(&self, image: &str) -> Result<String, String> {
        let run = self.project.run(&["push", image]);
        if run.code != 0 {
            return Err(format!("exit {}: {}", run.code, run.stderr));
        }
        let line = run.stdout.lines().find(|line| {
            let reference = line.split('@').next().unwrap_or_default();
            reference.contains(&format!("/{image}:"))
        });
        let line = line.ok_or_else(|| format!("nothing is told of {image}: {}", run.stdout))?;
        let (reference, digest) = line.split_once('@').ok_or(line)?;
        let (repository, tag) = reference.rsplit_once(':').ok_or(line)?;
        let repository = repository
            .strip_prefix(&format!("{}/", self.proxy.host()))
            .ok_or(line)?;
        let there = self.registry.whole_image(repository, tag);
        if there.as_deref() == Some(digest) {
            return Ok(digest.to_owned());
        }
        Err(format!("{line} was told, and the tag has {there:?}"))
    }
}

impl Drop for Behind<'_> {
    fn drop(&mut self) {
        remove_images(&format!("{}/", self.proxy.host()));
    }
}
