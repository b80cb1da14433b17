//! What a history says about readings, collected in one pass: who sent, had acknowledged, received, passed on. No verdicts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::readings::Readings;
use super::roster::Roster;
use crate::history::{Event, History, Kind};

/// Everything about readings in a history.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Sent by sensors of the roster.
    pub sent: Readings,
    /// Acknowledged to sensors of the roster.
    pub acked: Readings,
    /// What each gateway model received.
    arrivals: BTreeMap<Arc<str>, Arrivals>,
    /// What clouds heard, by cloud and gateway.
    heard: BTreeMap<Arc<str>, BTreeMap<String, Heard>>,
    /// Why nodes were refused, the last reason of each.
    refusals: BTreeMap<Arc<str>, String>,
}

/// What one gateway model received.
#[derive(Clone, Debug, Default)]
pub struct Arrivals {
    /// Each reading once.
    pub readings: Readings,
    /// How many came again.
    pub repeated: u64,
}

/// What one cloud heard from one gateway.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    windows: BTreeMap<u64, u64>,
    /// The largest count that the gateway said.
    pub total: u64,
    /// How many windows came again.
    pub repeated: u64,
}

impl Heard {
    /// Readings in all windows.
    pub fn sum(&self) -> u64 {
        self.windows.values().sum()
    }
}

impl Seen {
    /// Goes through a history.
    pub fn of(history: &History, roster: &Roster) -> Self {
        let sensors: BTreeSet<&str> = roster.sensors.iter().map(|s| s.id.as_str()).collect();
        let mut seen = Self::default();
        for event in history {
            seen.take(event, &sensors);
        }
        seen
    }

    fn take(&mut self, event: Event, sensors: &BTreeSet<&str>) {
        let node = event.node;
        match event.kind {
            Kind::Sent { seq, .. } if sensors.contains(&*node) => {
                self.sent.insert(&node, seq);
            }
            Kind::Acked { seq, .. } if sensors.contains(&*node) => {
                self.acked.insert(&node, seq);
            }
            Kind::Received { from, seq, .. } => {
                let arrivals = self.arrivals.entry(node).or_default();
                arrivals.repeated += u64::from(!arrivals.readings.insert(&from, seq));
            }
            Kind::Upstream { gateway, window, readings, total, .. } => {
                let heard = self.heard.entry(node).or_default().entry(gateway).or_default();
                // A repetition replaces what came before, and is counted.
                heard.repeated += u64::from(heard.windows.insert(window, readings).is_some());
                heard.total = heard.total.max(total);
            }
            Kind::Refused { reason, .. } => drop(self.refusals.insert(node, reason)),
            _ => {}
        }
    }

    /// Whether anything arrived at a gateway model or a cloud.
    pub fn has_arrivals(&self) -> bool {
        !self.arrivals.is_empty() || !self.heard.is_empty()
    }

    /// What a gateway model received; `None` if that was nothing.
    pub fn arrivals(&self, gateway: &str) -> Option<&Arrivals> {
        self.arrivals.get(gateway)
    }

    /// What a cloud heard from a gateway; `None` if that was nothing.
    pub fn heard(&self, cloud: &str, gateway: &str) -> Option<&Heard> {
        self.heard.get(cloud)?.get(gateway)
    }

    /// The largest count that any cloud heard from a gateway.
    pub fn heard_anywhere(&self, gateway: &str) -> u64 {
        let totals = self.heard.values().filter_map(|by_gateway| Some(by_gateway.get(gateway)?.total));
        totals.max().unwrap_or(0)
    }

    /// Why a node was last refused, as the end of a sentence; empty if it was not.
    pub fn refusal(&self, node: &str) -> String {
        self.refusals.get(node).map_or_else(String::new, |reason| format!(": {reason}"))
    }
}
