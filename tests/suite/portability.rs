//! A tag depends on the checkout alone: it is the same for every user, in every place, in every order, and without a
//! network.
//!
//! A project is built here and committed with its locks. Then it is checked out in 27 ways, in which every two values
//! of every two of thirteen circumstances meet, and its tags are computed in an empty network namespace. So is the digest of
//! a job that is put together there, which covers its config and its layers.

use std::{
    io::Write as _,
    os::unix::fs::{FileTypeExt, PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use tempfile::TempDir;

use crate::support::{Root, TestProject, classes, program, remove_images, run, small};

/// The differences between two checkouts; each has three values, by number.
#[derive(Clone, Copy, Debug)]
struct Circumstances {
    source: usize,
    path: usize,
    user: usize,
    umask: usize,
    zone: usize,
    locale: usize,
    order: usize,
    times: usize,
    cores: usize,
    host: usize,
    folder: usize,
    network: usize,
    cache: usize,
}

impl Circumstances {
    /// 27 rows in which every two values of every two circumstances meet (an orthogonal array).
    fn all() -> impl Iterator<Item = Self> {
        (0..27).map(|row| {
            let (a, b, c) = (row / 9, row / 3 % 3, row % 3);
            let value = |x: usize, y: usize, z: usize| (x * a + y * b + z * c) % 3;
            Self {
                source: value(0, 0, 1),
                path: value(0, 1, 0),
                user: value(0, 1, 1),
                umask: value(0, 1, 2),
                zone: value(1, 0, 0),
                locale: value(1, 0, 1),
                order: value(1, 0, 2),
                times: value(1, 1, 0),
                cores: value(1, 1, 1),
                host: value(1, 1, 2),
                folder: value(1, 2, 0),
                network: value(1, 2, 1),
                cache: value(1, 2, 2),
            }
        })
    }

    fn values(&self) -> [usize; 13] {
        let first = [
            self.source,
            self.path,
            self.user,
            self.umask,
            self.zone,
            self.locale,
        ];
        let rest = [
            self.order,
            self.times,
            self.cores,
            self.host,
            self.folder,
            self.network,
        ];
        let mut values = [self.cache; 13];
        values[..6].copy_from_slice(&first);
        values[6..12].copy_from_slice(&rest);
        values
    }

    fn user_id(&self) -> u32 {
        [0, 65534, 54321][self.user]
    }
}

#[test]
fn any_two_values_of_any_two_circumstances_meet() {
    let rows: Vec<[usize; 13]> = Circumstances::all().map(|row| row.values()).collect();
    for left in 0..13 {
        for right in 0..left {
            let mut pairs: Vec<_> = rows.iter().map(|row| (row[left], row[right])).collect();
            pairs.sort_unstable();
            pairs.dedup();
            assert_eq!(pairs.len(), 9, "{left} and {right}");
        }
    }
}

#[test]
fn every_checkout_has_the_tags_that_were_built() {
    if !can_be_everywhere() {
        return;
    }
    let origin = Origin::new();
    let folder = tempfile::Builder::new()
        .prefix("everywhere")
        .tempdir()
        .unwrap();
    open(folder.path());
    for (row, circumstances) in Circumstances::all().enumerate() {
        let place = folder.path().join(row.to_string());
        fs_err::create_dir(&place).unwrap();
        open(&place);
        let checkout = Checkout::new(&origin, circumstances, &place);
        let pushed = checkout.ask(&origin, "layers", "push");
        assert_eq!(pushed, origin.pushed, "{circumstances:?}");
        for (project, references) in &origin.references {
            let tags = checkout.ask(&origin, project, "tags");
            assert_eq!(tags, *references, "{project}: {circumstances:?}");
            let plan = checkout.ask(&origin, project, "plan");
            for reference in references.lines() {
                let (_, tag) = reference.rsplit_once(':').unwrap();
                assert!(
                    plan.contains(tag),
                    "{project}: {reference}: {circumstances:?}\n{plan}"
                );
            }
        }
    }
}

/// The projects as they were built and committed.
struct Origin {
    folder: TempDir,
    /// By the project's folder: the output of `build`, or that of `tags` for images that cannot be built.
    references: Vec<(&'static str, String)>,
    /// The output of a push of the project `layers`, whose parent every checkout has in a layout.
    pushed: String,
}

/// A job that is put together, on a parent in a layout that is committed with it.
fn layers() -> TestProject {
    let configuration = "format = 1\nproject = \"layers\"\nregistries.main = \"oci:images\"\n\n\
         [images.base]\ndockerfile = \"docker/base/Dockerfile\"\n\n\
         [images.job]\nparent = \"base\"\nsrc = \"src\"\n";
    TestProject::new(&[
        ("sparkpack.toml", configuration),
        (
            "docker/base/Dockerfile",
            "FROM scratch\nCOPY docker/base/hello /\n",
        ),
        ("docker/base/hello", "hello\n"),
        ("src/main.py", "print('main')\n"),
        ("src/jobs/__init__.py", ""),
        ("src/jobs/one.py", &"VALUE = 1\n".repeat(9000)),
        ("src/jobs/\u{fc}.py", "VALUE = 2\n"),
        ("src/a-b/c.py", ""),
        ("src/a/b.py", ""),
    ])
}

impl Origin {
    const REGISTRY: &str = "everywhere.example";

    fn new() -> Self {
        let root = Root::new("everywhere", "everywhere");
        let built = small::project(&root.name, Self::REGISTRY);
        let printed = built.succeed(&["build"]).stdout;
        remove_images(Self::REGISTRY);
        let classes = classes::project();
        let folder = tempfile::Builder::new().prefix("origin").tempdir().unwrap();
        open(folder.path());
        let layers = layers();
        layers.succeed(&["push", "base"]);
        let mut origin = Self {
            pushed: String::new(),
            references: vec![
                ("built", printed),
                ("classes", classes.succeed(&["tags"]).stdout),
            ],
            folder,
        };
        origin.commit(&[
            ("built", &built),
            ("classes", &classes),
            ("layers", &layers),
        ]);
        // Only now, because every checkout is to put it together itself.
        origin.pushed = layers.succeed(&["push"]).stdout;
        assert!(origin.pushed.contains("job:"), "{}", origin.pushed);
        remove_images("base:");
        fs_err::copy(env!("CARGO_BIN_EXE_sparkpack"), origin.binary()).unwrap();
        open(&origin.binary());
        origin
    }

    fn binary(&self) -> PathBuf {
        self.folder.path().join("sparkpack")
    }

    fn commit(&self, projects: &[(&str, &TestProject)]) {
        let repository = self.folder.path().join("repository");
        fs_err::create_dir(&repository).unwrap();
        fs_err::write(repository.join(".gitignore"), "dist/\n").unwrap();
        for (name, project) in projects {
            let copy = repository.join(name);
            program(
                "cp",
                &[
                    "-a",
                    project.root().to_str().unwrap(),
                    copy.to_str().unwrap(),
                ],
            );
        }
        let script = "cd \"$1\" && git init --quiet --initial-branch=main . && git add --all \
                      && git -c user.name=a -c user.email=a@example.org commit --quiet --message=a \
                      && git bundle create --quiet ../bundle HEAD main && git archive --output=../archive.tar main \
                      && chmod 644 ../bundle ../archive.tar";
        program("sh", &["-c", script, "sh", repository.to_str().unwrap()]);
    }
}

/// A checkout in its circumstances; its mounts end with it.
struct Checkout {
    circumstances: Circumstances,
    /// Its path. A file system with another order may be mounted over it.
    root: PathBuf,
    mounted: bool,
}

impl Checkout {
    fn new(origin: &Origin, circumstances: Circumstances, place: &Path) -> Self {
        let deep = "0123456789abcdef/".repeat(40);
        let path = ["checkout", "with spaces and ü/ch eck'out", &deep][circumstances.path];
        let files = place.join("files").join(path);
        fs_err::create_dir_all(&files).unwrap();
        for folder in files.ancestors().take_while(|folder| *folder != place) {
            chown(
                folder,
                Some(circumstances.user_id()),
                Some(circumstances.user_id()),
            )
            .unwrap();
        }
        let mut checkout = Self {
            circumstances,
            root: files,
            mounted: false,
        };
        checkout.check_out(origin);
        checkout.set_times();
        checkout.disorder(place);
        checkout
    }

    fn check_out(&self, origin: &Origin) {
        let script = match self.circumstances.source {
            0 => "git clone --quiet \"$2/bundle\" . ",
            1 => "tar --extract --file \"$2/archive.tar\"",
            // A file with two hard links, as in a cache of checkouts.
            _ => {
                "git clone --quiet \"$2/bundle\" first && cp --archive --link first/. . && rm -r .git"
            }
        };
        let umask = ["000", "022", "077"][self.circumstances.umask];
        let script =
            format!("umask {umask} && cd \"$1\" && HOME=/nonexistent && export HOME && {script}");
        let origin = origin.folder.path();
        let paths = [&self.root, origin].map(|path| path.to_str().unwrap());
        let user = self.as_user();
        let user: Vec<&str> = user.iter().map(String::as_str).collect();
        let arguments = [&user[1..], &["sh", "-c", &script, "sh"], &paths].concat();
        program(user[0], &arguments);
    }

    fn as_user(&self) -> Vec<String> {
        let id = self.circumstances.user_id();
        [
            "setpriv",
            &format!("--reuid={id}"),
            &format!("--regid={id}"),
            "--clear-groups",
        ]
        .map(str::to_owned)
        .into()
    }

    fn set_times(&self) {
        let second = |number: u64| match self.circumstances.times {
            1 => number * 7_919_317 % 4_000_000_000,
            _ => 315_532_800,
        };
        if self.circumstances.times == 0 {
            return;
        }
        let files = walkdir::WalkDir::new(&self.root)
            .into_iter()
            .map(Result::unwrap);
        for (file, number) in files.filter(|file| file.file_type().is_file()).zip(1..) {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(second(number));
            let file = std::fs::File::open(file.path()).unwrap();
            file.set_modified(time).unwrap();
        }
    }

    /// Mounts a file system over the checkout that lists folders in another order.
    fn disorder(&mut self, place: &Path) {
        let order = match self.circumstances.order {
            0 => return,
            1 => ["--shuffle-dirents=yes", "--reverse-dirents=no"],
            _ => ["--shuffle-dirents=no", "--reverse-dirents=yes"],
        };
        let over = place.join("disordered");
        fs_err::create_dir(&over).unwrap();
        let paths = [&self.root, &over].map(|path| path.to_str().unwrap());
        program(
            "disorderfs",
            &[&["--quiet", "--multi-user=yes"], &order[..], &paths].concat(),
        );
        self.root = over;
        self.mounted = true;
    }

    /// The output of the command.
    fn ask(&self, origin: &Origin, project: &str, command: &str) -> String {
        let circumstances = self.circumstances;
        let folder = self.root.join(project);
        let (here, directory) = match circumstances.folder {
            0 => (folder, None),
            1 => (PathBuf::from("/"), Some(folder)),
            _ => (folder.join("docker/base"), None),
        };
        let host = [
            "one",
            "another.example",
            "a-name-that-is-as-long-as-a-name-of-a-host-may-be",
        ];
        let script = "hostname \"$1\" && cd \"$2\" && shift 2 && exec \"$@\"";
        let mut arguments = [
            "--net",
            "--uts",
            "sh",
            "-c",
            script,
            "sh",
            host[circumstances.host],
        ]
        .map(str::to_owned)
        .to_vec();
        arguments.push(here.to_str().unwrap().to_owned());
        arguments.extend(self.on_cores());
        arguments.extend(self.as_user());
        if circumstances.network == 1 {
            arguments.extend(["unshare", "--map-root-user", "--net"].map(str::to_owned));
        }
        arguments.extend(
            ["env", "-i", "DOCKER_HOST=unix:///nonexistent/docker.sock"].map(str::to_owned),
        );
        arguments.extend(self.variables());
        if command == "push" {
            let cache = self.root.join("cache");
            arguments.push(format!("SPARKPACK_CACHE={}", cache.display()));
        }
        arguments.push(origin.binary().to_str().unwrap().to_owned());
        if let Some(directory) = directory {
            arguments.extend(["-C".to_owned(), directory.to_str().unwrap().to_owned()]);
        }
        arguments.push(command.to_owned());
        let run = run(Command::new("unshare").args(arguments));
        assert_eq!(
            run.code, 0,
            "{project} {command}: {circumstances:?}\n{}",
            run.stderr
        );
        run.stdout
    }

    fn on_cores(&self) -> Vec<String> {
        match self.circumstances.cores {
            0 => vec![],
            1 => ["taskset", "--cpu-list", "0"].map(str::to_owned).into(),
            _ => ["nice", "-n", "5"].map(str::to_owned).into(),
        }
    }

    fn variables(&self) -> Vec<String> {
        let zone = ["UTC", "Pacific/Kiritimati", "America/St_Johns"][self.circumstances.zone];
        let locale: &[&str] = match self.circumstances.locale {
            0 => &["LANG=C", "LC_ALL=C"],
            1 => &["LANG=tr_TR.UTF-8", "LC_ALL=tr_TR.UTF-8"],
            _ => &[],
        };
        let cache: &[&str] = match self.circumstances.cache {
            0 => &[],
            1 => &["SPARKPACK_CACHE=/nonexistent/cache"],
            _ => &["HOME=/nonexistent", "XDG_CACHE_HOME=/proc/nothing"],
        };
        let variables = [locale, cache].concat();
        let variables = variables.into_iter().map(str::to_owned);
        variables.chain([format!("TZ={zone}")]).collect()
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        if self.mounted {
            // During a panic, a failure cannot be reported.
            drop(
                Command::new("umount")
                    .arg("--lazy")
                    .arg(&self.root)
                    .status(),
            );
        }
    }
}

/// Makes the folder accessible for every user.
fn open(path: &Path) {
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// Whether this machine can run the test as other users and mount file systems; a CI machine must.
fn can_be_everywhere() -> bool {
    let is_root = program("id", &["-u"]).trim() == "0";
    let fuse = fs_err::metadata("/dev/fuse");
    let has_fuse = fuse.is_ok_and(|metadata| metadata.file_type().is_char_device());
    if is_root && has_fuse {
        return true;
    }
    let lacks = if is_root { "/dev/fuse" } else { "root" };
    assert!(std::env::var_os("CI").is_none(), "this test needs {lacks}");
    // Written to stderr directly: the test's captured output is shown only if it fails.
    let message = format!("SKIPPED: every_checkout_has_the_tags_that_were_built needs {lacks}\n");
    std::io::stderr().write_all(message.as_bytes()).unwrap();
    false
}
