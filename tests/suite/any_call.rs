//! Every verb that writes, killed at any of its system calls, or with any call of its on a disk failing: no file is half
//! written, and the next run comes to the same end as one that nobody disturbed, with nothing left over.
//!
//! strace records the calls of an undisturbed run, of all its threads. Each call, or a sample of them, is then one case: the
//! project, its cache, the daemon and the registries are made as they were, and the run is killed there, or the call fails.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use walkdir::WalkDir;

use crate::support::{
    CHANGING, Call, Chain, Index, PASSWORD, Registry, Run, SETTLED, TestProject, USER, cores,
    count, program, sample, small, trace, traced,
};

/// What sparkpack also does to sockets, how it starts threads and programs, and how it is done with a file.
const MORE: &str = "connect,sendto,?sendmsg,close,?clone,clone3,?vfork,?fork";

const ERRORS: [&str; 4] = ["ENOSPC", "EIO", "EDQUOT", "EROFS"];

/// A call at which a run is disturbed: the one with this number in whichever thread comes to it first, counting all calls of
/// the name, or only those with the path.
#[derive(Clone, Debug)]
struct Point {
    call: Call,
    path: Option<String>,
}

impl Point {
    /// Does something to the call, in a project whose folder is `top`; the point was found in one at `found_in`.
    fn disturb(
        &self,
        what: &str,
        bed: &Bed<impl Outside>,
        found_in: &str,
    ) -> (Option<i32>, String) {
        let Call { name, number, .. } = &self.call;
        let trace = format!("trace={name}");
        let inject = format!("inject={name}:{what}:when={number}");
        let mut options = vec!["-f", "-y", "-e", &trace, "-e", &inject];
        let path = self
            .path
            .as_ref()
            .map(|path| path.replace(found_in, &bed.top));
        if let Some(path) = &path {
            options.extend(["-P", path]);
        }
        let output = traced(&bed.project, &options, bed.arguments);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), stderr)
    }
}

/// The threads of one process have one group.
#[derive(Default)]
struct Threads {
    groups: BTreeMap<String, String>,
    begun: BTreeMap<String, bool>,
}

impl Threads {
    /// Notes what a line says of a new thread or process.
    fn note(&mut self, thread: &str, text: &str) {
        let is_start = ["clone", "clone3", "vfork", "fork"].iter().any(|name| {
            text.starts_with(&format!("{name}(")) || text.starts_with(&format!("<... {name} "))
        });
        if !is_start {
            return;
        }
        let is_thread = if text.starts_with("<...") {
            self.begun.get(thread).copied().unwrap_or_default()
        } else {
            text.contains("CLONE_THREAD")
        };
        self.begun.insert(thread.to_owned(), is_thread);
        let Some((_, new)) = text.rsplit_once(" = ") else {
            return;
        };
        let new = new.split_whitespace().next().unwrap_or_default().to_owned();
        let group = if is_thread {
            self.of(thread)
        } else {
            new.clone()
        };
        self.groups.insert(new, group);
    }

    fn of(&self, thread: &str) -> String {
        let group = self.groups.get(thread);
        group.cloned().unwrap_or_else(|| thread.to_owned())
    }
}

/// A call of a recorded run.
struct Seen {
    thread: String,
    call: Call,
    is_own: bool,
}

