//! Work that nobody waits for longer than a few seconds.

use std::{
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

/// Work that has begun.
pub(super) struct Pending<T> {
    answer: Receiver<T>,
    end: Instant,
}

/// Begins work on a thread of its own. One that never ends is left behind, and ends with the process.
pub(super) fn begin<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Pending<T> {
    let (sender, answer) = mpsc::channel();
    let end = Instant::now() + limit;
    thread::spawn(move || {
        // Nobody may be waiting any more.
        drop(sender.send(work()));
    });
    Pending { answer, end }
}

impl<T> Pending<T> {
    /// The result; `None` if it took too long, or the work broke.
    pub(super) fn wait(self) -> Option<T> {
        let left = self.end.saturating_duration_since(Instant::now());
        self.answer.recv_timeout(left).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_ends_is_not_waited_for() {
        let (_keep, never) = mpsc::channel::<()>();
        let hanging = begin(Duration::from_millis(50), move || never.recv().is_ok());
        let other = begin(Duration::from_mins(1), || 7);
        assert_eq!(hanging.wait(), None);
        assert_eq!(other.wait(), Some(7));
    }
}
