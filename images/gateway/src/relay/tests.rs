//! What is published and acknowledged in which order, and that nothing is acknowledged and then lost.

use super::{Action, Relay};
use crate::aggregate::Reading;
use crate::config::{Config, Overrides};

fn relay() -> Relay<u32> {
    let overrides = Overrides { broker: Some("b".into()), id: Some("gw".into()), ..Overrides::default() };
    let mut config = Config::load(&overrides).unwrap();
    config.max_unacked = 4;
    Relay::new(&config)
}

fn reading(seq: u32) -> Reading {
    let json = format!(r#"{{"id":"a","seq":{seq},"sent_us":{seq},"value":1}}"#);
    Reading::parse(json.as_bytes(), false).unwrap()
}

/// Feeds reading `seq`, whose acknowledgement is `ack`.
fn feed(relay: &mut Relay<u32>, seq: u32, ack: u32) -> String {
    let actions = relay.message(Some(&reading(seq)), Some(ack));
    show(&actions)
}

/// `P3` for a publish of 3 readings, `A7` for the acknowledgement 7.
fn show(actions: &[Action<u32>]) -> String {
    let one = |action: &Action<u32>| match action {
        Action::Publish(json) => {
            let value: serde_json::Value = serde_json::from_slice(json).unwrap();
            format!("P{}", value["readings"])
        }
        Action::Acknowledge(ack) => format!("A{ack}"),
    };
    actions.iter().map(one).collect::<Vec<_>>().join(" ")
}

#[test]
fn acknowledged_only_after_confirmation() {
    let mut relay = relay();
    assert_eq!(show(&relay.connected()), "");
    assert_eq!(feed(&mut relay, 1, 11) + &feed(&mut relay, 2, 12), "");
    assert_eq!(show(&relay.due()), "P2");
    assert!(!relay.is_settled());
    assert_eq!(show(&relay.confirmed()), "A11 A12");
    assert!(relay.is_settled());
    assert_eq!(relay.total(), 2);
}

#[test]
fn an_empty_window_is_not_published() {
    let mut relay = relay();
    let _none = relay.connected();
    assert_eq!(show(&relay.due()), "");
    assert_eq!(show(&relay.message(None, Some(1))), "");
    assert_eq!(show(&relay.due()), "A1", "a malformed payload is acknowledged, or it would come for ever");
}

#[test]
fn a_full_window_is_closed_early() {
    let mut relay = relay();
    let _none = relay.connected();
    assert_eq!((1..=3).map(|n| feed(&mut relay, n, n)).collect::<String>(), "");
    assert_eq!(feed(&mut relay, 4, 4), "P4");
    assert_eq!((5..=8).map(|n| feed(&mut relay, n, n)).collect::<String>(), "", "one window at a time");
    assert_eq!(show(&relay.confirmed()), "A1 A2 A3 A4 P4");
}

#[test]
fn a_window_that_is_due_while_another_flies_follows_it() {
    let mut relay = relay();
    let _none = relay.connected();
    feed(&mut relay, 1, 1);
    assert_eq!(show(&relay.due()), "P1");
    feed(&mut relay, 2, 2);
    assert_eq!(show(&relay.due()), "");
    assert_eq!(show(&relay.confirmed()), "A1 P1");
}

#[test]
fn a_redelivered_reading_is_counted_once_and_acknowledged_after_its_window() {
    let mut relay = relay();
    let _none = relay.connected();
    feed(&mut relay, 1, 1);
    assert_eq!(show(&relay.due()), "P1");
    relay.disconnected();
    let _none = relay.connected();
    assert_eq!(feed(&mut relay, 1, 21), "", "its first copy is still on its way");
    assert_eq!(show(&relay.due()), "");
    assert_eq!(show(&relay.confirmed()), "A21", "and not the acknowledgement of the old connection");
    assert_eq!(relay.total(), 1);
    assert!(relay.is_settled());
}

#[test]
fn nothing_is_published_without_a_connection() {
    let mut relay = relay();
    let _none = relay.connected();
    feed(&mut relay, 1, 1);
    relay.disconnected();
    assert_eq!(show(&relay.due()), "");
    assert_eq!(show(&relay.connected()), "P1", "the reading was counted, and its window is due");
}

#[test]
fn a_lost_window_goes_out_again() {
    let mut relay = relay();
    let _none = relay.connected();
    feed(&mut relay, 1, 1);
    assert_eq!(show(&relay.due()), "P1");
    relay.disconnected();
    assert_eq!(show(&relay.lost()), "");
    assert_eq!(show(&relay.connected()), "P1");
    assert_eq!(show(&relay.confirmed()), "");
    assert!(relay.is_settled());
}

#[test]
fn readings_without_acknowledgement_are_published_by_time() {
    let mut relay = relay();
    let _none = relay.connected();
    for n in 1..=9 {
        assert_eq!(show(&relay.message(Some(&reading(n)), None)), "");
    }
    assert_eq!(show(&relay.due()), "P9");
}
