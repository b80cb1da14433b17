//! What an operation leaves behind and nothing needs. Only what the agent made, and never a volume or the newest version of a secret. Where it does
//! not succeed nothing is broken: the next operation and `gc` try again.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;

use camino::Utf8Path;
use xedge_model::atomic::{self, WriteError};

use super::{Agent, gc, heads, names, undo};
use crate::engine::Restart;
use crate::home::StackHome;
use crate::state::{Installed, Journal, StackState};
use crate::{Result, records};

/// Bytes that are kept free, so that an operation that began can be written to its end on a disk that fills up meanwhile.
const RESERVE: usize = 128 << 10;

/// Takes the reserve; on a disk without it nothing begins.
pub(super) fn take_reserve(home: &StackHome) -> Result<()> {
    // Not zeros, which some file systems keep for nothing.
    Ok(atomic::write(&reserve(home), &vec![0xa5; RESERVE], 0o600)?)
}

/// Gives the reserve back to whoever writes next.
pub(super) fn release_reserve(home: &StackHome) -> Result<()> {
    remove_file(&reserve(home))
}

fn reserve(home: &StackHome) -> camino::Utf8PathBuf {
    home.root().join("reserve")
}

/// After an operation that was taken back: its containers, images, folders and networks go, unless the state speaks of them.
pub(super) fn after_undo(agent: Agent<'_>, home: &StackHome, journal: &Journal, state: &StackState) {
    release_reserve(home).ok();
    sweep(agent, home, &stack_name(home)).ok();
    images(agent, journal.to.services.values().map(|placed| placed.image.as_str())).ok();
    // One that was loaded and not yet written down is known from the head alone.
    images(agent, heads::images(agent, &home.incoming()).iter().map(String::as_str)).ok();
    forget_head(home, journal);
    let needed: BTreeSet<&String> = releases(state).flat_map(|release| &release.networks).collect();
    for network in journal.to.networks.iter().filter(|network| !needed.contains(network)) {
        agent.engine.remove_network(network, &stack_name(home)).ok();
    }
    gc::folders(home, state).ok();
}

/// After a commit: what the journal lets go, and what was received for it.
pub(super) fn after_commit(agent: Agent<'_>, home: &StackHome, journal: &Journal) {
    release_reserve(home).ok();
    sweep(agent, home, &stack_name(home)).ok();
    images(agent, journal.drop.images.iter().map(String::as_str)).ok();
    for network in &journal.drop.networks {
        agent.engine.remove_network(network, &stack_name(home)).ok();
    }
    gc::folders(home, &journal.after).ok();
    forget_head(home, journal);
    gc::store(agent).ok();
}

/// Removes the head that was received for a release. That of the next one may have arrived meanwhile: it stays.
fn forget_head(home: &StackHome, journal: &Journal) {
    let same = |one: Vec<u8>| fs::read(home.head(journal.to.seq)).is_ok_and(|other| one == other);
    if journal.accept.is_some() && fs::read(home.incoming()).is_ok_and(same) {
        remove_file(&home.incoming()).ok();
    }
}

/// Removes containers of the stack that the state does not speak of: those of an operation that was cut short. They do not
/// run, and never start by themselves or have no name of their own, for Podman changes no policy; any other container was not
/// left behind by one, and is not touched.
pub(super) fn sweep(agent: Agent<'_>, home: &StackHome, stack: &str) -> Result<()> {
    let state = records::load_state(home)?;
    let kept = undo::kept(&state);
    for container in agent.engine.containers(Some(stack))? {
        let still = !container.running && !container.restarting;
        let left = container.restart == Restart::No || names::is_out_of_place(&container.name);
        if still && left && !kept.contains(container.id.as_str()) {
            agent.clock.step("sweep");
            agent.engine.remove(&container.id)?;
        }
    }
    Ok(())
}

/// Removes images that no stack's state speaks of.
pub(super) fn images<'a>(agent: Agent<'_>, ids: impl Iterator<Item = &'a str>) -> Result<()> {
    let mut needed = BTreeSet::new();
    for stack in records::stacks(agent.home)? {
        let state = records::load_state(&agent.stack(&stack))?;
        let placed = releases(&state).flat_map(|release| release.services.values());
        needed.extend(placed.map(|placed| placed.image.clone()));
    }
    for id in ids.filter(|id| !id.is_empty() && !needed.contains(*id)) {
        // One that cannot go, because somebody else's container uses it, does not keep the others.
        agent.engine.remove_image(id).ok();
    }
    Ok(())
}

/// The releases that a state speaks of.
pub(super) fn releases(state: &StackState) -> impl Iterator<Item = &Installed> {
    state.current.iter().chain(&state.previous)
}

/// The stack that a folder is of.
pub(super) fn stack_name(home: &StackHome) -> String {
    home.root().file_name().unwrap_or_default().to_owned()
}

/// Removes a file that may be gone already.
pub(super) fn remove_file(path: &Utf8Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(WriteError::new(path, error).into()),
        _ => Ok(()),
    }
}
