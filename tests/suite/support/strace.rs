//! strace: it tells which system calls a run makes, and kills the run at one of them, or has the call fail.

use std::{
    process::{Command, Output},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use super::{TestProject, started_by};

/// The system calls that can change anything; `?` marks those that not every machine has.
pub(crate) const CHANGING: &str = "openat,?open,?creat,write,?pwrite64,?writev,?pwritev,?rename,?renameat,renameat2,?unlink,unlinkat,\
    fsync,fdatasync,?sync_file_range,?mkdir,mkdirat,?rmdir,?chmod,fchmod,fchmodat,?chown,fchown,?lchown,fchownat,truncate,\
    ftruncate,?link,linkat,?symlink,symlinkat,?fallocate,?copy_file_range,?sendfile,utimensat,flock";

/// What one system call did.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) name: String,
    /// Counts from 1 for each name in a run.
    pub(crate) number: usize,
    /// The call as strace prints it.
    pub(crate) text: String,
}

impl Call {
    /// Whether the call creates nothing.
    pub(crate) fn is_reading(&self) -> bool {
        let opens = ["open", "openat"].contains(&self.name.as_str());
        let writes = ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC"];
        // What git is started with, to ask which files it ignores.
        let is_null = self.text.contains("\"/dev/null\"");
        opens && (is_null || !writes.iter().any(|flag| self.text.contains(flag)))
    }
}

/// Runs `sparkpack` with these arguments under strace.
pub(crate) fn traced(project: &TestProject, options: &[&str], arguments: &[&str]) -> Output {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    let own = project.command(arguments);
    // A run stays on one core, so that its calls have the same numbers as in the next one; runs take turns on the
    // cores.
    let core = RUNS.fetch_add(1, Ordering::Relaxed) % cores();
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", &core.to_string(), "strace"]);
    let trace = project.home().join("trace");
    command.arg("-o").arg(trace).args(options);
    let output = started_by(&mut command, &own).output();
    output.unwrap_or_else(|error| panic!("strace cannot be run: {error}; scripts/test installs it"))
}

pub(crate) fn trace(project: &TestProject) -> String {
    let bytes = fs_err::read(project.home().join("trace")).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Injects a signal or an error into one call of the main thread.
pub(crate) fn tampered(
    project: &TestProject,
    call: &Call,
    what: &str,
    arguments: &[&str],
) -> Output {
    let trace = format!("trace={}", call.name);
    let inject = format!("inject={}:{what}:when={}", call.name, call.number);
    traced(project, &["-e", &trace, "-e", &inject], arguments)
}

pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Runs the work on one thread for each core.
pub(crate) fn each<T: Sync>(items: &[T], work: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            work(item);
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..cores()).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            worker.join().unwrap();
        }
    });
}
