//! The hooks of `.pre-commit-hooks.yaml`, run by the real pre-commit in real repositories.
//!
//! After every commit the index is as the user left it, unstaged work is back byte for byte, and the manifests in a
//! clone of the commit are right.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

use sparkpack::image::Digest;

use crate::support::{Run, TestProject, give_variables, program, run, small};

const ROOT: &str = "registry.example/root:1";
const ONE: &str = "src/jobs/one.py";
const MANIFEST: &str = "kubernetes/nightly.yml";
const COMMIT_HOOKS: [&str; 8] = [
    "-c",
    "user.name=ada",
    "-c",
    "user.email=ada@localhost",
    "commit",
    "--quiet",
    "--message",
    "hooks",
];
const BOTH: &str = "  - id: sparkpack-pin\n  - id: sparkpack-check\n";
const CHECK: &str = "  - id: sparkpack-check\n";

/// The small project in a git repository, with right manifests and everything that a hook needs around it.
struct Checkout {
    project: TestProject,
    /// The project's folder in the repository; empty for its top.
    place: &'static str,
}

/// A repository that contains only the hooks, its commit, and the folder in which pre-commit keeps its clone.
struct Hooks {
    repository: PathBuf,
    commit: String,
    pre_commit_home: PathBuf,
}

/// The hooks that all checkouts use: made once, and installed by pre-commit once, since both take longer than a test.
fn hooks() -> &'static Hooks {
    static HOOKS: LazyLock<Hooks> = LazyLock::new(|| {
        let name = ".pre-commit-hooks.yaml";
        let text = fs_err::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
        let parent = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let digest = Digest::of(&text);
        let folder = parent.join(format!("pre-commit-{}", digest.short(16)));
        if !folder.exists() {
            let made = tempfile::tempdir_in(parent).unwrap();
            let repository = made.path().join("hooks");
            fs_err::create_dir(&repository).unwrap();
            fs_err::write(repository.join(name), &text).unwrap();
            for arguments in [&["init", "--quiet"][..], &["add", name], &COMMIT_HOOKS] {
                let git = [&["-C", repository.to_str().unwrap()], arguments].concat();
                program("git", &git);
            }
            // Another process may have been faster.
            if fs_err::rename(made.path(), &folder).is_ok() {
                drop(made.keep());
            }
        }
        let repository = folder.join("hooks");
        let commit = ["-C", repository.to_str().unwrap(), "rev-parse", "HEAD"];
        Hooks {
            commit: program("git", &commit).trim().to_owned(),
            repository,
            pre_commit_home: folder.join("home"),
        }
    });
    &HOOKS
}

impl Checkout {
    /// The project at the top of a repository, with the fixer and the checker.
    fn new() -> Self {
        Self::with("", BOTH)
    }

    /// The project in a folder of a repository, with these hooks.
    fn with(place: &'static str, ours: &str) -> Self {
        let checkout = Self::without_hooks(place);
        configure(&checkout.top(), &Checkout::ours(ours));
        checkout.git(&["add", "--all"]);
        checkout.git(&["commit", "--quiet", "--message", "the project"]);
        checkout.install(&checkout.top());
        checkout
    }

    /// The same without a commit, and without a configuration of pre-commit.
    fn without_hooks(place: &'static str) -> Self {
        let project = small::project(ROOT, "registry.example")
            .with_variable("DOCKER_HOST", "unix:///nonexistent/docker.sock");
        project.write("sparkpack.lock", &small::lock(ROOT));
        project.write(ONE, &jobs(&[]));
        let manifest = project.read(MANIFEST);
        let long = format!(
            "{}# the end\r\n",
            "# a line that keeps hunks apart\r\n".repeat(12)
        );
        project.write(MANIFEST, &format!("{manifest}{long}"));
        project.write("notes.md", "no input of any image\n");
        project.write(".gitignore", "dist/\n");
        project.succeed(&["pin"]);
        if !place.is_empty() {
            let script = "cd \"$1\" && set -- \"$2\" $(ls -A) && mkdir -p \"$1\" && \
                          for name; do [ \"$name\" = \"$1\" ] || mv \"$name\" \"$1\"; done";
            let root = project.root();
            program("sh", &["-c", script, "sh", root.to_str().unwrap(), place]);
        }
        let checkout = Self { project, place };
        checkout.set_up();
        checkout
    }

    fn set_up(&self) {
        let home = self.project.home();
        let identity = "[user]\n\tname = ada\n\temail = ada@localhost\n[init]\n\tdefaultBranch = main\n[advice]\n\t\
                        detachedHead = false\n[protocol \"file\"]\n\tallow = always\n[core]\n\teditor = true\n";
        fs_err::write(home.join(".gitconfig"), identity).unwrap();
        let counted = format!(
            "#!/bin/sh\nprintf '%s\\n' \"$*\" >>'{}'\nexec '{}' \"$@\"\n",
            home.join("calls").display(),
            env!("CARGO_BIN_EXE_sparkpack")
        );
        script(&home.join("bin/sparkpack"), &counted);
        self.git(&["init", "--quiet"]);
    }

    fn top(&self) -> PathBuf {
        self.project.root()
    }

    /// A file of the project.
    fn file(&self, path: &str) -> PathBuf {
        self.top().join(self.place).join(path)
    }

    fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        fs_err::create_dir_all(self.file(path).parent().unwrap()).unwrap();
        fs_err::write(self.file(path), bytes).unwrap();
    }

    fn read(&self, path: &str) -> String {
        String::from_utf8(fs_err::read(self.file(path)).unwrap()).unwrap()
    }

    /// The part of pre-commit's configuration with sparkpack's hooks.
    fn ours(ours: &str) -> String {
        let Hooks {
            repository, commit, ..
        } = hooks();
        let repository = repository.display();
        format!("- repo: '{repository}'\n  rev: {commit}\n  hooks:\n{ours}")
    }

    fn install(&self, folder: &Path) {
        let kinds = ["pre-commit", "pre-merge-commit", "pre-push"];
        let kinds = kinds.iter().flat_map(|kind| ["--hook-type", kind]);
        let arguments: Vec<_> = ["install", "--install-hooks"]
            .into_iter()
            .chain(kinds)
            .collect();
        let run = run(&mut self.command(folder, "pre-commit", &arguments));
        assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    }

    /// A command in a folder, with a developer's environment.
    fn command(&self, folder: &Path, name: &str, arguments: &[&str]) -> Command {
        let home = self.project.home();
        let plain = self.project.command(&[]);
        let mut command = Command::new("env");
        // The tests themselves may have been started by a hook, with its variables.
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("GIT_") {
                command.env_remove(variable);
            }
        }
        give_variables(&plain, &mut command);
        let path = std::env::var("PATH").unwrap();
        let path = format!("{}:{path}", home.join("bin").display());
        command
            .arg(name)
            .args(arguments)
            .current_dir(folder)
            .env("PATH", path)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("PRE_COMMIT_HOME", &hooks().pre_commit_home)
            .env("PRE_COMMIT_COLOR", "never");
        command
    }

    /// Runs git, which must succeed.
    fn git(&self, arguments: &[&str]) -> String {
        self.git_in(&self.top(), arguments)
    }

    fn git_in(&self, folder: &Path, arguments: &[&str]) -> String {
        let run = run(&mut self.command(folder, "git", arguments));
        assert_eq!(
            run.code, 0,
            "git {arguments:?}\n{}{}",
            run.stdout, run.stderr
        );
        run.stdout
    }

    /// Runs sparkpack as a user would, outside of any hook.
    fn sparkpack(&self, arguments: &[&str]) -> Run {
        let folder = self.top().join(self.place);
        run(&mut self.command(&folder, env!("CARGO_BIN_EXE_sparkpack"), arguments))
    }

    fn pin(&self) {
        let run = self.sparkpack(&["pin"]);
        assert_eq!(run.code, 0, "{}", run.stderr);
    }

    /// `pre-commit run`, which must not change the index.
    fn hooks(&self, arguments: &[&str]) -> Run {
        let arguments = [&["run"], arguments].concat();
        let index = self.index(&self.top());
        let run = run(&mut self.command(&self.top(), "pre-commit", &arguments));
        assert_eq!(self.index(&self.top()), index, "the index is the user's");
        run
    }

    fn index(&self, folder: &Path) -> String {
        self.git_in(folder, &["ls-files", "--stage"])
    }

    /// The output of a git command that the hooks must stop.
    fn stopped(&self, arguments: &[&str]) -> String {
        self.stopped_in(&self.top(), arguments)
    }

    fn stopped_in(&self, folder: &Path, arguments: &[&str]) -> String {
        let before = (
            self.git_in(folder, &["rev-parse", "HEAD"]),
            self.index(folder),
        );
        let run = run(&mut self.command(folder, "git", arguments));
        let printed = format!("{}{}", run.stdout, run.stderr);
        assert_ne!(run.code, 0, "git {arguments:?} was not stopped\n{printed}");
        let after = (
            self.git_in(folder, &["rev-parse", "HEAD"]),
            self.index(folder),
        );
        assert_eq!(before, after, "{printed}");
        printed
    }

    /// A commit that the hooks must accept, and whose clone must be right.
    fn commits(&self, arguments: &[&str]) -> String {
        self.commits_in(&self.top(), arguments)
    }

    fn commits_in(&self, folder: &Path, arguments: &[&str]) -> String {
        let arguments = [&["commit", "--message", "x"], arguments].concat();
        let run = run(&mut self.command(folder, "git", &arguments));
        let printed = format!("{}{}", run.stdout, run.stderr);
        assert_eq!(run.code, 0, "{printed}");
        self.is_right(folder);
        printed
    }

    /// In a clone of a folder's commit, sparkpack must find nothing to do.
    fn is_right(&self, folder: &Path) {
        let check = self.check_of_clone(folder);
        assert_eq!(check.code, 0, "{}{}", check.stdout, check.stderr);
    }

    fn check_of_clone(&self, folder: &Path) -> Run {
        let clone = tempfile::tempdir().unwrap();
        let (from, to) = (folder.to_str().unwrap(), clone.path().to_str().unwrap());
        let options = ["clone", "--quiet", "--recurse-submodules", from, to];
        self.git_in(folder, &options);
        let project = clone.path().join(self.place);
        let mut command = self.command(&project, env!("CARGO_BIN_EXE_sparkpack"), &["check"]);
        run(command.env("SPARKPACK_CACHE", clone.path().join(".git/cache")))
    }

    /// The arguments of the runs of sparkpack since the last call.
    fn calls(&self) -> Vec<String> {
        let file = self.project.home().join("calls");
        let text = fs_err::read_to_string(&file).unwrap_or_default();
        fs_err::write(&file, "").unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// The tags in the manifest.
    fn tags(&self) -> Vec<String> {
        tags(&self.read(MANIFEST))
    }

    /// Switches `core.fileMode` off, with a script that is executable only in the index.
    fn distrust_modes(&self, folder: &Path) {
        self.git_in(folder, &["config", "core.fileMode", "false"]);
        let mode = "src/jobs/run.sh";
        let file = folder.join(self.place).join(mode);
        fs_err::write(&file, "#!/bin/sh\n").unwrap();
        fs_err::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        let path = Path::new(self.place).join(mode);
        let path = path.to_str().unwrap();
        self.git_in(folder, &["add", path]);
        self.git_in(folder, &["update-index", "--chmod=+x", path]);
    }
}

/// Writes pre-commit's configuration.
fn configure(folder: &Path, repositories: &str) {
    let text = format!("repos:\n{repositories}");
    fs_err::write(folder.join(".pre-commit-config.yaml"), text).unwrap();
}

/// The source of a job: lines at the top and at the end, far enough apart for two hunks.
fn jobs(changes: &[(&str, &str)]) -> String {
    let middle = "# a line that keeps hunks apart\n".repeat(12);
    let text = format!("FIRST = 1\n{middle}LAST = 1\n");
    changes
        .iter()
        .fold(text, |text, (old, new)| text.replace(old, new))
}

