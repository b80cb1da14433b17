//! Shaped links in user space: bytes between models and containers, and between containers, pass them on their way. Needs
//! neither root nor the kernel's help; knows nothing of packets, which it cannot lose.
//!
//! A connection takes one link or several, each with a direction (`up` is away from the node that is attached by it, or
//! from `from` to `to`). Every piece of bytes is late by what the link says. The draws of a piece are a function of seed,
//! link, direction, who opened the connection, its number among those, and the piece's number: never of the clock.

mod control;
mod counters;
mod dial;
mod echo;
mod gates;
mod lane;
mod shaped;
mod wire;

use std::sync::Arc;
use std::time::Duration;

pub use control::LinkControl;
pub use counters::{LinkStats, OneWay, Passed, RoundTrip};
pub(crate) use dial::{Stream, connect};
pub(crate) use gates::{Gates, Naming};

use self::wire::{Link, Way};
use crate::plan::{Ends, LinkPlan};

/// All links of a run; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Links {
    links: Arc<[Arc<Link>]>,
}

impl Links {
    /// The links of a plan.
    pub(crate) fn new(plans: &[LinkPlan], seed: u64) -> Self {
        Self { links: plans.iter().map(|plan| Arc::new(Link::new(plan.clone(), seed))).collect() }
    }

    /// The handle of a link by its name in the scenario.
    pub fn control(&self, name: &str) -> Option<LinkControl> {
        self.links.iter().find(|link| link.plan.name == name).cloned().map(LinkControl::new)
    }

    /// What every link did so far, in the order of the scenario.
    pub(crate) fn stats(&self) -> Vec<LinkStats> {
        self.links.iter().map(|link| link.stats()).collect()
    }

    /// The longest way there and back of any link.
    pub(crate) fn longest_round_trip(&self) -> Duration {
        self.links.iter().map(|link| link.round_trip()).max().unwrap_or_default()
    }

    /// The way from a node to another: `None` if nothing lies in between. `opener` is who connects, one of node `from`'s.
    pub(crate) fn route(&self, opener: &str, from: &str, to: &str) -> Option<Route> {
        let hops = self.hops(from, to);
        (!hops.is_empty()).then(|| Route { opener: Arc::from(opener), hops: hops.into() })
    }

    /// The links by which each is attached, with the one between just these two in the middle; else the rest's.
    fn hops(&self, from: &str, to: &str) -> Vec<Hop> {
        let hop = |link: &Arc<Link>, way| Hop { link: link.clone(), way };
        let all = || self.links.iter();
        let near = all().find(|link| link.plan.attaches(from)).map(|link| hop(link, Way::Up));
        let middle = all().find(|link| link.plan.joins(from, to)).map(|link| {
            let way = if link.plan.leads_from(from) { Way::Up } else { Way::Down };
            hop(link, way)
        });
        let far = all().find(|link| link.plan.attaches(to)).map(|link| hop(link, Way::Down));
        let hops: Vec<Hop> = [near, middle, far].into_iter().flatten().collect();
        if !hops.is_empty() {
            return hops;
        }
        all().filter(|link| link.plan.ends == Ends::Rest).map(|link| hop(link, Way::Up)).collect()
    }
}

/// The links that connections from one client to one target take; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    opener: Arc<str>,
    hops: Arc<[Hop]>,
}

/// A link and which of its ways leads to the target.
#[derive(Clone, Debug)]
struct Hop {
    link: Arc<Link>,
    way: Way,
}

#[cfg(test)]
mod tests;
