//! Histories made by hand, most of which must fail.

use std::sync::Arc;
use std::time::Duration;

use super::roster::{CloudEntry, GatewayEntry, Roster, SensorEntry};
use super::stats::{delivery_latency, per_node, send_lag};
use super::{Claim, Faults, Percentiles, Seen, State, Verdict, generator_kept_up};
use crate::history::{Event, History, Kind};

fn sensors_publish(events: &[Event], roster: &Roster) -> Claim {
    super::sensors_publish(&seen(events, roster), roster)
}

fn gateway_receives(events: &[Event], roster: &Roster) -> Claim {
    super::gateway_receives(&seen(events, roster), roster)
}

fn end_to_end(events: &[Event], roster: &Roster) -> Claim {
    super::end_to_end(&seen(events, roster), roster)
}

/// By hand, and so in any order.
fn seen(events: &[Event], roster: &Roster) -> Seen {
    Seen::of(&history(events), roster)
}

fn history(events: &[Event]) -> History {
    let mut events = events.to_vec();
    events.sort_by_key(|event| event.t_us);
    events.into_iter().collect()
}

fn roster() -> Roster {
    let sensor = |id: &str| SensorEntry {
        id: id.into(),
        topic: format!("sensors/{id}"),
        qos: 1,
        acknowledged: true,
        planned: 2,
    };
    Roster {
        sensors: vec![sensor("a"), sensor("b")],
        gateways: vec![GatewayEntry {
            id: "gw".into(),
            model: Some(("sensors/+".into(), "upstream/gw".into())),
        }],
        clouds: vec![],
    }
}

fn with_container() -> Roster {
    Roster {
        gateways: vec![GatewayEntry { id: "gw".into(), model: None }],
        clouds: vec![CloudEntry { id: "c".into(), filter: "upstream/+".into() }],
        ..roster()
    }
}

fn at(t_us: u64, node: &str, kind: Kind) -> Event {
    Event { t_us, node: Arc::from(node), kind }
}

fn sent(node: &str, seq: u64) -> Event {
    let topic = Arc::from(format!("sensors/{node}"));
    at(
        1_000 * seq + 7,
        node,
        Kind::Sent { topic, seq, planned_us: 1_000 * seq, packet_id: Some(1), dup: false },
    )
}

fn acked(node: &str, seq: u64) -> Event {
    at(1_000 * seq + 20, node, Kind::Acked { seq, planned_us: 1_000 * seq, packet_id: 1 })
}

fn received(from: &str, seq: u64) -> Event {
    let topic = format!("sensors/{from}").into();
    at(
        1_000 * seq + 30,
        "gw",
        Kind::Received { topic, from: from.into(), seq, planned_us: 1_000 * seq, dup: false },
    )
}

fn upstream(window: u64, readings: u64, total: u64) -> Event {
    let topic = "upstream/gw".to_owned();
    at(
        9_000 + window,
        "c",
        Kind::Upstream { topic, gateway: "gw".into(), window, readings, total, dup: false },
    )
}

fn good() -> Vec<Event> {
    let each = |f: fn(&str, u64) -> Event| [f("a", 1), f("a", 2), f("b", 1), f("b", 2)];
    [each(sent), each(acked), each(received)].concat()
}

fn without(events: Vec<Event>, gone: &Event) -> Vec<Event> {
    let count = events.len();
    let rest: Vec<Event> = events.into_iter().filter(|e| e != gone).collect();
    assert_eq!(rest.len(), count - 1);
    rest
}

fn failed(claim: &Claim, part: &str) {
    assert_eq!(claim.state, State::Failed, "{claim:?}");
    assert!(claim.text.contains(part), "{claim:?}");
}

#[test]
fn a_good_history_holds() {
    for claim in [sensors_publish, gateway_receives, end_to_end].map(|check| check(&good(), &roster())) {
        assert_eq!(claim.state, State::Held, "{claim:?}");
    }
    let events = [&good()[..8], &[upstream(1, 1, 1), upstream(2, 3, 4)]].concat();
    for claim in
        [sensors_publish, gateway_receives, end_to_end].map(|check| check(&events, &with_container()))
    {
        assert_eq!(claim.state, State::Held, "{claim:?}");
    }
}

#[test]
fn nothing_happened_holds_nothing() {
    for check in [sensors_publish, gateway_receives, end_to_end] {
        for roster in [roster(), with_container(), Roster::default()] {
            assert_eq!(check(&[], &roster).state, State::Failed);
        }
        assert_eq!(check(&good(), &Roster::default()).state, State::Failed);
    }
    assert_eq!(Verdict::over(&[]), Verdict::Invalid(vec![]));
}

#[test]
fn unsent_and_unacknowledged_readings_fail() {
    failed(&sensors_publish(&without(good(), &sent("b", 2)), &roster()), "b sent 1 of 2 readings");
    failed(
        &sensors_publish(&without(good(), &acked("a", 2)), &roster()),
        "1 of 2 readings of a were acknowledged",
    );
    let refused = at(1, "b", Kind::Refused { code: Some(5), reason: "not authorised".into() });
    let only_a: Vec<Event> = good().into_iter().filter(|e| &*e.node != "b").chain([refused]).collect();
    failed(&sensors_publish(&only_a, &roster()), "b sent 0 of 2 readings: not authorised");
}

