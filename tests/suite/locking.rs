//! The locks: their content, what changes them, which images are then retagged, and who may change them.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use crate::support::{
    Index, Registry, Root, Run, TestProject, docker, host_python, program, remove_images, run,
    started_by,
};

/// A chain of kilobyte layers with packages from an index of its own. Its images are removed from the daemon
/// afterwards.
///
/// `base` has a `RUN`, `ds` and `job` have requirements, `side` is built on `base`, and `alone` on no image of the
/// project.
struct Fixture {
    project: TestProject,
    index: Index,
    name: String,
    _root: Root,
}

const BASE: &str = "ARG ROOT\nFROM ${ROOT}\nRUN read id </proc/sys/kernel/random/uuid && echo $id >/uuid.txt\n\
                    COPY docker/base.txt /opt/\n";

impl Fixture {
    fn new(name: &str) -> Self {
        Self::with_installer(name, "uv")
    }

    fn with_installer(name: &str, installer: &str) -> Self {
        Self::with(name, installer, &[])
    }

    fn with(name: &str, installer: &str, variables: &[(&str, &str)]) -> Self {
        let index = Index::new();
        index.add("spk_lib-1.0-py3-none-any", &[]);
        index.add("spk_app-1.0-py3-none-any", &["spk-dep>=1"]);
        index.add("spk_dep-1.0-py3-none-any", &[]);
        let tag = host_python().replace('.', "");
        for platform in ["x86_64", "aarch64"] {
            let stem = format!("spk_nat-1.0-cp{tag}-cp{tag}-manylinux2014_{platform}");
            index.add(&stem, &[]);
        }
        let root = Root::with_shell(name, name);
        let configuration = configuration(name, &root.name, &index.url, installer);
        let project = TestProject::new(&[
            ("sparkpack.toml", &configuration),
            ("docker/base/Dockerfile", BASE),
            ("docker/base.txt", "base\n"),
            (
                "docker/ds/Dockerfile",
                "ARG PARENT\nFROM ${PARENT}\nCOPY site-packages /opt/site\n",
            ),
            ("docker/ds/requirements.txt", "spk-lib>=1\n"),
            (
                "docker/side/Dockerfile",
                "FROM base\nCOPY docker/base.txt /side/\n",
            ),
            (
                "docker/alone/Dockerfile",
                "ARG ROOT\nFROM ${ROOT}\nCOPY docker/base.txt /alone/\n",
            ),
            (
                "docker/job/Dockerfile",
                "ARG PARENT\nFROM ${PARENT}\nCOPY dist /opt/job/\n",
            ),
            ("src/main.py", "print('main')\n"),
            ("src/jobs/__init__.py", ""),
            ("requirements.txt", "spk-app\nspk-nat\n"),
        ]);
        let project = variables.iter().fold(project, |project, (name, value)| {
            project.with_variable(name, value)
        });
        Self {
            project,
            index,
            name: name.to_owned(),
            _root: root,
        }
    }

    /// The images that `build` has built, according to `dist/images.json`.
    fn build(&self) -> BTreeSet<String> {
        self.project.succeed(&["build"]);
        let text = self.project.read("dist/images.json");
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        let images = document["images"].as_array().unwrap();
        assert_eq!(images.len(), 5, "{text}");
        let built = images.iter().filter(|image| image["action"] == "built");
        built
            .map(|image| image["name"].as_str().unwrap().to_owned())
            .collect()
    }

    fn tags(&self) -> BTreeMap<String, String> {
        let printed = self.project.succeed(&["tags"]).stdout;
        let references = printed.lines().map(|reference| {
            let (repository, tag) = reference.rsplit_once(':').unwrap();
            let (_, name) = repository.rsplit_once('/').unwrap();
            (name.to_owned(), tag.to_owned())
        });
        references.collect()
    }

    /// The first line of a file in an image of this checkout.
    fn file_in(&self, image: &str, path: &str) -> String {
        let reference = format!(
            "{}.example/locked/{image}:{}",
            self.name,
            self.tags()[image]
        );
        let container = docker(&["create", &reference, "/bin/sh"]);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        let from = format!("{}:{path}", container.trim());
        docker(&["cp", &from, file.to_str().unwrap()]);
        docker(&["rm", container.trim()]);
        fs_err::read_to_string(file).unwrap()
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        remove_images(&format!("{}.example", self.name));
    }
}

fn configuration(name: &str, root: &str, index: &str, installer: &str) -> String {
    format!(
        r#"format = 1
project = "locked"
registries.main = "{name}.example/locked"

[mirrors]
python = "{index}"

[python]
installer = "{installer}"

[chains.main]
spark = "4.1.4"
python = "{}"
root = "{root}"

[images.base]
dockerfile = "docker/base/Dockerfile"

[images.ds]
parent = "base"
dockerfile = "docker/ds/Dockerfile"
requirements = "docker/ds/requirements.txt"

[images.side]
parent = "base"
dockerfile = "docker/side/Dockerfile"

[images.alone]
dockerfile = "docker/alone/Dockerfile"

[images.job]
parent = "ds"
dockerfile = "docker/job/Dockerfile"
src = "src"
requirements = "requirements.txt"
"#,
        host_python()
    )
}

