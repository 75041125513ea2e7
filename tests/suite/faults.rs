//! Faults in passing between sparkpack, a Docker daemon and a registry: whatever single request one of them meets, the push
//! arrives, and what is told of it is true.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use crate::support::{
    Asked, Behind, Fault, FaultProxy, HttpAnswer, PASSWORD, Registry, Run, StandIn, UPSTREAM, USER,
    count, remove_images, rounds, sample,
};

/// Faults, each at one of the requests.
#[derive(Clone)]
struct Case(Vec<(usize, &'static str, Fault)>);

impl Case {
    fn name(&self) -> String {
        let faults = self.0.iter();
        let faults = faults.map(|(nth, name, _)| format!("{name} at request {nth}"));
        faults.collect::<Vec<_>>().join(", ")
    }

    fn harm(
        &self,
        proxy: &FaultProxy,
        fits: impl Fn(&Asked) -> bool + Copy + Send + Sync + 'static,
    ) {
        for (nth, _, fault) in &self.0 {
            proxy.harm_nth(*nth, fits, fault.clone());
        }
    }
}

/// Each of the faults in passing at each of so many requests.
fn at_each(requests: usize) -> Vec<Case> {
    let faults = Fault::transient();
    let at = |nth: usize| {
        let faults = faults.clone().into_iter();
        faults.map(move |(name, fault)| Case(vec![(nth, name, fault)]))
    };
    (0..requests).flat_map(at).collect()
}

/// Pairs of such cases, other ones for each `seed`.
fn pairs(singles: &[Case], count: usize, seed: u64) -> Vec<Case> {
    let mut state = seed;
    let mut next = || {
        // Knuth's generator; its upper bits are the random ones.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        singles[usize::try_from(state >> 33).unwrap() % singles.len()].clone()
    };
    let pair = |_| Case([next().0, next().0].concat());
    (0..count * rounds()).map(pair).collect()
}

/// Tries each case with one of the projects, which work side by side, and counts what became of those whose faults were met.
/// Retries, and races between connections, change the number of requests a little.
fn try_all(
    what: &str,
    projects: &[Behind<'_>],
    cases: &[Case],
    attempt: impl Fn(&Behind<'_>, usize, &Case) -> Result<(), String> + Sync,
) {
    let (next, met) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for project in projects {
            let (next, met, failures, attempt) = (&next, &met, &failures, &attempt);
            scope.spawn(move || {
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    let Some(case) = cases.get(number) else {
                        return;
                    };
                    let done = attempt(project, number, case);
                    if done.is_err() || project.proxy.harmed() > 0 {
                        met.fetch_add(1, Ordering::SeqCst);
                    }
                    if let Err(because) = done {
                        let text = format!("{}: {because}", case.name());
                        failures.lock().unwrap().push(text);
                    }
                }
            });
        }
    });
    let met = met.into_inner();
    count("P15", what, met, &failures.into_inner().unwrap());
    assert!(
        met * 5 >= cases.len() * 4,
        "only {met} of {} faults were met",
        cases.len()
    );
}

#[test]
fn a_job_arrives_whatever_requests_fail() {
    let registry = Registry::with_password(USER, PASSWORD);
    StandIn::new().push(&format!("{}/{UPSTREAM}", registry.host()));
    let projects: Vec<Behind> = (0..3).map(|_| Behind::job(&registry)).collect();
    let begin = |project: &Behind, folder: &str| {
        project.proxy.begin_anew();
        project.configure_job(folder);
        // So that the parent's documents are fetched, too.
        fs_err::remove_dir_all(project.project.cache()).unwrap();
    };
    begin(&projects[0], "undisturbed");
    let digest = projects[0].push("job").unwrap();
    let singles = at_each(projects[0].proxy.asked().len());
    let push = |project: &Behind, folder: &str, case: &Case| {
        begin(project, folder);
        case.harm(&project.proxy, |_| true);
        let pushed = project.push("job")?;
        if pushed == digest {
            Ok(())
        } else {
            Err(format!("the digest is {pushed} instead of {digest}"))
        }
    };
    let pairs = pairs(&singles, 60, 15);
    let singles = sample(singles, 2);
    try_all(
        "a push of a job, one fault each",
        &projects,
        &singles,
        |project, number, case| push(project, &format!("one{number}"), case),
    );
    try_all(
        "a push of a job, two faults each",
        &projects,
        &pairs,
        |project, number, case| push(project, &format!("two{number}"), case),
    );
}

#[test]
fn an_image_of_the_daemon_arrives_whatever_requests_fail() {
    let registry = Registry::with_password(USER, PASSWORD);
    let projects = ["a", "b", "c", "d"].map(|name| {
        let name = format!("fault-push-{name}");
        Behind::of_daemon(&registry, &name)
    });
    let begin = |project: &Behind, text: &str| {
        project.proxy.begin_anew();
        project.project.write("base/base.txt", text);
    };
    begin(&projects[0], "undisturbed");
    projects[0].push("base").unwrap();
    let singles = at_each(projects[0].proxy.asked().len());
    let push = |project: &Behind, text: &str, case: &Case| {
        begin(project, text);
        case.harm(&project.proxy, |_| true);
        project.push("base")?;
        Ok(())
    };
    let pairs = pairs(&singles, 40, 16);
    let singles = sample(singles, 4);
    try_all(
        "a push by the daemon, one fault each",
        &projects,
        &singles,
        |project, number, case| push(project, &format!("one {number}\n"), case),
    );
    try_all(
        "a push by the daemon, two faults each",
        &projects,
        &pairs,
        |project, number, case| push(project, &format!("two {number}\n"), case),
    );
}

#[test]
fn a_parent_is_pulled_whatever_requests_fail() {
    let registry = Registry::with_password(USER, PASSWORD);
    let projects = ["a", "b", "c", "d"].map(|name| {
        let name = format!("fault-pull-{name}");
        let project = Behind::of_daemon(&registry, &name);
        project.push("base").unwrap();
        project
    });
    let is_pull = |asked: &Asked| asked.path.contains("/base/") && asked.method == "GET";
    let begin = |project: &Behind, text: &str| {
        remove_images(&format!("{}/", project.proxy.host()));
        project.proxy.begin_anew();
        project.project.write("ds/ds.txt", text);
    };
    begin(&projects[0], "undisturbed");
    projects[0].push("ds").unwrap();
    let pulls = projects[0].proxy.asked();
    let singles = at_each(pulls.iter().filter(|asked| is_pull(asked)).count());
    let push = |project: &Behind, text: &str, case: &Case| {
        begin(project, text);
        case.harm(&project.proxy, is_pull);
        project.push("ds")?;
        Ok(())
    };
    let pairs = pairs(&singles, 20, 17);
    try_all(
        "a pull of a parent, one fault each",
        &projects,
        &singles,
        |project, number, case| push(project, &format!("one {number}\n"), case),
    );
    try_all(
        "a pull of a parent, two faults each",
        &projects,
        &pairs,
        |project, number, case| push(project, &format!("two {number}\n"), case),
    );
}

/// The sentence of an error, and its exit code.
fn error_of(run: &Run) -> String {
    let mut lines = run.stderr.lines();
    let error = lines.find(|line| line.starts_with("error["));
    format!("exit {}: {}", run.code, error.unwrap_or(&run.stderr))
}

fn is_put_of_manifest(asked: &Asked) -> bool {
    asked.method == "PUT" && asked.path.contains("/manifests/")
}

fn is_end_of_upload(asked: &Asked) -> bool {
    asked.method == "PUT" && asked.path.contains("/blobs/uploads/")
}

/// An answer that the registry has taken what it was not given.
fn taken() -> Fault {
    Fault::Answer(HttpAnswer::status(201))
}

/// The digest of something else.
const OTHER: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

type Lie = (&'static str, fn(&Asked) -> bool, Fault, &'static str);

/// What a registry, or a proxy before it, may say that is not true, at which requests, and the error of a push of a job.
fn lies() -> Vec<Lie> {
    let digest = |answer: &mut HttpAnswer| answer.set("docker-content-digest", OTHER);
    let is_read_back = |asked: &Asked| asked.method == "GET" && is_of_job(asked, "/manifests/");
    vec![
        (
            "a manifest is taken and not stored",
            is_put_of_manifest,
            taken(),
            "exit 5: error[E503]: cannot push `JOB`: the answer of `HOST` is not true",
        ),
        (
            "a manifest has another digest",
            is_put_of_manifest,
            Fault::lie(digest),
            "exit 5: error[E503]: cannot push `JOB`: the answer of `HOST` is not true",
        ),
        (
            "blobs are taken and not stored",
            is_end_of_upload,
            taken(),
            "exit 5: error[E502]: cannot push `JOB`: `HOST` took the image's blobs, and does not have all of them",
        ),
        (
            "a blob has another digest",
            is_end_of_upload,
            Fault::lie(digest),
            "exit 5: error[E503]: cannot push `JOB`: the answer of `HOST` is not true",
        ),
        (
            "what is read back is cut, and its length is right",
            is_read_back,
            Fault::lie(|answer| {
                if answer.status == 200 {
                    answer.body.truncate(answer.body.len() / 2);
                }
            }),
            "exit 5: error[E503]: cannot push `JOB`: the answer of `HOST` is not true",
        ),
        (
            "an upload goes on nowhere",
            |asked| asked.method == "POST",
            Fault::lie(|answer| answer.remove("location")),
            "exit 5: error[E502]: cannot push `JOB`: the answer of `HOST` is not understood",
        ),
    ]
}

fn is_of_job(asked: &Asked, part: &str) -> bool {
    asked.path.contains("/job/") && asked.path.contains(part)
}

#[test]
fn a_push_is_never_told_of_what_is_not_there() {
    let registry = Registry::with_password(USER, PASSWORD);
    StandIn::new().push(&format!("{}/{UPSTREAM}", registry.host()));
    let made = Behind::job(&registry);
    let host = made.proxy.host();
    for (number, (lie, fits, fault, wanted)) in lies().into_iter().enumerate() {
        let folder = format!("lie{number}");
        made.proxy.begin_anew();
        made.configure_job(&folder);
        let before = made.project.read("pod.yml");
        let reference = made.project.reference("job");
        made.proxy.harm_always(fits, fault);
        let run = made.project.run(&["push"]);
        let told = error_of(&run)
            .replace(&reference, "JOB")
            .replace(&host, "HOST");
        assert_eq!(told, wanted, "{lie}\n{}", run.stderr);
        assert!(made.proxy.harmed() > 0, "{lie}");
        assert_eq!(
            (run.stdout.as_str(), made.project.read("pod.yml")),
            ("", before),
            "{lie}"
        );
        // The next push mends whatever was left.
        made.proxy.begin_anew();
        made.push("job").unwrap();
    }
    count("P18", "answers that are not true", lies().len(), &[]);
}

#[test]
fn a_blob_that_was_lost_is_sent_again() {
    let registry = Registry::with_password(USER, PASSWORD);
    StandIn::new().push(&format!("{}/{UPSTREAM}", registry.host()));
    let made = Behind::job(&registry);
    made.proxy.harm(is_end_of_upload, taken());
    made.push("job").unwrap();
    assert_eq!(made.proxy.harmed(), 1);
}

#[test]
fn nothing_is_sent_to_another_host_whatever_the_registry_says() {
    let registry = Registry::with_password(USER, PASSWORD);
    StandIn::new().push(&format!("{}/{UPSTREAM}", registry.host()));
    let made = Behind::job(&registry);
    let thief = FaultProxy::before(&registry.host());
    let abroad = thief.host();
    made.proxy.harm_always(
        |asked| asked.method == "POST",
        Fault::lie(move |answer| {
            let location = answer.headers.iter().find(|(name, _)| name == "location");
            // The first answer may be that one has to sign in.
            if let Some((_, path)) = location.and_then(|(_, to)| to.split_once("/v2/")) {
                answer.set("location", &format!("http://{abroad}/v2/{path}"));
            }
        }),
    );
    let run = made.project.run(&["push"]);
    assert!(
        run.stderr.contains("it sends the upload to another host"),
        "{}",
        run.stderr
    );
    assert_eq!(run.code, 5);
    let asked = thief.asked();
    assert!(
        asked
            .iter()
            .all(|asked| !asked.has_credentials() && asked.sent == 0)
    );
    assert_eq!(asked.len(), 0, "{asked:?}");
}

#[test]
fn what_a_daemon_has_pushed_must_be_what_the_registry_has() {
    let registry = Registry::with_password(USER, PASSWORD);
    let made = Behind::of_daemon(&registry, "fault-other");
    made.push("base").unwrap();
    let host = made.proxy.host();
    let other = registry.ask(
        "GET",
        "/v2/fault-other/base/manifests/TAG"
            .replace(
                "TAG",
                made.project.reference("base").rsplit_once(':').unwrap().1,
            )
            .as_str(),
    );
    made.project.write("base/base.txt", "new\n");
    // A proxy serves an old image under every tag: consistent in itself, and from other inputs.
    made.proxy.harm_always(
        |asked| {
            asked.method == "GET" && asked.path.contains("/manifests/") && asked.path.contains('-')
        },
        Fault::Answer(other),
    );
    let run = made.project.run(&["push", "base"]);
    assert!(
        error_of(&run).starts_with("exit 3: error[E301]"),
        "{}",
        run.stderr
    );

    // The manifest is taken and not stored.
    made.proxy.begin_anew();
    let mut answer = HttpAnswer::status(201);
    answer.set("docker-content-digest", OTHER);
    made.proxy.harm_always(
        |asked| is_put_of_manifest(asked) && asked.is_of_daemon(),
        Fault::Answer(answer),
    );
    let run = made.project.run(&["push", "base"]);
    let told = error_of(&run).replace(&host, "HOST");
    assert!(
        told.starts_with("exit 6: error[E606]")
            && told.contains("the registry took it and does not have it"),
        "{told}"
    );
    made.proxy.begin_anew();
    made.push("base").unwrap();
}

#[test]
fn a_tag_that_is_moved_while_the_others_are_pushed_is_noticed() {
    let registry = Arc::new(Registry::with_password(USER, PASSWORD));
    let made = Behind::of_daemon(&registry, "fault-moved");
    let reference = made.project.reference("base");
    let tag = reference.rsplit_once(':').unwrap().1;
    let path = format!("/v2/fault-moved/base/manifests/{tag}");
    // While `ds` is pushed, somebody gives the tag of `base` to another image.
    let (others, is_moved) = (Arc::clone(&registry), AtomicUsize::new(0));
    let move_tag = move |asked: &Asked| {
        let is_due = asked.path.contains("/ds/") && is_put_of_manifest(asked);
        if is_due && is_moved.fetch_add(1, Ordering::SeqCst) == 0 {
            let there = others.ask("GET", &path);
            let mut other: serde_json::Value = serde_json::from_slice(&there.body).unwrap();
            other["annotations"] = serde_json::json!({ "by": "somebody" });
            others.put_manifest(&path, other.to_string().as_bytes());
        }
        false
    };
    made.proxy.harm_always(move_tag, Fault::status(500));
    let before = made.project.read("pod.yml");
    let run = made.project.run(&["push"]);
    let told = error_of(&run);
    assert!(
        told.starts_with("exit 6: error[E606]") && told.contains("was set to sha256:"),
        "{}",
        run.stderr
    );
    assert_eq!(
        (run.stdout.as_str(), made.project.read("pod.yml")),
        ("", before)
    );
    // The next run takes what has the tag.
    made.proxy.begin_anew();
    made.push("base").unwrap();
    made.push("ds").unwrap();
}

#[test]
fn a_registry_is_asked_itself_whatever_mirror_it_has() {
    let registry = Registry::with_password(USER, PASSWORD);
    StandIn::new().push(&format!("{}/{UPSTREAM}", registry.host()));
    let made = Behind::job(&registry);
    let mirror = FaultProxy::before(&registry.host());
    let (host, other) = (made.proxy.host(), mirror.host());
    let line = format!("[mirrors]\nregistries.\"{host}\" = \"{other}\"\n");
    made.project.edit("sparkpack.toml", "[mirrors]\n", &line);
    made.push("job").unwrap();
    made.push("job").unwrap();
    made.project.succeed(&["check", "--remote"]);
    assert_eq!(mirror.asked().len(), 0, "{:?}", mirror.asked());
}

#[test]
fn what_a_cache_keeps_of_a_head_is_not_taken_for_what_is_there() {
    let registry = Registry::with_password(USER, PASSWORD);
    StandIn::new().push(&format!("{}/{UPSTREAM}", registry.host()));
    let made = Behind::job(&registry);
    let digest = made.push("job").unwrap();
    let gone = registry.ask("DELETE", &format!("/v2/first/job/manifests/{digest}"));
    assert_eq!(gone.status, 202);
    let mut kept = HttpAnswer::status(200);
    kept.set("docker-content-digest", &digest);
    kept.set("content-type", "application/vnd.oci.image.manifest.v1+json");
    let is_head = |asked: &Asked| asked.method == "HEAD" && is_of_job(asked, "/manifests/");
    made.proxy.harm_always(is_head, Fault::Answer(kept));
    // Uploads that take longer than the first look at the tag is believed.
    let slow = Fault::Call(Arc::new(|_| {
        std::thread::sleep(std::time::Duration::from_millis(1300));
    }));
    made.proxy.harm_always(
        |asked| asked.method == "POST" && is_of_job(asked, "/uploads/"),
        slow,
    );
    assert_eq!(made.push("job").unwrap(), digest);
}

#[test]
fn an_index_that_a_tool_put_over_an_image_is_no_other_image() {
    let registry = Registry::with_password(USER, PASSWORD);
    StandIn::new().push(&format!("{}/{UPSTREAM}", registry.host()));
    let made = Behind::job(&registry);
    let digest = made.push("job").unwrap();
    let reference = made.project.reference("job");
    let tag = reference.rsplit_once(':').unwrap().1;
    let path = format!("/v2/first/job/manifests/{tag}");
    let size = registry.ask("GET", &path).body.len();
    let index = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": digest, "size": size,
            "platform": { "os": "linux", "architecture": "amd64" },
        }],
    });
    registry.put_manifest(&path, index.to_string().as_bytes());
    for _ in 0..2 {
        let run = made.project.succeed(&["push", "job"]);
        assert_eq!(run.stdout, format!("{reference}@{digest}\n"));
    }
}

