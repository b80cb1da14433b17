//! What the language can say and the simulator cannot do: refused by `validate` and by a run alike, so that nothing is accepted
//! and left out.

use xedge_model::scenario::Scenario;
use xedge_model::yaml::Source;

use crate::error::Result;

/// Refuses scripts and lockstep programs where time is real: they only go along in virtual time.
pub(super) fn check(source: &Source, scenario: &Scenario) -> Result<()> {
    let led = scenario.nodes.value.iter().find(|node| node.script.is_some() || node.is_lockstep());
    match led.filter(|_| !scenario.is_virtual()) {
        None => Ok(()),
        Some(node) => {
            let message = format!(
                "node `{}` is led step by step, which goes in virtual time only: services run in real time",
                node.id.value
            );
            let hint = "leave out `script` for the built-in model, or simulate without services".to_owned();
            Err(source.error_with_hint(&node.id, message, hint).into())
        }
    }
}
