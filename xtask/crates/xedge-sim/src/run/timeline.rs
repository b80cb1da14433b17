//! The timeline of a run: what is done to nodes and links at which time, and what was seen of it. It judges nothing: what
//! it sees goes into the history.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use xedge_model::scenario::{Action, Direction, Role, Signal, TimelineEntry};

use super::Progress;
use super::stage::Stage;
use crate::Error;
use crate::engine::Status;
use crate::history::{Kind, Step};
use crate::link::{LinkControl, LinkStats};
use crate::plan::{ContainerPlan, RunPlan};

/// Pause between two looks at a container that is ending.
const LOOK: Duration = Duration::from_millis(20);
/// How long a killed container has to be gone.
const GONE: Duration = Duration::from_secs(10);

/// What carries the timeline out.
pub(super) struct Timeline<'a> {
    pub(super) stage: &'a Stage<'a>,
    pub(super) plan: &'a RunPlan,
    /// Where models learn the broker's address.
    pub(super) addresses: watch::Sender<Vec<SocketAddr>>,
}

impl Timeline<'_> {
    /// Carries out every entry that is due before the publishing phase ends, and returns once the last one is over.
    pub(super) async fn run(&self, start: Instant) -> Result<(), Error> {
        let due = self.plan.timeline.iter().enumerate();
        let due = due.filter(|(_, entry)| entry.at.value.0 < self.plan.duration);
        try_join_all(due.map(|(number, entry)| self.entry(number, entry, start))).await.map(drop)
    }

    async fn entry(&self, number: usize, entry: &TimelineEntry, start: Instant) -> Result<(), Error> {
        let planned = start + entry.at.value.0;
        sleep_until(planned).await;
        let deed = Deed { timeline: self, number, target: Arc::from(target(&entry.action)) };
        deed.note(Step::Ordered {
            action: entry.action.to_string(),
            planned_us: self.stage.recorder.micros(planned),
        });
        deed.carry_out(&entry.action).await?;
        deed.note(Step::Over);
        Ok(())
    }
}

fn target(action: &Action) -> &str {
    action.node().or(action.link()).map_or("", |target| target.value.as_str())
}

/// One entry that is being carried out.
struct Deed<'a> {
    timeline: &'a Timeline<'a>,
    number: usize,
    target: Arc<str>,
}

