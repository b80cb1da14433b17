//! In which order containers are started: each after what it needs. Pure.

use std::collections::BTreeSet;

use xedge_model::scenario::Role;

use super::ContainerPlan;

/// The order of starts: what a container needs comes before it, else brokers come first and then the given order counts.
/// Those that need something that is not there, or each other, are the error.
pub(crate) fn start_order(plans: &[ContainerPlan]) -> Result<Vec<&ContainerPlan>, Vec<&ContainerPlan>> {
    let (brokers, others): (Vec<_>, Vec<_>) = plans.iter().partition(|plan| plan.role == Role::Broker);
    let mut left: Vec<&ContainerPlan> = brokers.into_iter().chain(others).collect();
    let (mut ordered, mut placed) = (Vec::new(), BTreeSet::new());
    while !left.is_empty() {
        let free =
            |plan: &&ContainerPlan| plan.extras.needs.keys().all(|need| placed.contains(need.as_str()));
        let Some(next) = left.iter().position(free) else { return Err(left) };
        let next = left.remove(next);
        placed.insert(next.node_id.as_str());
        ordered.push(next);
    }
    Ok(ordered)
}
