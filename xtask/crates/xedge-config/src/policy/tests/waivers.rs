//! Tests of waivers: they cover what they name, until their day, and only while something needs them.

use xedge_model::Failure;
use xedge_model::yaml::Source;

use super::super::{Date, Declared, Finding, Review};
use super::{DEBIAN, edited, found, ids};

fn declared(waiver: &str) -> Declared {
    parse(waiver).unwrap()
}

fn parse(waiver: &str) -> Result<Declared, xedge_model::yaml::YamlError> {
    Declared::parse(&Source::new("policy.yaml", format!("format: 1\nwaivers:\n  - {waiver}\n")))
}

fn day(text: &str) -> Date {
    text.parse().unwrap()
}

fn findings() -> Vec<Finding> {
    found(edited(&[("mosquitto.conf", "certfile /run/secrets/tls-cert\n", "")]), Some(DEBIAN))
}

fn review(waiver: &str, today: &str) -> Review {
    Review::of(findings(), day(today)).with_waivers(&declared(waiver), "edge", "production", &[])
}

const MOST: &str = "reason: a closed network, owner: ops, expires: 2027-03-31";

#[test]
fn a_waiver_accepts_what_it_names_until_its_day() {
    assert_eq!(ids(&findings()), ["tls.listener"]);
    for place in ["", "place: mosquitto.conf, ", "place: mosquitto.conf listener.*.listener, "] {
        let waiver = format!("{{rule: tls.listener, {place}{MOST}}}");
        let review = review(&waiver, "2027-03-31");
        assert!(review.findings.is_empty(), "{place}: {:#?}", review.findings);
        assert_eq!(review.accepted[0].owner, "ops");
        let json: serde_json::Value = serde_json::from_str(&review.to_json()).unwrap();
        assert_eq!(json["accepted"][0]["finding"]["rule"], "tls.listener");
        assert_eq!(json["accepted"][0]["expires"], "2027-03-31");
    }
}

#[test]
fn an_expired_waiver_covers_nothing_and_is_an_error() {
    let review = review(&format!("{{rule: tls.listener, {MOST}}}"), "2027-04-01");
    assert_eq!(ids(&review.findings), ["tls.listener", "policy.waiver"]);
    assert_eq!((review.errors(), review.accepted.len()), (2, 0));
    assert_eq!(review.findings[1].place.to_string(), "policy.yaml:3:5");
    assert!(
        review.findings[1].message.contains("expired on 2027-03-31; ops"),
        "{}",
        review.findings[1].message
    );
}

#[test]
fn a_waiver_that_nothing_needs_is_an_error() {
    let unused = |waiver: &str| {
        let review = review(waiver, "2027-01-01");
        ids(&review.findings) == ["tls.listener", "policy.waiver"]
    };
    assert!(unused(&format!("{{rule: auth.anonymous, {MOST}}}")));
    assert!(unused(&format!("{{rule: tls.listener, place: other.conf, {MOST}}}")));
    assert!(unused(&format!("{{rule: tls.listener, stack: other, {MOST}}}")));
    let waiver = format!("{{rule: tls.listener, environment: simulation, {MOST}}}");
    assert_eq!(
        ids(&review(&waiver, "2027-01-01").findings),
        ["tls.listener"],
        "it is for another environment"
    );
    // Another stack that needs it makes it needed.
    let waiver = declared(&format!("{{rule: tls.listener, stack: other, {MOST}}}"));
    let others = [("other".to_owned(), findings())];
    let review =
        Review::of(Vec::new(), day("2027-01-01")).with_waivers(&waiver, "edge", "production", &others);
    assert!(review.findings.is_empty());
}

#[test]
fn a_waiver_without_reason_owner_or_day_is_refused() {
    let check = |waiver: &str, message: &str| {
        let error = parse(waiver).unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
        error.hint()
    };
    check(
        "{rule: tls.listener, reason: \" \", owner: ops, expires: 2027-03-31}",
        "policy.yaml:3:5: `reason`",
    );
    check("{rule: tls.listener, reason: x, owner: \"\", expires: 2027-03-31}", "`owner`");
    check("{rule: tls.listener, reason: x, owner: ops}", "expires");
    check("{rule: tls.listener, reason: x, owner: ops, expires: 2027-02-29}", "`2027-02-29` is no day");
    check("{rule: tls.listener, reason: x, owner: ops, expires: soon}", "`soon` is no day");
    check(&format!("{{rule: policy.waiver, {MOST}}}"), "cannot be waived");
    let hint = check(&format!("{{rule: tls.listner, {MOST}}}"), "tls.listner");
    assert!(hint.unwrap_or_default().contains("tls.listener"));
}

#[test]
fn days_are_those_of_the_calendar() {
    for (seconds, text) in [
        (0, "1970-01-01"),
        (-1, "1969-12-31"),
        (951_782_400, "2000-02-29"),
        (1_795_222_382, "2026-11-21"),
        (1_924_991_999, "2030-12-31"),
        (4_107_542_399, "2100-02-28"),
        (4_107_542_400, "2100-03-01"),
    ] {
        assert_eq!(Date::of_unix(seconds).to_string(), text);
    }
}
