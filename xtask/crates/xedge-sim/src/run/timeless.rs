//! A run in virtual time from plan to report: twice, compared, and without an engine where no container takes part. What
//! time is in it, [`crate::lockstep`] decides.

use std::collections::BTreeMap;
use std::time::Instant;

use tokio::sync::watch;
use xedge_model::atomic;

use super::guard::guarded;
use super::outcome::{ContainerFacts, Facts, Outcome, VirtualFacts};
use super::stage::Stage;
use super::{Progress, stage, start};
use crate::check::Verdict;
use crate::engine::{Engine, EngineFacts, EngineKind};
use crate::history::Recorder;
use crate::lockstep::{Passage, Surroundings, VirtualPlan, answers, run_twice};
use crate::plan::{ContainerPlan, Place, RunPlan, redact};
use crate::{Error, RunLock, report};

/// Runs a plan in virtual time, twice. The report folder gets verdict, claims, counts, and what scripts printed. Sending
/// `true` through `cancel` ends the run, and every script and container, with [`Error::Interrupted`].
///
/// The engine is asked for where lockstep containers take part.
pub async fn run_virtual(
    engine: Option<&Engine>,
    plan: &RunPlan,
    place: &Place,
    progress: &(dyn Fn(Progress) + Send + Sync),
    cancel: watch::Receiver<bool>,
) -> Result<Outcome, Error> {
    let Some(timeless) = &plan.virtual_time else {
        return Err(Error::plan(&plan.scenario_name, "a part of it lives in real time"));
    };
    refuse_unanswered(plan)?;
    let run = Timeless { plan, virtual_plan: timeless, place, progress };
    let result = match engine.filter(|_| !plan.containers.is_empty()) {
        Some(engine) => run.with_containers(engine, cancel).await,
        None => run.alone(cancel).await,
    };
    let reported = match &result {
        Ok(outcome) => {
            outcome.claims().iter().for_each(|claim| progress(Progress::Claim(claim.clone())));
            report::outcome(&place.report, outcome)
        }
        Err(error) => report::error(&place.report, plan, error),
    };
    match (result, reported) {
        (Ok(_), Err(unreported)) => Err(unreported),
        (Err(error), Err(unreported)) => {
            progress(Progress::Warning(unreported.to_string()));
            Err(error)
        }
        (result, Ok(())) => result,
    }
}

struct Timeless<'a> {
    plan: &'a RunPlan,
    virtual_plan: &'a VirtualPlan,
    place: &'a Place,
    progress: &'a (dyn Fn(Progress) + Send + Sync),
}

