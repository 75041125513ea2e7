//! One run of an installer: its own folder, a clean environment, and its error message.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    ffi::OsStr,
    io::{self, Read},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use super::{Installer, PythonError, Tool, index::Index, stub};
use crate::{adapters::store::TemporaryFolder, project::requirements::masked};

/// The number of lines of an installer's output that are shown.
const SHOWN_LINES: usize = 10;

/// The number of lines that tell what an installer was busy with.
const BUSY_LINES: usize = 5;

/// What the lines begin with in which uv tells the steps of its work.
const UV_STEP: &str = "DEBUG ";

/// A folder in which an installer is run; removed when the run ends.
pub(super) struct ToolRun<'a> {
    installer: &'a Installer,
    folder: TemporaryFolder,
    /// When the program is stopped.
    end: Option<Instant>,
    /// The standard error of the last run that went well.
    said: RefCell<String>,
}

/// The error message of a failed installer, without secrets.
pub(super) struct Complaint {
    tool: Tool,
    /// Standard error.
    pub(super) text: String,
}

impl<'a> ToolRun<'a> {
    pub(super) fn new(installer: &'a Installer) -> io::Result<Self> {
        Ok(Self {
            installer,
            folder: TemporaryFolder::new()?,
            end: None,
            said: RefCell::default(),
        })
    }

    /// The same for programs that are stopped when the time is over.
    pub(super) fn until(installer: &'a Installer, end: Instant) -> io::Result<Self> {
        let run = Self::new(installer)?;
        Ok(Self {
            end: Some(end),
            ..run
        })
    }

    pub(super) fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    pub(super) fn is_offline(&self) -> bool {
        self.installer.offline
    }

    /// Whether this machine has a Python.
    pub(super) fn has_python() -> bool {
        on_path("python3").is_some()
    }

    pub(super) fn index(&self) -> &Index {
        &self.installer.index
    }

    /// Writes lines into a file of the folder.
    pub(super) fn write(&self, name: &str, lines: &[String]) -> io::Result<()> {
        fs_err::write(self.folder.path().join(name), lines.join("\n") + "\n")
    }

    /// Reads a file of the folder.
    pub(super) fn read(&self, name: &str) -> io::Result<String> {
        fs_err::read_to_string(self.folder.path().join(name))
    }

    /// Writes the requirements, with the places to search, and the constraints into the folder.
    pub(super) fn write_question(
        &self,
        wanted: &[String],
        constraints: &[String],
        for_uv: bool,
    ) -> io::Result<()> {
        let mut lines = self.index().lines(for_uv, self.is_offline());
        let stubs = self.folder.path().join(stub::FOLDER);
        if stubs.exists() {
            lines.push(format!("--find-links {}", super::encoded::file_url(&stubs)));
        }
        lines.extend_from_slice(wanted);
        self.write("requirements.txt", &lines)?;
        self.write("constraints.txt", constraints)
    }

    /// Runs the program with `arguments` in the folder. The complaint of a failed run is its standard error.
    pub(super) fn call(
        &self,
        arguments: &[&OsStr],
        variables: &[(String, String)],
    ) -> Result<Result<(), Complaint>, PythonError> {
        let mut command = command(&self.installer.program);
        command
            .args(arguments)
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .current_dir(self.folder.path());
        let output = output_of(&mut command, self.end).map_err(|error| {
            let program = self.installer.program.display();
            io::Error::new(error.kind(), format!("cannot run `{program}`: {error}"))
        })?;
        let Some(status) = output.status else {
            return Err(self.too_long(&String::from_utf8_lossy(&output.stderr)));
        };
        if status.success() {
            let said = self.without_secrets(&String::from_utf8_lossy(&output.stderr));
            self.said.replace(said);
            return Ok(Ok(()));
        }
        let mut text = String::from_utf8_lossy(&output.stderr).into_owned();
        if self.installer.tool == Tool::Uv {
            text = without_warnings(&text);
        }
        if text.trim().is_empty() {
            text = format!("{}\n{}", String::from_utf8_lossy(&output.stdout), status);
        }
        Ok(Err(Complaint {
            tool: self.installer.tool,
            text: self.without_secrets(&text),
        }))
    }

    /// What the program said of the last run that went well.
    pub(super) fn said(&self) -> String {
        self.said.borrow().clone()
    }

    /// The error of a program that was stopped, with the last lines that tell what it did.
    fn too_long(&self, text: &str) -> PythonError {
        let log = match self.installer.tool {
            Tool::Uv => text.to_owned(),
            Tool::Pip => self.read("pip.log").unwrap_or_default(),
        };
        let log = self.without_secrets(&log);
        let mut busy: Vec<String> = Vec::new();
        for line in log.lines().rev() {
            let line = match self.installer.tool {
                Tool::Uv => line.trim_start_matches(UV_STEP),
                // A time comes first.
                Tool::Pip => line.split_once(' ').map_or("", |(_, rest)| rest),
            };
            let line = line.trim();
            if !line.is_empty() && !busy.iter().any(|known| known == line) {
                busy.insert(0, line.to_owned());
            }
            if busy.len() == BUSY_LINES {
                break;
            }
        }
        PythonError::TooLong {
            tool: self.installer.tool,
            limit: self.installer.limit,
            busy,
        }
    }

