//! What is done to containers that run: signals, pauses, measuring. It judges nothing.

use super::container::Container;
use super::{Embedded, locked, runtime_error};
use crate::Error;
use crate::engine::usage::{self, Usage};

impl Embedded {
    pub(in crate::engine) async fn kill(&self, container: &str, signal: &str) -> Result<(), Error> {
        let (found, signal) = (self.inner.container(container)?, signal.to_owned());
        let action = format!("send SIG{signal} to container {container}");
        let sent = self.blocking(move |_| found.kill(&signal)).await?;
        sent.map_err(|error| runtime_error(&action, error))
    }

    pub(in crate::engine) async fn pause(&self, container: &str) -> Result<(), Error> {
        let (found, action) = (self.inner.container(container)?, format!("pause container {container}"));
        self.blocking(move |_| found.pause()).await?.map_err(|error| runtime_error(&action, error))
    }

    pub(in crate::engine) async fn unpause(&self, container: &str) -> Result<(), Error> {
        let (found, action) = (self.inner.container(container)?, format!("unpause container {container}"));
        self.blocking(move |_| found.unpause()).await?.map_err(|error| runtime_error(&action, error))
    }

    pub(in crate::engine) async fn usage(&self, container: &str) -> Result<Option<Usage>, Error> {
        let found = self.inner.container(container)?;
        if !self.inner.runtime.cgroups || !found.is_running() {
            return Ok(None);
        }
        let name = container.to_owned();
        self.blocking(move |_| usage::of_name(&name)).await
    }
}

impl Container {
    /// Sends a signal without waiting; its restart policy does not bring it back.
    fn kill(&self, signal: &str) -> Result<(), String> {
        self.unwanted();
        self.unpause()?;
        self.ask(&["kill", &self.name, signal])
    }

    fn pause(&self) -> Result<(), String> {
        if !self.runtime.cgroups {
            return Err("no control groups can be made here, and only those can hold processes".to_owned());
        }
        self.ask(&["pause", &self.name])?;
        locked(&self.state).paused = true;
        Ok(())
    }

    /// One that is not held any more is as good.
    pub(super) fn unpause(&self) -> Result<(), String> {
        if !std::mem::take(&mut locked(&self.state).paused) {
            return Ok(());
        }
        self.ask(&["resume", &self.name])
    }

    fn ask(&self, order: &[&str]) -> Result<(), String> {
        let asked = self.runtime.ask(&self.folder, order);
        let asked = asked.map_err(|error| format!("the runtime cannot be run: {error}"))?;
        if asked.status.success() {
            return Ok(());
        }
        Err(String::from_utf8_lossy(&asked.stderr).trim().to_owned())
    }
}
