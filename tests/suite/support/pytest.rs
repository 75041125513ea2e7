//! A project's own tests, on the Spark and the packages of its image.

use super::{TestProject, docker, program};

/// pytest, in a folder that images do not have.
pub(crate) struct Pytest(tempfile::TempDir);

impl Pytest {
    pub(crate) fn of_pip() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let install = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ];
        let target = ["--target", folder.path().to_str().unwrap(), "pytest"];
        program("python3", &[&install[..], &target].concat());
        Self(folder)
    }

    /// Runs the tests of a project whose image the daemon has, and returns what is printed.
    pub(crate) fn own_tests(&self, project: &TestProject) -> String {
        let (tools, root) = (
            format!("{}:/pytest:ro", self.0.path().display()),
            format!("{}:/project:ro", project.root().display()),
        );
        let script = "PYTHONPATH=$PYTHONPATH:/pytest exec python3 -B -m pytest -q -p no:cacheprovider /project/tests";
        let volumes = ["--volume", &tools, "--volume", &root];
        let image = project.reference("job");
        let command = ["--workdir", "/tmp", &image, "sh", "-c", script];
        docker(&[&["run", "--rm"], &volumes[..], &command].concat())
    }
}
