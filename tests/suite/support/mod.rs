//! Helpers for the tests: a project in a folder of its own, runs of the real binary, a real registry, images in the
//! daemon.

mod behind;
mod beside;
mod chain;
pub(crate) mod classes;
mod counts;
mod created;
pub(crate) mod credentials;
mod daemon;
mod fault_proxy;
mod index;
mod offline;
pub(crate) mod planted;
mod pytest;
mod registry;
mod schema;
pub(crate) mod small;
mod stand_in;
mod strace;
mod wheel;

use std::{
    ffi::OsStr,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Arc,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
pub(crate) use behind::{Behind, UPSTREAM};
pub(crate) use beside::Beside;
pub(crate) use chain::{Chain, PASSWORD, USER};
pub(crate) use counts::{count, rounds, sample};
pub(crate) use created::{GITHUB, GITLAB, PROJECTS, ShellStep, ci_file, github_jobs, gitlab_jobs};
pub(crate) use daemon::{
    NOBODY, PodmanService, Root, RootlessDocker, copy_image, docker, docker_at, image_id,
    load_other_bytes, make_other_bytes, remove_images, run_driver,
};
pub(crate) use fault_proxy::{Asked, Fault, FaultProxy, HttpAnswer};
pub(crate) use index::Index;
pub(crate) use offline::{OLD, Offline, SPARK, tree};
pub(crate) use pytest::Pytest;
pub(crate) use registry::{Registry, sha256};
pub(crate) use schema::{Schema, spoiled};
pub(crate) use stand_in::StandIn;
pub(crate) use strace::{CHANGING, Call, cores, each, tampered, trace, traced};
use tempfile::TempDir;
pub(crate) use wheel::{VERSION, path_without_rust, wheels};

/// A port of the loopback interface that nobody has.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Gives a command the variables that another one was given, and takes those that it was not.
pub(crate) fn give_variables(of: &Command, to: &mut Command) {
    for (name, value) in of.get_envs() {
        match value {
            Some(value) => to.env(name, value),
            None => to.env_remove(name),
        };
    }
}

/// Has a program start this command: its words come behind those of the program, its folder and its variables are the program's.
pub(crate) fn started_by<'p>(program: &'p mut Command, command: &Command) -> &'p mut Command {
    program.arg(command.get_program()).args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        program.current_dir(folder);
    }
    give_variables(command, program);
    program
}

/// A command that heeds all signals, as one that a shell has started does: who is started in the background by a shell
/// without jobs ignores SIGINT until it says otherwise.
pub(crate) fn heedful(command: &Command) -> Command {
    let mut heedful = Command::new("env");
    started_by(heedful.arg("--default-signal"), command);
    heedful
}

/// Clearly longer than the age that a file must have for its digest to be cached, on any file system whose times have
/// fractions of a second.
pub(crate) const SETTLED: Duration = Duration::from_millis(300);

/// A project in a temporary folder, with its own home and, unless it is shared, its own cache.
#[derive(Clone)]
pub(crate) struct TestProject {
    folder: Arc<TempDir>,
    root: PathBuf,
    cache: PathBuf,
    variables: Vec<(String, String)>,
}

