//! A container's streams as those of this process: through its terminal, or through its pipes.

use std::{
    io::{self, Read},
    pin::Pin,
    sync::{Mutex, PoisonError},
    thread,
};

use bollard::{Docker, query_parameters::ResizeContainerTTYOptionsBuilder};
use rustix::{
    stdio::{stdin, stdout},
    termios::{self, OptionalActions, Termios},
};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    signal::unix::{SignalKind, signal},
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    task::JoinHandle,
};

/// Whether this process is used from a terminal.
pub(super) fn is_there() -> bool {
    termios::isatty(stdin()) && termios::isatty(stdout())
}

/// Makes this process' terminal that of a container, until the returned value is dropped.
pub(super) async fn connect(client: &Docker, name: &str) -> io::Result<ConnectedTerminal> {
    let raw = RawTerminal::begin()?;
    resize(client, name).await;
    let (client, name) = (client.clone(), name.to_owned());
    let resizes = tokio::spawn(async move {
        let Ok(mut changes) = signal(SignalKind::window_change()) else {
            return;
        };
        while changes.recv().await.is_some() {
            resize(&client, &name).await;
        }
    });
    Ok(ConnectedTerminal { _raw: raw, resizes })
}

/// A terminal that belongs to a container.
pub(super) struct ConnectedTerminal {
    _raw: RawTerminal,
    resizes: JoinHandle<()>,
}

impl Drop for ConnectedTerminal {
    fn drop(&mut self) {
        self.resizes.abort();
    }
}

/// Passes what this process is given on to a container.
pub(super) async fn pass_input(mut input: Pin<Box<dyn AsyncWrite + Send>>) {
    let mut typed = typed();
    while let Some(bytes) = typed.recv().await {
        if input.write_all(&bytes).await.is_err() || input.flush().await.is_err() {
            return;
        }
    }
    // The program is told that nothing more comes.
    drop(input.shutdown().await);
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

/// Gives a container's terminal the size of this process'.
async fn resize(client: &Docker, name: &str) {
    let Ok(size) = termios::tcgetwinsize(stdout()) else {
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
        let before = termios::tcgetattr(stdin())?;
        let mut raw = before.clone();
        *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
        raw.make_raw();
        termios::tcsetattr(stdin(), OptionalActions::Now, &raw)?;
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
        termios::tcsetattr(stdin(), OptionalActions::Now, &before).unwrap_or_default();
    }
}
