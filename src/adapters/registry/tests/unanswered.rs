//! Networks that lose what is sent: name servers, hosts and connections that never answer.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    thread,
    time::Instant,
};

use super::{
    push::Outgoing,
    real::{RunningRegistry, command, output, push},
    *,
};
use crate::adapters::registry::{BlobProgress, BlobState};

/// Says to a test's other process that it is in a network of its own.
const INSIDE: &str = "SPARKPACK_TEST_NETWORK";

/// Makes the network: this machine has a second address, and asks a name server that gets no question. A name would
/// be waited for for minutes.
const NETWORK: &str = r#"
set -eu
ip link set lo up
ip address add 10.9.9.1/24 dev lo
iptables --append INPUT --destination 10.9.9.1 --protocol udp --dport 53 --jump DROP
iptables --append INPUT --destination 10.9.9.1 --protocol tcp --dport 53 --jump DROP
printf 'nameserver 10.9.9.1\noptions timeout:20 attempts:3\n' >"$1/resolv.conf"
mount --bind "$1/resolv.conf" "$(realpath /etc/resolv.conf)"
shift
exec "$@"
"#;

/// More than each test takes, and less than without the limits that it is about.
const LONG: Duration = Duration::from_secs(6);

const PATIENCE: fn() -> Patience = || Patience {
    attempts: 2,
    stall: Duration::from_millis(300),
    // Not what ends the requests here.
    whole: Duration::from_secs(30),
    ..hasty()
};

/// Runs the body of the calling test in a network of its own, by a process of its own.
#[expect(
    clippy::disallowed_methods,
    reason = "the test's other process is told so"
)]
fn in_network(body: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return body();
    }
    let name = thread::current().name().unwrap().to_owned();
    let folder = tempfile::tempdir().unwrap();
    let mut inside = command("unshare");
    inside.args(["--net", "--mount", "sh", "-c", NETWORK, "sh"]);
    inside
        .arg(folder.path())
        .arg(std::env::current_exe().unwrap());
    inside.args(["--exact", &name, "--nocapture", "--test-threads", "1"]);
    for name in ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"] {
        inside.env_remove(name).env_remove(name.to_lowercase());
    }
    let output = inside.env(INSIDE, "1").output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 passed"), "{text}");
}

/// Packets that vanish, as long as this value is there.
struct Dropped(String);

impl Dropped {
    fn packets(rule: &str) -> Self {
        let dropped = Self(rule.to_owned());
        dropped.change("--insert");
        dropped
    }

    fn change(&self, how: &str) {
        let mut iptables = command("iptables");
        output(
            iptables
                .args([how, "INPUT"])
                .args(self.0.split(' '))
                .args(["--jump", "DROP"]),
        );
    }
}

impl Drop for Dropped {
    fn drop(&mut self) {
        self.change("--delete");
    }
}

fn impatient() -> RegistryClient {
    let settings = RegistrySettings::default();
    RegistryClient::with_patience(settings, Credentials::default(), PATIENCE()).unwrap()
}

/// Looks an image up, and ends the client. There is no answer in both attempts, and soon.
fn is_given_up(client: RegistryClient, reference: &Reference) {
    let begun = Instant::now();
    let error = client.find(reference, &Platform::default()).unwrap_err();
    drop(client);
    let text = shown(&error);
    let unreachable = matches!(
        error,
        RegistryError::Unreachable {
            attempts: 2,
            kind: FailureKind::Network,
            ..
        }
    );
    assert!(unreachable, "{text}");
    let waited = PATIENCE().stall..LONG;
    assert!(
        waited.contains(&begun.elapsed()),
        "{text}: {:?}",
        begun.elapsed()
    );
}

#[test]
fn a_name_server_that_never_answers_is_not_waited_for() {
    in_network(|| is_given_up(impatient(), &reference("registry.example/a/b:t")));
}

#[test]
fn a_host_that_no_packet_reaches_is_given_up() {
    in_network(|| {
        let _dropped = Dropped::packets("--destination 10.9.9.1 --protocol tcp");
        for registry in ["10.9.9.1", "10.9.9.1:5000"] {
            is_given_up(impatient(), &reference(&format!("{registry}/a/b:t")));
        }
    });
}