fn script(file: &Path, text: &str) {
    fs_err::create_dir_all(file.parent().unwrap()).unwrap();
    fs_err::write(file, text).unwrap();
    fs_err::set_permissions(file, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn tags(manifest: &str) -> Vec<String> {
    let images = manifest
        .lines()
        .filter(|line| line.contains("registry.example/small/"));
    let tags = images.map(|line| {
        let (_, after) = line.rsplit_once(':').unwrap();
        after.chars().take_while(char::is_ascii_hexdigit).collect()
    });
    tags.collect()
}

#[test]
fn pre_commit_accepts_the_manifest_of_the_hooks() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(".pre-commit-hooks.yaml");
    program(
        "pre-commit",
        &["validate-manifest".as_ref(), file.as_os_str()],
    );
    let text = fs_err::read_to_string(file).unwrap();
    let hooks: Vec<&str> = text.split("\n- id: ").skip(1).collect();
    let names: Vec<_> = hooks
        .iter()
        .map(|hook| hook.lines().next().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "sparkpack-pin",
            "sparkpack-check",
            "sparkpack-pin-from-source",
            "sparkpack-check-from-source"
        ]
    );
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/pre-commit.md");
    let manual = fs_err::read_to_string(manual).unwrap();
    assert!(
        names
            .iter()
            .all(|name| manual.contains(&format!("`{name}`")))
    );
    let shown = manual.split("- id: ").skip(1);
    let mut shown = shown.map(|after| after.lines().next().unwrap());
    assert!(shown.all(|name| names.contains(&name)));
    // The two hooks that are compiled differ from the two that are installed in nothing else.
    let rest = |hook: &str| {
        let lines = hook.lines().skip(1);
        let same = |line: &&str| !line.starts_with("  description:") && !line.is_empty();
        lines.filter(same).collect::<Vec<_>>().join("\n")
    };
    for (installed, compiled) in [(hooks[0], hooks[2]), (hooks[1], hooks[3])] {
        let wanted = rest(installed).replace("language: system", "language: rust");
        assert_eq!(rest(compiled), wanted);
        assert_ne!(rest(compiled), rest(installed));
    }
}

#[test]
fn all_files_that_are_right_pass_in_silence() {
    let checkout = Checkout::new();
    checkout.calls();
    let before = checkout.project.files();
    let run = checkout.hooks(&["--all-files"]);
    assert_eq!(run.code, 0, "{}", run.stdout);
    assert_eq!(run.stdout.lines().count(), 2, "{}", run.stdout);
    assert_eq!(
        checkout.calls(),
        ["pin --exit-code --strict", "check --strict"]
    );
    assert!(checkout.project.files() == before);
    for arguments in [&["pin", "--exit-code"][..], &["check"]] {
        let run = checkout.sparkpack(arguments);
        assert_eq!(
            (run.code, run.stdout, run.stderr),
            (0, String::new(), String::new())
        );
    }
}

/// The hook as the README has it, pasted.
#[test]
fn the_readmes_snippet_works_as_it_is() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs_err::read_to_string(readme).unwrap();
    let snippet = readme
        .split("```yaml\n")
        .find(|text| text.starts_with("repos:"))
        .unwrap();
    let snippet = snippet.split("```").next().unwrap();
    let checkout = Checkout::without_hooks("");
    checkout.write(".pre-commit-config.yaml", snippet);
    checkout.git(&["add", "--all"]);
    checkout.git(&["commit", "--quiet", "--message", "the project"]);
    checkout.install(&checkout.top());
    checkout.calls();
    checkout.write(ONE, jobs(&[("FIRST = 1", "FIRST = 2")]));
    checkout.git(&["add", ONE]);
    let old = checkout.tags();
    let run = checkout.hooks(&[]);
    assert_eq!(run.code, 1, "{}", run.stdout);
    assert_eq!(checkout.calls(), ["pin --exit-code --strict"]);
    checkout.pin();
    assert_ne!(checkout.tags(), old);
    checkout.git(&["add", "--update"]);
    let run = checkout.hooks(&[]);
    assert_eq!(run.code, 0, "{}", run.stdout);
}

#[test]
fn all_files_are_fixed_once() {
    let checkout = Checkout::new();
    checkout.write(ONE, jobs(&[("FIRST = 1", "FIRST = 2")]));
    let unstaged = checkout.hooks(&["--all-files"]);
    assert!(
        unstaged.stdout.contains("src/jobs/one.py (changed)"),
        "{}",
        unstaged.stdout
    );
    checkout.git(&["add", ONE]);
    let old = checkout.tags();
    let run = checkout.hooks(&["--all-files"]);
    assert_eq!(run.code, 1, "{}", run.stdout);
    assert!(
        run.stdout.contains("- files were modified by this hook"),
        "{}",
        run.stdout
    );
    assert!(
        run.stdout.contains(&format!("{MANIFEST}:6:")),
        "{}",
        run.stdout
    );
    assert!(
        run.stdout.contains(
            "sparkpack check..........................................................Passed"
        ),
        "{}",
        run.stdout
    );
    let new = checkout.tags();
    assert_ne!(old, new);
    assert_eq!(old[2], new[2], "the other image's tag stays");
    assert_eq!(checkout.hooks(&["--all-files"]).code, 0);
    assert_eq!(checkout.tags(), new);
}

#[test]
fn a_commit_is_stopped_fixed_staged_and_passes() {
    let checkout = Checkout::new();
    checkout.write(ONE, jobs(&[("FIRST = 1", "FIRST = 2")]));
    checkout.git(&["add", ONE]);
    let old = checkout.tags();
    let printed = checkout.stopped(&["commit", "--message", "x"]);
    assert!(printed.contains(&format!("{MANIFEST}:6:")), "{printed}");
    assert_ne!(checkout.tags(), old, "the fix is there, to be staged");
    let diff = checkout.git(&["diff", "--name-only"]);
    assert_eq!(diff, format!("{MANIFEST}\n"));
    checkout.git(&["add", MANIFEST]);
    checkout.commits(&[]);
    assert_eq!(checkout.git(&["status", "--porcelain"]), "");
}

#[test]
fn a_fix_that_is_not_staged_stops_the_commit_again() {
    let checkout = Checkout::new();
    checkout.write(ONE, jobs(&[("FIRST = 1", "FIRST = 2")]));
    checkout.git(&["add", ONE]);
    checkout.stopped(&["commit", "--message", "x"]);
    let fixed = checkout.read(MANIFEST);
    checkout.stopped(&["commit", "--message", "x"]);
    assert_eq!(checkout.read(MANIFEST), fixed);
    checkout.git(&["add", MANIFEST]);
    checkout.commits(&[]);
}

#[test]
fn the_checker_alone_stops_a_commit_and_changes_nothing() {
    let checkout = Checkout::with("", CHECK);
    checkout.write(ONE, jobs(&[("FIRST = 1", "FIRST = 2")]));
    checkout.git(&["add", ONE]);
    let before = checkout.project.files();
    let printed = checkout.stopped(&["commit", "--message", "x"]);
    assert!(printed.contains("- exit code: 1"), "{printed}");
    assert!(!printed.contains("files were modified"), "{printed}");
    let tag = &checkout.tags()[0];
    let removed = format!("\n-  image: &image \"registry.example/small/job:{tag}\"");
    assert!(printed.contains(&removed), "{printed}");
    let is_tree = |(path, _): &(String, Vec<u8>)| !path.starts_with(".git/");
    let tree = |files: Vec<_>| files.into_iter().filter(is_tree).collect::<Vec<_>>();
    assert!(tree(checkout.project.files()) == tree(before));
    checkout.pin();
    checkout.git(&["add", MANIFEST]);
    checkout.commits(&[]);
}

