//! Every judgement, by facts: what no machine at hand shows.

#![expect(clippy::too_many_lines, reason = "a test is a table")]

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{
    Cure, Diagnosis, Finding, Health, daemon,
    daemon::DaemonAnswer,
    machine::{self, Disk, WorkFolder},
    network::{self, CertificateFacts},
    project::ProjectNeeds,
    registry::{self, AskedRegistry, RegistryAnswer, RegistryFacts},
    tools,
};
use crate::{
    adapters::{
        docker::{AboutDaemon, BuilderInUse, DaemonKind, DockerError, Unreachable},
        git::{AboutCheckout, HookState, NoGit},
        python::PythonError,
        registry::{Cause, FailureKind, RegistryError, RegistryProbe, proxy_variables},
    },
    code::Code,
    error::Error,
    image::Platform,
};

/// Findings as a snapshot has them, each below what it is about.
#[derive(Default)]
struct Told(String);

impl Told {
    fn add(&mut self, about: &str, finding: &Finding) {
        let Finding {
            check,
            health,
            text,
            cure,
            code,
        } = finding.clone().in_one_line();
        let code = code.map_or_else(String::new, |code| format!(" {code}"));
        let cure = match cure {
            None => String::new(),
            Some(Cure::Command(command)) => format!("    run: {command}\n"),
            Some(Cure::Hint(hint)) => format!("    hint: {hint}\n"),
        };
        writeln!(self.0, "# {about}\n{health:?}{code} {check}: {text}").unwrap();
        self.0.push_str(&cure);
    }
}

fn platform(text: &str) -> Platform {
    text.parse().unwrap()
}

fn docker() -> AboutDaemon {
    AboutDaemon {
        address: "unix:///var/run/docker.sock".to_owned(),
        named_by: None,
        kind: DaemonKind::Docker,
        version: "28.0.1".to_owned(),
        is_rootless: false,
        builder: BuilderInUse::BuildKit,
        is_local: true,
        data: None,
        platform: Some(platform("linux/amd64")),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "it is one of several answers")]
fn unreachable(reason: Unreachable, named_by: Option<&str>) -> DaemonAnswer {
    Some(Err(DockerError::Unreachable {
        host: "unix:///var/run/docker.sock".to_owned(),
        named_by: named_by.map(str::to_owned),
        reason,
    }))
}

fn needs() -> ProjectNeeds {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    ProjectNeeds {
        built: names(&["base", "py"]),
        assembled: names(&["ds", "job"]),
        buildkit: Vec::new(),
        platforms: [platform("linux/amd64")].into(),
        packages: true,
        pythons: ["3.11".to_owned()].into(),
        made_chains: 1,
    }
}

#[test]
fn daemons() {
    let mut told = Told::default();
    let project = needs();
    let only_files = ProjectNeeds {
        built: Vec::new(),
        ..needs()
    };
    let only_built = ProjectNeeds {
        assembled: Vec::new(),
        ..needs()
    };
    let none = ProjectNeeds::default();
    let podman = AboutDaemon {
        kind: DaemonKind::Podman,
        version: "4.3.1".to_owned(),
        is_rootless: true,
        address: "unix:///run/user/7/podman/podman.sock".to_owned(),
        named_by: Some("DOCKER_HOST".to_owned()),
        ..docker()
    };
    let of_context = AboutDaemon {
        address: "tcp://10.0.0.1:2376".to_owned(),
        named_by: Some("the Docker context `far`".to_owned()),
        ..docker()
    };
    let no_socket = |other: Option<&str>| Unreachable::NoSocket {
        other: other.map(Into::into),
    };
    let other = Some("/run/user/7/docker.sock");
    let answers: Vec<(&str, DaemonAnswer, &ProjectNeeds)> = vec![
        ("docker", Some(Ok(docker())), &project),
        ("rootless podman", Some(Ok(podman)), &project),
        ("a context", Some(Ok(of_context)), &project),
        ("none", unreachable(no_socket(None), None), &project),
        (
            "none, only files",
            unreachable(no_socket(None), None),
            &only_files,
        ),
        (
            "none, only Dockerfiles",
            unreachable(no_socket(None), None),
            &only_built,
        ),
        (
            "none, no project",
            unreachable(no_socket(None), None),
            &none,
        ),
        (
            "another socket",
            unreachable(no_socket(other), None),
            &project,
        ),
        ("stopped", unreachable(Unreachable::Refused, None), &project),
        ("no right", unreachable(Unreachable::Denied, None), &project),
        (
            "named, none",
            unreachable(no_socket(None), Some("DOCKER_HOST")),
            &project,
        ),
        (
            "a file",
            unreachable(Unreachable::NotASocket, Some("DOCKER_HOST")),
            &project,
        ),
        (
            "a web server",
            unreachable(Unreachable::NotDocker("HTTP status 404".to_owned()), None),
            &project,
        ),
        (
            "not encrypted",
            unreachable(Unreachable::Plain, Some("DOCKER_HOST")),
            &project,
        ),
        (
            "ssh",
            unreachable(Unreachable::NotAnAddress, Some("DOCKER_HOST")),
            &project,
        ),
        (
            "no context",
            unreachable(
                Unreachable::NoContext("no file".to_owned()),
                Some("the Docker context `x`"),
            ),
            &project,
        ),
        ("silent", unreachable(Unreachable::Silent, None), &project),
        (
            "certificates",
            unreachable(Unreachable::Tls("expired".to_owned()), None),
            &project,
        ),
        (
            "broken",
            unreachable(Unreachable::Lost("reset".to_owned()), None),
            &project,
        ),
        ("too slow", None, &project),
    ];
    for (about, answer, needs) in answers {
        told.add(about, &daemon::of_daemon(&answer, needs));
    }
    insta::assert_snapshot!(told.0);
}