/// The output of `lock`: the lines about the locks, and the tags and reasons of each retagged image.
struct Told {
    locks: Vec<String>,
    images: BTreeMap<String, (String, String)>,
    reasons: BTreeMap<String, Vec<String>>,
    staying: String,
}

fn told(stdout: &str) -> Told {
    let mut told = Told {
        locks: Vec::new(),
        images: BTreeMap::new(),
        reasons: BTreeMap::new(),
        staying: String::new(),
    };
    let (locks, images) = stdout
        .strip_prefix("locks:\n")
        .and_then(|rest| rest.split_once("images:\n"))
        .unwrap_or_else(|| panic!("{stdout}"));
    told.locks = locks.lines().map(|line| line.trim().to_owned()).collect();
    let mut last = String::new();
    for line in images.lines() {
        if let Some(reason) = line.strip_prefix("    ") {
            let reasons = told.reasons.entry(last.clone()).or_default();
            reasons.push(reason.to_owned());
        } else if let Some((name, rest)) = line.trim().split_once(": ") {
            let (old, new) = rest.split_once(" -> ").unwrap();
            name.clone_into(&mut last);
            told.images
                .insert(name.to_owned(), (old.to_owned(), new.to_owned()));
        } else {
            line.trim().clone_into(&mut told.staying);
        }
    }
    told
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The announced images are those that `build` then builds, and their tags are those that `tags` prints before and
/// after.
fn check_radius(fixture: &Fixture, arguments: &[&str], wanted: &[&str]) -> Told {
    let before = fixture.tags();
    let printed = fixture.project.succeed(arguments).stdout;
    let radius = told(&printed);
    let after = fixture.tags();
    let moved = before.iter().filter(|(name, tag)| after[*name] != **tag);
    let moved: BTreeMap<String, (String, String)> = moved
        .map(|(name, tag)| (name.clone(), (tag.clone(), after[name].clone())))
        .collect();
    assert_eq!(radius.images, moved, "{printed}");
    assert_eq!(fixture.build(), radius.images.keys().cloned().collect());
    assert_eq!(
        radius.images.keys().cloned().collect::<BTreeSet<_>>(),
        names(wanted)
    );
    radius
}

#[test]
fn an_upgrade_retags_exactly_what_it_says_and_build_makes_exactly_that() {
    let fixture = Fixture::new("lock-upgrade");
    assert_eq!(
        fixture.build(),
        names(&["alone", "base", "ds", "job", "side"])
    );
    let nothing = fixture.project.succeed(&["lock", "--upgrade"]);
    assert_eq!(nothing.stdout, "", "nothing has moved");
    assert!(
        nothing.stderr.contains("nothing to do"),
        "{}",
        nothing.stderr
    );

    fixture.index.add("spk_lib-1.1-py3-none-any", &[]);
    let files = fixture.project.files();
    let dry = fixture.project.succeed(&["lock", "--upgrade", "--dry-run"]);
    assert_eq!(fixture.project.files(), files, "a dry run writes nothing");
    assert_eq!(fixture.build(), names(&[]), "what is locked stays");
    let radius = check_radius(&fixture, &["lock", "--upgrade"], &["ds", "job"]);
    assert_eq!(
        radius.locks,
        [
            "spk-lib 1.0 -> 1.1 (docker/ds/requirements.lock)",
            "requirements.lock: the same packages, for requirements, a Python or platforms that changed",
        ]
    );
    assert_eq!(told(&dry.stdout).images, radius.images);
    assert_eq!(radius.reasons["job"], ["`ds` changes"]);
    assert_eq!(
        radius.reasons["ds"].len(),
        1 + usize::from(!radius.reasons["ds"][0].contains("->"))
    );
    assert_eq!(radius.staying, "3 stay as they are");

    fixture.index.add("spk_dep-1.1-py3-none-any", &[]);
    let radius = check_radius(&fixture, &["lock", "--upgrade"], &["job"]);
    assert_eq!(radius.locks, ["spk-dep 1.0 -> 1.1 (requirements.lock)"]);
    assert_eq!(radius.staying, "4 stay as they are");
}

/// One package is upgraded. Others change only if its new version requires it; uv and pip agree.
#[test]
fn an_upgrade_of_one_package_leaves_the_others() {
    let locks = ["uv", "pip"].map(|installer| {
        let fixture = Fixture::with_installer(&format!("lock-one-{installer}"), installer);
        let project = &fixture.project;
        project.succeed(&["lock"]);
        fixture
            .index
            .add("spk_app-1.1-py3-none-any", &["spk-dep>=1"]);
        fixture.index.add("spk_dep-1.1-py3-none-any", &[]);
        fixture.index.add("spk_lib-1.1-py3-none-any", &[]);
        let printed = project.succeed(&["lock", "--upgrade", "spk_APP"]).stdout;
        assert_eq!(
            told(&printed).locks,
            ["spk-app 1.0 -> 1.1 (requirements.lock)"],
            "by {installer}"
        );
        // Its next version conflicts with the locked version of its dependency.
        fixture
            .index
            .add("spk_app-2.0-py3-none-any", &["spk-dep>=1.1"]);
        fixture.index.add("spk_dep-1.2-py3-none-any", &[]);
        let printed = project.succeed(&["lock", "--upgrade", "spk-app"]).stdout;
        let moved = [
            "spk-app 1.1 -> 2.0 (requirements.lock)",
            "spk-dep 1.0 -> 1.2 (requirements.lock)",
        ];
        assert_eq!(told(&printed).locks, moved, "by {installer}");
        // A new line changes no other package.
        fixture.index.add("spk_dep-1.3-py3-none-any", &[]);
        fixture.index.add("spk_new-1.0-py3-none-any", &["spk-dep"]);
        project.write("requirements.txt", "spk-app\nspk-nat\nspk-new\n");
        let printed = project.succeed(&["lock"]).stdout;
        assert_eq!(
            told(&printed).locks,
            ["spk-new 1.0 added (requirements.lock)"],
            "by {installer}"
        );
        // A line that contradicts a locked version changes only that version.
        project.write(
            "requirements.txt",
            "spk-app\nspk-nat\nspk-new\nspk-dep>=1.3\n",
        );
        let printed = project.succeed(&["lock"]).stdout;
        assert_eq!(
            told(&printed).locks,
            ["spk-dep 1.2 -> 1.3 (requirements.lock)"],
            "by {installer}"
        );
        // With the name of an image, everything that it uses is upgraded.
        let printed = project.succeed(&["lock", "--upgrade", "ds"]).stdout;
        let radius = told(&printed);
        assert_eq!(
            radius.locks[0],
            "spk-lib 1.0 -> 1.1 (docker/ds/requirements.lock)"
        );
        assert_eq!(
            radius.images.keys().map(String::as_str).collect::<Vec<_>>(),
            ["ds", "job"]
        );
        (
            project.read("requirements.lock"),
            project.read("docker/ds/requirements.lock"),
        )
    });
    assert_eq!(locks[0], locks[1]);
}

/// Exactly the image and those built on it are rebuilt without the build cache; later builds may use the cache again.
#[test]
fn a_refresh_makes_the_image_and_what_stands_on_it_without_the_cache_once() {
    for builder in ["1", "0"] {
        let name = format!("lock-refresh-{builder}");
        let fixture = Fixture::with(&name, "uv", &[("DOCKER_BUILDKIT", builder)]);
        fixture.build();
        let first = fixture.file_in("base", "/uuid.txt");
        // The cache works: a later step changes, and the RUN is not run again.
        fixture.project.write("docker/base.txt", "changed\n");
        fixture.build();
        assert_eq!(
            fixture.file_in("base", "/uuid.txt"),
            first,
            "builder {builder}"
        );

        let refresh = ["lock", "--refresh", "base", "--reason", "openssl 3.0.17"];
        let radius = check_radius(&fixture, &refresh, &["base", "ds", "job", "side"]);
        assert_eq!(
            radius.locks,
            ["revision of base: none -> 1 (openssl 3.0.17)"]
        );
        assert_eq!(radius.reasons["side"], ["`base` changes"]);
        assert_eq!(radius.reasons["base"].len(), 1);
        assert!(radius.reasons["base"][0].contains("openssl 3.0.17"));
        assert_eq!(radius.staying, "1 stays as it is");
        let second = fixture.file_in("base", "/uuid.txt");
        assert_ne!(second, first, "builder {builder} took it from its cache");

        fixture.project.write("docker/base.txt", "changed again\n");
        fixture.build();
        assert_eq!(
            fixture.file_in("base", "/uuid.txt"),
            second,
            "once is enough"
        );
        let again = fixture.project.succeed(&refresh);
        let revision = "revision of base: 1 (openssl 3.0.17) -> 2 (openssl 3.0.17)";
        assert_eq!(told(&again.stdout).locks, [revision]);
    }
}

#[test]
fn a_complete_lock_is_written_once_and_says_so() {
    let fixture = Fixture::new("lock-twice");
    let project = &fixture.project;
    let dry = project.succeed(&["lock", "--dry-run"]);
    assert!(dry.stderr.contains("a dry run"), "{}", dry.stderr);
    assert!(!project.root().join("sparkpack.lock").exists());
    assert!(!project.root().join("requirements.lock").exists());
    let first = project.succeed(&["lock"]);
    assert_eq!(first.stdout, dry.stdout);
    let radius = told(&first.stdout);
    assert_eq!(radius.images.len(), 5);
    assert!(
        radius
            .images
            .values()
            .all(|(old, _)| old == "not locked before")
    );
    let after: BTreeMap<String, String> = radius
        .images
        .into_iter()
        .map(|(name, (_, new))| (name, new))
        .collect();
    assert_eq!(after, fixture.tags());
    let lock = project.read("sparkpack.lock");
    let chain = format!(
        "[chains.main]\nspark = \"4.1.4\"\nscala = \"2.13\"\njava = \"17\"\npython = \"{}\"\n",
        host_python()
    );
    assert!(lock.contains(&chain), "{lock}");
    assert!(lock.contains("local_id = \"sha256:"), "{lock}");
    let state = || {
        let find = [
            "-c",
            "cd \"$1\" && find . -printf '%T@ %i %p\\n' | sort",
            "sh",
        ];
        let root = project.root();
        program("sh", &[&find[..], &[root.to_str().unwrap()]].concat())
    };
    let (before, asked) = (state(), fixture.index.asked());
    let second = project.succeed(&["lock"]);
    assert_eq!((second.stdout.as_str(), state()), ("", before));
    assert!(
        second.stderr.contains("the locks are complete"),
        "{}",
        second.stderr
    );
    project.succeed(&["build", "--locked"]);
    project.succeed(&["package", "--locked"]);
    project.succeed(&["lock"]);
    assert_eq!(project.read("sparkpack.lock"), lock);
    // Only the download of wheels went to the index.
    assert!(fixture.index.asked() > asked);
}

#[test]
fn what_nothing_uses_any_more_is_dropped_and_a_new_image_was_not_locked_before() {
    let fixture = Fixture::new("lock-drop");
    let project = &fixture.project;
    project.succeed(&["lock"]);
    let stale = "\n[images.\"gone.example/x:1\"]\nlocal_id = \"sha256:ROOT\"\n\n[revisions.gone]\nnumber = 1\nreason = \"x\"\n";
    let lock = project.read("sparkpack.lock") + &stale.replace("ROOT", &"0".repeat(64));
    project.write("sparkpack.lock", &lock);
    project.succeed(&["build", "--locked"]);
    let radius = told(&project.succeed(&["lock"]).stdout);
    assert_eq!(
        radius.locks,
        [
            "gone.example/x:1: dropped, nothing uses it",
            "revision of gone: dropped, nothing uses it"
        ]
    );
    assert_eq!(radius.staying, "all stay as they are");
    assert!(!project.read("sparkpack.lock").contains("gone"));

    let more = "\n[images.more]\nparent = \"side\"\nrequirements = \"more.txt\"\ndockerfile = \"docker/ds/Dockerfile\"\n";
    project.write("sparkpack.toml", &(project.read("sparkpack.toml") + more));
    project.write("more.txt", "spk-lib\n");
    let radius = told(&project.succeed(&["lock"]).stdout);
    assert_eq!(radius.images.keys().collect::<Vec<_>>(), ["more"]);
    assert_eq!(radius.images["more"].0, "not locked before");
    assert_eq!(radius.locks, ["more.lock: not locked before -> 1 packages"]);
    assert_eq!(radius.staying, "5 stay as they are");
}

/// Runs sparkpack without any network.
fn without_network(project: &TestProject, arguments: &[&str]) -> Run {
    let command = project.command(arguments);
    let mut alone = Command::new("unshare");
    run(started_by(alone.args(["--net", "--"]), &command))
}

#[test]
fn offline_needs_no_network_where_everything_is_locked_and_cached() {
    let fixture = Fixture::new("lock-offline");
    let project = &fixture.project;
    let missing = without_network(project, &["build", "--offline"]);
    assert_eq!(missing.code, 2, "{}", missing.stderr);
    assert!(
        missing.stderr.contains("`--offline` forbids to look it up"),
        "{}",
        missing.stderr
    );
    assert!(
        missing.stderr.contains("sparkpack lock"),
        "{}",
        missing.stderr
    );
    assert!(!project.root().join("sparkpack.lock").exists());

    project.succeed(&["lock"]);
    let uncached = without_network(project, &["package", "--offline"]);
    assert_eq!(uncached.code, 2, "{}", uncached.stderr);
    assert!(
        uncached.stderr.contains("error[E035]"),
        "{}",
        uncached.stderr
    );
    assert!(
        uncached.stderr.contains("run it once without `--offline`"),
        "{}",
        uncached.stderr
    );

    project.succeed(&["package"]);
    let asked = fixture.index.asked();
    for arguments in [
        &["lock"][..],
        &["tags"],
        &["plan"],
        &["package", "--offline"],
        &["package", "--locked", "--offline"],
    ] {
        let run = without_network(project, arguments);
        assert_eq!(run.code, 0, "{arguments:?}: {}", run.stderr);
    }
    // The daemon is asked, since its socket is a file. The packages of `ds` are not cached yet.
    let uncached = without_network(project, &["build", "--offline"]);
    assert_eq!(uncached.code, 2, "{}", uncached.stderr);
    assert_eq!(fixture.index.asked(), asked);
    project.succeed(&["build"]);
    let built = without_network(project, &["build", "--offline"]);
    assert_eq!(built.code, 0, "{}", built.stderr);
    let pushed = project.run(&["push", "--offline"]);
    assert_eq!(pushed.code, 2, "{}", pushed.stderr);
    assert!(pushed.stderr.contains("error[E035]"), "{}", pushed.stderr);
}

fn error(project: &TestProject, arguments: &[&str]) -> String {
    project.failure(arguments)
}

#[test]
fn who_may_not_change_the_locks_is_told_what_they_lack() {
    let fixture = Fixture::new("lock-refuse");
    let project = &fixture.project;
    let files = project.files();
    for arguments in [
        &["build", "--locked"][..],
        &["package", "--locked"],
        &["push", "--locked"],
        &["plan"],
        &["tags"],
    ] {
        let text = error(project, arguments);
        assert!(
            text.starts_with("exit 2\nerror[E033]: "),
            "{arguments:?}: {text}"
        );
        assert!(text.contains("hint: run `sparkpack lock`"), "{text}");
        assert_eq!(
            text.contains("`--locked` forbids"),
            arguments.len() > 1,
            "{text}"
        );
    }
    assert_eq!(project.files(), files);
    project.succeed(&["lock"]);
    project.edit(
        "sparkpack.toml",
        "spark = \"4.1.4\"",
        "spark = \"4.1.4\"\njava = \"21\"",
    );
    insta::assert_snapshot!(error(project, &["build", "--locked"]), @r"
    exit 2
    error[E034]: sparkpack.lock:1:1: the lock is not up to date, and `--locked` forbids to change it
    hint: run `sparkpack lock`, and commit what it writes
    ");
    project.succeed(&["tags"]);
    let radius = told(&project.succeed(&["lock"]).stdout);
    assert_eq!(radius.staying, "all stay as they are");
    project.succeed(&["build", "--locked"]);
}

#[test]
fn names_that_mean_nothing_are_told_with_the_nearest() {
    let fixture = Fixture::new("lock-names");
    let project = &fixture.project;
    project.succeed(&["lock"]);
    let files = project.files();
    insta::assert_snapshot!(error(project, &["lock", "--upgrade", "spk-lob"]), @r"
    exit 2
    error[E036]: `spk-lob` is nothing that the locks have
    hint: did you mean `spk-lib`?
    ");
    insta::assert_snapshot!(error(project, &["lock", "--upgrade", "completely-other"]), @r"
    exit 2
    error[E036]: `completely-other` is nothing that the locks have
    hint: it may be an image (alone, base, ds, job, side), what one stands on (sparkpack-test/lock-names:root), or a package of a requirements file
    ");
    insta::assert_snapshot!(error(project, &["lock", "--refresh", "bsae", "--reason", "x"]), @r"
    exit 2
    error[E084]: there is no image `bsae`
    hint: did you mean `base`?
    ");
    insta::assert_snapshot!(error(project, &["lock", "--refresh", "base", "--reason", " "]), @r#"
    exit 2
    error[E037]: `--reason` says nothing
    hint: say why, as `sparkpack why` will print it: `--reason "CVE-2026-1234"`
    "#);
    let alone = error(project, &["lock", "--refresh", "base"]);
    assert!(
        alone.starts_with("exit 2\n") && alone.contains("--reason"),
        "{alone}"
    );
    assert_eq!(project.files(), files);
}

#[test]
fn images_that_share_a_requirements_file_must_agree() {
    let fixture = Fixture::new("lock-shared");
    let project = &fixture.project;
    let more = "\n[images.more]\nparent = \"side\"\nrequirements = \"requirements.txt\"\ndockerfile = \"docker/ds/Dockerfile\"\n";
    project.write("sparkpack.toml", &(project.read("sparkpack.toml") + more));
    let text = error(project, &["lock"]);
    assert!(text.contains("error[E038]: sparkpack.toml:"), "{text}");
    assert!(text.contains("share requirements.lock"), "{text}");
    assert!(!project.root().join("requirements.lock").exists());
}

/// All lock files are written or none, if one of them cannot be written.
#[test]
fn a_lock_that_cannot_be_written_loses_nothing() {
    let fixture = Fixture::new("lock-read-only");
    let project = &fixture.project;
    project.succeed(&["lock"]);
    fixture.index.add("spk_lib-1.1-py3-none-any", &[]);
    fixture.index.add("spk_dep-1.1-py3-none-any", &[]);
    let files = project.files();
    let command = project.command(&["lock", "--upgrade"]);
    let mut shell = Command::new("unshare");
    let folder = project.root().join("docker/ds");
    let script =
        "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" && shift && exec \"$@\"";
    shell
        .args(["--mount", "--", "sh", "-c", script, "sh"])
        .arg(&folder);
    let run = run(started_by(&mut shell, &command));
    assert_eq!(run.code, 6, "{}", run.stderr);
    assert!(run.stderr.contains("docker/ds"), "{}", run.stderr);
    assert_eq!(project.files(), files, "none was written");
    // A read-only file stays read-only, and its content is replaced as a whole.
    let file = project.root().join("requirements.lock");
    program("chmod", &["0444", file.to_str().unwrap()]);
    project.succeed(&["lock", "--upgrade"]);
    assert!(project.read("requirements.lock").contains("spk-dep==1.1"));
    assert_eq!(
        program("stat", &["-c", "%a", file.to_str().unwrap()]),
        "444\n"
    );
}

/// The lock is a requirements file: pip and uv install from it exactly what sparkpack chose.
#[test]
fn pip_and_uv_take_the_lock_as_it_is() {
    let fixture = Fixture::new("lock-tools");
    let project = &fixture.project;
    project.edit(
        "sparkpack.toml",
        "format = 1\n",
        "format = 1\nplatforms = [\"linux/amd64\", \"linux/arm64\"]\n",
    );
    project.succeed(&["lock"]);
    let lock = project.root().join("requirements.lock");
    let lock = lock.to_str().unwrap();
    let tag = host_python().replace('.', "");
    for platform in ["x86_64", "aarch64"] {
        let stem = format!("spk_nat-1.0-cp{tag}-cp{tag}-manylinux2014_{platform}");
        let digest = fixture.index.digest(&stem);
        assert!(project.read("requirements.lock").contains(digest.as_str()));
    }
    let folder = tempfile::tempdir().unwrap();
    let installed = |name: &str| {
        let venv = folder.path().join(name);
        program("python3", &["-m", "venv", venv.to_str().unwrap()]);
        let python = venv.join("bin/python").to_str().unwrap().to_owned();
        let index = fixture.index.url.as_str();
        if name == "pip" {
            let pip = ["-m", "pip", "--disable-pip-version-check", "install"];
            let rest = ["--require-hashes", "--index-url", index, "-r", lock];
            program(&python, &[&pip[..], &rest].concat());
        } else {
            let sync = ["pip", "sync", "--python", &python, "--require-hashes"];
            program(
                "uv",
                &[&sync[..], &["--default-index", index, lock]].concat(),
            );
        }
        let script = "import spk_app, spk_dep, spk_nat; print(spk_app.VERSION, spk_dep.VERSION, spk_nat.TAG)";
        program(&python, &["-c", script])
    };
    let wanted = format!("1.0 1.0 cp{tag}-cp{tag}-manylinux2014_x86_64\n");
    assert_eq!(
        [installed("pip"), installed("uv")],
        [wanted.clone(), wanted]
    );
}

/// If all lines have hashes, wheels are chosen among the files with these hashes, and every dependency must have a
/// line.
#[test]
fn hashed_requirements_choose_among_what_they_allow() {
    let locks = ["uv", "pip"].map(|installer| {
        let fixture = Fixture::with_installer(&format!("lock-hashed-{installer}"), installer);
        let project = &fixture.project;
        // The better wheel was published after the hashes were written.
        fixture.index.add("spk_two-1.0-py3-none-any", &[]);
        let tag = host_python().replace('.', "");
        let better = format!("spk_two-1.0-cp{tag}-cp{tag}-manylinux2014_x86_64");
        let allowed = fixture.index.digest("spk_two-1.0-py3-none-any");
        fixture.index.add(&better, &[]);
        project.write("requirements.txt", &format!("spk-two==1.0 --hash={allowed}\n"));
        project.succeed(&["lock"]);
        let lock = project.read("requirements.lock");
        assert!(lock.contains("# spk_two-1.0-py3-none-any.whl\n"), "{installer}: {lock}");

        let app = fixture.index.digest("spk_app-1.0-py3-none-any");
        let dep = fixture.index.digest("spk_dep-1.0-py3-none-any");
        project.write("requirements.txt", &format!("spk-app==1.0 --hash={app}\n"));
        let text = error(project, &["lock"]);
        let wanted = format!(
            "exit 2\nerror[E714]: requirements.txt: `spk-dep==1.0` is needed, but has no line, though every line has a \
             hash\nhint: add the line `spk-dep==1.0 --hash={dep}`\n"
        );
        assert!(text.ends_with(wanted.strip_prefix("exit 2\n").unwrap()), "{installer}: {text}");
        assert!(text.starts_with("exit 2\n"), "{text}");
        assert_eq!(project.read("requirements.lock"), lock);
        lock
    });
    assert_eq!(locks[0], locks[1]);
}

/// An image in a registry is locked by its digest and platform, and changes only with `--upgrade`.
#[test]
fn an_external_image_moves_when_it_is_upgraded() {
    let registry = Registry::with_password("user", "secret");
    let fixture = Fixture::new("lock-external");
    let root = format!("{}/team/root:1", registry.host());
    let project = &fixture.project;
    project.sign_in(&registry.host(), "user", "secret");
    let push = |local: &str| {
        let tools = tempfile::tempdir().unwrap();
        let file = project.home().join(".docker/config.json");
        fs_err::copy(file, tools.path().join("config.json")).unwrap();
        docker(&["tag", local, &root]);
        docker(&[
            "--config",
            tools.path().to_str().unwrap(),
            "push",
            "--quiet",
            &root,
        ]);
        docker(&["rmi", &root]);
    };
    let local = "sparkpack-test/lock-external:root";
    push(local);
    project.edit("sparkpack.toml", local, &root);
    project.succeed(&["lock"]);
    let first = project.read("sparkpack.lock");
    let entry = |lock: &str| {
        let (_, rest) = lock.split_once(&format!("[images.\"{root}\"]\n")).unwrap();
        let digest = rest.lines().next().unwrap().to_owned();
        let platforms = format!("[images.\"{root}\".platforms]\n\"linux/amd64\" = ");
        let (_, rest) = lock.split_once(&platforms).unwrap();
        (digest, rest.lines().next().unwrap().to_owned())
    };
    let (digest, manifest) = entry(&first);
    assert_eq!(digest, format!("digest = {manifest}"), "it stands alone");

    let other = Root::with_shell("lock-external-other", "other");
    push(&other.name);
    let nothing = project.succeed(&["lock"]);
    assert_eq!(nothing.stdout, "");
    assert_eq!(
        project.succeed(&["lock", "--upgrade", "spk-lib"]).stdout,
        ""
    );
    let radius = told(&project.succeed(&["lock", "--upgrade", &root]).stdout);
    let (moved, _) = entry(&project.read("sparkpack.lock"));
    let short = |digest: &str| digest.split('"').nth(1).unwrap()[..19].to_owned();
    assert_eq!(
        radius.locks,
        [format!("{root}: {} -> {}", short(&digest), short(&moved))]
    );
    assert_eq!(radius.images.len(), 5);
    assert_eq!(
        radius.reasons["alone"].len(),
        1 + usize::from(!radius.reasons["alone"][0].contains("->"))
    );
    // With `--offline` it is not pulled.
    project.succeed(&["package"]);
    let offline = project.run(&["build", "alone", "--offline"]);
    assert_eq!(offline.code, 2, "{}", offline.stderr);
    let wanted = "error[E035]: pulling ";
    assert!(offline.stderr.contains(wanted), "{}", offline.stderr);
    // Without the registry, an image of this machine with the same name is no substitute.
    docker(&["tag", local, &root]);
    drop(registry);
    let lost = project.run(&["lock", "--upgrade", &root]);
    docker(&["rmi", &root]);
    assert_eq!(lost.code, 5, "{}", lost.stderr);
}

/// For an index, the lock has the manifest of each platform in use. If more platforms are used later, their manifests
/// come from the same index.
#[test]
fn an_index_is_locked_with_the_manifests_of_the_platforms_in_use() {
    let registry = Registry::with_password("user", "secret");
    let fixture = Fixture::new("lock-index");
    let project = &fixture.project;
    project.sign_in(&registry.host(), "user", "secret");
    let repository = format!("{}/team/root", registry.host());
    let single = format!("{repository}:single");
    let config = project.home().join(".docker");
    docker(&["tag", "sparkpack-test/lock-index:root", &single]);
    docker(&[
        "--config",
        config.to_str().unwrap(),
        "push",
        "--quiet",
        &single,
    ]);
    docker(&["rmi", &single]);
    let curl = |arguments: &[&str]| {
        let user = ["-sS", "--fail", "--user", "user:secret"];
        program("curl", &[&user[..], arguments].concat())
    };
    let url = |tag: &str| format!("http://{}/v2/team/root/manifests/{tag}", registry.host());
    let media_type = "application/vnd.docker.distribution.manifest.v2+json";
    let manifest = curl(&["-H", &format!("Accept: {media_type}"), &url("single")]);
    let digest = sparkpack::image::Digest::of(manifest.as_bytes());
    let entry = |architecture: &str| {
        format!(
            r#"{{"mediaType": "{media_type}", "digest": "{digest}", "size": {}, "platform": {{"os": "linux", "architecture": "{architecture}"}}}}"#,
            manifest.len()
        )
    };
    let index_type = "application/vnd.docker.distribution.manifest.list.v2+json";
    let index = format!(
        r#"{{"schemaVersion": 2, "mediaType": "{index_type}", "manifests": [{}, {}]}}"#,
        entry("amd64"),
        entry("arm64")
    );
    curl(&[
        "-X",
        "PUT",
        "-H",
        &format!("Content-Type: {index_type}"),
        "--data-binary",
        &index,
        &url("1"),
    ]);

    let root = format!("{repository}:1");
    project.edit("sparkpack.toml", "sparkpack-test/lock-index:root", &root);
    project.succeed(&["lock"]);
    let wanted = format!(
        "[images.\"{root}\"]\ndigest = \"{}\"\n\n[images.\"{root}\".platforms]\n\"linux/amd64\" = \"{digest}\"\n",
        sparkpack::image::Digest::of(index.as_bytes())
    );
    let lock = project.read("sparkpack.lock");
    assert!(lock.contains(&wanted), "{lock}");
    let platforms = "format = 1\nplatforms = [\"linux/amd64\", \"linux/arm64\"]\n";
    project.edit("sparkpack.toml", "format = 1\n", platforms);
    let radius = told(&project.succeed(&["lock"]).stdout);
    assert_eq!(
        radius.locks[0],
        format!("{root}: the same, for linux/amd64, linux/arm64")
    );
    let lock = project.read("sparkpack.lock");
    let both = format!("{wanted}\"linux/arm64\" = \"{digest}\"\n");
    assert!(lock.contains(&both), "{lock}");
    assert_eq!(project.succeed(&["lock"]).stdout, "");
    project.edit("sparkpack.toml", "linux/arm64", "linux/s390x");
    let text = error(project, &["lock"]);
    assert!(
        text.starts_with("exit 2\nerror[E092]: sparkpack.toml:"),
        "{text}"
    );
    assert!(
        text.contains("is wanted for linux/s390x, which it does not have"),
        "{text}"
    );
    assert_eq!(project.read("sparkpack.lock"), lock);
}

/// The content of a URL is locked at the first use, and changes only with `--upgrade`.
#[test]
fn a_source_without_a_checksum_moves_when_it_is_upgraded() {
    let fixture = Fixture::new("lock-source");
    let project = &fixture.project;
    fixture.index.put("/tool.bin", b"one");
    let url = fixture.index.url.replace("/simple", "/tool.bin");
    let text = project.read("sparkpack.toml").replace(
        "dockerfile = \"docker/alone/Dockerfile\"\n",
        "dockerfile = \"docker/alone/Dockerfile\"\ncontexts.tool = \"tool\"\n",
    );
    project.write(
        "sparkpack.toml",
        &format!("{text}\n[sources.tool]\nurl = \"{url}\"\n"),
    );
    project.edit(
        "docker/alone/Dockerfile",
        "COPY",
        "COPY --from=tool tool.bin /opt/\nCOPY",
    );
    fixture.build();
    assert_eq!(fixture.file_in("alone", "/opt/tool.bin"), "one");
    fixture.index.put("/tool.bin", b"two");
    assert_eq!(project.succeed(&["lock"]).stdout, "");
    assert_eq!(fixture.build(), names(&[]));
    for name in ["tool", &url, "alone"] {
        let dry = project
            .succeed(&["lock", "--upgrade", name, "--dry-run"])
            .stdout;
        let radius = told(&dry);
        assert_eq!(
            radius.images.keys().collect::<Vec<_>>(),
            ["alone"],
            "{name}"
        );
        let short = |text: &str| {
            let digest = sparkpack::image::Digest::of(text.as_bytes());
            format!("sha256:{}", digest.short(12))
        };
        assert_eq!(
            radius.locks,
            [format!("{url}: {} -> {}", short("one"), short("two"))]
        );
    }
    check_radius(&fixture, &["lock", "--upgrade"], &["alone"]);
    assert_eq!(fixture.file_in("alone", "/opt/tool.bin"), "two");
}

/// `--upgrade` also replaces a recipe in the lock that another version of sparkpack wrote.
#[test]
fn an_unknown_recipe_is_left_behind_by_an_upgrade() {
    let root = Root::new("lock-recipe", "root");
    let zeros = "0".repeat(64);
    let project = TestProject::new(&[
        (
            "sparkpack.toml",
            &format!(
                "format = 1\nproject = \"recipe\"\nregistries.main = \"recipe.example/x\"\n\n[chains.main]\nspark = \"4.1.4\"\npython = \"3.11\"\nroot = \"{}\"\n\n[images.job]\nparent = \"py\"\nsrc = \"src\"\n",
                root.name
            ),
        ),
        ("src/main.py", ""),
        (
            "sparkpack.lock",
            &format!(
                "format = 1\n\n[recipes]\nbase = \"sha256:{zeros}\"\n\n[sources.\"pyspark==4.1.4\"]\nsha256 = \"sha256:{zeros}\"\n"
            ),
        ),
    ]);
    let text = error(&project, &["lock"]);
    assert!(text.starts_with("exit 2\nerror[E032]: "), "{text}");
    let radius = told(&project.succeed(&["lock", "--upgrade"]).stdout);
    assert_eq!(radius.images.len(), 3);
    assert!(
        radius
            .locks
            .iter()
            .any(|line| line.starts_with("recipe base: sha256:000000000000 -> "))
    );
    assert_eq!(project.succeed(&["tags"]).stdout.lines().count(), 3);
}
