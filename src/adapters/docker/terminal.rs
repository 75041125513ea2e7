//! A container's streams as those of this process: through its terminal, or through its pipes.

use std::{
    io::{self, IsTerminal, Read, Write},
    ops::ControlFlow,
    pin::Pin,
    sync::{Mutex, PoisonError},
    thread,
};

use bollard::{
    Docker,
    container::{AttachContainerResults, LogOutput},
    query_parameters::ResizeContainerTTYOptionsBuilder,
};
use futures_util::StreamExt;
use rustix::termios::{self, OptionalActions, Termios};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    signal::unix::{SignalKind, signal},
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
};

/// Whether this process is used from a terminal.
pub(super) fn is_there() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// Connects this process' terminal to that of a container, until the container's program ends.
pub(super) async fn connect(
    client: &Docker,
    name: &str,
    attached: AttachContainerResults,
) -> Result<ControlFlow<()>, bollard::errors::Error> {
    let _raw = RawTerminal::begin()?;
    resize(client, name).await;
    let (resizing, named) = (client.clone(), name.to_owned());
    let resizes = tokio::spawn(async move {
        let Ok(mut changes) = signal(SignalKind::window_change()) else {
            return;
        };
        while changes.recv().await.is_some() {
            resize(&resizing, &named).await;
        }
    });
    let ended = pass_on(attached).await;
    resizes.abort();
    ended
}

/// Passes a container's streams on to those of this process, and this process' input to the container.
pub(super) async fn pass_on(
    mut attached: AttachContainerResults,
) -> Result<ControlFlow<()>, bollard::errors::Error> {
    let typing = tokio::spawn(pass_input(typed(), attached.input));
    let mut ended = ControlFlow::Continue(());
    while let Some(piece) = attached.output.next().await {
        let written = match piece? {
            LogOutput::StdErr { message } => write_to(io::stderr().lock(), &message),
            LogOutput::StdOut { message } | LogOutput::Console { message } => {
                write_to(io::stdout().lock(), &message)
            }
            LogOutput::StdIn { .. } => Ok(()),
        };
        if written.is_err() {
            ended = ControlFlow::Break(());
            break;
        }
    }
    typing.abort();
    Ok(ended)
}

fn write_to(mut stream: impl Write, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes)?;
    stream.flush()
}

/// What comes on the standard input. A thread of its own waits for it, which ends with the process.
fn typed() -> UnboundedReceiver<Vec<u8>> {
    let (sender, receiver) = unbounded_channel();
    thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = io::stdin().read(&mut bytes) {
            if sender.send(bytes[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    receiver
}

async fn pass_input(
    mut typed: UnboundedReceiver<Vec<u8>>,
    mut input: Pin<Box<dyn AsyncWrite + Send>>,
) {
    while let Some(bytes) = typed.recv().await {
        if input.write_all(&bytes).await.is_err() || input.flush().await.is_err() {
            return;
        }
    }
    // The program is told that nothing more comes.
    drop(input.shutdown().await);
}

/// Gives a container's terminal the size of this process'.
async fn resize(client: &Docker, name: &str) {
    let Ok(size) = termios::tcgetwinsize(io::stdout()) else {
        return;
    };
    let options = ResizeContainerTTYOptionsBuilder::default()
        .h(i32::from(size.ws_row))
        .w(i32::from(size.ws_col));
    // A wrong size is a small thing.
    drop(client.resize_container_tty(name, options.build()).await);
}

/// What the terminal was like before its keys went to a container as they are typed.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// A terminal whose keys go to the container as they are typed, until this value is dropped.
struct RawTerminal;

impl RawTerminal {
    fn begin() -> io::Result<Self> {
        let before = termios::tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
        raw.make_raw();
        termios::tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        Ok(Self)
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        restore();
    }
}

/// Makes the terminal what it was, if a container had it.
pub(super) fn restore() {
    let before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(before) = before {
        // Nobody could be told about an error.
        termios::tcsetattr(io::stdin(), OptionalActions::Now, &before).unwrap_or_default();
    }
}
