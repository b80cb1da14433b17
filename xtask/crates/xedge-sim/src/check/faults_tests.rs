//! Timelines and histories made by hand.

use std::sync::Arc;
use std::time::Duration;

use xedge_model::duration::Span;
use xedge_model::scenario::TimelineEntry;
use xedge_model::yaml::Source;

use super::super::roster::{GatewayEntry, Roster, SensorEntry};
use super::super::{Seen, State};
use super::{Faults, Window};
use crate::history::{Event, History, Kind, Step};

fn timeline(text: &str) -> Vec<TimelineEntry> {
    Source::new("t.yaml", text).parse().unwrap()
}

fn at(ms: u64, node: &str, kind: Kind) -> Event {
    Event { t_us: ms * 1_000, node: Arc::from(node), kind }
}

fn step(ms: u64, entry: usize, step: Step) -> Event {
    at(ms, "broker", Kind::Fault { entry, step })
}

fn ordered(ms: u64, entry: usize) -> Event {
    step(ms, entry, Step::Ordered { action: "x".into(), planned_us: ms * 1_000 })
}

fn lost_connection(ms: u64, node: &str) -> Event {
    at(ms, node, Kind::Disconnected { reason: "eof".into() })
}

fn connected(ms: u64, node: &str) -> Event {
    at(ms, node, Kind::Connected { session_present: true })
}

fn acked(ms: u64, seq: u64, planned: u64) -> Event {
    at(ms, "s", Kind::Acked { seq, planned_us: planned * 1_000, packet_id: 1 })
}

fn received(ms: u64, seq: u64, planned: u64) -> Event {
    let (topic, from) = (Arc::from("sensors/s"), Arc::from("s"));
    at(ms, "gw", Kind::Received { topic, from, seq, planned_us: planned * 1_000, dup: false })
}

fn roster() -> Roster {
    let sensor =
        SensorEntry { id: "s".into(), topic: "sensors/s".into(), qos: 1, acknowledged: true, planned: 5 };
    let gateway = GatewayEntry { id: "gw".into(), model: Some(("sensors/+".into(), String::new())) };
    Roster { sensors: vec![sensor], gateways: vec![gateway], clouds: vec![] }
}

fn faults(timeline: &[TimelineEntry], events: Vec<Event>) -> Faults {
    let history: History = events.into_iter().collect();
    let seen = Seen::of(&history, &roster());
    Faults::of(timeline, &history).with_readings(&history, &seen, &roster())
}

const KILL: &str = "[{at: 1s, kill: broker}, {at: 2s, start: broker, recover_within: 500ms}]";

/// Killed at 1 s, started at 2 s, ready at 2.3 s, the last client back at 2.6 s.
fn killed() -> Vec<Event> {
    vec![
        received(900, 1, 890),
        acked(950, 2, 940),
        ordered(1_000, 0),
        lost_connection(1_010, "s"),
        lost_connection(1_011, "gw"),
        step(1_020, 0, Step::Gone { code: 137 }),
        step(1_020, 0, Step::Over),
        ordered(2_000, 1),
        step(2_100, 1, Step::Started),
        connected(2_250, "gw"),
        // Models may be quicker than the run's own question.
        received(2_280, 5, 1_600),
        step(2_300, 1, Step::Ready),
        step(2_300, 1, Step::Over),
        connected(2_600, "s"),
        acked(2_610, 3, 1_500),
        received(2_620, 3, 1_500),
        acked(3_000, 4, 2_990),
        received(3_001, 4, 2_990),
    ]
}

#[test]
fn a_kill_lasts_until_the_node_is_ready_and_its_clients_are_back() {
    let faults = faults(&timeline(KILL), killed());
    let claims = faults.claims();
    let states: Vec<State> = claims.iter().map(|claim| claim.state).collect();
    assert_eq!(states, [State::Held; 3], "{claims:?}");
    assert!(claims[0].text.starts_with("gone after 20 ms with exit code 137"), "{claims:?}");
    assert_eq!(claims[2].counts["recovery_us"], 200_000);
    assert!(faults.is_outside(0, 999_999) && faults.is_outside(2_600_001, 2_600_002));
    assert!(!faults.is_outside(900_000, 1_000_000) && !faults.is_outside(0, 9_000_000));
    assert!(!faults.is_outside(2_500_000, 2_500_000), "a client is still away");
    assert_eq!(faults.recoveries("broker").collect::<Vec<_>>(), [Some(1_300_000)]);
    assert_eq!(faults.recoveries("gateway").count(), 0);
    let list = faults.into_list();
    let window = Window {
        from_us: 1_000_000,
        resumed_us: Some(2_100_000),
        mended_us: Some(2_300_000),
        to_us: Some(2_600_000),
    };
    assert_eq!((list[0].window, list[1].window), (Some(window), None));
    // Readings 3 and 5 were due while the broker was away; 2 was acknowledged before and never came.
    assert_eq!((list[0].disconnected, list[0].late, list[0].lost), (2, 2, 1));
}

