//! A container that runs a job as a cluster would: with a network, volumes, an environment, and its output as it comes.
//! Nothing of it stays but what it writes into volumes.

use std::{ops::ControlFlow, path::PathBuf, pin::Pin};

use bollard::{
    Docker,
    container::{AttachContainerResults, LogOutput},
    models::{ContainerCreateBody, HostConfig},
    query_parameters::UploadToContainerOptionsBuilder,
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};

use super::{
    about::is_rootless,
    container::container_name,
    daemon::{Daemon, WORK},
    error::DockerError,
    running::Running,
    terminal,
};
use crate::image::ImageInfo;

/// A job to run in a container of an image.
#[derive(Debug)]
pub struct JobContainer<'a> {
    /// The image.
    pub image: &'a ImageInfo,
    /// Its name, as messages call it.
    pub name: &'a str,
    /// The program that is called instead of the image's entrypoint.
    pub entrypoint: Option<Vec<String>>,
    /// What the entrypoint is given.
    pub command: Vec<String>,
    /// `NAME=VALUE`.
    pub environment: Vec<String>,
    /// Folders of this machine.
    pub volumes: &'a [Volume],
    /// Files that are put into the container: their absolute paths, and their text.
    pub files: &'a [(&'a str, &'a str)],
    /// The network; the daemon's default without one.
    pub network: Option<&'a str>,
}

/// A folder or a file of this machine in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Where it is on this machine.
    pub source: PathBuf,
    /// Where it is in the container.
    pub target: String,
    /// Whether the container may only read it.
    pub is_read_only: bool,
}

/// Bytes that a job has printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrintedBytes<'a> {
    /// On its standard output.
    Output(&'a [u8]),
    /// On its standard error.
    Error(&'a [u8]),
}

/// Where a job's streams lead.
pub struct JobStreams<'a> {
    /// What takes what it prints. A break ends it.
    pub printed: &'a mut dyn FnMut(PrintedBytes<'_>) -> ControlFlow<()>,
    /// Whether it reads what this process is given; by a terminal, if that is one.
    pub is_interactive: bool,
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobEnd {
    /// With this exit code; `None` if the daemon did not say which.
    Exit(Option<i64>),
    /// Nobody reads what it prints.
    Stopped,
}

impl Daemon {
    /// Runs a job in a container of an image, and removes the container.
    ///
    /// With volumes it runs as whoever calls, so that what it writes is theirs; without any as the image's own user.
    ///
    /// # Errors
    /// The container cannot be started, the connection breaks, or a volume cannot be on the daemon's machine.
    pub fn run_job(
        &self,
        job: &JobContainer<'_>,
        streams: JobStreams<'_>,
    ) -> Result<JobEnd, DockerError> {
        let doing = || format!("run a job in the image `{}`", job.name);
        if !job.volumes.is_empty() && !self.is_local() {
            return Err(DockerError::Answer {
                doing: doing(),
                message: format!(
                    "it is at {}, and volumes are folders of the daemon's own machine",
                    self.address()
                ),
            });
        }
        let user = if job.volumes.is_empty() {
            None
        } else {
            Some(self.user_of_caller()?)
        };
        let name = container_name(job.image);
        self.in_container(&name, doing, async |running| {
            self.start_job(job, (&name, running), user, streams).await
        })
    }

    /// The user in a container whose files are the caller's outside.
    fn user_of_caller(&self) -> Result<ContainerUser, DockerError> {
        let info = self.ask(self.client.info());
        let info = info.map_err(|error| self.failed(&error, || "tell what it may".to_owned()))?;
        if is_rootless(&info) {
            // Root in a rootless container is who runs the daemon.
            return Ok(ContainerUser::of_ids(0, 0));
        }
        let (user, group) = (rustix::process::getuid(), rustix::process::getgid());
        Ok(ContainerUser::of_ids(user.as_raw(), group.as_raw()))
    }

