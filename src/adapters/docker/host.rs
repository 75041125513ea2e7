//! Finds the daemon to use, by the rules of the `docker` command.

use std::path::PathBuf;

use serde::Deserialize;

use super::{
    address::{Address, is_socket},
    error::{DockerError, Unreachable},
};
use crate::{image::Digest, project::loopback::is_loopback};

const DEFAULT_SOCKET: &str = "/var/run/docker.sock";

/// The environment variables that decide which daemon is used, and how.
#[derive(Clone, Debug, Default)]
pub(super) struct DockerEnvironment {
    /// `DOCKER_HOST`.
    pub(super) host: Option<String>,
    /// `DOCKER_CONTEXT`.
    pub(super) context: Option<String>,
    /// Whether `DOCKER_TLS_VERIFY` is set to anything.
    pub(super) tls: bool,
    /// `DOCKER_CERT_PATH`.
    pub(super) certificates: Option<PathBuf>,
    /// `DOCKER_CONFIG`, else `~/.docker`.
    pub(super) configuration: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`, in which rootless daemons have their sockets.
    pub(super) runtime_folder: Option<PathBuf>,
    /// `DOCKER_BUILDKIT`; `None` if it is not a truth value.
    pub(super) buildkit: Option<bool>,
    /// `SPARKPACK_PLAIN_DOCKER`: whether TCP without TLS to another machine is allowed.
    pub(super) plain: bool,
}

/// A daemon's address, and the setting that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Host {
    pub(super) address: Address,
    /// The address as it is written.
    pub(super) text: String,
    /// `DOCKER_HOST` or a context; `None` for the default socket.
    pub(super) named_by: Option<String>,
    /// The socket of a rootless daemon that exists beside the one that was named.
    pub(super) other_socket: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ConfigFile {
    #[serde(rename = "currentContext")]
    current_context: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ContextFile {
    endpoints: Endpoints,
}

#[derive(Deserialize)]
struct Endpoints {
    docker: Endpoint,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Endpoint {
    host: String,
}

impl DockerEnvironment {
    /// The variables of this process.
    #[expect(
        clippy::disallowed_methods,
        reason = "an adapter reads the environment"
    )]
    pub(super) fn of_process() -> Self {
        let text = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let path = |name: &str| text(name).map(PathBuf::from);
        let truth = |name: &str| match text(name)?.as_str() {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
            _ => None,
        };
        Self {
            host: text("DOCKER_HOST"),
            context: text("DOCKER_CONTEXT"),
            tls: text("DOCKER_TLS_VERIFY").is_some(),
            certificates: path("DOCKER_CERT_PATH"),
            configuration: path("DOCKER_CONFIG")
                .or_else(|| path("HOME").map(|home| home.join(".docker"))),
            runtime_folder: path("XDG_RUNTIME_DIR"),
            buildkit: truth("DOCKER_BUILDKIT"),
            plain: truth("SPARKPACK_PLAIN_DOCKER") == Some(true),
        }
    }

    /// The daemon to use.
    ///
    /// # Errors
    /// The address cannot be used, or the context that is asked for does not exist.
    pub(super) fn host(&self) -> Result<Host, DockerError> {
        if let Some(text) = &self.host {
            let certificates = self.tls.then(|| self.certificates()).flatten();
            return self.parse(text, Some("DOCKER_HOST".to_owned()), certificates);
        }
        match self.context_name() {
            Some(name) => self.of_context(&name),
            None => self.parse(&format!("unix://{DEFAULT_SOCKET}"), None, None),
        }
    }

    fn certificates(&self) -> Option<PathBuf> {
        self.certificates
            .clone()
            .or_else(|| self.configuration.clone())
    }

    /// The context in use; `None` for the one called `default`.
    fn context_name(&self) -> Option<String> {
        let configured = || {
            let file = self.configuration.as_ref()?.join("config.json");
            // A broken file is an error of `adapters::credentials`, which reads it as well.
            let text = fs_err::read_to_string(file).ok()?;
            let configuration: ConfigFile = serde_json::from_str(&text).ok()?;
            configuration.current_context
        };
        let name = self.context.clone().or_else(configured);
        name.filter(|name| !name.is_empty() && name != "default")
    }

    fn of_context(&self, name: &str) -> Result<Host, DockerError> {
        let named_by = format!("the Docker context `{name}`");
        let contexts = self.configuration.clone().unwrap_or_default();
        let contexts = contexts.join("contexts");
        let folder = Digest::of(name.as_bytes()).hex().to_owned();
        let file = contexts.join("meta").join(&folder).join("meta.json");
        let parsed = fs_err::read_to_string(&file)
            .map_err(|error| error.to_string())
            .and_then(|text| {
                serde_json::from_str::<ContextFile>(&text)
                    .map_err(|error| format!("{}: {error}", file.display()))
            });
        match parsed {
            Ok(context) => {
                let tls = contexts.join("tls").join(&folder).join("docker");
                let certificates = Some(tls).filter(|folder| folder.is_dir());
                self.parse(&context.endpoints.docker.host, Some(named_by), certificates)
            }
            Err(message) => Err(DockerError::Unreachable {
                host: name.to_owned(),
                named_by: Some(named_by),
                reason: Unreachable::NoContext(message),
            }),
        }
    }

    fn parse(
        &self,
        text: &str,
        named_by: Option<String>,
        certificates: Option<PathBuf>,
    ) -> Result<Host, DockerError> {
        let refused = |reason| {
            Err(DockerError::Unreachable {
                host: text.to_owned(),
                named_by: named_by.clone(),
                reason,
            })
        };
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        let rest = rest.trim_end_matches('/');
        if rest.is_empty() {
            return refused(Unreachable::NotAnAddress);
        }
        let certificates = match scheme {
            "https" => certificates.or_else(|| self.certificates()),
            _ => certificates,
        };
        let address = match (scheme, certificates) {
            ("unix", _) => Address::Unix(PathBuf::from(rest)),
            ("tcp" | "http" | "https", _) if rest.contains(['/', '@', '?']) => {
                return refused(Unreachable::NotAnAddress);
            }
            ("tcp" | "https", Some(certificates)) => Address::Tls {
                address: with_port(rest, 2376),
                certificates,
            },
            ("tcp" | "http", _) if self.plain || is_loopback(rest) => {
                Address::Plain(with_port(rest, 2375))
            }
            ("tcp" | "http", _) => return refused(Unreachable::Plain),
            _ => return refused(Unreachable::NotAnAddress),
        };
        let other_socket = self.other_socket(&address);
        Ok(Host {
            address,
            text: text.to_owned(),
            named_by,
            other_socket,
        })
    }

    fn other_socket(&self, address: &Address) -> Option<PathBuf> {
        let in_home = |name: &str| self.configuration.as_ref().map(|folder| folder.join(name));
        let in_runtime = |name: &str| self.runtime_folder.as_ref().map(|folder| folder.join(name));
        let candidates = [
            in_runtime("docker.sock"),
            in_home("run/docker.sock"),
            in_runtime("podman/podman.sock"),
        ];
        let named = |socket: &PathBuf| *address == Address::Unix(socket.clone());
        let mut candidates = candidates.into_iter().flatten();
        candidates.find(|socket| !named(socket) && is_socket(socket) == Some(true))
    }
}

impl Host {
    /// The error that says why this daemon cannot be reached.
    pub(super) fn unreachable(&self, reason: Unreachable) -> DockerError {
        let reason = match (reason, &self.other_socket) {
            (Unreachable::NoSocket { .. }, Some(other)) => Unreachable::NoSocket {
                other: Some(other.clone()),
            },
            (reason, _) => reason,
        };
        DockerError::Unreachable {
            host: self.text.clone(),
            named_by: self.named_by.clone(),
            reason,
        }
    }
}

fn with_port(address: &str, port: u16) -> String {
    let has_port = address
        .rsplit_once(':')
        .is_some_and(|(_, port)| !port.ends_with(']') && port.parse::<u16>().is_ok());
    if has_port {
        address.to_owned()
    } else {
        format!("{address}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_host(host: &str) -> DockerEnvironment {
        DockerEnvironment {
            host: Some(host.to_owned()),
            ..DockerEnvironment::default()
        }
    }

    fn reason(environment: &DockerEnvironment) -> Unreachable {
        match environment.host().unwrap_err() {
            DockerError::Unreachable { reason, .. } => reason,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn addresses_are_those_of_the_docker_command() {
        let table = [
            ("unix:///run/a.sock", Address::Unix("/run/a.sock".into())),
            ("tcp://127.0.0.1", Address::Plain("127.0.0.1:2375".into())),
            ("tcp://127.9.9.9:1/", Address::Plain("127.9.9.9:1".into())),
            ("http://localhost:80", Address::Plain("localhost:80".into())),
            ("tcp://[::1]", Address::Plain("[::1]:2375".into())),
            ("tcp://[::1]:5", Address::Plain("[::1]:5".into())),
        ];
        for (text, address) in table {
            let host = with_host(text).host().unwrap();
            assert_eq!(host.address, address, "{text}");
            assert_eq!(host.named_by.as_deref(), Some("DOCKER_HOST"));
        }
        let default = DockerEnvironment::default().host().unwrap();
        assert_eq!(default.address, Address::Unix(DEFAULT_SOCKET.into()));
        assert_eq!(default.named_by, None);
    }

    #[test]
    fn tcp_without_tls_stays_on_this_machine_unless_asked_for() {
        for text in [
            "tcp://10.0.0.1:2375",
            "tcp://docker:2375",
            "http://localhost.evil.example",
            "tcp://127.0.0.1.evil.example:2375",
        ] {
            assert_eq!(reason(&with_host(text)), Unreachable::Plain, "{text}");
        }
        let asked = DockerEnvironment {
            plain: true,
            ..with_host("tcp://docker:2375")
        };
        let address = asked.host().unwrap().address;
        assert_eq!(address, Address::Plain("docker:2375".into()));
        let tls = DockerEnvironment {
            tls: true,
            certificates: Some("/certs".into()),
            ..with_host("tcp://docker")
        };
        let wanted = Address::Tls {
            address: "docker:2376".into(),
            certificates: "/certs".into(),
        };
        assert_eq!(tls.host().unwrap().address, wanted);
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "ssh://user@host",
            "unix://",
            "/var/run/docker.sock",
            "tcp://a@b",
            "x",
        ] {
            assert_eq!(
                reason(&with_host(text)),
                Unreachable::NotAnAddress,
                "{text}"
            );
        }
    }

    #[test]
    fn contexts_are_read_and_docker_host_outdoes_them() {
        let folder = tempfile::tempdir().unwrap();
        let configuration = folder.path().to_owned();
        fs_err::write(
            configuration.join("config.json"),
            r#"{"auths": {}, "currentContext": "rootless"}"#,
        )
        .unwrap();
        let environment = DockerEnvironment {
            configuration: Some(configuration.clone()),
            ..DockerEnvironment::default()
        };
        assert!(matches!(reason(&environment), Unreachable::NoContext(_)));
        let digest = Digest::of(b"rootless");
        let meta = configuration.join("contexts/meta").join(digest.hex());
        fs_err::create_dir_all(&meta).unwrap();
        fs_err::write(
            meta.join("meta.json"),
            r#"{"Name": "rootless", "Metadata": {}, "Endpoints": {"docker": {"Host": "unix:///run/user/7/docker.sock", "SkipTLSVerify": false}}}"#,
        )
        .unwrap();
        let host = environment.host().unwrap();
        assert_eq!(
            host.address,
            Address::Unix("/run/user/7/docker.sock".into())
        );
        assert_eq!(host.named_by.unwrap(), "the Docker context `rootless`");
        let other = DockerEnvironment {
            host: Some("unix:///x".to_owned()),
            ..environment.clone()
        };
        assert_eq!(other.host().unwrap().address, Address::Unix("/x".into()));
        let default = DockerEnvironment {
            context: Some("default".to_owned()),
            ..environment
        };
        assert_eq!(default.host().unwrap().named_by, None);
    }
}
