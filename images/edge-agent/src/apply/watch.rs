//! Keeps what was committed running: finishes what was cut short, starts what died and the Engine leaves lying, and says so.
//! It changes nothing else; a release that is not well stays for people to judge.

use std::time::Duration;

use super::{Agent, Recovered, recover, undo};
use crate::engine::Restart;
use crate::records::{self, Lock};
use crate::state::{Operation, Placed};
use crate::{Error, Result, TrustStore};

/// Something that was found and mended, or could not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Healed {
    /// The stack; empty for the device itself.
    pub stack: String,
    /// What it was, for people.
    pub what: String,
}

/// Watches for ever, `pause` between two looks, until `go_on` says no; `say` takes what happens. The same trouble is said
/// once, until it is over.
pub fn watch(
    agent: &Agent<'_>,
    open: &dyn Fn() -> Result<TrustStore>,
    pause: Duration,
    go_on: &dyn Fn() -> bool,
    say: &mut dyn FnMut(&Healed),
) {
    let mut before: Vec<Healed> = Vec::new();
    while go_on() {
        let found =
            open().and_then(|mut trust| turn(agent, &mut trust)).unwrap_or_else(|error| match error {
                // Somebody is at work; whatever that is, it is watched when it is done.
                Error::Busy { .. } => Vec::new(),
                error => vec![Healed { stack: String::new(), what: in_words(&error) }],
            });
        for healed in found.iter().filter(|healed| !before.contains(healed)) {
            say(healed);
        }
        before = found;
        agent.clock.sleep(pause);
    }
}

/// One look at everything.
pub fn turn(agent: &Agent<'_>, trust: &mut TrustStore) -> Result<Vec<Healed>> {
    let agent = *agent;
    let _lock = Lock::take(agent.home, agent.clock, Duration::ZERO)?;
    *trust = TrustStore::open(agent.home)?;
    let mut healed = Vec::new();
    for stack in records::stacks(agent.home)? {
        let mut say = |what: String| healed.push(Healed { stack: stack.clone(), what });
        match recover::locked(agent, trust, &stack).and_then(|found| {
            recovered(&found).into_iter().for_each(&mut say);
            start_the_dead(agent, &stack, &mut say)
        }) {
            Ok(()) => {}
            Err(error) => say(in_words(&error)),
        }
    }
    Ok(healed)
}

fn recovered(found: &Recovered) -> Vec<String> {
    match found {
        Recovered::Nothing => Vec::new(),
        Recovered::Forgotten => {
            vec!["an installation that had not begun to change anything was forgotten".to_owned()]
        }
        Recovered::Back { seq, outcome } => {
            vec![format!("the change to release {seq} was cut short: {outcome}")]
        }
        Recovered::Finished { operation, seq, troubles } => {
            let first = match operation {
                Operation::Remove | Operation::Purge => {
                    "the removal was cut short, and is finished".to_owned()
                }
                _ => format!("the change to release {seq} was cut short, and is finished"),
            };
            std::iter::once(first).chain(troubles.iter().cloned()).collect()
        }
    }
}

/// Starts containers of the current release that lie still although they are to run.
fn start_the_dead(agent: Agent<'_>, stack: &str, say: &mut dyn FnMut(String)) -> Result<()> {
    let Some(current) = records::load_state(&agent.stack(stack))?.current else { return Ok(()) };
    // In the order of their dependencies, as after a boot of a machine whose Engine starts nothing.
    let mut order: Vec<(&String, &Placed)> = current.services.iter().collect();
    order.sort_by_key(|(service, _)| current.order.iter().position(|name| name == *service));
    for (service, placed) in order {
        let Some(found) = agent.engine.inspect(&placed.container)? else {
            say(format!("the container of {service} is gone: deploy the release again"));
            continue;
        };
        if found.running || found.restarting || !must_run(placed, found.exit_code) {
            continue;
        }
        if found.restart != placed.restart {
            agent.engine.set_restart(&placed.container, placed.restart)?;
        }
        let ended = if found.error.is_empty() {
            format!("{service} had ended with {}", found.exit_code)
        } else {
            format!("{service} had not been started: {}", found.error)
        };
        match undo::start(agent, placed)? {
            None => say(format!("{ended}, and was started again")),
            Some(why) => say(format!("{ended}, and cannot be started: {why}")),
        }
    }
    Ok(())
}

fn must_run(placed: &Placed, exit_code: i64) -> bool {
    match placed.restart {
        Restart::No => false,
        Restart::Always | Restart::UnlessStopped => !placed.ends,
        Restart::OnFailure => !placed.ends && exit_code != 0,
    }
}

fn in_words(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    text
}
