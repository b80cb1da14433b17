//! `xedge-agent`: reads the command line, hands over, and turns the outcome into an exit code.

mod cli;
mod commands;
mod printer;
mod system;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match cli::Cli::try_parse() {
        Ok(cli) => commands::run(&cli),
        Err(error) => printer::usage(&error),
    }
}