/// A file of the project, and an edit of it.
type Edit<'a> = (&'a str, &'a dyn Fn(&Path));

#[test]
fn whatever_is_committed_runs_the_hooks() {
    let checkout = Checkout::new();
    checkout.write("src/jobs/two.py", "VALUE = 2\n");
    std::os::unix::fs::symlink("one.py", checkout.file("src/jobs/link.py")).unwrap();
    checkout.pin();
    checkout.git(&["add", "--all"]);
    checkout.commits(&[]);
    let edits: [Edit<'_>; 5] = [
        ("src/jobs/two.py", &|file| {
            fs_err::remove_file(file).unwrap()
        }),
        ("src/jobs/link.py", &|file| {
            fs_err::remove_file(file).unwrap();
            std::os::unix::fs::symlink("__init__.py", file).unwrap();
        }),
        ("src/jobs/one.py", &|file| {
            let mode = std::fs::Permissions::from_mode(0o755);
            fs_err::set_permissions(file, mode).unwrap();
        }),
        ("docker/ds/Dockerfile", &|file| {
            let text = fs_err::read_to_string(file).unwrap();
            fs_err::write(file, format!("{text}ENV MORE=1\n")).unwrap();
        }),
        ("sparkpack.lock", &|file| {
            let text = fs_err::read_to_string(file).unwrap();
            fs_err::write(file, text.replace("sha256:0", "sha256:1")).unwrap();
        }),
    ];
    for (path, edit) in edits {
        edit(&checkout.file(path));
        checkout.git(&["add", "--all"]);
        assert_eq!(
            checkout.git(&["diff", "--staged", "--name-only"]),
            format!("{path}\n")
        );
        checkout.calls();
        checkout.stopped(&["commit", "--message", "x"]);
        assert_eq!(
            checkout.calls(),
            ["pin --exit-code --strict", "check --strict"],
            "{path}"
        );
        checkout.git(&["add", "--all"]);
        checkout.commits(&[]);
    }
    checkout.write("notes.md", "still no input\n");
    checkout.git(&["add", "--all"]);
    checkout.calls();
    checkout.commits(&[]);
    assert_eq!(
        checkout.calls(),
        ["pin --exit-code --strict", "check --strict"]
    );
}

#[test]
fn with_some_hunks_staged_the_tag_is_that_of_the_commit() {
    let checkout = Checkout::new();
    checkout.write(ONE, jobs(&[("FIRST = 1", "FIRST = 2")]));
    checkout.git(&["add", ONE]);
    // Not staged: another hunk of the file, other inputs, a deletion, and bytes that are easily lost.
    let unstaged = jobs(&[
        ("FIRST = 1", "FIRST = 2"),
        ("LAST = 1", "LAST = 2  \r\n\r\n\t"),
    ]);
    checkout.write(ONE, &unstaged);
    checkout.write(
        "docker/ds/ds.txt",
        b"not \xff UTF-8\0\r\nand no end of a line",
    );
    checkout.write("docker/side/side.txt", "");
    fs_err::remove_file(checkout.file("notes.md")).unwrap();
    let work = || {
        let tree = checkout.project.files().into_iter();
        let tree = tree.filter(|(path, _)| !path.starts_with(".git/") && path != MANIFEST);
        tree.collect::<Vec<_>>()
    };
    let before = work();
    let of_all = checkout.sparkpack(&["tags", "job"]).stdout;
    checkout.stopped(&["commit", "--message", "x"]);
    assert!(work() == before, "unstaged work must come back");
    checkout.git(&["add", MANIFEST]);
    checkout.commits(&[]);
    assert!(work() == before, "unstaged work must come back");
    assert!(!of_all.contains(&checkout.tags()[0]));
    // Committing the rest gives a new tag.
    checkout.git(&["add", "--all"]);
    checkout.stopped(&["commit", "--message", "x"]);
    assert!(of_all.contains(&checkout.tags()[0]));
    checkout.git(&["add", "--all"]);
    checkout.commits(&[]);
}

#[test]
fn a_manifest_with_some_hunks_staged_keeps_the_others() {
    let checkout = Checkout::new();
    checkout.write(ONE, jobs(&[("FIRST = 1", "FIRST = 2")]));
    let staged = checkout
        .read(MANIFEST)
        .replace("app: nightly", "app: staged");
    checkout.write(MANIFEST, &staged);
    checkout.git(&["add", "--all"]);
    let unstaged = staged.replace("# the end\r\n", "# not yet  \r\n# the end");
    checkout.write(MANIFEST, &unstaged);
    checkout.stopped(&["commit", "--message", "x"]);
    let fixed = checkout.read(MANIFEST);
    let [old, new] = [tags(&unstaged), tags(&fixed)].map(|tags| tags[0].clone());
    assert_eq!(
        fixed,
        unstaged.replace(&old, &new),
        "but for the tag all is as it was"
    );
    // Only the tag is staged.
    let wanted = staged.replace(&old, &new);
    checkout.write(MANIFEST, &wanted);
    checkout.git(&["add", MANIFEST]);
    checkout.write(MANIFEST, &fixed);
    checkout.commits(&[]);
    assert_eq!(checkout.read(MANIFEST), fixed);
    assert_eq!(checkout.git(&["show", &format!("HEAD:{MANIFEST}")]), wanted);
}

#[test]
fn an_unstaged_edit_beside_the_tag_is_not_lost_to_the_fix() {
    let checkout = Checkout::new();
    checkout.write(ONE, jobs(&[("FIRST = 1", "FIRST = 2")]));
    checkout.git(&["add", "--all"]);
    let unstaged = checkout
        .read(MANIFEST)
        .replace("# rewritten by sparkpack", "# mine");
    checkout.write(MANIFEST, &unstaged);
    // pre-commit rolls the fix back if it conflicts with unstaged changes.
    let printed = checkout.stopped(&["commit", "--message", "x"]);
    assert!(printed.contains("Rolling back fixes"), "{printed}");
    assert_eq!(checkout.read(MANIFEST), unstaged);
    checkout.pin();
    checkout.git(&["add", "--all"]);
    checkout.commits(&[]);
    assert!(checkout.read(MANIFEST).contains("# mine"));
}