/// Records an undisturbed run.
fn record(bed: &Bed<impl Outside>) -> Vec<Seen> {
    let what = format!("trace={CHANGING},{MORE}");
    let options = ["-f", "-y", "--seccomp-bpf", "-s", "300", "-e", &what];
    let output = traced(&bed.project, &options, bed.arguments);
    assert!(output.status.success(), "{output:?}");
    let (mut threads, mut numbers) = (Threads::default(), BTreeMap::new());
    let mut seen: Vec<Seen> = Vec::new();
    let mut main = None;
    for line in trace(&bed.project).lines() {
        let (thread, text) = line.split_once(' ').unwrap();
        let text = text.trim_start();
        main.get_or_insert_with(|| thread.to_owned());
        threads.note(thread, text);
        let is_name = |name: &str| {
            let mut bytes = name.bytes();
            bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        let Some((name, _)) = text.split_once('(').filter(|(name, _)| is_name(name)) else {
            continue;
        };
        let key = (thread.to_owned(), name.to_owned());
        let number = numbers.entry(key).or_insert(0);
        *number += 1;
        let call = Call {
            name: name.to_owned(),
            number: *number,
            text: text.to_owned(),
        };
        seen.push(Seen {
            thread: thread.to_owned(),
            call,
            is_own: false,
        });
    }
    for seen in &mut seen {
        seen.is_own = Some(threads.of(&seen.thread)) == main;
    }
    seen
}

/// The points of a recorded run that fit: of its calls, those that a thread comes to first with their number, and of the
/// others those that are known by a path.
fn points(all: &[Seen], top: &str, fits: impl Fn(&Call) -> bool) -> Vec<Point> {
    let mut reached = BTreeSet::new();
    let mut by_path = BTreeMap::new();
    let mut points = Vec::new();
    for Seen {
        thread,
        call,
        is_own,
    } in all
    {
        let is_first = reached.insert((call.name.clone(), call.number));
        let path = stable_path(&call.text, top);
        let nth = path.clone().map(|path| {
            let nth = by_path.entry((thread, &call.name, path)).or_insert(0);
            *nth += 1;
            *nth
        });
        if !is_own || call.is_reading() || !fits(call) {
            continue;
        }
        if is_first {
            points.push(Point {
                call: call.clone(),
                path: None,
            });
        } else if let (Some(path), Some(nth)) = (path, nth) {
            let key = (format!("{} {path}", call.name), nth);
            if reached.insert(key) {
                let mut call = call.clone();
                call.number = nth;
                points.push(Point {
                    call,
                    path: Some(path),
                });
            }
        }
    }
    points
}

/// The last path of a call below the folder, if it is the same in every run.
fn stable_path(text: &str, top: &str) -> Option<String> {
    let parts = text.split(['"', '<', '>']);
    let path = parts.rev().find(|part| part.starts_with(top))?;
    (!path.contains(".sparkpack-")).then(|| path.to_owned())
}

/// What a verb changes outside of the project and its cache.
trait Outside: Sync {
    /// Makes it as it was before the first run.
    fn reset(&self);

    /// What a run has left that the next one needs.
    fn state(&self) -> BTreeMap<String, String>;

    /// What nobody needs: there should be none.
    fn litter(&self) -> Vec<String>;

    /// The same of what takes long to find, after all cases.
    fn litter_of_all(&self) -> Vec<String>;
}

/// Nothing, but what serves files.
struct Served(#[expect(dead_code, reason = "it serves as long as it is there")] Option<Index>);

impl Outside for Served {
    fn reset(&self) {}

    fn state(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    fn litter(&self) -> Vec<String> {
        Vec::new()
    }

    fn litter_of_all(&self) -> Vec<String> {
        Vec::new()
    }
}

fn docker_may_fail(arguments: &[&str]) -> String {
    let mut docker = std::process::Command::new("docker");
    crate::support::run(docker.args(arguments)).stdout
}

/// The daemon's images, and registries.
struct Machine {
    chain: Chain,
    /// Whether the chain's registry is empty before a run.
    is_pushing: bool,
    /// A registry that is empty before a run.
    prod: Option<Registry>,
    /// The references of the project's images.
    references: Vec<String>,
    /// The images that the daemon lacks before a run.
    unbuilt: &'static [&'static str],
}

impl Outside for Machine {
    fn reset(&self) {
        let is_unbuilt = |reference: &&String| {
            let mut unbuilt = self.unbuilt.iter();
            unbuilt.any(|image| reference.contains(&format!("/{image}:")))
        };
        for reference in self.references.iter().filter(is_unbuilt) {
            // The run before may not have come so far.
            docker_may_fail(&["rmi", "--force", "--no-prune", reference]);
        }
        for registry in self.emptied() {
            let repositories = registry.storage().join("docker/registry/v2/repositories");
            drop(fs_err::remove_dir_all(repositories));
        }
    }

    fn state(&self) -> BTreeMap<String, String> {
        let mut state = BTreeMap::new();
        for reference in &self.references {
            // All images of a daemon take long to list. These tell which other names they have.
            let format = "{{.Id}} {{json .RepoTags}}";
            let image = docker_may_fail(&["inspect", "--format", format, reference]);
            state.insert(reference.clone(), image);
        }
        for (number, registry) in self.emptied().enumerate() {
            let storage = registry.storage();
            for entry in WalkDir::new(&storage).into_iter().map(Result::unwrap) {
                let path = entry.path().strip_prefix(&storage).unwrap();
                let path = path.display().to_string();
                if path.contains("/_manifests/tags/") && path.ends_with("/current/link") {
                    let digest = fs_err::read_to_string(entry.path()).unwrap();
                    state.insert(format!("registry {number}: {path}"), digest);
                }
            }
        }
        state
    }

    fn litter(&self) -> Vec<String> {
        let containers = self.chain.containers();
        let containers = containers.lines().map(|id| format!("container {id}"));
        containers.collect()
    }

    fn litter_of_all(&self) -> Vec<String> {
        let images = self.chain.images().into_keys();
        let staged = images.filter(|name| name.rsplit_once(':').unwrap().1.contains('-'));
        staged.collect()
    }
}

impl Machine {
    fn new(
        chain: Chain,
        is_pushing: bool,
        prod: Option<Registry>,
        unbuilt: &'static [&'static str],
    ) -> Self {
        let tags = ["tags", "--registry", "main"];
        let references = chain.project.succeed(&tags).stdout;
        Self {
            references: references.lines().map(str::to_owned).collect(),
            chain,
            is_pushing,
            prod,
            unbuilt,
        }
    }

    /// The registries that are empty before a run.
    fn emptied(&self) -> impl Iterator<Item = &Registry> {
        let own = self.is_pushing.then(|| self.chain.registry());
        own.into_iter().chain(&self.prod)
    }
}

/// Files by their paths.
type Files = BTreeMap<String, Vec<u8>>;

/// What a run leaves.
#[derive(Debug, PartialEq, Eq)]
struct State {
    files: Files,
    /// The kinds of names that the cache's files have. There may be fewer: a cache only saves time.
    cache: BTreeSet<String>,
    outside: BTreeMap<String, String>,
}

/// A project, and what an undisturbed run of a verb makes of it.
struct Bed<O> {
    project: TestProject,
    outside: O,
    arguments: &'static [&'static str],
    /// The folder of the project, its cache and its temporary files.
    top: String,
    old: Files,
    new: State,
}

