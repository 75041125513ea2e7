//! Writes to `dist` that run beside the work of a build or a push: nothing that follows reads them.

use std::{
    panic::resume_unwind,
    sync::{Mutex, MutexGuard, PoisonError, mpsc},
    thread::{self, JoinHandle},
};

use crate::error::Error;

/// A write, with all that it needs.
pub(super) type Write = Box<dyn FnOnce() -> Result<(), Error> + Send>;

/// Takes writes: they run at once, or in the order of their arrival beside the work that is being done.
#[derive(Default)]
pub(super) struct Beside(Mutex<State>);

#[derive(Default)]
enum State {
    /// Writes run at once.
    #[default]
    AtOnce,
    /// They run beside work, in a thread that starts with the first of them.
    Beside(Option<Writer>),
}

/// The thread that writes until there is no sender.
struct Writer {
    sender: mpsc::Sender<Write>,
    thread: JoinHandle<Result<(), Error>>,
}

impl Writer {
    fn start() -> Self {
        let (sender, receiver) = mpsc::channel::<Write>();
        let write_all = move || receiver.into_iter().try_for_each(|write| write());
        Self {
            sender,
            thread: thread::spawn(write_all),
        }
    }
}

impl Beside {
    /// Does the work, and meanwhile the writes that it asks for. All of them are done when it returns.
    ///
    /// # Errors
    /// Those of `work`, or else of the first write that failed: those after it are not done.
    pub(super) fn writing<R>(&self, work: impl FnOnce() -> Result<R, Error>) -> Result<R, Error> {
        *self.state() = State::Beside(None);
        let until_here = Open(self);
        let done = work();
        let writer = std::mem::take(&mut *self.state());
        drop(until_here);
        let written = match writer {
            State::Beside(Some(Writer { sender, thread })) => {
                drop(sender);
                thread.join().unwrap_or_else(|panic| resume_unwind(panic))
            }
            _ => Ok(()),
        };
        let done = done?;
        written?;
        Ok(done)
    }

    /// Does a write, beside the work if there is any.
    ///
    /// # Errors
    /// Its own, if it is done at once.
    pub(super) fn write(&self, write: Write) -> Result<(), Error> {
        let mut state = self.state();
        if let State::Beside(writer) = &mut *state {
            let sender = &writer.get_or_insert_with(Writer::start).sender;
            // Sending fails only after an error, which is told at the end.
            drop(sender.send(write));
            return Ok(());
        }
        drop(state);
        write()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A poisoned lock is safe: every change is a single assignment.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The writer waits for writes as long as this lives, also if the work panics.
struct Open<'b>(&'b Beside);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        *self.0.state() = State::AtOnce;
    }
}

#[cfg(test)]
mod tests {
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use super::*;
    use crate::error::UsageError;

    fn failure() -> Error {
        UsageError::NoProject {
            folder: "here".into(),
            with_parents: false,
        }
        .into()
    }

    #[test]
    fn a_write_runs_at_once_or_beside_the_work() {
        let (beside, written) = (Beside::default(), Arc::new(AtomicUsize::new(0)));
        let count = || -> Write {
            let written = Arc::clone(&written);
            Box::new(move || {
                written.fetch_add(1, Ordering::Relaxed);
                Ok(())
            })
        };
        beside.write(count()).unwrap();
        assert_eq!(written.load(Ordering::Relaxed), 1);
        let gate = mpsc::channel::<()>();
        let done = beside.writing(|| {
            beside.write(Box::new(move || {
                gate.1.recv().unwrap();
                Ok(())
            }))?;
            beside.write(count())?;
            assert_eq!(
                written.load(Ordering::Relaxed),
                1,
                "the work goes on before it is written"
            );
            gate.0.send(()).unwrap();
            Ok(7)
        });
        assert_eq!((done.unwrap(), written.load(Ordering::Relaxed)), (7, 2));
    }

    #[test]
    fn the_first_write_that_fails_is_the_error_of_work_that_does_not_fail() {
        let (beside, after) = (Beside::default(), Arc::new(AtomicUsize::new(0)));
        let fails = || -> Write { Box::new(|| Err(failure())) };
        let done = beside.writing(|| {
            beside.write(fails())?;
            let after = Arc::clone(&after);
            beside.write(Box::new(move || {
                after.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }))
        });
        assert_eq!(done.unwrap_err().code(), failure().code());
        assert_eq!(
            after.load(Ordering::Relaxed),
            0,
            "nothing is written after a failure"
        );
        beside.write(fails()).unwrap_err();
        let done = beside.writing(|| Err::<(), _>(std::io::Error::other("the work's").into()));
        assert!(matches!(done, Err(Error::Io(_))));
    }

    #[test]
    fn work_that_panics_does_not_wait_for_ever() {
        let beside = Beside::default();
        let work = || beside.writing(|| -> Result<(), Error> { panic!("the work's") });
        catch_unwind(AssertUnwindSafe(work)).unwrap_err();
    }
}
