//! A file a command; here only who does what.

mod build;
mod ci;
mod doctor;
mod gc;
mod image;
mod lock;
mod render;
mod setup;
mod sim;

use crate::cli::{Cli, Command};
use crate::environment::Environment;
use crate::error::Result;
use crate::project::Project;
use crate::ui::Printer;

pub(crate) use build::host_platform;

/// What every command works with.
pub(crate) struct Context<'a> {
    /// The project's files.
    pub(crate) project: Project,
    /// The process's environment.
    pub(crate) environment: Environment,
    /// The way out.
    pub(crate) printer: &'a Printer,
}

/// Runs one command.
pub(crate) fn run(cli: Cli, environment: Environment, printer: &Printer) -> Result<()> {
    let project = Project::find(cli.global.project.as_deref(), &environment)?;
    let cx = &Context { project, environment, printer };
    match cli.command {
        Command::Setup(flags) => setup::run(cx, &flags),
        Command::Doctor => doctor::run(cx),
        Command::Lock(flags) => lock::run(cx, &flags),
        Command::Build(flags) => build::run(cx, &flags),
        Command::Image(command) => image::run(cx, command),
        Command::Render(flags) => render::run(cx, &flags),
        Command::Sim(flags) => sim::run(cx, &flags),
        Command::Gc => gc::run(cx),
        Command::Ci(flags) => ci::run(cx, &flags),
    }
}

/// The runtime of the network and engine edges.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime> {
    let built = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    Ok(built
        .map_err(|source| crate::error::Error::Spawn { program: "the network runtime".into(), source })?)
}
