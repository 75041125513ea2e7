//! Asks a daemon for its API version and its system, and whether it is Podman.
//!
//! `/version` takes dockerd ten milliseconds, since it asks other programs for their versions. The headers of `/_ping`
//! have everything that is needed and take less than one. If they are unusual in any way, `/version` is asked after
//! all.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::{Duration, Instant},
};

use bollard::{API_DEFAULT_VERSION, ClientVersion, errors::Error, models::SystemVersion};

/// How long a ping may take before the version is asked for instead.
const PATIENCE: Duration = Duration::from_millis(500);

/// The longest answer to a ping that is read, in bytes.
const LIMIT: u64 = 16 * 1024;

/// The properties of a daemon.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ping {
    /// The newest version of the API that both sides support.
    pub(super) api_version: ClientVersion,
    pub(super) is_linux: bool,
    pub(super) is_podman: bool,
}

impl Ping {
    /// Reads the headers of a ping at a socket; `None` if they lack something.
    pub(super) fn by_ping(socket: &Path) -> Option<Self> {
        let begun = Instant::now();
        let mut stream = UnixStream::connect(socket).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.set_write_timeout(Some(PATIENCE)).ok()?;
        let request = b"GET /_ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request).ok()?;
        let mut answer = Vec::new();
        let mut limited = stream.take(LIMIT);
        let mut piece = [0; 1024];
        while !answer.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
            match limited.read(&mut piece).ok()? {
                0 => return None,
                // The timeout of a read does not end an answer that comes byte by byte.
                _ if begun.elapsed() > PATIENCE => return None,
                count => answer.extend_from_slice(&piece[..count]),
            }
        }
        Self::of_answer(&String::from_utf8_lossy(&answer))
    }

    fn of_answer(answer: &str) -> Option<Self> {
        let (head, _) = answer.split_once("\r\n\r\n")?;
        let (status, headers) = head.split_once("\r\n")?;
        if status.split(' ').nth(1) != Some("200") {
            return None;
        }
        let header = |wanted: &str| {
            let mut pairs = headers.lines().filter_map(|line| line.split_once(':'));
            let (_, value) = pairs.find(|(name, _)| name.eq_ignore_ascii_case(wanted))?;
            Some(value.trim())
        };
        let is_docker = header("Server")?.starts_with("Docker/");
        let is_podman = header("Libpod-API-Version").is_some();
        let system = header("OSType");
        // Podman does not name its system, which is always Linux.
        let is_linux = system.map_or(is_podman, |system| system == "linux");
        (is_docker != is_podman).then_some(())?;
        Some(Self {
            api_version: api_version(header("API-Version")?)?,
            is_linux,
            is_podman,
        })
    }

    /// Reads the answer to `/version`.
    pub(super) fn of_version(version: &SystemVersion) -> Result<Self, Error> {
        let components = version.components.iter().flatten();
        let mut names = components.map(|component| component.name.as_str());
        let text = version.api_version.as_deref().unwrap_or_default();
        Ok(Self {
            api_version: api_version(text).ok_or(Error::APIVersionParseError {})?,
            is_linux: version.os.as_deref() == Some("linux"),
            is_podman: names.any(|name| name.contains("Podman")),
        })
    }
}

/// The newest version of the API that both sides support; `text` is the daemon's newest.
fn api_version(text: &str) -> Option<ClientVersion> {
    let (major, minor) = text.split_once('.')?;
    let theirs = ClientVersion {
        major_version: major.parse().ok()?,
        minor_version: minor.parse().ok()?,
    };
    Some(if theirs < *API_DEFAULT_VERSION {
        theirs
    } else {
        *API_DEFAULT_VERSION
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(headers: &str) -> Option<Ping> {
        Ping::of_answer(&format!("HTTP/1.1 200 OK\r\n{headers}\r\n\r\nOK"))
    }

    #[test]
    fn a_ping_says_who_answers() {
        let docker =
            answer("Api-Version: 1.41\r\nOstype: linux\r\nServer: Docker/20.10.24 (linux)");
        let docker = docker.unwrap();
        assert_eq!(docker.api_version.to_string(), "1.41");
        assert!(docker.is_linux && !docker.is_podman);
        let podman =
            "Api-Version: 1.41\r\nLibpod-Api-Version: 4.3.1\r\nServer: Libpod/4.3.1 (linux)";
        let podman = answer(podman).unwrap();
        assert!(podman.is_linux && podman.is_podman);
        let newer = "Api-Version: 1.999\r\nOstype: windows\r\nServer: Docker/99 (windows)";
        let newer = answer(newer).unwrap();
        assert_eq!(newer.api_version, *API_DEFAULT_VERSION);
        assert!(!newer.is_linux);
    }

    #[test]
    fn what_a_ping_leaves_open_is_not_guessed() {
        for headers in [
            "Api-Version: 1.41\r\nOstype: linux",
            "Ostype: linux\r\nServer: Docker/20",
            "Api-Version: new\r\nOstype: linux\r\nServer: Docker/20",
            "Api-Version: 1.41\r\nOstype: linux\r\nServer: nginx",
        ] {
            assert_eq!(answer(headers), None, "{headers}");
        }
        let refused = "HTTP/1.1 404 Not Found\r\nApi-Version: 1.41\r\nOstype: linux\r\nServer: Docker/20\r\n\r\n";
        assert_eq!(Ping::of_answer(refused), None);
        assert_eq!(Ping::by_ping(Path::new("/nonexistent/socket")), None);
    }
}
