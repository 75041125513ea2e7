//! The shell steps of the CI that `new` writes do what they are there for: from a clone alone they check, test and push.
//!
//! A step runs as the CI's runner would run it, on a machine that has a clone, Python, Java and a daemon, with a home of its
//! own and a registry with a password. In the places of what a runner has besides there are stand-ins: `git clone` for the
//! checkout, a virtual environment for the Python of the job, this machine's Java and daemon for those of the job. The cache of
//! sparkpack and that of pip outlive the test: Spark and its wheels are hundreds of megabytes.

use std::{collections::BTreeMap, path::Path, process::Command};

use crate::support::{
    Chain, GITHUB, GITLAB, PASSWORD, Registry, Run, ShellStep, TestProject, USER, github_jobs,
    gitlab_jobs, path_without_rust, program, remove_images, run, wheels,
};

/// How GitHub's runner calls a shell, and how GitLab's does.
const GITHUB_SHELL: &[&str] = &["-e"];
const GITLAB_SHELL: &[&str] = &["-e", "-o", "pipefail"];

/// Installs Java, as root, in a container that has none. This machine has it.
const JAVA: &str =
    "apt-get -q update && apt-get -q install -y --no-install-recommends openjdk-17-jre-headless\n";

/// The variables of GitLab's service `docker:dind`. This machine's daemon is at its usual place.
const SERVICE: [&str; 4] = [
    "DOCKER_HOST",
    "DOCKER_TLS_VERIFY",
    "DOCKER_CERT_PATH",
    "DOCKER_TLS_CERTDIR",
];

/// A new project whose images go to a registry, committed as its README says.
struct Committed<'r> {
    project: TestProject,
    registry: &'r Registry,
}

impl<'r> Committed<'r> {
    fn new(registry: &'r Registry, name: &str, flags: &[&str]) -> Self {
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
        let place = TestProject::new(&[]).with_cache(&cache);
        place.succeed(&[&["new", name], flags].concat());
        let project = place.within(name);
        let (own, registry_line) = (registry.host(), "registries.main = \"127.0.0.1:5000/");
        let line = registry_line.replace("127.0.0.1:5000", &own);
        project.edit("sparkpack.toml", registry_line, &line);
        project.edit("sparkpack.toml", "# formerly = ", "formerly = ");
        project.git(&["init", "--quiet", "--initial-branch", "main"]);
        let committed = Self { project, registry };
        committed.type_what_the_readme_says();
        committed
    }

    /// The commands by which the README prepares the CI.
    fn type_what_the_readme_says(&self) {
        let readme = self.project.read("README.md");
        let (_, section) = readme.split_once("\n## In CI\n").unwrap();
        let commands = section.lines().filter_map(|line| line.strip_prefix("    "));
        let commands: Vec<&str> = commands.collect();
        assert!(!commands.is_empty(), "{section}");
        let mut shell = Command::new("sh");
        shell
            .args(["-e", "-c", &commands.join("\n")])
            .current_dir(self.project.root())
            .env("PATH", path_with_this_binary())
            .env("HOME", self.project.home())
            .env("SPARKPACK_CACHE", self.project.cache())
            // A person types it, at a machine of their own.
            .env_remove("CI");
        for role in ["AUTHOR", "COMMITTER"] {
            shell.env(format!("GIT_{role}_NAME"), "ada");
            shell.env(format!("GIT_{role}_EMAIL"), "ada@localhost");
        }
        let typed = run(&mut shell);
        assert_eq!(typed.code, 0, "{}{}", typed.stdout, typed.stderr);
        let changed = self.project.git(&["status", "--porcelain"]);
        assert_eq!(changed, "", "all is committed");
    }

    /// The image that the committed manifest names.
    fn named(&self) -> String {
        let manifest = self.project.git(&["show", "HEAD:kubernetes/revenue.yml"]);
        let line = manifest.lines().find(|line| line.contains("image: "));
        line.unwrap().trim().replacen("image: ", "", 1)
    }

