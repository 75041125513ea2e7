//! Tests against this machine's daemon with a registry of its own, and against fake daemons that misbehave.
//!
//! `scripts/test` installs and starts what they need. The images have names with `dockertest`, and are removed.

mod load;
mod misbehaving;
mod tls;
mod transfer;

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    time::Duration,
};

use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListImagesOptionsBuilder, RemoveImageOptionsBuilder,
};

use super::{daemon::BuilderKind, host::DockerEnvironment, *};
use crate::{
    adapters::{
        builder::{BuildError, BuildEvent, BuildRequest},
        destination::Destination,
        fakes,
        secrets::BuildSecrets,
    },
    code::Code,
    image::{Digest, ImageInfo, ImagePython, Platform, Reference},
    project::tree::{Content, Entry},
};

const BUILDERS: [BuilderKind; 2] = [BuilderKind::BuildKit, BuilderKind::Classic];

/// The daemon, and the images that have to be removed.
struct DaemonFixture {
    daemon: Daemon,
    images: Vec<String>,
    label: Option<String>,
}

impl DaemonFixture {
    /// Expects a daemon: `scripts/test` starts one.
    fn new(builder: Option<BuilderKind>) -> Self {
        let environment = DockerEnvironment {
            buildkit: builder.map(|builder| builder == BuilderKind::BuildKit),
            ..DockerEnvironment::of_process()
        };
        Self {
            daemon: Daemon::connect_in(&environment).unwrap(),
            images: Vec::new(),
            label: None,
        }
    }

    /// A name for an image of this test and this run.
    fn name(&mut self, test: &str) -> Reference {
        let builder = match self.daemon.builder {
            BuilderKind::BuildKit => "buildkit",
            BuilderKind::Classic => "classic",
        };
        let repository = format!("127.0.0.1:5000/dockertest/{test}");
        let tag = format!("{builder}-{}", std::process::id());
        let name = format!("{repository}:{tag}");
        self.images.push(name.clone());
        name.parse().unwrap()
    }

    /// Labels by which images without a name are found again.
    fn labels(&mut self) -> BTreeMap<String, String> {
        let key = "dev.sparkpack.dockertest".to_owned();
        let value = format!("{:?}-{}", self.daemon.builder, std::process::id());
        self.label = Some(format!("{key}={value}"));
        BTreeMap::from([(key, value)])
    }

    fn remove_labelled(&self, label: &str) {
        let filters = HashMap::from([("label", vec![label])]);
        let options = ListImagesOptionsBuilder::default()
            .all(true)
            .filters(&filters);
        let images = self.daemon.client.list_images(Some(options.build()));
        for image in self.daemon.ask(images).unwrap_or_default() {
            self.remove(&image.id);
        }
    }

    fn remove(&self, name: &str) {
        let options = RemoveImageOptionsBuilder::default().force(true).build();
        let client = self.daemon.client.clone();
        // The image may be gone already.
        let _ = self
            .daemon
            .ask(client.remove_image(name, Some(options), None));
    }

    /// An image with a shell that needs no libraries: Debian's busybox-static.
    fn shell(&mut self, test: &str) -> Reference {
        let busybox = ["/bin/busybox", "/usr/bin/busybox"];
        let mut busybox = busybox.iter().map(Path::new);
        let busybox = busybox.find(|path| path.is_file()).unwrap();
        let link = |path: &str| Entry {
            path: path.to_owned(),
            content: Content::Symlink {
                target: "/bin/busybox".to_owned(),
            },
        };
        let entries = [
            Entry::of_file("bin/busybox", busybox, true).unwrap(),
            link("bin/sh"),
        ];
        let name = self.name(&format!("{test}-shell"));
        let labels = BTreeMap::new();
        self.daemon
            .import(&entries, &labels, &Platform::default(), &name)
            .unwrap();
        name
    }

    fn build(&self, request: &BuildRequest) -> (Result<ImageInfo, BuildError>, Vec<BuildEvent>) {
        let mut events = Vec::new();
        let builder = self.daemon.builder();
        let result = builder.build(request, &mut |event| events.push(event));
        (result, events)
    }
}

impl Drop for DaemonFixture {
    fn drop(&mut self) {
        // Children first: a parent with children only loses its name.
        self.images.iter().rev().for_each(|name| self.remove(name));
        // Twice, because a parent can be removed only after its children.
        for label in self.label.iter().chain(&self.label) {
            self.remove_labelled(label);
        }
    }
}

