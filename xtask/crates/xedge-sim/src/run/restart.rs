//! `retained.survives(restart)`: a retained message is still there after the broker was stopped and started.

use std::sync::Arc;

use xedge_model::scenario::Expectation;

use super::stage::Stage;
use crate::Error;
use crate::check::{Claim, State};
use crate::history::Kind;
use crate::mqtt::Tls;
use crate::plan::{ContainerPlan, RunPlan};
use crate::probe::Broker;

/// Publishes, reads back, restarts, reads again. The first reading is the control: a message that access rules hide
/// before the restart would say nothing after it.
pub(super) async fn retained_survives(
    stage: &Stage<'_>,
    plan: &RunPlan,
    container: &ContainerPlan,
) -> Result<Claim, Error> {
    let probe = plan.retained_probe();
    let payload = format!("xedge-retained-{}", plan.run_id);
    let claim = |state, text: String| Claim::new(Expectation::RetainedSurvivesRestart, state, text);
    let tls = container.tls().map_err(|error| Error::plan(&plan.scenario_name, error.to_string()))?;
    let before = broker(stage, plan, container, tls.as_ref()).await?;
    if let Err(refused) = before.publish_retained(&probe, &payload).await {
        return Ok(claim(State::Invalid, format!("no message could be left on {}: {refused}", probe.topic)));
    }
    match before.retained(&probe).await {
        Ok(Some(found)) if found == payload.as_bytes() => {}
        Ok(_) => {
            let text = format!("the message on {} could not be read before the restart either", probe.topic);
            return Ok(claim(State::Invalid, text));
        }
        Err(refused) => {
            return Ok(claim(State::Invalid, format!("{} could not be read: {refused}", probe.topic)));
        }
    }
    let code = stage.stop(container).await?;
    stage.start(container).await?;
    stage.ready(container).await?;
    let after = broker(stage, plan, container, tls.as_ref()).await?;
    let found = after.retained(&probe).await;
    let claim = match found {
        Ok(Some(found)) if found == payload.as_bytes() => {
            claim(State::Held, format!("the message on {} is there after the restart", probe.topic))
        }
        Ok(Some(_)) => {
            claim(State::Failed, format!("another message is on {} after the restart", probe.topic))
        }
        Ok(None) => {
            let text = format!("the message on {} is gone after the restart (exit code {code})", probe.topic);
            claim(State::Failed, text)
        }
        Err(refused) => {
            claim(State::Failed, format!("{} cannot be read after the restart: {refused}", probe.topic))
        }
    };
    let kind = Kind::Probe { name: claim.id.clone(), result: claim.text.clone() };
    stage.recorder.record(&Arc::from(container.node_id.as_str()), kind);
    Ok(claim)
}

async fn broker<'a>(
    stage: &Stage<'_>,
    plan: &'a RunPlan,
    container: &ContainerPlan,
    tls: Option<&'a Tls>,
) -> Result<Broker<'a>, Error> {
    let addresses = stage.addresses(container).await?;
    let Some(address) = addresses.first().copied() else {
        let action = format!("find the published port of {}", container.node_id);
        return Err(Error::EngineRefused { action, status: 0, message: "no port is published".to_owned() });
    };
    Ok(Broker { address, credentials: &plan.credentials, limit: plan.limits.probe, tls })
}