#[test]
fn a_dry_run_names_every_request_that_writes_and_sends_none() {
    let registry = Registry::with_password(USER, PASSWORD);
    let made = Behind::of_daemon(&registry, "fault-dry");
    let host = made.proxy.host();
    let is_writing = |asked: &&Asked| !matches!(&*asked.method, "GET" | "HEAD");
    made.proxy.begin_anew();
    let before = made.project.files();
    let told = made.project.succeed(&["push", "--dry-run"]);
    assert_eq!(made.proxy.asked().iter().filter(is_writing).count(), 0);
    assert_eq!(made.project.files(), before);

    made.project.succeed(&["push"]);
    // What is known only when an image is made stands in capitals, and an upload goes on where the registry says.
    let mut wanted: Vec<String> = told.stdout.lines().map(str::to_owned).collect();
    let written: Vec<Asked> = made.proxy.asked();
    for asked in written.iter().filter(is_writing) {
        let path = asked.path.split('?').next().unwrap();
        let named = match path.split_once("/blobs/uploads/") {
            Some((repository, _)) => format!("POST {host}{repository}/blobs/uploads/"),
            None => format!("{} {host}{}", asked.method, of_any_image(path)),
        };
        assert!(
            told.stdout.lines().any(|line| line == named),
            "{named} is not among:\n{}",
            told.stdout
        );
        wanted.retain(|line| *line != named);
    }
    wanted.retain(|line| !line.starts_with("write "));
    assert_eq!(wanted, [""; 0], "nothing was named that is not done");

    // What is there already is not named, and another image that is missing is.
    assert_eq!(made.project.succeed(&["push", "--dry-run"]).stdout, "");
    made.project.write("ds/ds.txt", "new\n");
    let told = made.project.succeed(&["push", "--dry-run"]).stdout;
    assert!(told.contains("/ds/") && !told.contains("/base/"), "{told}");
}

