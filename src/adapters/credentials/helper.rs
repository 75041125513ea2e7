//! Credential helpers: programs named `docker-credential-NAME`, which keep credentials in a keychain.

use std::{
    ffi::OsStr,
    fmt,
    io::{self, Read as _, Write as _},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use serde::Deserialize;

use super::{Credential, basic};

/// A keychain may ask a person for a passphrase, but a helper may take no longer than this.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// The largest answer that is read, in bytes.
const SIZE_LIMIT: u64 = 1 << 20;

/// How a helper failed. Its output is not kept, because it may be a secret.
#[derive(Debug)]
pub enum HelperFault {
    /// There is no such program on the `PATH`.
    Missing,
    /// Its name has a slash, which could run any program.
    Name,
    /// It could not be started.
    Start(io::Error),
    /// It exited with this code, or was ended by a signal.
    Exit(Option<i32>),
    /// It did not end within this many seconds.
    Timeout(u64),
    /// It printed more than 1 MiB.
    TooLong,
    /// Its output is not that of a helper.
    Garbage,
}

impl fmt::Display for HelperFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => formatter.write_str("is not installed"),
            Self::Name => formatter.write_str("has no name of a helper"),
            Self::Start(error) => write!(formatter, "cannot be started: {error}"),
            Self::Exit(Some(code)) => write!(formatter, "failed with exit code {code}"),
            Self::Exit(None) => formatter.write_str("was ended by a signal"),
            Self::Timeout(seconds) => write!(formatter, "gave no answer within {seconds} s"),
            Self::TooLong => formatter.write_str("printed more than 1 MiB"),
            Self::Garbage => formatter.write_str("printed something that is no credential"),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// The credential that the helper has for a server; a fixed sentence in its output means that it has none.
pub(super) fn get(
    name: &str,
    server: &str,
    search_path: Option<&OsStr>,
) -> Result<Option<Credential>, HelperFault> {
    get_within(TIME_LIMIT, name, server, search_path)
}

pub(super) fn get_within(
    limit: Duration,
    name: &str,
    server: &str,
    search_path: Option<&OsStr>,
) -> Result<Option<Credential>, HelperFault> {
    let deadline = Instant::now() + limit;
    let mut child = start(name, search_path)?;
    let ended = ask(&mut child, server, deadline);
    if ended.is_err() {
        // It may have ended by itself in the meantime.
        let _ = child.kill();
        let _ = child.wait();
    }
    let (output, code) =
        ended.map_err(|fault| fault.unwrap_or(HelperFault::Timeout(limit.as_secs())))?;
    if code != Some(0) {
        return if has_nothing(&output) {
            Ok(None)
        } else {
            Err(HelperFault::Exit(code))
        };
    }
    let answer: Answer = serde_json::from_slice(&output).map_err(|_| HelperFault::Garbage)?;
    Ok(Some(basic(answer.username, answer.secret)))
}

#[expect(clippy::disallowed_methods, reason = "an adapter runs other programs")]
fn start(name: &str, search_path: Option<&OsStr>) -> Result<Child, HelperFault> {
    if name.contains(['/', '\\']) {
        return Err(HelperFault::Name);
    }
    let mut command = Command::new(format!("docker-credential-{name}"));
    command
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    if let Some(path) = search_path {
        command.env("PATH", path);
    }
    command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => HelperFault::Missing,
        _ => HelperFault::Start(error),
    })
}

/// The output and the exit code; `Err(None)` if the time limit is reached.
fn ask(
    child: &mut Child,
    server: &str,
    deadline: Instant,
) -> Result<(Vec<u8>, Option<i32>), Option<HelperFault>> {
    if let Some(mut input) = child.stdin.take() {
        // A helper that does not read its input closes the pipe. Its exit code says more than this error.
        let _ = input.write_all(server.as_bytes());
    }
    let output = child.stdout.take().ok_or(None)?;
    let (sender, receiver) = mpsc::channel();
    // A read cannot be cancelled, but the thread that reads can be abandoned.
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = output.take(SIZE_LIMIT + 1).read_to_end(&mut bytes);
        let _ = sender.send(read.map(|_| bytes));
    });
    let left = deadline.saturating_duration_since(Instant::now());
    let bytes = receiver
        .recv_timeout(left)
        .map_err(|_| None)?
        .map_err(|error| Some(HelperFault::Start(error)))?;
    if bytes.len() as u64 > SIZE_LIMIT {
        return Err(Some(HelperFault::TooLong));
    }
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok((bytes, status.code())),
            Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(5)),
            Ok(None) => return Err(None),
            Err(error) => return Err(Some(HelperFault::Start(error))),
        }
    }
}

fn has_nothing(output: &[u8]) -> bool {
    let text = String::from_utf8_lossy(output);
    text.contains("credentials not found in native keychain")
        || text.contains("could not be found in the keychain")
}