#[test]
fn builders_and_platforms() {
    let mut told = Told::default();
    let classic = |builder| {
        Some(Ok(AboutDaemon {
            builder,
            ..docker()
        }))
    };
    let heredoc = ProjectNeeds {
        buildkit: vec!["docker/job/Dockerfile:7: heredoc".to_owned()],
        ..needs()
    };
    let none = unreachable(Unreachable::Refused, None);
    for (about, answer, needs) in [
        ("buildkit", &Some(Ok(docker())), &heredoc),
        ("classic", &classic(BuilderInUse::Classic), &needs()),
        (
            "classic, not enough",
            &classic(BuilderInUse::Classic),
            &heredoc,
        ),
        ("chosen", &classic(BuilderInUse::ClassicByChoice), &needs()),
        (
            "chosen, not enough",
            &classic(BuilderInUse::ClassicByChoice),
            &heredoc,
        ),
        ("no daemon", &none, &heredoc),
    ] {
        told.add(about, &daemon::of_builder(answer, needs));
    }
    let both = ProjectNeeds {
        platforms: ["linux/amd64", "linux/arm64"].map(platform).into(),
        ..needs()
    };
    let files = ProjectNeeds {
        built: Vec::new(),
        ..both.clone()
    };
    let remote = Some(Ok(AboutDaemon {
        is_local: false,
        ..docker()
    }));
    let unknown = Some(Ok(AboutDaemon {
        platform: None,
        ..docker()
    }));
    let local = Some(Ok(docker()));
    for (about, answer, needs, arm64) in [
        ("its own", &local, &needs(), Some(false)),
        ("emulated", &local, &both, Some(true)),
        ("not emulated", &local, &both, Some(false)),
        ("nobody knows", &local, &both, None),
        ("another machine", &remote, &both, Some(false)),
        ("it does not say", &unknown, &both, Some(true)),
        ("only files", &local, &files, Some(false)),
        ("no daemon", &none, &both, Some(true)),
    ] {
        let emulated = BTreeMap::from([("arm64".to_owned(), arm64)]);
        told.add(about, &daemon::of_platforms(answer, needs, &emulated));
    }
    insta::assert_snapshot!(told.0);
}

fn asked(answer: RegistryAnswer) -> AskedRegistry {
    let reference: crate::image::Reference = "registry.example/team/job:1".parse().unwrap();
    AskedRegistry {
        name: "main".to_owned(),
        repository: Some(reference.repository),
        folder: None,
        mirror: None,
        answer,
    }
}

fn answered(wants_sign_in: bool, is_there: bool, user: Option<&str>) -> RegistryAnswer {
    RegistryAnswer::from(Ok(RegistryFacts {
        probe: RegistryProbe {
            is_encrypted: true,
            wants_sign_in,
            date: None,
            repository: Ok(is_there),
        },
        user: user.map(str::to_owned),
    }))
}

fn refused(error: RegistryError) -> RegistryAnswer {
    RegistryAnswer::from(Ok(RegistryFacts {
        probe: RegistryProbe {
            is_encrypted: true,
            wants_sign_in: true,
            date: None,
            repository: Err(error),
        },
        user: None,
    }))
}