#[test]
fn a_handshake_of_tls_that_stalls_is_given_up() {
    // The head of a record with 16 KiB, of which nothing follows.
    const HALF: &[u8] = &[22, 3, 3, 64, 0];
    in_network(|| {
        for said in [&[][..], HALF] {
            let listener = TcpListener::bind("10.9.9.1:0").unwrap();
            let host = listener.local_addr().unwrap().to_string();
            // The threads end with the test's process.
            thread::spawn(move || {
                for mut stream in listener.incoming().map_while(Result::ok) {
                    let _ = stream.write_all(said);
                    thread::spawn(move || read_all(&mut stream));
                }
            });
            is_given_up(impatient(), &reference(&format!("{host}/a/b:t")));
        }
    });
}

fn read_all(stream: &mut TcpStream) {
    let mut bytes = [0; 1024];
    while stream.read(&mut bytes).is_ok_and(|count| count > 0) {}
}

/// The rule for packets to or from a registry on this machine.
fn both_ways(registry: &RunningRegistry) -> String {
    let port = registry.host.rsplit_once(':').unwrap().1;
    format!("--protocol tcp --match multiport --ports {port}")
}

#[test]
fn a_connection_whose_other_end_is_gone_is_given_up() {
    in_network(|| {
        let registry = RunningRegistry::start(|_| (String::new(), String::new()));
        let rule = both_ways(&registry);
        let (client, target) = (impatient(), registry.reference("a/b:t"));
        push(&client, &target, &Sample::new("amd64"));
        let dropped = Dropped::packets(&rule);
        // It goes through the connection that is still open, and then through a new one.
        is_given_up(client, &target);
        drop(dropped);
        assert!(impatient().digest(&target).unwrap().is_some());
    });
}

#[test]
fn an_upload_to_somebody_who_is_gone_is_given_up() {
    in_network(|| {
        let registry = RunningRegistry::start(|_| (String::new(), String::new()));
        let port = registry.host.rsplit_once(':').unwrap().1;
        // Nothing longer than a request's head gets through: the system has all bytes of a small layer at once.
        let rule = format!("--protocol tcp --dport {port} --match length --length 2000:65535");
        let _dropped = Dropped::packets(&rule);
        for size in [4_000, 32 << 20] {
            let begun = Instant::now();
            let image = Outgoing::new(&[size]);
            let pushed = image.push(&impatient(), &registry.reference("a/b:t"));
            let error = pushed.unwrap_err();
            assert_eq!(error.code(), "E501", "{size}: {}", shown(&error));
            assert!(begun.elapsed() < LONG, "{size}: {:?}", begun.elapsed());
        }
    });
}

#[test]
fn an_upload_that_loses_its_connection_begins_again() {
    in_network(|| {
        let registry = RunningRegistry::start(|_| (String::new(), String::new()));
        let rule = both_ways(&registry);
        let image = Outgoing::of_zeros(256 << 20);
        let target = registry.reference("a/b:t");
        let patience = Patience {
            attempts: 8,
            first_delay: Duration::from_millis(200),
            longest_delay: Duration::from_millis(200),
            ..PATIENCE()
        };
        let settings = RegistrySettings::default();
        let client =
            RegistryClient::with_patience(settings, Credentials::default(), patience).unwrap();
        let mut outage = None;
        let mut progress = |BlobProgress { state, .. }: BlobProgress<'_>| {
            if !matches!(state, BlobState::Sending(_)) {
                return;
            }
            outage.get_or_insert_with(|| {
                let dropped = Dropped::packets(&rule);
                thread::spawn(move || {
                    thread::sleep(Duration::from_secs(1));
                    drop(dropped);
                })
            });
        };
        let pushed = client.push_image(image.image(), &target, &mut progress);
        assert_eq!(pushed.unwrap(), image.digest());
        outage.unwrap().join().unwrap();
        assert!(registry.unfinished_uploads("a/b") > 0, "nothing was lost");
    });
}