fn request(reference: &Reference, dockerfile: &str, mut entries: Vec<Entry>) -> BuildRequest {
    entries.push(Entry::in_memory("Dockerfile", dockerfile, false));
    BuildRequest {
        entries,
        ..fakes::request(&reference.to_string())
    }
}

/// The code of a build's error.
fn code(error: &BuildError) -> &'static str {
    match error {
        BuildError::Failed { .. } => "E602",
        BuildError::Mismatch(_) => "E606",
        BuildError::Docker(error) => error.code().as_str(),
        other => panic!("{other}"),
    }
}

fn steps(events: &[BuildEvent]) -> Vec<(usize, usize, &str, bool)> {
    let steps = events.iter().map(|event| match event {
        BuildEvent::Step {
            number,
            total,
            instruction,
            cached,
        } => Some((*number, *total, instruction.as_str(), *cached)),
        _ => None,
    });
    steps.flatten().collect()
}

fn lines(events: &[BuildEvent]) -> Vec<&str> {
    let lines = events.iter().map(|event| match event {
        BuildEvent::Log(line) => Some(line.as_str()),
        _ => None,
    });
    lines.flatten().collect()
}

#[test]
fn a_daemon_can_be_shared_by_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Daemon>();
}

#[test]
fn both_builders_make_the_image_that_was_asked_for() {
    for builder in BUILDERS {
        let mut fixture = DaemonFixture::new(Some(builder));
        let name = fixture.name("plain");
        let dockerfile = "FROM scratch AS first\nARG TEXT\nCOPY files/a /a\nLABEL text=$TEXT\nFROM first\nCOPY nothing /nothing\nFROM none\n";
        // The last stage cannot be built: the target leaves it out.
        let dockerfile = dockerfile.replace("FROM first\n", "FROM first AS wanted\n");
        let mut request = request(
            &name,
            &dockerfile,
            vec![Entry::in_memory("files/a", "a\n", false)],
        );
        let nonce = format!("{builder:?} \"$HOME\" \\ + / = ü {}", std::process::id());
        request.folders.push("nothing".to_owned());
        request.target = Some("wanted".to_owned());
        request
            .labels
            .insert("dev.sparkpack.test".to_owned(), nonce.clone());
        request
            .build_arguments
            .insert("TEXT".to_owned(), nonce.clone());
        let (result, events) = fixture.build(&request);
        let built = result.unwrap();
        let info = fixture.daemon.inspect(&name.to_string()).unwrap().unwrap();
        assert_eq!((&info, &info.platform), (&built, &Platform::default()));
        assert_eq!((info.diff_ids.len(), info.size), (2, 2), "{builder:?}");
        assert_eq!(info.labels["dev.sparkpack.test"], nonce);
        assert_eq!(info.labels["text"], nonce);
        assert!(info.repo_digests.is_empty());
        let texts: Vec<&str> = steps(&events).iter().map(|step| step.2).collect();
        assert!(
            texts.contains(&"COPY files/a /a"),
            "{builder:?}: {events:?}"
        );
        let sent = events
            .iter()
            .any(|event| matches!(event, BuildEvent::Sent(bytes) if *bytes >= 1024));
        assert!(sent, "{builder:?}: {events:?}");
        let (again, events) = fixture.build(&request);
        assert_eq!(again.unwrap().id, built.id);
        let copy = steps(&events)
            .into_iter()
            .find(|step| step.2 == "COPY files/a /a");
        assert!(copy.unwrap().3, "{builder:?}: {events:?}");
    }
}

/// The session's own protocol, with a real daemon: a value reaches the step, and neither the image nor the output has it.
#[test]
fn a_step_mounts_a_secret_and_what_it_prints_is_masked() {
    let mut fixture = DaemonFixture::new(Some(BuilderKind::BuildKit));
    let shell = fixture.shell("secret");
    let name = fixture.name("secret");
    let value = format!("s3cret-{}", std::process::id());
    let dockerfile = format!(
        "FROM {shell}\nRUN --mount=type=secret,id=token,required=true \
         /bin/busybox cat /run/secrets/token && /bin/busybox echo , && /bin/busybox test -s /run/secrets/token\n"
    );
    let mut request = request(&name, &dockerfile, Vec::new());
    request.secrets = BuildSecrets::of("token", value.as_bytes());
    request.no_cache = true;
    let (result, events) = fixture.build(&request);
    assert!(result.is_ok(), "{result:?}");
    assert_eq!(lines(&events), ["***,"]);

    request.secrets = BuildSecrets::of("other", value.as_bytes());
    let (result, _) = fixture.build(&request);
    assert_eq!(code(&result.unwrap_err()), "E602");
}