#[test]
fn a_slow_recovery_fails_and_one_that_never_came_is_no_recovery() {
    let late = timeline(&KILL.replace("500ms", "199ms"));
    assert_eq!(faults(&late, killed()).claims()[2].state, State::Failed);

    let never: Vec<Event> = killed().into_iter().filter(|event| event.t_us <= 2_100_000).collect();
    let faults = faults(&timeline(KILL), never);
    let states: Vec<State> = faults.claims().iter().map(|claim| claim.state).collect();
    assert_eq!(states, [State::Held, State::Invalid, State::Invalid]);
    assert_eq!(faults.recoveries("broker").collect::<Vec<_>>(), [None]);
    assert!(!faults.is_outside(9_000_000, 9_000_000));
}

#[test]
fn a_fault_without_effect_or_that_was_not_reached_is_invalid() {
    let nothing = faults(&timeline("[{at: 9s, kill: broker}]"), vec![connected(1, "s")]);
    assert_eq!(nothing.claims()[0].state, State::Invalid);
    assert_eq!(nothing.claims()[0].text, "the run ended before it was due");
    let reason = "it still ran 10 s after SIGTERM";
    let stubborn = vec![
        ordered(1_000, 0),
        step(2_000, 0, Step::NoEffect { reason: reason.into() }),
        step(2_000, 0, Step::Over),
    ];
    let stubborn = faults(&timeline("[{at: 1s, kill: broker, signal: TERM}]"), stubborn);
    assert_eq!((stubborn.claims()[0].state, stubborn.claims()[0].text.as_str()), (State::Invalid, reason));
    assert!(stubborn.is_outside(1_500_000, 1_500_000), "what had no effect hit nothing");
    let cut_short = faults(&timeline("[{at: 1s, pause: broker, for: 2s}]"), vec![ordered(1_000, 0)]);
    assert_eq!(cut_short.claims()[0].text, "it did not come to its end");
}

#[test]
fn a_pause_ends_when_the_node_answers_again() {
    let events = vec![
        ordered(1_000, 0),
        step(1_100, 0, Step::Held),
        step(3_100, 0, Step::Released),
        step(3_150, 0, Step::Ready),
        step(3_150, 0, Step::Over),
    ];
    let faults = faults(&timeline("[{at: 1s, pause: broker, for: 2s, recover_within: 50ms}]"), events);
    assert_eq!(faults.claims().iter().map(|c| c.state).collect::<Vec<_>>(), [State::Held; 2]);
    assert!(faults.is_outside(3_150_001, 3_150_001) && !faults.is_outside(1_050_000, 1_050_000));
    let recovery = faults.recoveries("broker").next().flatten().map(Duration::from_micros).map(Span);
    assert_eq!(recovery.unwrap().to_string(), "2150ms");
}

/// The moment of a reset is its end, and clients hear of it after.
#[test]
fn a_client_may_notice_a_cut_after_its_end() {
    let link = |ms, what| at(ms, "lan", Kind::Fault { entry: 0, step: what });
    let events = vec![
        link(1_000, Step::Ordered { action: "x".into(), planned_us: 1_000_000 }),
        link(1_001, Step::Cut { connections: 2 }),
        link(1_001, Step::Healed { pieces: 0 }),
        link(1_001, Step::Over),
        lost_connection(1_001, "s"),
        lost_connection(1_090, "gw"),
        connected(1_400, "s"),
        connected(1_500, "gw"),
        // Long after, and for another reason.
        lost_connection(9_000, "s"),
        connected(9_300, "s"),
    ];
    let faults = faults(&timeline("[{at: 1s, reset: lan}]"), events);
    assert!(!faults.is_outside(1_450_000, 1_450_000) && faults.is_outside(1_500_001, 1_500_001));
    assert_eq!(faults.into_list()[0].disconnected, 2);
}

#[test]
fn a_connection_that_breaks_in_a_fault_is_not_laid_to_the_one_just_before() {
    let events = vec![
        ordered(1_000, 0),
        step(1_001, 0, Step::Held),
        step(1_500, 0, Step::Released),
        step(1_510, 0, Step::Ready),
        step(1_510, 0, Step::Over),
        ordered(2_000, 1),
        lost_connection(2_001, "s"),
        step(2_002, 1, Step::Gone { code: 0 }),
        step(2_300, 1, Step::Started),
        step(2_400, 1, Step::Ready),
        step(2_400, 1, Step::Over),
        connected(2_450, "s"),
    ];
    let entries = timeline("[{at: 1s, pause: broker, for: 500ms}, {at: 2s, restart: broker}]");
    let broke: Vec<u64> = faults(&entries, events).into_list().iter().map(|f| f.disconnected).collect();
    assert_eq!(broke, [0, 1]);
}
