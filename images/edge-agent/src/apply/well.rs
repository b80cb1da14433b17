//! Whether a release is well: a service after its start, and all of them for a while. Changes nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use xedge_wire::{Event, Health};

use super::probe::{self, Asked};
use super::{Agent, ApplyError, Events};
use crate::engine::Container;
use crate::home::StackHome;
use crate::state::{Checks, Installed, Placed};
use crate::{Error, Result};

/// Between two looks at a service that does not answer yet.
const PAUSE: Duration = Duration::from_millis(100);
/// Between two rounds while a release settles.
const ROUND: Duration = Duration::from_secs(1);
/// How often a service is asked before one missing answer counts, once it had answered.
const TRIES: u32 = 3;
/// How long a health check may take that we ask ourselves.
const ASKED: Duration = Duration::from_secs(5);
/// Lines of its log that a service leaves behind when it is not well.
const LOG_LINES: u32 = 20;
/// The longest of such lines that is shown, in characters.
const LOG_WIDTH: usize = 400;

/// The patience with a release, and where its secrets lie.
#[derive(Clone, Copy)]
pub(super) struct Doctor<'a> {
    pub(super) agent: Agent<'a>,
    pub(super) home: &'a StackHome,
    pub(super) checks: &'a Checks,
    /// The versions of the release's secrets.
    pub(super) secrets: &'a BTreeMap<String, u64>,
}

impl Doctor<'_> {
    /// Waits until a service that was just started is well. It ended, or did not answer in time: an error with its last words.
    pub(super) fn wait(&self, service: &str, placed: &Placed, events: &mut Events<'_>) -> Result<()> {
        let clock = self.agent.clock;
        let deadline = clock.monotonic() + Duration::from_secs(self.checks.start_s);
        let mut shown = String::new();
        loop {
            let missing = match self.look(service, placed)? {
                Ok(()) => return Ok(()),
                Err(Ill::ForGood(why)) => return Err(self.unwell(service, placed, why)),
                Err(Ill::NotYet(missing)) => missing,
            };
            if clock.monotonic() >= deadline {
                let why = format!("not well {} s after its start: {missing}", self.checks.start_s);
                return Err(self.unwell(service, placed, why));
            }
            if missing != shown {
                missing.clone_into(&mut shown);
                events(Event::Waiting { service: service.to_owned(), probe: missing });
            }
            clock.sleep(PAUSE);
        }
    }

    /// Watches everything for a while: all services must go on running, must not be started again, and must answer.
    pub(super) fn settle(&self, release: &Installed, events: &mut Events<'_>) -> Result<()> {
        let before = self.restarts(release)?;
        for left in (0..=self.checks.settle_s).rev() {
            events(Event::Settling { seconds: left });
            for (service, placed) in &release.services {
                self.insist(service, placed)?;
            }
            for ((service, placed), (was, is)) in
                release.services.iter().zip(before.iter().zip(self.restarts(release)?))
            {
                if is > *was {
                    let why = format!("it ended and was started again, {} times within seconds", is - was);
                    return Err(self.unwell(service, placed, why));
                }
            }
            if left > 0 {
                self.agent.clock.sleep(ROUND);
            }
        }
        Ok(())
    }

    fn restarts(&self, release: &Installed) -> Result<Vec<u64>> {
        let count = |placed: &Placed| {
            Ok(self.agent.engine.inspect(&placed.container)?.map_or(0, |container| container.restarts))
        };
        release.services.values().map(count).collect()
    }

    fn insist(&self, service: &str, placed: &Placed) -> Result<()> {
        let mut last = String::new();
        for attempt in 1..=TRIES {
            match self.look(service, placed)? {
                Ok(()) => return Ok(()),
                Err(Ill::ForGood(why)) => return Err(self.unwell(service, placed, why)),
                Err(Ill::NotYet(missing)) => last = missing,
            }
            if attempt < TRIES {
                self.agent.clock.sleep(ROUND / 2);
            }
        }
        Err(self.unwell(service, placed, format!("it was well and is no longer: {last}")))
    }

    /// One look at a service.
    pub(super) fn look(&self, service: &str, placed: &Placed) -> Result<Result<(), Ill>> {
        let Some(container) = self.agent.engine.inspect(&placed.container)? else {
            return Ok(Err(Ill::ForGood("its container is gone".to_owned())));
        };
        if let Some(ill) = ended(&container, placed.ends) {
            return Ok(Err(ill));
        }
        if placed.ends {
            return Ok(Ok(()));
        }
        match container.health {
            Health::None | Health::Healthy => {}
            // The Engine asks for the first time after a whole interval; nobody has to be away for that long.
            Health::Starting if self.passes(&container) => {}
            Health::Starting => {
                return Ok(Err(Ill::NotYet("its health check has not passed yet".to_owned())));
            }
            Health::Unhealthy => return Ok(Err(Ill::NotYet("its health check fails".to_owned()))),
        }
        let (home, secrets) = (self.home, self.secrets);
        let asked = Asked { container: &container, ports: &placed.ports, home, secrets };
        for check in self.checks.probes.iter().filter(|check| check.probe.service() == service) {
            if let Err(why) = probe::ask(self.agent.engine, &asked, check)? {
                return Ok(Err(Ill::NotYet(why)));
            }
        }
        Ok(Ok(()))
    }

    /// Whether its own health check passes now, asked once by us.
    fn passes(&self, container: &Container) -> bool {
        let asked = container
            .health_check
            .as_ref()
            .map(|command| self.agent.engine.exec(&container.id, command, ASKED));
        matches!(asked, Some(Ok(0)))
    }

    fn unwell(&self, service: &str, placed: &Placed, why: String) -> Error {
        ApplyError::Unwell {
            service: service.to_owned(),
            why,
            log: last_words(self.agent, &placed.container),
        }
        .into()
    }
}

/// What a service lacks.
pub(super) enum Ill {
    /// It may still come.
    NotYet(String),
    /// It will not.
    ForGood(String),
}

/// What is wrong with a container that does not run, or runs and should have ended.
fn ended(container: &Container, ends: bool) -> Option<Ill> {
    if container.running {
        return ends.then(|| Ill::NotYet("it has not ended yet".to_owned()));
    }
    if container.restarting {
        return Some(Ill::NotYet("it ended and is being started again".to_owned()));
    }
    if !container.error.is_empty() {
        return Some(Ill::ForGood(format!("the Engine could not start it: {}", container.error)));
    }
    if ends && container.exit_code == 0 {
        return None;
    }
    let memory = if container.oom_killed { ", killed because its memory was used up" } else { "" };
    Some(Ill::ForGood(format!("it ended with exit code {}{memory}", container.exit_code)))
}

/// The last lines of a container's log, printable; none where the Engine has none.
pub(super) fn last_words(agent: Agent<'_>, container: &str) -> Vec<String> {
    let mut bytes = Vec::new();
    // What the container did is the news; that its log cannot be read besides would only hide it.
    agent.engine.logs(container, LOG_LINES, false, &mut bytes).ok();
    let text = String::from_utf8_lossy(&bytes);
    let printable = |line: &str| line.chars().filter(|c| !c.is_control()).take(LOG_WIDTH).collect::<String>();
    text.lines().map(printable).collect()
}