/// The result of a run of the binary.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl TestProject {
    /// A project with these files, as paths and texts.
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("cache");
        let project = Self {
            root: folder.path().join("project"),
            folder: Arc::new(folder),
            cache,
            variables: Vec::new(),
        };
        fs_err::create_dir_all(project.root()).unwrap();
        fs_err::create_dir_all(project.folder.path().join("home")).unwrap();
        for (path, text) in files {
            project.write(path, text);
        }
        project
    }

    /// The project in a folder of this one, with the same home and cache.
    pub(crate) fn within(&self, name: &str) -> Self {
        Self {
            folder: Arc::clone(&self.folder),
            root: self.root.join(name),
            cache: self.cache.clone(),
            variables: self.variables.clone(),
        }
    }

    /// The same with a cache that outlives the test.
    pub(crate) fn with_cache(mut self, cache: &Path) -> Self {
        cache.clone_into(&mut self.cache);
        self
    }

    /// The same with an environment variable.
    pub(crate) fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.set_variable(name, value);
        self
    }

    /// Sets a variable of all runs from now on.
    pub(crate) fn set_variable(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    pub(crate) fn cache(&self) -> &Path {
        &self.cache
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.root.clone()
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let file = self.root().join(path);
        fs_err::create_dir_all(file.parent().unwrap()).unwrap();
        fs_err::write(file, text).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs_err::read_to_string(self.root().join(path)).unwrap()
    }

    /// Replaces a text, which must exist.
    pub(crate) fn edit(&self, path: &str, old: &str, new: &str) {
        let text = self.read(path);
        assert!(text.contains(old), "`{old}` is not in {path}");
        self.write(path, &text.replace(old, new));
    }

    /// The command before it is run, so that a test may change it.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sparkpack"));
        planted::plant_if_asked(&mut command, arguments, &self.root(), &self.home());
        command
            .args(arguments)
            .current_dir(self.root())
            .env("HOME", self.home())
            .env("SPARKPACK_CACHE", &self.cache)
            .env_remove("DOCKER_CONFIG")
            .env_remove("XDG_RUNTIME_DIR")
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("REGISTRY_AUTH_FILE")
            .env_remove("DOCKER_AUTH_CONFIG")
            .env_remove("CI")
            .env_remove("NO_COLOR")
            .env_remove("CLICOLOR_FORCE");
        self.variables.iter().for_each(|(name, value)| {
            command.env(name, value);
        });
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        run(&mut self.command(arguments))
    }

    /// A run that must succeed.
    pub(crate) fn succeed(&self, arguments: &[&str]) -> Run {
        let run = self.run(arguments);
        assert_eq!(
            run.code, 0,
            "sparkpack {arguments:?}\n{}{}",
            run.stdout, run.stderr
        );
        run
    }

    /// The exit code and stderr of a run that must fail, for a snapshot: without paths and times.
    pub(crate) fn failure(&self, arguments: &[&str]) -> String {
        let run = self.run(arguments);
        assert_ne!(
            run.code, 0,
            "sparkpack {arguments:?} did not fail\n{}{}",
            run.stdout, run.stderr
        );
        assert_eq!(run.stdout, "", "an error prints no data");
        let text = run.stderr.replace(self.root().to_str().unwrap(), "PROJECT");
        format!(
            "exit {}\n{}",
            run.code,
            text.replace(self.folder.path().to_str().unwrap(), "FOLDER")
        )
    }

    /// The reference of an image of this checkout.
    pub(crate) fn reference(&self, image: &str) -> String {
        let reference = self.succeed(&["tags", image]).stdout;
        assert_eq!(reference.lines().count(), 1, "{reference}");
        reference.trim().to_owned()
    }

    /// Writes docker's configuration with a password for a registry.
    pub(crate) fn sign_in(&self, host: &str, user: &str, password: &str) {
        self.sign_in_to(&[host], user, password);
    }

    /// The same for several registries.
    pub(crate) fn sign_in_to(&self, hosts: &[&str], user: &str, password: &str) {
        let auth = STANDARD.encode(format!("{user}:{password}"));
        let auths = hosts
            .iter()
            .map(|host| format!("\"{host}\": {{\"auth\": \"{auth}\"}}"));
        let auths: Vec<String> = auths.collect();
        let text = format!("{{\"auths\": {{{}}}}}", auths.join(", "));
        fs_err::create_dir_all(self.home().join(".docker")).unwrap();
        fs_err::write(self.home().join(".docker/config.json"), text).unwrap();
    }

    /// Runs git in the project.
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        let root = self.root();
        let who = ["-c", "user.name=ada", "-c", "user.email=ada@localhost"];
        let place = ["-C", root.to_str().unwrap()];
        program("git", &[&place[..], &who[..], arguments].concat())
    }

    /// Makes the project a git work tree, with all files in the index.
    pub(crate) fn begin_git(&self) {
        self.git(&["init", "--quiet"]);
        self.git(&["add", "--all"]);
    }

    /// Copies the project without `dist`, as it could be on another machine: with other times, another umask, another
    /// order.
    pub(crate) fn check_out(&self, copy: &Path) {
        let script = "umask 077; mkdir -p \"$2\" && (cd \"$1\" && find . ! -type d ! -path './dist/*' | sort -r \
                      | tar -cf - -T -) | tar -xmf - -C \"$2\"";
        let root = self.root();
        let paths = [root.to_str().unwrap(), copy.to_str().unwrap()];
        program("sh", &["-c", script, "sh", paths[0], paths[1]]);
    }

    /// Every file of the project with its bytes, without `dist`.
    pub(crate) fn files(&self) -> Vec<(String, Vec<u8>)> {
        let root = self.root();
        let walk = walkdir::WalkDir::new(&root)
            .sort_by_file_name()
            .into_iter()
            .map(Result::unwrap);
        let files = walk
            .filter(|entry| entry.file_type().is_file())
            .map(|entry| {
                let path = entry
                    .path()
                    .strip_prefix(&root)
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned();
                let bytes = fs_err::read(entry.path()).unwrap();
                (path, bytes)
            });
        files
            .filter(|(path, _)| !path.starts_with("dist/"))
            .collect()
    }
}

