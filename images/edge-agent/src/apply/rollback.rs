//! Back to the release before, whose containers are kept: an ordinary change with its journal, its probes and its own way
//! back. What was accepted stays accepted; only a data floor forbids it.

use std::collections::BTreeMap;

use xedge_bundle::{Code, Refusal, member};
use xedge_wire::{Applied, Event};

use super::{Agent, ApplyError, Events, PATIENCE, bring, recover, tidy};
use crate::records::{self, Lock};
use crate::state::{Drop, Installed, Journal, Operation, Phase, StackState};
use crate::{Result, TrustStore};

/// Brings the release before back. The one that runs is kept in its place, so that the way forward is open as well.
pub fn rollback(
    agent: &Agent<'_>,
    trust: &mut TrustStore,
    stack: &str,
    events: &mut Events<'_>,
) -> Result<Applied> {
    let agent = *agent;
    let _lock = Lock::take(agent.home, agent.clock, PATIENCE)?;
    // Somebody else may have accepted a release since it was read.
    *trust = TrustStore::open(agent.home)?;
    let _cut_short = recover::locked(agent, trust, stack)?;
    events(Event::Checking);
    let home = agent.stack(stack);
    let state = records::load_state(&home)?;
    let no = || stack.to_owned();
    let from = state.current.clone().ok_or_else(|| ApplyError::NotInstalled { stack: no() })?;
    let to = state.previous.clone().ok_or_else(|| ApplyError::NoPrevious { stack: no() })?;
    check_data(&to, trust.data_floor(stack))?;
    let changing = changing(agent, &from, &to)?;
    let kept: Vec<String> =
        to.services.keys().filter(|service| !changing.contains(service)).cloned().collect();
    for service in &kept {
        events(Event::Keeping { service: service.clone() });
    }
    let to = Installed { since: agent.clock.unix(), ..to };
    let after = StackState { current: Some(to.clone()), previous: Some(from.clone()), ..state };
    let mut journal = Journal {
        operation: Operation::Rollback,
        phase: Phase::Switching,
        from: Some(from),
        to,
        changing,
        after: Box::new(after),
        drop: Drop::default(),
        accept: None,
    };
    agent.clock.step("begin");
    tidy::take_reserve(&home)?;
    agent.clock.step("reserved");
    records::save_journal(&home, &journal)?;
    let changed: BTreeMap<String, u64> = bring::run(agent, trust, &home, &mut journal, events)?;
    let (seq, version) = (journal.to.seq, journal.to.version);
    Ok(Applied { stack: stack.to_owned(), seq, version, changed, kept, unchanged: false })
}

fn check_data(to: &Installed, floor: u64) -> Result<()> {
    if to.data_version >= floor {
        return Ok(());
    }
    let reason = format!(
        "release {} reads data of version {}, and what is there needs at least {floor}",
        to.seq, to.data_version
    );
    Err(Refusal { code: Code::DataFloor, member: member::BUNDLE.to_owned(), reason }.into())
}

/// Services whose container differs: those that go first, then the others in their order.
fn changing(agent: Agent<'_>, from: &Installed, to: &Installed) -> Result<Vec<String>> {
    let container = |release: &Installed, service: &str| {
        release.services.get(service).map(|placed| placed.container.clone())
    };
    let gone = from.services.keys().filter(|service| !to.services.contains_key(*service));
    let mut changing: Vec<String> = gone.cloned().collect();
    let order = to.order.iter().filter(|service| to.services.contains_key(*service));
    let rest = to.services.keys().filter(|service| !to.order.contains(service));
    for service in order.chain(rest) {
        if container(from, service) == container(to, service) {
            continue;
        }
        let placed = &to.services[service];
        if agent.engine.inspect(&placed.container)?.is_none() {
            return Err(ApplyError::Gone { service: service.clone(), seq: to.seq }.into());
        }
        changing.push(service.clone());
    }
    Ok(changing)
}
