//! Claims: about nodes that exist and can be asked, at least one that cannot hold of nothing, and bounds on runs.

use super::super::{Action, Expectation, Measure, Metric, Role, Scenario};
use super::place::wrong;
use crate::yaml::{Source, Spanned, YamlError};

/// The most runs of one scenario.
const MOST_RUNS: u64 = 1_000;

pub(super) fn check_list(scenario: &Scenario, source: &Source) -> Result<(), YamlError> {
    let Some(list) = &scenario.expect else { return Ok(()) };
    if list.value.is_empty() {
        return Err(source.error_at(list, "`expect` is empty: a gate must claim something"));
    }
    for claim in &list.value {
        if let Expectation::ServiceRuns(_, time) = &claim.value
            && time.0.as_secs_f64() > scenario.simulation.duration_s.value
        {
            let watched = scenario.simulation.duration_s.value;
            return Err(source.error_at(claim, format!("the run is watched for {watched} s (`duration_s`)")));
        }
    }
    if list.value.iter().any(|claim| claim.value.is_positive()) {
        return Ok(());
    }
    let message = "all of these would hold if nothing happened at all: a gate must claim that something does";
    let hint = "for example `broker.starts`, or `mqtt.delivery_ratio >= 0.999`".to_owned();
    Err(source.error_with_hint(list, message, hint))
}

/// Once all nodes are known.
pub(super) fn check_nodes(scenario: &Scenario, source: &Source) -> Result<(), YamlError> {
    let real = scenario.nodes.value.iter().filter(|node| node.is_real());
    let known: Vec<&str> = real.map(|node| node.id.value.as_str()).collect();
    for claim in scenario.expect.iter().flat_map(|list| &list.value) {
        let id = claim.value.node();
        if scenario.is_virtual() && needs_real(&claim.value) {
            let message = format!("`{}` needs a container or process: here are only models", claim.value);
            return Err(source.error_at(claim, message));
        }
        if let Some(id) = id.filter(|id| !known.contains(id)) {
            return Err(source.unknown_name(claim, "container", id, &known));
        }
        if let Expectation::Measure(measure) = &claim.value {
            check_measure(scenario, source, claim, measure)?;
        }
    }
    Ok(())
}

/// Whether it is about something that models alone do not have.
fn needs_real(claim: &Expectation) -> bool {
    match claim {
        Expectation::SensorsPublish | Expectation::GatewayReceives | Expectation::EndToEnd => false,
        Expectation::Measure(measure) => match measure.metric {
            Metric::DeliveryRatio { qos } => qos.is_some(),
            Metric::AckLatency(_) => true,
            _ => measure.metric.node().is_some(),
        },
        _ => true,
    }
}

fn check_measure(
    scenario: &Scenario,
    source: &Source,
    claim: &Spanned<Expectation>,
    measure: &Measure,
) -> Result<(), YamlError> {
    let sensors = || scenario.nodes.value.iter().filter(|node| node.role == Role::Sensor && !node.is_real());
    match &measure.metric {
        Metric::Recovery(id) => {
            let starts_it = scenario.timeline.iter().any(|entry| {
                let is_it = entry.action.node().is_some_and(|node| node.value == *id);
                is_it && !matches!(entry.action, Action::Kill { .. })
            });
            let message =
                format!("nothing in `timeline` makes `{id}` recover: it needs `start`, `restart` or `pause`");
            if starts_it { Ok(()) } else { Err(source.error_at(claim, message)) }
        }
        metric if metric.node().is_some() => Ok(()),
        metric if sensors().next().is_none() => {
            Err(source
                .error_at(claim, format!("`{metric}` needs a model sensor, whose messages are counted")))
        }
        Metric::DeliveryRatio { qos: Some(qos) } if !sensors().any(|node| node.config.qos == *qos) => {
            let message = format!("no sensor publishes with quality of service {qos}");
            Err(source.error_at(claim, message))
        }
        metric @ (Metric::AckedLost | Metric::AckLatency(_))
            if sensors().all(|node| node.config.qos == 0) =>
        {
            Err(source.error_at(
                claim,
                format!("`{metric}` needs a sensor with `qos: 1` or `2`: 0 is not acknowledged"),
            ))
        }
        _ => Ok(()),
    }
}

pub(super) fn check_runs(scenario: &Scenario, source: &Source) -> Result<(), YamlError> {
    if let Some(lag) =
        scenario.limits.iter().find_map(|limits| limits.lag_p99.as_ref()).filter(|l| l.value.0.is_zero())
    {
        return Err(source.error_at(lag, "`lag_p99` must be more than 0"));
    }
    let Some(runs) = &scenario.runs else { return Ok(()) };
    let seeds = runs.seeds.as_ref();
    if let Some(empty) = seeds.filter(|seeds| seeds.value.is_empty()) {
        return Err(source.error_at(empty, "`seeds` is empty"));
    }
    let twice = |seeds: &[u64]| (1..seeds.len()).find(|index| seeds[..*index].contains(&seeds[*index]));
    if let Some(index) = seeds.and_then(|seeds| twice(&seeds.value)) {
        let path = ["runs", "seeds", &index.to_string()];
        return Err(wrong(source, &path, "the same seed twice: `repeat` is for that"));
    }
    let rate = &runs.min_pass_rate;
    if !(rate.value > 0.0 && rate.value <= 1.0) {
        return Err(source.error_at(rate, "`min_pass_rate` must be more than 0 and at most 1"));
    }
    let total = u64::from(runs.repeat.value) * seeds.map_or(1, |seeds| seeds.value.len() as u64);
    if runs.repeat.value == 0 || total > MOST_RUNS {
        let message = format!("`repeat` must be at least 1, and at most {MOST_RUNS} runs together");
        return Err(source.error_at(&runs.repeat, message));
    }
    Ok(())
}