#[test]
fn registries() {
    let mut told = Told::default();
    let (action, registry) = ("read `x`".to_owned(), "registry.example".to_owned());
    let because = || Cause("401 Unauthorized".to_owned());
    let down = |kind| {
        RegistryAnswer::from(Err(Error::from(RegistryError::Unreachable {
            action: "reach the registry".to_owned(),
            registry: "registry.example".to_owned(),
            attempts: 1,
            kind,
            because: Cause("it is so".to_owned()),
        })))
    };
    let rows = vec![
        ("open", answered(false, true, None)),
        ("signed in", answered(true, true, Some("ada"))),
        ("signed in, new", answered(true, false, Some("ada"))),
        ("anybody reads", answered(true, true, None)),
        (
            "no credential",
            refused(RegistryError::NotSignedIn {
                action: action.clone(),
                registry: registry.clone(),
                because: because(),
            }),
        ),
        (
            "wrong password",
            refused(RegistryError::WrongPassword {
                action: action.clone(),
                registry: registry.clone(),
                username: "ada".to_owned(),
                because: because(),
            }),
        ),
        (
            "no right",
            refused(RegistryError::Denied {
                action,
                registry,
                because: Cause("403 Forbidden".to_owned()),
            }),
        ),
        ("down", down(FailureKind::Network)),
        ("another clock", down(FailureKind::CertificateDates)),
        ("unknown authority", down(FailureKind::Certificate)),
        ("silent", RegistryAnswer::Silent),
        ("offline", RegistryAnswer::NotAsked),
    ];
    for (about, answer) in rows {
        told.add(about, &asked(answer).judge());
    }
    let others = [
        (
            "plain and mirrored",
            AskedRegistry {
                mirror: Some("mirror.example/hub".to_owned()),
                ..asked(RegistryAnswer::from(Ok(RegistryFacts {
                    probe: RegistryProbe {
                        is_encrypted: false,
                        wants_sign_in: false,
                        date: None,
                        repository: Ok(true),
                    },
                    user: None,
                })))
            },
        ),
        (
            "a folder",
            AskedRegistry {
                folder: Some("images".to_owned()),
                ..asked(RegistryAnswer::NotAsked)
            },
        ),
        (
            "no image",
            AskedRegistry {
                repository: None,
                ..asked(RegistryAnswer::NotAsked)
            },
        ),
    ];
    for (about, asked) in others {
        told.add(about, &asked.judge());
    }
    told.add(
        "tags",
        &registry::of_immutability(&[asked(RegistryAnswer::NotAsked)]),
    );
    told.add("tags of none", &registry::of_immutability(&[]));
    insta::assert_snapshot!(told.0);
}

#[test]
fn networks() {
    let mut told = Told::default();
    let rows: [(&str, &[(&str, &str)]); 4] = [
        ("none", &[]),
        (
            "some",
            &[
                ("HTTPS_PROXY", "http://ada:s3cret@proxy:3128"),
                ("NO_PROXY", ".example"),
            ],
        ),
        ("malformed", &[("HTTPS_PROXY", "http://ada:s3cret@proxy:x")]),
        ("spaces", &[("no_proxy", "a.example b.example")]),
    ];
    for (about, set) in rows {
        let environment = |name: &str| {
            let mut found = set.iter().filter(|(known, _)| *known == name);
            found.next().map(|(_, value)| (*value).to_owned())
        };
        told.add(about, &network::of_proxies(&proxy_variables(&environment)));
    }
    let rows = [
        ("the system's", Ok(0), None),
        ("a file", Ok(0), Some(("/etc/ssl/ca.pem", true))),
        (
            "a file that is not there",
            Ok(0),
            Some(("/nowhere.pem", false)),
        ),
        ("more", Ok(2), None),
        (
            "not usable",
            Err("ca.pem has no certificate".to_owned()),
            None,
        ),
    ];
    for (about, named, system) in rows {
        let system = system.map(|(file, is_there)| (file.to_owned(), is_there));
        told.add(
            about,
            &network::of_certificates(&CertificateFacts { named, system }),
        );
    }
    assert!(!told.0.contains("s3cret"), "{}", told.0);
    insta::assert_snapshot!(told.0);
}

