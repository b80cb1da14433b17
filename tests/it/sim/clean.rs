//! What is left in the Engine: nothing, however a run ends, but what was asked to stay and what is still going on.

use rustix::process::Signal;

use super::bench::{Bench, Running, SMALL};
use super::signed::starts_foreign;

fn kinds(objects: &[String]) -> Vec<&str> {
    objects.iter().map(|object| object.split_once(' ').unwrap().0).collect()
}

#[test]
fn an_interrupted_run_takes_everything_away_and_leaves_others_alone() {
    let other = Bench::new();
    let bench = Bench::beside(&other);
    bench.scenario("small", SMALL);
    let mut goes_on = other.start(&["mqtt_test", "--duration", "30s"]);
    goes_on.until("  publish");
    let before = other.objects();
    for signal in [Signal::INT, Signal::TERM] {
        interrupted(&bench, signal);
        assert_eq!(other.objects(), before, "another run was touched");
    }
    goes_on.finish().expect(0).says("held mqtt.end_to_end");
    other.assert_clean();
}

pub fn interrupted(bench: &Bench, signal: Signal) {
    bench.pretend_evidence("small");
    let mut run = bench.start(&["small"]);
    run.until("  publish");
    assert_eq!(kinds(&bench.objects()), ["container", "network"]);
    run.signal(signal);
    let ran = run.finish().expect(130).says("interrupted");
    assert_eq!(ran.stdout, "small interrupted target/xedge/reports/small\n");
    bench.assert_clean();
    assert!(!bench.evidence("small").exists(), "evidence of an earlier run was left");
    assert_eq!(bench.report("small")["exit_code"], 130);
}

#[test]
fn a_run_interrupted_under_emulation_takes_everything_away_and_gives_no_evidence() {
    let bench = Bench::new();
    bench.scenario("small", SMALL);
    let mut run = bench.start(&["small"]);
    run.until("mqtt.end_to_end");
    if starts_foreign() {
        bench.wait_for_objects(&mut run);
        run.signal(Signal::INT);
    }
    run.finish().expect(if starts_foreign() { 130 } else { 0 });
    assert_eq!(bench.evidence("small").exists(), !starts_foreign());
    bench.assert_clean();
}

#[test]
fn what_a_killed_run_left_is_removed_by_the_next_one() {
    killed(&Bench::alone());
}

pub fn killed(bench: &Bench) {
    bench.scenario("small", SMALL);
    let mut run = bench.start(&["mqtt_test"]);
    run.until("  publish");
    run.signal(Signal::KILL);
    run.finish().expect(-1);
    assert_eq!(kinds(&bench.objects()), ["container", "network"]);
    bench.sim(&["small", "--duration", "1s"]).expect(0).says("removed what dead runs left in the Engine: 2");
    bench.assert_clean();
}

#[test]
fn a_kept_run_stays_until_gc_which_leaves_running_ones_alone() {
    let bench = Bench::alone();
    let later = Bench::beside(&bench);
    bench.scenario("small", SMALL);
    bench.pretend_evidence("small");

    let mut run = bench.start(&["small", "--keep"]);
    run.until("  publish");
    later.run(&["gc"]).expect(0).says("removed 0 kept runs");
    let kept = kept(&bench, run);

    later.sim(&["mqtt_test", "--duration", "1s"]).expect(0);
    later.assert_clean();
    assert_eq!(bench.objects(), kept, "a later run touched what was kept");

    later.run(&["gc"]).expect(0).says("removed 1 kept runs (2 objects)");
    bench.assert_clean();
}

pub fn kept(bench: &Bench, run: Running) -> Vec<String> {
    run.finish().expect(0).says("no evidence").says("cargo xtask gc");
    assert!(!bench.evidence("small").exists(), "evidence of an earlier run was left");
    let kept = bench.objects();
    assert_eq!(kinds(&kept), ["container", "network"]);
    kept
}
