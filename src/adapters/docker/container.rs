//! A program that runs in a container of an image, without a network. Nothing of it stays: no container, and nothing in
//! the image.

use std::{
    process,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use bollard::{
    Docker,
    container::{AttachContainerResults, LogOutput},
    models::{ContainerCreateBody, HostConfig},
    query_parameters::{
        AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, WaitContainerOptionsBuilder,
    },
};
use futures_util::StreamExt;
use tokio::{io::AsyncWriteExt, task::JoinHandle, time::timeout};

use super::{
    daemon::Daemon,
    error::DockerError,
    left::of_this_run,
    running::{Running, remove},
};
use crate::image::ImageInfo;

/// How long the daemon may take to say how a program ended that has closed its output.
const ENDING: Duration = Duration::from_secs(10);

/// A program to run in a container of an image.
pub struct ProgramInImage<'a> {
    /// The image.
    pub image: &'a ImageInfo,
    /// Its name, as messages call it.
    pub name: &'a str,
    /// Who runs it.
    pub user: &'a str,
    /// The program with its arguments, handed to the image's entrypoint.
    pub command: Vec<String>,
    /// What it reads on its standard input, which then stays open for as long as anybody waits for its output. A program
    /// that watches it does not outlive sparkpack, however that ends.
    pub input: &'a [u8],
    /// How long it may take.
    pub limit: Duration,
}

/// A line that a program in a container has printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrintedLine<'a> {
    /// On its standard output.
    Output(&'a str),
    /// On its standard error.
    Error(&'a str),
}

/// How a program in a container ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgramEnd {
    /// It exited with this code; `None` if the daemon did not say which.
    Exit(Option<i64>),
    /// It was ended when its time was over.
    OutOfTime,
}