/// A path with `IMAGE_ID` and `DIGEST` in a tag where those of an image stand.
fn of_any_image(path: &str) -> String {
    let (before, tag) = path.rsplit_once('/').unwrap();
    let tag = match *tag.split('-').collect::<Vec<_>>() {
        [tag, _] => format!("{tag}-IMAGE_ID"),
        [tag, _, round, alone] => format!("{tag}-DIGEST-{round}-{alone}"),
        _ => tag.to_owned(),
    };
    format!("{before}/{tag}")
}

#[test]
fn what_arrived_is_named_if_the_push_keeps_going() {
    let registry = Registry::with_password(USER, PASSWORD);
    let made = Behind::of_daemon(&registry, "fault-going");
    let pod = |image: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nspec: {{containers: [{{image: {}/fault-going/{image}:unbuilt}}]}}\n",
            made.proxy.host()
        )
    };
    made.project.write("base.yml", &pod("base"));
    made.project.write("ds.yml", &pod("ds"));
    let is_of_ds = |asked: &Asked| asked.path.contains("/ds/") && is_put_of_manifest(asked);
    made.proxy.harm_always(is_of_ds, Fault::status(503));
    let run = made.project.run(&["push", "--keep-going"]);
    assert!(
        error_of(&run).starts_with("exit 5: error[E507]"),
        "{}",
        run.stderr
    );
    let partly = "1 of 2 images are in the registry, the manifests name those; run it again, and it goes on from there";
    assert!(run.stderr.contains(partly), "{}", run.stderr);
    let reference = made.project.reference("base");
    assert!(
        run.stdout.starts_with(&format!("{reference}@sha256:")),
        "{}",
        run.stdout
    );
    assert!(made.project.read("base.yml").contains(&reference));
    assert_eq!(made.project.read("ds.yml"), pod("ds"));
    made.proxy.begin_anew();
    made.project.succeed(&["push"]);
    assert!(
        made.project
            .read("ds.yml")
            .contains(&made.project.reference("ds"))
    );
}

#[test]
fn a_registry_that_never_comes_back_is_told_with_what_has_arrived() {
    let registry = Registry::with_password(USER, PASSWORD);
    let made = Behind::of_daemon(&registry, "fault-gone");
    let is_of_ds = |asked: &Asked| asked.path.contains("/ds/") && is_put_of_manifest(asked);
    made.proxy.harm_always(is_of_ds, Fault::status(503));
    let run = made.project.run(&["push"]);
    let told = error_of(&run);
    assert!(
        told.starts_with("exit 5: error[E507]") && told.contains("also in 4 attempts"),
        "{}",
        run.stderr
    );
    let partly = "1 of 2 images are in the registry, no manifest was changed; run it again, and it goes on from there";
    assert!(run.stderr.contains(partly), "{}", run.stderr);
    made.proxy.begin_anew();
    made.push("ds").unwrap();
    let sent: Vec<Asked> = made.proxy.asked();
    assert!(
        !sent
            .iter()
            .any(|asked| asked.path.contains("/base/") && asked.method == "PUT")
    );
}
