//! The start of a run's containers: each once those that it needs are in the state that it asks for.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::try_join_all;
use tokio::time::Instant;
use xedge_model::scenario::Role;

use super::outcome::ContainerFacts;
use super::stage::Stage;
use crate::Error;
use crate::plan::{ContainerPlan, Need, start_order};

/// Starts all containers and waits until each answers, or has completed where it is to.
pub(super) async fn all(stage: &Stage<'_>, plans: &[ContainerPlan]) -> Result<Vec<ContainerFacts>, Error> {
    let order = start_order(plans).map_err(|_| {
        Error::plan(stage.run_id, "its containers wait for each other, or for none of the run")
    })?;
    let mut begun: BTreeMap<&str, (&ContainerPlan, Instant)> = BTreeMap::new();
    let (mut settled, mut facts) = (BTreeSet::new(), Vec::new());
    for plan in order {
        for (other, need) in &plan.extras.needs {
            let (other, at) = begun[other.as_str()];
            if *need != Need::Started && settled.insert(other.node_id.as_str()) {
                stage.settle(other, at).await?;
            }
        }
        let (fact, at) = stage.launch(plan).await?;
        facts.push(fact);
        begun.insert(&plan.node_id, (plan, at));
        // Whoever speaks MQTT finds a broker that answers, whether a file says so or not.
        if plan.role == Role::Broker && settled.insert(&plan.node_id) {
            stage.settle(plan, at).await?;
        }
    }
    let open = begun.into_values().filter(|(plan, _)| !settled.contains(plan.node_id.as_str()));
    try_join_all(open.map(|(plan, at)| stage.settle(plan, at))).await?;
    Ok(facts)
}