    async fn start_job(
        &self,
        job: &JobContainer<'_>,
        (name, running): (&str, &Running),
        user: Option<ContainerUser>,
        streams: JobStreams<'_>,
    ) -> Result<JobEnd, bollard::errors::Error> {
        // A job may compute for a long time without a word.
        let client = self.client.clone().with_timeout(WORK);
        let is_read = streams.is_interactive;
        let has_terminal = is_read && terminal::is_there();
        let body = body(job, user, is_read, has_terminal);
        self.create(&client, (name, running), job.image, body)
            .await?;
        put_files(&client, name, job.files).await?;
        let (attached, exit) = self.start(&client, name, is_read).await?;
        let AttachContainerResults { output, input } = attached;
        let typing = is_read.then(|| self.runtime.spawn(terminal::pass_input(input)));
        let connected = if has_terminal {
            Some(terminal::connect(&client, name).await?)
        } else {
            None
        };
        let read = hand_over(output, streams.printed).await;
        drop(connected);
        if let Some(typing) = typing {
            typing.abort();
        }
        let read = read?;
        if read.is_break() {
            return Ok(JobEnd::Stopped);
        }
        Ok(JobEnd::Exit(exit.code().await))
    }
}

/// A user of a container, with the group that may write where an image lets any user write.
struct ContainerUser {
    ids: String,
    groups: Vec<String>,
}

impl ContainerUser {
    fn of_ids(user: u32, group: u32) -> Self {
        Self {
            ids: format!("{user}:{group}"),
            groups: vec!["0".to_owned()],
        }
    }
}

fn body(
    job: &JobContainer<'_>,
    user: Option<ContainerUser>,
    is_read: bool,
    has_terminal: bool,
) -> ContainerCreateBody {
    let bind = |volume: &Volume| {
        let mode = if volume.is_read_only { ":ro" } else { "" };
        format!("{}:{}{mode}", volume.source.display(), volume.target)
    };
    let (user, groups) = user.map_or((None, None), |user| (Some(user.ids), Some(user.groups)));
    ContainerCreateBody {
        image: Some(job.image.id.to_string()),
        entrypoint: job.entrypoint.clone(),
        cmd: Some(job.command.clone()),
        env: Some(job.environment.clone()),
        user,
        // A name that leads somewhere where no network gives one.
        hostname: (job.network == Some("none")).then(|| "localhost".to_owned()),
        tty: Some(has_terminal),
        attach_stdin: Some(is_read),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        open_stdin: Some(is_read),
        stdin_once: Some(is_read),
        host_config: Some(HostConfig {
            auto_remove: Some(true),
            network_mode: job.network.map(str::to_owned),
            binds: Some(job.volumes.iter().map(bind).collect()),
            group_add: groups,
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}

/// Puts files into a container that does not run yet.
async fn put_files(
    client: &Docker,
    name: &str,
    files: &[(&str, &str)],
) -> Result<(), bollard::errors::Error> {
    if files.is_empty() {
        return Ok(());
    }
    let mut archive = tar::Builder::new(Vec::new());
    for (path, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, path.trim_start_matches('/'), text.as_bytes())?;
    }
    let archive = Bytes::from(archive.into_inner()?);
    let options = UploadToContainerOptionsBuilder::default().path("/");
    let body = bollard::body_full(archive);
    client
        .upload_to_container(name, Some(options.build()), body)
        .await
}

type JobOutput = Pin<Box<dyn Stream<Item = Result<LogOutput, bollard::errors::Error>> + Send>>;

/// Hands over what a job prints, until it ends or nobody wants more.
async fn hand_over(
    mut output: JobOutput,
    printed: &mut dyn FnMut(PrintedBytes<'_>) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, bollard::errors::Error> {
    while let Some(piece) = output.next().await {
        let wants_more = match piece? {
            LogOutput::StdErr { message } => printed(PrintedBytes::Error(&message)),
            LogOutput::StdOut { message } | LogOutput::Console { message } => {
                printed(PrintedBytes::Output(&message))
            }
            LogOutput::StdIn { .. } => ControlFlow::Continue(()),
        };
        if wants_more.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}
