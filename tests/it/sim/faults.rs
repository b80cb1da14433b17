//! Timelines on real engines: what is done to containers and links has an effect that is measured, and leaves nothing.

use rustix::process::Signal;
use serde_json::Value;

use super::bench::{Bench, Running, SMALL};
use super::engines::Arm;
use crate::support::finish;

/// Every fault of a node, and a claim for everything that is measured about them.
const FAULTS: &str = "
simulation: {duration_s: 7, seed: 5}
nodes:
  - {id: broker, type: broker, implementation: docker, docker: {image: xedgesim/mosquitto}}
  - {id: sensor, type: sensor, implementation: model, config: {every: 100ms}}
  - {id: gateway, type: gateway, implementation: model}
timeline:
  - {at: 1s, kill: broker}
  - {at: 2s, start: broker, recover_within: 20s}
  - {at: 3500ms, pause: broker, for: 500ms, recover_within: 20s}
  - {at: 5s, restart: broker, signal: TERM, down_for: 200ms}
expect:
  - broker.starts
  - mqtt.delivery_ratio > 0.2
  - mqtt.latency.p99 < 20s outside faults
  - memory.peak(broker) < 110MiB
  - cpu.mean(broker) < 1
  - cpu.peak(broker) < 3
  - logs(broker) =~ /mosquitto version .* terminating/
  - logs(broker) !~ /No space left/
  - node.recovers(broker) < 30s
";

/// What must come of it on every engine.
pub fn on(arm: &Arm<'_>) {
    let mut bench = Bench::alone().on(arm.bench());
    have_effects(arm, &mut bench);
    held_container_is_removed(arm, &bench);
}

fn have_effects(arm: &Arm<'_>, bench: &mut Bench) {
    bench.scenario("faults", FAULTS);
    let ran = finish(arm.sim(bench, &["faults"])).expect(0);
    ran.says("  kill broker with KILL").says("  broker is gone").says("  broker is held");
    let report = bench.report("faults");
    let faults = report["result"]["faults"].as_array().unwrap();
    assert!(faults.iter().all(|fault| fault["effect"] == true), "{faults:?}");
    assert_eq!(exit_codes(faults), [137, 0]);
    let broke: Vec<u64> = faults.iter().map(|fault| fault["disconnected"].as_u64().unwrap()).collect();
    assert_eq!(broke, [2, 0, 0, 2], "both models lose their connection when the broker ends: {faults:?}");
    // A reading every 100 ms of a second. This broker forgets its sessions: what the sensor has it take before the gateway
    // is back is lost.
    let count = |what: &str| faults[0][what].as_u64().unwrap();
    assert!(count("late") + count("lost") > 5, "what was due meanwhile comes later or never: {faults:?}");
    let resources = &report["result"]["resources"]["broker"];
    assert!(resources["samples"].as_u64().unwrap() > 5, "{resources}");
    assert!(resources["memory_peak_bytes"].as_u64().unwrap() > 500_000, "{resources}");
    arm.assert_clean(bench);
}

fn exit_codes(faults: &[Value]) -> Vec<i64> {
    let steps = faults.iter().flat_map(|fault| fault["steps"].as_array().unwrap());
    steps.filter(|step| step["step"] == "gone").map(|step| step["code"].as_i64().unwrap()).collect()
}

/// Neither an interrupt nor a killed run leaves a container whose processes are held: those take no signal.
fn held_container_is_removed(arm: &Arm<'_>, bench: &Bench) {
    let held = "timeline: [{at: 500ms, pause: broker, for: 20s}]\n";
    bench.scenario("held", &format!("{SMALL}{held}").replace("duration_s: 2", "duration_s: 25"));
    bench.scenario("small", SMALL);
    let until_held = || {
        let mut run = Running::start(arm.sim(bench, &["held"]));
        run.until("  broker is held");
        run
    };
    let run = until_held();
    run.signal(Signal::INT);
    run.finish().expect(130);
    arm.assert_clean(bench);

    let run = until_held();
    run.signal(Signal::KILL);
    run.finish().expect(-1);
    assert_eq!(arm.left(bench), 2, "a container and a network");
    let next = finish(arm.sim(bench, &["small", "--duration", "1s"])).expect(0);
    next.says("removed what dead runs left in the Engine: 2 objects");
    arm.assert_clean(bench);
}

#[test]
fn a_fault_that_is_not_reached_makes_a_run_invalid() {
    let bench = Bench::new();
    bench.scenario("late", &format!("{SMALL}timeline: [{{at: 1500ms, restart: broker}}]\n"));
    let ran = bench.sim(&["late", "--duration", "1s"]).expect(4);
    ran.says(
        "INVALID timeline: restart broker with KILL, down for 0s at 1500ms: the run ended before it was due",
    );
    assert_eq!(bench.report("late")["verdict"], "invalid");
    bench.assert_clean();
}

#[test]
fn a_recovery_that_takes_too_long_fails() {
    let bench = Bench::new();
    let timeline = "timeline: [{at: 500ms, restart: broker, recover_within: 1ms}]\n";
    bench.scenario("slow", &format!("{SMALL}{timeline}"));
    let ran = bench.sim(&["slow"]).expect(2);
    ran.says(
        "FAILED timeline: restart broker with KILL, down for 0s at 500ms recovers within 1ms: it was ready ",
    );
    let junit = std::fs::read_to_string(bench.output("reports/slow/junit.xml")).unwrap();
    assert!(junit.contains("recovers within 1ms"), "{junit}");
    bench.assert_clean();
}

/// A link between models and the broker: what waits in a partition arrives after it, a reset breaks every connection.
#[test]
fn links_are_cut_and_reset() {
    let bench = Bench::new();
    let linked = FAULTS.replace("implementation: model", "implementation: model, via: lan");
    let (nodes, _) = linked.split_once("timeline:").unwrap();
    let timeline = "links: {lan: {latency: 1ms}}
timeline:
  - {at: 1s, partition: lan, for: 1s}
  - {at: 4s, reset: lan}
expect: [mqtt.delivery_ratio > 0.5]
";
    bench.scenario("links", &format!("{nodes}{timeline}"));
    bench.sim(&["links"]).expect(0).says("  2 connections of lan are cut off");
    let report = bench.report("links");
    let faults = report["result"]["faults"].as_array().unwrap();
    assert!(faults.iter().all(|fault| fault["effect"] == true), "{faults:?}");
    assert!(faults[0]["late"].as_u64().unwrap() > 0 && faults[0]["disconnected"] == 0, "{faults:?}");
    assert_eq!(faults[1]["disconnected"], 2, "{faults:?}");
    bench.assert_clean();
}