/// The daemon's message names the whole command, and what a failed step printed is shown again.
#[test]
fn a_step_that_fails_does_not_tell_its_secret() {
    let mut fixture = DaemonFixture::new(Some(BuilderKind::BuildKit));
    let shell = fixture.shell("secret-fails");
    let name = fixture.name("secret-fails");
    let value = format!("s3cret-{}", std::process::id());
    let dockerfile = format!(
        "FROM {shell}\nRUN --mount=type=secret,id=token,required=true \
         /bin/busybox cat /run/secrets/token && echo {value} && exit 7\n"
    );
    let mut request = request(&name, &dockerfile, Vec::new());
    request.secrets = BuildSecrets::of("token", value.as_bytes());
    request.no_cache = true;
    let (result, _) = fixture.build(&request);
    let error = result.unwrap_err();
    let BuildError::Failed {
        last_lines,
        message,
        ..
    } = &error
    else {
        panic!("{error}")
    };
    assert!(message.contains("echo ***"), "{message}");
    assert!(!message.contains(&value), "{message}");
    assert_eq!(*last_lines, ["******"]);
}

/// An agent that sends back what it is told; the step speaks to it by its socket.
#[test]
fn a_step_speaks_with_the_ssh_agent() {
    let mut fixture = DaemonFixture::new(Some(BuilderKind::BuildKit));
    let name = fixture.name("ssh");
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("agent.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let agent = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().unwrap();
        let mut question = [0; 5];
        stream.read_exact(&mut question).unwrap();
        stream.write_all(b"\0\0\0\x05\x0c\0\0\0\0").unwrap();
        question
    });
    // The agent protocol: the request for the identities, and the answer that there are none.
    let dockerfile = "FROM debian:bookworm-slim\nRUN --mount=type=ssh,required=true perl -MIO::Socket::UNIX -e \
        'my $s = IO::Socket::UNIX->new(Peer => $ENV{SSH_AUTH_SOCK}) or die $!; print $s pack(\"NC\", 1, 11); $s->flush; \
        read($s, my $a, 9) == 9 or die; die unless $a eq pack(\"NCN\", 5, 12, 0);'\n";
    let mut request = request(&name, dockerfile, Vec::new());
    request.no_cache = true;
    request.secrets.ssh_agent = Some(socket);
    let (result, events) = fixture.build(&request);
    assert!(result.is_ok(), "{result:?} {events:?}");
    assert_eq!(agent.join().unwrap(), [0, 0, 0, 1, 11]);
}

#[test]
fn a_copy_of_what_is_not_there_names_its_instruction() {
    for builder in BUILDERS {
        let mut fixture = DaemonFixture::new(Some(builder));
        let name = fixture.name("missing");
        let request = request(&name, "FROM scratch\nCOPY missing /\n", Vec::new());
        let (result, events) = fixture.build(&request);
        let error = result.unwrap_err();
        assert_eq!(code(&error), "E602");
        let BuildError::Failed {
            instruction,
            message,
            ..
        } = &error
        else {
            panic!("{error}")
        };
        assert!(message.contains("missing"), "{builder:?}: {message}");
        assert_eq!(
            instruction.as_deref(),
            Some("COPY missing /"),
            "{builder:?}: {error:?} {events:?}"
        );
        assert_eq!(fixture.daemon.inspect(&name.to_string()).unwrap(), None);
    }
}

