//! What a run tells GitHub Actions: on stderr and in the step summary, never on stdout.

use std::fs;

use super::bench::{Bench, SMALL};
use crate::support::finish;

#[test]
fn a_run_in_github_actions_leaves_a_summary_and_annotates_what_failed() {
    let mut bench = Bench::new();
    bench.own_broker("xedgetest/annotated", "allow_anonymous true", "allow_anonymous false");
    bench.scenario("annotated", &SMALL.replace("xedgesim/mosquitto", "xedgetest/annotated"));
    let summary = bench.home().join("summary.md");
    fs::write(&summary, "before\n").unwrap();
    let mut command = bench.command(&["sim", "annotated", "--duration", "1s", "--quiet"]);
    command.env("GITHUB_ACTIONS", "true").env("GITHUB_STEP_SUMMARY", &summary);
    command.env("GITHUB_WORKSPACE", bench.project().parent().unwrap());
    let ran = finish(command).expect(2);

    assert_eq!(ran.stdout, "annotated failed target/xedge/reports/annotated\n");
    let folder = bench.project().file_name().unwrap().to_str().unwrap();
    let place = format!("::error file={folder}/scenarios/annotated.yaml,title=annotated%3A ");
    let errors: Vec<&str> = ran.stderr.lines().filter(|line| line.starts_with(&place)).collect();
    assert!(errors.iter().any(|line| line.contains("sensors.publish::sensor sent 0 of")), "{}", ran.stderr);

    let text = fs::read_to_string(&summary).unwrap();
    let table = "before\n### Simulation\n\n| scenario | verdict |";
    assert!(text.starts_with(table) && text.contains("\n| annotated | failed | 1 | "), "{text}");
    assert!(text.contains("- annotated: **sensors.publish**: sensor sent 0 of"), "{text}");
    bench.assert_clean();
}