impl<O: Outside> Bed<O> {
    fn new(project: &TestProject, outside: O, arguments: &'static [&'static str]) -> Self {
        let folder = project.root().parent().unwrap().to_owned();
        let top = folder.to_str().unwrap().to_owned();
        let project = project
            .clone()
            .with_variable("TMPDIR", &format!("{top}/tmp"));
        for path in ["saved", "tmp"] {
            fs_err::create_dir(folder.join(path)).unwrap();
        }
        let [from, to] = ["", "/saved"].map(|path| format!("{top}{path}"));
        for name in ["project", "cache"] {
            let from = format!("{from}/{name}");
            fs_err::create_dir_all(&from).unwrap();
            program("cp", &["-a", &from, &to]);
        }
        let old = files(&project.root());
        let mut bed = Self {
            new: State {
                files: Files::new(),
                cache: BTreeSet::new(),
                outside: BTreeMap::new(),
            },
            project,
            outside,
            arguments,
            top,
            old,
        };
        bed.begin();
        bed.project.succeed(arguments);
        bed.new = bed.state();
        bed
    }

    /// Makes everything as it was.
    fn begin(&self) {
        for name in ["project", "cache"] {
            let place = format!("{}/{name}", self.top);
            fs_err::remove_dir_all(&place).unwrap();
            program(
                "cp",
                &["-a", &format!("{}/saved/{name}", self.top), &self.top],
            );
        }
        self.outside.reset();
        // Caches keep only what was read of files that are old enough.
        thread::sleep(SETTLED);
    }

    fn state(&self) -> State {
        let cache = files(self.project.cache()).into_keys();
        // Whether those are written depends on the age of files.
        let lasting = cache.filter(|path| !path.starts_with("manifests/"));
        let without_digests = lasting.map(|path| {
            let is_digest =
                |name: &str| name.len() >= 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
            let names = path.split('/');
            let names = names.map(|name| if is_digest(name) { "DIGEST" } else { name });
            names.collect::<Vec<_>>().join("/")
        });
        State {
            cache: without_digests.collect(),
            files: files(&self.project.root()),
            outside: self.outside.state(),
        }
    }

    /// Files that are neither as they were nor as they should be.
    fn torn(&self) -> Vec<String> {
        let now = files(&self.project.root());
        let torn = now.iter().filter(|(path, bytes)| {
            let is_of = |files: &Files| files.get(*path) == Some(bytes);
            !path.contains(".sparkpack-") && !is_of(&self.old) && !is_of(&self.new.files)
        });
        let torn = torn.map(|(path, _)| format!("{path} is half written"));
        let lost = self.old.keys().filter(|path| !now.contains_key(*path));
        torn.chain(lost.map(|path| format!("{path} is lost")))
            .collect()
    }

    /// What is not as an undisturbed run leaves it.
    fn differences(&self) -> Vec<String> {
        let now = self.state();
        let mut told = self.outside.litter();
        let mut paths: BTreeSet<&String> = now.files.keys().collect();
        paths.extend(self.new.files.keys());
        for path in paths {
            let [now, new] = [&now.files, &self.new.files].map(|files| {
                let bytes = files.get(path);
                bytes.map(|bytes| String::from_utf8_lossy(bytes))
            });
            if now != new {
                told.push(format!(
                    "{path}: {}",
                    difference(now.as_deref(), new.as_deref())
                ));
            }
        }
        let left = now.cache.difference(&self.new.cache);
        told.extend(left.map(|path| format!("the cache has {path}")));
        if now.outside != self.new.outside {
            told.push(format!(
                "outside is {:#?}, not {:#?}",
                now.outside, self.new.outside
            ));
        }
        let left = files(Path::new(&format!("{}/tmp", self.top))).into_keys();
        told.extend(left.map(|path| format!("TMPDIR has {path}")));
        told
    }

    /// Runs the verb again, and says what is wrong with the end.
    fn finish(&self) -> Vec<String> {
        let Run { code, stderr, .. } = self.project.run(self.arguments);
        if code != 0 {
            return vec![format!("the next run fails: exit {code}: {stderr}")];
        }
        self.differences()
    }
}

