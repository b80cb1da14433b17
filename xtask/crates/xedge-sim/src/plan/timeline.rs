//! Whether the nodes of a timeline are in the run, and none is asked that it leaves down. The order of entries is the
//! scenario's matter. Pure.

use std::collections::BTreeMap;

use xedge_model::scenario::{Action, Expectation, TimelineEntry};

use super::RunPlan;

/// What is wrong with a plan's timeline.
pub(super) fn check(plan: &RunPlan) -> Result<(), String> {
    let mut entries: Vec<&TimelineEntry> = plan.timeline.iter().collect();
    entries.sort_by_key(|entry| entry.at.value);
    let mut down: BTreeMap<&str, bool> = BTreeMap::new();
    for entry in entries {
        let Some(node) = entry.action.node() else { continue };
        let id = node.value.as_str();
        if !plan.containers.iter().any(|c| c.node_id == id && !c.extras.completes) {
            return Err(format!("the timeline names {id}, which is no container of the run that stays up"));
        }
        down.insert(id, matches!(entry.action, Action::Kill { .. }));
    }
    down.retain(|_, is_down| *is_down);
    match plan.expectations.iter().find(|claim| asks_at_the_end(plan, claim, &down)) {
        Some(claim) => {
            Err(format!("`{claim}` asks a node at the end that the timeline leaves down: `start` it"))
        }
        None => Ok(()),
    }
}

fn asks_at_the_end(plan: &RunPlan, claim: &Expectation, down: &BTreeMap<&str, bool>) -> bool {
    match claim {
        Expectation::RetainedSurvivesRestart => {
            let broker = plan.broker().ok().flatten();
            broker.is_some_and(|broker| down.contains_key(broker.node_id.as_str()))
        }
        Expectation::ServiceHealthy(id) | Expectation::ServiceAnswers(id, _) => {
            down.contains_key(id.as_str())
        }
        _ => false,
    }
}
