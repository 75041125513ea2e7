//! sparkpack: parse, run, print the error, exit code.

use std::process::ExitCode;

use clap::Parser;
use sparkpack::{
    adapters::{ending, store::environment},
    cli::Cli,
    commands,
    ui::{self, Ui},
};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let ui = Ui::new(cli.quiet, cli.verbose, &environment);
    ending::watch(ui.interrupted());
    let done = commands::run(&cli, &ui);
    // Errors of what a signal has ended are none.
    ending::stop_if_ending();
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            ui.fail(&ui::error_text(&error));
            ExitCode::from(error.exit_code())
        }
    }
}
