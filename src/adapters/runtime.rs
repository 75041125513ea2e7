//! The runtime of requests to the network.

use std::io;

use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::JoinHandle,
};

/// A runtime that ends without waiting for the system's resolver. Where no name server answers, a question to it takes
/// minutes, cannot be called back, and has been given up long before.
pub(super) struct NetworkRuntime {
    handle: Handle,
    /// There until it is dropped.
    runtime: Option<Runtime>,
}

impl NetworkRuntime {
    pub(super) fn new(threads: usize) -> io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(threads).enable_all().build()?;
        Ok(Self {
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
        })
    }

    /// The runtime for a thread that nobody waits for.
    pub(super) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Begins to run a future beside the threads that wait for others.
    pub(super) fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.handle.spawn(future)
    }

    /// The same with work that is waited for before the returned value is gone, which must be before the runtime is.
    pub(super) fn begin(&self, work: impl Future<Output = ()> + Send + 'static) -> AwaitedTask {
        AwaitedTask {
            handle: self.handle(),
            task: Some(self.spawn(work)),
        }
    }

    pub(super) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.handle.block_on(future)
    }
}

/// Work that ends before this value is gone.
#[derive(Debug)]
pub(super) struct AwaitedTask {
    handle: Handle,
    /// There until it is dropped.
    task: Option<JoinHandle<()>>,
}

impl Drop for AwaitedTask {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            drop(self.handle.block_on(task));
        }
    }
}

impl Drop for NetworkRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