#[test]
fn a_merge_that_git_makes_alone_is_checked() {
    let checkout = Checkout::new();
    // One branch changes the tag; the other names the old tag in a file of its own.
    checkout.git(&["switch", "--quiet", "--create", "other"]);
    let manifest = checkout.read(MANIFEST);
    checkout.write(
        "kubernetes/weekly.yml",
        manifest.replace("nightly", "weekly"),
    );
    checkout.git(&["add", "--all"]);
    checkout.commits(&[]);
    checkout.git(&["switch", "--quiet", "main"]);
    checkout.write(ONE, jobs(&[("FIRST = 1", "FIRST = 2")]));
    checkout.pin();
    checkout.git(&["add", "--all"]);
    checkout.commits(&[]);
    checkout.calls();
    let merge =
        run(&mut checkout.command(&checkout.top(), "git", &["merge", "--no-edit", "other"]));
    assert_ne!(merge.code, 0, "{}{}", merge.stdout, merge.stderr);
    assert_eq!(
        checkout.calls(),
        ["pin --exit-code --strict", "check --strict"]
    );
    assert_eq!(
        tags(&checkout.read("kubernetes/weekly.yml")),
        checkout.tags()
    );
    checkout.git(&["add", "--all"]);
    checkout.commits(&[]);
    assert!(
        !checkout
            .git(&["show", "--no-patch", "--format=%P"])
            .trim()
            .split_once(' ')
            .unwrap()
            .1
            .is_empty()
    );
    // A merge without a conflict or a wrong tag needs no help.
    checkout.git(&["switch", "--quiet", "--create", "third", "HEAD~1"]);
    checkout.write("notes.md", "third\n");
    checkout.git(&["commit", "--quiet", "--all", "--message", "third"]);
    checkout.calls();
    checkout.git(&["merge", "--quiet", "--no-edit", "main"]);
    assert_eq!(
        checkout.calls(),
        ["pin --exit-code --strict", "check --strict"]
    );
    checkout.is_right(&checkout.top());
}

/// Two branches that change different sources, and so disagree about the tag. The first one is checked out.
fn with_two_tags() -> Checkout {
    let checkout = Checkout::new();
    for (branch, path) in [("other", "src/jobs/two.py"), ("main", "src/jobs/three.py")] {
        if branch == "other" {
            checkout.git(&["switch", "--quiet", "--create", branch]);
        } else {
            checkout.git(&["switch", "--quiet", branch]);
        }
        checkout.write(path, "VALUE = 1\n");
        checkout.pin();
        checkout.git(&["add", "--all"]);
        checkout.commits(&[]);
    }
    checkout
}

#[test]
fn a_merge_with_a_conflict_over_the_tag_ends_with_the_tag_of_both() {
    let checkout = with_two_tags();
    let merge = run(&mut checkout.command(&checkout.top(), "git", &["merge", "other"]));
    assert!(
        merge
            .stdout
            .contains(&format!("Merge conflict in {MANIFEST}")),
        "{}",
        merge.stdout
    );
    // Either side will do: sparkpack computes the tag of the merged sources.
    checkout.git(&["checkout", "--quiet", "--theirs", MANIFEST]);
    checkout.git(&["add", MANIFEST]);
    checkout.stopped(&["commit", "--no-edit"]);
    checkout.git(&["add", MANIFEST]);
    checkout.commits(&[]);
    assert_eq!(
        checkout
            .git(&["show", "--no-patch", "--format=%P"])
            .split(' ')
            .count(),
        2
    );
}

#[test]
fn markers_of_a_conflict_are_told_and_kept() {
    let checkout = with_two_tags();
    run(&mut checkout.command(&checkout.top(), "git", &["merge", "other"]));
    let text = checkout.read(MANIFEST);
    assert!(text.contains("<<<<<<< HEAD"), "{text}");
    checkout.git(&["add", "--all"]);
    let printed = checkout.stopped(&["commit", "--no-edit"]);
    assert!(
        printed.contains("ZZZ") || printed.contains(&format!("]: {MANIFEST}:")),
        "{printed}"
    );
    assert!(printed.contains("- exit code: 2"), "{printed}");
    assert_eq!(checkout.read(MANIFEST), text);
}

#[test]
fn what_a_rebase_lets_through_stops_before_the_push() {
    let checkout = with_two_tags();
    let remote = checkout.project.home().join("remote.git");
    let address = remote.to_str().unwrap();
    checkout.git(&["init", "--quiet", "--bare", address]);
    checkout.git(&["remote", "add", "origin", address]);
    checkout.git(&["push", "--quiet", "origin", "main"]);
    checkout.git(&["switch", "--quiet", "other"]);
    let rebase = run(&mut checkout.command(&checkout.top(), "git", &["rebase", "main"]));
    assert_ne!(rebase.code, 0, "{}{}", rebase.stdout, rebase.stderr);
    checkout.git(&["checkout", "--quiet", "--ours", MANIFEST]);
    checkout.git(&["add", MANIFEST]);
    checkout.calls();
    checkout.git(&["rebase", "--continue"]);
    assert_eq!(
        checkout.calls(),
        [""; 0],
        "git runs no hook of a commit here"
    );
    let push = ["push", "--quiet", "origin", "other"];
    checkout.stopped(&push);
    assert_eq!(checkout.calls(), ["check --strict"]);
    let branches = checkout.git_in(&remote, &["for-each-ref", "--format=%(refname:short)"]);
    assert_eq!(branches, "main\n");
    checkout.pin();
    checkout.git(&["add", "--all"]);
    checkout.commits(&[]);
    checkout.git(&push);
}

/// A commit of a changed source: it is stopped, fixed and accepted, in a folder that contains the project.
fn one_round(checkout: &Checkout, folder: &Path, project: &str) {
    let path = |path: &str| folder.join(project).join(path);
    let file = path(ONE);
    let text = fs_err::read_to_string(&file).unwrap();
    fs_err::write(&file, format!("{text}MORE = 1\n")).unwrap();
    checkout.git_in(folder, &["add", "--all"]);
    let old = fs_err::read_to_string(path(MANIFEST)).unwrap();
    checkout.calls();
    let printed = checkout.stopped_in(folder, &["commit", "--message", "x"]);
    assert_eq!(checkout.calls().len(), 2, "{printed}");
    assert_ne!(
        tags(&fs_err::read_to_string(path(MANIFEST)).unwrap()),
        tags(&old),
        "{printed}"
    );
    checkout.git_in(folder, &["add", "--all"]);
    checkout.commits_in(folder, &[]);
}

