//! Registries behind a proxy: which variables are obeyed, for which hosts, and with which credential.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    process::Command,
    sync::{Arc, Mutex},
    thread,
};

use crate::support::{TestProject, run, small};

/// A registry, variables, and the first line that the proxy gets.
type Row = (
    &'static str,
    Vec<(&'static str, &'static str)>,
    Option<String>,
);

/// A proxy that refuses everything, and notes the heads of what it is asked.
struct Proxy {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        // The thread ends with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut stream = BufReader::new(stream);
                let (mut head, mut line) = (String::new(), String::new());
                while stream.read_line(&mut line).is_ok_and(|count| count > 2) {
                    head.push_str(&std::mem::take(&mut line));
                }
                log.lock().unwrap().push(head);
                let refused =
                    b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                let _ = stream.get_mut().write_all(refused);
            }
        });
        Self { address, asked }
    }
}

/// What a run without a network but with a proxy at `PROXY` asks it: the first line, and the credential.
fn asked(registry: &str, variables: &[(&str, &str)]) -> Option<(String, Option<String>)> {
    let project: TestProject = small::project("debian:bookworm-slim", registry);
    project.write("sparkpack.lock", &small::lock("debian:bookworm-slim"));
    let proxy = Proxy::start();
    let mut command: Command = project.command(&["plan", "--remote"]);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    command.env("DOCKER_HOST", "unix:///nowhere/docker.sock");
    for (name, value) in variables {
        command.env(name, value.replace("PROXY", &proxy.address));
    }
    let run = run(&mut command);
    assert_ne!(run.code, 0, "nobody answers: {}", run.stdout);
    assert!(!run.stderr.contains("s3cret"), "{}", run.stderr);
    let asked = proxy.asked.lock().unwrap();
    let head = asked.first()?;
    let line = head.lines().next().unwrap_or_default().to_owned();
    let credential = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("proxy-authorization")
            .then(|| value.to_owned())
    });
    Some((line, credential))
}

#[test]
fn a_proxy_is_asked_where_the_variables_say_so() {
    const PROXY: (&str, &str) = ("HTTPS_PROXY", "http://PROXY");
    let connect = |host: &str| Some(format!("CONNECT {host} HTTP/1.1"));
    let host = "registry.example";
    let rows: Vec<Row> = vec![
        (host, vec![], None),
        (host, vec![PROXY], connect("registry.example:443")),
        (
            host,
            vec![("https_proxy", "http://PROXY")],
            connect("registry.example:443"),
        ),
        (
            host,
            vec![("https_proxy", "PROXY")],
            connect("registry.example:443"),
        ),
        (
            host,
            vec![("ALL_PROXY", "http://PROXY")],
            connect("registry.example:443"),
        ),
        (host, vec![("HTTP_PROXY", "http://PROXY")], None),
        (
            "registry.example:5000",
            vec![PROXY],
            connect("registry.example:5000"),
        ),
        ("240.0.0.7:5000", vec![PROXY], connect("240.0.0.7:5000")),
        (host, vec![PROXY, ("NO_PROXY", "registry.example")], None),
        (host, vec![PROXY, ("no_proxy", "registry.example")], None),
        (
            host,
            vec![PROXY, ("NO_PROXY", "other.example, registry.example")],
            None,
        ),
        (host, vec![PROXY, ("NO_PROXY", ".example")], None),
        (host, vec![PROXY, ("NO_PROXY", "example")], None),
        (host, vec![PROXY, ("NO_PROXY", "*")], None),
        (
            host,
            vec![PROXY, ("NO_PROXY", "try.example")],
            connect("registry.example:443"),
        ),
        (
            host,
            vec![PROXY, ("NO_PROXY", "gistry.example")],
            connect("registry.example:443"),
        ),
        (
            host,
            vec![PROXY, ("NO_PROXY", "")],
            connect("registry.example:443"),
        ),
        (
            "240.0.0.7:5000",
            vec![PROXY, ("NO_PROXY", "240.0.0.0/24")],
            None,
        ),
        (
            "240.0.0.7:5000",
            vec![PROXY, ("NO_PROXY", "240.0.0.7")],
            None,
        ),
        (
            "240.0.0.7:5000",
            vec![PROXY, ("NO_PROXY", "240.0.1.0/24")],
            connect("240.0.0.7:5000"),
        ),
        (
            "registry.example:5000",
            vec![PROXY, ("NO_PROXY", "registry.example:5000")],
            None,
        ),
        (
            "registry.example:5000",
            vec![PROXY, ("no_proxy", "other.example,Registry.Example:5000")],
            None,
        ),
        (
            "registry.example:5000",
            vec![PROXY, ("NO_PROXY", ".example:5000")],
            None,
        ),
        (
            "registry.example:5000",
            vec![PROXY, ("NO_PROXY", "registry.example:5001")],
            connect("registry.example:5000"),
        ),
        (
            "registry.example:5000",
            vec![PROXY, ("NO_PROXY", "registry.example")],
            None,
        ),
        (
            host,
            vec![PROXY, ("NO_PROXY", "registry.example:443")],
            None,
        ),
        (
            host,
            vec![PROXY, ("NO_PROXY", "registry.example:5000")],
            connect("registry.example:443"),
        ),
        (
            "240.0.0.7:5000",
            vec![PROXY, ("NO_PROXY", "240.0.0.7:5000")],
            None,
        ),
        (
            "240.0.0.7:5000",
            vec![PROXY, ("NO_PROXY", "240.0.0.7:443")],
            connect("240.0.0.7:5000"),
        ),
        (
            "127.0.0.1:1",
            vec![PROXY, ("ALL_PROXY", "http://PROXY")],
            None,
        ),
        ("localhost:1", vec![PROXY], None),
        ("[::1]:1", vec![PROXY], None),
    ];
    for rows in rows.chunks(6) {
        thread::scope(|scope| {
            for (registry, variables, wanted) in rows {
                scope.spawn(move || {
                    let found = asked(registry, variables).map(|(line, _)| line);
                    assert_eq!(found, *wanted, "{registry} with {variables:?}");
                });
            }
        });
    }
}