/// The lines of a file that are not as they should be.
fn difference(now: Option<&str>, new: Option<&str>) -> String {
    let (Some(now), Some(new)) = (now, new) else {
        let is_there = if now.is_some() { "there" } else { "lacking" };
        return format!("it is {is_there}");
    };
    let changed = now
        .lines()
        .filter(|line| !new.lines().any(|other| other == *line));
    format!("{:?}", changed.collect::<Vec<_>>())
}

/// All files below a folder.
fn files(folder: &Path) -> Files {
    let all = WalkDir::new(folder).into_iter().map(Result::unwrap);
    let all = all.filter(|entry| !entry.file_type().is_dir());
    let read = all.map(|entry| {
        let path = entry.path().strip_prefix(folder).unwrap();
        let bytes = if entry.path_is_symlink() {
            let target = fs_err::read_link(entry.path()).unwrap();
            target.into_os_string().into_encoded_bytes()
        } else {
            fs_err::read(entry.path()).unwrap()
        };
        let path = path.to_str().unwrap().to_owned();
        // Whether an image was made by this run or by one before may differ, and so may what is known of it.
        if path != "dist/images.json" {
            return (path, bytes);
        }
        let text = String::from_utf8(bytes).unwrap();
        let known = ["\"action\": ", "\"unpacked\": ", "\"compressed\": "];
        let is_known = |line: &&str| known.iter().any(|name| line.contains(name));
        let lines = text.lines().filter(|line| !is_known(line));
        (path, lines.collect::<Vec<_>>().join("\n").into_bytes())
    });
    read.collect()
}

/// Tries each case in one of the beds, one for each core. A check says whether the case was met, and what is wrong.
fn try_all<O: Outside + Send, T: Sync + std::fmt::Debug>(
    (promise, what): (&str, &str),
    beds: &[Bed<O>],
    cases: &[T],
    check: impl Fn(&Bed<O>, &T) -> (bool, Vec<String>) + Sync,
) {
    let (next, met) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let failures = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for bed in beds {
            let (next, met, failures, check) = (&next, &met, &failures, &check);
            scope.spawn(move || {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::SeqCst)) {
                    bed.begin();
                    let (is_met, wrong) = check(bed, case);
                    met.fetch_add(usize::from(is_met || !wrong.is_empty()), Ordering::SeqCst);
                    if !wrong.is_empty() {
                        let text = format!("{case:?}: {}", wrong.join("\n"));
                        failures.lock().unwrap().push(text);
                    }
                }
            });
        }
    });
    let met = met.into_inner();
    count(promise, what, met, &failures.into_inner().unwrap());
    for bed in beds {
        assert_eq!(bed.outside.litter_of_all(), Vec::<String>::new());
    }
    // Threads come to calls in another order each time.
    assert!(
        met * 5 >= cases.len() * 3,
        "only {met} of {} calls were met again",
        cases.len()
    );
}

