//! What the language can say and no part of the simulator does yet: refused, so that nothing is accepted and left out.
//! Whoever makes a part work takes its line away.

use camino::Utf8Path;
use xedge_model::scenario::{Expectation, Implementation, ModelConfig, NetworkModel, Node, Scenario};

use crate::error::{Error, Result};

/// Refuses a scenario that asks for more than there is.
pub(super) fn check(file: &Utf8Path, scenario: &Scenario) -> Result<()> {
    let nodes = || scenario.nodes.value.iter();
    let claims = || scenario.expect.iter().flat_map(|list| &list.value);
    let unready = [
        (
            "links",
            !scenario.links.is_empty() || is_shaped(scenario) || nodes().any(|node| node.via.is_some()),
        ),
        ("timeline", !scenario.timeline.is_empty()),
        (
            "measured claims",
            claims().any(|claim| matches!(claim.value, Expectation::Measure(_) | Expectation::Logs { .. })),
        ),
        ("`implementation: process`", nodes().any(|node| node.implementation == Implementation::Process)),
        ("`script`", nodes().any(|node| node.script.is_some())),
        ("`lockstep`", nodes().any(Node::is_lockstep)),
        ("virtual time", scenario.is_virtual()),
        ("these settings of models", nodes().any(|node| node.is_built_in() && has_new(&node.config))),
        ("`limits.lag_p99`", scenario.limits.is_some()),
        ("`limits` of a node", nodes().any(|node| node.limits.is_some())),
        ("`volumes` of a node", nodes().any(|node| !node.volumes.is_empty() || has_mounts(node))),
        ("`runs`", scenario.runs.is_some()),
    ];
    match unready.iter().find(|(_, asked)| *asked) {
        None => Ok(()),
        Some((what, _)) => {
            let reason = format!("it uses {what}, which this version cannot run");
            Err(Error::BadFile { path: file.to_owned(), reason }.into())
        }
    }
}

fn has_mounts(node: &Node) -> bool {
    node.docker.as_ref().is_some_and(|docker| !docker.value.volumes.0.is_empty())
}

/// Links of `network` that do more than lead straight to the other side.
fn is_shaped(scenario: &Scenario) -> bool {
    scenario.network.as_ref().is_some_and(|network| {
        let some =
            |latency: Option<u64>, loss: Option<f64>| latency.unwrap_or(0) > 0 || loss.unwrap_or(0.0) > 0.0;
        let latency = network.default_latency_us.as_ref().map(|latency| latency.value);
        let loss = network.default_loss_rate.as_ref().map(|loss| loss.value);
        let is_model = network.model.as_ref().is_some_and(|model| model.value == NetworkModel::Latency);
        is_model
            || some(latency, loss)
            || network.links.iter().any(|link| some(link.latency_us, link.loss_rate))
    })
}

/// Whether anything but the first few settings is used.
fn has_new(config: &ModelConfig) -> bool {
    let known = ModelConfig {
        every: config.every,
        topic: config.topic.clone(),
        subscribe: config.subscribe.clone(),
        qos: config.qos.min(1),
        user: config.user.clone(),
        ..ModelConfig::default()
    };
    *config != known
}
