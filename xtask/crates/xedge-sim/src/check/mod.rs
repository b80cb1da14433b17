//! Claims over a history: pure functions, no time, no network. A claim that nothing could have broken is not held.

mod delivery;
mod faults;
mod logs;
mod measure;
mod readings;
mod roster;
mod seen;
pub mod stats;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use xedge_model::Class;
use xedge_model::scenario::Expectation;

use crate::link::LinkStats;
pub(crate) use delivery::conclude;

pub use delivery::{end_to_end, gateway_receives, sensors_publish};
pub use faults::{Fault, Faults, SeenStep, Window};
pub use logs::from_logs;
pub use measure::{Findings, Latencies};
pub use readings::Readings;
pub use roster::{CloudEntry, GatewayEntry, Roster, SensorEntry};
pub use seen::{Arrivals, Heard, Seen};
pub use stats::{NodeStats, Percentiles};

/// Whether a claim holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It was measured and is true.
    Held,
    /// It was measured and is false.
    Failed,
    /// It could not be measured.
    Invalid,
}

/// A claim, and what was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Claim {
    /// The expectation as it is written in the scenario.
    pub id: String,
    /// Whether it holds.
    pub state: State,
    /// What was found, in a sentence.
    pub text: String,
    /// The numbers behind it.
    pub counts: BTreeMap<&'static str, u64>,
}

impl Claim {
    pub(crate) fn new(id: impl std::fmt::Display, state: State, text: impl Into<String>) -> Self {
        Self { id: id.to_string(), state, text: text.into(), counts: BTreeMap::new() }
    }

    pub(crate) fn with<const N: usize>(self, counts: [(&'static str, u64); N]) -> Self {
        Self { counts: counts.into(), ..self }
    }
}

/// What a run says about the images and files in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every claim holds.
    Passed,
    /// At least one claim was measured to be false; all that do not hold.
    Failed(Vec<Claim>),
    /// None is false, and at least one could not be measured; all of those.
    Invalid(Vec<Claim>),
}

impl Verdict {
    /// The verdict over all claims.
    pub fn over(claims: &[Claim]) -> Self {
        let broken: Vec<Claim> = claims.iter().filter(|c| c.state != State::Held).cloned().collect();
        if broken.iter().any(|c| c.state == State::Failed) {
            Self::Failed(broken)
        } else if broken.is_empty() && !claims.is_empty() {
            Self::Passed
        } else {
            Self::Invalid(broken)
        }
    }

    /// The class of a verdict that is not `Passed`.
    pub fn class(&self) -> Option<Class> {
        match self {
            Self::Passed => None,
            Self::Failed(_) => Some(Class::Failed),
            Self::Invalid(_) => Some(Class::Invalid),
        }
    }

    /// `passed`, `failed` or `invalid`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed(_) => "failed",
            Self::Invalid(_) => "invalid",
        }
    }
}

/// The claim of an expectation that the history alone can answer; `None` for those that need a probe.
pub fn from_history(expectation: &Expectation, findings: &Findings<'_>) -> Option<Claim> {
    let (seen, roster) = (findings.seen, findings.roster);
    match expectation {
        Expectation::SensorsPublish => Some(sensors_publish(seen, roster)),
        Expectation::GatewayReceives => Some(gateway_receives(seen, roster)),
        Expectation::EndToEnd => Some(end_to_end(seen, roster)),
        Expectation::Measure(wanted) => Some(measure::measure(wanted, findings)),
        Expectation::BrokerStarts
        | Expectation::AnonymousRefused
        | Expectation::WrongPasswordRefused(_)
        | Expectation::LoginAccepted(_)
        | Expectation::RetainedSurvivesRestart
        | Expectation::ServiceHealthy(_)
        | Expectation::ServiceAnswers(..)
        | Expectation::ServiceRuns(..)
        | Expectation::Logs { .. } => None,
    }
}

/// The links that nothing went through: what they would have done was not tested.
pub fn links_used(links: &[LinkStats]) -> Vec<Claim> {
    let unused = links.iter().filter(|link| link.must_be_used && !link.is_used());
    let claim = |link: &LinkStats| {
        let text = match link.connections {
            0 => "no connection took it: is a firewall of this machine in the way, or does nobody connect?",
            _ => "connections took it, and not a byte came out of it",
        };
        Claim::new(format!("link.used({})", link.name), State::Invalid, text)
            .with([("connections", link.connections)])
    };
    unused.map(claim).collect()
}

/// Whether the models kept to their plan. A generator that lags measures itself, not the broker.
pub fn generator_kept_up(lag: Option<&Percentiles>, limit: Duration) -> Option<Claim> {
    let limit_us = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
    let lag = lag.filter(|lag| lag.p99_us > limit_us)?;
    let text = format!(
        "1 of 100 sends left more than {} ms behind its plan, and {} ms is the limit: this machine is too busy to measure on",
        lag.p99_us / 1_000,
        limit_us / 1_000,
    );
    Some(
        Claim::new("generator.keeps_up", State::Invalid, text)
            .with([("lag_p99_us", lag.p99_us), ("limit_us", limit_us)]),
    )
}

#[cfg(test)]
mod tests;