#[test]
fn a_command_that_fails_shows_its_last_lines() {
    for builder in BUILDERS {
        let mut fixture = DaemonFixture::new(Some(builder));
        let shell = fixture.shell("fails");
        let name = fixture.name("fails");
        let run = "RUN for n in $(busybox seq 1 30); do echo line $n; done; sleep 1; echo to the error output >&2; exit 7";
        let (result, events) = fixture.build(&request(
            &name,
            &format!("FROM {shell}\n{run}\n"),
            Vec::new(),
        ));
        let error = result.unwrap_err();
        let BuildError::Failed {
            instruction,
            step,
            last_lines,
            message,
            ..
        } = &error
        else {
            panic!("{error}")
        };
        assert_eq!(instruction.as_deref(), Some(run));
        assert_eq!(*step, Some((2, 2)));
        assert!(message.contains("code: 7"), "{message}");
        assert_eq!(last_lines.len(), 20, "{builder:?}: {error:?}");
        let (first, last) = (&*last_lines[0], &*last_lines[19]);
        assert_eq!(
            (first, last),
            ("line 12", "to the error output"),
            "{builder:?}"
        );
        let lines = lines(&events);
        assert_eq!((lines[0], lines.len()), ("line 1", 31), "{builder:?}");
    }
}

#[test]
fn a_dockerfile_that_is_none_is_a_failed_build() {
    for builder in BUILDERS {
        let mut fixture = DaemonFixture::new(Some(builder));
        let name = fixture.name("broken");
        for dockerfile in ["FRO scratch\n", "", "FROM scratch\nCOPY\n"] {
            let (result, _) = fixture.build(&request(&name, dockerfile, Vec::new()));
            let error = result.unwrap_err();
            assert_eq!(code(&error), "E602", "{builder:?}: {error:?}");
        }
    }
}

#[test]
fn a_parent_is_named_by_a_tag_that_holds_its_image_id() {
    for builder in BUILDERS {
        let mut fixture = DaemonFixture::new(Some(builder));
        let parent = fixture.name("parent");
        let entries = [Entry::in_memory("a", "a", false)];
        let id = fixture
            .daemon
            .import(&entries, &BTreeMap::new(), &Platform::default(), &parent)
            .unwrap()
            .id;
        // BuildKit takes a bare image ID for a name on Docker Hub.
        let exact = parent.repository.with_tag(id.hex());
        fixture.images.push(exact.to_string());
        fixture.daemon.tag(&id, &exact).unwrap();
        let name = fixture.name("child");
        let dockerfile = format!("FROM {exact}\nCOPY Dockerfile /\n");
        let (result, _) = fixture.build(&request(&name, &dockerfile, Vec::new()));
        let info = |name: &str| fixture.daemon.inspect(name).unwrap().unwrap();
        let child = info(result.unwrap().id.as_str());
        assert!(child.stands_on(&info(id.as_str())), "{child:?}");
        assert_eq!(child.diff_ids.len(), 2);
    }
}

#[test]
fn a_large_context_is_streamed_from_the_disk() {
    let mut fixture = DaemonFixture::new(None);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("large");
    let size = 50 << 20;
    fs_err::File::create(&file).unwrap().set_len(size).unwrap();
    let entry = Entry::of_file("large", &file, false).unwrap();
    let name = fixture.name("large");
    let (result, events) =
        fixture.build(&request(&name, "FROM scratch\nCOPY large /\n", vec![entry]));
    let built = result.unwrap();
    let sent: Vec<u64> = events
        .iter()
        .filter_map(|event| match event {
            BuildEvent::Sent(bytes) => Some(*bytes),
            _ => None,
        })
        .collect();
    assert!(sent.is_sorted() && *sent.last().unwrap() > size, "{sent:?}");
    assert_eq!(built.size, size);
}

#[test]
fn a_context_that_changed_is_told_by_its_own_error() {
    for builder in BUILDERS {
        let mut fixture = DaemonFixture::new(Some(builder));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        fs_err::write(&file, vec![1; 1 << 20]).unwrap();
        let entry = Entry::of_file("a", &file, false).unwrap();
        fs_err::write(&file, vec![2; 1 << 20]).unwrap();
        let name = fixture.name("changed");
        let (result, _) = fixture.build(&request(
            &name,
            "FROM scratch\nCOPY . /\n",
            vec![entry.clone()],
        ));
        let error = result.unwrap_err();
        assert_eq!(code(&error), "E608", "{builder:?}: {error:?}");
        assert!(
            error.to_string().contains("`a` changed during the run"),
            "{error}"
        );
        let imported =
            fixture
                .daemon
                .import(&[entry], &BTreeMap::new(), &Platform::default(), &name);
        assert_eq!(imported.unwrap_err().code(), "E608");
        assert_eq!(fixture.daemon.inspect(&name.to_string()).unwrap(), None);
    }
}

