//! The containers that run now: each is removed before a signal ends sparkpack.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bollard::{Docker, query_parameters::RemoveContainerOptionsBuilder};
use tokio::time::sleep;

use super::{error, terminal};
use crate::adapters::{
    ending::{self, OnEnd},
    runtime::NetworkRuntime,
};

/// The pause before the daemon is asked again whether a container is gone, or there at last.
const PAUSE: Duration = Duration::from_millis(50);

/// A container that this run makes, until this value is dropped: a signal removes it.
#[derive(Debug)]
pub(super) struct Running {
    state: Arc<Mutex<Container>>,
    _on_end: OnEnd,
}

/// What is known of a container that this run makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Container {
    /// The daemon is asked to make it, and has not answered yet.
    AskedFor,
    /// It is there, or has been.
    Made,
    /// The daemon has not made it.
    Refused,
}

impl Running {
    /// Notes a container before the daemon is asked for it.
    pub(super) fn begin(runtime: &NetworkRuntime, client: &Docker, name: &str) -> Self {
        let state = Arc::new(Mutex::new(Container::AskedFor));
        let (handle, client) = (runtime.handle(), client.clone());
        let (name, noted) = (name.to_owned(), Arc::clone(&state));
        let on_end = ending::on_end(move || {
            handle.block_on(remove_noted(&client, &name, &noted));
            terminal::restore();
        });
        Self {
            state,
            _on_end: on_end,
        }
    }

    /// Notes whether the daemon has made it. It does not return if a signal has come meanwhile, so that nothing runs in it.
    pub(super) fn is_made(&self, is_made: bool) {
        *locked(&self.state) = if is_made {
            Container::Made
        } else {
            Container::Refused
        };
        ending::stop_if_ending();
    }
}

/// Removes a container, also one that the daemon makes only now.
async fn remove_noted(client: &Docker, name: &str, noted: &Mutex<Container>) {
    loop {
        let container = *locked(noted);
        match container {
            Container::Refused => return,
            Container::AskedFor => sleep(PAUSE).await,
            // There is nobody left to tell about an error.
            Container::Made => return drop(remove(client, name).await),
        }
    }
}

fn locked(noted: &Mutex<Container>) -> MutexGuard<'_, Container> {
    // A poisoned lock is safe: every change is a single assignment.
    noted.lock().unwrap_or_else(PoisonError::into_inner)
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
