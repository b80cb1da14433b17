//! Whether readings were sent, acknowledged, received, and passed on.

use std::collections::{BTreeMap, BTreeSet};

use xedge_model::scenario::Expectation;

use super::roster::{GatewayEntry, Roster};
use super::{Claim, State};
use crate::history::{Event, Kind};
use crate::mqtt::topic;

/// A reading: sensor and sequence number.
type Reading<'a> = (&'a str, u64);

/// Complaints that are spelled out; the rest is counted.
const SHOWN: usize = 5;

/// `sensors.publish`: every planned reading was sent, and acknowledged where the sensor asks for it.
pub fn sensors_publish(events: &[Event], roster: &Roster) -> Claim {
    let (sent, acked) = (sent(events, roster), acked(events, roster));
    let refused = refusals(events);
    let (sent_by, acked_by) = (per_sensor(&sent), per_sensor(&acked));
    let mut complaints = Vec::new();
    for sensor in &roster.sensors {
        let id = sensor.id.as_str();
        let count = |of: &BTreeMap<&str, u64>| of.get(id).copied().unwrap_or(0);
        let (sent, acked) = (count(&sent_by), count(&acked_by));
        if sent < sensor.planned.max(1) {
            let why = refused.get(id).map_or_else(String::new, |why| format!(": {why}"));
            complaints.push(format!("{id} sent {sent} of {} readings{why}", sensor.planned));
        } else if sensor.acknowledged && acked < sent {
            complaints.push(format!("{acked} of {sent} readings of {id} were acknowledged"));
        }
    }
    if roster.sensors.is_empty() {
        complaints.push("there is no sensor".to_owned());
    }
    let held = format!(
        "{} sensors sent {} readings, {} acknowledged",
        roster.sensors.len(),
        sent.len(),
        acked.len()
    );
    conclude(&Expectation::SensorsPublish, &complaints, held).with([
        ("sensors", roster.sensors.len() as u64),
        ("sent", count(&sent)),
        ("acknowledged", count(&acked)),
    ])
}

/// `gateway.receives`: every gateway received at least one reading.
pub fn gateway_receives(events: &[Event], roster: &Roster) -> Claim {
    let mut complaints = Vec::new();
    let mut total = 0;
    for gateway in &roster.gateways {
        let seen = match gateway.model {
            Some(_) => count(&received(events, &gateway.id).0),
            None => heard_anywhere(events, &gateway.id),
        };
        total += seen;
        if seen == 0 {
            let refused = refusals(events);
            let why = refused.get(gateway.id.as_str()).map_or_else(String::new, |why| format!(": {why}"));
            complaints.push(format!("{} received no reading{why}", gateway.id));
        }
    }
    if roster.gateways.is_empty() {
        complaints.push("there is no gateway".to_owned());
    }
    let held = format!("{} gateways received {total} readings", roster.gateways.len());
    conclude(&Expectation::GatewayReceives, &complaints, held)
        .with([("gateways", roster.gateways.len() as u64), ("received", total)])
}

/// `mqtt.end_to_end`: every acknowledged reading is seen at the far end. That is each gateway model that subscribes to
/// it, and each cloud, which must hear from every gateway as many readings as that gateway took in.
pub fn end_to_end(events: &[Event], roster: &Roster) -> Claim {
    let (sent, acked) = (sent(events, roster), acked(events, roster));
    let mut ends = Ends::default();
    for gateway in &roster.gateways {
        match &gateway.model {
            Some((filter, upstream)) => {
                ends.model(events, roster, gateway, (filter, upstream), (&acked, &sent));
            }
            None => ends.container(events, roster, gateway, (count(&acked), count(&sent))),
        }
    }
    if acked.is_empty() {
        ends.complaints.push("no reading was acknowledged, so nothing could arrive".to_owned());
    }
    if roster.gateways.is_empty() {
        ends.complaints.push("there is no gateway".to_owned());
    }
    ends.unwanted(roster, &acked);
    let held = format!("all {} acknowledged readings arrived at {} far ends", acked.len(), ends.seen);
    conclude(&Expectation::EndToEnd, &ends.complaints, held).with([
        ("acknowledged", count(&acked)),
        ("lost", ends.lost),
        ("duplicates", ends.duplicates),
        ("far_ends", ends.seen),
    ])
}