pub(crate) fn run(command: &mut Command) -> Run {
    let output = command.output().unwrap();
    let run = Run {
        code: code(&output),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    };
    planted::search_if_asked(command, &run);
    run
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

/// Runs another program, which must succeed, and returns its stdout.
pub(crate) fn program(name: &str, arguments: &[impl AsRef<OsStr>]) -> String {
    let output = Command::new(name).args(arguments).output();
    let output = output
        .unwrap_or_else(|error| panic!("{name} cannot be run: {error}; scripts/test installs it"));
    let shown: Vec<_> = arguments.iter().map(AsRef::as_ref).collect();
    assert!(
        output.status.success(),
        "{name} {shown:?} failed:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    text(output.stdout)
}

/// The version of the Python on the PATH.
pub(crate) fn host_python() -> String {
    let script = "import sys; print('%d.%d' % sys.version_info[:2])";
    program("python3", &["-c", script]).trim().to_owned()
}

/// The Pythons of this machine, each with its version.
pub(crate) fn pythons() -> Vec<(String, (u32, u32))> {
    let mut found = vec!["python3".to_owned()];
    let script = "for root in \"$(pyenv root 2>/dev/null)\"; do ls -d \"$root\"/versions/3.*/bin/python; done 2>/dev/null || true";
    found.extend(program("sh", &["-c", script]).lines().map(str::to_owned));
    let version = |python: String| {
        let script = "import sys; print('%d %d' % sys.version_info[:2])";
        let printed = program(&python, &["-c", script]);
        let (major, minor) = printed.trim().split_once(' ')?;
        Some((python.clone(), (major.parse().ok()?, minor.parse().ok()?)))
    };
    found.into_iter().filter_map(version).collect()
}

/// Writes the lock of a requirements file, as if these wheels (file name, SHA-256) had been chosen for a parent with
/// PySpark in this version.
pub(crate) fn lock_requirements(
    project: &TestProject,
    file: &str,
    spark: &str,
    wheels: &[(&str, &str)],
) {
    use sparkpack::project::requirements::{
        Lock, LockedWheel, Pin, Requirements, lock_file_beside,
    };
    let requirements = Requirements::read(&project.root(), Path::new(file)).unwrap();
    let wheels = wheels.iter().map(|(file_name, sha256)| {
        let sha256 = format!("sha256:{sha256}").parse().unwrap();
        LockedWheel::of_file(file_name.parse().unwrap(), sha256)
    });
    let lock = Lock {
        requirements_digest: requirements.digest(&[Pin::new("pyspark", spark)]),
        python: (3, 11),
        glibc: (2, 28),
        wheels: [("linux/amd64".parse().unwrap(), wheels.collect())].into(),
        left_out: std::collections::BTreeSet::new(),
    };
    let lock_file = lock_file_beside(Path::new(file));
    project.write(lock_file.to_str().unwrap(), &lock.to_text());
}