impl Deed<'_> {
    fn note(&self, step: Step) {
        let seen = match &step {
            Step::Ordered { action, .. } => Some(action.clone()),
            Step::Gone { .. } => Some(format!("{} is gone", self.target)),
            Step::Held => Some(format!("{} is held", self.target)),
            Step::Cut { connections } => {
                Some(format!("{connections} connections of {} are cut off", self.target))
            }
            Step::Ready => Some(format!("{} is ready again", self.target)),
            _ => None,
        };
        if let Some(what) = seen {
            (self.timeline.stage.progress)(Progress::Fault { what });
        }
        self.timeline.stage.recorder.record(&self.target, Kind::Fault { entry: self.number, step });
    }

    fn node(&self) -> Result<&ContainerPlan, Error> {
        let plan = self.timeline.plan;
        let found = plan.containers.iter().find(|container| container.node_id == *self.target);
        found.ok_or_else(|| self.unknown("which is no container of the run"))
    }

    fn link(&self) -> Result<LinkControl, Error> {
        let found = self.timeline.stage.links.control(&self.target);
        found.ok_or_else(|| self.unknown("which is no link of the run"))
    }

    fn unknown(&self, why: &str) -> Error {
        let scenario = &self.timeline.plan.scenario_name;
        Error::plan(scenario, format!("the timeline names {}, {why}", self.target))
    }

    async fn carry_out(&self, action: &Action) -> Result<(), Error> {
        match action {
            Action::Kill { signal, .. } => self.kill(self.node()?, *signal).await.map(drop),
            Action::Start { .. } => self.start(self.node()?).await,
            Action::Restart { down_for, signal, .. } => {
                let node = self.node()?;
                if self.kill(node, *signal).await? {
                    sleep(down_for.0).await;
                    self.start(node).await?;
                }
                Ok(())
            }
            Action::Pause { for_, .. } => self.pause(self.node()?, for_.0).await,
            Action::Partition { for_, direction, .. } => {
                self.partition(&self.link()?, for_.0, *direction).await;
                Ok(())
            }
            Action::Reset { .. } => {
                self.reset(&self.link()?);
                Ok(())
            }
        }
    }

    /// Whether it is gone.
    async fn kill(&self, node: &ContainerPlan, signal: Signal) -> Result<bool, Error> {
        let stage = self.timeline.stage;
        stage.up(node, "before the timeline could end it").await?;
        stage.outages.begin(&node.node_id);
        stage.engine.kill(&stage.name(&node.node_id), signal.as_str()).await?;
        let patience = if signal == Signal::Kill { GONE } else { GONE.max(node.stop_grace) };
        let gone = self.wait(node, patience, |status| !status.running).await?;
        if let Some(status) = &gone {
            self.note(Step::Gone { code: status.exit_code });
        } else {
            let (signal, waited) = (signal.as_str(), patience.as_secs());
            self.note(Step::NoEffect { reason: format!("it still ran {waited} s after SIG{signal}") });
            stage.outages.end(&node.node_id);
        }
        Ok(gone.is_some())
    }

    async fn start(&self, node: &ContainerPlan) -> Result<(), Error> {
        let stage = self.timeline.stage;
        stage.start(node).await?;
        self.note(Step::Started);
        self.tell_address(node).await?;
        self.ready(node).await
    }

    async fn ready(&self, node: &ContainerPlan) -> Result<(), Error> {
        self.timeline.stage.ready(node).await?;
        self.timeline.stage.outages.end(&node.node_id);
        self.note(Step::Ready);
        Ok(())
    }

    /// A broker that was started again has other ports on this machine.
    async fn tell_address(&self, node: &ContainerPlan) -> Result<(), Error> {
        if node.role == Role::Broker {
            let addresses = self.timeline.stage.addresses(node).await?;
            if !addresses.is_empty() {
                self.timeline.addresses.send_replace(addresses);
            }
        }
        Ok(())
    }

    async fn pause(&self, node: &ContainerPlan, time: Duration) -> Result<(), Error> {
        let stage = self.timeline.stage;
        let name = stage.name(&node.node_id);
        stage.up(node, "before the timeline could pause it").await?;
        stage.outages.begin(&node.node_id);
        stage.engine.pause(&name).await?;
        if self.wait(node, GONE, |status| status.paused).await?.is_some() {
            self.note(Step::Held);
        } else {
            self.note(Step::NoEffect { reason: "its processes were not held".to_owned() });
        }
        sleep(time).await;
        stage.engine.unpause(&name).await?;
        self.note(Step::Released);
        self.ready(node).await
    }

    /// A partition that held nothing back, and kept nobody out, would prove nothing.
    async fn partition(&self, link: &LinkControl, time: Duration, direction: Direction) {
        let before = held(&link.stats());
        let was_whole = link.partition(direction);
        self.note(Step::Cut { connections: link.connections() as u64 });
        sleep(time).await;
        let pieces = held(&link.stats()) - before;
        link.heal();
        self.note(Step::Healed { pieces });
        if !was_whole {
            self.note(Step::NoEffect { reason: "it was cut already".to_owned() });
        } else if pieces == 0 {
            self.note(Step::NoEffect { reason: "nothing wanted to get through it meanwhile".to_owned() });
        }
    }

    fn reset(&self, link: &LinkControl) {
        let connections = link.reset() as u64;
        self.note(Step::Cut { connections });
        if connections == 0 {
            self.note(Step::NoEffect { reason: "no connection took it at that moment".to_owned() });
        }
        self.note(Step::Healed { pieces: 0 });
    }

    /// The first state of a node that is as wanted; `None` if there is none in time.
    async fn wait(
        &self,
        node: &ContainerPlan,
        limit: Duration,
        wanted: impl Fn(&Status) -> bool,
    ) -> Result<Option<Status>, Error> {
        let stage = self.timeline.stage;
        let end = Instant::now() + limit;
        loop {
            let status = stage.engine.inspect(&stage.name(&node.node_id)).await?;
            if wanted(&status) {
                return Ok(Some(status));
            }
            if Instant::now() >= end {
                return Ok(None);
            }
            sleep(LOOK).await;
        }
    }
}

/// Pieces that partitions of a link held back.
fn held(stats: &LinkStats) -> u64 {
    stats.up.passed.held + stats.down.passed.held
}