#[test]
fn an_imported_image_can_be_copied_from() {
    for builder in BUILDERS {
        let mut fixture = DaemonFixture::new(Some(builder));
        let source = fixture.name("imported");
        let entries = [
            Entry::in_memory("folder/tool", "#!/bin/sh\n", true),
            Entry::in_memory("folder/text", "text\n", false),
        ];
        let labels = BTreeMap::from([
            ("dev.sparkpack.stage".to_owned(), "source".to_owned()),
            (
                "odd key".to_owned(),
                r#"a "b" $HOME ${X:-y} \n \ 'c' # ü= "#.to_owned(),
            ),
        ]);
        let platform = Platform::default();
        let imported = fixture
            .daemon
            .import(&entries, &labels, &platform, &source)
            .unwrap();
        let info = fixture
            .daemon
            .inspect(&source.to_string())
            .unwrap()
            .unwrap();
        assert_eq!((&info, info.diff_ids.len()), (&imported, 1));
        assert_eq!((info.labels, info.size), (labels, 15));
        let name = fixture.name("copies");
        let dockerfile = format!("FROM scratch\nCOPY --from={source} /folder/text /text\n");
        let (result, _) = fixture.build(&request(&name, &dockerfile, Vec::new()));
        let copied = fixture
            .daemon
            .inspect(result.unwrap().id.as_str())
            .unwrap()
            .unwrap();
        assert_eq!(copied.size, 5);
        let mut tar = Vec::new();
        crate::package::archive::write_tar(&entries, &[], &mut tar).unwrap();
        assert_eq!(
            info.diff_ids,
            [Digest::of(&tar)],
            "the layer is the tar, byte for byte"
        );
    }
}

#[test]
fn tags_that_several_set_at_once_are_set() {
    let mut fixture = DaemonFixture::new(None);
    let labels = fixture.labels();
    let name = fixture.name("contended");
    let images: Vec<Digest> = ["a", "b"]
        .iter()
        .map(|text| {
            let source = fixture.name(&format!("contended-{text}"));
            let entries = [Entry::in_memory("file", *text, false)];
            let platform = Platform::default();
            let made = fixture.daemon.import(&entries, &labels, &platform, &source);
            made.unwrap().id
        })
        .collect();
    let daemon = &fixture.daemon;
    std::thread::scope(|scope| {
        for id in images.iter().cycle().take(4) {
            let name = &name;
            scope.spawn(move || {
                for _ in 0..5 {
                    daemon.tag(id, name).unwrap();
                }
            });
        }
    });
    let named = daemon.inspect(&name.to_string()).unwrap().unwrap();
    assert!(images.contains(&named.id));
}

#[test]
fn an_image_of_another_platform_gets_no_name() {
    for builder in BUILDERS {
        let mut fixture = DaemonFixture::new(Some(builder));
        let labels = fixture.labels();
        let source = fixture.name("native");
        let entries = [Entry::in_memory("a", "a", false)];
        let native = Platform::default();
        let foreign: Platform = "linux/s390x".parse().unwrap();
        fixture
            .daemon
            .import(&entries, &labels, &native, &source)
            .unwrap();
        let name = fixture.name("foreign");
        let mut request = request(&name, &format!("FROM {source}\nLABEL x=y\n"), Vec::new());
        request.labels = labels.clone();
        request.platform = foreign.clone();
        let (result, _) = fixture.build(&request);
        // One builder uses the native parent; the other looks for a foreign one in the registry, which does not exist.
        let error = result.unwrap_err();
        let wanted = ["E602", "E606"][usize::from(builder == BuilderKind::Classic)];
        assert_eq!(code(&error), wanted, "{builder:?}: {error:?}");
        assert_eq!(fixture.daemon.inspect(&name.to_string()).unwrap(), None);
        match fixture.daemon.import(&entries, &labels, &foreign, &name) {
            Ok(imported) => assert_eq!(imported.platform, foreign),
            // Old daemons import only for their own platform.
            Err(error) => {
                assert_eq!(error.code(), "E606", "{error:?}");
                assert_eq!(fixture.daemon.inspect(&name.to_string()).unwrap(), None);
            }
        }
    }
}

