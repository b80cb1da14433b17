//! Numbers about a run: percentiles and counts per node. They are reported, and claim nothing by themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;

use super::readings::Readings;
use super::{Faults, Latencies, Roster};
use crate::history::{Event, History, Kind};

/// Percentiles by nearest rank, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Percentiles {
    /// How many values.
    pub count: u64,
    /// Half of them are at most this.
    pub p50_us: u64,
    /// 9 of 10 are at most this.
    pub p90_us: u64,
    /// 99 of 100 are at most this.
    pub p99_us: u64,
    /// The largest.
    pub max_us: u64,
}

impl Percentiles {
    /// Percentiles of these values; `None` of no values.
    pub fn of(mut values: Vec<u64>) -> Option<Self> {
        values.sort_unstable();
        let rank = |percent: usize| (values.len() * percent).div_ceil(100).saturating_sub(1);
        let max_us = *values.last()?;
        Some(Self {
            count: values.len() as u64,
            p50_us: values[rank(50)],
            p90_us: values[rank(90)],
            p99_us: values[rank(99)],
            max_us,
        })
    }
}

/// Counts of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NodeStats {
    /// Messages sent for the first time.
    pub sent: u64,
    /// Messages sent again.
    pub repeated: u64,
    /// Messages acknowledged by the broker.
    pub acknowledged: u64,
    /// Messages received.
    pub received: u64,
    /// Messages received that could not be read.
    pub unreadable: u64,
    /// Connections that the broker accepted.
    pub connects: u64,
    /// Connections that were lost.
    pub disconnects: u64,
    /// Attempts to connect that were refused.
    pub refusals: u64,
}

/// Counts of every node that did something.
pub fn per_node(history: &History) -> BTreeMap<String, NodeStats> {
    let mut nodes: BTreeMap<Arc<str>, NodeStats> = BTreeMap::new();
    for event in history {
        let stats = nodes.entry(event.node).or_default();
        match &event.kind {
            Kind::Sent { dup: false, .. } => stats.sent += 1,
            Kind::Sent { dup: true, .. } => stats.repeated += 1,
            Kind::Acked { .. } => stats.acknowledged += 1,
            Kind::Received { .. } | Kind::Upstream { .. } => stats.received += 1,
            Kind::Unreadable { .. } => stats.unreadable += 1,
            Kind::Connected { .. } => stats.connects += 1,
            Kind::Disconnected { .. } => stats.disconnects += 1,
            Kind::Refused { .. } => stats.refusals += 1,
            Kind::Phase { .. }
            | Kind::Started { .. }
            | Kind::Ready
            | Kind::Stopped { .. }
            | Kind::Completed { .. }
            | Kind::Fault { .. }
            | Kind::Subscribed { .. }
            | Kind::Declined { .. }
            | Kind::Probe { .. } => {}
        }
    }
    nodes.into_iter().map(|(node, stats)| (node.to_string(), stats)).collect()
}

/// How far behind the plan sensors sent: the generator's own lag. What was due in a fault had to wait for its end.
pub fn send_lag(history: &History, roster: &Roster, faults: &Faults) -> Option<Percentiles> {
    let sensors: BTreeSet<&str> = roster.sensors.iter().map(|s| s.id.as_str()).collect();
    let lag = |event: Event| match event.kind {
        Kind::Sent { planned_us, dup: false, .. }
            if sensors.contains(&*event.node) && faults.is_outside(planned_us, planned_us) =>
        {
            Some(event.t_us.saturating_sub(planned_us))
        }
        _ => None,
    };
    Percentiles::of(history.iter().filter_map(lag).collect())
}

/// From the planned send to the broker's acknowledgement.
pub fn ack_latency(history: &History, roster: &Roster, faults: &Faults) -> Latencies {
    let sensors: BTreeSet<&str> = roster.sensors.iter().map(|s| s.id.as_str()).collect();
    latencies(history, faults, |event| match event.kind {
        Kind::Acked { planned_us, .. } if sensors.contains(&*event.node) => Some(planned_us),
        _ => None,
    })
}

/// From the planned send to the first arrival at each gateway model.
pub fn delivery_latency(history: &History, faults: &Faults) -> Latencies {
    let mut seen: BTreeMap<Arc<str>, Readings> = BTreeMap::new();
    latencies(history, faults, |event| match &event.kind {
        Kind::Received { from, seq, planned_us, .. } => {
            let new = seen.entry(event.node.clone()).or_default().insert(from, *seq);
            new.then_some(*planned_us)
        }
        _ => None,
    })
}

/// Latencies of the events that have a planned time.
fn latencies(
    history: &History,
    faults: &Faults,
    mut planned: impl FnMut(&Event) -> Option<u64>,
) -> Latencies {
    let (mut all, mut outside) = (Vec::new(), Vec::new());
    for event in history {
        let Some(planned_us) = planned(&event) else { continue };
        let took = event.t_us.saturating_sub(planned_us);
        all.push(took);
        if faults.is_outside(planned_us, event.t_us) {
            outside.push(took);
        }
    }
    Latencies { all: Percentiles::of(all), outside: Percentiles::of(outside) }
}
