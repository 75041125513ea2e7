//! Locks between processes, in files. The system decides who has one, and releases that of a process which ends however
//! it may. What stands in the file only tells those who wait for whom.

use std::{
    fmt,
    fs::File,
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::{
    machine,
    store::{self, Hold},
};
use crate::code::Code;

/// The longest text about a holder that is read, in bytes.
const LONGEST: u64 = 1 << 12;

/// The pauses between two attempts: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(100));

/// How long somebody waits without being told: most holders have ended by then.
const UNTOLD: Duration = Duration::from_millis(300);

/// How a run waits for locks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockWait {
    /// What it calls itself in the locks that it holds: the program and the verb. Arguments may have secrets.
    pub command: String,
    /// How long it waits for one lock.
    pub limit: Duration,
}

impl Default for LockWait {
    fn default() -> Self {
        Self {
            command: "sparkpack".to_owned(),
            limit: Duration::from_mins(10),
        }
    }
}

/// A lock that this process has. It is released with this value.
#[derive(Debug)]
pub struct FileLock {
    handle: File,
    /// Whether the last holder ended without giving it back, and nobody has cleaned up after that yet.
    after_kill: Arc<AtomicBool>,
}

impl FileLock {
    /// Takes the lock `file`, which is created if it is missing. `waiting` is called with the holder if another process
    /// has it, again if another one gets it before, and if the holder is stopped or goes on.
    ///
    /// # Errors
    /// The file cannot be used, or the time is over.
    pub fn take(
        file: &Path,
        wait: &LockWait,
        waiting: &mut dyn FnMut(&HeldBy),
    ) -> Result<Self, FileLockError> {
        let (begin, mut pause) = (Instant::now(), PAUSES.0);
        let mut told: Option<HeldBy> = None;
        let cannot = |error| FileLockError::Disk(store::named(&error, file));
        let mut handle = open(file)?;
        loop {
            match store::hold_or_fail(&handle, file).map_err(cannot)? {
                Hold::Ours => return Ok(Self::held(handle, wait)),
                // Somebody removed it: the next one has a lock of that name too.
                Hold::Gone => handle = open(file)?,
                Hold::Theirs => {
                    let holder = HeldBy::read(&handle);
                    if begin.elapsed() >= wait.limit {
                        let limit = wait.limit;
                        return Err(FileLockError::TimedOut { holder, limit });
                    }
                    let is_news = told.as_ref().is_none_or(|told| !told.is_same(&holder));
                    if is_news && begin.elapsed() >= UNTOLD {
                        waiting(&holder);
                        told = Some(holder);
                    }
                    let left = wait.limit.saturating_sub(begin.elapsed());
                    std::thread::sleep(pause.min(left));
                    pause = PAUSES.1.min(pause * 2);
                }
            }
        }
    }

    /// Says in the file who has it. The lock is there without that too.
    fn held(mut handle: File, wait: &LockWait) -> Self {
        let was_given_back = handle.metadata().is_ok_and(|found| found.len() == 0);
        let text = serde_json::to_vec(&Holder::this(wait)).unwrap_or_default();
        let written = handle.set_len(0).and_then(|()| handle.write_all(&text));
        drop(written);
        Self {
            handle,
            after_kill: Arc::new(AtomicBool::new(!was_given_back)),
        }
    }

    /// Whether the last holder was killed: true until somebody has cleaned up after it and says false.
    #[must_use]
    pub fn after_kill(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.after_kill)
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // Nobody is told of a holder that has gone. What somebody asked for and has not cleaned up is left to the next one.
        let is_asked_for = Arc::strong_count(&self.after_kill) > 1;
        if !is_asked_for || !self.after_kill.load(Ordering::Relaxed) {
            drop(self.handle.set_len(0));
        }
    }
}

