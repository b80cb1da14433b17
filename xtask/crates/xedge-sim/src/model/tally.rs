//! Running counts, only to know when the drain phase can end. Claims are checked over the history, never over these.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use xedge_model::scenario::Role;

use super::Schedule;
use crate::mqtt::topic;
use crate::plan::{ModelPlan, RunPlan};

/// Counts of one run.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(super) sensors: Vec<SensorCount>,
    pub(super) gateways: Vec<GatewayCount>,
    /// Ids and topic filters of clouds.
    clouds: Vec<(String, String)>,
    /// Ids that gateway containers use upstream.
    containers: Vec<String>,
    upstream: Mutex<BTreeMap<(String, String), u64>>,
}

#[derive(Debug)]
pub(super) struct SensorCount {
    unsent: AtomicU64,
    outstanding: AtomicU64,
    acked: AtomicU64,
}

impl SensorCount {
    pub(super) fn sent(&self, acknowledged: bool) {
        self.outstanding.fetch_add(u64::from(acknowledged), Ordering::Relaxed);
        self.unsent.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn acked(&self) {
        self.outstanding.fetch_sub(1, Ordering::Relaxed);
        self.acked.fetch_add(1, Ordering::Relaxed);
    }
}

#[derive(Debug)]
pub(super) struct GatewayCount {
    id: String,
    /// Places of the sensors that it subscribes to.
    sensors: Vec<usize>,
    topic: String,
    received: AtomicU64,
}

impl GatewayCount {
    pub(super) fn received(&self) {
        self.received.fetch_add(1, Ordering::Relaxed);
    }
}

impl Tally {
    /// Empty counts for the models of a plan, in the plan's order.
    pub(crate) fn new(plan: &RunPlan) -> Self {
        let sensor = |m: &ModelPlan| SensorCount {
            unsent: AtomicU64::new(Schedule::of(m, plan).count()),
            outstanding: AtomicU64::new(0),
            acked: AtomicU64::new(0),
        };
        let gateway = |m: &ModelPlan| GatewayCount {
            id: m.id.clone(),
            sensors: heard(plan, &m.config.subscribe),
            topic: m.config.topic.clone(),
            received: AtomicU64::new(0),
        };
        Self {
            sensors: plan.models_of(Role::Sensor).map(sensor).collect(),
            gateways: plan.models_of(Role::Gateway).map(gateway).collect(),
            clouds: plan.models_of(Role::Cloud).map(|m| (m.id.clone(), m.config.subscribe.clone())).collect(),
            containers: plan.gateway_container_ids(),
            upstream: Mutex::default(),
        }
    }

    /// A cloud heard that a gateway counted this many.
    pub(super) fn upstream(&self, cloud: &str, gateway: &str, total: u64) {
        let mut upstream = self.upstream.lock().unwrap_or_else(PoisonError::into_inner);
        upstream.insert((cloud.to_owned(), gateway.to_owned()), total);
    }

    /// Whether everything that was acknowledged has arrived, as far as counts can tell.
    pub(crate) fn is_drained(&self) -> bool {
        let load = |n: &AtomicU64| n.load(Ordering::Relaxed);
        if self.sensors.iter().any(|s| load(&s.outstanding) + load(&s.unsent) > 0) {
            return false;
        }
        let acked = |places: &[usize]| -> u64 {
            places.iter().filter_map(|place| Some(load(&self.sensors.get(*place)?.acked))).sum()
        };
        let all: u64 = self.sensors.iter().map(|s| load(&s.acked)).sum();
        let received = |g: &GatewayCount| load(&g.received);
        self.gateways
            .iter()
            .all(|g| received(g) >= acked(&g.sensors) && self.heard(&g.id, received(g), Some(&g.topic)))
            && self.containers.iter().all(|id| self.heard(id, all, None))
    }

    /// Whether every cloud that listens to `topic` (to any, where it is not known) heard at least this count.
    fn heard(&self, gateway: &str, count: u64, topic: Option<&str>) -> bool {
        let upstream = self.upstream.lock().unwrap_or_else(PoisonError::into_inner);
        let total = |cloud: &String| upstream.get(&(cloud.clone(), gateway.to_owned())).copied().unwrap_or(0);
        let listens = |filter: &str| topic.is_none_or(|topic| topic::matches(filter, topic));
        self.clouds.iter().filter(|(_, filter)| listens(filter)).all(|(cloud, _)| total(cloud) >= count)
    }
}

/// Places of the sensors whose topics a filter takes in.
fn heard(plan: &RunPlan, filter: &str) -> Vec<usize> {
    let topics = plan.models_of(Role::Sensor).map(|m| m.config.topic.as_str()).enumerate();
    topics.filter(|(_, topic)| topic::matches(filter, topic)).map(|(place, _)| place).collect()
}
