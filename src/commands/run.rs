//! `sparkpack run`: runs a job in its image, or from `dist`.

use std::{io, ops::ControlFlow, path::Path};

use super::policy::policy_of;
use crate::{
    adapters::{
        docker::{JobEnd, JobStreams, PrintedBytes, Volume},
        git::Compared,
        store,
    },
    cli::{RunArguments, Shell},
    error::{Error, RunError},
    operations::{
        build,
        resolution::Strictness,
        running::{self, Program, RunRequest},
        workspace::{Services, Session},
    },
    ui::Ui,
};

pub(super) fn run(session: &Session<'_>, ui: &Ui, arguments: &RunArguments) -> Result<u8, Error> {
    let volumes = arguments.volume.iter().map(|text| volume(text));
    let volumes: Vec<Volume> = volumes.collect::<Result<_, _>>()?;
    let environment = arguments.env.iter().map(|text| variable(text));
    let environment: Vec<(String, String)> = environment.collect::<Result<_, _>>()?;
    let program = match arguments.shell {
        None => Program::Job,
        Some(Shell::Bash) => Program::Shell,
        Some(Shell::Pyspark) => Program::PySpark,
    };
    let request = RunRequest {
        name: arguments.job.as_deref(),
        registry: arguments.registry.registry.as_deref(),
        program,
        main: arguments.main.as_deref(),
        master: &arguments.master,
        arguments: &arguments.arguments,
        properties: &arguments.conf,
        environment: &environment,
        volumes: &volumes,
        network: arguments.network.as_deref(),
        is_quiet: ui.verbosity() == 0,
        strictness: Strictness::of(arguments.strict.asked(), Compared::Index),
    };
    let services = Services::new(session, policy_of(arguments.locks))
        .building_wheels(&build::InContainers)
        .in_docker();
    let end = if arguments.local {
        running::run_locally(session, &services, &request)?
    } else {
        in_image(session, ui, &services, &request)?
    };
    Ok(match end {
        JobEnd::Exit(Some(code)) => u8::try_from(code).unwrap_or(1),
        JobEnd::Exit(None) => 6,
        JobEnd::Stopped => 0,
    })
}

/// Runs it in its image, and passes on what it prints.
fn in_image(
    session: &Session<'_>,
    ui: &Ui,
    services: &Services<'_>,
    request: &RunRequest<'_>,
) -> Result<JobEnd, Error> {
    let mut trace = ShellTrace::of(ui);
    let mut unwritten: Option<io::Error> = None;
    let mut print = |printed: PrintedBytes<'_>| {
        match printed {
            PrintedBytes::Output(bytes) => match ui.pass_output(bytes) {
                Ok(true) => {}
                Ok(false) => return ControlFlow::Break(()),
                Err(error) => {
                    unwritten = Some(error);
                    return ControlFlow::Break(());
                }
            },
            PrintedBytes::Error(bytes) => ui.pass_error(trace.without(bytes)),
        }
        ControlFlow::Continue(())
    };
    let streams = JobStreams {
        printed: &mut print,
        is_interactive: request.program != Program::Job,
    };
    let end = running::run_in_image(session, services, request, streams)?;
    match unwritten {
        Some(error) => Err(error.into()),
        None => Ok(end),
    }
}

/// A folder or file to mount. A relative source is one below the folder that one stands in.
fn volume(text: &str) -> Result<Volume, RunError> {
    let wrong = |why: &str| RunError::Volume {
        text: text.to_owned(),
        why: why.to_owned(),
    };
    let (rest, is_read_only) = match text.strip_suffix(":ro") {
        Some(rest) => (rest, true),
        None => (text.strip_suffix(":rw").unwrap_or(text), false),
    };
    let (source, target) = rest
        .rsplit_once(':')
        .ok_or_else(|| wrong("it names no place in the container"))?;
    if !target.starts_with('/') {
        return Err(wrong("the place in the container is no absolute path"));
    }
    let source = fs_err::canonicalize(Path::new(source))
        .map_err(|_| wrong("there is no such folder or file"))?;
    if source.to_string_lossy().contains(':') {
        return Err(wrong("a path with `:` cannot be mounted"));
    }
    Ok(Volume {
        source,
        target: target.to_owned(),
        is_read_only,
    })
}

/// A variable with its value, or one of this process'.
fn variable(text: &str) -> Result<(String, String), RunError> {
    if let Some((name, value)) = text.split_once('=') {
        return Ok((name.to_owned(), value.to_owned()));
    }
    match store::environment(text) {
        Some(value) => Ok((text.to_owned(), value)),
        None => Err(RunError::NoVariable {
            name: text.to_owned(),
        }),
    }
}

/// Leaves out the commands that the entrypoint of Spark's own images prints before the job begins.
struct ShellTrace {
    /// Whether only such lines have come so far.
    is_first: bool,
    /// Whether the end of such a line is still to come.
    is_in_line: bool,
}

impl ShellTrace {
    fn of(ui: &Ui) -> Self {
        Self {
            is_first: ui.verbosity() == 0,
            is_in_line: false,
        }
    }

    fn without<'b>(&mut self, mut bytes: &'b [u8]) -> &'b [u8] {
        while self.is_first && !bytes.is_empty() {
            if !self.is_in_line && !bytes.starts_with(b"+") {
                self.is_first = false;
                break;
            }
            let line = bytes.iter().position(|byte| *byte == b'\n');
            self.is_in_line = line.is_none();
            bytes = line.map_or(&[], |end| &bytes[end + 1..]);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_a_place_here_and_an_absolute_one_there() {
        let folder = tempfile::tempdir().unwrap();
        let here = fs_err::canonicalize(folder.path()).unwrap();
        let text = |rest: &str| format!("{}{rest}", here.display());
        let found = volume(&text(":/data")).unwrap();
        assert_eq!((found.source.as_path(), &*found.target), (&*here, "/data"));
        assert!(!found.is_read_only);
        assert!(volume(&text(":/data:ro")).unwrap().is_read_only);
        assert!(!volume(&text(":/data:rw")).unwrap().is_read_only);
        for (rest, why) in [
            ("", "it names no place in the container"),
            (":data", "the place in the container is no absolute path"),
            ("/none:/data", "there is no such folder or file"),
        ] {
            let refused = volume(&text(rest)).unwrap_err();
            assert!(refused.to_string().ends_with(why), "{refused}");
        }
    }

    #[test]
    fn what_an_entrypoint_traces_is_left_out_until_something_else_comes() {
        let trace = |is_first| ShellTrace {
            is_first,
            is_in_line: false,
        };
        let mut begun = trace(true);
        // A shell may write a line in several parts.
        for part in [&b"+"[..], b" exec", b" tini\n", b"+ a\n+"] {
            assert_eq!(begun.without(part), b"");
        }
        assert_eq!(begun.without(b" b\nfirst\n+ c\n"), b"first\n+ c\n");
        let mut trace_of_lines = trace(true);
        assert_eq!(
            trace_of_lines.without(b"++ id -u\n+ myuid=185\nWARN"),
            b"WARN"
        );
        assert_eq!(
            trace_of_lines.without(b"\n+ not a trace\n"),
            b"\n+ not a trace\n"
        );
        let mut other = trace(true);
        assert_eq!(other.without(b"+ exec tini\n"), b"");
        assert_eq!(other.without(b"Traceback\n"), b"Traceback\n");
        let mut verbose = trace(false);
        assert_eq!(verbose.without(b"+ a\n"), b"+ a\n");
    }
}