/// Opens a lock, which must be a file of its own: what a link leads to would be written into.
fn open(file: &Path) -> Result<File, FileLockError> {
    let cannot = |error| FileLockError::Disk(store::named(&error, file));
    fs_err::create_dir_all(store::folder_of(file)).map_err(FileLockError::Disk)?;
    match file.symlink_metadata() {
        Ok(found) if !found.is_file() => {
            let path = file.to_owned();
            return Err(FileLockError::NoFile { path });
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(cannot(error)),
        _ => {}
    }
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let mut options = File::options();
    options.create(true).read(true).append(true);
    options.custom_flags(flags).open(file).map_err(cannot)
}

/// What a holder writes about itself.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
struct Holder {
    pid: u32,
    /// When the process began, as its kernel counts it: a later process may get the same number.
    began: Option<u64>,
    /// Since when it has the lock, in seconds of Unix.
    since: u64,
    command: String,
    machine: Option<String>,
}

impl Holder {
    fn this(wait: &LockWait) -> Self {
        let pid = process::id();
        Self {
            pid,
            began: machine::process(pid).map(|process| process.began),
            since: seconds_of(machine::now()),
            command: wait.command.clone(),
            machine: machine::name(),
        }
    }
}

fn seconds_of(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// What is known of the process that has a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldBy {
    holder: Option<Holder>,
    /// Whether it has been stopped; no answer where the system does not tell.
    is_stopped: bool,
    /// For how long it has the lock.
    age: Duration,
}

impl HeldBy {
    fn read(mut handle: &File) -> Self {
        let mut text = Vec::new();
        let read = handle.rewind();
        drop(read.and_then(|()| handle.take(LONGEST).read_to_end(&mut text)));
        let holder = serde_json::from_slice(&text).ok();
        Self::of(holder)
    }

    fn of(holder: Option<Holder>) -> Self {
        // Processes of another machine have other numbers.
        let is_here = |holder: &&Holder| holder.machine == machine::name();
        let process = holder.as_ref().filter(is_here).and_then(|holder| {
            let process = machine::process(holder.pid)?;
            (Some(process.began) == holder.began).then_some(process)
        });
        let now = seconds_of(machine::now());
        let since = holder.as_ref().map_or(now, |holder| holder.since);
        Self {
            is_stopped: process.is_some_and(|process| process.is_stopped),
            age: Duration::from_secs(now.saturating_sub(since)),
            holder,
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        (&self.holder, self.is_stopped) == (&other.holder, other.is_stopped)
    }
}

impl fmt::Display for HeldBy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(holder) = &self.holder else {
            return formatter.write_str("another sparkpack");
        };
        let Holder { pid, command, .. } = holder;
        write!(formatter, "`{command}` (pid {pid}")?;
        if let Some(machine) = &holder.machine
            && machine::name().as_ref() != Some(machine)
        {
            write!(formatter, " on {machine}")?;
        }
        write!(formatter, ", for {}", spoken(self.age))?;
        if self.is_stopped {
            let cure = format!("kill -CONT {pid}");
            write!(formatter, ", stopped: `{cure}` lets it go on")?;
        }
        formatter.write_str(")")
    }
}

fn over(limit: Duration) -> String {
    match limit {
        Duration::ZERO => String::new(),
        limit => format!(", and has not ended within {}", spoken(limit)),
    }
}

/// A duration as people say it.
fn spoken(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 3600, seconds / 60) {
        (0, 0) => format!("{seconds} s"),
        (0, minutes) => format!("{minutes} min"),
        (hours, minutes) => format!("{hours} h {} min", minutes % 60),
    }
}

/// Why a lock could not be had.
#[derive(Debug, thiserror::Error)]
pub enum FileLockError {
    /// Another process has had it for too long.
    #[error("{holder} works here{}", over(*limit))]
    TimedOut {
        /// Who has it.
        holder: HeldBy,
        /// How long this run has waited.
        limit: Duration,
    },
    /// Something else is in its place.
    #[error("{} is no regular file, so that no lock can be had", path.display())]
    NoFile {
        /// The lock.
        path: PathBuf,
    },
    /// The disk's error.
    #[error(transparent)]
    Disk(io::Error),
}