#[test]
fn labels_that_no_url_holds_are_refused_before_anything_is_sent() {
    let mut fixture = DaemonFixture::new(None);
    let name = fixture.name("labels");
    let mut request = request(&name, "FROM scratch\nCOPY Dockerfile /\n", Vec::new());
    request
        .labels
        .insert("record".to_owned(), "x".repeat(58 << 10));
    let (result, _) = fixture.build(&request);
    assert!(result.is_ok(), "{result:?}");
    request
        .labels
        .insert("record".to_owned(), "+".repeat(21 << 10));
    let (result, events) = fixture.build(&request);
    let error = result.unwrap_err();
    assert_eq!((code(&error), events.len()), ("E607", 0), "{error}");
    let broken = BTreeMap::from([("a".to_owned(), "b\nENV X=y".to_owned())]);
    let imported = fixture
        .daemon
        .import(&[], &broken, &Platform::default(), &name);
    assert_eq!(imported.unwrap_err().code(), "E607");
}

#[test]
fn a_daemon_is_a_destination() {
    let mut fixture = DaemonFixture::new(None);
    let (name, other) = (fixture.name("found"), fixture.name("renamed"));
    let platform = Platform::default();
    let entries = [Entry::in_memory("a", "a", false)];
    let imported = fixture
        .daemon
        .import(&entries, &BTreeMap::new(), &platform, &name);
    let imported = imported.unwrap();
    let daemon: &dyn Destination<Stored = ImageInfo> = &fixture.daemon;
    let find = |reference| daemon.find(reference, &platform).unwrap();
    assert_eq!((find(&name), find(&other)), (Some(imported.clone()), None));
    assert!(daemon.tag(&imported, &other).unwrap());
    assert_eq!(find(&other), Some(imported));
}

#[test]
fn tags_and_info_of_what_is_not_there() {
    let mut fixture = DaemonFixture::new(None);
    let name = fixture.name("nowhere");
    let id = Digest::of(b"no image");
    assert_eq!(fixture.daemon.inspect(&name.to_string()).unwrap(), None);
    assert_eq!(fixture.daemon.inspect(id.as_str()).unwrap(), None);
    let error = fixture.daemon.tag(&id, &name).unwrap_err();
    assert_eq!(error.code(), "E605");
    assert!(error.to_string().contains("No such image"), "{error}");
    let untagged = name.repository.with_digest(&id);
    assert_eq!(
        fixture.daemon.tag(&id, &untagged).unwrap_err().code(),
        "E605"
    );
}

/// The files of images, what their Dockerfile says about `PATH`, and their Python.
fn pythons() -> [(&'static str, Vec<Entry>, &'static str, ImagePython); 6] {
    let link = |path: &str, target: &str| Entry {
        path: path.to_owned(),
        content: Content::Symlink {
            target: target.to_owned(),
        },
    };
    let file = |path: &str, text: &str| Entry::in_memory(path, text, true);
    let on_debian = |others: &[Entry]| {
        let mut entries = others.to_vec();
        entries.push(link("etc/os-release", "../usr/lib/os-release"));
        let text = "ID=debian\nVERSION_ID=\"12\"\n";
        entries.push(file("usr/lib/os-release", text));
        entries
    };
    let debian = ImagePython::OfDistribution {
        id: "debian".to_owned(),
        version: "12".to_owned(),
    };
    let program = |path: &str| ImagePython::Program(path.to_owned());
    let own = [
        link("usr/local/bin/python3", "python3.12"),
        file("usr/local/bin/python3.12", "elf"),
        link("usr/bin/python3", "python3.11"),
        file("usr/bin/python3.11", "elf"),
    ];
    let installed = [
        link("usr/bin/python3", "/etc/alternatives/python3"),
        link("etc/alternatives/python3", "/usr/bin/python3.11"),
        file("usr/bin/python3.11", "elf"),
    ];
    let conda = vec![
        link("opt/conda/bin/python3", "python"),
        file("opt/conda/bin/python", "elf"),
    ];
    let later = [
        file("opt/python/python3", "elf"),
        link("usr/bin/python3", "nowhere"),
    ];
    let (first, last) = (
        "ENV PATH=/opt/conda/bin:/usr/bin\n",
        "ENV PATH=/usr/bin:/opt/python\n",
    );
    [
        ("none", vec![file("a", "a")], "", ImagePython::Unknown),
        ("distribution", on_debian(&[]), "", debian.clone()),
        (
            "own",
            on_debian(&own),
            "",
            program("/usr/local/bin/python3.12"),
        ),
        (
            "installed",
            on_debian(&installed),
            "",
            program("/usr/bin/python3.11"),
        ),
        ("variable", conda, first, program("/opt/conda/bin/python")),
        ("later", on_debian(&later), last, debian),
    ]
}

