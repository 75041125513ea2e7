//! The container that runs now: it is removed before a signal ends sparkpack.

use std::{
    pin::pin,
    process,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use bollard::{Docker, query_parameters::RemoveContainerOptionsBuilder};
use futures_util::future::{Either, select};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{sleep, timeout},
};

use super::error;
use crate::adapters::runtime::NetworkRuntime;

/// The pause before the daemon is asked again whether a container is gone.
const PAUSE: Duration = Duration::from_millis(50);

/// The name of the container that runs now, if one does.
#[derive(Debug, Default)]
pub(super) struct Running(OnceLock<Arc<Mutex<Option<String>>>>);

impl Running {
    /// Notes the container that begins to run, or that none does any more. From the first call on a signal that ends
    /// sparkpack removes the noted one before.
    pub(super) fn note(&self, runtime: &NetworkRuntime, client: &Docker, name: Option<String>) {
        let watch = || {
            let running: Arc<Mutex<Option<String>>> = Arc::default();
            runtime.spawn(remove_on_signal(client.clone(), Arc::clone(&running)));
            running
        };
        *locked(self.0.get_or_init(watch)) = name;
    }
}

async fn remove_on_signal(client: Docker, running: Arc<Mutex<Option<String>>>) {
    let Some(number) = ending_signal().await else {
        return;
    };
    let name = locked(&running).take();
    if let Some(name) = name {
        // There is nobody left to tell about an error.
        drop(timeout(Duration::from_secs(1), remove(&client, &name)).await);
    }
    // As a shell tells of a process that a signal has ended.
    process::exit(128 + number);
}

fn locked(running: &Mutex<Option<String>>) -> std::sync::MutexGuard<'_, Option<String>> {
    // A poisoned lock is safe: every change is a single assignment.
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The number of the next signal that asks to end; `None` if the system does not tell of signals.
async fn ending_signal() -> Option<i32> {
    let (interrupt, terminate) = (SignalKind::interrupt(), SignalKind::terminate());
    let mut interrupted = signal(interrupt).ok()?;
    let mut terminated = signal(terminate).ok()?;
    let (interruption, termination) = (pin!(interrupted.recv()), pin!(terminated.recv()));
    Some(match select(interruption, termination).await {
        Either::Left(_) => interrupt.as_raw_value(),
        Either::Right(_) => terminate.as_raw_value(),
    })
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