#[test]
fn an_acknowledgement_given_twice_does_not_stand_for_two() {
    let mut events = without(good(), &acked("a", 2));
    events.push(acked("a", 1));
    failed(&sensors_publish(&events, &roster()), "1 of 2 readings of a were acknowledged");
}

#[test]
fn an_acknowledged_reading_that_is_lost_fails() {
    let claim = end_to_end(&without(good(), &received("b", 1)), &roster());
    failed(&claim, "1 acknowledged readings did not reach gw, the first is 1 of b");
    assert_eq!((claim.counts["lost"], claim.counts["acknowledged"]), (1, 4));
    // One that was not acknowledged may be lost.
    let events = without(without(good(), &received("b", 1)), &acked("b", 1));
    assert_eq!(end_to_end(&events, &roster()).state, State::Held);
}

#[test]
fn a_duplicate_counts_and_does_not_replace_a_lost_one() {
    let twice = [good(), vec![received("a", 1)]].concat();
    let claim = end_to_end(&twice, &roster());
    assert_eq!((claim.state, claim.counts["duplicates"]), (State::Held, 1));
    assert_eq!(end_to_end(&without(twice, &received("b", 2)), &roster()).state, State::Failed);
}

#[test]
fn what_nobody_sent_and_what_nobody_wants_fails() {
    failed(&end_to_end(&[good(), vec![received("a", 9)]].concat(), &roster()), "which was not sent");
    let mut deaf = roster();
    deaf.gateways[0].model = Some(("other/+".into(), "upstream/gw".into()));
    failed(&end_to_end(&good(), &deaf), "no gateway subscribes to sensors/a of a");
    failed(&gateway_receives(&good()[..8], &roster()), "gw received no reading");
}

#[test]
fn the_counts_of_a_container_must_add_up() {
    let check = |upstream: &[Event]| end_to_end(&[&good()[..8], upstream].concat(), &with_container());
    failed(&check(&[]), "c heard of 0 readings by way of gw, of 4");
    failed(&check(&[upstream(1, 3, 3)]), "heard of 3 readings by way of gw, of 4");
    failed(&check(&[upstream(1, 5, 5)]), "and only 4 were there");
    failed(&check(&[upstream(2, 1, 4)]), "have 1 readings, and gw says 4");
    let repeated = check(&[upstream(1, 4, 4), upstream(1, 4, 4)]);
    assert_eq!((repeated.state, repeated.counts["duplicates"]), (State::Held, 1));
    let mut deaf = with_container();
    deaf.clouds.clear();
    failed(&end_to_end(&good(), &deaf), "no cloud hears");
}

#[test]
fn a_cloud_behind_a_gateway_model_must_hear_all() {
    let mut roster = roster();
    roster.clouds = with_container().clouds;
    failed(&end_to_end(&good(), &roster), "c heard of 0 readings by way of gw, of 4");
    let events = [good(), vec![upstream(1, 4, 4)]].concat();
    assert_eq!(end_to_end(&events, &roster).state, State::Held);
}

#[test]
fn percentiles_are_by_nearest_rank() {
    assert_eq!(Percentiles::of(vec![]), None);
    let all =
        |p50_us, p90_us, p99_us, max_us, count| Some(Percentiles { count, p50_us, p90_us, p99_us, max_us });
    assert_eq!(Percentiles::of(vec![5]), all(5, 5, 5, 5, 1));
    assert_eq!(Percentiles::of((1..=100).rev().collect()), all(50, 90, 99, 100, 100));
    assert_eq!(Percentiles::of((1..=200).collect()), all(100, 180, 198, 200, 200));
}

#[test]
fn times_are_measured_from_the_plan() {
    let lag = send_lag(&history(&good()), &roster(), &Faults::default()).unwrap();
    assert_eq!((lag.count, lag.p50_us), (4, 7));
    let late = history(&[good(), vec![received("a", 1)]].concat());
    assert_eq!(
        delivery_latency(&late, &Faults::default()).all.unwrap().count,
        4,
        "a duplicate is no delivery"
    );
    assert_eq!(delivery_latency(&late, &Faults::default()).all.unwrap().max_us, 30);
    assert_eq!(per_node(&late)["gw"].received, 5);
}

#[test]
fn a_lagging_generator_makes_a_run_invalid_and_hides_no_failure() {
    let lag = Percentiles { count: 9, p50_us: 1, p90_us: 1, p99_us: 600_000, max_us: 600_000 };
    let limit = Duration::from_millis(500);
    assert_eq!(generator_kept_up(None, limit), None);
    assert_eq!(generator_kept_up(Some(&Percentiles { p99_us: 500_000, ..lag }), limit), None);
    let late = generator_kept_up(Some(&lag), limit).unwrap();
    let held = Claim::new("x", State::Held, "");
    assert_eq!(Verdict::over(&[held.clone(), late.clone()]), Verdict::Invalid(vec![late.clone()]));
    let broken = Claim::new("y", State::Failed, "");
    assert!(matches!(Verdict::over(&[held.clone(), late, broken]), Verdict::Failed(list) if list.len() == 2));
    assert_eq!(Verdict::over(&[held]), Verdict::Passed);
}
