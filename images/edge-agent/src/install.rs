//! From a head that lies on the device to an installed release: the one way that all ways in end in.

use std::time::Duration;

use camino::Utf8Path;
use xedge_wire::Applied;

use crate::apply::{self, Agent, Events, Options};
use crate::records::Lock;
use crate::staged::Staged;
use crate::{Result, TrustStore};

/// How long an installation waits for another process that changes the device.
const PATIENCE: Duration = Duration::from_mins(1);

/// Verifies the release of this head with its members in the store, and installs it.
pub fn install(
    agent: &Agent<'_>,
    head: &Utf8Path,
    options: &Options,
    events: &mut Events<'_>,
) -> Result<Applied> {
    let mut trust = TrustStore::open(agent.home)?;
    let staged = Staged::verify(agent.home, head, &trust, trust.believable_now(agent.clock)?, agent.engine)?;
    {
        let _lock = Lock::take(agent.home, agent.clock, PATIENCE)?;
        // A later root counts as soon as a release that hangs on it was verified, whatever becomes of the release.
        trust = TrustStore::open(agent.home)?;
        trust.accept_root(staged.verified())?;
    }
    apply::install(agent, &mut trust, &staged, options, events)
}
