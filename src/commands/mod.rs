//! The verbs, one file each, and what several of them share.

mod build;
mod contexts;
mod locks;
mod making;
mod manifests;
mod outside;
mod package;
mod packing;
mod plan;
mod push;
mod report;
mod schedule;
mod session;
mod stages;
mod wheels;

use crate::{
    cli::{Cli, Command},
    error::Error,
    ui::Ui,
};

/// Does what the command line says.
///
/// # Errors
/// Whatever stopped it.
pub fn run(cli: &Cli, ui: &Ui) -> Result<(), Error> {
    let session = session::Session::open(cli.directory.as_deref(), ui)?;
    let _alone = match &cli.command {
        Command::Plan(_) => None,
        Command::Package | Command::Build(_) | Command::Push(_) => Some(session.alone()?),
    };
    match &cli.command {
        Command::Package => package::run(&session),
        Command::Plan(registry) => plan::run(&session, registry),
        Command::Build(images) => build::run(&session, images),
        Command::Push(images) => push::run(&session, images),
    }
}
