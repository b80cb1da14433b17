//! Whether readings were sent, acknowledged, received, and passed on.

use std::collections::BTreeSet;

use xedge_model::scenario::Expectation;

use super::readings::Readings;
use super::roster::{GatewayEntry, Roster};
use super::seen::Seen;
use super::{Claim, State};
use crate::mqtt::topic;

/// Complaints that are spelled out; the rest is counted.
const SHOWN: usize = 5;

/// `sensors.publish`: every planned reading was sent, and acknowledged where the sensor asks for it.
pub fn sensors_publish(seen: &Seen, roster: &Roster) -> Claim {
    let mut complaints = Vec::new();
    for sensor in &roster.sensors {
        let id = sensor.id.as_str();
        let (sent, acked) = (seen.sent.count(id), seen.acked.count(id));
        if sent < sensor.planned.max(1) {
            complaints.push(format!("{id} sent {sent} of {} readings{}", sensor.planned, seen.refusal(id)));
        } else if sensor.acknowledged && acked < sent {
            complaints.push(format!("{acked} of {sent} readings of {id} were acknowledged"));
        }
    }
    if roster.sensors.is_empty() {
        complaints.push("there is no sensor".to_owned());
    }
    let (sensors, sent, acked) = (roster.sensors.len() as u64, seen.sent.len(), seen.acked.len());
    let held = format!("{sensors} sensors sent {sent} readings, {acked} acknowledged");
    let counts = [("sensors", sensors), ("sent", sent), ("acknowledged", acked)];
    conclude(&Expectation::SensorsPublish, &complaints, held).with(counts)
}

/// `gateway.receives`: every gateway received at least one reading.
pub fn gateway_receives(seen: &Seen, roster: &Roster) -> Claim {
    let mut complaints = Vec::new();
    let mut total = 0;
    for gateway in &roster.gateways {
        let id = gateway.id.as_str();
        let count = match gateway.model {
            Some(_) => seen.arrivals(id).map_or(0, |arrivals| arrivals.readings.len()),
            None => seen.heard_anywhere(id),
        };
        total += count;
        if count == 0 {
            complaints.push(format!("{id} received no reading{}", seen.refusal(id)));
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
pub fn end_to_end(seen: &Seen, roster: &Roster) -> Claim {
    let mut ends = far_ends(seen, roster);
    if seen.acked.is_empty() {
        ends.complaints.push("no reading was acknowledged, so nothing could arrive".to_owned());
    }
    if roster.gateways.is_empty() {
        ends.complaints.push("there is no gateway".to_owned());
    }
    let acked = seen.acked.len();
    let held = format!("all {acked} acknowledged readings arrived at {} far ends", ends.seen);
    conclude(&Expectation::EndToEnd, &ends.complaints, held).with([
        ("acknowledged", acked),
        ("lost", ends.lost),
        ("duplicates", ends.duplicates),
        ("far_ends", ends.seen),
    ])
}

/// Goes through all far ends.
pub(super) fn far_ends(seen: &Seen, roster: &Roster) -> Ends {
    let mut ends = Ends::default();
    for gateway in &roster.gateways {
        match &gateway.model {
            Some((filter, upstream)) => ends.model(seen, roster, gateway, (filter, upstream)),
            None => ends.container(seen, roster, gateway),
        }
    }
    ends.unwanted(roster, &seen.acked);
    ends
}

/// What was found at the far ends.
#[derive(Default)]
pub(super) struct Ends {
    complaints: Vec<String>,
    /// Acknowledged readings that did not get there.
    pub(super) lost: u64,
    /// How much came more than once.
    pub(super) duplicates: u64,
    seen: u64,
}

impl Ends {
    fn model(
        &mut self,
        seen: &Seen,
        roster: &Roster,
        gateway: &GatewayEntry,
        (filter, upstream): (&str, &str),
    ) {
        self.seen += 1;
        let nothing = Readings::default();
        let (received, repeated) = seen
            .arrivals(&gateway.id)
            .map_or((&nothing, 0), |arrivals| (&arrivals.readings, arrivals.repeated));
        self.duplicates += repeated;
        self.lost(seen, roster, gateway, filter, received);
        if let Some((sensor, seq)) = received.iter().find(|(id, seq)| !seen.sent.contains(id, *seq)) {
            self.complaints
                .push(format!("{} received reading {seq} of {sensor}, which was not sent", gateway.id));
        }
        for cloud in roster.clouds.iter().filter(|c| topic::matches(&c.filter, upstream)) {
            self.cloud(seen, &cloud.id, &gateway.id, (received.len(), received.len()));
        }
    }

    /// Acknowledged readings that a gateway subscribes to and did not get.
    fn lost(&mut self, seen: &Seen, roster: &Roster, gateway: &GatewayEntry, filter: &str, got: &Readings) {
        let subscribed = roster.sensors.iter().filter(|s| topic::matches(filter, &s.topic));
        let subscribed: BTreeSet<&str> = subscribed.map(|s| s.id.as_str()).collect();
        let missing = |(id, seq): &(&str, u64)| subscribed.contains(id) && !got.contains(id, *seq);
        let mut lost = seen.acked.iter().filter(missing);
        if let Some((sensor, seq)) = lost.next() {
            let count = 1 + lost.count() as u64;
            self.lost += count;
            self.complaints.push(format!(
                "{count} acknowledged readings did not reach {}, the first is {seq} of {sensor}",
                gateway.id
            ));
        }
    }

    fn container(&mut self, seen: &Seen, roster: &Roster, gateway: &GatewayEntry) {
        let range = (seen.acked.len(), seen.sent.len());
        for cloud in &roster.clouds {
            let found = self.cloud(seen, &cloud.id, &gateway.id, range);
            self.lost += range.0.saturating_sub(found);
        }
        if roster.clouds.is_empty() {
            self.complaints.push(format!("no cloud hears what {} counts", gateway.id));
        }
    }

    /// Whether what a cloud heard from a gateway adds up to a number in `least..=most`.
    fn cloud(&mut self, seen: &Seen, cloud: &str, gateway: &str, (least, most): (u64, u64)) -> u64 {
        self.seen += 1;
        let heard = seen.heard(cloud, gateway).cloned().unwrap_or_default();
        self.duplicates += heard.repeated;
        let (sum, total) = (heard.sum(), heard.total);
        if sum != total {
            self.complaints.push(format!(
                "the windows that {cloud} got from {gateway} have {sum} readings, and {gateway} says {total}"
            ));
        } else if total < least {
            self.complaints
                .push(format!("{cloud} heard of {total} readings by way of {gateway}, of {least}"));
        } else if total > most {
            self.complaints.push(format!(
                "{cloud} heard of {total} readings by way of {gateway}, and only {most} were there"
            ));
        }
        total
    }

    /// Readings that no gateway subscribes to cannot arrive anywhere. A container's subscription is not known here.
    fn unwanted(&mut self, roster: &Roster, acked: &Readings) {
        if roster.gateways.iter().any(|g| g.model.is_none()) {
            return;
        }
        let filters: Vec<&str> =
            roster.gateways.iter().filter_map(|g| g.model.as_ref()).map(|(f, _)| f.as_str()).collect();
        for sensor in &roster.sensors {
            if !filters.iter().any(|filter| topic::matches(filter, &sensor.topic)) {
                self.lost += acked.count(&sensor.id);
                self.complaints.push(format!("no gateway subscribes to {} of {}", sensor.topic, sensor.id));
            }
        }
    }
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
