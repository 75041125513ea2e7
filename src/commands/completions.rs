//! `sparkpack completions`: prints the script by which a shell completes the command line.

use clap::CommandFactory;

use crate::{
    cli::{Cli, CompletionsArguments},
    error::Error,
    ui::Ui,
};

pub(super) fn run(ui: &Ui, arguments: &CompletionsArguments) -> Result<(), Error> {
    let mut script = Vec::new();
    clap_complete::generate(
        arguments.shell,
        &mut Cli::command(),
        "sparkpack",
        &mut script,
    );
    // A reader that has closed its pipe has what it wanted.
    ui.pass_output(&script)?;
    Ok(())
}
