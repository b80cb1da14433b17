//! Changes what runs, and nothing else does. After a power cut at any moment, the device runs wholly the release that ran or
//! wholly the one that comes; the containers that ran are kept, stopped, until the release after it is committed.
//!
//! Every operation is a [`Journal`](crate::state::Journal) that is on the disk before its first step. Up to `Switching`
//! nothing that runs is touched; from `Committing` on the new release stays; whoever finds a journal goes on from there
//! ([`recover()`]). It never removes a volume or a secret, but when it is asked to [`remove()`] with the data.

mod adopt;
mod bring;
mod commit;
mod error;
mod gc;
mod heads;
mod install;
mod names;
mod probe;
mod recover;
mod remove;
mod rollback;
mod status;
mod switch;
mod tidy;
mod undo;
mod watch;
mod well;

pub use error::{ApplyError, Outcome};
pub use gc::{Freed, gc};
pub use install::install;
pub use recover::{Recovered, recover, recover_all};
pub use remove::{Data, remove, remove_all};
pub use rollback::rollback;
pub use status::{logs, stack_status};
pub use watch::{Healed, turn, watch};

use std::time::Duration;

use xedge_wire::Event;

use crate::facts::Machine;
use crate::home::StackHome;
use crate::{Clock, Engine, Home};

/// How long an operation waits for another one to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// What an operation works with.
#[derive(Clone, Copy)]
pub struct Agent<'a> {
    /// Where everything lies.
    pub home: &'a Home,
    /// The container engine.
    pub engine: &'a dyn Engine,
    /// The machine, for what has to be there before a release is taken.
    pub machine: &'a Machine,
    /// Time, and the moments at which power may fail.
    pub clock: &'a dyn Clock,
    /// Version of the agent.
    pub version: &'a str,
}

/// How a release is installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Name of a container, started by hand, that a service of the release takes over; `SERVICE=NAME` where it is not clear
    /// which service.
    pub adopt: Option<String>,
    /// Check everything, change nothing.
    pub check_only: bool,
}

/// Takes what happens.
pub type Events<'a> = dyn FnMut(Event) + 'a;

impl Agent<'_> {
    fn stack(&self, name: &str) -> StackHome {
        self.home.stack(name)
    }
}

#[cfg(test)]
mod tests;
