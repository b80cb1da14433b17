//! How often a scenario runs, with which seeds, and how many of the runs must pass. Runs nothing.

use serde::Deserialize;

use crate::duration::Span;
use crate::yaml::Spanned;

/// `runs` of a scenario. One run with the scenario's own seed where it is absent.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Runs {
    /// Seeds, each run `repeat` times; absent means the scenario's own.
    #[serde(default)]
    pub seeds: Option<Spanned<Vec<u64>>>,
    /// Runs of each seed.
    #[serde(default = "once")]
    pub repeat: Spanned<u32>,
    /// Share of all runs that must pass, more than 0 and at most 1.
    #[serde(default = "all")]
    pub min_pass_rate: Spanned<f64>,
}

fn once() -> Spanned<u32> {
    crate::yaml::nowhere(1)
}

fn all() -> Spanned<f64> {
    crate::yaml::nowhere(1.0)
}

/// What may make a run invalid; `limits` of a scenario.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunLimits {
    /// 99th percentile of the sends' lag behind the plan.
    #[serde(default)]
    pub lag_p99: Option<Spanned<Span>>,
}
