//! One file a command, and what all of them work with.

mod apply;
mod enroll;
mod logs;
mod look;
mod pull;
mod service;
mod session;
mod status;
mod uninstall;
mod upgrade;
mod watch;
mod why;

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use xedge_agent::apply::{Agent, Data};
use xedge_agent::check::Look;
use xedge_agent::engine::Engine;
use xedge_agent::facts::Machine;
use xedge_agent::records::Lock;
use xedge_agent::{Device, Error, Home, Result, TrustStore};

use crate::cli::{Cli, Command};
use crate::printer::Printer;
use crate::system::SystemClock;

/// Version of this agent.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What a command works with.
pub(crate) struct Context {
    pub(crate) home: Home,
    pub(crate) engine: Option<Utf8PathBuf>,
    pub(crate) machine: Machine,
    pub(crate) clock: SystemClock,
    pub(crate) printer: Printer,
}

/// Runs a command; gives the exit code.
pub(crate) fn run(cli: &Cli) -> ExitCode {
    let cx = Context {
        home: Home::new(&cli.global.state),
        engine: cli.global.engine.clone(),
        machine: Machine::real(),
        clock: SystemClock::new(),
        printer: Printer::new(cli.global.format),
    };
    match dispatch(&cx, &cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => cx.printer.failed(&error),
    }
}

fn dispatch(cx: &Context, command: &Command) -> Result<()> {
    match command {
        Command::Enroll(args) => enroll::run(cx, args),
        Command::Verify { file } => look::verify(cx, file),
        Command::Apply(args) => apply::run(cx, args),
        Command::Pull(args) => pull::run(cx, args),
        Command::Status { measure } => status::run(cx, *measure),
        Command::Logs(args) => logs::run(cx, args),
        Command::Rollback { stack } => apply::rollback(cx, stack.as_deref()),
        Command::Remove { stack, purge } => apply::remove(cx, stack, data(*purge)),
        Command::Watch { once } => watch::run(cx, *once),
        Command::Why { code } => why::run(cx, code.as_deref()),
        Command::Gc => apply::gc(cx),
        Command::Doctor => look::doctor(cx),
        Command::Session => session::run(cx),
        Command::Upgrade(args) => upgrade::run(cx, args),
        Command::Uninstall { purge } => uninstall::run(cx, data(*purge)),
        Command::SelfCheck => upgrade::self_check(cx),
    }
}

fn data(purge: bool) -> Data {
    if purge { Data::Purge } else { Data::Keep }
}

impl Context {
    /// Connects to the Engine that was named, else to the one that the device's containers are in, else to the first that is
    /// there.
    pub(crate) fn connect(&self) -> Result<Box<dyn Engine>> {
        crate::system::connect(&self.socket()?)
    }

    /// The same, for one who is about to make containers: where the device has no Engine yet, this is the one from now on.
    pub(crate) fn connect_for_good(&self) -> Result<Box<dyn Engine>> {
        let socket = self.socket()?;
        let engine = crate::system::connect(&socket)?;
        let unsettled = |device: &Device| device.engine.is_none();
        if Device::find(&self.home)?.as_ref().is_some_and(unsettled) {
            match Lock::take(&self.home, &self.clock, Duration::ZERO) {
                Ok(_lock) => {
                    if let Some(device) = Device::find(&self.home)?.filter(unsettled) {
                        Device { engine: Some(socket), ..device }.save(&self.home)?;
                    }
                }
                // Whoever is at work connects as well, and the next one does it again.
                Err(Error::Busy { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(engine)
    }

    fn socket(&self) -> Result<String> {
        match &self.engine {
            Some(named) => Ok(named.to_string()),
            None => match Device::find(&self.home)?.and_then(|device| device.engine) {
                Some(settled) => Ok(settled),
                None => crate::system::find(),
            },
        }
    }

    /// Everything that an operation needs, around an Engine.
    pub(crate) fn agent<'a>(&'a self, engine: &'a dyn Engine) -> Agent<'a> {
        Agent { home: &self.home, engine, machine: &self.machine, clock: &self.clock, version: VERSION }
    }

    /// The device, for whoever has to know whether it can take a release.
    pub(crate) fn look<'a>(
        &'a self,
        engine: &'a dyn Engine,
        device: &'a Device,
        trust: &'a TrustStore,
    ) -> Look<'a> {
        let Self { home, machine, clock, .. } = self;
        Look { home, machine, engine, clock, device, trust, agent: VERSION }
    }

    /// Whom the device trusts, and the time that it believes.
    pub(crate) fn trust(&self) -> Result<(TrustStore, i64)> {
        let trust = TrustStore::open(&self.home)?;
        let now = trust.believable_now(&self.clock)?;
        Ok((trust, now))
    }
}

/// Reads a file of the user's.
pub(crate) fn read(path: &Utf8Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|source| Error::Given { what: path.to_string(), reason: source.to_string() })
}

/// A failure to run a program of this machine's, in its words.
pub(crate) fn spawn(program: &str, error: &io::Error) -> Error {
    Error::Given { what: format!("`{program}`"), reason: error.to_string() }
}
