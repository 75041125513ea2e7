//! Writes the man pages into a folder: `sparkpack.1`, and `sparkpack-VERB.1` for each verb. `scripts/release` runs it; the
//! binary does not have what makes them.

use std::{env, io};

use clap::CommandFactory;
use sparkpack::cli::Cli;

fn main() -> io::Result<()> {
    let Some(folder) = env::args_os().nth(1) else {
        return Err(io::Error::other("name the folder to write into"));
    };
    fs_err::create_dir_all(&folder)?;
    // `help` says what the pages do.
    let command = Cli::command().disable_help_subcommand(true);
    clap_mangen::generate_to(command, folder)
}
