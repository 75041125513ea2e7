//! Two first pushes of the same images at the same time, from machines on which they have other bytes.

use std::{
    collections::{BTreeMap, BTreeSet, hash_map::DefaultHasher},
    hash::{Hash as _, Hasher as _},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::Duration,
};

use crate::support::{
    Asked, Fault, FaultProxy, PASSWORD, Registry, Root, Run, TestProject, USER, count,
    load_other_bytes, remove_images, rounds,
};

/// The images that are raced for by one pair of pushes.
const IMAGES: usize = 10;

/// The longest delay of a request.
const DELAY: u64 = 60;

/// A project on a machine of its own, as far as a registry can see.
struct Machine {
    proxy: FaultProxy,
    project: TestProject,
}

impl Machine {
    fn new(registry: &Registry, root: &Root) -> Self {
        let proxy = FaultProxy::before(&registry.host());
        let host = proxy.host();
        let project = TestProject::new(&[]);
        project.sign_in(&host, USER, PASSWORD);
        let mut text = format!(
            "format = 1\nproject = \"race\"\npin = \"tag+digest\"\nregistries.main = \"{host}/race\"\n\n\
             [chains.main]\nspark = \"4.1.4\"\npython = \"3.11\"\nroot = \"{}\"\n\n\
             [manifests]\nmain = [\"*.yml\"]\n",
            root.name
        );
        let mut manifest = String::new();
        for number in 0..IMAGES {
            let image = format!("\n[images.s{number}]\ndockerfile = \"s{number}/Dockerfile\"\n");
            text.push_str(&image);
            let pod = format!(
                "---\napiVersion: v1\nkind: Pod\nspec: {{containers: [{{image: {host}/race/s{number}:unbuilt}}]}}\n"
            );
            manifest.push_str(&pod);
            let path = format!("s{number}/Dockerfile");
            let dockerfile = format!("ARG ROOT\nFROM ${{ROOT}}\nCOPY s{number}/text.txt /\n");
            project.write(&path, &dockerfile);
        }
        project.write("pods.yml", &manifest);
        project.write("sparkpack.toml", &text);
        Self { proxy, project }
    }

    fn begin_round(&self, round: usize) {
        self.proxy.begin_anew();
        remove_images(&format!("{}/", self.proxy.host()));
        for number in 0..IMAGES {
            let text = format!("{round} {number}\n");
            self.project.write(&format!("s{number}/text.txt"), &text);
        }
    }

    /// The fingerprints of this checkout's images, by reference.
    fn fingerprints(&self) -> BTreeMap<String, String> {
        let tags = self.project.succeed(&["tags", "--format", "json"]).stdout;
        let tags: serde_json::Value = serde_json::from_str(&tags).unwrap();
        let images = tags["images"].as_array().unwrap().iter();
        let text = |image: &serde_json::Value, key: &str| image[key].as_str().unwrap().to_owned();
        images
            .map(|image| (text(image, "reference"), text(image, "fingerprint")))
            .collect()
    }

    /// Lets both machines see that a tag is free before either goes on, and delays each request that follows, before or
    /// after the registry has answered.
    fn harm(&self, round: usize, machine: usize, met: &Arc<Meetings>) {
        let staged: Arc<Mutex<BTreeSet<String>>> = Arc::default();
        let noted = Arc::clone(&staged);
        self.proxy.harm_always(
            |asked| asked.method == "PUT" && asked.is_of_daemon(),
            Fault::Call(Arc::new(move |asked| {
                noted.lock().unwrap().insert(image_of(asked));
            })),
        );
        let is_staged = move |asked: &Asked| {
            !asked.is_of_daemon() && staged.lock().unwrap().contains(&image_of(asked))
        };
        let meets = is_staged.clone();
        let met = Arc::clone(met);
        self.proxy.harm_always(
            move |asked| asked.method == "GET" && is_of_tag(asked) && meets(asked),
            Fault::CallAfter(Arc::new(move |asked| met.meet(&image_of(asked), machine))),
        );
        self.delay(round, machine, is_staged);
    }

