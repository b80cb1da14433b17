//! Values measured by hand, on both sides of their bounds.

use std::collections::BTreeMap;
use std::sync::Arc;

use xedge_model::scenario::Expectation;

use super::super::roster::{CloudEntry, GatewayEntry, Roster, SensorEntry};
use super::super::{Claim, Faults, Latencies, Percentiles, Seen, State, from_history, from_logs};
use super::Findings;
use crate::engine::Usage;
use crate::history::{Event, History, Kind};
use crate::run::Resources;

fn roster() -> Roster {
    let sensor = |id: &str, qos| SensorEntry {
        id: id.into(),
        topic: format!("sensors/{id}"),
        qos,
        acknowledged: qos == 1,
        planned: 4,
    };
    let gateway = GatewayEntry { id: "gw".into(), model: Some(("sensors/+".into(), "upstream/gw".into())) };
    Roster { sensors: vec![sensor("a", 1), sensor("b", 0)], gateways: vec![gateway], clouds: vec![] }
}

fn received(from: &str, seq: u64) -> Event {
    let topic = Arc::from(format!("sensors/{from}"));
    let kind = Kind::Received { topic, from: from.into(), seq, planned_us: 0, dup: false };
    Event { t_us: seq, node: Arc::from("gw"), kind }
}

fn acked(seq: u64) -> Event {
    Event { t_us: seq, node: Arc::from("a"), kind: Kind::Acked { seq, planned_us: 0, packet_id: 1 } }
}

/// All of `a`, one of them twice, and two of `b`; the fourth of `a` was not acknowledged.
fn some() -> Vec<Event> {
    let mut all: Vec<Event> = (1..=4).map(|seq| received("a", seq)).collect();
    all.extend([received("b", 1), received("b", 2), received("a", 3), acked(1), acked(2), acked(3)]);
    all
}

/// Memory and CPU time so far, seen once a second.
fn used(looks: &[(u64, u64)]) -> Resources {
    let mut found = Resources::default();
    for (second, (memory_bytes, cpu_us)) in (0..).zip(looks) {
        let (memory_bytes, cpu_us) = (*memory_bytes, *cpu_us);
        found.take(second * 1_000_000, Some(Usage { memory_bytes, cpu_us }));
    }
    found
}

fn decide(claim: &str, events: Vec<Event>, roster: &Roster) -> Claim {
    let history: History = events.into_iter().collect();
    let percentiles = |p99_us| Percentiles { count: 9, p50_us: 1, p90_us: 2_000, p99_us, max_us: 9_000 };
    let nodes = [
        ("used", used(&[(3 << 20, 0), (1 << 20, 900_000), (2 << 20, 1_000_000)])),
        ("once", used(&[(1, 1)])),
        ("none", used(&[])),
    ];
    let findings = Findings {
        seen: &Seen::of(&history, roster),
        roster,
        delivery: Latencies { all: Some(percentiles(8_000)), outside: Some(percentiles(5_000)) },
        acknowledgement: Latencies::default(),
        faults: &Faults::default(),
        resources: &nodes.map(|(node, used)| (node.to_owned(), used)).into(),
    };
    let expectation: Expectation = claim.parse().unwrap();
    from_history(&expectation, &findings).unwrap()
}

#[test]
fn measured_values_hold_on_one_side_of_their_bound_only() {
    for (claim, state) in [
        ("mqtt.delivery_ratio >= 0.75", State::Held),
        ("mqtt.delivery_ratio > 0.75", State::Failed),
        ("mqtt.delivery_ratio{qos=1} == 1", State::Held),
        ("mqtt.delivery_ratio{qos=0} >= 0.51", State::Failed),
        ("mqtt.delivery_ratio{qos=2} >= 0", State::Invalid),
        ("mqtt.acked_lost == 0", State::Held),
        ("mqtt.duplicates <= 0", State::Failed),
        ("mqtt.duplicates == 1", State::Held),
        ("mqtt.latency.p99 < 8ms", State::Failed),
        ("mqtt.latency.p99 <= 8ms", State::Held),
        ("mqtt.latency.p99 < 6ms outside faults", State::Held),
        ("mqtt.latency.p90 < 3ms", State::Held),
        ("mqtt.latency.max > 9ms", State::Failed),
        ("mqtt.ack_latency.p50 < 1h", State::Invalid),
        ("memory.peak(used) < 3MiB", State::Failed),
        ("memory.peak(used) <= 3MiB", State::Held),
        ("memory.peak(none) < 1g", State::Invalid),
        ("memory.peak(absent) < 1g", State::Invalid),
        ("cpu.mean(used) <= 0.5", State::Held),
        ("cpu.peak(used) < 0.9", State::Failed),
        ("cpu.mean(once) < 1", State::Invalid),
        ("node.recovers(used) < 1h", State::Invalid),
    ] {
        let found = decide(claim, some(), &roster());
        assert_eq!(found.state, state, "{found:?}");
    }
}

#[test]
fn nothing_that_happened_holds_nothing() {
    for claim in ["mqtt.acked_lost == 0", "mqtt.duplicates == 0"] {
        assert_eq!(decide(claim, vec![], &roster()).state, State::Invalid, "{claim}");
    }
    assert_eq!(decide("mqtt.delivery_ratio >= 0.1", vec![], &roster()).state, State::Failed);
    let alone = Roster { gateways: vec![], ..roster() };
    for claim in ["mqtt.acked_lost == 0", "mqtt.delivery_ratio >= 0"] {
        assert_eq!(decide(claim, some(), &alone).state, State::Invalid, "{claim}");
    }
}

#[test]
fn an_acknowledged_reading_that_is_lost_is_counted() {
    let mut events = some();
    events.retain(|event| *event != received("a", 2));
    let claim = decide("mqtt.acked_lost == 0", events, &roster());
    assert_eq!((claim.state, claim.counts["lost"]), (State::Failed, 1));
}

#[test]
fn a_container_counts_readings_and_not_their_quality() {
    let gateways = vec![GatewayEntry { id: "gw".into(), model: None }];
    let clouds = vec![CloudEntry { id: "c".into(), filter: "upstream/+".into() }];
    let roster = Roster { gateways, clouds, ..roster() };
    let (topic, gateway) = (String::from("upstream/gw"), String::from("gw"));
    let kind = Kind::Upstream { topic, gateway, window: 1, readings: 6, total: 6, dup: false };
    let heard = vec![Event { t_us: 1, node: Arc::from("c"), kind }];
    assert_eq!(decide("mqtt.delivery_ratio == 0.75", heard.clone(), &roster).state, State::Held);
    assert_eq!(decide("mqtt.delivery_ratio{qos=1} >= 0", heard, &roster).state, State::Invalid);
}

#[test]
fn a_log_has_a_line_or_has_none() {
    let logs = BTreeMap::from([("b".to_owned(), "started\nError: No space left on device\n".to_owned())]);
    for (claim, state) in [
        ("logs(b) =~ /No space left/", State::Held),
        ("logs(b) !~ /No space left/", State::Failed),
        ("logs(b) !~ /segfault/", State::Held),
        ("logs(b) =~ /segfault/", State::Failed),
        ("logs(other) !~ /segfault/", State::Invalid),
    ] {
        let claim = from_logs(&claim.parse().unwrap(), &logs).unwrap();
        assert_eq!(claim.state, state, "{claim:?}");
    }
}
