//! Scenarios in virtual time: models, scripts and lockstep containers, without an engine where none is needed, the same to the
//! last event in every run, and signed as what they are.

use std::fs;
use std::time::Instant;

use serde_json::Value;
use xedge_bundle::statement::{EngineKind, Honesty};
use xedge_model::Digest;

use super::bench::{Arm, Bench};
use super::signed::Evidence;
use crate::support::{Ran, finish};

/// The seed's scenario with models only.
const MODELS: &str = "
simulation: {duration_s: 60, seed: 42}
nodes:
  - {id: sensor1, type: sensor, implementation: python_model, port: 5001}
  - {id: gateway1, type: gateway, implementation: python_model, port: 5002}
";

/// A run on a machine without any engine.
fn without_engine(bench: &Bench, arguments: &[&str]) -> Ran {
    let arguments: Vec<&str> = ["sim"].iter().chain(arguments).copied().collect();
    let mut command = bench.command(&arguments);
    command.env("DOCKER_HOST", "unix:///nonexistent/docker.sock");
    finish(command)
}

fn trace(bench: &Bench, name: &str) -> String {
    let report: Value = bench.report(name);
    report["result"]["virtual_time"]["trace"].as_str().unwrap_or_else(|| panic!("{report}")).to_owned()
}

#[test]
fn models_alone_need_no_engine_and_their_trace_is_signed() {
    let bench = Bench::new();
    bench.scenario("models", MODELS);
    let ran = without_engine(&bench, &["models"]).expect(0);
    assert_eq!(ran.stdout, "models passed target/xedge/gates/models.dsse.json\n");
    ran.says("held sensors.publish: 1 sensors sent 60 readings")
        .says("held mqtt.end_to_end")
        .says("held trace.repeats: two runs have the same trace")
        .says("times real time");
    let first = trace(&bench, "models");

    let evidence = Evidence::of(&bench, "models");
    let statement = evidence.statement();
    let record = &statement.predicate.xedge;
    assert_eq!((record.engine.kind, record.platforms.len()), (EngineKind::Virtual, 0));
    assert_eq!(record.honesty.iter().collect::<Vec<_>>(), [&Honesty::L3]);
    assert_eq!(record.trace.as_ref().map(Digest::to_string).as_ref(), Some(&first));
    assert!(statement.covers(&evidence.scenario_digest));
    // It proves no image, so no release is built on it.
    evidence.refused(None, "it names no image that ran");

    without_engine(&bench, &["models"]).expect(0);
    assert_eq!(trace(&bench, "models"), first, "another run of the same seed");
    without_engine(&bench, &["models", "--seed", "43"]).expect(0).says("no evidence");
    assert_ne!(trace(&bench, "models"), first, "another seed");
}

#[test]
fn scripts_and_models_go_through_time_together() {
    let bench = Bench::new();
    let ran = without_engine(&bench, &["python_nodes", "--duration", "10s"]).expect(0);
    ran.says("held mqtt.latency.p99 <= 60ms").says("held trace.repeats");
    let report = bench.report("python_nodes");
    let nodes = &report["result"]["nodes"];
    assert_eq!((&nodes["attic"]["sent"], &nodes["cellar"]["sent"]), (&20.into(), &10.into()));
    let link = &report["result"]["virtual_time"]["links"]["radio.up"];
    assert_eq!(link["messages"], 20 + 10 + 20 * 10);
    let heard = nodes["gateway"]["received"].as_u64().unwrap();
    let in_flight = report["result"]["virtual_time"]["in_flight"].as_u64().unwrap();
    assert_eq!(heard + in_flight, 230, "nothing is lost in silence: {report}");
}

#[test]
fn a_script_that_dies_is_the_scenarios_fault_and_is_shown() {
    let bench = Bench::new();
    fs::write(bench.project().join("scenarios/models/broken.py"), "import nothing_like_this\n").unwrap();
    let text = MODELS.replace("port: 5001", "script: scenarios/models/broken.py");
    bench.scenario("broken", &text);
    bench.pretend_evidence("broken");
    let ran = without_engine(&bench, &["broken"]).expect(3);
    ran.says("failed to lead node sensor1 through time (scenarios/models/broken.py, line 4 of the scenario)")
        .says("at its start: it ended with exit code 1")
        .says("No module named 'nothing_like_this'");
    assert!(!bench.evidence("broken").exists(), "evidence of an earlier run was left");
    assert_eq!(bench.report("broken")["verdict"], "error");
    bench.scenario("absent", &text.replace("broken.py", "absent.py"));
    without_engine(&bench, &["absent"]).expect(3).says("there is no script `scenarios/models/absent.py`");
}