    /// What a CI keeps for its jobs: the host, the user and the password of the registry.
    fn kept(&self) -> BTreeMap<String, String> {
        let kept = [
            ("REGISTRY", self.registry.host()),
            ("REGISTRY_USER", USER.to_owned()),
            ("REGISTRY_PASSWORD", PASSWORD.to_owned()),
        ];
        let kept = kept.into_iter();
        kept.map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// The registry has the image that the committed manifest names, with the digest that the push printed.
    fn assert_pushed(&self, printed: &str) {
        let named = self.named();
        let mut pushed = printed.lines().filter_map(|line| line.split_once('@'));
        let Some((_, digest)) = pushed.find(|(reference, _)| *reference == named) else {
            panic!("{named} is not what was pushed: {printed}");
        };
        let image = format!("docker://{named}");
        let credentials = Chain::credentials();
        let inspect = ["inspect", "--tls-verify=false", "--creds", &credentials];
        let found = program(
            "skopeo",
            &[&inspect[..], &["--format", "{{.Digest}}", &image]].concat(),
        );
        assert_eq!(found.trim(), digest);
    }
}

/// A `PATH` on which `sparkpack` is the binary that is tested.
fn path_with_this_binary() -> String {
    let folder = Path::new(env!("CARGO_BIN_EXE_sparkpack")).parent().unwrap();
    path_without_rust(folder)
}

/// A machine of a CI, for one job.
struct Machine {
    place: TestProject,
}

impl Machine {
    fn for_a_job_of(committed: &Committed<'_>) -> Self {
        let project = &committed.project;
        let place = TestProject::new(&[]).with_cache(project.cache());
        // Of the last commit alone, and on no branch, as runners do it.
        let (from, to) = (format!("file://{}", project.root().display()), place.root());
        let paths = [&*from, to.to_str().unwrap()];
        program(
            "git",
            &[&["clone", "--quiet", "--depth", "1"][..], &paths].concat(),
        );
        place.git(&["checkout", "--quiet", "--detach"]);
        let venv = place.home().join("venv");
        program("python3", &["-m", "venv", venv.to_str().unwrap()]);
        Self { place }
    }

    /// Runs a step in the machine's clone.
    fn run(&self, shell: &[&str], step: &ShellStep) -> Run {
        let file = self.place.home().join("step.sh");
        fs_err::write(&file, &step.script).unwrap();
        let home = self.place.home();
        let pip_cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pip");
        let mut bash = Command::new("bash");
        bash.args(shell)
            .arg(&file)
            .current_dir(self.place.root())
            .env("PATH", path_without_rust(&home.join("venv/bin")))
            .env("HOME", &home)
            .env("CI", "true")
            .env("SPARKPACK_CACHE", self.place.cache())
            .env("PIP_CACHE_DIR", pip_cache)
            // Compiling what is imported once is not worth it.
            .env("PIP_NO_COMPILE", "1")
            .env("PIP_FIND_LINKS", wheels())
            .envs(&step.variables);
        for name in [
            "DOCKER_CONFIG",
            "DOCKER_AUTH_CONFIG",
            "REGISTRY_AUTH_FILE",
            "XDG_CONFIG_HOME",
            "XDG_RUNTIME_DIR",
            "PYTHONPATH",
            "SPARK_HOME",
            "VIRTUAL_ENV",
        ] {
            bash.env_remove(name);
        }
        run(&mut bash)
    }

    /// Runs a step that must succeed.
    fn succeed(&self, shell: &[&str], step: &ShellStep) -> Run {
        let run = self.run(shell, step);
        let shown = format!("{}\n{}{}", step.script, run.stdout, run.stderr);
        assert_eq!(run.code, 0, "{shown}");
        run
    }

