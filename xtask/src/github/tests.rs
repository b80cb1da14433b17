//! What GitHub is told, character by character.

use std::collections::BTreeMap;
use std::time::Duration;

use xedge_sim::{Claim, State};

use super::{Row, SUMMARY_LIMIT, annotations, summary, text};

fn claim(id: &str, state: State, text: &str) -> Claim {
    Claim { id: id.to_owned(), state, text: text.to_owned(), counts: BTreeMap::new() }
}

fn row(claims: Vec<Claim>, error: Option<&str>) -> Row {
    Row {
        scenario: "smoke".to_owned(),
        file: "scenarios/smoke.yaml".to_owned(),
        verdict: "failed".to_owned(),
        error: error.map(str::to_owned),
        claims,
        evidence: None,
        took: Duration::from_millis(67_240),
    }
}

#[test]
fn what_does_not_hold_is_annotated_at_its_scenario() {
    let claims = vec![
        claim("broker.starts", State::Held, "it answers"),
        claim("mqtt.end_to_end", State::Failed, "3 of 9 lost"),
        claim("retained.survives(restart)", State::Invalid, "not readable"),
    ];
    assert_eq!(
        annotations(&[row(claims, Some("the disk is full"))]),
        [
            "::error file=scenarios/smoke.yaml,title=smoke%3A mqtt.end_to_end::3 of 9 lost",
            "::error file=scenarios/smoke.yaml,title=smoke%3A failed::the disk is full",
            "::warning file=scenarios/smoke.yaml,title=smoke%3A retained.survives(restart)::not readable",
        ]
    );
}

#[test]
fn text_cannot_end_a_command_or_start_another() {
    assert_eq!(
        text::command("error", "a,b:c.yaml", "100%: x", "50%\r\n::error::forged, with: colons"),
        "::error file=a%2Cb%3Ac.yaml,title=100%25%3A x::50%25%0D%0A::error::forged, with: colons"
    );
    // An escape in the text stays text.
    assert_eq!(text::command("error", "f", "%2C", "%0A"), "::error file=f,title=%252C::%250A");
}

#[test]
fn github_shows_ten_of_a_kind_and_one_line_tells_of_the_rest() {
    let claims = |count: usize| (0..count).map(|n| claim(&format!("c{n}"), State::Failed, "no")).collect();
    assert_eq!(annotations(&[row(claims(10), None)]).len(), 10);
    let lines = annotations(&[row(claims(7), None), row(claims(6), None)]);
    assert_eq!(lines.iter().filter(|line| line.starts_with("::error ")).count(), 10);
    assert_eq!(lines[10], "3 more errors are in the reports: GitHub shows 10");
    assert_eq!(lines.len(), 11);
}

#[test]
fn the_summary_is_a_table_with_the_failures_below_it() {
    let mut passed = row(vec![claim("broker.starts", State::Held, "it answers")], None);
    passed.verdict = "passed".to_owned();
    passed.evidence = Some("target/xedge/gates/smoke.dsse.json".to_owned());
    let failed = row(vec![claim("mqtt.end_to_end", State::Failed, "a|b <c>\nd")], None);
    assert_eq!(
        summary(&[passed, failed], SUMMARY_LIMIT),
        "### Simulation\n\n\
         | scenario | verdict | claims held | claims failed | evidence | duration |\n\
         | --- | --- | --: | --: | --- | --: |\n\
         | smoke | passed | 1 | 0 | target/xedge/gates/smoke.dsse.json | 67.2 s |\n\
         | smoke | failed | 0 | 1 | - | 67.2 s |\n\n\
         - smoke: **mqtt.end&#95;to&#95;end**: a&#124;b &#60;c&#62; d\n\n"
    );
}

#[test]
fn nothing_in_a_cell_is_markup() {
    assert_eq!(
        text::markdown("@all `x` [a](b) \u{1b}[31m*b*\\"),
        "&#64;all &#96;x&#96; &#91;a&#93;(b) &#91;31m&#42;b&#42;&#92;"
    );
}

#[test]
fn a_summary_never_grows_past_its_limit_and_says_that_it_was_cut() {
    let claims = (0..50).map(|n| claim(&format!("c{n}"), State::Failed, &"ä".repeat(20 + n))).collect();
    let rows = [row(claims, None)];
    let whole = summary(&rows, usize::MAX);
    assert_eq!(summary(&rows, whole.len()), whole);
    for limit in (0..whole.len()).step_by(7) {
        let cut = summary(&rows, limit);
        assert!(cut.len() <= limit, "{} of {limit}", cut.len());
        assert!(limit < 100 || cut.ends_with("The reports have the rest.\n"), "{limit}: {cut}");
    }
    assert!(summary(&rows, whole.len() - 1).contains("This summary was cut"));
}