impl Daemon {
    /// Runs a program in a container of an image, and removes the container. It has no network, and the name `localhost`.
    ///
    /// # Errors
    /// The container cannot be started, or the connection breaks.
    pub fn run_program(
        &self,
        program: &ProgramInImage<'_>,
        printed: &mut dyn FnMut(PrintedLine<'_>),
    ) -> Result<ProgramEnd, DockerError> {
        let doing = || format!("run a program in the image `{}`", program.name);
        let name = container_name(program.image);
        self.in_container(&name, doing, async |running| {
            let run = self.run(program, (&name, running), printed);
            timeout(program.limit, run)
                .await
                .unwrap_or(Ok(ProgramEnd::OutOfTime))
        })
    }

    /// Does the work in a container of this name, and removes it.
    pub(super) fn in_container<T>(
        &self,
        name: &str,
        doing: impl Fn() -> String,
        work: impl AsyncFnOnce(&Running) -> Result<T, bollard::errors::Error>,
    ) -> Result<T, DockerError> {
        let running = Running::begin(&self.runtime, &self.client, name);
        let ended = self.runtime.block_on(work(&running));
        let removed = self.ask(remove(&self.client, name));
        drop(running);
        let ended = ended.map_err(|error| self.failed(&error, &doing))?;
        removed.map_err(|error| self.failed(&error, doing))?;
        Ok(ended)
    }

    /// Makes a container of an image.
    pub(super) async fn create(
        &self,
        client: &Docker,
        (name, running): (&str, &Running),
        image: &ImageInfo,
        body: ContainerCreateBody,
    ) -> Result<(), bollard::errors::Error> {
        let options = CreateContainerOptionsBuilder::default().name(name);
        // Without a platform, a daemon may look for the image of its own.
        let options = match image.platform.architecture.as_str() {
            "" => options,
            _ => options.platform(&image.platform.to_string()),
        };
        let body = of_this_run(body);
        let created = client.create_container(Some(options.build()), body).await;
        running.is_made(created.is_ok());
        created.map(drop)
    }

    /// Starts a container with its streams, among them its standard input if it reads any.
    pub(super) async fn start(
        &self,
        client: &Docker,
        name: &str,
        is_read: bool,
    ) -> Result<(AttachContainerResults, Exit), bollard::errors::Error> {
        let options = AttachContainerOptionsBuilder::default();
        let options = options
            .stream(true)
            .stdin(is_read)
            .stdout(true)
            .stderr(true);
        let attached = client.attach_container(name, Some(options.build())).await?;
        let (waiting, named) = (client.clone(), name.to_owned());
        // The daemon forgets the exit code with the container.
        let exit = self
            .runtime
            .spawn(async move { exit_code(&waiting, &named).await });
        client.start_container(name, None).await?;
        Ok((attached, Exit(exit)))
    }

    async fn run(
        &self,
        program: &ProgramInImage<'_>,
        (name, running): (&str, &Running),
        printed: &mut dyn FnMut(PrintedLine<'_>),
    ) -> Result<ProgramEnd, bollard::errors::Error> {
        // A program may compute for a long time without a word.
        let client = self.client.clone().with_timeout(program.limit);
        self.create(&client, (name, running), program.image, body(program))
            .await?;
        let (mut attached, exit) = self.start(&client, name, true).await?;
        // Of a program that does not read it, the output and the exit code tell more than a broken pipe.
        drop(attached.input.write_all(program.input).await);
        drop(attached.input.flush().await);
        let (mut output, mut error) = (LineSplitter::default(), LineSplitter::default());
        while let Some(piece) = attached.output.next().await {
            match piece? {
                LogOutput::StdErr { message } => {
                    error.add(&message, &mut |line| printed(PrintedLine::Error(line)));
                }
                LogOutput::StdOut { message } | LogOutput::Console { message } => {
                    output.add(&message, &mut |line| printed(PrintedLine::Output(line)));
                }
                LogOutput::StdIn { .. } => {}
            }
        }
        output.end(&mut |line| printed(PrintedLine::Output(line)));
        error.end(&mut |line| printed(PrintedLine::Error(line)));
        Ok(ProgramEnd::Exit(exit.code().await))
    }
}

fn body(program: &ProgramInImage<'_>) -> ContainerCreateBody {
    ContainerCreateBody {
        image: Some(program.image.id.to_string()),
        cmd: Some(program.command.clone()),
        user: Some(program.user.to_owned()),
        // A name that leads to the loopback interface, as there is no other.
        hostname: Some("localhost".to_owned()),
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        open_stdin: Some(true),
        stdin_once: Some(true),
        host_config: Some(HostConfig {
            auto_remove: Some(true),
            network_mode: Some("none".to_owned()),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}

/// The exit code of a container that runs.
pub(super) struct Exit(JoinHandle<Option<i64>>);

impl Exit {
    /// The code of one that has closed its output; `None` if the daemon does not say it.
    pub(super) async fn code(self) -> Option<i64> {
        let code = timeout(ENDING, self.0).await;
        code.ok().and_then(Result::ok).flatten()
    }
}

/// A name for a container of an image, which no other container of this run has.
pub(super) fn container_name(image: &ImageInfo) -> String {
    static CONTAINERS: AtomicUsize = AtomicUsize::new(0);
    let number = CONTAINERS.fetch_add(1, Ordering::Relaxed);
    let (pid, id) = (process::id(), image.id.short(12));
    format!("sparkpack-{pid}-{id}-{number}")
}

async fn exit_code(client: &Docker, name: &str) -> Option<i64> {
    let options = WaitContainerOptionsBuilder::default().condition("next-exit");
    let mut answers = client.wait_container(name, Some(options.build()));
    match answers.next().await? {
        Ok(answer) => Some(answer.status_code),
        Err(bollard::errors::Error::DockerContainerWaitError { code, .. }) => Some(code),
        Err(_) => None,
    }
}

/// Lines from pieces of a stream.
#[derive(Default)]
struct LineSplitter(Vec<u8>);

impl LineSplitter {
    fn add(&mut self, piece: &[u8], line: &mut dyn FnMut(&str)) {
        self.0.extend_from_slice(piece);
        while let Some(end) = self.0.iter().position(|byte| *byte == b'\n') {
            let whole: Vec<u8> = self.0.drain(..=end).collect();
            line(String::from_utf8_lossy(&whole).trim_end_matches(['\r', '\n']));
        }
    }

    fn end(self, line: &mut dyn FnMut(&str)) {
        if !self.0.is_empty() {
            line(&String::from_utf8_lossy(&self.0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_the_same_however_they_arrive() {
        let text = "eins\nzw\u{f6}lf\r\n\nrest";
        for size in [1, 2, 3, 100] {
            let (mut lines, mut found) = (LineSplitter::default(), Vec::new());
            let mut keep = |line: &str| found.push(line.to_owned());
            for piece in text.as_bytes().chunks(size) {
                lines.add(piece, &mut keep);
            }
            lines.end(&mut keep);
            assert_eq!(found, ["eins", "zw\u{f6}lf", "", "rest"]);
        }
    }
}