/// What was found at the far ends.
#[derive(Default)]
struct Ends {
    complaints: Vec<String>,
    lost: u64,
    duplicates: u64,
    seen: u64,
}

impl Ends {
    fn model(
        &mut self,
        events: &[Event],
        roster: &Roster,
        gateway: &GatewayEntry,
        (filter, upstream): (&str, &str),
        (acked, sent): (&BTreeSet<Reading<'_>>, &BTreeSet<Reading<'_>>),
    ) {
        self.seen += 1;
        let heard: BTreeSet<&str> = roster
            .sensors
            .iter()
            .filter(|s| topic::matches(filter, &s.topic))
            .map(|s| s.id.as_str())
            .collect();
        let (received, repeated) = received(events, &gateway.id);
        self.duplicates += repeated;
        let lost: Vec<&Reading<'_>> =
            acked.iter().filter(|r| heard.contains(r.0) && !received.contains(*r)).collect();
        self.lost += lost.len() as u64;
        if let Some((sensor, seq)) = lost.first() {
            self.complaints.push(format!(
                "{} acknowledged readings did not reach {}, the first is {seq} of {sensor}",
                lost.len(),
                gateway.id
            ));
        }
        if let Some((sensor, seq)) = received.difference(sent).next() {
            self.complaints
                .push(format!("{} received reading {seq} of {sensor}, which was not sent", gateway.id));
        }
        for cloud in roster.clouds.iter().filter(|c| topic::matches(&c.filter, upstream)) {
            self.cloud(events, &cloud.id, &gateway.id, (count(&received), count(&received)));
        }
    }

    fn container(&mut self, events: &[Event], roster: &Roster, gateway: &GatewayEntry, range: (u64, u64)) {
        for cloud in &roster.clouds {
            let found = self.cloud(events, &cloud.id, &gateway.id, range);
            self.lost += range.0.saturating_sub(found);
        }
        if roster.clouds.is_empty() {
            self.complaints.push(format!("no cloud hears what {} counts", gateway.id));
        }
    }

    /// Whether what a cloud heard from a gateway adds up to a number in `least..=most`.
    fn cloud(&mut self, events: &[Event], cloud: &str, gateway: &str, (least, most): (u64, u64)) -> u64 {
        self.seen += 1;
        let heard = upstream(events, cloud, gateway);
        self.duplicates += heard.repeated;
        if heard.sum != heard.total {
            self.complaints.push(format!(
                "the windows that {cloud} got from {gateway} have {} readings, and {gateway} says {}",
                heard.sum, heard.total
            ));
        } else if heard.total < least {
            self.complaints
                .push(format!("{cloud} heard of {} readings by way of {gateway}, of {least}", heard.total));
        } else if heard.total > most {
            self.complaints.push(format!(
                "{cloud} heard of {} readings by way of {gateway}, and only {most} were there",
                heard.total
            ));
        }
        heard.total
    }

    /// Readings that no gateway subscribes to cannot arrive anywhere. A container's subscription is not known here.
    fn unwanted(&mut self, roster: &Roster, acked: &BTreeSet<Reading<'_>>) {
        if roster.gateways.iter().any(|g| g.model.is_none()) {
            return;
        }
        let filters: Vec<&str> =
            roster.gateways.iter().filter_map(|g| g.model.as_ref()).map(|(f, _)| f.as_str()).collect();
        for sensor in &roster.sensors {
            if !filters.iter().any(|filter| topic::matches(filter, &sensor.topic)) {
                self.lost += acked.iter().filter(|(id, _)| *id == sensor.id).count() as u64;
                self.complaints.push(format!("no gateway subscribes to {} of {}", sensor.topic, sensor.id));
            }
        }
    }
}

