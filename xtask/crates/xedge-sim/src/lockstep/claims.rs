//! What held in virtual time: claims over the counts of a run. There is no broker that acknowledges: every message that was
//! sent must arrive, unless it was still under way at the end, which is said.

use std::collections::BTreeMap;

use xedge_model::scenario::{Bound, Expectation, Measure, Metric, Role};

use super::kernel::Kernel;
use super::plan::VirtualPlan;
use crate::check::{Claim, NodeStats, State, conclude};

/// Whether virtual time can answer an expectation.
pub(crate) fn answers(expectation: &Expectation) -> bool {
    match expectation {
        Expectation::SensorsPublish | Expectation::GatewayReceives | Expectation::EndToEnd => true,
        Expectation::Measure(measure) => match measure.metric {
            Metric::DeliveryRatio { qos } => qos.is_none(),
            Metric::AckedLost | Metric::Duplicates | Metric::Latency(_) => true,
            Metric::AckLatency(_)
            | Metric::MemoryPeak(_)
            | Metric::CpuMean(_)
            | Metric::CpuPeak(_)
            | Metric::Recovery(_) => false,
        },
        Expectation::BrokerStarts
        | Expectation::AnonymousRefused
        | Expectation::WrongPasswordRefused(_)
        | Expectation::LoginAccepted(_)
        | Expectation::RetainedSurvivesRestart
        | Expectation::ServiceHealthy(_)
        | Expectation::ServiceAnswers(..)
        | Expectation::ServiceRuns(..)
        | Expectation::Logs { .. } => false,
    }
}

/// All messages of the run, and of those of sensors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) sent: u64,
    pub(super) arrived: u64,
    pub(super) lost: u64,
}

impl Sums {
    pub(super) fn in_flight(&self) -> u64 {
        self.sent - self.arrived - self.lost
    }
}

/// What can be asked of a run in virtual time.
pub(super) struct Checker<'a> {
    pub(super) plan: &'a VirtualPlan,
    pub(super) kernel: &'a Kernel<'a>,
}