#[test]
fn a_claim_about_real_time_is_refused() {
    let bench = Bench::new();
    bench.scenario("asks", &format!("{MODELS}expect: [sensors.publish, mqtt.ack_latency.p99 < 1s]\n"));
    without_engine(&bench, &["asks"]).expect(3).says("needs a container or process: here are only models");
}

/// A program that speaks the protocol of lockstep containers: counts the steps in which it hears something.
const STEPS: &str = r#"n=0
while read -r order rest; do
  case $order in
    INIT) echo ready >&2; echo READY ;;
    ADVANCE)
      read -r heard
      said='[]'
      if [ "$heard" != '[]' ]; then
        n=$((n + 1))
        said="[{\"timestamp_us\": $((rest - 1)), \"event_type\": \"SEEN\", \"source\": \"steps\", \"destination\": \"cloud\", \"payload\": {\"value\": $n}}]"
      fi
      echo DONE
      echo "$said" ;;
    SHUTDOWN) exit 0 ;;
  esac
done
"#;

const STEPS_IMAGE: &str = "format: 1
name: xedgetest/steps
platforms: [linux/amd64]
from:
  debian: {suite: bookworm, packages: [busybox-static]}
config: {user: \"1000:1000\", entrypoint: [/bin/busybox, tail, -f, /dev/null]}
";

const LOCKSTEP: &str = "
simulation: {duration_s: 5, seed: 7, time_quantum_us: 50000}
nodes:
  - {id: sensor, type: sensor, implementation: model, count: 3}
  - id: steps
    type: gateway
    implementation: docker
    docker: {image: xedgetest/steps, lockstep: {command: [/bin/busybox, sh, /lockstep.sh]}}
  - {id: cloud, type: cloud, implementation: model}
";

fn goes_in_lockstep(arm: Arm) {
    let mut bench = Bench::new().on(arm);
    let rootfs = bench.own_image("steps", "xedgetest/steps", STEPS_IMAGE).join("rootfs");
    fs::create_dir_all(&rootfs).unwrap();
    fs::write(rootfs.join("lockstep.sh"), STEPS).unwrap();
    bench.run(&["lock", "steps"]).expect(0);
    bench.scenario("lockstep", LOCKSTEP);
    let ran = bench.sim(&["lockstep"]).expect(0);
    ran.says("held mqtt.end_to_end").says("held trace.repeats");
    let report = bench.report("lockstep");
    let nodes = &report["result"]["nodes"];
    assert_eq!(nodes["steps"]["received"], 15);
    assert!(nodes["cloud"]["received"].as_u64().unwrap() > 0, "{report}");
    let log = fs::read_to_string(bench.output("reports/lockstep/logs/steps.log")).unwrap();
    assert_eq!(log, "ready\n");
    let statement = Evidence::of(&bench, "lockstep").statement();
    assert!(statement.predicate.xedge.honesty.contains(&Honesty::L3));
    assert_eq!(statement.predicate.xedge.platforms.len(), 1);
    bench.assert_clean();

    bench.scenario("mute", &LOCKSTEP.replace("sh, /lockstep.sh", "sh, -c, \"echo no idea >&2; exit 4\""));
    bench
        .sim(&["mute"])
        .expect(2)
        .says("failed to lead node steps through time in its container, at its start")
        .says("no idea");
    bench.assert_clean();
}

#[test]
fn a_program_in_a_container_goes_in_lockstep() {
    goes_in_lockstep(Arm::Docker);
}

#[test]
fn a_program_in_a_container_goes_in_lockstep_without_an_engine() {
    goes_in_lockstep(Arm::Embedded);
}

/// Ten thousand nodes for a virtual hour: all of it is counted, and how fast it went is printed.
#[test]
fn ten_thousand_nodes_go_through_an_hour() {
    let bench = Bench::new();
    let text = "
simulation: {duration_s: 3600, seed: 1}
nodes:
  - {id: sensor, type: sensor, implementation: model, count: 9998}
  - {id: gateway, type: gateway, implementation: model}
  - {id: cloud, type: cloud, implementation: model}
";
    bench.scenario("hour", text);
    let begun = Instant::now();
    without_engine(&bench, &["hour"]).expect(0);
    let took = begun.elapsed().as_secs_f64();
    let report = bench.report("hour");
    assert_eq!(report["result"]["nodes"]["gateway"]["received"], 9_998 * 3_600);
    println!("10,000 nodes: an hour, twice, in {took:.1} s: {:.0} times real time", 3_600.0 / took);
}
