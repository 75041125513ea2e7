//! Registries behind TLS by name: the folders of docker and podman with their certificates, and what is not trusted.

use std::process::Command;

use crate::support::{Run, TestProject, free_port, run, small, started_by};

/// Runs `sparkpack` in a network of its own with an `/etc` of its own, beside a registry whose certificate was made as
/// docker's manual says: by itself, for `registry.test`. What is served at which port, and then where its certificate
/// is put for whom, are the arguments.
const MACHINE: &str = r#"
set -eu
folder=$1 port=$2 serve=$3 place=$4
shift 4
cp -a /etc "$folder/etc"
mount --bind "$folder/etc" /etc
rm -rf /etc/docker/certs.d /etc/containers/certs.d
echo "127.0.0.1 registry.test other.test" >/etc/hosts
ip link set lo up
cd "$folder"
openssl req -newkey rsa:2048 -nodes -sha256 -keyout key.pem -subj /CN=registry.test \
    -addext subjectAltName=DNS:registry.test -x509 -days 2 -out domain.crt 2>openssl.log
if [ "$place" ]; then
    mkdir -p "$(dirname "$place")"
    cp domain.crt "$place"
fi
cat >registry.yml <<END
version: 0.1
storage: {filesystem: {rootdirectory: $folder/storage}}
http: {addr: "127.0.0.1:$port", tls: {certificate: $folder/domain.crt, key: $folder/key.pem}}
END
case $serve in
docker-registry) docker-registry serve registry.yml >server.log 2>&1 & ;;
tls*) openssl s_server -quiet -www -cert domain.crt -key key.pem -cipher ALL:@SECLEVEL=0 -"$serve" \
    -accept "127.0.0.1:$port" </dev/null >server.log 2>&1 & ;;
esac
serving=$!
trap 'kill $serving; wait $serving || true' EXIT
until (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do sleep 0.1; done
cd "$OLDPWD"
"$@"
"#;

struct Row {
    what: &'static str,
    /// Debian's registry, or the only version of TLS that openssl offers.
    serve: &'static str,
    host: &'static str,
    /// Where the certificate is put; `PORT` is the registry's.
    place: &'static str,
    /// Whether `SSL_CERT_FILE` names that place.
    by_variable: bool,
    /// What is told; nothing where the registry is trusted.
    told: &'static [&'static str],
}

const TRUSTED: Row = Row {
    what: "docker's folder",
    serve: "docker-registry",
    host: "registry.test",
    place: "/etc/docker/certs.d/registry.test:PORT/ca.crt",
    by_variable: false,
    told: &[],
};

const ROWS: &[Row] = &[
    TRUSTED,
    Row {
        what: "podman's folder",
        place: "/etc/containers/certs.d/registry.test:PORT/domain.crt",
        ..TRUSTED
    },
    Row {
        what: "podman's folder of a user",
        place: "HOME/.config/containers/certs.d/registry.test:PORT/ca.crt",
        ..TRUSTED
    },
    Row {
        what: "docker's folder of a user",
        place: "HOME/.config/docker/certs.d/registry.test:PORT/ca.crt",
        ..TRUSTED
    },
    Row {
        what: "a file that a variable names",
        place: "HOME/own.pem",
        by_variable: true,
        ..TRUSTED
    },
    Row {
        what: "the system's certificates",
        place: "/etc/ssl/certs/ca-certificates.crt",
        ..TRUSTED
    },
    Row {
        what: "no folder",
        place: "",
        told: &[
            "its certificate is an authority's own (`CA:TRUE`), and not one that this machine trusts",
            "/etc/docker/certs.d/registry.test:PORT/ca.crt",
        ],
        ..TRUSTED
    },
    Row {
        what: "the folder of another port",
        place: "/etc/docker/certs.d/registry.test:1PORT/ca.crt",
        told: &["its certificate is an authority's own"],
        ..TRUSTED
    },
    Row {
        what: "the folder of the host",
        place: "/etc/docker/certs.d/registry.test/ca.crt",
        told: &["its certificate is an authority's own"],
        ..TRUSTED
    },
    Row {
        what: "another name",
        host: "other.test",
        place: "/etc/docker/certs.d/other.test:PORT/ca.crt",
        told: &[
            "its certificate is only for `registry.test`",
            "look at `openssl s_client -connect other.test:PORT`",
        ],
        ..TRUSTED
    },
    Row {
        what: "TLS 1.0",
        serve: "tls1",
        told: &[
            "it offers neither TLS 1.2 nor TLS 1.3",
            "look at `openssl s_client -connect registry.test:PORT`",
        ],
        ..TRUSTED
    },
    Row {
        what: "TLS 1.1",
        serve: "tls1_1",
        told: &["it offers neither TLS 1.2 nor TLS 1.3"],
        ..TRUSTED
    },
    Row {
        what: "TLS 1.2",
        serve: "tls1_2",
        told: &["is not understood"],
        ..TRUSTED
    },
];

impl Row {
    fn run(&self, port: u16) -> Run {
        let host = format!("{}:{port}", self.host);
        let project: TestProject = small::project("debian:bookworm-slim", &host);
        project.write("sparkpack.lock", &small::lock("debian:bookworm-slim"));
        let inner = project.command(&["plan", "--remote"]);
        let folder = tempfile::tempdir().unwrap();
        let home = project.home().display().to_string();
        let place = self.place.replace("PORT", &port.to_string());
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "bash", "-c", MACHINE, "bash"]);
        command.arg(folder.path()).arg(port.to_string());
        command.args([self.serve, &place.replace("HOME", &home)]);
        started_by(&mut command, &inner);
        for name in ["HTTPS_PROXY", "ALL_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"] {
            command.env_remove(name).env_remove(name.to_lowercase());
        }
        if self.by_variable {
            command.env("SSL_CERT_FILE", place.replace("HOME", &home));
        }
        run(command.env("DOCKER_HOST", "unix:///nowhere/docker.sock"))
    }
}

#[test]
fn a_registry_is_trusted_by_its_folder_and_nothing_else_is_passed_over() {
    let port = free_port();
    for row in ROWS {
        let run = row.run(port);
        let wanted = if row.told.is_empty() { 0 } else { 5 };
        assert_eq!(run.code, wanted, "{}: {}", row.what, run.stderr);
        for words in row.told {
            let words = words.replace("PORT", &port.to_string());
            assert!(run.stderr.contains(&words), "{}: {}", row.what, run.stderr);
        }
        let errors = run.stderr.matches("error").count();
        assert_eq!(
            errors,
            usize::from(wanted != 0),
            "{}: {}",
            row.what,
            run.stderr
        );
    }
}
