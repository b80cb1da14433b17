//! Memory and CPU of containers while a run goes on, looked at in a fixed pace. It claims nothing.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior, interval};
use xedge_model::scenario::{Expectation, Measure, Metric};

use super::stage::Stage;
use crate::Error;
use crate::engine::Usage;

/// Pause between two looks, over which a peak of CPU is a mean.
const PACE: Duration = Duration::from_millis(250);

/// What a container used, from all looks at it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Resources {
    /// Looks at which it could be told.
    pub samples: u64,
    /// Most memory at any look, without file pages that the kernel can drop at once.
    pub memory_peak_bytes: u64,
    /// CPU time between looks.
    pub cpu_us: u64,
    /// Time between looks.
    pub seen_us: u64,
    /// Most CPU between two looks, in thousandths of one CPU.
    pub cpu_peak_milli: u64,
    #[serde(skip)]
    last: Option<Look>,
}

/// CPU time used so far, and when that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    cpu_us: u64,
    at_us: u64,
}

impl Resources {
    /// Takes in what was read at a time; `None` where nothing could be.
    pub(crate) fn take(&mut self, at_us: u64, usage: Option<Usage>) {
        let Some(usage) = usage else {
            self.last = None;
            return;
        };
        self.samples += 1;
        self.memory_peak_bytes = self.memory_peak_bytes.max(usage.memory_bytes);
        let last = self.last.replace(Look { cpu_us: usage.cpu_us, at_us });
        // A container that was started again counts from 0.
        let since = last.filter(|last| last.cpu_us <= usage.cpu_us && last.at_us < at_us);
        if let Some(last) = since {
            let (used, passed) = (usage.cpu_us - last.cpu_us, at_us - last.at_us);
            self.cpu_us += used;
            self.seen_us += passed;
            self.cpu_peak_milli = self.cpu_peak_milli.max(used * 1_000 / passed);
        }
    }

    /// CPU on average, in thousandths of one CPU; `None` before the second look.
    pub fn cpu_mean_milli(&self) -> Option<u64> {
        (self.seen_us > 0).then(|| self.cpu_us * 1_000 / self.seen_us)
    }
}

/// Looks at the nodes that claims are about.
pub(super) struct Watch<'a> {
    stage: &'a Stage<'a>,
    found: Mutex<BTreeMap<String, Resources>>,
}

impl<'a> Watch<'a> {
    pub(super) fn of(stage: &'a Stage<'a>, claims: &[Expectation]) -> Self {
        let node = |claim: &Expectation| match claim {
            Expectation::Measure(Measure {
                metric: Metric::MemoryPeak(node) | Metric::CpuMean(node) | Metric::CpuPeak(node),
                ..
            }) => Some(node.clone()),
            _ => None,
        };
        let found = claims.iter().filter_map(node).map(|node| (node, Resources::default())).collect();
        Self { stage, found: Mutex::new(found) }
    }

    /// Looks on and on; ends only with an error.
    pub(super) async fn watch(&self) -> Error {
        let nodes: Vec<String> = self.found().into_keys().collect();
        if nodes.is_empty() {
            return std::future::pending().await;
        }
        let names: Vec<String> = nodes.iter().map(|node| self.stage.name(node)).collect();
        let (begun, mut pace) = (Instant::now(), interval(PACE));
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            pace.tick().await;
            let looks = names.iter().map(|name| self.stage.engine.usage(name));
            for (node, usage) in nodes.iter().zip(join_all(looks).await) {
                let usage = match usage {
                    Err(error @ Error::EngineLost { .. }) => return error,
                    // One that is not there just now is told by those who wait for it.
                    Err(_) => None,
                    Ok(usage) => usage,
                };
                let at_us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
                let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
                found.entry(node.clone()).or_default().take(at_us, usage);
            }
        }
    }

    /// What was found so far, by node.
    pub(super) fn found(&self) -> BTreeMap<String, Resources> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::Resources;
    use crate::engine::Usage;

    #[test]
    fn a_container_that_was_started_again_counts_anew() {
        let mut found = Resources::default();
        let usage = |memory_bytes, cpu_us| Some(Usage { memory_bytes, cpu_us });
        found.take(0, usage(100, 50_000));
        assert_eq!(found.cpu_mean_milli(), None);
        found.take(1_000_000, usage(300, 550_000));
        found.take(2_000_000, usage(200, 650_000));
        // Killed and started: nothing can be told, then its counter begins at 0.
        found.take(3_000_000, None);
        found.take(4_000_000, usage(150, 10_000));
        found.take(5_000_000, usage(150, 10_000));
        assert_eq!((found.samples, found.memory_peak_bytes), (5, 300));
        assert_eq!((found.cpu_us, found.seen_us, found.cpu_peak_milli), (600_000, 3_000_000, 500));
        assert_eq!(found.cpu_mean_milli(), Some(200));
        // Started between two looks.
        found.take(6_000_000, usage(150, 5_000));
        assert_eq!(found.seen_us, 3_000_000);
    }
}
