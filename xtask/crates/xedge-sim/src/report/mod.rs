//! A run's report folder: report.json (the truth), junit.xml, history.jsonl, nodes/*.csv, logs/*.log. The same run gives the
//! same bytes; nothing here decides anything.

mod csv;
mod json;
mod junit;

use std::collections::BTreeMap;

use camino::Utf8Path;
use xedge_model::atomic;

use crate::Error;
use crate::history::{self, History};
use crate::plan::RunPlan;
use crate::run::outcome::Outcome;

/// Writes what was recorded: history, one CSV a group of nodes, logs. Also of runs that ended with an error.
pub(crate) fn raw(
    folder: &Utf8Path,
    plan: &RunPlan,
    history: &History,
    logs: &BTreeMap<String, String>,
) -> Result<(), Error> {
    history::write(&folder.join("history.jsonl"), history)?;
    csv::write(&folder.join("nodes"), plan, history)?;
    for (node, log) in logs {
        atomic::write(&folder.join("logs").join(format!("{node}.log")), log.as_bytes(), 0o644)?;
    }
    Ok(())
}

/// Writes verdict and claims.
pub(crate) fn outcome(folder: &Utf8Path, outcome: &Outcome) -> Result<(), Error> {
    json::write(folder, &json::of_outcome(outcome))?;
    junit::write(folder, &junit::of_outcome(outcome))
}

/// Writes the error that ended a run.
pub(crate) fn error(folder: &Utf8Path, plan: &RunPlan, error: &Error) -> Result<(), Error> {
    json::write(folder, &json::of_error(plan, error))?;
    junit::write(folder, &junit::of_error(plan, error))
}

#[cfg(test)]
mod tests;
