//! A run beside others: what it has said so far, signals to it, and its end.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use super::run;

/// How long a run may say nothing: much longer than any does.
const PATIENCE: Duration = Duration::from_mins(1);

/// A command that runs. It is killed if the test ends before.
pub(crate) struct Beside {
    child: Child,
    lines: Receiver<String>,
    /// What it has said on stderr, as far as it was read.
    pub(crate) told: String,
}

impl Beside {
    /// Starts a command, and waits until it says a line with this text on stderr.
    pub(crate) fn until(text: &str, command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap()).lines();
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let mut read = stderr.map(|line| sender.send(line.unwrap()));
            read.all(|sent| sent.is_ok())
        });
        let mut begun = Self {
            child,
            lines,
            told: String::new(),
        };
        begun.says(text);
        begun
    }

    /// Reads on until a line has this text.
    pub(crate) fn says(&mut self, text: &str) {
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            self.told += &line;
            self.told += "\n";
            if line.contains(text) {
                return;
            }
        }
        panic!("it does not say `{text}`:\n{}", self.told);
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.id().to_string();
        assert_eq!(run(Command::new("kill").args(["-s", name, &id])).code, 0);
    }

    /// Waits for its end, and reads the rest of what it says.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            self.told += &line;
            self.told += "\n";
        }
        let status = self.child.wait().unwrap();
        (status, std::mem::take(&mut self.told))
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
