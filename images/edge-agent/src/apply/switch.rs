//! The change itself: old containers out of their places, new ones in, one service after the other, and a look at each. An
//! error leaves everything as it is at that moment; taking it back is [`super::undo`]'s.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use xedge_wire::Event;

use super::well::Doctor;
use super::{ApplyError, Events, names};
use crate::engine::Restart;
use crate::state::{Installed, Journal, Placed};
use crate::{Error, Result};

/// Switches every service that changes. Gives the milliseconds for which each was away.
pub(super) fn switch(
    doctor: &Doctor<'_>,
    journal: &Journal,
    events: &mut Events<'_>,
) -> Result<BTreeMap<String, u64>> {
    let clock = doctor.agent.clock;
    let mut stopped: BTreeMap<String, Duration> = BTreeMap::new();
    let mut away = BTreeMap::new();
    for service in &journal.changing {
        events(Event::Switching { service: service.clone() });
        for leaving in in_the_way(journal, service, &stopped.keys().cloned().collect()) {
            stopped.insert(leaving.clone(), clock.monotonic());
            put_aside(doctor, journal, &leaving)?;
        }
        let Some(placed) = journal.to.services.get(service) else { continue };
        let begin = stopped.get(service).copied().unwrap_or_else(|| clock.monotonic());
        put_in_place(doctor, service, placed)?;
        doctor.wait(service, placed, events)?;
        let after = clock.monotonic().saturating_sub(begin);
        let after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        events(Event::Healthy { service: service.clone(), after_ms });
        away.insert(service.clone(), after_ms);
    }
    Ok(away)
}

/// Old services that must leave before this one can come: itself, and whoever changes too and has its name or a port.
fn in_the_way(journal: &Journal, service: &str, stopped: &BTreeSet<String>) -> Vec<String> {
    let Some(from) = &journal.from else { return Vec::new() };
    let new = journal.to.services.get(service);
    let blocks = |name: &String, old: &Placed| {
        name == service || new.is_some_and(|new| new.name == old.name || share_a_port(new, old))
    };
    let leaving = journal.changing.iter().filter(|name| !stopped.contains(*name));
    leaving.filter(|name| from.services.get(*name).is_some_and(|old| blocks(name, old))).cloned().collect()
}

fn share_a_port(one: &Placed, other: &Placed) -> bool {
    let same = |port: &crate::engine::PortSpec| {
        other.ports.iter().any(|taken| taken.host == port.host && taken.protocol == port.protocol)
    };
    one.ports.iter().filter(|port| port.host != 0).any(same)
}

/// Takes an old container out of its place. Its restart policy goes first, so that no boot starts it beside the new one.
fn put_aside(doctor: &Doctor<'_>, journal: &Journal, service: &str) -> Result<()> {
    let agent = doctor.agent;
    let from: &Installed = journal.from.as_ref().expect("only services of `from` leave");
    let old = &from.services[service];
    agent.clock.step("old-policy");
    agent.engine.set_restart(&old.container, Restart::No)?;
    agent.clock.step("old-stop");
    agent.engine.stop(&old.container, Duration::from_secs(old.stop_grace_s))?;
    agent.clock.step("old-rename");
    let aside = names::aside(agent.engine, &old.name, from.seq, &old.container)?;
    agent.engine.rename(&old.container, &aside)
}

fn put_in_place(doctor: &Doctor<'_>, service: &str, placed: &Placed) -> Result<()> {
    let agent = doctor.agent;
    agent.clock.step("new-rename");
    agent.engine.rename(&placed.container, &placed.name)?;
    agent.clock.step("new-start");
    match agent.engine.start(&placed.container) {
        // An Engine that answers otherwise has refused this container; one that does not is the reason itself.
        Err(Error::Engine { reason, .. }) if agent.engine.inspect(&placed.container).is_ok() => {
            let why = format!("the Engine could not start it: {reason}");
            Err(ApplyError::Unwell { service: service.to_owned(), why, log: Vec::new() }.into())
        }
        other => other,
    }?;
    agent.clock.step("new-started");
    Ok(())
}
