//! A run in virtual time from plan to report: twice, compared, and without an engine where no container takes part.

use std::collections::BTreeMap;
use std::time::Instant;

use tokio::sync::watch;
use xedge_model::atomic;

use super::Progress;
use super::outcome::{Facts, Outcome, VirtualFacts};
use crate::check::Verdict;
use crate::engine::{EngineFacts, EngineKind};
use crate::lockstep::{Passage, VirtualPlan, answers, run_twice};
use crate::plan::{Place, RunPlan};
use crate::{Error, report};

/// Runs a plan in virtual time, twice. The report folder gets verdict, claims, counts, and what scripts printed. Sending
/// `true` through `cancel` ends the run, and every script, with [`Error::Interrupted`].
pub async fn run_virtual(
    plan: &RunPlan,
    place: &Place,
    progress: &(dyn Fn(Progress) + Send + Sync),
    mut cancel: watch::Receiver<bool>,
) -> Result<Outcome, Error> {
    let Some(timeless) = &plan.virtual_time else {
        return Err(Error::plan(&plan.scenario_name, "a part of it lives in real time"));
    };
    refuse_unanswered(plan)?;
    progress(Progress::Phase { name: "virtual time" });
    let begun = Instant::now();
    let folder = place.report.join("scripts");
    let passage = tokio::select! {
        passage = Box::pin(run_twice(timeless, &plan.expectations, &folder)) => passage,
        _ = cancel.wait_for(|cancelled| *cancelled) => Err(Error::Interrupted { run_id: plan.run_id.clone() }),
    };
    let took = begun.elapsed();
    match passage {
        Ok(passage) => {
            progress(Progress::Passed { virtual_time: timeless.duration, took });
            for (node, log) in &passage.logs {
                atomic::write(&place.report.join("logs").join(format!("{node}.log")), log.as_bytes(), 0o644)?;
            }
            let outcome = conclude(plan, timeless, passage);
            for claim in outcome.claims() {
                progress(Progress::Claim(claim.clone()));
            }
            report::outcome(&place.report, &outcome)?;
            Ok(outcome)
        }
        Err(error) => {
            if let Err(unreported) = report::error(&place.report, plan, &error) {
                progress(Progress::Warning(unreported.to_string()));
            }
            Err(error)
        }
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

fn conclude(plan: &RunPlan, timeless: &VirtualPlan, passage: Passage) -> Outcome {
    let Passage { trace, events, claims, nodes, links, latency, lost, in_flight, logs: _ } = passage;
    let engine = EngineFacts {
        kind: EngineKind::Virtual,
        name: "virtual time".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        api: String::new(),
        architecture: String::new(),
    };
    let facts = Facts {
        scenario: plan.scenario_name.clone(),
        run_id: plan.run_id.clone(),
        seed: timeless.seed,
        duration: timeless.duration,
        shortened: plan.shortened,
        kept: false,
        engine,
        containers: Vec::new(),
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
    Outcome { verdict: Verdict::over(&claims), claims, nodes, facts, leftovers: Vec::new() }
}
