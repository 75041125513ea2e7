//! A copy of the example project, whose images have a prefix of their own.

use std::{path::Path, process::Command};

use crate::support::{Run, TestProject, docker, program, remove_images, run, started_by};

/// The copy. It shares the cache of Spark and wheels with the first suite. Its images are removed from the daemon when
/// it is dropped.
pub(crate) struct Example {
    pub(crate) project: TestProject,
    prefix: String,
}

impl Example {
    /// The example project with images below `HOST/penguins`, and with this file as the operator's binary.
    pub(crate) fn new(host: &str, operator: &Path) -> Self {
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
        let project = TestProject::new(&[]).with_cache(&cache);
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("example-project/.");
        program("cp", &["-R".as_ref(), from.as_path(), &project.root()]);
        let example = Self {
            project,
            prefix: format!("{host}/penguins"),
        };
        for file in example.files_that_name_images() {
            let text = example.project.read(&file);
            let text = text.replace("127.0.0.1:5000/penguins", &example.prefix);
            example.project.write(&file, &text);
        }
        let published = published_operator();
        example.project.edit(
            "sparkpack.toml",
            &format!("image = \"{published}\""),
            "source = \"more-operator\"\npath = \"/spark-operator\"",
        );
        example.configure(&format!(
            "[sources.more-operator]\npath = \"{}\"\n",
            operator.display()
        ));
        example
    }

    /// Appends tables to the configuration.
    pub(crate) fn configure(&self, tables: &str) {
        let text = self.project.read("sparkpack.toml");
        self.project
            .write("sparkpack.toml", &format!("{text}\n{tables}"));
    }

    /// Builds this image and its parents, within twenty minutes.
    pub(crate) fn build(&self, image: &str) -> Run {
        let plain = self.project.command(&["build", image]);
        let mut command = Command::new("timeout");
        run(started_by(command.arg("1200"), &plain))
    }

    /// Runs a build that must succeed.
    pub(crate) fn succeed(&self, image: &str) {
        let run = self.build(image);
        assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    }

    /// The project's images in the daemon.
    pub(crate) fn images(&self) -> String {
        docker(&["images", "--quiet", &format!("{}/*", self.prefix)])
    }

    fn files_that_name_images(&self) -> Vec<String> {
        let root = self.project.root();
        let listed = program(
            "grep",
            &[
                "-rl".as_ref(),
                "--include=*.toml".as_ref(),
                "--include=*.yml".as_ref(),
                "127.0.0.1:5000/penguins".as_ref(),
                root.as_os_str(),
            ],
        );
        let below = format!("{}/", root.display());
        listed
            .lines()
            .map(|file| file.strip_prefix(&below).unwrap().to_owned())
            .collect()
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        remove_images(&format!("{}/", self.prefix));
        remove_images("sparkpack.source/more-operator");
    }
}

/// The operator's image in the example's configuration: `REPOSITORY:VERSION`.
pub(crate) fn published_operator() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("example-project/sparkpack.toml");
    let text = fs_err::read_to_string(file).unwrap();
    let line = text.lines().find(|line| line.starts_with("image = "));
    line.unwrap().split('"').nth(1).unwrap().to_owned()
}

/// Runs a container without a network for at most five minutes; the exit code is not checked.
pub(crate) fn run_container(arguments: &[&str]) -> Run {
    let mut command = Command::new("timeout");
    command
        .args(["300", "docker", "run", "--rm", "--network", "none"])
        .args(arguments);
    run(&mut command)
}
