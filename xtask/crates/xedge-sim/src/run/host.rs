//! Where the nodes of a run live: containers in an engine, programs on this machine, told apart by name. It decides nothing.

use std::net::SocketAddr;
use std::ops::Deref;
use std::time::Duration;

use rustix::process::Signal;

use super::process::Processes;
use crate::Error;
use crate::engine::{Engine, Status, Usage};

/// An engine, and programs beside it. What is not said here only containers can do.
#[derive(Debug)]
pub(super) struct Host<'a> {
    engine: &'a Engine,
    pub(super) processes: Processes,
}

impl<'a> Host<'a> {
    pub(super) fn new(engine: &'a Engine) -> Self {
        Self { engine, processes: Processes::default() }
    }

    pub(super) async fn start(&self, name: &str) -> Result<(), Error> {
        match self.processes.find(name) {
            Some(program) => program.start(),
            None => self.engine.start(name).await,
        }
    }

    pub(super) async fn stop(&self, name: &str, grace: Duration) -> Result<(), Error> {
        match self.processes.find(name) {
            Some(program) => {
                program.stop(grace).await;
                Ok(())
            }
            None => self.engine.stop(name, grace).await,
        }
    }

    pub(super) async fn kill(&self, name: &str, signal: &str) -> Result<(), Error> {
        match self.processes.find(name) {
            Some(program) => {
                program.signal(if signal == "TERM" { Signal::TERM } else { Signal::KILL });
                Ok(())
            }
            None => self.engine.kill(name, signal).await,
        }
    }

    pub(super) async fn pause(&self, name: &str) -> Result<(), Error> {
        match self.processes.find(name) {
            Some(program) => {
                program.signal(Signal::STOP);
                Ok(())
            }
            None => self.engine.pause(name).await,
        }
    }

    pub(super) async fn unpause(&self, name: &str) -> Result<(), Error> {
        match self.processes.find(name) {
            Some(program) => {
                program.signal(Signal::CONT);
                Ok(())
            }
            None => self.engine.unpause(name).await,
        }
    }

    pub(super) async fn usage(&self, name: &str) -> Result<Option<Usage>, Error> {
        match self.processes.find(name) {
            Some(program) => Ok(program.usage()),
            None => self.engine.usage(name).await,
        }
    }

    pub(super) async fn inspect(&self, name: &str) -> Result<Status, Error> {
        match self.processes.find(name) {
            Some(program) => Ok(program.status()),
            None => self.engine.inspect(name).await,
        }
    }

    pub(super) async fn ports(&self, name: &str, port: u16) -> Result<Vec<SocketAddr>, Error> {
        match self.processes.find(name) {
            Some(program) => Ok(vec![program.address()]),
            None => self.engine.ports(name, port).await,
        }
    }

    pub(super) async fn logs(&self, name: &str, tail: Option<usize>) -> Result<Vec<u8>, Error> {
        match self.processes.find(name) {
            Some(program) => Ok(program.log(tail)),
            None => self.engine.logs(name, tail).await,
        }
    }
}

impl Deref for Host<'_> {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        self.engine
    }
}
