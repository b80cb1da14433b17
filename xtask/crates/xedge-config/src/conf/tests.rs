//! Tests of the mosquitto.conf parser.

use super::{Conf, Saving, Scope};
use crate::Error;
use xedge_model::Failure;

fn refused(text: &str, part: &str) -> Option<String> {
    let error: Error = Conf::parse("m.conf", text).unwrap_err();
    assert!(error.to_string().contains(part), "{error}");
    error.hint()
}

#[test]
fn entries_have_places_and_scopes() {
    let conf =
        Conf::parse("m.conf", "# c\n\nlistener 1883 0.0.0.0\n  max_connections   5\r\npersistence true\n")
            .unwrap();
    let found: Vec<_> = conf
        .entries()
        .iter()
        .map(|e| (e.key.as_str(), e.value.as_str(), e.scope, e.line, e.column, e.value_column))
        .collect();
    assert_eq!(
        found,
        [
            ("listener", "1883 0.0.0.0", Scope::Listener(0), 3, 1, 10),
            ("max_connections", "5", Scope::Listener(0), 4, 3, 21),
            ("persistence", "true", Scope::Broker, 5, 1, 13),
        ]
    );
}

#[test]
fn an_unknown_key_is_named_with_the_near_one() {
    let hint = refused(
        "listener 1883\nallow_anonymus false\n",
        "failed to read m.conf:2:1: mosquitto 2.0 has no key `allow_anonymus`, and 2.1 has none\n  |\n2 | allow_anonymus false\n  | ^",
    );
    assert_eq!(hint.as_deref(), Some("did you mean `allow_anonymous`?"));
}

#[test]
fn the_last_one_does_not_win() {
    refused(
        "allow_anonymous false\nallow_anonymous true\n",
        "m.conf:2:1: `allow_anonymous` is already given on line 1",
    );
    refused(
        "listener 1883\nallow_anonymous false\nlistener 1884\nallow_anonymous true\n",
        "already given on line 2",
    );
    refused("log_type error\nlog_type error\n", "already given");
    refused("listener 1883\nprotocol mqtt\nprotocol websockets\n", "already given");
    Conf::parse("m.conf", "listener 1883\nprotocol mqtt\nlistener 1884\nprotocol websockets\nlog_type error\nlog_type warning\n").unwrap();
}

#[test]
fn what_mosquitto_would_read_differently_is_refused() {
    refused("allow_anonymous\tfalse\n", "m.conf:1:16: a control character");
    refused("  # allow_anonymous false\n", "only at the very start");
    refused(
        "allow_anonymous false # really\n",
        "m.conf:1:17: `allow_anonymous` needs `true` or `false`, not `false # really`",
    );
    refused("include_dir /etc/x\n", "what it brings in");
    refused("persistence\n", "`persistence` needs `true` or `false`");
    refused("listener 70000\n", "a port and perhaps an address");
    refused("listener 0\n", "a port and perhaps an address");
    refused("log_dest file mosquitto.log\n", "or `file PATH`");
    refused("log_type warn\n", "one of debug, error");
    refused("max_packet_size 5\n", "from 20 to");
    refused("persistent_client_expiration 7\n", "a number and one of h, d, w, m, y");
    refused("remote_username x\n", "needs a `connection` before it");
    refused("password_file\n", "needs a value");
    refused("listener 1883\nper_listener_settings true\n", "before the first listener");
}

#[test]
fn facts_fill_in_the_defaults() {
    let facts = |text: &str| Conf::parse("m.conf", text).unwrap().facts();
    let none = facts("");
    assert!(none.anonymous(), "local-only mode is open");
    assert_eq!(none.listeners[0].address.as_deref(), Some("localhost"));
    assert_eq!((none.saving.as_ref(), none.log_dests), (None, vec!["stderr".to_owned()]));
    assert!(!facts("listener 1883\n").anonymous());
    assert!(facts("port 1883\nallow_anonymous true\n").anonymous());
    let saving = facts("persistence true\n").saving;
    assert_eq!(saving, Some(Saving { location: None, interval: 1_800, on_changes: false }));
}

#[test]
fn one_open_listener_makes_the_broker_open() {
    let text = "per_listener_settings true\nlistener 1883\npassword_file /p\nallow_anonymous false\nlistener 1884\nallow_anonymous true\ncertfile /c\n";
    let facts = Conf::parse("m.conf", text).unwrap().facts();
    assert!(facts.anonymous());
    assert_eq!(facts.listeners[0].password_file.as_deref(), Some("/p"));
    assert_eq!((facts.listeners[1].password_file.as_ref(), facts.listeners[1].tls), (None, true));
}