/// Beds for a verb, and the calls of an undisturbed run.
fn beds<O: Outside>(make: impl Fn(usize) -> Bed<O>) -> (Vec<Bed<O>>, Vec<Seen>) {
    let beds: Vec<_> = (0..cores()).map(make).collect();
    beds[0].begin();
    let calls = record(&beds[0]);
    (beds, calls)
}

/// Kills a verb at each `step`-th of its calls.
fn kill_at_calls<O: Outside + Send>(verb: &str, step: usize, make: impl Fn(usize) -> Bed<O>) {
    let (beds, calls) = beds(make);
    let found_in = &beds[0].top;
    let all = points(&calls, found_in, |call| {
        let harmless = ["close", "clone", "clone3", "vfork", "fork"];
        !harmless.contains(&call.name.as_str())
    });
    let cases = sample(all, step);
    let what = format!("kills of {verb} at a call");
    try_all(("P8", &what), &beds, &cases, |bed, point| {
        point.disturb("signal=SIGKILL", bed, found_in);
        let is_met = trace(&bed.project).contains("killed by SIGKILL");
        (is_met, [bed.torn(), bed.finish()].concat())
    });
}

/// Has each `step`-th of a verb's calls fail that is about a file.
fn fail_at_calls<O: Outside + Send>(verb: &str, step: usize, make: impl Fn(usize) -> Bed<O>) {
    let (beds, calls) = beds(make);
    let found_in = &beds[0].top;
    // An error reaches every thread that comes to the number. One that wakes another thread by that call, in which no disk has a
    // part, would have it wait for ever. So a write must be the main thread's, at a number that no other comes near.
    let main = &calls[0].thread;
    let others = calls.iter().filter(|seen| seen.thread != *main);
    let writes =
        others.filter(|seen| seen.call.name == "write" && !seen.call.text.contains(found_in));
    let reached = writes.map(|seen| seen.call.number + 8).max().unwrap_or(0);
    let all = points(&calls, found_in, |call| {
        if call.name == "write" && call.number <= reached {
            return false;
        }
        let is_done_with = call.name == "close" && !call.text.contains("/.sparkpack-");
        call.text.contains(found_in.as_str()) && call.name != "flock" && !is_done_with
    });
    let all = all
        .into_iter()
        .flat_map(|point| ERRORS.map(|error| (point.clone(), error)));
    let cases = sample(all.collect(), step);
    let what = format!("calls of {verb} that fail by the disk");
    try_all(("P10", &what), &beds, &cases, |bed, (point, error)| {
        let (code, stderr) = point.disturb(&format!("error={error}"), bed, found_in);
        let trace = trace(&bed.project);
        let mut injected = trace.lines().filter(|line| line.contains("(INJECTED)"));
        // Another thread may have come to it with another call; no disk gives such errors to what is sent to a daemon.
        let part = if point.call.name == "close" {
            "/.sparkpack-"
        } else {
            &bed.top
        };
        let is_met = trace.contains("(INJECTED)") && injected.all(|line| line.contains(part));
        // Rust's own library panics, in builds for tests, where a folder cannot be closed.
        let is_met = is_met && !stderr.contains("unexpected error during closedir");
        if !is_met {
            return (false, Vec::new());
        }
        let wrong = if code == Some(0) {
            bed.differences()
        } else {
            [bed.torn(), badly_told(bed, code, &stderr)].concat()
        };
        (true, [wrong, bed.finish()].concat())
    });
}

/// What is wrong with how a failing disk is told.
fn badly_told(bed: &Bed<impl Outside>, code: Option<i32>, stderr: &str) -> Vec<String> {
    let is_once = stderr.matches("error[").count() == 1;
    if code == Some(6) && is_once && stderr.contains(&bed.top) && !stderr.contains("panicked") {
        return Vec::new();
    }
    vec![format!("exit {code:?}: {stderr}")]
}