#[test]
fn a_linked_worktree_is_fixed_and_no_other() {
    let checkout = Checkout::new();
    checkout.distrust_modes(&checkout.top());
    checkout.pin();
    checkout.git(&["add", MANIFEST]);
    checkout.commits(&[]);
    let linked = checkout.project.home().join("linked ü");
    checkout.git(&[
        "worktree",
        "add",
        "--quiet",
        "-b",
        "linked",
        linked.to_str().unwrap(),
    ]);
    let before = (checkout.read(MANIFEST), checkout.index(&checkout.top()));
    one_round(&checkout, &linked, "");
    // Only this work tree's index has the executable bit.
    let mode =
        |sign: char| checkout.git_in(&linked, &["update-index", &format!("--chmod={sign}x"), ONE]);
    mode('+');
    checkout.stopped_in(&linked, &["commit", "--message", "x"]);
    checkout.git_in(&linked, &["add", MANIFEST]);
    checkout.commits_in(&linked, &[]);
    mode('-');
    checkout.stopped_in(&linked, &["commit", "--all", "--message", "x"]);
    checkout.commits_in(&linked, &["--all"]);
    assert_eq!(
        before,
        (checkout.read(MANIFEST), checkout.index(&checkout.top()))
    );
}

/// A repository that has the checkout as its submodule `orders`; both have hooks.
fn with_submodule(checkout: &Checkout) -> (PathBuf, PathBuf) {
    let above = checkout.project.home().join("above");
    checkout.git_in(
        checkout.project.home().as_path(),
        &["init", "--quiet", above.to_str().unwrap()],
    );
    let from = checkout.top();
    checkout.git_in(
        &above,
        &[
            "submodule",
            "--quiet",
            "add",
            from.to_str().unwrap(),
            "orders",
        ],
    );
    let with_arguments = BOTH.replace('\n', "\n    args: [-C, orders]\n");
    configure(&above, &Checkout::ours(&with_arguments));
    checkout.git_in(&above, &["add", "--all"]);
    checkout.git_in(&above, &["commit", "--quiet", "--message", "above"]);
    checkout.install(&above);
    let orders = above.join("orders");
    checkout.install(&orders);
    (above, orders)
}

#[test]
fn a_commit_inside_a_submodule_is_fixed() {
    let checkout = Checkout::new();
    let (above, orders) = with_submodule(&checkout);
    one_round(&checkout, &orders, "");
    checkout.distrust_modes(&orders);
    checkout.stopped_in(&orders, &["commit", "--message", "x"]);
    checkout.git_in(&orders, &["add", MANIFEST]);
    checkout.commits_in(&orders, &[]);
    assert_eq!(
        checkout.git_in(&above, &["diff", "--name-only"]),
        "orders\n"
    );
}

#[test]
fn a_commit_above_a_submodule_asks_the_submodules_own_index() {
    let checkout = Checkout::new();
    let (above, orders) = with_submodule(&checkout);
    checkout.distrust_modes(&orders);
    checkout.stopped_in(&orders, &["commit", "--message", "x"]);
    checkout.git_in(&orders, &["add", MANIFEST]);
    checkout.commits_in(&orders, &[]);
    for arguments in [
        &["commit", "--message", "x"][..],
        &["commit", "--all", "--message", "x"],
    ] {
        fs_err::write(above.join("readme"), arguments.join(" ")).unwrap();
        checkout.git_in(&above, &["add", "--all"]);
        checkout.calls();
        let run = run(&mut checkout.command(&above, "git", arguments));
        assert_eq!(run.code, 0, "{arguments:?}\n{}{}", run.stdout, run.stderr);
        assert_eq!(
            checkout.calls(),
            [
                "pin --exit-code --strict -C orders",
                "check --strict -C orders"
            ]
        );
    }
}

#[test]
fn a_project_in_a_folder_is_named_by_arguments() {
    let place = "services/orders ü";
    let folder = format!("    args: [-C, {place}]\n");
    let hooks = format!("  - id: sparkpack-pin\n{folder}  - id: sparkpack-check\n{folder}");
    let checkout = Checkout::with(place, &hooks);
    one_round(&checkout, &checkout.top(), place);
    assert_eq!(
        checkout.calls(),
        [
            format!("pin --exit-code --strict -C {place}"),
            format!("check --strict -C {place}")
        ]
    );
    checkout.distrust_modes(&checkout.top());
    checkout.stopped(&["commit", "--all", "--message", "x"]);
    checkout.commits(&["--all"]);
}

#[test]
fn a_folder_without_a_project_is_told() {
    let hooks = BOTH.replace('\n', "\n    args: [-C, elsewhere]\n");
    let checkout = Checkout::with("", &hooks);
    let printed = checkout.stopped(&["commit", "--allow-empty", "--message", "x"]);
    assert!(
        printed.contains("error[E010]: no sparkpack.toml in elsewhere"),
        "{printed}"
    );
    assert!(printed.contains("- exit code: 2"), "{printed}");
}

#[test]
fn hundreds_of_files_are_one_run_each() {
    let checkout = Checkout::new();
    // Hooks that get the files in parallel batches run before and after sparkpack's.
    let batches = checkout.project.home().join("batches");
    let counting = format!(
        "- repo: local\n  hooks:\n  - id: count\n    name: count\n    language: system\n    entry: sh -c 'echo $# >>{}'\n",
        batches.display()
    );
    let repositories = format!("{counting}{}{counting}", Checkout::ours(BOTH));
    configure(&checkout.top(), &repositories);
    for number in 0..400 {
        let name = "long".repeat(20);
        checkout.write(
            &format!("src/jobs/{name}/module_{number}.py"),
            format!("VALUE = {number}\n"),
        );
    }
    checkout.git(&["add", "--all"]);
    checkout.calls();
    checkout.stopped(&["commit", "--message", "x"]);
    assert_eq!(
        checkout.calls(),
        ["pin --exit-code --strict", "check --strict"]
    );
    let seen = fs_err::read_to_string(&batches).unwrap();
    let seen: usize = seen
        .lines()
        .map(|line| line.parse::<usize>().unwrap() + 1)
        .sum();
    assert!(seen > 800, "{seen}");
    checkout.git(&["add", "--all"]);
    checkout.commits(&[]);
    assert_eq!(checkout.hooks(&["--all-files"]).code, 0);
    assert_eq!(
        checkout.calls(),
        ["pin --exit-code --strict", "check --strict"].repeat(2)
    );
}