#[test]
fn a_proxy_gets_its_own_credential_and_no_other() {
    let with = [("HTTPS_PROXY", "http://ada:s3cret@PROXY")];
    let (_, credential) = asked("registry.example", &with).unwrap();
    assert_eq!(credential.as_deref(), Some("Basic YWRhOnMzY3JldA=="));
    let without = [("HTTPS_PROXY", "http://PROXY")];
    let (_, credential) = asked("registry.example", &without).unwrap();
    assert_eq!(credential, None);
}

/// A variable that no client can read would have no effect, and the registry would be asked where no proxy is.
#[test]
fn a_variable_that_is_not_understood_is_named() {
    let mut told = Vec::new();
    for (about, variables) in [
        (
            "no port",
            &[("HTTPS_PROXY", "http://ada:s3cret@proxy:port")][..],
        ),
        ("no host", &[("https_proxy", "http://")]),
        ("another protocol", &[("ALL_PROXY", "ftp://proxy:21")]),
        (
            "spaces",
            &[
                ("HTTPS_PROXY", "http://PROXY"),
                ("NO_PROXY", "a.example registry.example"),
            ],
        ),
    ] {
        let project = small::project("debian:bookworm-slim", "registry.example");
        project.write("sparkpack.lock", &small::lock("debian:bookworm-slim"));
        let proxy = Proxy::start();
        let mut command = project.command(&["plan", "--remote"]);
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"] {
            command.env_remove(name).env_remove(name.to_lowercase());
        }
        command.env("DOCKER_HOST", "unix:///nowhere/docker.sock");
        for (name, value) in variables {
            command.env(name, value.replace("PROXY", &proxy.address));
        }
        let run = run(&mut command);
        assert!(proxy.asked.lock().unwrap().is_empty(), "{about}");
        let shown = run.stderr.replace(&proxy.address, "PROXY");
        told.push(format!("# {about}\nexit {}\n{shown}", run.code));
    }
    let told = told.join("\n");
    assert!(!told.contains("s3cret"), "{told}");
    insta::assert_snapshot!(told);
}
