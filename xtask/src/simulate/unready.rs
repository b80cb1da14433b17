//! What the language can say and no part of the simulator does yet: refused, so that nothing is accepted and left out.
//! Whoever makes a part work takes its line away.

use camino::Utf8Path;
use xedge_model::scenario::{Implementation, ModelConfig, Node, Scenario};

use crate::error::{Error, Result};

/// Refuses a scenario that asks for more than there is.
pub(super) fn check(file: &Utf8Path, scenario: &Scenario) -> Result<()> {
    let nodes = || scenario.nodes.value.iter();
    let unready = [
        ("`implementation: process`", nodes().any(|node| node.implementation == Implementation::Process)),
        ("`script`", nodes().any(|node| node.script.is_some())),
        ("`lockstep`", nodes().any(Node::is_lockstep)),
        ("virtual time", scenario.is_virtual()),
        ("these settings of models", nodes().any(|node| node.is_built_in() && has_new(&node.config))),
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
