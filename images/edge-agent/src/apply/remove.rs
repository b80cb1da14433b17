//! Takes a stack away: containers, networks, images, folders; with [`Data::Purge`] its volumes, secrets and values too. What
//! was accepted of it stays, so that an older release does not come in afterwards.

use std::collections::BTreeMap;
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
    /// They go, for good. Volumes that were there before the first release stay even so, and with them the data floor.
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
    // Somebody else may have accepted a release since it was read.
    *trust = TrustStore::open(agent.home)?;
    if !records::stacks(agent.home)?.iter().any(|name| name == stack) {
        return Err(ApplyError::NotInstalled { stack: stack.to_owned() }.into());
    }
    match recover::locked(agent, trust, stack) {
        // Somebody removed everything, and this is how to be done with it.
        Ok(_) | Err(Error::Apply(ApplyError::AllGone { .. })) => {}
        Err(error) => return Err(error),
    }
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
    let after = StackState {
        current: None,
        previous: None,
        adopted_volumes: state.adopted_volumes.clone(),
        adopted: BTreeMap::new(),
    };
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
    // Those of earlier releases and of a removal that kept the data are in no state, but they have the stack's label.
    let known = tidy::releases(&state).flat_map(|release| release.volumes.iter().cloned());
    journal.drop.volumes = agent.engine.stack_volumes(stack)?.into_iter().chain(known).collect();
    journal.drop.volumes.sort_by(|a, b| a.name.cmp(&b.name));
    journal.drop.volumes.dedup_by(|a, b| a.name == b.name);
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
    let mut all = journal.after.adopted_volumes.is_empty();
    for volume in &journal.drop.volumes {
        agent.clock.step("purge-volume");
        let gone = agent.engine.purge_volume(&volume.name, &tidy::stack_name(home))?;
        all &= gone;
        if let Some(folder) = volume.folder.as_ref().filter(|_| gone) {
            remove_folder(Utf8Path::new(folder))?;
        }
    }
    agent.clock.step("purge-secrets");
    remove_folder(&home.secrets())?;
    tidy::remove_file(&home.secret_versions())?;
    tidy::remove_file(&home.values())?;
    // What the data can be read by is forgotten with the last of it.
    if all { trust.forget_data(&tidy::stack_name(home)) } else { Ok(()) }
}

fn remove_folder(path: &Utf8Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(WriteError::new(path, error).into()),
        _ => Ok(()),
    }
}
