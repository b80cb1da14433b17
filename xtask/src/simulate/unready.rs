//! What the language can say and no part of the simulator does yet: refused, so that nothing is accepted and left out.
//! Whoever makes a part work takes its line away.

use camino::Utf8Path;
use xedge_model::scenario::{Node, Scenario};

use crate::error::{Error, Result};

/// Refuses a scenario that asks for more than there is.
pub(super) fn check(file: &Utf8Path, scenario: &Scenario) -> Result<()> {
    let nodes = || scenario.nodes.value.iter();
    let unready = [
        ("`script` beside containers", nodes().any(|node| node.script.is_some())),
        ("`lockstep` beside services", nodes().any(Node::is_lockstep)),
    ];
    match unready.iter().find(|(_, asked)| *asked && !scenario.is_virtual()) {
        None => Ok(()),
        Some((what, _)) => {
            let reason = format!("it uses {what}, which this version cannot run");
            Err(Error::BadFile { path: file.to_owned(), reason }.into())
        }
    }
}