    /// The text with passwords replaced by `***`.
    pub(super) fn without_secrets(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (value, shown) in &self.index().origins.hidden {
            text = text.replace(value, shown);
        }
        text = text.lines().map(|line| masked(line) + "\n").collect();
        for secret in self.index().secrets() {
            text = text.replace(&secret, "***");
        }
        text
    }
}

impl Installer {
    /// The version that the program says it has; `None` where it says none before the limit.
    #[must_use]
    pub fn version(&self, limit: Duration) -> Option<String> {
        let mut command = command(&self.program);
        match self.tool {
            Tool::Uv => command.arg("--version"),
            Tool::Pip => command.args(["-m", "pip", "--version"]),
        };
        let output = output_of(command.current_dir("/"), Some(Instant::now() + limit)).ok()?;
        let said = String::from_utf8_lossy(&output.stdout);
        // The program's name comes first.
        said.split_whitespace().nth(1).map(str::to_owned)
    }
}

/// uv's message without the steps of its work, and without what it warned of before.
fn without_warnings(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.starts_with(UV_STEP));
    let lines: Vec<&str> = lines.collect();
    let error = lines.iter().position(|line| line.starts_with("error:"));
    lines[error.unwrap_or(0)..].join("\n") + "\n"
}

/// What a program has written.
struct Output {
    /// `None` if it was stopped.
    status: Option<ExitStatus>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

/// Runs a program to its end, or until the time is over.
fn output_of(command: &mut Command, end: Option<Instant>) -> io::Result<Output> {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (done, is_done) = mpsc::channel();
    let stdout = gather(child.stdout.take(), done.clone());
    let stderr = gather(child.stderr.take(), done);
    let is_late = || {
        let Some(end) = end else {
            return is_done.recv().is_ok();
        };
        let left = end.saturating_duration_since(Instant::now());
        is_done.recv_timeout(left) == Err(mpsc::RecvTimeoutError::Timeout)
    };
    let status = if is_late() {
        child.kill()?;
        child.wait()?;
        None
    } else {
        Some(child.wait()?)
    };
    let taken = |bytes: Arc<Mutex<Vec<u8>>>| {
        std::mem::take(&mut *bytes.lock().unwrap_or_else(PoisonError::into_inner))
    };
    Ok(Output {
        status,
        stdout: taken(stdout),
        stderr: taken(stderr),
    })
}

/// Reads a pipe beside other work; `done` is dropped at its end. Nobody waits for the end of a pipe that a stopped program
/// has left to others.
fn gather(
    mut pipe: Option<impl Read + Send + 'static>,
    done: mpsc::Sender<()>,
) -> Arc<Mutex<Vec<u8>>> {
    let bytes = Arc::new(Mutex::new(Vec::new()));
    let gathered = Arc::clone(&bytes);
    thread::spawn(move || {
        let mut buffer = [0; 1 << 14];
        while let Some(read) = pipe.as_mut().map(|pipe| pipe.read(&mut buffer)) {
            match read {
                Ok(count @ 1..) => gathered
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => break,
            }
        }
        drop(done);
    });
    bytes
}

impl Complaint {
    /// The error for a message that is not understood.
    pub(super) fn unknown(&self) -> PythonError {
        let lines: Vec<&str> = self
            .text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .collect();
        let skipped = lines.len().saturating_sub(SHOWN_LINES);
        PythonError::Failed {
            tool: self.tool,
            tail: lines[skipped..]
                .iter()
                .map(|line| (*line).to_owned())
                .collect(),
        }
    }
}

/// A command without the variables that would change the result.
#[expect(clippy::disallowed_methods, reason = "an adapter runs programs")]
pub(super) fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(Index::is_removed) {
            command.env_remove(name);
        }
    }
    command.env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

/// The variables of this process that are valid text, and its working folder.
pub(super) fn surroundings() -> (BTreeMap<String, String>, PathBuf) {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    let variables = std::env::vars_os().filter_map(text).collect();
    (variables, std::env::current_dir().unwrap_or_default())
}

/// The program `name` in the first folder of PATH that has it.
#[expect(
    clippy::disallowed_methods,
    reason = "an adapter reads the environment"
)]
pub(super) fn on_path(name: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let executable = |file: &PathBuf| {
        fs_err::metadata(file)
            .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
    };
    let path = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(executable)?;
    std::path::absolute(found).ok()
}

/// The text between two others.
pub(super) fn between<'t>(text: &'t str, start: &str, end: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(start)?;
    rest.split_once(end).map(|(inner, _)| inner)
}

/// The last word before `needle`.
pub(super) fn word_before<'t>(text: &'t str, needle: &str) -> Option<&'t str> {
    let (before, _) = text.split_once(needle)?;
    before.split_whitespace().next_back()
}
