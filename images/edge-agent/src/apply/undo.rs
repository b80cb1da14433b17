//! Takes a change back: the very containers that ran before stand in their places again and run. May be repeated, and begun
//! from any moment of a change that is not committed.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Agent, ApplyError, Outcome, names, tidy};
use crate::engine::Restart;
use crate::home::StackHome;
use crate::state::{Installed, Journal, Phase, Placed, StackState};
use crate::{Error, Result, records};

/// Brings back what ran before, and forgets the operation. An error is the Engine's or the disk's: the journal stays, and the
/// next one who finds it goes on.
pub(super) fn undo(agent: Agent<'_>, home: &StackHome, journal: &Journal) -> Result<Outcome> {
    if let Some(from) = &journal.from {
        are_here(agent, home, from)?;
    }
    if journal.phase != Phase::RollingBack {
        // On a full disk this is not written, and `Switching` stays there: whoever finds that takes the change back too.
        records::save_journal(home, &Journal { phase: Phase::RollingBack, ..journal.clone() }).ok();
    }
    agent.clock.step("undo-begun");
    let state = records::load_state(home)?;
    let kept = kept(&state);
    for service in journal.changing.iter().rev() {
        if let Some(new) = journal.to.services.get(service) {
            withdraw(agent, new, journal.to.seq, &kept)?;
        }
    }
    let mut troubles = Vec::new();
    if let Some(from) = &journal.from {
        let order = from.order.iter().filter(|service| journal.changing.contains(service));
        let rest = journal.changing.iter().filter(|service| !from.order.contains(service));
        for service in order.chain(rest) {
            if let Some(old) = from.services.get(service) {
                restore(agent, service, old, &mut troubles)?;
            }
        }
    }
    agent.clock.step("undo-clear");
    records::clear_journal(home)?;
    agent.clock.step("undo-cleared");
    tidy::after_undo(agent, home, journal, &state);
    Ok(match (troubles.is_empty(), &journal.from) {
        (false, _) => Outcome::Partly(troubles),
        (true, Some(_)) => Outcome::Back,
        (true, None) => Outcome::Nothing,
    })
}

/// An Engine that has not one of a release's containers is another one, or somebody removed them all: to go on there would
/// forget the operation, and leave it half done where it was begun.
pub(super) fn are_here(agent: Agent<'_>, home: &StackHome, release: &Installed) -> Result<()> {
    for placed in release.services.values() {
        if agent.engine.inspect(&placed.container)?.is_some() {
            return Ok(());
        }
    }
    if release.services.is_empty() {
        return Ok(());
    }
    Err(ApplyError::AllGone { stack: tidy::stack_name(home), seq: release.seq }.into())
}

/// Ids of the containers that the state speaks of.
pub(super) fn kept(state: &StackState) -> BTreeSet<&str> {
    let releases = state.current.iter().chain(&state.previous);
    releases.flat_map(|release| release.services.values().map(|placed| placed.container.as_str())).collect()
}

/// A new container stops and leaves its place. One that the state speaks of, because it is gone back to, is kept.
fn withdraw(agent: Agent<'_>, new: &Placed, seq: u64, kept: &BTreeSet<&str>) -> Result<()> {
    if new.container.is_empty() {
        return Ok(());
    }
    let Some(container) = agent.engine.inspect(&new.container)? else { return Ok(()) };
    agent.clock.step("undo-new-policy");
    if container.restart != Restart::No {
        agent.engine.set_restart(&new.container, Restart::No)?;
    }
    agent.clock.step("undo-new-stop");
    if container.running || container.restarting {
        agent.engine.stop(&new.container, Duration::from_secs(new.stop_grace_s))?;
    }
    agent.clock.step("undo-new-away");
    if !kept.contains(new.container.as_str()) {
        return agent.engine.remove(&new.container);
    }
    if container.name == new.name {
        let aside = names::aside(agent.engine, &new.name, seq, &new.container)?;
        agent.engine.rename(&new.container, &aside)?;
    }
    Ok(())
}

/// An old container takes its place again and runs.
fn restore(agent: Agent<'_>, service: &str, old: &Placed, troubles: &mut Vec<String>) -> Result<()> {
    let Some(container) = agent.engine.inspect(&old.container)? else {
        troubles.push(format!("the container of {service} is gone"));
        return Ok(());
    };
    agent.clock.step("undo-old-rename");
    if container.name != old.name {
        agent.engine.rename(&old.container, &old.name)?;
    }
    agent.clock.step("undo-old-policy");
    if container.restart != old.restart {
        agent.engine.set_restart(&old.container, old.restart)?;
    }
    agent.clock.step("undo-old-start");
    if !old.ends
        && !container.running
        && let Some(why) = start(agent, old)?
    {
        troubles.push(format!("{service} does not start: {why}"));
    }
    Ok(())
}

/// Starts a container. Gives why the Engine refused; an Engine that does not answer is an error.
pub(super) fn start(agent: Agent<'_>, placed: &Placed) -> Result<Option<String>> {
    match agent.engine.start(&placed.container) {
        Ok(()) => Ok(None),
        Err(Error::Engine { reason, .. }) if agent.engine.inspect(&placed.container).is_ok() => {
            Ok(Some(reason))
        }
        Err(error) => Err(error),
    }
}
