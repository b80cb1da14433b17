//! Takes a stack away: containers, networks, images, folders; with [`Data::Purge`] its volumes, secrets and values too. What
//! was accepted of it stays, so that an older release does not come in afterwards.

use std::fs;
use std::io::ErrorKind;
use std::time::Duration;

use camino::Utf8Path;
use xedge_model::atomic::WriteError;
use xedge_wire::Event;

use super::{Agent, ApplyError, Events, PATIENCE, bring, commit, recover, tidy};
use crate::home::StackHome;
use crate::records::{self, Lock};
use crate::state::{Installed, Journal, Operation, Phase, StackState};
use crate::{Error, Result, TrustStore};

/// Time that a container is given to stop before it is removed.
pub(super) const GRACE: Duration = Duration::from_secs(10);

/// What becomes of a stack's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    /// Volumes, secrets and values stay.
    Keep,
    /// They go, for good. Volumes that were there before the first release stay even so.
    Purge,
}

/// Removes a stack. Once it has begun there is no way back: a power cut is gone on from.
pub fn remove(
    agent: &Agent<'_>,
    trust: &mut TrustStore,
    stack: &str,
    data: Data,
    events: &mut Events<'_>,
) -> Result<()> {
    let agent = *agent;
    let _lock = Lock::take(agent.home, agent.clock, PATIENCE)?;
    if !records::stacks(agent.home)?.iter().any(|name| name == stack) {
        return Err(ApplyError::NotInstalled { stack: stack.to_owned() }.into());
    }
    let _cut_short = recover::locked(agent, trust, stack)?;
    events(Event::Checking);
    let home = agent.stack(stack);
    let state = records::load_state(&home)?;
    if state == StackState::default() && data == Data::Keep {
        return Err(ApplyError::NotInstalled { stack: stack.to_owned() }.into());
    }
    let operation = match data {
        Data::Keep => Operation::Remove,
        Data::Purge => Operation::Purge,
    };
    // Adopted volumes are remembered: whoever installs the stack again finds its data where it was.
    let after = StackState { current: None, previous: None, adopted_volumes: state.adopted_volumes.clone() };
    let mut journal = Journal {
        operation,
        phase: Phase::Committing,
        from: state.current.clone(),
        to: Installed::default(),
        changing: Vec::new(),
        after: Box::new(after),
        drop: crate::state::Drop::default(),
        accept: None,
    };
    journal.drop = bring::to_drop(&state, &journal);
    journal.drop.volumes =
        tidy::releases(&state).flat_map(|release| release.volumes.iter().cloned()).collect();
    journal.drop.volumes.sort_by(|a, b| a.name.cmp(&b.name));
    journal.drop.volumes.dedup();
    agent.clock.step("begin");
    records::save_journal(&home, &journal)?;
    agent.clock.step("removing");
    let troubles = commit::finish(agent, trust, &home, &journal)
        .map_err(|cause| ApplyError::Unfinished { stack: stack.to_owned(), cause: Box::new(cause) })?;
    debug_assert!(troubles.is_empty(), "nothing was to be started");
    if data == Data::Purge {
        remove_folder(home.root())?;
    }
    events(Event::Committed);
    Ok(())
}

/// Removes every stack, and gives the names of those that went. One that was removed before and left its data is passed over,
/// unless the data is to go too.
pub fn remove_all(
    agent: &Agent<'_>,
    trust: &mut TrustStore,
    data: Data,
    events: &mut Events<'_>,
) -> Result<Vec<String>> {
    let mut removed = Vec::new();
    for stack in records::stacks(agent.home)? {
        match remove(agent, trust, &stack, data, events) {
            Ok(()) => removed.push(stack),
            Err(Error::Apply(ApplyError::NotInstalled { .. })) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(removed)
}

/// What goes with a stack besides its containers, before its journal does.
pub(super) fn leftovers(
    agent: Agent<'_>,
    trust: &mut TrustStore,
    home: &StackHome,
    journal: &Journal,
) -> Result<()> {
    tidy::remove_file(&home.incoming())?;
    if journal.operation != Operation::Purge {
        return Ok(());
    }
    for volume in &journal.drop.volumes {
        agent.clock.step("purge-volume");
        agent.engine.purge_volume(&volume.name)?;
        if let Some(folder) = &volume.folder {
            remove_folder(Utf8Path::new(folder))?;
        }
    }
    agent.clock.step("purge-secrets");
    remove_folder(&home.secrets())?;
    tidy::remove_file(&home.secret_versions())?;
    tidy::remove_file(&home.values())?;
    trust.forget_data(&tidy::stack_name(home))
}

fn remove_folder(path: &Utf8Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(WriteError::new(path, error).into()),
        _ => Ok(()),
    }
}
