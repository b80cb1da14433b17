//! A file a command; here only who does what.

mod build;
mod bundle;
mod ci;
mod deploy;
mod device;
mod doctor;
mod gc;
mod image;
mod import;
mod keys;
mod lock;
mod new;
mod policy;
mod push;
mod registry;
mod release;
mod render;
mod schema;
mod secrets;
mod setup;
pub(crate) mod sim;
mod verify;

use std::sync::{Arc, OnceLock};

use camino::Utf8PathBuf;
use xedge_model::Failure;
use xedge_sign::Passphrase;

use crate::cli::{Cli, Command, EngineChoice, New};
use crate::environment::Environment;
use crate::error::Result;
use crate::project::Project;
use crate::ui::Printer;

pub(crate) use build::host_platform;

/// What every command works with.
#[derive(Clone)]
pub(crate) struct Context<'a> {
    /// The project's files.
    pub(crate) project: Project,
    /// The process's environment.
    pub(crate) environment: Environment,
    /// The file with the passphrase of production keys.
    pub(crate) passphrase_file: Option<Utf8PathBuf>,
    /// The passphrase, once it was read.
    pub(crate) passphrase: Arc<OnceLock<Passphrase>>,
    /// What is to run containers.
    pub(crate) engine: EngineChoice,
    /// The way out.
    pub(crate) printer: &'a Printer,
}

impl Context<'_> {
    /// Lets `work` draw from the system's random source; a source that fails is the error, whatever came of the work.
    pub(crate) fn with_random<T, E: Failure>(
        &self,
        work: impl FnOnce(&mut dyn FnMut(&mut [u8])) -> std::result::Result<T, E>,
    ) -> Result<T> {
        let mut failure = None;
        let mut random = |bytes: &mut [u8]| {
            if let Err(error) = self.environment.random(bytes) {
                failure.get_or_insert(error);
            }
        };
        let done = work(&mut random);
        match failure {
            Some(error) => Err(error),
            None => Ok(done?),
        }
    }
}

/// Runs one command.
pub(crate) fn run(cli: Cli, environment: Environment, printer: &Printer) -> Result<()> {
    if let Command::New(flags @ New { command: None, .. }) = &cli.command {
        return new::project(&environment, printer, flags);
    }
    if let Command::EmbeddedForward { network, to } = &cli.command {
        return forward(network, *to);
    }
    if let Command::Schema { of } = &cli.command {
        return schema::run(printer, *of);
    }
    let project = Project::find(cli.global.project.as_deref(), &environment)?;
    let passphrase_file = cli.global.passphrase_file;
    let engine = cli.command.engine();
    let cx = &Context { project, environment, passphrase_file, passphrase: Arc::default(), engine, printer };
    match cli.command {
        Command::Setup(flags) => setup::run(cx, &flags),
        Command::Doctor => doctor::run(cx),
        Command::New(New { command: Some(command), .. }) => new::run(cx, &command),
        // Done above, since it needs no project.
        Command::New(flags) => new::project(&cx.environment, printer, &flags),
        Command::Lock(flags) => lock::run(cx, &flags),
        Command::Build(flags) => build::run(cx, &flags),
        Command::Image(command) => image::run(cx, command),
        Command::Import(command) => import::run(cx, &command),
        Command::Render(flags) => render::run(cx, &flags),
        Command::Policy(command) => policy::run(cx, &command),
        Command::Sim(flags) => sim::run(cx, &flags),
        Command::Release(flags) => release::run(cx, &flags),
        Command::Push(flags) => push::run(cx, &flags),
        Command::Registry(command) => registry::run(cx, &command),
        Command::Keys(command) => keys::run(cx, &command),
        Command::Secrets(command) => secrets::run(cx, &command),
        Command::Verify(flags) => verify::run(cx, &flags),
        Command::Bundle(command) => bundle::run(cx, &command),
        Command::Deploy(flags) => deploy::run(cx, &flags),
        Command::Device(command) => device::run(cx, &command),
        Command::Gc(_) => gc::run(cx),
        Command::Ci(flags) => ci::run(cx, &flags),
        // Done above, since it needs no project.
        Command::Schema { of } => schema::run(printer, of),
        Command::EmbeddedForward { network, to } => forward(&network, to),
    }
}

/// Needs no project: it only passes connections on.
fn forward(network: &str, to: std::net::SocketAddr) -> Result<()> {
    let forwarded = xedge_sim::engine::embedded::forward(network, to);
    Ok(forwarded
        .map_err(|source| crate::error::Error::Spawn { program: "a published port".into(), source })?)
}

/// The runtime of the network and engine edges.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime> {
    let built = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    Ok(built
        .map_err(|source| crate::error::Error::Spawn { program: "the network runtime".into(), source })?)
}
