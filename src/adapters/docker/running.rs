//! The container that runs now: it is removed before a signal ends sparkpack.

use std::{
    pin::pin,
    process,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    thread,
    time::Duration,
};

use bollard::{Docker, query_parameters::RemoveContainerOptionsBuilder};
use futures_util::future::{Either, select};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{sleep, timeout},
};

use super::{error, terminal};
use crate::adapters::runtime::NetworkRuntime;

/// The pause before the daemon is asked again whether a container is gone, or there at last.
const PAUSE: Duration = Duration::from_millis(50);
/// How long a signal waits for the daemon, which may still be making the container.
const ENDING: Duration = Duration::from_secs(5);

/// The container that runs now, if one does.
#[derive(Debug, Default)]
pub(super) struct Running(OnceLock<Arc<Mutex<Noted>>>);

#[derive(Debug, Default)]
struct Noted {
    container: Option<Container>,
    /// A signal has come: whoever runs a container stops there, and the process ends.
    is_ending: bool,
}

/// What is known of the container that runs now.
#[derive(Clone, Debug)]
pub(super) enum Container {
    /// The daemon is asked to make it, and has not answered yet.
    AskedFor,
    /// The one of this name is there, or has been.
    Made(String),
}

impl Running {
    /// Notes the container that begins to run, or that none does any more. From the first call on a signal that ends
    /// sparkpack removes the noted one before. It does not return once a signal has come.
    pub(super) fn note(
        &self,
        runtime: &NetworkRuntime,
        client: &Docker,
        container: Option<Container>,
    ) {
        let watch = || {
            let noted: Arc<Mutex<Noted>> = Arc::default();
            // Before anything is asked for: what a signal ends until then leaves nothing behind.
            if let Some(signals) = runtime.within(EndingSignals::listen) {
                runtime.spawn(remove_on_signal(
                    signals,
                    client.clone(),
                    Arc::clone(&noted),
                ));
            }
            noted
        };
        let mut noted = locked(self.0.get_or_init(watch));
        noted.container = container;
        if noted.is_ending {
            drop(noted);
            loop {
                thread::park();
            }
        }
    }
}

async fn remove_on_signal(mut signals: EndingSignals, client: Docker, noted: Arc<Mutex<Noted>>) {
    let number = signals.next().await;
    locked(&noted).is_ending = true;
    // There is nobody left to tell about an error.
    drop(timeout(ENDING, remove_noted(&client, &noted)).await);
    terminal::restore();
    // As a shell tells of a process that a signal has ended.
    process::exit(128 + number);
}

/// Removes the noted container, also one that the daemon makes only now.
async fn remove_noted(client: &Docker, noted: &Mutex<Noted>) {
    loop {
        let container = locked(noted).container.clone();
        match container {
            None => return,
            Some(Container::AskedFor) => sleep(PAUSE).await,
            Some(Container::Made(name)) => return drop(remove(client, &name).await),
        }
    }
}

fn locked(noted: &Mutex<Noted>) -> MutexGuard<'_, Noted> {
    // A poisoned lock is safe: every change is a single assignment.
    noted.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The signals that ask sparkpack to end.
struct EndingSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl EndingSignals {
    /// Begins to listen; `None` if the system does not tell of signals.
    fn listen() -> Option<Self> {
        Some(Self {
            interrupt: signal(SignalKind::interrupt()).ok()?,
            terminate: signal(SignalKind::terminate()).ok()?,
        })
    }

    /// The number of the next one.
    async fn next(&mut self) -> i32 {
        let (interrupt, terminate) = (pin!(self.interrupt.recv()), pin!(self.terminate.recv()));
        match select(interrupt, terminate).await {
            Either::Left(_) => SignalKind::interrupt().as_raw_value(),
            Either::Right(_) => SignalKind::terminate().as_raw_value(),
        }
    }
}

/// Removes a container, if it is still there.
pub(super) async fn remove(client: &Docker, name: &str) -> Result<(), bollard::errors::Error> {
    loop {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true);
        match client.remove_container(name, Some(options.build())).await {
            Err(error) if error::is_absence(&error) => return Ok(()),
            // The daemon removes by itself what has ended, and is at it.
            Err(error) if error::is_in_progress(&error) => sleep(PAUSE).await,
            removed => return removed,
        }
    }
}
