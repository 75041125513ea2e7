//! One run of an installer: its own folder, a clean environment, and its error message.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{Installer, PythonError, Tool, index::Index, stub};
use crate::project::requirements::masked;

/// The number of lines of an installer's output that are shown.
const SHOWN_LINES: usize = 10;

/// A folder in which an installer is run; removed when the run ends.
pub(super) struct ToolRun<'a> {
    installer: &'a Installer,
    folder: tempfile::TempDir,
}

/// The error message of a failed installer, without secrets.
pub(super) struct Complaint {
    tool: Tool,
    /// Standard error.
    pub(super) text: String,
}

impl<'a> ToolRun<'a> {
    pub(super) fn new(installer: &'a Installer) -> io::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("sparkpack-python-")
            .tempdir()?;
        Ok(Self { installer, folder })
    }

    pub(super) fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    pub(super) fn is_offline(&self) -> bool {
        self.installer.offline
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
        let output = command.output().map_err(|error| {
            let program = self.installer.program.display();
            io::Error::new(error.kind(), format!("cannot run `{program}`: {error}"))
        })?;
        if output.status.success() {
            return Ok(Ok(()));
        }
        let mut text = String::from_utf8_lossy(&output.stderr).into_owned();
        if text.trim().is_empty() {
            text = format!(
                "{}\n{}",
                String::from_utf8_lossy(&output.stdout),
                output.status
            );
        }
        Ok(Err(Complaint {
            tool: self.installer.tool,
            text: self.without_secrets(&text),
        }))
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
