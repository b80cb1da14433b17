//! Runs that pass: the seed's scenario, and a hundred sensors through the gateway's container.

use std::fs;
use std::net::TcpListener;

use serde_json::{Value, json};
use xedge_model::Platform;
use xedge_oci::Layout;

use super::bench::{Bench, SMALL, scenario_name};

/// The claim with this name.
#[track_caller]
fn claim<'a>(report: &'a Value, id: &str) -> &'a Value {
    let claims = report["result"]["claims"].as_array().unwrap();
    claims.iter().find(|claim| claim["id"] == id).unwrap_or_else(|| panic!("no {id} in {claims:?}"))
}

/// A number of a held claim.
#[track_caller]
fn count(report: &Value, id: &str, what: &str) -> u64 {
    let claim = claim(report, id);
    assert_eq!(claim["state"], "held", "{claim}");
    claim["counts"][what].as_u64().unwrap_or_else(|| panic!("no {what} in {claim}"))
}

#[test]
fn the_seed_scenario_passes_beside_a_broker_on_its_port() {
    seed_scenario(&Bench::new());
}

pub fn seed_scenario(bench: &Bench) {
    bench.pretend_evidence("mqtt_test");
    // Taken by somebody else is as good: then something listens there, too.
    let _taken = TcpListener::bind("127.0.0.1:1883");

    let ran = bench.sim(&["mqtt_test", "--duration", "3s"]).expect(0);
    assert_eq!(ran.stdout, "mqtt_test passed target/xedge/reports/mqtt_test\n");
    let digest = broker_manifest(bench);
    ran.says("note: there is no containers/mqtt-broker")
        .says(&format!("mqtt-broker: xedgesim/mosquitto:latest is {digest} ("))
        .says("no evidence: the run was shortened");
    assert!(!bench.evidence("mqtt_test").exists(), "evidence of an earlier run was left");
    bench.assert_clean();
    the_seed_claims_held(&bench.report("mqtt_test"));
    every_form_of_the_report_is_there(bench);
}

fn broker_manifest(bench: &Bench) -> String {
    let layout = Layout::open(&bench.output("layout")).unwrap();
    let entry = layout.image(&"xedgesim/mosquitto".parse().unwrap()).unwrap();
    let platform = Platform::of_machine(std::env::consts::ARCH).unwrap();
    entry.platform(platform).unwrap().manifest().digest.to_string()
}

fn the_seed_claims_held(report: &Value) {
    assert_eq!(report["verdict"], "passed");
    assert_eq!(report["exit_code"], 0);
    assert_eq!(report["shortened"], true);
    assert_eq!(claim(report, "broker.starts")["state"], "held");
    let sent = count(report, "sensors.publish", "sent");
    assert!((2..=4).contains(&sent), "{sent} readings in three seconds, one a second");
    assert_eq!(count(report, "sensors.publish", "acknowledged"), sent);
    assert_eq!(count(report, "gateway.receives", "received"), sent);
    assert_eq!(count(report, "mqtt.end_to_end", "acknowledged"), sent);
    assert_eq!(count(report, "mqtt.end_to_end", "lost"), 0);
}

fn every_form_of_the_report_is_there(bench: &Bench) {
    let read = |file: &str| fs::read_to_string(bench.output("reports/mqtt_test").join(file)).unwrap();
    let junit = quick_junit::Report::deserialize_from_str(&read("junit.xml")).unwrap();
    let cases: Vec<&str> = junit.test_suites[0].test_cases.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(cases, ["broker.starts", "sensors.publish", "gateway.receives", "mqtt.end_to_end"]);
    for (node, event) in [("mqtt-broker", "ready"), ("sensor1", "sent"), ("gateway1", "received")] {
        let csv = read(&format!("nodes/{node}.csv"));
        assert!(csv.starts_with("t_us,node,kind,"), "{csv}");
        assert!(csv.lines().any(|row| row.contains(&format!(",{node},{event},"))), "{csv}");
    }
    let log = read("logs/mqtt-broker.log");
    assert!(log.contains("mosquitto version") && log.contains("terminating"), "{log}");
    for line in read("history.jsonl").lines() {
        serde_json::from_str::<Value>(line).unwrap();
    }
}

#[test]
fn another_seed_is_no_evidence_and_is_said_as_data() {
    let bench = Bench::new();
    bench.scenario("seeded", SMALL);
    bench.pretend_evidence("seeded");
    let ran = bench.run(&["--format", "json", "sim", "seeded", "--seed", "6"]).expect(0);
    let line: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(
        line,
        json!({"scenario": "seeded", "verdict": "passed", "code": 0, "evidence": null,
            "report": "target/xedge/reports/seeded"})
    );
    assert_eq!(bench.report("seeded")["seed"], 6);
    assert!(!bench.evidence("seeded").exists(), "evidence of an earlier run was left");
    assert!(!bench.home().join("keys").exists(), "a run without evidence needs no key");
}

#[test]
fn a_hundred_sensors_go_through_the_gateway_container() {
    let mut bench = Bench::here();
    let file = bench.shipped("gateway");
    let name = scenario_name(&bench.sim(&[&file, "--duration", "4s"]).expect(0));
    let report = bench.report(&name);
    let roles: Vec<&Value> = report["result"]["containers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|container| &container["role"])
        .collect();
    assert_eq!(roles, ["broker", "gateway"]);
    assert_eq!(count(&report, "sensors.publish", "sensors"), 100);
    let sent = count(&report, "sensors.publish", "sent");
    assert!((300..=500).contains(&sent), "{sent} readings of 100 sensors in four seconds");
    assert_eq!(count(&report, "gateway.receives", "received"), sent);
    assert_eq!(count(&report, "mqtt.end_to_end", "lost"), 0);
    for node in ["mqtt-broker", "gateway", "sensor", "cloud"] {
        assert!(bench.output(&format!("reports/{name}/nodes/{node}.csv")).exists(), "{node}");
    }
    bench.assert_clean();
}