#[test]
fn bits_come_from_the_index_that_is_committed() {
    let checkout = Checkout::new();
    checkout.write("src/jobs/run.sh", "#!/bin/sh\n");
    checkout.pin();
    checkout.git(&["add", "--all"]);
    checkout.commits(&[]);
    checkout.distrust_modes(&checkout.top());
    // The executable bit is staged, but is no part of this commit: `--only` uses a temporary index.
    checkout.write(ONE, jobs(&[("FIRST = 1", "FIRST = 2")]));
    let with_bit = checkout.sparkpack(&["tags", "job"]).stdout;
    let only = ["commit", "--message", "x", "--only", ONE];
    checkout.stopped(&only);
    assert!(!with_bit.contains(&checkout.tags()[0]));
    checkout.commits(&["--only", ONE, MANIFEST]);
    assert!(
        checkout
            .git(&["status", "--porcelain"])
            .starts_with("M  src/jobs/run.sh")
    );
    // Now it is a part of the commit. `--all` uses a temporary index as well.
    checkout.stopped(&["commit", "--all", "--message", "x"]);
    assert!(with_bit.contains(&checkout.tags()[0]));
    checkout.commits(&["--all"]);
    assert!(
        checkout
            .git(&["ls-tree", "HEAD", "src/jobs/run.sh"])
            .starts_with("100755")
    );
}

#[test]
fn commits_of_all_and_of_some_files_have_an_index_of_their_own() {
    let checkout = Checkout::new();
    checkout.write(ONE, jobs(&[("FIRST = 1", "FIRST = 2")]));
    checkout.write("docker/side/side.txt", "other\n");
    checkout.git(&["add", "docker/side/side.txt"]);
    checkout.stopped(&["commit", "--message", "x", "--only", ONE]);
    let of_job = checkout.tags();
    checkout.commits(&["--only", ONE, MANIFEST]);
    checkout.stopped(&["commit", "--message", "x", "--all"]);
    assert_eq!(of_job[0], checkout.tags()[0]);
    assert_ne!(of_job[2], checkout.tags()[2]);
    checkout.commits(&["--all"]);
}

/// The folder in which a hook runs, the project's path for it, and the variables that git sets.
type Case<'a> = (&'a Path, &'a str, &'a [(&'a str, &'a str)]);

#[test]
fn whatever_git_says_of_itself_the_bits_are_those_of_the_project() {
    let checkout = Checkout::without_hooks("services/orders");
    checkout.distrust_modes(&checkout.top());
    checkout.git(&["add", "--all"]);
    checkout.git(&[
        "update-index",
        "--chmod=+x",
        "services/orders/src/jobs/run.sh",
    ]);
    checkout.git(&["commit", "--quiet", "--message", "x"]);
    let top = checkout.top();
    let home = checkout.project.home();
    let linked = home.join("linked");
    checkout.git(&[
        "worktree",
        "add",
        "--quiet",
        "-b",
        "linked",
        linked.to_str().unwrap(),
    ]);
    let linked_git = checkout.git_in(&linked, &["rev-parse", "--git-dir"]);
    let linked_git = linked_git.trim();
    let (_, orders) = with_other_repository(&checkout);
    let absolute = top.join(".git");
    let absolute = absolute.to_str().unwrap();
    let index = format!("{absolute}/index");
    let foreign = home.join("other/.git");
    let foreign = foreign.to_str().unwrap();
    let foreign_index = format!("{foreign}/index");
    let project = top.join("services/orders");
    let wanted = checkout.sparkpack(&["tags", "job"]).stdout;
    fs_err::set_permissions(
        project.join("src/jobs/run.sh"),
        std::fs::Permissions::from_mode(0o755),
    )
    .unwrap();
    checkout.git(&["config", "core.fileMode", "true"]);
    assert_eq!(
        checkout.sparkpack(&["tags", "job"]).stdout,
        wanted,
        "as a clone has it"
    );
    checkout.git(&["config", "core.fileMode", "false"]);
    fs_err::set_permissions(
        project.join("src/jobs/run.sh"),
        std::fs::Permissions::from_mode(0o644),
    )
    .unwrap();
    let cases: [Case<'_>; 13] = [
        (&top, "services/orders", &[]),
        (&top, "services/orders", &[("GIT_INDEX_FILE", ".git/index")]),
        (&top, "services/orders", &[("GIT_INDEX_FILE", &index)]),
        (&top, "services/orders", &[("GIT_DIR", ".git")]),
        (
            &top,
            "services/orders",
            &[
                ("GIT_DIR", ".git"),
                ("GIT_WORK_TREE", "."),
                ("GIT_INDEX_FILE", ".git/index"),
            ],
        ),
        (
            &top,
            "services/orders",
            &[
                ("GIT_DIR", absolute),
                ("GIT_INDEX_FILE", &index),
                ("GIT_PREFIX", "services/"),
            ],
        ),
        (&top, "services/orders", &[("GIT_LITERAL_PATHSPECS", "1")]),
        // A hook that has changed into the project's folder.
        (&project, ".", &[("GIT_DIR", absolute)]),
        (&project, ".", &[("GIT_INDEX_FILE", ".git/index")]),
        (&linked, "services/orders", &[("GIT_DIR", linked_git)]),
        // A hook of another repository, which works on this one.
        (
            &home.join("other"),
            project.to_str().unwrap(),
            &[("GIT_INDEX_FILE", ".git/index")],
        ),
        (
            &home.join("other"),
            project.to_str().unwrap(),
            &[("GIT_DIR", foreign), ("GIT_INDEX_FILE", &foreign_index)],
        ),
        (
            &home.join("other"),
            orders.to_str().unwrap(),
            &[("GIT_INDEX_FILE", &foreign_index)],
        ),
    ];
    for (folder, project, variables) in cases {
        let arguments = ["-C", project, "tags", "job"];
        let mut command = checkout.command(folder, env!("CARGO_BIN_EXE_sparkpack"), &arguments);
        command.envs(variables.iter().copied());
        let run = run(&mut command);
        assert_eq!(
            (run.code, &run.stdout),
            (0, &wanted),
            "{folder:?} {project} {variables:?}\n{}",
            run.stderr
        );
    }
}

/// Another repository with the checkout's repository as a submodule, and the project's folder in that.
fn with_other_repository(checkout: &Checkout) -> (PathBuf, PathBuf) {
    let other = checkout.project.home().join("other");
    let home = checkout.project.home();
    checkout.git_in(&home, &["init", "--quiet", other.to_str().unwrap()]);
    let from = checkout.top();
    checkout.git_in(
        &other,
        &[
            "submodule",
            "--quiet",
            "add",
            from.to_str().unwrap(),
            "part",
        ],
    );
    let part = other.join("part");
    checkout.git_in(&part, &["config", "core.fileMode", "false"]);
    let file = part.join("services/orders/src/jobs/run.sh");
    fs_err::set_permissions(file, std::fs::Permissions::from_mode(0o644)).unwrap();
    checkout.git_in(&other, &["commit", "--quiet", "--message", "other"]);
    (other, part.join("services/orders"))
}

