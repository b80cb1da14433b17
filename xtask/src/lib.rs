//! xedge as a library: the command line, and the joints between the stage crates.
//!
//! The project root is an argument, so that other repositories can have a five-line xtask on this library. Only
//! this crate knows stdout, exit codes, the environment, the clock and the random source.

mod cli;
mod commands;
mod environment;
mod error;
mod github;
mod policy;
pub mod project;
pub mod setup;
pub mod stage;
pub mod ui;

mod adhoc;
mod archive;
mod base;
mod build;
mod engine;
mod evidence;
mod extract;
mod fetch;
mod foreign;
mod formats;
mod forms;
mod import;
mod locks;
mod passphrase;
mod payload;
mod reach;
mod registry;
mod release;
mod scaffold;
mod secrets;
mod simulate;
mod staging;
mod trust;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

pub use environment::Environment;
pub use error::{Failed, Result};

/// Whether the command line (without the program's name) is one that [`main`] would run; nothing is run. For the tests
/// of scripts and workflow files.
pub fn accepts(arguments: &[&str]) -> std::result::Result<(), String> {
    let line = std::iter::once("cargo xtask").chain(arguments.iter().copied());
    cli::Cli::try_parse_from(line).map(drop).map_err(|usage| usage.to_string())
}

/// Runs one command line and returns the process's exit code (ARCHITECTURE.md, exit codes).
pub fn main(arguments: impl IntoIterator<Item = OsString>, environment: Environment) -> ExitCode {
    ui::install_panic_report();
    let cli = match cli::Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(usage) => return ui::usage(&usage),
    };
    let printer = ui::Printer::new(&cli.global, &environment);
    match commands::run(cli, environment, &printer) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => printer.failed(&failed),
    }
}
