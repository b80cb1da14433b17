//! Keeps what was committed running: finishes what was cut short, starts what died and the Engine leaves lying, and says so.
//! It changes nothing else; a release that is not well stays for people to judge.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Agent, Recovered, recover, undo};
use crate::check;
use crate::engine::Restart;
use crate::records::{self, Lock};
use crate::state::{Operation, Placed};
use crate::{Error, Result, TrustStore};

/// How long a container that ended again waits for its next start, at first; each time twice as long.
const FIRST: Duration = Duration::from_secs(5);
/// The longest that it waits.
const LONGEST: Duration = Duration::from_mins(5);

/// The command for an Engine that has to forget what it holds.
const RESTART_ENGINE: &str = "restart it: `sudo systemctl restart docker`";

/// The containers that were started again lately, by their ids.
#[derive(Default)]
struct Memory(BTreeMap<String, Tries>);

/// How often a container was started again, and when last.
#[derive(Clone, Copy)]
struct Tries {
    count: u32,
    last: Duration,
}

impl Tries {
    /// How long it waits after its last start.
    fn pause(self) -> Duration {
        FIRST.saturating_mul(2_u32.saturating_pow(self.count.saturating_sub(1))).min(LONGEST)
    }
}

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
    let (mut before, mut memory): (Vec<Healed>, _) = (Vec::new(), Memory::default());
    while go_on() {
        let found =
            open().and_then(|mut trust| look(*agent, &mut trust, &mut memory)).unwrap_or_else(|error| {
                match error {
                    // Somebody is at work; whatever that is, it is watched when it is done.
                    Error::Busy { .. } => Vec::new(),
                    error => vec![Healed { stack: String::new(), what: in_words(&error) }],
                }
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
    look(*agent, trust, &mut Memory::default())
}

fn look(agent: Agent<'_>, trust: &mut TrustStore, memory: &mut Memory) -> Result<Vec<Healed>> {
    let _lock = Lock::take(agent.home, agent.clock, Duration::ZERO)?;
    *trust = TrustStore::open(agent.home)?;
    let mut healed = Vec::new();
    for stack in records::stacks(agent.home)? {
        let mut say = |what: String| healed.push(Healed { stack: stack.clone(), what });
        match recover::locked(agent, trust, &stack).and_then(|found| {
            recovered(&found).into_iter().for_each(&mut say);
            start_the_dead(agent, &stack, memory, &mut say)
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
fn start_the_dead(
    agent: Agent<'_>,
    stack: &str,
    memory: &mut Memory,
    say: &mut dyn FnMut(String),
) -> Result<()> {
    let Some(current) = records::load_state(&agent.stack(stack))?.current else { return Ok(()) };
    // In the order of their dependencies, as after a boot of a machine whose Engine starts nothing.
    let mut order: Vec<(&String, &Placed)> = current.services.iter().collect();
    order.sort_by_key(|(service, _)| current.order.iter().position(|name| name == *service));
    for (service, placed) in order {
        let Some(found) = agent.engine.inspect(&placed.container)? else {
            say(format!("the container of {service} is gone: deploy the release again"));
            continue;
        };
        let now = agent.clock.monotonic();
        let tries = memory.0.get(&placed.container).copied();
        if found.running || found.restarting || !must_run(placed, found.exit_code) {
            // One that has held out for as long again as it waited is well: the next end is the first.
            if tries.is_some_and(|tries| found.running && now > tries.last + 2 * tries.pause()) {
                memory.0.remove(&placed.container);
            }
            continue;
        }
        let count = tries.map_or(0, |tries| tries.count);
        if gave_up(placed, found.restarts.max(count.into())) {
            let (code, attempts) = (found.exit_code, placed.attempts);
            say(format!(
                "{service} ended with {code} and was started {attempts} times, as often as it may be: it is left alone"
            ));
            continue;
        }
        if tries.is_some_and(|tries| now < tries.last + tries.pause()) {
            continue;
        }
        memory.0.insert(placed.container.clone(), Tries { count: count.saturating_add(1), last: now });
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
            Some(why) => say(format!("{ended}, and cannot be started: {why}{}", way_out(agent, placed)?)),
        }
    }
    Ok(())
}

/// What a person can do about a start that the Engine refuses, where that is known. It is not done here: every container of the
/// device goes down with the Engine.
fn way_out(agent: Agent<'_>, placed: &Placed) -> Result<String> {
    let kept = check::kept_for_nobody(agent.machine, &agent.engine.published()?, &placed.ports);
    Ok(kept.map_or_else(String::new, |port| {
        format!(
            "; the Engine keeps port {port} for a container that does not run, as after a power cut: {RESTART_ENGINE}"
        )
    }))
}

fn must_run(placed: &Placed, exit_code: i64) -> bool {
    match placed.restart {
        Restart::No => false,
        Restart::Always | Restart::UnlessStopped => !placed.ends,
        Restart::OnFailure => !placed.ends && exit_code != 0,
    }
}

/// Whether it was started again as often as its policy lets anybody.
fn gave_up(placed: &Placed, restarts: u64) -> bool {
    placed.restart == Restart::OnFailure && placed.attempts > 0 && restarts >= placed.attempts.into()
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