struct Heard {
    sum: u64,
    total: u64,
    repeated: u64,
}

fn upstream(events: &[Event], cloud: &str, from: &str) -> Heard {
    let mut windows = BTreeMap::new();
    let mut repeated = 0;
    let mut last = 0;
    for event in events.iter().filter(|e| &*e.node == cloud) {
        if let Kind::Upstream { gateway, window, readings, total, .. } = &event.kind
            && gateway == from
        {
            repeated += u64::from(windows.insert(*window, *readings).is_some());
            last = last.max(*total);
        }
    }
    Heard { sum: windows.values().sum(), total: last, repeated }
}

fn heard_anywhere(events: &[Event], from: &str) -> u64 {
    let total = |event: &Event| match &event.kind {
        Kind::Upstream { gateway, total, .. } if gateway == from => Some(*total),
        _ => None,
    };
    events.iter().filter_map(total).max().unwrap_or(0)
}

fn sent<'a>(events: &'a [Event], roster: &'a Roster) -> BTreeSet<Reading<'a>> {
    of_sensors(events, roster, |kind| match kind {
        Kind::Sent { seq, .. } => Some(*seq),
        _ => None,
    })
}

fn acked<'a>(events: &'a [Event], roster: &'a Roster) -> BTreeSet<Reading<'a>> {
    of_sensors(events, roster, |kind| match kind {
        Kind::Acked { seq, .. } => Some(*seq),
        _ => None,
    })
}

fn of_sensors<'a>(
    events: &'a [Event],
    roster: &'a Roster,
    seq: impl Fn(&Kind) -> Option<u64>,
) -> BTreeSet<Reading<'a>> {
    let sensors: BTreeSet<&str> = roster.sensors.iter().map(|s| s.id.as_str()).collect();
    let of_sensor = events.iter().filter(|e| sensors.contains(&*e.node));
    of_sensor.filter_map(|e| Some((&*e.node, seq(&e.kind)?))).collect()
}

fn per_sensor<'a>(readings: &BTreeSet<Reading<'a>>) -> BTreeMap<&'a str, u64> {
    let mut counts = BTreeMap::new();
    for (sensor, _) in readings {
        *counts.entry(*sensor).or_default() += 1;
    }
    counts
}

/// The readings that a gateway model received, and how many came more than once.
fn received<'a>(events: &'a [Event], gateway: &str) -> (BTreeSet<Reading<'a>>, u64) {
    let mut readings = BTreeSet::new();
    let mut repeated = 0;
    for event in events.iter().filter(|e| &*e.node == gateway) {
        if let Kind::Received { from, seq, .. } = &event.kind {
            repeated += u64::from(!readings.insert((from.as_str(), *seq)));
        }
    }
    (readings, repeated)
}

/// Why nodes were refused, the last reason of each.
fn refusals(events: &[Event]) -> BTreeMap<&str, &str> {
    events
        .iter()
        .filter_map(|event| match &event.kind {
            Kind::Refused { reason, .. } => Some((&*event.node, reason.as_str())),
            _ => None,
        })
        .collect()
}

fn count(readings: &BTreeSet<Reading<'_>>) -> u64 {
    readings.len() as u64
}

pub(crate) fn conclude(expectation: &Expectation, complaints: &[String], held: String) -> Claim {
    if complaints.is_empty() {
        return Claim::new(expectation, State::Held, held);
    }
    let shown = complaints.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("; ");
    let more = complaints.len().saturating_sub(SHOWN);
    let rest = if more > 0 { format!("; and {more} more") } else { String::new() };
    Claim::new(expectation, State::Failed, shown + &rest)
}