/// A job with a package from an index.
fn packed(_: usize) -> Bed<Served> {
    let (project, index) = small::with_package();
    project.succeed(&["package"]);
    project.write("src/main.py", "print('new')\n");
    project.write("src/jobs/two.py", "VALUE = 2\n");
    Bed::new(&project, Served(Some(index)), &["package"])
}

/// A manifest that is written.
fn pinned(_: usize) -> Bed<Served> {
    let root = "registry.example/root:1";
    let project = small::project(root, "registry.example");
    project.write("sparkpack.lock", &small::lock(root));
    project.succeed(&["lock"]);
    Bed::new(&project, Served(None), &["pin"])
}

/// A source that is fetched.
fn locked(_: usize) -> Bed<Served> {
    let (project, index) = small::with_source();
    Bed::new(&project, Served(Some(index)), &["lock"])
}

/// The name of a chain, which no other has: two tests of a verb run at once, and each removes its own images.
fn name_for(verb: &str) -> String {
    static CHAINS: AtomicUsize = AtomicUsize::new(0);
    let number = CHAINS.fetch_add(1, Ordering::Relaxed);
    format!("any-call-{verb}-{number}")
}

/// A chain of which two images are built, and one on the other is put together.
fn built(_: usize) -> Bed<Machine> {
    let chain = Chain::new(&name_for("build")).with_job_of_files();
    let project = chain.project.clone();
    project.succeed(&["lock"]);
    project.succeed(&["build"]);
    project.write("docker/ds/ds.txt", "new\n");
    project.write("src/jobs/two.py", "VALUE = 2\n");
    let machine = Machine::new(chain, false, None, &["ds", "job"]);
    Bed::new(&project, machine, &["build"])
}

/// A chain of which three images are pushed from the daemon, and one is put together in the registry.
fn pushed(_: usize) -> Bed<Machine> {
    let chain = Chain::with_registry(&name_for("push")).with_job_of_files();
    let project = chain.project.clone();
    project.succeed(&["lock"]);
    project.succeed(&["build"]);
    let machine = Machine::new(chain, true, None, &[]);
    Bed::new(&project, machine, &["push"])
}

/// The same that was pushed, and is copied into another registry.
fn promoted(_: usize) -> Bed<Machine> {
    let chain = Chain::with_registry(&name_for("promote")).with_job_of_files();
    let prod = Registry::with_password(USER, PASSWORD);
    let project = chain.project.clone();
    let (dev, other) = (&chain.host, prod.host());
    project.sign_in_to(&[dev, &other], USER, PASSWORD);
    let line = format!("registries.main = \"{dev}/small\"\n");
    let both = format!("{line}registries.prod = \"{other}/small\"\n");
    project.edit("sparkpack.toml", &line, &both);
    project.succeed(&["lock"]);
    project.succeed(&["push", "--registry", "main"]);
    let machine = Machine::new(chain, false, Some(prod), &[]);
    Bed::new(
        &project,
        machine,
        &["promote", "--registry", "main", "--to", "prod"],
    )
}

#[test]
fn package_is_killed_at_any_call() {
    kill_at_calls("package", 5, packed);
}

#[test]
fn lock_is_killed_at_any_call() {
    kill_at_calls("lock", 5, locked);
}

#[test]
fn build_is_killed_at_any_call() {
    kill_at_calls("build", 40, built);
}

#[test]
fn push_is_killed_at_any_call() {
    kill_at_calls("push", 40, pushed);
}

#[test]
fn promote_is_killed_at_any_call() {
    kill_at_calls("promote", 40, promoted);
}

#[test]
fn package_is_told_of_a_disk_that_fails_at_any_call() {
    fail_at_calls("package", 15, packed);
}

#[test]
fn pin_is_told_of_a_disk_that_fails_at_any_call() {
    fail_at_calls("pin with all its threads", 15, pinned);
}

#[test]
fn build_is_told_of_a_disk_that_fails_at_any_call() {
    fail_at_calls("build", 61, built);
}

#[test]
fn push_is_told_of_a_disk_that_fails_at_any_call() {
    fail_at_calls("push", 41, pushed);
}
