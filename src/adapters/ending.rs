//! The end of a run by a signal: SIGINT, SIGTERM or SIGHUP, unless whoever started the run has it ignore them.
//!
//! What a run has begun and would leave behind is noted with [`on_end`] while it is there: folders, containers, tags. A
//! signal ends the programs that the run has started, undoes what is noted, and ends the process, within two seconds. The
//! other threads go on meanwhile, until they come to something that is noted or no longer noted: there they stop, so that
//! nothing new begins and nobody tells of errors that are no errors. A second signal ends the process at once.

use std::{
    cell::Cell,
    collections::BTreeMap,
    process,
    sync::{Condvar, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use futures_util::future::select_all;
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    runtime::Builder,
    signal::unix::{self, SignalKind},
};

use super::machine;

/// How long programs may take to end themselves, and changes to be finished.
const GRACE: Duration = Duration::from_millis(300);

/// How long all may take, from the signal on.
const LIMIT: Duration = Duration::from_millis(1800);

/// The pause between two looks at programs that are to end.
const PAUSE: Duration = Duration::from_millis(10);

type Work = Box<dyn FnOnce() + Send>;

struct BegunWork {
    is_ending: bool,
    next: u64,
    works: BTreeMap<u64, Work>,
    /// The number of changes that are being made and should be finished.
    changes: usize,
    /// The number of programs that get the terminal's interrupts themselves.
    interactive: usize,
}

static STATE: Mutex<BegunWork> = Mutex::new(BegunWork {
    is_ending: false,
    next: 0,
    works: BTreeMap::new(),
    changes: 0,
    interactive: 0,
});

/// Told when a change is finished.
static FINISHED: Condvar = Condvar::new();

thread_local! {
    /// The changes that this thread makes.
    static CHANGES: Cell<usize> = const { Cell::new(0) };
}

fn state() -> MutexGuard<'static, BegunWork> {
    // A poisoned lock is safe: no code that can panic runs while it is held.
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns at once, or never if a signal ends this process.
pub fn stop_if_ending() {
    if state().is_ending {
        loop {
            thread::park();
        }
    }
}

/// What a signal undoes as long as this value is there.
#[must_use]
#[derive(Debug)]
pub struct OnEnd(u64);

/// Notes how something is undone if a signal ends the process. It does not return once one has come.
pub fn on_end(work: impl FnOnce() + Send + 'static) -> OnEnd {
    stop_if_ending();
    let mut state = state();
    let number = state.next;
    state.next += 1;
    state.works.insert(number, Box::new(work));
    OnEnd(number)
}

impl Drop for OnEnd {
    fn drop(&mut self) {
        let work = state().works.remove(&self.0);
        drop(work);
        stop_if_ending();
    }
}

/// A change that is finished before a signal ends the process.
#[must_use]
#[derive(Debug)]
pub struct BriefChange(());

/// Begins a change that takes no time worth speaking of. It does not return once a signal has come.
pub fn change() -> BriefChange {
    let is_inner = CHANGES.get() > 0;
    let mut state = state();
    if state.is_ending && !is_inner {
        drop(state);
        stop_if_ending();
    } else {
        state.changes += 1;
    }
    CHANGES.set(CHANGES.get() + 1);
    BriefChange(())
}

impl Drop for BriefChange {
    fn drop(&mut self) {
        CHANGES.set(CHANGES.get() - 1);
        state().changes -= 1;
        FINISHED.notify_all();
    }
}

/// Leaves the terminal's interrupts to a program that reads from it, as long as this value is there.
#[must_use]
#[derive(Debug)]
pub struct Interactive(());

/// See [`Interactive`].
pub fn interactive() -> Interactive {
    state().interactive += 1;
    Interactive(())
}

impl Drop for Interactive {
    fn drop(&mut self) {
        state().interactive -= 1;
    }
}

/// Begins to wait for signals. `say` is called before the process ends by one.
pub fn watch(say: impl FnOnce() + Send + 'static) {
    let kinds = heeded();
    let wait = move || {
        let Ok(runtime) = Builder::new_current_thread().enable_io().build() else {
            return;
        };
        runtime.block_on(async move {
            // A file that may not grow is an error like any other, and no reason to end.
            let _limit = unix::signal(SignalKind::from_raw(Signal::XFSZ.as_raw()));
            let listen = |kind: &SignalKind| Some((*kind, unix::signal(*kind).ok()?));
            let mut signals: Vec<(SignalKind, unix::Signal)> =
                kinds.iter().filter_map(listen).collect();
            let Some(first) = next(&mut signals).await else {
                return;
            };
            thread::spawn(move || end(first, say));
            if let Some(second) = next(&mut signals).await {
                exit(second);
            }
        });
    };
    // Without a thread for it a signal ends the process as it always does.
    drop(
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(wait),
    );
}

/// The signals that end this process and that it was not started to ignore, as by `nohup`.
fn heeded() -> Vec<SignalKind> {
    let ignored = machine::ignored_signals();
    let all = [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
    ];
    let is_heeded = |kind: &SignalKind| ignored & (1 << (kind.as_raw_value() - 1)) == 0;
    all.into_iter().filter(is_heeded).collect()
}

/// The next signal that counts; `None` if none can come.
async fn next(signals: &mut [(SignalKind, unix::Signal)]) -> Option<SignalKind> {
    if signals.is_empty() {
        return None;
    }
    loop {
        let each = signals.iter_mut().map(|(kind, signal)| {
            Box::pin(async move {
                signal.recv().await;
                *kind
            })
        });
        let (kind, ..) = select_all(each).await;
        if kind != SignalKind::interrupt() || state().interactive == 0 {
            return Some(kind);
        }
    }
}

fn exit(kind: SignalKind) -> ! {
    // As a shell tells of a process that a signal has ended.
    process::exit(128 + kind.as_raw_value())
}

/// Undoes what is noted, and ends the process.
fn end(kind: SignalKind, say: impl FnOnce() + Send + 'static) {
    let begin = Instant::now();
    let works = {
        let mut state = state();
        state.is_ending = true;
        let is_busy = |state: &mut BegunWork| state.changes > 0;
        let waited = FINISHED.wait_timeout_while(state, GRACE, is_busy);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut state.works)
    };
    // Before the folders go that they write into.
    end_programs();
    let works = works.into_values().map(beside);
    // All at once.
    for done in works.collect::<Vec<_>>() {
        // Nobody sends: this ends with the work, or when the time is over.
        let _ = done.recv_timeout(LIMIT.saturating_sub(begin.elapsed()));
    }
    let _ = beside(say).recv_timeout(GRACE / 3);
    exit(kind)
}

/// Does work in a thread of its own; what is returned is closed when it is done.
fn beside(work: impl FnOnce() + Send + 'static) -> mpsc::Receiver<()> {
    let (done, is_done) = mpsc::channel();
    thread::spawn(move || {
        work();
        drop(done);
    });
    is_done
}

/// Ends the programs that this process has started, and those that they have: asks them first.
fn end_programs() {
    let begin = Instant::now();
    let mut asked: Vec<u32> = Vec::new();
    while begin.elapsed() < 2 * GRACE {
        let there = machine::descendants();
        if there.is_empty() {
            return;
        }
        let is_late = begin.elapsed() > GRACE;
        for pid in there {
            if is_late || !asked.contains(&pid) {
                asked.push(pid);
                signal(pid, if is_late { Signal::KILL } else { Signal::TERM });
            }
        }
        thread::sleep(PAUSE);
    }
}

fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    // It may have ended by itself.
    let _ = pid.map(|pid| kill_process(pid, signal));
}