    /// Commits code that the manifests know nothing of.
    fn change_the_code(&self, file: &str) {
        let text = self.place.read(file);
        self.place.write(file, &format!("{text}\n# changed\n"));
        self.place
            .git(&["commit", "--quiet", "--all", "--message", "changed"]);
    }
}

/// The step with the values of GitHub's expressions in their places.
fn filled(mut step: ShellStep, kept: &BTreeMap<String, String>) -> ShellStep {
    assert!(!step.script.contains("${{"), "{}", step.script);
    for value in step.variables.values_mut() {
        let inner = value
            .strip_prefix("${{")
            .and_then(|rest| rest.strip_suffix("}}"));
        if let Some(inner) = inner {
            let (_, name) = inner.trim().split_once('.').unwrap();
            kept[name].clone_into(value);
        }
    }
    step
}

/// The results of the project's own tests.
fn assert_tested(tested: &Run) {
    let summary = tested.stdout.lines().last().unwrap();
    assert!(summary.contains(" 6 passed"), "{}", tested.stdout);
}

/// One after the other, with one registry: what both projects stand on is pushed once, and the second adopts it.
#[test]
fn the_steps_of_each_ci_check_test_and_push_a_clone() {
    let registry = Registry::with_password(USER, PASSWORD);
    githubs_steps(&registry);
    gitlabs_steps(&registry);
    remove_images(&format!("{}/", registry.host()));
}

fn githubs_steps(registry: &Registry) {
    let committed = Committed::new(registry, "orders", &[]);
    let kept = committed.kept();
    let mut jobs = github_jobs(&committed.project.read(GITHUB));
    let (check, push) = (jobs.remove("check").unwrap(), jobs.remove("push").unwrap());
    assert!(jobs.is_empty(), "{jobs:?}");

    let machine = Machine::for_a_job_of(&committed);
    let runs = check.into_iter().map(|step| filled(step, &kept));
    let runs: Vec<Run> = runs
        .map(|step| machine.succeed(GITHUB_SHELL, &step))
        .collect();
    assert_tested(runs.last().unwrap());

    let machine = Machine::for_a_job_of(&committed);
    let runs = push.into_iter().map(|step| filled(step, &kept));
    let runs: Vec<Run> = runs
        .map(|step| machine.succeed(GITHUB_SHELL, &step))
        .collect();
    committed.assert_pushed(&runs.last().unwrap().stdout);
    assert_eq!(machine.place.git(&["status", "--porcelain"]), "");

    // A commit whose manifests were left as they were.
    machine.change_the_code("src/jobs/revenue.py");
    let jobs = github_jobs(&committed.project.read(GITHUB));
    let mut check = jobs["check"].iter();
    let check = check.find(|step| step.script.starts_with("sparkpack check"));
    let found = machine.run(GITHUB_SHELL, check.unwrap());
    assert_eq!(found.code, 1, "{}", found.stderr);
    assert!(
        found.stdout.starts_with("::error file=kubernetes/"),
        "{}",
        found.stdout
    );
}

fn gitlabs_steps(registry: &Registry) {
    let flags = ["--ci", "gitlab", "--layout", "package"];
    let committed = Committed::new(registry, "orders", &flags);
    let mut jobs = gitlab_jobs(&committed.project.read(GITLAB));
    let names: Vec<&str> = jobs.keys().map(String::as_str).collect();
    assert_eq!(names, ["check", "push", "tests"]);
    for step in jobs.values_mut() {
        step.variables.extend(committed.kept());
    }

    let machine = Machine::for_a_job_of(&committed);
    machine.succeed(GITLAB_SHELL, &jobs["check"]);
    let report = "gl-code-quality-report.json";
    assert_eq!(machine.place.read(report), "[]\n");
    machine.change_the_code("src/orders/jobs/revenue.py");
    let found = machine.run(GITLAB_SHELL, &jobs["check"]);
    assert_eq!(found.code, 1, "{}", found.stderr);
    let told = machine.place.read(report);
    assert!(
        told.contains("\"path\": \"kubernetes/revenue.yml\""),
        "{told}"
    );

    let tests = jobs.get_mut("tests").unwrap();
    assert!(tests.script.starts_with(JAVA), "{}", tests.script);
    tests.script = tests.script.replacen(JAVA, "", 1);
    let tested = Machine::for_a_job_of(&committed).succeed(GITLAB_SHELL, tests);
    assert_tested(&tested);

    let push = jobs.get_mut("push").unwrap();
    for name in SERVICE {
        assert!(push.variables.remove(name).is_some(), "{name}");
    }
    let machine = Machine::for_a_job_of(&committed);
    let pushed = machine.succeed(GITLAB_SHELL, push);
    committed.assert_pushed(&pushed.stdout);
    assert_eq!(machine.place.git(&["status", "--porcelain"]), "");
}
