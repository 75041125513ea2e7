//! The subcommands, one file each, and the code that several of them share.

mod build;
mod check;
mod diff;
mod lock;
mod new;
mod package;
mod pin;
mod plan;
mod policy;
mod push;
mod run;
mod tags;
mod why;

use crate::{
    cli::{Cli, Command},
    error::Error,
    operations::workspace,
    ui::Ui,
};

/// Runs the subcommand of the command line. Returns the exit code where it is not one of sparkpack's own.
///
/// # Errors
/// Those of the subcommand.
pub fn run(cli: &Cli, ui: &Ui) -> Result<u8, Error> {
    let directory = cli.directory.as_deref();
    if let Command::New(arguments) = &cli.command {
        new::run(directory, ui, arguments)?;
        return Ok(0);
    }
    let session = workspace::Session::open(directory, ui).inspect_err(|error| {
        if let Command::Check(arguments) = &cli.command {
            let root = workspace::find_root(directory).unwrap_or_default();
            // A failure to write the review comment is ignored: the error itself is reported anyway.
            drop(check::tell(ui, &root, arguments.format, error));
        }
    })?;
    let _alone = match &cli.command {
        Command::Plan(_)
        | Command::Tags(_)
        | Command::Why(_)
        | Command::Diff(_)
        | Command::Check(_)
        // It is alone only while it makes the image.
        | Command::Run(_)
        | Command::New(_) => None,
        Command::Package(_)
        | Command::Lock(_)
        | Command::Pin(_)
        | Command::Build(_)
        | Command::Push(_) => Some(session.alone()?),
    };
    let result = match &cli.command {
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
        Command::Run(arguments) => return run::run(&session, ui, arguments),
        Command::New(_) => Ok(()),
    };
    session.keep_stats();
    result.map(|()| 0)
}