impl FileLockError {
    /// The code, by which documentation and scripts refer to the error.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::TimedOut { .. } => Code::E615,
            Self::NoFile { .. } => Code::E616,
            Self::Disk(_) => Code::E610,
        }
    }

    /// The disk's error, if it is one.
    #[must_use]
    pub fn disk(&self) -> Option<&io::Error> {
        match self {
            Self::Disk(error) => Some(error),
            Self::TimedOut { .. } | Self::NoFile { .. } => None,
        }
    }

    /// What to do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::TimedOut { holder, .. } => Some(match &holder.holder {
                Some(Holder { pid, .. }) if holder.is_stopped => {
                    format!("let it go on, `kill -CONT {pid}`, or end it: `kill -KILL {pid}`")
                }
                _ => "run it again when that has ended; `--lock-timeout SECONDS` waits longer"
                    .to_owned(),
            }),
            Self::NoFile { path } => Some(format!(
                "remove it: `rm -r {}`; sparkpack makes a file there",
                path.display()
            )),
            Self::Disk(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(milliseconds: u64) -> LockWait {
        LockWait {
            command: "sparkpack test".to_owned(),
            limit: Duration::from_millis(milliseconds),
        }
    }

    fn nobody(holder: &HeldBy) {
        panic!("nobody has it, but {holder}");
    }

    #[test]
    fn a_second_holder_waits_for_the_first_and_is_told_who_that_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("locks/x");
        let first = FileLock::take(&file, &wait(0), &mut nobody).unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut waiting = |holder: &HeldBy| sender.send(holder.to_string()).unwrap();
                drop(FileLock::take(&file, &wait(600_000), &mut waiting).unwrap());
            });
            let pid = process::id();
            let told = receiver.recv().unwrap();
            let name = format!("`sparkpack test` (pid {pid}, for ");
            assert!(told.starts_with(&name) && told.ends_with(" s)"), "{told}");
            drop(first);
        });
        assert_eq!(fs_err::read(&file).unwrap(), b"", "nobody has it any more");
    }

    #[test]
    fn who_waits_too_long_is_told_for_whom() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x");
        let _first = FileLock::take(&file, &wait(0), &mut nobody).unwrap();
        let mut calls = 0;
        let error = FileLock::take(&file, &wait(500), &mut |_| calls += 1).unwrap_err();
        assert_eq!((error.code(), calls), (Code::E615, 1));
        let error = FileLock::take(&file, &wait(0), &mut |_| calls += 1).unwrap_err();
        assert_eq!(calls, 1, "it does not wait at all");
        let text = error.to_string();
        let ends = " works here";
        assert!(text.starts_with("`sparkpack test`") && text.ends_with(ends));
    }

    #[test]
    fn who_follows_a_killed_one_knows_it_until_somebody_has_cleaned_up() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x");
        let take = || FileLock::take(&file, &wait(0), &mut nobody).unwrap();
        let known = || take().after_kill();
        assert!(!known().load(Ordering::Relaxed));
        fs_err::write(&file, "a holder").unwrap();
        for is_cleaned_up in [false, true] {
            let next = take();
            let after_kill = next.after_kill();
            assert!(after_kill.load(Ordering::Relaxed), "nobody has yet");
            after_kill.store(!is_cleaned_up, Ordering::Relaxed);
            drop(next);
        }
        assert!(!known().load(Ordering::Relaxed));
    }

    #[test]
    fn what_is_no_file_is_never_locked_or_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs_err::create_dir(path("folder")).unwrap();
        fs_err::write(path("kept"), "kept").unwrap();
        std::os::unix::fs::symlink("kept", path("link")).unwrap();
        for name in ["folder", "link"] {
            let error = FileLock::take(&path(name), &wait(0), &mut nobody).unwrap_err();
            assert_eq!(error.code(), Code::E616, "{name}");
        }
        let error = FileLock::take(&path("kept/x"), &wait(0), &mut nobody).unwrap_err();
        assert_eq!(error.code(), Code::E610);
        assert_eq!(fs_err::read(path("kept")).unwrap(), b"kept");
    }

    #[test]
    fn a_lock_that_is_removed_is_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x");
        let first = FileLock::take(&file, &wait(0), &mut nobody).unwrap();
        let handle = open(&file).unwrap();
        fs_err::remove_file(&file).unwrap();
        drop(first);
        assert_eq!(store::hold_or_fail(&handle, &file).unwrap(), Hold::Gone);
        FileLock::take(&file, &wait(0), &mut nobody).unwrap();
    }

    #[test]
    fn nothing_is_said_of_what_is_not_known() {
        let mut holder = Holder::this(&wait(0));
        holder.since = seconds_of(machine::now()) - 3720;
        let said = |holder: &Holder| HeldBy::of(Some(holder.clone())).to_string();
        let pid = holder.pid;
        assert_eq!(
            said(&holder),
            format!("`sparkpack test` (pid {pid}, for 1 h 2 min)")
        );
        holder.machine = Some("elsewhere".to_owned());
        assert_eq!(
            said(&holder),
            format!("`sparkpack test` (pid {pid} on elsewhere, for 1 h 2 min)")
        );
        assert_eq!(HeldBy::of(None).to_string(), "another sparkpack");
        assert_eq!(spoken(Duration::from_secs(719)), "11 min");
    }
}
