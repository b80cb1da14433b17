//! One container on its own: does it start, answer, stay up and stop. For platforms that are only emulated.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::Progress;
use super::guard::guarded;
use super::host::Host;
use super::outage::Outages;
use super::stage::Stage;
use crate::engine::Engine;
use crate::history::Recorder;
use crate::link::{Gates, Links};
use crate::plan::{ContainerPlan, Credentials, Limits, Place};
use crate::{Error, RunLock};

/// What to probe.
#[derive(Clone, Debug)]
pub struct ProbePlan {
    /// Unique id, as of a run.
    pub run_id: String,
    /// What is looked at.
    pub container: ContainerPlan,
    /// What it needs to work, started before it in this order: a gateway's broker, what a service depends on.
    pub beside: Vec<ContainerPlan>,
    /// Passwords by user.
    pub credentials: Credentials,
    /// How long it must stay up, and healthy, after its first answer.
    pub observe: Duration,
    /// How long things may take.
    pub limits: Limits,
}

/// A probe that succeeded.
#[derive(Clone, Debug)]
#[must_use]
pub struct ContainerProbe {
    answered: Duration,
    leftovers: Vec<String>,
}

impl ContainerProbe {
    /// From the order to make it to its first answer.
    pub fn answered(&self) -> Duration {
        self.answered
    }

    /// What could not be removed from the Engine; the next sweep tries again.
    pub fn leftovers(&self) -> &[String] {
        &self.leftovers
    }
}

/// Starts a container, waits for its first answer (CONNACK of a broker, health check of the rest, the end of one that is
/// to complete), watches it, stops it.
/// Everything is removed afterwards, whatever came of it.
pub async fn probe_container(
    engine: &Engine,
    plan: &ProbePlan,
    place: &Place,
    progress: &(dyn Fn(Progress) + Send + Sync),
    cancel: watch::Receiver<bool>,
) -> Result<ContainerProbe, Error> {
    let all: Vec<ContainerPlan> = plan.beside.iter().chain([&plan.container]).cloned().collect();
    for container in &all {
        let wrong =
            |message: String| Error::plan(&plan.run_id, format!("node {}: {message}", container.node_id));
        container.validate().map_err(wrong)?;
    }
    let lock = RunLock::take(&place.locks, &plan.run_id)?;
    let stage = Stage {
        engine: Host::new(engine),
        run_id: &plan.run_id,
        keep: false,
        limits: plan.limits,
        credentials: &plan.credentials,
        links: Links::default(),
        gates: Gates::default(),
        recorder: Recorder::new(Instant::now()),
        progress,
        labels: Stage::labels(&plan.run_id, false, place, &lock),
        published: 1,
        outages: Outages::default(),
    };
    let (result, aftermath) = guarded(&stage, &all, cancel, observe(&stage, plan, &all)).await;
    drop(lock);
    Ok(ContainerProbe { answered: result?, leftovers: aftermath.leftovers })
}

async fn observe(stage: &Stage<'_>, plan: &ProbePlan, all: &[ContainerPlan]) -> Result<Duration, Error> {
    stage.open(all).await?;
    for container in &plan.beside {
        stage.run(container).await?;
    }
    let begun = Instant::now();
    stage.run(&plan.container).await?;
    let answered = begun.elapsed();
    if plan.container.extras.completes {
        return Ok(answered);
    }
    tokio::select! {
        () = sleep(plan.observe) => {}
        error = stage.watch(all) => return Err(error),
    }
    stage.all_up(all).await?;
    stage.ready(&plan.container).await?;
    Ok(answered)
}
