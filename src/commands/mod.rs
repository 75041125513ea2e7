//! The subcommands, one file each, and the code that several of them share.

mod build;
mod check;
mod completions;
mod diff;
mod doctor;
mod eject;
mod init;
mod lock;
mod new;
mod package;
mod pin;
mod plan;
mod policy;
mod promote;
mod push;
mod run;
mod tags;
mod verify;
mod why;

use std::time::Duration;

use crate::{
    adapters::file_lock::LockWait,
    cli::{AnywhereCommand, Cli, Command, ProjectCommand},
    error::Error,
    operations::workspace,
    ui::Ui,
};

/// Runs the subcommand of the command line. Returns the exit code: that of a job which was run is its own.
///
/// # Errors
/// Those of the subcommand.
pub fn run(cli: &Cli, ui: &Ui) -> Result<u8, Error> {
    let directory = cli.directory.as_deref();
    let done = match &cli.command {
        Command::Project(command) => return in_project(cli, ui, command),
        Command::Anywhere(AnywhereCommand::New(arguments)) => new::run(directory, ui, arguments),
        Command::Anywhere(AnywhereCommand::Init(arguments)) => init::run(directory, ui, arguments),
        Command::Anywhere(AnywhereCommand::Doctor(arguments)) => {
            doctor::run(directory, ui, arguments)
        }
        Command::Anywhere(AnywhereCommand::Completions(arguments)) => {
            completions::run(ui, arguments)
        }
    };
    done.map(|()| 0)
}

fn in_project(cli: &Cli, ui: &Ui, command: &ProjectCommand) -> Result<u8, Error> {
    use ProjectCommand as Verb;
    let directory = cli.directory.as_deref();
    let wait = LockWait {
        command: format!("sparkpack {}", command.name()),
        limit: Duration::from_secs(cli.lock_timeout),
    };
    let session = workspace::Session::open(directory, ui).inspect_err(|error| {
        if let Verb::Check(arguments) = command {
            let root = workspace::find_root(directory).unwrap_or_default();
            // A failure to write the review comment is ignored: the error itself is reported anyway.
            drop(check::tell(ui, &root, arguments.format, error));
        }
    })?;
    let session = session.waiting(wait);
    // `workspace/project_locks.rs` says which run waits for which.
    let (_alone, _files) = match command {
        // A job is run for hours: it is alone only while its image is made.
        Verb::Run(_)
        | Verb::Plan(_)
        | Verb::Tags(_)
        | Verb::Why(_)
        | Verb::Diff(_)
        | Verb::Check(_) => (None, None),
        Verb::Pin(_) | Verb::Eject(_) => (None, Some(session.alone_briefly()?)),
        Verb::Push(push) if push.dry_run => (None, None),
        Verb::Package(_)
        | Verb::Lock(_)
        | Verb::Build(_)
        | Verb::Push(_)
        | Verb::Promote(_)
        | Verb::Verify(_) => (Some(session.alone()?), None),
    };
    let result = match command {
        Verb::Run(arguments) => return run::run(&session, ui, arguments),
        Verb::Package(arguments) => package::run(&session, ui, arguments),
        Verb::Lock(arguments) => lock::run(&session, ui, arguments),
        Verb::Plan(arguments) => plan::run(&session, ui, arguments),
        Verb::Tags(arguments) => tags::run(&session, ui, arguments),
        Verb::Why(arguments) => why::run(&session, ui, arguments),
        Verb::Diff(arguments) => diff::run(&session, ui, arguments),
        Verb::Pin(arguments) => pin::run(&session, ui, arguments),
        Verb::Check(arguments) => check::run(&session, ui, arguments),
        Verb::Build(images) => build::run(&session, ui, images),
        Verb::Push(images) => push::run(&session, ui, images),
        Verb::Promote(arguments) => promote::run(&session, ui, arguments),
        Verb::Verify(arguments) => verify::run(&session, ui, arguments),
        Verb::Eject(arguments) => eject::run(&session, ui, arguments),
    };
    session.keep_stats();
    result.map(|()| 0)
}