#[test]
fn machines() {
    let mut told = Told::default();
    let disks = |free: [Option<u64>; 2]| {
        let disk = |what, path: &str, free, has_images| Disk {
            what,
            path: path.into(),
            free,
            has_images,
        };
        vec![
            disk("daemon", "/var/lib/docker", free[0], true),
            disk("cache", "/home/ada/.cache/sparkpack", free[1], false),
        ]
    };
    let large = Some(80_000_000_000);
    for (about, free) in [
        ("room", [large, large]),
        ("little for a chain", [Some(2_999_999_999), large]),
        ("full", [large, Some(499_999_999)]),
        ("unknown", [None, large]),
    ] {
        told.add(about, &machine::of_disks(&disks(free), &needs()));
    }
    let folders = |problem: Option<&str>| {
        vec![WorkFolder {
            what: "the cache",
            path: "/home/ada/.cache/sparkpack".into(),
            problem: problem.map(str::to_owned),
            variable: "SPARKPACK_CACHE",
        }]
    };
    told.add("folders", &machine::of_folders(&folders(None), true));
    told.add("no home", &machine::of_folders(&folders(None), false));
    told.add(
        "read-only",
        &machine::of_folders(&folders(Some("Read-only file system")), true),
    );
    let at = |seconds: u64| UNIX_EPOCH + Duration::from_secs(seconds);
    let now = at(1_800_000_000);
    let rows: [(&str, SystemTime, Vec<SystemTime>); 7] = [
        ("alone", now, vec![]),
        ("as the registry's", now, vec![at(1_799_999_701)]),
        ("late", now, vec![at(1_800_000_301)]),
        ("early", now, vec![at(1_799_999_000)]),
        ("one of two agrees", now, vec![at(1_700_000_000), now]),
        ("1970", at(77), vec![]),
        ("2099", at(4_080_000_000), vec![at(4_080_000_000)]),
    ];
    for (about, now, others) in rows {
        told.add(about, &machine::of_clock(now, &others));
    }
    insta::assert_snapshot!(told.0);
}

#[test]
fn programs() {
    let mut told = Told::default();
    let missing = || PythonError::NoInstaller {
        looked: vec![
            "`uv` is not on the PATH".to_owned(),
            "`python3` has no pip".to_owned(),
        ],
    };
    let version = |version: Option<&str>| Some(Ok(("uv".to_owned(), version.map(str::to_owned))));
    let none = ProjectNeeds::default();
    for (about, answer, needs) in [
        ("uv", version(Some("0.9.1")), &needs()),
        ("uv without a version", version(None), &none),
        ("none", Some(Err(missing())), &needs()),
        ("none is needed", Some(Err(missing())), &none),
        ("too slow", None, &none),
    ] {
        told.add(about, &tools::of_installer(answer, needs));
    }
    let checkout = |hook| AboutCheckout {
        version: "2.39.5".to_owned(),
        top: "/home/ada/orders".into(),
        is_shallow: false,
        is_detached: false,
        distrusts_modes: false,
        hook,
    };
    let odd = AboutCheckout {
        is_shallow: true,
        is_detached: true,
        distrusts_modes: true,
        ..checkout(HookState::Absent)
    };
    let dubious = NoGit::DubiousOwnership {
        folder: "/srv/orders".into(),
    };
    let rows = [
        ("a clone", Some(Ok(checkout(HookState::Installed))), 0),
        ("a CI's clone", Some(Ok(odd)), 0),
        (
            "one untracked",
            Some(Ok(checkout(HookState::NotInstalled))),
            1,
        ),
        ("some untracked", Some(Ok(checkout(HookState::Absent))), 3),
        ("no git", Some(Err(NoGit::NotInstalled)), 0),
        ("no clone", Some(Err(NoGit::NoWorkTree)), 0),
        ("another's", Some(Err(dubious)), 0),
        (
            "broken",
            Some(Err(NoGit::Failed("fatal: bad index".to_owned()))),
            0,
        ),
        ("too slow", None, 0),
    ];
    for (about, answer, untracked) in rows {
        let untracked = vec!["src/new.py".to_owned(); untracked];
        told.add(about, &tools::of_git(&answer, &untracked));
        told.add(about, &tools::of_hook(&answer));
    }
    insta::assert_snapshot!(told.0);
}

#[test]
fn the_exit_code_is_that_of_the_most_important_finding() {
    let of = |codes: &[Code]| {
        let bad = codes.iter().map(|code| Finding::bad("x", *code, "y"));
        let findings = [Finding::good("a", "b"), Finding::note("a", "b")];
        let findings = findings.into_iter().chain(bad).collect();
        Diagnosis { findings }.verdict()
    };
    of(&[]).unwrap();
    for (codes, wanted) in [
        (&[Code::E601, Code::E501, Code::E401, Code::E021][..], 2),
        (&[Code::E601, Code::E501, Code::E401], 4),
        (&[Code::E601, Code::E501], 5),
        (&[Code::E601], 6),
    ] {
        let error = of(codes).unwrap_err();
        assert_eq!(error.exit_code(), wanted);
        assert!(
            error
                .headline()
                .starts_with(&format!("{} of ", codes.len()))
        );
    }
    assert_eq!(Finding::not_asked("a", "b").health, Health::NotAsked);
}