    /// The same for a machine that copies images: it takes the tag for free when it looks for it first.
    fn harm_copies(&self, round: usize, met: &Arc<Meetings>) {
        let met = Arc::clone(met);
        self.proxy.harm_always(
            |asked| asked.method == "GET" && is_of_tag(asked),
            Fault::CallAfter(Arc::new(move |asked| met.meet(&image_of(asked), 1))),
        );
        self.delay(round, 1, |asked| asked.path.contains("/manifests/"));
    }

    /// Delays requests, before or after the registry has answered.
    fn delay(
        &self,
        round: usize,
        machine: usize,
        is_delayed: impl Fn(&Asked) -> bool + Clone + Send + Sync + 'static,
    ) {
        for after in [false, true] {
            let delay: Arc<dyn Fn(&Asked) + Send + Sync> = Arc::new(move |asked: &Asked| {
                let mut hasher = DefaultHasher::new();
                (round, machine, after, asked.index).hash(&mut hasher);
                let longer = if is_of_tag(asked) && asked.method == "PUT" {
                    4
                } else {
                    1
                };
                thread::sleep(Duration::from_millis(hasher.finish() % (longer * DELAY)));
            });
            let fault = if after {
                Fault::CallAfter(delay)
            } else {
                Fault::Call(delay)
            };
            self.proxy.harm_always(is_delayed.clone(), fault);
        }
    }
}

/// The repository of a request.
fn image_of(asked: &Asked) -> String {
    let path = asked.path.split('/').skip(2).take(2);
    path.collect::<Vec<_>>().join("/")
}

/// Whether a request is about a tag itself, and not about one that belongs to it.
fn is_of_tag(asked: &Asked) -> bool {
    let tag = asked.path.split_once("/manifests/");
    tag.is_some_and(|(_, tag)| tag.len() == 16)
}

/// Where both machines wait once for each other.
#[derive(Default)]
struct Meetings {
    come: Mutex<BTreeMap<String, BTreeSet<usize>>>,
    changed: Condvar,
}

impl Meetings {
    /// Who comes late, or not at all, is not waited for long.
    fn meet(&self, place: &str, machine: usize) {
        let mut come = self.come.lock().unwrap();
        if !come.entry(place.to_owned()).or_default().insert(machine) {
            return;
        }
        self.changed.notify_all();
        let alone = |come: &mut BTreeMap<String, BTreeSet<usize>>| come[place].len() < 2;
        let limit = Duration::from_secs(3);
        drop(self.changed.wait_timeout_while(come, limit, alone));
    }

    fn both(&self) -> usize {
        let come = self.come.lock().unwrap();
        come.values().filter(|come| come.len() == 2).count()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        remove_images(&format!("{}/", self.proxy.host()));
    }
}

/// What a push printed: the digests by the path and tag of the reference, without the host.
fn printed(run: &Run) -> BTreeMap<String, String> {
    assert_eq!(run.code, 0, "{}", run.stderr);
    let lines = run.stdout.lines().map(|line| {
        let (reference, digest) = line.split_once('@').unwrap();
        let path = reference.split_once('/').unwrap().1;
        (path.to_owned(), digest.to_owned())
    });
    lines.collect()
}

/// What is wrong after both machines have put the same images into a registry, and how many were put.
fn judge(registry: &Registry, machines: &[Machine; 2], runs: [&Run; 2]) -> (Vec<String>, usize) {
    let [first, second] = runs.map(printed);
    assert_eq!(first.len(), IMAGES);
    let mut failures = Vec::new();
    for (path, digest) in &first {
        let (repository, tag) = path.split_once(':').unwrap();
        let there = registry.whole_image(repository, tag);
        let is_told_by_both = second.get(path) == Some(digest);
        let is_pinned = machines.iter().all(|machine| {
            machine.project.read("sparkpack.pins").contains(digest)
                && machine.project.read("pods.yml").contains(digest)
        });
        if there.as_ref() != Some(digest) || !is_told_by_both || !is_pinned {
            failures.push(format!(
                "{path} is {there:?}, told were {digest} and {:?}, pinned: {is_pinned}",
                second.get(path)
            ));
        }
    }
    (failures, first.len())
}

