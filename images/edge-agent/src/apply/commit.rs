//! The end of a change that is decided: whatever happens from here on, the new release is the one that runs. May be repeated.

use super::{Agent, tidy, undo};
use crate::engine::Restart;
use crate::home::StackHome;
use crate::state::{Journal, Operation};
use crate::{Result, TrustStore, records};

/// Gives the new containers their restart policies, writes down what runs, and lets go of what nothing needs any more. Gives
/// what did not start: those had run already, and are tried again by whoever watches.
pub(super) fn finish(
    agent: Agent<'_>,
    trust: &mut TrustStore,
    home: &StackHome,
    journal: &Journal,
) -> Result<Vec<String>> {
    undo::are_here(agent, home, &journal.to)?;
    let mut troubles = Vec::new();
    for service in &journal.changing {
        let Some(placed) = journal.to.services.get(service) else { continue };
        let Some(container) = agent.engine.inspect(&placed.container)? else {
            troubles.push(format!("the container of {service} is gone"));
            continue;
        };
        agent.clock.step("commit-policy");
        if container.restart != placed.restart {
            agent.engine.set_restart(&placed.container, placed.restart)?;
        }
        // After a power cut: no boot starts a container whose policy is still `No`.
        if !container.running && !container.restarting && !placed.ends {
            agent.clock.step("commit-start");
            if let Some(why) = undo::start(agent, placed)? {
                troubles.push(format!("{service} does not start: {why}"));
            }
        }
    }
    tidy::release_reserve(home)?;
    agent.clock.step("commit-state");
    records::save_state(home, &journal.after)?;
    agent.clock.step("commit-accept");
    if let Some(accept) = &journal.accept {
        trust.accept(&tidy::stack_name(home), accept)?;
    }
    agent.clock.step("commit-drop");
    for id in &journal.drop.containers {
        if journal.operation != Operation::Install {
            stop(agent, id)?;
        }
        agent.engine.remove(id)?;
        agent.clock.step("commit-dropped");
    }
    if matches!(journal.operation, Operation::Remove | Operation::Purge) {
        super::remove::leftovers(agent, trust, home, journal)?;
    }
    agent.clock.step("commit-clear");
    records::clear_journal(home)?;
    agent.clock.step("commit-cleared");
    tidy::after_commit(agent, home, journal);
    Ok(troubles)
}

/// Stops a container that is to go, so that its program can put its data away.
fn stop(agent: Agent<'_>, id: &str) -> Result<()> {
    let Some(container) = agent.engine.inspect(id)? else { return Ok(()) };
    if container.restart != Restart::No {
        agent.engine.set_restart(id, Restart::No)?;
    }
    if container.running || container.restarting {
        agent.engine.stop(id, super::remove::GRACE)?;
    }
    Ok(())
}