#[test]
fn there_need_be_no_network_and_no_daemon() {
    let checkout = Checkout::new();
    // The root image in the lock could not be pulled, and nothing listens at DOCKER_HOST.
    checkout.write(ONE, jobs(&[("FIRST = 1", "FIRST = 2")]));
    let alone = |arguments: &[&str]| {
        let arguments = [&["--map-root-user", "--net", "--"], arguments].concat();
        run(&mut checkout.command(&checkout.top(), "unshare", &arguments))
    };
    let reaches = alone(&["bash", "-c", "exec 3<>/dev/udp/192.0.2.1/9"]);
    assert_ne!(reaches.code, 0, "there is a network");
    assert_eq!(alone(&["git", "add", ONE]).code, 0);
    let commit = ["git", "commit", "--quiet", "--message", "x"];
    let stopped = alone(&commit);
    assert_eq!(stopped.code, 1, "{}", stopped.stderr);
    let printed = stopped.stdout + &stopped.stderr;
    assert!(
        printed.contains("- files were modified by this hook"),
        "{printed}"
    );
    assert_eq!(printed.matches("error[").count(), 1, "{printed}");
    assert!(printed.contains("error[E101]: "), "{printed}");
    assert_eq!(alone(&["git", "add", MANIFEST]).code, 0);
    let passed = alone(&commit);
    assert_eq!(passed.code, 0, "{}{}", passed.stdout, passed.stderr);
    checkout.is_right(&checkout.top());
}

#[test]
fn inputs_that_git_does_not_have_stop_a_commit() {
    let checkout = Checkout::new();
    checkout.write("untracked.md", "no input\n");
    checkout.write(ONE, jobs(&[("FIRST = 1", "FIRST = 2")]));
    checkout.write("src/jobs/forgotten.py", "VALUE = 1\n");
    checkout.pin();
    checkout.git(&["add", ONE, MANIFEST]);
    // pre-commit leaves untracked files in place, so the image would contain them.
    let printed = checkout.stopped(&["commit", "--message", "x"]);
    for part in ["E098", "src/jobs/forgotten.py", "`git add` them"] {
        assert!(printed.contains(part), "{printed}");
    }
    assert!(!printed.contains("untracked.md"), "{printed}");
    let plan = checkout.sparkpack(&["plan"]);
    assert!(
        plan.stdout.contains("src/jobs/forgotten.py"),
        "{}",
        plan.stdout
    );
    checkout.git(&["add", "src/jobs/forgotten.py"]);
    checkout.commits(&[]);
    assert_eq!(checkout.read("untracked.md"), "no input\n");
}

#[test]
fn other_hooks_that_edit_the_manifests_lose_nothing() {
    for ours_first in [true, false] {
        let checkout = Checkout::new();
        let home = checkout.project.home();
        // This hook gets the files and edits them, as white-space fixers do.
        script(
            &home.join("bin/trim"),
            "#!/bin/sh\nexec sed -i -E 's/[ \\t]+(\\r?)$/\\1/' \"$@\"\n",
        );
        let trim = "- repo: local\n  hooks:\n  - id: trim\n    name: trim\n    language: system\n    entry: trim\n    \
                    types: [yaml]\n";
        let ours = Checkout::ours(BOTH);
        let both = if ours_first {
            [ours.as_str(), trim]
        } else {
            [trim, ours.as_str()]
        };
        configure(&checkout.top(), &both.concat());
        checkout.git(&["add", "--all"]);
        checkout.commits(&[]);
        checkout.write(ONE, jobs(&[("FIRST = 1", "FIRST = 2")]));
        let untidy = checkout
            .read(MANIFEST)
            .replace("spec:\r\n", "spec:  \t\r\n")
            .replace("sparkpack\r\n", "sparkpack   \r\n");
        checkout.write(MANIFEST, &untidy);
        checkout.git(&["add", "--all"]);
        checkout.calls();
        checkout.stopped(&["commit", "--message", "x"]);
        assert_eq!(
            checkout.calls(),
            ["pin --exit-code --strict", "check --strict"]
        );
        let fixed = checkout.read(MANIFEST);
        let [old, new] = [tags(&untidy), tags(&fixed)].map(|tags| tags[0].clone());
        assert_ne!(old, new);
        let wanted = untidy
            .replace(&old, &new)
            .replace("spec:  \t\r\n", "spec:\r\n");
        assert_eq!(fixed, wanted.replace("sparkpack   \r\n", "sparkpack\r\n"));
        checkout.git(&["add", "--all"]);
        checkout.commits(&[]);
    }
}

#[test]
fn without_its_lock_a_project_is_left_as_it_is() {
    let checkout = Checkout::new();
    checkout.git(&["rm", "--quiet", "sparkpack.lock"]);
    checkout.write(ONE, jobs(&[("FIRST = 1", "FIRST = 2")]));
    checkout.git(&["add", "--all"]);
    let before = checkout.read(MANIFEST);
    let printed = checkout.stopped(&["commit", "--message", "x"]);
    assert!(printed.contains("- exit code: 2"), "{printed}");
    assert!(printed.contains("hint: run `sparkpack lock`"), "{printed}");
    assert_eq!(checkout.read(MANIFEST), before);
    assert!(!checkout.file("sparkpack.lock").exists());
}

#[test]
fn without_an_installed_sparkpack_the_hook_says_so() {
    let checkout = Checkout::new();
    fs_err::remove_file(checkout.project.home().join("bin/sparkpack")).unwrap();
    let printed = checkout.stopped(&["commit", "--allow-empty", "--message", "x"]);
    assert!(
        printed.contains("Executable `sparkpack` not found"),
        "{printed}"
    );
}

#[test]
fn a_hook_may_be_skipped_and_run_by_hand() {
    let checkout = Checkout::new();
    checkout.write(ONE, jobs(&[("FIRST = 1", "FIRST = 2")]));
    checkout.git(&["add", "--all"]);
    checkout.calls();
    let mut commit = checkout.command(
        &checkout.top(),
        "git",
        &["commit", "--quiet", "--message", "x"],
    );
    let skipped = run(commit.env("SKIP", "sparkpack-pin,sparkpack-check"));
    assert_eq!(skipped.code, 0, "{}", skipped.stderr);
    assert_eq!(checkout.calls(), [""; 0]);
    let by_hand = checkout.hooks(&["--hook-stage", "manual", "sparkpack-pin"]);
    assert_eq!(by_hand.code, 1, "{}", by_hand.stdout);
    checkout.git(&["add", "--all"]);
    checkout.commits(&[]);
}