/// Two machines with one lock.
fn machines(registry: &Registry, root: &Root) -> [Machine; 2] {
    let machines = [Machine::new(registry, root), Machine::new(registry, root)];
    machines[0].project.succeed(&["lock"]);
    let lock = machines[0].project.read("sparkpack.lock");
    machines[1].project.write("sparkpack.lock", &lock);
    machines
}

#[test]
fn two_first_pushes_of_other_bytes_end_in_the_digest_that_both_have_printed_and_pinned() {
    let registry = Registry::with_password(USER, PASSWORD);
    let root = Root::new("race", "race");
    let machines = machines(&registry, &root);
    let (mut failures, mut races, mut raced) = (Vec::new(), 0, 0);
    for round in 0..4 * rounds() {
        let met = Arc::new(Meetings::default());
        for (number, machine) in machines.iter().enumerate() {
            machine.begin_round(round);
            let fingerprints = machine.fingerprints();
            assert_eq!(fingerprints.len(), IMAGES);
            load_other_bytes(&fingerprints, &format!("{round} {number}"));
            machine.harm(round, number, &met);
        }
        let [first, second] = thread::scope(|scope| {
            let pushes = machines
                .each_ref()
                .map(|machine| scope.spawn(|| machine.project.run(&["push"])));
            pushes.map(|push| push.join().unwrap())
        });
        let (failed, of) = judge(&registry, &machines, [&first, &second]);
        failures.extend(failed);
        races += of;
        raced += met.both();
    }
    count("P2", "races for a tag", races, &failures);
    assert!(raced * 2 > races, "only {raced} of {races} were races");
}

#[test]
fn a_promotion_and_a_push_of_other_bytes_end_in_the_digest_that_both_have_printed_and_pinned() {
    let registry = Registry::with_password(USER, PASSWORD);
    let source = Registry::with_password(USER, PASSWORD);
    let root = Root::new("race-promote", "race-promote");
    let machines = machines(&registry, &root);
    let [pushing, promoting] = &machines;
    let (main, dev) = (promoting.proxy.host(), source.host());
    let project = &promoting.project;
    project.sign_in_to(&[&main, &dev], USER, PASSWORD);
    let line = format!("registries.main = \"{main}/race\"\n");
    let both = format!("{line}registries.dev = \"{dev}/race\"\n");
    project.edit("sparkpack.toml", &line, &both);
    let (mut failures, mut races, mut raced) = (Vec::new(), 0, 0);
    for round in 0..rounds() {
        let met = Arc::new(Meetings::default());
        for (number, machine) in machines.iter().enumerate() {
            machine.begin_round(round);
            let name = |(reference, fingerprint): (String, String)| match number {
                0 => (reference, fingerprint),
                _ => (reference.replace(&main, &dev), fingerprint),
            };
            let fingerprints = machine.fingerprints().into_iter().map(name).collect();
            load_other_bytes(&fingerprints, &format!("promote {round} {number}"));
        }
        promoting.project.succeed(&["push", "--registry", "dev"]);
        remove_images(&format!("{dev}/"));
        pushing.harm(round, 0, &met);
        promoting.harm_copies(round, &met);
        let [pushed, promoted] = thread::scope(|scope| {
            let push = scope.spawn(|| pushing.project.run(&["push"]));
            let promote = ["promote", "--registry", "dev", "--to", "main"];
            let promoted = promoting.project.run(&promote);
            [push.join().unwrap(), promoted]
        });
        let (failed, of) = judge(&registry, &machines, [&pushed, &promoted]);
        failures.extend(failed);
        races += of;
        raced += met.both();
    }
    count("P2", "races of a promotion with a push", races, &failures);
    assert!(raced * 2 > races, "only {raced} of {races} were races");
}