impl Timeless<'_> {
    async fn alone(&self, mut cancel: watch::Receiver<bool>) -> Result<Outcome, Error> {
        let around = PASSES.map(|pass| self.around(pass, None));
        let passage = tokio::select! {
            passage = Box::pin(self.passage(around)) => passage?,
            _ = cancel.wait_for(|cancelled| *cancelled) => {
                return Err(Error::Interrupted { run_id: self.plan.run_id.clone() });
            }
        };
        Ok(conclude(self.plan, self.virtual_plan, passage, Ground::none()))
    }

    /// Each pass has containers of its own, so that nothing is left in the second from the first.
    async fn with_containers(
        &self,
        engine: &Engine,
        cancel: watch::Receiver<bool>,
    ) -> Result<Outcome, Error> {
        let lock = RunLock::take(&self.place.locks, &self.plan.run_id)?;
        let stage = stage(
            engine,
            self.plan,
            self.place,
            &lock,
            Recorder::new(tokio::time::Instant::now()),
            self.progress,
        );
        let again = self
            .plan
            .containers
            .iter()
            .map(|container| ContainerPlan { node_id: twin(&container.node_id), ..container.clone() });
        let all: Vec<ContainerPlan> = self.plan.containers.iter().cloned().chain(again).collect();
        for container in &all {
            let wrong = |message| Error::plan(&container.node_id, message);
            container.validate().map_err(wrong)?;
        }
        let body = Box::pin(async {
            stage.open(&all).await?;
            let facts = start::all(&stage, &all).await?;
            let passage = self.passage(PASSES.map(|pass| self.around(pass, Some(&stage)))).await?;
            Ok((facts, passage))
        });
        let (measured, aftermath) = guarded(&stage, &all, cancel, body).await;
        for (node, log) in aftermath.logs.iter().filter(|(_, log)| !log.is_empty()) {
            self.write_log(&format!("{node}.main"), log)?;
        }
        let (mut containers, passage) = measured?;
        containers.retain(|container| self.plan.containers.iter().any(|plan| plan.node_id == container.node));
        let ground = Ground { engine: engine.facts().clone(), containers, leftovers: aftermath.leftovers };
        Ok(conclude(self.plan, self.virtual_plan, passage, ground))
    }

    fn around(&self, pass: &str, stage: Option<&Stage<'_>>) -> Surroundings {
        let id = |node: &String| if pass == PASSES[0] { node.clone() } else { twin(node) };
        let containers = self.plan.containers.iter().map(|container| &container.node_id);
        Surroundings {
            folder: self.place.report.join("scripts").join(pass),
            engine: stage.map(|stage| stage.engine.clone()),
            containers: stage.map_or_else(BTreeMap::new, |stage| {
                containers.map(|node| (node.clone(), stage.name(&id(node)))).collect()
            }),
        }
    }

    async fn passage(&self, around: [Surroundings; 2]) -> Result<Passage, Error> {
        (self.progress)(Progress::Phase { name: "virtual time" });
        let begun = Instant::now();
        let passage = run_twice(self.virtual_plan, &self.plan.expectations, around).await?;
        (self.progress)(Progress::Passed { virtual_time: self.virtual_plan.duration, took: begun.elapsed() });
        for (node, log) in &passage.logs {
            self.write_log(node, log)?;
        }
        Ok(passage)
    }

    fn write_log(&self, name: &str, log: &str) -> Result<(), Error> {
        let log = redact(log, &self.plan.credentials);
        Ok(atomic::write(&self.place.report.join("logs").join(format!("{name}.log")), log.as_bytes(), 0o644)?)
    }
}

/// Names of the two passes.
const PASSES: [&str; 2] = ["first", "second"];

/// The container of a node in the second pass.
fn twin(node: &str) -> String {
    format!("{node}.again")
}

/// What a run stood on.
struct Ground {
    engine: EngineFacts,
    containers: Vec<ContainerFacts>,
    leftovers: Vec<String>,
}

impl Ground {
    fn none() -> Self {
        let engine = EngineFacts {
            kind: EngineKind::Virtual,
            name: "virtual time".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            api: String::new(),
            architecture: String::new(),
        };
        Self { engine, containers: Vec::new(), leftovers: Vec::new() }
    }
}

/// A claim that virtual time cannot answer must not be passed over.
fn refuse_unanswered(plan: &RunPlan) -> Result<(), Error> {
    let wrong = |message: String| Err(Error::plan(&plan.scenario_name, message));
    if plan.expectations.is_empty() {
        return wrong("it claims nothing".to_owned());
    }
    match plan.expectations.iter().find(|expectation| !answers(expectation)) {
        Some(expectation) => wrong(format!(
            "`{expectation}` is about what runs in real time, and all of this scenario runs in virtual time"
        )),
        None => Ok(()),
    }
}

fn conclude(plan: &RunPlan, timeless: &VirtualPlan, passage: Passage, ground: Ground) -> Outcome {
    let Passage { trace, events, claims, nodes, links, latency, lost, in_flight, logs: _ } = passage;
    let facts = Facts {
        scenario: plan.scenario_name.clone(),
        run_id: plan.run_id.clone(),
        seed: timeless.seed,
        duration: timeless.duration,
        shortened: plan.shortened,
        kept: plan.keep,
        engine: ground.engine,
        containers: ground.containers,
        // What links did in virtual time is counted in messages, not connections.
        links: Vec::new(),
        stimulus: trace.clone(),
        send_lag: None,
        ack_latency: None,
        delivery_latency: latency,
        faults: Vec::new(),
        resources: BTreeMap::new(),
        virtual_time: Some(VirtualFacts { trace, events, lost, in_flight, links }),
    };
    Outcome { verdict: Verdict::over(&claims), claims, nodes, facts, leftovers: ground.leftovers }
}