#[test]
fn an_images_python_is_the_first_on_its_path_or_that_of_its_distribution() {
    let mut fixture = DaemonFixture::new(None);
    for (name, mut entries, variable, wanted) in pythons() {
        entries.sort_by(|left, right| left.path.cmp(&right.path));
        let reference = fixture.name(&format!("python-{name}"));
        let dockerfile = format!("FROM scratch\nCOPY . /\n{variable}");
        let (built, _) = fixture.build(&request(&reference, &dockerfile, entries));
        let found = fixture.daemon.python(&built.unwrap()).unwrap();
        assert_eq!(found, wanted, "{name}");
    }
}

#[test]
fn an_image_is_looked_into_through_its_links() {
    let mut fixture = DaemonFixture::new(None);
    let shell = fixture.shell("looked-into").to_string();
    let image = fixture.daemon.inspect(&shell).unwrap().unwrap();
    let program = fixture.daemon.program(&image).unwrap().unwrap();
    assert_eq!(program.path, "/bin/busybox");
    assert!(program.runs_on(&image.platform), "{program:?}");

    let name = fixture.name("without-programs");
    let link = Entry {
        path: "bin/sh".to_owned(),
        content: Content::Symlink {
            target: "sh".to_owned(),
        },
    };
    let entries = [Entry::in_memory("a", "a", true), link];
    let (labels, platform) = (BTreeMap::new(), Platform::default());
    let image = fixture.daemon.import(&entries, &labels, &platform, &name);
    assert_eq!(fixture.daemon.program(&image.unwrap()).unwrap(), None);
}

#[test]
fn an_images_program_runs_without_a_network_and_no_longer_than_it_may() {
    let mut fixture = DaemonFixture::new(None);
    let name = fixture.shell("program");
    let image = fixture.daemon.inspect(&name.to_string()).unwrap().unwrap();
    let run = |script: &str, seconds| {
        let program = ProgramInImage {
            image: &image,
            name: "shell",
            user: "185",
            command: ["/bin/sh", "-c", script].map(str::to_owned).into(),
            input: b"asked\n",
            limit: Duration::from_secs(seconds),
        };
        let mut lines = Vec::new();
        let end = fixture.daemon.run_program(&program, &mut |line| {
            lines.push(match line {
                PrintedLine::Output(line) => line.to_owned(),
                PrintedLine::Error(line) => format!("! {line}"),
            });
        });
        (end, lines)
    };
    let script = "read line; echo $line; echo no >&2; /bin/busybox id -u; /bin/busybox hostname; \
                  /bin/busybox ls /sys/class/net; exit 3";
    let (end, mut lines) = run(script, 60);
    assert_eq!(end.unwrap(), ProgramEnd::Exit(Some(3)));
    // The two streams arrive in any order.
    lines.sort();
    assert_eq!(lines, ["! no", "185", "asked", "lo", "localhost"]);
    // Standard input stays open.
    let (end, lines) = run("while read line; do echo $line; done", 2);
    assert_eq!(end.unwrap(), ProgramEnd::OutOfTime);
    assert_eq!(lines, ["asked"]);
    let filters = HashMap::from([("ancestor", vec![image.id.as_str()])]);
    let options = ListContainersOptionsBuilder::default()
        .all(true)
        .filters(&filters);
    let left = fixture.daemon.client.list_containers(Some(options.build()));
    assert_eq!(fixture.daemon.ask(left).unwrap().len(), 0);
    let nothing = ImageInfo {
        id: Digest::of(b"nothing"),
        ..image.clone()
    };
    let program = ProgramInImage {
        image: &nothing,
        name: "nothing",
        user: "185",
        command: vec!["/bin/sh".to_owned()],
        input: b"",
        limit: Duration::from_mins(1),
    };
    let refused = fixture
        .daemon
        .run_program(&program, &mut |_| {})
        .unwrap_err();
    assert_eq!(refused.code(), Code::E605, "{refused}");
    assert!(
        refused
            .to_string()
            .starts_with("the Docker daemon could not run a program in the image `nothing`")
    );
}
