//! Whether a timeline can be carried out: what is started is down by then, what is killed is not. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use xedge_model::scenario::{Action, Expectation, TimelineEntry};

use super::RunPlan;

/// A node as the timeline has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    /// It runs from this moment on.
    Up(Duration),
    /// It was killed.
    Down,
}

/// What is wrong with a plan's timeline.
pub(super) fn check(plan: &RunPlan) -> Result<(), String> {
    let mut nodes: BTreeMap<&str, Node> = BTreeMap::new();
    let mut entries: Vec<&TimelineEntry> = plan.timeline.iter().collect();
    entries.sort_by_key(|entry| entry.at.value);
    for entry in entries {
        let Some(target) = entry.action.node() else { continue };
        let id = target.value.as_str();
        let runs = plan.containers.iter().any(|c| c.node_id == id && !c.extras.completes);
        if !runs {
            return Err(format!("the timeline names {id}, which is no container of the run that stays up"));
        }
        let node = nodes.entry(id).or_insert(Node::Up(Duration::ZERO));
        *node = next(*node, entry)
            .map_err(|why| format!("`{}` at {}: {id} {why}", entry.action, entry.at.value))?;
    }
    let down: Vec<&str> =
        nodes.into_iter().filter(|(_, node)| *node == Node::Down).map(|(id, _)| id).collect();
    match plan.expectations.iter().find(|claim| asks_at_the_end(plan, claim, &down)) {
        Some(claim) => {
            Err(format!("`{claim}` asks a node at the end that the timeline leaves down: start it again"))
        }
        None => Ok(()),
    }
}

/// The state after an entry, or why it cannot be carried out.
fn next(node: Node, entry: &TimelineEntry) -> Result<Node, &'static str> {
    let at = entry.at.value.0;
    match (&entry.action, node) {
        (Action::Start { .. }, Node::Down) => Ok(Node::Up(at)),
        (Action::Start { .. }, Node::Up(_)) => Err("is not down then: `kill` it before"),
        (_, Node::Down) => Err("is down then: `start` it before"),
        (_, Node::Up(since)) if at < since => Err("is still in the hands of an earlier entry"),
        (Action::Kill { .. }, Node::Up(_)) => Ok(Node::Down),
        (action, Node::Up(_)) => Ok(Node::Up(at + action.lasts().map_or(Duration::ZERO, |span| span.0))),
    }
}

fn asks_at_the_end(plan: &RunPlan, claim: &Expectation, down: &[&str]) -> bool {
    let broker =
        || plan.broker().ok().flatten().is_some_and(|broker| down.contains(&broker.node_id.as_str()));
    match claim {
        Expectation::RetainedSurvivesRestart => broker(),
        Expectation::ServiceHealthy(id) | Expectation::ServiceAnswers(id, _) => down.contains(&id.as_str()),
        _ => false,
    }
}
