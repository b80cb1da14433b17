//! report.json. Its shape is versioned by `schema`.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};

use camino::Utf8Path;
use serde::Serialize;
use xedge_model::{Failure, atomic};

use crate::Error;
use crate::check::{Claim, Fault, NodeStats, Percentiles};
use crate::engine::EngineFacts;
use crate::link::LinkStats;
use crate::plan::RunPlan;
use crate::run::Resources;
use crate::run::outcome::{ContainerFacts, Honesty, Outcome, VirtualFacts};

/// Version of the shape; goes up when a field changes its meaning or goes away.
const SCHEMA: u32 = 1;

#[derive(Serialize)]
pub(super) struct Report<'a> {
    schema: u32,
    scenario: &'a str,
    run_id: &'a str,
    seed: u64,
    duration_us: u128,
    shortened: bool,
    verdict: &'a str,
    exit_code: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Results<'a>>,
}

#[derive(Serialize)]
struct Results<'a> {
    eligible_for_evidence: bool,
    honesty: Honesty,
    stimulus: &'a str,
    engine: &'a EngineFacts,
    containers: &'a [ContainerFacts],
    claims: &'a [Claim],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    links: &'a [LinkStats],
    send_lag: Option<&'a Percentiles>,
    ack_latency: Option<&'a Percentiles>,
    delivery_latency: Option<&'a Percentiles>,
    faults: &'a [Fault],
    resources: &'a BTreeMap<String, Resources>,
    #[serde(skip_serializing_if = "Option::is_none")]
    virtual_time: Option<&'a VirtualFacts>,
    nodes: &'a BTreeMap<String, NodeStats>,
    leftovers: &'a [String],
}

pub(super) fn of_outcome(outcome: &Outcome) -> Report<'_> {
    Report {
        schema: SCHEMA,
        scenario: outcome.scenario(),
        run_id: outcome.run_id(),
        seed: outcome.seed(),
        duration_us: outcome.duration().as_micros(),
        shortened: outcome.shortened(),
        verdict: outcome.verdict().word(),
        exit_code: outcome.verdict().class().map_or(0, xedge_model::Class::exit_code),
        error: None,
        result: Some(Results {
            eligible_for_evidence: outcome.eligible_for_evidence(),
            honesty: outcome.honesty(),
            stimulus: outcome.stimulus().as_str(),
            engine: outcome.engine(),
            containers: outcome.containers(),
            claims: outcome.claims(),
            links: outcome.links(),
            send_lag: outcome.send_lag(),
            ack_latency: outcome.ack_latency(),
            delivery_latency: outcome.delivery_latency(),
            faults: outcome.faults(),
            resources: outcome.resources(),
            virtual_time: outcome.virtual_time(),
            nodes: outcome.nodes(),
            leftovers: outcome.leftovers(),
        }),
    }
}

pub(super) fn of_error<'a>(plan: &'a RunPlan, error: &Error) -> Report<'a> {
    Report {
        schema: SCHEMA,
        scenario: &plan.scenario_name,
        run_id: &plan.run_id,
        seed: plan.seed,
        duration_us: plan.duration.as_micros(),
        shortened: plan.shortened,
        verdict: "error",
        exit_code: error.class().exit_code(),
        error: Some(chain(error)),
        result: None,
    }
}

/// An error with its causes.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |cause| cause.source())
        .fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Piece by piece: the counts of ten thousand nodes are long.
pub(super) fn write(folder: &Utf8Path, report: &Report<'_>) -> Result<(), Error> {
    let fill = |file: &mut std::fs::File| {
        let mut out = BufWriter::new(file);
        serde_json::to_writer_pretty(&mut out, report)?;
        out.write_all(b"\n")?;
        out.flush()
    };
    Ok(atomic::write_with(&folder.join("report.json"), 0o644, fill)?)
}
