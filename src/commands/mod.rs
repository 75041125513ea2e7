//! The subcommands, one file each, and the code that several of them share.

mod build;
mod check;
mod diff;
mod init;
mod lock;
mod package;
mod pin;
mod plan;
mod policy;
mod push;
mod tags;
mod why;

use crate::{
    cli::{Cli, Command},
    error::Error,
    operations::workspace,
    ui::Ui,
};

/// Runs the subcommand of the command line.
///
/// # Errors
/// Those of the subcommand.
pub fn run(cli: &Cli, ui: &Ui) -> Result<(), Error> {
    let directory = cli.directory.as_deref();
    if let Command::Init(arguments) = &cli.command {
        return init::run(directory, ui, arguments);
    }
    let session = workspace::Session::open(directory, ui).inspect_err(|error| {
        if let Command::Check(arguments) = &cli.command {
            let root = workspace::find_root(directory).unwrap_or_default();
            // A failure to write the review comment is ignored: the error itself is reported anyway.
            drop(check::tell(ui, &root, arguments.format, error));
        }
    })?;
    let _alone = match &cli.command {
        Command::Init(_)
        | Command::Plan(_)
        | Command::Tags(_)
        | Command::Why(_)
        | Command::Diff(_)
        | Command::Check(_) => None,
        Command::Package(_)
        | Command::Lock(_)
        | Command::Pin(_)
        | Command::Build(_)
        | Command::Push(_) => Some(session.alone()?),
    };
    let result = match &cli.command {
        Command::Init(arguments) => init::run(directory, ui, arguments),
        Command::Package(arguments) => package::run(&session, ui, arguments),
        Command::Lock(arguments) => lock::run(&session, ui, arguments),
        Command::Plan(arguments) => plan::run(&session, ui, arguments),
        Command::Tags(arguments) => tags::run(&session, ui, arguments),
        Command::Why(arguments) => why::run(&session, ui, arguments),
        Command::Diff(arguments) => diff::run(&session, ui, arguments),
        Command::Pin(arguments) => pin::run(&session, ui, arguments),
        Command::Check(arguments) => check::run(&session, ui, arguments),
        Command::Build(images) => build::run(&session, ui, images),
        Command::Push(images) => push::run(&session, ui, images),
    };
    session.keep_stats();
    result
}