impl Checker<'_> {
    /// The claim of an expectation; `None` for those that are about containers in real time.
    pub(super) fn claim(&self, expectation: &Expectation) -> Option<Claim> {
        match expectation {
            Expectation::SensorsPublish => Some(self.sensors_publish()),
            Expectation::GatewayReceives => Some(self.gateway_receives()),
            Expectation::EndToEnd => Some(self.end_to_end()),
            Expectation::Measure(measure) => Some(self.measure(expectation, measure).unwrap_or_else(|| {
                Claim::new(expectation, State::Invalid, "no message arrived that it could be measured on")
            })),
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

    /// A measured claim. There is no acknowledgement in virtual time: all that was sent counts as promised.
    fn measure(&self, expectation: &Expectation, measure: &Measure) -> Option<Claim> {
        let sums = self.sums(|role| role == Role::Sensor);
        let (order, found) = match (&measure.metric, &measure.bound) {
            (Metric::DeliveryRatio { .. }, Bound::Ratio(bound)) => {
                let text = format!("{} of {} messages arrived", sums.arrived, sums.sent);
                (ratio(sums.arrived, sums.sent)?.partial_cmp(bound)?, text)
            }
            (Metric::AckedLost, Bound::Count(bound)) => {
                (sums.lost.cmp(bound), format!("{} of {} messages were lost", sums.lost, sums.sent))
            }
            (Metric::Duplicates, Bound::Count(bound)) => {
                (0.cmp(bound), "links of virtual time repeat nothing".to_owned())
            }
            (Metric::Latency(rank), Bound::Time(bound)) => {
                let us = self.kernel.latency.rank(*rank)?;
                let text = format!("{} is {us} µs", rank.as_str());
                (u128::from(us).cmp(&bound.0.as_micros()), text)
            }
            _ => return None,
        };
        let state = if sums.sent > 0 && measure.op.holds(order) { State::Held } else { State::Failed };
        let counts = [("sent", sums.sent), ("arrived", sums.arrived), ("lost", sums.lost)];
        Some(Claim::new(expectation, state, found).with(counts))
    }

    fn of_role(&self, role: Role) -> impl Iterator<Item = (u32, &str)> {
        (0..)
            .zip(&self.plan.nodes)
            .filter(move |(_, node)| node.role == role)
            .map(|(number, node)| (number, node.id.as_str()))
    }

    fn sensors_publish(&self) -> Claim {
        let mut complaints = Vec::new();
        let (mut sensors, mut sent) = (0, 0);
        for (number, id) in self.of_role(Role::Sensor) {
            let found = self.kernel.counts[number as usize].sent;
            let planned = self.kernel.planned(number);
            (sensors, sent) = (sensors + 1, sent + found);
            match planned {
                Some(planned) if found < planned => {
                    complaints.push(format!("{id} sent {found} of {planned} readings"));
                }
                _ if found == 0 => complaints.push(format!("{id} sent nothing")),
                _ => {}
            }
        }
        if sensors == 0 {
            complaints.push("there is no sensor".to_owned());
        }
        let held = format!("{sensors} sensors sent {sent} readings in virtual time");
        conclude(&Expectation::SensorsPublish, &complaints, held).with([("sensors", sensors), ("sent", sent)])
    }

    fn gateway_receives(&self) -> Claim {
        let mut complaints = Vec::new();
        let (mut gateways, mut received) = (0, 0);
        for (number, id) in self.of_role(Role::Gateway) {
            let found = self.kernel.counts[number as usize].received;
            (gateways, received) = (gateways + 1, received + found);
            if found == 0 {
                complaints.push(format!("{id} received no reading"));
            }
        }
        if gateways == 0 {
            complaints.push("there is no gateway".to_owned());
        }
        let held = format!("{gateways} gateways received {received} readings in virtual time");
        conclude(&Expectation::GatewayReceives, &complaints, held)
            .with([("gateways", gateways), ("received", received)])
    }

    fn end_to_end(&self) -> Claim {
        let (mut complaints, mut ends) = (Vec::new(), 0);
        let sums = self.sums(|_| true);
        for (from, node) in (0..).zip(&self.plan.nodes) {
            for route in self.kernel.routes.of(from).iter().filter(|route| route.lost > 0) {
                let to = &self.plan.nodes[route.to as usize].id;
                complaints.push(format!(
                    "{} of {} messages of {} to {to} were lost",
                    route.lost, route.sent, node.id
                ));
            }
        }
        for (number, id) in self.of_role(Role::Sensor) {
            if self.kernel.counts[number as usize].unrouted > 0 {
                complaints.push(format!("no gateway subscribes to what {id} sends"));
            }
        }
        for (number, id) in self.of_role(Role::Gateway) {
            ends += 1;
            if self.kernel.counts[number as usize].received == 0 {
                complaints.push(format!("{id} received no reading"));
            }
        }
        ends += self.clouds(&mut complaints);
        if sums.arrived == 0 {
            complaints.push("nothing arrived anywhere".to_owned());
        }
        let held = format!("all {} messages arrived at {ends} far ends", sums.arrived);
        let held = match sums.in_flight() {
            0 => held,
            left => format!("{held}, and {left} were still under way at the end"),
        };
        conclude(&Expectation::EndToEnd, &complaints, held).with([
            ("sent", sums.sent),
            ("arrived", sums.arrived),
            ("lost", sums.lost),
            ("in_flight", sums.in_flight()),
            ("far_ends", ends),
        ])
    }

    /// A built-in cloud must hear from every built-in gateway as many readings as that took in, but for what was under way.
    fn clouds(&self, complaints: &mut Vec<String>) -> u64 {
        let mut ends = 0;
        for (cloud, cloud_id) in self.of_role(Role::Cloud) {
            ends += 1;
            for (gateway, id) in self.of_role(Role::Gateway) {
                let routes = self.kernel.routes.of(gateway);
                let route = routes.iter().find(|route| route.to == cloud);
                let (Some(total), Some(route)) = (self.kernel.gateway(gateway), route) else { continue };
                let Some(heard) = self.kernel.cloud(cloud) else { continue };
                let heard = heard.get(&gateway).copied().unwrap_or_default();
                let all_there = route.sent == route.arrived;
                if all_there && (heard.total, heard.readings) != (total, total) {
                    complaints.push(format!(
                        "{cloud_id} heard of {} readings by way of {id}, of {total}",
                        heard.total
                    ));
                }
            }
        }
        ends
    }

    /// Messages of all senders that are wanted, counted once for each that was to hear it.
    pub(super) fn sums(&self, wanted: impl Fn(Role) -> bool) -> Sums {
        let mut sums = Sums::default();
        for (from, _) in (0..).zip(&self.plan.nodes).filter(|(_, node)| wanted(node.role)) {
            for route in self.kernel.routes.of(from) {
                sums.sent += route.sent;
                sums.arrived += route.arrived;
                sums.lost += route.lost;
            }
        }
        sums
    }

    /// Counts of each node.
    pub(super) fn nodes(&self) -> BTreeMap<String, NodeStats> {
        let stats = self.kernel.counts.iter().map(|counts| NodeStats {
            sent: counts.sent,
            received: counts.received,
            ..NodeStats::default()
        });
        self.plan.nodes.iter().map(|node| node.id.clone()).zip(stats).collect()
    }

    /// A claim of the engine itself: two runs were the same.
    pub(super) fn repeats(first: &xedge_model::Digest, second: &xedge_model::Digest) -> Claim {
        if first == second {
            let text = format!("two runs have the same trace {}", first.short());
            return Claim::new("trace.repeats", State::Held, text);
        }
        let text = format!(
            "two runs with one seed have the traces {} and {}: a node draws on something else than its seed, such as a clock",
            first.short(),
            second.short()
        );
        Claim::new("trace.repeats", State::Invalid, text)
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of messages stay far below 2^52")]
fn ratio(part: u64, of: u64) -> Option<f64> {
    (of > 0).then(|| part as f64 / of as f64)
}
